/* SPDX-License-Identifier: MIT
 *
 * test_lock_stress.c: many contexts at one lock, by every way of taking it; how long the unluckiest
 * waits; and a lock in an object that is freed by its last holder.
 */
#include <sched.h>
#include <stdlib.h>
#include <time.h>

#include <conc/context.h>
#include <conc/lock.h>

#include "base/atomic.h"
#include "base/hooks.h"
#include "support.h"
#include "sync/words.h"

#define THREADS 8

/* ---- One at a time ---- */

struct shared {
    conc_lock lock;
    unsigned long count; /* under the lock */
    uint32_t inside;
    struct stress stress;
    unsigned long taken, timed_out, cancelled; /* atomic */
};

struct worker {
    struct test_thread thread;
    struct shared *shared;
    struct test_random random;
};

static bool take_somehow(struct worker *w)
{
    struct shared *s = w->shared;
    conc_scope scope;
    int err, why;
    switch (test_random_below(&w->random, 6)) {
    case 0:
        return conc_lock_try_acquire(&s->lock) == 0;
    case 1:
        err = conc_lock_acquire(&s->lock, CONC_NOW);
        CHECK(err == 0 || err == -EAGAIN);
        return err == 0;
    case 2:
        err = conc_lock_acquire(&s->lock, conc_in((int64_t)test_random_below(&w->random, 99999)));
        CHECK(err == 0 || err == -ETIMEDOUT);
        fetch_add_relaxed(&s->timed_out, err != 0);
        return err == 0;
    case 3:
        conc_scope_enter(&scope, conc_in((int64_t)test_random_below(&w->random, 99999)));
        err = conc_lock_acquire(&s->lock, CONC_FOREVER);
        why = conc_scope_exit(&scope);
        CHECK(err == 0 ? why == 0 : err == -ECANCELED && why == -ETIMEDOUT);
        fetch_add_relaxed(&s->cancelled, err != 0);
        return err == 0;
    default:
        conc_lock_enter(&s->lock);
        return true;
    }
}

static void take_and_count(void *arg)
{
    struct worker *w = arg;
    struct shared *s = w->shared;
    unsigned long taken = 0;
    while (stress_goes_on(&s->stress)) {
        if (!take_somehow(w))
            continue;
        taken++;
        CHECK_EQUAL(fetch_add_relaxed(&s->inside, 1), 0);
        s->count++;
        if (test_random_below(&w->random, 8) == 0)
            conc_yield(); /* so that others come to wait */
        fetch_add_relaxed(&s->inside, -1);
        CHECK_EQUAL(conc_lock_release(&s->lock), 0);
    }
    fetch_add_relaxed(&s->taken, taken);
}

static void run_workers(size_t n)
{
    struct shared s = {.stress = stress_begin()};
    struct worker *w = calloc(n, sizeof *w);
    CHECK(w);
    for (size_t i = 0; i < n; i++) {
        w[i].shared = &s;
        w[i].random = test_random_for((unsigned)i);
        test_thread_start(&w[i].thread, NULL, take_and_count, &w[i]);
    }
    for (size_t i = 0; i < n; i++)
        test_thread_join(&w[i].thread);
    assert_int_equal(s.count, s.taken);
    assert_int_equal(s.lock.word, 0);
    assert_true(s.timed_out > 0 && s.cancelled > 0); /* or it has tested less than it should */
    free(w);
}

static void test_lock_by_every_way_lets_one_in_at_a_time(void **state) { run_workers(THREADS); }

static void test_lock_on_one_core_lets_one_in_at_a_time(void **state)
{
    use_one_core();
    run_workers(3 * THREADS);
    use_all_cores();
}

/* ---- No context starves ---- */

struct greedy {
    conc_lock lock;
    struct stress stress;
    uint32_t stop;
    int64_t longest; /* under the lock */
    int64_t stall;   /* the longest that the machine kept a thread from running */
};

/* 8 * 1 ms, and 8 times what the scheduler makes of it (a few milliseconds), and some more. Without
 * hand-overs it is most of the time that the test takes. */
static int64_t longest_wait(const struct greedy *g)
{
    int64_t bound = CONC_MS(400) + THREADS * g->stall;
    return on_valgrind() ? 10 * bound : bound; /* valgrind's own scheduler is not fair */
}

static void work_for(int64_t ns)
{
    for (int64_t end = real_now() + ns; real_now() < end;)
        continue;
}

/* On a machine that stands still now and then every thread waits that long. */
static void measure_stalls(void *arg)
{
    struct greedy *g = arg;
    while (!load_relaxed(&g->stop)) {
        int64_t begin = real_now();
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
        int64_t stall = real_now() - begin;
        if (stall > g->stall)
            g->stall = stall;
    }
}

/* Holds the lock nearly always: a woken waiter finds it taken again. */
static void hog(void *arg)
{
    struct greedy *g = arg;
    while (!load_relaxed(&g->stop))
        conc_with_lock (&g->lock)
            work_for(CONC_US(200));
}

static void test_waiter_against_a_hog_is_not_starved(void **state)
{
    struct greedy g = {.stop = 0};
    struct test_thread t, stalls;
    test_thread_start(&t, NULL, hog, &g);
    test_thread_start(&stalls, NULL, measure_stalls, &g);
    for (int i = 0; i < 50; i++) {
        int64_t begin = real_now();
        conc_lock_enter(&g.lock);
        int64_t waited = real_now() - begin;
        conc_lock_release(&g.lock);
        if (waited > g.longest)
            g.longest = waited;
    }
    store_relaxed(&g.stop, 1);
    test_thread_join(&t);
    test_thread_join(&stalls);
    assert_true(g.longest < longest_wait(&g));
}

