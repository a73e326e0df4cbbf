/* SPDX-License-Identifier: MIT
 *
 * test_pool_init.c: a thread pool's initialiser and finaliser: where and how often they run; and
 * that an initialiser that fails breaks the pool, with an error on every future that is pending,
 * never a hang.
 */
#include "executors.h"

#include <stdio.h>
#include <string.h>

/* What the initialiser does, and what was seen of it. */
struct plan {
    int fail_at;            /* the number of the start that fails; 0: none */
    int error;              /* what it returns then */
    struct gate *gate;      /* NULL, or: the start that fails waits here first */
    int inits, finis, jobs; /* atomic */
    char init_name[CONC_NAME_MAX];
};

static __thread bool initialised;

static int init(void *arg)
{
    struct plan *p = arg;
    int n = __atomic_add_fetch(&p->inits, 1, __ATOMIC_ACQ_REL);
    CHECK(!initialised);
    if (n == p->fail_at || (p->gate && !p->fail_at)) {
        if (p->gate)
            CHECK_EQUAL(job_gate(&p->gate, NULL), 0);
        if (p->fail_at)
            return p->error;
    }
    snprintf(p->init_name, sizeof p->init_name, "%s", conc_context_name(conc_context_current()));
    initialised = true;
    return 0;
}

static void fini(void *arg)
{
    struct plan *p = arg;
    CHECK(initialised);
    initialised = false;
    __atomic_add_fetch(&p->finis, 1, __ATOMIC_ACQ_REL);
}

static int job_needs_init(void *arg, void *result)
{
    struct plan *p = *(struct plan **)arg;
    CHECK(initialised);
    __atomic_add_fetch(&p->jobs, 1, __ATOMIC_ACQ_REL);
    return 0;
}

static conc_executor *pool_of(size_t threads, struct plan *plan, size_t max_queued)
{
    const conc_thread_pool_options options = {
        .init = init, .fini = fini, .arg = plan, .max_queued = max_queued};
    conc_executor *pool = NULL;
    assert_int_equal(conc_thread_pool_new(&pool, threads, &options), 0);
    return pool;
}

static conc_future *submit(conc_executor *pool, struct plan *plan)
{
    return conc_submit(pool, job_needs_init, &plan, sizeof plan, 0);
}

static void broken(conc_future *f)
{
    assert_int_equal(conc_future_result(f, NULL, CONC_FOREVER), -CONC_EBROKEN);
    assert_non_null(strstr(conc_error_message(), "initialiser"));
    assert_false(conc_future_is_cancelled(f));
    conc_future_unref(f);
}

/* ---- Success ---- */

static void test_each_worker_is_initialised_once_and_finished_once(void **state)
{
    struct plan plan = {0};
    struct gate gates[3] = {0};
    conc_future *futures[3];
    conc_executor *pool = pool_of(3, &plan, 0);
    for (int i = 0; i < 3; i++) {
        futures[i] = submit_gate(pool, &gates[i]);
        gate_entered(&gates[i]);
    }
    for (int i = 0; i < 3; i++) {
        conc_event_set(&gates[i].open);
        assert_int_equal(conc_future_result(futures[i], NULL, CONC_FOREVER), 0);
        conc_future_unref(futures[i]);
    }
    for (int i = 0; i < 20; i++) {
        struct plan *p = &plan;
        assert_int_equal(conc_call(pool, job_needs_init, &p, sizeof p, NULL, 0, CONC_FOREVER), 0);
    }
    assert_int_equal(load_acquire(&plan.inits), 3);
    assert_int_equal(load_acquire(&plan.finis), 0);
    assert_int_equal(conc_executor_shutdown(pool, CONC_SHUTDOWN_WAIT, CONC_FOREVER), 0);
    assert_int_equal(plan.finis, 3);
    assert_int_equal(plan.jobs, 20);
    assert_int_equal(conc_executor_free(pool), 0);
}

static void test_the_initialiser_runs_in_the_named_worker(void **state)
{
    struct plan plan = {0}, *p = &plan;
    conc_executor *pool = pool_of(1, &plan, 0);
    assert_int_equal(conc_call(pool, job_needs_init, &p, sizeof p, NULL, 0, CONC_FOREVER), 0);
    assert_string_equal(plan.init_name, "worker-0");
    assert_int_equal(conc_executor_free(pool), 0);
}

static void test_a_pool_without_work_initialises_nothing(void **state)
{
    struct plan plan = {0};
    assert_int_equal(conc_executor_free(pool_of(3, &plan, 0)), 0);
    assert_int_equal(plan.inits + plan.finis, 0);
}

