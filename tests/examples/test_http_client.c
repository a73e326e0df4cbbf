/* SPDX-License-Identifier: MIT
 *
 * test_http_client.c: the examples' HTTP client: every error that it can give, deadlines,
 * cancellation; headers and links.
 */
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "demo.h"
#include "support/geocode.h"
#include "support/json.h"

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

/* GET must fail with this error, and the message must contain these words. */
static void assert_fails(const char *url, int err, const char *words)
{
    struct http_response response = {.status = -1};
    int got = http_get(url, &response, conc_in(CONC_S(20)));

    if (got != err || strstr(conc_error_message(), words) == NULL)
        fail_msg("%s: %d (%s) instead of %d", url, got, conc_error_message(), err);
    assert_int_equal(response.status, -1); /* untouched */
}

/* ---- Errors ---- */

static void test_connection_refused(void **state)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0); /* bound, but it doesn't listen */
    char url[64];

    assert_int_equal(bind(fd, (struct sockaddr *)&address, size), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &size), 0);
    snprintf(url, sizeof url, "http://127.0.0.1:%d/", ntohs(address.sin_port));
    assert_fails(url, -ECONNREFUSED, conc_strerror(ECONNREFUSED));
    close(fd);
}

static void test_misbehaving_servers(void **state)
{
    assert_fails(url_of("/bad/close"), -ECONNRESET, "closed in the middle");
    assert_fails(url_of("/bad/garbage"), -EPROTO, "not HTTP");
}

static void test_bad_urls(void **state)
{
    assert_fails("", -EINVAL, "not a URL");
    assert_fails("http://", -EINVAL, "not a URL");
    assert_fails("http://127.0.0.1:99999/", -EINVAL, "not a URL");
    assert_fails("ftp://127.0.0.1/", -EPROTO, "not HTTP");
    assert_fails("file:///etc/hostname", -EPROTO, "not HTTP");
}

/* RFC 6761 keeps the name free for ever; but there may be no name server to say so in time. */
static void test_unknown_host(void **state)
{
    struct http_response response;
    int err = http_get("http://no-such-host.invalid/", &response, conc_in(CONC_S(3)));

    if (err == -ETIMEDOUT)
        skip();
    assert_int_equal(err, -EHOSTUNREACH);
    assert_non_null(strstr(conc_error_message(), "no such host"));
}

static void test_long_urls_leave_room_for_what_went_wrong(void **state)
{
    char url[HTTP_URL_MAX];

    memset(url, 'a', sizeof url);
    memcpy(url, "gopher://", 9);
    url[sizeof url - 1] = '\0';
    assert_fails(url, -EPROTO, ": not HTTP");
}

static void test_redirects_are_followed_and_only_the_last_answer_counts(void **state)
{
    struct http_response response;
    char value[16];

    assert_int_equal(
        http_get(url_of("/redirect/redirect/geocode?address=Rome"), &response, conc_in(CONC_S(20))),
        0);
    assert_int_equal(response.status, 200);
    assert_non_null(strstr(response.body, "Rome"));
    assert_null(strstr(response.body, "elsewhere"));
    assert_false(http_header(&response, "X-Redirected", value, sizeof value));
    http_response_free(&response);
    assert_fails(url_of("/bad/loop"), -ELOOP, "redirected too often");
}

static void test_statuses_become_errors_when_asked(void **state)
{
    static const struct {
        int status, err;
    } ROWS[] = {{200, 0},      {204, 0},       {299, 0},       {301, -EIO},
                {400, -EIO},   {401, -EACCES}, {403, -EACCES}, {404, -ENOENT},
                {429, -EBUSY}, {500, -EIO},    {503, -EBUSY},  {599, -EIO}};

    for (size_t i = 0; i < sizeof ROWS / sizeof *ROWS; i++) {
        struct http_response response;
        char path[32], number[8];

        snprintf(path, sizeof path, "/status/%d", ROWS[i].status);
        snprintf(number, sizeof number, ": %d ", ROWS[i].status);
        assert_int_equal(http_get(url_of(path), &response, conc_in(CONC_S(20))), 0);
        assert_int_equal(response.status, ROWS[i].status);
        assert_int_equal(http_check(url_of(path), &response), ROWS[i].err);
        if (ROWS[i].err < 0) {
            assert_non_null(strstr(conc_error_message(), number));
            assert_non_null(strstr(conc_error_message(), "(as asked for)"));
        }
        http_response_free(&response);
    }
}

