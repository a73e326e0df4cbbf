/* SPDX-License-Identifier: MIT
 *
 * test_pipe.c: pipes for whole messages, on threads and on tasks.
 */
#include "ways.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <conc/io.h>
#include <conc/net.h>
#include <conc/pipe.h>

#include "process/pipe_header.h"

#define PAST conc_in(0)
#define SOON conc_in(CONC_MS(20))

enum { LARGE = 3 << 20 };

struct ends {
    conc_pipe *a, *b;
};

static struct ends make_ends(void)
{
    struct ends e = {0};
    CHECK_EQUAL(conc_pipe_new(&e.a, &e.b), 0);
    return e;
}

static void close_ends(struct ends e)
{
    conc_pipe_free(e.a);
    conc_pipe_free(e.b);
}

static char *filled(size_t n, unsigned seed)
{
    char *bytes = malloc(n + 1);
    CHECK(bytes != NULL);
    fill(bytes, n, seed);
    return bytes;
}

/* The next message is n bytes of that seed. */
static void check_receives(conc_pipe *end, size_t n, unsigned seed)
{
    conc_bytes message;
    CHECK_EQUAL(conc_pipe_recv(end, &message, CONC_FOREVER), 0);
    CHECK_EQUAL(message.size, n);
    CHECK(is_filled(message.data, n, seed));
    conc_bytes_free(&message);
    CHECK(message.data == NULL && message.size == 0);
}

/* One that sends n bytes of that seed. */
struct sending {
    conc_pipe *end;
    size_t n;
    unsigned seed;
    conc_deadline deadline;
};

static int job_send(void *arg, void *result)
{
    const struct sending *s = arg;
    char *bytes = filled(s->n, s->seed);
    int err = conc_pipe_send(s->end, bytes, s->n, s->deadline);
    free(bytes);
    return err;
}

static conc_future *start_send(conc_pipe *end, size_t n, unsigned seed, conc_deadline deadline)
{
    const struct sending s = {end, n, seed, deadline};
    return start(job_send, &s, sizeof s);
}

static int job_recv(void *arg, void *result)
{
    conc_bytes message;
    int err = conc_pipe_recv(*(conc_pipe **)arg, &message, CONC_FOREVER);
    if (!err)
        conc_bytes_free(&message);
    return err;
}

/* ---- Messages ---- */

static void test_messages_of_all_sizes_arrive_whole_and_in_order(void)
{
    static const size_t sizes[] = {0, 1, 8, 15, 16, 17, 4079, 4080, 4081, 65536, 300000, LARGE};
    struct ends e = make_ends();
    for (int both = 0; both < 2; both++) {
        conc_pipe *from = both ? e.b : e.a, *to = both ? e.a : e.b;
        for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
            conc_future *sender = start_send(from, sizes[i], (unsigned)i, CONC_FOREVER);
            check_receives(to, sizes[i], (unsigned)i);
            CHECK_EQUAL(end_of(sender), 0);
        }
    }
    close_ends(e);
}

static void test_many_small_messages_are_kept_apart(void)
{
    struct ends e = make_ends();
    char buf[64];
    for (unsigned i = 0; i < 100; i++) {
        fill(buf, i % 60, i);
        CHECK_EQUAL(conc_pipe_send(e.a, buf, i % 60, CONC_NOW), 0);
    }
    for (unsigned i = 0; i < 100; i++)
        check_receives(e.b, i % 60, i);
    CHECK_EQUAL(conc_pipe_poll(e.b, CONC_NOW), -EAGAIN);
    close_ends(e);
}

static void test_message_of_a_hundred_megabytes_arrives(void)
{
    const size_t size = on_valgrind() ? (size_t)1 << 20 : (size_t)100 << 20;
    struct ends e = make_ends();
    conc_future *sender = start_send(e.a, size, 3, CONC_FOREVER);
    check_receives(e.b, size, 3);
    CHECK_EQUAL(end_of(sender), 0);
    close_ends(e);
}

static void test_recv_into_needs_room_and_loses_nothing(void)
{
    struct ends e = make_ends();
    char buf[16] = "";
    CHECK_EQUAL(conc_pipe_send(e.a, "hello", 6, CONC_FOREVER), 0);
    CHECK_EQUAL(conc_pipe_recv_into(e.b, buf, 5, CONC_FOREVER), -ENOBUFS);
    CHECK_EQUAL(conc_pipe_recv_into(e.b, NULL, 5, CONC_FOREVER), -EINVAL);
    CHECK_EQUAL(conc_pipe_recv_into(e.b, buf, 6, CONC_FOREVER), 6);
    CHECK(!strcmp(buf, "hello"));
    CHECK_EQUAL(conc_pipe_send(e.a, NULL, 0, CONC_FOREVER), 0);
    CHECK_EQUAL(conc_pipe_recv_into(e.b, NULL, 0, CONC_FOREVER), 0);
    close_ends(e);
}

