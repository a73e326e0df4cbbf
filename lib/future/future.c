/* SPDX-License-Identifier: MIT
 *
 * future.c: a value, or an error, that is there later.
 *
 *     pending    0 (|CANCELLING)              made (and its executor is to cancel it instead of
 *                                             running it)
 *     running    RUNNING (|CANCELLING)        claimed by the context that runs its job
 *     finished   DONE                         a result, or an error
 *     cancelled  DONE|CANCELLED               before it ran, or by a job that ended because of it
 *
 *     pending -> running             claim, unless it is CANCELLING
 *     pending -> finished            set_result, set_error
 *     pending -> cancelled           cancel; the context that was to run it finds it CANCELLING
 *     pending -> pending|CANCELLING  shutdown, for a job that a worker has but has not begun:
 *                                    callbacks can't run there
 *     running -> running|CANCELLING  cancel: the job's scope is cancelled with it
 *     running -> finished, cancelled settle
 *
 * All of these happen under the guard in the word. DONE is set by the guard's release. The context
 * that settles the future takes the waiters and callbacks off before that, and delivers and calls
 * afterwards, holding a reference of its own.
 *
 * Invariants: once DONE, only OBSERVED and the references change. `scope` points to a living scope
 * while it is not NULL, because settling clears it under the guard before its memory goes: so a
 * canceller that holds the guard can use it.
 *
 * Order: result, error and message are written before the release that sets DONE, and read after an
 * acquire that sees it. The last unref's decrement acquires what the earlier ones released
 * (acq_rel).
 *
 * Order of the guards: a future's, then a watch set's (watch.c). No user code runs under either.
 */
#include "future/future_impl.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/invariant.h"
#include "future/callbacks.h"
#include "future/unobserved.h"

/* ---- Memory ---- */

conc_future *conc__job_new(conc_fn *fn, const void *arg, size_t arg_size, size_t result_size)
{
    const bool value_is_bytes = result_size == CONC_BYTES;
    const size_t arg_bytes = arg_room(arg, arg_size);
    size_t room;
    if (value_is_bytes)
        result_size = sizeof(conc_bytes);
    if (result_size > SIZE_MAX / 4 ||
        __builtin_add_overflow(value_align_up(result_size), arg_bytes, &room) ||
        room > SIZE_MAX / 2)
        return NULL;
    conc_future *f = alloc_bytes(sizeof *f + room);
    if (!f)
        return NULL;
    /* A job's result is zeroed when it runs: not here, nor ever if it runs elsewhere. */
    memset(f, 0, sizeof *f + (fn && !value_is_bytes ? 0 : result_size));
    f->refs = 1;
    f->fn = fn;
    f->forks = conc__forks();
    f->arg_is_bytes = arg_size == CONC_BYTES;
    f->arg_size = arg_bytes;
    f->arg = (char *)f->data + value_align_up(result_size);
    f->value_is_bytes = value_is_bytes;
    f->result_size = result_size;
    f->value = f->data;
    if (arg_bytes)
        arg_store(f->arg, arg, arg_size);
    return f;
}

int conc_future_new(conc_future **ret, size_t result_size)
{
    conc_future *f = conc__job_new(NULL, NULL, 0, result_size);
    if (!f)
        return -ENOMEM;
    *ret = f;
    return 0;
}

conc_future *conc__future_no_memory(void)
{
    /* It starts with so many references that they never run out. */
    static conc_future future = {
        .word = FUTURE_DONE | FUTURE_OBSERVED, .refs = 1u << 30, .error = -ENOMEM};
    return conc_future_ref(&future);
}

conc_future *conc_future_ref(conc_future *future)
{
    fetch_add_relaxed(&future->refs, 1); /* relaxed: the caller has a reference already */
    return future;
}

void conc__future_report(conc_future *future)
{
    if (!future_is_news(future) ||
        (fetch_or_acq_rel(&future->word, FUTURE_OBSERVED) & FUTURE_OBSERVED))
        return;
    conc__report_unobserved(future->error, future->message ? future->message : "");
}

/* Besides the caller only its loop knows it. relaxed: then no other context can take a reference */
static bool future_is_only_listed(const conc_future *future)
{
    return load_relaxed(&future->refs) == 2 && (load_relaxed(&future->word) & FUTURE_LISTED);
}

/* Also where the hook for unobserved errors has left its thread, and the stack is unwound. */
static void future_free(conc_future **at)
{
    conc_future *future = *at;
    conc__callbacks_free(conc__callbacks_take(future)); /* it was never done */
    if (future->keeper)
        future->keeper->release(future->keeper);
    else if (future->value_is_bytes)
        conc_bytes_free(future->value);
    free_bytes(future->message);
    free_bytes(future);
}

void conc_future_unref(conc_future *future)
{
    if (future && future_is_only_listed(future))
        conc__future_report(future); /* now, not only when its loop ends */
    if (!future || fetch_sub_acq_rel(&future->refs, 1) != 1)
        return;
    conc_future *dying __attribute__((cleanup(future_free))) = future;
    conc__future_report(dying);
}

