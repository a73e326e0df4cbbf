/* SPDX-License-Identifier: MIT
 *
 * words.h: the bits of the primitives' words, beside the guard's two (base/guard.h): for the
 * sources, and for tests that hold a guard or look at what a call has left in a word. The table at
 * the top of each source says what they mean, without the primitive's name before theirs.
 */
#ifndef CONC_LIB_SYNC_WORDS_H
#define CONC_LIB_SYNC_WORDS_H

#include <conc/base.h>

#define LOCK_LOCKED 1u
#define LOCK_WAITERS 2u
#define LOCK_WAKING 4u

/* How long the first waiter is passed over before it is handed the lock. */
#define LOCK_PATIENCE CONC_MS(1)

#define EVENT_SET 1u
#define EVENT_WAITERS 2u

/* The bits below it are the units. */
#define SEM_WAITERS 0x20000000u

#define BARRIER_BROKEN 1u

#endif
