/* SPDX-License-Identifier: MIT
 *
 * item.h: something to run, in a driver's inbox (driver.h) or in its loop's ready list. An item
 * lies in the struct that it is for, and its run() finds that struct by itself.
 */
#ifndef CONC_LIB_OP_ITEM_H
#define CONC_LIB_OP_ITEM_H

#include <stddef.h>

struct item {
    struct item *next;
    void (*run)(struct item *item);
};

/* First in, first out; all-zero: empty. */
struct item_queue {
    struct item *first, *last;
};

static inline void item_push(struct item_queue *queue, struct item *item)
{
    item->next = NULL;
    *(queue->first ? &queue->last->next : &queue->first) = item;
    queue->last = item;
}

static inline struct item *item_pop(struct item_queue *queue)
{
    struct item *item = queue->first;
    if (item)
        queue->first = item->next;
    return item;
}

#endif
