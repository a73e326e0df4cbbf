/* SPDX-License-Identifier: MIT
 *
 * test_backend.c: both backends through their table, from a task of their loop: every kind of op,
 * at once and after a wait. Cancels and what goes wrong: test_backend_cancel.c. In the long and
 * random: test_backend_stress.c. What conc__op_run() makes of it: test_op.c.
 */
#include "probes.h"

#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/mman.h>

/* ---- Each kind of op ---- */

static void test_sockets_at_once(void)
{
    int s[2];
    char buf[8], abc[] = "abc";
    struct iovec out = {abc, 3}, in = {buf, sizeof buf};
    struct msghdr send_msg = {.msg_iov = &out, .msg_iovlen = 1};
    struct msghdr recv_msg = {.msg_iov = &in, .msg_iovlen = 1};
    make_sockets(SOCK_STREAM, s);
    CHECK_EQUAL(begin_and_end(op_on(OP_SEND, s[1], "abc", 3)), 3);
    CHECK_EQUAL(begin_and_end(op_on(OP_RECV, s[0], buf, 2)), 2);
    CHECK_EQUAL(begin_and_end(op_on(OP_READ, s[0], buf + 2, 6)), 1);
    CHECK(!memcmp(buf, "abc", 3));
    CHECK_EQUAL(begin_and_end((struct op){.code = OP_SENDMSG, .fd = s[1], .msg = &send_msg}), 3);
    CHECK_EQUAL(begin_and_end((struct op){.code = OP_RECVMSG, .fd = s[0], .msg = &recv_msg}), 3);
    CHECK_EQUAL(begin_and_end(op_on(OP_WRITE, s[1], "d", 1)), 1);
    CHECK_EQUAL(begin_and_end(poll_op(s[0], POLLIN)), POLLIN);
    CHECK_EQUAL(begin_and_end(op_on(OP_RECV, s[0], buf, 8)), 1);
    close(s[1]);
    CHECK_EQUAL(begin_and_end(op_on(OP_RECV, s[0], buf, 8)), 0);
    close(s[0]);
    CHECK_EQUAL(begin_and_end(op_on(OP_RECV, s[0], buf, 8)), -EBADF);
}

static ssize_t forty_two(void *arg) { return *(int *)arg = 42; }

static void test_files_at_once(void)
{
    char name[64], buf[8];
    struct stat st;
    int touched = 0;
    snprintf(name, sizeof name, "/tmp/libconc-backend-%d", (int)getpid());
    struct op op = {.code = OP_OPEN, .path = name, .flags = O_CREAT | O_RDWR | O_CLOEXEC};
    op.mode = 0600;
    int fd = (int)begin_and_end(op);
    CHECK(fd >= 0);
    unlink(name);
    CHECK_EQUAL(begin_and_end(op_on(OP_WRITE, fd, "abcdef", 6)), 6);
    op = op_on(OP_PWRITE, fd, "XY", 2);
    op.offset = 2;
    CHECK_EQUAL(begin_and_end(op), 2);
    op = op_on(OP_PREAD, fd, buf, 8);
    op.offset = 1;
    CHECK_EQUAL(begin_and_end(op), 5);
    CHECK(!memcmp(buf, "bXYef", 5));
    CHECK_EQUAL(begin_and_end(op_on(OP_READ, fd, buf, 8)), 0);
    CHECK_EQUAL(begin_and_end((struct op){.code = OP_FSYNC, .fd = fd}), 0);
    CHECK_EQUAL(begin_and_end((struct op){.code = OP_FSYNC, .fd = fd, .flags = 1}), 0);
    op = (struct op){.code = OP_STAT, .fd = fd, .path = "", .flags = AT_EMPTY_PATH, .stat = &st};
    CHECK_EQUAL(begin_and_end(op), 0);
    CHECK_EQUAL(st.st_size, 6);
    CHECK(S_ISREG(st.st_mode));
    CHECK_EQUAL(begin_and_end(poll_op(fd, POLLIN)), POLLIN);
    close(fd);
    op.flags = 0;
    op.path = name;
    op.fd = AT_FDCWD;
    CHECK_EQUAL(begin_and_end(op), -ENOENT);
    op = (struct op){.code = OP_CALL, .call = forty_two, .arg = &touched};
    CHECK_EQUAL(begin_and_end(op), 42);
    CHECK_EQUAL(begin_and_end(op), 42);
    CHECK_EQUAL(touched, 42);
}

/* Threads have posted both, one behind the other, before the driver looks. */
static bool inbox_has_two(void)
{
    const struct item *asleep = (struct item *)(uintptr_t)1;
    const struct item *last = load_acquire(&conc__driver_here->inbox);
    return last > asleep && last->next;
}

