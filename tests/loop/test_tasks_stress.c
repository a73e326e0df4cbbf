/* SPDX-License-Identifier: MIT
 *
 * test_tasks_stress.c: tasks of two loops, with two backends, and threads, at random: on every
 * primitive, with time-outs, cancelled by one another, having tasks of their own run on either
 * loop. Nothing may be lost or given twice.
 */
#include "loops.h"

#include <conc/barrier.h>
#include <conc/cond.h>
#include <conc/lock.h>
#include <conc/queue.h>
#include <conc/rlock.h>
#include <conc/sem.h>

enum {
    LOOPS = 2,
    TASKS = 5, /* on each */
    THREADS = 3,
    PLAYERS = LOOPS * TASKS + THREADS,
    UNITS = 2,
    PARTIES = 3,
    CAPACITY = 3,
};

struct world {
    conc_loop *loops[LOOPS];
    struct stress stress;
    conc_lock lock;
    conc_rlock rlock;
    uint32_t inside_lock, inside_rlock, inside_sem; /* atomic */
    uint64_t locked, locked_by_all; /* the first under the lock, the second atomic */
    conc_lock purse;                /* of the next two */
    conc_cond filled;
    int64_t coins;
    uint64_t paid, taken; /* atomic, as all that follow */
    conc_event event;
    conc_sem sem;
    conc_barrier barrier;
    uint64_t rounds;
    conc_queue queue;
    uint64_t put, got, put_sum, got_sum;
    conc_lock board; /* of the next */
    conc_scope *scopes[PLAYERS];
    uint64_t timed_out, cancelled, children;
};

static struct world world;

static void add(uint64_t *number, uint64_t n) { fetch_add_relaxed(number, n); }

static bool chance(struct test_random *r, uint64_t one_in)
{
    return test_random_below(r, one_in) == 0;
}

/* Hold on to something for a while. */
static void dwell(struct test_random *r)
{
    if (chance(r, 3))
        conc_yield();
}

/* ---- What can be done; each returns 0, or why not ---- */

static int use_lock(struct test_random *r, conc_deadline deadline)
{
    int err = conc_lock_acquire(&world.lock, deadline);
    if (err)
        return err;
    CHECK_EQUAL(fetch_add_relaxed(&world.inside_lock, 1), 0);
    world.locked++;
    dwell(r);
    CHECK_EQUAL(fetch_add_relaxed(&world.inside_lock, -1), 1);
    CHECK_EQUAL(conc_lock_release(&world.lock), 0);
    add(&world.locked_by_all, 1);
    return 0;
}

static int use_rlock(struct test_random *r, conc_deadline deadline)
{
    CHECK(!conc_rlock_is_owned(&world.rlock));
    int err = conc_rlock_acquire(&world.rlock, deadline);
    if (err)
        return err;
    CHECK_EQUAL(conc_rlock_acquire(&world.rlock, CONC_NOW), 0);
    CHECK_EQUAL(fetch_add_relaxed(&world.inside_rlock, 1), 0);
    dwell(r);
    CHECK_EQUAL(fetch_add_relaxed(&world.inside_rlock, -1), 1);
    CHECK_EQUAL(conc_rlock_release(&world.rlock), 0);
    CHECK_EQUAL(conc_rlock_release(&world.rlock), 0);
    return 0;
}

static int pay(struct test_random *r, conc_deadline deadline)
{
    conc_with_lock (&world.purse) {
        int64_t n = 1 + (int64_t)test_random_below(r, 2);
        world.coins += n;
        add(&world.paid, (uint64_t)n);
        CHECK_EQUAL(chance(r, 2) ? conc_cond_notify(&world.filled, (size_t)n)
                                 : conc_cond_notify_all(&world.filled),
                    0);
    }
    return 0;
}

static int take_coin(struct test_random *r, conc_deadline deadline)
{
    int err = 0;
    conc_with_lock (&world.purse) {
        while (!err && world.coins == 0)
            err = conc_cond_wait(&world.filled, deadline);
        if (!err) {
            world.coins--;
            add(&world.taken, 1);
        }
    }
    return err;
}

