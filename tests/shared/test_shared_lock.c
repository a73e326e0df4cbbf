/* SPDX-License-Identifier: MIT
 *
 * Tests of the lock and the re-entrant lock between processes.
 */
#include "sharing.h"

#include <conc/thread.h>

struct table {
    conc_shared_lock lock;
    conc_shared_rlock rlock;
    conc_shared_event held, release;
    long count;
    int order;
};

static struct table *table;

static void setup_table(void)
{
    table = shared_block(sizeof *table);
    CHECK_EQUAL(conc_shared_lock_init(&table->lock), 0);
    CHECK_EQUAL(conc_shared_rlock_init(&table->rlock), 0);
}

static void free_table(void) { CHECK_EQUAL(conc_shared_free(table), 0); }

/* ---- Children ---- */

static void hold_until_told(void *unused)
{
    CHECK_EQUAL(conc_shared_lock_enter(&table->lock), 0);
    conc_shared_event_set(&table->held);
    CHECK_EQUAL(conc_shared_event_wait(&table->release, CONC_FOREVER), 0);
    CHECK_EQUAL(conc_shared_lock_release(&table->lock), 0);
}

static void hold_twice_until_told(void *unused)
{
    CHECK_EQUAL(conc_shared_rlock_enter(&table->rlock), 0);
    CHECK_EQUAL(conc_shared_rlock_enter(&table->rlock), 0);
    conc_shared_event_set(&table->held);
    CHECK_EQUAL(conc_shared_event_wait(&table->release, CONC_FOREVER), 0);
    CHECK_EQUAL(conc_shared_rlock_release(&table->rlock), 0);
    CHECK_EQUAL(conc_shared_rlock_release(&table->rlock), 0);
}

static pid_t holder(void (*fn)(void *arg))
{
    pid_t pid = child_start(fn, NULL);
    CHECK_EQUAL(conc_shared_event_wait(&table->held, CONC_FOREVER), 0);
    return pid;
}

/* ---- Lock ---- */

static void test_lock_when_free_is_taken_and_released(void)
{
    setup_table();
    CHECK(!conc_shared_lock_is_locked(&table->lock));
    CHECK_EQUAL(conc_shared_lock_release(&table->lock), -EPERM);
    CHECK_EQUAL(conc_shared_lock_enter(&table->lock), 0);
    CHECK(conc_shared_lock_is_locked(&table->lock));
    CHECK_EQUAL(conc_shared_lock_try_acquire(&table->lock), -EAGAIN);
    CHECK_EQUAL(conc_shared_lock_make_consistent(&table->lock), -EINVAL);
    CHECK_EQUAL(conc_shared_lock_release(&table->lock), 0);
    CHECK_EQUAL(conc_shared_lock_try_acquire(&table->lock), 0);
    CHECK_EQUAL(conc_shared_lock_release(&table->lock), 0);
    CHECK_EQUAL(conc_shared_lock_acquire(&table->lock, CONC_NOW), 0);
    CHECK_EQUAL(conc_shared_lock_release(&table->lock), 0);
    CHECK_EQUAL(conc_shared_lock_acquire(&table->lock, conc_in(-1)), 0);
    CHECK_EQUAL(conc_shared_lock_release(&table->lock), 0);
    CHECK_EQUAL(conc_shared_lock_release(&table->lock), -EPERM);
    free_table();
}

static int acquire_it(void *arg, void *result)
{
    return conc_shared_lock_acquire(&table->lock, CONC_FOREVER);
}

static void test_lock_when_another_process_holds_it_ends_in_time(void)
{
    setup_table();
    pid_t pid = holder(hold_until_told);
    CHECK(conc_shared_lock_is_locked(&table->lock));
    CHECK_EQUAL(conc_shared_lock_release(&table->lock), -EPERM);
    CHECK_EQUAL(conc_shared_lock_acquire(&table->lock, CONC_NOW), -EAGAIN);
    CHECK_EQUAL(conc_shared_lock_acquire(&table->lock, conc_in(-1)), -ETIMEDOUT);
    CHECK_EQUAL(conc_shared_lock_acquire(&table->lock, conc_in(CONC_MS(30))), -ETIMEDOUT);
    CHECK_EQUAL(cancel_when_blocked(acquire_it, NULL, 0, "shared lock"), -ECANCELED);
    CHECK_EQUAL(table->lock.spot.waiters, 0);
    conc_shared_event_set(&table->release);
    CHECK_EQUAL(conc_shared_lock_acquire(&table->lock, CONC_FOREVER), 0);
    CHECK_EQUAL(conc_shared_lock_release(&table->lock), 0);
    CHECK_EQUAL(child_end(pid), SIGKILL);
    free_table();
}

