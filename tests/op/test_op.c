/* SPDX-License-Identifier: MIT
 *
 * test_op.c: conc__op_run(), in a thread and in a task over either backend: deadlines, cancels,
 * what wins when an end comes with a success, and waits that no event ends.
 */
#include "probes.h"

#include <poll.h>
#include <stdio.h>
#include <sys/un.h>

#include <conc/loop.h>
#include <conc/task.h>

#include "base/hooks.h"
#include "op/closing.h"
#include "wait/thread.h"

static ssize_t run(struct op op, conc_deadline deadline)
{
    return conc__op_run(&op, "op", deadline);
}

static ssize_t receive(int fd, void *buf, size_t size, conc_deadline deadline)
{
    return run(op_on(OP_RECV, fd, buf, size), deadline);
}

static int waiting_ops(void) { return (int)blocked_on("op"); }

/* ---- Data and deadlines ---- */

static void test_what_is_there_is_taken_whatever_the_deadline(void)
{
    const conc_deadline deadlines[] = {CONC_FOREVER, CONC_NOW, conc_in(CONC_S(100)), conc_in(0)};
    int s[2];
    make_sockets(SOCK_STREAM, s);
    for (int i = 0; i < 4; i++) {
        char buf[8];
        put(s[1], "abc");
        CHECK_EQUAL(receive(s[0], buf, 8, deadlines[i]), 3);
    }
    close_both(s);
}

static void test_nothing_there_ends_by_the_deadline(void)
{
    int s[2];
    char buf[8];
    make_sockets(SOCK_STREAM, s);
    CHECK_EQUAL(receive(s[0], buf, 8, CONC_NOW), -EAGAIN);
    CHECK_EQUAL(receive(s[0], buf, 8, conc_in(0)), -ETIMEDOUT);
    CHECK_EQUAL(receive(s[0], buf, 8, conc_in(CONC_MS(5))), -ETIMEDOUT);
    CHECK_EQUAL(run(poll_op(s[0], POLLIN), conc_in(CONC_MS(5))), -ETIMEDOUT);
    CHECK_EQUAL(run(poll_op(s[0], POLLIN), CONC_NOW), -EAGAIN);
    fill_up(s[0]);
    CHECK_EQUAL(run(op_on(OP_SEND, s[0], "x", 1), conc_in(CONC_MS(5))), -ETIMEDOUT);
    put(s[1], "abc");
    CHECK_EQUAL(receive(s[0], buf, 8, CONC_FOREVER), 3); /* nothing was lost */
    close_both(s);
}

static void test_errors_are_told(void)
{
    char buf[8];
    CHECK_EQUAL(receive(-1, buf, 8, CONC_FOREVER), -EBADF);
    CHECK_EQUAL(run(poll_op(-1, POLLIN), CONC_FOREVER), -EBADF);
    CHECK_EQUAL(run((struct op){.code = OP_OPEN, .path = "/nowhere/at all"}, CONC_FOREVER),
                -ENOENT);
    int p[2];
    make_pipe(p);
    CHECK_EQUAL(receive(p[0], buf, 8, CONC_FOREVER), -ENOTSOCK);
    close_both(p);
}

struct reader {
    int fd;
    conc_deadline deadline;
    conc_scope *scope; /* NULL: none of its own */
    ssize_t result;
    int exit;
};

static int reader_main(void *arg, void *result)
{
    struct reader *r = *(struct reader **)arg;
    conc_scope own;
    char buf[8];
    conc_scope *scope = r->scope ? r->scope : &own;
    conc_scope_enter(scope, CONC_FOREVER);
    r->result = receive(r->fd, buf, 8, r->deadline);
    r->exit = conc_scope_exit(scope);
    return r->result < 0 ? (int)r->result : 0;
}

static conc_future *start_reader(struct reader *r)
{
    conc_future *f = start(reader_main, &r, sizeof r);
    UNTIL(waiting_ops() > 0);
    return f;
}

