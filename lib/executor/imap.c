/* SPDX-License-Identifier: MIT
 *
 * imap.c: one job over many elements, taken one by one.
 *
 * How: a window of places, each for an element that was submitted and not taken. A call first fills
 * the window, then takes a result that is done: in order, the first of the window; else the first
 * of the watch set (future/watch.h), which keeps the order of the ends.
 *
 * Filling submits one element in any case, so that the window does not shrink while the consumer is
 * the slower side, and then goes on only while no result can be taken: a submission may take long
 * (for room in a bounded queue; for an inline job; for the source). It happens in a scope with the
 * call's deadline. What that scope ends is tried again in the next call: a source that was waiting,
 * and a submission that was refused, which shows as a future that was cancelled before it began.
 *
 * Everything here belongs to the one consumer; only the watch set is shared, with the contexts that
 * settle the futures.
 */
#include <conc/imap.h>

#include <string.h>

#include "base/cxx.h"
#include "future/watch.h"

enum { IMAP_AHEAD = 64 }; /* the default length of the window; conc/imap.h says why */

/* A place of the window. */
struct imap_place {
    struct list_node node; /* in imap->free or imap->given */
    struct watch watch;    /* its future; watched only if unordered */
    size_t index;
};

struct conc_imap {
    conc_executor *executor;
    conc_fn *fn;
    const char *in;
    size_t n, in_size, out_size;
    conc_imap_options options;
    size_t submitted;
    void *item;               /* room for the source's element; NULL: in_size is 0, or no source */
    bool has_item;            /* the source has given one that is not submitted yet */
    bool over;                /* the source gives no more */
    int error;                /* with which it ended, until that is reported */
    struct message words;     /* of that error */
    struct list free, given;  /* places; given: in the order of submission */
    struct imap_place *found; /* of those given, the one to take next; NULL: not known yet */
    struct watch_set set;
    struct imap_place places[];
};

/* ---- The source ---- */

/* How much room one element takes in the array, or in imap->item. */
static size_t imap_stride(const conc_imap *imap)
{
    return imap->in_size == CONC_BYTES ? sizeof(conc_bytes) : imap->in_size;
}

/* Ask the source: it gives an element (has_item), or no more (over). If neither is set the call's
 * scope has ended, and the source is asked again in the next call. */
static void imap_ask_source(conc_imap *imap, conc_scope *scope)
{
    struct conc_context *self = context_self();
    struct message before = message_put_aside(self); /* or its error would carry that message */
    if (imap->item)
        memset(imap->item, 0, imap_stride(imap));
    int got = 0;
    FENCED("the source of an imap", got = imap->options.next(imap->item, imap->options.arg));
    conc__scopes_set(self, scope); /* also if it has left scopes of its own open */
    if (got > 1)
        got =
            conc_raise(-EINVAL, "the source returned %d; it must be 1, 0 or a negative error", got);
    imap->has_item = got == 1;
    imap->over = got != 1 && !(got == -ECANCELED && scope->reported);
    if (imap->over && conc__message_for(self, got))
        imap->words = message_put_aside(self);
    imap->error = imap->over ? got : 0;
    message_put_back(self, before);
}

/* Is there an element to submit? Then *arg is it. */
static bool imap_next_element(conc_imap *imap, conc_scope *scope, const void **arg)
{
    if (!imap->options.next) {
        if (imap->submitted == imap->n)
            return false;
        *arg = imap->in_size ? imap->in + imap->submitted * imap_stride(imap) : NULL;
        return true;
    }
    if (!imap->has_item && !imap->over)
        imap_ask_source(imap, scope);
    *arg = imap->item;
    return imap->has_item;
}

/* There are no more elements: 0, or the error with which the source ended, once. */
static int imap_report_end(conc_imap *imap)
{
    int err = imap->error;
    imap->error = 0;
    if (err)
        conc__set_message(context_self(), err, imap->words.err ? imap->words.text : NULL);
    return err;
}

/* ---- The window ---- */

/* False: there is no room, no element, or no time. */
static bool imap_submit_one(conc_imap *imap, conc_scope *scope)
{
    const void *arg;
    if (list_is_empty(&imap->free) || !imap_next_element(imap, scope, &arg))
        return false;
    conc_future *f = conc_submit(imap->executor, imap->fn, arg, imap->in_size, imap->out_size);
    if (scope->reported && conc_future_is_cancelled(f)) {
        conc_future_unref(f);
        return false;
    }
    struct imap_place *place = list_entry(list_pop(&imap->free), struct imap_place, node);
    list_push(&imap->given, &place->node);
    place->index = imap->submitted++;
    place->watch.future = f;
    imap->has_item = false;
    if (imap->options.unordered)
        conc__watch_add(&imap->set, &place->watch, f);
    return true;
}

/* Find the one to take next: imap->ended. The window is not empty. */
static int imap_find_done(conc_imap *imap, conc_deadline deadline)
{
    int err = 0;
    if (imap->found)
        return 0;
    if (!imap->options.unordered) {
        struct imap_place *first = list_entry(imap->given.head, struct imap_place, node);
        err = conc_future_wait(first->watch.future, deadline);
        imap->found = err ? NULL : first;
        return err;
    }
    struct watch *w = conc__watch_next(&imap->set, deadline, &err);
    if (!w)
        return err;
    conc__watch_end(w, 1); /* it was made ready under its guard, whose release makes it done */
    imap->found = list_entry(w, struct imap_place, watch);
    return 0;
}

