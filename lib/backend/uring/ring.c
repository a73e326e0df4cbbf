/* SPDX-License-Identifier: MIT
 *
 * ring.c: see ring.h.
 *
 * Which flags a kernel knows is found out by trying, from the newest to the oldest; version numbers
 * lie on patched kernels. What refuses io_uring altogether (a seccomp filter, the sysctl
 * kernel.io_uring_disabled, a kernel without it) and what is too old to be good is one answer,
 * -ENOSYS: the loop then takes epoll. So is a lack of memory while the ring is made: it may only be
 * the ring that has no room, under RLIMIT_MEMLOCK on old kernels.
 *
 * With DEFER_TASKRUN nothing is posted but while our thread is in the kernel: each time about
 * twenty completions beside those of operations that end in their submission, and TASKRUN stays set
 * as the sign of more. So the completion queue hardly ever fills, however many operations are
 * under way, and need not be large. If it does, the kernel keeps what has no room
 * (IORING_FEAT_NODROP, which we insist on) until we have taken what is there, and says CQ_OVERFLOW;
 * it may refuse to take entries meanwhile (EBUSY), which then stay in the submission queue for the
 * next time.
 *
 * Fork: the maps are absent in a child (MADV_DONTFORK), where even a look at the rings could spoil
 * the parent's. The descriptor is inherited; the child must close it, or operations would outlive
 * the parent.
 */
#include "backend/uring/ring.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/checkers.h"
#include "base/clock.h"
#include "op/op.h"

/* 256 entries: a system call for so many costs each of them next to nothing. 1,024 completions: of
 * four submissions that are done at once. 58 KiB of kernel memory and 29 us for a ring; with 4,096
 * it would be 143 KiB and 270 us. */
#define RING_SHAPE                                                      \
    {                                                                   \
        .entries = 256, .completions = 1024, .no_sigpipe = RWF_NOSIGNAL \
    }

#ifdef CONC_TEST_HOOKS
struct ring_shape conc__ring_shape = RING_SHAPE;
#else
const struct ring_shape conc__ring_shape = RING_SHAPE;
#endif

/* The kernel's threads for what cannot but block, started as they are needed: for files, which
 * includes opening a FIFO, and that may wait for long; and for anything else, where its own limit
 * would be what the user may have. */
enum { FILE_WORKERS = 32, OTHER_WORKERS = 64 };

/* How long to leave a kernel alone that has no memory for a request. */
#define SHORT_OF_MEMORY CONC_MS(1)

static const unsigned needed_features =
    IORING_FEAT_NODROP | IORING_FEAT_EXT_ARG | IORING_FEAT_FAST_POLL | IORING_FEAT_RW_CUR_POS;

static const uint8_t needed_codes[] = {
    IORING_OP_NOP,          IORING_OP_READ,    IORING_OP_WRITE,   IORING_OP_RECV,
    IORING_OP_SEND,         IORING_OP_RECVMSG, IORING_OP_SENDMSG, IORING_OP_ACCEPT,
    IORING_OP_CONNECT,      IORING_OP_OPENAT,  IORING_OP_FSYNC,   IORING_OP_POLL_ADD,
    IORING_OP_ASYNC_CANCEL,
};

/* ---- Making and freeing ---------------------------------------------------------------------- */

static int ring_try(struct ring *ring, unsigned flags)
{
    struct io_uring_params params = {
        .flags = flags | IORING_SETUP_CLAMP | IORING_SETUP_CQSIZE,
        .cq_entries = conc__ring_shape.completions,
    };
    return io_uring_queue_init_params(conc__ring_shape.entries, &ring->uring, &params);
}

static int ring_make(struct ring *ring)
{
    static const unsigned ladder[RING_RUNGS] = {
        IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_TASKRUN_FLAG |
            IORING_SETUP_SUBMIT_ALL,                                                     /* 6.1 */
        IORING_SETUP_COOP_TASKRUN | IORING_SETUP_TASKRUN_FLAG | IORING_SETUP_SUBMIT_ALL, /* 5.19 */
        IORING_SETUP_SUBMIT_ALL,                                                         /* 5.18 */
        0,
    };
    int err = -EINVAL;
    for (unsigned i = conc__ring_shape.rung; i < RING_RUNGS && err == -EINVAL; i++)
        err = ring_try(ring, ladder[i]);
    return !err || err == -EMFILE || err == -ENFILE ? err : -ENOSYS;
}

