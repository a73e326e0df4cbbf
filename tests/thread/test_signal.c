/* SPDX-License-Identifier: MIT
 *
 * test_signal.c: waiting for signals, in a child too. Callbacks for them, and what they did before:
 * test_signal_callbacks.c.
 */
#include <sched.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <conc/event.h>

#include "base/atomic.h"
#include "base/hooks.h"
#include "fibers.h"
#include "signals.h"
#include "thread/signal_impl.h"

/* A child that has forked from several threads starts another. */
const char *__tsan_default_options(void);
const char *__tsan_default_options(void) { return "die_after_fork=0"; }

/* ---- One waiter ---- */

/* Has to be the first: the thread is started but once. */
static void test_without_a_thread_nothing_is_caught(void **state)
{
    sigset_t set = set_of_one(SIGUSR1);
    struct signal_callback callback = {.signo = SIGUSR1};
    for (int i = 0; i < 3; i++) {
        store_relaxed(&conc__hooks.fail_thread_in, 1);
        int err = i == 0   ? conc_signal_catch(&set)
                  : i == 1 ? conc_signal_wait(&set, CONC_FOREVER)
                           : conc__signal_add(&callback);
        assert_int_equal(err, -ENOMEM);
    }
    struct sigaction now;
    assert_int_equal(sigaction(SIGUSR1, NULL, &now), 0);
    assert_true(now.sa_handler == SIG_DFL);
}

static void test_wait_returns_the_signal_that_comes(void **state)
{
    struct waiter w = {.result = 0};
    start_waiter(&w, "waiter", set_of(SIGUSR1, SIGUSR2));
    send_signal(SIGUSR2);
    test_thread_join(&w.thread);
    assert_int_equal(w.result, SIGUSR2);
    assert_int_equal(wait_for(SIGUSR2, CONC_NOW), -EAGAIN); /* it is spent */
}

static void test_signal_to_the_process_reaches_who_waits(void **state)
{
    struct waiter w = {.result = 0};
    start_waiter(&w, "waiter", set_of_one(SIGTERM));
    assert_int_equal(kill(getpid(), SIGTERM), 0);
    test_thread_join(&w.thread);
    assert_int_equal(w.result, SIGTERM);
    release(SIGTERM);
}

static void test_signal_that_came_before_the_wait_is_kept_once(void **state)
{
    catch_it(SIGUSR1);
    send_signal(SIGUSR1);
    send_signal(SIGUSR1);
    assert_int_equal(wait_for(SIGUSR2, CONC_NOW), -EAGAIN);
    assert_int_equal(wait_for(SIGUSR1, CONC_NOW), SIGUSR1);
    assert_int_equal(wait_for(SIGUSR1, CONC_NOW), -EAGAIN);
    send_signal(SIGUSR1);
    assert_int_equal(wait_for(SIGUSR1, CONC_FOREVER), SIGUSR1);
}

static void test_lowest_of_several_comes_first(void **state)
{
    sigset_t set = set_of(SIGUSR1, SIGRTMIN + 3);
    assert_int_equal(conc_signal_catch(&set), 0);
    send_signal(SIGRTMIN + 3);
    send_signal(SIGUSR1);
    assert_int_equal(conc_signal_wait(&set, CONC_FOREVER), SIGUSR1);
    assert_int_equal(conc_signal_wait(&set, CONC_FOREVER), SIGRTMIN + 3);
}

static void test_wait_gives_up_on_its_deadline(void **state)
{
    assert_int_equal(wait_for(SIGUSR1, CONC_NOW), -EAGAIN);
    assert_int_equal(wait_for(SIGUSR1, conc_in(0)), -ETIMEDOUT);
    int64_t before = real_now();
    assert_int_equal(wait_for(SIGUSR1, conc_in(CONC_MS(10))), -ETIMEDOUT);
    assert_true(real_now() - before >= CONC_MS(10));
}

