/* SPDX-License-Identifier: MIT
 *
 * test_process_pool.c: the executor of processes, used from threads and from tasks.
 *
 * A job that is to last stops its own process (SIGSTOP); the test lets it go on.
 */
#include "ways.h"

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <conc/process.h>
#include <conc/process_pool.h>

#define SOON conc_in(CONC_MS(20))
#define PATIENT conc_in(CONC_S(60))

static int set_by_init;

static conc_executor *make_pool(size_t n)
{
    conc_executor *pool = NULL;
    CHECK_EQUAL(conc_process_pool_new(&pool, n, NULL), 0);
    return pool;
}

/* The process' state, as ps shows it; 'Z': it is gone. */
static char state_of(pid_t pid)
{
    char path[32], line[256] = "";
    snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    FILE *f = fopen(path, "r");
    char *got = f ? fgets(line, sizeof line, f) : NULL;
    char *end = got ? strrchr(line, ')') : NULL;
    if (f)
        fclose(f);
    return end ? end[2] : 'Z';
}

static bool is_gone(pid_t pid) { return state_of(pid) == 'Z'; }

static void check_no_zombies(void)
{
    siginfo_t info = {.si_pid = 0};
    waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT);
    CHECK_EQUAL(info.si_pid, 0);
}

/* ---- Jobs ---- */

static int job_pid(void *arg, void *result)
{
    *(pid_t *)result = getpid();
    return 0;
}

static int job_parent(void *arg, void *result)
{
    *(pid_t *)result = getppid();
    return 0;
}

static pid_t call_for_pid(conc_executor *pool, conc_fn *fn)
{
    pid_t pid = 0;
    CHECK_EQUAL(conc_call(pool, fn, NULL, 0, &pid, sizeof pid, PATIENT), 0);
    CHECK(pid > 0 && pid != getpid());
    return pid;
}

static int job_stop(void *arg, void *result)
{
    raise(SIGSTOP);
    return 0;
}

static int job_raise_signal(void *arg, void *result)
{
    raise(*(int *)arg);
    return 0;
}

static int job_exit(void *arg, void *result) { exit(*(int *)arg); }

static int job_abort(void *arg, void *result)
{
    signal(SIGABRT, SIG_DFL);
    abort();
}

/* A pool of one whose worker runs a job that has stopped it. */
struct stopped {
    conc_executor *pool;
    pid_t pid;
    conc_future *job;
};

static struct stopped make_stopped(void)
{
    struct stopped s = {.pool = make_pool(1)};
    s.pid = call_for_pid(s.pool, job_pid);
    s.job = conc_submit(s.pool, job_stop, NULL, 0, 0);
    UNTIL(state_of(s.pid) == 'T');
    CHECK(conc_future_is_running(s.job));
    return s;
}

static conc_future *submit_square(conc_executor *pool, int n)
{
    return conc_submit(pool, job_square, &n, sizeof n, sizeof n);
}

static void check_square(conc_future *f, int n)
{
    int square = 0;
    CHECK_EQUAL(conc_future_result(f, &square, PATIENT), 0);
    CHECK_EQUAL(square, n * n);
    conc_future_unref(f);
}

/* Fails because the pool is broken; with that message (NULL: any). */
static void check_broken(conc_future *f, const char *message)
{
    CHECK_EQUAL(conc_future_result(f, NULL, PATIENT), -CONC_EBROKEN);
    if (message && !strstr(conc_error_message(), message))
        check_failed(conc_error_message(), __FILE__, __LINE__);
    conc_future_unref(f);
}

/* ---- Results ---- */

