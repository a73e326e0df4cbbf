/* SPDX-License-Identifier: MIT
 *
 * scope.c: cancellation and deadline scopes, and shields.
 *
 * How: a context's scopes are a stack, linked from the innermost outwards; a shield is a scope at
 * which the look outwards stops. A scope has ended once it was cancelled or its deadline has come;
 * that never reverts. A call must end if any scope from the innermost up to the nearest shield has
 * ended. When a call returns for that reason, every scope from the innermost up to the outermost
 * that has ended notes it (`reported`), and its exit says why. A wait that finds that scopes have
 * ended, but is served in the same moment, succeeds: it looks first (conc__scopes_ended), and they
 * note it only when the wait has given up (conc__scopes_check).
 *
 * So that a call need not walk the scopes, the context keeps two things: `scopes_end`, the first
 * deadline that counts; and `cancelled`, which says that some scope may have been cancelled, also
 * one outside of a shield. Invariant: whenever a scope of the context has been cancelled by a call
 * that has returned, the context's `cancelled` is 1. A canceller sets the scope's word and then the
 * context's. The context clears its own (an exchange), and then looks at all of its scopes: either
 * the exchange has seen what the canceller wrote, and then the look sees the scope's word; or the
 * canceller sets the context's word after it.
 *
 * Who serves a waiter looks at these too (wait.c), from outside, while the context waits. It cannot
 * enter or leave a scope then, so its scopes stay as they are.
 *
 * Order: the two words `cancelled` are all that others write: set (release) before the kick, the
 * scope's first, read (acquire) after it. All else belongs to the scope's context; a context that
 * serves it has seen it under the guard of the list on which it waits.
 */
#include "base/clock.h"
#include "wait/context.h"

/* The first deadline of the scopes. Only if there is one, the clock must be read. */
static conc_deadline scope_earliest_deadline(const conc_scope *scope)
{
    conc_deadline first = CONC_FOREVER;
    for (; scope && !scope->shield; scope = scope->parent)
        first = deadline_earlier(first, scope->deadline);
    return first;
}

static conc_scope *scope_outermost_ended(conc_scope *scope, int64_t now)
{
    conc_scope *found = NULL;
    for (; scope && !scope->shield; scope = scope->parent)
        if (load_acquire(&scope->cancelled) || scope->deadline.ns <= now)
            found = scope;
    return found;
}

/* The outermost scope around the caller that has ended; NULL: none. */
static conc_scope *scope_look_outwards(const struct conc_context *self)
{
    if (!scopes_may_have_ended(self))
        return NULL;
    return scope_outermost_ended(self->scope,
                                 deadline_is_forever(self->scopes_end) ? 0 : conc_now());
}

bool conc__scopes_ended(const struct conc_context *self) { return scope_look_outwards(self); }

bool conc__scopes_cancelled(const struct conc_context *context)
{
    const int64_t before_all_deadlines = -1;
    return load_acquire(&context->cancelled) &&
           scope_outermost_ended(context->scope, before_all_deadlines);
}

int conc__scopes_check(struct conc_context *self)
{
    conc_scope *ended = scope_look_outwards(self);
    if (!ended)
        return 0;
    for (conc_scope *s = self->scope; s != ended; s = s->parent)
        s->reported = true;
    ended->reported = true;
    return -ECANCELED;
}

static bool scope_any_cancelled(const conc_scope *scope)
{
    for (; scope; scope = scope->parent)
        if (load_acquire(&scope->cancelled))
            return true;
    return false;
}

void conc__scopes_set(struct conc_context *self, conc_scope *innermost)
{
    self->scope = innermost;
    self->scopes_end = scope_earliest_deadline(innermost);
    if (load_relaxed(&self->cancelled)) /* relaxed: what comes later sets it again */
        exchange_acquire(&self->cancelled, 0);
    if (scope_any_cancelled(innermost))
        store_relaxed(&self->cancelled, 1); /* relaxed: what it stands for is in the scopes */
}

static void scope_push(conc_scope *scope, conc_deadline deadline, bool shield)
{
    struct conc_context *self = context_self();
    *scope = (conc_scope){
        .parent = self->scope, .context = self, .deadline = deadline, .shield = shield};
    self->scope = scope;
    self->scopes_end = shield ? CONC_FOREVER : deadline_earlier(self->scopes_end, deadline);
}

static bool scope_pop(conc_scope *scope, bool shield)
{
    struct conc_context *self = context_self();
    if (self->scope != scope || scope->shield != shield)
        return false;
    conc__scopes_set(self, scope->parent);
    return true;
}

void conc_scope_enter(conc_scope *scope, conc_deadline deadline)
{
    scope_push(scope, deadline, false);
}

int conc_scope_exit(conc_scope *scope)
{
    if (!scope_pop(scope, false))
        return -EPERM;
    if (!scope->reported)
        return 0;
    /* This exit reports an outer scope's end that came later: then the outer scope must note it. */
    if (conc_check_cancel() || load_acquire(&scope->cancelled))
        return -ECANCELED;
    return -ETIMEDOUT;
}

void conc_scope_cancel(conc_scope *scope)
{
    struct conc_context *context = scope->context;
    store_release(&scope->cancelled, 1);
    if (!context)
        return; /* it is in a generator's body that does not run */
    fetch_or_release(&context->cancelled, 1);
    context->ops->kick(context);
}

void conc_shield_enter(conc_scope *shield) { scope_push(shield, CONC_FOREVER, true); }

int conc_shield_exit(conc_scope *shield) { return scope_pop(shield, true) ? 0 : -EPERM; }

int conc_check_cancel(void) { return conc__scopes_check(context_self()); }

bool conc_is_cancelled(void) { return conc_check_cancel() != 0; }
