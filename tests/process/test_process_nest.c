/* SPDX-License-Identifier: MIT
 *
 * test_process_nest.c: pools and processes inside the jobs of others, to some depth, and that they
 * end with the process that has made them; and workers that are ended while others take their
 * place.
 */
#include "processes.h"

#include <unistd.h>

/* ---- Pools and processes of jobs' own ---- */

enum { DEPTH = 3 };

struct nest {
    int depth;
    pid_t pids[DEPTH];
    struct sized sized;
};

/* As deep as is asked for: each level makes a pool, of which one job goes one level deeper; it
 * checks the result of another. */
static int job_nest(void *arg, void *result)
{
    struct nest *nest = result;
    *nest = *(struct nest *)arg;
    nest->pids[--nest->depth] = getpid();
    if (nest->depth == 0)
        return 0;
    conc_executor *pool;
    int err = conc_process_pool_new(&pool, 2, NULL);
    if (err)
        return err;
    const struct nest inner = *nest;
    conc_future *f = submit_sized(pool, nest->sized);
    err = conc_call(pool, job_nest, &inner, sizeof inner, nest, sizeof *nest, PATIENT);
    check_sized(f, nest->sized);
    int end = conc_executor_free(pool);
    return err ? err : end;
}

static void check_nest(const struct nest *nest)
{
    for (int i = 0; i < DEPTH; i++) {
        CHECK(nest->pids[i] > 0 && nest->pids[i] != getpid());
        for (int k = 0; k < i; k++)
            CHECK(nest->pids[i] != nest->pids[k]);
    }
}

static void test_pools_in_pools_jobs_work(void)
{
    enum { AT_ONCE = 2 };
    const struct remains before = remains_now();
    const struct nest start_of = {.depth = DEPTH, .sized = sized_of(5000, 300000, 8)};
    conc_executor *pool = make_pool(AT_ONCE, NULL);
    conc_future *f[AT_ONCE];
    struct nest end;
    for (int i = 0; i < AT_ONCE; i++)
        f[i] = conc_submit(pool, job_nest, &start_of, sizeof start_of, sizeof end);
    for (int i = 0; i < AT_ONCE; i++) {
        CHECK_EQUAL(conc_future_result(f[i], &end, PATIENT), 0);
        check_nest(&end);
        conc_future_unref(f[i]);
    }
    CHECK_EQUAL(conc_executor_free(pool), 0);
    check_nothing_remains(&before);
}

/* A process in it, in which there is a process; at the bottom a pool. */
static int job_start(void *arg, void *result)
{
    int depth = *(int *)arg - 1;
    conc_process *p;
    conc_executor *pool;
    int err;
    if (depth == 0) {
        err = conc_process_pool_new(&pool, 1, NULL);
        if (!err)
            check_works(pool);
        return err ? err : conc_executor_free(pool);
    }
    err = conc_process_start(&p, job_start, &depth, sizeof depth, NULL);
    if (err)
        return err;
    err = conc_process_join(p, PATIENT);
    conc_process_free(p);
    return err ? conc_raise(err, "at %d: %s", depth, conc_error_message()) : 0;
}

static void test_processes_in_jobs_work(void)
{
    const struct remains before = remains_now();
    const int depth = DEPTH;
    conc_executor *pool = make_pool(1, NULL);
    CHECK_EQUAL(conc_call(pool, job_start, &depth, sizeof depth, NULL, 0, PATIENT), 0);
    CHECK_EQUAL(conc_executor_free(pool), 0);
    check_nothing_remains(&before);
}

/* Leaves a pool and a process behind, both at work, and ends. */
static int job_abandon(void *arg, void *result)
{
    conc_executor *pool;
    conc_process *p;
    int err = conc_process_pool_new(&pool, 2, NULL);
    if (!err)
        err = conc_process_start(&p, job_stop, NULL, 0, NULL);
    if (!err)
        conc_future_unref(conc_submit(pool, job_stop, NULL, 0, 0));
    return err;
}

static void test_what_a_job_leaves_behind_ends_with_its_process(void)
{
    const struct remains before = remains_now();
    conc_executor *pool = make_pool(1, NULL);
    CHECK_EQUAL(conc_call(pool, job_abandon, NULL, 0, NULL, 0, PATIENT), 0);
    check_works(pool);
    CHECK(remains_now().family >= before.family + 5); /* worker, server, two workers, process */
    CHECK_EQUAL(conc_executor_free(pool), 0);
    check_nothing_remains(&before);
}

/* ---- Workers that are ended while they are replaced ---- */

static void test_kill_workers_misses_none_that_takes_anothers_place(void)
{
    enum { QUICK = 20 };
    const conc_process_pool_options options = {.max_jobs_per_worker = 1};
    struct test_random random = test_random_for(20u + way);
    const size_t rounds = crowd_of(20);
    for (size_t i = 0; i < rounds; i++) {
        conc_executor *pool = make_pool(1, &options);
        conc_future *f[QUICK + 1];
        for (size_t k = 0; k < QUICK; k++)
            f[k] = submit_sized(pool, sized_of(8, 8, 1));
        f[QUICK] = conc_submit(pool, job_stop, NULL, 0, 0); /* it never ends by itself */
        conc_sleep((int64_t)test_random_below(&random, CONC_MS(10)));
        CHECK_EQUAL(conc_process_pool_kill_workers(pool), 0);
        for (size_t k = 0; k <= QUICK; k++) {
            CHECK_EQUAL(conc_future_wait(f[k], PATIENT), 0);
            int err = end_of(f[k]);
            CHECK(err == -CONC_EBROKEN || (err == 0 && k < QUICK));
        }
        CHECK_EQUAL(conc_executor_free(pool), 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        ON_EVERY_WAY(test_pools_in_pools_jobs_work),
        ON_EVERY_WAY(test_processes_in_jobs_work),
        ON_EVERY_WAY(test_what_a_job_leaves_behind_ends_with_its_process),
        ON_EVERY_WAY(test_kill_workers_misses_none_that_takes_anothers_place),
    };
    watchdog_start(100);
    adopt_orphans(true);
    int failed = conc_process_prepare(); /* its descriptor stays, so before the first test counts */
    if (!failed)
        failed = cmocka_run_group_tests(tests, NULL, NULL);
    watchdog_stop();
    return failed;
}
