/* SPDX-License-Identifier: MIT
 *
 * conc/loop.h: the event loop: one thread that runs tasks, callbacks, timers, and input and output
 * for thousands at a time.
 *
 *     static int main_task(void *arg, void *result)
 *     {
 *         conc_future *f = conc_spawn(other_task, NULL, 0, 0);
 *         ...
 *     }
 *     int err = conc_run(main_task, NULL, 0, NULL, 0);
 *
 * A loop belongs to the thread that first runs it. A function that says `loop` in its contract's
 * last line (conc/base.h) is called from that thread; before the loop has run for the first time it
 * may be called from any thread, by one at a time; from elsewhere it returns -EPERM. After a fork a
 * loop is dead in the child: calls return -ESHUTDOWN there.
 *
 * Tasks and callbacks must not block otherwise than by libconc: all others on the loop would wait.
 * Such work goes through conc_to_thread() or conc_loop_run_in_executor().
 *
 * Signal handlers: none of these calls may be made in one.
 */
#ifndef CONC_LOOP_H
#define CONC_LOOP_H

#include <conc/executor.h>
#include <conc/future.h>
#include <conc/signal.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct conc_loop conc_loop;

/** How a loop talks to the kernel. The behaviour is the same. */
typedef enum conc_backend {
    /* What CONC_BACKEND=uring|epoll in the environment says; else (or if it is empty) io_uring
     * where the system allows it, else epoll. */
    CONC_BACKEND_ANY = 0,
    CONC_BACKEND_URING,
    CONC_BACKEND_EPOLL,
} conc_backend;

/** All-zero: the defaults. */
typedef struct conc_loop_options {
    conc_backend backend;

    /* As of conc_loop_set_debug(); 0: what CONC_DEBUG in the environment says, in milliseconds;
     * else (or if it is empty) no reports. */
    int64_t slow_after_ns;
} conc_loop_options;

/**
 * Run a job as the main task of a new loop, until it has ended; cancel the tasks that are left,
 * wait for them, and free the loop. A program's main() is often no more than this.
 *
 * @param fn   the job
 * @param arg  its argument, of arg_size bytes: copied (NULL if arg_size is 0)
 * @param ret  room for its result, of result_size bytes; NULL: not wanted; untouched on failure
 * @return 0; the job's own error (conc_describe() tells its message); -EINTR: conc_loop_stop()
 *         came first; -EBUSY: a loop runs in this thread already; -EINVAL, -ENOMEM, -EMFILE: no
 *         loop
 *
 * Python: asyncio.run()
 * [thread | yes | no]
 */
CONC_API int conc_run(conc_fn *fn, const void *arg, size_t arg_size, void *ret, size_t result_size);

/** All-zero: the defaults. */
typedef struct conc_run_options {
    conc_loop_options loop;

    /* The first of these signals to come cancels the main task, which can tidy up. From then on all
     * of them do again what they did before the run, also if the task does not end: a second
     * Ctrl-C ends the program, as a rule. So they do when the main task has ended. One that is
     * ignored stays so (nohup). NULL: none. */
    const sigset_t *cancel_on;
} conc_run_options;

/**
 * conc_run() with options: a main task that Ctrl-C cancels.
 *
 *     sigset_t interrupt;
 *     sigemptyset(&interrupt);
 *     sigaddset(&interrupt, SIGINT);
 *     const conc_run_options options = {.cancel_on = &interrupt};
 *     int err = conc_run_with(main_task, NULL, 0, NULL, 0, &options);
 *
 * @param options  borrowed; NULL: all-zero
 * @return as conc_run(); -EINTR: the main task was cancelled by a signal, with a message that names
 *         it (a task that catches the cancellation, and ends otherwise, has its own result);
 *         -EINVAL: a signal that cannot be caught, see conc_signal_catch()
 *
 * Python: asyncio.run(), asyncio.Runner()
 * [thread | yes | no]
 */
CONC_API int conc_run_with(conc_fn *fn, const void *arg, size_t arg_size, void *ret,
                           size_t result_size, const conc_run_options *options);

/**
 * Make a loop.
 *
 * @param ret      gives a loop, for conc_loop_free()
 * @param options  borrowed; NULL: all-zero
 * @return 0; -ENOMEM; -EMFILE: out of descriptors; -EINVAL: a value that is none, of the options or
 *         in CONC_BACKEND or CONC_DEBUG, with a message
 *
 * Python: asyncio.new_event_loop()
 */
CONC_API CONC_MUST_CHECK int conc_loop_new(conc_loop **ret, const conc_loop_options *options);

/**
 * Free a loop that does not run: cancel its tasks and run them until all have ended, drop
 * callbacks, shut its default executor down and wait for that. A task that goes on in spite of
 * being cancelled delays it. NULL is ignored.
 *
 * @return 0; -EBUSY (it runs), -EPERM (called from another thread than the loop's): refused,
 *         nothing is freed
 *
 * Python: loop.close()
 * [loop | yes | no]
 */
