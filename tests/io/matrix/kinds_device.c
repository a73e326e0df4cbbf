/* SPDX-License-Identifier: MIT
 *
 * kinds_device.c: devices without an end, and the kernel's descriptors for events.
 */
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include "kinds.h"
#include "support.h"

/* ---- Devices ---- */

static struct setup device_prepare(struct rig *r)
{
    snprintf(r->path, sizeof r->path, "%s", (const char *)r->kind->of);
    if (r->state == IS_WAITING)
        return NO_SUCH("it never waits");
    if (r->state == IS_ENDED || r->state == IS_BROKEN)
        return NO_SUCH("it is always the same");
    bool reads = (r->side == TO_READ) != (r->state == IS_WRONG_WAY);
    r->fd = open(r->path, (reads ? O_RDONLY : O_WRONLY) | O_CLOEXEC);
    return r->fd >= 0 ? PREPARED : NOT_TRIED("there is no such device here");
}

#define DEVICE(variable, file, what) \
    const struct kind variable = {   \
        .name = file, .of = file, .flags = what, .prepare = device_prepare}

DEVICE(kind_null, "/dev/null", 0);
DEVICE(kind_zero, "/dev/zero", 0);
DEVICE(kind_full, "/dev/full", 0);
DEVICE(kind_random, "/dev/urandom", DATA_VARIES);

/* ---- eventfd ---- */

static struct setup eventfd_prepare(struct rig *r)
{
    if (r->state != IS_READY && r->state != IS_WAITING)
        return NO_SUCH("it has neither an end nor a direction");
    bool reads = r->side == TO_READ;
    uint64_t full = UINT64_MAX - 1;
    r->fd = eventfd(reads && r->state == IS_READY ? r->n : 0, EFD_SEMAPHORE | EFD_CLOEXEC);
    CHECK(r->fd >= 0);
    if (!reads && r->state == IS_WAITING)
        CHECK_EQUAL(write(r->fd, &full, sizeof full), sizeof full);
    return PREPARED;
}

static void eventfd_unblock(struct rig *r)
{
    uint64_t one = 1;
    if (r->side == TO_READ)
        CHECK_EQUAL(write(r->fd, &one, sizeof one), sizeof one);
    else
        CHECK_EQUAL(read(r->fd, &one, sizeof one), sizeof one);
}

static void eventfd_compose(const struct rig *r, unsigned number, void *buf)
{
    (void)r;
    (void)number;
    memcpy(buf, &(uint64_t){1}, sizeof(uint64_t));
}

/* The count, which a read would only lower by one. */
static void eventfd_tell(struct rig *r, char *text)
{
    char path[64], line[128];
    snprintf(path, sizeof path, "/proc/self/fdinfo/%d", r->fd);
    FILE *f = fopen(path, "r");
    while (f && fgets(line, sizeof line, f))
        if (!strncmp(line, "eventfd-count:", 14))
            text_add(text, "; count %s", line + 14 + strspn(line + 14, " \t"));
    if (f)
        fclose(f);
    text[strcspn(text, "\n")] = 0;
}

const struct kind kind_eventfd = {
    .name = "eventfd",
    .record = 8,
    .prepare = eventfd_prepare,
    .unblock = eventfd_unblock,
    .tell = eventfd_tell,
    .compose = eventfd_compose,
};

/* ---- timerfd ---- */

static void timerfd_unblock(struct rig *r)
{
    const struct itimerspec soon = {.it_value.tv_nsec = 1};
    CHECK_EQUAL(timerfd_settime(r->fd, 0, &soon, NULL), 0);
}

static struct setup timerfd_prepare(struct rig *r)
{
    if (r->state != IS_READY && r->state != IS_WAITING)
        return NO_SUCH("it has neither an end nor a direction");
    r->fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC);
    CHECK(r->fd >= 0);
    if (r->state == IS_READY) {
        timerfd_unblock(r);
        CHECK(fd_becomes(r->fd, POLLIN));
    }
    return PREPARED;
}

const struct kind kind_timerfd = {
    .name = "timerfd",
    .record = 8,
    .flags = NO_TWO,
    .prepare = timerfd_prepare,
    .unblock = timerfd_unblock,
};

/* ---- signalfd ---- */

/* Each rig has a signal of its own, that all threads block. */
static void signalfd_unblock(struct rig *r) { CHECK_EQUAL(kill(getpid(), r->signo), 0); }