static void test_lock_when_the_scope_has_ended_is_not_taken(void)
{
    setup_table();
    conc_scope scope;
    conc_scope_enter(&scope, conc_in(-1));
    CHECK_EQUAL(conc_shared_lock_acquire(&table->lock, CONC_FOREVER), -ECANCELED);
    CHECK_EQUAL(conc_shared_lock_enter(&table->lock), 0);
    CHECK_EQUAL(conc_shared_lock_release(&table->lock), 0);
    CHECK_EQUAL(conc_scope_exit(&scope), -ETIMEDOUT);
    free_table();
}

enum { ROUNDS = 2000, PARTIES = 3 };

static void count_many(void *unused)
{
    for (int i = 0; i < ROUNDS; i++) {
        CHECK_EQUAL(conc_shared_lock_enter(&table->lock), 0);
        long n = table->count;
        if (i % 64 == 0)
            conc_yield();
        table->count = n + 1;
        CHECK_EQUAL(conc_shared_lock_release(&table->lock), 0);
    }
}

static int count_many_job(void *arg, void *result)
{
    count_many(NULL);
    return 0;
}

static void test_lock_from_processes_and_contexts_keeps_a_count_right(void)
{
    setup_table();
    pid_t pids[PARTIES];
    conc_future *jobs[PARTIES];
    for (int i = 0; i < PARTIES; i++)
        pids[i] = child_start(count_many, NULL);
    for (int i = 0; i < PARTIES; i++)
        jobs[i] = start(count_many_job, NULL, 0);
    for (int i = 0; i < PARTIES; i++) {
        CHECK_EQUAL(end_of(jobs[i]), 0);
        CHECK_EQUAL(child_end(pids[i]), SIGKILL);
    }
    CHECK_EQUAL(table->count, 2 * PARTIES * ROUNDS);
    CHECK_EQUAL(table->lock.spot.waiters, 0);
    free_table();
}

static void test_lock_in_two_views_is_one(void)
{
    setup_table();
    void *at;
    CHECK_EQUAL(conc_shared_map(&at, NULL, conc_shared_fd(table)), 0);
    struct table *view = at;
    CHECK_EQUAL(conc_shared_lock_enter(&table->lock), 0);
    CHECK_EQUAL(conc_shared_lock_try_acquire(&view->lock), -EAGAIN);
    CHECK_EQUAL(conc_shared_lock_release(&table->lock), 0);
    CHECK_EQUAL(conc_shared_lock_enter(&view->lock), 0);
    CHECK_EQUAL(conc_shared_lock_try_acquire(&table->lock), -EAGAIN);
    CHECK_EQUAL(conc_shared_lock_release(&view->lock), 0);
    CHECK_EQUAL(conc_shared_free(at), 0);
    free_table();
}

/* ---- A dead holder ---- */

static int acquire_and_repair(void *arg, void *result)
{
    int err = conc_shared_lock_acquire(&table->lock, CONC_FOREVER);
    CHECK_EQUAL(conc_shared_lock_try_acquire(&table->lock), -EAGAIN);
    CHECK_EQUAL(conc_shared_lock_make_consistent(&table->lock), 0);
    CHECK_EQUAL(conc_shared_lock_make_consistent(&table->lock), -EINVAL);
    CHECK_EQUAL(conc_shared_lock_release(&table->lock), 0);
    return err;
}

static void test_lock_when_its_holder_is_killed_says_so_and_is_held(void)
{
    setup_table();
    pid_t pid = holder(hold_until_told);
    conc_future *waiting = start(acquire_and_repair, NULL, 0);
    UNTIL(blocked_on("shared lock") == 1);
    child_kill(pid);
    CHECK_EQUAL(end_of(waiting), -EOWNERDEAD);
    CHECK_EQUAL(conc_shared_lock_enter(&table->lock), 0);
    CHECK_EQUAL(conc_shared_lock_release(&table->lock), 0);
    free_table();
}

static int acquire_and_end(void *arg, void *result) { return conc_shared_lock_enter(&table->lock); }

