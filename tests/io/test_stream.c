/* SPDX-License-Identifier: MIT
 *
 * test_stream.c: streams: making them, and reading; on threads and on tasks. Writing is in
 * test_stream_write.c.
 */
#include "ways.h"

#include <stdlib.h>
#include <string.h>

#include <conc/io.h>
#include <conc/net.h>
#include <conc/stream.h>

#define SOON conc_in(CONC_MS(20))

/* A stream over one end of a socket pair, and the peer's descriptor. */
struct line {
    conc_stream *stream;
    int peer;
};

static struct line open_line(size_t read_limit)
{
    const conc_stream_options options = {.read_limit = read_limit};
    struct line l;
    int fds[2];
    make_sockets(SOCK_STREAM, fds);
    CHECK_EQUAL(conc_stream_new(&l.stream, fds[0], &options), 0);
    CHECK_EQUAL(conc_stream_fd(l.stream), fds[0]);
    l.peer = fds[1];
    return l;
}

static void hang_up(struct line *l)
{
    if (l->peer >= 0)
        CHECK_EQUAL(conc_close(l->peer), 0);
    l->peer = -1;
}

static void close_line(struct line *l)
{
    hang_up(l);
    CHECK_EQUAL(conc_stream_close(l->stream, CONC_FOREVER), 0);
}

static void say(const struct line *l, const char *text)
{
    CHECK_EQUAL(conc_sendall(l->peer, text, strlen(text), 0, CONC_FOREVER), 0);
}

/* Reads, and is it this? */
static void check_reads(conc_stream *s, const char *text)
{
    char buf[64];
    const size_t n = strlen(text);
    CHECK_EQUAL(conc_stream_read(s, buf, sizeof buf, conc_in(CONC_S(30))), n);
    CHECK(!memcmp(buf, text, n));
}

static void check_line(conc_stream *s, const char *text)
{
    char *line;
    CHECK_EQUAL(conc_stream_read_line(s, &line, conc_in(CONC_S(30))), strlen(text));
    CHECK(!strcmp(line, text));
}

/* ---- Some ---- */

static void test_read_when_there_is_something_gives_it(void)
{
    struct line l = open_line(0);
    char buf[4];
    say(&l, "abcdefg");
    CHECK_EQUAL(conc_stream_read(l.stream, buf, 3, CONC_FOREVER), 3);
    CHECK(!memcmp(buf, "abc", 3));
    CHECK_EQUAL(conc_stream_read(l.stream, buf, 0, CONC_FOREVER), 0);
    check_reads(l.stream, "defg");
    close_line(&l);
}

static void test_read_when_there_is_nothing_waits_no_longer_than_asked(void)
{
    struct line l = open_line(0);
    char buf[4];
    CHECK_EQUAL(conc_stream_read(l.stream, buf, 4, CONC_NOW), -EAGAIN);
    CHECK_EQUAL(conc_stream_read(l.stream, buf, 4, SOON), -ETIMEDOUT);
    say(&l, "abc");
    check_reads(l.stream, "abc");
    close_line(&l);
}

static void test_read_at_the_end_gives_0_again_and_again(void)
{
    struct line l = open_line(0);
    char buf[8192], *line;
    say(&l, "abc");
    hang_up(&l);
    check_reads(l.stream, "abc");
    CHECK_EQUAL(conc_stream_read(l.stream, buf, 4, CONC_FOREVER), 0);
    CHECK_EQUAL(conc_stream_read(l.stream, buf, sizeof buf, CONC_FOREVER), 0);
    CHECK_EQUAL(conc_stream_read_line(l.stream, &line, CONC_FOREVER), 0);
    CHECK_EQUAL(conc_stream_read_until(l.stream, "x", 1, &line, CONC_FOREVER), 0);
    CHECK_EQUAL(conc_stream_read_exactly(l.stream, buf, 0, CONC_FOREVER), 0);
    close_line(&l);
}

