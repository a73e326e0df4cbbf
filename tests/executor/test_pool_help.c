/* SPDX-License-Identifier: MIT
 *
 * test_pool_help.c: a worker that waits for a job of its own executor which has not begun runs it
 * itself: so that no executor whose workers wait for each other stands still, however they wait;
 * and what the two jobs must not notice of each other.
 */
#include "executors.h"

#include <string.h>

#include <conc/group.h>

/* ---- Recursion ---- */

struct fib {
    conc_executor *executor;
    int n;
    int (*wait)(conc_future **f, int *results); /* NULL: conc_call() */
};

static int by_results(conc_future **f, int *results)
{
    int err =
        conc_future_result(f[1], &results[1], CONC_FOREVER); /* not in the order of the queue */
    return err ? err : conc_future_result(f[0], &results[0], CONC_FOREVER);
}

static int by_wait_for(conc_future **f, int *results)
{
    int err = conc_wait_for(f[0], &results[0], conc_in(CONC_S(1000)));
    return err ? err : conc_wait_for(f[1], &results[1], CONC_FOREVER);
}

static int by_wait_all(conc_future **f, int *results)
{
    ptrdiff_t n = conc_wait(f, 2, CONC_ALL_COMPLETED, CONC_FOREVER);
    return n < 0 ? (int)n : by_results(f, results);
}

static int by_wait_first(conc_future **f, int *results)
{
    ptrdiff_t n = conc_wait(f, 2, CONC_FIRST_COMPLETED, CONC_FOREVER);
    return n < 0 ? (int)n : by_results(f, results);
}

static int by_gather(conc_future **f, int *results)
{
    int err = conc_gather(f, 2, NULL, CONC_FOREVER);
    return err ? err : by_results(f, results);
}

static int by_gather_with_errors(conc_future **f, int *results)
{
    int errors[2];
    int err = conc_gather(f, 2, errors, CONC_FOREVER);
    return err ? err : by_results(f, results);
}

static int by_as_completed(conc_future **f, int *results)
{
    conc_as_completed *it;
    conc_future *next;
    size_t index;
    int given = 0, err = conc_as_completed_new(&it, f, 2);
    if (err)
        return err;
    while (conc_as_completed_next(it, &next, &index, CONC_FOREVER) == 1) {
        given++;
        CHECK_EQUAL(conc_future_result(next, &results[index], CONC_NOW), 0);
    }
    conc_as_completed_free(it);
    return given == 2 ? 0 : -EIO;
}

static int job_fib(void *arg, void *result)
{
    const struct fib *fib = arg;
    int results[2] = {-1, -1}, err = 0;
    if (fib->n < 2) {
        *(int *)result = fib->n;
        return 0;
    }
    struct fib next[2] = {*fib, *fib};
    conc_future *f[2];
    for (int i = 0; i < 2; i++) {
        next[i].n = fib->n - 1 - i;
        f[i] = conc_submit(fib->executor, job_fib, &next[i], sizeof next[i], sizeof(int));
    }
    err = fib->wait(f, results);
    for (int i = 0; i < 2; i++)
        conc_future_unref(f[i]);
    *(int *)result = results[0] + results[1];
    return err;
}

static int job_fib_by_call(void *arg, void *result)
{
    struct fib fib = *(struct fib *)arg;
    int *sum = result;
    if (fib.n < 2) {
        *sum = fib.n;
        return 0;
    }
    for (int i = 0; i < 2; i++) {
        int part = -1;
        fib.n--;
        int err = conc_call(fib.executor, job_fib_by_call, &fib, sizeof fib, &part, sizeof part,
                            CONC_FOREVER);
        if (err)
            return err;
        *sum += part;
    }
    return 0;
}

static int job_fib_by_map(void *arg, void *result)
{
    const struct fib *fib = arg;
    struct fib next[2] = {*fib, *fib};
    int parts[2] = {fib->n, 0}, err = 0;
    if (fib->n >= 2) {
        next[0].n = fib->n - 1;
        next[1].n = fib->n - 2;
        err = conc_map(fib->executor, job_fib_by_map, next, 2, sizeof *next, parts, sizeof *parts,
                       NULL, CONC_FOREVER);
    }
    *(int *)result = parts[0] + parts[1];
    return err;
}

static int job_fib_by_group(void *arg, void *result)
{
    const struct fib *fib = arg;
    struct fib next[2] = {*fib, *fib};
    int parts[2] = {fib->n, 0}, err = 0;
    if (fib->n >= 2) {
        conc_with_group (g, &err, CONC_FOREVER) {
            for (int i = 0; i < 2; i++) {
                next[i].n = fib->n - 1 - i;
                conc_group_submit(g, fib->executor, job_fib_by_group, &next[i], sizeof next[i],
                                  &parts[i], sizeof parts[i]);
            }
        }
    }
    *(int *)result = parts[0] + parts[1];
    return err;
}

