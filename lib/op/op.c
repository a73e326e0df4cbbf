/* SPDX-License-Identifier: MIT
 *
 * op.c: carrying an op out for the calling context.
 *
 * A context that has a driver (driver.h), as a task has, starts the op there, and parks until it is
 * complete. When the deadline comes, or a scope ends, it asks the driver to cancel, and goes on
 * waiting, but only for the end: until then the op and its buffers are the kernel's. The op's own
 * result decides: only if it is -ECANCELED there was no effect, and the call returns the reason of
 * the cancel. So a success, or an error of the op itself, is never lost to a time-out; and a scope
 * notes that it has ended a call only if it really has (see conc__waiter_wait()).
 *
 * A context that has no driver, such as a plain thread, or a callback on a loop's own stack,
 * attempts, polls with its deadline, and attempts again. What it would have to wait for without a
 * deadline it leaves to a thread of offload.c's. A file on a disk it reads itself.
 *
 * CONC_NOW, or a deadline that has passed: one attempt, by system calls. Files are always ready, so
 * they are read and written, and the caller waits until that is over. Where only a call that waits
 * can do it (opening, a terminal), a thread makes that call, and is interrupted after OP_PAUSE_MIN.
 *
 * With a driver, a context whose ops all end immediately would never let the other contexts of its
 * thread run. So it yields after each OPS_PER_YIELD such ops.
 *
 * -EAGAIN without an event to wait for (see perform.c): the next attempt comes after a pause, which
 * doubles from OP_PAUSE_MIN to OP_PAUSE_MAX.
 *
 * Waking: with a driver the completion comes in the thread in which the context runs, so `done`
 * needs no memory order. The completion kicks the context, which means no more than 'look again',
 * and only a context that has parked. Without a driver it comes in another thread, which sets
 * `done` (release) before it kicks, and once more afterwards: the context may not end while it is
 * kicked.
 */
#include <sched.h>

#include <conc/context.h>

#include "base/clock.h"
#include "base/invariant.h"
#include "op/closing.h"
#include "op/identity.h"
#include "op/kind.h"
#include "op/offload.h"
#include "wait/wait.h"

enum { OPS_PER_YIELD = 32 };

#define OP_PAUSE_MIN CONC_MS(1)
#define OP_PAUSE_MAX CONC_MS(16)

void conc__op_complete(struct op *op, ssize_t result)
{
    invariant(op->driver->ops > 0, "an op that completes is in flight");
    struct closing *closing = op->closing;
    op->result = closing && result == -ECANCELED ? -EBADF : result;
    op->driver->ops--;
    if (list_is_on(&op->offloaded))
        list_remove(&op->driver->offloaded, &op->offloaded);
    op->complete(op);
    if (closing)
        conc__closing_let_go(closing);
}

/* The call returns `why` now. If a scope has ended it, the scope notes that. */
static ssize_t op_report_end(struct conc_context *self, int why)
{
    if (why == -ECANCELED)
        conc__scopes_check(self);
    return why;
}

/* ---- Waiting for the end of an op that others carry out ---- */

struct op_waiter {
    struct conc_context *self;
    bool parks;                 /* the completion must wake it */
    uint32_t done;              /* OP_GOES_ON ... */
    const struct fd_wait *wait; /* without a driver: tells of a close */
};

/* Without a driver the completion comes in another thread. OP_DONE: the result is there; OP_LEFT:
 * that thread touches the op and its waiter no more. With a driver there is only the second. */
enum { OP_GOES_ON, OP_DONE, OP_LEFT };

static void op_wake_task(struct op *op)
{
    struct op_waiter *w = op->waiter;
    w->done = OP_LEFT;
    if (w->parks)
        w->self->ops->kick(w->self);
}

static void op_wake_thread(struct op *op)
{
    struct op_waiter *w = op->waiter;
    struct conc_context *self = w->self;
    store_release(&w->done, OP_DONE);
    self->ops->kick(self);
    store_release(&w->done, OP_LEFT);
}

static void op_cancel(struct op *op)
{
    if (op->driver)
        driver_cancel(op->driver, op); /* the op may end here */
    else
        conc__offload_cancel(op);
}

