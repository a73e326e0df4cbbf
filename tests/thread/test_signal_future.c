/* SPDX-License-Identifier: MIT
 *
 * test_signal_future.c: a signal as a future, which stands in line with those that wait for it. On
 * threads and on tasks.
 */
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <conc/signal.h>

#include "signals.h"
#include "ways.h"

#define LONG conc_in(CONC_S(30))

static conc_future *future_of(int signo)
{
    sigset_t set = set_of_one(signo);
    return conc_signal_future(&set);
}

/* Done, with that signal. Gives it back. */
static void check_has(conc_future *f, int signo)
{
    int got = 0;
    CHECK_EQUAL(conc_future_result(f, &got, LONG), 0);
    CHECK_EQUAL(got, signo);
    conc_future_unref(f);
}

/* The first of all: the thread that deals with signals stays. */
static void test_without_a_thread_it_has_failed(void **state)
{
    fail_thread(1);
    conc_future *f = future_of(SIGUSR1);
    assert_int_equal(conc_future_error(f), -ENOMEM);
    conc_future_unref(f);
    catch_it(SIGUSR1);
    release(SIGUSR1);
}

static void test_it_is_done_when_the_signal_comes(void)
{
    sigset_t set = set_of(SIGUSR1, SIGUSR2);
    conc_future *f = conc_signal_future(&set);
    CHECK(!conc_future_is_done(f));
    CHECK_EQUAL(conc_future_result(f, NULL, conc_in(CONC_MS(5))), -ETIMEDOUT);
    send_signal(SIGUSR2);
    check_has(f, SIGUSR2);
    CHECK_EQUAL(wait_for(SIGUSR2, CONC_NOW), -EAGAIN); /* it is spent */
    release(SIGUSR1);
    release(SIGUSR2);
}

static void test_a_signal_that_was_kept_makes_it_done_at_once(void)
{
    catch_it(SIGUSR1);
    send_signal(SIGUSR1);
    conc_future *f = future_of(SIGUSR1);
    CHECK(conc_future_is_done(f));
    check_has(f, SIGUSR1);
    release(SIGUSR1);
}

static void test_a_wait_for_work_or_a_signal_tells_which_came(void)
{
    struct gate gate = {0}, *g = &gate;
    conc_future *either[] = {start(job_gate, &g, sizeof g), future_of(SIGUSR1)};
    gate_entered(&gate);
    CHECK_EQUAL(conc_wait(either, 2, CONC_FIRST_COMPLETED, conc_in(CONC_MS(5))), -ETIMEDOUT);
    send_signal(SIGUSR1);
    CHECK_EQUAL(conc_wait(either, 2, CONC_FIRST_COMPLETED, LONG), 1);
    CHECK(!conc_future_is_done(either[0]));
    check_has(either[1], SIGUSR1);
    either[1] = future_of(SIGUSR1);
    conc_event_set(&gate.open);
    CHECK_EQUAL(conc_wait(either, 2, CONC_FIRST_COMPLETED, LONG), 1);
    CHECK(!conc_future_is_done(either[1]));
    CHECK_EQUAL(end_of(either[0]), 0);
    conc_future_unref(either[1]);
    release(SIGUSR1);
}

static void test_one_that_is_cancelled_or_given_back_gets_none(void)
{
    conc_future *cancelled = future_of(SIGUSR1), *next;
    conc_future_unref(future_of(SIGUSR1));
    next = future_of(SIGUSR1);
    CHECK(conc_future_cancel(cancelled));
    send_signal(SIGUSR1);
    check_has(next, SIGUSR1);
    send_signal(SIGUSR1);
    CHECK_EQUAL(wait_for(SIGUSR1, LONG), SIGUSR1);
    CHECK_EQUAL(conc_future_result(cancelled, NULL, CONC_NOW), -ECANCELED);
    conc_future_unref(cancelled);
    release(SIGUSR1);
}

static int waits_for_it(void *arg, void *result)
{
    return wait_for(SIGUSR1, LONG) == SIGUSR1 ? 0 : -EPROTO;
}

static void test_futures_and_calls_are_served_in_the_order_in_which_they_came(void)
{
    conc_future *first = future_of(SIGUSR1);
    conc_future *call = start(waits_for_it, NULL, 0);
    UNTIL(blocked_on("signal") == 1);
    conc_future *last = future_of(SIGUSR1);
    send_signal(SIGUSR1);
    check_has(first, SIGUSR1);
    CHECK(!conc_future_is_done(call));
    send_signal(SIGUSR1);
    CHECK_EQUAL(end_of(call), 0);
    CHECK(!conc_future_is_done(last));
    send_signal(SIGUSR1);
    check_has(last, SIGUSR1);
    release(SIGUSR1);
}

static void test_of_what_cannot_be_caught_it_has_failed(void)
{
    sigset_t empty;
    sigemptyset(&empty);
    conc_future *bad[] = {conc_signal_future(NULL), conc_signal_future(&empty), future_of(SIGKILL)};
    for (int i = 0; i < 3; i++) {
        CHECK_EQUAL(conc_future_result(bad[i], NULL, CONC_FOREVER), -EINVAL);
        conc_future_unref(bad[i]);
    }
}

