/* SPDX-License-Identifier: MIT
 *
 * test_timer.c: a job after a while: that it runs when its time has come and not before, or is
 * cancelled, one of the two.
 */
#include "jobs.h"

#include <pthread.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <conc/thread.h>

static conc_timer *start(int64_t after, conc_fn *fn, const void *arg, size_t arg_size)
{
    conc_timer *t = NULL;
    CHECK_EQUAL(conc_timer_start(&t, after, fn, arg, arg_size), 0);
    return t;
}

static conc_timer *start_count(int64_t after, int *count)
{
    return start(after, job_count, &count, sizeof count);
}

static int job_nothing(void *arg, void *result) { return arg || result ? -EFAULT : 0; }

/* ---- Firing ---- */

static void test_it_fires_when_its_time_has_come(void **state)
{
    int count = 0;
    conc_timer *t = start_count(CONC_S(1000), &count);
    wait_until_blocked("timers", NULL);
    conc__test_advance(CONC_S(999));
    assert_int_equal(conc_timer_join(t, CONC_NOW), -EAGAIN);
    assert_int_equal(conc_timer_join(t, conc_in(CONC_MS(10))), -ETIMEDOUT);
    assert_int_equal(load_acquire(&count), 0);
    conc__test_advance(CONC_S(1));
    assert_int_equal(conc_timer_join(t, CONC_FOREVER), 0);
    assert_int_equal(load_acquire(&count), 1);
    assert_false(conc_timer_cancel(t));
    assert_int_equal(conc_timer_join(t, CONC_NOW), 0); /* again */
    conc_timer_free(t);
}

static void test_real_time_counts_too(void **state)
{
    int count = 0;
    int64_t before = real_now();
    conc_timer *t = start_count(CONC_MS(20), &count);
    assert_int_equal(conc_timer_join(t, CONC_FOREVER), 0);
    assert_true(real_now() - before >= CONC_MS(20));
    assert_int_equal(load_acquire(&count), 1);
    conc_timer_free(t);
}

static void test_zero_or_less_fires_at_once(void **state)
{
    static const int64_t afters[] = {0, -1, INT64_MIN};
    for (int i = 0; i < 3; i++) {
        int count = 0;
        conc_timer *t = start_count(afters[i], &count);
        assert_int_equal(conc_timer_join(t, CONC_FOREVER), 0);
        assert_int_equal(load_acquire(&count), 1);
        conc_timer_free(t);
    }
}

static void test_the_end_of_time_never_comes(void **state)
{
    int count = 0;
    conc_timer *t = start_count(INT64_MAX, &count);
    wait_until_blocked("timers", NULL);
    conc__test_advance(CONC_S(100000));
    assert_int_equal(conc_timer_join(t, conc_in(CONC_MS(10))), -ETIMEDOUT);
    assert_true(conc_timer_cancel(t));
    conc_timer_free(t);
    wait_until_threads(0);
    assert_int_equal(load_acquire(&count), 0);
}

static int job_check_argument(void *arg, void *result)
{
    return result || *(int *)arg != 42 ? -EFAULT : conc_raise(-EPROTO, "the timer's");
}

static void test_join_gives_the_jobs_error(void **state)
{
    int n = 42;
    conc_timer *t = start(CONC_MS(1), job_check_argument, &n, sizeof n);
    n = 0; /* it has a copy */
    assert_int_equal(conc_timer_join(t, CONC_FOREVER), -EPROTO);
    assert_string_equal(conc_error_message(), "the timer's");
    conc_timer_free(t);
}

static void test_bad_arguments_are_EINVAL(void **state)
{
    conc_timer *t = NULL;
    assert_int_equal(conc_timer_start(&t, 1, NULL, NULL, 0), -EINVAL);
    assert_int_equal(conc_timer_start(&t, 1, job_nothing, NULL, 4), -EINVAL);
    assert_null(t);
}

static void test_without_memory_start_is_ENOMEM(void **state)
{
    conc_timer *t = NULL;
    int n = 0, err;
    do {
        fail_alloc(++n);
        err = conc_timer_start(&t, CONC_S(1000), job_nothing, NULL, 0);
        fail_alloc(0);
        assert_true(err == 0 || err == -ENOMEM);
        assert_int_equal(t == NULL, err != 0);
    } while (err);
    assert_true(n > 2);
    assert_true(conc_timer_cancel(t));
    conc_timer_free(t);
}

