/* SPDX-License-Identifier: MIT
 *
 * test_perform.c: one attempt at an op on a pipe, a terminal or a file: that it never blocks if it
 * is not to; what it returns; that no signal ends the program.
 * Sockets: test_perform_socket.c.
 */
#include "probes.h"

#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/time.h>

static ssize_t perform(struct op op) { return conc__perform(&op, true); }

/* ---- Pipes, terminals, files ---- */

static void test_read_of_an_empty_pipe_is_EAGAIN(void **state)
{
    int p[2];
    char buf[8];
    make_pipe(p);
    assert_int_equal(attempt(op_on(OP_READ, p[0], buf, sizeof buf)), -EAGAIN);
    assert_int_equal(attempt(op_on(OP_WRITE, p[1], "abc", 3)), 3);
    assert_int_equal(attempt(op_on(OP_READ, p[0], buf, 2)), 2);
    assert_int_equal(attempt(op_on(OP_READ, p[0], buf, 8)), 1);
    assert_int_equal(attempt(op_on(OP_READ, p[0], buf, 8)), -EAGAIN);
    close(p[1]);
    assert_int_equal(attempt(op_on(OP_READ, p[0], buf, 8)), 0);
    close(p[0]);
    assert_int_equal(attempt(op_on(OP_READ, p[0], buf, 8)), -EBADF);
}

static void test_write_into_a_full_pipe_is_EAGAIN(void **state)
{
    int p[2];
    make_pipe(p);
    size_t written = fill_with(OP_WRITE, p[1]);
    assert_true(written >= PIPE_BUF);
    assert_int_equal(drain_by(OP_READ, p[0]), written);
    close_both(p);
}

/* A kind of file for which there is no RWF_NOWAIT. */
static void test_terminal_is_left_to_a_thread(void **state)
{
    char buf[8];
    int master = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
    assert_true(master >= 0);
    struct op ops[] = {op_on(OP_READ, master, buf, 8), op_on(OP_WRITE, master, "abc", 3)};
    for (int i = 0; i < 2; i++) {
        assert_int_equal(conc__perform(&ops[i], false), -EAGAIN);
        assert_true(ops[i].by_thread);
    }
    assert_int_equal(perform(ops[1]), 3);
    close(master);
}

static int temporary_file(void)
{
    char name[] = "/tmp/libconc-test-XXXXXX";
    int fd = mkostemp(name, O_CLOEXEC);
    assert_true(fd >= 0);
    unlink(name);
    return fd;
}

static void test_files_are_left_to_a_thread_unless_in_memory(void **state)
{
    const int fds[] = {temporary_file(), memfd_create("test", MFD_CLOEXEC)};
    for (int i = 0; i < 2; i++) {
        int fd = fds[i];
        char buf[8] = "........";
        struct op op = op_on(OP_PWRITE, fd, "abcdef", 6);
        assert_int_equal(conc__perform(&op, false), -EAGAIN);
        assert_int_equal(conc__perform(&op, true), 6);
        op.code = OP_WRITE;
        assert_int_equal(conc__perform(&op, true), 6);
        op = op_on(OP_PREAD, fd, buf, 4);
        op.offset = 2;
        ssize_t n = conc__perform(&op, false);
        assert_true(n == 4 || n == -EAGAIN);
        assert_int_equal(conc__perform(&op, true), 4);
        assert_memory_equal(buf, "cdef", 4);
        op.size = 8;
        assert_int_equal(conc__perform(&op, false), -EAGAIN); /* no short read */
        assert_int_equal(conc__perform(&op, true), 4);
        op.offset = -1;
        assert_int_equal(conc__perform(&op, false), -EINVAL);
        op = op_on(OP_READ, fd, buf, 8);
        assert_int_equal(conc__perform(&op, true), 0); /* behind what was written */
        close(fd);
    }
}

static void test_positions_of_a_pipe_are_ESPIPE(void **state)
{
    int p[2];
    char buf[8] = "";
    make_pipe(p);
    assert_int_equal(attempt(op_on(OP_PREAD, p[0], buf, 8)), -ESPIPE);
    assert_int_equal(perform(op_on(OP_PREAD, p[0], buf, 8)), -ESPIPE);
    assert_int_equal(perform(op_on(OP_PWRITE, p[1], buf, 8)), -ESPIPE);
    close_both(p);
}

