/* SPDX-License-Identifier: MIT
 *
 * test_lock.c: the lock: what each function returns, the order in which it goes round, and giving
 * up. In the long and at random: test_lock_stress.c.
 */
#include <string.h>

#include <conc/context.h>
#include <conc/lock.h>

#include "base/hooks.h"
#include "fibers.h"
#include "support.h"
#include "sync/lock_impl.h"
#include "sync/words.h"
#include "wait/wait.h"

/* ---- Alone ---- */

static void test_lock_is_small(void **state) { assert_true(sizeof(conc_lock) <= 16); }

static void test_lock_is_free_at_first(void **state)
{
    static conc_lock zero;
    conc_lock initialised = CONC_LOCK_INIT, made;
    memset(&made, 0xff, sizeof made);
    conc_lock_init(&made);
    conc_lock *locks[] = {&zero, &initialised, &made};
    for (int i = 0; i < 3; i++) {
        assert_false(conc_lock_is_locked(locks[i]));
        assert_int_equal(conc_lock_try_acquire(locks[i]), 0);
        assert_int_equal(conc_lock_release(locks[i]), 0);
    }
}

static void test_acquire_holds_until_release(void **state)
{
    conc_lock lock = CONC_LOCK_INIT;
    conc_lock_enter(&lock);
    assert_true(conc_lock_is_locked(&lock));
    assert_int_equal(conc_lock_release(&lock), 0);
    assert_false(conc_lock_is_locked(&lock));
}

static void test_release_of_a_free_lock_is_EPERM(void **state)
{
    conc_lock lock = CONC_LOCK_INIT;
    assert_int_equal(conc_lock_release(&lock), -EPERM);
    conc_lock_enter(&lock);
    assert_int_equal(conc_lock_release(&lock), 0);
    assert_int_equal(conc_lock_release(&lock), -EPERM);
    assert_false(conc_lock_is_locked(&lock));
}

static void test_try_takes_a_free_lock_only(void **state)
{
    conc_lock lock = CONC_LOCK_INIT;
    assert_int_equal(conc_lock_try_acquire(&lock), 0);
    assert_true(conc_lock_is_locked(&lock));
    assert_int_equal(conc_lock_try_acquire(&lock), -EAGAIN); /* not even for its holder */
    assert_int_equal(conc_lock_release(&lock), 0);
}

static void test_acquire_takes_a_free_lock_whatever_the_deadline(void **state)
{
    conc_lock lock = CONC_LOCK_INIT;
    const conc_deadline deadlines[] = {CONC_FOREVER, CONC_NOW, conc_in(0), conc_in(CONC_S(1))};
    for (int i = 0; i < 4; i++) {
        assert_int_equal(conc_lock_acquire(&lock, deadlines[i]), 0);
        assert_true(conc_lock_is_locked(&lock));
        assert_int_equal(conc_lock_release(&lock), 0);
    }
}

static void test_acquire_gives_up_on_a_held_lock(void **state)
{
    conc_lock lock = CONC_LOCK_INIT;
    conc_lock_enter(&lock);
    assert_int_equal(conc_lock_acquire(&lock, CONC_NOW), -EAGAIN);
    assert_int_equal(conc_lock_acquire(&lock, conc_in(0)), -ETIMEDOUT);
    int64_t before = real_now();
    assert_int_equal(conc_lock_acquire(&lock, conc_in(CONC_MS(10))), -ETIMEDOUT);
    assert_true(real_now() - before >= CONC_MS(10));
    assert_int_equal(lock.word, LOCK_LOCKED); /* nothing is left of the waiters */
    assert_int_equal(conc_lock_release(&lock), 0);
    assert_int_equal(lock.word, 0);
}

static void release_it(void *lock) { CHECK_EQUAL(conc_lock_release(lock), 0); }

static void test_any_thread_may_release(void **state)
{
    conc_lock lock = CONC_LOCK_INIT;
    struct test_thread t;
    conc_lock_enter(&lock);
    test_thread_start(&t, NULL, release_it, &lock);
    test_thread_join(&t);
    assert_false(conc_lock_is_locked(&lock));
    assert_int_equal(conc_lock_release(&lock), -EPERM);
}

