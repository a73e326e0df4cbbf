/* SPDX-License-Identifier: MIT
 *
 * test_thread_end.c: destructors of thread-specific data call libconc, before the library's own and
 * after it, in each of the rounds that POSIX promises. Nothing of an ended thread stays.
 *
 * Built twice: with TAKE_ALL_KEYS a constructor takes every key before the library can have one.
 */
#include <limits.h>
#include <string.h>
#include <unistd.h>

#include <conc/barrier.h>
#include <conc/cond.h>
#include <conc/io.h>
#include <conc/local.h>
#include <conc/queue.h>
#include <conc/rlock.h>
#include <conc/sem.h>
#include <conc/thread.h>

#include "base/checkers.h"
#include "loops.h"
#include "seen.h"

/* ThreadSanitizer's own destructor takes the last round, and after it none may do anything. */
#ifdef WITH_TSAN
#define ROUNDS (PTHREAD_DESTRUCTOR_ITERATIONS - 2)
#else
#define ROUNDS PTHREAD_DESTRUCTOR_ITERATIONS
#endif

static pthread_key_t first_key; /* made before the library's own */
static pthread_key_t last_key;  /* made after it */

static void act_as_destructor(void *arg);

/* Before the constructors of the library, which have no priority. */
__attribute__((constructor(101))) static void make_first_key(void)
{
    CHECK_EQUAL(pthread_key_create(&first_key, act_as_destructor), 0);
#ifdef TAKE_ALL_KEYS
    CHECK_EQUAL(pthread_key_create(&last_key, act_as_destructor), 0);
    for (pthread_key_t key; pthread_key_create(&key, NULL) == 0;)
        continue;
#endif
}

__attribute__((constructor)) static void make_last_key(void)
{
#ifndef TAKE_ALL_KEYS
    conc_context_current();
    CHECK_EQUAL(pthread_key_create(&last_key, act_as_destructor), 0);
#endif
}

/* ---- What is called ---- */

static void use_locks(void)
{
    conc_lock lock = CONC_LOCK_INIT;
    conc_rlock rlock = CONC_RLOCK_INIT;
    conc_cond cond;
    conc_cond_init(&cond, &lock);
    conc_with_lock (&lock)
        CHECK_EQUAL(conc_cond_wait(&cond, conc_in(CONC_US(10))), -ETIMEDOUT);
    conc_rlock_enter(&rlock);
    conc_rlock_enter(&rlock);
    CHECK_EQUAL(conc_rlock_release(&rlock), 0);
    CHECK(conc_rlock_is_owned(&rlock));
    CHECK_EQUAL(conc_rlock_release(&rlock), 0);
}

static void use_events_and_queues(void)
{
    conc_event event = CONC_EVENT_INIT;
    conc_sem sem;
    conc_barrier barrier;
    conc_queue queue;
    int item = 5;
    CHECK_EQUAL(conc_event_wait(&event, conc_in(CONC_US(10))), -ETIMEDOUT);
    CHECK_EQUAL(conc_sem_init(&sem, 1, 1), 0);
    CHECK_EQUAL(conc_sem_acquire(&sem, CONC_FOREVER), 0);
    CHECK_EQUAL(conc_barrier_init(&barrier, 1, NULL, NULL), 0);
    CHECK_EQUAL(conc_barrier_wait(&barrier, CONC_FOREVER), 0);
    CHECK_EQUAL(conc_queue_init(&queue, sizeof item, 1, CONC_FIFO), 0);
    CHECK_EQUAL(conc_queue_put(&queue, &item, CONC_FOREVER), 0);
    CHECK_EQUAL(conc_queue_put(&queue, &item, conc_in(CONC_US(10))), -ETIMEDOUT);
    conc_queue_destroy(&queue);
}

/* A value is kept and destroyed, or refused. */
static void count_one(void *n) { fetch_add_relaxed((int *)n, 1); }

