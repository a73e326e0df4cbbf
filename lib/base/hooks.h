/* SPDX-License-Identifier: MIT
 *
 * hooks.h: what tests may change under the library: the clock, and which allocation or thread start
 * fails. The installed library is built without CONC_TEST_HOOKS, and has nothing of it.
 */
#ifndef CONC_LIB_HOOKS_H
#define CONC_LIB_HOOKS_H

#include <stdbool.h>
#include <stdint.h>

#ifdef CONC_TEST_HOOKS

struct conc__hooks {
    int64_t clock_offset;   /* added to the clock; see conc__test_advance() */
    int64_t clock_stopped;  /* not 0: what the kernel's clock is taken to say */
    int32_t fail_alloc_in;  /* the n-th allocation from now fails, once; 0: none */
    int32_t fail_thread_in; /* the n-th thread start from now fails, once; 0: none */
    int32_t allocated;      /* blocks allocated and not freed */
    /* Not 0: no sleeper looks again before its time. Then a lost wake-up is lost for good, and a
     * test that moves the clock must wake those who sleep. */
    uint32_t sound_sleep;
};

extern struct conc__hooks conc__hooks;

/* Move the library's clock forward; those who sleep notice it within a few milliseconds. */
void conc__test_advance(int64_t ns);

/* Stop the clock, but for conc__test_advance(); or have it go on. For what depends on how long a
 * wait took: a busy machine may make any wait long. */
void conc__test_stop_clock(bool stopped);

/* Count a hook down. True: this call is to fail. */
bool conc__test_fails(int32_t *countdown);

#endif
#endif