static void test_cancelled_wait_takes_no_signal(void **state)
{
    struct waiter w = {.result = 0};
    start_waiter(&w, "waiter", set_of_one(SIGUSR1));
    conc_scope_cancel(&w.scope);
    test_thread_join(&w.thread);
    assert_int_equal(w.result, -ECANCELED);
    assert_int_equal(w.why, -ECANCELED);
    send_signal(SIGUSR1);
    conc_scope scope;
    conc_scope_enter(&scope, conc_in(0));
    assert_int_equal(wait_for(SIGUSR1, CONC_FOREVER), -ECANCELED);
    assert_int_equal(wait_for(SIGUSR1, CONC_NOW), SIGUSR1); /* no cancellation point */
    assert_int_equal(conc_scope_exit(&scope), -ETIMEDOUT);
}

static void test_bad_sets_are_refused(void **state)
{
    static const int bad[] = {SIGKILL, SIGSTOP, SIGSEGV, SIGBUS, SIGFPE, SIGILL};
    sigset_t empty, full;
    struct sigaction before, now; /* nohup(1), for one, has it ignored */
    assert_int_equal(sigaction(SIGHUP, NULL, &before), 0);
    sigemptyset(&empty);
    sigfillset(&full);
    const sigset_t *sets[3 + 6] = {NULL, &empty, &full};
    sigset_t with_bad[6];
    for (int i = 0; i < 6; i++) {
        with_bad[i] = set_of(SIGHUP, bad[i]);
        sets[3 + i] = &with_bad[i];
        struct signal_callback callback = {.signo = bad[i]};
        assert_int_equal(conc__signal_add(&callback), -EINVAL);
    }
    for (int i = 0; i < 9; i++) {
        assert_int_equal(conc_signal_wait(sets[i], CONC_FOREVER), -EINVAL);
        assert_int_equal(conc_signal_catch(sets[i]), -EINVAL);
        assert_int_equal(conc_signal_release(sets[i]), -EINVAL);
    }
    assert_int_equal(sigaction(SIGHUP, NULL, &now), 0);
    assert_true(now.sa_handler == before.sa_handler); /* none of the set was caught */
    struct signal_callback none = {.signo = 0}, high = {.signo = NSIG};
    assert_int_equal(conc__signal_add(&none), -EINVAL);
    assert_int_equal(conc__signal_add(&high), -EINVAL);
}

static void test_handler_leaves_errno_alone(void **state)
{
    catch_it(SIGUSR1);
    errno = 77;
    raise(SIGUSR1);
    assert_int_equal(errno, 77);
    assert_int_equal(wait_for(SIGUSR1, CONC_NOW), SIGUSR1);
}

static void test_end_of_a_child_can_be_waited_for(void **state)
{
    struct waiter w = {.result = 0};
    start_waiter(&w, "waiter", set_of_one(SIGCHLD));
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0)
        kill(getpid(), SIGKILL);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
    test_thread_join(&w.thread);
    assert_int_equal(w.result, SIGCHLD);
    release(SIGCHLD);
}

/* ---- Several waiters ---- */

static void test_who_waits_longest_gets_the_signal(void **state)
{
    struct waiter w[3] = {{.result = 0}};
    start_waiter(&w[0], "other", set_of_one(SIGUSR2));
    start_waiter(&w[1], "first", set_of(SIGUSR1, SIGHUP));
    start_waiter(&w[2], "second", set_of(SIGUSR1, SIGUSR2));
    send_signal(SIGUSR1);
    test_thread_join(&w[1].thread);
    assert_int_equal(w[1].result, SIGUSR1);
    send_signal(SIGUSR2);
    test_thread_join(&w[0].thread);
    send_signal(SIGUSR2);
    test_thread_join(&w[2].thread);
    assert_int_equal(w[0].result, SIGUSR2);
    assert_int_equal(w[2].result, SIGUSR2);
    release(SIGHUP);
}

struct relay {
    sigset_t all;
    uint32_t passed;
};

