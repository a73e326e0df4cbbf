/* SPDX-License-Identifier: MIT
 *
 * operation.c: each operation, by libconc and by the plain system call, and its outcome in the same
 * words.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <conc/event.h>
#include <conc/io.h>
#include <conc/loop.h>
#include <conc/net.h>
#include <conc/stream.h>

#include "matrix.h"
#include "support.h"

static const struct {
    const char *name;
    enum side side;
} operations[N_OPERATIONS] = {
    [DO_OPEN_READ] = {"open to read", TO_READ},
    [DO_OPEN_WRITE] = {"open to write", TO_WRITE},
    [DO_READ] = {"read", TO_READ},
    [DO_WRITE] = {"write", TO_WRITE},
    [DO_READ_NOTHING] = {"read of 0 bytes", TO_READ},
    [DO_WRITE_NOTHING] = {"write of 0 bytes", TO_WRITE},
    [DO_PREAD] = {"pread", TO_READ},
    [DO_PWRITE] = {"pwrite", TO_WRITE},
    [DO_POLL_IN] = {"poll to read", TO_READ},
    [DO_POLL_OUT] = {"poll to write", TO_WRITE},
    [DO_POLL_PRI] = {"poll for POLLPRI", TO_READ},
    [DO_READER] = {"reader callback", TO_READ},
    [DO_WRITER] = {"writer callback", TO_WRITE},
    [DO_STREAM_READ] = {"stream read", TO_READ},
    [DO_STREAM_WRITE] = {"stream write", TO_WRITE},
    [DO_ACCEPT] = {"accept", TO_READ},
};

const char *operation_name(enum operation op) { return operations[op].name; }
enum side operation_side(enum operation op) { return operations[op].side; }

bool operation_opens(enum operation op) { return op == DO_OPEN_READ || op == DO_OPEN_WRITE; }

bool operation_polls(enum operation op) { return op >= DO_POLL_IN && op <= DO_WRITER; }

bool operation_streams(enum operation op) { return op == DO_STREAM_READ || op == DO_STREAM_WRITE; }

bool operation_calls_back(enum operation op) { return op == DO_READER || op == DO_WRITER; }

/* ---- Their outcome ---- */

static void outcome_set_error(struct call *c, int error)
{
    const char *name = strerrorname_np(error);
    if (name)
        text_add(c->outcome, "-%s", name);
    else
        text_add(c->outcome, "error %d", error);
}

static const char *mode_name(mode_t mode)
{
    switch (mode & S_IFMT) {
    case S_IFREG:
        return "a file";
    case S_IFDIR:
        return "a directory";
    case S_IFIFO:
        return "a FIFO";
    case S_IFCHR:
        return "a device";
    default:
        return "something else";
    }
}

static void outcome_set_fd(struct call *c, int fd)
{
    struct stat st;
    CHECK_EQUAL(fstat(fd, &st), 0);
    text_add(c->outcome, "%s", operation_opens(c->op) ? mode_name(st.st_mode) : "a connection");
    close(fd);
}

static void outcome_set_events(struct call *c, unsigned events)
{
    if (events & POLLNVAL) {
        outcome_set_error(c, EBADF);
        return;
    }
    if (operation_calls_back(c->op)) {
        text_add(c->outcome, "called back");
        return;
    }
    static const struct {
        unsigned bit;
        const char *name;
    } bits[] = {{POLLIN, "POLLIN"},
                {POLLPRI, "POLLPRI"},
                {POLLOUT, "POLLOUT"},
                {POLLERR, "POLLERR"},
                {POLLHUP, "POLLHUP"}};
    for (size_t i = 0; i < sizeof bits / sizeof *bits; i++)
        if (events & bits[i].bit)
            text_add(c->outcome, c->outcome[0] ? "|%s" : "%s", bits[i].name);
    const unsigned known = POLLIN | POLLPRI | POLLOUT | POLLERR | POLLHUP;
    if (events & ~known || !events)
        text_add(c->outcome, " and events 0x%x", events & ~known);
}

static void outcome_set_bytes(struct call *c, ssize_t n, const void *buf)
{
    text_add(c->outcome, "%zd", n);
    if (n > 0 && operation_side(c->op) == TO_READ)
        rig_describe(c->rig, buf, (size_t)n, c->outcome);
}

static void outcome_set(struct call *c, ssize_t result, const void *buf)
{
    c->outcome[0] = 0;
    if (result < 0)
        outcome_set_error(c, (int)-result);
    else if (operation_opens(c->op) || c->op == DO_ACCEPT)
        outcome_set_fd(c, (int)result);
    else if (operation_polls(c->op))
        outcome_set_events(c, (unsigned)result);
    else
        outcome_set_bytes(c, result, buf);
}

/* ---- What an operation works on ---- */

static int open_flags(enum operation op)
{
    return (op == DO_OPEN_READ ? O_RDONLY : O_WRONLY) | O_CLOEXEC | O_NOCTTY;
}

static short poll_events(enum operation op)
{
    if (op == DO_POLL_PRI)
        return POLLPRI;
    return operation_side(op) == TO_READ ? POLLIN : POLLOUT;
}

/* Room for a record, aligned for O_DIRECT; what is to be written is in it. */
static void *buffer_new(const struct call *c)
{
    void *buf = aligned_alloc(4096, RECORD_MOST);
    CHECK(buf);
    memset(buf, 0, RECORD_MOST);
    if (operation_side(c->op) == TO_WRITE)
        rig_compose(c->rig, c->number, buf);
    return buf;
}

