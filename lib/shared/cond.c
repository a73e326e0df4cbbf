/* SPDX-License-Identifier: MIT
 *
 * cond.c: a condition between processes.
 *
 * How: a notification is a permit, counted under the lock. A waiter takes a number, sleeps
 * without the lock until there is some notification (the spot's `seq`), and takes the lock
 * again. It returns if there is a permit for its number; else it sleeps again. A permit is only
 * for waiters that came before the last notification: those with numbers below `limit`. So a
 * waiter that comes afterwards cannot take it while the one that was woken is still on its way
 * to the lock.
 *
 *     waiting >= permits    a notification gives no more permits than there are waiters
 *
 * A waiter that gives up takes the lock again, too, and if there is a permit for it by then, takes
 * that: it was notified.
 *
 * The dead: everything changes under the lock, in an order in which each moment is fit to be
 * left (`waiting` may be too high, never too low). A waiter that dies stays counted. So a
 * notification may give a permit for which nobody was there, and a later waiter may return
 * without cause; but no waiter is left asleep. A notifier that dies, dies with the lock: the
 * lock's next owner is told, and has to look at everything anyway.
 *
 * Order: the lock's.
 */
#include <limits.h>

#include "base/atomic.h"
#include "shared/shared_impl.h"
#include "wait/wait.h"

_Static_assert(sizeof(conc_shared_cond) == 40 && offsetof(conc_shared_cond, next) == 8 &&
                   offsetof(conc_shared_cond, permits) == 20 &&
                   offsetof(conc_shared_cond, lock_at) == 24 &&
                   offsetof(conc_shared_cond, is_rlock) == 32,
               "the layout of a shared condition crosses processes");
_Static_assert(offsetof(conc_shared_rlock, lock) == 0,
               "the place of a re-entrant lock is that of its lock");

static conc_shared_lock *shared_cond_lock(conc_shared_cond *cond)
{
    return (conc_shared_lock *)(void *)((char *)cond + cond->lock_at);
}

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

/* Release the lock, however often it was taken. Returns how often that was. */
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
    /* relaxed: what has changed is read under the lock */
    return load_relaxed(&s->spot->seq) != s->seq ? 0 : -EAGAIN;
}

static bool shared_cond_has_permit(const conc_shared_cond *cond, uint32_t number)
{
    return cond->permits && (int32_t)(cond->limit - number) > 0;
}

/* Wait with this number. The lock is held at the beginning and at the end, and released between. */
static int shared_cond_wait_as(conc_shared_cond *cond, uint32_t number, conc_deadline deadline)
{
    for (;;) {
        /* relaxed: notifiers hold the lock, as this caller does now */
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
        if (err || notified)
            return err;
        return conc__shared_ended(end);
    }
}

int conc_shared_cond_wait(conc_shared_cond *cond, conc_deadline deadline)
{
    if (!shared_cond_is_held(cond))
        return -EPERM;
    int err = wait_checkpoint(deadline);
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
    int err = wait_checkpoint(deadline);
    while (!err && !predicate(arg)) {
        err = conc_shared_cond_wait(cond, deadline);
        if (err && err != -EOWNERDEAD && err != -ENOTRECOVERABLE && predicate(arg))
            return 0; /* the last look counts, but not a look at what a dead owner has left */
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
    /* also for a waiter that the spot does not count yet */
    fetch_add_release(&cond->spot.seq, 1);
    conc__shared_notify(&cond->spot, n < INT_MAX ? (int)n : INT_MAX);
    return 0;
}

int conc_shared_cond_notify_all(conc_shared_cond *cond)
{
    return conc_shared_cond_notify(cond, SIZE_MAX);
}
