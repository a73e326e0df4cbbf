/* SPDX-License-Identifier: MIT
 *
 * test_scope.c: cancellation and deadline scopes, and shields.
 */
#include <string.h>

#include <conc/cond.h>
#include <conc/event.h>
#include <conc/lock.h>
#include <conc/rlock.h>
#include <conc/sem.h>

#include "base/hooks.h"
#include "support.h"
#include "wait/wait.h"

/* ---- Leaving ---- */

static void test_exit_of_a_scope_that_has_not_ended_is_0(void **state)
{
    conc_scope s;
    conc_scope_enter(&s, CONC_FOREVER);
    assert_int_equal(conc_sleep(0), 0);
    assert_int_equal(conc_check_cancel(), 0);
    assert_false(conc_is_cancelled());
    assert_int_equal(conc_scope_exit(&s), 0);
}

static void test_exit_is_0_if_nothing_inside_was_told(void **state)
{
    conc_scope s;
    conc_scope_enter(&s, conc_in(0));
    assert_int_equal(conc_scope_exit(&s), 0);
    conc_scope_enter(&s, CONC_FOREVER);
    conc_scope_cancel(&s);
    assert_int_equal(conc_scope_exit(&s), 0);
    /* a call that does not look was not told */
    conc_lock lock = CONC_LOCK_INIT;
    conc_scope_enter(&s, conc_in(0));
    conc_lock_enter(&lock);
    assert_int_equal(conc_lock_release(&lock), 0);
    assert_int_equal(conc_scope_exit(&s), 0);
}

static void test_exit_after_the_deadline_is_ETIMEDOUT(void **state)
{
    conc_scope s;
    conc_scope_enter(&s, conc_in(CONC_MS(10)));
    assert_int_equal(conc_sleep(CONC_S(1000)), -ECANCELED);
    assert_int_equal(conc_scope_exit(&s), -ETIMEDOUT);
    assert_int_equal(conc_check_cancel(), 0);
}

static void test_exit_after_a_cancel_is_ECANCELED(void **state)
{
    conc_scope s;
    conc_scope_enter(&s, CONC_FOREVER);
    conc_scope_cancel(&s);
    assert_int_equal(conc_sleep(CONC_S(1000)), -ECANCELED);
    assert_int_equal(conc_scope_exit(&s), -ECANCELED);
    assert_int_equal(conc_check_cancel(), 0);
}

static void test_exit_after_a_cancel_and_the_deadline_is_ECANCELED(void **state)
{
    conc_scope s;
    conc_scope_enter(&s, conc_in(0));
    conc_scope_cancel(&s);
    assert_int_equal(conc_check_cancel(), -ECANCELED);
    assert_int_equal(conc_scope_exit(&s), -ECANCELED);
}

static void test_cancelling_twice_is_harmless(void **state)
{
    conc_scope s;
    conc_scope_enter(&s, CONC_FOREVER);
    conc_scope_cancel(&s);
    conc_scope_cancel(&s);
    assert_true(conc_is_cancelled());
    assert_int_equal(conc_scope_exit(&s), -ECANCELED);
    assert_int_equal(conc_sleep(1), 0);
}

static void test_deadline_NOW_ends_the_scope_at_once(void **state)
{
    conc_scope s;
    conc_scope_enter(&s, CONC_NOW);
    assert_int_equal(conc_check_cancel(), -ECANCELED);
    assert_int_equal(conc_scope_exit(&s), -ETIMEDOUT);
}

static void test_cancelled_tells_the_scope_too(void **state)
{
    conc_scope s;
    conc_scope_enter(&s, conc_in(0));
    assert_true(conc_is_cancelled());
    assert_int_equal(conc_scope_exit(&s), -ETIMEDOUT);
}

static void test_exit_of_another_than_the_innermost_is_EPERM(void **state)
{
    conc_scope outer, inner, never;
    memset(&never, 0, sizeof never);
    assert_int_equal(conc_scope_exit(&never), -EPERM);
    conc_scope_enter(&outer, CONC_FOREVER);
    conc_scope_enter(&inner, conc_in(0));
    assert_int_equal(conc_scope_exit(&outer), -EPERM);
    assert_int_equal(conc_scope_exit(&never), -EPERM);
    assert_true(conc_is_cancelled()); /* nothing was left */
    assert_int_equal(conc_scope_exit(&inner), -ETIMEDOUT);
    assert_int_equal(conc_scope_exit(&inner), -EPERM);
    assert_int_equal(conc_scope_exit(&outer), 0);
    assert_int_equal(conc_scope_exit(&outer), -EPERM);
}

