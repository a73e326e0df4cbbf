/* SPDX-License-Identifier: MIT
 *
 * test_io_file.c: conc/io.h: pipes, files, and waiting for descriptors, on threads and on tasks.
 */
#include "ways.h"

#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <conc/io.h>

#define PAST conc_in(0)
#define SOON conc_in(CONC_MS(20))

/* ---- Pipes ---- */

static void test_what_is_written_to_a_pipe_can_be_read(void)
{
    int fds[2];
    char buf[16] = "";
    make_pipe(fds);
    CHECK_EQUAL(conc_write(fds[1], "hello", 5, CONC_FOREVER), 5);
    CHECK_EQUAL(conc_read(fds[0], buf, 2, CONC_FOREVER), 2);
    CHECK_EQUAL(conc_read(fds[0], buf + 2, sizeof buf - 2, CONC_FOREVER), 3);
    CHECK(!strcmp(buf, "hello"));
    CHECK_EQUAL(conc_read(fds[0], buf, 0, CONC_FOREVER), 0);
    CHECK_EQUAL(conc_write(fds[1], "", 0, CONC_FOREVER), 0);
    CHECK_EQUAL(conc_close(fds[1]), 0);
    CHECK_EQUAL(conc_read(fds[0], buf, sizeof buf, CONC_FOREVER), 0);
    CHECK_EQUAL(conc_read(fds[0], buf, sizeof buf, CONC_NOW), 0);
    CHECK_EQUAL(conc_close(fds[0]), 0);
}

/* A read in another context: into room of its own, which it compares with what it is to get. */
struct reading {
    int fd;
    conc_deadline deadline;
    ssize_t expected;
    char bytes[8];
};

static int job_read(void *arg, void *result)
{
    struct reading *r = arg;
    char buf[sizeof r->bytes];
    memset(buf, 0x55, sizeof buf);
    ssize_t n = conc_read(r->fd, buf, sizeof buf, r->deadline);
    CHECK_EQUAL(n, r->expected);
    for (size_t i = 0; i < sizeof buf; i++)
        CHECK_EQUAL(buf[i], n > 0 && i < (size_t)n ? r->bytes[i] : 0x55);
    return n < 0 ? (int)n : 0;
}

static conc_future *start_read(int fd, ssize_t expected, const char *bytes, conc_deadline deadline)
{
    struct reading r = {.fd = fd, .deadline = deadline, .expected = expected};
    memcpy(r.bytes, bytes, strlen(bytes));
    return start(job_read, &r, sizeof r);
}

static void test_a_read_waits_until_something_is_there(void)
{
    int fds[2];
    make_pipe(fds);
    conc_future *f = start_read(fds[0], 3, "abc", CONC_FOREVER);
    UNTIL(blocked_on("read") == 1);
    CHECK_EQUAL(conc_write(fds[1], "abc", 3, CONC_FOREVER), 3);
    CHECK_EQUAL(end_of(f), 0);

    f = start_read(fds[0], 0, "", CONC_FOREVER);
    UNTIL(blocked_on("read") == 1);
    CHECK_EQUAL(conc_close(fds[1]), 0);
    CHECK_EQUAL(end_of(f), 0);
    CHECK_EQUAL(conc_close(fds[0]), 0);
}

static void test_a_read_gives_up_at_its_deadline_and_takes_nothing(void)
{
    int fds[2];
    char buf[8];
    make_pipe(fds);
    CHECK_EQUAL(conc_read(fds[0], buf, sizeof buf, CONC_NOW), -EAGAIN);
    CHECK_EQUAL(conc_read(fds[0], buf, sizeof buf, PAST), -ETIMEDOUT);
    int64_t begin = real_now();
    CHECK_EQUAL(conc_read(fds[0], buf, sizeof buf, SOON), -ETIMEDOUT);
    CHECK(real_now() - begin >= CONC_MS(20));
    CHECK_EQUAL(conc_write(fds[1], "abc", 3, CONC_NOW), 3);
    CHECK_EQUAL(conc_read(fds[0], buf, 1, CONC_NOW), 1);
    CHECK_EQUAL(conc_read(fds[0], buf, 1, PAST), 1);
    CHECK_EQUAL(conc_read(fds[0], buf, 1, SOON), 1);
    close_both(fds);
}

