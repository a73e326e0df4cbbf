/* SPDX-License-Identifier: MIT
 *
 * shared_impl.h: how what lies in shared memory makes its caller wait, and wakes it
 * (wait.c); and the locks inside.
 */
#ifndef CONC_LIB_SHARED_SHARED_IMPL_H
#define CONC_LIB_SHARED_SHARED_IMPL_H

#include <conc/shared.h>

/* What a wait is for. */
struct shared_on {
    struct conc__shared_spot *spot;
    int (*attempt)(void *arg); /* -EAGAIN: nothing doing, wait; else what the call returns. Never
                                  waits itself */
    void *arg;
    const char *what; /* for the registry; static */
    void *object;     /* the same */
};

/* A call that may wait: a cancellation point, then attempts until one succeeds. What the attempt
 * gave; or -EAGAIN (CONC_NOW), -ETIMEDOUT, -ECANCELED: after a last attempt that gave -EAGAIN. */
int conc__shared_call(const struct shared_on *on, conc_deadline deadline);

/* The same without a deadline, and not to be cancelled. */
int conc__shared_call_firmly(const struct shared_on *on);

/* conc__shared_call() in two halves, for calls that have something to do between them: no
 * cancellation point at first, and no scope is told of -ECANCELED; then, if the call really returns
 * that, tell the scopes. Gives back the error. */
int conc__shared_wait(const struct shared_on *on, conc_deadline deadline);
int conc__shared_ended(int err);

/* Let at most n of those who wait attempt again, after the change that they wait for. */
void conc__shared_notify(struct conc__shared_spot *spot, int n);

/* A mutex for processes that survives its holder's death. 0; -ENOTSUP. */
int conc__shared_mutex_init(pthread_mutex_t *mutex);

/* The calling thread's id, as the system counts. */
uint32_t conc__shared_tid(void);

#endif
