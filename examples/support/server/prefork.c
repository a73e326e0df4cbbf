/* SPDX-License-Identifier: MIT
 *
 * prefork.c: several processes accept from one listening socket.
 *
 * The socket is the parent's, which does not accept: each worker gets it as a descriptor, and the
 * kernel gives a connection to the worker that takes it first. A worker is a whole server, with a
 * model of its own (model.c): a loop on which each connection is a task, or a thread for each, or a
 * pool of threads. What it has in common with the others is the socket and, in shared memory, the
 * traffic (traffic.c), where each has a place.
 *
 * The end: the workers have one end of a pipe, the parent alone has the other. When it closes that,
 * each of them sees the end of the input and stops. Signals are the parent's business: a Ctrl-C,
 * which the terminal sends to all of them, is blocked in the workers. If the parent is killed the
 * workers are too, by libconc.
 *
 * Each worker has a keeper, a thread of the parent's that waits for its end. If that comes without
 * having been asked for, the connections that it had are taken off the count of those that there
 * are, and another worker takes its place.
 */
#include "support/server/prefork.h"

#include <conc.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "support/report.h"
#include "support/server/internal.h"

enum {
    KEY_BYTES = 256,
    MODEL_BYTES = 16,
    /* Before a worker is replaced, so that one that always ends at once does not keep us busy. */
    PAUSE_MS = 100,
};

/* The descriptors of a worker. */
enum { LISTENER, TRAFFIC, STOP, DESCRIPTORS };

/* All that a worker is told: a value. */
struct orders {
    struct server_options options; /* without pointers */
    bool has_key;
    char api_key[KEY_BYTES], url[URL_BYTES], inside[MODEL_BYTES];
    size_t threads, place;
    int64_t grace;
};

struct keeper {
    struct prefork *prefork;
    size_t place; /* its worker's in the traffic */
    conc_process *worker;
    conc_thread *thread;
};

struct prefork {
    struct orders orders; /* for all: the place is filled in for each */
    struct listening listening;
    conc_pipe *ours, *theirs;
    conc_event stopping;
    size_t count;
    struct keeper keepers[];
};

/* ---- A worker ---- */

static void leave_signals_to_parent(void)
{
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGHUP);
    pthread_sigmask(SIG_BLOCK, &set, NULL);
}

/* Make a server of what the orders and the descriptors say. */
static int make_server(struct orders *orders, const struct server_model *model, struct server **ret)
{
    struct listening listening = {.fd = conc_process_fd(LISTENER), .place = orders->place};
    void *block;
    int err = conc_shared_map(&block, NULL, conc_process_fd(TRAFFIC));

    if (err < 0)
        return err;
    listening.traffic = block;
    memcpy(listening.url, orders->url, sizeof listening.url);
    if (orders->has_key)
        orders->options.api_key = orders->api_key;
    err = server_adopt(ret, &orders->options, model, &listening);
    if (err < 0)
        listening_close(&listening);
    return err;
}

/* Nothing is ever sent: the end of the pipe is the message. */
static void wait_for_end(void)
{
    conc_pipe *stop;
    conc_bytes message;

    if (conc_pipe_new_from_fd(&stop, conc_process_fd(STOP)) < 0)
        return;
    conc_pipe_recv(stop, &message, CONC_FOREVER);
    conc_pipe_free(stop);
}

/* A conc_fn: all of a worker's life. */
static int worker(void *arg, void *result)
{
    struct orders *orders = arg;
    struct server_model model;
    struct server *server;
    int err;

    leave_signals_to_parent();
    err = server_model_make(&model, orders->inside, orders->threads);
    if (err < 0)
        return err;
    err = make_server(orders, &model, &server);
    if (err < 0)
        goto free_model;
    err = server_start(server);
    if (err == 0)
        wait_for_end();
    server_stop(server, orders->grace);
    server_free(server);
free_model:
    server_model_free(&model);
    return err;
}

/* ---- The parent ---- */

static int start_worker(struct keeper *keeper)
{
    struct prefork *prefork = keeper->prefork;
    const int fds[DESCRIPTORS] = {
        [LISTENER] = prefork->listening.fd,
        [TRAFFIC] = conc_shared_fd(prefork->listening.traffic),
        [STOP] = conc_pipe_fd(prefork->theirs),
    };
    const conc_process_options options = {.name = "worker", .fds = fds, .n_fds = DESCRIPTORS};
    struct orders orders = prefork->orders;

    orders.place = keeper->place;
    return conc_process_start(&keeper->worker, worker, &orders, sizeof orders, &options);
}

