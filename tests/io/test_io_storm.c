/* SPDX-License-Identifier: MIT
 *
 * test_io_storm.c: threads, tasks over io_uring and tasks over epoll send to each other through
 * pipes and sockets, with deadlines and cancellations at any moment.
 *
 * What must hold: a call that gave up has had no effect, and one that had an effect says so; hence
 * each byte arrives once, in its place, whatever was cancelled. And when a call has returned,
 * nothing touches its buffer any more: each buffer is poisoned then, and looked at again later.
 */
#include "storms.h"

#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include <conc/net.h>

enum {
    FLOWS = 14,   /* that run at the same time */
    GOAL = 60000, /* bytes that each brings over */
    ROOM = 4096,  /* of a buffer */
    BUFFERS = 8,  /* of an end: so long a poisoned one lies */
};

enum channel { PIPE, STREAM, TCP, MESSAGES, CHANNELS };

struct end {
    struct caller caller;
    int fd;
    unsigned next;
    unsigned char buffers[BUFFERS][ROOM];
};

/* One direction of a channel. */
struct flow {
    enum channel channel;
    unsigned seed; /* of its bytes */
    struct end from, to;
    bool ended;
};

static unsigned char byte_at(const struct flow *f, size_t at)
{
    return (unsigned char)(at * 167 + at / 256 * 13 + f->seed);
}

/* The one that has lain there for longest: as it was left? */
static unsigned char *take_buffer(struct end *e)
{
    unsigned char *buf = e->buffers[e->next++ % BUFFERS];
    CHECK(is_all(buf, ROOM, POISON));
    return buf;
}

static size_t some_size(struct caller *c)
{
    return 1 + test_random_below(&c->random, test_random_below(&c->random, 2) ? ROOM : 64);
}

static ssize_t some_send(struct flow *f, unsigned char *buf, size_t n, conc_deadline deadline)
{
    int fd = f->from.fd;
    struct iovec parts[] = {{buf, n / 2}, {buf + n / 2, n - n / 2}};
    const struct msghdr msg = {.msg_iov = parts, .msg_iovlen = 2};
    switch (f->channel == PIPE ? 0 : test_random_below(&f->from.caller.random, 4)) {
    case 0:
        return conc_write(fd, buf, n, deadline);
    case 1:
        return conc_sendmsg(fd, &msg, 0, deadline);
    case 2:
        return conc_sendto(fd, buf, n, 0, NULL, 0, deadline);
    default:
        return conc_send(fd, buf, n, 0, deadline);
    }
}

static ssize_t some_recv(struct flow *f, unsigned char *buf, size_t n, conc_deadline deadline)
{
    int fd = f->to.fd;
    struct iovec parts[] = {{buf, n / 2}, {buf + n / 2, n - n / 2}};
    struct msghdr msg = {.msg_iov = parts, .msg_iovlen = 2};
    switch (f->channel == PIPE ? 0 : test_random_below(&f->to.caller.random, 4)) {
    case 0:
        return conc_read(fd, buf, n, deadline);
    case 1:
        return conc_recvmsg(fd, &msg, 0, deadline);
    case 2:
        return conc_recvfrom(fd, buf, n, 0, NULL, NULL, deadline);
    default:
        return conc_recv(fd, buf, n, 0, deadline);
    }
}

/* Now and then. What is reported, if anything is, may be gone again. */
static void maybe_poll(struct caller *c, int fd, short events)
{
    if (test_random_below(&c->random, 8))
        return;
    conc_scope scope;
    begin_call(c, &scope);
    end_call(c, &scope, conc_poll_fd(fd, events, some_deadline(&c->random)));
}

static int job_send(void *arg, void *result)
{
    struct flow *f = *(struct flow **)arg;
    struct end *e = &f->from;
    for (size_t at = 0; at < GOAL;) {
        size_t n = some_size(&e->caller);
        unsigned char *buf = take_buffer(e);
        for (size_t i = 0; i < n; i++)
            buf[i] = byte_at(f, at + i);
        maybe_poll(&e->caller, e->fd, POLLOUT);
        conc_scope scope;
        begin_call(&e->caller, &scope);
        ssize_t sent = some_send(f, buf, n, some_deadline(&e->caller.random));
        if (end_call(&e->caller, &scope, sent))
            at += (size_t)sent;
        memset(buf, POISON, ROOM);
    }
    if (f->channel == PIPE)
        CHECK_EQUAL(conc_close(e->fd), 0);
    else
        CHECK_EQUAL(conc_shutdown(e->fd, SHUT_WR), 0);
    return 0;
}

