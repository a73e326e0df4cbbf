/* SPDX-License-Identifier: MIT
 *
 * response.c: filling in a response; and the small things that a request is made of.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "support/server/message.h"

enum {
    /* Nine digits show a coordinate as it was written; 17, the default, would show
     * 64.146600000000007. */
    JSON_FLAGS = JSON_PRESERVE_ORDER | JSON_REAL_PRECISION(9),
};

const char *status_words(int status) { return http_status_str((enum http_status)status); }

static void replace_body(struct response *response, int status, const char *type, char *body,
                         size_t size)
{
    free(response->body);
    response->status = status;
    response->content_type = type;
    response->body = body;
    response->size = size;
}

void respond_json(struct response *response, int status, json_t *json)
{
    char *text = json != NULL ? json_dumps(json, JSON_FLAGS) : NULL;

    json_decref(json);
    if (text == NULL)
        replace_body(response, 500, "text/plain", NULL, 0);
    else
        replace_body(response, status, "application/json", text, strlen(text));
}

void respond_error(struct response *response, int status, const char *fmt, ...)
{
    char text[256];
    va_list args;

    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    respond_json(response, status, json_pack("{s:s}", "error", text));
}

void respond_bytes(struct response *response, const char *content_type, const void *bytes,
                   size_t size)
{
    char *copy = malloc(size > 0 ? size : 1);

    if (copy == NULL) {
        replace_body(response, 500, "text/plain", NULL, 0);
        return;
    }
    memcpy(copy, bytes, size);
    replace_body(response, response->status, content_type, copy, size);
}

void respond_header(struct response *response, const char *fmt, ...)
{
    const size_t length = strlen(response->headers);
    const size_t room = sizeof response->headers - length;
    va_list args;
    int n;

    va_start(args, fmt);
    n = vsnprintf(response->headers + length, room, fmt, args);
    va_end(args);
    if (n < 0 || (size_t)n + 3 > room)
        response->headers[length] = '\0';
    else
        memcpy(response->headers + length + n, "\r\n", 3);
}

/* ---- Requests ---- */

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

int percent_decode(const char *from, const char *end, char *ret, size_t size)
{
    size_t n = 0;

    while (from < end) {
        int c = (unsigned char)*from++;

        if (c == '+') {
            c = ' ';
        } else if (c == '%') {
            int high = end - from >= 2 ? hex_digit(from[0]) : -1;
            int low = high >= 0 ? hex_digit(from[1]) : -1;

            if (low < 0)
                return -EINVAL;
            c = high * 16 + low;
            from += 2;
        }
        if (c == '\0' || n + 1 >= size)
            return -EINVAL;
        ret[n++] = (char)c;
    }
    ret[n] = '\0';
    return 0;
}

int query_value(const char *query, const char *name, char *value, size_t size)
{
    const size_t length = strlen(name);

    while (*query != '\0') {
        const char *end = query + strcspn(query, "&#");

        if ((size_t)(end - query) > length && query[length] == '=' &&
            strncmp(query, name, length) == 0)
            return percent_decode(query + length + 1, end, value, size) < 0 ? -EINVAL : 1;
        query = *end == '&' ? end + 1 : "";
    }
    return 0;
}

bool parse_whole(const char *text, int64_t min, int64_t max, int64_t *ret)
{
    int64_t number = 0;

    if (*text == '\0')
        return false;
    for (; *text != '\0'; text++) {
        if (*text < '0' || *text > '9' || number > max)
            return false;
        number = number * 10 + (*text - '0');
    }
    if (number < min || number > max)
        return false;
    *ret = number;
    return true;
}
