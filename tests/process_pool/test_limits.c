/* SPDX-License-Identifier: MIT
 *
 * test_limits.c: each limit of the system with each kind of call that can meet it, in a thread and
 * in tasks, in a child process. What a call returns there is its own matter: 0, or an error. But no
 * call ends the program, neither by a signal nor by a trap, and none hangs.
 */
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <netdb.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <conc.h>

#include "processes.h"

#define PATIENCE conc_in(CONC_S(10))

/* ---- Calls ---- */

/* For what is refused by a limit everywhere. */
static bool refused(int err)
{
    CHECK(err <= 0);
    return err < 0;
}

static int job_of_square(void *arg, void *result)
{
    int n = *(int *)arg;
    *(int *)result = n * n;
    return 0;
}

static int fail_aloud(void *arg, void *result) { return conc_raise(-EIO, "a message for stderr"); }

static void call_thread(void)
{
    conc_thread *t;
    int n = 3;
    const conc_thread_options options = {.result_size = sizeof n};
    if (refused(conc_thread_start(&t, job_of_square, &n, sizeof n, &options)))
        return;
    CHECK_EQUAL(conc_thread_join(t, &n, PATIENCE), 0);
    conc_thread_free(t);
}

static void call_timer(void)
{
    conc_timer *t;
    int n = 3;
    if (refused(conc_timer_start(&t, 1000, job_return, &(int){0}, sizeof n)))
        return;
    CHECK_EQUAL(conc_timer_join(t, PATIENCE), 0);
    conc_timer_free(t);
}

static void call_pool(void)
{
    conc_executor *pool;
    int in[20] = {1, 2, 3}, out[20];
    if (refused(conc_thread_pool_new(&pool, 3, NULL)))
        return;
    refused(conc_map(pool, job_of_square, in, 20, sizeof *in, out, sizeof *out, NULL, PATIENCE));
    CHECK_EQUAL(conc_executor_shutdown(pool, CONC_SHUTDOWN_WAIT, PATIENCE), 0);
    conc_executor_free(pool);
}

/* The library reports it on stderr. */
static void call_unobserved(void)
{
    conc_executor *ex;
    if (refused(conc_inline_new(&ex)))
        return;
    conc_future_unref(conc_submit(ex, fail_aloud, NULL, 0, 0));
    CHECK_EQUAL(conc_executor_free(ex), 0);
}

static void call_dump(void) { refused(conc_dump(stderr)); }

static int spawn_many(void *arg, void *result)
{
    enum { MANY = 60 };
    conc_future *f[MANY];
    for (int i = 0; i < MANY; i++)
        f[i] = conc_spawn(job_of_square, &i, sizeof i, sizeof i);
    for (int i = 0; i < MANY; i++) {
        refused(conc_future_result(f[i], NULL, PATIENCE));
        conc_future_unref(f[i]);
    }
    return 0;
}

/* In a task there is a loop already. */
static void call_run(void)
{
    if (conc_loop_current())
        spawn_many(NULL, NULL);
    else
        refused(conc_run(spawn_many, NULL, 0, NULL, 0));
}

static void call_loop(void)
{
    conc_loop *loop;
    conc_loop_options options = {.backend = CONC_BACKEND_ANY};
    for (int i = 0; i < 2; i++) {
        if (refused(conc_loop_new(&loop, &options)))
            continue;
        conc_future *f = conc_task_start(loop, spawn_many, NULL, 0, 0, NULL);
        if (!conc_loop_current())
            refused(conc_loop_run_until_complete(loop, f));
        else
            conc_future_cancel(f);
        refused(conc_loop_free(loop));
        conc_future_unref(f);
        options.backend = CONC_BACKEND_EPOLL;
    }
}

static void call_to_thread(void)
{
    if (!conc_loop_current())
        return;
    int n = 4;
    conc_future *f = conc_to_thread(job_of_square, &n, sizeof n, sizeof n);
    refused(conc_future_result(f, NULL, PATIENCE));
    conc_future_unref(f);
}

static int generate(conc_generator *g, void *arg) { return conc_generator_yield(g, &(int){1}); }

