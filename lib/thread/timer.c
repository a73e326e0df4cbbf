/* SPDX-License-Identifier: MIT
 *
 * timer.c: a job after a while: one thread keeps the times of all timers, and starts another, for
 * the job alone, when a time has come. So a thousand timers that wait cost a thousand blocks of
 * memory, and a job that blocks holds up no other.
 *
 * The keeper, that one thread, starts with the first timer and ends when the program exits. It
 * sleeps until the earliest time in a heap, or until `changed` says that there is an earlier one.
 * It clears that before it looks, so a timer that comes later wakes it.
 *
 * The job's future decides between running and cancelling: the job's thread claims the pending job,
 * conc_timer_cancel() cancels it, and only the first of the two succeeds. To take a cancelled timer
 * out of the heap only frees its memory early.
 *
 * References: the user's, and one that goes from the heap to the job's thread. Which of these has
 * it: under the guard, the heap if the node is in it.
 *
 * The end: a thread that has run its job is joined by the next one that has, the last one at exit.
 * So at most one of them is kept. (Detached ones might still be ending when the program is over,
 * and their memory would be reported as lost.)
 *
 * Fork: the guard is held over it. The child has no keeper, and no timers: their jobs never run
 * there, and waiting for one is -ESHUTDOWN, as of any job of the parent's.
 */
#include <conc/event.h>
#include <conc/executor_impl.h>
#include <conc/thread.h>
#include <signal.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "base/heap.h"
#include "future/future_impl.h"
#include "thread/create.h"

#define KEEPER_STACK_SIZE ((size_t)256 * 1024) /* bytes; it runs no job */

struct conc_timer {
    uint32_t refs;
    struct heap_node node;
    conc_future *job;
    sigset_t mask;   /* of the context that has started it: the job's thread gets the same */
    uint32_t runner; /* atomic: the id of the context in which the job runs; 0: it has not begun */
};

static struct {
    uint32_t word; /* the guard of the rest but `changed` */
    struct heap heap;
    bool is_there; /* the keeper has been started, and not stopped */
    bool stop;     /* it is to end */
    pthread_t keeper;
    bool has_left; /* `left` has run its job, and is to be joined */
    pthread_t left;
    conc_event changed; /* there is something for the keeper to look at */
} timers;

static conc_timer *timer_of_place(struct heap_node *node)
{
    return list_entry(node, conc_timer, node);
}

static void timer_unref(conc_timer *timer)
{
    if (fetch_sub_acq_rel(&timer->refs, 1) != 1) /* the second acquires what the first released */
        return;
    conc_future_unref(timer->job);
    free_bytes(timer);
}

/* ---- The thread of a job ---- */

static void timer_join_left(bool has_left, pthread_t left)
{
    if (has_left)
        pthread_join(left, NULL); /* its job is over: some microseconds */
}

/* Also if the job has ended the thread. */
static void timer_leave(void *arg)
{
    timer_unref(arg);
    guard_lock(&timers.word);
    bool has_left = timers.has_left;
    pthread_t left = timers.left;
    timers.has_left = true;
    timers.left = pthread_self();
    guard_unlock(&timers.word);
    timer_join_left(has_left, left);
}

static void *timer_main(void *arg)
{
    conc_timer *timer = arg;
    pthread_sigmask(SIG_SETMASK, &timer->mask, NULL);
    pthread_cleanup_push(timer_leave, timer);
    conc_context_set_name("timer");
    store_release(&timer->runner, conc_context_id(NULL));
    conc__job_execute(timer->job);
    pthread_cleanup_pop(1);
    return NULL;
}

/* Its time has come. Takes the heap's reference. */
static void timer_begin(conc_timer *timer)
{
    pthread_t thread;
    int err = conc__thread_create(&thread, 0, timer_main, timer);
    if (!err)
        return;
    if (conc__future_claim(timer->job, NULL)) /* else it has been cancelled */
        conc__future_settle(timer->job, err, "there is no thread for the job");
    timer_unref(timer);
}

/* ---- The keeper ---- */

/* Take a timer whose time has come. NULL: there is none; then *until is when to look again. */
static conc_timer *keeper_take_due(conc_deadline *until)
{
    int64_t key;
    struct heap_node *node = heap_first(&timers.heap, &key);
    *until = node ? conc_at(key) : CONC_FOREVER;
    if (!node || conc_remaining(*until) > 0)
        return NULL;
    conc__heap_remove(&timers.heap, node);
    return timer_of_place(node);
}

