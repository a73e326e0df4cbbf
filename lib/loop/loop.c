/* SPDX-License-Identifier: MIT
 *
 * loop.c: the event loop: turns, and how other threads reach it.
 *
 * A turn: take what other threads have posted; make ready the items whose time has come; run ready
 * items, ITEMS_PER_TURN at most; let the backend hand over the operations that were begun, and
 * complete those that are done. If nothing is ready the loop sleeps in the backend until the next
 * timer. What becomes ready goes to the end of one list, so no item overtakes another. A turn runs
 * a bounded number of items and looks once at timers, inbox and backend, so none of the four can
 * starve another.
 *
 * Other threads reach the loop by the inbox of its driver (op/driver.c: states, races, order).
 *
 * Which thread may do what: all fields but those for any thread belong to the thread that runs the
 * loop (`owner`), from the first run on; before that they belong to one thread at a time.
 */
#include "loop/task_impl.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backend/backends.h"
#include "base/alloc.h"
#include "base/clock.h"
#include "base/cxx.h"
#include "base/invariant.h"
#include "base/quiet.h"
#include "future/callbacks.h"
#include "future/future_impl.h"

/* So few that input and output need not wait for long, and so many that looking at these costs
 * little for each item. */
enum { ITEMS_PER_TURN = 256 };

/* Milliseconds in CONC_DEBUG, at most: a year. */
#define LOOP_DEBUG_MAX_MS 3.2e10

conc_loop *conc_loop_current(void) { return loop_here(); }

/* Of the calling thread, also in a task. */
static uint64_t loop_thread_id(void)
{
    const struct conc_loop *here = loop_here();
    return here ? here->owner : conc_context_id(NULL);
}

int conc__loop_check(const struct conc_loop *loop)
{
    if (loop->driver.dead)
        return -ESHUTDOWN;
    return loop->started && loop->owner != loop_thread_id() ? -EPERM : 0;
}

/* ---- Turns ---- */

static void loop_fire_timers(struct conc_loop *loop)
{
    int64_t key, now = 0;
    struct heap_node *node;
    while ((node = heap_first(&loop->timers, &key))) {
        if (!now)
            now = conc_now();
        if (key > now)
            return;
        conc__heap_remove(&loop->timers, node);
        struct timer *timer = timer_of_node(node);
        timer->fire(loop, timer);
    }
}

static void loop_run_ready(struct conc_loop *loop)
{
    struct item *item;
    loop->to_run = ITEMS_PER_TURN;
    while (loop->to_run-- > 0 && !loop->driver.dead && (item = item_pop(&loop->ready)))
        item->run(item);
}

static bool loop_has_live_tasks(struct conc_loop *loop)
{
    guard_lock(&loop->word);
    bool has = loop->live > 0;
    guard_unlock(&loop->word);
    return has;
}

/* Does the loop run only to be freed, and is there nothing left to wait for? */
static bool loop_is_run_out(struct conc_loop *loop)
{
    switch (loop->run_out) {
    case RUN_OUT_TASKS:
        return !loop_has_live_tasks(loop);
    case RUN_OUT_OPS:
        return !loop->driver.ops;
    default:
        return false;
    }
}

static void loop_turn_backend(struct conc_loop *loop)
{
    int64_t key;
    bool idle = !loop->ready.first && !loop->stop && !loop_is_run_out(loop);
    if (!idle || !conc__driver_fall_asleep(&loop->driver)) {
        driver_turn(&loop->driver, CONC_NOW);
        return;
    }
    conc_deadline until = CONC_FOREVER;
    if (heap_first(&loop->timers, &key))
        until = conc_at(key);
    conc__blocked_begin(loop->self, "loop", loop, NULL);
    driver_turn(&loop->driver, conc__sleep_limit(until));
    conc__blocked_end(loop->self);
}

static void loop_turn(struct conc_loop *loop)
{
    conc__cxx_look();
    conc__driver_take(&loop->driver);
    loop_fire_timers(loop);
    loop_run_ready(loop);
    /* A child that was forked in this turn has nothing to wait for; nor has a loop that never ran,
     * and is freed: it has no backend. */
    if (!loop->driver.dead && loop->driver.backend)
        loop_turn_backend(loop);
}

int conc__loop_reserve_timer(struct conc_loop *loop)
{
    int err = conc__heap_reserve(&loop->timers, loop->timed + 1);
    if (err)
        return err;
    loop->timed++;
    return 0;
}

/* ---- Tasks that live ---- */

bool conc__loop_enter(struct conc_loop *loop)
{
    guard_lock(&loop->word);
    bool open = !loop->closed && !loop->driver.dead;
    loop->live += open;
    guard_unlock(&loop->word);
    return open;
}

void conc__loop_leave(struct conc_loop *loop)
{
    struct conc__waiter *closers = NULL;
    guard_lock(&loop->word);
    invariant(loop->live > 0, "a task that ends was counted");
    if (--loop->live == 0)
        closers = waitlist_take_all(&loop->closers);
    guard_unlock(&loop->word);
    conc__waiter_deliver_all(closers, 0);
}

