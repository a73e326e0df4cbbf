/* SPDX-License-Identifier: MIT
 *
 * subprocess_communicate.c: talking to a child program until its end: its input is written while
 * its output and error output are read, because a child that cannot write does not read either.
 *
 * How: an epoll descriptor holds the three pipes. It is itself a descriptor that becomes readable,
 * so one wait for it, by a task or a thread, is a wait for all three. What is ready is then read or
 * written without waiting. A pipe that is no longer needed is closed, and so leaves the epoll set.
 *
 * The progress is kept in the child (`fed`, `output`), not in the call: a call that is ended by its
 * deadline loses nothing.
 */
#include <conc/subprocess.h>

#include <poll.h>
#include <sys/epoll.h>
#include <unistd.h>

#include <conc/io.h>

#include "base/atomic.h"
#include "base/fd.h"
#include "io/subprocess_impl.h"
#include "wait/wait.h"

/* Bytes that are read at a time: as many as a pipe holds by default. */
#define COMMUNICATE_CHUNK ((size_t)64 * 1024)

static void communicate_close_pipe(conc_subprocess *p, int which)
{
    conc_close(p->pipes[which]);
    p->pipes[which] = -1;
}

/* Write what the pipe has room for. */
static int communicate_feed(conc_subprocess *p, const char *in, size_t size)
{
    ssize_t n = conc_write(p->pipes[STDIN_FILENO], in + p->fed, size - p->fed, CONC_NOW);
    if (n == -EAGAIN)
        return 0;
    if (n < 0 && n != -EPIPE)
        return (int)n;
    if (n > 0)
        p->fed += (size_t)n;
    if (p->fed == size || n == -EPIPE) /* that was all, or all that the child wants */
        communicate_close_pipe(p, STDIN_FILENO);
    return 0;
}

/* Read what is there. */
static int communicate_drain(conc_subprocess *p, int which)
{
    struct buffer *b = &p->output[which - STDOUT_FILENO];
    int err = conc__buffer_reserve(b, COMMUNICATE_CHUNK);
    if (err)
        return err;
    ssize_t n = conc_read(p->pipes[which], buffer_back(b), buffer_tail(b), CONC_NOW);
    if (n > 0)
        buffer_added(b, (size_t)n);
    else if (n == 0)
        communicate_close_pipe(p, which);
    else if (n != -EAGAIN)
        return (int)n;
    return 0;
}

static int communicate_watch_pipes(const conc_subprocess *p, int ep)
{
    for (int i = 0; i < SUBPROCESS_FDS; i++) {
        struct epoll_event e = {.events = i == STDIN_FILENO ? EPOLLOUT : EPOLLIN, .data.fd = i};
        if (p->pipes[i] >= 0 && epoll_ctl(ep, EPOLL_CTL_ADD, p->pipes[i], &e) != 0)
            return -errno;
    }
    return 0;
}

static bool communicate_has_pipe(const conc_subprocess *p)
{
    for (int i = 0; i < SUBPROCESS_FDS; i++)
        if (p->pipes[i] >= 0)
            return true;
    return false;
}

/* Wait until some pipes are ready, and move what can be moved. */
static int communicate_step(conc_subprocess *p, int ep, const char *in, size_t size,
                            conc_deadline deadline)
{
    struct epoll_event events[SUBPROCESS_FDS];
    int ready = conc_poll_fd(ep, POLLIN, deadline);
    if (ready < 0)
        return ready;
    ready = epoll_wait(ep, events, SUBPROCESS_FDS, 0);
    for (int i = 0; i < ready; i++) {
        const int which = events[i].data.fd;
        int err =
            which == STDIN_FILENO ? communicate_feed(p, in, size) : communicate_drain(p, which);
        if (err)
            return err;
    }
    return 0;
}

/* Move bytes until all pipes are closed. */
static int communicate_pump(conc_subprocess *p, const char *in, size_t size, conc_deadline deadline)
{
    int ep = conc__fd_own(epoll_create1(EPOLL_CLOEXEC));
    if (ep < 0)
        return ep;
    int err = communicate_watch_pipes(p, ep);
    while (!err && communicate_has_pipe(p))
        err = communicate_step(p, ep, in, size, deadline);
    conc_close(ep);
    return err;
}

static int communicate_run(conc_subprocess *p, const char *in, size_t size, conc_deadline deadline)
{
    if (p->pipes[STDIN_FILENO] >= 0 && size < p->fed)
        return -EINVAL; /* this is not the input of the call before */
    if (p->pipes[STDIN_FILENO] >= 0 && size == p->fed)
        communicate_close_pipe(p, STDIN_FILENO);
    int err = communicate_has_pipe(p) ? communicate_pump(p, in, size, deadline) : 0;
    return err ? err : conc_subprocess_join(p, deadline);
}

/* Give what has come. ret and size may be NULL. */
static void communicate_give(struct buffer *b, const char **ret, size_t *size)
{
    if (b->bytes)
        *buffer_back(b) = '\0'; /* there is room for it: see buffer.h */
    if (ret)
        *ret = b->bytes ? buffer_front(b) : "";
    if (size)
        *size = buffer_size(b);
}

int conc_subprocess_communicate(conc_subprocess *p, const void *in, size_t in_size,
                                const char **out, size_t *out_size, const char **err,
                                size_t *err_size, conc_deadline deadline)
{
    if (in_size && (!in || !p->input_is_pipe))
        return -EINVAL;
    int failed = wait_checkpoint(deadline);
    if (failed)
        return failed;
    if (exchange_acquire(&p->communicating, 1))
        return -EBUSY;
    failed = communicate_run(p, in, in_size, deadline);
    if (!failed) {
        communicate_give(&p->output[0], out, out_size);
        communicate_give(&p->output[1], err, err_size);
    }
    store_release(&p->communicating, 0);
    return failed;
}
