/* SPDX-License-Identifier: MIT
 *
 * geocode_either.c, the chapter's process_thread.py ('Using multiprocessing.dummy'): the user says
 * what does the work.
 *
 * Watch how little depends on it: one row of a table makes the executor; the job, the conc_map()
 * and the results are the same. The job asks by http_fetch(), which waits as a task as well as in a
 * thread, and takes all it needs from its argument, so that another process can run it.
 */
#include <conc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "support/geocode.h"
#include "support/http_fetch.h"
#include "support/query.h"
#include "support/report.h"
#include "support/timer.h"

enum { POOL_SIZE = 4 };

static const char *const PLACES[] = {
    "Reykjavik", "Vien",   "Zadar",   "Venice",   "Wrocław",
    "Bologna",   "Berlin", "Słubice", "New York", "Dehli",
};

/* ---- The executors ---- */

static int make_threads(conc_executor **ret) { return conc_thread_pool_new(ret, POOL_SIZE, NULL); }

static int make_processes(conc_executor **ret)
{
    return conc_process_pool_new(ret, POOL_SIZE, NULL);
}

/* One thread with a loop; each job is a task on it. */
static int make_tasks(conc_executor **ret) { return conc_loop_pool_new(ret, 1); }

static const struct maker {
    const char *name;
    int (*make)(conc_executor **ret);
} MAKERS[] = {
    {"inline", conc_inline_new},
    {"threads", make_threads},
    {"processes", make_processes},
    {"tasks", make_tasks},
};

static const struct maker *find_maker(const char *name)
{
    for (size_t i = 0; i < sizeof MAKERS / sizeof *MAKERS; i++)
        if (strcmp(MAKERS[i].name, name) == 0)
            return &MAKERS[i];
    complain("--executor: not inline, threads, processes or tasks: '%s' (try --help)", name);
    exit(EXIT_USAGE);
}

/* ---- The work ---- */

static int fetch_place(void *arg, void *result)
{
    const struct query *query = arg;
    const struct geocoding api = {.server = query->server, .get = http_fetch};

    return geocode(&api, query->place, result, conc_in(query->timeout));
}

static void present_result(const struct place *geocoded)
{
    printf("%*s, %6.2f, %6.2f\n", field_width(25, geocoded->formatted_address),
           geocoded->formatted_address, geocoded->lat, geocoded->lng);
}

/* with Pool(POOL_SIZE) as pool: results = pool.map(fetch_place, PLACES) */
static int map(const struct maker *maker, const struct query *queries, size_t count,
               struct place *results)
{
    conc_executor *pool;
    int err = maker->make(&pool);

    if (err < 0)
        return err;
    err = conc_map(pool, fetch_place, queries, count, sizeof *queries, results, sizeof *results,
                   NULL, CONC_FOREVER);
    conc_executor_free(pool);
    return err;
}

static int fetch_all(const struct geocoding *api, const struct maker *maker)
{
    struct query *queries = NULL;
    struct place *results = calloc(api->count, sizeof *results);
    int err = results != NULL ? 0 : conc_raise(-ENOMEM, "out of memory");

    if (err == 0)
        err = make_queries(api, &queries);
    if (err == 0)
        err = map(maker, queries, api->count, results);
    for (size_t i = 0; i < api->count && err == 0; i++)
        present_result(&results[i]);
    free(queries);
    free(results);
    return err;
}

int main(int argc, char **argv)
{
    const char *name = "processes";
    const struct option_spec more[] = {
        {"executor", OPTION_TEXT, &name, "NAME", 0, 0,
         "inline, threads, processes (the default) or tasks"},
        {.name = NULL},
    };
    struct failures failures = {0};
    struct geocoding api =
        geocoding_options(argc, argv, "Geocode places by the executor of your choice.", more,
                          PLACES, sizeof PLACES / sizeof *PLACES);
    const struct maker *maker = find_maker(name);

    with_timer ("\ntime elapsed") {
        failures_add(&failures, fetch_all(&api, maker));
    }
    return failures_report(&failures);
}
