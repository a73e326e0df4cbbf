/* SPDX-License-Identifier: MIT
 *
 * executors.h: every kind of executor, for tests that hold for all of them; among them one that is
 * written against conc/executor_impl.h alone, as a program's own would be.
 */
#ifndef CONC_TESTS_EXECUTORS_H
#define CONC_TESTS_EXECUTORS_H

#include "jobs.h"

#include <conc/executor.h>

enum executor_kind {
    INLINE,
    THREAD_PER_JOB,
    POOL_OF_1,
    POOL_OF_4,
    BOUNDED_POOL, /* two threads, room for one job to wait */
    LIFO,         /* the program's own: one thread, the last job first */
    LOOP,         /* jobs are tasks, of a loop in a thread of its own */
    LOOP_POOL,    /* jobs are tasks, of two loops */
    EXECUTOR_KINDS,
};

struct executor_case {
    const char *name;
    enum executor_kind kind;
    size_t workers; /* jobs that can run at once, at most */
    size_t queue;   /* jobs that can wait for a worker */
    int threads;    /* that stay, though there is nothing to do, until it is freed */
    conc_executor *executor;
};

extern const struct executor_case executor_cases[EXECUTOR_KINDS];

/* A thread of one's own that takes the last job first. */
int lifo_new(conc_executor **ret);

/* For cmocka's setup: *state becomes a case with an executor of that kind; and teardown, which
 * frees it and looks for leaks. `*state` at the setup: the kind's place in executor_cases. */
int executor_setup(void **state);
int executor_teardown(void **state);

/* The same without an executor: tests that make one of their own. */
conc_executor *executor_of(enum executor_kind kind);

/* A test, once for each kind. */
#define ON_EVERY_EXECUTOR(test)                                                               \
    ON_EXECUTOR(test, INLINE, "inline"), ON_EXECUTOR(test, THREAD_PER_JOB, "thread_per_job"), \
        ON_EXECUTOR(test, POOL_OF_1, "pool_of_1"), ON_EXECUTOR(test, POOL_OF_4, "pool_of_4"), \
        ON_EXECUTOR(test, BOUNDED_POOL, "bounded_pool"), ON_EXECUTOR(test, LIFO, "lifo"),     \
        ON_EXECUTOR(test, LOOP, "loop"), ON_EXECUTOR(test, LOOP_POOL, "loop_pool")

/* Once for each kind in which a job can wait for a worker. */
#define ON_QUEUEING_EXECUTORS(test)                                                       \
    ON_EXECUTOR(test, POOL_OF_1, "pool_of_1"), ON_EXECUTOR(test, POOL_OF_4, "pool_of_4"), \
        ON_EXECUTOR(test, BOUNDED_POOL, "bounded_pool"), ON_EXECUTOR(test, LIFO, "lifo")

#define ON_EXECUTOR(test, kind, suffix)                             \
    {                                                               \
#test "__" suffix, test, executor_setup, executor_teardown, \
            (void *)(uintptr_t)&executor_cases[kind]                \
    }

/* Jobs that keep every worker busy until they are let go; so the next job waits. */
struct busy {
    struct gate gates[4];
    conc_future *futures[4];
    size_t n;
};

void keep_busy(const struct executor_case *c, struct busy *busy);
void let_go(struct busy *busy);

/* A thread that submits a gate job (an inline executor would block the test itself). */
struct other_submitter {
    struct test_thread thread;
    conc_executor *executor;
    struct gate *gate;
    conc_future *future;
    uint32_t submitted;
};

void submit_elsewhere(struct other_submitter *s, const char *name, conc_executor *executor,
                      struct gate *gate);
bool other_has_submitted(struct other_submitter *s);

/* Joins the thread; gives the future. */
conc_future *submitted_elsewhere(struct other_submitter *s);

#endif
