/* SPDX-License-Identifier: MIT
 *
 * fd_message.c: descriptors that travel with a message over a Unix socket (fd_message.h).
 *
 * A message may bring several control messages, so all of them are looked at. A descriptor in one
 * of them is open in this process already: one that nobody takes must be closed, or it would leak.
 */
#include "base/fd_message.h"

#include <string.h>
#include <unistd.h>

#include "base/invariant.h"

void conc__fd_message_attach(struct msghdr *msg, struct fd_room *room, const int *fds, size_t n)
{
    invariant(n <= FD_MESSAGE_MAX, "a message carries no more descriptors than there is room for");
    msg->msg_control = NULL;
    msg->msg_controllen = 0;
    if (!n)
        return;
    memset(room, 0, sizeof *room); /* or the padding would be sent as it is */
    msg->msg_control = room->bytes;
    msg->msg_controllen = CMSG_SPACE(n * sizeof *fds);
    struct cmsghdr *c = CMSG_FIRSTHDR(msg);
    c->cmsg_level = SOL_SOCKET;
    c->cmsg_type = SCM_RIGHTS;
    c->cmsg_len = CMSG_LEN(n * sizeof *fds);
    memcpy(CMSG_DATA(c), fds, n * sizeof *fds);
}

void conc__fd_message_expect(struct msghdr *msg, struct fd_room *room)
{
    msg->msg_control = room->bytes;
    msg->msg_controllen = sizeof room->bytes;
}

size_t conc__fd_message_take(struct msghdr *msg, int *fds, size_t max, bool *lost)
{
    size_t taken = 0;
    if (msg->msg_flags & MSG_CTRUNC)
        *lost = true;
    for (struct cmsghdr *c = CMSG_FIRSTHDR(msg); c; c = CMSG_NXTHDR(msg, c)) {
        if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
            continue;
        const size_t n = (c->cmsg_len - CMSG_LEN(0)) / sizeof *fds;
        const size_t room = max - taken, wanted = n < room ? n : room;
        if (wanted)
            memcpy(fds + taken, CMSG_DATA(c), wanted * sizeof *fds);
        taken += wanted;
        for (size_t i = wanted; i < n; i++) {
            int fd;
            memcpy(&fd, CMSG_DATA(c) + i * sizeof fd, sizeof fd);
            close(fd);
        }
    }
    return taken;
}

void conc__fds_close(const int *fds, size_t n)
{
    for (size_t i = 0; i < n; i++)
        close(fds[i]);
}
