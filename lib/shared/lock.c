/* SPDX-License-Identifier: MIT
 *
 * lock.c: locks between processes.
 *
 * How: inside is a robust mutex of the C library, of which only trylock and unlock are used.
 * Waiting is done by wait.c, so that it can have a deadline, can be cancelled, and can be done
 * by a task. The kernel keeps a list of the robust mutexes that a thread holds, and marks them
 * when the thread ends or is killed; the next trylock reports that. The kernel wakes nobody
 * then: waiters find the mark when they look again.
 *
 *     free -> held                             trylock
 *     held -> free                             release, which wakes one waiter
 *     held -> left by the dead                 the owner ends
 *     left by the dead -> held, inconsistent   trylock: -EOWNERDEAD
 *     held, inconsistent -> held               make_consistent
 *     held, inconsistent -> lost               release, which wakes all: -ENOTRECOVERABLE for ever
 *
 * The last two states stand in `state`. The mutex is never asked whether it is lost: a trylock
 * of the C library (2.36) reports a lost mutex as lost only once, and then always as held.
 *
 * `held` is the id of the thread that holds the lock; 0: nobody. Only the holder writes it, and a
 * holder that dies leaves it. It tells the owner from others before the mutex is touched.
 *
 * A re-entrant lock is owned by a context, not by a thread: the tasks of one loop must keep each
 * other out. `owner` is the context's id, which is its own only in its process: so an owner is
 * known by `held` and `owner` together. The mutex is tried first, so an
 * `owner` that a dead context has left is never believed.
 *
 * Order: the mutex orders what it guards. The wake-up of a release comes after the unlock, so
 * that the waiter that is woken can succeed.
 */
#include <limits.h>

#include <conc/context.h>

#include "base/atomic.h"
#include "shared/shared_impl.h"

/* relaxed, all accesses to `held` and `owner`: a caller recognises only what it has written
 * itself, and what another has written is never equal to that. relaxed, `state`: it changes
 * under the mutex; only the look at SHARED_LOCK_LOST is done without, and acquires. */

#define SHARED_LOCK_INCONSISTENT 1u
#define SHARED_LOCK_LOST 2u

_Static_assert(offsetof(conc_shared_lock, mutex) == 0 &&
                   offsetof(conc_shared_lock, spot) == sizeof(pthread_mutex_t) &&
                   sizeof(conc_shared_lock) == sizeof(pthread_mutex_t) + 16,
               "the layout of a shared lock crosses processes");
_Static_assert(offsetof(conc_shared_rlock, depth) == sizeof(conc_shared_lock) &&
                   offsetof(conc_shared_rlock, owner) % sizeof(uint64_t) == 0,
               "the layout of a shared rlock crosses processes; an aligned owner is one access");

static int shared_lock_take(void *arg)
{
    conc_shared_lock *lock = arg;
    if (load_acquire(&lock->state) == SHARED_LOCK_LOST)
        return -ENOTRECOVERABLE;
    int err = pthread_mutex_trylock(&lock->mutex);
    if (err == 0 || err == EOWNERDEAD)
        store_relaxed(&lock->held, conc__shared_tid());
    if (err == EOWNERDEAD)
        store_relaxed(&lock->state, SHARED_LOCK_INCONSISTENT);
    return err == EBUSY ? -EAGAIN : -err;
}

static struct shared_on shared_lock_on(conc_shared_lock *lock)
{
    return (struct shared_on){&lock->spot, shared_lock_take, lock, "shared lock", lock};
}

int conc_shared_lock_init(conc_shared_lock *lock)
{
    *lock = (conc_shared_lock){0};
    return conc__shared_mutex_init(&lock->mutex);
}

int conc_shared_lock_enter(conc_shared_lock *lock)
{
    const struct shared_on on = shared_lock_on(lock);
    return conc__shared_call_firmly(&on);
}

int conc_shared_lock_acquire(conc_shared_lock *lock, conc_deadline deadline)
{
    const struct shared_on on = shared_lock_on(lock);
    return conc__shared_call(&on, deadline);
}

