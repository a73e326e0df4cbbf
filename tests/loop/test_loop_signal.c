/* SPDX-License-Identifier: MIT
 *
 * test_loop_signal.c: a loop's callbacks for signals.
 */
#include "loops.h"
#include "signals.h"

#include "loop/loop_impl.h"

/* The thread that deals with signals stays, once it was needed. */
__attribute__((constructor)) static void start_dispatcher(void)
{
    catch_it(SIGUSR1);
    release(SIGUSR1);
}

/* Signals come to a thread that does nothing else: valgrind (3.19) finds fault with a stack on
 * which a signal came if its handler has another, which it has in a thread that runs loops. */
static void raise_it(void *signo) { send_signal((int)(intptr_t)signo); }

static void send_aside(int signo)
{
    struct test_thread other;
    test_thread_start(&other, NULL, raise_it, (void *)(intptr_t)signo);
    test_thread_join(&other);
}

struct seen {
    conc_loop *loop;
    int calls; /* the loop's thread's */
    int stop_at;
};

static void on_signal(void *arg)
{
    struct seen *seen = arg;
    CHECK(conc_loop_current() == seen->loop);
    if (++seen->calls == seen->stop_at)
        conc_loop_stop(seen->loop);
}

static bool is_default(int signo)
{
    struct sigaction action;
    CHECK_EQUAL(sigaction(signo, NULL, &action), 0);
    return action.sa_handler == SIG_DFL;
}

/* Run the loop until it has been called as often in all. */
static void run_until_calls(struct seen *seen, int calls)
{
    seen->stop_at = calls;
    if (seen->calls < calls)
        assert_int_equal(conc_loop_run_forever(seen->loop), 0);
    assert_int_equal(seen->calls, calls);
}

/* ---- Called ---- */

static void test_it_is_called_in_the_loops_thread_each_time(void)
{
    struct seen seen = {.loop = new_loop()};
    assert_int_equal(conc_loop_add_signal_handler(seen.loop, SIGUSR1, on_signal, &seen), 0);
    assert_false(is_default(SIGUSR1));
    for (int i = 1; i < 5; i++) {
        send_aside(SIGUSR1);
        run_until_calls(&seen, i);
    }
    assert_int_equal(conc_loop_remove_signal_handler(seen.loop, SIGUSR1), 1);
    assert_int_equal(conc_loop_remove_signal_handler(seen.loop, SIGUSR1), 0);
    assert_true(is_default(SIGUSR1));
    free_loop(seen.loop);
}

static void send_when_asleep(void *arg)
{
    wait_until_blocked("main", "loop");
    send_signal(SIGUSR1);
}

static void test_a_signal_wakes_a_loop_that_sleeps(void)
{
    struct seen seen = {.loop = new_loop()};
    assert_int_equal(conc_loop_add_signal_handler(seen.loop, SIGUSR1, on_signal, &seen), 0);
    for (int i = 1; i < 4; i++) {
        struct test_thread other;
        test_thread_start(&other, NULL, send_when_asleep, NULL);
        run_until_calls(&seen, i);
        test_thread_join(&other);
    }
    free_loop(seen.loop);
    assert_true(is_default(SIGUSR1));
}

static void test_each_signal_has_its_own(void)
{
    struct seen one = {.loop = new_loop()}, two = one;
    assert_int_equal(conc_loop_add_signal_handler(one.loop, SIGUSR1, on_signal, &one), 0);
    assert_int_equal(conc_loop_add_signal_handler(one.loop, SIGUSR2, on_signal, &two), 0);
    send_aside(SIGUSR2);
    run_until_calls(&two, 1);
    assert_int_equal(one.calls, 0);
    send_aside(SIGUSR1);
    run_until_calls(&one, 1);
    assert_int_equal(conc_loop_remove_signal_handler(one.loop, SIGUSR2), 1);
    assert_true(is_default(SIGUSR2));
    send_aside(SIGUSR1);
    run_until_calls(&one, 2);
    free_loop(one.loop);
}

static void run_until_called(void *arg)
{
    struct seen *seen = arg;
    seen->stop_at = 1;
    CHECK_EQUAL(conc_loop_run_forever(seen->loop), 0);
    CHECK_EQUAL(seen->calls, 1);
    free_loop(seen->loop);
}

