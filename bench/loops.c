/* SPDX-License-Identifier: MIT
 *
 * loops.c: what a loop does besides running tasks: callbacks, timers, jobs for threads, and being
 * woken by one.
 *
 * Timers have no peer: C has none that a thread could have 100,000 of. Start and cancel: most
 * timers are time-outs that never come. Fire: timers in no order, which are all due, from asking
 * for them until the last has called back. In nanoseconds of processor time, which is the same on a
 * busy machine.
 *
 * Executor: one job by a thread and back, by a task and by a thread of the plain pool. Wake: a
 * thread wakes a loop that sleeps, and is woken by it; for plain C that is two eventfds, one of
 * them in an epoll. Both measure how the kernel wakes threads, so once on one core, once on two
 * (see queues.c).
 */
#include <conc.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "bench.h"
#include "plain.h"

static struct figures ns_each(struct stopwatch w, uint64_t n)
{
    return (struct figures){.value = (double)w.cpu_ns / (double)n};
}

static struct figures us_each(struct stopwatch w, uint64_t n)
{
    return (struct figures){.value = (double)w.wall_ns / 1e3 / (double)n};
}

static struct figures in_task(conc_fn *fn, const void *arg, size_t arg_size)
{
    struct figures ret;
    must(conc_run(fn, arg, arg_size, &ret, sizeof ret), "conc_run");
    return ret;
}

/* Not random, but in no order. */
static int64_t scattered(uint64_t i, int64_t range)
{
    return (int64_t)((i * 0x9e3779b97f4a7c15u >> 16) % (uint64_t)range);
}

/* ---- Timers and callbacks ---- */

static void never_called(void *arg) { must(1, "a cancelled timer has fired"); }

static int64_t far(uint64_t i) { return CONC_S(1000) + scattered(i, CONC_S(1000)); }

static conc_handle *start_timer(uint64_t i)
{
    conc_handle *handle;
    must(conc_loop_call_later(conc_loop_current(), far(i), never_called, NULL, &handle),
         "conc_loop_call_later");
    return handle;
}

static void end_timer(conc_handle *handle)
{
    must(!conc_handle_cancel(handle), "conc_handle_cancel");
    conc_handle_free(handle);
}

static int start_and_cancel_many(void *arg, void *result)
{
    const size_t pending = *(size_t *)arg;
    const uint64_t n = amount(500000);
    conc_handle **handles = calloc(pending, sizeof *handles);
    must(handles == NULL, "out of memory");
    for (size_t i = 0; i < pending; i++)
        handles[i] = start_timer(n + i);
    struct stopwatch w = start_clock();
    for (uint64_t i = 0; i < n; i++)
        end_timer(start_timer(i));
    *(struct figures *)result = ns_each(stop_clock(w), n);
    for (size_t i = 0; i < pending; i++)
        end_timer(handles[i]);
    free(handles);
    return 0;
}

static struct figures start_and_cancel(enum peer peer, const void *setup)
{
    return in_task(start_and_cancel_many, setup, sizeof(size_t));
}

struct countdown {
    size_t left;
    conc_event zero;
};

static void count_down(void *arg)
{
    struct countdown *c = arg;
    if (--c->left == 0)
        conc_event_set(&c->zero);
}

struct calls_setup {
    size_t at_once;
    bool soon; /* or with time */
};

static void ask(const struct calls_setup *s, struct countdown *c)
{
    conc_loop *loop = conc_loop_current();
    const int64_t now = conc_now();
    for (size_t i = 0; i < s->at_once; i++)
        must(s->soon ? conc_loop_call_soon(loop, count_down, c, NULL)
                     : conc_loop_call_at(loop, conc_at(now - scattered(i, CONC_MS(1))), count_down,
                                         c, NULL),
             "a callback");
}

static int call_many(void *arg, void *result)
{
    const struct calls_setup *s = arg;
    const uint64_t turns = (amount(500000) + s->at_once - 1) / s->at_once;
    struct stopwatch w = start_clock();
    for (uint64_t i = 0; i < turns; i++) {
        struct countdown c = {.left = s->at_once};
        ask(s, &c);
        must(conc_event_wait(&c.zero, CONC_FOREVER), "conc_event_wait");
    }
    *(struct figures *)result = ns_each(stop_clock(w), turns * s->at_once);
    return 0;
}

static struct figures calls(enum peer peer, const void *setup)
{
    return in_task(call_many, setup, sizeof(struct calls_setup));
}

/* ---- Jobs for threads ---- */

static int add_one(void *arg, void *result)
{
    *(uint64_t *)result = *(uint64_t *)arg + 1;
    return 0;
}

static const uint64_t full_trips = 5000;

static int ask_from_task(void *arg, void *result)
{
    conc_executor *pool = *(conc_executor **)arg;
    const uint64_t n = amount(full_trips);
    struct stopwatch w = {0};
    for (uint64_t i = 0; i <= n; i++) {
        uint64_t answer = 0;
        if (i == 1)
            w = start_clock(); /* the first has started the pool's thread */
        conc_future *f =
            conc_loop_run_in_executor(conc_loop_current(), pool, add_one, &i, sizeof i, sizeof i);
        must(conc_future_result(f, &answer, CONC_FOREVER) || answer != i + 1, "a job");
        conc_future_unref(f);
    }
    *(struct figures *)result = us_each(stop_clock(w), n);
    return 0;
}

/* The pool's thread inherits the core of the thread that asks for it. */
struct executor_trips {
    enum peer peer;
    struct figures figures;
};

