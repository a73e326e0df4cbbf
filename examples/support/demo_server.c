/* SPDX-License-Identifier: MIT
 *
 * demo_server.c: the web server that the examples talk to, and the chapter's 'multi-user
 * application'.
 *
 * Watch for the model: the same job serves a connection as a task among thousands on one thread, or
 * in a thread of its own, or with a pool of threads to answer the requests; which one is an
 * argument, and nothing else in the server knows (server/model.c, server/connection.c). Or several
 * processes do so, each of them with tasks, on one listening socket (server/prefork.c). Signals are
 * taken by sigtimedwait() in the main thread, so there is no handler, and nothing that a handler
 * must not do.
 *
 * A connection is a descriptor (and a thread that waits for one has another, to be woken through):
 * the limit for these is raised at the start as far as the system allows (ulimit -Hn). Where that is
 * too little, connections wait in the kernel until others have gone, and the server says so.
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

/* Print the URL, for whoever started this. */
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
        complain("%s", conc_error_message());
    if (server != NULL) {
        server_stop(server, GRACE);
        server_free(server);
    }
    return err < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}

/* The same in several processes. */
static int run_processes(const struct server_options *options, size_t workers, const sigset_t *set,
                         int64_t stop_after)
{
    struct prefork *prefork = NULL;
    int err = prefork_start(&prefork, options, workers, GRACE);

    if (err == 0)
        err = announce(prefork_url(prefork));
    if (err == 0)
        wait_for_signal(set, stop_after);
    else
        complain("%s", conc_error_message());
    prefork_stop(prefork);
    return err < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}

int main(int argc, char **argv)
{
    struct server_options options = {.port = 8080, .address = "127.0.0.1", .seed = 1};
    const char *name = "tasks";
    int64_t workers = 0, stop_after = 0, parent = 0;
    const struct option_spec rows[] = {
        {"address", OPTION_TEXT, &options.address, "A", 0, 0,
         "numeric address to listen on (default: 127.0.0.1)"},
        {"port", OPTION_INTEGER, &options.port, "N", 0, 65535,
         "port (default: 8080); 0: any, see the URL printed"},
        {"model", OPTION_TEXT, &name, "NAME", 0, 0,
         "connections are tasks (the default) or threads; pool: a pool answers the requests; "
         "processes: tasks in several processes"},
        {"workers", OPTION_INTEGER, &workers, "N", 1, 1000,
         "threads of the pool (default: 16), or processes (default: one for each processor)"},
        {"latency", OPTION_MILLIS, &options.latency, "MS", 0, 60000,
         "each answer takes MS milliseconds"},
        {"jitter", OPTION_MILLIS, &options.jitter, "MS", 0, 60000, "up to MS more or less"},
        {"limit", OPTION_NUMBER, &options.limit, "N", 0.01, 1e6,
         "requests per second; more get 429"},
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
         "more get 503 (default: 20000)"},
        {"stop-after", OPTION_SECONDS, &stop_after, "S", 0.001, 1e6,
         "stop by itself after S seconds"},
        {"with-parent", OPTION_INTEGER, &parent, "PID", 1, 1e9, "stop when the parent, PID, ends"},
        {.name = NULL},
    };
    const struct program program = {.about = "A web server for libconc's examples.",
                                    .options = rows};
    struct server_model model;
    sigset_t set;
    int err, status;

    options_parse(argc, argv, &program);
    block_signals(&set);
    raise_descriptor_limit();
    if (parent != 0 && stay_with_parent((pid_t)parent) < 0) {
        complain("%s", conc_error_message());
        return EXIT_FAILURE;
    }
    if (strcmp(name, "processes") == 0)
        return run_processes(&options, (size_t)workers, &set, stop_after);
    err = server_model_make(&model, name, workers > 0 ? (size_t)workers : POOL_SIZE);
    if (err < 0) {
        complain(err == -EINVAL ? "--model: %s (try --help)" : "%s", conc_error_message());
        return err == -EINVAL ? EXIT_USAGE : EXIT_FAILURE;
    }
    status = run(&options, &model, &set, stop_after);
    server_model_free(&model);
    return status;
}
