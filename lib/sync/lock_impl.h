/* SPDX-License-Identifier: MIT
 *
 * lock_impl.h: what a condition needs of the lock that it is bound to. The waiters that it has
 * notified are to wait for the lock: to wake them would be useless, because the lock is held.
 */
#ifndef CONC_LIB_LOCK_IMPL_H
#define CONC_LIB_LOCK_IMPL_H

#include <conc/lock.h>

#include "wait/wait.h"

/* How a wait that ends on a lock's list ends. */
enum lock_outcome {
    LOCK_FREE,   /* nothing is decided: acquire the lock as always */
    LOCK_WOKEN,  /* a release has woken the waiter, which tries again and clears LOCK_WAKING */
    LOCK_HANDED, /* a release has handed the waiter the lock: it holds it */
};

/* Let a chain of waiters (conc__waitlist_take) wait for the lock. If it turns out to be free they
 * are woken, LOCK_FREE. */
void conc__lock_adopt(conc_lock *lock, struct conc__waiter *chain);

/* Go on after a wait with that outcome, until the caller holds the lock. */
void conc__lock_resume(conc_lock *lock, int outcome);

#endif
