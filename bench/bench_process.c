/* SPDX-License-Identifier: MIT
 *
 * bench_process.c: pools of processes: conc_process_pool and CPython's ProcessPoolExecutor
 * (peer_process.py, a child program), by turns in the same run.
 *
 * A pool of two workers on both sides, made before. The jobs do the same: add one to a number, give
 * a megabyte that they have, look at a megabyte that they get, keep a core busy. In libconc the
 * megabyte is a conc_bytes: the result can be had as a copy of one's own, or be borrowed where it
 * lies. Python's is a bytes object.
 *
 * See bench.h for how to read the figures; what is PLAIN there is CPython here. Without python3 the
 * libconc column stands alone.
 *
 * All is done in a child whose orphans we wait for: so the processor time of the workers counts as
 * ours, and what is said of other programs at the end is true.
 */
#include <conc.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <conc/bytes.h>
#include <conc/process.h>
#include <conc/process_pool.h>
#include <conc/stream.h>
#include <conc/subprocess.h>

#include "bench.h"

enum { LARGE = 1 << 20, IN_FLIGHT = 8, FAN = 10000, CPU_JOBS = 8 };

#define CPU_JOB_NS 20e6
#define PYTHON_TURNS 1000000 /* about as long */

static conc_executor *one, *two; /* pools, of so many workers */

/* ---- Jobs ---- */

static int add_one(void *arg, void *result)
{
    *(uint64_t *)result = *(uint64_t *)arg + 1;
    return 0;
}

/* The bytes that a worker has. */
static const char *large(void)
{
    static char *bytes;
    if (!bytes && (bytes = malloc(LARGE)))
        memset(bytes, 'x', LARGE);
    return bytes;
}

static int give_large(void *arg, void *result)
{
    return large() ? conc_bytes_copy(result, large(), LARGE) : -ENOMEM;
}

static int take_large(void *arg, void *result)
{
    const conc_bytes *bytes = arg;
    *(uint64_t *)result = bytes->size;
    return 0;
}

static int keep_busy(void *arg, void *result)
{
    work(*(double *)arg);
    return 0;
}

/* ---- Measures of libconc: `n` times ---- */

static void check(bool right) { must(!right, "a job's result is wrong"); }

static conc_future *submit_number(uint64_t i)
{
    return conc_submit(two, add_one, &i, sizeof i, sizeof i);
}

static void check_number(conc_future *f, uint64_t i)
{
    uint64_t answer = 0;
    must(conc_future_result(f, &answer, CONC_FOREVER), "conc_future_result");
    check(answer == i + 1);
    conc_future_unref(f);
}

static void round_trip(uint64_t n)
{
    for (uint64_t i = 0; i < n; i++)
        check_number(submit_number(i), i);
}

static void fan_out(uint64_t n)
{
    static conc_future *futures[FAN];
    for (uint64_t i = 0; i < n; i++)
        futures[i] = submit_number(i);
    for (uint64_t i = 0; i < n; i++)
        check_number(futures[i], i);
}

static conc_future *submit_giving(void)
{
    return conc_submit(two, give_large, NULL, 0, CONC_BYTES);
}

static void check_large(const conc_bytes *bytes)
{
    const char *p = bytes->data;
    check(bytes->size == LARGE && p[0] == 'x' && p[LARGE - 1] == 'x');
}

static void take_copy(conc_future *f)
{
    conc_bytes bytes;
    must(conc_future_result(f, &bytes, CONC_FOREVER), "conc_future_result");
    check_large(&bytes);
    conc_bytes_free(&bytes);
    conc_future_unref(f);
}

static void borrow(conc_future *f)
{
    must(conc_future_result(f, NULL, CONC_FOREVER), "conc_future_result");
    check_large(conc_future_value(f));
    conc_future_unref(f);
}

static void results_copied(uint64_t n)
{
    for (uint64_t i = 0; i < n; i++)
        take_copy(submit_giving());
}

static void results_borrowed(uint64_t n)
{
    for (uint64_t i = 0; i < n; i++)
        borrow(submit_giving());
}

