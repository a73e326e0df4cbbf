/* SPDX-License-Identifier: MIT
 *
 * context.c: what threads and tasks have in common: an identity, a name, a place in the registry.
 */
#include "wait/context.h"

#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/guard.h"
#include "wait/local.h"
#include "wait/registry.h"

__thread struct conc_context *conc__self __attribute__((tls_model("initial-exec")));

/* "<kind>-<id>", without the weight of snprintf(): tasks are started by the million. */
static void context_generate_name(char *name, const char *kind, uint32_t id)
{
    char digits[10];
    size_t n = 0;
    while (*kind)
        *name++ = *kind++;
    *name++ = '-';
    do
        digits[n++] = (char)('0' + id % 10);
    while ((id /= 10) > 0);
    while (n > 0)
        *name++ = digits[--n];
    *name = '\0';
}

void conc__context_init(struct conc_context *context, const struct context_ops *ops,
                        const char *name)
{
    context->ops = ops;
    context->id = conc__registry_new_id();
    context->scopes_end = CONC_FOREVER;
    if (name) /* no other context knows this one yet: no guard */
        snprintf(context->name, sizeof context->name, "%s", name);
    else
        context_generate_name(context->name, ops->kind, context->id);
    conc__registry_add(context);
}

void conc__context_fini(struct conc_context *context)
{
    struct locals *job_locals = context->job_locals;
    context->job_locals = NULL;
    conc__locals_unref(job_locals);
    conc__locals_drop(context); /* before the rest: destructors may do anything */
    conc__registry_remove(context);
    free_bytes(context->message);
    context->message = NULL;
}

void conc__name_join(char name[CONC_NAME_MAX], const char *prefix, const char *end)
{
    const int room = CONC_NAME_MAX - 1 - (int)strlen(end);
    snprintf(name, CONC_NAME_MAX, "%.*s%s", room > 0 ? room : 0, prefix, end);
}

void conc__context_rename(struct conc_context *context, const char *name)
{
    guard_lock(&context->blocked); /* a snapshot may be reading the old one */
    snprintf(context->name, sizeof context->name, "%s", name);
    guard_unlock(&context->blocked);
}

conc_context *conc_context_current(void) { return context_self(); }

const char *conc_context_name(const conc_context *context)
{
    return context ? context->name : context_self()->name;
}

void conc_context_set_name(const char *name)
{
    struct conc_context *self = context_self();
    conc__context_rename(self, name);
    if (self->ops->renamed)
        self->ops->renamed(self);
}

uint32_t conc_context_id(const conc_context *context)
{
    return context ? context->id : context_self()->id;
}
