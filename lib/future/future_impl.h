/* SPDX-License-Identifier: MIT
 *
 * future_impl.h: what a future is inside, for this floor and for the executors above.
 */
#ifndef CONC_LIB_FUTURE_IMPL_H
#define CONC_LIB_FUTURE_IMPL_H

#include <conc/future.h>

#include "base/alloc.h"
#include "future/value.h"
#include "wait/registry.h"
#include "wait/wait.h"

/* The state, in the future's word beside its guard. Changes under the guard; see future.c. */
#define FUTURE_RUNNING 1u
#define FUTURE_DONE 2u
#define FUTURE_CANCELLED 4u  /* how it was done */
#define FUTURE_CANCELLING 8u /* cancelled while it runs, or not to begin */
#define FUTURE_OBSERVED 16u  /* its error has been asked for; not under the guard */
#define FUTURE_DROPPED 32u   /* its executor has cancelled it, when that was shut down */
#define FUTURE_REFUSED 64u   /* cancelled because its submitter was, before it had been submitted */
#define FUTURE_LISTED 128u   /* its loop has a reference, to report it at last; not either */

struct future_callback {
    struct future_callback *next;
    conc_done_fn *fn;
    void *arg;
};

/* Keeps memory that is not the future's own, and that the future's value lies in. */
struct value_keeper {
    void (*release)(struct value_keeper *keeper);
};

struct conc_executor;

struct conc_future {
    uint32_t word;
    uint32_t refs;
    struct conc__waitlist waiters;
    struct list watches; /* of contexts that wait for many: watch.h */
    struct future_callback *callbacks;
    conc_scope *scope;              /* in which its job runs; NULL: it does not run here */
    struct conc_executor *executor; /* to which it was submitted; NULL: none. Only compared */
    int error;         /* as `message`: written before DONE, by the context that settles it */
    char *message;     /* NULL: none */
    conc_future *link; /* its executor's */
    conc_fn *fn;
    uint32_t forks; /* conc__forks() of the process that has made it */

    /* The size asked for was CONC_BYTES; then the two sizes are: */
    bool arg_is_bytes, value_is_bytes;
    size_t arg_size;    /* of the conc_bytes and its bytes */
    size_t result_size; /* of the conc_bytes alone */
    void *arg, *value;
    /* NULL: `value`, or the bytes that it points to, are the future's own. */
    struct value_keeper *keeper;
    /* The result, then, aligned for any type, the argument. */
    max_align_t data[];
};

static inline size_t future_asked_size(const conc_future *future)
{
    return future->value_is_bytes ? CONC_BYTES : future->result_size;
}

static inline uint32_t future_state(const conc_future *future)
{
    return load_acquire(&future->word); /* acquire: a reader that sees DONE sees the result */
}

static inline bool future_is_pending(const conc_future *future)
{
    return !(future_state(future) & (FUTURE_RUNNING | FUTURE_DONE));
}

/* Was it cancelled by its executor, not by the program? */
static inline bool future_was_dropped(const conc_future *future)
{
    return future_state(future) & FUTURE_DROPPED;
}

static inline bool future_was_refused(const conc_future *future)
{
    return future_state(future) & FUTURE_REFUSED;
}

/* Was its job made before a fork, of which this process is the child? Then it never ends here. */
static inline bool future_is_lost(const conc_future *future)
{
    return future->forks != conc__forks() && future->fn && !(future_state(future) & FUTURE_DONE);
}

/* A pending future for a job, with one reference; its argument is copied. NULL: out of memory. */
conc_future *conc__job_new(conc_fn *fn, const void *arg, size_t arg_size, size_t result_size);

/* Where to put the value of a job that ran elsewhere: n bytes (its result size, if that is not
 * CONC_BYTES). NULL: out of memory. Called before it is done. */
void *conc__future_room(conc_future *future, size_t n);

/* The same for n bytes that are there already, in memory that `keeper` releases in the end. */
void conc__future_place_value(conc_future *future, void *value, size_t n,
                              struct value_keeper *keeper);

/* Get the result of a future that is done and has not failed, as conc_future_result() does. */
int conc__future_copy_value(const conc_future *future, void *ret);

/* A future that has failed because there is no memory for one: immortal, with a reference for the
 * caller. */
conc_future *conc__future_no_memory(void);

/* Has it failed, and nobody has asked for that? */
static inline bool future_is_news(const conc_future *future)
{
    return (future_state(future) & (FUTURE_DONE | FUTURE_OBSERVED | FUTURE_CANCELLED)) ==
               FUTURE_DONE &&
           future->error;
}

/* Report its error, if it is news: to the hook, once. */
void conc__future_report(conc_future *future);

/* Make a pending future running, in `scope` (NULL: elsewhere); false: it is not pending any more,
 * or must not begin. */
bool conc__future_claim(conc_future *future, conc_scope *scope);

/* Settle a future: give it its end, the result (which is in place already) or an error. Copies the
 * message. The caller has a reference. False: it was done. */
bool conc__future_settle(conc_future *future, int err, const char *message);

/* Cancel it if it has not begun. `how`: 0, FUTURE_DROPPED or FUTURE_REFUSED. */
bool conc__future_end_pending(conc_future *future, uint32_t how);

static inline bool future_cancel_pending(conc_future *future)
{
    return conc__future_end_pending(future, 0);
}

/* For executors: cancel its job, without callbacks: so under an executor's guard too. A job that
 * has not begun never will: its future is done when the context that was to run it finds that. A
 * job that runs is cancelled only if also_running. False: neither. */
bool conc__future_cancel_job(conc_future *future, bool also_running);

/* Its error is known, or of no interest: it is not reported. */
void conc__future_observe(conc_future *future);

/* Cancel it, and do not report its error: no caller is going to ask for that. */
void conc__future_abandon(conc_future *future);

/* Take a callback of conc_future_add_done_callback() back. False: it has been called, or is being
 * called. */
bool conc__future_forget(conc_future *future, conc_done_fn *fn, void *arg);

/* Run a pending job in the calling context, and settle it. The caller keeps its reference. False:
 * it was not pending, or must not begin: then it is cancelled. */
bool conc__job_execute(conc_future *job);

/* Help: if the caller is a worker of the future's own executor, and its job has not begun, run it,
 * apart from the caller's own scopes. False: nothing was done. */
bool conc__future_help(conc_future *future);

/* Is there still time to help: has the caller's wait not come to its end? */
static inline bool future_may_help(conc_deadline deadline)
{
    return !wait_checkpoint(deadline) &&
           (deadline_is_forever(deadline) || deadline.ns > conc_now());
}

/* The error of a job that has returned this. */
static inline int job_error(int returned)
{
    return returned <= 0
               ? returned
               : conc_raise(-EINVAL, "the job returned %d; it must be 0 or a negative error",
                            returned);
}

/* A context's message, put aside while code that is not its own runs in it. */
struct message {
    char *text;
    int err;
};

static inline struct message message_put_aside(struct conc_context *self)
{
    struct message m = {self->message, self->message_err};
    self->message = NULL;
    self->message_err = 0;
    return m;
}

static inline void message_put_back(struct conc_context *self, struct message m)
{
    free_bytes(self->message);
    self->message = m.text;
    self->message_err = m.err;
}

/* ---- watch.c ---- */

/* Called under the future's guard, as it becomes done: make all its watches ready. */
void conc__watches_mark_ready(conc_future *future);

#endif