/* Each waits for its signal and raises the next one's. */
static void pass_on(size_t i, void *arg)
{
    struct relay *r = arg;
    for (int round = 0; round < 20; round++) {
        if (i > 0 || round > 0)
            CHECK_EQUAL(wait_for(SIGRTMIN + (int)i, CONC_FOREVER), SIGRTMIN + (int)i);
        fetch_add_relaxed(&r->passed, 1);
        if (i < 5 || round < 19)
            send_signal(SIGRTMIN + (int)(i + 1) % 6);
    }
}

static void test_contexts_of_all_kinds_wait_and_raise(void **state)
{
    for (enum context_kind kind = 0; kind < CONTEXT_KINDS; kind++) {
        struct relay r = {.passed = 0};
        sigemptyset(&r.all);
        for (int i = 0; i < 6; i++)
            sigaddset(&r.all, SIGRTMIN + i);
        assert_int_equal(conc_signal_catch(&r.all), 0);
        run_contexts(kind, 6, pass_on, &r);
        assert_int_equal(r.passed, 6 * 20);
        assert_int_equal(conc_signal_release(&r.all), 0);
    }
}

/* ---- Storm ---- */

struct storm {
    sigset_t set;
    struct stress stress;
    uint32_t sent[2], got[2]; /* SIGUSR1, SIGUSR2; atomic */
    uint32_t sending;
};

static void raise_signals(void *arg)
{
    struct storm *s = arg;
    struct test_random r = test_random_for((unsigned)gettid());
    while (stress_goes_on(&s->stress)) {
        uint64_t which = test_random_below(&r, 2);
        fetch_add_relaxed(&s->sent[which], 1);
        send_signal(which ? SIGUSR2 : SIGUSR1);
        if (test_random_below(&r, 8) == 0)
            sched_yield();
    }
    fetch_sub_acq_rel(&s->sending, 1);
}

static void receive_signals(void *arg)
{
    struct storm *s = arg;
    for (int n = 0;; n++) {
        bool over = load_acquire(&s->sending) == 0;
        int signo = conc_signal_wait(&s->set, over         ? CONC_NOW
                                              : n % 3 == 0 ? conc_in(CONC_US(50))
                                                           : conc_in(CONC_MS(2)));
        if (signo > 0)
            fetch_add_relaxed(&s->got[signo == SIGUSR2], 1);
        else
            CHECK_EQUAL(signo, over ? -EAGAIN : -ETIMEDOUT);
        if (over && signo < 0)
            return;
    }
}

static void test_storm_gives_no_more_than_was_sent_and_loses_not_all(void **state)
{
    struct storm s = {.set = set_of(SIGUSR1, SIGUSR2), .stress = stress_begin(), .sending = 2};
    struct test_thread t[5];
    assert_int_equal(conc_signal_catch(&s.set), 0);
    for (int i = 0; i < 5; i++)
        test_thread_start(&t[i], NULL, i < 2 ? raise_signals : receive_signals, &s);
    for (int i = 0; i < 5; i++)
        test_thread_join(&t[i]);
    for (int i = 0; i < 2; i++) {
        assert_true(s.got[i] >= 1);
        assert_true(s.got[i] <= s.sent[i]);
    }
}

static void answer(void *arg)
{
    struct waiter *w = arg;
    while ((w->result = conc_signal_wait(&w->set, CONC_FOREVER)) == SIGUSR1)
        send_signal(SIGUSR2);
}

/* Each waits for the other's signal: a single one lost would hang it. */
static void test_ping_pong_loses_none(void **state)
{
    struct waiter w = {.set = set_of(SIGUSR1, SIGHUP)};
    struct stress stress = stress_begin();
    sigset_t all = set_of(SIGUSR1, SIGUSR2);
    assert_int_equal(conc_signal_catch(&all), 0);
    catch_it(SIGHUP);
    test_thread_start(&w.thread, "answerer", answer, &w);
    while (stress_goes_on(&stress)) {
        send_signal(SIGUSR1);
        assert_int_equal(wait_for(SIGUSR2, CONC_FOREVER), SIGUSR2);
    }
    send_signal(SIGHUP);
    test_thread_join(&w.thread);
    assert_int_equal(w.result, SIGHUP);
    release(SIGHUP);
}

