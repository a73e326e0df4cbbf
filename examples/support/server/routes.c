/* SPDX-License-Identifier: MIT
 *
 * routes.c: which path is whose, and the paths that need no data.
 *
 * A route matches its path and what lies below it ("/bad/json" also "/bad/json/geocode"), so that a
 * client which is given http://HOST:PORT/bad/json as its server meets the same misbehaviour
 * whatever it asks for.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <conc/context.h>

#include "support/server/internal.h"

enum {
    DELAY_MAX_MS = 60000,
    PAGE_MAX_KIB = 16384,
    DRIP_BYTES = 600, /* of /bad/drip: a minute, one every 100 ms */
};

enum {
    API = 1,   /* has the latency, the limit and the failures that the server was started with */
    EXACT = 2, /* nothing below it but a slash */
};

static const struct {
    const char *path;
    unsigned flags;
    handler *handle;
    const char *help;
} ROUTES[] = {
    {"/geocode", API | EXACT, handle_geocode, "?address=NAME: where a place is"},
    {"/latest", API | EXACT, handle_latest, "?base=USD: exchange rates"},
    {"/posts", API | EXACT, handle_posts, "?userId=N: a user's posts"},
    {"/repos", API, handle_commits, "/USER/REPO/commits?page=K: commits, a page at a time"},
    {"/v/2.0/sensors", API | EXACT, handle_sensors, "/: a sensor's values; may want X-API-KEY"},
    {"/page", API, handle_page, "/N: an HTML page of N KiB"},
    {"/delay", 0, handle_delay, "/MS: answers after MS milliseconds"},
    {"/status", 0, handle_status, "/N: answers with status N"},
    {"/redirect", 0, handle_redirect, "/PATH: sends to /PATH on this server"},
    {"/stats", EXACT, handle_stats, ": what the server has done so far"},
    {"/bad/loop", 0, handle_bad_loop, ": sends to itself"},
    {"/bad/json", 0, handle_bad_json, ": malformed JSON"},
    {"/bad/type", 0, handle_bad_type, ": JSON of an unexpected kind"},
    {"/bad/close", 0, handle_bad_close, ": closes in the middle of the body"},
    {"/bad/drip", 0, handle_bad_drip, ": sends a byte every 100 ms"},
    {"/bad/garbage", 0, handle_bad_garbage, ": answers with what is not HTTP"},
    {"/bad/hang", 0, handle_bad_hang, ": never answers"},
};

enum { ROUTES_COUNT = sizeof ROUTES / sizeof *ROUTES };

static void list_routes(struct response *response)
{
    char text[2048] = "libconc's demo server\n\n";
    size_t length = strlen(text);

    for (size_t i = 0; i < ROUTES_COUNT && length < sizeof text; i++)
        length += (size_t)snprintf(text + length, sizeof text - length, "%s%s\n", ROUTES[i].path,
                                   ROUTES[i].help);
    respond_bytes(response, "text/plain; charset=utf-8", text, strlen(text));
}

/* The latency comes first, as on a long way; over the limit a server is quick to say no. */
static bool pass_traffic(struct server *server, struct response *response)
{
    int seconds = 0;
    int status = traffic_admit(server->listening.traffic, &seconds);

    if (status == 429) {
        respond_header(response, "Retry-After: %d", seconds);
        respond_error(response, 429, "over the limit of %g requests per second",
                      server->options.limit);
        return false;
    }
    if (traffic_delay(server->listening.traffic) < 0) {
        respond_error(response, 503, "the server is stopping");
        return false;
    }
    if (status == 500)
        respond_error(response, 500, "failed, as it was told to now and then");
    return status == 200;
}

void route(struct server *server, const struct request *request, struct response *response)
{
    if (request->method != HTTP_GET && request->method != HTTP_HEAD) {
        respond_header(response, "Allow: GET, HEAD");
        respond_error(response, 405, "only GET and HEAD");
        return;
    }
    if (strcmp(request->path, "/") == 0) {
        list_routes(response);
        return;
    }
    for (size_t i = 0; i < ROUTES_COUNT; i++) {
        const size_t length = strlen(ROUTES[i].path);
        const char *rest = request->path + length;

        if (strncmp(request->path, ROUTES[i].path, length) != 0 ||
            (*rest != '\0' && *rest != '/') ||
            ((ROUTES[i].flags & EXACT) != 0 && *rest != '\0' && rest[1] != '\0'))
            continue;
        if ((ROUTES[i].flags & API) == 0 || pass_traffic(server, response))
            ROUTES[i].handle(server, request, rest, response);
        return;
    }
    respond_error(response, 404, "no such path");
}

/* ---- Paths with a number ---- */