/* The first of all: the other tests count threads, and the one that keeps the times stays. */
static void test_the_first_timer_starts_one_thread_for_all(void **state)
{
    static conc_timer *timers[3000];
    const int n = (int)crowd_of(sizeof timers / sizeof *timers);
    int count = 0, threads = count_threads();
    fail_thread(1);
    assert_int_equal(conc_timer_start(&timers[0], 0, job_nothing, NULL, 0), -ENOMEM);
    assert_null(timers[0]);
    for (int i = 0; i < n; i++)
        timers[i] = start_count(CONC_S(1000) + i % 7, &count);
    assert_int_equal(count_threads(), threads + 1);
    for (int i = 0; i < n; i += 2)
        assert_true(conc_timer_cancel(timers[i]));
    conc__test_advance(CONC_S(1001));
    for (int i = 0; i < n; i++) {
        assert_int_equal(conc_timer_join(timers[i], CONC_FOREVER), i % 2 ? 0 : -ECANCELED);
        conc_timer_free(timers[i]);
    }
    assert_int_equal(load_acquire(&count), n / 2);
    WAIT_UNTIL(count_threads() == threads + 1);
}

static void test_without_a_thread_for_it_the_job_fails(void **state)
{
    int count = 0;
    conc_timer *t = start_count(CONC_S(1000), &count);
    fail_thread(1);
    conc__test_advance(CONC_S(1001));
    assert_int_equal(conc_timer_join(t, CONC_FOREVER), -ENOMEM);
    assert_string_equal(conc_error_message(), "there is no thread for the job");
    conc_timer_free(t);
    wait_until_blocked("timers", NULL); /* it has given its reference back too */
    assert_int_equal(load_acquire(&count), 0);
}

static void test_a_job_that_blocks_holds_up_no_other_timer(void **state)
{
    struct gate gate = {0}, *g = &gate;
    int count = 0;
    conc_timer *blocked = start(0, job_gate, &g, sizeof g);
    gate_entered(&gate);
    conc_timer *later = start_count(CONC_MS(1), &count);
    assert_int_equal(conc_timer_join(later, CONC_FOREVER), 0);
    assert_int_equal(load_acquire(&count), 1);
    conc_event_set(&gate.open);
    assert_int_equal(conc_timer_join(blocked, CONC_FOREVER), 0);
    conc_timer_free(later);
    conc_timer_free(blocked);
}

static void test_an_earlier_timer_is_not_kept_waiting_by_a_later_one(void **state)
{
    int late = 0, early = 0;
    conc_timer *far = start_count(CONC_S(1000), &late);
    wait_until_blocked("timers", NULL);
    conc_timer *near = start_count(CONC_S(10), &early);
    conc__test_advance(CONC_S(11));
    assert_int_equal(conc_timer_join(near, CONC_FOREVER), 0);
    assert_int_equal(load_acquire(&late), 0);
    assert_true(conc_timer_cancel(far));
    conc_timer_free(far);
    conc_timer_free(near);
}

static int job_gives_its_mask(void *arg, void *result)
{
    return -pthread_sigmask(SIG_SETMASK, NULL, *(sigset_t **)arg);
}

static void test_the_job_has_the_signal_mask_of_its_starter(void **state)
{
    sigset_t blocked, seen, *to = &seen;
    sigemptyset(&blocked);
    sigaddset(&blocked, SIGUSR1);
    for (int i = 0; i < 2; i++) {
        pthread_sigmask(i ? SIG_UNBLOCK : SIG_BLOCK, &blocked, NULL);
        conc_timer *t = start(0, job_gives_its_mask, &to, sizeof to);
        assert_int_equal(conc_timer_join(t, CONC_FOREVER), 0);
        assert_int_equal(sigismember(&seen, SIGUSR1), i == 0);
        assert_int_equal(sigismember(&seen, SIGTERM), 0);
        conc_timer_free(t);
    }
}

/* ---- Cancelling ---- */

static void test_a_timer_cancelled_before_its_time_never_fires(void **state)
{
    int count = 0;
    conc_timer *t = start_count(CONC_S(1000), &count);
    assert_true(conc_timer_cancel(t));
    assert_false(conc_timer_cancel(t));
    assert_int_equal(conc_timer_join(t, CONC_FOREVER), -ECANCELED); /* and ends at once */
    conc__test_advance(CONC_S(2000));
    conc_timer_free(t);
    wait_until_threads(0);
    assert_int_equal(load_acquire(&count), 0);
}

static void test_a_job_that_has_begun_is_not_cancelled(void **state)
{
    struct gate gate = {0}, *g = &gate;
    conc_timer *t = start(0, job_gate, &g, sizeof g);
    gate_entered(&gate);
    assert_false(conc_timer_cancel(t));
    assert_int_equal(conc_timer_join(t, CONC_NOW), -EAGAIN);
    conc_event_set(&gate.open);
    assert_int_equal(conc_timer_join(t, CONC_FOREVER), 0);
    assert_int_equal(gate.end, 0);
    conc_timer_free(t);
}

