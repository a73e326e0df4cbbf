/* SPDX-License-Identifier: MIT
 *
 * test_cond.c: conditions, bound to a lock and to an rlock; notifications that race time-outs and
 * cancels. conc_cond_wait_for(): test_cond_for.c. At random: test_cond_stress.c.
 */
#include <string.h>

#include <conc/cond.h>

#include "base/hooks.h"
#include "support.h"
#include "wait/thread.h"
#include "wait/wait.h"

/* ---- A waiter, in a thread of its own ---- */

struct room {
    conc_lock lock;
    conc_cond cond;
    int order[8], n; /* the waiters that returned; under the lock */
};

#define ROOM_INIT(room)                                              \
    {                                                                \
        .lock = CONC_LOCK_INIT, .cond = CONC_COND_INIT(&(room).lock) \
    }

struct waiter {
    struct test_thread thread;
    struct room *room;
    int index;
    conc_deadline deadline;
    conc_scope scope;
    int result, afterwards, exit;
};

static void wait_and_log(void *arg)
{
    struct waiter *w = arg;
    struct room *room = w->room;
    conc_scope_enter(&w->scope, CONC_FOREVER);
    conc_lock_enter(&room->lock);
    w->result = conc_cond_wait(&room->cond, w->deadline);
    room->order[room->n++] = w->index;
    w->afterwards = conc_check_cancel();
    CHECK_EQUAL(conc_lock_release(&room->lock), 0); /* it is held, however the wait has ended */
    w->exit = conc_scope_exit(&w->scope);
}

static void start_waiters(struct room *room, struct waiter *w, int n)
{
    for (int i = 0; i < n; i++) {
        w[i].room = room;
        w[i].index = i;
        if (w[i].deadline.ns == 0)
            w[i].deadline = CONC_FOREVER;
        test_thread_start(&w[i].thread, NULL, wait_and_log, &w[i]);
        wait_until_n_blocked(&room->cond, (size_t)i + 1);
    }
}

static void end_waiters(struct waiter *w, int n)
{
    for (int i = 0; i < n; i++)
        test_thread_join(&w[i].thread);
}

static void notify(struct room *room, size_t n)
{
    conc_with_lock (&room->lock)
        assert_int_equal(conc_cond_notify(&room->cond, n), 0);
}

static int returned(struct room *room)
{
    int n;
    conc_lock_enter(&room->lock);
    n = room->n;
    conc_lock_release(&room->lock);
    return n;
}

/* ---- Misuse ---- */

static bool yes(void *arg) { return true; }

static void expect_EPERM(void *cond)
{
    CHECK_EQUAL(conc_cond_wait(cond, CONC_FOREVER), -EPERM);
    CHECK_EQUAL(conc_cond_wait(cond, CONC_NOW), -EPERM);
    CHECK_EQUAL(conc_cond_wait_for(cond, yes, NULL, CONC_FOREVER), -EPERM);
    CHECK_EQUAL(conc_cond_notify(cond, 1), -EPERM);
    CHECK_EQUAL(conc_cond_notify(cond, 0), -EPERM);
    CHECK_EQUAL(conc_cond_notify_all(cond), -EPERM);
}

static void test_without_the_lock_held_everything_is_EPERM(void **state)
{
    conc_lock lock = CONC_LOCK_INIT;
    conc_rlock rlock = CONC_RLOCK_INIT;
    conc_cond cond = CONC_COND_INIT(&lock), cond_r = CONC_COND_INIT_RLOCK(&rlock);
    expect_EPERM(&cond);
    expect_EPERM(&cond_r);
}

static void test_with_the_rlock_anothers_everything_is_EPERM(void **state)
{
    conc_rlock rlock = CONC_RLOCK_INIT;
    conc_cond cond = CONC_COND_INIT_RLOCK(&rlock);
    struct test_thread t;
    conc_rlock_enter(&rlock);
    test_thread_start(&t, NULL, expect_EPERM, &cond);
    test_thread_join(&t);
    assert_int_equal(conc_rlock_release(&rlock), 0);
}

