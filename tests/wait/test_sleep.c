/* SPDX-License-Identifier: MIT
 *
 * test_sleep.c: sleeping, being cancelled in it by another thread, and conc_yield().
 */
#include <conc/context.h>
#include <conc/event.h>

#include "base/hooks.h"
#include "support.h"
#include "wait/context.h"

/* ---- Cancelled from outside ---- */

struct sleeper {
    conc_scope outer, inner;
    conc_event entered;
    int result, inner_exit, outer_exit;
};

static void sleep_in_two_scopes(void *arg)
{
    struct sleeper *s = arg;
    conc_scope_enter(&s->outer, CONC_FOREVER);
    conc_scope_enter(&s->inner, CONC_FOREVER);
    s->result = conc_sleep_until(CONC_FOREVER);
    s->inner_exit = conc_scope_exit(&s->inner);
    s->outer_exit = conc_scope_exit(&s->outer);
}

static void test_cancel_by_another_thread_ends_a_sleep(void **state)
{
    for (int outer = 0; outer < 2; outer++) {
        struct sleeper s = {0};
        struct test_thread t;
        test_thread_start(&t, "sleeper", sleep_in_two_scopes, &s);
        wait_until_blocked("sleeper", "sleep");
        conc_scope_cancel(outer ? &s.outer : &s.inner);
        test_thread_join(&t);
        assert_int_equal(s.result, -ECANCELED);
        assert_int_equal(s.inner_exit, -ECANCELED);
        assert_int_equal(s.outer_exit, outer ? -ECANCELED : 0);
    }
}

static void cancel_me(void *arg)
{
    struct sleeper *s = arg;
    struct stress stress = stress_begin();
    while (stress_goes_on(&stress)) {
        conc_scope_enter(&s->outer, CONC_FOREVER);
        conc_event_set(&s->entered);
        int err =
            conc_sleep_until(CONC_FOREVER); /* lost, if the cancel came between look and sleep */
        CHECK_EQUAL(err, -ECANCELED);
        WAIT_UNTIL(!conc_event_is_set(&s->entered)); /* so that the scope is not left too early */
        CHECK_EQUAL(conc_scope_exit(&s->outer), -ECANCELED);
    }
    store_release(&s->result, 1);
    conc_event_set(&s->entered);
}

static void test_cancel_racing_the_sleep_is_never_lost(void **state)
{
    struct sleeper s = {0};
    struct test_thread t;
    test_thread_start(&t, "sleeper", cancel_me, &s);
    for (;;) {
        while (!conc_event_is_set(&s.entered))
            conc_yield();
        if (load_acquire(&s.result))
            break;
        conc_scope_cancel(&s.outer);
        conc_event_clear(&s.entered);
    }
    test_thread_join(&t);
}

/* ---- Sleeping ---- */

static void test_sleep_lasts_as_long_as_it_should(void **state)
{
    int64_t before = real_now();
    assert_int_equal(conc_sleep(CONC_MS(20)), 0);
    assert_true(real_now() - before >= CONC_MS(20));
    before = real_now();
    assert_int_equal(conc_sleep_until(conc_in(CONC_MS(20))), 0);
    assert_true(real_now() - before >= CONC_MS(20));
}

static void test_sleep_for_nothing_or_less_returns(void **state)
{
    assert_int_equal(conc_sleep(0), 0);
    assert_int_equal(conc_sleep(-1), 0);
    assert_int_equal(conc_sleep(INT64_MIN), 0);
    assert_int_equal(conc_sleep_until(conc_at(0)), 0);
    assert_int_equal(conc_sleep_until(CONC_NOW), 0);
}

static void sleep_long(void *result) { *(int *)result = conc_sleep(CONC_S(1000)); }

static void test_sleep_notices_that_the_clock_was_moved(void **state)
{
    int result = 1;
    struct test_thread t;
    test_thread_start(&t, "long", sleep_long, &result);
    wait_until_blocked("long", "sleep");
    conc__test_advance(CONC_S(1001));
    test_thread_join(&t);
    assert_int_equal(result, 0);
}

static void test_late_kick_does_not_shorten_a_sleep(void **state)
{
    struct conc_context *self = conc_context_current();
    self->ops->kick(self);
    int64_t before = real_now();
    assert_int_equal(conc_sleep(CONC_MS(10)), 0);
    assert_true(real_now() - before >= CONC_MS(10));
}

static void test_yield_returns_though_cancelled(void **state)
{
    conc_scope s;
    conc_scope_enter(&s, conc_in(0));
    conc_yield();
    assert_int_equal(conc_scope_exit(&s), 0);
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_cancel_by_another_thread_ends_a_sleep),
    cmocka_unit_test(test_cancel_racing_the_sleep_is_never_lost),
    cmocka_unit_test(test_sleep_lasts_as_long_as_it_should),
    cmocka_unit_test(test_sleep_for_nothing_or_less_returns),
    cmocka_unit_test(test_sleep_notices_that_the_clock_was_moved),
    cmocka_unit_test(test_late_kick_does_not_shorten_a_sleep),
    cmocka_unit_test(test_yield_returns_though_cancelled),
};

TEST_MAIN(tests, 50)
