/* SPDX-License-Identifier: MIT
 *
 * subprocess_impl.h: what a child program is inside. See subprocess.c, subprocess_spawn.c and
 * subprocess_communicate.c.
 */
#ifndef CONC_LIB_SUBPROCESS_IMPL_H
#define CONC_LIB_SUBPROCESS_IMPL_H

#include <conc/lock.h>
#include <conc/subprocess.h>
#include <conc/thread.h>

#include "io/buffer.h"

struct conc_subprocess {
    pid_t pid;
    int pidfd;            /* -1: there is none, but `watcher` */
    conc_thread *watcher; /* ends when the child has ended; NULL: there is a pidfd */

    conc_lock lock; /* of the next three */
    bool reaped;    /* the pid is no longer ours */
    int status;     /* as conc_subprocess_join() gives it */
    int reap_error; /* or why it is not known */

    int pipes[3];       /* our ends; -1: none */
    bool input_is_pipe; /* it was one, and was not taken */

    /* subprocess_communicate.c's; of the context that has set `communicating`. */
    uint32_t communicating;
    size_t fed;              /* bytes of the input that have been written */
    struct buffer output[2]; /* what has come from the output and the error output */
};

/* Run the program, with fds[i] (at least 3, or -1: as the caller's) as descriptor i; `merge`: its
 * error output goes where its output goes. Its process id; or an error, with a message. */
pid_t conc__spawn_program(const char *const *argv, const conc_subprocess_options *options,
                          const int fds[3], bool merge);

#endif
