/* SPDX-License-Identifier: MIT
 *
 * conc/future.h: the result, or error, that a job will have; and waiting for one or many.
 *
 * A future is reference-counted: a caller that is given one owns a reference, and gives it back
 * with conc_future_unref(). It is pending, then running, then done: finished (with a result or an
 * error) or cancelled.
 *
 * Signal handlers: none of these calls may be made in one.
 */
#ifndef CONC_FUTURE_H
#define CONC_FUTURE_H

#include <conc/bytes.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct conc_future conc_future;

/**
 * Make a pending future that the program completes itself, with conc_future_set_result() or
 * conc_future_set_error().
 *
 * @param ret          gives a reference
 * @param result_size  bytes of its result; CONC_BYTES: it is a conc_bytes
 * @return 0; -ENOMEM
 *
 * Python: concurrent.futures.Future(), loop.create_future()
 * [anywhere | no | no]
 */
CONC_API CONC_MUST_CHECK int conc_future_new(conc_future **ret, size_t result_size);

/**
 * One more reference, which the caller owns.
 *
 * @return the future
 *
 * [anywhere | no | no]
 */
CONC_API conc_future *conc_future_ref(conc_future *future);

/**
 * Give a reference back; NULL is ignored. When the last one goes, so does the future; if it failed
 * and its result, error or message was never asked for, the unobserved hook is told
 * (conc_future_on_unobserved()). A job that was submitted runs all the same.
 *
 * [anywhere | no | no]
 */
CONC_API void conc_future_unref(conc_future *future);

/**
 * Complete the future with a copy of *value.
 *
 * @param value  of the future's result size (may be NULL if that is 0); borrowed
 * @return 0; -EINVAL: it is done already (a cancelled one too); -EPERM: it belongs to a job that
 *         libconc runs; -ENOMEM: for the copy of a conc_bytes, -EINVAL: it has a size but no
 *         data; then it is not done
 *
 * Python: Future.set_result()
 * [any | no (callbacks run in it) | no]
 */
CONC_API int conc_future_set_result(conc_future *future, const void *value);

/**
 * Complete the future with an error.
 *
 * @param err  negative
 * @param fmt  the error's message, as in conc_raise(); NULL: none
 * @return 0; -EINVAL: it is done already, or err is not negative; -EPERM: it belongs to a job that
 *         libconc runs
 *
 * Python: Future.set_exception()
 * [any | no (callbacks run in it) | no]
 */
CONC_API int conc_future_set_error(conc_future *future, int err, const char *fmt, ...)
    CONC_PRINTF(3, 4);

/**
 * Wait until the future is done, and get its result.
 *
 * A worker of a thread pool that waits for a job which still lies in its own pool's queue runs that
 * job itself, so that a pool whose workers all wait for their own pool goes on (such a wait may
 * outlast its deadline by the job). The job notices nothing of that: it is a context of its own,
 * with an id, a name and an error message of its own, the local values that the worker began with,
 * and none of the locks that the waiting job holds. Jobs that are run so, one within another, need
 * stack: a worker does it while at least half of its stack is free. Beyond that, and if it holds an
 * rlock and its wait has an end, it only waits: then the job stays in the queue until a worker is
 * free, and if all workers wait so for jobs in the queue, they wait until their deadlines.
 *
 * @param ret  room for the result, of the future's result size (a conc_bytes gets a copy, for
 *             conc_bytes_free()); NULL: not wanted; untouched on failure
 * @return 0; the job's own negative error (then conc_describe() is its message); -ECANCELED:
 *         the future was cancelled, or the caller; -EOWNERDEAD: the job has left its thread in the
 *         middle (conc_fn); -ETIMEDOUT, -EAGAIN (not done, CONC_NOW); -EDEADLK: it would wait for
 *         ever, because the job is the caller's own, or ends only after the callback that the
 *         caller is: one in the thread that takes a process pool's results, or of the job's loop;
 *         -ENOMEM: for the copy. Where the job may return an error that the wait has too,
 *         conc_future_wait() first: its errors are the wait's alone.
 *
 * Python: Future.result(timeout)
 * [any | yes | yes]
 */