static void test_jobs_run_in_other_processes(void)
{
    enum { JOBS = 300 };
    conc_executor *pool = make_pool(2);
    conc_future *f[JOBS];
    int in[JOBS], out[JOBS];
    for (int i = 0; i < JOBS; i++)
        f[i] = submit_square(pool, i);
    for (int i = 0; i < JOBS; i++)
        check_square(f[i], i);
    call_for_pid(pool, job_pid);
    for (int i = 0; i < JOBS; i++)
        in[i] = i;
    CHECK_EQUAL(conc_map(pool, job_square, in, JOBS, sizeof *in, out, sizeof *out, NULL, PATIENT),
                0);
    for (int i = 0; i < JOBS; i++)
        CHECK_EQUAL(out[i], i * i);
    CHECK_EQUAL(conc_executor_free(pool), 0);
    check_no_zombies();
}

static void test_error_and_message_of_a_job_come_back(void)
{
    conc_executor *pool = make_pool(1);
    int err = -EIO, positive = 7;
    conc_raise(-ENOENT, "another's");
    CHECK_EQUAL(conc_call(pool, job_raise, &err, sizeof err, NULL, 0, PATIENT), -EIO);
    CHECK(!strcmp(conc_error_message(), "job failed: -5"));
    CHECK_EQUAL(conc_call(pool, job_return, &positive, sizeof positive, NULL, 0, PATIENT), -EINVAL);
    CHECK_EQUAL(conc_call(pool, job_return, &(int){0}, sizeof err, NULL, 0, PATIENT), 0);
    CHECK_EQUAL(conc_call(pool, (conc_fn *)(uintptr_t)&err, NULL, 0, NULL, 0, PATIENT), -EINVAL);
    CHECK(!strcmp(conc_error_message(), "the job is no function of the program or its libraries"));
    CHECK_EQUAL(conc_executor_free(pool), 0);
}

struct sized {
    uint32_t in, out, seed;
};

/* Checks its argument, and fills its result. */
static int job_sized(void *arg, void *result)
{
    struct sized s;
    memcpy(&s, arg, sizeof s);
    if (!is_filled((char *)arg + sizeof s, s.in, s.seed))
        return conc_raise(-EIO, "argument of %u bytes", s.in);
    fill(result, s.out, s.seed + 1);
    return 0;
}

static conc_future *submit_sized(conc_executor *pool, struct sized s)
{
    char *arg = malloc(sizeof s + s.in);
    CHECK(arg != NULL);
    memcpy(arg, &s, sizeof s);
    fill(arg + sizeof s, s.in, s.seed);
    conc_future *f = conc_submit(pool, job_sized, arg, sizeof s + s.in, s.out);
    free(arg);
    return f;
}

static void check_sized(conc_future *f, struct sized s)
{
    CHECK_EQUAL(conc_future_wait(f, PATIENT), 0);
    CHECK_EQUAL(conc_future_error(f), 0);
    if (s.out)
        CHECK(is_filled(conc_future_value(f), s.out, s.seed + 1));
    conc_future_unref(f);
}

static uint32_t random_size(struct test_random *r)
{
    static const uint32_t limits[] = {1, 16, 300, 5000, 5000, 40000, 600000};
    uint32_t limit = limits[test_random_below(r, 200) ? test_random_below(r, 6) : 6];
    return (uint32_t)test_random_below(r, limit);
}

static void test_jobs_of_random_sizes_arrive_byte_by_byte(void)
{
    enum { AT_ONCE = 50 };
    const size_t rounds = crowd_of(200);
    struct test_random r = test_random_for(way);
    conc_executor *pool = make_pool(2);
    conc_future *f[AT_ONCE];
    struct sized s[AT_ONCE];
    for (size_t k = 0; k < rounds; k++) {
        for (uint32_t i = 0; i < AT_ONCE; i++) {
            s[i] = (struct sized){random_size(&r), random_size(&r), i};
            f[i] = submit_sized(pool, s[i]);
        }
        for (int i = 0; i < AT_ONCE; i++)
            check_sized(f[i], s[i]);
    }
    CHECK_EQUAL(conc_executor_free(pool), 0);
}

static void test_large_arguments_and_results_flow_through(void)
{
    conc_executor *pool = make_pool(2);
    conc_future *f[4];
    const struct sized s = {3 << 20, 5 << 20, 9};
    for (int i = 0; i < 4; i++)
        f[i] = submit_sized(pool, s);
    for (int i = 0; i < 4; i++)
        check_sized(f[i], s);
    CHECK_EQUAL(conc_executor_free(pool), 0);
}

