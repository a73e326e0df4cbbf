/* SPDX-License-Identifier: MIT
 *
 * Tests of the condition between processes.
 */
#include "sharing.h"

struct table {
    conc_shared_lock lock;
    conc_shared_rlock rlock;
    conc_shared_cond cond, cond_r;
    conc_shared_event entered;
    int value;
    int woken;
};

static struct table *table;

static void setup_table(void)
{
    table = shared_block(sizeof *table);
    CHECK_EQUAL(conc_shared_lock_init(&table->lock), 0);
    CHECK_EQUAL(conc_shared_rlock_init(&table->rlock), 0);
    conc_shared_cond_init(&table->cond, &table->lock);
    conc_shared_cond_init_rlock(&table->cond_r, &table->rlock);
}

static void free_table(void) { CHECK_EQUAL(conc_shared_free(table), 0); }

static void take(void) { CHECK_EQUAL(conc_shared_lock_enter(&table->lock), 0); }
static void give(void) { CHECK_EQUAL(conc_shared_lock_release(&table->lock), 0); }

static bool is_seven(void *value) { return *(int *)value == 7; }

static void wait_for_seven(void *unused)
{
    take();
    conc_shared_event_set(&table->entered);
    CHECK_EQUAL(conc_shared_cond_wait_for(&table->cond, is_seven, &table->value, CONC_FOREVER), 0);
    table->value++;
    give();
}

static int wait_once(void *arg, void *result)
{
    take();
    int err = conc_shared_cond_wait(&table->cond, CONC_FOREVER);
    table->woken += !err;
    give();
    return err;
}

static void wait_in_child(void *unused) { wait_once(NULL, NULL); }

static uint32_t waiting(void)
{
    take();
    uint32_t n = table->cond.waiting;
    give();
    return n;
}

static void test_cond_without_its_lock_says_eperm(void)
{
    setup_table();
    CHECK_EQUAL(conc_shared_cond_wait(&table->cond, CONC_FOREVER), -EPERM);
    CHECK_EQUAL(conc_shared_cond_notify(&table->cond, 1), -EPERM);
    CHECK_EQUAL(conc_shared_cond_notify_all(&table->cond_r), -EPERM);
    CHECK_EQUAL(conc_shared_cond_wait_for(&table->cond_r, is_seven, &table->value, CONC_FOREVER),
                -EPERM);
    free_table();
}

static void test_cond_wait_that_ends_by_itself_holds_the_lock(void)
{
    setup_table();
    take();
    CHECK_EQUAL(conc_shared_cond_wait(&table->cond, CONC_NOW), -EAGAIN);
    CHECK_EQUAL(conc_shared_cond_wait(&table->cond, conc_in(-1)), -ETIMEDOUT);
    CHECK_EQUAL(conc_shared_cond_wait(&table->cond, conc_in(CONC_MS(10))), -ETIMEDOUT);
    CHECK_EQUAL(conc_shared_cond_notify_all(&table->cond), 0);
    CHECK_EQUAL(conc_shared_cond_wait(&table->cond, conc_in(CONC_MS(5))), -ETIMEDOUT);
    CHECK_EQUAL(table->cond.waiting, 0);
    give();
    CHECK_EQUAL(cancel_when_blocked(wait_once, NULL, 0, "shared condition"), -ECANCELED);
    free_table();
}

static void test_cond_wait_in_a_child_is_ended_by_a_notification(void)
{
    setup_table();
    pid_t pid = child_start(wait_for_seven, NULL);
    CHECK_EQUAL(conc_shared_event_wait(&table->entered, CONC_FOREVER), 0);
    take(); /* so it waits */
    table->value = 3;
    CHECK_EQUAL(conc_shared_cond_notify(&table->cond, 1), 0);
    give();
    UNTIL(waiting() == 1);
    take();
    table->value = 7;
    CHECK_EQUAL(conc_shared_cond_notify(&table->cond, 1), 0);
    give();
    CHECK_EQUAL(child_end(pid), SIGKILL);
    CHECK_EQUAL(table->value, 8);
    free_table();
}

enum { WAITERS = 6 };

static int woken(void)
{
    take();
    int n = table->woken;
    give();
    return n;
}

static void notify(size_t n)
{
    take();
    CHECK_EQUAL(conc_shared_cond_notify(&table->cond, n), 0);
    give();
}

