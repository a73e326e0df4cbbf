/* SPDX-License-Identifier: MIT
 *
 * stream_read.c: reading from a stream.
 *
 * How: what is received goes into the buffer, and is taken from there once there is as much as the
 * call is for. So a call that fails has taken nothing, whatever had come by then. Only a plain read
 * that finds the buffer empty and is for at least a chunk receives into the caller's memory; then
 * it ends at once.
 *
 * The buffer holds at most the read limit, or as much as one conc_stream_read_exactly() is for; it
 * grows with what really comes, not with what was asked for. How much is asked for at a time
 * (`chunk`) starts small, because most connections are idle, and doubles when all of it came.
 *
 * A borrowed piece lies in the buffer, in front of what is left, and stays there until the buffer
 * is filled again. A line is followed by a zero, which takes the place of the first byte of what is
 * left (or of the byte that a buffer has beyond its room); the next read puts that byte back.
 *
 * A read that finds nothing to read sends what was written to the stream before, which may be what
 * the peer waits for. It does not wait for that alone: a peer that reads no more before it is read
 * from would wait too. So it sends what there is room for, and waits for either: bytes, or more
 * room. A context that is writing meanwhile is left alone.
 *
 * One reader at a time: `reading` is set (acquire) when a call begins and cleared (release) when it
 * ends, so that contexts which read in turn see each other's work.
 */
#include <conc/stream.h>

#include <string.h>

#include <conc/io.h>
#include <conc/net.h>

#include "base/atomic.h"
#include "base/invariant.h"
#include "io/stream_impl.h"
#include "io/transfer.h"
#include "wait/wait.h"

/* Bytes that one read asks for at most: then the call itself costs little beside the copy. */
#define STREAM_LARGEST_CHUNK ((size_t)256 * 1024)

/* ---- Beginning and ending ---- */

static int stream_begin_read(conc_stream *s, conc_deadline deadline)
{
    int err = wait_checkpoint(deadline);
    if (err)
        return err;
    if (exchange_acquire(&s->reading, 1))
        return -EBUSY;
    if (s->zero_at) {
        *s->zero_at = s->zeroed;
        s->zero_at = NULL;
    }
    return 0;
}

/* Returns its argument. */
static ssize_t stream_end_read(conc_stream *s, ssize_t result)
{
    store_release(&s->reading, 0);
    return result;
}

/* ---- Receiving ---- */

static ssize_t stream_receive_only(const conc_stream *s, void *buf, size_t n,
                                   conc_deadline deadline)
{
    return s->is_socket ? conc_recv(s->fd, buf, n, 0, deadline)
                        : conc_read(s->fd, buf, n, deadline);
}

/* The same; but if nothing is there, send first what has not been sent. */
static ssize_t stream_receive_and_send(conc_stream *s, void *buf, size_t n, conc_deadline deadline)
{
    ssize_t got;
    while ((got = stream_receive_only(s, buf, n, CONC_NOW)) == -EAGAIN &&
           conc__stream_send_some(s)) {
        int ready = conc_poll_fd(s->fd, POLLIN | POLLOUT, deadline);
        if (ready < 0)
            return ready;
    }
    return got == -EAGAIN ? stream_receive_only(s, buf, n, deadline) : got;
}

/* Receive some bytes into buf. Returns how many; 0: the end; or an error. */
static ssize_t stream_receive(conc_stream *s, void *buf, size_t n, conc_deadline deadline)
{
    if (s->read_error)
        return s->read_error;
    if (s->at_eof)
        return 0;
    ssize_t got = conc__stream_has_unsent(s) ? stream_receive_and_send(s, buf, n, deadline)
                                             : stream_receive_only(s, buf, n, deadline);
    if (got == 0)
        s->at_eof = true;
    else if (stream_error_is_final(got, deadline))
        s->read_error = (int)got;
    return got;
}

static size_t stream_smaller(size_t a, size_t b) { return a < b ? a : b; }

/* Receive some more into the buffer, which is to hold at most `most` bytes, and holds less. Returns
 * 1; 0: the end; or an error. */
static int stream_fill(conc_stream *s, size_t most, conc_deadline deadline)
{
    struct buffer *in = &s->in;
    invariant(buffer_size(in) < most, "a stream's buffer is filled only up to its limit");
    if (!buffer_size(in) && in->room / STREAM_ROOM_TO_KEEP > s->read_limit)
        conc__buffer_free(in); /* this memory was for one large piece */
    size_t wanted = stream_smaller(s->chunk, most - buffer_size(in));
    int err = conc__buffer_reserve(in, wanted);
    if (err)
        return err;
    ssize_t got = stream_receive(s, buffer_back(in), wanted, deadline);
    if (got <= 0)
        return (int)got;
    buffer_added(in, (size_t)got);
    if ((size_t)got == s->chunk)
        s->chunk =
            stream_smaller(2 * s->chunk, stream_smaller(s->read_limit, STREAM_LARGEST_CHUNK));
    return 1;
}

/* ---- Some bytes, and exactly so many ---- */

/* Take at most n bytes out of the buffer. Returns how many. */
static size_t stream_copy_out(conc_stream *s, void *buf, size_t n)
{
    n = stream_smaller(n, buffer_size(&s->in));
    memcpy(buf, buffer_front(&s->in), n);
    buffer_taken(&s->in, n);
    return n;
}

