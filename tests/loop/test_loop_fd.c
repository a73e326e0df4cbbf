/* SPDX-License-Identifier: MIT
 *
 * test_loop_fd.c: readers and writers: callbacks for descriptors.
 */
#include "loops.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include <conc/io.h>

/* What a callback is about, and what it has seen. */
struct peer {
    conc_loop *loop;
    int fds[2]; /* [0] is watched */
    int reads, writes;
    int bytes;
    bool end; /* of the stream */
};

static void peer_init(struct peer *p, conc_loop *loop)
{
    *p = (struct peer){.loop = loop};
    make_sockets(SOCK_STREAM, p->fds);
}

static void give(const struct peer *p, int n)
{
    char bytes[16] = "";
    CHECK_EQUAL(write(p->fds[1], bytes, (size_t)n), n);
}

/* Takes one byte a call. */
static void on_readable(void *arg)
{
    struct peer *p = arg;
    char byte;
    ssize_t n = read(p->fds[0], &byte, 1);
    CHECK(n >= 0); /* it would block else: and it would not be readable */
    p->reads++;
    p->bytes += (int)n;
    if (n == 0) {
        p->end = true;
        CHECK_EQUAL(conc_loop_remove_reader(p->loop, p->fds[0]), 1);
    }
}

static void on_writable(void *arg) { ((struct peer *)arg)->writes++; }

static void count_read(void *arg) { ((struct peer *)arg)->reads++; }

/* A few turns of a loop in which nothing else happens: more than what is ready takes. */
static void some_turns(conc_loop *loop)
{
    for (int i = 0; i < 8; i++) {
        conc_loop_stop(loop);
        assert_int_equal(conc_loop_run_forever(loop), 0);
    }
}

#define RUN_UNTIL(loop, condition) WAIT_UNTIL((some_turns(loop), (condition)))

/* ---- Reading and writing ---- */

static void test_a_reader_is_called_as_long_as_there_is_something(void)
{
    struct peer p;
    conc_loop *loop = new_loop();
    peer_init(&p, loop);
    assert_int_equal(conc_loop_add_reader(loop, p.fds[0], on_readable, &p), 0);
    some_turns(loop);
    assert_int_equal(p.reads, 0);
    for (int i = 1; i < 4; i++) {
        give(&p, 5);
        RUN_UNTIL(loop, p.bytes == 5 * i);
        some_turns(loop);
        assert_int_equal(p.reads, 5 * i);
    }
    assert_int_equal(conc_loop_remove_reader(loop, p.fds[0]), 1);
    assert_int_equal(conc_loop_remove_reader(loop, p.fds[0]), 0);
    give(&p, 1);
    some_turns(loop);
    assert_int_equal(p.reads, 15);
    close_both(p.fds);
    free_loop(loop);
}

static void test_a_writer_is_called_as_long_as_there_is_room(void)
{
    struct peer p;
    char *much = test_calloc(1, 1 << 20);
    conc_loop *loop = new_loop();
    peer_init(&p, loop);
    assert_int_equal(fcntl(p.fds[0], F_SETFL, O_NONBLOCK), 0);
    assert_int_equal(conc_loop_add_writer(loop, p.fds[0], on_writable, &p), 0);
    RUN_UNTIL(loop, p.writes > 5);
    while (write(p.fds[0], much, 1 << 20) > 0)
        continue;
    some_turns(loop); /* it may have been called for already */
    int before = p.writes;
    some_turns(loop);
    assert_int_equal(p.writes, before);
    assert_true(read(p.fds[1], much, 1 << 20) > 0);
    while (recv(p.fds[1], much, 1 << 20, MSG_DONTWAIT) > 0)
        continue;
    RUN_UNTIL(loop, p.writes > before);
    assert_int_equal(conc_loop_remove_writer(loop, p.fds[0]), 1);
    assert_int_equal(conc_loop_remove_writer(loop, p.fds[0]), 0);
    test_free(much);
    close_both(p.fds);
    free_loop(loop);
}

