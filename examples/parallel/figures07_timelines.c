/* SPDX-License-Identifier: MIT
 *
 * Figures 7-1, 7-2, 7-3 and 7-7: who does what, and who waits for what, when: drawn from real runs.
 *
 *     7-1  three sensor servers, one after another
 *     7-2  three tasks wait for them at the same time; the answers are parsed in one place, in the
 *          order in which they come
 *     7-3  three threads, each of which does all for one server
 *     7-7  the three threads of Listing 7-5: main, fetch and parse, with two queues and an end
 *          marker
 *
 * Watch: download() and parse() are the same in the first three. The dots (waiting) stand one
 * behind the other in 7-1 and one above the other in 7-2 and 7-3; in 7-7 parse resumes whenever
 * fetch has got all that it was given. Each context notes its own steps (support/timeline.h): a
 * line before each. No step is too short for a column of its chart, so that a column is not always
 * as long as another: the numbers below tell.
 */
#include <conc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "figures07.h"
#include "support/listing.h"
#include "support/server/server.h"

int64_t request_timeout = CONC_S(10);

/* ---- A server of our own ---- */

struct own_server {
    struct server_model model;
    struct server *server; /* NULL: none */
};

/* Its answers take more or less long, so that they don't come in the order of the requests. */
static int own_server_start(struct own_server *own, int64_t latency)
{
    const struct server_options options = {.latency = latency, .jitter = latency / 2, .seed = 1};
    struct server *server;
    int err = server_model_make(&own->model, "tasks", 0);
    if (err)
        return err;
    err = server_new(&server, &options, &own->model);
    if (err)
        goto free_model;
    err = server_start(server);
    if (err)
        goto free_server;
    own->server = server;
    return 0;

free_server:
    server_free(server);
free_model:
    server_model_free(&own->model);
    return err;
}

static void own_server_stop(struct own_server *own)
{
    if (own->server == NULL)
        return;
    server_stop(own->server, 0);
    server_free(own->server);
    server_model_free(&own->model);
}

/* ---- Main ---- */

static const struct figure {
    const char *number, *title;
    int (*run)(struct timeline *t, const char *server);
} FIGURES[] = {
    {"1", "Figure 7-1, one after another", figure7_1},
    {"2", "Figure 7-2, tasks wait at the same time, one of them parses", figure7_2},
    {"3", "Figure 7-3, threads", figure7_3},
    {"7", "Figure 7-7, main, fetch and parse of Listing 7-5", figure7_7},
};

enum { FIGURES_COUNT = sizeof FIGURES / sizeof *FIGURES };

static const char *wanted, *server, *picture;
static int64_t latency = -1, width = 72;
static bool list_steps;

/* Run it, and print its chart. */
static int show(const struct figure *figure, struct timeline *t, const char *url)
{
    int err = figure->run(t, url);
    if (err)
        return err;
    err = timeline_finish(t);
    if (err)
        return err;
    err = timeline_print(t, stdout, (size_t)width);
    if (err)
        return err;
    return list_steps ? timeline_print_steps(t, stdout) : 0;
}

static int show_all(const char *url)
{
    struct timeline timelines[FIGURES_COUNT];
    size_t n = 0;
    int err = 0;
    for (size_t i = 0; !err && i < FIGURES_COUNT; i++) {
        if (wanted != NULL && strcmp(wanted, FIGURES[i].number) != 0)
            continue;
        if (n > 0)
            printf("\n");
        timeline_init(&timelines[n], FIGURES[i].title);
        err = show(&FIGURES[i], &timelines[n++], url);
    }
    if (!err && picture != NULL) {
        err = timeline_picture(timelines, n, picture);
        if (!err)
            printf("\nDrawn: %s.svg, %s.png\n", picture, picture);
    }
    while (n > 0)
        timeline_destroy(&timelines[--n]);
    return err;
}

static void check_options(void)
{
    bool known = wanted == NULL;
    for (size_t i = 0; i < FIGURES_COUNT && !known; i++)
        known = strcmp(wanted, FIGURES[i].number) == 0;
    if (!known)
        complain("--figure: not 1, 2, 3 or 7: '%s' (try --help)", wanted);
    else if (server != NULL && latency >= 0)
        complain("--latency is for the program's own server, not for --server (try --help)");
    else if (picture != NULL && *picture == '\0')
        complain("--picture: a name is missing (try --help)");
    else
        return;
    exit(EXIT_USAGE);
}

int main(int argc, char **argv)
{
    const struct option_spec options[] = {
        {"figure", OPTION_TEXT, &wanted, "N", 0, 0, "only 7-N: 1, 2, 3 or 7 (default: all)"},
        {"server", OPTION_TEXT, &server, "URL", 0, 0,
         "ask this server (default: one of the program's own)"},
        {"latency", OPTION_MILLIS, &latency, "MS", 0, 60000,
         "the own server's answers take MS milliseconds, half more or less (default: 100)"},
        OPTION_ROW_TIMEOUT(&request_timeout),
        {"width", OPTION_INTEGER, &width, "N", TIMELINE_WIDTH_MIN, TIMELINE_WIDTH_MAX,
         "columns of a chart (default: 72)"},
        {"steps", OPTION_FLAG, &list_steps, NULL, 0, 0, "list the steps too, with their times"},
        {"picture", OPTION_TEXT, &picture, "BASE", 0, 0,
         "draw BASE.svg, and with gnuplot BASE.png"},
        {.name = NULL},
    };
    struct own_server own = {.server = NULL};
    int err = 0;
    parse_options(argc, argv, "Figures 7-1, 7-2, 7-3, 7-7: who waits for what, when.", options);
    check_options();
    if (server == NULL)
        err = own_server_start(&own, latency >= 0 ? latency : CONC_MS(100));
    if (!err)
        err = show_all(server != NULL ? server : server_url(own.server));
    int status = exit_status(err);
    own_server_stop(&own);
    return status;
}
