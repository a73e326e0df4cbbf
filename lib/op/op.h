/* SPDX-License-Identifier: MIT
 *
 * op.h: an operation that takes a while: reading, writing, accepting ..., or a call that blocks. A
 * struct on the caller's stack describes it. It is carried out by the backend of the caller's
 * driver (driver.h), by the caller itself if it has no driver (perform and poll), or by a thread
 * that may block (offload.c): kind.c has the table of that.
 *
 * From its start until `complete` is called, the struct and the memory that it names belong to what
 * carries the op out; from then on never again. A cancel only asks for an early end.
 */
#ifndef CONC_LIB_OP_OP_H
#define CONC_LIB_OP_OP_H

#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/uio.h>

#include <conc/base.h>

#include "base/list.h"
#include "op/item.h"

struct driver;
struct closing;
struct offload_worker;
struct op_waiter;

/* The flag of a write that is to raise no SIGPIPE. Linux 6.18; not yet in the C library's
 * headers. */
#ifndef RWF_NOSIGNAL
#define RWF_NOSIGNAL 0x100
#endif

enum op_code {
    OP_POLL,    /* fd, flags: the events (POLLIN ...); result: those that are there */
    OP_READ,    /* fd, buf, size: at the file's position */
    OP_WRITE,   /* the same */
    OP_PREAD,   /* fd, buf, size, offset */
    OP_PWRITE,  /* the same */
    OP_RECV,    /* fd, buf, size, flags */
    OP_SEND,    /* the same; never a SIGPIPE */
    OP_RECVMSG, /* fd, msg, flags */
    OP_SENDMSG, /* the same */

    /* fd, addr and addr_size (both may be NULL), flags: accept4's; result: a descriptor */
    OP_ACCEPT,

    OP_CONNECT, /* fd, addr, size: of the address */
    OP_OPEN,    /* path, flags, mode; result: a descriptor */
    OP_FSYNC,   /* fd, flags: nonzero for fdatasync */
    OP_STAT,    /* fd (AT_FDCWD), path ("" with AT_EMPTY_PATH), flags: fstatat's, stat */
    OP_CALL,    /* call(arg), which may block; the caller's thread makes it if it has no driver */
    OP_CODES,
};

struct op {
    uint8_t code; /* enum op_code */

    /* For what carries the op out: */
    uint8_t kind;       /* kind.c's: enum fd_kind */
    uint8_t step;       /* perform.c's: the step, if it takes several; 0 at first */
    bool by_thread : 1; /* perform.c's: only a call that waits can do it */
    bool hurried : 1;   /* its caller is out of time: it has one attempt */
    bool firm : 1;      /* it is not cancelled */

    int fd;
    int flags;
    mode_t mode;

    /* What the codes need beside. No code needs two of the same union. */
    union {
        void *buf;
        struct sockaddr *addr;
        const char *path;
        struct msghdr *msg;
        ssize_t (*call)(void *arg); /* gives the result */
    };
    union {
        size_t size;
        socklen_t *addr_size;
        struct stat *stat;
        void *arg;
    };
    off_t offset;

    /* The outcome: what the system call returned, or a negative error. -ECANCELED: cancelled with
     * no effect. Set before `complete` is called. */
    ssize_t result;

    /* Called once, in the driver's thread, perhaps before the start has returned. When it returns,
     * the op may not exist any more. */
    void (*complete)(struct op *op);

    /* For what carries the op out. */
    struct driver *driver;    /* NULL: none, its caller is a thread */
    struct op_waiter *waiter; /* op.c's: the call that waits for its end */
    struct closing *closing;  /* its descriptor is being closed, and waits for its end; or NULL */
    int64_t moved;            /* bytes that the steps have moved, if it takes several */

    /* offload.c's, which says how they are shared. */
    uint8_t phase;
    bool waits;       /* it is in the pool for what may wait without bound */
    bool interrupted; /* atomic */

    /* For the backend, from the op's start to its end. It is kept while a thread carries the op
     * out: by it a cancel finds out whether one does. */
    union {
        uint32_t slot;  /* uring: its index + 1; 0: it has none, a thread carries it out */
        uint32_t state; /* epoll: see epoll.c */
    };

    /* A backend lists the op while it waits there. offload.c posts it, when it is in no list. */
    union {
        struct list_node node; /* zero whenever it is in no list, before its start too */
        struct item item;      /* in the driver's inbox after a thread has done it; then zero */
    };
    struct offload_worker *worker; /* offload.c's: that has it */
    struct list_node offloaded;    /* in its driver's list while a thread carries it out */
};

_Static_assert(sizeof(struct op) <= 136, "it lies on the stack of every call that may wait");

/* Make one attempt, by system calls of the caller's thread. Returns the result. With `wait` false
 * it never blocks, but returns -EAGAIN; if it does not know how, it sets op->by_thread too. That is
 * for ops whose way is WAY_READY, and for an OP_PREAD on a file. With `wait` true it repeats what a
 * signal has ended, but not after op->interrupted. */
ssize_t conc__perform(struct op *op, bool wait);

/* Another attempt, after an event. If the event is there, and yet the attempt would have to wait (a
 * datagram socket that was shut down), a thread is to make the call: op->by_thread. */
ssize_t conc__perform_when_ready(struct op *op);

/* The events of poll(2) after which another attempt makes sense. 0: the op is of a kind for which
 * there are none; or an attempt gave -EAGAIN for a reason that no event reports the end of (a Unix
 * socket whose peer has no room). Then end the op with -EAGAIN: conc__op_run() tries again after a
 * pause. */
short conc__op_events(const struct op *op);

/* Is it there now, after which another attempt makes sense? */
bool conc__op_is_ready(const struct op *op);

/* The descriptor that it names; -1: none. */
static inline int op_fd(const struct op *op)
{
    return op->code == OP_OPEN || op->code == OP_CALL ? -1 : op->fd;
}

/* Dispose of a result that the caller does not want any more: close a descriptor that came too
 * late. */
void conc__op_discard(struct op *op);

/* Carry the op out for the calling context, until the deadline or until it is cancelled. `what` is
 * for the registry ("recv"), and static. Returns the result, or -ETIMEDOUT, -EAGAIN (CONC_NOW: one
 * attempt that does not wait) or -ECANCELED: then there was no effect. If the op succeeds although
 * it was cancelled or out of time, the call succeeds. */
ssize_t conc__op_run(struct op *op, const char *what, conc_deadline deadline);

/* The same for an OP_CALL, to its end: no deadline, and no cancellation point. */
ssize_t conc__op_run_firmly(struct op *op, const char *what);

#endif
