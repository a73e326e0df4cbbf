/* SPDX-License-Identifier: MIT
 *
 * signal.c: callbacks for signals, in the loop's thread.
 *
 * The thread that deals with signals (thread/signal.c) calls handler_post(), which posts the
 * handler to its loop unless it is in the inbox already (`posted`). The loop puts the handler into
 * its ready list, and there runs the program's callback.
 *
 * Removing: once conc__signal_remove() has returned, no thread posts the handler any more. If it is
 * still in the inbox or in the ready list, or runs, it is freed when that is over, else
 * immediately.
 *
 * The callback runs with the local values that its registrant had, and what it sets it finds the
 * next time: the handler keeps them (wait/local.c).
 */
#include "base/alloc.h"
#include "base/cxx.h"
#include "loop/loop_impl.h"
#include "thread/signal_impl.h"
#include "wait/local.h"

struct signal_handler {
    struct signal_callback callback;
    struct signal_handler *next; /* in loop->signals */
    struct conc_loop *loop;
    uint32_t posted; /* `post` is on its way through the inbox */
    bool queued;     /* `item` is in the ready list */
    bool running;    /* its callback runs */
    bool removed;
    struct item post, item;
    conc_callback_fn *fn;
    void *arg;
    struct locals *locals; /* owned; NULL: none */
};

static void handler_free(struct signal_handler *e)
{
    conc__locals_unref(e->locals);
    free_bytes(e);
}

static void handler_free_if_out(struct signal_handler *e)
{
    if (!load_acquire(&e->posted) && !e->queued && !e->running)
        handler_free(e);
}

static void handler_call(struct signal_handler *e)
{
    struct locals_stay stay __attribute__((cleanup(conc__locals_exit)));
    conc__locals_enter(&stay, &e->locals, true);
    FENCED("a signal handler of a loop", e->fn(e->arg));
}

static void handler_run(struct item *item)
{
    struct signal_handler *e = list_entry(item, struct signal_handler, item);
    e->queued = false;
    if (!e->removed) {
        e->running = true;
        handler_call(e);
        e->running = false;
    }
    if (e->removed)
        handler_free_if_out(e);
}

static void handler_take_posted(struct item *item)
{
    struct signal_handler *e = list_entry(item, struct signal_handler, post);
    store_release(&e->posted, 0);
    if (e->removed) {
        handler_free_if_out(e);
    } else if (!e->queued) {
        e->queued = true;
        loop_push(e->loop, &e->item);
    }
}

static void handler_post(int signo, void *arg)
{
    struct signal_handler *e = arg;
    if (!exchange_acq_rel(&e->posted, 1))
        conc__driver_post(&e->loop->driver, &e->post);
}

static void handler_remove(struct signal_handler **at)
{
    struct signal_handler *e = *at;
    *at = e->next;
    e->removed = true;
    conc__signal_remove(&e->callback);
    handler_free_if_out(e);
}

static struct signal_handler **handler_find(struct conc_loop *loop, int signo)
{
    struct signal_handler **at = &loop->signals;
    while (*at && (*at)->callback.signo != signo)
        at = &(*at)->next;
    return at;
}

int conc_loop_add_signal_handler(conc_loop *loop, int signo, conc_callback_fn *fn, void *arg)
{
    int err = conc__loop_check(loop);
    if (err)
        return err;
    if (!fn)
        return -EINVAL;
    struct signal_handler *e = alloc_one(struct signal_handler);
    if (!e)
        return -ENOMEM;
    *e = (struct signal_handler){.loop = loop, .fn = fn, .arg = arg};
    e->callback = (struct signal_callback){.signo = signo, .fn = handler_post, .arg = e};
    e->post.run = handler_take_posted;
    e->item.run = handler_run;
    e->locals = conc__locals_inherit(context_self());
    err = conc__signal_add(&e->callback);
    if (err) {
        handler_free(e);
        return err;
    }
    struct signal_handler **before = handler_find(loop, signo);
    if (*before)
        handler_remove(before);
    e->next = loop->signals;
    loop->signals = e;
    return 0;
}

int conc_loop_remove_signal_handler(conc_loop *loop, int signo)
{
    int err = conc__loop_check(loop);
    if (err)
        return err;
    struct signal_handler **at = handler_find(loop, signo);
    if (!*at)
        return 0;
    handler_remove(at);
    return 1;
}

void conc__signals_drop(struct conc_loop *loop)
{
    while (loop->signals)
        handler_remove(&loop->signals);
}
