/* SPDX-License-Identifier: MIT
 *
 * Tests of the event, the semaphore and the barrier between processes; and that all changes wake
 * the sleepers.
 */
#include "sharing.h"

#include <linux/futex.h>
#include <sys/syscall.h>

#include <conc/shared_queue.h>

struct table {
    conc_shared_event event, begun;
    conc_shared_sem sem;
    conc_shared_barrier barrier;
    uint32_t count; /* atomic */
    uint32_t arrived[64];
};

static struct table *table;

static void setup_table(void) { table = shared_block(sizeof *table); }
static void free_table(void) { CHECK_EQUAL(conc_shared_free(table), 0); }

enum { PARTIES = 3, ROUNDS = 50 };

/* ---- Event ---- */

static int wait_event(void *arg, void *result)
{
    return conc_shared_event_wait(&table->event, CONC_FOREVER);
}

static void wait_event_in_child(void *unused)
{
    fetch_add_relaxed(&table->count, 1);
    CHECK_EQUAL(wait_event(NULL, NULL), 0);
    fetch_add_relaxed(&table->count, 1);
}

static void test_event_is_set_and_cleared(void)
{
    setup_table();
    conc_shared_event_init(&table->event);
    CHECK(!conc_shared_event_is_set(&table->event));
    CHECK_EQUAL(conc_shared_event_wait(&table->event, CONC_NOW), -EAGAIN);
    CHECK_EQUAL(conc_shared_event_wait(&table->event, conc_in(CONC_MS(10))), -ETIMEDOUT);
    CHECK_EQUAL(cancel_when_blocked(wait_event, NULL, 0, "shared event"), -ECANCELED);
    conc_shared_event_set(&table->event);
    conc_shared_event_set(&table->event);
    CHECK(conc_shared_event_is_set(&table->event));
    CHECK_EQUAL(conc_shared_event_wait(&table->event, CONC_NOW), 0);
    CHECK_EQUAL(conc_shared_event_wait(&table->event, conc_in(-1)), 0);
    conc_shared_event_clear(&table->event);
    conc_shared_event_clear(&table->event);
    CHECK(!conc_shared_event_is_set(&table->event));
    CHECK_EQUAL(conc_shared_event_wait(&table->event, conc_in(-1)), -ETIMEDOUT);
    CHECK_EQUAL(table->event.spot.waiters, 0);
    free_table();
}

static void test_event_set_and_cleared_at_once_wakes_all(void)
{
    setup_table();
    pid_t pids[PARTIES];
    conc_future *jobs[PARTIES];
    for (int i = 0; i < PARTIES; i++) {
        pids[i] = child_start(wait_event_in_child, NULL);
        jobs[i] = start(wait_event, NULL, 0);
    }
    UNTIL(load_relaxed(&table->event.spot.waiters) == 2 * PARTIES);
    conc_shared_event_set(&table->event);
    conc_shared_event_clear(&table->event);
    for (int i = 0; i < PARTIES; i++) {
        CHECK_EQUAL(end_of(jobs[i]), 0);
        CHECK_EQUAL(child_end(pids[i]), SIGKILL);
    }
    free_table();
}

static void test_event_when_a_waiter_was_killed_wakes_the_others(void)
{
    setup_table();
    pid_t pid = child_start(wait_event_in_child, NULL);
    UNTIL(load_relaxed(&table->event.spot.waiters) == 1);
    conc_future *f = start(wait_event, NULL, 0);
    UNTIL(blocked_on("shared event") == 1);
    child_kill(pid);
    conc_shared_event_set(&table->event);
    CHECK_EQUAL(end_of(f), 0);
    CHECK_EQUAL(load_relaxed(&table->count), 1);
    free_table();
}

/* ---- Semaphore ---- */

static int acquire_sem(void *arg, void *result)
{
    return conc_shared_sem_acquire(&table->sem, CONC_FOREVER);
}

static void acquire_sem_in_child(void *unused)
{
    CHECK_EQUAL(conc_shared_sem_acquire(&table->sem, CONC_FOREVER), 0);
    fetch_add_relaxed(&table->count, 1);
}