static void test_init_binds_to_the_lock_given(void **state)
{
    conc_lock lock = CONC_LOCK_INIT;
    conc_rlock rlock = CONC_RLOCK_INIT;
    conc_cond cond;
    memset(&cond, 0xff, sizeof cond);
    conc_cond_init(&cond, &lock);
    assert_int_equal(conc_cond_notify(&cond, 1), -EPERM);
    conc_with_lock (&lock)
        assert_int_equal(conc_cond_notify(&cond, 1), 0);
    memset(&cond, 0xff, sizeof cond);
    conc_cond_init_rlock(&cond, &rlock);
    assert_int_equal(conc_cond_notify_all(&cond), -EPERM);
    conc_with_rlock (&rlock)
        assert_int_equal(conc_cond_notify_all(&cond), 0);
}

/* ---- Giving up ---- */

static void test_wait_with_NOW_is_EAGAIN(void **state)
{
    struct room room = ROOM_INIT(room);
    conc_scope ended;
    conc_lock_enter(&room.lock);
    assert_int_equal(conc_cond_wait(&room.cond, CONC_NOW), -EAGAIN);
    conc_scope_enter(&ended, conc_in(0));
    assert_int_equal(conc_cond_wait(&room.cond, CONC_NOW), -EAGAIN);
    assert_int_equal(conc_scope_exit(&ended), 0);
    assert_int_equal(conc_lock_release(&room.lock), 0); /* still held */
}

static void test_wait_past_its_deadline_is_ETIMEDOUT_with_the_lock_held(void **state)
{
    struct room room = ROOM_INIT(room);
    conc_lock_enter(&room.lock);
    assert_int_equal(conc_cond_wait(&room.cond, conc_in(0)), -ETIMEDOUT);
    assert_true(conc_lock_is_locked(&room.lock));
    int64_t before = real_now();
    assert_int_equal(conc_cond_wait(&room.cond, conc_in(CONC_MS(10))), -ETIMEDOUT);
    assert_true(real_now() - before >= CONC_MS(10));
    assert_int_equal(conc_lock_release(&room.lock), 0);
    assert_int_equal(room.cond.word, 0); /* so a notification costs nothing */
    assert_int_equal(room.lock.word, 0);
}

static void test_cancelled_wait_is_ECANCELED_with_the_lock_held(void **state)
{
    struct room room = ROOM_INIT(room);
    struct waiter w = {.index = 0};
    start_waiters(&room, &w, 1);
    conc_scope_cancel(&w.scope);
    end_waiters(&w, 1);
    assert_int_equal(w.result, -ECANCELED);
    assert_int_equal(w.exit, -ECANCELED);
    assert_int_equal(room.cond.word, 0);
}

static void test_wait_that_timed_out_returns_only_with_the_lock(void **state)
{
    struct room room = ROOM_INIT(room);
    struct waiter w = {.deadline = conc_in(CONC_S(900))};
    start_waiters(&room, &w, 1);
    conc_lock_enter(&room.lock);
    conc__test_advance(CONC_S(1000));
    wait_until_n_blocked(&room.lock, 1);
    assert_int_equal(room.n, 0);
    conc_lock_release(&room.lock);
    end_waiters(&w, 1);
    assert_int_equal(w.result, -ETIMEDOUT);
}

/* ---- Notifying ---- */

static void test_wait_releases_the_lock(void **state)
{
    struct room room = ROOM_INIT(room);
    struct waiter w = {.index = 0};
    start_waiters(&room, &w, 1);
    assert_int_equal(conc_lock_try_acquire(&room.lock), 0);
    assert_int_equal(conc_cond_notify(&room.cond, 1), 0);
    assert_int_equal(room.n, 0); /* it goes on when the lock is released, not before */
    wait_until_n_blocked(&room.cond, 1);
    assert_int_equal(conc_lock_release(&room.lock), 0);
    end_waiters(&w, 1);
    assert_int_equal(w.result, 0);
}

static void test_notify_wakes_in_order_of_arrival(void **state)
{
    struct room room = ROOM_INIT(room);
    struct waiter w[4] = {0};
    start_waiters(&room, w, 4);
    for (int i = 0; i < 4; i++) {
        notify(&room, 1);
        test_thread_join(&w[i].thread);
        assert_int_equal(w[i].result, 0);
        assert_int_equal(returned(&room), i + 1);
    }
}

static void test_notify_n_wakes_just_the_first_n_in_order(void **state)
{
    struct room room = ROOM_INIT(room);
    struct waiter w[6] = {0};
    start_waiters(&room, w, 6);
    notify(&room, 0);
    wait_until_n_blocked(&room.cond, 6);
    notify(&room, 4);
    end_waiters(w, 4);
    assert_int_equal(returned(&room), 4);
    wait_until_n_blocked(&room.cond, 2);
    notify(&room, 10);
    end_waiters(w + 4, 2);
    for (int i = 0; i < 6; i++) {
        assert_int_equal(w[i].result, 0);
        assert_int_equal(room.order[i], i);
    }
}

