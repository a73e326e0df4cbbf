/* SPDX-License-Identifier: MIT
 *
 * conc/stream.h: a connection, or a pipe, with a buffer each way: read lines and other pieces of a
 * known form, write without a system call for every piece.
 *
 *     conc_stream *stream;
 *     int err = conc_stream_connect(&stream, "localhost", 7777, NULL, deadline);
 *     if (err)
 *         return err;
 *     conc_stream_printf(stream, deadline, "hello %d\n", number); // need not be sent yet
 *     ssize_t n = conc_stream_read_line(stream, &line, deadline); // has to wait: now it is
 *     ...
 *     err = conc_stream_close(stream, deadline);
 *
 * What was written is sent by the next flush, when it is more than the write limit, and by a read
 * that finds nothing there to read (it sends as much as goes without waiting, before it waits, and
 * while it waits): so two peers that have written never wait for each other's answer.
 *
 * Several contexts may write to a stream: what one call writes stays in one piece. One context may
 * read at a time, beside them; to another a read is -EBUSY.
 *
 * No byte is lost or doubled by a deadline or a cancellation: what a read had received by then is
 * there for the next read, and what a write or flush had not sent by then is sent by the next. An
 * error of the connection (-ECONNRESET, -EPIPE ...) is final for its direction: later calls return
 * it too, once what had come before has been read.
 */
#ifndef CONC_STREAM_H
#define CONC_STREAM_H

#include <sys/types.h>

#include <conc/base.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct conc_stream conc_stream;

/** All-zero: the defaults. */
typedef struct conc_stream_options {
    /* Bytes: the longest line, or piece up to a delimiter, the delimiter included; and how far is
     * read ahead. 0: 64 KiB. */
    size_t read_limit;

    /* Bytes that are kept for sending before a write has to wait; 0: 64 KiB. */
    size_t write_limit;
} conc_stream_options;

/**
 * Make a stream over a socket, a pipe or a terminal.
 *
 * @param ret      gives a stream, for conc_stream_close() or conc_stream_abort()
 * @param fd       the descriptor; taken on 0
 * @param options  borrowed; NULL: all-zero
 * @return 0; -EINVAL: no ret; -EBADF; -ENOMEM
 *
 * [anywhere | no | no]
 */
CONC_API CONC_MUST_CHECK int conc_stream_new(conc_stream **ret, int fd,
                                             const conc_stream_options *options);

/**
 * Connect to a TCP server: conc_tcp_connect() and conc_stream_new().
 *
 * @return 0; as these two
 *
 * Python: asyncio.open_connection()
 * [any | yes | yes]
 */
CONC_API CONC_MUST_CHECK int conc_stream_connect(conc_stream **ret, const char *host, uint16_t port,
                                                 const conc_stream_options *options,
                                                 conc_deadline deadline);

/**
 * Send what is left, close the descriptor and free the stream, in any case. NULL is ignored.
 *
 * A TCP connection that is closed while there is something in it that was not read is reset, and
 * the peer may lose what was sent to it last: read to the end first.
 *
 * @param deadline  for the sending
 * @return 0; as conc_stream_flush(): not everything was sent
 *
 * Python: StreamWriter.close(), wait_closed()
 * [last | yes | yes]
 */
CONC_API int conc_stream_close(conc_stream *stream, conc_deadline deadline);

/**
 * Close the descriptor and free the stream at once; what was not sent is dropped. NULL is ignored.
 *
 * Python: transport.abort()
 * [last | no | no]
 */
CONC_API void conc_stream_abort(conc_stream *stream);

/**
 * The descriptor, borrowed.
 *
 * [anywhere | no | no]
 */
CONC_API int conc_stream_fd(const conc_stream *stream);

/* ---- Reading ---- */

/**
 * Read what there is, up to n bytes; wait until there is something.
 *
 * @param buf  room for n bytes
 * @return how many were read; 0: the end (or n is 0); -EAGAIN (nothing there, CONC_NOW),
 *         -ETIMEDOUT, -ECANCELED; -EBUSY: another context is reading; -ECONNRESET and what else
 *         conc_recv() tells; -ENOMEM; -EINVAL: no buf
 *
 * Python: StreamReader.read(n)
 * [any | yes | yes]
 */
CONC_API ssize_t conc_stream_read(conc_stream *stream, void *buf, size_t n, conc_deadline deadline);

/**
 * Read just n bytes. On failure nothing was read: what has come of them stays for the next read.
 *
 * @param buf  room for n bytes, which may be more than the read limit; untouched on failure
 * @return 0; -ENODATA: the end came before, with a message that tells when; as conc_stream_read()
 *
 * Python: StreamReader.readexactly()
 * [any | yes | yes]
 */