static void test_jobs_may_wait_for_jobs_of_their_own_executor(void **state)
{
    static const struct {
        conc_fn *fn;
        int (*wait)(conc_future **f, int *results);
    } ways[] = {{job_fib, by_results},      {job_fib, by_wait_for},
                {job_fib, by_wait_all},     {job_fib, by_wait_first},
                {job_fib, by_gather},       {job_fib, by_gather_with_errors},
                {job_fib, by_as_completed}, {job_fib_by_call, NULL},
                {job_fib_by_map, NULL},     {job_fib_by_group, NULL}};
    const struct executor_case *c = *state;
    for (size_t i = 0; i < sizeof ways / sizeof *ways; i++) {
        struct fib fib = {.executor = c->executor, .n = 8, .wait = ways[i].wait};
        int value = -1;
        assert_int_equal(conc_call(c->executor, ways[i].fn, &fib, sizeof fib, &value, sizeof value,
                                   CONC_FOREVER),
                         0);
        assert_int_equal(value, 21);
    }
}

/* ---- Helping: which worker, and when ---- */

struct help {
    conc_executor *executor, *inner;
    int count;
    uint64_t helper, ran;
    int (*body)(struct help *help);
};

static int job_body(void *arg, void *result)
{
    struct help *help = *(struct help **)arg;
    help->helper = conc_context_id(NULL);
    return help->body(help);
}

static void run_in_worker(conc_executor *executor, struct help *help,
                          int (*body)(struct help *help))
{
    help->executor = help->executor ? help->executor : executor;
    help->body = body;
    assert_int_equal(conc_call(executor, job_body, &help, sizeof help, NULL, 0, CONC_FOREVER), 0);
}

static int job_note_id(void *arg, void *result)
{
    struct help *help = *(struct help **)arg;
    __atomic_add_fetch(&help->count, 1, __ATOMIC_ACQ_REL);
    store_release(&help->ran, conc_context_id(NULL));
    return 0;
}

static conc_future *submit_note(struct help *help)
{
    return conc_submit(help->executor, job_note_id, &help, sizeof help, 0);
}

static int wait_for_a_pending_job(struct help *help)
{
    conc_future *f = submit_note(help);
    int err = conc_future_wait(f, CONC_FOREVER);
    CHECK_EQUAL(help->count, 1);
    conc_future_unref(f);
    return err;
}

static void test_the_waiting_worker_runs_the_job_itself_once(void **state)
{
    const struct executor_case *c = *state;
    struct help help = {0};
    run_in_worker(c->executor, &help, wait_for_a_pending_job);
    assert_int_equal(help.ran, help.helper);
    assert_int_equal(conc_executor_shutdown(c->executor, CONC_SHUTDOWN_WAIT, CONC_FOREVER), 0);
    assert_int_equal(help.count, 1); /* not again from the queue */
}

static int do_not_wait(struct help *help)
{
    conc_future *f[3];
    conc_as_completed *it;
    int errors[3], err = 0;
    for (int i = 0; i < 3; i++)
        f[i] = submit_note(help);
    CHECK_EQUAL(conc_as_completed_new(&it, f, 3), 0);
    CHECK_EQUAL(conc_future_result(f[0], NULL, CONC_NOW), -EAGAIN);
    CHECK_EQUAL(conc_future_wait(f[0], CONC_NOW), -EAGAIN);
    CHECK_EQUAL(conc_wait(f, 3, CONC_FIRST_COMPLETED, CONC_NOW), -EAGAIN);
    CHECK_EQUAL(conc_gather(f, 3, errors, CONC_NOW), -EAGAIN);
    CHECK_EQUAL(conc_as_completed_next(it, NULL, NULL, CONC_NOW), -EAGAIN);
    /* A caller whose time is over does not begin another job either. */
    CHECK_EQUAL(conc_wait(f, 3, CONC_ALL_COMPLETED, conc_in(0)), -ETIMEDOUT);
    CHECK_EQUAL(conc_as_completed_next(it, NULL, NULL, conc_in(0)), -ETIMEDOUT);
    conc_with_group (g, &err, conc_in(0))
        conc_group_submit(g, help->executor, job_note_id, &help, sizeof help, NULL, 0);
    CHECK_EQUAL(err, -ETIMEDOUT);
    CHECK_EQUAL(help->count, 0);
    conc_as_completed_free(it);
    for (int i = 0; i < 3; i++)
        conc_future_unref(f[i]);
    return 0;
}