static int use_event(struct test_random *r, conc_deadline deadline)
{
    if (chance(r, 3))
        conc_event_set(&world.event);
    else if (chance(r, 2))
        conc_event_clear(&world.event);
    else
        return conc_event_wait(&world.event, deadline);
    return 0;
}

static int use_sem(struct test_random *r, conc_deadline deadline)
{
    int err = conc_sem_acquire(&world.sem, deadline);
    if (err)
        return err;
    CHECK(fetch_add_relaxed(&world.inside_sem, 1) < UNITS);
    dwell(r);
    fetch_add_relaxed(&world.inside_sem, -1);
    CHECK_EQUAL(conc_sem_release(&world.sem, 1), 0);
    return 0;
}

static int meet(struct test_random *r, conc_deadline deadline)
{
    int index = conc_barrier_wait(&world.barrier, deadline);
    add(&world.rounds, index == 0);
    if (index == -CONC_EBROKEN || index == -ETIMEDOUT || index == -ECANCELED)
        conc_barrier_reset(&world.barrier);
    CHECK(index < PARTIES);
    return index > 0 || index == -CONC_EBROKEN ? 0 : index;
}

static int put(struct test_random *r, conc_deadline deadline)
{
    uint64_t item = 1 + test_random_below(r, 1000);
    int err = conc_queue_put(&world.queue, &item, deadline);
    add(&world.put, !err);
    add(&world.put_sum, err ? 0 : item);
    return err;
}

static int get(struct test_random *r, conc_deadline deadline)
{
    uint64_t item = 0;
    int err = conc_queue_get(&world.queue, &item, deadline);
    CHECK_EQUAL(err != 0, item == 0);
    add(&world.got, !err);
    add(&world.got_sum, item);
    return err;
}

static int cancel_somebody(struct test_random *r, conc_deadline deadline)
{
    conc_with_lock (&world.board) {
        conc_scope *scope = world.scopes[test_random_below(r, PLAYERS)];
        if (scope)
            conc_scope_cancel(scope);
    }
    return 0;
}

/* ---- A move, as it may be made ---- */

static int (*const moves[])(struct test_random *, conc_deadline) = {
    use_lock, use_rlock, pay, take_coin, use_event, use_sem, meet, put, get, cancel_somebody,
};

static int any_move(struct test_random *r)
{
    conc_deadline deadline = conc_in((int64_t)test_random_below(r, CONC_US(300)));
    int err = moves[test_random_below(r, sizeof moves / sizeof *moves)](r, deadline);
    CHECK(err == 0 || err == -ETIMEDOUT || err == -ECANCELED);
    add(&world.timed_out, err == -ETIMEDOUT);
    add(&world.cancelled, err == -ECANCELED);
    return err;
}

/* Under the lock, so that a scope that was left is not cancelled. */
static void publish(size_t player, conc_scope *scope)
{
    conc_with_lock (&world.board)
        world.scopes[player] = scope;
}

static void move_in_scope(struct test_random *r, size_t player)
{
    conc_scope scope;
    bool timed = chance(r, 3);
    conc_scope_enter(&scope, timed ? conc_in(CONC_US(100)) : CONC_FOREVER);
    publish(player, &scope);
    int err = any_move(r);
    publish(player, NULL);
    int why = conc_scope_exit(&scope);
    CHECK_EQUAL(err == -ECANCELED, why != 0);
    CHECK(why != -ETIMEDOUT || timed);
}

/* A short life as a task, perhaps cut short. */
static int job_child(void *arg, void *result)
{
    struct test_random *r = arg;
    for (int i = 0; i < 3; i++)
        if (any_move(r) == -ECANCELED)
            return -ECANCELED;
    return 0;
}

