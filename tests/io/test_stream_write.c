/* SPDX-License-Identifier: MIT
 *
 * test_stream_write.c: writing to streams, and their end, on threads and on tasks.
 */
#include "ways.h"

#include <stdlib.h>
#include <string.h>

#include <conc/io.h>
#include <conc/net.h>
#include <conc/stream.h>

#include "io/stream_impl.h"

#define SOON conc_in(CONC_MS(20))

enum { LIMIT = 1000 };

/* A stream over one end of a connection whose buffers are as small as can be, and the peer. */
struct line {
    conc_stream *stream;
    int peer;
};

static struct line line_of(const int fds[2])
{
    const conc_stream_options options = {.write_limit = LIMIT};
    struct line l = {.peer = fds[1]};
    const int smallest = 1;
    CHECK_EQUAL(setsockopt(fds[0], SOL_SOCKET, SO_SNDBUF, &smallest, sizeof smallest), 0);
    CHECK_EQUAL(conc_stream_new(&l.stream, fds[0], &options), 0);
    return l;
}

static struct line open_line(void)
{
    int fds[2];
    make_sockets(SOCK_STREAM, fds);
    return line_of(fds);
}

static void hang_up(struct line *l)
{
    if (l->peer >= 0)
        CHECK_EQUAL(conc_close(l->peer), 0);
    l->peer = -1;
}

static void close_line(struct line *l)
{
    CHECK_EQUAL(conc_stream_close(l->stream, CONC_FOREVER), 0);
    hang_up(l);
}

static void check_hears(int peer, const char *text)
{
    char buf[64];
    const size_t n = strlen(text);
    CHECK_EQUAL(conc_recv(peer, buf, sizeof buf, 0, conc_in(CONC_S(30))), n);
    CHECK(!memcmp(buf, text, n));
}

static void check_hears_nothing(int peer)
{
    char byte;
    CHECK_EQUAL(conc_recv(peer, &byte, 1, 0, CONC_NOW), -EAGAIN);
}

static void check_hears_the_end(int peer)
{
    char byte;
    CHECK_EQUAL(conc_recv(peer, &byte, 1, 0, conc_in(CONC_S(30))), 0);
}

/* ---- Keeping and sending ---- */

static void test_write_keeps_until_the_flush(void)
{
    struct line l = open_line();
    CHECK_EQUAL(conc_stream_write(l.stream, "abc", 3, CONC_FOREVER), 0);
    CHECK_EQUAL(conc_stream_write(l.stream, "def", 3, CONC_NOW), 0);
    CHECK_EQUAL(conc_stream_write(l.stream, NULL, 0, CONC_FOREVER), 0);
    check_hears_nothing(l.peer);
    CHECK_EQUAL(conc_stream_flush(l.stream, CONC_FOREVER), 0);
    check_hears(l.peer, "abcdef");
    CHECK_EQUAL(conc_stream_flush(l.stream, CONC_NOW), 0);
    close_line(&l);
}

static void test_write_beyond_the_limit_sends(void)
{
    struct line l = open_line();
    char bytes[LIMIT];
    memset(bytes, 'a', sizeof bytes);
    CHECK_EQUAL(conc_stream_write(l.stream, bytes, LIMIT, CONC_FOREVER), 0);
    check_hears_nothing(l.peer);
    CHECK_EQUAL(conc_stream_write(l.stream, "b", 1, CONC_FOREVER), 0);
    CHECK_EQUAL(conc_recv(l.peer, bytes, LIMIT, 0, CONC_FOREVER), LIMIT);
    check_hears_nothing(l.peer);
    CHECK_EQUAL(conc_stream_flush(l.stream, CONC_FOREVER), 0);
    check_hears(l.peer, "b");
    close_line(&l);
}

