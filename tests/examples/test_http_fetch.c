/* SPDX-License-Identifier: MIT
 *
 * test_http_fetch.c: the examples' HTTP client over libconc's sockets, from a thread and from
 * tasks; and under it requests and answers as bytes, however they arrive.
 */
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "demo.h"
#include "support/geocode.h"
#include "support/http_fetch.h"
#include "support/http_wire.h"

static struct demo demo;

static int start(void **state)
{
    demo_start(&demo, NULL, "threads", 0);
    return 0;
}

static int stop(void **state)
{
    demo_stop(&demo, CONC_S(1));
    return 0;
}

static const char *url_of(const char *path)
{
    static char url[HTTP_URL_MAX];

    snprintf(url, sizeof url, "%s%s", server_url(demo.server), path);
    return url;
}

/* ---- Requests as bytes ---- */

static void test_request_has_target_and_host(void **state)
{
    static const struct {
        const char *url, *host, *line, *host_line;
        int port;
    } ROWS[] = {
        {"http://a", "a", "GET / HTTP/1.1\r\n", "\r\nHost: a\r\n", 80},
        {"http://a.b:81/c/d?e=f#g", "a.b", "GET /c/d?e=f HTTP/1.1\r\n", "\r\nHost: a.b:81\r\n", 81},
        {"http://a?b/c", "a", "GET /?b/c HTTP/1.1\r\n", "\r\nHost: a\r\n", 80},
        {"http://u:p@a:82/@", "a", "GET /@ HTTP/1.1\r\n", "\r\nHost: a:82\r\n", 82},
        {"http://[::1]:83/", "::1", "GET / HTTP/1.1\r\n", "\r\nHost: [::1]:83\r\n", 83},
    };

    for (size_t i = 0; i < sizeof ROWS / sizeof *ROWS; i++) {
        struct http_request request;

        assert_int_equal(http_request_make(&request, ROWS[i].url), 0);
        assert_string_equal(request.host, ROWS[i].host);
        assert_int_equal(request.port, ROWS[i].port);
        assert_int_equal(request.size, strlen(request.text));
        assert_int_equal(strncmp(request.text, ROWS[i].line, strlen(ROWS[i].line)), 0);
        assert_non_null(strstr(request.text, ROWS[i].host_line));
        assert_string_equal(request.text + request.size - 4, "\r\n\r\n");
    }
}

static void test_request_of_a_bad_url_is_refused(void **state)
{
    static const char *const URLS[] = {
        "", "http://", "http://127.0.0.1:99999/", "/path", "http://a/b c", "http://a/\r\nX: y",
    };
    struct http_request request;
    char url[HTTP_URL_MAX + 2];

    for (size_t i = 0; i < sizeof URLS / sizeof *URLS; i++) {
        assert_int_equal(http_request_make(&request, URLS[i]), -EINVAL);
        assert_non_null(strstr(conc_error_message(), "not a URL"));
    }
    assert_int_equal(http_request_make(&request, "https://a/"), -EPROTONOSUPPORT);
    assert_int_equal(http_request_make(&request, "ftp://a/"), -EPROTONOSUPPORT);
    memset(url, 'a', sizeof url);
    memcpy(url, "http://a/", 9);
    url[sizeof url - 1] = '\0';
    assert_int_equal(http_request_make(&request, url), -EINVAL);
    assert_non_null(strstr(conc_error_message(), "too long a URL"));
    url[HTTP_URL_MAX] = '\0';
    assert_int_equal(http_request_make(&request, url), 0);
}

/* ---- Answers as bytes ---- */

/* Feed the bytes in pieces of a size, and then the end; what the last feeding has returned. */
static int feed(struct http_reader *reader, const char *text, size_t n, size_t piece)
{
    int done = 0;

    http_reader_init(reader, "http://a/");
    for (size_t i = 0; i < n && done == 0; i += piece)
        done = http_reader_feed(reader, text + i, n - i < piece ? n - i : piece);
    return done == 0 ? http_reader_feed(reader, NULL, 0) : done;
}

