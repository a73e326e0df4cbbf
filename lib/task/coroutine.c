/* SPDX-License-Identifier: MIT
 *
 * coroutine.c: the beginning and the end of a coroutine; see coroutine.h.
 */
#include "task/coroutine.h"

#include "base/invariant.h"

void conc__coroutine_init(struct coroutine *c, const struct stack *stack, void *top,
                          void (*main)(void *arg), void *arg)
{
    *c = (struct coroutine){.bottom = stack->base, .size = stack->size};
    c->sp = conc__switch_prepare(top, stack->base, main, arg);
#ifdef WITH_TSAN
    c->tsan = c->tsan_own = __tsan_create_fiber(0);
#endif
}

void conc__coroutine_fini(struct coroutine *c)
{
    (void)c;
#ifdef WITH_TSAN
    __tsan_destroy_fiber(c->tsan_own);
#endif
}

/* Where every coroutine begins, on its own stack. */
void conc__switch_begin(void *left, void (*main)(void *arg), void *arg)
{
    coroutine_announce_arrival(NULL, left);
    coroutine_restore_exceptions(&(struct conc__cxa_globals){0});
    main(arg);
    conc__invariant_broken(__FILE__, __LINE__, "a coroutine leaves, and does not return");
}

void conc__coroutine_leave(struct coroutine *to)
{
    coroutine_announce_leaving(NULL, to);
    /* The caller's own place is of no use. It is saved in *to, and not in a local variable, since
     * AddressSanitizer has just freed those. */
    conc__switch(&to->sp, to->sp, NULL);
    conc__invariant_broken(__FILE__, __LINE__, "a coroutine that has left is not resumed");
}
