/* SPDX-License-Identifier: MIT
 *
 * conc/subprocess.h: child programs: start one, talk to it, wait for it, end it.
 *
 *     const char *argv[] = {"sort", "-n", NULL};
 *     conc_subprocess_options options = {.in = CONC_SUBPROCESS_PIPE, .out = CONC_SUBPROCESS_PIPE};
 *     conc_subprocess *sort;
 *     int err = conc_subprocess_start(&sort, argv, &options);
 *     if (err)
 *         return err;
 *     err = conc_subprocess_communicate(sort, text, size, &sorted, &n, NULL, NULL, deadline);
 *     ...
 *     conc_subprocess_free(sort);
 *
 * Signal handlers: none of these calls may be made in one.
 */
#ifndef CONC_SUBPROCESS_H
#define CONC_SUBPROCESS_H

#include <sys/types.h>

#include <conc/base.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct conc_subprocess conc_subprocess;

/**
 * What a child's standard input, output or error is; or a descriptor above 0, which is borrowed
 * during the call.
 */
typedef enum conc_subprocess_io {
    CONC_SUBPROCESS_INHERIT = 0, /* the caller's own */
    CONC_SUBPROCESS_PIPE = -1,   /* a pipe, whose other end the caller gets */
    CONC_SUBPROCESS_STDOUT = -2, /* for `err`: the same as the output */
    CONC_SUBPROCESS_NULL = -3,   /* /dev/null */
} conc_subprocess_io;

/** All-zero: the defaults. */
typedef struct conc_subprocess_options {
    int in, out, err;       /* conc_subprocess_io, or a descriptor */
    const char *const *env; /* "NAME=value" ..., NULL; NULL: the caller's environment */
    const char *cwd;        /* the directory in which it begins; NULL: the caller's */
    bool new_group;         /* in a process group of its own: Ctrl-C does not reach it */
} conc_subprocess_options;

/**
 * Start a program. Its signals are set to their defaults, none is blocked; of the caller's
 * descriptors it gets those that the options name (where the C library cannot close the others,
 * also those that are not closed on exec).
 *
 * @param ret      gives a child, for conc_subprocess_free() or conc_subprocess_detach()
 * @param argv     the program and its arguments, then NULL; borrowed. Without a slash in its name
 *                 the program is looked for in the caller's PATH; a relative name is relative to
 *                 `cwd`.
 * @param options  borrowed; NULL: all-zero
 * @return 0; -EINVAL: no ret, no program, an unknown value in the options; -ENOENT, -EACCES,
 *         -ENOEXEC ...: it cannot be run, with a message that names the program, or the directory;
 *         -EBADF; -EMFILE; -EAGAIN: too many processes; -ENOMEM
 *
 * Python: subprocess.Popen(), asyncio.create_subprocess_exec()
 * [any | yes (until the program has been loaded) | no]
 */
CONC_API CONC_MUST_CHECK int conc_subprocess_start(conc_subprocess **ret, const char *const *argv,
                                                   const conc_subprocess_options *options);

/**
 * Its process id.
 *
 * Python: Popen.pid
 * [anywhere | no | no]
 */
CONC_API pid_t conc_subprocess_pid(const conc_subprocess *subprocess);

/* ---- Its pipes ---- */

/**
 * The caller's end of the pipe to the child's input, borrowed; -1: there is none, or it is closed
 * or taken.
 *
 * Python: Popen.stdin
 * [anywhere | no | no]
 */
CONC_API int conc_subprocess_stdin(const conc_subprocess *subprocess);

/**
 * The caller's end of the pipe from the child's output, as conc_subprocess_stdin().
 *
 * Python: Popen.stdout
 * [anywhere | no | no]
 */
CONC_API int conc_subprocess_stdout(const conc_subprocess *subprocess);

/**
 * The caller's end of the pipe from the child's error output, as conc_subprocess_stdin().
 *
 * Python: Popen.stderr
 * [anywhere | no | no]
 */
CONC_API int conc_subprocess_stderr(const conc_subprocess *subprocess);

/**
 * Take a pipe's end from the child: to close it, so that the child sees the end of its input, or to
 * make a stream of it.
 *
 * @param which  0, 1 or 2: the descriptor that it is in the child
 * @return a descriptor, which the caller has to close; -1: there is none
 *
 * [one | no | no]
 */
