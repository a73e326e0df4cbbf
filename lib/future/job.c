/* SPDX-License-Identifier: MIT
 *
 * job.c: running a job in the calling context, and settling its future.
 *
 * A job runs in a scope of its own, which is what cancelling its future cancels. The future knows
 * the scope from the claim until it is settled, both under its guard; the context leaves the scope
 * just before, so that callbacks, which run after the job, are not cancelled with it. A message
 * that the context had before is put aside, so that a job's error never carries the message of the
 * code around it, nor the other way round.
 *
 * Help: a worker that is about to wait for a job of its own executor which has not begun runs it
 * itself; otherwise, with all workers waiting so, no worker would ever run it. The job may be
 * another context's: it runs behind a shield, so that the helper's own deadline and cancellation do
 * not reach it.
 */
#include <conc/executor_impl.h>

#include <string.h>

#include "base/invariant.h"
#include "future/future_impl.h"

static int job_call(conc_future *job)
{
    size_t size;
    void *arg = conc_job_arg(job, &size);
    memset(job->value, 0, job->result_size);
    int err = job_error(job->fn(arg, job->result_size ? job->value : NULL));
    if (err && job->value_is_bytes)
        conc_bytes_free(job->value);
    return err;
}

bool conc__job_execute(conc_future *job)
{
    struct conc_context *self = context_self();
    conc_scope root;
    conc_scope_enter(&root, CONC_FOREVER);
    if (!conc__future_claim(job, &root)) {
        conc__scopes_set(self, root.parent);
        future_cancel_pending(job); /* if it must not begin; else it is not pending */
        return false;
    }
    struct message before = message_put_aside(self);
    const unsigned groups = self->open_groups;
    int err = job_call(job);
    if (self->open_groups != groups)
        conc__misuse("a job has returned and left a group open, whose members may use its memory");
    /* Also if the job has left scopes of its own open: their memory is gone. */
    conc__scopes_set(self, root.parent);
    conc__future_settle(job, err, conc__message_for(self, err));
    message_put_back(self, before);
    return true;
}

bool conc__future_help(conc_future *future)
{
    struct conc_context *self = context_self();
    if (!future->executor || self->works_for != future->executor || !future_is_pending(future))
        return false;
    conc_scope shield;
    conc_shield_enter(&shield);
    bool ran = conc__job_execute(future);
    conc_shield_exit(&shield);
    return ran;
}

bool conc_job_run(conc_future *job)
{
    bool ran = conc__job_execute(job);
    conc_future_unref(job);
    return ran;
}

void conc_job_drop(conc_future *job, int err)
{
    if (err != -ECANCELED && conc__future_claim(job, NULL))
        conc__future_settle(job, err, conc__message_for(context_self(), err));
    else
        conc__future_end_pending(job, FUTURE_DROPPED);
    conc_future_unref(job);
}

conc_executor *conc_context_set_executor(conc_executor *executor)
{
    struct conc_context *self = context_self();
    conc_executor *before = self->works_for;
    self->works_for = executor;
    return before;
}

bool conc_job_claim(conc_future *job) { return conc__future_claim(job, NULL); }

conc_future **conc_job_link(conc_future *job) { return &job->link; }

conc_fn *conc_job_fn(const conc_future *job) { return job->fn; }

void *conc_job_arg(const conc_future *job, size_t *size)
{
    if (size)
        *size = job->arg_is_bytes ? CONC_BYTES : job->arg_size;
    return job->arg_size ? job->arg : NULL;
}

size_t conc_job_result_size(const conc_future *job) { return future_asked_size(job); }