static void test_waiting_ops_end_when_there_is_something(void)
{
    int s[2];
    make_sockets(SOCK_STREAM, s);
    struct reader r = {.fd = s[0], .deadline = CONC_FOREVER};
    conc_future *f = start_reader(&r);
    put(s[1], "abc");
    CHECK_EQUAL(end_of(f), 0);
    CHECK_EQUAL(r.result, 3);
    CHECK_EQUAL(r.exit, 0);
    close_both(s);
}

static void test_deadline_on_a_moved_clock_ends_the_wait(void)
{
    store_relaxed(&conc__hooks.sound_sleep, 0); /* a sleeping waiter is to notice by itself */
    int s[2];
    make_sockets(SOCK_STREAM, s);
    struct reader r = {.fd = s[0], .deadline = conc_in(CONC_S(1000))};
    conc_future *f = start_reader(&r);
    conc__test_advance(CONC_S(2000));
    CHECK_EQUAL(end_of(f), -ETIMEDOUT);
    CHECK_EQUAL(r.exit, 0); /* no scope has ended it */
    close_both(s);
}

/* ---- Cancelling ---- */

static void test_cancelled_scope_ends_the_wait(void)
{
    int s[2];
    char buf[8];
    conc_scope scope;
    make_sockets(SOCK_STREAM, s);
    struct reader r = {.fd = s[0], .deadline = CONC_FOREVER, .scope = &scope};
    conc_future *f = start_reader(&r);
    conc_scope_cancel(&scope);
    CHECK_EQUAL(end_of(f), -ECANCELED);
    CHECK_EQUAL(r.exit, -ECANCELED);
    put(s[1], "abc");
    CHECK_EQUAL(receive(s[0], buf, 8, CONC_FOREVER), 3);
    close_both(s);
}

static void test_cancelled_future_ends_the_wait(void)
{
    int s[2];
    make_sockets(SOCK_STREAM, s);
    struct reader r = {.fd = s[0], .deadline = conc_in(CONC_S(1000))};
    conc_future *f = start_reader(&r);
    CHECK(conc_future_cancel(f));
    CHECK_EQUAL(end_of(f), -ECANCELED);
    CHECK_EQUAL(r.result, -ECANCELED);
    close_both(s);
}

static void test_deadline_of_a_scope_ends_the_wait(void)
{
    int s[2];
    char buf[8];
    conc_scope scope;
    make_sockets(SOCK_STREAM, s);
    conc_scope_enter(&scope, conc_in(CONC_MS(5)));
    CHECK_EQUAL(receive(s[0], buf, 8, CONC_FOREVER), -ECANCELED);
    CHECK_EQUAL(receive(s[0], buf, 8, CONC_FOREVER), -ECANCELED);
    CHECK_EQUAL(conc_scope_exit(&scope), -ETIMEDOUT);
    conc_scope_enter(&scope, conc_in(CONC_S(1000)));
    CHECK_EQUAL(receive(s[0], buf, 8, conc_in(CONC_MS(5))), -ETIMEDOUT);
    CHECK_EQUAL(conc_scope_exit(&scope), 0);
    close_both(s);
}

static void test_op_in_an_ended_scope_has_no_effect_unless_NOW(void)
{
    int s[2];
    char buf[8];
    conc_scope scope;
    struct stat st;
    make_sockets(SOCK_STREAM, s);
    put(s[1], "abc");
    conc_scope_enter(&scope, conc_in(0));
    CHECK_EQUAL(receive(s[0], buf, 8, CONC_FOREVER), -ECANCELED);
    CHECK_EQUAL(receive(s[0], buf, 8, CONC_NOW), 3);
    struct op op = {.code = OP_STAT, .fd = s[0], .path = "", .stat = &st};
    op.flags = AT_EMPTY_PATH;
    CHECK_EQUAL(run(op, CONC_FOREVER), -ECANCELED);
    CHECK_EQUAL(run(op, CONC_NOW), 0); /* files are always ready */
    CHECK(S_ISSOCK(st.st_mode));
    CHECK_EQUAL(conc_scope_exit(&scope), -ETIMEDOUT);
    close_both(s);
}

/* ---- What cannot be cut short ---- */