static void test_answer_is_read_in_pieces_of_any_size(void **state)
{
    static const struct {
        const char *text, *body;
        int status;
    } ROWS[] = {
        {"HTTP/1.1 200 OK\r\nX-One: 1\r\nContent-Length: 5\r\n\r\nhello", "hello", 200},
        {"HTTP/1.1 200 OK\r\nX-One: 1\r\nContent-Length: 5\r\n\r\nhello, and more", "hello", 200},
        {"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nX-One: 1\r\n\r\n", "", 200},
        {"HTTP/1.0 404 Not Found\r\nX-One:  1\r\n\r\nuntil the end", "until the end", 404},
        {"HTTP/1.1 100 Continue\r\nX-Two: 2\r\n\r\n"
         "HTTP/1.1 200 OK\r\nX-One: 1\r\nContent-Length: 1\r\n\r\na",
         "a", 200},
        {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nX-One: 1\r\n\r\n"
         "3\r\nhel\r\n2\r\nlo\r\n0\r\nTrailer: x\r\n\r\n",
         "hello", 200},
        {"HTTP/1.1 204 No Content\r\nX-One: 1\r\n\r\n", "", 204},
    };

    for (size_t i = 0; i < sizeof ROWS / sizeof *ROWS; i++) {
        const size_t n = strlen(ROWS[i].text);

        for (size_t piece = 1; piece <= n; piece++) {
            struct http_reader reader;
            struct http_response response;
            char value[8];

            assert_int_equal(feed(&reader, ROWS[i].text, n, piece), 1);
            assert_int_equal(http_reader_give(&reader, &response), 0);
            assert_int_equal(response.status, ROWS[i].status);
            assert_string_equal(response.body, ROWS[i].body);
            assert_int_equal(response.size, strlen(ROWS[i].body));
            assert_true(http_header(&response, "X-One", value, sizeof value));
            assert_string_equal(value, "1");
            assert_false(http_header(&response, "X-Two", value, sizeof value));
            http_response_free(&response);
            http_reader_free(&reader);
        }
    }
}

static void test_answer_that_is_none_is_refused(void **state)
{
    static const struct {
        const char *text;
        int err;
        const char *words;
    } ROWS[] = {
        {"", -ECONNRESET, "without an answer"},
        {"HTTP/1.1 200 OK\r\nContent-Le", -ECONNRESET, "in the middle"},
        {"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhell", -ECONNRESET, "in the middle"},
        {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n", -ECONNRESET,
         "middle"},
        {"HTTP/1.1 100 Continue\r\n\r\n", -ECONNRESET, "in the middle"},
        {"no HTTP at all\r\n\r\n", -EPROTO, "not HTTP"},
        {"HTTP/1.1 200 OK\r\nContent-Length: five\r\n\r\nhello", -EPROTO, "not HTTP"},
        {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nx\r\nhel\r\n", -EPROTO, "not HTTP"},
    };

    for (size_t i = 0; i < sizeof ROWS / sizeof *ROWS; i++) {
        const size_t n = strlen(ROWS[i].text);

        for (size_t piece = 1; piece <= n + 1; piece++) {
            struct http_reader reader;

            assert_int_equal(feed(&reader, ROWS[i].text, n, piece), ROWS[i].err);
            assert_non_null(strstr(conc_error_message(), ROWS[i].words));
            http_reader_free(&reader);
        }
    }
}

static void test_answer_without_end_is_refused(void **state)
{
    static const char *const BEGINNINGS[] = {
        "HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n",
        "HTTP/1.1 200 OK\r\n",
        "HTTP/1.1 200 OK\r\nX: ",
    };
    static const char LINE[] = "X-One: 1\r\n";
    enum { PIECE = 1 << 20 };
    char *piece = malloc(PIECE);

    assert_non_null(piece);
    for (size_t i = 0; i < sizeof BEGINNINGS / sizeof *BEGINNINGS; i++) {
        struct http_reader reader;
        int done;

        for (size_t at = 0; at < PIECE; at++)
            piece[at] = i == 2 ? 'a' : LINE[at % (sizeof LINE - 1)];
        http_reader_init(&reader, "http://a/");
        done = http_reader_feed(&reader, BEGINNINGS[i], strlen(BEGINNINGS[i]));
        for (int n = 0; n < 2 + HTTP_BODY_MAX / PIECE && done == 0; n++)
            done = http_reader_feed(&reader, piece, PIECE);
        assert_int_equal(done, -EFBIG);
        assert_non_null(strstr(conc_error_message(), "too long"));
        http_reader_free(&reader);
    }
    free(piece);
}

/* ---- Fetching ---- */

struct attempt {
    const char *url;
    int64_t timeout;
};

static int fetch_status(void *arg, void *result)
{
    const struct attempt *attempt = arg;
    struct http_response response = {.status = -1};
    int err = http_fetch(attempt->url, &response, conc_in(attempt->timeout));

    if (err < 0) {
        assert_int_equal(response.status, -1); /* untouched */
        return err;
    }
    *(int *)result = response.status;
    http_response_free(&response);
    return 0;
}

/* GET must fail with this error, and the message must contain these words: in a thread, in a
 * task. */
static void assert_fails(const char *url, int64_t timeout, int err, const char *words)
{
    const struct attempt attempt = {url, timeout};
    int status;

    assert_int_equal(fetch_status((void *)&attempt, &status), err);
    assert_non_null(strstr(conc_error_message(), words));
    assert_int_equal(conc_run(fetch_status, &attempt, sizeof attempt, &status, sizeof status), err);
    assert_non_null(strstr(conc_error_message(), words));
}

static void test_statuses_come_as_they_are(void **state)
{
    static const int STATUSES[] = {200, 204, 301, 404, 500};

    for (size_t i = 0; i < sizeof STATUSES / sizeof *STATUSES; i++) {
        char path[32];
        struct attempt attempt;
        int status = 0;

        snprintf(path, sizeof path, "/status/%d", STATUSES[i]);
        attempt = (struct attempt){url_of(path), CONC_S(20)};
        assert_int_equal(fetch_status(&attempt, &status), 0);
        assert_int_equal(status, STATUSES[i]);
        assert_int_equal(conc_run(fetch_status, &attempt, sizeof attempt, &status, sizeof status),
                         0);
        assert_int_equal(status, STATUSES[i]);
    }
}

static void test_connection_refused(void **state)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0); /* bound, but it doesn't listen */
    char url[64];

    assert_int_equal(bind(fd, (struct sockaddr *)&address, size), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &size), 0);
    snprintf(url, sizeof url, "http://127.0.0.1:%d/", ntohs(address.sin_port));
    assert_fails(url, CONC_S(20), -ECONNREFUSED, conc_strerror(ECONNREFUSED));
    close(fd);
}

