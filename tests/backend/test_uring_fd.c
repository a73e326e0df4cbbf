/* SPDX-License-Identifier: MIT
 *
 * test_uring_fd.c: the io_uring backend and its descriptors: those that are closed while ops use
 * them, those in non-blocking mode, those that nobody reads, and files.
 */
#include "ring_rig.h"

#include <netinet/in.h>
#include <signal.h>
#include <stdlib.h>

/* ---- Closing ---- */

static void closing(struct rig *rig, int fd) { conc__uring.closing(rig->io, fd); }

/* Its entry would otherwise read from what gets the number next. */
static void test_an_op_not_yet_submitted_when_its_descriptor_is_closed_touches_no_other(
    void **state)
{
    struct rig rig;
    rig_open(&rig, NULL);
    struct ends old = open_sockets(0), other = open_sockets(0);
    char c = 0;
    struct call call = call_move(OP_RECV, old.a, &c, 1);
    assert_int_equal(write(other.b, "x", 1), 1);
    call_start(&rig, &call);
    closing(&rig, old.a);
    assert_int_equal(call.ended, 1);
    assert_int_equal(call.op.result, -EBADF);
    assert_int_equal(dup2(other.a, old.a), old.a);
    rig_settle(&rig);
    assert_int_equal(call.ended, 1);
    assert_int_equal(c, 0);
    assert_int_equal(recv(other.a, &c, 1, MSG_DONTWAIT), 1); /* still there */
    close_ends(old);
    close_ends(other);
    rig_close(&rig);
}

static void test_ops_under_way_when_their_descriptor_is_closed_end_and_no_others(void **state)
{
    struct rig rig;
    rig_open(&rig, NULL);
    struct ends s = open_sockets(0);
    /* Its number falls on the same count. */
    int other = fcntl(s.a, F_DUPFD_CLOEXEC, s.a + 64);
    assert_int_equal((other - s.a) % 64, 0);
    char c;
    struct call recv = call_move(OP_RECV, s.a, &c, 1);
    struct call poll = call_poll(s.a, POLLIN), stays = call_poll(other, POLLIN);
    call_start(&rig, &stays);
    call_start(&rig, &recv);
    call_start(&rig, &poll);
    rig_settle(&rig);
    closing(&rig, s.a);
    closing(&rig, s.a); /* again: no harm */
    close(s.a);
    assert_int_equal(call_end(&recv), -EBADF);
    assert_int_equal(call_end(&poll), -EBADF);
    assert_int_equal(stays.ended, 0);
    assert_int_equal(write(s.b, "x", 1), 1);
    assert_int_equal(call_end(&stays), POLLIN);
    close(other);
    close(s.b);
    rig_close(&rig);
}

static void test_closing_when_the_table_has_grown_since_finds_the_ops(void **state)
{
    struct rig rig;
    rig_open(&rig, NULL);
    struct ends old = open_pipe(0), silent = open_pipe(0);
    struct call poll = call_poll(old.a, POLLIN);
    call_start(&rig, &poll);
    struct call *calls = rig_polls(&rig, silent.a, 1000);
    rig_settle(&rig);
    closing(&rig, old.a);
    assert_int_equal(call_end(&poll), -EBADF);
    closing(&rig, silent.a);
    for (int i = 0; i < 1000; i++)
        assert_int_equal(call_end(&calls[i]), -EBADF);
    free(calls);
    close_ends(old);
    close_ends(silent);
    rig_close(&rig);
}

static void test_closing_when_nobody_uses_the_descriptor_does_nothing(void **state)
{
    struct rig rig;
    rig_open(&rig, NULL);
    closing(&rig, 3);
    struct ends s = open_sockets(0);
    char c;
    struct call recv = call_move(OP_RECV, s.a, &c, 1);
    call_start(&rig, &recv);
    closing(&rig, s.b);
    closing(&rig, -1);
    closing(&rig, 1 << 30);
    rig_settle(&rig);
    assert_int_equal(recv.ended, 0);
    call_cancel(&recv);
    assert_int_equal(call_end(&recv), -ECANCELED);
    close_ends(s);
    rig_close(&rig);
}

/* ---- Descriptors in non-blocking mode ---- */

