/* SPDX-License-Identifier: MIT
 *
 * sleep.c: sleeping is a wait without a waker: no list, only the deadline and the scopes.
 *
 * A sleep whose end has passed before it began lets others run once. Otherwise a task that sleeps
 * for nanoseconds again and again, or until points in time that have always passed already, would
 * never let another task of its loop run.
 */
#include "base/clock.h"
#include "wait/context.h"

int conc_sleep_until(conc_deadline deadline)
{
    if (deadline_is_now(deadline))
        return 0;
    struct conc_context *self = context_self();
    int err = conc__scopes_check(self);
    if (err)
        return err;
    if (!deadline_is_forever(deadline) && deadline.ns <= conc_now()) {
        self->ops->yield(self);
        return 0;
    }
    conc__blocked_begin(self, "sleep", NULL, NULL);
    do {
        self->ops->park(self, deadline_earlier(deadline, self->scopes_end));
        err = conc__scopes_check(self);
    } while (!err && (deadline_is_forever(deadline) || deadline.ns > conc_now()));
    conc__blocked_end(self);
    return err;
}

int conc_sleep(int64_t ns) { return ns > 0 ? conc_sleep_until(conc_in(ns)) : conc_check_cancel(); }

void conc_yield(void)
{
    struct conc_context *self = context_self();
    self->ops->yield(self);
}
