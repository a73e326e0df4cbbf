/* SPDX-License-Identifier: MIT
 *
 * hooks.c: see hooks.h. Compiled to nothing in the installed library.
 */
#include "base/hooks.h"

#include "base/atomic.h"
#include "base/clock.h"

#ifdef CONC_TEST_HOOKS

struct conc__hooks conc__hooks;

void conc__test_advance(int64_t ns)
{
    /* relaxed: only the time itself is communicated. */
    fetch_add_relaxed(&conc__hooks.clock_offset, ns);
}

void conc__test_stop_clock(bool stopped)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    /* relaxed: as above */
    store_relaxed(&conc__hooks.clock_stopped, stopped ? clock_ns(t) : 0);
}

bool conc__test_fails(int32_t *countdown)
{
    /* relaxed: which thread's call is the n-th is up to the scheduler anyway. */
    return load_relaxed(countdown) > 0 && fetch_add_relaxed(countdown, -1) == 1;
}

#else

typedef int conc__hooks_are_for_tests; /* ISO C wants a declaration in every file */

#endif