CONC_API int conc_future_result(conc_future *future, void *ret, conc_deadline deadline);

/**
 * Wait until the future is done, however it ends. Its error stays unobserved.
 *
 * @return 0; -ETIMEDOUT, -EAGAIN, -ECANCELED (the caller was cancelled), -EDEADLK: as
 *         conc_future_result()
 *
 * [any | yes | yes]
 */
CONC_API int conc_future_wait(conc_future *future, conc_deadline deadline);

/**
 * The error of a done future: 0, the job's error, or -ECANCELED; -EAGAIN: not done yet.
 *
 * Python: Future.exception()
 */
CONC_API int conc_future_error(conc_future *future);

/**
 * The message of a failed future's error; "" if there is none, or it isn't done. Valid while the
 * caller's reference is.
 *
 * Python: str(Future.exception())
 */
CONC_API const char *conc_future_message(conc_future *future);

/**
 * Where a finished future's result lies; NULL if it failed, is not done, or its result size is 0. A
 * conc_bytes if that is CONC_BYTES. Borrowed while the caller's reference is valid.
 */
CONC_API const void *conc_future_value(conc_future *future);

/**
 * Finished or cancelled?
 *
 * Python: Future.done()
 */
CONC_API bool conc_future_is_done(const conc_future *future);

/**
 * Being run now?
 *
 * Python: Future.running()
 */
CONC_API bool conc_future_is_running(const conc_future *future);

/**
 * Cancelled before it ran, or ended by its cancellation?
 *
 * Python: Future.cancelled()
 */
CONC_API bool conc_future_is_cancelled(const conc_future *future);

/**
 * Cancel the future. A pending one is done at once and its job never runs. A running job gets
 * -ECANCELED from the call that it blocks in and from every later one, until it returns: if it then
 * returns -ECANCELED its future is cancelled; any other end stands.
 *
 * @return true: it was pending or running; false: it was done already
 *
 * Python: Future.cancel()
 * [any | no (a pending one's callbacks run in it) | no]
 */
CONC_API bool conc_future_cancel(conc_future *future);

/**
 * Called with a future that is done; see conc_future_add_done_callback(). It borrows the future,
 * and must not block for long. It may complete other futures: see there.
 */
typedef void conc_done_fn(conc_future *future, void *arg);

/**
 * Call fn(future, arg) when the future is done: in the context that completes it, after its waiters
 * were woken, callbacks in the order of their registration; at once, in the caller, if it is done
 * already. fn runs with a copy of the local values that the caller of this has now; what it sets is
 * gone when it returns (conc/local.h).
 *
 * Where a call completes a future (conc_future_set_result(), conc_future_cancel() ...) the
 * callbacks have run when it returns. Only in a callback they have not: they are called when that
 * callback has returned, after those that were due before, in the same context. So a chain of
 * futures, each of which is completed by the callback of the one before, may be of any length; and
 * a callback must not wait for what other callbacks of its context do.
 *
 * @return 0; -ENOMEM: not registered; -EINVAL: no fn
 *
 * Python: Future.add_done_callback()
 */
CONC_API int conc_future_add_done_callback(conc_future *future, conc_done_fn *fn, void *arg);

/**
 * Take callbacks back: those that were registered with this fn and this arg.
 *
 * @return how many, none of which is called any more; 0: there is none. Those of a future that is
 *         done cannot be taken back: they have been called, or the context that completes it is
 *         about to do so
 *
 * Python: Future.remove_done_callback()
 * [anywhere | no | no]
 */
CONC_API int conc_future_remove_done_callback(conc_future *future, conc_done_fn *fn, void *arg);

/* ---- Many futures ---- */

