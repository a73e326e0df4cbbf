/* SPDX-License-Identifier: MIT
 *
 * models.c: the chapter 'Asynchronous programming. Python 3.5+': two jobs, one that computes and
 * one that waits for answers, run ten times in five ways.
 *
 * Watch: cpu_bound() and io_bound() are written once, as blocking functions. They are called in
 * turn, by threads, by processes and by tasks, and none of these wants them changed. Where Python
 * needs another library (gevent) or another kind of function (async def), there is an argument
 * here. models --compare shows how fast each way is.
 */
#include "models/models.h"

#include <gmp.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "support/http_fetch.h"
#include "support/listing.h"
#include "support/timer.h"

static const uint32_t CHECKSUM_PRIME = 4294967291;

/* ---- The two jobs ---- */

/* return a ** b */
static int cpu_bound(void *arg, void *result)
{
    const struct power *power = arg;
    struct outcome *outcome = result;
    signed long exponent;
    mpz_t number;

    mpz_init(number);
    mpz_ui_pow_ui(number, power->a, power->b);
    /* All its digits would take longer than the number: the logarithm tells how many they are. */
    double mantissa = mpz_get_d_2exp(&exponent, number);
    outcome->size = (uint64_t)(log10(mantissa) + (double)exponent * log10(2)) + 1;
    outcome->checksum = (uint32_t)mpz_fdiv_ui(number, CHECKSUM_PRIME);
    mpz_clear(number);
    return 0;
}

static void add_page(struct outcome *outcome, const struct http_response *page)
{
    uint64_t checksum = outcome->checksum;

    for (size_t i = 0; i < page->size; i++)
        checksum = (checksum << 8 | (unsigned char)page->body[i]) % CHECKSUM_PRIME;
    outcome->checksum = (uint32_t)checksum;
    outcome->size += page->size;
}

/* for url in urls: data.append(urlopen(url).read()) */
static int io_bound(void *arg, void *result)
{
    const struct pages *pages = arg;
    struct outcome *data = result;
    int err = 0;

    for (size_t i = 0; i < pages->count && !err; i++) {
        struct http_response page = {0};
        err = http_fetch(pages->urls[i], &page, conc_in(pages->timeout));
        if (!err)
            err = http_check(pages->urls[i], &page);
        if (!err)
            add_page(data, &page);
        http_response_free(&page);
    }
    return err;
}

/* ---- Five ways to run them ---- */

/* for i in range(N): func(*args) */
static int sequential(const struct work *work, struct outcome *results)
{
    int err = 0;
    for (size_t i = 0; i < work->times && !err; i++)
        err = work->fn(work->arg, &results[i]);
    return err;
}

/* Start all, then wait until all have ended. No executor: they become tasks of the caller's
 * loop. */
static int start_and_join(conc_executor *executor, const struct work *work, struct outcome *results)
{
    int err = 0;
    conc_with_group (jobs, &err, CONC_FOREVER) {
        for (size_t i = 0; i < work->times; i++) /* one that cannot start is the error */
            conc_group_submit(jobs, executor, work->fn, work->arg, work->arg_size, &results[i],
                              sizeof *results);
    }
    return err;
}

/* threading.Thread(target=func, args=args) */
static int threaded(const struct work *work, struct outcome *results)
{
    conc_executor *threads;
    int err = conc_thread_per_job_new(&threads);
    if (err)
        return err;
    err = start_and_join(threads, work, results);
    conc_executor_free(threads);
    return err;
}

/* multiprocessing.Process(target=func, args=args) */
static int multiprocessed(const struct work *work, struct outcome *results)
{
    conc_executor *processes;
    int err = conc_process_pool_new(&processes, work->times, NULL);
    if (err)
        return conc_raise(err, "cannot start %zu processes: %s", work->times, conc_strerror(err));
    err = start_and_join(processes, work, results);
    conc_executor_free(processes);
    return err;
}

/* What the two ways with a loop give to its main task. */
struct run {
    const struct work *work;
    struct outcome *results;
};

/* gevent.spawn(func, *args) */
static int spawn_all(void *arg, void *result)
{
    const struct run *run = arg;
    return start_and_join(NULL, run->work, run->results);
}

