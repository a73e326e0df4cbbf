/* SPDX-License-Identifier: MIT
 *
 * tasks.c: tasks against threads, and against what a C programmer switches stacks with.
 *
 * Switch: tasks that do nothing but yield, and two ucontexts that swap. If two tasks run the same
 * code the processor guesses well where each switch returns to; if not, less so; and a thousand do
 * not fit into the nearest cache. Spawn and join: a job that does nothing as a task, and as a
 * thread; one after the other, and a thousand at once. Queue: items from one task to another, and
 * between two threads on one core (which is where threads do it fastest) through a ring with a
 * mutex and two conditions. Generator: an item that is asked for, made and handed over.
 *
 * These are nanoseconds of processor time, which is the same on a busy machine. (Of the time that a
 * thread takes to start and end on another core, part is waiting, and is not counted.)
 *
 * Memory: what each of many that sleep adds to the process, its page tables included. The kernel's
 * own share (a thread's kernel stack alone is 16 KiB) is not seen. Each round is a child process.
 * No task may have run in the parent before, or its stacks would be there, so this comes first.
 */
#include <conc.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <ucontext.h>
#include <unistd.h>

#include "bench.h"
#include "plain.h"

static struct figures ns_each(struct stopwatch w, uint64_t n)
{
    return (struct figures){.value = (double)w.cpu_ns / (double)n};
}

/* The figures that a job gives as a loop's main task. */
static struct figures in_task(conc_fn *fn, const void *arg, size_t arg_size)
{
    struct figures ret;
    must(conc_run(fn, arg, arg_size, &ret, sizeof ret), "conc_run");
    return ret;
}

/* ---- Memory ---- */

enum { CROWD_THREADS = 1000 };

struct crowd {
    size_t n;
    size_t asleep;
    double kib_each, us_each;
};

/* Of this process. */
static double kib_used(void)
{
    char line[128];
    unsigned long kib = 0, part;
    FILE *status = fopen("/proc/self/status", "r");
    must(status == NULL, "/proc/self/status");
    while (fgets(line, sizeof line, status))
        if (sscanf(line, "VmRSS: %lu", &part) == 1 || sscanf(line, "VmPTE: %lu", &part) == 1)
            kib += part;
    fclose(status);
    return (double)kib;
}

static int sleep_long(void *arg, void *result)
{
    (*(struct crowd **)arg)->asleep++;
    return conc_sleep(CONC_S(3600));
}

static int crowd_of_tasks(void *arg, void *result)
{
    struct crowd *c = *(struct crowd **)arg;
    double before = kib_used();
    struct stopwatch w = start_clock();
    for (size_t i = 0; i < c->n; i++)
        conc_future_unref(conc_spawn(sleep_long, &c, sizeof c, 0));
    while (c->asleep < c->n)
        conc_yield();
    w = stop_clock(w);
    c->us_each = (double)w.cpu_ns / 1e3 / (double)c->n;
    c->kib_each = (kib_used() - before) / (double)c->n;
    return 0;
}

/* The tasks, and the loop, end with the process. */
static void measure_tasks(const void *arg, void *ret)
{
    struct crowd *c = ret;
    conc_loop *loop;
    *c = *(const struct crowd *)arg;
    must(conc_loop_new(&loop, NULL), "conc_loop_new");
    conc_future *f = conc_task_start(loop, crowd_of_tasks, &c, sizeof c, 0, NULL);
    must(conc_loop_run_until_complete(loop, f), "conc_loop_run_until_complete");
    must(conc_future_result(f, NULL, CONC_NOW), "a task");
}

static void *pause_long(void *arg)
{
    __atomic_fetch_add((size_t *)arg, 1, __ATOMIC_RELEASE);
    pause(); /* until the process ends */
    return NULL;
}

static void measure_threads(const void *arg, void *ret)
{
    struct crowd *c = ret;
    *c = (struct crowd){.n = CROWD_THREADS};
    double before = kib_used();
    for (size_t i = 0; i < c->n; i++) {
        pthread_t thread;
        must(pthread_create(&thread, NULL, pause_long, &c->asleep), "pthread_create");
    }
    while (__atomic_load_n(&c->asleep, __ATOMIC_ACQUIRE) < c->n)
        usleep(1000);
    c->kib_each = (kib_used() - before) / (double)c->n;
}

static struct figures memory(enum peer peer, const void *setup)
{
    struct crowd c;
    in_child(peer == CONC ? measure_tasks : measure_threads, setup, &c, sizeof c);
    return (struct figures){.value = c.kib_each};
}