static void exit_it(void *scope)
{
    CHECK_EQUAL(conc_scope_exit(scope), -EPERM);
    CHECK_EQUAL(conc_shield_exit(scope), -EPERM);
}

static void test_exit_by_another_context_is_EPERM(void **state)
{
    conc_scope s;
    struct test_thread t;
    conc_scope_enter(&s, CONC_FOREVER);
    test_thread_start(&t, NULL, exit_it, &s);
    test_thread_join(&t);
    assert_int_equal(conc_scope_exit(&s), 0);
}

static void test_scope_and_shield_are_not_taken_for_each_other(void **state)
{
    conc_scope s;
    conc_scope_enter(&s, CONC_FOREVER);
    assert_int_equal(conc_shield_exit(&s), -EPERM);
    assert_int_equal(conc_scope_exit(&s), 0);
    conc_shield_enter(&s);
    assert_int_equal(conc_scope_exit(&s), -EPERM);
    assert_int_equal(conc_shield_exit(&s), 0);
    assert_int_equal(conc_shield_exit(&s), -EPERM);
}

/* ---- Nesting ---- */

enum end { OPEN, TIMED, CANCELLED };

static void enter_as(conc_scope *s, enum end end)
{
    conc_scope_enter(s, end == TIMED ? conc_in(0) : CONC_FOREVER);
    if (end == CANCELLED)
        conc_scope_cancel(s);
}

static void test_nested_exits_tell_whose_end_it_was(void **state)
{
    static const struct {
        enum end outer, inner;
        int told, inner_exit, outer_exit;
    } cases[] = {
        {OPEN, OPEN, 0, 0, 0},
        {OPEN, TIMED, -ECANCELED, -ETIMEDOUT, 0},
        {OPEN, CANCELLED, -ECANCELED, -ECANCELED, 0},
        {TIMED, OPEN, -ECANCELED, -ECANCELED, -ETIMEDOUT},
        {TIMED, TIMED, -ECANCELED, -ECANCELED, -ETIMEDOUT},
        {TIMED, CANCELLED, -ECANCELED, -ECANCELED, -ETIMEDOUT},
        {CANCELLED, OPEN, -ECANCELED, -ECANCELED, -ECANCELED},
        {CANCELLED, TIMED, -ECANCELED, -ECANCELED, -ECANCELED},
        {CANCELLED, CANCELLED, -ECANCELED, -ECANCELED, -ECANCELED},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        conc_scope outer, inner;
        enter_as(&outer, cases[i].outer);
        enter_as(&inner, cases[i].inner);
        assert_int_equal(conc_check_cancel(), cases[i].told);
        assert_int_equal(conc_scope_exit(&inner), cases[i].inner_exit);
        assert_int_equal(conc_scope_exit(&outer), cases[i].outer_exit);
    }
}

static void test_outer_end_after_the_inner_one_is_not_swallowed(void **state)
{
    conc_scope outer, inner;
    conc_scope_enter(&outer, CONC_FOREVER);
    conc_scope_enter(&inner, conc_in(0));
    assert_int_equal(conc_sleep(1), -ECANCELED); /* told by the inner one only */
    conc_scope_cancel(&outer);
    assert_int_equal(conc_scope_exit(&inner), -ECANCELED);
    assert_int_equal(conc_scope_exit(&outer), -ECANCELED); /* the inner exit has told it */
}

static void test_outer_deadline_after_the_inner_one_is_not_swallowed(void **state)
{
    conc_scope outer, inner;
    conc_scope_enter(&outer, conc_in(CONC_S(100)));
    conc_scope_enter(&inner, conc_in(CONC_S(50)));
    conc__test_advance(CONC_S(60));
    assert_int_equal(conc_sleep(1), -ECANCELED);
    conc__test_advance(CONC_S(60));
    assert_int_equal(conc_scope_exit(&inner), -ECANCELED);
    assert_int_equal(conc_scope_exit(&outer), -ETIMEDOUT);
}

