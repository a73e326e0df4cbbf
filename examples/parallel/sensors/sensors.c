/* SPDX-License-Identifier: MIT
 *
 * sensors.c, the chapter's apd.aggregation: collect the data of many servers' sensors into a
 * database, in each of the forms that the chapter goes through (modes.c, nonblocking.c), and
 * compare them (Figure 7-9: compare.c).
 *
 * Watch how little depends on the form. The job, get_data_points(), is one function for all of them
 * but the non-blocking one; collect_sensor_data() below is called, or run as the main task of a
 * loop; the database waits by libconc in both cases (db_postgres.c), or in a thread (db_sqlite.c);
 * and a Ctrl-C cancels whatever it is that runs (interrupt.c).
 *
 * All rows are written in one transaction, at the end: all of them, or none.
 */
#include <conc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "compare.h"
#include "db.h"
#include "interrupt.h"
#include "modes.h"
#include "support/options.h"
#include "support/report.h"

enum { WORKERS_MAX = 200 }; /* of a pool, unless the user wants more */

/* What was asked for, and how far it has come. */
struct session {
    const struct mode *mode;
    const char *api_key, *db;
    bool tolerate_failures;
    int64_t timeout; /* nanoseconds */
    int64_t workers; /* 0: one for each server */
    const char *const *servers;
    size_t count;
    struct query *queries;
    struct outcome *outcomes;
    size_t failed, points;
    int signo; /* the signal that has ended it; 0: none */
};

/* ---- The database ---- */

/* A server is the same with and without a slash at its end. */
static int add_points(struct db *db, const char *server, const conc_bytes *points)
{
    const struct data_point *point = points->data;
    const size_t length = strlen(server);
    char name[HTTP_URL_MAX];
    int err = 0;

    snprintf(name, sizeof name, "%s", server); /* a longer one has no URL, and so no points */
    if (length > 0 && server[length - 1] == '/')
        name[length - 1] = '\0';
    for (size_t i = 0; !err && i < points->size / sizeof *point; i++)
        err = db_add(db, name, &point[i]);
    return err;
}

/* A conc_fn: all that was collected, in one transaction. */
static int store(void *arg, void *result)
{
    const struct session *s = *(struct session **)arg;
    struct db *db;
    int err = db_open(&db, s->db, conc_in(s->timeout));

    if (err)
        return err;
    for (size_t i = 0; !err && i < s->count; i++)
        err = add_points(db, s->servers[i], &s->outcomes[i].points);
    if (!err)
        err = db_commit(db);
    db_close(db);
    return err;
}

/* store() as a task's: if it would block the loop, in a thread of the loop's. Nothing is used any
 * more after the return, also if the task is cancelled. */
static int store_from_task(struct session *s)
{
    conc_scope shield;
    conc_future *future;
    int err;

    if (!db_blocks(s->db))
        return store(&s, NULL);
    future = conc_to_thread(store, &s, sizeof s, 0);
    conc_future_wait(future, CONC_FOREVER);
    if (conc_is_cancelled())
        conc_future_cancel(future);
    conc_shield_enter(&shield);
    err = conc_future_result(future, NULL, CONC_FOREVER);
    conc_shield_exit(&shield);
    conc_future_unref(future);
    return err;
}

/* ---- The collecting ---- */

/* Name the servers that have failed. @return 0: go on, and write what there is */
static int judge(struct session *s)
{
    for (size_t i = 0; i < s->count; i++) {
        s->points += s->outcomes[i].points.size / sizeof(struct data_point);
        if (s->outcomes[i].err) {
            s->failed++;
            complain("%s", s->outcomes[i].message);
        }
    }
    if (s->failed == 0 || (s->tolerate_failures && s->failed < s->count))
        return 0;
    return conc_raise(-EIO, "%zu of %zu server%s failed: nothing was written", s->failed, s->count,
                      s->count > 1 ? "s" : "");
}

static int collect_sensor_data(void *arg)
{
    struct session *s = arg;
    const size_t most = s->count < WORKERS_MAX ? s->count : WORKERS_MAX;
    int err = s->mode->add_data_from_sensors(s->queries, s->count, s->outcomes,
                                             s->workers > 0 ? (size_t)s->workers : most);

    if (err)
        return err;
    err = judge(s);
    if (err)
        return err;
    return s->mode->on_loop ? store_from_task(s) : store(&s, NULL);
}

/* A conc_fn: the whole session. */
static int session_main(void *arg, void *result)
{
    struct session *s = *(struct session **)arg;

    return run_until_interrupted(collect_sensor_data, s, &s->signo);
}

