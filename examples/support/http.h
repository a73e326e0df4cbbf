/* SPDX-License-Identifier: MIT
 *
 * http.h: a blocking HTTP client: one GET, one answer, as Python's requests.get(url, timeout=...).
 *
 * Errors are raised with conc_raise(), the URL in their message. An answer with a bad status is no
 * error here; see http_check(). All functions may be called from any thread.
 */
#ifndef EXAMPLES_HTTP_H
#define EXAMPLES_HTTP_H

#include <stdbool.h>
#include <stddef.h>

#include <conc/base.h>

enum {
    HTTP_URL_MAX = 2048,         /* of a URL that these programs put together */
    HTTP_BODY_MAX = 64 << 20,    /* a longer body is an error, -EFBIG */
    HTTP_HEADERS_MAX = 64 << 10, /* all header lines of an answer; more: -EFBIG */
};

/** How a URL stands in a message: a long one cut, so that what went wrong with it still fits. */
#define URL_SHOWN "%.160s"

struct http_response {
    int status;    /* 200 ... */
    char *body;    /* zero-terminated; never NULL */
    size_t size;   /* bytes of the body, the zero not counted */
    char *headers; /* the lines of the last answer's head, after redirects; never NULL */
};

/**
 * Fetch a URL.
 *
 * @param ret       gives the answer, for http_response_free(); untouched on failure
 * @param deadline  for all of it: name, connection, request, answer
 * @return 0; -ETIMEDOUT; -ECANCELED: the caller was cancelled; -ECONNREFUSED and the other errors
 *         of connect(); -EHOSTUNREACH: no such host; -ECONNRESET: closed before the answer was
 *         whole; -EPROTO: what answered does not speak HTTP; -EFBIG: too long an answer; -EINVAL:
 *         not a URL for HTTP; -ENOMEM; -EIO: another failure
 *
 * Blocks: yes. Cancellation point: yes.
 */
int http_get(const char *url, struct http_response *ret, conc_deadline deadline);

/**
 * http_get() with request headers.
 *
 * @param headers  lines as "X-API-KEY: secret", the last followed by NULL; NULL: none
 */
int http_get_with(const char *url, const char *const *headers, struct http_response *ret,
                  conc_deadline deadline);

/** Free what http_get() gave; an all-zero one too. */
void http_response_free(struct http_response *response);

/**
 * Is the status a good one (2xx)? As Python's Response.raise_for_status().
 *
 * @return 0; -ENOENT: 404; -EACCES: 401, 403; -EBUSY: 429, 503: asked too often, or too busy; -EIO:
 *         all others. The message has the status and what the answer's JSON says under "error".
 */
int http_check(const char *url, const struct http_response *response);

/**
 * The value of a header line.
 *
 * @param name   without regard to case
 * @param value  room for it, of `size` bytes; a longer one is cut
 * @return false: there is no such line
 */
bool http_header(const struct http_response *response, const char *name, char *value, size_t size);

/**
 * The URL of the next page: the Link header's target with rel="next" (RFC 8288).
 *
 * @return false: there is none
 */
bool http_next_link(const struct http_response *response, char *url, size_t size);

/** Percent-encode text for a URL's query; free() it. NULL: out of memory */
char *http_escape(const char *text);

#endif
