/* SPDX-License-Identifier: MIT
 *
 * test_demo_http.c: how the demo server speaks HTTP: to good clients, to odd ones and to bad ones,
 * in each of its models.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "demo.h"

#define GET_BERLIN "GET /geocode?address=Berlin HTTP/1.1\r\nHost: x\r\n\r\n"

static struct demo demo;

static int start_tasks(void **state)
{
    demo_start(&demo, NULL, "tasks", 0);
    return 0;
}

static int start_threads(void **state)
{
    demo_start(&demo, NULL, "threads", 0);
    return 0;
}

static int start_pool(void **state)
{
    demo_start(&demo, NULL, "pool", 1);
    return 0;
}

static int stop(void **state)
{
    demo_stop(&demo, CONC_S(1));
    return 0;
}

static int start_impatient(void **state)
{
    demo_start(&demo, &(struct server_options){.idle_timeout = CONC_MS(300)}, "pool", 2);
    return 0;
}

/* Send a text as it stands, and read all that comes until the server closes. */
static char *exchange(const char *text)
{
    int fd = demo_connect(&demo);
    char *answer;

    raw_send(fd, text, strlen(text));
    answer = raw_read_all(fd);
    close(fd);
    return answer;
}

/* The same, of which only the status matters. 0: closed without an answer */
static int status_of(const char *text)
{
    char *answer = exchange(text);
    int status = strncmp(answer, "HTTP/1.1 ", 9) == 0 ? atoi(answer + 9) : 0;

    free(answer);
    return status;
}

/* ---- Good clients ---- */

static void test_keep_alive_answers_many_requests_on_one_connection(void **state)
{
    int64_t before = demo_stat(&demo, "connections");
    int fd = demo_connect(&demo);
    char text[1024];

    for (int i = 0; i < 20; i++) {
        raw_send(fd, GET_BERLIN, strlen(GET_BERLIN));
        assert_int_equal(raw_read_answer(fd, text, sizeof text), 200);
        assert_non_null(strstr(text, "Berlin, Germany"));
    }
    close(fd);
    /* One for the twenty, one for the question. */
    assert_int_equal(demo_stat(&demo, "connections"), before + 2);
}

static void test_pipelined_requests_are_answered_in_order(void **state)
{
    static const char *const CITIES[] = {"Berlin", "Oslo", "Lima", "Rome"};
    int fd = demo_connect(&demo);
    char text[4096] = "";

    for (int i = 0; i < 4; i++) {
        size_t length = strlen(text);

        snprintf(text + length, sizeof text - length,
                 "GET /geocode?address=%s HTTP/1.1\r\nHost: x\r\n\r\n", CITIES[i]);
    }
    raw_send(fd, text, strlen(text));
    for (int i = 0; i < 4; i++) {
        assert_int_equal(raw_read_answer(fd, text, sizeof text), 200);
        assert_non_null(strstr(text, CITIES[i]));
    }
    close(fd);
}

static void test_request_that_comes_byte_by_byte_is_understood(void **state)
{
    static const char REQUEST[] = "GET /geocode?address=Berlin HTTP/1.1\r\nX-Long-Name-Of-A-Header-"
                                  "That-Nobody-Knows: 1\r\nHost: x\r\n\r\n";
    int fd = demo_connect(&demo);
    char text[1024];

    for (size_t i = 0; i < sizeof REQUEST - 1; i++)
        raw_send(fd, &REQUEST[i], 1);
    assert_int_equal(raw_read_answer(fd, text, sizeof text), 200);
    close(fd);
}

static void test_head_has_the_length_but_no_body(void **state)
{
    char *answer = exchange("HEAD /page/1 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");

    assert_non_null(strstr(answer, "HTTP/1.1 200 OK\r\n"));
    assert_non_null(strstr(answer, "Content-Length: 1024\r\n"));
    assert_string_equal(answer + strlen(answer) - 4, "\r\n\r\n");
    free(answer);
}

