/* SPDX-License-Identifier: MIT
 *
 * test_queue.c: putting and getting, one element or many, waiting or not: each result, and which
 * waiter is served when.
 */
#include "queue_calls.h"

#include "base/atomic.h"
#include "base/hooks.h"
#include "fibers.h"

/* ---- Results ---- */

enum setting { EMPTY, FULL, FULL_SHUT, EMPTY_SHUT };
enum when { NOW, PAST, CANCELLED, CANCELLED_NOW };

static conc_deadline deadline_of(enum when when)
{
    return when == NOW || when == CANCELLED_NOW ? CONC_NOW
           : when == PAST                       ? conc_at(1)
                                                : CONC_FOREVER;
}

/* The queue holds 1, or nothing. */
static ptrdiff_t result_of(enum call_kind kind, enum setting setting, enum when when, int *item)
{
    conc_queue q;
    conc_scope scope;
    if (setting == FULL || setting == FULL_SHUT)
        init_full(&q, 1);
    else
        init_empty(&q, 1);
    if (setting == FULL_SHUT || setting == EMPTY_SHUT)
        conc_queue_shutdown(&q, false);
    struct call c = call_of(&q, kind, 7, 2, deadline_of(when));
    conc_scope_enter(&scope, CONC_FOREVER);
    if (when == CANCELLED || when == CANCELLED_NOW)
        conc_scope_cancel(&scope);
    ptrdiff_t result = call_now(&c);
    conc_scope_exit(&scope);
    *item = c.items[0];
    conc_queue_destroy(&q);
    return result;
}

static const struct {
    enum call_kind kind;
    enum setting setting;
    enum when when;
    ptrdiff_t result;
} results[] = {
    {PUT, EMPTY, NOW, 0},
    {PUT, EMPTY, PAST, 0},
    {PUT, EMPTY, CANCELLED, -ECANCELED},
    {PUT, EMPTY, CANCELLED_NOW, 0},
    {PUT, FULL, NOW, -EAGAIN},
    {PUT, FULL, PAST, -ETIMEDOUT},
    {PUT, FULL, CANCELLED, -ECANCELED},
    {PUT, FULL, CANCELLED_NOW, -EAGAIN},
    {PUT, FULL_SHUT, NOW, -ESHUTDOWN},
    {PUT, FULL_SHUT, PAST, -ESHUTDOWN},
    {PUT, FULL_SHUT, CANCELLED, -ECANCELED},
    {PUT, EMPTY_SHUT, NOW, -ESHUTDOWN},
    {GET, FULL, NOW, 0},
    {GET, FULL, PAST, 0},
    {GET, FULL, CANCELLED, -ECANCELED},
    {GET, FULL, CANCELLED_NOW, 0},
    {GET, EMPTY, NOW, -EAGAIN},
    {GET, EMPTY, PAST, -ETIMEDOUT},
    {GET, EMPTY, CANCELLED, -ECANCELED},
    {GET, EMPTY, CANCELLED_NOW, -EAGAIN},
    {GET, FULL_SHUT, NOW, 0},
    {GET, FULL_SHUT, CANCELLED, -ECANCELED},
    {GET, EMPTY_SHUT, NOW, -ESHUTDOWN},
    {GET, EMPTY_SHUT, PAST, -ESHUTDOWN},
    {PUT_MANY, EMPTY, NOW, 1}, /* two are to be put, into room for one */
    {PUT_MANY, EMPTY, PAST, 1},
    {PUT_MANY, EMPTY, CANCELLED, -ECANCELED},
    {PUT_MANY, FULL, NOW, -EAGAIN},
    {PUT_MANY, FULL, PAST, -ETIMEDOUT},
    {PUT_MANY, FULL_SHUT, NOW, -ESHUTDOWN},
    {PUT_MANY, EMPTY_SHUT, PAST, -ESHUTDOWN},
    {GET_MANY, FULL, NOW, 1},
    {GET_MANY, FULL, PAST, 1},
    {GET_MANY, FULL, CANCELLED, -ECANCELED},
    {GET_MANY, EMPTY, NOW, -EAGAIN},
    {GET_MANY, EMPTY, PAST, -ETIMEDOUT},
    {GET_MANY, FULL_SHUT, NOW, 1},
    {GET_MANY, EMPTY_SHUT, NOW, -ESHUTDOWN},
};

static void test_call_that_need_not_wait_returns_as_documented(void **state)
{
    for (size_t i = 0; i < sizeof results / sizeof *results; i++) {
        int item;
        ptrdiff_t result = result_of(results[i].kind, results[i].setting, results[i].when, &item);
        if (result != results[i].result)
            fail_msg("case %zu: %td, not %td", i, result, results[i].result);
    }
}

