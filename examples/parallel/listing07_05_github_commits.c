/* SPDX-License-Identifier: MIT
 *
 * Listing 7-5: a fetch thread and a parse thread with three queues: URLs, responses, commits.
 *
 * Watch the two columns: the parser finds the URL of the next page in a response and gives it to
 * the fetcher while there are others to parse; whenever it has no more to do it waits, by join(),
 * until all URLs are fetched; if there is nothing to parse even then, it puts the end marker.
 * Unlike the Python, a failed request ends the program instead of leaving the parser in that join()
 * for ever: the two are a group, and the first error cancels the other.
 */
#include <conc.h>
#include <curl/curl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "support/http.h"
#include "support/json.h"
#include "support/listing.h"

enum { COLUMN_WIDTH = 45, COLUMN_INDENT = 50 };
/* Of a repository. Without a limit a server whose pages go in a circle would keep us for ever. */
enum { PAGES_MAX = 1000 };

static int64_t timeout = CONC_S(10);

/* A queue's elements are values: nothing to free. An empty one is the end marker, Python's None. */
struct url {
    int page;
    char text[HTTP_URL_MAX];
};

struct response {
    struct url url;
    struct http_response http; /* owned by the queue or thread that has it */
};

struct commit {
    char sha[41];
    char subject[80];
};

struct queues {
    conc_queue urls, responses, parsed;
};

/* ---- Printing in columns ---- */

/* How much of the text goes on a line, as textwrap.fill() has it: whole words, and a word longer
 * than a line is broken. */
static size_t line_length(const char *text)
{
    size_t end = 0;
    for (;;) {
        size_t begin = end + strspn(text + end, " ");
        size_t length = strcspn(text + begin, " ");
        if (length == 0)
            return end;
        if (begin + length > COLUMN_WIDTH)
            return length > COLUMN_WIDTH && begin < COLUMN_WIDTH ? COLUMN_WIDTH : end;
        end = begin + length;
    }
}

static void CONC_PRINTF(2, 3) print_column(int column, const char *fmt, ...)
{
    char text[HTTP_URL_MAX + 100];
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    flockfile(stdout); /* so that the other column's lines do not come between */
    for (const char *p = text; *(p += strspn(p, " ")) != '\0';) {
        size_t length = line_length(p);
        printf("%*s%.*s\n", COLUMN_INDENT * column, "", (int)length, p);
        p += length;
    }
    funlockfile(stdout);
}

/* ---- The two threads ---- */

static int fetch(void *arg, void *result)
{
    struct queues *q = *(struct queues **)arg;
    for (;;) {
        struct response response = {.http = {0}};
        int err = conc_queue_get(&q->urls, &response.url, CONC_FOREVER);
        if (err)
            return err;
        const char *url = response.url.text;
        if (*url == '\0') {
            print_column(0, "Got instruction to finish");
            return 0;
        }
        print_column(0, "Getting %s", url);
        err = http_get(url, &response.http, conc_in(timeout));
        if (err)
            return err;
        print_column(0, "Storing <Response [%d]> from %s", response.http.status, url);
        err = conc_queue_put(&q->responses, &response, CONC_FOREVER);
        if (err) {
            http_response_free(&response.http);
            return err;
        }
        conc_queue_task_done(&q->urls);
    }
}

/* One commit of GitHub's JSON; what is missing stays empty. */
static int put_commit(struct queues *q, const char *url, json_t *json)
{
    struct commit commit = {.sha = ""};
    const char *sha = NULL, *message = "";
    if (json_unpack(json, "{s:s, s?{s?s}}", "sha", &sha, "commit", "message", &message) != 0)
        return conc_raise(-EBADMSG, "%.160s: not a list of commits", url);
    snprintf(commit.sha, sizeof commit.sha, "%s", sha);
    snprintf(commit.subject, sizeof commit.subject, "%.*s", (int)strcspn(message, "\n"), message);
    return conc_queue_put(&q->parsed, &commit, CONC_FOREVER);
}

/* A link is relative to the page that it stands on, as in a browser (RFC 8288, section 3.1). */
static int resolve(const char *page, const char *link, char *ret, size_t size)
{
    char *text = NULL;
    CURLU *url = curl_url();
    bool good = url != NULL && curl_url_set(url, CURLUPART_URL, page, 0) == CURLUE_OK &&
                curl_url_set(url, CURLUPART_URL, link, 0) == CURLUE_OK &&
                curl_url_get(url, CURLUPART_URL, &text, 0) == CURLUE_OK &&
                snprintf(ret, size, "%s", text) < (int)size;
    curl_free(text);
    curl_url_cleanup(url);
    return good ? 0 : conc_raise(-EBADMSG, URL_SHOWN ": links to what is not a URL", page);
}

static int put_next(struct queues *q, const struct url *url, const char *link)
{
    struct url next = {.page = url->page + 1};
    int err = resolve(url->text, link, next.text, sizeof next.text);
    if (err)
        return err;
    if (next.page > PAGES_MAX)
        return conc_raise(-ELOOP, URL_SHOWN ": more than %d pages", url->text, PAGES_MAX);
    print_column(1, "Discovered new url: %s", next.text);
    return conc_queue_put(&q->urls, &next, CONC_FOREVER);
}