struct greedy_worker {
    struct test_thread thread;
    struct greedy *greedy;
    unsigned long taken;
};

static void take_at_once_again(void *arg)
{
    struct greedy_worker *w = arg;
    struct greedy *g = w->greedy;
    while (stress_goes_on(&g->stress)) {
        int64_t begin = real_now();
        conc_lock_enter(&g->lock);
        int64_t waited = real_now() - begin;
        if (waited > g->longest)
            g->longest = waited;
        work_for(CONC_US(50));
        w->taken++;
        conc_lock_release(&g->lock);
    }
}

static void run_greedy(void)
{
    struct greedy g = {.stress = stress_begin()};
    struct greedy_worker w[THREADS] = {0};
    struct test_thread stalls;
    test_thread_start(&stalls, NULL, measure_stalls, &g);
    for (int i = 0; i < THREADS; i++) {
        w[i].greedy = &g;
        test_thread_start(&w[i].thread, NULL, take_at_once_again, &w[i]);
    }
    for (int i = 0; i < THREADS; i++)
        test_thread_join(&w[i].thread);
    store_relaxed(&g.stop, 1);
    test_thread_join(&stalls);
    print_message("# longest wait: %.1f ms\n", (double)g.longest / 1e6);
    assert_true(g.longest < longest_wait(&g));
    for (int i = 0; i < THREADS; i++)
        assert_true(w[i].taken >= 5);
}

static void test_longest_wait_among_many_is_bounded(void **state) { run_greedy(); }

static void test_longest_wait_on_one_core_is_bounded(void **state)
{
    use_one_core();
    run_greedy();
    use_all_cores();
}

/* ---- Freed by the last holder ---- */

#define BATCH 256

struct object {
    conc_lock lock;
    unsigned refs; /* under the lock */
    unsigned long data;
};

struct owners {
    struct object *objects[BATCH];
    pthread_barrier_t begin, end;
    bool stop;
    uint32_t threads, freed;
};

/* Up to a few hundred nanoseconds, or some microseconds: so that each comes at any moment of what
 * the others do. */
static void dawdle(struct test_random *r)
{
    uint64_t most = test_random_below(r, 4) ? 200 : 10000;
    for (volatile unsigned n = (unsigned)test_random_below(r, most); n > 0;)
        n--;
}

/* Hold the lock until a waiter is enlisted, if one comes, so that the release must wake it. */
static void hold_until_waited_for(struct object *object)
{
    for (int i = 0; i < 30 && !(load_relaxed(&object->lock.word) & LOCK_WAITERS); i++)
        sched_yield();
}

/* Each takes each lock just once: a waiter that is not woken sleeps for ever. */
static void drop_reference(struct owners *o, struct object *object, struct test_random *r)
{
    dawdle(r);
    if (test_random_below(r, 2))
        conc_lock_enter(&object->lock);
    else
        CHECK_EQUAL(conc_lock_acquire(&object->lock, conc_in(CONC_S(1000))), 0);
    object->data++;
    if (test_random_below(r, 4) == 0)
        hold_until_waited_for(object);
    else
        dawdle(r);
    if (test_random_below(r, 16) == 0)
        conc__test_advance(CONC_MS(2)); /* the waiter's patience is over: it is handed the lock */
    unsigned left = --object->refs;
    CHECK_EQUAL(conc_lock_release(&object->lock), 0);
    if (left == 0) { /* the others may still be in their release */
        object->data = 0;
        free(object);
        fetch_add_relaxed(&o->freed, 1);
    }
}

static void drop_references(void *arg)
{
    struct owners *o = arg;
    struct test_random r = test_random_for(fetch_add_relaxed(&o->threads, 1));
    for (;;) {
        pthread_barrier_wait(&o->begin);
        if (o->stop)
            return;
        for (unsigned i = 0; i < BATCH; i++)
            drop_reference(o, o->objects[i], &r);
        pthread_barrier_wait(&o->end);
    }
}

static void run_owners(unsigned threads)
{
    struct owners o = {.stop = false};
    struct test_thread t[THREADS];
    pthread_barrier_init(&o.begin, NULL, threads + 1);
    pthread_barrier_init(&o.end, NULL, threads + 1);
    for (unsigned i = 0; i < threads; i++)
        test_thread_start(&t[i], NULL, drop_references, &o);
    struct stress stress = stress_begin();
    uint32_t made = 0;
    while (stress_goes_on(&stress)) {
        for (int i = 0; i < BATCH; i++) {
            o.objects[i] = calloc(1, sizeof(struct object));
            CHECK(o.objects[i]);
            o.objects[i]->refs = threads;
            made++;
        }
        pthread_barrier_wait(&o.begin);
        pthread_barrier_wait(&o.end);
    }
    o.stop = true;
    pthread_barrier_wait(&o.begin);
    for (unsigned i = 0; i < threads; i++)
        test_thread_join(&t[i]);
    assert_int_equal(o.freed, made);
    pthread_barrier_destroy(&o.begin);
    pthread_barrier_destroy(&o.end);
}

static void test_object_with_its_lock_is_freed_by_the_last_holder(void **state)
{
    run_owners(2);
    run_owners(THREADS);
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_lock_by_every_way_lets_one_in_at_a_time),
    cmocka_unit_test(test_lock_on_one_core_lets_one_in_at_a_time),
    cmocka_unit_test(test_waiter_against_a_hog_is_not_starved),
    cmocka_unit_test(test_longest_wait_among_many_is_bounded),
    cmocka_unit_test(test_longest_wait_on_one_core_is_bounded),
    cmocka_unit_test(test_object_with_its_lock_is_freed_by_the_last_holder),
};

TEST_MAIN(tests, 100)