static void test_servers_that_misbehave(void **state)
{
    assert_fails(url_of("/bad/close"), CONC_S(20), -ECONNRESET, "closed in the middle");
    assert_fails(url_of("/bad/garbage"), CONC_S(20), -EPROTO, "not HTTP");
    assert_fails("nonsense", CONC_S(20), -EINVAL, "not a URL");
}

static void test_deadlines_hold_whatever_the_server_does(void **state)
{
    static const char *const PATHS[] = {"/bad/hang", "/bad/drip", "/delay/60000"};

    for (size_t i = 0; i < sizeof PATHS / sizeof *PATHS; i++) {
        int64_t started = conc_now();

        assert_fails(url_of(PATHS[i]), CONC_MS(200), -ETIMEDOUT, "no answer in time");
        assert_true(conc_now() - started >= CONC_MS(400)); /* twice */
    }
}

/* ---- Many tasks ---- */

enum { PAGES = 100 };

static int get_page(void *arg, void *result)
{
    struct http_response response;
    char url[256];
    int err;

    snprintf(url, sizeof url, "%s/page/%d", server_url(demo.server), *(int *)arg);
    err = http_fetch(url, &response, conc_in(CONC_S(60)));
    if (err < 0)
        return err;
    *(size_t *)result = response.size;
    http_response_free(&response);
    return 0;
}

static int get_pages(void *arg, void *result)
{
    conc_future *tasks[PAGES];

    for (int i = 0; i < PAGES; i++) {
        int kib = i + 1;

        tasks[i] = conc_spawn(get_page, &kib, sizeof kib, sizeof(size_t));
    }
    for (int i = 0; i < PAGES; i++) {
        size_t size = 0;

        assert_int_equal(conc_future_result(tasks[i], &size, CONC_FOREVER), 0);
        assert_int_equal(size, (i + 1) * 1024);
        conc_future_unref(tasks[i]);
    }
    return 0;
}

static void test_many_tasks_at_once_get_their_own_answers(void **state)
{
    assert_int_equal(conc_run(get_pages, NULL, 0, NULL, 0), 0);
}

static int geocode_hanging(void *arg, void *result)
{
    struct geocoding api = {.server = url_of("/bad/hang"), .get = http_fetch};
    struct place place;

    return geocode(&api, "Berlin", &place, CONC_FOREVER);
}

static int cancel_hanging(void *arg, void *result)
{
    conc_future *task = conc_spawn(geocode_hanging, NULL, 0, 0);

    assert_int_equal(conc_sleep(CONC_MS(20)),
                     0); /* it may be anywhere then, and is cancelled there */
    assert_true(conc_future_cancel(task));
    assert_int_equal(conc_future_result(task, NULL, CONC_FOREVER), -ECANCELED);
    assert_true(conc_future_is_cancelled(task));
    conc_future_unref(task);
    return 0;
}

static void test_cancelled_task_gives_up_its_request(void **state)
{
    assert_int_equal(conc_run(cancel_hanging, NULL, 0, NULL, 0), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_request_has_target_and_host),
        cmocka_unit_test(test_request_of_a_bad_url_is_refused),
        cmocka_unit_test(test_answer_is_read_in_pieces_of_any_size),
        cmocka_unit_test(test_answer_that_is_none_is_refused),
        cmocka_unit_test(test_answer_without_end_is_refused),
        cmocka_unit_test(test_statuses_come_as_they_are),
        cmocka_unit_test(test_connection_refused),
        cmocka_unit_test(test_servers_that_misbehave),
        cmocka_unit_test(test_deadlines_hold_whatever_the_server_does),
        cmocka_unit_test(test_many_tasks_at_once_get_their_own_answers),
        cmocka_unit_test(test_cancelled_task_gives_up_its_request),
    };

    return cmocka_run_group_tests_name("http_fetch", tests, start, stop);
}
