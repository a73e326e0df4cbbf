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
 *     turned     w->list is &turned_away                by a waker that found it cancelled (pop,
 *     away                                              take), under the guard; never delivered
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
 * - Nothing is served to a waiter that was cancelled before: who takes a waiter off the list to
 *   serve it looks at the scopes around it, and turns a cancelled one away. The next in the list is
 *   served instead.
 *
 * When what happens: a waiter is served at the moment in which a waker has taken it off the list
 * and found it not cancelled. A scope is cancelled at the moment in which conc_scope_cancel() has
 * set the context's `cancelled` (scope.c). If a cancel has returned before a call that serves was
 * made, in the same context or in the order that any synchronisation gives, that call sees it, and
 * does not serve the waiter. If a waiter was served before it was cancelled, its wait succeeds. If
 * the two happen at the same time, the waker's look decides. So for each waiter one of both comes
 * first, and all see the same one. A deadline is not a moment that contexts share: a waiter whose
 * deadline has come may be served until it has given up itself.
 *
 * A firm waiter is never turned away: one that cannot be cancelled; and one that a condition has
 * moved to its lock's list, because it has been notified, and only takes the lock again.
 *
 * Races:
 * - wake-up against time-out or cancel: settled under the guard, as above.
 * - cancel before park: a kick leaves a bit in the parking word, so the park that follows returns
 *   at once. The scope is marked before the kick (release), and looked at after the kick was
 *   consumed (acquire).
 * - a kick that comes late stays for the next park, which returns for no reason: every wait is a
 *   loop.
 * - turning away against the kick that has not come yet: the waiter has left the list, and its
 *   context gives up when the kick comes. It may also find that its deadline has passed: that it
 *   was turned away counts then, so it looks at its scopes again.
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

/* Of so many waits in a row that end without a park, one lets others run. */
#define HURRIED_WAITS 32

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

/* Where a waiter is that has been taken off its list because it was cancelled. */
static struct conc__waitlist turned_away;

struct conc__waiter *conc__waitlist_pop(struct conc__waitlist *list)
{
    struct conc__waiter *w;
    while ((w = list->head)) {
        conc__waitlist_remove(list, w);
        if (!waiter_is_cancelled(w))
            return w;
        store_relaxed(&w->list, &turned_away); /* relaxed: under the guard */
    }
    return NULL;
}

struct conc__waiter *conc__waitlist_take(struct conc__waitlist *list, size_t n, size_t *taken)
{
    struct conc__waiter *first = NULL, **end = &first;
    size_t count = 0;
    for (; count < n && (*end = waitlist_pop(list)); count++)
        end = &(*end)->next;
    *end = NULL;
    if (taken)
        *taken = count;
    return first;
}

/* ---- Waiting ---- */

int conc__must_end(struct conc_context *self, conc_deadline deadline, conc_deadline *until)
{
    *until = deadline_earlier(deadline, self->scopes_end);
    if (conc__scopes_ended(self))
        return -ECANCELED;
    return !deadline_is_forever(deadline) && deadline.ns <= conc_now() ? -ETIMEDOUT : 0;
}

/* Take the waiter off its list, unless it has been turned away; false: a waker has taken it, and
 * will deliver. */
static bool waiter_give_up(struct conc__waiter *w, const struct wait_on *on)
{
    guard_lock(on->guard);
    /* relaxed: while it is one of these two, it changes only under this guard */
    const struct conc__waitlist *list = load_relaxed(&w->list);
    const bool listed = list == on->list, refused = list == &turned_away;
    if (listed) {
        conc__waitlist_remove(on->list, w);
        if (on->gave_up)
            on->gave_up(on->object);
    }
    if (refused)
        store_relaxed(&w->list, NULL);
    uint32_t clear = listed && waitlist_is_empty(on->list) ? on->if_empty : 0;
    guard_unlock_with(on->guard, clear, 0);
    return listed || refused;
}

static int waiter_take_delivery(struct conc__waiter *w)
{
    struct conc_context *self = w->context;
    while (!(self->ops->park(self, CONC_FOREVER) & PARK_DELIVERED))
        continue; /* a kick: the next call that may be cancelled will see what it is about */
    return w->outcome;
}

/* A task that calls again and again with a deadline that has passed would stop its loop. So now and
 * then such a call lets others run first. Not afterwards: it must be as it was when the call
 * returns that it has timed out. */
static void wait_let_others_run(struct conc_context *self)
{
    if (++self->hurried % HURRIED_WAITS == 0)
        self->ops->yield(self);
}

int conc__waiter_wait(struct conc__waiter *w, const struct wait_on *on, conc_deadline deadline)
{
    struct conc_context *self = w->context;
    conc_deadline until;
    int result;
    conc__blocked_begin(self, on->what, on->object, on->holder);
    wait_let_others_run(self);
    while (!(result = conc__must_end(self, deadline, &until))) {
        self->hurried = 0;
        if (self->ops->park(self, until) & PARK_DELIVERED) {
            result = w->outcome;
            goto end;
        }
    }
    if (!waiter_give_up(w, on))
        result = waiter_take_delivery(w);
    else if (conc__scopes_check(self)) /* only now: no scope has ended a wait that was served */
        result = -ECANCELED;
end:
    conc__blocked_end(self);
    message_forget(self, result);
    return result;
}

int conc__waiter_wait_firmly(struct conc__waiter *w, const struct wait_on *on)
{
    invariant(w->firm, "who waits firmly is served though it was cancelled");
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