static void test_notify_all_wakes_all(void **state)
{
    struct room room = ROOM_INIT(room);
    struct waiter w[8] = {0};
    start_waiters(&room, w, 8);
    conc_with_lock (&room.lock)
        assert_int_equal(conc_cond_notify_all(&room.cond), 0);
    end_waiters(w, 8);
    assert_int_equal(room.n, 8);
    assert_int_equal(room.cond.word, 0);
    assert_int_equal(room.lock.word, 0);
}

static void test_notification_without_waiters_is_not_remembered(void **state)
{
    struct room room = ROOM_INIT(room);
    conc_lock_enter(&room.lock);
    assert_int_equal(conc_cond_notify(&room.cond, 1), 0);
    assert_int_equal(conc_cond_notify_all(&room.cond), 0);
    assert_int_equal(conc_cond_wait(&room.cond, conc_in(CONC_MS(2))), -ETIMEDOUT);
    assert_int_equal(conc_lock_release(&room.lock), 0);
}

static void test_kick_without_cause_is_no_spurious_wakeup(void **state)
{
    struct room room = ROOM_INIT(room);
    struct waiter w = {.index = 0};
    start_waiters(&room, &w, 1);
    for (int i = 0; i < 100; i++)
        w.scope.context->ops->kick(w.scope.context);
    WAIT_UNTIL(load_relaxed(&thread_of(w.scope.context)->word) == THREAD_SLEEPING /* again */);
    wait_until_n_blocked(&room.cond, 1);
    assert_int_equal(returned(&room), 0);
    notify(&room, 1);
    end_waiters(&w, 1);
    assert_int_equal(w.result, 0);
}

static void test_conditions_of_one_lock_are_apart(void **state)
{
    struct room room = ROOM_INIT(room);
    conc_cond other = CONC_COND_INIT(&room.lock);
    struct waiter w = {.index = 0};
    start_waiters(&room, &w, 1);
    conc_with_lock (&room.lock)
        assert_int_equal(conc_cond_notify_all(&other), 0);
    wait_until_n_blocked(&room.cond, 1);
    assert_int_equal(returned(&room), 0);
    notify(&room, 1);
    end_waiters(&w, 1);
}

/* ---- Notifications that race ---- */

static void test_notified_waiter_whose_deadline_comes_returns_0(void **state)
{
    struct room room = ROOM_INIT(room);
    struct waiter w = {.deadline = conc_in(CONC_S(900))};
    start_waiters(&room, &w, 1);
    conc_lock_enter(&room.lock);
    assert_int_equal(conc_cond_notify(&room.cond, 1), 0);
    conc__test_advance(CONC_S(1000));
    /* it notices, finds itself moved, and sleeps again without a deadline */
    WAIT_UNTIL(load_relaxed(&thread_of(w.scope.context)->word) == THREAD_SLEEPING);
    conc_lock_release(&room.lock);
    end_waiters(&w, 1);
    assert_int_equal(w.result, 0);
}

static void test_notified_waiter_that_is_cancelled_returns_0(void **state)
{
    struct room room = ROOM_INIT(room);
    struct waiter w = {.index = 0};
    start_waiters(&room, &w, 1);
    conc_lock_enter(&room.lock);
    assert_int_equal(conc_cond_notify(&room.cond, 1), 0);
    conc_scope_cancel(&w.scope);
    conc_lock_release(&room.lock);
    end_waiters(&w, 1);
    assert_int_equal(w.result, 0);
    assert_int_equal(w.afterwards, -ECANCELED); /* not lost either */
}

static void test_notification_goes_to_one_who_has_not_given_up(void **state)
{
    for (int by_cancel = 0; by_cancel < 2; by_cancel++) {
        struct room room = ROOM_INIT(room);
        struct waiter w[2] = {{.deadline = conc_in(CONC_S(900))}, {.index = 1}};
        start_waiters(&room, w, 2);
        conc_lock_enter(&room.lock);
        if (by_cancel)
            conc_scope_cancel(&w[0].scope);
        else
            conc__test_advance(CONC_S(1000));
        wait_until_n_blocked(&room.lock, 1); /* it has given up, and waits for the lock */
        assert_int_equal(conc_cond_notify(&room.cond, 1), 0);
        conc_lock_release(&room.lock);
        end_waiters(w, 2);
        assert_int_equal(w[0].result, by_cancel ? -ECANCELED : -ETIMEDOUT);
        assert_int_equal(w[1].result, 0);
    }
}