static int process(struct queues *q, const struct response *response)
{
    const char *url = response->url.text;
    char next[HTTP_URL_MAX];
    json_t *data, *commit;
    size_t i;
    int err = http_check(url, &response->http);
    if (!err)
        err = http_json(url, &response->http, &data);
    if (err)
        return err;
    if (!json_is_array(data))
        err = conc_raise(-EBADMSG, "%.160s: not a list of commits", url);
    json_array_foreach(data, i, commit)
    {
        if (!err)
            err = put_commit(q, url, commit);
    }
    json_decref(data);
    if (!err && http_next_link(&response->http, next, sizeof next))
        err = put_next(q, &response->url, next);
    return err;
}

static int parse(void *arg, void *result)
{
    struct queues *q = *(struct queues **)arg;
    /* Wait for the initial URLs to be processed */
    print_column(1, "Waiting for url fetch thread");
    int err = conc_queue_join(&q->urls, CONC_FOREVER);

    while (!err && !conc_queue_is_empty(&q->responses)) {
        struct response response;
        err = conc_queue_get(&q->responses, &response, CONC_FOREVER);
        if (err)
            return err;
        print_column(1, "Starting processing of <Response [%d]>", response.http.status);
        err = process(q, &response);
        http_response_free(&response.http);
        conc_queue_task_done(&q->responses);
        if (!err && conc_queue_is_empty(&q->responses)) {
            /* We have no responses left, so the loop will end. Wait for all queued urls to be
             * fetched before continuing */
            print_column(1, "Waiting for url fetch thread");
            err = conc_queue_join(&q->urls, CONC_FOREVER);
        }
    }
    if (err)
        return err;
    /* We reach this point if there are no responses to process after waiting for the fetch thread
     * to catch up. Tell the fetch thread that it can stop now, then exit this thread. */
    print_column(1, "Sending instruction to finish");
    return conc_queue_put(&q->urls, &(struct url){.text = ""}, CONC_FOREVER);
}

/* ---- Main ---- */

static void drop_response(void *item, void *arg)
{
    struct response *response = item;
    http_response_free(&response->http);
}

static int queues_init(struct queues *q)
{
    int err = conc_queue_init(&q->urls, sizeof(struct url), 0, CONC_FIFO);
    if (err)
        return err;
    err = conc_queue_init(&q->responses, sizeof(struct response), 0, CONC_FIFO);
    if (err)
        goto destroy_urls;
    conc_queue_on_drop(&q->responses, drop_response, NULL);
    err = conc_queue_init(&q->parsed, sizeof(struct commit), 0, CONC_FIFO);
    if (err)
        goto destroy_responses;
    return 0;

destroy_responses:
    conc_queue_destroy(&q->responses);
destroy_urls:
    conc_queue_destroy(&q->urls);
    return err;
}

static void queues_destroy(struct queues *q)
{
    conc_queue_destroy(&q->parsed);
    conc_queue_destroy(&q->responses);
    conc_queue_destroy(&q->urls);
}

/* Fetch, parse and count. Returns the program's exit status. */
static int run(struct queues *q)
{
    conc_executor *pool;
    int err = conc_thread_pool_new(&pool, 0, NULL);
    if (err)
        return exit_status(err);
    conc_with_group (group, &err, CONC_FOREVER) {
        conc_group_submit(group, pool, fetch, &q, sizeof q, NULL, 0);
        conc_group_submit(group, pool, parse, &q, sizeof q, NULL, 0);
    }
    if (!err)
        printf("%zu commits found\n", conc_queue_size(&q->parsed));
    int status = exit_status(err);
    conc_executor_free(pool);
    return status;
}

static int put_urls(struct queues *q, const char *server, const char *const *repos, size_t n)
{
    int err = 0;
    for (size_t i = 0; !err && i < n; i++) {
        struct url url = {.page = 1};
        int length = snprintf(url.text, sizeof url.text, "%s/repos/%s/commits", server, repos[i]);
        if ((size_t)length >= sizeof url.text)
            return conc_raise(-EINVAL, "too long an address: %.160s...", url.text);
        err = conc_queue_put(&q->urls, &url, CONC_FOREVER);
    }
    return err;
}

static int get_commit_info(const char *server, const char *const *repos, size_t n)
{
    struct queues q;
    int err = queues_init(&q);
    if (err)
        return exit_status(err);
    err = put_urls(&q, server, repos, n);
    int status = err ? exit_status(err) : run(&q);
    queues_destroy(&q);
    return status;
}

int main(int argc, char **argv)
{
    const char *server = default_server();
    const struct option_spec options[] = {
        OPTION_ROW_SERVER(&server),
        OPTION_ROW_TIMEOUT(&timeout),
        {.name = NULL},
    };
    const struct program program = {
        .about = "Listing 7-5: fetch and parse the commits of repositories in two threads.",
        .operands = "[USER/REPOSITORY ...]",
        .options = options,
    };
    int first = options_parse(argc, argv, &program);
    static const char *const repos[] = {"MatthewWilkes/apd.sensors",
                                        "MatthewWilkes/apd.aggregation"};
    if (argv[first] == NULL)
        return get_commit_info(server, repos, 2);
    return get_commit_info(server, (const char *const *)argv + first, (size_t)(argc - first));
}
