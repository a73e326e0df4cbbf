/* SPDX-License-Identifier: MIT
 *
 * prefork.h: a server as several processes, in each of which connections are tasks, or threads, or
 * requests are answered by a pool of threads.
 *
 *     const struct prefork_options how = {.workers = 4, .inside = "threads", .grace = CONC_S(1)};
 *     struct prefork *prefork;
 *     int err = prefork_start(&prefork, &options, &how);
 *     ...
 *     prefork_stop(prefork);
 */
#ifndef EXAMPLES_SERVER_PREFORK_H
#define EXAMPLES_SERVER_PREFORK_H

#include "support/server/server.h"

struct prefork;

struct prefork_options {
    size_t workers;     /* processes; 0: one for each processor */
    const char *inside; /* the model of each, see server_model_make() */
    size_t threads;     /* of each one's pool, if it has one */
    int64_t grace;      /* what server_stop() in each of them is given in the end */
};

/**
 * Listen, and start the processes. One that dies is replaced, with a complaint on stderr.
 *
 * @param options  borrowed until the return; limits, failures and counts are those of all processes
 *                 together
 * @param how      borrowed until the return
 * @return 0; -EINVAL: `inside` is no model, the API key is too long; a negative error; all with a
 *         message
 */
int prefork_start(struct prefork **ret, const struct server_options *options,
                  const struct prefork_options *how);

/** As server_url(). */
const char *prefork_url(const struct prefork *prefork);

/** As server_stop() in each process; and free it. NULL is ignored. */
void prefork_stop(struct prefork *prefork);

#endif
