/* SPDX-License-Identifier: MIT
 *
 * context.h: what a context is inside, and the table of functions by which it is suspended and
 * woken. Threads fill the table in (thread.c); so do tasks, floors above; and the fibers of the
 * tests.
 */
#ifndef CONC_LIB_CONTEXT_H
#define CONC_LIB_CONTEXT_H

#include <conc/context.h>

#include "base/atomic.h"
#include "base/clock.h"
#include "base/list.h"

struct callback_line;
struct conc__waiter;
struct conc_executor;
struct driver;
struct locals;

/* What park() returns, and the parking word holds. */
#define PARK_DELIVERED 1u /* the waiter that was enqueued has been served: its outcome is set */
#define PARK_KICKED 2u    /* look again: a scope may have been cancelled */

struct context_ops {
    const char *kind; /* "thread", "task" */

    /* The thread that it runs in is its own: it may spin, or yield the core, without holding up
     * another context. */
    bool owns_thread;

    /* The context has a new name. May be NULL. */
    void (*renamed)(struct conc_context *self);

    /* Suspend the calling context until it is delivered to or kicked, or the deadline has come; at
     * once if one of them has happened since the last park. Returns and consumes PARK_ bits; 0: the
     * deadline, or no reason at all. */
    uint32_t (*park)(struct conc_context *self, conc_deadline until);

    /* End the wait of `waiter`, whose outcome is set. Called from any thread, once for each waiter
     * that was taken off its list. From the moment that the context can see this, neither it nor
     * the waiter may be touched. */
    void (*deliver)(struct conc_context *context, struct conc__waiter *waiter);

    /* Make the context's park(), this one or the next, return. Called from any thread; the caller
     * makes sure that the context lives. */
    void (*kick)(struct conc_context *context);

    /* Let others run. */
    void (*yield)(struct conc_context *self);

    /* Suspend the calling context until the descriptor has one of the events (of poll(2)), the
     * context is kicked, also if that happened since its last park, or the deadline has come. May
     * return early, for no reason. Consumes the kick. Cannot fail. NULL: the context has a driver,
     * and never waits in this way. */
    void (*poll)(struct conc_context *self, int fd, short events, conc_deadline until);

    /* The same while *word, in memory that other processes share, is `value`: until it is woken
     * (conc__futex_wake_shared()) or kicked, or the deadline has come. But never for long, because
     * the process that should wake it may have died. `since`: when the caller began to wait, with
     * any number of these calls. */
    void (*wait_word)(struct conc_context *self, uint32_t *word, uint32_t value, int64_t since,
                      conc_deadline until);

    /* Is at least half of the stack on which the caller stands free? NULL: the context can't
     * tell. */
    bool (*has_stack)(struct conc_context *self);
};

struct conc_context {
    const struct context_ops *ops;
    uint64_t id;     /* never used again, never 0; see registry.c */
    int message_err; /* the error that `message` belongs to */
    char *message;   /* of the last error raised: CONC_MESSAGE_MAX bytes, owned; NULL: none */

    /* See scope.c. All but `cancelled` are changed by the context alone. */
    conc_scope *scope;        /* the innermost */
    conc_deadline scopes_end; /* the first deadline of those up to the nearest shield */
    uint32_t cancelled;       /* a scope of the context may have been cancelled */

    unsigned open_groups; /* that it has opened: executor/group.c */

    unsigned hurried; /* waits in a row that came to their end without a park: wait.c */

    /* The context on whose stack this one runs, and which waits for it (nested.c); NULL: it has a
     * stack of its own. How many stand below it so. */
    struct conc_context *outer;
    unsigned depth;

    unsigned rlocks; /* re-entrant locks that it holds */

    /* The executor whose worker it is; NULL: it is no worker. */
    struct conc_executor *works_for;

    /* The executor none of whose jobs ends while this context waits: of the thread that takes a
     * process pool's results, and of a loop's own thread; NULL: there is none. */
    struct conc_executor *holds_up;

    /* With which values a job begins that this worker helps: those that it had when it became one
     * (conc_context_set_executor()). Owned; NULL: none. */
    struct locals *job_locals;

    /* The executor for jobs that name none: of a task, its loop; NULL: there is none. */
    struct conc_executor *submits_to;

