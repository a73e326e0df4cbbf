/* SPDX-License-Identifier: MIT
 *
 * test_fork.c: in a child that the program forks itself, executors of its parent's are at their
 * end, and what was given to them is lost: calls say so, none hangs, and what the child makes
 * works. Loops and processes: test_loop_fork.c, test_process_pool.c.
 */
#include "executors.h"

#include <sys/wait.h>
#include <unistd.h>

#include <conc/group.h>
#include <conc/thread.h>

/* gcc 12's ThreadSanitizer gives up if a child's thread has the place in memory that one of the
 * parent's had. */
#if defined(__SANITIZE_THREAD__) && !defined(__clang__)
#define CHILD_MAY_START_THREADS false
#else
#define CHILD_MAY_START_THREADS true
#endif

/* Run it in a child, which must come to its end well. */
static void in_fork(void (*fn)(void *arg), void *arg)
{
    pid_t pid = fork();
    if (pid == 0) {
        alarm(60);
        fn(arg);
        _exit(0);
    }
    int status = -1;
    assert_true(pid > 0);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
}

/* ---- Executors ---- */

struct parents {
    const struct executor_case *c;
    conc_future *running, *done;
};

static void makes_its_own(void)
{
    conc_executor *pool;
    int n = 7, square = 0;
    CHECK_EQUAL(conc_thread_pool_new(&pool, 2, NULL), 0);
    CHECK_EQUAL(conc_call(pool, job_square, &n, sizeof n, &square, sizeof square, CONC_FOREVER), 0);
    CHECK_EQUAL(square, 49);
    CHECK_EQUAL(conc_executor_free(pool), 0);
}

static void child_of_executor(void *arg)
{
    const struct parents *p = arg;
    int n = 3, value = 0;
    conc_future *f = conc_submit(p->c->executor, job_square, &n, sizeof n, sizeof n);
    CHECK_EQUAL(conc_future_result(f, &value, CONC_FOREVER), -ESHUTDOWN);
    conc_future_unref(f);
    CHECK_EQUAL(conc_call(p->c->executor, job_square, &n, sizeof n, NULL, sizeof n, CONC_FOREVER),
                -ESHUTDOWN);
    CHECK_EQUAL(
        conc_map(p->c->executor, job_square, &n, 1, sizeof n, &value, sizeof n, NULL, CONC_FOREVER),
        -ESHUTDOWN);
    /* What it was running, it runs in the parent. */
    conc_future *both[] = {p->done, p->running};
    conc_as_completed *it;
    int errors[2];
    CHECK_EQUAL(conc_future_result(p->running, NULL, CONC_FOREVER), -ESHUTDOWN);
    CHECK_EQUAL(conc_future_error(p->running), -ESHUTDOWN);
    CHECK(!conc_future_is_done(p->running));
    CHECK_EQUAL(conc_wait(both, 2, CONC_ALL_COMPLETED, CONC_FOREVER), 2);
    CHECK_EQUAL(conc_wait(both, 2, CONC_FIRST_ERROR, CONC_FOREVER), 2);
    CHECK_EQUAL(conc_gather(both, 2, NULL, CONC_FOREVER), -ESHUTDOWN);
    CHECK_EQUAL(conc_gather(both, 2, errors, CONC_FOREVER), 0);
    CHECK(errors[0] == 0 && errors[1] == -ESHUTDOWN);
    CHECK_EQUAL(conc_as_completed_new(&it, both, 2), 0);
    CHECK_EQUAL(conc_as_completed_next(it, NULL, NULL, CONC_FOREVER), 1);
    CHECK_EQUAL(conc_as_completed_next(it, NULL, NULL, CONC_FOREVER), 1);
    CHECK_EQUAL(conc_as_completed_next(it, NULL, NULL, CONC_FOREVER), 0);
    conc_as_completed_free(it);
    /* What was done is there. */
    CHECK_EQUAL(conc_future_result(p->done, &value, CONC_FOREVER), 0);
    CHECK_EQUAL(value, 25);
    conc_future_unref(p->done);
    conc_future_unref(p->running);
    CHECK_EQUAL(conc_executor_shutdown(p->c->executor,
                                       CONC_SHUTDOWN_WAIT | CONC_SHUTDOWN_CANCEL_PENDING |
                                           CONC_SHUTDOWN_CANCEL_RUNNING,
                                       CONC_FOREVER),
                0);
    CHECK_EQUAL(conc_executor_free(p->c->executor), 0);
    if (CHILD_MAY_START_THREADS)
        makes_its_own();
}