/* A conc_fn: a thread's. */
static int keep(void *arg, void *result)
{
    struct keeper *keeper = *(struct keeper **)arg;
    conc_event *stopping = &keeper->prefork->stopping;
    int err = 0;

    do {
        if (err == 0) /* there is one */
            err = conc_process_join(keeper->worker, CONC_FOREVER);
        conc_process_free(keeper->worker);
        keeper->worker = NULL;
        traffic_leave(keeper->prefork->listening.traffic, keeper->place);
        if (conc_event_is_set(stopping))
            break;
        complain("%s", err < 0 ? conc_describe(err) : "a worker has ended");
        if (conc_event_wait(stopping, conc_in(CONC_MS(PAUSE_MS))) == 0)
            break;
        err = start_worker(keeper);
    } while (true);
    return 0;
}

/* Fill in the orders, all-zero before: the options without what points to something. */
static int make_orders(struct orders *ret, const struct server_options *options,
                       const struct prefork_options *how, const char *url)
{
    if (!server_model_exists(how->inside) || strlen(how->inside) >= sizeof ret->inside)
        return conc_raise(-EINVAL, "no model: '%s'", how->inside);
    strcpy(ret->inside, how->inside);
    ret->threads = how->threads;
    ret->grace = how->grace;
    ret->options = *options;
    ret->options.address = ret->options.api_key = NULL;
    strcpy(ret->url, url); /* of the same size; what follows its end stays zero */
    if (options->api_key == NULL)
        return 0;
    if (strlen(options->api_key) >= sizeof ret->api_key)
        return conc_raise(-EINVAL, "the API key is too long");
    strcpy(ret->api_key, options->api_key);
    ret->has_key = true;
    return 0;
}

static int start_keepers(struct prefork *prefork, size_t workers)
{
    while (prefork->count < workers) {
        struct keeper *keeper = &prefork->keepers[prefork->count];

        keeper->prefork = prefork;
        keeper->place = prefork->count++;
        int err = start_worker(keeper);
        if (err < 0)
            return err;
        err = conc_thread_start(&keeper->thread, keep, &keeper, sizeof keeper, NULL);
        if (err < 0)
            return err;
    }
    return 0;
}

int prefork_start(struct prefork **ret, const struct server_options *options,
                  const struct prefork_options *how)
{
    const size_t workers = how->workers > 0 ? how->workers : (size_t)sysconf(_SC_NPROCESSORS_ONLN);
    struct prefork *prefork;
    char why[CONC_MESSAGE_MAX];
    int err;

    prefork = calloc(1, sizeof *prefork + workers * sizeof *prefork->keepers);
    if (prefork == NULL)
        return conc_raise(-ENOMEM, "out of memory");
    conc_event_init(&prefork->stopping);
    err = listening_open(&prefork->listening, options, workers);
    if (err < 0) {
        free(prefork);
        return err;
    }
    err = make_orders(&prefork->orders, options, how, prefork->listening.url);
    if (err < 0)
        goto fail;
    err = conc_pipe_new(&prefork->ours, &prefork->theirs);
    if (err < 0)
        goto fail;
    err = start_keepers(prefork, workers);
    if (err < 0)
        goto fail;
    *ret = prefork;
    return 0;

fail:
    snprintf(why, sizeof why, "%s", conc_describe(err));
    prefork_stop(prefork);
    return conc_raise(err, "no workers: %s", why);
}

const char *prefork_url(const struct prefork *prefork) { return prefork->listening.url; }

void prefork_stop(struct prefork *prefork)
{
    if (prefork == NULL)
        return;
    conc_event_set(&prefork->stopping);
    conc_pipe_free(prefork->ours);
    for (size_t i = 0; i < prefork->count; i++) {
        struct keeper *keeper = &prefork->keepers[i];

        if (keeper->thread != NULL)
            conc_thread_join(keeper->thread, NULL, CONC_FOREVER);
        else
            conc_process_free(keeper->worker); /* the last one, if its keeper could not be had */
        conc_thread_free(keeper->thread);
    }
    conc_pipe_free(prefork->theirs);
    listening_close(&prefork->listening);
    free(prefork);
}
