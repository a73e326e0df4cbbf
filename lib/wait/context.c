/* SPDX-License-Identifier: MIT
 *
 * context.c: what threads and tasks have in common: an identity, a name, a place in the registry.
 */
#include "wait/context.h"

#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/guard.h"
#include "wait/registry.h"

__thread struct conc_context *conc__self __attribute__((tls_model("initial-exec")));

void conc__context_init(struct conc_context *context, const struct context_ops *ops,
                        const char *name)
{
    context->ops = ops;
    context->id = conc__registry_new_id();
    char generated[CONC_NAME_MAX];
    snprintf(generated, sizeof generated, "%s-%u", ops->kind, context->id);
    conc__context_set_name(context, name ? name : generated);
    conc__registry_add(context);
}

void conc__context_fini(struct conc_context *context)
{
    conc__registry_remove(context);
    free_bytes(context->message);
    context->message = NULL;
}

void conc__context_set_name(struct conc_context *context, const char *name)
{
    guard_lock(&context->blocked); /* a snapshot may be reading the old one */
    snprintf(context->name, sizeof context->name, "%s", name);
    guard_unlock(&context->blocked);
}

conc_context *conc_current(void) { return context_self(); }

const char *conc_name(const conc_context *context) { return context->name; }

void conc_set_name(const char *name)
{
    struct conc_context *self = context_self();
    conc__context_set_name(self, name);
    if (self->ops->renamed)
        self->ops->renamed(self);
}

uint32_t conc_id(void) { return context_self()->id; }
