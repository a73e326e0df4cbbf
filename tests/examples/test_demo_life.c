/* SPDX-License-Identifier: MIT
 *
 * test_demo_life.c: the demo server's limit, latency and failures; how it starts and stops.
 */
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "demo.h"

#define BERLIN "/geocode?address=Berlin"

static const char *const MODELS[] = {"tasks", "threads", "pool"};

/* ---- Limit ---- */

static int get_berlin(void *arg, void *result)
{
    *(int *)result = demo_get(*(struct demo **)arg, BERLIN, NULL, 0);
    return 0;
}

static void test_ten_at_once_against_a_limit_of_ten_are_too_many(void **state)
{
    struct demo demo, *arg[10];
    int statuses[10], refused = 0;
    conc_executor *pool;

    /* So slow a refill that the time which the ten need makes no difference. */
    demo_start(&demo, &(struct server_options){.limit = 0.01, .burst = 5}, "threads", 0);
    assert_int_equal(conc_thread_pool_new(&pool, 10, NULL), 0);
    for (int i = 0; i < 10; i++)
        arg[i] = &demo;
    assert_int_equal(conc_map(pool, get_berlin, arg, 10, sizeof *arg, statuses, sizeof *statuses,
                              NULL, CONC_FOREVER),
                     0);
    for (int i = 0; i < 10; i++) {
        assert_true(statuses[i] == 200 || statuses[i] == 429);
        refused += statuses[i] == 429;
    }
    assert_int_equal(refused, 5);
    assert_int_equal(demo_stat(&demo, "answers.429"), 5);
    conc_executor_free(pool);
    demo_stop(&demo, CONC_S(1));
}

static void test_client_at_exactly_the_rate_is_never_refused(void **state)
{
    struct demo demo;
    conc_bucket bucket = CONC_BUCKET_INIT(50, 1);

    demo_start(&demo, &(struct server_options){.limit = 50}, "pool", 4);
    for (int i = 0; i < 50; i++) {
        assert_int_equal(conc_bucket_take(&bucket, 1, CONC_FOREVER), 0);
        assert_int_equal(demo_get(&demo, BERLIN, NULL, 0), 200);
    }
    demo_stop(&demo, CONC_S(1));
}

static void test_a_refusal_says_when_to_come_again(void **state)
{
    struct demo demo;
    struct http_response response;
    char url[256], value[16];

    demo_start(&demo, &(struct server_options){.limit = 0.5, .burst = 1}, "threads", 0);
    snprintf(url, sizeof url, "%s" BERLIN, server_url(demo.server));
    assert_int_equal(demo_get(&demo, BERLIN, NULL, 0), 200);
    assert_int_equal(http_get(url, &response, conc_in(CONC_S(20))), 0);
    assert_int_equal(response.status, 429);
    assert_true(http_header(&response, "retry-after", value, sizeof value));
    assert_true(atoi(value) >= 1 && atoi(value) <= 2);
    assert_int_equal(http_check(url, &response), -EBUSY);
    http_response_free(&response);
    assert_int_equal(demo_get(&demo, "/stats", NULL, 0), 200); /* is not counted */
    demo_stop(&demo, CONC_S(1));
}

/* ---- Latency and failures ---- */

static void test_latency_is_that_of_the_api_only(void **state)
{
    for (size_t i = 0; i < 3; i++) {
        struct demo demo;
        int64_t started;

        demo_start(&demo, &(struct server_options){.latency = CONC_MS(150)}, MODELS[i], 2);
        started = conc_now();
        assert_int_equal(demo_get(&demo, BERLIN, NULL, 0), 200);
        assert_true(conc_now() - started >= CONC_MS(150));
        started = conc_now();
        while (demo_get(&demo, "/stats", NULL, 0) == 200 && conc_now() - started > CONC_MS(150))
            started = conc_now(); /* a slow machine: once must be quick */
        demo_stop(&demo, CONC_S(1));
    }
}

static void failures_of_seed(int64_t seed, char *ret, int n)
{
    const struct server_options options = {.fail_rate = 0.5, .seed = seed};
    struct demo demo;

    demo_start(&demo, &options, "threads", 0);
    for (int i = 0; i < n; i++)
        ret[i] = demo_get(&demo, BERLIN, NULL, 0) == 500 ? 'x' : '.';
    ret[n] = '\0';
    demo_stop(&demo, CONC_S(1));
}

static void test_failures_are_the_same_for_the_same_seed(void **state)
{
    char first[41], again[41], other[41];

    failures_of_seed(7, first, 40);
    failures_of_seed(7, again, 40);
    failures_of_seed(8, other, 40);
    assert_string_equal(first, again);
    assert_string_not_equal(first, other);
    assert_true(count_of(first, "x") > 5 && count_of(first, "x") < 35);
}