/* ---- conc_with_lock ---- */

static int leave_by_return(conc_lock *lock)
{
    conc_with_lock (lock)
        return conc_lock_is_locked(lock) ? 42 : 0; /* evaluated before it is released */
    return -1;
}

static void leave_by_goto(conc_lock *lock)
{
    conc_with_lock (lock) {
        assert_true(conc_lock_is_locked(lock));
        goto out;
    }
    fail();
out:
    assert_false(conc_lock_is_locked(lock));
}

static void test_with_lock_releases_however_it_is_left(void **state)
{
    conc_lock lock = CONC_LOCK_INIT;
    int rounds = 0;
    conc_with_lock (&lock) {
        assert_true(conc_lock_is_locked(&lock));
        rounds++;
    }
    assert_false(conc_lock_is_locked(&lock));
    assert_int_equal(rounds, 1);
    conc_with_lock (&lock)
        break;
    assert_false(conc_lock_is_locked(&lock));
    conc_with_lock (&lock) {
        if (conc_lock_is_locked(&lock))
            continue;
        fail();
    }
    assert_false(conc_lock_is_locked(&lock));
    assert_int_equal(leave_by_return(&lock), 42);
    assert_false(conc_lock_is_locked(&lock));
    leave_by_goto(&lock);
}

static void test_with_lock_nests_and_stands_in_loops(void **state)
{
    conc_lock a = CONC_LOCK_INIT, b = CONC_LOCK_INIT;
    int inside = 0;
    for (int i = 0; i < 3; i++) {
        conc_with_lock (&a) {
            conc_with_lock (&b) {
                inside += conc_lock_is_locked(&a) && conc_lock_is_locked(&b);
                if (i == 1)
                    break; /* leaves b only */
            }
            assert_true(conc_lock_is_locked(&a));
            assert_false(conc_lock_is_locked(&b));
        }
        assert_false(conc_lock_is_locked(&a));
    }
    assert_int_equal(inside, 3);
}

static void test_with_lock_evaluates_its_argument_once(void **state)
{
    conc_lock locks[2] = {CONC_LOCK_INIT, CONC_LOCK_INIT};
    conc_lock *next = locks;
    conc_with_lock (next++)
        assert_true(conc_lock_is_locked(&locks[0]));
    assert_ptr_equal(next, locks + 1);
}

static void test_leave_twice_is_harmless(void **state)
{
    conc_lock lock = CONC_LOCK_INIT;
    conc_lock *held = conc__lock_entered(&lock);
    assert_true(conc_lock_is_locked(&lock));
    conc__lock_leave(&held);
    assert_false(conc_lock_is_locked(&lock));
    conc_lock_enter(&lock); /* another's */
    conc__lock_leave(&held);
    assert_true(conc_lock_is_locked(&lock));
}

/* ---- With others ---- */

struct log {
    conc_lock lock;
    int order[8], n; /* the takers that got it; under the lock */
};

struct taker {
    struct test_thread thread;
    struct log *log;
    int index;
    conc_deadline deadline;
    conc_scope scope;
    int result, exit;
};

static void take_and_log(void *arg)
{
    struct taker *t = arg;
    conc_scope_enter(&t->scope, CONC_FOREVER);
    t->result = conc_lock_acquire(&t->log->lock, t->deadline);
    if (t->result == 0) {
        t->log->order[t->log->n++] = t->index;
        CHECK_EQUAL(conc_lock_release(&t->log->lock), 0);
    }
    t->exit = conc_scope_exit(&t->scope);
}

/* n takers wait in order; the caller holds the lock. */
static void start_takers(struct log *log, struct taker *t, int n)
{
    for (int i = 0; i < n; i++) {
        t[i].log = log;
        t[i].index = i;
        if (t[i].deadline.ns == 0)
            t[i].deadline = CONC_FOREVER;
        test_thread_start(&t[i].thread, NULL, take_and_log, &t[i]);
        wait_until_n_blocked(&log->lock, (size_t)i + 1);
    }
}

static void end_takers(struct taker *t, int n)
{
    for (int i = 0; i < n; i++)
        test_thread_join(&t[i].thread);
}

