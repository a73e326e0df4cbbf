/* SPDX-License-Identifier: MIT
 *
 * conc/thread.h: threads of one's own, and a job after a while.
 *
 *     conc_thread *t;
 *     int err = conc_thread_start(&t, fetch, &url, sizeof url, NULL);
 *     err = conc_thread_join(t, NULL, CONC_FOREVER);          // the job's own error
 *     conc_thread_free(t);
 */
#ifndef CONC_THREAD_H
#define CONC_THREAD_H

#include <conc/context.h>
#include <conc/future.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct conc_thread conc_thread;

/** All-zero: the defaults. */
typedef struct conc_thread_options {
    const char *name;   /* NULL: "thread-N" */
    size_t stack_size;  /* bytes, rounded up to what the system needs; 0: the system's default */
    size_t result_size; /* bytes of the job's result */
} conc_thread_options;

/**
 * Start a thread that runs a job and ends.
 *
 * @param ret      gives a thread, for conc_thread_free()
 * @param arg      its argument, of arg_size bytes: copied (NULL if arg_size is 0)
 * @param options  borrowed; NULL: all-zero
 * @return 0; -ENOMEM: no memory, or no more threads; -EINVAL: no fn, no arg with a size, an
 *         impossible stack size
 *
 * Python: Thread(target, name, args).start()
 */
CONC_API CONC_MUST_CHECK int conc_thread_start(conc_thread **ret, conc_fn *fn, const void *arg,
                                               size_t arg_size, const conc_thread_options *options);

/**
 * Wait until the thread has ended, and get the job's result. May be called again, and by several.
 *
 * @param ret  room for the result (options' result_size); NULL: not wanted; untouched on failure
 * @return 0; the job's own error (message in conc_describe()); -ETIMEDOUT, -EAGAIN (CONC_NOW),
 *         -ECANCELED; -EDEADLK: it is the caller itself
 *
 * Python: Thread.join()
 * [any | yes | yes]
 */
CONC_API int conc_thread_join(conc_thread *thread, void *ret, conc_deadline deadline);

/**
 * Free the thread object; NULL is ignored. A thread that still runs goes on by itself. If it ends
 * with an error that was not looked at, that is reported as an unobserved future's.
 *
 * Python: daemon threads
 * [anywhere | no | no]
 */
CONC_API void conc_thread_free(conc_thread *thread);

/**
 * Cancel the thread's job, as conc_future_cancel() does.
 *
 * @return false: it has ended already
 */
CONC_API bool conc_thread_cancel(conc_thread *thread);

/**
 * The thread's end as a future, borrowed: for conc_wait() and its kind.
 *
 * [anywhere | no | no]
 */
CONC_API CONC_MUST_CHECK conc_future *conc_thread_future(conc_thread *thread);

/**
 * Has it not ended yet?
 *
 * Python: Thread.is_alive()
 * [anywhere | no | no]
 */
CONC_API bool conc_thread_is_alive(const conc_thread *thread);

/**
 * Its name, valid while the thread is.
 *
 * Python: Thread.name
 * [anywhere | no | no]
 */
CONC_API const char *conc_thread_name(const conc_thread *thread);

/**
 * The id of its context, as in conc_context_foreach(); never 0.
 *
 * Python: Thread.ident
 * [anywhere | no | no]
 */
CONC_API uint32_t conc_thread_id(const conc_thread *thread);

/* ---- A job after a while ---- */

typedef struct conc_timer conc_timer;

/**
 * Run a job, in a thread of its own, after `after_ns` nanoseconds, unless it is cancelled before.
 * Until then it costs no thread: one keeps the times of all timers. If there is no thread for the
 * job when its time has come, it fails with -ENOMEM. The program's exit does not wait for timers.
 *
 * @param ret       gives a timer, for conc_timer_free()
 * @param after_ns  zero or less: at once; so long that conc_in() makes CONC_FOREVER of it: never
 * @param fn        the job
 * @param arg       its argument, of arg_size bytes: copied (NULL if arg_size is 0)
 * @return 0; -ENOMEM: no memory, or no more threads; -EINVAL: no ret, no fn, no arg with a size
 *
 * Python: threading.Timer(interval, function).start()
 */
CONC_API CONC_MUST_CHECK int conc_timer_start(conc_timer **ret, int64_t after_ns, conc_fn *fn,
                                              const void *arg, size_t arg_size);

/**
 * Cancel the timer if its job has not begun.
 *
 * @return true: the job will not run; false: it has begun, or is over
 *
 * Python: Timer.cancel()
 */
CONC_API bool conc_timer_cancel(conc_timer *timer);

/**
 * Wait until the timer's job has ended, or the timer was cancelled.
 *
 * @return 0; the job's error, with its message; -ECANCELED: the timer was cancelled, or the caller;
 *         -ETIMEDOUT, -EAGAIN (CONC_NOW); -EDEADLK: called by the timer's own job; -ESHUTDOWN: it
 *         was started before a fork, by the caller's parent
 *
 * Python: Timer.join()
 * [any | yes | yes]
 */
CONC_API int conc_timer_join(conc_timer *timer, conc_deadline deadline);

/**
 * Free the timer object; NULL is ignored. A timer that is not cancelled still runs its job.
 *
 * [anywhere | no | no]
 */
CONC_API void conc_timer_free(conc_timer *timer);

#ifdef __cplusplus
}
#endif
#endif
