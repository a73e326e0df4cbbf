/* SPDX-License-Identifier: MIT
 *
 * http_wire.h: HTTP without a connection, in the role of Python's h11: a GET as the bytes to send,
 * and an answer from the bytes that arrive. How they travel is the caller's affair.
 *
 *     struct http_request request;
 *     err = http_request_make(&request, url);          // then connect, and send request.text
 *     http_reader_init(&reader, url);
 *     while (!(done = http_reader_feed(&reader, data, n)))
 *         n = recv(...);
 *     err = done < 0 ? done : http_reader_give(&reader, &response);
 *     http_reader_free(&reader);
 */
#ifndef EXAMPLES_HTTP_WIRE_H
#define EXAMPLES_HTTP_WIRE_H

#include <http_parser.h>
#include <stdbool.h>
#include <stdint.h>

#include "support/buffer.h"
#include "support/http.h"

struct http_request {
    char host[256]; /* a name or an address; one of IPv6 without its brackets */
    uint16_t port;
    char text[HTTP_URL_MAX + 512]; /* the request, of `size` bytes */
    size_t size;
};

/**
 * Make a GET request, after whose answer the connection ends.
 *
 * @return 0; -EINVAL: not a URL, or too long a one; -EPROTONOSUPPORT: not http: (https: is not
 *         spoken here). With a message.
 */
int http_request_make(struct http_request *request, const char *url);

/** An answer that is arriving. All fields are private. */
struct http_reader {
    http_parser parser;
    const char *url;             /* for messages; borrowed */
    struct buffer headers, body; /* headers: "Name: value\r\n" each */
    bool begun, in_value, complete;
    int refused; /* what a callback did not like: -EFBIG, -ENOMEM; 0: nothing */
};

void http_reader_init(struct http_reader *reader, const char *url);

/**
 * Take n bytes that have arrived; none: the server has closed.
 *
 * @return 1: the answer is whole; 0: there is more to come; -ECONNRESET: closed before; -EPROTO:
 *         not HTTP; -EFBIG: too long; -ENOMEM. With a message.
 */
int http_reader_feed(struct http_reader *reader, const char *data, size_t n);

/**
 * Give the whole answer.
 *
 * @param ret  gives it, for http_response_free(); untouched on failure
 * @return 0; -ENOMEM, with a message
 */
int http_reader_give(struct http_reader *reader, struct http_response *ret);

void http_reader_free(struct http_reader *reader);

#endif
