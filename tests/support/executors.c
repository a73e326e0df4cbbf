/* SPDX-License-Identifier: MIT
 *
 * executors.c: see executors.h.
 */
#include "executors.h"

#include <stdlib.h>

#include <conc/cond.h>
#include <conc/executor_impl.h>
#include <conc/loop.h>
#include <conc/thread.h>

/* ---- One of our own: as a program would write it, from public headers alone ---- */

struct lifo {
    struct conc_executor base;
    conc_thread *thread;
    conc_lock lock; /* of the rest */
    conc_cond changed;
    conc_future *top;     /* chained by conc_job_link() */
    conc_future *running; /* a reference */
    bool closed;
};

static conc_future *lifo_next(struct lifo *ex)
{
    conc_future *job = NULL, *done = NULL;
    conc_with_lock (&ex->lock) {
        done = ex->running;
        ex->running = NULL;
    }
    conc_future_unref(done);
    conc_with_lock (&ex->lock) {
        while (!ex->top && !ex->closed)
            conc_cond_wait(&ex->changed, CONC_FOREVER);
        job = ex->top;
        if (job) {
            ex->top = *conc_job_link(job);
            ex->running = conc_future_ref(job);
        }
    }
    return job;
}

static int lifo_main(void *arg, void *result)
{
    struct lifo *ex = *(struct lifo **)arg;
    CHECK(conc_context_set_executor(&ex->base) == NULL);
    for (conc_future *job; (job = lifo_next(ex));)
        conc_job_run(job);
    CHECK(conc_context_set_executor(NULL) == &ex->base);
    return 0;
}

static int lifo_submit(conc_executor *executor, conc_future *job)
{
    struct lifo *ex = (struct lifo *)executor;
    int err = 0;
    conc_with_lock (&ex->lock) {
        err = ex->closed ? -ESHUTDOWN : 0;
        if (!err) {
            *conc_job_link(job) = ex->top;
            ex->top = job;
            conc_cond_notify(&ex->changed, 1);
        }
    }
    return err;
}

static int lifo_shutdown(conc_executor *executor, unsigned flags, conc_deadline deadline)
{
    struct lifo *ex = (struct lifo *)executor;
    conc_future *pending = NULL, *running = NULL;
    conc_with_lock (&ex->lock) {
        ex->closed = true;
        conc_cond_notify_all(&ex->changed);
        if (flags & CONC_SHUTDOWN_CANCEL_PENDING) {
            pending = ex->top;
            ex->top = NULL;
        }
        if ((flags & CONC_SHUTDOWN_CANCEL_RUNNING) && ex->running)
            running = conc_future_ref(ex->running);
    }
    while (pending) {
        conc_future *job = pending;
        pending = *conc_job_link(job);
        conc_job_drop(job, -ECANCELED);
    }
    if (running)
        conc_future_cancel(running);
    conc_future_unref(running);
    return flags & CONC_SHUTDOWN_WAIT ? conc_thread_join(ex->thread, NULL, deadline) : 0;
}

static void lifo_free(conc_executor *executor)
{
    struct lifo *ex = (struct lifo *)executor;
    conc_thread_free(ex->thread);
    free(ex);
}

static const conc_executor_ops lifo_ops = {
    .submit = lifo_submit, .shutdown = lifo_shutdown, .free = lifo_free};

int lifo_new(conc_executor **ret)
{
    struct lifo *ex = calloc(1, sizeof *ex);
    if (!ex)
        return -ENOMEM;
    ex->base.ops = &lifo_ops;
    conc_cond_init(&ex->changed, &ex->lock);
    int err = conc_thread_start(&ex->thread, lifo_main, &ex, sizeof ex,
                                &(conc_thread_options){.name = "lifo"});
    if (err) {
        free(ex);
        return err;
    }
    *ret = &ex->base;
    return 0;
}

/* ---- A loop in a thread of its own ---- */

struct loop_thread {
    struct conc_executor base;
    conc_loop *loop;
    conc_thread *thread; /* runs it, and frees it */
    conc_event runs;
};

static conc_executor *loop_in(conc_executor *executor)
{
    return conc_loop_executor(((struct loop_thread *)executor)->loop);
}

static int loop_thread_submit(conc_executor *executor, conc_future *job)
{
    return loop_in(executor)->ops->submit(loop_in(executor), job);
}

static int loop_thread_shutdown(conc_executor *executor, unsigned flags, conc_deadline deadline)
{
    return conc_executor_shutdown(loop_in(executor), flags, deadline);
}

static void loop_thread_free(conc_executor *executor)
{
    struct loop_thread *ex = (struct loop_thread *)executor;
    conc_scope shield;
    conc_shield_enter(&shield);
    conc_loop_stop(ex->loop);
    CHECK_EQUAL(conc_thread_join(ex->thread, NULL, CONC_FOREVER), 0);
    conc_thread_free(ex->thread);
    conc_shield_exit(&shield);
    free(ex);
}

static const conc_executor_ops loop_thread_ops = {
    .submit = loop_thread_submit, .shutdown = loop_thread_shutdown, .free = loop_thread_free};

