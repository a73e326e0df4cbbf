/* SPDX-License-Identifier: MIT
 *
 * stream.c: streams: how one is made and how it ends. Reading is in stream_read.c, writing in
 * stream_write.c. A reader and a writer never wait for each other: they share the descriptor, and a
 * reader that has to wait sends what was written, if no context is writing just then.
 *
 * A final error (stream_error_is_final()) is kept for its direction only: a peer that has closed
 * its reading end may have sent something before, which is still to be read.
 */
#include <conc/stream.h>

#include <conc/io.h>
#include <conc/net.h>

#include "base/alloc.h"
#include "io/stream_impl.h"

/* Bytes: the read and the write limit that the options leave open, as promised in conc/stream.h. */
#define STREAM_DEFAULT_LIMIT ((size_t)64 * 1024)

/* Bytes that the first read asks for: little, because most connections are idle. */
#define STREAM_FIRST_CHUNK ((size_t)4096)

static size_t stream_limit(size_t given) { return given ? given : STREAM_DEFAULT_LIMIT; }

int conc_stream_new(conc_stream **ret, int fd, const conc_stream_options *options)
{
    const conc_stream_options defaults = {0};
    struct stat st;
    if (!ret)
        return -EINVAL;
    if (fstat(fd, &st) != 0) /* does not wait: the descriptor is open */
        return -errno;
    conc_stream *s = alloc_one(conc_stream);
    if (!s)
        return -ENOMEM;
    if (!options)
        options = &defaults;
    s->fd = fd;
    s->is_socket = S_ISSOCK(st.st_mode);
    s->read_limit = stream_limit(options->read_limit);
    s->write_limit = stream_limit(options->write_limit);
    s->chunk = s->read_limit < STREAM_FIRST_CHUNK ? s->read_limit : STREAM_FIRST_CHUNK;
    *ret = s;
    return 0;
}

int conc_stream_connect(conc_stream **ret, const char *host, uint16_t port,
                        const conc_stream_options *options, conc_deadline deadline)
{
    if (!ret)
        return -EINVAL;
    int fd = conc_tcp_connect(host, port, deadline);
    if (fd < 0)
        return fd;
    int err = conc_stream_new(ret, fd, options);
    if (err)
        conc_close(fd);
    return err;
}

void conc_stream_abort(conc_stream *s)
{
    if (!s)
        return;
    conc_close(s->fd);
    conc__buffer_free(&s->in);
    conc__buffer_free(&s->out);
    free_bytes(s);
}

int conc_stream_close(conc_stream *s, conc_deadline deadline)
{
    /* With an empty buffer nothing can be lost here: a call that failed has returned its error. */
    int err = s && buffer_size(&s->out) ? conc_stream_flush(s, deadline) : 0;
    conc_stream_abort(s);
    return err;
}

int conc_stream_fd(const conc_stream *s) { return s->fd; }
