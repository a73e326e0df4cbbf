/* SPDX-License-Identifier: MIT
 *
 * test_process_jobs.c: jobs and initialisers that misbehave: they end their process in every way,
 * close its descriptors, fork, block its signals, use up its memory. Nothing hangs, every future
 * has a documented end, and nothing is left.
 */
#include "processes.h"

#include <dlfcn.h>
#include <fcntl.h>
#include <link.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <conc/shared.h>

/* What the children of the fork server write to their standard output. */
static int said;

/* ---- Ways to end a process ---- */

static int job_exit_at_once(void *arg, void *result) { _exit(4); }

/* A sanitizer would say more, and exit. */
static void crash_by_default(void) { signal(SIGSEGV, SIG_DFL); }

static int job_crash(void *arg, void *result)
{
    crash_by_default();
    raise(SIGSEGV);
    return 0;
}

static int job_overflow(void *arg, void *result)
{
    size_t much = (size_t)1 << 40;
    crash_by_default();
    return job_use_stack(&much, NULL);
}

/* The C library then ends the process: with 0; or, where main() was never called, by a crash. */
static int job_end_thread(void *arg, void *result)
{
    crash_by_default();
    pthread_exit(NULL);
}

static int job_exec(void *arg, void *result)
{
    execl("/bin/sh", "sh", "-c", "exit 6", (char *)NULL);
    return -errno;
}

static const struct end {
    conc_fn *fn;
    const char *how; /* NULL: in some way */
} ends[] = {
    {job_exit_at_once, "exited with status 4"},
    {job_crash, "was killed by signal 11 (Segmentation fault)"},
    {job_overflow, "was killed by signal 11 (Segmentation fault)"},
    {job_end_thread, NULL},
    {job_exec, "exited with status 6"},
};

/* "worker 123 exited with status 4" */
static void check_message(const char *message, const char *who, const struct end *end)
{
    int at = 0;
    if (!end->how)
        return;
    if (!strncmp(message, who, strlen(who)))
        sscanf(message + strlen(who), " %*d %n", &at);
    if (!at || strcmp(message + strlen(who) + at, end->how) != 0)
        check_failed(message, __FILE__, __LINE__);
}

static void end_a_worker(const struct end *end)
{
    enum { OTHERS = 12 };
    const struct remains before = remains_now();
    const struct sized s = sized_of(3000, 100000, 5);
    conc_executor *pool = make_pool(2, NULL);
    conc_future *others[OTHERS], *bad = NULL;
    for (size_t i = 0; i < OTHERS; i++) {
        if (i == OTHERS / 2)
            bad = conc_submit(pool, end->fn, NULL, 0, 0);
        others[i] = submit_sized(pool, s);
    }
    CHECK_EQUAL(conc_future_wait(bad, PATIENT), 0);
    CHECK_EQUAL(conc_future_error(bad), -CONC_EBROKEN);
    check_message(conc_future_message(bad), "worker", end);
    conc_future_unref(bad);
    for (size_t i = 0; i < OTHERS; i++) {
        CHECK_EQUAL(conc_future_wait(others[i], PATIENT), 0);
        int err = conc_future_error(others[i]);
        CHECK(err == -CONC_EBROKEN || (err == 0 && is_result_of(others[i], s)));
        conc_future_unref(others[i]);
    }
    CHECK_EQUAL(end_of(submit_sized(pool, s)), -CONC_EBROKEN);
    CHECK_EQUAL(conc_executor_shutdown(pool, CONC_SHUTDOWN_WAIT, PATIENT), 0);
    CHECK_EQUAL(conc_executor_free(pool), 0);
    check_nothing_remains(&before);
}

static void test_job_that_ends_its_worker_breaks_the_pool(void)
{
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++)
        end_a_worker(&ends[i]);
}

static void test_job_that_ends_its_process_is_told(void)
{
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++) {
        conc_process *p;
        const struct remains before = remains_now();
        CHECK_EQUAL(conc_process_start(&p, ends[i].fn, NULL, 0, NULL), 0);
        int err = conc_process_join(p, PATIENT);
        CHECK(err == -CONC_EBROKEN || (err == 0 && !ends[i].how));
        if (err)
            check_message(conc_error_message(), "process", &ends[i]);
        conc_process_free(p);
        check_nothing_remains(&before);
    }
}

/* ---- Jobs that return, having done harm ---- */

/* Long enough for the pool's manager to have gone to sleep. */
static void let_it_sleep(void) { nanosleep(&(struct timespec){.tv_nsec = 20 * 1000 * 1000}, NULL); }

static int job_close_all(void *arg, void *result)
{
    for (int fd = 3; fd < 1024; fd++)
        close(fd);
    let_it_sleep();
    return 0;
}