void *conc__future_room(conc_future *future, size_t n)
{
    if (!future->value_is_bytes)
        return future->value;
    return conc_bytes_new(future->value, n) ? NULL : ((conc_bytes *)future->value)->data;
}

void conc__future_place_value(conc_future *future, void *value, size_t n,
                              struct value_keeper *keeper)
{
    if (future->value_is_bytes)
        *(conc_bytes *)future->value = (conc_bytes){value, n};
    else
        future->value = value;
    future->keeper = keeper;
}

int conc__future_copy_value(const conc_future *future, void *ret)
{
    if (future->value_is_bytes) {
        const conc_bytes *bytes = future->value;
        return conc_bytes_copy(ret, bytes->data, bytes->size);
    }
    if (future->result_size)
        memcpy(ret, future->value, future->result_size);
    return 0;
}

/* ---- Its state ---- */

bool conc_future_is_done(const conc_future *future) { return future_state(future) & FUTURE_DONE; }

bool conc_future_is_running(const conc_future *future)
{
    return future_state(future) & FUTURE_RUNNING;
}

bool conc_future_is_cancelled(const conc_future *future)
{
    return future_state(future) & FUTURE_CANCELLED;
}

void conc__future_observe(conc_future *future)
{
    if (!(load_relaxed(&future->word) & FUTURE_OBSERVED))
        fetch_or_release(&future->word, FUTURE_OBSERVED);
}

int conc_future_error(conc_future *future)
{
    if (!conc_future_is_done(future))
        return future_is_lost(future) ? -ESHUTDOWN : -EAGAIN;
    conc__future_observe(future);
    return future->error;
}

const char *conc_future_message(conc_future *future)
{
    if (!conc_future_is_done(future))
        return "";
    conc__future_observe(future);
    return future->message ? future->message : "";
}

const void *conc_future_value(conc_future *future)
{
    return conc_future_is_done(future) && !future->error && future->result_size ? future->value
                                                                                : NULL;
}

/* ---- Settling ---- */

/* With the guard, which it releases. The result is in place; takes the message. */
static void future_finish(conc_future *future, int err, char *message, uint32_t how)
{
    invariant(!(load_relaxed(&future->word) & FUTURE_DONE), "a future is settled once");
    future->error = err;
    future->message = message;
    future->scope = NULL;
    struct conc__waiter *waiters = waitlist_take_all(&future->waiters);
    struct future_callback *callbacks = conc__callbacks_take(future);
    conc__watches_mark_ready(future);
    guard_unlock_with(&future->word, FUTURE_RUNNING, FUTURE_DONE | how);
    conc__waiter_deliver_all(waiters, 0);
    if (callbacks)
        conc__callbacks_run(future, callbacks);
}

static char *future_copy_message(const char *message)
{
    if (!message || !*message)
        return NULL;
    size_t size = strnlen(message, CONC_MESSAGE_MAX - 1) + 1;
    char *copy = alloc_bytes(size);
    if (copy) {
        memcpy(copy, message, size - 1);
        copy[size - 1] = '\0';
    }
    return copy;
}

/* With the guard, which it releases. */
static void future_finish_with_error(conc_future *future, int err, char *message)
{
    bool cancelled = err == -ECANCELED && (load_relaxed(&future->word) & FUTURE_CANCELLING);
    future_finish(future, err, message, cancelled ? FUTURE_CANCELLED : 0);
}

bool conc__future_settle(conc_future *future, int err, const char *message)
{
    char *copy = future_copy_message(message); /* not under the guard: slow */
    if (!future_lock_undone(future)) {
        free_bytes(copy);
        return false;
    }
    future_finish_with_error(future, err, copy);
    return true;
}

/* Is it the future of a job that has yet to run, or that runs in a context of this process? Then
 * the program must not settle it. With the guard. */
static bool future_awaits_job(const conc_future *future)
{
    return future->scope || (future->fn && future_is_pending(future));
}

/* Take the guard of a future that the program may settle. 0; -EINVAL: it is done; -EPERM: its job
 * is to settle it. */
static int future_lock_for_program(conc_future *future)
{
    if (!future_lock_undone(future))
        return -EINVAL;
    if (!future_awaits_job(future))
        return 0;
    guard_unlock(&future->word);
    return -EPERM;
}

int conc_future_set_result(conc_future *future, const void *value)
{
    conc_bytes copy = {0};
    int err;
    if (future->value_is_bytes && value) { /* not under the guard: slow */
        const conc_bytes *from = value;
        err = conc_bytes_copy(&copy, from->data, from->size);
        if (err)
            return err;
        value = &copy;
    }
    err = future_lock_for_program(future);
    if (err) {
        conc_bytes_free(&copy);
        return err;
    }
    if (future->result_size && value)
        memcpy(future->value, value, future->result_size);
    else if (future->result_size && future->fn)
        memset(future->value, 0, future->result_size);
    future_finish(future, 0, NULL, 0);
    return 0;
}

