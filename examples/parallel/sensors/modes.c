/* SPDX-License-Identifier: MIT
 *
 * modes.c: one job, get_data_points(), in five ways: called in a loop, in threads that return it
 * via a queue, in a pool of threads, in one of processes, as tasks. (The sixth, nonblocking.c, has
 * to take it apart.)
 *
 * Watch: the last three are one function, add_data_by(); they differ in the executor that it gets.
 */
#include "modes.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    /* A task's stack, which is address space, not memory: jansson writes nested values by
     * recursion, up to 2048 deep, and the usual 256 KiB would not bear that. */
    TASK_STACK = 2 << 20,
};

void outcome_fail(struct outcome *outcome, int err)
{
    if (!err)
        return;
    outcome->err = err;
    snprintf(outcome->message, sizeof outcome->message, "%s", conc_describe(err));
}

void outcomes_free(struct outcome *outcomes, size_t count)
{
    for (size_t i = 0; i < count; i++)
        conc_bytes_free(&outcomes[i].points);
    free(outcomes);
}

/* ---- One after another ---- */

static int add_data_sequential(const struct query *queries, size_t count, struct outcome *outcomes,
                               size_t workers)
{
    for (size_t i = 0; i < count && !conc_is_cancelled(); i++) {
        struct query query = queries[i];

        outcome_fail(&outcomes[i], get_data_points(&query, &outcomes[i].points));
    }
    return conc_check_cancel();
}

/* ---- Threads ---- */

/* What a thread puts into the queue: whose points, and the points. */
struct found {
    size_t number;
    conc_bytes points;
};

struct wrap {
    conc_queue *queue; /* of struct found */
    conc_fn *function;
    const struct query *query;
    size_t number;
};

/* What runs in the thread: the function, and its result into the queue (exercise 7-1). An error is
 * not put there: the join returns it. */
static int return_via_queue(void *arg, void *result)
{
    struct wrap *wrap = arg;
    struct query query = *wrap->query;
    struct found found = {.number = wrap->number};
    int err = wrap->function(&query, &found.points);

    if (!err)
        err = conc_queue_put(wrap->queue, &found, CONC_FOREVER);
    if (err)
        conc_bytes_free(&found.points);
    return err;
}

static void drop_found(void *item, void *arg) { conc_bytes_free(&((struct found *)item)->points); }

/* Wait for all threads to finish; when the caller is cancelled they are too. */
static int join_all(conc_thread **threads, size_t count, struct outcome *outcomes)
{
    conc_scope shield;

    for (size_t i = 0; i < count; i++)
        conc_future_wait(conc_thread_future(threads[i]), CONC_FOREVER);
    if (conc_is_cancelled())
        for (size_t i = 0; i < count; i++)
            conc_thread_cancel(threads[i]);
    conc_shield_enter(&shield);
    for (size_t i = 0; i < count; i++) {
        outcome_fail(&outcomes[i], conc_thread_join(threads[i], NULL, CONC_FOREVER));
        conc_thread_free(threads[i]);
    }
    conc_shield_exit(&shield);
    return conc_check_cancel();
}

static int add_data_threads(const struct query *queries, size_t count, struct outcome *outcomes,
                            size_t workers)
{
    const conc_thread_options options = {.name = "sensors"};
    conc_thread **threads = calloc(count, sizeof *threads);
    struct found found;
    conc_queue q;
    size_t started = 0;
    int err = threads == NULL ? conc_raise(-ENOMEM, "out of memory") : 0;

    if (!err)
        err = conc_queue_init(&q, sizeof(struct found), 0, CONC_FIFO);
    if (err) {
        free(threads);
        return err;
    }
    conc_queue_on_drop(&q, drop_found, NULL);
    for (; started < count; started++) {
        const struct wrap wrap = {&q, get_data_points, &queries[started], started};

        err = conc_thread_start(&threads[started], return_via_queue, &wrap, sizeof wrap, &options);
        if (err)
            break;
    }
    for (size_t i = started; i < count; i++) /* no thread for these */
        outcome_fail(&outcomes[i], err);
    err = join_all(threads, started, outcomes);
    while (conc_queue_get(&q, &found, CONC_NOW) == 0)
        outcomes[found.number].points = found.points;
    conc_queue_destroy(&q);
    free(threads);
    return err;
}

/* ---- Executors ---- */

/* All futures' results. When the caller is cancelled, so are they; a process that has begun is not
 * asked, but killed. */
static int handle_results(conc_executor *executor, conc_future **futures, size_t count,
                          struct outcome *outcomes)
{
    conc_scope shield;

    for (size_t i = 0; i < count; i++)
        conc_future_wait(futures[i], CONC_FOREVER);
    if (conc_is_cancelled()) {
        for (size_t i = 0; i < count; i++)
            conc_future_cancel(futures[i]);
        if (executor != NULL)
            conc_process_pool_kill_workers(executor); /* others are no such pool: -EINVAL */
    }
    conc_shield_enter(&shield);
    for (size_t i = 0; i < count; i++) {
        outcome_fail(&outcomes[i],
                     conc_future_result(futures[i], &outcomes[i].points, CONC_FOREVER));
        conc_future_unref(futures[i]);
    }
    conc_shield_exit(&shield);
    return conc_check_cancel();
}

/* with ...PoolExecutor() as pool: the executor is freed in the end. NULL: the caller is a task, and
 * makes others. */
static int add_data_by(conc_executor *pool, const struct query *queries, size_t count,
                       struct outcome *outcomes)
{
    const conc_task_options options = {.stack_size = TASK_STACK};
    conc_future **futures = calloc(count, sizeof(conc_future *));
    int err = futures == NULL ? conc_raise(-ENOMEM, "out of memory") : 0;

    for (size_t i = 0; !err && i < count; i++)
        futures[i] = pool != NULL ? conc_submit(pool, get_data_points, &queries[i],
                                                sizeof queries[i], CONC_BYTES)
                                  : conc_task_start(NULL, get_data_points, &queries[i],
                                                    sizeof queries[i], CONC_BYTES, &options);
    if (!err)
        err = handle_results(pool, futures, count, outcomes);
    free(futures);
    conc_executor_free(pool);
    return err;
}

static int add_data_pool(const struct query *queries, size_t count, struct outcome *outcomes,
                         size_t workers)
{
    conc_executor *pool;
    int err = conc_thread_pool_new(&pool, workers, NULL);

    return err ? err : add_data_by(pool, queries, count, outcomes);
}

static int add_data_processes(const struct query *queries, size_t count, struct outcome *outcomes,
                              size_t workers)
{
    conc_executor *pool;
    int err = conc_process_pool_new(&pool, workers, NULL);

    return err ? err : add_data_by(pool, queries, count, outcomes);
}

static int add_data_tasks(const struct query *queries, size_t count, struct outcome *outcomes,
                          size_t workers)
{
    return add_data_by(NULL, queries, count, outcomes);
}

/* ---- Their names ---- */

const struct mode MODES[MODES_COUNT] = {
    {"sequential", add_data_sequential, false}, {"nonblocking", add_data_nonblocking, false},
    {"threads", add_data_threads, false},       {"pool", add_data_pool, false},
    {"processes", add_data_processes, false},   {"tasks", add_data_tasks, true},
};

const struct mode *mode_find(const char *name)
{
    for (size_t i = 0; i < MODES_COUNT; i++)
        if (strcmp(MODES[i].name, name) == 0)
            return &MODES[i];
    return NULL;
}