static void test_read_when_the_caller_is_cancelled_takes_nothing(void)
{
    struct line l = open_line(0);
    conc_scope scope;
    char buf[4], *line;
    say(&l, "abc\n");
    conc_scope_enter(&scope, CONC_FOREVER);
    conc_scope_cancel(&scope);
    CHECK_EQUAL(conc_stream_read(l.stream, buf, 4, CONC_FOREVER), -ECANCELED);
    CHECK_EQUAL(conc_stream_read_exactly(l.stream, buf, 4, CONC_FOREVER), -ECANCELED);
    CHECK_EQUAL(conc_stream_read_line(l.stream, &line, CONC_FOREVER), -ECANCELED);
    CHECK_EQUAL(conc_stream_read(l.stream, buf, 1, CONC_NOW), 1); /* no cancellation point */
    CHECK_EQUAL(conc_scope_exit(&scope), -ECANCELED);
    check_line(l.stream, "bc\n");
    close_line(&l);
}

/* ---- Just so many ---- */

static void test_read_exactly_when_ended_early_keeps_what_has_come(void)
{
    struct line l = open_line(0);
    conc_scope scope;
    char buf[6] = "......";
    say(&l, "ab");
    CHECK_EQUAL(conc_stream_read_exactly(l.stream, buf, 6, SOON), -ETIMEDOUT);
    CHECK_EQUAL(conc_stream_read_exactly(l.stream, buf, 6, CONC_NOW), -EAGAIN);
    say(&l, "cd");
    conc_scope_enter(&scope, SOON);
    CHECK_EQUAL(conc_stream_read_exactly(l.stream, buf, 6, CONC_FOREVER), -ECANCELED);
    CHECK_EQUAL(conc_scope_exit(&scope), -ETIMEDOUT);
    CHECK(!memcmp(buf, "......", 6));
    say(&l, "efgh");
    CHECK_EQUAL(conc_stream_read_exactly(l.stream, buf, 6, CONC_FOREVER), 0);
    CHECK(!memcmp(buf, "abcdef", 6));
    check_reads(l.stream, "gh");
    close_line(&l);
}

static void test_read_exactly_when_the_end_comes_before_keeps_what_has_come(void)
{
    struct line l = open_line(0);
    char buf[6];
    say(&l, "abc");
    hang_up(&l);
    CHECK_EQUAL(conc_stream_read_exactly(l.stream, buf, 6, CONC_FOREVER), -ENODATA);
    CHECK(!strcmp(conc_error_message(), "the end came after 3 of 6 bytes"));
    CHECK_EQUAL(conc_stream_read_exactly(l.stream, buf, 6, CONC_FOREVER), -ENODATA);
    CHECK_EQUAL(conc_stream_read_exactly(l.stream, buf, 3, CONC_FOREVER), 0);
    CHECK(!memcmp(buf, "abc", 3));
    CHECK_EQUAL(conc_stream_read_exactly(l.stream, buf, 1, CONC_FOREVER), -ENODATA);
    close_line(&l);
}

enum { LARGE = 1 << 20 };

static int job_send_large(void *arg, void *result)
{
    unsigned char *bytes = malloc(LARGE);
    CHECK(bytes != NULL);
    fill(bytes, LARGE, 3);
    int err = conc_sendall(*(int *)arg, bytes, LARGE, 0, CONC_FOREVER);
    free(bytes);
    return err;
}

static void test_read_exactly_of_more_than_the_limit_gives_it(void)
{
    struct line l = open_line(1000);
    unsigned char *bytes = malloc(LARGE);
    CHECK(bytes != NULL);
    conc_future *sender = start(job_send_large, &l.peer, sizeof l.peer);
    CHECK_EQUAL(conc_stream_read_exactly(l.stream, bytes, LARGE, CONC_FOREVER), 0);
    CHECK(is_filled(bytes, LARGE, 3));
    CHECK_EQUAL(end_of(sender), 0);
    say(&l, "abc");
    check_reads(l.stream, "abc");
    free(bytes);
    close_line(&l);
}

/* ---- Up to a delimiter ---- */