static void test_open_stat_fsync_do_what_they_say(void **state)
{
    struct stat st;
    struct op op = {.code = OP_OPEN, .path = "/dev/null", .flags = O_RDWR | O_CLOEXEC};
    int fd = (int)attempt(op);
    assert_true(fd >= 0);
    op = (struct op){.code = OP_STAT, .fd = fd, .path = "", .flags = AT_EMPTY_PATH, .stat = &st};
    assert_int_equal(attempt(op), 0);
    assert_true(S_ISCHR(st.st_mode));
    close(fd);
    op = (struct op){.code = OP_STAT, .fd = AT_FDCWD, .path = "/nowhere/at all", .stat = &st};
    assert_int_equal(attempt(op), -ENOENT);
    op = (struct op){.code = OP_OPEN, .path = "/nowhere/at all"};
    assert_int_equal(attempt(op), -ENOENT);
    fd = temporary_file();
    for (int data_only = 0; data_only < 2; data_only++) {
        assert_int_equal(attempt((struct op){.code = OP_FSYNC, .fd = fd, .flags = data_only}), 0);
        assert_int_equal(attempt((struct op){.code = OP_FSYNC, .fd = -1, .flags = data_only}),
                         -EBADF);
    }
    close(fd);
}

static void test_discard_closes_a_descriptor(void **state)
{
    struct op op = {.code = OP_OPEN, .path = "/dev/null", .flags = O_CLOEXEC};
    op.result = attempt(op);
    assert_true(op.result >= 0);
    conc__op_discard(&op);
    assert_int_equal(fcntl((int)op.result, F_GETFD), -1);
    op = (struct op){.code = OP_READ, .result = 1}; /* not a descriptor */
    conc__op_discard(&op);
    assert_true(fcntl(1, F_GETFD) >= 0);
}

/* ---- Polling ---- */

static void test_poll_tells_what_is_there(void **state)
{
    int p[2];
    make_pipe(p);
    const struct op reads = {.code = OP_POLL, .fd = p[0], .flags = POLLIN};
    assert_int_equal(attempt(reads), -EAGAIN);
    assert_int_equal(attempt((struct op){.code = OP_POLL, .fd = p[1], .flags = POLLIN | POLLOUT}),
                     POLLOUT);
    assert_int_equal(write(p[1], "x", 1), 1);
    assert_int_equal(attempt(reads), POLLIN);
    close(p[1]);
    assert_int_equal(attempt(reads), POLLIN | POLLHUP);
    close(p[0]);
    assert_int_equal(attempt(reads), -EBADF);
    assert_int_equal(attempt((struct op){.code = OP_POLL, .fd = -1, .flags = POLLIN}), -EBADF);
}