CONC_API int conc_loop_free(conc_loop *loop);

/**
 * The loop that runs in the calling thread, borrowed; NULL: none.
 *
 * Python: asyncio.get_running_loop()
 */
CONC_API conc_loop *conc_loop_current(void);

/* ---- Running ---- */

/**
 * Run the loop until a future is done. Its result is then there for conc_future_result().
 *
 * @return 0; -EINTR: conc_loop_stop() came first; -EBUSY: this or another loop runs in this
 *         thread already; -EPERM: another thread's loop; -ESHUTDOWN: dead; -ENOMEM; -EMFILE: no
 *         backend
 *
 * Python: loop.run_until_complete()
 * [loop (not a task) | yes | no]
 */
CONC_API int conc_loop_run_until_complete(conc_loop *loop, conc_future *future);

/**
 * Run the loop until conc_loop_stop().
 *
 * @return 0: it was stopped; else as conc_loop_run_until_complete()
 *
 * Python: loop.run_forever()
 * [loop (not a task) | yes | no]
 */
CONC_API int conc_loop_run_forever(conc_loop *loop);

/**
 * Make the loop's run end after the turn that it is in; if it does not run, the next run ends after
 * one turn. Tasks stay as they are, and go on in the next run.
 *
 * Python: loop.stop()
 */
CONC_API void conc_loop_stop(conc_loop *loop);

/**
 * Does it run now? From other threads the answer is only a hint.
 *
 * Python: loop.is_running()
 */
CONC_API bool conc_loop_is_running(const conc_loop *loop);

/**
 * "io_uring" or "epoll"; "" before the loop has first run. Static.
 *
 * [loop | no | no]
 */
CONC_API const char *conc_loop_backend(const conc_loop *loop);

/**
 * Report on stderr each callback, and each stretch of a task between two waits, that holds the loop
 * for longer than `slow_after_ns`; 0: don't.
 *
 * @return 0; -EINVAL: below 0; -EPERM; -ESHUTDOWN
 *
 * Python: loop.set_debug(), slow_callback_duration
 * [loop | no | no]
 */
CONC_API int conc_loop_set_debug(conc_loop *loop, int64_t slow_after_ns);

/* ---- Callbacks ---- */

/**
 * A callback of a loop's: called in the loop's thread, with a copy of the local values of the
 * thread or task that asked for it (conc/local.h).
 */
typedef void conc_callback_fn(void *arg);

/** A callback that was asked for. */
typedef struct conc_handle conc_handle;

/**
 * Run a callback in one of the loop's next turns. Callbacks run in the order in which they were
 * asked for, on the loop's own stack: they must not block.
 *
 * @param ret  gives a handle, for conc_handle_free(); NULL: not wanted
 * @return 0; -EINVAL: no fn; -ENOMEM; -EPERM; -ESHUTDOWN
 *
 * Python: loop.call_soon()
 * [loop | no | no]
 */
CONC_API int conc_loop_call_soon(conc_loop *loop, conc_callback_fn *fn, void *arg,
                                 conc_handle **ret);

/**
 * conc_loop_call_soon() from any thread or task. The caller makes sure that the loop is not freed
 * meanwhile. Callbacks that have not run when it is freed are dropped.
 *
 * @return as conc_loop_call_soon()
 *
 * Python: loop.call_soon_threadsafe()
 */
CONC_API int conc_loop_call_soon_threadsafe(conc_loop *loop, conc_callback_fn *fn, void *arg,
                                            conc_handle **ret);

/**
 * conc_loop_call_soon(), but after `delay_ns` nanoseconds.
 *
 * @param delay_ns  zero or less: in the next turn
 * @return as conc_loop_call_soon(); -EINVAL: so long that conc_in() makes CONC_FOREVER of it
 *
 * Python: loop.call_later()
 * [loop | no | no]
 */
CONC_API int conc_loop_call_later(conc_loop *loop, int64_t delay_ns, conc_callback_fn *fn,
                                  void *arg, conc_handle **ret);

/**
 * conc_loop_call_soon(), but at a point in time. Callbacks for the same time run in the order in
 * which they were asked for.
 *
 * @param when  CONC_NOW: soon; CONC_FOREVER: -EINVAL
 * @return as conc_loop_call_soon()
 *
 * Python: loop.call_at()
 * [loop | no | no]
 */
CONC_API int conc_loop_call_at(conc_loop *loop, conc_deadline when, conc_callback_fn *fn, void *arg,
                               conc_handle **ret);

/**
 * Don't run a callback that has not begun.
 *
 * @return true: it will not run; false: it has begun, or was cancelled, or dropped with its loop
 *
 * Python: Handle.cancel()
 * [loop | no | no]
 */
CONC_API bool conc_handle_cancel(conc_handle *handle);

/**
 * Give a handle back; the callback still runs. NULL is ignored.
 *
 * [anywhere | no | no]
 */
