/* SPDX-License-Identifier: MIT
 *
 * compare.c: the chapter's table with the times of this machine, and its section 'Making the Right
 * Choice' held against them.
 *
 * What is printed about the rule follows from the figures alone: which model was fastest, which
 * ones were level with it, and whether that is the one that the rule names. The same is done with
 * the chapter's own figures.
 */
#include <inttypes.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>

#include "models/models.h"

enum { LABEL = 16, CELL = 17 }; /* the table's columns */
enum { CPU_RUNS = 3 }; /* of which the best counts: with a few milliseconds much is chance */

/* A model that takes up to 15 % longer than the fastest is level with it: in the next run it may be
 * the faster one. */
static const double LEVEL = 1.15;

static const struct rule {
    enum kind kind;
    int names; /* the model */
    const char *text;
} RULES[] = {
    {CPU, PROCESSES, "CPU-bound -> multiprocessing"},
    {IO, THREADS, "I/O-bound, fast I/O, limited number of connections -> multithreading"},
    {IO, LOOP, "I/O-bound, slow I/O, many connections -> asyncio"},
};

/* ---- Measuring ---- */

static int measure_best(const struct model *model, const struct work *work, double *seconds,
                        struct outcome *outcome)
{
    int err = measure(model, work, seconds, outcome);
    for (int run = 1; run < (work->computes ? CPU_RUNS : 1) && !err; run++) {
        double again;
        err = measure(model, work, &again, outcome);
        if (!err && again < *seconds)
            *seconds = again;
    }
    return err;
}

static void print_cell(double seconds, double sequential)
{
    const double ratio = sequential / seconds;
    char text[32];
    snprintf(text, sizeof text, "(%.*f)", ratio < 99.95 ? 1 : 0, ratio);
    printf("%9.3g%*s", seconds, CELL - 9, text);
}

/* Measure a model and print its row; `outcomes` are what the first model found. */
static int compare_model(int i, const struct work works[KINDS], struct outcome outcomes[KINDS],
                         struct times *times)
{
    const struct model *model = &models[i];
    for (enum kind kind = CPU; kind < KINDS; kind++) {
        struct outcome found;
        int err = measure_best(model, &works[kind], &times->of[i][kind], &found);
        if (err)
            return err;
        if (i == SEQUENTIAL)
            outcomes[kind] = found;
        if (found.size != outcomes[kind].size || found.checksum != outcomes[kind].checksum)
            return conc_raise(-EBADMSG, "%s, %s: another result than that of the sequential one",
                              works[kind].name, model->name);
    }
    printf("%-*s", LABEL, model->label);
    for (enum kind kind = CPU; kind < KINDS; kind++) {
        print_cell(times->of[i][kind], times->of[SEQUENTIAL][kind]);
        print_cell(model->chapter[kind], models[SEQUENTIAL].chapter[kind]);
    }
    printf("\n");
    return 0;
}

/* ---- The rule ---- */

/* Print the fastest, those that are level with it, and, if it is neither, the model named. */
static void print_best(const struct times *times, enum kind kind, int named, bool holds)
{
    int best = 0;
    for (int i = 0; i < MODELS; i++)
        if (times->of[i][kind] < times->of[best][kind])
            best = i;
    printf(" %s %.3g s", models[best].name, times->of[best][kind]);
    for (int i = 0; i < MODELS; i++)
        if (i != best && times->of[i][kind] <= LEVEL * times->of[best][kind])
            printf(", %s %.3g s", models[i].name, times->of[i][kind]);
    if (!holds)
        printf("; but %s %.3g s", models[named].name, times->of[named][kind]);
    printf("\n");
}

static void judge(const struct rule *rule, const char *where, const struct times *times)
{
    double named = times->of[rule->names][rule->kind];
    bool beaten = false, matched = false;
    for (int i = 0; i < MODELS; i++) {
        double other = times->of[i][rule->kind];
        if (i == rule->names)
            continue;
        beaten = beaten || named > LEVEL * other;
        matched = matched || other <= LEVEL * named;
    }
    const char *verdict = beaten ? "does not hold:" : matched ? "no more than others:" : "holds:";
    printf("  %-12s %-20s", where, verdict);
    print_best(times, rule->kind, rule->names, !beaten);
}

static void print_rules(const struct times *times)
{
    struct times chapter;
    for (int i = 0; i < MODELS; i++)
        for (enum kind kind = CPU; kind < KINDS; kind++)
            chapter.of[i][kind] = models[i].chapter[kind];

    printf("\nThe chapter's rule, held against the table: the fastest, and what took up to 15 %% "
           "longer\n");
    for (size_t i = 0; i < sizeof RULES / sizeof *RULES; i++) {
        printf("%s\n", RULES[i].text);
        judge(&RULES[i], "here", times);
        judge(&RULES[i], "the chapter", &chapter);
    }
}

/* ---- The table ---- */

/* How many processors there are, and whether other programs use them too. */
static void print_machine(void)
{
    cpu_set_t set;
    double load;
    int processors = sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : 1;
    printf(", on %d processor%s", processors, processors == 1 ? "" : "s");
    if (getloadavg(&load, 1) == 1)
        printf(" (load average before: %.1f)", load);
}

static void print_heading(const struct work works[KINDS], int64_t latency)
{
    const struct power *power = works[CPU].arg;
    const struct pages *pages = works[IO].arg;
    printf("CPU-bound: %lu ** %lu, %zu times (the best of %d runs)", power->a, power->b,
           works[CPU].times, CPU_RUNS);
    print_machine();
    printf("\n");
    printf("I/O-bound: %zu URL%s, %zu times", pages->count, pages->count == 1 ? "" : "s",
           works[IO].times);
    if (latency >= 0)
        printf(", each answer after %g ms", (double)latency / (double)CONC_MS(1));
    printf("\nSeconds; in brackets: how many times as fast as sequential\n\n");
    printf("%-*s%*s%*s%*s%*s\n", LABEL, "", CELL, "CPU-bound: here", CELL, "the chapter", CELL,
           "I/O-bound: here", CELL, "the chapter");
}

int compare_models(const struct work works[KINDS], int64_t latency, struct times *ret)
{
    struct outcome outcomes[KINDS];
    int err = 0;

    print_heading(works, latency);
    for (int i = 0; i < MODELS && !err; i++)
        err = compare_model(i, works, outcomes, ret);
    if (err)
        return err;
    printf("\nAll models had the same results:\n");
    for (enum kind kind = CPU; kind < KINDS; kind++)
        print_outcome(&works[kind], &outcomes[kind]);
    print_rules(ret);
    return 0;
}
