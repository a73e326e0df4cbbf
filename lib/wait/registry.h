/* SPDX-License-Identifier: MIT
 *
 * registry.h: the list of all contexts, which registry.c keeps.
 */
#ifndef CONC_LIB_REGISTRY_H
#define CONC_LIB_REGISTRY_H

#include "wait/context.h"

/* An id that no living context has; never 0. */
uint32_t conc__registry_new_id(void);

/* Enter a context, complete with id and name, for others see it from now on; remove it. */
void conc__registry_add(struct conc_context *context);
void conc__registry_remove(struct conc_context *context);

/* In how many forks this process has come about: what another has made is not ours. */
uint32_t conc__forks(void);

#endif