/** What conc_wait() waits for. */
typedef enum conc_wait_mode {
    CONC_FIRST_COMPLETED, /* until one is done */
    CONC_FIRST_ERROR,     /* until one has failed or was cancelled, or all are done */
    CONC_ALL_COMPLETED,   /* until all are done */
} conc_wait_mode;

/**
 * Wait for the futures. The same one may stand in the array twice. n = 0 returns 0.
 *
 * @param futures  n futures; borrowed
 * @return how many are done now, when the wait's end has come; -ETIMEDOUT, -EAGAIN, -ECANCELED: it
 *         has not; -EDEADLK: it never would (conc_future_result()); -ENOMEM; -EINVAL: no futures,
 *         no such mode
 *
 * Python: concurrent.futures.wait(), asyncio.wait()
 * [any | yes | yes]
 */
CONC_API ssize_t conc_wait(conc_future *const *futures, size_t n, conc_wait_mode mode,
                           conc_deadline deadline);

/**
 * Wait for all the futures' results.
 *
 * @param errors  NULL: return the first error as soon as there is one (the others go on). Else room
 *                for n errors: wait for all, and store each one's error or 0 in its place. Either
 *                way the futures' errors count as observed.
 * @return 0; the first error (errors is NULL), with its message in conc_describe();
 *         -ETIMEDOUT, -EAGAIN, -ECANCELED: the wait ended before; -EDEADLK, -ENOMEM, -EINVAL: as
 *         conc_wait()
 *
 * Python: asyncio.gather(return_exceptions=False or True)
 * [any | yes | yes]
 */
CONC_API int conc_gather(conc_future *const *futures, size_t n, int *errors,
                         conc_deadline deadline);

/**
 * conc_future_result() that cancels the future if the deadline comes, or the caller is cancelled,
 * before it is done. It does not wait for the cancelled job to return, unless the caller runs that
 * job itself (conc_future_result()): then the deadline ends the job's calls.
 *
 * @return as conc_future_result()
 *
 * Python: asyncio.wait_for()
 * [any | yes | yes]
 */
CONC_API int conc_wait_for(conc_future *future, void *ret, conc_deadline deadline);

/** An iterator over futures in the order of their completion. */
typedef struct conc_as_completed conc_as_completed;

/**
 * Make an iterator. The futures are watched from now on. One that stands in the array twice is
 * given once, as in Python.
 *
 * @param ret      gives an iterator
 * @param futures  n futures; the array is borrowed during the call, each future shared until the
 *                 iterator is freed
 * @return 0; -ENOMEM; -EINVAL: no futures
 *
 * Python: as_completed()
 */
CONC_API CONC_MUST_CHECK int conc_as_completed_new(conc_as_completed **ret,
                                                   conc_future *const *futures, size_t n);

/**
 * The next future that is done; wait for one if there is none.
 *
 * @param future  gives the future, borrowed from the iterator; NULL: not wanted
 * @param index   gives its place in the array, the first if it has several; NULL: not wanted
 * @return 1; 0: all have been given; -ETIMEDOUT, -EAGAIN, -ECANCELED; -EDEADLK: those that are left
 *         wait for the caller (conc_future_result())
 *
 * [one | yes | yes]
 */
CONC_API int conc_as_completed_next(conc_as_completed *as_completed, conc_future **future,
                                    size_t *index, conc_deadline deadline);

/**
 * Free the iterator, also one that has not given all; NULL is ignored.
 *
 * [anywhere | no | no]
 */
CONC_API void conc_as_completed_free(conc_as_completed *as_completed);

/* ---- Unobserved errors ---- */

/**
 * Set what happens when the last reference to a failed future goes, and its error was never looked
 * at; NULL: the default, a line on stderr. Cancelled futures are not reported.
 *
 * @param fn  called with the error, its message ("" if none) and `arg`, in the context that gave
 *            back the last reference
 *
 * Python: loop.set_exception_handler()
 * [anywhere | no | no]
 */
CONC_API void conc_future_on_unobserved(conc_error_fn *fn, void *arg);

#ifdef __cplusplus
}
#endif
#endif
