/* SPDX-License-Identifier: MIT
 *
 * bench_core.c: libconc's primitives compared with the plain pthread version of each, in the same
 * run.
 *
 * See bench.h for how to read the figures. On a busy or virtual machine differences below about 15
 * % mean nothing.
 */
#include <conc.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bench.h"

static const struct {
    const char *name;
    void (*run)(void);
} sections[] = {
    {"locks", bench_locks},
    {"queues", bench_queues},
    {"waits", bench_waits},
    {"executors", bench_executors},
};

enum { SECTIONS = sizeof sections / sizeof *sections };

static void print_help(void)
{
    printf("usage: bench_core [--quick] [--only SECTION]\n"
           "Compare libconc with plain pthread versions of the same.\n\n"
           "  --quick         a tenth of the work, fewer rounds: some seconds instead of a minute\n"
           "  --only SECTION  one of: locks, queues, waits, executors\n"
           "  --help          print this and end\n");
}

static bool is_section(const char *name)
{
    for (size_t i = 0; i < SECTIONS; i++)
        if (strcmp(sections[i].name, name) == 0)
            return true;
    return false;
}

static void parse_options(int argc, char **argv)
{
    static const struct option table[] = {
        {"quick", no_argument, NULL, 'q'},
        {"only", required_argument, NULL, 'o'},
        {"help", no_argument, NULL, 'h'},
        {NULL, 0, NULL, 0},
    };
    int option;
    while ((option = getopt_long(argc, argv, "", table, NULL)) != -1)
        switch (option) {
        case 'q':
            options.quick = true;
            break;
        case 'o':
            options.only = optarg;
            break;
        case 'h':
            print_help();
            exit(EXIT_SUCCESS);
        default: /* getopt_long() has said what is wrong */
            exit(2);
        }
    if (optind < argc || (options.only != NULL && !is_section(options.only))) {
        fprintf(stderr, "bench_core: not expected: %s (try --help)\n",
                optind < argc ? argv[optind] : options.only);
        exit(2);
    }
}

/* The processor time, in seconds, that all programs of this machine have used. */
static double machine_seconds(void)
{
    unsigned long long user = 0, nice = 0, system = 0, irq = 0, softirq = 0, steal = 0;
    FILE *stat = fopen("/proc/stat", "r");
    if (stat != NULL) {
        if (fscanf(stat, "cpu %llu %llu %llu %*u %*u %llu %llu %llu", &user, &nice, &system, &irq,
                   &softirq, &steal) != 6)
            user = nice = system = irq = softirq = steal = 0;
        fclose(stat);
    }
    return (double)(user + nice + system + irq + softirq + steal) / (double)sysconf(_SC_CLK_TCK);
}

/* How much others have run meanwhile, so that the reader knows how far to trust the figures. */
static void print_end(struct stopwatch took, double all_seconds)
{
    double seconds = (double)took.wall_ns / 1e9;
    double others = (all_seconds - (double)took.cpu_ns / 1e9) / seconds;
    printf("\n%.0f s in all. Other programs kept %.1f cores busy meanwhile%s\n", seconds,
           others > 0 ? others : 0, others > 0.3 ? ": measure again when they have ended." : ".");
}

int main(int argc, char **argv)
{
    parse_options(argc, argv);
    calibrate_work();
    printf("libconc %s, %ld cores. Medians of rounds by turns; ratio: how many times better "
           "libconc is.\n",
           conc_version(), sysconf(_SC_NPROCESSORS_ONLN));
    struct stopwatch watch = start_clock();
    double all_seconds = machine_seconds();
    for (size_t i = 0; i < SECTIONS; i++)
        sections[i].run();
    print_end(stop_clock(watch), machine_seconds() - all_seconds);
    return fflush(stdout) == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
