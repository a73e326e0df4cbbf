/* SPDX-License-Identifier: MIT
 *
 * server.c: the server's life: bind and listen, start, stop, free.
 */
#include "support/server/server.h"

#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "support/server/internal.h"

enum {
    IDLE_SECONDS = 15,
    CONNECTIONS_MAX = 1000,
};

static int raise_errno(const char *what)
{
    int err = errno;

    return conc_raise(-err, "%s: %s", what, conc_strerror(err));
}

static int bind_listener(struct server *server)
{
    const struct addrinfo hints = {.ai_flags = AI_NUMERICHOST | AI_NUMERICSERV,
                                   .ai_socktype = SOCK_STREAM};
    const char *host = server->options.address;
    struct addrinfo *address;
    char port[8];
    int err;

    snprintf(port, sizeof port, "%u", (unsigned)(uint16_t)server->options.port);
    err = getaddrinfo(host, port, &hints, &address);
    if (err != 0)
        return conc_raise(-EINVAL, "not a numeric address: %s (%s)", host, gai_strerror(err));
    server->listener = socket(address->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (server->listener < 0) {
        err = raise_errno("socket");
    } else {
        setsockopt(server->listener, SOL_SOCKET, SO_REUSEADDR, &(int){1}, sizeof(int));
        if (bind(server->listener, address->ai_addr, address->ai_addrlen) < 0 ||
            listen(server->listener, SOMAXCONN) < 0)
            err = conc_raise(-errno, "cannot listen on %s port %s: %s", host, port,
                             conc_strerror(errno));
    }
    freeaddrinfo(address);
    return err;
}

/* The URL names the port that the kernel chose, if that was left to it. */
static int make_url(struct server *server)
{
    struct sockaddr_storage address;
    socklen_t size = sizeof address;
    char host[64], port[8];

    if (getsockname(server->listener, (struct sockaddr *)&address, &size) < 0)
        return raise_errno("getsockname");
    if (getnameinfo((struct sockaddr *)&address, size, host, sizeof host, port, sizeof port,
                    NI_NUMERICHOST | NI_NUMERICSERV) != 0)
        return conc_raise(-EIO, "the listener's address has no name");
    snprintf(server->url, sizeof server->url,
             address.ss_family == AF_INET6 ? "http://[%s]:%s" : "http://%s:%s", host, port);
    return 0;
}

static int watch(struct server *server, int fd, void *tag)
{
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = tag};

    return epoll_ctl(server->epoll, EPOLL_CTL_ADD, fd, &event) < 0 ? raise_errno("epoll_ctl") : 0;
}

static int open_descriptors(struct server *server)
{
    int err = bind_listener(server);

    if (err == 0)
        err = make_url(server);
    if (err < 0)
        return err;
    server->epoll = epoll_create1(EPOLL_CLOEXEC);
    server->stopping = eventfd(0, EFD_CLOEXEC);
    server->aborting = eventfd(0, EFD_CLOEXEC);
    if (server->epoll < 0 || server->stopping < 0 || server->aborting < 0)
        return raise_errno("epoll_create1 or eventfd");
    err = watch(server, server->listener, &server->listener);
    return err < 0 ? err : watch(server, server->stopping, &server->stopping);
}

int server_new(struct server **ret, const struct server_options *options, conc_executor *executor)
{
    struct server *server = calloc(1, sizeof *server);
    int err;

    if (server == NULL)
        return conc_raise(-ENOMEM, "out of memory");
    server->options = *options;
    server->executor = executor;
    server->listener = server->epoll = server->stopping = server->aborting = -1;
    conc_lock_init(&server->lock);
    if (options->address == NULL)
        server->options.address = "127.0.0.1";
    if (options->idle_timeout == 0)
        server->options.idle_timeout = CONC_S(IDLE_SECONDS);
    if (options->max_connections == 0)
        server->options.max_connections = CONNECTIONS_MAX;
    traffic_init(&server->traffic, options->latency, options->jitter, options->limit,
                 options->burst, options->fail_rate, (uint64_t)options->seed);
    err = open_descriptors(server);
    if (err < 0) {
        server_free(server);
        return err;
    }
    *ret = server;
    return 0;
}

const char *server_url(const struct server *server) { return server->url; }

int server_start(struct server *server)
{
    return conc_thread_start(&server->acceptor, server_accept, &server, sizeof server,
                             &(conc_thread_options){.name = "acceptor"});
}

/* Make an eventfd readable, for good: nobody reads it. */
static void tell(int eventfd)
{
    const uint64_t one = 1;

    while (write(eventfd, &one, sizeof one) < 0 && errno == EINTR)
        continue;
}

void server_stop(struct server *server, int64_t grace)
{
    const conc_deadline over = conc_in(grace);
    const unsigned flags = CONC_SHUTDOWN_WAIT | CONC_SHUTDOWN_CANCEL_PENDING;

    conc_with_lock (&server->lock)
        server->stopped = true;
    tell(server->stopping);
    /* With an inline executor the acceptor itself may be in a request: that has the same grace. */
    if (server->acceptor != NULL && conc_thread_join(server->acceptor, NULL, over) == -ETIMEDOUT) {
        tell(server->aborting);
        conc_thread_cancel(server->acceptor);
        conc_thread_join(server->acceptor, NULL, CONC_FOREVER);
    }
    if (conc_executor_shutdown(server->executor, flags, over) == -ETIMEDOUT) {
        tell(server->aborting);
        conc_executor_shutdown(server->executor, flags | CONC_SHUTDOWN_CANCEL_RUNNING,
                               CONC_FOREVER);
    }
    while (server->connections != NULL) /* nobody else is left */
        connection_close(server->connections);
}

static void close_if_open(int fd)
{
    if (fd >= 0)
        close(fd);
}

void server_free(struct server *server)
{
    conc_thread_free(server->acceptor);
    close_if_open(server->listener);
    close_if_open(server->epoll);
    close_if_open(server->stopping);
    close_if_open(server->aborting);
    free(server);
}
