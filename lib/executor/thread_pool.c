/* SPDX-License-Identifier: MIT
 *
 * thread_pool.c: jobs on threads: a pool that starts them when they are needed and uses them again,
 * and, as the pool without a limit whose threads end after one job, a thread for every job.
 *
 * How: a submitted job goes to the worker that became idle last (its stack and caches are warm),
 * else to a new thread while there may be one more, else into the queue, from which a worker that
 * has finished a job takes the next. With the queue at its bound the submitter waits on a list, its
 * job in its waiter, and the worker that makes room moves the job into the queue.
 *
 * A worker that submits to its own pool must not wait for room, or all might. With the queue at its
 * bound it runs the job at once; but such jobs lie on its stack, one within another, and may submit
 * in turn: so only a few of them. After that its jobs go into the queue, over the bound, which then
 * holds for the others alone: they wait until the queue is below it.
 *
 * All state is under one guard, held for a few pointer moves (and, rarely, while a thread is
 * started). No user code, no wake-up and no allocation but the start's happens under it. Order of
 * the guards: this one, then a future's.
 *
 * Invariants:
 * - a worker is idle only while the queue is empty; the queue holds jobs only while there are
 *   workers; submitters wait only while the queue is at its bound, or over it: so no job waits
 *   while a worker could run it.
 * - each worker holds a reference to the job it runs (`job`), so that a shutdown can cancel it.
 *
 * A job may leave its worker in the middle (pthread_exit(); future/job.c). Its thread is lost, and
 * cleanup functions run instead of the rest: a new worker takes the next job of the queue, if there
 * is one, and the old one leaves as always. In the initialiser, that is a failure like any other.
 *
 * The end: after `closed` is set, idle workers leave at once, the others when the queue is empty.
 * The last one to leave wakes the closers. A thread that has left is joined by the next one that
 * leaves, the last one by the shutdown: so at most one of them is kept. A worker's last touch of
 * the pool is the guard's release in thread_pool_leave().
 */
#include <conc/executor_impl.h>

#include <stdio.h>

#include "base/alloc.h"
#include "base/invariant.h"
#include "executor/closing.h"
#include "executor/job_queue.h"
#include "future/future_impl.h"
#include "thread/create.h"

struct pool_thread {
    struct list_node node; /* in pool->workers */
    struct thread_pool *pool;
    pthread_t system;
    size_t number;
    conc_future *job; /* that it runs, or was just given; NULL: it is idle */
    bool has_begun;   /* its initialiser has succeeded */
};

struct thread_pool {
    struct conc_executor base;

    /* constant */
    size_t max_threads;
    uint32_t forks; /* of the process that has made it */
    bool reuse;     /* false: a thread ends after its first job */
    struct conc_thread_pool_options options;
    char name[CONC_NAME_MAX];

    uint32_t word;                    /* the guard of the rest */
    struct conc__waitlist idle;       /* workers; slot: the worker */
    struct conc__waitlist submitters; /* waiting for room; slot: the job */
    struct conc__waitlist closers;    /* waiting for the last thread to leave */
    struct job_queue queue;
    struct list workers;
    struct pool_thread *left; /* has left, and is to be joined */
    size_t threads;           /* workers that have not left */
    size_t started;
    bool closed, broken;
};

_Static_assert(offsetof(struct thread_pool, base) == 0, "a conc_executor is cast to it");

static struct thread_pool *thread_pool_of(conc_executor *executor)
{
    return (struct thread_pool *)executor;
}

/* ---- Workers ---- */

static void thread_pool_join_worker(struct pool_thread *w)
{
    if (w)
        pthread_join(w->system, NULL);
    free_bytes(w);
}

/* Under the guard: take the next job from the queue; NULL: there is none. *submitter gets the room,
 * if one waits for that, and is to be delivered to. */