static void test_read_until_gives_the_piece_and_the_delimiter(void)
{
    struct line l = open_line(0);
    char *piece;
    say(&l, "ab--c---d");
    CHECK_EQUAL(conc_stream_read_until(l.stream, "--", 2, &piece, CONC_FOREVER), 4);
    CHECK(!memcmp(piece, "ab--", 4));
    CHECK_EQUAL(conc_stream_read_until(l.stream, "--", 2, &piece, CONC_FOREVER), 3);
    CHECK(!memcmp(piece, "c--", 3));
    CHECK_EQUAL(conc_stream_read_until(l.stream, "--", 2, &piece, SOON), -ETIMEDOUT);
    hang_up(&l);
    CHECK_EQUAL(conc_stream_read_until(l.stream, "--", 2, &piece, CONC_FOREVER), -ENODATA);
    CHECK(!strcmp(conc_error_message(), "the end came after 2 bytes, before the delimiter"));
    check_reads(l.stream, "-d");
    CHECK_EQUAL(conc_stream_read_until(l.stream, "--", 2, &piece, CONC_FOREVER), 0);
    close_line(&l);
}

static void test_read_until_when_the_limit_is_reached_fails_and_keeps_the_bytes(void)
{
    struct line l = open_line(8);
    char *piece;
    say(&l, "1234567\n12345678\n");
    CHECK_EQUAL(conc_stream_read_until(l.stream, "\n", 1, &piece, CONC_FOREVER), 8);
    for (int i = 0; i < 2; i++) {
        CHECK_EQUAL(conc_stream_read_line(l.stream, &piece, CONC_FOREVER), -EMSGSIZE);
        CHECK(!strcmp(conc_error_message(), "no delimiter in 8 bytes, the read limit"));
    }
    check_reads(l.stream, "12345678");
    check_line(l.stream, "\n");
    close_line(&l);
}

/* A piece that is too long, but all there: as when more was read exactly than the limit. */
static void test_read_until_behind_a_large_piece_keeps_to_the_limit(void)
{
    struct line l = open_line(4);
    char buf[9], *piece;
    say(&l, "12345678\n");
    CHECK_EQUAL(conc_stream_read_exactly(l.stream, buf, 10, SOON), -ETIMEDOUT);
    CHECK_EQUAL(conc_stream_read_line(l.stream, &piece, CONC_FOREVER), -EMSGSIZE);
    CHECK_EQUAL(conc_stream_read_exactly(l.stream, buf, 5, CONC_FOREVER), 0);
    check_line(l.stream, "678\n");
    close_line(&l);
}

static void test_read_line_gives_lines_that_end_with_a_zero(void)
{
    struct line l = open_line(0);
    char *line;
    say(&l, "one\n\ntwo\r\nthree");
    CHECK_EQUAL(conc_stream_read_line(l.stream, &line, CONC_FOREVER), 4);
    CHECK(!strcmp(line, "one\n"));
    memset(line, 'x', 4); /* the line is the caller's to change */
    check_line(l.stream, "\n");
    check_line(l.stream, "two\r\n");
    hang_up(&l);
    check_line(l.stream, "three");
    CHECK_EQUAL(conc_stream_read_line(l.stream, &line, CONC_FOREVER), 0);
    close_line(&l);
}

static void test_read_after_a_line_misses_nothing(void)
{
    struct line l = open_line(0);
    char buf[2];
    say(&l, "a\nbc\nd\nef\n");
    check_line(l.stream, "a\n");
    CHECK_EQUAL(conc_stream_read_exactly(l.stream, buf, 2, CONC_FOREVER), 0);
    CHECK(!memcmp(buf, "bc", 2));
    check_line(l.stream, "\n");
    check_line(l.stream, "d\n");
    check_reads(l.stream, "ef\n");
    close_line(&l);
}