static void test_get_when_it_fails_leaves_the_item_untouched(void **state)
{
    for (size_t i = 0; i < sizeof results / sizeof *results; i++) {
        int item;
        bool gets = results[i].kind == GET || results[i].kind == GET_MANY;
        if (gets && result_of(results[i].kind, results[i].setting, results[i].when, &item) < 0)
            assert_int_equal(item, UNTOUCHED);
    }
}

static void test_many_of_nothing_is_nothing(void **state)
{
    conc_queue q;
    init_full(&q, 1);
    conc_queue_shutdown(&q, true);
    assert_int_equal(conc_queue_put_many(&q, NULL, 0, CONC_FOREVER), 0);
    assert_int_equal(conc_queue_get_many(&q, NULL, 0, CONC_FOREVER), 0);
    conc_queue_destroy(&q);
}

/* ---- Waiting ends ---- */

enum ending { SERVED, TIMED_OUT, CANCEL, SHUTDOWN, SHUTDOWN_NOW };

static const struct {
    enum ending ending;
    int result;
} endings[] = {{SERVED, 0},
               {TIMED_OUT, -ETIMEDOUT},
               {CANCEL, -ECANCELED},
               {SHUTDOWN, -ESHUTDOWN},
               {SHUTDOWN_NOW, -ESHUTDOWN}};

enum { ENDINGS = sizeof endings / sizeof *endings };

static void call_start_for_a_minute(struct call *c)
{
    c->deadline = conc_in(CONC_S(60));
    call_start(c, "waiter");
}

/* End the wait of a call that waits for a minute, and return its result. */
static ptrdiff_t end_wait(struct call *c, enum ending ending)
{
    if (ending == SERVED)
        c->kind == GET ? put_int(c->queue, 5) : get_int(c->queue);
    else if (ending == TIMED_OUT)
        conc__test_advance(CONC_S(61));
    else if (ending == CANCEL)
        conc_scope_cancel(&c->scope);
    else
        conc_queue_shutdown(c->queue, ending == SHUTDOWN_NOW);
    return call_result(c);
}

static void test_put_that_waited_when_it_ends_says_why(void **state)
{
    for (size_t i = 0; i < ENDINGS; i++) {
        conc_queue q;
        init_full(&q, 1);
        struct call c = call_of(&q, PUT, 2, 1, CONC_FOREVER);
        call_start_for_a_minute(&c);
        assert_int_equal(end_wait(&c, endings[i].ending), endings[i].result);
        conc_queue_destroy(&q);
    }
}

static void test_put_that_waited_when_it_fails_has_put_nothing(void **state)
{
    static const enum ending failures[] = {TIMED_OUT, CANCEL, SHUTDOWN};
    for (size_t i = 0; i < 3; i++) {
        conc_queue q;
        init_full(&q, 1);
        struct call c = call_of(&q, PUT, 2, 1, CONC_FOREVER);
        call_start_for_a_minute(&c);
        end_wait(&c, failures[i]);
        ASSERT_HOLDS(&q, 1);
        conc_queue_destroy(&q);
    }
}

static void test_get_that_waited_when_it_ends_says_why(void **state)
{
    for (size_t i = 0; i < ENDINGS; i++) {
        conc_queue q;
        init_empty(&q, 1);
        struct call c = call_of(&q, GET, 0, 1, CONC_FOREVER);
        call_start_for_a_minute(&c);
        assert_int_equal(end_wait(&c, endings[i].ending), endings[i].result);
        assert_int_equal(c.items[0], endings[i].ending == SERVED ? 5 : UNTOUCHED);
        conc_queue_destroy(&q);
    }
}

static void test_get_that_gave_up_takes_nothing_later(void **state)
{
    static const enum ending failures[] = {TIMED_OUT, CANCEL};
    for (size_t i = 0; i < 2; i++) {
        conc_queue q;
        init_empty(&q, 1);
        struct call c = call_of(&q, GET, 0, 1, CONC_FOREVER);
        call_start_for_a_minute(&c);
        end_wait(&c, failures[i]);
        put_int(&q, 7);
        ASSERT_HOLDS(&q, 7);
        conc_queue_destroy(&q);
    }
}

static void test_put_many_that_waited_when_it_fails_says_how_many_are_in(void **state)
{
    for (size_t i = 1; i < ENDINGS; i++) {
        conc_queue q;
        init_full(&q, 2);
        struct call c = call_of(&q, PUT_MANY, 10, 4, CONC_FOREVER);
        call_start_for_a_minute(&c);
        assert_int_equal(get_int(&q), 1);
        assert_int_equal(get_int(&q), 2);
        assert_int_equal(end_wait(&c, endings[i].ending), 2);
        if (endings[i].ending != SHUTDOWN_NOW)
            ASSERT_HOLDS(&q, 10, 11);
        conc_queue_destroy(&q);
    }
}