static void test_either_may_be_missing(void **state)
{
    int inits = 0;
    struct plan plan = {0};
    const conc_thread_pool_options options[] = {{.init = init, .arg = &plan},
                                                {.fini = NULL, .arg = &inits}};
    for (int i = 0; i < 2; i++) {
        conc_executor *pool;
        assert_int_equal(conc_thread_pool_new(&pool, 1, &options[i]), 0);
        assert_int_equal(conc_call(pool, job_return, &(int){0}, sizeof(int), NULL, 0, CONC_FOREVER),
                         0);
        assert_int_equal(conc_executor_free(pool), 0);
    }
    assert_int_equal(plan.inits, 1);
    assert_int_equal(plan.finis, 0);
}

/* ---- A slow one, and shutdown ---- */

static void shut_down_during_init(unsigned flags, int error, int jobs)
{
    struct gate gate = {0};
    struct plan plan = {.gate = &gate};
    conc_executor *pool = pool_of(1, &plan, 0);
    conc_future *f = submit(pool, &plan);
    gate_entered(&gate);
    assert_false(conc_future_is_running(f)); /* its worker has it, but has not begun */
    assert_int_equal(conc_executor_shutdown(pool, flags, CONC_FOREVER), 0);
    conc_event_set(&gate.open);
    assert_int_equal(conc_executor_shutdown(pool, CONC_SHUTDOWN_WAIT, CONC_FOREVER), 0);
    assert_int_equal(conc_future_error(f), error);
    assert_int_equal(conc_future_is_cancelled(f), error == -ECANCELED);
    assert_int_equal(plan.jobs, jobs);
    assert_int_equal(plan.finis, 1);
    conc_future_unref(f);
    assert_int_equal(conc_executor_free(pool), 0);
}

static void test_cancel_pending_cancels_a_job_whose_worker_is_still_being_initialised(void **state)
{
    shut_down_during_init(0, 0, 1);
    shut_down_during_init(CONC_SHUTDOWN_CANCEL_PENDING, -ECANCELED, 0);
    shut_down_during_init(CONC_SHUTDOWN_CANCEL_RUNNING, -ECANCELED, 0);
    shut_down_during_init(CONC_SHUTDOWN_CANCEL_PENDING | CONC_SHUTDOWN_CANCEL_RUNNING, -ECANCELED,
                          0);
}

static void test_so_does_its_future_at_once(void **state)
{
    struct gate gate = {0};
    struct plan plan = {.gate = &gate};
    conc_executor *pool = pool_of(1, &plan, 0);
    conc_future *f = submit(pool, &plan);
    gate_entered(&gate);
    assert_true(conc_future_cancel(f));
    assert_true(conc_future_is_cancelled(f));
    conc_event_set(&gate.open);
    conc_future_unref(f);
    assert_int_equal(conc_executor_free(pool), 0);
    assert_int_equal(plan.jobs, 0);
}

/* ---- Failure ---- */

static void test_a_failing_initialiser_breaks_the_pool(void **state)
{
    static const int errors[] = {-EIO, -1, 1, 5001}; /* anything but 0 */
    for (int i = 0; i < 4; i++) {
        struct plan plan = {.fail_at = 1, .error = errors[i]}, *p = &plan;
        conc_executor *pool = pool_of(1, &plan, 0);
        assert_false(conc_executor_is_broken(pool));
        broken(submit(pool, &plan));
        assert_true(conc_executor_is_broken(pool));
        assert_int_equal(conc_executor_shutdown(pool, CONC_SHUTDOWN_WAIT, CONC_FOREVER), 0);
        conc_future *f = submit(pool, &plan); /* refused */
        assert_true(conc_future_is_done(f));
        assert_int_equal(conc_future_error(f), -CONC_EBROKEN);
        conc_future_unref(f);
        assert_int_equal(conc_call(pool, job_needs_init, &p, sizeof p, NULL, 0, CONC_FOREVER),
                         -CONC_EBROKEN);
        assert_int_equal(conc_executor_free(pool), 0);
        assert_int_equal(plan.inits, 1);
        assert_int_equal(plan.finis, 0); /* only for those that succeeded */
        assert_int_equal(plan.jobs, 0);
    }
}

static void raise_another(conc_future *future, void *arg)
{
    conc_raise(-CONC_EBROKEN, "raised in a callback");
}

static void test_every_pending_future_is_told_and_why(void **state)
{
    enum { N = 10 };
    struct gate gate = {0};
    struct plan plan = {.fail_at = 1, .error = -EIO, .gate = &gate};
    conc_future *futures[N];
    conc_executor *pool = pool_of(1, &plan, 0);
    for (int i = 0; i < N; i++) {
        futures[i] = submit(pool, &plan);
        assert_int_equal(conc_future_add_done_callback(futures[i], raise_another, NULL), 0);
    }
    gate_entered(&gate);
    conc_event_set(&gate.open);
    for (int i = 0; i < N; i++)
        broken(futures[i]);
    assert_int_equal(conc_executor_free(pool), 0);
    assert_int_equal(plan.jobs, 0);
}

