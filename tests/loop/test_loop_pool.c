/* SPDX-License-Identifier: MIT
 *
 * test_loop_pool.c: an executor of several loops. What holds for every executor is tested with it
 * too (executors.h).
 */
#include "loops.h"

#include <sched.h>
#include <stdlib.h>

#include <conc/barrier.h>

/* conc_loop_pool_new() makes loops of the backend that the environment asks for. */
static conc_executor *new_pool(size_t loops)
{
    conc_executor *pool = NULL;
    assert_int_equal(setenv("CONC_BACKEND", backend == CONC_BACKEND_URING ? "uring" : "epoll", 1),
                     0);
    assert_int_equal(conc_loop_pool_new(&pool, loops), 0);
    return pool;
}

static int job_nothing(void *arg, void *result) { return 0; }

/* ---- Where jobs run ---- */

static int job_where(void *arg, void *result)
{
    conc_barrier *all_there = pointer_in(arg);
    int err = conc_barrier_wait(all_there, CONC_FOREVER);
    *(conc_loop **)result = conc_loop_current();
    return err < 0 ? err : 0;
}

static void test_jobs_are_spread_over_the_loops(void)
{
    enum { LOOPS = 3, EACH = 20 };
    conc_barrier barrier = CONC_BARRIER_INIT(LOOPS * EACH, NULL, NULL), *b = &barrier;
    conc_executor *pool = new_pool(LOOPS);
    conc_future *futures[LOOPS * EACH];
    conc_loop *loops[LOOPS] = {NULL};
    int counts[LOOPS] = {0};
    for (int i = 0; i < LOOPS * EACH; i++)
        futures[i] = conc_submit(pool, job_where, &b, sizeof b, sizeof(conc_loop *));
    for (int i = 0; i < LOOPS * EACH; i++) {
        conc_loop *loop = NULL;
        int j = 0;
        assert_int_equal(conc_future_result(futures[i], &loop, CONC_FOREVER), 0);
        assert_non_null(loop);
        while (loops[j] && loops[j] != loop)
            assert_true(++j < LOOPS);
        loops[j] = loop;
        counts[j]++;
        conc_future_unref(futures[i]);
    }
    for (int j = 0; j < LOOPS; j++)
        assert_int_equal(counts[j], EACH); /* all had to be there at once */
    assert_int_equal(conc_executor_free(pool), 0);
}

/* All but one of the loops are kept busy: then that one gets all that comes. */
static void test_the_idlest_loop_gets_the_next_job(void)
{
    conc_executor *pool = new_pool(2);
    struct gate gates[6] = {{.runs = 0}};
    conc_barrier barrier = CONC_BARRIER_INIT(1, NULL, NULL), *b = &barrier;
    conc_loop *idle, *loop;
    conc_future *held[6];
    for (int i = 0; i < 6; i++) { /* three on each */
        held[i] = submit_gate(pool, &gates[i]);
        gate_entered(&gates[i]);
    }
    for (int i = 0; i < 6; i += 2) /* those of one of them end */
        conc_event_set(&gates[i].open);
    assert_int_equal(conc_wait((conc_future *[]){held[0], held[2], held[4]}, 3, CONC_ALL_COMPLETED,
                               CONC_FOREVER),
                     3);
    assert_int_equal(conc_call(pool, job_where, &b, sizeof b, &idle, sizeof idle, CONC_FOREVER), 0);
    for (int i = 0; i < 10; i++) {
        assert_int_equal(conc_call(pool, job_where, &b, sizeof b, &loop, sizeof loop, CONC_FOREVER),
                         0);
        assert_ptr_equal(loop, idle);
    }
    for (int i = 0; i < 6; i++) {
        conc_event_set(&gates[i].open);
        conc_future_unref(held[i]);
    }
    assert_int_equal(conc_executor_free(pool), 0);
}

static int usable_cpus(void)
{
    cpu_set_t usable;
    assert_int_equal(sched_getaffinity(0, sizeof usable, &usable), 0);
    return CPU_COUNT(&usable);
}

static void test_none_given_is_one_for_each_processor(void)
{
    conc_executor *pool = new_pool(0);
    wait_until_threads(usable_cpus());
    assert_int_equal(conc_executor_free(pool), 0);
}

struct node {
    conc_executor *pool;
    int depth;
};

/* How many nodes a binary tree of that depth has. */
static int job_tree(void *arg, void *result)
{
    struct node *node = arg;
    int sums[2] = {0, 0};
    conc_future *futures[2];
    *(int *)result = 1;
    if (node->depth-- == 0)
        return 0;
    for (int i = 0; i < 2; i++)
        futures[i] = conc_submit(node->pool, job_tree, node, sizeof *node, sizeof(int));
    for (int i = 0; i < 2; i++) {
        CHECK_EQUAL(conc_future_result(futures[i], &sums[i], CONC_FOREVER), 0);
        conc_future_unref(futures[i]);
    }
    *(int *)result += sums[0] + sums[1];
    return 0;
}

