/* SPDX-License-Identifier: MIT
 *
 * test_stream_turns.c: peers that answer each other: a read that has to wait sends what was written
 * before; and lines that are too long, which a reader throws away. On threads and on tasks.
 */
#include "ways.h"

#include <stdlib.h>
#include <string.h>
#include <termios.h>

#include <conc/io.h>
#include <conc/net.h>
#include <conc/stream.h>

#define SOON conc_in(CONC_MS(20))
#define LONG conc_in(CONC_S(30))

/* ---- Two ends ---- */

static void make_unix(int fds[2]) { make_sockets(SOCK_STREAM, fds); }

/* A terminal without any treatment of what goes through. */
static void make_terminal(int fds[2])
{
    struct termios mode;
    fds[0] = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
    CHECK(fds[0] >= 0 && grantpt(fds[0]) == 0 && unlockpt(fds[0]) == 0);
    fds[1] = open(ptsname(fds[0]), O_RDWR | O_NOCTTY | O_CLOEXEC);
    CHECK(fds[1] >= 0 && tcgetattr(fds[1], &mode) == 0);
    cfmakeraw(&mode);
    CHECK(tcsetattr(fds[1], TCSANOW, &mode) == 0);
}

typedef void make_fn(int fds[2]);

static make_fn *const kinds[] = {make_unix, make_tcp, make_terminal};
enum { KINDS = 3, SOCKET_KINDS = 2 };

struct ends {
    conc_stream *ours, *theirs;
};

static struct ends open_ends(make_fn *make, const conc_stream_options *options)
{
    struct ends e;
    int fds[2];
    make(fds);
    CHECK_EQUAL(conc_stream_new(&e.ours, fds[0], options), 0);
    CHECK_EQUAL(conc_stream_new(&e.theirs, fds[1], options), 0);
    return e;
}

static void close_ends(struct ends *e)
{
    conc_stream_abort(e->ours);
    conc_stream_abort(e->theirs);
}

static void check_line(conc_stream *s, const char *text)
{
    char *line;
    CHECK_EQUAL(conc_stream_read_line(s, &line, LONG), strlen(text));
    CHECK(!strcmp(line, text));
}

/* ---- Reads that have to wait ---- */

enum { ROUNDS = 50 };

/* Argument: a stream. Asks, and wants an answer, again and again, without a flush. */
static int asks_and_listens(void *arg, void *result)
{
    conc_stream *s = *(conc_stream **)arg;
    for (int i = 0; i < ROUNDS; i++) {
        CHECK_EQUAL(conc_stream_write(s, "so?\n", 4, LONG), 0);
        check_line(s, "so?\n");
    }
    CHECK_EQUAL(conc_stream_flush(s, LONG), 0); /* the last need not have had to wait */
    return 0;
}

static void test_peers_that_have_written_need_no_flush_to_hear_each_other(void)
{
    for (int kind = 0; kind < KINDS; kind++) {
        struct ends e = open_ends(kinds[kind], NULL);
        conc_future *peer = start(asks_and_listens, &e.theirs, sizeof e.theirs);
        asks_and_listens(&e.ours, NULL);
        CHECK_EQUAL(end_of(peer), 0);
        close_ends(&e);
    }
}

enum { MUCH = 3 * 1024 * 1024 };

/* Far more than the system's buffers hold: it is kept. */
static void write_much(conc_stream *s)
{
    char *bytes = malloc(MUCH);
    CHECK(bytes != NULL);
    fill(bytes, MUCH, 1);
    CHECK_EQUAL(conc_stream_write(s, bytes, MUCH, CONC_NOW), 0);
    free(bytes);
}

/* Read as much; then the peer may still want the last of our own. */
static void read_much(conc_stream *s)
{
    char *bytes = calloc(1, MUCH);
    CHECK(bytes != NULL);
    CHECK_EQUAL(conc_stream_read_exactly(s, bytes, MUCH, LONG), 0);
    CHECK(is_filled(bytes, MUCH, 1));
    CHECK_EQUAL(conc_stream_flush(s, LONG), 0);
    free(bytes);
}

/* Argument: a stream. */
static int writes_and_reads_much(void *arg, void *result)
{
    write_much(*(conc_stream **)arg);
    read_much(*(conc_stream **)arg);
    return 0;
}

static void test_peers_that_have_written_much_take_it_from_each_other(void)
{
    const conc_stream_options options = {.write_limit = MUCH};
    for (int kind = 0; kind < SOCKET_KINDS; kind++) {
        struct ends e = open_ends(kinds[kind], &options);
        conc_future *peer = start(writes_and_reads_much, &e.theirs, sizeof e.theirs);
        writes_and_reads_much(&e.ours, NULL);
        CHECK_EQUAL(end_of(peer), 0);
        close_ends(&e);
    }
}