static void test_who_does_not_wait_does_not_help(void **state)
{
    const struct executor_case *c = *state;
    struct help help = {0};
    run_in_worker(c->executor, &help, do_not_wait);
    assert_int_equal(conc_executor_shutdown(c->executor, CONC_SHUTDOWN_WAIT, CONC_FOREVER), 0);
    assert_int_equal(help.count, 3); /* the group's was cancelled */
}

static int job_advances_the_clock(void *arg, void *result)
{
    conc__test_advance(CONC_S(10));
    return job_note_id(arg, result);
}

static int wait_with_deadline(struct help *help)
{
    conc_future *f[3];
    for (int i = 0; i < 3; i++)
        f[i] = conc_submit(help->executor, job_advances_the_clock, &help, sizeof help, 0);
    CHECK_EQUAL(conc_wait(f, 3, CONC_ALL_COMPLETED, conc_in(CONC_S(5))), -ETIMEDOUT);
    CHECK_EQUAL(help->count, 1); /* it outlasts its deadline by one job */
    for (int i = 0; i < 3; i++) {
        CHECK(i == 0 || conc_future_cancel(f[i]));
        conc_future_unref(f[i]);
    }
    return 0;
}

static void test_a_wait_outlasts_its_deadline_by_no_more_than_a_job(void **state)
{
    const struct executor_case *c = *state;
    struct help help = {0};
    run_in_worker(c->executor, &help, wait_with_deadline);
}

static int wait_for_first_of_three(struct help *help)
{
    conc_future *f[3];
    for (int i = 0; i < 3; i++)
        f[i] = submit_note(help);
    CHECK_EQUAL(conc_wait(f, 3, CONC_FIRST_COMPLETED, CONC_FOREVER), 1);
    CHECK_EQUAL(help->count, 1);
    for (int i = 0; i < 3; i++)
        conc_future_unref(f[i]);
    return 0;
}

static void test_for_the_first_of_many_one_is_enough(void **state)
{
    const struct executor_case *c = *state;
    struct help help = {0};
    run_in_worker(c->executor, &help, wait_for_first_of_three);
    assert_int_equal(conc_executor_shutdown(c->executor, CONC_SHUTDOWN_WAIT, CONC_FOREVER), 0);
    assert_int_equal(help.count, 3);
}

static void test_who_is_no_worker_does_not_help(void **state)
{
    const struct executor_case *c = *state;
    struct help help = {.executor = c->executor};
    conc_future *f = submit_note(&help);
    assert_int_equal(conc_future_result(f, NULL, CONC_FOREVER), 0);
    assert_int_not_equal(help.ran, conc_context_id(NULL));
    conc_future_unref(f);
}

static void test_a_worker_does_not_help_another_executor(void **state)
{
    const struct executor_case *c = *state;
    conc_executor *other = executor_of(c->kind);
    struct help help = {.executor = other};
    run_in_worker(c->executor, &help, wait_for_a_pending_job);
    assert_int_not_equal(help.ran, help.helper);
    assert_int_equal(conc_executor_free(other), 0);
}

static int through_inline(struct help *help)
{
    struct help own = {.executor = help->executor, .body = wait_for_a_pending_job}, *o = &own;
    int err = conc_call(help->inner, job_body, &o, sizeof o, NULL, 0, CONC_FOREVER);
    help->ran = own.ran;
    return err;
}

static void test_a_worker_stays_one_inside_an_inline_executor(void **state)
{
    const struct executor_case *c = *state;
    struct help help = {0};
    assert_int_equal(conc_inline_new(&help.inner), 0);
    run_in_worker(c->executor, &help, through_inline);
    assert_int_equal(help.ran, help.helper);
    assert_int_equal(conc_executor_free(help.inner), 0);
}

/* ---- Apart from each other ---- */

static int job_check_cancel(void *arg, void *result)
{
    struct help *help = *(struct help **)arg;
    help->count = conc_check_cancel();
    return conc_raise(-EIO, "the other job's");
}

static int wait_in_a_scope_that_ends(struct help *help)
{
    conc_scope scope;
    conc_future *f = conc_submit(help->executor, job_check_cancel, &help, sizeof help, 0);
    conc_raise(-EPERM, "own");
    conc_scope_enter(&scope, conc_in(CONC_S(5)));
    conc__test_advance(CONC_S(1));
    CHECK_EQUAL(conc_future_wait(f, conc_in(CONC_S(1))), 0);
    CHECK_EQUAL(conc_scope_exit(&scope), 0);
    CHECK_EQUAL(conc_check_cancel(), 0);
    CHECK(!strcmp(conc_error_message(), "own"));
    CHECK_EQUAL(conc_future_error(f), -EIO);
    CHECK(!strcmp(conc_future_message(f), "the other job's"));
    conc_future_unref(f);
    return 0;
}

