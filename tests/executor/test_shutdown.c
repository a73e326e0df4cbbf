/* SPDX-License-Identifier: MIT
 *
 * test_shutdown.c: the end of every executor: what is refused afterwards, what still runs, what
 * each flag cancels, which contexts must not wait; and freeing it.
 */
#include "executors.h"

/* ---- Afterwards ---- */

static void test_after_shutdown_everything_is_refused(void **state)
{
    const struct executor_case *c = *state;
    int in[3] = {1, 2, 3}, out[3] = {0};
    for (int i = 0; i < 2; i++) {
        conc_raise(-ESHUTDOWN, "older");
        conc_future *f = conc_submit(c->executor, job_square, &in[0], sizeof(int), sizeof(int));
        if (i == 0)
            assert_int_equal(conc_future_result(f, &out[0], CONC_FOREVER), 0);
        else
            assert_int_equal(conc_future_error(f), -ESHUTDOWN);
        assert_true(conc_future_is_done(f));
        assert_string_equal(conc_future_message(f), "");
        conc_future_unref(f);
        assert_int_equal(conc_executor_shutdown(c->executor, 0, CONC_FOREVER), 0);
    }
    assert_int_equal(
        conc_call(c->executor, job_square, in, sizeof(int), out, sizeof(int), CONC_FOREVER),
        -ESHUTDOWN);
    assert_int_equal(
        conc_map(c->executor, job_square, in, 3, sizeof(int), out, sizeof(int), NULL, CONC_FOREVER),
        -ESHUTDOWN);
    assert_int_equal(conc_executor_shutdown(c->executor, CONC_SHUTDOWN_WAIT, CONC_FOREVER), 0);
    assert_int_equal(
        conc_call(c->executor, job_square, in, sizeof(int), out, sizeof(int), CONC_FOREVER),
        -ESHUTDOWN);
}

static void test_bad_arguments_are_EINVAL_and_change_nothing(void **state)
{
    const struct executor_case *c = *state;
    int value = 0;
    assert_int_equal(conc_executor_shutdown(NULL, 0, CONC_FOREVER), -EINVAL);
    assert_int_equal(conc_executor_shutdown(c->executor, 8, CONC_FOREVER), -EINVAL);
    assert_int_equal(conc_executor_shutdown(c->executor, ~0u, CONC_FOREVER), -EINVAL);
    assert_int_equal(conc_call(c->executor, job_square, &(int){3}, sizeof(int), &value,
                               sizeof value, CONC_FOREVER),
                     0);
    assert_int_equal(value, 9);
}

static void test_shutting_down_an_idle_executor_again_and_again_is_harmless(void **state)
{
    const struct executor_case *c = *state;
    const conc_deadline deadlines[] = {CONC_FOREVER, CONC_NOW, conc_in(0), conc_in(CONC_S(10))};
    assert_int_equal(
        conc_call(c->executor, job_return, &(int){0}, sizeof(int), NULL, 0, CONC_FOREVER), 0);
    assert_int_equal(conc_executor_shutdown(c->executor, CONC_SHUTDOWN_WAIT, CONC_FOREVER), 0);
    for (unsigned flags = 0; flags < 8; flags++)
        for (int i = 0; i < 4; i++)
            assert_int_equal(conc_executor_shutdown(c->executor, flags, deadlines[i]), 0);
    wait_until_threads(c->threads);
}

static void test_an_executor_that_never_worked_ends_at_once(void **state)
{
    const struct executor_case *c = *state;
    assert_int_equal(conc_executor_shutdown(c->executor, CONC_SHUTDOWN_WAIT, CONC_FOREVER), 0);
    wait_until_threads(c->threads);
}

static void test_free_ignores_NULL(void **state) { assert_int_equal(conc_executor_free(NULL), 0); }

/* ---- What still runs ---- */

