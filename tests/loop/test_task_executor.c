/* SPDX-License-Identifier: MIT
 *
 * test_task_executor.c: a loop as an executor; the executors that a loop has for jobs that block;
 * groups of tasks. What holds for every executor is tested with a loop too (executors.h).
 */
#include "loops.h"

#include <string.h>
#include <unistd.h>

#include <conc/group.h>
#include <conc/local.h>

#include "locals.h"

static int job_nothing(void *arg, void *result) { return 0; }

/* ---- The loop as an executor ---- */

static int job_thread(void *arg, void *result)
{
    *(pthread_t *)result = pthread_self();
    return conc_sleep(CONC_US(20));
}

static void test_a_submitted_job_becomes_a_task(void)
{
    conc_executor *executor = conc_loop_executor(conc_loop_current());
    pthread_t thread;
    int in[10], out[10];
    CHECK_EQUAL(conc_call(executor, job_thread, NULL, 0, &thread, sizeof thread, CONC_FOREVER), 0);
    CHECK(pthread_equal(thread, pthread_self()));
    for (int i = 0; i < 10; i++)
        in[i] = i;
    CHECK_EQUAL(
        conc_map(executor, job_square, in, 10, sizeof *in, out, sizeof *out, NULL, CONC_FOREVER),
        0);
    for (int i = 0; i < 10; i++)
        CHECK_EQUAL(out[i], i * i);
}

/* How a task that runs, and one that has not begun, end. */
static const struct {
    unsigned flags;
    int running, pending; /* how they end */
} flags_cases[] = {
    {0, 0, 0},
    {CONC_SHUTDOWN_CANCEL_PENDING, 0, -ECANCELED},
    {CONC_SHUTDOWN_CANCEL_RUNNING, -ECANCELED, 0},
    {CONC_SHUTDOWN_CANCEL_RUNNING | CONC_SHUTDOWN_CANCEL_PENDING, -ECANCELED, -ECANCELED},
};

struct ending {
    conc_loop *loop;
    unsigned flags;
    int count;
    conc_future *late; /* has not begun when the end comes */
};

/* In a callback of the loop the task becomes ready at once, outside it lies in the inbox. */
static void submit_and_shut_down(void *arg)
{
    struct ending *e = arg;
    conc_executor *executor = conc_loop_executor(e->loop);
    int *counter = &e->count;
    e->late = conc_submit(executor, job_count, &counter, sizeof counter, 0);
    CHECK_EQUAL(conc_executor_shutdown(executor, e->flags, CONC_NOW), 0);
    conc_loop_stop(e->loop);
}

static void end_with(unsigned flags, bool in_callback, int running_end, int late_end)
{
    struct gate gate = {0};
    struct ending e = {.loop = new_loop(), .flags = flags};
    conc_executor *executor = conc_loop_executor(e.loop);
    conc_future *running = submit_gate(executor, &gate);
    conc_loop_stop(e.loop);
    assert_int_equal(conc_loop_run_forever(e.loop), 0);
    assert_int_equal(runs_of(&gate), 1);
    if (in_callback)
        assert_int_equal(conc_loop_call_soon(e.loop, submit_and_shut_down, &e, NULL), 0);
    else
        submit_and_shut_down(&e);
    assert_int_equal(conc_loop_run_forever(e.loop), 0);
    conc_event_set(&gate.open);
    assert_int_equal(conc_loop_run_until_complete(e.loop, e.late), 0);
    assert_int_equal(conc_loop_run_until_complete(e.loop, running), 0);
    assert_int_equal(conc_executor_shutdown(executor, CONC_SHUTDOWN_WAIT, CONC_NOW), 0);
    assert_int_equal(conc_future_error(running), running_end);
    assert_int_equal(conc_future_error(e.late), late_end);
    assert_int_equal(e.count, !late_end);
    conc_future_unref(running);
    conc_future_unref(e.late);
    free_loop(e.loop);
}