static void test_inner_scope_left_the_outer_one_goes_on(void **state)
{
    conc_scope outer, inner;
    conc_scope_enter(&outer, CONC_FOREVER);
    conc_scope_enter(&inner, conc_in(0));
    assert_int_equal(conc_sleep(1), -ECANCELED);
    assert_int_equal(conc_scope_exit(&inner), -ETIMEDOUT);
    assert_int_equal(conc_sleep(1), 0);
    assert_int_equal(conc_scope_exit(&outer), 0);
}

static void test_middle_scope_that_has_ended_is_told_but_not_the_one_around_it(void **state)
{
    conc_scope outer, middle, inner;
    conc_scope_enter(&outer, CONC_FOREVER);
    conc_scope_enter(&middle, conc_in(0));
    conc_scope_enter(&inner, CONC_FOREVER);
    assert_int_equal(conc_check_cancel(), -ECANCELED);
    assert_int_equal(conc_scope_exit(&inner), -ECANCELED);
    assert_int_equal(conc_scope_exit(&middle), -ETIMEDOUT);
    assert_int_equal(conc_scope_exit(&outer), 0);
}

static void test_the_earliest_of_the_deadlines_wakes_a_sleeper(void **state)
{
    static const int64_t outer_ms[] = {10, 1000000}, inner_ms[] = {1000000, 10};
    static const int inner_exit[] = {-ECANCELED, -ETIMEDOUT}, outer_exit[] = {-ETIMEDOUT, 0};
    for (int i = 0; i < 2; i++) {
        conc_scope outer, inner;
        conc_scope_enter(&outer, conc_in(CONC_MS(outer_ms[i])));
        conc_scope_enter(&inner, conc_in(CONC_MS(inner_ms[i])));
        assert_int_equal(conc_sleep_until(CONC_FOREVER), -ECANCELED);
        assert_int_equal(conc_scope_exit(&inner), inner_exit[i]);
        assert_int_equal(conc_scope_exit(&outer), outer_exit[i]);
    }
}

/* ---- What is told, and what is exempt ---- */

static bool yes(void *arg) { return true; }

static void test_every_call_that_could_block_is_told_though_it_need_not_wait(void **state)
{
    conc_lock lock = CONC_LOCK_INIT, held = CONC_LOCK_INIT;
    conc_rlock rlock = CONC_RLOCK_INIT, own = CONC_RLOCK_INIT;
    conc_event set = CONC_EVENT_INIT;
    conc_sem sem = CONC_SEM_INIT(1);
    conc_cond cond = CONC_COND_INIT(&held);
    conc_event_set(&set);
    conc_lock_enter(&held);
    conc_rlock_enter(&own);
    conc_scope s;
    conc_scope_enter(&s, conc_in(0));
    for (int twice = 0; twice < 2; twice++) {
        assert_int_equal(conc_lock_acquire(&lock, CONC_FOREVER), -ECANCELED);
        assert_int_equal(conc_rlock_acquire(&rlock, CONC_FOREVER), -ECANCELED);
        assert_int_equal(conc_rlock_acquire(&own, CONC_FOREVER), -ECANCELED);
        assert_int_equal(conc_event_wait(&set, CONC_FOREVER), -ECANCELED);
        assert_int_equal(conc_sem_acquire(&sem, CONC_FOREVER), -ECANCELED);
        assert_int_equal(conc_cond_wait(&cond, CONC_FOREVER), -ECANCELED);
        assert_int_equal(conc_cond_wait_for(&cond, yes, NULL, CONC_FOREVER), -ECANCELED);
        assert_int_equal(conc_sleep(1), -ECANCELED);
        assert_int_equal(conc_sleep(0), -ECANCELED);
        assert_int_equal(conc_sleep_until(conc_in(0)), -ECANCELED);
        assert_int_equal(conc_check_cancel(), -ECANCELED);
        assert_true(conc_is_cancelled());
    }
    assert_int_equal(conc_scope_exit(&s), -ETIMEDOUT);
    assert_int_equal(conc_sem_value(&sem), 1);
    assert_false(conc_lock_is_locked(&lock));
    assert_false(conc_rlock_is_locked(&rlock));
    assert_int_equal(conc_rlock_release(&own), 0);
    assert_int_equal(conc_rlock_release(&own), -EPERM);
}

