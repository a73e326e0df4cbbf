/* SPDX-License-Identifier: MIT
 *
 * test_process.c: processes whose fork server was started by a program with several threads (its
 * watchdog is one). test_process_early.c: the other case.
 */
#include "ways.h"

#include <dirent.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <conc/io.h>
#include <conc/process.h>

#define SOON conc_in(CONC_MS(20))
#define PATIENT conc_in(CONC_S(60))

enum { LARGE = 5 << 20 };

static int changed_by_the_program;
static int changed_by_a_job;
static int set_by_a_constructor;

__attribute__((constructor)) static void construct(void) { set_by_a_constructor = 42; }

/* ---- Processes ---- */

static conc_process *start_process(conc_fn *fn, const void *arg, size_t size,
                                   conc_process_options options)
{
    conc_process *p = NULL;
    CHECK_EQUAL(conc_process_start(&p, fn, arg, size, &options), 0);
    CHECK(conc_process_pid(p) > 0 && conc_process_pid(p) != getpid());
    return p;
}

/* Its process is not there, or is nothing but a zombie that somebody else has to reap. */
static bool is_gone(pid_t pid)
{
    char path[32], line[256] = "";
    snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    FILE *f = fopen(path, "r");
    if (!f)
        return true;
    char *got = fgets(line, sizeof line, f);
    fclose(f);
    return !got || strstr(line, ") Z ");
}

static void check_ends(conc_process *p, int err, int status)
{
    int code = 12345;
    CHECK_EQUAL(conc_process_join(p, PATIENT), err);
    CHECK(!conc_process_is_alive(p));
    CHECK_EQUAL(conc_process_exitcode(p, &code), 0);
    CHECK_EQUAL(code, status);
    CHECK_EQUAL(conc_process_terminate(p), -ESRCH);
    CHECK(is_gone(conc_process_pid(p)));
}

/* Runs the job to its end, which is this, with this message (behind "process PID" if it was none of
 * the job's). */
static void check_job(conc_fn *fn, const void *arg, size_t size, int err, int status,
                      const char *message)
{
    char expected[CONC_MESSAGE_MAX];
    conc_process *p = start_process(fn, arg, size, (conc_process_options){.name = "job"});
    check_ends(p, err, status);
    CHECK_EQUAL(conc_process_join(p, CONC_NOW), err); /* and again */
    if (err == -CONC_EBROKEN)
        snprintf(expected, sizeof expected, "process %d %s", (int)conc_process_pid(p), message);
    else
        snprintf(expected, sizeof expected, "%s", message);
    if (err && *message)
        CHECK(!strcmp(conc_error_message(), expected));
    conc_process_free(p);
}

/* A process that waits for its end, with a pipe to it. */
struct waiting {
    conc_process *process;
    conc_pipe *pipe;
};

static int job_wait(void *arg, void *result)
{
    conc_pipe *pipe;
    conc_bytes m;
    int err = conc_pipe_new_from_fd(&pipe, conc_process_fd(0));
    const pid_t pids[] = {getpid(), getppid()};
    if (!err)
        err = conc_pipe_send(pipe, pids, sizeof pids, CONC_FOREVER);
    while (!err && !(err = conc_pipe_recv(pipe, &m, CONC_FOREVER)))
        conc_bytes_free(&m);
    return err == -ENODATA ? 0 : err;
}

static struct waiting start_waiting(pid_t *server)
{
    struct waiting w;
    conc_pipe *theirs;
    pid_t pids[2];
    CHECK_EQUAL(conc_pipe_new(&w.pipe, &theirs), 0);
    const int fd = conc_pipe_fd(theirs);
    w.process = start_process(job_wait, NULL, 0, (conc_process_options){.fds = &fd, .n_fds = 1});
    conc_pipe_free(theirs);
    CHECK_EQUAL(conc_pipe_recv_into(w.pipe, pids, sizeof pids, PATIENT), sizeof pids);
    CHECK_EQUAL(pids[0], conc_process_pid(w.process));
    if (server)
        *server = pids[1];
    return w;
}

static void free_waiting(struct waiting w)
{
    conc_pipe_free(w.pipe);
    conc_process_free(w.process);
}

/* ---- Jobs ---- */

static int job_exit(void *arg, void *result) { exit(*(int *)arg); }

