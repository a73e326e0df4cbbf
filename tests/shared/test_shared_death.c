/* SPDX-License-Identifier: MIT
 *
 * Stress: processes are killed at random moments, while they hold, wait, put and notify; those that
 * live go on, and find what they share whole.
 */
#include "sharing.h"

#include <sched.h>

#include <conc/shared_queue.h>

enum { CHILDREN = 4, CAPACITY = 4 };

struct item {
    uint32_t seed;
    unsigned char body[252];
};

struct table {
    conc_shared_lock lock;
    conc_shared_rlock rlock;
    conc_shared_cond cond;
    conc_shared_sem sem;
    conc_shared_event event;
    uint32_t progress;      /* atomic */
    uint64_t first, second; /* equal, but while a holder of the lock changes them */
    uint32_t repaired;
};

static struct table *table;
static conc_shared_queue *queue;

static void bump(void) { fetch_add_relaxed(&table->progress, 1); }

static void setup_all(void)
{
    table = shared_block(sizeof *table);
    queue = shared_block(conc_shared_queue_bytes(sizeof(struct item), CAPACITY));
    CHECK_EQUAL(conc_shared_lock_init(&table->lock), 0);
    CHECK_EQUAL(conc_shared_rlock_init(&table->rlock), 0);
    conc_shared_cond_init(&table->cond, &table->lock);
    CHECK_EQUAL(conc_shared_sem_init(&table->sem, 0, 0), 0);
    CHECK_EQUAL(conc_shared_queue_init(queue, sizeof(struct item), CAPACITY), 0);
}

static void free_all(void)
{
    CHECK_EQUAL(conc_shared_free(table), 0);
    CHECK_EQUAL(conc_shared_free(queue), 0);
}

/* ---- What the children do, until they are killed ---- */

/* After an acquire: what the dead have left is set right. */
static void repair(int err)
{
    CHECK(!err || err == -EOWNERDEAD);
    if (err) {
        table->second = table->first;
        table->repaired++;
        CHECK_EQUAL(conc_shared_lock_make_consistent(&table->lock), 0);
    }
    CHECK_EQUAL(table->first, table->second);
}

static void lock_for_ever(void *unused)
{
    for (;;) {
        repair(conc_shared_lock_enter(&table->lock));
        table->first++;
        sched_yield();
        table->second++;
        CHECK_EQUAL(conc_shared_lock_release(&table->lock), 0);
        bump();
    }
}

static void rlock_for_ever(void *unused)
{
    for (;;) {
        int err = conc_shared_rlock_enter(&table->rlock);
        CHECK(!err || err == -EOWNERDEAD);
        if (err)
            CHECK_EQUAL(conc_shared_rlock_make_consistent(&table->rlock), 0);
        CHECK_EQUAL(conc_shared_rlock_enter(&table->rlock), 0);
        table->first++;
        CHECK_EQUAL(conc_shared_rlock_release(&table->rlock), 0);
        CHECK_EQUAL(conc_shared_rlock_release(&table->rlock), 0);
        bump();
    }
}

static void notify_and_wait_for_ever(void *unused)
{
    repair(conc_shared_lock_enter(&table->lock));
    for (;;) {
        table->first++;
        table->second++;
        CHECK_EQUAL(conc_shared_cond_notify(&table->cond, 1), 0);
        bump();
        int err = conc_shared_cond_wait(&table->cond, conc_in(CONC_MS(20)));
        repair(err == -ETIMEDOUT ? 0 : err);
    }
}

static void put_for_ever(void *unused)
{
    struct item item;
    for (item.seed = (uint32_t)getpid();; item.seed++) {
        fill(item.body, sizeof item.body, item.seed);
        CHECK_EQUAL(conc_shared_queue_put(queue, &item, CONC_FOREVER), 0);
    }
}

static void get_for_ever(void *unused)
{
    struct item item;
    for (;;) {
        CHECK_EQUAL(conc_shared_queue_get(queue, &item, CONC_FOREVER), 0);
        CHECK(is_filled(item.body, sizeof item.body, item.seed));
        bump();
    }
}

static void pass_units_for_ever(void *unused)
{
    for (;;) {
        CHECK_EQUAL(conc_shared_sem_acquire(&table->sem, CONC_FOREVER), 0);
        bump();
        CHECK_EQUAL(conc_shared_sem_release(&table->sem, 1), 0);
        conc_shared_event_set(&table->event);
    }
}

/* ---- Killing them ---- */

