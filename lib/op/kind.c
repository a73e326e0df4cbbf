/* SPDX-License-Identifier: MIT
 *
 * kind.c: how each kind of descriptor is read, written, waited for and opened, by each carrier.
 *
 * No system call in a loop's thread may wait, whatever the descriptor, and whatever other processes
 * do meanwhile to the open file that they share with it. So a way is chosen by what the kernel
 * promises for the kind, and not by what an attempt returned:
 *
 * - Sockets, pipes: calls have a flag with which they do not wait (MSG_DONTWAIT, RWF_NOWAIT), and
 *   io_uring has entries that wait in the kernel.
 * - Files: poll(2) calls them always ready, and reading them takes as long as the disk takes. At an
 *   offset io_uring does it. At the file's own position a thread does it by read(2) and write(2),
 *   because those keep simultaneous ones apart, and io_uring does not. (That lock is also why no
 *   attempt is made in the loop's thread: another process may hold it.)
 * - Slow files: what answers is a program (FUSE), a machine (NFS), or a part of the kernel that may
 *   wait for an event (/proc/kmsg). Even fstat(2), poll(2) and statfs(2) may wait there. All is for
 *   a thread.
 * - Devices: poll(2) says when they are ready, but some know no flag against waiting, and then the
 *   call may wait all the same: a terminal that has room for one byte is ready, and somebody else
 *   may take what was there. So a thread makes it, when the descriptor is ready.
 * - Opening: a FIFO waits for its other end, a terminal for its line, a file for its server.
 *
 * Asking: statx(2) with AT_STATX_DONT_SYNC, which the kernel answers from what it has in memory.
 * It tells of what mount a file is, but not of what file system. So the file systems of mounts are
 * kept in a table, which threads fill in; a file of a mount that is not in the table is a slow one
 * until then. Mounts have an id that is never used again since Linux 6.8. On older kernels one that
 * is unmounted may leave id and device number to another, which is taken for the first then.
 *
 * The table: `word` is the guard of the rest, which is overwritten in turn.
 */
#include "op/kind.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <poll.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/guard.h"

/* Linux 6.8, and not yet in the C library's headers. */
#ifndef STATX_MNT_ID_UNIQUE
#define STATX_MNT_ID_UNIQUE 0x4000u
#endif

/* ---- The table of ways ---- */

struct ways {
    uint8_t by[BY_CALLER + 1]; /* enum op_way, by enum op_carrier */
};

