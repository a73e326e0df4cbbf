/* SPDX-License-Identifier: MIT
 *
 * harness.c: rounds by turns, medians, the table; threads that start together; work of a known
 * length.
 */
#include "bench.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

void must(int err, const char *what)
{
    if (!err)
        return;
    fprintf(stderr, "%s: %s: error %d\n", program_invocation_short_name, what, err);
    exit(EXIT_FAILURE);
}

uint64_t amount(uint64_t full) { return options.quick ? (full + 9) / 10 : full; }

size_t rounds_wanted(void) { return options.quick ? QUICK_ROUNDS : ROUNDS_MAX; }

/* ---- The table ---- */

bool section(const char *name, const char *what)
{
    if (!is_wanted(name))
        return false;
    printf("\n%s: %s\n", name, what);
    printf("  %-44s %10s %10s %6s   %s\n", "", "libconc", "plain", "ratio", "libconc/plain");
    return true;
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

double median(const double *values, size_t n)
{
    double sorted[ROUNDS_MAX];
    memcpy(sorted, values, n * sizeof *values);
    qsort(sorted, n, sizeof *sorted, by_value);
    return n % 2 ? sorted[n / 2] : (sorted[n / 2 - 1] + sorted[n / 2]) / 2;
}

/* The medians of one field of the rounds' figures. */
static void medians(struct figures rounds[PEERS][ROUNDS_MAX], size_t n, size_t field,
                    double ret[PEERS])
{
    for (int peer = 0; peer < PEERS; peer++) {
        double values[ROUNDS_MAX] = {0};
        for (size_t i = 0; i < n; i++)
            memcpy(&values[i], (const char *)&rounds[peer][i] + field, sizeof values[i]);
        ret[peer] = median(values, n);
    }
}

static void print_extras(struct figures rounds[PEERS][ROUNDS_MAX], size_t n)
{
    double m[PEERS];
    medians(rounds, n, offsetof(struct figures, cores), m);
    if (m[CONC] > 0)
        printf("  cores %.1f/%.1f", m[CONC], m[PLAIN]);
    medians(rounds, n, offsetof(struct figures, fairness), m);
    if (m[CONC] > 0)
        printf("  fairness %.2f/%.2f", m[CONC], m[PLAIN]);
}

static void print_label(const char *what, const char *unit)
{
    char label[64];
    snprintf(label, sizeof label, "%s, %s", what, unit);
    printf("  %-44s", label);
}

void compare(const char *what, const char *unit, enum better better, measure *fn, const void *setup)
{
    struct figures rounds[PEERS][ROUNDS_MAX];
    double ratios[ROUNDS_MAX], m[PEERS];
    size_t n = rounds_wanted();
    for (size_t i = 0; i < n; i++) {
        /* A B, then B A: neither always goes first. */
        enum peer first = i % 2 ? PLAIN : CONC, second = i % 2 ? CONC : PLAIN;
        rounds[first][i] = fn(first, setup);
        rounds[second][i] = fn(second, setup);
        double ratio = rounds[CONC][i].value / rounds[PLAIN][i].value;
        ratios[i] = better == MORE_IS_BETTER ? ratio : 1 / ratio;
    }
    medians(rounds, n, offsetof(struct figures, value), m);
    print_label(what, unit);
    printf(" %10.1f %10.1f %6.2f ", m[CONC], m[PLAIN], median(ratios, n));
    print_extras(rounds, n);
    printf("\n");
    fflush(stdout);
}

void print_value(const char *what, const char *unit, double value)
{
    print_label(what, unit);
    printf(" %10.1f\n", value);
    fflush(stdout);
}

void report(const char *what, const char *unit, measure *fn, const void *setup)
{
    double values[ROUNDS_MAX] = {0};
    size_t n = rounds_wanted();
    for (size_t i = 0; i < n; i++)
        values[i] = fn(CONC, setup).value;
    print_value(what, unit, median(values, n));
}

/* ---- Time ---- */

static int64_t clock_ns(clockid_t id)
{
    struct timespec t;
    clock_gettime(id, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

struct stopwatch start_clock(void)
{
    struct stopwatch w = {clock_ns(CLOCK_MONOTONIC), clock_ns(CLOCK_PROCESS_CPUTIME_ID)};
    return w;
}

struct stopwatch stop_clock(struct stopwatch start)
{
    struct stopwatch now = start_clock();
    now.wall_ns -= start.wall_ns;
    now.cpu_ns -= start.cpu_ns;
    return now;
}

double cores_of(struct stopwatch took)
{
    return took.wall_ns > 0 ? (double)took.cpu_ns / (double)took.wall_ns : 0;
}

/* ---- Work ---- */

static double turns_per_ns = 1;

static inline void turn(uint64_t turns)
{
    for (uint64_t x = 1; turns > 0; turns--) {
        x = x * 3 + 1;
        __asm__ volatile(""
                         : "+r"(x)); /* each turn needs the one before it: none can be left out */
    }
}

void calibrate_work(void)
{
    enum { TURNS = 2000000, TRIES = 5 };
    for (int i = 0; i < TRIES; i++) {
        struct stopwatch w = start_clock();
        turn(TURNS);
        w = stop_clock(w);
        double speed = TURNS / (double)(w.wall_ns + 1);
        if (i == 0 || speed > turns_per_ns)
            turns_per_ns = speed; /* the fastest try: the others were disturbed */
    }
}

void work(double ns) { turn((uint64_t)(ns * turns_per_ns)); }

/* ---- Processes ---- */

void in_child(void (*fn)(const void *arg, void *ret), const void *arg, void *ret, size_t size)
{
    int ends[2], status;
    must(pipe(ends), "pipe");
    fflush(NULL); /* or the child would print it again */
    pid_t child = fork();
    must(child < 0, "fork");
    if (child == 0) {
        fn(arg, ret);
        _exit(write(ends[1], ret, size) == (ssize_t)size ? EXIT_SUCCESS : EXIT_FAILURE);
    }
    close(ends[1]);
    must(read(ends[0], ret, size) != (ssize_t)size, "a child process has failed");
    close(ends[0]);
    must(waitpid(child, &status, 0) != child || status, "a child process has failed");
}

/* ---- Threads ---- */

void stay_on(int core)
{
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(core, &set);
    pthread_setaffinity_np(pthread_self(), sizeof set, &set); /* refused: then it runs anywhere */
}

struct crew {
    pthread_barrier_t start, end;
    void (*body)(void *arg, size_t index);
    void *arg;
};

struct hand {
    struct crew *crew;
    size_t index;
    int core; /* -1: any */
    pthread_t thread;
};

static void *hand_main(void *arg)
{
    struct hand *hand = arg;
    if (hand->core >= 0)
        stay_on(hand->core);
    pthread_barrier_wait(&hand->crew->start);
    hand->crew->body(hand->crew->arg, hand->index);
    pthread_barrier_wait(&hand->crew->end);
    return NULL;
}

struct stopwatch run_threads(size_t n, void (*body)(void *arg, size_t index), void *arg,
                             const int *cores)
{
    struct crew crew = {.body = body, .arg = arg};
    struct hand hands[MAX_THREADS];
    must(pthread_barrier_init(&crew.start, NULL, (unsigned)n + 1), "pthread_barrier_init");
    must(pthread_barrier_init(&crew.end, NULL, (unsigned)n + 1), "pthread_barrier_init");
    for (size_t i = 0; i < n; i++) {
        hands[i] = (struct hand){.crew = &crew, .index = i, .core = cores ? cores[i] : -1};
        must(pthread_create(&hands[i].thread, NULL, hand_main, &hands[i]), "pthread_create");
    }
    struct stopwatch watch = start_clock();
    pthread_barrier_wait(&crew.start);
    pthread_barrier_wait(&crew.end);
    watch = stop_clock(watch);
    for (size_t i = 0; i < n; i++)
        pthread_join(hands[i].thread, NULL);
    pthread_barrier_destroy(&crew.start);
    pthread_barrier_destroy(&crew.end);
    return watch;
}

int spread_cores(int cores[MAX_THREADS])
{
    cpu_set_t set;
    int found = 0;
    must(sched_getaffinity(0, sizeof set, &set), "sched_getaffinity");
    for (int i = 0; i < CPU_SETSIZE && found < MAX_THREADS; i++)
        if (CPU_ISSET(i, &set))
            cores[found++] = i;
    for (int i = found; i < MAX_THREADS; i++)
        cores[i] = cores[i - found];
    return found;
}