/* Must the op end? As conc__must_end(); but a hurried one has until `limit`, a file's for ever; and
 * no scope ends it: CONC_NOW is no cancellation point. */
static int op_must_end(const struct op_waiter *w, const struct op *op, conc_deadline deadline,
                       conc_deadline limit, conc_deadline *until)
{
    *until = CONC_FOREVER;
    if (w->wait && conc__fd_wait_is_closed(w->wait))
        return -EBADF;
    if (op->firm || (op->hurried && op->kind == FD_FILE && op->code != OP_POLL))
        return 0;
    if (!op->hurried)
        return conc__must_end(w->self, deadline, until);
    *until = limit;
    return conc__deadline_is_past(limit) ? -EAGAIN : 0;
}

/* Wait until the op is complete. 0, or why it was cancelled. */
static int op_wait(struct op_waiter *w, struct op *op, const char *what, conc_deadline deadline)
{
    const conc_deadline limit = conc_in(OP_PAUSE_MIN);
    int why = 0;
    conc__blocked_begin(w->self, what, NULL, NULL);
    while (load_acquire(&w->done) == OP_GOES_ON) {
        conc_deadline until = CONC_FOREVER;
        if (!why && (why = op_must_end(w, op, deadline, limit, &until))) {
            op_cancel(op);
            continue;
        }
        w->parks = true;
        w->self->ops->park(w->self, until);
        w->parks = false;
    }
    conc__blocked_end(w->self);
    while (load_acquire(&w->done) != OP_LEFT)
        sched_yield();
    return why;
}

/* What the call returns. */
static ssize_t op_outcome(struct conc_context *self, const struct op *op, int why,
                          conc_deadline deadline)
{
    if (op->result != -ECANCELED || !why)
        return op->result;
    if (why == -EBADF)
        return why;
    if (op->hurried)
        return deadline_is_now(deadline) ? -EAGAIN : -ETIMEDOUT;
    return op_report_end(self, why);
}

static bool deadline_is_past(conc_deadline deadline)
{
    return !deadline_is_forever(deadline) && deadline.ns <= conc_now();
}

/* ---- With a driver ---- */

/* After an op that ended immediately: let the others in this thread run now and then. */
static void op_yield_sometimes(struct conc_context *self)
{
    static __thread unsigned count;
    if (++count % OPS_PER_YIELD == 0)
        self->ops->yield(self);
}

/* Make the one attempt that a call out of time has. False: it needs a thread all the same. */
static bool op_end_now(struct op *op, conc_deadline deadline, ssize_t *result)
{
    *result = conc__op_ask(op);
    if (*result)
        return true;
    switch (conc__op_way(op, BY_EPOLL)) {
    case WAY_CALL:
        *result = conc__perform(op, true);
        return true;
    case WAY_READY:
        *result = conc__perform(op, false);
        if (*result == -EAGAIN && op->by_thread && conc__op_is_ready(op))
            return false;
        if (*result == -EAGAIN && !deadline_is_now(deadline))
            *result = -ETIMEDOUT;
        return true;
    default:
        return false;
    }
}

static ssize_t op_run_by_driver(struct conc_context *self, struct op *op, const char *what,
                                conc_deadline deadline)
{
    struct op_waiter w = {.self = self};
    ssize_t result;
    op->hurried = deadline_is_past(deadline);
    if (op->hurried && op_end_now(op, deadline, &result)) {
        op_yield_sometimes(self);
        return result;
    }
    op->complete = op_wake_task;
    op->waiter = &w;
    conc__driver_start(self->driver, op);
    int why = 0;
    if (w.done)
        op_yield_sometimes(self);
    else
        why = op_wait(&w, op, what, deadline);
    return op_outcome(self, op, why, deadline);
}

/* ---- Without ---- */

static ssize_t op_run_by_thread(struct conc_context *self, struct op *op, const char *what,
                                conc_deadline deadline)
{
    const bool names_fd = op_fd(op) >= 0;
    struct fd_wait wait;
    struct op_waiter w = {.self = self, .wait = names_fd ? &wait : NULL};
    op->complete = op_wake_thread;
    op->waiter = &w;
    op->driver = NULL;
    if (names_fd)
        conc__fd_wait_begin(&wait, op->fd);
    conc__offload_start(op, true);
    int why = op_wait(&w, op, what, deadline);
    if (names_fd)
        conc__fd_wait_end(&wait);
    return op_outcome(self, op, why, deadline);
}

