/* SPDX-License-Identifier: MIT
 *
 * Stress: ten thousand jobs of random sizes, submitted by threads and tasks at once, on pools of
 * one, two and four workers, with and without replacement of the workers: each byte is checked on
 * both sides. And that many pools, and many large jobs, leave nothing and take no more and more
 * memory.
 */
#include "processes.h"
#include "storms.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SUBMITTERS = 4, IN_FLIGHT = 50, JOBS = 10000, MOST = 300 << 10 };

/* ---- Every byte ---- */

struct lot {
    conc_executor *pool;
    size_t jobs;
    struct test_random random;
};

/* Submits its share, with some in flight, and takes their results in any order. */
static int job_submit(void *arg, void *result)
{
    struct lot *lot = arg;
    conc_future *futures[IN_FLIGHT] = {NULL};
    struct sized sized[IN_FLIGHT];
    for (size_t i = 0; i < lot->jobs; i++) {
        size_t at = i < IN_FLIGHT ? i : test_random_below(&lot->random, IN_FLIGHT);
        if (futures[at])
            check_sized(futures[at], sized[at]);
        sized[at] = random_sized(&lot->random, MOST);
        futures[at] = submit_sized(lot->pool, sized[at]);
    }
    for (size_t i = 0; i < IN_FLIGHT; i++)
        if (futures[i])
            check_sized(futures[i], sized[i]);
    return 0;
}

static void run_jobs(struct test_random *random, size_t workers, size_t max_jobs)
{
    conc_future *submitters[SUBMITTERS];
    const struct remains before = remains_now();
    const conc_process_pool_options options = {.max_jobs_per_worker = max_jobs};
    conc_executor *pool = make_pool(workers, &options);
    for (size_t i = 0; i < SUBMITTERS; i++) {
        const struct lot lot = {pool, crowd_of(JOBS) / SUBMITTERS,
                                test_random_for((unsigned)test_random_next(random))};
        submitters[i] = run_somewhere(random, job_submit, &lot, sizeof lot);
    }
    for (size_t i = 0; i < SUBMITTERS; i++)
        CHECK_EQUAL(end_of(submitters[i]), 0);
    CHECK_EQUAL(conc_executor_free(pool), 0);
    check_nothing_remains(&(struct remains){before.family, SIZE_MAX, before.maps});
}

static void test_ten_thousand_jobs_of_random_sizes_arrive_byte_by_byte(void)
{
    static const size_t workers[] = {1, 2, 4}, maxima[] = {0, 97};
    struct test_random random = test_random_for(30);
    places_open();
    for (size_t w = 0; w < 3; w++)
        for (size_t m = 0; m < 2; m++)
            run_jobs(&random, workers[w], maxima[m]);
    places_close();
}

/* ---- Nothing more and more ---- */

enum { POOLS = 200, LARGE_JOBS = 2000, AT_ONCE = 4 };

#define MIB ((size_t)1 << 20)
#define LARGE ((uint32_t)MIB)

static void use_pools(size_t n)
{
    const struct sized s = {.in = 300 << 10, .out = 400 << 10, .seed = 3};
    for (size_t i = 0; i < n; i++) {
        conc_executor *pool = make_pool(1 + i % 3, NULL);
        conc_future *f = submit_sized(pool, s); /* also pools that have done nothing */
        if (i % 4)
            check_sized(f, s);
        else
            conc_future_unref(f);
        CHECK_EQUAL(conc_executor_free(pool), 0);
    }
}

static int job_resident(void *arg, void *result)
{
    *(size_t *)result = resident_bytes();
    return 0;
}

static size_t resident_in(conc_executor *pool)
{
    size_t bytes = 0;
    CHECK_EQUAL(conc_call(pool, job_resident, NULL, 0, &bytes, sizeof bytes, PATIENT), 0);
    return bytes;
}

static int job_echo_large(void *arg, void *result)
{
    memcpy(result, arg, LARGE);
    return 0;
}

/* Large both ways, some at once. */
static void run_large(conc_executor *pool, size_t n)
{
    conc_future *f[AT_ONCE] = {NULL};
    char *bytes = malloc(LARGE);
    CHECK(bytes != NULL);
    fill(bytes, LARGE, 7);
    for (size_t i = 0; i < n + AT_ONCE; i++) {
        conc_future **at = &f[i % AT_ONCE];
        if (*at) {
            CHECK_EQUAL(conc_future_wait(*at, PATIENT), 0);
            CHECK_EQUAL(conc_future_error(*at), 0);
            CHECK(!memcmp(conc_future_value(*at), bytes, LARGE));
            conc_future_unref(*at);
        }
        *at = i < n ? conc_submit(pool, job_echo_large, bytes, LARGE, LARGE) : NULL;
    }
    free(bytes);
}

/* What sanitizers and valgrind add is not ours. */
static void check_bounded(const char *whose, size_t before, size_t after, size_t more)
{
    printf("# %s: %zu KiB, then %zu KiB\n", whose, before >> 10, after >> 10);
    if (!WITH_SANITIZER && !on_valgrind())
        CHECK(after <= before + more);
}

static void test_pools_made_and_freed_leave_nothing(void)
{
    use_pools(10);
    const struct remains before = remains_now();
    const size_t bytes = resident_bytes();
    use_pools(crowd_of(POOLS));
    check_nothing_remains(&before);
    check_bounded("the program", bytes, resident_bytes(), 8 * MIB);
}

static void test_large_jobs_take_no_more_and_more_memory(void)
{
    const struct remains before = remains_now();
    conc_executor *pool = make_pool(1, NULL);
    run_large(pool, 100);
    const size_t here = resident_bytes(), there = resident_in(pool);
    run_large(pool, crowd_of(LARGE_JOBS));
    check_bounded("the worker", there, resident_in(pool), 40 * MIB);
    check_bounded("the program", here, resident_bytes(), 40 * MIB);
    CHECK_EQUAL(conc_executor_free(pool), 0);
    check_nothing_remains(&before);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        ON_WAY(test_ten_thousand_jobs_of_random_sizes_arrive_byte_by_byte, ON_THREADS, "all"),
        ON_WAY(test_pools_made_and_freed_leave_nothing, ON_THREADS, "threads"),
        ON_WAY(test_large_jobs_take_no_more_and_more_memory, ON_THREADS, "threads"),
    };
    watchdog_start(110);
    int failed = conc_process_prepare(); /* its descriptor stays, so before the first test counts */
    if (!failed)
        failed = cmocka_run_group_tests(tests, NULL, NULL);
    watchdog_stop();
    return failed;
}