static void test_shutdown_waits_only_if_asked_to_and_gives_up_in_time(void **state)
{
    const struct executor_case *c = *state;
    struct gate gate = {0};
    struct other_submitter other;
    conc_scope scope;
    submit_elsewhere(&other, "submitter", c->executor, &gate);
    gate_entered(&gate);
    assert_int_equal(conc_executor_shutdown(c->executor, 0, CONC_FOREVER), 0);
    assert_int_equal(conc_executor_shutdown(c->executor, CONC_SHUTDOWN_WAIT, CONC_NOW), -EAGAIN);
    assert_int_equal(conc_executor_shutdown(c->executor, CONC_SHUTDOWN_WAIT, conc_in(0)),
                     -ETIMEDOUT);
    assert_int_equal(conc_executor_shutdown(c->executor, CONC_SHUTDOWN_WAIT, conc_in(CONC_MS(2))),
                     -ETIMEDOUT);
    conc_scope_enter(&scope, conc_in(CONC_MS(2)));
    assert_int_equal(conc_executor_shutdown(c->executor, CONC_SHUTDOWN_WAIT, CONC_FOREVER),
                     -ECANCELED);
    assert_int_equal(conc_scope_exit(&scope), -ETIMEDOUT);
    assert_int_equal(runs_of(&gate), 1);
    conc_event_set(&gate.open);
    assert_int_equal(conc_executor_shutdown(c->executor, CONC_SHUTDOWN_WAIT, CONC_FOREVER),
                     0); /* waits on */
    assert_int_equal(gate.end, 0);
    conc_future *f = submitted_elsewhere(&other);
    assert_int_equal(conc_future_error(f), 0);
    conc_future_unref(f);
}

static void test_what_was_submitted_still_runs(void **state)
{
    const struct executor_case *c = *state;
    struct busy busy;
    int count = 0, *counter = &count;
    keep_busy(c, &busy);
    conc_future *f = conc_submit(c->executor, job_count, &counter, sizeof counter, 0);
    assert_int_equal(conc_executor_shutdown(c->executor, 0, CONC_FOREVER), 0);
    assert_false(conc_future_is_done(f));
    let_go(&busy);
    assert_int_equal(conc_executor_shutdown(c->executor, CONC_SHUTDOWN_WAIT, CONC_FOREVER), 0);
    assert_int_equal(conc_future_error(f), 0);
    assert_int_equal(count, 1);
    conc_future_unref(f);
}

static void open_gate_when_main_waits(void *arg)
{
    struct gate *gate = arg;
    wait_until_blocked("main", NULL);
    conc_event_set(&gate->open);
}

static void test_free_waits_for_what_runs_even_if_the_caller_is_cancelled(void **state)
{
    struct executor_case *c = *state;
    struct gate gate = {0};
    struct other_submitter other;
    struct test_thread opener;
    conc_scope scope;
    submit_elsewhere(&other, "submitter", c->executor, &gate);
    gate_entered(&gate);
    test_thread_start(&opener, "opener", open_gate_when_main_waits, &gate);
    conc_scope_enter(&scope, CONC_FOREVER);
    conc_scope_cancel(&scope);
    assert_int_equal(conc_executor_free(c->executor), 0);
    assert_int_equal(conc_scope_exit(&scope), 0); /* free() is no cancellation point */
    c->executor = NULL;
    test_thread_join(&opener);
    conc_future *f = submitted_elsewhere(&other);
    assert_int_equal(conc_future_error(f), 0);
    assert_int_equal(gate.end, 0);
    conc_future_unref(f);
}

/* ---- Flags ---- */

/* One running job and, behind it, one that waits (where there is a queue). */
struct flags_case {
    unsigned flags;
    int running, pending; /* how they end */
};

static const struct flags_case flags_cases[] = {
    {0, 0, 0},
    {CONC_SHUTDOWN_CANCEL_PENDING, 0, -ECANCELED},
    {CONC_SHUTDOWN_CANCEL_RUNNING, -ECANCELED, 0},
    {CONC_SHUTDOWN_CANCEL_RUNNING | CONC_SHUTDOWN_CANCEL_PENDING, -ECANCELED, -ECANCELED},
};

