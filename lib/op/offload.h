/* SPDX-License-Identifier: MIT
 *
 * offload.h: for ops that only a thread that blocks can carry out: a driver has a few such threads.
 * See offload.c.
 */
#ifndef CONC_LIB_OP_OFFLOAD_H
#define CONC_LIB_OP_OFFLOAD_H

#include "op/driver.h"

enum { OFFLOAD_THREADS = 4 }; /* of a driver, at most; offload.c says why */

/* Have one of the driver's threads carry out the op, by conc__perform(op, true). The op completes
 * through the inbox; if there is no memory it completes now. */
void conc__offload_start(struct op *op);

/* Ask the op not to begin: then it completes now. If it runs already it completes when it has
 * ended. */
void conc__offload_cancel(struct op *op);

/* Wait for the driver's threads, and free them. They post to the driver, so this comes before
 * anything else of the driver is freed. Not in a forked child. */
void conc__offload_fini(struct driver *driver);

#endif
