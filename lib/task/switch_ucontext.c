/* SPDX-License-Identifier: MIT
 *
 * switch_ucontext.c: switch.h for any architecture that has <ucontext.h>. Each switch is a system
 * call (for the signal mask), about a hundred times as slow as one in assembly.
 *
 * How: a place to go on at is a struct switch_place on the stack of the code that goes on there.
 */
#include <stddef.h>
#include <stdint.h>
#include <ucontext.h>

#include "task/switch.h"

enum { PLACE_ALIGN = 64 }; /* bytes, a power of two: a line of the cache */

struct switch_place {
    ucontext_t context;
    void *passed; /* by the code that switches to it */
    /* Of a place that conc__switch_prepare() has made: */
    void (*main)(void *arg);
    void *arg;
};

/* makecontext() passes ints: the two halves of a pointer. */
static void switch_start(unsigned high, unsigned low)
{
    struct switch_place *p = (struct switch_place *)((uintptr_t)high << 16 << 16 | low);
    conc__switch_begin(p->passed, p->main, p->arg);
}

void *conc__switch_prepare(void *top, void *bottom, void (*main)(void *arg), void *arg)
{
    struct switch_place *p =
        (struct switch_place *)(((uintptr_t)top - sizeof *p) & ~(uintptr_t)(PLACE_ALIGN - 1));
    p->main = main;
    p->arg = arg;
    getcontext(&p->context);
    p->context.uc_link = NULL;
    p->context.uc_stack.ss_sp = bottom;
    p->context.uc_stack.ss_size = (size_t)((char *)p - (char *)bottom);
    uintptr_t address = (uintptr_t)p;
    makecontext(&p->context, (void (*)(void))switch_start, 2, (unsigned)(address >> 16 >> 16),
                (unsigned)address);
    return p;
}

void *conc__switch(void **here, void *there, void *pass)
{
    struct switch_place own, *p = there;
    own.context.uc_stack = (stack_t){0}; /* AddressSanitizer reads it */
    *here = &own;
    p->passed = pass;
    swapcontext(&own.context, &p->context);
    return own.passed;
}

void *conc__switch_apart(void **here, void *there, void *pass)
    __attribute__((alias("conc__switch")));
