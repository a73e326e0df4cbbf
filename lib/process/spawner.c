/* SPDX-License-Identifier: MIT
 *
 * spawner.c: the program's side of the fork server: how the server is made, and asking it for
 * children.
 *
 * A fork of a process with several threads copies locks that no thread will ever release, so no
 * child is forked from the program itself. The server is a process that has one thread, always. It
 * is made when conc_process_prepare() is called, or else with the first child:
 *
 * - by a fork, if there is one thread now, because then no other thread can hold a lock. The
 *   children see the program's variables as they are at that time.
 * - else (or if the caller stands on the small stack of a task or a generator, which the children
 *   would have) by running the program once more, which costs some milliseconds. Our constructor
 *   finds a variable in the environment and serves; main() is never reached. The children see the
 *   program's variables as they are before main().
 *
 * In the second case, and if libconc is a shared library, we have to run the constructors of the
 * program itself, because the dynamic linker would run them after ours. The constructors of the
 * libraries between the two are not run.
 *
 * If the server has died the next request starts another. The thread that notices the death reaps
 * its zombie.
 *
 * A fork by the program: the child forgets the server, which is its parent's. What its parent has
 * made with the server is dead in the child (conc__forks() tells them apart).
 */
#include "process/spawner.h"

#include <spawn.h>

#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <conc/io.h>
#include <conc/lock.h>
#include <conc/net.h>
#include <conc/process.h>

#include "base/alloc.h"
#include "base/checkers.h"
#include "base/fd.h"
#include "base/fd_message.h"
#include "process/code.h"
#include "task/stack.h"

#define SERVER_VARIABLE "CONC_FORK_SERVER"

static struct {
    conc_lock lock; /* of the next three */
    int fd;         /* -1: there is none */
    pid_t pid;
    uint32_t number; /* which one it is; 0: none was ever started */
} server = {.fd = -1};

/* ---- After a fork ---- */

static void server_after_fork_in_child(void)
{
    if (server.fd >= 0)
        close(server.fd);
    conc_lock_init(&server.lock);
    server.fd = -1;
}

static void server_watch_forks(void) { pthread_atfork(NULL, NULL, server_after_fork_in_child); }

/* ---- Starting it ---- */

/* 0: the number cannot be found out. */
static size_t threads_count(void)
{
    size_t n = 0;
    DIR *dir = opendir("/proc/self/task");
    if (!dir)
        return 0;
    for (struct dirent *e; (e = readdir(dir));)
        n += e->d_name[0] != '.';
    closedir(dir);
    return n;
}

static pid_t server_start_by_fork(int theirs)
{
    fflush(NULL); /* otherwise each child would write what is in the buffers */
    pid_t pid = fork();
    if (pid == 0)
        conc__server_main(theirs);
    return pid < 0 ? -errno : pid;
}

/* The environment with our variable. NULL: there is no memory. */
static char **server_environment(char *variable)
{
    size_t n = 0;
    while (environ[n])
        n++;
    char **env = alloc_array(n + 2, sizeof *env);
    if (env) {
        memcpy(env + 1, environ, n * sizeof *env);
        env[0] = variable;
    }
    return env;
}

/* The link /proc/self/exe itself, not the path that it contains, because the file may have been
 * replaced. But under valgrind the path, as there only readlink() gives the program's, and the link
 * is valgrind's own. */
static const char *server_program_path(char *buf, size_t size)
{
    ssize_t n = RUNNING_ON_VALGRIND ? readlink("/proc/self/exe", buf, size - 1) : -1;
    if (n < 0)
        return "/proc/self/exe";
    buf[n] = '\0';
    return buf;
}

static pid_t server_spawn_with(char **env, const posix_spawn_file_actions_t *plan,
                               const posix_spawnattr_t *attr)
{
    char path[PATH_MAX], *argv[] = {program_invocation_name, NULL};
    pid_t pid;
    int err = posix_spawn(&pid, server_program_path(path, sizeof path), plan, attr, argv, env);
    return err ? -err : pid;
}

/* Which signals the calling thread blocks is of no meaning for the children: none is blocked. */
static int server_block_nothing(posix_spawnattr_t *attr)
{
    sigset_t none;
    sigemptyset(&none);
    int err = posix_spawnattr_setsigmask(attr, &none);
    return -(err ? err : posix_spawnattr_setflags(attr, POSIX_SPAWN_SETSIGMASK));
}

