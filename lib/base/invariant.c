/* SPDX-License-Identifier: MIT
 *
 * invariant.c: see invariant.h. The line is built on the stack and written with one system call, as
 * the program may be in any state, also out of memory or in a signal handler.
 */
#include "base/invariant.h"

#include <stdlib.h>

#include "base/quiet.h"

void conc__invariant_broken(const char *file, int line, const char *text)
{
    conc__report("libconc: %s:%d: broken: %s\n", file, line, text);
    abort();
}

void conc__misuse(const char *text)
{
    conc__report("libconc: %s\n", text);
    abort();
}
