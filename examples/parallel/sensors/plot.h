/* SPDX-License-Identifier: MIT
 *
 * plot.h: Figure 7-9 as a picture.
 */
#ifndef SENSORS_PLOT_H
#define SENSORS_PLOT_H

#include "measure.h"
#include "modes.h"

enum { COUNTS_MAX = 16 };

/** What was measured: costs[mode][count]. */
struct table {
    int64_t counts[COUNTS_MAX];
    size_t counts_used;
    int64_t latency; /* nanoseconds */
    struct cost costs[MODES_COUNT][COUNTS_MAX];
};

/**
 * Draw the table as BASE.svg and BASE.png, by gnuplot.
 *
 * @return 0; -ENOPKG: there is no gnuplot; what gnuplot and the files' writing tell. With a
 * message.
 *
 * Called from: any thread or task. Blocks: yes. Cancellation point: yes.
 */
int plot(const struct table *table, const char *base);

#endif