/* ---- Children ---- */

static void say_so(int signo, void *arg)
{
    (void)signo;
    conc_event_set(arg);
}

static int receive_in_child(void *arg)
{
    (void)arg;
    conc_event called = CONC_EVENT_INIT;
    struct signal_callback callback = {.signo = SIGUSR2, .fn = say_so, .arg = &called};
    if (wait_for(SIGUSR1, CONC_NOW) != -EAGAIN) /* the parent's */
        return 1;
    send_signal(SIGUSR1);
    if (wait_for(SIGUSR1, CONC_FOREVER) != SIGUSR1)
        return 2;
    send_signal(SIGUSR2); /* for which a context waits in the parent only */
    if (conc__signal_add(&callback) != 0 || conc_event_wait(&called, CONC_FOREVER) != 0)
        return 3;
    conc__signal_remove(&callback);
    return 42;
}

static void test_child_has_signals_of_its_own(void **state)
{
    struct waiter w = {.result = 0};
    catch_it(SIGUSR1);
    start_waiter(&w, "parents", set_of_one(SIGUSR2));
    send_signal(SIGUSR1);
    assert_int_equal(in_child(receive_in_child, NULL), 42);
    assert_int_equal(wait_for(SIGUSR1, CONC_NOW), SIGUSR1);
    wait_until_blocked("parents", "signal"); /* the child's did not reach it */
    send_signal(SIGUSR2);
    test_thread_join(&w.thread);
    assert_int_equal(w.result, SIGUSR2);
}

/* It ends by a signal: see run_in_child() in support.c. */
static void be_born_and_wait(void)
{
    alarm(60);
    if (wait_for(SIGUSR1, CONC_FOREVER) == SIGUSR1)
        kill(getpid(), SIGKILL);
    abort();
}

/* A signal that reaches the child while it is still in fork() is neither lost nor the parent's. */
static void test_signal_to_a_newborn_child_is_not_lost(void **state)
{
    catch_it(SIGUSR1);
    for (int i = 0; i < 30; i++) {
        pid_t pid = fork();
        assert_true(pid >= 0);
        if (pid == 0)
            be_born_and_wait();
        int status;
        assert_int_equal(kill(pid, SIGUSR1), 0);
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_true(WIFSIGNALED(status));
        assert_int_equal(WTERMSIG(status), SIGKILL);
        assert_int_equal(wait_for(SIGUSR1, CONC_NOW), -EAGAIN);
    }
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_without_a_thread_nothing_is_caught),
    cmocka_unit_test(test_wait_returns_the_signal_that_comes),
    cmocka_unit_test(test_signal_to_the_process_reaches_who_waits),
    cmocka_unit_test(test_signal_that_came_before_the_wait_is_kept_once),
    cmocka_unit_test(test_lowest_of_several_comes_first),
    cmocka_unit_test(test_wait_gives_up_on_its_deadline),
    cmocka_unit_test(test_cancelled_wait_takes_no_signal),
    cmocka_unit_test(test_bad_sets_are_refused),
    cmocka_unit_test(test_handler_leaves_errno_alone),
    cmocka_unit_test(test_end_of_a_child_can_be_waited_for),
    cmocka_unit_test(test_who_waits_longest_gets_the_signal),
    cmocka_unit_test(test_contexts_of_all_kinds_wait_and_raise),
    cmocka_unit_test(test_storm_gives_no_more_than_was_sent_and_loses_not_all),
    cmocka_unit_test(test_ping_pong_loses_none),
    cmocka_unit_test(test_child_has_signals_of_its_own),
    cmocka_unit_test(test_signal_to_a_newborn_child_is_not_lost),
};

TEST_MAIN(tests, 50)
