/* SPDX-License-Identifier: MIT
 *
 * test_net.c: sockets that send and receive: TCP, UDP and Unix, and what peers do wrong, on threads
 * and on tasks. Connecting and accepting: test_net_connect.c.
 */
#include "ways.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <conc/net.h>

#define PAST conc_in(0)
#define SOON conc_in(CONC_MS(20))

enum { MUCH = 1000000, PIECE = 1000 };

/* ---- Streams ---- */

static void test_what_is_sent_is_received(void)
{
    int fds[2];
    char buf[16] = "";
    make_tcp(fds);
    for (int i = 0; i < 2; i++) { /* both ways */
        CHECK_EQUAL(conc_send(fds[i], "hello", 5, 0, CONC_FOREVER), 5);
        CHECK_EQUAL(conc_recv(fds[!i], buf, 2, 0, CONC_FOREVER), 2);
        CHECK_EQUAL(conc_recv(fds[!i], buf + 2, 1, MSG_PEEK, CONC_FOREVER), 1);
        CHECK_EQUAL(conc_recv(fds[!i], buf + 2, sizeof buf - 2, 0, CONC_FOREVER), 3);
        CHECK(!strcmp(buf, "hello"));
    }
    CHECK_EQUAL(conc_write(fds[0], "abc", 3, CONC_FOREVER), 3); /* read and write do too */
    CHECK_EQUAL(conc_read(fds[1], buf, sizeof buf, CONC_FOREVER), 3);
    close_both(fds);
}

struct receiving {
    int fd;
    conc_deadline deadline;
    ssize_t expected;
};

static int job_recv(void *arg, void *result)
{
    struct receiving *r = arg;
    char buf[8];
    ssize_t n = conc_recv(r->fd, buf, sizeof buf, 0, r->deadline);
    CHECK_EQUAL(n, r->expected);
    return n < 0 ? (int)n : 0;
}

static conc_future *start_recv(int fd, ssize_t expected)
{
    struct receiving r = {fd, CONC_FOREVER, expected};
    return start(job_recv, &r, sizeof r);
}

static void test_recv_waits_until_something_comes(void)
{
    int fds[2];
    make_tcp(fds);
    conc_future *f = start_recv(fds[0], 3);
    UNTIL(blocked_on("recv") == 1);
    CHECK_EQUAL(conc_send(fds[1], "abc", 3, 0, CONC_FOREVER), 3);
    CHECK_EQUAL(end_of(f), 0);
    close_both(fds);
}

static void test_recv_gives_up_at_its_deadline_and_takes_nothing(void)
{
    int fds[2];
    char buf[8];
    make_tcp(fds);
    CHECK_EQUAL(conc_recv(fds[0], buf, sizeof buf, 0, CONC_NOW), -EAGAIN);
    CHECK_EQUAL(conc_recv(fds[0], buf, sizeof buf, MSG_DONTWAIT, CONC_FOREVER), -EAGAIN);
    CHECK_EQUAL(conc_recv(fds[0], buf, sizeof buf, 0, PAST), -ETIMEDOUT);
    int64_t begin = real_now();
    CHECK_EQUAL(conc_recv(fds[0], buf, sizeof buf, 0, SOON), -ETIMEDOUT);
    CHECK(real_now() - begin >= CONC_MS(20));
    CHECK_EQUAL(conc_send(fds[1], "abc", 3, 0, CONC_NOW), 3);
    CHECK_EQUAL(conc_poll_fd(fds[0], POLLIN, CONC_FOREVER), POLLIN);
    CHECK_EQUAL(conc_recv(fds[0], buf, 1, 0, CONC_NOW), 1);
    CHECK_EQUAL(conc_recv(fds[0], buf, 1, 0, PAST), 1);
    CHECK_EQUAL(conc_recv(fds[0], buf, 1, 0, SOON), 1);
    close_both(fds);
}