static conc_future *thread_pool_pop_job(struct thread_pool *pool, struct conc__waiter **submitter)
{
    conc_future *job = job_queue_pop(&pool->queue);
    *submitter = NULL;
    if (job && pool->queue.length < pool->options.max_queued)
        *submitter = waitlist_pop(&pool->submitters);
    if (*submitter)
        job_queue_push(&pool->queue, (*submitter)->slot);
    return job;
}

/* Take the next job from the queue, if there is one; else list `here`, if it is not NULL, as idle.
 * True: it is. */
static bool thread_pool_take_job(struct thread_pool *pool, struct pool_thread *w,
                                 struct conc__waiter *here)
{
    struct conc__waiter *submitter;
    bool idle = false;
    guard_lock(&pool->word);
    w->job = thread_pool_pop_job(pool, &submitter);
    if (!w->job && here && !pool->closed) {
        here->slot = w;
        conc__waitlist_push_front(&pool->idle, here);
        idle = true;
    }
    guard_unlock(&pool->word);
    if (submitter)
        conc__waiter_deliver(submitter, 0);
    return idle;
}

/* Under the guard: give the job to the worker that became idle last, which is to be delivered to;
 * NULL: none is idle. */
static struct conc__waiter *thread_pool_give_to_idle(struct thread_pool *pool, conc_future *job)
{
    struct conc__waiter *idle = waitlist_pop(&pool->idle);
    if (!idle)
        return NULL;
    invariant(job_queue_is_empty(&pool->queue), "a worker is idle only while the queue is empty");
    ((struct pool_thread *)idle->slot)->job = job;
    return idle;
}

/* The worker was left in the middle: if its job has not begun it is another's; else give the
 * reference. */
static conc_future *thread_pool_give_back_job(struct thread_pool *pool, struct pool_thread *w)
{
    struct conc__waiter *idle = NULL;
    guard_lock(&pool->word);
    conc_future *job = w->job;
    w->job = NULL;
    if (future_is_pending(job)) {
        idle = thread_pool_give_to_idle(pool, job);
        if (!idle)
            job_queue_push_front(&pool->queue, job);
        job = NULL;
    }
    guard_unlock(&pool->word);
    if (idle)
        conc__waiter_deliver(idle, 0);
    return job;
}

static void thread_pool_forget_job(struct thread_pool *pool, struct pool_thread *w)
{
    guard_lock(&pool->word);
    w->job = NULL;
    guard_unlock(&pool->word);
}

/* The worker has ended w->job: the next one; NULL: it is to leave. */
static conc_future *thread_pool_next_job(struct thread_pool *pool, struct pool_thread *w)
{
    conc_future *done = w->job;
    if (pool->reuse)
        thread_pool_take_job(pool, w, NULL);
    else
        thread_pool_forget_job(pool, w);
    /* Not while this worker is listed as idle: the hook for unobserved errors may block here, and
     * its wait would be ended by the next job. */
    conc_future_unref(done);
    if (w->job || !pool->reuse)
        return w->job;
    struct conc__waiter here = waiter_here_firmly();
    const struct wait_on on = {
        .list = &pool->idle, .guard = &pool->word, .what = "work", .object = pool};
    if (thread_pool_take_job(pool, w, &here))
        conc__waiter_wait_firmly(&here, &on);
    return w->job;
}

static void *thread_pool_worker_main(void *arg);

/* Under the guard: a new thread, whose first job it is. */
static int thread_pool_start_worker(struct thread_pool *pool, conc_future *job)
{
    struct pool_thread *w = alloc_one(struct pool_thread);
    if (!w)
        return -ENOMEM;
    *w = (struct pool_thread){.pool = pool, .number = pool->started, .job = job};
    int err = conc__thread_create(&w->system, pool->options.stack_size, thread_pool_worker_main, w);
    if (err) {
        free_bytes(w);
        return err;
    }
    list_push(&pool->workers, &w->node);
    pool->threads++;
    pool->started++;
    return 0;
}

/* Under the guard, by a worker that leaves: if it leaves jobs in the queue, a new worker takes the
 * next; if that cannot be started, the others take them; if there are no others these jobs are
 * given, to be failed. *submitter: to be delivered to, or NULL. */
