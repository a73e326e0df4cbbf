/* SPDX-License-Identifier: MIT
 *
 * traffic.h: what makes a server on this machine like one far away: latency, a limit of requests,
 * failures; and counts.
 *
 * It holds no pointers, so that it can lie in memory that several processes share: limit and counts
 * are then those of all of them together.
 */
#ifndef EXAMPLES_SERVER_TRAFFIC_H
#define EXAMPLES_SERVER_TRAFFIC_H

#include <conc/shared.h>
#include <jansson.h>

enum {
    STATUS_MAX = 600, /* statuses are below it */
};

struct counts {
    int64_t connections, requests, busy, busy_most;
    int64_t answers[STATUS_MAX];
};

struct traffic {
    int64_t latency, jitter, interval, tolerance;
    double fail_rate;
    int64_t started;

    conc_shared_lock lock; /* guards the rest */
    int64_t due; /* when the next request would come if all came evenly at the limit's rate */
    uint64_t random;
    struct counts counts;
};

/** Begin: the times in ns, the rates per second; limit 0: none. @return 0; -ENOTSUP: no such locks */
int traffic_init(struct traffic *traffic, int64_t latency, int64_t jitter, double limit,
                 double burst, double fail_rate, uint64_t seed);

void traffic_connection(struct traffic *traffic);
void traffic_request_begin(struct traffic *traffic);
void traffic_request_end(struct traffic *traffic, int status);

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
