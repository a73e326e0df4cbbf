/* SPDX-License-Identifier: MIT
 *
 * test_pool_bound.c: a pool whose queue is bounded: which submitters wait, in which order they are
 * let in, and how such a wait ends.
 */
#include "executors.h"

#include <stdio.h>

/* A pool whose one worker is busy, and whose queue is full. */
struct full {
    conc_executor *pool;
    struct gate gate, queued_gate;
    conc_future *running, *queued;
};

static conc_executor *pool_of(size_t threads, size_t max_queued)
{
    const conc_thread_pool_options options = {.max_queued = max_queued};
    conc_executor *pool = NULL;
    assert_int_equal(conc_thread_pool_new(&pool, threads, &options), 0);
    return pool;
}

static void fill(struct full *full)
{
    *full = (struct full){.pool = pool_of(1, 1)};
    full->running = submit_gate(full->pool, &full->gate);
    gate_entered(&full->gate);
    full->queued = submit_gate(full->pool, &full->queued_gate);
    conc_event_set(&full->queued_gate.open);
}

static void drain(struct full *full)
{
    conc_event_set(&full->gate.open);
    assert_int_equal(conc_executor_free(full->pool), 0);
    assert_int_equal(conc_future_error(full->running), 0);
    conc_future_unref(full->running);
    conc_future_unref(full->queued);
}

/* ---- Waiting for room ---- */

static void test_submit_waits_only_when_the_queue_is_full(void **state)
{
    enum { BOUND = 3 };
    struct gate gates[BOUND + 2] = {0};
    conc_future *futures[BOUND + 1];
    struct other_submitter other;
    conc_executor *pool = pool_of(1, BOUND);
    for (int i = 0; i <= BOUND; i++)
        futures[i] = submit_gate(pool, &gates[i]); /* one runs, BOUND wait: no blocking */
    submit_elsewhere(&other, "submitter", pool, &gates[BOUND + 1]);
    wait_until_blocked("submitter", "executor");
    assert_false(other_has_submitted(&other));
    for (int i = 0; i < BOUND + 2; i++)
        conc_event_set(&gates[i].open);
    for (int i = 0; i <= BOUND; i++) {
        assert_int_equal(conc_future_result(futures[i], NULL, CONC_FOREVER), 0);
        conc_future_unref(futures[i]);
    }
    conc_future *f = submitted_elsewhere(&other);
    assert_int_equal(conc_future_result(f, NULL, CONC_FOREVER), 0);
    conc_future_unref(f);
    assert_int_equal(conc_executor_free(pool), 0);
}

static void test_one_is_let_in_for_each_that_leaves(void **state)
{
    enum { N = 3 };
    struct full full;
    struct gate gates[N] = {0};
    struct other_submitter others[N];
    fill(&full);
    for (int i = 0; i < N; i++) {
        submit_elsewhere(&others[i], "submitter", full.pool, &gates[i]);
        wait_until_n_blocked(full.pool, (size_t)i + 1);
    }
    conc_event_set(&full.gate.open); /* the queued one ends by itself: so two leave the queue */
    gate_entered(&gates[0]);
    wait_until_n_blocked(full.pool, N - 2);
    for (int i = 0; i < N; i++) /* in the order in which they came */
        assert_int_equal(runs_of(&gates[i]), i == 0);
    conc_event_set(&gates[0].open);
    gate_entered(&gates[1]);
    wait_until_n_blocked(full.pool, 0);
    assert_int_equal(runs_of(&gates[2]), 0);
    conc_event_set(&gates[1].open);
    gate_entered(&gates[2]);
    conc_event_set(&gates[2].open);
    for (int i = 0; i < N; i++) {
        conc_future *f = submitted_elsewhere(&others[i]);
        assert_int_equal(conc_future_result(f, NULL, CONC_FOREVER), 0);
        conc_future_unref(f);
    }
    drain(&full);
}

static void test_a_pool_that_may_start_threads_does_not_wait(void **state)
{
    struct gate gates[4] = {0};
    conc_future *futures[4];
    conc_executor *pool = pool_of(3, 1);
    for (int i = 0; i < 4; i++)
        futures[i] = submit_gate(pool, &gates[i]);
    for (int i = 0; i < 3; i++)
        gate_entered(&gates[i]);
    assert_int_equal(runs_of(&gates[3]), 0);
    for (int i = 0; i < 4; i++) {
        conc_event_set(&gates[i].open);
        assert_int_equal(conc_future_result(futures[i], NULL, CONC_FOREVER), 0);
        conc_future_unref(futures[i]);
    }
    assert_int_equal(conc_executor_free(pool), 0);
}

