/* SPDX-License-Identifier: MIT
 *
 * closing.h: how a shutdown waits until its executor has ended. Thread pools, process pools and
 * loops each have a condition of their own for that, and share this wait.
 */
#ifndef CONC_LIB_EXECUTOR_CLOSING_H
#define CONC_LIB_EXECUTOR_CLOSING_H

#include <conc/executor_impl.h>

#include "wait/wait.h"

struct closing {
    conc_executor *executor;
    uint32_t *guard;                            /* of `closers`, and of what has_ended() reads */
    struct conc__waitlist *closers;             /* the contexts that wait for the end */
    bool (*has_ended)(conc_executor *executor); /* called under the guard */
};

/* Wait until closing->has_ended(). 0; -EAGAIN, -ETIMEDOUT, -ECANCELED. What ends the executor makes
 * has_ended() true and takes the closers off their list under one hold of the guard, and delivers 0
 * to them afterwards. */
int conc__closing_wait(const struct closing *closing, conc_deadline deadline);

#endif