static void test_each_flag_cancels_what_it_says(void)
{
    for (size_t i = 0; i < sizeof flags_cases / sizeof *flags_cases; i++)
        for (int in_callback = 0; in_callback < 2; in_callback++)
            end_with(flags_cases[i].flags, in_callback, flags_cases[i].running,
                     flags_cases[i].pending);
}

static void test_after_shutdown_no_task_is_taken_but_the_others_go_on(void)
{
    conc_loop *loop = conc_loop_current();
    conc_executor *executor = conc_loop_executor(loop);
    struct gate gate = {0};
    conc_future *f = submit_gate(executor, &gate);
    CHECK_EQUAL(conc_executor_shutdown(executor, 0, CONC_NOW), 0);
    CHECK_EQUAL(end_of(conc_spawn(job_nothing, NULL, 0, 0)), -ESHUTDOWN);
    CHECK_EQUAL(end_of(conc_task_start(loop, job_nothing, NULL, 0, 0, NULL)), -ESHUTDOWN);
    CHECK_EQUAL(end_of(conc_submit(executor, job_nothing, NULL, 0, 0)), -ESHUTDOWN);
    CHECK_EQUAL(end_of(conc_to_thread(job_nothing, NULL, 0, 0)), 0);
    gate_entered(&gate);
    conc_event_set(&gate.open);
    CHECK_EQUAL(end_of(f), 0);
}

static void shut_down_in_callback(void *executor)
{
    CHECK_EQUAL(conc_executor_shutdown(executor, CONC_SHUTDOWN_WAIT, CONC_FOREVER), -EDEADLK);
    CHECK_EQUAL(conc_executor_free(executor), -EDEADLK);
    CHECK_EQUAL(conc_executor_shutdown(executor, CONC_SHUTDOWN_CANCEL_PENDING, CONC_FOREVER), 0);
}

static void test_who_runs_on_the_loop_cannot_wait_for_its_end(void)
{
    conc_loop *loop = conc_loop_current();
    conc_executor *executor = conc_loop_executor(loop);
    conc_event done = CONC_EVENT_INIT;
    CHECK_EQUAL(conc_executor_shutdown(executor, CONC_SHUTDOWN_WAIT, CONC_NOW), -EDEADLK);
    CHECK_EQUAL(conc_executor_free(executor), -EDEADLK);
    CHECK_EQUAL(end_of(conc_spawn(job_nothing, NULL, 0, 0)), 0); /* nothing has changed */
    CHECK_EQUAL(conc_loop_call_soon(loop, shut_down_in_callback, executor, NULL), 0);
    CHECK_EQUAL(conc_loop_call_soon(loop, set_event, &done, NULL), 0);
    CHECK_EQUAL(conc_event_wait(&done, CONC_FOREVER), 0);
}

/* ---- Jobs that block ---- */

struct helpers {
    conc_event open;
    int running; /* atomic */
};

static int job_occupy(void *arg, void *result)
{
    struct helpers *h = pointer_in(arg);
    CHECK(!conc_loop_current());
    CHECK(!strncmp(conc_context_name(conc_context_current()), "executor-", 9));
    fetch_add_relaxed(&h->running, 1);
    return conc_event_wait(&h->open, CONC_FOREVER);
}

static void test_run_in_executor_uses_a_pool_of_the_loops_own(void)
{
    enum { JOBS = 50 };
    conc_future *futures[JOBS];
    struct helpers helpers = {.open = CONC_EVENT_INIT}, *h = &helpers;
    conc_loop *loop = conc_loop_current();
    for (int i = 0; i < JOBS; i++)
        futures[i] = conc_loop_run_in_executor(loop, NULL, job_occupy, &h, sizeof h, 0);
    long cpus = sysconf(_SC_NPROCESSORS_ONLN), most = cpus + 4 < 32 ? cpus + 4 : 32;
    UNTIL(load_relaxed(&helpers.running) == most); /* the loop goes on, so we see it */
    CHECK_EQUAL(conc_sleep(CONC_MS(5)), 0);
    CHECK_EQUAL(load_relaxed(&helpers.running), most);
    conc_event_set(&helpers.open);
    for (int i = 0; i < JOBS; i++)
        CHECK_EQUAL(end_of(futures[i]), 0);
}

