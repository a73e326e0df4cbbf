/* SPDX-License-Identifier: MIT
 *
 * spawner_main.c: the fork server itself: a process with one thread that only forks on request,
 * reaps, and reports. See spawner.c for how it is made.
 *
 * Each request to start brings two descriptors: the channel, which is the child's, and a packet
 * socket on which the server reports on this one child: that it is there, and how it has ended.
 * Only the parent of a child learns that, and these reports bring it to the process that wants to
 * know. If the socket ends without a last report, the server has died.
 *
 * The server ends when the other end of its own socket is closed, which happens when the process
 * that has started it ends, in whatever way. Its children die with it: each asks the kernel to be
 * killed then (PR_SET_PDEATHSIG), and looks afterwards whether its parent is still there, so there
 * is no gap.
 *
 * Signals: all are blocked in the server (SIGCHLD comes by a descriptor), so that a signal to the
 * process group of the program does not end the server before the program ends. Its children begin
 * with the mask, and with the actions for SIGCHLD and SIGINT, that were there before; but pool
 * workers ignore SIGINT.
 *
 * A child has none of the server's descriptors but its channel: the sockets for the reports of the
 * others would stay open in it.
 */
#include "process/spawner.h"

#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/fd.h"
#include "base/fd_message.h"
#include "base/quiet.h"
#include "process/code.h"
#include "wait/context.h"

/* A child that has not been reaped. */
struct ward {
    struct ward *next;
    uint64_t number;
    pid_t pid;
    int report_fd;
    bool not_killed; /* that was reported */
};

struct server {
    int fd, signal_fd;
    pid_t pid;
    uint64_t started;
    struct ward *wards;
    sigset_t mask; /* as it was before */
    struct sigaction on_child;
    int spare[REQUEST_FDS]; /* room for the descriptors of the next request; -1: there is none */
};

/* ---- Descriptors ---- */

/* Close the descriptors from `from` to `to`, both included. */
static void fds_close_between(unsigned from, unsigned to)
{
    if (from > to)
        return;
#ifdef SYS_close_range
    if (syscall(SYS_close_range, from, to, 0) == 0)
        return;
#endif
    DIR *dir = opendir("/proc/self/fd");
    if (!dir)
        return;
    for (struct dirent *e; (e = readdir(dir));) {
        unsigned fd = (unsigned)strtoul(e->d_name, NULL, 10);
        if (e->d_name[0] != '.' && fd >= from && fd <= to && fd != (unsigned)dirfd(dir))
            close((int)fd);
    }
    closedir(dir);
}

/* All but the standard ones and this one. */
static void fds_close_all_but(int fd)
{
    if (fd > 3)
        fds_close_between(3, (unsigned)fd - 1);
    fds_close_between(fd < 3 ? 3 : (unsigned)fd + 1, ~0U);
}

/* ---- The child ---- */

void conc__child_exit(int status)
{
    fflush(NULL);
    _exit(status);
}

static void child_die_with(pid_t parent)
{
    if (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0 || getppid() != parent)
        _exit(1);
}

/* The action as it was before. While a child is made, and in workers for good, SIGINT is ignored:
 * the Ctrl-C of a terminal goes to all processes, and would break the pool of a program that wants
 * to end in good order. */
static struct sigaction on_interrupt;

/* A message that is not as it should be is a mistake of libconc's own. */
static void child_run(int fd)
{
    conc_pipe *channel;
    conc_bytes message;
    struct child_start server_start_child;
    int fds[CONC_PIPE_FDS_MAX];
    size_t n_fds;
    uintptr_t base;
    if (conc_pipe_new_from_fd(&channel, fd) ||
        conc_pipe_recv_fds(channel, &message, fds, &n_fds, CONC_FOREVER))
        _exit(1); /* the process that wanted the child has ended */
    memcpy(&server_start_child, message.data, sizeof server_start_child);
    char *path = (char *)message.data + sizeof server_start_child;
    conc_context_set_name(server_start_child.name);
    int err = conc__code_base(path, &base);
    if (err) {
        conc__report("libconc: process %s: %s\n", server_start_child.name, conc_describe(err));
        _exit(1);
    }
    const struct child_role *role =
        server_start_child.kind == CHILD_WORKER ? &conc__worker_role : &conc__process_role;
    if (!role->ignores_interrupt)
        sigaction(SIGINT, &on_interrupt, NULL);
    role->main(channel, &server_start_child,
               server_start_child.offset ? code_at(base, server_start_child.offset) : NULL,
               &message, path + server_start_child.path_size, fds, n_fds);
}

static void child_become(struct server *s, int channel)
{
    child_die_with(s->pid);
    while (s->wards) {
        struct ward *w = s->wards;
        s->wards = w->next;
        free_bytes(w);
    }
    fds_close_all_but(channel);
    sigaction(SIGCHLD, &s->on_child, NULL);
    pthread_sigmask(SIG_SETMASK, &s->mask, NULL);
    child_run(channel);
}

/* ---- Reports ---- */

/* There is room for the three reports on a child. If the other end is closed, that is no error. */
static void ward_report(const struct ward *w, enum report_kind kind, int value)
{
    const struct report r = {kind, value, w->number};
    send(w->report_fd, &r, sizeof r, MSG_NOSIGNAL | MSG_DONTWAIT);
}

