/* SPDX-License-Identifier: MIT
 *
 * stream_impl.h: what a stream is inside. See stream.c, stream_read.c and stream_write.c.
 */
#ifndef CONC_LIB_STREAM_IMPL_H
#define CONC_LIB_STREAM_IMPL_H

#include <conc/lock.h>
#include <conc/stream.h>

#include "base/clock.h"
#include "io/buffer.h"

/* An empty buffer keeps its memory up to so many times the limit; what is more was for one large
 * piece, and goes back. Growing by twice may leave a buffer with more than the limit. */
enum { STREAM_ROOM_TO_KEEP = 4 };

struct conc_stream {
    int fd;
    bool is_socket; /* recv and send, else read and write */

    /* Reading: these belong to the context that has set `reading`. */
    uint32_t reading; /* 1: a context is in a read */
    struct buffer in;
    size_t read_limit;
    size_t chunk; /* bytes to ask for at a time */

    /* Where the final zero of a line stands, and the byte whose place it has taken. NULL: there is
     * no such zero. */
    char *zero_at;
    char zeroed;

    bool at_eof;    /* the peer sends no more */
    int read_error; /* final; 0: none */

    /* Writing: the lock guards the rest. */
    conc_lock writing;
    struct buffer out;
    size_t write_limit;
    bool shut;       /* the end has been sent */
    int write_error; /* final; 0: none */
};

/* Was something written that is not sent yet? False also while another context writes: what that
 * leaves unsent is as if written after the question. */
bool conc__stream_has_unsent(conc_stream *s);

/* Send of that as much as goes without waiting. True: there is more. */
bool conc__stream_send_some(conc_stream *s);

/* Does this result of an operation mean that the connection has failed for good? An error that only
 * this call had does not: its deadline, its cancellation, a lack of memory. -ETIMEDOUT before the
 * deadline is the connection's own. */
static inline bool stream_error_is_final(ssize_t err, conc_deadline deadline)
{
    switch (err) {
    case -EAGAIN:
    case -ECANCELED:
    case -ENOBUFS:
    case -ENOMEM:
        return false;
    case -ETIMEDOUT:
        return conc_remaining(deadline) > 0;
    default:
        return err < 0;
    }
}

#endif
