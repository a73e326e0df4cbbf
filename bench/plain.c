/* SPDX-License-Identifier: MIT
 *
 * plain.c: the peers, as plain.h says.
 */
#include "plain.h"

#include <errno.h>
#include <stdlib.h>

/* ---- The queue ---- */

int plain_queue_init(struct plain_queue *q, size_t capacity)
{
    *q = (struct plain_queue){.capacity = capacity, .ring = calloc(capacity, sizeof *q->ring)};
    if (q->ring == NULL)
        return -ENOMEM;
    pthread_mutex_init(&q->mutex, NULL);
    pthread_cond_init(&q->not_empty, NULL);
    pthread_cond_init(&q->not_full, NULL);
    return 0;
}

void plain_queue_destroy(struct plain_queue *q)
{
    pthread_cond_destroy(&q->not_full);
    pthread_cond_destroy(&q->not_empty);
    pthread_mutex_destroy(&q->mutex);
    free(q->ring);
}

void plain_queue_put(struct plain_queue *q, uint64_t item)
{
    pthread_mutex_lock(&q->mutex);
    while (q->count == q->capacity)
        pthread_cond_wait(&q->not_full, &q->mutex);
    size_t place = q->first + q->count++;
    q->ring[place < q->capacity ? place : place - q->capacity] = item;
    pthread_mutex_unlock(&q->mutex);
    pthread_cond_signal(&q->not_empty);
}

uint64_t plain_queue_get(struct plain_queue *q)
{
    pthread_mutex_lock(&q->mutex);
    while (q->count == 0)
        pthread_cond_wait(&q->not_empty, &q->mutex);
    uint64_t item = q->ring[q->first];
    q->first = q->first + 1 < q->capacity ? q->first + 1 : 0;
    q->count--;
    pthread_mutex_unlock(&q->mutex);
    pthread_cond_signal(&q->not_full);
    return item;
}

/* ---- The event ---- */

int plain_event_init(struct plain_event *e)
{
    e->is_set = false;
    pthread_mutex_init(&e->mutex, NULL);
    return -pthread_cond_init(&e->changed, NULL);
}

void plain_event_destroy(struct plain_event *e)
{
    pthread_cond_destroy(&e->changed);
    pthread_mutex_destroy(&e->mutex);
}

void plain_event_set(struct plain_event *e)
{
    pthread_mutex_lock(&e->mutex);
    e->is_set = true;
    pthread_mutex_unlock(&e->mutex);
    pthread_cond_broadcast(&e->changed);
}

void plain_event_clear(struct plain_event *e)
{
    pthread_mutex_lock(&e->mutex);
    e->is_set = false;
    pthread_mutex_unlock(&e->mutex);
}

void plain_event_wait(struct plain_event *e)
{
    pthread_mutex_lock(&e->mutex);
    while (!e->is_set)
        pthread_cond_wait(&e->changed, &e->mutex);
    pthread_mutex_unlock(&e->mutex);
}

/* ---- The semaphore ---- */

int plain_sem_init(struct plain_sem *s, unsigned units)
{
    s->units = units;
    pthread_mutex_init(&s->mutex, NULL);
    return -pthread_cond_init(&s->more, NULL);
}

void plain_sem_destroy(struct plain_sem *s)
{
    pthread_cond_destroy(&s->more);
    pthread_mutex_destroy(&s->mutex);
}

void plain_sem_acquire(struct plain_sem *s)
{
    pthread_mutex_lock(&s->mutex);
    while (s->units == 0)
        pthread_cond_wait(&s->more, &s->mutex);
    s->units--;
    pthread_mutex_unlock(&s->mutex);
}

void plain_sem_release(struct plain_sem *s)
{
    pthread_mutex_lock(&s->mutex);
    s->units++;
    pthread_mutex_unlock(&s->mutex);
    pthread_cond_signal(&s->more);
}

/* ---- The pool ---- */

static void *worker_main(void *arg)
{
    struct plain_pool *pool = arg;
    pthread_mutex_lock(&pool->mutex);
    for (;;) {
        while (pool->first == NULL && !pool->stop)
            pthread_cond_wait(&pool->work, &pool->mutex);
        struct plain_job *job = pool->first;
        if (job == NULL)
            break;
        pool->first = job->next;
        if (pool->first == NULL)
            pool->last = &pool->first;
        pthread_mutex_unlock(&pool->mutex);
        job->fn(&job->arg, &job->result);
        pthread_mutex_lock(&pool->mutex);
        job->done = true;
        if (pool->waiting > 0)
            pthread_cond_broadcast(&pool->done);
    }
    pthread_mutex_unlock(&pool->mutex);
    return NULL;
}

int plain_pool_init(struct plain_pool *pool, size_t threads)
{
    *pool = (struct plain_pool){.last = &pool->first};
    pthread_mutex_init(&pool->mutex, NULL);
    pthread_cond_init(&pool->work, NULL);
    pthread_cond_init(&pool->done, NULL);
    for (; pool->threads < threads; pool->threads++) {
        int err = pthread_create(&pool->thread[pool->threads], NULL, worker_main, pool);
        if (err) {
            plain_pool_destroy(pool);
            return -err;
        }
    }
    return 0;
}

void plain_pool_destroy(struct plain_pool *pool)
{
    pthread_mutex_lock(&pool->mutex);
    pool->stop = true;
    pthread_mutex_unlock(&pool->mutex);
    pthread_cond_broadcast(&pool->work);
    for (size_t i = 0; i < pool->threads; i++)
        pthread_join(pool->thread[i], NULL);
    pthread_cond_destroy(&pool->done);
    pthread_cond_destroy(&pool->work);
    pthread_mutex_destroy(&pool->mutex);
}

struct plain_job *plain_pool_submit(struct plain_pool *pool, int (*fn)(void *, void *),
                                    uint64_t arg)
{
    struct plain_job *job = malloc(sizeof *job);
    if (job == NULL)
        return NULL;
    *job = (struct plain_job){.fn = fn, .arg = arg};
    pthread_mutex_lock(&pool->mutex);
    *pool->last = job;
    pool->last = &job->next;
    pthread_mutex_unlock(&pool->mutex);
    pthread_cond_signal(&pool->work);
    return job;
}

uint64_t plain_pool_result(struct plain_pool *pool, struct plain_job *job)
{
    pthread_mutex_lock(&pool->mutex);
    pool->waiting++;
    while (!job->done)
        pthread_cond_wait(&pool->done, &pool->mutex);
    pool->waiting--;
    pthread_mutex_unlock(&pool->mutex);
    uint64_t result = job->result;
    free(job);
    return result;
}