static pid_t server_spawn(char **env, int theirs)
{
    posix_spawn_file_actions_t plan;
    posix_spawnattr_t attr;
    pid_t pid = -posix_spawn_file_actions_init(&plan);
    if (pid)
        return pid;
    pid = -posix_spawn_file_actions_adddup2(&plan, theirs, SERVER_FD);
    if (pid)
        goto no_attr;
    pid = -posix_spawnattr_init(&attr);
    if (pid)
        goto no_attr;
    pid = server_block_nothing(&attr);
    if (pid)
        goto out;
    pid = server_spawn_with(env, &plan, &attr);
out:
    posix_spawnattr_destroy(&attr);
no_attr:
    posix_spawn_file_actions_destroy(&plan);
    return pid;
}

static pid_t server_start_by_exec(int theirs)
{
    char variable[sizeof SERVER_VARIABLE + 16];
    snprintf(variable, sizeof variable, SERVER_VARIABLE "=%d", (int)getpid());
    char **env = server_environment(variable);
    if (!env)
        return -ENOMEM;
    pid_t pid = server_spawn(env, theirs);
    free_bytes(env);
    return pid;
}

/* With the lock. */
static int server_start(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    int fds[2];
    pthread_once(&once, server_watch_forks);
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds) != 0)
        return -errno;
    int err = conc__fd_own_pair(fds);
    if (err)
        return err;
    bool by_fork = threads_count() == 1 && !stack_is_small();
    pid_t pid = by_fork ? server_start_by_fork(fds[1]) : server_start_by_exec(fds[1]);
    close(fds[1]);
    if (pid < 0) {
        close(fds[0]);
        return conc_raise(pid, "cannot start the fork server: %s", conc_strerror(pid));
    }
    server.fd = fds[0];
    server.pid = pid;
    server.number++;
    return 0;
}

/* Is the server's descriptor a packet socket whose other end that process has made? */
static bool server_fd_is_of(pid_t starter)
{
    int type;
    struct ucred peer;
    socklen_t type_size = sizeof type, peer_size = sizeof peer;
    if (getsockopt(SERVER_FD, SOL_SOCKET, SO_TYPE, &type, &type_size) != 0 ||
        getsockopt(SERVER_FD, SOL_SOCKET, SO_PEERCRED, &peer, &peer_size) != 0)
        return false;
    return type == SOCK_SEQPACKET && peer.pid == starter;
}

/* Is this process to be the server? The variable says of which process, and the socket must be from
 * that process; otherwise anybody could make a program serve by setting a variable. If that process
 * has ended meanwhile, this one ends too: main() must not run a second time. */
__attribute__((constructor)) static void server_become(int argc, char **argv, char **env)
{
    const char *value = secure_getenv(SERVER_VARIABLE);
    const pid_t starter = value ? (pid_t)strtol(value, NULL, 10) : 0;
    if (starter <= 0)
        return;
    unsetenv(SERVER_VARIABLE);
    if (!server_fd_is_of(starter))
        return;
    if (getppid() != starter)
        _exit(0);
    fcntl(SERVER_FD, F_SETFD, FD_CLOEXEC);
    if (conc__code_is_shared())
        conc__code_construct(argc, argv, env);
    conc__server_main(SERVER_FD);
}

/* ---- Its end ---- */

/* With the lock. */
static void server_bury(void)
{
    close(server.fd);
    server.fd = -1;
    /* The server is not killed: if the program has reaped it, its pid may be another process's. If
     * it lives it finds its socket closed, and ends. */
    while (waitpid(server.pid, NULL, 0) < 0 && errno == EINTR)
        continue;
}

/* A child of that server has lost it: its reports have ended without the last one. (The server may
 * not have closed its other descriptors yet.) */
static void server_lost(uint32_t number)
{
    conc_with_lock (&server.lock)
        if (server.fd >= 0 && server.number == number)
            server_bury();
}

/* ---- Requests ---- */