static void test_sem_gives_its_units_and_no_more(void)
{
    setup_table();
    CHECK_EQUAL(conc_shared_sem_init(&table->sem, 2, 1), -EINVAL);
    CHECK_EQUAL(conc_shared_sem_init(&table->sem, 0, CONC_SHARED_SEM_MAX + 1), -EINVAL);
    CHECK_EQUAL(conc_shared_sem_init(&table->sem, CONC_SHARED_SEM_MAX + 1, 0), -EINVAL);
    CHECK_EQUAL(conc_shared_sem_init(&table->sem, 2, 3), 0);
    CHECK_EQUAL(conc_shared_sem_acquire(&table->sem, CONC_NOW), 0);
    CHECK_EQUAL(conc_shared_sem_acquire(&table->sem, conc_in(-1)), 0);
    CHECK_EQUAL(conc_shared_sem_acquire(&table->sem, CONC_NOW), -EAGAIN);
    CHECK_EQUAL(conc_shared_sem_acquire(&table->sem, conc_in(CONC_MS(5))), -ETIMEDOUT);
    CHECK_EQUAL(cancel_when_blocked(acquire_sem, NULL, 0, "shared sem"), -ECANCELED);
    CHECK_EQUAL(conc_shared_sem_release(&table->sem, 0), -EINVAL);
    CHECK_EQUAL(conc_shared_sem_release(&table->sem, 4), -EOVERFLOW);
    CHECK_EQUAL(conc_shared_sem_release(&table->sem, UINT32_MAX), -EOVERFLOW);
    CHECK_EQUAL(conc_shared_sem_value(&table->sem), 0);
    CHECK_EQUAL(conc_shared_sem_release(&table->sem, 3), 0);
    CHECK_EQUAL(conc_shared_sem_release(&table->sem, 1), -EOVERFLOW);
    CHECK_EQUAL(conc_shared_sem_value(&table->sem), 3);
    free_table();
}

static void test_sem_releases_one_by_one_let_all_go_on(void)
{
    setup_table();
    pid_t pids[PARTIES];
    conc_future *jobs[PARTIES];
    for (int i = 0; i < PARTIES; i++) {
        pids[i] = child_start(acquire_sem_in_child, NULL);
        jobs[i] = start(acquire_sem, NULL, 0);
    }
    UNTIL(load_relaxed(&table->sem.spot.waiters) == 2 * PARTIES);
    CHECK_EQUAL(conc_shared_sem_release(&table->sem, PARTIES), 0);
    for (int i = 0; i < PARTIES; i++)
        CHECK_EQUAL(conc_shared_sem_release(&table->sem, 1), 0);
    for (int i = 0; i < PARTIES; i++) {
        CHECK_EQUAL(end_of(jobs[i]), 0);
        CHECK_EQUAL(child_end(pids[i]), SIGKILL);
    }
    CHECK_EQUAL(conc_shared_sem_value(&table->sem), 0);
    free_table();
}

static void test_sem_when_a_waiter_was_killed_gives_its_unit_to_another(void)
{
    setup_table();
    pid_t pid = child_start(acquire_sem_in_child, NULL);
    UNTIL(load_relaxed(&table->sem.spot.waiters) == 1);
    child_kill(pid);
    conc_future *f = start(acquire_sem, NULL, 0);
    UNTIL(blocked_on("shared sem") == 1);
    CHECK_EQUAL(conc_shared_sem_release(&table->sem, 1), 0);
    CHECK_EQUAL(end_of(f), 0);
    CHECK_EQUAL(load_relaxed(&table->count), 0);
    free_table();
}

/* ---- Barrier ---- */

static void init_barrier(uint32_t parties)
{
    setup_table();
    CHECK_EQUAL(conc_shared_barrier_init(&table->barrier, parties), 0);
}

/* Each round all are there, each with an index of its own. */
static void go_round(void *unused)
{
    for (uint32_t i = 0; i < ROUNDS; i++) {
        fetch_add_relaxed(&table->count, 1);
        int index = conc_shared_barrier_wait(&table->barrier, CONC_FOREVER);
        CHECK(index >= 0 && index < 2 * PARTIES);
        CHECK(load_relaxed(&table->count) >= (i + 1) * 2 * PARTIES);
        fetch_add_relaxed(&table->arrived[index], 1);
    }
}

static int go_round_job(void *arg, void *result)
{
    go_round(NULL);
    return 0;
}