static int session_run(struct session *s)
{
    s->queries = calloc(s->count, sizeof *s->queries);
    s->outcomes = calloc(s->count, sizeof *s->outcomes);
    if (s->queries == NULL || s->outcomes == NULL)
        return conc_raise(-ENOMEM, "out of memory");
    for (size_t i = 0; i < s->count; i++) {
        int err = query_make(&s->queries[i], s->servers[i], s->api_key, s->timeout);
        if (err)
            return err;
    }
    return s->mode->on_loop ? conc_run(session_main, &s, sizeof s, NULL, 0)
                            : session_main(&s, NULL);
}

/* The end of main(): what was done, or why not. */
static int session_end(struct session *s, int err)
{
    struct failures failures = {0};

    if (!err)
        printf("Collected %zu data points from %zu of %zu server%s\n", s->points,
               s->count - s->failed, s->count, s->count > 1 ? "s" : "");
    if (err == -ECANCELED && s->signo != 0)
        complain("interrupted: nothing was written");
    else
        failures_add(&failures, err);
    outcomes_free(s->outcomes, s->outcomes != NULL ? s->count : 0);
    free(s->queries);
    if (err == -ECANCELED && s->signo != 0)
        return 128 + s->signo; /* as a shell has it */
    return failures_report(&failures);
}

/* ---- The command line ---- */

static int usage_error(const char *message)
{
    complain("%s (try --help)", message);
    return EXIT_USAGE;
}

static int collect(struct session *s, const char *mode)
{
    int err;

    s->mode = mode_find(mode);
    if (s->mode == NULL)
        return usage_error(
            "--mode: not sequential, nonblocking, threads, pool, processes or tasks");
    if (s->count == 0)
        return usage_error("no server");
    err = db_check(s->db);
    if (err)
        return usage_error(conc_describe(err));
    err = strcmp(mode, "processes") == 0 ? init_deaf_processes() : 0;
    if (!err)
        err = session_run(s);
    return session_end(s, err);
}

int main(int argc, char **argv)
{
    struct session s = {.db = "sqlite:sensors.db", .timeout = CONC_S(10)};
    struct comparison comparison = {.counts = "1,2,5,10,20,50", .latency = CONC_MS(200)};
    const char *mode = "tasks";
    bool to_compare = false;
    const struct option_spec options[] = {
        {"mode", OPTION_TEXT, &mode, "MODE", 0, 0,
         "sequential, nonblocking, threads, pool, processes or tasks (the default)"},
        {"api-key", OPTION_TEXT, &s.api_key, "KEY", 0, 0, "what the servers want as X-API-KEY"},
        {"tolerate-failures", OPTION_FLAG, &s.tolerate_failures, NULL, 0, 0,
         "write what the others say, and exit with 0, if some servers fail; without it, and if all "
         "fail, nothing is written and the exit status is 1"},
        {"db", OPTION_TEXT, &s.db, "URL", 0, 0,
         "sqlite:FILE or postgresql://... (default: sqlite:sensors.db)"},
        {"timeout", OPTION_SECONDS, &s.timeout, "S", 0.001, 3600,
         "give a server, and the database, up after S seconds (default: 10)"},
        {"workers", OPTION_INTEGER, &s.workers, "N", 1, 1000,
         "threads or processes of a pool (default: one for each server, 200 at most)"},
        {"compare", OPTION_FLAG, &to_compare, NULL, 0, 0,
         "Figure 7-9: how long each mode takes, with a server of its own"},
        {"counts", OPTION_TEXT, &comparison.counts, "N,N,...", 0, 0,
         "compare: so many APIs (default: 1,2,5,10,20,50)"},
        {"latency", OPTION_MILLIS, &comparison.latency, "MS", 0, 60000,
         "compare: each answers after MS milliseconds (default: 200)"},
        {"picture", OPTION_TEXT, &comparison.picture, "BASE", 0, 0,
         "compare: draw it as BASE.svg and BASE.png, by gnuplot"},
        {.name = NULL},
    };
    const struct program program = {
        .about = "Collect sensors' data from servers into a database.",
        .operands = "SERVER ...",
        .options = options,
    };
    int first = options_parse(argc, argv, &program);

    s.servers = (const char *const *)argv + first;
    s.count = (size_t)(argc - first);
    if (to_compare && s.count > 0)
        return usage_error("--compare has a server of its own");
    return to_compare ? compare(&comparison) : collect(&s, mode);
}
