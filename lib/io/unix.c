/* SPDX-License-Identifier: MIT
 *
 * unix.c: connecting to a Unix socket, and listening on one.
 *
 * An abstract name is written "@name", as in ss(8) and systemd: in the address a zero byte takes
 * the place of the '@', and the size of the address tells where the name ends.
 *
 * A file that a killed process has left keeps nobody from listening: it is removed if it is a
 * socket's, and a connection to it is refused. If two processes do that at once, one of them may
 * remove what the other has just made.
 */
#include <conc/net.h>

#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/fd.h"

/* Fill in *addr. Returns its size; -EINVAL, -ENAMETOOLONG. */
static int unix_address(const char *path, struct sockaddr_un *addr)
{
    if (!path || !*path || !strcmp(path, "@"))
        return -EINVAL;
    size_t n = strlen(path);
    if (n >= sizeof addr->sun_path)
        return -ENAMETOOLONG;
    *addr = (struct sockaddr_un){.sun_family = AF_UNIX};
    memcpy(addr->sun_path, path, n);
    bool is_abstract = path[0] == '@';
    if (is_abstract)
        addr->sun_path[0] = '\0';
    return (int)(offsetof(struct sockaddr_un, sun_path) + n + !is_abstract);
}

static int unix_raise(int err, const char *what, const char *path)
{
    if (err == -ECANCELED)
        return err;
    return conc_raise(err, "cannot %s %s: %s", what, path ? path : "no path", conc_strerror(err));
}

int conc_unix_connect(const char *path, conc_deadline deadline)
{
    struct sockaddr_un addr;
    int size = unix_address(path, &addr);
    if (size < 0)
        return unix_raise(size, "connect to", path);
    int fd = conc_socket(AF_UNIX, SOCK_STREAM, 0);
    if (fd < 0)
        return unix_raise(fd, "connect to", path);
    int err = conc_connect(fd, (struct sockaddr *)&addr, (socklen_t)size, deadline);
    if (!err)
        return fd;
    conc_close(fd);
    return unix_raise(err, "connect to", path);
}

/* Is there a socket's file that nobody listens on, as a process leaves when it is killed? */
static bool unix_is_left_behind(const struct sockaddr_un *addr, socklen_t size)
{
    struct stat st;
    if (!addr->sun_path[0] || lstat(addr->sun_path, &st) != 0 || !S_ISSOCK(st.st_mode))
        return false;
    int fd = conc__fd_own(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    bool refused =
        fd >= 0 && connect(fd, (const struct sockaddr *)addr, size) != 0 && errno == ECONNREFUSED;
    if (fd >= 0)
        close(fd);
    return refused;
}

static int unix_bind(int fd, const struct sockaddr_un *addr, socklen_t size)
{
    int err = conc_bind(fd, (const struct sockaddr *)addr, size);
    if (err != -EADDRINUSE || !unix_is_left_behind(addr, size) || unlink(addr->sun_path) != 0)
        return err;
    return conc_bind(fd, (const struct sockaddr *)addr, size);
}

int conc_unix_listen(const char *path, int backlog)
{
    struct sockaddr_un addr;
    int size = unix_address(path, &addr);
    if (size >= 0 && backlog < 0)
        size = -EINVAL; /* conc_listen() would say so too, but after there is a file */
    if (size < 0)
        return unix_raise(size, "listen on", path);
    int fd = conc_socket(AF_UNIX, SOCK_STREAM, 0);
    if (fd < 0)
        return unix_raise(fd, "listen on", path);
    int err = unix_bind(fd, &addr, (socklen_t)size);
    if (err)
        goto close_fd;
    err = conc_listen(fd, backlog);
    if (err)
        goto close_fd;
    return fd;

close_fd:
    conc_close(fd);
    return unix_raise(err, "listen on", path);
}
