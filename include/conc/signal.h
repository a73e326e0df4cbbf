/* SPDX-License-Identifier: MIT
 *
 * conc/signal.h: wait for the operating system's signals, as for anything else.
 *
 *     sigset_t set;
 *     sigemptyset(&set);
 *     sigaddset(&set, SIGINT);
 *     sigaddset(&set, SIGTERM);
 *     int signo = conc_signal_wait(&set, CONC_FOREVER);    // Ctrl-C, and nothing dies of it
 *
 * A signal that is caught does nothing by itself any more: it is kept until a context waits for it,
 * once, however often it comes meanwhile. It is caught from the first wait for it on, or from
 * conc_signal_catch(), until conc_signal_release().
 *
 * At least one thread must not block the signal (pthread_sigmask()), or it never arrives. It may be
 * any thread: a system call that the signal interrupts goes on (SA_RESTART). A program that sets an
 * action of its own with sigaction() takes the signal away from libconc: it should release it
 * before. A child process after fork() catches the same signals, and none that came before the fork
 * is pending in it; a program that is executed has the default actions.
 */
#ifndef CONC_SIGNAL_H
#define CONC_SIGNAL_H

#include <signal.h>
#include <sys/select.h> /* sigset_t, which <signal.h> keeps to itself in strict C11 */

#include <conc/future.h>

#ifdef __cplusplus
extern "C" {
#endif

/**
 * Wait for one of the signals in `set`, which is caught from now on. Of several that are pending
 * the lowest comes first; of several waiters the one that has waited longest gets it. A loop's
 * handler for the signal is not called then.
 *
 * @param set  borrowed
 * @return the signal's number; -ETIMEDOUT, -EAGAIN (none pending, CONC_NOW), -ECANCELED; -EINVAL:
 *         as conc_signal_catch(); -ENOMEM: no memory, or no more threads
 *
 * Python: signal.sigwait(), signal.sigtimedwait()
 * [any | yes | yes]
 */
CONC_API int conc_signal_wait(const sigset_t *set, conc_deadline deadline);

/**
 * The next of the signals in `set` as a future, to be waited for beside others. They are caught
 * from now on. It stands in line with those that are in conc_signal_wait(), and gets one signal.
 *
 *     conc_future *either[] = {conc_spawn(work, NULL, 0, 0), conc_signal_future(&set)};
 *     ssize_t done = conc_wait(either, 2, CONC_FIRST_COMPLETED, CONC_FOREVER);
 *     if (!conc_future_is_done(either[0]))
 *         conc_future_cancel(either[0]); // a signal came first
 *
 * Its result is an int, the signal's number. To give its last reference back, or to cancel it, ends
 * its wait; a signal that came before that is its result, and no other waiter's.
 *
 * @param set  borrowed during the call
 * @return gives a future, never NULL; in it: -EINVAL: as conc_signal_catch(); -ENOMEM: no memory,
 *         or no more threads; in a fork's child -ESHUTDOWN
 */
CONC_API CONC_MUST_CHECK conc_future *conc_signal_future(const sigset_t *set);

/**
 * Catch the signals in `set`: from now on they are kept for conc_signal_wait() instead of doing
 * what they did. Those that are caught already stay so.
 *
 * @param set  borrowed
 * @return 0; -EINVAL: NULL or empty, or with a signal that cannot be caught (SIGKILL, SIGSTOP) or
 *         that a fault of the program raises (SIGSEGV, SIGBUS, SIGFPE, SIGILL): none is caught
 *         then; -ENOMEM: no memory, or no more threads
 *
 * Python: signal.signal()
 */
CONC_API int conc_signal_catch(const sigset_t *set);

/**
 * Let the signals in `set` do what they did before they were caught; what was kept of them is
 * forgotten. Those that are not caught, those that have got another action since, and those that a
 * loop has a handler for stay as they are. Contexts that wait for them wait on.
 *
 * @param set  borrowed
 * @return 0; -EINVAL: as conc_signal_catch(): none is released
 */
CONC_API int conc_signal_release(const sigset_t *set);

#ifdef __cplusplus
}
#endif
#endif
