/* SPDX-License-Identifier: MIT
 *
 * identity.c: an op that waits for a descriptor, and foreign code that closes the descriptor with
 * close(2). Its number may then mean another file, whose bytes are not for that op.
 *
 * How: when the op begins to wait, what the file is (device, inode, type) is noted. Before each
 * attempt that follows a wait, the number is copied (F_DUPFD_CLOEXEC), the copy is compared, and
 * the attempt is made with the copy. So nothing that another thread does between the comparison and
 * the attempt can change the file. Only sockets and pipes are copied: closing a copy of a file on a
 * disk would give up the process's locks on it, and closing a copy of a device may have effects of
 * its own. If the file is of another kind, or no descriptor is free, the number itself is compared,
 * and then used.
 *
 * What cannot be told: one file without a name of its own from another of them (eventfd, timerfd,
 * signalfd, inotify, epoll ...), since they share one inode; and the same pipe, device or file,
 * opened again. (epoll.c does better: it asks whether the file is still the one that was entered
 * there.) What lies between a call and the moment when its wait begins: the call may as well have
 * come later.
 *
 * A thread whose descriptor was closed so, and given to another file, learns of it when the old
 * file or the new one has something to tell: poll(2) waits for the one and looks at the other. It
 * may wait until its deadline; it takes nothing.
 *
 * An entry of io_uring holds the file from the moment when it is submitted, at the end of the
 * loop's turn, and needs none of this; a foreign close in the turn in which the op began is not
 * noticed.
 */
#include "op/identity.h"

#include <fcntl.h>
#include <sys/sysmacros.h>
#include <unistd.h>

enum { IDENTITY_FD_MIN = 3 }; /* of a copy: the standard ones are the program's */

int conc__identity_note(struct file_identity *identity, int fd)
{
    struct statx st;
    *identity = (struct file_identity){0};
    if (statx(fd, "", AT_EMPTY_PATH | AT_STATX_DONT_SYNC, STATX_TYPE | STATX_INO, &st) != 0)
        return errno == EBADF ? -EBADF : 0; /* refused: not known */
    identity->inode = st.stx_ino;
    identity->device = (uint32_t)makedev(st.stx_dev_major, st.stx_dev_minor);
    identity->mode = st.stx_mode & S_IFMT;
    return 0;
}

static int identity_check(const struct file_identity *identity, int fd)
{
    struct file_identity now;
    if (!identity->inode)
        return 0;
    int err = conc__identity_note(&now, fd);
    bool same = now.inode == identity->inode && now.device == identity->device &&
                now.mode == identity->mode;
    return err || !same ? -EBADF : 0;
}

int conc__identity_copy(int fd, mode_t mode)
{
    return S_ISSOCK(mode) || S_ISFIFO(mode) ? fcntl(fd, F_DUPFD_CLOEXEC, IDENTITY_FD_MIN) : -1;
}

ssize_t conc__identity_perform_copy(struct op *op, int copy)
{
    int number = op->fd;
    if (copy >= 0)
        op->fd = copy;
    ssize_t result = conc__perform_when_ready(op);
    op->fd = number;
    return result;
}

ssize_t conc__identity_perform(const struct file_identity *identity, struct op *op)
{
    int copy = conc__identity_copy(op->fd, identity->mode);
    ssize_t result = identity_check(identity, copy < 0 ? op->fd : copy);
    if (!result)
        result = conc__identity_perform_copy(op, copy);
    else if (op->moved)
        result = op->moved;
    if (copy >= 0)
        close(copy);
    return result;
}
