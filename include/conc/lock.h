/* SPDX-License-Identifier: MIT
 *
 * conc/lock.h: a mutual-exclusion lock, not owned: any context may release it, as Python's.
 *
 *     static conc_lock lock = CONC_LOCK_INIT;
 *     conc_with_lock (&lock) {
 *         counter++;
 *     }
 *
 * Whoever runs may take a free lock before those who wait (that is what makes it fast), but not for
 * long: the first who waits is handed the lock after a millisecond, so nobody starves. 16 bytes;
 * all-zero is a free lock.
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
    uint32_t holder; /* the id of the context that took it last; for conc_dump() only */
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

/** Make a free lock. There is nothing to destroy; nobody may be waiting when its memory goes. */
CONC_API void conc_lock_init(conc_lock *lock);

/**
 * Take the lock; wait while another holds it. Cannot fail.
 *
 * Called from: any thread or task. Blocks: yes. Cancellation point: no. Python: Lock.__enter__()
 */
CONC_API void conc_lock_enter(conc_lock *lock);

/**
 * Release the lock, which is held: the other end of conc_lock_enter(). As conc_lock_release().
 *
 * Called from: any thread or task. Blocks: no. Python: Lock.__exit__()
 */
CONC_API void conc_lock_exit(conc_lock *lock);

/**
 * Take the lock if it is free.
 *
 * @return 0: the caller holds it; -EAGAIN: it is held
 *
 * Called from: any thread or task. Blocks: no. Python: Lock.acquire(blocking=False)
 */
CONC_API CONC_MUST_CHECK int conc_lock_try_acquire(conc_lock *lock);

/**
 * Take the lock; wait until the deadline at most. To be cancelled in it, or to give up; else
 * conc_lock_enter() is simpler, which cannot fail.
 *
 * @return 0: the caller holds it; -ETIMEDOUT, -EAGAIN (held, and CONC_NOW), -ECANCELED: it doesn't
 *
 * Called from: any thread or task. Blocks: yes. Cancellation point: yes. Python:
 * Lock.acquire(timeout=...)
 */
CONC_API CONC_MUST_CHECK int conc_lock_acquire(conc_lock *lock, conc_deadline deadline);

/**
 * Release the lock; one of those who wait gets its chance.
 *
 * @return 0; -EPERM: it was not held
 *
 * Called from: any thread or task, not only the one that took it. Blocks: no. Python:
 * Lock.release()
 */
CONC_API int conc_lock_release(conc_lock *lock);

/**
 * Is the lock held by anybody? True only for the moment.
 *
 * Called from: any thread or task. Blocks: no. Python: Lock.locked()
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