static void test_cond_notify_wakes_just_as_many_as_told(void)
{
    setup_table();
    pid_t pids[WAITERS];
    conc_future *jobs[WAITERS];
    for (int i = 0; i < WAITERS; i++) {
        pids[i] = child_start(wait_in_child, NULL);
        jobs[i] = start(wait_once, NULL, 0);
    }
    UNTIL(waiting() == 2 * WAITERS);
    notify(1);
    UNTIL(woken() == 1);
    notify(0);
    notify(3);
    UNTIL(woken() == 4);
    /* Long enough for each to have looked again: in tests they do so every few milliseconds. */
    CHECK_EQUAL(conc_sleep(CONC_MS(30)), 0);
    CHECK_EQUAL(woken(), 4);
    notify(SIZE_MAX);
    for (int i = 0; i < WAITERS; i++) {
        CHECK_EQUAL(end_of(jobs[i]), 0);
        CHECK_EQUAL(child_end(pids[i]), SIGKILL);
    }
    CHECK_EQUAL(table->cond.waiting, 0);
    CHECK_EQUAL(table->cond.permits, 0);
    CHECK_EQUAL(table->cond.spot.waiters, 0);
    free_table();
}

static int set_seven_r(void *arg, void *result)
{
    CHECK_EQUAL(conc_shared_rlock_enter(&table->rlock), 0);
    table->value = 7;
    CHECK_EQUAL(conc_shared_cond_notify_all(&table->cond_r), 0);
    return conc_shared_rlock_release(&table->rlock);
}

static void test_cond_of_an_rlock_releases_it_wholly(void)
{
    setup_table();
    for (int i = 0; i < 3; i++)
        CHECK_EQUAL(conc_shared_rlock_enter(&table->rlock), 0);
    conc_future *f = start(set_seven_r, NULL, 0);
    CHECK_EQUAL(conc_shared_cond_wait_for(&table->cond_r, is_seven, &table->value, CONC_FOREVER),
                0);
    for (int i = 0; i < 3; i++)
        CHECK_EQUAL(conc_shared_rlock_release(&table->rlock), 0);
    CHECK_EQUAL(conc_shared_rlock_release(&table->rlock), -EPERM);
    CHECK_EQUAL(end_of(f), 0);
    free_table();
}

static void hold_for_ever(void *unused)
{
    take();
    CHECK_EQUAL(conc_shared_cond_notify_all(&table->cond), 0);
    conc_shared_event_set(&table->entered);
    conc_sleep_until(CONC_FOREVER);
}

static int wait_and_repair(void *arg, void *result)
{
    take();
    int err = conc_shared_cond_wait(&table->cond, CONC_FOREVER);
    if (err == -EOWNERDEAD)
        CHECK_EQUAL(conc_shared_lock_make_consistent(&table->lock), 0);
    give();
    return err;
}

static void test_cond_wait_when_the_notifier_is_killed_says_so(void)
{
    setup_table();
    conc_future *f = start(wait_and_repair, NULL, 0);
    UNTIL(blocked_on("shared condition") == 1);
    pid_t pid = child_start(hold_for_ever, NULL);
    CHECK_EQUAL(conc_shared_event_wait(&table->entered, CONC_FOREVER), 0);
    UNTIL(blocked_on("shared lock") == 1);
    child_kill(pid);
    CHECK_EQUAL(end_of(f), -EOWNERDEAD);
    take();
    CHECK_EQUAL(table->cond.waiting, 0);
    give();
    free_table();
}

/* A dead waiter must not take the notification that a living one needs. */
static void test_cond_notify_when_a_waiter_was_killed_wakes_another(void)
{
    setup_table();
    pid_t pid = child_start(wait_in_child, NULL);
    UNTIL(waiting() == 1);
    child_kill(pid);
    /* The kill may have met it in one of its looks, with the lock. */
    int err = conc_shared_lock_enter(&table->lock);
    CHECK(!err || err == -EOWNERDEAD);
    if (err)
        CHECK_EQUAL(conc_shared_lock_make_consistent(&table->lock), 0);
    give();
    conc_future *f = start(wait_once, NULL, 0);
    UNTIL(waiting() == 2);
    notify(1);
    CHECK_EQUAL(end_of(f), 0);
    free_table();
}

static const struct CMUnitTest tests[] = {
    ON_EVERY_WAY(test_cond_without_its_lock_says_eperm),
    ON_EVERY_WAY(test_cond_wait_that_ends_by_itself_holds_the_lock),
    ON_EVERY_WAY(test_cond_wait_in_a_child_is_ended_by_a_notification),
    ON_EVERY_WAY(test_cond_notify_wakes_just_as_many_as_told),
    ON_EVERY_WAY(test_cond_of_an_rlock_releases_it_wholly),
    ON_EVERY_WAY(test_cond_wait_when_the_notifier_is_killed_says_so),
    ON_EVERY_WAY(test_cond_notify_when_a_waiter_was_killed_wakes_another),
};

TEST_MAIN(tests, 60)
