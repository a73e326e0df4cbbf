/* SPDX-License-Identifier: MIT
 *
 * create.h: starting an operating-system thread. All threads of the library are started here.
 */
#ifndef CONC_LIB_THREAD_CREATE_H
#define CONC_LIB_THREAD_CREATE_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Start a joinable thread. stack_size in bytes, 0: the default. 0; -ENOMEM: no memory, or no more
 * threads; -EINVAL: an impossible stack size. */
int conc__thread_create(pthread_t *thread, size_t stack_size, void *(*main)(void *), void *arg);

/* What is more than half of all addresses is no size: adding to it may overflow. */
static inline bool thread_stack_is_possible(size_t stack_size)
{
    return stack_size <= SIZE_MAX / 2;
}

/* How many processors the caller may use, at least 1. */
size_t conc__usable_cpus(void);

#endif