static void test_several_senders_never_mix_their_messages(void)
{
    enum { SENDERS = 4, EACH = 20 };
    struct ends e = make_ends();
    conc_future *senders[SENDERS * EACH];
    int seen[SENDERS] = {0};
    for (size_t i = 0; i < SENDERS * EACH; i++)
        senders[i] = start_send(e.a, 50000 + i % SENDERS, (unsigned)(i % SENDERS), CONC_FOREVER);
    for (size_t i = 0; i < SENDERS * EACH; i++) {
        conc_bytes m;
        CHECK_EQUAL(conc_pipe_recv(e.b, &m, CONC_FOREVER), 0);
        unsigned who = (unsigned)(m.size - 50000);
        CHECK(who < SENDERS && is_filled(m.data, m.size, who));
        seen[who]++;
        conc_bytes_free(&m);
    }
    for (int i = 0; i < SENDERS; i++)
        CHECK_EQUAL(seen[i], EACH);
    for (size_t i = 0; i < SENDERS * EACH; i++)
        CHECK_EQUAL(end_of(senders[i]), 0);
    close_ends(e);
}

/* ---- Deadlines and cancellation ---- */

static void test_recv_with_nothing_there_keeps_its_deadline(void)
{
    struct ends e = make_ends();
    conc_bytes m = {NULL, 7};
    CHECK_EQUAL(conc_pipe_recv(e.a, &m, CONC_NOW), -EAGAIN);
    CHECK_EQUAL(conc_pipe_recv(e.a, &m, PAST), -ETIMEDOUT);
    CHECK_EQUAL(conc_pipe_recv(e.a, &m, SOON), -ETIMEDOUT);
    CHECK_EQUAL(conc_pipe_poll(e.a, CONC_NOW), -EAGAIN);
    CHECK_EQUAL(conc_pipe_poll(e.a, SOON), -ETIMEDOUT);
    CHECK_EQUAL(m.size, 7);
    conc_future *receiver = start(job_recv, &e.a, sizeof e.a);
    UNTIL(blocked_on("recvmsg") == 1);
    CHECK_EQUAL(conc_pipe_recv(e.a, &m, SOON), -ETIMEDOUT); /* it is the other's turn */
    conc_future_cancel(receiver);
    CHECK_EQUAL(end_of(receiver), -ECANCELED);
    close_ends(e);
}

static void test_recv_cut_short_goes_on_where_it_was(void)
{
    struct ends e = make_ends();
    char *bytes = filled(LARGE, 9);
    conc_bytes m;
    CHECK_EQUAL(conc_pipe_send(e.a, bytes, LARGE, SOON), -ETIMEDOUT);
    CHECK(conc_pipe_n_unsent(e.a) > 0 && conc_pipe_n_unsent(e.a) < LARGE);
    CHECK_EQUAL(conc_pipe_recv(e.b, &m, SOON), -ETIMEDOUT);
    conc_future *receiver = start(job_recv, &e.b, sizeof e.b);
    UNTIL(blocked_on("recvmsg") == 1);
    conc_future_cancel(receiver);
    CHECK_EQUAL(end_of(receiver), -ECANCELED);
    CHECK_EQUAL(conc_pipe_poll(e.b, CONC_NOW), 0);             /* its beginning is there */
    conc_future *sender = start_send(e.a, 5, 1, CONC_FOREVER); /* the rest goes first */
    check_receives(e.b, LARGE, 9);
    check_receives(e.b, 5, 1);
    CHECK_EQUAL(end_of(sender), 0);
    CHECK_EQUAL(conc_pipe_n_unsent(e.a), 0);
    free(bytes);
    close_ends(e);
}

