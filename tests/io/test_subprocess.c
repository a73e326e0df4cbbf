/* SPDX-License-Identifier: MIT
 *
 * test_subprocess.c: child programs, on threads and on tasks. The children are the shell and what
 * every system has; nothing here depends on how fast they are.
 */
#include "processes.h"

#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <conc/io.h>
#include <conc/loop.h>
#include <conc/stream.h>
#include <conc/subprocess.h>

#define SOON conc_in(CONC_MS(20))
#define PATIENT conc_in(CONC_S(60))

enum { PIPE = CONC_SUBPROCESS_PIPE, DEV_NULL = CONC_SUBPROCESS_NULL };

/* ---- Starting, and what must be left of it ---- */

static conc_subprocess *start_program(const char *const *argv, conc_subprocess_options options)
{
    conc_subprocess *child = NULL;
    CHECK_EQUAL(conc_subprocess_start(&child, argv, &options), 0);
    CHECK(conc_subprocess_pid(child) > 0);
    return child;
}

static conc_subprocess *start_shell(const char *script, conc_subprocess_options options)
{
    return start_program((const char *const[]){"/bin/sh", "-c", script, NULL}, options);
}

/* How it ends. */
static int end_of_child(conc_subprocess *child)
{
    int status = 12345;
    CHECK_EQUAL(conc_subprocess_join(child, PATIENT), 0);
    CHECK_EQUAL(conc_subprocess_exitcode(child, &status), 0);
    return status;
}

static int end_of_shell(const char *script)
{
    conc_subprocess *child = start_shell(script, (conc_subprocess_options){.in = 0});
    int status = end_of_child(child);
    conc_subprocess_free(child);
    return status;
}

static bool child_is_gone(pid_t pid) { return kill(pid, 0) != 0 && errno == ESRCH; }

/* Runs the script with all pipes; its output, and its error output, are these. */
static void check_says(const char *script, conc_subprocess_options options, const char *out,
                       const char *err)
{
    const char *said, *complained;
    size_t n, m;
    options.out = PIPE;
    options.err = options.err ? options.err : PIPE;
    conc_subprocess *child = start_shell(script, options);
    CHECK_EQUAL(conc_subprocess_communicate(child, NULL, 0, &said, &n, &complained, &m, PATIENT),
                0);
    CHECK(!strcmp(said, out) && n == strlen(out));
    CHECK(!strcmp(complained, err) && m == strlen(err));
    conc_subprocess_free(child);
}

/* ---- Its end ---- */

static void test_wait_gives_the_exit_status(void)
{
    CHECK_EQUAL(end_of_shell("exit 0"), 0);
    CHECK_EQUAL(end_of_shell("exit 3"), 3);
    CHECK_EQUAL(end_of_shell("exit 255"), 255);
    CHECK_EQUAL(end_of_shell("kill -TERM $$"), -SIGTERM);
}

/* For a child's pidfd; or, where there are none, for the thread that waits for it. */
static bool three_wait(void) { return blocked_on("poll") == 3 || blocked_on("future") >= 3; }

static int job_wait(void *arg, void *result)
{
    conc_subprocess *child = *(conc_subprocess **)arg;
    int status = 0;
    int err = conc_subprocess_join(child, CONC_FOREVER);
    if (!err)
        err = conc_subprocess_exitcode(child, &status);
    return err ? err : status;
}

static void test_wait_by_several_and_again_gives_the_same(void)
{
    conc_subprocess *child = start_shell("read x", (conc_subprocess_options){.in = PIPE});
    conc_future *others[3];
    int status = 77;
    CHECK_EQUAL(conc_subprocess_join(child, CONC_NOW), -EAGAIN);
    CHECK_EQUAL(conc_subprocess_join(child, SOON), -ETIMEDOUT);
    CHECK_EQUAL(conc_subprocess_exitcode(child, NULL), -EINVAL);
    CHECK_EQUAL(conc_subprocess_exitcode(child, &status), -EAGAIN);
    for (int i = 0; i < 3; i++)
        others[i] = start(job_wait, &child, sizeof child);
    UNTIL(three_wait());
    conc_future_cancel(others[0]);
    CHECK_EQUAL(end_of(others[0]), -ECANCELED);
    CHECK_EQUAL(conc_subprocess_kill(child), 0);
    CHECK_EQUAL(end_of(others[1]), -SIGKILL);
    CHECK_EQUAL(end_of(others[2]), -SIGKILL);
    CHECK_EQUAL(status, 77);
    CHECK_EQUAL(end_of_child(child), -SIGKILL);
    CHECK_EQUAL(conc_subprocess_join(child, CONC_NOW), 0);
    CHECK(child_is_gone(conc_subprocess_pid(child)));
    conc_subprocess_free(child);
}