static int job_exit_thread(void *arg, void *result) { pthread_exit(NULL); }

static int job_raise_signal(void *arg, void *result)
{
    raise(*(int *)arg);
    return 0;
}

static int job_message(void *arg, void *result)
{
    return conc_raise(-EIO, "%s: %d", conc_process_current_name(), *(int *)arg);
}

static void test_end_of_the_job_reaches_the_parent(void)
{
    int zero = 0, three = 3, two = 2, err = -ENOENT, positive = 5;
    check_job(job_return, &zero, sizeof zero, 0, 0, "");
    check_job(job_return, &err, sizeof err, -ENOENT, 1, "");
    check_job(job_message, &three, sizeof three, -EIO, 1, "job: 3");
    check_job(job_return, &positive, sizeof positive, -EINVAL, 1,
              "the job returned 5; it must be 0 or a negative error");
    check_job(job_exit, &zero, sizeof zero, 0, 0, "");
    check_job(job_exit, &two, sizeof two, -CONC_EBROKEN, 2, "exited with status 2");
    int kill = SIGKILL, term = SIGTERM, interrupt = SIGINT;
    check_job(job_raise_signal, &kill, sizeof kill, -CONC_EBROKEN, -SIGKILL,
              "was killed by signal 9 (Killed)");
    check_job(job_raise_signal, &term, sizeof term, -CONC_EBROKEN, -SIGTERM,
              "was killed by signal 15 (Terminated)");
    check_job(job_raise_signal, &interrupt, sizeof interrupt, -CONC_EBROKEN, -SIGINT,
              "was killed by signal 2 (Interrupt)");
}

/* Where main() was never called (the fork server is the program run once more) the system's library
 * cannot end the main thread alone, and the process dies. */
static void test_a_job_that_exits_its_thread_ends_the_process_with_an_error(void)
{
    conc_process *p = start_process(job_exit_thread, NULL, 0, (conc_process_options){0});
    int err = conc_process_join(p, PATIENT);
    CHECK(err == -EOWNERDEAD || err == -CONC_EBROKEN);
    conc_process_free(p);
}

static int job_abort(void *arg, void *result)
{
    signal(SIGABRT, SIG_DFL);
    abort();
}

static int job_overflow(void *arg, void *result)
{
    volatile char frame[4096];
    frame[0] = 1;
    int err = *(volatile int *)arg ? job_overflow(arg, result) : 0;
    return frame[0] == 1 ? err : -1;
}

static void test_crash_of_a_job_is_only_its_own(void)
{
    int one = 1, code;
    conc_process *p = start_process(job_abort, NULL, 0, (conc_process_options){0});
    CHECK_EQUAL(conc_process_join(p, PATIENT), -CONC_EBROKEN);
    CHECK_EQUAL(conc_process_exitcode(p, &code), 0);
    CHECK_EQUAL(code, -SIGABRT);
    conc_process_free(p);
    p = start_process(job_overflow, &one, sizeof one, (conc_process_options){0});
    CHECK_EQUAL(conc_process_join(p, PATIENT), -CONC_EBROKEN);
    CHECK_EQUAL(conc_process_exitcode(p, &code), 0);
    CHECK(code != 0); /* a sanitizer ends it in its own way */
    conc_process_free(p);
}

struct looks {
    int program, job, constructor, descriptors;
    size_t given;
    char name[CONC_NAME_MAX], thread[CONC_NAME_MAX];
    bool blocked;
};

static int job_look(void *arg, void *result)
{
    conc_pipe *pipe;
    sigset_t blocked;
    struct looks looks = {.program = changed_by_the_program,
                          .job = changed_by_a_job++,
                          .constructor = set_by_a_constructor,
                          .descriptors = count_descriptors()};
    for (looks.given = 0; conc_process_fd(looks.given) >= 0; looks.given++)
        continue;
    snprintf(looks.name, sizeof looks.name, "%s", conc_process_current_name());
    snprintf(looks.thread, sizeof looks.thread, "%s", conc_context_name(conc_context_current()));
    pthread_sigmask(SIG_SETMASK, NULL, &blocked);
    looks.blocked = sigismember(&blocked, SIGTERM) || sigismember(&blocked, SIGCHLD);
    int err = conc_pipe_new_from_fd(&pipe, conc_process_fd(0));
    return err ? err : conc_pipe_send(pipe, &looks, sizeof looks, CONC_FOREVER);
}

