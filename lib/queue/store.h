/* SPDX-License-Identifier: MIT
 *
 * store.h: where a queue's elements lie: a ring (first or last in, first out) or a heap (by
 * priority). It knows nothing of waiting; the queue calls everything under its guard.
 */
#ifndef CONC_LIB_STORE_H
#define CONC_LIB_STORE_H

#include <string.h>

#include <conc/queue.h>

#include "base/atomic.h"

/* limit: the most elements; SIZE_MAX: no bound. compare: for CONC_PRIORITY. Returns 0 or
 * -ENOMEM. */
int conc__store_init(struct conc__store *store, size_t elem_size, size_t limit,
                     conc_queue_order order, conc_compare_fn *compare, void *compare_arg);

/* Call `drop` (NULL: none) for each element, in the order in which they would come out, and free
 * the memory. */
void conc__store_destroy(struct conc__store *store, conc_drop_fn *drop, void *arg);

/* Move all elements out into a store of their own; this one is empty then, and has no memory. */
struct conc__store conc__store_split(struct conc__store *store);

/* Get memory for n elements more; n + count is within the limit. Returns 0 or -ENOMEM (nothing has
 * changed). */
int conc__store_grow(struct conc__store *store, size_t n);

/* Add n elements, for which there is room, in turn. */
void conc__store_push(struct conc__store *store, const void *items, size_t n);

/* Take up to n elements out, in their order. Returns how many. */
size_t conc__store_pop(struct conc__store *store, void *items, size_t n);

/* How many elements there is memory for, beside those that it has. */
static inline size_t conc__store_spare(const struct conc__store *store)
{
    return store->room - store->count;
}

/* relaxed: written under the guard; conc_queue_size() reads it without */
static inline void conc__store_set_count(struct conc__store *store, size_t count)
{
    store_relaxed(&store->count, count);
}

/* Copy n elements. Most elements are a number, or a pointer or two: for these a fixed size compiles
 * to a move or two instead of a call. */
static inline void conc__store_copy(const struct conc__store *store, void *to, const void *from,
                                    size_t n)
{
    size_t size = n * store->elem_size;
    switch (size) {
    case 4:
        memcpy(to, from, 4);
        break;
    case 8:
        memcpy(to, from, 8);
        break;
    case 16:
        memcpy(to, from, 16);
        break;
    default:
        memcpy(to, from, size);
    }
}

/* Add one element to a ring that has room; take one from a FIFO ring that has some. This is the
 * usual case, and inline: calls and the general code would cost as much again as the guard. False:
 * it is another case, and nothing has changed. */
static inline bool conc__store_push_fast(struct conc__store *store, const void *item)
{
    if (store->count >= store->room || store->order == CONC_PRIORITY)
        return false;
    size_t ahead = store->room - store->first;
    size_t to = store->count < ahead ? store->first + store->count : store->count - ahead;
    conc__store_copy(store, store->items + to * store->stride, item, 1);
    conc__store_set_count(store, store->count + 1);
    return true;
}

static inline bool conc__store_pop_fast(struct conc__store *store, void *item)
{
    if (store->count == 0 || store->order != CONC_FIFO)
        return false;
    conc__store_copy(store, item, store->items + store->first * store->stride, 1);
    store->first = store->first + 1 < store->room ? store->first + 1 : 0;
    conc__store_set_count(store, store->count - 1);
    return true;
}

#endif
