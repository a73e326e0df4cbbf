/* SPDX-License-Identifier: MIT
 *
 * Stress: a program that uses processes in every way is killed at a random moment (SIGKILL), also
 * while it starts them. All that descends from it ends; and nothing of it has a name, in /dev/shm
 * or elsewhere, that could stay.
 *
 * The test is a subreaper: what a death orphans becomes its child, so that nothing can hide.
 */
#include "processes.h"
#include "sharing.h"

#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

/* What the program and its jobs tell the test, in memory that is theirs by fork alone. */
struct progress {
    uint32_t steps;
};

static struct progress *progress;
static volatile bool never;

static int job_spin(void *arg, void *result)
{
    while (!never)
        cpu_relax();
    return 0;
}

/* A pool of its own, whose jobs never end. */
static int job_with_pool(void *arg, void *result)
{
    conc_executor *pool;
    int err = conc_process_pool_new(&pool, 2, NULL);
    conc_future *f = err ? NULL : conc_submit(pool, job_stop, NULL, 0, 0);
    err = err ? err : conc_future_wait(f, CONC_FOREVER);
    conc_future_unref(f);
    return err;
}

static int job_with_process(void *arg, void *result)
{
    conc_process *p;
    int err = conc_process_start(&p, job_stop, NULL, 0, NULL);
    return err ? err : conc_process_join(p, CONC_FOREVER);
}

static void step(void) { fetch_add_relaxed(&progress->steps, 1); }

static void submit_and_forget(conc_executor *pool, conc_fn *fn)
{
    conc_future_unref(conc_submit(pool, fn, NULL, 0, 0));
    step();
}

/* Until it is killed. Each step is a moment at which it may be. */
static void use_processes(void *arg)
{
    struct test_random random = test_random_for(*(unsigned *)arg);
    for (unsigned i = 0; i < 2; i++) {
        conc_executor *pool = make_pool(4, &(conc_process_pool_options){.max_jobs_per_worker = 5});
        conc_process *p;
        step();
        submit_and_forget(pool, job_with_pool);
        submit_and_forget(pool, i ? job_spin : job_with_process);
        CHECK_EQUAL(conc_process_start(&p, i ? job_stop : job_spin, NULL, 0, NULL), 0);
        step();
        for (unsigned k = 0; k < 20; k++) {
            const struct sized s = random_sized(&random, 300 << 10);
            check_sized(submit_sized(pool, s), s);
            step();
        }
    }
    conc_sleep_until(CONC_FOREVER);
}

enum { STEPS = 2 * 24 };

/* In which of its descendants' maps is there a file that has a name? */
static void check_no_names(pid_t program)
{
    struct relative family[FAMILY_MAX];
    char path[32], line[4400];
    size_t n = family_of(program, family);
    for (size_t i = 0; i < n; i++) {
        snprintf(path, sizeof path, "/proc/%d/maps", (int)family[i].pid);
        FILE *f = fopen(path, "re");
        while (f && fgets(line, sizeof line, f))
            if (strstr(line, "/dev/shm/") && !strstr(line, "(deleted)"))
                check_failed(line, __FILE__, __LINE__);
        if (f)
            fclose(f);
    }
}

static void kill_a_program(struct test_random *random, unsigned index)
{
    const struct remains before = remains_now();
    const uint32_t when = (uint32_t)test_random_below(random, STEPS + 1);
    store_relaxed(&progress->steps, 0);
    pid_t program = child_start(use_processes, &index);
    UNTIL(load_relaxed(&progress->steps) >= when);
    conc_sleep((int64_t)test_random_below(random, CONC_MS(3)));
    if (when % 4 == 0)
        check_no_names(program);
    child_kill(program);
    check_nothing_remains(&before);
}

static void test_nothing_outlives_a_program_that_is_killed(void)
{
    if (!CHILD_MAY_START_THREADS ||
        on_valgrind()) { /* there a fork's child finds leaks at its end */
        printf("# left out\n");
        return;
    }
    const int kind = MAP_SHARED | MAP_ANONYMOUS;
    unsigned n = 0;
    progress = mmap(NULL, sizeof *progress, PROT_READ | PROT_WRITE, kind, -1, 0);
    CHECK(progress != MAP_FAILED);
    adopt_orphans(true);
    const struct stress stress = stress_begin();
    struct test_random random = test_random_for(3);
    while (stress_goes_on(&stress) || n < 5)
        kill_a_program(&random, n++);
    adopt_orphans(false);
    munmap(progress, sizeof *progress);
    printf("# %u programs killed\n", n);
}

static const struct CMUnitTest tests[] = {
    ON_WAY(test_nothing_outlives_a_program_that_is_killed, ON_THREADS, "all"),
};

TEST_MAIN(tests, 100)
