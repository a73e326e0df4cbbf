/* SPDX-License-Identifier: MIT
 *
 * geocode_async.c, the chapter's practical example of asynchronous programming: ten places at once,
 * as tasks on one thread.
 *
 * Watch the time: it is that of one request, as with a thread for each. fetch_place() is that of
 * geocode_thread_per_item.c to the letter: whether it runs in a thread or as a task is its caller's
 * choice. Only the HTTP library had to change, as requests to aiohttp in the chapter: libcurl would
 * block the loop, so api.get says http_fetch(), which waits by libconc.
 */
#include <conc.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "support/geocode.h"
#include "support/http_fetch.h"
#include "support/report.h"
#include "support/timer.h"

static const char *const PLACES[] = {
    "Reykjavik", "Vien",   "Zadar",   "Venice",   "Wrocław",
    "Bologna",   "Berlin", "Słubice", "New York", "Dehli",
};

static struct geocoding api;

static int fetch_place(void *arg, void *result)
{
    const char *place = *(const char **)arg;
    struct place geocoded;
    int err = geocode(&api, place, &geocoded, conc_in(api.timeout));

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

    api = geocoding_options(argc, argv, "Geocode places as tasks on one thread.", NULL, PLACES,
                            sizeof PLACES / sizeof *PLACES);
    api.get = http_fetch;
    with_timer ("\ntime elapsed") {
        failures_add(&failures, conc_run(main_task, &to_fill, sizeof to_fill, NULL, 0));
    }
    return failures_report(&failures);
}
