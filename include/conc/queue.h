/* SPDX-License-Identifier: MIT
 *
 * conc/queue.h: a queue of values between contexts: first in first out, last in first out, or by
 * priority; bounded or not; with task_done/join and a graceful or immediate shutdown, as CPython
 * 3.13's.
 *
 * Elements are copied in and out. Waiters are served in order of arrival: an element that is put
 * goes straight to the getter that has waited longest, and a get lets in the element of the putter
 * that has waited longest. The queue is not touched any more once another context can know of an
 * operation's effect. So the context that gets the last element (or returns from the join, or is
 * told of the shutdown) may destroy the queue, even if the call that brought that about has not
 * returned yet.
 */
#ifndef CONC_QUEUE_H
#define CONC_QUEUE_H

#include <conc/waitlist.h>

#ifdef __cplusplus
extern "C" {
#endif

/** In which order a queue gives its elements. */
typedef enum conc_queue_order {
    CONC_FIFO,
    CONC_LIFO,
    CONC_PRIORITY, /* set by conc_queue_init_priority() */
} conc_queue_order;

/**
 * Less than 0: `a` comes out before `b`; more: after; 0: the one that was put first. Both are
 * aligned for any type of the element's size, as far as malloc() aligns. Called under the queue's
 * guard: it must not call the queue, nor block.
 */
typedef int conc_compare_fn(const void *a, const void *b, void *arg);

/** Told of an element that goes without having been got; see conc_queue_on_drop(). */
typedef void conc_drop_fn(void *item, void *arg);

/* Where the elements lie. Private. What changes with every element comes first: it shares a cache
 * line with the guard. */
struct conc__store {
    size_t count;         /* written under the queue's guard, read also without */
    size_t first;         /* the ring's oldest element */
    uint64_t sequence;    /* breaks the priority order's ties */
    unsigned char *items; /* a ring, or a heap */
    size_t room;          /* for how many elements there is memory */
    size_t limit;         /* the most elements; SIZE_MAX: no bound */
    size_t elem_size;
    size_t stride; /* from one element to the next */
    conc_queue_order order;
    conc_compare_fn *compare;
    void *compare_arg;
};

/** All fields are private. */
typedef struct conc_queue {
    uint32_t word; /* the guard of all the rest */
    bool is_shutdown;
    size_t unfinished; /* put, and not yet told done */
    struct conc__waitlist getters, putters, joiners;
    struct conc__store store;
    conc_drop_fn *drop;
    void *drop_arg;
} conc_queue;

/**
 * Make a queue.
 *
 * @param elem_size  bytes of an element; above 0
 * @param capacity   the most elements it holds; 0: no bound
 * @param order      CONC_FIFO or CONC_LIFO
 * @return 0; -EINVAL; -ENOMEM. On failure there is nothing to destroy.
 *
 * A bounded queue of up to 64 KiB has all of its memory from the start, so that putting into it
 * never fails for lack of memory. Other queues grow as they need it, and give it back when they are
 * destroyed or shut down with `immediate`.
 *
 * Python: queue.Queue(maxsize), LifoQueue, asyncio.Queue
 * [anywhere | no | no]
 */
CONC_API CONC_MUST_CHECK int conc_queue_init(conc_queue *queue, size_t elem_size, size_t capacity,
                                             conc_queue_order order);

/**
 * Make a queue that gives the smallest element first; equals in the order in which they came.
 *
 * @param fn   compares two elements
 * @param arg  for fn
 * @return as conc_queue_init()
 *
 * Python: queue.PriorityQueue
 * [anywhere | no | no]
 */
CONC_API CONC_MUST_CHECK int conc_queue_init_priority(conc_queue *queue, size_t elem_size,
                                                      size_t capacity, conc_compare_fn *fn,
                                                      void *arg);

/**
 * Call fn for each element that is thrown away, by an immediate shutdown or by
 * conc_queue_destroy(): for elements that own something. It is called in the order in which they
 * would have come out, in the context that shuts down or destroys, with no lock held.
 *
 * [one (before the queue is shared) | no | no]
 */
CONC_API void conc_queue_on_drop(conc_queue *queue, conc_drop_fn *fn, void *arg);

/**
 * Free what the queue holds. No other call on it may be under way, but for those whose effect the
 * caller has seen.
 *
 * [anywhere | no | no]
 */
CONC_API void conc_queue_destroy(conc_queue *queue);

/**
 * Put a copy of *item into the queue; wait while it is full.
 *
 * @param item  of the element size; borrowed
 * @return 0; -EAGAIN (full, CONC_NOW), -ETIMEDOUT, -ECANCELED, -ESHUTDOWN (also while it waited),
 *         -ENOMEM (see conc_queue_init()). The item is, or was, in the queue only on 0.
 *
 * Python: Queue.put(), put_nowait()
 * [any | yes | yes]
 */
CONC_API int conc_queue_put(conc_queue *queue, const void *item, conc_deadline deadline);

/**
 * Take an element out; wait while there is none.
 *
 * @param item  room for an element; untouched on failure
 * @return 0; -EAGAIN (empty, CONC_NOW), -ETIMEDOUT, -ECANCELED: nothing was taken; -ESHUTDOWN: shut
 *         down and empty
 *
 * Python: Queue.get(), get_nowait()
 * [any | yes | yes]
 */
CONC_API int conc_queue_get(conc_queue *queue, void *item, conc_deadline deadline);

/**
 * Put n elements, in order, waiting for room as often as needed: as n calls of conc_queue_put() in
 * a row, with no other put coming between.
 *
 * @param items  an array of n elements; borrowed
 * @return how many were put: n, or the first few of them if waiting or memory then failed; else,
 *         with none put, as conc_queue_put(). n = 0 returns 0. -EINVAL: no items
 *
 * [any | yes | yes]
 */
CONC_API ssize_t conc_queue_put_many(conc_queue *queue, const void *items, size_t n,
                                     conc_deadline deadline);

/**
 * Take up to n elements: wait for one, then take what more there is by then.
 *
 * @param items  room for n elements
 * @return how many were taken, at least 1; else as conc_queue_get(). n = 0 returns 0. -EINVAL: no
 *         items
 *
 * [any | yes | yes]
 */
CONC_API ssize_t conc_queue_get_many(conc_queue *queue, void *items, size_t n,
                                     conc_deadline deadline);

/**
 * Say that an element taken out has been dealt with; the last one lets conc_queue_join() return.
 *
 * @return 0; -EINVAL: said more often than elements were put
 *
 * Python: Queue.task_done()
 */
CONC_API int conc_queue_task_done(conc_queue *queue);

/**
 * Wait until every element that was put has been taken out and dealt with.
 *
 * @return 0; -EAGAIN (CONC_NOW), -ETIMEDOUT, -ECANCELED
 *
 * Python: Queue.join()
 * [any | yes | yes]
 */
CONC_API int conc_queue_join(conc_queue *queue, conc_deadline deadline);

/**
 * Close the queue for good. A context that puts, or waits to put, gets -ESHUTDOWN. What is in it
 * can still be taken out, and then getters get -ESHUTDOWN; with `immediate` it is thrown away at
 * once (and counts as dealt with). May be called again, also to throw away what a first call left.
 *
 * What is thrown away has been dropped (conc_queue_on_drop()) when this returns; a getter or a
 * joiner may return before that.
 *
 * Python: Queue.shutdown(immediate) (3.13)
 */
CONC_API void conc_queue_shutdown(conc_queue *queue, bool immediate);

/**
 * Has it been shut down?
 *
 * Python: Queue.is_shutdown
 */
CONC_API bool conc_queue_is_shutdown(const conc_queue *queue);

/**
 * How many elements were put for which conc_queue_task_done() has not been called; true only for
 * the moment.
 *
 * Python: Queue.unfinished_tasks
 */
CONC_API size_t conc_queue_n_unfinished(const conc_queue *queue);

/**
 * How many elements there are; true only for the moment.
 *
 * Python: qsize()
 */
CONC_API size_t conc_queue_size(const conc_queue *queue);

/**
 * Has it no elements? True only for the moment.
 *
 * Python: empty()
 */
CONC_API bool conc_queue_is_empty(const conc_queue *queue);

/**
 * Has it as many elements as its capacity? True only for the moment.
 *
 * Python: full()
 */
CONC_API bool conc_queue_is_full(const conc_queue *queue);

#ifdef __cplusplus
}
#endif
#endif
