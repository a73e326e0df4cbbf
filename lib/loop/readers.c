/* SPDX-License-Identifier: MIT
 *
 * readers.c: callbacks for descriptors that are readable or writable.
 *
 * The states of a watch (here without WATCH_):
 *
 *     ARMED     an OP_POLL of its own is in flight
 *     QUEUED    in the ready list: to be armed for the first time, or because its poll is complete
 *     RUNNING   in its callback
 *     removed   in no table: freed when its poll, or its turn, is over
 *
 *     ARMED -> QUEUED -> RUNNING -> ARMED ...;  any -> removed
 *
 * A watch is armed again after its callback. So the callback is called once a turn as long as the
 * descriptor is ready. A descriptor that cannot be polled (-EBADF: the program has closed it
 * without removing the watch) is reported once by the callback, which finds out by itself, and is
 * removed. The same if it is closed by conc_close() while the watch is not armed.
 *
 * The callback runs with the local values that its registrant had, and what it sets it finds the
 * next time: the watch keeps them (wait/local.c).
 */
#include <fcntl.h>
#include <poll.h>
#include <string.h>

#include "base/alloc.h"
#include "base/cxx.h"
#include "loop/loop_impl.h"
#include "op/closing.h"
#include "wait/local.h"

enum { WATCHES_MIN = 64 }; /* descriptors that the table has room for at first */
enum { WATCH_READER, WATCH_WRITER };
enum watch_state { WATCH_ARMED, WATCH_QUEUED, WATCH_RUNNING };

struct fd_watch {
    struct op op;
    struct item item;
    struct conc_loop *loop;
    enum watch_state state;
    bool removed;
    bool closed; /* its descriptor has been closed */
    conc_callback_fn *fn;
    void *arg;
    struct locals *locals; /* owned; NULL: none */
};

/* ---- The table ---- */

static struct fd_watch **watch_find(struct conc_loop *loop, int fd, int which)
{
    return (size_t)fd < loop->watches.room ? &loop->watches.by_fd[fd][which] : NULL;
}

static int watches_make_room(struct fd_watches *watches, int fd)
{
    size_t room = watches->room ? watches->room : WATCHES_MIN;
    while (room <= (size_t)fd)
        room *= 2;
    if (room == watches->room)
        return 0;
    struct fd_watch *(*more)[2] = alloc_array(room, sizeof *more);
    if (!more)
        return -ENOMEM;
    if (watches->room)
        memcpy(more, watches->by_fd, watches->room * sizeof *more);
    free_bytes(watches->by_fd);
    *watches = (struct fd_watches){.by_fd = more, .room = room};
    return 0;
}

/* ---- A watch ---- */

static void watch_forget(struct fd_watch *w)
{
    struct fd_watch **at =
        watch_find(w->loop, w->op.fd, w->op.flags == POLLIN ? WATCH_READER : WATCH_WRITER);
    if (*at == w)
        *at = NULL;
    w->removed = true;
}

static void watch_free(struct fd_watch *w)
{
    conc__locals_unref(w->locals);
    free_bytes(w);
}

static void watch_poll_over(struct op *op)
{
    struct fd_watch *w = list_entry(op, struct fd_watch, op);
    if (w->removed) {
        watch_free(w);
        return;
    }
    w->state = WATCH_QUEUED;
    loop_push(w->loop, &w->item);
}

/* Begin its poll; or free it, if it was removed. */
static void watch_arm(struct fd_watch *w)
{
    /* Either the loop is freed before it has ever run, or the callback has forked and this is the
     * child. */
    if (!w->removed && (!w->loop->driver.backend || w->loop->driver.dead))
        watch_forget(w);
    if (w->removed) {
        watch_free(w);
        return;
    }
    if (w->closed) { /* the number may mean another file now */
        w->op.result = -EBADF;
        watch_poll_over(&w->op);
        return;
    }
    w->state = WATCH_ARMED;
    conc__driver_start(&w->loop->driver, &w->op);
}

static void watch_call(struct fd_watch *w)
{
    struct locals_stay stay __attribute__((cleanup(conc__locals_exit)));
    conc__locals_enter(&stay, &w->locals, true);
    FENCED("a reader or writer of a loop", w->fn(w->arg));
}

