/* SPDX-License-Identifier: MIT
 *
 * conc/task.h: tasks: jobs that take turns on one thread, the thread of their loop.
 *
 * A task is an ordinary job with a stack of its own. Wherever it would block in libconc (a lock, a
 * queue, a sleep, a read ...) its loop runs the others meanwhile. It never moves to another thread.
 * The program holds a task by its future alone: wait for it, cancel it, ask for its result.
 *
 *     static int hello(void *arg, void *result)
 *     {
 *         conc_sleep(CONC_MS(100));
 *         puts("hello");
 *         return 0;
 *     }
 *     ...
 *     conc_future *f = conc_spawn(hello, NULL, 0, 0); // in a task, or a callback of a loop
 *     int err = conc_future_result(f, NULL, CONC_FOREVER);
 *     conc_future_unref(f);
 *
 * Signal handlers: none of these calls may be made in one.
 */
#ifndef CONC_TASK_H
#define CONC_TASK_H

#include <conc/context.h>
#include <conc/future.h>
#include <conc/loop.h>

#ifdef __cplusplus
extern "C" {
#endif

/** All-zero: the defaults. */
typedef struct conc_task_options {
    const char *name; /* borrowed during the call; NULL: "task-N" */

    /* Bytes at least; 0: 256 KiB of address space, of which only what is touched takes memory. */
    size_t stack_size;
} conc_task_options;

/**
 * Start a task on the loop of the calling task or callback. It begins in one of the loop's next
 * turns. It inherits the caller's local values (conc/local.h).
 *
 * @param fn           the job
 * @param arg          its argument, of arg_size bytes: copied (NULL if arg_size is 0)
 * @param result_size  bytes of its result
 * @return gives its future; never NULL. A refusal is a future that has failed: -EINVAL: no fn, no
 *         arg with a size, or no loop runs in the calling thread; -ESHUTDOWN: the loop is being
 *         freed; -ENOMEM
 *
 * Python: asyncio.create_task()
 * [task | no | no]
 */
CONC_API CONC_MUST_CHECK conc_future *conc_spawn(conc_fn *fn, const void *arg, size_t arg_size,
                                                 size_t result_size);

/**
 * Start a task as conc_spawn() does, whose future nobody wants. If it fails, its error is reported
 * as conc_future_on_unobserved() says.
 *
 * @return 0: it begins in one of the next turns; or the error of a refusal
 *
 * Python: asyncio.create_task(), without keeping the task
 * [task | no | no]
 */
CONC_API CONC_MUST_CHECK int conc_spawn_detached(conc_fn *fn, const void *arg, size_t arg_size);

/**
 * Start a task on a loop, from anywhere. The loop need not run yet.
 *
 * @param loop     the caller makes sure that it is not freed meanwhile; NULL: the one that runs in
 *                 the calling thread
 * @param options  borrowed; NULL: all-zero
 * @return as conc_spawn(); -EINVAL also: a stack of more than 1 GiB
 *
 * Python: loop.create_task(), asyncio.run_coroutine_threadsafe(), create_task(..., name=...)
 */
CONC_API CONC_MUST_CHECK conc_future *conc_task_start(conc_loop *loop, conc_fn *fn, const void *arg,
                                                      size_t arg_size, size_t result_size,
                                                      const conc_task_options *options);

#ifdef __cplusplus
}
#endif
#endif
