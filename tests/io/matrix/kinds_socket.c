/* SPDX-License-Identifier: MIT
 *
 * kinds_socket.c: sockets, connected and listening.
 */
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "kinds.h"
#include "support.h"

/* ---- Connected ---- */

/* The rig has both ends of a connection, bring them into its state. */
static struct setup connection_prepare(struct rig *r)
{
    set_blocking(r->peer, false);
    switch (r->state) {
    case IS_READY:
        for (unsigned i = 0; r->side == TO_READ && i < r->n; i++)
            rig_supply(r, r->peer);
        if (r->side == TO_READ)
            CHECK(fd_becomes(r->fd, POLLIN));
        break;
    case IS_WAITING:
        if (r->side == TO_WRITE)
            rig_fill(r->fd);
        break;
    case IS_ENDED:
        close(r->peer);
        r->peer = -1;
        break;
    case IS_BROKEN: /* this end was shut down */
        CHECK_EQUAL(shutdown(r->fd, r->side == TO_READ ? SHUT_RD : SHUT_WR), 0);
        break;
    default:
        return NO_SUCH("a socket is for both directions");
    }
    return PREPARED;
}

static void connection_unblock(struct rig *r)
{
    if (r->side == TO_READ)
        rig_supply(r, r->peer);
    else
        rig_make_room(r);
}

static void connection_tell(struct rig *r, char *text)
{
    if (r->side == TO_READ)
        rig_tell_left(r, text);
    else if (r->peer >= 0)
        rig_tell_arrived(r, text);
}

static struct setup pair_prepare(struct rig *r, int type)
{
    int ends[2];
    CHECK_EQUAL(socketpair(AF_UNIX, type | SOCK_CLOEXEC, 0, ends), 0);
    r->fd = ends[0];
    r->peer = ends[1];
    int small = 4608;
    CHECK_EQUAL(setsockopt(r->fd, SOL_SOCKET, SO_SNDBUF, &small, sizeof small), 0);
    return connection_prepare(r);
}

static struct setup socketpair_prepare(struct rig *r) { return pair_prepare(r, SOCK_STREAM); }
static struct setup seqpacket_prepare(struct rig *r) { return pair_prepare(r, SOCK_SEQPACKET); }

const struct kind kind_socketpair = {
    .name = "socketpair",
    .prepare = socketpair_prepare,
    .unblock = connection_unblock,
    .tell = connection_tell,
};

const struct kind kind_unix_seqpacket = {
    .name = "Unix socket, packets in sequence",
    .prepare = seqpacket_prepare,
    .unblock = connection_unblock,
    .tell = connection_tell,
};

/* ---- With an address ---- */

static int socket_listen(const struct sockaddr *addr, socklen_t size, bool blocking)
{
    int fd =
        socket(addr->sa_family, SOCK_STREAM | SOCK_CLOEXEC | (blocking ? 0 : SOCK_NONBLOCK), 0);
    CHECK(fd >= 0);
    CHECK_EQUAL(bind(fd, addr, size), 0);
    CHECK_EQUAL(listen(fd, 16), 0);
    return fd;
}

static struct sockaddr_in ip_address(int fd)
{
    struct sockaddr_in addr = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof addr;
    if (fd >= 0)
        CHECK_EQUAL(getsockname(fd, (struct sockaddr *)&addr, &size), 0);
    return addr;
}

static struct sockaddr_un unix_address(struct rig *r)
{
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    if (!r->path[0])
        rig_name_path(r, rig_folder());
    memcpy(addr.sun_path, r->path, sizeof addr.sun_path - 1);
    return addr;
}

static void unix_release(struct rig *r)
{
    if (r->path[0] == '/' && r->path[1] == 't')
        unlink(r->path);
}

static int tcp_connect_to(int listener)
{
    struct sockaddr_in addr = ip_address(listener);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CHECK(fd >= 0);
    CHECK_EQUAL(connect(fd, (struct sockaddr *)&addr, sizeof addr), 0);
    return fd;
}

