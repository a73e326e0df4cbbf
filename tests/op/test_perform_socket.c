/* SPDX-License-Identifier: MIT
 *
 * test_perform_socket.c: one attempt at an op on a socket: that it never blocks, whatever mode the
 * socket is in, and leaves the mode as it was.
 */
#include "probes.h"

#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <sys/un.h>

static void test_recv_with_nothing_there_is_EAGAIN(void **state)
{
    int s[2];
    char buf[8];
    make_sockets(SOCK_STREAM, s);
    assert_int_equal(attempt(op_on(OP_RECV, s[0], buf, sizeof buf)), -EAGAIN);
    assert_int_equal(attempt(op_on(OP_READ, s[0], buf, sizeof buf)), -EAGAIN);
    assert_int_equal(attempt(op_on(OP_SEND, s[1], "abc", 3)), 3);
    assert_int_equal(attempt(op_on(OP_RECV, s[0], buf, sizeof buf)), 3);
    assert_memory_equal(buf, "abc", 3);
    assert_int_equal(attempt(op_on(OP_WRITE, s[1], "de", 2)), 2);
    assert_int_equal(attempt(op_on(OP_READ, s[0], buf, sizeof buf)), 2);
    close(s[1]);
    assert_int_equal(attempt(op_on(OP_RECV, s[0], buf, sizeof buf)), 0);
    close(s[0]);
}

static void test_send_into_a_full_socket_is_EAGAIN(void **state)
{
    int s[2];
    make_sockets(SOCK_STREAM, s);
    size_t sent = fill_with(OP_SEND, s[0]);
    assert_true(sent > 0);
    assert_int_equal(attempt(op_on(OP_WRITE, s[0], "x", 1)), -EAGAIN);
    assert_int_equal(drain_by(OP_RECV, s[1]), sent);
    assert_int_equal(attempt(op_on(OP_WRITE, s[0], "x", 1)), 1);
    close_both(s);
}

static void test_recv_with_WAITALL_waits_for_all(void **state)
{
    int s[2];
    char buf[8];
    make_sockets(SOCK_STREAM, s);
    struct op op = op_on(OP_RECV, s[0], buf, 6);
    op.flags = MSG_WAITALL;
    assert_int_equal(conc__perform(&op, false), -EAGAIN);
    assert_int_equal(send(s[1], "ab", 2, 0), 2);
    assert_int_equal(conc__perform(&op, false), -EAGAIN);
    assert_int_equal(op.moved, 2);
    assert_int_equal(send(s[1], "cdefgh", 6, 0), 6);
    assert_int_equal(conc__perform(&op, false), 6);
    assert_memory_equal(buf, "abcdef", 6);
    op.moved = 0;
    assert_int_equal(conc__perform(&op, false), -EAGAIN);
    close(s[1]);
    assert_int_equal(conc__perform(&op, false), 2); /* what came before the end */
    close(s[0]);
}

static void test_recv_with_WAITALL_takes_one_datagram(void **state)
{
    int s[2];
    char buf[8];
    make_sockets(SOCK_DGRAM, s);
    struct op op = op_on(OP_RECV, s[0], buf, 6);
    op.flags = MSG_WAITALL;
    assert_int_equal(send(s[1], "ab", 2, 0), 2);
    assert_int_equal(send(s[1], "cd", 2, 0), 2);
    assert_int_equal(conc__perform(&op, false), 2);
    close_both(s);
}

static void test_messages_carry_what_they_should(void **state)
{
    int s[2];
    char buf[8], abcd[] = "abcd";
    struct iovec out = {abcd, 4}, in = {buf, sizeof buf};
    struct msghdr send_msg = {.msg_iov = &out, .msg_iovlen = 1};
    struct msghdr recv_msg = {.msg_iov = &in, .msg_iovlen = 1};
    make_sockets(SOCK_DGRAM, s);
    assert_int_equal(attempt((struct op){.code = OP_RECVMSG, .fd = s[0], .msg = &recv_msg}),
                     -EAGAIN);
    assert_int_equal(attempt((struct op){.code = OP_SENDMSG, .fd = s[1], .msg = &send_msg}), 4);
    assert_int_equal(attempt((struct op){.code = OP_RECVMSG, .fd = s[0], .msg = &recv_msg}), 4);
    assert_memory_equal(buf, "abcd", 4);
    close_both(s);
}

/* A listener on a port of the loopback's; its address. */
static int listen_here(struct sockaddr_in *address, int mode)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | mode, 0);
    socklen_t size = sizeof *address;
    *address = (struct sockaddr_in){.sin_family = AF_INET};
    address->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    assert_int_equal(bind(fd, (struct sockaddr *)address, size), 0);
    assert_int_equal(listen(fd, 8), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)address, &size), 0);
    return fd;
}

static struct op connect_op(int fd, void *address, size_t size)
{
    return (struct op){.code = OP_CONNECT, .fd = fd, .addr = address, .size = size};
}

static ssize_t connect_until_done(struct op *op)
{
    ssize_t result;
    while ((result = conc__perform(op, false)) == -EAGAIN)
        poll(&(struct pollfd){.fd = op->fd, .events = conc__op_events(op)}, 1, -1);
    return result;
}

