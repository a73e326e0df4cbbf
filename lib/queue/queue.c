/* SPDX-License-Identifier: MIT
 *
 * queue.c: a queue of values: who waits for what, and what is handed to whom. Where the elements
 * lie: store.c.
 *
 * How: one guard over everything, and three lists of waiters: getters, putters and joiners. A put
 * gives its element straight to the getter that has waited longest, by copying it to where that one
 * wants it; it goes into the store only if no getter waits. A get takes from the store, and then
 * lets in the elements of the putters that wait, in the order in which they came, as far as there
 * is room: the putters need not run for that. Copying is done under the guard, waking after it.
 *
 * Invariants, whenever the guard is free:
 * - A getter is on its list only if the store is empty, a putter only if it is full. So no call
 *   overtakes a waiter, and what a getter is handed is what would come out next in any order.
 * - `unfinished` counts the elements put for which conc_queue_task_done() has not been called; an
 *   element counts from the moment in which it is in the store or handed over. Joiners are on their
 *   list only if it is above 0.
 * - After a shutdown the lists of getters and putters are empty.
 *
 * Destruction: a call's last touch of the queue is the release of the guard that makes its effect
 * known; after it, it knows only the waiters that it has taken off the lists (and, in a shutdown,
 * the elements that it has taken out). So a context that gets the last element, or returns from the
 * join, may destroy the queue before the call that put that element has returned.
 *
 * A put that waits needs something more: it may be giving up (its deadline has come) while a getter
 * lets its element in, takes it out and destroys the queue. So it must not take the queue's guard
 * to find that out. Therefore its waiter lies on a list of the put's own, in its own frame, under a
 * guard of its own; and a second waiter, `queued`, on the queue's list leads there. A call that
 * lets its last element in takes the first waiter off its list before (putter_take(), under both
 * guards, the queue's first): from then on the put waits for the delivery and touches nothing else.
 * If the put was faster, it gives up: what it would still put can no longer be got, so the queue
 * lives, and the put takes `queued` off under the queue's guard. That also makes sure that no other
 * call looks at its frame any more.
 *
 * Races:
 * - hand-over against time-out or cancel: decided by who takes the waiter off its list (wait.c),
 *   for getters under the queue's guard, for putters under their own. A call that returns an error
 *   has had no effect; one that was served returns success.
 * - a batch that waits to put gives up half-way: what is in stays in, and counts; the rest is not
 *   looked at any more. Both happen under the guard.
 * - shutdown against puts: it sets is_shutdown and takes the lists under the guard. A put that
 *   returned 0 came before; its element is got by another call, or dropped. One that is giving up
 *   is skipped, and says why it gave up.
 * - the last task_done against a put: the joiners that waited when the count became zero go,
 *   whatever is put after that.
 *
 * Order: the guard orders all, and the delivery orders what a waiter was given (wait.c).
 * store.count is also read without it (relaxed), by the functions whose answer is true only for the
 * moment.
 */
#include <conc/queue.h>

#include "base/invariant.h"
#include "base/list.h"
#include "queue/store.h"
#include "wait/wait.h"

/* ---- Waiters to be woken ---- */

/* Waiters that have been taken off their lists, to be delivered to after the guard is released. In
 * an empty chain `end` is the address of its own `first`. */
struct chain {
    struct conc__waiter *first, **end;
};

static void chain_add(struct chain *chain, struct conc__waiter *w)
{
    w->next = NULL;
    *chain->end = w;
    chain->end = &w->next;
}

/* With no guard held. */
static inline void chain_deliver(const struct chain *chain)
{
    if (chain->first)
        conc__waiter_deliver_all(chain->first, 0);
}

/* ---- Putters ---- */

/* In the frame of a put that waits. */
struct putter {
    struct conc__waiter queued; /* in queue->putters; under queue->word */
    const unsigned char *items; /* those not in the queue yet; under queue->word */
    size_t left;                /* how many; the same */
    struct conc__waiter waiter; /* in `own`; under `word` */
    struct conc__waitlist own;
    uint32_t word;
};

static struct putter *putter_of(struct conc__waiter *queued)
{
    return list_entry(queued, struct putter, queued);
}

/* Under the queue's guard: take the putter's waiter off its own list. False: the putter is giving
 * up, or has been cancelled, so nothing more of it must be let in. After true it cannot give up any
 * more. */
static bool putter_take(struct putter *p)
{
    guard_lock(&p->word);
    bool waits = waitlist_pop(&p->own) != NULL;
    guard_unlock(&p->word);
    return waits;
}

