/* SPDX-License-Identifier: MIT
 *
 * file.c: files, pipes and other descriptors.
 *
 * How: each call describes what it wants in a struct op on its stack, and conc__op_run() carries it
 * out, for every kind of context and with every backend. What no backend knows (unlink, rename ...)
 * is an OP_CALL with its arguments in a struct on the stack. Both may lie there because an op is
 * always awaited: when conc__op_run() returns, nothing uses them any more.
 */
#include <conc/io.h>

#include <stdio.h>
#include <unistd.h>

#include "base/quiet.h"
#include "io/transfer.h"
#include "op/closing.h"
#include "wait/context.h"

/* OP_FSYNC's flags, in which any value but 0 means fdatasync. */
enum { FILE_DATA_ONLY = 1 };

/* ---- Any descriptor ---- */

ssize_t conc_read(int fd, void *buf, size_t n, conc_deadline deadline)
{
    if (transfer_is_missing(buf, n))
        return -EINVAL;
    struct op op = {.code = OP_READ, .fd = fd, .buf = buf, .size = transfer_bounded(n)};
    return conc__op_run(&op, "read", deadline);
}

ssize_t conc_write(int fd, const void *buf, size_t n, conc_deadline deadline)
{
    if (transfer_is_missing(buf, n))
        return -EINVAL;
    struct op op = {
        .code = OP_WRITE, .fd = fd, .buf = transfer_unconst(buf), .size = transfer_bounded(n)};
    return conc__op_run(&op, "write", deadline);
}

int conc_write_all(int fd, const void *buf, size_t n, conc_deadline deadline)
{
    if (transfer_is_missing(buf, n))
        return -EINVAL;
    const char *from = buf;
    while (n > 0) {
        ssize_t written = conc_write(fd, from, n, deadline);
        if (written < 0)
            return (int)written;
        if (written == 0)
            return -EIO; /* otherwise the loop would never end */
        from += written;
        n -= (size_t)written;
    }
    return 0;
}

int conc_close(int fd)
{
    int err = conc__fd_close(fd);
    if (err)
        message_forget(context_self(), err);
    return err;
}

int conc_poll_fd(int fd, short events, conc_deadline deadline)
{
    struct op op = {.code = OP_POLL, .fd = fd, .flags = events};
    return (int)conc__op_run(&op, "poll", deadline);
}

/* ---- Files ---- */

int conc_open(const char *path, int flags, mode_t mode, conc_deadline deadline)
{
    if (!path)
        return -EINVAL;
    struct op op = {.code = OP_OPEN, .path = path, .flags = flags | O_CLOEXEC, .mode = mode};
    return (int)conc__op_run(&op, "open", deadline);
}

ssize_t conc_pread(int fd, void *buf, size_t n, off_t at, conc_deadline deadline)
{
    if (transfer_is_missing(buf, n) || at < 0)
        return -EINVAL;
    struct op op = {
        .code = OP_PREAD, .fd = fd, .buf = buf, .size = transfer_bounded(n), .offset = at};
    return conc__op_run(&op, "pread", deadline);
}

ssize_t conc_pwrite(int fd, const void *buf, size_t n, off_t at, conc_deadline deadline)
{
    if (transfer_is_missing(buf, n) || at < 0)
        return -EINVAL;
    struct op op = {.code = OP_PWRITE,
                    .fd = fd,
                    .buf = transfer_unconst(buf),
                    .size = transfer_bounded(n),
                    .offset = at};
    return conc__op_run(&op, "pwrite", deadline);
}

int conc_fsync(int fd, conc_deadline deadline)
{
    struct op op = {.code = OP_FSYNC, .fd = fd};
    return (int)conc__op_run(&op, "fsync", deadline);
}

int conc_fdatasync(int fd, conc_deadline deadline)
{
    struct op op = {.code = OP_FSYNC, .fd = fd, .flags = FILE_DATA_ONLY};
    return (int)conc__op_run(&op, "fdatasync", deadline);
}

static int file_get_stat(int fd, const char *path, int flags, struct stat *ret,
                         conc_deadline deadline)
{
    if (!path || !ret)
        return -EINVAL;
    struct op op = {.code = OP_STAT, .fd = fd, .path = path, .flags = flags, .stat = ret};
    return (int)conc__op_run(&op, "stat", deadline);
}

int conc_stat(const char *path, struct stat *ret, conc_deadline deadline)
{
    return file_get_stat(AT_FDCWD, path, 0, ret, deadline);
}

int conc_lstat(const char *path, struct stat *ret, conc_deadline deadline)
{
    return file_get_stat(AT_FDCWD, path, AT_SYMLINK_NOFOLLOW, ret, deadline);
}

int conc_fstat(int fd, struct stat *ret, conc_deadline deadline)
{
    /* AT_FDCWD, which is below 0, would mean the current directory. */
    return fd < 0 ? -EBADF : file_get_stat(fd, "", AT_EMPTY_PATH, ret, deadline);
}

/* ---- Calls that no backend knows ---- */

/* The arguments: each call has some of them. */
struct file_call {
    const char *path, *to;
    int fd;
    mode_t mode;
    off_t size;
};

static int file_call_run(ssize_t (*call)(void *arg), struct file_call *arg, const char *what,
                         conc_deadline deadline)
{
    struct op op = {.code = OP_CALL, .call = call, .arg = arg};
    return (int)conc__op_run(&op, what, deadline);
}

static ssize_t file_call_result(int returned) { return returned == 0 ? 0 : -errno; }

static ssize_t file_call_ftruncate(void *arg)
{
    const struct file_call *c = arg;
    ssize_t result;
    do {
        result = conc__quiet_ftruncate(c->fd, c->size);
    } while (result == -EINTR);
    return result;
}

static ssize_t file_call_unlink(void *arg)
{
    const struct file_call *c = arg;
    return file_call_result(unlink(c->path));
}

static ssize_t file_call_rename(void *arg)
{
    const struct file_call *c = arg;
    return file_call_result(rename(c->path, c->to));
}

static ssize_t file_call_mkdir(void *arg)
{
    const struct file_call *c = arg;
    return file_call_result(mkdir(c->path, c->mode));
}

static ssize_t file_call_rmdir(void *arg)
{
    const struct file_call *c = arg;
    return file_call_result(rmdir(c->path));
}

int conc_ftruncate(int fd, off_t size, conc_deadline deadline)
{
    struct file_call c = {.fd = fd, .size = size};
    return file_call_run(file_call_ftruncate, &c, "ftruncate", deadline);
}

int conc_unlink(const char *path, conc_deadline deadline)
{
    struct file_call c = {.path = path};
    return path ? file_call_run(file_call_unlink, &c, "unlink", deadline) : -EINVAL;
}

int conc_rename(const char *from, const char *to, conc_deadline deadline)
{
    struct file_call c = {.path = from, .to = to};
    return from && to ? file_call_run(file_call_rename, &c, "rename", deadline) : -EINVAL;
}

int conc_mkdir(const char *path, mode_t mode, conc_deadline deadline)
{
    struct file_call c = {.path = path, .mode = mode};
    return path ? file_call_run(file_call_mkdir, &c, "mkdir", deadline) : -EINVAL;
}

int conc_rmdir(const char *path, conc_deadline deadline)
{
    struct file_call c = {.path = path};
    return path ? file_call_run(file_call_rmdir, &c, "rmdir", deadline) : -EINVAL;
}
