/* SPDX-License-Identifier: MIT
 *
 * test_close.c: a descriptor is closed while somebody waits for it: by conc_close() from anywhere,
 * or by foreign code, which tells nobody; and its number is given to another file.
 */
#include "loops.h"

#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <conc/net.h>

/* ---- Waiting ---- */

enum waiting { WAIT_RECV, WAIT_READ, WAIT_POLL, WAIT_SEND, WAIT_ACCEPT, WAITING };

static const char *const waiting_names[] = {"recv", "read", "poll", "send", "accept"};

struct waiter {
    conc_loop *loop; /* whose task waits; NULL: a thread waits */
    enum waiting what;
    int fd, peer;
    ssize_t result;
    struct test_thread thread;
    conc_future *task;
};

static void waiter_open(struct waiter *w)
{
    int fds[2];
    if (w->what == WAIT_ACCEPT) {
        fds[0] = conc_tcp_listen("127.0.0.1", 0, 0);
        fds[1] = dup(STDERR_FILENO);
        CHECK(fds[0] >= 0 && fds[1] >= 0);
    } else if (w->what == WAIT_READ) {
        make_pipe(fds);
    } else {
        make_sockets(SOCK_STREAM, fds);
    }
    w->fd = fds[0];
    w->peer = fds[1];
}

static ssize_t send_until_it_fails(int fd)
{
    static char zeros[1 << 16];
    ssize_t n;
    while ((n = conc_send(fd, zeros, sizeof zeros, 0, CONC_FOREVER)) >= 0)
        continue;
    return n;
}

static ssize_t waiter_wait(const struct waiter *w)
{
    char buf[64];
    switch (w->what) {
    case WAIT_RECV:
        return conc_recv(w->fd, buf, sizeof buf, 0, CONC_FOREVER);
    case WAIT_READ:
        return conc_read(w->fd, buf, sizeof buf, CONC_FOREVER);
    case WAIT_POLL:
        return conc_poll_fd(w->fd, POLLIN, CONC_FOREVER);
    case WAIT_SEND:
        return send_until_it_fails(w->fd);
    default:
        return conc_accept(w->fd, NULL, NULL, CONC_FOREVER);
    }
}

static int waiter_task(void *arg, void *result)
{
    struct waiter *w = pointer_in(arg);
    w->result = waiter_wait(w);
    return 0;
}

static void waiter_thread(void *arg)
{
    struct waiter *w = arg;
    w->result = waiter_wait(w);
}

static void waiter_begin(struct waiter *w)
{
    if (w->loop)
        w->task = conc_task_start(w->loop, waiter_task, &w, sizeof w, 0, NULL);
    else
        test_thread_start(&w->thread, "waiter", waiter_thread, w);
}

static void waiter_start(struct waiter *w)
{
    size_t before = blocked_on(waiting_names[w->what]);
    waiter_begin(w);
    WAIT_UNTIL(blocked_on(waiting_names[w->what]) == before + 1);
}

static int job_let_turns_pass(void *arg, void *result)
{
    for (int i = 0; i < 4; i++)
        CHECK_EQUAL(conc_sleep(CONC_US(100)), 0);
    return 0;
}

/* Until io_uring knows the file, an entry names the number. */
static void waiter_start_and_settle(struct waiter *w)
{
    waiter_start(w);
    if (w->loop)
        CHECK_EQUAL(end_of(conc_task_start(w->loop, job_let_turns_pass, NULL, 0, 0, NULL)), 0);
}

static ssize_t waiter_end(struct waiter *w)
{
    if (w->loop) {
        CHECK_EQUAL(conc_future_wait(w->task, CONC_FOREVER), 0);
        conc_future_unref(w->task);
    } else {
        test_thread_join(&w->thread);
    }
    return w->result;
}

/* ---- conc_close() ---- */

enum closer { CLOSER_THREAD, CLOSER_TASK, CLOSER_CALLBACK, CLOSERS };

struct close_call {
    int fd, result;
    conc_event done;
};

static void close_now(void *arg)
{
    struct close_call *c = arg;
    c->result = conc_close(c->fd);
    conc_event_set(&c->done);
}

static int close_task(void *arg, void *result)
{
    close_now(pointer_in(arg));
    return 0;
}

