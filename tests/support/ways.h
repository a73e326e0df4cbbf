/* SPDX-License-Identifier: MIT
 *
 * ways.h: one test, run in every way there is: on plain threads, on tasks over io_uring, on tasks
 * over epoll. A test's body neither knows nor asks: what it starts runs beside it in the same way.
 *
 *     static void test_something(void) { ... }
 *     ... ON_EVERY_WAY(test_something) ...
 *
 * Bodies use CHECK and CHECK_EQUAL (cmocka's assertions may only fail in the main thread), and
 * never block their thread: instead of WAIT_UNTIL, UNTIL.
 */
#ifndef CONC_TESTS_WAYS_H
#define CONC_TESTS_WAYS_H

#include "jobs.h"

enum way { ON_THREADS, ON_URING, ON_EPOLL };

/* The way of the test that runs now. */
extern enum way way;

static inline bool on_tasks(void) { return way != ON_THREADS; }

/* For cmocka: run a body in a way, and see that it leaves no block, thread or descriptor behind. If
 * there is no io_uring here, what is for it is left out, and the output says so. */
struct way_case {
    enum way way;
    void (*body)(void);
};

int way_setup(void **state);
int way_teardown(void **state);
void run_in_way(void **state);

#define ON_WAY(test, way, suffix)                                                                \
    {                                                                                            \
#test "__" suffix, run_in_way, way_setup, way_teardown, &(struct way_case) { way, test } \
    }

#define ON_EVERY_WAY(test) ON_WAY(test, ON_THREADS, "threads"), ON_EVERY_LOOP(test)
#define ON_EVERY_LOOP(test) ON_WAY(test, ON_URING, "io_uring"), ON_WAY(test, ON_EPOLL, "epoll")

/* ---- In a body ---- */

/* Where start() submits. */
conc_executor *way_executor(void);

/* Run a job beside the caller: a task of its loop, or a thread. */
conc_future *start(conc_fn *fn, const void *arg, size_t arg_size);

/* Its end: the job's error, or 0. Gives the future back. */
int end_of(conc_future *future);

/* Wait, letting others run, until the expression is true. */
#define UNTIL(condition)                                               \
    for (int64_t give_up_at_ = real_now() + CONC_S(60); !(condition);) \
    look_again(give_up_at_, #condition, __FILE__, __LINE__)

void look_again(int64_t give_up_at, const char *what, const char *file, int line);

/* How many contexts are blocked on `what` ("recv" ...)? */
size_t blocked_on(const char *what);

/* Sockets of one connection, and a pipe ([0] to read, [1] to write): in blocking mode, and closed
 * on exec. */
void make_sockets(int type, int fds[2]);
void make_pipe(int fds[2]);
void close_both(const int fds[2]);

/* A TCP connection over the loopback interface. */
void make_tcp(int fds[2]);

/* Let the process have n descriptors at most; 0: as many as before. */
void limit_descriptors(int n);

/* Take all that it may have but n; and give them back. */
void take_descriptors_but(int n);
void give_descriptors(void);

/* Bytes that differ from place to place and from one `seed` to another. */
void fill(void *buf, size_t n, unsigned seed);
bool is_filled(const void *buf, size_t n, unsigned seed);

#endif