static void test_a_cancelled_read_takes_nothing(void)
{
    int fds[2];
    char buf[8];
    make_pipe(fds);
    for (int i = 0; i < 20; i++) {
        conc_future *f = start_read(fds[0], -ECANCELED, "", CONC_FOREVER);
        if (i % 2)
            UNTIL(blocked_on("read") == 1);
        CHECK(conc_future_cancel(f));
        CHECK_EQUAL(end_of(f), -ECANCELED);
        CHECK_EQUAL(conc_write(fds[1], "abc", 3, CONC_NOW), 3);
        CHECK_EQUAL(conc_read(fds[0], buf, sizeof buf, CONC_NOW), 3);
    }
    close_both(fds);
}

static void test_in_an_ended_scope_nothing_begins(void)
{
    int fds[2];
    char buf[8];
    make_pipe(fds);
    CHECK_EQUAL(conc_write(fds[1], "abc", 3, CONC_NOW), 3);
    conc_scope scope;
    conc_scope_enter(&scope, PAST);
    CHECK_EQUAL(conc_read(fds[0], buf, sizeof buf, CONC_FOREVER), -ECANCELED);
    CHECK_EQUAL(conc_write(fds[1], "abc", 3, CONC_FOREVER), -ECANCELED);
    CHECK_EQUAL(conc_write_all(fds[1], "abc", 3, CONC_FOREVER), -ECANCELED);
    CHECK_EQUAL(conc_poll_fd(fds[0], POLLIN, CONC_FOREVER), -ECANCELED);
    CHECK_EQUAL(conc_open("/dev/null", O_RDONLY, 0, CONC_FOREVER), -ECANCELED);
    CHECK_EQUAL(conc_unlink("/nowhere/at/all", CONC_FOREVER), -ECANCELED);
    CHECK_EQUAL(conc_read(fds[0], buf, sizeof buf, CONC_NOW), 3); /* no cancellation point */
    CHECK_EQUAL(conc_scope_exit(&scope), -ETIMEDOUT);
    close_both(fds);
}

static void test_a_scopes_deadline_ends_a_read(void)
{
    int fds[2];
    char buf[8];
    make_pipe(fds);
    conc_scope scope;
    conc_scope_enter(&scope, SOON);
    CHECK_EQUAL(conc_read(fds[0], buf, sizeof buf, CONC_FOREVER), -ECANCELED);
    CHECK_EQUAL(conc_scope_exit(&scope), -ETIMEDOUT);
    close_both(fds);
}

enum { MUCH = 1000000 };

static int job_read_much(void *arg, void *result)
{
    int fd = *(int *)arg;
    char *buf = malloc(MUCH);
    size_t got = 0;
    ssize_t n;
    while ((n = conc_read(fd, buf + got, MUCH - got, CONC_FOREVER)) > 0)
        got += (size_t)n;
    CHECK_EQUAL(got, MUCH);
    CHECK(is_filled(buf, MUCH, 1));
    free(buf);
    return 0;
}

static void test_write_all_waits_for_room_as_often_as_needed(void)
{
    int fds[2];
    char *buf = malloc(MUCH);
    fill(buf, MUCH, 1);
    make_pipe(fds);
    conc_future *f = start(job_read_much, &fds[0], sizeof(int));
    CHECK_EQUAL(conc_write_all(fds[1], buf, MUCH, CONC_FOREVER), 0);
    CHECK_EQUAL(conc_write_all(fds[1], buf, 0, CONC_FOREVER), 0);
    CHECK_EQUAL(end_of(f), 0);
    free(buf);
    close_both(fds);
}