static void test_a_cancelled_recv_takes_nothing(void)
{
    int fds[2];
    char buf[8];
    make_tcp(fds);
    for (int i = 0; i < 20; i++) {
        conc_future *f = start_recv(fds[0], -ECANCELED);
        if (i % 2)
            UNTIL(blocked_on("recv") == 1);
        CHECK(conc_future_cancel(f));
        CHECK_EQUAL(end_of(f), -ECANCELED);
        CHECK_EQUAL(conc_send(fds[1], "abc", 3, 0, CONC_FOREVER), 3);
        CHECK_EQUAL(conc_recv(fds[0], buf, sizeof buf, 0, CONC_FOREVER), 3);
    }
    close_both(fds);
}

static void test_wait_for_all_is_the_streams_business(void)
{
    int fds[2];
    char buf[8];
    make_tcp(fds);
    CHECK_EQUAL(conc_send(fds[1], "abc", 3, 0, CONC_FOREVER), 3);
    CHECK_EQUAL(conc_recv(fds[0], buf, sizeof buf, MSG_WAITALL, CONC_FOREVER), 3);
    close_both(fds);
}

static int job_recv_much(void *arg, void *result)
{
    int fd = *(int *)arg;
    char *buf = malloc(MUCH);
    size_t got = 0;
    ssize_t n;
    while ((n = conc_recv(fd, buf + got, MUCH - got, 0, CONC_FOREVER)) > 0)
        got += (size_t)n;
    CHECK_EQUAL(n, 0);
    CHECK_EQUAL(got, MUCH);
    CHECK(is_filled(buf, MUCH, 1));
    free(buf);
    return 0;
}

static void test_sendall_waits_for_room_as_often_as_needed(void)
{
    int fds[2];
    char *buf = malloc(MUCH);
    fill(buf, MUCH, 1);
    make_tcp(fds);
    conc_future *f = start(job_recv_much, &fds[0], sizeof(int));
    CHECK_EQUAL(conc_sendall(fds[1], buf, MUCH, 0, CONC_FOREVER), 0);
    CHECK_EQUAL(conc_shutdown(fds[1], SHUT_WR), 0);
    CHECK_EQUAL(end_of(f), 0);
    free(buf);
    close_both(fds);
}

/* ---- What peers do ---- */

static void test_after_a_half_close_the_other_direction_goes_on(void)
{
    int fds[2];
    char buf[8];
    make_tcp(fds);
    CHECK_EQUAL(conc_send(fds[0], "abc", 3, 0, CONC_FOREVER), 3);
    CHECK_EQUAL(conc_shutdown(fds[0], SHUT_WR), 0);
    CHECK_EQUAL(conc_recv(fds[1], buf, sizeof buf, 0, CONC_FOREVER), 3);
    CHECK_EQUAL(conc_recv(fds[1], buf, sizeof buf, 0, CONC_FOREVER), 0);
    CHECK_EQUAL(conc_recv(fds[1], buf, sizeof buf, 0, CONC_NOW), 0);
    CHECK_EQUAL(conc_send(fds[1], "def", 3, 0, CONC_FOREVER), 3);
    CHECK_EQUAL(conc_recv(fds[0], buf, sizeof buf, 0, CONC_FOREVER), 3);
    CHECK_EQUAL(conc_send(fds[0], "x", 1, 0, CONC_FOREVER), -EPIPE);
    CHECK_EQUAL(conc_sendall(fds[0], "x", 1, 0, CONC_FOREVER), -EPIPE);
    close_both(fds);
}

static void reset(int fd)
{
    const struct linger now = {.l_onoff = 1, .l_linger = 0};
    CHECK_EQUAL(setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof now), 0);
    CHECK_EQUAL(conc_close(fd), 0);
}

static void test_a_peer_that_resets_is_an_error_and_no_signal(void)
{
    int fds[2];
    char buf[8];
    make_tcp(fds);
    conc_future *f = start_recv(fds[0], -ECONNRESET);
    UNTIL(blocked_on("recv") == 1);
    reset(fds[1]);
    CHECK_EQUAL(end_of(f), -ECONNRESET);
    CHECK_EQUAL(conc_recv(fds[0], buf, sizeof buf, 0, CONC_FOREVER), 0); /* it was told once */
    CHECK_EQUAL(conc_send(fds[0], "x", 1, 0, CONC_FOREVER), -EPIPE);
    CHECK_EQUAL(conc_write(fds[0], "x", 1, CONC_FOREVER), -EPIPE);
    CHECK_EQUAL(conc_sendto(fds[0], "x", 1, 0, NULL, 0, CONC_FOREVER), -EPIPE);
    CHECK_EQUAL(conc_close(fds[0]), 0);
}