static void test_impatient_waiters_are_handed_the_lock_in_order(void **state)
{
    struct log log = {.lock = CONC_LOCK_INIT};
    struct taker t[4] = {0};
    conc_lock_enter(&log.lock);
    start_takers(&log, t, 4);
    conc__test_advance(2 * LOCK_PATIENCE);
    assert_int_equal(conc_lock_release(&log.lock), 0);
    end_takers(t, 4);
    assert_int_equal(log.n, 4);
    for (int i = 0; i < 4; i++)
        assert_int_equal(log.order[i], i);
    assert_int_equal(log.lock.word, 0);
}

static void hold_until_told(void *arg)
{
    struct taker *t = arg;
    conc_lock_enter(&t->log->lock);
    wait_until_blocked("main", "lock"); /* which came later */
    CHECK_EQUAL(conc_lock_release(&t->log->lock), 0);
}

static void test_impatient_waiter_cannot_be_overtaken(void **state)
{
    struct log log = {.lock = CONC_LOCK_INIT};
    struct taker t = {.log = &log};
    conc_lock_enter(&log.lock);
    test_thread_start(&t.thread, "waiter", hold_until_told, &t);
    wait_until_blocked("waiter", "lock");
    conc__test_advance(2 * LOCK_PATIENCE);
    assert_int_equal(conc_lock_release(&log.lock), 0);
    assert_int_equal(conc_lock_try_acquire(&log.lock), -EAGAIN); /* handed over: never free */
    assert_true(conc_lock_is_locked(&log.lock));
    conc_lock_enter(&log.lock);
    test_thread_join(&t.thread);
}

/* ---- Overtaking, by fibers: the woken one runs only when the others let it ---- */

struct overtaking {
    struct log log;
    struct taker takers[3];
    int n;
    void (*overtaker)(struct overtaking *o);
};

/* Take the lock, let the others queue up, release it, and take it before the woken one does. */
static void fiber_overtake(void *arg)
{
    struct overtaking *o = arg;
    conc_lock_enter(&o->log.lock);
    while (n_blocked(&o->log.lock) < (size_t)o->n)
        conc_yield();
    CHECK_EQUAL(conc_lock_release(&o->log.lock), 0);
    CHECK_EQUAL(conc_lock_try_acquire(&o->log.lock), 0);
    CHECK(load_relaxed(&o->log.lock.word) & LOCK_WAKING);
    o->overtaker(o);
}

/* The clock stands, or on a busy machine a waiter would be impatient, and be handed the lock. */
static void overtaking_run(struct overtaking *o)
{
    struct fiber_loop *loop = fiber_loop_new();
    conc__test_stop_clock(true);
    fiber_loop_add(loop, NULL, fiber_overtake, o);
    for (int i = 0; i < o->n; i++) {
        o->takers[i].log = &o->log;
        o->takers[i].index = i;
        if (o->takers[i].deadline.ns == 0)
            o->takers[i].deadline = CONC_FOREVER;
        fiber_loop_add(loop, NULL, take_and_log, &o->takers[i]);
    }
    fiber_loop_run(loop);
    fiber_loop_free(loop);
    conc__test_stop_clock(false);
    assert_int_equal(o->log.lock.word, 0);
}

static void release_when_it_is_impatient(struct overtaking *o)
{
    /* LOCK_WAKING has gone when the woken one is on the list again. */
    while (load_relaxed(&o->log.lock.word) & LOCK_WAKING)
        conc_yield();
    conc__test_advance(2 * LOCK_PATIENCE);
    CHECK_EQUAL(conc_lock_release(&o->log.lock), 0);
}

static void test_overtaken_waiter_is_first_again(void **state)
{
    struct overtaking o = {
        .log.lock = CONC_LOCK_INIT, .n = 3, .overtaker = release_when_it_is_impatient};
    overtaking_run(&o);
    for (int i = 0; i < 3; i++)
        assert_int_equal(o.log.order[i], i);
}

/* The woken one's deadline comes while it is on its way. */
static void release_when_it_has_given_up(struct overtaking *o)
{
    conc__test_advance(CONC_S(1000));
    while (o->takers[0].result == 0)
        conc_yield();
    CHECK_EQUAL(n_blocked(&o->log.lock), 1);
    CHECK_EQUAL(conc_lock_release(&o->log.lock), 0);
}