/* Begin what is due. False: the keeper is to end. */
static bool keeper_serve(conc_deadline *until)
{
    conc_event_clear(&timers.changed);
    for (;;) {
        guard_lock(&timers.word);
        bool stop = timers.stop;
        conc_timer *timer = stop ? NULL : keeper_take_due(until);
        guard_unlock(&timers.word);
        if (!timer)
            return !stop;
        timer_begin(timer);
    }
}

static void *keeper_main(void *arg)
{
    conc_deadline until;
    conc_context_set_name("timers");
    while (keeper_serve(&until))
        conc_event_wait(&timers.changed, until);
    return arg;
}

/* Run at exit, or a leak of the threads' memory would be reported. */
static void keeper_stop(void)
{
    guard_lock(&timers.word);
    bool is_there = timers.is_there;
    timers.stop = true;
    guard_unlock(&timers.word);
    if (!is_there)
        return;
    conc_event_set(&timers.changed);
    pthread_join(timers.keeper, NULL);
    guard_lock(&timers.word);
    bool has_left = timers.has_left;
    pthread_t left = timers.left;
    timers.is_there = timers.stop = timers.has_left = false;
    guard_unlock(&timers.word);
    timer_join_left(has_left, left);
}

/* Under the guard. */
static int keeper_start(void)
{
    sigset_t all, before;
    if (timers.is_there)
        return 0;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int err = conc__thread_create(&timers.keeper, KEEPER_STACK_SIZE, keeper_main, NULL);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (err)
        return err;
    atexit(keeper_stop);
    timers.is_there = true;
    return 0;
}

/* ---- Forks ---- */

static void timers_before_fork(void) { guard_lock(&timers.word); }

static void timers_after_fork_in_parent(void) { guard_unlock(&timers.word); }

static void timers_after_fork_in_child(void)
{
    int64_t key;
    struct heap_node *node;
    while ((node = heap_first(&timers.heap, &key))) {
        conc__heap_remove(&timers.heap, node);
        timer_unref(timer_of_place(node));
    }
    timers.is_there = timers.stop = timers.has_left = false;
    timers.changed = (conc_event){0};
    guard_unlock(&timers.word);
}

__attribute__((constructor)) static void timers_watch_forks(void)
{
    /* If there is no memory this early, a child's timers may never fire. */
    pthread_atfork(timers_before_fork, timers_after_fork_in_parent, timers_after_fork_in_child);
}

/* ---- The calls ---- */

/* Put it into the heap. Under the guard. */
static int timer_enter(conc_timer *timer, conc_deadline at)
{
    int err = keeper_start();
    if (err)
        return err;
    err = conc__heap_reserve(&timers.heap, timers.heap.count + 1);
    if (err)
        return err;
    conc__heap_push(&timers.heap, &timer->node, at.ns);
    return 0;
}

static bool timer_is_first(const conc_timer *timer)
{
    int64_t key;
    return heap_first(&timers.heap, &key) == &timer->node;
}

int conc_timer_start(conc_timer **ret, int64_t after, conc_fn *fn, const void *arg, size_t arg_size)
{
    if (!ret || !fn || arg_is_missing(arg, arg_size))
        return -EINVAL;
    conc_timer *timer = alloc_one(conc_timer);
    if (!timer)
        return -ENOMEM;
    int err = -ENOMEM;
    timer->refs = 2;
    timer->job = conc__job_new(fn, arg, arg_size, 0);
    if (!timer->job)
        goto fail;
    pthread_sigmask(SIG_SETMASK, NULL, &timer->mask);
    guard_lock(&timers.word);
    err = timer_enter(timer, conc_in(after));
    bool first = !err && timer_is_first(timer);
    if (!err)
        *ret = timer; /* before the job can run, and look for it */
    guard_unlock(&timers.word);
    if (err)
        goto fail;
    if (first)
        conc_event_set(&timers.changed);
    return 0;
fail:
    conc_future_unref(timer->job);
    free_bytes(timer);
    return err;
}

bool conc_timer_cancel(conc_timer *timer)
{
    if (!future_cancel_pending(timer->job))
        return false;
    guard_lock(&timers.word);
    bool listed = heap_is_in(&timer->node);
    if (listed)
        conc__heap_remove(&timers.heap, &timer->node);
    guard_unlock(&timers.word);
    if (listed)
        timer_unref(timer); /* the heap's reference; the caller has another */
    return true;
}

int conc_timer_join(conc_timer *timer, conc_deadline deadline)
{
    if (!conc_future_is_done(timer->job) && load_acquire(&timer->runner) == conc_context_id(NULL))
        return -EDEADLK;
    return conc_future_result(timer->job, NULL, deadline);
}

void conc_timer_free(conc_timer *timer)
{
    if (timer)
        timer_unref(timer);
}