static int job_send_until_it_fails(void *arg, void *result)
{
    static const char zeros[PIECE];
    int err;
    while ((err = conc_sendall(*(int *)arg, zeros, sizeof zeros, 0, CONC_FOREVER)) == 0)
        continue;
    return err;
}

static void test_a_send_that_waits_learns_of_the_reset(void)
{
    int fds[2];
    make_tcp(fds);
    conc_future *f = start(job_send_until_it_fails, &fds[0], sizeof(int));
    UNTIL(blocked_on("send") == 1);
    reset(fds[1]);
    int err = end_of(f);
    CHECK(err == -ECONNRESET || err == -EPIPE);
    CHECK_EQUAL(conc_close(fds[0]), 0);
}

static void test_a_peer_that_never_reads_runs_into_the_deadline(void)
{
    int fds[2];
    char *buf = calloc(1, MUCH);
    make_sockets(SOCK_STREAM, fds); /* TCP's windows may grow with time */
    CHECK_EQUAL(conc_sendall(fds[0], buf, MUCH, 0, SOON), -ETIMEDOUT);
    CHECK_EQUAL(conc_send(fds[0], buf, MUCH, 0, CONC_NOW), -EAGAIN);
    CHECK_EQUAL(conc_send(fds[0], buf, MUCH, MSG_DONTWAIT, CONC_FOREVER), -EAGAIN);
    CHECK_EQUAL(conc_send(fds[0], buf, MUCH, 0, PAST), -ETIMEDOUT);
    CHECK_EQUAL(conc_sendall(fds[0], buf, MUCH, 0, SOON), -ETIMEDOUT);
    conc_future *f = start(job_send_until_it_fails, &fds[0], sizeof(int));
    UNTIL(blocked_on("send") == 1);
    conc_future_cancel(f);
    CHECK_EQUAL(end_of(f), -ECANCELED);
    free(buf);
    close_both(fds);
}

static void test_shutting_down_ends_what_waits(void)
{
    int fds[2];
    make_tcp(fds);
    conc_future *f = start_recv(fds[0], 0);
    UNTIL(blocked_on("recv") == 1);
    CHECK_EQUAL(conc_shutdown(fds[0], SHUT_RDWR), 0);
    CHECK_EQUAL(end_of(f), 0);
    CHECK_EQUAL(conc_shutdown(fds[0], 99), -EINVAL);
    close_both(fds);
    CHECK_EQUAL(conc_shutdown(fds[0], SHUT_RD), -EBADF);
}

static void test_closing_a_socket_ends_what_waits_for_it(void)
{
    int fds[2];
    make_tcp(fds);
    conc_future *in = start_recv(fds[0], -EBADF);
    conc_future *out = start(job_send_until_it_fails, &fds[0], sizeof(int));
    UNTIL(blocked_on("recv") == 1 && blocked_on("send") == 1);
    CHECK_EQUAL(conc_close(fds[0]), 0);
    CHECK_EQUAL(end_of(in), -EBADF);
    CHECK_EQUAL(end_of(out), -EBADF);
    CHECK_EQUAL(conc_close(fds[1]), 0);
}

static void test_a_socket_that_never_was_connected_is_an_error(void)
{
    char buf[8];
    int fd = conc_socket(AF_INET, SOCK_STREAM, 0);
    CHECK_EQUAL(conc_recv(fd, buf, sizeof buf, 0, CONC_FOREVER), -ENOTCONN);
    CHECK_EQUAL(conc_send(fd, "x", 1, 0, CONC_FOREVER), -EPIPE);
    CHECK_EQUAL(conc_shutdown(fd, SHUT_WR), -ENOTCONN);
    CHECK_EQUAL(conc_close(fd), 0);
}

