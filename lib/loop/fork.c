/* SPDX-License-Identifier: MIT
 *
 * fork.c: after a fork the loops are dead in the child.
 *
 * Their descriptors are closed there (or a peer would never see the end of a connection that a pending
 * operation holds), nothing of what the kernel shares with the parent is touched, and calls return
 * -ESHUTDOWN. The memory of their tasks is not given back: their stacks are as the fork left them, and
 * cannot be unwound.
 *
 * A task that forks goes on in the child as the child's only thread, on the task's stack: its context
 * is replaced by the thread's, so that what blocks there blocks in the kernel. When it returns from its
 * job it comes to the loop's run, which ends with -ESHUTDOWN.
 *
 * The list has a guard, which is held over the fork, so that the child finds it whole.
 */
#include <pthread.h>

#include "loop/task_impl.h"
#include "wait/registry.h"

static struct {
    uint32_t word; /* the guard of the list */
    struct list list;
} loops;

static void loops_kill_one(struct conc_loop *loop)
{
    loop->word = 0; /* a thread that is not here may have held the guard */
    conc__driver_forget(&loop->driver);
}

static void loops_before_fork(void) { guard_lock(&loops.word); }
static void loops_after_fork_in_parent(void) { guard_unlock(&loops.word); }

static void loops_after_fork_in_child(void)
{
    for (struct list_node *n = loops.list.head; n; n = list_next(&loops.list, n))
        loops_kill_one(list_entry(n, struct conc_loop, node));
    struct conc_loop *here = loop_here();
    if (here && here->current) {
        conc__registry_remove(&here->current->context);
        conc__self = NULL;
        context_self(); /* adopts the thread */
    }
    guard_unlock(&loops.word);
}

static void loops_watch_forks(void)
{
    /* After the registry's own, which runs first in the child therefore. Out of memory: then a child
     * must not use libconc. */
    pthread_atfork(loops_before_fork, loops_after_fork_in_parent, loops_after_fork_in_child);
}

void conc__loop_register(struct conc_loop *loop)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, loops_watch_forks);
    guard_lock(&loops.word);
    list_push(&loops.list, &loop->node);
    guard_unlock(&loops.word);
}

void conc__loop_unregister(struct conc_loop *loop)
{
    guard_lock(&loops.word);
    list_remove(&loops.list, &loop->node);
    guard_unlock(&loops.word);
}
