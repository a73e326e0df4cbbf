/* SPDX-License-Identifier: MIT
 *
 * test_job.c: a job and its future in every executor: states, cancelling it before it runs, as it
 * runs, and after; what it may leave behind in the context that ran it.
 */
#include "executors.h"

/* ---- States ---- */

static void test_a_running_job(void **state)
{
    const struct executor_case *c = *state;
    struct gate gate = {0};
    int value = -1;
    conc_future *f = submit_gate(c->executor, &gate);
    gate_entered(&gate);
    assert_true(conc_future_is_running(f));
    assert_false(conc_future_is_done(f));
    assert_false(conc_future_is_cancelled(f));
    assert_int_equal(conc_future_error(f), -EAGAIN);
    assert_string_equal(conc_future_message(f), "");
    assert_null(conc_future_value(f));
    assert_int_equal(conc_future_result(f, &value, CONC_NOW), -EAGAIN);
    assert_int_equal(conc_future_result(f, &value, conc_in(CONC_MS(1))), -ETIMEDOUT);
    conc_event_set(&gate.open);
    assert_int_equal(conc_future_result(f, &value, CONC_FOREVER), 0);
    assert_int_equal(value, 7);
    conc_future_unref(f);
}

static void test_the_program_cannot_complete_a_job(void **state)
{
    const struct executor_case *c = *state;
    struct busy busy;
    int value = -1;
    keep_busy(c, &busy);
    conc_future *f = conc_submit(c->executor, job_square, &(int){3}, sizeof(int), sizeof(int));
    assert_int_equal(conc_future_set_result(f, &value), -EPERM); /* pending */
    assert_int_equal(conc_future_set_error(f, -EIO, "x"), -EPERM);
    assert_int_equal(conc_future_set_result(busy.futures[0], &value), -EPERM); /* running */
    assert_int_equal(conc_future_set_error(busy.futures[0], -EIO, "x"), -EPERM);
    let_go(&busy);
    assert_int_equal(conc_future_result(f, &value, CONC_FOREVER), 0);
    assert_int_equal(value, 9);
    assert_int_equal(conc_future_set_result(f, &value), -EINVAL); /* done */
    assert_int_equal(conc_future_set_error(f, -EIO, "x"), -EINVAL);
    conc_future_unref(f);
}

static void test_a_future_outlives_its_executor(void **state)
{
    struct executor_case *c = *state;
    int value = -1;
    conc_future *f = conc_submit(c->executor, job_square, &(int){5}, sizeof(int), sizeof(int));
    conc_future *failed = conc_submit(c->executor, job_raise, &(int){-EIO}, sizeof(int), 0);
    assert_int_equal(conc_executor_free(c->executor), 0);
    c->executor = NULL;
    assert_int_equal(conc_future_result(f, &value, CONC_NOW), 0); /* what was submitted was run */
    assert_int_equal(value, 25);
    assert_int_equal(conc_future_error(failed), -EIO);
    assert_string_equal(conc_future_message(failed), "job failed: -5");
    conc_future_unref(f);
    conc_future_unref(failed);
}

/* ---- Cancelling ---- */

static void note_call(conc_future *future, void *count)
{
    CHECK(conc_future_is_done(future));
    ++*(int *)count;
}

static void test_a_job_cancelled_before_it_runs_never_does(void **state)
{
    const struct executor_case *c = *state;
    struct busy busy;
    int count = 0, calls = 0, *counter = &count;
    keep_busy(c, &busy);
    conc_future *f = conc_submit(c->executor, job_count, &counter, sizeof counter, 0);
    assert_int_equal(conc_future_add_done_callback(f, note_call, &calls), 0);
    assert_false(conc_future_is_running(f));
    assert_true(conc_future_cancel(f));
    assert_int_equal(calls, 1); /* in the canceller */
    assert_true(conc_future_is_done(f));
    assert_true(conc_future_is_cancelled(f));
    assert_int_equal(conc_future_result(f, NULL, CONC_FOREVER), -ECANCELED);
    assert_false(conc_future_cancel(f));
    let_go(&busy);
    assert_int_equal(conc_executor_shutdown(c->executor, CONC_SHUTDOWN_WAIT, CONC_FOREVER), 0);
    assert_int_equal(count, 0);
    conc_future_unref(f);
}

/* What a job that is cancelled as it runs sees, and how it ends. */
struct cancelled_job {
    conc_event entered;
    conc_event never;
    int first, second, now, shielded, check; /* what its calls returned */
    bool cancelled;
    int end;
    int value;
};

