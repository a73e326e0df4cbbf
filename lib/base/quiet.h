/* SPDX-License-Identifier: MIT
 *
 * quiet.h: writing without the signals that a failure would raise: SIGPIPE if nobody reads, SIGXFSZ
 * beyond the limit of a file's size (RLIMIT_FSIZE). By default each ends the program. See quiet.c.
 */
#ifndef CONC_LIB_QUIET_H
#define CONC_LIB_QUIET_H

#include <signal.h>
#include <stdbool.h>
#include <sys/types.h>

struct quiet {
    sigset_t before;  /* the thread's mask */
    sigset_t pending; /* what had come before, and is not ours */
};

/* Hold the two signals back in the calling thread, and let them go again; failed: the calls between
 * may have raised one, which is taken out. */
void conc__quiet_begin(struct quiet *quiet);
void conc__quiet_end(const struct quiet *quiet, bool failed);

/* Is there a limit of a file's size? Where there is none a write raises no SIGXFSZ. */
bool conc__file_size_is_limited(void);

/* 0, or a negative error: -EFBIG beyond the limit. */
int conc__quiet_ftruncate(int fd, off_t size);

/* As pwrite(2), but a negative error. */
ssize_t conc__quiet_pwrite(int fd, const void *buf, size_t n, off_t at);

/* Print a line of the library's own on stderr, cut at 512 bytes. It may be lost: there is no other
 * place to report that. */
void conc__report(const char *format, ...) __attribute__((format(printf, 1, 2)));

#endif
