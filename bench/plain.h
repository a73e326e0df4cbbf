/* SPDX-License-Identifier: MIT
 *
 * plain.h: the peers: what a C programmer writes without libconc, with a pthread mutex and
 * conditions. Kept as plain and as fast as the textbook version is: values of one type, no
 * deadlines, no shutdown.
 */
#ifndef BENCH_PLAIN_H
#define BENCH_PLAIN_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* ---- A bounded queue of 64-bit numbers: a ring, a mutex, two conditions ---- */

struct plain_queue {
    pthread_mutex_t mutex;
    pthread_cond_t not_empty, not_full;
    size_t capacity, count, first;
    uint64_t *ring;
};

int plain_queue_init(struct plain_queue *q, size_t capacity);
void plain_queue_destroy(struct plain_queue *q);
void plain_queue_put(struct plain_queue *q, uint64_t item);
uint64_t plain_queue_get(struct plain_queue *q);

/* ---- An event ---- */

struct plain_event {
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    bool is_set;
};

int plain_event_init(struct plain_event *e);
void plain_event_destroy(struct plain_event *e);
void plain_event_set(struct plain_event *e);
void plain_event_clear(struct plain_event *e);
void plain_event_wait(struct plain_event *e);

/* ---- A semaphore ---- */

struct plain_sem {
    pthread_mutex_t mutex;
    pthread_cond_t more;
    unsigned units;
};

int plain_sem_init(struct plain_sem *s, unsigned units);
void plain_sem_destroy(struct plain_sem *s);
void plain_sem_acquire(struct plain_sem *s);
void plain_sem_release(struct plain_sem *s);

/* ---- A pool of threads: a list of jobs, a mutex, two conditions ---- */

struct plain_job {
    struct plain_job *next;
    int (*fn)(void *arg, void *result);
    bool done;
    uint64_t arg, result;
};

struct plain_pool {
    pthread_mutex_t mutex;
    pthread_cond_t work, done;
    struct plain_job *first, **last;
    size_t waiting; /* callers that wait for a job's end */
    bool stop;
    size_t threads;
    pthread_t thread[64];
};

int plain_pool_init(struct plain_pool *pool, size_t threads);
void plain_pool_destroy(struct plain_pool *pool);
/* A job of its own memory, so that the caller can ask for it; NULL: no memory. */
struct plain_job *plain_pool_submit(struct plain_pool *pool, int (*fn)(void *, void *),
                                    uint64_t arg);
/* Waits until the job is done, and frees it. */
uint64_t plain_pool_result(struct plain_pool *pool, struct plain_job *job);

#endif
