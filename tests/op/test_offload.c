/* SPDX-License-Identifier: MIT
 *
 * test_offload.c: ops that threads carry out: that any number of them that wait keeps no other
 * waiting, how they are interrupted, what a close ends, and that a program's own handler stays.
 */
#include "probes.h"

#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include <conc/io.h>

#include "op/offload.h"

static char folder[] = "/tmp/libconc-offload-XXXXXX";

static const char *fifo_name(char name[64], int i)
{
    snprintf(name, 64, "%s/%d", folder, i);
    return name;
}

static int open_fifo(void *arg, void *result)
{
    char name[64];
    int *i = arg;
    int fd = conc_open(fifo_name(name, i[0]), i[1], 0, CONC_FOREVER);
    if (fd < 0)
        return fd;
    conc_close(fd);
    return 0;
}

static conc_future *start_opening(int i, int mode)
{
    const int arg[] = {i, mode};
    return start(open_fifo, arg, sizeof arg);
}

/* More than are started without hesitation. */
enum { MANY = 3 * OFFLOAD_PROMPT };

static void make_fifos(int n)
{
    char name[64];
    snprintf(folder, sizeof folder, "/tmp/libconc-offload-XXXXXX");
    CHECK(mkdtemp(folder));
    for (int i = 0; i < n; i++)
        CHECK_EQUAL(mkfifo(fifo_name(name, i), 0600), 0);
}

static void remove_fifos(int n)
{
    char name[64];
    for (int i = 0; i < n; i++)
        unlink(fifo_name(name, i));
    rmdir(folder);
}

static void test_opens_that_wait_keep_nothing_else_waiting(void)
{
    conc_future *readers[MANY], *writers[MANY];
    struct stat st;
    make_fifos(MANY);
    for (int i = 0; i < MANY; i++)
        readers[i] = start_opening(i, O_RDONLY);
    UNTIL(blocked_on("open") == MANY);
    CHECK_EQUAL(conc_stat("/", &st, conc_in(CONC_S(30))), 0);
    int fd = conc_open("/dev/null", O_RDONLY, 0, conc_in(CONC_S(30)));
    CHECK(fd >= 0);
    conc_close(fd);
    for (int i = 0; i < MANY; i++)
        writers[i] = start_opening(i, O_WRONLY);
    for (int i = 0; i < MANY; i++) {
        CHECK_EQUAL(end_of(writers[i]), 0);
        CHECK_EQUAL(end_of(readers[i]), 0);
    }
    remove_fifos(MANY);
}

static void test_opens_that_wait_are_cancelled(void)
{
    conc_future *readers[MANY];
    make_fifos(MANY);
    for (int i = 0; i < MANY; i++)
        readers[i] = start_opening(i, i % 2 ? O_RDONLY : O_WRONLY);
    UNTIL(blocked_on("open") == MANY);
    for (int i = 0; i < MANY; i++)
        conc_future_cancel(readers[i]);
    for (int i = 0; i < MANY; i++)
        CHECK_EQUAL(end_of(readers[i]), -ECANCELED);
    remove_fifos(MANY);
}

static void test_opens_that_would_wait_end_by_the_deadline(void)
{
    char name[64];
    make_fifos(1);
    fifo_name(name, 0);
    CHECK_EQUAL(conc_open(name, O_RDONLY, 0, CONC_NOW), -EAGAIN);
    CHECK_EQUAL(conc_open(name, O_WRONLY, 0, conc_at(1)), -ETIMEDOUT);
    CHECK_EQUAL(conc_open(name, O_WRONLY, 0, conc_in(CONC_MS(5))), -ETIMEDOUT);
    CHECK_EQUAL(conc_open(name, O_WRONLY | O_NONBLOCK, 0, CONC_FOREVER), -ENXIO);
    int fd = conc_open(name, O_RDONLY | O_NONBLOCK, 0, CONC_NOW);
    CHECK(fd >= 0);
    int other = conc_open(name, O_WRONLY, 0, CONC_NOW); /* need not wait: there is a reader */
    CHECK(other >= 0);
    conc_close(other);
    conc_close(fd);
    remove_fifos(1);
}

