/* SPDX-License-Identifier: MIT
 *
 * test_list.c: the intrusive list.
 */
#include <signal.h>

#include "base/list.h"
#include "support.h"

struct item {
    int number;
    struct list_node node;
};

/* The list's numbers, in order, as the digits of one number; checks all links on the way. */
static int digits(const struct list *list)
{
    int result = 0;
    for (struct list_node *n = list->head; n; n = list_next(list, n)) {
        assert_ptr_equal(n->next->prev, n);
        assert_ptr_equal(n->prev->next, n);
        assert_true(list_is_on(n));
        result = 10 * result + list_entry(n, struct item, node)->number;
    }
    return result;
}

static void push_numbers(struct list *list, struct item *items, int n)
{
    for (int i = 0; i < n; i++) {
        items[i] = (struct item){.number = i + 1};
        list_push(list, &items[i].node);
    }
}

static void test_list_all_zero_is_empty(void **state)
{
    struct list list = {0};
    struct item item = {0};
    assert_true(list_is_empty(&list));
    assert_false(list_is_on(&item.node));
    assert_null(list_pop(&list));
}

static void test_push_adds_at_the_end(void **state)
{
    struct list list = {0};
    struct item items[4];
    static const int expected[] = {0, 1, 12, 123, 1234};
    for (int n = 1; n <= 4; n++) {
        list = (struct list){0};
        push_numbers(&list, items, n);
        assert_int_equal(digits(&list), expected[n]);
        assert_false(list_is_empty(&list));
    }
}

static void test_pop_takes_the_first(void **state)
{
    struct list list = {0};
    struct item items[3];
    push_numbers(&list, items, 3);
    for (int i = 0; i < 3; i++) {
        assert_ptr_equal(list_pop(&list), &items[i].node);
        assert_false(list_is_on(&items[i].node));
    }
    assert_true(list_is_empty(&list));
    list_push(&list, &items[1].node); /* and on again */
    assert_int_equal(digits(&list), 2);
}

static void test_remove_leaves_the_others_in_order(void **state)
{
    static const int expected[] = {234, 134, 124, 123};
    for (int i = 0; i < 4; i++) {
        struct list list = {0};
        struct item items[4];
        push_numbers(&list, items, 4);
        list_remove(&list, &items[i].node);
        assert_int_equal(digits(&list), expected[i]);
        assert_false(list_is_on(&items[i].node));
        list_push(&list, &items[i].node);
        assert_int_equal(digits(&list), 10 * expected[i] + i + 1);
    }
}

static int push_twice(void *arg)
{
    struct list list = {0}, other = {0};
    struct item items[2];
    push_numbers(&list, items, 2);
    list_push(arg ? &other : &list, &items[1].node);
    return 0;
}

static void test_pushing_what_is_listed_ends_the_program(void **state)
{
    for (int other = 0; other < 2; other++)
        assert_int_equal(in_child(push_twice, other ? &other : NULL), 100 + SIGABRT);
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_list_all_zero_is_empty),
    cmocka_unit_test(test_push_adds_at_the_end),
    cmocka_unit_test(test_pop_takes_the_first),
    cmocka_unit_test(test_remove_leaves_the_others_in_order),
    cmocka_unit_test(test_pushing_what_is_listed_ends_the_program),
};

TEST_MAIN(tests, 50)