static void test_barrier_lets_all_parties_go_together(void)
{
    init_barrier(2 * PARTIES);
    pid_t pids[PARTIES];
    conc_future *jobs[PARTIES];
    CHECK_EQUAL(conc_shared_barrier_parties(&table->barrier), 2 * PARTIES);
    for (int i = 0; i < PARTIES; i++) {
        pids[i] = child_start(go_round, NULL);
        jobs[i] = start(go_round_job, NULL, 0);
    }
    for (int i = 0; i < PARTIES; i++) {
        CHECK_EQUAL(end_of(jobs[i]), 0);
        CHECK_EQUAL(child_end(pids[i]), SIGKILL);
    }
    for (int i = 0; i < 2 * PARTIES; i++)
        CHECK_EQUAL(table->arrived[i], ROUNDS);
    CHECK_EQUAL(conc_shared_barrier_n_waiting(&table->barrier), 0);
    free_table();
}

static int wait_barrier(void *arg, void *result)
{
    int index = conc_shared_barrier_wait(&table->barrier, CONC_FOREVER);
    return index < 0 ? index : 0;
}

static void test_barrier_with_bad_parties_says_einval(void)
{
    setup_table();
    CHECK_EQUAL(conc_shared_barrier_init(&table->barrier, 0), -EINVAL);
    CHECK_EQUAL(conc_shared_barrier_init(&table->barrier, CONC_SHARED_BARRIER_MAX + 1), -EINVAL);
    CHECK_EQUAL(conc_shared_barrier_init(&table->barrier, CONC_SHARED_BARRIER_MAX), 0);
    free_table();
}

static void test_barrier_when_a_party_gives_up_is_broken_for_all(void)
{
    init_barrier(3);
    conc_future *f = start(wait_barrier, NULL, 0);
    UNTIL(conc_shared_barrier_n_waiting(&table->barrier) == 1);
    CHECK_EQUAL(conc_shared_barrier_wait(&table->barrier, CONC_NOW), -EAGAIN);
    CHECK(!conc_shared_barrier_is_broken(&table->barrier));
    CHECK_EQUAL(conc_shared_barrier_wait(&table->barrier, conc_in(CONC_MS(5))), -ETIMEDOUT);
    CHECK_EQUAL(conc_shared_barrier_n_waiting(&table->barrier), 0);
    CHECK(conc_shared_barrier_is_broken(&table->barrier));
    CHECK_EQUAL(end_of(f), -CONC_EBROKEN);
    CHECK_EQUAL(conc_shared_barrier_wait(&table->barrier, CONC_FOREVER), -CONC_EBROKEN);
    conc_shared_barrier_reset(&table->barrier);
    CHECK_EQUAL(conc_shared_barrier_n_waiting(&table->barrier), 0);
    CHECK_EQUAL(cancel_when_blocked(wait_barrier, NULL, 0, "shared barrier"), -ECANCELED);
    CHECK(conc_shared_barrier_is_broken(&table->barrier));
    free_table();
}

static void test_barrier_when_a_cancelled_party_comes_is_broken(void)
{
    init_barrier(2);
    conc_future *f = start(wait_barrier, NULL, 0);
    UNTIL(conc_shared_barrier_n_waiting(&table->barrier) == 1);
    conc_scope scope;
    conc_scope_enter(&scope, conc_in(-1));
    CHECK_EQUAL(conc_shared_barrier_wait(&table->barrier, CONC_FOREVER), -ECANCELED);
    CHECK_EQUAL(conc_scope_exit(&scope), -ETIMEDOUT);
    CHECK_EQUAL(end_of(f), -CONC_EBROKEN);
    free_table();
}

static void wait_broken(void *unused) { CHECK_EQUAL(wait_barrier(NULL, NULL), -CONC_EBROKEN); }

static void end_by(void (*end)(conc_shared_barrier *barrier))
{
    init_barrier(3);
    pid_t pid = child_start(wait_broken, NULL);
    conc_future *f = start(wait_barrier, NULL, 0);
    UNTIL(conc_shared_barrier_n_waiting(&table->barrier) == 2);
    end(&table->barrier);
    CHECK_EQUAL(end_of(f), -CONC_EBROKEN);
    CHECK_EQUAL(child_end(pid), SIGKILL);
    CHECK_EQUAL(conc_shared_barrier_n_waiting(&table->barrier), 0);
}

