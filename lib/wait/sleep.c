/* SPDX-License-Identifier: MIT
 *
 * sleep.c: sleeping is a wait that nobody ends: no list, only the deadline and the scopes.
 */
#include "base/clock.h"
#include "wait/context.h"

int conc_sleep_until(conc_deadline deadline)
{
    if (deadline_is_now(deadline))
        return 0;
    struct conc_context *self = context_self();
    conc_deadline until = deadline;
    int err = conc__scopes_check(self, &until);
    if (err || (!deadline_is_forever(deadline) && deadline.ns <= conc_now()))
        return err;
    conc__blocked_begin(self, "sleep", NULL, NULL);
    do {
        self->ops->park(self, until);
        until = deadline;
        err = conc__scopes_check(self, &until);
    } while (!err && (deadline_is_forever(deadline) || deadline.ns > conc_now()));
    conc__blocked_end(self);
    return err;
}

int conc_sleep(int64_t ns) { return conc_sleep_until(conc_in(ns)); }

void conc_yield(void)
{
    struct conc_context *self = context_self();
    self->ops->yield(self);
}
