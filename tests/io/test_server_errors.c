/* SPDX-License-Identifier: MIT
 *
 * test_server_errors.c: what goes wrong with servers, on threads and on tasks.
 */
#include "serving.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <conc/io.h>
#include <conc/net.h>

static int break_down(conc_stream *stream, void *arg)
{
    begin(arg);
    return end(conc_raise(-EIO, "it has failed"));
}

static int leave_much(conc_stream *stream, void *arg)
{
    static const char zeros[60000];
    const int smallest = 1;
    setsockopt(conc_stream_fd(stream), SOL_SOCKET, SO_SNDBUF, &smallest, sizeof smallest);
    begin(arg);
    return end(conc_stream_write(stream, zeros, sizeof zeros, CONC_FOREVER));
}

static void test_handler_that_fails_is_reported(void)
{
    struct rig rig = start_server(break_down);
    check_hung_up(dial(&rig));
    UNTIL(reports() == 1);
    CHECK_EQUAL(last_reported(), -EIO);
    CHECK(!strcmp(seen.message, "it has failed"));
    check_hung_up(dial(&rig));
    UNTIL(reports() == 2);
    free_rig(&rig);
}

static void test_handler_that_fails_without_on_error_is_unobserved(void)
{
    struct unobserved unobserved;
    conc_server *server;
    conc_executor *executor = NULL;
    unobserved_watch(&unobserved);
    memset(&seen, 0, sizeof seen);
    if (!on_tasks())
        CHECK_EQUAL(conc_inline_new(&executor), 0);
    int fd = conc_tcp_listen(own_host(), 0, 0);
    const conc_server_options options = {.executor = executor};
    CHECK_EQUAL(conc_server_start(&server, fd, break_down, &seen, &options), 0);
    const struct rig rig = {.port = (uint16_t)conc_server_port(server)};
    check_hung_up(dial(&rig));
    UNTIL(count_of(&unobserved.count) == 1);
    CHECK_EQUAL(conc_server_free(server), 0);
    CHECK_EQUAL(unobserved.err, -EIO);
    CHECK(!strcmp(unobserved.message, "it has failed"));
    CHECK_EQUAL(conc_executor_free(executor), 0);
}

static void test_client_that_does_not_read_is_given_up(void)
{
    char path[64];
    snprintf(path, sizeof path, "@conc-test-%d", (int)getpid());
    struct rig rig = start_on(conc_unix_listen(path, 0), leave_much,
                              (conc_server_options){.close_timeout_ns = CONC_MS(30)});
    int fd = conc_unix_connect(path, PATIENT);
    CHECK(fd >= 0);
    UNTIL(reports() == 1);
    CHECK_EQUAL(last_reported(), -ETIMEDOUT);
    UNTIL(conc_server_n_connections(rig.server) == 0);
    CHECK_EQUAL(conc_close(fd), 0);
    free_rig(&rig);
}

static void test_client_that_resets_harms_nobody(void)
{
    const struct linger at_once = {.l_onoff = 1, .l_linger = 0};
    struct rig rig = start_server(echo);
    for (int i = 0; i < 3; i++) {
        int fd = dial(&rig);
        if (i > 0)
            check_echoes(fd, "hello\n");
        CHECK_EQUAL(conc_sendall(fd, "abc", 3, 0, PATIENT), 0);
        CHECK_EQUAL(setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once), 0);
        CHECK_EQUAL(conc_close(fd), 0);
    }
    UNTIL(reports() >= 2); /* the first may have been lost in the backlog */
    CHECK_EQUAL(last_reported(), -ECONNRESET);
    int fd = dial(&rig);
    check_echoes(fd, "hello\n");
    CHECK_EQUAL(conc_close(fd), 0);
    CHECK_EQUAL(conc_server_stop(rig.server, PATIENT), 0);
    free_rig(&rig);
}

static void test_server_when_descriptors_run_out_goes_on_later(void)
{
    struct rig rig = start_server(echo);
    int first = dial(&rig), spare[64], n = 0;
    struct sockaddr_storage address;
    socklen_t size = sizeof address;
    check_echoes(first, "hello\n");
    CHECK_EQUAL(getpeername(first, (struct sockaddr *)&address, &size), 0);
    int second = conc_socket(AF_INET, SOCK_STREAM, 0);
    CHECK(second >= 0);
    char byte; /* what a thread needs for waiting it gets at its first wait */
    CHECK_EQUAL(conc_recv(first, &byte, 1, 0, SOON), -ETIMEDOUT);
    limit_descriptors(64);
    while (n < 64 && (spare[n] = dup(0)) >= 0)
        n++;
    CHECK_EQUAL(conc_connect(second, (struct sockaddr *)&address, size, PATIENT), 0);
    UNTIL(reports() == 1);
    CHECK_EQUAL(last_reported(), -EMFILE);
    CHECK_EQUAL(conc_sleep(CONC_MS(250)), 0); /* it tries again, and does not report that */
    check_echoes(first, "still there\n");
    CHECK_EQUAL(reports(), 1);
    while (n > 0)
        CHECK_EQUAL(conc_close(spare[--n]), 0);
    if (!on_valgrind()) /* valgrind takes the connection before it refuses the descriptor */
        check_echoes(second, "hello\n");
    CHECK_EQUAL(conc_close(second), 0);
    CHECK_EQUAL(conc_close(first), 0);
    CHECK_EQUAL(conc_server_stop(rig.server, PATIENT), 0);
    free_rig(&rig);
    limit_descriptors(0);
}

