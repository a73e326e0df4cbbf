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

typedef void thread_end_fn(void *arg);

struct thread_context {
    struct conc_context context; /* first */
    uint32_t word;               /* the parking word */
    struct spinner spinner;      /* whether spinning has lately been worth while */
    int kick_fd;                 /* wakes the thread from a poll; -1: not made */
    thread_end_fn *at_end;       /* called when it ends; NULL: nothing is to be called */
    void *at_end_arg;
    bool end_is_told; /* by conc__thread_end() */
    unsigned ends;    /* how often thread_ends() has been called */

    /* The upper half of its stack; both 0: not looked up yet, both UINTPTR_MAX: not known. */
    uintptr_t stack_middle, stack_top;
};

_Static_assert(offsetof(struct thread_context, context) == 0, "thread_of() casts");

/* In the parking word, beside the PARK_ bits: how the thread sleeps. */
#define THREAD_SLEEPING 4u /* on the word */
#define THREAD_POLLING 8u  /* in a poll */

/* Must a thread that the library starts tell its end, since there is no thread-specific key? Then
 * it calls begin before anything else of the library, and end at its very end. */
bool conc__thread_tells_end(void);
void conc__thread_begin(void);
void conc__thread_end(void);

/* Have fn called in the calling thread when it ends, after its context; one at most. False: it will
 * not be, as the thread may end unseen. */
bool conc__thread_at_end(thread_end_fn *fn, void *arg);

/* Of a context that is a thread. */
static inline struct thread_context *thread_of(struct conc_context *context)
{
    return (struct thread_context *)(void *)context;
}

#endif