static void test_writing_to_a_full_pipe_has_a_deadline(void)
{
    int fds[2];
    char *buf = calloc(1, MUCH);
    make_pipe(fds);
    CHECK_EQUAL(conc_write_all(fds[1], buf, MUCH, CONC_NOW), -EAGAIN);
    CHECK_EQUAL(conc_write(fds[1], buf, MUCH, CONC_NOW), -EAGAIN);
    CHECK_EQUAL(conc_write(fds[1], buf, MUCH, PAST), -ETIMEDOUT);
    CHECK_EQUAL(conc_write(fds[1], buf, MUCH, SOON), -ETIMEDOUT);
    CHECK_EQUAL(conc_write_all(fds[1], buf, MUCH, SOON), -ETIMEDOUT);
    CHECK(conc_read(fds[0], buf, MUCH, CONC_NOW) > 0);
    CHECK(conc_write(fds[1], buf, MUCH, PAST) > 0);
    free(buf);
    close_both(fds);
}

/* A SIGPIPE would end the program. */
static void test_writing_to_a_pipe_that_nobody_reads_is_an_error(void)
{
    int fds[2];
    make_pipe(fds);
    CHECK_EQUAL(conc_close(fds[0]), 0);
    CHECK_EQUAL(conc_write(fds[1], "abc", 3, CONC_FOREVER), -EPIPE);
    CHECK_EQUAL(conc_write(fds[1], "abc", 3, CONC_NOW), -EPIPE);
    CHECK_EQUAL(conc_write_all(fds[1], "abc", 3, CONC_FOREVER), -EPIPE);
    CHECK_EQUAL(conc_close(fds[1]), 0);
}

static int job_write_until_broken(void *arg, void *result)
{
    static const char zeros[65536];
    ssize_t n;
    while ((n = conc_write(*(int *)arg, zeros, sizeof zeros, CONC_FOREVER)) > 0)
        continue;
    return (int)n;
}

static void test_a_write_that_waits_learns_that_nobody_reads(void)
{
    int fds[2];
    make_pipe(fds);
    conc_future *f = start(job_write_until_broken, &fds[1], sizeof(int));
    UNTIL(blocked_on("write") == 1);
    CHECK_EQUAL(conc_close(fds[0]), 0);
    CHECK_EQUAL(end_of(f), -EPIPE);
    CHECK_EQUAL(conc_close(fds[1]), 0);
}

static void test_each_of_many_readers_gets_a_byte(void)
{
    enum { READERS = 20 };
    int fds[2];
    conc_future *f[READERS];
    make_sockets(SOCK_SEQPACKET, fds); /* one message a read */
    for (int i = 0; i < READERS; i++)
        f[i] = start_read(fds[0], 1, "x", CONC_FOREVER);
    UNTIL(blocked_on("read") == READERS);
    for (int i = 0; i < READERS; i++)
        CHECK_EQUAL(conc_write(fds[1], "x", 1, CONC_FOREVER), 1);
    for (int i = 0; i < READERS; i++)
        CHECK_EQUAL(end_of(f[i]), 0);
    close_both(fds);
}

/* Only tasks of the loop that closes it are woken. */
static void test_closing_a_descriptor_ends_what_waits_for_it(void)
{
    int fds[2];
    make_pipe(fds);
    conc_future *f = start_read(fds[0], -EBADF, "", CONC_FOREVER);
    UNTIL(blocked_on("read") == 1);
    CHECK_EQUAL(conc_close(fds[0]), 0);
    CHECK_EQUAL(end_of(f), -EBADF);
    CHECK_EQUAL(conc_close(fds[1]), 0);
}