/* The worker may be of use afterwards or not, but every future is done. */
static void test_job_that_closes_all_descriptors_hangs_nobody(void)
{
    const struct remains before = remains_now();
    const struct sized s = sized_of(10, 500000, 4);
    conc_executor *pool = make_pool(1, NULL);
    conc_future *harm = conc_submit(pool, job_close_all, NULL, 0, 0);
    conc_future *next = submit_sized(pool, s);
    CHECK_EQUAL(conc_future_wait(harm, PATIENT), 0);
    CHECK_EQUAL(conc_future_wait(next, PATIENT), 0);
    CHECK(conc_future_error(harm) == 0 || conc_future_error(harm) == -CONC_EBROKEN);
    if (conc_future_error(next) == 0)
        CHECK(is_result_of(next, s));
    else
        CHECK_EQUAL(conc_future_error(next), -CONC_EBROKEN);
    conc_future_unref(harm);
    conc_future_unref(next);
    CHECK_EQUAL(conc_executor_shutdown(pool, CONC_SHUTDOWN_WAIT, PATIENT), 0);
    CHECK_EQUAL(conc_executor_free(pool), 0);
    check_nothing_remains(&before);
}

/* In the end it returns in two processes; an alarm ends the child at the latest. */
static int job_fork(void *arg, void *result)
{
    *(pid_t *)result = getpid();
    pid_t pid = fork();
    if (pid == 0)
        alarm(60);
    return pid < 0 ? -errno : 0;
}

/* A job that forks must end the child itself; a child that returns from the job has no effect on
 * the job's result. */
static void test_job_that_returns_in_a_forks_child_too_has_one_result(void)
{
    enum { JOBS = 40 };
    const struct remains before = remains_now();
    const struct sized s = sized_of(100, 3000, 4);
    conc_executor *pool = make_pool(1, NULL);
    conc_future *f[JOBS];
    pid_t worker = call_for_pid(pool, job_pid), forks = 0;
    for (int i = 0; i < 3; i++) {
        int err = conc_call(pool, job_fork, NULL, 0, &forks, sizeof forks, PATIENT);
        CHECK_EQUAL(err, 0);
        CHECK_EQUAL(forks, worker);
        for (int k = 0; k < JOBS; k++)
            f[k] = submit_sized(pool, s);
        for (int k = 0; k < JOBS; k++)
            check_sized(f[k], s);
        CHECK_EQUAL(call_for_pid(pool, job_pid), worker);
    }
    CHECK_EQUAL(conc_executor_shutdown(pool, CONC_SHUTDOWN_WAIT, PATIENT), 0);
    CHECK_EQUAL(conc_executor_free(pool), 0);
    check_nothing_remains(&before);
}

static int job_fork_in_process(void *arg, void *result)
{
    pid_t pid = fork();
    if (pid > 0)
        waitpid(pid, NULL, 0);
    return pid < 0 ? -errno : 0;
}

static void test_process_that_returns_in_a_forks_child_too_ends_once(void)
{
    const struct remains before = remains_now();
    conc_process *p;
    CHECK_EQUAL(conc_process_start(&p, job_fork_in_process, NULL, 0, NULL), 0);
    CHECK_EQUAL(conc_process_join(p, PATIENT), 0);
    conc_process_free(p);
    check_nothing_remains(&before);
}

static const char garbage[] = "1..0\nnot ok\n\377\376\n";
enum { TIMES = 3000 };

static int job_say_garbage(void *arg, void *result)
{
    for (int i = 0; i < TIMES; i++)
        if (write(STDOUT_FILENO, garbage, sizeof garbage) != sizeof garbage)
            return -EIO;
    fputs("in the buffer at the end", stdout);
    *(int *)result = 7;
    return 0;
}

static void test_what_jobs_write_disturbs_nobody_and_is_not_lost(void)
{
    static const char last[] = "in the buffer at the end";
    char tail[sizeof last] = "";
    int seven = 0;
    conc_executor *pool = make_pool(1, NULL);
    CHECK_EQUAL(ftruncate(said, 0), 0);
    CHECK_EQUAL(lseek(said, 0, SEEK_SET), 0);
    CHECK_EQUAL(conc_call(pool, job_say_garbage, NULL, 0, &seven, sizeof seven, PATIENT), 0);
    CHECK_EQUAL(seven, 7);
    check_works(pool);
    CHECK_EQUAL(conc_executor_free(pool), 0);
    const off_t end = TIMES * sizeof garbage + strlen(last);
    CHECK_EQUAL(lseek(said, 0, SEEK_END), end);
    CHECK_EQUAL(pread(said, tail, strlen(last), end - (off_t)strlen(last)), strlen(last));
    CHECK(!strcmp(tail, last));
}