static void watch_run(struct item *item)
{
    struct fd_watch *w = list_entry(item, struct fd_watch, item);
    const struct conc_loop *loop = w->loop;
    int64_t since = loop->slow_after ? conc_now() : 0;
    w->state = WATCH_RUNNING;
    if (!w->removed)
        watch_call(w);
    if (loop->slow_after)
        conc__loop_report_slow(loop, since, "a reader's or writer's callback", "");
    if (!w->removed && w->op.result < 0)
        watch_forget(w);
    watch_arm(w);
}

/* Before the loop's first run there is no backend. So a new watch is queued, and armed in its
 * turn. */
static void watch_begin(struct item *item)
{
    struct fd_watch *w = list_entry(item, struct fd_watch, item);
    w->item.run = watch_run;
    watch_arm(w);
}

static void watch_remove(struct fd_watch *w)
{
    watch_forget(w);
    if (w->state == WATCH_ARMED)
        driver_cancel(&w->loop->driver, &w->op);
}

/* ---- The calls ---- */

static int watch_add(conc_loop *loop, int fd, int which, conc_callback_fn *fn, void *arg)
{
    int err = conc__loop_check(loop);
    if (err)
        return err;
    if (!fn || fd < 0)
        return -EINVAL;
    if (fcntl(fd, F_GETFD) < 0)
        return -errno;
    err = watches_make_room(&loop->watches, fd);
    if (err)
        return err;
    struct fd_watch *w = alloc_one(struct fd_watch);
    if (!w)
        return -ENOMEM;
    *w = (struct fd_watch){.loop = loop, .fn = fn, .arg = arg};
    w->locals = conc__locals_inherit(context_self());
    w->op = (struct op){.code = OP_POLL, .fd = fd, .complete = watch_poll_over};
    w->op.flags = which == WATCH_READER ? POLLIN : POLLOUT;
    struct fd_watch **at = watch_find(loop, fd, which);
    if (*at)
        watch_remove(*at);
    *at = w;
    w->state = WATCH_QUEUED;
    w->item.run = watch_begin;
    loop_push(loop, &w->item);
    if (loop->started) /* before, nobody in the loop would hear of a close */
        fd_note_user(fd, &loop->driver);
    return 0;
}

static int watch_remove_one(conc_loop *loop, int fd, int which)
{
    int err = conc__loop_check(loop);
    if (err)
        return err;
    struct fd_watch **at = fd < 0 ? NULL : watch_find(loop, fd, which);
    if (!at || !*at)
        return 0;
    watch_remove(*at);
    return 1;
}

int conc_loop_add_reader(conc_loop *loop, int fd, conc_callback_fn *fn, void *arg)
{
    return watch_add(loop, fd, WATCH_READER, fn, arg);
}

int conc_loop_add_writer(conc_loop *loop, int fd, conc_callback_fn *fn, void *arg)
{
    return watch_add(loop, fd, WATCH_WRITER, fn, arg);
}

int conc_loop_remove_reader(conc_loop *loop, int fd)
{
    return watch_remove_one(loop, fd, WATCH_READER);
}

int conc_loop_remove_writer(conc_loop *loop, int fd)
{
    return watch_remove_one(loop, fd, WATCH_WRITER);
}

void conc__readers_hear(struct driver *driver, int fd)
{
    struct conc_loop *loop = list_entry(driver, struct conc_loop, driver);
    for (int which = WATCH_READER; which <= WATCH_WRITER; which++) {
        struct fd_watch **at = watch_find(loop, fd, which);
        if (at && *at && (*at)->state != WATCH_ARMED) /* else its poll ends */
            (*at)->closed = true;
    }
}

void conc__readers_drop(struct conc_loop *loop)
{
    for (size_t fd = 0; fd < loop->watches.room; fd++)
        for (int which = WATCH_READER; which <= WATCH_WRITER; which++)
            if (loop->watches.by_fd[fd][which])
                watch_remove(loop->watches.by_fd[fd][which]);
    free_bytes(loop->watches.by_fd);
    loop->watches = (struct fd_watches){0};
}
