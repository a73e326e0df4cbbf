/* SPDX-License-Identifier: MIT
 *
 * spin.h: looking for a while, yielding the core, before a worker or the manager of a process pool
 * sleeps. As threads do (wait/thread.c): waking a process on another core takes many times as
 * long as a small job. A fruitless spin halves the next; when it is down to none, one sleep in
 * PROBE_EVERY is preceded by one again.
 */
#ifndef CONC_LIB_PROCESS_POOL_SPIN_H
#define CONC_LIB_PROCESS_POOL_SPIN_H

#include <sched.h>

#include "base/clock.h"

enum { SPIN_MAX = 64, SPIN_MIN = 8, PROBE_EVERY = 16 };
#define SPIN_TIME CONC_US(100)

/* All-zero: nothing is known yet. */
struct spinner {
    unsigned spins, pauses;
};

/* True: is_there(arg) was true at last. */
static inline bool spin(struct spinner *s, bool (*is_there)(const void *arg), const void *arg)
{
    if (s->spins < SPIN_MIN) {
        if (++s->pauses < PROBE_EVERY)
            return false;
        s->spins = SPIN_MAX;
        s->pauses = 0;
    }
    int64_t end = conc_now() + SPIN_TIME;
    for (unsigned i = 0; i < s->spins; i++) {
        sched_yield();
        if (is_there(arg)) {
            s->spins = SPIN_MAX;
            return true;
        }
        if (conc_now() > end)
            break;
    }
    s->spins /= 2;
    return false;
}

#endif