static int job_block_signals(void *arg, void *result)
{
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, NULL);
    return 0;
}

static void test_worker_whose_signals_are_blocked_goes_on_and_can_be_killed(void)
{
    const struct remains before = remains_now();
    conc_executor *pool = make_pool(1, NULL);
    pid_t pid = call_for_pid(pool, job_pid);
    CHECK_EQUAL(conc_call(pool, job_block_signals, NULL, 0, NULL, 0, PATIENT), 0);
    CHECK_EQUAL(call_for_pid(pool, job_pid), pid);
    conc_future *stuck = conc_submit(pool, job_stop, NULL, 0, 0);
    UNTIL(state_of(pid) == 'T');
    CHECK_EQUAL(conc_process_pool_kill_workers(pool), 0);
    CHECK_EQUAL(conc_future_wait(stuck, PATIENT), 0);
    CHECK_EQUAL(end_of(stuck), -CONC_EBROKEN);
    CHECK_EQUAL(conc_executor_free(pool), 0);
    check_nothing_remains(&before);
}

/* ---- Memory ---- */

static int job_exhaust_memory(void *arg, void *result)
{
    enum { PIECE = 1 << 20, ROOM = 24 << 20 };
    struct rlimit limit;
    size_t pages = 0;
    FILE *f = fopen("/proc/self/statm", "r");
    if (!f || fscanf(f, "%zu", &pages) != 1)
        return -EIO;
    fclose(f);
    getrlimit(RLIMIT_AS, &limit);
    limit.rlim_cur = pages * (size_t)sysconf(_SC_PAGESIZE) + ROOM;
    if (setrlimit(RLIMIT_AS, &limit))
        return -errno;
    void **first = NULL, **piece;
    while ((piece = malloc(PIECE))) {
        *piece = first;
        first = piece;
    }
    for (; first; first = piece) {
        piece = *first;
        free(first);
    }
    return conc_raise(-ENOMEM, "none is left");
}

static void test_worker_without_memory_refuses_what_is_too_large(void)
{
    const struct sized small = sized_of(3000, 3000, 1), large_arg = sized_of(40 << 20, 1, 2),
                       large_result = sized_of(1, 40 << 20, 3);
    if (WITH_SANITIZER)
        return;
    conc_executor *pool = make_pool(1, NULL);
    CHECK_EQUAL(conc_call(pool, job_exhaust_memory, NULL, 0, NULL, 0, PATIENT), -ENOMEM);
    CHECK(!strcmp(conc_error_message(), "none is left"));
    check_sized(submit_sized(pool, small), small);
    CHECK_EQUAL(end_of(submit_sized(pool, large_arg)), -ENOMEM);
    check_sized(submit_sized(pool, small), small);
    CHECK_EQUAL(end_of(submit_sized(pool, large_result)), -ENOMEM);
    check_sized(submit_sized(pool, small), small);
    CHECK_EQUAL(conc_executor_free(pool), 0);
}

/* ---- Libraries ---- */

/* Load a copy of the C library's mathematics whose file is gone at once: no other process can load
 * it. */
static void *load_what_others_cannot(void)
{
    char path[] = "/tmp/libconc-test-XXXXXX", bytes[4096];
    struct link_map *map;
    ssize_t n;
    void *original = dlopen("libm.so.6", RTLD_NOW);
    CHECK(original && dlinfo(original, RTLD_DI_LINKMAP, &map) == 0);
    int from = open(map->l_name, O_RDONLY | O_CLOEXEC), to = mkostemp(path, O_CLOEXEC);
    CHECK(from >= 0 && to >= 0);
    while ((n = read(from, bytes, sizeof bytes)) > 0)
        CHECK_EQUAL(write(to, bytes, (size_t)n), n);
    close(from);
    close(to);
    void *copy = dlopen(path, RTLD_NOW);
    CHECK(copy);
    unlink(path);
    dlclose(original);
    return copy;
}

static void test_job_of_a_library_that_a_worker_cannot_load_fails_each_time(void)
{
    conc_executor *pool = make_pool(1, NULL);
    void *library = load_what_others_cannot();
    conc_fn *fn = (conc_fn *)(uintptr_t)dlsym(library, "cos");
    CHECK(fn);
    for (int i = 0; i < 3; i++)
        CHECK_EQUAL(conc_call(pool, fn, NULL, 0, NULL, 0, PATIENT), -ENOENT);
    check_works(pool);
    CHECK_EQUAL(conc_executor_free(pool), 0);
    dlclose(library);
}

/* ---- Initialisers ---- */

static int init_exit(void *arg, void *result) { _exit(7); }

static int init_kill(void *arg, void *result)
{
    raise(SIGKILL);
    return 0;
}

