/* SPDX-License-Identifier: MIT
 *
 * nonblocking.c: all servers at once by poll(2) and sockets that don't block, as in listings 7-1
 * and 7-2: no thread, no task, no loop of the library's.
 *
 * Watch: what get_data_points() says in ten lines, one after another, has become three functions
 * that know nothing of each other (connect, send, receive), each called when poll() says that its
 * socket is ready; where a request stands has to be kept in a struct. Unlike the chapter's it
 * connects without blocking too, tries all of a name's addresses, and copes with answers that come
 * in pieces.
 *
 * poll() knows nothing of being cancelled, so it waits in steps, and asks between them.
 */
#include "modes.h"

#include <errno.h>
#include <netdb.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

enum { STEP_MS = 50 }; /* how late a cancellation may be noticed */

/* A request on its way. */
struct request {
    const struct query *query;
    struct outcome *outcome;
    struct addrinfo *addresses;
    const struct addrinfo *next; /* the address to be tried next */
    int sock;                    /* -1: there is no more to be waited for */
    bool connected;
    struct http_request http;
    size_t sent; /* bytes of it */
    struct http_reader reader;
};

static int url_error(const struct request *r, int err)
{
    return conc_raise(err, URL_SHOWN ": %s", r->query->url, conc_strerror(err));
}

static void close_socket(struct request *r)
{
    if (r->sock >= 0)
        close(r->sock);
    r->sock = -1;
}

/* Done, one way or the other. */
static void end_request(struct request *r, int err)
{
    outcome_fail(r->outcome, err);
    close_socket(r);
    http_reader_free(&r->reader);
    if (r->addresses != NULL)
        freeaddrinfo(r->addresses);
    r->addresses = NULL;
}

/* ---- Connect ---- */

/* Begin to connect to the next address; `err`: why the one before would not do. */
static int try_next(struct request *r, int err)
{
    close_socket(r);
    for (; r->next != NULL && r->sock < 0; r->next = r->next->ai_next) {
        const int flags = SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC;

        r->sock = socket(r->next->ai_family, flags, r->next->ai_protocol);
        if (r->sock < 0) {
            err = -errno;
        } else if (connect(r->sock, r->next->ai_addr, r->next->ai_addrlen) != 0 &&
                   errno != EINPROGRESS) {
            err = -errno;
            close_socket(r);
        }
    }
    return r->sock >= 0 ? 0 : url_error(r, err);
}

/* The name is looked up one after another, as in the chapter: it blocks, but not for ever. */
static int connect_to_server(struct request *r, conc_deadline deadline)
{
    const struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV};
    char port[8];
    int err = make_request(r->query, &r->http);

    if (err)
        return err;
    snprintf(port, sizeof port, "%d", r->http.port);
    err = conc_getaddrinfo(r->http.host, port, &hints, &r->addresses, deadline);
    if (err == -ENOENT)
        return conc_raise(-EHOSTUNREACH, URL_SHOWN ": no such host", r->query->url);
    if (err)
        return url_error(r, err);
    r->next = r->addresses;
    return try_next(r, -EHOSTUNREACH);
}

static int finish_connecting(struct request *r)
{
    int err = 0;
    socklen_t size = sizeof err;

    if (getsockopt(r->sock, SOL_SOCKET, SO_ERROR, &err, &size) != 0)
        return url_error(r, -errno);
    if (err != 0)
        return try_next(r, -err);
    r->connected = true;
    return 0;
}

/* ---- Send, receive ---- */

static int send_more(struct request *r)
{
    ssize_t n = send(r->sock, r->http.text + r->sent, r->http.size - r->sent, MSG_NOSIGNAL);

    if (n < 0 && errno != EAGAIN && errno != EINTR)
        return url_error(r, -errno);
    r->sent += n > 0 ? (size_t)n : 0;
    return 0;
}

