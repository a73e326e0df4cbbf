/* SPDX-License-Identifier: MIT
 *
 * test_backend_cancel.c: both backends: ops that are cancelled, descriptors that are closed or used
 * again, and what happens without memory or descriptors.
 */
#include "probes.h"

#include <netinet/in.h>
#include <poll.h>
#include <sys/eventfd.h>

/* ---- Cancelling ---- */

static void test_cancelled_ops_have_no_effect(void)
{
    int s[2];
    char buf[8] = "........";
    struct probe ops[3];
    make_sockets(SOCK_STREAM, s);
    fill_up(s[0]);
    begin_to_wait(&ops[0], op_on(OP_RECV, s[0], buf, 8));
    begin_to_wait(&ops[1], op_on(OP_SEND, s[0], "x", 1));
    begin_to_wait(&ops[2], poll_op(s[0], POLLIN));
    for (int i = 0; i < 3; i++) {
        cancel(&ops[i]);
        if (!ops[i].ended)
            cancel(&ops[i]); /* twice is harmless */
        CHECK_EQUAL(end(&ops[i]), -ECANCELED);
    }
    empty(s[1]);
    put(s[1], "abc");
    turn_a_few_times();
    CHECK(!memcmp(buf, "........", 8));
    CHECK_EQUAL(begin_and_end(op_on(OP_RECV, s[0], buf, 8)), 3);
    CHECK_EQUAL(recv(s[1], buf, 8, MSG_DONTWAIT), -1); /* nothing was sent */
    close_both(s);
}

static void test_a_cancel_lets_the_others_wait_on(void)
{
    int p[2];
    char buf[3];
    struct probe reads[3];
    make_pipe(p);
    for (int i = 0; i < 3; i++)
        begin_to_wait(&reads[i], op_on(OP_READ, p[0], &buf[i], 1));
    cancel(&reads[0]);
    CHECK_EQUAL(end(&reads[0]), -ECANCELED);
    put(p[1], "ab");
    CHECK_EQUAL(end(&reads[1]), 1);
    CHECK_EQUAL(end(&reads[2]), 1);
    CHECK_EQUAL(buf[1] + buf[2], 'a' + 'b');
    close_both(p);
}

static void test_cancel_before_the_first_turn(void)
{
    int s[2];
    char buf[8];
    struct probe waits, has;
    make_sockets(SOCK_STREAM, s);
    begin(&waits, op_on(OP_RECV, s[0], buf, 8));
    cancel(&waits);
    CHECK_EQUAL(end(&waits), -ECANCELED);
    put(s[1], "abc");
    begin(&has, op_on(OP_RECV, s[0], buf, 8));
    if (!has.ended)
        cancel(&has);
    ssize_t n = end(&has); /* either it has what there was, or it is still there */
    CHECK(n == 3 || n == -ECANCELED);
    CHECK_EQUAL(recv(s[0], buf, 8, MSG_DONTWAIT), n == 3 ? -1 : 3);
    close_both(s);
}

static void test_a_part_received_counts_in_spite_of_a_cancel(void)
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
    conc_sleep(CONC_MS(5)); /* until the three have been taken: nothing shows when */
    cancel(&receives);
    ssize_t n = end(&receives);
    CHECK(n == 3 || n == -ECANCELED);
    CHECK_EQUAL(recv(s[0], buf, 8, MSG_DONTWAIT), n == 3 ? -1 : 3);
    close_both(s);
}

static ssize_t wait_at_gate(void *arg)
{
    job_gate_shielded(&arg, NULL);
    return 1;
}

static void test_calls_that_run_are_awaited(void)
{
    struct gate gate = {0};
    struct probe running;
    begin(&running, (struct op){.code = OP_CALL, .call = wait_at_gate, .arg = &gate});
    UNTIL(runs_of(&gate) == 1);
    cancel(&running);
    turn_a_few_times();
    CHECK_EQUAL(running.ended, 0);
    conc_event_set(&gate.open);
    CHECK_EQUAL(end(&running), 1);
}

/* ---- Closing ---- */

static void test_closing_ends_what_waits_for_the_descriptor(void)
{
    int s[2], other[2];
    char buf[8];
    struct probe ops[3], of_other;
    make_sockets(SOCK_STREAM, s);
    make_sockets(SOCK_STREAM, other);
    fill_up(s[0]);
    begin_to_wait(&ops[0], op_on(OP_RECV, s[0], buf, 4));
    begin_to_wait(&ops[1], op_on(OP_SEND, s[0], "x", 1));
    begin_to_wait(&ops[2], poll_op(s[0], POLLIN));
    begin_to_wait(&of_other, op_on(OP_RECV, other[0], buf + 4, 4));
    closing(s[0]);
    close(s[0]);
    for (int i = 0; i < 3; i++)
        CHECK_EQUAL(end(&ops[i]), -EBADF);
    CHECK_EQUAL(of_other.ended, 0);
    put(other[1], "abcd");
    CHECK_EQUAL(end(&of_other), 4);
    close(s[1]);
    close_both(other);
}

static void test_closing_of_what_nobody_waits_for_is_harmless(void)
{
    closing(-1);
    closing(0);
    closing(1 << 20);
}

