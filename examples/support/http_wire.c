/* SPDX-License-Identifier: MIT
 *
 * http_wire.c: requests and answers as bytes, with the http_parser library.
 *
 * The parser is fed with whatever has arrived and calls back with pieces: of a header's name, of
 * its value, of the body. At the answer's end it is paused; what follows is not wanted. A server's
 * interim answers (100 Continue ...) are forgotten when they are whole.
 */
#include "support/http_wire.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

/* ---- Requests ---- */

static int not_a_url(const char *url) { return conc_raise(-EINVAL, URL_SHOWN ": not a URL", url); }

/* Nothing that could end a line of the request, or cut it. */
static bool is_clean(const char *url)
{
    for (; *url != '\0'; url++)
        if ((unsigned char)*url <= ' ' || *url == 0x7f)
            return false;
    return true;
}

int http_request_make(struct http_request *request, const char *url)
{
    struct http_parser_url parts;
    const char *authority, *target, *user;
    size_t length = strlen(url), target_size;
    int n;

    http_parser_url_init(&parts);
    if (length > HTTP_URL_MAX)
        return conc_raise(-EINVAL, URL_SHOWN "...: too long a URL", url);
    if (!is_clean(url) || http_parser_parse_url(url, length, 0, &parts) != 0 ||
        (parts.field_set & (1 << UF_HOST)) == 0 ||
        parts.field_data[UF_HOST].len >= sizeof request->host)
        return not_a_url(url);
    if (strncmp(url, "http://", 7) != 0)
        return conc_raise(-EPROTONOSUPPORT, URL_SHOWN ": only http:// is spoken here", url);

    authority = url + 7;
    target = authority + strcspn(authority, "/?#");
    target_size = strcspn(target, "#");
    user = memchr(authority, '@', (size_t)(target - authority));
    if (user != NULL)
        authority = user + 1;
    n = snprintf(request->text, sizeof request->text,
                 "GET %s%.*s HTTP/1.1\r\n"
                 "Host: %.*s\r\n"
                 "User-Agent: libconc-examples\r\n"
                 "Accept: */*\r\n"
                 "Connection: close\r\n\r\n",
                 *target == '/' ? "" : "/", (int)target_size, target, (int)(target - authority),
                 authority);
    if (n >= (int)sizeof request->text)
        return conc_raise(-EINVAL, URL_SHOWN "...: too long a URL", url);
    request->size = (size_t)n;
    request->port = parts.port != 0 ? parts.port : 80;
    snprintf(request->host, sizeof request->host, "%.*s", (int)parts.field_data[UF_HOST].len,
             url + parts.field_data[UF_HOST].off);
    return 0;
}

/* ---- Answers ---- */

/* Append, within a limit. Returns what the parser wants to hear: 0, or else it stops. */
static int take(struct http_reader *reader, struct buffer *into, const char *data, size_t n,
                size_t limit)
{
    if (n > limit - into->size)
        reader->refused = -EFBIG;
    else if (buffer_append(into, data, n) < 0)
        reader->refused = -ENOMEM;
    return reader->refused;
}

static int take_header(struct http_reader *reader, const char *data, size_t n)
{
    return take(reader, &reader->headers, data, n, HTTP_HEADERS_MAX);
}

static int on_name(http_parser *parser, const char *data, size_t n)
{
    struct http_reader *reader = parser->data;

    if (reader->in_value && take_header(reader, "\r\n", 2) != 0)
        return -1;
    reader->in_value = false;
    return take_header(reader, data, n);
}

static int on_value(http_parser *parser, const char *data, size_t n)
{
    struct http_reader *reader = parser->data;

    if (!reader->in_value && take_header(reader, ": ", 2) != 0)
        return -1;
    reader->in_value = true;
    return take_header(reader, data, n);
}

static int on_headers_complete(http_parser *parser)
{
    struct http_reader *reader = parser->data;

    return reader->in_value ? take_header(reader, "\r\n", 2) : 0;
}

static int on_body(http_parser *parser, const char *data, size_t n)
{
    struct http_reader *reader = parser->data;

    return take(reader, &reader->body, data, n, HTTP_BODY_MAX);
}

static int on_complete(http_parser *parser)
{
    struct http_reader *reader = parser->data;

    reader->in_value = false;
    if (parser->status_code / 100 == 1) {
        reader->headers.size = 0;
        return 0;
    }
    reader->complete = true;
    http_parser_pause(parser, 1);
    return 0;
}

static const http_parser_settings SETTINGS = {
    .on_header_field = on_name,
    .on_header_value = on_value,
    .on_headers_complete = on_headers_complete,
    .on_body = on_body,
    .on_message_complete = on_complete,
};

void http_reader_init(struct http_reader *reader, const char *url)
{
    *reader = (struct http_reader){.url = url};
    http_parser_init(&reader->parser, HTTP_RESPONSE);
    reader->parser.data = reader;
}

int http_reader_feed(struct http_reader *reader, const char *data, size_t n)
{
    const bool first = !reader->begun;

    reader->begun = reader->begun || n > 0;
    http_parser_execute(&reader->parser, &SETTINGS, data, n); /* 0 bytes tell it of the end */
    if (reader->complete)
        return 1;
    if (reader->refused == -ENOMEM)
        return conc_raise(-ENOMEM, URL_SHOWN ": out of memory", reader->url);
    if (reader->refused == -EFBIG || HTTP_PARSER_ERRNO(&reader->parser) == HPE_HEADER_OVERFLOW)
        return conc_raise(-EFBIG, URL_SHOWN ": the answer is too long", reader->url);
    if (n == 0)
        return conc_raise(-ECONNRESET, URL_SHOWN ": the server closed %s", reader->url,
                          first ? "without an answer" : "in the middle of its answer");
    if (HTTP_PARSER_ERRNO(&reader->parser) != HPE_OK)
        return conc_raise(-EPROTO, URL_SHOWN ": not HTTP", reader->url);
    return 0;
}

int http_reader_give(struct http_reader *reader, struct http_response *ret)
{
    if (buffer_terminate(&reader->headers) < 0 || buffer_terminate(&reader->body) < 0)
        return conc_raise(-ENOMEM, URL_SHOWN ": out of memory", reader->url);
    ret->status = (int)reader->parser.status_code;
    ret->size = reader->body.size;
    ret->body = buffer_take(&reader->body);
    ret->headers = buffer_take(&reader->headers);
    return 0;
}

void http_reader_free(struct http_reader *reader)
{
    buffer_free(&reader->headers);
    buffer_free(&reader->body);
}
