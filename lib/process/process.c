/* SPDX-License-Identifier: MIT
 *
 * process.c: a process that runs one job.
 *
 * It is a child of the fork server (spawner.c). Two descriptors lead to it: the channel, by
 * which it gets its job and returns the job's error and message; and the reports of the server,
 * by which its end becomes known. So a caller waits for its end as for any descriptor, tasks and
 * threads alike. The caller that sees the report first keeps it for the others, under `lock`,
 * with the error that it stands for.
 *
 * The channel is read when the end is known: what the job has written is there by then.
 *
 * A process that runs a program of another user's (setuid) may not be killed, not even by the
 * server, which reports that. Freeing such a process does not wait for its end. The server goes on
 * to look after it, and reaps it.
 *
 * If the server dies its children are killed, and no report comes: that counts as SIGKILL.
 */
#include <conc/process.h>

#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include <conc/io.h>
#include <conc/lock.h>

#include "base/alloc.h"
#include "base/invariant.h"
#include "future/future_impl.h"
#include "process/code.h"
#include "process/spawner.h"

struct conc_process {
    struct child child;
    conc_pipe *channel;
    char name[CONC_NAME_MAX];

    conc_lock lock;  /* of the fields from here */
    bool not_killed; /* it may not be killed: it has become a program of another user's */
    bool ended;      /* its end was reported, and the next fields are constant */
    int status;      /* what conc_process_exitcode() gives */
    int err;         /* what conc_process_join() returns */
    char message[CONC_MESSAGE_MAX];
};

/* How a job has ended: what the child sends through the channel. */
struct outcome {
    int32_t err;
    char message[CONC_MESSAGE_MAX];
};

_Static_assert(offsetof(struct outcome, message) == 4 &&
                   sizeof(struct outcome) == 4 + CONC_MESSAGE_MAX,
               "an outcome crosses processes: it has no padding, which would be sent as it is");

/* ---- In the process ---- */

static struct {
    const char *name;
    int fds[CONC_PIPE_FDS_MAX];
    size_t n_fds;
} current_process = {.name = "main"};

const char *conc_process_current_name(void) { return current_process.name; }

int conc_process_fd(size_t i) { return i < current_process.n_fds ? current_process.fds[i] : -1; }

void conc__process_set_here(const char *name, const int *fds, size_t n_fds)
{
    current_process.name = name;
    current_process.n_fds = n_fds;
    memcpy(current_process.fds, fds, n_fds * sizeof *fds);
}

conc_future *conc__child_job(const struct child_start *start, conc_fn *fn, const void *arg)
{
    const conc_bytes bytes = {(void *)(uintptr_t)arg, start->arg_size};
    return start->is_bytes ? conc__job_new(fn, &bytes, CONC_BYTES, 0)
                           : conc__job_new(fn, arg, start->arg_size, 0);
}

/* A process with its job. */
struct process_run {
    conc_pipe *channel;
    conc_future *job; /* NULL: there was no memory for it */
    uint32_t forks;
};

/* End the process; also where its job has left the thread in the middle (pthread_exit()), and the
 * stack is unwound. */
__attribute__((noreturn)) static void process_leave(struct process_run *run)
{
    struct outcome outcome = {.err = -ENOMEM};
    if (run->job) {
        outcome.err = conc_future_error(run->job);
        if (conc__forks() != run->forks) /* the job has forked, and returned in its child too */
            conc__child_exit(outcome.err ? 1 : 0);
        snprintf(outcome.message, sizeof outcome.message, "%s", conc_future_message(run->job));
        conc_future_unref(run->job);
    }
    if (outcome.err)
        conc_pipe_send(run->channel, &outcome, sizeof outcome, CONC_FOREVER);
    conc__child_exit(outcome.err ? 1 : 0);
}

