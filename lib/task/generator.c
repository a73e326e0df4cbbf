/* SPDX-License-Identifier: MIT
 *
 * generator.c: generators: a body on a stack of its own, in the context of the consumer, which asks
 * it for the next item.
 *
 *     new        the body has not begun: no code is on its stack
 *     suspended  at a yield
 *     running    a context is in generator_run(); `running` is set
 *     ended      the body has returned; its stack is given back already
 *
 *     new, suspended -> running    next(); free() too, for a suspended one
 *     running -> suspended         yield
 *     running -> ended             the body returns
 *
 * How: next() switches to the body's stack and yield back again, and the item is copied straight
 * from the one to the other. Nothing else changes: the same thread runs on with the same context,
 * so a call that blocks in the body parks the consumer, which saves its place (on the body's stack)
 * as any context does.
 *
 * Two things of the context are the body's while it runs, and generator_run() swaps them:
 *
 * - Its scopes. The body's scopes hang below `root`, whose deadline is that of this next() and
 *   whose parent, at each next(), becomes the consumer's innermost scope: so what ends the consumer
 *   ends the body's calls, also if the consumer has entered and left scopes since. At a yield the
 *   consumer's scopes are put back as they were. So a scope that is open across a yield never acts
 *   on the consumer (PEP 789 tells what happens otherwise). root is a new scope in each next(): if
 *   an earlier one timed out, that is forgotten (generator_forget_reported()). A group must not be
 *   open across a yield at all: its members may cancel its scope at any time, also while the body
 *   changes from one context to another.
 * - The message of its last error: the body may be about to return an error while the consumer
 *   deals with others.
 *
 * The body may go on in another thread after a switch, so it must not use an address or a value of
 * a thread-local variable from before. generator_run() returns in the thread that called it.
 *
 * Order: `running` is taken with acquire and released with release, so generators may be handed
 * from one context to another; a call that comes while another runs gets -EBUSY.
 */
#include <conc/generator.h>

#include <string.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/invariant.h"
#include "task/coroutine.h"
#include "wait/wait.h"

struct conc_generator {
    conc_generator_fn *body;
    size_t item_size;
    uint32_t running;
    bool has_arg, begun, ended;
    bool closing; /* yields return -ECANCELED */
    int result;   /* of the body, once it has ended */
    void *item;   /* where the consumer wants it */
    struct stack stack;
    struct coroutine body_at, *consumer_at;
    /* The body's, while it doesn't run: */
    conc_scope root, *scope;
    char *message;
    int message_err;
    unsigned open_groups; /* of the consumer, outside of the body */
    max_align_t arg[];    /* a copy */
};

/* ---- The body's side ---- */

static void generator_main(void *generator)
{
    conc_generator *g = generator;
    g->result = g->body(g, g->has_arg ? g->arg : NULL);
    g->ended = true;
    conc__coroutine_leave(g->consumer_at);
}

/* Has one of the body's own scopes ended? */
static int generator_check_own_scopes(conc_generator *g)
{
    if (conc__self->scope == &g->root)
        return 0;
    /* The scopes further out are the consumer's, which still gets this item. */
    g->root.shield = true;
    int err = conc_check_cancel();
    g->root.shield = false;
    return err;
}

/* Not inlined, even across files: the compiler must not keep thread-local addresses across it. */
__attribute__((noinline)) int conc_generator_yield(conc_generator *g, const void *item)
{
    if (conc__stack_here != &g->stack)
        return -EPERM;
    if (conc__self->open_groups != g->open_groups)
        return -EPERM;
    if (g->closing)
        return -ECANCELED;
    int err = generator_check_own_scopes(g);
    if (err)
        return err;
    if (g->item && g->item_size)
        memcpy(g->item, item, g->item_size);
    conc__coroutine_switch_apart(&g->body_at, g->consumer_at);
    return g->closing ? -ECANCELED : 0;
}

/* ---- The consumer's side ---- */

/* The last next() told the body's scopes that they have ended, because root had. A scope that had
 * not ended itself, nor lies in one that had, must not report that when it is left. */
static void generator_forget_reported(conc_generator *g)
{
    int64_t now = conc_now();
    conc_scope *first = g->scope;
    for (conc_scope *s = g->scope; s != &g->root; s = s->parent)
        if (load_acquire(&s->cancelled) || s->deadline.ns <= now)
            first = s->parent;
    for (conc_scope *s = first; s != &g->root; s = s->parent)
        s->reported = false;
}

static void generator_put_on_scopes(conc_generator *g, struct conc_context *self,
                                    conc_deadline deadline)
{
    if (g->root.reported)
        generator_forget_reported(g);
    for (conc_scope *s = g->scope; s != &g->root; s = s->parent)
        s->context = self;
    g->root = (conc_scope){
        .parent = self->scope, .context = self, .deadline = deadline, .cancelled = g->closing};
    conc__scopes_set(self, g->scope);
}

static void generator_take_off_scopes(conc_generator *g, struct conc_context *self)
{
    g->scope = self->scope;
    for (conc_scope *s = g->scope; s != &g->root; s = s->parent)
        s->context = NULL;
    conc__scopes_set(self, g->root.parent);
}

