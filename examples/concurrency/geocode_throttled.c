/* SPDX-License-Identifier: MIT
 *
 * geocode_throttled.c, the chapter's token_bucket.py: a throttle for workers whose server allows
 * ten requests per second and answers 429 to more.
 *
 * Watch the first run, without a throttle: it is quick, and a part of the answers is missing. In
 * the second each worker takes a token before it asks. The bucket is empty at the start, so that
 * requests go out evenly, at the rate and never above it; waiting for a token is sleeping, in the
 * order of arrival.
 */
#include <conc.h>
#include <stdio.h>
#include <stdlib.h>

#include "support/geocode.h"
#include "support/report.h"
#include "support/timer.h"

enum {
    THREAD_POOL_SIZE = 4,
    /* The chapter's bucket holds a second's worth of tokens; no more than two is gentler to the
     * server. With one, time would be lost whenever a worker wakes a little late. */
    BURST = 2,
};

static const char *const PLACES[] = {
    "Reykjavik", "Vien",   "Zadar",   "Venice",   "Wrocław",
    "Bologna",   "Berlin", "Słubice", "New York", "Dehli",
};

static struct geocoding api;
static double rate = 10; /* requests per second */

/* What comes back from a worker: a place, or the error instead of it. */
struct result {
    int err;
    char message[CONC_MESSAGE_MAX];
    struct place geocoded;
    int64_t sent; /* when the request went out, as conc_now() counts */
};

struct run {
    conc_queue work_queue;    /* of const char * */
    conc_queue results_queue; /* of struct result */
    conc_bucket throttle;
    bool throttled;
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

static int worker(void *arg, void *unused)
{
    struct run *run = *(struct run **)arg;
    const char *item;

    while (conc_queue_get(&run->work_queue, &item, CONC_NOW) == 0) {
        struct result result = {0};

        if (run->throttled)
            result.err = conc_bucket_take(&run->throttle, 1, CONC_FOREVER);
        result.sent = conc_now();
        if (result.err == 0)
            result.err = fetch_place(item, &result.geocoded);
        if (result.err < 0)
            snprintf(result.message, sizeof result.message, "%s", conc_describe(result.err));
        if (conc_queue_put(&run->results_queue, &result, CONC_FOREVER) < 0)
            complain("%s: no memory for the result", item);
        conc_queue_task_done(&run->work_queue);
    }
    return 0;
}

static int run_workers(struct run *run)
{
    conc_thread *threads[THREAD_POOL_SIZE];
    int err = 0, started = 0;

    for (size_t i = 0; i < api.count && err == 0; i++)
        err = conc_queue_put(&run->work_queue, &api.places[i], CONC_FOREVER);
    while (started < THREAD_POOL_SIZE && err == 0) {
        err = conc_thread_start(&threads[started], worker, &run, sizeof run, NULL);
        if (err == 0)
            started++;
    }
    if (err == 0)
        err = conc_queue_join(&run->work_queue, CONC_FOREVER);
    else
        conc_queue_shutdown(&run->work_queue, true);
    while (started > 0) {
        conc_thread_join(threads[--started], NULL, CONC_FOREVER);
        conc_thread_free(threads[started]);
    }
    return err < 0 ? conc_raise(err, "cannot do the work: %s", conc_strerror(err)) : 0;
}

/* Present the results and the rate. The server's refusals are expected without a throttle; all else
 * is a failure. */
static void present(struct run *run, int64_t started, struct failures *failures)
{
    struct result result;
    int count = 0, refused = 0;
    int64_t last = started;

    while (conc_queue_get(&run->results_queue, &result, CONC_NOW) == 0) {
        count++;
        if (result.sent > last)
            last = result.sent;
        if (result.err == 0) {
            present_result(&result.geocoded);
        } else if (result.err == -EBUSY && !run->throttled) {
            refused++;
            printf("refused: %s\n", result.message);
        } else {
            failures_add(failures, conc_raise(result.err, "%s", result.message));
        }
    }
    printf("%d requests, %d refused", count, refused);
    if (run->throttled && count > 0 && last > started) /* the first token, too, took its time */
        printf(", %.1f requests per second", count / ((double)(last - started) / CONC_S(1)));
    printf("\n");
}

static int fetch_all(bool throttled, struct failures *failures)
{
    struct run run = {.throttled = throttled};
    int64_t started;
    int err = conc_queue_init(&run.work_queue, sizeof(const char *), 0, CONC_FIFO);

    if (err < 0)
        return err;
    err = conc_queue_init(&run.results_queue, sizeof(struct result), 0, CONC_FIFO);
    if (err < 0)
        goto destroy_work_queue;
    err = conc_bucket_init(&run.throttle, rate, BURST);
    if (err < 0)
        goto destroy_results_queue;
    started = conc_now();
    failures_add(failures, run_workers(&run));
    present(&run, started, failures);
destroy_results_queue:
    conc_queue_destroy(&run.results_queue);
destroy_work_queue:
    conc_queue_destroy(&run.work_queue);
    return err;
}

int main(int argc, char **argv)
{
    const struct option_spec more[] = {
        {"rate", OPTION_NUMBER, &rate, "N", 0.1, 1000, "requests per second (default: 10)"},
        {.name = NULL},
    };
    struct failures failures = {0};
    int err;

    api = geocoding_options(argc, argv, "Geocode places without and with a throttle.", more, PLACES,
                            sizeof PLACES / sizeof *PLACES);
    printf("Without a throttle:\n");
    err = fetch_all(false, &failures);
    if (err == 0 && failures.count == 0) {
        conc_sleep(CONC_S(1)); /* the server forgets what it has just seen */
        printf("\nWith a throttle of %g requests per second:\n", rate);
        with_timer ("\ntime elapsed") {
            err = fetch_all(true, &failures);
        }
    }
    if (err < 0)
        complain("out of memory");
    return err < 0 ? EXIT_FAILURE : failures_report(&failures);
}
