/* SPDX-License-Identifier: MIT
 *
 * many.c: waiting for many futures: conc_wait, conc_gather, conc_as_completed. Each of them watches
 * the futures (watch.c) and takes the ready ones one by one.
 */
#include "base/alloc.h"
#include "future/watch.h"

enum { WATCHES_ON_STACK = 16 }; /* up to so many watches need no allocation (1 KiB of stack) */

/* Take the next watch whose future is done. A worker helps first with the pending jobs of its own
 * executor, while its wait lasts; *helped is the first that it has not looked at for that. */
static struct watch *many_next_done(struct watch_set *set, struct watch *watches, size_t n,
                                    size_t *helped, conc_deadline deadline, int *err)
{
    struct watch *w = conc__watch_next(set, CONC_NOW, err);
    if (w || deadline_is_now(deadline))
        return w;
    while (*helped < n && future_may_help(deadline)) {
        conc_future *f = watches[(*helped)++].future;
        if (f && conc__future_help(f, deadline, false))
            return conc__watch_next(set, CONC_NOW, err);
    }
    return conc__watch_next(set, deadline, err);
}

/* How many of them are not done before the caller goes on? They wait for it. */
static size_t many_count_waiting(const struct watch *watches, size_t n)
{
    size_t count = 0;
    for (size_t i = 0; i < n; i++)
        count += watches[i].future && conc__future_waits_for_caller(watches[i].future);
    return count;
}

static ptrdiff_t many_wait(struct watch_set *set, struct watch *watches, size_t n,
                           conc_wait_mode mode, conc_deadline deadline)
{
    size_t done = 0, helped = 0,
           waiting = deadline_is_now(deadline) ? 0 : many_count_waiting(watches, n);
    bool enough = false;
    int err = 0;
    for (;;) {
        if (waiting && !enough && (mode == CONC_ALL_COMPLETED || done + waiting == n))
            return -EDEADLK;
        /* Once there are enough, count the others that are done, but do not wait for more. */
        struct watch *w =
            many_next_done(set, watches, n, &helped, enough ? CONC_NOW : deadline, &err);
        if (!w)
            return enough ? (ptrdiff_t)done : err;
        done++;
        enough |= done == n || mode == CONC_FIRST_COMPLETED ||
                  (mode == CONC_FIRST_ERROR && (w->future->error || future_is_lost(w->future)));
    }
}

/* The watches of a conc_wait(), which may be left in the middle by a job that it helps. */
struct many {
    struct watch_set set;
    struct watch *watches, on_stack[WATCHES_ON_STACK];
    size_t n;
};

static void many_end(struct many *many)
{
    conc__watch_end(many->watches, many->n);
    if (many->watches != many->on_stack)
        free_bytes(many->watches);
}

ptrdiff_t conc_wait(conc_future *const *futures, size_t n, conc_wait_mode mode,
                    conc_deadline deadline)
{
    if ((n && !futures) || (unsigned)mode > CONC_ALL_COMPLETED)
        return -EINVAL;
    int err = wait_checkpoint(deadline);
    if (err || n == 0)
        return err;
    struct many many __attribute__((cleanup(many_end)));
    many.watches = n > WATCHES_ON_STACK ? alloc_array(n, sizeof *many.watches) : many.on_stack;
    many.n = many.watches ? n : 0;
    if (!many.watches)
        return -ENOMEM;
    conc__watch_begin(&many.set, many.watches, futures, n);
    return many_wait(&many.set, many.watches, n, mode, deadline);
}

int conc_gather(conc_future *const *futures, size_t n, int *errors, conc_deadline deadline)
{
    ptrdiff_t done =
        conc_wait(futures, n, errors ? CONC_ALL_COMPLETED : CONC_FIRST_ERROR, deadline);
    if (done < 0)
        return (int)done;
    int first = 0;
    for (size_t i = 0; i < n; i++) {
        /* Also those after the first error: the caller has asked for all of them. */
        conc__future_observe(futures[i]);
        if (errors)
            errors[i] = conc_future_error(futures[i]);
        else if (!first && (conc_future_is_done(futures[i]) || future_is_lost(futures[i])))
            first = conc_future_result(futures[i], NULL, CONC_NOW);
    }
    return first;
}

/* ---- conc_as_completed ---- */

struct conc_as_completed {
    struct watch_set set;
    size_t n;       /* places */
    size_t left;    /* futures that were not given yet */
    size_t waiting; /* that had to wait for the caller, when it made this one */
    size_t helped;
    struct watch watches[]; /* the second place of a future has none: its `future` is NULL */
};

/* A set of futures: a hash table with open addressing, in which a search always ends. */
struct future_set {
    size_t mask; /* one less than the room, a power of two */
    conc_future *members[];
};

static struct future_set *future_set_new(size_t n)
{
    size_t room = 2;
    while (room < 2 * n)
        room *= 2;
    struct future_set *set = alloc_array(1, sizeof *set + room * sizeof *set->members);
    if (set)
        set->mask = room - 1;
    return set;
}

/* False: it is in already. */
static bool future_set_add(struct future_set *set, conc_future *f)
{
    /* Addresses of blocks differ in these bits. */
    size_t i = (uintptr_t)f / sizeof(max_align_t) & set->mask;
    while (set->members[i] && set->members[i] != f)
        i = (i + 1) & set->mask;
    bool is_new = !set->members[i];
    set->members[i] = f;
    return is_new;
}

int conc_as_completed_new(conc_as_completed **ret, conc_future *const *futures, size_t n)
{
    if (n && !futures)
        return -EINVAL;
    if (n > (SIZE_MAX / 2 - sizeof **ret) / sizeof(struct watch))
        return -ENOMEM;
    int err = -ENOMEM;
    conc_as_completed *it = alloc_array(1, sizeof *it + n * sizeof(struct watch));
    struct future_set *seen = future_set_new(n);
    if (!it || !seen)
        goto fail;
    it->n = n;
    for (size_t i = 0; i < n; i++) {
        if (!future_set_add(seen, futures[i]))
            continue;
        conc__watch_add(&it->set, &it->watches[i], conc_future_ref(futures[i]));
        it->left++;
    }
    it->waiting = many_count_waiting(it->watches, n);
    *ret = it;
    it = NULL;
    err = 0;
fail:
    free_bytes(seen);
    free_bytes(it);
    return err;
}

int conc_as_completed_next(conc_as_completed *iterator, conc_future **future, size_t *index,
                           conc_deadline deadline)
{
    int err = wait_checkpoint(deadline);
    if (err || !iterator->left)
        return err;
    struct watch *w = conc__watch_next(&iterator->set, CONC_NOW, &err);
    if (!w && !deadline_is_now(deadline) && iterator->left <= iterator->waiting &&
        iterator->left == many_count_waiting(iterator->watches, iterator->n))
        return -EDEADLK;
    if (!w)
        w = many_next_done(&iterator->set, iterator->watches, iterator->n, &iterator->helped,
                           deadline, &err);
    if (!w)
        return err;
    /* The watch was made ready under its future's guard, whose release makes the future done. */
    guard_lock(&w->future->word);
    guard_unlock(&w->future->word);
    iterator->left--;
    if (future)
        *future = w->future;
    if (index)
        *index = (size_t)(w - iterator->watches);
    return 1;
}

void conc_as_completed_free(conc_as_completed *iterator)
{
    if (!iterator)
        return;
    for (size_t i = 0; i < iterator->n; i++) {
        struct watch *w = &iterator->watches[i];
        if (!w->future)
            continue;
        conc__watch_end(w, 1);
        conc_future_unref(w->future);
    }
    free_bytes(iterator);
}
