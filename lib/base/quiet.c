/* SPDX-License-Identifier: MIT
 *
 * quiet.c: writing without signals.
 *
 * How: the signals are blocked in the calling thread around the call, and taken out if the call has
 * raised one: the kernel sends them to the thread that writes, while it writes. So no action of the
 * program's changes, and its own writes do what they always did. A signal that was pending before
 * is left alone.
 */
#include "base/quiet.h"

#include <errno.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

enum { REPORT_BYTES_MAX = 512 };

static sigset_t quiet_signals(void)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGPIPE);
    sigaddset(&set, SIGXFSZ);
    return set;
}

void conc__quiet_begin(struct quiet *quiet)
{
    const sigset_t set = quiet_signals();
    pthread_sigmask(SIG_BLOCK, &set, &quiet->before);
    sigemptyset(&quiet->pending);
    /* Only what was blocked before can be pending. */
    if (sigismember(&quiet->before, SIGPIPE) || sigismember(&quiet->before, SIGXFSZ))
        sigpending(&quiet->pending);
}

void conc__quiet_end(const struct quiet *quiet, bool failed)
{
    const struct timespec at_once = {0};
    sigset_t set = quiet_signals();
    if (sigismember(&quiet->pending, SIGPIPE))
        sigdelset(&set, SIGPIPE);
    if (sigismember(&quiet->pending, SIGXFSZ))
        sigdelset(&set, SIGXFSZ);
    while (failed && sigtimedwait(&set, NULL, &at_once) > 0)
        continue;
    pthread_sigmask(SIG_SETMASK, &quiet->before, NULL);
}

bool conc__file_size_is_limited(void)
{
    struct rlimit limit;
    return getrlimit(RLIMIT_FSIZE, &limit) != 0 || limit.rlim_cur != RLIM_INFINITY;
}

int conc__quiet_ftruncate(int fd, off_t size)
{
    struct quiet quiet;
    conc__quiet_begin(&quiet);
    int err = ftruncate(fd, size) ? -errno : 0;
    conc__quiet_end(&quiet, err == -EFBIG);
    return err;
}

ssize_t conc__quiet_pwrite(int fd, const void *buf, size_t n, off_t at)
{
    struct quiet quiet;
    conc__quiet_begin(&quiet);
    ssize_t result = pwrite(fd, buf, n, at);
    if (result < 0)
        result = -errno;
    conc__quiet_end(&quiet, result == -EFBIG);
    return result;
}

void conc__report(const char *format, ...)
{
    char line[REPORT_BYTES_MAX];
    struct quiet quiet;
    va_list ap;
    va_start(ap, format);
    int n = vsnprintf(line, sizeof line, format, ap);
    va_end(ap);
    if (n <= 0)
        return;
    size_t size = (size_t)n < sizeof line ? (size_t)n : sizeof line - 1;
    conc__quiet_begin(&quiet);
    conc__quiet_end(&quiet, write(STDERR_FILENO, line, size) < (ssize_t)size);
}
