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

/* Standard input, output and error: STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO. */
enum { SUBPROCESS_FDS = 3 };

struct conc_subprocess {
    pid_t pid;
    int pidfd;            /* -1: there is `watcher` instead */
    conc_thread *watcher; /* ends when the child has ended; NULL: there is a pidfd */

    /* The lock guards the next three. Once `reaped` is set they do not change any more. */
    conc_lock lock;
    bool reaped;    /* the pid may belong to another process now */
    int status;     /* as conc_subprocess_exitcode() gives it */
    int reap_error; /* why the status is not known; 0: it is */

    int pipes[SUBPROCESS_FDS]; /* our ends; -1: none */
    bool input_is_pipe;        /* the options asked for one, and it was not taken */

    /* For subprocess_communicate.c; these belong to the context that has set `communicating`. */
    uint32_t communicating;
    size_t fed;              /* bytes of the input that have been written */
    struct buffer output[2]; /* what has come from the output and the error output */
};

/* Run the program, with fds[i] (above 2; -1: the caller's) as its descriptor i. `merge`: its error
 * output goes where its output goes. Returns its process id; or an error, with a message. */
pid_t conc__spawn_program(const char *const *argv, const conc_subprocess_options *options,
                          const int fds[SUBPROCESS_FDS], bool merge);

#endif