static void test_signals_reach_it_until_it_is_waited_for(void)
{
    conc_subprocess *child = start_shell("read x", (conc_subprocess_options){.in = PIPE});
    CHECK_EQUAL(conc_subprocess_send_signal(child, 0), 0);
    CHECK_EQUAL(conc_subprocess_send_signal(child, 1000), -EINVAL);
    CHECK_EQUAL(conc_subprocess_terminate(child), 0);
    CHECK_EQUAL(end_of_child(child), -SIGTERM);
    CHECK_EQUAL(conc_subprocess_kill(child), -ESRCH);
    conc_subprocess_free(child);

    child = start_shell("read x", (conc_subprocess_options){.in = PIPE});
    CHECK_EQUAL(conc_subprocess_send_signal(child, SIGUSR1), 0);
    CHECK_EQUAL(end_of_child(child), -SIGUSR1);
    conc_subprocess_free(child);
}

static void test_free_of_one_that_runs_kills_it_and_leaves_no_zombie(void)
{
    conc_subprocess *child = start_shell("read x", (conc_subprocess_options){.in = PIPE});
    const pid_t pid = conc_subprocess_pid(child);
    conc_subprocess_free(child);
    CHECK(child_is_gone(pid));
    conc_subprocess_free(NULL);

    child = start_shell("exit 0", (conc_subprocess_options){.in = 0});
    const pid_t next = conc_subprocess_pid(child);
    conc_subprocess_free(child);
    CHECK(child_is_gone(next));
}

static void test_detach_lets_it_go_on_and_leaves_no_zombie(void)
{
    conc_subprocess *child = start_shell("read x", (conc_subprocess_options){.in = PIPE});
    const pid_t pid = conc_subprocess_pid(child);
    int in = conc_subprocess_take_fd(child, 0);
    fail_thread(1);
    CHECK_EQUAL(conc_subprocess_detach(child), -ENOMEM);
    fail_thread(0);
    CHECK_EQUAL(conc_subprocess_detach(child), 0);
    CHECK(!child_is_gone(pid));
    CHECK_EQUAL(conc_close(in), 0); /* the sign that it waits for */
    UNTIL(child_is_gone(pid));

    child = start_shell("exit 0", (conc_subprocess_options){.in = 0});
    CHECK_EQUAL(end_of_child(child), 0);
    CHECK_EQUAL(conc_subprocess_detach(child), 0);
}

static void test_wait_when_others_have_reaped_it_says_so(void)
{
    conc_subprocess *child = start_shell("exit 3", (conc_subprocess_options){.in = 0});
    CHECK_EQUAL(waitpid(conc_subprocess_pid(child), NULL, 0), conc_subprocess_pid(child));
    CHECK_EQUAL(conc_subprocess_join(child, PATIENT), -ECHILD);
    CHECK_EQUAL(conc_subprocess_join(child, CONC_NOW), -ECHILD);
    CHECK_EQUAL(conc_subprocess_kill(child), -ESRCH);
    conc_subprocess_free(child);
}

/* ---- How it ended, asked without waiting ---- */

static int job_ask(void *arg, void *result)
{
    conc_subprocess *child = *(conc_subprocess **)arg;
    int status = 77, err;
    UNTIL((err = conc_subprocess_exitcode(child, &status)) != -EAGAIN);
    CHECK(err == 0 || status == 77);
    return err ? err : status;
}

