/* SPDX-License-Identifier: MIT
 *
 * queues.c: conc_queue against a ring with a mutex and two conditions.
 *
 * Flow: p producers put numbers as fast as they can, c consumers take them out; thousands of items
 * per second, the threads spread over the cores. Ping-pong: an item goes to and fro between two
 * threads through two queues of capacity 1; microseconds a round trip. That measures how a sleeping
 * thread is woken, which depends on where the two run: so once with both on one core, once on two,
 * once wherever the kernel puts them.
 */
#include <conc.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "bench.h"
#include "plain.h"

struct two_queues {
    conc_queue conc;
    struct plain_queue plain;
};

static void queue_open(struct two_queues *q, enum peer peer, size_t capacity)
{
    must(peer == CONC ? conc_queue_init(&q->conc, sizeof(uint64_t), capacity, CONC_FIFO)
                      : plain_queue_init(&q->plain, capacity),
         "a queue");
}

static void queue_close(struct two_queues *q, enum peer peer)
{
    peer == CONC ? conc_queue_destroy(&q->conc) : plain_queue_destroy(&q->plain);
}

static inline void put(struct two_queues *q, enum peer peer, uint64_t item)
{
    if (peer == CONC)
        must(conc_queue_put(&q->conc, &item, CONC_FOREVER), "conc_queue_put");
    else
        plain_queue_put(&q->plain, item);
}

static inline uint64_t get(struct two_queues *q, enum peer peer)
{
    uint64_t item = 0;
    if (peer == PLAIN)
        return plain_queue_get(&q->plain);
    must(conc_queue_get(&q->conc, &item, CONC_FOREVER), "conc_queue_get");
    return item;
}

/* ---- Flow ---- */

struct flow_setup {
    size_t producers, consumers, capacity;
};

struct flow {
    const struct flow_setup *setup;
    enum peer peer;
    uint64_t each; /* items that a producer puts */
    uint64_t sums[MAX_THREADS];
    struct two_queues queue;
};

static void flow_body(void *arg, size_t index)
{
    struct flow *f = arg;
    const struct flow_setup *s = f->setup;
    if (index < s->producers) {
        for (uint64_t i = 1; i <= f->each; i++)
            put(&f->queue, f->peer, i);
    } else {
        uint64_t sum = 0, n = f->each * s->producers / s->consumers;
        for (uint64_t i = 0; i < n; i++)
            sum += get(&f->queue, f->peer);
        f->sums[index] = sum;
    }
}

static struct figures flow(enum peer peer, const void *setup)
{
    const struct flow_setup *s = setup;
    struct flow f = {.setup = s, .peer = peer, .each = amount(250000) / s->producers};
    queue_open(&f.queue, peer, s->capacity);
    int cores[MAX_THREADS];
    spread_cores(cores);
    struct stopwatch w = run_threads(s->producers + s->consumers, flow_body, &f, cores);
    queue_close(&f.queue, peer);
    uint64_t sum = 0, items = f.each * s->producers;
    for (size_t i = 0; i < MAX_THREADS; i++)
        sum += f.sums[i];
    if (sum != s->producers * f.each * (f.each + 1) / 2) {
        fprintf(stderr, "bench_core: a queue has lost items\n");
        exit(EXIT_FAILURE);
    }
    return (struct figures){.value = (double)items * 1e6 / (double)w.wall_ns, .cores = cores_of(w)};
}

/* ---- Ping-pong ---- */

struct ping_setup {
    const int *cores; /* of the two threads; NULL: any */
};

struct ping {
    enum peer peer;
    uint64_t trips;
    struct two_queues there, back;
};

static void ping_body(void *arg, size_t index)
{
    struct ping *p = arg;
    for (uint64_t i = 0; i < p->trips; i++) {
        if (index == 0) {
            put(&p->there, p->peer, i);
            get(&p->back, p->peer);
        } else {
            put(&p->back, p->peer, get(&p->there, p->peer));
        }
    }
}

static struct figures ping_pong(enum peer peer, const void *setup)
{
    const struct ping_setup *s = setup;
    struct ping p = {.peer = peer, .trips = amount(5000)};
    queue_open(&p.there, peer, 1);
    queue_open(&p.back, peer, 1);
    struct stopwatch w = run_threads(2, ping_body, &p, s->cores);
    queue_close(&p.back, peer);
    queue_close(&p.there, peer);
    return (struct figures){.value = (double)w.wall_ns / 1e3 / (double)p.trips,
                            .cores = cores_of(w)};
}

void bench_queues(void)
{
    if (!section("queues", "conc_queue and a ring with a mutex and two conditions"))
        return;
    compare("1:1, capacity 1024", "k items/s", MORE_IS_BETTER, flow,
            &(struct flow_setup){1, 1, 1024});
    compare("4:4, capacity 1024", "k items/s", MORE_IS_BETTER, flow,
            &(struct flow_setup){4, 4, 1024});
    int cores[MAX_THREADS];
    int n = spread_cores(cores);
    compare("ping-pong, capacity 1, one core", "us", LESS_IS_BETTER, ping_pong,
            &(struct ping_setup){(int[]){cores[0], cores[0]}});
    if (n >= 2)
        compare("ping-pong, capacity 1, two cores", "us", LESS_IS_BETTER, ping_pong,
                &(struct ping_setup){cores});
    compare("ping-pong, capacity 1, any cores", "us", LESS_IS_BETTER, ping_pong,
            &(struct ping_setup){NULL});
}
