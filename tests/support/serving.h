/* SPDX-License-Identifier: MIT
 *
 * serving.h: what the tests of servers have in common: a server that runs in the way of the test, a
 * handler, clients, and what is seen of them.
 */
#ifndef CONC_TESTS_SERVING_H
#define CONC_TESTS_SERVING_H

#include "ways.h"

#include <conc/lock.h>
#include <conc/server.h>

#define SOON conc_in(CONC_MS(20))
#define PATIENT conc_in(CONC_S(30))

/* What the handlers and the tests see of each other. */
extern struct seen {
    int begun, ended; /* handlers; atomic */
    conc_event open;  /* handlers may end */

    conc_lock lock; /* of the rest */
    int reports;
    int reported;
    char message[CONC_MESSAGE_MAX];
} seen;

/* For conc_server_options: counts the reports. */
void on_error(int err, const char *message, void *arg);
int reports(void);
int last_reported(void);

int count_of(const int *count);

/* At the beginning and the end of each handler; end() returns its argument. */
void begin(void *arg);
int end(int err);

/* A handler that sends each line back. */
conc_stream_fn echo;

/* A server on the loopback interface, with handlers as the way is: tasks, or threads. All that was
 * seen before is forgotten. */
struct rig {
    conc_server *server;
    conc_executor *executor; /* NULL: the loop */
    uint16_t port;
};

struct rig start_server(conc_stream_fn *handler);
struct rig start_with(conc_stream_fn *handler, conc_server_options options);
struct rig start_on(int fd, conc_stream_fn *handler, conc_server_options options);
void free_rig(struct rig *rig);

/* A connection to it; and does it refuse any? */
int dial(const struct rig *rig);
bool refuses(const struct rig *rig);

void check_echoes(int fd, const char *text);

/* The server has closed it: orderly, or by a reset if it has not read everything. Closes it. */
void check_hung_up(int fd);

#endif
