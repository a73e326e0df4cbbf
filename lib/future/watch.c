/* SPDX-License-Identifier: MIT
 *
 * watch.c: waiting for the ends of many futures at once.
 *
 * How: a watch is on the list of its future, under the future's guard. The end of the future moves
 * it, still under that guard, to its set's list of ready watches, and wakes the context that waits
 * for the set. So after a watch has been taken off under the future's guard, or was found moved, no
 * other context holds a pointer to it or to the set: both may lie on the watching context's stack.
 * A watch is ready a moment before its future is done: a context that has taken the future's guard
 * since then finds it done. Order of the guards: a future's, then a set's. The watch of a future
 * that a fork has lost is ready at once, since nothing would end that future.
 */
#include "future/watch.h"

static void watch_make_ready(struct watch *w)
{
    struct watch_set *set = w->set;
    w->ready = true;
    guard_lock(&set->word);
    list_push(&set->ready, &w->node);
    struct conc__waiter *waiter = waitlist_pop(&set->waiters);
    guard_unlock(&set->word);
    if (waiter)
        conc__waiter_deliver(waiter, 0);
}

void conc__watches_mark_ready(conc_future *future)
{
    struct list_node *node;
    while ((node = list_pop(&future->watches)))
        watch_make_ready(list_entry(node, struct watch, node));
}

void conc__watch_add(struct watch_set *set, struct watch *w, conc_future *f)
{
    *w = (struct watch){.future = f, .set = set};
    guard_lock(&f->word);
    if (conc_future_is_done(f) || future_is_lost(f))
        watch_make_ready(w);
    else
        list_push(&f->watches, &w->node);
    guard_unlock(&f->word);
}

void conc__watch_begin(struct watch_set *set, struct watch *watches, conc_future *const *futures,
                       size_t n)
{
    *set = (struct watch_set){0};
    for (size_t i = 0; i < n; i++)
        conc__watch_add(set, &watches[i], futures[i]);
}

void conc__watch_end(struct watch *watches, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        struct watch *w = &watches[i];
        conc_future *f = w->future;
        guard_lock(&f->word);
        if (!w->ready)
            list_remove(&f->watches, &w->node);
        guard_unlock(&f->word);
    }
}

struct watch *conc__watch_next(struct watch_set *set, conc_deadline deadline, int *err)
{
    for (;;) {
        struct conc__waiter w = waiter_here();
        guard_lock(&set->word);
        struct list_node *ready = list_pop(&set->ready);
        if (!ready && !deadline_is_now(deadline))
            conc__waitlist_push(&set->waiters, &w);
        guard_unlock(&set->word);
        if (ready)
            return list_entry(ready, struct watch, node);
        const struct wait_on on = {
            .list = &set->waiters, .guard = &set->word, .what = "futures", .object = set};
        *err = deadline_is_now(deadline) ? -EAGAIN : conc__waiter_wait(&w, &on, deadline);
        if (*err)
            return NULL;
    }
}