static int job_cancelled(void *arg, void *result)
{
    struct cancelled_job *j = *(struct cancelled_job **)arg;
    conc_scope shield;
    conc_event_set(&j->entered);
    j->first = conc_event_wait(&j->never, CONC_FOREVER);
    j->second = conc_sleep(CONC_S(100));
    j->now = conc_event_wait(&j->never, CONC_NOW);
    j->check = conc_check_cancel();
    j->cancelled = conc_is_cancelled();
    conc_shield_enter(&shield);
    j->shielded = conc_sleep(CONC_MS(1));
    conc_shield_exit(&shield);
    *(int *)result = j->value;
    return j->end == -EIO ? conc_raise(-EIO, "cleaned up badly") : j->end;
}

static conc_future *cancel_running(conc_executor *executor, struct cancelled_job *j)
{
    conc_future *f = conc_submit(executor, job_cancelled, &j, sizeof j, sizeof(int));
    CHECK_EQUAL(conc_event_wait(&j->entered, CONC_FOREVER), 0);
    CHECK(conc_future_cancel(f));
    conc_future_cancel(f); /* twice is harmless */
    return f;
}

static void test_a_running_job_gets_ECANCELED_from_every_call_but_shielded_ones(void **state)
{
    const struct executor_case *c = *state;
    struct cancelled_job j = {.end = -ECANCELED, .value = 3};
    conc_future *f = cancel_running(c->executor, &j);
    assert_int_equal(conc_future_result(f, NULL, CONC_FOREVER), -ECANCELED);
    assert_int_equal(j.first, -ECANCELED);
    assert_int_equal(j.second, -ECANCELED);
    assert_int_equal(j.now, -EAGAIN);
    assert_int_equal(j.check, -ECANCELED);
    assert_true(j.cancelled);
    assert_int_equal(j.shielded, 0);
    assert_true(conc_future_is_cancelled(f));
    assert_null(conc_future_value(f));
    assert_false(conc_future_cancel(f));
    conc_future_unref(f);
}

static void test_any_other_end_of_a_cancelled_job_stands(void **state)
{
    const struct executor_case *c = *state;
    struct cancelled_job good = {.end = 0, .value = 42}, bad = {.end = -EIO};
    int value = -1;
    conc_future *f = cancel_running(c->executor, &good);
    assert_int_equal(conc_future_result(f, &value, CONC_FOREVER), 0);
    assert_int_equal(value, 42);
    assert_false(conc_future_is_cancelled(f));
    conc_future_unref(f);
    f = cancel_running(c->executor, &bad);
    assert_int_equal(conc_future_result(f, &value, CONC_FOREVER), -EIO);
    assert_string_equal(conc_error_message(), "cleaned up badly");
    assert_false(conc_future_is_cancelled(f));
    conc_future_unref(f);
}

static void test_cancelling_one_job_leaves_the_next_alone(void **state)
{
    const struct executor_case *c = *state;
    struct cancelled_job j = {.end = -ECANCELED};
    for (int i = 0; i < 5; i++) { /* whichever worker it was */
        conc_future *f = cancel_running(c->executor, &j);
        conc_event_clear(&j.entered);
        int err = -1;
        assert_int_equal(
            conc_call(c->executor, job_return, &(int){0}, sizeof(int), NULL, 0, CONC_FOREVER), 0);
        assert_int_equal(conc_future_result(f, NULL, CONC_FOREVER), -ECANCELED);
        conc_future_unref(f);
        struct gate gate = {0};
        conc_event_set(&gate.open);
        f = submit_gate(c->executor, &gate);
        assert_int_equal(conc_future_result(f, &err, CONC_FOREVER), 0);
        conc_future_unref(f);
    }
}

struct callback_view {
    uint64_t id;
    int check;
    conc_event seen;
};

static void look_around(conc_future *future, void *arg)
{
    struct callback_view *view = arg;
    view->check = conc_check_cancel();
    view->id = conc_context_id(NULL);
    conc_event_set(&view->seen);
}

static void test_callbacks_of_a_cancelled_job_are_not_cancelled_with_it(void **state)
{
    const struct executor_case *c = *state;
    struct gate gate = {0};
    struct callback_view view = {.check = 1};
    conc_future *f = submit_gate(c->executor, &gate);
    gate_entered(&gate);
    assert_int_equal(conc_future_add_done_callback(f, look_around, &view), 0);
    assert_true(conc_future_cancel(f));
    assert_int_equal(conc_event_wait(&view.seen, CONC_FOREVER), 0);
    assert_int_equal(view.check, 0);
    assert_int_not_equal(view.id, conc_context_id(NULL)); /* in the context that ran it */
    conc_future_unref(f);
}

