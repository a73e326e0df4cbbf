/* SPDX-License-Identifier: MIT
 *
 * local.h: how contexts get their values, and release them. See conc/local.h for what they are.
 */
#ifndef CONC_LIB_LOCAL_H
#define CONC_LIB_LOCAL_H

#include <conc/local.h>

#include "wait/context.h"

struct locals; /* the values of a context at some moment; shared with those that inherit them */

/* A reference to the values of the caller, `from`, for a context that it starts; NULL: it has none.
 * Cannot fail. */
struct locals *conc__locals_inherit(struct conc_context *from);

/* Give a context that has not begun, and has no values, the inherited ones. Takes the reference. */
void conc__locals_adopt(struct conc_context *self, struct locals *locals);

/* One more reference; NULL is ignored. */
struct locals *conc__locals_ref(struct locals *locals);

/* Code of others, a callback or a job, that runs in a context with values of its own. */
struct locals_stay {
    struct conc_context *self;
    struct locals *before; /* the context's, put aside */
    struct locals **kept;  /* where those of the stay are kept for the next one; NULL: nowhere */
};

/* Begin a stay in the calling context with the values *locals, whose reference it takes: *locals
 * becomes NULL. `keep`: at its end the values that there are then are put back there; otherwise
 * they are released, and destructors run in the stay still. */
void conc__locals_enter(struct locals_stay *stay, struct locals **locals, bool keep);
void conc__locals_exit(struct locals_stay *stay);

/* Give a reference back; NULL is ignored. Destructors may run. */
void conc__locals_unref(struct locals *locals);

/* The context is ending: it releases its values, and keeps no more. To be called in the context
 * itself, where destructors may call libconc; conc__context_fini() only makes sure that it was. */
void conc__locals_drop(struct conc_context *self);

#endif
