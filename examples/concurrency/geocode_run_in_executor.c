/* SPDX-License-Identifier: MIT
 *
 * geocode_run_in_executor.c, the chapter's 'Using executors in an event loop': tasks again, but
 * with the blocking HTTP library of geocode_sync.c, unchanged.
 *
 * Watch: the loop does not stand still for it. loop.run_in_executor(None, ...) has a thread of the
 * loop's own pool make the call, while the task waits for the future. The time is between the two
 * others: the pool has a few threads (processors + 4), not one for each place.
 */
#include <conc.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "support/geocode.h"
#include "support/report.h"
#include "support/timer.h"

static const char *const PLACES[] = {
    "Reykjavik", "Vien",   "Zadar",   "Venice",   "Wrocław",
    "Bologna",   "Berlin", "Słubice", "New York", "Dehli",
};

static struct geocoding api;

/* The blocking call as a job, for a thread. */
static int api_geocode(void *arg, void *result)
{
    return geocode(&api, *(const char **)arg, result, conc_in(api.timeout));
}

/* A task. */
static int fetch_place(void *arg, void *result)
{
    conc_future *future = conc_loop_run_in_executor(conc_loop_current(), NULL, api_geocode, arg,
                                                    sizeof(const char *), sizeof(struct place));
    struct place geocoded;
    int err = conc_future_result(future, &geocoded, CONC_FOREVER);

    conc_future_unref(future);
    if (err < 0)
        return err;
    printf("%*s, %6.2f, %6.2f\n", field_width(25, geocoded.formatted_address),
           geocoded.formatted_address, geocoded.lat, geocoded.lng);
    return 0;
}

static int main_task(void *arg, void *result)
{
    struct failures *failures = *(struct failures **)arg;
    conc_future **tasks = calloc(api.count, sizeof *tasks);

    if (tasks == NULL)
        return conc_raise(-ENOMEM, "out of memory");
    for (size_t i = 0; i < api.count; i++)
        tasks[i] = conc_spawn(fetch_place, &api.places[i], sizeof api.places[i], 0);
    for (size_t i = 0; i < api.count; i++) {
        failures_add(failures, conc_future_result(tasks[i], NULL, CONC_FOREVER));
        conc_future_unref(tasks[i]);
    }
    free(tasks);
    return 0;
}

int main(int argc, char **argv)
{
    struct failures failures = {0}, *to_fill = &failures;

    api = geocoding_options(argc, argv, "Geocode places as tasks, by calls in a pool of threads.",
                            NULL, PLACES, sizeof PLACES / sizeof *PLACES);
    with_timer ("\ntime elapsed") {
        failures_add(&failures, conc_run(main_task, &to_fill, sizeof to_fill, NULL, 0));
    }
    return failures_report(&failures);
}
