/* SPDX-License-Identifier: MIT
 *
 * driver.h: what carries out the operations of contexts that must not block their thread: a backend,
 * the ops that are in its hands, and an inbox by which other threads reach the thread that turns it.
 * Lies in a loop, which turns it; what is here knows neither loops nor tasks. A context that has one
 * points to it (wait/context.h).
 */
#ifndef CONC_LIB_OP_DRIVER_H
#define CONC_LIB_OP_DRIVER_H

#include <conc/executor.h>

#include "op/backend.h"
#include "op/item.h"
#include "op/op.h"

struct driver {
    /* Read by any thread. */
    struct item *inbox; /* from other threads, the last first; see driver.c */
    uint32_t posters;   /* who is between taking the driver in hand and leaving it alone */
    int wake_fd;        /* an eventfd, in blocking mode: wakes the backend */

    /* Its own thread's: the one that turns it. */
    bool dead; /* we are in a forked child, it is the parent's */
    const struct backend *backend;
    void *state;            /* the backend's */
    size_t ops;             /* in flight */
    conc_executor *offload; /* offload.c's threads; NULL: none yet */
};

/* The driver that the calling thread turns; NULL: none. */
extern __thread struct driver *conc__driver_here __attribute__((tls_model("initial-exec")));

/* Without a backend; all-zero before. 0; -EMFILE, -ENFILE, -ENOMEM. */
int conc__driver_init(struct driver *driver);

/* The first time that it is to turn: give it that backend. 0, or an error of the backend's init(). */
int conc__driver_open(struct driver *driver, const struct backend *backend);

/* No op is in flight, and nobody knows it any more but those who post just now. */
void conc__driver_fini(struct driver *driver);

/* After a fork, in the child: it is dead, and of its inbox and its ops nothing is left. */
void conc__driver_forget(struct driver *driver);

/* Have its thread run the item soon: at once when it looks into the inbox, so it must be brief, and is
 * no place for a program's own code. Called from any thread, while the driver cannot go. */
void conc__driver_post(struct driver *driver, struct item *item);

/* Run what has been posted. */
void conc__driver_take(struct driver *driver);

/* Is there nothing in the inbox? Then whoever posts from now on wakes the backend. */
bool conc__driver_fall_asleep(struct driver *driver);

/* Begin an op. From its own thread, as the next two. */
static inline void driver_start(struct driver *driver, struct op *op)
{
    op->driver = driver;
    driver->ops++;
    driver->backend->start(driver->state, op);
}

/* Ask one to end soon; see struct backend. */
static inline void driver_cancel(struct driver *driver, struct op *op)
{
    driver->backend->cancel(driver->state, op);
}

/* One turn of the backend. */
static inline void driver_turn(struct driver *driver, conc_deadline until)
{
    driver->backend->turn(driver->state, until);
}

#endif