static void check_waits_and_ends(struct rig *rig, struct call call, int peer)
{
    const uint64_t one = 1;
    struct call again = call;
    call_start(rig, &call);
    rig_settle(rig);
    assert_int_equal(call.ended, 0);
    assert_int_equal(write(peer, &one, sizeof one), sizeof one);
    assert_int_equal(call_end(&call), sizeof one);
    call_start(rig, &again);
    rig_settle(rig);
    call_cancel(&again);
    assert_int_equal(call_end(&again), -ECANCELED);
}

static void test_a_descriptor_in_non_blocking_mode_is_waited_for_all_the_same(void **state)
{
    struct rig rig;
    rig_open(&rig, NULL);
    uint64_t number = 0;
    struct iovec iov = {.iov_base = &number, .iov_len = sizeof number};
    struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};
    struct ends s = open_sockets(SOCK_NONBLOCK), p = open_pipe(O_NONBLOCK);
    int event = eventfd(0, EFD_NONBLOCK);
    check_waits_and_ends(&rig, call_move(OP_READ, event, &number, sizeof number), event);
    check_waits_and_ends(&rig, call_move(OP_READ, p.a, &number, sizeof number), p.b);
    check_waits_and_ends(&rig, call_move(OP_READ, s.a, &number, sizeof number), s.b);
    check_waits_and_ends(&rig, call_move(OP_RECV, s.a, &number, sizeof number), s.b);
    struct call recvmsg = {.op = {.code = OP_RECVMSG, .fd = s.a, .msg = &msg}};
    check_waits_and_ends(&rig, recvmsg, s.b);
    close(event);
    close_ends(s);
    close_ends(p);
    rig_close(&rig);
}

enum { STORM = 200 };

static void test_an_accept_storm_on_a_listener_in_either_mode_loses_nobody(void **state)
{
    struct rig rig;
    rig_open(&rig, NULL);
    for (int mode = 0; mode <= SOCK_NONBLOCK; mode += SOCK_NONBLOCK) {
        struct sockaddr_in name = {.sin_family = AF_INET};
        name.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        socklen_t size = sizeof name;
        int listener = socket(AF_INET, SOCK_STREAM | mode, 0), clients[STORM], connected = 0;
        assert_int_equal(bind(listener, (struct sockaddr *)&name, size), 0);
        assert_int_equal(listen(listener, STORM), 0);
        getsockname(listener, (struct sockaddr *)&name, &size);
        struct call first = {.op = {.code = OP_ACCEPT, .fd = listener, .flags = SOCK_CLOEXEC}};
        call_start(&rig, &first);
        rig_settle(&rig);
        assert_int_equal(first.ended, 0);
        for (; connected < STORM; connected++) {
            clients[connected] = socket(AF_INET, SOCK_STREAM, 0);
            CHECK_EQUAL(connect(clients[connected], (struct sockaddr *)&name, size), 0);
        }
        close((int)call_end(&first));
        for (int i = 1; i < STORM; i++) {
            struct sockaddr_in peer;
            socklen_t peer_size = sizeof peer;
            struct call call = {.op = {.code = OP_ACCEPT, .fd = listener, .flags = SOCK_CLOEXEC}};
            call.op.addr = (struct sockaddr *)&peer;
            call.op.addr_size = &peer_size;
            call_start(&rig, &call);
            int fd = (int)call_end(&call);
            assert_true(fd >= 0);
            assert_int_equal(peer_size, sizeof peer);
            assert_int_equal(peer.sin_addr.s_addr, name.sin_addr.s_addr);
            close(fd);
        }
        for (int i = 0; i < STORM; i++)
            close(clients[i]);
        close(listener);
    }
    rig_close(&rig);
}

/* ---- Writing to what nobody reads ---- */

static volatile sig_atomic_t sigpipes;
static void count_sigpipe(int signo) { sigpipes++; }

static void check_epipe(struct rig *rig, struct ends ends, bool full)
{
    struct call call = call_move(OP_WRITE, ends.b, "x", 1);
    if (full) {
        fill_up(ends.b);
        call_start(rig, &call);
        rig_settle(rig);
        assert_int_equal(call.ended, 0);
        close(ends.a);
    } else {
        close(ends.a);
        call_start(rig, &call);
    }
    assert_int_equal(call_end(&call), -EPIPE);
    assert_int_equal(sigpipes, 0);
    close(ends.b);
}

