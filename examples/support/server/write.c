/* SPDX-License-Identifier: MIT
 *
 * write.c: sending responses.
 *
 * Sockets are non-blocking; a full one is waited for with poll(), for as long as a response may
 * take in all, and only until the server aborts. MSG_NOSIGNAL: a client that has gone is an error
 * here, not a SIGPIPE.
 */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#include <conc/context.h>

#include "support/server/internal.h"

enum {
    HEAD_BYTES = RESPONSE_HEADERS_MAX + 512, /* the status line and all header lines */
    WRITE_SECONDS = 30,                      /* a response may take, with a slow reader */
    DRIP_MS = 100,                           /* between the bytes of ANSWER_DRIP */
};

/* Wait until the socket takes bytes. */
static int wait_writable(struct connection *connection, int64_t until)
{
    struct pollfd wanted[] = {
        {.fd = connection->fd, .events = POLLOUT},
        {.fd = connection->server->aborting, .events = POLLIN},
    };
    int64_t left = (until - conc_now()) / CONC_MS(1);

    if (left <= 0 || poll(wanted, 2, (int)left) == 0)
        return -ETIMEDOUT;
    return wanted[1].revents != 0 ? -ECANCELED : 0; /* EINTR: tried again */
}

static int send_all(struct connection *connection, const char *data, size_t n, int flags,
                    int64_t until)
{
    while (n > 0) {
        ssize_t sent = send(connection->fd, data, n, flags | MSG_NOSIGNAL);

        if (sent >= 0) {
            data += sent;
            n -= (size_t)sent;
        } else if (errno == EAGAIN || errno == EWOULDBLOCK) {
            int err = wait_writable(connection, until);

            if (err < 0)
                return err;
        } else if (errno != EINTR) {
            return -errno;
        }
    }
    return 0;
}

/* Send the body byte by byte; a client that has gone ends it, and so does the server's end. */
static int send_drops(struct connection *connection, const struct response *response)
{
    int err = 0;

    for (size_t i = 0; i < response->size && err == 0; i++) {
        err = conc_sleep(CONC_MS(DRIP_MS));
        if (err == 0)
            err =
                send_all(connection, response->body + i, 1, 0, conc_now() + CONC_S(WRITE_SECONDS));
    }
    return err;
}

/* Put the status line and the header lines together. @return their length */
static int make_head(char *head, size_t size, const struct response *response, bool has_body,
                     bool keep_alive)
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
        response->headers, keep_alive ? "" : "Connection: close\r\n");
}

int response_send(struct connection *connection, const struct request *request,
                  const struct response *response, bool keep_alive)
{
    const int64_t until = conc_now() + CONC_S(WRITE_SECONDS);
    const bool has_body =
        response->status != 204 && response->status != 304; /* RFC 9110, section 6.4.1 */
    size_t size = has_body && request->method != HTTP_HEAD ? response->size : 0;
    char head[HEAD_BYTES];
    int length, err;

    if (response->manner == ANSWER_GARBAGE) {
        send_all(connection, response->body, response->size, 0, until);
        return -ECONNRESET;
    }
    if (response->manner == ANSWER_CLOSE)
        size /= 2;
    length = make_head(head, sizeof head, response, has_body, keep_alive);
    /* MSG_MORE: the head waits for the body, so that a small answer is one packet. */
    err = send_all(connection, head, (size_t)length, size > 0 ? MSG_MORE : 0, until);
    if (err == 0 && response->manner == ANSWER_DRIP)
        err = send_drops(connection, response);
    else if (err == 0)
        err = send_all(connection, response->body, size, 0, until);
    return err == 0 && response->manner == ANSWER_CLOSE ? -ECONNRESET : err;
}

void response_refuse(int fd, int status)
{
    char text[128];
    int n = snprintf(text, sizeof text,
                     "HTTP/1.1 %d %s\r\nContent-Length: 0\r\nConnection: close\r\n\r\n", status,
                     status_words(status));

    /* One try: a new connection has room for it; who sends so much that it has none gets nothing.
     * */
    if (send(fd, text, (size_t)n, MSG_NOSIGNAL | MSG_DONTWAIT) == n)
        shutdown(fd, SHUT_WR);
}
