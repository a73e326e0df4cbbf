/* SPDX-License-Identifier: MIT
 *
 * ways.c: see ways.h.
 */
#include "ways.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <conc/loop.h>
#include <conc/net.h>
#include <conc/task.h>
#include <conc/thread.h>
#include <netinet/in.h>

enum way way;

static conc_executor *beside; /* where start() submits */
static int descriptors;       /* before the test */

/* ---- Running ---- */

static int call_body(void *arg, void *result)
{
    (*(void (**)(void))arg)();
    return 0;
}

/* In a thread of its own: what a thread keeps for waiting goes when it ends. */
static void run_on_thread(void (*body)(void))
{
    conc_thread *thread;
    CHECK_EQUAL(conc_thread_per_job_new(&beside), 0);
    CHECK_EQUAL(conc_thread_start(&thread, call_body, &body, sizeof body, NULL), 0);
    CHECK_EQUAL(conc_thread_join(thread, NULL, CONC_FOREVER), 0);
    conc_thread_free(thread);
    CHECK_EQUAL(conc_executor_free(beside), 0);
}

static void run_on_loop(void (*body)(void), conc_backend backend)
{
    const conc_loop_options options = {.backend = backend};
    conc_loop *loop;
    CHECK_EQUAL(conc_loop_new(&loop, &options), 0);
    conc_future *f = conc_task_start(loop, call_body, &body, sizeof body, 0, NULL);
    beside = conc_loop_executor(loop);
    int err = conc_loop_run_until_complete(loop, f);
    if (err == -ENOSYS) {
        printf("# no io_uring here: left out\n");
        conc_future_cancel(f);
    } else {
        CHECK_EQUAL(err, 0);
        CHECK_EQUAL(conc_future_error(f), 0);
    }
    conc_future_unref(f);
    CHECK_EQUAL(conc_loop_free(loop), 0);
}

void run_in_way(void **state)
{
    const struct way_case *c = *state;
    way = c->way;
    store_relaxed(&conc__hooks.sound_sleep, 1); /* a wake-up that is lost is lost for good */
    if (way == ON_THREADS)
        run_on_thread(c->body);
    else
        run_on_loop(c->body, way == ON_URING ? CONC_BACKEND_URING : CONC_BACKEND_EPOLL);
    store_relaxed(&conc__hooks.sound_sleep, 0);
}

/* ---- What it leaves behind ---- */

void limit_descriptors(int n)
{
    static struct rlimit before;
    if (!before.rlim_cur)
        CHECK_EQUAL(getrlimit(RLIMIT_NOFILE, &before), 0);
    const struct rlimit limit = {n ? (rlim_t)n : before.rlim_cur, before.rlim_max};
    CHECK_EQUAL(setrlimit(RLIMIT_NOFILE, &limit), 0);
}

static int taken[256];
static int n_taken;

void take_descriptors_but(int n)
{
    int fd;
    limit_descriptors(sizeof taken / sizeof *taken);
    for (n_taken = 0; (fd = fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 0)) >= 0; n_taken++)
        taken[n_taken] = fd;
    CHECK(n_taken >= n);
    for (; n > 0; n--)
        close(taken[--n_taken]);
}

void give_descriptors(void)
{
    for (; n_taken > 0; n_taken--)
        close(taken[n_taken - 1]);
    limit_descriptors(0);
}

static void nothing(void) {}

int way_setup(void **state)
{
    static bool warm;
    if (!warm) /* the first task leaves its stack to the next */
        run_on_loop(nothing, CONC_BACKEND_EPOLL);
    warm = true;
    descriptors = count_descriptors();
    return leaks_setup(state);
}

int way_teardown(void **state)
{
    int left = leaks_teardown(state), more;
    /* The kernel's closing of a ring, and the end of a thread that is not joined, may take a
     * moment. */
    for (int64_t end = real_now() + CONC_S(10);
         (more = count_descriptors() - descriptors) && real_now() < end;)
        conc_yield();
    if (more)
        fprintf(stderr, "the test leaves %d descriptors\n", more);
    return left || more;
}

/* ---- In a body ---- */

conc_executor *way_executor(void) { return beside; }

conc_future *start(conc_fn *fn, const void *arg, size_t arg_size)
{
    return conc_submit(beside, fn, arg, arg_size, 0);
}

int end_of(conc_future *future)
{
    CHECK_EQUAL(conc_future_wait(future, CONC_FOREVER), 0);
    int err = conc_future_error(future);
    conc_future_unref(future);
    return err;
}

void look_again(int64_t give_up_at, const char *what, const char *file, int line)
{
    if (real_now() > give_up_at)
        check_failed(what, file, line);
    conc_scope shield;
    conc_shield_enter(&shield);
    conc_sleep(CONC_US(100));
    conc_shield_exit(&shield);
}

struct count {
    const char *what;
    size_t n;
};

static int count_one(const conc_context_info *info, void *arg)
{
    struct count *count = arg;
    count->n += info->blocked_on && !strcmp(info->blocked_on, count->what);
    return 0;
}

size_t blocked_on(const char *what)
{
    struct count count = {.what = what};
    CHECK_EQUAL(conc_context_foreach(count_one, &count), 0);
    return count.n;
}

void make_sockets(int type, int fds[2])
{
    CHECK_EQUAL(socketpair(AF_UNIX, type | SOCK_CLOEXEC, 0, fds), 0);
}

void make_pipe(int fds[2]) { CHECK_EQUAL(pipe2(fds, O_CLOEXEC), 0); }

void close_both(const int fds[2])
{
    CHECK_EQUAL(conc_close(fds[0]), 0);
    CHECK_EQUAL(conc_close(fds[1]), 0);
}

void make_tcp(int fds[2])
{
    int listener = conc_tcp_listen(own_host(), 0, 0);
    CHECK(listener >= 0);
    fds[0] = conc_tcp_connect(own_host(), (uint16_t)conc_tcp_port(listener), CONC_FOREVER);
    CHECK(fds[0] >= 0);
    fds[1] = conc_accept(listener, NULL, NULL, CONC_FOREVER);
    CHECK(fds[1] >= 0);
    CHECK_EQUAL(conc_close(listener), 0);
}

static unsigned char byte_at(size_t i, unsigned seed)
{
    return (unsigned char)((i * 31 + i / 251 + seed * 17) ^ 0x5a);
}

void fill(void *buf, size_t n, unsigned seed)
{
    for (size_t i = 0; i < n; i++)
        ((unsigned char *)buf)[i] = byte_at(i, seed);
}

bool is_filled(const void *buf, size_t n, unsigned seed)
{
    for (size_t i = 0; i < n; i++)
        if (((const unsigned char *)buf)[i] != byte_at(i, seed))
            return false;
    return true;
}