static void call_generator(void)
{
    conc_generator *g;
    int item;
    if (refused(conc_generator_new(&g, generate, NULL, 0, sizeof item, NULL)))
        return;
    CHECK_EQUAL(conc_generator_next(g, &item, PATIENCE), 1);
    CHECK_EQUAL(conc_generator_free(g), 0);
}

static void call_signal(void)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    if (refused(conc_signal_catch(&set)))
        return;
    CHECK_EQUAL(raise(SIGUSR1), 0);
    CHECK_EQUAL(conc_signal_wait(&set, PATIENCE), SIGUSR1);
    CHECK_EQUAL(conc_signal_release(&set), 0);
}

static void call_wakeup(void)
{
    conc_wakeup wakeup;
    if (refused(conc_wakeup_init(&wakeup)))
        return;
    conc_wakeup_post(&wakeup);
    CHECK_EQUAL(conc_wakeup_wait(&wakeup, PATIENCE), 0);
    conc_wakeup_destroy(&wakeup);
}

static void call_local(void)
{
    conc_local *local;
    if (refused(conc_local_new(&local, NULL)))
        return;
    refused(conc_local_set(local, &local));
    conc_local_free(local);
}

static char bytes[200000];

static void call_write_without_reader(void)
{
    int fds[2];
    if (pipe(fds))
        return;
    close(fds[0]);
    CHECK_EQUAL(conc_write(fds[1], bytes, 10, PATIENCE), -EPIPE);
    close(fds[1]);
    if (socketpair(AF_UNIX, SOCK_STREAM, 0, fds))
        return;
    close(fds[0]);
    CHECK_EQUAL(conc_write(fds[1], bytes, 10, PATIENCE), -EPIPE);
    CHECK_EQUAL(conc_sendall(fds[1], bytes, 10, 0, PATIENCE), -EPIPE);
    close(fds[1]);
}

/* The reader goes while the writer waits for room. */
static void call_write_that_waits(void)
{
    int fds[2];
    if (pipe(fds))
        return;
    CHECK(conc_write_all(fds[1], bytes, sizeof bytes, conc_in(CONC_MS(2))) != 0);
    close(fds[0]);
    CHECK_EQUAL(conc_write_all(fds[1], bytes, sizeof bytes, PATIENCE), -EPIPE);
    close(fds[1]);
}

static char folder[64];

static void call_file(void)
{
    char path[96];
    snprintf(path, sizeof path, "%s/file", folder);
    int fd = conc_open(path, O_CREAT | O_RDWR | O_TRUNC, 0666, PATIENCE);
    if (fd < 0)
        return;
    refused(conc_write_all(fd, bytes, 6000, PATIENCE) < 0 ? -1 : 0);
    refused(conc_write_all(fd, bytes, 6000, PATIENCE) < 0 ? -1 : 0);
    (void)!conc_pwrite(fd, bytes, 10, 100000, PATIENCE);
    (void)!conc_pwrite(fd, bytes, sizeof bytes, 0, PATIENCE);
    refused(conc_ftruncate(fd, 200000, PATIENCE));
    refused(conc_fsync(fd, PATIENCE));
    close(fd);
    refused(conc_unlink(path, PATIENCE));
}

static bool is_short_of_memory; /* by a limit of the address space, or of data */

/* The C library's own function may crash when it gets no memory (glibc 2.36: a context that is NULL
 * is used). */
static void call_names(void)
{
    struct addrinfo *found;
    if (is_short_of_memory)
        return;
    if (conc_getaddrinfo("localhost", "1", NULL, &found, PATIENCE) == 0)
        freeaddrinfo(found);
}

static int greet(conc_stream *stream, void *arg)
{
    return conc_stream_write(stream, "hello", 5, PATIENCE);
}

static void call_server(void)
{
    conc_server *server;
    conc_stream *stream;
    char path[96];
    snprintf(path, sizeof path, "%s/socket", folder);
    int fd = conc_unix_listen(path, 5);
    if (fd < 0)
        return;
    if (refused(conc_server_start(&server, fd, greet, NULL, NULL))) {
        close(fd);
        return;
    }
    int client = conc_unix_connect(path, PATIENCE);
    if (client >= 0 && conc_stream_new(&stream, client, NULL) == 0) {
        refused(conc_stream_write(stream, bytes, sizeof bytes, conc_in(CONC_MS(20))));
        refused(conc_stream_close(stream, conc_in(CONC_MS(20))));
    } else if (client >= 0) {
        close(client);
    }
    CHECK_EQUAL(conc_server_stop(server, conc_in(CONC_MS(50))) <= 0, 1);
    conc_server_free(server);
    unlink(path);
}

