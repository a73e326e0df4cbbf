/* SPDX-License-Identifier: MIT
 *
 * offload.h: for ops that can only be done by a thread that blocks: a driver has a few. See
 * offload.c.
 */
#ifndef CONC_LIB_OP_OFFLOAD_H
#define CONC_LIB_OP_OFFLOAD_H

#include "op/driver.h"

enum { OFFLOAD_THREADS = 4 }; /* of a driver, at most; offload.c says why */

/* Have one of the driver's threads do the op, by conc__perform(op, true); it completes through the
 * inbox. Out of memory: it completes now. */
void conc__offload_start(struct op *op);

/* Ask it not to begin: then it completes now. If it runs already its end has to be awaited. */
void conc__offload_cancel(struct op *op);

/* Free the driver's threads, waiting for them. Before that no thread may be sure that the driver is
 * there; so first of all this is done. Not in a forked child. */
void conc__offload_fini(struct driver *driver);

#endif
