/* SPDX-License-Identifier: MIT
 *
 * test_thread_pool.c: the pool's threads: when they start and end, their names, initialisers, and
 * what happens if one cannot start. Its bounded queue: test_pool_bound.c. Helping:
 * test_pool_help.c. What it shares with all executors: test_executor.c, test_job.c, test_map.c,
 * test_shutdown.c.
 */
#include "executors.h"

#include <sched.h>
#include <stdio.h>
#include <string.h>

static conc_executor *pool_of(size_t threads, const conc_thread_pool_options *options)
{
    conc_executor *pool = NULL;
    assert_int_equal(conc_thread_pool_new(&pool, threads, options), 0);
    return pool;
}

static void end_pool(conc_executor *pool) { assert_int_equal(conc_executor_free(pool), 0); }

/* N jobs that run, each on a thread of its own. */
static void occupy(conc_executor *pool, struct gate *gates, conc_future **futures, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        futures[i] = submit_gate(pool, &gates[i]);
        gate_entered(&gates[i]);
    }
}

static void release(struct gate *gates, conc_future **futures, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        conc_event_set(&gates[i].open);
        assert_int_equal(conc_future_result(futures[i], NULL, CONC_FOREVER), 0);
        conc_future_unref(futures[i]);
    }
}

/* Result: the name of the context that runs it. */
static int job_name(void *arg, void *result)
{
    snprintf(result, CONC_NAME_MAX, "%s", conc_context_name(conc_context_current()));
    return 0;
}

static void name_of_worker(conc_executor *pool, char *name)
{
    assert_int_equal(conc_call(pool, job_name, NULL, 0, name, CONC_NAME_MAX, CONC_FOREVER), 0);
}

/* ---- Threads come and go ---- */

static void test_a_pool_without_work_has_no_threads(void **state)
{
    conc_executor *pool = pool_of(4, NULL);
    wait_until_threads(0);
    end_pool(pool);
}

static void test_an_idle_thread_is_used_again(void **state)
{
    conc_executor *pool = pool_of(4, NULL);
    for (int i = 0; i < 20; i++) {
        assert_int_equal(conc_call(pool, job_return, &(int){0}, sizeof(int), NULL, 0, CONC_FOREVER),
                         0);
        wait_until_n_blocked(pool, 1);
        wait_until_threads(1);
    }
    end_pool(pool);
}

static void test_threads_start_as_they_are_needed_up_to_the_limit(void **state)
{
    struct gate gates[3] = {0}, late = {0};
    conc_future *futures[3];
    conc_executor *pool = pool_of(3, NULL);
    for (size_t i = 0; i < 3; i++) {
        occupy(pool, &gates[i], &futures[i], 1);
        wait_until_threads((int)i + 1);
    }
    conc_future *f = submit_gate(pool, &late);
    wait_until_threads(3);
    assert_int_equal(runs_of(&late), 0); /* it waits */
    conc_event_set(&late.open);
    release(gates, futures, 3);
    assert_int_equal(conc_future_result(f, NULL, CONC_FOREVER), 0);
    conc_future_unref(f);
    end_pool(pool);
    wait_until_threads(0);
}

static void test_0_threads_means_as_many_as_pythons_default(void **state)
{
    enum { MOST = 40 };
    cpu_set_t cpus;
    assert_int_equal(sched_getaffinity(0, sizeof cpus, &cpus), 0);
    size_t expected = CPU_COUNT(&cpus) + 4 < 32 ? (size_t)CPU_COUNT(&cpus) + 4 : 32;
    struct gate gates[MOST] = {0};
    conc_future *futures[MOST];
    conc_executor *pool = pool_of(0, NULL);
    for (size_t i = 0; i < MOST; i++)
        futures[i] = submit_gate(pool, &gates[i]);
    for (size_t i = 0; i < expected; i++)
        gate_entered(&gates[i]);
    wait_until_threads((int)expected);
    for (size_t i = expected; i < MOST; i++)
        assert_int_equal(runs_of(&gates[i]), 0);
    release(gates, futures, MOST);
    end_pool(pool);
}

static void test_a_job_goes_to_the_worker_that_became_idle_last(void **state)
{
    struct gate gates[3] = {0};
    conc_future *futures[3];
    char name[CONC_NAME_MAX];
    conc_executor *pool = pool_of(3, NULL);
    static const size_t order[] = {1, 0, 2}; /* they become idle */
    occupy(pool, gates, futures, 3);
    for (size_t i = 0; i < 3; i++) {
        release(&gates[order[i]], &futures[order[i]], 1);
        wait_until_n_blocked(pool, i + 1);
    }
    for (int i = 0; i < 3; i++) {
        name_of_worker(pool, name);
        assert_string_equal(name, "worker-2");
        wait_until_n_blocked(pool, 3);
    }
    end_pool(pool);
}

