/* SPDX-License-Identifier: MIT
 *
 * test_server.c: servers, on threads and on tasks: serving, from the beginning to the end. Stopping
 * is in test_server_stop.c, what goes wrong in test_server_errors.c.
 */
#include "serving.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include <conc/barrier.h>
#include <conc/io.h>
#include <conc/loop.h>
#include <conc/net.h>

/* ---- Serving ---- */

static void test_server_serves_who_connects(void)
{
    struct rig rig = start_server(echo);
    int fd = dial(&rig);
    check_echoes(fd, "hello\n");
    check_echoes(fd, "one\ntwo\n");
    CHECK_EQUAL(conc_server_n_connections(rig.server), 1);
    CHECK_EQUAL(conc_close(fd), 0);
    UNTIL(conc_server_n_connections(rig.server) == 0);
    CHECK_EQUAL(conc_server_stop(rig.server, CONC_FOREVER), 0);
    CHECK_EQUAL(conc_server_stop(rig.server, CONC_NOW), 0);
    CHECK(refuses(&rig));
    CHECK_EQUAL(reports(), 0);
    free_rig(&rig);
}

struct client {
    const struct rig *rig;
    int number;
    conc_barrier *all;
};

static void allow_descriptors(size_t n)
{
    struct rlimit limit;
    CHECK_EQUAL(getrlimit(RLIMIT_NOFILE, &limit), 0);
    if (limit.rlim_cur < n)
        limit.rlim_cur = n < limit.rlim_max ? n : limit.rlim_max;
    CHECK_EQUAL(setrlimit(RLIMIT_NOFILE, &limit), 0);
}

/* Stays until all are connected, so that all are served at once. */
static int job_client(void *arg, void *result)
{
    const struct client *c = arg;
    char text[32];
    int fd = dial(c->rig);
    snprintf(text, sizeof text, "client %d\n", c->number);
    check_echoes(fd, text);
    CHECK(conc_barrier_wait(c->all, CONC_FOREVER) >= 0);
    check_echoes(fd, text);
    return conc_close(fd);
}

static void test_server_serves_a_thousand_at_once(void)
{
    const int n = (int)crowd_of(on_tasks() ? 1000 : 200);
    struct rig rig = start_server(echo);
    conc_future **clients = calloc((size_t)n, sizeof *clients);
    conc_barrier all;
    CHECK(clients != NULL);
    CHECK_EQUAL(conc_barrier_init(&all, (uint32_t)n, NULL, NULL), 0);
    allow_descriptors(4 * (size_t)n + 100); /* a socket at either end, and what a thread waits by */
    for (int i = 0; i < n; i++) {
        const struct client c = {&rig, i, &all};
        clients[i] = start(job_client, &c, sizeof c);
    }
    for (int i = 0; i < n; i++)
        CHECK_EQUAL(end_of(clients[i]), 0);
    free(clients);
    CHECK_EQUAL(conc_server_stop(rig.server, PATIENT), 0);
    CHECK_EQUAL(count_of(&seen.begun), n);
    CHECK_EQUAL(count_of(&seen.ended), n);
    CHECK_EQUAL(reports(), 0);
    free_rig(&rig);
}

/* The same handler, whatever runs it: a pool, a loop for each of two threads, the accepting
 * itself. */
static void test_server_serves_with_any_executor(void)
{
    conc_executor *executors[3];
    CHECK_EQUAL(conc_thread_pool_new(&executors[0], 2, NULL), 0);
    CHECK_EQUAL(conc_loop_pool_new(&executors[1], 2), 0);
    CHECK_EQUAL(conc_inline_new(&executors[2]), 0);
    for (int i = 0; i < 3; i++) {
        struct rig rig = start_with(echo, (conc_server_options){.executor = executors[i]});
        for (int k = 0; k < 3; k++) {
            int fd = dial(&rig);
            check_echoes(fd, "hello\n");
            CHECK_EQUAL(conc_close(fd), 0);
        }
        UNTIL(count_of(&seen.ended) == 3);
        int fd = dial(&rig);
        check_echoes(fd, "hello\n");
        CHECK_EQUAL(conc_server_stop(rig.server, SOON), -ETIMEDOUT);
        check_hung_up(fd);
        CHECK_EQUAL(reports(), 0);
        free_rig(&rig);
        CHECK_EQUAL(conc_executor_free(executors[i]), 0);
    }
}

