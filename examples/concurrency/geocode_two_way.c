/* SPDX-License-Identifier: MIT
 *
 * geocode_two_way.c, the chapter's googlemap_two_way_queue.py: the workers' results come back
 * through a second queue; only the main thread prints.
 *
 * Watch for the output: no lines of two threads can mix, and what is done with a result is decided
 * in one place. Queues hold values: a struct place is copied in by a worker and copied out by
 * main().
 */
#include <conc.h>
#include <stdio.h>

#include "support/geocode.h"
#include "support/report.h"
#include "support/timer.h"

enum { THREAD_POOL_SIZE = 4 };

static const char *const PLACES[] = {
    "Reykjavik", "Vien",   "Zadar",   "Venice",   "Wrocław",
    "Bologna",   "Berlin", "Słubice", "New York", "Dehli",
};

static struct geocoding api;

struct queues {
    conc_queue work_queue;    /* of const char * */
    conc_queue results_queue; /* of struct place */
};

static int fetch_place(const char *place, struct place *geocoded)
{
    return geocode(&api, place, geocoded, conc_in(api.timeout));
}

static void present_result(const struct place *geocoded)
{
    printf("%*s, %6.2f, %6.2f\n", field_width(25, geocoded->formatted_address),
           geocoded->formatted_address, geocoded->lat, geocoded->lng);
}

static int worker(void *arg, void *result)
{
    struct queues *queues = *(struct queues **)arg;
    const char *item;

    while (conc_queue_get(&queues->work_queue, &item, CONC_NOW) == 0) {
        struct place geocoded;
        int err = fetch_place(item, &geocoded);

        if (err == 0)
            err = conc_queue_put(&queues->results_queue, &geocoded, CONC_FOREVER);
        conc_queue_task_done(&queues->work_queue);
        if (err < 0) { /* geocode_errors.c shows a better way */
            conc_queue_shutdown(&queues->work_queue, true);
            return err;
        }
    }
    return 0;
}

static void fetch_all(struct queues *queues, struct failures *failures)
{
    conc_thread *threads[THREAD_POOL_SIZE];
    struct place geocoded;
    int err = 0, started = 0;

    for (size_t i = 0; i < api.count && err == 0; i++)
        err = conc_queue_put(&queues->work_queue, &api.places[i], CONC_FOREVER);
    while (started < THREAD_POOL_SIZE && err == 0) {
        err = conc_thread_start(&threads[started], worker, &queues, sizeof queues, NULL);
        if (err == 0)
            started++;
    }
    if (err < 0) {
        conc_queue_shutdown(&queues->work_queue, true);
        failures_add(failures, conc_raise(err, "cannot start: %s", conc_strerror(err)));
    }
    conc_queue_join(&queues->work_queue, CONC_FOREVER);
    while (started > 0) {
        failures_add(failures, conc_thread_join(threads[--started], NULL, CONC_FOREVER));
        conc_thread_free(threads[started]);
    }
    while (conc_queue_get(&queues->results_queue, &geocoded, CONC_NOW) == 0)
        present_result(&geocoded);
}

int main(int argc, char **argv)
{
    struct failures failures = {0};
    struct queues queues;
    int err;

    api = geocoding_options(argc, argv, "Geocode places with four workers and two queues.", NULL,
                            PLACES, sizeof PLACES / sizeof *PLACES);
    err = conc_queue_init(&queues.work_queue, sizeof(const char *), 0, CONC_FIFO);
    if (err < 0)
        goto out;
    err = conc_queue_init(&queues.results_queue, sizeof(struct place), 0, CONC_FIFO);
    if (err < 0)
        goto destroy_work_queue;
    with_timer ("\ntime elapsed") {
        fetch_all(&queues, &failures);
    }
    conc_queue_destroy(&queues.results_queue);
destroy_work_queue:
    conc_queue_destroy(&queues.work_queue);
out:
    if (err < 0)
        failures_add(&failures, err);
    return failures_report(&failures);
}