static void test_send_cut_short_is_finished_by_a_flush(void)
{
    struct ends e = make_ends();
    conc_future *sender = start_send(e.a, LARGE, 4, CONC_FOREVER);
    UNTIL(blocked_on("sendmsg") == 1);
    conc_future_cancel(sender);
    CHECK_EQUAL(end_of(sender), -ECANCELED);
    CHECK_EQUAL(conc_pipe_flush(e.a, CONC_NOW), -EAGAIN);
    CHECK_EQUAL(conc_pipe_send(e.a, "x", 1, SOON), -ETIMEDOUT); /* nothing of this one has gone */
    conc_bytes m;
    CHECK_EQUAL(conc_pipe_recv(e.b, &m, CONC_NOW), -EAGAIN);
    int err = 0;
    do {
        err = conc_pipe_flush(e.a, SOON);
        if (conc_pipe_n_unsent(e.a))
            CHECK_EQUAL(conc_pipe_recv(e.b, &m, CONC_NOW), -EAGAIN);
    } while (err == -ETIMEDOUT);
    CHECK_EQUAL(err, 0);
    check_receives(e.b, LARGE, 4);
    CHECK_EQUAL(conc_pipe_poll(e.b, CONC_NOW), -EAGAIN);
    CHECK_EQUAL(conc_pipe_flush(e.a, CONC_NOW), 0);
    close_ends(e);
}

static void test_rest_that_cannot_be_kept_closes_the_direction(void)
{
    struct ends e = make_ends();
    char *bytes = filled(LARGE, 1);
    conc_bytes m;
    fail_alloc(1);
    CHECK_EQUAL(conc_pipe_send(e.a, bytes, LARGE, CONC_NOW), -ENOMEM);
    CHECK(alloc_has_failed());
    fail_alloc(0);
    CHECK_EQUAL(conc_pipe_send(e.a, bytes, 1, CONC_NOW), -EPIPE);
    CHECK_EQUAL(conc_pipe_recv(e.b, &m, CONC_FOREVER), -ECONNRESET);
    CHECK(strstr(conc_error_message(), "of 3145728 bytes of a message"));
    free(bytes);
    close_ends(e);
}

/* ---- Its end ---- */

static void test_end_comes_behind_the_last_message(void)
{
    struct ends e = make_ends();
    conc_bytes m;
    CHECK_EQUAL(conc_pipe_send(e.a, "x", 1, CONC_FOREVER), 0);
    conc_pipe_free(e.a);
    CHECK_EQUAL(conc_pipe_recv(e.b, &m, CONC_FOREVER), 0);
    conc_bytes_free(&m);
    CHECK_EQUAL(conc_pipe_poll(e.b, CONC_FOREVER), 0);
    CHECK_EQUAL(conc_pipe_recv(e.b, &m, CONC_FOREVER), -ENODATA);
    CHECK_EQUAL(conc_pipe_recv(e.b, &m, CONC_NOW), -ENODATA);
    CHECK_EQUAL(conc_pipe_send(e.b, "x", 1, CONC_FOREVER), -EPIPE);
    CHECK(!strcmp(conc_error_message(), "the other end of the pipe is closed"));
    conc_pipe_free(e.b);
    conc_pipe_free(NULL);
}

static void test_end_reaches_those_who_wait(void)
{
    struct ends e = make_ends();
    conc_future *receiver = start(job_recv, &e.b, sizeof e.b);
    conc_future *sender = start_send(e.b, LARGE, 1, CONC_FOREVER);
    UNTIL(blocked_on("recvmsg") == 1 && blocked_on("sendmsg") == 1);
    conc_pipe_free(e.a);
    CHECK_EQUAL(end_of(receiver), -ENODATA);
    CHECK_EQUAL(end_of(sender), -EPIPE);
    conc_pipe_free(e.b);
}

/* An end, and a bare socket at the other. */
static conc_pipe *against_socket(int *fd)
{
    conc_pipe *end;
    int fds[2];
    make_sockets(SOCK_STREAM, fds);
    CHECK_EQUAL(conc_pipe_new_from_fd(&end, fds[0]), 0);
    *fd = fds[1];
    return end;
}

static void check_fails(const void *sent, size_t n, int err, const char *message)
{
    conc_bytes m;
    int fd;
    conc_pipe *end = against_socket(&fd);
    conc_pipe_set_limit(end, 1000);
    CHECK_EQUAL(conc_sendall(fd, sent, n, 0, CONC_FOREVER), 0);
    CHECK_EQUAL(conc_close(fd), 0);
    CHECK_EQUAL(conc_pipe_recv(end, &m, CONC_FOREVER), err);
    CHECK(!strcmp(conc_error_message(), message));
    CHECK_EQUAL(conc_pipe_recv(end, &m, CONC_FOREVER), err);
    conc_pipe_free(end);
}

