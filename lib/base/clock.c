/* SPDX-License-Identifier: MIT
 *
 * clock.c: CLOCK_MONOTONIC in nanoseconds, and deadlines on it.
 *
 * 0 is CONC_NOW and INT64_MAX is CONC_FOREVER; every other deadline is clamped between, so that a
 * time in the past is never mistaken for CONC_NOW (the first gives -ETIMEDOUT, the second -EAGAIN).
 */
#include "base/clock.h"

#include "base/atomic.h"
#include "base/hooks.h"

static int64_t clock_offset(void)
{
#ifdef CONC_TEST_HOOKS
    /* relaxed: only the time itself is communicated. */
    return load_relaxed(&conc__hooks.clock_offset);
#else
    return 0;
#endif
}

static int64_t clock_read(clockid_t id)
{
    struct timespec t;
#ifdef CONC_TEST_HOOKS
    int64_t stopped = load_relaxed(&conc__hooks.clock_stopped); /* relaxed: as above */
    if (stopped)
        return stopped + clock_offset();
#endif
    clock_gettime(id, &t); /* cannot fail for these clocks */
    return clock_ns(t) + clock_offset();
}

int64_t conc_now(void) { return clock_read(CLOCK_MONOTONIC); }

int64_t conc__coarse_now(void) { return clock_read(CLOCK_MONOTONIC_COARSE); }

/* The cheap clock is behind by up to a tick of the kernel's, which is 10 ms long at most. */
#define COARSE_LAG CONC_MS(20)

bool conc__deadline_is_past(conc_deadline deadline)
{
    return deadline.ns - conc__coarse_now() < COARSE_LAG && deadline.ns <= conc_now();
}

conc_deadline conc_at(int64_t ns)
{
    conc_deadline d = {ns > 0 ? ns : 1};
    return d;
}

conc_deadline conc_in(int64_t ns)
{
    int64_t at;
    if (__builtin_add_overflow(conc_now(), ns, &at))
        at = ns > 0 ? INT64_MAX : 1;
    return conc_at(at);
}

int64_t conc_remaining(conc_deadline deadline)
{
    if (deadline_is_forever(deadline))
        return INT64_MAX;
    int64_t left = deadline_is_now(deadline) ? 0 : deadline.ns - conc_now();
    return left > 0 ? left : 0;
}

struct timespec conc__kernel_time(conc_deadline deadline)
{
    int64_t ns = deadline.ns - clock_offset();
    return clock_timespec(ns > 0 ? ns : 0);
}

conc_deadline conc__sleep_limit(conc_deadline deadline)
{
#ifdef CONC_TEST_HOOKS
    /* relaxed: set before any context sleeps */
    bool sound = load_relaxed(&conc__hooks.sound_sleep);
    return sound ? deadline : deadline_earlier(deadline, conc_in(CONC_MS(2)));
#else
    return deadline;
#endif
}
