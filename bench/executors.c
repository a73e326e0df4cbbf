/* SPDX-License-Identifier: MIT
 *
 * executors.c: conc_thread_pool against a minimal pool by a mutex and conditions.
 *
 * Throughput: a window of jobs that do nothing is submitted, and then the result of each is asked
 * for; thousands of jobs per second. Round trip: one job, submitted and waited for; microseconds.
 * The plain pool's job has a done flag and no more: no errors, no messages, no cancellation, no
 * callbacks, no reference counts.
 */
#include <conc.h>
#include <stdio.h>

#include "bench.h"
#include "plain.h"

struct pool_setup {
    size_t threads;
    size_t window; /* jobs in flight */
    uint64_t jobs;
};

enum { WINDOW_MAX = 1024 };

static int add_one(void *arg, void *result)
{
    *(uint64_t *)result = *(uint64_t *)arg + 1;
    return 0;
}

static void check(uint64_t answer, uint64_t expected)
{
    must(answer != expected, "a job's result is wrong");
}

static void conc_window(conc_executor *pool, size_t window)
{
    conc_future *futures[WINDOW_MAX];
    for (uint64_t i = 0; i < window; i++)
        futures[i] = conc_submit(pool, add_one, &i, sizeof i, sizeof i);
    for (uint64_t i = 0; i < window; i++) {
        uint64_t answer = 0;
        must(conc_future_result(futures[i], &answer, CONC_FOREVER), "conc_future_result");
        check(answer, i + 1);
        conc_future_unref(futures[i]);
    }
}

static void plain_window(struct plain_pool *pool, size_t window)
{
    struct plain_job *jobs[WINDOW_MAX];
    for (uint64_t i = 0; i < window; i++) {
        jobs[i] = plain_pool_submit(pool, add_one, i);
        must(jobs[i] == NULL, "out of memory");
    }
    for (uint64_t i = 0; i < window; i++)
        check(plain_pool_result(pool, jobs[i]), i + 1);
}

/* The time for all jobs of a set-up, the pool's threads being there already. */
static struct stopwatch run_jobs(enum peer peer, const struct pool_setup *s)
{
    const uint64_t windows = amount(s->jobs) / s->window;
    conc_executor *conc = NULL;
    struct plain_pool plain;
    if (peer == CONC) {
        must(conc_thread_pool_new(&conc, s->threads, NULL), "conc_thread_pool_new");
        conc_window(conc, s->window);
    } else {
        must(plain_pool_init(&plain, s->threads), "a pool");
        plain_window(&plain, s->window);
    }
    struct stopwatch w = start_clock();
    for (uint64_t i = 0; i < windows; i++)
        peer == CONC ? conc_window(conc, s->window) : plain_window(&plain, s->window);
    w = stop_clock(w);
    if (peer == CONC)
        conc_executor_free(conc);
    else
        plain_pool_destroy(&plain);
    return w;
}

static struct figures throughput(enum peer peer, const void *setup)
{
    const struct pool_setup *s = setup;
    struct stopwatch w = run_jobs(peer, s);
    double jobs = (double)(amount(s->jobs) / s->window * s->window);
    return (struct figures){.value = jobs * 1e6 / (double)w.wall_ns, .cores = cores_of(w)};
}

static struct figures round_trip(enum peer peer, const void *setup)
{
    const struct pool_setup *s = setup;
    struct stopwatch w = run_jobs(peer, s);
    return (struct figures){.value = (double)w.wall_ns / 1e3 / (double)amount(s->jobs),
                            .cores = cores_of(w)};
}

void bench_executors(void)
{
    if (!section("executors", "conc_thread_pool and a minimal pool by a mutex and conditions"))
        return;
    for (size_t threads = 1; threads <= 4; threads *= 2) {
        char what[64];
        snprintf(what, sizeof what, "%zu threads, %d jobs in flight", threads, WINDOW_MAX);
        compare(what, "k jobs/s", MORE_IS_BETTER, throughput,
                &(struct pool_setup){threads, WINDOW_MAX, 60 * WINDOW_MAX});
    }
    compare("1 thread, one job and its result", "us", LESS_IS_BETTER, round_trip,
            &(struct pool_setup){1, 1, 4000});
    compare("4 threads, one job and its result", "us", LESS_IS_BETTER, round_trip,
            &(struct pool_setup){4, 1, 4000});
}