/* ---- Cancelling, and which worker runs what ---- */

static void test_job_that_waits_can_be_cancelled(void)
{
    struct stopped s = make_stopped();
    conc_future *waits = submit_square(s.pool, 3), *next = submit_square(s.pool, 4);
    CHECK(!conc_future_is_running(waits));
    CHECK(conc_future_cancel(waits));
    CHECK_EQUAL(conc_future_result(s.job, NULL, SOON), -ETIMEDOUT);
    CHECK_EQUAL(kill(s.pid, SIGCONT), 0);
    CHECK_EQUAL(end_of(s.job), 0);
    CHECK_EQUAL(end_of(waits), -ECANCELED);
    check_square(next, 4);
    CHECK_EQUAL(conc_executor_free(s.pool), 0);
}

/* Short jobs are given ahead; what is stuck behind a long one is taken back for the other
 * worker. */
static void test_job_ahead_of_a_busy_worker_goes_to_an_idle_one(void)
{
    enum { JOBS = 200 };
    conc_executor *pool = make_pool(2);
    for (int round = 0; round < 5; round++) {
        conc_future *f[JOBS], *stop = NULL;
        pid_t pids[JOBS] = {0};
        for (int i = 0; i < JOBS; i++) {
            if (i == JOBS / 2)
                stop = conc_submit(pool, job_stop, NULL, 0, 0);
            f[i] = conc_submit(pool, job_pid, NULL, 0, sizeof(pid_t));
        }
        for (int i = 0; i < JOBS; i++) {
            CHECK_EQUAL(conc_future_result(f[i], &pids[i], PATIENT), 0);
            conc_future_unref(f[i]);
        }
        CHECK(!conc_future_is_done(stop));
        for (int i = 0; i < JOBS; i++)
            CHECK_EQUAL(kill(pids[i], SIGCONT), 0); /* one of them is the one */
        if (conc_future_wait(stop, SOON)) {         /* it had run no other job */
            pid_t server = call_for_pid(pool, job_parent);
            for (pid_t p = server; !conc_future_is_done(stop);
                 p = p < server + 9999 ? p + 1 : server)
                if (state_of(p) == 'T')
                    kill(p, SIGCONT);
        }
        CHECK_EQUAL(end_of(stop), 0);
    }
    CHECK_EQUAL(conc_executor_free(pool), 0);
}

static void test_worker_is_replaced_after_so_many_jobs(void)
{
    const conc_process_pool_options options = {.max_jobs_per_worker = 3};
    conc_executor *pool;
    pid_t before = 0;
    int changes = 0;
    CHECK_EQUAL(conc_process_pool_new(&pool, 1, &options), 0);
    for (int i = 0; i < 9; i++) {
        pid_t pid = call_for_pid(pool, job_pid);
        changes += pid != before;
        before = pid;
    }
    CHECK_EQUAL(changes, 3);
    CHECK_EQUAL(conc_executor_free(pool), 0);
    check_no_zombies();
}

static int init_value(void *arg, void *result)
{
    set_by_init = *(int *)arg;
    return set_by_init < 0 ? conc_raise(-EIO, "value %d", set_by_init) : 0;
}

static int job_value(void *arg, void *result)
{
    *(int *)result = set_by_init;
    return 0;
}

/* Writes a byte to the descriptor that its worker was given. */
static int job_write(void *arg, void *result)
{
    const char *name = conc_process_current_name();
    ssize_t n = write(conc_process_fd(0), name + strlen(name) - 1, 1);
    return n == 1 && conc_process_fd(1) < 0 ? 0 : -EIO;
}

