/* SPDX-License-Identifier: MIT
 *
 * conc/barrier.h: a barrier: its parties wait for each other, then go on together; again and again.
 */
#ifndef CONC_BARRIER_H
#define CONC_BARRIER_H

#include <conc/lock.h>

#ifdef __cplusplus
extern "C" {
#endif

/** What a barrier does each time all have come. A return other than 0 breaks the barrier. */
typedef int conc_barrier_fn(void *arg);

/** All fields are private. */
typedef struct conc_barrier {
    uint32_t word;
    uint32_t parties;
    uint32_t waiting; /* parties that have come; under the guard in word */
    struct conc__waitlist waiters;
    conc_barrier_fn *action;
    void *arg;
    conc_lock acting; /* held while an action runs */
} conc_barrier;

#ifdef __cplusplus
#define CONC_BARRIER_INIT(parties_, action_, arg_)                     \
    {                                                                  \
        0, (parties_), 0, {nullptr}, (action_), (arg_), CONC_LOCK_INIT \
    }
#else
/** For static objects; parties 1 to INT_MAX, action may be NULL. */
#define CONC_BARRIER_INIT(parties_, action_, arg_)                \
    {                                                             \
        .parties = (parties_), .action = (action_), .arg = (arg_) \
    }
#endif

/**
 * Make a barrier. There is nothing to destroy; no context may be waiting when its memory goes.
 *
 * @param parties  how many must come before all go on
 * @param fn       its action, called by the last party to come, before any goes on; may be NULL.
 *                 If it returns other than 0 the barrier is broken.
 * @param arg      given to the action
 * @return 0; -EINVAL: parties is 0 or above INT_MAX
 *
 * Python: Barrier(parties, action)
 * [anywhere | no | no]
 */
CONC_API CONC_MUST_CHECK int conc_barrier_init(conc_barrier *barrier, uint32_t parties,
                                               conc_barrier_fn *fn, void *arg);

/**
 * Wait until all parties have come.
 *
 * @return the caller's own index, 0 to parties - 1, in order of arrival; -ETIMEDOUT, -EAGAIN
 *         (CONC_NOW, and not the last), -ECANCELED: the caller gave up, and the barrier is broken
 *         now (CONC_NOW leaves it as it was); -CONC_EBROKEN: it was broken, or was broken or reset
 *         while the caller waited; the party that ran the action gets the action's own negative
 *         error; -EINVAL: CONC_BARRIER_INIT() with parties that conc_barrier_init() refuses
 *
 * Python: Barrier.wait()
 * [any | yes | yes]
 */
CONC_API int conc_barrier_wait(conc_barrier *barrier, conc_deadline deadline);

/**
 * Put the barrier back into the empty, unbroken state. Parties that wait get -CONC_EBROKEN.
 *
 * Python: Barrier.reset()
 */
CONC_API void conc_barrier_reset(conc_barrier *barrier);

/**
 * Break the barrier: parties that wait, and those that come before a reset, get -CONC_EBROKEN.
 *
 * Python: Barrier.abort()
 */
CONC_API void conc_barrier_abort(conc_barrier *barrier);

/**
 * Is it broken?
 *
 * Python: Barrier.broken
 */
CONC_API bool conc_barrier_is_broken(const conc_barrier *barrier);

/**
 * How many parties it takes.
 *
 * Python: Barrier.parties
 */
CONC_API uint32_t conc_barrier_parties(const conc_barrier *barrier);

/**
 * How many are waiting now.
 *
 * Python: Barrier.n_waiting
 */
CONC_API uint32_t conc_barrier_n_waiting(const conc_barrier *barrier);

#ifdef __cplusplus
}
#endif
#endif
