/* SPDX-License-Identifier: MIT
 *
 * test_backend_stress.c: storms of ops with cancels and time-outs at any moment, over both backends
 * and in threads. What is proved: each op ends once; a cancelled one has had no effect, so no byte
 * is lost or comes twice; and from an op's end on nothing touches its memory, which is poisoned
 * then.
 */
#include "probes.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>

#include <conc/lock.h>

enum { POISON = 0xdd, ROOM = 3000 };

static void poison(unsigned char *buf) { memset(buf, POISON, ROOM); }

static bool is_poison(const unsigned char *buf, size_t from)
{
    for (size_t i = from; i < ROOM; i++)
        if (buf[i] != POISON)
            return false;
    return true;
}

/* The byte at a place in a channel's stream; never the poison. */
static unsigned char byte_of(size_t channel, size_t place)
{
    return (unsigned char)((place * 7 + place / 211 + channel * 13) % POISON);
}

static size_t size_below(struct test_random *r, size_t n) { return test_random_below(r, n); }

/* ---- Raw ops ---- */

/* One end of a channel, or something else that has at most one op at a time. */
struct slot {
    struct probe probe;
    bool busy;
    bool writes, is_socket;
    size_t channel;
    int fd;
    size_t place; /* in the stream: how many bytes have gone through */
    unsigned char buf[ROOM];
};

static void check_moved(struct slot *s, ssize_t n)
{
    bool polled = s->probe.op.code == OP_POLL;
    CHECK(n > 0 || n == -ECANCELED);
    size_t moved = n > 0 && !polled ? (size_t)n : 0;
    if (!s->writes) {
        for (size_t i = 0; i < moved; i++)
            CHECK_EQUAL(s->buf[i], byte_of(s->channel, s->place + i));
        CHECK(is_poison(s->buf, moved));
    }
    s->place += moved;
    poison(s->buf);
}

static void begin_random(struct slot *s, struct test_random *r)
{
    CHECK(is_poison(s->buf, 0));
    struct op op = op_on(s->writes ? OP_WRITE : OP_READ, s->fd, s->buf, 1 + size_below(r, ROOM));
    uint64_t kind = test_random_below(r, 8);
    if (kind == 0)
        op = poll_op(s->fd, s->writes ? POLLOUT : POLLIN);
    else if (s->is_socket && kind < 5)
        op.code = s->writes ? OP_SEND : OP_RECV;
    if (op.code == OP_RECV && kind == 1)
        op.flags = MSG_WAITALL;
    if (s->writes)
        for (size_t i = 0; i < op.size; i++)
            s->buf[i] = byte_of(s->channel, s->place + i);
    s->busy = true;
    begin(&s->probe, op);
}

static void step(struct slot *s, struct test_random *r)
{
    if (!s->busy) {
        begin_random(s, r);
    } else if (s->probe.ended) {
        CHECK_EQUAL(s->probe.ended, 1);
        s->busy = false;
        check_moved(s, s->probe.op.result);
    } else if (test_random_below(r, 3) == 0) {
        cancel(&s->probe);
    }
}

static void finish_step(struct slot *s)
{
    if (s->busy && !s->probe.ended)
        cancel(&s->probe);
    if (s->busy)
        check_moved(s, end(&s->probe));
    s->busy = false;
}

/* What was sent and not yet received, and no more, is still there. */
static void check_rest(const struct slot *reader, const struct slot *writer)
{
    unsigned char buf[ROOM];
    size_t place = reader->place;
    close(writer->fd);
    for (ssize_t n; (n = read(reader->fd, buf, sizeof buf)) > 0;)
        for (ssize_t i = 0; i < n; i++)
            CHECK_EQUAL(buf[i], byte_of(reader->channel, place++));
    CHECK_EQUAL(place, writer->place);
    close(reader->fd);
}

static void test_storm_of_cancels_loses_no_byte(void)
{
    enum { CHANNELS = 12 };
    struct slot *slots = calloc(2 * CHANNELS, sizeof *slots);
    struct test_random r = test_random_for((unsigned)way);
    struct stress stress = stress_begin();
    for (size_t i = 0; i < CHANNELS; i++) {
        bool is_socket = i % 2;
        int fds[2];
        if (is_socket)
            make_sockets(SOCK_STREAM, fds);
        else
            make_pipe(fds);
        for (size_t k = 0; k < 2; k++) {
            slots[2 * i + k] =
                (struct slot){.writes = k == 1, .is_socket = is_socket, .channel = i, .fd = fds[k]};
            poison(slots[2 * i + k].buf);
        }
    }
    while (stress_goes_on(&stress)) {
        for (int i = 0; i < 8; i++)
            step(&slots[size_below(&r, 2 * CHANNELS)], &r);
        if (test_random_below(&r, 2))
            conc_yield();
    }
    size_t total = 0;
    for (size_t i = 0; i < 2 * CHANNELS; i++) {
        finish_step(&slots[i]);
        CHECK(is_poison(slots[i].buf, 0));
        total += slots[i].place;
    }
    for (size_t i = 0; i < CHANNELS; i++)
        check_rest(&slots[2 * i], &slots[2 * i + 1]);
    CHECK(total > 0);
    printf("# %zu bytes\n", total);
    free(slots);
}

/* ---- Offloaded ---- */

struct call_slot {
    struct probe probe;
    bool busy;
    int touched; /* by the call */
};

static ssize_t touch(void *arg) { return ++*(int *)arg; }

