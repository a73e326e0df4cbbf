/* SPDX-License-Identifier: MIT
 *
 * http.c: a blocking HTTP client on libcurl.
 *
 * How: a call has curl handles of its own, so that nothing is shared between threads. curl's multi
 *      interface runs the transfer in steps with short waits between them, in a conc_scope whose
 *      deadline is the caller's: each step asks conc_check_cancel(), and so one test covers the
 *      deadline, the scopes around the call and conc_future_cancel(). (curl_easy_perform() would
 *      ask its progress callback just once a second while nothing arrives.)
 * Signals: CURLOPT_NOSIGNAL, since curl's use of SIGALRM is not for programs with threads.
 */
#include "support/http.h"

#include <conc/context.h>
#include <curl/curl.h>
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "support/buffer.h"

enum {
    /* The longest wait of a step: how late a deadline or a cancellation may be noticed. */
    STEP_MS = 20,
    REDIRECTS_MAX = 5, /* followed one after another */
};

struct transfer {
    const char *url;
    CURLM *multi;
    CURL *easy;
    struct curl_slist *headers; /* the request's */
    struct buffer answer_headers, answer_body;
    bool too_long, no_memory; /* why a callback refused what came */
    char problem[CURL_ERROR_SIZE];
};

static CURLcode global_result;

static void global_init(void)
{
    global_result = curl_global_init(CURL_GLOBAL_DEFAULT);
    if (global_result == CURLE_OK)
        atexit(curl_global_cleanup);
}

/* ---- What arrives ---- */

/* Append, within a limit. Returns what curl wants to hear: the number of bytes taken. */
static size_t take(struct transfer *t, struct buffer *into, const char *data, size_t n,
                   size_t limit)
{
    if (n > limit - into->size) {
        t->too_long = true;
        return 0;
    }
    if (buffer_append(into, data, n) < 0) {
        t->no_memory = true;
        return 0;
    }
    return n;
}

static size_t on_header(char *data, size_t one, size_t n, void *arg)
{
    struct transfer *t = arg;

    /* A status line begins an answer: what a redirect said before it is forgotten. */
    if (n > 5 && memcmp(data, "HTTP/", 5) == 0)
        t->answer_headers.size = 0;
    return take(t, &t->answer_headers, data, n, HTTP_HEADERS_MAX);
}

static size_t on_body(char *data, size_t one, size_t n, void *arg)
{
    struct transfer *t = arg;

    return take(t, &t->answer_body, data, n, HTTP_BODY_MAX);
}

/* ---- One transfer ---- */

static int out_of_memory(const struct transfer *t)
{
    return conc_raise(-ENOMEM, URL_SHOWN ": out of memory", t->url);
}

/* A proxy from the environment has no way to this machine's own servers. */
static bool set_no_proxy(CURL *easy)
{
    const char *others = getenv("no_proxy");
    char list[1024];
    int n = snprintf(list, sizeof list, "localhost,127.0.0.1,::1%s%s", others != NULL ? "," : "",
                     others != NULL ? others : "");

    return n < (int)sizeof list && curl_easy_setopt(easy, CURLOPT_NOPROXY, list) == CURLE_OK;
}

/* HTTP only, also when redirected: a server must not send us to file:///etc/passwd. */
static bool set_protocols(CURL *easy)
{
#if LIBCURL_VERSION_NUM >= 0x075500 /* 7.85 names them; the numbers are deprecated since */
    return curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https") == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_REDIR_PROTOCOLS_STR, "http,https") == CURLE_OK;
#else
    const long protocols = CURLPROTO_HTTP | CURLPROTO_HTTPS;

    return curl_easy_setopt(easy, CURLOPT_PROTOCOLS, protocols) == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_REDIR_PROTOCOLS, protocols) == CURLE_OK;
#endif
}

static int transfer_open(struct transfer *t, const char *const *headers)
{
    bool good;

    t->multi = curl_multi_init();
    t->easy = curl_easy_init();
    if (t->multi == NULL || t->easy == NULL)
        return out_of_memory(t);
    for (; headers != NULL && *headers != NULL; headers++) {
        struct curl_slist *longer = curl_slist_append(t->headers, *headers);

        if (longer == NULL)
            return out_of_memory(t);
        t->headers = longer;
    }
    good = curl_easy_setopt(t->easy, CURLOPT_URL, t->url) == CURLE_OK && set_protocols(t->easy) &&
           curl_easy_setopt(t->easy, CURLOPT_NOSIGNAL, 1L) == CURLE_OK &&
           curl_easy_setopt(t->easy, CURLOPT_FOLLOWLOCATION, 1L) == CURLE_OK &&
           curl_easy_setopt(t->easy, CURLOPT_MAXREDIRS, (long)REDIRECTS_MAX) == CURLE_OK &&
           curl_easy_setopt(t->easy, CURLOPT_USERAGENT, "libconc-examples") == CURLE_OK &&
           curl_easy_setopt(t->easy, CURLOPT_HTTPHEADER, t->headers) == CURLE_OK &&
           curl_easy_setopt(t->easy, CURLOPT_ERRORBUFFER, t->problem) == CURLE_OK &&
           curl_easy_setopt(t->easy, CURLOPT_HEADERFUNCTION, on_header) == CURLE_OK &&
           curl_easy_setopt(t->easy, CURLOPT_HEADERDATA, t) == CURLE_OK &&
           curl_easy_setopt(t->easy, CURLOPT_WRITEFUNCTION, on_body) == CURLE_OK &&
           curl_easy_setopt(t->easy, CURLOPT_WRITEDATA, t) == CURLE_OK && set_no_proxy(t->easy) &&
           curl_multi_add_handle(t->multi, t->easy) == CURLM_OK;
    return good ? 0 : out_of_memory(t);
}