static double available_gib(void)
{
    char line[128];
    unsigned long kib = 0;
    FILE *info = fopen("/proc/meminfo", "r");
    while (info && fgets(line, sizeof line, info) && sscanf(line, "MemAvailable: %lu", &kib) != 1)
        continue;
    if (info)
        fclose(info);
    return (double)kib / (1 << 20);
}

static void bench_million(void)
{
    const double gib_needed = 6; /* a page each, page tables, futures and the timers */
    struct crowd c = {.n = 1000000};
    if (available_gib() < gib_needed) {
        printf("  (A million tasks are left out: less than %.0f GiB of memory are free.)\n",
               gib_needed);
        return;
    }
    in_child(measure_tasks, &c, &c, sizeof c);
    print_value("1,000,000 sleeping tasks, each", "KiB", c.kib_each);
    print_value("1,000,000 tasks, spawn until asleep", "us", c.us_each);
}

static void bench_memory(void)
{
    compare("10,000 tasks / 1,000 threads asleep, each", "KiB", LESS_IS_BETTER, memory,
            &(struct crowd){.n = 10000});
    compare("100,000 tasks / 1,000 threads", "KiB", LESS_IS_BETTER, memory,
            &(struct crowd){.n = 100000});
    if (!options.quick)
        bench_million();
}

/* ---- Switching ---- */

struct yielders_setup {
    size_t n;
    bool alike; /* they run the same function */
};

struct yielders {
    struct stopwatch watch;
    uint64_t turns; /* each task's */
    bool end;       /* of the first of them */
};

enum { YIELDERS_MAX = 1000 };

static int yield_turns(void *arg, void *result)
{
    struct yielders *y = *(struct yielders **)arg;
    for (uint64_t i = 0; i < y->turns; i++)
        conc_yield();
    if (!y->end)
        y->watch = stop_clock(y->watch);
    y->end = true;
    return 0;
}

static int yield_until_end(void *arg, void *result)
{
    const struct yielders *y = *(struct yielders **)arg;
    while (!y->end)
        conc_yield();
    return 0;
}

static int run_yielders(void *arg, void *result)
{
    const struct yielders_setup *s = arg;
    struct yielders y = {.turns = amount(1000000) / s->n}, *shared = &y;
    conc_future *yielders[YIELDERS_MAX];
    for (size_t i = 0; i < s->n; i++)
        yielders[i] = conc_spawn(i > 0 && !s->alike ? yield_until_end : yield_turns, &shared,
                                 sizeof shared, 0);
    conc_yield(); /* they have begun */
    y.watch = start_clock();
    for (size_t i = 0; i < s->n; i++) {
        must(conc_future_result(yielders[i], NULL, CONC_FOREVER), "a task");
        conc_future_unref(yielders[i]);
    }
    *(struct figures *)result = ns_each(y.watch, y.turns * s->n);
    return 0;
}

static ucontext_t here, there;

static void swap_for_ever(void)
{
    for (;;)
        swapcontext(&there, &here);
}

static struct figures swap_often(uint64_t n)
{
    enum { STACK = 64 << 10 };
    char *stack = malloc(STACK);
    must(stack == NULL || getcontext(&there), "a ucontext");
    there.uc_stack.ss_sp = stack;
    there.uc_stack.ss_size = STACK;
    makecontext(&there, swap_for_ever, 0);
    struct stopwatch w = start_clock();
    for (uint64_t i = 0; i < n; i++)
        swapcontext(&here, &there);
    w = stop_clock(w);
    free(stack);
    return ns_each(w, 2 * n);
}

static struct figures switches(enum peer peer, const void *setup)
{
    return peer == CONC ? in_task(run_yielders, setup, sizeof(struct yielders_setup))
                        : swap_often(amount(500000));
}

/* ---- Spawning ---- */

enum { CREW_MAX = 1000 };

struct crew_setup {
    size_t at_once;
    uint64_t jobs;
};

static int do_nothing(void *arg, void *result) { return 0; }
static void *do_nothing_in_thread(void *arg) { return NULL; }

static void spawn_crew(size_t n)
{
    conc_future *crew[CREW_MAX];
    for (size_t i = 0; i < n; i++)
        crew[i] = conc_spawn(do_nothing, NULL, 0, 0);
    for (size_t i = 0; i < n; i++) {
        must(conc_future_result(crew[i], NULL, CONC_FOREVER), "a task");
        conc_future_unref(crew[i]);
    }
}

static void create_crew(size_t n)
{
    pthread_t crew[CREW_MAX];
    for (size_t i = 0; i < n; i++)
        must(pthread_create(&crew[i], NULL, do_nothing_in_thread, NULL), "pthread_create");
    for (size_t i = 0; i < n; i++)
        pthread_join(crew[i], NULL);
}