/* The number in "/N" or "/N/more". */
static bool number_below(const char *rest, int64_t min, int64_t max, int64_t *ret)
{
    char text[16];
    size_t length;

    if (*rest != '/')
        return false;
    length = strcspn(rest + 1, "/");
    if (length >= sizeof text)
        return false;
    memcpy(text, rest + 1, length);
    text[length] = '\0';
    return parse_whole(text, min, max, ret);
}

void handle_delay(struct server *server, const struct request *request, const char *rest,
                  struct response *response)
{
    int64_t ms;

    if (!number_below(rest, 0, DELAY_MAX_MS, &ms))
        respond_error(response, 400, "not /delay/MS, with MS from 0 to %d", DELAY_MAX_MS);
    else if (conc_sleep(CONC_MS(ms)) < 0)
        respond_error(response, 503, "the server is stopping");
    else
        respond_json(response, 200, json_pack("{s:I}", "ms", (json_int_t)ms));
}

void handle_status(struct server *server, const struct request *request, const char *rest,
                   struct response *response)
{
    int64_t status;

    if (!number_below(rest, 200, STATUS_MAX - 1, &status))
        respond_error(response, 400, "not /status/N, with N from 200 to %d", STATUS_MAX - 1);
    else
        respond_error(response, (int)status, "as asked for");
}

void handle_redirect(struct server *server, const struct request *request, const char *rest,
                     struct response *response)
{
    respond_header(response, "Location: %s%s%s", *rest != '\0' ? rest : "/",
                   *request->query != '\0' ? "?" : "", request->query);
    respond_header(response, "X-Redirected: yes");
    respond_error(response, 302, "elsewhere");
}

/* An HTML page of exactly N KiB: a head, lines of text, an end. */
void handle_page(struct server *server, const struct request *request, const char *rest,
                 struct response *response)
{
    static const char LINE[] =
        "<p>One thread waits, another reads; the page is long and the line is not.</p>\n";
    static const char END[] = "</body></html>\n";
    char head[128];
    int64_t kib;
    size_t size, length;
    char *page;

    if (!number_below(rest, 1, PAGE_MAX_KIB, &kib)) {
        respond_error(response, 400, "not /page/N, with N from 1 to %d", PAGE_MAX_KIB);
        return;
    }
    size = (size_t)kib * 1024;
    page = malloc(size);
    if (page == NULL) {
        respond_error(response, 500, "out of memory");
        return;
    }
    length = (size_t)snprintf(head, sizeof head,
                              "<!DOCTYPE html>\n<html><head><title>%d KiB</title></head><body>\n",
                              (int)kib);
    for (size_t i = 0; i < size - (sizeof END - 1); i++)
        page[i] = i < length ? head[i] : LINE[(i - length) % (sizeof LINE - 1)];
    memcpy(page + size - (sizeof END - 1), END, sizeof END - 1);
    response->content_type = "text/html; charset=utf-8";
    response->body = page;
    response->size = size;
}

void handle_stats(struct server *server, const struct request *request, const char *rest,
                  struct response *response)
{
    respond_json(response, 200, traffic_json(server->listening.traffic));
}

/* ---- Misbehaviour ---- */

static void misbehave(struct response *response, const char *body, enum manner manner)
{
    response->manner = manner;
    respond_bytes(response, "application/json", body, strlen(body));
}

void handle_bad_loop(struct server *server, const struct request *request, const char *rest,
                     struct response *response)
{
    respond_header(response, "Location: %s", request->path);
    respond_error(response, 302, "round and round");
}

void handle_bad_json(struct server *server, const struct request *request, const char *rest,
                     struct response *response)
{
    misbehave(response, "{\"formatted_address\": \"Berlin, Ger", ANSWER_WHOLE);
}

void handle_bad_type(struct server *server, const struct request *request, const char *rest,
                     struct response *response)
{
    misbehave(response, "{\"formatted_address\": 52, \"lat\": \"Berlin\"}", ANSWER_WHOLE);
}

void handle_bad_close(struct server *server, const struct request *request, const char *rest,
                      struct response *response)
{
    misbehave(response,
              "{\"formatted_address\": \"Berlin, Germany\", \"lat\": 52.52, \"lng\": 13.405}",
              ANSWER_CLOSE);
}

void handle_bad_drip(struct server *server, const struct request *request, const char *rest,
                     struct response *response)
{
    char spaces[DRIP_BYTES + 1];

    memset(spaces, ' ', DRIP_BYTES);
    spaces[DRIP_BYTES] = '\0';
    misbehave(response, spaces, ANSWER_DRIP);
}

void handle_bad_garbage(struct server *server, const struct request *request, const char *rest,
                        struct response *response)
{
    misbehave(response, "220 mail.example.org ESMTP ready\r\n", ANSWER_GARBAGE);
}

void handle_bad_hang(struct server *server, const struct request *request, const char *rest,
                     struct response *response)
{
    response->manner = ANSWER_NEVER;
}
