/* SPDX-License-Identifier: MIT
 *
 * entry.h: how an op becomes an entry of the submission queue.
 */
#ifndef CONC_LIB_BACKEND_URING_ENTRY_H
#define CONC_LIB_BACKEND_URING_ENTRY_H

#include "backend/uring/ring.h"
#include "op/kind.h"

/* How the op is carried out: conc__op_way(), but that of the kernel at hand. */
enum op_way conc__entry_way(const struct ring *ring, const struct op *op);

/* Fill in the entry that carries out the op. */
void conc__entry_prepare(struct io_uring_sqe *sqe, struct ring *ring, const struct op *op);

/* Fill in the entry that waits until the descriptor is ready: for conc__op_events(), which are not
 * 0. */
void conc__entry_prepare_wait(struct io_uring_sqe *sqe, const struct op *op);

#endif