static void test_workers_have_the_descriptors_that_they_are_given(void)
{
    int fds[2], closed = 999;
    char got[4] = "";
    make_pipe(fds);
    conc_process_pool_options options = {.fds = &fds[1], .n_fds = 1, .max_jobs_per_worker = 1};
    conc_executor *pool;
    CHECK_EQUAL(conc_process_pool_new(&pool, 1, &options), 0);
    CHECK_EQUAL(close(fds[1]), 0); /* also those that come later have it */
    for (int i = 0; i < 3; i++)
        CHECK_EQUAL(conc_call(pool, job_write, NULL, 0, NULL, 0, PATIENT), 0);
    CHECK_EQUAL(conc_executor_free(pool), 0);
    CHECK_EQUAL(read(fds[0], got, sizeof got), 3);
    CHECK(!memcmp(got, "000", 3));
    CHECK_EQUAL(close(fds[0]), 0);
    options.fds = &closed;
    CHECK_EQUAL(conc_process_pool_new(&pool, 1, &options), -EBADF);
    options.n_fds = CONC_PROCESS_POOL_FDS_MAX + 1;
    CHECK_EQUAL(conc_process_pool_new(&pool, 1, &options), -EINVAL);
}

static void test_initialiser_runs_in_each_worker(void)
{
    int value = 42;
    conc_process_pool_options options = {
        .name = "some", .init = init_value, .arg = &value, .arg_size = sizeof value};
    conc_executor *pool;
    CHECK_EQUAL(conc_process_pool_new(&pool, 2, &options), 0);
    for (int i = 0; i < 10; i++) {
        int got = 0;
        CHECK_EQUAL(conc_call(pool, job_value, NULL, 0, &got, sizeof got, PATIENT), 0);
        CHECK_EQUAL(got, 42);
    }
    CHECK_EQUAL(set_by_init, 0);
    CHECK_EQUAL(conc_executor_free(pool), 0);
    value = -1;
    CHECK_EQUAL(conc_process_pool_new(&pool, 1, &options), 0);
    int err = conc_call(pool, job_value, NULL, 0, NULL, sizeof value, PATIENT);
    CHECK_EQUAL(err, -CONC_EBROKEN); /* it failed meanwhile, or had failed before */
    CHECK_EQUAL(conc_executor_free(pool), 0);
}

static void wait_for_the_end(conc_future *future, void *pool)
{
    CHECK_EQUAL(conc_executor_shutdown(pool, CONC_SHUTDOWN_WAIT, CONC_FOREVER), -EDEADLK);
    CHECK_EQUAL(conc_executor_free(pool), -EDEADLK);
    CHECK_EQUAL(conc_executor_shutdown(pool, 0, CONC_FOREVER), 0);
}

static void wait_for_its_jobs(conc_future *future, void *pool)
{
    int in[2] = {1, 2}, out[2];
    conc_future *f = submit_square(pool, 3), *two[] = {f, future};
    CHECK_EQUAL(conc_future_wait(f, CONC_FOREVER), -EDEADLK);
    CHECK_EQUAL(conc_wait(two, 2, CONC_ALL_COMPLETED, CONC_FOREVER), -EDEADLK);
    CHECK_EQUAL(conc_wait(two, 2, CONC_FIRST_COMPLETED, CONC_FOREVER), 1);
    CHECK_EQUAL(conc_future_wait(f, CONC_NOW), -EAGAIN);
    CHECK_EQUAL(conc_call(pool, job_value, NULL, 0, NULL, sizeof(int), CONC_FOREVER), -EDEADLK);
    CHECK_EQUAL(conc_map(pool, job_square, in, 2, sizeof *in, out, sizeof *out, NULL, CONC_FOREVER),
                -EDEADLK);
    conc_future_unref(f);
}

static void test_callback_must_not_wait_for_the_pools_jobs(void)
{
    struct stopped s = make_stopped();
    CHECK_EQUAL(conc_future_add_done_callback(s.job, wait_for_its_jobs, s.pool), 0);
    CHECK_EQUAL(kill(s.pid, SIGCONT), 0);
    CHECK_EQUAL(end_of(s.job), 0);
    int value;
    CHECK_EQUAL(conc_call(s.pool, job_value, NULL, 0, &value, sizeof value, PATIENT), 0);
    CHECK_EQUAL(conc_executor_free(s.pool), 0);
}

