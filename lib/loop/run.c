/* SPDX-License-Identifier: MIT
 *
 * run.c: a main task, in a loop of its own, that signals may cancel.
 *
 * The thread that deals with signals (thread/signal.c) calls interrupt_comes() for the first signal
 * of the set, and nothing happens in the loop's thread but that its main task is cancelled. So the
 * signals are let go at once, also if a task holds the loop: the next one does again what it did
 * before the run. They are let go, too, when the main task has ended: while the rest is being
 * cancelled they do what they did.
 *
 * Taking a callback back waits until it has returned (but in the callback itself): so the struct
 * may lie on the stack of the run, and the job's reference outlives the callbacks.
 */
#include <string.h>

#include "future/future_impl.h"
#include "loop/loop_impl.h"
#include "loop/task_impl.h"
#include "thread/signal_impl.h"

struct interrupt {
    conc_future *job;
    uint32_t came; /* atomic: the signal that has cancelled it; 0: none has */
    size_t n;
    struct signal_callback callbacks[NSIG];
};

static void interrupt_let_go(struct interrupt *i)
{
    for (size_t at = 0; at < i->n; at++)
        conc__signal_remove(&i->callbacks[at]);
}

static void interrupt_comes(int signo, void *arg)
{
    struct interrupt *i = arg;
    if (exchange_acq_rel(&i->came, (uint32_t)signo) != 0)
        return; /* two that came at once */
    interrupt_let_go(i);
    conc_future_cancel(i->job);
}

/* A signal that is ignored, as by nohup, stays so. */
static bool signal_is_ignored(int signo)
{
    struct sigaction now;
    return sigaction(signo, NULL, &now) == 0 && now.sa_handler == SIG_IGN;
}

static void interrupt_choose(struct interrupt *i, const sigset_t *set)
{
    for (int signo = 1; set && signo < NSIG; signo++)
        if (sigismember(set, signo) == 1 && !signal_is_ignored(signo))
            i->callbacks[i->n++] =
                (struct signal_callback){.signo = signo, .fn = interrupt_comes, .arg = i};
}

static int interrupt_begin(struct interrupt *i, const sigset_t *set)
{
    interrupt_choose(i, set); /* before any of them can come: from then on only `came` changes */
    for (size_t at = 0; at < i->n; at++) {
        int err = conc__signal_add(&i->callbacks[at]);
        if (err) {
            interrupt_let_go(i);
            return err;
        }
    }
    if (load_acquire(&i->came)) /* one came before the others were caught */
        interrupt_let_go(i);
    return 0;
}

/* How the main task has ended, of which the loop's run ended with `err`. */
static int run_result(const struct interrupt *i, void *ret, int err)
{
    err = err ? err : conc_future_result(i->job, ret, CONC_NOW);
    int signo = (int)load_acquire(&i->came);
    if (err != -ECANCELED || !signo || !conc_future_is_cancelled(i->job))
        return err;
    return conc_raise(-EINTR, "cancelled by signal %d (%s)", signo, strsignal(signo));
}

int conc_run_with(conc_fn *fn, const void *arg, size_t arg_size, void *ret, size_t result_size,
                  const conc_run_options *options)
{
    static const conc_run_options defaults = {0};
    if (!options)
        options = &defaults;
    conc_loop *loop;
    if (conc__driver_here)
        return -EBUSY;
    int err = conc_loop_new(&loop, &options->loop);
    if (err)
        return err;
    struct interrupt i = {.job = conc_task_start(loop, fn, arg, arg_size, result_size, NULL)};
    err = interrupt_begin(&i, options->cancel_on);
    if (!err) {
        err = conc_loop_run_until_complete(loop, i.job);
        interrupt_let_go(&i);
    }
    conc__future_observe(i.job); /* the caller is told */
    conc_loop_free(loop);
    err = run_result(&i, ret, err);
    conc_future_unref(i.job);
    return err;
}

int conc_run(conc_fn *fn, const void *arg, size_t arg_size, void *ret, size_t result_size)
{
    return conc_run_with(fn, arg, arg_size, ret, result_size, NULL);
}
