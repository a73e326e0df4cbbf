/* SPDX-License-Identifier: MIT
 *
 * conc/executor.h: what runs a job: the caller itself, a thread of its own, a pool of threads. One
 * interface.
 *
 *     conc_executor *pool;
 *     int err = conc_thread_pool_new(&pool, 4, NULL);
 *     conc_future *f = conc_submit(pool, square, &n, sizeof n, sizeof(int));
 *     err = conc_future_result(f, &answer, CONC_FOREVER);
 *     conc_future_unref(f);
 *     conc_executor_free(pool);
 */
#ifndef CONC_EXECUTOR_H
#define CONC_EXECUTOR_H

#include <conc/future.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct conc_executor conc_executor;

/* ---- Giving it work ---- */

/**
 * Have a job run.
 *
 * @param fn           the job
 * @param arg          its argument, of arg_size bytes: copied (NULL if arg_size is 0)
 * @param arg_size     or CONC_BYTES: it is a conc_bytes, see conc/bytes.h
 * @param result_size  bytes of its result, or CONC_BYTES
 * @return a future, for the caller to unref; never NULL. A refusal is a future that has failed
 *         already: -ESHUTDOWN, -CONC_EBROKEN, -ENOMEM (no memory, no thread), -ECANCELED (the
 *         caller was cancelled while it waited for room in a bounded queue), -EINVAL (no fn; no arg
 *         with a size, nor bytes in a conc_bytes with a size)
 *
 * Python: Executor.submit()
 * [any | yes (an inline executor, and a pool whose max_queued is reached) | yes (then)]
 */
CONC_API CONC_MUST_CHECK conc_future *conc_submit(conc_executor *executor, conc_fn *fn,
                                                  const void *arg, size_t arg_size,
                                                  size_t result_size);

/**
 * Have a job run and wait for its result: conc_submit() and conc_wait_for() in one.
 *
 * @param ret  room for the result; untouched on failure; may be NULL
 * @return 0; the job's error; -ETIMEDOUT, -EAGAIN (CONC_NOW), -ECANCELED, -EDEADLK (as
 *         conc_future_result()): the job was cancelled then; a refusal as of conc_submit(). The
 *         deadline also ends the wait for room in a bounded queue and what blocks in an inline job.
 *
 * Python: Pool.apply()
 * [any | yes | yes]
 */
CONC_API int conc_call(conc_executor *executor, conc_fn *fn, const void *arg, size_t arg_size,
                       void *ret, size_t result_size, conc_deadline deadline);

/** All-zero: the defaults. */
typedef struct conc_map_options {
    /* How many elements one job takes, one after another; 0: 1. More is cheaper for small jobs. */
    size_t chunk;

    /* Room for n errors: then all jobs run, each one's error (or 0) is stored, and 0 returned. */
    int *errors;
} conc_map_options;

/**
 * Run the job once for every element of an array, and store the results in an array, in order.
 *
 * @param in       n arguments of in_size bytes each (n conc_bytes if that is CONC_BYTES); copied
 * @param out      room for n results of out_size bytes each (NULL if out_size is 0). On failure it
 *                 holds some of the results; nothing is written to it after the return. If out_size
 *                 is CONC_BYTES its n conc_bytes are always the caller's to free; an element
 *                 without a result has an empty one.
 * @param options  borrowed; NULL: all-zero
 * @return 0; the first element's error (in the order of the array), -ETIMEDOUT, -EAGAIN (CONC_NOW),
 *         -ECANCELED, -EDEADLK (as conc_future_result()); the jobs that remain are cancelled then.
 *         -ENOMEM and the other refusals of conc_submit(). As for the deadline, see conc_call().
 *         With `errors`, only the wait's own errors, and the elements that were not done have
 *         -ECANCELED.
 *
 * Python: Executor.map(), Pool.map()
 * [any | yes | yes]
 */
CONC_API int conc_map(conc_executor *executor, conc_fn *fn, const void *in, size_t n,
                      size_t in_size, void *out, size_t out_size, const conc_map_options *options,
                      conc_deadline deadline);

/* ---- Its end ---- */

