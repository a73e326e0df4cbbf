/* SPDX-License-Identifier: MIT
 *
 * report.c: one line on stderr for what went wrong.
 *
 * A line is put together first and written with one call: stderr has no buffer, so that the pieces
 * of two threads' lines would mix otherwise.
 */
#include "support/report.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    LINE_MAX_BYTES = 1024, /* of a line on stderr; a longer one is cut */
};

void complain(const char *fmt, ...)
{
    char text[LINE_MAX_BYTES];
    va_list args;

    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    for (char *p = text; *p != '\0';
         p++) /* what a server said may hold anything; a line stays a line */
        if ((unsigned char)*p < ' ' || *p == 0x7f)
            *p = '?';
    fflush(stdout); /* what was said before stands before it, on a terminal and in a log */
    fprintf(stderr, "%s: %s\n", program_invocation_short_name, text);
}

void failures_add(struct failures *failures, int err)
{
    if (err >= 0)
        return;
    if (failures->count++ == 0)
        snprintf(failures->message, sizeof failures->message, "%s", conc_describe(err));
}

int failures_report(const struct failures *failures)
{
    if (fflush(stdout) != 0 || ferror(stdout)) {
        complain("cannot write the output");
        return EXIT_FAILURE;
    }
    if (failures->count == 0)
        return EXIT_SUCCESS;
    if (failures->count == 1)
        complain("%s", failures->message);
    else
        complain("%s (and %zu more failed)", failures->message, failures->count - 1);
    return EXIT_FAILURE;
}