static void test_connection_close_closes(void **state)
{
    char *answer = exchange("GET /page/1 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
                            "GET /page/1 HTTP/1.1\r\nHost: x\r\n\r\n");

    assert_int_equal(count_of(answer, "HTTP/1.1 "), 1);
    assert_non_null(strstr(answer, "Connection: close\r\n"));
    free(answer);
}

static void test_connection_close_does_not_wait_for_the_client(void **state)
{
    int64_t quickest = INT64_MAX;

    /* The server lingers for a second; on a busy machine at least one of ten is quicker. */
    for (int i = 0; i < 10 && quickest > CONC_MS(500); i++) {
        int64_t started = conc_now();

        free(exchange("GET /page/1 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"));
        if (conc_now() - started < quickest)
            quickest = conc_now() - started;
    }
    assert_true(quickest < CONC_MS(900));
}

static void test_what_is_sent_after_the_last_answer_meets_no_reset(void **state)
{
    bool good = false;

    /* Within the second for which the server lingers: on a busy machine once of ten times. */
    for (int i = 0; i < 10 && !good; i++) {
        static const char REQUEST[] = "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
        int fd = demo_connect(&demo);

        raw_send(fd, REQUEST, strlen(REQUEST));
        free(raw_read_all(fd));
        good = send(fd, "more", 4, MSG_NOSIGNAL) == 4;             /* what a reset would answer */
        good = good && send(fd, "and more", 8, MSG_NOSIGNAL) == 8; /* and what it would meet */
        close(fd);
    }
    assert_true(good);
}

static void test_http_1_0_closes_and_needs_no_host(void **state)
{
    char *answer = exchange("GET /page/1 HTTP/1.0\r\n\r\n");

    assert_non_null(strstr(answer, "HTTP/1.1 200 OK\r\n"));
    assert_non_null(strstr(answer, "Connection: close\r\n"));
    free(answer);
}

static void test_http_1_0_is_told_that_the_connection_stays_open(void **state)
{
    static const char REQUEST[] = "GET /page/1 HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n";
    int fd = demo_connect(&demo);
    char text[1024];

    for (int i = 0; i < 3; i++) {
        raw_send(fd, REQUEST, strlen(REQUEST));
        assert_int_equal(raw_read_answer(fd, text, sizeof text), 200);
        assert_non_null(strstr(text, "Connection: keep-alive\r\n"));
    }
    raw_send(fd, GET_BERLIN, strlen(GET_BERLIN)); /* HTTP/1.1 takes it for granted */
    assert_int_equal(raw_read_answer(fd, text, sizeof text), 200);
    assert_null(strstr(text, "Connection: "));
    close(fd);
}

static void test_post_is_refused_and_its_body_is_skipped(void **state)
{
    static const char REQUESTS[] =
        "POST /posts HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nabcde"
        "PUT /posts HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n"
        "\r\n3\r\nabc\r\n0\r\n\r\n" GET_BERLIN;
    int fd = demo_connect(&demo);
    char text[1024];

    raw_send(fd, REQUESTS, strlen(REQUESTS));
    assert_int_equal(raw_read_answer(fd, text, sizeof text), 405);
    assert_non_null(strstr(text, "Allow: GET, HEAD\r\n"));
    assert_int_equal(raw_read_answer(fd, text, sizeof text), 405);
    assert_int_equal(raw_read_answer(fd, text, sizeof text), 200);
    close(fd);
}

static void test_an_idle_connection_holds_no_worker(void **state)
{
    int idle[5];
    char text[1024];

    for (int i = 0; i < 5; i++) {
        idle[i] = demo_connect(&demo);
        raw_send(idle[i], GET_BERLIN, strlen(GET_BERLIN) - (i % 2 != 0)); /* or half a request */
        if (i % 2 == 0)
            assert_int_equal(raw_read_answer(idle[i], text, sizeof text), 200);
    }
    assert_int_equal(demo_get(&demo, "/geocode?address=Berlin", NULL, 0), 200);
    for (int i = 0; i < 5; i++) {
        raw_send(idle[i], i % 2 == 0 ? GET_BERLIN : "\n", i % 2 == 0 ? strlen(GET_BERLIN) : 1);
        assert_int_equal(raw_read_answer(idle[i], text, sizeof text), 200);
        close(idle[i]);
    }
}