/* ---- What a job leaves behind ---- */

static int job_leaves_scopes_open(void *arg, void *result)
{
    conc_scope scopes[3]; /* their memory is gone when it returns */
    conc_scope_enter(&scopes[0], conc_in(0));
    conc_shield_enter(&scopes[1]);
    conc_scope_enter(&scopes[2], CONC_FOREVER);
    conc_scope_cancel(&scopes[2]);
    return conc_check_cancel();
}

static int job_check(void *arg, void *result) { return conc_check_cancel(); }

static void test_scopes_left_open_by_a_job_end_with_it(void **state)
{
    const struct executor_case *c = *state;
    for (int i = 0; i < 5; i++) {
        conc_future *f = conc_submit(c->executor, job_leaves_scopes_open, NULL, 0, 0);
        assert_int_equal(conc_future_result(f, NULL, CONC_FOREVER), -ECANCELED);
        assert_false(conc_future_is_cancelled(f)); /* it was not cancelled */
        assert_int_equal(conc_call(c->executor, job_check, NULL, 0, NULL, 0, CONC_FOREVER), 0);
        assert_int_equal(conc_check_cancel(), 0);
        conc_future_unref(f);
    }
}

/* Cancelling from many sides, as the job comes, runs and goes. */
struct storm {
    conc_future *future;
    uint32_t go;
    unsigned spins;
    bool told; /* conc_future_cancel() said that it was in time */
};

static void cancel_at(void *arg)
{
    struct storm *s = arg;
    while (!load_acquire(&s->go))
        cpu_relax();
    for (unsigned i = 0; i < s->spins; i++)
        cpu_relax();
    s->told = conc_future_cancel(s->future);
}

static void test_cancel_racing_a_job_either_ends_it_or_comes_late(void **state)
{
    const struct executor_case *c = *state;
    struct test_random random = test_random_for((unsigned)c->kind);
    int rounds = on_valgrind() ? 20 : 300;
    for (int i = 0; i < rounds; i++) {
        struct gate gate = {0};
        struct storm s = {.spins = (unsigned)test_random_below(&random, 3000)};
        struct test_thread thread;
        conc_future *f = s.future = submit_gate(c->executor, &gate);
        test_thread_start(&thread, NULL, cancel_at, &s);
        store_release(&s.go, 1);
        for (uint64_t n = test_random_below(&random, 3000); n > 0; n--)
            cpu_relax();
        conc_event_set(&gate.open);
        int err = conc_future_result(f, NULL, CONC_FOREVER);
        test_thread_join(&thread);
        assert_true(err == 0 || err == -ECANCELED);
        assert_int_equal(conc_future_is_cancelled(f), err == -ECANCELED);
        assert_true(err == 0 || s.told);
        assert_true(runs_of(&gate) == 1 || (runs_of(&gate) == 0 && err));
        conc_future_unref(f);
    }
}

#define ON_EXECUTORS_WITH_THREADS(test) \
    ON_EXECUTOR(test, THREAD_PER_JOB, "thread_per_job"), ON_QUEUEING_EXECUTORS(test)

static const struct CMUnitTest tests[] = {
    ON_EXECUTORS_WITH_THREADS(test_a_running_job),
    ON_QUEUEING_EXECUTORS(test_the_program_cannot_complete_a_job),
    ON_EVERY_EXECUTOR(test_a_future_outlives_its_executor),
    ON_QUEUEING_EXECUTORS(test_a_job_cancelled_before_it_runs_never_does),
    ON_EXECUTORS_WITH_THREADS(test_a_running_job_gets_ECANCELED_from_every_call_but_shielded_ones),
    ON_EXECUTORS_WITH_THREADS(test_any_other_end_of_a_cancelled_job_stands),
    ON_EXECUTORS_WITH_THREADS(test_cancelling_one_job_leaves_the_next_alone),
    ON_EXECUTORS_WITH_THREADS(test_callbacks_of_a_cancelled_job_are_not_cancelled_with_it),
    ON_EVERY_EXECUTOR(test_scopes_left_open_by_a_job_end_with_it),
    ON_EXECUTORS_WITH_THREADS(test_cancel_racing_a_job_either_ends_it_or_comes_late),
};

TEST_MAIN(tests, 60)