static void test_write_of_more_than_the_limit_sends_at_once(void)
{
    struct line l = open_line();
    char bytes[LIMIT + 4];
    memset(bytes, 'a', sizeof bytes);
    CHECK_EQUAL(conc_stream_write(l.stream, "abc", 3, CONC_FOREVER), 0);
    CHECK_EQUAL(conc_stream_write(l.stream, bytes, LIMIT + 1, CONC_FOREVER), 0);
    for (size_t n = 0; n < sizeof bytes;) {
        ssize_t got = conc_recv(l.peer, bytes + n, sizeof bytes - n, 0, CONC_FOREVER);
        CHECK(got > 0);
        n += (size_t)got;
    }
    CHECK(!memcmp(bytes, "abcaaa", 6));
    check_hears_nothing(l.peer);
    close_line(&l);
}

static void test_printf_writes_texts_of_any_length(void)
{
    struct line l = open_line();
    char buf[2000], text[601];
    memset(text, 'x', 600);
    text[600] = '\0';
    CHECK_EQUAL(conc_stream_printf(l.stream, CONC_FOREVER, "%s %d\n", "abc", 7), 0);
    CHECK_EQUAL(conc_stream_printf(l.stream, CONC_FOREVER, "[%s]", text), 0);
    CHECK_EQUAL(conc_stream_flush(l.stream, CONC_FOREVER), 0);
    CHECK_EQUAL(conc_recv(l.peer, buf, sizeof buf, 0, CONC_FOREVER), 6 + 602);
    CHECK(!memcmp(buf, "abc 7\n[xxx", 10) && buf[6 + 601] == ']');
    close_line(&l);
}

/* ---- A peer that does not read ---- */

/* Write pieces until no more are taken; each of 100 bytes, filled by its number. Gives how many
 * were taken. */
static unsigned stuff(conc_stream *s, int expected)
{
    unsigned char piece[100];
    unsigned n = 0;
    for (;; n++) {
        fill(piece, sizeof piece, n);
        int err = conc_stream_write(s, piece, sizeof piece, SOON);
        if (err) {
            CHECK_EQUAL(err, expected);
            return n;
        }
    }
}

static void check_hears_pieces(int peer, unsigned n)
{
    unsigned char piece[100];
    for (unsigned i = 0; i < n; i++) {
        for (size_t got = 0; got < sizeof piece;) {
            ssize_t more = conc_recv(peer, piece + got, sizeof piece - got, 0, conc_in(CONC_S(30)));
            CHECK(more > 0);
            got += (size_t)more;
        }
        CHECK(is_filled(piece, sizeof piece, i));
    }
}

static int job_hear_pieces(void *arg, void *result)
{
    const int *peer_and_count = arg;
    check_hears_pieces(peer_and_count[0], (unsigned)peer_and_count[1]);
    return 0;
}

static void test_write_to_a_peer_that_does_not_read_waits_at_the_limit(void)
{
    struct line l = open_line();
    conc_scope scope;
    unsigned char piece[100];
    unsigned n = stuff(l.stream, -ETIMEDOUT);
    CHECK(n >= LIMIT / 100);
    CHECK(buffer_size(&l.stream->out) <= LIMIT && l.stream->out.room <= 5 * LIMIT);

    fill(piece, sizeof piece, n);
    CHECK_EQUAL(conc_stream_write(l.stream, piece, sizeof piece, CONC_NOW), -EAGAIN);
    CHECK_EQUAL(conc_stream_flush(l.stream, CONC_NOW), -EAGAIN);
    CHECK_EQUAL(conc_stream_flush(l.stream, SOON), -ETIMEDOUT);
    conc_scope_enter(&scope, SOON);
    CHECK_EQUAL(conc_stream_write(l.stream, piece, sizeof piece, CONC_FOREVER), -ECANCELED);
    CHECK_EQUAL(conc_stream_flush(l.stream, CONC_FOREVER), -ECANCELED);
    CHECK_EQUAL(conc_scope_exit(&scope), -ETIMEDOUT);

    int peer_and_count[2] = {l.peer, (int)n};
    conc_future *reader = start(job_hear_pieces, peer_and_count, sizeof peer_and_count);
    CHECK_EQUAL(conc_stream_flush(l.stream, CONC_FOREVER), 0);
    CHECK_EQUAL(end_of(reader), 0);
    check_hears_nothing(l.peer);
    close_line(&l);
}