/* Under the guard: let in what the first putter has left, as far as the store has room. */
static void queue_let_in_first(conc_queue *queue, struct chain *served)
{
    struct putter *p = putter_of(queue->putters.head);
    size_t room = queue->store.limit - queue->store.count;
    size_t n = room < p->left ? room : p->left;
    if (n == p->left || waiter_is_cancelled(&p->waiter)) {
        conc__waitlist_remove(&queue->putters, &p->queued);
        if (!putter_take(p))
            return;
        chain_add(served, &p->waiter);
    }
    conc__store_push(&queue->store, p->items, n); /* there is memory: the store was full */
    queue->unfinished += n;
    p->items += n * queue->store.elem_size;
    p->left -= n;
}

/* The same for all putters, as long as there is room. */
static void queue_let_in(conc_queue *queue, struct chain *served)
{
    while (!waitlist_is_empty(&queue->putters) && queue->store.count < queue->store.limit)
        queue_let_in_first(queue, served);
}

/* Under the guard, which it releases: `done` of n elements are in; wait until all are. Returns as
 * conc_queue_put_many(). */
static ptrdiff_t queue_wait_to_put(conc_queue *queue, const unsigned char *items, size_t n,
                                   size_t done, struct chain *served, conc_deadline deadline)
{
    struct putter p = {.items = items + done * queue->store.elem_size,
                       .left = n - done,
                       .queued.firm = true, /* its context looks at `waiter` alone */
                       .waiter = waiter_here()};
    conc__waitlist_push(&p.own, &p.waiter);
    conc__waitlist_push(&queue->putters, &p.queued);
    guard_unlock(&queue->word);
    chain_deliver(served);
    const struct wait_on on = {
        .list = &p.own, .guard = &p.word, .what = "queue put", .object = queue};
    int err = conc__waiter_wait(&p.waiter, &on, deadline);
    if (!err)
        return (ptrdiff_t)n; /* don't touch the queue: it may have been destroyed */
    if (err != -ESHUTDOWN) { /* it has given up; no call may look at its frame any more */
        guard_lock(&queue->word);
        if (p.queued.list)
            conc__waitlist_remove(&queue->putters, &p.queued);
        guard_unlock(&queue->word);
    }
    return p.left < n ? (ptrdiff_t)(n - p.left) : err;
}

/* ---- Putting ---- */

/* Under the guard: hand elements to the getters that wait. Returns how many. */
static size_t queue_hand_over(conc_queue *queue, const unsigned char *items, size_t n,
                              struct chain *served)
{
    size_t done = 0;
    struct conc__waiter *getter;
    while (done < n && (getter = waitlist_pop(&queue->getters))) {
        size_t k = getter->number < n - done ? getter->number : n - done;
        conc__store_copy(&queue->store, getter->slot, items + done * queue->store.elem_size, k);
        getter->number -= k;
        chain_add(served, getter);
        done += k;
    }
    return done;
}

/* Under the guard, without getters: put into the store what it has room for. Returns how many. */
static size_t queue_store_some(conc_queue *queue, const unsigned char *items, size_t n, int *err)
{
    struct conc__store *store = &queue->store;
    size_t k = store->limit - store->count;
    k = k < n ? k : n;
    *err = conc__store_spare(store) < k ? conc__store_grow(store, k) : 0;
    if (*err)
        k = conc__store_spare(store);
    if (k > 0)
        conc__store_push(store, items, k);
    return k;
}

/* Under the guard, which it releases. */
static ptrdiff_t queue_put_guarded(conc_queue *queue, const unsigned char *items, size_t n,
                                   conc_deadline deadline)
{
    if (queue->is_shutdown) {
        guard_unlock(&queue->word);
        return -ESHUTDOWN;
    }
    int err = 0;
    struct chain served = {.end = &served.first};
    size_t done = queue_hand_over(queue, items, n, &served);
    if (done < n)
        done += queue_store_some(queue, items + done * queue->store.elem_size, n - done, &err);
    queue->unfinished += done;
    if (done < n && !err && !deadline_is_now(deadline))
        return queue_wait_to_put(queue, items, n, done, &served, deadline);
    guard_unlock(&queue->word);
    chain_deliver(&served);
    if (done > 0)
        return (ptrdiff_t)done;
    return err ? err : -EAGAIN;
}

static inline ptrdiff_t queue_put_items(conc_queue *queue, const void *items, size_t n,
                                        conc_deadline deadline)
{
    int err = wait_checkpoint(deadline);
    if (err)
        return err;
    guard_lock(&queue->word);
    if (n == 1 && waitlist_is_empty(&queue->getters) && !queue->is_shutdown &&
        conc__store_push_fast(&queue->store, items)) {
        queue->unfinished++;
        guard_unlock(&queue->word);
        return 1;
    }
    return queue_put_guarded(queue, items, n, deadline);
}

