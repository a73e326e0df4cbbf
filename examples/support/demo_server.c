/* SPDX-License-Identifier: MIT
 *
 * demo_server.c: the web server that the examples talk to, and the chapter's 'multi-user
 * application'.
 *
 * Watch for the model: the same job serves a connection as a task among thousands on one thread, or
 * in a thread of its own, or with a pool of threads to answer the requests; which one is an
 * argument, and nothing else in the server knows (server/model.c, server/connection.c). Or several
 * processes do so, each of them in one of these ways, on one listening socket (server/prefork.c).
 * Signals are taken by sigtimedwait() in the main thread, so there is no handler, and nothing that
 * a handler must not do.
 *
 * A connection is a descriptor (and a thread that waits for one has another, to be woken through):
 * the limit for these is raised at the start as far as the system allows (ulimit -Hn). Where that
 * is too little, connections wait in the kernel until others have gone, and the server says so.
 */
#include <conc.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "support/options.h"
#include "support/report.h"
#include "support/server/prefork.h"
#include "support/server/server.h"

enum { POOL_SIZE = 16 };

static const int64_t GRACE = CONC_S(1); /* for requests in progress when the server stops */

static void raise_descriptor_limit(void)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
        return;
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
}

/* Block them here, before any thread is started, so that every thread has them blocked. */
static void block_signals(sigset_t *set)
{
    static const int SIGNALS[] = {SIGINT, SIGTERM, SIGHUP};

    sigemptyset(set);
    for (size_t i = 0; i < sizeof SIGNALS / sizeof *SIGNALS; i++) {
        sigaddset(set, SIGNALS[i]);
        /* A shell starts what runs in the background with SIGINT ignored. */
        signal(SIGNALS[i], SIG_DFL);
    }
    pthread_sigmask(SIG_BLOCK, set, NULL);
}

static void wait_for_signal(const sigset_t *set, int64_t ns)
{
    const int64_t until = ns > 0 ? conc_now() + ns : INT64_MAX;
    struct timespec wait;

    for (;;) {
        int64_t left = until - conc_now();

        if (left <= 0)
            return;
        wait.tv_sec = (time_t)(left / CONC_S(1));
        wait.tv_nsec = (long)(left % CONC_S(1));
        if (sigtimedwait(set, NULL, &wait) > 0)
            return;
    }
}

/* A SIGTERM when the process that started this one ends, in whatever way. Its id must be told:
 * after it has ended there is nobody to ask. */
static int stay_with_parent(pid_t parent)
{
    if (prctl(PR_SET_PDEATHSIG, SIGTERM) < 0)
        return conc_raise(-errno, "--with-parent: %s", conc_strerror(errno));
    if (getppid() != parent) /* it has ended before */
        return conc_raise(-ESRCH, "--with-parent: %d is not the parent", (int)parent);
    return 0;
}

/* Print the URL, for the program or the user that started this. */
static int announce(const char *url)
{
    if (printf("%s\n", url) < 0 || fflush(stdout) != 0)
        return conc_raise(-EIO, "cannot print the URL");
    return 0;
}

/* Serve until a signal comes, or the time is up. */
static int serve(struct server *server, const sigset_t *set, int64_t stop_after)
{
    int err = server_start(server);

    if (err < 0)
        return conc_raise(err, "cannot start: %s", conc_strerror(err));
    err = announce(server_url(server));
    if (err == 0)
        wait_for_signal(set, stop_after);
    return err;
}

static int run(const struct server_options *options, const struct server_model *model,
               const sigset_t *set, int64_t stop_after)
{
    struct server *server;
    int err = server_new(&server, options, model);

    if (err == 0)
        err = serve(server, set, stop_after);
    else
        server = NULL;
    if (err < 0)
        complain("%s", conc_describe(err));
    if (server != NULL) {
        server_stop(server, GRACE);
        server_free(server);
    }
    return err < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}

/* The same in several processes. */
static int run_processes(const struct server_options *options, const struct prefork_options *how,
                         const sigset_t *set, int64_t stop_after)
{
    struct prefork *prefork = NULL;
    int err = prefork_start(&prefork, options, how);

    if (err == 0)
        err = announce(prefork_url(prefork));
    if (err == 0)
        wait_for_signal(set, stop_after);
    else
        complain("%s", conc_describe(err));
    prefork_stop(prefork);
    return err < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}

/* ---- The command line ---- */

static struct server_options options = {.port = 8080, .address = "127.0.0.1", .seed = 1};
static const char *model_name = "tasks", *inside; /* NULL: not given */
static int64_t workers, threads, stop_after, parent;

