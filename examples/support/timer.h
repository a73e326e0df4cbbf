/* SPDX-License-Identifier: MIT
 *
 * timer.h: how long a block took, as the chapters' `with timeit():`
 *
 *     with_timer ("time elapsed") {
 *         work();
 *     }                        // prints "time elapsed: 1.02s", however the block is left
 */
#ifndef EXAMPLES_TIMER_H
#define EXAMPLES_TIMER_H

#include <stdbool.h>
#include <stdio.h>

#include <conc/base.h>

/** The seconds since `started`, a time of conc_now(). */
static inline double seconds_since(int64_t started)
{
    return (double)(conc_now() - started) / (double)CONC_S(1);
}

struct scoped_timer {
    const char *label;
    int64_t started;
    bool running;
};

static inline struct scoped_timer scoped_timer_start(const char *label)
{
    return (struct scoped_timer){.label = label, .started = conc_now(), .running = true};
}

static inline void scoped_timer_stop(struct scoped_timer *timer)
{
    printf("%s: %.2fs\n", timer->label, seconds_since(timer->started));
}

/* The timer is the for statement's own variable; its cleanup prints, also on `break`, `return` and
 * `goto`. */
#define with_timer(label)                                                         \
    for (struct scoped_timer timer_                                               \
         __attribute__((cleanup(scoped_timer_stop))) = scoped_timer_start(label); \
         timer_.running; timer_.running = false)

#endif