/* All three system calls are allowed, and do what is needed. */
static bool ring_is_good_enough(struct ring *ring)
{
    enum { CODES = 256 }; /* a code is a byte */
    union {
        struct io_uring_probe probe;
        char room[sizeof(struct io_uring_probe) + CODES * sizeof(struct io_uring_probe_op)];
    } known;
    if ((ring->uring.features & needed_features) != needed_features)
        return false;
    memset(&known, 0, sizeof known);
    if (io_uring_register_probe(&ring->uring, &known.probe, CODES) != 0 ||
        io_uring_get_events(&ring->uring) != 0)
        return false;
    for (size_t i = 0; i < sizeof needed_codes; i++)
        if (!io_uring_opcode_supported(&known.probe, needed_codes[i]))
            return false;
    return true;
}

/* liburing maps rings by system calls of its own, which ThreadSanitizer does not see: so it has to be
 * told that who gets an address that another thread's ring had comes after that ring's end. */
static char maps;

int conc__ring_init(struct ring *ring)
{
    if (RUNNING_ON_VALGRIND) /* 3.19 hangs in io_uring_enter */
        return -ENOSYS;
    int err = ring_make(ring);
    if (err)
        return err;
    TSAN_ACQUIRE(&maps);
    unsigned workers[2] = {FILE_WORKERS, OTHER_WORKERS};
    if (!ring_is_good_enough(ring) || io_uring_ring_dontfork(&ring->uring) != 0) {
        io_uring_queue_exit(&ring->uring);
        return -ENOSYS;
    }
    io_uring_register_iowq_max_workers(&ring->uring, workers); /* or else the kernel's own limits */
    ring->no_sigpipe = conc__ring_shape.no_sigpipe;
    ring->overflows = 0;
    return 0;
}

void conc__ring_fini(struct ring *ring)
{
    TSAN_RELEASE(&maps);
    io_uring_queue_exit(&ring->uring);
}

void conc__ring_forget(struct ring *ring) { close(ring->uring.ring_fd); }

/* ---- Entering the kernel --------------------------------------------------------------------- */

/* Completions that are lost, or a ring that is not ours: there is no way to go on, as operations
 * would never end. */
static void ring_die(int err) __attribute__((noreturn));
static void ring_die(int err)
{
    fprintf(stderr, "libconc: io_uring_enter: %s\n", conc_strerror(err));
    abort();
}

static int ring_wait_for_one(struct ring *ring, conc_deadline until, int64_t left)
{
    const struct timespec t = clock_timespec(left);
    struct __kernel_timespec length = {.tv_sec = t.tv_sec, .tv_nsec = t.tv_nsec};
    struct io_uring_cqe *first; /* not looked at: may be NULL on success */
    return io_uring_submit_and_wait_timeout(&ring->uring, &first, 1,
                                            deadline_is_forever(until) ? NULL : &length, NULL);
}

/* Submit what there is, and have the kernel post what it owes. */
static int ring_exchange(struct ring *ring)
{
    if (io_uring_sq_ready(&ring->uring))
        return io_uring_submit_and_get_events(&ring->uring);
    return ring_owes(ring) ? io_uring_get_events(&ring->uring) : 0;
}

void conc__ring_enter(struct ring *ring, conc_deadline until)
{
    struct io_uring *uring = &ring->uring;
    if (load_relaxed(uring->sq.kflags) & IORING_SQ_CQ_OVERFLOW) /* relaxed: our own thread set it */
        ring->overflows++;
    int64_t left = io_uring_cq_ready(uring) ? 0 : conc_remaining(until);
    int err = left > 0 ? ring_wait_for_one(ring, until, left) : ring_exchange(ring);
    if (err >= 0 || err == -ETIME || err == -EINTR)
        return;
    if (err != -EAGAIN && err != -EBUSY)
        ring_die(err);
    /* The entries wait in the queue. If that is for completions to be taken they are there now. */
    if (left > 0 && !io_uring_cq_ready(uring))
        nanosleep(&(struct timespec){.tv_nsec = SHORT_OF_MEMORY}, NULL);
}