static void test_reader_and_writer_of_one_descriptor_are_apart(void)
{
    struct peer p;
    conc_loop *loop = new_loop();
    peer_init(&p, loop);
    assert_int_equal(conc_loop_add_reader(loop, p.fds[0], on_readable, &p), 0);
    assert_int_equal(conc_loop_add_writer(loop, p.fds[0], on_writable, &p), 0);
    RUN_UNTIL(loop, p.writes > 3);
    assert_int_equal(p.reads, 0);
    give(&p, 3);
    RUN_UNTIL(loop, p.bytes == 3);
    assert_int_equal(conc_loop_remove_writer(loop, p.fds[0]), 1);
    int before = p.writes;
    give(&p, 3);
    RUN_UNTIL(loop, p.bytes == 6);
    assert_int_equal(p.writes, before);
    assert_int_equal(conc_loop_add_writer(loop, p.fds[0], on_writable, &p), 0);
    assert_int_equal(conc_loop_remove_reader(loop, p.fds[0]), 1);
    give(&p, 1);
    RUN_UNTIL(loop, p.writes > before + 3);
    assert_int_equal(p.bytes, 6);
    close_both(p.fds); /* the writer goes with its loop */
    free_loop(loop);
}

static void test_the_end_of_a_stream_and_errors_are_readable_and_writable(void)
{
    struct peer p;
    conc_loop *loop = new_loop();
    peer_init(&p, loop);
    assert_int_equal(conc_loop_add_reader(loop, p.fds[0], on_readable, &p), 0);
    give(&p, 2);
    assert_int_equal(close(p.fds[1]), 0);
    RUN_UNTIL(loop, p.end);
    assert_int_equal(p.bytes, 2);
    assert_int_equal(close(p.fds[0]), 0);
    assert_int_equal(pipe(p.fds), 0); /* without a reader: an error for the writer */
    assert_int_equal(close(p.fds[0]), 0);
    assert_int_equal(conc_loop_add_writer(loop, p.fds[1], on_writable, &p), 0);
    RUN_UNTIL(loop, p.writes > 2);
    assert_int_equal(conc_loop_remove_writer(loop, p.fds[1]), 1);
    assert_int_equal(close(p.fds[1]), 0);
    free_loop(loop);
}

static void test_a_file_is_always_ready(void)
{
    char path[] = "/tmp/conc_test_XXXXXX";
    struct peer p = {.reads = 0};
    conc_loop *loop = new_loop();
    int fd = mkstemp(path);
    unlink(path);
    assert_int_equal(conc_loop_add_reader(loop, fd, count_read, &p), 0);
    assert_int_equal(conc_loop_add_writer(loop, fd, on_writable, &p), 0);
    RUN_UNTIL(loop, p.reads > 3 && p.writes > 3);
    assert_int_equal(conc_loop_remove_reader(loop, fd), 1);
    assert_int_equal(conc_loop_remove_writer(loop, fd), 1);
    close(fd);
    free_loop(loop);
}

/* ---- Replaced and removed ---- */

static void test_adding_again_replaces(void)
{
    struct peer p;
    conc_loop *loop = new_loop();
    peer_init(&p, loop);
    struct peer other = p;
    assert_int_equal(conc_loop_add_reader(loop, p.fds[0], count_read, &other), 0);
    for (int has_run = 0; has_run < 2; has_run++) {
        assert_int_equal(conc_loop_add_reader(loop, p.fds[0], count_read, &other), 0);
        assert_int_equal(conc_loop_add_reader(loop, p.fds[0], on_readable, &p), 0);
        give(&p, 3);
        RUN_UNTIL(loop, p.bytes == 3 * (has_run + 1));
        assert_int_equal(other.reads, 0);
    }
    assert_int_equal(conc_loop_remove_reader(loop, p.fds[0]), 1);
    close_both(p.fds);
    free_loop(loop);
}