/* ---- With an rlock ---- */

struct deep {
    conc_rlock rlock;
    conc_cond cond;
    uint32_t depth;
    int result;
};

static void wait_deep(void *arg)
{
    struct deep *d = arg;
    for (uint32_t i = 0; i < d->depth; i++)
        conc_rlock_enter(&d->rlock);
    d->result = conc_cond_wait(&d->cond, CONC_FOREVER);
    CHECK(conc_rlock_is_owned(&d->rlock));
    CHECK_EQUAL(d->rlock.depth, d->depth);
    for (uint32_t i = 0; i < d->depth; i++)
        CHECK_EQUAL(conc_rlock_release(&d->rlock), 0);
    CHECK_EQUAL(conc_rlock_release(&d->rlock), -EPERM);
}

static void test_wait_releases_an_rlock_wholly_and_takes_it_as_deep_again(void **state)
{
    for (uint32_t depth = 1; depth <= 3; depth++) {
        struct deep d = {.cond = CONC_COND_INIT_RLOCK(&d.rlock), .depth = depth};
        struct test_thread t;
        test_thread_start(&t, NULL, wait_deep, &d);
        wait_until_n_blocked(&d.cond, 1);
        conc_rlock_enter(&d.rlock);
        conc_rlock_enter(&d.rlock);
        assert_int_equal(conc_cond_notify(&d.cond, 1), 0);
        assert_int_equal(conc_rlock_release(&d.rlock), 0);
        wait_until_n_blocked(&d.cond, 1); /* the lock is still ours */
        assert_int_equal(conc_rlock_release(&d.rlock), 0);
        test_thread_join(&t);
        assert_int_equal(d.result, 0);
        assert_false(conc_rlock_is_locked(&d.rlock));
    }
}

static void test_giving_up_takes_an_rlock_as_deep_again(void **state)
{
    conc_rlock rlock = CONC_RLOCK_INIT;
    conc_cond cond = CONC_COND_INIT_RLOCK(&rlock);
    conc_rlock_enter(&rlock);
    conc_rlock_enter(&rlock);
    assert_int_equal(conc_cond_wait(&cond, conc_in(CONC_MS(2))), -ETIMEDOUT);
    assert_int_equal(conc_cond_wait(&cond, CONC_NOW), -EAGAIN);
    assert_int_equal(rlock.depth, 2);
    assert_int_equal(conc_rlock_release(&rlock), 0);
    assert_int_equal(conc_rlock_release(&rlock), 0);
    assert_int_equal(conc_rlock_release(&rlock), -EPERM);
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_without_the_lock_held_everything_is_EPERM),
    cmocka_unit_test(test_with_the_rlock_anothers_everything_is_EPERM),
    cmocka_unit_test(test_init_binds_to_the_lock_given),
    cmocka_unit_test(test_wait_with_NOW_is_EAGAIN),
    cmocka_unit_test(test_wait_past_its_deadline_is_ETIMEDOUT_with_the_lock_held),
    cmocka_unit_test(test_cancelled_wait_is_ECANCELED_with_the_lock_held),
    cmocka_unit_test(test_wait_that_timed_out_returns_only_with_the_lock),
    cmocka_unit_test(test_wait_releases_the_lock),
    cmocka_unit_test(test_notify_wakes_in_order_of_arrival),
    cmocka_unit_test(test_notify_n_wakes_just_the_first_n_in_order),
    cmocka_unit_test(test_notify_all_wakes_all),
    cmocka_unit_test(test_notification_without_waiters_is_not_remembered),
    cmocka_unit_test(test_kick_without_cause_is_no_spurious_wakeup),
    cmocka_unit_test(test_conditions_of_one_lock_are_apart),
    cmocka_unit_test(test_notified_waiter_whose_deadline_comes_returns_0),
    cmocka_unit_test(test_notified_waiter_that_is_cancelled_returns_0),
    cmocka_unit_test(test_notification_goes_to_one_who_has_not_given_up),
    cmocka_unit_test(test_wait_releases_an_rlock_wholly_and_takes_it_as_deep_again),
    cmocka_unit_test(test_giving_up_takes_an_rlock_as_deep_again),
};

TEST_MAIN(tests, 50)