static int init_raise(void *arg, void *result) { return conc_raise(-EIO, "no luck"); }

/* The second worker, which takes the first one's place, dies. */
static int init_second_dies(void *arg, void *result)
{
    void *count;
    int err = conc_shared_map(&count, NULL, conc_process_fd(0));
    if (!err && __atomic_fetch_add((int *)count, 1, __ATOMIC_ACQ_REL) == 1)
        _exit(8);
    return err;
}

static void check_init(conc_fn *init, int fd, const char *message)
{
    enum { JOBS = 8 };
    const struct remains before = remains_now();
    const conc_process_pool_options options = {
        .init = init, .fds = &fd, .n_fds = 1, .max_jobs_per_worker = 2};
    conc_executor *pool = make_pool(1, &options);
    const struct sized s = sized_of(1000, 1000, 1);
    conc_future *f[JOBS];
    int broken = 0;
    for (int i = 0; i < JOBS; i++)
        f[i] = submit_sized(pool, s);
    for (int i = 0; i < JOBS; i++) {
        CHECK_EQUAL(conc_future_wait(f[i], PATIENT), 0);
        int err = conc_future_error(f[i]);
        CHECK(err == -CONC_EBROKEN || (err == 0 && is_result_of(f[i], s)));
        if (err && *conc_future_message(f[i]) && !strstr(conc_future_message(f[i]), message))
            check_failed(conc_future_message(f[i]), __FILE__, __LINE__);
        broken += err != 0;
        conc_future_unref(f[i]);
    }
    CHECK_EQUAL(broken, init == init_second_dies ? JOBS - 2 : JOBS);
    CHECK_EQUAL(end_of(submit_sized(pool, s)), -CONC_EBROKEN);
    CHECK_EQUAL(conc_executor_free(pool), 0);
    check_nothing_remains(&before);
}

static void test_initialiser_that_dies_breaks_the_pool(void)
{
    void *count;
    CHECK_EQUAL(conc_shared_new(&count, sizeof(int)), 0);
    int fd = conc_shared_fd(count);
    check_init(init_exit, fd, "exited with status 7");
    check_init(init_kill, fd, "was killed by signal 9 (Killed)");
    check_init(init_raise, fd, "the initialiser of a worker failed: no luck");
    check_init(init_second_dies, fd, "exited with status 8");
    CHECK_EQUAL(conc_shared_free(count), 0);
}

static void test_initialiser_that_never_ends_can_be_killed(void)
{
    const conc_process_pool_options options = {.init = job_stop};
    conc_executor *pool = make_pool(2, &options);
    conc_future *f = conc_submit(pool, job_pid, NULL, 0, sizeof(pid_t));
    CHECK_EQUAL(conc_process_pool_kill_workers(pool), 0);
    CHECK_EQUAL(conc_future_wait(f, PATIENT), 0);
    CHECK_EQUAL(end_of(f), -CONC_EBROKEN);
    CHECK_EQUAL(conc_executor_free(pool), 0);
}

/* The fork server's children have its standard output, which is to be looked at. */
static int start_server(void)
{
    int out = dup(STDOUT_FILENO);
    said = memfd_create("said", MFD_CLOEXEC);
    if (said < 0 || out < 0 || dup2(said, STDOUT_FILENO) < 0)
        return 1;
    int err = conc_process_prepare();
    return err || dup2(out, STDOUT_FILENO) < 0 || close(out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        ON_EVERY_WAY(test_job_that_ends_its_worker_breaks_the_pool),
        ON_EVERY_WAY(test_job_that_ends_its_process_is_told),
        ON_EVERY_WAY(test_job_that_closes_all_descriptors_hangs_nobody),
        ON_EVERY_WAY(test_job_that_returns_in_a_forks_child_too_has_one_result),
        ON_EVERY_WAY(test_process_that_returns_in_a_forks_child_too_ends_once),
        ON_EVERY_WAY(test_what_jobs_write_disturbs_nobody_and_is_not_lost),
        ON_EVERY_WAY(test_worker_whose_signals_are_blocked_goes_on_and_can_be_killed),
        ON_EVERY_WAY(test_worker_without_memory_refuses_what_is_too_large),
        ON_EVERY_WAY(test_job_of_a_library_that_a_worker_cannot_load_fails_each_time),
        ON_EVERY_WAY(test_initialiser_that_dies_breaks_the_pool),
        ON_EVERY_WAY(test_initialiser_that_never_ends_can_be_killed),
    };
    watchdog_start(100);
    adopt_orphans(true);
    int failed = start_server();
    if (!failed)
        failed = cmocka_run_group_tests(tests, NULL, NULL);
    watchdog_stop();
    return failed;
}