static void test_events_to_wait_for(void **state)
{
    const struct {
        struct op op;
        short events;
    } cases[] = {
        {{.code = OP_READ}, POLLIN},
        {{.code = OP_WRITE}, POLLOUT},
        {{.code = OP_POLL, .flags = POLLIN}, POLLIN | POLLERR | POLLHUP},
        {{.code = OP_POLL, .flags = POLLPRI}, POLLPRI | POLLERR | POLLHUP},
        {{.code = OP_PREAD}, 0},
        {{.code = OP_PWRITE}, 0},
        {{.code = OP_RECV}, POLLIN},
        {{.code = OP_RECV, .flags = MSG_OOB}, POLLPRI},
        {{.code = OP_RECVMSG, .flags = MSG_ERRQUEUE}, POLLERR},
        {{.code = OP_SEND}, POLLOUT},
        {{.code = OP_SENDMSG}, POLLOUT},
        {{.code = OP_ACCEPT}, POLLIN},
        {{.code = OP_CONNECT}, POLLOUT},
        {{.code = OP_OPEN}, 0},
        {{.code = OP_FSYNC}, 0},
        {{.code = OP_STAT}, 0},
        {{.code = OP_CALL}, 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        assert_int_equal(conc__op_events(&cases[i].op), cases[i].events);
}

/* ---- Signals ---- */

/* In a child process: SIGPIPE would be its end. The number of the check that failed; 0: none. */
static int write_to_nobody(void *arg)
{
    int p[2], s[2];
    signal(SIGPIPE, SIG_DFL);
    if (pipe(p) || socketpair(AF_UNIX, SOCK_STREAM, 0, s))
        return 1;
    close(p[0]);
    close(s[0]);
    for (int wait = 0; wait < 2; wait++) {
        const struct op ops[] = {op_on(OP_WRITE, p[1], "x", 1), op_on(OP_SEND, s[1], "x", 1)};
        for (int i = 0; i < 2; i++) {
            struct op op = ops[i];
            if (conc__perform(&op, wait) != -EPIPE)
                return 10 * wait + i + 2;
        }
    }
    return 0;
}

static void test_writing_to_nobody_is_EPIPE_and_no_signal(void **state)
{
    assert_int_equal(in_child(write_to_nobody, NULL), 0);
}

/* SIGPIPE is blocked and already pending for another reason: it must stay. */
static int write_with_sigpipe_pending(void *arg)
{
    int p[2];
    sigset_t set, pending;
    sigemptyset(&set);
    sigaddset(&set, SIGPIPE);
    if (pipe(p) || sigprocmask(SIG_BLOCK, &set, NULL))
        return 1;
    close(p[0]);
    struct op op = op_on(OP_WRITE, p[1], "x", 1);
    if (conc__perform(&op, true) != -EPIPE || sigpending(&pending) ||
        sigismember(&pending, SIGPIPE))
        return 2; /* it left one behind */
    raise(SIGPIPE);
    if (conc__perform(&op, true) != -EPIPE || sigpending(&pending) ||
        !sigismember(&pending, SIGPIPE))
        return 3; /* it took one that was not its own */
    return sigprocmask(SIG_BLOCK, NULL, &set) || !sigismember(&set, SIGPIPE) ? 4 : 0;
}

static void test_pending_SIGPIPE_of_others_stays(void **state)
{
    assert_int_equal(in_child(write_with_sigpipe_pending, NULL), 0);
}

static int alarm_fd;
static int alarms; /* atomic: any thread may get the signal */

static void on_alarm(int signo)
{
    (void)signo;
    if (fetch_add_relaxed(&alarms, 1) == 19 && write(alarm_fd, "x", 1) < 0)
        abort();
}

static void test_interrupted_calls_are_made_again(void **state)
{
    int p[2];
    char buf[8];
    struct sigaction action = {.sa_handler = on_alarm}, before; /* without SA_RESTART */
    const struct itimerval every_ms = {.it_interval.tv_usec = 1000, .it_value.tv_usec = 1000};
    make_pipe(p);
    alarm_fd = p[1];
    assert_int_equal(sigaction(SIGALRM, &action, &before), 0);
    assert_int_equal(setitimer(ITIMER_REAL, &every_ms, NULL), 0);
    assert_int_equal(perform(op_on(OP_READ, p[0], buf, 8)), 1);
    assert_int_equal(setitimer(ITIMER_REAL, &(struct itimerval){0}, NULL), 0);
    assert_int_equal(sigaction(SIGALRM, &before, NULL), 0);
    close_both(p);
}

/* ---- Calls ---- */

static ssize_t return_it(void *arg)
{
    static int calls;
    calls++;
    return arg ? *(ssize_t *)arg : calls;
}

static void test_call_is_made_once_whatever_it_returns(void **state)
{
    ssize_t interrupted = -EINTR;
    struct op op = {.code = OP_CALL, .call = return_it, .arg = &interrupted};
    assert_int_equal(conc__perform(&op, true), -EINTR);
    op.arg = NULL;
    assert_int_equal(conc__perform(&op, true), 2);
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_read_of_an_empty_pipe_is_EAGAIN),
    cmocka_unit_test(test_write_into_a_full_pipe_is_EAGAIN),
    cmocka_unit_test(test_terminal_is_left_to_a_thread),
    cmocka_unit_test(test_files_are_left_to_a_thread_unless_in_memory),
    cmocka_unit_test(test_positions_of_a_pipe_are_ESPIPE),
    cmocka_unit_test(test_open_stat_fsync_do_what_they_say),
    cmocka_unit_test(test_discard_closes_a_descriptor),
    cmocka_unit_test(test_poll_tells_what_is_there),
    cmocka_unit_test(test_events_to_wait_for),
    cmocka_unit_test(test_writing_to_nobody_is_EPIPE_and_no_signal),
    cmocka_unit_test(test_pending_SIGPIPE_of_others_stays),
    cmocka_unit_test(test_interrupted_calls_are_made_again),
    cmocka_unit_test(test_call_is_made_once_whatever_it_returns),
};

TEST_MAIN(tests, 30)