static void step_call(struct call_slot *s, struct test_random *r)
{
    if (!s->busy) {
        CHECK_EQUAL(s->touched, 0);
        s->busy = true;
        begin(&s->probe, (struct op){.code = OP_CALL, .call = touch, .arg = &s->touched});
    } else if (s->probe.ended) {
        ssize_t n = s->probe.op.result;
        CHECK_EQUAL(s->probe.ended, 1);
        CHECK(n == -ECANCELED || n == 1);
        CHECK_EQUAL(s->touched, n == 1);
        s->touched = 0;
        s->busy = false;
    } else if (test_random_below(r, 3) == 0) {
        cancel(&s->probe);
    }
}

static void test_storm_of_calls_that_are_cancelled(void)
{
    enum { CALLS = 12 };
    struct call_slot *slots = calloc(CALLS, sizeof *slots);
    struct test_random r = test_random_for(10 + (unsigned)way);
    struct stress stress = stress_begin();
    while (stress_goes_on(&stress)) {
        step_call(&slots[size_below(&r, CALLS)], &r);
        if (test_random_below(&r, 4) == 0)
            conc_yield();
    }
    for (int i = 0; i < CALLS; i++)
        if (slots[i].busy)
            end(&slots[i].probe);
    free(slots);
}

/* ---- conc__op_run() ---- */

enum { PAIRS = 3, PARTIES = 2 * PAIRS };

/* One end of a stream; all of them cancel each other. */
struct party {
    struct party *all;
    conc_lock lock;
    conc_scope *scope; /* it is in; NULL: none. Under `lock` */
    bool writes;
    unsigned number;
    int fd;
    size_t place, goal;
    unsigned timed_out, cancelled;
    unsigned char buf[ROOM];
};

static void publish(struct party *p, conc_scope *scope)
{
    conc_lock_enter(&p->lock);
    p->scope = scope;
    CHECK_EQUAL(conc_lock_release(&p->lock), 0);
}

static void cancel_party(struct party *p)
{
    conc_lock_enter(&p->lock);
    if (p->scope)
        conc_scope_cancel(p->scope);
    CHECK_EQUAL(conc_lock_release(&p->lock), 0);
}

/* In a scope that may be cancelled. */
static ssize_t run_one(struct party *p, struct test_random *r, size_t size)
{
    conc_scope scope;
    bool waits = test_random_below(r, 2);
    conc_deadline deadline =
        waits ? CONC_FOREVER : conc_in((int64_t)test_random_below(r, CONC_US(50)));
    struct op op = op_on(p->writes ? OP_SEND : OP_RECV, p->fd, p->buf, size);
    conc_scope_enter(&scope, CONC_FOREVER);
    publish(p, &scope);
    ssize_t n = conc__op_run(&op, "op", deadline);
    publish(p, NULL);
    int why = conc_scope_exit(&scope);
    CHECK_EQUAL(why, n == -ECANCELED ? -ECANCELED : 0);
    return n;
}

static int party_main(void *arg, void *result)
{
    struct party *p = *(struct party **)arg;
    struct test_random r = test_random_for(100 + 10 * (unsigned)way + 2 * p->number + p->writes);
    poison(p->buf);
    while (p->place < p->goal) {
        size_t most = p->goal - p->place < ROOM ? p->goal - p->place : ROOM;
        size_t size = 1 + size_below(&r, most);
        CHECK(is_poison(p->buf, 0));
        for (size_t i = 0; p->writes && i < size; i++)
            p->buf[i] = byte_of(p->number, p->place + i);
        ssize_t n = run_one(p, &r, size);
        CHECK(n > 0 || n == -ECANCELED || n == -ETIMEDOUT);
        for (ssize_t i = 0; !p->writes && i < n; i++)
            CHECK_EQUAL(p->buf[i], byte_of(p->number, p->place + (size_t)i));
        p->place += n > 0 ? (size_t)n : 0;
        p->timed_out += n == -ETIMEDOUT;
        p->cancelled += n == -ECANCELED;
        poison(p->buf);
        if (test_random_below(&r, 4) == 0)
            cancel_party(&p->all[size_below(&r, PARTIES)]);
        if (test_random_below(&r, 8) == 0) /* so that the other end has to wait */
            conc_sleep((int64_t)test_random_below(&r, CONC_US(200)));
    }
    return 0;
}

static void test_storm_of_waits_loses_no_byte(void)
{
    struct party *parties = calloc(PARTIES, sizeof *parties);
    conc_future *jobs[PARTIES];
    for (unsigned i = 0; i < PAIRS; i++) {
        int fds[2];
        make_sockets(SOCK_STREAM, fds);
        for (unsigned k = 0; k < 2; k++) {
            struct party *p = &parties[2 * i + k];
            *p = (struct party){.all = parties, .fd = fds[k], .writes = k == 1, .number = i};
            p->goal = crowd_of(3000000);
        }
    }
    for (int i = 0; i < PARTIES; i++) {
        struct party *p = &parties[i];
        jobs[i] = start(party_main, &p, sizeof p);
    }
    unsigned timed_out = 0, cancelled = 0;
    for (int i = 0; i < PARTIES; i++)
        CHECK_EQUAL(end_of(jobs[i]), 0);
    for (int i = 0; i < PARTIES; i++) {
        timed_out += parties[i].timed_out;
        cancelled += parties[i].cancelled;
        close(parties[i].fd);
    }
    printf("# %u timed out, %u cancelled\n", timed_out, cancelled);
    free(parties);
}

static const struct CMUnitTest tests[] = {
    ON_EVERY_LOOP(test_storm_of_cancels_loses_no_byte),
    ON_EVERY_LOOP(test_storm_of_calls_that_are_cancelled),
    ON_EVERY_WAY(test_storm_of_waits_loses_no_byte),
};

TEST_MAIN(tests, 100)