static int close_by(enum closer closer, conc_loop *loop, int fd)
{
    struct close_call c = {.fd = fd}, *at = &c;
    switch (closer) {
    case CLOSER_THREAD:
        return conc_close(fd);
    case CLOSER_TASK:
        conc_future_unref(conc_task_start(loop, close_task, &at, sizeof at, 0, NULL));
        break;
    default:
        CHECK_EQUAL(conc_loop_call_soon_threadsafe(loop, close_now, &c, NULL), 0);
    }
    CHECK_EQUAL(conc_event_wait(&c.done, CONC_FOREVER), 0);
    return c.result;
}

static bool fd_is_free(int fd) { return fcntl(fd, F_GETFD) < 0 && errno == EBADF; }

static void check_close_ends_wait(conc_loop *waiting, enum waiting what, conc_loop *closing,
                                  enum closer closer)
{
    struct waiter w = {.loop = waiting, .what = what};
    waiter_open(&w);
    waiter_start(&w);
    CHECK_EQUAL(close_by(closer, closing, w.fd), 0);
    CHECK_EQUAL(waiter_end(&w), -EBADF);
    WAIT_UNTIL(fd_is_free(w.fd)); /* a callback has not waited */
    CHECK_EQUAL(conc_close(w.peer), 0);
}

static void test_a_close_from_anywhere_ends_every_wait(void)
{
    struct side_loop waiting, other;
    side_loop_start(&waiting);
    side_loop_start(&other);
    for (int what = 0; what < WAITING; what++)
        for (int closer = 0; closer < CLOSERS; closer++) {
            check_close_ends_wait(NULL, what, other.loop, closer);
            check_close_ends_wait(waiting.loop, what, other.loop, closer);
            check_close_ends_wait(waiting.loop, what, waiting.loop, closer);
        }
    side_loop_end(&waiting);
    side_loop_end(&other);
}

static void test_all_that_wait_for_a_descriptor_hear_of_its_close(void)
{
    struct side_loop sides[2];
    struct waiter w[3] = {{.what = WAIT_RECV}};
    waiter_open(&w[0]);
    for (int i = 0; i < 3; i++) {
        w[i] = w[0];
        if (i > 0)
            side_loop_start(&sides[i - 1]);
        w[i].loop = i > 0 ? sides[i - 1].loop : NULL;
        waiter_start(&w[i]);
    }
    CHECK_EQUAL(conc_close(w[0].fd), 0);
    for (int i = 0; i < 3; i++)
        CHECK_EQUAL(waiter_end(&w[i]), -EBADF);
    CHECK_EQUAL(conc_close(w[0].peer), 0);
    for (int i = 0; i < 2; i++)
        side_loop_end(&sides[i]);
}

/* ---- Loops that are busy, or do not run ---- */

struct hold {
    uint32_t begun, go_on;
};

static int job_hold_the_loop(void *arg, void *result)
{
    struct hold *hold = pointer_in(arg);
    store_release(&hold->begun, 1);
    while (!load_acquire(&hold->go_on))
        continue;
    return 0;
}

static void test_a_loop_that_is_busy_does_not_hold_a_close_for_ever(void)
{
    struct side_loop side;
    struct hold hold = {0}, *at = &hold;
    side_loop_start(&side);
    struct waiter w = {.loop = side.loop, .what = WAIT_RECV};
    waiter_open(&w);
    waiter_start(&w);
    conc_future *busy = conc_task_start(side.loop, job_hold_the_loop, &at, sizeof at, 0, NULL);
    WAIT_UNTIL(load_acquire(&hold.begun));
    CHECK_EQUAL(conc_close(w.fd), 0);
    CHECK(!conc_future_is_done(busy));
    CHECK(!fd_is_free(w.fd)); /* the number waits for the loop */
    store_release(&hold.go_on, 1);
    CHECK_EQUAL(waiter_end(&w), -EBADF);
    WAIT_UNTIL(fd_is_free(w.fd));
    CHECK_EQUAL(end_of(busy), 0);
    CHECK_EQUAL(conc_close(w.peer), 0);
    side_loop_end(&side);
}

static void run_a_few_turns(conc_loop *loop)
{
    for (int i = 0; i < 8; i++) {
        conc_loop_stop(loop);
        CHECK_EQUAL(conc_loop_run_forever(loop), 0);
    }
}

static void close_in_thread(void *arg) { CHECK_EQUAL(conc_close(*(int *)arg), 0); }

