/* SPDX-License-Identifier: MIT
 *
 * geocode_errors.c, the chapter's worker(), original and modified: one place in the list does not
 * exist.
 *
 * Watch the first version: the worker that meets the error ends without task_done(), so join()
 * never returns (here it is given a deadline), and nobody in the program has looked at the error
 * (libconc reports it all the same). The second version sends the error back as a result: every
 * city is accounted for, and main() decides what to do about it.
 */
#include <conc.h>
#include <stdio.h>

#include "support/geocode.h"
#include "support/report.h"
#include "support/timer.h"

enum { THREAD_POOL_SIZE = 4 };

static const char *const PLACES[] = {
    "Reykjavik", "Vien",   "Zadar",   "Atlantis", "Venice", "Wrocław",
    "Bologna",   "Berlin", "Słubice", "New York", "Dehli",
};

static struct geocoding api;

/* What comes back from a worker: a place, or the error instead of it. */
struct result {
    int err;
    char message[CONC_MESSAGE_MAX];
    struct place geocoded;
};

struct queues {
    conc_queue work_queue;    /* of const char * */
    conc_queue results_queue; /* of struct result */
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

/* original */
static int worker_original(void *arg, void *unused)
{
    struct queues *queues = *(struct queues **)arg;
    const char *item;

    while (conc_queue_get(&queues->work_queue, &item, CONC_NOW) == 0) {
        struct result result = {0};
        int err = fetch_place(item, &result.geocoded);

        if (err < 0)
            return err; /* as an exception leaves the Python: past the next two lines */
        conc_queue_put(&queues->results_queue, &result, CONC_FOREVER);
        conc_queue_task_done(&queues->work_queue);
    }
    return 0;
}

/* modified */
static int worker(void *arg, void *unused)
{
    struct queues *queues = *(struct queues **)arg;
    const char *item;

    while (conc_queue_get(&queues->work_queue, &item, CONC_NOW) == 0) {
        struct result result = {0};

        result.err = fetch_place(item, &result.geocoded);
        if (result.err < 0)
            snprintf(result.message, sizeof result.message, "%s", conc_describe(result.err));
        if (conc_queue_put(&queues->results_queue, &result, CONC_FOREVER) < 0)
            complain("%s: no memory for the result", item);
        conc_queue_task_done(&queues->work_queue);
    }
    return 0;
}

static void report_unobserved(int err, const char *message, void *arg)
{
    printf("libconc reports an error that nobody looked at: %s\n", message);
}

/* Let workers do the list, and wait for it until the deadline. */
static int run_workers(conc_fn *fn, struct queues *queues, conc_deadline deadline)
{
    conc_thread *threads[THREAD_POOL_SIZE];
    int err = 0, started = 0;

    for (size_t i = 0; i < api.count && err == 0; i++)
        err = conc_queue_put(&queues->work_queue, &api.places[i], CONC_FOREVER);
    while (started < THREAD_POOL_SIZE && err == 0) {
        err = conc_thread_start(&threads[started], fn, &queues, sizeof queues, NULL);
        if (err == 0)
            started++;
    }
    if (err == 0)
        err = conc_queue_join(&queues->work_queue, deadline);
    if (err == -ETIMEDOUT)
        printf("join() has not returned in time.\n");
    /* Wait until each thread is gone, and no more: like the Python, this asks none for its
     * error. */
    while (started > 0) {
        conc_future_wait(conc_thread_future(threads[--started]), CONC_FOREVER);
        conc_thread_free(threads[started]);
    }
    return err;
}

/* Present what has come back. An unknown place is what this program is about; other errors fail
 * it. */
static size_t present_results(struct queues *queues, struct failures *failures)
{
    struct result result;
    size_t count = 0;

    for (; conc_queue_get(&queues->results_queue, &result, CONC_NOW) == 0; count++) {
        if (result.err == 0)
            present_result(&result.geocoded);
        else if (result.err == -ENOENT)
            printf("An error as a result: %s\n", result.message);
        else
            failures_add(failures, conc_raise(result.err, "%s", result.message));
    }
    return count;
}

static int fetch_all(conc_fn *fn, conc_deadline deadline, struct failures *failures)
{
    struct queues queues;
    int err = conc_queue_init(&queues.work_queue, sizeof(const char *), 0, CONC_FIFO);

    if (err < 0)
        return err;
    err = conc_queue_init(&queues.results_queue, sizeof(struct result), 0, CONC_FIFO);
    if (err < 0)
        goto destroy_work_queue;
    err = run_workers(fn, &queues, deadline);
    printf("%zu of %zu places have a result.\n", present_results(&queues, failures), api.count);
    if (conc_queue_join(&queues.work_queue, CONC_NOW) == -EAGAIN)
        printf("No worker is left, and join() would still wait.\n");
    conc_queue_destroy(&queues.results_queue);
destroy_work_queue:
    conc_queue_destroy(&queues.work_queue);
    return err == -ETIMEDOUT ? 0 : err; /* a join() that never returns is what the original shows */
}

int main(int argc, char **argv)
{
    struct failures failures = {0};
    int err;

    api = geocoding_options(argc, argv, "Geocode places, one of which does not exist.", NULL,
                            PLACES, sizeof PLACES / sizeof *PLACES);
    conc_future_on_unobserved(report_unobserved, NULL);
    printf("The original worker:\n");
    err = fetch_all(worker_original, conc_in(CONC_S(1)), &failures);
    if (err == 0) {
        printf("\nThe modified worker:\n");
        with_timer ("\ntime elapsed") {
            err = fetch_all(worker, CONC_FOREVER, &failures);
        }
    }
    if (err < 0)
        failures_add(&failures, conc_raise(err, "cannot do the work: %s", conc_strerror(err)));
    return failures_report(&failures);
}
