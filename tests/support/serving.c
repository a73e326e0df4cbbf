/* SPDX-License-Identifier: MIT
 *
 * serving.c: see serving.h.
 */
#include "serving.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <conc/io.h>
#include <conc/lock.h>
#include <conc/loop.h>
#include <conc/net.h>

struct seen seen;

void on_error(int err, const char *message, void *arg)
{
    CHECK(arg == &seen);
    conc_with_lock (&seen.lock) {
        seen.reports++;
        seen.reported = err;
        snprintf(seen.message, sizeof seen.message, "%s", message);
    }
}

int reports(void)
{
    int n = 0;
    conc_with_lock (&seen.lock)
        n = seen.reports;
    return n;
}

int last_reported(void)
{
    int err = 0;
    conc_with_lock (&seen.lock)
        err = seen.reported;
    return err;
}

int count_of(const int *count) { return load_acquire(count); }

void begin(void *arg)
{
    CHECK(arg == &seen);
    __atomic_add_fetch(&seen.begun, 1, __ATOMIC_ACQ_REL);
}

int end(int err)
{
    __atomic_add_fetch(&seen.ended, 1, __ATOMIC_ACQ_REL);
    return err;
}

int echo(conc_stream *stream, void *arg)
{
    char *line;
    ssize_t n;
    begin(arg);
    while ((n = conc_stream_read_line(stream, &line, CONC_FOREVER)) > 0) {
        int err = conc_stream_write(stream, line, (size_t)n, CONC_FOREVER);
        if (!err)
            err = conc_stream_flush(stream, CONC_FOREVER);
        if (err)
            return end(err);
    }
    return end((int)n);
}

struct rig start_on(int fd, conc_stream_fn *handler, conc_server_options options)
{
    struct rig rig = {.executor = NULL};
    memset(&seen, 0, sizeof seen);
    if (!on_tasks() && !options.executor) {
        CHECK_EQUAL(conc_thread_per_job_new(&rig.executor), 0);
        options.executor = rig.executor;
    }
    options.on_error = on_error;
    CHECK(fd >= 0);
    CHECK_EQUAL(conc_server_start(&rig.server, fd, handler, &seen, &options), 0);
    CHECK_EQUAL(conc_server_port(rig.server), conc_tcp_port(fd));
    rig.port = (uint16_t)conc_server_port(rig.server);
    return rig;
}

struct rig start_with(conc_stream_fn *handler, conc_server_options options)
{
    return start_on(conc_tcp_listen(own_host(), 0, 0), handler, options);
}

struct rig start_server(conc_stream_fn *handler)
{
    return start_with(handler, (conc_server_options){.max_connections = 0});
}

void free_rig(struct rig *rig)
{
    CHECK_EQUAL(conc_server_free(rig->server), 0);
    CHECK_EQUAL(conc_executor_free(rig->executor), 0);
}

int dial(const struct rig *rig)
{
    int fd = conc_tcp_connect(own_host(), rig->port, PATIENT);
    CHECK(fd >= 0);
    return fd;
}

bool refuses(const struct rig *rig)
{
    int fd = conc_tcp_connect(own_host(), rig->port, PATIENT);
    if (fd >= 0)
        conc_close(fd);
    return fd == -ECONNREFUSED;
}

void check_echoes(int fd, const char *text)
{
    char buf[64];
    const size_t n = strlen(text);
    CHECK_EQUAL(conc_sendall(fd, text, n, 0, PATIENT), 0);
    for (size_t got = 0; got < n;) {
        ssize_t more = conc_recv(fd, buf + got, n - got, 0, PATIENT);
        CHECK(more > 0);
        got += (size_t)more;
    }
    CHECK(!memcmp(buf, text, n));
}

/* The server has closed it: orderly, or by a reset if it has not read everything. */
void check_hung_up(int fd)
{
    char byte;
    ssize_t n = conc_recv(fd, &byte, 1, 0, PATIENT);
    CHECK(n == 0 || n == -ECONNRESET);
    CHECK_EQUAL(conc_close(fd), 0);
}
