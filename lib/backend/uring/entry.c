/* SPDX-License-Identifier: MIT
 *
 * entry.c: see entry.h.
 *
 * SIGPIPE: when a WRITE finds that there is no reader, io_uring raises the signal as write(2) does,
 * in the thread that submits. Linux 6.18 has RWF_NOSIGNAL against that. Before, a write to a
 * descriptor that can be polled is carried out by system calls, around which the signal can be held
 * back. The first write finds out whether the kernel knows the flag. (Sends have MSG_NOSIGNAL; and
 * a worker thread of the kernel cannot be sent a signal.)
 */
#include "backend/uring/entry.h"

#include <poll.h>

/* In bytes: the most that read(2) and its kind transfer in one call. The length in an entry has 32
 * bits. */
#define ENTRY_BYTES_MAX 0x7ffff000

enum op_way conc__entry_way(const struct ring *ring, const struct op *op)
{
    enum op_way way = conc__op_way(op, BY_URING);
    return way == WAY_ENTRY && op->code == OP_WRITE && !ring->no_sigpipe ? WAY_READY : way;
}

static unsigned entry_length(const struct op *op)
{
    return op->size < ENTRY_BYTES_MAX ? (unsigned)op->size : ENTRY_BYTES_MAX;
}

/* -1: at the position of the file. Other negative offsets are refused, as pread(2) does; so the
 * kernel must also refuse an offset of -1 that the program gave. */
static uint64_t entry_offset(const struct op *op)
{
    const off_t at_position = -1, refused = -2;
    if (op->code == OP_READ || op->code == OP_WRITE)
        return (uint64_t)at_position;
    return (uint64_t)(op->offset == -1 ? refused : op->offset);
}

static void entry_prepare_transfer(struct io_uring_sqe *sqe, struct ring *ring, const struct op *op)
{
    if (op->code == OP_READ || op->code == OP_PREAD)
        io_uring_prep_read(sqe, op->fd, op->buf, entry_length(op), entry_offset(op));
    else
        io_uring_prep_write(sqe, op->fd, op->buf, entry_length(op), entry_offset(op));
    ring->has_writes |= op->code == OP_WRITE || op->code == OP_PWRITE;
    if (op->code == OP_WRITE)
        sqe->rw_flags = ring->no_sigpipe;
}

void conc__entry_prepare(struct io_uring_sqe *sqe, struct ring *ring, const struct op *op)
{
    switch (op->code) {
    case OP_POLL:
        conc__entry_prepare_wait(sqe, op);
        break;
    case OP_RECV:
        io_uring_prep_recv(sqe, op->fd, op->buf, entry_length(op), op->flags);
        break;
    case OP_SEND:
        io_uring_prep_send(sqe, op->fd, op->buf, entry_length(op), op->flags | MSG_NOSIGNAL);
        break;
    case OP_RECVMSG:
        io_uring_prep_recvmsg(sqe, op->fd, op->msg, (unsigned)op->flags);
        break;
    case OP_SENDMSG:
        io_uring_prep_sendmsg(sqe, op->fd, op->msg, (unsigned)op->flags | MSG_NOSIGNAL);
        break;
    case OP_ACCEPT:
        io_uring_prep_accept(sqe, op->fd, op->addr, op->addr_size, op->flags);
        break;
    case OP_CONNECT:
        io_uring_prep_connect(sqe, op->fd, op->addr, (socklen_t)op->size);
        break;
    case OP_FSYNC:
        io_uring_prep_fsync(sqe, op->fd, op->flags ? IORING_FSYNC_DATASYNC : 0);
        break;
    default:
        entry_prepare_transfer(sqe, ring, op);
    }
}

void conc__entry_prepare_wait(struct io_uring_sqe *sqe, const struct op *op)
{
    io_uring_prep_poll_add(sqe, op->fd, (unsigned short)conc__op_events(op));
}