static void use_values(int *kept, int *destroyed)
{
    conc_local *local;
    CHECK_EQUAL(conc_local_new(&local, count_one), 0);
    int err = conc_local_set(local, destroyed);
    CHECK(err == 0 || err == -ESHUTDOWN);
    *kept += !err;
    conc_local_free(local);
    CHECK_EQUAL(conc_raise(-EIO, "in a destructor"), -EIO);
}

static void use_threads(void)
{
    conc_thread *thread;
    conc_executor *pool;
    int n = 3, square = 0;
    const conc_thread_options options = {.result_size = sizeof square};
    CHECK_EQUAL(conc_thread_start(&thread, job_square, &n, sizeof n, &options), 0);
    CHECK_EQUAL(conc_thread_join(thread, &square, CONC_FOREVER), 0);
    CHECK_EQUAL(square, 9);
    conc_thread_free(thread);
    CHECK_EQUAL(conc_thread_pool_new(&pool, 1, NULL), 0);
    CHECK_EQUAL(conc_call(pool, job_square, &n, sizeof n, &square, sizeof square, CONC_FOREVER), 0);
    CHECK_EQUAL(conc_executor_shutdown(pool, CONC_SHUTDOWN_WAIT, CONC_FOREVER), 0);
    conc_executor_free(pool);
}

/* In a thread this polls, and can be kicked. */
static void use_descriptors(void)
{
    int fds[2];
    char c;
    make_pipe(fds);
    CHECK_EQUAL(conc_read(fds[0], &c, 1, conc_in(CONC_MS(1))), -ETIMEDOUT);
    close_both(fds);
}

static int spawn_one(void *arg, void *result)
{
    int n = 4, square = 0;
    conc_future *f = conc_spawn(job_square, &n, sizeof n, sizeof square);
    CHECK_EQUAL(conc_future_result(f, &square, CONC_FOREVER), 0);
    CHECK_EQUAL(square, 16);
    conc_future_unref(f);
    return 0;
}

/* ---- Destructors ---- */

struct dying {
    pthread_key_t key;
    int rounds; /* in which it is called again */
    int from;   /* the first round in which it calls libconc */
    int called, kept, destroyed;
    uint64_t id; /* 0: it has not called libconc yet */
};

static void act_as_destructor(void *arg)
{
    struct dying *d = arg;
    if (++d->called < d->rounds)
        CHECK_EQUAL(pthread_setspecific(d->key, d), 0);
    if (d->called < d->from)
        return;
    uint64_t id = conc_context_id(NULL);
    CHECK(!d->id || id == d->id); /* it is still the same thread */
    d->id = id;
    use_locks();
    use_events_and_queues();
    use_values(&d->kept, &d->destroyed);
    use_threads();
    use_descriptors();
    CHECK_EQUAL(in_task(spawn_one, NULL), 0);
}

static void die_after_use(void *arg)
{
    struct dying *d = arg;
    use_locks();
    d->id = conc_context_id(NULL);
    CHECK_EQUAL(pthread_setspecific(d->key, d), 0);
}

static void die_without_use(void *arg)
{
    struct dying *d = arg;
    CHECK_EQUAL(pthread_setspecific(d->key, d), 0);
}

static void let_die(void (*fn)(void *arg), pthread_key_t key, int from)
{
    struct test_thread t;
    struct dying d = {.key = key, .rounds = ROUNDS, .from = from};
    size_t n = look_for(NULL).n;
    test_thread_start(&t, NULL, fn, &d);
    test_thread_join(&t);
    CHECK_EQUAL(d.called, ROUNDS);
    CHECK_EQUAL(d.destroyed, d.kept);
    CHECK_EQUAL(look_for(NULL).n, n);
}

static void test_destructors_use_the_library_in_every_round(void)
{
    let_die(die_after_use, first_key, 1);
    let_die(die_after_use, last_key, 1);
}

/* Not in the last rounds: wait/thread.c says why. */
static void test_thread_that_uses_the_library_first_in_a_destructor(void)
{
    for (int from = 1; from < ROUNDS - 1; from++) {
        let_die(die_without_use, first_key, from);
        let_die(die_without_use, last_key, from);
    }
}