static void test_join_by_a_cancelled_caller_is_ECANCELED_and_the_timer_goes_on(void **state)
{
    int count = 0;
    conc_scope scope;
    conc_timer *t = start_count(CONC_S(1000), &count);
    conc_scope_enter(&scope, conc_in(CONC_MS(2)));
    assert_int_equal(conc_timer_join(t, CONC_FOREVER), -ECANCELED);
    assert_int_equal(conc_scope_exit(&scope), -ETIMEDOUT);
    conc__test_advance(CONC_S(1001));
    assert_int_equal(conc_timer_join(t, CONC_FOREVER), 0);
    assert_int_equal(load_acquire(&count), 1);
    conc_timer_free(t);
}

struct own {
    conc_timer *timer;
    conc_event go, done;
    int join;
    bool cancel;
};

static int job_joins_its_timer(void *arg, void *result)
{
    struct own *own = *(struct own **)arg;
    CHECK_EQUAL(conc_event_wait(&own->go, CONC_FOREVER), 0);
    own->join = conc_timer_join(own->timer, CONC_FOREVER);
    own->cancel = conc_timer_cancel(own->timer);
    conc_timer_free(own->timer);
    conc_event_set(&own->done);
    return 0;
}

static void test_its_own_job_may_give_it_back_but_not_join_it(void **state)
{
    struct own own = {.cancel = true}, *o = &own;
    own.timer = start(0, job_joins_its_timer, &o, sizeof o);
    conc_event_set(&own.go);
    assert_int_equal(conc_event_wait(&own.done, CONC_FOREVER), 0);
    wait_until_threads(0);
    assert_int_equal(own.join, -EDEADLK);
    assert_false(own.cancel);
}

/* ---- Giving it back ---- */

static void test_free_ignores_NULL(void **state) { conc_timer_free(NULL); }

static void test_a_timer_given_back_still_fires_unless_cancelled(void **state)
{
    int fired = 0, cancelled = 0;
    conc_timer_free(start_count(CONC_S(1000), &fired));
    conc_timer *t = start_count(CONC_S(1000), &cancelled);
    assert_true(conc_timer_cancel(t));
    conc_timer_free(t);
    conc__test_advance(CONC_S(1001));
    WAIT_UNTIL(load_acquire(&fired) == 1);
    wait_until_threads(0);
    assert_int_equal(load_acquire(&cancelled), 0);
}

static void test_the_error_of_a_timer_given_back_is_reported(void **state)
{
    struct unobserved u;
    unobserved_watch(&u);
    conc_timer_free(start(0, job_raise, &(int){-EIO}, sizeof(int)));
    WAIT_UNTIL(load_acquire(&u.count) == 1);
    assert_int_equal(u.err, -EIO);
    conc_timer *t = start(CONC_S(1000), job_raise, &(int){-EIO}, sizeof(int));
    assert_true(conc_timer_cancel(t)); /* nothing to report */
    conc_timer_free(t);
    wait_until_threads(0);
    assert_int_equal(load_acquire(&u.count), 1);
}

/* ---- A child of fork() ---- */

static void child_of_timers(conc_timer *pending, conc_timer *done)
{
    CHECK_EQUAL(conc_timer_join(done, CONC_FOREVER), 0);
    CHECK_EQUAL(conc_timer_join(pending, CONC_FOREVER), -ESHUTDOWN);
    CHECK(conc_timer_cancel(pending)); /* its job will not run here, that is true */
    conc_timer_free(pending);
    conc_timer_free(done);
#if !defined(__SANITIZE_THREAD__) || defined(__clang__) /* gcc 12's runtime cannot */
    int count = 0;
    conc_timer *own = start_count(CONC_MS(1), &count);
    CHECK_EQUAL(conc_timer_join(own, CONC_FOREVER), 0);
    CHECK_EQUAL(load_acquire(&count), 1);
    conc_timer_free(own);
#endif
}