    /* Carries out its operations; NULL: the context does so by itself. */
    struct driver *driver;

    struct locals *locals; /* its own values (local.c), owned; NULL: none */

    /* The callbacks of futures that are due in it (future/callbacks.c), while one of them runs;
     * else NULL. */
    struct callback_line *callbacks;

    bool ends_unseen;         /* nothing may be kept for it: nothing would free that (thread.c) */
    char name[CONC_NAME_MAX]; /* written under the guard in `blocked` */

    struct list_node node; /* in the registry's list; under its guard */

    /* What it is blocked on, for the registry: written by the context, before it sets BLOCKED; read
     * by others under the guard in `blocked` while BLOCKED is set, which the context cannot clear
     * meanwhile. So the object lives. */
    uint32_t blocked;
    const char *blocked_on;
    const void *object;
    const uint32_t *holder; /* where the low bits of its holder's id stand; NULL: nowhere */
    int64_t blocked_since;
};

/* The calling context; NULL in a thread that has none yet. A switch between tasks assigns it. */
extern __thread struct conc_context *conc__self __attribute__((tls_model("initial-exec")));

/* Give the calling thread a context (conc__self is NULL). Cannot fail. */
struct conc_context *conc__adopt_thread(void);

static inline struct conc_context *context_self(void)
{
    struct conc_context *self = conc__self;
    return self ? self : conc__adopt_thread();
}

/* Fill in a context (zeroed, but perhaps for an id that it has already) and enter it in the
 * registry; remove it. name NULL: "<kind>-<id>". */
void conc__context_init(struct conc_context *context, const struct context_ops *ops,
                        const char *name);
void conc__context_fini(struct conc_context *context);

/* Make a name of a prefix, which is cut if need be, and of what tells it from others: "-12". */
void conc__name_join(char name[CONC_NAME_MAX], const char *prefix, const char *end);

/* The rest of conc_context_set_name(), for a context that may not be the caller. */
void conc__context_rename(struct conc_context *context, const char *name);

/* Is it the id of the caller, or of a context that waits below it on the same stack? */
static inline bool context_stands_here(uint64_t id)
{
    const struct conc_context *self = conc__self;
    while (self && self->id != id)
        self = self->outer;
    return self;
}

/* Note in the registry that the caller blocks from now on, and that it blocks no more. */
void conc__blocked_begin(struct conc_context *self, const char *what, const void *object,
                         const uint32_t *holder);
void conc__blocked_end(struct conc_context *self);

/* Take over an error's message from elsewhere (NULL: none), as conc_raise() does from a format. */
void conc__set_message(struct conc_context *self, int err, const char *message);

/* A call that waits, or asks the system, returns this and sets no message: an older one, of an
 * error of the same number, is not this one's. Any other stays, for a caller who still has that
 * error. */
static inline void message_forget(struct conc_context *self, ssize_t err)
{
    if (err < 0 && self->message_err == err)
        self->message_err = 0;
}

/* The caller's message, if it belongs to `err`; else NULL. */
const char *conc__message_for(const struct conc_context *self, int err);

/* ---- Scopes ---- */

/* Has a scope around the caller ended perhaps? False: none has. Costs two loads; and a look at the
 * clock, the cheap one as long as it is not close, if one of them has a deadline. */
static inline bool scopes_may_have_ended(const struct conc_context *self)
{
    return load_acquire(&self->cancelled) ||
           (!deadline_is_forever(self->scopes_end) && conc__deadline_is_past(self->scopes_end));
}

/* Has a scope around the caller ended? */
bool conc__scopes_ended(const struct conc_context *self);

/* The same as -ECANCELED or 0, for a call that returns it: the scopes note that. */
int conc__scopes_check(struct conc_context *self);

/* Has a scope around the context been cancelled? For the caller; or for a context that cannot
 * enter or leave a scope meanwhile, because it waits. */
bool conc__scopes_cancelled(const struct conc_context *context);

/* The caller's innermost scope is that one now (NULL: none), and the scopes around it may be new
 * ones, too. */
void conc__scopes_set(struct conc_context *self, conc_scope *innermost);

/* The cleanup function of a scope of the library's own around code of the program: leaves *scope
 * when that code has left in the middle, and the stack is unwound. NULL: it was left already. */
void conc__scope_abandon(conc_scope **scope);

#endif
