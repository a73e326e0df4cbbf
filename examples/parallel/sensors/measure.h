/* SPDX-License-Identifier: MIT
 *
 * measure.h: what a run of this program costs.
 */
#ifndef SENSORS_MEASURE_H
#define SENSORS_MEASURE_H

#include <limits.h>
#include <stdint.h>

#include <conc/base.h>

/** A run: `count` times the same server, into an SQLite file. */
struct order {
    char mode[16], url[128], file[PATH_MAX];
    int64_t count, timeout; /* nanoseconds */
};

struct cost {
    double wall, cpu; /* seconds, from start to end; the processor's, of all its processes */
    double mib;       /* the most memory that all its processes have had at a time */
};

/**
 * A conc_fn: run the program, and measure it. To be run in a process of its own, whose children are
 * all counted.
 *
 * @param arg     a struct order
 * @param result  a struct cost
 * @return 0; -EIO: the run has failed, with its own message; what fork() and others tell
 */
int measure(void *arg, void *result);

#endif
