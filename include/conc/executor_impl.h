/* SPDX-License-Identifier: MIT
 *
 * conc/executor_impl.h: for those who write an executor of their own. Not part of conc.h.
 *
 * An executor is a struct that begins with a struct conc_executor whose `ops` points to its
 * functions. A job is the pending future that conc_submit() has made: the executor keeps it as long
 * as it likes and then calls conc_job_run(), from whatever thread, or completes it otherwise.
 */
#ifndef CONC_EXECUTOR_IMPL_H
#define CONC_EXECUTOR_IMPL_H

#include <conc/executor.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct conc_executor_ops {
    /**
     * Take a job. On 0 it takes the reference `job` and must end in conc_job_run() or
     * conc_job_drop() once; a negative error refuses it (then the reference stays the caller's).
     */
    int (*submit)(conc_executor *executor, conc_future *job);
    /** As conc_executor_shutdown(). May be called often, by several contexts. */
    int (*shutdown)(conc_executor *executor, unsigned flags, conc_deadline deadline);
    /** Free it; called once, after a shutdown that waited has returned 0. */
    void (*free)(conc_executor *executor);
} conc_executor_ops;

struct conc_executor {
    const conc_executor_ops *ops;
};

/**
 * Run a job in the calling context, if it is still pending (else it was cancelled, or somebody
 * helped), and complete its future. Takes the reference.
 *
 * @return true: it ran
 *
 * Called from: any thread or task. Blocks: as the job does.
 */
CONC_API bool conc_job_run(conc_future *job);

/**
 * Give a job up: if it is still pending its future fails with `err` (-ECANCELED: is cancelled), and
 * the message that the caller raised with it, if any. Takes the reference.
 *
 * Called from: any thread or task. Blocks: no.
 */
CONC_API void conc_job_drop(conc_future *job, int err);

/**
 * Make the calling context a worker of an executor (NULL: of none any more). A worker that waits
 * for a job of its own executor that has not started runs it itself, and asking to wait for the
 * executor's end is -EDEADLK for it.
 *
 * @return the executor it worked for before; NULL: none
 *
 * Called from: any thread or task. Blocks: no.
 */
CONC_API conc_executor *conc_context_set_executor(conc_executor *executor);

/**
 * A word in each job for its executor's own use, NULL at first: to chain the jobs that it keeps.
 */
CONC_API conc_future **conc_job_link(conc_future *job);

/* What the job is, for an executor that runs it elsewhere: claim it first, complete it with
 * conc_future_set_result() or conc_future_set_error(), then unref. */

/** Make a pending job running. @return false: it is not pending any more */
CONC_API CONC_MUST_CHECK bool conc_job_claim(conc_future *job);
CONC_API conc_fn *conc_job_fn(const conc_future *job);
/** Its size may be CONC_BYTES; so may that of the result. */
CONC_API void *conc_job_arg(const conc_future *job, size_t *size);
CONC_API size_t conc_job_result_size(const conc_future *job);

#ifdef __cplusplus
}
#endif
#endif
