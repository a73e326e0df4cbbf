/* SPDX-License-Identifier: MIT
 *
 * offload.h: for ops that only a thread that blocks can carry out. See offload.c.
 */
#ifndef CONC_LIB_OP_OFFLOAD_H
#define CONC_LIB_OP_OFFLOAD_H

#include "op/op.h"

/* Threads that a pool starts without hesitation; offload.c says why. */
enum { OFFLOAD_PROMPT = 16 };

/* Have a thread carry out the op, by conc__perform(op, true): one of those for files, or of those
 * for what may wait without bound. The op completes through its driver's inbox, or, if it has no
 * driver, in that thread; if there is no memory it completes now. */
void conc__offload_start(struct op *op, bool may_wait);

/* Ask the op to end: if it has not begun it completes now, with -ECANCELED, unless it is hurried.
 * If it runs, what it waits for is interrupted. */
void conc__offload_cancel(struct op *op);

/* How many threads there are now, in the whole process. *settled: none is beginning or ending. */
size_t conc__offload_threads(bool *settled);

#endif
