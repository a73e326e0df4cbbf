/* SPDX-License-Identifier: MIT
 *
 * clock.h: what the library asks of time, beside conc_now().
 */
#ifndef CONC_LIB_CLOCK_H
#define CONC_LIB_CLOCK_H

#include <time.h>

#include <conc/base.h>

/* A time that is a few milliseconds old but costs very little to read: to note since when something
 * is so. */
int64_t conc__coarse_now(void);

/* The deadline as a point on the kernel's CLOCK_MONOTONIC (tests may have moved ours). */
struct timespec conc__kernel_time(conc_deadline deadline);

/* Until when to sleep at most for that deadline. In tests the clock may be moved during the sleep,
 * so there every sleep is short, and the caller looks again. */
conc_deadline conc__sleep_limit(conc_deadline deadline);

/* A length of time, or a point in time, of at least 0, as the system's calls want it. */
static inline struct timespec clock_timespec(int64_t ns)
{
    return (struct timespec){.tv_sec = ns / CONC_S(1), .tv_nsec = ns % CONC_S(1)};
}

static inline int64_t clock_ns(struct timespec t) { return t.tv_sec * CONC_S(1) + t.tv_nsec; }

static inline bool deadline_is_now(conc_deadline d) { return d.ns == 0; }
static inline bool deadline_is_forever(conc_deadline d) { return d.ns == INT64_MAX; }

/* Has the deadline, which is not CONC_FOREVER, come? Asks the cheap clock first. */
bool conc__deadline_is_past(conc_deadline deadline);

static inline conc_deadline deadline_earlier(conc_deadline a, conc_deadline b)
{
    return a.ns < b.ns ? a : b;
}

#endif
