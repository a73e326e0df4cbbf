/* SPDX-License-Identifier: MIT
 *
 * handle.c: callbacks: soon, at a time, from another thread.
 *
 *     posted    in the inbox; another thread has made it
 *     waiting   its timer is in the heap
 *     queued    in the ready list
 *     over      it has run, or was dropped; it is in no list
 *
 *     posted -> queued -> over;  waiting -> queued -> over
 *
 * Cancelling takes a waiting handle out. A posted or queued handle is marked, and is passed over
 * when its turn comes. Two references hold it: the loop's, until it is over, and the user's. Other
 * threads touch only `refs`: the thread that drops the last reference acquires what the other one
 * released.
 *
 * A callback runs with the local values that its registrant had (wait/local.c). They are released
 * in the loop's thread when the handle is over.
 */
#include "base/alloc.h"
#include "base/clock.h"
#include "base/cxx.h"
#include "loop/loop_impl.h"
#include "wait/local.h"

struct conc_handle {
    uint32_t refs;
    bool cancelled;
    bool over;
    bool timed; /* has a place reserved in the heap */
    struct item item;
    struct timer timer;
    struct list_node node; /* in loop->handles, unless posted or over */
    struct conc_loop *loop;
    conc_callback_fn *fn;
    void *arg;
    struct locals *locals; /* a reference, until it is over; NULL: none */
};

void conc_handle_free(conc_handle *handle)
{
    if (handle && fetch_sub_acq_rel(&handle->refs, 1) == 1)
        free_bytes(handle);
}

/* The handle is in no queue and no heap any more. Gives its values. */
static struct locals *handle_end(conc_handle *h)
{
    struct locals *locals = h->locals;
    h->locals = NULL;
    h->over = true;
    if (h->timed)
        loop_release_timer(h->loop);
    list_remove(&h->loop->handles, &h->node);
    conc_handle_free(h);
    return locals;
}

static void handle_call(conc_callback_fn *fn, void *arg, struct locals *locals)
{
    struct locals_stay stay __attribute__((cleanup(conc__locals_exit)));
    conc__locals_enter(&stay, &locals, false);
    FENCED("a callback of a loop", fn(arg));
}

static void handle_run(struct item *item)
{
    conc_handle *h = list_entry(item, struct conc_handle, item);
    struct conc_loop *loop = h->loop;
    bool cancelled = h->cancelled;
    conc_callback_fn *fn = h->fn;
    void *arg = h->arg;
    struct locals *locals = handle_end(h);
    if (cancelled) {
        conc__locals_unref(locals);
        return;
    }
    int64_t since = loop->slow_after ? conc_now() : 0;
    handle_call(fn, arg, locals);
    if (loop->slow_after)
        conc__loop_report_slow(loop, since, "a callback", "");
}

static void handle_take_posted(struct item *item)
{
    conc_handle *h = list_entry(item, struct conc_handle, item);
    list_push(&h->loop->handles, &h->node);
    h->item.run = handle_run;
    loop_push(h->loop, &h->item);
}

static void handle_timer_fires(struct conc_loop *loop, struct timer *timer)
{
    conc_handle *h = list_entry(timer, struct conc_handle, timer);
    loop_push(loop, &h->item);
}

static conc_handle *handle_new(conc_loop *loop, conc_callback_fn *fn, void *arg, conc_handle **ret)
{
    conc_handle *h = alloc_one(struct conc_handle);
    if (!h)
        return NULL;
    *h = (struct conc_handle){.refs = ret ? 2 : 1, .loop = loop, .fn = fn, .arg = arg};
    h->item.run = handle_run;
    h->timer.fire = handle_timer_fires;
    h->locals = conc__locals_inherit(context_self());
    return h;
}

/* From here on the list of the loop and the user have the handle. */
static void handle_share(conc_handle *h, conc_handle **ret)
{
    list_push(&h->loop->handles, &h->node);
    if (ret)
        *ret = h;
}

int conc_loop_call_soon(conc_loop *loop, conc_callback_fn *fn, void *arg, conc_handle **ret)
{
    int err = conc__loop_check(loop);
    if (err)
        return err;
    if (!fn)
        return -EINVAL;
    conc_handle *h = handle_new(loop, fn, arg, ret);
    if (!h)
        return -ENOMEM;
    handle_share(h, ret);
    loop_push(loop, &h->item);
    return 0;
}

static int handle_call_at(conc_loop *loop, conc_deadline when, conc_callback_fn *fn, void *arg,
                          conc_handle **ret)
{
    int err = conc__loop_reserve_timer(loop);
    if (err)
        return err;
    conc_handle *h = handle_new(loop, fn, arg, ret);
    if (!h) {
        loop_release_timer(loop);
        return -ENOMEM;
    }
    h->timed = true;
    handle_share(h, ret);
    conc__heap_push(&loop->timers, &h->timer.node, when.ns);
    return 0;
}

int conc_loop_call_at(conc_loop *loop, conc_deadline when, conc_callback_fn *fn, void *arg,
                      conc_handle **ret)
{
    if (deadline_is_forever(when))
        return -EINVAL;
    if (deadline_is_now(when))
        return conc_loop_call_soon(loop, fn, arg, ret);
    int err = conc__loop_check(loop);
    if (err)
        return err;
    return fn ? handle_call_at(loop, when, fn, arg, ret) : -EINVAL;
}

int conc_loop_call_later(conc_loop *loop, int64_t delay, conc_callback_fn *fn, void *arg,
                         conc_handle **ret)
{
    return conc_loop_call_at(loop, conc_in(delay), fn, arg, ret);
}

int conc_loop_call_soon_threadsafe(conc_loop *loop, conc_callback_fn *fn, void *arg,
                                   conc_handle **ret)
{
    if (loop->driver.dead)
        return -ESHUTDOWN;
    if (!fn)
        return -EINVAL;
    conc_handle *h = handle_new(loop, fn, arg, ret);
    if (!h)
        return -ENOMEM;
    if (ret)
        *ret = h; /* before it can run */
    h->item.run = handle_take_posted;
    conc__driver_post(&loop->driver, &h->item);
    return 0;
}

bool conc_handle_cancel(conc_handle *h)
{
    if (h->over || h->cancelled || conc__loop_check(h->loop))
        return false;
    h->cancelled = true;
    if (heap_is_in(&h->timer.node)) {
        conc__heap_remove(&h->loop->timers, &h->timer.node);
        conc__locals_unref(handle_end(h));
    }
    return true;
}

void conc__handles_drop(struct conc_loop *loop)
{
    struct list_node *n = loop->handles.head, *next;
    for (; n; n = next) {
        next = list_next(&loop->handles, n);
        conc_handle_cancel(list_entry(n, struct conc_handle, node));
    }
}
