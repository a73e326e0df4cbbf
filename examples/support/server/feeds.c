/* SPDX-License-Identifier: MIT
 *
 * feeds.c: the paths with lists that are made up: exchange rates, posts, commits, sensors.
 *
 * The same request gets the same answer always, so that programs' outputs can be compared.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "support/server/internal.h"

/* ---- Exchange rates ---- */

/* What a euro is worth. Round figures: a demonstration, not a quotation. */
static const struct {
    const char *currency;
    double per_euro;
} RATES[] = {{"USD", 1.2}, {"EUR", 1.0}, {"PLN", 4.5}, {"NOK", 10.2}, {"CZK", 25.5}};

enum { RATES_COUNT = sizeof RATES / sizeof *RATES };

void handle_latest(struct server *server, const struct request *request, const char *rest,
                   struct response *response)
{
    char base[8] = "EUR";
    size_t i = 0;
    json_t *rates;

    if (query_value(request->query, "base", base, sizeof base) < 0)
        *base = '\0';
    while (i < RATES_COUNT && strcmp(RATES[i].currency, base) != 0)
        i++;
    if (i == RATES_COUNT) {
        respond_error(response, 400, "no such currency: USD, EUR, PLN, NOK and CZK are known");
        return;
    }
    rates = json_object();
    for (size_t j = 0; j < RATES_COUNT; j++)
        json_object_set_new(rates, RATES[j].currency,
                            json_real(RATES[j].per_euro / RATES[i].per_euro));
    respond_json(response, 200,
                 json_pack("{s:s, s:s, s:o}", "base", base, "date", "2021-06-30", "rates", rates));
}

/* ---- Posts ---- */

enum {
    POSTS_EACH = 10,     /* of a user */
    POST_OVERHEAD = 110, /* at most so much of a post's JSON is not its body */
};

/* How many bytes a user's posts have as JSON. The users 1, 5 and 8 have what the chapter's program
 * prints. */
static const size_t POSTS_SIZES[] = {27520, 5128, 8304, 4410, 3707, 12288, 2904, 2255, 6032, 3300};

enum { USERS_COUNT = sizeof POSTS_SIZES / sizeof *POSTS_SIZES };

/* `size` bytes of words, the same ones for the same number. */
static void write_words(char *text, size_t size, unsigned number)
{
    static const char *const WORDS[] = {
        "a",    "thread", "waits", "while", "the",   "others", "run",   "and",   "queue", "of",
        "work", "grows",  "until", "lock",  "opens", "no",     "event", "comes", "too",   "late",
    };
    size_t length = 0;

    while (length < size) {
        number = number * 1103515245u + 12345u;
        length += (size_t)snprintf(text + length, size + 1 - length, "%s%s", length > 0 ? " " : "",
                                   WORDS[(number >> 16) % (sizeof WORDS / sizeof *WORDS)]);
    }
}

static json_t *make_post(int user, int number, size_t size)
{
    char title[33];
    char *body = malloc(size + 1);
    json_t *post = NULL;

    write_words(title, sizeof title - 1, (unsigned)(user * 1000 + number));
    if (body != NULL) {
        write_words(body, size, (unsigned)(user * 2000 + number));
        post = json_pack("{s:i, s:i, s:s, s:s%}", "userId", user, "id",
                         (user - 1) * POSTS_EACH + number, "title", title, "body", body, size);
    }
    free(body);
    return post;
}

/* All of a user's posts: nine of the same length, and the last one as long as it must be. */
static int add_posts(json_t *posts, int user)
{
    const size_t size = POSTS_SIZES[user - 1];
    const size_t body = size / POSTS_EACH - POST_OVERHEAD;
    json_t *own = json_array();
    size_t length;
    bool good;

    for (int i = 1; i < POSTS_EACH; i++)
        json_array_append_new(own, make_post(user, i, body));
    json_array_append_new(own, make_post(user, POSTS_EACH, 0));
    length = json_dumpb(own, NULL, 0, JSON_PRESERVE_ORDER); /* how long it would be */
    json_array_set_new(own, POSTS_EACH - 1,
                       make_post(user, POSTS_EACH, length < size ? size - length : 0));
    good = json_array_size(own) == POSTS_EACH && json_array_extend(posts, own) == 0;
    json_decref(own);
    return good ? 0 : -1;
}

void handle_posts(struct server *server, const struct request *request, const char *rest,
                  struct response *response)
{
    char text[16];
    int64_t user = 0;
    int found = query_value(request->query, "userId", text, sizeof text);
    int err = 0;
    json_t *posts;

    if (found < 0 || (found > 0 && !parse_whole(text, 0, 1000000, &user))) {
        respond_error(response, 400, "not /posts?userId=N");
        return;
    }
    posts = json_array();
    for (int i = 1; i <= USERS_COUNT && err == 0; i++) /* without a userId: everybody's */
        if (found == 0 || user == i)
            err = add_posts(posts, i);
    if (err != 0) {
        json_decref(posts);
        posts = NULL;
    }
    respond_json(response, 200, posts);
}

/* ---- Commits ---- */

enum {
    PAGE_COMMITS = 30,   /* on a page, as GitHub has it */
    COMMITS_SPREAD = 90, /* a repository has from 1 to this many, by its name */
};

/* A number from text, the same always. (FNV-1a, 64 bits.) */
static uint64_t hash(const char *text, size_t n)
{
    uint64_t h = 0xcbf29ce484222325u;

    for (size_t i = 0; i < n; i++)
        h = (h ^ (unsigned char)text[i]) * 0x100000001b3u;
    return h;
}

/* The repositories that the chapter asks about have several pages; all others what their names
 * give. */
