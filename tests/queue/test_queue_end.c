/* SPDX-License-Identifier: MIT
 *
 * test_queue_end.c: when all is dealt with, and when a queue is closed: task_done and join,
 * shutdown, what is thrown away.
 */
#include "queue_calls.h"

#include "base/hooks.h"

/* ---- Questions ---- */

static void test_a_queue_tells_what_is_unfinished_and_that_it_is_shut_down(void **state)
{
    conc_queue q;
    int item;
    init_full(&q, 2);
    assert_false(conc_queue_is_shutdown(&q));
    assert_int_equal(conc_queue_n_unfinished(&q), 2);
    assert_int_equal(conc_queue_get(&q, &item, CONC_NOW), 0);
    assert_int_equal(conc_queue_n_unfinished(&q), 2); /* taken out, not dealt with */
    assert_int_equal(conc_queue_task_done(&q), 0);
    assert_int_equal(conc_queue_n_unfinished(&q), 1);
    conc_queue_shutdown(&q, false);
    assert_true(conc_queue_is_shutdown(&q));
    assert_int_equal(conc_queue_n_unfinished(&q), 1);
    conc_queue_shutdown(&q, true);
    assert_true(conc_queue_is_shutdown(&q));
    assert_int_equal(conc_queue_n_unfinished(&q), 0);
    conc_queue_destroy(&q);
}

/* ---- task_done and join ---- */

static void test_task_done_more_often_than_put_is_refused(void **state)
{
    conc_queue q;
    init_full(&q, 1);
    assert_int_equal(conc_queue_task_done(&q), 0);
    assert_int_equal(conc_queue_task_done(&q), -EINVAL);
    conc_queue_destroy(&q);
}

static void test_join_when_nothing_was_put_returns_at_once(void **state)
{
    conc_queue q;
    init_empty(&q, 1);
    assert_int_equal(conc_queue_join(&q, CONC_FOREVER), 0);
    assert_int_equal(conc_queue_join(&q, CONC_NOW), 0);
    conc_queue_destroy(&q);
}

static void test_join_when_something_is_unfinished_cannot_be_now(void **state)
{
    conc_queue q;
    init_full(&q, 1);
    get_int(&q);
    assert_int_equal(conc_queue_join(&q, CONC_NOW), -EAGAIN);
    assert_int_equal(conc_queue_join(&q, conc_at(1)), -ETIMEDOUT);
    conc_queue_destroy(&q);
}

static void test_join_when_cancelled_says_so_even_with_nothing_to_wait_for(void **state)
{
    conc_queue q;
    conc_scope scope;
    init_empty(&q, 1);
    conc_scope_enter(&scope, CONC_FOREVER);
    conc_scope_cancel(&scope);
    assert_int_equal(conc_queue_join(&q, CONC_FOREVER), -ECANCELED);
    assert_int_equal(conc_queue_join(&q, CONC_NOW), 0);
    conc_scope_exit(&scope);
    conc_queue_destroy(&q);
}

static void test_join_that_waited_when_its_time_is_up_says_so(void **state)
{
    conc_queue q;
    init_full(&q, 1);
    struct call c = call_of(&q, JOIN, 0, 0, conc_in(CONC_S(60)));
    call_start(&c, "joiner");
    conc__test_advance(CONC_S(61));
    assert_int_equal(call_result(&c), -ETIMEDOUT);
    conc_queue_task_done(&q); /* no waiter is woken any more */
    conc_queue_destroy(&q);
}

static void test_join_that_waited_when_cancelled_says_so(void **state)
{
    conc_queue q;
    init_full(&q, 1);
    struct call c = call_of(&q, JOIN, 0, 0, CONC_FOREVER);
    call_start(&c, "joiner");
    conc_scope_cancel(&c.scope);
    assert_int_equal(call_result(&c), -ECANCELED);
    conc_queue_destroy(&q);
}

static void test_join_waits_for_the_last_task_done_not_for_the_last_get(void **state)
{
    conc_queue q;
    init_full(&q, 2);
    struct call a = call_of(&q, JOIN, 0, 0, CONC_FOREVER), b = a;
    call_start(&a, "a");
    call_start(&b, "b");
    get_int(&q), get_int(&q);
    conc_queue_task_done(&q);
    wait_until_n_blocked(&q, 2);
    conc_queue_task_done(&q);
    assert_int_equal(call_result(&a), 0);
    assert_int_equal(call_result(&b), 0);
    conc_queue_destroy(&q);
}

