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
 * attempts, polls with its deadline, and attempts again. An op without readiness is simply carried
 * out.
 *
 * CONC_NOW, or a deadline that has passed: one attempt, by system calls. Files are always ready, so
 * they are read and written, and the caller waits until that is over.
 *
 * With a driver, a context whose ops all end immediately would never let the other contexts of its
 * thread run. So it yields after each OPS_PER_YIELD such ops.
 *
 * -EAGAIN without an event to wait for (see perform.c): the next attempt comes after a pause, which
 * doubles from OP_PAUSE_MIN to OP_PAUSE_MAX.
 *
 * Waking: the completion comes in the thread in which the context runs, so `done` needs no memory
 * order. The completion kicks the context, which means no more than 'look again', and only a
 * context that has parked.
 */
#include <conc/context.h>

#include "base/clock.h"
#include "base/invariant.h"
#include "op/closing.h"
#include "op/identity.h"
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

/* ---- With a driver ---- */

struct op_waiter {
    struct conc_context *self;
    bool parks; /* the completion must wake it */
    bool done;
};

static void op_wake_waiter(struct op *op)
{
    struct op_waiter *w = op->waiter;
    w->done = true;
    if (w->parks)
        w->self->ops->kick(w->self);
}

/* Wait until the op is complete. 0, or why it was cancelled. */
static int op_wait(struct op_waiter *w, struct op *op, const char *what, conc_deadline deadline)
{
    struct conc_context *self = w->self;
    const bool firmly = deadline_is_now(deadline); /* an op on a file; no cancellation point */
    int why = 0;
    conc__blocked_begin(self, what, NULL, NULL);
    while (!w->done) {
        conc_deadline until = CONC_FOREVER;
        if (!firmly && !why && (why = conc__must_end(self, deadline, &until))) {
            driver_cancel(self->driver, op); /* the op may end here */
            continue;
        }
        w->parks = true;
        self->ops->park(self, until);
        w->parks = false;
    }
    conc__blocked_end(self);
    return why;
}

/* After an op that ended immediately: let the others in this thread run now and then. */
static void op_yield_sometimes(struct conc_context *self)
{
    static __thread unsigned count;
    if (++count % OPS_PER_YIELD == 0)
        self->ops->yield(self);
}

static bool deadline_is_past(conc_deadline deadline)
{
    return !deadline_is_forever(deadline) && deadline.ns <= conc_now();
}

/* Make the one attempt that a call out of time has. False: it needs the driver all the same. */
static bool op_end_now(struct op *op, conc_deadline deadline, ssize_t *result)
{
    *result = conc__op_events(op) ? conc__perform(op, false) : -EAGAIN;
    if (*result != -EAGAIN)
        return true;
    *result = deadline_is_now(deadline) ? -EAGAIN : -ETIMEDOUT;
    return conc__op_is_pollable(op);
}

static ssize_t op_run_by_driver(struct conc_context *self, struct op *op, const char *what,
                                conc_deadline deadline)
{
    struct op_waiter w = {.self = self};
    ssize_t result;
    if (deadline_is_past(deadline) && op_end_now(op, deadline, &result)) {
        op_yield_sometimes(self);
        return result;
    }
    op->complete = op_wake_waiter;
    op->waiter = &w;
    conc__driver_start(self->driver, op);
    int why = 0;
    if (w.done)
        op_yield_sometimes(self);
    else
        why = op_wait(&w, op, what, deadline);
    return op->result == -ECANCELED && why ? op_report_end(self, why) : op->result;
}

/* ---- Without ---- */

/* A part that was received is a success. */
static ssize_t op_end_closed(const struct op *op) { return op->moved ? op->moved : -EBADF; }

static ssize_t op_poll_and_attempt(struct conc_context *self, struct op *op, const char *what,
                                   conc_deadline deadline)
{
    conc_deadline until;
    struct fd_wait wait;
    struct file_identity identity;
    int why = 0;
    conc__fd_wait_begin(&wait, op->fd);
    ssize_t result = conc__identity_note(&identity, op->fd);
    conc__blocked_begin(self, what, NULL, NULL);
    while (!result && !(why = conc__must_end(self, deadline, &until))) {
        if (!conc__fd_wait_is_closed(&wait))
            self->ops->poll(self, op->fd, conc__op_events(op), until);
        result = conc__fd_wait_is_closed(&wait) ? op_end_closed(op)
                                                : conc__identity_perform(&identity, op);
        if (result == -EAGAIN && conc__op_events(op))
            result = 0;
        else
            break;
    }
    conc__blocked_end(self);
    conc__fd_wait_end(&wait);
    if (why)
        return op->moved ? op->moved : op_report_end(self, why);
    return result;
}

static ssize_t op_run_alone(struct conc_context *self, struct op *op, const char *what,
                            conc_deadline deadline)
{
    if (!conc__op_events(op))
        return conc__perform(op, true);
    ssize_t result = conc__perform(op, false);
    if (result != -EAGAIN || !conc__op_events(op))
        return result;
    if (!conc__op_is_pollable(op))
        return op->code == OP_POLL ? -EPERM : conc__perform(op, true);
    return deadline_is_now(deadline) ? -EAGAIN : op_poll_and_attempt(self, op, what, deadline);
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
    op->complete = op_wake_waiter;
    op->waiter = &w;
    conc__driver_start(w.self->driver, op);
    if (!w.done)
        op_wait(&w, op, what, CONC_NOW);
    return op->result;
}
