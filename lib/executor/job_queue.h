/* SPDX-License-Identifier: MIT
 *
 * job_queue.h: the jobs that an executor keeps until they can run: first in, first out, chained by
 * the word that each job has for its executor (conc_job_link()). Under the executor's guard.
 */
#ifndef CONC_LIB_EXECUTOR_JOB_QUEUE_H
#define CONC_LIB_EXECUTOR_JOB_QUEUE_H

#include <conc/executor_impl.h>

#include "future/future_impl.h"

/* All-zero is empty. */
struct job_queue {
    conc_future *first, *last; /* last: only valid while first is not NULL */
    size_t length;
};

static inline bool job_queue_is_empty(const struct job_queue *queue) { return !queue->first; }

static inline void job_queue_push(struct job_queue *queue, conc_future *job)
{
    job->link = NULL;
    *(queue->first ? &queue->last->link : &queue->first) = job;
    queue->last = job;
    queue->length++;
}

static inline void job_queue_push_front(struct job_queue *queue, conc_future *job)
{
    job->link = queue->first;
    if (!queue->first)
        queue->last = job;
    queue->first = job;
    queue->length++;
}

/* The job that has waited longest, off the queue; NULL: the queue is empty. */
static inline conc_future *job_queue_pop(struct job_queue *queue)
{
    conc_future *job = queue->first;
    if (job) {
        queue->first = job->link;
        queue->length--;
    }
    return job;
}

/* All of them, as a chain. */
static inline conc_future *job_queue_take_all(struct job_queue *queue)
{
    conc_future *chain = queue->first;
    *queue = (struct job_queue){0};
    return chain;
}

/* Take the first job off a chain that is not empty. */
static inline conc_future *job_chain_pop(conc_future **chain)
{
    conc_future *job = *chain;
    *chain = job->link;
    return job;
}

/* Cancel the jobs of a chain, and give their references back. Not under a guard: callbacks run. */
static inline void job_chain_cancel(conc_future *chain)
{
    while (chain)
        conc_job_drop(job_chain_pop(&chain), -ECANCELED);
}

#endif
