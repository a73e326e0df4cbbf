/* SPDX-License-Identifier: MIT
 *
 * conc/cond.h: a condition: wait, with a lock held, until another context says that something has
 * changed.
 *
 * Bound to its lock (or rlock) when it is made; both may serve several conditions.
 *
 * Signal handlers: none of these calls may be made in one.
 */
#ifndef CONC_COND_H
#define CONC_COND_H

#include <conc/lock.h>
#include <conc/rlock.h>

#ifdef __cplusplus
extern "C" {
#endif

/** All fields are private. */
typedef struct conc_cond {
    uint32_t word;
    struct conc__waitlist waiters;
    conc_lock *lock;   /* the lock, or the one inside rlock */
    conc_rlock *rlock; /* NULL: bound to a lock */
} conc_cond;

/* Static initialisers; the lock's address must be a constant for static objects. */
#ifdef __cplusplus
#define CONC_COND_INIT(lock_)          \
    {                                  \
        0, {nullptr}, (lock_), nullptr \
    }
#define CONC_COND_INIT_RLOCK(rlock_)            \
    {                                           \
        0, {nullptr}, &(rlock_)->lock, (rlock_) \
    }
#else
#define CONC_COND_INIT(lock_) \
    {                         \
        .lock = (lock_)       \
    }
#define CONC_COND_INIT_RLOCK(rlock_)               \
    {                                              \
        .lock = &(rlock_)->lock, .rlock = (rlock_) \
    }
#endif

/**
 * Bind a condition to a lock. No context may be in a wait, notified or not, when its memory goes.
 *
 * [anywhere | no | no]
 */
CONC_API void conc_cond_init(conc_cond *cond, conc_lock *lock);

/**
 * Bind a condition to a re-entrant lock; a wait releases it wholly, however often it was taken.
 *
 * [anywhere | no | no]
 */
CONC_API void conc_cond_init_rlock(conc_cond *cond, conc_rlock *rlock);

/**
 * Release the lock, wait for a notification, take the lock again. There are no spurious wake-ups,
 * but another context may have run between the notification and the return: test what you wait for
 * in a loop, or use conc_cond_wait_for().
 *
 * @return 0: notified; -ETIMEDOUT, -ECANCELED, -EAGAIN (CONC_NOW); the caller holds the lock again
 *         in every case. -EPERM: the lock was not held (an rlock: not by the caller)
 *
 * Python: Condition.wait()
 * [holder | yes (taking the lock again has no deadline) | yes]
 */
CONC_API int conc_cond_wait(conc_cond *cond, conc_deadline deadline);

/**
 * Wait until fn(arg) is true. It is called with the lock held, first at once.
 *
 * @return 0: the predicate was true; else as conc_cond_wait(), and the predicate was false at last
 *
 * Python: Condition.wait_for()
 * [holder | yes (taking the lock again has no deadline) | yes]
 */
CONC_API int conc_cond_wait_for(conc_cond *cond, conc_predicate_fn *fn, void *arg,
                                conc_deadline deadline);

/**
 * Wake at most n waiters, in the order in which they came. They go on when the lock is
 * released. Without waiters it costs no system call.
 *
 * @return 0; -EPERM: the lock is not held (an rlock: not by the caller)
 *
 * Python: Condition.notify(n)
 * [holder | no | no]
 */
CONC_API int conc_cond_notify(conc_cond *cond, size_t n);

/**
 * Wake all waiters.
 *
 * @return as conc_cond_notify()
 *
 * Python: Condition.notify_all()
 * [holder | no | no]
 */
CONC_API int conc_cond_notify_all(conc_cond *cond);

#ifdef __cplusplus
}
#endif
#endif