static void test_the_helpers_scopes_and_messages_are_not_the_jobs(void **state)
{
    const struct executor_case *c = *state;
    struct help help = {.count = 1};
    run_in_worker(c->executor, &help, wait_in_a_scope_that_ends);
    assert_int_equal(help.count, 0);
}

struct nested {
    conc_executor *executor;
    struct gate *gate;
    conc_future *helped; /* set by the helper; read by the test once the gate was entered */
    int outer_check;
};

static int job_helps_a_gate(void *arg, void *result)
{
    struct nested *nested = *(struct nested **)arg;
    conc_future *f = nested->helped = submit_gate(nested->executor, nested->gate);
    int err = conc_future_result(f, NULL, CONC_FOREVER);
    nested->outer_check = conc_check_cancel();
    return err == -ECANCELED && conc_future_is_cancelled(f) ? 0 : -EIO;
}

static void test_cancelling_the_helped_job_leaves_the_helper_alone(void **state)
{
    const struct executor_case *c = *state;
    struct gate gate = {0};
    struct nested nested = {.executor = c->executor, .gate = &gate}, *p = &nested;
    conc_future *outer = conc_submit(c->executor, job_helps_a_gate, &p, sizeof p, 0);
    gate_entered(&gate);
    assert_true(conc_future_cancel(nested.helped));
    assert_int_equal(conc_future_result(outer, NULL, CONC_FOREVER), 0);
    assert_int_equal(nested.outer_check, 0);
    assert_int_equal(gate.end, -ECANCELED);
    conc_future_unref(nested.helped);
    conc_future_unref(outer);
}

static int job_helps_to_the_end(void *arg, void *result)
{
    struct nested *nested = *(struct nested **)arg;
    conc_future *f = nested->helped = submit_gate(nested->executor, nested->gate);
    int err = conc_future_result(f, NULL, CONC_FOREVER);
    nested->outer_check = conc_check_cancel();
    return err ? err : nested->outer_check;
}

static void test_cancelling_the_helper_leaves_the_helped_job_alone(void **state)
{
    const struct executor_case *c = *state;
    struct gate gate = {0};
    struct nested nested = {.executor = c->executor, .gate = &gate}, *p = &nested;
    conc_future *outer = conc_submit(c->executor, job_helps_to_the_end, &p, sizeof p, 0);
    gate_entered(&gate);
    assert_true(conc_future_cancel(outer));
    conc_event_set(&gate.open);
    assert_int_equal(conc_future_result(nested.helped, NULL, CONC_FOREVER), 0);
    assert_int_equal(conc_future_result(outer, NULL, CONC_FOREVER), -ECANCELED);
    assert_true(conc_future_is_cancelled(outer));
    assert_int_equal(gate.end, 0);
    assert_int_equal(nested.outer_check, -ECANCELED);
    conc_future_unref(nested.helped);
    conc_future_unref(outer);
}

#define ON_SINGLE_THREADS(test) \
    ON_EXECUTOR(test, POOL_OF_1, "pool_of_1"), ON_EXECUTOR(test, LIFO, "lifo")

static const struct CMUnitTest tests[] = {
    ON_EVERY_EXECUTOR(test_jobs_may_wait_for_jobs_of_their_own_executor),
    ON_SINGLE_THREADS(test_the_waiting_worker_runs_the_job_itself_once),
    ON_SINGLE_THREADS(test_who_does_not_wait_does_not_help),
    ON_SINGLE_THREADS(test_a_wait_outlasts_its_deadline_by_no_more_than_a_job),
    ON_SINGLE_THREADS(test_for_the_first_of_many_one_is_enough),
    ON_SINGLE_THREADS(test_who_is_no_worker_does_not_help),
    ON_SINGLE_THREADS(test_a_worker_does_not_help_another_executor),
    ON_SINGLE_THREADS(test_a_worker_stays_one_inside_an_inline_executor),
    ON_SINGLE_THREADS(test_the_helpers_scopes_and_messages_are_not_the_jobs),
    ON_SINGLE_THREADS(test_cancelling_the_helped_job_leaves_the_helper_alone),
    ON_SINGLE_THREADS(test_cancelling_the_helper_leaves_the_helped_job_alone),
};

TEST_MAIN(tests, 60)