int conc_future_set_error(conc_future *future, int err, const char *fmt, ...)
{
    if (err >= 0)
        return -EINVAL;
    char text[CONC_MESSAGE_MAX] = "";
    if (fmt) {
        va_list ap;
        va_start(ap, fmt);
        vsnprintf(text, sizeof text, fmt, ap);
        va_end(ap);
    }
    char *copy = future_copy_message(text);
    int refused = future_lock_for_program(future);
    if (refused) {
        free_bytes(copy);
        return refused;
    }
    future_finish_with_error(future, err, copy);
    return 0;
}

bool conc__future_claim(conc_future *future, conc_scope *scope)
{
    guard_lock(&future->word);
    bool claimed = !(future_state(future) & (FUTURE_RUNNING | FUTURE_DONE | FUTURE_CANCELLING));
    if (claimed)
        future->scope = scope;
    guard_unlock_with(&future->word, 0, claimed ? FUTURE_RUNNING : 0);
    return claimed;
}

/* ---- Cancelling ---- */

bool conc__future_end_pending(conc_future *future, uint32_t how)
{
    guard_lock(&future->word);
    if (!future_is_pending(future)) {
        guard_unlock(&future->word);
        return false;
    }
    future_finish(future, -ECANCELED, NULL, FUTURE_CANCELLED | how);
    return true;
}

/* `how`: other bits to set. */
static bool future_cancel_job(conc_future *future, bool also_running, uint32_t how)
{
    if (!future_lock_undone(future))
        return false;
    bool hit = also_running || future_is_pending(future);
    if (hit && future->scope)
        conc_scope_cancel(future->scope);
    guard_unlock_with(&future->word, 0, hit ? FUTURE_CANCELLING | how : 0);
    return hit;
}

bool conc_future_cancel(conc_future *future)
{
    return future_cancel_pending(future) || future_cancel_job(future, true, 0);
}

bool conc__future_cancel_job(conc_future *future, bool also_running)
{
    return future_cancel_job(future, also_running, FUTURE_DROPPED);
}

void conc__future_abandon(conc_future *future)
{
    conc__future_observe(future);
    conc_future_cancel(future);
}

/* ---- Waiting ---- */

bool conc__future_waits_for_caller(conc_future *future)
{
    const uint32_t state = future_state(future);
    if (!(state & FUTURE_DONE) && future->executor && future->executor == context_self()->holds_up)
        return true;
    if (!(state & FUTURE_RUNNING) || !future_lock_undone(future))
        return false;
    /* The guard keeps the scope alive. */
    bool waits = future->scope && context_stands_here(future->scope->context->id);
    guard_unlock(&future->word);
    return waits;
}

/* `cancels`: at the end of its wait the caller will cancel the future. *helped: it has run it. */
static int future_wait_done(conc_future *future, conc_deadline deadline, bool cancels, bool *helped)
{
    int err = wait_checkpoint(deadline);
    if (err || conc_future_is_done(future))
        return err;
    if (future_is_lost(future))
        return -ESHUTDOWN;
    if (deadline_is_now(deadline))
        return -EAGAIN;
    if (conc__future_waits_for_caller(future))
        return -EDEADLK;
    *helped = future_may_help(deadline) && conc__future_help(future, deadline, cancels);
    struct conc__waiter w = waiter_here();
    if (!future_lock_undone(future))
        return 0;
    conc__waitlist_push(&future->waiters, &w);
    guard_unlock(&future->word);
    const struct wait_on on = {
        .list = &future->waiters, .guard = &future->word, .what = "future", .object = future};
    return conc__waiter_wait(&w, &on, deadline);
}

int conc_future_wait(conc_future *future, conc_deadline deadline)
{
    bool helped;
    return future_wait_done(future, deadline, false, &helped);
}

int conc_future_result(conc_future *future, void *ret, conc_deadline deadline)
{
    int err = conc_future_wait(future, deadline);
    if (err)
        return err;
    conc__future_observe(future);
    if (future->error)
        conc__set_message(context_self(), future->error, future->message);
    else if (ret)
        return conc__future_copy_value(future, ret);
    return future->error;
}

/* A job that the caller has helped was cancelled. 0; or why, if that was the end of the wait. */
static int future_why_helped_ended(conc_deadline deadline)
{
    int err = conc_check_cancel();
    if (err)
        return err;
    return deadline.ns <= conc_now() ? -ETIMEDOUT : 0;
}

int conc_wait_for(conc_future *future, void *ret, conc_deadline deadline)
{
    bool helped = false;
    int err = future_wait_done(future, deadline, true, &helped);
    if (err == -EDEADLK)
        return err;
    bool cancelled = err && conc_future_cancel(future);
    if (helped && !err && conc_future_is_cancelled(future)) {
        err = future_why_helped_ended(deadline);
        cancelled = err;
    }
    if (cancelled || err == -ECANCELED)
        return err;
    /* Also if it became done just now: the result counts. */
    return conc_future_result(future, ret, CONC_NOW);
}