static void test_a_read_that_need_not_wait_sends_nothing(void)
{
    for (int kind = 0; kind < KINDS; kind++) {
        struct ends e = open_ends(kinds[kind], NULL);
        char byte;
        CHECK_EQUAL(conc_stream_write(e.theirs, "one\ntwo\n", 8, LONG), 0);
        CHECK_EQUAL(conc_stream_flush(e.theirs, LONG), 0);
        CHECK_EQUAL(conc_stream_write(e.ours, "x", 1, LONG), 0);
        check_line(e.ours, "one\n");
        check_line(e.ours, "two\n");
        CHECK_EQUAL(conc_stream_read(e.theirs, &byte, 1, CONC_NOW), -EAGAIN);
        /* Now it would have to. */
        CHECK_EQUAL(conc_stream_read(e.ours, &byte, 1, CONC_NOW), -EAGAIN);
        CHECK_EQUAL(conc_stream_read(e.theirs, &byte, 1, LONG), 1);
        CHECK(byte == 'x');
        close_ends(&e);
    }
}

static void test_a_read_that_is_given_up_has_sent_each_byte_once(void)
{
    const conc_stream_options options = {.write_limit = MUCH};
    for (int kind = 0; kind < SOCKET_KINDS; kind++) {
        struct ends e = open_ends(kinds[kind], &options);
        conc_scope scope;
        char byte;
        write_much(e.ours);
        /* The peer does not read: neither all of it goes, nor does anything come. */
        CHECK_EQUAL(conc_stream_read(e.ours, &byte, 1, SOON), -ETIMEDOUT);
        conc_scope_enter(&scope, SOON);
        CHECK_EQUAL(conc_stream_read(e.ours, &byte, 1, CONC_FOREVER), -ECANCELED);
        CHECK_EQUAL(conc_scope_exit(&scope), -ETIMEDOUT);
        conc_future *peer = start(writes_and_reads_much, &e.theirs, sizeof e.theirs);
        read_much(e.ours);
        CHECK_EQUAL(end_of(peer), 0);
        close_ends(&e);
    }
}

static void test_a_read_whose_stream_cannot_send_still_reads(void)
{
    struct ends e = open_ends(make_unix, NULL);
    CHECK_EQUAL(conc_stream_write(e.theirs, "last\n", 5, LONG), 0);
    CHECK_EQUAL(conc_stream_close(e.theirs, LONG), 0);
    CHECK_EQUAL(conc_stream_write(e.ours, "x", 1, LONG), 0);
    check_line(e.ours, "last\n");
    char byte;
    CHECK_EQUAL(conc_stream_read(e.ours, &byte, 1, LONG), 0);
    CHECK_EQUAL(conc_stream_flush(e.ours, LONG), -EPIPE);
    conc_stream_abort(e.ours);
}

/* Argument: a stream, of which a read waits. */
static int reads_a_byte(void *arg, void *result)
{
    char byte;
    return conc_stream_read(*(conc_stream **)arg, &byte, 1, LONG) == 1 ? 0 : -EPROTO;
}

static void test_a_writer_beside_a_read_that_waits_is_not_held_up(void)
{
    struct ends e = open_ends(make_tcp, NULL);
    CHECK_EQUAL(conc_stream_write(e.ours, "a", 1, LONG), 0);
    conc_future *reader = start(reads_a_byte, &e.ours, sizeof e.ours);
    UNTIL(blocked_on("recv") == 1);
    CHECK_EQUAL(conc_stream_write(e.ours, "b\n", 2, LONG), 0);
    CHECK_EQUAL(conc_stream_flush(e.ours, LONG), 0);
    check_line(e.theirs, "ab\n");
    CHECK_EQUAL(conc_stream_write(e.theirs, "c", 1, LONG), 0);
    CHECK_EQUAL(conc_stream_flush(e.theirs, LONG), 0);
    CHECK_EQUAL(end_of(reader), 0);
    close_ends(&e);
}

