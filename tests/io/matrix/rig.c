/* SPDX-License-Identifier: MIT
 *
 * rig.c: what all kinds need to prepare a descriptor in a state, and to see what came of it.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "matrix.h"
#include "support.h"

enum { NO_DESCRIPTOR = 1 << 20, FILLER = '.' };

/* ---- Texts ---- */

void text_add(char *text, const char *format, ...)
{
    size_t length = strlen(text);
    va_list args;
    va_start(args, format);
    vsnprintf(text + length, TEXT_MOST - length, format, args);
    va_end(args);
}

/* How often each byte is there, whatever their order; the filler counts for nothing. */
void text_add_counts(char *text, const unsigned counts[256])
{
    for (unsigned i = 0; i < 256; i++)
        if (counts[i] && i != FILLER && i > ' ' && i < 127)
            text_add(text, " %c:%u", (int)i, counts[i]);
        else if (counts[i] && i != FILLER)
            text_add(text, " %02x:%u", i, counts[i]);
}

static void bytes_count(unsigned counts[256], const void *buf, size_t n)
{
    for (size_t i = 0; i < n; i++)
        counts[((const unsigned char *)buf)[i]]++;
}

/* ---- Descriptors ---- */

bool fd_is(int fd, short events)
{
    struct pollfd p = {.fd = fd, .events = events};
    return poll(&p, 1, 0) == 1;
}

bool fd_becomes(int fd, short events)
{
    struct pollfd p = {.fd = fd, .events = events};
    return poll(&p, 1, 5000) == 1;
}

void set_blocking(int fd, bool blocking)
{
    int flags = fcntl(fd, F_GETFL);
    CHECK(flags >= 0);
    CHECK_EQUAL(fcntl(fd, F_SETFL, blocking ? flags & ~O_NONBLOCK : flags | O_NONBLOCK), 0);
}

static void descriptor_close(int *fd)
{
    if (*fd >= 0 && *fd != NO_DESCRIPTOR)
        close(*fd);
    *fd = -1;
}

/* Until nothing more goes in, also after what is on its way has arrived. */
void rig_fill(int fd)
{
    char filler[512];
    memset(filler, FILLER, sizeof filler);
    set_blocking(fd, false);
    for (int full = 0; full < 3;) {
        ssize_t n = write(fd, filler, sizeof filler);
        if (n < 0)
            n = write(fd, filler, 1);
        full = n < 0 ? full + 1 : 0;
        if (n < 0 && fd_is(fd, POLLOUT))
            break; /* a Unix socket whose peer is full */
        if (full)
            nanosleep(&(struct timespec){.tv_nsec = 500000}, NULL);
    }
    set_blocking(fd, true);
}

/* What was on its way when it was full has arrived meanwhile, and has left room. */
void rig_fill_again(struct rig *r)
{
    static bool waited;
    if (r->state != IS_WAITING || r->side != TO_WRITE || r->opens)
        return;
    if (!waited)
        nanosleep(&(struct timespec){.tv_nsec = 60000000}, NULL);
    waited = true;
    rig_fill(r->fd);
}

/* ---- Records ---- */

void rig_compose(const struct rig *r, unsigned number, void *buf)
{
    if (r->kind->compose)
        r->kind->compose(r, number, buf);
    else
        memset(buf, 'A' + (int)number, record_of(r->kind));
}

void rig_supply(struct rig *r, int to)
{
    char record[RECORD_MOST];
    memset(record, 'a' + (int)r->supplied++, record_of(r->kind));
    CHECK_EQUAL(write(to, record, record_of(r->kind)), record_of(r->kind));
}

void rig_drain(struct rig *r, int from)
{
    char buf[4096];
    ssize_t n;
    while ((n = read(from, buf, sizeof buf)) > 0)
        bytes_count(r->arrived, buf, (size_t)n);
}

void rig_make_room(struct rig *r)
{
    for (int64_t end = real_now() + CONC_S(10); real_now() < end;) {
        rig_drain(r, r->peer);
        if (fd_is(r->fd, POLLOUT))
            break;
    }
}

