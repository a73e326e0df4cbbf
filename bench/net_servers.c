/* SPDX-License-Identifier: MIT
 *
 * net_servers.c: echo servers on one thread: libconc's tasks on either backend, and what one writes
 * by hand for io_uring and for epoll.
 *
 * All of them receive into BUFFER_SIZE bytes, and send with one call what one call has received. A
 * send that takes only a part does not happen with so short messages; then the connection is
 * closed.
 *
 * Raw io_uring: one system call a turn submits what the completions of the last one led to and
 * waits for more; each recv and send is an entry. Only the accept is multishot. Raw epoll:
 * level-triggered; a connection is registered once.
 */
#include "net.h"

#include <conc.h>
#include <conc/io.h>
#include <conc/net.h>
#include <fcntl.h>
#include <liburing.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "bench.h"

enum { BUFFER_SIZE = 1024 };

/* ---- libconc ---- */

struct conc_connection {
    int fd;
    bool once;
};

static int answer(void *arg, void *result)
{
    const struct conc_connection *c = arg;
    char buf[BUFFER_SIZE];
    ssize_t n;
    while ((n = conc_recv(c->fd, buf, sizeof buf, 0, CONC_FOREVER)) > 0)
        if (conc_sendall(c->fd, buf, (size_t)n, 0, CONC_FOREVER) != 0 || c->once)
            break;
    return conc_close(c->fd);
}

static int accept_all(void *arg, void *result)
{
    struct conc_connection c = *(struct conc_connection *)arg;
    const int listener = c.fd;
    while ((c.fd = conc_accept(listener, NULL, NULL, CONC_FOREVER)) >= 0)
        conc_future_unref(conc_spawn(answer, &c, sizeof c, 0));
    return c.fd; /* is reported, as nobody asks for it */
}

static void serve_by_tasks(conc_backend backend, int listener, bool once)
{
    conc_loop *loop;
    must(conc_loop_new(&loop, &(conc_loop_options){.backend = backend}), "conc_loop_new");
    conc_future_unref(conc_task_start(loop, accept_all, &(struct conc_connection){listener, once},
                                      sizeof(struct conc_connection), 0, NULL));
    must(conc_loop_run_forever(loop), "conc_loop_run_forever");
}

/* ---- io_uring ---- */

enum uring_step { ACCEPTED, RECEIVED, SENT, STEPS };

struct uring_connection {
    int fd;
    int size; /* of what was received */
    char buf[BUFFER_SIZE];
};

enum { URING_ENTRIES = 2048 };

static int make_ring(struct io_uring *ring)
{
    struct io_uring_params best = {.flags =
                                       IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN};
    struct io_uring_params plain = {0}; /* before Linux 6.1 */
    int err = io_uring_queue_init_params(URING_ENTRIES, ring, &best);
    return err == -EINVAL ? io_uring_queue_init_params(URING_ENTRIES, ring, &plain) : err;
}

static struct io_uring_sqe *entry(struct io_uring *ring)
{
    struct io_uring_sqe *sqe = io_uring_get_sqe(ring);
    if (sqe == NULL) {
        io_uring_submit(ring);
        sqe = io_uring_get_sqe(ring);
    }
    return sqe;
}

/* What a completion belongs to: malloc() leaves the pointer's low bits free for the step. */
static void name_entry(struct io_uring_sqe *sqe, struct uring_connection *c, enum uring_step step)
{
    sqe->user_data = (uintptr_t)c | step;
}

static void enter_accept(struct io_uring *ring, int listener)
{
    struct io_uring_sqe *sqe = entry(ring);
    io_uring_prep_multishot_accept(sqe, listener, NULL, NULL, SOCK_CLOEXEC);
    name_entry(sqe, NULL, ACCEPTED);
}

static void enter_recv(struct io_uring *ring, struct uring_connection *c)
{
    struct io_uring_sqe *sqe = entry(ring);
    io_uring_prep_recv(sqe, c->fd, c->buf, sizeof c->buf, 0);
    name_entry(sqe, c, RECEIVED);
}

