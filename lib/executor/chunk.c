/* SPDX-License-Identifier: MIT
 *
 * chunk.c: several elements of a map as one job.
 *
 * Argument and result hold no pointers, so that the job works in another process too. The argument
 * is a struct chunk, and behind it the elements as future/value.h stores an argument, each at a
 * multiple of the strictest alignment. The result has an error for each element, then the values.
 * If the values are conc_bytes it has first their sizes, then their bytes: its size is not known
 * before, so the result is a conc_bytes itself.
 */
#include "executor/chunk.h"

#include <string.h>

#include "base/alloc.h"
#include "future/future_impl.h"

struct chunk {
    conc_fn *fn;
    size_t n, in_size, out_size;
    bool keep_going;
};

#define CHUNK_HEAD value_align_up(sizeof(struct chunk))

/* Elements: with fewer no sum of the sizes of their errors and lengths overflows. */
#define CHUNK_LENGTH_MAX (SIZE_MAX / 64)

/* Where the values begin, in the result. */
static size_t chunk_values_at(size_t n) { return value_align_up(n * sizeof(int)); }

/* Where the bytes begin, in a result with sizes. */
static size_t chunk_bytes_at(size_t n)
{
    return chunk_values_at(n) + value_align_up(n * sizeof(size_t));
}

/* ---- In the job ---- */

/* Run it as a job of its own would be: never begun after a cancellation, with no message of the
 * element before, and without scopes that this one left open. */
static int chunk_run_element(conc_fn *fn, void *arg, void *result)
{
    struct conc_context *self = context_self();
    conc_scope *scope = self->scope; /* the chunk's */
    if (scope && load_acquire(&scope->cancelled))
        return -ECANCELED;
    self->message_err = 0;
    int err = job_error(fn(arg, result));
    conc__scopes_set(self, scope);
    return err;
}

/* The argument at *at; *at becomes the place of the next. */
static void *chunk_next_arg(const struct chunk *c, char **at)
{
    void *arg = *at;
    if (c->in_size == CONC_BYTES)
        arg_repoint(arg);
    *at += value_align_up(c->in_size == CONC_BYTES ? BYTES_OFFSET + ((conc_bytes *)arg)->size
                                                   : c->in_size);
    return c->in_size ? arg : NULL;
}

static int chunk_run(void *arg, void *result)
{
    const struct chunk *c = arg;
    char *at = (char *)arg + CHUNK_HEAD, *out = (char *)result + chunk_values_at(c->n);
    int *errors = result;
    for (size_t i = 0; i < c->n; i++) {
        int err = chunk_run_element(c->fn, chunk_next_arg(c, &at),
                                    c->out_size ? out + i * value_align_up(c->out_size) : NULL);
        errors[i] = err;
        if (err && !c->keep_going)
            return err;
    }
    return 0;
}

/* Errors, sizes and bytes in one piece. */
static int chunk_join_bytes(conc_bytes *ret, const int *errors, const conc_bytes *values, size_t n)
{
    size_t size = chunk_bytes_at(n);
    for (size_t i = 0; i < n; i++)
        if (__builtin_add_overflow(size, values[i].size, &size))
            return -ENOMEM;
    int err = conc_bytes_new(ret, size);
    if (err)
        return err;
    memcpy(ret->data, errors, n * sizeof *errors);
    size_t *sizes = (size_t *)((char *)ret->data + chunk_values_at(n));
    char *to = (char *)ret->data + chunk_bytes_at(n);
    for (size_t i = 0; i < n; i++) {
        sizes[i] = values[i].size;
        if (sizes[i])
            memcpy(to, values[i].data, sizes[i]);
        to += sizes[i];
    }
    return 0;
}

/* 0, or the error of an element that ends the chunk. */
static int chunk_fill_values(const struct chunk *c, char *at, int *errors, conc_bytes *values)
{
    for (size_t i = 0; i < c->n; i++) {
        errors[i] = chunk_run_element(c->fn, chunk_next_arg(c, &at), &values[i]);
        if (!errors[i])
            continue;
        conc_bytes_free(&values[i]);
        if (!c->keep_going)
            return errors[i];
    }
    return 0;
}

