/* SPDX-License-Identifier: MIT
 *
 * executor.c: a loop as an executor, and the executors that a loop has for jobs that block.
 *
 * As an executor: a job becomes a task. Shutting down closes the loop for tasks; a context that
 * waits for the end is on `closers` until no task lives. Only the loop's thread can cancel tasks,
 * so other threads post the cancel there: the flags gather in `cancel_flags`, and the thread that
 * finds them empty posts the item.
 *
 * conc_to_thread() hands the caller's local values to the job: they travel in the job's argument,
 * before the job's own argument. If the job never runs, its future's callback gives them back.
 */
#include <conc/local.h>

#include <stdalign.h>
#include <string.h>

#include "base/alloc.h"
#include "executor/closing.h"
#include "executor/submit.h"
#include "future/callbacks.h"
#include "future/future_impl.h"
#include "loop/task_impl.h"
#include "wait/local.h"

/* ---- The loop as an executor ---- */

static int loop_submit(conc_executor *executor, conc_future *job)
{
    return conc__task_submit(loop_of_executor(executor), job, NULL);
}

void conc__loop_cancel_posted(struct item *item)
{
    struct conc_loop *loop = list_entry(item, struct conc_loop, cancel_item);
    /* From here on the item may be posted again. */
    uint32_t flags = exchange_acq_rel(&loop->cancel_flags, 0);
    conc__loop_cancel_tasks(loop, flags);
}

static void loop_request_cancel(struct conc_loop *loop, unsigned flags)
{
    if (loop_is_here(loop))
        conc__loop_cancel_tasks(loop, flags);
    else if (!fetch_or_acq_rel(&loop->cancel_flags, flags))
        conc__driver_post(&loop->driver, &loop->cancel_item);
}

/* Under the guard. */
static bool loop_has_ended(conc_executor *executor)
{
    const struct conc_loop *loop = loop_of_executor(executor);
    return loop->live == 0 || loop->driver.dead;
}

static int loop_shut_down(conc_executor *executor, unsigned flags, conc_deadline deadline)
{
    struct conc_loop *loop = loop_of_executor(executor);
    const unsigned cancel = CONC_SHUTDOWN_CANCEL_PENDING | CONC_SHUTDOWN_CANCEL_RUNNING;
    if ((flags & CONC_SHUTDOWN_WAIT) && context_self()->submits_to == executor)
        return -EDEADLK;
    conc__loop_close(loop);
    if (flags & cancel)
        loop_request_cancel(loop, flags & cancel);
    if (!(flags & CONC_SHUTDOWN_WAIT))
        return 0;
    const struct closing closing = {.executor = executor,
                                    .guard = &loop->word,
                                    .closers = &loop->closers,
                                    .has_ended = loop_has_ended};
    return conc__closing_wait(&closing, deadline);
}

/* The program frees the loop itself. */
static void loop_free_nothing(conc_executor *executor) { (void)executor; }

const conc_executor_ops conc__loop_executor_ops = {
    .submit = loop_submit, .shutdown = loop_shut_down, .free = loop_free_nothing};

conc_executor *conc_loop_executor(conc_loop *loop) { return &loop->executor; }

/* ---- The loop's executors ---- */

static int loop_default_executor(struct conc_loop *loop, conc_executor **ret)
{
    const conc_thread_pool_options options = {.name = "executor"};
    if (!loop->default_executor) {
        int err = conc_thread_pool_new(&loop->default_executor, 0, &options);
        if (err)
            return err;
        loop->owns_default = true;
    }
    *ret = loop->default_executor;
    return 0;
}

static void loop_free_default(struct conc_loop *loop)
{
    if (loop->owns_default)
        conc_executor_free(loop->default_executor);
    loop->default_executor = NULL;
    loop->owns_default = false;
}

int conc_loop_set_default_executor(conc_loop *loop, conc_executor *executor)
{
    int err = conc__loop_check(loop);
    if (err)
        return err;
    loop_free_default(loop);
    loop->default_executor = executor;
    return 0;
}

void conc__loop_free_executors(struct conc_loop *loop) { loop_free_default(loop); }

/* A future that has failed. */
static conc_future *refused_future(int err, conc_fn *fn, size_t result_size)
{
    conc_future *job = conc__job_new(fn, NULL, 0, result_size);
    if (!job)
        return conc__future_no_memory();
    /* Otherwise the future would take the message of an error before. */
    struct message before = message_put_aside(context_self());
    conc_job_drop(conc_future_ref(job), err);
    message_put_back(context_self(), before);
    return job;
}

conc_future *conc_loop_run_in_executor(conc_loop *loop, conc_executor *executor, conc_fn *fn,
                                       const void *arg, size_t arg_size, size_t result_size)
{
    if (!loop)
        return refused_future(-EINVAL, fn, result_size);
    int err = conc__loop_check(loop);
    if (err)
        return refused_future(err, fn, result_size);
    err = executor ? 0 : loop_default_executor(loop, &executor);
    if (err)
        return refused_future(err, fn, result_size);
    return conc_submit(executor, fn, arg, arg_size, result_size);
}

/* ---- conc_to_thread() ---- */

struct carried {
    struct locals *locals; /* a reference, until the job has begun */
    conc_fn *fn;
    size_t arg_size; /* it may be CONC_BYTES */
    alignas(max_align_t) char arg[];
};

static int carried_run(void *arg, void *result)
{
    struct carried *c = arg;
    struct locals_stay stay __attribute__((cleanup(conc__locals_exit)));
    conc__locals_enter(&stay, &c->locals, false);
    if (c->arg_size == CONC_BYTES)
        arg_repoint(c->arg);
    return c->fn(c->arg_size ? c->arg : NULL, result);
}

static void carried_give_back(conc_future *job, void *arg)
{
    (void)arg;
    struct carried *c = conc_job_arg(job, NULL);
    conc__locals_unref(c->locals);
}

/* A pending job that runs fn with the caller's local values; NULL: there is no memory. */
static conc_future *carried_job(conc_fn *fn, const void *arg, size_t arg_size, size_t result_size)
{
    size_t size;
    if (__builtin_add_overflow(sizeof(struct carried), arg_room(arg, arg_size), &size))
        return NULL;
    struct carried *c = alloc_bytes(size);
    if (!c)
        return NULL;
    *c = (struct carried){.locals = NULL, .fn = fn, .arg_size = arg_size};
    if (arg_size)
        arg_store(c->arg, arg, arg_size);
    conc_future *job = conc__job_new(carried_run, c, size, result_size);
    free_bytes(c);
    if (!job || conc__future_add_hook(job, carried_give_back, NULL)) {
        conc_future_unref(job);
        return NULL;
    }
    ((struct carried *)conc_job_arg(job, NULL))->locals = conc__locals_inherit(context_self());
    return job;
}

conc_future *conc_to_thread(conc_fn *fn, const void *arg, size_t arg_size, size_t result_size)
{
    struct conc_loop *loop = loop_here();
    conc_executor *executor;
    if (!loop || !fn || arg_is_missing(arg, arg_size))
        return refused_future(-EINVAL, fn, result_size);
    int err = loop_default_executor(loop, &executor);
    if (err)
        return refused_future(err, fn, result_size);
    conc_future *job = carried_job(fn, arg, arg_size, result_size);
    if (!job)
        return conc__future_no_memory();
    job->executor = executor;
    conc__executor_submit(executor, job);
    return job;
}
