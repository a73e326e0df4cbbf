/* SPDX-License-Identifier: MIT
 *
 * server.c: servers: accepting, a job for each connection, and how they end.
 *
 * How: the accepting is a job: a task of the loop in which the server was started, or a thread (an
 * executor of the server's own). It gives each connection to the executor as a job. Both kinds of
 * job have a callback at the end of their future (connection_finish(), server_finish_accepting()),
 * so that they are accounted for in every case: also if they were refused, or cancelled before they
 * began. In this callback, and nowhere else, a job leaves the server; after it, the job does not
 * touch the server.
 *
 * A connection is in `connections` from before it is submitted until its callback; `active` counts
 * these. When `active` is 0, and the accepting has ended, nothing of the server's runs any more and
 * the listening socket is closed: the server is idle, and may be freed.
 *
 * The accepting waits for three things. It waits for a connection in a scope, through which
 * conc_server_stop() ends that wait (cancelling the job instead would also cancel a handler that an
 * inline executor runs in it). It waits on `changed` for room under the limit of connections, and
 * there also, for a while, when descriptors or memory have run out. `scope_is_open` is set and
 * cleared under the lock, together with the scope: so the scope exists while it is cancelled.
 *
 * Cancelling calls back into this file (a job that has not begun ends at once, in the context that
 * cancels it), so it is done with the lock released. Before each cancellation the connection is
 * marked and moved to the end of the list: so none is missed and each is cancelled once, however
 * the list changes meanwhile. None is added then, because `stopping` is set.
 */
#include <conc/server.h>

#include <conc/cond.h>
#include <conc/executor_impl.h>
#include <conc/io.h>
#include <conc/net.h>

#include "base/alloc.h"
#include "base/invariant.h"
#include "executor/submit.h"
#include "future/callbacks.h"
#include "future/future_impl.h"
#include "future/unobserved.h"
#include "io/server_impl.h"

/* For sending what a handler has left unsent, if the options leave it open: as promised in
 * conc/server.h. */
#define SERVER_CLOSE_TIMEOUT CONC_S(30)

/* How long the accepting waits when the system lacks something, if no connection ends before: the
 * lack may be over without a sign, and ten attempts a second cost little. */
#define SERVER_PAUSE CONC_MS(100)

/* Connections that are accepted in a row, without waiting. Each wait takes a turn of the loop,
 * which is long when the loop has much to do: with one connection a turn the others could wait for
 * seconds. */
enum { SERVER_ACCEPTS_IN_A_ROW = 64 };

struct connection {
    struct list_node node; /* in server->connections; under its lock */
    conc_server *server;
    conc_future *job; /* a reference */
    uint32_t runner;  /* the id of the context that serves it, 0: none yet; under the lock */
    bool cancelled;   /* under the lock */
    int fd;           /* -1: its stream owns it */
};

struct conc_server {
    conc_stream_fn *handler;
    void *arg;
    conc_server_options options;
    conc_executor *executor; /* of the handlers */
    conc_executor *thread;   /* of the accepting; NULL: it is a task */
    conc_future *accept_job; /* a reference */
    int fd;
    int port;

    /* These belong to the accepting. */
    bool accept_begun;
    bool shortage_reported; /* the last attempt lacked something, which has been reported */
    int accepts_in_a_row;   /* connections since the last wait */

    /* The lock guards the rest. */
    conc_lock lock;
    conc_cond changed;
    struct list connections;
    size_t active;    /* how many are in `connections`; also read without the lock */
    size_t n_ended;   /* how many have left it; only grows */
    bool accept_runs; /* the accepting has not ended */
    int accept_error; /* why it has ended */
    bool stopping;
    bool scope_is_open;
    conc_scope scope; /* in which the accepting waits for a connection */
};

/* ---- Errors ---- */

static void server_report(const conc_server *srv, int err, const char *message)
{
    if (srv->options.on_error)
        srv->options.on_error(err, message, srv->arg);
    else
        conc__report_unobserved(err, message);
}

/* Report the error of a job that has ended, unless it was cancelled. */
static void server_report_job(const conc_server *srv, conc_future *job)
{
    int err = conc_future_error(job);
    if (err && err != -ECANCELED)
        server_report(srv, err, conc_future_message(job));
}

/* ---- A connection ---- */

