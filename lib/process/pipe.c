/* SPDX-License-Identifier: MIT
 *
 * pipe.c: whole messages over a Unix stream socket.
 *
 * The socket is a stream, not SOCK_SEQPACKET: a packet has to fit into the system's buffer, and
 * a message may be of any size. So each message begins with a header that tells its size and the
 * number of its descriptors, which travel beside the header's first byte (base/fd_message.h).
 *
 * Sending: one call at a time, under `sending`. A call that is ended after a part of its message
 * was sent leaves a copy of the rest in `rest`, which is sent before anything else. If there is
 * no memory for that copy, the direction is shut down: the receiver sees that the message is
 * torn, and never takes other bytes for its rest.
 *
 * Receiving: one call at a time, under `receiving`. Bytes are read ahead into `ahead`, so that a
 * small message costs one system call; a larger body goes straight to its place. All that is
 * known of the message that is coming (header, body, how much of it is there) stands in the
 * pipe, so a call can end anywhere and the next one goes on.
 *
 * Descriptors: a recvmsg(2) stops behind bytes that carry descriptors, but may begin with bytes
 * of the message before. As descriptors never come later than the header that counts them, a
 * queue is enough: a message takes as many from the queue's head as its header says.
 *
 * What the header says is believed only within the limit, and memory is only taken for a message
 * when its turn has come. So the process at the other end can cost this one no more than that.
 */
#include <conc/pipe.h>

#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <conc/io.h>
#include <conc/lock.h>
#include <conc/net.h>

#include "base/alloc.h"
#include "base/fd.h"
#include "base/fd_message.h"
#include "base/invariant.h"
#include "process/pipe_header.h"
#include "wait/wait.h"

#define PIPE_DEFAULT_LIMIT ((size_t)1 << 30) /* bytes of one message that is received */

enum {
    PIPE_AHEAD = 4096,                           /* bytes that are read ahead */
    PIPE_FDS_QUEUED_MAX = 2 * CONC_PIPE_FDS_MAX, /* those of two messages may be there at once */
};

_Static_assert(CONC_PIPE_FDS_MAX <= FD_MESSAGE_MAX, "a message's descriptors fit into one message");

struct conc_pipe {
    int fd;
    size_t limit;

    conc_lock sending; /* of the fields down to `unsent` */
    char *rest;        /* of a message that was begun; NULL: none */
    size_t rest_at, rest_size;
    size_t unsent; /* rest_size - rest_at; also read without the lock: relaxed */

    conc_lock receiving; /* of all fields from here */
    int err;             /* why nothing can be received any more; 0: something can */
    bool in_message;     /* `header` is complete */
    struct pipe_header header;
    conc_bytes body; /* room for it, once in_message and allocated */
    bool has_body;
    size_t got; /* bytes of the body that are there */
    size_t ahead_at, ahead_end;
    size_t n_fds;
    int fds[PIPE_FDS_QUEUED_MAX];
    bool lost_fds; /* of the message that is coming */
    char ahead[PIPE_AHEAD];
};

/* ---- Making and closing ---- */

int conc_pipe_new_from_fd(conc_pipe **ret, int fd)
{
    int type, domain;
    socklen_t size = sizeof type;
    if (!ret)
        return -EINVAL;
    if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size) != 0 ||
        getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &size) != 0)
        return errno == EBADF ? -EBADF : -EINVAL;
    if (type != SOCK_STREAM || domain != AF_UNIX)
        return -EINVAL;
    conc_pipe *end = alloc_one(conc_pipe);
    if (!end)
        return -ENOMEM;
    end->fd = fd;
    end->limit = PIPE_DEFAULT_LIMIT;
    *ret = end;
    return 0;
}

int conc_pipe_new(conc_pipe **a, conc_pipe **b)
{
    int fds[2];
    conc_pipe *one, *other;
    if (!a || !b)
        return -EINVAL;
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) != 0)
        return -errno;
    int err = conc__fd_own_pair(fds);
    if (err)
        return err;
    err = conc_pipe_new_from_fd(&one, fds[0]);
    if (err)
        goto no_one;
    err = conc_pipe_new_from_fd(&other, fds[1]);
    if (err)
        goto no_other;
    *a = one;
    *b = other;
    return 0;
no_other:
    free_bytes(one);
