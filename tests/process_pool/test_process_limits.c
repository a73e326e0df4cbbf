/* SPDX-License-Identifier: MIT
 *
 * test_process_limits.c: too few descriptors, too little memory, too many processes, at each step
 * of making a pool, a process, a pipe or shared memory, and of what a pool does later: a documented
 * error, nothing left, and afterwards all is well.
 */
#include "processes.h"

#include <grp.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include <conc/shared.h>

/* ---- Each number of descriptors ---- */

/* Tries something; 0, or an error. What it has made it has given back. */
typedef int attempt(void);

static int try_pool(void)
{
    const conc_process_pool_options options = {.fds = (int[]){0, 1, 2}, .n_fds = 3};
    conc_executor *pool = NULL;
    int err = conc_process_pool_new(&pool, 2, &options);
    if (err) {
        CHECK(pool == NULL);
        return err;
    }
    limit_descriptors(0);
    check_works(pool);
    return conc_executor_free(pool);
}

static int try_process(void)
{
    const conc_process_options options = {.fds = (int[]){0, 1, 2}, .n_fds = 3};
    conc_process *p = NULL;
    int zero = 0, err = conc_process_start(&p, job_return, &zero, sizeof zero, &options);
    if (err) {
        CHECK(p == NULL);
        return err;
    }
    CHECK_EQUAL(conc_process_join(p, PATIENT), 0);
    conc_process_free(p);
    return 0;
}

static int try_pipe(void)
{
    conc_pipe *a = NULL, *b = NULL;
    int err = conc_pipe_new(&a, &b);
    CHECK(!a == !!err && !b == !!err);
    conc_pipe_free(a);
    conc_pipe_free(b);
    return err;
}

static int try_shared(void)
{
    void *block = NULL, *again = NULL;
    int err = conc_shared_new(&block, 1);
    if (err)
        return err;
    err = conc_shared_map(&again, NULL, conc_shared_fd(block));
    CHECK(!again == !!err);
    CHECK_EQUAL(conc_shared_free(block), 0);
    if (again)
        CHECK_EQUAL(conc_shared_free(again), 0);
    return err;
}

static bool is_one_free(void)
{
    int fd = dup(STDIN_FILENO);
    if (fd >= 0)
        close(fd);
    return fd >= 0;
}

/* With one descriptor more each time, from none, until there are enough. How often there were too
 * few, though not none. (valgrind also refuses the use of those that are above the limit.) */
static int step_descriptors(attempt *fn)
{
    const struct remains before = remains_now();
    int refused = 0;
    if (on_valgrind())
        return INT_MAX;
    for (int limit = 1;; limit++) {
        limit_descriptors(limit);
        bool some = is_one_free();
        int err = fn();
        limit_descriptors(0);
        if (err == 0)
            break;
        CHECK_EQUAL(err, -EMFILE);
        refused += some;
        if (limit % 4 == 0)
            check_nothing_remains(&before);
    }
    check_nothing_remains(&before);
    return refused;
}

static void test_each_number_of_descriptors_is_enough_or_an_error(void)
{
    CHECK(step_descriptors(try_pool) >= 5);
    CHECK(step_descriptors(try_process) >= 3);
    CHECK(step_descriptors(try_pipe) >= 1);
    CHECK(step_descriptors(try_shared) >= 1);
}

static void end_the_server(void)
{
    pid_t server = fork_server();
    if (server) {
        CHECK_EQUAL(kill(server, SIGKILL), 0);
        UNTIL(is_gone(server));
    }
}

/* The fork server has to be started too; it then has as few itself, so it is not kept. */
static void test_each_number_of_descriptors_is_enough_for_a_new_server_or_an_error(void)
{
    end_the_server();
    CHECK(step_descriptors(try_process) >= 3);
    end_the_server();
    CHECK(step_descriptors(try_pool) >= 5);
    end_the_server();
    CHECK_EQUAL(try_process(), 0);
}

/* ---- Descriptors, later ---- */

static void test_worker_that_cannot_be_replaced_breaks_the_pool(void)
{
    const struct remains before = remains_now();
    const struct sized s = sized_of(1000, 1000, 3);
    conc_executor *pool = make_pool(1, &(conc_process_pool_options){.max_jobs_per_worker = 1});
    limit_descriptors(1);
    conc_future *first = submit_sized(pool, s), *second = submit_sized(pool, s);
    CHECK_EQUAL(conc_future_wait(second, PATIENT), 0);
    limit_descriptors(0);
    check_sized(first, s);
    CHECK_EQUAL(conc_future_error(second), -CONC_EBROKEN);
    CHECK(!strcmp(conc_future_message(second),
                  "a worker could not be replaced: Too many open files"));
    conc_future_unref(second);
    CHECK_EQUAL(conc_executor_free(pool), 0);
    check_nothing_remains(&before);
}

enum { FEW = 24 };

/* In a child with one thread, whose server, by a fork, has few descriptors, while it has many. */
static int crowd_the_server(void *arg)
{
    conc_process *p[2 * FEW];
    int n = 0, err = 0, zero = 0;
    limit_descriptors(FEW);
    CHECK_EQUAL(conc_process_prepare(), 0);
    limit_descriptors(0);
    while (n < 2 * FEW && !(err = conc_process_start(&p[n], job_stop, NULL, 0, NULL)))
        n++;
    if (err != -EMFILE && err != -EAGAIN)
        return 1;
    for (int i = 0; i < n; i++)
        if (!conc_process_is_alive(p[i]))
            return 2;
    for (int i = 0; i < n; i++)
        conc_process_free(p[i]);
    if (conc_process_start(&p[0], job_return, &zero, sizeof zero, NULL))
        return 3;
    err = conc_process_join(p[0], PATIENT);
    conc_process_free(p[0]);
    return err ? 4 : 0;
}

