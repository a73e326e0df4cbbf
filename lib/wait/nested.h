/* SPDX-License-Identifier: MIT
 *
 * nested.h: a context that runs on the stack of another, which waits for it; see nested.c.
 */
#ifndef CONC_LIB_WAIT_NESTED_H
#define CONC_LIB_WAIT_NESTED_H

#include <stddef.h>

#include "wait/context.h"

struct nested_context {
    struct conc_context context; /* first */
    struct context_ops ops;
    struct conc_context *base; /* the one that is not nested: a thread, a task */
    bool renamed;
};

_Static_assert(offsetof(struct nested_context, context) == 0, "nested_of() casts");

/* Make *nested the calling context, on the stack of the one before, until conc__nested_leave() in
 * the same frame. `what`, `object`: what the one before is blocked on meanwhile. Cannot fail. */
void conc__nested_enter(struct nested_context *nested, const char *what, const void *object);
void conc__nested_leave(struct nested_context *nested);

#endif