static conc_future *thread_pool_leave_jobs(struct thread_pool *pool,
                                           struct conc__waiter **submitter)
{
    conc_future *job = thread_pool_pop_job(pool, submitter);
    if (!job || thread_pool_start_worker(pool, job) == 0)
        return NULL;
    job_queue_push_front(&pool->queue, job);
    return pool->threads > 1 ? NULL : job_queue_take_all(&pool->queue);
}

static void thread_pool_leave(struct thread_pool *pool, struct pool_thread *w)
{
    struct conc__waiter *submitter, *closers = NULL;
    conc_future *lost;
    guard_lock(&pool->word);
    while ((lost = thread_pool_leave_jobs(pool, &submitter))) {
        guard_unlock(&pool->word);
        if (submitter)
            conc__waiter_deliver(submitter, 0);
        while (lost) {
            conc_raise(-ENOMEM, "no thread could be started for it");
            conc_job_drop(job_chain_pop(&lost), -ENOMEM);
        }
        guard_lock(&pool->word);
    }
    list_remove(&pool->workers, &w->node);
    struct pool_thread *before = pool->left;
    pool->left = w;
    invariant(pool->threads > 0, "a worker that leaves was counted");
    if (--pool->threads == 0)
        closers = waitlist_take_all(&pool->closers);
    guard_unlock(&pool->word);
    if (submitter)
        conc__waiter_deliver(submitter, 0);
    conc__waiter_deliver_all(closers, 0);
    thread_pool_join_worker(before);
}

/* The initialiser has failed: no pending job will run, and no further job is taken. */
static void thread_pool_break(struct thread_pool *pool, struct pool_thread *w, int err)
{
    char why[CONC_MESSAGE_MAX];
    snprintf(why, sizeof why, "%s", conc_describe(err));
    guard_lock(&pool->word);
    pool->broken = pool->closed = true;
    invariant(w->job, "a worker begins with a job");
    conc_future *jobs = w->job;
    w->job = NULL;
    jobs->link = job_queue_take_all(&pool->queue);
    struct conc__waiter *idle = waitlist_take_all(&pool->idle);
    struct conc__waiter *submitters = waitlist_take_all(&pool->submitters);
    guard_unlock(&pool->word);
    conc__waiter_deliver_all(idle, 0);
    conc__waiter_deliver_all(submitters, -CONC_EBROKEN);
    while (jobs) {
        /* For each job: the callbacks of the one before may have raised other errors. */
        conc_raise(-CONC_EBROKEN, "the initialiser of a worker failed: %.200s (%d)", why, err);
        conc_job_drop(job_chain_pop(&jobs), -CONC_EBROKEN);
    }
}

/* Also where a job has left it in the middle, and the stack is unwound; as the next. */
static void thread_pool_worker_fini(struct pool_thread **at)
{
    struct pool_thread *w = *at;
    struct thread_pool *pool = w->pool;
    if (w->has_begun && pool->options.fini)
        pool->options.fini(pool->options.arg);
    else if (!w->has_begun && w->job)
        thread_pool_break(pool, w, -EOWNERDEAD);
}

static void thread_pool_worker_end(struct pool_thread **at)
{
    struct pool_thread *w = *at;
    struct thread_pool *pool = w->pool;
    if (w->job)
        conc_future_unref(thread_pool_give_back_job(pool, w));
    conc_context_set_executor(NULL);
    thread_pool_leave(pool, w);
}

static void thread_pool_worker_run(struct pool_thread *worker)
{
    struct pool_thread *w __attribute__((cleanup(thread_pool_worker_fini))) = worker;
    struct thread_pool *pool = w->pool;
    int err = pool->options.init ? pool->options.init(pool->options.arg) : 0;
    if (err) {
        thread_pool_break(pool, w, err);
        return;
    }
    w->has_begun = true;
    conc_context_set_executor(&pool->base); /* once more: helped jobs have the values of now */
    for (conc_future *job = w->job; job; job = thread_pool_next_job(pool, w))
        conc__job_execute(job);
}