static void check_received(const struct flow *f, const unsigned char *buf, ssize_t n, size_t at)
{
    size_t got = n > 0 ? (size_t)n : 0;
    for (size_t i = 0; i < got; i++)
        CHECK_EQUAL(buf[i], byte_at(f, at + i));
    CHECK(is_all(buf + got, ROOM - got, UNTOUCHED));
}

static int job_receive(void *arg, void *result)
{
    struct flow *f = *(struct flow **)arg;
    struct end *e = &f->to;
    size_t at = 0;
    for (ssize_t got = -1; got != 0;) {
        /* A message that has no room would be cut. */
        size_t n = f->channel == MESSAGES ? ROOM : some_size(&e->caller);
        unsigned char *buf = take_buffer(e);
        memset(buf, UNTOUCHED, ROOM);
        maybe_poll(&e->caller, e->fd, POLLIN);
        conc_scope scope;
        begin_call(&e->caller, &scope);
        got = some_recv(f, buf, n, some_deadline(&e->caller.random));
        check_received(f, buf, got, at);
        if (end_call(&e->caller, &scope, got))
            at += (size_t)got;
        memset(buf, POISON, ROOM);
    }
    CHECK(at >= GOAL && at < GOAL + ROOM);
    __atomic_store_n(&f->ended, true, __ATOMIC_RELEASE);
    return 0;
}

/* ---- A round ---- */

static void open_channel(enum channel channel, int fds[2])
{
    switch (channel) {
    case PIPE:
        make_pipe(fds);
        break;
    case TCP:
        make_tcp(fds);
        break;
    default:
        make_sockets(channel == STREAM ? SOCK_STREAM : SOCK_SEQPACKET, fds);
    }
}

static void end_init(struct end *e, struct test_random *random, int fd)
{
    *e = (struct end){.fd = fd};
    e->caller.random.state = test_random_next(random);
    memset(e->buffers, POISON, sizeof e->buffers);
}

static void end_check(const struct end *e)
{
    for (int i = 0; i < BUFFERS; i++)
        CHECK(is_all(e->buffers[i], ROOM, POISON));
}

static void round_of(struct test_random *random)
{
    struct flow *flows = calloc(FLOWS, sizeof *flows);
    int fds[FLOWS][2];
    conc_future *f[2 * FLOWS];
    for (int i = 0; i < FLOWS; i++) {
        struct flow *flow = &flows[i];
        flow->channel = (enum channel)test_random_below(random, CHANNELS);
        flow->seed = (unsigned)test_random_next(random);
        open_channel(flow->channel, fds[i]);
        end_init(&flow->to, random, fds[i][0]);
        end_init(&flow->from, random, fds[i][1]);
        f[2 * i] = run_somewhere(random, job_send, &flow, sizeof flow);
        f[2 * i + 1] = run_somewhere(random, job_receive, &flow, sizeof flow);
    }
    for (int running = FLOWS; running > 0;) {
        struct flow *flow = &flows[test_random_below(random, FLOWS)];
        cancel_call(test_random_below(random, 2) ? &flow->from.caller : &flow->to.caller);
        conc_sleep((int64_t)test_random_below(random, CONC_US(50)));
        running = 0;
        for (int i = 0; i < FLOWS; i++)
            running += !__atomic_load_n(&flows[i].ended, __ATOMIC_ACQUIRE);
    }
    for (int i = 0; i < 2 * FLOWS; i++)
        CHECK_EQUAL(end_of(f[i]), 0);
    for (int i = 0; i < FLOWS; i++) {
        CHECK_EQUAL(conc_close(fds[i][0]), 0);
        if (flows[i].channel != PIPE)
            CHECK_EQUAL(conc_close(fds[i][1]), 0);
        end_check(&flows[i].from);
        end_check(&flows[i].to);
    }
    free(flows);
}

static void test_every_byte_arrives_once_in_its_place(void) { storm(0, round_of); }

/* Where the body itself runs; the storm is everywhere. */
static const struct CMUnitTest tests[] = {
    ON_WAY(test_every_byte_arrives_once_in_its_place, ON_THREADS, "all"),
};

TEST_MAIN(tests, 90)
