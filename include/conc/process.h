/* SPDX-License-Identifier: MIT
 *
 * conc/process.h: processes that run a function of this program.
 *
 *     conc_process *p;
 *     int err = conc_process_start(&p, check_primes, &range, sizeof range, NULL);
 *     ...
 *     err = conc_process_join(p, conc_in(CONC_S(10)));
 *     conc_process_free(p);
 *
 * They are children of a fork server: a small process that is started once, and always has one
 * thread, so that a process can be started from a program with many. What a job finds in the
 * program's variables depends on when that server was started:
 *
 * - by conc_process_prepare() at the top of main(), or by the first start, while the program had
 *   one thread: what was there then. (Python: the start method "fork")
 * - by the first start, when the program had several threads already, or from a task or a
 *   generator's body: what is there before main() (constructors have run; of libraries that use
 *   libconc themselves, perhaps not). (Python: "forkserver")
 *
 * A job sees no later change in either case, and what it changes stays its own: it is told what it
 * has to know by its argument, by a pipe, or in shared memory. It has the standard descriptors and
 * those that it is given, no others. All these processes end when the program ends, in whatever
 * way.
 *
 * A program may call fork() itself. Its child has the calling thread alone. What the child makes
 * works. Of what was there before, primitives, queues and done futures work, unless another thread
 * of the parent was in a call on them at that moment. Executors, loops, servers, processes and jobs
 * that have not ended are the parent's: calls that need them return -ESHUTDOWN, and none of them
 * hangs.
 *
 * Signal handlers: none of these calls may be made in one.
 */
#ifndef CONC_PROCESS_H
#define CONC_PROCESS_H

#include <sys/types.h>

#include <conc/pipe.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct conc_process conc_process;

/**
 * Start the fork server now, if there is none: at the top of main(), it makes children see the
 * variables as they are then, and costs less memory than later. Not needed otherwise.
 *
 * @return 0; -EAGAIN, -ENOMEM, -EMFILE ...: it cannot be started, with a message
 *
 * Python: multiprocessing.set_start_method()
 * [thread | yes (for some milliseconds at most) | no]
 */
CONC_API int conc_process_prepare(void);

/** All-zero: the defaults. */
typedef struct conc_process_options {
    const char *name; /* NULL: "process-N" */
    const int *fds;   /* descriptors that it gets: conc_process_fd() */
    size_t n_fds;     /* up to CONC_PIPE_FDS_MAX */
} conc_process_options;

/**
 * Start a process that runs a job, and then ends: with exit status 0, or 1 if the job failed.
 *
 * @param ret       gives a process, for conc_process_free()
 * @param fn        the job, of the program or of a library; it gets no room for a result
 * @param arg       its argument, of arg_size bytes (a conc_bytes if that is CONC_BYTES): copied to
 *                  the process (NULL if arg_size is 0). Pointers in it mean nothing there.
 * @param options   borrowed; NULL: all-zero
 * @return 0; -EINVAL: no ret, no fn, no arg with a size, more than CONC_PIPE_FDS_MAX descriptors;
 *         -EBADF; -EAGAIN: too many processes; -EMFILE; -ENOMEM; -CONC_EBROKEN: the fork server was
 *         killed meanwhile: call again
 *
 * Python: Process(target, args).start()
 * [any | yes (until the process is there) | no]
 */
CONC_API CONC_MUST_CHECK int conc_process_start(conc_process **ret, conc_fn *fn, const void *arg,
                                                size_t arg_size,
                                                const conc_process_options *options);

/**
 * Its process id.
 *
 * Python: Process.pid
 * [anywhere | no | no]
 */
CONC_API pid_t conc_process_pid(const conc_process *process);

/**
 * Its name; valid until the free.
 *
 * Python: Process.name
 * [anywhere | no | no]
 */
CONC_API const char *conc_process_name(const conc_process *process);

/**
 * Wait until the process has ended. May be called again, and by several.
 *
 * @return 0: the job returned 0, or called exit(0); the job's own error, with its message;
 *         -CONC_EBROKEN: it ended otherwise, with a message that tells how: "process 123 was killed
 *         by signal 9 (Killed)", "process 123 exited with status 3"; -EAGAIN (it has not ended,
 *         CONC_NOW), -ETIMEDOUT, -ECANCELED; -ESHUTDOWN: it was started before a fork, by the
 *         caller's parent
 *
 * Python: Process.join()
 * [any | yes | yes]
 */
CONC_API int conc_process_join(conc_process *process, conc_deadline deadline);

/**
 * Has it not ended yet?
 *
 * Python: Process.is_alive()
 */
CONC_API bool conc_process_is_alive(const conc_process *process);

/**
 * How it has ended.
 *
 * @param ret  gives its exit status, 0 to 255; or -N if signal N ended it; untouched on failure
 * @return 0; -EAGAIN: it has not ended; -EINVAL: no ret; -ESHUTDOWN: as conc_process_join()
 *
 * Python: Process.exitcode
 */
CONC_API int conc_process_exitcode(const conc_process *process, int *ret);

/**
 * Ask the process to end: SIGTERM. Safe also when it has ended. The signal is on its way when the
 * call returns.
 *
 * @return 0; -ESRCH: it has ended; -ESHUTDOWN: as conc_process_join()
 *
 * Python: Process.terminate()
 */
CONC_API int conc_process_terminate(conc_process *process);

/**
 * End the process: SIGKILL.
 *
 * @return as conc_process_terminate()
 *
 * Python: Process.kill()
 */
CONC_API int conc_process_kill(conc_process *process);

/**
 * Free the process object. A process that has not ended is killed, and the call waits for its end,
 * also in a scope that has ended. But one that may not be killed, because it has become a program
 * of another user's, is left to itself. NULL is ignored.
 *
 * Python: Process.close()
 * [last | yes (until a killed one is gone) | no]
 */
CONC_API void conc_process_free(conc_process *process);

/* ---- In the process ---- */

/**
 * The name of the process that runs: the one that it was started with; "main" in one that was not
 * started so.
 *
 * Python: multiprocessing.current_process().name
 * [anywhere | no | no]
 */
CONC_API const char *conc_process_current_name(void);

/**
 * One of the descriptors that the process was given: closed on exec, and the job's to close.
 *
 * @param i  its place in the options
 * @return the descriptor; -1: there are not so many
 *
 * [anywhere | no | no]
 */
CONC_API int conc_process_fd(size_t i);

#ifdef __cplusplus
}
#endif
#endif
