/* SPDX-License-Identifier: MIT
 *
 * conc/local.h: values that each context has for itself: a request's id, a connection, a user.
 *
 *     static conc_local *request;              // made once: conc_local_new(&request, free)
 *     int err = conc_local_set(request, strdup("42"));
 *     log_line("request %s", (char *)conc_local_get(request));
 *
 * A thread starts without values, also one of an executor's, which keeps its values from job to
 * job. A task starts with those that its spawner had at that moment, and a job of conc_to_thread()
 * has its caller's; what either sets afterwards the other doesn't see. A callback, of a future or
 * of a loop, has those that its registrant had: what it sets is gone when it returns, but for a
 * reader, a writer or a signal's handler, which finds it again the next time. Values are shared
 * then, not copied: a value that several contexts have lives until the last of them has let go of
 * it.
 *
 * Signal handlers: none of these calls may be made in one.
 */
#ifndef CONC_LOCAL_H
#define CONC_LOCAL_H

#include <conc/base.h>

#ifdef __cplusplus
extern "C" {
#endif

/** A key, under which every context has a value of its own, or none. */
typedef struct conc_local conc_local;

/** What conc_local_set_token() notes for conc_local_reset(). All fields are private. */
typedef struct conc_local_token {
    conc_local *key; /* NULL: it has been used */
    void *before;
    uint64_t context;
} conc_local_token;

/** Lets go of a context's value; see conc_local_new(). */
typedef void conc_destructor_fn(void *value);

/**
 * Make a key. Keys are meant to be few and to live long: one for each kind of value, not one for
 * each value.
 *
 * The destructor is called once for each value that was set and is not NULL, when the last context
 * that had it lets go of it, because it sets or resets it, or ends; in that context, with no lock
 * held. It may call libconc, but must not set its own key, unless the context is ending: then it
 * may, and what it sets is destroyed too; after CONC_LOCAL_ROUNDS rounds of that conc_local_set()
 * fails.
 *
 * The destructor's code must stay for as long as there are values: a plugin that is unloaded lets
 * go of them before, or has no destructor.
 *
 * @param ret  gives a key, for conc_local_free()
 * @param fn   its destructor; NULL: none
 * @return 0; -ENOMEM
 *
 * Python: threading.local(), contextvars.ContextVar(name)
 * [anywhere | no | no]
 */
CONC_API CONC_MUST_CHECK int conc_local_new(conc_local **ret, conc_destructor_fn *fn);

/** How often a context that ends destroys values that its destructors have set. */
#define CONC_LOCAL_ROUNDS 4

/**
 * Free a key; NULL is ignored. It may not be used any more. Values that contexts still have are
 * destroyed, with its destructor, when these let go of them: when they end, at the latest.
 *
 * [anywhere | no | no]
 */
CONC_API void conc_local_free(conc_local *local);

/**
 * Set the caller's value; the one that it had before is let go.
 *
 * @param value  anything, also NULL; the library takes it, on 0 only
 * @return 0; -ENOMEM; -ESHUTDOWN: the context is ending, and will not destroy any more values
 *
 * Python: ContextVar.set(), setting an attribute of a threading.local
 * [any | no (but for the former value's destructor) | no]
 */
CONC_API CONC_MUST_CHECK int conc_local_set(conc_local *local, void *value);

/**
 * conc_local_set() that keeps the former value for conc_local_reset(), which must follow in the
 * same context: the token holds on to that value.
 *
 * @param token  uninitialised memory; untouched on failure
 * @return as conc_local_set()
 *
 * Python: token = ContextVar.set()
 */
CONC_API CONC_MUST_CHECK int conc_local_set_token(conc_local *local, void *value,
                                                  conc_local_token *token);

/**
 * Make the caller's value what it was before conc_local_set_token(), also if that was none; the
 * present one is let go.
 *
 * @return 0; -ENOMEM: nothing has changed, and it may be tried again (it needs memory only if a
 *         task was spawned, or a callback registered, in between); -EINVAL: the token has been
 *         used, or is another context's; -ESHUTDOWN: the context is ending: the former value is let
 *         go too
 *
 * Python: ContextVar.reset(token)
 * [owner | no | no]
 */
CONC_API int conc_local_reset(conc_local_token *token);

/**
 * The caller's value. Borrowed: it lives until the caller sets or resets the key, or ends.
 *
 * @return the value; NULL: none is set (or NULL is)
 *
 * Python: ContextVar.get(None)
 */
CONC_API void *conc_local_get(const conc_local *local);

/**
 * Has the caller a value, be it NULL?
 *
 * Python: hasattr(local, name)
 */
CONC_API bool conc_local_is_set(const conc_local *local);

#ifdef __cplusplus
}
#endif
#endif
