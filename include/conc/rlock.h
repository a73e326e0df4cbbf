/* SPDX-License-Identifier: MIT
 *
 * conc/rlock.h: a re-entrant lock: its owner may take it again, and releases it as often as it took
 * it.
 *
 * Signal handlers: none of these calls may be made in one.
 */
#ifndef CONC_RLOCK_H
#define CONC_RLOCK_H

#include <conc/context.h>
#include <conc/lock.h>

#ifdef __cplusplus
extern "C" {
#endif

/** All fields are private. */
typedef struct conc_rlock {
    conc_lock lock;
    uint64_t owner; /* its id; written by the owner only */
    uint32_t depth; /* the owner's */
} conc_rlock;

#ifdef __cplusplus
#define CONC_RLOCK_INIT \
    {                   \
    }
#else
#define CONC_RLOCK_INIT \
    {                   \
        0               \
    }
#endif

/**
 * Make a free lock. There is nothing to destroy; no context may be waiting when its memory goes.
 *
 * [anywhere | no | no]
 */
CONC_API void conc_rlock_init(conc_rlock *rlock);

/**
 * Take the lock, or take it once more; wait while another context owns it. Cannot fail (a lock that
 * is taken 2^32 - 1 times over ends the program, with a message).
 *
 * Python: RLock.__enter__()
 * [any | yes | no]
 */
CONC_API void conc_rlock_enter(conc_rlock *rlock);

/**
 * Release the lock once, which the caller owns: the other end of conc_rlock_enter(). As
 * conc_rlock_release().
 *
 * Python: RLock.__exit__()
 * [owner | no | no]
 */
CONC_API void conc_rlock_exit(conc_rlock *rlock);

/**
 * Take the lock if it is free or the caller's own.
 *
 * @return 0: the caller holds it (once more); -EAGAIN: another does
 *
 * Python: RLock.acquire(blocking=False)
 */
CONC_API CONC_MUST_CHECK int conc_rlock_try_acquire(conc_rlock *rlock);

/**
 * Take the lock, or take it once more; wait until the deadline at most.
 *
 * @return 0: the caller holds it (once more); -ETIMEDOUT, -EAGAIN (another's, and CONC_NOW),
 *         -ECANCELED
 *
 * Python: RLock.acquire(timeout=...)
 * [any | yes | yes]
 */
CONC_API CONC_MUST_CHECK int conc_rlock_acquire(conc_rlock *rlock, conc_deadline deadline);

/**
 * Release the lock once; when that was the outermost time, another context may have it.
 *
 * @return 0; -EPERM: the caller does not own it
 *
 * Python: RLock.release()
 * [owner | no | no]
 */
CONC_API int conc_rlock_release(conc_rlock *rlock);

/**
 * Does the caller own the lock?
 *
 * Python: RLock._is_owned()
 */
CONC_API bool conc_rlock_is_owned(const conc_rlock *rlock);

/**
 * Does anybody own the lock? True only for the moment.
 *
 * Python: RLock.locked() (3.14)
 */
CONC_API bool conc_rlock_is_locked(const conc_rlock *rlock);

/* The end of conc_with_rlock(): `held` is where the lock's address stands until it is released. */
static inline void conc__rlock_leave(conc_rlock **held)
{
    if (*held)
        conc_rlock_exit(*held);
    *held = NULL;
}

static inline conc_rlock *conc__rlock_entered(conc_rlock *rlock)
{
    conc_rlock_enter(rlock);
    return rlock;
}

/** `conc_with_rlock (&rlock) { ... }`, as conc_with_lock(). */
#define conc_with_rlock(rlock)                                            \
    CONC__WITH(conc_rlock, conc__rlock_entered(rlock), conc__rlock_leave, \
               CONC__CONCAT(conc__with_, __COUNTER__))

#ifdef __cplusplus
}
#endif
#endif