static void test_job_sees_the_program_as_before_main(void)
{
    changed_by_the_program = 7;
    for (int i = 0; i < 2; i++) {
        conc_pipe *ours, *theirs;
        struct looks looks;
        CHECK_EQUAL(conc_pipe_new(&ours, &theirs), 0);
        const int fds[] = {conc_pipe_fd(theirs), 0, 1};
        conc_process *p = start_process(
            job_look, NULL, 0, (conc_process_options){.name = "looker", .fds = fds, .n_fds = 3});
        CHECK(!strcmp(conc_process_name(p), "looker"));
        CHECK_EQUAL(conc_pipe_recv_into(ours, &looks, sizeof looks, PATIENT), sizeof looks);
        check_ends(p, 0, 0);
        conc_process_free(p);
        conc_pipe_free(ours);
        conc_pipe_free(theirs);
        CHECK_EQUAL(looks.program, 0);
        CHECK_EQUAL(looks.job, 0);
        CHECK_EQUAL(looks.constructor, 42);
        /* The standard ones, the channel, those given, and that of the count; and one to be woken
         * by, if it had to wait. */
        CHECK(looks.descriptors >= 3 + 1 + 3 + 1 && looks.descriptors <= 3 + 1 + 3 + 1 + 1);
        CHECK_EQUAL(looks.given, 3);
        CHECK(!strcmp(looks.name, "looker") && !strcmp(looks.thread, "looker"));
        CHECK(!looks.blocked);
    }
    CHECK(!strcmp(conc_process_current_name(), "main"));
    CHECK_EQUAL(conc_process_fd(0), -1);
}

static int job_is_filled(void *arg, void *result)
{
    return (uintptr_t)arg % _Alignof(max_align_t) == 0 && is_filled(arg, LARGE, 3) ? 0 : -EIO;
}

static void test_argument_may_be_large(void)
{
    char *bytes = malloc(LARGE);
    CHECK(bytes != NULL);
    fill(bytes, LARGE, 3);
    check_job(job_is_filled, bytes, LARGE, 0, 0, "");
    free(bytes);
}

static int job_nested(void *arg, void *result)
{
    conc_process *p;
    int code = 5, err = conc_process_start(&p, job_exit, &code, sizeof code, NULL);
    if (err)
        return err;
    err = conc_process_join(p, PATIENT);
    if (err != -CONC_EBROKEN || conc_process_exitcode(p, &code) || code != 5)
        return conc_raise(-EIO, "%d %d %s", err, code, conc_error_message());
    conc_process_free(p);
    return 0;
}

static void test_process_can_start_processes(void) { check_job(job_nested, NULL, 0, 0, 0, ""); }

/* ---- Waiting, and ending them ---- */

static int job_join(void *arg, void *result)
{
    return conc_process_join(*(conc_process **)arg, CONC_FOREVER);
}

static void test_join_by_several_keeps_its_deadline(void)
{
    struct waiting w = start_waiting(NULL);
    conc_future *others[3];
    int code = 77;
    CHECK_EQUAL(conc_process_join(w.process, CONC_NOW), -EAGAIN);
    CHECK_EQUAL(conc_process_join(w.process, SOON), -ETIMEDOUT);
    CHECK(conc_process_is_alive(w.process));
    CHECK_EQUAL(conc_process_exitcode(w.process, &code), -EAGAIN);
    CHECK_EQUAL(conc_process_exitcode(w.process, NULL), -EINVAL);
    CHECK_EQUAL(code, 77);
    for (int i = 0; i < 3; i++)
        others[i] = start(job_join, &w.process, sizeof w.process);
    UNTIL(blocked_on("poll") == 3);
    conc_future_cancel(others[0]);
    CHECK_EQUAL(end_of(others[0]), -ECANCELED);
    conc_pipe_free(w.pipe); /* the sign that it waits for */
    w.pipe = NULL;
    CHECK_EQUAL(end_of(others[1]), 0);
    CHECK_EQUAL(end_of(others[2]), 0);
    check_ends(w.process, 0, 0);
    free_waiting(w);
}

