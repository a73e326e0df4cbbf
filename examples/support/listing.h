/* SPDX-License-Identifier: MIT
 *
 * listing.h: what the programs after the chapters' short listings share: a command line without
 * operands, and the end of main(); for those that wait, the length of a 'second', so that nobody
 * has to wait ten real ones, and time.sleep(); for those that wait at random, random.randint().
 */
#ifndef EXAMPLES_LISTING_H
#define EXAMPLES_LISTING_H

#include <conc.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "support/options.h"
#include "support/report.h"

/** The command line of a program that has options (NULL: none but --help) and no operands. */
static inline void parse_options(int argc, char **argv, const char *about,
                                 const struct option_spec *options)
{
    options_parse(argc, argv, &(struct program){.about = about, .options = options});
}

/** A program's exit status: EXIT_FAILURE, and a line on stderr, if `err` is an error just returned
 * or stdout could not be written. */
static inline int exit_status(int err)
{
    struct failures failures = {0};
    failures_add(&failures, err);
    return failures_report(&failures);
}

/* ---- For the listings that wait ---- */

/* A tenth of a real second, unless the program has defined it before it includes this. */
#ifndef A_SECOND_IN_MS
#define A_SECOND_IN_MS 100
#endif
#define A_SECOND_TEXT_OF(ms) #ms
#define A_SECOND_TEXT(ms) A_SECOND_TEXT_OF(ms)

static int64_t a_second = CONC_MS(A_SECOND_IN_MS);
static int64_t seed = -1;

#define OPTION_ROW_UNIT                                                                      \
    {                                                                                        \
        .name = "unit", .kind = OPTION_MILLIS, .value = &a_second, .meta = "MS", .min = 0.1, \
        .max = 60000,                                                                        \
        .help = "how long a second lasts here, in milliseconds (default: " A_SECOND_TEXT(    \
            A_SECOND_IN_MS) ")"                                                              \
    }
#define OPTION_ROW_SEED                                                                     \
    {                                                                                       \
        .name = "seed", .kind = OPTION_INTEGER, .value = &seed, .meta = "N", .min = 0,      \
        .max = 1e15, .help = "begin the random numbers there (default: at the time of day)" \
    }

/** So many of the program's own seconds, in nanoseconds. */
static inline int64_t seconds(double n) { return (int64_t)(n * (double)a_second); }

/** Since conc_now() was `start_time`, in the program's own seconds. */
static inline double seconds_elapsed(int64_t start_time)
{
    return (double)(conc_now() - start_time) / (double)a_second;
}

/** As Python's time.sleep(): a system call that knows of no loop, nor of cancellation. It stops the
 * whole thread, whatever else runs on it. */
static inline void time_sleep(double n)
{
    struct timespec left = {.tv_sec = seconds(n) / CONC_S(1), .tv_nsec = seconds(n) % CONC_S(1)};
    while (nanosleep(&left, &left) != 0 && errno == EINTR)
        ;
}

/** As Python's random.randint(): both ends are possible, and any thread may call it. */
static inline int randint(int low, int high)
{
    static conc_lock lock = CONC_LOCK_INIT;
    static uint64_t state;
    uint64_t x = 0;

    conc_with_lock (&lock) {
        if (state == 0)
            state = (uint64_t)(seed < 0 ? conc_now() : seed) + 1;
        state += 0x9e3779b97f4a7c15; /* splitmix64, by Steele, Lea and Flood */
        x = state;
    }
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9;
    x = (x ^ (x >> 27)) * 0x94d049bb133111eb;
    x ^= x >> 31;
    return low + (int)(x % (uint64_t)(high - low + 1));
}

#endif
