/* SPDX-License-Identifier: MIT
 *
 * background.h: a job in a thread of its own, which Ctrl-C cancels, while main() does something
 * else.
 *
 *     struct background background;
 *     int err = background_start(&background, job, arg);
 *     while (!background_is_over(&background, conc_in(CONC_MS(200))))
 *         draw();
 *     err = background_end(&background, &signo);
 */
#ifndef EXAMPLES_BACKGROUND_H
#define EXAMPLES_BACKGROUND_H

#include <conc.h>

/** All fields are private. */
struct background {
    conc_thread *job, *watcher;
    sigset_t ends; /* the signals that cancel the job */
};

/**
 * Start job(&arg, NULL) in the background. SIGINT (Ctrl-C), SIGTERM and SIGHUP cancel it: the
 * libconc calls in it return -ECANCELED from then on. A second such signal does what it always did:
 * it ends the program at once.
 *
 * @param background  uninitialised memory, borrowed until background_end()
 * @param arg         given to the job, as a value: *(void **)arg
 * @return 0; as conc_signal_catch(), conc_thread_start(): nothing was started
 */
int background_start(struct background *background, conc_fn *job, void *arg);

/** Wait for the job's end, until the deadline. @return whether it has ended */
bool background_is_over(struct background *background, conc_deadline deadline);

/**
 * Wait for the job's end, and give back what background_start() took.
 *
 * @param signo  gives the signal that has cancelled the job; 0: none did
 * @return the job's error, with its message, or 0
 */
int background_end(struct background *background, int *signo);

#endif