static void test_terminate_and_kill_end_it(void)
{
    struct waiting w = start_waiting(NULL);
    CHECK_EQUAL(conc_process_terminate(w.process), 0);
    check_ends(w.process, -CONC_EBROKEN, -SIGTERM);
    free_waiting(w);
    w = start_waiting(NULL);
    CHECK_EQUAL(conc_process_kill(w.process), 0);
    check_ends(w.process, -CONC_EBROKEN, -SIGKILL);
    free_waiting(w);
}

static void test_free_of_one_that_runs_kills_it(void)
{
    struct waiting w = start_waiting(NULL);
    const pid_t pid = conc_process_pid(w.process);
    conc_process_free(w.process);
    CHECK(is_gone(pid));
    conc_pipe_free(w.pipe);
    conc_process_free(NULL);
}

static void test_crowd_of_processes_all_end(void)
{
    enum { CROWD = 20 };
    struct waiting w[CROWD];
    for (int i = 0; i < CROWD; i++)
        w[i] = start_waiting(NULL);
    for (int i = 0; i < CROWD; i++) {
        conc_pipe_free(w[i].pipe);
        check_ends(w[i].process, 0, 0);
        conc_process_free(w[i].process);
    }
}

/* ---- The server's end, and the program's ---- */

static void test_death_of_the_server_ends_its_children_and_the_next_has_another(void)
{
    pid_t server, next;
    struct waiting a = start_waiting(&server), b = start_waiting(&next);
    CHECK_EQUAL(server, next);
    CHECK_EQUAL(kill(server, SIGKILL), 0);
    CHECK_EQUAL(conc_process_join(a.process, PATIENT), -CONC_EBROKEN);
    CHECK(strstr(conc_error_message(), "was lost: the fork server has ended"));
    UNTIL(is_gone(conc_process_pid(a.process)) && is_gone(conc_process_pid(b.process)));
    CHECK_EQUAL(conc_process_kill(b.process), -ESRCH);
    CHECK_EQUAL(waitpid(-1, NULL, WNOHANG), -1); /* no zombie */
    struct waiting c = start_waiting(&next);
    CHECK(next != server);
    free_waiting(a);
    free_waiting(b);
    free_waiting(c);
}

static int die_with_children(void *arg)
{
    int *to = arg;
    struct waiting w = start_waiting(NULL);
    pid_t pid = conc_process_pid(w.process);
    CHECK_EQUAL(write(to[1], &pid, sizeof pid), sizeof pid);
    raise(SIGKILL);
    return 0;
}

static void test_death_of_the_program_ends_its_children(void)
{
    int fds[2];
    pid_t pid;
    make_pipe(fds);
    CHECK_EQUAL(in_child(die_with_children, fds), 100 + SIGKILL);
    CHECK_EQUAL(conc_read(fds[0], &pid, sizeof pid, PATIENT), sizeof pid);
    UNTIL(is_gone(pid));
    close_both(fds);
}

static int use_the_parents(void *arg)
{
    struct waiting *w = arg;
    int code;
    CHECK_EQUAL(conc_process_join(w->process, CONC_FOREVER), -ESHUTDOWN);
    CHECK_EQUAL(conc_process_kill(w->process), -ESHUTDOWN);
    CHECK_EQUAL(conc_process_exitcode(w->process, &code), -ESHUTDOWN);
    CHECK(!conc_process_is_alive(w->process));
    conc_process_free(w->process);
    w->process = start_process(job_return, &(int){0}, sizeof(int), (conc_process_options){0});
    CHECK_EQUAL(conc_process_join(w->process, PATIENT), 0);
    conc_process_free(w->process);
    return 5;
}

static void test_child_by_fork_cannot_use_the_parents_processes(void)
{
    struct waiting w = start_waiting(NULL);
    CHECK_EQUAL(in_child(use_the_parents, &w), 5);
    CHECK(conc_process_is_alive(w.process));
    conc_pipe_free(w.pipe);
    w.pipe = NULL;
    check_ends(w.process, 0, 0);
    free_waiting(w);
}

