/* SPDX-License-Identifier: MIT
 *
 * cond.c: a condition bound to a lock.
 *
 * How: a waiter goes on the condition's list while its context still holds the lock, so that no
 * notification, which needs the lock, can come between; then the context releases the lock and
 * parks. A notification wakes no waiter, because the lock is held: it moves the waiters to the
 * lock's list, and the releases of the lock wake them one by one.
 *
 * WAITERS in the word: the list is not empty. It is set with the lock held, and notify() looks with
 * the lock held. So a look without the guard is exact, except for waiters that give up: a
 * notification without waiters costs one load.
 *
 * A waiter that has been taken off the list was notified: if its deadline comes while it waits for
 * the lock, or it is cancelled, it still returns 0. So a waiter that gives up never loses a
 * notification.
 */
#include <conc/cond.h>

#include "sync/lock_impl.h"

#define WAITERS 1u

void conc_cond_init(conc_cond *cond, conc_lock *lock) { *cond = (conc_cond)CONC_COND_INIT(lock); }

void conc_cond_init_rlock(conc_cond *cond, conc_rlock *rlock)
{
    *cond = (conc_cond)CONC_COND_INIT_RLOCK(rlock);
}

static bool cond_has_lock(const conc_cond *cond)
{
    return cond->rlock ? conc_rlock_is_owned(cond->rlock) : conc_lock_is_locked(cond->lock);
}

/* Release the lock, an rlock as often as it was taken: the result. */
static uint32_t cond_release_lock(conc_cond *cond)
{
    uint32_t depth = 0;
    if (cond->rlock) {
        depth = cond->rlock->depth;
        cond->rlock->depth = 1;
        conc_rlock_release(cond->rlock);
    } else {
        conc_lock_release(cond->lock);
    }
    return depth;
}

/* Take it again after a wait with that end: an rlock as often as before. */
static void cond_take_lock_again(conc_cond *cond, int end, uint32_t depth)
{
    conc__lock_resume(cond->lock, end < 0 ? LOCK_FREE : end);
    if (cond->rlock) {
        struct conc_context *self = context_self();
        store_relaxed(&cond->rlock->owner, self->id); /* relaxed: see rlock.c */
        self->rlocks++;
        cond->rlock->depth = depth;
    }
}

int conc_cond_wait(conc_cond *cond, conc_deadline deadline)
{
    if (!cond_has_lock(cond))
        return -EPERM;
    int err = wait_checkpoint(deadline);
    if (err || deadline_is_now(deadline))
        return err ? err : -EAGAIN;
    struct conc__waiter w = waiter_here();
    guard_lock(&cond->word);
    conc__waitlist_push(&cond->waiters, &w);
    guard_unlock_with(&cond->word, 0, WAITERS);
    uint32_t depth = cond_release_lock(cond);
    const struct wait_on on = {.list = &cond->waiters,
                               .guard = &cond->word,
                               .if_empty = WAITERS,
                               .what = "condition",
                               .object = cond};
    int end = conc__waiter_wait(&w, &on, deadline);
    cond_take_lock_again(cond, end, depth);
    return end < 0 ? end : 0;
}

int conc_cond_wait_for(conc_cond *cond, conc_predicate_fn *predicate, void *arg,
                       conc_deadline deadline)
{
    if (!cond_has_lock(cond))
        return -EPERM;
    int err = wait_checkpoint(deadline);
    while (!err && !predicate(arg)) {
        err = conc_cond_wait(cond, deadline);
        if (err && predicate(arg))
            return 0; /* as Python's: the last look counts */
    }
    return err;
}

int conc_cond_notify(conc_cond *cond, size_t n)
{
    if (!cond_has_lock(cond))
        return -EPERM;
    /* relaxed: the lock orders this after the waiters' coming */
    if (!(load_relaxed(&cond->word) & WAITERS))
        return 0;
    guard_lock(&cond->word);
    struct conc__waiter *chain = conc__waitlist_take(&cond->waiters, n, NULL);
    guard_unlock_with(&cond->word, waitlist_is_empty(&cond->waiters) ? WAITERS : 0, 0);
    conc__lock_adopt(cond->lock, chain);
    return 0;
}

int conc_cond_notify_all(conc_cond *cond) { return conc_cond_notify(cond, SIZE_MAX); }
