/* SPDX-License-Identifier: MIT
 *
 * fd_message.h: descriptors that travel with a message over a Unix socket: packed as the system
 * wants them (SCM_RIGHTS, unix(7)), and taken out again.
 *
 *     struct fd_room room;
 *     conc__fd_message_attach(&msg, &room, fds, n);      then sendmsg(2)
 *
 *     conc__fd_message_expect(&msg, &room);              then recvmsg(2), with MSG_CMSG_CLOEXEC
 *     n = conc__fd_message_take(&msg, fds, max, &lost);  (conc_recvmsg() adds that flag itself)
 *
 * The descriptors travel with the first byte of the message. Sending them duplicates them: the
 * sender keeps its own. Received ones belong to the receiver, which has to close them.
 */
#ifndef CONC_LIB_FD_MESSAGE_H
#define CONC_LIB_FD_MESSAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/socket.h>

/* The most descriptors that one message carries: as many as a message of a conc_pipe may have. The
 * system's own limit is 253 (SCM_MAX_FD). */
enum { FD_MESSAGE_MAX = 32 };

/* Room for the descriptors of one message, on the stack of the caller. */
struct fd_room {
    union {
        struct cmsghdr aligned; /* only for its alignment */
        char bytes[CMSG_SPACE(FD_MESSAGE_MAX * sizeof(int))];
    };
};

/* Let n descriptors travel with the message, at most FD_MESSAGE_MAX; 0: it carries none. The room
 * must stay until the message was sent. */
void conc__fd_message_attach(struct msghdr *msg, struct fd_room *room, const int *fds, size_t n);

/* Let the message that is received bring descriptors. */
void conc__fd_message_expect(struct msghdr *msg, struct fd_room *room);

/* Take the descriptors out of a message that was received: returns how many there are in `fds`,
 * which has room for `max`. Those that are more than `max` are closed. *lost becomes true if the
 * system has kept back some that were sent (MSG_CTRUNC): they were more than FD_MESSAGE_MAX, or the
 * process has too many descriptors. It never becomes false here. */
size_t conc__fd_message_take(struct msghdr *msg, int *fds, size_t max, bool *lost);

/* Close n descriptors. */
void conc__fds_close(const int *fds, size_t n);

#endif