CONC_API void conc_handle_free(conc_handle *handle);

/* ---- Descriptors ---- */

/**
 * Call back whenever a descriptor is readable (or has an error, or its end), again and again as
 * long as it is. One reader for each descriptor: another call replaces it. For libraries that want
 * to be told; tasks rather call conc_recv(), or conc_poll_fd().
 *
 * @return 0; -EINVAL: no fn, or fd < 0; -EBADF: it is not open; -ENOMEM; -EPERM; -ESHUTDOWN
 *
 * Python: loop.add_reader()
 * [loop | no | no]
 */
CONC_API int conc_loop_add_reader(conc_loop *loop, int fd, conc_callback_fn *fn, void *arg);

/**
 * Call back whenever a descriptor is writable, as conc_loop_add_reader().
 *
 * @return as conc_loop_add_reader()
 *
 * Python: loop.add_writer()
 * [loop | no | no]
 */
CONC_API int conc_loop_add_writer(conc_loop *loop, int fd, conc_callback_fn *fn, void *arg);

/**
 * Remove the reader: its callback runs no more. To be called before the descriptor is closed.
 *
 * @return 1; 0: there was none; -EPERM
 *
 * Python: loop.remove_reader()
 * [loop | no | no]
 */
CONC_API int conc_loop_remove_reader(conc_loop *loop, int fd);

/**
 * Remove the writer, as conc_loop_remove_reader().
 *
 * @return as conc_loop_remove_reader()
 *
 * Python: loop.remove_writer()
 * [loop | no | no]
 */
CONC_API int conc_loop_remove_writer(conc_loop *loop, int fd);

/* ---- Signals ---- */

/**
 * Call back in the loop's thread when a signal has come; another call for it replaces the callback.
 * In tasks conc_signal_wait() (conc/signal.h) is often simpler. It comes also if every thread
 * blocks the signal.
 *
 * @return 0; -EINVAL: no fn, or a signal that cannot be caught, as conc_signal_catch(); -ENOMEM;
 *         -EMFILE; -EPERM; -ESHUTDOWN
 *
 * Python: loop.add_signal_handler()
 * [loop | no | no]
 */
CONC_API int conc_loop_add_signal_handler(conc_loop *loop, int signo, conc_callback_fn *fn,
                                          void *arg);

/**
 * Remove a signal's callback, and restore what the signal did before.
 *
 * @return 1; 0: there was none; -EPERM
 *
 * Python: loop.remove_signal_handler()
 * [loop | no | no]
 */
CONC_API int conc_loop_remove_signal_handler(conc_loop *loop, int signo);

/* ---- Executors ---- */

/**
 * The loop as an executor: a job submitted to it becomes a task. Borrowed: valid as long as the
 * loop, and not to be freed. Shutting it down ends the taking of tasks, by conc_spawn() too.
 */
CONC_API conc_executor *conc_loop_executor(conc_loop *loop);

/**
 * Run a job that blocks in an executor, while the caller's loop goes on. The task can wait for the
 * future, as for any.
 *
 * @param executor  NULL: the loop's default executor, a pool of min(32, processors + 4) threads,
 *                  made when first used
 * @return gives a future, never NULL, as conc_submit(); -EPERM in it: not the loop's thread
 *
 * Python: loop.run_in_executor()
 * [loop | as conc_submit() | as conc_submit()]
 */
CONC_API CONC_MUST_CHECK conc_future *conc_loop_run_in_executor(conc_loop *loop,
                                                                conc_executor *executor,
                                                                conc_fn *fn, const void *arg,
                                                                size_t arg_size,
                                                                size_t result_size);

/**
 * Run a job that blocks in the default executor of the loop that runs in the calling thread, with
 * the caller's local values.
 *
 * @return gives a future, never NULL; -EINVAL in it: no loop runs here
 *
 * Python: asyncio.to_thread()
 * [task | no | no]
 */
CONC_API CONC_MUST_CHECK conc_future *conc_to_thread(conc_fn *fn, const void *arg, size_t arg_size,
                                                     size_t result_size);

/**
 * Set the default executor, which stays the caller's and must outlive the loop; NULL: back to one
 * of the loop's own.
 *
 * @return 0; -EPERM
 *
 * Python: loop.set_default_executor()
 * [loop | no | no]
 */
CONC_API int conc_loop_set_default_executor(conc_loop *loop, conc_executor *executor);

/**
 * An executor that spreads its jobs, as tasks, over `loops` loops, each in a thread of its own. A
 * job submitted by one of its tasks may run on another loop.
 *
 * @param ret    gives an executor, for conc_executor_free()
 * @param loops  0: one for each processor
 * @return 0; -ENOMEM; -EMFILE
 *
 * [any | yes (until the threads have started) | no]
 */
CONC_API CONC_MUST_CHECK int conc_loop_pool_new(conc_executor **ret, size_t loops);

#ifdef __cplusplus
}
#endif
#endif