static void test_server_whose_listener_breaks_reports_it_and_stops(void)
{
    memset(&seen, 0, sizeof seen);
    conc_executor *executor;
    conc_server *server;
    CHECK_EQUAL(conc_thread_per_job_new(&executor), 0);
    const conc_server_options options = {.executor = executor, .on_error = on_error};
    int fd = conc_tcp_listen(own_host(), 0, 0);
    CHECK_EQUAL(conc_server_start(&server, fd, echo, &seen, &options), 0);
    UNTIL(blocked_on("accept") == 1);
    CHECK_EQUAL(conc_shutdown(fd, SHUT_RD), 0);
    UNTIL(reports() == 1);
    CHECK_EQUAL(last_reported(), -EINVAL);
    CHECK(strstr(seen.message, "cannot accept connections any more"));
    CHECK_EQUAL(conc_server_stop(server, PATIENT), 0);
    CHECK_EQUAL(conc_server_free(server), 0);
    CHECK_EQUAL(conc_executor_free(executor), 0);
}

static void test_start_with_bad_arguments_takes_nothing(void)
{
    conc_server *server = NULL;
    conc_executor *closed;
    CHECK_EQUAL(conc_inline_new(&closed), 0);
    const conc_server_options options = {.executor = closed};
    int fd = conc_tcp_listen(own_host(), 0, 0);
    CHECK_EQUAL(conc_server_start(NULL, fd, echo, NULL, &options), -EINVAL);
    CHECK_EQUAL(conc_server_start(&server, fd, NULL, NULL, &options), -EINVAL);
    CHECK_EQUAL(conc_server_start(&server, -1, echo, NULL, &options), -EBADF);
    CHECK_EQUAL(conc_server_start(&server, 0, echo, NULL, &options), -ENOTSOCK);
    if (!on_tasks())
        CHECK_EQUAL(conc_server_start(&server, fd, echo, NULL, NULL), -EINVAL);
    CHECK(server == NULL);
    CHECK_EQUAL(conc_close(fd), 0); /* still there */
    CHECK_EQUAL(conc_executor_free(closed), 0);
}

static void test_start_when_memory_or_threads_run_out_takes_nothing(void)
{
    conc_server *server = NULL;
    conc_executor *executor;
    CHECK_EQUAL(conc_inline_new(&executor), 0);
    const conc_server_options options = {.executor = executor};
    int fd = conc_tcp_listen(own_host(), 0, 0);
    for (int n = 1; !server; n++) {
        fail_alloc(n);
        int err = conc_server_start(&server, fd, echo, &seen, &options);
        CHECK_EQUAL(err, server ? 0 : -ENOMEM);
        if (err)
            CHECK(fcntl(fd, F_GETFD) >= 0); /* not closed */
        fail_alloc(0);
    }
    CHECK_EQUAL(conc_server_free(server), 0);
    CHECK_EQUAL(conc_executor_free(executor), 0);
}

static void test_server_whose_executor_is_shut_down_closes_connections(void)
{
    conc_executor *closed;
    CHECK_EQUAL(conc_thread_pool_new(&closed, 1, NULL), 0);
    CHECK_EQUAL(conc_executor_shutdown(closed, 0, CONC_NOW), 0);
    struct rig rig = start_with(echo, (conc_server_options){.executor = closed});
    check_hung_up(dial(&rig));
    UNTIL(reports() == 1);
    CHECK_EQUAL(last_reported(), -ESHUTDOWN);
    free_rig(&rig);
    CHECK_EQUAL(conc_executor_free(closed), 0);
}

static const struct CMUnitTest tests[] = {
    ON_EVERY_WAY(test_handler_that_fails_is_reported),
    ON_EVERY_WAY(test_handler_that_fails_without_on_error_is_unobserved),
    ON_EVERY_WAY(test_client_that_does_not_read_is_given_up),
    ON_EVERY_WAY(test_client_that_resets_harms_nobody),
    ON_EVERY_WAY(test_server_when_descriptors_run_out_goes_on_later),
    ON_EVERY_WAY(test_server_whose_listener_breaks_reports_it_and_stops),
    ON_EVERY_WAY(test_start_with_bad_arguments_takes_nothing),
    ON_EVERY_WAY(test_start_when_memory_or_threads_run_out_takes_nothing),
    ON_EVERY_WAY(test_server_whose_executor_is_shut_down_closes_connections),
};

TEST_MAIN(tests, 60)
