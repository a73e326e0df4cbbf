/* SPDX-License-Identifier: MIT
 *
 * test_tasks_many.c: a hundred thousand tasks at once, through every primitive; and how many more
 * the machine has room for.
 */
#include "loops.h"

#include <stdlib.h>
#include <sys/mman.h>
#include <sys/sysinfo.h>
#include <unistd.h>

#include <conc/barrier.h>
#include <conc/cond.h>
#include <conc/lock.h>
#include <conc/queue.h>
#include <conc/sem.h>

#include "base/checkers.h"

#ifndef MADV_GUARD_INSTALL
#define MADV_GUARD_INSTALL 102 /* Linux 6.13 */
#endif

/* Each stack's guard would be a mapping of its own without, of which a process has some 65,000. */
static bool has_cheap_guards(void)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    void *memory = mmap(NULL, page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(memory != MAP_FAILED);
    bool has = madvise(memory, page, MADV_GUARD_INSTALL) == 0;
    munmap(memory, page);
    return has;
}

/* Of which crowd_of() takes a part. gcc 12's ThreadSanitizer takes 2 MiB for a stack's books, and
 * has room for 8,128. */
#if defined(WITH_TSAN) && !defined(__clang__)
#define MANY 6000
#elif defined(WITH_TSAN) || defined(WITH_ASAN)
#define MANY 10000
#else
#define MANY 100000
#endif

static size_t many(void) { return crowd_of(has_cheap_guards() || MANY < 25000 ? MANY : 25000); }

struct crowd {
    size_t n;
    size_t there; /* have begun */
    size_t done;
    conc_fn *job;
    conc_future **futures;
    conc_event event;
    conc_lock lock;
    conc_sem sem;
    conc_cond cond;
    bool go; /* under the lock */
    conc_barrier barrier;
    conc_queue queue;
    conc_future *future;
    uint64_t sum;
    void (*let_go)(struct crowd *crowd);
};

/* Spawns them all, waits until all are blocked, lets them go, and waits for their ends. In one
 * loop, so nothing need be atomic: a task that has counted itself blocks before another one
 * runs. */
static int job_lead(void *arg, void *result)
{
    struct crowd *crowd = pointer_in(arg);
    crowd->futures = calloc(crowd->n, sizeof *crowd->futures);
    CHECK(crowd->futures);
    for (size_t i = 0; i < crowd->n; i++)
        crowd->futures[i] = conc_spawn(crowd->job, &crowd, sizeof crowd, 0);
    YIELD_UNTIL(crowd->there == crowd->n);
    CHECK_EQUAL(crowd->done, 0);
    if (crowd->let_go)
        crowd->let_go(crowd);
    for (size_t i = 0; i < crowd->n; i++)
        CHECK_EQUAL(end_of(crowd->futures[i]), 0);
    free(crowd->futures);
    CHECK_EQUAL(crowd->done, crowd->n);
    return 0;
}

static void run_crowd(struct crowd *crowd, conc_fn *job, void (*let_go)(struct crowd *crowd))
{
    int64_t begin = real_now();
    crowd->job = job;
    crowd->let_go = let_go;
    assert_int_equal(in_task(job_lead, crowd), 0);
    printf("# %zu tasks: %.0f ms\n", crowd->n, (double)(real_now() - begin) / 1e6);
}

/* ---- Each primitive ---- */

/* Long enough for all to be there; moved a little against each other. */
static int job_sleep(void *arg, void *result)
{
    struct crowd *crowd = pointer_in(arg);
    conc_deadline end = conc_in(CONC_S(1000) + (int64_t)(crowd->there++ % 1000));
    CHECK_EQUAL(conc_sleep_until(end), 0);
    CHECK(conc_now() >= end.ns);
    crowd->done++;
    return 0;
}

static void move_the_clock(struct crowd *crowd) { conc__test_advance(CONC_S(2000)); }

static void test_many_sleep(void)
{
    struct crowd crowd = {.n = many()};
    run_crowd(&crowd, job_sleep, move_the_clock);
}

static int job_event(void *arg, void *result)
{
    struct crowd *crowd = pointer_in(arg);
    crowd->there++;
    int err = conc_event_wait(&crowd->event, CONC_FOREVER);
    crowd->done++;
    return err;
}

static void set_crowds_event(struct crowd *crowd)
{
    CHECK_EQUAL(blocked_on("event"), crowd->n);
    conc_event_set(&crowd->event);
}