/* The callback of a connection's job. */
static void connection_finish(conc_future *job, void *arg)
{
    struct connection *c = arg;
    conc_server *srv = c->server;
    server_report_job(srv, job);
    if (c->fd >= 0)
        conc_close(c->fd);
    conc_with_lock (&srv->lock) {
        invariant(srv->active > 0, "a connection that ends is counted");
        list_remove(&srv->connections, &c->node);
        store_relaxed(&srv->active, srv->active - 1);
        srv->n_ended++;
        conc_cond_notify_all(&srv->changed);
    }
    /* From here on the server may have been freed. */
    conc_future_unref(c->job);
    free_bytes(c);
}

/* The job of a connection. */
static int connection_serve(void *arg, void *result)
{
    struct connection *c = *(struct connection **)arg;
    conc_server *srv = c->server;
    conc_stream *stream;
    conc_with_lock (&srv->lock)
        c->runner = conc_context_id(NULL);
    int err = conc_stream_new(&stream, c->fd, &srv->options.stream);
    if (err)
        return err;
    c->fd = -1;
    err = srv->handler(stream, srv->arg);
    int closed = conc_stream_close(stream, conc_in(srv->options.close_timeout_ns));
    return err ? err : closed;
}

/* Add a connection; false: the server is stopping. */
static bool connection_add(conc_server *srv, struct connection *c)
{
    bool joins = false;
    conc_with_lock (&srv->lock) {
        joins = !srv->stopping;
        if (joins) {
            list_push(&srv->connections, &c->node);
            store_relaxed(&srv->active, srv->active + 1);
        }
    }
    return joins;
}

/* Make a job with a callback for its end. NULL: out of memory. */
static conc_future *server_new_job(conc_executor *executor, conc_fn *fn, const void *arg,
                                   size_t size, conc_done_fn *ended, void *ended_arg)
{
    conc_future *job = conc__job_new(fn, arg, size, 0);
    if (!job)
        return NULL;
    job->executor = executor;
    if (!conc__future_add_hook(job, ended, ended_arg))
        return job;
    conc_future_unref(job);
    return NULL;
}

/* Takes fd. 0, also if the server is stopping; -ENOMEM. */
static int connection_start(conc_server *srv, int fd)
{
    int err = -ENOMEM;
    struct connection *c = alloc_one(struct connection);
    if (!c)
        goto close_fd;
    conc_future *job =
        server_new_job(srv->executor, connection_serve, &c, sizeof c, connection_finish, c);
    if (!job)
        goto free_connection;
    *c = (struct connection){.server = srv, .job = conc_future_ref(job), .fd = fd};
    if (!connection_add(srv, c)) {
        err = 0;
        goto unref_job;
    }
    conc__executor_submit(srv->executor, job); /* refused: connection_finish() reports it */
    conc_future_unref(job);
    return 0;

unref_job: /* it has never been submitted, so its callback is not called */
    conc_future_unref(c->job);
    conc_future_unref(job);
free_connection:
    free_bytes(c);
close_fd:
    conc_close(fd);
    return err;
}

/* ---- Accepting ---- */

/* Open the scope in which conc_server_stop() can end a call; false: the server is stopping. */
static bool server_open_scope(conc_server *srv)
{
    bool goes_on = false;
    conc_with_lock (&srv->lock) {
        goes_on = !srv->stopping;
        if (goes_on) {
            conc_scope_enter(&srv->scope, CONC_FOREVER);
            srv->scope_is_open = true;
        }
    }
    return goes_on;
}

static void server_close_scope(conc_server *srv)
{
    conc_with_lock (&srv->lock) {
        srv->scope_is_open = false;
        conc_scope_exit(&srv->scope);
    }
}

static bool server_has_room(void *arg)
{
    const conc_server *srv = arg;
    const size_t most = srv->options.max_connections;
    return srv->stopping || !most || srv->active < most;
}

static int server_wait_for_room(conc_server *srv)
{
    int err = 0;
    conc_with_lock (&srv->lock)
        err = conc_cond_wait_for(&srv->changed, server_has_room, srv, CONC_FOREVER);
    return err;
}

/* Is the listening socket unusable? Every other error may pass. */
static bool server_error_is_fatal(int err)
{
    return err == -EBADF || err == -EINVAL || err == -ENOTSOCK || err == -EOPNOTSUPP ||
           err == -ESHUTDOWN;
}

