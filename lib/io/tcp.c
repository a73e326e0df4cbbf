/* SPDX-License-Identifier: MIT
 *
 * tcp.c: connecting to a TCP server by name, and listening.
 *
 * The addresses are tried in the order of RFC 8305: as getaddrinfo() sorted them, but the two
 * families in turn, so that a network whose IPv6 is broken costs one time-out and not many. Unlike
 * in the RFC, attempts do not overlap: each has an equal share of the time that is left. So the
 * last address still gets its chance, and an attempt that fails early leaves its share to the
 * others.
 *
 * A socket that connects to a port of this machine on which nothing listens can, by chance, connect
 * to itself: when the system gives it that very port as its own (TCP's simultaneous open). Such a
 * connection counts as refused.
 */
#include <conc/net.h>

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"

/* ---- Addresses in turn ---- */

/* The addresses that have not been tried: those of the first one's family, and the others. */
struct address_turns {
    int family;
    const struct addrinfo *own, *other;
    bool others_turn;
};

/* The first address from `a` on that is (or is not) of that family; NULL: none. */
static const struct addrinfo *turns_seek(const struct addrinfo *a, int family, bool is)
{
    while (a && (a->ai_family == family) != is)
        a = a->ai_next;
    return a;
}

static struct address_turns turns_begin(const struct addrinfo *first)
{
    int family = first->ai_family;
    return (struct address_turns){
        .family = family, .own = first, .other = turns_seek(first, family, false)};
}

static const struct addrinfo *turns_next(struct address_turns *t)
{
    bool other = t->other && (t->others_turn || !t->own);
    const struct addrinfo *a = other ? t->other : t->own;
    t->others_turn = !other;
    if (a)
        *(other ? &t->other : &t->own) = turns_seek(a->ai_next, t->family, !other);
    return a;
}

static size_t turns_count(const struct addrinfo *a)
{
    size_t n = 0;
    for (; a; a = a->ai_next)
        n++;
    return n;
}

/* ---- Connecting ---- */

static int tcp_set_option(int fd, int level, int option, int value)
{
    return setsockopt(fd, level, option, &value, sizeof value) == 0 ? 0 : -errno;
}

static bool tcp_is_connected_to_itself(int fd)
{
    struct sockaddr_storage here, there;
    /* With the padding, because they are compared as a whole. */
    memset(&here, 0, sizeof here);
    memset(&there, 0, sizeof there);
    socklen_t n = sizeof here, m = sizeof there;
    return getsockname(fd, (struct sockaddr *)&here, &n) == 0 &&
           getpeername(fd, (struct sockaddr *)&there, &m) == 0 && n == m &&
           memcmp(&here, &there, n) == 0;
}

/* Returns a connected socket, or an error. */
static int tcp_try_address(const struct addrinfo *a, conc_deadline deadline)
{
    int fd = conc_socket(a->ai_family, a->ai_socktype, a->ai_protocol);
    if (fd < 0)
        return fd;
    int err = tcp_set_option(fd, IPPROTO_TCP, TCP_NODELAY, 1);
    if (err)
        goto close_fd;
    err = conc_connect(fd, a->ai_addr, a->ai_addrlen, deadline);
    if (err)
        goto close_fd;
    if (!tcp_is_connected_to_itself(fd))
        return fd;
    err = -ECONNREFUSED;

close_fd:
    conc_close(fd);
    return err;
}

/* The deadline of the next of n attempts. */
static conc_deadline tcp_share(conc_deadline deadline, size_t n)
{
    if (n == 1 || deadline_is_forever(deadline) || deadline_is_now(deadline))
        return deadline;
    return conc_in(conc_remaining(deadline) / (int64_t)n);
}

static int tcp_connect_any(const struct addrinfo *first, conc_deadline deadline)
{
    struct address_turns turns = turns_begin(first);
    int fd = -ECANCELED;
    for (size_t left = turns_count(first); left > 0; left--) {
        fd = tcp_try_address(turns_next(&turns), tcp_share(deadline, left));
        if (fd >= 0 || fd == -ECANCELED)
            break;
    }
    return fd;
}