/* A part that was received is a success. */
static ssize_t op_end_closed(const struct op *op) { return op->moved ? op->moved : -EBADF; }

static ssize_t op_poll_and_attempt(struct conc_context *self, struct op *op, const char *what,
                                   conc_deadline deadline)
{
    conc_deadline until;
    struct fd_wait wait;
    struct file_identity identity;
    bool for_thread = false;
    int why = 0;
    conc__fd_wait_begin(&wait, op->fd);
    ssize_t result = conc__identity_note(&identity, op->fd);
    conc__blocked_begin(self, what, NULL, NULL);
    while (!result && !(why = conc__must_end(self, deadline, &until))) {
        if (!conc__fd_wait_is_closed(&wait))
            self->ops->poll(self, op->fd, conc__op_events(op), until);
        result = conc__fd_wait_is_closed(&wait) ? op_end_closed(op)
                                                : conc__identity_perform(&identity, op);
        for_thread = result == -EAGAIN && op->by_thread && conc__op_is_ready(op);
        if (result != -EAGAIN || !conc__op_events(op) || for_thread)
            break;
        result = 0;
    }
    conc__blocked_end(self);
    conc__fd_wait_end(&wait);
    if (why)
        return op->moved ? op->moved : op_report_end(self, why);
    return for_thread ? op_run_by_thread(self, op, what, deadline) : result;
}

static ssize_t op_attempt_alone(struct conc_context *self, struct op *op, const char *what,
                                conc_deadline deadline)
{
    ssize_t result = conc__perform(op, false);
    if (result != -EAGAIN || !conc__op_events(op))
        return result;
    if (op->by_thread && conc__op_is_ready(op))
        return op_run_by_thread(self, op, what, deadline);
    return deadline_is_now(deadline) ? -EAGAIN : op_poll_and_attempt(self, op, what, deadline);
}

static ssize_t op_run_alone(struct conc_context *self, struct op *op, const char *what,
                            conc_deadline deadline)
{
    int err = conc__op_ask(op);
    if (err)
        return err;
    op->hurried = deadline_is_past(deadline);
    switch (conc__op_way(op, BY_CALLER)) {
    case WAY_CALL:
        return conc__perform(op, true);
    case WAY_READY:
        return op_attempt_alone(self, op, what, deadline);
    default:
        return op_run_by_thread(self, op, what, deadline);
    }
}

/* ---- Both ---- */

static int op_pause(int64_t ns, conc_deadline deadline)
{
    conc_deadline end = deadline_earlier(conc_in(ns), deadline);
    int err = conc_sleep_until(end);
    return !err && end.ns == deadline.ns ? -ETIMEDOUT : err;
}

static ssize_t op_run_until(struct op *op, const char *what, conc_deadline deadline)
{
    ssize_t result = wait_checkpoint(deadline);
    for (int64_t ns = OP_PAUSE_MIN; !result; ns = ns < OP_PAUSE_MAX ? 2 * ns : OP_PAUSE_MAX) {
        struct conc_context *self = context_self();
        op->step = 0;
        op->moved = 0;
        result = self->driver ? op_run_by_driver(self, op, what, deadline)
                              : op_run_alone(self, op, what, deadline);
        if (result != -EAGAIN || deadline_is_now(deadline))
            return result;
        result = op_pause(ns, deadline);
    }
    return result;
}

ssize_t conc__op_run(struct op *op, const char *what, conc_deadline deadline)
{
    ssize_t result = op_run_until(op, what, deadline);
    if (result < 0)
        message_forget(context_self(), result);
    return result;
}

ssize_t conc__op_run_firmly(struct op *op, const char *what)
{
    struct op_waiter w = {.self = context_self()};
    if (!w.self->driver)
        return conc__perform(op, true);
    op->firm = true;
    op->complete = op_wake_task;
    op->waiter = &w;
    conc__driver_start(w.self->driver, op);
    if (!w.done)
        op_wait(&w, op, what, CONC_FOREVER);
    return op->result;
}
