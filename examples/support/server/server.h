/* SPDX-License-Identifier: MIT
 *
 * server.h: an HTTP server whose way of running is one argument: a model.
 *
 *     struct server_model model;
 *     int err = server_model_make(&model, "tasks", 0); // or "threads", or "pool"
 *     struct server *server;
 *     err = server_new(&server, &options, &model);
 *     err = server_start(server);
 *     ...
 *     server_stop(server, CONC_S(1));
 *     server_free(server);
 *     server_model_free(&model);
 */
#ifndef EXAMPLES_SERVER_H
#define EXAMPLES_SERVER_H

#include <conc/executor.h>

struct server;

/** Which executors run the server's jobs. */
struct server_model {
    conc_executor *connections; /* a job for each connection, as long as that lasts */
    /* A job for each request, for which its connection waits. NULL: the connection's own job
     * answers it. */
    conc_executor *requests;
};

/**
 * Make a model by its name:
 *
 *     tasks    each connection is a task, all of them on one thread
 *     threads  each connection is a thread
 *     pool     each connection is a task, and the requests are answered by a pool of threads, so
 *              that no client holds one of them which is idle, or slow to send or to read
 *
 * @param ret      gives it, for server_model_free()
 * @param workers  threads of the pool
 * @return 0; -EINVAL: not a name of the above; -ENOMEM, -EMFILE; with a message
 */
int server_model_make(struct server_model *ret, const char *name, size_t workers);

/** Is that the name of a model? */
bool server_model_exists(const char *name);

/** Free its executors, once no server uses them any more. */
void server_model_free(struct server_model *model);

/** All-zero: the defaults, on 127.0.0.1 and any port. Times are nanoseconds. */
struct server_options {
    const char *address; /* numeric; NULL: 127.0.0.1 */
    int64_t port;        /* 0: any */
    int64_t latency;     /* how long each answer of the API takes ... */
    int64_t jitter;      /* ... up to so much more or less */
    double limit;        /* requests per second to the API; more get 429. 0: no limit */
    double burst;     /* how many at once within the limit; 0: half a second's worth, at least 2 */
    double fail_rate; /* the share of the API's answers that are a 500, 0 to 1 */
    int64_t seed;     /* of jitter and failures */
    const char *api_key;     /* what /v/2.0/sensors/ wants as X-API-KEY; NULL: nothing */
    int64_t idle_timeout;    /* without a whole request a connection is closed then; 0: 15 s */
    int64_t max_connections; /* more get 503; 0: 20,000. Of all processes together */
};

/**
 * Make a server: bind and listen.
 *
 * @param options  borrowed; its strings must stay while the server lives
 * @param model    its executors are borrowed while the server lives
 * @return 0; a negative error with a message
 */
int server_new(struct server **ret, const struct server_options *options,
               const struct server_model *model);

/** "http://127.0.0.1:40123". Valid while the server is. */
const char *server_url(const struct server *server);

/** Begin to take connections. @return 0; -ENOMEM */
int server_start(struct server *server);

/**
 * Take no more connections, close the idle ones, and wait until the requests in progress are
 * answered. After `grace` nanoseconds those that are left are cancelled.
 */
void server_stop(struct server *server, int64_t grace);

/** Free a server that was stopped, or never started. */
void server_free(struct server *server);

#endif