/** May be combined with |. */
typedef enum conc_shutdown_flags {
    CONC_SHUTDOWN_WAIT = 1,           /* wait until every job has ended and every thread is gone */
    CONC_SHUTDOWN_CANCEL_PENDING = 2, /* cancel the jobs that have not started */
    CONC_SHUTDOWN_CANCEL_RUNNING = 4, /* and those that run, as conc_future_cancel() does */
} conc_shutdown_flags;

/**
 * Take no more jobs; what was submitted still runs, unless cancelled by `flags`.
 *
 * @param flags     CONC_SHUTDOWN_..., or 0
 * @param deadline  how long to wait, with CONC_SHUTDOWN_WAIT
 * @return 0; -ETIMEDOUT, -EAGAIN (CONC_NOW), -ECANCELED: it is shut down, but not all has ended
 *         (call again to wait on); -EDEADLK: asked to wait by one of its own jobs, or by a callback
 *         in the thread that takes a process pool's results; -EINVAL
 *
 * Python: Executor.shutdown(wait, cancel_futures)
 * [any | yes (with CONC_SHUTDOWN_WAIT) | yes (with CONC_SHUTDOWN_WAIT)]
 */
CONC_API int conc_executor_shutdown(conc_executor *executor, unsigned flags,
                                    conc_deadline deadline);

/**
 * Shut down, wait until every job has ended, and free the executor. NULL is ignored. Futures stay
 * valid. To bound the time, shut down with a deadline first.
 *
 * @return 0; -EDEADLK (as conc_executor_shutdown()): refused, nothing is freed
 *
 * [any | yes | no]
 */
CONC_API int conc_executor_free(conc_executor *executor);

/**
 * Is it broken: has the initialiser of a worker failed, or has a worker process died? Then its jobs
 * fail, and it takes no more.
 *
 * Python: BrokenExecutor
 */
CONC_API bool conc_executor_is_broken(const conc_executor *executor);

/* ---- Makers ---- */

/**
 * An executor that runs a job in conc_submit() itself: for tests, and to compare.
 *
 * @param ret  gives an executor, for conc_executor_free()
 * @return 0; -ENOMEM
 *
 * [anywhere | no | no]
 */
CONC_API CONC_MUST_CHECK int conc_inline_new(conc_executor **ret);

/**
 * An executor that starts a thread for every job.
 *
 * @param ret  gives an executor, for conc_executor_free()
 * @return 0; -ENOMEM
 *
 * [anywhere | no | no]
 */
CONC_API CONC_MUST_CHECK int conc_thread_per_job_new(conc_executor **ret);

/** Called in each new worker of a pool; if it returns other than 0 the pool is broken. */
typedef int conc_worker_init_fn(void *arg);

/** Called in each worker whose init succeeded, at its end. */
typedef void conc_worker_fini_fn(void *arg);

/** All-zero: the defaults. */
typedef struct conc_thread_pool_options {
    /* Workers are called name-0, name-1 ...: what is too long (CONC_NAME_MAX) is cut off the name,
     * not the number. NULL: "worker". */
    const char *name;

    conc_worker_init_fn *init;
    conc_worker_fini_fn *fini;
    void *arg; /* given to both */

    /* Jobs that may wait for a worker before conc_submit() blocks; 0: no bound. A worker of the
     * pool itself is never blocked: it runs the job that it submits at once. But if it does so
     * already in a few jobs, one within another, or holds an rlock, the job goes into the queue,
     * over the bound. */
    size_t max_queued;

    size_t stack_size; /* bytes; 0: the system's default */
} conc_thread_pool_options;

/**
 * A pool of threads, started when they are needed; an idle one is reused.
 *
 * @param ret      gives an executor, for conc_executor_free()
 * @param threads  the most that it starts; 0: min(32, usable CPUs + 4)
 * @param options  borrowed; NULL: all-zero
 * @return 0; -ENOMEM; -EINVAL: an impossible stack size
 *
 * Python: ThreadPoolExecutor(max_workers, thread_name_prefix, initializer)
 * [anywhere | no | no]
 */
CONC_API CONC_MUST_CHECK int conc_thread_pool_new(conc_executor **ret, size_t threads,
                                                  const conc_thread_pool_options *options);

#ifdef __cplusplus
}
#endif
#endif
