/* SPDX-License-Identifier: MIT
 *
 * bench_core.c: libconc's primitives, tasks and loops compared with the plain C version of each, in
 * the same run.
 *
 * See bench.h for how to read the figures. On a busy or virtual machine differences below about 15
 * % mean nothing.
 */
#include <conc.h>
#include <stdio.h>
#include <unistd.h>

#include "bench.h"

static const struct {
    const char *name;
    void (*run)(void);
} sections[] = {
    {"locks", bench_locks},         {"queues", bench_queues}, {"waits", bench_waits},
    {"executors", bench_executors}, {"tasks", bench_tasks},   {"loops", bench_loops},
};

enum { SECTIONS = sizeof sections / sizeof *sections };

static void do_nothing(void *arg, size_t index) {}

/* In a process that never had a second thread glibc leaves out the atomics, in malloc() too: then
 * what is measured would depend on what was measured before. */
static void have_had_threads(void) { run_threads(1, do_nothing, NULL, NULL); }

int main(int argc, char **argv)
{
    const char *names[SECTIONS + 1] = {NULL};
    for (size_t i = 0; i < SECTIONS; i++)
        names[i] = sections[i].name;
    parse_options(argc, argv, "Compare libconc with plain C versions of the same.", names);
    calibrate_work();
    have_had_threads();
    printf("libconc %s, %ld cores. Medians of rounds by turns; ratio: how many times better "
           "libconc is.\n",
           conc_version(), sysconf(_SC_NPROCESSORS_ONLN));
    struct run_watch watch = begin_run();
    for (size_t i = 0; i < SECTIONS; i++)
        sections[i].run();
    return end_run(watch);
}