static void test_callback_must_not_wait_for_the_pool(void)
{
    struct stopped s = make_stopped();
    CHECK_EQUAL(conc_future_add_done_callback(s.job, wait_for_the_end, s.pool), 0);
    CHECK_EQUAL(kill(s.pid, SIGCONT), 0);
    CHECK_EQUAL(end_of(s.job), 0);
    CHECK_EQUAL(conc_executor_free(s.pool), 0);
}

static int job_exits_thread(void *arg, void *result) { pthread_exit(NULL); }

/* A worker goes on; only if its fork server is the program run once more, in which main() was never
 * called, the system's library cannot end the main thread alone, and the worker dies. */
static void test_job_that_exits_its_thread_fails_and_the_worker_goes_on(void)
{
    conc_executor *pool = make_pool(1);
    pid_t before, after;
    int err = 0;
    CHECK_EQUAL(conc_call(pool, job_pid, NULL, 0, &before, sizeof before, PATIENT), 0);
    for (int i = 0; i < 10 && err != -CONC_EBROKEN; i++) {
        const size_t sizes[] = {0, sizeof(int), CONC_BYTES};
        conc_future *f = conc_submit(pool, job_exits_thread, NULL, 0, sizes[i % 3]);
        err = conc_future_result(f, NULL, PATIENT);
        CHECK(err == -EOWNERDEAD || err == -CONC_EBROKEN);
        CHECK(err == -CONC_EBROKEN ||
              strstr(conc_future_message(f), "left its thread in the middle"));
        conc_future_unref(f);
    }
    CHECK_EQUAL(conc_call(pool, job_pid, NULL, 0, &after, sizeof after, PATIENT),
                err == -CONC_EBROKEN ? err : 0);
    CHECK(err == -CONC_EBROKEN || after == before);
    CHECK_EQUAL(conc_executor_free(pool), 0);
}

/* ---- Death ---- */

static void check_death(conc_fn *fn, const void *arg, size_t size, const char *message)
{
    conc_executor *pool = make_pool(2);
    conc_future *bad = conc_submit(pool, fn, arg, size, 0), *after[20];
    for (int i = 0; i < 20; i++)
        after[i] = submit_square(pool, i);
    check_broken(bad, message);
    for (int i = 0; i < 20; i++) {
        CHECK_EQUAL(conc_future_wait(after[i], PATIENT), 0); /* some were done before */
        int err = end_of(after[i]);
        CHECK(err == 0 || err == -CONC_EBROKEN);
    }
    check_broken(submit_square(pool, 3), message);
    CHECK_EQUAL(conc_executor_shutdown(pool, CONC_SHUTDOWN_WAIT, PATIENT), 0);
    CHECK_EQUAL(conc_executor_free(pool), 0);
    check_no_zombies();
}

static void test_interrupt_leaves_workers_alone(void)
{
    int interrupt = SIGINT;
    conc_executor *pool = make_pool(1);
    pid_t pid = call_for_pid(pool, job_pid);
    CHECK_EQUAL(conc_call(pool, job_raise_signal, &interrupt, sizeof interrupt, NULL, 0, PATIENT),
                0);
    CHECK_EQUAL(kill(pid, SIGINT), 0);
    CHECK_EQUAL(call_for_pid(pool, job_pid), pid);
    CHECK_EQUAL(conc_executor_free(pool), 0);
}

static void test_death_of_a_worker_breaks_the_pool(void)
{
    int killed = SIGKILL, term = SIGTERM, zero = 0, three = 3;
    check_death(job_raise_signal, &killed, sizeof killed, "was killed by signal 9 (Killed)");
    check_death(job_raise_signal, &term, sizeof term, "was killed by signal 15 (Terminated)");
    check_death(job_abort, NULL, 0, "was killed by signal 6 (Aborted)");
    check_death(job_exit, &three, sizeof three, "exited with status 3");
    check_death(job_exit, &zero, sizeof zero, "exited with status 0");
}

