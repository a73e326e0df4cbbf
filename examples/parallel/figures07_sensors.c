/* SPDX-License-Identifier: MIT
 *
 * Figures 7-1, 7-2 and 7-3: three sensor servers are asked in turn, by tasks, by threads.
 *
 * Watch: download() and parse() are written once, for main(), tasks and threads alike. A step lasts
 * until the same context begins its next.
 */
#include <conc.h>
#include <stdio.h>

#include "figures07.h"
#include "support/http_wire.h"
#include "support/json.h"
#include "support/report.h"

enum { SERVERS = 3 };

/* ---- A sensor server ---- */

struct sensors {
    struct timeline *timeline;
    int number; /* of the server: 1, 2, 3 */
    char url[HTTP_URL_MAX];
    struct http_response answer;
};

static int fetch_error(const char *url, int err)
{
    if (err == -ETIMEDOUT)
        return conc_raise(err, URL_SHOWN ": no answer in time", url);
    return conc_raise(err, URL_SHOWN ": %s", url, conc_strerror(err));
}

/* Waiting lasts until the answer's first byte; then it comes. */
static int receive(struct sensors *s, int sock, struct http_reader *reader, conc_deadline deadline)
{
    char data[16 << 10];
    int done = 0;
    for (bool first = true; done == 0; first = false) {
        ssize_t n = conc_recv(sock, data, sizeof data, 0, deadline);
        if (first)
            timeline_begin(s->timeline, "download");
        if (n < 0)
            return fetch_error(s->url, (int)n);
        done = http_reader_feed(reader, data, (size_t)n);
    }
    return done < 0 ? done : http_reader_give(reader, &s->answer);
}

/* Connect, wait, download: in whatever context the caller is. The last step is left to the caller's
 * next to end. */
static int download(struct sensors *s)
{
    conc_deadline deadline = conc_in(request_timeout);
    struct http_request request;
    struct http_reader reader;
    int err = http_request_make(&request, s->url);
    if (err)
        return err;
    timeline_about(s->timeline, "server %d", s->number);
    timeline_begin(s->timeline, "connect");
    int sock = conc_tcp_connect(request.host, request.port, deadline);
    if (sock < 0)
        return fetch_error(s->url, sock);
    timeline_wait(s->timeline, "the answer");
    err = conc_sendall(sock, request.text, request.size, 0, deadline);
    if (err) {
        conc_close(sock);
        return fetch_error(s->url, err);
    }
    http_reader_init(&reader, s->url);
    err = receive(s, sock, &reader, deadline);
    http_reader_free(&reader);
    conc_close(sock);
    return err;
}

static int parse(struct sensors *s)
{
    json_t *data;
    timeline_about(s->timeline, "server %d", s->number);
    timeline_begin(s->timeline, "parse");
    int err = http_check(s->url, &s->answer);
    if (!err)
        err = http_json(s->url, &s->answer, &data);
    if (err)
        return err;
    if (!json_is_array(json_object_get(data, "sensors")))
        err = conc_raise(-EBADMSG, URL_SHOWN ": no list of sensors", s->url);
    json_decref(data);
    timeline_end(s->timeline);
    return err;
}

/* ---- Figure 7-1: one after another ---- */

static int collect_in_turn(struct sensors *servers)
{
    int err = 0;
    for (int i = 0; !err && i < SERVERS; i++) {
        err = download(&servers[i]);
        if (!err)
            err = parse(&servers[i]);
    }
    return err;
}

/* ---- Figure 7-2: tasks wait, one of them parses ---- */

/* The caller's lane in the chart. */
static void name_after(const struct sensors *s)
{
    char name[CONC_NAME_MAX];
    snprintf(name, sizeof name, "server %d", s->number);
    conc_context_set_name(name);
}

static int download_job(void *arg, void *result)
{
    struct sensors *s = *(struct sensors **)arg;
    name_after(s);
    int err = download(s);
    timeline_end(s->timeline);
    return err;
}

/* Wait for all answers, so that no task is left behind, and return the first error. */
static int parse_as_they_come(struct sensors *servers, struct timeline *t,
                              conc_as_completed *arriving)
{
    struct failures failures = {0};
    conc_future *future;
    size_t i;
    int first = 0, next, left = SERVERS;
    while ((next = conc_as_completed_next(arriving, &future, &i, CONC_FOREVER)) > 0) {
        int err = conc_future_result(future, NULL, CONC_NOW);
        if (!err && !first)
            err = parse(&servers[i]);
        failures_add(&failures, err);
        first = first ? first : err;
        if (--left > 0)
            timeline_wait(t, "an answer");
    }
    return next < 0 ? next : first ? conc_raise(first, "%s", failures.message) : 0;
}

static int collect_by_tasks(void *arg, void *result)
{
    struct sensors *servers = *(struct sensors **)arg;
    struct timeline *t = servers->timeline;
    conc_as_completed *arriving;
    conc_future *futures[SERVERS];
    conc_context_set_name("main");
    timeline_begin(t, "start");
    for (int i = 0; i < SERVERS; i++) {
        struct sensors *s = &servers[i];
        futures[i] = conc_spawn(download_job, &s, sizeof s, 0);
    }
    int err = conc_as_completed_new(&arriving, futures, SERVERS);
    timeline_wait(t, "an answer");
    if (!err) {
        err = parse_as_they_come(servers, t, arriving);
        conc_as_completed_free(arriving);
    }
    for (int i = 0; i < SERVERS; i++)
        conc_future_unref(futures[i]);
    return err;
}

static int collect_in_tasks(struct sensors *servers)
{
    return conc_run(collect_by_tasks, &servers, sizeof servers, NULL, 0);
}

/* ---- Figure 7-3: threads ---- */

static int collect_job(void *arg, void *result)
{
    struct sensors *s = *(struct sensors **)arg;
    name_after(s);
    int err = download(s);
    return err ? err : parse(s);
}

static int collect_in_threads(struct sensors *servers)
{
    struct timeline *t = servers->timeline;
    conc_executor *threads;
    timeline_begin(t, "start");
    int err = conc_thread_per_job_new(&threads);
    if (err)
        return err;
    conc_with_group (group, &err, CONC_FOREVER) {
        for (int i = 0; i < SERVERS; i++) {
            struct sensors *s = &servers[i];
            conc_group_submit(group, threads, collect_job, &s, sizeof s, NULL, 0);
        }
        timeline_wait(t, "the threads");
    }
    timeline_end(t);
    conc_executor_free(threads);
    return err;
}

/* ---- Figures 7-1 to 7-3: all of one ---- */

static int collect(struct timeline *t, const char *server, int (*how)(struct sensors *))
{
    static struct sensors servers[SERVERS];
    for (int i = 0; i < SERVERS; i++) {
        struct sensors *s = &servers[i];
        *s = (struct sensors){.timeline = t, .number = i + 1};
        if (snprintf(s->url, sizeof s->url, "%s%sv/2.0/sensors/", server, slash_after(server)) >=
            (int)sizeof s->url)
            return conc_raise(-EINVAL, "too long an address: " URL_SHOWN "...", server);
    }
    int err = how(servers);
    for (int i = 0; i < SERVERS; i++)
        http_response_free(&servers[i].answer);
    return err;
}

int figure7_1(struct timeline *t, const char *server)
{
    return collect(t, server, collect_in_turn);
}

int figure7_2(struct timeline *t, const char *server)
{
    return collect(t, server, collect_in_tasks);
}

int figure7_3(struct timeline *t, const char *server)
{
    return collect(t, server, collect_in_threads);
}