static void test_jobs_submit_jobs_and_wait_for_them(void)
{
    const struct node root = {new_pool(2), 8};
    int sum = 0;
    assert_int_equal(
        conc_call(root.pool, job_tree, &root, sizeof root, &sum, sizeof sum, CONC_FOREVER), 0);
    assert_int_equal(sum, 511);
    assert_int_equal(conc_executor_free(root.pool), 0);
}

/* ---- Their end ---- */

static int job_end_pool(void *arg, void *result)
{
    conc_executor *pool = pointer_in(arg);
    CHECK_EQUAL(conc_executor_shutdown(pool, CONC_SHUTDOWN_WAIT, CONC_FOREVER), -EDEADLK);
    CHECK_EQUAL(conc_executor_free(pool), -EDEADLK);
    return conc_executor_shutdown(pool, CONC_SHUTDOWN_CANCEL_PENDING, CONC_FOREVER);
}

static void test_its_own_jobs_cannot_wait_for_its_end(void)
{
    conc_executor *pool = new_pool(2);
    assert_int_equal(conc_call(pool, job_end_pool, &pool, sizeof pool, NULL, 0, CONC_FOREVER), 0);
    assert_int_equal(conc_call(pool, job_nothing, NULL, 0, NULL, 0, CONC_FOREVER), -ESHUTDOWN);
    assert_int_equal(conc_executor_free(pool), 0);
}

/* A pool that a task makes and frees; its loop goes on meanwhile. */
static int job_use_a_pool(void *arg, void *result)
{
    conc_executor *pool;
    int value = 0;
    CHECK_EQUAL(conc_loop_pool_new(&pool, 2), 0);
    int err = conc_call(pool, job_square, arg, sizeof(int), &value, sizeof value, CONC_FOREVER);
    CHECK_EQUAL(conc_executor_free(pool), 0);
    *(int *)result = value;
    return err;
}

static void test_a_task_may_make_and_free_one(void)
{
    conc_executor *outer = new_pool(1);
    const int in[3] = {1, 2, 3};
    int out[3] = {0};
    assert_int_equal(
        conc_map(outer, job_use_a_pool, in, 3, sizeof *in, out, sizeof *out, NULL, CONC_FOREVER),
        0);
    for (int i = 0; i < 3; i++)
        assert_int_equal(out[i], in[i] * in[i]);
    assert_int_equal(conc_executor_free(outer), 0);
}

static void test_what_is_left_when_it_is_freed_runs_to_its_end(void)
{
    conc_executor *pool = new_pool(2);
    int count = 0, *counter = &count;
    for (int i = 0; i < (int)crowd_of(500); i++)
        conc_future_unref(conc_submit(pool, job_count, &counter, sizeof counter, 0));
    assert_int_equal(conc_executor_free(pool), 0);
    assert_int_equal(count, crowd_of(500));
}

/* ---- Failing to begin ---- */

static void test_without_memory_or_threads_there_is_none(void)
{
    int n;
    conc_executor *pool = new_pool(1);
    assert_int_equal(conc_executor_free(pool), 0);
    for (n = 1; n < 60; n++) {
        pool = NULL;
        fail_alloc(n);
        int err = conc_loop_pool_new(&pool, 3);
        bool failed = alloc_has_failed();
        if (!failed)
            assert_int_equal(err, 0);
        assert_true(err == 0 || err == -ENOMEM);
        assert_int_equal(pool != NULL, err == 0);
        assert_int_equal(conc_executor_free(pool), 0);
        if (!failed)
            break;
    }
    assert_true(n > 6 && n < 60);
    for (n = 1; n < 4; n++) {
        pool = NULL;
        fail_thread(n);
        assert_int_equal(conc_loop_pool_new(&pool, 3), -ENOMEM);
        assert_null(pool);
    }
    assert_int_equal(conc_loop_pool_new(&pool, SIZE_MAX), -ENOMEM);
}

static void test_without_descriptors_there_is_none(void)
{
    conc_executor *pool = NULL;
    for (int more = 0; more < 3; more++) {
        limit_descriptors(count_descriptors() + more); /* one of them closed again */
        assert_int_equal(conc_loop_pool_new(&pool, 8), -EMFILE);
        limit_descriptors(0);
    }
    assert_null(pool);
}

static const struct CMUnitTest tests[] = {
    ON_EVERY_BACKEND(test_jobs_are_spread_over_the_loops),
    ON_EVERY_BACKEND(test_the_idlest_loop_gets_the_next_job),
    ON_EVERY_BACKEND(test_none_given_is_one_for_each_processor),
    ON_EVERY_BACKEND(test_jobs_submit_jobs_and_wait_for_them),
    ON_EVERY_BACKEND(test_its_own_jobs_cannot_wait_for_its_end),
    ON_EVERY_BACKEND(test_a_task_may_make_and_free_one),
    ON_EVERY_BACKEND(test_what_is_left_when_it_is_freed_runs_to_its_end),
    ON_EVERY_BACKEND(test_without_memory_or_threads_there_is_none),
    ON_EVERY_BACKEND(test_without_descriptors_there_is_none),
};

TEST_MAIN(tests, 60)