static void test_server_without_descriptors_refuses_and_keeps_its_children(void)
{
    if (!on_valgrind()) /* where a fork's child finds leaks when it ends */
        CHECK_EQUAL(in_child(crowd_the_server, NULL), 0);
}

/* ---- Memory ---- */

/* The first job of a pool, while each allocation in turn fails. */
static void test_submission_without_memory_says_so(void)
{
    const struct sized s = sized_of(3000, 3000, 3);
    for (int i = 1, failed = 1; failed; i++) {
        conc_executor *pool = make_pool(1, NULL);
        fail_alloc(i);
        conc_future *f = submit_sized(pool, s);
        CHECK_EQUAL(conc_future_wait(f, PATIENT), 0);
        failed = alloc_has_failed();
        if (conc_future_error(f))
            CHECK_EQUAL(conc_future_error(f), -ENOMEM);
        else
            CHECK(is_result_of(f, s));
        CHECK(failed || conc_future_error(f) == 0);
        conc_future_unref(f);
        check_sized(submit_sized(pool, s), s);
        CHECK_EQUAL(conc_executor_free(pool), 0);
    }
}

static size_t address_space(void)
{
    size_t pages = 0;
    FILE *f = fopen("/proc/self/statm", "re");
    CHECK(f && fscanf(f, "%zu", &pages) == 1);
    fclose(f);
    return pages * (size_t)sysconf(_SC_PAGESIZE);
}

/* With some more addresses each time, until there are enough. */
static int make_pools_with_few_addresses(void *arg)
{
    enum { STEP = 128 << 10 };
    struct rlimit limit, no_limit;
    conc_executor *pool;
    int refused = 0, err;
    CHECK_EQUAL(conc_process_prepare(), 0); /* its children are not limited */
    CHECK_EQUAL(getrlimit(RLIMIT_AS, &no_limit), 0);
    limit = no_limit;
    limit.rlim_cur = address_space();
    do {
        CHECK_EQUAL(setrlimit(RLIMIT_AS, &limit), 0);
        err = conc_process_pool_new(&pool, 2, NULL);
        CHECK_EQUAL(setrlimit(RLIMIT_AS, &no_limit), 0);
        if (err && err != -ENOMEM && err != -EAGAIN)
            return 1;
        limit.rlim_cur += STEP;
        refused += err != 0;
    } while (err);
    check_works(pool);
    return conc_executor_free(pool) || refused < 3 ? 2 : 0;
}

static void test_making_a_pool_with_few_addresses_fails_cleanly(void)
{
    if (!WITH_SANITIZER && !on_valgrind())
        CHECK_EQUAL(in_child(make_pools_with_few_addresses, NULL), 0);
}

/* ---- Processes ---- */

enum { SOMEBODY = 20000, NOBODY_ELSE = 40000 }; /* users who have no processes */

/* As a user who may have so many processes and threads. The server is limited alike. */
static int make_a_pool_among_few(void *arg)
{
    const struct rlimit limit = {*(rlim_t *)arg, *(rlim_t *)arg};
    /* Another one each time: the last one's processes may still be ending. */
    const uid_t id = SOMEBODY + ((uid_t)getppid() * 8 + (uid_t)limit.rlim_cur) % NOBODY_ELSE;
    conc_executor *pool = NULL;
    CHECK_EQUAL(setgroups(0, NULL), 0);
    CHECK_EQUAL(setresgid(id, id, id), 0);
    CHECK_EQUAL(setresuid(id, id, id), 0);
    CHECK_EQUAL(setrlimit(RLIMIT_NPROC, &limit), 0);
    const struct remains before = remains_now();
    int err = conc_process_pool_new(&pool, 2, NULL);
    if (err) {
        check_nothing_remains(&(struct remains){1, before.descriptors + 1, before.maps});
        return err == (limit.rlim_cur < 4 ? -EAGAIN : -ENOMEM) ? 1 : 2;
    }
    check_works(pool);
    CHECK_EQUAL(conc_executor_free(pool), 0);
    return 0;
}

/* This program, its server, two workers, the manager: five. (A thread too many is -ENOMEM, as
 * everywhere.) */
static void test_each_number_of_processes_is_enough_or_an_error(void)
{
    if (geteuid() != 0 || !CHILD_MAY_START_THREADS || on_valgrind()) {
        printf("# needs to be root, and threads after a fork: left out\n");
        return;
    }
    for (rlim_t n = 1; n <= 5; n++)
        CHECK_EQUAL(in_child(make_a_pool_among_few, &n), n < 5);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        ON_EVERY_WAY(test_each_number_of_descriptors_is_enough_or_an_error),
        ON_EVERY_WAY(test_each_number_of_descriptors_is_enough_for_a_new_server_or_an_error),
        ON_EVERY_WAY(test_worker_that_cannot_be_replaced_breaks_the_pool),
        ON_WAY(test_server_without_descriptors_refuses_and_keeps_its_children, ON_THREADS,
               "threads"),
        ON_EVERY_WAY(test_submission_without_memory_says_so),
        ON_WAY(test_making_a_pool_with_few_addresses_fails_cleanly, ON_THREADS, "threads"),
        ON_WAY(test_each_number_of_processes_is_enough_or_an_error, ON_THREADS, "threads"),
    };
    watchdog_start(100);
    int failed = conc_process_prepare(); /* its descriptor stays, so before the first test counts */
    if (!failed)
        failed = cmocka_run_group_tests(tests, NULL, NULL);
    watchdog_stop();
    return failed;
}
