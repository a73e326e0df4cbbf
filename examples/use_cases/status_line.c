/* SPDX-License-Identifier: MIT
 *
 * status_line.c: a line without a newline, which is drawn over again from its beginning. A
 * complaint of another thread takes it away first; the next drawing brings it back below.
 */
#include "use_cases/status_line.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "support/report.h"
#include "use_cases/text.h"

static conc_lock screen = CONC_LOCK_INIT;
static bool is_there; /* under `screen`: the cursor stands at the end of the line */

bool status_is_possible(void) { return isatty(STDOUT_FILENO) == 1; }

void status_show(const char *text)
{
    conc_with_lock (&screen) {
        printf("\r%s\033[K", text);
        fflush(stdout);
        is_there = true;
    }
}

static void erase(void)
{
    if (is_there)
        fputs("\r\033[K", stdout);
    is_there = false;
    fflush(stdout); /* what was said before stands before what comes now */
}

void status_clear(void)
{
    conc_with_lock (&screen) {
        erase();
    }
}

/* "PROGRAM: text", escaped, and a newline. @return gives a string; NULL: no memory */
static char *make_line(const char *text, size_t n)
{
    char *line = NULL;
    size_t size;
    FILE *out = open_memstream(&line, &size);
    if (out == NULL)
        return NULL;
    fprintf(out, "%s: ", program_invocation_short_name);
    print_escaped(out, text, n);
    putc('\n', out);
    if (fclose(out) == 0)
        return line;
    free(line);
    return NULL;
}

void complain_above(const char *fmt, ...)
{
    char *text;
    va_list args;
    va_start(args, fmt);
    int n = vasprintf(&text, fmt, args);
    va_end(args);
    char *line = n < 0 ? NULL : make_line(text, (size_t)n);
    conc_with_lock (&screen) {
        erase();
        if (line != NULL)
            fputs(line, stderr); /* in one piece */
        else
            complain("%s", conc_strerror(ENOMEM));
    }
    free(line);
    if (n >= 0)
        free(text);
}
