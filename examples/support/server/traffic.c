/* SPDX-License-Identifier: MIT
 *
 * traffic.c: latency, a limit, failures, counts.
 *
 * The limit: requests that come evenly, `interval` apart, are due at `due`, due + interval ... A
 * request may come before it is due by `tolerance` at most, which is a burst of 1 + tolerance /
 * interval; it moves `due` on by one interval. So over any t seconds at most burst + limit * t
 * requests pass, as from a leaky bucket, and a client that keeps exactly to the rate passes always,
 * though some of its requests may be late on their way. (The generic cell rate algorithm, ITU-T
 * I.371; nginx's limit_req has the same effect.) conc_bucket makes its callers wait instead and
 * begins empty: it is for the other side.
 *
 * A process that is killed while it holds the lock leaves a total that is one off, at worst. What
 * there is at the moment is added up again from the places then; its own place is cleared by the
 * process that sees its end.
 */
#include "support/server/traffic.h"

#include <conc/base.h>
#include <conc/context.h>
#include <errno.h>
#include <stdio.h>

enum { CONNECTIONS_MAX = 20000 };

/* Add up the places. Under the lock. */
static void add_up(struct traffic *traffic)
{
    struct presence sum = {0, 0};

    for (size_t i = 0; i < traffic->places; i++) {
        sum.open += traffic->presences[i].open;
        sum.busy += traffic->presences[i].busy;
    }
    traffic->counts.now = sum;
}

static void enter(struct traffic *traffic)
{
    if (conc_shared_lock_enter(&traffic->lock) == -EOWNERDEAD) {
        add_up(traffic);
        conc_shared_lock_make_consistent(&traffic->lock);
    }
}

static void leave(struct traffic *traffic) { conc_shared_lock_release(&traffic->lock); }

int traffic_init(struct traffic *traffic, const struct server_options *options, size_t places)
{
    const double limit = options->limit;
    double burst = options->burst;

    *traffic = (struct traffic){
        .latency = options->latency,
        .jitter = options->jitter,
        .fail_rate = options->fail_rate,
        .connections_max =
            options->max_connections > 0 ? options->max_connections : CONNECTIONS_MAX,
        .started = conc_now(),
        .places = places,
        .random = (uint64_t)options->seed,
    };
    if (limit > 0) {
        if (burst <= 0)
            burst = limit / 2 < 2 ? 2 : limit / 2;
        traffic->interval = (int64_t)((double)CONC_S(1) / limit);
        traffic->tolerance = (int64_t)((burst - 1) * (double)traffic->interval);
    }
    return conc_shared_lock_init(&traffic->lock);
}

/* 0 <= a number < 1; under the lock. The generator is SplitMix64 (Steele, Lea, Flood, 2014). */
static double next_random(struct traffic *traffic)
{
    uint64_t z = traffic->random += 0x9e3779b97f4a7c15u;

    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    z ^= z >> 31;
    return (double)(z >> 11) * 0x1p-53;
}

bool traffic_connection_begin(struct traffic *traffic, size_t place)
{
    struct counts *counts = &traffic->counts;
    bool stays;

    enter(traffic);
    stays = counts->now.open < traffic->connections_max;
    if (stays) {
        counts->connections++;
        counts->now.open++;
        traffic->presences[place].open++;
    }
    leave(traffic);
    return stays;
}

void traffic_connection_end(struct traffic *traffic, size_t place)
{
    enter(traffic);
    traffic->counts.now.open--;
    traffic->presences[place].open--;
    leave(traffic);
}

void traffic_request_begin(struct traffic *traffic, size_t place)
{
    struct counts *counts = &traffic->counts;

    enter(traffic);
    counts->requests++;
    traffic->presences[place].busy++;
    if (++counts->now.busy > counts->busy_most)
        counts->busy_most = counts->now.busy;
    leave(traffic);
}

void traffic_request_end(struct traffic *traffic, size_t place, int status)
{
    enter(traffic);
    traffic->counts.now.busy--;
    traffic->presences[place].busy--;
    if (status > 0 && status < STATUS_MAX)
        traffic->counts.answers[status]++;
    leave(traffic);
}

void traffic_leave(struct traffic *traffic, size_t place)
{
    enter(traffic);
    traffic->presences[place] = (struct presence){0, 0};
    add_up(traffic);
    leave(traffic);
}

/* Under the lock. */
static int admit(struct traffic *traffic, int *seconds)
{
    int64_t now = conc_now();

    if (traffic->interval > 0) {
        int64_t early = traffic->due - traffic->tolerance - now;

        if (early > 0) {
            *seconds = (int)((early + CONC_S(1) - 1) / CONC_S(1));
            return 429;
        }
        traffic->due = (traffic->due > now ? traffic->due : now) + traffic->interval;
    }
    return traffic->fail_rate > 0 && next_random(traffic) < traffic->fail_rate ? 500 : 200;
}

int traffic_admit(struct traffic *traffic, int *seconds)
{
    int status;

    enter(traffic);
    status = admit(traffic, seconds);
    leave(traffic);
    return status;
}

int traffic_delay(struct traffic *traffic)
{
    int64_t ns = traffic->latency;

    if (traffic->jitter > 0) {
        enter(traffic);
        ns += (int64_t)((2 * next_random(traffic) - 1) * (double)traffic->jitter);
        leave(traffic);
    }
    return ns > 0 ? conc_sleep(ns) : 0;
}

json_t *traffic_json(struct traffic *traffic)
{
    struct counts now;
    json_t *answers = json_object();

    enter(traffic);
    now = traffic->counts;
    leave(traffic);
    for (int status = 0; status < STATUS_MAX; status++) {
        char key[12];

        if (now.answers[status] == 0)
            continue;
        snprintf(key, sizeof key, "%d", status);
        json_object_set_new(answers, key, json_integer(now.answers[status]));
    }
    return json_pack("{s:f, s:I, s:I, s:I, s:I, s:I, s:o}", "seconds",
                     (double)(conc_now() - traffic->started) / (double)CONC_S(1), "connections",
                     (json_int_t)now.connections, "open", (json_int_t)now.now.open, "requests",
                     (json_int_t)now.requests, "busy", (json_int_t)now.now.busy, "busy_most",
                     (json_int_t)now.busy_most, "answers", answers);
}
