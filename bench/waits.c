/* SPDX-License-Identifier: MIT
 *
 * waits.c: semaphores and events, against a mutex and a condition.
 *
 * A semaphore's acquire + release with units left, in nanoseconds; and round trips between two
 * threads by two semaphores and by two events, in microseconds, on one core and on two (see
 * queues.c).
 */
#include <conc.h>
#include <pthread.h>

#include "bench.h"
#include "plain.h"

/* ---- A semaphore with units left ---- */

static struct figures sem_pair(enum peer peer, const void *setup)
{
    const uint64_t n = amount(1000000);
    conc_sem conc = CONC_SEM_INIT(3);
    struct plain_sem plain;
    must(plain_sem_init(&plain, 3), "a semaphore");
    struct stopwatch w = start_clock();
    if (peer == CONC)
        for (uint64_t i = 0; i < n; i++) {
            must(conc_sem_acquire(&conc, CONC_FOREVER), "conc_sem_acquire");
            conc_sem_release(&conc, 1);
        }
    else
        for (uint64_t i = 0; i < n; i++) {
            plain_sem_acquire(&plain);
            plain_sem_release(&plain);
        }
    w = stop_clock(w);
    plain_sem_destroy(&plain);
    return (struct figures){.value = (double)w.wall_ns / (double)n};
}

/* ---- Round trips ---- */

enum signal { BY_SEM, BY_EVENT };

struct trip_setup {
    enum signal by;
    const int *cores; /* of the two threads; NULL: any */
};

struct trip {
    const struct trip_setup *setup;
    enum peer peer;
    uint64_t trips;
    /* there, and back */
    conc_sem sem[2];
    conc_event event[2];
    struct plain_sem plain_sem[2];
    struct plain_event plain_event[2];
};

static void trip_send(struct trip *t, int way)
{
    if (t->setup->by == BY_SEM)
        t->peer == CONC ? (void)conc_sem_release(&t->sem[way], 1)
                        : plain_sem_release(&t->plain_sem[way]);
    else
        t->peer == CONC ? conc_event_set(&t->event[way]) : plain_event_set(&t->plain_event[way]);
}

static void trip_receive(struct trip *t, int way)
{
    if (t->setup->by == BY_SEM && t->peer == CONC) {
        must(conc_sem_acquire(&t->sem[way], CONC_FOREVER), "conc_sem_acquire");
    } else if (t->setup->by == BY_SEM) {
        plain_sem_acquire(&t->plain_sem[way]);
    } else if (t->peer == CONC) {
        must(conc_event_wait(&t->event[way], CONC_FOREVER), "conc_event_wait");
        conc_event_clear(&t->event[way]);
    } else {
        plain_event_wait(&t->plain_event[way]);
        plain_event_clear(&t->plain_event[way]);
    }
}

static void trip_body(void *arg, size_t index)
{
    struct trip *t = arg;
    for (uint64_t i = 0; i < t->trips; i++) {
        if (index == 0)
            trip_send(t, 0);
        trip_receive(t, index == 0);
        if (index == 1)
            trip_send(t, 1);
    }
}

static struct figures round_trip(enum peer peer, const void *setup)
{
    const struct trip_setup *s = setup;
    struct trip t = {.setup = s, .peer = peer, .trips = amount(5000)};
    for (int i = 0; i < 2; i++) {
        must(plain_sem_init(&t.plain_sem[i], 0), "a semaphore");
        must(plain_event_init(&t.plain_event[i]), "an event");
    }
    struct stopwatch w = run_threads(2, trip_body, &t, s->cores);
    for (int i = 0; i < 2; i++) {
        plain_sem_destroy(&t.plain_sem[i]);
        plain_event_destroy(&t.plain_event[i]);
    }
    return (struct figures){.value = (double)w.wall_ns / 1e3 / (double)t.trips,
                            .cores = cores_of(w)};
}

static void *idle_main(void *arg)
{
    pthread_barrier_wait(arg);
    return NULL;
}

/* As in locks.c: another thread must be alive. */
static void bench_sem_pair(void)
{
    pthread_t second;
    pthread_barrier_t end;
    must(pthread_barrier_init(&end, NULL, 2), "pthread_barrier_init");
    must(pthread_create(&second, NULL, idle_main, &end), "pthread_create");
    compare("sem with units left, acquire + release", "ns", LESS_IS_BETTER, sem_pair, NULL);
    pthread_barrier_wait(&end);
    pthread_join(second, NULL);
    pthread_barrier_destroy(&end);
}

void bench_waits(void)
{
    if (!section("waits", "conc_sem and conc_event, and each by a mutex and a condition"))
        return;
    bench_sem_pair();
    int cores[MAX_THREADS];
    int n = spread_cores(cores);
    const int one[2] = {cores[0], cores[0]};
    compare("sem round trip, one core", "us", LESS_IS_BETTER, round_trip,
            &(struct trip_setup){BY_SEM, one});
    compare("event round trip, one core", "us", LESS_IS_BETTER, round_trip,
            &(struct trip_setup){BY_EVENT, one});
    if (n >= 2) {
        compare("sem round trip, two cores", "us", LESS_IS_BETTER, round_trip,
                &(struct trip_setup){BY_SEM, cores});
        compare("event round trip, two cores", "us", LESS_IS_BETTER, round_trip,
                &(struct trip_setup){BY_EVENT, cores});
    }
}