static void test_two_loops_are_told_both(void)
{
    struct seen here = {.loop = new_loop()}, there = {.loop = new_loop()};
    struct test_thread other;
    assert_int_equal(conc_loop_add_signal_handler(here.loop, SIGUSR1, on_signal, &here), 0);
    assert_int_equal(conc_loop_add_signal_handler(there.loop, SIGUSR1, on_signal, &there), 0);
    send_aside(SIGUSR1);
    test_thread_start(&other, NULL, run_until_called, &there);
    run_until_calls(&here, 1);
    test_thread_join(&other);
    assert_false(is_default(SIGUSR1)); /* this one still wants it */
    free_loop(here.loop);
    assert_true(is_default(SIGUSR1));
}

static int job_wait_for_it(void *arg, void *result)
{
    return wait_for(SIGUSR1, CONC_FOREVER) == SIGUSR1 ? 0 : -EIO;
}

static int job_send_when_waited_for(void *arg, void *result)
{
    YIELD_UNTIL(blocked_on("signal") == 1);
    send_aside(SIGUSR1);
    return 0;
}

static void test_who_waits_for_it_comes_first(void)
{
    struct seen seen = {.loop = new_loop()};
    assert_int_equal(conc_loop_add_signal_handler(seen.loop, SIGUSR1, on_signal, &seen), 0);
    conc_future *f = conc_task_start(seen.loop, job_wait_for_it, NULL, 0, 0, NULL);
    assert_int_equal(run_task(seen.loop, job_send_when_waited_for, NULL, 0), 0);
    assert_int_equal(run_until(seen.loop, f), 0);
    assert_int_equal(seen.calls, 0);
    send_aside(SIGUSR1);
    run_until_calls(&seen, 1);
    release(SIGUSR1); /* the task has caught it too */
    free_loop(seen.loop);
    assert_true(is_default(SIGUSR1));
}

/* ---- Replaced and removed ---- */

static void test_adding_again_replaces(void)
{
    struct seen seen = {.loop = new_loop()}, other = seen;
    assert_int_equal(conc_loop_add_signal_handler(seen.loop, SIGUSR1, on_signal, &other), 0);
    assert_int_equal(conc_loop_add_signal_handler(seen.loop, SIGUSR1, on_signal, &seen), 0);
    send_aside(SIGUSR1);
    run_until_calls(&seen, 1);
    assert_int_equal(other.calls, 0);
    free_loop(seen.loop);
}

static void remove_itself(void *arg)
{
    struct seen *seen = arg;
    CHECK_EQUAL(conc_loop_remove_signal_handler(seen->loop, SIGUSR1), 1);
    CHECK_EQUAL(conc_loop_remove_signal_handler(seen->loop, SIGUSR1), 0);
    on_signal(seen);
}

static void replace_itself(void *arg)
{
    struct seen *seen = arg;
    CHECK_EQUAL(conc_loop_add_signal_handler(seen->loop, SIGUSR1, remove_itself, seen), 0);
    on_signal(seen);
}

static void test_a_callback_may_replace_or_remove_itself(void)
{
    struct seen seen = {.loop = new_loop()};
    assert_int_equal(conc_loop_add_signal_handler(seen.loop, SIGUSR1, replace_itself, &seen), 0);
    send_aside(SIGUSR1);
    run_until_calls(&seen, 1);
    send_aside(SIGUSR1);
    run_until_calls(&seen, 2);
    assert_true(is_default(SIGUSR1));
    assert_int_equal(conc_loop_remove_signal_handler(seen.loop, SIGUSR1), 0);
    free_loop(seen.loop);
}

enum way_out { REMOVE, REMOVE_IN_TURN, REPLACE, FREE, WAYS_OUT };

static void remove_other(void *arg)
{
    struct seen *seen = arg;
    CHECK_EQUAL(conc_loop_remove_signal_handler(seen->loop, SIGUSR1), 1);
}

/* It is removed when its signal has gone some of its way: to the thread that deals with it, into
 * the inbox, or, by a callback just before its turn, into the ready list. */