/* A terminal whose other side does not read. */
static int full_terminal(void)
{
    static char zeros[1 << 16];
    int fd = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC | O_NONBLOCK);
    CHECK(fd >= 0);
    CHECK(grantpt(fd) == 0 && unlockpt(fd) == 0);
    int mode = fcntl(fd, F_GETFL);
    while (write(fd, zeros, sizeof zeros) > 0)
        continue;
    CHECK_EQUAL(fcntl(fd, F_SETFL, mode & ~O_NONBLOCK), 0);
    return fd;
}

static int write_much(void *arg, void *result)
{
    static char zeros[1 << 20];
    return conc_write_all(*(int *)arg, zeros, sizeof zeros, CONC_FOREVER);
}

static void test_write_that_waits_in_a_thread_is_cancelled(void)
{
    int fd = full_terminal();
    conc_future *f = start(write_much, &fd, sizeof fd);
    UNTIL(blocked_on("write") == 1);
    /* The kernel may still make some room, by moving the bytes to where they are to be read. */
    UNTIL(conc_write(fd, "x", 1, CONC_NOW) == -EAGAIN);
    UNTIL(conc_write(fd, "x", 1, conc_in(CONC_MS(5))) == -ETIMEDOUT);
    conc_future_cancel(f);
    CHECK_EQUAL(end_of(f), -ECANCELED);
    close(fd);
}

/* ---- Closing ---- */

static int poll_urgent(void *arg, void *result)
{
    return conc_poll_fd(*(int *)arg, POLLPRI, CONC_FOREVER);
}

static void test_closing_ends_what_threads_wait_for(void)
{
    /* nobody says POLLPRI of this file: a thread waits for it */
    int fd = open("/proc/self/status", O_RDONLY | O_CLOEXEC), other = dup(fd);
    conc_future *f[3];
    for (int i = 0; i < 3; i++)
        f[i] = start(poll_urgent, i < 2 ? &fd : &other, sizeof fd);
    UNTIL(blocked_on("poll") == 3);
    CHECK_EQUAL(conc_close(fd), 0);
    CHECK_EQUAL(end_of(f[0]), -EBADF);
    CHECK_EQUAL(end_of(f[1]), -EBADF);
    CHECK(!conc_future_is_done(f[2]));
    CHECK_EQUAL(conc_close(other), 0);
    CHECK_EQUAL(end_of(f[2]), -EBADF);
}

/* ---- Threads that there are not, and other handlers ---- */

static void test_without_a_thread_the_op_fails(void)
{
    static int once;
    bool settled;
    if (conc__offload_threads(&settled) || once++) /* others have started one that is idle */
        return;
    fail_thread(1);
    CHECK_EQUAL(conc_open("/dev/null", O_RDONLY, 0, CONC_FOREVER), -ENOMEM);
    int fd = conc_open("/dev/null", O_RDONLY, 0, CONC_FOREVER);
    CHECK(fd >= 0);
    close(fd);
}

static void on_urgent(int signo) { (void)signo; }

/* In a child process: the first interrupt decides about the handler. The call ends, so the signal
 * has come. */
static int interrupt_with_own_handler(void *arg)
{
    const struct sigaction own = {.sa_handler = on_urgent};
    struct sigaction now;
    char name[64];
    make_fifos(1);
    sigaction(SIGURG, &own, NULL);
    int err = conc_open(fifo_name(name, 0), O_RDONLY, 0, conc_in(CONC_MS(5)));
    remove_fifos(1);
    bool stays = sigaction(SIGURG, NULL, &now) == 0 && now.sa_handler == on_urgent;
    return err == -ETIMEDOUT && stays ? 0 : 1;
}

static void test_a_handler_of_the_program_stays(void **state)
{
    assert_int_equal(in_child(interrupt_with_own_handler, NULL), 0);
}

static const struct CMUnitTest tests[] = {
    ON_WAY(test_without_a_thread_the_op_fails, ON_THREADS, "threads"),
    ON_EVERY_WAY(test_opens_that_wait_keep_nothing_else_waiting),
    ON_EVERY_WAY(test_opens_that_wait_are_cancelled),
    ON_EVERY_WAY(test_opens_that_would_wait_end_by_the_deadline),
    ON_EVERY_WAY(test_write_that_waits_in_a_thread_is_cancelled),
    ON_EVERY_WAY(test_closing_ends_what_threads_wait_for),
    cmocka_unit_test(test_a_handler_of_the_program_stays),
};

TEST_MAIN(tests, 60)
