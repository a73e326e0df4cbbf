/* SPDX-License-Identifier: MIT
 *
 * locals.h: for tests of conc/local.h: values that count how often they were destroyed, and memory.
 */
#ifndef CONC_TESTS_LOCALS_H
#define CONC_TESTS_LOCALS_H

#include "base/atomic.h"
#include "base/hooks.h"
#include "support.h"

struct value {
    uint32_t number;
    uint32_t destroyed; /* how often; atomic */
};

static inline void destroy(void *arg)
{
    struct value *value = arg;
    fetch_add_relaxed(&value->destroyed, 1);
}

static inline uint32_t destroyed(const struct value *value)
{
    return load_relaxed(&value->destroyed);
}

static inline int32_t blocks(void) { return load_relaxed(&conc__hooks.allocated); }

/* Run fn(arg) in a thread, and wait for its end. */
static inline void in_thread(void (*fn)(void *arg), void *arg)
{
    struct test_thread t;
    test_thread_start(&t, NULL, fn, arg);
    test_thread_join(&t);
}

#endif
