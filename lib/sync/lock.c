/* SPDX-License-Identifier: MIT
 *
 * lock.c: mutual exclusion.
 *
 * How: when it is free the word is 0; taking it is one compare-and-swap, releasing it another. A
 * context that finds it held yields a little, then goes on the list. A release that finds waiters
 * wakes the first, but does not give it the lock: the woken one must take it like any other
 * context, and if a running context was faster it goes back to the front of the list. That keeps
 * the lock busy while the woken one's core wakes up. A first waiter that has waited for longer than
 * LOCK_PATIENCE is handed the lock itself.
 *
 *     LOCKED   the lock is held
 *     WAITERS  the list is not empty (kept exact under the guard)
 *     WAKING   one waiter was woken and has not tried yet: a release need not wake another
 *
 *     0                  -> LOCKED                 acquire
 *     LOCKED             -> 0                      release
 *     LOCKED             -> LOCKED|WAITERS         enlist: only while LOCKED is seen as the guard
 *                                                  is taken
 *     LOCKED|WAITERS     -> WAITERS?|WAKING        release, and the first waiter is woken
 *     LOCKED|WAITERS     -> LOCKED|WAITERS?        release, and the lock handed to the first waiter
 *     LOCKED|WAITERS     -> 0                      release: all waiters had been cancelled
 *     LOCKED|WAITERS|WAKING -> WAITERS|WAKING      release: a woken waiter is on its way
 *     ..|WAKING          -> LOCKED|..              the woken one takes it
 *     LOCKED|..|WAKING   -> LOCKED|WAITERS         the woken one lost; it is at the front again
 *
 * Invariants: WAITERS without LOCKED implies WAKING: while the lock is free and has waiters, one of
 * them is on its way to it. For that, LOCKED is never cleared while the guard is held (the guard's
 * holder may just be pushing a waiter), and the woken one clears WAKING only together with taking
 * LOCKED, or under the guard with LOCKED seen. A woken waiter whose deadline has come goes through
 * the list like any other, so it needs no case of its own. One that was cancelled before it took
 * the lock does not keep it: it looks after it has taken it, since the release that made the lock
 * free may have come after the cancel, and releases it again.
 *
 * Fairness: a waiter's patience begins when it becomes the first of the list (`since`). So the k-th
 * waits for about k times LOCK_PATIENCE at most. And hand-overs cannot become the rule: each of
 * them leaves the lock idle for the length of a wake-up.
 *
 * Order: acquire's swap acquires, release's releases, so critical sections are ordered. A hand-over
 * is ordered by the delivery. Destruction: LOCKED is cleared by the last operation on the word
 * (guard.h), so that the next holder may free the lock.
 */
#include <conc/lock.h>

#include "base/backoff.h"
#include "sync/lock_impl.h"
#include "sync/words.h"

/* relaxed: for reports only */
static void lock_note_holder(conc_lock *lock, const struct conc_context *holder)
{
    store_relaxed(&lock->holder, (uint32_t)holder->id); /* the low bits: registry.c */
}

/* Take the lock if it is free, and clear `waking` with it: WAKING if this caller was woken, else
 * 0. */
static bool lock_take(conc_lock *lock, uint32_t waking)
{
    uint32_t v = load_relaxed(&lock->word); /* relaxed: the swap acquires */
    while (!(v & LOCK_LOCKED))
        if (cas_acquire(&lock->word, &v, (v | LOCK_LOCKED) & ~waking))
            return true;
    return false;
}

static bool lock_take_with_backoff(conc_lock *lock, uint32_t waking)
{
    for (int turn = 0; turn < BACKOFF_TURNS; turn++) {
        if (lock_take(lock, waking))
            return true;
        backoff_rest(turn);
    }
    return lock_take(lock, waking);
}

/* Push the waiter on the list; false: the lock is free, try again. */
static bool lock_enlist(conc_lock *lock, struct conc__waiter *w, uint32_t waking)
{
    if (!guard_lock_if(&lock->word, LOCK_LOCKED))
        return false;
    if (waking) {
        conc__waitlist_push_front(&lock->waiters, w);
    } else {
        w->since = conc_now();
        conc__waitlist_push(&lock->waiters, w);
    }
    guard_unlock_with(&lock->word, waking, LOCK_WAITERS);
    return true;
}