static void test_lock_when_its_thread_has_ended_says_so(void)
{
    conc_thread *thread;
    setup_table();
    CHECK_EQUAL(conc_thread_start(&thread, acquire_and_end, NULL, 0, NULL), 0);
    CHECK_EQUAL(conc_thread_join(thread, NULL, CONC_FOREVER), 0);
    conc_thread_free(thread);
    CHECK_EQUAL(conc_shared_lock_enter(&table->lock), -EOWNERDEAD);
    CHECK_EQUAL(conc_shared_lock_make_consistent(&table->lock), 0);
    CHECK_EQUAL(conc_shared_lock_release(&table->lock), 0);
    free_table();
}

static void test_lock_when_not_made_consistent_is_lost_to_all(void)
{
    setup_table();
    child_kill(holder(hold_until_told));
    CHECK_EQUAL(conc_shared_lock_acquire(&table->lock, CONC_FOREVER), -EOWNERDEAD);
    conc_future *jobs[PARTIES];
    for (int i = 0; i < PARTIES; i++)
        jobs[i] = start(acquire_it, NULL, 0);
    UNTIL(blocked_on("shared lock") == PARTIES);
    CHECK_EQUAL(conc_shared_lock_release(&table->lock), 0);
    for (int i = 0; i < PARTIES; i++)
        CHECK_EQUAL(end_of(jobs[i]), -ENOTRECOVERABLE);
    CHECK_EQUAL(conc_shared_lock_enter(&table->lock), -ENOTRECOVERABLE);
    CHECK_EQUAL(conc_shared_lock_release(&table->lock), -EPERM);
    free_table();
}

/* ---- Re-entrant lock ---- */

static void test_rlock_is_taken_as_often_as_wanted(void)
{
    setup_table();
    CHECK_EQUAL(conc_shared_rlock_release(&table->rlock), -EPERM);
    CHECK(!conc_shared_rlock_is_owned(&table->rlock));
    for (int i = 0; i < 3; i++)
        CHECK_EQUAL(conc_shared_rlock_enter(&table->rlock), 0);
    CHECK_EQUAL(conc_shared_rlock_try_acquire(&table->rlock), 0);
    CHECK_EQUAL(conc_shared_rlock_acquire(&table->rlock, CONC_NOW), 0);
    for (int i = 0; i < 5; i++) {
        CHECK(conc_shared_rlock_is_owned(&table->rlock));
        CHECK_EQUAL(conc_shared_rlock_release(&table->rlock), 0);
    }
    CHECK(!conc_shared_rlock_is_locked(&table->rlock));
    CHECK_EQUAL(conc_shared_rlock_release(&table->rlock), -EPERM);
    CHECK_EQUAL(conc_shared_rlock_make_consistent(&table->rlock), -EINVAL);
    free_table();
}

static void test_rlock_taken_too_often_says_eoverflow(void)
{
    setup_table();
    CHECK_EQUAL(conc_shared_rlock_enter(&table->rlock), 0);
    table->rlock.depth = UINT32_MAX;
    CHECK_EQUAL(conc_shared_rlock_enter(&table->rlock), -EOVERFLOW);
    table->rlock.depth = 1;
    CHECK_EQUAL(conc_shared_rlock_release(&table->rlock), 0);
    free_table();
}

static int try_rlock(void *arg, void *result)
{
    return conc_shared_rlock_try_acquire(&table->rlock);
}

static int acquire_and_release_rlock(void *arg, void *result)
{
    int err = conc_shared_rlock_acquire(&table->rlock, CONC_FOREVER);
    return err ? err : conc_shared_rlock_release(&table->rlock);
}

/* On tasks the other context is of the same thread. */
static void test_rlock_keeps_another_context_out(void)
{
    setup_table();
    CHECK_EQUAL(conc_shared_rlock_enter(&table->rlock), 0);
    CHECK_EQUAL(conc_shared_rlock_enter(&table->rlock), 0);
    CHECK_EQUAL(end_of(start(try_rlock, NULL, 0)), -EAGAIN);
    CHECK_EQUAL(cancel_when_blocked(acquire_and_release_rlock, NULL, 0, "shared rlock"),
                -ECANCELED);
    conc_future *f = start(acquire_and_release_rlock, NULL, 0);
    UNTIL(blocked_on("shared rlock") == 1);
    CHECK_EQUAL(conc_shared_rlock_release(&table->rlock), 0);
    CHECK(conc_shared_rlock_is_owned(&table->rlock));
    CHECK_EQUAL(conc_shared_rlock_release(&table->rlock), 0);
    CHECK_EQUAL(end_of(f), 0);
    free_table();
}