static void test_what_is_no_message_is_refused(void)
{
    struct {
        struct pipe_header header;
        char body[8];
    } m = {.header = {PIPE_MAGIC, 0, 1001}};
    check_fails(&m, sizeof m, -EMSGSIZE,
                "a message of 1001 bytes, of which at most 1000 are taken");
    m.header.size = UINT64_MAX;
    check_fails(&m, sizeof m, -EMSGSIZE,
                "a message of 18446744073709551615 bytes, of which at most 1000 are taken");
    m.header.size = 1000;
    check_fails(&m, sizeof m, -ECONNRESET,
                "the pipe was closed after 8 of 1000 bytes of a message");
    check_fails(&m, 7, -ECONNRESET,
                "the pipe was closed after 7 of 16 bytes of a message's header");
    m.header.n_fds = CONC_PIPE_FDS_MAX + 1;
    check_fails(&m, sizeof m, -EBADMSG, "what came through the pipe is no message");
    check_fails("GET / HTTP/1.1\r\n\r\n", 18, -EBADMSG, "what came through the pipe is no message");
}

static void test_message_can_come_byte_by_byte(void)
{
    struct {
        struct pipe_header header;
        char body[8];
    } m = {.header = {PIPE_MAGIC, 0, 8}, .body = "abcdefg"};
    conc_bytes got;
    int fd;
    conc_pipe *end = against_socket(&fd);
    for (size_t i = 0; i < sizeof m; i++) {
        CHECK_EQUAL(conc_pipe_recv(end, &got, CONC_NOW), -EAGAIN);
        CHECK_EQUAL(conc_sendall(fd, (char *)&m + i, 1, 0, CONC_FOREVER), 0);
    }
    CHECK_EQUAL(conc_pipe_recv(end, &got, CONC_NOW), 0);
    CHECK(got.size == 8 && !strcmp(got.data, "abcdefg"));
    conc_bytes_free(&got);
    CHECK_EQUAL(conc_close(fd), 0);
    conc_pipe_free(end);
}

static void test_recv_without_memory_can_be_repeated(void)
{
    struct ends e = make_ends();
    conc_bytes m;
    CHECK_EQUAL(conc_pipe_send(e.a, "hello", 6, CONC_FOREVER), 0);
    fail_alloc(1);
    CHECK_EQUAL(conc_pipe_recv(e.b, &m, CONC_FOREVER), -ENOMEM);
    CHECK(alloc_has_failed());
    fail_alloc(0);
    CHECK_EQUAL(conc_pipe_recv(e.b, &m, CONC_FOREVER), 0);
    CHECK(m.size == 6 && !strcmp(m.data, "hello"));
    conc_bytes_free(&m);
    close_ends(e);
}

/* ---- Descriptors ---- */

/* What is written to one of them arrives. */
static void check_leads_to(int to, int from)
{
    char c = 0;
    CHECK_EQUAL(conc_write(to, "!", 1, CONC_FOREVER), 1);
    CHECK_EQUAL(conc_read(from, &c, 1, CONC_FOREVER), 1);
    CHECK_EQUAL(c, '!');
    CHECK(fcntl(to, F_GETFD) & FD_CLOEXEC);
}

static void test_descriptors_arrive_with_their_message(void)
{
    struct ends e = make_ends();
    int one[2], other[2], got[CONC_PIPE_FDS_MAX];
    size_t n = 77;
    conc_bytes m;
    make_pipe(one);
    make_pipe(other);
    CHECK_EQUAL(conc_pipe_send(e.a, "plain", 5, CONC_FOREVER), 0);
    CHECK_EQUAL(conc_pipe_send_fds(e.a, "two", 3, (int[]){one[1], other[1]}, 2, CONC_FOREVER), 0);
    CHECK_EQUAL(conc_pipe_send_fds(e.a, NULL, 0, &other[1], 1, CONC_FOREVER), 0);
    CHECK_EQUAL(conc_pipe_send_fds(e.a, "unwanted", 8, &other[1], 1, CONC_FOREVER), 0);
    CHECK_EQUAL(conc_pipe_recv_fds(e.b, &m, got, &n, CONC_FOREVER), 0);
    CHECK(m.size == 5 && n == 0);
    conc_bytes_free(&m);
    CHECK_EQUAL(conc_pipe_recv_fds(e.b, &m, got, &n, CONC_FOREVER), 0);
    CHECK(m.size == 3 && n == 2);
    conc_bytes_free(&m);
    check_leads_to(got[0], one[0]);
    check_leads_to(got[1], other[0]);
    close_both(got);
    CHECK_EQUAL(conc_pipe_recv_fds(e.b, &m, got, &n, CONC_FOREVER), 0);
    CHECK(m.size == 0 && n == 1);
    check_leads_to(got[0], other[0]);
    CHECK_EQUAL(conc_close(got[0]), 0);
    CHECK_EQUAL(conc_pipe_recv(e.b, &m, CONC_FOREVER), 0); /* they are closed: see the teardown */
    conc_bytes_free(&m);
    CHECK_EQUAL(conc_pipe_send_fds(e.a, "never read", 10, &other[1], 1, CONC_FOREVER), 0);
    CHECK_EQUAL(conc_pipe_poll(e.b, CONC_FOREVER), 0);
    CHECK_EQUAL(conc_pipe_recv_into(e.b, NULL, 0, CONC_FOREVER), -ENOBUFS);
    close_both(one);
    close_both(other);
    close_ends(e);
}