static void test_put_many_that_waited_when_it_fails_with_none_in_says_why(void **state)
{
    for (size_t i = 1; i < ENDINGS; i++) {
        conc_queue q;
        init_full(&q, 1);
        struct call c = call_of(&q, PUT_MANY, 10, 4, CONC_FOREVER);
        call_start_for_a_minute(&c);
        assert_int_equal(end_wait(&c, endings[i].ending), endings[i].result);
        conc_queue_destroy(&q);
    }
}

/* ---- Which waiter is served, and with what ---- */

static void test_put_with_getters_waiting_serves_them_in_order_of_arrival(void **state)
{
    conc_queue q;
    init_empty(&q, 1);
    struct call a = call_of(&q, GET, 0, 1, CONC_FOREVER), b = a, c = a;
    call_start(&a, "a");
    call_start(&b, "b");
    call_start(&c, "c");
    for (int i = 1; i <= 3; i++)
        assert_int_equal(put_int(&q, i), 0);
    assert_true(conc_queue_is_empty(&q));
    call_result(&a), call_result(&b), call_result(&c);
    assert_int_equal(a.items[0], 1);
    assert_int_equal(b.items[0], 2);
    assert_int_equal(c.items[0], 3);
    conc_queue_destroy(&q);
}

static void test_get_with_putters_waiting_lets_them_in_in_order_of_arrival(void **state)
{
    conc_queue q;
    init_full(&q, 1);
    struct call a = call_of(&q, PUT, 10, 1, CONC_FOREVER),
                b = call_of(&q, PUT, 20, 1, CONC_FOREVER);
    call_start(&a, "a");
    call_start(&b, "b");
    assert_int_equal(get_int(&q), 1);
    assert_int_equal(conc_queue_size(&q), 1); /* at once, whether a runs or not */
    assert_int_equal(get_int(&q), 10);
    assert_int_equal(get_int(&q), 20);
    assert_int_equal(call_result(&a), 0);
    assert_int_equal(call_result(&b), 0);
    conc_queue_destroy(&q);
}

static void test_getter_that_gave_up_is_passed_over(void **state)
{
    conc_queue q;
    init_empty(&q, 1);
    struct call a = call_of(&q, GET, 0, 1, conc_in(CONC_S(60))), b = a;
    b.deadline = CONC_FOREVER;
    call_start(&a, "a");
    call_start(&b, "b");
    conc__test_advance(CONC_S(61));
    assert_int_equal(call_result(&a), -ETIMEDOUT);
    put_int(&q, 5);
    assert_int_equal(call_result(&b), 0);
    assert_int_equal(b.items[0], 5);
    conc_queue_destroy(&q);
}

static void test_putter_that_gave_up_is_passed_over(void **state)
{
    conc_queue q;
    init_full(&q, 1);
    struct call a = call_of(&q, PUT, 10, 1, conc_in(CONC_S(60))),
                b = call_of(&q, PUT, 20, 1, CONC_FOREVER);
    call_start(&a, "a");
    call_start(&b, "b");
    conc__test_advance(CONC_S(61));
    assert_int_equal(call_result(&a), -ETIMEDOUT);
    assert_int_equal(get_int(&q), 1);
    assert_int_equal(call_result(&b), 0);
    ASSERT_HOLDS(&q, 20);
    conc_queue_destroy(&q);
}

static void test_put_many_with_getters_waiting_serves_each_then_fills_the_queue(void **state)
{
    conc_queue q;
    init_empty(&q, 2);
    struct call a = call_of(&q, GET, 0, 1, CONC_FOREVER),
                b = call_of(&q, GET_MANY, 0, 3, CONC_FOREVER);
    call_start(&a, "a");
    call_start(&b, "b");
    struct call put = call_of(&q, PUT_MANY, 1, 7, CONC_NOW);
    assert_int_equal(call_now(&put), 6); /* 1 to a, 3 to b, 2 fit in */
    assert_int_equal(call_result(&a), 0);
    assert_int_equal(a.items[0], 1);
    assert_int_equal(call_result(&b), 3);
    assert_int_equal(b.items[0], 2);
    assert_int_equal(b.items[2], 4);
    ASSERT_HOLDS(&q, 5, 6);
    conc_queue_destroy(&q);
}

static void test_put_many_that_waits_comes_in_as_a_whole_before_the_next(void **state)
{
    conc_queue q;
    init_full(&q, 1);
    struct call many = call_of(&q, PUT_MANY, 10, 3, CONC_FOREVER),
                one = call_of(&q, PUT, 20, 1, CONC_FOREVER);
    call_start(&many, "many");
    call_start(&one, "one");
    static const int in_order[] = {1, 10, 11, 12, 20};
    assert_next(&q, in_order, 5);
    assert_int_equal(call_result(&many), 3);
    assert_int_equal(call_result(&one), 0);
    conc_queue_destroy(&q);
}