static struct figures conc_trips(void)
{
    conc_executor *pool;
    must(conc_thread_pool_new(&pool, 1, NULL), "conc_thread_pool_new");
    struct figures figures = in_task(ask_from_task, &pool, sizeof pool);
    conc_executor_free(pool);
    return figures;
}

static struct figures plain_trips(void)
{
    const uint64_t n = amount(full_trips);
    struct plain_pool pool;
    must(plain_pool_init(&pool, 1), "a pool");
    struct stopwatch w = {0};
    for (uint64_t i = 0; i <= n; i++) {
        if (i == 1)
            w = start_clock();
        struct plain_job *job = plain_pool_submit(&pool, add_one, i);
        must(job == NULL || plain_pool_result(&pool, job) != i + 1, "a job");
    }
    w = stop_clock(w);
    plain_pool_destroy(&pool);
    return us_each(w, n);
}

static void executor_body(void *arg, size_t index)
{
    struct executor_trips *t = arg;
    t->figures = t->peer == CONC ? conc_trips() : plain_trips();
}

static struct figures executor_trip(enum peer peer, const void *setup)
{
    struct executor_trips t = {.peer = peer};
    run_threads(1, executor_body, &t, setup);
    return t.figures;
}

/* ---- Waking a loop that sleeps ---- */

struct wakes {
    enum peer peer;
    uint64_t trips;
    conc_event there, back;
    int there_fd, back_fd, epoll_fd;
    struct figures figures;
};

static void write_one(int fd)
{
    uint64_t one = 1;
    must(write(fd, &one, sizeof one) != sizeof one, "write");
}

static void read_one(int fd)
{
    uint64_t count;
    must(read(fd, &count, sizeof count) != sizeof count, "read");
}

static void take(conc_event *event)
{
    must(conc_event_wait(event, CONC_FOREVER), "conc_event_wait");
    conc_event_clear(event);
}

static int answer_in_task(void *arg, void *result)
{
    struct wakes *s = *(struct wakes **)arg;
    for (uint64_t i = 0; i <= s->trips; i++) {
        take(&s->there);
        conc_event_set(&s->back);
    }
    return 0;
}

static void answer_in_thread(struct wakes *s)
{
    struct epoll_event event;
    for (uint64_t i = 0; i <= s->trips; i++) {
        must(epoll_wait(s->epoll_fd, &event, 1, -1) != 1, "epoll_wait");
        read_one(s->there_fd);
        write_one(s->back_fd);
    }
}

static void wake_and_wait(struct wakes *s)
{
    if (s->peer == CONC) {
        conc_event_set(&s->there);
        take(&s->back);
    } else {
        write_one(s->there_fd);
        read_one(s->back_fd);
    }
}

static void wakes_body(void *arg, size_t index)
{
    struct wakes *s = arg;
    if (index == 0) {
        wake_and_wait(s); /* the loop runs from now on */
        struct stopwatch w = start_clock();
        for (uint64_t i = 0; i < s->trips; i++)
            wake_and_wait(s);
        s->figures = us_each(stop_clock(w), s->trips);
    } else if (s->peer == CONC) {
        must(conc_run(answer_in_task, &s, sizeof s, NULL, 0), "conc_run");
    } else {
        answer_in_thread(s);
    }
}

static struct figures wake_trip(enum peer peer, const void *setup)
{
    struct wakes s = {.peer = peer, .trips = amount(full_trips)};
    s.there_fd = eventfd(0, EFD_CLOEXEC);
    s.back_fd = eventfd(0, EFD_CLOEXEC);
    s.epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    must(s.there_fd < 0 || s.back_fd < 0 || s.epoll_fd < 0, "descriptors");
    struct epoll_event event = {.events = EPOLLIN};
    must(epoll_ctl(s.epoll_fd, EPOLL_CTL_ADD, s.there_fd, &event), "epoll_ctl");
    run_threads(2, wakes_body, &s, setup);
    close(s.epoll_fd);
    close(s.back_fd);
    close(s.there_fd);
    return s.figures;
}

/* ---- All of them ---- */

static int tell_backend(void *arg, void *result)
{
    *(const char **)result = conc_loop_backend(conc_loop_current());
    return 0;
}

static void bench_timers(void)
{
    report("timer start + cancel, 100 pending", "ns", start_and_cancel, &(size_t){100});
    report("timer start + cancel, 100,000 pending", "ns", start_and_cancel, &(size_t){100000});
    report("timer start + fire, 100 at once", "ns", calls, &(struct calls_setup){100, false});
    report("timer start + fire, 100,000 at once", "ns", calls,
           &(struct calls_setup){100000, false});
    report("callback soon, 100 at once", "ns", calls, &(struct calls_setup){100, true});
}

void bench_loops(void)
{
    const char *backend = NULL;
    if (!section("loops", "conc_loop; a plain pool of threads; eventfd and epoll"))
        return;
    must(conc_run(tell_backend, NULL, 0, &backend, sizeof backend), "conc_run");
    printf("  (by %s)\n", backend);
    bench_timers();
    int cores[MAX_THREADS];
    int n = spread_cores(cores);
    const int one[2] = {cores[0], cores[0]};
    compare("run in executor round trip, one core", "us", LESS_IS_BETTER, executor_trip, one);
    compare("run in executor round trip, any cores", "us", LESS_IS_BETTER, executor_trip, NULL);
    compare("wake of a sleeping loop and back, one core", "us", LESS_IS_BETTER, wake_trip, one);
    if (n >= 2)
        compare("wake of a sleeping loop and back, two cores", "us", LESS_IS_BETTER, wake_trip,
                cores);
}