static void test_the_program_cannot_complete_it(void)
{
    conc_future *f = future_of(SIGUSR1);
    CHECK_EQUAL(conc_future_set_result(f, &(int){SIGUSR1}), -EPERM);
    conc_future_unref(f);
    release(SIGUSR1);
}

static void test_without_memory_it_has_failed(void)
{
    for (int n = 1;; n++) {
        fail_alloc(n);
        conc_future *f = future_of(SIGUSR1);
        if (!alloc_has_failed()) {
            conc_future_unref(f);
            break;
        }
        CHECK_EQUAL(conc_future_error(f), -ENOMEM);
        conc_future_unref(f);
    }
    release(SIGUSR1);
}

static void test_in_a_forks_child_it_is_lost(void **state)
{
    conc_future *f = future_of(SIGUSR1);
    int status = -1;
    pid_t pid = fork();
    if (pid == 0) {
        CHECK_EQUAL(conc_future_result(f, NULL, CONC_FOREVER), -ESHUTDOWN);
        conc_future_unref(f);
        _exit(0);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    send_signal(SIGUSR1);
    check_has(f, SIGUSR1);
    release(SIGUSR1);
}

/* ---- At any moment ---- */

static void cancel_it(void *arg) { conc_future_cancel(arg); }

static void test_a_signal_is_had_once_whenever_its_future_is_cancelled(void **state)
{
    int taken = 0, left = 0;
    for (struct stress s = stress_begin(); stress_goes_on(&s);) {
        struct test_thread canceller;
        int got = 0;
        conc_future *f = future_of(SIGUSR1);
        test_thread_start(&canceller, NULL, cancel_it, f);
        send_signal(SIGUSR1);
        test_thread_join(&canceller);
        int err = conc_future_result(f, &got, LONG);
        if (err)
            assert_int_equal(err, -ECANCELED);
        assert_int_equal(err ? wait_for(SIGUSR1, LONG) : got, SIGUSR1);
        taken += !err;
        left += err != 0;
        conc_future_unref(f);
    }
    assert_int_equal(wait_for(SIGUSR1, CONC_NOW), -EAGAIN);
    assert_true(taken + left > 0);
    release(SIGUSR1);
}

static void give_back(void *arg) { conc_future_unref(arg); }

static void test_one_may_be_given_back_at_any_moment(void **state)
{
    for (struct stress s = stress_begin(); stress_goes_on(&s);) {
        struct test_thread giver;
        test_thread_start(&giver, NULL, give_back, future_of(SIGUSR1));
        send_signal(SIGUSR1);
        test_thread_join(&giver);
        int got = wait_for(SIGUSR1, CONC_NOW); /* it had it, or not */
        assert_true(got == SIGUSR1 || got == -EAGAIN);
    }
    release(SIGUSR1);
}

#if defined(__SANITIZE_THREAD__) && !defined(__clang__)
#define CHILD_MAY_START_THREADS false /* gcc 12's runtime cannot */
#else
#define CHILD_MAY_START_THREADS true
#endif

/* In a child, which has no other thread that could get the signal. */
static int wait_with_all_blocked(void *arg)
{
    sigset_t set;
    int value = 0;
    (void)arg;
    sigfillset(&set);
    CHECK_EQUAL(pthread_sigmask(SIG_SETMASK, &set, NULL), 0);
    sigemptyset(&set);
    sigaddset(&set, SIGUSR2);
    CHECK_EQUAL(conc_signal_catch(&set), 0);
    wait_until_blocked("signals", NULL); /* the dispatcher lets that signal through, and no other */
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    conc_future *f = conc_signal_future(&set);
    CHECK_EQUAL(kill(getpid(), SIGUSR1), 0);
    CHECK_EQUAL(conc_future_result(f, &value, conc_in(CONC_S(30))), 0);
    CHECK_EQUAL(value, SIGUSR1);
    conc_future_unref(f);
    return 42;
}

static void test_a_signal_that_every_thread_blocks_makes_it_done(void **state)
{
    if (CHILD_MAY_START_THREADS)
        assert_int_equal(in_child(wait_with_all_blocked, NULL), 42);
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_a_signal_that_every_thread_blocks_makes_it_done),
    cmocka_unit_test(test_without_a_thread_it_has_failed),
    ON_EVERY_WAY(test_it_is_done_when_the_signal_comes),
    ON_EVERY_WAY(test_a_signal_that_was_kept_makes_it_done_at_once),
    ON_EVERY_WAY(test_a_wait_for_work_or_a_signal_tells_which_came),
    ON_EVERY_WAY(test_one_that_is_cancelled_or_given_back_gets_none),
    ON_EVERY_WAY(test_futures_and_calls_are_served_in_the_order_in_which_they_came),
    ON_EVERY_WAY(test_of_what_cannot_be_caught_it_has_failed),
    ON_EVERY_WAY(test_the_program_cannot_complete_it),
    ON_EVERY_WAY(test_without_memory_it_has_failed),
    cmocka_unit_test(test_in_a_forks_child_it_is_lost),
    cmocka_unit_test(test_a_signal_is_had_once_whenever_its_future_is_cancelled),
    cmocka_unit_test(test_one_may_be_given_back_at_any_moment),
};

TEST_MAIN(tests, 60)