static void test_fail_rate_of_one_fails_all_of_the_api(void **state)
{
    struct demo demo;

    demo_start(&demo, &(struct server_options){.fail_rate = 1}, "threads", 0);
    for (int i = 0; i < 5; i++)
        assert_int_equal(demo_get(&demo, BERLIN, NULL, 0), 500);
    assert_int_equal(demo_get(&demo, "/stats", NULL, 0), 200);
    demo_stop(&demo, CONC_S(1));
}

/* ---- Connections ---- */

static void test_more_connections_than_allowed_get_503(void **state)
{
    for (size_t i = 0; i < 3; i++) {
        struct demo demo;
        struct pollfd clients[3];
        char text[256];
        int refused = 0;

        demo_start(&demo, &(struct server_options){.max_connections = 2}, MODELS[i], 2);
        for (int j = 0; j < 3; j++)
            clients[j] = (struct pollfd){.fd = demo_connect(&demo), .events = POLLIN};
        /* One of the three: with a thread each, the last to come need not be the last to run. */
        assert_int_equal(poll(clients, 3, 20000), 1);
        while (clients[refused].revents == 0)
            refused++;
        assert_int_equal(raw_read_answer(clients[refused].fd, text, sizeof text), 503);
        for (int j = 0; j < 3; j++)
            close(clients[j].fd);
        /* When those have gone there is room again. */
        while (demo_get(&demo, BERLIN, NULL, 0) == 503)
            conc_sleep(CONC_MS(1));
        demo_stop(&demo, CONC_S(1));
    }
}

static void test_connections_live_in_parallel_with_a_thread_each(void **state)
{
    struct demo demo, *arg[20];
    int statuses[20];
    conc_executor *pool;

    demo_start(&demo, &(struct server_options){.latency = CONC_MS(500)}, "threads", 0);
    assert_int_equal(conc_thread_pool_new(&pool, 20, NULL), 0);
    for (int i = 0; i < 20; i++)
        arg[i] = &demo;
    assert_int_equal(conc_map(pool, get_berlin, arg, 20, sizeof *arg, statuses, sizeof *statuses,
                              NULL, CONC_FOREVER),
                     0);
    /* All at once on an idle machine; on a busy one at least some. */
    assert_true(demo_stat(&demo, "busy_most") >= 2);
    conc_executor_free(pool);
    demo_stop(&demo, CONC_S(1));
}

static void test_a_pool_has_as_many_at_once_as_workers(void **state)
{
    struct demo demo, *arg[12];
    int statuses[12];
    conc_executor *pool;

    demo_start(&demo, &(struct server_options){.latency = CONC_MS(20)}, "pool", 3);
    assert_int_equal(conc_thread_pool_new(&pool, 12, NULL), 0);
    for (int i = 0; i < 12; i++)
        arg[i] = &demo;
    assert_int_equal(conc_map(pool, get_berlin, arg, 12, sizeof *arg, statuses, sizeof *statuses,
                              NULL, CONC_FOREVER),
                     0);
    assert_in_range(demo_stat(&demo, "busy_most"), 1, 3);
    conc_executor_free(pool);
    demo_stop(&demo, CONC_S(1));
}

/* ---- The end ---- */

static void wait_until_busy(const struct demo *demo, int64_t most)
{
    while (demo_stat(demo, "busy") < most + 1) /* and the question itself */
        conc_sleep(CONC_MS(1));
}

static void test_stop_with_idle_and_hanging_clients_is_quick(void **state)
{
    static const char HANG[] = "GET /bad/hang HTTP/1.1\r\nHost: x\r\n\r\n";

    for (size_t i = 0; i < 3; i++) {
        struct demo demo;
        int fds[6];
        int64_t started;

        demo_start(&demo, NULL, MODELS[i], 2);
        for (int j = 0; j < 6; j++) {
            fds[j] = demo_connect(&demo);
            if (j % 3 == 1)
                raw_send(fds[j], HANG, strlen(HANG) / 2);
            if (j % 3 == 2)
                raw_send(fds[j], HANG, strlen(HANG));
        }
        demo_get(&demo, "/stats", NULL, 0);
        started = conc_now();
        demo_stop(&demo, CONC_S(30));
        assert_true(conc_now() - started < CONC_S(20)); /* nobody waited for the grace's end */
        for (int j = 0; j < 6; j++) {
            char *rest = raw_read_all(fds[j]);

            assert_string_equal(rest, "");
            free(rest);
            close(fds[j]);
        }
    }
}