static void test_json_that_is_none(void **state)
{
    const struct geocoding api = {.server = url_of("/bad/type/")};
    struct place place;
    json_t *json;

    assert_int_equal(geocode(&api, "Berlin", &place, conc_in(CONC_S(20))), -EBADMSG);
    assert_non_null(strstr(conc_error_message(), "not the answer of a geocoder"));
    assert_int_equal(http_get_json(url_of("/bad/json"), NULL, &json, conc_in(CONC_S(20))),
                     -EBADMSG);
    assert_non_null(strstr(conc_error_message(), "malformed JSON"));
}

/* ---- Deadlines and cancellation ---- */

static void test_deadlines_hold_whatever_the_server_does(void **state)
{
    static const char *const PATHS[] = {"/bad/hang", "/bad/drip", "/delay/60000"};

    for (size_t i = 0; i < 3; i++) {
        struct http_response response;
        int64_t started = conc_now();

        assert_int_equal(http_get(url_of(PATHS[i]), &response, conc_in(CONC_MS(200))), -ETIMEDOUT);
        assert_non_null(strstr(conc_error_message(), "no answer in time"));
        assert_true(conc_now() - started >= CONC_MS(200));
        assert_true(conc_now() - started < CONC_S(20));
    }
}

static void test_deadline_that_is_past_asks_nothing(void **state)
{
    int64_t before = demo_stat(&demo, "requests");
    struct http_response response;

    assert_int_equal(http_get(url_of("/"), &response, conc_in(0)), -ETIMEDOUT);
    assert_int_equal(http_get(url_of("/"), &response, CONC_NOW), -ETIMEDOUT);
    assert_int_equal(demo_stat(&demo, "requests"), before + 1);
}

static void test_scope_around_it_cancels(void **state)
{
    struct http_response response;
    conc_scope scope;

    conc_scope_enter(&scope, conc_in(CONC_MS(100)));
    assert_int_equal(http_get(url_of("/bad/hang"), &response, conc_in(CONC_S(20))), -ECANCELED);
    assert_int_equal(conc_scope_exit(&scope), -ETIMEDOUT);
}

static int get_hanging(void *arg, void *result)
{
    struct http_response response;
    conc_event *begun = *(conc_event **)arg;

    conc_event_set(begun);
    return http_get(url_of("/bad/hang"), &response, CONC_FOREVER);
}

static void test_cancelled_job_gives_up_its_request(void **state)
{
    conc_event begun = CONC_EVENT_INIT, *arg = &begun;
    conc_executor *executor;
    conc_future *future;
    int64_t started;

    assert_int_equal(conc_thread_per_job_new(&executor), 0);
    future = conc_submit(executor, get_hanging, &arg, sizeof arg, 0);
    conc_event_wait(&begun, CONC_FOREVER);
    conc_sleep(CONC_MS(20));
    started = conc_now();
    assert_true(conc_future_cancel(future));
    assert_int_equal(conc_future_result(future, NULL, conc_in(CONC_S(20))), -ECANCELED);
    assert_true(conc_future_is_cancelled(future));
    assert_true(conc_now() - started < CONC_S(10));
    conc_future_unref(future);
    conc_executor_free(executor);
}

/* ---- Many threads ---- */

static int get_page(void *arg, void *result)
{
    struct http_response response;
    char url[256];
    int err;

    snprintf(url, sizeof url, "%s/page/%d", server_url(demo.server), *(int *)arg);
    err = http_get(url, &response, conc_in(CONC_S(60)));
    if (err < 0)
        return err;
    *(size_t *)result = response.size;
    http_response_free(&response);
    return 0;
}