static void test_server_at_its_cap_lets_the_next_wait(void)
{
    struct rig rig = start_with(echo, (conc_server_options){.max_connections = 2});
    int fds[3];
    char byte;
    for (int i = 0; i < 3; i++)
        fds[i] = dial(&rig); /* the third waits in the backlog */
    check_echoes(fds[0], "a\n");
    check_echoes(fds[1], "b\n");
    CHECK_EQUAL(conc_sendall(fds[2], "c\n", 2, 0, PATIENT), 0);
    CHECK_EQUAL(conc_recv(fds[2], &byte, 1, 0, SOON), -ETIMEDOUT);
    CHECK_EQUAL(conc_server_n_connections(rig.server), 2);
    CHECK_EQUAL(conc_close(fds[0]), 0);
    CHECK_EQUAL(conc_recv(fds[2], &byte, 1, 0, PATIENT), 1);
    CHECK_EQUAL(conc_close(fds[1]), 0);
    CHECK_EQUAL(conc_close(fds[2]), 0);
    CHECK_EQUAL(conc_server_stop(rig.server, PATIENT), 0);
    free_rig(&rig);
}

/* ---- All in one ---- */

static uint16_t free_port(void)
{
    int fd = conc_tcp_listen(own_host(), 0, 0);
    int port = conc_tcp_port(fd);
    CHECK(port > 0);
    CHECK_EQUAL(conc_close(fd), 0);
    return (uint16_t)port;
}

struct service {
    uint16_t port;    /* or */
    const char *path; /* not NULL */
    conc_executor *executor;
    int64_t grace;
    conc_deadline deadline;
};

static int job_serve(void *arg, void *result)
{
    const struct service *s = arg;
    const conc_server_options options = {
        .executor = s->executor, .grace_ns = s->grace, .on_error = on_error};
    return s->path ? conc_unix_serve(s->path, echo, &seen, &options, s->deadline)
                   : conc_tcp_serve(own_host(), s->port, echo, &seen, &options, s->deadline);
}

static int dial_service(const struct service *s)
{
    int fd = -1;
    UNTIL((fd = s->path ? conc_unix_connect(s->path, PATIENT)
                        : conc_tcp_connect(own_host(), s->port, PATIENT)) >= 0);
    return fd;
}

static void check_service(struct service s)
{
    memset(&seen, 0, sizeof seen);
    if (!on_tasks())
        CHECK_EQUAL(conc_thread_per_job_new(&s.executor), 0);
    s.deadline = CONC_FOREVER;
    conc_future *service = start(job_serve, &s, sizeof s);
    int fd = dial_service(&s);
    check_echoes(fd, "hello\n");
    conc_future_cancel(service);
    CHECK_EQUAL(end_of(service), -ECANCELED);
    check_hung_up(fd);

    /* By its deadline; with grace for the clients that are still there. */
    s.deadline = conc_in(CONC_MS(300));
    s.grace = CONC_S(30);
    service = start(job_serve, &s, sizeof s);
    fd = dial_service(&s);
    check_echoes(fd, "hello\n");
    CHECK_EQUAL(conc_sleep_until(s.deadline), 0);
    check_echoes(fd, "still there\n");
    CHECK_EQUAL(conc_close(fd), 0);
    CHECK_EQUAL(end_of(service), -ETIMEDOUT);
    CHECK_EQUAL(reports(), 0);
    CHECK_EQUAL(conc_executor_free(s.executor), 0);
}

