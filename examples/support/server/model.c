/* SPDX-License-Identifier: MIT
 *
 * model.c: the ways in which the server can run: which executors its jobs are given to.
 *
 * This table is all there is to it. The jobs themselves (connection.c, routes.c) are ordinary
 * functions that read, write, sleep and lock; they neither know nor ask who runs them. (The model
 * "processes" is none of these: it is several servers, each with one of these, see prefork.c.)
 */
#include <errno.h>
#include <string.h>

#include <conc/loop.h>

#include "support/server/server.h"

/* A loop in a thread of its own: its jobs are tasks. */
static int make_loop(conc_executor **ret, size_t workers) { return conc_loop_pool_new(ret, 1); }

static int make_threads(conc_executor **ret, size_t workers)
{
    return conc_thread_per_job_new(ret);
}

static int make_pool(conc_executor **ret, size_t workers)
{
    return conc_thread_pool_new(ret, workers, NULL);
}

static int make_none(conc_executor **ret, size_t workers)
{
    *ret = NULL;
    return 0;
}

static const struct {
    const char *name;
    int (*make_connections)(conc_executor **ret, size_t workers);
    int (*make_requests)(conc_executor **ret, size_t workers);
} MODELS[] = {
    {"tasks", make_loop, make_none},
    {"threads", make_threads, make_none},
    {"pool", make_loop, make_pool},
};

enum { MODELS_N = sizeof MODELS / sizeof *MODELS };

static size_t find(const char *name)
{
    size_t i = 0;

    while (i < MODELS_N && strcmp(MODELS[i].name, name) != 0)
        i++;
    return i;
}

bool server_model_exists(const char *name) { return find(name) < MODELS_N; }

int server_model_make(struct server_model *ret, const char *name, size_t workers)
{
    struct server_model model;
    const size_t i = find(name);
    int err;

    if (i == MODELS_N)
        return conc_raise(-EINVAL, "not tasks, threads, pool or processes: '%s'", name);
    err = MODELS[i].make_connections(&model.connections, workers);
    if (err == 0 && (err = MODELS[i].make_requests(&model.requests, workers)) < 0)
        conc_executor_free(model.connections);
    if (err < 0)
        return conc_raise(err, "no executor: %s", conc_strerror(err));
    *ret = model;
    return 0;
}

void server_model_free(struct server_model *model)
{
    conc_executor_free(model->connections);
    conc_executor_free(model->requests);
}
