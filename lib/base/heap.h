/* SPDX-License-Identifier: MIT
 *
 * heap.h: an intrusive priority queue by time: the earliest comes first; among equals the one that
 * was pushed first.
 *
 * It is a 4-ary heap of (key, node) pairs in an array. Each node knows its place, so it can be
 * taken out from anywhere. Room is reserved beforehand, where a failure can be reported: then
 * adding cannot fail.
 */
#ifndef CONC_LIB_HEAP_H
#define CONC_LIB_HEAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct heap_node {
    size_t place;   /* in the array, counted from 1; 0: in no heap */
    uint64_t order; /* among equal keys */
};

struct heap_entry {
    int64_t key;
    struct heap_node *node;
};

struct heap { /* all-zero: empty */
    struct heap_entry *entries;
    size_t count, room;
    uint64_t order;
};

/* Make room for n nodes in all. 0; -ENOMEM. */
int conc__heap_reserve(struct heap *heap, size_t n);

/* Add a node that is in no heap; there is room. */
void conc__heap_push(struct heap *heap, struct heap_node *node, int64_t key);

/* Take out a node that is in it. */
void conc__heap_remove(struct heap *heap, struct heap_node *node);

/* Free the array. */
void conc__heap_free(struct heap *heap);

static inline bool heap_is_in(const struct heap_node *node) { return node->place != 0; }

/* The first node, and its key; NULL: empty. */
static inline struct heap_node *heap_first(const struct heap *heap, int64_t *key)
{
    if (!heap->count)
        return NULL;
    *key = heap->entries[0].key;
    return heap->entries[0].node;
}

#endif