int conc_queue_put(conc_queue *queue, const void *item, conc_deadline deadline)
{
    ptrdiff_t n = queue_put_items(queue, item, 1, deadline);
    return n < 0 ? (int)n : 0;
}

ssize_t conc_queue_put_many(conc_queue *queue, const void *items, size_t n, conc_deadline deadline)
{
    if (n && !items)
        return -EINVAL;
    return n == 0 ? 0 : queue_put_items(queue, items, n, deadline);
}

/* ---- Getting ---- */

/* Under the guard: take up to n elements, and let putters in. Returns how many it took. */
static size_t queue_take(conc_queue *queue, unsigned char *items, size_t n, struct chain *served)
{
    size_t done = 0;
    while (done < n && queue->store.count > 0) {
        done += conc__store_pop(&queue->store, items + done * queue->store.elem_size, n - done);
        queue_let_in(queue, served);
    }
    return done;
}

/* Under the guard, which it releases: wait for an element. */
static ptrdiff_t queue_wait_to_get(conc_queue *queue, unsigned char *items, size_t n,
                                   conc_deadline deadline)
{
    struct conc__waiter w = waiter_here();
    w.slot = items;
    w.number = n;
    conc__waitlist_push(&queue->getters, &w);
    guard_unlock(&queue->word);
    const struct wait_on on = {
        .list = &queue->getters, .guard = &queue->word, .what = "queue get", .object = queue};
    int err = conc__waiter_wait(&w, &on, deadline);
    if (err)
        return err;
    size_t done = n - w.number;
    if (done == n)
        return (ptrdiff_t)n;
    /* A batch takes what has come since, too. */
    struct chain served = {.end = &served.first};
    guard_lock(&queue->word);
    done += queue_take(queue, items + done * queue->store.elem_size, n - done, &served);
    guard_unlock(&queue->word);
    chain_deliver(&served);
    return (ptrdiff_t)done;
}

/* Under the guard, which it releases. */
static ptrdiff_t queue_get_guarded(conc_queue *queue, unsigned char *items, size_t n,
                                   conc_deadline deadline)
{
    struct chain served = {.end = &served.first};
    size_t done = queue_take(queue, items, n, &served);
    if (done == 0 && !queue->is_shutdown && !deadline_is_now(deadline))
        return queue_wait_to_get(queue, items, n, deadline);
    int err = queue->is_shutdown ? -ESHUTDOWN : -EAGAIN;
    guard_unlock(&queue->word);
    chain_deliver(&served);
    return done > 0 ? (ptrdiff_t)done : err;
}

static inline ptrdiff_t queue_get_items(conc_queue *queue, void *items, size_t n,
                                        conc_deadline deadline)
{
    int err = wait_checkpoint(deadline);
    if (err)
        return err;
    guard_lock(&queue->word);
    if (n == 1 && waitlist_is_empty(&queue->putters) &&
        conc__store_pop_fast(&queue->store, items)) {
        guard_unlock(&queue->word);
        return 1;
    }
    return queue_get_guarded(queue, items, n, deadline);
}

int conc_queue_get(conc_queue *queue, void *item, conc_deadline deadline)
{
    ptrdiff_t n = queue_get_items(queue, item, 1, deadline);
    return n < 0 ? (int)n : 0;
}

ssize_t conc_queue_get_many(conc_queue *queue, void *items, size_t n, conc_deadline deadline)
{
    if (n && !items)
        return -EINVAL;
    return n == 0 ? 0 : queue_get_items(queue, items, n, deadline);
}

/* ---- Tasks ---- */

int conc_queue_task_done(conc_queue *queue)
{
    guard_lock(&queue->word);
    if (queue->unfinished == 0) {
        guard_unlock(&queue->word);
        return -EINVAL;
    }
    struct conc__waiter *joiners = NULL;
    if (--queue->unfinished == 0)
        joiners = waitlist_take_all(&queue->joiners);
    guard_unlock(&queue->word);
    conc__waiter_deliver_all(joiners, 0);
    return 0;
}

int conc_queue_join(conc_queue *queue, conc_deadline deadline)
{
    int err = wait_checkpoint(deadline);
    if (err)
        return err;
    guard_lock(&queue->word);
    if (queue->unfinished == 0 || deadline_is_now(deadline)) {
        err = queue->unfinished == 0 ? 0 : -EAGAIN;
        guard_unlock(&queue->word);
        return err;
    }
    struct conc__waiter w = waiter_here();
    conc__waitlist_push(&queue->joiners, &w);
    guard_unlock(&queue->word);
    const struct wait_on on = {
        .list = &queue->joiners, .guard = &queue->word, .what = "queue join", .object = queue};
    return conc__waiter_wait(&w, &on, deadline);
}