static void call_pipe(void)
{
    conc_pipe *a, *b;
    if (refused(conc_pipe_new(&a, &b)))
        return;
    CHECK_EQUAL(conc_pipe_send(a, "x", 1, PATIENCE), 0);
    conc_pipe_free(b);
    refused(conc_pipe_send(a, bytes, sizeof bytes, PATIENCE));
    conc_pipe_free(a);
}

static void call_shared(void)
{
    void *block;
    if (refused(conc_shared_new(&block, 100000)))
        return;
    memset(block, 1, 100000);
    CHECK_EQUAL(conc_shared_free(block), 0);
}

static void call_subprocess(void)
{
    conc_subprocess *p;
    const char *argv[] = {"/bin/true", NULL};
    if (refused(conc_subprocess_start(&p, argv, NULL)))
        return;
    refused(conc_subprocess_join(p, PATIENCE));
    conc_subprocess_free(p);
}

static void call_process(void)
{
    conc_process *p;
    if (refused(conc_process_start(&p, job_return, &(int){0}, sizeof(int), NULL)))
        return;
    refused(conc_process_join(p, PATIENCE));
    conc_process_free(p);
}

static void call_process_pool(void)
{
    conc_executor *pool;
    int in[6] = {1, 2, 3}, out[6];
    if (refused(conc_process_pool_new(&pool, 2, NULL)))
        return;
    refused(conc_map(pool, job_of_square, in, 6, sizeof *in, out, sizeof *out, NULL, PATIENCE));
    refused(conc_executor_shutdown(pool, CONC_SHUTDOWN_WAIT, PATIENCE));
    refused(conc_executor_free(pool));
}

static const struct {
    const char *name;
    void (*fn)(void);
} calls[] = {
    {"thread", call_thread},
    {"timer", call_timer},
    {"pool", call_pool},
    {"unobserved", call_unobserved},
    {"dump", call_dump},
    {"run", call_run},
    {"loop", call_loop},
    {"to_thread", call_to_thread},
    {"generator", call_generator},
    {"signal", call_signal},
    {"wakeup", call_wakeup},
    {"local", call_local},
    {"write without reader", call_write_without_reader},
    {"write that waits", call_write_that_waits},
    {"file", call_file},
    {"names", call_names},
    {"server", call_server},
    {"pipe", call_pipe},
    {"shared", call_shared},
    {"subprocess", call_subprocess},
    {"process", call_process},
    {"process pool", call_process_pool},
};

enum { N_CALLS = sizeof calls / sizeof *calls };

/* ---- Limits ---- */

static void limit(int which, rlim_t most)
{
    struct rlimit both = {most, most};
    CHECK_EQUAL(setrlimit(which, &both), 0);
}

static void limit_nothing(void) {}

static void limit_fds_to(int more)
{
    int next = open("/dev/null", O_RDONLY);
    CHECK(next >= 0);
    close(next);
    limit(RLIMIT_NOFILE, (rlim_t)(next + more));
}

static void limit_fds(void) { limit_fds_to(0); }
static void limit_fds_to_a_few(void) { limit_fds_to(5); }

/* They do not count for root. */
static void limit_processes(void)
{
    limit(RLIMIT_NPROC, 0);
    if (geteuid() == 0) {
        CHECK_EQUAL(setgroups(0, NULL), 0);
        CHECK_EQUAL(setresgid(65534, 65534, 65534), 0);
        CHECK_EQUAL(setresuid(65534, 65534, 65534), 0);
    }
}

static void limit_locked_memory(void) { limit(RLIMIT_MEMLOCK, 0); }

/* As much as there may be. */
static void lock_all_memory(void) { (void)!mlockall(MCL_FUTURE); }

static void limit_file_size(void) { limit(RLIMIT_FSIZE, 0); }
static void limit_file_size_to_some(void) { limit(RLIMIT_FSIZE, 8192); }