static void test_worker_killed_from_outside_fails_what_it_had(void)
{
    struct stopped s = make_stopped();
    char message[64];
    conc_future *waits = submit_square(s.pool, 3);
    CHECK(!conc_executor_is_broken(s.pool));
    CHECK_EQUAL(kill(s.pid, SIGKILL), 0);
    snprintf(message, sizeof message, "worker %d was killed by signal 9 (Killed)", (int)s.pid);
    check_broken(s.job, message);
    CHECK(conc_executor_is_broken(s.pool));
    check_broken(waits, message);
    UNTIL(is_gone(s.pid));
    CHECK_EQUAL(conc_executor_free(s.pool), 0);
}

static void test_death_of_the_server_breaks_the_pool_and_the_next_has_another(void)
{
    struct stopped s = make_stopped();
    conc_executor *other = make_pool(2);
    pid_t server = call_for_pid(other, job_parent), pid = call_for_pid(other, job_pid);
    CHECK_EQUAL(kill(server, SIGKILL), 0);
    check_broken(s.job, "was lost: the fork server has ended");
    UNTIL(is_gone(s.pid) && is_gone(pid));
    check_broken(submit_square(s.pool, 1), NULL);
    CHECK_EQUAL(conc_executor_free(s.pool), 0);
    CHECK_EQUAL(conc_executor_free(other), 0);
    check_no_zombies();
    conc_executor *next = make_pool(1);
    CHECK(call_for_pid(next, job_parent) != server);
    CHECK_EQUAL(conc_executor_free(next), 0);
}

static void test_workers_can_be_ended(void)
{
    struct stopped s = make_stopped();
    CHECK_EQUAL(conc_process_pool_kill_workers(s.pool), 0);
    check_broken(s.job, "was killed by signal 9 (Killed)");
    CHECK_EQUAL(conc_executor_free(s.pool), 0);
    conc_executor *pool = make_pool(2);
    CHECK_EQUAL(conc_process_pool_terminate_workers(pool), 0);
    CHECK_EQUAL(conc_executor_shutdown(pool, CONC_SHUTDOWN_WAIT, PATIENT), 0);
    CHECK_EQUAL(conc_executor_free(pool), 0);
    CHECK_EQUAL(conc_inline_new(&pool), 0);
    CHECK_EQUAL(conc_process_pool_kill_workers(pool), -EINVAL);
    CHECK_EQUAL(conc_process_pool_terminate_workers(NULL), -EINVAL);
    CHECK_EQUAL(conc_executor_free(pool), 0);
}

/* At random moments, under load: every future is done in the end, and nothing stays. */
static void test_workers_killed_at_random_never_hang_the_pool(void)
{
    enum { JOBS = 300 };
    const size_t rounds = crowd_of(20);
    struct test_random r = test_random_for(10u + way);
    for (size_t k = 0; k < rounds; k++) {
        conc_executor *pool = make_pool(2);
        conc_future *f[JOBS];
        pid_t victim = call_for_pid(pool, job_pid);
        size_t when = test_random_below(&r, JOBS);
        for (size_t i = 0; i < JOBS; i++) {
            f[i] = submit_sized(pool, (struct sized){(uint32_t)test_random_below(&r, 3000),
                                                     (uint32_t)test_random_below(&r, 3000), 1});
            if (i == when)
                CHECK_EQUAL(kill(victim, SIGKILL), 0);
        }
        for (size_t i = 0; i < JOBS; i++) {
            int err = end_of(f[i]);
            CHECK(err == 0 || err == -CONC_EBROKEN);
        }
        CHECK_EQUAL(conc_executor_free(pool), 0);
        UNTIL(is_gone(victim));
    }
    check_no_zombies();
}

/* ---- Its end ---- */