static int chunk_run_bytes(void *arg, void *result)
{
    const struct chunk *c = arg;
    int err = -ENOMEM;
    int *errors = alloc_array(c->n, sizeof *errors);
    conc_bytes *values = alloc_array(c->n, sizeof *values);
    if (!errors || !values)
        goto out;
    err = chunk_fill_values(c, (char *)arg + CHUNK_HEAD, errors, values);
    if (err)
        goto out;
    err = chunk_join_bytes(result, errors, values, c->n);
out:
    for (size_t i = 0; values && i < c->n; i++)
        conc_bytes_free(&values[i]);
    free_bytes(values);
    free_bytes(errors);
    return err;
}

/* ---- For the map ---- */

/* How much room the job's argument takes; false: more memory than there can be. */
static bool chunk_room_for_args(const struct map *m, size_t first, size_t n, size_t *ret)
{
    const size_t stride = map_stride(m->in_size);
    size_t one = m->in_size, all = CHUNK_HEAD;
    for (size_t i = first; i < first + n; i++) {
        if (m->in_size == CONC_BYTES)
            one = arg_room(m->in + i * stride, m->in_size);
        if (one > SIZE_MAX / 4 || __builtin_add_overflow(all, value_align_up(one), &all))
            return false;
    }
    *ret = all;
    return true;
}

static bool chunk_room_for_values(const struct map *m, size_t n, size_t *ret)
{
    size_t values;
    if (m->out_size == CONC_BYTES) {
        *ret = CONC_BYTES;
        return true;
    }
    if (m->out_size > SIZE_MAX / 4 ||
        __builtin_mul_overflow(n, value_align_up(m->out_size), &values) || values > SIZE_MAX / 4)
        return false;
    *ret = chunk_values_at(n) + values;
    return true;
}

conc_future *conc__chunk_submit(conc_executor *executor, const struct map *m, size_t first,
                                size_t n)
{
    size_t room, values;
    if (n > CHUNK_LENGTH_MAX || !chunk_room_for_args(m, first, n, &room) ||
        !chunk_room_for_values(m, n, &values))
        return conc__future_no_memory();
    char *arg = alloc_bytes(room);
    if (!arg)
        return conc__future_no_memory();
    *(struct chunk *)arg = (struct chunk){m->fn, n, m->in_size, m->out_size, m->errors != NULL};
    char *to = arg + CHUNK_HEAD;
    for (size_t i = first; m->in_size && i < first + n; i++) {
        const char *from = m->in + i * map_stride(m->in_size);
        arg_store(to, from, m->in_size);
        to += value_align_up(arg_room(from, m->in_size));
    }
    conc_fn *fn = m->out_size == CONC_BYTES ? chunk_run_bytes : chunk_run;
    conc_future *f = conc_submit(executor, fn, arg, room, values);
    free_bytes(arg);
    return f;
}

/* Store values that are conc_bytes. */
static int chunk_store_bytes(const struct map *m, size_t first, size_t n, const char *value)
{
    const int *errors = (const int *)value;
    const size_t *sizes = (const size_t *)(value + chunk_values_at(n));
    const char *bytes = value + chunk_bytes_at(n);
    for (size_t i = 0; i < n; i++) {
        if (!errors[i] && conc_bytes_copy((conc_bytes *)m->out + first + i, bytes, sizes[i]))
            return -ENOMEM;
        bytes += sizes[i];
    }
    return 0;
}

int conc__chunk_store(const struct map *m, size_t first, size_t n, const void *value)
{
    if (m->out_size == CONC_BYTES) {
        value = ((const conc_bytes *)value)->data;
        int err = chunk_store_bytes(m, first, n, value);
        if (err)
            return err;
    }
    const int *errors = value;
    const char *values = (const char *)value + chunk_values_at(n);
    for (size_t i = 0; i < n; i++) {
        if (m->errors)
            m->errors[first + i] = errors[i];
        if (m->out_size && m->out_size != CONC_BYTES && !errors[i])
            memcpy(m->out + (first + i) * m->out_size, values + i * value_align_up(m->out_size),
                   m->out_size);
    }
    return 0;
}
