/* SPDX-License-Identifier: MIT
 *
 * tcp.c: connecting to a TCP server by name (tcp_race.c does it, once the addresses are known), and
 * listening.
 */
#include <conc/net.h>

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>

#include "io/tcp_race.h"

/* ---- Connecting ---- */

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
    int fd = conc__tcp_race(found, deadline);
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