static void test_an_executor_is_its_makers(void **state)
{
    struct parents p = {.c = *state};
    struct gate gate = {0};
    int n = 5, value = 0;
    p.done = conc_submit(p.c->executor, job_square, &n, sizeof n, sizeof n);
    assert_int_equal(conc_future_wait(p.done, CONC_FOREVER), 0);
    p.running = submit_gate(p.c->executor, &gate);
    gate_entered(&gate);
    in_fork(child_of_executor, &p);
    conc_event_set(&gate.open);
    assert_int_equal(conc_future_result(p.running, NULL, CONC_FOREVER), 0);
    assert_int_equal(conc_future_result(p.done, &value, CONC_FOREVER), 0);
    conc_future_unref(p.done);
    conc_future_unref(p.running);
    assert_int_equal(
        conc_call(p.c->executor, job_square, &n, sizeof n, &value, sizeof value, CONC_FOREVER), 0);
    assert_int_equal(value, 25);
}

static void child_of_inline(void *arg)
{
    int n = 3, value = 0;
    CHECK_EQUAL(conc_call(arg, job_square, &n, sizeof n, &value, sizeof n, CONC_FOREVER), 0);
    CHECK_EQUAL(value, 9);
    CHECK_EQUAL(conc_executor_free(arg), 0);
}

static void test_an_inline_executor_has_nothing_to_lose(void **state)
{
    conc_executor *ex;
    assert_int_equal(conc_inline_new(&ex), 0);
    in_fork(child_of_inline, ex);
    assert_int_equal(conc_executor_free(ex), 0);
}

/* ---- Threads, timers, groups ---- */

struct things {
    conc_thread *thread;
    conc_timer *timer;
    conc_group *group;
    conc_future *own;
};

static void child_of_things(void *arg)
{
    struct things *t = arg;
    int value = 4;
    CHECK_EQUAL(conc_thread_join(t->thread, NULL, CONC_FOREVER), -ESHUTDOWN);
    CHECK(conc_thread_name(t->thread) != NULL);
    conc_thread_free(t->thread);
    CHECK_EQUAL(conc_timer_join(t->timer, CONC_FOREVER), -ESHUTDOWN);
    conc_timer_free(t->timer);
    CHECK_EQUAL(conc_group_exit(t->group, 0), -ESHUTDOWN);
    /* A future without a job is anybody's. */
    CHECK_EQUAL(conc_future_result(t->own, NULL, CONC_NOW), -EAGAIN);
    CHECK_EQUAL(conc_future_set_result(t->own, &value), 0);
    CHECK_EQUAL(conc_future_result(t->own, &value, CONC_FOREVER), 0);
    conc_future_unref(t->own);
}

static int job_nothing(void *arg, void *result) { return 0; }

static void test_threads_timers_and_groups_are_their_makers(void **state)
{
    conc_executor *pool;
    conc_group group;
    struct gate thread_gate = {0}, group_gate = {0};
    struct gate *gate = &thread_gate;
    struct things t = {.group = &group};
    conc_group_enter(&group, CONC_FOREVER);
    assert_int_equal(conc_thread_pool_new(&pool, 1, NULL), 0);
    assert_int_equal(conc_thread_start(&t.thread, job_gate, &gate, sizeof gate, NULL), 0);
    assert_int_equal(conc_timer_start(&t.timer, CONC_S(100000), job_nothing, NULL, 0), 0);
    gate_entered(&thread_gate);
    gate = &group_gate;
    conc_group_submit(&group, pool, job_gate, &gate, sizeof gate, NULL, 0);
    gate_entered(&group_gate);
    assert_int_equal(conc_future_new(&t.own, sizeof(int)), 0);
    in_fork(child_of_things, &t);
    conc_event_set(&thread_gate.open);
    conc_event_set(&group_gate.open);
    assert_int_equal(conc_thread_join(t.thread, NULL, CONC_FOREVER), 0);
    conc_thread_free(t.thread);
    assert_true(conc_timer_cancel(t.timer));
    assert_int_equal(conc_timer_join(t.timer, CONC_FOREVER), -ECANCELED);
    conc_timer_free(t.timer);
    assert_int_equal(conc_group_exit(&group, 0), 0);
    conc_future_unref(t.own);
    assert_int_equal(conc_executor_free(pool), 0);
}

static const struct CMUnitTest tests[] = {
    ON_EXECUTOR(test_an_executor_is_its_makers, THREAD_PER_JOB, "thread_per_job"),
    ON_EXECUTOR(test_an_executor_is_its_makers, POOL_OF_1, "pool_of_1"),
    ON_EXECUTOR(test_an_executor_is_its_makers, POOL_OF_4, "pool_of_4"),
    ON_EXECUTOR(test_an_executor_is_its_makers, BOUNDED_POOL, "bounded_pool"),
    ON_EXECUTOR(test_an_executor_is_its_makers, LOOP_POOL, "loop_pool"),
    cmocka_unit_test(test_an_inline_executor_has_nothing_to_lose),
    cmocka_unit_test_setup_teardown(test_threads_timers_and_groups_are_their_makers, timers_setup,
                                    leaks_teardown),
};

TEST_MAIN(tests, 60)
