/* SPDX-License-Identifier: MIT
 *
 * event.c: a flag to wait for.
 *
 *     SET      the flag
 *     WAITERS  the list is not empty (under the guard)
 *
 * How: without waiters set() is one swap. With waiters it takes all of them off the list under the
 * guard, and the release of the guard sets the flag: only then can a context that did not wait see
 * it, return, and free the event. The waiters return when they are delivered to, after that.
 * Invariant: SET is set only with the list empty; a waiter looks at SET under the guard before it
 * goes on the list, so that none waits for a flag that is set. Order: setting releases, seeing it
 * acquires. Clearing acquires too: a context that waits, clears and then looks sees what the
 * setters before the clear did.
 */
#include <conc/event.h>

#include "sync/words.h"
#include "wait/wait.h"

void conc_event_init(conc_event *event) { *event = (conc_event)CONC_EVENT_INIT; }

void conc_event_set(conc_event *event)
{
    uint32_t v = load_relaxed(&event->word); /* relaxed: the swap releases */
    while (!(v & (EVENT_WAITERS | GUARD_HELD)))
        /* Also if it is set: what this caller did is to be seen too. */
        if (cas_release(&event->word, &v, v | EVENT_SET))
            return;
    guard_lock(&event->word);
    struct conc__waiter *chain = waitlist_take_all(&event->waiters);
    guard_unlock_with(&event->word, EVENT_WAITERS, EVENT_SET);
    conc__waiter_deliver_all(chain, 0);
}

void conc_event_clear(conc_event *event) { fetch_and_acq_rel(&event->word, ~EVENT_SET); }

bool conc_event_is_set(const conc_event *event) { return load_acquire(&event->word) & EVENT_SET; }

int conc_event_wait(conc_event *event, conc_deadline deadline)
{
    int err = wait_checkpoint(deadline);
    if (err || conc_event_is_set(event))
        return err;
    if (deadline_is_now(deadline))
        return -EAGAIN;
    struct conc__waiter w = waiter_here();
    guard_lock(&event->word);
    if (conc_event_is_set(event)) {
        guard_unlock(&event->word);
        return 0;
    }
    conc__waitlist_push(&event->waiters, &w);
    guard_unlock_with(&event->word, 0, EVENT_WAITERS);
    const struct wait_on on = {.list = &event->waiters,
                               .guard = &event->word,
                               .if_empty = EVENT_WAITERS,
                               .what = "event",
                               .object = event};
    return conc__waiter_wait(&w, &on, deadline);
}
