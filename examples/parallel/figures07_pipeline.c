/* SPDX-License-Identifier: MIT
 *
 * Figure 7-7: Listing 7-5 in small: the URLs of pages go to fetch, their answers to parse, which
 * finds the URLs of the next pages in them.
 *
 * Watch: fetch waits for a URL, by get(); parse, when it has no answer left, until fetch has got
 * all that was asked for, by join(); main until the two have ended.
 */
#include <conc.h>
#include <stdio.h>

#include "figures07.h"
#include "support/http_fetch.h"
#include "support/json.h"

/* Of commits. Without a limit a server whose pages go in a circle would keep us for ever. */
enum { PAGES_MAX = 100 };

struct url {
    char text[HTTP_URL_MAX]; /* "": the end marker, Python's None */
};

struct response {
    struct url url;
    struct http_response http; /* owned by the queue or thread that has it */
};

struct pipeline {
    struct timeline *timeline;
    conc_queue urls, responses;
    int pages; /* that were asked for; parse's alone, once the threads have begun */
};

/* What of a URL tells one from another. */
static const char *page_name(const char *url)
{
    const char *repos = strstr(url, "/repos/");
    return repos != NULL ? repos + strlen("/repos/") : url;
}

static int fetch(void *arg, void *result)
{
    struct pipeline *p = *(struct pipeline **)arg;
    conc_context_set_name("fetch");
    for (;;) {
        struct response response = {.http = {0}};
        timeline_wait(p->timeline, "a URL");
        int err = conc_queue_get(&p->urls, &response.url, CONC_FOREVER);
        if (err || *response.url.text == '\0') {
            timeline_end(p->timeline);
            return err;
        }
        timeline_about(p->timeline, "%s", page_name(response.url.text));
        timeline_begin(p->timeline, "fetch");
        err = http_fetch(response.url.text, &response.http, conc_in(request_timeout));
        timeline_end(p->timeline);
        if (err)
            return err;
        err = conc_queue_put(&p->responses, &response, CONC_FOREVER);
        if (err) {
            http_response_free(&response.http);
            return err;
        }
        conc_queue_task_done(&p->urls);
    }
}

static int put_next(struct pipeline *p, const struct response *response)
{
    struct url next;
    if (!http_next_link(&response->http, next.text, sizeof next.text))
        return 0;
    if (++p->pages > PAGES_MAX)
        return conc_raise(-ELOOP, URL_SHOWN ": more than %d pages", response->url.text, PAGES_MAX);
    return conc_queue_put(&p->urls, &next, CONC_FOREVER);
}

static int process(struct pipeline *p, const struct response *response)
{
    const char *url = response->url.text;
    json_t *commits;
    int err = http_check(url, &response->http);
    if (!err)
        err = http_json(url, &response->http, &commits);
    if (err)
        return err;
    if (!json_is_array(commits))
        err = conc_raise(-EBADMSG, URL_SHOWN ": not a list of commits", url);
    json_decref(commits);
    return err ? err : put_next(p, response);
}

static int join_urls(struct pipeline *p)
{
    timeline_wait(p->timeline, "fetch");
    return conc_queue_join(&p->urls, CONC_FOREVER);
}

static int parse_pages(void *arg, void *result)
{
    struct pipeline *p = *(struct pipeline **)arg;
    conc_context_set_name("parse");
    int err = join_urls(p);
    while (!err && !conc_queue_is_empty(&p->responses)) {
        struct response response;
        err = conc_queue_get(&p->responses, &response, CONC_FOREVER);
        if (err)
            return err;
        timeline_about(p->timeline, "%s", page_name(response.url.text));
        timeline_begin(p->timeline, "parse");
        err = process(p, &response);
        http_response_free(&response.http);
        conc_queue_task_done(&p->responses);
        timeline_end(p->timeline);
        if (!err && conc_queue_is_empty(&p->responses))
            err = join_urls(p);
    }
    timeline_end(p->timeline);
    return err ? err : conc_queue_put(&p->urls, &(struct url){.text = ""}, CONC_FOREVER);
}

static int put_urls(struct pipeline *p, const char *server)
{
    static const char *const REPOS[] = {"apd.sensors", "apd.aggregation"};
    int err = 0;
    for (size_t i = 0; !err && i < sizeof REPOS / sizeof *REPOS; i++) {
        struct url url;
        if (snprintf(url.text, sizeof url.text, "%s%srepos/MatthewWilkes/%s/commits", server,
                     slash_after(server), REPOS[i]) >= (int)sizeof url.text)
            return conc_raise(-EINVAL, "too long an address: " URL_SHOWN "...", server);
        p->pages++;
        err = conc_queue_put(&p->urls, &url, CONC_FOREVER);
    }
    return err;
}

static int run_threads(struct pipeline *p)
{
    conc_executor *pool;
    int err = conc_thread_pool_new(&pool, 2, NULL);
    if (err)
        return err;
    conc_with_group (group, &err, CONC_FOREVER) {
        conc_group_submit(group, pool, fetch, &p, sizeof p, NULL, 0);
        conc_group_submit(group, pool, parse_pages, &p, sizeof p, NULL, 0);
        timeline_wait(p->timeline, "the threads");
    }
    timeline_begin(p->timeline, "end");
    conc_executor_free(pool);
    return err;
}

static void drop_response(void *item, void *arg)
{
    struct response *response = item;
    http_response_free(&response->http);
}

int figure7_7(struct timeline *t, const char *server)
{
    struct pipeline p = {.timeline = t};
    timeline_begin(t, "start");
    int err = conc_queue_init(&p.urls, sizeof(struct url), 0, CONC_FIFO);
    if (err)
        return err;
    err = conc_queue_init(&p.responses, sizeof(struct response), 0, CONC_FIFO);
    if (err)
        goto destroy_urls;
    conc_queue_on_drop(&p.responses, drop_response, NULL);
    err = put_urls(&p, server);
    if (!err)
        err = run_threads(&p);
    conc_queue_destroy(&p.responses);
destroy_urls:
    conc_queue_destroy(&p.urls);
    timeline_end(t);
    return err;
}
