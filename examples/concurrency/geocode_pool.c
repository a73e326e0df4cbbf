/* SPDX-License-Identifier: MIT
 *
 * geocode_pool.c, the chapter's googlemap_queue.py: four workers take the cities, any number of
 * them, from a queue.
 *
 * Watch the time: slower than a thread for each city (three rounds of requests instead of one), but
 * a list of any length cannot exhaust the machine. A worker that meets an error shuts the queue
 * down, so that no thread waits for ever.
 */
#include <conc.h>
#include <stdio.h>
#include <stdlib.h>

#include "support/geocode.h"
#include "support/report.h"
#include "support/timer.h"

enum { THREAD_POOL_SIZE = 4 };

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

static int worker(void *arg, void *result)
{
    conc_queue *work_queue = *(conc_queue **)arg;
    const char *item;

    while (conc_queue_get(work_queue, &item, CONC_NOW) == 0) {
        int err = fetch_place(item);

        conc_queue_task_done(work_queue);
        if (err < 0) {
            conc_queue_shutdown(work_queue, true);
            return err;
        }
    }
    return 0;
}

static void fetch_all(conc_queue *work_queue, struct failures *failures)
{
    conc_thread *threads[THREAD_POOL_SIZE];
    int err = 0, started = 0;

    for (size_t i = 0; i < api.count && err == 0; i++)
        err = conc_queue_put(work_queue, &api.places[i], CONC_FOREVER);
    while (started < THREAD_POOL_SIZE && err == 0) {
        err = conc_thread_start(&threads[started], worker, &work_queue, sizeof work_queue, NULL);
        if (err == 0)
            started++;
    }
    if (err < 0) {
        conc_queue_shutdown(work_queue, true);
        failures_add(failures, conc_raise(err, "cannot start: %s", conc_strerror(err)));
    }
    conc_queue_join(work_queue, CONC_FOREVER);
    while (started > 0) {
        failures_add(failures, conc_thread_join(threads[--started], NULL, CONC_FOREVER));
        conc_thread_free(threads[started]);
    }
}

int main(int argc, char **argv)
{
    struct failures failures = {0};
    conc_queue work_queue;

    api = geocoding_options(argc, argv, "Geocode places with four workers and a queue.", NULL,
                            PLACES, sizeof PLACES / sizeof *PLACES);
    if (conc_queue_init(&work_queue, sizeof(const char *), 0, CONC_FIFO) < 0) {
        complain("out of memory");
        return EXIT_FAILURE;
    }
    with_timer ("\ntime elapsed") {
        fetch_all(&work_queue, &failures);
    }
    conc_queue_destroy(&work_queue);
    return failures_report(&failures);
}