static void wait_for_progress(void)
{
    uint32_t before = load_relaxed(&table->progress);
    UNTIL(load_relaxed(&table->progress) != before);
}

/* Children of some kinds, of which one after another is killed and started anew; each time some
 * child must make progress. In the end all are killed. */
static void kill_them(void (*const fns[])(void *arg), size_t kinds, void (*after_kill)(void))
{
    pid_t pids[CHILDREN];
    for (size_t i = 0; i < CHILDREN; i++)
        pids[i] = child_start(fns[i % kinds], NULL);
    const struct stress stress = stress_begin();
    struct test_random chance = test_random_for((unsigned)way);
    unsigned kills = 0;
    while (stress_goes_on(&stress) || kills < 4) {
        size_t i = test_random_below(&chance, CHILDREN);
        conc_sleep((int64_t)test_random_below(&chance, CONC_MS(3)));
        child_kill(pids[i]);
        if (after_kill)
            after_kill();
        pids[i] = child_start(fns[i % kinds], NULL);
        wait_for_progress();
        kills++;
    }
    for (size_t i = 0; i < CHILDREN; i++)
        child_kill(pids[i]);
    printf("# %u kills, %u steps, %u repairs\n", kills, table->progress, table->repaired);
}

static void test_locks_survive_their_holders(void)
{
    static void (*const fns[])(void *) = {lock_for_ever};
    setup_all();
    kill_them(fns, 1, NULL);
    repair(conc_shared_lock_enter(&table->lock));
    CHECK_EQUAL(conc_shared_lock_release(&table->lock), 0);
    free_all();
}

static void test_rlocks_survive_their_owners(void)
{
    static void (*const fns[])(void *) = {rlock_for_ever};
    setup_all();
    kill_them(fns, 1, NULL);
    free_all();
}

static void test_conditions_survive_waiters_and_notifiers(void)
{
    static void (*const fns[])(void *) = {notify_and_wait_for_ever, notify_and_wait_for_ever,
                                          lock_for_ever};
    setup_all();
    kill_them(fns, 3, NULL);
    repair(conc_shared_lock_enter(&table->lock));
    CHECK(table->cond.waiting >= table->cond.permits);
    CHECK_EQUAL(conc_shared_lock_release(&table->lock), 0);
    free_all();
}

static void test_queues_survive_putters_and_getters(void)
{
    static void (*const fns[])(void *) = {put_for_ever, get_for_ever};
    struct item item;
    setup_all();
    kill_them(fns, 2, NULL);
    for (size_t left = conc_shared_queue_size(queue); left; left--) {
        CHECK_EQUAL(conc_shared_queue_get(queue, &item, CONC_NOW), 0);
        CHECK(is_filled(item.body, sizeof item.body, item.seed));
    }
    CHECK_EQUAL(conc_shared_queue_get(queue, &item, CONC_NOW), -EAGAIN);
    for (int i = 0; i < CAPACITY; i++)
        CHECK_EQUAL(conc_shared_queue_put(queue, &item, CONC_NOW), 0);
    CHECK_EQUAL(conc_shared_queue_put(queue, &item, CONC_NOW), -EAGAIN);
    free_all();
}

/* The child that died may have had a unit. */
static void give_one_back(void)
{
    if (conc_shared_sem_value(&table->sem) < 2)
        CHECK_EQUAL(conc_shared_sem_release(&table->sem, 1), 0);
    CHECK_EQUAL(conc_shared_event_wait(&table->event, CONC_FOREVER), 0);
    conc_shared_event_clear(&table->event);
}

static void test_semaphores_and_events_survive_waiters(void)
{
    static void (*const fns[])(void *) = {pass_units_for_ever};
    setup_all();
    CHECK_EQUAL(conc_shared_sem_release(&table->sem, 1), 0);
    kill_them(fns, 1, give_one_back);
    free_all();
}

#define DEATH_TEST(test) ON_WAY(test, ON_THREADS, "threads"), ON_WAY(test, ON_EPOLL, "tasks")

static const struct CMUnitTest tests[] = {
    DEATH_TEST(test_locks_survive_their_holders),
    DEATH_TEST(test_rlocks_survive_their_owners),
    DEATH_TEST(test_conditions_survive_waiters_and_notifiers),
    DEATH_TEST(test_queues_survive_putters_and_getters),
    DEATH_TEST(test_semaphores_and_events_survive_waiters),
};

TEST_MAIN(tests, 90)