static void test_exitcode_without_a_wait_reaps_the_child(void)
{
    conc_subprocess *child = start_shell("read x; exit 5", (conc_subprocess_options){.in = PIPE});
    int status = 77;
    CHECK_EQUAL(conc_subprocess_exitcode(child, &status), -EAGAIN);
    CHECK_EQUAL(status, 77);
    CHECK_EQUAL(conc_close(conc_subprocess_take_fd(child, 0)), 0);
    UNTIL(conc_subprocess_exitcode(child, &status) != -EAGAIN);
    CHECK_EQUAL(status, 5);
    CHECK(child_is_gone(conc_subprocess_pid(child)));
    CHECK_EQUAL(conc_subprocess_kill(child), -ESRCH);
    CHECK_EQUAL(conc_subprocess_join(child, CONC_NOW), 0);
    status = 77;
    CHECK_EQUAL(conc_subprocess_exitcode(child, &status), 0);
    CHECK_EQUAL(status, 5);
    conc_subprocess_free(child);
}

static void test_exitcode_asked_by_several_gives_all_the_same(void)
{
    conc_subprocess *child = start_shell("read x", (conc_subprocess_options){.in = PIPE});
    conc_future *others[4];
    for (int i = 0; i < 4; i++)
        others[i] = start(i < 3 ? job_ask : job_wait, &child, sizeof child);
    UNTIL(blocked_on("poll") + blocked_on("future") >= 1);
    CHECK_EQUAL(conc_subprocess_kill(child), 0);
    for (int i = 0; i < 4; i++)
        CHECK_EQUAL(end_of(others[i]), -SIGKILL);
    CHECK_EQUAL(end_of_child(child), -SIGKILL);
    conc_subprocess_free(child);
}

static void test_exitcode_when_others_have_reaped_it_says_so_to_all(void)
{
    conc_subprocess *child = start_shell("exit 3", (conc_subprocess_options){.in = 0});
    conc_future *others[3];
    int status = 77;
    CHECK_EQUAL(waitpid(conc_subprocess_pid(child), NULL, 0), conc_subprocess_pid(child));
    for (int i = 0; i < 3; i++)
        others[i] = start(job_ask, &child, sizeof child);
    for (int i = 0; i < 3; i++)
        CHECK_EQUAL(end_of(others[i]), -ECHILD);
    for (int i = 0; i < 2; i++)
        CHECK_EQUAL(conc_subprocess_exitcode(child, &status), -ECHILD);
    CHECK_EQUAL(status, 77);
    CHECK_EQUAL(conc_subprocess_join(child, CONC_NOW), -ECHILD);
    CHECK_EQUAL(conc_subprocess_kill(child), -ESRCH);
    conc_subprocess_free(child);
}

/* ---- What cannot be run ---- */

static void check_refused(const char *program, conc_subprocess_options options, int err,
                          const char *message)
{
    const char *const argv[] = {program, NULL};
    conc_subprocess *child = NULL;
    options.in = options.out = PIPE;
    CHECK_EQUAL(conc_subprocess_start(&child, argv, &options), err);
    CHECK(!strcmp(conc_error_message(), message));
    CHECK(child == NULL);
}

static void test_start_of_what_cannot_be_run_names_it(void)
{
    const conc_subprocess_options none = {.in = 0};
    if (on_valgrind())
        return; /* there a child cannot tell its parent that it has failed to run the program */
    check_refused("/no/such/program", none, -ENOENT,
                  "cannot run /no/such/program: No such file or directory");
    check_refused("no-such-program-anywhere", none, -ENOENT,
                  "cannot run no-such-program-anywhere: No such file or directory");
    check_refused("/etc/passwd", none, -EACCES, "cannot run /etc/passwd: Permission denied");
    check_refused("/bin/sh", (conc_subprocess_options){.cwd = "/no/such/place"}, -ENOENT,
                  "cannot run /bin/sh in /no/such/place: No such file or directory");
}