CONC_API int conc_stream_read_exactly(conc_stream *stream, void *buf, size_t n,
                                      conc_deadline deadline);

/**
 * Read up to a delimiter, and the delimiter. On failure nothing was read: what has come stays.
 *
 * @param delimiter  of `size` bytes; borrowed
 * @param ret        gives where the bytes lie, which the caller may change: borrowed until the next
 *                   read from the stream, or its end
 * @return how many they are, the delimiter included; 0: the end, and nothing before it; -ENODATA:
 *         the end came before the delimiter; -EMSGSIZE: the read limit came before it (both with a
 *         message): conc_stream_skip_until() throws such a piece away, conc_stream_read() gives it
 *         in parts; -EINVAL: no delimiter; as conc_stream_read()
 *
 * Python: StreamReader.readuntil()
 * [any | yes | yes]
 */
CONC_API ssize_t conc_stream_read_until(conc_stream *stream, const void *delimiter, size_t size,
                                        char **ret, conc_deadline deadline);

/**
 * Throw away what comes up to a delimiter, and the delimiter, however much it is: to go on behind a
 * line that is longer than the read limit.
 *
 *     n = conc_stream_read_line(stream, &line, deadline);
 *     if (n == -EMSGSIZE)
 *         n = conc_stream_skip_until(stream, "\n", 1, deadline); // then the next line
 *
 * @param delimiter  of `size` bytes; borrowed
 * @return 1; 0: the end came before the delimiter; -EINVAL: no delimiter; as conc_stream_read():
 *         what was thrown away by then is gone, and the next call goes on
 *
 * Python: StreamReader.readexactly(LimitOverrunError.consumed)
 * [any | yes | yes]
 */
CONC_API int conc_stream_skip_until(conc_stream *stream, const void *delimiter, size_t size,
                                    conc_deadline deadline);

/**
 * Read a line.
 *
 * @param ret  gives the line with its '\n' and, after that, a zero; borrowed as in
 *             conc_stream_read_until(). The last line may lack the '\n'.
 * @return its length, the '\n' included, the zero not; 0: the end; else as conc_stream_read_until()
 *
 * Python: StreamReader.readline()
 * [any | yes | yes]
 */
CONC_API ssize_t conc_stream_read_line(conc_stream *stream, char **ret, conc_deadline deadline);

/* ---- Writing ---- */

/**
 * Write n bytes: keep them to be sent with others, by the next flush, by a read that has to wait,
 * or when there are more than the write limit; then send, and wait until there is room. More than
 * the limit in one call are sent at once, and a copy of what a deadline or a cancellation leaves of
 * them is kept. So a peer that does not read costs as much memory as the limit, or as one such
 * call.
 *
 * @param buf  n bytes; borrowed
 * @return 0: they are sent, or kept; else none of them is: -EAGAIN (no room, CONC_NOW), -ETIMEDOUT,
 *         -ECANCELED; -EPIPE, -ECONNRESET and what else conc_send() tells; -ENOMEM; -EINVAL: no buf
 *
 * Python: StreamWriter.write(), drain()
 * [any | yes | yes]
 */
CONC_API int conc_stream_write(conc_stream *stream, const void *buf, size_t n,
                               conc_deadline deadline);

/**
 * conc_stream_write() of a text that is made as by printf(3). (The deadline cannot be the last
 * here.)
 *
 * @return as conc_stream_write(); -EINVAL: the format does not make a text
 *
 * [any | yes | yes]
 */
CONC_API int conc_stream_printf(conc_stream *stream, conc_deadline deadline, const char *fmt, ...)
    CONC_PRINTF(3, 4);

/**
 * Send all that was written.
 *
 * @return 0; -EAGAIN (no room for all of it, CONC_NOW), -ETIMEDOUT, -ECANCELED: the rest is kept;
 *         -EPIPE, -ECONNRESET and what else conc_send() tells
 *
 * Python: StreamWriter.drain()
 * [any | yes | yes]
 */
CONC_API int conc_stream_flush(conc_stream *stream, conc_deadline deadline);

/**
 * Send all that was written, and then the end: the peer reads no more than that. Reading goes on.
 * (The end of a pipe is its close.)
 *
 * @return 0, also if called again; as conc_stream_flush(), and the end was not sent; -ENOTSOCK: a
 *         pipe
 *
 * Python: StreamWriter.write_eof()
 * [any | yes | yes]
 */
CONC_API int conc_stream_write_eof(conc_stream *stream, conc_deadline deadline);

#ifdef __cplusplus
}
#endif
#endif
