/* SPDX-License-Identifier: MIT
 *
 * server.h: an HTTP server whose way of running is one argument: an executor.
 *
 *     conc_executor *executor;                       // threads, a pool ...
 *     int err = conc_thread_pool_new(&executor, 8, NULL);
 *     struct server *server;
 *     err = server_new(&server, &options, executor);
 *     err = server_start(server);
 *     ...
 *     server_stop(server, CONC_S(1));
 *     server_free(server);
 *     conc_executor_free(executor);
 */
#ifndef EXAMPLES_SERVER_H
#define EXAMPLES_SERVER_H

#include <conc/executor.h>

struct server;

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
    int64_t max_connections; /* more get 503; 0: 1000 */
};

/**
 * Make a server: bind and listen.
 *
 * @param options   borrowed; its strings must stay while the server lives
 * @param executor  runs the server's jobs; borrowed. server_stop() shuts it down.
 * @return 0; a negative error with a message
 */
int server_new(struct server **ret, const struct server_options *options, conc_executor *executor);

/** "http://127.0.0.1:40123". Valid while the server is. */
const char *server_url(const struct server *server);

/** Begin to take connections, in a thread of its own. @return 0; -ENOMEM */
int server_start(struct server *server);

/**
 * Take no more connections, close the idle ones, wait until the requests in progress are answered,
 * and shut the executor down. After `grace` nanoseconds those that are left are cancelled.
 */
void server_stop(struct server *server, int64_t grace);

/** Free a server that was stopped, or never started. */
void server_free(struct server *server);

#endif