/* 0, or why filling has ended early: the deadline, or the caller's cancellation. */
static int imap_fill(conc_imap *imap, conc_deadline deadline)
{
    conc_scope scope;
    conc_scope_enter(&scope, deadline);
    conc_scope *entered __attribute__((cleanup(conc__scope_abandon))) = &scope;
    while (imap_submit_one(imap, &scope) && !scope.reported && imap_find_done(imap, CONC_NOW) != 0)
        continue;
    entered = NULL;
    int err = conc_scope_exit(&scope);
    return err == -ETIMEDOUT && deadline_is_now(deadline) ? -EAGAIN : err;
}

/* Help: a worker of the executor itself runs a job that has not begun. False: there is none. */
static bool imap_help(conc_imap *imap, conc_deadline deadline)
{
    if (context_self()->works_for != imap->executor)
        return false;
    for (struct list_node *n = imap->given.head; n && future_may_help(deadline);
         n = list_next(&imap->given, n))
        if (conc__future_help(list_entry(n, struct imap_place, node)->watch.future, deadline,
                              false))
            return true;
    return false;
}

static int imap_wait_done(conc_imap *imap, conc_deadline deadline)
{
    /* In order, the wait for the first place's future helps. */
    while (imap->options.unordered && imap_find_done(imap, CONC_NOW) != 0 &&
           imap_help(imap, deadline))
        continue;
    return imap_find_done(imap, deadline);
}

static void imap_empty_place(conc_imap *imap, struct imap_place *place)
{
    conc_future_unref(place->watch.future);
    list_remove(&imap->given, &place->node);
    list_push(&imap->free, &place->node);
}

/* Take the result of the place that was found. */
static int imap_take(conc_imap *imap, void *out, conc_imap_item *item)
{
    struct imap_place *place = imap->found;
    int err = conc_future_result(place->watch.future, out, CONC_NOW);
    if (err && !conc_future_error(place->watch.future))
        return err; /* it has a result, but there is no memory for the copy */
    if (item)
        *item = (conc_imap_item){place->index, err};
    imap->found = NULL;
    imap_empty_place(imap, place);
    return err && !item ? err : 1;
}

/* ---- The iterator ---- */

int conc_imap_new(conc_imap **ret, conc_executor *executor, conc_fn *fn, const void *in, size_t n,
                  size_t in_size, size_t out_size, const conc_imap_options *options)
{
    const conc_imap_options o = options ? *options : (conc_imap_options){0};
    const bool has_array = in || n, lacks_array = n && in_size && !in;
    if (!ret || !executor || !fn || (o.next ? has_array : lacks_array))
        return -EINVAL;
    size_t ahead = o.ahead ? o.ahead : IMAP_AHEAD, room;
    if (!o.next && ahead > n)
        ahead = n;
    if (__builtin_mul_overflow(ahead, sizeof(struct imap_place), &room) || room > SIZE_MAX / 2)
        return -ENOMEM;
    conc_imap *imap = alloc_array(1, sizeof *imap + room);
    if (!imap)
        return -ENOMEM;
    imap->executor = executor;
    imap->fn = fn;
    imap->in = in;
    imap->n = n;
    imap->in_size = in_size;
    imap->out_size = out_size;
    imap->options = o;
    if (o.next && in_size) {
        imap->item = alloc_array(1, imap_stride(imap));
        if (!imap->item) {
            free_bytes(imap);
            return -ENOMEM;
        }
    }
    for (size_t i = 0; i < ahead; i++)
        list_push(&imap->free, &imap->places[i].node);
    imap_fill(imap, CONC_FOREVER);
    *ret = imap;
    return 0;
}

int conc_imap_next(conc_imap *imap, void *out, conc_imap_item *item, conc_deadline deadline)
{
    int err = wait_checkpoint(deadline);
    if (err)
        return err;
    err = imap_fill(imap, deadline);
    if (list_is_empty(&imap->given))
        return err ? err : imap_report_end(imap);
    /* Even if filling ran out of time, a result that is done can be taken. */
    err = imap_wait_done(imap, deadline);
    return err ? err : imap_take(imap, out, item);
}

void conc_imap_free(conc_imap *imap)
{
    if (!imap)
        return;
    /* First the jobs that have not begun, or a worker that a cancellation frees would begin one. */
    for (struct list_node *n = imap->given.head; n; n = list_next(&imap->given, n))
        future_cancel_pending(list_entry(n, struct imap_place, node)->watch.future);
    while (!list_is_empty(&imap->given)) {
        struct imap_place *place = list_entry(imap->given.head, struct imap_place, node);
        conc__future_abandon(place->watch.future);
        if (imap->options.unordered)
            conc__watch_end(&place->watch, 1);
        imap_empty_place(imap, place);
    }
    free_bytes(imap->words.text);
    free_bytes(imap->item);
    free_bytes(imap);
}
