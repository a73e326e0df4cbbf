/* SPDX-License-Identifier: MIT
 *
 * chunk.h: several elements of a map as one job.
 */
#ifndef CONC_LIB_CHUNK_H
#define CONC_LIB_CHUNK_H

#include <conc/executor.h>

struct map {
    conc_fn *fn;
    const char *in;
    size_t n, in_size;
    char *out;
    size_t out_size;
    size_t chunk; /* how many elements one job takes */
    int *errors;  /* NULL: the first error ends the map */
};

/* How far apart values of that size lie in the caller's array. */
static inline size_t map_stride(size_t size)
{
    return size == CONC_BYTES ? sizeof(conc_bytes) : size;
}

/* The job for n elements, which begin at `first`. */
conc_future *conc__chunk_submit(conc_executor *executor, const struct map *m, size_t first,
                                size_t n);

/* Store the results of that job, whose conc_future_value() is `value`. 0; -ENOMEM, for a copy. */
int conc__chunk_store(const struct map *m, size_t first, size_t n, const void *value);

#endif