/* Small buffers, so that it is soon full. */
static struct setup tcp_prepare(struct rig *r)
{
    struct sockaddr_in addr = ip_address(-1);
    int small = 4096, listener = socket_listen((struct sockaddr *)&addr, sizeof addr, true);
    CHECK_EQUAL(setsockopt(listener, SOL_SOCKET, SO_RCVBUF, &small, sizeof small), 0);
    r->fd = tcp_connect_to(listener);
    CHECK_EQUAL(setsockopt(r->fd, SOL_SOCKET, SO_SNDBUF, &small, sizeof small), 0);
    r->peer = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    CHECK(r->peer >= 0);
    close(listener);
    if (r->state != IS_BROKEN)
        return connection_prepare(r);
    const struct linger reset = {.l_onoff = 1};
    CHECK_EQUAL(setsockopt(r->peer, SOL_SOCKET, SO_LINGER, &reset, sizeof reset), 0);
    close(r->peer);
    r->peer = -1;
    CHECK(fd_becomes(r->fd, POLLIN));
    return PREPARED;
}

const struct kind kind_tcp = {
    .name = "TCP",
    .flags = ARRIVES_LATER,
    .prepare = tcp_prepare,
    .seal = rig_fill_again,
    .unblock = connection_unblock,
    .tell = connection_tell,
};

static struct setup unix_stream_prepare(struct rig *r)
{
    struct sockaddr_un addr = unix_address(r);
    int listener = socket_listen((struct sockaddr *)&addr, sizeof addr, true), small = 4608;
    r->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CHECK_EQUAL(setsockopt(r->fd, SOL_SOCKET, SO_SNDBUF, &small, sizeof small), 0);
    CHECK_EQUAL(connect(r->fd, (struct sockaddr *)&addr, sizeof addr), 0);
    r->peer = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    CHECK(r->peer >= 0);
    close(listener);
    return connection_prepare(r);
}

const struct kind kind_unix_stream = {
    .name = "Unix stream socket",
    .prepare = unix_stream_prepare,
    .unblock = connection_unblock,
    .tell = connection_tell,
    .release = unix_release,
};

static struct setup unix_datagram_prepare(struct rig *r)
{
    struct sockaddr_un addr = unix_address(r);
    r->peer = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    CHECK_EQUAL(bind(r->peer, (struct sockaddr *)&addr, sizeof addr), 0);
    r->fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    CHECK_EQUAL(connect(r->fd, (struct sockaddr *)&addr, sizeof addr), 0);
    if (r->side == TO_READ) { /* the peer needs to know where to */
        struct sockaddr_un back;
        char path[sizeof r->path];
        memcpy(path, r->path, sizeof path);
        unlink(r->path); /* the peer keeps its connection */
        r->path[0] = 0;
        back = unix_address(r);
        CHECK_EQUAL(bind(r->fd, (struct sockaddr *)&back, sizeof back), 0);
        CHECK_EQUAL(connect(r->peer, (struct sockaddr *)&back, sizeof back), 0);
    }
    return connection_prepare(r);
}

const struct kind kind_unix_datagram = {
    .name = "Unix datagram socket",
    .prepare = unix_datagram_prepare,
    .unblock = connection_unblock,
    .tell = connection_tell,
    .release = unix_release,
};

static int udp_socket(void)
{
    struct sockaddr_in addr = ip_address(-1);
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    CHECK(fd >= 0);
    CHECK_EQUAL(bind(fd, (struct sockaddr *)&addr, sizeof addr), 0);
    return fd;
}

