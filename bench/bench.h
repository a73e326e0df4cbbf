/* SPDX-License-Identifier: MIT
 *
 * bench.h: how libconc is compared with its peer, the plain pthread version of the same thing.
 *
 * A measure does one round for one of the two and returns its figures. compare() runs rounds of
 * both by turns in the same process, and prints a line: medians, and the median of the rounds' own
 * ratios, which a machine that gets slower or faster meanwhile does not bend. The ratio is always
 * 'how many times better libconc is': 2 is twice as good, 0.5 half. What plain C has no counterpart
 * for is printed alone.
 */
#ifndef BENCH_H
#define BENCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum peer { CONC, PLAIN };
enum { PEERS = 2 };

/* What a round found. Fields that a measure does not set stay 0 and are not printed. */
struct figures {
    double value;    /* in the line's unit */
    double cores;    /* processor time over time */
    double fairness; /* operations of the slowest thread over those of the fastest */
};

typedef struct figures measure(enum peer peer, const void *setup);

enum better { LESS_IS_BETTER, MORE_IS_BETTER };

struct bench_options {
    bool quick;
    const char *only; /* NULL, or the one section to run */
};
extern struct bench_options options;

/* Take the program's options. `names`: of its sections, NULL after the last. Ends the program if
 * that is what was asked for, or something is wrong. */
void parse_options(int argc, char **argv, const char *about, const char *const names[]);

/* Not if --only names another section. */
bool is_wanted(const char *name);

/* Start a section of the table. Returns false if --only names another one. */
bool section(const char *name, const char *what);

void compare(const char *what, const char *unit, enum better better, measure *fn,
             const void *setup);

/* A line for what has no peer: fn is called for CONC only. */
void report(const char *what, const char *unit, measure *fn, const void *setup);

/* Such a line for a figure that was found otherwise. */
void print_value(const char *what, const char *unit, double value);

/* The number of operations, or milliseconds, of a round: the tenth of it with --quick. */
uint64_t amount(uint64_t full);

/* ---- For measures ---- */

/* Run fn in a child process, so that nothing that has been used here counts there; *ret, of `size`
 * bytes, is what it gave. */
void in_child(void (*fn)(const void *arg, void *ret), const void *arg, void *ret, size_t size);

enum { ROUNDS_MAX = 9, QUICK_ROUNDS = 3 };

/* Rounds of each measure. */
size_t rounds_wanted(void);

double median(const double *values, size_t n);

/* From start_clock() to stop_clock(): how long it took, and the processor time used by the whole
 * process. */
struct stopwatch {
    int64_t wall_ns, cpu_ns;
};
struct stopwatch start_clock(void);
struct stopwatch stop_clock(struct stopwatch start);
double cores_of(struct stopwatch took);

/* Around all measures of a program: end_run() says how much others have run meanwhile, so that the
 * reader knows how far to trust the figures, and returns what main() is to. */
struct run_watch {
    struct stopwatch clock;
    double others_seconds;
};
struct run_watch begin_run(void);
int end_run(struct run_watch watch);

/* Busy for about `ns` nanoseconds, without touching memory. */
void calibrate_work(void);
void work(double ns);

enum { MAX_THREADS = 16 };

/* Run body(arg, index) in n threads, all let go at once, and wait for them; the time from the first
 * one's start. Thread i is kept on core cores[i] if `cores` is given. */
struct stopwatch run_threads(size_t n, void (*body)(void *arg, size_t index), void *arg,
                             const int *cores);

/* Fill the array with cores that this process may use, each in its turn, over and over: to spread
 * threads evenly, so that two of them never share a core while another is idle. Returns how many
 * different ones there are. */
int spread_cores(int cores[MAX_THREADS]);

/* Keep the calling thread on a core, if the system lets us. */
void stay_on(int core);

/* End the program with a message if a call failed that cannot fail here. */
void must(int err, const char *what);

/* ---- The sections ---- */

void bench_locks(void);
void bench_queues(void);
void bench_waits(void);
void bench_executors(void);
void bench_tasks(void);
void bench_loops(void);

#endif
