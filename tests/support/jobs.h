/* SPDX-License-Identifier: MIT
 *
 * jobs.h: jobs for the tests of futures, threads and executors; and that a test leaves nothing
 * behind.
 */
#ifndef CONC_TESTS_JOBS_H
#define CONC_TESTS_JOBS_H

#include "support.h"

#include <conc/event.h>
#include <conc/executor.h>

#include "base/atomic.h"
#include "base/hooks.h"

/* Argument and result: an int. */
int job_square(void *arg, void *result);

/* Argument: the int that it returns. */
int job_return(void *arg, void *result);

/* The same, with the message "job failed: <error>". */
int job_raise(void *arg, void *result);

/* Argument: an int * that it increments (atomically). */
int job_count(void *arg, void *result);

/* Blocks until it is cancelled, and returns -ECANCELED. No argument. */
int job_until_cancelled(void *arg, void *result);

/* What a test and its jobs see of each other. All-zero: nothing has happened. */
struct gate {
    conc_event entered; /* a job has begun */
    conc_event open;    /* jobs may end */
    int runs;           /* jobs that have begun; atomic */
    int end;            /* what the last one's wait for `open` returned; atomic */
};

/* Argument: a struct gate *. Returns what its wait for `open` did: 0 or -ECANCELED. Its result, if
 * it has one of the size of an int, is 7. */
int job_gate(void *arg, void *result);

/* The same, but it lets nothing disturb it. */
int job_gate_shielded(void *arg, void *result);

/* Wait until a job has begun. */
void gate_entered(struct gate *gate);

conc_future *submit_gate(conc_executor *executor, struct gate *gate);

static inline int runs_of(const struct gate *gate) { return load_acquire(&gate->runs); }

/* ---- What a test leaves behind ---- */

/* For cmocka's setup and teardown: the test frees all blocks that it has made the library allocate,
 * its threads end, and no hook is left set. The caller gets an older message, "stale" for -EIO, so
 * that one that is none of its own shows. */
int leaks_setup(void **state);
int leaks_teardown(void **state);

/* leaks_setup() of a test with timers: the thread that keeps their times is there before, and
 * stays. */
int timers_setup(void **state);

int count_threads(void);
int count_descriptors(void);

/* Until there are as many threads as at the last leaks_setup(), and `more`. */
void wait_until_threads(int more);

#define LEAK_TEST(test) cmocka_unit_test_setup_teardown(test, leaks_setup, leaks_teardown)

/* Let the n-th allocation, or thread start, from now fail; 0: none. */
void fail_alloc(int n);
void fail_thread(int n);

/* Has the failure that was asked for happened? Then the next one may be asked for; else all places
 * are through. */
bool alloc_has_failed(void);

/* ---- Unobserved errors ---- */

struct unobserved {
    int count; /* atomic */
    int err;
    char message[CONC_MESSAGE_MAX];
    uint32_t context; /* its id */
};

/* Count them from now on, in `u`; until leaks_teardown(). */
void unobserved_watch(struct unobserved *u);

/* Use as many bytes of its stack as its argument, a size_t, says. */
conc_fn job_use_stack;

#endif