/* A file never makes a reader wait, and a pipe has one direction only. */
static void test_streams_of_files_and_pipes_read_as_ever(void)
{
    conc_stream *s;
    char *line;
    int fds[2], fd = open("/proc/self/status", O_RDONLY | O_CLOEXEC);
    CHECK_EQUAL(conc_stream_new(&s, fd, NULL), 0);
    CHECK(conc_stream_read_line(s, &line, LONG) > 0);
    CHECK(!strncmp(line, "Name:", 5));
    CHECK_EQUAL(conc_stream_close(s, LONG), 0);
    fd = open("/tmp", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    CHECK_EQUAL(conc_stream_new(&s, fd, NULL), 0);
    CHECK_EQUAL(conc_stream_write(s, "kept\n", 5, LONG), 0);
    CHECK_EQUAL(conc_stream_read_line(s, &line, LONG), 0); /* the end: it has not been written */
    CHECK_EQUAL(conc_stream_flush(s, LONG), 0);
    CHECK_EQUAL(conc_stream_close(s, LONG), 0);
    make_pipe(fds);
    CHECK_EQUAL(conc_stream_new(&s, fds[0], NULL), 0);
    CHECK_EQUAL(conc_stream_read_line(s, &line, SOON), -ETIMEDOUT);
    CHECK_EQUAL(conc_write_all(fds[1], "through\n", 8, LONG), 0);
    check_line(s, "through\n");
    CHECK_EQUAL(conc_stream_close(s, LONG), 0);
    conc_close(fds[1]);
}

/* ---- Lines that are too long ---- */

enum { LIMIT = 100 };

static void say(conc_stream *s, const char *text)
{
    CHECK_EQUAL(conc_stream_write(s, text, strlen(text), LONG), 0);
    CHECK_EQUAL(conc_stream_flush(s, LONG), 0);
}

static void test_a_line_beyond_the_limit_can_be_skipped(void)
{
    const conc_stream_options options = {.read_limit = LIMIT};
    for (int kind = 0; kind < KINDS; kind++) {
        struct ends e = open_ends(kinds[kind], &options);
        char longer[10 * LIMIT] = "", *line;
        memset(longer, 'x', sizeof longer - 2);
        longer[sizeof longer - 2] = '\n';
        say(e.theirs, "before\n");
        say(e.theirs, longer);
        say(e.theirs, "after\n");
        check_line(e.ours, "before\n");
        for (int i = 0; i < 2; i++) /* trying again is of no use */
            CHECK_EQUAL(conc_stream_read_line(e.ours, &line, LONG), -EMSGSIZE);
        CHECK_EQUAL(conc_stream_skip_until(e.ours, "\n", 1, LONG), 1);
        check_line(e.ours, "after\n");
        close_ends(&e);
    }
}

static void test_a_piece_beyond_the_limit_can_be_read_in_parts(void)
{
    const conc_stream_options options = {.read_limit = LIMIT};
    struct ends e = open_ends(make_unix, &options);
    char longer[2 * LIMIT], part[LIMIT], *line;
    memset(longer, 'x', sizeof longer);
    longer[sizeof longer - 2] = '\n';
    longer[sizeof longer - 1] = '\0';
    say(e.theirs, longer);
    CHECK_EQUAL(conc_stream_read_line(e.ours, &line, LONG), -EMSGSIZE);
    CHECK_EQUAL(conc_stream_read(e.ours, part, sizeof part, LONG), LIMIT);
    CHECK_EQUAL(conc_stream_read_line(e.ours, &line, LONG), LIMIT - 1);
    close_ends(&e);
}

static void test_a_skip_finds_its_delimiter_however_it_comes(void)
{
    const conc_stream_options options = {.read_limit = 4};
    struct ends e = open_ends(make_unix, &options);
    static const char *const pieces[] = {"aaaa", "aaab", "b-", "-b", "--", "--end"};
    char byte;
    CHECK_EQUAL(conc_stream_skip_until(e.ours, "--end", 5, CONC_NOW), -EAGAIN);
    for (size_t i = 0; i < sizeof pieces / sizeof *pieces; i++) {
        say(e.theirs, pieces[i]);
        if (i + 1 < sizeof pieces / sizeof *pieces) /* what it has thrown away is gone */
            CHECK_EQUAL(conc_stream_skip_until(e.ours, "--end", 5, SOON), -ETIMEDOUT);
    }
    CHECK_EQUAL(conc_stream_skip_until(e.ours, "--end", 5, LONG), 1);
    say(e.theirs, "!");
    CHECK_EQUAL(conc_stream_read(e.ours, &byte, 1, LONG), 1);
    CHECK(byte == '!');
    close_ends(&e);
}

static void test_a_skip_that_meets_the_end_leaves_nothing(void)
{
    struct ends e = open_ends(make_unix, NULL);
    char byte;
    CHECK_EQUAL(conc_stream_skip_until(e.ours, NULL, 1, LONG), -EINVAL);
    CHECK_EQUAL(conc_stream_skip_until(e.ours, "x", 0, LONG), -EINVAL);
    say(e.theirs, "no delimiter -");
    CHECK_EQUAL(conc_stream_close(e.theirs, LONG), 0);
    CHECK_EQUAL(conc_stream_skip_until(e.ours, "--", 2, LONG), 0);
    CHECK_EQUAL(conc_stream_read(e.ours, &byte, 1, LONG), 0);
    conc_stream_abort(e.ours);
}

static const struct CMUnitTest tests[] = {
    ON_EVERY_WAY(test_peers_that_have_written_need_no_flush_to_hear_each_other),
    ON_EVERY_WAY(test_peers_that_have_written_much_take_it_from_each_other),
    ON_EVERY_WAY(test_a_read_that_need_not_wait_sends_nothing),
    ON_EVERY_WAY(test_a_read_that_is_given_up_has_sent_each_byte_once),
    ON_EVERY_WAY(test_a_read_whose_stream_cannot_send_still_reads),
    ON_EVERY_WAY(test_a_writer_beside_a_read_that_waits_is_not_held_up),
    ON_EVERY_WAY(test_streams_of_files_and_pipes_read_as_ever),
    ON_EVERY_WAY(test_a_line_beyond_the_limit_can_be_skipped),
    ON_EVERY_WAY(test_a_piece_beyond_the_limit_can_be_read_in_parts),
    ON_EVERY_WAY(test_a_skip_finds_its_delimiter_however_it_comes),
    ON_EVERY_WAY(test_a_skip_that_meets_the_end_leaves_nothing),
};

TEST_MAIN(tests, 60)