/* O_NONBLOCK sockets of other makers wait as well. */
static void test_a_nonblocking_socket_waits_too(void)
{
    int fds[2];
    char *buf = malloc(MUCH);
    make_tcp(fds);
    for (int i = 0; i < 2; i++)
        CHECK_EQUAL(fcntl(fds[i], F_SETFL, O_NONBLOCK), 0);
    conc_future *f = start_recv(fds[0], 3);
    UNTIL(blocked_on("recv") == 1);
    CHECK_EQUAL(conc_send(fds[1], "abc", 3, 0, CONC_FOREVER), 3);
    CHECK_EQUAL(end_of(f), 0);
    CHECK_EQUAL(conc_recv(fds[0], buf, 1, 0, SOON), -ETIMEDOUT);
    f = start(job_recv_much, &fds[0], sizeof(int));
    fill(buf, MUCH, 1);
    CHECK_EQUAL(conc_sendall(fds[1], buf, MUCH, 0, CONC_FOREVER), 0);
    CHECK_EQUAL(conc_shutdown(fds[1], SHUT_WR), 0);
    CHECK_EQUAL(end_of(f), 0);
    free(buf);
    close_both(fds);
}

/* ---- Datagrams ---- */

static int udp_socket(struct sockaddr_in *addr)
{
    socklen_t size = sizeof *addr;
    int fd = conc_socket(AF_INET, SOCK_DGRAM, 0);
    CHECK(fd >= 0);
    *addr = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    CHECK_EQUAL(conc_bind(fd, (struct sockaddr *)addr, sizeof *addr), 0);
    CHECK_EQUAL(getsockname(fd, (struct sockaddr *)addr, &size), 0);
    return fd;
}

struct udp {
    int fds[2];
    struct sockaddr_in addrs[2];
};

static struct udp make_udp(void)
{
    struct udp u;
    for (int i = 0; i < 2; i++)
        u.fds[i] = udp_socket(&u.addrs[i]);
    return u;
}

static ssize_t send_to_other(const struct udp *u, const void *buf, size_t n)
{
    return conc_sendto(u->fds[0], buf, n, 0, (const struct sockaddr *)&u->addrs[1],
                       sizeof u->addrs[1], CONC_FOREVER);
}

static void test_datagrams_come_whole_with_their_sender(void)
{
    struct udp u = make_udp();
    struct sockaddr_in from;
    socklen_t size = sizeof from;
    char buf[8] = "";
    CHECK_EQUAL(send_to_other(&u, "abc", 3), 3);
    CHECK_EQUAL(send_to_other(&u, "", 0), 0);
    CHECK_EQUAL(send_to_other(&u, "longer than that", 16), 16);
    CHECK_EQUAL(
        conc_recvfrom(u.fds[1], buf, sizeof buf, 0, (struct sockaddr *)&from, &size, CONC_FOREVER),
        3);
    CHECK(!memcmp(buf, "abc", 3));
    CHECK_EQUAL(size, sizeof from);
    CHECK_EQUAL(from.sin_port, u.addrs[0].sin_port);
    CHECK_EQUAL(conc_recvfrom(u.fds[1], buf, sizeof buf, 0, NULL, NULL, CONC_FOREVER), 0);
    CHECK_EQUAL(conc_recv(u.fds[1], buf, sizeof buf, MSG_TRUNC, CONC_FOREVER), 16);
    CHECK_EQUAL(conc_recvfrom(u.fds[1], buf, sizeof buf, 0, NULL, NULL, CONC_NOW), -EAGAIN);
    CHECK_EQUAL(conc_recvfrom(u.fds[1], buf, sizeof buf, 0, NULL, NULL, SOON), -ETIMEDOUT);
    close_both(u.fds);
}