static void leave_on_the_way(enum way_out way_out, int turns)
{
    struct seen seen = {.loop = new_loop()};
    struct item *const asleep = (struct item *)(uintptr_t)1;
    assert_int_equal(conc_loop_add_signal_handler(seen.loop, SIGUSR1, on_signal, &seen), 0);
    if (way_out == REMOVE_IN_TURN)
        assert_int_equal(conc_loop_call_soon(seen.loop, remove_other, &seen, NULL), 0);
    send_aside(SIGUSR1);
    for (int i = 0; i < turns; i++)
        conc_yield();
    if (way_out == REMOVE_IN_TURN)
        WAIT_UNTIL(load_acquire(&seen.loop->driver.inbox) > asleep);
    else if (way_out == REMOVE)
        remove_other(&seen);
    else if (way_out == REPLACE)
        assert_int_equal(conc_loop_add_signal_handler(seen.loop, SIGUSR1, on_signal, &seen), 0);
    if (way_out <= REMOVE_IN_TURN) {
        conc_loop_stop(seen.loop);
        assert_int_equal(conc_loop_run_forever(seen.loop), 0);
        assert_int_equal(seen.calls, 0);
    }
    free_loop(seen.loop);
}

static void test_what_is_on_its_way_when_it_is_removed_is_dropped(void)
{
    for (enum way_out way_out = 0; way_out < WAYS_OUT; way_out++)
        for (int turns = 0; turns < 20; turns++)
            leave_on_the_way(way_out, turns);
    assert_true(is_default(SIGUSR1));
}

/* ---- Refused ---- */

static void test_bad_arguments_are_EINVAL(void)
{
    static const int bad[] = {SIGKILL, SIGSTOP, SIGSEGV, SIGFPE, 0, -1, 1000};
    struct seen seen = {.loop = new_loop()};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_int_equal(conc_loop_add_signal_handler(seen.loop, bad[i], on_signal, &seen),
                         -EINVAL);
        assert_int_equal(conc_loop_remove_signal_handler(seen.loop, bad[i]), 0);
    }
    assert_int_equal(conc_loop_add_signal_handler(seen.loop, SIGUSR1, NULL, &seen), -EINVAL);
    assert_true(is_default(SIGUSR1));
    fail_alloc(1);
    assert_int_equal(conc_loop_add_signal_handler(seen.loop, SIGUSR1, on_signal, &seen), -ENOMEM);
    assert_true(is_default(SIGUSR1));
    free_loop(seen.loop);
}

/* ---- A storm ---- */

struct shower {
    uint32_t over;
};

static void send_many(void *arg)
{
    struct shower *shower = arg;
    for (int i = 0; i < (int)crowd_of(2000); i++)
        send_signal(SIGUSR1);
    store_release(&shower->over, 1);
}

static void test_signals_while_it_is_added_and_removed_all_the_time(void)
{
    struct shower shower = {.over = 0};
    struct seen seen = {.loop = new_loop()}, keeper = {.loop = new_loop()};
    struct test_thread other;
    /* somebody always catches it */
    assert_int_equal(conc_loop_add_signal_handler(keeper.loop, SIGUSR1, on_signal, &keeper), 0);
    test_thread_start(&other, NULL, send_many, &shower);
    while (!load_acquire(&shower.over)) {
        assert_int_equal(conc_loop_add_signal_handler(seen.loop, SIGUSR1, on_signal, &seen), 0);
        conc_loop_stop(seen.loop);
        assert_int_equal(conc_loop_run_forever(seen.loop), 0);
        assert_int_equal(conc_loop_remove_signal_handler(seen.loop, SIGUSR1), 1);
    }
    test_thread_join(&other);
    assert_int_equal(conc_loop_add_signal_handler(seen.loop, SIGUSR1, on_signal, &seen), 0);
    int before = seen.calls;
    send_aside(SIGUSR1);
    run_until_calls(&seen, before + 1);
    run_until_calls(&keeper, keeper.calls + 1);
    free_loop(seen.loop);
    free_loop(keeper.loop);
}

static const struct CMUnitTest tests[] = {
    ON_EVERY_BACKEND(test_it_is_called_in_the_loops_thread_each_time),
    ON_EVERY_BACKEND(test_a_signal_wakes_a_loop_that_sleeps),
    ON_EVERY_BACKEND(test_each_signal_has_its_own),
    ON_EVERY_BACKEND(test_two_loops_are_told_both),
    ON_EVERY_BACKEND(test_who_waits_for_it_comes_first),
    ON_EVERY_BACKEND(test_adding_again_replaces),
    ON_EVERY_BACKEND(test_a_callback_may_replace_or_remove_itself),
    ON_EVERY_BACKEND(test_what_is_on_its_way_when_it_is_removed_is_dropped),
    ON_EVERY_BACKEND(test_bad_arguments_are_EINVAL),
    ON_EVERY_BACKEND(test_signals_while_it_is_added_and_removed_all_the_time),
};

TEST_MAIN(tests, 60)