static void replace_itself(void *arg)
{
    struct peer *p = arg;
    p->reads = 100;
    CHECK_EQUAL(conc_loop_add_reader(p->loop, p->fds[0], on_readable, p), 0);
}

static void remove_itself(void *arg)
{
    struct peer *p = arg;
    p->reads++;
    CHECK_EQUAL(conc_loop_remove_reader(p->loop, p->fds[0]), 1);
    CHECK_EQUAL(conc_loop_remove_reader(p->loop, p->fds[0]), 0);
}

static void remove_and_add_itself(void *arg)
{
    remove_itself(arg);
    replace_itself(arg);
}

static void test_a_callback_may_remove_or_replace_itself(void)
{
    static conc_callback_fn *const callbacks[] = {remove_itself, replace_itself,
                                                  remove_and_add_itself};
    static const int reads[] = {1, 102, 102}, left[] = {0, 1, 1};
    conc_loop *loop = new_loop();
    for (int i = 0; i < 3; i++) {
        struct peer p;
        peer_init(&p, loop);
        assert_int_equal(conc_loop_add_reader(loop, p.fds[0], callbacks[i], &p), 0);
        give(&p, 2);
        RUN_UNTIL(loop, p.reads == reads[i]);
        some_turns(loop);
        assert_int_equal(p.reads, reads[i]);
        assert_int_equal(conc_loop_remove_reader(loop, p.fds[0]), left[i]);
        close_both(p.fds);
    }
    free_loop(loop);
}

static struct peer rivals[2];

/* Both are readable; the first one to be called removes the other, perhaps just before its turn. */
static void remove_rival(void *arg)
{
    struct peer *p = arg, *rival = &rivals[p == rivals];
    p->reads++;
    CHECK_EQUAL(conc_loop_remove_reader(p->loop, rival->fds[0]), 1);
    CHECK_EQUAL(conc_loop_remove_reader(p->loop, p->fds[0]), 1);
}

static void test_a_callback_may_remove_another_whose_turn_is_next(void)
{
    conc_loop *loop = new_loop();
    for (int i = 0; i < 2; i++) {
        peer_init(&rivals[i], loop);
        assert_int_equal(conc_loop_add_reader(loop, rivals[i].fds[0], remove_rival, &rivals[i]), 0);
    }
    some_turns(loop); /* both are waited for */
    give(&rivals[0], 1);
    give(&rivals[1], 1);
    RUN_UNTIL(loop, rivals[0].reads + rivals[1].reads == 1);
    some_turns(loop);
    assert_int_equal(rivals[0].reads + rivals[1].reads, 1);
    close_both(rivals[0].fds);
    close_both(rivals[1].fds);
    free_loop(loop);
}

static void test_before_the_first_run_one_may_change_ones_mind(void)
{
    struct peer p;
    conc_loop *loop = new_loop();
    peer_init(&p, loop);
    give(&p, 1);
    assert_int_equal(conc_loop_add_reader(loop, p.fds[0], on_readable, &p), 0);
    assert_int_equal(conc_loop_add_writer(loop, p.fds[0], on_writable, &p), 0);
    assert_int_equal(conc_loop_remove_reader(loop, p.fds[0]), 1);
    assert_int_equal(conc_loop_remove_writer(loop, p.fds[0]), 1);
    some_turns(loop);
    assert_int_equal(p.reads + p.writes, 0);
    free_loop(loop);
    loop = new_loop();
    assert_int_equal(conc_loop_add_reader(loop, p.fds[0], on_readable, &p), 0);
    assert_int_equal(conc_loop_add_writer(loop, p.fds[0], on_writable, &p), 0);
    free_loop(loop); /* it never runs */
    assert_int_equal(p.reads + p.writes, 0);
    close_both(p.fds);
}

