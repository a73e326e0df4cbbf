/* SPDX-License-Identifier: MIT
 *
 * parse.c: reading requests, with the http_parser library.
 *
 * The parser is fed with whatever has arrived and calls back with pieces: of the target, of a
 * header's name, of its value. A request may arrive byte by byte, or several in one read
 * (pipelining): at a request's end the parser is paused, and what follows stays in the connection's
 * input for the next one. Every length is bounded here; http_parser itself bounds little.
 */
#include <string.h>
#include <strings.h>

#include "support/server/internal.h"

/* A callback that refuses: the parser stops with an error, and the connection knows the status. */
static int reject(struct connection *connection, int status)
{
    connection->reject = status;
    return -1;
}

/* Append to a zero-terminated string. @return false: it doesn't fit */
static bool append(char *string, size_t size, const char *data, size_t n)
{
    size_t length = strlen(string);

    if (n >= size - length || memchr(data, '\0', n) != NULL)
        return false;
    memcpy(string + length, data, n);
    string[length + n] = '\0';
    return true;
}

static int on_begin(http_parser *parser)
{
    struct connection *connection = parser->data;

    connection->begun = true;
    connection->patience = conc_in(connection->server->options.idle_timeout);
    return 0;
}

static int on_target(http_parser *parser, const char *data, size_t n)
{
    struct connection *connection = parser->data;

    return append(connection->request.target, REQUEST_TARGET_MAX, data, n)
               ? 0
               : reject(connection, 414);
}

static int count_header(struct connection *connection, size_t n)
{
    connection->header_bytes += n;
    return connection->header_bytes <= REQUEST_HEADERS_MAX ? 0 : reject(connection, 431);
}

static int on_name(http_parser *parser, const char *data, size_t n)
{
    struct connection *connection = parser->data;

    if (connection->in_value) {
        connection->in_value = false;
        connection->header_name[0] = '\0';
    }
    if (!append(connection->header_name, sizeof connection->header_name, data, n))
        memset(connection->header_name, '*', sizeof connection->header_name - 1); /* none of ours */
    return count_header(connection, n);
}

static int on_value(http_parser *parser, const char *data, size_t n)
{
    struct connection *connection = parser->data;

    if (!connection->in_value) {
        connection->in_value = true;
        connection->header_value = NULL;
        if (strcasecmp(connection->header_name, "Host") == 0)
            connection->header_value = connection->request.host;
        if (strcasecmp(connection->header_name, "X-API-KEY") == 0)
            connection->header_value = connection->request.api_key;
        if (connection->header_value != NULL && *connection->header_value != '\0')
            return reject(connection, 400); /* twice the same: which one counts? */
    }
    if (connection->header_value != NULL &&
        !append(connection->header_value, REQUEST_VALUE_MAX, data, n))
        return reject(connection, 431);
    return count_header(connection, n);
}

/* The whole head is here: refuse what will not be served before its body comes. */
static int on_headers_complete(http_parser *parser)
{
    struct connection *connection = parser->data;

    if (parser->http_major != 1)
        return reject(connection, 505);
    if (parser->http_minor >= 1 && connection->request.host[0] == '\0')
        return reject(connection, 400); /* RFC 9112, section 3.2 */
    if ((parser->flags & F_CONTENTLENGTH) != 0 && parser->content_length > REQUEST_BODY_MAX)
        return reject(connection, 413);
    return 0;
}

/* Bodies are read and forgotten; one without a length (chunked) is bounded here. */
static int on_body(http_parser *parser, const char *data, size_t n)
{
    struct connection *connection = parser->data;

    connection->body_bytes += n;
    return connection->body_bytes <= REQUEST_BODY_MAX ? 0 : reject(connection, 413);
}

static int on_complete(http_parser *parser)
{
    struct connection *connection = parser->data;
    struct request *request = &connection->request;
    char *question = strchr(request->target, '?');

    request->method = (enum http_method)parser->method;
    request->keep_alive = http_should_keep_alive(parser) != 0 && parser->upgrade == 0;
    request->must_be_told = parser->http_minor == 0;
    request->path = request->target;
    request->query = "";
    if (question != NULL) {
        *question = '\0';
        request->query = question + 1;
    }
    connection->complete = true;
    http_parser_pause(parser, 1); /* what follows is the next request's */
    return 0;
}

static const http_parser_settings SETTINGS = {
    .on_message_begin = on_begin,
    .on_url = on_target,
    .on_header_field = on_name,
    .on_header_value = on_value,
    .on_headers_complete = on_headers_complete,
    .on_body = on_body,
    .on_message_complete = on_complete,
};

void request_begin(struct connection *connection)
{
    http_parser_init(&connection->parser, HTTP_REQUEST);
    connection->parser.data = connection;
    connection->request.target[0] = '\0';
    connection->request.host[0] = '\0';
    connection->request.api_key[0] = '\0';
    connection->header_name[0] = '\0';
    connection->header_value = NULL;
    connection->header_bytes = connection->body_bytes = 0;
    connection->in_value = connection->complete = false;
    connection->begun = false;
    connection->patience = conc_in(connection->server->options.idle_timeout);
    connection->reject = 0;
}

int request_parse(struct connection *connection)
{
    enum http_errno problem;

    if (connection->first == connection->last)
        return 0;
    connection->first +=
        http_parser_execute(&connection->parser, &SETTINGS, connection->input + connection->first,
                            connection->last - connection->first);
    problem = HTTP_PARSER_ERRNO(&connection->parser);
    if (connection->reject != 0)
        return -connection->reject;
    if (connection->complete)
        return 1;
    return problem == HPE_OK ? 0 : -400;
}
