/* SPDX-License-Identifier: MIT
 *
 * ring.h: one io_uring: making it on any kernel that has it, entering the kernel, taking entries
 * and completions. What these mean is uring.c's matter.
 */
#ifndef CONC_LIB_BACKEND_URING_RING_H
#define CONC_LIB_BACKEND_URING_RING_H

#include <liburing.h>
#include <stdbool.h>

#include <conc/base.h>

#include "base/atomic.h"

struct ring {
    struct io_uring uring;

    /* The flag of a write that is to raise no SIGPIPE; 0: the kernel knows none. */
    int no_sigpipe;

    bool has_writes; /* among the entries that the kernel has not taken */

    /* How often completions had to wait in the kernel for room. */
    size_t overflows;
};

/* What tests make smaller, or leave out. */
struct ring_shape {
    unsigned entries;     /* of the submission queue */
    unsigned completions; /* of the completion queue */
    unsigned rung;        /* of ring_make()'s ladder on which to begin, 0 to RING_RUNGS - 1 */
    int no_sigpipe;       /* the flag to begin with */
};

enum { RING_RUNGS = 4 };

#ifdef CONC_TEST_HOOKS
extern struct ring_shape conc__ring_shape;
#else
extern const struct ring_shape conc__ring_shape;
#endif

/* 0; -ENOSYS: the system has or allows no io_uring that is good enough; -EMFILE, -ENFILE: no
 * descriptor is left. Called by the thread that will use the ring. */
int conc__ring_init(struct ring *ring);

/* Free the ring. No operation of it is left in the kernel. */
void conc__ring_fini(struct ring *ring);

/* Free what a forked child has of the ring: its maps are absent there. */
void conc__ring_forget(struct ring *ring);

/* Submit the entries, and let the kernel post completions. If there is none, wait for one until
 * `until`. May return early. Makes no system call if there is nothing to do. */
void conc__ring_enter(struct ring *ring, conc_deadline until);

/* Will the kernel post more when it is entered? */
static inline bool ring_owes(const struct ring *ring)
{
    /* relaxed: only says whether to enter, which gives the rest. */
    return load_relaxed(ring->uring.sq.kflags) & (IORING_SQ_TASKRUN | IORING_SQ_CQ_OVERFLOW);
}

/* Room for an entry, and its place; NULL: the submission queue is full. */
static inline struct io_uring_sqe *ring_entry(struct ring *ring, uint32_t *place)
{
    *place = ring->uring.sq.sqe_tail;
    return io_uring_get_sqe(&ring->uring);
}

/* The entry at that place, if it is still that of `user_data` and the kernel has not taken it: then
 * it may be changed. NULL: the kernel has taken it. */
static inline struct io_uring_sqe *ring_unsent(struct ring *ring, uint32_t place,
                                               uint64_t user_data)
{
    struct io_uring_sq *sq = &ring->uring.sq;
    uint32_t back = sq->sqe_tail - place; /* places count up for ever, and wrap */
    if (back == 0 || back > io_uring_sq_ready(&ring->uring))
        return NULL;
    struct io_uring_sqe *sqe = &sq->sqes[place & sq->ring_mask];
    return sqe->user_data == user_data ? sqe : NULL;
}

/* Take the next completion out of the queue; false: there is none. */
static inline bool ring_take(struct ring *ring, uint64_t *user_data, int *result)
{
    struct io_uring_cq *cq = &ring->uring.cq;
    if (!io_uring_cq_ready(&ring->uring))
        return false;
    const struct io_uring_cqe *cqe = &cq->cqes[*cq->khead & cq->ring_mask];
    *user_data = cqe->user_data;
    *result = cqe->res;
    io_uring_cq_advance(&ring->uring, 1);
    return true;
}

#endif
