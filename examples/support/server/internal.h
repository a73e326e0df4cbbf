/* SPDX-License-Identifier: MIT
 *
 * internal.h: what the server's own files share.
 */
#ifndef EXAMPLES_SERVER_INTERNAL_H
#define EXAMPLES_SERVER_INTERNAL_H

#include <conc/lock.h>
#include <conc/thread.h>

#include "support/server/message.h"
#include "support/server/server.h"
#include "support/server/traffic.h"

enum {
    INPUT_BYTES = 4096, /* read at once from a connection */
    URL_BYTES = 128,    /* "http://[...]:65535" */
};

struct server {
    struct server_options options;
    conc_executor *executor;
    int listener; /* a listening socket */
    int epoll;    /* the listener, `stopping`, and the parked connections */
    int stopping; /* an eventfd: readable from server_stop() on; the acceptor ends */
    int aborting; /* an eventfd: readable once the grace is over; writers give up */
    conc_thread *acceptor;
    char url[URL_BYTES];
    struct traffic traffic;

    conc_lock lock; /* guards the rest, and the parked connections */
    struct connection *connections;
    int64_t count;
    bool stopped; /* server_stop() has begun: no more keep-alive */
};

/*
 * A connection is parked (in the epoll set, the acceptor's) or busy (a job's). Whoever has it may
 * use all of it.
 *
 *     new -> parked               accepted
 *     parked -> busy              by the acceptor: readable
 *     busy -> parked              by the job: nothing more to read
 *     busy -> closed              by the job: the end of the input, an error, a last answer given
 *     parked -> closed            by the acceptor: its time is up
 *     parked or busy -> closed    by server_stop(), once the acceptor and the executor have ended
 */
struct connection {
    struct connection *next, **link; /* in server->connections; under server->lock */
    bool parked;                     /* under server->lock */
    int64_t deadline;                /* when a parked one is closed; under server->lock */

    struct server *server;
    int fd;          /* non-blocking */
    bool discarding; /* answered for the last time: read and forget until the client closes ... */
    int64_t give_up; /* ... or until then */
    int64_t served;  /* requests */
    http_parser parser;
    struct request request; /* being read */
    char *header_value;     /* where the header that is being read goes; NULL: nowhere */
    char header_name[32];   /* longer names are none that we look for */
    size_t header_bytes, body_bytes;
    bool in_value;      /* the parser's last word was a value: the next name begins a new header */
    int64_t begun;      /* when the request's first byte came; 0: not yet */
    bool complete;      /* all of the request is here */
    int reject;         /* the status for a request that is refused while it is read; 0: none */
    size_t first, last; /* what was read and not parsed yet: input[first..last) */
    char input[INPUT_BYTES];
};

/* ---- connection.c: the job ------------------------------------------------------------------- */

/** A conc_fn: serve the connection, a struct connection *, until it has nothing more to read. */
int connection_serve(void *arg, void *result);

/* ---- parse.c: reading requests --------------------------------------------------------------- */

void request_begin(struct connection *connection);

/**
 * Feed the parser with what was read, until a request is complete.
 *
 * @return 1: complete; 0: more must be read; a negative status: it is refused with that (-400 ...)
 */
int request_parse(struct connection *connection);

/* ---- write.c: sending responses -------------------------------------------------------------- */

/**
 * Send a response to the request. @return 0: done, in full; negative: the connection is of no more
 * use
 */
int response_send(struct connection *connection, const struct request *request,
                  const struct response *response, bool keep_alive);

/**
 * Send a short answer without waiting, to a client that will not be served; the socket stays the
 * caller's.
 */
void response_refuse(int fd, int status);

/* ---- accept.c: the acceptor, and who owns which connection ----------------------------------- */

/** A conc_fn: the acceptor's thread; its argument is a struct server *. */
int server_accept(void *arg, void *result);

/**
 * Park a connection until it is readable, or the time `until` has come. It isn't the caller's any
 * more.
 */
void connection_park(struct connection *connection, int64_t until);

/** Close a connection and free it. */
void connection_close(struct connection *connection);

/* ---- routes.c -------------------------------------------------------------------------------- */

/** Fill in the response to a request. */
void route(struct server *server, const struct request *request, struct response *response);

typedef void handler(struct server *server, const struct request *request, const char *rest,
                     struct response *response);

/* The handlers; `rest` is what follows their path. */
handler handle_geocode, handle_latest, handle_posts, handle_commits, handle_sensors, handle_page,
    handle_delay, handle_status, handle_redirect, handle_stats, handle_bad_loop, handle_bad_json,
    handle_bad_type, handle_bad_close, handle_bad_drip, handle_bad_garbage, handle_bad_hang;

#endif
