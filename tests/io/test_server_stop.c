/* SPDX-License-Identifier: MIT
 *
 * test_server_stop.c: how servers are stopped, on threads and on tasks.
 */
#include "serving.h"

#include <conc/io.h>
#include <conc/net.h>

/* Until `open` is set; nothing else moves it. */
static int stay(conc_stream *stream, void *arg)
{
    conc_scope shield;
    begin(arg);
    conc_shield_enter(&shield);
    CHECK_EQUAL(conc_event_wait(&seen.open, CONC_FOREVER), 0);
    conc_shield_exit(&shield);
    return end(0);
}

static void test_stop_when_its_deadline_comes_cancels_the_handlers(void)
{
    struct rig rig = start_server(echo);
    int fds[3];
    for (int i = 0; i < 3; i++) {
        fds[i] = dial(&rig);
        check_echoes(fds[i], "hello\n");
    }
    CHECK_EQUAL(conc_server_stop(rig.server, CONC_NOW), -EAGAIN);
    check_echoes(fds[0], "still there\n");
    CHECK_EQUAL(conc_server_stop(rig.server, SOON), -ETIMEDOUT);
    CHECK_EQUAL(count_of(&seen.ended), 3);
    CHECK_EQUAL(conc_server_n_connections(rig.server), 0);
    for (int i = 0; i < 3; i++)
        check_hung_up(fds[i]);
    CHECK_EQUAL(reports(), 0); /* to be cancelled is no error */
    free_rig(&rig);
}

static int job_stop(void *arg, void *result)
{
    return conc_server_stop(((struct rig *)arg)->server, CONC_FOREVER);
}

static void test_stop_waits_for_the_handlers(void)
{
    struct rig rig = start_server(echo);
    int fd = dial(&rig);
    check_echoes(fd, "hello\n");
    conc_future *stop = start(job_stop, &rig, sizeof rig);
    conc_future *too = start(job_stop, &rig, sizeof rig);
    UNTIL(refuses(&rig));
    check_echoes(fd, "still there\n");
    CHECK(!conc_future_is_done(stop));
    CHECK_EQUAL(conc_close(fd), 0);
    CHECK_EQUAL(end_of(stop), 0);
    CHECK_EQUAL(end_of(too), 0);
    free_rig(&rig);
}

static void test_stop_when_the_caller_is_cancelled_cancels_the_handlers(void)
{
    struct rig rig = start_server(echo);
    int fd = dial(&rig);
    check_echoes(fd, "hello\n");
    conc_future *stop = start(job_stop, &rig, sizeof rig);
    UNTIL(refuses(&rig));
    conc_future_cancel(stop);
    CHECK_EQUAL(end_of(stop), -ECANCELED);
    check_hung_up(fd);
    CHECK_EQUAL(conc_server_stop(rig.server, CONC_NOW), 0);
    free_rig(&rig);
}

static int job_stop_soon(void *arg, void *result)
{
    return conc_server_stop(((struct rig *)arg)->server, SOON);
}

static void test_stop_when_a_handler_does_not_listen_waits_for_it(void)
{
    struct rig rig = start_server(stay);
    int fd = dial(&rig);
    UNTIL(count_of(&seen.begun) == 1);
    conc_future *stop = start(job_stop_soon, &rig, sizeof rig);
    conc_sleep(CONC_MS(40));
    CHECK(!conc_future_is_done(stop));
    conc_event_set(&seen.open);
    CHECK_EQUAL(end_of(stop), -ETIMEDOUT);
    check_hung_up(fd);
    free_rig(&rig);
}

static conc_server *own;

static int stop_own(conc_stream *stream, void *arg)
{
    begin(arg);
    CHECK_EQUAL(conc_server_stop(own, CONC_FOREVER), -EDEADLK);
    CHECK_EQUAL(conc_server_free(own), -EDEADLK);
    return end(0);
}