#define WAYS(uring, epoll, caller)                       \
    {                                                    \
        .by = { WAY_##uring, WAY_##epoll, WAY_##caller } \
    }

static const struct ways ways_unasked[OP_CODES] = {
    [OP_RECV] = WAYS(ENTRY, READY, READY),    [OP_SEND] = WAYS(ENTRY, READY, READY),
    [OP_RECVMSG] = WAYS(ENTRY, READY, READY), [OP_SENDMSG] = WAYS(ENTRY, READY, READY),
    [OP_ACCEPT] = WAYS(ENTRY, READY, READY),  [OP_CONNECT] = WAYS(ENTRY, READY, READY),
    [OP_OPEN] = WAYS(WAITS, WAITS, WAITS),    [OP_STAT] = WAYS(WAITS, WAITS, CALL),
    [OP_CALL] = WAYS(WAITS, WAITS, CALL),
};

static const struct ways ways_socket[OP_CODES] = {
    /* A READ of nothing; all others and a WRITE become RECV and SEND. */
    [OP_POLL] = WAYS(ENTRY, READY, READY), [OP_READ] = WAYS(CALL, CALL, CALL),
    [OP_PREAD] = WAYS(CALL, CALL, CALL),   [OP_PWRITE] = WAYS(CALL, CALL, CALL),
    [OP_FSYNC] = WAYS(CALL, CALL, CALL),
};

static const struct ways ways_pipe[OP_CODES] = {
    [OP_POLL] = WAYS(ENTRY, READY, READY),  [OP_READ] = WAYS(ENTRY, READY, READY),
    [OP_WRITE] = WAYS(ENTRY, READY, READY), [OP_PREAD] = WAYS(CALL, CALL, CALL),
    [OP_PWRITE] = WAYS(CALL, CALL, CALL),   [OP_FSYNC] = WAYS(CALL, CALL, CALL),
};

static const struct ways ways_file[OP_CODES] = {
    [OP_POLL] = WAYS(CALL, CALL, CALL),     [OP_READ] = WAYS(FILES, FILES, CALL),
    [OP_WRITE] = WAYS(FILES, FILES, CALL),  [OP_PREAD] = WAYS(ENTRY, FILES, CALL),
    [OP_PWRITE] = WAYS(ENTRY, FILES, CALL), [OP_FSYNC] = WAYS(ENTRY, FILES, CALL),
};

static const struct ways ways_slow_file[OP_CODES] = {
    [OP_POLL] = WAYS(WAITS, WAITS, WAITS),   [OP_READ] = WAYS(WAITS, WAITS, WAITS),
    [OP_WRITE] = WAYS(WAITS, WAITS, WAITS),  [OP_PREAD] = WAYS(WAITS, WAITS, WAITS),
    [OP_PWRITE] = WAYS(WAITS, WAITS, WAITS), [OP_FSYNC] = WAYS(WAITS, WAITS, WAITS),
};

static const struct ways ways_device[OP_CODES] = {
    [OP_POLL] = WAYS(ENTRY, READY, READY),   [OP_READ] = WAYS(READY, READY, READY),
    [OP_WRITE] = WAYS(READY, READY, READY),  [OP_PREAD] = WAYS(WAITS, WAITS, WAITS),
    [OP_PWRITE] = WAYS(WAITS, WAITS, WAITS), [OP_FSYNC] = WAYS(WAITS, WAITS, WAITS),
};

static const struct ways *const ways_of_kinds[FD_KINDS] = {
    [FD_UNASKED] = ways_unasked, [FD_SOCKET] = ways_socket,       [FD_PIPE] = ways_pipe,
    [FD_FILE] = ways_file,       [FD_SLOW_FILE] = ways_slow_file, [FD_DEVICE] = ways_device,
};

/* The events that a file always has. */
#define FILE_EVENTS (POLLIN | POLLOUT | POLLRDNORM | POLLWRNORM)

static bool op_moves_nothing(const struct op *op)
{
    return (op->code == OP_READ || op->code == OP_WRITE) && op->size == 0;
}

enum op_way conc__op_way(const struct op *op, enum op_carrier carrier)
{
    if (op_moves_nothing(op) && op->kind == FD_PIPE)
        return WAY_CALL;
    if (op_moves_nothing(op) && op->kind == FD_DEVICE)
        return WAY_WAITS; /* some answer at once, others when they are ready */
    if (op->kind == FD_FILE && op->code == OP_POLL && !(op->flags & FILE_EVENTS))
        return WAY_WAITS; /* for ever, as in poll(2) */
    return ways_of_kinds[op->kind][op->code].by[carrier];
}

/* ---- The file systems of mounts ---- */

enum { MOUNTS = 64 };

struct mount {
    uint64_t id; /* with `device`: of no mount if both are 0 */
    uint32_t device_major, device_minor;
    bool is_local;
};

static struct mounts {
    uint32_t word;
    uint32_t next; /* to be overwritten */
    struct mount known[MOUNTS];
} mounts;

static struct mount mount_of(const struct statx *st)
{
    const bool has_id = st->stx_mask & (STATX_MNT_ID | STATX_MNT_ID_UNIQUE);
    return (struct mount){.id = has_id ? st->stx_mnt_id : 0,
                          .device_major = st->stx_dev_major,
                          .device_minor = st->stx_dev_minor};
}

/* Under the guard. NULL: it is not known. */
static struct mount *mounts_find(const struct mount *m)
{
    for (struct mount *known = mounts.known; known < mounts.known + MOUNTS; known++)
        if (known->id == m->id && known->device_major == m->device_major &&
            known->device_minor == m->device_minor)
            return known;
    return NULL;
}

static bool mounts_has_local(struct mount m)
{
    guard_lock(&mounts.word);
    const struct mount *known = mounts_find(&m);
    bool is_local = known && known->is_local;
    guard_unlock(&mounts.word);
    return is_local;
}

static bool mounts_has(struct mount m)
{
    guard_lock(&mounts.word);
    bool known = mounts_find(&m);
    guard_unlock(&mounts.word);
    return known;
}

static void mounts_add(struct mount m)
{
    guard_lock(&mounts.word);
    if (!mounts_find(&m))
        mounts.known[mounts.next++ % MOUNTS] = m;
    guard_unlock(&mounts.word);
}

/* File systems that nobody has to answer for. Those that <linux/magic.h> does not name have their
 * numbers from the kernel's sources. */
static bool magic_is_local(unsigned long magic)
{
    static const unsigned long local[] = {
        EXT4_SUPER_MAGIC,
        XFS_SUPER_MAGIC,
        BTRFS_SUPER_MAGIC,
        TMPFS_MAGIC,
        RAMFS_MAGIC,
        HUGETLBFS_MAGIC,
        OVERLAYFS_SUPER_MAGIC,
        F2FS_SUPER_MAGIC,
        SQUASHFS_MAGIC,
        ISOFS_SUPER_MAGIC,
        MSDOS_SUPER_MAGIC,
        UDF_SUPER_MAGIC,
        NILFS_SUPER_MAGIC,
        REISERFS_SUPER_MAGIC,
        MINIX_SUPER_MAGIC,
        0xe0f5e1e2 /* erofs */,
        0x2011bab0 /* exfat */,
        0x2fc12fc1 /* zfs */,
        0xca451a4e /* bcachefs */,
        0x7366746e /* ntfs3 */,
        0x3153464a /* jfs */,
    };
    for (size_t i = 0; i < sizeof local / sizeof *local; i++)
        if (local[i] == magic)
            return true;
    return false;
}

/* ---- Asking ---- */

/* Where statx(2) is refused, as old sandboxes do. */
static int fd_ask_by_fstat(int fd, struct statx *ret)
{
    struct stat st;
    if (fstat(fd, &st) < 0)
        return -errno;
    *ret = (struct statx){.stx_mode = (uint16_t)st.st_mode,
                          .stx_dev_major = major(st.st_dev),
                          .stx_dev_minor = minor(st.st_dev)};
    return 0;
}

static int fd_ask(int fd, struct statx *ret)
{
    const unsigned mask = STATX_TYPE | STATX_MNT_ID | STATX_MNT_ID_UNIQUE;
    if (statx(fd, "", AT_EMPTY_PATH | AT_STATX_DONT_SYNC, mask, ret) == 0)
        return 0;
    return errno == EBADF ? -EBADF : fd_ask_by_fstat(fd, ret);
}

static enum fd_kind fd_kind_of(const struct statx *st)
{
    switch (st->stx_mode & S_IFMT) {
    case S_IFSOCK:
        return FD_SOCKET;
    case S_IFIFO:
        return FD_PIPE;
    case S_IFBLK:
        return FD_FILE;
    case S_IFREG:
    case S_IFDIR:
        return mounts_has_local(mount_of(st)) ? FD_FILE : FD_SLOW_FILE;
    default:
        return FD_DEVICE;
    }
}

static bool op_depends_on_kind(const struct op *op)
{
    switch (op->code) {
    case OP_POLL:
    case OP_READ:
    case OP_WRITE:
    case OP_PREAD:
    case OP_PWRITE:
    case OP_FSYNC:
        return true;
    default:
        return false;
    }
}

/* read(2) of nothing is nothing, at once. recv(2) would wait. */
static void op_become_socket_call(struct op *op)
{
    if (op->code == OP_WRITE)
        op->code = OP_SEND;
    else if (op->code == OP_READ && op->size)
        op->code = OP_RECV;
    if (op->code == OP_SEND || op->code == OP_RECV) {
        op->kind = FD_UNASKED;
        op->flags = 0;
    }
}

int conc__op_ask(struct op *op)
{
    struct statx st;
    op->by_thread = false;
    op->kind = FD_UNASKED;
    if (!op_depends_on_kind(op))
        return 0;
    if (op->fd < 0)
        return -EBADF;
    int err = fd_ask(op->fd, &st);
    if (err)
        return err;
    op->kind = fd_kind_of(&st);
    if (op->kind == FD_SOCKET)
        op_become_socket_call(op);
    return 0;
}

void conc__kind_learn(int fd)
{
    struct statx st;
    struct statfs fs;
    if (fd_ask(fd, &st) || !(S_ISREG(st.stx_mode) || S_ISDIR(st.stx_mode)))
        return;
    struct mount m = mount_of(&st);
    if (mounts_has(m) || fstatfs(fd, &fs) != 0)
        return;
    m.is_local = magic_is_local((unsigned long)fs.f_type);
    mounts_add(m);
}
