/* SPDX-License-Identifier: MIT
 *
 * prefork.h: a server as several processes, each of which serves its connections as tasks.
 *
 *     struct prefork *prefork;
 *     int err = prefork_start(&prefork, &options, 4, CONC_S(1));
 *     ...
 *     prefork_stop(prefork);
 */
#ifndef EXAMPLES_SERVER_PREFORK_H
#define EXAMPLES_SERVER_PREFORK_H

#include "support/server/server.h"

struct prefork;

/**
 * Listen, and start the processes. One that dies is replaced, with a complaint on stderr.
 *
 * @param options  borrowed until the return; the limit, the failures and the counts are those of all
 *                 processes together, max_connections is each one's
 * @param workers  how many; 0: one for each processor
 * @param grace    what server_stop() in each of them is given in the end
 * @return 0; a negative error with a message
 */
int prefork_start(struct prefork **ret, const struct server_options *options, size_t workers,
                  int64_t grace);

/** As server_url(). */
const char *prefork_url(const struct prefork *prefork);

/** As server_stop() in each process; and free it. NULL is ignored. */
void prefork_stop(struct prefork *prefork);

#endif