static void test_freeing_the_loop_drops_them_in_every_state(void)
{
    for (int turns = 0; turns < 3; turns++)
        for (int what = 0; what < 8; what++) {
            struct peer p;
            conc_loop *loop = new_loop();
            peer_init(&p, loop);
            assert_int_equal(conc_loop_add_reader(loop, p.fds[0], on_readable, &p), 0);
            if (what & 1)
                assert_int_equal(conc_loop_add_writer(loop, p.fds[0], on_writable, &p), 0);
            for (int i = 0; i < turns; i++) {
                conc_loop_stop(loop);
                assert_int_equal(conc_loop_run_forever(loop), 0);
            }
            if (what & 2)
                give(&p, 1);
            if (what & 4)
                assert_int_equal(conc_loop_remove_reader(loop, p.fds[0]), 1);
            free_loop(loop);
            close_both(p.fds);
        }
}

/* ---- Descriptors that are closed, or none ---- */

static void close_it(void *arg)
{
    struct peer *p = arg;
    if (p->reads++ == 0)
        close(p->fds[0]);
}

static void test_a_descriptor_closed_without_a_word_is_told_of_once(void)
{
    struct peer p;
    conc_loop *loop = new_loop();
    peer_init(&p, loop);
    give(&p, 1);
    assert_int_equal(conc_loop_add_reader(loop, p.fds[0], close_it, &p), 0);
    RUN_UNTIL(loop, p.reads == 2);
    some_turns(loop);
    assert_int_equal(p.reads, 2);
    assert_int_equal(conc_loop_remove_reader(loop, p.fds[0]), 0);
    assert_int_equal(conc_loop_add_reader(loop, p.fds[0], count_read, &p), -EBADF);
    assert_int_equal(conc_loop_add_writer(loop, p.fds[0], count_read, &p), -EBADF);
    some_turns(loop);
    assert_int_equal(p.reads, 2);
    close(p.fds[1]);
    free_loop(loop);
}

static int job_close(void *arg, void *result)
{
    const struct peer *p = pointer_in(arg);
    return conc_close(p->fds[0]);
}

static void test_a_descriptor_closed_by_the_library_is_told_of_once(void)
{
    struct peer p, *address = &p;
    conc_loop *loop = new_loop();
    peer_init(&p, loop);
    assert_int_equal(conc_loop_add_reader(loop, p.fds[0], count_read, &p), 0);
    some_turns(loop);
    assert_int_equal(run_task(loop, job_close, &address, sizeof address), 0);
    RUN_UNTIL(loop, p.reads == 1);
    some_turns(loop);
    assert_int_equal(p.reads, 1);
    assert_int_equal(conc_loop_remove_reader(loop, p.fds[0]), 0);
    close(p.fds[1]);
    free_loop(loop);
}

/* Reads, and closes by the library, what it watches, while another descriptor takes its number. */
static void close_and_replace(void *arg)
{
    struct peer *p = arg;
    if (p->reads++ > 0)
        return;
    CHECK_EQUAL(conc_close(p->fds[0]), 0);
    CHECK_EQUAL(dup2(p->fds[1], p->fds[0]), p->fds[0]);
}

static void test_a_callback_that_closes_is_not_called_for_the_next_of_that_number(void)
{
    struct peer p;
    conc_loop *loop = new_loop();
    peer_init(&p, loop);
    give(&p, 1);
    assert_int_equal(conc_loop_add_reader(loop, p.fds[0], close_and_replace, &p), 0);
    RUN_UNTIL(loop, p.reads == 2); /* the last call, which tells that it is closed */
    some_turns(loop);
    assert_int_equal(p.reads, 2);
    assert_int_equal(conc_loop_remove_reader(loop, p.fds[0]), 0);
    close_both(p.fds);
    free_loop(loop);
}