/* fds: the two descriptors that go with it; NULL: none. */
static ssize_t request_send(const struct request *r, const int *fds)
{
    struct fd_room room;
    struct iovec all = {(void *)(uintptr_t)r, sizeof *r};
    struct msghdr msg = {.msg_iov = &all, .msg_iovlen = 1};
    conc__fd_message_attach(&msg, &room, fds, fds ? REQUEST_FDS : 0);
    return conc_sendmsg(server.fd, &msg, 0, CONC_FOREVER);
}

/* Send it to the server that there is. False: it has ended. */
static bool request_reaches(const struct request *r, const int *fds, int *err)
{
    ssize_t sent = request_send(r, fds);
    *err = sent < 0 ? (int)sent : 0;
    return sent != -EPIPE && sent != -ECONNRESET;
}

/* With the lock: to a server that lives, started if need be. */
static int request_start(const int fds[REQUEST_FDS], uint32_t *number)
{
    const struct request r = {.kind = REQUEST_START};
    for (int tries = 0; tries < 2; tries++) {
        int err = server.fd >= 0 ? 0 : server_start();
        if (err)
            return err;
        *number = server.number;
        if (request_reaches(&r, fds, &err))
            return err;
        server_bury();
    }
    return conc_raise(-CONC_EBROKEN, "the fork server has ended");
}

static int child_wait_started(struct child *child)
{
    struct report r;
    ssize_t n = conc_recv(child->report_fd, &r, sizeof r, 0, CONC_FOREVER);
    if (n == sizeof r && r.kind == REPORT_STARTED && r.value > 0) {
        child->pid = r.value;
        child->number = r.child;
        return 0;
    }
    if (n == sizeof r)
        return conc_raise(r.value, "cannot start a process: %s", conc_strerror(r.value));
    if (n < 0 && n != -ECONNRESET)
        return (int)n; /* the child finds its channel closed, and ends */
    server_lost(child->server);
    return conc_raise(-CONC_EBROKEN, "the fork server has ended");
}

static int child_request(struct child *child, const int fds[REQUEST_FDS])
{
    int err = 0;
    conc_with_lock (&server.lock)
        err = request_start(fds, &child->server);
    return err;
}

int conc__child_start(struct child *child, int channel, bool wait)
{
    int fds[2];
    *child = (struct child){.report_fd = -1, .forks = conc__forks()};
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds) != 0)
        return -errno;
    int err = conc__fd_own_pair(fds);
    if (err)
        return err;
    child->report_fd = fds[0];
    conc_scope shield;
    conc_shield_enter(&shield);
    err = child_request(child, (int[]){channel, fds[1]});
    close(fds[1]); /* before the wait, which would not learn of the server's end otherwise */
    err = err || !wait ? err : child_wait_started(child);
    conc_shield_exit(&shield);
    if (err)
        conc__child_close(child);
    return err;
}

int conc__child_report(struct child *child, struct report *ret)
{
    ssize_t n = recv(child->report_fd, ret, sizeof *ret, MSG_DONTWAIT);
    if (n == sizeof *ret) {
        if (ret->kind == REPORT_STARTED && ret->value > 0) {
            child->pid = ret->value;
            child->number = ret->child;
        }
        return 1;
    }
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return 0;
    server_lost(child->server);
    return -ESRCH;
}

int conc__child_signal(const struct child *child, int signo)
{
    const struct request r = {.kind = REQUEST_SIGNAL, .signo = signo, .child = child->number};
    ssize_t sent = -ESRCH;
    conc_scope shield;
    conc_shield_enter(&shield);
    conc_with_lock (&server.lock)
        if (server.fd >= 0 && server.number == child->server)
            sent = request_send(&r, NULL);
    conc_shield_exit(&shield);
    return sent < 0 ? -ESRCH : 0;
}

void conc__child_close(struct child *child)
{
    if (child->report_fd >= 0)
        conc_close(child->report_fd);
    child->report_fd = -1;
}

void conc__child_words(char *to, size_t size, int status)
{
    if (status < 0)
        snprintf(to, size, "was killed by signal %d (%s)", -status, strsignal(-status));
    else
        snprintf(to, size, "exited with status %d", status);
}

int conc_process_prepare(void)
{
    int err = 0;
    conc_with_lock (&server.lock)
        err = server.fd >= 0 ? 0 : server_start();
    return err;
}
