/* SPDX-License-Identifier: MIT
 *
 * registry.h: the list of all contexts, which registry.c keeps.
 */
#ifndef CONC_LIB_REGISTRY_H
#define CONC_LIB_REGISTRY_H

#include "wait/context.h"

/* An id that no context has had; never 0. */
uint64_t conc__registry_new_id(void);

/* Enter a context; remove it. It has its id and name already: others see it from now on. */
void conc__registry_add(struct conc_context *context);
void conc__registry_remove(struct conc_context *context);

/* How many forks lie between this process and the first: what was made at another number belongs to
 * another process. */
uint32_t conc__forks(void);

#ifdef CONC_TEST_HOOKS
/* As if so many contexts had been there: the next id is last + 1. */
void conc__test_set_last_id(uint64_t last);
#endif

#endif