static void test_jobs_that_run_go_on_and_idle_workers_leave(void **state)
{
    struct gate running[2] = {0}, failing = {0};
    struct plan plan = {.fail_at = 4, .error = -EIO, .gate = &failing};
    conc_future *futures[4];
    conc_executor *pool = pool_of(4, &plan, 0);
    struct gate idle = {0};
    conc_future *soon_idle = submit_gate(pool, &idle);
    gate_entered(&idle);
    for (int i = 0; i < 2; i++) {
        futures[i] = submit_gate(pool, &running[i]);
        gate_entered(&running[i]);
    }
    futures[2] = submit(pool, &plan); /* to the fourth worker */
    gate_entered(&failing);
    futures[3] = submit(pool, &plan); /* into the queue */
    assert_true(conc_future_cancel(futures[3]));
    conc_event_set(&idle.open);
    assert_int_equal(conc_future_result(soon_idle, NULL, CONC_FOREVER), 0);
    wait_until_n_blocked(pool, 1);
    conc_event_set(&failing.open);
    broken(futures[2]);
    wait_until_threads(2);
    for (int i = 0; i < 2; i++) {
        assert_true(conc_future_is_running(futures[i]));
        conc_event_set(&running[i].open);
        assert_int_equal(conc_future_result(futures[i], NULL, CONC_FOREVER), 0);
        conc_future_unref(futures[i]);
    }
    conc_future_unref(futures[3]);
    conc_future_unref(soon_idle);
    assert_int_equal(conc_executor_free(pool), 0);
    assert_int_equal(plan.finis, 3);
}

static void test_submitters_who_wait_for_room_are_told(void **state)
{
    enum { N = 3 };
    struct gate gate = {0}, unused[N] = {0};
    struct plan plan = {.fail_at = 1, .error = -EIO, .gate = &gate};
    struct other_submitter others[N];
    conc_executor *pool = pool_of(1, &plan, 1);
    conc_future *first = submit(pool, &plan), *queued = submit(pool, &plan);
    gate_entered(&gate);
    for (int i = 0; i < N; i++)
        submit_elsewhere(&others[i], "submitter", pool, &unused[i]);
    wait_until_n_blocked(pool, N);
    conc_event_set(&gate.open);
    broken(first);
    broken(queued);
    for (int i = 0; i < N; i++) {
        conc_future *f = submitted_elsewhere(&others[i]);
        assert_int_equal(conc_future_result(f, NULL, CONC_FOREVER), -CONC_EBROKEN);
        assert_int_equal(runs_of(&unused[i]), 0);
        conc_future_unref(f);
    }
    assert_int_equal(conc_executor_free(pool), 0);
}

static void test_a_map_on_a_breaking_pool_is_EBROKEN(void **state)
{
    int in[20] = {0}, errors[20];
    const conc_map_options options = {.errors = errors};
    for (int with_errors = 0; with_errors < 2; with_errors++) {
        struct plan plan = {.fail_at = 1, .error = -EIO};
        conc_executor *pool = pool_of(1, &plan, 0);
        int err = conc_map(pool, job_return, in, 20, sizeof *in, NULL, 0,
                           with_errors ? &options : NULL, CONC_FOREVER);
        assert_int_equal(err, with_errors ? 0 : -CONC_EBROKEN);
        for (int i = 0; with_errors && i < 20; i++)
            assert_int_equal(errors[i], -CONC_EBROKEN);
        assert_int_equal(conc_executor_free(pool), 0);
    }
}

static void test_without_memory_the_message_is_lost_not_the_error(void **state)
{
    struct gate gate = {0};
    struct plan plan = {.fail_at = 1, .error = -EIO, .gate = &gate};
    conc_executor *pool = pool_of(1, &plan, 0);
    conc_future *f = submit(pool, &plan);
    gate_entered(&gate);
    fail_alloc(1);
    conc_event_set(&gate.open);
    assert_int_equal(conc_future_result(f, NULL, CONC_FOREVER), -CONC_EBROKEN);
    assert_int_equal(conc_executor_free(pool), 0);
    conc_future_unref(f);
}

static const struct CMUnitTest tests[] = {
    LEAK_TEST(test_each_worker_is_initialised_once_and_finished_once),
    LEAK_TEST(test_the_initialiser_runs_in_the_named_worker),
    LEAK_TEST(test_a_pool_without_work_initialises_nothing),
    LEAK_TEST(test_either_may_be_missing),
    LEAK_TEST(test_cancel_pending_cancels_a_job_whose_worker_is_still_being_initialised),
    LEAK_TEST(test_so_does_its_future_at_once),
    LEAK_TEST(test_a_failing_initialiser_breaks_the_pool),
    LEAK_TEST(test_every_pending_future_is_told_and_why),
    LEAK_TEST(test_jobs_that_run_go_on_and_idle_workers_leave),
    LEAK_TEST(test_submitters_who_wait_for_room_are_told),
    LEAK_TEST(test_a_map_on_a_breaking_pool_is_EBROKEN),
    LEAK_TEST(test_without_memory_the_message_is_lost_not_the_error),
};

TEST_MAIN(tests, 60)
