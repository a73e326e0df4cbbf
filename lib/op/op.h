/* SPDX-License-Identifier: MIT
 *
 * op.h: an operation that takes a while: reading, writing, accepting ..., or a call that blocks. It
 * is described by a struct that lies on the caller's stack, and carried out in one of three ways: by
 * the backend of the caller's driver (driver.h), by the caller itself if it has none (perform and
 * poll), or by a thread of the driver's that may block (offload.c).
 *
 * From its start until `complete` is called the struct, and the memory it names, belong to whoever
 * carries it out; from then on never again. A cancel only asks for an early end.
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

struct conc_future;
struct driver;
struct op_waiter;

/* The flag of a write that is to raise no SIGPIPE. Linux 6.18; not yet in the C library's headers. */
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
    OP_ACCEPT, /* fd, addr and addr_size (both may be NULL), flags: accept4's; result: a descriptor */
    OP_CONNECT, /* fd, addr, size: of the address */
    OP_OPEN,    /* path, flags, mode; result: a descriptor */
    OP_FSYNC,   /* fd, flags: nonzero for fdatasync */
    OP_STAT,    /* fd (AT_FDCWD), path ("" with AT_EMPTY_PATH), flags: fstatat's, stat */
    OP_CALL,    /* call(arg), which may block, in one of the driver's threads for that */
    OP_CODES,
};

struct op {
    enum op_code code;
    int fd;
    int flags;
    mode_t mode;

    /* What the codes need beside: none needs two of the same union. */
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

    /* The outcome: what the system call returned, or a negative error. -ECANCELED: cancelled with no
     * effect. Set before `complete` is called. */
    ssize_t result;

    /* Called once, in the driver's thread, perhaps before the start has returned. The op may be gone
     * when it returns. */
    void (*complete)(struct op *op);

    /* Of whoever carries it out. */
    struct driver *driver;
    struct op_waiter *waiter; /* op.c's: who waits for its end */
    int64_t moved;            /* bytes, of what takes several steps */
    uint32_t step;            /* perform.c's: of what takes several steps; 0 at first */

    /* One of the two backends', from its start to its end, also while a thread does it: that is how
     * a cancel finds out. */
    union {
        uint32_t slot;  /* uring: its index + 1; 0: none, a thread does it */
        uint32_t state; /* epoll: see epoll.c */
    };

    /* A backend lists it while it waits there; offload.c posts it, when it is in no list any more. */
    union {
        struct list_node node; /* zero whenever it is in no list, before its start too */
        struct item item;      /* in the driver's inbox, once a thread has done it; then zero */
    };
    struct conc_future *job; /* offload.c's: the thread's; holds a reference */
};

_Static_assert(sizeof(struct op) <= 112, "it lies on the stack of every call that may wait");

/* One attempt, by system calls of the caller's thread. With `wait` false it never blocks on what has
 * readiness (pipes, sockets, terminals ...), nor to read or write a file: -EAGAIN. The other ops on
 * files, and OP_CALL, may block all the same. Returns the result. */
ssize_t conc__perform(struct op *op, bool wait);

/* The events of poll(2) after which another attempt makes sense; 0: it is of a kind that is never
 * waited for so; or no event tells, after an attempt that gave -EAGAIN (a Unix socket whose peer has
 * no room): then end it so, and conc__op_run() tries again by the clock. */
short conc__op_events(const struct op *op);

/* Can the descriptor be polled for readiness? Regular files and directories can't. */
bool conc__op_is_pollable(const struct op *op);

/* Dispose of a result that nobody wants any more: close a descriptor that came too late. */
void conc__op_discard(struct op *op);

/* Carry the op out for the calling context, whatever its kind, until the deadline or until it is
 * cancelled. `what`: for the registry ("recv"); static. Returns the result; -ETIMEDOUT, -EAGAIN
 * (CONC_NOW: one attempt that doesn't wait), -ECANCELED: then there was no effect. A success that came
 * after all is a success. */
ssize_t conc__op_run(struct op *op, const char *what, conc_deadline deadline);

/* The descriptor is about to be closed: operations on it that this thread's driver has end with
 * -EBADF. */
void conc__op_closing(int fd);

#endif