static void test_the_bound_holds_when_threads_cannot_start(void **state)
{
    struct gate gates[2] = {0}, late = {0};
    struct other_submitter other;
    conc_executor *pool = pool_of(2, 1);
    conc_future *first = submit_gate(pool, &gates[0]);
    gate_entered(&gates[0]);
    fail_thread(1);
    conc_future *second = submit_gate(pool, &gates[1]); /* into the queue */
    fail_thread(1);
    submit_elsewhere(&other, "submitter", pool, &late);
    wait_until_blocked("submitter", "executor");
    for (int i = 0; i < 2; i++)
        conc_event_set(&gates[i].open);
    conc_event_set(&late.open);
    conc_future *f = submitted_elsewhere(&other);
    assert_int_equal(conc_executor_free(pool), 0);
    assert_int_equal(conc_future_error(f), 0);
    conc_future_unref(f);
    conc_future_unref(first);
    conc_future_unref(second);
}

/* ---- The worker itself ---- */

struct depth {
    conc_executor *pool;
    int left;
    uint64_t id;
};

static int job_submits_to_its_own_pool(void *arg, void *result)
{
    struct depth d = *(struct depth *)arg;
    CHECK(d.id == 0 || d.id == conc_context_id(NULL)); /* on the one thread */
    if (d.left == 0)
        return 0;
    d.left--;
    d.id = conc_context_id(NULL);
    conc_future *f[3];
    for (int i = 0; i < 3; i++)
        f[i] = conc_submit(d.pool, job_submits_to_its_own_pool, &d, sizeof d, 0);
    CHECK(conc_future_is_done(f[2])); /* the first fills the queue, the others were run at once */
    int err = conc_gather(f, 3, NULL, CONC_FOREVER);
    for (int i = 0; i < 3; i++)
        conc_future_unref(f[i]);
    return err;
}

static void test_a_worker_runs_what_it_submits_to_its_own_full_pool(void **state)
{
    conc_executor *pool = pool_of(1, 1);
    struct depth d = {.pool = pool, .left = 4};
    assert_int_equal(
        conc_call(pool, job_submits_to_its_own_pool, &d, sizeof d, NULL, 0, CONC_FOREVER), 0);
    assert_int_equal(conc_executor_free(pool), 0);
}

struct cancelled_submit {
    conc_executor *pool;
    int checks[2];
};

static int job_note_check(void *arg, void *result)
{
    **(int **)arg = conc_check_cancel();
    return 0;
}

static int job_submits_when_cancelled(void *arg, void *result)
{
    struct cancelled_submit *s = *(struct cancelled_submit **)arg;
    conc_scope scope;
    conc_scope_enter(&scope, conc_in(0));
    for (int i = 0; i < 2; i++) {
        int *check = &s->checks[i];
        conc_future *f = conc_submit(s->pool, job_note_check, &check, sizeof check, 0);
        if (i == 1)
            CHECK_EQUAL(conc_future_error(f),
                        0); /* run at once, and not with the submitter's cancellation */
        conc_future_unref(f);
    }
    conc_scope_exit(&scope);
    return 0;
}

static void test_its_own_cancellation_is_not_that_of_the_job_that_it_runs(void **state)
{
    conc_executor *pool = pool_of(1, 1);
    struct cancelled_submit s = {.pool = pool, .checks = {1, 1}}, *p = &s;
    assert_int_equal(
        conc_call(pool, job_submits_when_cancelled, &p, sizeof p, NULL, 0, CONC_FOREVER), 0);
    assert_int_equal(conc_executor_free(pool), 0);
    assert_int_equal(s.checks[0], 0);
    assert_int_equal(s.checks[1], 0);
}

/* ---- Giving up ---- */

struct cancelled_submitter {
    struct test_thread thread;
    conc_executor *pool;
    conc_scope scope;
    conc_future *future;
};

static void submit_in_scope(void *arg)
{
    struct cancelled_submitter *s = arg;
    conc_scope_enter(&s->scope, CONC_FOREVER);
    s->future = conc_submit(s->pool, job_return, &(int){0}, sizeof(int), 0);
    conc_scope_exit(&s->scope);
}

static void test_cancelling_a_waiting_submitter_refuses_its_job(void **state)
{
    struct full full;
    struct cancelled_submitter s[2];
    fill(&full);
    for (int i = 0; i < 2; i++) {
        s[i] = (struct cancelled_submitter){.pool = full.pool};
        test_thread_start(&s[i].thread, "submitter", submit_in_scope, &s[i]);
        wait_until_n_blocked(full.pool, (size_t)i + 1);
    }
    conc_scope_cancel(&s[0].scope);
    test_thread_join(&s[0].thread);
    assert_int_equal(conc_future_error(s[0].future), -ECANCELED);
    assert_true(conc_future_is_cancelled(s[0].future));
    wait_until_n_blocked(full.pool, 1);
    conc_event_set(&full.gate.open);
    test_thread_join(&s[1].thread);
    assert_int_equal(conc_future_result(s[1].future, NULL, CONC_FOREVER), 0);
    for (int i = 0; i < 2; i++)
        conc_future_unref(s[i].future);
    drain(&full);
}