static void *thread_pool_worker_main(void *arg)
{
    struct pool_thread *w __attribute__((cleanup(thread_pool_worker_end))) = arg;
    struct thread_pool *pool = w->pool;
    char name[CONC_NAME_MAX], number[24];
    snprintf(number, sizeof number, "-%zu", w->number);
    conc__name_join(name, pool->name, number);
    conc_context_set_name(name);
    conc_context_set_executor(&pool->base);
    thread_pool_worker_run(w);
    return NULL;
}

/* ---- Submitting ---- */

/* The queue is at its bound. With the guard, which it releases. */
static int thread_pool_submit_to_full(struct thread_pool *pool, conc_future *job)
{
    const struct conc_context *self = context_self();
    if (self->works_for == &pool->base) {
        const bool at_once = help_is_shallow(self) && !self->rlocks;
        if (!at_once)
            job_queue_push(&pool->queue, job);
        guard_unlock(&pool->word);
        if (at_once) {
            conc__future_help(job, CONC_FOREVER, false);
            conc_future_unref(job);
        }
        return 0;
    }
    struct conc__waiter w = waiter_here();
    w.slot = job;
    conc__waitlist_push(&pool->submitters, &w);
    guard_unlock(&pool->word);
    const struct wait_on on = {
        .list = &pool->submitters, .guard = &pool->word, .what = "executor", .object = pool};
    return conc__waiter_wait(&w, &on, CONC_FOREVER);
}

/* No worker is idle: give the job to a new one, or queue it. With the guard, which it releases. */
static int thread_pool_submit_to_busy(struct thread_pool *pool, conc_future *job)
{
    if (pool->threads < pool->max_threads) {
        int err = thread_pool_start_worker(pool, job);
        /* If there is no memory for a thread but there are others, the job is theirs. */
        if (!err || !pool->reuse || pool->threads == 0) {
            guard_unlock(&pool->word);
            return err;
        }
    }
    const size_t max_queued = pool->options.max_queued;
    if (max_queued && pool->queue.length >= max_queued)
        return thread_pool_submit_to_full(pool, job);
    job_queue_push(&pool->queue, job);
    guard_unlock(&pool->word);
    return 0;
}

/* False in a fork's child: the workers are not there, and one of them may have held the guard. */
static bool thread_pool_is_ours(const struct thread_pool *pool)
{
    return pool->forks == conc__forks();
}

static int thread_pool_submit(conc_executor *executor, conc_future *job)
{
    struct thread_pool *pool = thread_pool_of(executor);
    if (!thread_pool_is_ours(pool))
        return -ESHUTDOWN;
    guard_lock(&pool->word);
    if (pool->closed) {
        const int err = pool->broken ? -CONC_EBROKEN : -ESHUTDOWN;
        guard_unlock(&pool->word);
        return err;
    }
    struct conc__waiter *idle = thread_pool_give_to_idle(pool, job);
    if (!idle)
        return thread_pool_submit_to_busy(pool, job);
    guard_unlock(&pool->word);
    conc__waiter_deliver(idle, 0);
    return 0;
}

/* ---- The end ---- */

/* The jobs that workers have: those that have not begun (a worker may be long in its initialiser),
 * and those that run. */
static void thread_pool_cancel_given(struct thread_pool *pool, bool also_running)
{
    guard_lock(&pool->word);
    for (struct list_node *i = pool->workers.head; i; i = list_next(&pool->workers, i)) {
        struct pool_thread *w = list_entry(i, struct pool_thread, node);
        if (w->job)
            conc__future_cancel_job(w->job, also_running);
    }
    guard_unlock(&pool->word);
}

static bool thread_pool_has_no_threads(conc_executor *executor)
{
    return thread_pool_of(executor)->threads == 0;
}