static void test_stop_by_a_handler_is_refused(void)
{
    struct rig rig = start_server(stop_own);
    own = rig.server;
    check_hung_up(dial(&rig));
    CHECK_EQUAL(count_of(&seen.ended), 1);
    check_hung_up(dial(&rig)); /* it goes on */
    free_rig(&rig);
}

/* Jobs that wait for a worker end too, and their connections are closed. */
static void test_stop_when_connections_wait_for_a_worker_closes_them(void)
{
    conc_executor *pool;
    CHECK_EQUAL(conc_thread_pool_new(&pool, 1, NULL), 0);
    struct rig rig = start_with(echo, (conc_server_options){.executor = pool});
    int fds[3];
    fds[0] = dial(&rig);
    check_echoes(fds[0], "hello\n");
    fds[1] = dial(&rig);
    fds[2] = dial(&rig);
    UNTIL(conc_server_n_connections(rig.server) == 3);
    CHECK_EQUAL(conc_server_stop(rig.server, SOON), -ETIMEDOUT);
    CHECK_EQUAL(count_of(&seen.begun), count_of(&seen.ended)); /* one, or more for a moment */
    for (int i = 0; i < 3; i++)
        check_hung_up(fds[i]);
    free_rig(&rig);
    CHECK_EQUAL(conc_executor_free(pool), 0);
}

static int job_dial_and_stay(void *arg, void *result)
{
    char byte;
    int fd = conc_tcp_connect(own_host(), *(uint16_t *)arg, PATIENT);
    if (fd < 0)
        return fd == -ECONNREFUSED || fd == -ECONNRESET ? 0 : fd;
    ssize_t n = conc_recv(fd, &byte, 1, 0, PATIENT);
    conc_close(fd);
    return n == 0 || n == -ECONNRESET ? 0 : -EPROTO;
}

/* Whenever a connection comes, it is refused, served, or closed; none is left over. */
static void test_stop_while_clients_connect_leaves_nobody_over(void)
{
    enum { ROUNDS = 30, CLIENTS = 5 };
    struct test_random r = test_random_for(0);
    for (int round = 0; round < ROUNDS; round++) {
        struct rig rig = start_server(echo);
        conc_future *clients[CLIENTS];
        for (int i = 0; i < CLIENTS; i++)
            clients[i] = start(job_dial_and_stay, &rig.port, sizeof rig.port);
        conc_sleep((int64_t)test_random_below(&r, CONC_US(500)));
        int err = conc_server_stop(rig.server, conc_in(0));
        CHECK(!err || err == -ETIMEDOUT);
        CHECK_EQUAL(count_of(&seen.begun), count_of(&seen.ended));
        for (int i = 0; i < CLIENTS; i++)
            CHECK_EQUAL(end_of(clients[i]), 0);
        free_rig(&rig);
    }
}

static void test_free_of_a_server_that_runs_stops_it(void)
{
    struct rig rig = start_server(echo);
    int fd = dial(&rig);
    check_echoes(fd, "hello\n");
    free_rig(&rig);
    CHECK_EQUAL(count_of(&seen.ended), 1);
    check_hung_up(fd);
    CHECK_EQUAL(conc_server_free(NULL), 0);
}

static const struct CMUnitTest tests[] = {
    ON_EVERY_WAY(test_stop_when_its_deadline_comes_cancels_the_handlers),
    ON_EVERY_WAY(test_stop_waits_for_the_handlers),
    ON_EVERY_WAY(test_stop_when_the_caller_is_cancelled_cancels_the_handlers),
    ON_EVERY_WAY(test_stop_when_a_handler_does_not_listen_waits_for_it),
    ON_EVERY_WAY(test_stop_by_a_handler_is_refused),
    ON_EVERY_WAY(test_stop_when_connections_wait_for_a_worker_closes_them),
    ON_EVERY_WAY(test_stop_while_clients_connect_leaves_nobody_over),
    ON_EVERY_WAY(test_free_of_a_server_that_runs_stops_it),
};

TEST_MAIN(tests, 60)
