/* SPDX-License-Identifier: MIT
 *
 * signal.c: callbacks for signals, in the loop's thread.
 *
 * The thread that deals with signals (thread/signal.c) calls tell(), which posts the handler to its
 * loop unless it is in the inbox already (`posted`); the loop puts it into its ready list, and runs
 * the program's callback there.
 *
 * Removing: once conc__signal_remove() has returned nobody posts it any more. If it is still in the
 * inbox or the ready list it is freed when it comes out of there, else at once.
 */
#include "base/alloc.h"
#include "loop/loop_impl.h"
#include "thread/signal_impl.h"

struct signal_entry {
    struct signal_callback callback;
    struct signal_entry *next; /* in loop->signals */
    struct conc_loop *loop;
    uint32_t posted; /* `post` is on its way through the inbox */
    bool queued;     /* `item` is in the ready list */
    bool removed;
    struct item post, item;
    conc_callback_fn *fn;
    void *arg;
};

static void free_if_out(struct signal_entry *e)
{
    if (!load_acquire(&e->posted) && !e->queued)
        free_bytes(e);
}

static void run(struct item *item)
{
    struct signal_entry *e = list_entry(item, struct signal_entry, item);
    e->queued = false;
    if (e->removed)
        free_if_out(e);
    else
        e->fn(e->arg);
}

static void taken_from_inbox(struct item *item)
{
    struct signal_entry *e = list_entry(item, struct signal_entry, post);
    store_release(&e->posted, 0);
    if (e->removed) {
        free_if_out(e);
    } else if (!e->queued) {
        e->queued = true;
        loop_push(e->loop, &e->item);
    }
}

static void tell(int signo, void *arg)
{
    struct signal_entry *e = arg;
    if (!exchange_acq_rel(&e->posted, 1))
        conc__driver_post(&e->loop->driver, &e->post);
}

static void remove_entry(struct signal_entry **at)
{
    struct signal_entry *e = *at;
    *at = e->next;
    e->removed = true;
    conc__signal_remove(&e->callback);
    free_if_out(e);
}

static struct signal_entry **find(struct conc_loop *loop, int signo)
{
    struct signal_entry **at = &loop->signals;
    while (*at && (*at)->callback.signo != signo)
        at = &(*at)->next;
    return at;
}

int conc_loop_add_signal_handler(conc_loop *loop, int signo, conc_callback_fn *fn, void *arg)
{
    int err = conc__loop_check(loop);
    if (err || !fn)
        return err ? err : -EINVAL;
    struct signal_entry *e = alloc_one(struct signal_entry);
    if (!e)
        return -ENOMEM;
    *e = (struct signal_entry){.loop = loop, .fn = fn, .arg = arg};
    e->callback = (struct signal_callback){.signo = signo, .fn = tell, .arg = e};
    e->post.run = taken_from_inbox;
    e->item.run = run;
    err = conc__signal_add(&e->callback);
    if (err) {
        free_bytes(e);
        return err;
    }
    struct signal_entry **before = find(loop, signo);
    if (*before)
        remove_entry(before);
    e->next = loop->signals;
    loop->signals = e;
    return 0;
}

int conc_loop_remove_signal_handler(conc_loop *loop, int signo)
{
    int err = conc__loop_check(loop);
    if (err)
        return err;
    struct signal_entry **at = find(loop, signo);
    if (!*at)
        return 0;
    remove_entry(at);
    return 1;
}

void conc__signals_drop(struct conc_loop *loop)
{
    while (loop->signals)
        remove_entry(&loop->signals);
}