static void test_bad_arguments_are_refused(void)
{
    conc_loop *loop = new_loop();
    assert_int_equal(conc_loop_add_reader(loop, -1, count_read, NULL), -EINVAL);
    assert_int_equal(conc_loop_add_writer(loop, -5, count_read, NULL), -EINVAL);
    assert_int_equal(conc_loop_add_reader(loop, 0, NULL, NULL), -EINVAL);
    assert_int_equal(conc_loop_remove_reader(loop, -1), 0);
    assert_int_equal(conc_loop_remove_writer(loop, 0), 0);
    assert_int_equal(conc_loop_remove_reader(loop, 1 << 30), 0);
    for (int n = 1; n < 3; n++) { /* the table, the watch */
        fail_alloc(n);
        assert_int_equal(conc_loop_add_reader(loop, 0, count_read, NULL), -ENOMEM);
    }
    assert_int_equal(conc_loop_remove_reader(loop, 0), 0);
    free_loop(loop);
}

/* ---- Many ---- */

enum { PAIRS = 400 };

static int job_feed(void *arg, void *result)
{
    struct peer *peers = pointer_in(arg);
    struct test_random r = test_random_for(3);
    for (int i = 0; i < 4 * PAIRS; i++) {
        give(&peers[test_random_below(&r, PAIRS)], 1 + (int)test_random_below(&r, 5));
        if (i % 64 == 0)
            conc_yield();
    }
    for (int i = 0; i < PAIRS; i++)
        CHECK_EQUAL(close(peers[i].fds[1]), 0);
    for (int i = 0; i < PAIRS; i++)
        YIELD_UNTIL(peers[i].end);
    return 0;
}

static void test_many_at_once(void)
{
    struct peer *peers = test_calloc(PAIRS, sizeof *peers);
    conc_loop *loop = new_loop();
    for (int i = 0; i < PAIRS; i++) {
        peer_init(&peers[i], loop);
        assert_int_equal(conc_loop_add_reader(loop, peers[i].fds[0], on_readable, &peers[i]), 0);
    }
    assert_int_equal(run_task(loop, job_feed, &peers, sizeof peers), 0);
    int bytes = 0, reads = 0;
    for (int i = 0; i < PAIRS; i++) {
        bytes += peers[i].bytes;
        reads += peers[i].reads;
        close(peers[i].fds[0]);
    }
    assert_int_equal(reads, bytes + PAIRS);
    test_free(peers);
    free_loop(loop);
}

static const struct CMUnitTest tests[] = {
    ON_EVERY_BACKEND(test_a_reader_is_called_as_long_as_there_is_something),
    ON_EVERY_BACKEND(test_a_writer_is_called_as_long_as_there_is_room),
    ON_EVERY_BACKEND(test_reader_and_writer_of_one_descriptor_are_apart),
    ON_EVERY_BACKEND(test_the_end_of_a_stream_and_errors_are_readable_and_writable),
    ON_EVERY_BACKEND(test_a_file_is_always_ready),
    ON_EVERY_BACKEND(test_adding_again_replaces),
    ON_EVERY_BACKEND(test_a_callback_may_remove_or_replace_itself),
    ON_EVERY_BACKEND(test_a_callback_may_remove_another_whose_turn_is_next),
    ON_EVERY_BACKEND(test_before_the_first_run_one_may_change_ones_mind),
    ON_EVERY_BACKEND(test_freeing_the_loop_drops_them_in_every_state),
    ON_EVERY_BACKEND(test_a_descriptor_closed_without_a_word_is_told_of_once),
    ON_EVERY_BACKEND(test_a_descriptor_closed_by_the_library_is_told_of_once),
    ON_EVERY_BACKEND(test_a_callback_that_closes_is_not_called_for_the_next_of_that_number),
    ON_EVERY_BACKEND(test_bad_arguments_are_refused),
    ON_EVERY_BACKEND(test_many_at_once),
};

TEST_MAIN(tests, 60)
