/* SPDX-License-Identifier: MIT
 *
 * loop_impl.h: what a loop is inside, and what its parts offer each other. See loop.c; a task is in
 * task_impl.h.
 */
#ifndef CONC_LIB_LOOP_IMPL_H
#define CONC_LIB_LOOP_IMPL_H

#include <conc/executor_impl.h>
#include <conc/loop.h>
#include <pthread.h>

#include "base/heap.h"
#include "op/driver.h"
#include "task/coroutine.h"
#include "wait/wait.h"

struct task;
struct signal_handler;

/* What happens at a point in time. It lies in the struct that it is for. */
struct timer {
    struct heap_node node;
    void (*fire)(struct conc_loop *loop, struct timer *timer);
};

_Static_assert(offsetof(struct timer, node) == 0, "timer_of_node() casts");

static inline struct timer *timer_of_node(struct heap_node *node)
{
    return (struct timer *)(void *)node;
}

/* Readers and writers by descriptor; see readers.c. */
struct fd_watches {
    struct fd_watch *(*by_fd)[2];
    size_t room;
};

/* What a loop that is being freed still waits for. */
enum run_out { RUN_OUT_NOT, RUN_OUT_TASKS, RUN_OUT_OPS };

/* Those whose error nobody has asked for: failed.c. */
struct failed_tasks {
    conc_future *first;
    size_t n;
    size_t sweep_at; /* this length */
};

struct conc_loop {
    struct conc_executor executor; /* first: what conc_loop_executor() gives */
    struct driver driver;          /* carries out operations; how other threads reach the loop */

    /* Read by any thread. */
    uint32_t stop_posted;          /* stop_item is in the inbox */
    uint32_t cancel_flags;         /* CONC_SHUTDOWN_ flags; not 0: cancel_item is in the inbox */
    uint32_t word;                 /* the guard of the next three */
    bool closed;                   /* takes no more tasks */
    size_t live;                   /* tasks spawned and not ended */
    struct conc__waitlist closers; /* the contexts that wait for `live` to become 0 */

    /* Only for the thread that runs the loop. */
    uint64_t owner; /* the id of that thread's context; once `started` */
    bool started, running;
    struct item_queue ready;
    int to_run; /* how many items more this turn runs, at most */
    struct heap timers;
    size_t timed;              /* tasks and handles that may need a place in the heap */
    struct coroutine here;     /* the loop's own stack, while a task runs */
    struct conc_context *self; /* the thread's context, while the loop runs */
    struct task *current;      /* the task that runs */
    struct list tasks;
    struct failed_tasks failed;
    struct list handles;             /* all that have not run, been removed or been cancelled */
    conc_executor *default_executor; /* NULL: not made yet */
    bool owns_default;
    int64_t slow_after;   /* report what holds the loop for longer; 0: don't */
    bool stop;            /* the run is to end after this turn */
    bool ending;          /* tasks that have not begun are cancelled, also those to come */
    enum run_out run_out; /* conc_loop_free() runs it to its end */
    struct item stop_item, cancel_item;
    struct fd_watches watches; /* readers and writers */
    struct signal_handler *signals;
    struct list_node node; /* in the list of all loops, for forks */
    conc_backend wanted;
};

_Static_assert(offsetof(struct conc_loop, executor) == 0, "loop_of_executor() casts");

static inline struct conc_loop *loop_of_executor(struct conc_executor *executor)
{
    return (struct conc_loop *)(void *)executor;
}

/* The loop that runs in the calling thread; NULL: none. */
static inline struct conc_loop *loop_here(void)
{
    struct driver *driver = conc__driver_here;
    return driver ? list_entry(driver, struct conc_loop, driver) : NULL;
}

/* Is it this one? */
static inline bool loop_is_here(const struct conc_loop *loop)
{
    return conc__driver_here == &loop->driver;
}

/* ---- loop.c ---- */

/* Have the item run in this or the next turn. From the loop's own thread. */
static inline void loop_push(struct conc_loop *loop, struct item *item)
{
    item_push(&loop->ready, item);
}

/* Take the next item of this turn off the ready list, if its function is `run`; else NULL. Also
 * NULL while slow items are reported: then the loop times each. */
static inline struct item *loop_next_item(struct conc_loop *loop, void (*run)(struct item *item))
{
    struct item *item = loop->ready.first;
    if (!item || item->run != run || loop->to_run <= 0 || loop->slow_after || loop->driver.dead)
        return NULL;
    loop->to_run--;
    return item_pop(&loop->ready);
}

/* Make room in the heap for one more timer; release gives it back. 0; -ENOMEM. */
int conc__loop_reserve_timer(struct conc_loop *loop);
static inline void loop_release_timer(struct conc_loop *loop) { loop->timed--; }

/* May the calling thread use what belongs to the loop's thread? 0; -EPERM: it is not the thread;
 * -ESHUTDOWN: the loop is dead. */
int conc__loop_check(const struct conc_loop *loop);

/* Count one task more; false: the loop is closed. And count one less. From any thread. */
bool conc__loop_enter(struct conc_loop *loop);
void conc__loop_leave(struct conc_loop *loop);

/* Take no more tasks. From any thread. */
void conc__loop_close(struct conc_loop *loop);

/* If loop->slow_after is set: something that began at `since` is over; report it if it was slow.
 * `since` 0: no time was taken, as no reports were wanted then. */
void conc__loop_report_slow(const struct conc_loop *loop, int64_t since, const char *what,
                            const char *name);

/* ---- fork.c ---- */

/* The list of the loops that a fork concerns. */
void conc__loop_register(struct conc_loop *loop);
void conc__loop_unregister(struct conc_loop *loop);

/* ---- executor.c ---- */

extern const struct conc_executor_ops conc__loop_executor_ops;

/* cancel_item's run(): carry out cancel_flags. */
void conc__loop_cancel_posted(struct item *item);

/* Shut down and free the pools and the default executor, waiting for their jobs. */
void conc__loop_free_executors(struct conc_loop *loop);

/* ---- failed.c ---- */

/* Take the reference of a task's job that has ended. */
void conc__failed_take(struct failed_tasks *failed, conc_future *job);

/* The program has it, and knows that it has ended. */
void conc__failed_forget(struct failed_tasks *failed, const conc_future *job);

/* The loop ends: report what nobody has asked for. */
void conc__failed_report(struct failed_tasks *failed);

/* ---- handle.c, readers.c, signal.c ---- */

/* Drop all that there are of them, when the loop is freed. */
void conc__handles_drop(struct conc_loop *loop);
void conc__readers_drop(struct conc_loop *loop);

/* The driver's on_close(): the descriptor is about to be closed. */
void conc__readers_hear(struct driver *driver, int fd);
void conc__signals_drop(struct conc_loop *loop);

#endif