static struct setup signalfd_prepare(struct rig *r)
{
    static int last;
    sigset_t set;
    if (r->state != IS_READY && r->state != IS_WAITING)
        return NO_SUCH("it has neither an end nor a direction");
    r->signo = SIGRTMIN + 4 + last++ % (SIGRTMAX - SIGRTMIN - 4);
    sigemptyset(&set);
    sigaddset(&set, r->signo);
    CHECK_EQUAL(sigprocmask(SIG_BLOCK, &set, NULL), 0);
    r->fd = signalfd(-1, &set, SFD_CLOEXEC);
    CHECK(r->fd >= 0);
    for (unsigned i = 0; r->state == IS_READY && i < r->n; i++)
        signalfd_unblock(r);
    return PREPARED;
}

static void signalfd_describe(const struct rig *r, const void *buf, size_t n, char *text)
{
    const struct signalfd_siginfo *info = buf;
    bool right = n == sizeof *info && (int)info->ssi_signo == r->signo;
    text_add(text, right ? " the signal" : " no such signal");
}

const struct kind kind_signalfd = {
    .name = "signalfd",
    .record = sizeof(struct signalfd_siginfo),
    .prepare = signalfd_prepare,
    .unblock = signalfd_unblock,
    .describe = signalfd_describe,
};

/* ---- inotify ---- */

static void inotify_unblock(struct rig *r)
{
    char path[sizeof r->folder + 2];
    snprintf(path, sizeof path, "%s/%c", r->folder, 'a' + (int)r->supplied++);
    int fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
    CHECK(fd >= 0);
    close(fd);
}

static struct setup inotify_prepare(struct rig *r)
{
    if (r->state != IS_READY && r->state != IS_WAITING)
        return NO_SUCH("it has neither an end nor a direction");
    r->fd = inotify_init1(IN_CLOEXEC);
    if (r->fd < 0)
        return NOT_TRIED("no more inotify instances");
    rig_name_path(r, rig_folder());
    memcpy(r->folder, r->path, sizeof r->folder);
    r->path[0] = 0;
    CHECK_EQUAL(mkdir(r->folder, 0700), 0);
    CHECK(inotify_add_watch(r->fd, r->folder, IN_CREATE) >= 0);
    for (unsigned i = 0; r->state == IS_READY && i < r->n; i++)
        inotify_unblock(r);
    return PREPARED;
}

static void inotify_release(struct rig *r)
{
    char path[sizeof r->folder + 2];
    for (unsigned i = 0; i < r->supplied; i++) {
        snprintf(path, sizeof path, "%s/%c", r->folder, 'a' + (int)i);
        unlink(path);
    }
    if (r->folder[0])
        rmdir(r->folder);
}

const struct kind kind_inotify = {
    .name = "inotify",
    .record = sizeof(struct inotify_event) + 16,
    .prepare = inotify_prepare,
    .unblock = inotify_unblock,
    .release = inotify_release,
};

/* ---- pidfd ---- */

static void pidfd_unblock(struct rig *r) { CHECK_EQUAL(kill(r->process, SIGKILL), 0); }

static struct setup pidfd_prepare(struct rig *r)
{
    if (r->state != IS_READY && r->state != IS_WAITING)
        return NO_SUCH("it has neither an end nor a direction");
    r->process = fork();
    CHECK(r->process >= 0);
    if (r->process == 0)
        for (;;)
            pause();
    r->fd = (int)syscall(SYS_pidfd_open, r->process, 0);
    if (r->fd < 0)
        return NOT_TRIED("the kernel has no pidfd_open");
    if (r->state == IS_READY) {
        pidfd_unblock(r);
        CHECK(fd_becomes(r->fd, POLLIN));
    }
    return PREPARED;
}

const struct kind kind_pidfd = {
    .name = "pidfd",
    .flags = HAS_NO_PLACES,
    .prepare = pidfd_prepare,
    .unblock = pidfd_unblock,
};

/* ---- epoll ---- */

static void epoll_unblock(struct rig *r) { rig_supply(r, r->more[1]); }

static struct setup epoll_prepare(struct rig *r)
{
    if (r->state != IS_READY && r->state != IS_WAITING)
        return NO_SUCH("it has neither an end nor a direction");
    r->fd = epoll_create1(EPOLL_CLOEXEC);
    CHECK_EQUAL(pipe2(r->more, O_CLOEXEC), 0);
    CHECK_EQUAL(
        epoll_ctl(r->fd, EPOLL_CTL_ADD, r->more[0], &(struct epoll_event){.events = EPOLLIN}), 0);
    if (r->state == IS_READY)
        epoll_unblock(r);
    return PREPARED;
}

const struct kind kind_epoll = {
    .name = "epoll",
    .prepare = epoll_prepare,
    .unblock = epoll_unblock,
};