/* Acquire; `waking`: as in lock_take(). A firm call has no deadline and cannot be cancelled. */
static int lock_acquire_slow(conc_lock *lock, uint32_t waking, conc_deadline deadline, bool firm)
{
    struct conc__waiter w = firm ? waiter_here_firmly() : waiter_here();
    const struct wait_on on = {.list = &lock->waiters,
                               .guard = &lock->word,
                               .if_empty = LOCK_WAITERS,
                               .what = "lock",
                               .object = lock,
                               .holder = &lock->holder};
    while (!lock_take_with_backoff(lock, waking)) {
        if (!lock_enlist(lock, &w, waking))
            continue;
        int end = firm ? conc__waiter_wait_firmly(&w, &on) : conc__waiter_wait(&w, &on, deadline);
        if (end < 0)
            return end;
        if (end == LOCK_HANDED)
            return 0;
        waking = end == LOCK_WOKEN ? LOCK_WAKING : 0;
    }
    lock_note_holder(lock, w.context);
    if (firm || !conc__scopes_cancelled(w.context))
        return 0;
    conc_lock_release(lock); /* it may have been free only after the cancel */
    return conc__scopes_check(w.context);
}

/* ---- The public functions ---- */

void conc_lock_init(conc_lock *lock) { *lock = (conc_lock)CONC_LOCK_INIT; }

void conc_lock_enter(conc_lock *lock)
{
    uint32_t v = 0;
    if (cas_acquire(&lock->word, &v, LOCK_LOCKED))
        lock_note_holder(lock, context_self());
    else
        lock_acquire_slow(lock, 0, CONC_FOREVER, true);
}

int conc_lock_try_acquire(conc_lock *lock)
{
    if (!lock_take(lock, 0))
        return -EAGAIN;
    lock_note_holder(lock, context_self());
    return 0;
}

int conc_lock_acquire(conc_lock *lock, conc_deadline deadline)
{
    int err = wait_checkpoint(deadline);
    if (err || conc_lock_try_acquire(lock) == 0)
        return err;
    return deadline_is_now(deadline) ? -EAGAIN : lock_acquire_slow(lock, 0, deadline, false);
}

/* Under the guard, which it releases: release the lock, and wake the first waiter or hand it
 * over. */
static void lock_release_guarded(conc_lock *lock)
{
    /* relaxed: both bits change only under the guard while LOCKED is set */
    uint32_t v = load_relaxed(&lock->word);
    if (!(v & LOCK_WAITERS) || (v & LOCK_WAKING)) {
        guard_unlock_with(&lock->word, LOCK_LOCKED, 0);
        return;
    }
    struct conc__waiter *w = waitlist_pop(&lock->waiters);
    if (!w) { /* all have been cancelled */
        guard_unlock_with(&lock->word, LOCK_WAITERS | LOCK_LOCKED, 0);
        return;
    }
    uint32_t clear = waitlist_is_empty(&lock->waiters) ? LOCK_WAITERS : 0;
    int64_t now = conc_now();
    if (!clear)
        lock->waiters.head->since = now;
    if (now - w->since >= LOCK_PATIENCE) {
        lock_note_holder(lock, w->context);
        guard_unlock_with(&lock->word, clear, 0);
        conc__waiter_deliver(w, LOCK_HANDED);
    } else {
        guard_unlock_with(&lock->word, clear | LOCK_LOCKED, LOCK_WAKING);
        conc__waiter_deliver(w, LOCK_WOKEN);
    }
}

static int lock_release_slow(conc_lock *lock)
{
    uint32_t v = load_relaxed(&lock->word); /* relaxed: the swap releases */
    while (v & LOCK_LOCKED) {
        if ((v & GUARD_HELD) || ((v & LOCK_WAITERS) && !(v & LOCK_WAKING))) {
            if (!guard_lock_if(&lock->word, LOCK_LOCKED))
                break;
            lock_release_guarded(lock);
            return 0;
        }
        if (cas_release(&lock->word, &v, v & ~LOCK_LOCKED))
            return 0;
    }
    return -EPERM;
}

int conc_lock_release(conc_lock *lock)
{
    uint32_t v = LOCK_LOCKED;
    return cas_release(&lock->word, &v, 0) ? 0 : lock_release_slow(lock);
}

bool conc_lock_is_locked(const conc_lock *lock)
{
    return load_relaxed(&lock->word) & LOCK_LOCKED; /* relaxed: true only for the moment */
}

void conc_lock_exit(conc_lock *lock) { conc_lock_release(lock); }

/* ---- For conditions ---- */

void conc__lock_adopt(conc_lock *lock, struct conc__waiter *chain)
{
    if (!chain)
        return;
    if (!guard_lock_if(&lock->word, LOCK_LOCKED)) {
        conc__waiter_deliver_all(chain, LOCK_FREE);
        return;
    }
    int64_t now = conc_now();
    while (chain) {
        struct conc__waiter *w = chain;
        chain = w->next;
        w->since = now;
        w->firm = true;
        conc__waitlist_push(&lock->waiters, w);
    }
    guard_unlock_with(&lock->word, 0, LOCK_WAITERS);
}

void conc__lock_resume(conc_lock *lock, int outcome)
{
    if (outcome != LOCK_HANDED)
        lock_acquire_slow(lock, outcome == LOCK_WOKEN ? LOCK_WAKING : 0, CONC_FOREVER, true);
}