static void test_start_with_bad_arguments_is_refused(void)
{
    const char *const none[] = {NULL}, *const argv[] = {"/bin/true", NULL};
    conc_subprocess *child = NULL;
    CHECK_EQUAL(conc_subprocess_start(NULL, argv, NULL), -EINVAL);
    CHECK_EQUAL(conc_subprocess_start(&child, NULL, NULL), -EINVAL);
    CHECK_EQUAL(conc_subprocess_start(&child, none, NULL), -EINVAL);
    const conc_subprocess_options merged = {.in = PIPE, .out = CONC_SUBPROCESS_STDOUT};
    CHECK_EQUAL(conc_subprocess_start(&child, argv, &merged), -EINVAL);
    const conc_subprocess_options unknown = {.in = PIPE, .err = -7};
    CHECK_EQUAL(conc_subprocess_start(&child, argv, &unknown), -EINVAL);
    const conc_subprocess_options closed = {.in = PIPE, .out = PIPE, .err = 999};
    CHECK_EQUAL(conc_subprocess_start(&child, argv, &closed), -EBADF);
    fail_alloc(1);
    CHECK_EQUAL(conc_subprocess_start(&child, argv, NULL), -ENOMEM);
    CHECK(alloc_has_failed() && !child);
    fail_alloc(0);
}

/* ---- What it begins with ---- */

static void test_child_has_the_directory_and_environment_that_it_is_given(void)
{
    const char *const env[] = {"GREETING=hello there", NULL};
    check_says("pwd; echo \"$GREETING\"; echo no >&2",
               (conc_subprocess_options){.cwd = "/", .env = env}, "/\nhello there\n", "no\n");
    CHECK_EQUAL(setenv("CONC_TEST_INHERITED", "yes", 1), 0);
    check_says("echo $CONC_TEST_INHERITED", (conc_subprocess_options){.in = DEV_NULL}, "yes\n", "");
    CHECK_EQUAL(unsetenv("CONC_TEST_INHERITED"), 0);
}

static void test_child_is_looked_for_in_the_path(void)
{
    const char *said;
    conc_subprocess *child = start_program((const char *const[]){"echo", "a", "b c", NULL},
                                           (conc_subprocess_options){.out = PIPE});
    CHECK_EQUAL(conc_subprocess_communicate(child, NULL, 0, &said, NULL, NULL, NULL, PATIENT), 0);
    CHECK(!strcmp(said, "a b c\n"));
    conc_subprocess_free(child);
}

static void test_child_has_the_descriptors_that_it_is_given(void)
{
    int fds[2], strange[2];
    make_pipe(fds);
    CHECK_EQUAL(pipe(strange), 0); /* one that is not closed on exec */
    const char *script = "read x; echo \"[$x]\"; echo err >&2; ls /proc/self/fd | wc -l >&2";
    conc_subprocess *child =
        start_shell(script, (conc_subprocess_options){.in = PIPE, .out = fds[1], .err = PIPE});
    const char *err;
    CHECK_EQUAL(conc_close(fds[1]), 0);
    CHECK_EQUAL(conc_subprocess_stdout(child), -1);
    CHECK_EQUAL(conc_subprocess_communicate(child, "abc\n", 4, NULL, NULL, &err, NULL, PATIENT), 0);
    CHECK(!strcmp(err, "err\n4\n")); /* the fourth is that of the listing itself */
    conc_subprocess_free(child);
    conc_stream *s;
    char *line;
    CHECK_EQUAL(conc_stream_new(&s, fds[0], NULL), 0);
    CHECK_EQUAL(conc_stream_read_line(s, &line, PATIENT), 6);
    CHECK(!strcmp(line, "[abc]\n"));
    CHECK_EQUAL(conc_stream_close(s, PATIENT), 0);
    close_both(strange);
}

static void test_child_can_have_one_pipe_for_both_outputs(void)
{
    check_says("echo a; echo b >&2; echo c",
               (conc_subprocess_options){.in = DEV_NULL, .err = CONC_SUBPROCESS_STDOUT},
               "a\nb\nc\n", "");
}