/* A last line that fills the buffer to its last byte has its zero behind it. */
static void test_read_line_of_a_full_buffer_ends_with_a_zero(void)
{
    struct line l = open_line(4096);
    char text[4096], *line;
    memset(text, 'a', 4095);
    text[4095] = '\0';
    for (int i = 0; i < 2; i++) {
        say(&l, text);
        say(&l, "\n");
        CHECK_EQUAL(conc_stream_read_line(l.stream, &line, CONC_FOREVER), 4096);
        CHECK_EQUAL(strlen(line), 4096);
    }
    close_line(&l);
}

static void test_read_until_with_bad_arguments_is_refused(void)
{
    struct line l = open_line(0);
    char *piece;
    CHECK_EQUAL(conc_stream_read_until(l.stream, NULL, 1, &piece, CONC_FOREVER), -EINVAL);
    CHECK_EQUAL(conc_stream_read_until(l.stream, "x", 0, &piece, CONC_FOREVER), -EINVAL);
    CHECK_EQUAL(conc_stream_read_until(l.stream, "x", 1, NULL, CONC_FOREVER), -EINVAL);
    CHECK_EQUAL(conc_stream_read_line(l.stream, NULL, CONC_FOREVER), -EINVAL);
    close_line(&l);
}

/* ---- In pieces of any size ---- */

enum { TEXT = 20000 };

struct chopper {
    int fd;
    const char *text;
    unsigned index;
};

/* Sends the text in pieces of random sizes, so that they arrive as they like. */
static int job_chop(void *arg, void *result)
{
    const struct chopper *c = arg;
    struct test_random r = test_random_for(c->index);
    for (size_t done = 0; done < TEXT;) {
        size_t n = 1 + test_random_below(&r, test_random_below(&r, 8) ? 7 : 600);
        if (n > TEXT - done)
            n = TEXT - done;
        CHECK_EQUAL(conc_sendall(c->fd, c->text + done, n, 0, CONC_FOREVER), 0);
        done += n;
        if (test_random_below(&r, 4) == 0)
            conc_yield();
    }
    return conc_shutdown(c->fd, SHUT_WR);
}

/* The next piece, read in one of several ways; each must be what the text says. Gives its
 * length. */
static size_t read_piece(conc_stream *s, const char *text, size_t left, struct test_random *r)
{
    static const char *const delimiters[] = {"\n", "ab", "aab", "abab\n"};
    char buf[700], *piece = buf;
    const char *delimiter = delimiters[test_random_below(r, 4)];
    const size_t size = strlen(delimiter);
    const char *end = memmem(text, left, delimiter, size);
    size_t expected = end ? (size_t)(end - text) + size : left;
    ssize_t n;
    switch (test_random_below(r, 3)) {
    case 0:
        n = conc_stream_read_until(s, delimiter, size, &piece, CONC_FOREVER);
        if (!end) {
            CHECK_EQUAL(n, -ENODATA);
            return 0;
        }
        break;
    case 1:
        expected = 1 + test_random_below(r, left < sizeof buf ? left : sizeof buf);
        CHECK_EQUAL(conc_stream_read_exactly(s, buf, expected, CONC_FOREVER), 0);
        n = (ssize_t)expected;
        break;
    default:
        n = conc_stream_read(s, buf, 1 + test_random_below(r, sizeof buf), CONC_FOREVER);
        CHECK(n > 0 && (size_t)n <= left);
        expected = (size_t)n;
    }
    CHECK_EQUAL(n, expected);
    CHECK(!memcmp(piece, text, expected));
    return expected;
}

static void test_pieces_however_they_come_are_what_was_sent(void)
{
    char *text = malloc(TEXT);
    CHECK(text != NULL);
    for (unsigned round = 0; round < 10; round++) {
        struct line l = open_line(TEXT);
        struct test_random r = test_random_for(100 + round);
        for (size_t i = 0; i < TEXT; i++)
            text[i] = "aaabbb\n"[test_random_below(&r, 7)];
        const struct chopper c = {l.peer, text, round};
        conc_future *sender = start(job_chop, &c, sizeof c);
        for (size_t done = 0; done < TEXT;)
            done += read_piece(l.stream, text + done, TEXT - done, &r);
        CHECK_EQUAL(end_of(sender), 0);
        CHECK_EQUAL(conc_stream_read(l.stream, text, 1, CONC_FOREVER), 0);
        close_line(&l);
    }
    free(text);
}