static void shut_down_with(struct executor_case *c, const struct flags_case *f, bool wait)
{
    struct busy busy;
    int count = 0, *counter = &count;
    keep_busy(c, &busy);
    conc_future *pending = conc_submit(c->executor, job_count, &counter, sizeof counter, 0);
    unsigned flags = f->flags | (wait ? CONC_SHUTDOWN_WAIT : 0);
    int err =
        conc_executor_shutdown(c->executor, flags, f->running ? CONC_FOREVER : conc_in(CONC_MS(5)));
    assert_int_equal(err, wait && !f->running ? -ETIMEDOUT : 0);
    if (f->pending) /* at once */
        assert_true(conc_future_is_cancelled(pending));
    for (size_t i = 0; f->running && i < busy.n; i++)
        assert_int_equal(conc_future_wait(busy.futures[i], CONC_FOREVER), 0);
    let_go(&busy);
    assert_int_equal(conc_executor_shutdown(c->executor, CONC_SHUTDOWN_WAIT, CONC_FOREVER), 0);
    for (size_t i = 0; i < busy.n; i++)
        assert_int_equal(busy.gates[i].end, f->running);
    assert_int_equal(conc_future_error(pending), f->pending);
    assert_int_equal(count, f->pending ? 0 : 1);
    conc_future_unref(pending);
}

static void test_each_flag_cancels_what_it_says(void **state)
{
    struct executor_case *c = *state;
    for (size_t i = 0; i < sizeof flags_cases / sizeof *flags_cases; i++) {
        for (int wait = 0; wait < 2; wait++) {
            shut_down_with(c, &flags_cases[i], wait);
            assert_int_equal(conc_executor_free(c->executor), 0);
            c->executor = executor_of(c->kind);
        }
    }
}

static void test_cancel_running_reaches_the_job_whoever_submitted_it(void **state)
{
    const struct executor_case *c = *state;
    struct gate gate = {0};
    struct other_submitter other;
    submit_elsewhere(&other, "submitter", c->executor, &gate);
    gate_entered(&gate);
    unsigned flags = CONC_SHUTDOWN_CANCEL_RUNNING | CONC_SHUTDOWN_WAIT;
    assert_int_equal(conc_executor_shutdown(c->executor, flags, CONC_FOREVER), 0);
    conc_future *f = submitted_elsewhere(&other);
    assert_true(conc_future_is_cancelled(f));
    assert_int_equal(gate.end, -ECANCELED);
    conc_future_unref(f);
}

static void test_cancel_pending_lets_a_running_job_be(void **state)
{
    const struct executor_case *c = *state;
    struct gate gate = {0};
    struct other_submitter other;
    submit_elsewhere(&other, "submitter", c->executor, &gate);
    gate_entered(&gate);
    assert_int_equal(
        conc_executor_shutdown(c->executor, CONC_SHUTDOWN_CANCEL_PENDING, CONC_FOREVER), 0);
    conc_event_set(&gate.open);
    conc_future *f = submitted_elsewhere(&other);
    assert_int_equal(conc_future_result(f, NULL, CONC_FOREVER), 0);
    conc_future_unref(f);
}

/* ---- By its own job ---- */

struct own_job {
    conc_executor *executor;
    /* NULL, or an inline executor, so that the job runs inside a job of another executor. */
    conc_executor *through;
    int wait, wait_now, end, free;
};

static int job_ends_its_executor(void *arg, void *result)
{
    struct own_job *own = *(struct own_job **)arg;
    own->wait = conc_executor_shutdown(own->executor, CONC_SHUTDOWN_WAIT, conc_in(CONC_S(5)));
    own->wait_now = conc_executor_shutdown(
        own->executor, CONC_SHUTDOWN_WAIT | CONC_SHUTDOWN_CANCEL_RUNNING, CONC_NOW);
    own->free = conc_executor_free(own->executor);
    return conc_check_cancel();
}

