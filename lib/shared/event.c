/* SPDX-License-Identifier: MIT
 *
 * event.c: a flag that threads and tasks of several processes can wait for.
 *
 * How: the word holds the flag, and above it the number of times that the flag was set from
 * clear. A wait ends when it sees the flag, or sees that this number has changed. So a clear
 * that follows the set at once takes nothing from a waiter. Every change is one swap: a process
 * that dies leaves the event set, or not.
 *
 * Order: set releases; seeing the flag or the new number acquires.
 */
#include <limits.h>

#include "base/atomic.h"
#include "shared/shared_impl.h"

#define SHARED_EVENT_SET 1u
#define SHARED_EVENT_ONE_SET 2u

_Static_assert(sizeof(conc_shared_event) == 12 && offsetof(conc_shared_event, spot) == 4,
               "the layout of a shared event crosses processes");

void conc_shared_event_init(conc_shared_event *event) { *event = (conc_shared_event){0}; }

void conc_shared_event_set(conc_shared_event *event)
{
    uint32_t v = load_relaxed(&event->word); /* relaxed: the swap releases */
    do {
        if (v & SHARED_EVENT_SET) {
            /* a context that sees the flag sees what this caller did, too */
            fetch_or_release(&event->word, 0);
            break;
        }
    } while (!cas_release(&event->word, &v, (v + SHARED_EVENT_ONE_SET) | SHARED_EVENT_SET));
    conc__shared_notify(&event->spot, INT_MAX);
}

void conc_shared_event_clear(conc_shared_event *event)
{
    fetch_and_release(&event->word, ~SHARED_EVENT_SET);
}

bool conc_shared_event_is_set(const conc_shared_event *event)
{
    return load_acquire(&event->word) & SHARED_EVENT_SET;
}

struct shared_event_wait {
    const conc_shared_event *event;
    uint32_t since; /* the word when the wait began */
};

static int shared_event_was_set(void *arg)
{
    const struct shared_event_wait *w = arg;
    uint32_t v = load_acquire(&w->event->word);
    return (v & SHARED_EVENT_SET) || (v & ~SHARED_EVENT_SET) != (w->since & ~SHARED_EVENT_SET)
               ? 0
               : -EAGAIN;
}

int conc_shared_event_wait(conc_shared_event *event, conc_deadline deadline)
{
    struct shared_event_wait w = {event, load_acquire(&event->word)};
    const struct shared_on on = {&event->spot, shared_event_was_set, &w, "shared event", event};
    return conc__shared_call(&on, deadline);
}
