/* SPDX-License-Identifier: MIT
 *
 * http_fetch.c: an HTTP client of one screen: connect, send, receive until the answer is whole.
 */
#include "support/http_fetch.h"

#include <conc.h>
#include <errno.h>

#include "support/http_wire.h"

static int fetch_error(int err, const char *url)
{
    switch (err) {
    case -ETIMEDOUT:
        return conc_raise(err, URL_SHOWN ": no answer in time", url);
    case -ECANCELED:
        return conc_raise(err, URL_SHOWN ": cancelled", url);
    case -ENOENT:
        return conc_raise(-EHOSTUNREACH, URL_SHOWN ": no such host", url);
    case -ECONNRESET:
    case -EPIPE:
        return conc_raise(-ECONNRESET, URL_SHOWN ": the server closed in the middle of its answer",
                          url);
    default:
        return conc_raise(err, URL_SHOWN ": %s", url, conc_strerror(err));
    }
}

static int read_answer(int fd, struct http_reader *reader, conc_deadline deadline)
{
    char data[16 << 10];
    int done = 0;

    while (done == 0) {
        ssize_t n = conc_recv(fd, data, sizeof data, 0, deadline);

        if (n < 0)
            return fetch_error((int)n, reader->url);
        done = http_reader_feed(reader, data, (size_t)n);
    }
    return done < 0 ? done : 0;
}

int http_fetch(const char *url, struct http_response *ret, conc_deadline deadline)
{
    struct http_request request;
    struct http_reader reader;
    int fd, err = http_request_make(&request, url);

    if (err < 0)
        return err;
    fd = conc_tcp_connect(request.host, request.port, deadline);
    if (fd < 0)
        return fetch_error(fd, url);
    http_reader_init(&reader, url);
    err = conc_sendall(fd, request.text, request.size, 0, deadline);
    if (err < 0)
        err = fetch_error(err, url);
    else
        err = read_answer(fd, &reader, deadline);
    conc_close(fd);
    if (err == 0)
        err = http_reader_give(&reader, ret);
    http_reader_free(&reader);
    return err;
}
