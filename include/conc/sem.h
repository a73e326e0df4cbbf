/* SPDX-License-Identifier: MIT
 *
 * conc/sem.h: a counting semaphore, with a bound if wanted. Units go to waiters in the order in
 * which they came.
 *
 * Signal handlers: none of these calls may be made in one.
 */
#ifndef CONC_SEM_H
#define CONC_SEM_H

#include <conc/waitlist.h>

#ifdef __cplusplus
extern "C" {
#endif

/** The most units that a semaphore can hold. */
#define CONC_SEM_MAX 0x0fffffffu

/** All fields are private. All-zero: no units, no bound. */
typedef struct conc_sem {
    uint32_t word;  /* the units, and the state of the list */
    uint32_t bound; /* 0: CONC_SEM_MAX */
    struct conc__waitlist waiters;
} conc_sem;

#ifdef __cplusplus
#define CONC_SEM_INIT(value)    \
    {                           \
        (value), 0, { nullptr } \
    }
#define CONC_SEM_INIT_BOUND(value, bound_) \
    {                                      \
        (value), (bound_), { nullptr }     \
    }
#else
/** A semaphore of `value` units (at most CONC_SEM_MAX) without a bound, and with one. */
#define CONC_SEM_INIT(value) \
    {                        \
        .word = (value)      \
    }
#define CONC_SEM_INIT_BOUND(value, bound_) \
    {                                      \
        .word = (value), .bound = (bound_) \
    }
#endif

/**
 * Make a semaphore. There is nothing to destroy; no context may be waiting when its memory goes.
 *
 * @param value  its units at the start
 * @param bound  the most it may ever hold; 0: no bound but CONC_SEM_MAX
 * @return 0; -EINVAL: value or bound above CONC_SEM_MAX, or value above the bound
 *
 * Python: Semaphore(value), BoundedSemaphore(value)
 * [anywhere | no | no]
 */
CONC_API CONC_MUST_CHECK int conc_sem_init(conc_sem *sem, uint32_t value, uint32_t bound);

/**
 * Take a unit; wait while there is none.
 *
 * @return 0; -ETIMEDOUT, -EAGAIN (none, and CONC_NOW), -ECANCELED: none was taken
 *
 * Python: Semaphore.acquire()
 * [any | yes | yes]
 */
CONC_API CONC_MUST_CHECK int conc_sem_acquire(conc_sem *sem, conc_deadline deadline);

/**
 * Give n units; as many waiters go on. Once other contexts can have the last of the units the
 * semaphore is not touched any more, so that the one that gets it may free the semaphore.
 *
 * @return 0; -EOVERFLOW: there would be more than the bound; nothing was given. -EINVAL: n is 0
 *
 * Python: Semaphore.release(n)
 */
CONC_API int conc_sem_release(conc_sem *sem, uint32_t n);

/** How many units there are at the moment. */
CONC_API uint32_t conc_sem_value(const conc_sem *sem);

#ifdef __cplusplus
}
#endif
#endif