/* ---- By the system's calls ---- */

static ssize_t poll_plainly(int fd, short events)
{
    struct pollfd p = {.fd = fd, .events = events};
    int n = poll(&p, 1, -1);
    return n < 0 ? n : p.revents;
}

static ssize_t system_call(struct call *c, void *buf)
{
    const struct rig *r = c->rig;
    size_t size = record_of(r->kind);
    switch (c->op) {
    case DO_OPEN_READ:
    case DO_OPEN_WRITE:
        return open(r->path, open_flags(c->op));
    case DO_READ:
    case DO_STREAM_READ:
        return read(r->fd, buf, size);
    case DO_READ_NOTHING:
        return read(r->fd, buf, 0);
    case DO_WRITE:
    case DO_STREAM_WRITE:
        return write(r->fd, buf, size);
    case DO_WRITE_NOTHING:
        return write(r->fd, buf, 0);
    case DO_PREAD:
        return pread(r->fd, buf, size, (off_t)(c->number * size));
    case DO_PWRITE:
        return pwrite(r->fd, buf, size, (off_t)(c->number * size));
    case DO_ACCEPT:
        return accept4(r->fd, NULL, NULL, SOCK_CLOEXEC);
    default:
        return poll_plainly(r->fd, poll_events(c->op));
    }
}

bool call_plainly(struct call *c)
{
    void *buf = buffer_new(c);
    if (fcntl(c->rig->fd, F_GETFL) & O_NONBLOCK && fcntl(c->rig->fd, F_GETFL) >= 0)
        set_blocking(c->rig->fd, true); /* libconc's calls mean the same in either mode */
    ssize_t result = system_call(c, buf);
    bool ended = result >= 0 || errno != EINTR;
    if (ended)
        outcome_set(c, result < 0 ? -errno : result, buf);
    else
        snprintf(c->outcome, sizeof c->outcome, "blocks");
    free(buf);
    return ended;
}

/* ---- By libconc ---- */

static ssize_t stream_read(const struct call *c, void *buf, size_t size)
{
    conc_stream *stream;
    int fd = fcntl(c->rig->fd, F_DUPFD_CLOEXEC, 0);
    if (fd < 0)
        return -errno;
    CHECK_EQUAL(conc_stream_new(&stream, fd, NULL), 0);
    ssize_t result = conc_stream_read(stream, buf, size, c->deadline);
    conc_stream_abort(stream);
    return result;
}

static ssize_t stream_write(const struct call *c, const void *buf, size_t size)
{
    conc_stream *stream;
    int fd = fcntl(c->rig->fd, F_DUPFD_CLOEXEC, 0);
    if (fd < 0)
        return -errno;
    CHECK_EQUAL(conc_stream_new(&stream, fd, NULL), 0);
    int err = conc_stream_write(stream, buf, size, c->deadline);
    if (!err)
        err = conc_stream_flush(stream, c->deadline);
    conc_stream_abort(stream);
    return err ? err : (ssize_t)size;
}

static void set_event(void *event) { conc_event_set(event); }

/* Until the callback has run: what a library that was given the loop would see. */
static ssize_t wait_for_callback(const struct call *c)
{
    conc_loop *loop = conc_loop_current();
    bool reads = c->op == DO_READER;
    int fd = c->rig->fd;
    conc_event event = {0};
    conc_event_init(&event);
    int err = reads ? conc_loop_add_reader(loop, fd, set_event, &event)
                    : conc_loop_add_writer(loop, fd, set_event, &event);
    if (err)
        return err;
    err = conc_event_wait(&event, c->deadline);
    (void)(reads ? conc_loop_remove_reader(loop, fd) : conc_loop_remove_writer(loop, fd));
    return err ? err : poll_events(c->op);
}

static ssize_t libconc_call(struct call *c, void *buf)
{
    const struct rig *r = c->rig;
    size_t size = record_of(r->kind);
    switch (c->op) {
    case DO_OPEN_READ:
    case DO_OPEN_WRITE:
        return conc_open(r->path, open_flags(c->op), 0, c->deadline);
    case DO_READ:
        return conc_read(r->fd, buf, size, c->deadline);
    case DO_READ_NOTHING:
        return conc_read(r->fd, buf, 0, c->deadline);
    case DO_WRITE:
        return conc_write(r->fd, buf, size, c->deadline);
    case DO_WRITE_NOTHING:
        return conc_write(r->fd, buf, 0, c->deadline);
    case DO_PREAD:
        return conc_pread(r->fd, buf, size, (off_t)(c->number * size), c->deadline);
    case DO_PWRITE:
        return conc_pwrite(r->fd, buf, size, (off_t)(c->number * size), c->deadline);
    case DO_STREAM_READ:
        return stream_read(c, buf, size);
    case DO_STREAM_WRITE:
        return stream_write(c, buf, size);
    case DO_ACCEPT:
        return conc_accept(r->fd, NULL, NULL, c->deadline);
    case DO_READER:
    case DO_WRITER:
        return wait_for_callback(c);
    default:
        return conc_poll_fd(r->fd, poll_events(c->op), c->deadline);
    }
}

void call_libconc(struct call *c)
{
    void *buf = buffer_new(c);
    ssize_t result = libconc_call(c, buf);
    outcome_set(c, result, buf);
    free(buf);
}