static void generator_swap_message(conc_generator *g, struct conc_context *self)
{
    char *message = self->message;
    int err = self->message_err;
    self->message = g->message;
    self->message_err = g->message_err;
    g->message = message;
    g->message_err = err;
}

/* The body has ended, and root is the innermost scope. Returns the result of next(). */
static int generator_end(conc_generator *g, struct conc_context *self, conc_deadline deadline)
{
    int why = conc_scope_exit(&g->root);
    int result = g->result > 0 ? -EINVAL : g->result;
    if (result == -ECANCELED && why)
        result = why == -ETIMEDOUT && deadline_is_now(deadline) ? -EAGAIN : why;
    if (!conc__message_for(self, result)) /* else the consumer gets the body's message */
        generator_swap_message(g, self);
    return result;
}

/* Run the body until it yields: 1; or until it has ended. `shielded`: the scopes around the
 * consumer do not act on the body, and are not told what it is told. Inlined: after a switch the
 * processor mispredicts each further return. */
__attribute__((always_inline)) static inline int generator_run(conc_generator *g,
                                                               struct conc_context *self,
                                                               conc_deadline deadline,
                                                               bool shielded)
{
    struct coroutine here;
    conc_scope shield;
    const struct stack *stood_on = conc__stack_here;
    conc__stack_watch_overflow(); /* if there is no memory for it, an overflow has no message */
    if (shielded)
        conc_shield_enter(&shield);
    g->consumer_at = &here;
    g->begun = true;
    g->open_groups = self->open_groups;
    generator_put_on_scopes(g, self, deadline);
    generator_swap_message(g, self);
    conc__stack_here = &g->stack;
    conc__coroutine_switch_apart(&here, &g->body_at);
    conc__stack_here = stood_on;
    int result = 1;
    if (g->ended) {
        if (self->open_groups != g->open_groups)
            conc__misuse("a generator's body has returned and left a group open");
        self->scope = &g->root; /* scopes that the body has not left lay on its stack */
        result = generator_end(g, self, deadline);
    } else {
        generator_swap_message(g, self);
        generator_take_off_scopes(g, self);
    }
    if (shielded)
        conc_shield_exit(&shield);
    return result;
}

/* Why next() must not run the body; 0: it may. */
static int generator_refuse(conc_deadline deadline)
{
    int err = wait_checkpoint(deadline);
    if (err || deadline_is_now(deadline) || deadline_is_forever(deadline))
        return err;
    return deadline.ns <= conc_now() ? -ETIMEDOUT : 0;
}

/* False: it runs. */
static bool generator_start_running(conc_generator *g) { return !exchange_acquire(&g->running, 1); }

static void generator_free_stack(conc_generator *g)
{
    conc__coroutine_fini(&g->body_at);
    conc__stack_free(&g->stack);
}

/* Inlined, as generator_run() is. */
__attribute__((always_inline)) static inline int generator_step(conc_generator *g, void *item,
                                                                conc_deadline deadline)
{
    if (g->ended)
        return 0;
    int err = generator_refuse(deadline);
    if (err)
        return err;
    g->item = item;
    int result = generator_run(g, context_self(), deadline, deadline_is_now(deadline));
    if (g->ended)
        generator_free_stack(g);
    return result;
}

int conc_generator_next(conc_generator *g, void *item, conc_deadline deadline)
{
    if (!generator_start_running(g))
        return -EBUSY;
    int result = generator_step(g, item, deadline);
    store_release(&g->running, 0);
    return result;
}

/* ---- Making and freeing ---- */

int conc_generator_new(conc_generator **ret, conc_generator_fn *body, const void *arg,
                       size_t arg_size, size_t item_size, const conc_generator_options *options)
{
    if (!body || (!arg && arg_size))
        return -EINVAL;
    if (arg_size > SIZE_MAX - sizeof(conc_generator))
        return -ENOMEM;
    conc_generator *g = alloc_bytes(sizeof *g + arg_size);
    if (!g)
        return -ENOMEM;
    *g = (conc_generator){.body = body, .item_size = item_size, .scope = &g->root};
    int err = conc__stack_alloc(&g->stack, options ? options->stack_size : 0);
    if (err) {
        free_bytes(g);
        return err;
    }
    if (arg_size)
        memcpy(g->arg, arg, arg_size);
    g->has_arg = arg_size > 0;
    conc__coroutine_init(&g->body_at, &g->stack, stack_top(&g->stack), generator_main, g);
    *ret = g;
    return 0;
}

int conc_generator_free(conc_generator *g)
{
    if (!g)
        return 0;
    if (!generator_start_running(g))
        return -EBUSY;
    if (!g->ended) {
        g->closing = true;
        if (g->begun) /* it will end, since its yields fail at once */
            generator_run(g, context_self(), CONC_FOREVER, true);
        generator_free_stack(g);
    }
    free_bytes(g->message);
    free_bytes(g);
    return 0;
}
