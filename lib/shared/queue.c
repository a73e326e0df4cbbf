/* SPDX-License-Identifier: MIT
 *
 * queue.c: a bounded queue between processes.
 *
 * How: a ring behind a robust mutex, which is held for one copy, as the guard of a private queue
 * is. Only waiting for room or for elements has deadlines (wait.c). Everything follows from four
 * counters that only grow:
 *
 *     put - got - dropped      the elements in the queue
 *     put - done - dropped     the elements for which task_done() was not called yet
 *
 * The dead: each change is one store to one counter, and is made last: a put counts when its
 * element is whole, a get when its copy is. So a process that dies inside the mutex leaves a
 * queue that is right as it stands. The next one that takes the mutex only declares it
 * consistent, and wakes everybody in place of the dead.
 *
 * An immediate shutdown first closes the queue, so that `put` stands still, then drops the elements
 * that there are. Then a get finds none, so `got` stands still too, and dropping again changes
 * nothing.
 *
 * Order: the mutex's. A call that only looks reads the counters without it: its answer is true
 * only for the moment.
 */
#include <conc/shared_queue.h>

#include <limits.h>
#include <string.h>

#include "base/atomic.h"
#include "base/invariant.h"
#include "shared/shared_impl.h"

enum { SHARED_QUEUE_ALIGN = 64 }; /* of the elements, in bytes: a cache line */

/* Where the elements begin. */
#define SHARED_QUEUE_ITEMS_AT \
    ((sizeof(conc_shared_queue) + SHARED_QUEUE_ALIGN - 1) / SHARED_QUEUE_ALIGN * SHARED_QUEUE_ALIGN)

_Static_assert(offsetof(conc_shared_queue, getters) == sizeof(pthread_mutex_t) &&
                   offsetof(conc_shared_queue, put) == sizeof(pthread_mutex_t) + 24 &&
                   offsetof(conc_shared_queue, capacity) == sizeof(pthread_mutex_t) + 56 &&
                   offsetof(conc_shared_queue, is_shutdown) == sizeof(pthread_mutex_t) + 72,
               "the layout of a shared queue crosses processes");
_Static_assert(offsetof(conc_shared_queue, put) % sizeof(uint64_t) == 0,
               "an aligned counter is changed by one store: a process dies before it or after");

size_t conc_shared_queue_bytes(size_t elem_size, size_t capacity)
{
    size_t bytes;
    if (!elem_size || !capacity || __builtin_mul_overflow(elem_size, capacity, &bytes) ||
        __builtin_add_overflow(bytes, SHARED_QUEUE_ITEMS_AT, &bytes))
        return 0;
    return bytes;
}

int conc_shared_queue_init(conc_shared_queue *queue, size_t elem_size, size_t capacity)
{
    if (!conc_shared_queue_bytes(elem_size, capacity))
        return -EINVAL;
    *queue = (conc_shared_queue){.elem_size = elem_size, .capacity = capacity};
    return conc__shared_mutex_init(&queue->mutex);
}

/* ---- Under the mutex ---- */

static void shared_queue_wake_all(conc_shared_queue *queue)
{
    conc__shared_notify(&queue->getters, INT_MAX);
    conc__shared_notify(&queue->putters, INT_MAX);
    conc__shared_notify(&queue->joiners, INT_MAX);
}

/* This cannot fail: the mutex is never left inconsistent, and no holder takes it twice. */
static void shared_queue_lock(conc_shared_queue *queue)
{
    int err = pthread_mutex_lock(&queue->mutex);
    invariant(err == 0 || err == EOWNERDEAD, "a shared queue's mutex can be taken");
    if (err == EOWNERDEAD) {
        pthread_mutex_consistent(&queue->mutex);
        shared_queue_wake_all(queue);
    }
}

static void shared_queue_unlock(conc_shared_queue *queue) { pthread_mutex_unlock(&queue->mutex); }

static unsigned char *shared_queue_item(conc_shared_queue *queue, uint64_t number)
{
    return (unsigned char *)queue + SHARED_QUEUE_ITEMS_AT +
           number % queue->capacity * queue->elem_size;
}

/* relaxed, the counters: under the mutex nobody else changes them; without it, what they say is
 * true only for the moment. The release keeps the store behind the copy that it counts. */
static void shared_queue_count(uint64_t *counter)
{
    store_release(counter, load_relaxed(counter) + 1);
}

static uint64_t shared_queue_number(const conc_shared_queue *queue)
{
    uint64_t gone = load_relaxed(&queue->got) + load_relaxed(&queue->dropped);
    uint64_t n = load_relaxed(&queue->put) - gone;
    /* Without the mutex the counters were not read at one moment. */
    if ((int64_t)n < 0)
        return 0;
    return n < queue->capacity ? n : queue->capacity;
}

static uint64_t shared_queue_unfinished(const conc_shared_queue *queue)
{
    uint64_t gone = load_relaxed(&queue->done) + load_relaxed(&queue->dropped);
    return load_relaxed(&queue->put) - gone;
}

static bool shared_queue_is_full(const conc_shared_queue *queue)
{
    return shared_queue_number(queue) >= queue->capacity;
}

