/* SPDX-License-Identifier: MIT
 *
 * server_serve.c: a server from its start to its end in one call.
 *
 * The same stop follows whether the caller was cancelled, the deadline came or the accepting
 * failed. It runs in a shield, because the grace is the handlers' and not the caller's.
 */
#include <conc/server.h>

#include <sys/stat.h>
#include <unistd.h>

#include <conc/context.h>
#include <conc/io.h>
#include <conc/net.h>

#include "io/server_impl.h"

/* Takes fd. */
static int server_serve_on(int fd, conc_stream_fn *handler, void *arg,
                           const conc_server_options *options, conc_deadline deadline)
{
    conc_server *srv;
    int err = conc_server_start(&srv, fd, handler, arg, options);
    if (err) {
        conc_close(fd);
        return err;
    }
    err = conc__server_wait(srv, deadline);
    conc_scope shield;
    conc_shield_enter(&shield);
    conc_server_stop(srv, conc_in(options ? options->grace_ns : 0));
    conc_server_free(srv);
    conc_shield_exit(&shield);
    return err;
}

int conc_tcp_serve(const char *host, uint16_t port, conc_stream_fn *handler, void *arg,
                   const conc_server_options *options, conc_deadline deadline)
{
    int fd = conc_tcp_listen(host, port, 0);
    return fd < 0 ? fd : server_serve_on(fd, handler, arg, options, deadline);
}

/* Another server may have replaced it. */
static bool server_owns_file(const char *path, const struct stat *bound)
{
    struct stat now;
    return lstat(path, &now) == 0 && S_ISSOCK(now.st_mode) && now.st_dev == bound->st_dev &&
           now.st_ino == bound->st_ino;
}

int conc_unix_serve(const char *path, conc_stream_fn *handler, void *arg,
                    const conc_server_options *options, conc_deadline deadline)
{
    int fd = conc_unix_listen(path, 0);
    if (fd < 0)
        return fd;
    struct stat bound;
    bool has_file = path[0] != '@' && lstat(path, &bound) == 0;
    int err = server_serve_on(fd, handler, arg, options, deadline);
    if (has_file && server_owns_file(path, &bound))
        unlink(path);
    return err;
}
