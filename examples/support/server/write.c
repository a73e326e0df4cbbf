/* SPDX-License-Identifier: MIT
 *
 * write.c: sending responses.
 *
 * A client that reads slowly, or not at all, makes the sending wait, up to a time; it costs no more
 * memory than the response itself.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include <conc/context.h>

#include "support/server/internal.h"

enum {
    HEAD_BYTES = RESPONSE_HEADERS_MAX + 512, /* the status line and all header lines */
    WRITE_SECONDS = 30,                      /* a response may take, with a slow reader */
    DRIP_MS = 100,                           /* between the bytes of ANSWER_DRIP */
};

static int send_at_once(conc_stream *stream, const char *data, size_t n, conc_deadline until)
{
    int err = conc_stream_write(stream, data, n, until);

    return err == 0 ? conc_stream_flush(stream, until) : err;
}

/* Send the body byte by byte; a client that has gone ends it, and so does the server's end. */
static int send_drops(conc_stream *stream, const struct response *response)
{
    int err = 0;

    for (size_t i = 0; i < response->size && err == 0; i++) {
        err = conc_sleep(CONC_MS(DRIP_MS));
        if (err == 0)
            err = send_at_once(stream, response->body + i, 1, conc_in(CONC_S(WRITE_SECONDS)));
    }
    return err;
}

/* What the client must be told of the connection, as it would expect something else. Without a word
 * HTTP/1.0 waits for the end of the connection (RFC 9112, appendix C.2.2). */
static const char *connection_line(const struct request *request, bool keep_alive)
{
    if (!keep_alive)
        return "Connection: close\r\n";
    return request->must_be_told ? "Connection: keep-alive\r\n" : "";
}

/* Put the status line and the header lines together. @return their length */
static int make_head(char *head, size_t size, const struct response *response, bool has_body,
                     const char *last_line)
{
    char date[40], length[48] = "";
    time_t now = time(NULL);
    struct tm tm;

    strftime(date, sizeof date, "%a, %d %b %Y %H:%M:%S GMT", gmtime_r(&now, &tm));
    if (has_body)
        snprintf(length, sizeof length, "Content-Length: %zu\r\n", response->size);
    return snprintf(
        head, size,
        "HTTP/1.1 %d %s\r\nServer: libconc-demo\r\nDate: %s\r\nContent-Type: %s\r\n%s%s%s\r\n",
        response->status, status_words(response->status), date, response->content_type, length,
        response->headers, last_line);
}

int response_send(struct connection *connection, const struct response *response, bool keep_alive)
{
    conc_stream *stream = connection->stream;
    /* When we are cancelled there is no more time: only what fits into the socket is sent. */
    const conc_deadline until = conc_is_cancelled() ? CONC_NOW : conc_in(CONC_S(WRITE_SECONDS));
    const bool has_body =
        response->status != 204 && response->status != 304; /* RFC 9110, section 6.4.1 */
    size_t size = has_body && connection->request.method != HTTP_HEAD ? response->size : 0;
    char head[HEAD_BYTES];
    int length, err;

    if (response->manner == ANSWER_GARBAGE)
        return send_at_once(stream, response->body, response->size, until);
    if (response->manner == ANSWER_CLOSE)
        size /= 2;
    length = make_head(head, sizeof head, response, has_body,
                       connection_line(&connection->request, keep_alive));
    err = conc_stream_write(stream, head, (size_t)length, until);
    if (err == 0 && response->manner == ANSWER_DRIP)
        err = send_drops(stream, response);
    else if (err == 0)
        err = send_at_once(stream, response->body, size, until);
    return err;
}

void response_refuse(conc_stream *stream, int status)
{
    /* A new connection has room for it; if there is none, the client gets nothing. */
    conc_stream_printf(stream, CONC_NOW,
                       "HTTP/1.1 %d %s\r\nContent-Length: 0\r\nConnection: close\r\n\r\n", status,
                       status_words(status));
    conc_stream_flush(stream, CONC_NOW);
}