static void test_run_in_executor_gives_results_and_errors(void)
{
    conc_loop *loop = conc_loop_current();
    int value = 0;
    conc_executor *inner;
    conc_future *f =
        conc_loop_run_in_executor(loop, NULL, job_square, &(int){8}, sizeof(int), sizeof(int));
    CHECK_EQUAL(conc_future_result(f, &value, CONC_FOREVER), 0);
    CHECK_EQUAL(value, 64);
    conc_future_unref(f);
    f = conc_loop_run_in_executor(loop, NULL, job_raise, &(int){-EIO}, sizeof(int), 0);
    CHECK_EQUAL(conc_future_result(f, NULL, CONC_FOREVER), -EIO);
    CHECK(!strcmp(conc_error_message(), "job failed: -5"));
    conc_future_unref(f);
    CHECK_EQUAL(end_of(conc_loop_run_in_executor(loop, NULL, NULL, NULL, 0, 0)), -EINVAL);
    CHECK_EQUAL(end_of(conc_loop_run_in_executor(NULL, NULL, job_nothing, NULL, 0, 0)), -EINVAL);
    CHECK_EQUAL(conc_inline_new(&inner), 0);
    f = conc_loop_run_in_executor(loop, inner, job_return, &(int){-EPERM}, sizeof(int), 0);
    CHECK(conc_future_is_done(f));
    CHECK_EQUAL(end_of(f), -EPERM);
    CHECK_EQUAL(conc_executor_free(inner), 0);
}

static int job_name(void *arg, void *result)
{
    snprintf(result, CONC_NAME_MAX, "%s", conc_context_name(conc_context_current()));
    return 0;
}

static bool runs_in(conc_future *f, const char *prefix)
{
    char name[CONC_NAME_MAX];
    CHECK_EQUAL(conc_future_result(f, name, CONC_FOREVER), 0);
    conc_future_unref(f);
    return !strncmp(name, prefix, strlen(prefix));
}

static void test_the_default_executor_can_be_set(void)
{
    const conc_thread_pool_options options = {.name = "mine"};
    conc_loop *loop = conc_loop_current();
    conc_executor *mine;
    CHECK(runs_in(conc_to_thread(job_name, NULL, 0, CONC_NAME_MAX), "executor-"));
    CHECK_EQUAL(conc_thread_pool_new(&mine, 1, &options), 0);
    CHECK_EQUAL(conc_loop_set_default_executor(loop, mine), 0);
    CHECK(runs_in(conc_to_thread(job_name, NULL, 0, CONC_NAME_MAX), "mine-0"));
    CHECK(
        runs_in(conc_loop_run_in_executor(loop, NULL, job_name, NULL, 0, CONC_NAME_MAX), "mine-0"));
    CHECK_EQUAL(conc_loop_set_default_executor(loop, NULL), 0);
    CHECK(runs_in(conc_to_thread(job_name, NULL, 0, CONC_NAME_MAX), "executor-"));
    CHECK_EQUAL(end_of(conc_submit(mine, job_nothing, NULL, 0, 0)), 0); /* it is still there */
    CHECK_EQUAL(conc_executor_free(mine), 0);
}

