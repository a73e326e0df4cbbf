/* SPDX-License-Identifier: MIT
 *
 * message.h: what the server's handlers see: a request, and the response to fill in.
 */
#ifndef EXAMPLES_SERVER_MESSAGE_H
#define EXAMPLES_SERVER_MESSAGE_H

#include <http_parser.h>
#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <conc/base.h>

enum {
    REQUEST_TARGET_MAX = 2048,   /* bytes of path and query; more: 414 */
    REQUEST_HEADERS_MAX = 16384, /* bytes of all header lines; more: 431 */
    REQUEST_BODY_MAX = 65536,    /* nothing here wants a body; a longer one than this: 413 */
    REQUEST_VALUE_MAX = 256,     /* bytes of a header value that is kept; more: 431 */
    RESPONSE_HEADERS_MAX = 2048, /* bytes of a response's own header lines */
};

struct request {
    enum http_method method;
    const char *path;  /* percent-encoded, without the query; in target */
    const char *query; /* behind the '?'; "" if there is none */
    bool keep_alive;   /* the client can send another request */
    bool must_be_told; /* HTTP/1.0: that the connection stays open */
    char target[REQUEST_TARGET_MAX];
    char host[REQUEST_VALUE_MAX]; /* the Host header; "" if there is none */
    char api_key[REQUEST_VALUE_MAX];
};

/* How an answer is sent: as it should be, or in one of the ways that a client must survive. */
enum manner {
    ANSWER_WHOLE,
    ANSWER_DRIP,    /* the body byte by byte, with a pause after each */
    ANSWER_CLOSE,   /* half of the body, then the end of the connection */
    ANSWER_GARBAGE, /* what is in the body and nothing else: not HTTP; then the end */
    ANSWER_NEVER,   /* nothing; the connection stays open until the client closes it */
};

struct response {
    int status; /* 200 if no handler says otherwise */
    const char *content_type;
    char *body; /* malloc()ed; the response owns it */
    size_t size;
    enum manner manner;
    char headers[RESPONSE_HEADERS_MAX]; /* more header lines, each with "\r\n" */
};

/** Answer with JSON; takes the reference (NULL: out of memory, a 500). */
void respond_json(struct response *response, int status, json_t *json);

/** Answer with {"error": ...}. */
void respond_error(struct response *response, int status, const char *fmt, ...) CONC_PRINTF(3, 4);

/** Answer with a copy of `size` bytes. */
void respond_bytes(struct response *response, const char *content_type, const void *bytes,
                   size_t size);

/** Add a header line, without its "\r\n". One that doesn't fit any more is left out. */
void respond_header(struct response *response, const char *fmt, ...) CONC_PRINTF(2, 3);

/** The words for a status: "Not Found". */
const char *status_words(int status);

/**
 * The value of a parameter in a query, decoded.
 *
 * @return 1: found; 0: not there; -EINVAL: a bad encoding, a zero byte, or longer than `size` - 1
 */
int query_value(const char *query, const char *name, char *value, size_t size);

/** Decode the percent-encoded bytes from..end. @return 0; -EINVAL as query_value() */
int percent_decode(const char *from, const char *end, char *ret, size_t size);

/** Read a whole number of decimal digits. @return false: anything else, or not within min to max */
bool parse_whole(const char *text, int64_t min, int64_t max, int64_t *ret);

#endif
