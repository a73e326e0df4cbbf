/* SPDX-License-Identifier: MIT
 *
 * stream_write.c: writing to a stream.
 *
 * How: a write adds its bytes to the buffer if they fit within the limit; if not, it first sends
 * until they do. A write of more than the limit sends what is in the buffer, and then straight from
 * the caller's memory. All this happens under `writing`, which is held while waiting for the peer,
 * so the bytes of one call stay together when several contexts write.
 *
 * All or nothing: a write that fails before the first byte is sent from the caller's memory has
 * taken none of its bytes. After that byte it can fail only with the connection: what a deadline or
 * a cancellation leaves unsent is put into the buffer, and the write succeeds. The buffer may then
 * hold more than the limit, but not twice in a row: the next write has to send it first.
 *
 * A final error leaves the buffer as it is, so that conc_stream_close() knows whether bytes were
 * lost. A lack of memory for the rest of a large write is a final error too: the beginning of that
 * write has been sent.
 */
#include <conc/stream.h>

#include <stdarg.h>
#include <stdio.h>

#include <conc/io.h>
#include <conc/net.h>

#include "base/alloc.h"
#include "io/stream_impl.h"
#include "io/transfer.h"

/* Bytes of a text, its final zero included, for which conc_stream_printf() allocates nothing: as a
 * rule a line of a text protocol is shorter. */
#define STREAM_SHORT_TEXT 256

static int stream_begin_write(conc_stream *s, conc_deadline deadline)
{
    return conc_lock_acquire(&s->writing, deadline);
}

/* Returns its argument. */
static int stream_end_write(conc_stream *s, int result)
{
    conc_lock_release(&s->writing);
    return result;
}

/* ---- Under the lock ---- */

/* Send some of n bytes. Returns how many, or an error. */
static ssize_t stream_transmit(conc_stream *s, const void *buf, size_t n, conc_deadline deadline)
{
    if (s->write_error)
        return s->write_error;
    ssize_t sent =
        s->is_socket ? conc_send(s->fd, buf, n, 0, deadline) : conc_write(s->fd, buf, n, deadline);
    if (sent == 0)
        sent = -EIO; /* otherwise the callers' loops would never end */
    if (stream_error_is_final(sent, deadline))
        s->write_error = (int)sent;
    return sent;
}

/* Send until at most `most` bytes are left in the buffer. 0, or an error. */
static int stream_drain(conc_stream *s, size_t most, conc_deadline deadline)
{
    while (buffer_size(&s->out) > most) {
        ssize_t sent = stream_transmit(s, buffer_front(&s->out), buffer_size(&s->out), deadline);
        if (sent < 0)
            return (int)sent;
        buffer_taken(&s->out, (size_t)sent);
    }
    return 0;
}

/* The beginning of a large write has been sent, then sending has failed: keep the rest of it,
 * unless the connection has failed. */
static int stream_keep_rest(conc_stream *s, const char *rest, size_t n, int err)
{
    if (s->write_error)
        return err;
    s->write_error = conc__buffer_add(&s->out, rest, n);
    return s->write_error;
}

/* Write more than the limit. */
static int stream_put_large(conc_stream *s, const char *buf, size_t n, conc_deadline deadline)
{
    int err = stream_drain(s, 0, deadline);
    if (err)
        return err;
    for (size_t done = 0; done < n;) {
        ssize_t sent = stream_transmit(s, buf + done, n - done, deadline);
        if (sent < 0)
            return done ? stream_keep_rest(s, buf + done, n - done, (int)sent) : (int)sent;
        done += (size_t)sent;
    }
    return 0;
}

static int stream_put(conc_stream *s, const void *buf, size_t n, conc_deadline deadline)
{
    if (s->write_error)
        return s->write_error;
    if (n == 0)
        return 0;
    if (n > s->write_limit)
        return stream_put_large(s, buf, n, deadline);
    int err = stream_drain(s, s->write_limit - n, deadline);
    return err ? err : conc__buffer_add(&s->out, buf, n);
}

static int stream_empty(conc_stream *s, conc_deadline deadline)
{
    if (s->write_error)
        return s->write_error;
    int err = stream_drain(s, 0, deadline);
    if (err)
        return err;
    if (s->out.room / STREAM_ROOM_TO_KEEP > s->write_limit)
        conc__buffer_free(&s->out); /* this memory was for the rest of a large write */
    return 0;
}

static int stream_shut(conc_stream *s, conc_deadline deadline)
{
    if (s->shut)
        return 0;
    int err = stream_empty(s, deadline);
    if (err)
        return err;
    err = conc_shutdown(s->fd, SHUT_WR);
    if (err)
        return err;
    s->shut = true;
    s->write_error = -EPIPE;
    return 0;
}

/* ---- For a read that has to wait ---- */

bool conc__stream_has_unsent(conc_stream *s)
{
    if (conc_lock_try_acquire(&s->writing))
        return false;
    bool has = buffer_size(&s->out) && !s->write_error;
    conc_lock_release(&s->writing);
    return has;
}

bool conc__stream_send_some(conc_stream *s)
{
    if (conc_lock_try_acquire(&s->writing))
        return false;
    int err = stream_empty(s, CONC_NOW);
    conc_lock_release(&s->writing);
    return err == -EAGAIN; /* any other is told to the next context that writes */
}

/* ---- The calls ---- */

int conc_stream_write(conc_stream *s, const void *buf, size_t n, conc_deadline deadline)
{
    if (transfer_is_missing(buf, n))
        return -EINVAL;
    int err = stream_begin_write(s, deadline);
    return err ? err : stream_end_write(s, stream_put(s, buf, n, deadline));
}

int conc_stream_printf(conc_stream *s, conc_deadline deadline, const char *fmt, ...)
{
    char text[STREAM_SHORT_TEXT];
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    if (n < 0)
        return -EINVAL;
    if ((size_t)n < sizeof text)
        return conc_stream_write(s, text, (size_t)n, deadline);
    char *longer = alloc_bytes((size_t)n + 1);
    if (!longer)
        return -ENOMEM;
    va_start(ap, fmt);
    vsnprintf(longer, (size_t)n + 1, fmt, ap);
    va_end(ap);
    int err = conc_stream_write(s, longer, (size_t)n, deadline);
    free_bytes(longer);
    return err;
}

int conc_stream_flush(conc_stream *s, conc_deadline deadline)
{
    int err = stream_begin_write(s, deadline);
    return err ? err : stream_end_write(s, stream_empty(s, deadline));
}

int conc_stream_write_eof(conc_stream *s, conc_deadline deadline)
{
    int err = stream_begin_write(s, deadline);
    return err ? err : stream_end_write(s, stream_shut(s, deadline));
}
