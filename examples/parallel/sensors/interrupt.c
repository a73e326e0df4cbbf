/* SPDX-License-Identifier: MIT
 *
 * interrupt.c: one job waits for the signal, and cancels the scope of the other.
 */
#include "interrupt.h"

#include <signal.h>

struct watch {
    const sigset_t *set;
    conc_scope *scope;
};

/* A conc_fn. */
static int wait_for_signal(void *arg, void *result)
{
    const struct watch *watch = arg;
    const int signo = conc_signal_wait(watch->set, CONC_FOREVER);

    if (signo < 0)
        return signo;
    conc_scope_cancel(watch->scope);
    *(int *)result = signo;
    return 0;
}

/* Returns when the job has ended, so that it touches the scope no more. */
static void stop_watching(conc_future *watching, int *signo)
{
    const int *found;
    conc_scope shield;

    conc_future_cancel(watching);
    conc_shield_enter(&shield);
    conc_future_wait(watching, CONC_FOREVER);
    conc_shield_exit(&shield);
    found = conc_future_value(watching);
    if (found != NULL)
        *signo = *found;
    conc_future_unref(watching);
}

int run_until_interrupted(int (*fn)(void *arg), void *arg, int *signo)
{
    conc_executor *threads = NULL, *executor;
    conc_future *watching;
    conc_scope scope;
    sigset_t set;
    int err;

    *signo = 0;
    sigemptyset(&set);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGTERM);
    err = conc_signal_catch(&set);
    if (!err && conc_loop_current() == NULL)
        err = conc_thread_per_job_new(&threads);
    if (err)
        return conc_raise(err, "cannot wait for signals: %s", conc_strerror(err));
    executor = threads != NULL ? threads : conc_loop_executor(conc_loop_current());

    conc_scope_enter(&scope, CONC_FOREVER);
    const struct watch watch = {&set, &scope};
    watching = conc_submit(executor, wait_for_signal, &watch, sizeof watch, sizeof *signo);
    err = conc_future_error(watching);
    if (err == -EAGAIN || err == 0) /* it waits; or a signal has come already */
        err = fn(arg);
    else /* no thread for it, no memory */
        conc_raise(err, "cannot wait for signals: %s", conc_strerror(err));
    stop_watching(watching, signo);
    conc_scope_exit(&scope);
    conc_executor_free(threads);
    conc_signal_release(&set);
    return err;
}

/* A signal that is ignored stays ignored in a fork()ed copy of the program, and when the program is
 * executed anew: the process that makes all others is one of these two. */
int init_deaf_processes(void)
{
    const struct sigaction ignore = {.sa_handler = SIG_IGN};
    struct sigaction on_int, on_term;
    int err;

    sigaction(SIGINT, &ignore, &on_int);
    sigaction(SIGTERM, &ignore, &on_term);
    err = conc_process_prepare();
    sigaction(SIGINT, &on_int, NULL);
    sigaction(SIGTERM, &on_term, NULL);
    return err;
}
