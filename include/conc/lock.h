/* SPDX-License-Identifier: MIT
 *
 * conc/lock.h: a mutual-exclusion lock, not owned: any context may release it, as Python's.
 *
 *     static conc_lock lock = CONC_LOCK_INIT;
 *     conc_with_lock (&lock) {
 *         counter++;
 *     }
 *
 * A context that runs may take a free lock before the waiters do (that is what makes it fast), but
 * not for long: the first waiter is handed the lock after a millisecond, so no waiter starves. 16
 * bytes; all-zero is a free lock.
 *
 * Signal handlers: none of these calls may be made in one.
 */
#ifndef CONC_LOCK_H
#define CONC_LOCK_H

#include <conc/waitlist.h>

#ifdef __cplusplus
extern "C" {
#endif

/** All fields are private. */
typedef struct conc_lock {
    uint32_t word;
    uint32_t holder; /* the low bits of the id of the context that took it; for conc_dump() only */
    struct conc__waitlist waiters;
} conc_lock;

#ifdef __cplusplus
#define CONC_LOCK_INIT \
    {                  \
    }
#else
#define CONC_LOCK_INIT \
    {                  \
        0              \
    }
#endif

/**
 * Make a free lock. There is nothing to destroy; no context may be waiting when its memory goes.
 *
 * [anywhere | no | no]
 */
CONC_API void conc_lock_init(conc_lock *lock);

/**
 * Take the lock; wait while another holds it. Cannot fail.
 *
 * Python: Lock.__enter__()
 * [any | yes | no]
 */
CONC_API void conc_lock_enter(conc_lock *lock);

/**
 * Release the lock, which is held: the other end of conc_lock_enter(). As conc_lock_release().
 *
 * Python: Lock.__exit__()
 */
CONC_API void conc_lock_exit(conc_lock *lock);

/**
 * Take the lock if it is free.
 *
 * @return 0: the caller holds it; -EAGAIN: it is held
 *
 * Python: Lock.acquire(blocking=False)
 */
CONC_API CONC_MUST_CHECK int conc_lock_try_acquire(conc_lock *lock);

/**
 * Take the lock; wait until the deadline at most. Where the wait need not end early,
 * conc_lock_enter() is simpler: it cannot fail.
 *
 * @return 0: the caller holds it; -ETIMEDOUT, -EAGAIN (held, and CONC_NOW), -ECANCELED: it does not
 *
 * Python: Lock.acquire(timeout=...)
 * [any | yes | yes]
 */
CONC_API CONC_MUST_CHECK int conc_lock_acquire(conc_lock *lock, conc_deadline deadline);

/**
 * Release the lock; one waiter is woken to take it.
 *
 * @return 0; -EPERM: it was not held
 *
 * Python: Lock.release()
 * [any (not only the one that took it) | no | no]
 */
CONC_API int conc_lock_release(conc_lock *lock);

/**
 * Is the lock held by anybody? True only for the moment.
 *
 * Python: Lock.locked()
 */
CONC_API bool conc_lock_is_locked(const conc_lock *lock);

/* The end of conc_with_lock(): `held` is where the lock's address stands until it is released. */
static inline void conc__lock_leave(conc_lock **held)
{
    if (*held)
        conc_lock_exit(*held);
    *held = NULL;
}

static inline conc_lock *conc__lock_entered(conc_lock *lock)
{
    conc_lock_enter(lock);
    return lock;
}

/**
 * `conc_with_lock (&lock) { ... }`: hold the lock in the block; `break`, `continue`, `return` and
 * `goto` release it. Without the macro: conc_lock_enter() and conc_lock_exit().
 */
#define conc_with_lock(lock)                                          \
    CONC__WITH(conc_lock, conc__lock_entered(lock), conc__lock_leave, \
               CONC__CONCAT(conc__with_, __COUNTER__))

#ifdef __cplusplus
}
#endif
#endif
