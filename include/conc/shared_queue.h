/* SPDX-License-Identifier: MIT
 *
 * conc/shared_queue.h: a bounded queue of values between processes, first in first out, in memory
 * that they share (conc/shared.h tells of such memory, of waiting, and of processes that die).
 *
 *     size_t size = conc_shared_queue_bytes(sizeof(struct order), 1000);
 *     err = conc_shared_new(&block, size);
 *     conc_shared_queue *orders = block;
 *     err = conc_shared_queue_init(orders, sizeof(struct order), 1000);
 *
 * A process that is killed while it puts has put its element whole, or not at all. An element that
 * it has taken out is lost. conc_shared_queue_task_done() was not called for it, so a join goes on
 * waiting for it.
 */
#ifndef CONC_SHARED_QUEUE_H
#define CONC_SHARED_QUEUE_H

#include <conc/shared.h>

#ifdef __cplusplus
extern "C" {
#endif

/** All fields are private. The elements follow the struct. */
typedef struct conc_shared_queue {
    pthread_mutex_t mutex; /* of all the rest but the spots */
    struct conc__shared_spot getters, putters, joiners;
    uint64_t put, got; /* elements ever put and taken out */
    uint64_t done;     /* calls of conc_shared_queue_task_done() */
    uint64_t dropped;  /* by an immediate shutdown */
    uint64_t capacity, elem_size;
    uint32_t is_shutdown;
} conc_shared_queue;

/**
 * How many bytes such a queue takes, its elements included; 0: more than a size_t can tell, or an
 * argument is 0.
 *
 * [anywhere | no | no]
 */
CONC_API size_t conc_shared_queue_bytes(size_t elem_size, size_t capacity);

/**
 * Make a queue.
 *
 * @param queue      conc_shared_queue_bytes() of shared memory, aligned for any type
 * @param elem_size  bytes of an element; above 0. An element holds no pointers.
 * @param capacity   the most elements it holds; above 0
 * @return 0; -EINVAL; -ENOTSUP: the system has no locks for processes
 *
 * Python: multiprocessing.JoinableQueue(maxsize)
 * [anywhere | no | no]
 */
CONC_API CONC_MUST_CHECK int conc_shared_queue_init(conc_shared_queue *queue, size_t elem_size,
                                                    size_t capacity);

/**
 * Put a copy of *item into the queue; wait while it is full.
 *
 * @param item  of the element size; borrowed
 * @return 0; -EAGAIN (full, CONC_NOW), -ETIMEDOUT, -ECANCELED, -ESHUTDOWN (also while it waited).
 *         The item is, or was, in the queue only on 0.
 *
 * Python: Queue.put()
 * [any | yes | yes]
 */
CONC_API int conc_shared_queue_put(conc_shared_queue *queue, const void *item,
                                   conc_deadline deadline);

/**
 * Take an element out; wait while there is none.
 *
 * @param item  room for an element; untouched on failure
 * @return 0; -EAGAIN (empty, CONC_NOW), -ETIMEDOUT, -ECANCELED: nothing was taken; -ESHUTDOWN: shut
 *         down and empty
 *
 * Python: Queue.get()
 * [any | yes | yes]
 */
CONC_API int conc_shared_queue_get(conc_shared_queue *queue, void *item, conc_deadline deadline);

/**
 * Say that an element taken out has been dealt with; the last one lets conc_shared_queue_join()
 * return.
 *
 * @return 0; -EINVAL: said more often than elements were put
 *
 * Python: JoinableQueue.task_done()
 */
CONC_API int conc_shared_queue_task_done(conc_shared_queue *queue);

/**
 * Wait until every element that was put has been taken out and dealt with.
 *
 * @return 0; -EAGAIN (CONC_NOW), -ETIMEDOUT, -ECANCELED
 *
 * Python: JoinableQueue.join()
 * [any | yes | yes]
 */
CONC_API int conc_shared_queue_join(conc_shared_queue *queue, conc_deadline deadline);

/**
 * Close the queue for good. A context that puts, or waits to put, gets -ESHUTDOWN. What is in it
 * can still be taken out, and then getters get -ESHUTDOWN; with `immediate` it is thrown away at
 * once (and counts as dealt with). May be called again, also to throw away what a first call left.
 *
 * Python: Queue.shutdown(immediate) of the queue module
 */
CONC_API void conc_shared_queue_shutdown(conc_shared_queue *queue, bool immediate);

/**
 * Has it been shut down?
 *
 * Python: Queue.is_shutdown of the queue module
 */
CONC_API bool conc_shared_queue_is_shutdown(const conc_shared_queue *queue);

/**
 * How many elements were put for which conc_shared_queue_task_done() has not been called; true only
 * for the moment.
 *
 * Python: Queue.unfinished_tasks of the queue module
 */
CONC_API size_t conc_shared_queue_n_unfinished(const conc_shared_queue *queue);

/**
 * How many elements there are; true only for the moment.
 *
 * Python: qsize()
 */
CONC_API size_t conc_shared_queue_size(const conc_shared_queue *queue);

/**
 * Has it no elements? True only for the moment.
 *
 * Python: empty()
 */
CONC_API bool conc_shared_queue_is_empty(const conc_shared_queue *queue);

/**
 * Has it as many elements as its capacity? True only for the moment.
 *
 * Python: full()
 */
CONC_API bool conc_shared_queue_is_full(const conc_shared_queue *queue);

#ifdef __cplusplus
}
#endif
#endif
