/* SPDX-License-Identifier: MIT
 *
 * map.c: one job over an array.
 *
 * How: the array is cut into chunks, each chunk is one job, all are submitted, and their results
 * are taken in order. Only the caller writes to the caller's arrays, from the results, so no job
 * has a pointer to them when the caller leaves early. A chunk of one element is a job that runs fn
 * itself; a larger one is a job of chunk.c.
 *
 * Submitting may wait (for room in a bounded queue) or run the jobs (inline): so it happens in a
 * scope with the map's deadline, and ends when a call in it was told that the scope has ended.
 */
#include "executor/chunk.h"

#include <string.h>

#include "base/alloc.h"
#include "future/future_impl.h"

static size_t map_chunk_length(const struct map *m, size_t first)
{
    return m->n - first < m->chunk ? m->n - first : m->chunk;
}

static conc_future *map_submit_chunk(conc_executor *executor, const struct map *m, size_t first)
{
    const size_t n = map_chunk_length(m, first);
    if (m->chunk > 1)
        return conc__chunk_submit(executor, m, first, n);
    return conc_submit(executor, m->fn, m->in_size ? m->in + first * map_stride(m->in_size) : NULL,
                       m->in_size, m->out_size);
}

/* Store the results of a chunk that is done. 0; -ENOMEM, for a copy. */
static int map_store_results(const struct map *m, size_t first, conc_future *f)
{
    if (m->chunk > 1)
        return conc__chunk_store(m, first, map_chunk_length(m, first), conc_future_value(f));
    return m->out_size ? conc__future_copy_value(f, m->out + first * map_stride(m->out_size)) : 0;
}

/* Wait for the chunk that begins at `first`, and store its results. An error ends the map. */
static int map_collect(const struct map *m, size_t first, conc_future *f, conc_deadline deadline)
{
    int err = conc_future_wait(f, deadline);
    if (err)
        return err;
    const int end = conc_future_result(f, NULL, CONC_NOW);
    err = end ? 0 : map_store_results(m, first, f);
    if (err)
        return err;
    if (!m->errors)
        return end;
    /* A chunk of one that succeeded, or a whole chunk that failed or was refused: */
    if (end || m->chunk == 1)
        for (size_t i = 0; i < map_chunk_length(m, first); i++)
            m->errors[first + i] = end;
    return 0;
}

/* *submitted: how many chunks were. -ETIMEDOUT, -EAGAIN, -ECANCELED: it took too long. */
static int map_submit_all(conc_executor *executor, const struct map *m, conc_future **futures,
                          size_t chunks, size_t *submitted, conc_deadline deadline)
{
    conc_scope scope;
    conc_scope_enter(&scope, deadline);
    conc_scope *entered __attribute__((cleanup(conc__scope_abandon))) = &scope;
    size_t i = 0;
    while (i < chunks && !scope.reported) {
        futures[i] = map_submit_chunk(executor, m, i * m->chunk);
        i++;
    }
    *submitted = i;
    entered = NULL;
    int err = conc_scope_exit(&scope);
    return err == -ETIMEDOUT && deadline_is_now(deadline) ? -EAGAIN : err;
}

/* Take the results of the chunks that were submitted, with `err`. Returns that, or the first error.
 * After an error the rest is not waited for, but what is done is stored, if errors are. */
static int map_collect_all(const struct map *m, conc_future *const *futures, size_t submitted,
                           int err, conc_deadline deadline)
{
    for (size_t i = 0; i < submitted; i++) {
        if (err && !m->errors)
            return err;
        int end = map_collect(m, i * m->chunk, futures[i], err ? CONC_NOW : deadline);
        if (!err)
            err = end;
    }
    return err;
}

static int map_run(conc_executor *executor, const struct map *m, conc_deadline deadline)
{
    if (m->out_size == CONC_BYTES)
        memset(m->out, 0, m->n * sizeof(conc_bytes));
    size_t chunks = m->n / m->chunk + (m->n % m->chunk != 0);
    conc_future **futures = alloc_array(chunks, sizeof *futures);
    if (!futures)
        return -ENOMEM;
    for (size_t i = 0; m->errors && i < m->n; i++)
        m->errors[i] = -ECANCELED;
    size_t submitted;
    int err = map_submit_all(executor, m, futures, chunks, &submitted, deadline);
    err = map_collect_all(m, futures, submitted, err, deadline);
    for (size_t i = 0; i < submitted; i++) {
        if (err)
            conc__future_abandon(futures[i]);
        conc_future_unref(futures[i]);
    }
    free_bytes(futures);
    return err;
}

int conc_map(conc_executor *executor, conc_fn *fn, const void *in, size_t n, size_t in_size,
             void *out, size_t out_size, const conc_map_options *options, conc_deadline deadline)
{
    if (!executor || !fn || args_are_missing(in, n, in_size) || (n && out_size && !out))
        return -EINVAL;
    const struct map m = {.fn = fn,
                          .in = in,
                          .n = n,
                          .in_size = in_size,
                          .out = out,
                          .out_size = out_size,
                          .chunk = options && options->chunk ? options->chunk : 1,
                          .errors = options ? options->errors : NULL};
    return n ? map_run(executor, &m, deadline) : 0;
}
