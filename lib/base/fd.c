/* SPDX-License-Identifier: MIT
 *
 * fd.c: see fd.h.
 */
#include "base/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

int conc__fd_own(int fd)
{
    if (fd < 0)
        return -errno;
    if (fd >= FD_OWN_MIN)
        return fd;
    int own = fcntl(fd, F_DUPFD_CLOEXEC, FD_OWN_MIN);
    int err = errno == EINVAL ? -EMFILE : -errno; /* EINVAL: the limit is that low */
    close(fd);
    return own < 0 ? err : own;
}

int conc__fd_own_pair(int fds[2])
{
    fds[0] = conc__fd_own(fds[0]);
    fds[1] = conc__fd_own(fds[1]);
    if (fds[0] >= 0 && fds[1] >= 0)
        return 0;
    int err = fds[0] < 0 ? fds[0] : fds[1];
    for (int i = 0; i < 2; i++)
        if (fds[i] >= 0)
            close(fds[i]);
    return err;
}
