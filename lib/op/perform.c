/* SPDX-License-Identifier: MIT
 *
 * perform.c: one attempt at an op, by system calls. The epoll backend, plain threads and the
 * threads for files all use it.
 *
 * An attempt that is not to wait must not wait, whatever mode the descriptor is in, and must not
 * change that mode, because others may have the same open file.
 *
 * - Sockets: MSG_DONTWAIT. accept(2) has no such flag: if a listener is not in non-blocking mode a
 *   thread makes the call, because another process may take the connection first.
 * - Pipes and devices: preadv2(2) with RWF_NOWAIT. Some devices (terminals) do not know that flag:
 *   a thread makes the call when they are ready.
 * - Files at an offset: what is in memory is read immediately; for everything else -EAGAIN says
 *   that a thread has to wait for it.
 * - connect(2): the descriptor is put in non-blocking mode around the call. No other thread uses a
 *   socket that is not connected.
 *
 * Signals: a write to a pipe without a reader, or beyond the limit of a file's size, is an error
 * here, and does not end the program. Sockets have MSG_NOSIGNAL. Linux 6.18 has RWF_NOSIGNAL for
 * all files, against SIGPIPE; that is tried where no limit is set, until a call fails with it and
 * does not fail without it. Otherwise the signals are held back in the thread around the write
 * (base/quiet.h).
 *
 * Several steps: op->step remembers that a connect has begun, op->moved how many bytes MSG_WAITALL
 * has received.
 *
 * No event to wait for: when the peer of a Unix socket has no room for a connection or a datagram,
 * the sender's descriptor looks writable all the same. Then conc__op_events() is 0 after the
 * attempt, and the next attempt is made after a pause.
 */
#include <fcntl.h>
#include <poll.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/atomic.h"
#include "base/quiet.h"
#include "op/op.h"

/* op->step */
enum { STEP_UNBEGUN, STEP_CONNECTING, STEP_NO_EVENT };

/* A file system may fail with any error. -ECANCELED is not for it to say: that means that the
 * caller was cancelled. */
static int error_of(int number) { return number == ECANCELED ? -EIO : -number; }

static ssize_t outcome_of(ssize_t result) { return result < 0 ? error_of(errno) : result; }

static bool outcome_is_unknown(ssize_t result)
{
    return result == -EOPNOTSUPP || result == -ENOSYS;
}

static bool fd_is_ready(int fd, short events)
{
    struct pollfd p = {.fd = fd, .events = events};
    return poll(&p, 1, 0) != 0; /* also after an error: the call that follows reports it */
}

/* ---- Reading and writing ---- */

static ssize_t transfer_plainly(const struct op *op)
{
    return outcome_of(op->code == OP_READ ? read(op->fd, op->buf, op->size)
                                          : write(op->fd, op->buf, op->size));
}

static ssize_t transfer_with(const struct op *op, int flags)
{
    struct iovec all = {.iov_base = op->buf, .iov_len = op->size};
    if (op->code == OP_PREAD)
        return outcome_of(preadv2(op->fd, &all, 1, op->offset, flags));
    return outcome_of(op->code == OP_READ ? preadv2(op->fd, &all, 1, -1, flags)
                                          : pwritev2(op->fd, &all, 1, -1, flags));
}

/* The kind of file knows no RWF_NOWAIT. (Or it gives that error for another reason: then a plain
 * call will give it too.) */
static ssize_t attempt_needs_thread(struct op *op)
{
    op->by_thread = true;
    return -EAGAIN;
}

static ssize_t attempt_read(struct op *op, bool wait)
{
    if (wait)
        return transfer_plainly(op);
    ssize_t result = transfer_with(op, RWF_NOWAIT);
    return outcome_is_unknown(result) ? attempt_needs_thread(op) : result;
}

/* The kernel does not know RWF_NOSIGNAL. Relaxed: only a hint. */
static uint32_t kernel_lacks_nosignal;

/* A write that is cut short because the last reader has gone raises the signal too. */
static bool transfer_may_have_raised(const struct op *op, ssize_t result)
{
    return result == -EPIPE || result == -EFBIG || (result >= 0 && (size_t)result < op->size);
}

static ssize_t attempt_write_quietly(struct op *op, bool wait, bool flag_was_refused)
{
    struct quiet quiet;
    conc__quiet_begin(&quiet);
    ssize_t result = wait ? transfer_plainly(op) : transfer_with(op, RWF_NOWAIT);
    conc__quiet_end(&quiet, transfer_may_have_raised(op, result));
    if (wait)
        return result;
    if (outcome_is_unknown(result))
        return attempt_needs_thread(op);
    if (flag_was_refused)
        store_relaxed(&kernel_lacks_nosignal, 1);
    return result;
}