static void test_shutdown_refuses_those_who_wait(void **state)
{
    for (unsigned flags = 0; flags < 8; flags += 2) {
        struct full full;
        struct gate gates[2] = {0};
        struct other_submitter others[2];
        fill(&full);
        for (int i = 0; i < 2; i++)
            submit_elsewhere(&others[i], "submitter", full.pool, &gates[i]);
        wait_until_n_blocked(full.pool, 2);
        assert_int_equal(conc_executor_shutdown(full.pool, flags, CONC_FOREVER), 0);
        for (int i = 0; i < 2; i++) {
            conc_future *f = submitted_elsewhere(&others[i]);
            assert_int_equal(conc_future_error(f), -ESHUTDOWN);
            assert_int_equal(runs_of(&gates[i]), 0);
            conc_future_unref(f);
        }
        if (flags & CONC_SHUTDOWN_CANCEL_RUNNING) {
            conc_future_wait(full.running, CONC_FOREVER);
            assert_true(conc_future_is_cancelled(full.running));
            conc_future_unref(full.running);
            conc_future_unref(full.queued);
            assert_int_equal(conc_executor_free(full.pool), 0);
        } else {
            drain(&full);
        }
    }
}

static void test_a_call_meets_its_deadline_though_the_queue_is_full(void **state)
{
    const struct {
        conc_deadline deadline;
        int err;
    } cases[] = {{CONC_NOW, -EAGAIN}, {conc_in(0), -ETIMEDOUT}, {conc_in(CONC_MS(5)), -ETIMEDOUT}};
    struct full full;
    fill(&full);
    for (int i = 0; i < 3; i++) {
        int in[3] = {0}, errors[3] = {1, 1, 1};
        const conc_map_options options = {.errors = errors};
        assert_int_equal(
            conc_call(full.pool, job_return, in, sizeof(int), NULL, 0, cases[i].deadline),
            cases[i].err);
        assert_int_equal(
            conc_map(full.pool, job_return, in, 3, sizeof *in, NULL, 0, NULL, cases[i].deadline),
            cases[i].err);
        assert_int_equal(conc_map(full.pool, job_return, in, 3, sizeof *in, NULL, 0, &options,
                                  cases[i].deadline),
                         cases[i].err);
        for (int e = 0; e < 3; e++)
            assert_int_equal(errors[e], -ECANCELED);
    }
    drain(&full);
}

static void cancel_when_blocked(void *scope)
{
    wait_until_blocked("main", "executor");
    conc_scope_cancel(scope);
}

static void test_a_map_of_a_cancelled_caller_ends_though_the_queue_is_full(void **state)
{
    struct full full;
    struct test_thread canceller;
    conc_scope scope;
    int in[3] = {0};
    fill(&full);
    conc_scope_enter(&scope, CONC_FOREVER);
    test_thread_start(&canceller, "canceller", cancel_when_blocked, &scope);
    assert_int_equal(
        conc_map(full.pool, job_return, in, 3, sizeof *in, NULL, 0, NULL, CONC_FOREVER),
        -ECANCELED);
    test_thread_join(&canceller);
    assert_int_equal(conc_call(full.pool, job_return, in, sizeof(int), NULL, 0, CONC_FOREVER),
                     -ECANCELED);
    assert_int_equal(conc_scope_exit(&scope), -ECANCELED);
    drain(&full);
}

static void test_a_map_larger_than_the_queue_goes_through(void **state)
{
    enum { N = 200 };
    int in[N], out[N];
    conc_executor *pool = pool_of(2, 1);
    for (int i = 0; i < N; i++)
        in[i] = i;
    for (size_t chunk = 1; chunk < 8; chunk += 2) {
        const conc_map_options options = {.chunk = chunk};
        assert_int_equal(
            conc_map(pool, job_square, in, N, sizeof *in, out, sizeof *out, &options, CONC_FOREVER),
            0);
        for (int i = 0; i < N; i++)
            assert_int_equal(out[i], i * i);
    }
    assert_int_equal(conc_executor_free(pool), 0);
}

static const struct CMUnitTest tests[] = {
    LEAK_TEST(test_submit_waits_only_when_the_queue_is_full),
    LEAK_TEST(test_one_is_let_in_for_each_that_leaves),
    LEAK_TEST(test_a_pool_that_may_start_threads_does_not_wait),
    LEAK_TEST(test_the_bound_holds_when_threads_cannot_start),
    LEAK_TEST(test_a_worker_runs_what_it_submits_to_its_own_full_pool),
    LEAK_TEST(test_its_own_cancellation_is_not_that_of_the_job_that_it_runs),
    LEAK_TEST(test_cancelling_a_waiting_submitter_refuses_its_job),
    LEAK_TEST(test_shutdown_refuses_those_who_wait),
    LEAK_TEST(test_a_call_meets_its_deadline_though_the_queue_is_full),
    LEAK_TEST(test_a_map_of_a_cancelled_caller_ends_though_the_queue_is_full),
    LEAK_TEST(test_a_map_larger_than_the_queue_goes_through),
};

TEST_MAIN(tests, 60)