static void test_a_loop_that_does_not_run_hears_of_a_close(void)
{
    for (int elsewhere = 0; elsewhere < 2; elsewhere++) {
        struct waiter w = {.loop = new_loop(), .what = WAIT_RECV}, *at = &w;
        waiter_open(&w);
        w.task = conc_task_start(w.loop, waiter_task, &at, sizeof at, 0, NULL);
        run_a_few_turns(w.loop);
        if (elsewhere) {
            struct test_thread thread;
            test_thread_start(&thread, NULL, close_in_thread, &w.fd);
            test_thread_join(&thread);
            CHECK(!fd_is_free(w.fd)); /* until the loop runs */
        } else {
            CHECK_EQUAL(conc_close(w.fd), 0);
            CHECK(fd_is_free(w.fd));
        }
        CHECK_EQUAL(run_until(w.loop, w.task), 0);
        CHECK_EQUAL(w.result, -EBADF);
        WAIT_UNTIL(fd_is_free(w.fd));
        CHECK_EQUAL(conc_close(w.peer), 0);
        free_loop(w.loop);
    }
}

static void test_a_loop_that_is_freed_leaves_no_descriptor(void)
{
    struct waiter w = {.loop = new_loop(), .what = WAIT_RECV}, *at = &w;
    struct test_thread thread;
    waiter_open(&w);
    conc_future_unref(conc_task_start(w.loop, waiter_task, &at, sizeof at, 0, NULL));
    run_a_few_turns(w.loop);
    test_thread_start(&thread, NULL, close_in_thread, &w.fd);
    test_thread_join(&thread);
    free_loop(w.loop);
    CHECK(w.result == -EBADF || w.result == -ECANCELED);
    CHECK(fd_is_free(w.fd));
    CHECK_EQUAL(conc_close(w.peer), 0);
}

static void test_loops_that_close_each_others_descriptors_at_once_do_not_wait_in_a_circle(void)
{
    enum { ROUNDS = 20 };
    struct side_loop sides[2];
    for (int i = 0; i < 2; i++)
        side_loop_start(&sides[i]);
    for (int round = 0; round < ROUNDS; round++) {
        struct waiter w[2];
        struct close_call c[2];
        for (int i = 0; i < 2; i++) {
            w[i] = (struct waiter){.loop = sides[i].loop, .what = WAIT_RECV};
            waiter_open(&w[i]);
            waiter_start(&w[i]);
        }
        for (int i = 0; i < 2; i++) {
            c[i] = (struct close_call){.fd = w[i].fd};
            struct close_call *at = &c[i];
            if (round % 2)
                conc_future_unref(
                    conc_task_start(sides[1 - i].loop, close_task, &at, sizeof at, 0, NULL));
            else
                conc_loop_call_soon_threadsafe(sides[1 - i].loop, close_now, &c[i], NULL);
        }
        for (int i = 0; i < 2; i++) {
            CHECK_EQUAL(conc_event_wait(&c[i].done, CONC_FOREVER), 0);
            CHECK_EQUAL(c[i].result, 0);
            CHECK_EQUAL(waiter_end(&w[i]), -EBADF);
            WAIT_UNTIL(fd_is_free(w[i].fd));
            CHECK_EQUAL(conc_close(w[i].peer), 0);
        }
    }
    for (int i = 0; i < 2; i++)
        side_loop_end(&sides[i]);
}

static int close_in_child(void *arg)
{
    return conc_close(*(int *)arg) == 0 && fd_is_free(*(int *)arg) ? 0 : 1;
}

static void test_a_child_closes_its_own_copy_alone(void)
{
    struct side_loop side;
    side_loop_start(&side);
    for (int thread = 0; thread < 2; thread++) {
        struct waiter w = {.loop = thread ? NULL : side.loop, .what = WAIT_RECV};
        waiter_open(&w);
        waiter_start(&w);
        CHECK_EQUAL(in_child(close_in_child, &w.fd), 0);
        CHECK_EQUAL(write(w.peer, "abc", 3), 3);
        CHECK_EQUAL(waiter_end(&w), 3);
        close_both((int[]){w.fd, w.peer});
    }
    side_loop_end(&side);
}

static void watch_called(void *arg) { fetch_add_relaxed((int *)arg, 1); }

struct watch_call {
    conc_loop *loop;
    int fd, calls;
    conc_event done;
};

static void add_watch(void *arg)
{
    struct watch_call *c = arg;
    CHECK_EQUAL(conc_loop_add_reader(c->loop, c->fd, watch_called, &c->calls), 0);
    conc_event_set(&c->done);
}

