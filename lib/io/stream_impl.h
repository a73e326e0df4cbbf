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

struct conc_stream {
    int fd;
    bool is_socket; /* recv and send, else read and write */

    /* Reading: of the context that has set `reading`. */
    uint32_t reading; /* 1: a context is in a read */
    struct buffer in;
    size_t read_limit;
    size_t chunk;  /* how much to ask for at a time */
    char *zero_at; /* where a line's final zero has been put, in place of `zeroed`; NULL: none */
    char zeroed;
    bool at_eof;    /* the peer sends no more */
    int read_error; /* final; 0: none */

    /* Writing. */
    conc_lock writing; /* of the rest */
    struct buffer out;
    size_t write_limit;
    bool shut;       /* the end has been sent */
    int write_error; /* final; 0: none */
};

/* Is this error of an operation on the descriptor the connection's own, for good? Not one that only
 * this call had: its deadline, its cancellation, a want of memory. (A connection can time out too.)
 */
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
