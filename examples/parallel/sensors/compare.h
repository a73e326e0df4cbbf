/* SPDX-License-Identifier: MIT
 *
 * compare.h: Figure 7-9: each mode, with 1, 2, 5 ... servers: its time, and what it costs.
 */
#ifndef SENSORS_COMPARE_H
#define SENSORS_COMPARE_H

#include <stdint.h>

struct comparison {
    const char *counts;  /* how many servers: "1,2,5" */
    int64_t latency;     /* of their answers; nanoseconds */
    const char *picture; /* the picture's name without .svg and .png; NULL: none */
};

/** Compare, and print the table. @return the program's exit status */
int compare(const struct comparison *comparison);

#endif