/* ---- Errors ---- */

static void reset(int fd)
{
    const struct linger at_once = {.l_onoff = 1, .l_linger = 0};
    CHECK_EQUAL(setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once), 0);
    CHECK_EQUAL(conc_close(fd), 0);
}

static void test_read_when_the_peer_resets_gives_the_rest_and_then_the_error(void)
{
    conc_stream *s;
    int fds[2];
    char buf[4], *line;
    make_tcp(fds);
    CHECK_EQUAL(conc_stream_new(&s, fds[0], NULL), 0);
    CHECK_EQUAL(conc_sendall(fds[1], "abc\ndef", 7, 0, CONC_FOREVER), 0);
    check_line(s, "abc\n");
    reset(fds[1]);
    CHECK_EQUAL(conc_stream_read_line(s, &line, CONC_FOREVER), -ECONNRESET);
    check_reads(s, "def");
    for (int i = 0; i < 2; i++)
        CHECK_EQUAL(conc_stream_read(s, buf, 4, CONC_FOREVER), -ECONNRESET);
    CHECK_EQUAL(conc_stream_read_exactly(s, buf, 1, CONC_FOREVER), -ECONNRESET);
    CHECK_EQUAL(conc_stream_close(s, CONC_FOREVER), 0);
}

static int job_read_line(void *arg, void *result)
{
    char *line;
    ssize_t n = conc_stream_read_line(*(conc_stream **)arg, &line, CONC_FOREVER);
    return n < 0 ? (int)n : 0;
}

static void test_read_while_another_reads_is_busy(void)
{
    struct line l = open_line(0);
    char buf[4], *line;
    conc_future *reader = start(job_read_line, &l.stream, sizeof l.stream);
    UNTIL(blocked_on("recv") == 1);
    CHECK_EQUAL(conc_stream_read(l.stream, buf, 4, CONC_FOREVER), -EBUSY);
    CHECK_EQUAL(conc_stream_read_exactly(l.stream, buf, 4, CONC_FOREVER), -EBUSY);
    CHECK_EQUAL(conc_stream_read_line(l.stream, &line, CONC_NOW), -EBUSY);
    say(&l, "abc\ndef");
    CHECK_EQUAL(end_of(reader), 0);
    check_reads(l.stream, "def");
    close_line(&l);
}

static void test_read_when_memory_runs_out_loses_nothing(void)
{
    struct line l = open_line(0);
    char big[6000], *line;
    memset(big, 'a', sizeof big - 1);
    big[sizeof big - 1] = '\0';
    say(&l, big);
    say(&l, "\n");
    for (int n = 1;; n++) {
        fail_alloc(n);
        ssize_t got = conc_stream_read_line(l.stream, &line, conc_in(CONC_S(30)));
        bool failed = alloc_has_failed();
        fail_alloc(0);
        if (got > 0) {
            CHECK(!failed);
            CHECK_EQUAL(got, sizeof big);
            break;
        }
        CHECK_EQUAL(got, -ENOMEM);
    }
    CHECK(!strncmp(line, big, sizeof big - 1));
    close_line(&l);
}

/* ---- Pipes, and making streams ---- */

static void test_stream_of_a_pipe_reads(void)
{
    conc_stream *s;
    char *line;
    int fds[2];
    make_pipe(fds);
    CHECK_EQUAL(conc_stream_new(&s, fds[0], NULL), 0);
    CHECK_EQUAL(conc_stream_read_line(s, &line, SOON), -ETIMEDOUT);
    CHECK_EQUAL(conc_write_all(fds[1], "abc\nde", 6, CONC_FOREVER), 0);
    CHECK_EQUAL(conc_close(fds[1]), 0);
    check_line(s, "abc\n");
    check_line(s, "de");
    CHECK_EQUAL(conc_stream_read_line(s, &line, CONC_FOREVER), 0);
    CHECK_EQUAL(conc_stream_close(s, CONC_FOREVER), 0);
}