static void test_accept_does_not_wait_in_either_mode(void **state)
{
    static const int modes[] = {0, SOCK_NONBLOCK};
    for (int i = 0; i < 2; i++) {
        struct sockaddr_in address, peer;
        socklen_t size = sizeof peer;
        int listener = listen_here(&address, modes[i]);
        struct op op = {.code = OP_ACCEPT, .fd = listener, .flags = SOCK_CLOEXEC};
        assert_int_equal(conc__perform(&op, false), -EAGAIN);
        assert_int_equal(op.by_thread, !modes[i]);
        int client = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        struct op connect = connect_op(client, &address, sizeof address);
        assert_int_equal(connect_until_done(&connect), 0);
        op.addr = (struct sockaddr *)&peer;
        op.addr_size = &size;
        int server = (int)conc__perform(&op, op.by_thread);
        assert_true(server >= 0);
        assert_int_equal(size, sizeof peer);
        assert_true(fcntl(server, F_GETFD) & FD_CLOEXEC);
        assert_int_equal(conc__perform(&op, false), -EAGAIN);
        close(server);
        close(client);
        close(listener);
    }
}

static void test_connect_leaves_the_mode_as_it_was(void **state)
{
    static const int modes[] = {0, SOCK_NONBLOCK};
    struct sockaddr_in address;
    int listener = listen_here(&address, 0);
    for (int i = 0; i < 2; i++) {
        int client = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | modes[i], 0);
        int before = fcntl(client, F_GETFL);
        struct op op = connect_op(client, &address, sizeof address);
        assert_int_equal(connect_until_done(&op), 0);
        assert_int_equal(fcntl(client, F_GETFL), before);
        close(client);
    }
    close(listener);
}

static void test_connect_reports_why_it_failed(void **state)
{
    struct sockaddr_in address;
    close(listen_here(&address, 0)); /* nobody has that port now */
    int client = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct op op = connect_op(client, &address, sizeof address);
    assert_int_equal(connect_until_done(&op), -ECONNREFUSED);
    close(client);
    op = connect_op(client, &address, sizeof address);
    assert_int_equal(conc__perform(&op, false), -EBADF);
}

static struct sockaddr_un abstract(const char *name)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    snprintf(address.sun_path + 1, sizeof address.sun_path - 1, "libconc-%d-%s", (int)getpid(),
             name);
    return address;
}

static void test_connect_to_a_full_backlog_has_no_event(void **state)
{
    struct sockaddr_un address = abstract("backlog");
    int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int clients[8], n = 0;
    assert_int_equal(bind(listener, (struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(listen(listener, 1), 0);
    struct op op;
    do {
        clients[n] = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        op = connect_op(clients[n], &address, sizeof address);
        assert_int_equal(conc__op_events(&op), POLLOUT);
    } while (conc__perform(&op, false) == 0 && ++n < 8);
    assert_in_range(n, 1, 7);
    assert_int_equal(conc__op_events(&op), 0);
    close(accept(listener, NULL, NULL));
    assert_int_equal(conc__perform(&op, false), 0); /* now there is room */
    for (int i = 0; i <= n; i++)
        close(clients[i]);
    close(listener);
}

static void test_datagram_to_a_full_peer_has_no_event(void **state)
{
    struct sockaddr_un address = abstract("peer");
    int peer = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    char buf[4] = "abcd";
    struct iovec data = {buf, 4};
    struct msghdr msg = {
        .msg_name = &address, .msg_namelen = sizeof address, .msg_iov = &data, .msg_iovlen = 1};
    struct op op = {.code = OP_SENDMSG, .fd = fd, .msg = &msg};
    assert_int_equal(bind(peer, (struct sockaddr *)&address, sizeof address), 0);
    ssize_t result;
    while ((result = conc__perform(&op, false)) == 4)
        continue;
    assert_int_equal(result, -EAGAIN);
    assert_int_equal(conc__op_events(&op), 0);
    assert_int_equal(recv(peer, buf, sizeof buf, 0), 4);
    assert_int_equal(conc__perform(&op, false), 4);
    assert_int_equal(conc__op_events(&op), POLLOUT);
    close(peer);
    close(fd);
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_recv_with_nothing_there_is_EAGAIN),
    cmocka_unit_test(test_send_into_a_full_socket_is_EAGAIN),
    cmocka_unit_test(test_recv_with_WAITALL_waits_for_all),
    cmocka_unit_test(test_recv_with_WAITALL_takes_one_datagram),
    cmocka_unit_test(test_messages_carry_what_they_should),
    cmocka_unit_test(test_accept_does_not_wait_in_either_mode),
    cmocka_unit_test(test_connect_leaves_the_mode_as_it_was),
    cmocka_unit_test(test_connect_reports_why_it_failed),
    cmocka_unit_test(test_connect_to_a_full_backlog_has_no_event),
    cmocka_unit_test(test_datagram_to_a_full_peer_has_no_event),
};

TEST_MAIN(tests, 30)