static void test_an_op_that_a_thread_has_done_can_wait_in_a_list_later(void)
{
    int s[2], touched[2] = {0};
    char buf[8];
    struct probe calls[2], receives;
    make_sockets(SOCK_STREAM, s);
    for (int i = 0; i < 2; i++)
        begin(&calls[i], (struct op){.code = OP_CALL, .call = forty_two, .arg = &touched[i]});
    WAIT_UNTIL(inbox_has_two());
    for (int i = 0; i < 2; i++) {
        CHECK_EQUAL(end(&calls[i]), 42);
        struct op op = calls[i].op;
        op.code = OP_RECV;
        op.fd = s[0];
        op.buf = buf;
        op.size = sizeof buf;
        begin_to_wait(&receives, op);
        put(s[1], "abc");
        CHECK_EQUAL(end(&receives), 3);
    }
    close_both(s);
}

/* In memory: nothing to poll there either, and not all of them can be read without a thread. */
static void test_read_files_without_a_disk(void)
{
    char buf[8];
    int fd = memfd_create("test", MFD_CLOEXEC);
    CHECK_EQUAL(begin_and_end(op_on(OP_WRITE, fd, "abcdef", 6)), 6);
    CHECK_EQUAL(lseek(fd, 0, SEEK_SET), 0);
    CHECK_EQUAL(begin_and_end(op_on(OP_READ, fd, buf, 4)), 4);
    CHECK_EQUAL(begin_and_end(op_on(OP_READ, fd, buf + 4, 4)), 2);
    CHECK(!memcmp(buf, "abcdef", 6));
    close(fd);
}

static void test_connect_and_accept(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET}, peer;
    socklen_t size = sizeof address, peer_size = sizeof peer;
    struct probe accepts;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    int client = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CHECK_EQUAL(bind(listener, (struct sockaddr *)&address, size), 0);
    CHECK_EQUAL(listen(listener, 8), 0);
    CHECK_EQUAL(getsockname(listener, (struct sockaddr *)&address, &size), 0);
    begin_to_wait(&accepts, (struct op){.code = OP_ACCEPT,
                                        .fd = listener,
                                        .flags = SOCK_CLOEXEC,
                                        .addr = (struct sockaddr *)&peer,
                                        .addr_size = &peer_size});
    struct op connects = {.code = OP_CONNECT, .fd = client, .addr = (struct sockaddr *)&address};
    connects.size = sizeof address;
    CHECK_EQUAL(begin_and_end(connects), 0);
    int server = (int)end(&accepts);
    CHECK(server >= 0);
    CHECK_EQUAL(peer_size, sizeof peer);
    CHECK(fcntl(server, F_GETFD) & FD_CLOEXEC);
    CHECK(!(fcntl(server, F_GETFL) & O_NONBLOCK));
    close(listener);
    close(server);
    close(client);
    client = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    connects.fd = client;
    CHECK_EQUAL(begin_and_end(connects), -ECONNREFUSED);
    close(client);
}

static void test_ops_that_wait_end_when_there_is_something(void)
{
    int s[2], p[2];
    char buf[8];
    struct probe receives, reads, sends, writes, polls;
    make_sockets(SOCK_STREAM, s);
    make_pipe(p);
    begin_to_wait(&receives, op_on(OP_RECV, s[0], buf, 4));
    begin_to_wait(&reads, op_on(OP_READ, p[0], buf + 4, 4));
    put(p[1], "efgh");
    CHECK_EQUAL(end(&reads), 4);
    CHECK_EQUAL(receives.ended, 0);
    put(s[1], "abcd");
    CHECK_EQUAL(end(&receives), 4);
    CHECK(!memcmp(buf, "abcdefgh", 8));
    fill_up(s[0]);
    fill_up(p[1]);
    begin_to_wait(&sends, op_on(OP_SEND, s[0], "x", 1));
    begin_to_wait(&writes, op_on(OP_WRITE, p[1], "x", 1));
    begin_to_wait(&polls, poll_op(p[1], POLLOUT));
    empty(p[0]);
    CHECK_EQUAL(end(&writes), 1);
    CHECK_EQUAL(end(&polls), POLLOUT);
    empty(s[1]);
    CHECK_EQUAL(end(&sends), 1);
    close_both(s);
    close_both(p);
}

static void test_recv_with_WAITALL_waits_for_all(void)
{
    int s[2];
    char buf[8];
    struct probe receives;
    make_sockets(SOCK_STREAM, s);
    struct op op = op_on(OP_RECV, s[0], buf, 8);
    op.flags = MSG_WAITALL;
    begin_to_wait(&receives, op);
    put(s[1], "abc");
    turn_a_few_times();
    CHECK_EQUAL(receives.ended, 0);
    put(s[1], "defgh");
    CHECK_EQUAL(end(&receives), 8);
    CHECK(!memcmp(buf, "abcdefgh", 8));
    close_both(s);
}