static struct setup udp_prepare(struct rig *r)
{
    r->fd = udp_socket();
    r->peer = udp_socket();
    struct sockaddr_in to = ip_address(r->peer), from = ip_address(r->fd);
    CHECK_EQUAL(connect(r->fd, (struct sockaddr *)&to, sizeof to), 0);
    CHECK_EQUAL(connect(r->peer, (struct sockaddr *)&from, sizeof from), 0);
    if (r->state == IS_ENDED)
        return NO_SUCH("datagrams have no end");
    if (r->state == IS_WAITING && r->side == TO_WRITE)
        return NO_SUCH("what has no room is dropped");
    if (r->state != IS_BROKEN)
        return connection_prepare(r);
    close(r->peer); /* the answer to the first datagram: nobody is there */
    r->peer = -1;
    CHECK_EQUAL(send(r->fd, "x", 1, 0), 1);
    CHECK(fd_becomes(r->fd, POLLERR));
    return PREPARED;
}

const struct kind kind_udp = {
    .name = "UDP",
    .flags = ARRIVES_LATER,
    .prepare = udp_prepare,
    .unblock = connection_unblock,
    .tell = connection_tell,
};

/* ---- Listening ---- */

/* What a listener of each kind is. */
struct listener_of {
    bool is_unix, blocking, shared;
};

/* A connection that waits to be accepted. It is closed at once; it stays all the same. */
static void listener_come(struct rig *r)
{
    const struct listener_of *of = r->kind->of;
    int fd;
    if (of->is_unix) {
        struct sockaddr_un addr = unix_address(r);
        fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        CHECK_EQUAL(connect(fd, (struct sockaddr *)&addr, sizeof addr), 0);
    } else {
        fd = tcp_connect_to(r->peer >= 0 ? r->peer : r->fd);
    }
    close(fd);
}

/* Another process that takes one connection from the same listener, and ends. */
static void listener_share(struct rig *r)
{
    int is_there[2];
    CHECK_EQUAL(pipe(is_there), 0);
    r->process = fork();
    CHECK(r->process >= 0);
    if (r->process == 0) {
        close(is_there[0]);
        close(is_there[1]);
        int fd = accept(r->fd, NULL, NULL);
        _exit(fd < 0);
    }
    close(is_there[1]);
    char byte;
    CHECK_EQUAL(read(is_there[0], &byte, 1), 0); /* it is about to accept */
    close(is_there[0]);
}

static struct setup listener_prepare(struct rig *r)
{
    const struct listener_of *of = r->kind->of;
    if (r->state == IS_WRONG_WAY || r->state == IS_ENDED)
        return NO_SUCH("a listener has no direction and no end");
    if (of->is_unix) {
        struct sockaddr_un addr = unix_address(r);
        r->fd = socket_listen((struct sockaddr *)&addr, sizeof addr, of->blocking);
    } else {
        struct sockaddr_in addr = ip_address(-1);
        r->fd = socket_listen((struct sockaddr *)&addr, sizeof addr, of->blocking);
    }
    r->peer = fcntl(r->fd, F_DUPFD_CLOEXEC, 0); /* it still listens when the first is closed */
    if (r->state == IS_BROKEN) {
        CHECK_EQUAL(shutdown(r->fd, SHUT_RDWR), 0);
        return PREPARED;
    }
    if (of->shared)
        listener_share(r);
    for (unsigned i = 0; r->state == IS_READY && i < r->n + of->shared; i++)
        listener_come(r);
    return PREPARED;
}

static void listener_unblock(struct rig *r)
{
    const struct listener_of *of = r->kind->of;
    if (of->shared && !r->unblocked)
        listener_come(r); /* the other process' */
    listener_come(r);
}

#define LISTENER(variable, words, ...)                  \
    const struct kind variable = {                      \
        .name = words,                                  \
        .of = &(const struct listener_of){__VA_ARGS__}, \
        .prepare = listener_prepare,                    \
        .unblock = listener_unblock,                    \
        .release = unix_release,                        \
    }

LISTENER(kind_tcp_listener, "TCP listener, non-blocking", false, false, false);
LISTENER(kind_tcp_listener_blocking, "TCP listener", false, true, false);
LISTENER(kind_tcp_listener_shared, "TCP listener, another process accepts too", false, true, true);
LISTENER(kind_unix_listener, "Unix listener, non-blocking", true, false, false);
LISTENER(kind_unix_listener_blocking, "Unix listener", true, true, false);