static int job_closes_its_executor(void *arg, void *result)
{
    struct own_job *own = *(struct own_job **)arg;
    own->end = conc_executor_shutdown(own->executor, 0, CONC_FOREVER);
    return 0;
}

static void test_a_job_that_waits_for_its_own_executor_is_EDEADLK(void **state)
{
    const struct executor_case *c = *state;
    struct own_job own = {.executor = c->executor}, *o = &own;
    assert_int_equal(
        conc_call(c->executor, job_ends_its_executor, &o, sizeof o, NULL, 0, CONC_FOREVER), 0);
    assert_int_equal(own.wait, -EDEADLK);
    assert_int_equal(own.wait_now, -EDEADLK);
    assert_int_equal(own.free, -EDEADLK);
    /* Nothing has changed by it. */
    assert_int_equal(
        conc_call(c->executor, job_return, &(int){0}, sizeof(int), NULL, 0, CONC_FOREVER), 0);
    /* Not to wait is allowed. */
    assert_int_equal(
        conc_call(c->executor, job_closes_its_executor, &o, sizeof o, NULL, 0, CONC_FOREVER), 0);
    assert_int_equal(own.end, 0);
    assert_int_equal(
        conc_call(c->executor, job_return, &(int){0}, sizeof(int), NULL, 0, CONC_FOREVER),
        -ESHUTDOWN);
}

static int job_calls_through(void *arg, void *result)
{
    struct own_job *own = *(struct own_job **)arg;
    return conc_call(own->through, job_ends_its_executor, &own, sizeof own, NULL, 0, CONC_FOREVER);
}

static void test_so_is_a_job_inside_a_job_of_another_executor(void **state)
{
    const struct executor_case *c = *state;
    conc_executor *inner;
    assert_int_equal(conc_inline_new(&inner), 0);
    struct own_job cases[] = {{.executor = c->executor, .through = inner},
                              {.executor = inner, .through = inner}};
    for (int i = 0; i < 2; i++) {
        struct own_job *o = &cases[i];
        assert_int_equal(
            conc_call(c->executor, job_calls_through, &o, sizeof o, NULL, 0, CONC_FOREVER), 0);
        assert_int_equal(o->wait, -EDEADLK);
        assert_int_equal(o->wait_now, -EDEADLK);
        assert_int_equal(o->free, -EDEADLK);
    }
    assert_int_equal(conc_executor_free(inner), 0);
}

/* ---- Several at once ---- */

struct closer {
    struct test_thread thread;
    conc_executor *executor;
    unsigned flags;
    int err;
};

static void close_it(void *arg)
{
    struct closer *closer = arg;
    closer->err = conc_executor_shutdown(closer->executor, closer->flags, CONC_FOREVER);
}

static void test_several_may_shut_down_at_once(void **state)
{
    enum { N = 6 };
    const struct executor_case *c = *state;
    struct gate gate = {0};
    struct other_submitter other;
    struct closer closers[N] = {0};
    submit_elsewhere(&other, "submitter", c->executor, &gate);
    gate_entered(&gate);
    for (unsigned i = 0; i < N; i++) {
        closers[i].executor = c->executor;
        closers[i].flags = CONC_SHUTDOWN_WAIT | (i % 2 ? CONC_SHUTDOWN_CANCEL_PENDING : 0);
        test_thread_start(&closers[i].thread, "closer", close_it, &closers[i]);
    }
    wait_until_blocked("closer", NULL);
    conc_event_set(&gate.open);
    for (int i = 0; i < N; i++) {
        test_thread_join(&closers[i].thread);
        assert_int_equal(closers[i].err, 0);
    }
    conc_future *f = submitted_elsewhere(&other);
    assert_int_equal(conc_future_error(f), 0);
    conc_future_unref(f);
}