static void test_tcp_serve_serves_until_it_is_ended(void)
{
    check_service((struct service){.port = free_port()});
}

static void test_unix_serve_serves_until_it_is_ended(void)
{
    char path[64];
    snprintf(path, sizeof path, "/tmp/conc-test-%d.sock", (int)getpid());
    check_service((struct service){.path = path});
    CHECK(access(path, F_OK) != 0);
    path[0] = '@';
    check_service((struct service){.path = path});
}

static void test_serve_where_it_cannot_listen_says_so(void)
{
    conc_executor *executor;
    CHECK_EQUAL(conc_inline_new(&executor), 0);
    const conc_server_options options = {.executor = executor};
    int fd = conc_tcp_listen(own_host(), 0, 0);
    const uint16_t taken = (uint16_t)conc_tcp_port(fd);
    CHECK_EQUAL(conc_tcp_serve(own_host(), taken, echo, NULL, &options, PATIENT), -EADDRINUSE);
    CHECK_EQUAL(conc_unix_serve("/no/such/place", echo, NULL, &options, PATIENT), -ENOENT);
    CHECK_EQUAL(conc_unix_serve(NULL, echo, NULL, &options, PATIENT), -EINVAL);
    CHECK_EQUAL(conc_tcp_serve(own_host(), 0, NULL, NULL, &options, PATIENT), -EINVAL);
    CHECK_EQUAL(conc_close(fd), 0);
    CHECK_EQUAL(conc_executor_free(executor), 0);
}

/* ---- A loop that ends before its server ---- */

static conc_server *left;
static int left_client;

static int job_leave_a_server(void *arg, void *result)
{
    int fd = conc_tcp_listen(own_host(), 0, 0);
    CHECK_EQUAL(conc_server_start(&left, fd, echo, &seen, NULL), 0);
    const struct rig rig = {.port = (uint16_t)conc_server_port(left)};
    left_client = dial(&rig);
    check_echoes(left_client, "hello\n");
    return 0;
}

static void test_server_whose_loop_is_freed_has_ended(void **state)
{
    memset(&seen, 0, sizeof seen);
    assert_int_equal(conc_run(job_leave_a_server, NULL, 0, NULL, 0), 0);
    assert_int_equal(conc_server_n_connections(left), 0);
    assert_int_equal(conc_server_stop(left, CONC_NOW), 0);
    assert_int_equal(conc_server_free(left), 0);
    check_hung_up(left_client);
    assert_int_equal(count_of(&seen.ended), 1);
}

static int job_start_and_end(void *arg, void *result)
{
    int fd = conc_tcp_listen(own_host(), 0, 0);
    CHECK_EQUAL(conc_server_start(&left, fd, echo, &seen, NULL), 0);
    return 0;
}

/* The accepting has not even begun. */
static void test_server_whose_loop_is_freed_at_once_has_ended(void **state)
{
    assert_int_equal(conc_run(job_start_and_end, NULL, 0, NULL, 0), 0);
    assert_int_equal(conc_server_stop(left, CONC_NOW), 0);
    assert_int_equal(conc_server_free(left), 0);
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test_setup_teardown(test_server_whose_loop_is_freed_has_ended, way_setup,
                                    way_teardown),
    cmocka_unit_test_setup_teardown(test_server_whose_loop_is_freed_at_once_has_ended, way_setup,
                                    way_teardown),
    ON_EVERY_WAY(test_server_serves_who_connects),
    ON_EVERY_WAY(test_server_serves_a_thousand_at_once),
    ON_EVERY_WAY(test_server_serves_with_any_executor),
    ON_EVERY_WAY(test_server_at_its_cap_lets_the_next_wait),
    ON_EVERY_WAY(test_tcp_serve_serves_until_it_is_ended),
    ON_EVERY_WAY(test_unix_serve_serves_until_it_is_ended),
    ON_EVERY_WAY(test_serve_where_it_cannot_listen_says_so),
};

TEST_MAIN(tests, 60)
