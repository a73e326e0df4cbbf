/* SPDX-License-Identifier: MIT
 *
 * kind.h: what kind a descriptor is, and how each op on it is carried out: the one table of that.
 * See kind.c.
 */
#ifndef CONC_LIB_OP_KIND_H
#define CONC_LIB_OP_KIND_H

#include <stdint.h>

#include "op/op.h"

enum fd_kind {
    FD_UNASKED,   /* the op is of a kind for which it makes no difference */
    FD_SOCKET,    /* any socket */
    FD_PIPE,      /* a pipe, a FIFO */
    FD_FILE,      /* of a file system on this machine, which answers by itself; a block device */
    FD_SLOW_FILE, /* of any other: FUSE, NFS, sysfs, procfs ...; or the file system is not known */
    FD_DEVICE,    /* what else there is: terminals, /dev/null, eventfd, inotify, pidfd ... */
    FD_KINDS,
};

/* Who has the op carried out. */
enum op_carrier { BY_URING, BY_EPOLL, BY_CALLER };

enum op_way {
    WAY_CALL,  /* a system call of the calling thread's: it does not wait for anything outside */
    WAY_ENTRY, /* an entry of io_uring: the kernel waits */
    WAY_READY, /* attempts that do not wait, and between them a wait until the descriptor is ready.
                  An attempt may find that only a call that waits can do it: op->by_thread */
    WAY_FILES, /* a thread, of few: it ends by itself */
    WAY_WAITS, /* a thread, of any number: what it waits for may never come */
};

/* Ask the op's descriptor what it is: sets op->kind. READ and WRITE on a socket become RECV and
 * SEND. 0, or an error of the descriptor. Never waits. */
int conc__op_ask(struct op *op);

/* How it is carried out, after conc__op_ask(). */
enum op_way conc__op_way(const struct op *op, enum op_carrier carrier);

/* Find out of what file system the descriptor's file is, for conc__op_ask(), which may not wait for
 * the answer. It may wait. */
void conc__kind_learn(int fd);

#endif
