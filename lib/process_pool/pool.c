/* SPDX-License-Identifier: MIT
 *
 * pool.c: an executor whose jobs run in processes: submitting, its end, and making one.
 *
 * Workers are children of the fork server (process/spawner.c). Between the program and each
 * worker lies a lane: two rings in shared memory (ring.h), one for jobs, one for results. A
 * small job costs two copies each way and no system call, as long as both sides are awake. A
 * large one flows through the ring in pieces while the other side takes them out, so it needs no
 * more memory, and that memory stays in the caches. A large result is not copied at all: the job
 * writes it into a block of shared memory, and there the program reads it (block.h). Where one
 * side has to sleep, a worker sleeps on a word of the ring; the program's manager sleeps in a
 * poll, of an eventfd that the workers write to and of their reports.
 *
 * Jobs are given to workers by the contexts that submit (feed.c). Results are taken by the
 * *manager*, a thread (manager.c). A job is taken off the queue and claimed when it is given;
 * until then it can be cancelled.
 *
 * The pool breaks if a worker dies: the manager completes everything that is not done. It
 * becomes the feeder for that, so that no context reads a job that was freed.
 *
 * Guards: the pool's is taken before a future's. Everything in a worker's struct belongs to the
 * guard, the feeder or the manager, as pool_impl.h says.
 */
#include <conc/process_pool.h>

#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/fd_message.h"
#include "executor/closing.h"
#include "process_pool/pool_impl.h"
#include "thread/create.h"

enum { WORKERS_MAX = 1024 };

static struct process_pool *process_pool_of(conc_executor *executor)
{
    return (struct process_pool *)(void *)executor;
}

void conc__pool_wake(const struct process_pool *pool)
{
    if (eventfd_write(pool->wake_fd, 1)) /* it cannot fail: the counter would have to be full */
        return;
}

static bool process_pool_is_ours(const struct process_pool *pool)
{
    return pool->forks == conc__forks();
}

static int process_pool_submit(conc_executor *executor, conc_future *job)
{
    struct process_pool *pool = process_pool_of(executor);
    if (!process_pool_is_ours(pool))
        return -ESHUTDOWN;
    guard_lock(&pool->word);
    const bool broken = pool->broken, closed = pool->closed;
    if (!closed)
        job_queue_push(&pool->queue, job);
    guard_unlock(&pool->word);
    if (broken)
        return conc_raise(-CONC_EBROKEN, "%s", pool->why);
    if (closed)
        return -ESHUTDOWN;
    conc__pool_feed(pool);
    return 0;
}

/* ---- The end ---- */

static bool process_pool_has_ended(conc_executor *executor)
{
    return process_pool_of(executor)->is_over;
}

static int process_pool_wait_ended(struct process_pool *pool, conc_deadline deadline)
{
    const struct closing closing = {
        .executor = &pool->base,
        .guard = &pool->word,
        .closers = &pool->closers,
        .has_ended = process_pool_has_ended,
    };
    int err = conc__closing_wait(&closing, deadline);
    if (err)
        return err;
    guard_lock(&pool->word);
    bool join = !pool->joined;
    pool->joined = true;
    guard_unlock(&pool->word);
    if (join)
        pthread_join(pool->manager, NULL);
    return 0;
}

static int process_pool_shut_down(conc_executor *executor, unsigned flags, conc_deadline deadline)
{
    struct process_pool *pool = process_pool_of(executor);
    conc_future *pending = NULL;
    if (!process_pool_is_ours(pool))
        return 0;
    guard_lock(&pool->word);
    pool->closed = true;
    if (flags & CONC_SHUTDOWN_CANCEL_PENDING)
        pending = job_queue_take_all(&pool->queue);
    guard_unlock(&pool->word);
    job_chain_cancel(pending);
    conc__pool_feed(pool);
    conc__pool_wake(pool);
    return flags & CONC_SHUTDOWN_WAIT ? process_pool_wait_ended(pool, deadline) : 0;
}

/* In the child of a fork the jobs are the parent's: they are not freed. */
static void process_pool_free(conc_executor *executor)
{
    struct process_pool *pool = process_pool_of(executor);
    for (size_t i = 0; i < pool->n; i++)
        conc__pool_close_worker(pool, &pool->workers[i]);
    free_bytes(pool->polled);
    conc__fds_close(pool->fds, pool->n_fds);
    for (uint32_t i = 0; i < pool->n_objects; i++)
        free_bytes(pool->objects[i]);
    if (pool->wake_fd >= 0)
        close(pool->wake_fd);
    conc_bytes_free(&pool->start);
    free_bytes(pool);
}