void conc__loop_close(struct conc_loop *loop)
{
    guard_lock(&loop->word);
    loop->closed = true;
    guard_unlock(&loop->word);
}

/* ---- Beginning ---- */

static int loop_open_backend(struct conc_loop *loop)
{
    if (loop->wanted != CONC_BACKEND_EPOLL) {
        int err = conc__driver_open(&loop->driver, &conc__uring);
        if (!err || loop->wanted == CONC_BACKEND_URING)
            return err;
    }
    return conc__driver_open(&loop->driver, &conc__epoll);
}

/* The caller's thread becomes the loop's. */
static void loop_take_thread(struct conc_loop *loop)
{
    loop->self = context_self();
    loop->owner = loop->self->id;
    loop->started = true;
    conc__stack_watch_overflow(); /* if there is no memory, an overflow has no message */
    conc__driver_enter(&loop->driver);
    store_relaxed(&loop->running, true); /* relaxed: others read a hint */
    loop->self->submits_to = &loop->executor;
    loop->self->holds_up = &loop->executor; /* its callbacks must not wait for its tasks */
}

static void loop_leave_thread(struct conc_loop *loop)
{
    loop->stop = false;
    store_relaxed(&loop->running, false);
    loop->self->submits_to = loop->self->holds_up = NULL;
    conc__driver_leave();
}

static int loop_begin_run(struct conc_loop *loop)
{
    int err = conc__loop_check(loop);
    if (err)
        return err;
    if (conc__driver_here)
        return -EBUSY;
    err = loop->driver.backend ? 0 : loop_open_backend(loop);
    if (err)
        return err;
    loop_take_thread(loop);
    return 0;
}

static int loop_end_run(struct conc_loop *loop, bool done)
{
    loop_leave_thread(loop);
    if (loop->driver.dead)
        return -ESHUTDOWN;
    return done ? 0 : -EINTR;
}

/* ---- Running until something ---- */

int conc_loop_run_forever(conc_loop *loop)
{
    int err = loop_begin_run(loop);
    if (err)
        return err;
    do
        loop_turn(loop);
    while (!loop->stop && !loop->driver.dead);
    return loop_end_run(loop, true);
}

/* A future for whose end a run waits. It lies on the stack of that run. */
struct awaited {
    struct item item; /* posted when it is done */
    struct conc_loop *loop;
    bool done;
};

static void awaited_came(struct item *item)
{
    struct awaited *awaited = list_entry(item, struct awaited, item);
    awaited->done = true;
    awaited->loop->stop = true; /* end this run, and don't sleep in this turn */
}

static void awaited_post(conc_future *future, void *arg)
{
    struct awaited *awaited = arg;
    conc__driver_post(&awaited->loop->driver, &awaited->item);
}

int conc_loop_run_until_complete(conc_loop *loop, conc_future *future)
{
    if (!future)
        return -EINVAL;
    int err = loop_begin_run(loop);
    if (err)
        return err;
    struct awaited awaited = {.item.run = awaited_came, .loop = loop};
    err = conc__future_add_hook(future, awaited_post, &awaited);
    if (err) {
        loop_end_run(loop, true);
        return err;
    }
    do
        loop_turn(loop);
    while (!loop->stop && !loop->driver.dead);
    /* The run was stopped before the future was done. If the callback cannot be taken back, another
     * thread is calling it, and it will post. */
    if (!awaited.done && !conc_future_remove_done_callback(future, awaited_post, &awaited))
        while (!awaited.done && !loop->driver.dead)
            loop_turn(loop);
    if (awaited.done)
        conc__failed_forget(&loop->failed, future);
    return loop_end_run(loop, awaited.done);
}

static void loop_take_stop(struct item *item)
{
    struct conc_loop *loop = list_entry(item, struct conc_loop, stop_item);
    store_release(&loop->stop_posted, 0); /* the item may be posted again */
    loop->stop = true;
}

void conc_loop_stop(conc_loop *loop)
{
    if (loop_is_here(loop))
        loop->stop = true;
    else if (!exchange_acquire(&loop->stop_posted, 1))
        conc__driver_post(&loop->driver, &loop->stop_item);
}

bool conc_loop_is_running(const conc_loop *loop) { return load_relaxed(&loop->running); }

const char *conc_loop_backend(const conc_loop *loop)
{
    return loop->driver.backend ? loop->driver.backend->name : "";
}

/* ---- What holds the loop ---- */

int conc_loop_set_debug(conc_loop *loop, int64_t slow_after)
{
    int err = conc__loop_check(loop);
    if (err)
        return err;
    if (slow_after < 0)
        return -EINVAL;
    loop->slow_after = slow_after;
    return 0;
}

