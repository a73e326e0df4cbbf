/* SPDX-License-Identifier: MIT
 *
 * conc/context.h: what is running (a thread or a task), cancellation and deadline scopes, sleeping,
 * and the list of all contexts.
 *
 * A context is what runs: a thread, or a task. Every thread that calls libconc has one, also those
 * that libconc did not start.
 *
 * Signal handlers: none of these calls may be made in one.
 */
#ifndef CONC_CONTEXT_H
#define CONC_CONTEXT_H

#include <stdio.h>

#include <conc/base.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct conc_context conc_context;

/** A name's longest length, the final zero included; a longer one is cut. */
#define CONC_NAME_MAX 32

/**
 * The calling context. Borrowed: valid in the calling thread or task while it runs. Never NULL.
 *
 * Python: threading.current_thread(), asyncio.current_task()
 */
CONC_API conc_context *conc_context_current(void);

/**
 * A context's id, as in conc_context_foreach(): no other has had it or will have it in this
 * process; never 0. A thread keeps its id until it has ended, in destructors of thread-specific
 * data too.
 *
 * @param context  NULL: the calling one
 *
 * Python: threading.get_ident()
 */
CONC_API uint64_t conc_context_id(const conc_context *context);

/**
 * A context's name: "main" for the first thread, "thread-N" until another is given. Valid while the
 * context lives and keeps its name.
 *
 * @param context  NULL: the calling one
 *
 * Python: Thread.name
 */
CONC_API const char *conc_context_name(const conc_context *context);

/**
 * Name the calling context. The operating system's thread name follows (its first 15 bytes).
 *
 * @param name  borrowed; cut at CONC_NAME_MAX - 1 bytes
 *
 * Python: Thread.name = ...
 */
CONC_API void conc_context_set_name(const char *name);

/* ---- Cancellation and deadlines ---- */

/**
 * A scope: a block of calls with a deadline of its own, or that another context may cancel.
 *
 *     conc_scope scope;
 *     conc_scope_enter(&scope, conc_in(CONC_S(5)));
 *     int err = fetch_and_store();            // calls in it return -ECANCELED after 5 s
 *     int why = conc_scope_exit(&scope);      // -ETIMEDOUT if that was the reason
 *
 * It lives in the user's memory, between enter and exit, which the same context calls, properly
 * nested. Cancellation is level-triggered: once a scope has ended, every call in it that could
 * block returns -ECANCELED until the scope is left, even if it would not have had to wait. Exempt
 * are calls with CONC_NOW, conc_lock_enter(), conc_rlock_enter(), and what stands in a shield.
 * All fields are private.
 */
typedef struct conc_scope {
    struct conc_scope *parent;
    conc_context *context;
    conc_deadline deadline;
    uint32_t cancelled;
    bool shield;
    bool reported; /* a call inside has returned -ECANCELED */
} conc_scope;

/**
 * Enter a scope.
 *
 * @param scope     uninitialised memory, borrowed until conc_scope_exit()
 * @param deadline  when the scope ends by itself; CONC_FOREVER: never. (CONC_NOW: at once.)
 *
 * Python: asyncio.timeout(), trio.CancelScope
 */
CONC_API void conc_scope_enter(conc_scope *scope, conc_deadline deadline);

/**
 * Leave the innermost scope, and learn whether it ended a call.
 *
 * @return 0: no call inside was told that it is over (or the scope has not ended); -ETIMEDOUT: this
 *         scope's deadline came; -ECANCELED: it was cancelled, or a scope around it has ended (so
 *         that an outer end is never swallowed by an inner one). -EPERM: not the innermost scope of
 *         the caller; nothing is left.
 *
 * [owner | no | no]
 */
CONC_API int conc_scope_exit(conc_scope *scope);

/**
 * End a scope: calls inside it return -ECANCELED from now on, the one that blocks included. The
 * caller makes sure that the scope is not left meanwhile. Cancelling twice is harmless.
 *
 * Python: CancelScope.cancel()
 */
CONC_API void conc_scope_cancel(conc_scope *scope);

/**
 * Shield what follows from cancellation and from the deadlines of the scopes around it, until
 * conc_shield_exit(): for clean-up that must block. Scopes entered inside the shield work as
 * always.
 *
 * @param shield  uninitialised memory, borrowed until conc_shield_exit()
 *
 * Python: asyncio.shield(), trio.CancelScope(shield=True)
 */
CONC_API void conc_shield_enter(conc_scope *shield);

/**
 * End a shield.
 *
 * @return 0; -EPERM: not the caller's innermost
 *
 * [owner | no | no]
 */
CONC_API int conc_shield_exit(conc_scope *shield);

/**
 * Has the caller been cancelled: has a scope around it ended (a job's future cancelled, a deadline
 * passed)? For long computations that do not block.
 *
 * Python: Task.cancelling()
 */
CONC_API bool conc_is_cancelled(void);

/**
 * conc_is_cancelled() as an error.
 *
 * @return 0; -ECANCELED
 *
 * Python: trio.lowlevel.checkpoint()
 * [any | no | yes]
 */
CONC_API int conc_check_cancel(void);

/* ---- Sleeping ---- */

/**
 * Sleep for `ns` nanoseconds; zero or less lets others run, as conc_yield() does.
 *
 * @return 0: slept to the end; -ECANCELED
 *
 * Python: time.sleep(), asyncio.sleep()
 * [any | yes | yes]
 */
CONC_API int conc_sleep(int64_t ns);

/**
 * Sleep until a deadline; CONC_FOREVER sleeps until cancelled, CONC_NOW returns 0 at once, and one
 * that has passed lets others run once, as conc_yield() does.
 *
 * @return 0: the time has come; -ECANCELED
 *
 * [any | yes | yes]
 */
CONC_API int conc_sleep_until(conc_deadline deadline);

/**
 * Let others run. No cancellation point.
 *
 * Python: time.sleep(0), asyncio.sleep(0)
 */
CONC_API void conc_yield(void);

/* ---- All contexts ---- */

/** What conc_context_foreach() tells of a context. Strings are valid during the callback only. */
typedef struct conc_context_info {
    uint64_t id;      /* as conc_context_id() */
    const char *kind; /* "thread", "task" */
    const char *name;
    const char *blocked_on; /* "lock", "queue get", "sleep" ...; NULL: running */
    const void *object;     /* the object it is blocked on; NULL if none */
    uint64_t holder; /* the id of the context that holds that object; 0: none, or not known */
    const char *holder_name; /* its name; "" if there is none */
    int64_t blocked_ns;      /* for how long it has been blocked */
} conc_context_info;

/** Called for a context; see conc_context_foreach(). */
typedef int conc_context_fn(const conc_context_info *info, void *arg);

/**
 * Call fn for every context, in order of their age, with what it was doing a moment ago (a
 * snapshot; fn may call anything). If it returns other than 0 the walk ends.
 *
 * @return 0; fn's last return; -ENOMEM
 *
 * Python: threading.enumerate(), asyncio.all_tasks()
 */
CONC_API int conc_context_foreach(conc_context_fn *fn, void *arg);

/**
 * Print a line for every context: its name, what it is blocked on, for how long, and which context
 * holds that. The first thing to call when a program hangs.
 *
 * @param out  borrowed
 * @return 0; -ENOMEM; -EIO: writing failed
 *
 * Python: faulthandler.dump_traceback(), asyncio.print_call_graph()
 * [any | as writing to `out` | no]
 */
CONC_API int conc_dump(FILE *out);

#ifdef __cplusplus
}
#endif
#endif