static size_t used_address_space(void)
{
    size_t pages = 0;
    FILE *f = fopen("/proc/self/statm", "r");
    CHECK(f && fscanf(f, "%zu", &pages) == 1);
    fclose(f);
    return pages * (size_t)sysconf(_SC_PAGESIZE);
}

/* Not with the sanitizers, which need terabytes of it. */
static void limit_address_space(void)
{
    is_short_of_memory = true;
    size_t used = used_address_space();
    if (used < (size_t)1 << 40)
        limit(RLIMIT_AS, used + 3 * 1024 * 1024);
}

static void limit_data(void)
{
    is_short_of_memory = true;
    if (used_address_space() < (size_t)1 << 40)
        limit(RLIMIT_DATA, 8 * 1024 * 1024);
}

static void limit_stack(void) { limit(RLIMIT_STACK, 256 * 1024); }
static void limit_signals(void) { limit(RLIMIT_SIGPENDING, 0); }

static void take_all_keys(void)
{
    for (pthread_key_t key; pthread_key_create(&key, NULL) == 0;)
        continue;
}

static void let_nobody_read_stderr(void)
{
    int fds[2];
    CHECK_EQUAL(pipe(fds), 0);
    CHECK_EQUAL(dup2(fds[1], STDERR_FILENO), STDERR_FILENO);
    close(fds[0]);
    close(fds[1]);
}

static void let_stderr_be_full(void)
{
    char path[96];
    snprintf(path, sizeof path, "%s/stderr", folder);
    int fd = open(path, O_CREAT | O_WRONLY | O_APPEND, 0666);
    CHECK(fd >= 0 && write(fd, bytes, 10) == 10);
    CHECK_EQUAL(dup2(fd, STDERR_FILENO), STDERR_FILENO);
    close(fd);
    limit(RLIMIT_FSIZE, 10);
}

static void close_standard_ones(void)
{
    for (int fd = 0; fd < 3; fd++)
        close(fd);
}

static const struct {
    const char *name;
    void (*set)(void);
} limits[] = {
    {"none", limit_nothing},
    {"descriptors", limit_fds},
    {"few descriptors", limit_fds_to_a_few},
    {"processes", limit_processes},
    {"locked memory", limit_locked_memory},
    {"memory that is locked", lock_all_memory},
    {"file size", limit_file_size},
    {"small file size", limit_file_size_to_some},
    {"address space", limit_address_space},
    {"data", limit_data},
    {"stack", limit_stack},
    {"pending signals", limit_signals},
    {"keys", take_all_keys},
    {"stderr without reader", let_nobody_read_stderr},
    {"stderr that is full", let_stderr_be_full},
    {"no standard descriptors", close_standard_ones},
};

/* ---- All with all ---- */

static const char *const ways[] = {"thread", "io_uring", "epoll"};

/* What a child is at; shared with it. */
struct place {
    int limit, way, call;
};

static struct place *place;

static int make_call(void *arg, void *result)
{
    calls[place->call].fn();
    return 0;
}

static int meet_limit(void *arg)
{
    alarm(50);
    limits[place->limit].set();
    for (place->call = 0; place->call < N_CALLS; place->call++) {
        if (place->way == 0)
            make_call(NULL, NULL);
        else
            refused(conc_run(make_call, NULL, 0, NULL, 0));
    }
    return 0;
}