static ssize_t attempt_write(struct op *op, bool wait)
{
    if (wait || load_relaxed(&kernel_lacks_nosignal) || conc__file_size_is_limited())
        return attempt_write_quietly(op, wait, false);
    ssize_t result = transfer_with(op, RWF_NOWAIT | RWF_NOSIGNAL);
    return outcome_is_unknown(result) ? attempt_write_quietly(op, wait, true) : result;
}

static ssize_t attempt_pread(const struct op *op, bool wait)
{
    if (wait || op->offset < 0) /* -1 would mean the file's position to preadv2() */
        return outcome_of(pread(op->fd, op->buf, op->size, op->offset));
    ssize_t result = transfer_with(op, RWF_NOWAIT);
    /* Less than wanted: perhaps only that much is in memory. Then a thread reads it all. */
    bool is_short = result > 0 && (size_t)result < op->size;
    return is_short || outcome_is_unknown(result) ? -EAGAIN : result;
}

static ssize_t attempt_pwrite(const struct op *op, bool wait)
{
    return wait ? conc__quiet_pwrite(op->fd, op->buf, op->size, op->offset) : -EAGAIN;
}

/* ---- Sockets ---- */

static bool socket_is_stream(int fd)
{
    int type;
    socklen_t size = sizeof type;
    return getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size) == 0 && type == SOCK_STREAM;
}

/* MSG_WAITALL: what one call has received is kept, and the next call goes on behind it. */
static ssize_t socket_receive_all(struct op *op, int flags)
{
    for (;;) {
        size_t moved = (size_t)op->moved;
        ssize_t n = outcome_of(recv(op->fd, (char *)op->buf + moved, op->size - moved, flags));
        if (n == -EAGAIN || n == -EINTR)
            return n;
        if (n <= 0)
            return moved ? (ssize_t)moved : n;
        op->moved += n;
        if ((size_t)op->moved == op->size || !socket_is_stream(op->fd))
            return op->moved;
    }
}

static ssize_t attempt_recv(struct op *op, int dont_wait)
{
    bool all = (op->flags & MSG_WAITALL) && !(op->flags & MSG_PEEK);
    if (all)
        return socket_receive_all(op, (op->flags & ~MSG_WAITALL) | dont_wait);
    return outcome_of(recv(op->fd, op->buf, op->size, op->flags | dont_wait));
}

static ssize_t attempt_sendmsg(struct op *op, int dont_wait)
{
    ssize_t result = outcome_of(sendmsg(op->fd, op->msg, op->flags | MSG_NOSIGNAL | dont_wait));
    bool in_vain = result == -EAGAIN && op->msg->msg_name && fd_is_ready(op->fd, POLLOUT);
    op->step = in_vain ? STEP_NO_EVENT : STEP_UNBEGUN;
    return result;
}

static bool socket_listens(int fd)
{
    int listens = 0;
    socklen_t size = sizeof listens;
    return getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &size) == 0 && listens;
}

/* A Unix socket that was shut down still calls itself a listener, and in non-blocking mode
 * accept4(2) would for ever say that there is no connection yet. */
static bool listener_was_shut_down(int fd)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};
    return poll(&p, 1, 0) == 1 && (p.revents & POLLHUP);
}

/* accept4(2) has no flag against waiting. On what does not listen it fails at once. */
static ssize_t attempt_accept(struct op *op, bool wait)
{
    bool may_wait = !wait && !(fcntl(op->fd, F_GETFL) & O_NONBLOCK) && socket_listens(op->fd);
    if (may_wait)
        return attempt_needs_thread(op);
    ssize_t result = outcome_of(accept4(op->fd, op->addr, op->addr_size, op->flags));
    return result == -EAGAIN && listener_was_shut_down(op->fd) ? -EINVAL : result;
}

static ssize_t connect_begin(struct op *op, bool wait)
{
    int mode = fcntl(op->fd, F_GETFL);
    bool change = !wait && mode >= 0 && !(mode & O_NONBLOCK);
    if (change)
        fcntl(op->fd, F_SETFL, mode | O_NONBLOCK);
    ssize_t result = outcome_of(connect(op->fd, op->addr, (socklen_t)op->size));
    if (change)
        fcntl(op->fd, F_SETFL, mode);
    return result;
}