static void test_many_wait_for_an_event(void)
{
    struct crowd crowd = {.n = many()};
    run_crowd(&crowd, job_event, set_crowds_event);
}

static int job_lock(void *arg, void *result)
{
    struct crowd *crowd = pointer_in(arg);
    if (crowd->there++ == 0) { /* holds it until all others are there */
        conc_lock_enter(&crowd->lock);
        YIELD_UNTIL(crowd->there == crowd->n);
    } else {
        conc_lock_enter(&crowd->lock);
    }
    crowd->done++;
    return conc_lock_release(&crowd->lock);
}

static void test_many_want_a_lock(void)
{
    struct crowd crowd = {.n = many()};
    run_crowd(&crowd, job_lock, NULL);
}

static int job_sem(void *arg, void *result)
{
    struct crowd *crowd = pointer_in(arg);
    crowd->there++;
    int err = conc_sem_acquire(&crowd->sem, CONC_FOREVER);
    crowd->done++;
    conc_yield();
    return err ? err : conc_sem_release(&crowd->sem, 1);
}

static void give_units(struct crowd *crowd) { CHECK_EQUAL(conc_sem_release(&crowd->sem, 10), 0); }

static void test_many_want_a_unit(void)
{
    struct crowd crowd = {.n = many()};
    run_crowd(&crowd, job_sem, give_units);
    assert_int_equal(conc_sem_value(&crowd.sem), 10);
}

static int job_cond(void *arg, void *result)
{
    struct crowd *crowd = pointer_in(arg);
    conc_with_lock (&crowd->lock) {
        crowd->there++;
        while (!crowd->go)
            CHECK_EQUAL(conc_cond_wait(&crowd->cond, CONC_FOREVER), 0);
        crowd->done++;
    }
    return 0;
}

static void notify_crowd(struct crowd *crowd)
{
    conc_with_lock (&crowd->lock) {
        crowd->go = true;
        CHECK_EQUAL(conc_cond_notify_all(&crowd->cond), 0);
    }
}

static void test_many_wait_for_a_condition(void)
{
    struct crowd crowd = {.n = many()};
    conc_cond_init(&crowd.cond, &crowd.lock);
    run_crowd(&crowd, job_cond, notify_crowd);
}

static int job_barrier(void *arg, void *result)
{
    struct crowd *crowd = pointer_in(arg);
    for (int round = 0; round < 2; round++) {
        crowd->there += round == 0;
        int index = conc_barrier_wait(&crowd->barrier, CONC_FOREVER);
        CHECK(index >= 0);
        crowd->sum += (uint64_t)index;
    }
    crowd->done++;
    return 0;
}

static void join_barrier(struct crowd *crowd)
{
    for (int round = 0; round < 2; round++)
        crowd->sum += (uint64_t)conc_barrier_wait(&crowd->barrier, CONC_FOREVER);
}

static void test_many_meet_at_a_barrier(void)
{
    struct crowd crowd = {.n = many()};
    assert_int_equal(conc_barrier_init(&crowd.barrier, (uint32_t)crowd.n + 1, NULL, NULL), 0);
    run_crowd(&crowd, job_barrier, join_barrier);
    assert_int_equal(crowd.sum, crowd.n * (crowd.n + 1));
}

static int job_get(void *arg, void *result)
{
    struct crowd *crowd = pointer_in(arg);
    uint64_t item;
    crowd->there++;
    int err = conc_queue_get(&crowd->queue, &item, CONC_FOREVER);
    crowd->sum += item;
    crowd->done++;
    return err;
}

static void put_many(struct crowd *crowd)
{
    for (uint64_t i = 1; i <= crowd->n; i++)
        CHECK_EQUAL(conc_queue_put(&crowd->queue, &i, CONC_FOREVER), 0);
}

static int job_put(void *arg, void *result)
{
    struct crowd *crowd = pointer_in(arg);
    uint64_t item = ++crowd->there;
    int err = conc_queue_put(&crowd->queue, &item, CONC_FOREVER);
    crowd->done++;
    return err;
}

static void get_many(struct crowd *crowd)
{
    uint64_t item;
    for (size_t i = 0; i <= crowd->n; i++) {
        CHECK_EQUAL(conc_queue_get(&crowd->queue, &item, CONC_FOREVER), 0);
        crowd->sum += item;
    }
}