static void test_calls_with_NOW_are_exempt(void **state)
{
    conc_lock lock = CONC_LOCK_INIT;
    conc_rlock rlock = CONC_RLOCK_INIT;
    conc_event event = CONC_EVENT_INIT;
    conc_sem sem = CONC_SEM_INIT(1);
    conc_scope s;
    conc_scope_enter(&s, conc_in(0));
    assert_int_equal(conc_lock_acquire(&lock, CONC_NOW), 0);
    assert_int_equal(conc_lock_acquire(&lock, CONC_NOW), -EAGAIN);
    assert_int_equal(conc_rlock_acquire(&rlock, CONC_NOW), 0);
    assert_int_equal(conc_rlock_acquire(&rlock, CONC_NOW), 0);
    assert_int_equal(conc_event_wait(&event, CONC_NOW), -EAGAIN);
    assert_int_equal(conc_sem_acquire(&sem, CONC_NOW), 0);
    assert_int_equal(conc_sem_acquire(&sem, CONC_NOW), -EAGAIN);
    assert_int_equal(conc_sleep_until(CONC_NOW), 0);
    assert_int_equal(conc_scope_exit(&s), 0); /* no call was told */
}

static void take_lock(void *lock)
{
    conc_scope s;
    conc_scope_enter(&s, conc_in(0));
    conc_lock_enter(lock); /* must wait, and is not ended */
    CHECK_EQUAL(conc_lock_release(lock), 0);
    CHECK_EQUAL(conc_scope_exit(&s), 0);
}

static void take_rlock(void *rlock)
{
    conc_scope s;
    conc_scope_enter(&s, conc_in(0));
    conc_rlock_enter(rlock);
    CHECK_EQUAL(conc_rlock_release(rlock), 0);
    CHECK_EQUAL(conc_scope_exit(&s), 0);
}

static void test_lock_acquire_waits_though_its_scope_has_ended(void **state)
{
    conc_rlock rlock = CONC_RLOCK_INIT;
    struct test_thread t;
    conc_rlock_enter(&rlock);
    test_thread_start(&t, "taker", take_lock, &rlock.lock);
    wait_until_blocked("taker", "lock");
    assert_int_equal(conc_rlock_release(&rlock), 0);
    test_thread_join(&t);
    conc_rlock_enter(&rlock);
    test_thread_start(&t, "taker", take_rlock, &rlock);
    wait_until_blocked("taker", "lock");
    assert_int_equal(conc_rlock_release(&rlock), 0);
    test_thread_join(&t);
}

static void test_own_deadline_in_an_open_scope_gives_ETIMEDOUT(void **state)
{
    conc_event never = CONC_EVENT_INIT;
    conc_scope s;
    conc_scope_enter(&s, conc_in(CONC_S(1000)));
    assert_int_equal(conc_event_wait(&never, conc_in(CONC_MS(5))), -ETIMEDOUT);
    assert_int_equal(conc_scope_exit(&s), 0);
}

/* ---- Served in the moment in which the scope ends ---- */

struct served {
    conc_event event;
    conc_scope scope;
    int result, exit;
};

static void wait_in_scope(void *arg)
{
    struct served *s = arg;
    conc_scope_enter(&s->scope, conc_in(CONC_S(900)));
    s->result = conc_event_wait(&s->event, CONC_FOREVER);
    s->exit = conc_scope_exit(&s->scope);
}

static void test_wait_that_is_served_as_its_scope_ends_was_not_told(void **state)
{
    struct served s = {0};
    struct test_thread t;
    test_thread_start(&t, "served", wait_in_scope, &s);
    wait_until_blocked("served", "event");
    guard_lock(&s.event.word); /* now it cannot give up */
    conc__test_advance(CONC_S(1000));
    WAIT_UNTIL(load_relaxed(&s.event.word) & GUARD_SLEEPERS); /* but wants to */
    struct conc__waiter *w = waitlist_pop(&s.event.waiters);
    guard_unlock(&s.event.word);
    conc__waiter_deliver(w, 0);
    test_thread_join(&t);
    assert_int_equal(s.result, 0);
    assert_int_equal(s.exit, 0); /* no call inside returned -ECANCELED */
}

/* ---- Shields ---- */

