/* SPDX-License-Identifier: MIT
 *
 * task_impl.h: what a task is inside. See task.c.
 */
#ifndef CONC_LIB_LOOP_TASK_IMPL_H
#define CONC_LIB_LOOP_TASK_IMPL_H

#include <conc/task.h>

#include "loop/loop_impl.h"

enum task_state { TASK_NEW, TASK_READY, TASK_RUNNING, TASK_PARKED, TASK_ENDED };

struct task {
    struct conc_context context; /* first */
    struct conc_loop *loop;
    conc_future *job; /* holds a reference */
    enum task_state state;
    uint32_t woken;  /* PARK_ bits for the next park; the loop's thread only */
    uint32_t posted; /* PARK_ bits from other threads, and TASK_POSTED: `post` is in the inbox */
    struct item ready, post;
    struct timer timer;
    struct coroutine start;   /* where it begins */
    struct coroutine *resume; /* where it goes on */
    struct stack stack;
    const struct stack *on; /* the stack on which it stands: its own, or a generator's */
    struct list_node node;  /* in loop->tasks */
};

_Static_assert(offsetof(struct task, context) == 0, "task_of_context() casts");

static inline struct task *task_of_context(struct conc_context *context)
{
    return (struct task *)(void *)context;
}

/* Make a task of a pending job, whose reference it takes on 0. From any thread. */
int conc__task_submit(struct conc_loop *loop, conc_future *job, const conc_task_options *options);

/* Cancel the tasks that CONC_SHUTDOWN_CANCEL_ flags name. The loop is closed. In its thread. */
void conc__loop_cancel_tasks(struct conc_loop *loop, unsigned flags);

#endif