void rig_describe(const struct rig *r, const void *buf, size_t n, char *text)
{
    unsigned counts[256] = {0};
    if (r->kind->flags & DATA_VARIES)
        return;
    if (r->kind->describe) {
        r->kind->describe(r, buf, n, text);
        return;
    }
    bytes_count(counts, buf, n);
    text_add_counts(text, counts);
}

void rig_tell_left(struct rig *r, char *text)
{
    unsigned counts[256] = {0};
    char buf[8 * RECORD_MOST];
    set_blocking(r->fd, false);
    ssize_t n = read(r->fd, buf, sizeof buf);
    if (n > 0)
        bytes_count(counts, buf, (size_t)n);
    text_add(text, "; left:");
    text_add_counts(text, counts);
}

void rig_tell_arrived(struct rig *r, char *text)
{
    do {
        rig_drain(r, r->peer);
    } while (r->kind->flags & ARRIVES_LATER &&
             poll(&(struct pollfd){.fd = r->peer, .events = POLLIN}, 1, 10) == 1 &&
             !fd_is(r->peer, POLLRDHUP) && !fd_is(r->peer, 0));
    text_add(text, "; arrived:");
    text_add_counts(text, r->arrived);
}

void rig_tell_position(struct rig *r, char *text)
{
    off_t at = lseek(r->fd, 0, SEEK_CUR);
    if (at >= 0)
        text_add(text, "; position %lld", (long long)at);
}

/* ---- Folders ---- */

static char folder[] = "/tmp/conc-matrix-XXXXXX";
static bool folder_is_made;

const char *rig_folder(void)
{
    if (!folder_is_made)
        CHECK(mkdtemp(folder));
    folder_is_made = true;
    return folder;
}

void rig_folder_remove(void)
{
    if (!folder_is_made)
        return;
    DIR *d = opendir(folder);
    for (struct dirent *e; d && (e = readdir(d));)
        if (unlinkat(dirfd(d), e->d_name, 0) < 0)
            unlinkat(dirfd(d), e->d_name, AT_REMOVEDIR);
    if (d)
        closedir(d);
    rmdir(folder);
}

void rig_name_path(struct rig *r, const char *in)
{
    static atomic_uint last;
    snprintf(r->path, sizeof r->path, "%s/%d-%u", in, (int)getpid(), ++last);
}

/* ---- Rigs ---- */

static struct setup rig_prepare_closed(struct rig *r)
{
    if (r->opens) {
        snprintf(r->path, sizeof r->path, "%s/missing", rig_folder());
        return PREPARED;
    }
    r->fd = NO_DESCRIPTOR;
    return PREPARED;
}

struct setup rig_prepare(struct rig *r, const struct kind *kind, enum side side, enum state state,
                         bool opens, unsigned n)
{
    *r = (struct rig){.kind = kind, .side = side, .state = state, .opens = opens, .n = n};
    r->fd = r->peer = r->more[0] = r->more[1] = -1;
    if (state == IS_CLOSED)
        return rig_prepare_closed(r);
    if (opens && state != IS_READY && state != IS_WAITING)
        return NO_SUCH("of no effect on open");
    struct setup setup = kind->prepare(r);
    if (opens && !setup.none && !setup.not_tried && !r->path[0])
        snprintf(r->path, sizeof r->path, "/proc/self/fd/%d", r->fd);
    return setup;
}

void rig_unblock(struct rig *r)
{
    if (r->state == IS_WAITING && r->kind->unblock)
        r->kind->unblock(r);
    r->unblocked++;
}

void rig_tell(struct rig *r, char *text)
{
    if (r->fd != NO_DESCRIPTOR && r->fd >= 0 && r->kind->tell)
        r->kind->tell(r, text);
}

void rig_release(struct rig *r)
{
    if (r->process > 0) {
        kill(r->process, SIGKILL);
        waitpid(r->process, NULL, 0);
    }
    descriptor_close(&r->fd);
    descriptor_close(&r->peer);
    descriptor_close(&r->more[0]);
    descriptor_close(&r->more[1]);
    if (r->kind->release)
        r->kind->release(r);
}
