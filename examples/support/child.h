/* SPDX-License-Identifier: MIT
 *
 * child.h: what jobs that run in processes of their own share.
 */
#ifndef EXAMPLES_CHILD_H
#define EXAMPLES_CHILD_H

#include <conc/base.h>
#include <errno.h>
#include <stdio.h>

/** The end of a job that has printed: 0; or an error, if it could not. What main() finds out about
 * stdout at its own end is only what main() has printed itself. */
static inline int printed(void)
{
    if (fflush(stdout) != 0 || ferror(stdout))
        return conc_raise(-EIO, "cannot write the output");
    return 0;
}

#endif