static void test_a_number_that_is_used_again_is_another_descriptor(void)
{
    int fds[2], again[2];
    char buf[8];
    for (int i = 0; i < 20; i++) {
        make_pipe(fds);
        CHECK_EQUAL(conc_read(fds[0], buf, sizeof buf, conc_in(CONC_MS(1))), -ETIMEDOUT);
        close_both(fds);
        make_pipe(again);
        CHECK_EQUAL(again[0], fds[0]);
        conc_future *f = start_read(again[0], 1, "x", CONC_FOREVER);
        UNTIL(blocked_on("read") == 1);
        CHECK_EQUAL(conc_write(again[1], "x", 1, CONC_FOREVER), 1);
        CHECK_EQUAL(end_of(f), 0);
        close_both(again);
    }
}

/* ---- Waiting for descriptors ---- */

static int job_poll(void *arg, void *result)
{
    return conc_poll_fd(*(int *)arg, POLLIN, CONC_FOREVER) == POLLIN ? 0 : -EIO;
}

static void test_poll_tells_what_is_there(void)
{
    int fds[2];
    char buf[8];
    make_pipe(fds);
    CHECK_EQUAL(conc_poll_fd(fds[0], POLLIN, CONC_NOW), -EAGAIN);
    CHECK_EQUAL(conc_poll_fd(fds[0], POLLIN, PAST), -ETIMEDOUT);
    CHECK_EQUAL(conc_poll_fd(fds[0], POLLIN, SOON), -ETIMEDOUT);
    CHECK_EQUAL(conc_poll_fd(fds[1], POLLOUT, CONC_NOW), POLLOUT);
    CHECK_EQUAL(conc_poll_fd(fds[1], POLLIN | POLLOUT, CONC_FOREVER), POLLOUT);
    conc_future *f = start(job_poll, &fds[0], sizeof(int));
    UNTIL(blocked_on("poll") == 1);
    CHECK_EQUAL(conc_write(fds[1], "x", 1, CONC_FOREVER), 1);
    CHECK_EQUAL(end_of(f), 0);
    CHECK_EQUAL(conc_read(fds[0], buf, sizeof buf, CONC_NOW), 1);

    f = start(job_poll, &fds[0], sizeof(int));
    UNTIL(blocked_on("poll") == 1);
    conc_future_cancel(f);
    CHECK_EQUAL(end_of(f), -EIO);
    CHECK_EQUAL(conc_close(fds[1]), 0);
    CHECK(conc_poll_fd(fds[0], POLLIN, CONC_FOREVER) & POLLHUP);
    CHECK_EQUAL(conc_close(fds[0]), 0);
}

static void test_a_file_is_always_ready(void)
{
    int fd = conc_open("/proc/self/exe", O_RDONLY, 0, CONC_FOREVER);
    CHECK(fd >= 0);
    CHECK_EQUAL(conc_poll_fd(fd, POLLIN, CONC_FOREVER), POLLIN);
    CHECK_EQUAL(conc_poll_fd(fd, POLLIN, CONC_NOW), POLLIN);
    CHECK_EQUAL(conc_close(fd), 0);
}

/* ---- Files ---- */

static char folder[] = "/tmp/test_io_file.XXXXXX";

/* A path in the test's folder; four are valid at once. */
static const char *in_folder(const char *name)
{
    static __thread char paths[4][64];
    static __thread unsigned next;
    char *path = paths[next++ % 4];
    snprintf(path, sizeof paths[0], "%s/%s", folder, name);
    return path;
}

static void make_folder(void)
{
    strcpy(folder + strlen(folder) - 6, "XXXXXX");
    CHECK(mkdtemp(folder) != NULL);
}

static int open_new(const char *name)
{
    int fd = conc_open(in_folder(name), O_RDWR | O_CREAT | O_EXCL, 0600, CONC_FOREVER);
    CHECK(fd >= 0);
    return fd;
}