no_one:
    close(fds[0]);
    close(fds[1]);
    return err;
}

void conc_pipe_free(conc_pipe *end)
{
    if (!end)
        return;
    conc_close(end->fd);
    conc__fds_close(end->fds, end->n_fds);
    conc_bytes_free(&end->body);
    free_bytes(end->rest);
    free_bytes(end);
}

int conc_pipe_fd(const conc_pipe *end) { return end->fd; }

void conc_pipe_set_limit(conc_pipe *end, size_t bytes) { end->limit = bytes; }

/* ---- Sending, under the lock ---- */

/* The error that a sender returns for a negative one of the system. */
static int pipe_send_error(ssize_t err)
{
    if (err != -EPIPE && err != -ECONNRESET)
        return (int)err;
    return conc_raise(-EPIPE, "the other end of the pipe is closed");
}

/* Send what the message's vector names, as far as the deadline allows. *sent grows by the bytes
 * that were sent. */
static int pipe_send_all(conc_pipe *end, struct msghdr *msg, size_t *sent, conc_deadline deadline)
{
    struct iovec *v = msg->msg_iov;
    for (;;) {
        ssize_t n = conc_sendmsg(end->fd, msg, 0, deadline);
        if (n < 0)
            return pipe_send_error(n);
        *sent += (size_t)n;
        if (n > 0) {
            msg->msg_control = NULL; /* the descriptors went with the first bytes */
            msg->msg_controllen = 0;
        }
        while (msg->msg_iovlen && (size_t)n >= v->iov_len) {
            n -= (ssize_t)v->iov_len;
            msg->msg_iov = ++v;
            msg->msg_iovlen--;
        }
        if (!msg->msg_iovlen)
            return 0;
        v->iov_base = (char *)v->iov_base + n;
        v->iov_len -= (size_t)n;
    }
}

static void pipe_set_rest(conc_pipe *end, size_t at)
{
    invariant(at <= end->rest_size, "no more of a message is sent than there is");
    end->rest_at = at;
    if (at == end->rest_size) {
        free_bytes(end->rest);
        end->rest = NULL;
        end->rest_at = end->rest_size = 0;
    }
    store_relaxed(&end->unsent, end->rest_size - end->rest_at); /* relaxed: only a number */
}

static int pipe_send_rest(conc_pipe *end, conc_deadline deadline)
{
    if (!end->rest)
        return 0;
    struct iovec all = {end->rest + end->rest_at, end->rest_size - end->rest_at};
    struct msghdr msg = {.msg_iov = &all, .msg_iovlen = 1};
    size_t sent = 0;
    int err = pipe_send_all(end, &msg, &sent, deadline);
    pipe_set_rest(end, end->rest_at + sent);
    return err;
}

/* Keep what is left of a message that was begun. Returns `err`; or -ENOMEM, and it cannot be
 * kept. */
static int pipe_keep_rest(conc_pipe *end, const struct msghdr *msg, int err)
{
    size_t size = 0;
    for (size_t i = 0; i < msg->msg_iovlen; i++)
        size += msg->msg_iov[i].iov_len;
    char *to = end->rest = alloc_bytes(size);
    if (!to) {
        shutdown(end->fd, SHUT_WR);
        return -ENOMEM;
    }
    for (size_t i = 0; i < msg->msg_iovlen; i++) {
        if (msg->msg_iov[i].iov_len)
            memcpy(to, msg->msg_iov[i].iov_base, msg->msg_iov[i].iov_len);
        to += msg->msg_iov[i].iov_len;
    }
    end->rest_size = size;
    pipe_set_rest(end, 0);
    return err;
}

static int pipe_send_message(conc_pipe *end, const void *buf, size_t n, const int *fds,
                             size_t n_fds, conc_deadline deadline)
{
    struct fd_room room;
    struct pipe_header header = {.magic = PIPE_MAGIC, .n_fds = (uint32_t)n_fds, .size = n};
    struct iovec parts[] = {{&header, sizeof header}, {(void *)(uintptr_t)buf, n}};
    struct msghdr msg = {.msg_iov = parts, .msg_iovlen = n ? 2 : 1};
    size_t sent = 0;
    conc__fd_message_attach(&msg, &room, fds, n_fds);
    int err = pipe_send_all(end, &msg, &sent, deadline);
    return err && sent && err != -EPIPE ? pipe_keep_rest(end, &msg, err) : err;
}

