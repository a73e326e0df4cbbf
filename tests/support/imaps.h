/* SPDX-License-Identifier: MIT
 *
 * imaps.h: for the tests of conc_imap: the kinds of executors, sources, jobs that wait, and what is
 * expected of an iterator.
 */
#ifndef CONC_TESTS_IMAPS_H
#define CONC_TESTS_IMAPS_H

#include "executors.h"

#include <stdatomic.h>
#include <stdlib.h>

#include <conc/imap.h>
#include <conc/process.h>
#include <conc/process_pool.h>

enum { N = 23 };

#define SOON conc_in(CONC_MS(20))

/* A case that executors.h has not: two processes. */
static inline int processes_setup(void **state)
{
    static const struct executor_case processes = {
        .name = "processes", .kind = EXECUTOR_KINDS, .workers = 2, .queue = SIZE_MAX};
    struct executor_case *c = malloc(sizeof *c);
    *c = processes;
    leaks_setup(state);
    *state = c;
    return conc_process_pool_new(&c->executor, c->workers, NULL);
}

#define ON_PROCESSES(test)                                                  \
    {                                                                       \
#test "__processes", test, processes_setup, executor_teardown, NULL \
    }

/* With an iterator in both orders. */
#define FOR_BOTH_ORDERS(options) for (int u_ = 0; u_ < 2 && ((options)->unordered = u_, true); u_++)

/* Once for each kind in which jobs run beside each other, and beside their submitter. */
#define ON_CONCURRENT_EXECUTORS(test)                                                     \
    ON_EXECUTOR(test, THREAD_PER_JOB, "thread_per_job"),                                  \
        ON_EXECUTOR(test, POOL_OF_4, "pool_of_4"),                                        \
        ON_EXECUTOR(test, BOUNDED_POOL, "bounded_pool"), ON_EXECUTOR(test, LOOP, "loop"), \
        ON_EXECUTOR(test, LOOP_POOL, "loop_pool")

/* Once for each kind that does not run them in conc_submit(). */
#define ON_EXECUTORS_BESIDE(test)                                             \
    ON_CONCURRENT_EXECUTORS(test), ON_EXECUTOR(test, POOL_OF_1, "pool_of_1"), \
        ON_EXECUTOR(test, LIFO, "lifo")

static inline conc_imap *imap_of(const struct executor_case *c, conc_fn *fn, const void *in,
                                 size_t n, size_t in_size, const conc_imap_options *options)
{
    conc_imap *imap = NULL;
    CHECK_EQUAL(conc_imap_new(&imap, c->executor, fn, in, n, in_size, sizeof(int), options), 0);
    return imap;
}

static inline void fill(int *in, size_t n)
{
    for (size_t i = 0; i < n; i++)
        in[i] = (int)i + 1;
}

/* The next one; it must have succeeded. */
static inline conc_imap_item take(conc_imap *imap, int *out, conc_deadline deadline)
{
    conc_imap_item item = {99, 99};
    assert_int_equal(conc_imap_next(imap, out, &item, deadline), 1);
    assert_int_equal(item.error, 0);
    return item;
}

static inline void expect_end(conc_imap *imap)
{
    conc_imap_item item = {99, 99};
    int out = 99;
    assert_int_equal(conc_imap_next(imap, &out, &item, CONC_FOREVER), 0);
    assert_int_equal(conc_imap_next(imap, &out, NULL, CONC_NOW), 0);
    assert_true(item.index == 99 && item.error == 99 && out == 99);
    conc_imap_free(imap);
}

/* ---- Sources ---- */

/* Gives 1, 2 ... last, and then returns `end` (with a message, if it is an error). */
struct source {
    int last, end;
    int asked, given;
    bool over;
};

static inline int next_number(void *item, void *arg)
{
    struct source *s = arg;
    CHECK(!s->over); /* it is not asked again */
    CHECK_EQUAL(*(int *)item, 0);
    s->asked++;
    if (s->given < s->last) {
        *(int *)item = ++s->given;
        return 1;
    }
    s->over = true;
    return s->end < 0 ? conc_raise(s->end, "dry after %d", s->given) : s->end;
}

static inline conc_imap *imap_from(const struct executor_case *c, conc_fn *fn,
                                   struct source *source, conc_imap_options options)
{
    options.next = next_number;
    options.arg = source;
    return imap_of(c, fn, NULL, 0, sizeof(int), &options);
}

/* Squares of 1 ... n, in order or each once. */
static inline void expect_squares(conc_imap *imap, size_t n, bool unordered)
{
    bool seen[N] = {false};
    for (size_t i = 0; i < n; i++) {
        int out = 0;
        const conc_imap_item item = take(imap, &out, CONC_FOREVER);
        assert_true(unordered ? item.index < n && !seen[item.index] : item.index == i);
        seen[item.index] = true;
        assert_int_equal(out, (item.index + 1) * (item.index + 1));
    }
    expect_end(imap);
}

/* ---- Jobs ---- */

static inline int job_turn_round(void *arg, void *result)
{
    const conc_bytes *in = arg;
    conc_bytes *out = result;
    int err = conc_bytes_new(out, in->size);
    for (size_t i = 0; !err && i < in->size; i++)
        ((char *)out->data)[i] = ((const char *)in->data)[in->size - 1 - i];
    return err;
}

/* Jobs that end when their gates are opened; up to four run at once. */
struct gated {
    struct gate gates[4];
    struct gate *in[4];
    size_t n;
    conc_imap *imap;
};

static inline void gated_begin(struct gated *g, const struct executor_case *c, bool unordered)
{
    *g = (struct gated){.n = c->workers < 4 ? c->workers : 4};
    for (size_t i = 0; i < g->n; i++)
        g->in[i] = &g->gates[i];
    const conc_imap_options options = {.unordered = unordered};
    g->imap = imap_of(c, job_gate, g->in, g->n, sizeof *g->in, &options);
    for (size_t i = 0; i < g->n; i++)
        gate_entered(&g->gates[i]);
}

static conc_event all_may_end;
static atomic_int begun;

static inline int job_wait_and_square(void *arg, void *result)
{
    begun++;
    int err = conc_event_wait(&all_may_end, CONC_FOREVER);
    return err ? err : job_square(arg, result);
}

/* ---- The program ---- */

#define IMAP_TEST_MAIN(tests, seconds)                                                          \
    int main(void)                                                                              \
    {                                                                                           \
        watchdog_start(seconds);                                                                \
        int failed =                                                                            \
            conc_process_prepare(); /* its descriptor stays: so before the first test counts */ \
        if (!failed)                                                                            \
            failed = cmocka_run_group_tests(tests, NULL, NULL);                                 \
        watchdog_stop();                                                                        \
        return failed;                                                                          \
    }

#endif