static int read_from_socket(struct request *r)
{
    char data[16 << 10];
    struct http_response response;
    ssize_t n = recv(r->sock, data, sizeof data, 0);
    int done, err;

    if (n < 0)
        return errno == EAGAIN || errno == EINTR ? 0 : url_error(r, -errno);
    done = http_reader_feed(&r->reader, data, (size_t)n);
    if (done <= 0)
        return done;
    err = http_reader_give(&r->reader, &response);
    if (err)
        return err;
    err = prepare_datapoints_from_response(r->query->url, &response, &r->outcome->points);
    http_response_free(&response);
    if (!err)
        end_request(r, 0);
    return err;
}

/* ---- All of them ---- */

static int go_on(struct request *r)
{
    if (!r->connected)
        return finish_connecting(r);
    return r->sent < r->http.size ? send_more(r) : read_from_socket(r);
}

/* What select.select() is told: the sockets, and what each of them waits for. How many: poll()
 * wants no more than there can be descriptors. */
static size_t list_sockets(struct request *requests, size_t count, struct pollfd *fds,
                           struct request **whose)
{
    size_t n = 0;

    for (size_t i = 0; i < count; i++) {
        struct request *r = &requests[i];
        const bool to_send = !r->connected || r->sent < r->http.size;

        if (r->sock < 0)
            continue;
        fds[n] = (struct pollfd){.fd = r->sock, .events = to_send ? POLLOUT : POLLIN};
        whose[n++] = r;
    }
    return n;
}

/* 0: at least one is ready; -ECANCELED; -ETIMEDOUT. */
static int wait_for_any(struct pollfd *fds, size_t count, conc_deadline deadline)
{
    for (;;) {
        int ready, err = conc_check_cancel();

        if (err)
            return err;
        if (conc_remaining(deadline) == 0)
            return -ETIMEDOUT;
        ready = poll(fds, count, STEP_MS);
        if (ready > 0 || (ready < 0 && errno != EINTR))
            return ready > 0 ? 0 : -errno;
    }
}

/* Why the wait has ended before the request. */
static int waiting_error(const struct request *r, int err)
{
    return err == -ETIMEDOUT ? conc_raise(err, URL_SHOWN ": no answer in time", r->query->url)
                             : url_error(r, err);
}

/* Ask all of them, and read until the last one is done, or too late. */
static void ask(struct request *requests, size_t count, struct pollfd *fds, struct request **whose,
                conc_deadline deadline)
{
    size_t open;
    int err;

    for (size_t i = 0; i < count; i++) {
        err = connect_to_server(&requests[i], deadline);
        if (err)
            end_request(&requests[i], err);
    }
    while ((open = list_sockets(requests, count, fds, whose)) > 0) {
        const int ended = wait_for_any(fds, open, deadline);

        for (size_t i = 0; i < open; i++) {
            err = ended ? waiting_error(whose[i], ended) : 0;
            if (!ended && fds[i].revents != 0)
                err = go_on(whose[i]);
            if (err)
                end_request(whose[i], err);
        }
    }
}

int add_data_nonblocking(const struct query *queries, size_t count, struct outcome *outcomes,
                         size_t workers)
{
    struct request *requests = calloc(count, sizeof *requests);
    struct request **whose = calloc(count, sizeof *whose);
    struct pollfd *fds = calloc(count, sizeof *fds);
    int err = 0;

    if (requests == NULL || whose == NULL || fds == NULL)
        err = conc_raise(-ENOMEM, "out of memory");
    for (size_t i = 0; !err && i < count; i++) {
        requests[i].query = &queries[i];
        requests[i].outcome = &outcomes[i];
        requests[i].sock = -1;
        http_reader_init(&requests[i].reader, queries[i].url);
    }
    if (!err) {
        ask(requests, count, fds, whose, conc_in(queries[0].timeout));
        err = conc_check_cancel();
    }
    free(fds);
    free(whose);
    free(requests);
    return err;
}
