/* SPDX-License-Identifier: MIT
 *
 * conc/io.h: files, pipes and any other descriptor: read, write, open, close and their kind, with a
 * deadline, as cancellation points, from tasks and from threads. Sockets: conc/net.h.
 *
 * Descriptors are the system's own numbers: everything else is done with them by the system's
 * calls. Those made here are closed on exec. EINTR never reaches the caller, and writing to a pipe
 * or socket whose reader is gone is -EPIPE, never a SIGPIPE; nor is there a SIGXFSZ beyond the
 * limit of a file's size, but -EFBIG.
 *
 * When a call has returned, the caller's memory is not read or written any more, also if the call
 * was cancelled or its deadline came. -ECANCELED and -ETIMEDOUT mean that nothing was read or
 * written; a call that was served in the same moment succeeds.
 *
 * A call on what can be waited for (pipes, terminals, sockets, devices ...), and opening, are
 * interrupted at any point. A call on files and directories is not: a deadline or a cancellation
 * keeps it from beginning, but once the disk is at work the call waits for its end, while other
 * tasks run on, and the result is the call's own. So with CONC_NOW such a call is done all the
 * same. Where another program or machine answers for the file (FUSE, NFS), the call is interrupted
 * if that allows it.
 *
 * No call holds up a loop, whatever the descriptor: docs/descriptors.md tells, for each kind, how
 * it is read, written and waited for. What cannot be done without waiting is done by threads of the
 * library, which are interrupted by SIGURG: the program gets none, and if it has a handler of its
 * own, that should be one without SA_RESTART.
 *
 * The file position moves as read(2) and write(2) move it, also if tasks, threads and other
 * processes use it at once.
 *
 * Signal handlers: none of these calls may be made in one.
 */
#ifndef CONC_IO_H
#define CONC_IO_H

#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>
#include <sys/types.h>

#include <conc/base.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ---- Any descriptor ---- */

/**
 * Read what there is, up to n bytes; wait until there is something.
 *
 * @param fd   its file position moves on
 * @param buf  room for n bytes
 * @return how many bytes were read; 0: the end (or n is 0); -EAGAIN (nothing there, CONC_NOW),
 *         -ETIMEDOUT, -ECANCELED; -EBADF, also if it was closed meanwhile; -ECONNRESET, -EIO
 *         and what else read(2) tells; -EINVAL: no buf
 *
 * Python: os.read()
 * [any | yes | yes]
 */
CONC_API ssize_t conc_read(int fd, void *buf, size_t n, conc_deadline deadline);

/**
 * Write up to n bytes; wait until there is room for some.
 *
 * @param buf  n bytes; borrowed
 * @return how many bytes were written, perhaps fewer than n; -EAGAIN (no room, CONC_NOW),
 *         -ETIMEDOUT, -ECANCELED; -EPIPE: nobody reads; -EBADF, -ENOSPC and what else write(2)
 *         tells; -EINVAL: no buf
 *
 * Python: os.write()
 * [any | yes | yes]
 */
CONC_API ssize_t conc_write(int fd, const void *buf, size_t n, conc_deadline deadline);

/**
 * Write all of n bytes, by as many writes as it takes. Two contexts that do so at once may mix
 * their bytes.
 *
 * @return 0; or as conc_write(): then an unknown part was written
 *
 * Python: file.write()
 * [any | yes | yes]
 */
CONC_API int conc_write_all(int fd, const void *buf, size_t n, conc_deadline deadline);

/**
 * Close a descriptor. Operations on it that wait, in whatever thread or loop, end with -EBADF, and
 * the number becomes free after that. Another loop that is busy for longer than a second, or does
 * not run, still has the number when this call returns: then the descriptor is closed as soon as
 * that loop goes on, runs again or is freed. The same if the caller is a callback on a loop's own
 * stack, which does not wait.
 *
 * A close that takes long (of a socket that lingers, of a file on a slow disk) does not hold a
 * loop: in a task the call waits for its end, while other tasks run on, and cannot be cancelled; in
 * a callback it returns 0 at once.
 *
 * @return 0; -EBADF; -EIO, -ENOSPC, -EDQUOT: a late error of an earlier write. It is closed in any
 *         case, except after -ENOMEM: others wait for it, and there is no memory to tell them.
 *
 * Python: os.close()
 * [any | yes | no]
 */
CONC_API int conc_close(int fd);

/**
 * Wait until a descriptor is ready: for calls of other libraries that must not block.
 *
 * @param events  POLLIN, POLLOUT, POLLPRI, as of poll(2), or several
 * @return those of `events` that are there, with POLLERR, POLLHUP as the case may be: above 0;
 *         -EAGAIN (none, CONC_NOW), -ETIMEDOUT, -ECANCELED; -EBADF, also if it was closed
 *         meanwhile. What is always ready (a file) is so at once, and never POLLPRI.
 *
 * Python: select.poll(), loop.add_reader()
 * [any | yes | yes]
 */
CONC_API int conc_poll_fd(int fd, short events, conc_deadline deadline);

/* ---- Files ---- */

