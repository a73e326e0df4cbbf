/* SPDX-License-Identifier: MIT
 *
 * report.h: how an example tells of failures: one line on stderr that begins with the program's
 * name, and an exit status.
 */
#ifndef EXAMPLES_REPORT_H
#define EXAMPLES_REPORT_H

#include <conc/base.h>

enum {
    EXIT_USAGE = 2, /* the command line was wrong, as most programs have it */
};

/** Print "PROGRAM: ..." and a newline on stderr, whole even if several threads do so. */
void complain(const char *fmt, ...) CONC_PRINTF(1, 2);

/**
 * Failures that a program met on its way: the first one's message, and how many there were.
 * All-zero: none.
 */
struct failures {
    size_t count;
    char message[CONC_MESSAGE_MAX];
};

/**
 * Note a failure: an error that was just returned to the caller. It is told as by conc_describe().
 *
 * @param err  negative: noted; else ignored, so that any return value can be passed
 */
void failures_add(struct failures *failures, int err);

/**
 * Print one line if there were failures: the first one's message, and how many more there were;
 * or that stdout could not be written.
 *
 * @return the program's exit status: EXIT_SUCCESS or EXIT_FAILURE
 */
int failures_report(const struct failures *failures);

#endif