/* Submitters race the shutdown: what was taken runs, or is cancelled if so asked; the rest is
 * refused. */
struct racer {
    struct test_thread thread;
    conc_executor *executor;
    int ran, taken, refused, cancelled; /* ran: atomic */
};

static void submit_until_refused(void *arg)
{
    struct racer *r = arg;
    enum { MOST = 300 };
    conc_future *futures[MOST];
    int n = 0;
    for (; n < MOST && !r->refused; n++) {
        int *counter = &r->ran;
        futures[n] = conc_submit(r->executor, job_count, &counter, sizeof counter, 0);
        r->refused = conc_future_is_done(futures[n]) && conc_future_error(futures[n]) == -ESHUTDOWN;
    }
    for (int i = 0; i < n; i++) {
        int err = conc_future_result(futures[i], NULL, CONC_FOREVER);
        CHECK(err == 0 || err == -ECANCELED || err == -ESHUTDOWN);
        r->taken += err == 0;
        r->cancelled += err == -ECANCELED;
        conc_future_unref(futures[i]);
    }
}

static void test_what_races_a_shutdown_runs_or_is_told(void **state)
{
    enum { N = 3 };
    struct executor_case *c = *state;
    for (unsigned round = 0; round < 16; round++) {
        struct racer racers[N] = {0};
        for (int i = 0; i < N; i++) {
            racers[i].executor = c->executor;
            test_thread_start(&racers[i].thread, "racer", submit_until_refused, &racers[i]);
        }
        WAIT_UNTIL(load_acquire(&racers[0].ran) > 0);
        unsigned flags = round % 2 ? CONC_SHUTDOWN_CANCEL_PENDING : 0;
        assert_int_equal(
            conc_executor_shutdown(c->executor, flags | CONC_SHUTDOWN_WAIT, CONC_FOREVER), 0);
        for (int i = 0; i < N; i++) {
            test_thread_join(&racers[i].thread);
            assert_int_equal(racers[i].ran, racers[i].taken);
            assert_true(flags || racers[i].cancelled == 0);
        }
        assert_int_equal(conc_executor_free(c->executor), 0);
        c->executor = executor_of(c->kind);
    }
}

static const struct CMUnitTest tests[] = {
    ON_EVERY_EXECUTOR(test_after_shutdown_everything_is_refused),
    ON_EVERY_EXECUTOR(test_bad_arguments_are_EINVAL_and_change_nothing),
    ON_EVERY_EXECUTOR(test_shutting_down_an_idle_executor_again_and_again_is_harmless),
    ON_EVERY_EXECUTOR(test_an_executor_that_never_worked_ends_at_once),
    LEAK_TEST(test_free_ignores_NULL),
    ON_EVERY_EXECUTOR(test_shutdown_waits_only_if_asked_to_and_gives_up_in_time),
    ON_QUEUEING_EXECUTORS(test_what_was_submitted_still_runs),
    ON_EVERY_EXECUTOR(test_free_waits_for_what_runs_even_if_the_caller_is_cancelled),
    ON_QUEUEING_EXECUTORS(test_each_flag_cancels_what_it_says),
    ON_EVERY_EXECUTOR(test_cancel_running_reaches_the_job_whoever_submitted_it),
    ON_EVERY_EXECUTOR(test_cancel_pending_lets_a_running_job_be),
    ON_EVERY_EXECUTOR(test_a_job_that_waits_for_its_own_executor_is_EDEADLK),
    ON_EVERY_EXECUTOR(test_so_is_a_job_inside_a_job_of_another_executor),
    ON_EVERY_EXECUTOR(test_several_may_shut_down_at_once),
    ON_EVERY_EXECUTOR(test_what_races_a_shutdown_runs_or_is_told),
};

TEST_MAIN(tests, 60)