/* However an element came in, it is unfinished: stored, handed over, let in, or in a batch. */
static void test_element_handed_over_counts_as_unfinished(void **state)
{
    conc_queue q;
    init_empty(&q, 1);
    struct call c = call_of(&q, GET, 0, 1, CONC_FOREVER);
    call_start(&c, "getter");
    put_int(&q, 1);
    call_result(&c);
    assert_int_equal(conc_queue_join(&q, CONC_NOW), -EAGAIN);
    assert_int_equal(conc_queue_task_done(&q), 0);
    assert_int_equal(conc_queue_task_done(&q), -EINVAL);
    conc_queue_destroy(&q);
}

static void test_element_let_in_counts_as_unfinished(void **state)
{
    conc_queue q;
    init_full(&q, 1);
    struct call c = call_of(&q, PUT, 10, 1, CONC_FOREVER);
    call_start(&c, "putter");
    get_int(&q);
    assert_int_equal(conc_queue_task_done(&q), 0);
    assert_int_equal(conc_queue_task_done(&q), 0);
    assert_int_equal(conc_queue_task_done(&q), -EINVAL);
    call_result(&c);
    conc_queue_destroy(&q);
}

static void test_batch_partly_in_counts_as_far_as_it_is_in(void **state)
{
    conc_queue q;
    init_empty(&q, 2);
    struct call c = call_of(&q, PUT_MANY, 10, 4, conc_in(CONC_S(60)));
    call_start(&c, "putter"); /* 2 are in */
    get_int(&q);              /* now 3 */
    conc__test_advance(CONC_S(61));
    assert_int_equal(call_result(&c), 3);
    for (int i = 0; i < 3; i++)
        assert_int_equal(conc_queue_task_done(&q), 0);
    assert_int_equal(conc_queue_task_done(&q), -EINVAL);
    conc_queue_destroy(&q);
}

static void test_put_that_failed_does_not_count_as_unfinished(void **state)
{
    conc_queue q;
    init_full(&q, 1);
    assert_int_equal(put_int(&q, 2), -EAGAIN);
    struct call c = call_of(&q, PUT, 10, 1, conc_at(1));
    assert_int_equal(call_now(&c), -ETIMEDOUT);
    assert_int_equal(conc_queue_task_done(&q), 0);
    assert_int_equal(conc_queue_task_done(&q), -EINVAL);
    conc_queue_destroy(&q);
}

/* ---- Shutdown. As CPython 3.13's Queue.shutdown() ---- */

static void test_shutdown_when_graceful_lets_getters_have_the_rest(void **state)
{
    conc_queue q;
    init_full(&q, 2);
    conc_queue_shutdown(&q, false);
    ASSERT_HOLDS(&q, 1, 2);
    assert_int_equal(get_int(&q), -ESHUTDOWN);
    conc_queue_destroy(&q);
}

static void test_shutdown_when_immediate_leaves_nothing(void **state)
{
    conc_queue q;
    init_full(&q, 2);
    conc_queue_shutdown(&q, true);
    assert_true(conc_queue_is_empty(&q));
    assert_int_equal(get_int(&q), -ESHUTDOWN);
    conc_queue_destroy(&q);
}

static void test_shutdown_when_repeated_changes_nothing(void **state)
{
    conc_queue q;
    init_full(&q, 1);
    conc_queue_shutdown(&q, false);
    conc_queue_shutdown(&q, false);
    ASSERT_HOLDS(&q, 1);
    conc_queue_shutdown(&q, true);
    conc_queue_shutdown(&q, true);
    conc_queue_shutdown(&q, false);
    assert_int_equal(get_int(&q), -ESHUTDOWN);
    assert_int_equal(put_int(&q, 1), -ESHUTDOWN);
    conc_queue_destroy(&q);
}

static void test_shutdown_when_immediate_after_graceful_throws_the_rest_away(void **state)
{
    conc_queue q;
    init_full(&q, 2);
    conc_queue_shutdown(&q, false);
    assert_int_equal(get_int(&q), 1);
    conc_queue_shutdown(&q, true);
    assert_int_equal(get_int(&q), -ESHUTDOWN);
    conc_queue_destroy(&q);
}

static void test_shutdown_releases_all_getters(void **state)
{
    for (int immediate = 0; immediate < 2; immediate++) {
        conc_queue q;
        init_empty(&q, 1);
        struct call a = call_of(&q, GET, 0, 1, CONC_FOREVER),
                    b = call_of(&q, GET_MANY, 0, 2, CONC_FOREVER);
        call_start(&a, "a");
        call_start(&b, "b");
        conc_queue_shutdown(&q, immediate);
        assert_int_equal(call_result(&a), -ESHUTDOWN);
        assert_int_equal(call_result(&b), -ESHUTDOWN);
        conc_queue_destroy(&q);
    }
}

