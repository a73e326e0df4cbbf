/* SPDX-License-Identifier: MIT
 *
 * models.h: a job and the ways to run it, for models.c and for the comparison of them all.
 */
#ifndef EXAMPLES_MODELS_H
#define EXAMPLES_MODELS_H

#include <conc.h>

#include "support/http.h"

enum kind { CPU, IO, KINDS };
enum { SEQUENTIAL, THREADS, PROCESSES, TASKS, LOOP, MODELS };

enum { URLS_MAX = 8 };

/** What cpu_bound() works on: a ** b. */
struct power {
    unsigned long a, b;
};

/** What io_bound() works on. A value without pointers, since another process may run the job. */
struct pages {
    int64_t timeout; /* nanoseconds, of one request */
    size_t count;
    char urls[URLS_MAX][HTTP_URL_MAX];
};

/** What a job found, so that a wrong result shows: the digits of the number, or the bytes of all
 * pages; and these as one number, modulo the largest prime below 2 ** 32. */
struct outcome {
    uint64_t size;
    uint32_t checksum;
};

/** A job, and how often. Its result is a struct outcome. */
struct work {
    const char *name;
    conc_fn *fn;
    void *arg;
    size_t arg_size;
    size_t times;
    bool computes; /* holds a processor while it runs, and would hold a loop up */
};

/** A way to run it. */
struct model {
    const char *name;
    int (*run)(const struct work *work, struct outcome *results);
    const char *label;     /* with the chapter's name for it */
    double chapter[KINDS]; /* the seconds that the chapter measured */
};

extern const struct model models[MODELS];

/**
 * Run the work by a model, timed as by the chapter's @timeit().
 *
 * @param seconds  how long it took
 * @param ret      what each of the jobs found
 * @return 0; -EBADMSG: they did not find the same; or as the jobs
 */
int measure(const struct model *model, const struct work *work, double *seconds,
            struct outcome *ret);

/** Print what a job found, on a line. */
void print_outcome(const struct work *work, const struct outcome *outcome);

/* ---- compare.c ---- */

/** The seconds that each model took. */
struct times {
    double of[MODELS][KINDS];
};

/**
 * Run both works by all models, print the chapter's table with the times of this machine, and what
 * becomes of the chapter's rule.
 *
 * @param latency  of the server, in nanoseconds; below 0: not known
 * @param ret      gives the table
 * @return 0; -EBADMSG: two models had different results; as measure()
 */
int compare_models(const struct work works[KINDS], int64_t latency, struct times *ret);

/* ---- picture.c ---- */

/**
 * Draw the table, by gnuplot, into the files BASE.svg and BASE.png.
 *
 * @return 0; -ENOENT: there is no gnuplot; or why a file could not be written. With a message.
 */
int draw_picture(const struct times *times, const char *base);

/* ---- own_server.c ---- */

/** A demo server, as a child program. */
struct own_server {
    conc_subprocess *child;
    char url[HTTP_URL_MAX];
};

/**
 * Start it, on any free port. It ends with this program, however that ends.
 *
 * @param latency  nanoseconds
 * @return 0; an error, with a message
 */
int own_server_start(struct own_server *server, int64_t latency);

/** Stop it; an all-zero one too. */
void own_server_stop(struct own_server *server);

#endif