enum { LARGE = 100000 };

/* What was sent of it cannot be taken back: so all of it is taken. */
static void test_write_of_much_when_its_deadline_comes_keeps_the_rest(void)
{
    struct line l = open_line();
    char *bytes = malloc(LARGE), *heard = malloc(LARGE);
    size_t n = 0;
    CHECK(bytes && heard);
    fill(bytes, LARGE, 7);
    CHECK_EQUAL(conc_stream_write(l.stream, bytes, LARGE, SOON), 0);
    CHECK(buffer_size(&l.stream->out) > LIMIT && buffer_size(&l.stream->out) < LARGE);
    CHECK_EQUAL(conc_stream_write(l.stream, bytes, LARGE, SOON), -ETIMEDOUT);
    CHECK_EQUAL(conc_stream_write(l.stream, bytes, 1, SOON), -ETIMEDOUT);
    while (n < LARGE) {
        conc_stream_flush(l.stream, CONC_NOW);
        ssize_t got = conc_recv(l.peer, heard + n, LARGE - n, 0, conc_in(CONC_S(30)));
        CHECK(got > 0);
        n += (size_t)got;
    }
    CHECK(is_filled(heard, LARGE, 7));
    CHECK_EQUAL(conc_stream_flush(l.stream, CONC_NOW), 0);
    CHECK(l.stream->out.bytes == NULL); /* what was only for the rest is given back */
    check_hears_nothing(l.peer);
    free(bytes);
    free(heard);
    close_line(&l);
}

static void test_write_when_there_is_no_memory_takes_nothing(void)
{
    struct line l = open_line();
    char *bytes = calloc(1, LARGE);
    CHECK(bytes != NULL);
    fail_alloc(1);
    CHECK_EQUAL(conc_stream_write(l.stream, "abc", 3, CONC_FOREVER), -ENOMEM);
    CHECK(alloc_has_failed());
    CHECK_EQUAL(conc_stream_write(l.stream, "def", 3, CONC_FOREVER), 0);
    CHECK_EQUAL(conc_stream_flush(l.stream, CONC_FOREVER), 0);
    check_hears(l.peer, "def");

    /* But where a part is on its way, and the rest cannot be kept, the stream is broken. */
    conc__buffer_free(&l.stream->out);
    if (!on_tasks()) { /* their waits allocate too */
        fail_alloc(1);
        CHECK_EQUAL(conc_stream_write(l.stream, bytes, LARGE, SOON), -ENOMEM);
        CHECK(alloc_has_failed());
        CHECK_EQUAL(conc_stream_write(l.stream, "a", 1, SOON), -ENOMEM);
        CHECK_EQUAL(conc_stream_flush(l.stream, SOON), -ENOMEM);
    }
    fail_alloc(0);
    free(bytes);
    close_line(&l);
}

/* ---- Each byte once, whatever happens ---- */

enum { TOTAL = 300000, MOST = 3 * LIMIT };

static unsigned char byte_at(size_t place) { return (unsigned char)(place * 7 + place / 253); }

static int job_read_at_leisure(void *arg, void *result)
{
    struct test_random r = test_random_for(1);
    unsigned char buf[3000];
    size_t place = 0;
    for (;;) {
        size_t n = 1 + test_random_below(&r, sizeof buf);
        ssize_t got = conc_recv(*(int *)arg, buf, n, 0, CONC_FOREVER);
        CHECK(got >= 0);
        if (got == 0)
            break;
        for (ssize_t i = 0; i < got; i++)
            CHECK(buf[i] == byte_at(place + (size_t)i));
        place += (size_t)got;
        if (test_random_below(&r, 8) == 0)
            CHECK_EQUAL(conc_sleep(CONC_US(50)), 0);
    }
    CHECK_EQUAL(place, TOTAL);
    return 0;
}