/* ---- Many at once ---- */

struct crowd {
    struct dying dying[2];
};

static void die_with_both(void *arg)
{
    struct crowd *c = arg;
    use_locks();
    for (int i = 0; i < 2; i++) {
        c->dying[i] = (struct dying){.key = i ? last_key : first_key,
                                     .rounds = ROUNDS,
                                     .from = 1,
                                     .id = conc_context_id(NULL)};
        CHECK_EQUAL(pthread_setspecific(c->dying[i].key, &c->dying[i]), 0);
    }
}

/* Without keys, too. */
static int use_value_in_library_thread(void *arg, void *result)
{
    struct dying *d = *(struct dying **)arg;
    use_values(&d->kept, &d->destroyed);
    return 0;
}

static void test_threads_of_the_library_keep_values(void)
{
    struct dying d = {.kept = 0}, *arg = &d;
    conc_thread *thread;
    size_t n = look_for(NULL).n;
    CHECK_EQUAL(conc_thread_start(&thread, use_value_in_library_thread, &arg, sizeof arg, NULL), 0);
    CHECK_EQUAL(conc_thread_join(thread, NULL, CONC_FOREVER), 0);
    CHECK_EQUAL(d.kept, 1);
    CHECK_EQUAL(load_relaxed(&d.destroyed), 1);
    CHECK_EQUAL(look_for(NULL).n, n);
    conc_thread_free(thread);
}

static void test_many_threads_end_with_destructors_on_both_sides(void)
{
    enum { MANY = 12 };
    struct test_thread t[MANY];
    static struct crowd c[MANY];
    size_t n = look_for(NULL).n;
    for (int i = 0; i < MANY; i++)
        test_thread_start(&t[i], NULL, die_with_both, &c[i]);
    for (int i = 0; i < MANY; i++) {
        test_thread_join(&t[i]);
        for (int k = 0; k < 2; k++) {
            CHECK_EQUAL(c[i].dying[k].called, ROUNDS);
            CHECK_EQUAL(c[i].dying[k].destroyed, c[i].dying[k].kept);
        }
    }
    CHECK_EQUAL(look_for(NULL).n, n);
}

static void leave_the_thread(void *arg)
{
    use_locks();
    pthread_exit(arg);
}

static void test_thread_that_leaves_by_pthread_exit_is_not_listed(void)
{
    struct test_thread t;
    size_t n = look_for(NULL).n;
    test_thread_start(&t, NULL, leave_the_thread, NULL);
    test_thread_join(&t);
    CHECK_EQUAL(look_for(NULL).n, n);
}

/* ---- Forks ---- */

static int end_threads_in_child(void *arg)
{
    (void)arg;
    let_die(die_after_use, first_key, 1);
    let_die(die_after_use, last_key, 1);
    return 0;
}

static void test_destructors_in_the_child_of_a_fork(void)
{
#if defined(__SANITIZE_THREAD__) && !defined(__clang__)
    /* gcc 12's ThreadSanitizer gives up if a child's thread has the place of a parent's. */
    (void)end_threads_in_child;
#else
    CHECK_EQUAL(in_child(end_threads_in_child, NULL), 0);
#endif
}

static const struct CMUnitTest tests[] = {
    ON_EVERY_BACKEND(test_destructors_use_the_library_in_every_round),
    ON_EVERY_BACKEND(test_thread_that_uses_the_library_first_in_a_destructor),
    ON_EVERY_BACKEND(test_threads_of_the_library_keep_values),
    ON_EVERY_BACKEND(test_many_threads_end_with_destructors_on_both_sides),
    ON_EVERY_BACKEND(test_thread_that_leaves_by_pthread_exit_is_not_listed),
    ON_EVERY_BACKEND(test_destructors_in_the_child_of_a_fork),
};

TEST_MAIN(tests, 60)
