/* SPDX-License-Identifier: MIT
 *
 * stack.h: memory for the stacks of tasks and generators: pooled, with a guard below each.
 */
#ifndef CONC_LIB_STACK_H
#define CONC_LIB_STACK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <conc/base.h>

#include "base/checkers.h"

struct slab;

/* The usable part is base..base+size; below it is a guard that no access survives. */
struct stack {
    char *base;
    size_t size;
    struct slab *slab; /* the pool's own, as is `index` */
    uint32_t index;
};

/* Bytes: what a size of 0 means. The sanitizers' frames are larger. */
#if defined(WITH_ASAN) || defined(WITH_TSAN)
#define STACK_DEFAULT_SIZE ((size_t)512 * 1024)
#else
#define STACK_DEFAULT_SIZE ((size_t)256 * 1024)
#endif

/* The most stacks of one size in a slab, and of those that are kept with their memory. */
enum { SLAB_STACKS_MAX = 1024, WARM_STACKS_MAX = 1024 };

/* Fill in *ret with a stack of at least `size` usable bytes (0: the default). 0; -ENOMEM: no
 * memory, or no more mappings; -EINVAL: more than 1 GiB. Called from any thread. */
int conc__stack_alloc(struct stack *ret, size_t size);

/* Give it back. No code runs on it any more. Called from any thread. */
void conc__stack_free(const struct stack *stack);

/* Are more free stacks in memory than are kept for good? Cheap; it may be out of date. */
bool conc__stack_is_crowded(void);

/* Give some of the memory of free stacks back to the kernel, if these were not needed lately.
 * Returns when to call this again: CONC_NOW: at once; CONC_FOREVER: it is not crowded. For a thread
 * that has nothing to do. */
conc_deadline conc__stack_trim(void);

/* The same for all that are not kept for good. Called when a loop has ended. */
void conc__stack_trim_all(void);

/* Where to begin on it, aligned to 64. Not always at its end, or the tops of a thousand stacks
 * would share a few lines of the cache (161 against 105 ns to switch to one of a million). */
static inline void *stack_top(const struct stack *stack)
{
    enum { COLOUR = 192, COLOURS = 12 };
    return stack->base + stack->size - stack->index % COLOURS * COLOUR;
}

/* Does the address lie in the guard below a stack? Called from a signal handler too. */
bool conc__stack_guards(const struct stack *stack, const void *address);

/* The pooled stack on which the calling thread stands; NULL: its own. Code that switches assigns
 * it; the report of an overflow reads it. */
extern __thread const struct stack *conc__stack_here __attribute__((tls_model("initial-exec")));

/* Does the calling thread stand on one, a task's or a generator's, of a few hundred KiB? */
static inline bool stack_is_small(void) { return conc__stack_here; }

/* Give the calling thread a stack for signals, until it ends, so that a stack overflow in it is
 * reported ("task 'name' has overflowed its stack of 256 KiB") before the program dies. Cheap if it
 * has one already. 0; -ENOMEM. */
int conc__stack_watch_overflow(void);

#endif
