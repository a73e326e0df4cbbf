/* SPDX-License-Identifier: MIT
 *
 * test_demo_load.c: the demo server, as a program, under crowds of clients and bad ones. One thread
 * serves them all. Each test on the system's own backend, and on epoll.
 *
 * Every test ends with a server that has closed all connections, and that stops when it is asked
 * to, without a complaint.
 */
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "program.h"

#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
#define SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer) || __has_feature(address_sanitizer)
#define SANITIZED 1
#endif
#endif
#ifndef SANITIZED
#define SANITIZED 0
#endif

enum {
    CROWD = SANITIZED ? 300 : 1000,  /* of clients that all want something */
    MASS = SANITIZED ? 1500 : 10000, /* of connections */
    /* The main thread, which waits for signals; the loop's; and one that a sanitizer may have. */
    THREADS = SANITIZED ? 3 : 2,
    MEMORY_FACTOR = SANITIZED ? 8 : 1, /* what a sanitizer needs for its own accounts */
    MIB = 1 << 20,
};

static const char *server_path;
static struct program program;

static int start(void **state)
{
    program_start(&program, server_path);
    return 0;
}

static int start_epoll(void **state)
{
    const char *before = getenv("CONC_BACKEND");
    char *kept = before != NULL ? strdup(before) : NULL;

    setenv("CONC_BACKEND", "epoll", 1);
    program_start(&program, server_path);
    if (kept != NULL)
        setenv("CONC_BACKEND", kept, 1);
    else
        unsetenv("CONC_BACKEND");
    free(kept);
    return 0;
}

static int stop(void **state)
{
    program_wait_until_alone(&program);
    program_stop(&program, NULL);
    return 0;
}

/* ---- A thousand at once ---- */

struct crowd {
    uint16_t port;
    conc_barrier connected; /* the clients, and the observer */
    int answered;
    bool over;
    int64_t busy_most; /* as the server says */
    int threads_most;
};

static int wait_a_second(void *arg, void *result)
{
    struct crowd *crowd = *(struct crowd **)arg;
    conc_stream *stream;
    int err = conc_stream_connect(&stream, "127.0.0.1", crowd->port, NULL, conc_in(CONC_S(60)));

    if (err < 0) {
        conc_barrier_abort(&crowd->connected);
        return err;
    }
    err = conc_barrier_wait(&crowd->connected, conc_in(CONC_S(60)));
    if (err >= 0)
        crowd->answered += get(stream, "/delay/1000", NULL, 0) == 200;
    conc_stream_abort(stream);
    return err < 0 ? err : 0;
}

static int observe(void *arg, void *result)
{
    struct crowd *crowd = *(struct crowd **)arg;
    int err = conc_barrier_wait(&crowd->connected, conc_in(CONC_S(60)));

    while (err >= 0 && !crowd->over) {
        int64_t busy = get_stat(crowd->port, "busy") - 1; /* without the question itself */
        int threads = program_threads(&program);

        if (busy > crowd->busy_most)
            crowd->busy_most = busy;
        if (threads > crowd->threads_most)
            crowd->threads_most = threads;
        conc_sleep(CONC_MS(10));
    }
    return err < 0 ? err : 0;
}

/* The main task: both ends of the connections are tasks on one thread. */
static int run_crowd(void *arg, void *result)
{
    struct crowd *crowd = *(struct crowd **)arg;
    conc_future *observer = conc_spawn(observe, &crowd, sizeof crowd, 0);
    int err = 0;

    conc_with_group (group, &err, conc_in(CONC_S(60)))
        for (int i = 0; i < CROWD; i++)
            conc_group_submit(group, NULL, wait_a_second, &crowd, sizeof crowd, NULL, 0);
    crowd->over = true;
    if (err == 0)
        err = conc_future_result(observer, NULL, CONC_FOREVER);
    else
        conc_future_cancel(observer);
    conc_future_unref(observer);
    return err;
}

static void test_a_thousand_delayed_answers_take_one_thread_and_a_second(void **state)
{
    struct crowd crowd = {.port = program.port}, *arg = &crowd;

    assert_true(sockets_allowed(CROWD) == CROWD);
    /* On a busy machine the first may have their answers before the last have asked: once more. */
    for (int rounds = 1; rounds <= 5 && crowd.busy_most < CROWD; rounds++) {
        int64_t started = conc_now();

        crowd.over = false;
        crowd.answered = 0;
        assert_int_equal(conc_barrier_init(&crowd.connected, CROWD + 1, NULL, NULL), 0);
        assert_int_equal(conc_run(run_crowd, &arg, sizeof arg, NULL, 0), 0);
        assert_int_equal(crowd.answered, CROWD);
        assert_true(conc_now() - started < CONC_S(30)); /* one after another: CROWD seconds */
    }
    assert_int_equal(crowd.busy_most, CROWD);
    assert_int_equal(crowd.threads_most, program.threads);
    assert_true(program.threads <= THREADS);
}