static void in_flight(uint64_t n, void (*take)(conc_future *f))
{
    conc_future *flight[IN_FLIGHT];
    for (uint64_t i = 0; i < n + IN_FLIGHT; i++) {
        if (i >= IN_FLIGHT && i - IN_FLIGHT < n)
            take(flight[i % IN_FLIGHT]);
        if (i < n)
            flight[i % IN_FLIGHT] = submit_giving();
    }
}

static void many_copied(uint64_t n) { in_flight(n, take_copy); }
static void many_borrowed(uint64_t n) { in_flight(n, borrow); }

static void arguments(uint64_t n)
{
    const conc_bytes bytes = {(void *)(uintptr_t)large(), LARGE};
    for (uint64_t i = 0; i < n; i++) {
        uint64_t size = 0;
        must(conc_call(two, take_large, &bytes, CONC_BYTES, &size, sizeof size, CONC_FOREVER),
             "conc_call");
        check(size == LARGE);
    }
}

static void run_busy(conc_executor *pool)
{
    double ns[CPU_JOBS];
    for (size_t i = 0; i < CPU_JOBS; i++)
        ns[i] = CPU_JOB_NS;
    must(conc_map(pool, keep_busy, ns, CPU_JOBS, sizeof *ns, NULL, 0, NULL, CONC_FOREVER),
         "conc_map");
}

static void busy_one(uint64_t n) { run_busy(one); }
static void busy_two(uint64_t n) { run_busy(two); }

/* ---- The peer ---- */

static struct {
    conc_subprocess *child; /* NULL: there is none */
    conc_stream *to, *from;
} python;

/* "ready 3.11.7": its first line. */
static bool read_greeting(char *version, size_t size)
{
    char *line;
    if (conc_stream_read_line(python.from, &line, conc_in(CONC_S(60))) <= 0 ||
        strncmp(line, "ready ", 6) != 0)
        return false;
    snprintf(version, size, "%.*s", (int)strcspn(line + 6, "\n"), line + 6);
    return true;
}

static void start_peer(void)
{
    const char *const argv[] = {"python3", PEER_PROGRAM, NULL};
    const conc_subprocess_options streams = {.in = CONC_SUBPROCESS_PIPE,
                                             .out = CONC_SUBPROCESS_PIPE};
    char version[32];
    int err = conc_subprocess_start(&python.child, argv, &streams);
    if (err) {
        printf("Without CPython's column: %s.\n", conc_error_message());
        return;
    }
    must(conc_stream_new(&python.to, conc_subprocess_take_fd(python.child, 0), NULL), "a stream");
    must(conc_stream_new(&python.from, conc_subprocess_take_fd(python.child, 1), NULL), "a stream");
    if (read_greeting(version, sizeof version)) {
        printf("CPython %s.\n", version);
        return;
    }
    printf("Without CPython's column: its program does not start.\n");
    conc_subprocess_free(python.child);
    python.child = NULL;
}

static void end_peer(void)
{
    int status = 0;
    if (!python.child)
        return;
    must(conc_stream_close(python.to, CONC_FOREVER), "a pipe to python3");
    must(conc_subprocess_join(python.child, conc_in(CONC_S(60))), "python3's end");
    must(conc_subprocess_exitcode(python.child, &status), "python3's end");
    must(status, "python3");
    conc_stream_abort(python.from);
    conc_subprocess_free(python.child);
}

/* Seconds. */
static double ask_peer(const char *name, uint64_t n)
{
    char *line;
    conc_stream_printf(python.to, CONC_FOREVER, "%s %llu\n", name, (unsigned long long)n);
    must(conc_stream_flush(python.to, CONC_FOREVER), "a pipe to python3");
    must(conc_stream_read_line(python.from, &line, CONC_FOREVER) <= 0, "python3 has failed");
    return strtod(line, NULL);
}

/* ---- The table ---- */

enum unit { US_EACH, K_JOBS_PER_S, MB_PER_S };

struct row {
    const char *section;
    const char *what;
    enum unit unit;
    void (*fn)(uint64_t n);
    const char *python; /* the same in peer_process.py */
    uint64_t times[PEERS];
};