static void test_no_limit_ends_the_program(void **state)
{
    int ill = 0;
    if (!CHILD_MAY_START_THREADS) {
        print_message("# not with gcc's ThreadSanitizer: left out\n");
        return;
    }
    place = mmap(NULL, sizeof *place, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_ptr_not_equal(place, MAP_FAILED);
    snprintf(folder, sizeof folder, "/tmp/test_limits.XXXXXX");
    assert_non_null(mkdtemp(folder));
    assert_int_equal(chmod(folder, 0777), 0);
    for (place->limit = 0; place->limit < (int)(sizeof limits / sizeof *limits); place->limit++) {
        for (place->way = 0; place->way < 3; place->way++) {
            setenv("CONC_BACKEND", place->way == 1 ? "uring" : "epoll", 1);
            int end = in_child(meet_limit, NULL);
            if (end == 0)
                continue;
            ill++;
            print_message("# limit '%s', in %s, call '%s': %d\n", limits[place->limit].name,
                          ways[place->way], place->call < N_CALLS ? calls[place->call].name : "-",
                          end);
        }
    }
    char command[128];
    snprintf(command, sizeof command, "rm -rf %s", folder);
    assert_int_equal(system(command), 0);
    munmap(place, sizeof *place);
    assert_int_equal(ill, 0);
}

/* ---- What the calls say ---- */

static int write_beyond_the_limit(void *arg, void *result)
{
    char path[96];
    void *block;
    snprintf(path, sizeof path, "%s/limited", folder);
    int fd = conc_open(path, O_CREAT | O_RDWR, 0666, PATIENCE);
    CHECK(fd >= 0);
    CHECK_EQUAL(conc_write(fd, bytes, 6000, PATIENCE), 6000);
    CHECK_EQUAL(conc_write(fd, bytes, 6000, PATIENCE), 2192);
    /* io_uring (Linux 6.18) does not move the position by a write that is cut short. */
    CHECK_EQUAL(lseek(fd, 8192, SEEK_SET), 8192);
    CHECK_EQUAL(conc_write(fd, bytes, 10, PATIENCE), -EFBIG);
    CHECK_EQUAL(conc_pwrite(fd, bytes, 10, 100000, PATIENCE), -EFBIG);
    CHECK_EQUAL(conc_pwrite(fd, bytes, 10, 0, PATIENCE), 10);
    CHECK_EQUAL(conc_ftruncate(fd, 9000, PATIENCE), -EFBIG);
    CHECK_EQUAL(conc_shared_new(&block, 100000), -ENOMEM);
    close(fd);
    return 0;
}

/* Nothing is left of it: what the program itself writes does what it always did. */
static int meet_file_limit(void *arg)
{
    sigset_t set;
    struct sigaction action;
    limit(RLIMIT_FSIZE, 8192);
    if (*(int *)arg == 0)
        write_beyond_the_limit(NULL, NULL);
    else
        CHECK_EQUAL(conc_run(write_beyond_the_limit, NULL, 0, NULL, 0), 0);
    CHECK_EQUAL(sigpending(&set), 0);
    CHECK(!sigismember(&set, SIGXFSZ));
    CHECK_EQUAL(pthread_sigmask(SIG_BLOCK, NULL, &set), 0);
    CHECK(!sigismember(&set, SIGXFSZ) && !sigismember(&set, SIGPIPE));
    CHECK_EQUAL(sigaction(SIGXFSZ, NULL, &action), 0);
    CHECK(action.sa_handler == SIG_DFL);
    return 0;
}

static int end_at_once(void *arg, void *result)
{
    (void)arg, (void)result;
    return 0;
}

/* In a child, which then has no io_uring of its own. */
static int look_for_uring(void *arg)
{
    (void)arg;
    setenv("CONC_BACKEND", "uring", 1);
    return conc_run(end_at_once, NULL, 0, NULL, 0) == 0 ? 0 : 1;
}

static void test_write_beyond_the_limit_of_a_file_is_efbig(void **state)
{
    if (!CHILD_MAY_START_THREADS) {
        print_message("# not with gcc's ThreadSanitizer: left out\n");
        return;
    }
    for (int i = 0; i < 3; i++) {
        char command[128];
        if (i == 1 && in_child(look_for_uring, NULL) != 0) {
            print_message("# no io_uring here: left out\n");
            continue;
        }
        setenv("CONC_BACKEND", i == 1 ? "uring" : "epoll", 1);
        snprintf(folder, sizeof folder, "/tmp/test_limits.XXXXXX");
        assert_non_null(mkdtemp(folder));
        int end = in_child(meet_file_limit, &i);
        snprintf(command, sizeof command, "rm -rf %s", folder);
        assert_int_equal(system(command), 0);
        assert_int_equal(end, 0);
    }
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_write_beyond_the_limit_of_a_file_is_efbig),
    cmocka_unit_test(test_no_limit_ends_the_program),
};

TEST_MAIN(tests, 240)