static void test_freeing_the_loop_waits_for_what_runs_in_its_executor(void)
{
    conc_loop *loop = new_loop();
    int count = 0, *counter = &count;
    conc_future *futures[20];
    for (int i = 0; i < 20; i++)
        futures[i] = conc_loop_run_in_executor(loop, NULL, job_count, &counter, sizeof counter, 0);
    free_loop(loop);
    assert_int_equal(count, 20);
    for (int i = 0; i < 20; i++) {
        assert_int_equal(conc_future_error(futures[i]), 0);
        conc_future_unref(futures[i]);
    }
}

/* ---- conc_to_thread() ---- */

struct carried {
    conc_local *key;
    struct value mine, theirs;
};

static int job_see_values(void *arg, void *result)
{
    struct carried *c = pointer_in(arg);
    CHECK(!conc_loop_current());
    CHECK(conc_local_get(c->key) == &c->mine);
    CHECK_EQUAL(conc_local_set(c->key, &c->theirs), 0); /* seen by no other context */
    *(int *)result = 3;
    return 0;
}

static int job_see_mine(void *arg, void *result)
{
    struct carried *c = pointer_in(arg);
    return conc_local_get(c->key) == &c->mine ? 0 : -EIO;
}

static int job_see_none(void *arg, void *result)
{
    struct carried *c = pointer_in(arg);
    return conc_local_get(c->key) ? -EIO : 0;
}

static void carried_init(struct carried *c)
{
    *c = (struct carried){.key = NULL};
    CHECK_EQUAL(conc_local_new(&c->key, destroy), 0);
    CHECK_EQUAL(conc_local_set(c->key, &c->mine), 0);
}

static void carried_end(struct carried *c)
{
    CHECK(conc_local_get(c->key) == &c->mine);
    CHECK_EQUAL(conc_local_set(c->key, NULL), 0);
    UNTIL(destroyed(&c->mine) == 1);
    conc_local_free(c->key);
}

static void test_to_thread_takes_the_callers_values_along(void)
{
    struct carried carried, *c = &carried;
    carried_init(c);
    for (int i = 0; i < 5; i++) {
        int value = 0;
        conc_future *f = conc_to_thread(job_see_values, &c, sizeof c, sizeof value);
        CHECK_EQUAL(conc_future_result(f, &value, CONC_FOREVER), 0);
        CHECK_EQUAL(value, 3);
        conc_future_unref(f);
        /* a job that came otherwise sees nothing of it in the same thread */
        CHECK_EQUAL(end_of(conc_loop_run_in_executor(conc_loop_current(), NULL, job_see_none, &c,
                                                     sizeof c, 0)),
                    0);
    }
    UNTIL(destroyed(&carried.theirs) == 5);
    CHECK_EQUAL(end_of(conc_to_thread(job_return, &(int){-EIO}, sizeof(int), 0)), -EIO);
    CHECK_EQUAL(end_of(conc_to_thread(NULL, NULL, 0, 0)), -EINVAL);
    CHECK_EQUAL(end_of(conc_to_thread(job_nothing, NULL, 1, 0)), -EINVAL);
    CHECK_EQUAL(end_of(conc_to_thread(job_nothing, &c, SIZE_MAX - 8, 0)), -ENOMEM);
    carried_end(c);
}

static void test_to_thread_that_never_begins_gives_the_values_back(void)
{
    struct carried carried, *c = &carried;
    struct gate gate = {0}, *g = &gate;
    conc_executor *pool;
    carried_init(c);
    CHECK_EQUAL(conc_thread_pool_new(&pool, 1, NULL), 0);
    CHECK_EQUAL(conc_loop_set_default_executor(conc_loop_current(), pool), 0);
    conc_future *busy = conc_to_thread(job_gate, &g, sizeof g, 0);
    gate_entered(&gate);
    conc_future *f = conc_to_thread(job_see_values, &c, sizeof c, sizeof(int));
    CHECK_EQUAL(conc_wait_for(f, NULL, conc_in(CONC_MS(1))), -ETIMEDOUT);
    CHECK(conc_future_is_cancelled(f));
    conc_future_unref(f);
    conc_event_set(&gate.open);
    CHECK_EQUAL(end_of(busy), 0);
    CHECK_EQUAL(conc_loop_set_default_executor(conc_loop_current(), NULL), 0);
    CHECK_EQUAL(conc_executor_free(pool), 0);
    f = conc_to_thread(job_nothing, NULL, 0, 0);
    CHECK_EQUAL(end_of(f), 0);
    carried_end(c);
    CHECK_EQUAL(destroyed(&carried.theirs), 0);
}

