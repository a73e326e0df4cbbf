/* SPDX-License-Identifier: MIT
 *
 * fibers.h: a second kind of context, for tests: fibers, which take turns in a loop's thread. They
 * fill in struct context_ops, and nothing below knows of them; so a test that passes between
 * fibers, and between fibers and threads, shows that no primitive knows what kind of context it
 * blocks. And the same with the library's own tasks.
 */
#ifndef CONC_TESTS_FIBERS_H
#define CONC_TESTS_FIBERS_H

#include <stddef.h>

struct fiber_loop;

struct fiber_loop *fiber_loop_new(void);
void fiber_loop_free(struct fiber_loop *loop);

/* Add a fiber that runs fn(arg); name NULL: "fiber-N". Called before the loop runs. */
void fiber_loop_add(struct fiber_loop *loop, const char *name, void (*fn)(void *arg), void *arg);

/* Run the fibers in the calling thread until all have ended. */
void fiber_loop_run(struct fiber_loop *loop);

/* ---- The same thing in all kinds ---- */

enum context_kind {
    THREADS,
    FIBERS,            /* all in one loop, in the calling thread */
    TWO_LOOPS,         /* half in each, in two other threads */
    MIXED,             /* every other one a thread, the rest fibers in one loop */
    TASKS,             /* the real thing (conc/task.h): all in one loop, in the calling thread */
    TASK_LOOPS,        /* half in each of two loops, with two backends, in two threads */
    TASKS_AND_THREADS, /* every other one a thread, the rest tasks of one loop */
    CONTEXT_KINDS,
};

extern const char *const context_kind_names[CONTEXT_KINDS];

/* Run fn(0, arg) to fn(n - 1, arg) at the same time, each in a context of its own; wait for all. */
void run_contexts(enum context_kind kind, size_t n, void (*fn)(size_t index, void *arg), void *arg);

#endif