static struct figures run_crews(const struct crew_setup *s, void (*crew)(size_t n))
{
    const uint64_t turns = amount(s->jobs) / s->at_once;
    crew(s->at_once); /* their stacks are there from now on */
    struct stopwatch w = start_clock();
    for (uint64_t i = 0; i < turns; i++)
        crew(s->at_once);
    return ns_each(stop_clock(w), turns * s->at_once);
}

static int spawn_crews(void *arg, void *result)
{
    *(struct figures *)result = run_crews(arg, spawn_crew);
    return 0;
}

static struct figures spawn_and_join(enum peer peer, const void *setup)
{
    return peer == CONC ? in_task(spawn_crews, setup, sizeof(struct crew_setup))
                        : run_crews(setup, create_crew);
}

/* ---- A queue ---- */

struct flow {
    size_t capacity;
    uint64_t items;
    conc_queue conc;
    struct plain_queue plain;
};

static int put_all(void *arg, void *result)
{
    struct flow *f = *(struct flow **)arg;
    for (uint64_t i = 0; i < f->items; i++)
        must(conc_queue_put(&f->conc, &i, CONC_FOREVER), "conc_queue_put");
    return 0;
}

static int get_all(void *arg, void *result)
{
    struct flow *f = *(struct flow **)arg;
    struct stopwatch w = start_clock();
    conc_future_unref(conc_spawn(put_all, &f, sizeof f, 0));
    for (uint64_t i = 0, item; i < f->items; i++) {
        must(conc_queue_get(&f->conc, &item, CONC_FOREVER), "conc_queue_get");
        must(item != i, "a queue has lost an item");
    }
    *(struct figures *)result = ns_each(stop_clock(w), f->items);
    return 0;
}

static void put_or_get_all(void *arg, size_t index)
{
    struct flow *f = arg;
    for (uint64_t i = 0; i < f->items; i++) {
        if (index == 0)
            plain_queue_put(&f->plain, i);
        else
            must(plain_queue_get(&f->plain) != i, "a queue has lost an item");
    }
}

static struct figures flow(enum peer peer, const void *setup)
{
    struct flow f = {.capacity = *(const size_t *)setup, .items = amount(100000)};
    struct figures ret;
    if (peer == CONC) {
        must(conc_queue_init(&f.conc, sizeof(uint64_t), f.capacity, CONC_FIFO), "a queue");
        ret = in_task(get_all, &(struct flow *){&f}, sizeof(struct flow *));
        conc_queue_destroy(&f.conc);
    } else {
        int cores[MAX_THREADS];
        spread_cores(cores);
        must(plain_queue_init(&f.plain, f.capacity), "a queue");
        ret = ns_each(run_threads(2, put_or_get_all, &f, (int[]){cores[0], cores[0]}), f.items);
        plain_queue_destroy(&f.plain);
    }
    return ret;
}

/* ---- A generator ---- */

static int count(conc_generator *g, void *arg)
{
    uint64_t i = 0;
    while (conc_generator_yield(g, &i) == 0)
        i++;
    return 0;
}

static struct figures items(enum peer peer, const void *setup)
{
    const uint64_t n = amount(500000);
    conc_generator *g;
    uint64_t item = 0;
    must(conc_generator_new(&g, count, NULL, 0, sizeof item, NULL), "conc_generator_new");
    struct stopwatch w = start_clock();
    for (uint64_t i = 0; i < n; i++)
        must(conc_generator_next(g, &item, CONC_FOREVER) != 1 || item != i, "an item is missing");
    w = stop_clock(w);
    must(conc_generator_free(g), "conc_generator_free");
    return ns_each(w, n);
}

void bench_tasks(void)
{
    if (!section("tasks", "tasks and threads; a switch and swapcontext()"))
        return;
    bench_memory();
    compare("switch between two alike", "ns", LESS_IS_BETTER, switches,
            &(struct yielders_setup){2, true});
    compare("switch between two unlike", "ns", LESS_IS_BETTER, switches,
            &(struct yielders_setup){2, false});
    report("switch among 1,000 alike", "ns", switches,
           &(struct yielders_setup){YIELDERS_MAX, true});
    compare("spawn and join, one by one", "ns", LESS_IS_BETTER, spawn_and_join,
            &(struct crew_setup){1, 10000});
    compare("spawn and join, 1,000 at once", "ns", LESS_IS_BETTER, spawn_and_join,
            &(struct crew_setup){CREW_MAX, 10 * CREW_MAX});
    compare("queue of capacity 1, one core", "ns an item", LESS_IS_BETTER, flow, &(size_t){1});
    compare("queue of capacity 1024, one core", "ns an item", LESS_IS_BETTER, flow,
            &(size_t){1024});
    report("generator", "ns an item", items, NULL);
}
