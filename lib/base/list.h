/* SPDX-License-Identifier: MIT
 *
 * list.h: an intrusive list, circular and doubly linked: the node lies in what is listed, so
 * listing cannot fail and removing needs no search. All-zero is an empty list, and a node that is
 * on none. (The lists of waiters, wait/wait.h, have a form of their own.)
 *
 * Listing a node twice, or removing one that is on no list, would corrupt lists in silence, so it
 * ends the program.
 */
#ifndef CONC_LIB_LIST_H
#define CONC_LIB_LIST_H

#include <stdbool.h>
#include <stddef.h>

#include "base/invariant.h"

struct list_node {
    struct list_node *next, *prev; /* NULL: on no list */
};

struct list {
    struct list_node *head; /* NULL: empty */
};

/* The structure that the node lies in. */
#define list_entry(node, type, member) ((type *)(void *)((char *)(node)-offsetof(type, member)))

static inline bool list_is_empty(const struct list *list) { return !list->head; }
static inline bool list_is_on(const struct list_node *node) { return node->next; }

/* Add at the end. */
static inline void list_push(struct list *list, struct list_node *node)
{
    invariant(!list_is_on(node), "a node that is pushed is on no list");
    struct list_node *head = list->head ? list->head : (list->head = node->prev = node);
    node->next = head;
    node->prev = head->prev;
    head->prev->next = node;
    head->prev = node;
}

static inline void list_remove(struct list *list, struct list_node *node)
{
    invariant(list_is_on(node), "a node that is removed is on a list");
    if (list->head == node)
        list->head = node->next == node ? NULL : node->next;
    node->prev->next = node->next;
    node->next->prev = node->prev;
    node->next = node->prev = NULL;
}

/* Take the first off the list; NULL: it is empty. */
static inline struct list_node *list_pop(struct list *list)
{
    struct list_node *node = list->head;
    if (node)
        list_remove(list, node);
    return node;
}

/* The one after `node`; NULL: it is the last. For walks: for (n = list->head; n; n =
 * list_next(list, n)) */
static inline struct list_node *list_next(const struct list *list, const struct list_node *node)
{
    return node->next == list->head ? NULL : node->next;
}

#endif
