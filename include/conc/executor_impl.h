/* SPDX-License-Identifier: MIT
 *
 * conc/executor_impl.h: what a program needs to add an executor of its own. Not part of conc.h.
 *
 * An executor is a struct that begins with a struct conc_executor whose `ops` points to its
 * functions. A job is the pending future that conc_submit() has made: the executor keeps it as long
 * as it likes and then calls conc_job_run(), from any thread, or completes it otherwise.
 */
#ifndef CONC_EXECUTOR_IMPL_H
#define CONC_EXECUTOR_IMPL_H

#include <conc/executor.h>

#ifdef __cplusplus
extern "C" {
#endif

/**
 * Take a job. On 0 the executor takes the reference `job`, and must call conc_job_run() or
 * conc_job_drop() for it once. A negative error refuses the job: the reference stays the caller's.
 */
typedef int conc_executor_submit_fn(conc_executor *executor, conc_future *job);

/** As conc_executor_shutdown(). May be called often, by several contexts. */
typedef int conc_executor_shutdown_fn(conc_executor *executor, unsigned flags,
                                      conc_deadline deadline);

/** Free the executor; called once, after a shutdown that waited has returned 0. */
typedef void conc_executor_free_fn(conc_executor *executor);

/** As conc_executor_is_broken(). May be called often, by several contexts. */
typedef bool conc_executor_is_broken_fn(const conc_executor *executor);

/** An executor's functions. */
typedef struct conc_executor_ops {
    conc_executor_submit_fn *submit;
    conc_executor_shutdown_fn *shutdown;
    conc_executor_free_fn *free;
    conc_executor_is_broken_fn *is_broken; /* NULL: it never is; the others must be there */
} conc_executor_ops;

struct conc_executor {
    const conc_executor_ops *ops;
};

/**
 * Run a job in the calling context, if it is still pending (else it was cancelled, or a worker that
 * waited for it has run it), and complete its future. Takes the reference. Does not return if the
 * job leaves its thread in the middle (conc_fn), but completes the future all the same.
 *
 * @return true: it ran
 *
 * [any | as the job | as the job]
 */
CONC_API bool conc_job_run(conc_future *job);

/**
 * Give a job up: if it is still pending its future fails with `err` (-ECANCELED: is cancelled), and
 * the message that the caller raised with it, if any. Takes the reference.
 */
CONC_API void conc_job_drop(conc_future *job, int err);

/**
 * Make the calling context a worker of an executor (NULL: of none any more). A worker that waits
 * for a job of its own executor that has not started runs it itself, in a context that begins with
 * the local values that the worker has now; and asking to wait for the executor's end is -EDEADLK
 * for it.
 *
 * @return the executor it worked for before; NULL: none
 */
CONC_API conc_executor *conc_context_set_executor(conc_executor *executor);

/**
 * A word in each job for the use of the executor that keeps it, NULL at first: to chain its jobs.
 *
 * [one | no | no]
 */
CONC_API conc_future **conc_job_link(conc_future *job);

/* ---- Running a job elsewhere ---- */

/* What the job is, for an executor that runs it elsewhere: claim it first, complete it with
 * conc_future_set_result() or conc_future_set_error(), then unref. */

/**
 * Claim a job: make a pending one running.
 *
 * @return false: it is not pending any more
 *
 * Python: Future.set_running_or_notify_cancel()
 */
CONC_API CONC_MUST_CHECK bool conc_job_claim(conc_future *job);

/** The job's function. */
CONC_API conc_fn *conc_job_fn(const conc_future *job);

/**
 * The job's argument, borrowed; NULL: it has none.
 *
 * @param size  gives its size, or CONC_BYTES: it is a conc_bytes; NULL: not wanted
 */
CONC_API void *conc_job_arg(const conc_future *job, size_t *size);

/** The size of the job's result, or CONC_BYTES: it is a conc_bytes. */
CONC_API size_t conc_job_result_size(const conc_future *job);

#ifdef __cplusplus
}
#endif
#endif
