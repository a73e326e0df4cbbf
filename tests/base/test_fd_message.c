/* SPDX-License-Identifier: MIT
 *
 * test_fd_message.c: descriptors that travel with a message over a Unix socket.
 */
#include <fcntl.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/fd_message.h"
#include "support.h"

/* Send one byte with n descriptors, each a duplicate of `fd`. */
static void send_fds(int to, int fd, size_t n)
{
    struct fd_room room;
    int fds[FD_MESSAGE_MAX];
    char byte = 'x';
    struct iovec bytes = {&byte, 1};
    struct msghdr msg = {.msg_iov = &bytes, .msg_iovlen = 1};
    for (size_t i = 0; i < n; i++)
        fds[i] = fd;
    conc__fd_message_attach(&msg, &room, fds, n);
    assert_int_equal(sendmsg(to, &msg, 0), 1);
}

static size_t receive_fds(int from, int *fds, size_t max, bool *lost)
{
    struct fd_room room;
    char byte;
    struct iovec bytes = {&byte, 1};
    struct msghdr msg = {.msg_iov = &bytes, .msg_iovlen = 1};
    conc__fd_message_expect(&msg, &room);
    assert_int_equal(recvmsg(from, &msg, MSG_CMSG_CLOEXEC), 1);
    return conc__fd_message_take(&msg, fds, max, lost);
}

/* The descriptor that an open(2) would give now. */
static int next_fd(void)
{
    int fd = dup(0);
    close(fd);
    return fd;
}

/* As many as were sent arrive, up to as many as are wanted, and the others are closed. */
static void test_take_gives_as_many_as_are_wanted_and_closes_the_others(void **state)
{
    static const struct {
        size_t sent, wanted, taken;
    } cases[] = {
        {0, 2, 0}, {1, 2, 1}, {2, 2, 2},
        {3, 2, 2}, {5, 0, 0}, {FD_MESSAGE_MAX, FD_MESSAGE_MAX, FD_MESSAGE_MAX},
    };
    int pair[2], fds[FD_MESSAGE_MAX];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
    const int before = next_fd();
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        bool lost = false;
        send_fds(pair[0], pair[0], cases[i].sent);
        assert_int_equal(receive_fds(pair[1], fds, cases[i].wanted, &lost), cases[i].taken);
        assert_false(lost);
        for (size_t j = 0; j < cases[i].taken; j++)
            assert_int_equal(fcntl(fds[j], F_GETFD), FD_CLOEXEC);
        conc__fds_close(fds, cases[i].taken);
        assert_int_equal(next_fd(), before);
    }
    conc__fds_close(pair, 2);
}

/* The system keeps back those for which the process has no descriptor left. */
static void test_take_tells_of_descriptors_that_were_kept_back(void **state)
{
    int pair[2], fds[2];
    bool lost = false;
    struct rlimit limit, old;
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
    send_fds(pair[0], pair[0], 2);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &old), 0);
    limit = old;
    limit.rlim_cur = (rlim_t)next_fd() + 1;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
    size_t n = receive_fds(pair[1], fds, 2, &lost);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &old), 0);
    assert_int_equal(n, 1);
    assert_true(lost);
    conc__fds_close(fds, n);
    conc__fds_close(pair, 2);
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_take_gives_as_many_as_are_wanted_and_closes_the_others),
    cmocka_unit_test(test_take_tells_of_descriptors_that_were_kept_back),
};

TEST_MAIN(tests, 20)