static void test_stop_lets_a_request_in_progress_end(void **state)
{
    static const char REQUEST[] = "GET /delay/300 HTTP/1.1\r\nHost: x\r\n\r\n";
    struct demo demo;
    char *answer;
    int fd;

    demo_start(&demo, NULL, "pool", 2);
    fd = demo_connect(&demo);
    raw_send(fd, REQUEST, strlen(REQUEST));
    wait_until_busy(&demo, 1);
    demo_stop(&demo, CONC_S(60));
    answer = raw_read_all(fd);
    assert_non_null(strstr(answer, "HTTP/1.1 200 OK\r\n"));
    assert_non_null(strstr(answer, "Connection: close\r\n"));
    free(answer);
    close(fd);
}

static void test_stop_cancels_what_lasts_longer_than_the_grace(void **state)
{
    static const char REQUEST[] = "GET /delay/60000 HTTP/1.1\r\nHost: x\r\n\r\n";

    for (size_t i = 0; i < 3; i++) {
        struct demo demo;
        int64_t started;
        char *answer;
        int fd;

        demo_start(&demo, NULL, MODELS[i], 2);
        fd = demo_connect(&demo);
        raw_send(fd, REQUEST, strlen(REQUEST));
        wait_until_busy(&demo, 1);
        started = conc_now();
        demo_stop(&demo, CONC_MS(50));
        assert_true(conc_now() - started < CONC_S(30));
        answer = raw_read_all(fd);
        assert_null(strstr(answer, "200"));
        free(answer);
        close(fd);
    }
}

static void test_stop_ends_a_writer_whose_client_does_not_read(void **state)
{
    static const char REQUEST[] = "GET /page/16384 HTTP/1.1\r\nHost: x\r\n\r\n";

    for (size_t i = 0; i < 3; i++) {
        struct demo demo;
        int64_t started;
        int fd;

        demo_start(&demo, NULL, MODELS[i], 2);
        fd = demo_connect(&demo);
        raw_send(fd, REQUEST, strlen(REQUEST));
        conc_sleep(CONC_MS(100)); /* the writer waits for room by now, most likely */
        started = conc_now();
        demo_stop(&demo, CONC_MS(50));
        assert_true(conc_now() - started < CONC_S(20));
        close(fd);
    }
}

static void test_server_that_was_never_started_can_be_stopped(void **state)
{
    struct demo demo;

    assert_int_equal(server_model_make(&demo.model, "threads", 0), 0);
    assert_int_equal(server_new(&demo.server, &(struct server_options){0}, &demo.model), 0);
    demo_stop(&demo, CONC_S(1));
}

static void test_bad_addresses_and_taken_ports_are_refused(void **state)
{
    const char *port;
    struct demo demo;
    struct server *other;

    demo_start(&demo, NULL, "threads", 0);
    port = strrchr(server_url(demo.server), ':') + 1;
    assert_int_equal(server_new(&other, &(struct server_options){.port = atoi(port)}, &demo.model),
                     -EADDRINUSE);
    assert_non_null(strstr(conc_error_message(), "cannot listen on 127.0.0.1 port"));
    assert_int_equal(
        server_new(&other, &(struct server_options){.address = "localhost"}, &demo.model), -EINVAL);
    assert_non_null(strstr(conc_error_message(), "not a numeric address"));
    assert_true(server_new(&other, &(struct server_options){.address = "192.0.2.1"}, &demo.model) <
                0);
    demo_stop(&demo, CONC_S(1));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ten_at_once_against_a_limit_of_ten_are_too_many),
        cmocka_unit_test(test_client_at_exactly_the_rate_is_never_refused),
        cmocka_unit_test(test_a_refusal_says_when_to_come_again),
        cmocka_unit_test(test_latency_is_that_of_the_api_only),
        cmocka_unit_test(test_failures_are_the_same_for_the_same_seed),
        cmocka_unit_test(test_fail_rate_of_one_fails_all_of_the_api),
        cmocka_unit_test(test_more_connections_than_allowed_get_503),
        cmocka_unit_test(test_connections_live_in_parallel_with_a_thread_each),
        cmocka_unit_test(test_a_pool_has_as_many_at_once_as_workers),
        cmocka_unit_test(test_stop_with_idle_and_hanging_clients_is_quick),
        cmocka_unit_test(test_stop_lets_a_request_in_progress_end),
        cmocka_unit_test(test_stop_cancels_what_lasts_longer_than_the_grace),
        cmocka_unit_test(test_stop_ends_a_writer_whose_client_does_not_read),
        cmocka_unit_test(test_server_that_was_never_started_can_be_stopped),
        cmocka_unit_test(test_bad_addresses_and_taken_ports_are_refused),
    };

    return cmocka_run_group_tests_name("demo_life", tests, NULL, NULL);
}
