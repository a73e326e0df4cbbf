/* SPDX-License-Identifier: MIT
 *
 * timer.c: a job after a while, on a thread of its own that sleeps until then.
 *
 * The job's future decides between firing and cancelling: the thread claims the pending job to run
 * it, conc_timer_cancel() cancels it, and only the first of the two succeeds. `wake` only ends the
 * sleep early.
 */
#include <conc/event.h>
#include <conc/thread.h>

#include "base/alloc.h"
#include "future/future_impl.h"

struct conc_timer {
    uint32_t refs; /* the user's and the thread's */
    conc_deadline at;
    conc_event wake;
    conc_future *job;
    conc_thread *thread;
};

static void timer_unref(conc_timer *timer)
{
    if (fetch_sub_acq_rel(&timer->refs, 1) != 1) /* the second acquires what the first released */
        return;
    conc_future_unref(timer->job);
    free_bytes(timer);
}

static int timer_main(void *arg, void *result)
{
    (void)result;
    conc_timer *timer = *(conc_timer **)arg;
    conc_event_wait(&timer->wake, timer->at);
    conc__job_execute(timer->job);
    timer_unref(timer);
    return 0;
}

int conc_timer_start(conc_timer **ret, int64_t after, conc_fn *fn, const void *arg, size_t arg_size)
{
    if (!fn || (arg_size && !arg))
        return -EINVAL;
    conc_timer *timer = alloc_one(conc_timer);
    if (!timer)
        return -ENOMEM;
    const conc_thread_options options = {.name = "timer"};
    int err = -ENOMEM;
    timer->refs = 2;
    timer->at = conc_in(after);
    timer->job = conc__job_new(fn, arg, arg_size, 0);
    if (!timer->job)
        goto fail;
    err = conc_thread_start(&timer->thread, timer_main, &timer, sizeof timer, &options);
    if (err)
        goto fail;
    *ret = timer;
    return 0;
fail:
    conc_future_unref(timer->job);
    free_bytes(timer);
    return err;
}

bool conc_timer_cancel(conc_timer *timer)
{
    bool cancelled = future_cancel_pending(timer->job);
    conc_event_set(&timer->wake);
    return cancelled;
}

int conc_timer_join(conc_timer *timer, conc_deadline deadline)
{
    int err = conc_thread_join(timer->thread, NULL, deadline);
    return err ? err : conc_future_result(timer->job, NULL, CONC_NOW);
}

void conc_timer_free(conc_timer *timer)
{
    if (!timer)
        return;
    conc_thread_free(timer->thread);
    timer_unref(timer);
}
