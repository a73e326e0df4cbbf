/* SPDX-License-Identifier: MIT
 *
 * subprocess.c: child programs: their pipes, their signals and their end.
 *
 * The end is waited for by polling a pidfd, as any descriptor, by a task as well as by a thread.
 * Where there are no pidfds (old kernels, seccomp filters) a thread for each child waits for it,
 * and the end of that thread stands for the child's. Either is only a sign: a call that needs the
 * status tries to reap the child, and only conc_subprocess_join() waits for the sign if that was
 * too early, and tries again. The child is reaped under `lock`; its status is kept for all other
 * calls.
 *
 * Until the child is reaped no other process can have its id. Signals are sent under the lock and
 * only before that, so they never reach another process (unless something else in the program waits
 * for all children: see -ECHILD in conc/subprocess.h).
 *
 * A child that may not be killed, because it has become a program of another user's (setuid), may
 * live for any time. So freeing it does not wait: it is detached.
 *
 * The descriptors for the child are first made as duplicates above 2, so that putting them in their
 * places cannot overwrite one that is still needed, whichever the caller has named.
 */
#include <conc/subprocess.h>

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <conc/io.h>

#include "base/alloc.h"
#include "base/fd.h"
#include "io/subprocess_impl.h"
#include "wait/wait.h"

/* ---- Descriptors ---- */

static void subprocess_close_fds(int fds[SUBPROCESS_FDS])
{
    for (int i = 0; i < SUBPROCESS_FDS; i++)
        if (fds[i] >= 0)
            conc_close(fds[i]);
}

/* Returns a duplicate above 2, closed on exec; or an error. */
static int subprocess_duplicate_fd(int fd)
{
    int copy = fcntl(fd, F_DUPFD_CLOEXEC, SUBPROCESS_FDS);
    return copy >= 0 ? copy : -errno;
}

/* Make a pipe for descriptor `which`. Gives *ours, the end that stays here; returns the child's
 * end, or an error. */
static int subprocess_make_pipe(int which, int *ours)
{
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) != 0)
        return -errno;
    int theirs = which == STDIN_FILENO ? 0 : 1;
    int copy = subprocess_duplicate_fd(ends[theirs]);
    close(ends[theirs]);
    if (copy < 0) {
        close(ends[!theirs]);
        return copy;
    }
    *ours = conc__fd_own(ends[!theirs]);
    if (*ours < 0) {
        close(copy);
        return *ours;
    }
    return copy;
}

