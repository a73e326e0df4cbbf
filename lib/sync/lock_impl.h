/* SPDX-License-Identifier: MIT
 *
 * lock_impl.h: what a condition needs of the lock it is bound to: to let the waiters it has
 * notified wait for the lock, instead of waking them only to find it held.
 */
#ifndef CONC_LIB_LOCK_IMPL_H
#define CONC_LIB_LOCK_IMPL_H

#include <conc/lock.h>

#include "wait/wait.h"

/* How a wait that ends on a lock's list ends. */
enum lock_outcome {
    LOCK_FREE,   /* nothing is decided: acquire it as always */
    LOCK_WOKEN,  /* a release has woken us: try to take it; LOCK_WAKING is ours to clear */
    LOCK_HANDED, /* a release has given it to us: we hold it */
};

/* Let a chain of waiters (conc__waitlist_take) wait for the lock. If it turns out to be free they
 * are woken, LOCK_FREE. */
void conc__lock_adopt(conc_lock *lock, struct conc__waiter *chain);

/* Go on after a wait that ended so, until the caller holds the lock. */
void conc__lock_resume(conc_lock *lock, int outcome);

#endif
