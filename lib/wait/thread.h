/* SPDX-License-Identifier: MIT
 *
 * thread.h: what a thread's context is inside; see thread.c. For that and for the tests: no
 * other file knows which contexts are threads.
 */
#ifndef CONC_LIB_WAIT_THREAD_H
#define CONC_LIB_WAIT_THREAD_H

#include <stddef.h>

#include "base/backoff.h"
#include "wait/context.h"

struct thread_context {
    struct conc_context context; /* first */
    uint32_t word;               /* the parking word */
    struct spinner spinner;      /* whether spinning has lately been worth while */
    int kick_fd;                 /* wakes the thread from a poll; -1: not made */

    /* The upper half of its stack; both 0: not looked up yet, both UINTPTR_MAX: not known. */
    uintptr_t stack_middle, stack_top;
};

_Static_assert(offsetof(struct thread_context, context) == 0, "thread_of() casts");

/* In the parking word, beside the PARK_ bits: how the thread sleeps. */
#define THREAD_SLEEPING 4u /* on the word */
#define THREAD_POLLING 8u  /* in a poll */

/* Of a context that is a thread. */
static inline struct thread_context *thread_of(struct conc_context *context)
{
    return (struct thread_context *)(void *)context;
}

#endif