static void enter_send(struct io_uring *ring, struct uring_connection *c)
{
    struct io_uring_sqe *sqe = entry(ring);
    io_uring_prep_send(sqe, c->fd, c->buf, (size_t)c->size, MSG_NOSIGNAL);
    name_entry(sqe, c, SENT);
}

static void accepted(struct io_uring *ring, int fd)
{
    must(fd < 0 ? fd : 0, "accept");
    struct uring_connection *c = malloc(sizeof *c);
    must(c == NULL, "out of memory");
    c->fd = fd;
    enter_recv(ring, c);
}

static void end_connection(struct uring_connection *c)
{
    close(c->fd);
    free(c);
}

static void completed(struct io_uring *ring, const struct io_uring_cqe *cqe, int listener,
                      bool once)
{
    struct uring_connection *c =
        (struct uring_connection *)(uintptr_t)(cqe->user_data & ~(uint64_t)3);
    switch (cqe->user_data & 3) {
    case ACCEPTED:
        accepted(ring, cqe->res);
        if (!(cqe->flags & IORING_CQE_F_MORE))
            enter_accept(ring, listener);
        break;
    case RECEIVED:
        c->size = cqe->res;
        if (cqe->res > 0)
            enter_send(ring, c);
        else
            end_connection(c);
        break;
    default:
        if (cqe->res == c->size && !once)
            enter_recv(ring, c);
        else
            end_connection(c);
    }
}

static void serve_by_uring(int listener, bool once)
{
    struct io_uring ring;
    must(make_ring(&ring), "io_uring_queue_init_params");
    /* Of a listener in non-blocking mode it would say that there is nothing. */
    must(fcntl(listener, F_SETFL, fcntl(listener, F_GETFL) & ~O_NONBLOCK), "fcntl");
    enter_accept(&ring, listener);
    for (;;) {
        struct io_uring_cqe *cqe;
        unsigned head, n = 0;
        int err = io_uring_submit_and_wait(&ring, 1);
        must(err < 0 && err != -EINTR ? err : 0, "io_uring_submit_and_wait");
        io_uring_for_each_cqe(&ring, head, cqe)
        {
            completed(&ring, cqe, listener, once);
            n++;
        }
        io_uring_cq_advance(&ring, n);
    }
}

/* ---- epoll ---- */

enum { EVENTS = 512 };

static void watch(int epoll, int fd)
{
    struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};
    must(epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event), "epoll_ctl");
}

static void accept_ready(int epoll, int listener)
{
    int fd;
    while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0)
        watch(epoll, fd);
    must(errno != EAGAIN ? errno : 0, "accept4");
}

static void answer_ready(int fd, bool once)
{
    char buf[BUFFER_SIZE];
    ssize_t n = recv(fd, buf, sizeof buf, 0);
    if (n < 0 && errno == EAGAIN)
        return;
    if (n <= 0 || send(fd, buf, (size_t)n, MSG_NOSIGNAL) != n || once)
        close(fd);
}

static void serve_by_epoll(int listener, bool once)
{
    struct epoll_event events[EVENTS];
    int epoll = epoll_create1(EPOLL_CLOEXEC);
    must(epoll < 0, "epoll_create1");
    watch(epoll, listener);
    for (;;) {
        int n = epoll_wait(epoll, events, EVENTS, -1);
        for (int i = 0; i < n; i++) {
            if (events[i].data.fd == listener)
                accept_ready(epoll, listener);
            else
                answer_ready(events[i].data.fd, once);
        }
    }
}

/* ---- All of them ---- */

bool can_serve(enum server_kind kind)
{
    struct io_uring ring;
    if (kind == CONC_BY_EPOLL || kind == RAW_EPOLL)
        return true;
    if (make_ring(&ring) != 0)
        return false;
    io_uring_queue_exit(&ring);
    return true;
}

void serve(enum server_kind kind, int listener, bool once)
{
    if (kind == RAW_URING)
        serve_by_uring(listener, once);
    else if (kind == RAW_EPOLL)
        serve_by_epoll(listener, once);
    else
        serve_by_tasks(kind == CONC_BY_URING ? CONC_BACKEND_URING : CONC_BACKEND_EPOLL, listener,
                       once);
    _exit(EXIT_FAILURE); /* they end only with the process */
}