int conc_shared_lock_try_acquire(conc_shared_lock *lock) { return shared_lock_take(lock); }

static bool shared_lock_is_owned(const conc_shared_lock *lock)
{
    return load_relaxed(&lock->held) == conc__shared_tid();
}

int conc_shared_lock_make_consistent(conc_shared_lock *lock)
{
    if (!shared_lock_is_owned(lock) || load_relaxed(&lock->state) != SHARED_LOCK_INCONSISTENT)
        return -EINVAL;
    int err = pthread_mutex_consistent(&lock->mutex);
    if (err)
        return -err;
    store_relaxed(&lock->state, 0);
    return 0;
}

int conc_shared_lock_release(conc_shared_lock *lock)
{
    if (!shared_lock_is_owned(lock))
        return -EPERM;
    const bool lost = load_relaxed(&lock->state) == SHARED_LOCK_INCONSISTENT;
    if (lost)
        store_release(&lock->state, SHARED_LOCK_LOST);
    store_relaxed(&lock->held, 0);
    int err = pthread_mutex_unlock(&lock->mutex);
    if (err)
        return -err;
    conc__shared_notify(&lock->spot, lost ? INT_MAX : 1);
    return 0;
}

bool conc_shared_lock_is_locked(const conc_shared_lock *lock) { return load_relaxed(&lock->held); }

/* ---- Re-entrant ---- */

bool conc_shared_rlock_is_owned(const conc_shared_rlock *rlock)
{
    return shared_lock_is_owned(&rlock->lock) &&
           load_relaxed(&rlock->owner) == conc_context_id(NULL);
}

/* By its owner. */
static int shared_rlock_deepen(conc_shared_rlock *rlock)
{
    if (rlock->depth == UINT32_MAX)
        return -EOVERFLOW;
    rlock->depth++;
    return 0;
}

static int shared_rlock_take(void *arg)
{
    conc_shared_rlock *rlock = arg;
    int err = shared_lock_take(&rlock->lock);
    if (err == -EAGAIN && conc_shared_rlock_is_owned(rlock))
        return shared_rlock_deepen(rlock);
    if (err && err != -EOWNERDEAD)
        return err;
    store_relaxed(&rlock->owner, conc_context_id(NULL));
    rlock->depth = 1;
    return err;
}

static struct shared_on shared_rlock_on(conc_shared_rlock *rlock)
{
    return (struct shared_on){&rlock->lock.spot, shared_rlock_take, rlock, "shared rlock", rlock};
}

int conc_shared_rlock_init(conc_shared_rlock *rlock)
{
    *rlock = (conc_shared_rlock){0};
    return conc__shared_mutex_init(&rlock->lock.mutex);
}

int conc_shared_rlock_enter(conc_shared_rlock *rlock)
{
    const struct shared_on on = shared_rlock_on(rlock);
    return conc__shared_call_firmly(&on);
}

int conc_shared_rlock_acquire(conc_shared_rlock *rlock, conc_deadline deadline)
{
    const struct shared_on on = shared_rlock_on(rlock);
    return conc__shared_call(&on, deadline);
}

int conc_shared_rlock_try_acquire(conc_shared_rlock *rlock) { return shared_rlock_take(rlock); }

int conc_shared_rlock_make_consistent(conc_shared_rlock *rlock)
{
    return conc_shared_rlock_is_owned(rlock) ? conc_shared_lock_make_consistent(&rlock->lock)
                                             : -EINVAL;
}

int conc_shared_rlock_release(conc_shared_rlock *rlock)
{
    if (!conc_shared_rlock_is_owned(rlock))
        return -EPERM;
    if (--rlock->depth)
        return 0;
    store_relaxed(&rlock->owner, 0);
    return conc_shared_lock_release(&rlock->lock);
}

bool conc_shared_rlock_is_locked(const conc_shared_rlock *rlock)
{
    return conc_shared_lock_is_locked(&rlock->lock);
}

void conc_shared_lock_exit(conc_shared_lock *lock) { conc_shared_lock_release(lock); }

void conc_shared_rlock_exit(conc_shared_rlock *rlock) { conc_shared_rlock_release(rlock); }