/* Keep the standard descriptors away, and put them back. */
static void put_away(int kept[3])
{
    for (int i = 0; i < 3; i++) {
        kept[i] = fcntl(i, F_DUPFD_CLOEXEC, 50);
        CHECK(kept[i] >= 50 && close(i) == 0);
    }
}

static void put_back(const int kept[3])
{
    for (int i = 0; i < 3; i++)
        CHECK(dup2(kept[i], i) == i && close(kept[i]) == 0);
}

static void test_child_can_have_outputs_that_are_exchanged(void)
{
    char buf[8] = "";
    int kept[3], out[2], err[2];
    make_pipe(out);
    make_pipe(err);
    put_away(kept);
    int one = dup2(out[1], 1), two = dup2(err[1], 2);
    conc_subprocess *child = start_shell(
        "echo a; echo b >&2", (conc_subprocess_options){.in = DEV_NULL, .out = 2, .err = 1});
    int status = end_of_child(child);
    conc_subprocess_free(child); /* it has a descriptor, perhaps 0 */
    put_back(kept);
    CHECK(one == 1 && two == 2 && status == 0);
    CHECK_EQUAL(conc_read(err[0], buf, sizeof buf, PATIENT), 2);
    CHECK_EQUAL(buf[0], 'a');
    CHECK_EQUAL(conc_read(out[0], buf, sizeof buf, PATIENT), 2);
    CHECK_EQUAL(buf[0], 'b');
    close_both(out);
    close_both(err);
}

/* The pipes' ends are then among 0, 1 and 2 themselves. */
static void test_child_of_a_process_without_standard_descriptors_has_its_own(void)
{
    int kept[3];
    put_away(kept);
    check_says("echo a; echo b >&2; read x || echo c", (conc_subprocess_options){.in = PIPE},
               "a\nc\n", "b\n");
    put_back(kept);
}

static void test_child_has_default_signals_and_may_lead_a_group(void)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, &before);
    void (*ignored)(int) = signal(SIGUSR1, SIG_IGN);
    conc_subprocess *child =
        start_shell("read x", (conc_subprocess_options){.in = PIPE, .new_group = true});
    signal(SIGUSR1, ignored);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    CHECK_EQUAL(getpgid(conc_subprocess_pid(child)), conc_subprocess_pid(child));
    CHECK_EQUAL(conc_subprocess_send_signal(child, SIGUSR1), 0);
    CHECK_EQUAL(end_of_child(child), -SIGUSR1);
    conc_subprocess_free(child);
}

/* ---- Its pipes ---- */

static void test_pipes_can_be_read_and_written_piece_by_piece(void)
{
    conc_subprocess *child = start_program((const char *const[]){"cat", NULL},
                                           (conc_subprocess_options){.in = PIPE, .out = PIPE});
    char buf[16];
    for (int i = 0; i < 3; i++) {
        CHECK_EQUAL(conc_write_all(conc_subprocess_stdin(child), "abc\n", 4, PATIENT), 0);
        CHECK_EQUAL(conc_read(conc_subprocess_stdout(child), buf, sizeof buf, PATIENT), 4);
        CHECK(!memcmp(buf, "abc\n", 4));
    }
    CHECK_EQUAL(conc_subprocess_stderr(child), -1);
    CHECK_EQUAL(conc_subprocess_take_fd(child, 2), -1);
    CHECK_EQUAL(conc_subprocess_take_fd(child, 3), -1);
    CHECK_EQUAL(conc_close(conc_subprocess_take_fd(child, 0)), 0);
    CHECK_EQUAL(conc_subprocess_stdin(child), -1);
    CHECK_EQUAL(conc_read(conc_subprocess_stdout(child), buf, sizeof buf, PATIENT), 0);
    CHECK_EQUAL(end_of_child(child), 0);
    conc_subprocess_free(child);
}

enum { MUCH = 10 << 20 };

