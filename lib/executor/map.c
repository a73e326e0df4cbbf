/* SPDX-License-Identifier: MIT
 *
 * map.c: one job over an array.
 *
 * How: the array is cut into chunks, each chunk is one job, all are submitted, and their results
 * are taken in order. Only the caller writes to the caller's arrays, from the results, so nothing
 * dangles when it leaves early. A chunk of one is the job itself; a larger one is a job of ours
 * (run_chunk), whose argument carries the elements and whose result carries an error and a value
 * for each. All of it is values, so that it works in another process too.
 *
 * Submitting may wait (for room in a bounded queue) or run the jobs (inline): so it stands in a
 * scope with the map's deadline, and ends when a call in it was told that it is over.
 */
#include <conc/executor.h>

#include <string.h>

#include "base/alloc.h"
#include "future/future_impl.h"

struct map {
    conc_fn *fn;
    const char *in;
    size_t n, in_size;
    char *out;
    size_t out_size;
    size_t chunk;
    int *errors; /* NULL: the first error ends it */
};

/* ---- A chunk of several elements ---- */

/* Its argument: this, then the elements. Its result: an error for each, then the values. */
struct chunk {
    conc_fn *fn;
    size_t n, in_size, out_size;
    bool keep_going;
};

static size_t up(size_t size, size_t to) { return (size + to - 1) / to * to; }

#define ALIGN _Alignof(max_align_t)

static size_t chunk_in_stride(size_t in_size) { return up(in_size, ALIGN); }
static size_t chunk_values(size_t n) { return up(n * sizeof(int), ALIGN); }

/* As a job of its own would be: never begun after a cancellation, with no message of the one
 * before, nor scopes that it left open. */
static int run_element(conc_fn *fn, void *arg, void *result)
{
    struct conc_context *self = context_self();
    conc_scope *scope = self->scope; /* the chunk's */
    if (scope && load_acquire(&scope->cancelled))
        return -ECANCELED;
    self->message_err = 0;
    int err = fn(arg, result);
    self->scope = scope;
    return err <= 0
               ? err
               : conc_raise(-EINVAL, "the job returned %d; it must be 0 or a negative error", err);
}

static int run_chunk(void *arg, void *result)
{
    const struct chunk *c = arg;
    char *in = (char *)arg + up(sizeof *c, ALIGN);
    int *errors = result;
    char *out = (char *)result + chunk_values(c->n);
    for (size_t i = 0; i < c->n; i++) {
        int err = run_element(c->fn, c->in_size ? in + i * chunk_in_stride(c->in_size) : NULL,
                              c->out_size ? out + i * up(c->out_size, ALIGN) : NULL);
        errors[i] = err;
        if (err && !c->keep_going)
            return err;
    }
    return 0;
}

static conc_future *submit_chunk(conc_executor *executor, const struct map *m, size_t first,
                                 size_t n)
{
    size_t head = up(sizeof(struct chunk), ALIGN), stride = chunk_in_stride(m->in_size), body,
           values;
    if (__builtin_mul_overflow(n, stride, &body) || body > SIZE_MAX / 2 ||
        __builtin_mul_overflow(n, up(m->out_size, ALIGN) + sizeof(int), &values) ||
        values > SIZE_MAX / 4)
        return conc__future_no_memory();
    char *arg = alloc_bytes(head + body);
    if (!arg)
        return conc__future_no_memory();
    *(struct chunk *)arg = (struct chunk){m->fn, n, m->in_size, m->out_size, m->errors != NULL};
    for (size_t i = 0; m->in_size && i < n; i++)
        memcpy(arg + head + i * stride, m->in + (first + i) * m->in_size, m->in_size);
    conc_future *f = conc_submit(executor, run_chunk, arg, head + body,
                                 chunk_values(n) + n * up(m->out_size, ALIGN));
    free_bytes(arg);
    return f;
}

/* ---- The whole ---- */

static size_t chunk_length(const struct map *m, size_t first)
{
    return m->n - first < m->chunk ? m->n - first : m->chunk;
}