static void test_a_file_from_its_beginning_to_its_end(void)
{
    struct stat st;
    char buf[16];
    make_folder();
    int fd = open_new("a");
    CHECK_EQUAL(conc_write_all(fd, "0123456789", 10, CONC_FOREVER), 0);
    CHECK_EQUAL(conc_pwrite(fd, "ab", 2, 4, CONC_FOREVER), 2);
    CHECK_EQUAL(conc_pread(fd, buf, 6, 2, CONC_FOREVER), 6);
    CHECK(!memcmp(buf, "23ab67", 6));
    CHECK_EQUAL(conc_pread(fd, buf, sizeof buf, 100, CONC_FOREVER), 0);
    CHECK_EQUAL(conc_read(fd, buf, sizeof buf, CONC_FOREVER), 0); /* the position is at the end */
    CHECK_EQUAL(conc_fsync(fd, CONC_FOREVER), 0);
    CHECK_EQUAL(conc_fdatasync(fd, CONC_FOREVER), 0);
    CHECK_EQUAL(conc_ftruncate(fd, 5, CONC_FOREVER), 0);
    CHECK_EQUAL(lseek(fd, 0, SEEK_SET), 0);
    CHECK_EQUAL(conc_read(fd, buf, sizeof buf, CONC_FOREVER), 5);
    CHECK(!memcmp(buf, "0123a", 5));
    CHECK_EQUAL(conc_fstat(fd, &st, CONC_FOREVER), 0);
    CHECK_EQUAL(st.st_size, 5);
    CHECK_EQUAL(conc_close(fd), 0);

    CHECK_EQUAL(symlink("a", in_folder("link")), 0);
    CHECK_EQUAL(conc_stat(in_folder("link"), &st, CONC_FOREVER), 0);
    CHECK(S_ISREG(st.st_mode) && st.st_size == 5 && st.st_nlink == 1);
    CHECK_EQUAL(conc_lstat(in_folder("link"), &st, CONC_FOREVER), 0);
    CHECK(S_ISLNK(st.st_mode));
    CHECK_EQUAL(conc_unlink(in_folder("link"), CONC_FOREVER), 0);

    CHECK_EQUAL(conc_mkdir(in_folder("d"), 0700, CONC_FOREVER), 0);
    CHECK_EQUAL(conc_rename(in_folder("a"), in_folder("d/b"), CONC_FOREVER), 0);
    CHECK_EQUAL(conc_rmdir(in_folder("d"), CONC_FOREVER), -ENOTEMPTY);
    CHECK_EQUAL(conc_unlink(in_folder("d/b"), CONC_FOREVER), 0);
    CHECK_EQUAL(conc_rmdir(in_folder("d"), CONC_FOREVER), 0);
    CHECK_EQUAL(conc_rmdir(folder, CONC_FOREVER), 0);
}

static void test_a_large_file_is_read_and_written_whole(void)
{
    char *buf = malloc(MUCH);
    make_folder();
    int fd = open_new("a");
    fill(buf, MUCH, 3);
    CHECK_EQUAL(conc_write_all(fd, buf, MUCH, CONC_FOREVER), 0);
    memset(buf, 0, MUCH);
    CHECK_EQUAL(conc_pread(fd, buf, MUCH, 0, CONC_FOREVER), MUCH);
    CHECK(is_filled(buf, MUCH, 3));
    free(buf);
    CHECK_EQUAL(conc_close(fd), 0);
    CHECK_EQUAL(conc_unlink(in_folder("a"), CONC_FOREVER), 0);
    CHECK_EQUAL(conc_rmdir(folder, CONC_FOREVER), 0);
}