/* Descriptors or memory have run out, or something else is wrong: wait until a connection has given
 * back what it had, or SERVER_PAUSE. 0; -ECANCELED. */
static int server_pause(conc_server *srv, int err)
{
    if (!srv->shortage_reported)
        server_report(srv, err, "cannot accept connections for now, but goes on trying");
    srv->shortage_reported = true;
    const conc_deadline end = conc_in(SERVER_PAUSE);
    int waited = 0;
    conc_with_lock (&srv->lock) {
        const size_t n_ended = srv->n_ended;
        while (!waited && !srv->stopping && srv->n_ended == n_ended)
            waited = conc_cond_wait(&srv->changed, end);
    }
    return waited == -ECANCELED ? waited : 0;
}

/* Returns the next connection's descriptor, or an error. */
static int server_accept_next(conc_server *srv)
{
    int fd = -EAGAIN;
    if (srv->accepts_in_a_row < SERVER_ACCEPTS_IN_A_ROW)
        fd = conc_accept(srv->fd, NULL, NULL, CONC_NOW);
    srv->accepts_in_a_row = fd >= 0 ? srv->accepts_in_a_row + 1 : 0;
    return fd == -EAGAIN ? conc_accept(srv->fd, NULL, NULL, CONC_FOREVER) : fd;
}

/* Accept one connection, or pause. 0: go on. */
static int server_accept_one(conc_server *srv)
{
    int err = server_wait_for_room(srv);
    if (err)
        return err;
    if (!server_open_scope(srv))
        return -ECANCELED;
    int fd = server_accept_next(srv);
    server_close_scope(srv);
    if (server_error_is_fatal(fd))
        return conc_raise(fd, "cannot accept connections any more: %s", conc_strerror(fd));
    if (fd == -ECANCELED)
        return fd;
    err = fd < 0 ? fd : connection_start(srv, fd);
    if (err)
        return server_pause(srv, err);
    srv->shortage_reported = false;
    return 0;
}

/* The job of the accepting. */
static int server_accept_all(void *arg, void *result)
{
    conc_server *srv = *(conc_server **)arg;
    srv->accept_begun = true;
    conc_context_set_name("accept");
    for (;;) {
        int err = server_accept_one(srv);
        if (err)
            return err;
    }
}

/* Its callback. */
static void server_finish_accepting(conc_future *job, void *arg)
{
    conc_server *srv = arg;
    const int err = conc_future_error(job);
    /* Refused: server_start_accepting() returns the error, and the socket stays its owner's. */
    if (!srv->accept_begun && !conc_future_is_cancelled(job))
        return;
    server_report_job(srv, job);
    conc_close(srv->fd);
    conc_with_lock (&srv->lock) {
        srv->accept_runs = false;
        srv->accept_error = err;
        conc_cond_notify_all(&srv->changed);
    }
    /* From here on the server may have been freed. */
}

/* ---- Starting ---- */

static void server_free_memory(conc_server *srv)
{
    conc_executor_free(srv->thread);
    conc_future_unref(srv->accept_job);
    free_bytes(srv);
}

/* Gives what runs the accepting: the caller's loop, or a thread. */
static int server_choose_acceptor(conc_server *srv, conc_executor **ret)
{
    *ret = context_self()->submits_to;
    if (*ret)
        return 0;
    int err = conc_thread_per_job_new(&srv->thread);
    if (err)
        return err;
    *ret = srv->thread;
    return 0;
}

static int server_start_accepting(conc_server *srv)
{
    conc_executor *acceptor;
    int err = server_choose_acceptor(srv, &acceptor);
    if (err)
        return err;
    srv->accept_job =
        server_new_job(acceptor, server_accept_all, &srv, sizeof srv, server_finish_accepting, srv);
    if (!srv->accept_job)
        return -ENOMEM;
    srv->accept_runs = true;
    return conc__executor_submit(acceptor, srv->accept_job);
}

