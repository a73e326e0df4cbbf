/* SPDX-License-Identifier: MIT
 *
 * backoff.h: what to do between two looks at a word that others change, before a sleep in the
 * kernel, which costs two system calls and a wake-up. There are two forms.
 *
 * A fixed few rests, for what is soon over:
 *
 *     for (int turn = 0; turn < BACKOFF_TURNS; turn++) {
 *         if (attempt())
 *             return true;
 *         backoff_rest(turn);
 *     }
 *     return attempt();
 *
 * The first rests only pause, for a short critical section on another core. The last ones yield
 * the core, for a holder that needs this one. A longer busy wait is worse than none: it keeps the
 * cache line moving.
 *
 * A spinner, for what may take long, because a thread or a process on another core works on it:
 *
 *     static const struct spin_limits limits = {
 *         .yields_max = 32, .skips_max = 16, .time_max = CONC_US(50), .late_ends = true};
 *
 *     if (!is_there(arg) && !spinner_wait(&self->spinner, &limits, is_there, arg))
 *         sleep in the kernel;
 *
 * Handing over between two cores through the kernel takes tens of microseconds, a hundred times
 * what a short job takes. So before it sleeps the caller yields its core a few times and looks
 * again: on one core that runs the other side, on two it saves the trip through the kernel. It does
 * so only while that has lately paid. A fruitless spin halves the next one, down to none; then the
 * caller sleeps a few times without a spin, and after that one spin of full length tries again.
 *
 * On a core that others want too, a yield takes as long as their turns. So a spin that takes longer
 * than its yields should is late, and ends: the caller's own deadline may pass meanwhile.
 * `late_ends` says what that means for the next spin. A thread can wait for anything, and is right
 * to assume that what runs meanwhile is not what it waits for: then there is none. In a process
 * pool it may well be the other side that runs: then being late is no worse than being fruitless.
 */
#ifndef CONC_LIB_BACKOFF_H
#define CONC_LIB_BACKOFF_H

#include <sched.h>
#include <stdbool.h>

#include "base/atomic.h"
#include "base/clock.h"

/* ---- A fixed few rests ---- */

enum {
    BACKOFF_PAUSES = 8, /* rests that only pause the core */
    BACKOFF_YIELDS = 4, /* rests that yield it */
    BACKOFF_TURNS = BACKOFF_PAUSES + BACKOFF_YIELDS,
};

/* The rest after the attempt number `turn`, counted from 0. */
static inline void backoff_rest(int turn)
{
    if (turn < BACKOFF_PAUSES)
        core_pause();
    else
        sched_yield();
}

/* ---- A spinner ---- */

/* A spin of fewer yields finds nothing: then rather none. */
enum { SPINNER_YIELDS_MIN = 8 };

/* What a kind of caller lets its spins cost. */
struct spin_limits {
    unsigned yields_max; /* of one spin */
    unsigned skips_max;  /* waits without a spin before one is tried again */
    int64_t time_max;    /* of one spin, in nanoseconds: more, and others want the core */
    bool late_ends;      /* a late spin makes the next one none at all, instead of halving it */
};

/* What one caller has learned. All-zero: nothing yet; it begins without spins. */
struct spinner {
    unsigned yields;  /* of the next spin; 0: none */
    unsigned skipped; /* how many waits in a row have had none */
};

/* Is this wait one without a spin? */
static inline bool spinner_skips(struct spinner *spinner, const struct spin_limits *limits)
{
    if (spinner->yields > 0)
        return false;
    if (spinner->skipped < limits->skips_max) {
        spinner->skipped++;
        return true;
    }
    spinner->skipped = 0;
    spinner->yields = limits->yields_max;
    return false;
}

/* Learn from a spin that has found nothing. */
static inline void spinner_shorten(struct spinner *spinner, bool to_none)
{
    unsigned half = spinner->yields / 2;
    spinner->yields = to_none || half < SPINNER_YIELDS_MIN ? 0 : half;
}

/* Spin before a sleep, if that is worth while. True: is_there(arg) has become true; false:
 * sleep. */
static inline bool spinner_wait(struct spinner *spinner, const struct spin_limits *limits,
                                bool (*is_there)(const void *arg), const void *arg)
{
    if (spinner_skips(spinner, limits))
        return false;
    const int64_t end = conc_now() + limits->time_max;
    bool is_late = false;
    for (unsigned i = 0; i < spinner->yields && !is_late; i++) {
        sched_yield();
        if (is_there(arg)) {
            spinner->yields = limits->yields_max;
            return true;
        }
        is_late = conc_now() > end;
    }
    spinner_shorten(spinner, is_late && limits->late_ends);
    return false;
}

#endif
