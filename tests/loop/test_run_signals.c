/* SPDX-License-Identifier: MIT
 *
 * test_run_signals.c: conc_run_with() and the signals that cancel its main task.
 */
#include "loops.h"

#include <sched.h>
#include <signal.h>
#include <string.h>

#include "base/checkers.h"
#include "signals.h"

static int run(conc_fn *fn, void *arg, int *ret, int a, int b)
{
    const sigset_t set = set_of(a, b);
    const conc_run_options options = {.loop.backend = backend, .cancel_on = &set};
    return conc_run_with(fn, &arg, sizeof arg, ret, ret ? sizeof *ret : 0, &options);
}

static bool does_as_ever(int signo)
{
    struct sigaction now;
    CHECK_EQUAL(sigaction(signo, NULL, &now), 0);
    return now.sa_handler == SIG_DFL;
}

/* Argument: where to note that it has tidied up. */
static int job_interrupted(void *arg, void *result)
{
    send_signal(SIGINT);
    int err = conc_sleep_until(CONC_FOREVER);
    CHECK_EQUAL(err, -ECANCELED);
    *(bool *)pointer_in(arg) = true;
    return err;
}

static void test_the_first_signal_cancels_the_main_task(void)
{
    bool tidied = false;
    CHECK_EQUAL(run(job_interrupted, &tidied, NULL, SIGINT, SIGTERM), -EINTR);
    CHECK(!strcmp(conc_describe(-EINTR), "cancelled by signal 2 (Interrupt)"));
    CHECK(tidied);
    CHECK(does_as_ever(SIGINT) && does_as_ever(SIGTERM));
}

static int job_goes_on(void *arg, void *result)
{
    send_signal(SIGTERM);
    CHECK_EQUAL(conc_sleep_until(CONC_FOREVER), -ECANCELED);
    *(int *)result = 7;
    return 0;
}

static void test_a_main_task_that_ends_otherwise_has_its_own_result(void)
{
    int result = 0;
    CHECK_EQUAL(run(job_goes_on, NULL, &result, SIGINT, SIGTERM), 0);
    CHECK_EQUAL(result, 7);
}

static int job_fails_early(void *arg, void *result) { return conc_raise(-EIO, "no disk"); }

static int job_cancels_itself(void *arg, void *result) { return -ECANCELED; }

static void test_without_a_signal_it_is_conc_run(void)
{
    CHECK_EQUAL(run(job_fails_early, NULL, NULL, SIGINT, SIGTERM), -EIO);
    CHECK(!strcmp(conc_describe(-EIO), "no disk"));
    CHECK_EQUAL(run(job_cancels_itself, NULL, NULL, SIGINT, SIGTERM), -ECANCELED);
    CHECK_EQUAL(conc_run_with(job_fails_early, NULL, 0, NULL, 0, NULL), -EIO);
    CHECK(does_as_ever(SIGINT) && does_as_ever(SIGTERM));
}

static void test_a_signal_that_cannot_be_caught_is_EINVAL_and_none_is_caught(void)
{
    bool tidied = false;
    CHECK_EQUAL(run(job_interrupted, &tidied, NULL, SIGINT, SIGSTOP), -EINVAL);
    CHECK(!tidied && does_as_ever(SIGINT));
}

static void test_a_signal_that_came_before_cancels_it_too(void)
{
    bool tidied = false;
    catch_it(SIGINT);
    send_signal(SIGINT);
    CHECK_EQUAL(run(job_until_cancelled, &tidied, NULL, SIGINT, SIGINT), -EINTR);
    release(SIGINT);
}

static int job_ignores_it(void *arg, void *result)
{
    send_signal(SIGINT);
    return conc_sleep(CONC_MS(5));
}

static void test_a_signal_that_is_ignored_stays_so(void)
{
    CHECK(signal(SIGINT, SIG_IGN) != SIG_ERR);
    CHECK_EQUAL(run(job_ignores_it, NULL, NULL, SIGINT, SIGTERM), 0);
    CHECK(signal(SIGINT, SIG_DFL) == SIG_IGN);
}

static int handled;

static void handle(int signo) { store_release(&handled, signo); }

/* The next signal comes while the task holds the loop, and does not heed the first. */
static int job_holds_the_loop(void *arg, void *result)
{
    struct sigaction now;
    send_signal(SIGINT);
    do {
        sched_yield();
        CHECK_EQUAL(sigaction(SIGINT, NULL, &now), 0);
    } while (now.sa_handler != (arg ? handle : SIG_DFL));
    send_signal(SIGINT);
    return 0;
}

static void test_the_second_signal_does_what_it_did_before(void)
{
    bool unused;
    CHECK(signal(SIGINT, handle) != SIG_ERR);
    CHECK_EQUAL(run(job_holds_the_loop, &unused, NULL, SIGINT, SIGTERM), 0);
    CHECK_EQUAL(load_acquire(&handled), SIGINT);
    CHECK(signal(SIGINT, SIG_DFL) == handle);
}

static int interrupts_twice(void *arg)
{
    const sigset_t set = set_of_one(SIGINT);
    const conc_run_options options = {.loop.backend = backend, .cancel_on = &set};
    conc_run_with(job_holds_the_loop, NULL, 0, NULL, 0, &options);
    return 0;
}

static void test_the_second_signal_ends_the_program_as_a_rule(void)
{
#ifdef WITH_TSAN
    return; /* its runtime delivers no signals in a child that was forked from threads */
#endif
    assert_int_equal(in_child(interrupts_twice, NULL), 100 + SIGINT);
}

static void run_in_thread(void *arg)
{
    *(int *)arg = run(job_until_cancelled, NULL, NULL, SIGINT, SIGTERM);
}

static void test_all_runs_of_a_program_are_cancelled(void)
{
    int ends[2] = {0};
    struct test_thread t[2];
    for (int i = 0; i < 2; i++)
        test_thread_start(&t[i], NULL, run_in_thread, &ends[i]);
    WAIT_UNTIL(blocked_on("sleep") == 2);
    send_signal(SIGTERM);
    for (int i = 0; i < 2; i++) {
        test_thread_join(&t[i]);
        assert_int_equal(ends[i], -EINTR);
    }
}

/* The first of all: the thread that deals with signals stays. */
static void test_the_thread_for_signals_stays(void **state)
{
    catch_it(SIGINT);
    release(SIGINT);
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_the_thread_for_signals_stays),
    ON_EVERY_BACKEND(test_the_first_signal_cancels_the_main_task),
    ON_EVERY_BACKEND(test_a_main_task_that_ends_otherwise_has_its_own_result),
    ON_EVERY_BACKEND(test_without_a_signal_it_is_conc_run),
    ON_EVERY_BACKEND(test_a_signal_that_cannot_be_caught_is_EINVAL_and_none_is_caught),
    ON_EVERY_BACKEND(test_a_signal_that_came_before_cancels_it_too),
    ON_EVERY_BACKEND(test_a_signal_that_is_ignored_stays_so),
    ON_EVERY_BACKEND(test_the_second_signal_does_what_it_did_before),
    ON_EVERY_BACKEND(test_the_second_signal_ends_the_program_as_a_rule),
    ON_EVERY_BACKEND(test_all_runs_of_a_program_are_cancelled),
};

TEST_MAIN(tests, 60)
