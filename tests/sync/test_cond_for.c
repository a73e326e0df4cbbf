/* SPDX-License-Identifier: MIT
 *
 * test_cond_for.c: conc_cond_wait_for().
 */
#include <conc/cond.h>

#include "base/atomic.h"
#include "base/hooks.h"
#include "support.h"

struct room {
    conc_lock lock;
    conc_cond cond;
};

#define ROOM_INIT(room)                                              \
    {                                                                \
        .lock = CONC_LOCK_INIT, .cond = CONC_COND_INIT(&(room).lock) \
    }

static void notify(struct room *room)
{
    conc_with_lock (&room->lock)
        assert_int_equal(conc_cond_notify(&room->cond, 1), 0);
}

struct condition {
    struct room *room;
    int calls, true_from; /* the predicate is true from this call on */
};

static bool true_after_some_calls(void *arg)
{
    struct condition *c = arg;
    CHECK(conc_lock_is_locked(&c->room->lock));
    return fetch_add_relaxed(&c->calls, 1) + 1 >= c->true_from;
}

static void test_wait_for_looks_at_once_and_last(void **state)
{
    struct room room = ROOM_INIT(room);
    const struct {
        conc_deadline deadline;
        int true_from, result, calls;
    } cases[] = {
        {CONC_FOREVER, 1, 0, 1},
        {CONC_NOW, 1, 0, 1},
        {conc_in(0), 1, 0, 1},
        {CONC_NOW, 3, -EAGAIN, 2},
        {conc_in(0), 3, -ETIMEDOUT, 2},
        {conc_in(0), 2, 0, 2}, /* true at last: that counts */
        {CONC_NOW, 2, 0, 2},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct condition c = {.room = &room, .true_from = cases[i].true_from};
        conc_lock_enter(&room.lock);
        int result = conc_cond_wait_for(&room.cond, true_after_some_calls, &c, cases[i].deadline);
        assert_int_equal(result, cases[i].result);
        assert_int_equal(c.calls, cases[i].calls);
        assert_int_equal(conc_lock_release(&room.lock), 0);
    }
}

struct wait_for {
    struct room room;
    struct condition condition;
    conc_scope scope;
    conc_deadline deadline;
    int result, exit;
};

static void wait_for_it(void *arg)
{
    struct wait_for *w = arg;
    conc_scope_enter(&w->scope, CONC_FOREVER);
    conc_lock_enter(&w->room.lock);
    w->result =
        conc_cond_wait_for(&w->room.cond, true_after_some_calls, &w->condition, w->deadline);
    CHECK_EQUAL(conc_lock_release(&w->room.lock), 0);
    w->exit = conc_scope_exit(&w->scope);
}

static void start_wait_for(struct test_thread *t, struct wait_for *w, int true_from)
{
    w->condition.room = &w->room;
    w->condition.true_from = true_from;
    test_thread_start(t, NULL, wait_for_it, w);
    wait_until_n_blocked(&w->room.cond, 1);
}

static void test_wait_for_waits_until_the_predicate_is_true(void **state)
{
    struct wait_for w = {.room = ROOM_INIT(w.room), .deadline = CONC_FOREVER};
    struct test_thread t;
    start_wait_for(&t, &w, 4);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(load_relaxed(&w.condition.calls), i + 1);
        notify(&w.room);
        WAIT_UNTIL(load_relaxed(&w.condition.calls) == i + 2);
        if (i < 2)
            wait_until_n_blocked(&w.room.cond, 1);
    }
    test_thread_join(&t);
    assert_int_equal(w.result, 0);
    assert_int_equal(w.condition.calls, 4);
}

static void test_wait_for_keeps_its_deadline_over_notifications(void **state)
{
    struct wait_for w = {.room = ROOM_INIT(w.room), .deadline = conc_in(CONC_S(900))};
    struct test_thread t;
    start_wait_for(&t, &w, 99);
    conc__test_advance(CONC_S(600));
    notify(&w.room);
    WAIT_UNTIL(load_relaxed(&w.condition.calls) == 2);
    wait_until_n_blocked(&w.room.cond, 1);
    conc__test_advance(CONC_S(600));
    test_thread_join(&t);
    assert_int_equal(w.result, -ETIMEDOUT);
}

static void test_cancelled_wait_for_is_ECANCELED(void **state)
{
    struct wait_for w = {.room = ROOM_INIT(w.room), .deadline = CONC_FOREVER};
    struct test_thread t;
    start_wait_for(&t, &w, 99);
    conc_scope_cancel(&w.scope);
    test_thread_join(&t);
    assert_int_equal(w.result, -ECANCELED);
    assert_int_equal(w.exit, -ECANCELED);
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_wait_for_looks_at_once_and_last),
    cmocka_unit_test(test_wait_for_waits_until_the_predicate_is_true),
    cmocka_unit_test(test_wait_for_keeps_its_deadline_over_notifications),
    cmocka_unit_test(test_cancelled_wait_for_is_ECANCELED),
};

TEST_MAIN(tests, 50)