static void test_a_number_that_is_used_again_works(void)
{
    for (int told = 0; told < 2; told++)
        for (int i = 0; i < 20; i++) {
            int p[2];
            char buf[8];
            struct probe reads;
            make_pipe(p); /* the same two numbers each time */
            begin_to_wait(&reads, op_on(OP_READ, p[0], buf, 8));
            put(p[1], "abc");
            CHECK_EQUAL(end(&reads), 3);
            if (told)
                closing(p[0]);
            close(p[0]);
            close(p[1]);
        }
}

/* The old file lives on under another number: its registration too. */
static void test_an_old_file_does_not_disturb_the_new_one(void)
{
    int p[2], q[2];
    char buf[8];
    struct probe reads;
    make_pipe(p);
    begin_to_wait(&reads, op_on(OP_READ, p[0], buf, 8));
    int copy = dup(p[0]);
    cancel(&reads);
    CHECK_EQUAL(end(&reads), -ECANCELED);
    close(p[0]);
    make_pipe(q);
    CHECK_EQUAL(q[0], p[0]);
    begin_to_wait(&reads, op_on(OP_READ, q[0], buf, 8));
    put(p[1], "old");
    turn_a_few_times();
    CHECK_EQUAL(reads.ended, 0);
    put(q[1], "new!");
    CHECK_EQUAL(end(&reads), 4);
    close(copy);
    close(p[1]);
    close_both(q);
}

/* ---- Without memory, without descriptors ---- */

static ssize_t forty_two(void *arg) { return *(int *)arg = 42; }

static void test_without_memory_ops_end_with_ENOMEM_or_work(void)
{
    int p[2], high;
    char buf[8];
    struct probe reads;
    make_pipe(p);
    high = fcntl(p[0], F_DUPFD_CLOEXEC, 900); /* beyond what the backend has room for */
    fail_alloc(1);
    begin(&reads, op_on(OP_READ, high, buf, 8));
    turn_a_few_times();
    fail_alloc(0);
    if (!reads.ended)
        put(p[1], "abc");
    ssize_t n = end(&reads);
    CHECK(n == 3 || n == -ENOMEM);
    for (int nth = 1; nth < 6; nth++) {
        int touched;
        fail_alloc(nth);
        n = begin_and_end((struct op){.code = OP_CALL, .call = forty_two, .arg = &touched});
        fail_alloc(0);
        CHECK(n == 42 || n == -ENOMEM);
    }
    if (way == ON_EPOLL)
        CHECK_EQUAL(begin_and_end(op_on(OP_READ, high, buf, 0)), 0);
    close(high);
    close_both(p);
}

/* The numbers below are in use. */
enum { NO_MORE_DESCRIPTORS = 3 };

static void test_accept_without_descriptors_is_EMFILE_and_loses_nothing(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET};
    socklen_t size = sizeof address;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    CHECK_EQUAL(bind(listener, (struct sockaddr *)&address, size), 0);
    CHECK_EQUAL(listen(listener, 8), 0);
    CHECK_EQUAL(getsockname(listener, (struct sockaddr *)&address, &size), 0);
    int client = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CHECK_EQUAL(connect(client, (struct sockaddr *)&address, size), 0);
    limit_descriptors(NO_MORE_DESCRIPTORS);
    const struct op accepts = {.code = OP_ACCEPT, .fd = listener, .flags = SOCK_CLOEXEC};
    CHECK_EQUAL(begin_and_end(accepts), -EMFILE);
    CHECK_EQUAL(begin_and_end((struct op){.code = OP_OPEN, .path = "/dev/null"}), -EMFILE);
    limit_descriptors(0);
    if (!on_valgrind()) { /* which has accepted the connection, and closed it */
        int server = (int)begin_and_end(accepts);
        CHECK(server >= 0);
        close(server);
    }
    close(client);
    close(listener);
}

static void test_a_backend_that_cannot_begin_says_why(void)
{
    const struct backend *backend = conc__driver_here->backend;
    void *state = NULL;
    int wake_fd = eventfd(0, EFD_CLOEXEC);
    fail_alloc(1);
    CHECK_EQUAL(backend->init(&state, wake_fd), -ENOMEM);
    fail_alloc(0);
    limit_descriptors(NO_MORE_DESCRIPTORS);
    CHECK_EQUAL(backend->init(&state, wake_fd), -EMFILE);
    CHECK(!state);
    limit_descriptors(0);
    close(wake_fd);
}

static const struct CMUnitTest tests[] = {
    ON_EVERY_LOOP(test_cancelled_ops_have_no_effect),
    ON_EVERY_LOOP(test_a_cancel_lets_the_others_wait_on),
    ON_EVERY_LOOP(test_cancel_before_the_first_turn),
    ON_EVERY_LOOP(test_a_part_received_counts_in_spite_of_a_cancel),
    ON_EVERY_LOOP(test_calls_that_run_are_awaited),
    ON_EVERY_LOOP(test_closing_ends_what_waits_for_the_descriptor),
    ON_EVERY_LOOP(test_closing_of_what_nobody_waits_for_is_harmless),
    ON_EVERY_LOOP(test_a_number_that_is_used_again_works),
    ON_EVERY_LOOP(test_an_old_file_does_not_disturb_the_new_one),
    ON_EVERY_LOOP(test_without_memory_ops_end_with_ENOMEM_or_work),
    ON_EVERY_LOOP(test_accept_without_descriptors_is_EMFILE_and_loses_nothing),
    ON_EVERY_LOOP(test_a_backend_that_cannot_begin_says_why),
};

TEST_MAIN(tests, 60)
