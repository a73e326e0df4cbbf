/* SPDX-License-Identifier: MIT
 *
 * Stress: processes are killed at random moments while they come to a barrier, wait at it, break it
 * and reset it; those that live go on, and the barrier is whole. (test_shared_death.c: the others
 * of conc/shared.h.)
 */
#include "sharing.h"

enum { CHILDREN = 4, PARTIES = 3 };

struct table {
    conc_shared_barrier barrier;
    uint32_t passed, timed_out, broken; /* atomic */
};

static struct table *table;

/* ---- What the children do, until they are killed ---- */

/* Waits with a deadline, since a party may be dead; a party that finds the barrier broken makes it
 * whole again. */
static void come_for_ever(void *unused)
{
    struct test_random chance = test_random_for((unsigned)getpid());
    for (;;) {
        int64_t ns = test_random_below(&chance, 20) ? CONC_MS(30) : CONC_US(20);
        int index = conc_shared_barrier_wait(&table->barrier, conc_in(ns));
        CHECK(index < PARTIES);
        if (index >= 0)
            fetch_add_relaxed(&table->passed, 1);
        else if (index == -ETIMEDOUT)
            fetch_add_relaxed(&table->timed_out, 1);
        else
            CHECK_EQUAL(index, -CONC_EBROKEN);
        if (index == -CONC_EBROKEN)
            fetch_add_relaxed(&table->broken, 1);
        if (index < 0)
            conc_shared_barrier_reset(&table->barrier);
    }
}

/* ---- Killing them ---- */

static int job_come(void *arg, void *result)
{
    int index = conc_shared_barrier_wait(&table->barrier, CONC_FOREVER);
    CHECK(index >= 0 && index < PARTIES);
    fetch_add_relaxed(*(uint32_t **)arg, 1u << (8 * index));
    return 0;
}

/* All parties come, each gets an index of its own, and none is left waiting. */
static void check_whole(void)
{
    conc_future *parties[PARTIES];
    uint32_t seen = 0, *p = &seen;
    conc_shared_barrier_reset(&table->barrier);
    CHECK(!conc_shared_barrier_is_broken(&table->barrier));
    CHECK_EQUAL(conc_shared_barrier_n_waiting(&table->barrier), 0);
    for (int i = 0; i < PARTIES; i++)
        parties[i] = start(job_come, &p, sizeof p);
    for (int i = 0; i < PARTIES; i++)
        CHECK_EQUAL(end_of(parties[i]), 0);
    CHECK_EQUAL(seen, 0x010101);
    CHECK_EQUAL(conc_shared_barrier_n_waiting(&table->barrier), 0);
}

static void test_barriers_survive_those_who_come_and_wait(void)
{
    pid_t pids[CHILDREN];
    unsigned kills = 0;
    table = shared_block(sizeof *table);
    CHECK_EQUAL(conc_shared_barrier_init(&table->barrier, PARTIES), 0);
    struct test_random chance = test_random_for(40u + (unsigned)way);
    for (size_t i = 0; i < CHILDREN; i++)
        pids[i] = child_start(come_for_ever, NULL);
    const struct stress stress = stress_begin();
    while (stress_goes_on(&stress) || kills < 4) {
        size_t i = test_random_below(&chance, CHILDREN);
        conc_sleep((int64_t)test_random_below(&chance, CONC_MS(3)));
        child_kill(pids[i]);
        uint32_t before = load_relaxed(&table->passed);
        pids[i] = child_start(come_for_ever, NULL);
        UNTIL(load_relaxed(&table->passed) - before >= PARTIES);
        kills++;
    }
    for (size_t i = 0; i < CHILDREN; i++)
        child_kill(pids[i]);
    check_whole();
    printf("# %u kills; %u passed, %u timed out, %u found it broken\n", kills, table->passed,
           table->timed_out, table->broken);
    CHECK_EQUAL(conc_shared_free(table), 0);
}

static const struct CMUnitTest tests[] = {
    ON_WAY(test_barriers_survive_those_who_come_and_wait, ON_THREADS, "threads"),
    ON_WAY(test_barriers_survive_those_who_come_and_wait, ON_EPOLL, "tasks"),
};

TEST_MAIN(tests, 90)