static void test_get_many_takes_what_is_there_and_lets_in_who_waits(void **state)
{
    conc_queue q;
    init_full(&q, 2);
    struct call a = call_of(&q, PUT_MANY, 10, 3, CONC_FOREVER),
                b = call_of(&q, PUT, 20, 1, CONC_FOREVER);
    call_start(&a, "a");
    call_start(&b, "b");
    int got[5];
    assert_int_equal(conc_queue_get_many(&q, got, 5, CONC_NOW), 5);
    static const int expected[] = {1, 2, 10, 11, 12};
    assert_memory_equal(got, expected, sizeof expected);
    assert_int_equal(call_result(&a), 3);
    assert_int_equal(call_result(&b), 0);
    ASSERT_HOLDS(&q, 20);
    conc_queue_destroy(&q);
}

/* ---- Between contexts of all kinds ---- */

static void get_many_first(size_t index, void *arg)
{
    conc_queue *q = arg;
    int items[CALL_ITEMS];
    if (index == 0) {
        CHECK_EQUAL(conc_queue_get_many(q, items, 5, CONC_FOREVER), 3);
        for (int i = 0; i < 3; i++)
            CHECK_EQUAL(items[i], i);
    } else {
        for (int i = 0; i < 3; i++)
            CHECK_EQUAL(put_int(q, i), 0);
    }
}

/* Two fibers of a loop: the getter, having been handed the first, runs only after the other has put
 * all three. */
static void test_get_many_that_waited_takes_also_what_came_meanwhile(void **state)
{
    conc_queue q;
    init_empty(&q, 0);
    run_contexts(FIBERS, 2, get_many_first, &q);
    assert_true(conc_queue_is_empty(&q));
    conc_queue_destroy(&q);
}

enum { PASSED = 200 };

struct passing {
    conc_queue queue;
    uint64_t sum; /* of what was got */
};

/* 0 and 1 put, 2 and 3 get and say so, 4 joins. */
static void pass_on(size_t index, void *arg)
{
    struct passing *p = arg;
    for (int i = 1; i <= PASSED && index < 4; i++) {
        int item = i;
        if (index < 2) {
            CHECK_EQUAL(conc_queue_put(&p->queue, &item, CONC_FOREVER), 0);
        } else {
            CHECK_EQUAL(conc_queue_get(&p->queue, &item, CONC_FOREVER), 0);
            fetch_add_relaxed(&p->sum, item);
            CHECK_EQUAL(conc_queue_task_done(&p->queue), 0);
        }
    }
    if (index == 4)
        CHECK_EQUAL(conc_queue_join(&p->queue, CONC_FOREVER), 0);
}

static void test_queue_between_all_kinds_of_contexts_passes_all(void **state)
{
    for (int kind = 0; kind < CONTEXT_KINDS; kind++) {
        struct passing p = {.sum = 0};
        init_empty(&p.queue, 1);
        run_contexts(kind, 5, pass_on, &p);
        assert_int_equal(p.sum, 2 * PASSED * (PASSED + 1) / 2);
        assert_int_equal(conc_queue_task_done(&p.queue), -EINVAL); /* all were told */
        conc_queue_destroy(&p.queue);
    }
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_call_that_need_not_wait_returns_as_documented),
    cmocka_unit_test(test_get_when_it_fails_leaves_the_item_untouched),
    cmocka_unit_test(test_many_of_nothing_is_nothing),
    cmocka_unit_test(test_put_that_waited_when_it_ends_says_why),
    cmocka_unit_test(test_put_that_waited_when_it_fails_has_put_nothing),
    cmocka_unit_test(test_get_that_waited_when_it_ends_says_why),
    cmocka_unit_test(test_get_that_gave_up_takes_nothing_later),
    cmocka_unit_test(test_put_many_that_waited_when_it_fails_says_how_many_are_in),
    cmocka_unit_test(test_put_many_that_waited_when_it_fails_with_none_in_says_why),
    cmocka_unit_test(test_put_with_getters_waiting_serves_them_in_order_of_arrival),
    cmocka_unit_test(test_get_with_putters_waiting_lets_them_in_in_order_of_arrival),
    cmocka_unit_test(test_getter_that_gave_up_is_passed_over),
    cmocka_unit_test(test_putter_that_gave_up_is_passed_over),
    cmocka_unit_test(test_put_many_with_getters_waiting_serves_each_then_fills_the_queue),
    cmocka_unit_test(test_put_many_that_waits_comes_in_as_a_whole_before_the_next),
    cmocka_unit_test(test_get_many_takes_what_is_there_and_lets_in_who_waits),
    cmocka_unit_test(test_get_many_that_waited_takes_also_what_came_meanwhile),
    cmocka_unit_test(test_queue_between_all_kinds_of_contexts_passes_all),
};

TEST_MAIN(tests, 50)
