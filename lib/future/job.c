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
 * A job may leave its thread in the middle: by pthread_exit(), pthread_cancel(), or a C++ exception
 * that a caller of an inline executor catches. All of these unwind the stack, and the cleanup
 * function of its run settles the future with -EOWNERDEAD. (The library is compiled with
 * -fexceptions for that.) What stands around the run, a worker's loop or a task, has a cleanup
 * function of its own.
 *
 * Help: a worker that is about to wait for a job of its own executor which has not begun runs it
 * itself; otherwise, with all workers waiting so, no worker would ever run it. The job may be
 * another context's, so it runs in a context of its own (wait/nested.c): what ends the helper's
 * calls does not end the job's, except where the helper would cancel the job at its deadline.
 *
 * A helped job may want a re-entrant lock that the helper holds; it does not get it, and the helper
 * cannot go on meanwhile. If the helper would have waited for ever, so it does now. If its wait has
 * an end, that comes only if it does not help: so it does not, while it holds such a lock.
 *
 * Helped jobs lie on the stack of the helper, and may wait and help in turn. So a worker only helps
 * while at least half of its stack is free; up to HELP_DEPTH_SURE in any case, also where it is not
 * known how much is free. Beyond that it waits like any other context: the job stays in the queue,
 * for a worker that is free.
 */
#include <conc/executor_impl.h>

#include <string.h>

#include "base/invariant.h"
#include "future/future_impl.h"
#include "wait/local.h"
#include "wait/nested.h"

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

/* A job that runs in the calling context. */
struct job_run {
    struct conc_context *self;
    conc_future *job;
    conc_scope root;
    struct message before;
    unsigned groups; /* open ones of its context */
    bool returned;
    int err;
};

static void job_run_left(struct job_run *run)
{
    if (load_relaxed(&run->self->blocked)) /* in the middle of a poll */
        conc__blocked_end(run->self);
    if (run->job->value_is_bytes)
        *(conc_bytes *)run->job->value = (conc_bytes){0}; /* whatever it has begun to make */
    run->err = conc_raise(-EOWNERDEAD, "the job has left its thread in the middle (pthread_exit(), "
                                       "pthread_cancel() or an exception)");
}

/* Has it ended because its scope's deadline came? Then the helper's wait has ended it. */
static bool job_run_was_late(const struct job_run *run)
{
    return run->err == -ECANCELED && run->root.reported &&
           !deadline_is_forever(run->root.deadline) && run->root.deadline.ns <= conc_now();
}

static void job_run_end(struct job_run **at)
{
    struct job_run *run = *at;
    if (run->self->open_groups != run->groups)
        conc__misuse("a job has returned and left a group open, whose members may use its memory");
    if (!run->returned)
        job_run_left(run);
    else if (job_run_was_late(run))
        conc__future_cancel_job(run->job, true);
    /* Also if the job has left scopes of its own open: their memory is gone. */
    conc__scopes_set(run->self, run->root.parent);
    conc__future_settle(run->job, run->err, conc__message_for(run->self, run->err));
    message_put_back(run->self, run->before);
}

static void job_run(struct job_run *run)
{
    struct job_run *ends __attribute__((cleanup(job_run_end))) = run;
    ends->err = job_call(ends->job);
    ends->returned = true;
}

/* Run a pending job; `end`: when its calls are to end. False: it is not pending, or must not begin:
 * then it is cancelled. */
static bool job_execute(conc_future *job, conc_deadline end)
{
    struct job_run run = {.self = context_self(), .job = job};
    conc_scope_enter(&run.root, end);
    if (!conc__future_claim(job, &run.root)) {
        conc__scopes_set(run.self, run.root.parent);
        future_cancel_pending(job); /* if it must not begin; else it is not pending */
        return false;
    }
    run.before = message_put_aside(run.self);
    run.groups = run.self->open_groups;
    job_run(&run);
    return true;
}

bool conc__job_execute(conc_future *job) { return job_execute(job, CONC_FOREVER); }

/* ---- Help ---- */

static bool job_may_be_helped(const struct conc_context *self, const conc_future *job)
{
    return job->executor && self->works_for == job->executor && future_is_pending(job);
}

static bool job_execute_nested(conc_future *job, conc_deadline end)
{
    struct nested_context nested __attribute__((cleanup(conc__nested_leave)));
    conc__nested_enter(&nested, "job that it runs", job);
    return job_execute(job, end);
}

bool conc__future_help(conc_future *future, conc_deadline deadline, bool cancels)
{
    struct conc_context *self = context_self();
    if (!job_may_be_helped(self, future))
        return false;
    if (!help_is_shallow(self) && !(self->ops->has_stack && self->ops->has_stack(self)))
        return false;
    deadline = deadline_earlier(deadline, self->scopes_end);
    if (self->rlocks && !deadline_is_forever(deadline))
        return false;
    return job_execute_nested(future, cancels ? deadline : CONC_FOREVER);
}

/* ---- For executors ---- */

static void job_unref(conc_future **job) { conc_future_unref(*job); }

bool conc_job_run(conc_future *job)
{
    conc_future *taken __attribute__((cleanup(job_unref))) = job;
    return conc__job_execute(taken);
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
    struct locals *values = self->job_locals;
    self->works_for = executor;
    self->job_locals = executor ? conc__locals_inherit(self) : NULL;
    conc__locals_unref(values);
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
