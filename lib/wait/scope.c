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
 * Order: `cancelled` is the only field that others write: set (release) before the kick, read
 * (acquire) after it. All others belong to the scope's context.
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

static conc_scope *scope_ended_around(conc_scope *innermost, conc_deadline *first)
{
    *first = scope_earliest_deadline(innermost);
    return scope_outermost_ended(innermost, deadline_is_forever(*first) ? 0 : conc_now());
}

/* The outermost scope around the caller that has ended; NULL: none, and *until is when to look
 * again. */
static conc_scope *scope_look_outwards(struct conc_context *self, conc_deadline *until)
{
    if (!self->scope)
        return NULL;
    conc_deadline first;
    conc_scope *ended = scope_ended_around(self->scope, &first);
    if (!ended)
        *until = deadline_earlier(*until, first);
    return ended;
}

bool conc__scopes_ended(struct conc_context *self, conc_deadline *until)
{
    return scope_look_outwards(self, until);
}

int conc__scopes_check(struct conc_context *self, conc_deadline *until)
{
    conc_scope *ended = scope_look_outwards(self, until);
    if (!ended)
        return 0;
    for (conc_scope *s = self->scope; s != ended; s = s->parent)
        s->reported = true;
    ended->reported = true;
    return -ECANCELED;
}

static void scope_push(conc_scope *scope, conc_deadline deadline, bool shield)
{
    struct conc_context *self = context_self();
    *scope = (conc_scope){
        .parent = self->scope, .context = self, .deadline = deadline, .shield = shield};
    self->scope = scope;
}

static bool scope_pop(conc_scope *scope, bool shield)
{
    struct conc_context *self = context_self();
    if (self->scope != scope || scope->shield != shield)
        return false;
    self->scope = scope->parent;
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

void conc__scope_abandon(conc_scope **scope)
{
    if (*scope)
        (*scope)->context->scope = (*scope)->parent;
}

void conc_scope_cancel(conc_scope *scope)
{
    struct conc_context *context = scope->context;
    store_release(&scope->cancelled, 1);
    context->ops->kick(context);
}

void conc_shield_enter(conc_scope *shield) { scope_push(shield, CONC_FOREVER, true); }

int conc_shield_exit(conc_scope *shield) { return scope_pop(shield, true) ? 0 : -EPERM; }

int conc_check_cancel(void)
{
    conc_deadline until = CONC_FOREVER;
    return conc__scopes_check(context_self(), &until);
}

bool conc_is_cancelled(void) { return conc_check_cancel() != 0; }
