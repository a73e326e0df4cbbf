/* SPDX-License-Identifier: MIT
 *
 * pool.c: an executor that spreads jobs, as tasks, over several loops, each with a thread.
 *
 * A job goes to the loop with the fewest tasks; among equals, the search begins at the next loop
 * each time. Tasks stay on their loop, so the balance depends on where they begin. Each member
 * thread runs its loop until the pool is freed, and then frees the loop.
 */
#include <conc/event.h>
#include <conc/thread.h>

#include <stdio.h>

#include "base/alloc.h"
#include "loop/task_impl.h"
#include "thread/create.h"

struct member {
    conc_loop *loop;
    conc_thread *thread; /* it runs the loop, and frees it */
    conc_event started;
    int err; /* why it has not started; written before `started` is set */
};

struct loop_pool {
    struct conc_executor base;
    uint32_t next; /* where the search begins */
    size_t count;
    struct member members[];
};

_Static_assert(offsetof(struct loop_pool, base) == 0, "loop_pool_of() casts");

static struct loop_pool *loop_pool_of(conc_executor *executor)
{
    return (struct loop_pool *)(void *)executor;
}

/* ---- Jobs ---- */

static size_t loop_count_tasks(struct conc_loop *loop)
{
    guard_lock(&loop->word);
    size_t n = loop->live;
    guard_unlock(&loop->word);
    return n;
}

static int loop_pool_submit(conc_executor *executor, conc_future *job)
{
    struct loop_pool *pool = loop_pool_of(executor);
    size_t first = fetch_add_relaxed(&pool->next, 1); /* relaxed: which one is not important */
    size_t fewest = SIZE_MAX;
    conc_loop *loop = NULL;
    for (size_t i = 0; i < pool->count && fewest > 0; i++) {
        conc_loop *candidate = pool->members[(first + i) % pool->count].loop;
        size_t n = loop_count_tasks(candidate);
        if (n < fewest) {
            fewest = n;
            loop = candidate;
        }
    }
    return conc__task_submit(loop, job, NULL);
}

static bool loop_pool_has_caller(const struct loop_pool *pool)
{
    for (size_t i = 0; i < pool->count; i++)
        if (context_self()->submits_to == &pool->members[i].loop->executor)
            return true;
    return false;
}

static int loop_pool_wait(const struct loop_pool *pool, conc_deadline deadline)
{
    for (size_t i = 0; i < pool->count; i++) {
        int err = conc_executor_shutdown(conc_loop_executor(pool->members[i].loop),
                                         CONC_SHUTDOWN_WAIT, deadline);
        if (err)
            return err;
    }
    return 0;
}

static int loop_pool_shut_down(conc_executor *executor, unsigned flags, conc_deadline deadline)
{
    struct loop_pool *pool = loop_pool_of(executor);
    if ((flags & CONC_SHUTDOWN_WAIT) && loop_pool_has_caller(pool))
        return -EDEADLK;
    for (size_t i = 0; i < pool->count; i++) /* all are closed before the first is waited for */
        conc_executor_shutdown(conc_loop_executor(pool->members[i].loop),
                               flags & ~CONC_SHUTDOWN_WAIT, CONC_NOW);
    return flags & CONC_SHUTDOWN_WAIT ? loop_pool_wait(pool, deadline) : 0;
}

/* ---- Threads ---- */

static void member_has_started(void *arg) { conc_event_set(&((struct member *)arg)->started); }

static int member_run(void *arg, void *result)
{
    (void)result;
    struct member *m = *(struct member **)arg;
    m->err = conc_loop_call_soon(m->loop, member_has_started, m, NULL);
    m->err = m->err ? m->err : conc_loop_run_forever(m->loop);
    conc_loop_free(m->loop);
    conc_event_set(&m->started);
    return 0;
}

static int member_start(struct member *m, size_t number)
{
    int err = conc_loop_new(&m->loop, NULL);
    if (err)
        return err;
    char name[CONC_NAME_MAX];
    snprintf(name, sizeof name, "loop-%zu", number);
    const conc_thread_options options = {.name = name};
    err = conc_thread_start(&m->thread, member_run, &m, sizeof m, &options);
    if (err) {
        conc_loop_free(m->loop);
        return err;
    }
    conc_event_wait(&m->started, CONC_FOREVER);
    if (m->err) {
        conc_thread_join(m->thread, NULL, CONC_FOREVER);
        conc_thread_free(m->thread);
    }
    return m->err;
}

static void loop_pool_free(conc_executor *executor)
{
    struct loop_pool *pool = loop_pool_of(executor);
    conc_scope shield;
    conc_shield_enter(&shield);
    for (size_t i = 0; i < pool->count; i++)
        conc_loop_stop(pool->members[i].loop);
    for (size_t i = 0; i < pool->count; i++) {
        conc_thread_join(pool->members[i].thread, NULL, CONC_FOREVER);
        conc_thread_free(pool->members[i].thread);
    }
    conc_shield_exit(&shield);
    free_bytes(pool);
}

static const conc_executor_ops loop_pool_ops = {
    .submit = loop_pool_submit, .shutdown = loop_pool_shut_down, .free = loop_pool_free};

/* On an error, the members that have started are left for loop_pool_free(). */
static int loop_pool_start(struct loop_pool *pool, size_t loops)
{
    for (; pool->count < loops; pool->count++) {
        int err = member_start(&pool->members[pool->count], pool->count);
        if (err)
            return err;
    }
    return 0;
}

int conc_loop_pool_new(conc_executor **ret, size_t loops)
{
    if (!loops)
        loops = conc__usable_cpus();
    size_t size;
    if (__builtin_mul_overflow(loops, sizeof(struct member), &size) ||
        __builtin_add_overflow(size, sizeof(struct loop_pool), &size))
        return -ENOMEM;
    struct loop_pool *pool = alloc_array(1, size);
    if (!pool)
        return -ENOMEM;
    pool->base.ops = &loop_pool_ops;
    conc_scope shield;
    conc_shield_enter(&shield);
    int err = loop_pool_start(pool, loops);
    conc_shield_exit(&shield);
    if (err) {
        loop_pool_free(&pool->base);
        return err;
    }
    *ret = &pool->base;
    return 0;
}