/* ---- Masses of connections ---- */

static void send_text(int fd, const char *text)
{
    assert_int_equal(send(fd, text, strlen(text), MSG_NOSIGNAL), (ssize_t)strlen(text));
}

#define GET_OK "GET /status/200 HTTP/1.1\r\nHost: x\r\n\r\n"

static void assert_is_answered(int fd)
{
    char text[1024];

    assert_true(recv(fd, text, sizeof text, 0) > 12);
    assert_memory_equal(text, "HTTP/1.1 200", 12);
}

static void test_ten_thousand_connections_at_once_are_survived(void **state)
{
    const int n = sockets_allowed(MASS);
    int *fds = calloc((size_t)n, sizeof *fds);

    assert_non_null(fds);
    for (int i = 0; i < n; i++)
        fds[i] = program_connect(&program);
    program_wait_for_stat(&program, "connections", n); /* it has taken them all */
    for (int i = 0; i < n; i += 10)
        send_text(fds[i], GET_OK);
    for (int i = 0; i < n; i += 10)
        assert_is_answered(fds[i]);
    assert_int_equal(program_threads(&program), program.threads);
    for (int i = 0; i < n; i++)
        reset(fds[i]);
    assert_int_equal(get_once(program.port, "/status/200"), 200);
    free(fds);
}

static void test_without_descriptors_connections_wait_until_there_are_some(void **state)
{
    enum { N = 100, MOST = 50 };
    int fds[N];

    program_start(&program, server_path);
    program_limit_descriptors(&program, program.descriptors + MOST);
    for (int i = 0; i < N; i++)
        fds[i] = program_connect(&program);
    while (!program_has_said(&program, "cannot accept connections for now"))
        conc_sleep(CONC_MS(1));
    send_text(fds[0], GET_OK);
    assert_is_answered(fds[0]); /* a connection that was taken is served */
    send_text(fds[N - 1], GET_OK);
    for (int i = 0; i < N - 1; i++)
        close(fds[i]);
    assert_is_answered(fds[N - 1]); /* one that had to wait is served then */
    close(fds[N - 1]);
    program_wait_until_alone(&program);
    program_stop(&program, "Too many open files");
}

/* ---- Clients that do wrong ---- */

static void test_readers_that_do_not_read_cost_no_more_than_their_pages(void **state)
{
    enum { N = 10, PAGE = 8 * MIB };
    const int64_t before = program_memory(&program);
    int fds[N];
    int64_t stuck;

    for (int i = 0; i < N; i++) {
        fds[i] = program_connect(&program);
        send_text(fds[i], "GET /page/8192 HTTP/1.1\r\nHost: x\r\n\r\n");
    }
    for (int i = 0; i < N; i++)
        assert_int_equal(recv(fds[i], &(char){0}, 1, MSG_PEEK), 1); /* this page is made */
    stuck = program_memory(&program);
    assert_true(stuck - before < (int64_t)MEMORY_FACTOR * (N + 2) * PAGE);
    for (int i = 0; i < 300; i++) /* others are served meanwhile */
        assert_int_equal(get_once(program.port, "/page/2"), 200);
    assert_true(program_memory(&program) - stuck < (int64_t)MEMORY_FACTOR * PAGE);
    for (int i = 0; i < N; i++)
        close(fds[i]);
}

static void test_clients_that_break_off_are_forgotten(void **state)
{
    static const char *const REQUESTS[] = {
        "",
        "GET /status/200 HT",
        GET_OK,
        "GET /page/4096 HTTP/1.1\r\nHost: x\r\n\r\n",
        "GET /delay/20 HTTP/1.1\r\nHost: x\r\n\r\n",
        "GET /bad/drip HTTP/1.1\r\nHost: x\r\n\r\n",
        "GET /bad/hang HTTP/1.1\r\nHost: x\r\n\r\n",
        GET_OK GET_OK GET_OK "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\nabc",
    };

    for (int i = 0; i < CROWD; i++) {
        int fd = program_connect(&program);

        send_text(fd, REQUESTS[i % 8]);
        if (i / 8 % 2 == 0)
            reset(fd);
        else
            close(fd);
    }
    assert_int_equal(get_once(program.port, "/status/200"), 200);
}