static void test_what_cannot_be_waited_for_is_done_now(void)
{
    struct stat st;
    char buf[8];
    make_folder();
    int fd = conc_open(in_folder("a"), O_RDWR | O_CREAT | O_EXCL, 0600, CONC_NOW);
    CHECK(fd >= 0);
    CHECK_EQUAL(conc_write(fd, "abc", 3, CONC_NOW), 3);
    CHECK_EQUAL(conc_pwrite(fd, "d", 1, 3, CONC_NOW), 1);
    CHECK_EQUAL(conc_pread(fd, buf, sizeof buf, 0, CONC_NOW), 4);
    CHECK_EQUAL(conc_ftruncate(fd, 2, CONC_NOW), 0);
    CHECK_EQUAL(conc_fsync(fd, CONC_NOW), 0);
    CHECK_EQUAL(conc_fstat(fd, &st, CONC_NOW), 0);
    CHECK_EQUAL(st.st_size, 2);
    CHECK_EQUAL(conc_close(fd), 0);
    CHECK_EQUAL(conc_unlink(in_folder("a"), CONC_NOW), 0);
    CHECK_EQUAL(conc_rmdir(folder, CONC_NOW), 0);
}

static void test_descriptors_are_closed_on_exec(void)
{
    int fd = conc_open("/dev/null", O_RDONLY, 0, CONC_FOREVER);
    CHECK_EQUAL(fcntl(fd, F_GETFD), FD_CLOEXEC);
    CHECK_EQUAL(conc_close(fd), 0);
}

/* ---- Errors ---- */

static void test_what_the_system_refuses_is_told(void)
{
    struct stat st, untouched;
    char buf[8] = "";
    int fds[2];
    memset(&st, 0x55, sizeof st);
    memset(&untouched, 0x55, sizeof untouched);
    CHECK_EQUAL(conc_open("/nowhere/at/all", O_RDONLY, 0, CONC_FOREVER), -ENOENT);
    CHECK_EQUAL(conc_stat("/nowhere/at/all", &st, CONC_FOREVER), -ENOENT);
    CHECK_EQUAL(conc_lstat("/nowhere/at/all", &st, CONC_FOREVER), -ENOENT);
    CHECK(!memcmp(&st, &untouched, sizeof st));
    CHECK_EQUAL(conc_unlink("/nowhere/at/all", CONC_FOREVER), -ENOENT);
    CHECK_EQUAL(conc_unlink("/tmp", CONC_FOREVER), -EISDIR);
    CHECK_EQUAL(conc_rename("/nowhere/at/all", "/nowhere", CONC_FOREVER), -ENOENT);
    CHECK_EQUAL(conc_mkdir("/tmp", 0700, CONC_FOREVER), -EEXIST);
    CHECK_EQUAL(conc_rmdir("/nowhere/at/all", CONC_FOREVER), -ENOENT);
    make_pipe(fds);
    CHECK_EQUAL(conc_pread(fds[0], buf, sizeof buf, 0, CONC_FOREVER), -ESPIPE);
    CHECK_EQUAL(conc_pwrite(fds[1], buf, sizeof buf, 0, CONC_FOREVER), -ESPIPE);
    CHECK_EQUAL(conc_fsync(fds[0], CONC_FOREVER), -EINVAL);
    CHECK_EQUAL(conc_ftruncate(fds[1], 0, CONC_FOREVER), -EINVAL);
    CHECK_EQUAL(conc_read(fds[1], buf, sizeof buf, CONC_FOREVER), -EBADF);
    CHECK_EQUAL(conc_write(fds[0], buf, sizeof buf, CONC_FOREVER), -EBADF);
    close_both(fds);
}