/* A write or flush, perhaps without success. */
static int disturbed_write(conc_stream *s, const void *buf, size_t n, struct test_random *r)
{
    const conc_deadline near = conc_in((int64_t)test_random_below(r, CONC_US(100)));
    conc_deadline deadline = CONC_FOREVER;
    conc_scope scope;
    conc_scope_enter(&scope, test_random_below(r, 3) ? CONC_FOREVER : near);
    switch (test_random_below(r, 3)) {
    case 0:
        deadline = CONC_NOW;
        break;
    case 1:
        deadline = near;
        break;
    }
    int err = buf ? conc_stream_write(s, buf, n, deadline) : conc_stream_flush(s, deadline);
    CHECK(!err || err == -EAGAIN || err == -ETIMEDOUT || err == -ECANCELED);
    conc_scope_exit(&scope);
    return err;
}

static void test_bytes_however_writes_are_ended_arrive_once(void)
{
    struct line l = open_line();
    struct test_random r = test_random_for(0);
    unsigned char buf[MOST];
    conc_future *reader = start(job_read_at_leisure, &l.peer, sizeof l.peer);
    for (size_t taken = 0; taken < TOTAL;) {
        size_t n = 1 + test_random_below(&r, test_random_below(&r, 8) ? 200 : MOST);
        n = n < TOTAL - taken ? n : TOTAL - taken;
        for (size_t i = 0; i < n; i++)
            buf[i] = byte_at(taken + i);
        if (!disturbed_write(l.stream, buf, n, &r))
            taken += n;
        memset(buf, 0xee, n);
        CHECK(buffer_size(&l.stream->out) < MOST);
        if (test_random_below(&r, 10) == 0)
            disturbed_write(l.stream, NULL, 0, &r);
    }
    CHECK_EQUAL(conc_stream_write_eof(l.stream, CONC_FOREVER), 0);
    CHECK_EQUAL(end_of(reader), 0);
    close_line(&l);
}

/* ---- Several writers, and a reader beside them ---- */

enum { WRITERS = 5, MESSAGES = 100, LONGEST = 2 * LIMIT };

struct writer {
    conc_stream *stream;
    int number;
};

/* Lines of one letter: some shorter than the limit, some longer. */
static int job_write_lines(void *arg, void *result)
{
    const struct writer *w = arg;
    struct test_random r = test_random_for(10 + (unsigned)w->number);
    char message[LONGEST + 1];
    for (int i = 0; i < MESSAGES; i++) {
        size_t n = 1 + test_random_below(&r, test_random_below(&r, 8) ? 100 : LONGEST);
        memset(message, 'a' + w->number, n);
        message[n] = '\n';
        CHECK_EQUAL(conc_stream_write(w->stream, message, n + 1, CONC_FOREVER), 0);
        if (test_random_below(&r, 4) == 0)
            CHECK_EQUAL(conc_stream_flush(w->stream, CONC_FOREVER), 0);
    }
    return conc_stream_flush(w->stream, CONC_FOREVER);
}

static void test_writes_of_several_stay_in_one_piece_each(void)
{
    struct line l = open_line();
    conc_future *writers[WRITERS];
    conc_stream *in;
    int counts[WRITERS] = {0};
    CHECK_EQUAL(conc_stream_new(&in, l.peer, NULL), 0);
    for (int i = 0; i < WRITERS; i++) {
        const struct writer w = {l.stream, i};
        writers[i] = start(job_write_lines, &w, sizeof w);
    }
    for (int i = 0; i < WRITERS * MESSAGES; i++) {
        char *line;
        ssize_t n = conc_stream_read_line(in, &line, CONC_FOREVER);
        CHECK(n > 1 && line[0] >= 'a' && line[0] < 'a' + WRITERS);
        CHECK_EQUAL(strspn(line, (const char[]){line[0], '\0'}), n - 1);
        counts[line[0] - 'a']++;
    }
    for (int i = 0; i < WRITERS; i++) {
        CHECK_EQUAL(counts[i], MESSAGES);
        CHECK_EQUAL(end_of(writers[i]), 0);
    }
    CHECK_EQUAL(conc_stream_close(in, CONC_FOREVER), 0);
    CHECK_EQUAL(conc_stream_close(l.stream, CONC_FOREVER), 0);
}

