/* SPDX-License-Identifier: MIT
 *
 * alloc.h: memory. Every allocation of the library comes from here, and each caller handles its
 * failure.
 */
#ifndef CONC_LIB_ALLOC_H
#define CONC_LIB_ALLOC_H

#include <stddef.h>
#include <stdlib.h>

#include "base/atomic.h"
#include "base/hooks.h"

/* Tests count the blocks that are allocated. */
static inline void *alloc_count_block(void *p)
{
#ifdef CONC_TEST_HOOKS
    if (p)
        fetch_add_relaxed(&conc__hooks.allocated, 1);
#endif
    return p;
}

static inline void *alloc_bytes(size_t size)
{
#ifdef CONC_TEST_HOOKS
    if (conc__test_fails(&conc__hooks.fail_alloc_in))
        return NULL;
#endif
    return alloc_count_block(malloc(size));
}

/* Zeroed room for n elements; NULL also if n * size overflows. */
static inline void *alloc_array(size_t n, size_t size)
{
#ifdef CONC_TEST_HOOKS
    if (conc__test_fails(&conc__hooks.fail_alloc_in))
        return NULL;
#endif
    return alloc_count_block(calloc(n, size));
}

static inline void free_bytes(void *p)
{
#ifdef CONC_TEST_HOOKS
    if (p)
        fetch_add_relaxed(&conc__hooks.allocated, -1);
#endif
    free(p);
}

#define alloc_one(type) ((type *)alloc_array(1, sizeof(type)))

#endif