static void test_shutdown_releases_all_putters(void **state)
{
    for (int immediate = 0; immediate < 2; immediate++) {
        conc_queue q;
        init_full(&q, 1);
        struct call a = call_of(&q, PUT, 0, 1, CONC_FOREVER),
                    b = call_of(&q, PUT_MANY, 0, 2, CONC_FOREVER);
        call_start(&a, "a");
        call_start(&b, "b");
        conc_queue_shutdown(&q, immediate);
        assert_int_equal(call_result(&a), -ESHUTDOWN);
        assert_int_equal(call_result(&b), -ESHUTDOWN);
        conc_queue_destroy(&q);
    }
}

static void test_get_after_graceful_shutdown_lets_nobody_in(void **state)
{
    conc_queue q;
    init_full(&q, 1);
    struct call a = call_of(&q, PUT, 10, 1, CONC_FOREVER);
    call_start(&a, "a");
    conc_queue_shutdown(&q, false);
    call_result(&a);
    ASSERT_HOLDS(&q, 1);
    assert_int_equal(get_int(&q), -ESHUTDOWN);
    conc_queue_destroy(&q);
}

static void test_joiner_at_graceful_shutdown_waits_on(void **state)
{
    conc_queue q;
    init_full(&q, 1);
    struct call c = call_of(&q, JOIN, 0, 0, CONC_FOREVER);
    call_start(&c, "joiner");
    conc_queue_shutdown(&q, false);
    wait_until_n_blocked(&q, 1);
    assert_int_equal(get_int(&q), 1);
    assert_int_equal(conc_queue_task_done(&q), 0);
    assert_int_equal(call_result(&c), 0);
    conc_queue_destroy(&q);
}

static void test_joiner_at_immediate_shutdown_waits_for_what_was_got_only(void **state)
{
    conc_queue q;
    init_full(&q, 3);
    get_int(&q);
    struct call c = call_of(&q, JOIN, 0, 0, CONC_FOREVER);
    call_start(&c, "joiner");
    conc_queue_shutdown(&q, true);
    wait_until_n_blocked(&q, 1);
    assert_int_equal(conc_queue_task_done(&q), 0);
    assert_int_equal(call_result(&c), 0);
    assert_int_equal(conc_queue_task_done(&q), -EINVAL);
    conc_queue_destroy(&q);
}

static void test_joiner_at_immediate_shutdown_with_nothing_else_unfinished_returns(void **state)
{
    conc_queue q;
    init_full(&q, 3);
    struct call c = call_of(&q, JOIN, 0, 0, CONC_FOREVER);
    call_start(&c, "joiner");
    conc_queue_shutdown(&q, true);
    assert_int_equal(call_result(&c), 0);
    conc_queue_destroy(&q);
}

static void test_immediate_shutdown_after_early_task_done_counts_none_twice(void **state)
{
    conc_queue q;
    init_full(&q, 3);
    conc_queue_task_done(&q), conc_queue_task_done(&q);
    conc_queue_shutdown(&q, true); /* throws three away, of which one is unfinished */
    assert_int_equal(conc_queue_join(&q, CONC_NOW), 0);
    assert_int_equal(conc_queue_task_done(&q), -EINVAL);
    conc_queue_destroy(&q);
}

/* ---- What is thrown away ---- */

struct dropped {
    conc_queue *queue; /* NULL: don't look */
    int items[CALL_ITEMS];
    size_t n;
};

static void note_dropped(void *item, void *arg)
{
    struct dropped *d = arg;
    d->items[d->n++] = *(int *)item;
    if (!d->queue)
        return;
    /* no lock is held: any call works */
    assert_true(conc_queue_is_empty(d->queue));
    assert_int_equal(put_int(d->queue, 1), -ESHUTDOWN);
}

static int compare_ints(const void *a, const void *b, void *arg)
{
    int x = *(const int *)a, y = *(const int *)b;
    return (x > y) - (x < y);
}

/* 5, 3, 9 and 4 in a queue of that order; its ring, if it is one, has gone round. */
static void init_5394(conc_queue *q, conc_queue_order order, struct dropped *d)
{
    if (order == CONC_PRIORITY)
        assert_int_equal(conc_queue_init_priority(q, sizeof(int), 4, compare_ints, NULL), 0);
    else
        assert_int_equal(conc_queue_init(q, sizeof(int), 4, order), 0);
    put_int(q, 0), put_int(q, 0), get_int(q), get_int(q);
    static const int items[] = {5, 3, 9, 4};
    assert_int_equal(conc_queue_put_many(q, items, 4, CONC_NOW), 4);
    conc_queue_on_drop(q, note_dropped, d);
}

