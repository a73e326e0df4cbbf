/* SPDX-License-Identifier: MIT
 *
 * thread.c: a thread that runs one job, whose end is a future.
 *
 * Two references hold the struct: the user's and the thread's own. The operating system's thread is
 * joined once, by the first conc_thread_join() that finds its job done, or by conc_thread_free(),
 * which detaches it instead if its job is not done (`joined` is exchanged, so that only one call
 * does either).
 *
 * The thread's id and name are known once it has started: a call that asks for one waits for
 * `started`, which is set some microseconds after the start.
 */
#include <conc/thread.h>

#include <conc/event.h>
#include <conc/executor_impl.h>
#include <stdio.h>

#include "base/alloc.h"
#include "future/future_impl.h"
#include "thread/create.h"

struct conc_thread {
    uint32_t refs;
    uint32_t joined; /* atomic: the system's thread has been joined or detached */
    pthread_t system;
    conc_future *job;
    conc_event started; /* then the two below are set */
    /* Of its context. Not a pointer to that: a later thread's may have the same address. */
    uint32_t id;
    char name[CONC_NAME_MAX]; /* the thread's at its start; empty: none was given */
};

static void thread_unref(conc_thread *thread)
{
    if (fetch_sub_acq_rel(&thread->refs, 1) != 1) /* the second acquires what the first released */
        return;
    conc_future_unref(thread->job);
    free_bytes(thread);
}

/* Also where its job has left it in the middle, and the stack is unwound. */
static void thread_end(conc_thread **thread) { thread_unref(*thread); }

static void *thread_main(void *arg)
{
    conc_thread *thread __attribute__((cleanup(thread_end))) = arg;
    struct conc_context *self = context_self();
    if (thread->name[0])
        conc_context_set_name(thread->name);
    else
        snprintf(thread->name, sizeof thread->name, "%s", self->name);
    thread->id = self->id;
    conc_event_set(&thread->started);
    conc__job_execute(thread->job);
    return NULL;
}

int conc_thread_start(conc_thread **ret, conc_fn *fn, const void *arg, size_t arg_size,
                      const conc_thread_options *options)
{
    static const conc_thread_options defaults = {0};
    if (!options)
        options = &defaults;
    if (!fn || arg_is_missing(arg, arg_size))
        return -EINVAL;
    int err = -ENOMEM;
    conc_thread *thread = alloc_one(conc_thread);
    if (!thread)
        return err;
    thread->refs = 2;
    thread->job = conc__job_new(fn, arg, arg_size, options->result_size);
    if (!thread->job)
        goto fail;
    if (options->name)
        snprintf(thread->name, sizeof thread->name, "%s", options->name);
    err = conc__thread_create(&thread->system, options->stack_size, thread_main, thread);
    if (err)
        goto fail;
    *ret = thread;
    return 0;
fail:
    conc_future_unref(thread->job);
    free_bytes(thread);
    return err;
}

static bool thread_is_self(const conc_thread *thread)
{
    return conc_event_is_set(&thread->started) && context_stands_here(thread->id);
}

/* Wait until the thread has started, which takes some microseconds. */
static void thread_wait_started(const conc_thread *thread)
{
    if (future_is_lost(thread->job))
        return; /* in a fork's child: a thread that had not started never will */
    conc_scope shield;
    conc_shield_enter(&shield);
    conc_event_wait((conc_event *)(uintptr_t)&thread->started, CONC_FOREVER);
    conc_shield_exit(&shield);
}

int conc_thread_join(conc_thread *thread, void *ret, conc_deadline deadline)
{
    if (thread_is_self(thread))
        return -EDEADLK;
    int err = conc_future_result(thread->job, ret, deadline);
    if (conc_future_is_done(thread->job) && !exchange_acq_rel(&thread->joined, 1))
        pthread_join(thread->system, NULL); /* its job is over: some microseconds */
    return err;
}

void conc_thread_free(conc_thread *thread)
{
    if (!thread)
        return;
    if (!future_is_lost(thread->job) && !exchange_acq_rel(&thread->joined, 1)) {
        if (conc_future_is_done(thread->job) && !thread_is_self(thread))
            pthread_join(thread->system, NULL);
        else
            pthread_detach(thread->system);
    }
    thread_unref(thread);
}

bool conc_thread_cancel(conc_thread *thread) { return conc_future_cancel(thread->job); }

conc_future *conc_thread_future(conc_thread *thread) { return thread->job; }

bool conc_thread_is_alive(const conc_thread *thread) { return !conc_future_is_done(thread->job); }

const char *conc_thread_name(const conc_thread *thread)
{
    thread_wait_started(thread);
    return thread->name;
}

uint32_t conc_thread_id(const conc_thread *thread)
{
    thread_wait_started(thread);
    return thread->id;
}