CONC_API CONC_MUST_CHECK int conc_subprocess_take_fd(conc_subprocess *subprocess, int which);

/**
 * Write the whole input into the child's input pipe and close it, while reading all that comes from
 * its output and error pipes; then wait for the child's end. Pipes that it does not have are left
 * out. It is no error if the child ends, or closes its input, without reading everything.
 *
 * If the deadline comes, or the caller is cancelled, the child goes on, and so can another call,
 * with the same input: nothing is lost.
 *
 * @param in        in_size bytes; borrowed; NULL if that is 0
 * @param out       gives what it has written to its output, with a zero after it; borrowed: valid
 *                  until the child is freed or detached. NULL: not wanted (it is read all the same)
 * @param out_size  gives how many bytes they are, the zero not counted; NULL: not wanted
 * @param err       as `out`, for its error output
 * @param err_size  as `out_size`
 * @return 0: it has ended (conc_subprocess_join() tells how); -ETIMEDOUT, -EAGAIN (CONC_NOW),
 *         -ECANCELED; -EINVAL: an input, but no pipe for it; -EBUSY: another context is in this
 *         call; -ENOMEM, -EMFILE; as conc_read(), conc_subprocess_join()
 *
 * Python: Popen.communicate()
 * [any | yes | yes]
 */
CONC_API int conc_subprocess_communicate(conc_subprocess *subprocess, const void *in,
                                         size_t in_size, const char **out, size_t *out_size,
                                         const char **err, size_t *err_size,
                                         conc_deadline deadline);

/* ---- Its end ---- */

/**
 * Wait until the child has ended. May be called again, and by several. A child whose pipes are not
 * read may never end: see conc_subprocess_communicate().
 *
 * @return 0: it has ended (conc_subprocess_exitcode() tells how); -EAGAIN (it has not, CONC_NOW),
 *         -ETIMEDOUT, -ECANCELED; -ECHILD: it has ended, but how is not known: something else in
 *         the program waits for all children, or ignores SIGCHLD
 *
 * Python: Popen.wait()
 * [any | yes | yes]
 */
CONC_API int conc_subprocess_join(conc_subprocess *subprocess, conc_deadline deadline);

/**
 * How the child has ended, as conc_process_exitcode() tells of a process.
 *
 * @param ret  gives its exit status, 0 to 255; or -N if signal N ended it
 * @return 0; -EAGAIN: it has not ended; -ECHILD: as conc_subprocess_join(); -EINVAL: no ret
 *
 * Python: Popen.returncode, Popen.poll()
 */
CONC_API int conc_subprocess_exitcode(const conc_subprocess *subprocess, int *ret);

/**
 * Send the child a signal. Safe also when it has ended.
 *
 * @return 0; -ESRCH: it has ended, and was waited for; -EINVAL: no such signal; -EPERM: it runs as
 *         another user
 *
 * Python: Popen.send_signal()
 */
CONC_API int conc_subprocess_send_signal(conc_subprocess *subprocess, int signo);

/**
 * Ask the child to end: SIGTERM.
 *
 * @return as conc_subprocess_send_signal()
 *
 * Python: Popen.terminate()
 */
CONC_API int conc_subprocess_terminate(conc_subprocess *subprocess);

/**
 * End the child: SIGKILL.
 *
 * @return as conc_subprocess_send_signal()
 *
 * Python: Popen.kill()
 */
CONC_API int conc_subprocess_kill(conc_subprocess *subprocess);

/**
 * Free the child object and close its pipes. A child that has not ended is killed, and the call
 * waits for its end (its own children are not killed), also in a scope that has ended: the system
 * does not let it last. But one that may not be killed, because it has changed its user, goes on,
 * as after conc_subprocess_detach(). NULL is ignored.
 *
 * [last | yes (until a killed child is gone) | no]
 */
CONC_API void conc_subprocess_free(conc_subprocess *subprocess);

/**
 * Free the child object, but let the child go on. When it ends it leaves no zombie: a thread waits
 * for it.
 *
 * @return 0; -ENOMEM (no thread to wait for it): refused, nothing is freed
 *
 * [last | no | no]
 */
CONC_API int conc_subprocess_detach(conc_subprocess *subprocess);

#ifdef __cplusplus
}
#endif
#endif