static int subprocess_open_null(void)
{
    int fd = open("/dev/null", O_RDWR | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    int copy = subprocess_duplicate_fd(fd);
    close(fd);
    return copy;
}

/* Give *theirs, the child's descriptor `which`, above 2, as the options say; it is left unchanged
 * if the child inherits the caller's. 0, or an error. */
static int subprocess_make_fd(int which, int how, int *theirs, int *ours)
{
    int fd;
    switch (how) {
    case CONC_SUBPROCESS_INHERIT:
        return 0;
    case CONC_SUBPROCESS_PIPE:
        fd = subprocess_make_pipe(which, ours);
        break;
    case CONC_SUBPROCESS_NULL:
        fd = subprocess_open_null();
        break;
    default:
        fd = how > 0 ? subprocess_duplicate_fd(how) : -EINVAL;
    }
    if (fd < 0)
        return fd;
    *theirs = fd;
    return 0;
}

/* ---- Starting ---- */

static void subprocess_wait_pid(pid_t pid, int flags)
{
    siginfo_t info;
    while (waitid(P_PID, (id_t)pid, &info, WEXITED | flags) != 0 && errno == EINTR)
        continue;
}

/* Wait for the child's end, but leave the zombie, for the call that asks for its status. */
static int subprocess_watch_main(void *arg, void *result)
{
    subprocess_wait_pid(*(pid_t *)arg, WNOWAIT);
    return 0;
}

/* Wait for the child's end, and reap it. */
static int subprocess_reap_main(void *arg, void *result)
{
    subprocess_wait_pid(*(pid_t *)arg, 0);
    return 0;
}

static int subprocess_start_thread(conc_thread **ret, conc_fn *fn, pid_t pid)
{
    const conc_thread_options options = {.name = "child"};
    return conc_thread_start(ret, fn, &pid, sizeof pid, &options);
}

/* Get a pidfd, or a thread, that tells of the child's end. */
static int subprocess_watch(conc_subprocess *p)
{
    /* The kernel has closed it on exec already. */
    p->pidfd = conc__fd_own((int)syscall(SYS_pidfd_open, p->pid, 0));
    return p->pidfd >= 0 ? 0 : subprocess_start_thread(&p->watcher, subprocess_watch_main, p->pid);
}

static void subprocess_free_memory(conc_subprocess *p)
{
    subprocess_close_fds(p->pipes);
    if (p->pidfd >= 0)
        conc_close(p->pidfd);
    conc_thread_free(p->watcher);
    conc__buffer_free(&p->output[0]);
    conc__buffer_free(&p->output[1]);
    free_bytes(p);
}

/* Make the child's first n descriptors. 0, or an error; then some may have been made. */
static int subprocess_make_fds(conc_subprocess *p, const conc_subprocess_options *options, int n,
                               int theirs[SUBPROCESS_FDS])
{
    const int how[SUBPROCESS_FDS] = {options->in, options->out, options->err};
    for (int i = 0; i < n; i++) {
        int err = subprocess_make_fd(i, how[i], &theirs[i], &p->pipes[i]);
        if (err)
            return err;
    }
    return 0;
}

/* Run the program. Returns its process id, or an error. */
static pid_t subprocess_spawn(conc_subprocess *p, const char *const *argv,
                              const conc_subprocess_options *options)
{
    const bool merge = options->err == CONC_SUBPROCESS_STDOUT;
    int theirs[SUBPROCESS_FDS] = {-1, -1, -1};
    int err = subprocess_make_fds(p, options, merge ? STDERR_FILENO : SUBPROCESS_FDS, theirs);
    pid_t pid = err ? err : conc__spawn_program(argv, options, theirs, merge);
    subprocess_close_fds(theirs);
    return pid;
}

static int subprocess_run(conc_subprocess *p, const char *const *argv,
                          const conc_subprocess_options *options)
{
    pid_t pid = subprocess_spawn(p, argv, options);
    if (pid < 0)
        return pid;
    p->pid = pid;
    int err = subprocess_watch(p);
    if (err &&
        kill(pid, SIGKILL) == 0) /* else it might never end, and stays a zombie when it has */
        subprocess_wait_pid(pid, 0);
    return err;
}

int conc_subprocess_start(conc_subprocess **ret, const char *const *argv,
                          const conc_subprocess_options *options)
{
    const conc_subprocess_options defaults = {0};
    if (!ret || !argv || !argv[0])
        return -EINVAL;
    conc_subprocess *p = alloc_one(conc_subprocess);
    if (!p)
        return -ENOMEM;
    if (!options)
        options = &defaults;
    p->pidfd = -1;
    for (int i = 0; i < SUBPROCESS_FDS; i++)
        p->pipes[i] = -1;
    p->input_is_pipe = options->in == CONC_SUBPROCESS_PIPE;
    int err = subprocess_run(p, argv, options);
    if (err) {
        subprocess_free_memory(p);
        return err;
    }
    *ret = p;
    return 0;
}

pid_t conc_subprocess_pid(const conc_subprocess *p) { return p->pid; }

int conc_subprocess_stdin(const conc_subprocess *p) { return p->pipes[STDIN_FILENO]; }

int conc_subprocess_stdout(const conc_subprocess *p) { return p->pipes[STDOUT_FILENO]; }

int conc_subprocess_stderr(const conc_subprocess *p) { return p->pipes[STDERR_FILENO]; }

int conc_subprocess_take_fd(conc_subprocess *p, int which)
{
    if (which < 0 || which >= SUBPROCESS_FDS)
        return -1;
    int fd = p->pipes[which];
    p->pipes[which] = -1;
    if (which == STDIN_FILENO)
        p->input_is_pipe = false;
    return fd;
}

/* ---- The child's end ---- */

/* Has the child ended? If so, keep its status. */
static bool subprocess_reap(conc_subprocess *p)
{
    bool reaped = false;
    conc_with_lock (&p->lock) {
        siginfo_t info = {.si_pid = 0};
        if (!p->reaped && waitid(P_PID, (id_t)p->pid, &info, WEXITED | WNOHANG) != 0) {
            p->reaped = true; /* by something else in the program */
            p->reap_error = -errno;
        } else if (!p->reaped && info.si_pid == p->pid) {
            p->reaped = true;
            p->status = info.si_code == CLD_EXITED ? info.si_status : -info.si_status;
        }
        reaped = p->reaped;
    }
    return reaped;
}

/* Wait for a sign of the child's end. */
static int subprocess_wait_for_sign(conc_subprocess *p, conc_deadline deadline)
{
    if (p->watcher)
        return conc_future_wait(conc_thread_future(p->watcher), deadline);
    int events = conc_poll_fd(p->pidfd, POLLIN, deadline);
    return events < 0 ? events : 0;
}

int conc_subprocess_join(conc_subprocess *p, conc_deadline deadline)
{
    int err = wait_checkpoint(deadline);
    if (err)
        return err;
    while (!subprocess_reap(p)) {
        err = subprocess_wait_for_sign(p, deadline);
        if (err)
            return err;
    }
    return p->reap_error;
}

int conc_subprocess_exitcode(const conc_subprocess *question, int *ret)
{
    /* Not const in here: this call may be the one that reaps the child. */
    conc_subprocess *p = (conc_subprocess *)(uintptr_t)question;
    if (!ret)
        return -EINVAL;
    if (!subprocess_reap(p))
        return -EAGAIN;
    if (p->reap_error)
        return p->reap_error;
    *ret = p->status;
    return 0;
}

int conc_subprocess_send_signal(conc_subprocess *p, int signo)
{
    int err = -ESRCH;
    conc_with_lock (&p->lock)
        if (!p->reaped)
            err = kill(p->pid, signo) == 0 ? 0 : -errno;
    return err;
}

int conc_subprocess_terminate(conc_subprocess *p)
{
    return conc_subprocess_send_signal(p, SIGTERM);
}

int conc_subprocess_kill(conc_subprocess *p) { return conc_subprocess_send_signal(p, SIGKILL); }

int conc_subprocess_detach(conc_subprocess *p)
{
    if (!subprocess_reap(p)) {
        conc_thread *reaper;
        int err = subprocess_start_thread(&reaper, subprocess_reap_main, p->pid);
        if (err)
            return err;
        conc_thread_free(reaper);
    }
    subprocess_free_memory(p);
    return 0;
}

void conc_subprocess_free(conc_subprocess *p)
{
    if (!p)
        return;
    int err = conc_subprocess_kill(p);
    if (err && err != -ESRCH) {
        if (conc_subprocess_detach(p) != 0)
            subprocess_free_memory(p); /* no thread: it stays a zombie when it has ended */
        return;
    }
    conc_scope shield;
    conc_shield_enter(&shield);
    conc_subprocess_join(p, CONC_FOREVER);
    conc_shield_exit(&shield);
    subprocess_free_memory(p);
}
