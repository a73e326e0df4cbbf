/* SPDX-License-Identifier: MIT
 *
 * nested.c: a context that runs on the stack of another, which waits for it.
 *
 * A worker that waits for a job may run it itself (future/job.c). That job is no part of the one
 * that waits: it has an identity, a name, local values, an error message and scopes of its own, it
 * holds no lock that the waiting job holds, and what ends the waiting job's calls does not end its.
 * So it gets a context, and all of that follows.
 *
 * How: `conc__self` becomes the nested context. It is suspended and woken by the functions of its
 * base, the thread or task on whose stack it stands, and by the base's parking word. That is sound
 * because the contexts below it, the base too, are on no list while they wait in this way: no waker
 * can mean them, but a kick, and a park that returns for a kick of another's looks again and goes
 * on. (A kick for a context that waits so is lost: it looks at its scopes when it runs again.) A
 * task that is resumed becomes the calling context; a park here puts the nested one back.
 *
 * In the registry the context that waits is blocked, and the nested one is listed beside it.
 */
#include "wait/nested.h"

#include "wait/local.h"

static struct nested_context *nested_of(struct conc_context *context)
{
    return (struct nested_context *)(void *)context;
}

static struct conc_context *nested_find_base(struct conc_context *context)
{
    return context->outer ? nested_of(context)->base : context;
}

static uint32_t nested_park(struct conc_context *self, conc_deadline until)
{
    struct conc_context *base = nested_of(self)->base;
    uint32_t bits = base->ops->park(base, until);
    conc__self = self;
    return bits;
}

static void nested_deliver(struct conc_context *context, struct conc__waiter *waiter)
{
    struct conc_context *base = nested_of(context)->base;
    base->ops->deliver(base, waiter);
}

static void nested_kick(struct conc_context *context)
{
    struct conc_context *base = nested_of(context)->base;
    base->ops->kick(base);
}

static void nested_yield(struct conc_context *self)
{
    struct conc_context *base = nested_of(self)->base;
    base->ops->yield(base);
    conc__self = self;
}

static void nested_poll(struct conc_context *self, int fd, short events, conc_deadline until)
{
    struct conc_context *base = nested_of(self)->base;
    base->ops->poll(base, fd, events, until);
}

static void nested_wait_word(struct conc_context *self, uint32_t *word, uint32_t value,
                             int64_t since, conc_deadline until)
{
    struct conc_context *base = nested_of(self)->base;
    base->ops->wait_word(base, word, value, since, until);
    conc__self = self;
}

/* The operating system's thread has another name until the nested context is left. */
static void nested_renamed(struct conc_context *self)
{
    struct nested_context *nested = nested_of(self);
    nested->renamed = true;
    if (nested->base->ops->renamed)
        nested->base->ops->renamed(self);
}

static bool nested_has_stack(struct conc_context *self)
{
    struct conc_context *base = nested_of(self)->base;
    return base->ops->has_stack(base);
}

void conc__nested_enter(struct nested_context *nested, const char *what, const void *object)
{
    struct conc_context *outer = context_self();
    struct conc_context *base = nested_find_base(outer);
    *nested = (struct nested_context){
        .context = {.outer = outer,
                    .depth = outer->depth + 1,
                    .works_for = outer->works_for,
                    .holds_up = outer->holds_up,
                    .submits_to = outer->submits_to,
                    .driver = outer->driver,
                    .job_locals = conc__locals_ref(outer->job_locals)},
        .base = base,
        .ops = {.kind = base->ops->kind,
                .owns_thread = base->ops->owns_thread,
                .renamed = nested_renamed,
                .park = nested_park,
                .deliver = nested_deliver,
                .kick = nested_kick,
                .yield = nested_yield,
                .poll = base->ops->poll ? nested_poll : NULL,
                .wait_word = nested_wait_word,
                .has_stack = base->ops->has_stack ? nested_has_stack : NULL}};
    struct conc_context *self = &nested->context;
    conc__blocked_begin(outer, what, object, NULL);
    conc__context_init(self, &nested->ops, NULL);
    conc__locals_adopt(self, conc__locals_ref(outer->job_locals));
    conc__self = self;
}

void conc__nested_leave(struct nested_context *nested)
{
    struct conc_context *outer = nested->context.outer;
    conc__context_fini(&nested->context); /* destructors of its values run in it still */
    /* In the child of a task that has forked, both have given way to the thread's own context. */
    if (conc__self == &nested->context)
        conc__self = outer;
    conc__blocked_end(outer);
    if (nested->renamed && nested->base->ops->renamed)
        nested->base->ops->renamed(outer);
}
