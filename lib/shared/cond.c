/* SPDX-License-Identifier: MIT
 *
 * cond.c: a condition between processes.
 *
 * How: a notification is a permit, counted under the lock. Who waits takes a number, sleeps without
 * the lock until some notification has come (the spot's `seq`), takes the lock again, and returns
 * if there is a permit for it; else it sleeps on. A permit is only for who waited before the last
 * notification: numbers below `limit`. So what comes to wait afterwards cannot take it, while the
 * one that was woken is still on its way to the lock.
 *
 *     waiting >= permits    a notification gives no more permits than there are waiters
 *
 * Who gives up does so with the lock taken again, and if there is a permit for it by then, takes
 * it: it was notified.
 *
 * The dead: all of it changes under the lock, in an order in which every moment is fit to be left
 * (`waiting` may be too high, never too low). Who dies waiting stays counted, so a notification may
 * give a permit that nobody was there for: somebody may return for nothing later, but nobody is
 * left asleep. A notifier that dies, dies with the lock: its next owner is told, and has to look at
 * everything anyway.
 *
 * Order: the lock's.
 */
#include <limits.h>

#include "base/atomic.h"
#include "shared/shared_impl.h"
#include "wait/wait.h"

static conc_shared_lock *shared_cond_lock(conc_shared_cond *cond)
{
    return (conc_shared_lock *)(void *)((char *)cond + cond->lock_at);
}

/* Its lock is its first member. */
static conc_shared_rlock *shared_cond_rlock(conc_shared_cond *cond)
{
    return (conc_shared_rlock *)(void *)shared_cond_lock(cond);
}

void conc_shared_cond_init(conc_shared_cond *cond, conc_shared_lock *lock)
{
    *cond = (conc_shared_cond){.lock_at = (char *)lock - (char *)cond};
}

void conc_shared_cond_init_rlock(conc_shared_cond *cond, conc_shared_rlock *rlock)
{
    conc_shared_cond_init(cond, &rlock->lock);
    cond->is_rlock = true;
}

static bool shared_cond_is_held(conc_shared_cond *cond)
{
    if (cond->is_rlock)
        return conc_shared_rlock_is_owned(shared_cond_rlock(cond));
    /* relaxed: the caller's own store, if it is equal */
    return load_relaxed(&shared_cond_lock(cond)->held) == conc__shared_tid();
}

/* Release the lock wholly. How often it was taken. */
static uint32_t shared_cond_release_lock(conc_shared_cond *cond)
{
    if (!cond->is_rlock) {
        conc_shared_lock_release(shared_cond_lock(cond));
        return 1;
    }
    uint32_t depth = shared_cond_rlock(cond)->depth;
    shared_cond_rlock(cond)->depth = 1;
    conc_shared_rlock_release(shared_cond_rlock(cond));
    return depth;
}

static int shared_cond_retake_lock(conc_shared_cond *cond, uint32_t depth)
{
    if (!cond->is_rlock)
        return conc_shared_lock_enter(shared_cond_lock(cond));
    int err = conc_shared_rlock_enter(shared_cond_rlock(cond));
    if (err != -ENOTRECOVERABLE)
        shared_cond_rlock(cond)->depth = depth;
    return err;
}

struct shared_cond_wait {
    const struct conc__shared_spot *spot;
    uint32_t seq;
};

static int shared_cond_has_changed(void *arg)
{
    const struct shared_cond_wait *s = arg;
    return load_relaxed(&s->spot->seq) != s->seq ? 0 : -EAGAIN; /* relaxed: the lock will tell */
}

static bool shared_cond_has_permit(const conc_shared_cond *cond, uint32_t number)
{
    return cond->permits && (int32_t)(cond->limit - number) > 0;
}

/* The lock is held, and given up meanwhile. */
static int shared_cond_wait_as(conc_shared_cond *cond, uint32_t number, conc_deadline deadline)
{
    for (;;) {
        /* relaxed: notifiers hold the lock, as we do now */
        struct shared_cond_wait s = {&cond->spot, load_relaxed(&cond->spot.seq)};
        const struct shared_on on = {&cond->spot, shared_cond_has_changed, &s, "shared condition",
                                     cond};
        uint32_t depth = shared_cond_release_lock(cond);
        int end = conc__shared_wait(&on, deadline);
        int err = shared_cond_retake_lock(cond, depth);
        if (err == -ENOTRECOVERABLE)
            return err;
        bool notified = shared_cond_has_permit(cond, number);
        if (!notified && !end && !err)
            continue;
        if (notified)
            cond->permits--;
        cond->waiting--;
        return err ? err : notified ? 0 : conc__shared_ended(end);
    }
}

int conc_shared_cond_wait(conc_shared_cond *cond, conc_deadline deadline)
{
    if (!shared_cond_is_held(cond))
        return -EPERM;
    int err = checkpoint(deadline);
    if (err)
        return err;
    if (deadline_is_now(deadline))
        return -EAGAIN;
    cond->waiting++;
    return shared_cond_wait_as(cond, cond->next++, deadline);
}

int conc_shared_cond_wait_for(conc_shared_cond *cond, conc_predicate_fn *predicate, void *arg,
                              conc_deadline deadline)
{
    if (!shared_cond_is_held(cond))
        return -EPERM;
    int err = checkpoint(deadline);
    while (!err && !predicate(arg)) {
        err = conc_shared_cond_wait(cond, deadline);
        if (err && err != -EOWNERDEAD && err != -ENOTRECOVERABLE && predicate(arg))
            return 0; /* the last look counts; but not at what a dead owner has left */
    }
    return err;
}

int conc_shared_cond_notify(conc_shared_cond *cond, size_t n)
{
    if (!shared_cond_is_held(cond))
        return -EPERM;
    uint32_t unserved = cond->waiting - cond->permits;
    if (n > unserved)
        n = unserved;
    if (n == 0)
        return 0;
    cond->limit = cond->next;
    cond->permits += (uint32_t)n;
    fetch_add_release(&cond->spot.seq, 1); /* also for who waits, but has not been counted yet */
    conc__shared_notify(&cond->spot, n < INT_MAX ? (int)n : INT_MAX);
    return 0;
}

int conc_shared_cond_notify_all(conc_shared_cond *cond)
{
    return conc_shared_cond_notify(cond, SIZE_MAX);
}