__attribute__((noreturn)) static void process_main(conc_pipe *channel,
                                                   const struct child_start *start, conc_fn *fn,
                                                   conc_bytes *message, void *arg, const int *fds,
                                                   size_t n_fds)
{
    conc__process_set_here(start->name, fds, n_fds);
    conc_future *job = conc__child_job(start, fn, arg);
    conc_bytes_free(message);
    struct process_run run __attribute__((cleanup(process_leave))) = {
        .channel = channel, .job = job, .forks = conc__forks()};
    if (job)
        conc__job_execute(job);
    process_leave(&run); /* does not return; otherwise it is a cleanup function */
}

const struct child_role conc__process_role = {.main = process_main};

/* ---- Starting ---- */

int conc__child_message(conc_bytes *ret, enum child_kind kind, const char *name, conc_fn *fn,
                        const void *arg, size_t arg_size)
{
    struct code_place place;
    place.base = 0;
    place.path[0] = '\0'; /* not all of it is cleared: it is 4 KiB */
    if (fn && conc__code_find(fn, &place))
        return -EINVAL;
    const size_t path_size = strlen(place.path) + 1;
    const bool is_bytes = arg_size == CONC_BYTES;
    if (is_bytes) {
        arg_size = ((const conc_bytes *)arg)->size;
        arg = ((const conc_bytes *)arg)->data;
    }
    size_t size;
    if (__builtin_add_overflow(sizeof(struct child_start) + path_size, arg_size, &size))
        return -ENOMEM;
    int err = conc_bytes_new(ret, size);
    if (err)
        return err;
    struct child_start start = {.kind = kind,
                                .path_size = (uint32_t)path_size,
                                .offset = fn ? (uintptr_t)fn - place.base : 0,
                                .arg_size = arg_size,
                                .is_bytes = is_bytes};
    snprintf(start.name, sizeof start.name, "%s", name);
    char *to = ret->data;
    memcpy(to, &start, sizeof start);
    memcpy(to + sizeof start, place.path, path_size);
    if (arg_size)
        memcpy(to + sizeof start + path_size, arg, arg_size);
    return 0;
}

int conc__child_launch(struct child *child, conc_pipe **channel, const conc_bytes *message,
                       const int *fds, size_t n_fds)
{
    conc_pipe *theirs;
    int err = conc_pipe_new(channel, &theirs);
    if (err)
        return err;
    err = conc__child_start(child, conc_pipe_fd(theirs), true);
    conc_pipe_free(theirs);
    if (err)
        goto no_child;
    conc_scope shield;
    conc_shield_enter(&shield);
    err = conc_pipe_send_fds(*channel, message->data, message->size, fds, n_fds, CONC_FOREVER);
    conc_shield_exit(&shield);
    if (!err || err == -EPIPE) /* closed: the child has ended already, its report tells how */
        return 0;
    conc__child_signal(child, SIGKILL);
    conc__child_close(child);
no_child:
    conc_pipe_free(*channel);
    return err;
}

int conc_process_start(conc_process **ret, conc_fn *fn, const void *arg, size_t arg_size,
                       const conc_process_options *options)
{
    static const conc_process_options defaults = {0};
    static uint32_t count;
    if (!options)
        options = &defaults;
    if (!ret || !fn || arg_is_missing(arg, arg_size) || options->n_fds > CONC_PIPE_FDS_MAX ||
        (options->n_fds && !options->fds))
        return -EINVAL;
    conc_process *p = alloc_one(conc_process);
    if (!p)
        return -ENOMEM;
    if (options->name)
        snprintf(p->name, sizeof p->name, "%s", options->name);
    else /* relaxed: only the number counts */
        snprintf(p->name, sizeof p->name, "process-%u", fetch_add_relaxed(&count, 1) + 1);
    conc_bytes message;
    int err = conc__child_message(&message, CHILD_PROCESS, p->name, fn, arg, arg_size);
    if (err == -EINVAL)
        conc_raise(err, "the job is no function of the program or its libraries");
    if (err)
        goto failed;
    err = conc__child_launch(&p->child, &p->channel, &message, options->fds, options->n_fds);
    conc_bytes_free(&message);
    if (err)
        goto failed;
    *ret = p;
    return 0;
failed:
    free_bytes(p);
    return err;
}