static const struct option_spec OPTIONS[] = {
    {"address", OPTION_TEXT, &options.address, "A", 0, 0,
     "numeric address to listen on (default: 127.0.0.1)"},
    {"port", OPTION_INTEGER, &options.port, "N", 0, 65535,
     "port (default: 8080); 0: any, see the URL printed"},
    {"model", OPTION_TEXT, &model_name, "NAME", 0, 0,
     "connections are tasks (the default) or threads; pool: a pool answers the requests; "
     "processes: several processes, see --inside"},
    {"workers", OPTION_INTEGER, &workers, "N", 1, 1000,
     "threads of the pool (default: 16), or processes (default: one for each processor)"},
    {"inside", OPTION_TEXT, &inside, "NAME", 0, 0,
     "in each of the processes: tasks (the default), threads, or pool"},
    {"threads", OPTION_INTEGER, &threads, "N", 1, 1000,
     "of the pool in each of the processes (default: 16)"},
    {"latency", OPTION_MILLIS, &options.latency, "MS", 0, 60000,
     "each answer takes MS milliseconds"},
    {"jitter", OPTION_MILLIS, &options.jitter, "MS", 0, 60000, "up to MS more or less"},
    {"limit", OPTION_NUMBER, &options.limit, "N", 0.01, 1e6, "requests per second; more get 429"},
    {"burst", OPTION_NUMBER, &options.burst, "N", 1, 1e6,
     "how many at once (default: half the limit, 2 at least)"},
    {"fail-rate", OPTION_NUMBER, &options.fail_rate, "P", 0, 1,
     "the share of answers that are a 500"},
    {"seed", OPTION_INTEGER, &options.seed, "N", 0, 0, "of jitter and failures (default: 1)"},
    {"api-key", OPTION_TEXT, &options.api_key, "KEY", 0, 0,
     "what /v/2.0/sensors/ wants as X-API-KEY"},
    {"idle-timeout", OPTION_MILLIS, &options.idle_timeout, "MS", 1, 3600000,
     "of connections (default: 15000)"},
    {"max-connections", OPTION_INTEGER, &options.max_connections, "N", 1, 100000,
     "of the whole server; more get 503 (default: 20000)"},
    {"stop-after", OPTION_SECONDS, &stop_after, "S", 0.001, 1e6, "stop by itself after S seconds"},
    {"with-parent", OPTION_INTEGER, &parent, "PID", 1, 1e9, "stop when the parent, PID, ends"},
    {.name = NULL},
};

/* What the table of options cannot say. @return 0, or EXIT_USAGE after a complaint */
static int check_options(void)
{
    const bool processes = strcmp(model_name, "processes") == 0;

    if (!processes && !server_model_exists(model_name))
        complain("--model: not tasks, threads, pool or processes: '%s' (try --help)", model_name);
    else if (!processes && (inside != NULL || threads != 0))
        complain("%s is for --model processes (try --help)",
                 inside != NULL ? "--inside" : "--threads");
    else if (inside != NULL && !server_model_exists(inside))
        complain("--inside: not tasks, threads or pool: '%s' (try --help)", inside);
    else if (threads != 0 && (inside == NULL || strcmp(inside, "pool") != 0))
        complain("--threads is for --inside pool (try --help)");
    else
        return 0;
    return EXIT_USAGE;
}

static int run_model(const sigset_t *set)
{
    const struct prefork_options how = {
        .workers = (size_t)workers,
        .inside = inside != NULL ? inside : "tasks",
        .threads = threads > 0 ? (size_t)threads : POOL_SIZE,
        .grace = GRACE,
    };
    struct server_model model;
    int err, status;

    if (strcmp(model_name, "processes") == 0)
        return run_processes(&options, &how, set, stop_after);
    err = server_model_make(&model, model_name, workers > 0 ? (size_t)workers : POOL_SIZE);
    if (err < 0) {
        complain("%s", conc_describe(err));
        return EXIT_FAILURE;
    }
    status = run(&options, &model, set, stop_after);
    server_model_free(&model);
    return status;
}

int main(int argc, char **argv)
{
    const struct program program = {.about = "A web server for libconc's examples.",
                                    .options = OPTIONS};
    sigset_t set;
    int err, status;

    options_parse(argc, argv, &program);
    status = check_options();
    if (status != 0)
        return status;
    block_signals(&set);
    raise_descriptor_limit();
    err = parent != 0 ? stay_with_parent((pid_t)parent) : 0;
    if (err < 0) {
        complain("%s", conc_describe(err));
        return EXIT_FAILURE;
    }
    return run_model(&set);
}