static void server_reap(struct server *s)
{
    int status;
    pid_t pid;
    while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
        struct ward **at = &s->wards;
        while (*at && (*at)->pid != pid)
            at = &(*at)->next;
        struct ward *w = *at;
        if (!w)
            continue;
        ward_report(w, REPORT_ENDED, WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status));
        close(w->report_fd);
        *at = w->next;
        free_bytes(w);
    }
}

/* ---- Requests ---- */

static void server_start_child(struct server *s, const int fds[2])
{
    struct ward none = {.report_fd = fds[1]}, *w = alloc_one(struct ward);
    pid_t pid = w ? fork() : -1;
    if (pid == 0) {
        free_bytes(w);
        child_become(s, fds[0]);
    }
    close(fds[0]);
    if (pid < 0) {
        ward_report(&none, REPORT_STARTED, w ? -errno : -ENOMEM);
        close(fds[1]);
        free_bytes(w);
        return;
    }
    *w = (struct ward){s->wards, ++s->started, pid, fds[1], false};
    s->wards = w;
    ward_report(w, REPORT_STARTED, pid);
}

/* The ward is not reaped, so the pid is still its own. */
static void ward_signal(struct ward *w, int signo)
{
    if (kill(w->pid, signo) == 0 || signo != SIGKILL || w->not_killed)
        return;
    w->not_killed = true;
    ward_report(w, REPORT_NOT_KILLED, 0);
}

static void server_signal(const struct server *s, const struct request *r)
{
    for (struct ward *w = s->wards; w; w = w->next)
        if (w->number == r->child)
            ward_signal(w, r->signo);
}

static void server_give_up_spare(struct server *s)
{
    for (size_t i = 0; i < REQUEST_FDS; i++)
        if (s->spare[i] >= 0)
            close(s->spare[i]);
    s->spare[0] = s->spare[1] = -1;
}

/* If there were no room for the descriptors of a request, it would come without them, and could not
 * be answered. */
static bool server_take_spare(struct server *s)
{
    s->spare[0] = fcntl(s->fd, F_DUPFD_CLOEXEC, 3);
    s->spare[1] = fcntl(s->fd, F_DUPFD_CLOEXEC, 3);
    if (s->spare[1] < 0)
        server_give_up_spare(s);
    return s->spare[1] >= 0;
}

static void server_refuse(const int fds[2])
{
    const struct ward none = {.report_fd = fds[1]};
    ward_report(&none, REPORT_STARTED, -EMFILE);
    close(fds[0]);
    close(fds[1]);
}

static void server_carry_out(struct server *s, const struct request *r, const int *fds, size_t n,
                             bool has_spare)
{
    if (r->kind == REQUEST_SIGNAL)
        server_signal(s, r);
    else if (r->kind != REQUEST_START || n != REQUEST_FDS)
        conc__fds_close(fds, n); /* the end of the socket, or nothing that libconc sends */
    else if (has_spare)
        server_start_child(s, fds);
    else
        server_refuse(fds);
}

/* False: there will be no more requests. */
static bool server_serve(struct server *s)
{
    struct request r = {0};
    struct fd_room room;
    int fds[REQUEST_FDS];
    bool lost = false;
    struct iovec all = {&r, sizeof r};
    struct msghdr msg = {.msg_iov = &all, .msg_iovlen = 1};
    conc__fd_message_expect(&msg, &room);
    server_give_up_spare(s);
    ssize_t n = recvmsg(s->fd, &msg, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
    if (n < 0)
        return errno == EAGAIN || errno == EINTR;
    size_t n_fds = conc__fd_message_take(&msg, fds, REQUEST_FDS, &lost);
    const bool has_spare = server_take_spare(s);
    server_carry_out(s, &r, fds, n_fds, has_spare);
    return n > 0;
}

static void server_hold_signals(struct server *s)
{
    sigset_t all, child;
    struct sigaction act = {.sa_handler = SIG_DFL};
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &s->mask);
    sigaction(SIGCHLD, &act, &s->on_child);
    act.sa_handler = SIG_IGN;
    sigaction(SIGINT, &act, &on_interrupt);
    sigemptyset(&child);
    sigaddset(&child, SIGCHLD);
    s->signal_fd = conc__fd_own(signalfd(-1, &child, SFD_CLOEXEC | SFD_NONBLOCK));
}

static void server_forget_caller(void)
{
    struct conc_context *self = context_self();
    conc__scopes_set(self, NULL); /* the scopes are those of the call that has started the server */
    self->works_for = NULL;
    conc_context_set_name("fork-server");
}

void conc__server_main(int fd)
{
    struct server s = {.fd = fd, .pid = getpid(), .spare = {-1, -1}};
    fds_close_all_but(fd);
    server_forget_caller();
    server_hold_signals(&s);
    bool on = s.signal_fd >= 0;
    while (on) {
        struct pollfd p[] = {{.fd = fd, .events = POLLIN}, {.fd = s.signal_fd, .events = POLLIN}};
        struct signalfd_siginfo info;
        poll(p, 2, -1);
        while (read(s.signal_fd, &info, sizeof info) > 0)
            continue;
        server_reap(&s);
        if (p[0].revents)
            on = server_serve(&s);
    }
    _exit(0);
}
