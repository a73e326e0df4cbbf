/* SPDX-License-Identifier: MIT
 *
 * callbacks.c: what is called when a future is done.
 *
 * The states of a callback:
 *
 *     registered  in its future's ring, under the future's guard
 *     removed     taken off the ring by conc_future_remove_done_callback(), and freed
 *     due         its future is done: in a context's line, where no other context sees it
 *     over        it has been called, and is freed
 *
 *     registered -> removed;  registered -> due -> over
 *     due -> over             registered when the future was done already
 *
 * The ring: the future points to the callback that was registered last, whose `next` is the first.
 * So adding one at the end takes a few moves under the guard, however many there are.
 *
 * The line: a context that completes a future calls its callbacks itself. If one of them completes
 * another future, and so on, the calls would lie within each other, as many as the chain is long.
 * So only the outermost completion calls: it puts the callbacks that are due into a line, calls the
 * first, and goes on until the line is empty. A completion inside a callback only adds its
 * callbacks at the end. They keep their order, and the stack stays as it is. A callback in a line
 * holds a reference to its future, since the context that completed it may have left.
 *
 * A context has its own line: so a callback that blocks holds up no other context, and a job that
 * runs in a callback (inline) is in the line of its caller, but a job that is helped, in a context
 * of its own, is not.
 *
 * Hooks are callbacks of the library's own: they are called at once, and never stand in line. What
 * waits for a hook (a group for the ends of its members, a loop for a future) so may itself be
 * called in a callback.
 *
 * What a callback must not notice of the context in which it happens to run: it has the local
 * values of the context that registered it; and what the context must not notice of it: its own
 * values, its message and its scopes are as they were. If a callback ends its thread
 * (pthread_exit()) the rest of the line is run all the same, as the stack is unwound.
 */
#include "future/callbacks.h"

#include "base/cxx.h"
#include "future/future_impl.h"
#include "wait/local.h"

struct future_callback {
    struct future_callback *next;
    conc_done_fn *fn;
    void *arg;
    bool is_hook;
    struct locals *locals; /* a reference to the registrant's; NULL: it had none */
    conc_future *future;   /* a reference, in a line; else NULL */
};

/* It lies on the stack of the outermost completion of a context. */
struct callback_line {
    struct conc_context *self;
    struct future_callback *first, **end;
};

static void callback_free(struct future_callback *c)
{
    conc__locals_unref(c->locals);
    conc_future_unref(c->future);
    free_bytes(c);
}

void conc__callbacks_free(struct future_callback *first)
{
    while (first) {
        struct future_callback *c = first;
        first = c->next;
        callback_free(c);
    }
}

/* ---- Calling ---- */

/* A callback that runs, and what its context had before. */
struct callback_call {
    struct conc_context *self;
    struct future_callback *callback;
    struct locals_stay stay;
    struct message message;
    conc_scope *scope;
};

static void callback_end(struct callback_call *call)
{
    struct conc_context *self = call->self;
    if (self->scope != call->scope) /* it has left scopes of its own open */
        conc__scopes_set(self, call->scope);
    conc__locals_exit(&call->stay);
    message_put_back(self, call->message);
    callback_free(call->callback);
}

static void callback_run(struct conc_context *self, struct future_callback *c)
{
    struct callback_call call __attribute__((cleanup(callback_end))) = {
        .self = self, .callback = c, .message = message_put_aside(self), .scope = self->scope};
    conc__locals_enter(&call.stay, &c->locals, false);
    FENCED_FROM_EXCEPTIONS("a callback of a future", c->fn(c->future, c->arg));
}

static void callbacks_go_on(struct callback_line **at);

static void callbacks_run_line(struct callback_line *line)
{
    struct callback_line *left __attribute__((cleanup(callbacks_go_on))) = line;
    while (left->first) {
        struct future_callback *c = left->first;
        left->first = c->next;
        if (!c->next)
            left->end = &left->first;
        callback_run(left->self, c);
    }
}

/* The line is empty; or a callback has left its thread. */
static void callbacks_go_on(struct callback_line **at)
{
    if ((*at)->first)
        callbacks_run_line(*at);
    else
        (*at)->self->callbacks = NULL;
}

static void callbacks_add_due(struct callback_line *line, conc_future *future,
                              struct future_callback *c)
{
    c->future = conc_future_ref(future);
    c->next = NULL;
    *line->end = c;
    line->end = &c->next;
}

/* Call the hooks, and put the others into the line. */
static void callbacks_sort(struct callback_line *line, conc_future *future,
                           struct future_callback *first)
{
    while (first) {
        struct future_callback *c = first;
        first = c->next;
        if (!c->is_hook) {
            callbacks_add_due(line, future, c);
            continue;
        }
        c->fn(future, c->arg);
        callback_free(c);
    }
}

void conc__callbacks_run(conc_future *future, struct future_callback *first)
{
    struct conc_context *self = context_self();
    if (self->callbacks) {
        callbacks_sort(self->callbacks, future, first);
        return;
    }
    struct callback_line line = {.self = self, .end = &line.first};
    callbacks_sort(&line, future, first);
    self->callbacks = &line;
    callbacks_run_line(&line);
}

/* ---- Registering ---- */

static int callback_add(conc_future *future, conc_done_fn *fn, void *arg, bool is_hook)
{
    struct future_callback *c = alloc_one(struct future_callback); /* not under the guard: slow */
    if (!c)
        return -ENOMEM;
    *c = (struct future_callback){.fn = fn, .arg = arg, .is_hook = is_hook};
    if (!is_hook)
        c->locals = conc__locals_inherit(context_self());
    if (!future_lock_undone(future)) {
        conc__callbacks_run(future, c);
        return 0;
    }
    struct future_callback *last = future->callbacks;
    c->next = last ? last->next : c;
    if (last)
        last->next = c;
    future->callbacks = c;
    guard_unlock(&future->word);
    return 0;
}

int conc_future_add_done_callback(conc_future *future, conc_done_fn *fn, void *arg)
{
    return fn ? callback_add(future, fn, arg, false) : -EINVAL;
}

int conc__future_add_hook(conc_future *future, conc_done_fn *fn, void *arg)
{
    return callback_add(future, fn, arg, true);
}

struct future_callback *conc__callbacks_take(conc_future *future)
{
    struct future_callback *last = future->callbacks;
    if (!last)
        return NULL;
    struct future_callback *first = last->next;
    last->next = NULL;
    future->callbacks = NULL;
    return first;
}

/* Put a chain back that conc__callbacks_take() has taken. */
static void callbacks_put_back(conc_future *future, struct future_callback *first,
                               struct future_callback *last)
{
    if (!first)
        return;
    last->next = first;
    future->callbacks = last;
}

int conc_future_remove_done_callback(conc_future *future, conc_done_fn *fn, void *arg)
{
    if (!future_lock_undone(future))
        return 0;
    struct future_callback *removed = NULL, *kept = NULL, **end = &kept, *last = NULL;
    int n = 0;
    for (struct future_callback *c = conc__callbacks_take(future), *next; c; c = next) {
        next = c->next;
        if (c->fn == fn && c->arg == arg) {
            c->next = removed;
            removed = c;
            n++;
        } else {
            *end = last = c;
            end = &c->next;
        }
    }
    callbacks_put_back(future, kept, last);
    guard_unlock(&future->word);
    conc__callbacks_free(removed);
    return n;
}