int conc_server_start(conc_server **ret, int fd, conc_stream_fn *handler, void *arg,
                      const conc_server_options *options)
{
    const conc_server_options defaults = {0};
    if (!options)
        options = &defaults;
    conc_executor *executor = options->executor ? options->executor : context_self()->submits_to;
    if (!ret || !handler || !executor || options->close_timeout_ns < 0 || options->grace_ns < 0)
        return -EINVAL;
    int port = conc_tcp_port(fd);
    if (port < 0 && port != -EINVAL)
        return port;
    conc_server *srv = alloc_one(conc_server);
    if (!srv)
        return -ENOMEM;
    srv->handler = handler;
    srv->arg = arg;
    srv->options = *options;
    if (srv->options.close_timeout_ns == 0)
        srv->options.close_timeout_ns = SERVER_CLOSE_TIMEOUT;
    srv->executor = executor;
    srv->fd = fd;
    srv->port = port;
    conc_cond_init(&srv->changed, &srv->lock);
    int err = server_start_accepting(srv);
    if (err) {
        server_free_memory(srv);
        return err;
    }
    *ret = srv;
    return 0;
}

/* ---- Stopping ---- */

/* Is the caller one of the server's handlers, which would wait for itself? */
static bool server_is_called_by_handler(conc_server *srv)
{
    const uint32_t self = conc_context_id(NULL);
    struct list_node *n = NULL;
    conc_with_lock (&srv->lock) {
        n = srv->connections.head;
        while (n && list_entry(n, struct connection, node)->runner != self)
            n = list_next(&srv->connections, n);
    }
    return n != NULL;
}

static void server_stop_accepting(conc_server *srv)
{
    conc_with_lock (&srv->lock) {
        srv->stopping = true;
        if (srv->scope_is_open)
            conc_scope_cancel(&srv->scope);
        conc_cond_notify_all(&srv->changed);
    }
}

/* Mark the next connection that has not been cancelled. Returns a reference to its job; NULL: there
 * is none. */
static conc_future *server_next_to_cancel(conc_server *srv)
{
    conc_future *job = NULL;
    conc_with_lock (&srv->lock) {
        struct list_node *first = srv->connections.head;
        struct connection *c = first ? list_entry(first, struct connection, node) : NULL;
        if (c && !c->cancelled) {
            c->cancelled = true;
            list_remove(&srv->connections, first);
            list_push(&srv->connections, first);
            job = conc_future_ref(c->job);
        }
    }
    return job;
}

static void server_cancel_jobs(conc_server *srv)
{
    conc_future *job;
    conc_future_cancel(srv->accept_job);
    while ((job = server_next_to_cancel(srv))) {
        conc_future_cancel(job);
        conc_future_unref(job);
    }
}

static bool server_is_idle(void *arg)
{
    const conc_server *srv = arg;
    return !srv->accept_runs && !srv->active;
}

static bool server_has_stopped_accepting(void *arg) { return !((conc_server *)arg)->accept_runs; }

static int server_wait_until(conc_server *srv, conc_predicate_fn *condition, conc_deadline deadline)
{
    int err = 0;
    conc_with_lock (&srv->lock)
        err = conc_cond_wait_for(&srv->changed, condition, srv, deadline);
    return err;
}

int conc_server_stop(conc_server *srv, conc_deadline deadline)
{
    if (server_is_called_by_handler(srv))
        return -EDEADLK;
    server_stop_accepting(srv);
    int err = server_wait_until(srv, server_is_idle, deadline);
    if (!err || deadline_is_now(deadline))
        return err;
    server_cancel_jobs(srv);
    conc_scope shield;
    conc_shield_enter(&shield);
    server_wait_until(srv, server_is_idle, CONC_FOREVER);
    conc_shield_exit(&shield);
    return err;
}

int conc_server_free(conc_server *srv)
{
    if (!srv)
        return 0;
    conc_scope shield;
    conc_shield_enter(&shield);
    int err = conc_server_stop(srv, conc_in(0));
    conc_shield_exit(&shield);
    if (err == -EDEADLK)
        return err;
    invariant(server_is_idle(srv), "a server is freed when nothing of it runs");
    server_free_memory(srv);
    return 0;
}

int conc__server_wait(conc_server *srv, conc_deadline deadline)
{
    int err = server_wait_until(srv, server_has_stopped_accepting, deadline);
    return err ? err : srv->accept_error;
}

int conc_server_port(const conc_server *srv) { return srv->port; }

size_t conc_server_n_connections(const conc_server *srv)
{
    return load_relaxed(&srv->active); /* relaxed: true only for the moment */
}
