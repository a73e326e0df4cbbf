/* SPDX-License-Identifier: MIT
 *
 * test_uring_stress.c: cancels that race with completions. A thread sends a known sequence of bytes
 * into many sockets, and reads another from them; the test receives and sends the same through the
 * backend, and cancels at random. So each byte comes just once, whatever was cancelled; and memory
 * that is poisoned when its op has ended stays so: the kernel writes to it no more.
 */
#include "ring_rig.h"

#include "base/atomic.h"

enum { LANES = 24, MOST = 16, POISON = 0xa5 };

/* A socket, and its two directions. */
struct lane {
    struct ends ends; /* a: the backend's, b: the peer's */
    struct call recv, send;
    bool receiving, sending;
    unsigned char in[MOST], out[MOST];
    uint8_t next_in, next_out;           /* of the test: the byte that comes next */
    uint8_t peer_next_in, peer_next_out; /* of the peer */
};

struct storm {
    struct rig rig;
    struct lane lanes[LANES];
    struct test_random random;
    uint32_t stop;
    size_t received, sent, cancelled;
};

/* ---- The peer: a thread ---- */

static void peer_sends(struct lane *lane, size_t n)
{
    unsigned char bytes[MOST];
    for (size_t i = 0; i < n; i++)
        bytes[i] = (uint8_t)(lane->peer_next_out + i);
    ssize_t sent = send(lane->ends.b, bytes, n, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (sent > 0)
        lane->peer_next_out = (uint8_t)(lane->peer_next_out + sent);
}

static void peer_receives(struct lane *lane)
{
    unsigned char bytes[MOST];
    ssize_t n = recv(lane->ends.b, bytes, sizeof bytes, MSG_DONTWAIT);
    for (ssize_t i = 0; i < n; i++)
        CHECK_EQUAL(bytes[i], lane->peer_next_in++);
}

static void run_peer(void *arg)
{
    struct storm *storm = arg;
    struct test_random random = test_random_for(1);
    while (!load_relaxed(&storm->stop)) { /* relaxed: nothing else is told */
        struct lane *lane = &storm->lanes[test_random_below(&random, LANES)];
        if (test_random_below(&random, 2))
            peer_sends(lane, 1 + test_random_below(&random, MOST));
        else
            peer_receives(lane);
    }
}

/* ---- The test ---- */

static bool is_poisoned(const unsigned char *bytes)
{
    for (int i = 0; i < MOST; i++)
        if (bytes[i] != POISON)
            return false;
    return true;
}

static bool had_no_effect(ssize_t result) { return result == -ECANCELED || result == -EBADF; }

static void recv_ended(struct call *call)
{
    struct storm *storm = list_entry(call->rig, struct storm, rig);
    struct lane *lane = call->data;
    ssize_t n = call->op.result;
    lane->receiving = false;
    CHECK_EQUAL(call->ended, 1);
    CHECK(n > 0 || had_no_effect(n));
    CHECK(n > 0 || is_poisoned(lane->in));
    for (ssize_t i = 0; i < n; i++)
        CHECK_EQUAL(lane->in[i], lane->next_in++);
    memset(lane->in, POISON, sizeof lane->in);
    storm->received += n > 0 ? (size_t)n : 0;
}

static void send_ended(struct call *call)
{
    struct storm *storm = list_entry(call->rig, struct storm, rig);
    struct lane *lane = call->data;
    ssize_t n = call->op.result;
    lane->sending = false;
    CHECK_EQUAL(call->ended, 1);
    CHECK(n > 0 || had_no_effect(n));
    if (n > 0) {
        lane->next_out = (uint8_t)(lane->next_out + n);
        storm->sent += (size_t)n;
    }
    memset(lane->out, POISON, sizeof lane->out); /* no longer to be sent */
}

static void start_recv(struct storm *storm, struct lane *lane)
{
    CHECK(is_poisoned(lane->in));
    size_t n = 1 + test_random_below(&storm->random, MOST);
    lane->recv = call_move(OP_RECV, lane->ends.a, lane->in, n);
    lane->recv.data = lane;
    lane->recv.then = recv_ended;
    lane->receiving = true;
    call_start(&storm->rig, &lane->recv);
}

static void start_send(struct storm *storm, struct lane *lane)
{
    size_t n = 1 + test_random_below(&storm->random, MOST);
    for (size_t i = 0; i < n; i++)
        lane->out[i] = (uint8_t)(lane->next_out + i);
    lane->send = call_move(OP_SEND, lane->ends.a, lane->out, n);
    lane->send.data = lane;
    lane->send.then = send_ended;
    lane->sending = true;
    call_start(&storm->rig, &lane->send);
}

static void cancel(struct storm *storm, struct call *call)
{
    storm->cancelled++;
    call_cancel(call);
}

static void step(struct storm *storm)
{
    struct lane *lane = &storm->lanes[test_random_below(&storm->random, LANES)];
    switch (test_random_below(&storm->random, 8)) {
    case 0:
    case 1:
        if (!lane->receiving)
            start_recv(storm, lane);
        break;
    case 2:
    case 3:
        if (!lane->sending)
            start_send(storm, lane);
        break;
    case 4:
        if (lane->receiving)
            cancel(storm, &lane->recv);
        break;
    case 5:
        if (lane->sending)
            cancel(storm, &lane->send);
        break;
    case 6:
        if (test_random_below(&storm->random, 8) == 0)
            conc__uring.closing(storm->rig.io, lane->ends.a); /* but it is not closed */
        break;
    default:
        rig_turn(&storm->rig, test_random_below(&storm->random, 4) ? CONC_NOW : conc_in(1000));
    }
}

static void open_lanes(struct storm *storm)
{
    for (int i = 0; i < LANES; i++) {
        struct lane *lane = &storm->lanes[i];
        const int small = 1; /* so that sends have to wait, too */
        lane->ends = open_sockets(0);
        setsockopt(lane->ends.a, SOL_SOCKET, SO_SNDBUF, &small, sizeof small);
        memset(lane->in, POISON, sizeof lane->in);
    }
}

/* What has been sent and is not counted yet is in the socket. */
static void check_nothing_is_lost(struct lane *lane)
{
    unsigned char c;
    while (recv(lane->ends.a, &c, 1, MSG_DONTWAIT) == 1)
        CHECK_EQUAL(c, lane->next_in++);
    CHECK_EQUAL(lane->next_in, lane->peer_next_out);
    while (recv(lane->ends.b, &c, 1, MSG_DONTWAIT) == 1)
        CHECK_EQUAL(c, lane->peer_next_in++);
    CHECK_EQUAL(lane->peer_next_in, lane->next_out);
}

static void end_lanes(struct storm *storm)
{
    for (int i = 0; i < LANES; i++) {
        struct lane *lane = &storm->lanes[i];
        if (lane->receiving)
            call_cancel(&lane->recv);
        if (lane->sending)
            call_cancel(&lane->send);
    }
    while (storm->rig.driver.ops)
        rig_turn(&storm->rig, CONC_FOREVER);
    for (int i = 0; i < LANES; i++) {
        CHECK(is_poisoned(storm->lanes[i].in));
        check_nothing_is_lost(&storm->lanes[i]);
        close_ends(storm->lanes[i].ends);
    }
}

static void run_storm(const struct ring_shape *shape, unsigned index)
{
    struct storm storm = {.random = test_random_for(2 + index)};
    struct stress stress = stress_begin();
    struct test_thread peer;
    stress.end = real_now() + (stress.end - real_now()) / 4; /* there are four storms */
    rig_open(&storm.rig, shape);
    open_lanes(&storm);
    test_thread_start(&peer, NULL, run_peer, &storm);
    for (int i = 0; i % 64 || stress_goes_on(&stress); i++)
        step(&storm);
    store_relaxed(&storm.stop, 1);
    test_thread_join(&peer);
    end_lanes(&storm);
    rig_close(&storm.rig);
    printf("# %zu bytes received, %zu sent, %zu calls to cancel\n", storm.received, storm.sent,
           storm.cancelled);
}

static void test_cancels_that_race_with_completions_lose_nothing_and_write_nothing(void **state)
{
    struct ring_shape shape = conc__ring_shape;
    run_storm(&shape, 0);
    shape.entries = shape.completions = 4; /* everything waits for room, and runs over */
    run_storm(&shape, 1);
    shape.rung = 1;
    run_storm(&shape, 2);
    shape.rung = RING_RUNGS - 1;
    run_storm(&shape, 3);
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_cancels_that_race_with_completions_lose_nothing_and_write_nothing),
};

static void test_where_io_uring_is_refused_there_is_no_storm(void **state)
{
    struct ring ring;
    assert_int_equal(conc__ring_init(&ring), -ENOSYS);
}

static const struct CMUnitTest tests_if_refused[] = {
    cmocka_unit_test(test_where_io_uring_is_refused_there_is_no_storm),
};

RING_TEST_MAIN(tests, tests_if_refused, 100)