static int green_threaded(const struct work *work, struct outcome *results)
{
    struct run run = {work, results};
    return conc_run(spawn_all, &run, sizeof run, NULL, 0);
}

/* async def async_func(N, func, *args): what computes goes to the loop's executor, so that the loop
 * is free for others; what waits runs on the loop. */
static int async_func(void *arg, void *result)
{
    const struct run *run = arg;
    const struct work *work = run->work;
    conc_future **coros = calloc(work->times, sizeof *coros);
    if (coros == NULL)
        return conc_raise(-ENOMEM, "out of memory");
    for (size_t i = 0; i < work->times; i++)
        coros[i] = work->computes
                       ? conc_loop_run_in_executor(conc_loop_current(), NULL, work->fn, work->arg,
                                                   work->arg_size, sizeof(struct outcome))
                       : conc_spawn(work->fn, work->arg, work->arg_size, sizeof(struct outcome));
    /* run awaitable objects concurrently */
    int err = conc_gather(coros, work->times, NULL, CONC_FOREVER);
    for (size_t i = 0; i < work->times; i++) {
        if (!err)
            err = conc_future_result(coros[i], &run->results[i], CONC_NOW);
        conc_future_unref(coros[i]);
    }
    free(coros);
    return err;
}

static int asynchronous(const struct work *work, struct outcome *results)
{
    struct run run = {work, results};
    return conc_run(async_func, &run, sizeof run, NULL, 0);
}

const struct model models[MODELS] = {
    [SEQUENTIAL] = {"sequential", sequential, "sequential", {2.18, 31.4}},
    [THREADS] = {"threads", threaded, "threads", {2.47, 7.9}},
    [PROCESSES] = {"processes", multiprocessed, "processes", {1.12, 7.22}},
    [TASKS] = {"tasks", green_threaded, "tasks (gevent)", {2.23, 6.85}},
    [LOOP] = {"loop", asynchronous, "loop (asyncio)", {2.23, 4.37}},
};

/* ---- What they found, and how long it took ---- */

int measure(const struct model *model, const struct work *work, double *seconds,
            struct outcome *ret)
{
    struct outcome *results = calloc(work->times, sizeof *results);
    if (results == NULL)
        return conc_raise(-ENOMEM, "out of memory");
    int64_t start_time = conc_now();
    int err = model->run(work, results);
    *seconds = seconds_since(start_time);
    for (size_t i = 1; i < work->times && !err; i++)
        if (results[i].size != results[0].size || results[i].checksum != results[0].checksum)
            err = conc_raise(-EBADMSG, "%s, %s: job %zu found something else than the first",
                             work->name, model->name, i + 1);
    if (!err)
        *ret = results[0];
    free(results);
    return err;
}

void print_outcome(const struct work *work, const struct outcome *outcome)
{
    printf("%s, each of %zu times: %" PRIu64 " %s, checksum %" PRIu32 "\n", work->name, work->times,
           outcome->size, work->computes ? "digits" : "bytes", outcome->checksum);
}

/* ---- Main ---- */

static const char *model_name = "sequential", *kind_name = "both", *server, *picture;
static bool compare;
static int64_t times = 10, power = 200000, timeout = CONC_S(10), latency = -1;

static const struct option_spec OPTIONS[] = {
    {"model", OPTION_TEXT, &model_name, "NAME", 0, 0,
     "sequential (the default), threads, processes, tasks or loop"},
    {"kind", OPTION_TEXT, &kind_name, "KIND", 0, 0, "of job: cpu, io or both (the default)"},
    {"times", OPTION_INTEGER, &times, "N", 1, 1000, "run each N times (default: 10)"},
    {"power", OPTION_INTEGER, &power, "B", 1, 1e7, "compute 7777 ** B (default: 200000)"},
    {"server", OPTION_TEXT, &server, "URL", 0, 0,
     "of the pages (default: $LIBCONC_SERVER, or http://127.0.0.1:8080; with --compare one of its "
     "own)"},
    OPTION_ROW_TIMEOUT(&timeout),
    {"compare", OPTION_FLAG, &compare, NULL, 0, 0,
     "run all models, and print their times beside the chapter's"},
    {"latency", OPTION_MILLIS, &latency, "MS", 0, 60000,
     "with --compare: its own server answers after MS milliseconds (default: 200)"},
    {"picture", OPTION_TEXT, &picture, "BASE", 0, 0,
     "with --compare: draw them, into BASE.svg and BASE.png, by gnuplot"},
    {.name = NULL},
};