static void test_communicate_moves_much_both_ways(void)
{
    conc_subprocess *child =
        start_shell("tee /dev/stderr", (conc_subprocess_options){PIPE, PIPE, PIPE, .env = NULL});
    char *bytes = malloc(MUCH);
    const char *out, *err;
    size_t n, m;
    CHECK(bytes != NULL);
    fill(bytes, MUCH, 5);
    CHECK_EQUAL(conc_subprocess_communicate(child, bytes, MUCH, &out, &n, &err, &m, PATIENT), 0);
    CHECK(n == MUCH && is_filled(out, n, 5) && out[n] == '\0');
    CHECK(m == MUCH && is_filled(err, m, 5) && err[m] == '\0');
    CHECK_EQUAL(end_of_child(child), 0);
    conc_subprocess_free(child);
    free(bytes);
}

static void test_communicate_with_one_that_does_not_read_it_all_succeeds(void)
{
    conc_subprocess *child =
        start_shell("echo done", (conc_subprocess_options){.in = PIPE, .out = PIPE});
    char *bytes = calloc(1, MUCH);
    const char *out;
    CHECK(bytes != NULL);
    CHECK_EQUAL(conc_subprocess_communicate(child, bytes, MUCH, &out, NULL, NULL, NULL, PATIENT),
                0);
    CHECK(!strcmp(out, "done\n"));
    CHECK_EQUAL(end_of_child(child), 0);
    conc_subprocess_free(child);
    free(bytes);
}

static bool is_stopped(pid_t pid)
{
    siginfo_t info = {.si_pid = 0};
    CHECK_EQUAL(waitid(P_PID, (id_t)pid, &info, WSTOPPED | WNOWAIT | WNOHANG), 0);
    return info.si_pid == pid;
}

static void test_communicate_when_ended_early_goes_on_where_it_was(void)
{
    const char *out = NULL;
    size_t n = 77;
    conc_subprocess *child = start_shell("echo one; kill -STOP $$; cat; echo three",
                                         (conc_subprocess_options){.in = PIPE, .out = PIPE});
    char *bytes = malloc(MUCH);
    conc_scope scope;
    CHECK(bytes != NULL);
    fill(bytes, MUCH, 9);
    UNTIL(is_stopped(conc_subprocess_pid(child)));
    CHECK_EQUAL(conc_subprocess_communicate(child, bytes, MUCH, &out, &n, NULL, NULL, SOON),
                -ETIMEDOUT);
    CHECK_EQUAL(conc_subprocess_communicate(child, bytes, MUCH, &out, &n, NULL, NULL, CONC_NOW),
                -EAGAIN);
    CHECK_EQUAL(conc_subprocess_communicate(child, bytes, 1, &out, &n, NULL, NULL, SOON), -EINVAL);
    CHECK(out == NULL && n == 77);
    CHECK_EQUAL(conc_subprocess_send_signal(child, SIGCONT), 0);
    conc_scope_enter(&scope, conc_in(CONC_MS(5)));
    int err = conc_subprocess_communicate(child, bytes, MUCH, &out, &n, NULL, NULL, PATIENT);
    conc_scope_exit(&scope);
    CHECK(!err || err == -ECANCELED);
    for (int i = 0; i < 2; i++) {
        CHECK_EQUAL(conc_subprocess_communicate(child, bytes, MUCH, &out, &n, NULL, NULL, PATIENT),
                    0);
        CHECK_EQUAL(n, 4 + MUCH + 6);
    }
    CHECK(!memcmp(out, "one\n", 4) && is_filled(out + 4, MUCH, 9));
    CHECK(!strcmp(out + 4 + MUCH, "three\n"));
    conc_subprocess_free(child);
    free(bytes);
}

static int job_communicate(void *arg, void *result)
{
    return conc_subprocess_communicate(*(conc_subprocess **)arg, NULL, 0, NULL, NULL, NULL, NULL,
                                       CONC_FOREVER);
}