/* ---- Shutdown ---- */

/* Under the guard: take all putters, except those that are giving up. */
static void queue_take_putters(conc_queue *queue, struct chain *putters)
{
    struct conc__waiter *queued;
    while ((queued = waitlist_pop(&queue->putters))) {
        struct putter *p = putter_of(queued);
        if (putter_take(p))
            chain_add(putters, &p->waiter);
    }
}

/* Under the guard: take out what is in the queue; it counts as done. */
static struct conc__store queue_take_store(conc_queue *queue)
{
    struct conc__store all = conc__store_split(&queue->store);
    /* conc_queue_task_done() may have been called before the element was got, as in Python */
    queue->unfinished -= queue->unfinished < all.count ? queue->unfinished : all.count;
    return all;
}

void conc_queue_shutdown(conc_queue *queue, bool immediate)
{
    struct chain putters = {.end = &putters.first};
    struct conc__waiter *getters, *joiners = NULL;
    struct conc__store dropped = {0};
    /* A copy: the queue may have been destroyed when it is called. */
    void (*const drop)(void *item, void *arg) = queue->drop;
    void *const drop_arg = queue->drop_arg;
    guard_lock(&queue->word);
    queue->is_shutdown = true;
    getters = waitlist_take_all(&queue->getters);
    invariant(!getters || queue->store.count == 0, "getters wait only while a queue is empty");
    queue_take_putters(queue, &putters);
    if (immediate)
        dropped = queue_take_store(queue);
    if (queue->unfinished == 0)
        joiners = waitlist_take_all(&queue->joiners);
    guard_unlock(&queue->word);
    conc__waiter_deliver_all(getters, -ESHUTDOWN);
    conc__waiter_deliver_all(putters.first, -ESHUTDOWN);
    conc__waiter_deliver_all(joiners, 0);
    conc__store_destroy(&dropped, drop, drop_arg);
}

/* ---- Beginning and end ---- */

static int queue_init_order(conc_queue *queue, size_t elem_size, size_t capacity,
                            conc_queue_order order, conc_compare_fn *compare, void *arg)
{
    if (elem_size == 0)
        return -EINVAL;
    *queue = (conc_queue){0};
    return conc__store_init(&queue->store, elem_size, capacity ? capacity : SIZE_MAX, order,
                            compare, arg);
}

int conc_queue_init(conc_queue *queue, size_t elem_size, size_t capacity, conc_queue_order order)
{
    if (order != CONC_FIFO && order != CONC_LIFO)
        return -EINVAL;
    return queue_init_order(queue, elem_size, capacity, order, NULL, NULL);
}

int conc_queue_init_priority(conc_queue *queue, size_t elem_size, size_t capacity,
                             conc_compare_fn *compare, void *arg)
{
    if (!compare)
        return -EINVAL;
    return queue_init_order(queue, elem_size, capacity, CONC_PRIORITY, compare, arg);
}

void conc_queue_on_drop(conc_queue *queue, conc_drop_fn *drop, void *arg)
{
    queue->drop = drop;
    queue->drop_arg = arg;
}

void conc_queue_destroy(conc_queue *queue)
{
    conc__store_destroy(&queue->store, queue->drop, queue->drop_arg);
}

/* ---- How it is at the moment ---- */

/* Asking does not change the queue, but it takes the guard. */
static conc_queue *queue_to_ask(const conc_queue *queue) { return (conc_queue *)(uintptr_t)queue; }

bool conc_queue_is_shutdown(const conc_queue *queue)
{
    conc_queue *asked = queue_to_ask(queue);
    guard_lock(&asked->word);
    bool is = asked->is_shutdown;
    guard_unlock(&asked->word);
    return is;
}

size_t conc_queue_n_unfinished(const conc_queue *queue)
{
    conc_queue *asked = queue_to_ask(queue);
    guard_lock(&asked->word);
    size_t n = asked->unfinished;
    guard_unlock(&asked->word);
    return n;
}

size_t conc_queue_size(const conc_queue *queue)
{
    return load_relaxed(&queue->store.count); /* relaxed: true only for the moment */
}

bool conc_queue_is_empty(const conc_queue *queue) { return conc_queue_size(queue) == 0; }

bool conc_queue_is_full(const conc_queue *queue)
{
    return conc_queue_size(queue) >= queue->store.limit;
}
