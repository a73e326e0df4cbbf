/* SPDX-License-Identifier: MIT
 *
 * support.h: what the test programs have in common. Nothing here sleeps to synchronise: a test
 * waits until something is so, within a bound far beyond any honest delay, after which the program
 * prints what each context waits for, and aborts.
 */
#ifndef CONC_TESTS_SUPPORT_H
#define CONC_TESTS_SUPPORT_H

/* cmocka.h wants the first four before it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <pthread.h>
#include <stdbool.h>

#include <conc/context.h>

/* Run the group `tests` and end main() with its result. A program that takes longer than `seconds`
 * (of real time; more under valgrind and sanitizers) prints all contexts and aborts. */
#define TEST_MAIN(tests, seconds)                               \
    int main(void)                                              \
    {                                                           \
        watchdog_start(seconds);                                \
        int failed = cmocka_run_group_tests(tests, NULL, NULL); \
        watchdog_stop();                                        \
        return failed;                                          \
    }

void watchdog_start(unsigned seconds);
void watchdog_stop(void);

/* An assertion for any context: cmocka's may fail in the test's own thread only. Prints, and aborts
 * the program. */
#define CHECK(condition) ((condition) ? (void)0 : check_failed(#condition, __FILE__, __LINE__))
#define CHECK_EQUAL(actual, expected) \
    check_equal((intmax_t)(actual), (intmax_t)(expected), #actual, __FILE__, __LINE__)

void check_failed(const char *what, const char *file, int line) __attribute__((noreturn));
void check_equal(intmax_t actual, intmax_t expected, const char *what, const char *file, int line);

/* ---- Time ---- */

/* CLOCK_MONOTONIC in nanoseconds, which conc__test_advance() doesn't move. */
int64_t real_now(void);

/* Poll until the expression is true. */
#define WAIT_UNTIL(condition)                                          \
    for (int64_t give_up_at_ = real_now() + CONC_S(60); !(condition);) \
    poll_again(give_up_at_, #condition, __FILE__, __LINE__)

void poll_again(int64_t give_up_at, const char *what, const char *file, int line);

/* How long a stress test runs: CONC_STRESS_SECONDS (a decimal number), by default one second. */
struct stress {
    int64_t end;
};

struct stress stress_begin(void);
bool stress_goes_on(const struct stress *stress);

/* Does the program run under valgrind, where everything is many times slower? */
bool on_valgrind(void);

/* n; fewer where a thread is dear, under valgrind and TSan: for tests with hundreds or
 * thousands. */
size_t crowd_of(size_t n);

/* An address of this machine's that no other test program listens at: a port that was closed here
 * may be another program's a moment later. */
const char *own_host(void);

/* ---- Blocked contexts ---- */

/* Until the context of that name is blocked on `what` ("lock", "sleep" ...; NULL: on anything). */
void wait_until_blocked(const char *name, const char *what);

/* How many contexts are blocked on the object; until just n are. */
size_t n_blocked(const void *object);
void wait_until_n_blocked(const void *object, size_t n);

/* ---- Threads ---- */

struct test_thread {
    pthread_t id;
    const char *name;
    void (*fn)(void *arg);
    void *arg;
};

/* Start a thread (with a small stack, so that there can be thousands) that runs fn(arg) under that
 * name; NULL: it gets no name, and a context only when it first calls libconc. */
void test_thread_start(struct test_thread *t, const char *name, void (*fn)(void *arg), void *arg);
void test_thread_join(struct test_thread *t);

/* Keep the process' new threads and the calling one on one core; and let them go again. */
void use_one_core(void);
void use_all_cores(void);

/* Run fn in a child process; returns what it returned, 0 to 99; or 100, if it ended by itself, or
 * 100 + the signal that it died of. */
int in_child(int (*fn)(void *arg), void *arg);

/* From now on the calling thread, and what it starts, may send signals to no other process: that is
 * -EPERM, as it is to a program of another user's. There is no way back: for children. */
void forbid_kill(void);

/* ---- Chance ---- */

/* A generator of its own for each thread; what they give follows from CONC_TEST_SEED, which is
 * printed once. */
struct test_random {
    uint64_t state;
};

struct test_random test_random_for(unsigned index);
uint64_t test_random_next(struct test_random *r);

/* 0 to n - 1. */
uint64_t test_random_below(struct test_random *r, uint64_t n);

/* In a loop that waits for another thread to be as far, without giving up the core. */
static inline void cpu_relax(void)
{
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#endif
}

#endif