static ssize_t wait_at_gate(void *arg)
{
    job_gate_shielded(&arg, NULL);
    return 5;
}

struct caller {
    struct gate gate;
    conc_deadline deadline;
    conc_scope scope;
    ssize_t result;
    int exit;
};

static int caller_main(void *arg, void *result)
{
    struct caller *c = *(struct caller **)arg;
    conc_scope_enter(&c->scope, CONC_FOREVER);
    c->result =
        run((struct op){.code = OP_CALL, .call = wait_at_gate, .arg = &c->gate}, c->deadline);
    c->exit = conc_scope_exit(&c->scope);
    return 0;
}

static void test_call_that_succeeds_late_has_succeeded(void)
{
    for (int cancel = 0; cancel < 2; cancel++) {
        store_relaxed(&conc__hooks.sound_sleep, 0); /* the clock moves */
        struct caller c = {.deadline = conc_in(CONC_S(1000))};
        struct caller *arg = &c;
        conc_future *f = start(caller_main, &arg, sizeof arg);
        UNTIL(runs_of(&c.gate) == 1);
        if (cancel)
            conc_scope_cancel(&c.scope);
        else
            conc__test_advance(CONC_S(2000));
        conc_sleep(CONC_MS(10)); /* time to notice */
        CHECK(!conc_future_is_done(f));
        conc_event_set(&c.gate.open);
        CHECK_EQUAL(end_of(f), 0);
        CHECK_EQUAL(c.result, 5);
        CHECK_EQUAL(c.exit, 0); /* the scope was told of nothing */
    }
}

static void test_files_are_read_and_written_with_NOW(void)
{
    char name[64], buf[8];
    snprintf(name, sizeof name, "/tmp/libconc-op-%d", (int)getpid());
    struct op op = {.code = OP_OPEN, .path = name, .flags = O_CREAT | O_RDWR | O_CLOEXEC};
    op.mode = 0600;
    int fd = (int)run(op, CONC_NOW);
    CHECK(fd >= 0);
    unlink(name);
    CHECK_EQUAL(run(op_on(OP_WRITE, fd, "abc", 3), CONC_NOW), 3);
    CHECK_EQUAL(run(op_on(OP_PWRITE, fd, "x", 1), CONC_NOW), 1);
    CHECK_EQUAL(run(op_on(OP_PREAD, fd, buf, 8), CONC_NOW), 3);
    CHECK(!memcmp(buf, "xbc", 3));
    CHECK_EQUAL(run(op_on(OP_READ, fd, buf, 8), CONC_NOW), 0);
    close(fd);
}

static void test_file_is_always_readable_but_never_urgent(void)
{
    int fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
    CHECK_EQUAL(run(poll_op(fd, POLLIN), CONC_FOREVER), POLLIN);
    CHECK_EQUAL(run(poll_op(fd, POLLPRI), CONC_NOW), -EAGAIN);
    CHECK_EQUAL(run(poll_op(fd, POLLPRI), conc_in(CONC_MS(5))), -ETIMEDOUT);
    close(fd);
}

/* ---- When no event tells ---- */

static struct sockaddr_un abstract(const char *name)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    snprintf(address.sun_path + 1, sizeof address.sun_path - 1, "libconc-%d-%s", (int)getpid(),
             name);
    return address;
}

struct sender {
    struct op op;
    conc_deadline deadline;
};

static int sender_main(void *arg, void *result)
{
    struct sender *s = *(struct sender **)arg;
    ssize_t n = run(s->op, s->deadline);
    return n < 0 ? (int)n : 0;
}

/* A sender that finds no room: it gives up in time, or goes on when there is some. */
static void check_finds_room(struct op op, int (*make_room)(int fd), int fd)
{
    struct sender in_time = {.op = op, .deadline = conc_in(CONC_MS(20))}, *arg = &in_time;
    CHECK_EQUAL(end_of(start(sender_main, &arg, sizeof arg)), -ETIMEDOUT);
    struct sender waits = {.op = op, .deadline = CONC_FOREVER};
    arg = &waits;
    conc_future *f = start(sender_main, &arg, sizeof arg);
    conc_sleep(CONC_MS(5)); /* let it try: if it has not, the test proves less */
    CHECK(!conc_future_is_done(f));
    CHECK(make_room(fd) >= 0);
    CHECK_EQUAL(end_of(f), 0);
}

