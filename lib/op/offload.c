/* SPDX-License-Identifier: MIT
 *
 * offload.c: ops that only a thread that blocks can carry out: files where the backend has no
 * better way. (Names have threads of their own, io/names.c: a resolver that does not answer must
 * not hold up files.)
 *
 * How: the op becomes a job of the driver's thread pool. The worker performs it, stores the result,
 * and posts the op to the driver, in whose thread it completes. Only the job knows the op: its
 * argument is the op's address. So a job that is cancelled before it begins never looks at the op.
 *
 *     queued -> running -> posted -> completed     by the worker, then by the driver
 *     queued -> completed                          by a cancel, in the driver's thread
 *
 * The job's future decides, under its guard, which of the two it is (pending or not). A running job
 * is cancelled as any job is: a call of libconc in it ends early; a system call ends when it ends.
 * The cancelled call waits for the end of the op in any case, because the op uses the caller's
 * memory.
 *
 * OFFLOAD_THREADS: a disk answers a few requests at a time as fast as many, and each core copies
 * memory by itself. More threads would cost their stacks in every loop of a pool of loops. The pool
 * starts them when there is work for them.
 *
 * The end: the pool is freed while the driver still exists, and freeing it waits for its workers.
 * So no worker posts to a driver that was freed.
 */
#include "op/offload.h"

#include "executor/submit.h"
#include "future/future_impl.h"

static void offload_complete(struct item *item)
{
    struct op *op = list_entry(item, struct op, item);
    /* The node lies where the item was, and must be zero if the op is started again. */
    op->node = (struct list_node){0};
    conc_future_unref(op->job);
    conc__op_complete(op, op->result);
}

static int offload_perform(void *arg, void *result)
{
    struct op *op = *(struct op **)arg;
    op->result = conc__perform(op, true);
    op->item.run = offload_complete;
    conc__driver_post(op->driver, &op->item); /* from here on the op is the driver's again */
    return 0;
}

static int offload_threads(struct driver *driver, conc_executor **ret)
{
    const conc_thread_pool_options options = {.name = "files"};
    int err =
        driver->offload ? 0 : conc_thread_pool_new(&driver->offload, OFFLOAD_THREADS, &options);
    *ret = driver->offload;
    return err;
}

static int offload_submit(struct op *op)
{
    conc_executor *pool;
    int err = offload_threads(op->driver, &pool);
    if (err)
        return err;
    conc_future *job = conc__job_new(offload_perform, &op, sizeof op, 0);
    if (!job)
        return -ENOMEM;
    job->executor = pool;
    op->job = job; /* before it can end */
    err = conc__executor_submit(pool, job);
    if (err) {
        conc__future_observe(job);
        conc_future_unref(job);
    }
    return err;
}

void conc__offload_start(struct op *op)
{
    list_push(&op->driver->offloaded, &op->offloaded);
    int err = offload_submit(op);
    if (err)
        conc__op_complete(op, err);
}

void conc__offload_cancel(struct op *op)
{
    conc_future *job = op->job;
    if (future_cancel_pending(job)) {
        conc_future_unref(job);
        conc__op_complete(op, -ECANCELED);
    } else {
        conc__future_cancel_job(job, true);
    }
}

void conc__offload_fini(struct driver *driver)
{
    conc_executor_free(driver->offload);
    driver->offload = NULL;
}