static void test_clients_that_have_closed_their_half_get_their_answers(void **state)
{
    int fds[20];

    for (int i = 0; i < 20; i++) {
        fds[i] = program_connect(&program);
        send_text(fds[i], i % 2 == 0 ? GET_OK : "GET /delay/50 HTTP/1.1\r\nHost: x\r\n\r\n");
        assert_int_equal(shutdown(fds[i], SHUT_WR), 0);
    }
    for (int i = 0; i < 20; i++) {
        char text[1024];

        assert_is_answered(fds[i]);
        while (recv(fds[i], text, sizeof text, 0) > 0)
            continue;
        close(fds[i]);
    }
}

/* A number that follows from the one before. (Numerical Recipes' generator.) */
static uint32_t next_random(uint32_t *state) { return *state = *state * 1664525u + 1013904223u; }

static void test_garbage_is_refused_or_waited_out(void **state)
{
    static const char *const BEGINNINGS[] = {"", "GET ", "GET / HTTP/1.1\r\n",
                                             "POST / HTTP/1.1\r\nHost: x\r\n"};
    const char *given = getenv("CONC_TEST_SEED");
    uint32_t random = given != NULL ? (uint32_t)strtoul(given, NULL, 0) : 20260731;

    printf("# CONC_TEST_SEED=%u\n", (unsigned)random);
    for (int i = 0; i < 200; i++) {
        int fd = program_connect(&program);
        char bytes[4096];
        const char *beginning = BEGINNINGS[next_random(&random) >> 30];
        size_t n = 1 + (next_random(&random) >> 20);

        for (size_t j = 0; j < n; j++)
            bytes[j] = (char)(next_random(&random) >> 24);
        send_text(fd, beginning);
        send(fd, bytes, n, MSG_NOSIGNAL); /* the server may have closed already */
        shutdown(fd, SHUT_WR);
        while (recv(fd, bytes, sizeof bytes, 0) > 0)
            assert_memory_equal(bytes, "HTTP/1.1 4", 10);
        close(fd);
    }
    assert_int_equal(get_once(program.port, "/status/200"), 200);
}

static void test_stop_does_not_wait_for_clients_in_any_state(void **state)
{
    static const char *const REQUESTS[] = {"",
                                           "GET ",
                                           GET_OK,
                                           "GET /page/4096 HTTP/1.1\r\nHost: x\r\n\r\n",
                                           "GET /delay/60000 HTTP/1.1\r\nHost: x\r\n\r\n",
                                           "GET /bad/drip HTTP/1.1\r\nHost: x\r\n\r\n",
                                           "GET /bad/hang HTTP/1.1\r\nHost: x\r\n\r\n"};
    int64_t started;
    int fds[70];

    program_start(&program, server_path);
    for (int i = 0; i < 70; i++) {
        fds[i] = program_connect(&program);
        send_text(fds[i], REQUESTS[i % 7]);
    }
    program_wait_for_stat(&program, "connections", 70);
    started = conc_now();
    program_stop(&program, NULL);
    assert_true(conc_now() - started < CONC_S(30)); /* its grace is a second */
    for (int i = 0; i < 70; i++)
        close(fds[i]);
}

#define ON_EACH_BACKEND(test) \
    {#test, test, start, stop, NULL}, { "epoll: " #test, test, start_epoll, stop, NULL }

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        ON_EACH_BACKEND(test_a_thousand_delayed_answers_take_one_thread_and_a_second),
        ON_EACH_BACKEND(test_ten_thousand_connections_at_once_are_survived),
        cmocka_unit_test(test_without_descriptors_connections_wait_until_there_are_some),
        ON_EACH_BACKEND(test_readers_that_do_not_read_cost_no_more_than_their_pages),
        ON_EACH_BACKEND(test_clients_that_break_off_are_forgotten),
        ON_EACH_BACKEND(test_clients_that_have_closed_their_half_get_their_answers),
        ON_EACH_BACKEND(test_garbage_is_refused_or_waited_out),
        cmocka_unit_test(test_stop_does_not_wait_for_clients_in_any_state),
    };

    if (argc != 2) {
        fprintf(stderr, "usage: test_demo_load DEMO_SERVER\n");
        return 2;
    }
    server_path = argv[1];
    return cmocka_run_group_tests_name("demo_load", tests, NULL, NULL);
}