/**
 * Open a file.
 *
 * @param path   borrowed
 * @param flags  O_RDONLY, O_CREAT ..., as of open(2); O_CLOEXEC is added
 * @param mode   of a file that is created, before the umask; else of no effect
 * @return a descriptor, for conc_close(); -EINVAL: no path; -ETIMEDOUT, -ECANCELED; -ENOENT,
 *         -EACCES, -EMFILE and what else open(2) tells
 *
 * Python: open(), os.open()
 * [any | yes | yes]
 */
CONC_API CONC_MUST_CHECK int conc_open(const char *path, int flags, mode_t mode,
                                       conc_deadline deadline);

/**
 * conc_read() at a place in the file. The file's position stays.
 *
 * @param at  bytes from the beginning
 * @return as conc_read(); -ESPIPE: it has no places
 *
 * Python: os.pread()
 * [any | yes | yes]
 */
CONC_API ssize_t conc_pread(int fd, void *buf, size_t n, off_t at, conc_deadline deadline);

/**
 * conc_write() at a place in the file. The file's position stays.
 *
 * @param at  bytes from the beginning
 * @return as conc_write(); -ESPIPE: it has no places
 *
 * Python: os.pwrite()
 * [any | yes | yes]
 */
CONC_API ssize_t conc_pwrite(int fd, const void *buf, size_t n, off_t at, conc_deadline deadline);

/**
 * Wait until what was written to the file is on the disk.
 *
 * @return 0; -ETIMEDOUT, -ECANCELED; -EIO, -ENOSPC: it is not; -EINVAL: not a thing that can be
 *         synchronised; -EBADF
 *
 * Python: os.fsync()
 * [any | yes | yes]
 */
CONC_API int conc_fsync(int fd, conc_deadline deadline);

/**
 * conc_fsync() without what is not needed to read the data again, as the time of the last change.
 * @return the same.
 *
 * Python: os.fdatasync()
 * [any | yes | yes]
 */
CONC_API int conc_fdatasync(int fd, conc_deadline deadline);

/**
 * Make the file `size` bytes long: cut it, or add zeros.
 *
 * @return 0; -ETIMEDOUT, -ECANCELED; -EINVAL: a size below 0, or not a file open for writing;
 *         -EFBIG, -EBADF
 *
 * Python: os.ftruncate()
 * [any | yes | yes]
 */
CONC_API int conc_ftruncate(int fd, off_t size, conc_deadline deadline);

/**
 * What the system knows of a file: its kind, size, owner, times.
 *
 * @param path  borrowed; a symbolic link is followed
 * @param ret   filled in; untouched on failure
 * @return 0; -EINVAL: no path, no ret; -ETIMEDOUT, -ECANCELED; -ENOENT, -EACCES and what else
 *         stat(2) tells
 *
 * Python: os.stat()
 * [any | yes | yes]
 */
CONC_API int conc_stat(const char *path, struct stat *ret, conc_deadline deadline);

/**
 * conc_stat() of a symbolic link itself.
 *
 * @return the same.
 *
 * Python: os.lstat()
 * [any | yes | yes]
 */
CONC_API int conc_lstat(const char *path, struct stat *ret, conc_deadline deadline);

/**
 * conc_stat() of an open file.
 *
 * @return the same; -EBADF.
 *
 * Python: os.fstat()
 * [any | yes | yes]
 */
CONC_API int conc_fstat(int fd, struct stat *ret, conc_deadline deadline);

/**
 * Remove a file's name; and the file, if that was its last name and it is not open anywhere.
 *
 * @return 0; -EINVAL: no path; -ETIMEDOUT, -ECANCELED; -ENOENT, -EISDIR and what else unlink(2)
 *         tells
 *
 * Python: os.unlink()
 * [any | yes | yes]
 */
CONC_API int conc_unlink(const char *path, conc_deadline deadline);

/**
 * Give a file another name, in one step; a file that has that name already is replaced.
 *
 * @return 0; -EINVAL: no from, no to; -ETIMEDOUT, -ECANCELED; -ENOENT, -EXDEV and what else
 *         rename(2) tells
 *
 * Python: os.replace()
 * [any | yes | yes]
 */
CONC_API int conc_rename(const char *from, const char *to, conc_deadline deadline);

/**
 * Make a directory.
 *
 * @param mode  its permissions, before the umask
 * @return 0; -EINVAL: no path; -ETIMEDOUT, -ECANCELED; -EEXIST and what else mkdir(2) tells
 *
 * Python: os.mkdir()
 * [any | yes | yes]
 */
CONC_API int conc_mkdir(const char *path, mode_t mode, conc_deadline deadline);

/**
 * Remove an empty directory.
 *
 * @return 0; -EINVAL: no path; -ETIMEDOUT, -ECANCELED; -ENOTEMPTY and what else rmdir(2) tells
 *
 * Python: os.rmdir()
 * [any | yes | yes]
 */
CONC_API int conc_rmdir(const char *path, conc_deadline deadline);

#ifdef __cplusplus
}
#endif
#endif
