/* SPDX-License-Identifier: MIT
 *
 * geocode_sync.c, the chapter's googlemap.py: ask where ten cities are, one after another, and
 * print a table.
 *
 * Watch the time: it is the sum of all the waiting, and there is hardly anything else.
 */
#include <conc.h>
#include <stdio.h>

#include "support/geocode.h"
#include "support/report.h"
#include "support/timer.h"

static const char *const PLACES[] = {
    "Reykjavik", "Vien",   "Zadar",   "Venice",   "Wrocław",
    "Bologna",   "Berlin", "Słubice", "New York", "Dehli",
};

static struct geocoding api;

static int fetch_place(const char *place)
{
    struct place geocoded;
    int err = geocode(&api, place, &geocoded, conc_in(api.timeout));

    if (err < 0)
        return err;
    printf("%*s, %6.2f, %6.2f\n", field_width(25, geocoded.formatted_address),
           geocoded.formatted_address, geocoded.lat, geocoded.lng);
    return 0;
}

int main(int argc, char **argv)
{
    struct failures failures = {0};

    api = geocoding_options(argc, argv, "Geocode places, one after another.", NULL, PLACES,
                            sizeof PLACES / sizeof *PLACES);
    with_timer ("\ntime elapsed") {
        for (size_t i = 0; i < api.count && failures.count == 0; i++)
            failures_add(&failures, fetch_place(api.places[i]));
    }
    return failures_report(&failures);
}