static int count_commits(const char *repository, size_t n)
{
    static const struct {
        const char *name;
        int count;
    } KNOWN[] = {{"MatthewWilkes/apd.sensors", 63}, {"MatthewWilkes/apd.aggregation", 95}};

    for (size_t i = 0; i < sizeof KNOWN / sizeof *KNOWN; i++)
        if (strlen(KNOWN[i].name) == n && memcmp(KNOWN[i].name, repository, n) == 0)
            return KNOWN[i].count;
    return 1 + (int)(hash(repository, n) % COMMITS_SPREAD);
}

static json_t *make_commit(uint64_t repository, int number)
{
    static const char *const VERBS[] = {"Add",      "Fix",    "Test",    "Document",
                                        "Simplify", "Rename", "Speed up"};
    static const char *const THINGS[] = {"the queue", "a sensor",   "the parser",
                                         "the pool",  "an example", "error messages"};
    const uint64_t h = hash((const char *)&number, sizeof number) ^ repository;
    const time_t when = 1577836800 - (time_t)number * 25200; /* every seven hours, back from 2020 */
    char sha[41], message[64], date[24];
    struct tm tm;

    snprintf(sha, sizeof sha, "%016llx%016llx%08x", (unsigned long long)h,
             (unsigned long long)(h * 31), (unsigned)number);
    snprintf(message, sizeof message, "%s %s", VERBS[h % 7], THINGS[h / 7 % 6]);
    strftime(date, sizeof date, "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&when, &tm));
    return json_pack("{s:s, s:{s:{s:s, s:s, s:s}, s:s}}", "sha", sha, "commit", "author", "name",
                     "A. Committer", "email", "committer@example.org", "date", date, "message",
                     message);
}

/* The server's address as the client knows it; never what would break out of the header. */
static void begin_url(struct server *server, const struct request *request, char *url, size_t size)
{
    static const char GOOD[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_:[]";

    if (*request->host != '\0' && request->host[strspn(request->host, GOOD)] == '\0')
        snprintf(url, size, "http://%s", request->host);
    else
        snprintf(url, size, "%s", server->listening.url);
}

/* RFC 8288: rel="next" until the last page, and the others that GitHub sends. */
static void link_pages(struct server *server, const struct request *request, int64_t page,
                       int64_t pages, struct response *response)
{
    char url[REQUEST_VALUE_MAX + 16], links[1024] = "";
    const struct {
        const char *rel;
        int64_t page;
        bool is;
    } rows[] = {{"prev", page - 1 < pages ? page - 1 : pages, page > 1},
                {"next", page + 1, page < pages},
                {"last", pages, page < pages},
                {"first", 1, page > 1}};
    size_t length = 0;

    begin_url(server, request, url, sizeof url);
    for (size_t i = 0; i < 4 && length < sizeof links; i++)
        if (rows[i].is)
            length += (size_t)snprintf(links + length, sizeof links - length,
                                       "%s<%s%s?page=%d>; rel=\"%s\"", length > 0 ? ", " : "", url,
                                       request->path, (int)rows[i].page, rows[i].rel);
    if (length > 0 && length < sizeof links)
        respond_header(response, "Link: %s", links);
}

void handle_commits(struct server *server, const struct request *request, const char *rest,
                    struct response *response)
{
    static const char TAIL[] = "/commits";
    const char *slash = *rest == '/' ? strchr(rest + 1, '/') : NULL;
    const char *end = slash != NULL ? strchr(slash + 1, '/') : NULL;
    char text[16] = "1";
    int64_t page = 1, count, pages;
    json_t *commits;

    /* /USER/REPO/commits, and nothing empty or too long to be one */
    if (end == NULL || strcmp(end, TAIL) != 0 || slash == rest + 1 || end == slash + 1 ||
        end - rest > 200) {
        respond_error(response, 404, "not /repos/USER/REPO/commits");
        return;
    }
    if (query_value(request->query, "page", text, sizeof text) < 0 ||
        !parse_whole(text, 1, 1000000, &page)) {
        respond_error(response, 400, "page is not a number from 1");
        return;
    }
    rest++;
    count = count_commits(rest, (size_t)(end - rest));
    pages = (count + PAGE_COMMITS - 1) / PAGE_COMMITS;
    commits = json_array();
    for (int64_t i = (page - 1) * PAGE_COMMITS; i < page * PAGE_COMMITS && i < count; i++)
        json_array_append_new(commits, make_commit(hash(rest, (size_t)(end - rest)), (int)i));
    link_pages(server, request, page, pages, response);
    respond_json(response, 200, commits);
}

/* ---- Sensors ---- */

void handle_sensors(struct server *server, const struct request *request, const char *rest,
                    struct response *response)
{
    const char *key = server->options.api_key;

    if (key != NULL && strcmp(key, request->api_key) != 0) {
        respond_error(response, 403, "Supply API key in X-API-KEY header");
        return;
    }
    respond_json(response, 200,
                 json_pack("{s:[{s:s, s:s, s:f, s:s}, {s:s, s:s, s:I, s:s}, {s:s, s:s, s:b, s:s}, "
                           "{s:s, s:s, s:{s:f, s:s}, s:s}, {s:s, s:s, s:f, s:s}]}",
                           "sensors", "id", "CPULoad", "title", "CPU Load", "value", 0.17,
                           "human_readable", "17.0%", "id", "RAMAvailable", "title",
                           "RAM Available", "value", (json_int_t)2147483648, "human_readable",
                           "2.0 GiB", "id", "ACStatus", "title", "AC Connected", "value", 1,
                           "human_readable", "Connected", "id", "Temperature", "title",
                           "Ambient Temperature", "value", "magnitude", 21.5, "unit", "degC",
                           "human_readable", "21.5 °C", "id", "RelativeHumidity", "title",
                           "Relative Humidity", "value", 45.5, "human_readable", "45.5%"));
}
