/* SPDX-License-Identifier: MIT
 *
 * geocode_thread_per_item.c, the chapter's googlemap_thread.py: the same with a thread for each
 * city.
 *
 * Watch the time: it is that of one request, since all wait at once; and the order, which is no
 * longer that of the list. fetch_place() is as before, but has the shape of a job: it finds its
 * argument, a copy, behind `arg`.
 */
#include <conc.h>
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

static void fetch_all(conc_thread **threads, struct failures *failures)
{
    for (size_t i = 0; i < api.count; i++) {
        int err = conc_thread_start(&threads[i], fetch_place, &api.places[i], sizeof api.places[i],
                                    &(conc_thread_options){.name = api.places[i]});

        if (err < 0) {
            threads[i] = NULL;
            err = conc_raise(err, "%s: no thread: %s", api.places[i], conc_strerror(err));
        }
        failures_add(failures, err);
    }
    for (size_t i = 0; i < api.count; i++) {
        if (threads[i] != NULL)
            failures_add(failures, conc_thread_join(threads[i], NULL, CONC_FOREVER));
        conc_thread_free(threads[i]);
    }
}

int main(int argc, char **argv)
{
    struct failures failures = {0};
    conc_thread **threads;

    api = geocoding_options(argc, argv, "Geocode places with a thread for each.", NULL, PLACES,
                            sizeof PLACES / sizeof *PLACES);
    threads = calloc(api.count, sizeof *threads);
    if (threads == NULL) {
        complain("out of memory");
        return EXIT_FAILURE;
    }
    with_timer ("\ntime elapsed") {
        fetch_all(threads, &failures);
    }
    free(threads);
    return failures_report(&failures);
}
