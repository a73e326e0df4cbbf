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

static conc_shared_lock *lock_of(conc_shared_cond *cond)
{
    return (conc_shared_lock *)(void *)((char *)cond + cond->lock_at);
}

/* Its lock is its first member. */
static conc_shared_rlock *rlock_of(conc_shared_cond *cond)
{
    return (conc_shared_rlock *)(void *)lock_of(cond);
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

static bool is_held(conc_shared_cond *cond)
{
    if (cond->is_rlock)
        return conc_shared_rlock_is_owned(rlock_of(cond));
    return load_relaxed(&lock_of(cond)->held) == conc__shared_tid(); /* relaxed: our own, if so */
}

/* Release the lock wholly. How often it was taken. */
static uint32_t let_go(conc_shared_cond *cond)
{
    if (!cond->is_rlock) {
        conc_shared_lock_release(lock_of(cond));
        return 1;
    }
    uint32_t depth = rlock_of(cond)->depth;
    rlock_of(cond)->depth = 1;
    conc_shared_rlock_release(rlock_of(cond));
    return depth;
}

static int take_back(conc_shared_cond *cond, uint32_t depth)
{
    if (!cond->is_rlock)
        return conc_shared_lock_enter(lock_of(cond));
    int err = conc_shared_rlock_enter(rlock_of(cond));
    if (err != -ENOTRECOVERABLE)
        rlock_of(cond)->depth = depth;
    return err;
}

struct sleeper {
    const struct conc__shared_spot *spot;
    uint32_t seq;
};

static int has_changed(void *arg)
{
    const struct sleeper *s = arg;
    return load_relaxed(&s->spot->seq) != s->seq ? 0 : -EAGAIN; /* relaxed: the lock will tell */
}

static bool has_permit(const conc_shared_cond *cond, uint32_t number)
{
    return cond->permits && (int32_t)(cond->limit - number) > 0;
}

/* The lock is held, and given up meanwhile. */
static int wait_as(conc_shared_cond *cond, uint32_t number, conc_deadline deadline)
{
    for (;;) {
        /* relaxed: notifiers hold the lock, as we do now */
        struct sleeper s = {&cond->spot, load_relaxed(&cond->spot.seq)};
        const struct shared_on on = {&cond->spot, has_changed, &s, "shared condition", cond};
        uint32_t depth = let_go(cond);
        int end = conc__shared_wait(&on, deadline);
        int err = take_back(cond, depth);
        if (err == -ENOTRECOVERABLE)
            return err;
        bool notified = has_permit(cond, number);
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
    if (!is_held(cond))
        return -EPERM;
    int err = checkpoint(deadline);
    if (err)
        return err;
    if (deadline_is_now(deadline))
        return -EAGAIN;
    cond->waiting++;
    return wait_as(cond, cond->next++, deadline);
}

int conc_shared_cond_wait_for(conc_shared_cond *cond, conc_predicate_fn *predicate, void *arg,
                              conc_deadline deadline)
{
    if (!is_held(cond))
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
    if (!is_held(cond))
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