void conc__loop_report_slow(const struct conc_loop *loop, int64_t since, const char *what,
                            const char *name)
{
    int64_t took = conc_now() - since;
    if (since && took > loop->slow_after)
        conc__report("libconc: %s%s%s has held the loop for %.3f s\n", what, *name ? " " : "", name,
                     (double)took / CONC_S(1));
}

/* ---- Making and freeing ---- */

/* What a variable of the environment says; NULL: nothing. */
static const char *loop_environment(const char *name)
{
    const char *value = getenv(name);
    return value && *value ? value : NULL;
}

/* 0, or -EINVAL, with a message. */
static int loop_choose_slow_after(struct conc_loop *loop, int64_t wanted)
{
    const char *ms = loop_environment("CONC_DEBUG");
    char *end = NULL;
    if (wanted < 0)
        return conc_raise(-EINVAL, "slow_after_ns is %lld; it must be 0 or more",
                          (long long)wanted);
    loop->slow_after = wanted;
    if (wanted || !ms)
        return 0;
    double number = strtod(ms, &end);
    if (end == ms || *end || !(number >= 0 && number <= LOOP_DEBUG_MAX_MS))
        return conc_raise(-EINVAL, "CONC_DEBUG is \"%s\"; it must be a number of milliseconds", ms);
    loop->slow_after = (int64_t)(number * CONC_MS(1));
    return 0;
}

/* 0, or -EINVAL, with a message. */
static int loop_choose_backend(struct conc_loop *loop, conc_backend wanted)
{
    const char *name = loop_environment("CONC_BACKEND");
    loop->wanted = wanted;
    if ((unsigned)wanted > CONC_BACKEND_EPOLL)
        return conc_raise(-EINVAL, "there is no backend %u", (unsigned)wanted);
    if (wanted != CONC_BACKEND_ANY || !name)
        return 0;
    if (strcmp(name, "epoll") == 0)
        loop->wanted = CONC_BACKEND_EPOLL;
    else if (strcmp(name, "uring") == 0)
        loop->wanted = CONC_BACKEND_URING;
    else
        return conc_raise(-EINVAL, "CONC_BACKEND is \"%s\"; it must be uring or epoll", name);
    return 0;
}

int conc_loop_new(conc_loop **ret, const conc_loop_options *options)
{
    static const conc_loop_options defaults = {0};
    if (!options)
        options = &defaults;
    struct conc_loop *loop = alloc_one(struct conc_loop);
    if (!loop)
        return -ENOMEM;
    int err = loop_choose_backend(loop, options->backend);
    if (err)
        goto fail;
    err = loop_choose_slow_after(loop, options->slow_after_ns);
    if (err)
        goto fail;
    err = conc__driver_init(&loop->driver);
    if (err)
        goto fail;
    loop->executor.ops = &conc__loop_executor_ops;
    loop->driver.on_close = conc__readers_hear;
    loop->stop_item.run = loop_take_stop;
    loop->cancel_item.run = conc__loop_cancel_posted;
    conc__loop_register(loop);
    *ret = loop;
    return 0;
fail:
    free_bytes(loop);
    return err;
}

/* Tasks, timers, callbacks and ops are over. No thread knows the loop any more, except those that
 * are posting to it. */
static void loop_free_memory(struct conc_loop *loop)
{
    conc__loop_unregister(loop);
    conc__driver_fini(&loop->driver);
    conc__heap_free(&loop->timers);
    /* In a forked child tasks are left, and what they wait for may still try to wake them. */
    if (!loop->driver.dead || loop->live == 0)
        free_bytes(loop);
}

/* Run what is left to its end. Tasks that have not begun never will. So this also works for a loop
 * that has never run, which has no backend. */
static void loop_run_out(struct conc_loop *loop)
{
    loop_take_thread(loop);
    loop->run_out = RUN_OUT_TASKS; /* not yet the operations: those of readers may never end */
    conc__loop_cancel_tasks(loop, CONC_SHUTDOWN_CANCEL_PENDING | CONC_SHUTDOWN_CANCEL_RUNNING);
    while (loop_has_live_tasks(loop) && !loop->driver.dead)
        loop_turn(loop);
    conc__loop_free_executors(loop); /* until these jobs have ended they may post */
    conc__signals_drop(loop);
    conc__driver_take(&loop->driver); /* the last of what they posted */
    conc__handles_drop(loop);
    conc__readers_drop(loop);
    conc__failed_report(&loop->failed);
    loop->run_out = RUN_OUT_OPS;
    /* Operations and items that are cancelled still have to pass through the loop. */
    while ((loop->driver.ops > 0 || loop->ready.first) && !loop->driver.dead)
        loop_turn(loop);
    loop_leave_thread(loop);
}

int conc_loop_free(conc_loop *loop)
{
    if (!loop)
        return 0;
    int err = conc__loop_check(loop);
    if (err && !loop->driver.dead)
        return err;
    if (conc__driver_here)
        return -EBUSY;
    conc__loop_close(loop);
    if (!loop->driver.dead)
        loop_run_out(loop);
    loop_free_memory(loop);
    return 0;
}
