/* SPDX-License-Identifier: MIT
 *
 * guard.h: the small lock inside every primitive, that guards its lists. It is two bits of the
 * primitive's word; the other 30 are the primitive's own.
 *
 *     HELD      a thread holds the guard
 *     SLEEPERS  a thread may sleep in the kernel until it is released
 *
 * The guard is held for some tens of nanoseconds, but its holder can be preempted. So a thread that
 * wants it yields a few times, then sleeps. (To spin on would hang a program whose threads have
 * real-time priorities.)
 *
 * Invariant: the holder does not stop the fast paths of the other bits: they change by
 * compare-and-swap at any time, and keep HELD and SLEEPERS as they find them. Order: taking it
 * acquires, releasing it releases: the next holder sees what this one did under the guard.
 * Destruction: the release is one atomic operation, and the last touch of the primitive's memory (a
 * wake-up that may follow names only the address: futex.h). So a context that learns of an effect
 * that the release has published may free the primitive at once.
 */
#ifndef CONC_LIB_GUARD_H
#define CONC_LIB_GUARD_H

#include "base/atomic.h"
#include "base/futex.h"

#define GUARD_HELD 0x80000000u
#define GUARD_SLEEPERS 0x40000000u
#define GUARD_BITS (GUARD_HELD | GUARD_SLEEPERS)

/* Take the guard while the word has all the bits of `require`; false: the word has not, and the
 * guard is not taken. */
bool conc__guard_lock_slow(uint32_t *word, uint32_t require);

static inline void guard_lock(uint32_t *word)
{
    uint32_t v = load_relaxed(word); /* relaxed: the swap acquires */
    if ((v & GUARD_HELD) || !cas_acquire(word, &v, v | GUARD_HELD))
        conc__guard_lock_slow(word, 0);
}

/* The same, for a caller that has not tried to take it yet. */
static inline bool guard_lock_if(uint32_t *word, uint32_t require)
{
    return conc__guard_lock_slow(word, require);
}

/* Release it, and in the same operation clear and set bits of the primitive's own. */
static inline void guard_unlock_with(uint32_t *word, uint32_t clear, uint32_t set)
{
    uint32_t v = load_relaxed(word); /* relaxed: the swap releases */
    while (!cas_release(word, &v, (v & ~(GUARD_BITS | clear)) | set))
        continue;
    if (v & GUARD_SLEEPERS)
        conc__futex_wake(word, 1);
}

/* Release it, and in the same operation clear bits and add to a number that the primitive keeps in
 * the word. */
static inline void guard_unlock_add(uint32_t *word, uint32_t clear, uint32_t add)
{
    uint32_t v = load_relaxed(word); /* relaxed: the swap releases */
    while (!cas_release(word, &v, (v & ~(GUARD_BITS | clear)) + add))
        continue;
    if (v & GUARD_SLEEPERS)
        conc__futex_wake(word, 1);
}

static inline void guard_unlock(uint32_t *word)
{
    if (fetch_and_release(word, ~GUARD_BITS) & GUARD_SLEEPERS)
        conc__futex_wake(word, 1);
}

#endif