static void test_many_threads_at_once_get_their_own_answers(void **state)
{
    enum { N = 100 };
    conc_executor *pool;
    int numbers[N];
    size_t sizes[N];

    for (int i = 0; i < N; i++)
        numbers[i] = i + 1;
    assert_int_equal(conc_thread_pool_new(&pool, 8, NULL), 0);
    assert_int_equal(conc_map(pool, get_page, numbers, N, sizeof *numbers, sizes, sizeof *sizes,
                              NULL, CONC_FOREVER),
                     0);
    for (int i = 0; i < N; i++)
        assert_int_equal(sizes[i], (i + 1) * 1024);
    conc_executor_free(pool);
}

/* ---- Headers ---- */

static void test_headers_are_found_by_name(void **state)
{
    char headers[] = "HTTP/1.1 200 OK\r\nX-One: 1\r\nX-One-More:  two words \r\nEmpty:\r\n\r\n";
    const struct http_response response = {.headers = headers};
    char value[32];

    assert_true(http_header(&response, "x-one", value, sizeof value));
    assert_string_equal(value, "1");
    assert_true(http_header(&response, "X-One-More", value, sizeof value));
    assert_string_equal(value, "two words ");
    assert_true(http_header(&response, "X-One-More", value, 4));
    assert_string_equal(value, "two");
    assert_true(http_header(&response, "Empty", value, sizeof value));
    assert_string_equal(value, "");
    assert_false(http_header(&response, "X", value, sizeof value));
    assert_false(http_header(&response, "HTTP/1.1 200 OK", value, sizeof value));
}

static void test_next_links_are_found_however_they_are_written(void **state)
{
    static const struct {
        const char *link, *next;
    } ROWS[] = {
        {"<a>; rel=\"next\"", "a"},
        {"<a>; rel=next", "a"},
        {"<a>;rel=NEXT;title=x", "a"},
        {"<a>; title=\"x, y; rel=z\"; rel=\"next\"", "a"},
        {"<p>; rel=\"prev\", <a>; rel=\"next\", <l>; rel=\"last\"", "a"},
        {"<a>; rel=\"prev next\"", "a"},
        {"<a>; crossorigin; rel=next", "a"},
        {"<a,b>; rel=next", "a,b"},
        {"<a>; rel=\"prev\"", NULL},
        {"<a>; rel=\"nextish\"", NULL},
        {"<a>; title=\"next\"; rel=\"up\"", NULL},
        {"<a>; rel=\"next", NULL},
        {"<a", NULL},
        {"a; rel=next", NULL},
        {"<a>", NULL},
        {"", NULL},
    };

    for (size_t i = 0; i < sizeof ROWS / sizeof *ROWS; i++) {
        char headers[128], url[32] = "";
        struct http_response response = {.headers = headers};

        snprintf(headers, sizeof headers, "HTTP/1.1 200 OK\r\nLink: %s\r\n\r\n", ROWS[i].link);
        if (http_next_link(&response, url, sizeof url) != (ROWS[i].next != NULL))
            fail_msg("%s", ROWS[i].link);
        if (ROWS[i].next != NULL)
            assert_string_equal(url, ROWS[i].next);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_connection_refused),
        cmocka_unit_test(test_misbehaving_servers),
        cmocka_unit_test(test_bad_urls),
        cmocka_unit_test(test_unknown_host),
        cmocka_unit_test(test_long_urls_leave_room_for_what_went_wrong),
        cmocka_unit_test(test_redirects_are_followed_and_only_the_last_answer_counts),
        cmocka_unit_test(test_statuses_become_errors_when_asked),
        cmocka_unit_test(test_json_that_is_none),
        cmocka_unit_test(test_deadlines_hold_whatever_the_server_does),
        cmocka_unit_test(test_deadline_that_is_past_asks_nothing),
        cmocka_unit_test(test_scope_around_it_cancels),
        cmocka_unit_test(test_cancelled_job_gives_up_its_request),
        cmocka_unit_test(test_many_threads_at_once_get_their_own_answers),
        cmocka_unit_test(test_headers_are_found_by_name),
        cmocka_unit_test(test_next_links_are_found_however_they_are_written),
    };

    unsetenv("http_proxy"); /* it would answer for others */
    return cmocka_run_group_tests_name("http_client", tests, start, stop);
}
