/* SPDX-License-Identifier: MIT
 *
 * test_kind.c: what conc__op_ask() finds out about each kind of descriptor, and the ways that
 * follow from it. What they are worth: tests/io/matrix.
 */
#include "support.h"

#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "op/kind.h"

static enum fd_kind kind_of(int fd)
{
    struct op op = {.code = OP_FSYNC, .fd = fd};
    assert_int_equal(conc__op_ask(&op), 0);
    return op.kind;
}

static int temporary_file(void)
{
    char name[] = "/tmp/libconc-kind-XXXXXX";
    int fd = mkostemp(name, O_CLOEXEC);
    assert_true(fd >= 0);
    unlink(name);
    return fd;
}

static void check_kind(int fd, enum fd_kind kind)
{
    assert_true(fd >= 0);
    assert_int_equal(kind_of(fd), kind);
    close(fd);
}

static void test_kinds(void **state)
{
    int p[2], s[2];
    assert_int_equal(pipe2(p, O_CLOEXEC), 0);
    assert_int_equal(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, s), 0);
    for (int i = 0; i < 2; i++) {
        check_kind(p[i], FD_PIPE);
        check_kind(s[i], FD_SOCKET);
    }
    check_kind(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), FD_SOCKET);
    check_kind(open("/dev/null", O_RDWR | O_CLOEXEC), FD_DEVICE);
    check_kind(open("/dev/zero", O_RDWR | O_CLOEXEC), FD_DEVICE);
    check_kind(posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC), FD_DEVICE);
    check_kind(eventfd(0, EFD_CLOEXEC), FD_DEVICE);
    check_kind(timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC), FD_DEVICE);
    check_kind(inotify_init1(IN_CLOEXEC), FD_DEVICE);
    check_kind(epoll_create1(EPOLL_CLOEXEC), FD_DEVICE);
}

static void test_files_are_slow_until_their_file_system_is_known(void **state)
{
    const int fds[] = {temporary_file(), memfd_create("test", MFD_CLOEXEC),
                       open("/tmp", O_RDONLY | O_DIRECTORY | O_CLOEXEC)};
    for (int i = 0; i < 3; i++) {
        assert_true(fds[i] >= 0);
        conc__kind_learn(fds[i]);
        check_kind(fds[i], FD_FILE);
    }
    static const char *const slow[] = {"/proc/self/status", "/proc/self",
                                       "/sys/devices/system/cpu/online"};
    for (int i = 0; i < 3; i++) {
        int fd = open(slow[i], O_RDONLY | O_CLOEXEC);
        if (fd < 0)
            continue; /* no /sys here */
        assert_int_equal(kind_of(fd), FD_SLOW_FILE);
        conc__kind_learn(fd);
        check_kind(fd, FD_SLOW_FILE);
    }
}

static void test_what_is_no_descriptor_is_told(void **state)
{
    struct op op = {.code = OP_READ, .fd = -1};
    assert_int_equal(conc__op_ask(&op), -EBADF);
    op.fd = 1000000;
    assert_int_equal(conc__op_ask(&op), -EBADF);
    op.code = OP_RECV; /* the call will tell */
    assert_int_equal(conc__op_ask(&op), 0);
}

static void test_reads_and_writes_of_sockets_become_theirs(void **state)
{
    int s[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, s), 0);
    static const struct {
        enum op_code before;
        size_t size;
        enum op_code after;
    } cases[] = {{OP_READ, 1, OP_RECV},  {OP_READ, 0, OP_READ},   {OP_WRITE, 1, OP_SEND},
                 {OP_WRITE, 0, OP_SEND}, {OP_PREAD, 1, OP_PREAD}, {OP_POLL, 0, OP_POLL}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct op op = {.code = (uint8_t)cases[i].before, .fd = s[0], .size = cases[i].size};
        assert_int_equal(conc__op_ask(&op), 0);
        assert_int_equal(op.code, cases[i].after);
    }
    close(s[0]);
    close(s[1]);
}

static enum op_way way_on(int fd, enum op_code code, enum op_carrier carrier)
{
    struct op op = {.code = (uint8_t)code, .fd = fd, .size = 1, .flags = POLLIN};
    assert_int_equal(conc__op_ask(&op), 0);
    return conc__op_way(&op, carrier);
}

/* The promises of kind.c, of which the table must not lose one. */
static void test_ways_keep_the_promises(void **state)
{
    int file = temporary_file(), slow = open("/proc/self/status", O_RDONLY | O_CLOEXEC),
        terminal = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
    conc__kind_learn(file);
    for (enum op_carrier carrier = BY_URING; carrier <= BY_CALLER; carrier++) {
        static const enum op_code codes[] = {OP_READ, OP_WRITE, OP_PREAD, OP_PWRITE, OP_FSYNC};
        for (int i = 0; i < 5; i++)
            assert_int_equal(way_on(slow, codes[i], carrier), WAY_WAITS);
        for (int i = 0; i < 2; i++) {
            /* at its own position never by an entry */
            assert_int_equal(way_on(file, codes[i], carrier),
                             carrier == BY_CALLER ? WAY_CALL : WAY_FILES);
            assert_int_equal(way_on(terminal, codes[i], carrier), WAY_READY);
        }
        assert_int_equal(way_on(file, OP_POLL, carrier), WAY_CALL);
        assert_int_equal(way_on(slow, OP_POLL, carrier), WAY_WAITS);
        assert_int_equal(way_on(file, OP_OPEN, carrier), WAY_WAITS);
    }
    assert_int_equal(way_on(file, OP_PREAD, BY_URING), WAY_ENTRY);
    close(file);
    close(slow);
    close(terminal);
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_kinds),
    cmocka_unit_test(test_files_are_slow_until_their_file_system_is_known),
    cmocka_unit_test(test_what_is_no_descriptor_is_told),
    cmocka_unit_test(test_reads_and_writes_of_sockets_become_theirs),
    cmocka_unit_test(test_ways_keep_the_promises),
};

TEST_MAIN(tests, 30)
