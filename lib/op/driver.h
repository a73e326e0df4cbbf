/* SPDX-License-Identifier: MIT
 *
 * driver.h: what carries out the operations of contexts that must not block their thread: a
 * backend, the ops that it has in hand, and an inbox by which other threads reach the thread that
 * turns the driver. It lies in a loop, which turns it; nothing in this file knows loops or tasks. A
 * context that has a driver points to it (wait/context.h).
 */
#ifndef CONC_LIB_OP_DRIVER_H
#define CONC_LIB_OP_DRIVER_H

#include "op/backend.h"
#include "op/item.h"
#include "op/op.h"

struct driver {
    /* Read by any thread. */
    struct item *inbox; /* from other threads, the last first; see driver.c */
    uint32_t posters;   /* threads inside conc__driver_post() */
    int wake_fd;        /* an eventfd, in blocking mode: wakes the backend */
    bool running;       /* a thread turns it now */
    const void
        *thread; /* the thread that did so last: the address of its conc__driver_here; NULL: none */

    /* For closing.c. */
    uint8_t index;
    uint64_t serial;
    struct list_node node;

    /* Only for the thread that turns the driver. */
    bool dead; /* this process is a forked child: the driver is the parent's */
    const struct backend *backend;
    void *state;           /* the backend's */
    size_t ops;            /* in flight */
    struct list offloaded; /* those of them that threads carry out */

    /* A descriptor is about to be closed: whatever the owner of the driver has for it ends. Called
     * in the driver's thread, before the backend's closing(). May be NULL. */
    void (*on_close)(struct driver *driver, int fd);
};

/* The driver that the calling thread turns; NULL: none. */
extern __thread struct driver *conc__driver_here __attribute__((tls_model("initial-exec")));

/* The calling thread turns the driver from now on, and turns none any more. */
void conc__driver_enter(struct driver *driver);
void conc__driver_leave(void);

/* Make a driver without a backend of one that is all-zero. 0; -EMFILE, -ENFILE, -ENOMEM. */
int conc__driver_init(struct driver *driver);

/* Give the driver its backend, before its first turn. 0, or an error of the backend's init(). */
int conc__driver_open(struct driver *driver, const struct backend *backend);

/* Free what the driver has. No op is in flight, and no thread knows the driver any more, except
 * those that are inside conc__driver_post(): it waits for them. */
void conc__driver_fini(struct driver *driver);

/* After a fork, in the child: the driver is dead, and nothing is left of its inbox and its ops. */
void conc__driver_forget(struct driver *driver);

/* Have the driver's thread run the item soon. It runs it while it empties the inbox, so the item
 * must be brief, and must not call the program's own code. Called from any thread, while the
 * driver cannot be freed. */
void conc__driver_post(struct driver *driver, struct item *item);

/* Run the items that have been posted. */
void conc__driver_take(struct driver *driver);

/* Is the inbox empty? Then a thread that posts from now on wakes the backend. */
bool conc__driver_fall_asleep(struct driver *driver);

/* Begin an op. Called from the driver's thread, as the next two. */
void conc__driver_start(struct driver *driver, struct op *op);

/* Ask an op to end soon; see struct backend. */
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
