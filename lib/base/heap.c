/* SPDX-License-Identifier: MIT
 *
 * heap.c: the priority queue of heap.h.
 *
 * How: the entry at index i (from 0) has its children at 4i + 1 to 4i + 4, and comes before all of
 * them. Four children, not two: the tree is half as deep, and four entries of 16 bytes share a
 * cache line, so going down a level costs one miss. The keys lie in the array, so comparing touches
 * no node unless two keys are equal: then the node that was pushed first comes first.
 *
 * Invariant: entries[i].node->place == i + 1. Only heap_put() writes an entry, and it keeps this.
 */
#include "base/heap.h"

#include <errno.h>
#include <string.h>

#include "base/alloc.h"
#include "base/invariant.h"

enum {
    HEAP_ARITY = 4,
    HEAP_FIRST_ROOM = 16, /* entries: a quarter of a KiB */
};

static bool heap_comes_before(const struct heap_entry *a, const struct heap_entry *b)
{
    return a->key != b->key ? a->key < b->key : a->node->order < b->node->order;
}

static void heap_put(struct heap *heap, size_t i, struct heap_entry entry)
{
    heap->entries[i] = entry;
    entry.node->place = i + 1;
}

/* Put an entry where there is a hole at i, or further up. */
static void heap_sift_up(struct heap *heap, size_t i, struct heap_entry entry)
{
    while (i > 0) {
        size_t parent = (i - 1) / HEAP_ARITY;
        if (!heap_comes_before(&entry, &heap->entries[parent]))
            break;
        heap_put(heap, i, heap->entries[parent]);
        i = parent;
    }
    heap_put(heap, i, entry);
}

/* The first of i's children; heap->count: it has none. */
static size_t heap_first_child(const struct heap *heap, size_t i)
{
    size_t child = HEAP_ARITY * i + 1;
    if (child >= heap->count)
        return heap->count;
    size_t end = child + HEAP_ARITY < heap->count ? child + HEAP_ARITY : heap->count;
    size_t first = child;
    while (++child < end)
        if (heap_comes_before(&heap->entries[child], &heap->entries[first]))
            first = child;
    return first;
}

/* Put an entry where there is a hole at i, or further down. */
static void heap_sift_down(struct heap *heap, size_t i, struct heap_entry entry)
{
    for (;;) {
        size_t child = heap_first_child(heap, i);
        if (child == heap->count || !heap_comes_before(&heap->entries[child], &entry))
            break;
        heap_put(heap, i, heap->entries[child]);
        i = child;
    }
    heap_put(heap, i, entry);
}

int conc__heap_reserve(struct heap *heap, size_t n)
{
    if (n <= heap->room)
        return 0;
    size_t room = heap->room ? 2 * heap->room : HEAP_FIRST_ROOM;
    if (room < n)
        room = n;
    struct heap_entry *entries = alloc_array(room, sizeof *entries);
    if (!entries)
        return -ENOMEM;
    if (heap->count)
        memcpy(entries, heap->entries, heap->count * sizeof *entries);
    free_bytes(heap->entries);
    heap->entries = entries;
    heap->room = room;
    return 0;
}

void conc__heap_push(struct heap *heap, struct heap_node *node, int64_t key)
{
    invariant(heap->count < heap->room, "a heap has room for what is pushed");
    invariant(!heap_is_in(node), "a node that is pushed is in no heap");
    node->order = heap->order++;
    heap_sift_up(heap, heap->count++, (struct heap_entry){key, node});
}

void conc__heap_remove(struct heap *heap, struct heap_node *node)
{
    size_t hole = node->place - 1;
    invariant(hole < heap->count && heap->entries[hole].node == node,
              "a node that is removed is in the heap");
    struct heap_entry last = heap->entries[--heap->count];
    node->place = 0;
    if (last.node == node)
        return;
    /* The last entry comes from another branch, so it may belong above the hole too. */
    if (hole > 0 && heap_comes_before(&last, &heap->entries[(hole - 1) / HEAP_ARITY]))
        heap_sift_up(heap, hole, last);
    else
        heap_sift_down(heap, hole, last);
}

void conc__heap_free(struct heap *heap)
{
    free_bytes(heap->entries);
    *heap = (struct heap){0};
}