static void test_without_memory_to_thread_is_refused(void)
{
    struct carried carried, *c = &carried;
    carried_init(c);
    for (int n = 1;; n++) {
        fail_alloc(n);
        int err = end_of(conc_to_thread(job_see_mine, &c, sizeof c, 0));
        if (!alloc_has_failed())
            break;
        CHECK(!err || err == -ENOMEM);
        CHECK(n < 30);
    }
    carried_end(c);
}

/* ---- Groups of tasks ---- */

static int job_square_later(void *arg, void *result)
{
    int err = conc_sleep(CONC_US(*(int *)arg * 10));
    return err ? err : job_square(arg, result);
}

static void test_a_group_without_an_executor_takes_the_callers_loop(void)
{
    int results[10] = {0};
    int err = 0;
    conc_with_group (group, &err, CONC_FOREVER)
        for (int i = 0; i < 10; i++)
            conc_group_submit(group, NULL, job_square_later, &i, sizeof i, &results[i],
                              sizeof(int));
    CHECK_EQUAL(err, 0);
    for (int i = 0; i < 10; i++)
        CHECK_EQUAL(results[i], i * i);
}

static void test_the_first_error_in_a_group_cancels_its_other_tasks(void)
{
    int err = 0;
    conc_with_group (group, &err, CONC_FOREVER) {
        for (int i = 0; i < 5; i++)
            conc_group_submit(group, NULL, job_until_cancelled, NULL, 0, NULL, 0);
        conc_group_submit(group, NULL, job_raise, &(int){-EIO}, sizeof(int), NULL, 0);
    }
    CHECK_EQUAL(err, -EIO);
    CHECK(!strcmp(conc_error_message(), "job failed: -5"));
}

static void test_a_group_in_a_thread_needs_an_executor(void)
{
    int err = 0;
    conc_with_group (group, &err, CONC_FOREVER)
        conc_group_submit(group, NULL, job_nothing, NULL, 0, NULL, 0);
    assert_int_equal(err, -EINVAL);
}

static const struct CMUnitTest tests[] = {
    ON_EVERY_LOOP(test_a_submitted_job_becomes_a_task),
    ON_EVERY_BACKEND(test_each_flag_cancels_what_it_says),
    ON_EVERY_LOOP(test_after_shutdown_no_task_is_taken_but_the_others_go_on),
    ON_EVERY_LOOP(test_who_runs_on_the_loop_cannot_wait_for_its_end),
    ON_EVERY_LOOP(test_run_in_executor_uses_a_pool_of_the_loops_own),
    ON_EVERY_LOOP(test_run_in_executor_gives_results_and_errors),
    ON_EVERY_LOOP(test_the_default_executor_can_be_set),
    ON_EVERY_BACKEND(test_freeing_the_loop_waits_for_what_runs_in_its_executor),
    ON_EVERY_LOOP(test_to_thread_takes_the_callers_values_along),
    ON_EVERY_LOOP(test_to_thread_that_never_begins_gives_the_values_back),
    ON_EVERY_LOOP(test_without_memory_to_thread_is_refused),
    ON_EVERY_LOOP(test_a_group_without_an_executor_takes_the_callers_loop),
    ON_EVERY_LOOP(test_the_first_error_in_a_group_cancels_its_other_tasks),
    ON_EVERY_BACKEND(test_a_group_in_a_thread_needs_an_executor),
};

TEST_MAIN(tests, 60)