static void test_readers_of_other_loops_are_told_once(void)
{
    struct side_loop side;
    int fds[2];
    side_loop_start(&side);
    make_sockets(SOCK_STREAM, fds);
    struct watch_call c = {.loop = side.loop, .fd = fds[0]};
    CHECK_EQUAL(conc_loop_call_soon_threadsafe(side.loop, add_watch, &c, NULL), 0);
    CHECK_EQUAL(conc_event_wait(&c.done, CONC_FOREVER), 0);
    CHECK_EQUAL(conc_close(fds[0]), 0);
    WAIT_UNTIL(load_relaxed(&c.calls) == 1);
    CHECK_EQUAL(conc_close(fds[1]), 0);
    side_loop_end(&side);
    CHECK_EQUAL(c.calls, 1);
}

/* ---- Closes that take long ---- */

/* A connection with bytes under way that the peer does not take, whose close waits for a minute. */
static void make_lingering(int fds[2])
{
    static char zeros[1 << 16];
    const struct linger linger = {.l_onoff = 1, .l_linger = 60};
    int listener = conc_tcp_listen("127.0.0.1", 0, 0);
    fds[0] = conc_tcp_connect("127.0.0.1", conc_tcp_port(listener), CONC_FOREVER);
    fds[1] = conc_accept(listener, NULL, NULL, CONC_FOREVER);
    CHECK_EQUAL(conc_close(listener), 0);
    while (send(fds[0], zeros, sizeof zeros, MSG_DONTWAIT) > 0)
        continue;
    CHECK_EQUAL(setsockopt(fds[0], SOL_SOCKET, SO_LINGER, &linger, sizeof linger), 0);
}

static void take_all(int fd)
{
    static char buf[1 << 16];
    ssize_t n;
    while ((n = conc_recv(fd, buf, sizeof buf, 0, CONC_FOREVER)) > 0)
        continue;
    CHECK_EQUAL(n, 0);
    CHECK_EQUAL(conc_close(fd), 0);
}

static int job_close_lingering(void *arg, void *result)
{
    conc_scope scope;
    conc_scope_enter(&scope, CONC_FOREVER);
    conc_scope_cancel(&scope); /* it is no cancellation point */
    CHECK_EQUAL(conc_close(*(int *)arg), 0);
    conc_scope_exit(&scope);
    return 0;
}

/* The loop that closes also reads at the other end: if the close held it, neither would end. */
static int job_close_and_take(void *arg, void *result)
{
    int fds[2];
    make_lingering(fds);
    conc_future *f = conc_spawn(job_close_lingering, &fds[0], sizeof(int), 0);
    YIELD_UNTIL(blocked_on("close") == 1);
    take_all(fds[1]);
    CHECK_EQUAL(end_of(f), 0);
    return 0;
}

static void test_a_close_that_takes_long_does_not_hold_the_loop(void)
{
    CHECK_EQUAL(in_task(job_close_and_take, NULL), 0);
}

static int job_take_all(void *arg, void *result)
{
    take_all(*(int *)arg);
    return 0;
}

static void test_a_callback_hands_over_a_close_that_takes_long(void)
{
    int fds[2];
    make_lingering(fds);
    conc_loop *loop = new_loop();
    struct close_call c = {.fd = fds[0], .result = 1};
    CHECK_EQUAL(conc_loop_call_soon(loop, close_now, &c, NULL), 0);
    CHECK_EQUAL(run_task(loop, job_take_all, &fds[1], sizeof(int)), 0);
    CHECK_EQUAL(c.result, 0);
    free_loop(loop);
    CHECK(fd_is_free(fds[0]));
}

/* ---- Foreign code ---- */

/* The number of an old file is given to a new one, for which another then waits. */
static void check_nothing_of_another_is_taken(conc_loop *loop)
{
    struct waiter before = {.loop = loop, .what = WAIT_RECV}, after = before;
    int fds[2];
    char buf[8];
    waiter_open(&before);
    waiter_start_and_settle(&before);
    make_sockets(SOCK_STREAM, fds);
    CHECK_EQUAL(dup2(fds[0], before.fd), before.fd); /* closes it, as foreign code does */
    after.fd = before.fd;
    waiter_begin(&after);
    CHECK_EQUAL(write(fds[1], "secret", 6), 6);
    CHECK_EQUAL(waiter_end(&after), 6);
    /* A thread looks when the old file, or the new one, has something: poll(2) waits for the one
     * and looks at the other. io_uring holds the old file, and sees the end. */
    CHECK_EQUAL(write(fds[1], "more", 4), 4);
    CHECK_EQUAL(close(before.peer), 0);
    ssize_t result = waiter_end(&before);
    CHECK(result == -EBADF || (loop && backend == CONC_BACKEND_URING && result == 0));
    CHECK_EQUAL(conc_recv(fds[0], buf, sizeof buf, 0, CONC_FOREVER), 4);
    CHECK_EQUAL(conc_close(before.fd), 0);
    close_both(fds);
}

