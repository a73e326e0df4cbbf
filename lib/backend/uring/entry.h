/* SPDX-License-Identifier: MIT
 *
 * entry.h: what the kernel is told of an op.
 */
#ifndef CONC_LIB_BACKEND_URING_ENTRY_H
#define CONC_LIB_BACKEND_URING_ENTRY_H

#include "backend/uring/ring.h"
#include "op/op.h"

/* How an op is done: by the ring; by system calls, between which the ring waits until it is ready;
 * or by a thread. */
enum entry_way { BY_ENTRY, BY_ATTEMPTS, BY_THREAD };

enum entry_way conc__entry_way(const struct ring *ring, const struct op *op);

/* Fill in the entry that does the op. */
void conc__entry_prepare(struct io_uring_sqe *sqe, const struct ring *ring, const struct op *op);

/* The one that waits until it is ready: for conc__op_events(), which are not 0. */
void conc__entry_prepare_wait(struct io_uring_sqe *sqe, const struct op *op);

#endif