static void test_misuse_is_an_error(void)
{
    struct stat st;
    char buf[8] = "";
    CHECK_EQUAL(conc_open(NULL, O_RDONLY, 0, CONC_FOREVER), -EINVAL);
    CHECK_EQUAL(conc_stat(NULL, &st, CONC_FOREVER), -EINVAL);
    CHECK_EQUAL(conc_stat("/", NULL, CONC_FOREVER), -EINVAL);
    CHECK_EQUAL(conc_lstat(NULL, &st, CONC_FOREVER), -EINVAL);
    CHECK_EQUAL(conc_fstat(0, NULL, CONC_FOREVER), -EINVAL);
    CHECK_EQUAL(conc_unlink(NULL, CONC_FOREVER), -EINVAL);
    CHECK_EQUAL(conc_rename(NULL, "/", CONC_FOREVER), -EINVAL);
    CHECK_EQUAL(conc_rename("/", NULL, CONC_FOREVER), -EINVAL);
    CHECK_EQUAL(conc_mkdir(NULL, 0700, CONC_FOREVER), -EINVAL);
    CHECK_EQUAL(conc_rmdir(NULL, CONC_FOREVER), -EINVAL);
    int fd = conc_open("/dev/null", O_RDWR, 0, CONC_FOREVER);
    CHECK_EQUAL(conc_pread(fd, buf, sizeof buf, -1, CONC_FOREVER), -EINVAL);
    CHECK_EQUAL(conc_pwrite(fd, buf, sizeof buf, -1, CONC_FOREVER), -EINVAL);
    CHECK_EQUAL(conc_close(fd), 0);
}

static void test_a_descriptor_that_is_none_is_an_error(void)
{
    const int none[] = {-1, AT_FDCWD, 19999, INT32_MAX};
    struct stat st;
    char buf[8] = "";
    for (size_t i = 0; i < sizeof none / sizeof *none; i++) {
        int fd = none[i];
        CHECK_EQUAL(conc_read(fd, buf, sizeof buf, CONC_FOREVER), -EBADF);
        CHECK_EQUAL(conc_read(fd, buf, sizeof buf, CONC_NOW), -EBADF);
        CHECK_EQUAL(conc_write(fd, buf, sizeof buf, CONC_FOREVER), -EBADF);
        CHECK_EQUAL(conc_write_all(fd, buf, sizeof buf, CONC_FOREVER), -EBADF);
        CHECK_EQUAL(conc_pread(fd, buf, sizeof buf, 0, CONC_FOREVER), -EBADF);
        CHECK_EQUAL(conc_pwrite(fd, buf, sizeof buf, 0, CONC_FOREVER), -EBADF);
        CHECK_EQUAL(conc_poll_fd(fd, POLLIN, CONC_FOREVER), -EBADF);
        CHECK_EQUAL(conc_poll_fd(fd, POLLIN, CONC_NOW), -EBADF);
        CHECK_EQUAL(conc_fsync(fd, CONC_FOREVER), -EBADF);
        CHECK_EQUAL(conc_fdatasync(fd, CONC_FOREVER), -EBADF);
        CHECK_EQUAL(conc_ftruncate(fd, 0, CONC_FOREVER), -EBADF);
        CHECK_EQUAL(conc_fstat(fd, &st, CONC_FOREVER), -EBADF);
        CHECK_EQUAL(conc_close(fd), -EBADF);
    }
}

static void test_running_out_of_descriptors_is_an_error(void)
{
    enum { MORE = 4 };
    int fds[MORE + 1], n = 0, next = conc_open("/dev/null", O_RDONLY, 0, CONC_FOREVER);
    CHECK_EQUAL(conc_close(next), 0);
    limit_descriptors(next + MORE);
    while ((fds[n] = conc_open("/dev/null", O_RDONLY, 0, CONC_FOREVER)) >= 0)
        CHECK(++n <= MORE);
    CHECK_EQUAL(fds[n], -EMFILE);
    CHECK_EQUAL(conc_open("/dev/null", O_RDONLY, 0, CONC_NOW), -EMFILE);
    CHECK_EQUAL(conc_close(fds[n - 1]), 0);
    CHECK_EQUAL(conc_open("/dev/null", O_RDONLY, 0, CONC_FOREVER), fds[n - 1]);
    limit_descriptors(0);
    while (n-- > 0)
        CHECK_EQUAL(conc_close(fds[n]), 0);
}

