/* SPDX-License-Identifier: MIT
 *
 * test_own_descriptors.c: a program that was started without its standard descriptors: those that
 * the library makes for itself lie above them, and are closed on exec; and a child program's
 * standard descriptors are what they should be.
 */
#include "jobs.h"
#include "loops.h"
#include "processes.h"

#include <fcntl.h>
#include <netdb.h>
#include <signal.h>
#include <unistd.h>

#include <conc/io.h>
#include <conc/net.h>
#include <conc/pipe.h>
#include <conc/server.h>
#include <conc/shared.h>
#include <conc/signal.h>
#include <conc/subprocess.h>
#include <conc/thread.h>

enum { STANDARD = 3, LOOKED_AT = 256 };

/* In a child process a result other than 0 says what was wrong. */
enum {
    WELL,
    BAD_LOW,
    BAD_EXEC,
    BAD_LOOP,
    BAD_THREAD,
    BAD_PIPE,
    BAD_SHARED,
    BAD_PROGRAM,
    BAD_POOL,
    BAD_SIGNAL,
    BAD_TIMER,
    BAD_SERVER,
};

static bool was_open[LOOKED_AT];

static bool is_open(int fd) { return fcntl(fd, F_GETFD) >= 0; }

static int look_at_descriptors(void)
{
    for (int fd = 0; fd < LOOKED_AT; fd++) {
        if (was_open[fd] || !is_open(fd))
            continue;
        if (fd < STANDARD)
            return BAD_LOW;
        if (!(fcntl(fd, F_GETFD) & FD_CLOEXEC))
            return BAD_EXEC;
    }
    return WELL;
}

/* The program's own descriptor, not one of the library's. */
static void open_pipe_above(int fds[2])
{
    int low[2];
    CHECK_EQUAL(pipe2(low, O_CLOEXEC), 0);
    for (int i = 0; i < 2; i++) {
        fds[i] = fcntl(low[i], F_DUPFD_CLOEXEC, STANDARD);
        close(low[i]);
    }
}

static int wait_and_look(void)
{
    int fds[2];
    open_pipe_above(fds);
    int err = conc_poll_fd(fds[0], POLLIN, conc_in(CONC_MS(1)));
    int found = err == -ETIMEDOUT ? look_at_descriptors() : BAD_THREAD;
    close(fds[0]);
    close(fds[1]);
    return found;
}

static int run_program(void)
{
    /* It says whether its three descriptors are open. */
    const char *const argv[] = {"/bin/sh", "-c",
                                "cat; test -e /proc/self/fd/1 && test -e /proc/self/fd/2", NULL};
    const conc_subprocess_options options = {
        .in = CONC_SUBPROCESS_PIPE, .out = CONC_SUBPROCESS_PIPE, .err = CONC_SUBPROCESS_NULL};
    conc_subprocess *child;
    const char *out;
    size_t n = 0;
    if (conc_subprocess_start(&child, argv, &options))
        return BAD_PROGRAM;
    int found = look_at_descriptors();
    int status = conc_subprocess_communicate(child, "abc", 3, &out, &n, NULL, NULL, CONC_FOREVER);
    conc_subprocess_free(child);
    return found || (status == 0 && n == 3) ? found : BAD_PROGRAM;
}

static int job_look(void *arg, void *result)
{
    int *found = pointer_in(arg);
    *found = wait_and_look();
    if (!*found)
        *found = run_program();
    return 0;
}

static int use_loop(void)
{
    int found = BAD_LOOP;
    return in_task(job_look, &found) ? BAD_LOOP : found;
}

static int use_pipe(void)
{
    conc_pipe *a, *b;
    if (conc_pipe_new(&a, &b))
        return BAD_PIPE;
    int found = look_at_descriptors();
    conc_pipe_free(a);
    conc_pipe_free(b);
    return found;
}

