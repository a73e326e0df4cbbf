/* SPDX-License-Identifier: MIT
 *
 * accept.c: the acceptor's thread: new connections, and the parked ones.
 *
 * A parked connection is in the epoll set with EPOLLONESHOT: once it is readable the kernel tells
 * of it one time and not again until it is parked anew. So a job has its connection to itself, and
 * parking is one system call, by the job's own thread. The acceptor alone takes connections out of
 * the parked state: no event of a round can be of a connection that the same round has freed, since
 * the old ones are closed only when all of the round's events are dealt with.
 */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <conc/context.h>

#include "support/report.h"
#include "support/server/internal.h"

enum {
    EVENTS_MAX = 64,   /* taken from the kernel at once */
    ROUND_MS = 250,    /* how often parked connections are looked at: how late a timeout may be */
    SHORTAGE_MS = 100, /* a pause when no connection can be accepted: no descriptors, no memory */
};

/* ---- Connections ----------------------------------------------------------------------------- */

void connection_close(struct connection *connection)
{
    struct server *server = connection->server;

    conc_with_lock (&server->lock) {
        *connection->link = connection->next;
        if (connection->next != NULL)
            connection->next->link = connection->link;
        server->count--;
    }
    close(connection->fd); /* and with it its place in the epoll set */
    free(connection);
}

void connection_park(struct connection *connection, int64_t until)
{
    struct server *server = connection->server;
    struct epoll_event event = {.events = EPOLLIN | EPOLLRDHUP | EPOLLONESHOT,
                                .data.ptr = connection};

    /* Under the lock, so that the acceptor, once told, finds it parked. */
    conc_with_lock (&server->lock) {
        connection->parked = true;
        connection->deadline = until;
        epoll_ctl(server->epoll, EPOLL_CTL_MOD, connection->fd, &event);
    }
}

/* Take over a new socket: a connection in the list and, parked, in the epoll set. */
static int connection_add(struct server *server, int fd)
{
    struct epoll_event event = {.events = 0};
    struct connection *connection = calloc(1, sizeof *connection);

    if (connection == NULL)
        return -ENOMEM;
    connection->server = server;
    connection->fd = fd;
    request_begin(connection);
    event.data.ptr = connection;
    if (epoll_ctl(server->epoll, EPOLL_CTL_ADD, fd, &event) < 0) {
        free(connection);
        return -errno;
    }
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
    conc_with_lock (&server->lock) {
        connection->next = server->connections;
        connection->link = &server->connections;
        if (connection->next != NULL)
            connection->next->link = &connection->next;
        server->connections = connection;
        server->count++;
    }
    traffic_connection(&server->traffic);
    connection_park(connection, conc_now() + server->options.idle_timeout);
    return 0;
}

/* ---- The acceptor ---------------------------------------------------------------------------- */

/* Another time will be better: until then the waiting connections wait in the kernel. */
static void shortage(int err)
{
    static bool said; /* the acceptor's only */

    if (!said)
        complain("cannot accept connections for now: %s", conc_strerror(err));
    said = true;
    conc_sleep(CONC_MS(SHORTAGE_MS));
}

static void accept_all(struct server *server)
{
    for (int i = 0; i < EVENTS_MAX; i++) { /* then let the parked ones have their turn */
        int fd = accept4(server->listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        bool full = false;

        if (fd < 0) {
            if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM)
                shortage(errno);
            return; /* EAGAIN: that was all; the others are of a connection that has gone again */
        }
        conc_with_lock (&server->lock)
            full = server->count >= server->options.max_connections;
        if (full || connection_add(server, fd) < 0) {
            response_refuse(fd, 503);
            close(fd);
        }
    }
}

/* A parked connection is readable: it becomes a job. */
static void dispatch(struct server *server, struct connection *connection)
{
    conc_future *job;
    int err;

    conc_with_lock (&server->lock)
        connection->parked = false;
    job = conc_submit(server->executor, connection_serve, &connection, sizeof connection, 0);
    err = conc_future_error(job);
    /* The job itself never fails; so this is a refusal, such as no memory for another thread. */
    if (err < 0 && err != -EAGAIN) {
        response_refuse(connection->fd, 503);
        connection_close(connection);
    }
    conc_future_unref(job);
}

/* Close the parked connections whose time is up. */
static void close_old(struct server *server)
{
    int64_t now = conc_now();
    struct connection *connection, *next;

    conc_lock_acquire(&server->lock);
    for (connection = server->connections; connection != NULL; connection = next) {
        next = connection->next;
        if (!connection->parked || connection->deadline > now)
            continue;
        connection->parked = false;
        conc_lock_release(&server->lock);
        if (connection->begun != 0 && !connection->discarding)
            response_refuse(connection->fd, 408);
        connection_close(connection);
        conc_lock_acquire(&server->lock);
        next = server->connections; /* the list may have changed meanwhile: begin again */
    }
    conc_lock_release(&server->lock);
}

int server_accept(void *arg, void *result)
{
    struct server *server = *(struct server **)arg;
    struct epoll_event events[EVENTS_MAX];
    int64_t next_round = 0;
    bool stopping = false;

    while (!stopping) {
        int n = epoll_wait(server->epoll, events, EVENTS_MAX, ROUND_MS);

        for (int i = 0; i < n; i++) {
            if (events[i].data.ptr == &server->stopping)
                stopping = true;
            else if (events[i].data.ptr == &server->listener)
                accept_all(server);
            else
                dispatch(server, events[i].data.ptr);
        }
        if (conc_now() >= next_round) {
            close_old(server);
            next_round = conc_now() + CONC_MS(ROUND_MS);
        }
    }
    return 0;
}
