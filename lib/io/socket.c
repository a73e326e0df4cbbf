/* SPDX-License-Identifier: MIT
 *
 * socket.c: sockets: the system's calls as ops, one by one (see file.c).
 *
 * Modes: a socket is in blocking mode, because on an O_NONBLOCK one io_uring completes what would
 * block with -EAGAIN instead of waiting. A listener is O_NONBLOCK: between the report of a
 * connection and its accept another process may take the connection. In neither mode does a call
 * here block a thread: conc__perform() asks the system not to wait, call by call.
 *
 * Flags: the backends wait in different ways, and some flags mean something else in each of them.
 * So MSG_DONTWAIT becomes the deadline CONC_NOW; MSG_WAITALL is dropped, because only io_uring
 * would honour it; and MSG_ERRQUEUE is read without waiting, because no wait for reading reports
 * its data.
 *
 * recvfrom and sendto are recvmsg and sendmsg, as in the kernel.
 */
#include <conc/net.h>

#include <stdint.h>
#include <unistd.h>

#include "base/clock.h"
#include "io/transfer.h"
#include "op/op.h"

/* ---- Making sockets ---- */

int conc_socket(int domain, int type, int protocol)
{
    int fd = socket(domain, type | SOCK_CLOEXEC, protocol);
    return fd >= 0 ? fd : -errno;
}

int conc_bind(int fd, const struct sockaddr *addr, socklen_t size)
{
    if (!addr)
        return -EINVAL;
    return bind(fd, addr, size) == 0 ? 0 : -errno;
}

int conc_listen(int fd, int backlog)
{
    if (backlog < 0)
        return -EINVAL;
    int flags = fcntl(fd, F_GETFL);
    if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0)
        return -errno;
    /* The system cuts it down to net.core.somaxconn. */
    return listen(fd, backlog ? backlog : INT32_MAX) == 0 ? 0 : -errno;
}

int conc_shutdown(int fd, int how) { return shutdown(fd, how) == 0 ? 0 : -errno; }

/* ---- Connections ---- */

/* Does this error belong to one connection, and not to the listener? accept(2) returns an error
 * that a connection had before it was accepted. */
static bool socket_connection_is_lost(ssize_t err)
{
    switch (err) {
    case -ECONNABORTED:
    case -EPROTO:
    case -ENOPROTOOPT:
    case -ENETDOWN:
    case -ENETUNREACH:
    case -EHOSTDOWN:
    case -EHOSTUNREACH:
    case -ENONET:
        return true;
    default:
        return false;
    }
}

int conc_accept(int fd, struct sockaddr *addr, socklen_t *size, conc_deadline deadline)
{
    if (!addr != !size)
        return -EINVAL;
    ssize_t accepted;
    do {
        struct op op = {.code = OP_ACCEPT,
                        .fd = fd,
                        .flags = SOCK_CLOEXEC,
                        .addr = addr,
                        .addr_size = size}; /* the system leaves it unchanged if it fails */
        accepted = conc__op_run(&op, "accept", deadline);
    } while (socket_connection_is_lost(accepted));
    return (int)accepted;
}

int conc_connect(int fd, const struct sockaddr *addr, socklen_t size, conc_deadline deadline)
{
    if (!addr)
        return -EINVAL;
    struct op op = {.code = OP_CONNECT, .fd = fd, .addr = transfer_unconst(addr), .size = size};
    return (int)conc__op_run(&op, "connect", deadline);
}

/* ---- Data ---- */

static conc_deadline socket_deadline(int flags, conc_deadline deadline)
{
    return flags & (MSG_DONTWAIT | MSG_ERRQUEUE) ? CONC_NOW : deadline;
}

static int socket_flags(int flags) { return flags & ~(MSG_DONTWAIT | MSG_WAITALL); }

ssize_t conc_recv(int fd, void *buf, size_t n, int flags, conc_deadline deadline)
{
    if (transfer_is_missing(buf, n) && !(flags & MSG_TRUNC)) /* of TCP that throws away */
        return -EINVAL;
    struct op op = {.code = OP_RECV,
                    .fd = fd,
                    .buf = buf,
                    .size = transfer_bounded(n),
                    .flags = socket_flags(flags)};
    return conc__op_run(&op, "recv", socket_deadline(flags, deadline));
}

ssize_t conc_send(int fd, const void *buf, size_t n, int flags, conc_deadline deadline)
{
    if (transfer_is_missing(buf, n))
        return -EINVAL;
    struct op op = {.code = OP_SEND,
                    .fd = fd,
                    .buf = transfer_unconst(buf),
                    .size = transfer_bounded(n),
                    .flags = socket_flags(flags)};
    return conc__op_run(&op, "send", socket_deadline(flags, deadline));
}

int conc_sendall(int fd, const void *buf, size_t n, int flags, conc_deadline deadline)
{
    const char *from = buf;
    for (;;) { /* once even if n is 0: that may be a datagram */
        ssize_t sent = conc_send(fd, from, n, flags, deadline);
        if (sent < 0)
            return (int)sent;
        n -= (size_t)sent;
        if (n == 0)
            return 0;
        if (sent == 0)
            return -EIO; /* otherwise the loop would never end */
        from += sent;
    }
}

ssize_t conc_recvmsg(int fd, struct msghdr *msg, int flags, conc_deadline deadline)
{
    if (!msg)
        return -EINVAL;
    struct op op = {
        .code = OP_RECVMSG, .fd = fd, .msg = msg, .flags = socket_flags(flags) | MSG_CMSG_CLOEXEC};
    return conc__op_run(&op, "recvmsg", socket_deadline(flags, deadline));
}

ssize_t conc_sendmsg(int fd, const struct msghdr *msg, int flags, conc_deadline deadline)
{
    if (!msg)
        return -EINVAL;
    struct op op = {
        .code = OP_SENDMSG, .fd = fd, .msg = transfer_unconst(msg), .flags = socket_flags(flags)};
    return conc__op_run(&op, "sendmsg", socket_deadline(flags, deadline));
}

ssize_t conc_recvfrom(int fd, void *buf, size_t n, int flags, struct sockaddr *addr,
                      socklen_t *size, conc_deadline deadline)
{
    if (!addr != !size || transfer_is_missing(buf, n))
        return -EINVAL;
    struct iovec room = {.iov_base = buf, .iov_len = transfer_bounded(n)};
    struct msghdr msg = {
        .msg_iov = &room, .msg_iovlen = 1, .msg_name = addr, .msg_namelen = size ? *size : 0};
    ssize_t received = conc_recvmsg(fd, &msg, flags, deadline);
    if (received >= 0 && size)
        *size = msg.msg_namelen;
    return received;
}

ssize_t conc_sendto(int fd, const void *buf, size_t n, int flags, const struct sockaddr *addr,
                    socklen_t size, conc_deadline deadline)
{
    if (transfer_is_missing(buf, n))
        return -EINVAL;
    struct iovec from = {.iov_base = transfer_unconst(buf), .iov_len = transfer_bounded(n)};
    struct msghdr msg = {.msg_iov = &from,
                         .msg_iovlen = 1,
                         .msg_name = transfer_unconst(addr),
                         .msg_namelen = addr ? size : 0};
    return conc_sendmsg(fd, &msg, flags, deadline);
}
