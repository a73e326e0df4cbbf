/* SPDX-License-Identifier: MIT
 *
 * answer.c: what an HTTP answer says: its status, its headers, its next page, its JSON.
 */
#include "support/json.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "support/http.h"

/* ---- Status ---- */

static const char *status_words(int status)
{
    static const struct {
        int status;
        const char *words;
    } NAMES[] = {
        {400, "Bad Request"},         {401, "Unauthorized"},          {403, "Forbidden"},
        {404, "Not Found"},           {405, "Method Not Allowed"},    {408, "Request Timeout"},
        {429, "Too Many Requests"},   {500, "Internal Server Error"}, {502, "Bad Gateway"},
        {503, "Service Unavailable"}, {504, "Gateway Timeout"},
    };

    for (size_t i = 0; i < sizeof NAMES / sizeof *NAMES; i++)
        if (NAMES[i].status == status)
            return NAMES[i].words;
    return "not the status of a good answer";
}

static int status_error(int status)
{
    switch (status) {
    case 401:
    case 403:
        return -EACCES;
    case 404:
        return -ENOENT;
    case 429:
    case 503:
        return -EBUSY;
    default:
        return -EIO;
    }
}

int http_check(const char *url, const struct http_response *response)
{
    json_t *json;
    const char *why;
    int err = status_error(response->status);

    if (response->status >= 200 && response->status < 300)
        return 0;
    json = json_loadb(response->body, response->size, 0, NULL);
    why = json_string_value(json_object_get(json, "error"));
    err = conc_raise(err, URL_SHOWN ": %d %s%s%s%s", url, response->status,
                     status_words(response->status), why != NULL ? " (" : "",
                     why != NULL ? why : "", why != NULL ? ")" : "");
    json_decref(json);
    return err;
}

/* ---- Headers ---- */

bool http_header(const struct http_response *response, const char *name, char *value, size_t size)
{
    const size_t length = strlen(name);

    for (const char *line = response->headers; *line != '\0';) {
        const char *end = line + strcspn(line, "\r\n");

        if ((size_t)(end - line) > length && line[length] == ':' &&
            strncasecmp(line, name, length) == 0) {
            line += length + 1;
            line += strspn(line, " \t");
            snprintf(value, size, "%.*s", (int)(end > line ? end - line : 0), line);
            return true;
        }
        line = end + strspn(end, "\r\n");
    }
    return false;
}

/* Is "next" one of the words between p and end? */
static bool has_next(const char *p, const char *end)
{
    while (p < end) {
        size_t length = strcspn(p, " \";,");

        if (length > (size_t)(end - p))
            length = (size_t)(end - p);
        if (length == 4 && strncasecmp(p, "next", 4) == 0)
            return true;
        p += length + 1;
    }
    return false;
}

/* Is one of a link's parameters rel=next, or rel="prev next"? `p` stands behind the '>', `end`
 * before the next link. */
static bool is_next(const char *p, const char *end)
{
    while (p < end) {
        const char *name = p + strspn(p, "; \t");
        const char *value = name + strcspn(name, "=;,");
        const char *stop;

        if (value >= end)
            return false;
        if (*value != '=') { /* a parameter without a value */
            p = value + 1;
            continue;
        }
        value++;
        stop = *value == '"' ? strchr(value + 1, '"') : value + strcspn(value, ";,");
        if (stop == NULL) /* a quote that is never closed */
            return false;
        if (value - name == 4 && strncasecmp(name, "rel", 3) == 0)
            return has_next(*value == '"' ? value + 1 : value, stop);
        p = stop + 1;
    }
    return false;
}

/* The end of a link's parameters: the comma outside of quotes, or the header's end. */
static const char *link_end(const char *p)
{
    bool quoted = false;

    for (; *p != '\0' && (quoted || *p != ','); p++)
        if (*p == '"')
            quoted = !quoted;
    return p;
}

bool http_next_link(const struct http_response *response, char *url, size_t size)
{
    char value[4096];
    const char *p = value;

    if (!http_header(response, "Link", value, sizeof value))
        return false;
    for (;;) {
        const char *open = strchr(p, '<'), *close = open != NULL ? strchr(open, '>') : NULL;
        const char *end;

        if (close == NULL)
            return false;
        end = link_end(close + 1);
        if (is_next(close + 1, end))
            return snprintf(url, size, "%.*s", (int)(close - open - 1), open + 1) < (int)size;
        p = end;
    }
}

/* ---- JSON ---- */

int http_json(const char *url, const struct http_response *response, json_t **ret)
{
    json_error_t problem;
    json_t *json = json_loadb(response->body, response->size, 0, &problem);

    if (json == NULL)
        return conc_raise(-EBADMSG, URL_SHOWN ": malformed JSON: %s (line %d, column %d)", url,
                          problem.text, problem.line, problem.column);
    *ret = json;
    return 0;
}

int http_get_json(const char *url, const char *const *headers, json_t **ret, conc_deadline deadline)
{
    struct http_response response = {0};
    int err = http_get_with(url, headers, &response, deadline);

    if (err == 0)
        err = http_check(url, &response);
    if (err == 0)
        err = http_json(url, &response, ret);
    http_response_free(&response);
    return err;
}