/* With the kernel's flag against it; without; and on a kernel that refuses the flag. */
static void test_a_write_to_what_nobody_reads_fails_without_a_signal(void **state)
{
    struct ring_shape shape = conc__ring_shape;
    const int flags[] = {shape.no_sigpipe, 0, 1 << 30};
    struct sigaction before, action = {.sa_handler = count_sigpipe};
    sigaction(SIGPIPE, &action, &before);
    for (int i = 0; i < 3; i++) {
        struct rig rig;
        shape.no_sigpipe = flags[i];
        rig_open(&rig, &shape);
        for (int full = 0; full < 2; full++) {
            check_epipe(&rig, open_pipe(0), full);
            check_epipe(&rig, open_pipe(O_NONBLOCK), full);
            check_epipe(&rig, open_sockets(0), full);
        }
        rig_close(&rig);
    }
    sigaction(SIGPIPE, &before, NULL);
}

static void test_several_writes_when_the_flag_is_refused_are_all_done_without_it(void **state)
{
    struct ring_shape shape = conc__ring_shape;
    shape.no_sigpipe = 1 << 30;
    struct rig rig;
    rig_open(&rig, &shape);
    struct ends p = open_pipe(0);
    struct call calls[5];
    char buf[8];
    for (int i = 0; i < 5; i++) {
        calls[i] = call_move(OP_WRITE, p.b, "x", 1);
        call_start(&rig, &calls[i]);
    }
    for (int i = 0; i < 5; i++)
        assert_int_equal(call_end(&calls[i]), 1);
    assert_int_equal(read(p.a, buf, sizeof buf), 5);
    close_ends(p);
    rig_close(&rig);
}

/* ---- Files ---- */

static void test_a_negative_offset_is_refused_and_never_means_the_files_position(void **state)
{
    struct rig rig;
    rig_open(&rig, NULL);
    FILE *file = tmpfile();
    char c;
    for (off_t offset = -3; offset < 0; offset++) {
        struct call read = call_move(OP_PREAD, fileno(file), &c, 1);
        struct call write = call_move(OP_PWRITE, fileno(file), "x", 1);
        read.op.offset = write.op.offset = offset;
        call_start(&rig, &read);
        call_start(&rig, &write);
        assert_int_equal(call_end(&read), -EINVAL);
        assert_int_equal(call_end(&write), -EINVAL);
    }
    fclose(file);
    rig_close(&rig);
}

/* What read(2) and write(2) cut, an entry could not even tell. */
static void test_a_size_beyond_32_bits_is_cut_and_not_wrapped(void **state)
{
    struct rig rig;
    rig_open(&rig, NULL);
    FILE *file = tmpfile();
    struct call call = call_move(OP_WRITE, fileno(file), "xyz", 3);
    call_start(&rig, &call);
    assert_int_equal(call_end(&call), 3);
    static char buf[8]; /* not on the stack: the kernel wants room below the end of addresses */
    struct call read = call_move(OP_PREAD, fileno(file), buf, ((size_t)1 << 32) + 1);
    call_start(&rig, &read);
    assert_int_equal(call_end(&read), 3);
    assert_string_equal(buf, "xyz");
    fclose(file);
    rig_close(&rig);
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_an_op_not_yet_submitted_when_its_descriptor_is_closed_touches_no_other),
    cmocka_unit_test(test_ops_under_way_when_their_descriptor_is_closed_end_and_no_others),
    cmocka_unit_test(test_closing_when_the_table_has_grown_since_finds_the_ops),
    cmocka_unit_test(test_closing_when_nobody_uses_the_descriptor_does_nothing),
    cmocka_unit_test(test_a_descriptor_in_non_blocking_mode_is_waited_for_all_the_same),
    cmocka_unit_test(test_an_accept_storm_on_a_listener_in_either_mode_loses_nobody),
    cmocka_unit_test(test_a_write_to_what_nobody_reads_fails_without_a_signal),
    cmocka_unit_test(test_several_writes_when_the_flag_is_refused_are_all_done_without_it),
    cmocka_unit_test(test_a_negative_offset_is_refused_and_never_means_the_files_position),
    cmocka_unit_test(test_a_size_beyond_32_bits_is_cut_and_not_wrapped),
};

static void test_where_io_uring_is_refused_the_backend_says_so(void **state)
{
    void *io;
    assert_int_equal(conc__uring.init(&io, -1), -ENOSYS);
}

static const struct CMUnitTest tests_if_refused[] = {
    cmocka_unit_test(test_where_io_uring_is_refused_the_backend_says_so),
};

RING_TEST_MAIN(tests, tests_if_refused, 60)
