/* SPDX-License-Identifier: MIT
 *
 * probes.h: ops that a test, in a task (ways.h), starts in its driver itself, beside its own waits;
 * and descriptors that are full.
 */
#ifndef CONC_TESTS_PROBES_H
#define CONC_TESTS_PROBES_H

#include "ways.h"

#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "op/driver.h"

/* An op of the test's own. */
struct probe {
    struct op op;
    int ended; /* how often it has ended: must be once */
};

static inline void probe_ended(struct op *op) { list_entry(op, struct probe, op)->ended++; }

static inline void begin(struct probe *p, struct op op)
{
    *p = (struct probe){.op = op};
    p->op.complete = probe_ended;
    conc__driver_start(conc__driver_here, &p->op);
}

static inline ssize_t end(const struct probe *p)
{
    UNTIL(p->ended);
    CHECK_EQUAL(p->ended, 1);
    return p->op.result;
}

static inline ssize_t begin_and_end(struct op op)
{
    struct probe p;
    begin(&p, op);
    return end(&p);
}

static inline void cancel(struct probe *p) { driver_cancel(conc__driver_here, &p->op); }

static inline void closing(int fd)
{
    conc__driver_here->backend->closing(conc__driver_here->state, fd);
}

/* Let the loop take a few turns. */
static inline void turn_a_few_times(void)
{
    for (int i = 0; i < 4; i++)
        conc_yield();
}

static inline void begin_to_wait(struct probe *p, struct op op)
{
    begin(p, op);
    turn_a_few_times();
    CHECK_EQUAL(p->ended, 0);
}

static inline struct op op_on(enum op_code code, int fd, const void *buf, size_t size)
{
    return (struct op){.code = code, .fd = fd, .buf = (void *)(uintptr_t)buf, .size = size};
}

static inline struct op poll_op(int fd, short events)
{
    return (struct op){.code = OP_POLL, .fd = fd, .flags = events};
}

static inline void put(int fd, const char *text)
{
    CHECK_EQUAL(write(fd, text, strlen(text)), strlen(text));
}

/* The most that fits. */
static inline void fill_up(int fd)
{
    static char zeros[4096];
    int mode = fcntl(fd, F_GETFL);
    CHECK_EQUAL(fcntl(fd, F_SETFL, mode | O_NONBLOCK), 0);
    while (write(fd, zeros, sizeof zeros) > 0)
        continue;
    CHECK_EQUAL(fcntl(fd, F_SETFL, mode), 0);
}

static inline void empty(int fd)
{
    static char buf[1 << 16];
    int mode = fcntl(fd, F_GETFL);
    CHECK_EQUAL(fcntl(fd, F_SETFL, mode | O_NONBLOCK), 0);
    while (read(fd, buf, sizeof buf) > 0)
        continue;
    CHECK_EQUAL(fcntl(fd, F_SETFL, mode), 0);
}

/* ---- conc__perform() ---- */

static inline ssize_t attempt(struct op op) { return conc__perform(&op, false); }

/* How much fits; the last attempt has given -EAGAIN. */
static inline size_t fill_with(enum op_code code, int fd)
{
    static char zeros[1 << 16];
    size_t total = 0;
    ssize_t n;
    while ((n = attempt(op_on(code, fd, zeros, sizeof zeros))) > 0)
        total += (size_t)n;
    assert_int_equal(n, -EAGAIN);
    return total;
}

static inline size_t drain_by(enum op_code code, int fd)
{
    static char buf[1 << 16];
    size_t total = 0;
    ssize_t n;
    while ((n = attempt(op_on(code, fd, buf, sizeof buf))) > 0)
        total += (size_t)n;
    return total;
}

#endif
