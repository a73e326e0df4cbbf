/* SPDX-License-Identifier: MIT
 *
 * conc/base.h: time, errors and the job function; what every other header stands on.
 */
#ifndef CONC_BASE_H
#define CONC_BASE_H

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define CONC_API __attribute__((visibility("default")))
#define CONC_PRINTF(fmt, first) __attribute__((format(printf, fmt, first)))
#define CONC_MUST_CHECK __attribute__((warn_unused_result))

#define CONC_VERSION_MAJOR 0
#define CONC_VERSION_MINOR 2
#define CONC_VERSION_PATCH 0

#ifdef __cplusplus
extern "C" {
#endif

/**
 * The version of the library that is linked, as "0.2.0". Static; never NULL.
 *
 * [anywhere | no | no]
 */
CONC_API const char *conc_version(void);

/* ---- How a function may be called ----
 *
 * A contract ends in one line of a fixed form, of which `scripts/check-grammar --table` makes a
 * table:
 *
 *     [who may call it | does it block | is it a cancellation point]
 *
 * Where there is none it is [any | no | no]. A phrase in parentheses says more, or when that is so.
 *
 * Who:
 *   any       any thread or task
 *   anywhere  the same; what the call does has nothing to do with the thread or task that makes it
 *   thread    a thread, not a task
 *   task      a task, or a callback of a loop
 *   loop      the thread of the loop; see conc/loop.h
 *   owner     the thread or task that took, entered or made the object
 *   holder    a thread or task that holds the lock
 *   body      the body of the generator
 *   one       one thread or task at a time
 *   last      the last user: no other call on the object is under way, and none comes later
 *
 * Blocks: `no`; `yes`, if it has to wait; `as ...`: as that function or job does. A call that
 * blocks suspends a thread, or a task while its loop runs others.
 *
 * Cancellation point: `yes`: it returns -ECANCELED when a scope around the caller has ended (see
 * conc_scope), unless its deadline is CONC_NOW; `no`; `as ...`.
 *
 * No function may be called from a signal handler.
 */

/* ---- Time ---- */

/* Durations are int64_t nanoseconds. The argument is evaluated once. */
#define CONC_NS(n) ((int64_t)(n))
#define CONC_US(n) ((int64_t)(n)*1000)
#define CONC_MS(n) ((int64_t)(n)*1000000)
#define CONC_S(n) ((int64_t)(n)*1000000000)

/**
 * A point in time on CLOCK_MONOTONIC. A struct of its own, so that a bare number is a compile
 * error. Make one with conc_in() or conc_at(), or use CONC_FOREVER or CONC_NOW; `ns` is private.
 *
 * Every call that can block takes one, last. Deadlines compose: pass the same one to every call of
 * a function and the function as a whole meets it.
 */
typedef struct conc_deadline {
    int64_t ns;
} conc_deadline;

#ifdef __cplusplus
#define CONC_FOREVER (conc_deadline{INT64_MAX})
#define CONC_NOW (conc_deadline{0})
#else
/** A deadline that never comes. */
#define CONC_FOREVER ((conc_deadline){INT64_MAX})
/** Do not block: what would have to wait returns -EAGAIN. Such a call is no cancellation point. */
#define CONC_NOW ((conc_deadline){0})
#endif

/**
 * The time now in nanoseconds on CLOCK_MONOTONIC.
 *
 * Python: time.monotonic_ns()
 * [anywhere | no | no]
 */
CONC_API int64_t conc_now(void);

/**
 * The deadline `ns` nanoseconds from now. Zero or less: a deadline already past (a call that would
 * have to wait returns -ETIMEDOUT at once). So far ahead that it cannot be told: CONC_FOREVER.
 *
 * [anywhere | no | no]
 */
CONC_API conc_deadline conc_in(int64_t ns);

/**
 * The deadline at the time `ns`, as conc_now() counts. Zero or less: a deadline already past.
 *
 * [anywhere | no | no]
 */
CONC_API conc_deadline conc_at(int64_t ns);

/**
 * How many nanoseconds are left until the deadline; 0 if it has passed (or is CONC_NOW), INT64_MAX
 * if it is CONC_FOREVER. For calls of other libraries that want a timeout.
 *
 * [anywhere | no | no]
 */
CONC_API int64_t conc_remaining(conc_deadline deadline);

/* ---- Errors ---- */

/*
 * Functions return 0 (or a count) on success and a negative error on failure: -EINVAL, -ETIMEDOUT
 * ..., or one of these, which lie outside errno's range and are negated like them.
 */
#define CONC_EBROKEN 5001 /* a barrier or an executor is broken: -CONC_EBROKEN */

/**
 * What an error means, in a few words: for errno's errors and libconc's own, negative or positive.
 * Static; never NULL ("unknown error" for what has no name).
 *
 * Python: os.strerror()
 * [anywhere | no | no]
 */
CONC_API const char *conc_strerror(int err);

/** A question that is asked again and again until it is true; see conc_cond_wait_for(). */
typedef bool conc_predicate_fn(void *arg);

/** Told of an error that cannot be returned to a caller; `message` is "" if there is none. */
typedef void conc_error_fn(int err, const char *message, void *arg);

/**
 * A job: any function of this shape can be called, given to a thread, submitted to an executor ...
 *
 * @param arg     a private copy of the argument that the submitter passed (its bytes, aligned for
 *                any type; NULL if the size given was 0). The job may change it.
 * @param result  space of the result size that the submitter asked for (zeroed; NULL if 0)
 *                For arguments and results of any size see conc/bytes.h.
 * @return 0, or a negative error; see conc_raise(). A positive return is a mistake and becomes
 *         -EINVAL.
 *
 * A job is to return. If it leaves in the middle, by pthread_exit() or because its thread was
 * cancelled by pthread_cancel(), its future fails with -EOWNERDEAD; a thread ends then, and its
 * pool goes on with another; a task ends alone, its loop's thread does not. (A process dies of it,
 * if its fork server had to run the program once more: -CONC_EBROKEN.) A C++ exception ends the
 * program (std::terminate()), except out of a job of an inline executor whose caller catches it:
 * then that future, too, fails with -EOWNERDEAD.
 */
typedef int conc_fn(void *arg, void *result);

/**
 * Attach a message to an error, as a Python exception carries one, and return the error:
 * `return conc_raise(-EIO, "%s: bad status %d", url, status);`
 *
 * The message is what is told of the error, instead of conc_strerror(err): what has failed, and
 * why.
 *
 * The message belongs to the calling context until its next conc_raise(). If a job returns that
 * error, its future keeps the message (conc_future_message()), and a waiter that gets the error
 * from conc_future_result() finds the message with conc_describe(). Longer messages are cut at
 * CONC_MESSAGE_MAX - 1 bytes; out of memory loses the message, never the error.
 *
 * @param err  the error; returned as it is
 * @return err
 *
 * Python: raise
 */
CONC_API int conc_raise(int err, const char *fmt, ...) CONC_PRINTF(2, 3);

/** A message's longest length, the final zero included. */
#define CONC_MESSAGE_MAX 256

/**
 * The message of the last error raised in the calling context, by conc_raise() or by a future's
 * result; "" if there was none. Valid until the next libconc call in this context; copy it to keep
 * it. The last error may have had none, and this be an older one's: print conc_describe().
 */
CONC_API const char *conc_error_message(void);

/**
 * What to print of an error: the message that it was raised with; conc_strerror(), if it has none,
 * or the calling context's message belongs to another error number.
 *
 *     int err = conc_future_result(future, &answer, deadline);
 *     if (err)
 *         fprintf(stderr, "no answer: %s\n", conc_describe(err));
 *
 * To be called with an error that was just returned. (A call that waits, or asks the system, and
 * fails without a message makes an older one of the same number forgotten; one that only refuses
 * its arguments does not.)
 *
 * @param err  negative or positive
 * @return never NULL; valid as conc_error_message()
 *
 * Python: str(exception)
 */
CONC_API const char *conc_describe(int err);

#ifdef __cplusplus
}
#endif
#endif