static const struct {
    conc_queue_order order;
    int items[4];
} dropped_in_order[] = {
    {CONC_FIFO, {5, 3, 9, 4}},
    {CONC_LIFO, {4, 9, 3, 5}},
    {CONC_PRIORITY, {3, 4, 5, 9}},
};

static void test_immediate_shutdown_drops_in_the_order_of_getting_with_no_lock_held(void **state)
{
    for (size_t i = 0; i < 3; i++) {
        conc_queue q;
        struct dropped d = {.queue = &q};
        init_5394(&q, dropped_in_order[i].order, &d);
        conc_queue_shutdown(&q, true);
        assert_int_equal(d.n, 4);
        assert_memory_equal(d.items, dropped_in_order[i].items, sizeof dropped_in_order[i].items);
        d.queue = NULL;
        conc_queue_destroy(&q);
        assert_int_equal(d.n, 4); /* none a second time */
    }
}

static void test_destroy_drops_what_is_left(void **state)
{
    for (size_t i = 0; i < 3; i++) {
        conc_queue q;
        struct dropped d = {.n = 0};
        init_5394(&q, dropped_in_order[i].order, &d);
        int first = get_int(&q);
        assert_int_equal(first, dropped_in_order[i].items[0]);
        conc_queue_destroy(&q);
        assert_int_equal(d.n, 3);
        assert_memory_equal(d.items, dropped_in_order[i].items + 1, 3 * sizeof(int));
    }
}

static void test_graceful_shutdown_drops_nothing(void **state)
{
    conc_queue q;
    struct dropped d = {.n = 0};
    init_5394(&q, CONC_FIFO, &d);
    conc_queue_shutdown(&q, false);
    assert_int_equal(d.n, 0);
    conc_queue_destroy(&q);
}

static void test_destroy_frees_all_memory(void **state)
{
    int32_t before = conc__hooks.allocated;
    conc_queue q;
    init_full(&q, 3);
    conc_queue_destroy(&q);
    init_full(&q, 3);
    conc_queue_shutdown(&q, true);
    assert_int_equal(conc__hooks.allocated, before); /* already: nothing can come in any more */
    conc_queue_destroy(&q);
    assert_int_equal(conc__hooks.allocated, before);
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_a_queue_tells_what_is_unfinished_and_that_it_is_shut_down),
    cmocka_unit_test(test_task_done_more_often_than_put_is_refused),
    cmocka_unit_test(test_join_when_nothing_was_put_returns_at_once),
    cmocka_unit_test(test_join_when_something_is_unfinished_cannot_be_now),
    cmocka_unit_test(test_join_when_cancelled_says_so_even_with_nothing_to_wait_for),
    cmocka_unit_test(test_join_that_waited_when_its_time_is_up_says_so),
    cmocka_unit_test(test_join_that_waited_when_cancelled_says_so),
    cmocka_unit_test(test_join_waits_for_the_last_task_done_not_for_the_last_get),
    cmocka_unit_test(test_element_handed_over_counts_as_unfinished),
    cmocka_unit_test(test_element_let_in_counts_as_unfinished),
    cmocka_unit_test(test_batch_partly_in_counts_as_far_as_it_is_in),
    cmocka_unit_test(test_put_that_failed_does_not_count_as_unfinished),
    cmocka_unit_test(test_shutdown_when_graceful_lets_getters_have_the_rest),
    cmocka_unit_test(test_shutdown_when_immediate_leaves_nothing),
    cmocka_unit_test(test_shutdown_when_repeated_changes_nothing),
    cmocka_unit_test(test_shutdown_when_immediate_after_graceful_throws_the_rest_away),
    cmocka_unit_test(test_shutdown_releases_all_getters),
    cmocka_unit_test(test_shutdown_releases_all_putters),
    cmocka_unit_test(test_get_after_graceful_shutdown_lets_nobody_in),
    cmocka_unit_test(test_joiner_at_graceful_shutdown_waits_on),
    cmocka_unit_test(test_joiner_at_immediate_shutdown_waits_for_what_was_got_only),
    cmocka_unit_test(test_joiner_at_immediate_shutdown_with_nothing_else_unfinished_returns),
    cmocka_unit_test(test_immediate_shutdown_after_early_task_done_counts_none_twice),
    cmocka_unit_test(test_immediate_shutdown_drops_in_the_order_of_getting_with_no_lock_held),
    cmocka_unit_test(test_destroy_drops_what_is_left),
    cmocka_unit_test(test_graceful_shutdown_drops_nothing),
    cmocka_unit_test(test_destroy_frees_all_memory),
};

TEST_MAIN(tests, 50)