static void test_descriptors_for_which_there_is_no_room_are_reported(void)
{
    struct ends e = make_ends();
    int got[CONC_PIPE_FDS_MAX];
    size_t n;
    conc_bytes m;
    CHECK_EQUAL(conc_pipe_send_fds(e.a, "x", 1, (int[]){0, 1}, 2, CONC_FOREVER), 0);
    CHECK_EQUAL(conc_pipe_send(e.a, "next", 4, CONC_FOREVER), 0);
    limit_descriptors(1);
    int err = conc_pipe_recv_fds(e.b, &m, got, &n, CONC_FOREVER);
    limit_descriptors(0);
    CHECK_EQUAL(err, -EMFILE);
    CHECK_EQUAL(conc_pipe_recv_fds(e.b, &m, got, &n, CONC_FOREVER), 0);
    CHECK(m.size == 4 && n == 0);
    conc_bytes_free(&m);
    CHECK_EQUAL(conc_pipe_send_fds(e.a, "x", 1, (int[]){999}, 1, CONC_FOREVER), -EBADF);
    CHECK_EQUAL(conc_pipe_send_fds(e.a, "x", 1, got, CONC_PIPE_FDS_MAX + 1, CONC_FOREVER), -EINVAL);
    CHECK_EQUAL(conc_pipe_send_fds(e.a, "x", 1, NULL, 1, CONC_FOREVER), -EINVAL);
    close_ends(e);
}

/* ---- Making ---- */

static void test_making_one_fails_cleanly(void)
{
    conc_pipe *a, *b;
    int fds[2];
    CHECK_EQUAL(conc_pipe_new(NULL, &b), -EINVAL);
    CHECK_EQUAL(conc_pipe_new(&a, NULL), -EINVAL);
    for (int i = 1; i <= 2; i++) {
        fail_alloc(i);
        CHECK_EQUAL(conc_pipe_new(&a, &b), -ENOMEM);
        CHECK(alloc_has_failed());
    }
    fail_alloc(0);
    make_pipe(fds);
    CHECK_EQUAL(conc_pipe_new_from_fd(&a, fds[0]), -EINVAL);
    close_both(fds);
    make_sockets(SOCK_SEQPACKET, fds);
    CHECK_EQUAL(conc_pipe_new_from_fd(&a, fds[0]), -EINVAL);
    CHECK_EQUAL(conc_pipe_new_from_fd(NULL, fds[0]), -EINVAL);
    close_both(fds);
    CHECK_EQUAL(conc_pipe_new_from_fd(&a, 999), -EBADF);
    limit_descriptors(1);
    int err = conc_pipe_new(&a, &b);
    limit_descriptors(0);
    CHECK_EQUAL(err, -EMFILE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        ON_EVERY_WAY(test_messages_of_all_sizes_arrive_whole_and_in_order),
        ON_EVERY_WAY(test_many_small_messages_are_kept_apart),
        ON_WAY(test_message_of_a_hundred_megabytes_arrives, ON_THREADS, "threads"),
        ON_EVERY_WAY(test_recv_into_needs_room_and_loses_nothing),
        ON_EVERY_WAY(test_several_senders_never_mix_their_messages),
        ON_EVERY_WAY(test_recv_with_nothing_there_keeps_its_deadline),
        ON_EVERY_WAY(test_recv_cut_short_goes_on_where_it_was),
        ON_EVERY_WAY(test_send_cut_short_is_finished_by_a_flush),
        ON_EVERY_WAY(test_rest_that_cannot_be_kept_closes_the_direction),
        ON_EVERY_WAY(test_end_comes_behind_the_last_message),
        ON_EVERY_WAY(test_end_reaches_those_who_wait),
        ON_EVERY_WAY(test_what_is_no_message_is_refused),
        ON_EVERY_WAY(test_message_can_come_byte_by_byte),
        ON_EVERY_WAY(test_recv_without_memory_can_be_repeated),
        ON_EVERY_WAY(test_descriptors_arrive_with_their_message),
        ON_EVERY_WAY(test_descriptors_for_which_there_is_no_room_are_reported),
        ON_EVERY_WAY(test_making_one_fails_cleanly),
    };
    watchdog_start(60);
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    watchdog_stop();
    return failed;
}
