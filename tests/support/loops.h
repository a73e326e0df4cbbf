/* SPDX-License-Identifier: MIT
 *
 * loops.h: for the tests of loops and of tasks: a test runs once with each backend, in the main
 * thread, and leaves no block, thread or descriptor behind.
 *
 *     static void test_something(void) { conc_loop *loop = new_loop(); ... }
 *     ... ON_EVERY_BACKEND(test_something) ...
 *
 * A wake-up that is lost there is lost for good (conc__hooks.sound_sleep): a test that moves the
 * clock does so on the loop itself.
 *
 * In tasks and callbacks only CHECK and CHECK_EQUAL may fail: cmocka's assertions would jump to
 * another stack.
 */
#ifndef CONC_TESTS_LOOPS_H
#define CONC_TESTS_LOOPS_H

#include <conc/loop.h>
#include <conc/task.h>

#include "ways.h"

struct backend_case {
    conc_backend backend;
    void (*body)(void);
    bool in_child; /* in a child process: for a body that changes limits, or the environment */
};

void run_on_backend(void **state);

#define ON_BACKEND(test, backend, in_child, suffix)                                        \
    {                                                                                      \
#test "__" suffix, run_on_backend, way_setup, way_teardown, &(struct backend_case) \
        {                                                                                  \
            backend, test, in_child                                                        \
        }                                                                                  \
    }

/* If there is no io_uring here what is for it is left out, and the output says so. */
#define ON_EVERY_BACKEND(test)                            \
    ON_BACKEND(test, CONC_BACKEND_URING, false, "uring"), \
        ON_BACKEND(test, CONC_BACKEND_EPOLL, false, "epoll")
#define IN_CHILD_ON_EVERY_BACKEND(test)                  \
    ON_BACKEND(test, CONC_BACKEND_URING, true, "uring"), \
        ON_BACKEND(test, CONC_BACKEND_EPOLL, true, "epoll")

/* ---- In a body ---- */

extern conc_backend backend;

conc_loop *new_loop(void);
void free_loop(conc_loop *loop);

/* Run the loop until the future is done. Its error; gives it back. */
int run_until(conc_loop *loop, conc_future *future);

/* Run fn as a task of the loop, until it has ended; and of a loop of its own. Its error. */
int run_task(conc_loop *loop, conc_fn *fn, const void *arg, size_t arg_size);
int in_task(conc_fn *fn, void *arg);

/* For in_task(): the argument is a pointer. */
static inline void *pointer_in(void *arg) { return *(void **)arg; }

/* In a task or callback: wait, letting others run, until it is so. */
#define YIELD_UNTIL(condition)                                         \
    for (int64_t give_up_at_ = real_now() + CONC_S(60); !(condition);) \
    yield_again(give_up_at_, #condition, __FILE__, __LINE__)

void yield_again(int64_t give_up_at, const char *what, const char *file, int line);

/* A callback that sets an event, and one that stops the loop it runs on. */
void set_event(void *event);
void stop_current(void *unused);

/* A loop that runs in a thread of its own, until it is ended; then it is freed. */
struct side_loop {
    conc_loop *loop;
    struct test_thread thread;
};

void side_loop_start(struct side_loop *side);
void side_loop_end(struct side_loop *side);

#endif