static void test_out_of_memory_is_an_error(void)
{
    make_folder();
    for (int n = 1; n < 100; n++) {
        fail_alloc(n);
        int err = conc_mkdir(in_folder("d"), 0700, CONC_FOREVER);
        bool through = !alloc_has_failed();
        CHECK(err == 0 || err == -ENOMEM);
        if (err == 0)
            CHECK_EQUAL(conc_rmdir(in_folder("d"), CONC_FOREVER), 0);
        if (through)
            break;
    }
    CHECK_EQUAL(conc_rmdir(folder, CONC_FOREVER), 0);
}

/* ---- Messages ---- */

static void test_an_error_without_a_message_is_not_told_by_an_older_one_of_its_number(void)
{
    conc_event never = CONC_EVENT_INIT;
    conc_raise(-ENOENT, "older");
    CHECK_EQUAL(conc_open("/nowhere/at/all", O_RDONLY, 0, CONC_FOREVER), -ENOENT);
    CHECK(!strcmp(conc_describe(-ENOENT), conc_strerror(-ENOENT)));
    CHECK(!strcmp(conc_error_message(), ""));
    conc_raise(-ETIMEDOUT, "older");
    CHECK_EQUAL(conc_event_wait(&never, conc_in(CONC_MS(1))), -ETIMEDOUT);
    CHECK(!strcmp(conc_describe(-ETIMEDOUT), "timed out"));
    /* Another's is still there: that error may not have been told yet. */
    conc_raise(-EIO, "the cause");
    CHECK_EQUAL(conc_event_wait(&never, conc_in(CONC_MS(1))), -ETIMEDOUT);
    CHECK(!strcmp(conc_describe(-EIO), "the cause"));
}

static const struct CMUnitTest tests[] = {
    ON_EVERY_WAY(test_an_error_without_a_message_is_not_told_by_an_older_one_of_its_number),
    ON_EVERY_WAY(test_what_is_written_to_a_pipe_can_be_read),
    ON_EVERY_WAY(test_a_read_waits_until_something_is_there),
    ON_EVERY_WAY(test_a_read_gives_up_at_its_deadline_and_takes_nothing),
    ON_EVERY_WAY(test_a_cancelled_read_takes_nothing),
    ON_EVERY_WAY(test_in_an_ended_scope_nothing_begins),
    ON_EVERY_WAY(test_a_scopes_deadline_ends_a_read),
    ON_EVERY_WAY(test_write_all_waits_for_room_as_often_as_needed),
    ON_EVERY_WAY(test_writing_to_a_full_pipe_has_a_deadline),
    ON_EVERY_WAY(test_writing_to_a_pipe_that_nobody_reads_is_an_error),
    ON_EVERY_WAY(test_a_write_that_waits_learns_that_nobody_reads),
    ON_EVERY_WAY(test_each_of_many_readers_gets_a_byte),
    ON_EVERY_LOOP(test_closing_a_descriptor_ends_what_waits_for_it),
    ON_EVERY_WAY(test_a_number_that_is_used_again_is_another_descriptor),
    ON_EVERY_WAY(test_poll_tells_what_is_there),
    ON_EVERY_WAY(test_a_file_is_always_ready),
    ON_EVERY_WAY(test_a_file_from_its_beginning_to_its_end),
    ON_EVERY_WAY(test_a_large_file_is_read_and_written_whole),
    ON_EVERY_WAY(test_what_cannot_be_waited_for_is_done_now),
    ON_EVERY_WAY(test_descriptors_are_closed_on_exec),
    ON_EVERY_WAY(test_what_the_system_refuses_is_told),
    ON_EVERY_WAY(test_misuse_is_an_error),
    ON_EVERY_WAY(test_a_descriptor_that_is_none_is_an_error),
    ON_EVERY_WAY(test_running_out_of_descriptors_is_an_error),
    ON_EVERY_WAY(test_out_of_memory_is_an_error),
};

TEST_MAIN(tests, 60)