static void test_communicate_with_bad_arguments_is_refused(void)
{
    conc_subprocess *child = start_shell("exec sleep 600", (conc_subprocess_options){.out = PIPE});
    CHECK_EQUAL(conc_subprocess_communicate(child, "a", 1, NULL, NULL, NULL, NULL, PATIENT),
                -EINVAL);
    CHECK_EQUAL(conc_subprocess_communicate(child, NULL, 1, NULL, NULL, NULL, NULL, PATIENT),
                -EINVAL);
    conc_future *other = start(job_communicate, &child, sizeof child);
    UNTIL(blocked_on("poll") == 1);
    CHECK_EQUAL(conc_subprocess_communicate(child, NULL, 0, NULL, NULL, NULL, NULL, PATIENT),
                -EBUSY);
    conc_future_cancel(other);
    CHECK_EQUAL(end_of(other), -ECANCELED);
    conc_subprocess_free(child);
}

/* ---- Many ---- */

static int job_say_number(void *arg, void *result)
{
    char script[32], expected[16];
    const int n = *(int *)arg;
    snprintf(script, sizeof script, "echo %d; exit %d", n, n);
    snprintf(expected, sizeof expected, "%d\n", n);
    const char *out;
    conc_subprocess *child = start_shell(script, (conc_subprocess_options){.out = PIPE});
    CHECK_EQUAL(conc_subprocess_communicate(child, NULL, 0, &out, NULL, NULL, NULL, PATIENT), 0);
    CHECK(!strcmp(out, expected));
    CHECK_EQUAL(end_of_child(child), n);
    conc_subprocess_free(child);
    return 0;
}

static void test_many_at_once_get_each_its_own(void)
{
    enum { MANY = 40 };
    conc_future *jobs[MANY];
    for (int i = 0; i < MANY; i++)
        jobs[i] = start(job_say_number, &i, sizeof i);
    for (int i = 0; i < MANY; i++)
        CHECK_EQUAL(end_of(jobs[i]), 0);
    CHECK(waitpid(-1, NULL, WNOHANG) == -1 && errno == ECHILD); /* no zombies */
}

/* ---- Where there are no pidfds ---- */

/* ---- A child that may not be killed ---- */

static bool is_there(pid_t pid)
{
    char path[32];
    snprintf(path, sizeof path, "/proc/%d", (int)pid);
    return access(path, F_OK) == 0;
}

static int job_free_what_may_not_be_killed(void *arg, void *result)
{
    conc_subprocess *child = start_shell("read x", (conc_subprocess_options){.in = PIPE});
    pid_t pid = conc_subprocess_pid(child);
    int input = conc_subprocess_take_fd(child, STDIN_FILENO);
    conc_scope scope;
    CHECK_EQUAL(conc_subprocess_kill(child), -EPERM);
    conc_scope_enter(&scope, conc_in(CONC_S(1)));
    conc_subprocess_free(child);
    CHECK_EQUAL(conc_scope_exit(&scope), 0);
    CHECK(is_there(pid));
    CHECK_EQUAL(conc_close(input), 0);
    UNTIL(!is_there(pid)); /* it has ended by itself, and was reaped */

    child = start_shell("read x", (conc_subprocess_options){.in = PIPE});
    pid = conc_subprocess_pid(child);
    fail_thread(1);
    conc_subprocess_free(child); /* nobody can wait for it */
    CHECK_EQUAL(waitpid(pid, NULL, 0), pid);
    return 0;
}

static int free_what_may_not_be_killed(void *arg)
{
    forbid_kill();
    CHECK_EQUAL(job_free_what_may_not_be_killed(NULL, NULL), 0);
    static const char *const backends[] = {"epoll", "uring"};
    for (int i = 0; i < 2; i++) {
        CHECK_EQUAL(setenv("CONC_BACKEND", backends[i], 1), 0);
        int err = conc_run(job_free_what_may_not_be_killed, NULL, 0, NULL, 0);
        CHECK(!err || err == -ENOSYS);
    }
    return 0;
}

static void test_free_of_one_that_may_not_be_killed_lets_it_go_on(void **state)
{
    if (CHILD_MAY_START_THREADS)
        assert_int_equal(in_child(free_what_may_not_be_killed, NULL), 0);
}

/* For the calling thread, and for good: so this comes last. */
static void forbid_pidfds(void)
{
    const struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_pidfd_open, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    const struct sock_fprog program = {.len = sizeof code / sizeof *code,
                                       .filter = (struct sock_filter *)(uintptr_t)code};
    CHECK_EQUAL(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
    CHECK_EQUAL(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program), 0);
}

