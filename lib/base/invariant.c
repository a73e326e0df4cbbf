/* SPDX-License-Identifier: MIT
 *
 * invariant.c: see invariant.h. The line is built on the stack and written with one system call, as
 * the program may be in any state, also out of memory or in a signal handler.
 */
#include "base/invariant.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { LINE_SIZE = 256 }; /* bytes; a longer text is cut */

__attribute__((noreturn)) static void message_write_and_abort(const char *message, int n)
{
    size_t size = n < 0 ? 0 : (size_t)n;
    if (size >= LINE_SIZE)
        size = LINE_SIZE - 1;
    if (write(STDERR_FILENO, message, size) < 0)
        abort(); /* as below: the message cannot be delivered */
    abort();
}

void conc__invariant_broken(const char *file, int line, const char *text)
{
    char message[LINE_SIZE];
    message_write_and_abort(message, snprintf(message, sizeof message,
                                              "libconc: %s:%d: broken: %s\n", file, line, text));
}

void conc__misuse(const char *text)
{
    char message[LINE_SIZE];
    message_write_and_abort(message, snprintf(message, sizeof message, "libconc: %s\n", text));
}
