/* SPDX-License-Identifier: MIT
 *
 * backend.h: how a driver (driver.h) talks to the kernel: by io_uring, or by epoll and threads
 * (offload.c). The driver knows only this table. No result shows which backend it is.
 *
 * All functions are called in the driver's thread; but forget() in a child, by the thread that
 * forked.
 */
#ifndef CONC_LIB_OP_BACKEND_H
#define CONC_LIB_OP_BACKEND_H

#include "op/op.h"

struct backend {
    const char *name; /* "io_uring", "epoll" */

    /* Make *state. 0; -ENOMEM, -EMFILE ...; -ENOSYS, -EPERM: the system has or allows no such
     * backend: try another. `wake_fd` is the driver's eventfd, in blocking mode: turn() has to
     * return soon after it became readable, and reads it. */
    int (*init)(void **state, int wake_fd);

    /* Free the state. No op is in flight. */
    void (*fini)(void *state);

    /* After a fork, in the child: close descriptors, touch nothing that the parent uses. The memory
     * may leak. */
    void (*forget)(void *state);

    /* Begin an op; it ends by conc__op_complete(), perhaps in this call. Never fails otherwise. */
    void (*start)(void *state, struct op *op);

    /* Ask an op that has not been completed to end soon: with -ECANCELED if it had no effect, else
     * with its result. It still completes once, perhaps in this call. Asking twice does no harm. */
    void (*cancel)(void *state, struct op *op);

    /* The descriptor is about to be closed: its ops end with -EBADF, soon. */
    void (*closing)(void *state, int fd);

    /* Hand the ops that have been started to the kernel, and complete those that are done. If none
     * is done, sleep until one is, the driver is woken, or `until` has come (CONC_NOW: don't
     * sleep). May return early. */
    void (*turn)(void *state, conc_deadline until);
};

/* For backends: end the op. Sets the result, and calls complete(). */
void conc__op_complete(struct op *op, ssize_t result);

#endif
