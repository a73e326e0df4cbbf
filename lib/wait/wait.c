/* SPDX-License-Identifier: MIT
 *
 * wait.c: waiting and waking. Everything in libconc that blocks, blocks here.
 *
 * How: a waiter lies on the stack of the caller that blocks and, under the guard of some primitive,
 * on that primitive's list. The caller releases the guard and parks. The states of a waiter, and
 * what brings it there:
 *
 *     listed     w->list is the list                    pushed by its own context, under the
 *                                                       guard
 *     moved      w->list is another primitive's list    by a waker (a condition's notify), under
 *                                                       both guards
 *     taken      w->list is NULL                        by a waker (pop, take_all), under the guard
 *     delivered  PARK_DELIVERED has reached the context by that waker, once, afterwards, holding no
 *                guard
 *     given up   w->list is NULL                        by its own context, under the guard; never
 *                                                       delivered
 *
 * Invariants:
 * - The context that takes a waiter off its list, under the guard, has decided how its wait ends:
 *   the waker (woken) or the waiting context itself (timed out, cancelled). No other context can
 *   decide it any more: no wake-up is lost, none comes twice.
 * - A waiter that was taken is delivered to exactly once, and its wait returns only then. So its
 *   frame lives as long as the waker needs it; and a context that gives up but finds its waiter
 *   taken has been served: it waits for the delivery, which comes soon, and returns success, not
 *   the time-out.
 * - A context that can be cancelled is only kicked: it looks at its scopes itself, and gives up by
 *   itself. The canceller needs no list and no guard, and there are no lock orders to get wrong.
 *
 * Races:
 * - wake-up against time-out or cancel: settled under the guard, as above.
 * - cancel before park: a kick leaves a bit in the parking word, so the park that follows returns
 *   at once. The scope is marked before the kick (release), and looked at after the kick was
 *   consumed (acquire).
 * - a kick that comes late stays for the next park, which returns for no reason: every wait is a
 *   loop.
 * - move against time-out: the context gives up only if it finds its waiter, under the guard of the
 *   list that it chose, still on that list. A waiter that was moved has been notified, and its
 *   context waits on.
 * - destroy against waking: see guard.h. A waker's last touch of the primitive is the guard's
 *   release; after that it knows only the waiters it has taken.
 *
 * Order: w->outcome and what the waker did before are published by the delivery (release) and seen
 * by the park that reports it (acquire). w->list is read without its guard's order where the waiter
 * may have been moved, hence atomic.
 */
#include "wait/wait.h"

#include "base/invariant.h"

/* ---- Lists ---- */

static void waiter_link_before(struct conc__waiter *at, struct conc__waiter *w)
{
    w->next = at;
    w->prev = at->prev;
    at->prev->next = w;
    at->prev = w;
}

void conc__waitlist_push(struct conc__waitlist *list, struct conc__waiter *w)
{
    invariant(!load_relaxed(&w->list), "a waiter that is pushed is on no list");
    store_relaxed(&w->list, list);
    if (list->head) {
        waiter_link_before(list->head, w);
    } else {
        w->next = w->prev = w;
        list->head = w;
    }
}

void conc__waitlist_push_front(struct conc__waitlist *list, struct conc__waiter *w)
{
    conc__waitlist_push(list, w);
    list->head = w;
}

void conc__waitlist_remove(struct conc__waitlist *list, struct conc__waiter *w)
{
    invariant(load_relaxed(&w->list) == list, "a waiter that is removed is on that list");
    if (list->head == w)
        list->head = w->next == w ? NULL : w->next;
    w->prev->next = w->next;
    w->next->prev = w->prev;
    store_relaxed(&w->list, NULL);
}

struct conc__waiter *conc__waitlist_take(struct conc__waitlist *list, size_t n, size_t *taken)
{
    struct conc__waiter *first = NULL, **end = &first;
    size_t count = 0;
    for (; count < n && list->head; count++) {
        *end = waitlist_pop(list);
        end = &(*end)->next;
    }
    *end = NULL;
    if (taken)
        *taken = count;
    return first;
}

/* ---- Waiting ---- */

int conc__must_end(struct conc_context *self, conc_deadline deadline, conc_deadline *until)
{
    *until = deadline;
    if (conc__scopes_ended(self, until))
        return -ECANCELED;
    return !deadline_is_forever(deadline) && deadline.ns <= conc_now() ? -ETIMEDOUT : 0;
}

/* Take the waiter off its list; false: a waker has taken it already, and will deliver. */
static bool waiter_give_up(struct conc__waiter *w, const struct wait_on *on)
{
    guard_lock(on->guard);
    /* relaxed: while it is this list, it changes only under this guard */
    bool listed = load_relaxed(&w->list) == on->list;
    if (listed) {
        conc__waitlist_remove(on->list, w);
        if (on->gave_up)
            on->gave_up(on->object);
    }
    uint32_t clear = listed && waitlist_is_empty(on->list) ? on->if_empty : 0;
    guard_unlock_with(on->guard, clear, 0);
    return listed;
}

static int waiter_take_delivery(struct conc__waiter *w)
{
    struct conc_context *self = w->context;
    while (!(self->ops->park(self, CONC_FOREVER) & PARK_DELIVERED))
        continue; /* a kick: the next call that may be cancelled will see what it is about */
    return w->outcome;
}

int conc__waiter_wait(struct conc__waiter *w, const struct wait_on *on, conc_deadline deadline)
{
    struct conc_context *self = w->context;
    conc_deadline until;
    bool parked = false;
    int result;
    conc__blocked_begin(self, on->what, on->object, on->holder);
    while (!(result = conc__must_end(self, deadline, &until))) {
        parked = true;
        if (self->ops->park(self, until) & PARK_DELIVERED) {
            result = w->outcome;
            goto end;
        }
    }
    if (!waiter_give_up(w, on))
        result = waiter_take_delivery(w);
    else if (result == -ECANCELED)
        conc__scopes_check(self, &until); /* only now: no scope has ended a wait that was served */
end:
    conc__blocked_end(self);
    if (!parked)
        self->ops->yield(self); /* or a task that calls again and again would stop its loop */
    return result;
}

int conc__waiter_wait_firmly(struct conc__waiter *w, const struct wait_on *on)
{
    conc__blocked_begin(w->context, on->what, on->object, on->holder);
    int result = waiter_take_delivery(w);
    conc__blocked_end(w->context);
    return result;
}

/* ---- Waking ---- */

void conc__waiter_deliver(struct conc__waiter *w, int outcome)
{
    struct conc_context *context = w->context;
    w->outcome = outcome;
    context->ops->deliver(context, w);
}

void conc__waiter_deliver_all(struct conc__waiter *first, int outcome)
{
    while (first) {
        struct conc__waiter *w = first;
        first = w->next; /* before the delivery, after which w may no longer exist */
        conc__waiter_deliver(w, outcome);
    }
}