static int use_shared_memory(void)
{
    void *block, *view;
    if (conc_shared_new(&block, 100))
        return BAD_SHARED;
    int found = conc_shared_map(&view, NULL, conc_shared_fd(block)) ? BAD_SHARED : WELL;
    found = found ? found : look_at_descriptors();
    if (found != BAD_SHARED)
        conc_shared_free(view);
    conc_shared_free(block);
    return found;
}

static int use_process_pool(void)
{
    conc_executor *pool;
    int n = 7, square = 0;
    if (conc_process_pool_new(&pool, 2, NULL))
        return BAD_POOL;
    int err = conc_call(pool, job_square, &n, sizeof n, &square, sizeof square, PATIENT);
    int found = err || square != 49 ? BAD_POOL : look_at_descriptors();
    conc_executor_free(pool);
    return found;
}

static int use_signals(void)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    int err = conc_signal_wait(&set, conc_in(CONC_MS(1)));
    return err == -ETIMEDOUT ? look_at_descriptors() : BAD_SIGNAL;
}

static int use_timer(void)
{
    conc_timer *timer;
    if (conc_timer_start(&timer, CONC_S(60), job_until_cancelled, NULL, 0))
        return BAD_TIMER;
    int found = look_at_descriptors();
    conc_timer_cancel(timer);
    conc_timer_free(timer);
    return found;
}

static int echo_line(conc_stream *stream, void *arg)
{
    char *line;
    ssize_t n = conc_stream_read_line(stream, &line, PATIENT);
    return n < 0 ? (int)n : conc_stream_write(stream, line, (size_t)n, PATIENT);
}

/* A connection is the program's: it may have the number of a standard descriptor. */
static int job_serve(void *arg, void *result)
{
    struct addrinfo *found = NULL;
    int null[STANDARD], *well = pointer_in(arg);
    char buf[3];
    for (int i = 0; i < STANDARD; i++)
        null[i] = open("/dev/null", O_RDWR | O_CLOEXEC);
    int listener = conc_tcp_listen("127.0.0.1", 0, 0);
    conc_server *server;
    if (conc_getaddrinfo("localhost", "1", NULL, &found, PATIENT) == 0)
        freeaddrinfo(found);
    if (listener >= 0 && conc_server_start(&server, listener, echo_line, NULL, NULL) == 0) {
        int fd = conc_tcp_connect("127.0.0.1", (uint16_t)conc_server_port(server), PATIENT);
        if (conc_sendall(fd, "ab\n", 3, 0, PATIENT) == 0 &&
            conc_recv(fd, buf, 3, MSG_PEEK, PATIENT) > 0)
            *well = WELL;
        conc_close(fd);
        conc_server_stop(server, PATIENT);
        conc_server_free(server);
    }
    for (int i = 0; i < STANDARD; i++)
        close(null[i]);
    if (!*well)
        *well = look_at_descriptors();
    return 0;
}

static int use_server(void)
{
    int found = BAD_SERVER;
    return in_task(job_serve, &found) ? BAD_SERVER : found;
}

static int use_all(void *arg)
{
    static int (*const uses[])(void) = {wait_and_look,    use_loop,    use_pipe,  use_shared_memory,
                                        use_process_pool, use_signals, use_timer, use_server};
    const unsigned closed = *(unsigned *)arg;
    for (int fd = 0; fd < STANDARD; fd++)
        if (closed & 1u << fd)
            close(fd);
    for (int fd = 0; fd < LOOKED_AT; fd++)
        was_open[fd] = is_open(fd);
    for (size_t i = 0; i < sizeof uses / sizeof *uses; i++) {
        int found = uses[i]();
        if (found)
            return (int)(20 * i) + found;
    }
    return WELL;
}

static void test_without_standard_descriptors_all_own_ones_lie_above(void)
{
    for (unsigned closed = 0; CHILD_MAY_START_THREADS && closed < 1u << STANDARD; closed++)
        CHECK_EQUAL(in_child(use_all, &closed), WELL);
}

static const struct CMUnitTest tests[] = {
    ON_EVERY_BACKEND(test_without_standard_descriptors_all_own_ones_lie_above),
};

TEST_MAIN(tests, 60)