static void test_a_descriptor_is_used_both_ways_at_once(void)
{
    int s[2];
    char buf[8];
    struct probe receives, sends, polls;
    make_sockets(SOCK_STREAM, s);
    fill_up(s[0]);
    begin_to_wait(&receives, op_on(OP_RECV, s[0], buf, 8));
    begin_to_wait(&sends, op_on(OP_SEND, s[0], "x", 1));
    begin_to_wait(&polls, poll_op(s[0], POLLIN | POLLOUT));
    empty(s[1]);
    CHECK_EQUAL(end(&sends), 1);
    CHECK_EQUAL(end(&polls), POLLOUT);
    CHECK_EQUAL(receives.ended, 0);
    put(s[1], "abc");
    CHECK_EQUAL(end(&receives), 3);
    close_both(s);
}

static void test_ends_of_the_peer_are_told(void)
{
    int s[2], p[2];
    char buf[8];
    struct probe receives, reads, writes, polls;
    make_sockets(SOCK_STREAM, s);
    make_pipe(p);
    begin_to_wait(&receives, op_on(OP_RECV, s[0], buf, 8));
    begin_to_wait(&polls, poll_op(s[0], POLLRDHUP));
    close(s[1]);
    CHECK_EQUAL(end(&receives), 0);
    CHECK(end(&polls) & POLLRDHUP);
    begin_to_wait(&reads, op_on(OP_READ, p[0], buf, 8));
    close(p[1]);
    CHECK_EQUAL(end(&reads), 0);
    close(p[0]);
    close(s[0]);
    make_pipe(p);
    fill_up(p[1]);
    begin_to_wait(&writes, op_on(OP_WRITE, p[1], "x", 1));
    close(p[0]);
    CHECK_EQUAL(end(&writes), -EPIPE); /* and no signal */
    CHECK_EQUAL(begin_and_end(op_on(OP_WRITE, p[1], "x", 1)), -EPIPE);
    close(p[1]);
}

static void test_readers_are_served_in_order(void)
{
    enum { N = 20 };
    int p[2];
    char buf[N];
    struct probe reads[N];
    make_pipe(p);
    for (int i = 0; i < N - 1; i++)
        begin(&reads[i], op_on(OP_READ, p[0], &buf[i], 1));
    for (int i = 0; i < N; i++) {
        char c = (char)('a' + i);
        CHECK_EQUAL(write(p[1], &c, 1), 1);
    }
    begin(&reads[N - 1], op_on(OP_READ, p[0], &buf[N - 1], 1)); /* overtakes nobody */
    for (int i = 0; i < N; i++) {
        CHECK_EQUAL(end(&reads[i]), 1);
        CHECK_EQUAL(buf[i], 'a' + i);
    }
    close_both(p);
}

static void test_a_thousand_descriptors(void)
{
    const int n = (int)crowd_of(1000);
    int *fds = malloc((size_t)n * sizeof *fds);
    eventfd_t *counts = malloc((size_t)n * sizeof *counts);
    struct probe *reads = malloc((size_t)n * sizeof *reads);
    for (int i = 0; i < n; i++) {
        fds[i] = eventfd(0, EFD_CLOEXEC);
        CHECK(fds[i] >= 0);
        begin(&reads[i], op_on(OP_READ, fds[i], &counts[i], sizeof *counts));
    }
    turn_a_few_times();
    for (int i = n; i-- > 0;)
        CHECK_EQUAL(eventfd_write(fds[i], (eventfd_t)i + 1), 0);
    for (int i = 0; i < n; i++) {
        CHECK_EQUAL(end(&reads[i]), sizeof *counts);
        CHECK_EQUAL(counts[i], i + 1);
        close(fds[i]);
    }
    free(reads);
    free(counts);
    free(fds);
}

static const struct CMUnitTest tests[] = {
    ON_EVERY_LOOP(test_sockets_at_once),
    ON_EVERY_LOOP(test_files_at_once),
    ON_EVERY_LOOP(test_an_op_that_a_thread_has_done_can_wait_in_a_list_later),
    ON_EVERY_LOOP(test_read_files_without_a_disk),
    ON_EVERY_LOOP(test_connect_and_accept),
    ON_EVERY_LOOP(test_ops_that_wait_end_when_there_is_something),
    ON_EVERY_LOOP(test_recv_with_WAITALL_waits_for_all),
    ON_EVERY_LOOP(test_a_descriptor_is_used_both_ways_at_once),
    ON_EVERY_LOOP(test_ends_of_the_peer_are_told),
    ON_WAY(test_readers_are_served_in_order, ON_EPOLL, "epoll"),
    ON_EVERY_LOOP(test_a_thousand_descriptors),
};

TEST_MAIN(tests, 60)