static int accept_one(int fd)
{
    int server = accept(fd, NULL, NULL);
    close(server);
    return server;
}

static void test_connect_to_a_full_backlog_waits_for_room(void)
{
    struct sockaddr_un address = abstract("backlog");
    struct sockaddr *at = (struct sockaddr *)&address;
    int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int clients[3];
    CHECK_EQUAL(bind(listener, at, sizeof address), 0);
    CHECK_EQUAL(listen(listener, 1), 0);
    for (int i = 0; i < 3; i++) {
        clients[i] = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (i < 2)
            CHECK_EQUAL(connect(clients[i], at, sizeof address), 0);
    }
    struct op op = {.code = OP_CONNECT, .fd = clients[2], .addr = at, .size = sizeof address};
    CHECK_EQUAL(run(op, CONC_NOW), -EAGAIN);
    check_finds_room(op, accept_one, listener);
    for (int i = 0; i < 3; i++)
        close(clients[i]);
    close(listener);
}

static int receive_one(int fd)
{
    char buf[8];
    return (int)recv(fd, buf, 8, 0);
}

static void test_datagram_to_a_full_peer_waits_for_room(void)
{
    struct sockaddr_un address = abstract("peer");
    int peer = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    char abcd[] = "abcd";
    struct iovec data = {abcd, 4};
    struct msghdr msg = {.msg_name = &address, .msg_namelen = sizeof address};
    msg.msg_iov = &data;
    msg.msg_iovlen = 1;
    CHECK_EQUAL(bind(peer, (struct sockaddr *)&address, sizeof address), 0);
    struct op op = {.code = OP_SENDMSG, .fd = fd, .msg = &msg};
    while (run(op, CONC_NOW) == 4)
        continue;
    check_finds_room(op, receive_one, peer);
    close(peer);
    close(fd);
}

/* ---- On a loop ---- */

static int set_flag(void *arg, void *result)
{
    store_release(*(bool **)arg, true);
    return 0;
}

static void test_ops_that_never_wait_let_others_run(void)
{
    int s[2];
    char c;
    bool flag = false, *arg = &flag;
    make_sockets(SOCK_STREAM, s);
    conc_future *f = start(set_flag, &arg, sizeof arg);
    do {
        CHECK_EQUAL(run(op_on(OP_SEND, s[1], "x", 1), CONC_FOREVER), 1);
        CHECK_EQUAL(receive(s[0], &c, 1, CONC_FOREVER), 1);
    } while (!load_acquire(&flag));
    CHECK_EQUAL(end_of(f), 0);
    close_both(s);
}

static void test_closing_ends_a_wait(void)
{
    int s[2];
    make_sockets(SOCK_STREAM, s);
    struct reader r = {.fd = s[0], .deadline = CONC_FOREVER};
    conc_future *f = start_reader(&r);
    CHECK_EQUAL(conc__fd_close(s[0]), 0);
    CHECK_EQUAL(end_of(f), -EBADF);
    CHECK_EQUAL(r.exit, 0);
    close(s[1]);
}

/* On the loop's own stack the caller is a thread: it holds the loop, but it works. */
struct on_loop {
    int fds[2];
    ssize_t results[2];
    conc_loop *loop;
};

static void receive_in_callback(void *arg)
{
    struct on_loop *o = arg;
    char buf[8];
    o->results[0] = receive(o->fds[0], buf, 8, conc_in(CONC_MS(5)));
    put(o->fds[1], "abc");
    o->results[1] = receive(o->fds[0], buf, 8, CONC_FOREVER);
    conc_loop_stop(o->loop);
}

