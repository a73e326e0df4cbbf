/* SPDX-License-Identifier: MIT
 *
 * bench_net.c: echo servers of libconc's tasks compared with servers written by hand for io_uring
 * and for epoll, in the same run.
 *
 * Each round starts a server of each kind in turn, as a child process with one thread, and keeps it
 * busy from this process: messages of 64 bytes to and fro on each of some connections, or a new
 * connection for each. The table has the medians of the rounds; the ratio is the median of the
 * rounds' own ratios to the server by hand on the same system interface: above 1, libconc answers
 * more. With few connections the client and the kernel's waking of threads take most of the time;
 * what a server itself costs is its processor time for each message.
 *
 * Client and server are kept on a core each: where the kernel puts them would be more than the
 * servers differ by.
 */
#include <conc.h>
#include <conc/io.h>
#include <conc/net.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench.h"
#include "net.h"

static const struct {
    const char *name;
    const char *process; /* as top(1) shows it */
} kinds[SERVER_KINDS] = {
    [CONC_BY_URING] = {"libconc by io_uring", "conc-uring"},
    [RAW_URING] = {"io_uring by hand", "raw-uring"},
    [CONC_BY_EPOLL] = {"libconc by epoll", "conc-epoll"},
    [RAW_EPOLL] = {"epoll by hand", "raw-epoll"},
};

struct scene {
    const char *name;
    const char *what;
    const char *unit; /* of what is counted */
    struct load load;
    bool one_core; /* for client and server together */
};

static const struct scene scenes[] = {
    {"near", "1 connection, one core", "messages/s", {1, false}, true},
    {"one", "1 connection", "messages/s", {1, false}, false},
    {"some", "64 connections", "messages/s", {64, false}, false},
    {"many", "1,000 connections", "messages/s", {1000, false}, false},
    {"short", "a connection a message, 64 at a time", "connections/s", {64, true}, false},
};

enum { SCENES = sizeof scenes / sizeof *scenes };

/* ---- A server, and the client's load on it ---- */

/* Those that this process may use, before it keeps itself on the first of them. */
static int cores[MAX_THREADS];

static pid_t start_server(enum server_kind kind, const struct scene *scene, int listener, int core)
{
    fflush(NULL); /* or the child would print it again */
    pid_t child = fork();
    must(child < 0, "fork");
    if (child == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL); /* it is not to outlive us */
        prctl(PR_SET_NAME, kinds[kind].process);
        stay_on(core);
        serve(kind, listener, scene->load.once);
    }
    return child;
}

static void end_server(pid_t server)
{
    kill(server, SIGKILL);
    must(waitpid(server, NULL, 0) != server, "waitpid");
}

static struct load_figures measure_server(enum server_kind kind, const struct scene *scene)
{
    const int64_t length = options.quick ? CONC_MS(60) : CONC_MS(160);
    int listener = conc_tcp_listen("127.0.0.1", 0, 0);
    must(listener < 0 ? listener : 0, "conc_tcp_listen");
    uint16_t port = (uint16_t)conc_tcp_port(listener);
    pid_t server = start_server(kind, scene, listener, cores[scene->one_core ? 0 : 1]);
    clockid_t clock;
    must(clock_getcpuclockid(server, &clock), "clock_getcpuclockid");
    conc_close(listener);
    struct load_figures figures = run_load(port, &scene->load, length, clock);
    end_server(server);
    return figures;
}

/* ---- Rounds ---- */

static double median_of(const struct load_figures *rounds, size_t n, size_t field)
{
    double values[ROUNDS_MAX] = {0};
    for (size_t i = 0; i < n; i++)
        values[i] = *(const double *)(const void *)((const char *)&rounds[i] + field);
    return median(values, n);
}

static double median_ratio(const struct load_figures *rounds, const struct load_figures *peers,
                           size_t n)
{
    double ratios[ROUNDS_MAX];
    for (size_t i = 0; i < n; i++)
        ratios[i] = rounds[i].per_second / peers[i].per_second;
    return median(ratios, n);
}

static void print_kind(struct load_figures rounds[SERVER_KINDS][ROUNDS_MAX], enum server_kind kind,
                       size_t n)
{
    const struct load_figures *own = rounds[kind];
    printf("  %-22s %13.0f", kinds[kind].name,
           median_of(own, n, offsetof(struct load_figures, per_second)));
    if (kind == CONC_BY_URING || kind == CONC_BY_EPOLL)
        printf(" %6.2f", median_ratio(own, rounds[kind + 1], n));
    else
        printf(" %6s", "");
    printf(" %8.1f %8.1f %10.2f\n", median_of(own, n, offsetof(struct load_figures, p50_us)),
           median_of(own, n, offsetof(struct load_figures, p99_us)),
           median_of(own, n, offsetof(struct load_figures, server_us)));
}

static void run_scene(const struct scene *scene, const bool can[SERVER_KINDS])
{
    struct load_figures rounds[SERVER_KINDS][ROUNDS_MAX];
    const size_t n = rounds_wanted();
    for (size_t i = 0; i < n; i++)
        for (size_t k = 0; k < SERVER_KINDS; k++) {
            size_t kind = (i + k) % SERVER_KINDS; /* none always goes first */
            if (can[kind])
                rounds[kind][i] = measure_server(kind, scene);
        }
    printf("\n%s: %s\n", scene->name, scene->what);
    printf("  %-22s %13s %6s %8s %8s %10s\n", "", scene->unit, "ratio", "p50 us", "p99 us",
           "server us");
    for (size_t kind = 0; kind < SERVER_KINDS; kind++)
        if (can[kind])
            print_kind(rounds, kind, n);
    fflush(stdout);
}

/* ---- The program ---- */

static void raise_descriptor_limit(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit); /* refused: then a connection will say so */
    }
}

int main(int argc, char **argv)
{
    const char *names[SCENES + 1] = {NULL};
    for (size_t i = 0; i < SCENES; i++)
        names[i] = scenes[i].name;
    parse_options(argc, argv, "Compare echo servers by libconc with servers written by hand.",
                  names);
    raise_descriptor_limit();
    bool can[SERVER_KINDS];
    for (size_t i = 0; i < SERVER_KINDS; i++)
        can[i] = can_serve(i);
    printf(
        "libconc %s, %ld cores. TCP, messages of %d bytes; server us: processor time of the server "
        "for each.\n",
        conc_version(), sysconf(_SC_NPROCESSORS_ONLN), MESSAGE_SIZE);
    if (!can[RAW_URING])
        printf("This system has no io_uring.\n");
    spread_cores(cores);
    stay_on(cores[0]);
    struct run_watch watch = begin_run();
    for (size_t i = 0; i < SCENES; i++)
        if (is_wanted(scenes[i].name))
            run_scene(&scenes[i], can);
    return end_run(watch);
}