static void test_an_address_is_cut_at_its_room_and_untouched_on_failure(void)
{
    struct udp u = make_udp();
    struct sockaddr_in from;
    memset(&from, 0x55, sizeof from);
    socklen_t size = 2;
    char buf[8];
    CHECK_EQUAL(
        conc_recvfrom(u.fds[1], buf, sizeof buf, 0, (struct sockaddr *)&from, &size, CONC_NOW),
        -EAGAIN);
    CHECK_EQUAL(size, 2);
    CHECK_EQUAL(from.sin_port, 0x5555);
    CHECK_EQUAL(send_to_other(&u, "abc", 3), 3);
    CHECK_EQUAL(
        conc_recvfrom(u.fds[1], buf, sizeof buf, 0, (struct sockaddr *)&from, &size, CONC_FOREVER),
        3);
    CHECK_EQUAL(size, sizeof from);
    CHECK_EQUAL(from.sin_family, AF_INET);
    CHECK_EQUAL(from.sin_port, 0x5555);
    close_both(u.fds);
}

static int job_recvfrom(void *arg, void *result)
{
    struct sockaddr_in from;
    socklen_t size = sizeof from;
    char buf[8];
    ssize_t n = conc_recvfrom(*(int *)arg, buf, sizeof buf, 0, (struct sockaddr *)&from, &size,
                              CONC_FOREVER);
    CHECK(n < 0 || size == sizeof from);
    return n < 0 ? (int)n : 0;
}

static void test_recvfrom_waits_and_can_be_cancelled(void)
{
    struct udp u = make_udp();
    conc_future *f = start(job_recvfrom, &u.fds[1], sizeof(int));
    UNTIL(blocked_on("recvmsg") == 1);
    CHECK_EQUAL(send_to_other(&u, "abc", 3), 3);
    CHECK_EQUAL(end_of(f), 0);
    f = start(job_recvfrom, &u.fds[1], sizeof(int));
    UNTIL(blocked_on("recvmsg") == 1);
    conc_future_cancel(f);
    CHECK_EQUAL(end_of(f), -ECANCELED);
    close_both(u.fds);
}

static void test_datagram_errors_are_told(void)
{
    struct udp u = make_udp();
    static char large[70000];
    char buf[8];
    CHECK_EQUAL(send_to_other(&u, large, sizeof large), -EMSGSIZE);
    CHECK_EQUAL(conc_sendto(u.fds[0], "x", 1, 0, NULL, 0, CONC_FOREVER), -EDESTADDRREQ);
    CHECK_EQUAL(conc_send(u.fds[0], "x", 1, 0, CONC_FOREVER), -EDESTADDRREQ);
    /* To a port that no socket has: the next call reports it. */
    CHECK_EQUAL(
        conc_connect(u.fds[0], (struct sockaddr *)&u.addrs[1], sizeof u.addrs[1], CONC_FOREVER), 0);
    CHECK_EQUAL(conc_close(u.fds[1]), 0);
    CHECK_EQUAL(conc_sendall(u.fds[0], "", 0, 0, CONC_FOREVER), 0);
    CHECK_EQUAL(conc_recv(u.fds[0], buf, sizeof buf, 0, CONC_FOREVER), -ECONNREFUSED);
    CHECK_EQUAL(conc_close(u.fds[0]), 0);
}

static void test_an_empty_datagram_can_be_sent(void)
{
    int fds[2];
    char buf[8];
    make_sockets(SOCK_DGRAM, fds);
    CHECK_EQUAL(conc_send(fds[0], "", 0, 0, CONC_FOREVER), 0);
    CHECK_EQUAL(conc_sendall(fds[0], NULL, 0, 0, CONC_FOREVER), 0);
    CHECK_EQUAL(conc_recv(fds[1], buf, sizeof buf, 0, CONC_FOREVER), 0);
    CHECK_EQUAL(conc_recv(fds[1], buf, sizeof buf, 0, CONC_FOREVER), 0);
    CHECK_EQUAL(conc_recv(fds[1], buf, sizeof buf, 0, CONC_NOW), -EAGAIN);
    close_both(fds);
}