static ssize_t connect_finish(const struct op *op)
{
    int err;
    socklen_t size = sizeof err;
    if (!fd_is_ready(op->fd, POLLOUT))
        return -EAGAIN;
    return error_of(getsockopt(op->fd, SOL_SOCKET, SO_ERROR, &err, &size) < 0 ? errno : err);
}

static ssize_t attempt_connect(struct op *op, bool wait)
{
    if (op->step == STEP_CONNECTING)
        return connect_finish(op);
    ssize_t result = connect_begin(op, wait);
    op->step =
        result == -EAGAIN ? STEP_NO_EVENT : STEP_UNBEGUN; /* a Unix socket whose backlog is full */
    if (result != -EINPROGRESS && result != -EALREADY)
        return result;
    op->step = STEP_CONNECTING;
    return connect_finish(op); /* to this machine, a connection is often there immediately */
}

/* ---- The rest ---- */

static ssize_t attempt_poll(const struct op *op, bool wait)
{
    struct pollfd p = {.fd = op->fd, .events = (short)op->flags};
    if (op->fd < 0)
        return -EBADF;
    int n = poll(&p, 1, wait ? -1 : 0);
    if (n <= 0)
        return n < 0 ? error_of(errno) : -EAGAIN;
    return p.revents & POLLNVAL ? -EBADF : p.revents;
}

static ssize_t attempt_code(struct op *op, bool wait)
{
    const int dont_wait = wait ? 0 : MSG_DONTWAIT;
    switch (op->code) {
    case OP_POLL:
        return attempt_poll(op, wait);
    case OP_READ:
        return attempt_read(op, wait);
    case OP_WRITE:
        return attempt_write(op, wait);
    case OP_PREAD:
        return attempt_pread(op, wait);
    case OP_PWRITE:
        return attempt_pwrite(op, wait);
    case OP_RECV:
        return attempt_recv(op, dont_wait);
    case OP_SEND:
        return outcome_of(send(op->fd, op->buf, op->size, op->flags | MSG_NOSIGNAL | dont_wait));
    case OP_RECVMSG:
        return outcome_of(recvmsg(op->fd, op->msg, op->flags | dont_wait));
    case OP_SENDMSG:
        return attempt_sendmsg(op, dont_wait);
    case OP_ACCEPT:
        return attempt_accept(op, wait);
    case OP_CONNECT:
        return attempt_connect(op, wait);
    case OP_OPEN:
        return outcome_of(open(op->path, op->flags, op->mode));
    case OP_FSYNC:
        return outcome_of(op->flags ? fdatasync(op->fd) : fsync(op->fd));
    case OP_STAT:
        return outcome_of(fstatat(op->fd, op->path, op->stat, op->flags));
    default:
        return -EINVAL;
    }
}

ssize_t conc__perform(struct op *op, bool wait)
{
    ssize_t result;
    if (op->code == OP_CALL)
        return op->call(op->arg);
    do
        result = attempt_code(op, wait);
    while (result == -EINTR && !load_relaxed(&op->interrupted)); /* relaxed: only a hint */
    return result;
}

ssize_t conc__perform_when_ready(struct op *op)
{
    if (op->by_thread)
        return -EAGAIN;
    ssize_t result = conc__perform(op, false);
    if (result == -EAGAIN && conc__op_events(op))
        op->by_thread = conc__op_is_ready(op);
    return result;
}

/* ---- What can be waited for ---- */

static short events_of_receive(int flags)
{
    if (flags & MSG_ERRQUEUE)
        return POLLERR;
    return flags & MSG_OOB ? POLLPRI : POLLIN;
}

short conc__op_events(const struct op *op)
{
    switch (op->code) {
    case OP_POLL: /* never 0: these two are always waited for */
        return (short)(op->flags | POLLERR | POLLHUP);
    case OP_READ:
    case OP_ACCEPT:
        return POLLIN;
    case OP_RECV:
    case OP_RECVMSG:
        return events_of_receive(op->flags);
    case OP_WRITE:
    case OP_SEND:
        return POLLOUT;
    case OP_SENDMSG:
    case OP_CONNECT:
        return op->step == STEP_NO_EVENT ? 0 : POLLOUT;
    default:
        return 0;
    }
}

bool conc__op_is_ready(const struct op *op) { return fd_is_ready(op->fd, conc__op_events(op)); }

void conc__op_discard(struct op *op)
{
    if ((op->code == OP_OPEN || op->code == OP_ACCEPT) && op->result >= 0)
        close((int)op->result);
}
