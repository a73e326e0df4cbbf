/* SPDX-License-Identifier: MIT
 *
 * background.c: one thread does the job, another waits for the signal that cancels it. The signals
 * are caught before there is either: none can come too early.
 */
#include "use_cases/background.h"

static int watch(void *arg, void *result)
{
    struct background *background = *(struct background **)arg;
    int signo = conc_signal_wait(&background->ends, CONC_FOREVER);
    if (signo < 0)
        return signo;
    *(int *)result = signo;
    conc_signal_release(&background->ends); /* so that a second Ctrl-C ends the program at once */
    conc_thread_cancel(background->job);
    return 0;
}

int background_start(struct background *background, conc_fn *job, void *arg)
{
    sigemptyset(&background->ends);
    sigaddset(&background->ends, SIGINT);
    sigaddset(&background->ends, SIGTERM);
    sigaddset(&background->ends, SIGHUP);
    int err = conc_signal_catch(&background->ends);
    if (err)
        return err;
    const conc_thread_options job_options = {.name = "background"};
    err = conc_thread_start(&background->job, job, &arg, sizeof arg, &job_options);
    if (err)
        return err;
    const conc_thread_options watcher_options = {.name = "ctrl-c", .result_size = sizeof(int)};
    err = conc_thread_start(&background->watcher, watch, &background, sizeof background,
                            &watcher_options);
    if (err) {
        conc_thread_cancel(background->job);
        conc_thread_join(background->job, NULL, CONC_FOREVER);
        conc_thread_free(background->job);
    }
    return err;
}

bool background_is_over(struct background *background, conc_deadline deadline)
{
    return conc_future_wait(conc_thread_future(background->job), deadline) != -ETIMEDOUT;
}

int background_end(struct background *background, int *signo)
{
    *signo = 0;
    conc_future_wait(conc_thread_future(background->job), CONC_FOREVER);
    conc_thread_cancel(background->watcher); /* without a signal it would wait for ever */
    conc_thread_join(background->watcher, signo, CONC_FOREVER);
    int err = conc_thread_join(background->job, NULL, CONC_FOREVER); /* last: its message stays */
    conc_thread_free(background->watcher);
    conc_thread_free(background->job);
    return err;
}
