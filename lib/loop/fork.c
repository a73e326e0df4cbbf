/* SPDX-License-Identifier: MIT
 *
 * fork.c: after a fork the loops are dead in the child.
 *
 * Their descriptors are closed there (otherwise a peer would never see the end of a connection that
 * a pending operation holds). Nothing that the kernel shares with the parent is touched, and calls
 * return -ESHUTDOWN. The memory of their tasks is not given back: the fork has left their stacks as
 * they were, and nothing can unwind them.
 *
 * A task that forks goes on in the child as the child's only thread, on the task's stack. Its
 * context is replaced by that of the thread, so that what blocks there blocks in the kernel. When
 * the task returns from its job, it comes to the run of the loop, which ends with -ESHUTDOWN.
 *
 * The list has a guard, which the forking thread holds over the fork, so that the child finds the
 * list whole.
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
    loop->word = 0; /* a thread that does not exist in the child may have held the guard */
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
        for (struct conc_context *c = conc__self; c; c = c->outer)
            conc__registry_remove(c);
        conc__self = NULL;
        context_self(); /* adopts the thread */
    }
    guard_unlock(&loops.word);
}

static void loops_watch_forks(void)
{
    /* This comes after the registry's own pthread_atfork(), so in the child the registry's handler
     * runs first. If there is no memory, a child must not use libconc. */
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
