/* SPDX-License-Identifier: MIT
 *
 * inline.c: an executor that runs a job in the caller of conc_submit(), before it returns.
 *
 * The only state is which callers are running a job now, for shutdown to wait for: a lock, a list,
 * a condition. A caller may be another executor's worker, and must stay that (it must be able to
 * help its pool): so the list, not conc_context_set_executor(), tells which contexts must not wait.
 */
#include <conc/cond.h>
#include <conc/executor_impl.h>

#include "base/alloc.h"
#include "base/list.h"
#include "future/future_impl.h"

/* An inline_submit() that runs its job; lies on its stack. */
struct inline_run {
    struct inline_executor *executor;
    struct list_node node; /* in its executor's runs */
    uint64_t context;      /* its id */
    conc_future *job;      /* the caller of conc_submit() has a reference */
};

struct inline_executor {
    struct conc_executor base;
    conc_lock lock; /* of the rest */
    conc_cond idle;
    struct list runs;
    bool closed;
};

_Static_assert(offsetof(struct inline_executor, base) == 0, "a conc_executor is cast to it");

static struct inline_executor *inline_of(conc_executor *executor)
{
    return (struct inline_executor *)executor;
}

/* Also where the job has left in the middle, and the stack is unwound. */
static void inline_run_end(struct inline_run **at)
{
    struct inline_run *run = *at;
    struct inline_executor *ex = run->executor;
    conc_with_lock (&ex->lock) {
        list_remove(&ex->runs, &run->node);
        if (list_is_empty(&ex->runs))
            conc_cond_notify_all(&ex->idle);
    }
}

static int inline_submit(conc_executor *executor, conc_future *job)
{
    struct inline_executor *ex = inline_of(executor);
    bool closed = false;
    struct inline_run run = {.executor = ex, .context = conc_context_id(NULL), .job = job};
    conc_with_lock (&ex->lock) {
        closed = ex->closed;
        if (!closed)
            list_push(&ex->runs, &run.node);
    }
    if (closed)
        return -ESHUTDOWN;
    struct inline_run *listed __attribute__((cleanup(inline_run_end))) = &run;
    conc_job_run(listed->job);
    return 0;
}

static bool inline_is_idle(void *arg)
{
    return list_is_empty(&((struct inline_executor *)arg)->runs);
}

/* With the lock. */
static bool inline_runs_caller(const struct inline_executor *ex)
{
    for (struct list_node *n = ex->runs.head; n; n = list_next(&ex->runs, n))
        if (context_stands_here(list_entry(n, struct inline_run, node)->context))
            return true;
    return false;
}

/* With the lock. */
static void inline_cancel_running(struct inline_executor *ex)
{
    for (struct list_node *n = ex->runs.head; n; n = list_next(&ex->runs, n))
        conc__future_cancel_job(list_entry(n, struct inline_run, node)->job, true);
}

/* There is never a pending job. */
static int inline_shutdown(conc_executor *executor, unsigned flags, conc_deadline deadline)
{
    struct inline_executor *ex = inline_of(executor);
    int err = 0;
    conc_with_lock (&ex->lock) {
        if ((flags & CONC_SHUTDOWN_WAIT) && inline_runs_caller(ex))
            return -EDEADLK;
        ex->closed = true;
        if (flags & CONC_SHUTDOWN_CANCEL_RUNNING)
            inline_cancel_running(ex);
        if (flags & CONC_SHUTDOWN_WAIT)
            err = conc_cond_wait_for(&ex->idle, inline_is_idle, ex, deadline);
    }
    return err;
}

static void inline_free(conc_executor *executor) { free_bytes(executor); }

static const conc_executor_ops inline_ops = {
    .submit = inline_submit, .shutdown = inline_shutdown, .free = inline_free};

int conc_inline_new(conc_executor **ret)
{
    struct inline_executor *ex = alloc_one(struct inline_executor);
    if (!ex)
        return -ENOMEM;
    ex->base.ops = &inline_ops;
    conc_cond_init(&ex->idle, &ex->lock);
    *ret = &ex->base;
    return 0;
}
