/* SPDX-License-Identifier: MIT
 *
 * server.c: the server's life: listen, start, stop, free.
 *
 * The accepting is the library's (conc/server.h), which gives each connection to an executor as a
 * job, connection_serve(). What is added here is the list of the connections, to tell the idle ones
 * when the server stops; and to refuse what is too many, in all processes together (traffic.c).
 *
 * The end: each connection's reading side is shut down. A connection that waits for a request finds
 * the end of the input, as if the client had gone; one that is about to answer a request does so,
 * and finds the end then. What lasts longer than the grace is cancelled by conc_server_stop().
 */
#include "support/server/server.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "support/report.h"
#include "support/server/internal.h"

enum {
    IDLE_SECONDS = 15,
    WRITE_BYTES = 8192, /* head and body that are sent together; a connection keeps the buffer */
    /* Connections flush what they send. What is left then is for a client that does not take it. */
    CLOSE_MS = 1,
};

/* ---- The connections ---- */

int connection_enter(struct connection *connection)
{
    struct server *server = connection->server;
    const struct listening *listening = &server->listening;
    int status = 0;

    conc_with_lock (&server->lock) {
        if (server->stopped)
            status = -ESHUTDOWN;
        connection->next = server->connections;
        connection->link = &server->connections;
        if (connection->next != NULL)
            connection->next->link = &connection->next;
        server->connections = connection;
    }
    if (status == 0 && !traffic_connection_begin(listening->traffic, listening->place))
        status = -503;
    connection->counted = status == 0;
    return status;
}

void connection_leave(struct connection *connection)
{
    struct server *server = connection->server;
    const struct listening *listening = &server->listening;

    if (connection->counted)
        traffic_connection_end(listening->traffic, listening->place);
    conc_with_lock (&server->lock) {
        *connection->link = connection->next;
        if (connection->next != NULL)
            connection->next->link = connection->link;
    }
}

bool server_is_stopping(struct server *server)
{
    bool stopped = false;

    conc_with_lock (&server->lock)
        stopped = server->stopped;
    return stopped;
}

/* An error that a single connection ended with is its client's affair. But a server that cannot
 * serve for want of descriptors or memory says so, once a second at most. */
static void on_error(int err, const char *message, void *arg)
{
    struct server *server = arg;
    bool say = false;

    if (err != -EMFILE && err != -ENFILE && err != -ENOBUFS && err != -ENOMEM)
        return;
    conc_with_lock (&server->lock) {
        say = conc_now() >= server->quiet_until;
        if (say)
            server->quiet_until = conc_now() + CONC_S(1);
    }
    if (say)
        complain("%s: %s", *message != '\0' ? message : "cannot serve a connection",
                 conc_strerror(err));
}

/* ---- The server ---- */

static bool is_numeric(const char *host)
{
    struct in6_addr any;

    return inet_pton(AF_INET, host, &any) == 1 || inet_pton(AF_INET6, host, &any) == 1;
}

/* The first of what listening_open() makes. */
static int make_traffic(const struct server_options *options, size_t places, struct traffic **ret)
{
    void *block;
    int err = conc_shared_new(&block, traffic_size(places));

    if (err == 0) {
        *ret = block;
        err = traffic_init(*ret, options, places);
        if (err < 0)
            conc_shared_free(block);
    }
    return err < 0 ? conc_raise(err, "no shared memory: %s", conc_strerror(err)) : 0;
}

int listening_open(struct listening *ret, const struct server_options *options, size_t places)
{
    const char *host = options->address != NULL ? options->address : "127.0.0.1";
    struct listening listening = {.place = 0};
    int port, err;

    if (!is_numeric(host))
        return conc_raise(-EINVAL, "not a numeric address: %s", host);
    err = make_traffic(options, places, &listening.traffic);
    if (err < 0)
        return err;
    listening.fd = conc_tcp_listen(host, (uint16_t)options->port, 0);
    if (listening.fd < 0) {
        conc_shared_free(listening.traffic);
        return listening.fd;
    }
    port = conc_tcp_port(listening.fd); /* the one that the system chose, if that was wanted */
    snprintf(listening.url, sizeof listening.url,
             strchr(host, ':') != NULL ? "http://[%s]:%d" : "http://%s:%d", host, port);
    *ret = listening;
    return 0;
}

void listening_close(struct listening *listening)
{
    if (listening->fd >= 0)
        conc_close(listening->fd);
    conc_shared_free(listening->traffic);
}

int server_adopt(struct server **ret, const struct server_options *options,
                 const struct server_model *model, const struct listening *listening)
{
    struct server *server = calloc(1, sizeof *server);

    if (server == NULL)
        return conc_raise(-ENOMEM, "out of memory");
    server->options = *options;
    server->model = *model;
    server->listening = *listening;
    conc_lock_init(&server->lock);
    if (options->idle_timeout == 0)
        server->options.idle_timeout = CONC_S(IDLE_SECONDS);
    *ret = server;
    return 0;
}

int server_new(struct server **ret, const struct server_options *options,
               const struct server_model *model)
{
    struct listening listening;
    int err = listening_open(&listening, options, 1);

    if (err < 0)
        return err;
    err = server_adopt(ret, options, model, &listening);
    if (err < 0)
        listening_close(&listening);
    return err;
}

const char *server_url(const struct server *server) { return server->listening.url; }

/* A conc_fn: as a task it makes the accepting a task of the same loop. */
static int start_accepting(void *arg, void *result)
{
    struct server *server = *(struct server **)arg;
    const conc_server_options options = {
        .executor = server->model.connections,
        .stream.write_limit = WRITE_BYTES,
        .close_timeout_ns = CONC_MS(CLOSE_MS),
        .on_error = on_error,
    };

    return conc_server_start(&server->accepting, server->listening.fd, connection_serve, server,
                             &options);
}

int server_start(struct server *server)
{
    int err = conc_call(server->model.connections, start_accepting, &server, sizeof server, NULL, 0,
                        CONC_FOREVER);

    if (err == 0)
        server->listening.fd = -1; /* taken */
    return err;
}

void server_stop(struct server *server, int64_t grace)
{
    conc_with_lock (&server->lock) {
        server->stopped = true;
        for (struct connection *c = server->connections; c != NULL; c = c->next)
            conc_shutdown(conc_stream_fd(c->stream), SHUT_RD);
    }
    if (server->accepting != NULL)
        conc_server_stop(server->accepting, conc_in(grace));
}

void server_free(struct server *server)
{
    conc_server_free(server->accepting);
    listening_close(&server->listening);
    free(server);
}
