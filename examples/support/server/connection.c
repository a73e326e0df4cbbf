/* SPDX-License-Identifier: MIT
 *
 * connection.c: the job that serves a connection.
 *
 * A job reads, answers, and reads on until nothing more has arrived; then it parks the connection
 * with the acceptor and returns. So an idle client, or one that sends its request letter by letter,
 * has no thread: a pool of four serves a thousand keep-alive connections, and with a thread per job
 * there is a thread per request. What does hold a worker is an answer: its latency, and a client
 * that reads it slowly.
 *
 * The job is the same whichever executor runs it; it neither knows nor asks.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include <conc/context.h>

#include "support/server/internal.h"

enum {
    REQUESTS_MAX = 1000, /* on one connection: no client has a worker for ever */
    /* What a refused client still sends is read for so long: closing at once would send a reset,
     * which can overtake the refusal. */
    LINGER_SECONDS = 1,
    NEVER_SECONDS = 600, /* how long 'never' is */
};

enum next { GO_ON, PARK, CLOSE };

/* From now on read and forget, and close after some time at the latest. */
static void discard(struct connection *connection, int64_t ns)
{
    connection->discarding = true;
    connection->give_up = conc_now() + ns;
    connection->first = connection->last = 0;
}

static bool stays_open(struct connection *connection)
{
    struct server *server = connection->server;
    bool stopped = false;

    conc_with_lock (&server->lock)
        stopped = server->stopped;
    return connection->request.keep_alive && !stopped && ++connection->served < REQUESTS_MAX;
}

static enum next answer(struct connection *connection)
{
    struct server *server = connection->server;
    struct response response = {.status = 200, .content_type = "text/plain"};
    bool keep_alive;
    int err = 0;

    traffic_request_begin(&server->traffic);
    route(server, &connection->request, &response);
    keep_alive = stays_open(connection);
    /* Before it is sent: who has an answer finds it in the counts. */
    traffic_request_end(&server->traffic, response.status);
    if (response.manner == ANSWER_NEVER)
        discard(connection, CONC_S(NEVER_SECONDS));
    else
        err = response_send(connection, &connection->request, &response, keep_alive);
    free(response.body);
    request_begin(connection);
    if (err < 0)
        return CLOSE;
    if (!keep_alive && !connection->discarding) {
        shutdown(connection->fd, SHUT_WR);
        discard(connection, CONC_S(LINGER_SECONDS));
    }
    return GO_ON;
}

/* A request that is refused while it is read: what follows on this connection makes no sense any
 * more. */
static void refuse(struct connection *connection, int status)
{
    struct server *server = connection->server;

    traffic_request_begin(&server->traffic);
    traffic_request_end(&server->traffic, status);
    response_refuse(connection->fd, status);
    discard(connection, CONC_S(LINGER_SECONDS));
}

static enum next read_more(struct connection *connection)
{
    ssize_t n;

    if (connection->discarding && conc_now() > connection->give_up)
        return CLOSE;
    n = recv(connection->fd, connection->input, sizeof connection->input, 0);
    if (n < 0)
        return errno == EINTR ? GO_ON : errno == EAGAIN || errno == EWOULDBLOCK ? PARK : CLOSE;
    if (n == 0)
        return CLOSE;
    connection->first = 0;
    connection->last = connection->discarding ? 0 : (size_t)n;
    return GO_ON;
}

static void park(struct connection *connection)
{
    /* Since the last request's end, or this one's beginning: not since the last byte, or a client
     * could stay for ever by sending one now and then. */
    int64_t since = connection->begun != 0 ? connection->begun : conc_now();

    connection_park(connection, connection->discarding
                                    ? connection->give_up
                                    : since + connection->server->options.idle_timeout);
}

int connection_serve(void *arg, void *result)
{
    struct connection *connection = *(struct connection **)arg;
    enum next next = GO_ON;

    while (next == GO_ON) {
        int got = request_parse(connection);

        if (got > 0)
            next = answer(connection);
        else if (got < 0)
            refuse(connection, -got);
        else
            next = read_more(connection);
        if (next == GO_ON && conc_cancelled())
            next = CLOSE;
    }
    if (next == PARK)
        park(connection);
    else
        connection_close(connection);
    return 0;
}
