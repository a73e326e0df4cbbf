/* SPDX-License-Identifier: MIT
 *
 * own_server.c: a demo server as a child program: started from where the build has put it, asked
 * for its URL, stopped. --with-parent ends it also when this program is killed.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "models/models.h"

static const int64_t START_TIMEOUT = CONC_S(60), STOP_TIMEOUT = CONC_S(10);

/* The server's program: from examples/models, where this one is, examples/support/demo_server. */
static int find_program(char *path, size_t size)
{
    static const char NAME[] = "../support/demo_server";
    ssize_t length = readlink("/proc/self/exe", path, size);
    if (length < 0)
        return conc_raise(-errno, "/proc/self/exe: %s", conc_strerror(errno));
    while (length > 0 && path[length - 1] != '/')
        length--;
    if ((size_t)length + sizeof NAME > size)
        return conc_raise(-ENAMETOOLONG, "the demo server's path is too long");
    strcpy(path + length, NAME);
    return 0;
}

/* Its first line, without the newline. */
static int read_url(struct own_server *server)
{
    conc_deadline deadline = conc_in(START_TIMEOUT);
    size_t length = 0;

    while (length == 0 || server->url[length - 1] != '\n') {
        ssize_t n = sizeof server->url - 1 - length;
        n = n > 0 ? conc_read(conc_subprocess_stdout(server->child), server->url + length,
                              (size_t)n, deadline)
                  : -EPROTO;
        if (n == 0)
            return conc_raise(-EPROTO, "the demo server ended before it had started");
        if (n < 0)
            return conc_raise((int)n, "the demo server does not start: %s", conc_strerror((int)n));
        length += (size_t)n;
    }
    server->url[length - 1] = '\0';
    return 0;
}

int own_server_start(struct own_server *server, int64_t latency)
{
    char path[4096], delay[32], parent[32];
    const char *argv[] = {path, "--port", "0", "--latency", delay, "--with-parent", parent, NULL};
    /* In a group of its own: a Ctrl-C ends this program, and with it the server. */
    const conc_subprocess_options options = {
        .in = CONC_SUBPROCESS_NULL, .out = CONC_SUBPROCESS_PIPE, .new_group = true};

    snprintf(delay, sizeof delay, "%g", (double)latency / (double)CONC_MS(1));
    snprintf(parent, sizeof parent, "%d", (int)getpid());
    int err = find_program(path, sizeof path);
    if (err)
        return err;
    err = conc_subprocess_start(&server->child, argv, &options);
    if (err)
        return err;
    return read_url(server);
}

void own_server_stop(struct own_server *server)
{
    if (server->child == NULL)
        return;
    conc_subprocess_terminate(server->child);
    conc_subprocess_join(server->child, conc_in(STOP_TIMEOUT));
    conc_subprocess_free(server->child); /* ends the child if it still runs */
    server->child = NULL;
}
