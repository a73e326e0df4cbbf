/* SPDX-License-Identifier: MIT
 *
 * closing.h: closing a descriptor for which others may wait: in any thread, with any driver. See
 * closing.c.
 */
#ifndef CONC_LIB_OP_CLOSING_H
#define CONC_LIB_OP_CLOSING_H

#include "base/atomic.h"
#include "op/driver.h"

struct closing;

/* ---- Drivers ---- */

/* Which drivers may have ops on a descriptor: the index of one; or one of these. */
enum { USER_NONE = 0, USER_CLOSING = UINT8_MAX - 1, USER_MANY = UINT8_MAX };

/* Descriptors from this number on may be used by any driver. */
enum { USERS_MAX = 1 << 20 };

extern uint8_t conc__fd_users[USERS_MAX];
bool conc__fd_add_user(int fd, uint8_t index);

/* The driver is about to have an op on the descriptor (below 0: on none). From its thread. False:
 * it must not, because the descriptor is being closed. */
static inline bool fd_note_user(int fd, const struct driver *driver)
{
    if (fd < 0 || fd >= USERS_MAX)
        return true;
    uint8_t user = load_relaxed(&conc__fd_users[fd]); /* relaxed: see closing.c */
    return user == driver->index || user == USER_MANY || conc__fd_add_user(fd, driver->index);
}

/* Enter a new driver in the list, and take it out, after which nothing is posted to it. */
void conc__closing_register(struct driver *driver);
void conc__closing_unregister(struct driver *driver);

/* ---- Contexts that have no driver ---- */

/* One that waits for a descriptor. It lies on the stack of the call. */
struct fd_wait {
    struct list_node node;
    int fd;
    struct conc_context *context;
    struct closing *closing; /* atomic; NULL: nobody closes it */
};

void conc__fd_wait_begin(struct fd_wait *wait, int fd);
void conc__fd_wait_end(struct fd_wait *wait);

/* Must the wait end, because the descriptor is being closed? */
bool conc__fd_wait_is_closed(const struct fd_wait *wait);

/* ---- Both ---- */

/* One of those that had the descriptor in use, and that the closing has told, has no use for its
 * number any more. */
void conc__closing_let_go(struct closing *closing);

/* conc_close(). */
int conc__fd_close(int fd);

#endif