static bool shared_queue_is_shutdown(const conc_shared_queue *queue)
{
    return load_relaxed(&queue->is_shutdown); /* relaxed: it changes under the mutex, once */
}

/* 0; -EAGAIN: it is full; -ESHUTDOWN. Without the mutex: for the moment, and it disturbs nobody. */
static int shared_queue_may_put(const conc_shared_queue *queue)
{
    if (shared_queue_is_shutdown(queue))
        return -ESHUTDOWN;
    return shared_queue_is_full(queue) ? -EAGAIN : 0;
}

/* 0; -EAGAIN: it is empty; -ESHUTDOWN: and stays so. The same goes for it. */
static int shared_queue_may_get(const conc_shared_queue *queue)
{
    if (shared_queue_number(queue))
        return 0;
    return shared_queue_is_shutdown(queue) ? -ESHUTDOWN : -EAGAIN;
}

static int shared_queue_append(conc_shared_queue *queue, const void *item)
{
    int err = shared_queue_may_put(queue);
    if (err)
        return err;
    memcpy(shared_queue_item(queue, queue->put), item, queue->elem_size);
    shared_queue_count(&queue->put);
    return 0;
}

static int shared_queue_take_first(conc_shared_queue *queue, void *item)
{
    int err = shared_queue_may_get(queue);
    if (err)
        return err;
    memcpy(item, shared_queue_item(queue, queue->got), queue->elem_size);
    shared_queue_count(&queue->got);
    return 0;
}

/* ---- Put and get ---- */

struct shared_transfer {
    conc_shared_queue *queue;
    const void *from;
    void *to;
};

static int shared_queue_put_now(void *arg)
{
    const struct shared_transfer *t = arg;
    conc_shared_queue *queue = t->queue;
    if (shared_queue_may_put(queue) == -EAGAIN)
        return -EAGAIN;
    shared_queue_lock(queue);
    int err = shared_queue_append(queue, t->from);
    shared_queue_unlock(queue);
    if (err)
        return err;
    conc__shared_notify(&queue->getters, 1);
    return 0;
}

static int shared_queue_get_now(void *arg)
{
    const struct shared_transfer *t = arg;
    conc_shared_queue *queue = t->queue;
    if (shared_queue_may_get(queue) == -EAGAIN)
        return -EAGAIN;
    shared_queue_lock(queue);
    int err = shared_queue_take_first(queue, t->to);
    shared_queue_unlock(queue);
    if (err)
        return err;
    conc__shared_notify(&queue->putters, 1);
    return 0;
}

int conc_shared_queue_put(conc_shared_queue *queue, const void *item, conc_deadline deadline)
{
    struct shared_transfer t = {.queue = queue, .from = item};
    const struct shared_on on = {&queue->putters, shared_queue_put_now, &t, "shared queue put",
                                 queue};
    return conc__shared_call(&on, deadline);
}

int conc_shared_queue_get(conc_shared_queue *queue, void *item, conc_deadline deadline)
{
    struct shared_transfer t = {.queue = queue, .to = item};
    const struct shared_on on = {&queue->getters, shared_queue_get_now, &t, "shared queue get",
                                 queue};
    return conc__shared_call(&on, deadline);
}

/* ---- The rest ---- */

int conc_shared_queue_task_done(conc_shared_queue *queue)
{
    shared_queue_lock(queue);
    uint64_t left = shared_queue_unfinished(queue);
    if (left)
        shared_queue_count(&queue->done);
    shared_queue_unlock(queue);
    if (left == 1)
        conc__shared_notify(&queue->joiners, INT_MAX);
    return left ? 0 : -EINVAL;
}

static int shared_queue_is_done(void *arg)
{
    conc_shared_queue *queue = arg;
    shared_queue_lock(queue);
    bool done = !shared_queue_unfinished(queue);
    shared_queue_unlock(queue);
    return done ? 0 : -EAGAIN;
}

int conc_shared_queue_join(conc_shared_queue *queue, conc_deadline deadline)
{
    const struct shared_on on = {&queue->joiners, shared_queue_is_done, queue, "shared queue join",
                                 queue};
    return conc__shared_call(&on, deadline);
}

void conc_shared_queue_shutdown(conc_shared_queue *queue, bool immediate)
{
    shared_queue_lock(queue);
    store_relaxed(&queue->is_shutdown, 1);
    if (immediate)
        store_release(&queue->dropped, queue->put - queue->got);
    shared_queue_unlock(queue);
    shared_queue_wake_all(queue);
}

bool conc_shared_queue_is_shutdown(const conc_shared_queue *queue)
{
    return shared_queue_is_shutdown(queue);
}

size_t conc_shared_queue_n_unfinished(const conc_shared_queue *queue)
{
    int64_t n = (int64_t)shared_queue_unfinished(queue);
    return n > 0 ? (size_t)n : 0; /* the counters were not read at one moment */
}

size_t conc_shared_queue_size(const conc_shared_queue *queue) { return shared_queue_number(queue); }

bool conc_shared_queue_is_empty(const conc_shared_queue *queue)
{
    return !shared_queue_number(queue);
}

bool conc_shared_queue_is_full(const conc_shared_queue *queue)
{
    return shared_queue_is_full(queue);
}
