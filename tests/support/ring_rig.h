/* SPDX-License-Identifier: MIT
 *
 * ring_rig.h: the io_uring backend turned by hand, in the test's own thread: a driver that only
 * counts, ops that note their ends, and a turn when the test wants one.
 */
#ifndef CONC_TESTS_RING_RIG_H
#define CONC_TESTS_RING_RIG_H

#include "support.h"

#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "backend/backends.h"
#include "backend/uring/ring.h"
#include "base/hooks.h"
#include "op/driver.h"

struct rig {
    struct driver driver;
    void *io;
    struct ring_shape shape_before;
    int32_t blocks_before;
};

/* One op, and how it ended. */
struct call {
    struct op op;
    int ended; /* how often it has ended: must be once */
    void (*then)(struct call *call);
    struct rig *rig;
    void *data; /* the test's */
};

static inline void rig_open(struct rig *rig, const struct ring_shape *shape)
{
    memset(rig, 0, sizeof *rig);
    rig->shape_before = conc__ring_shape;
    rig->blocks_before = conc__hooks.allocated;
    if (shape)
        conc__ring_shape = *shape;
    rig->driver.wake_fd = eventfd(0, EFD_CLOEXEC);
    CHECK(rig->driver.wake_fd >= 0);
    CHECK_EQUAL(conc__uring.init(&rig->io, rig->driver.wake_fd), 0);
}

/* All ops must have ended, and no memory may be left. */
static inline void rig_close(struct rig *rig)
{
    CHECK_EQUAL(rig->driver.ops, 0);
    conc__uring.fini(rig->io);
    while (load_acquire(&rig->driver.posters))
        sched_yield();
    close(rig->driver.wake_fd);
    conc__ring_shape = rig->shape_before;
    CHECK_EQUAL(conc__hooks.allocated, rig->blocks_before);
}

static inline struct ring *rig_ring(const struct rig *rig) { return rig->io; }

static inline void rig_turn(struct rig *rig, conc_deadline until)
{
    if (!conc__driver_fall_asleep(&rig->driver)) /* threads have ended ops */
        until = CONC_NOW;
    conc__uring.turn(rig->io, until);
    conc__driver_take(&rig->driver);
}

static inline void call_ended(struct op *op)
{
    struct call *call = list_entry(op, struct call, op);
    call->ended++;
    if (call->then)
        call->then(call);
}

static inline void call_start(struct rig *rig, struct call *call)
{
    call->rig = rig;
    call->op.complete = call_ended;
    call->op.step = 0;
    call->op.moved = 0;
    call->op.driver = &rig->driver;
    rig->driver.ops++;
    conc__uring.start(rig->io, &call->op);
}

static inline void call_cancel(struct call *call) { conc__uring.cancel(call->rig->io, &call->op); }

/* Turn until the op has ended. Returns its result. */
static inline ssize_t call_end(struct call *call)
{
    while (!call->ended)
        rig_turn(call->rig, CONC_FOREVER);
    CHECK_EQUAL(call->ended, 1);
    return call->op.result;
}

/* Take so many turns that the kernel has reported all that it knows of an op. */
static inline void rig_settle(struct rig *rig)
{
    for (int i = 0; i < 8; i++)
        rig_turn(rig, conc_in(CONC_MS(1)));
}

/* ---- Ops ---- */

static inline struct call call_poll(int fd, short events)
{
    return (struct call){.op = {.code = OP_POLL, .fd = fd, .flags = events}};
}

static inline struct call call_move(enum op_code code, int fd, const void *buf, size_t size)
{
    return (struct call){.op = {.code = code, .fd = fd, .buf = (void *)buf, .size = size}};
}

/* Start n of them; the caller frees them. */
static inline struct call *rig_polls(struct rig *rig, int fd, size_t n)
{
    struct call *calls = calloc(n, sizeof *calls);
    CHECK(calls);
    for (size_t i = 0; i < n; i++) {
        calls[i] = call_poll(fd, POLLIN);
        call_start(rig, &calls[i]);
    }
    return calls;
}

/* ---- Descriptors ---- */

struct ends {
    int a, b;
};

static inline struct ends open_sockets(int flags)
{
    int fds[2];
    CHECK_EQUAL(socketpair(AF_UNIX, SOCK_STREAM | flags, 0, fds), 0);
    return (struct ends){fds[0], fds[1]};
}

/* a: reads, b: writes */
static inline struct ends open_pipe(int flags)
{
    int fds[2];
    CHECK_EQUAL(pipe2(fds, flags), 0);
    return (struct ends){fds[0], fds[1]};
}

static inline void close_ends(struct ends ends)
{
    close(ends.a);
    close(ends.b);
}

/* As much as there is room for. */
static inline void fill_up(int fd)
{
    static char bytes[4096];
    int mode = fcntl(fd, F_GETFL);
    fcntl(fd, F_SETFL, mode | O_NONBLOCK);
    for (size_t n = sizeof bytes; n; n = n > 1 ? 1 : 0)
        while (write(fd, bytes, n) > 0)
            continue;
    fcntl(fd, F_SETFL, mode);
}

/* Does this system have and allow io_uring? Containers often refuse it, and under valgrind it is
 * not used. Then the programs that test it have only one test: that it is refused. */
static inline bool ring_is_here(void)
{
    struct ring ring;
    int err = conc__ring_init(&ring);
    if (!err)
        conc__ring_fini(&ring);
    return !err;
}

#define RING_TEST_MAIN(tests, tests_if_refused, seconds)                                    \
    int main(void)                                                                          \
    {                                                                                       \
        watchdog_start(seconds);                                                            \
        int failed = ring_is_here() ? cmocka_run_group_tests(tests, NULL, NULL)             \
                                    : cmocka_run_group_tests(tests_if_refused, NULL, NULL); \
        watchdog_stop();                                                                    \
        return failed;                                                                      \
    }

#endif
