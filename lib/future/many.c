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
        if (conc__future_help(watches[(*helped)++].future))
            return conc__watch_next(set, CONC_NOW, err);
    }
    return conc__watch_next(set, deadline, err);
}

static ptrdiff_t many_wait(struct watch_set *set, struct watch *watches, size_t n,
                           conc_wait_mode mode, conc_deadline deadline)
{
    size_t done = 0, helped = 0;
    bool enough = false;
    int err = 0;
    for (;;) {
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

ptrdiff_t conc_wait(conc_future *const *futures, size_t n, conc_wait_mode mode,
                    conc_deadline deadline)
{
    if ((n && !futures) || (unsigned)mode > CONC_ALL_COMPLETED)
        return -EINVAL;
    int err = wait_checkpoint(deadline);
    if (err || n == 0)
        return err;
    struct watch on_stack[WATCHES_ON_STACK], *watches = on_stack;
    if (n > WATCHES_ON_STACK && !(watches = alloc_array(n, sizeof *watches)))
        return -ENOMEM;
    struct watch_set set;
    conc__watch_begin(&set, watches, futures, n);
    ptrdiff_t result = many_wait(&set, watches, n, mode, deadline);
    conc__watch_end(watches, n);
    if (watches != on_stack)
        free_bytes(watches);
    return result;
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
    size_t n, given, helped;
    struct watch watches[];
};

int conc_as_completed_new(conc_as_completed **ret, conc_future *const *futures, size_t n)
{
    if (n && !futures)
        return -EINVAL;
    if (n > (SIZE_MAX / 2 - sizeof **ret) / sizeof(struct watch))
        return -ENOMEM;
    conc_as_completed *it = alloc_bytes(sizeof *it + n * sizeof(struct watch));
    if (!it)
        return -ENOMEM;
    it->n = n;
    it->given = it->helped = 0;
    for (size_t i = 0; i < n; i++)
        conc_future_ref(futures[i]);
    conc__watch_begin(&it->set, it->watches, futures, n);
    *ret = it;
    return 0;
}

int conc_as_completed_next(conc_as_completed *iterator, conc_future **future, size_t *index,
                           conc_deadline deadline)
{
    int err = wait_checkpoint(deadline);
    if (err || iterator->given == iterator->n)
        return err;
    struct watch *w = NULL;
    w = many_next_done(&iterator->set, iterator->watches, iterator->n, &iterator->helped, deadline,
                       &err);
    if (!w)
        return err;
    /* The watch was made ready under its future's guard, whose release makes the future done. */
    guard_lock(&w->future->word);
    guard_unlock(&w->future->word);
    iterator->given++;
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
    conc__watch_end(iterator->watches, iterator->n);
    for (size_t i = 0; i < iterator->n; i++)
        conc_future_unref(iterator->watches[i].future);
    free_bytes(iterator);
}
