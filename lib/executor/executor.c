/* SPDX-License-Identifier: MIT
 *
 * executor.c: the interface that all executors share: submit, call, shutdown, free.
 */
#include <conc/executor_impl.h>

#include "executor/submit.h"
#include "future/future_impl.h"

/* A submission, which runs the job itself in some executors, and may be left in the middle then. */
struct submission {
    struct conc_context *self;
    struct message before;
};

static void submission_end(struct submission *s) { message_put_back(s->self, s->before); }

int conc__executor_submit(conc_executor *executor, conc_future *job)
{
    conc_future_ref(job); /* for the executor */
    struct conc_context *self = context_self();
    /* Put aside, or a refusal would carry that message. */
    struct submission s
        __attribute__((unused, cleanup(submission_end))) = {self, message_put_aside(self)};
    int err = executor ? executor->ops->submit(executor, job) : -EINVAL;
    if (err == -ECANCELED) /* the caller is cancelled, no executor drops it */
        conc__future_end_pending(job, FUTURE_REFUSED);
    if (err)
        conc_job_drop(job, err);
    return err;
}

/* *job is not NULL: the caller does not get it, since the job has left the submission. */
static void submit_unref(conc_future **job) { conc_future_unref(*job); }

conc_future *conc_submit(conc_executor *executor, conc_fn *fn, const void *arg, size_t arg_size,
                         size_t result_size)
{
    bool valid = executor && fn && !arg_is_missing(arg, arg_size);
    conc_future *job = conc__job_new(fn, arg, valid ? arg_size : 0, result_size);
    if (!job)
        return conc__future_no_memory();
    conc_future *mine __attribute__((cleanup(submit_unref))) = job;
    job->executor = executor;
    conc__executor_submit(valid ? executor : NULL, job);
    mine = NULL;
    return job;
}

int conc_call(conc_executor *executor, conc_fn *fn, const void *arg, size_t arg_size, void *ret,
              size_t result_size, conc_deadline deadline)
{
    conc_scope scope; /* for a submission that waits for room, or runs the job itself */
    conc_scope_enter(&scope, deadline);
    conc_scope *entered __attribute__((cleanup(conc__scope_abandon))) = &scope;
    conc_future *job = conc_submit(executor, fn, arg, arg_size, result_size);
    entered = NULL;
    bool late = conc_scope_exit(&scope) == -ETIMEDOUT;
    int err = conc_wait_for(job, ret, deadline);
    if (err == -EDEADLK && !conc_future_is_done(job))
        conc_future_cancel(job);
    conc__future_observe(job); /* if it was cancelled here, its end is of no interest */
    conc_future_unref(job);
    if (err == -ECANCELED && late)
        err = deadline_is_now(deadline) ? -EAGAIN : -ETIMEDOUT;
    return err;
}

bool conc_executor_is_broken(const conc_executor *executor)
{
    return executor->ops->is_broken && executor->ops->is_broken(executor);
}

static bool executor_employs_caller(const conc_executor *executor)
{
    const struct conc_context *self = context_self();
    return self->works_for == executor || self->holds_up == executor;
}

int conc_executor_shutdown(conc_executor *executor, unsigned flags, conc_deadline deadline)
{
    const unsigned known =
        CONC_SHUTDOWN_WAIT | CONC_SHUTDOWN_CANCEL_PENDING | CONC_SHUTDOWN_CANCEL_RUNNING;
    if (!executor || (flags & ~known))
        return -EINVAL;
    if ((flags & CONC_SHUTDOWN_WAIT) && executor_employs_caller(executor))
        return -EDEADLK;
    return executor->ops->shutdown(executor, flags, deadline);
}

int conc_executor_free(conc_executor *executor)
{
    if (!executor)
        return 0;
    conc_scope shield;
    conc_shield_enter(&shield);
    int err = conc_executor_shutdown(executor, CONC_SHUTDOWN_WAIT, CONC_FOREVER);
    conc_shield_exit(&shield);
    if (err)
        return err;
    executor->ops->free(executor);
    return 0;
}