/* As a program of another user's: its own fork server may not kill it either. */
static int free_what_may_not_be_killed(void *arg)
{
    forbid_kill();
    struct waiting w = start_waiting(NULL);
    const pid_t pid = conc_process_pid(w.process);
    CHECK_EQUAL(conc_process_kill(w.process), 0); /* nobody has said no yet */
    CHECK_EQUAL(conc_process_join(w.process, SOON), -ETIMEDOUT);
    CHECK_EQUAL(conc_process_kill(w.process), 0);
    CHECK(conc_process_is_alive(w.process));
    conc_process_free(w.process);
    CHECK(!is_gone(pid));
    conc_pipe_free(w.pipe); /* then it ends by itself */
    UNTIL(is_gone(pid));
    return 5;
}

static void test_free_of_one_that_may_not_be_killed_leaves_it_to_itself(void)
{
    CHECK_EQUAL(in_child(free_what_may_not_be_killed, NULL), 5);
}

/* ---- What cannot be started ---- */

static void test_start_with_bad_arguments_is_refused(void)
{
    conc_process *p = NULL;
    int fds[CONC_PIPE_FDS_MAX + 1] = {0}, none = 999, x = 0;
    const conc_process_options many = {.fds = fds, .n_fds = CONC_PIPE_FDS_MAX + 1};
    const conc_process_options missing = {.n_fds = 1}, closed = {.fds = &none, .n_fds = 1};
    CHECK_EQUAL(conc_process_start(NULL, job_exit, NULL, 0, NULL), -EINVAL);
    CHECK_EQUAL(conc_process_start(&p, NULL, NULL, 0, NULL), -EINVAL);
    CHECK_EQUAL(conc_process_start(&p, job_exit, NULL, 1, NULL), -EINVAL);
    CHECK_EQUAL(conc_process_start(&p, job_exit, NULL, 0, &many), -EINVAL);
    CHECK_EQUAL(conc_process_start(&p, job_exit, NULL, 0, &missing), -EINVAL);
    CHECK_EQUAL(conc_process_start(&p, job_exit, &x, sizeof x, &closed), -EBADF);
    CHECK_EQUAL(conc_process_start(&p, (conc_fn *)(uintptr_t)&x, NULL, 0, NULL), -EINVAL);
    CHECK(p == NULL);
}

static void test_start_without_memory_or_descriptors_fails_cleanly(void)
{
    conc_process *p = NULL;
    const int four = 4;
    for (int i = 1;; i++) {
        fail_alloc(i);
        int err = conc_process_start(&p, job_exit, &four, sizeof four, NULL);
        if (!alloc_has_failed())
            break;
        CHECK_EQUAL(err, -ENOMEM);
    }
    fail_alloc(0);
    check_ends(p, -CONC_EBROKEN, 4);
    conc_process_free(p);
    limit_descriptors(1);
    int err = conc_process_start(&p, job_exit, NULL, 0, NULL);
    limit_descriptors(0);
    CHECK_EQUAL(err, -EMFILE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        ON_EVERY_WAY(test_end_of_the_job_reaches_the_parent),
        ON_EVERY_WAY(test_a_job_that_exits_its_thread_ends_the_process_with_an_error),
        ON_EVERY_WAY(test_crash_of_a_job_is_only_its_own),
        ON_EVERY_WAY(test_job_sees_the_program_as_before_main),
        ON_EVERY_WAY(test_argument_may_be_large),
        ON_EVERY_WAY(test_process_can_start_processes),
        ON_EVERY_WAY(test_join_by_several_keeps_its_deadline),
        ON_EVERY_WAY(test_terminate_and_kill_end_it),
        ON_EVERY_WAY(test_free_of_one_that_runs_kills_it),
        ON_EVERY_WAY(test_crowd_of_processes_all_end),
        ON_EVERY_WAY(test_death_of_the_server_ends_its_children_and_the_next_has_another),
        ON_WAY(test_death_of_the_program_ends_its_children, ON_THREADS, "threads"),
        ON_WAY(test_child_by_fork_cannot_use_the_parents_processes, ON_THREADS, "threads"),
        ON_WAY(test_free_of_one_that_may_not_be_killed_leaves_it_to_itself, ON_THREADS, "threads"),
        ON_EVERY_WAY(test_start_with_bad_arguments_is_refused),
        ON_EVERY_WAY(test_start_without_memory_or_descriptors_fails_cleanly),
    };
    watchdog_start(60);
    int failed = conc_process_prepare(); /* its descriptor stays, so before the first test counts */
    if (!failed)
        failed = cmocka_run_group_tests(tests, NULL, NULL);
    watchdog_stop();
    return failed;
}