static const struct row rows[] = {
    {"small", "one job and its result", US_EACH, round_trip, "round_trip", {5000, 500}},
    {"small", "10,000 jobs, then their results", K_JOBS_PER_S, fan_out, "fan_out", {FAN, FAN}},
    {"large", "a 1 MB result, copied", US_EACH, results_copied, "result", {300, 60}},
    {"large", "a 1 MB result, borrowed", US_EACH, results_borrowed, "result", {300, 60}},
    {"large", "1 MB results, 8 at once, copied", MB_PER_S, many_copied, "results", {300, 80}},
    {"large", "1 MB results, 8 at once, borrowed", MB_PER_S, many_borrowed, "results", {300, 80}},
    {"large", "a 1 MB argument", US_EACH, arguments, "argument", {300, 60}},
};

static const char *const unit_names[] = {"us", "k jobs/s", "MB/s"};

static double seconds_of(enum peer peer, void (*fn)(uint64_t n), const char *name, uint64_t n)
{
    if (peer == PLAIN)
        return ask_peer(name, n);
    struct stopwatch w = start_clock();
    fn(n);
    return (double)stop_clock(w).wall_ns / 1e9;
}

static struct figures measure_row(enum peer peer, const void *setup)
{
    const struct row *row = setup;
    const uint64_t n = amount(row->times[peer]);
    const double seconds = seconds_of(peer, row->fn, row->python, n);
    if (row->unit == US_EACH)
        return (struct figures){.value = seconds * 1e6 / (double)n};
    return (struct figures){.value = (double)n / seconds / (row->unit == MB_PER_S ? 1 : 1e3)};
}

/* How many times as fast are two workers as one? */
static struct figures measure_speedup(enum peer peer, const void *setup)
{
    double by_one = seconds_of(peer, busy_one, "cpu_one", PYTHON_TURNS);
    return (struct figures){.value = by_one / seconds_of(peer, busy_two, "cpu_two", PYTHON_TURNS)};
}

static void print_line(const char *what, const char *unit, enum better better, measure *fn,
                       const void *setup)
{
    if (python.child)
        compare(what, unit, better, fn, setup);
    else
        report(what, unit, fn, setup);
}

static void begin_section(const char *name, const char *what)
{
    printf("\n%s: %s\n  %-44s %10s", name, what, "", "libconc");
    printf(python.child ? " %10s %6s\n" : "\n", "CPython", "ratio");
}

static const char *const names[] = {"small", "large", "busy", NULL};
static const char *const abouts[] = {"jobs of 8 bytes", "arguments and results of 1 MB",
                                     "jobs that keep a core busy for 20 ms"};

static void run_section(size_t s)
{
    if (!is_wanted(names[s]))
        return;
    begin_section(names[s], abouts[s]);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (!strcmp(rows[i].section, names[s]))
            print_line(rows[i].what, unit_names[rows[i].unit],
                       rows[i].unit == US_EACH ? LESS_IS_BETTER : MORE_IS_BETTER, measure_row,
                       &rows[i]);
    if (!strcmp(names[s], "busy"))
        print_line("two workers are faster than one", "times", MORE_IS_BETTER, measure_speedup,
                   NULL);
}

static int run_all(void)
{
    must(conc_process_prepare(),
         "conc_process_prepare"); /* the workers know calibrate_work()'s result */
    start_peer();
    must(conc_process_pool_new(&one, 1, NULL), "conc_process_pool_new");
    must(conc_process_pool_new(&two, 2, NULL), "conc_process_pool_new");
    run_busy(one);
    run_busy(two);
    for (size_t s = 0; names[s]; s++)
        run_section(s);
    conc_executor_free(one);
    conc_executor_free(two);
    end_peer();
    return fflush(stdout) == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

int main(int argc, char **argv)
{
    parse_options(argc, argv, "Compare pools of processes with CPython's ProcessPoolExecutor.",
                  names);
    calibrate_work();
    printf("libconc %s, %ld cores, pools of two processes. Medians of rounds by turns; ratio: how "
           "many times better\nlibconc is. ",
           conc_version(), sysconf(_SC_NPROCESSORS_ONLN));
    fflush(stdout);
    struct run_watch watch = begin_run();
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    pid_t child = fork();
    must(child < 0, "fork");
    if (child == 0)
        exit(run_all());
    int status, result = EXIT_FAILURE;
    for (pid_t pid; (pid = wait(&status)) > 0 || errno == EINTR;)
        if (pid == child)
            result = status ? EXIT_FAILURE : EXIT_SUCCESS;
    return result ? result : end_run(watch);
}
