/* SPDX-License-Identifier: MIT
 *
 * modes.h: the ways to ask many servers: the chapter's forms of add_data_from_sensors().
 */
#ifndef SENSORS_MODES_H
#define SENSORS_MODES_H

#include "points.h"

/** What came of a query. All-zero: nothing yet. */
struct outcome {
    int err; /* 0: there are data points */
    char message[CONC_MESSAGE_MAX];
    conc_bytes points; /* of struct data_point */
};

/** Note an error that was just returned, and its message. 0 is ignored. */
void outcome_fail(struct outcome *outcome, int err);

/**
 * Ask them all.
 *
 * @param queries   count of them
 * @param outcomes  room for as many, all-zero; filled in, for outcomes_free()
 * @param workers   how many threads, or processes, of a pool
 * @return 0: each query has its outcome; -ECANCELED: the caller was cancelled; an error of the way
 *         itself (no memory, no processes), with a message
 */
typedef int add_data_fn(const struct query *queries, size_t count, struct outcome *outcomes,
                        size_t workers);

struct mode {
    const char *name;
    add_data_fn *add_data_from_sensors;
    bool on_loop; /* it wants to be called in a task */
};

enum { MODES_COUNT = 6 };

extern const struct mode MODES[MODES_COUNT];

/** By its name; NULL: there is none. */
const struct mode *mode_find(const char *name);

void outcomes_free(struct outcome *outcomes, size_t count);

/** In nonblocking.c. */
add_data_fn add_data_nonblocking;

#endif