/* The room of a Unix datagram socket is its reader's, which is not what poll(2) tells. */
static void test_a_full_datagram_socket_waits_for_its_reader(void)
{
    int fds[2];
    char buf[PIECE] = "";
    make_sockets(SOCK_DGRAM, fds);
    while (conc_send(fds[0], buf, sizeof buf, 0, CONC_NOW) > 0)
        continue;
    CHECK_EQUAL(conc_send(fds[0], buf, sizeof buf, 0, SOON), -ETIMEDOUT);
    conc_future *f = start(job_send_until_it_fails, &fds[0], sizeof(int));
    UNTIL(blocked_on("send") == 1);
    for (int i = 0; i < 1000; i++)
        CHECK_EQUAL(conc_recv(fds[1], buf, sizeof buf, 0, conc_in(CONC_S(30))), sizeof buf);
    conc_future_cancel(f);
    CHECK_EQUAL(end_of(f), -ECANCELED);
    close_both(fds);
}

/* ---- Messages ---- */

union control {
    char room[CMSG_SPACE(sizeof(int))];
    struct cmsghdr align;
};

static void send_descriptor(int socket, int fd)
{
    union control control = {.room = ""};
    char first[] = "ab", second[] = "cde";
    struct iovec parts[] = {{first, 2}, {second, 3}};
    struct msghdr msg = {.msg_iov = parts,
                         .msg_iovlen = 2,
                         .msg_control = &control,
                         .msg_controllen = sizeof control.room};
    struct cmsghdr *c = CMSG_FIRSTHDR(&msg);
    *c = (struct cmsghdr){
        .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS, .cmsg_len = CMSG_LEN(sizeof fd)};
    memcpy(CMSG_DATA(c), &fd, sizeof fd);
    CHECK_EQUAL(conc_sendmsg(socket, &msg, 0, CONC_FOREVER), 5);
}

static int receive_descriptor(int socket)
{
    union control control;
    char first[4] = "", second[8] = "";
    struct iovec parts[] = {{.iov_base = first, .iov_len = 3},
                            {.iov_base = second, .iov_len = sizeof second}};
    struct msghdr msg = {.msg_iov = parts,
                         .msg_iovlen = 2,
                         .msg_control = &control,
                         .msg_controllen = sizeof control.room};
    ssize_t n = conc_recvmsg(socket, &msg, 0, CONC_FOREVER);
    if (n < 0)
        return (int)n;
    CHECK_EQUAL(n, 5);
    CHECK(!strcmp(first, "abc") && !strcmp(second, "de"));
    struct cmsghdr *c = CMSG_FIRSTHDR(&msg);
    CHECK(c && c->cmsg_type == SCM_RIGHTS);
    int fd;
    memcpy(&fd, CMSG_DATA(c), sizeof fd);
    return fd;
}

static int job_receive_descriptor(void *arg, void *result)
{
    int fd = receive_descriptor(*(int *)arg);
    if (fd < 0)
        return fd;
    CHECK_EQUAL(fcntl(fd, F_GETFD), FD_CLOEXEC);
    CHECK_EQUAL(conc_write(fd, "x", 1, CONC_FOREVER), 1);
    CHECK_EQUAL(conc_close(fd), 0);
    return 0;
}

static void test_descriptors_are_passed_by_messages(void)
{
    int fds[2], channel[2];
    char buf[8];
    make_sockets(SOCK_STREAM, fds);
    make_pipe(channel);
    send_descriptor(fds[0], channel[1]);
    CHECK_EQUAL(job_receive_descriptor(&fds[1], NULL), 0);
    conc_future *f = start(job_receive_descriptor, &fds[1], sizeof(int));
    UNTIL(blocked_on("recvmsg") == 1);
    send_descriptor(fds[0], channel[1]);
    CHECK_EQUAL(end_of(f), 0);
    CHECK_EQUAL(conc_read(channel[0], buf, sizeof buf, CONC_FOREVER), 2);
    f = start(job_receive_descriptor, &fds[1], sizeof(int));
    UNTIL(blocked_on("recvmsg") == 1);
    conc_future_cancel(f);
    CHECK_EQUAL(end_of(f), -ECANCELED);
    close_both(channel);
    close_both(fds);
}