static int job_read_line(void *arg, void *result)
{
    char *line;
    CHECK_EQUAL(conc_stream_read_line(*(conc_stream **)arg, &line, CONC_FOREVER), 3);
    return 0;
}

static void test_write_while_another_reads_does_not_wait_for_it(void)
{
    struct line l = open_line();
    conc_future *reader = start(job_read_line, &l.stream, sizeof l.stream);
    UNTIL(blocked_on("recv") == 1);
    CHECK_EQUAL(conc_stream_write(l.stream, "abc", 3, CONC_NOW), 0);
    CHECK_EQUAL(conc_stream_flush(l.stream, CONC_NOW), 0);
    check_hears(l.peer, "abc");
    CHECK_EQUAL(conc_sendall(l.peer, "ab\n", 3, 0, CONC_FOREVER), 0);
    CHECK_EQUAL(end_of(reader), 0);
    close_line(&l);
}

/* ---- The end ---- */

static void test_write_when_the_peer_is_gone_fails_for_good(void)
{
    struct line l = open_line();
    char buf[8];
    CHECK_EQUAL(conc_sendall(l.peer, "abc", 3, 0, CONC_FOREVER), 0);
    hang_up(&l);
    CHECK_EQUAL(conc_stream_write(l.stream, "abc", 3, CONC_FOREVER), 0);
    for (int i = 0; i < 2; i++) {
        CHECK_EQUAL(conc_stream_flush(l.stream, CONC_FOREVER), -EPIPE);
        CHECK_EQUAL(conc_stream_write(l.stream, "abc", 3, CONC_FOREVER), -EPIPE);
    }
    CHECK_EQUAL(conc_stream_read(l.stream, buf, sizeof buf, CONC_FOREVER), 3);
    CHECK_EQUAL(conc_stream_close(l.stream, CONC_FOREVER), -EPIPE); /* bytes were lost */
}

static void test_stream_of_a_pipe_that_nobody_reads_fails(void)
{
    conc_stream *s;
    int fds[2];
    make_pipe(fds);
    CHECK_EQUAL(conc_stream_new(&s, fds[1], NULL), 0);
    CHECK_EQUAL(conc_stream_write_eof(s, CONC_FOREVER), -ENOTSOCK);
    CHECK_EQUAL(conc_stream_printf(s, CONC_FOREVER, "abc"), 0);
    CHECK_EQUAL(conc_stream_flush(s, CONC_FOREVER), 0);
    CHECK_EQUAL(conc_close(fds[0]), 0);
    CHECK_EQUAL(conc_stream_close(s, CONC_FOREVER), 0); /* nothing was lost that we know of */

    make_pipe(fds);
    CHECK_EQUAL(conc_stream_new(&s, fds[1], NULL), 0);
    CHECK_EQUAL(conc_close(fds[0]), 0);
    CHECK_EQUAL(conc_stream_printf(s, CONC_FOREVER, "abc"), 0);
    CHECK_EQUAL(conc_stream_close(s, CONC_FOREVER), -EPIPE);
}