int conc_pipe_send_fds(conc_pipe *end, const void *buf, size_t n, const int *fds, size_t n_fds,
                       conc_deadline deadline)
{
    if ((n && !buf) || (n_fds && !fds) || n_fds > CONC_PIPE_FDS_MAX)
        return -EINVAL;
    int err = conc_lock_acquire(&end->sending, deadline);
    if (err)
        return err;
    err = pipe_send_rest(end, deadline);
    if (err)
        goto out;
    err = pipe_send_message(end, buf, n, fds, n_fds, deadline);
out:
    conc_lock_release(&end->sending);
    return err;
}

int conc_pipe_send(conc_pipe *end, const void *buf, size_t n, conc_deadline deadline)
{
    return conc_pipe_send_fds(end, buf, n, NULL, 0, deadline);
}

int conc_pipe_flush(conc_pipe *end, conc_deadline deadline)
{
    int err = conc_lock_acquire(&end->sending, deadline);
    if (err)
        return err;
    err = pipe_send_rest(end, deadline);
    conc_lock_release(&end->sending);
    return err;
}

size_t conc_pipe_n_unsent(const conc_pipe *end) { return load_relaxed(&end->unsent); }

/* ---- Receiving, under the lock ---- */

static void pipe_take_fds(conc_pipe *end, struct msghdr *msg)
{
    /* No pipe of libconc sends more than there is room for: such descriptors are closed. */
    end->n_fds += conc__fd_message_take(msg, end->fds + end->n_fds,
                                        PIPE_FDS_QUEUED_MAX - end->n_fds, &end->lost_fds);
}

/* Receive some bytes: returns how many; 0: no more will come; or an error. */
static ssize_t pipe_receive(conc_pipe *end, void *buf, size_t n, conc_deadline deadline)
{
    struct fd_room room;
    struct iovec bytes = {buf, n};
    struct msghdr msg = {.msg_iov = &bytes, .msg_iovlen = 1};
    conc__fd_message_expect(&msg, &room);
    ssize_t got = conc_recvmsg(end->fd, &msg, 0, deadline);
    if (got >= 0)
        pipe_take_fds(end, &msg);
    /* reset: the other end was closed without reading all that this one has sent */
    return got == -ECONNRESET ? 0 : got;
}

/* No more bytes will come. Returns the error of this call and of all later ones. */
static int pipe_end_of_stream(conc_pipe *end, size_t got, size_t of)
{
    end->err = -ENODATA;
    if (got || end->in_message)
        end->err = conc_raise(-ECONNRESET, "the pipe was closed after %zu of %zu bytes of a %s",
                              got, of, end->in_message ? "message" : "message's header");
    return end->err;
}

static size_t pipe_take_ahead(conc_pipe *end, void *to, size_t n)
{
    invariant(end->ahead_at <= end->ahead_end, "no more is taken than was read ahead");
    size_t there = end->ahead_end - end->ahead_at;
    if (n > there)
        n = there;
    if (n)
        memcpy(to, end->ahead + end->ahead_at, n);
    end->ahead_at += n;
    return n;
}

static int pipe_check_header(conc_pipe *end)
{
    const struct pipe_header *h = &end->header;
    if (h->magic != PIPE_MAGIC || h->n_fds > CONC_PIPE_FDS_MAX)
        end->err = conc_raise(-EBADMSG, "what came through the pipe is no message");
    else if (h->size > end->limit)
        end->err = conc_raise(-EMSGSIZE, "a message of %llu bytes, of which at most %zu are taken",
                              (unsigned long long)h->size, end->limit);
    else
        end->in_message = true;
    return end->err;
}

static int pipe_receive_header(conc_pipe *end, conc_deadline deadline)
{
    while (end->ahead_end - end->ahead_at < sizeof end->header) {
        size_t got = end->ahead_end - end->ahead_at;
        memmove(end->ahead, end->ahead + end->ahead_at, got);
        end->ahead_at = 0;
        end->ahead_end = got;
        ssize_t n = pipe_receive(end, end->ahead + got, PIPE_AHEAD - got, deadline);
        if (n < 0)
            return (int)n;
        if (n == 0)
            return pipe_end_of_stream(end, got, sizeof end->header);
        end->ahead_end += (size_t)n;
    }
    pipe_take_ahead(end, &end->header, sizeof end->header);
    return pipe_check_header(end);
}