static void test_without_pidfds_all_is_the_same(void)
{
    forbid_pidfds();
    CHECK_EQUAL(end_of_shell("exit 3"), 3);
    conc_subprocess *child = start_shell("read x", (conc_subprocess_options){.in = PIPE});
    const pid_t pid = conc_subprocess_pid(child);
    CHECK_EQUAL(conc_subprocess_join(child, CONC_NOW), -EAGAIN);
    CHECK_EQUAL(conc_subprocess_join(child, SOON), -ETIMEDOUT);
    CHECK_EQUAL(conc_subprocess_terminate(child), 0);
    CHECK_EQUAL(end_of_child(child), -SIGTERM);
    CHECK(child_is_gone(pid));
    conc_subprocess_free(child);
    test_free_of_one_that_runs_kills_it_and_leaves_no_zombie();
    test_detach_lets_it_go_on_and_leaves_no_zombie();
    test_wait_when_others_have_reaped_it_says_so();
    test_exitcode_without_a_wait_reaps_the_child();
    test_exitcode_asked_by_several_gives_all_the_same();
    test_exitcode_when_others_have_reaped_it_says_so_to_all();
    test_communicate_when_ended_early_goes_on_where_it_was();

    conc_subprocess *none = NULL;
    fail_thread(1);
    CHECK_EQUAL(conc_subprocess_start(&none, (const char *const[]){"cat", NULL}, NULL), -ENOMEM);
    fail_thread(0);
    CHECK(waitpid(-1, NULL, WNOHANG) == -1 && errno == ECHILD);
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_free_of_one_that_may_not_be_killed_lets_it_go_on),
    ON_EVERY_WAY(test_wait_gives_the_exit_status),
    ON_EVERY_WAY(test_wait_by_several_and_again_gives_the_same),
    ON_EVERY_WAY(test_signals_reach_it_until_it_is_waited_for),
    ON_EVERY_WAY(test_free_of_one_that_runs_kills_it_and_leaves_no_zombie),
    ON_EVERY_WAY(test_detach_lets_it_go_on_and_leaves_no_zombie),
    ON_EVERY_WAY(test_wait_when_others_have_reaped_it_says_so),
    ON_EVERY_WAY(test_exitcode_without_a_wait_reaps_the_child),
    ON_EVERY_WAY(test_exitcode_asked_by_several_gives_all_the_same),
    ON_EVERY_WAY(test_exitcode_when_others_have_reaped_it_says_so_to_all),
    ON_EVERY_WAY(test_start_of_what_cannot_be_run_names_it),
    ON_EVERY_WAY(test_start_with_bad_arguments_is_refused),
    ON_EVERY_WAY(test_child_has_the_directory_and_environment_that_it_is_given),
    ON_EVERY_WAY(test_child_is_looked_for_in_the_path),
    ON_EVERY_WAY(test_child_has_the_descriptors_that_it_is_given),
    ON_EVERY_WAY(test_child_can_have_one_pipe_for_both_outputs),
    ON_EVERY_WAY(test_child_can_have_outputs_that_are_exchanged),
    ON_EVERY_WAY(test_child_of_a_process_without_standard_descriptors_has_its_own),
    ON_EVERY_WAY(test_child_has_default_signals_and_may_lead_a_group),
    ON_EVERY_WAY(test_pipes_can_be_read_and_written_piece_by_piece),
    ON_EVERY_WAY(test_communicate_moves_much_both_ways),
    ON_EVERY_WAY(test_communicate_with_one_that_does_not_read_it_all_succeeds),
    ON_EVERY_WAY(test_communicate_when_ended_early_goes_on_where_it_was),
    ON_EVERY_WAY(test_communicate_with_bad_arguments_is_refused),
    ON_EVERY_WAY(test_many_at_once_get_each_its_own),
    ON_EVERY_WAY(test_without_pidfds_all_is_the_same),
};

TEST_MAIN(tests, 60)
