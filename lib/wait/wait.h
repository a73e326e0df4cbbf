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
 *     const struct wait_on on = {&x->waiters, &x->word, WAITERS, "x", x};
 *     return conc__waiter_wait(&w, &on, deadline);
 *
 * The waker, under the guard: w = waitlist_pop(&x->waiters); then, with the guard released:
 * conc__waiter_deliver(w, outcome).
 */
#ifndef CONC_LIB_WAIT_H
#define CONC_LIB_WAIT_H

#include <conc/waitlist.h>

#include "base/clock.h"
#include "base/guard.h"
#include "wait/context.h"

/* One blocked call. It lies on the blocked caller's stack. */
struct conc__waiter {
    /* In *list. After it was taken off, the waker may use `next`. */
    struct conc__waiter *next;
    struct conc__waiter *prev;
    /* NULL: on none. It changes under the guard of the list's primitive. */
    struct conc__waitlist *list;
    struct conc_context *context;
    /* For the primitive's own use: */
    void *slot;    /* where to put what is handed over, or what is waited for */
    size_t number; /* how much is wanted */
    int64_t since;
    int outcome; /* set by the waker before it delivers */
    bool firm;   /* it is served also if it has been cancelled; under the guard */
};

static inline struct conc__waiter waiter_here(void)
{
    struct conc__waiter w = {.context = context_self()};
    return w;
}

/* For conc__waiter_wait_firmly(). */
static inline struct conc__waiter waiter_here_firmly(void)
{
    struct conc__waiter w = {.context = context_self(), .firm = true};
    return w;
}

/* ---- Lists, under the guard of their primitive ---- */

void conc__waitlist_push(struct conc__waitlist *list, struct conc__waiter *w);
void conc__waitlist_push_front(struct conc__waitlist *list, struct conc__waiter *w);
void conc__waitlist_remove(struct conc__waitlist *list, struct conc__waiter *w);

static inline bool waitlist_is_empty(const struct conc__waitlist *list) { return !list->head; }

/* Has it been cancelled, so that it must not be served any more? */
static inline bool waiter_is_cancelled(const struct conc__waiter *w)
{
    return !w->firm && load_acquire(&w->context->cancelled) && conc__scopes_cancelled(w->context);
}

/* Take the first that may be served off the list: of those, the one that has waited longest. NULL:
 * there is none, and the list is empty now. The cancelled ones before it are taken off too, and
 * left to themselves. */
struct conc__waiter *conc__waitlist_pop(struct conc__waitlist *list);

static inline struct conc__waiter *waitlist_pop(struct conc__waitlist *list)
{
    return waitlist_is_empty(list) ? NULL : conc__waitlist_pop(list);
}

/* Take the first n (SIZE_MAX: all) that may be served off the list, chained by `next` with NULL at
 * the end. They are to be delivered to after the guard is released. *taken (may be NULL): how
 * many. */
struct conc__waiter *conc__waitlist_take(struct conc__waitlist *list, size_t n, size_t *taken);

static inline struct conc__waiter *waitlist_take_all(struct conc__waitlist *list)
{
    return conc__waitlist_take(list, SIZE_MAX, NULL);
}

/* ---- Waiting and waking ---- */

/* At the head of every call that may block: -ECANCELED if the caller has been cancelled. A call
 * with CONC_NOW never is. */
static inline int wait_checkpoint(conc_deadline deadline)
{
    struct conc_context *self = conc__self;
    if (!self || deadline_is_now(deadline) || !scopes_may_have_ended(self))
        return 0;
    return conc__scopes_check(self);
}

/* Must the caller stop waiting? -ECANCELED (no scope notes that yet), -ETIMEDOUT; or 0, and *until
 * is when to look again at the latest. */
int conc__must_end(struct conc_context *self, conc_deadline deadline, conc_deadline *until);

/* What a wait is for. */
struct wait_on {
    struct conc__waitlist *list; /* on which the waiter lies */
    uint32_t *guard;             /* of that list */
    uint32_t if_empty; /* bits of the guard's word to clear if giving up leaves the list empty */

    /* For the registry: */
    const char *what;       /* "lock", "queue get" ...; static */
    void *object;           /* the primitive's address */
    const uint32_t *holder; /* where the low bits of its holder's id stand; NULL: it has none */

    /* Called under the guard when the waiter has given up; not if a waker has taken it off the list
     * because it was cancelled. May be NULL. */
    void (*gave_up)(void *object);
};

/* Wait, as `w`, with the guard released. Returns w's outcome; or, with w off its list again,
 * -ETIMEDOUT or -ECANCELED. */
int conc__waiter_wait(struct conc__waiter *w, const struct wait_on *on, conc_deadline deadline);

/* The same without a deadline, and not to be cancelled, for a waiter_here_firmly(). */
int conc__waiter_wait_firmly(struct conc__waiter *w, const struct wait_on *on);

/* Serve a waiter that the caller has taken off its list: its wait returns `outcome`. Best called
 * with no guard held. */
void conc__waiter_deliver(struct conc__waiter *w, int outcome);

/* conc__waiter_deliver() for a chain of waitlist_take_all(). */
void conc__waiter_deliver_all(struct conc__waiter *first, int outcome);

#endif