static void test_shield_keeps_off_what_ended_around_it(void **state)
{
    conc_scope outer, shield;
    conc_scope_enter(&outer, conc_in(0));
    conc_shield_enter(&shield);
    assert_false(conc_is_cancelled());
    assert_int_equal(conc_check_cancel(), 0);
    assert_int_equal(conc_sleep(CONC_US(10)), 0);
    assert_int_equal(conc_shield_exit(&shield), 0);
    assert_int_equal(conc_sleep(1), -ECANCELED);
    assert_int_equal(conc_scope_exit(&outer), -ETIMEDOUT);
}

static void test_shield_alone_tells_nobody(void **state)
{
    conc_scope outer, shield;
    conc_scope_enter(&outer, conc_in(0));
    conc_shield_enter(&shield);
    assert_int_equal(conc_sleep(1), 0);
    assert_int_equal(conc_shield_exit(&shield), 0);
    assert_int_equal(conc_scope_exit(&outer), 0);
}

static void test_scope_inside_a_shield_works_as_always(void **state)
{
    conc_scope outer, shield, inner;
    conc_scope_enter(&outer, conc_in(0));
    conc_shield_enter(&shield);
    conc_scope_enter(&inner, conc_in(CONC_MS(5)));
    assert_int_equal(conc_check_cancel(), 0);
    assert_int_equal(conc_sleep(CONC_S(1000)), -ECANCELED);
    assert_int_equal(conc_scope_exit(&inner), -ETIMEDOUT); /* the outer end stays outside */
    assert_int_equal(conc_shield_exit(&shield), 0);
    assert_int_equal(conc_scope_exit(&outer), 0);
}

static void test_shields_nest(void **state)
{
    conc_scope outer, a, b;
    conc_scope_enter(&outer, conc_in(0));
    conc_shield_enter(&a);
    conc_shield_enter(&b);
    assert_int_equal(conc_shield_exit(&a), -EPERM);
    assert_int_equal(conc_shield_exit(&b), 0);
    assert_int_equal(conc_check_cancel(), 0);
    assert_int_equal(conc_shield_exit(&a), 0);
    assert_int_equal(conc_check_cancel(), -ECANCELED);
    assert_int_equal(conc_scope_exit(&outer), -ETIMEDOUT);
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_exit_of_a_scope_that_has_not_ended_is_0),
    cmocka_unit_test(test_exit_is_0_if_nothing_inside_was_told),
    cmocka_unit_test(test_exit_after_the_deadline_is_ETIMEDOUT),
    cmocka_unit_test(test_exit_after_a_cancel_is_ECANCELED),
    cmocka_unit_test(test_exit_after_a_cancel_and_the_deadline_is_ECANCELED),
    cmocka_unit_test(test_cancelling_twice_is_harmless),
    cmocka_unit_test(test_deadline_NOW_ends_the_scope_at_once),
    cmocka_unit_test(test_cancelled_tells_the_scope_too),
    cmocka_unit_test(test_exit_of_another_than_the_innermost_is_EPERM),
    cmocka_unit_test(test_exit_by_another_context_is_EPERM),
    cmocka_unit_test(test_scope_and_shield_are_not_taken_for_each_other),
    cmocka_unit_test(test_nested_exits_tell_whose_end_it_was),
    cmocka_unit_test(test_outer_end_after_the_inner_one_is_not_swallowed),
    cmocka_unit_test(test_outer_deadline_after_the_inner_one_is_not_swallowed),
    cmocka_unit_test(test_inner_scope_left_the_outer_one_goes_on),
    cmocka_unit_test(test_middle_scope_that_has_ended_is_told_but_not_the_one_around_it),
    cmocka_unit_test(test_the_earliest_of_the_deadlines_wakes_a_sleeper),
    cmocka_unit_test(test_every_call_that_could_block_is_told_though_it_need_not_wait),
    cmocka_unit_test(test_calls_with_NOW_are_exempt),
    cmocka_unit_test(test_lock_acquire_waits_though_its_scope_has_ended),
    cmocka_unit_test(test_own_deadline_in_an_open_scope_gives_ETIMEDOUT),
    cmocka_unit_test(test_wait_that_is_served_as_its_scope_ends_was_not_told),
    cmocka_unit_test(test_shield_keeps_off_what_ended_around_it),
    cmocka_unit_test(test_shield_alone_tells_nobody),
    cmocka_unit_test(test_scope_inside_a_shield_works_as_always),
    cmocka_unit_test(test_shields_nest),
};

TEST_MAIN(tests, 50)
