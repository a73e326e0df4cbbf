/* SPDX-License-Identifier: MIT
 *
 * traffic.h: what makes a server on this machine like one far away: latency, a limit of requests,
 * failures; and counts.
 *
 * It holds no pointers, so that it can lie in memory that several processes share: limits and
 * counts are then those of all of them together. Each process has a place of its own, where it
 * notes what is its own for the moment: a process that sees that it has died takes that back.
 */
#ifndef EXAMPLES_SERVER_TRAFFIC_H
#define EXAMPLES_SERVER_TRAFFIC_H

#include <conc/shared.h>
#include <jansson.h>

#include "support/server/server.h"

enum {
    STATUS_MAX = 600, /* statuses are below it */
};

/* What there is at the moment. */
struct presence {
    int64_t open; /* connections */
    int64_t busy; /* requests that are being answered */
};

struct counts {
    int64_t connections, requests, busy_most;
    struct presence now; /* the sum of all places */
    int64_t answers[STATUS_MAX];
};

struct traffic {
    int64_t latency, jitter, interval, tolerance, connections_max;
    double fail_rate;
    int64_t started;
    size_t places;

    conc_shared_lock lock; /* guards the rest */
    int64_t due; /* when the next request would come if all came evenly at the limit's rate */
    uint64_t random;
    struct counts counts;
    struct presence presences[]; /* of each place */
};

/** The bytes of one with so many places. */
static inline size_t traffic_size(size_t places)
{
    return sizeof(struct traffic) + places * sizeof(struct presence);
}

/** Begin, in memory that is zero. @return 0; -ENOTSUP: no such locks */
int traffic_init(struct traffic *traffic, const struct server_options *options, size_t places);

/** A connection comes. @return may it stay? If not, there are as many as there may be. */
bool traffic_connection_begin(struct traffic *traffic, size_t place);
void traffic_connection_end(struct traffic *traffic, size_t place);

void traffic_request_begin(struct traffic *traffic, size_t place);
void traffic_request_end(struct traffic *traffic, size_t place, int status);

/** The process that had this place has ended, in whatever way: its connections have gone with
 * it. */
void traffic_leave(struct traffic *traffic, size_t place);

/**
 * A request to the API: may it pass?
 *
 * @param seconds  gives, for a 429, after how many seconds another can pass
 * @return 200; 429: over the limit; 500: it is to fail
 */
int traffic_admit(struct traffic *traffic, int *seconds);

/** Sleep as long as an answer takes. @return 0; -ECANCELED */
int traffic_delay(struct traffic *traffic);

/** The counts: {"requests": ..., "answers": {"200": ...}, ...}. NULL: out of memory */
json_t *traffic_json(struct traffic *traffic);

#endif