static int pipe_receive_body(conc_pipe *end, conc_deadline deadline)
{
    if (!end->has_body) {
        int err = conc_bytes_new(&end->body, end->header.size);
        if (err)
            return err;
        end->has_body = true;
        end->got = 0;
    }
    char *to = end->body.data;
    if (end->body.size)
        end->got += pipe_take_ahead(end, to + end->got, end->body.size - end->got);
    while (end->got < end->body.size) {
        ssize_t n = pipe_receive(end, to + end->got, end->body.size - end->got, deadline);
        if (n < 0)
            return (int)n;
        if (n == 0)
            return pipe_end_of_stream(end, end->got, end->body.size);
        end->got += (size_t)n;
    }
    return 0;
}

/* The message is complete: give it to the caller. Its descriptors go to `fds`; NULL: they are
 * closed. */
static int pipe_give(conc_pipe *end, conc_bytes *ret, int *fds, size_t *n_fds)
{
    size_t n = end->header.n_fds < end->n_fds ? end->header.n_fds : end->n_fds;
    bool lost = end->lost_fds || n < end->header.n_fds;
    if (fds && !lost)
        memcpy(fds, end->fds, n * sizeof *fds);
    else
        conc__fds_close(end->fds, n);
    end->n_fds -= n;
    memmove(end->fds, end->fds + n, end->n_fds * sizeof *end->fds);
    end->in_message = end->has_body = end->lost_fds = false;
    if (lost && fds) {
        conc_bytes_free(&end->body);
        return -EMFILE;
    }
    if (fds)
        *n_fds = n;
    *ret = end->body;
    end->body = (conc_bytes){0};
    return 0;
}

/* Receive until the size of the next message is known. */
static int pipe_begin_message(conc_pipe *end, conc_deadline deadline)
{
    if (end->err)
        return end->err;
    return end->in_message ? 0 : pipe_receive_header(end, deadline);
}

static int pipe_receive_message(conc_pipe *end, size_t room, conc_bytes *ret, int *fds,
                                size_t *n_fds, conc_deadline deadline)
{
    int err = conc_lock_acquire(&end->receiving, deadline);
    if (err)
        return err;
    err = pipe_begin_message(end, deadline);
    if (err)
        goto out;
    if (end->header.size > room) {
        err = -ENOBUFS;
        goto out;
    }
    err = pipe_receive_body(end, deadline);
    if (err)
        goto out;
    err = pipe_give(end, ret, fds, n_fds);
out:
    conc_lock_release(&end->receiving);
    return err;
}

int conc_pipe_recv_fds(conc_pipe *end, conc_bytes *ret, int *fds, size_t *n_fds,
                       conc_deadline deadline)
{
    if (!ret || !fds || !n_fds)
        return -EINVAL;
    return pipe_receive_message(end, SIZE_MAX, ret, fds, n_fds, deadline);
}

int conc_pipe_recv(conc_pipe *end, conc_bytes *ret, conc_deadline deadline)
{
    if (!ret)
        return -EINVAL;
    return pipe_receive_message(end, SIZE_MAX, ret, NULL, NULL, deadline);
}

ssize_t conc_pipe_recv_into(conc_pipe *end, void *buf, size_t room, conc_deadline deadline)
{
    conc_bytes message;
    if (room && !buf)
        return -EINVAL;
    int err = pipe_receive_message(end, room, &message, NULL, NULL, deadline);
    if (err)
        return err;
    ssize_t size = (ssize_t)message.size;
    if (size)
        memcpy(buf, message.data, message.size);
    conc_bytes_free(&message);
    return size;
}

int conc_pipe_poll(conc_pipe *end, conc_deadline deadline)
{
    int err = conc_lock_acquire(&end->receiving, deadline);
    if (err)
        return err;
    bool there = end->err || end->in_message || end->ahead_end > end->ahead_at;
    int events = there ? 0 : conc_poll_fd(end->fd, POLLIN, deadline);
    conc_lock_release(&end->receiving);
    return events < 0 ? events : 0;
}