static int thread_pool_wait_ended(struct thread_pool *pool, conc_deadline deadline)
{
    const struct closing closing = {.executor = &pool->base,
                                    .guard = &pool->word,
                                    .closers = &pool->closers,
                                    .has_ended = thread_pool_has_no_threads};
    int err = conc__closing_wait(&closing, deadline);
    if (err)
        return err;
    guard_lock(&pool->word);
    struct pool_thread *last = pool->left;
    pool->left = NULL;
    guard_unlock(&pool->word);
    thread_pool_join_worker(last);
    return 0;
}

static int thread_pool_shutdown(conc_executor *executor, unsigned flags, conc_deadline deadline)
{
    struct thread_pool *pool = thread_pool_of(executor);
    if (!thread_pool_is_ours(pool))
        return 0;
    guard_lock(&pool->word);
    pool->closed = true;
    struct conc__waiter *idle = waitlist_take_all(&pool->idle);
    struct conc__waiter *submitters = waitlist_take_all(&pool->submitters);
    conc_future *pending =
        flags & CONC_SHUTDOWN_CANCEL_PENDING ? job_queue_take_all(&pool->queue) : NULL;
    guard_unlock(&pool->word);
    conc__waiter_deliver_all(idle, 0);
    conc__waiter_deliver_all(submitters, -ESHUTDOWN);
    job_chain_cancel(pending);
    if (flags & (CONC_SHUTDOWN_CANCEL_PENDING | CONC_SHUTDOWN_CANCEL_RUNNING))
        thread_pool_cancel_given(pool, flags & CONC_SHUTDOWN_CANCEL_RUNNING);
    return flags & CONC_SHUTDOWN_WAIT ? thread_pool_wait_ended(pool, deadline) : 0;
}

static void thread_pool_free(conc_executor *executor) { free_bytes(executor); }

/* Asking does not change the pool, but it takes the guard. */
static bool thread_pool_is_broken(const conc_executor *executor)
{
    struct thread_pool *pool = thread_pool_of((conc_executor *)(uintptr_t)executor);
    if (!thread_pool_is_ours(pool))
        return false;
    guard_lock(&pool->word);
    bool is = pool->broken;
    guard_unlock(&pool->word);
    return is;
}

/* ---- Makers ---- */

static const conc_executor_ops thread_pool_ops = {.submit = thread_pool_submit,
                                                  .shutdown = thread_pool_shutdown,
                                                  .free = thread_pool_free,
                                                  .is_broken = thread_pool_is_broken};

static int thread_pool_make(conc_executor **ret, size_t max_threads, bool reuse,
                            const conc_thread_pool_options *options, const char *name)
{
    struct thread_pool *pool = alloc_one(struct thread_pool);
    if (!pool)
        return -ENOMEM;
    pool->base.ops = &thread_pool_ops;
    pool->max_threads = max_threads;
    pool->forks = conc__forks();
    pool->reuse = reuse;
    if (options)
        pool->options = *options;
    snprintf(pool->name, sizeof pool->name, "%s", pool->options.name ? pool->options.name : name);
    pool->options.name = NULL; /* the caller's memory; pool->name is a copy */
    *ret = &pool->base;
    return 0;
}

/* CPython 3.13's choice: jobs that wait for input and output want more threads than there are
 * processors. */
static size_t thread_pool_default_size(void)
{
    enum { THREADS_MORE = 4, THREADS_MAX = 32 };
    const size_t threads = conc__usable_cpus() + THREADS_MORE;
    return threads < THREADS_MAX ? threads : THREADS_MAX;
}

int conc_thread_pool_new(conc_executor **ret, size_t threads,
                         const conc_thread_pool_options *options)
{
    if (options && !thread_stack_is_possible(options->stack_size))
        return -EINVAL;
    return thread_pool_make(ret, threads ? threads : thread_pool_default_size(), true, options,
                            "worker");
}

int conc_thread_per_job_new(conc_executor **ret)
{
    return thread_pool_make(ret, SIZE_MAX, false, NULL, "job");
}