static void transfer_close(struct transfer *t)
{
    if (t->multi != NULL && t->easy != NULL)
        curl_multi_remove_handle(t->multi, t->easy);
    if (t->easy != NULL)
        curl_easy_cleanup(t->easy);
    if (t->multi != NULL)
        curl_multi_cleanup(t->multi);
    curl_slist_free_all(t->headers);
    buffer_free(&t->answer_headers);
    buffer_free(&t->answer_body);
}

/* curl's code as an error with a message. */
static int transfer_error(struct transfer *t, CURLcode code)
{
    long reason = 0;

    switch (code) {
    case CURLE_OK:
        return 0;
    case CURLE_COULDNT_CONNECT:
        curl_easy_getinfo(t->easy, CURLINFO_OS_ERRNO, &reason);
        reason = reason > 0 ? reason : ECONNREFUSED;
        return conc_raise(-(int)reason, URL_SHOWN ": %s", t->url, conc_strerror((int)reason));
    case CURLE_COULDNT_RESOLVE_HOST:
    case CURLE_COULDNT_RESOLVE_PROXY:
        return conc_raise(-EHOSTUNREACH, URL_SHOWN ": no such host", t->url);
    case CURLE_GOT_NOTHING:
        return conc_raise(-ECONNRESET, URL_SHOWN ": the server closed without an answer", t->url);
    case CURLE_PARTIAL_FILE:
    case CURLE_RECV_ERROR:
        return conc_raise(-ECONNRESET, URL_SHOWN ": the server closed in the middle of its answer",
                          t->url);
    case CURLE_UNSUPPORTED_PROTOCOL: /* also what an answer that is no HTTP at all counts as */
    case CURLE_WEIRD_SERVER_REPLY:
        return conc_raise(-EPROTO, URL_SHOWN ": not HTTP", t->url);
    case CURLE_URL_MALFORMAT:
        return conc_raise(-EINVAL, URL_SHOWN ": not a URL", t->url);
    case CURLE_WRITE_ERROR:
        if (t->too_long)
            return conc_raise(-EFBIG, URL_SHOWN ": the answer is too long", t->url);
        return t->no_memory ? out_of_memory(t)
                            : conc_raise(-EIO, URL_SHOWN ": %s", t->url, t->problem);
    case CURLE_OUT_OF_MEMORY:
        return out_of_memory(t);
    case CURLE_TOO_MANY_REDIRECTS:
        return conc_raise(-ELOOP, URL_SHOWN ": redirected too often", t->url);
    default:
        return conc_raise(-EIO, URL_SHOWN ": %s", t->url,
                          *t->problem != '\0' ? t->problem : curl_easy_strerror(code));
    }
}

/* Run the transfer to its end, or until the caller is cancelled: -ECANCELED, without a message. */
static int transfer_run(struct transfer *t)
{
    int running, left, err;
    CURLMcode code;
    CURLMsg *message;

    for (;;) {
        err = conc_check_cancel();
        if (err < 0)
            return err;
        code = curl_multi_perform(t->multi, &running);
        if (code == CURLM_OK && running > 0)
            code = curl_multi_poll(t->multi, NULL, 0, STEP_MS, NULL);
        if (code != CURLM_OK)
            return conc_raise(-EIO, URL_SHOWN ": %s", t->url, curl_multi_strerror(code));
        if (running == 0)
            break;
    }
    message = curl_multi_info_read(t->multi, &left);
    return transfer_error(t, message != NULL ? message->data.result : CURLE_RECV_ERROR);
}

/* The answer goes to its new owner. An empty body is a string too. */
static int transfer_give(struct transfer *t, struct http_response *ret)
{
    long status = 0;

    if (buffer_terminate(&t->answer_headers) < 0 || buffer_terminate(&t->answer_body) < 0)
        return out_of_memory(t);
    curl_easy_getinfo(t->easy, CURLINFO_RESPONSE_CODE, &status);
    ret->status = (int)status;
    ret->size = t->answer_body.size;
    ret->body = buffer_take(&t->answer_body);
    ret->headers = buffer_take(&t->answer_headers);
    return 0;
}

int http_get_with(const char *url, const char *const *headers, struct http_response *ret,
                  conc_deadline deadline)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    struct transfer t = {.url = url};
    conc_scope scope;
    int err, why;

    pthread_once(&once, global_init);
    if (global_result != CURLE_OK)
        return conc_raise(-EIO, "libcurl: %s", curl_easy_strerror(global_result));
    err = transfer_open(&t, headers);
    if (err == 0) {
        conc_scope_enter(&scope, deadline);
        err = transfer_run(&t);
        why = conc_scope_exit(&scope);
        if (err == -ECANCELED)
            err = why == -ETIMEDOUT ? conc_raise(-ETIMEDOUT, URL_SHOWN ": no answer in time", url)
                                    : conc_raise(-ECANCELED, URL_SHOWN ": cancelled", url);
    }
    if (err == 0)
        err = transfer_give(&t, ret);
    transfer_close(&t);
    return err;
}

int http_get(const char *url, struct http_response *ret, conc_deadline deadline)
{
    return http_get_with(url, NULL, ret, deadline);
}

void http_response_free(struct http_response *response)
{
    free(response->body);
    free(response->headers);
    *response = (struct http_response){0};
}

char *http_escape(const char *text)
{
    char *escaped = curl_easy_escape(NULL, text, 0);
    char *copy = escaped != NULL ? strdup(escaped) : NULL;

    curl_free(escaped);
    return copy;
}
