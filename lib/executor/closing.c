/* SPDX-License-Identifier: MIT
 *
 * closing.c: how a shutdown waits until its executor has ended; see closing.h.
 */
#include "executor/closing.h"

int conc__closing_wait(const struct closing *closing, conc_deadline deadline)
{
    int err = wait_checkpoint(deadline);
    if (err)
        return err;
    struct conc__waiter w = waiter_here();
    guard_lock(closing->guard);
    bool ended = closing->has_ended(closing->executor);
    bool waits = !ended && !deadline_is_now(deadline);
    if (waits)
        conc__waitlist_push(closing->closers, &w);
    guard_unlock(closing->guard);
    if (!waits)
        return ended ? 0 : -EAGAIN;
    const struct wait_on on = {.list = closing->closers,
                               .guard = closing->guard,
                               .what = "shutdown",
                               .object = closing->executor};
    return conc__waiter_wait(&w, &on, deadline);
}
