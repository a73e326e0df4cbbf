/* SPDX-License-Identifier: MIT
 *
 * test_loop_stacks.c: after a storm of tasks the memory of their stacks goes back.
 */
#include "loops.h"

#include <stdio.h>
#include <unistd.h>

#include <conc/event.h>

#include "task/stack.h"

enum { STORM = 300, TOUCHED = 100000 /* bytes of each stack */ };

static size_t resident_bytes(void)
{
    unsigned long size, resident;
    FILE *f = fopen("/proc/self/statm", "r");
    CHECK(f);
    CHECK_EQUAL(fscanf(f, "%lu %lu", &size, &resident), 2);
    fclose(f);
    return resident * (size_t)sysconf(_SC_PAGESIZE);
}

static conc_event go;

static int job_touch(void *arg, void *result)
{
    volatile char deep[TOUCHED];
    for (size_t i = 0; i < sizeof deep; i += 1024)
        deep[i] = 1;
    return conc_event_wait(&go, CONC_FOREVER);
}

/* Returns how much memory the program has at its height. */
static size_t run_storm(void)
{
    static conc_future *f[STORM];
    go = (conc_event)CONC_EVENT_INIT;
    for (int i = 0; i < STORM; i++)
        f[i] = conc_spawn(job_touch, NULL, 0, 0);
    YIELD_UNTIL(blocked_on("event") == STORM);
    size_t peak = resident_bytes();
    conc_event_set(&go);
    for (int i = 0; i < STORM; i++)
        CHECK_EQUAL(end_of(f[i]), 0);
    return peak;
}

static int job_storm_and_wait(void *arg, void *result)
{
    size_t peak = run_storm();
    CHECK(conc__stack_is_crowded());
    UNTIL(!conc__stack_is_crowded()); /* all that happens is that the loop sleeps */
    CHECK(resident_bytes() + (size_t)STORM * TOUCHED / 2 < peak);
    return 0;
}

static int job_storm(void *peak, void *result)
{
    *(size_t *)pointer_in(peak) = run_storm();
    CHECK(conc__stack_is_crowded());
    return 0;
}

static void test_a_loop_that_rests_gives_memory_back(void)
{
    CHECK_EQUAL(in_task(job_storm_and_wait, NULL), 0);
}

static void test_a_loop_that_has_ended_has_given_memory_back(void)
{
    size_t peak = 0;
    CHECK_EQUAL(in_task(job_storm, &peak), 0);
    CHECK(!conc__stack_is_crowded());
    CHECK(resident_bytes() + (size_t)STORM * TOUCHED / 2 < peak);
}

static const struct CMUnitTest tests[] = {
    ON_EVERY_BACKEND(test_a_loop_that_rests_gives_memory_back),
    ON_EVERY_BACKEND(test_a_loop_that_has_ended_has_given_memory_back),
};

TEST_MAIN(tests, 60)