static void test_a_forks_child_has_no_timers_but_its_own(void **state)
{
    int count = 0, status = -1;
    conc_timer *pending = start_count(CONC_S(1000), &count), *done = start_count(0, &count);
    assert_int_equal(conc_timer_join(done, CONC_FOREVER), 0);
    pid_t pid = fork();
    if (pid == 0) {
        alarm(60);
        child_of_timers(pending, done);
        _exit(0);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    conc__test_advance(CONC_S(1001)); /* the parent's go on */
    assert_int_equal(conc_timer_join(pending, CONC_FOREVER), 0);
    assert_int_equal(load_acquire(&count), 2);
    conc_timer_free(pending);
    conc_timer_free(done);
}

/* ---- At random ---- */

struct canceller {
    struct test_thread thread;
    conc_timer *timer;
    unsigned spins;
    int cancelled;
};

static void cancel_at(void *arg)
{
    struct canceller *c = arg;
    for (unsigned i = 0; i < c->spins; i++)
        cpu_relax();
    c->cancelled = conc_timer_cancel(c->timer);
}

static void storm(struct test_random *random)
{
    enum { TIMERS = 4, CANCELLERS = 2 };
    int counts[TIMERS] = {0};
    conc_timer *timers[TIMERS];
    struct canceller cancellers[TIMERS][CANCELLERS];
    for (int i = 0; i < TIMERS; i++) {
        timers[i] = start_count((int64_t)test_random_below(random, 200000), &counts[i]);
        for (int j = 0; j < CANCELLERS; j++) {
            cancellers[i][j] = (struct canceller){
                .timer = timers[i], .spins = (unsigned)test_random_below(random, 8000)};
            test_thread_start(&cancellers[i][j].thread, NULL, cancel_at, &cancellers[i][j]);
        }
    }
    for (int i = 0; i < TIMERS; i++) {
        int cancelled = 0;
        for (int j = 0; j < CANCELLERS; j++) {
            test_thread_join(&cancellers[i][j].thread);
            cancelled += cancellers[i][j].cancelled;
        }
        assert_int_equal(conc_timer_join(timers[i], CONC_FOREVER), cancelled ? -ECANCELED : 0);
        assert_int_equal(load_acquire(&counts[i]) + cancelled, 1); /* just one of the two */
        conc_timer_free(timers[i]);
    }
}

static void test_a_timer_either_fires_or_is_cancelled(void **state)
{
    struct test_random random = test_random_for(3);
    for (struct stress s = stress_begin(); stress_goes_on(&s);)
        storm(&random);
}

static void test_timers_may_be_given_back_at_any_time(void **state)
{
    struct test_random random = test_random_for(4);
    int count = 0, *counter = &count, expected = 0;
    for (struct stress s = stress_begin(); stress_goes_on(&s);) {
        conc_timer *t =
            start((int64_t)test_random_below(&random, 100000), job_count, &counter, sizeof counter);
        for (uint64_t n = test_random_below(&random, 20000); n > 0; n--)
            cpu_relax();
        bool cancelled = test_random_below(&random, 2) && conc_timer_cancel(t);
        expected += !cancelled;
        conc_timer_free(t);
    }
    WAIT_UNTIL(load_acquire(&count) == expected);
}

static int job_exits(void *arg, void *result) { pthread_exit(NULL); }

static void test_a_timer_whose_job_exits_can_be_joined(void **state)
{
    conc_timer *t = start(0, job_exits, NULL, 0);
    assert_int_equal(conc_timer_join(t, CONC_FOREVER), -EOWNERDEAD);
    conc_timer_free(t);
    t = start(0, job_nothing, NULL, 0);
    assert_int_equal(conc_timer_join(t, CONC_FOREVER), 0);
    conc_timer_free(t);
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_the_first_timer_starts_one_thread_for_all),
    LEAK_TEST(test_it_fires_when_its_time_has_come),
    LEAK_TEST(test_real_time_counts_too),
    LEAK_TEST(test_zero_or_less_fires_at_once),
    LEAK_TEST(test_the_end_of_time_never_comes),
    LEAK_TEST(test_join_gives_the_jobs_error),
    LEAK_TEST(test_bad_arguments_are_EINVAL),
    LEAK_TEST(test_without_memory_start_is_ENOMEM),
    LEAK_TEST(test_without_a_thread_for_it_the_job_fails),
    LEAK_TEST(test_a_job_that_blocks_holds_up_no_other_timer),
    LEAK_TEST(test_an_earlier_timer_is_not_kept_waiting_by_a_later_one),
    LEAK_TEST(test_the_job_has_the_signal_mask_of_its_starter),
    LEAK_TEST(test_a_timer_cancelled_before_its_time_never_fires),
    LEAK_TEST(test_a_job_that_has_begun_is_not_cancelled),
    LEAK_TEST(test_join_by_a_cancelled_caller_is_ECANCELED_and_the_timer_goes_on),
    LEAK_TEST(test_its_own_job_may_give_it_back_but_not_join_it),
    LEAK_TEST(test_free_ignores_NULL),
    LEAK_TEST(test_a_timer_whose_job_exits_can_be_joined),
    LEAK_TEST(test_a_timer_given_back_still_fires_unless_cancelled),
    LEAK_TEST(test_the_error_of_a_timer_given_back_is_reported),
    LEAK_TEST(test_a_forks_child_has_no_timers_but_its_own),
    LEAK_TEST(test_a_timer_either_fires_or_is_cancelled),
    LEAK_TEST(test_timers_may_be_given_back_at_any_time),
};

TEST_MAIN(tests, 60)
