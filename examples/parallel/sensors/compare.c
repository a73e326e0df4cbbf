/* SPDX-License-Identifier: MIT
 *
 * compare.c, the chapter's Figure 7-9: how long it takes to collect the data of 1, 2, 5, 10, 20 or
 * 50 APIs in each mode, and what that costs.
 *
 * Watch: but for the sequential one all modes take the time of one answer. What they need for it is
 * not the same: a thread or a process for each request, or one thread for all of them. So each run
 * is a child process of its own, whose processor time and memory are told beside (measure.c).
 *
 * As in the chapter all APIs are one server's: it is a process of ours with a task for each
 * connection, so that it keeps none of them waiting. A run's time is that of the whole program: its
 * start, and the writing of the rows, are in it.
 */
#include "compare.h"

#include <conc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "interrupt.h"
#include "measure.h"
#include "plot.h"
#include "support/report.h"
#include "support/server/server.h"

enum { COUNT_MAX = 1000 };

static const int64_t PATIENCE = CONC_S(60); /* of a run with a server, besides the latency */

/* ---- The server ---- */

/* A connection is a descriptor. */
static void raise_descriptor_limit(void)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
        return;
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
}

/* Tell the URL, and wait for the end of the pipe. */
static int serve_parent(struct server *server, conc_pipe *parent)
{
    const char *url = server_url(server);
    conc_bytes message;
    int err = server_start(server);

    if (!err)
        err = conc_pipe_send(parent, url, strlen(url) + 1, CONC_FOREVER);
    if (!err)
        conc_pipe_recv(parent, &message, CONC_FOREVER); /* there will be none */
    server_stop(server, 0);
    return err;
}

/* A conc_fn: the process of the server, whose latency is the argument. */
static int serve(void *arg, void *result)
{
    const struct server_options options = {.latency = *(int64_t *)arg, .seed = 1};
    struct server_model model;
    struct server *server;
    conc_pipe *parent;
    int err;

    raise_descriptor_limit();
    err = conc_pipe_new_from_fd(&parent, conc_process_fd(0));
    if (err)
        return err;
    err = server_model_make(&model, "tasks", 0);
    if (err)
        goto free_pipe;
    err = server_new(&server, &options, &model);
    if (err)
        goto free_model;
    err = serve_parent(server, parent);
    server_free(server);
free_model:
    server_model_free(&model);
free_pipe:
    conc_pipe_free(parent);
    return err;
}

/* Start the server, and get its URL. */
static int start_server(conc_process **ret, conc_pipe **ours, int64_t latency, char *url,
                        size_t room)
{
    conc_pipe *theirs;
    int err = conc_pipe_new(ours, &theirs);

    if (err)
        return conc_raise(err, "cannot start a server: %s", conc_strerror(err));
    err = conc_process_start(ret, serve, &latency, sizeof latency,
                             &(conc_process_options){
                                 .name = "server",
                                 .fds = (const int[]){conc_pipe_fd(theirs)},
                                 .n_fds = 1,
                             });
    conc_pipe_free(theirs);
    if (err)
        goto free_pipe;
    ptrdiff_t n = conc_pipe_recv_into(*ours, url, room, CONC_FOREVER);
    if (n > 0)
        return 0;
    err = (int)n;
    if (n == -ENODATA) /* it has ended, and its error says why */
        err = conc_process_join(*ret, CONC_FOREVER);
    conc_process_free(*ret);
free_pipe:
    conc_pipe_free(*ours);
    return err;
}

/* ---- The runs ---- */

struct comparing {
    struct table table;
    const char *picture;
    char directory[PATH_MAX]; /* for the databases */
    char url[128];
    conc_executor *measurer; /* a process */
};

static int measure_one(struct comparing *c, size_t mode, size_t i)
{
    struct order order = {.count = c->table.counts[i], .timeout = c->table.latency + PATIENCE};
    int err;

    strcpy(order.mode, MODES[mode].name);
    strcpy(order.url, c->url);
    if (snprintf(order.file, sizeof order.file, "%s/db", c->directory) >= (int)sizeof order.file)
        return conc_raise(-ENAMETOOLONG, "%.160s: too long a name", c->directory);
    err = conc_call(c->measurer, measure, &order, sizeof order, &c->table.costs[mode][i],
                    sizeof(struct cost), CONC_FOREVER);
    if (!err)
        conc_unlink(order.file, CONC_NOW); /* each run begins with nothing */
    return err;
}

static void print_head(const struct table *table, const char *what)
{
    printf("\n%-17s", what);
    for (size_t i = 0; i < table->counts_used; i++)
        printf("%8d", (int)table->counts[i]);
    printf("\n");
}

