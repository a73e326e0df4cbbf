/* SPDX-License-Identifier: MIT
 *
 * test_heap.c: the priority queue of timers.
 */
#include <stdlib.h>

#include "base/heap.h"
#include "base/hooks.h"
#include "support.h"

struct item {
    struct heap_node node;
    int64_t key;
    uint64_t pushed; /* when, counted */
    bool in;
};

static struct item *item_of(struct heap_node *node) { return (struct item *)node; }

static void push(struct heap *heap, struct item *item, int64_t key)
{
    static uint64_t count;
    item->key = key;
    item->pushed = count++;
    item->in = true;
    conc__heap_push(heap, &item->node, key);
}

static void take(struct heap *heap, struct item *item)
{
    conc__heap_remove(heap, &item->node);
    item->in = false;
}

/* The first, taken out; NULL: it is empty. */
static struct item *pop(struct heap *heap)
{
    int64_t key;
    struct heap_node *node = heap_first(heap, &key);
    if (!node)
        return NULL;
    assert_true(key == item_of(node)->key);
    take(heap, item_of(node));
    return item_of(node);
}

/* What heap.c promises of its array. */
static void check_invariant(const struct heap *heap)
{
    for (size_t i = 0; i < heap->count; i++) {
        assert_int_equal(heap->entries[i].node->place, i + 1);
        if (i > 0)
            assert_true(heap->entries[(i - 1) / 4].key <= heap->entries[i].key);
    }
}

static void test_heap_all_zero_is_empty(void **state)
{
    struct heap heap = {0};
    struct heap_node node = {0};
    int64_t key;
    assert_null(heap_first(&heap, &key));
    assert_false(heap_is_in(&node));
    conc__heap_free(&heap);
}

static void test_first_is_the_smallest_key(void **state)
{
    static const int64_t keys[] = {5, INT64_MAX, -3, 0, INT64_MIN, 7, -3 + 1, 6};
    static const int64_t sorted[] = {INT64_MIN, -3, -2, 0, 5, 6, 7, INT64_MAX};
    enum { N = sizeof keys / sizeof *keys };
    struct heap heap = {0};
    struct item items[N] = {0};
    assert_int_equal(conc__heap_reserve(&heap, N), 0);
    for (size_t i = 0; i < N; i++)
        push(&heap, &items[i], keys[i]);
    for (size_t i = 0; i < N; i++)
        assert_true(pop(&heap)->key == sorted[i]);
    assert_null(pop(&heap));
    conc__heap_free(&heap);
}

static void test_equal_keys_come_out_in_the_order_they_came(void **state)
{
    enum { N = 100 };
    struct heap heap = {0};
    static struct item items[N];
    assert_int_equal(conc__heap_reserve(&heap, N), 0);
    for (size_t i = 0; i < N; i++)
        push(&heap, &items[i], (int64_t)(i % 3));
    struct item *before = pop(&heap), *item;
    while ((item = pop(&heap))) {
        assert_true(item->key > before->key || item->pushed > before->pushed);
        before = item;
    }
    conc__heap_free(&heap);
}

/* The first of those that are in, found by looking at all. */
static struct item *first_by_looking(struct item *items, size_t n)
{
    struct item *first = NULL;
    for (size_t i = 0; i < n; i++) {
        struct item *item = &items[i];
        if (!item->in)
            continue;
        if (!first || item->key < first->key ||
            (item->key == first->key && item->pushed < first->pushed))
            first = item;
    }
    return first;
}

static void test_random_pushes_and_removals_agree_with_looking_at_all(void **state)
{
    enum { N = 60, ROUNDS = 20000 };
    static struct item items[N];
    struct heap heap = {0};
    struct test_random r = test_random_for(0);
    assert_int_equal(conc__heap_reserve(&heap, N), 0);
    for (int i = 0; i < ROUNDS; i++) {
        struct item *item = &items[test_random_below(&r, N)];
        if (item->in)
            take(&heap, item);
        else
            push(&heap, item, (int64_t)test_random_below(&r, 20)); /* few keys: many ties */
        assert_int_equal(heap_is_in(&item->node), item->in);
        check_invariant(&heap);
        int64_t key;
        struct heap_node *first = heap_first(&heap, &key);
        assert_ptr_equal(first ? item_of(first) : NULL, first_by_looking(items, N));
    }
    conc__heap_free(&heap);
}

static void test_node_can_be_pushed_again_after_it_was_removed(void **state)
{
    struct heap heap = {0};
    struct item item = {0};
    assert_int_equal(conc__heap_reserve(&heap, 1), 0);
    for (int i = 0; i < 3; i++) {
        push(&heap, &item, i);
        assert_true(heap_is_in(&item.node));
        assert_ptr_equal(pop(&heap), &item);
        assert_false(heap_is_in(&item.node));
    }
    conc__heap_free(&heap);
}

static void test_reserve_keeps_what_is_in_it(void **state)
{
    enum { N = 1000 };
    static struct item items[N];
    struct heap heap = {0};
    for (size_t i = 0; i < N; i++) {
        assert_int_equal(conc__heap_reserve(&heap, i + 1), 0);
        push(&heap, &items[i], (int64_t)(N - i));
    }
    check_invariant(&heap);
    for (int64_t key = 1; key <= N; key++)
        assert_true(pop(&heap)->key == key);
    conc__heap_free(&heap);
}

static void test_reserve_without_memory_is_ENOMEM_and_changes_nothing(void **state)
{
    struct heap heap = {0};
    struct item item = {0};
    conc__hooks.fail_alloc_in = 1;
    assert_int_equal(conc__heap_reserve(&heap, 1), -ENOMEM);
    assert_int_equal(conc__heap_reserve(&heap, 1), 0);
    push(&heap, &item, 1);
    conc__hooks.fail_alloc_in = 1;
    assert_int_equal(conc__heap_reserve(&heap, 100), -ENOMEM);
    assert_ptr_equal(pop(&heap), &item);
    conc__heap_free(&heap);
}

static int push_twice(void *arg)
{
    struct heap heap = {0};
    struct item item = {0};
    if (conc__heap_reserve(&heap, 2) != 0)
        return 1;
    push(&heap, &item, 1);
    push(&heap, &item, 2);
    return 0;
}

static int remove_twice(void *arg)
{
    struct heap heap = {0};
    struct item items[2] = {0};
    if (conc__heap_reserve(&heap, 2) != 0)
        return 1;
    push(&heap, &items[0], 1);
    push(&heap, &items[1], 1);
    take(&heap, &items[0]);
    take(&heap, &items[0]);
    return 0;
}

static void test_pushing_or_removing_twice_ends_the_program(void **state)
{
    assert_in_range(in_child(push_twice, NULL), 101, 200);
    assert_in_range(in_child(remove_twice, NULL), 101, 200);
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_heap_all_zero_is_empty),
    cmocka_unit_test(test_first_is_the_smallest_key),
    cmocka_unit_test(test_equal_keys_come_out_in_the_order_they_came),
    cmocka_unit_test(test_random_pushes_and_removals_agree_with_looking_at_all),
    cmocka_unit_test(test_node_can_be_pushed_again_after_it_was_removed),
    cmocka_unit_test(test_reserve_keeps_what_is_in_it),
    cmocka_unit_test(test_reserve_without_memory_is_ENOMEM_and_changes_nothing),
    cmocka_unit_test(test_pushing_or_removing_twice_ends_the_program),
};

TEST_MAIN(tests, 60)
