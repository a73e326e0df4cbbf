/* SPDX-License-Identifier: MIT
 *
 * coroutine.h: leaving one stack and going on at another. Knows nothing of tasks or loops.
 *
 * A coroutine here is only a place to go on at: where some code stood when it switched away. Code
 * that switches needs one to save its own place in, and may have it on its own stack:
 *
 *     struct coroutine here;
 *     conc__coroutine_switch(&here, other); // returns when some code switches to `here`
 *
 * Around the bare switch (switch.h) two things are done:
 *
 * The sanitizers keep records of stacks, so each switch is announced. AddressSanitizer must be told
 * before the switch where the next stack is, and reports after it where the one before was: hence
 * the switch hands over the coroutine that was left, and the arriving side fills in its bottom and
 * size. So no code has to know the bounds of a thread's own stack. A stack that is left for good
 * hands over NULL, and the fake frames that the sanitizer kept for it are freed.
 *
 * C++ keeps the exceptions that a thread is handling in a chain, which catch blocks of two stacks
 * in turn would mix up. So if there is a C++ runtime (base/cxx.h) each stack has a chain of its
 * own. One that is found while a stack is left: that stack had no exceptions yet.
 *
 * The switches are inline: a function around them would return to a place other than the one it was
 * called from, which the processor mispredicts (10 ns, where the switch takes 2).
 */
#ifndef CONC_LIB_COROUTINE_H
#define CONC_LIB_COROUTINE_H

#include "base/atomic.h"
#include "base/checkers.h"
#include "base/cxx.h"
#include "task/stack.h"
#include "task/switch.h"

struct coroutine {
    void *sp; /* while it does not run */
    /* For the sanitizers; unused without them. */
    const void *bottom;
    size_t size;
    void *fake_stack;
    void *tsan;
    void *tsan_own; /* what init made; a coroutine may switch away from another's stack */
};

/* Prepare a coroutine that begins with main(arg), below `top` (aligned to 64) on that stack.
 * `main` must not return: it ends with conc__coroutine_leave(). Until conc__coroutine_fini() it
 * holds a sanitizer's resources, if there is one. Called from any thread. */
void conc__coroutine_init(struct coroutine *c, const struct stack *stack, void *top,
                          void (*main)(void *arg), void *arg);

/* Free what init took. The coroutine has been left for good, or never begun. */
void conc__coroutine_fini(struct coroutine *c);

/* Go on at *to, and never come back. */
void conc__coroutine_leave(struct coroutine *to) __attribute__((noreturn));

/* ---- C++ exceptions ---- */

static inline void coroutine_save_exceptions(struct conc__cxa_globals *saved)
{
    cxx_get_globals_fn *get_globals = load_relaxed(&conc__cxx_get_globals); /* relaxed: cxx.c */
    *saved = get_globals ? *get_globals() : (struct conc__cxa_globals){0};
}

static inline void coroutine_restore_exceptions(const struct conc__cxa_globals *saved)
{
    cxx_get_globals_fn *get_globals = load_relaxed(&conc__cxx_get_globals); /* relaxed: as above */
    if (get_globals)
        *get_globals() = *saved;
}

/* ---- Announcements ---- */

/* from NULL: the stack is left for good. Always inlined, or ThreadSanitizer would record its return
 * on the other stack. */
__attribute__((always_inline)) static inline void coroutine_announce_leaving(
    struct coroutine *from, const struct coroutine *to)
{
    (void)from, (void)to;
#ifdef WITH_ASAN
    __sanitizer_start_switch_fiber(from ? &from->fake_stack : NULL, to->bottom, to->size);
#endif
#ifdef WITH_TSAN
    if (from)
        from->tsan = __tsan_get_current_fiber();
    __tsan_switch_to_fiber(to->tsan, 0);
#endif
}

/* left NULL: the stack before was left for good. */
static inline void coroutine_announce_arrival(void *fake_stack, struct coroutine *left)
{
    (void)fake_stack, (void)left;
#ifdef WITH_ASAN
    __sanitizer_finish_switch_fiber(fake_stack, left ? &left->bottom : NULL,
                                    left ? &left->size : NULL);
#endif
}

/* ---- The switch ---- */

__attribute__((always_inline)) static inline void coroutine_switch_by(
    void *(*bare_switch)(void **here, void *there, void *pass), struct coroutine *from,
    struct coroutine *to)
{
    struct conc__cxa_globals exceptions;
    coroutine_save_exceptions(&exceptions);
    coroutine_announce_leaving(from, to);
    struct coroutine *left = bare_switch(&from->sp, to->sp, from);
    coroutine_announce_arrival(from->fake_stack, left);
    coroutine_restore_exceptions(&exceptions);
}

/* Save the caller's place in *from, and go on at *to. Returns when some code switches to *from. */
static inline void conc__coroutine_switch(struct coroutine *from, struct coroutine *to)
{
    coroutine_switch_by(conc__switch, from, to);
}

/* The same, for two sides that stand in different functions. */
static inline void conc__coroutine_switch_apart(struct coroutine *from, struct coroutine *to)
{
    coroutine_switch_by(conc__switch_apart, from, to);
}

#endif