/* Each number is printed when it is there: it takes a while. */
static int measure_all(struct comparing *c)
{
    int err = 0;

    print_head(&c->table, "wall time, s");
    for (size_t mode = 0; !err && mode < MODES_COUNT; mode++) {
        printf("  %-15s", MODES[mode].name);
        for (size_t i = 0; !err && i < c->table.counts_used; i++) {
            fflush(stdout);
            err = measure_one(c, mode, i);
            if (!err)
                printf("%8.2f", c->table.costs[mode][i].wall);
        }
        printf("\n");
    }
    return err;
}

static void print_rest(const struct table *table)
{
    print_head(table, "processor time, s");
    for (size_t mode = 0; mode < MODES_COUNT; mode++) {
        printf("  %-15s", MODES[mode].name);
        for (size_t i = 0; i < table->counts_used; i++)
            printf("%8.3f", table->costs[mode][i].cpu);
        printf("\n");
    }
    print_head(table, "peak memory, MiB");
    for (size_t mode = 0; mode < MODES_COUNT; mode++) {
        printf("  %-15s", MODES[mode].name);
        for (size_t i = 0; i < table->counts_used; i++)
            printf("%8.1f", table->costs[mode][i].mib);
        printf("\n");
    }
}

/* ---- All of it ---- */

static int compare_in_directory(struct comparing *c)
{
    conc_process *server;
    conc_pipe *pipe;
    int err = start_server(&server, &pipe, c->table.latency, c->url, sizeof c->url);

    if (err)
        return err;
    err = conc_process_pool_new(&c->measurer, 1, NULL);
    if (err)
        goto stop_server;
    printf("N APIs, each of which answers after %g ms\n",
           (double)c->table.latency / (double)CONC_MS(1));
    err = measure_all(c);
    if (!err)
        print_rest(&c->table);
    if (conc_is_cancelled()) /* a run that has begun is not waited for */
        conc_process_pool_kill_workers(c->measurer);
    conc_executor_free(c->measurer);
stop_server:
    conc_pipe_free(pipe);
    conc_process_free(server);
    return err;
}

/* Also what a run has left behind that was killed. */
static void remove_directory(const char *directory)
{
    static const char *const FILES[] = {"db-journal", "db"};
    char path[PATH_MAX];

    for (size_t i = 0; i < sizeof FILES / sizeof *FILES; i++)
        if (snprintf(path, sizeof path, "%s/%s", directory, FILES[i]) < (int)sizeof path)
            conc_unlink(path, CONC_NOW);
    conc_rmdir(directory, CONC_NOW);
}

static int compare_all(void *arg)
{
    struct comparing *c = arg;
    const char *tmp = getenv("TMPDIR");
    int err;

    snprintf(c->directory, sizeof c->directory, "%s/sensors-XXXXXX",
             tmp != NULL && *tmp != '\0' ? tmp : "/tmp");
    if (mkdtemp(c->directory) == NULL)
        return conc_raise(-errno, "%.160s: %s", c->directory, conc_strerror(errno));
    err = compare_in_directory(c);
    remove_directory(c->directory);
    if (!err && c->picture != NULL)
        err = plot(&c->table, c->picture);
    if (err == -ENOPKG) { /* the table is there all the same */
        complain("%s", conc_describe(err));
        err = 0;
    }
    return err;
}

/* "1,2,5" */
static bool parse_counts(const char *text, struct table *table)
{
    while (table->counts_used < COUNTS_MAX) {
        char *end;
        long count = strtol(text, &end, 10);

        if (end == text || count < 1 || count > COUNT_MAX)
            return false;
        table->counts[table->counts_used++] = count;
        if (*end == '\0')
            return true;
        if (*end != ',')
            return false;
        text = end + 1;
    }
    return false;
}

int compare(const struct comparison *comparison)
{
    static struct comparing c;
    struct failures failures = {0};
    int signo = 0, err;

    c.table.latency = comparison->latency;
    if (!parse_counts(comparison->counts, &c.table)) {
        complain("--counts: not numbers from 1 to %d, %d of them at most: '%s' (try --help)",
                 COUNT_MAX, COUNTS_MAX, comparison->counts);
        return EXIT_USAGE;
    }
    c.picture = comparison->picture;
    err = init_deaf_processes();
    if (!err)
        err = run_until_interrupted(compare_all, &c, &signo);
    if (err == -ECANCELED && signo != 0) {
        complain("interrupted");
        return 128 + signo;
    }
    failures_add(&failures, err);
    return failures_report(&failures);
}
