/* SPDX-License-Identifier: MIT
 *
 * internal.h: what the server's own files share.
 */
#ifndef EXAMPLES_SERVER_INTERNAL_H
#define EXAMPLES_SERVER_INTERNAL_H

#include <conc/lock.h>
#include <conc/net.h>
#include <conc/server.h>

#include "support/server/message.h"
#include "support/server/server.h"
#include "support/server/traffic.h"

enum {
    INPUT_BYTES = 4096, /* read at once from a connection */
    URL_BYTES = 128,    /* "http://[...]:65535" */
};

/* What the processes of a server have in common. */
struct listening {
    int fd; /* a listening socket; -1: given away */
    char url[URL_BYTES];
    struct traffic *traffic; /* a block of shared memory */
    size_t place;            /* this process' in it */
};

struct server {
    struct server_options options;
    struct server_model model;
    struct listening listening;
    conc_server *accepting; /* NULL: not started; has the listening socket */

    conc_lock lock; /* guards the rest */
    struct connection *connections;
    bool stopped;        /* server_stop() has begun: no more keep-alive */
    int64_t quiet_until; /* no complaint before */
};

/* On the stack of the job that serves it, which alone uses it. */
struct connection {
    struct connection *next, **link; /* in server->connections; under server->lock */

    struct server *server;
    conc_stream *stream;
    /* For the request that is being read: since the last one's end, then since its own beginning.
     * Not since its last byte, or a client could stay for ever by sending one now and then. */
    conc_deadline patience;
    http_parser parser;
    struct request request; /* being read */
    char *header_value;     /* where the header that is being read goes; NULL: nowhere */
    char header_name[32];   /* longer names are none that we look for */
    size_t header_bytes, body_bytes;
    bool counted;       /* in the traffic */
    bool in_value;      /* the parser's last word was a value: the next name begins a new header */
    bool begun;         /* the request's first byte has come */
    bool complete;      /* all of the request is here */
    int reject;         /* the status for a request that is refused while it is read; 0: none */
    size_t first, last; /* what was read and not parsed yet: input[first..last) */
    char input[INPUT_BYTES];
};

/* ---- server.c ---- */

/** Bind and listen as the options say, for so many processes. @return 0; a negative error with a
 * message */
int listening_open(struct listening *ret, const struct server_options *options, size_t places);

void listening_close(struct listening *listening);

/** server_new() for a socket that listens already. It is taken only on 0. @return 0; -ENOMEM */
int server_adopt(struct server **ret, const struct server_options *options,
                 const struct server_model *model, const struct listening *listening);

/** Put a connection into the server's list, in any case. @return 0; -503: there are too many;
 * -ESHUTDOWN: the server is stopping */
int connection_enter(struct connection *connection);

/** Take it out, before its stream is closed. */
void connection_leave(struct connection *connection);

bool server_is_stopping(struct server *server);

/* ---- connection.c: the job ---- */

/** A conc_stream_fn: serve the connection to its end; its argument is a struct server. */
int connection_serve(conc_stream *stream, void *arg);

/* ---- parse.c: reading requests ---- */

/** Make ready for the next request, which is to come in time. */
void request_begin(struct connection *connection);

/**
 * Feed the parser with what was read, until a request is complete.
 *
 * @return 1: complete; 0: more must be read; a negative status: it is refused with that (-400 ...)
 */
int request_parse(struct connection *connection);

/* ---- write.c: sending responses ---- */

/**
 * Send the response to the connection's request. @return 0: done, in full; negative: the connection
 * is of no more use
 */
int response_send(struct connection *connection, const struct response *response, bool keep_alive);

/** Send a short answer, without waiting, to a client that will not be served any more. */
void response_refuse(conc_stream *stream, int status);

/* ---- routes.c ---- */

/** Fill in the response to a request: a status other than 200, headers, a body. */
void route(struct server *server, const struct request *request, struct response *response);

typedef void handler(struct server *server, const struct request *request, const char *rest,
                     struct response *response);

/* The handlers; `rest` is what follows their path. */
handler handle_geocode, handle_latest, handle_posts, handle_commits, handle_sensors, handle_page,
    handle_delay, handle_status, handle_redirect, handle_stats, handle_bad_loop, handle_bad_json,
    handle_bad_type, handle_bad_close, handle_bad_drip, handle_bad_garbage, handle_bad_hang;

#endif
