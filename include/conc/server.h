/* SPDX-License-Identifier: MIT
 *
 * conc/server.h: a server: for each connection a job with a stream. Whether the jobs are tasks,
 * threads, or run in a pool is up to the executor.
 *
 *     static int echo(conc_stream *stream, void *arg)
 *     {
 *         char *line;
 *         ssize_t n;
 *         while ((n = conc_stream_read_line(stream, &line, CONC_FOREVER)) > 0) {
 *             conc_stream_write(stream, line, n, CONC_FOREVER);
 *             conc_stream_flush(stream, CONC_FOREVER);
 *         }
 *         return (int)n;
 *     }
 *     ...
 *     int err = conc_tcp_serve(NULL, 7777, echo, NULL, NULL, CONC_FOREVER); // until cancelled
 */
#ifndef CONC_SERVER_H
#define CONC_SERVER_H

#include <conc/executor.h>
#include <conc/stream.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct conc_server conc_server;

/**
 * A handler: serve a connection. The stream is borrowed; after the return what was written is sent,
 * and it is closed. A handler that has to be stopped is cancelled: it gets -ECANCELED from the call
 * that it blocks in, and should return; what it has not flushed is dropped.
 *
 * @param arg  as given when the server was started, shared by all connections
 * @return 0, or a negative error (see conc_raise()), which is reported
 */
typedef int conc_stream_fn(conc_stream *stream, void *arg);

/** All-zero: the defaults. */
typedef struct conc_server_options {
    /* Runs the handlers, a job for each connection; must outlive the server. NULL: the loop of the
     * calling task or callback, so that each connection is a task. */
    conc_executor *executor;

    /* At a time; more wait in the kernel's backlog. 0: no bound but the executor's and the
     * descriptors'. */
    size_t max_connections;

    conc_stream_options stream;

    /* For sending what a handler has left unsent; 0: 30 seconds. */
    int64_t close_timeout_ns;

    /* For conc_tcp_serve() and conc_unix_serve(): how long the handlers may go on once the serving
     * has ended; 0: not at all, they are cancelled at once. */
    int64_t grace_ns;

    /* Called with a handler's error (or, if it has none, the error of closing its stream) and with
     * errors of the accepting, each with its message ("": none) and the handlers' `arg`, in the
     * context that has had the error. It must not block for long, nor stop the server. A cancelled
     * handler is no error. NULL: as for a future's error that was not looked at, see
     * conc_future_on_unobserved(). */
    conc_error_fn *on_error;
} conc_server_options;

/**
 * Start a server: from now on connections are accepted, by a task of the calling task's loop or, in
 * a thread without one, by a thread of the server's own.
 *
 * When descriptors or memory run out that is reported once, and the next connections wait until
 * there are some again.
 *
 * @param ret      gives a server, for conc_server_free()
 * @param fd       a listening socket of any stream kind; taken on 0
 * @param fn       the handler, called for each connection
 * @param arg      for the handler
 * @param options  borrowed; NULL: all-zero
 * @return 0; -EINVAL: no ret or handler; no executor, and no loop runs here; a time below 0;
 *         -EBADF; -ENOMEM; -ESHUTDOWN: the loop is being freed
 *
 * Python: asyncio.start_server(), socketserver
 */
CONC_API CONC_MUST_CHECK int conc_server_start(conc_server **ret, int fd, conc_stream_fn *fn,
                                               void *arg, const conc_server_options *options);

/**
 * Stop accepting, at once, and wait until the handlers have ended and their streams are closed.
 * When the deadline comes, or the caller is cancelled, the handlers are cancelled and their end is
 * awaited: so one that does not block in libconc, and does not ask conc_is_cancelled(), can delay
 * it. May be called again, and by several.
 *
 * @return 0: all have ended by themselves; -ETIMEDOUT, -ECANCELED: the rest was cancelled, and has
 *         ended now; -EAGAIN (CONC_NOW): not all have ended, and nothing was cancelled; -EDEADLK:
 *         called by a handler of this server; nothing was done
 *
 * Python: Server.close(), wait_closed()
 * [any | yes | yes]
 */
CONC_API int conc_server_stop(conc_server *server, conc_deadline deadline);

/**
 * Free a server; if it is not stopped, stop it, cancelling its handlers. NULL is ignored.
 *
 * @return 0; -EDEADLK (called by a handler of this server): refused, nothing is freed
 *
 * [last | yes (if it was not stopped) | no]
 */
CONC_API int conc_server_free(conc_server *server);

/**
 * The port of a TCP server: for one that was started on port 0.
 *
 * @return the port; -EINVAL: not an IP socket
 *
 * Python: server.sockets[0].getsockname()[1]
 * [anywhere | no | no]
 */
CONC_API int conc_server_port(const conc_server *server);

/**
 * How many connections there are; true only for the moment.
 *
 * [anywhere | no | no]
 */
CONC_API size_t conc_server_n_connections(const conc_server *server);

/**
 * Listen on a TCP port and serve there until the caller is cancelled, or the deadline comes; then
 * stop (see `grace_ns`).
 *
 * @param host, port  as of conc_tcp_listen()
 * @return -ECANCELED, -ETIMEDOUT: it was ended; as conc_tcp_listen() and conc_server_start(); an
 *         error of the accepting that ended it
 *
 * Python: asyncio.start_server(), Server.serve_forever()
 * [any | yes | yes]
 */
CONC_API int conc_tcp_serve(const char *host, uint16_t port, conc_stream_fn *fn, void *arg,
                            const conc_server_options *options, conc_deadline deadline);

/**
 * conc_tcp_serve() on a Unix socket, whose file, if it has one, is removed in the end.
 *
 * @param path  as of conc_unix_listen()
 * @return as conc_tcp_serve(), but as conc_unix_listen() where that says conc_tcp_listen()
 *
 * Python: asyncio.start_unix_server()
 * [any | yes | yes]
 */
CONC_API int conc_unix_serve(const char *path, conc_stream_fn *fn, void *arg,
                             const conc_server_options *options, conc_deadline deadline);

#ifdef __cplusplus
}
#endif
#endif