static void test_callback_waits_as_a_thread(void)
{
    static const conc_backend backends[] = {CONC_BACKEND_ANY, CONC_BACKEND_EPOLL};
    for (int i = 0; i < 2; i++) {
        const conc_loop_options options = {.backend = backends[i]};
        struct on_loop o;
        make_sockets(SOCK_STREAM, o.fds);
        CHECK_EQUAL(conc_loop_new(&o.loop, &options), 0);
        CHECK_EQUAL(conc_loop_call_soon(o.loop, receive_in_callback, &o, NULL), 0);
        CHECK_EQUAL(conc_loop_run_forever(o.loop), 0);
        CHECK_EQUAL(conc_loop_free(o.loop), 0);
        CHECK_EQUAL(o.results[0], -ETIMEDOUT);
        CHECK_EQUAL(o.results[1], 3);
        close_both(o.fds);
    }
}

/* ---- In a thread ---- */

static void test_thread_without_a_descriptor_for_kicks_is_cancelled_too(void)
{
    int s[2];
    conc_scope scope;
    make_sockets(SOCK_STREAM, s);
    limit_descriptors(3);
    struct reader r = {.fd = s[0], .deadline = CONC_FOREVER, .scope = &scope};
    conc_future *f = start_reader(&r);
    conc_scope_cancel(&scope);
    CHECK_EQUAL(end_of(f), -ECANCELED);
    r = (struct reader){.fd = s[0], .deadline = conc_in(CONC_MS(30))};
    f = start_reader(&r);
    CHECK_EQUAL(end_of(f), -ETIMEDOUT);
    r = (struct reader){.fd = s[0], .deadline = CONC_FOREVER};
    f = start_reader(&r);
    put(s[1], "abc");
    CHECK_EQUAL(end_of(f), 0);
    limit_descriptors(0);
    close_both(s);
}

static int kick_fd_in_child(void *arg) { return thread_of(context_self())->kick_fd < 0; }

static void test_child_of_a_fork_has_no_kicks_of_its_parent(void)
{
    int s[2];
    char buf[8];
    make_sockets(SOCK_STREAM, s);
    CHECK_EQUAL(receive(s[0], buf, 8, conc_in(CONC_MS(1))), -ETIMEDOUT);
    CHECK(thread_of(context_self())->kick_fd >= 0);
    CHECK_EQUAL(in_child(kick_fd_in_child, NULL), 1);
    close_both(s);
}

static const struct CMUnitTest tests[] = {
    ON_EVERY_WAY(test_what_is_there_is_taken_whatever_the_deadline),
    ON_EVERY_WAY(test_nothing_there_ends_by_the_deadline),
    ON_EVERY_WAY(test_errors_are_told),
    ON_EVERY_WAY(test_waiting_ops_end_when_there_is_something),
    ON_EVERY_WAY(test_deadline_on_a_moved_clock_ends_the_wait),
    ON_EVERY_WAY(test_cancelled_scope_ends_the_wait),
    ON_EVERY_WAY(test_cancelled_future_ends_the_wait),
    ON_EVERY_WAY(test_deadline_of_a_scope_ends_the_wait),
    ON_EVERY_WAY(test_op_in_an_ended_scope_has_no_effect_unless_NOW),
    ON_EVERY_WAY(test_call_that_succeeds_late_has_succeeded),
    ON_EVERY_WAY(test_files_are_read_and_written_with_NOW),
    ON_EVERY_WAY(test_file_is_always_readable_but_never_urgent),
    ON_EVERY_WAY(test_connect_to_a_full_backlog_waits_for_room),
    ON_EVERY_WAY(test_datagram_to_a_full_peer_waits_for_room),
    ON_EVERY_WAY(test_ops_that_never_wait_let_others_run),
    ON_EVERY_LOOP(test_closing_ends_a_wait),
    ON_WAY(test_callback_waits_as_a_thread, ON_THREADS, "threads"),
    ON_WAY(test_thread_without_a_descriptor_for_kicks_is_cancelled_too, ON_THREADS, "threads"),
    ON_WAY(test_child_of_a_fork_has_no_kicks_of_its_parent, ON_THREADS, "threads"),
};

TEST_MAIN(tests, 60)