static void have_a_child(struct test_random *r)
{
    struct test_random childs = {.state = test_random_next(r)};
    conc_loop *loop = world.loops[test_random_below(r, LOOPS)];
    conc_future *f = conc_task_start(loop, job_child, &childs, sizeof childs, 0, NULL);
    bool cut_short = chance(r, 3);
    int err = cut_short ? conc_future_wait(f, conc_in(CONC_US(50))) : 0;
    if (cut_short)
        conc_future_cancel(f);
    CHECK(err == 0 || err == -ETIMEDOUT);
    CHECK_EQUAL(conc_future_wait(f, CONC_FOREVER), 0);
    err = conc_future_error(f);
    CHECK(err == 0 || (cut_short && err == -ECANCELED));
    CHECK_EQUAL(conc_future_is_cancelled(f), err == -ECANCELED);
    add(&world.children, 1);
    conc_future_unref(f);
}

static void play(size_t player)
{
    struct test_random r = test_random_for((unsigned)player);
    while (stress_goes_on(&world.stress)) {
        if (chance(&r, 20))
            have_a_child(&r);
        else if (chance(&r, 2))
            move_in_scope(&r, player);
        else
            any_move(&r);
    }
}

/* ---- The players ---- */

static int job_play(void *arg, void *result)
{
    play(*(size_t *)arg);
    return 0;
}

static void play_as_thread(void *player) { play((size_t)(uintptr_t)player); }

static void world_init(void)
{
    world = (struct world){.stress = stress_begin(),
                           .sem = CONC_SEM_INIT_BOUND(UNITS, UNITS),
                           .barrier = CONC_BARRIER_INIT(PARTIES, NULL, NULL)};
    conc_cond_init(&world.filled, &world.purse);
    CHECK_EQUAL(conc_queue_init(&world.queue, sizeof(uint64_t), CAPACITY, CONC_FIFO), 0);
}

static void check_world(void)
{
    uint64_t item;
    assert_int_equal(world.locked, world.locked_by_all);
    assert_int_equal(world.lock.word, 0);
    assert_false(conc_rlock_is_locked(&world.rlock));
    assert_int_equal(world.coins, world.paid - world.taken);
    assert_int_equal(conc_sem_value(&world.sem), UNITS);
    assert_int_equal(conc_barrier_n_waiting(&world.barrier), 0);
    while (conc_queue_get(&world.queue, &item, CONC_NOW) == 0) {
        world.got++;
        world.got_sum += item;
    }
    assert_int_equal(world.got, world.put);
    assert_int_equal(world.got_sum, world.put_sum);
    assert_true(world.timed_out > 0 && world.cancelled > 0 && world.rounds > 0);
    printf("# %ju locked, %ju put, %ju rounds, %ju children, %ju timed out, %ju cancelled\n",
           (uintmax_t)world.locked, (uintmax_t)world.put, (uintmax_t)world.rounds,
           (uintmax_t)world.children, (uintmax_t)world.timed_out, (uintmax_t)world.cancelled);
}

static void test_a_storm_of_tasks_and_threads(void)
{
    struct side_loop sides[LOOPS];
    struct test_thread threads[THREADS];
    conc_future *futures[LOOPS * TASKS];
    conc_backend first = backend;
    world_init();
    for (int i = 0; i < LOOPS; i++) {
        backend = i == 0 ? first : CONC_BACKEND_EPOLL;
        side_loop_start(&sides[i]);
        world.loops[i] = sides[i].loop;
    }
    for (size_t i = 0; i < LOOPS * TASKS; i++)
        futures[i] = conc_task_start(world.loops[i % LOOPS], job_play, &i, sizeof i, 0, NULL);
    for (size_t i = 0; i < THREADS; i++)
        test_thread_start(&threads[i], NULL, play_as_thread,
                          (void *)(uintptr_t)(LOOPS * TASKS + i));
    for (size_t i = 0; i < LOOPS * TASKS; i++)
        assert_int_equal(end_of(futures[i]), 0);
    for (size_t i = 0; i < THREADS; i++)
        test_thread_join(&threads[i]);
    for (int i = 0; i < LOOPS; i++)
        side_loop_end(&sides[i]);
    check_world();
    conc_queue_destroy(&world.queue);
}

static const struct CMUnitTest tests[] = {
    ON_EVERY_BACKEND(test_a_storm_of_tasks_and_threads),
};

TEST_MAIN(tests, 100)