struct order {
    int *next, *place;
};

static int job_take_place(void *arg, void *result)
{
    struct order *o = arg;
    *o->place = (*o->next)++;
    return 0;
}

static void test_the_queue_is_first_in_first_out(void **state)
{
    enum { N = 20 };
    struct gate gate = {0};
    conc_future *first, *futures[N];
    int next = 0, places[N];
    conc_executor *pool = pool_of(1, NULL);
    occupy(pool, &gate, &first, 1);
    for (int i = 0; i < N; i++)
        futures[i] = conc_submit(pool, job_take_place, &(struct order){&next, &places[i]},
                                 sizeof(struct order), 0);
    release(&gate, &first, 1);
    for (int i = 0; i < N; i++) {
        assert_int_equal(conc_future_result(futures[i], NULL, CONC_FOREVER), 0);
        assert_int_equal(places[i], i);
        conc_future_unref(futures[i]);
    }
    end_pool(pool);
}

static void test_new_without_memory_is_ENOMEM(void **state)
{
    conc_executor *executor = NULL;
    fail_alloc(1);
    assert_int_equal(conc_thread_pool_new(&executor, 1, NULL), -ENOMEM);
    fail_alloc(1);
    assert_int_equal(conc_inline_new(&executor), -ENOMEM);
    fail_alloc(1);
    assert_int_equal(conc_thread_per_job_new(&executor), -ENOMEM);
    assert_null(executor);
}

/* ---- Names and stacks ---- */

static void test_workers_have_numbered_names(void **state)
{
    static const char *const long_name = "a_pool_with_a_name_that_is_longer_than_names_may_be";
    char own[] = "mine", name[CONC_NAME_MAX];
    const conc_thread_pool_options none = {0}, mine = {.name = own}, longer = {.name = long_name};
    const conc_thread_pool_options *const options[] = {NULL, &none, &mine, &longer};
    static const char *const expected[] = {
        "worker-0", "worker-0", "mine-0",
        "a_pool_with_a_name_that_is_lo-0"}; /* cut, but numbered */
    for (int i = 0; i < 4; i++) {
        conc_executor *pool = pool_of(2, options[i]);
        memset(own, 'x', 4); /* it was borrowed during the call only */
        name_of_worker(pool, name);
        assert_string_equal(name, expected[i]);
        wait_until_n_blocked(pool, 1);
        struct gate gate = {0};
        conc_future *f;
        occupy(pool, &gate, &f, 1);
        name_of_worker(pool, name);
        assert_string_equal(name + strlen(name) - 2, "-1");
        release(&gate, &f, 1);
        end_pool(pool);
        memcpy(own, "mine", 4);
    }
}

static void test_workers_have_the_stack_that_is_asked_for(void **state)
{
    const conc_thread_pool_options options = {.stack_size = 24 << 20};
    conc_executor *pool = pool_of(1, &options);
    size_t size = 12 << 20; /* more than the default; sanitizers make it more */
    assert_int_equal(conc_call(pool, job_use_stack, &size, sizeof size, NULL, 0, CONC_FOREVER), 0);
    end_pool(pool);
}

static void test_an_impossible_stack_is_EINVAL(void **state)
{
    const conc_thread_pool_options options = {.stack_size = SIZE_MAX};
    conc_executor *pool = NULL;
    assert_int_equal(conc_thread_pool_new(&pool, 1, &options), -EINVAL);
    assert_null(pool);
}

/* ---- No thread to be had ---- */

static void test_without_any_thread_submit_is_refused(void **state)
{
    conc_executor *const executors[] = {pool_of(2, NULL), executor_of(THREAD_PER_JOB)};
    for (int i = 0; i < 2; i++) {
        fail_thread(1);
        conc_future *f = conc_submit(executors[i], job_return, &(int){0}, sizeof(int), 0);
        assert_int_equal(conc_future_result(f, NULL, CONC_FOREVER), -ENOMEM);
        assert_false(conc_future_is_cancelled(f));
        conc_future_unref(f);
        assert_int_equal(
            conc_call(executors[i], job_return, &(int){0}, sizeof(int), NULL, 0, CONC_FOREVER), 0);
        end_pool(executors[i]);
    }
}

static void test_without_another_thread_the_job_waits_for_those_there_are(void **state)
{
    for (int memory = 0; memory < 2; memory++) {
        struct gate gate = {0};
        conc_future *first;
        conc_executor *pool = pool_of(2, NULL);
        occupy(pool, &gate, &first, 1);
        memory ? fail_alloc(2) : fail_thread(1); /* the second allocation: the worker */
        conc_future *f = conc_submit(pool, job_square, &(int){4}, sizeof(int), sizeof(int));
        assert_false(conc_future_is_done(f));
        wait_until_threads(1);
        release(&gate, &first, 1);
        assert_int_equal(conc_future_result(f, NULL, CONC_FOREVER), 0);
        conc_future_unref(f);
        end_pool(pool);
    }
}