/* Asking does not change the pool, but it takes the guard. */
static bool process_pool_is_broken(const conc_executor *executor)
{
    struct process_pool *pool = process_pool_of((conc_executor *)(uintptr_t)executor);
    if (!process_pool_is_ours(pool))
        return false;
    guard_lock(&pool->word);
    bool is = pool->broken;
    guard_unlock(&pool->word);
    return is;
}

static const conc_executor_ops process_pool_ops = {.submit = process_pool_submit,
                                                   .shutdown = process_pool_shut_down,
                                                   .free = process_pool_free,
                                                   .is_broken = process_pool_is_broken};

static int process_pool_signal(conc_executor *executor, int signo)
{
    struct process_pool *pool = process_pool_of(executor);
    if (!executor || executor->ops != &process_pool_ops)
        return -EINVAL;
    if (!process_pool_is_ours(pool))
        return -ESHUTDOWN;
    guard_lock(&pool->word);
    pool->closed = true;
    pool->signo = signo;
    guard_unlock(&pool->word);
    for (size_t i = 0; i < pool->n; i++) {
        guard_lock(&pool->word);
        const struct child child = pool->workers[i].child;
        guard_unlock(&pool->word);
        if (child.report_fd >= 0)
            conc__child_signal(&child, signo);
    }
    conc__pool_wake(pool);
    return 0;
}

int conc_process_pool_terminate_workers(conc_executor *pool)
{
    return process_pool_signal(pool, SIGTERM);
}

int conc_process_pool_kill_workers(conc_executor *pool)
{
    return process_pool_signal(pool, SIGKILL);
}

/* ---- Making ---- */

/* Duplicate the descriptors: workers that are started later get them, too. */
static int process_pool_keep_fds(struct process_pool *pool,
                                 const conc_process_pool_options *options)
{
    for (; pool->n_fds < options->n_fds; pool->n_fds++) {
        int fd = fcntl(options->fds[pool->n_fds], F_DUPFD_CLOEXEC, 3);
        if (fd < 0)
            return -errno;
        pool->fds[pool->n_fds] = fd;
    }
    return 0;
}

static int process_pool_start_all(struct process_pool *pool)
{
    for (size_t i = 0; i < pool->n; i++) {
        int err = conc__pool_start_worker(pool, &pool->workers[i]);
        if (err)
            return err;
    }
    return conc__thread_create(&pool->manager, 0, conc__pool_manager, pool);
}

/* What can fail. What there is by then is released by process_pool_free(). */
static int process_pool_set_up(struct process_pool *pool, const conc_process_pool_options *options)
{
    pool->wake_fd = conc__fd_own(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
    if (pool->wake_fd < 0)
        return pool->wake_fd;
    int err = conc__child_message(&pool->start, CHILD_WORKER, "", options->init, options->arg,
                                  options->arg_size);
    if (err)
        return err;
    err = process_pool_keep_fds(pool, options);
    if (err)
        return err;
    pool->polled = alloc_array(pool->n + 1, sizeof *pool->polled);
    if (!pool->polled)
        return -ENOMEM;
    return process_pool_start_all(pool);
}

int conc_process_pool_new(conc_executor **ret, size_t workers,
                          const conc_process_pool_options *options)
{
    static const conc_process_pool_options defaults = {0};
    if (!options)
        options = &defaults;
    if (!workers)
        workers = conc__usable_cpus();
    if (!ret || workers > WORKERS_MAX || arg_is_missing(options->arg, options->arg_size) ||
        options->n_fds > CONC_PROCESS_POOL_FDS_MAX || (options->n_fds && !options->fds))
        return -EINVAL;
    struct process_pool *pool = alloc_array(1, sizeof *pool + workers * sizeof *pool->workers);
    if (!pool)
        return -ENOMEM;
    pool->base.ops = &process_pool_ops;
    pool->n = workers;
    pool->forks = conc__forks();
    pool->max_jobs = options->max_jobs_per_worker;
    snprintf(pool->name, sizeof pool->name, "%s", options->name ? options->name : "worker");
    for (size_t i = 0; i < workers; i++)
        pool->workers[i].child.report_fd = pool->workers[i].lane_fd = -1;
    int err = process_pool_set_up(pool, options);
    if (err) {
        process_pool_free(&pool->base); /* kills its workers: conc__pool_close_worker() */
        return err;
    }
    *ret = &pool->base;
    return 0;
}