static void __attribute__((noreturn)) usage_error(const char *what, const char *which)
{
    complain("%s%s%s%s (try --help)", what, *which ? ": '" : "", which, *which ? "'" : "");
    exit(EXIT_USAGE);
}

static const struct model *find_model(const char *name)
{
    for (size_t i = 0; i < MODELS; i++)
        if (strcmp(models[i].name, name) == 0)
            return &models[i];
    usage_error("--model: not sequential, threads, processes, tasks or loop", name);
}

/* The chapter's four addresses; here they are four pages of a server. */
static int set_urls(struct pages *pages, const char *const *urls, const char *base)
{
    static const char *const PATHS[] = {"/page/16", "/page/64", "/page/32", "/page/128", NULL};
    const char *const *list = *urls != NULL ? urls : PATHS;

    for (; list[pages->count] != NULL; pages->count++) {
        char *url = pages->urls[pages->count];
        if (pages->count == URLS_MAX)
            return conc_raise(-EINVAL, "more than %d URLs", URLS_MAX);
        int length =
            snprintf(url, HTTP_URL_MAX, "%s%s", *urls != NULL ? "" : base, list[pages->count]);
        if (length >= HTTP_URL_MAX)
            return conc_raise(-EINVAL, "too long an address: " URL_SHOWN "...", url);
    }
    return 0;
}

static int run_model(const struct model *model, const struct work *works, bool wanted[KINDS])
{
    for (enum kind kind = CPU; kind < KINDS; kind++) {
        struct outcome outcome;
        double seconds;
        if (!wanted[kind])
            continue;
        int err = measure(model, &works[kind], &seconds, &outcome);
        if (err)
            return err;
        printf("%.3g sec\n", seconds);
        print_outcome(&works[kind], &outcome);
    }
    return 0;
}

static int run_compare(const struct work works[KINDS], struct pages *pages, const char *const *urls)
{
    struct own_server own = {0};
    struct times seconds;
    int err;
    if (*urls == NULL && server == NULL) {
        latency = latency < 0 ? CONC_MS(200) : latency;
        err = own_server_start(&own, latency);
        if (err)
            goto out;
    }
    err = set_urls(pages, urls, server != NULL ? server : own.url);
    if (err)
        goto out;
    err = compare_models(works, latency, &seconds);
out:
    own_server_stop(&own);
    if (err || picture == NULL)
        return err;
    return draw_picture(&seconds, picture);
}

int main(int argc, char **argv)
{
    const struct program program = {
        .about = "A job that computes and one that waits for answers, run in five ways.",
        .operands = "[URL ...]",
        .options = OPTIONS,
    };
    const char *const *urls = (const char *const *)argv + options_parse(argc, argv, &program);
    const struct model *model = find_model(model_name);
    bool wanted[KINDS] = {strcmp(kind_name, "io") != 0, strcmp(kind_name, "cpu") != 0};
    if (wanted[CPU] && wanted[IO] && strcmp(kind_name, "both") != 0)
        usage_error("--kind: not cpu, io or both", kind_name);
    if (!compare && (picture != NULL || latency >= 0))
        usage_error("--picture and --latency go with --compare", "");
    if (latency >= 0 && (server != NULL || *urls != NULL))
        usage_error("--latency is of the server that --compare starts: there is another", "");

    struct power number = {7777, (unsigned long)power};
    struct pages pages = {.timeout = timeout};
    const struct work works[KINDS] = {
        [CPU] = {"cpu_bound", cpu_bound, &number, sizeof number, (size_t)times, true},
        [IO] = {"io_bound", io_bound, &pages, sizeof pages, (size_t)times, false},
    };
    /* Before there are threads: then a process is a copy of this one. */
    int err = compare || model == &models[PROCESSES] ? conc_process_prepare() : 0;
    if (err)
        return exit_status(err);
    if (compare)
        return exit_status(run_compare(works, &pages, urls));
    err = set_urls(&pages, urls, server != NULL ? server : default_server());
    if (err)
        return exit_status(err);
    return exit_status(run_model(model, works, wanted));
}