static void test_woken_waiter_that_gives_up_leaves_no_other_asleep(void **state)
{
    struct overtaking o = {.log.lock = CONC_LOCK_INIT,
                           .n = 2,
                           .takers[0].deadline = conc_in(CONC_S(900)),
                           .overtaker = release_when_it_has_given_up};
    overtaking_run(&o); /* or the second one sleeps for ever */
    assert_int_equal(o.takers[0].result, -ETIMEDOUT);
    assert_int_equal(o.takers[1].result, 0);
}

static void test_waiters_that_give_up_leave_the_others_in_order(void **state)
{
    struct log log = {.lock = CONC_LOCK_INIT};
    struct taker t[5] = {[1] = {.deadline = conc_in(CONC_S(900))}};
    conc_lock_enter(&log.lock);
    start_takers(&log, t, 5);
    conc_scope_cancel(&t[0].scope);
    conc_scope_cancel(&t[3].scope);
    conc__test_advance(CONC_S(1000));
    wait_until_n_blocked(&log.lock, 2);
    assert_int_equal(conc_lock_release(&log.lock), 0);
    end_takers(t, 5);
    static const int results[] = {-ECANCELED, -ETIMEDOUT, 0, -ECANCELED, 0};
    static const int exits[] = {-ECANCELED, 0, 0, -ECANCELED, 0};
    for (int i = 0; i < 5; i++) {
        assert_int_equal(t[i].result, results[i]);
        assert_int_equal(t[i].exit, exits[i]);
    }
    assert_int_equal(log.n, 2);
    assert_int_equal(log.order[0], 2);
    assert_int_equal(log.order[1], 4);
    assert_int_equal(log.lock.word, 0);
}

static void test_hand_over_that_races_a_time_out_returns_success(void **state)
{
    struct log log = {.lock = CONC_LOCK_INIT};
    struct taker t = {.deadline = conc_in(CONC_S(900))};
    conc_lock_enter(&log.lock);
    start_takers(&log, &t, 1);
    guard_lock(&log.lock.word);
    conc__test_advance(CONC_S(1000));
    WAIT_UNTIL(load_relaxed(&log.lock.word) & GUARD_SLEEPERS); /* it is giving up */
    /* What the release does, up to where the guard is free again. */
    struct conc__waiter *w = waitlist_pop(&log.lock.waiters);
    guard_unlock_with(&log.lock.word, LOCK_WAITERS, 0);
    conc__waiter_deliver(w, LOCK_HANDED);
    test_thread_join(&t.thread);
    assert_int_equal(t.result, 0);
    assert_int_equal(log.n, 1);
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_lock_is_small),
    cmocka_unit_test(test_lock_is_free_at_first),
    cmocka_unit_test(test_acquire_holds_until_release),
    cmocka_unit_test(test_release_of_a_free_lock_is_EPERM),
    cmocka_unit_test(test_try_takes_a_free_lock_only),
    cmocka_unit_test(test_acquire_takes_a_free_lock_whatever_the_deadline),
    cmocka_unit_test(test_acquire_gives_up_on_a_held_lock),
    cmocka_unit_test(test_any_thread_may_release),
    cmocka_unit_test(test_with_lock_releases_however_it_is_left),
    cmocka_unit_test(test_with_lock_nests_and_stands_in_loops),
    cmocka_unit_test(test_with_lock_evaluates_its_argument_once),
    cmocka_unit_test(test_leave_twice_is_harmless),
    cmocka_unit_test(test_impatient_waiters_are_handed_the_lock_in_order),
    cmocka_unit_test(test_impatient_waiter_cannot_be_overtaken),
    cmocka_unit_test(test_overtaken_waiter_is_first_again),
    cmocka_unit_test(test_woken_waiter_that_gives_up_leaves_no_other_asleep),
    cmocka_unit_test(test_waiters_that_give_up_leave_the_others_in_order),
    cmocka_unit_test(test_hand_over_that_races_a_time_out_returns_success),
};

TEST_MAIN(tests, 50)
