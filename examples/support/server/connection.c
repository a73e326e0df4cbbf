/* SPDX-License-Identifier: MIT
 *
 * connection.c: the job that serves a connection: read a request, answer it, and again.
 *
 * It is written as if there were no other connection: it blocks wherever it has to wait. Whether
 * that blocks a thread, or sets a task aside while a thousand others go on, is the executor's
 * business.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <conc.h>

#include "support/server/internal.h"

enum {
    LINGER_SECONDS = 1,
    NEVER_SECONDS = 600, /* how long 'never' is */
};

/* ---- Reading ---- */

/* Read the next request. 1; 0: there is none, the client has gone or was idle for too long; or a
 * negative status: it is refused with that. */
static int read_request(struct connection *connection)
{
    int got;

    request_begin(connection);
    while ((got = request_parse(connection)) == 0) {
        ssize_t n = conc_stream_read(connection->stream, connection->input,
                                     sizeof connection->input, connection->patience);

        if (n == -ETIMEDOUT && connection->begun)
            return -408;
        if (n <= 0)
            return 0;
        connection->first = 0;
        connection->last = (size_t)n;
    }
    return got;
}

/* Read and forget, until the client has closed or the time has come. */
static void forget_input(struct connection *connection, conc_deadline until)
{
    while (conc_remaining(until) > 0 && conc_stream_read(connection->stream, connection->input,
                                                         sizeof connection->input, until) > 0)
        continue;
}

/* ---- Answering ---- */

struct exchange {
    struct server *server;
    const struct request *request;
    struct response *response;
};

/* A conc_fn: fill in the response. */
static int make_response(void *arg, void *result)
{
    struct exchange *exchange = arg;
    const struct listening *listening = &exchange->server->listening;

    traffic_request_begin(listening->traffic, listening->place);
    exchange->response->status = 200;
    route(exchange->server, exchange->request, exchange->response);
    /* Before it is sent, so that a client that has its answer finds it in the counts. */
    traffic_request_end(listening->traffic, listening->place, exchange->response->status);
    return 0;
}

/* Have an executor fill in the response. A group, because its job, if we are cancelled, is not only
 * cancelled too but has ended when we go on: it has pointers to what is ours. */
static void make_response_elsewhere(struct exchange *exchange, conc_executor *executor)
{
    int err = 0; /* the response stays as it is then */

    conc_with_group (group, &err, CONC_FOREVER)
        conc_group_submit(group, executor, make_response, exchange, sizeof *exchange, NULL, 0);
}

/* Answer the request. @return does the connection stay open for another? */
static bool answer(struct connection *connection)
{
    struct server *server = connection->server;
    /* A job that is refused, or cancelled before it has begun, leaves it as it is. */
    struct response response = {.status = 503, .content_type = "text/plain"};
    struct exchange exchange = {server, &connection->request, &response};
    bool keep_alive;
    int err = 0;

    if (server->model.requests == NULL)
        make_response(&exchange, NULL);
    else
        make_response_elsewhere(&exchange, server->model.requests);
    keep_alive = connection->request.keep_alive && !server_is_stopping(server);
    if (response.manner == ANSWER_NEVER)
        forget_input(connection, conc_in(CONC_S(NEVER_SECONDS)));
    else
        err = response_send(connection, &response, keep_alive);
    free(response.body);
    return err == 0 && keep_alive && response.manner <= ANSWER_DRIP;
}

/* A request that is refused while it is read: what follows on this connection makes no sense. */
static void refuse(struct connection *connection, int status)
{
    const struct listening *listening = &connection->server->listening;

    traffic_request_begin(listening->traffic, listening->place);
    traffic_request_end(listening->traffic, listening->place, status);
    response_refuse(connection->stream, status);
}

/* ---- The job ---- */

static void serve_requests(struct connection *connection)
{
    int got;

    while ((got = read_request(connection)) > 0 && answer(connection))
        continue;
    if (got < 0)
        refuse(connection, -got);
}

/* To close at once what the client still sends to would send it a reset, which can overtake the
 * last answer. */
static void linger(struct connection *connection)
{
    if (conc_stream_write_eof(connection->stream, CONC_NOW) == 0)
        forget_input(connection, conc_in(CONC_S(LINGER_SECONDS)));
}

int connection_serve(conc_stream *stream, void *arg)
{
    struct connection connection;
    int status;

    connection.server = arg;
    connection.stream = stream;
    connection.first = connection.last = 0;
    status = connection_enter(&connection);
    if (status == 0)
        serve_requests(&connection);
    else if (status == -503)
        response_refuse(stream, 503);
    if (status != -ESHUTDOWN)
        linger(&connection);
    connection_leave(&connection);
    return 0;
}