static void test_after_a_foreign_close_no_bytes_of_another_are_taken(void)
{
    struct side_loop side;
    side_loop_start(&side);
    check_nothing_of_another_is_taken(side.loop);
    check_nothing_of_another_is_taken(NULL);
    side_loop_end(&side);
}

/* Nobody waits for the new file: what woke the old op must not make it take from the new one. */
static void check_an_event_of_the_old_file_takes_nothing(conc_loop *loop, bool nonblocking)
{
    struct waiter w = {.loop = loop, .what = WAIT_RECV};
    int fds[2];
    char buf[8];
    waiter_open(&w);
    if (nonblocking)
        CHECK_EQUAL(fcntl(w.fd, F_SETFL, O_NONBLOCK), 0);
    waiter_start_and_settle(&w);
    make_sockets(SOCK_STREAM, fds);
    int old = dup(w.fd); /* keeps the old file open, so that its events still come */
    CHECK_EQUAL(write(fds[1], "secret", 6), 6);
    CHECK_EQUAL(dup2(fds[0], w.fd), w.fd);
    CHECK_EQUAL(write(w.peer, "abc", 3), 3);
    ssize_t result = waiter_end(&w);
    CHECK(result == -EBADF || (loop && backend == CONC_BACKEND_URING && result == 3));
    CHECK_EQUAL(recv(fds[0], buf, sizeof buf, MSG_DONTWAIT), 6);
    close(old);
    CHECK_EQUAL(conc_close(w.fd), 0);
    CHECK_EQUAL(conc_close(w.peer), 0);
    close_both(fds);
}

static void test_an_event_of_a_file_that_had_the_number_takes_nothing(void)
{
    struct side_loop side;
    side_loop_start(&side);
    for (int nonblocking = 0; nonblocking < 2; nonblocking++) {
        check_an_event_of_the_old_file_takes_nothing(side.loop, nonblocking);
        check_an_event_of_the_old_file_takes_nothing(NULL, nonblocking);
    }
    side_loop_end(&side);
}

static void test_without_a_free_descriptor_waits_end_as_well(void)
{
    struct side_loop side;
    side_loop_start(&side);
    for (int thread = 0; thread < 2; thread++) {
        struct waiter w = {.loop = thread ? NULL : side.loop, .what = WAIT_RECV};
        waiter_open(&w);
        waiter_start(&w);
        limit_descriptors(3); /* no copy is to be had */
        CHECK_EQUAL(write(w.peer, "abc", 3), 3);
        CHECK_EQUAL(waiter_end(&w), 3);
        limit_descriptors(0);
        close_both((int[]){w.fd, w.peer});
    }
    side_loop_end(&side);
}

static const struct CMUnitTest tests[] = {
    ON_EVERY_BACKEND(test_a_close_from_anywhere_ends_every_wait),
    ON_EVERY_BACKEND(test_all_that_wait_for_a_descriptor_hear_of_its_close),
    ON_EVERY_BACKEND(test_a_loop_that_is_busy_does_not_hold_a_close_for_ever),
    ON_EVERY_BACKEND(test_a_loop_that_does_not_run_hears_of_a_close),
    ON_EVERY_BACKEND(test_a_loop_that_is_freed_leaves_no_descriptor),
    ON_EVERY_BACKEND(test_loops_that_close_each_others_descriptors_at_once_do_not_wait_in_a_circle),
    ON_EVERY_BACKEND(test_a_child_closes_its_own_copy_alone),
    ON_EVERY_BACKEND(test_readers_of_other_loops_are_told_once),
    ON_EVERY_BACKEND(test_a_close_that_takes_long_does_not_hold_the_loop),
    ON_EVERY_BACKEND(test_a_callback_hands_over_a_close_that_takes_long),
    ON_EVERY_BACKEND(test_after_a_foreign_close_no_bytes_of_another_are_taken),
    ON_EVERY_BACKEND(test_an_event_of_a_file_that_had_the_number_takes_nothing),
    ON_EVERY_BACKEND(test_without_a_free_descriptor_waits_end_as_well),
};

TEST_MAIN(tests, 60)