static void test_new_with_bad_arguments_takes_nothing(void)
{
    conc_stream *s = NULL;
    int fds[2];
    make_sockets(SOCK_STREAM, fds);
    CHECK_EQUAL(conc_stream_new(NULL, fds[0], NULL), -EINVAL);
    CHECK_EQUAL(conc_stream_new(&s, -1, NULL), -EBADF);
    fail_alloc(1);
    CHECK_EQUAL(conc_stream_new(&s, fds[0], NULL), -ENOMEM);
    CHECK(alloc_has_failed() && s == NULL);
    fail_alloc(0);
    close_both(fds); /* still there */
    CHECK_EQUAL(conc_stream_close(NULL, CONC_FOREVER), 0);
    conc_stream_abort(NULL);
}

static void test_connect_gives_a_stream_or_says_why_not(void)
{
    conc_stream *s = NULL;
    int listener = conc_tcp_listen(own_host(), 0, 0);
    const uint16_t port = (uint16_t)conc_tcp_port(listener);
    CHECK_EQUAL(conc_stream_connect(NULL, own_host(), port, NULL, CONC_FOREVER), -EINVAL);
    CHECK_EQUAL(conc_stream_connect(&s, own_host(), port, NULL, CONC_FOREVER), 0);
    int peer = conc_accept(listener, NULL, NULL, CONC_FOREVER);
    CHECK_EQUAL(conc_sendall(peer, "abc", 3, 0, CONC_FOREVER), 0);
    check_reads(s, "abc");
    CHECK_EQUAL(conc_close(peer), 0);
    CHECK_EQUAL(conc_stream_close(s, CONC_FOREVER), 0);
    CHECK_EQUAL(conc_close(listener), 0);
    CHECK_EQUAL(conc_stream_connect(&s, own_host(), port, NULL, CONC_FOREVER), -ECONNREFUSED);
}

static const struct CMUnitTest tests[] = {
    ON_EVERY_WAY(test_read_when_there_is_something_gives_it),
    ON_EVERY_WAY(test_read_when_there_is_nothing_waits_no_longer_than_asked),
    ON_EVERY_WAY(test_read_at_the_end_gives_0_again_and_again),
    ON_EVERY_WAY(test_read_when_the_caller_is_cancelled_takes_nothing),
    ON_EVERY_WAY(test_read_exactly_when_ended_early_keeps_what_has_come),
    ON_EVERY_WAY(test_read_exactly_when_the_end_comes_before_keeps_what_has_come),
    ON_EVERY_WAY(test_read_exactly_of_more_than_the_limit_gives_it),
    ON_EVERY_WAY(test_read_until_gives_the_piece_and_the_delimiter),
    ON_EVERY_WAY(test_read_until_when_the_limit_is_reached_fails_and_keeps_the_bytes),
    ON_EVERY_WAY(test_read_until_behind_a_large_piece_keeps_to_the_limit),
    ON_EVERY_WAY(test_read_line_gives_lines_that_end_with_a_zero),
    ON_EVERY_WAY(test_read_after_a_line_misses_nothing),
    ON_EVERY_WAY(test_read_line_of_a_full_buffer_ends_with_a_zero),
    ON_EVERY_WAY(test_read_until_with_bad_arguments_is_refused),
    ON_EVERY_WAY(test_pieces_however_they_come_are_what_was_sent),
    ON_EVERY_WAY(test_read_when_the_peer_resets_gives_the_rest_and_then_the_error),
    ON_EVERY_WAY(test_read_while_another_reads_is_busy),
    ON_EVERY_WAY(test_read_when_memory_runs_out_loses_nothing),
    ON_EVERY_WAY(test_stream_of_a_pipe_reads),
    ON_EVERY_WAY(test_new_with_bad_arguments_takes_nothing),
    ON_EVERY_WAY(test_connect_gives_a_stream_or_says_why_not),
};

TEST_MAIN(tests, 60)
