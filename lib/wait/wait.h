/* SPDX-License-Identifier: MIT
 *
 * wait.h: how a primitive makes its caller wait, and wakes it. The only place where anything
 * blocks; see wait.c for how and why. A primitive never learns who is waiting.
 *
 *     struct conc__waiter w = waiter_here();
 *     guard_lock(&x->word);
 *     if (may go on) { ...; guard_unlock(&x->word); return 0; }
 *     conc__waitlist_push(&x->waiters, &w);
 *     guard_unlock_with(&x->word, 0, WAITERS);
 *     return conc__waiter_wait(&w, &(struct wait_on){&x->waiters, &x->word, WAITERS, "x", x}, deadline);
 *
 * and the waker, under the guard: w = waitlist_pop(&x->waiters); then, the guard released:
 * conc__waiter_deliver(w, outcome).
 */
#ifndef CONC_LIB_WAIT_H
#define CONC_LIB_WAIT_H

#include <conc/waitlist.h>

#include "base/clock.h"
#include "base/guard.h"
#include "wait/context.h"

/* One who waits: lies on the blocked caller's stack. */
struct conc__waiter {
    struct conc__waiter *next,
        *prev; /* in *list; the waker may reuse `next` once it is off the list */
    struct conc__waitlist
        *list; /* NULL: on none. Changes under the guard of the list's primitive */
    struct conc_context *context;
    void *slot; /* the primitive's own: where to put a value handed over, how much is wanted ... */
    size_t number; /* the same */
    int64_t since; /* the same */
    int outcome;   /* set by the waker before it delivers */
};

static inline struct conc__waiter waiter_here(void)
{
    struct conc__waiter w = {.context = context_self()};
    return w;
}

/* ---- Lists; under the guard of the primitive they lie in ---- */

void conc__waitlist_push(struct conc__waitlist *list, struct conc__waiter *w);
void conc__waitlist_push_front(struct conc__waitlist *list, struct conc__waiter *w);
void conc__waitlist_remove(struct conc__waitlist *list, struct conc__waiter *w);

static inline bool waitlist_is_empty(const struct conc__waitlist *list) { return !list->head; }

/* The one that has waited longest, off its list; NULL: none. */
static inline struct conc__waiter *waitlist_pop(struct conc__waitlist *list)
{
    struct conc__waiter *w = list->head;
    if (w)
        conc__waitlist_remove(list, w);
    return w;
}

/* The first n of them (SIZE_MAX: all), off their list, chained by `next` with NULL at the end: to
 * be delivered with the guard released. *taken (may be NULL): how many. */
struct conc__waiter *conc__waitlist_take(struct conc__waitlist *list, size_t n, size_t *taken);

static inline struct conc__waiter *waitlist_take_all(struct conc__waitlist *list)
{
    return conc__waitlist_take(list, SIZE_MAX, NULL);
}

/* ---- Waiting and waking ---- */

/* At the head of every call that may block: -ECANCELED if the caller has been cancelled. A call
 * with CONC_NOW never is. */
static inline int checkpoint(conc_deadline deadline)
{
    struct conc_context *self = conc__self;
    if (!self || !self->scope || deadline_is_now(deadline))
        return 0;
    conc_deadline until = CONC_FOREVER;
    return conc__scopes_check(self, &until);
}

/* Must the caller stop waiting? -ECANCELED (no scope is told), -ETIMEDOUT; or 0, and *until is when
 * to look again at the latest. */
int conc__must_end(struct conc_context *self, conc_deadline deadline, conc_deadline *until);

/* What a wait is for. */
struct wait_on {
    struct conc__waitlist *list; /* on which the waiter lies */
    uint32_t *guard;             /* of that list */
    uint32_t if_empty; /* bits of the guard's word to clear if giving up leaves the list empty */
    const char *what;  /* for the registry: "lock", "queue get" ...; static */
    void *object;      /* the same: the primitive's address */
    const uint32_t *holder; /* the same: where the id of its holder stands; NULL: it has none */
    void (*gave_up)(
        void *object); /* NULL, or: called under the guard when the waiter has given up */
};

/* Wait, as `w`, the guard released. Returns w's outcome; or, with w off its list again, -ETIMEDOUT
 * or -ECANCELED. */
int conc__waiter_wait(struct conc__waiter *w, const struct wait_on *on, conc_deadline deadline);

/* The same without a deadline, and not to be cancelled. */
int conc__waiter_wait_firmly(struct conc__waiter *w, const struct wait_on *on);

/* Serve a waiter that the caller has taken off its list: its wait returns `outcome`. Best called
 * with no guard held. */
void conc__waiter_deliver(struct conc__waiter *w, int outcome);

/* conc__waiter_deliver() for a chain of waitlist_take_all(). */
void conc__waiter_deliver_all(struct conc__waiter *first, int outcome);

#endif