/* ---- Bad clients ---- */

/* A request with `n` times `filler` between a beginning and an end. */
static char *long_text(const char *begin, const char *filler, size_t n, const char *end)
{
    size_t one = strlen(filler);
    char *text = malloc(strlen(begin) + n * one + strlen(end) + 1);
    char *p;

    assert_non_null(text);
    p = stpcpy(text, begin);
    for (size_t i = 0; i < n; i++)
        p = stpcpy(p, filler);
    strcpy(p, end);
    return text;
}

static void test_what_is_not_http_gets_400(void **state)
{
    static const char *const TEXTS[] = {
        "hello\r\n\r\n",
        "GET\r\n\r\n",
        "GET / HTTP/1.1\r\nHost x\r\n\r\n",
        "GET / HTTP/1.1\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: x\r\nX-API-KEY: 1\r\nX-API-KEY: 2\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nabcdef",
        "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n",
        "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    };

    for (size_t i = 0; i < sizeof TEXTS / sizeof *TEXTS; i++)
        assert_int_equal(status_of(TEXTS[i]), 400);
}

static void test_other_versions_get_505(void **state)
{
    assert_int_equal(status_of("GET / HTTP/2.0\r\nHost: x\r\n\r\n"), 505);
    assert_int_equal(status_of("GET / HTTP/0.9\r\nHost: x\r\n\r\n"), 505);
}

static void test_too_long_a_target_gets_414(void **state)
{
    char *text = long_text("GET /", "a", 100000, " HTTP/1.1\r\nHost: x\r\n\r\n");

    assert_int_equal(status_of(text), 414);
    free(text);
}

static void test_too_long_headers_get_431(void **state)
{
    char *text = long_text("GET / HTTP/1.1\r\nHost: x\r\n", "X: y\r\n", 100000, "\r\n");

    assert_int_equal(status_of(text), 431);
    free(text);
    text = long_text("GET / HTTP/1.1\r\nHost: x\r\nX-API-KEY: ", "z", 300, "\r\n\r\n");
    assert_int_equal(status_of(text), 431);
    free(text);
}

static void test_too_long_a_body_gets_413(void **state)
{
    char *text;

    assert_int_equal(status_of("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 65537\r\n\r\n"), 413);
    text = long_text("POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n",
                     "8\r\nabcdefgh\r\n", 20000, "0\r\n\r\n");
    assert_int_equal(status_of(text), 413);
    free(text);
}

static void test_connect_and_upgrade_are_not_followed(void **state)
{
    assert_int_equal(status_of("CONNECT example.org:80 HTTP/1.1\r\nHost: example.org:80\r\n\r\n"),
                     405);
    assert_int_equal(status_of("GET /page/1 HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\n"
                               "Upgrade: websocket\r\n\r\n"),
                     200);
}

static void test_clients_that_go_leave_the_server_well(void **state)
{
    for (int i = 0; i < 20; i++) {
        int fd = demo_connect(&demo);
        const struct linger reset = {.l_onoff = 1};

        if (i % 4 > 0)
            raw_send(fd, GET_BERLIN, strlen(GET_BERLIN) - (i % 4 == 1));
        if (i % 4 == 3) /* not a FIN but a reset */
            setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
        close(fd);
    }
    assert_int_equal(demo_get(&demo, "/geocode?address=Berlin", NULL, 0), 200);
}

static void test_slow_reader_gets_a_large_page_whole(void **state)
{
    static const char REQUEST[] =
        "GET /page/16384 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    int fd = demo_connect(&demo);
    char bytes[65536];
    size_t size = 0;
    ssize_t n;

    raw_send(fd, REQUEST, strlen(REQUEST));
    conc_sleep(CONC_MS(50)); /* the server's side of the socket is full now, most likely */
    while ((n = recv(fd, bytes, sizeof bytes, 0)) > 0)
        size += (size_t)n;
    assert_true(size > 16384 * 1024);
    close(fd);
}

/* ---- Time ---- */

static void test_idle_connection_is_closed_after_its_time(void **state)
{
    int64_t started = conc_now();
    int fd = demo_connect(&demo);
    char *answer = raw_read_all(fd);

    assert_string_equal(answer, "");
    assert_true(conc_now() - started >= CONC_MS(300));
    free(answer);
    close(fd);
}

static void test_half_a_request_gets_408_after_its_time(void **state)
{
    int64_t started = conc_now();

    assert_int_equal(status_of("GET / HTTP/1.1\r\nHost: x\r\n"), 408);
    assert_true(conc_now() - started >= CONC_MS(300));
}

static void test_drops_now_and_then_do_not_prolong_a_request(void **state)
{
    static const char REQUEST[] = "GET / HTTP/1.1\r\nHost: x\r\nX-Slow: ";
    int fd = demo_connect(&demo);
    char text[64] = "";

    raw_send(fd, REQUEST, strlen(REQUEST));
    /* A minute of drops, one before the other is forgotten; the answer comes long before. */
    for (int i = 0; i < 1200 && recv(fd, text, sizeof text - 1, MSG_DONTWAIT) < 0; i++) {
        raw_send(fd, "z", 1);
        conc_sleep(CONC_MS(50));
    }
    assert_non_null(strstr(text, "HTTP/1.1 408 "));
    close(fd);
}

#define IN_EACH_MODEL(test)                                   \
    {"tasks: " #test, test, start_tasks, stop, NULL},         \
        {"threads: " #test, test, start_threads, stop, NULL}, \
    {                                                         \
        "pool: " #test, test, start_pool, stop, NULL          \
    }

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_EACH_MODEL(test_keep_alive_answers_many_requests_on_one_connection),
        IN_EACH_MODEL(test_http_1_0_is_told_that_the_connection_stays_open),
        IN_EACH_MODEL(test_pipelined_requests_are_answered_in_order),
        IN_EACH_MODEL(test_request_that_comes_byte_by_byte_is_understood),
        IN_EACH_MODEL(test_head_has_the_length_but_no_body),
        IN_EACH_MODEL(test_connection_close_closes),
        IN_EACH_MODEL(test_connection_close_does_not_wait_for_the_client),
        IN_EACH_MODEL(test_what_is_sent_after_the_last_answer_meets_no_reset),
        IN_EACH_MODEL(test_http_1_0_closes_and_needs_no_host),
        IN_EACH_MODEL(test_post_is_refused_and_its_body_is_skipped),
        IN_EACH_MODEL(test_an_idle_connection_holds_no_worker),
        IN_EACH_MODEL(test_what_is_not_http_gets_400),
        IN_EACH_MODEL(test_other_versions_get_505),
        IN_EACH_MODEL(test_too_long_a_target_gets_414),
        IN_EACH_MODEL(test_too_long_headers_get_431),
        IN_EACH_MODEL(test_too_long_a_body_gets_413),
        IN_EACH_MODEL(test_connect_and_upgrade_are_not_followed),
        IN_EACH_MODEL(test_clients_that_go_leave_the_server_well),
        IN_EACH_MODEL(test_slow_reader_gets_a_large_page_whole),
        cmocka_unit_test_setup_teardown(test_idle_connection_is_closed_after_its_time,
                                        start_impatient, stop),
        cmocka_unit_test_setup_teardown(test_half_a_request_gets_408_after_its_time,
                                        start_impatient, stop),
        cmocka_unit_test_setup_teardown(test_drops_now_and_then_do_not_prolong_a_request,
                                        start_impatient, stop),
    };

    return cmocka_run_group_tests_name("demo_http", tests, NULL, NULL);
}