static void loop_runs(void *event) { conc_event_set(event); }

static int run_loop(void *arg, void *result)
{
    struct loop_thread *ex = *(struct loop_thread **)arg;
    CHECK_EQUAL(conc_loop_call_soon(ex->loop, loop_runs, &ex->runs, NULL), 0);
    CHECK_EQUAL(conc_loop_run_forever(ex->loop), 0);
    return conc_loop_free(ex->loop);
}

static int loop_thread_new(conc_executor **ret)
{
    struct loop_thread *ex = calloc(1, sizeof *ex);
    CHECK(ex);
    ex->base.ops = &loop_thread_ops;
    CHECK_EQUAL(conc_loop_new(&ex->loop, NULL), 0);
    CHECK_EQUAL(conc_thread_start(&ex->thread, run_loop, &ex, sizeof ex, NULL), 0);
    CHECK_EQUAL(conc_event_wait(&ex->runs, CONC_FOREVER), 0); /* has all that it needs for that */
    *ret = &ex->base;
    return 0;
}

/* ---- The table ---- */

const struct executor_case executor_cases[EXECUTOR_KINDS] = {
    [INLINE] = {.name = "inline", .kind = INLINE, .workers = SIZE_MAX},
    [THREAD_PER_JOB] = {.name = "thread per job", .kind = THREAD_PER_JOB, .workers = SIZE_MAX},
    [POOL_OF_1] = {.name = "pool of 1", .kind = POOL_OF_1, .workers = 1, .queue = SIZE_MAX},
    [POOL_OF_4] = {.name = "pool of 4", .kind = POOL_OF_4, .workers = 4, .queue = SIZE_MAX},
    [BOUNDED_POOL] = {.name = "bounded pool", .kind = BOUNDED_POOL, .workers = 2, .queue = 1},
    [LIFO] = {.name = "lifo", .kind = LIFO, .workers = 1, .queue = SIZE_MAX},
    [LOOP] = {.name = "loop", .kind = LOOP, .workers = SIZE_MAX, .threads = 1},
    [LOOP_POOL] = {.name = "loop pool", .kind = LOOP_POOL, .workers = SIZE_MAX, .threads = 2},
};

conc_executor *executor_of(enum executor_kind kind)
{
    const conc_thread_pool_options bounded = {.max_queued = 1};
    conc_executor *executor = NULL;
    int err = kind == INLINE           ? conc_inline_new(&executor)
              : kind == THREAD_PER_JOB ? conc_thread_per_job_new(&executor)
              : kind == POOL_OF_1      ? conc_thread_pool_new(&executor, 1, NULL)
              : kind == POOL_OF_4      ? conc_thread_pool_new(&executor, 4, NULL)
              : kind == BOUNDED_POOL   ? conc_thread_pool_new(&executor, 2, &bounded)
              : kind == LOOP           ? loop_thread_new(&executor)
              : kind == LOOP_POOL      ? conc_loop_pool_new(&executor, 2)
                                       : lifo_new(&executor);
    CHECK_EQUAL(err, 0);
    return executor;
}

int executor_setup(void **state)
{
    struct executor_case *c = malloc(sizeof *c);
    *c = *(const struct executor_case *)*state;
    leaks_setup(state);
    c->executor = executor_of(c->kind);
    *state = c;
    return 0;
}

int executor_teardown(void **state)
{
    struct executor_case *c = *state;
    CHECK_EQUAL(conc_executor_free(c->executor), 0);
    free(c);
    return leaks_teardown(state);
}

/* ---- Busy workers ---- */

void keep_busy(const struct executor_case *c, struct busy *busy)
{
    *busy = (struct busy){.n = c->workers};
    CHECK(busy->n <= 4);
    for (size_t i = 0; i < busy->n; i++) {
        busy->futures[i] = submit_gate(c->executor, &busy->gates[i]);
        gate_entered(&busy->gates[i]);
    }
}

void let_go(struct busy *busy)
{
    for (size_t i = 0; i < busy->n; i++) {
        conc_event_set(&busy->gates[i].open);
        conc_future_wait(busy->futures[i], CONC_FOREVER);
        CHECK_EQUAL(busy->gates[i].runs, 1);
        conc_future_unref(busy->futures[i]);
    }
}

/* ---- Another submitter ---- */

static void submitter_main(void *arg)
{
    struct other_submitter *s = arg;
    conc_future *future = submit_gate(s->executor, s->gate);
    s->future = future;
    store_release(&s->submitted, 1);
}

void submit_elsewhere(struct other_submitter *s, const char *name, conc_executor *executor,
                      struct gate *gate)
{
    *s = (struct other_submitter){.executor = executor, .gate = gate};
    test_thread_start(&s->thread, name, submitter_main, s);
}

bool other_has_submitted(struct other_submitter *s) { return load_acquire(&s->submitted); }

conc_future *submitted_elsewhere(struct other_submitter *s)
{
    test_thread_join(&s->thread);
    return s->future;
}