/* Gives the addresses of host and port. */
static int tcp_find(const char *host, uint16_t port, int flags, struct addrinfo **ret,
                    conc_deadline deadline)
{
    const struct addrinfo hints = {.ai_family = AF_UNSPEC,
                                   .ai_socktype = SOCK_STREAM,
                                   .ai_protocol = IPPROTO_TCP,
                                   .ai_flags = AI_NUMERICSERV | flags};
    char service[sizeof "65535"];
    snprintf(service, sizeof service, "%u", (unsigned)port);
    return conc_getaddrinfo(host, service, &hints, ret, deadline);
}

static int tcp_raise(int err, const char *what, const char *host, uint16_t port)
{
    if (err == -ECANCELED)
        return err;
    return conc_raise(err, "cannot %s %s port %u: %s", what, host ? host : "any address",
                      (unsigned)port, conc_strerror(err));
}

int conc_tcp_connect(const char *host, uint16_t port, conc_deadline deadline)
{
    struct addrinfo *found;
    if (!host)
        return -EINVAL;
    int err = tcp_find(host, port, 0, &found, deadline);
    if (err)
        return err;
    int fd = tcp_connect_any(found, deadline);
    freeaddrinfo(found);
    return fd >= 0 ? fd : tcp_raise(fd, "connect to", host, port);
}

/* ---- Listening ---- */

static int tcp_prepare_listener(int fd, const struct sockaddr *addr, socklen_t size, bool also_ipv4,
                                int backlog)
{
    int err = tcp_set_option(fd, SOL_SOCKET, SO_REUSEADDR, 1);
    if (err)
        return err;
    if (addr->sa_family == AF_INET6) {
        err = tcp_set_option(fd, IPPROTO_IPV6, IPV6_V6ONLY, !also_ipv4);
        if (err)
            return err;
    }
    err = tcp_set_option(fd, IPPROTO_TCP, TCP_NODELAY, 1); /* connections inherit it */
    if (err)
        return err;
    err = conc_bind(fd, addr, size);
    return err ? err : conc_listen(fd, backlog);
}

static int tcp_listen_on(const struct sockaddr *addr, socklen_t size, bool also_ipv4, int backlog)
{
    int fd = conc_socket(addr->sa_family, SOCK_STREAM, IPPROTO_TCP);
    if (fd < 0)
        return fd;
    int err = tcp_prepare_listener(fd, addr, size, also_ipv4, backlog);
    if (!err)
        return fd;
    conc_close(fd);
    return err;
}

static int tcp_listen_on_all(uint16_t port, int backlog)
{
    const struct sockaddr_in6 all6 = {
        .sin6_family = AF_INET6, .sin6_port = htons(port), .sin6_addr = IN6ADDR_ANY_INIT};
    int fd = tcp_listen_on((const struct sockaddr *)&all6, sizeof all6, true, backlog);
    if (fd != -EAFNOSUPPORT && fd != -EADDRNOTAVAIL)
        return fd;
    /* There is no IPv6 on this machine, or it is switched off. */
    const struct sockaddr_in all4 = {.sin_family = AF_INET, .sin_port = htons(port)};
    return tcp_listen_on((const struct sockaddr *)&all4, sizeof all4, false, backlog);
}

static int tcp_listen_on_first(const struct addrinfo *a, int backlog)
{
    int fd = -EADDRNOTAVAIL;
    for (; a && fd < 0; a = a->ai_next)
        fd = tcp_listen_on(a->ai_addr, a->ai_addrlen, false, backlog);
    return fd;
}

int conc_tcp_listen(const char *host, uint16_t port, int backlog)
{
    if (!host) {
        int fd = tcp_listen_on_all(port, backlog);
        return fd >= 0 ? fd : tcp_raise(fd, "listen on", NULL, port);
    }
    struct addrinfo *found;
    int err = tcp_find(host, port, AI_PASSIVE, &found, CONC_FOREVER);
    if (err)
        return err;
    int fd = tcp_listen_on_first(found, backlog);
    freeaddrinfo(found);
    return fd >= 0 ? fd : tcp_raise(fd, "listen on", host, port);
}

int conc_tcp_port(int fd)
{
    struct sockaddr_storage addr = {0};
    socklen_t size = sizeof addr;
    if (getsockname(fd, (struct sockaddr *)&addr, &size) != 0)
        return -errno;
    switch (addr.ss_family) {
    case AF_INET:
        return ntohs(((struct sockaddr_in *)&addr)->sin_port);
    case AF_INET6:
        return ntohs(((struct sockaddr_in6 *)&addr)->sin6_port);
    default:
        return -EINVAL;
    }
}