static void test_shutdown_lets_jobs_end_or_cancels_them(void)
{
    struct stopped s = make_stopped();
    conc_future *waits = submit_square(s.pool, 3), *more;
    CHECK_EQUAL(conc_executor_shutdown(s.pool, 0, CONC_FOREVER), 0);
    CHECK_EQUAL(conc_executor_shutdown(s.pool, CONC_SHUTDOWN_WAIT, CONC_NOW), -EAGAIN);
    CHECK_EQUAL(conc_executor_shutdown(s.pool, CONC_SHUTDOWN_WAIT, SOON), -ETIMEDOUT);
    more = submit_square(s.pool, 4);
    CHECK_EQUAL(end_of(more), -ESHUTDOWN);
    CHECK_EQUAL(kill(s.pid, SIGCONT), 0);
    CHECK_EQUAL(conc_executor_shutdown(s.pool, CONC_SHUTDOWN_WAIT, PATIENT), 0);
    CHECK(conc_future_is_done(waits));
    check_square(waits, 3);
    CHECK_EQUAL(end_of(s.job), 0);
    CHECK_EQUAL(conc_executor_free(s.pool), 0);
    s = make_stopped();
    waits = submit_square(s.pool, 3);
    CHECK_EQUAL(conc_executor_shutdown(s.pool, CONC_SHUTDOWN_CANCEL_PENDING, CONC_FOREVER), 0);
    CHECK_EQUAL(end_of(waits), -ECANCELED);
    CHECK_EQUAL(kill(s.pid, SIGCONT), 0);
    CHECK_EQUAL(end_of(s.job), 0);
    CHECK_EQUAL(conc_executor_free(s.pool), 0);
    UNTIL(is_gone(s.pid));
}

static int die_with_pool(void *arg)
{
    const int *to = arg;
    pid_t pid = call_for_pid(make_pool(1), job_pid);
    CHECK_EQUAL(write(to[1], &pid, sizeof pid), sizeof pid);
    raise(SIGKILL);
    return 0;
}

static void test_death_of_the_program_ends_its_workers(void)
{
    int fds[2];
    pid_t pid;
    make_pipe(fds);
    CHECK_EQUAL(in_child(die_with_pool, fds), 100 + SIGKILL);
    CHECK_EQUAL(read(fds[0], &pid, sizeof pid), sizeof pid);
    UNTIL(is_gone(pid));
    close_both(fds);
}

/* gcc's TSan cannot start a thread in a child whose parent had several ("dup thread with used
 * id"). */
#if defined(__SANITIZE_THREAD__) && !defined(__clang__)
#define CHILD_MAY_START_THREADS false
#else
#define CHILD_MAY_START_THREADS true
#endif

static int use_the_parents(void *arg)
{
    conc_executor *pool = *(conc_executor **)arg;
    CHECK_EQUAL(end_of(submit_square(pool, 3)), -ESHUTDOWN);
    CHECK_EQUAL(conc_process_pool_kill_workers(pool), -ESHUTDOWN);
    CHECK_EQUAL(conc_executor_free(pool), 0);
    if (CHILD_MAY_START_THREADS) {
        pool = make_pool(1);
        check_square(submit_square(pool, 3), 3);
        CHECK_EQUAL(conc_executor_free(pool), 0);
    }
    return 5;
}

static void test_child_by_fork_cannot_use_the_parents_pool(void)
{
    conc_executor *pool = make_pool(1);
    CHECK_EQUAL(in_child(use_the_parents, &pool), 5);
    check_square(submit_square(pool, 4), 4);
    CHECK_EQUAL(conc_executor_free(pool), 0);
}

static int job_with_pool(void *arg, void *result)
{
    conc_executor *pool;
    int err = conc_process_pool_new(&pool, 2, NULL);
    if (!err)
        err = conc_call(pool, job_square, arg, sizeof(int), result, sizeof(int), PATIENT);
    return err ? err : conc_executor_free(pool);
}