static void test_write_eof_sends_the_end_and_reading_goes_on(void)
{
    int fds[2];
    make_tcp(fds);
    struct line l = line_of(fds);
    char buf[8];
    CHECK_EQUAL(conc_stream_write(l.stream, "abc", 3, CONC_FOREVER), 0);
    CHECK_EQUAL(conc_stream_write_eof(l.stream, CONC_FOREVER), 0);
    CHECK_EQUAL(conc_stream_write_eof(l.stream, CONC_FOREVER), 0);
    CHECK_EQUAL(conc_stream_write(l.stream, "abc", 3, CONC_FOREVER), -EPIPE);
    check_hears(l.peer, "abc");
    check_hears_the_end(l.peer);
    CHECK_EQUAL(conc_sendall(l.peer, "def", 3, 0, CONC_FOREVER), 0);
    CHECK_EQUAL(conc_stream_read(l.stream, buf, sizeof buf, CONC_FOREVER), 3);
    close_line(&l);
}

static void test_close_sends_the_rest(void)
{
    struct line l = open_line();
    CHECK_EQUAL(conc_stream_write(l.stream, "abc", 3, CONC_FOREVER), 0);
    CHECK_EQUAL(conc_stream_close(l.stream, CONC_FOREVER), 0);
    check_hears(l.peer, "abc");
    check_hears_the_end(l.peer);
    hang_up(&l);
}

static void test_close_when_the_peer_does_not_read_ends_with_its_deadline(void)
{
    struct line l = open_line();
    unsigned n = stuff(l.stream, -ETIMEDOUT);
    CHECK_EQUAL(conc_stream_close(l.stream, SOON), -ETIMEDOUT);
    check_hears_pieces(l.peer, n - LIMIT / 100); /* and then the end, perhaps within a piece */
    hang_up(&l);
}

static void test_close_when_the_caller_is_cancelled_closes(void)
{
    struct line l = open_line();
    conc_scope scope;
    CHECK_EQUAL(conc_stream_write(l.stream, "abc", 3, CONC_FOREVER), 0);
    conc_scope_enter(&scope, CONC_FOREVER);
    conc_scope_cancel(&scope);
    CHECK_EQUAL(conc_stream_close(l.stream, CONC_FOREVER), -ECANCELED);
    CHECK_EQUAL(conc_scope_exit(&scope), -ECANCELED);
    check_hears_the_end(l.peer);
    hang_up(&l);
}

static void test_abort_drops_the_rest(void)
{
    struct line l = open_line();
    CHECK_EQUAL(conc_stream_write(l.stream, "abc", 3, CONC_FOREVER), 0);
    conc_stream_abort(l.stream);
    check_hears_the_end(l.peer);
    hang_up(&l);
}

static const struct CMUnitTest tests[] = {
    ON_EVERY_WAY(test_write_keeps_until_the_flush),
    ON_EVERY_WAY(test_write_beyond_the_limit_sends),
    ON_EVERY_WAY(test_write_of_more_than_the_limit_sends_at_once),
    ON_EVERY_WAY(test_printf_writes_texts_of_any_length),
    ON_EVERY_WAY(test_write_to_a_peer_that_does_not_read_waits_at_the_limit),
    ON_EVERY_WAY(test_write_of_much_when_its_deadline_comes_keeps_the_rest),
    ON_EVERY_WAY(test_write_when_there_is_no_memory_takes_nothing),
    ON_EVERY_WAY(test_bytes_however_writes_are_ended_arrive_once),
    ON_EVERY_WAY(test_writes_of_several_stay_in_one_piece_each),
    ON_EVERY_WAY(test_write_while_another_reads_does_not_wait_for_it),
    ON_EVERY_WAY(test_write_when_the_peer_is_gone_fails_for_good),
    ON_EVERY_WAY(test_stream_of_a_pipe_that_nobody_reads_fails),
    ON_EVERY_WAY(test_write_eof_sends_the_end_and_reading_goes_on),
    ON_EVERY_WAY(test_close_sends_the_rest),
    ON_EVERY_WAY(test_close_when_the_peer_does_not_read_ends_with_its_deadline),
    ON_EVERY_WAY(test_close_when_the_caller_is_cancelled_closes),
    ON_EVERY_WAY(test_abort_drops_the_rest),
};

TEST_MAIN(tests, 60)
