/* SPDX-License-Identifier: MIT
 *
 * queue_calls.h: calls on a queue of ints, in threads of their own, for tests of what happens to
 * waiting calls.
 */
#ifndef CONC_TESTS_QUEUE_CALLS_H
#define CONC_TESTS_QUEUE_CALLS_H

#include <conc/queue.h>

#include "support.h"

#define UNTOUCHED (-1)

enum { CALL_ITEMS = 8 };

enum call_kind { PUT, GET, PUT_MANY, GET_MANY, JOIN };

struct call {
    conc_queue *queue;
    enum call_kind kind;
    int items[CALL_ITEMS]; /* to put; or UNTOUCHED, and then what was got */
    size_t n;
    conc_deadline deadline;
    conc_scope scope; /* around the call */
    ptrdiff_t result;
    struct test_thread thread;
};

static inline ptrdiff_t call_now(struct call *c)
{
    switch (c->kind) {
    case PUT:
        return conc_queue_put(c->queue, c->items, c->deadline);
    case GET:
        return conc_queue_get(c->queue, c->items, c->deadline);
    case PUT_MANY:
        return conc_queue_put_many(c->queue, c->items, c->n, c->deadline);
    case GET_MANY:
        return conc_queue_get_many(c->queue, c->items, c->n, c->deadline);
    case JOIN:
        return conc_queue_join(c->queue, c->deadline);
    }
    return 0;
}

static inline void call_thread(void *arg)
{
    struct call *c = arg;
    conc_scope_enter(&c->scope, CONC_FOREVER);
    c->result = call_now(c);
    conc_scope_exit(&c->scope);
}

/* A call that puts first, first + 1 ... or has room for n. */
static inline struct call call_of(conc_queue *queue, enum call_kind kind, int first, size_t n,
                                  conc_deadline deadline)
{
    struct call c = {.queue = queue, .kind = kind, .n = n, .deadline = deadline};
    bool puts = kind == PUT || kind == PUT_MANY;
    for (int i = 0; i < CALL_ITEMS; i++)
        c.items[i] = puts ? first + i : UNTOUCHED;
    return c;
}

/* Make the call in a thread of that name, and return once it waits. */
static inline void call_start(struct call *c, const char *name)
{
    static const char *const blocked_on[] = {"queue put", "queue get", "queue put", "queue get",
                                             "queue join"};
    test_thread_start(&c->thread, name, call_thread, c);
    wait_until_blocked(name, blocked_on[c->kind]);
}

/* Its result, when it has returned. */
static inline ptrdiff_t call_result(struct call *c)
{
    test_thread_join(&c->thread);
    return c->result;
}

/* ---- In the test's own context ---- */

static inline int put_int(conc_queue *queue, int item)
{
    return conc_queue_put(queue, &item, CONC_NOW);
}

/* The next one, or a negative error. */
static inline int get_int(conc_queue *queue)
{
    int item = UNTOUCHED;
    int err = conc_queue_get(queue, &item, CONC_NOW);
    return err ? err : item;
}

/* An empty queue of ints, and one that is filled with 1, 2 ... capacity. */
static inline void init_empty(conc_queue *queue, size_t capacity)
{
    assert_int_equal(conc_queue_init(queue, sizeof(int), capacity, CONC_FIFO), 0);
}

static inline void init_full(conc_queue *queue, size_t capacity)
{
    init_empty(queue, capacity);
    for (int i = 1; i <= (int)capacity; i++)
        assert_int_equal(put_int(queue, i), 0);
}

static inline void assert_next(conc_queue *queue, const int *items, size_t n)
{
    for (size_t i = 0; i < n; i++)
        assert_int_equal(get_int(queue), items[i]);
}

#define ASSERT_HOLDS(queue, ...)                                                  \
    do {                                                                          \
        const int items_[] = {__VA_ARGS__};                                       \
        assert_int_equal(conc_queue_size(queue), sizeof items_ / sizeof *items_); \
        assert_next(queue, items_, sizeof items_ / sizeof *items_);               \
    } while (0)

#endif