static conc_future *submit(conc_executor *executor, const struct map *m, size_t first)
{
    if (m->chunk == 1)
        return conc_submit(executor, m->fn, m->in_size ? m->in + first * m->in_size : NULL,
                           m->in_size, m->out_size);
    return submit_chunk(executor, m, first, chunk_length(m, first));
}

/* Of a chunk that is done. */
static void store_results(const struct map *m, size_t first, conc_future *f)
{
    const char *value = conc_future_value(f);
    const size_t n = chunk_length(m, first);
    if (m->chunk == 1) {
        if (value)
            memcpy(m->out + first * m->out_size, value, m->out_size);
        return;
    }
    const int *errors = (const int *)value;
    value += chunk_values(n);
    for (size_t i = 0; i < n; i++) {
        if (m->errors)
            m->errors[first + i] = errors[i];
        if (m->out_size && !errors[i])
            memcpy(m->out + (first + i) * m->out_size, value + i * up(m->out_size, ALIGN),
                   m->out_size);
    }
}

/* Wait for the chunk that begins at `first`, and store what it gave. An error ends the map. */
static int collect(const struct map *m, size_t first, conc_future *f, conc_deadline deadline)
{
    int err = conc_future_wait(f, deadline);
    if (err)
        return err;
    err = conc_future_result(f, NULL, CONC_NOW);
    if (!err)
        store_results(m, first, f);
    if (!m->errors)
        return err;
    /* A chunk of one that succeeded, or a whole chunk that failed or was refused: */
    if (err || m->chunk == 1)
        for (size_t i = 0; i < chunk_length(m, first); i++)
            m->errors[first + i] = err;
    return 0;
}

/* *submitted: how many chunks were. -ETIMEDOUT, -EAGAIN, -ECANCELED: it took too long. */
static int submit_all(conc_executor *executor, const struct map *m, conc_future **futures,
                      size_t chunks, size_t *submitted, conc_deadline deadline)
{
    conc_scope scope;
    conc_scope_enter(&scope, deadline);
    size_t i = 0;
    while (i < chunks && !scope.told) {
        futures[i] = submit(executor, m, i * m->chunk);
        i++;
    }
    *submitted = i;
    int err = conc_scope_exit(&scope);
    return err == -ETIMEDOUT && deadline_is_now(deadline) ? -EAGAIN : err;
}

static int run_map(conc_executor *executor, const struct map *m, conc_deadline deadline)
{
    size_t chunks = m->n / m->chunk + (m->n % m->chunk != 0);
    conc_future **futures = alloc_array(chunks, sizeof *futures);
    if (!futures)
        return -ENOMEM;
    for (size_t i = 0; m->errors && i < m->n; i++)
        m->errors[i] = -ECANCELED;
    size_t submitted;
    int err = submit_all(executor, m, futures, chunks, &submitted, deadline);
    for (size_t i = 0; i < submitted && (!err || m->errors); i++) {
        /* The wait is over: those that are done are stored all the same, if their errors are. */
        int end = collect(m, i * m->chunk, futures[i], err ? CONC_NOW : deadline);
        err = err ? err : end;
    }
    for (size_t i = 0; i < submitted; i++) {
        if (err)
            conc__future_abandon(futures[i]);
        conc_future_unref(futures[i]);
    }
    free_bytes(futures);
    return err;
}

int conc_map_with(conc_executor *executor, conc_fn *fn, const void *in, size_t n, size_t in_size,
                  void *out, size_t out_size, const conc_map_options *options,
                  conc_deadline deadline)
{
    if (!executor || !fn || (n && in_size && !in) || (n && out_size && !out))
        return -EINVAL;
    struct map m = {fn, in, n, in_size, out, out_size, 1, NULL};
    if (options && options->chunk)
        m.chunk = options->chunk;
    if (options)
        m.errors = options->errors;
    return n ? run_map(executor, &m, deadline) : 0;
}

int conc_map(conc_executor *executor, conc_fn *fn, const void *in, size_t n, size_t in_size,
             void *out, size_t out_size, conc_deadline deadline)
{
    return conc_map_with(executor, fn, in, n, in_size, out, out_size, NULL, deadline);
}