static ssize_t stream_take_some(conc_stream *s, void *buf, size_t n, conc_deadline deadline)
{
    if (n == 0)
        return 0;
    if (!buffer_size(&s->in)) {
        if (n >= s->chunk)
            return stream_receive(s, buf, n, deadline);
        int more = stream_fill(s, s->read_limit, deadline);
        if (more <= 0)
            return more;
    }
    return (ssize_t)stream_copy_out(s, buf, n);
}

ssize_t conc_stream_read(conc_stream *s, void *buf, size_t n, conc_deadline deadline)
{
    if (transfer_is_missing(buf, n))
        return -EINVAL;
    int err = stream_begin_read(s, deadline);
    return err ? err : stream_end_read(s, stream_take_some(s, buf, n, deadline));
}

static int stream_take_exactly(conc_stream *s, void *buf, size_t n, conc_deadline deadline)
{
    const size_t most = n > s->read_limit ? n : s->read_limit;
    while (buffer_size(&s->in) < n) {
        int more = stream_fill(s, most, deadline);
        if (more == 0)
            return conc_raise(-ENODATA, "the end came after %zu of %zu bytes", buffer_size(&s->in),
                              n);
        if (more < 0)
            return more;
    }
    if (n)
        stream_copy_out(s, buf, n);
    return 0;
}

int conc_stream_read_exactly(conc_stream *s, void *buf, size_t n, conc_deadline deadline)
{
    if (transfer_is_missing(buf, n))
        return -EINVAL;
    int err = stream_begin_read(s, deadline);
    return err ? err : (int)stream_end_read(s, stream_take_exactly(s, buf, n, deadline));
}

/* ---- Up to a delimiter ---- */

/* How long is the piece at the front of the buffer, the delimiter included? 0: the end came before
 * the delimiter; or an error. */
static ssize_t stream_find(conc_stream *s, const void *delimiter, size_t size,
                           conc_deadline deadline)
{
    size_t seen = 0; /* no delimiter begins in what was seen */
    for (;;) {
        const size_t n = buffer_size(&s->in);
        const char *front = buffer_front(&s->in);
        const char *found = n ? memmem(front + seen, n - seen, delimiter, size) : NULL;
        size_t length = found ? (size_t)(found - front) + size : n;
        if (length > s->read_limit || (!found && n == s->read_limit))
            return conc_raise(-EMSGSIZE, "no delimiter in %zu bytes, the read limit",
                              s->read_limit);
        if (found)
            return (ssize_t)length;
        seen = n >= size ? n - size + 1 : 0;
        int more = stream_fill(s, s->read_limit, deadline);
        if (more <= 0)
            return more;
    }
}

/* Lend the first n bytes to the caller. Returns n. */
static ssize_t stream_lend(conc_stream *s, size_t n, char **ret)
{
    *ret = buffer_front(&s->in);
    buffer_taken(&s->in, n);
    return (ssize_t)n;
}

static ssize_t stream_take_piece(conc_stream *s, const void *delimiter, size_t size, char **ret,
                                 conc_deadline deadline)
{
    ssize_t n = stream_find(s, delimiter, size, deadline);
    if (n > 0)
        return stream_lend(s, (size_t)n, ret);
    if (n == 0 && buffer_size(&s->in))
        return conc_raise(-ENODATA, "the end came after %zu bytes, before the delimiter",
                          buffer_size(&s->in));
    return n;
}

ssize_t conc_stream_read_until(conc_stream *s, const void *delimiter, size_t size, char **ret,
                               conc_deadline deadline)
{
    if (!delimiter || !size || !ret)
        return -EINVAL;
    int err = stream_begin_read(s, deadline);
    return err ? err : stream_end_read(s, stream_take_piece(s, delimiter, size, ret, deadline));
}

/* Throw away what comes before a delimiter, and that. 1; 0: the end came first; or an error. */
static int stream_skip(conc_stream *s, const void *delimiter, size_t size, conc_deadline deadline)
{
    const size_t most = size > s->read_limit ? size : s->read_limit;
    for (;;) {
        const size_t n = buffer_size(&s->in);
        const char *front = buffer_front(&s->in);
        const char *found = n ? memmem(front, n, delimiter, size) : NULL;
        if (found) {
            buffer_taken(&s->in, (size_t)(found - front) + size);
            return 1;
        }
        /* The delimiter's beginning may have come. */
        buffer_taken(&s->in, n - stream_smaller(n, size - 1));
        int more = stream_fill(s, most, deadline);
        if (more == 0)
            buffer_taken(&s->in, buffer_size(&s->in));
        if (more <= 0)
            return more;
    }
}

int conc_stream_skip_until(conc_stream *s, const void *delimiter, size_t size,
                           conc_deadline deadline)
{
    if (!delimiter || !size)
        return -EINVAL;
    int err = stream_begin_read(s, deadline);
    return err ? err : (int)stream_end_read(s, stream_skip(s, delimiter, size, deadline));
}

static ssize_t stream_take_line(conc_stream *s, char **line, conc_deadline deadline)
{
    ssize_t n = stream_find(s, "\n", 1, deadline);
    if (n == 0)
        n = (ssize_t)buffer_size(&s->in); /* the last line, without its '\n' */
    if (n <= 0)
        return n;
    stream_lend(s, (size_t)n, line);
    s->zero_at = buffer_front(&s->in);
    s->zeroed = *s->zero_at;
    *s->zero_at = '\0';
    return n;
}

ssize_t conc_stream_read_line(conc_stream *s, char **line, conc_deadline deadline)
{
    if (!line)
        return -EINVAL;
    int err = stream_begin_read(s, deadline);
    return err ? err : stream_end_read(s, stream_take_line(s, line, deadline));
}
