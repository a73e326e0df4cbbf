/* SPDX-License-Identifier: MIT
 *
 * command.c: what the benchmark programs have in common around their tables: options, and how busy
 * others kept the machine meanwhile.
 */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "bench.h"

struct bench_options options;

/* ---- Options ---- */

bool is_wanted(const char *name) { return !options.only || !strcmp(options.only, name); }

static void print_help(const char *about, const char *const names[])
{
    printf("usage: %s [--quick] [--only SECTION]\n"
           "%s\n\n"
           "  --quick         a tenth of the work, fewer rounds: some seconds instead of a minute\n"
           "  --only SECTION  one of:",
           program_invocation_short_name, about);
    for (size_t i = 0; names[i]; i++)
        printf("%s %s", i ? "," : "", names[i]);
    printf("\n  --help          print this and end\n");
}

static bool is_among(const char *name, const char *const names[])
{
    for (size_t i = 0; names[i]; i++)
        if (!strcmp(name, names[i]))
            return true;
    return false;
}

void parse_options(int argc, char **argv, const char *about, const char *const names[])
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
            print_help(about, names);
            exit(EXIT_SUCCESS);
        default: /* getopt_long() has said what is wrong */
            exit(2);
        }
    if (optind < argc || (options.only && !is_among(options.only, names))) {
        fprintf(stderr, "%s: not expected: %s (try --help)\n", program_invocation_short_name,
                optind < argc ? argv[optind] : options.only);
        exit(2);
    }
}

/* ---- The machine ---- */

/* The processor time, in seconds, that all programs of this machine have used. */
static double machine_seconds(void)
{
    unsigned long long user = 0, nice = 0, system = 0, irq = 0, softirq = 0, steal = 0;
    FILE *stat = fopen("/proc/stat", "r");
    if (stat) {
        if (fscanf(stat, "cpu %llu %llu %llu %*u %*u %llu %llu %llu", &user, &nice, &system, &irq,
                   &softirq, &steal) != 6)
            user = nice = system = irq = softirq = steal = 0;
        fclose(stat);
    }
    return (double)(user + nice + system + irq + softirq + steal) / (double)sysconf(_SC_CLK_TCK);
}

static double seconds_of(struct timeval t) { return (double)t.tv_sec + (double)t.tv_usec / 1e6; }

/* Of this process, and of its children that have ended. */
static double own_seconds(void)
{
    double sum = 0;
    const int whose[] = {RUSAGE_SELF, RUSAGE_CHILDREN};
    for (size_t i = 0; i < 2; i++) {
        struct rusage used;
        must(getrusage(whose[i], &used), "getrusage");
        sum += seconds_of(used.ru_utime) + seconds_of(used.ru_stime);
    }
    return sum;
}

struct run_watch begin_run(void)
{
    struct run_watch watch = {start_clock(), machine_seconds() - own_seconds()};
    return watch;
}

int end_run(struct run_watch watch)
{
    double seconds = (double)stop_clock(watch.clock).wall_ns / 1e9;
    double others = (machine_seconds() - own_seconds() - watch.others_seconds) / seconds;
    printf("\n%.0f s in all. Other programs kept %.1f cores busy meanwhile%s\n", seconds,
           others > 0 ? others : 0, others > 0.3 ? ": measure again when they have ended." : ".");
    return fflush(stdout) == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
