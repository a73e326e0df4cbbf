/* SPDX-License-Identifier: MIT
 *
 * echo_server.c: the smallest server: it sends each line back to the client that sent it.
 *
 * Watch: echo() is written as if there were but one client, and as if waiting cost nothing. With
 * --model it runs unchanged as a task for each client on one thread, in a thread for each, or in a
 * pool of four threads, in which the fifth client has to wait.
 */
#include <conc.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "support/listing.h"

static const char *address = "127.0.0.1", *model = "tasks";
static int64_t port = 7777, stop_after = INT64_MAX;

static int echo(conc_stream *stream, void *arg)
{
    char *line;
    ssize_t n;
    while ((n = conc_stream_read_line(stream, &line, CONC_FOREVER)) > 0) {
        int err = conc_stream_write(stream, line, (size_t)n, CONC_FOREVER);
        if (!err)
            err = conc_stream_flush(stream, CONC_FOREVER);
        if (err)
            return err;
    }
    return (int)n; /* 0: the client has said all that it wanted */
}

/* A client that was cut off, or whose line was too long: the others are served on. */
static void on_error(int err, const char *message, void *arg)
{
    complain("a client: %s", *message ? message : conc_strerror(err));
}

static int choose_executor(conc_executor **ret)
{
    *ret = NULL; /* the loop that runs here */
    if (!strcmp(model, "threads"))
        return conc_thread_per_job_new(ret);
    return strcmp(model, "pool") ? 0 : conc_thread_pool_new(ret, 4, NULL);
}

/* Ctrl-C, or kill. */
static sigset_t signals_to_end(void)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGTERM);
    return set;
}

static int serve_with(conc_executor *executor)
{
    const conc_server_options options = {.executor = executor, .on_error = on_error};
    const sigset_t ends = signals_to_end();
    conc_server *server;
    int fd = conc_tcp_listen(address, (uint16_t)port, 0);
    int err = fd < 0 ? fd : conc_server_start(&server, fd, echo, NULL, &options);
    if (err) {
        conc_close(fd);
        return err;
    }
    conc_signal_catch(&ends); /* from now on: the line that follows may bring one */
    printf("listening on %s, port %d\n", address, conc_server_port(server));
    conc_signal_wait(&ends, conc_in(stop_after));
    conc_server_stop(server, conc_in(CONC_S(1))); /* cuts off clients that stay longer */
    return conc_server_free(server);
}

static int serve(void *arg, void *result)
{
    conc_executor *executor;
    int err = choose_executor(&executor);
    if (err)
        return err;
    err = serve_with(executor);
    conc_executor_free(executor);
    return err;
}

int main(int argc, char **argv)
{
    const struct option_spec options[] = {
        {"address", OPTION_TEXT, &address, "HOST", 0, 0, "listen there (default: 127.0.0.1)"},
        {"port", OPTION_INTEGER, &port, "N", 0, 65535,
         "on that port; 0: any that is free (default: 7777)"},
        {"model", OPTION_TEXT, &model, "MODEL", 0, 0, "tasks, threads or pool (default: tasks)"},
        {"stop-after", OPTION_SECONDS, &stop_after, "S", 0, 1e6, "end by itself after S seconds"},
        {.name = NULL},
    };
    parse_options(argc, argv, "Send each line back, until Ctrl-C.", options);
    if (strcmp(model, "tasks") && strcmp(model, "threads") && strcmp(model, "pool")) {
        complain("not tasks, threads or pool: %s", model);
        return EXIT_USAGE;
    }
    return exit_status(conc_run(serve, NULL, 0, NULL, 0));
}
