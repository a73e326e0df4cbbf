/* SPDX-License-Identifier: MIT
 *
 * ring.c: see ring.h.
 *
 * The ring is made with the newest flags that the kernel takes: they are tried from the newest to
 * the oldest, because version numbers say nothing sure about patched kernels. A system that refuses
 * io_uring altogether (a seccomp filter, the sysctl kernel.io_uring_disabled, a kernel without it)
 * and one whose io_uring is too old to be good get one answer, -ENOSYS: the loop then takes epoll.
 * So does a lack of memory while the ring is made: perhaps only the ring has no room, under
 * RLIMIT_MEMLOCK on old kernels.
 *
 * With DEFER_TASKRUN the kernel posts completions only while our thread is in the kernel: each time
 * about twenty, beside those of operations that end in their submission, and TASKRUN stays set as
 * the sign of more. So the completion queue hardly ever fills, however many operations are under
 * way, and need not be large. If it does fill, the kernel keeps the completions that have no room
 * (IORING_FEAT_NODROP, which is required here) until we have taken those in the queue, and says
 * CQ_OVERFLOW. Meanwhile it may refuse to take entries (EBUSY), which then stay in the submission
 * queue for the next time.
 *
 * Fork: the maps are absent in a child (MADV_DONTFORK), where even a look at the rings could spoil
 * the parent's. The child inherits the descriptor, and must close it, or operations would outlive
 * the parent.
 */
#include "backend/uring/ring.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/checkers.h"
#include "base/clock.h"
#include "base/fd.h"
#include "base/quiet.h"
#include "op/op.h"

/* 256 entries: a system call for so many costs each of them next to nothing. 1,024 completions: as
 * many as four such submissions give that are done in the same turn. A ring takes 58 KiB of kernel
 * memory and 29 us to make; with 4,096 it would be 143 KiB and 270 us. */
#define RING_SHAPE                                                      \
    {                                                                   \
        .entries = 256, .completions = 1024, .no_sigpipe = RWF_NOSIGNAL \
    }

#ifdef CONC_TEST_HOOKS
struct ring_shape conc__ring_shape = RING_SHAPE;
#else
const struct ring_shape conc__ring_shape = RING_SHAPE;
#endif

/* How many threads the kernel may start, as it needs them, for operations that can only block: on
 * files; and for anything else, where the kernel's own limit would be the number of processes that
 * the user may have. */
enum { FILE_WORKERS = 32, OTHER_WORKERS = 64 };

/* How long to wait before the next request to a kernel that has no memory for it. */
#define SHORT_OF_MEMORY CONC_MS(1)

static const unsigned needed_features =
    IORING_FEAT_NODROP | IORING_FEAT_EXT_ARG | IORING_FEAT_FAST_POLL | IORING_FEAT_RW_CUR_POS;

static const uint8_t needed_codes[] = {
    IORING_OP_NOP,     IORING_OP_READ,    IORING_OP_WRITE,    IORING_OP_RECV,
    IORING_OP_SEND,    IORING_OP_RECVMSG, IORING_OP_SENDMSG,  IORING_OP_ACCEPT,
    IORING_OP_CONNECT, IORING_OP_FSYNC,   IORING_OP_POLL_ADD, IORING_OP_ASYNC_CANCEL,
};

/* ---- Making and freeing ---- */

/* The kernel has closed it on exec already. */
static int ring_own_fd(struct ring *ring)
{
    int fd = ring->uring.ring_fd;
    int own = fd < FD_OWN_MIN ? fcntl(fd, F_DUPFD_CLOEXEC, FD_OWN_MIN) : fd;
    if (own < 0) {
        int err = -errno;
        io_uring_queue_exit(&ring->uring);
        return err;
    }
    if (own != fd)
        close(fd);
    ring->uring.ring_fd = ring->uring.enter_ring_fd = own;
    return 0;
}

static int ring_try(struct ring *ring, unsigned flags)
{
    struct io_uring_params params = {
        .flags = flags | IORING_SETUP_CLAMP | IORING_SETUP_CQSIZE,
        .cq_entries = conc__ring_shape.completions,
    };
    int err = io_uring_queue_init_params(conc__ring_shape.entries, &ring->uring, &params);
    return err ? err : ring_own_fd(ring);
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

/* Are all three system calls of io_uring allowed, and do they do what is needed? */
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

/* liburing maps rings by system calls of its own, which ThreadSanitizer does not see. So we have to
 * tell it that a thread which gets an address that another thread's ring had comes after the end of
 * that ring. */
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
    io_uring_register_iowq_max_workers(&ring->uring, workers); /* fails: the kernel's own limits */
    ring->no_sigpipe = conc__ring_shape.no_sigpipe;
    ring->overflows = 0;
    ring->has_writes = false;
    return 0;
}

void conc__ring_fini(struct ring *ring)
{
    TSAN_RELEASE(&maps);
    io_uring_queue_exit(&ring->uring);
}

void conc__ring_forget(struct ring *ring) { close(ring->uring.ring_fd); }

/* ---- Entering the kernel ---- */

/* The completions are lost, or the ring is not ours. There is no way to go on, as operations would
 * never end. */
static void ring_die(int err) __attribute__((noreturn));
static void ring_die(int err)
{
    conc__report("libconc: io_uring_enter: %s\n", conc_strerror(err));
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

static int ring_call(struct ring *ring, conc_deadline until, int64_t left)
{
    return left > 0 ? ring_wait_for_one(ring, until, left) : ring_exchange(ring);
}

/* The kernel first tries a write in the calling thread. If that goes beyond the limit of a file's
 * size it raises SIGXFSZ there. */
static int ring_call_quietly(struct ring *ring, conc_deadline until, int64_t left)
{
    struct quiet quiet;
    const bool limited = conc__file_size_is_limited();
    if (limited)
        conc__quiet_begin(&quiet);
    int err = ring_call(ring, until, left);
    if (limited)
        conc__quiet_end(&quiet, true);
    ring->has_writes = io_uring_sq_ready(&ring->uring); /* they may have been refused */
    return err;
}

void conc__ring_enter(struct ring *ring, conc_deadline until)
{
    struct io_uring *uring = &ring->uring;
    if (load_relaxed(uring->sq.kflags) & IORING_SQ_CQ_OVERFLOW) /* relaxed: our own thread set it */
        ring->overflows++;
    int64_t left = io_uring_cq_ready(uring) ? 0 : conc_remaining(until);
    int err =
        ring->has_writes ? ring_call_quietly(ring, until, left) : ring_call(ring, until, left);
    if (err >= 0 || err == -ETIME || err == -EINTR)
        return;
    if (err != -EAGAIN && err != -EBUSY && err != -ENOMEM)
        ring_die(err);
    /* The entries stay in the queue. If the kernel refused them until completions are taken, those
     * are there now. */
    if (left > 0 && !io_uring_cq_ready(uring))
        nanosleep(&(struct timespec){.tv_nsec = SHORT_OF_MEMORY}, NULL);
}
