/* SPDX-License-Identifier: MIT
 *
 * geocode_process_pool.c, the chapter's 'Using process pools': geocode_pool.c once more, by a pool
 * of processes.
 *
 * Watch how little there is of it: no queues, no workers to start and to join; conc_map() hands the
 * places out and collects the results, in their order. What goes in and comes out are values, since
 * the workers share no memory with us. The time is that of four threads, and a little for starting
 * the processes.
 */
#include <conc.h>
#include <stdio.h>
#include <stdlib.h>

#include "support/geocode.h"
#include "support/query.h"
#include "support/report.h"
#include "support/timer.h"

enum { POOL_SIZE = 4 };

static const char *const PLACES[] = {
    "Reykjavik", "Vien",   "Zadar",   "Venice",   "Wrocław",
    "Bologna",   "Berlin", "Słubice", "New York", "Dehli",
};

/* A job, in a worker. */
static int fetch_place(void *arg, void *result)
{
    const struct query *query = arg;
    const struct geocoding api = {.server = query->server};

    return geocode(&api, query->place, result, conc_in(query->timeout));
}

static void present_result(const struct place *geocoded)
{
    printf("%*s, %6.2f, %6.2f\n", field_width(25, geocoded->formatted_address),
           geocoded->formatted_address, geocoded->lat, geocoded->lng);
}

/* with Pool(POOL_SIZE) as pool: results = pool.map(fetch_place, PLACES) */
static int map(const struct query *queries, size_t count, struct place *results)
{
    conc_executor *pool;
    int err = conc_process_pool_new(&pool, POOL_SIZE, NULL);

    if (err < 0)
        return err;
    err = conc_map(pool, fetch_place, queries, count, sizeof *queries, results, sizeof *results,
                   NULL, CONC_FOREVER);
    conc_executor_free(pool);
    return err;
}

static int fetch_all(const struct geocoding *api)
{
    struct query *queries = NULL;
    struct place *results = calloc(api->count, sizeof *results);
    int err = results != NULL ? 0 : conc_raise(-ENOMEM, "out of memory");

    if (err == 0)
        err = make_queries(api, &queries);
    if (err == 0)
        err = map(queries, api->count, results);
    for (size_t i = 0; i < api->count && err == 0; i++)
        present_result(&results[i]);
    free(queries);
    free(results);
    return err;
}

int main(int argc, char **argv)
{
    struct failures failures = {0};
    struct geocoding api = geocoding_options(argc, argv, "Geocode places with four processes.",
                                             NULL, PLACES, sizeof PLACES / sizeof *PLACES);

    with_timer ("\ntime elapsed") {
        failures_add(&failures, fetch_all(&api));
    }
    return failures_report(&failures);
}