static void test_barrier_when_reset_sends_away_who_waits(void)
{
    end_by(conc_shared_barrier_reset);
    CHECK(!conc_shared_barrier_is_broken(&table->barrier));
    free_table();
}

static void test_barrier_when_aborted_stays_broken(void)
{
    end_by(conc_shared_barrier_abort);
    CHECK(conc_shared_barrier_is_broken(&table->barrier));
    free_table();
}

/* Complete, and reset before the waiters have looked: they still learn that it was complete; and
 * the other way round. */
static void test_barrier_when_reset_after_completion_was_complete(void)
{
    init_barrier(2);
    for (int turn = 0; turn < 20; turn++) {
        conc_future *f = start(wait_barrier, NULL, 0);
        UNTIL(conc_shared_barrier_n_waiting(&table->barrier) == 1);
        bool complete = turn % 3;
        if (complete)
            CHECK_EQUAL(conc_shared_barrier_wait(&table->barrier, CONC_NOW), 1);
        conc_shared_barrier_reset(&table->barrier);
        conc_shared_barrier_reset(&table->barrier);
        CHECK_EQUAL(end_of(f), complete ? 0 : -CONC_EBROKEN);
    }
    free_table();
}

static void wait_for_ever(void *unused) { conc_shared_barrier_wait(&table->barrier, CONC_FOREVER); }

static void test_barrier_when_a_waiting_party_is_killed_it_has_come(void)
{
    init_barrier(3);
    pid_t pid = child_start(wait_for_ever, NULL);
    UNTIL(conc_shared_barrier_n_waiting(&table->barrier) == 1);
    child_kill(pid);
    conc_future *f = start(wait_barrier, NULL, 0);
    UNTIL(conc_shared_barrier_n_waiting(&table->barrier) == 2);
    CHECK_EQUAL(conc_shared_barrier_wait(&table->barrier, CONC_FOREVER), 2);
    CHECK_EQUAL(end_of(f), 0);
    free_table();
}

/* ---- Wake-ups ---- */

/* The library's own waits look again before long. This one sleeps until it is woken. */
static void sleep_on(void *arg)
{
    struct conc__shared_spot *spot = arg;
    uint32_t seq = load_relaxed(&spot->seq);
    fetch_add_relaxed(&table->count, 1);
    while (load_relaxed(&spot->seq) == seq)
        syscall(SYS_futex, &spot->seq, FUTEX_WAIT, seq, NULL, NULL, 0);
}

static bool is_asleep(pid_t pid)
{
    char path[64], state = 0;
    snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    FILE *f = fopen(path, "r");
    CHECK(f && fscanf(f, "%*d (%*[^)]) %c", &state) == 1);
    fclose(f);
    return state == 'S';
}

static pid_t sleeper_on(struct conc__shared_spot *spot)
{
    store_relaxed(&table->count, 0);
    fetch_add_relaxed(&spot->waiters, 1);
    pid_t pid = child_start(sleep_on, spot);
    UNTIL(load_relaxed(&table->count) == 1 && is_asleep(pid));
    return pid;
}

static void test_what_lets_a_sleeper_go_on_wakes_it(void)
{
    init_barrier(1);
    pid_t pid = sleeper_on(&table->sem.spot);
    CHECK_EQUAL(conc_shared_sem_release(&table->sem, 1), 0);
    CHECK_EQUAL(child_end(pid), SIGKILL);
    pid = sleeper_on(&table->event.spot);
    conc_shared_event_set(&table->event);
    CHECK_EQUAL(child_end(pid), SIGKILL);
    void (*const ends[])(conc_shared_barrier *) = {conc_shared_barrier_reset,
                                                   conc_shared_barrier_abort};
    pid = sleeper_on(&table->barrier.spot);
    CHECK_EQUAL(conc_shared_barrier_wait(&table->barrier, CONC_FOREVER), 0);
    CHECK_EQUAL(child_end(pid), SIGKILL);
    for (int i = 0; i < 2; i++) {
        pid = sleeper_on(&table->barrier.spot);
        ends[i](&table->barrier);
        CHECK_EQUAL(child_end(pid), SIGKILL);
    }
    free_table();
}