static void test_rlock_keeps_another_process_out_until_wholly_released(void)
{
    setup_table();
    pid_t pid = holder(hold_twice_until_told);
    CHECK(conc_shared_rlock_is_locked(&table->rlock));
    CHECK(!conc_shared_rlock_is_owned(&table->rlock));
    CHECK_EQUAL(conc_shared_rlock_release(&table->rlock), -EPERM);
    CHECK_EQUAL(conc_shared_rlock_acquire(&table->rlock, conc_in(CONC_MS(5))), -ETIMEDOUT);
    conc_shared_event_set(&table->release);
    CHECK_EQUAL(conc_shared_rlock_enter(&table->rlock), 0);
    CHECK_EQUAL(conc_shared_rlock_release(&table->rlock), 0);
    CHECK_EQUAL(child_end(pid), SIGKILL);
    free_table();
}

static void test_rlock_when_its_owner_is_killed_says_so_and_is_taken_once(void)
{
    setup_table();
    child_kill(holder(hold_twice_until_told));
    CHECK_EQUAL(conc_shared_rlock_acquire(&table->rlock, CONC_FOREVER), -EOWNERDEAD);
    CHECK_EQUAL(conc_shared_rlock_enter(&table->rlock), 0);
    CHECK_EQUAL(conc_shared_rlock_make_consistent(&table->rlock), 0);
    CHECK_EQUAL(conc_shared_rlock_release(&table->rlock), 0);
    CHECK_EQUAL(conc_shared_rlock_release(&table->rlock), 0);
    CHECK(!conc_shared_rlock_is_locked(&table->rlock));
    free_table();
}

/* The child's context has the parent's id: it is another all the same. */
static void try_inherited(void *unused)
{
    CHECK(!conc_shared_rlock_is_owned(&table->rlock));
    CHECK_EQUAL(conc_shared_rlock_try_acquire(&table->rlock), -EAGAIN);
    CHECK_EQUAL(conc_shared_rlock_release(&table->rlock), -EPERM);
    CHECK_EQUAL(conc_shared_lock_release(&table->lock), -EPERM);
    CHECK_EQUAL(conc_shared_lock_try_acquire(&table->lock), -EAGAIN);
}

static void test_locks_held_over_a_fork_are_the_parents(void)
{
    setup_table();
    CHECK_EQUAL(conc_shared_rlock_enter(&table->rlock), 0);
    CHECK_EQUAL(conc_shared_lock_enter(&table->lock), 0);
    CHECK_EQUAL(child_end(child_start(try_inherited, NULL)), SIGKILL);
    CHECK_EQUAL(conc_shared_lock_release(&table->lock), 0);
    CHECK_EQUAL(conc_shared_rlock_release(&table->rlock), 0);
    free_table();
}

static const struct CMUnitTest tests[] = {
    ON_EVERY_WAY(test_lock_when_free_is_taken_and_released),
    ON_EVERY_WAY(test_lock_when_another_process_holds_it_ends_in_time),
    ON_EVERY_WAY(test_lock_when_the_scope_has_ended_is_not_taken),
    ON_EVERY_WAY(test_lock_from_processes_and_contexts_keeps_a_count_right),
    ON_EVERY_WAY(test_lock_in_two_views_is_one),
    ON_EVERY_WAY(test_lock_when_its_holder_is_killed_says_so_and_is_held),
    ON_EVERY_WAY(test_lock_when_its_thread_has_ended_says_so),
    ON_EVERY_WAY(test_lock_when_not_made_consistent_is_lost_to_all),
    ON_EVERY_WAY(test_rlock_is_taken_as_often_as_wanted),
    ON_EVERY_WAY(test_rlock_taken_too_often_says_eoverflow),
    ON_EVERY_WAY(test_rlock_keeps_another_context_out),
    ON_EVERY_WAY(test_rlock_keeps_another_process_out_until_wholly_released),
    ON_EVERY_WAY(test_rlock_when_its_owner_is_killed_says_so_and_is_taken_once),
    ON_EVERY_WAY(test_locks_held_over_a_fork_are_the_parents),
};

TEST_MAIN(tests, 60)