static void test_an_error_queue_is_not_waited_for(void)
{
    struct udp u = make_udp();
    char buf[8];
    struct iovec room = {.iov_base = buf, .iov_len = sizeof buf};
    struct msghdr msg = {.msg_iov = &room, .msg_iovlen = 1};
    CHECK_EQUAL(conc_recvmsg(u.fds[0], &msg, MSG_ERRQUEUE, CONC_FOREVER), -EAGAIN);
    close_both(u.fds);
}

/* ---- Misuse ---- */

static void test_misuse_is_an_error(void)
{
    int fds[2];
    char buf[8];
    struct sockaddr_storage addr;
    socklen_t size = sizeof addr;
    struct sockaddr *any = (struct sockaddr *)&addr;
    make_sockets(SOCK_STREAM, fds);
    CHECK_EQUAL(conc_recvmsg(fds[0], NULL, 0, CONC_FOREVER), -EINVAL);
    CHECK_EQUAL(conc_sendmsg(fds[0], NULL, 0, CONC_FOREVER), -EINVAL);
    CHECK_EQUAL(conc_recvfrom(fds[0], buf, 1, 0, any, NULL, CONC_FOREVER), -EINVAL);
    CHECK_EQUAL(conc_recvfrom(fds[0], buf, 1, 0, NULL, &size, CONC_FOREVER), -EINVAL);
    close_both(fds);
    CHECK_EQUAL(conc_send(fds[0], "x", 1, 0, CONC_FOREVER), -EBADF);
    CHECK_EQUAL(conc_recv(-1, buf, sizeof buf, 0, CONC_FOREVER), -EBADF);
    CHECK_EQUAL(conc_recvfrom(fds[0], buf, 1, 0, NULL, NULL, CONC_NOW), -EBADF);
    make_pipe(fds);
    CHECK_EQUAL(conc_send(fds[1], "x", 1, 0, CONC_FOREVER), -ENOTSOCK);
    CHECK_EQUAL(conc_recv(fds[0], buf, sizeof buf, 0, CONC_FOREVER), -ENOTSOCK);
    close_both(fds);
}

static const struct CMUnitTest tests[] = {
    ON_EVERY_WAY(test_what_is_sent_is_received),
    ON_EVERY_WAY(test_recv_waits_until_something_comes),
    ON_EVERY_WAY(test_recv_gives_up_at_its_deadline_and_takes_nothing),
    ON_EVERY_WAY(test_a_cancelled_recv_takes_nothing),
    ON_EVERY_WAY(test_wait_for_all_is_the_streams_business),
    ON_EVERY_WAY(test_sendall_waits_for_room_as_often_as_needed),
    ON_EVERY_WAY(test_after_a_half_close_the_other_direction_goes_on),
    ON_EVERY_WAY(test_a_peer_that_resets_is_an_error_and_no_signal),
    ON_EVERY_WAY(test_a_send_that_waits_learns_of_the_reset),
    ON_EVERY_WAY(test_a_peer_that_never_reads_runs_into_the_deadline),
    ON_EVERY_WAY(test_shutting_down_ends_what_waits),
    ON_EVERY_LOOP(test_closing_a_socket_ends_what_waits_for_it),
    ON_EVERY_WAY(test_a_socket_that_never_was_connected_is_an_error),
    ON_EVERY_WAY(test_a_nonblocking_socket_waits_too),
    ON_EVERY_WAY(test_datagrams_come_whole_with_their_sender),
    ON_EVERY_WAY(test_an_address_is_cut_at_its_room_and_untouched_on_failure),
    ON_EVERY_WAY(test_recvfrom_waits_and_can_be_cancelled),
    ON_EVERY_WAY(test_datagram_errors_are_told),
    ON_EVERY_WAY(test_an_empty_datagram_can_be_sent),
    ON_EVERY_WAY(test_a_full_datagram_socket_waits_for_its_reader),
    ON_EVERY_WAY(test_descriptors_are_passed_by_messages),
    ON_EVERY_WAY(test_an_error_queue_is_not_waited_for),
    ON_EVERY_WAY(test_misuse_is_an_error),
};

TEST_MAIN(tests, 60)
