/* SPDX-License-Identifier: MIT
 *
 * net.h: what bench_net.c is made of: echo servers of four kinds, and a client that keeps one busy.
 */
#ifndef BENCH_NET_H
#define BENCH_NET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

enum { MESSAGE_SIZE = 64 };

enum server_kind { CONC_BY_URING, RAW_URING, CONC_BY_EPOLL, RAW_EPOLL, SERVER_KINDS };

/* Can there be such a server on this system? */
bool can_serve(enum server_kind kind);

/* Send back what comes in on the connections of a listening socket, which is O_NONBLOCK. With
 * `once` the first message of each only, and then close it. Ends with the process. */
void serve(enum server_kind kind, int listener, bool once) __attribute__((noreturn));

struct load {
    size_t connections; /* at a time */
    bool once;          /* a new connection for each message */
};

struct load_figures {
    double per_second;     /* messages that came back */
    double p50_us, p99_us; /* from sending one, or connecting, until it is back */
    double server_us;      /* the server's processor time for each */
};

/* Each connection sends a message, waits until it is back, and sends the next; for `length_ns`,
 * after a while to warm up. `server` is the server's processor clock. */
struct load_figures run_load(uint16_t port, const struct load *load, int64_t length_ns,
                             clockid_t server);

#endif
