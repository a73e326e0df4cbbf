/* SPDX-License-Identifier: MIT
 *
 * guard.c: taking a guard that may be held. See guard.h.
 *
 * A thread that has slept takes it with SLEEPERS set, because the release that woke it cleared the
 * bit although others may still sleep. At worst the next release makes one system call too many
 * (Drepper, "Futexes are tricky").
 */
#include "base/guard.h"

#include <sched.h>

#include "base/clock.h"

/* How often to yield the core before sleeping. A yield lets a preempted holder finish. Between
 * cores it gives the holder so many turns that the cache line moves seldom: measured, a queue
 * between two threads passes three times as many items as with a busy wait. */
enum { GUARD_YIELDS = 8 };

bool conc__guard_lock_slow(uint32_t *word, uint32_t require)
{
    uint32_t mine = GUARD_HELD;
    for (int tries = 0;; tries++) {
        uint32_t v = load_relaxed(word); /* relaxed: the swap acquires */
        if ((v & require) != require) {
            /* The wake-up came to this thread, which does not take the guard: pass it on. */
            if (mine & GUARD_SLEEPERS)
                conc__futex_wake(word, 1);
            return false;
        }
        if (!(v & GUARD_HELD)) {
            if (cas_acquire(word, &v, v | mine))
                return true;
        } else if (tries < GUARD_YIELDS) {
            sched_yield();
        } else if ((v & GUARD_SLEEPERS) || cas_relaxed(word, &v, v | GUARD_SLEEPERS)) {
            /* relaxed: the bit only asks for a wake-up; the kernel compares the whole word again */
            conc__futex_wait(word, v | GUARD_SLEEPERS, CONC_FOREVER);
            mine = GUARD_HELD | GUARD_SLEEPERS;
        }
    }
}