static void test_many_get_and_many_put(void)
{
    for (int put = 0; put < 2; put++) {
        struct crowd crowd = {.n = many()};
        uint64_t nothing = 0;
        assert_int_equal(conc_queue_init(&crowd.queue, sizeof(uint64_t), 1, CONC_FIFO), 0);
        if (put) /* it is full */
            assert_int_equal(conc_queue_put(&crowd.queue, &nothing, CONC_NOW), 0);
        run_crowd(&crowd, put ? job_put : job_get, put ? get_many : put_many);
        assert_int_equal(crowd.sum, crowd.n * (crowd.n + 1) / 2);
        conc_queue_destroy(&crowd.queue);
    }
}

static int job_future(void *arg, void *result)
{
    struct crowd *crowd = pointer_in(arg);
    int value = 0;
    crowd->there++;
    int err = conc_future_result(crowd->future, &value, CONC_FOREVER);
    CHECK_EQUAL(value, 42);
    crowd->done++;
    return err;
}

static void complete_future(struct crowd *crowd)
{
    CHECK_EQUAL(conc_future_set_result(crowd->future, &(int){42}), 0);
}

static void test_many_wait_for_a_future(void)
{
    struct crowd crowd = {.n = many()};
    assert_int_equal(conc_future_new(&crowd.future, sizeof(int)), 0);
    run_crowd(&crowd, job_future, complete_future);
    conc_future_unref(crowd.future);
}

/* ---- Giving up ---- */

static int job_time_out(void *arg, void *result)
{
    struct crowd *crowd = pointer_in(arg);
    conc_deadline end = conc_in(CONC_S(1000) - (int64_t)(crowd->there++ % 1000));
    CHECK_EQUAL(conc_event_wait(&crowd->event, end), -ETIMEDOUT);
    crowd->done++;
    return 0;
}

static void test_many_give_up_in_time(void)
{
    struct crowd crowd = {.n = many()};
    run_crowd(&crowd, job_time_out, move_the_clock);
}

static int job_be_cancelled(void *arg, void *result)
{
    struct crowd *crowd = pointer_in(arg);
    crowd->there++;
    CHECK_EQUAL(conc_event_wait(&crowd->event, CONC_FOREVER), -ECANCELED);
    crowd->done++;
    return 0;
}

static void cancel_crowd(struct crowd *crowd)
{
    for (size_t i = 0; i < crowd->n; i++)
        CHECK(conc_future_cancel(crowd->futures[i]));
}

static void test_many_are_cancelled(void)
{
    struct crowd crowd = {.n = many()};
    run_crowd(&crowd, job_be_cancelled, cancel_crowd);
}

/* The loop ends with all of them still waiting. */
static void test_many_are_cancelled_with_their_loop(void)
{
    struct crowd crowd = {.n = many()}, *c = &crowd;
    conc_loop *loop = new_loop();
    for (size_t i = 0; i < crowd.n; i++)
        conc_future_unref(conc_task_start(loop, job_be_cancelled, &c, sizeof c, 0, NULL));
    while (crowd.there < crowd.n) {
        conc_loop_stop(loop);
        assert_int_equal(conc_loop_run_forever(loop), 0);
    }
    free_loop(loop);
    assert_int_equal(crowd.done, crowd.n);
}

/* ---- As many as there is room for ---- */

static size_t as_many_as_fit(void)
{
    struct sysinfo info;
    CHECK_EQUAL(sysinfo(&info), 0);
    size_t most = 400000, each = 8192, fit = info.freeram / 2 * info.mem_unit / each;
    return many() < 100000 || fit < many() ? many() : fit < most ? fit : most;
}

static void test_as_many_as_fit_wait_for_an_event(void)
{
    struct crowd crowd = {.n = as_many_as_fit()};
    run_crowd(&crowd, job_event, set_crowds_event);
}

#define ONCE(test) ON_BACKEND(test, CONC_BACKEND_ANY, false, "any")

static const struct CMUnitTest tests[] = {
    ON_EVERY_BACKEND(test_many_sleep),
    ONCE(test_many_wait_for_an_event),
    ONCE(test_many_want_a_lock),
    ONCE(test_many_want_a_unit),
    ONCE(test_many_wait_for_a_condition),
    ONCE(test_many_meet_at_a_barrier),
    ONCE(test_many_get_and_many_put),
    ONCE(test_many_wait_for_a_future),
    ONCE(test_many_give_up_in_time),
    ONCE(test_many_are_cancelled),
    ONCE(test_many_are_cancelled_with_their_loop),
    ONCE(test_as_many_as_fit_wait_for_an_event),
};

TEST_MAIN(tests, 590)