/* ---- Its end, under the lock ---- */

static void process_set_failed(conc_process *p, const char *how)
{
    p->err = -CONC_EBROKEN;
    snprintf(p->message, sizeof p->message, "process %d %s", (int)p->child.pid, how);
}

static void process_set_ended(conc_process *p, int status)
{
    struct outcome outcome;
    char how[CONC_MESSAGE_MAX / 2];
    invariant(!p->ended, "a process ends once");
    p->ended = true;
    p->status = status;
    ptrdiff_t n = conc_pipe_recv_into(p->channel, &outcome, sizeof outcome, CONC_NOW);
    if (status == 1 && n == sizeof outcome && outcome.err < 0) {
        p->err = outcome.err;
        snprintf(p->message, sizeof p->message, "%.*s", CONC_MESSAGE_MAX - 1, outcome.message);
    } else if (status) {
        conc__child_words(how, sizeof how, status);
        process_set_failed(p, how);
    }
}

static void process_set_lost(conc_process *p)
{
    p->ended = true;
    p->status = -SIGKILL;
    process_set_failed(p, "was lost: the fork server has ended");
}

/* Under the lock: take the reports that have come. */
static void process_take_reports(conc_process *p)
{
    struct report r;
    int there = 1;
    while (!p->ended && (there = conc__child_report(&p->child, &r)) > 0) {
        if (r.kind == REPORT_ENDED)
            process_set_ended(p, r.value);
        p->not_killed = p->not_killed || r.kind == REPORT_NOT_KILLED;
    }
    if (there < 0)
        process_set_lost(p);
}

/* Asking may be what finds out that the process has ended, so this changes a const process,
 * whose end is behind `lock`. */
static bool process_has_ended(const conc_process *process)
{
    conc_process *p = (conc_process *)(uintptr_t)process;
    bool ended = false;
    conc_with_lock (&p->lock) {
        process_take_reports(p);
        ended = p->ended;
    }
    return ended;
}

static bool process_is_ours(const conc_process *p) { return p->child.forks == conc__forks(); }

int conc_process_join(conc_process *p, conc_deadline deadline)
{
    if (!process_is_ours(p))
        return -ESHUTDOWN;
    int err = wait_checkpoint(deadline);
    if (err)
        return err;
    while (!process_has_ended(p)) {
        int events = conc_poll_fd(p->child.report_fd, POLLIN, deadline);
        if (events < 0)
            return events;
    }
    if (p->err)
        conc__set_message(context_self(), p->err, p->message);
    return p->err;
}

bool conc_process_is_alive(const conc_process *p)
{
    return process_is_ours(p) && !process_has_ended(p);
}

int conc_process_exitcode(const conc_process *p, int *ret)
{
    if (!ret)
        return -EINVAL;
    if (!process_is_ours(p))
        return -ESHUTDOWN;
    if (!process_has_ended(p))
        return -EAGAIN;
    *ret = p->status;
    return 0;
}

static int process_send_signal(conc_process *p, int signo)
{
    if (!process_is_ours(p))
        return -ESHUTDOWN;
    return process_has_ended(p) ? -ESRCH : conc__child_signal(&p->child, signo);
}

int conc_process_terminate(conc_process *p) { return process_send_signal(p, SIGTERM); }

int conc_process_kill(conc_process *p) { return process_send_signal(p, SIGKILL); }

pid_t conc_process_pid(const conc_process *p) { return p->child.pid; }

const char *conc_process_name(const conc_process *p) { return p->name; }

void conc_process_free(conc_process *p)
{
    if (!p)
        return;
    conc_scope shield;
    conc_shield_enter(&shield);
    conc_process_kill(p);
    while (process_is_ours(p) && !process_has_ended(p) && !p->not_killed)
        conc_poll_fd(p->child.report_fd, POLLIN, CONC_FOREVER);
    conc_shield_exit(&shield);
    conc__child_close(&p->child);
    conc_pipe_free(p->channel);
    free_bytes(p);
}
