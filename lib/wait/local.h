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

/* Exchange the caller's values, as a worker does that runs a job with its submitter's. Takes the
 * one reference and gives the other. */
struct locals *conc__locals_swap(struct conc_context *self, struct locals *locals);

/* Give a reference back; NULL is ignored. Destructors may run. */
void conc__locals_unref(struct locals *locals);

/* The context is ending: it releases its values, and keeps no more. To be called in the context
 * itself, where destructors may call libconc; conc__context_fini() only makes sure that it was. */
void conc__locals_drop(struct conc_context *self);

#endif