static void test_job_may_have_a_pool_of_its_own(void)
{
    conc_executor *pool = make_pool(1);
    int five = 5, out = 0;
    CHECK_EQUAL(conc_call(pool, job_with_pool, &five, sizeof five, &out, sizeof out, PATIENT), 0);
    CHECK_EQUAL(out, 25);
    CHECK_EQUAL(conc_executor_free(pool), 0);
}

/* ---- Making ---- */

static void test_making_one_fails_cleanly(void)
{
    conc_executor *pool = NULL;
    const conc_process_pool_options no_arg = {.arg_size = 1};
    CHECK_EQUAL(conc_process_pool_new(NULL, 1, NULL), -EINVAL);
    CHECK_EQUAL(conc_process_pool_new(&pool, 100000, NULL), -EINVAL);
    CHECK_EQUAL(conc_process_pool_new(&pool, 1, &no_arg), -EINVAL);
    for (int i = 1;; i++) {
        fail_alloc(i);
        int err = conc_process_pool_new(&pool, 1, NULL);
        if (!alloc_has_failed())
            break;
        CHECK_EQUAL(err, -ENOMEM);
    }
    fail_alloc(0);
    CHECK_EQUAL(conc_executor_free(pool), 0);
    pool = NULL;
    fail_thread(1);
    CHECK_EQUAL(conc_process_pool_new(&pool, 2, NULL), -ENOMEM);
    fail_thread(0);
    limit_descriptors(1);
    int err = conc_process_pool_new(&pool, 2, NULL);
    limit_descriptors(0);
    CHECK_EQUAL(err, -EMFILE);
    CHECK(pool == NULL);
    pool = make_pool(0);
    check_square(submit_square(pool, 4), 4);
    CHECK_EQUAL(conc_executor_free(pool), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        ON_EVERY_WAY(test_jobs_run_in_other_processes),
        ON_EVERY_WAY(test_error_and_message_of_a_job_come_back),
        ON_EVERY_WAY(test_jobs_of_random_sizes_arrive_byte_by_byte),
        ON_EVERY_WAY(test_large_arguments_and_results_flow_through),
        ON_EVERY_WAY(test_job_that_waits_can_be_cancelled),
        ON_EVERY_WAY(test_job_ahead_of_a_busy_worker_goes_to_an_idle_one),
        ON_EVERY_WAY(test_worker_is_replaced_after_so_many_jobs),
        ON_EVERY_WAY(test_workers_have_the_descriptors_that_they_are_given),
        ON_EVERY_WAY(test_initialiser_runs_in_each_worker),
        ON_EVERY_WAY(test_job_that_exits_its_thread_fails_and_the_worker_goes_on),
        ON_EVERY_WAY(test_callback_must_not_wait_for_the_pool),
        ON_EVERY_WAY(test_callback_must_not_wait_for_the_pools_jobs),
        ON_EVERY_WAY(test_interrupt_leaves_workers_alone),
        ON_EVERY_WAY(test_death_of_a_worker_breaks_the_pool),
        ON_EVERY_WAY(test_worker_killed_from_outside_fails_what_it_had),
        ON_EVERY_WAY(test_death_of_the_server_breaks_the_pool_and_the_next_has_another),
        ON_EVERY_WAY(test_workers_can_be_ended),
        ON_EVERY_WAY(test_workers_killed_at_random_never_hang_the_pool),
        ON_EVERY_WAY(test_shutdown_lets_jobs_end_or_cancels_them),
        ON_WAY(test_death_of_the_program_ends_its_workers, ON_THREADS, "threads"),
        ON_WAY(test_child_by_fork_cannot_use_the_parents_pool, ON_THREADS, "threads"),
        ON_EVERY_WAY(test_job_may_have_a_pool_of_its_own),
        ON_EVERY_WAY(test_making_one_fails_cleanly),
    };
    watchdog_start(100);
    int failed = conc_process_prepare(); /* its descriptor stays, so before the first test counts */
    if (!failed)
        failed = cmocka_run_group_tests(tests, NULL, NULL);
    watchdog_stop();
    return failed;
}