static void test_a_thread_per_job_that_cannot_start_is_refused_though_others_run(void **state)
{
    struct gate gate = {0};
    conc_future *first;
    conc_executor *executor = executor_of(THREAD_PER_JOB);
    occupy(executor, &gate, &first, 1);
    fail_thread(1);
    assert_int_equal(conc_call(executor, job_return, &(int){0}, sizeof(int), NULL, 0, CONC_FOREVER),
                     -ENOMEM);
    release(&gate, &first, 1);
    end_pool(executor);
}

static void test_a_thread_per_job_ends_after_it(void **state)
{
    struct gate gates[5] = {0};
    conc_future *futures[5];
    conc_executor *executor = executor_of(THREAD_PER_JOB);
    for (int round = 0; round < 3; round++) {
        memset(gates, 0, sizeof gates);
        occupy(executor, gates, futures, 5);
        wait_until_threads(5);
        release(gates, futures, 5);
        wait_until_threads(0);
    }
    end_pool(executor);
}

/* ---- Unobserved errors, in a worker ---- */

static conc_event hook_entered, hook_goes_on;

static void hook_that_blocks(int err, const char *message, void *arg)
{
    conc_event_set(&hook_entered);
    CHECK_EQUAL(conc_event_wait(&hook_goes_on, CONC_FOREVER), 0);
    CHECK(conc_event_is_set(&hook_goes_on)); /* not woken by something else */
    *(int *)arg = err;
}

/* Fails once the event is set: or its future could be done, and the test's own reference to it the
 * last one. */
static int job_fail_later(void *arg, void *result)
{
    CHECK_EQUAL(conc_event_wait(*(conc_event **)arg, CONC_FOREVER), 0);
    return -EIO;
}

static void test_the_hook_for_unobserved_errors_may_block_in_a_worker(void **state)
{
    for (int reuse = 0; reuse < 2; reuse++) {
        int seen = 0, value = 0;
        struct gate gate = {0};
        conc_executor *pool = reuse ? pool_of(1, NULL) : executor_of(THREAD_PER_JOB);
        conc_event_clear(&hook_entered);
        conc_event_clear(&hook_goes_on);
        conc_future_on_unobserved(hook_that_blocks, &seen);
        conc_future *f = submit_gate(pool, &gate);
        gate_entered(&gate);
        conc_event *open = &gate.open;
        conc_future_unref(conc_submit(pool, job_fail_later, &open, sizeof open, 0));
        conc_event_set(&gate.open);
        assert_int_equal(conc_event_wait(&hook_entered, CONC_FOREVER), 0);
        /* The worker is neither idle nor at work now. */
        conc_future *next = conc_submit(pool, job_square, &(int){8}, sizeof(int), sizeof(int));
        conc_event_set(&hook_goes_on);
        assert_int_equal(conc_future_result(next, &value, CONC_FOREVER), 0);
        assert_int_equal(value, 64);
        conc_future_unref(next);
        conc_future_unref(f);
        end_pool(pool);
        assert_int_equal(seen, -EIO);
    }
}

static const struct CMUnitTest tests[] = {
    LEAK_TEST(test_a_pool_without_work_has_no_threads),
    LEAK_TEST(test_an_idle_thread_is_used_again),
    LEAK_TEST(test_threads_start_as_they_are_needed_up_to_the_limit),
    LEAK_TEST(test_0_threads_means_as_many_as_pythons_default),
    LEAK_TEST(test_a_job_goes_to_the_worker_that_became_idle_last),
    LEAK_TEST(test_the_queue_is_first_in_first_out),
    LEAK_TEST(test_new_without_memory_is_ENOMEM),
    LEAK_TEST(test_workers_have_numbered_names),
    LEAK_TEST(test_workers_have_the_stack_that_is_asked_for),
    LEAK_TEST(test_an_impossible_stack_is_EINVAL),
    LEAK_TEST(test_without_any_thread_submit_is_refused),
    LEAK_TEST(test_without_another_thread_the_job_waits_for_those_there_are),
    LEAK_TEST(test_a_thread_per_job_that_cannot_start_is_refused_though_others_run),
    LEAK_TEST(test_a_thread_per_job_ends_after_it),
    LEAK_TEST(test_the_hook_for_unobserved_errors_may_block_in_a_worker),
};

TEST_MAIN(tests, 60)