static void test_what_lets_a_sleeper_have_the_lock_wakes_it(void)
{
    setup_table();
    conc_shared_lock *lock = shared_block(sizeof *lock + sizeof(conc_shared_cond));
    conc_shared_cond *cond = (conc_shared_cond *)(lock + 1);
    CHECK_EQUAL(conc_shared_lock_init(lock), 0);
    conc_shared_cond_init(cond, lock);
    CHECK_EQUAL(conc_shared_lock_enter(lock), 0);
    pid_t pid = sleeper_on(&cond->spot);
    cond->waiting = 1;
    CHECK_EQUAL(conc_shared_cond_notify(cond, 1), 0);
    CHECK_EQUAL(child_end(pid), SIGKILL);
    pid = sleeper_on(&lock->spot);
    CHECK_EQUAL(conc_shared_lock_release(lock), 0);
    CHECK_EQUAL(child_end(pid), SIGKILL);
    CHECK_EQUAL(conc_shared_free(lock), 0);
    free_table();
}

static void test_what_changes_a_queue_wakes_its_sleepers(void)
{
    setup_table();
    int n = 1;
    conc_shared_queue *queue = shared_block(conc_shared_queue_bytes(sizeof n, 1));
    CHECK_EQUAL(conc_shared_queue_init(queue, sizeof n, 1), 0);
    pid_t pid = sleeper_on(&queue->getters);
    CHECK_EQUAL(conc_shared_queue_put(queue, &n, CONC_NOW), 0);
    CHECK_EQUAL(child_end(pid), SIGKILL);
    pid = sleeper_on(&queue->putters);
    CHECK_EQUAL(conc_shared_queue_get(queue, &n, CONC_NOW), 0);
    CHECK_EQUAL(child_end(pid), SIGKILL);
    pid = sleeper_on(&queue->joiners);
    CHECK_EQUAL(conc_shared_queue_task_done(queue), 0);
    CHECK_EQUAL(child_end(pid), SIGKILL);
    struct conc__shared_spot *const spots[] = {&queue->getters, &queue->putters, &queue->joiners};
    pid_t pids[3];
    for (int i = 0; i < 3; i++)
        pids[i] = sleeper_on(spots[i]);
    conc_shared_queue_shutdown(queue, false);
    for (int i = 0; i < 3; i++)
        CHECK_EQUAL(child_end(pids[i]), SIGKILL);
    CHECK_EQUAL(conc_shared_free(queue), 0);
    free_table();
}

static const struct CMUnitTest tests[] = {
    ON_EVERY_WAY(test_event_is_set_and_cleared),
    ON_EVERY_WAY(test_event_set_and_cleared_at_once_wakes_all),
    ON_EVERY_WAY(test_event_when_a_waiter_was_killed_wakes_the_others),
    ON_EVERY_WAY(test_sem_gives_its_units_and_no_more),
    ON_EVERY_WAY(test_sem_releases_one_by_one_let_all_go_on),
    ON_EVERY_WAY(test_sem_when_a_waiter_was_killed_gives_its_unit_to_another),
    ON_EVERY_WAY(test_barrier_lets_all_parties_go_together),
    ON_EVERY_WAY(test_barrier_with_bad_parties_says_einval),
    ON_EVERY_WAY(test_barrier_when_a_party_gives_up_is_broken_for_all),
    ON_EVERY_WAY(test_barrier_when_a_cancelled_party_comes_is_broken),
    ON_EVERY_WAY(test_barrier_when_reset_sends_away_who_waits),
    ON_EVERY_WAY(test_barrier_when_aborted_stays_broken),
    ON_EVERY_WAY(test_barrier_when_reset_after_completion_was_complete),
    ON_EVERY_WAY(test_barrier_when_a_waiting_party_is_killed_it_has_come),
    ON_WAY(test_what_lets_a_sleeper_go_on_wakes_it, ON_THREADS, "threads"),
    ON_WAY(test_what_lets_a_sleeper_have_the_lock_wakes_it, ON_THREADS, "threads"),
    ON_WAY(test_what_changes_a_queue_wakes_its_sleepers, ON_THREADS, "threads"),
};

TEST_MAIN(tests, 60)
