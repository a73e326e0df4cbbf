/* SPDX-License-Identifier: MIT
 *
 * executors.c, the chapter's 'Executors and futures': what an executor offers: submit, map and
 * shutdown; and a future: its result or its error.
 *
 * Watch for the four executors: one that runs a job at once in the caller, one with a thread for
 * each job, two pools. The jobs and the calls are the same; the time is not.
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

static int loudy_return(void *arg, void *result)
{
    printf("processing\n");
    *(int *)result = 42;
    return 0;
}

static int loudy_raise(void *arg, void *result)
{
    printf("processing\n");
    return conc_raise(-EDOM, "there is no answer");
}

static int fetch_place(void *arg, void *result)
{
    return geocode(&api, *(const char **)arg, result, conc_in(api.timeout));
}

/* >>> with ThreadPoolExecutor(1) as executor: future = executor.submit(loudy_return) */
static int show_futures(conc_executor *executor)
{
    conc_future *future = conc_submit(executor, loudy_return, NULL, 0, sizeof(int));
    int answer = 0;
    int err = conc_future_result(future, &answer, CONC_FOREVER);

    conc_future_unref(future);
    if (err < 0)
        return conc_raise(err, "loudy_return: %s", conc_strerror(err));
    printf("future.result() is %d\n", answer);

    future = conc_submit(executor, loudy_raise, NULL, 0, sizeof(int));
    err = conc_future_result(future, &answer, CONC_FOREVER);
    printf("future.result() fails: %s (%s)\n", conc_future_message(future), conc_strerror(err));
    conc_future_unref(future);
    return 0;
}

/* >>> results = executor.map(fetch_place, PLACES): in the order of the places, whichever was
 * first */
static int show_map(conc_executor *executor)
{
    struct place *places = calloc(api.count, sizeof *places);
    int err = places != NULL ? 0 : conc_raise(-ENOMEM, "out of memory");

    if (err == 0)
        with_timer ("executor.map() took") {
            err = conc_map(executor, fetch_place, api.places, api.count, sizeof *api.places, places,
                           sizeof *places, NULL, CONC_FOREVER);
        }
    for (size_t i = 0; i < api.count && err == 0; i++)
        printf("%*s, %6.2f, %6.2f\n", field_width(25, places[i].formatted_address),
               places[i].formatted_address, places[i].lat, places[i].lng);
    free(places);
    return err;
}

/* >>> executor.shutdown() */
static void show_shutdown(conc_executor *executor)
{
    conc_future *future;

    conc_executor_shutdown(executor, CONC_SHUTDOWN_WAIT, CONC_FOREVER);
    future = conc_submit(executor, loudy_return, NULL, 0, sizeof(int));
    printf("submit() after shutdown(): %s\n", conc_strerror(conc_future_error(future)));
    conc_future_unref(future);
}

static int make_pool_of_1(conc_executor **ret) { return conc_thread_pool_new(ret, 1, NULL); }

static int make_pool_of_4(conc_executor **ret) { return conc_thread_pool_new(ret, 4, NULL); }

static const struct kind {
    const char *name;
    int (*make)(conc_executor **ret);
} KINDS[] = {
    {"Inline", conc_inline_new},
    {"A thread per job", conc_thread_per_job_new},
    {"A pool of one thread", make_pool_of_1},
    {"A pool of four threads", make_pool_of_4},
};

static int show(const struct kind *kind)
{
    conc_executor *executor;
    int err = kind->make(&executor);

    if (err < 0)
        return err;
    printf("%s:\n", kind->name);
    err = show_futures(executor);
    if (err == 0)
        err = show_map(executor);
    if (err < 0)
        complain("%s", conc_describe(err));
    show_shutdown(executor);
    printf("\n");
    conc_executor_free(executor);
    return err;
}

int main(int argc, char **argv)
{
    api = geocoding_options(argc, argv, "Submit, map and shutdown, on four executors.", NULL,
                            PLACES, sizeof PLACES / sizeof *PLACES);
    for (size_t i = 0; i < sizeof KINDS / sizeof *KINDS; i++)
        if (show(&KINDS[i]) < 0)
            return EXIT_FAILURE;
    return EXIT_SUCCESS;
}
