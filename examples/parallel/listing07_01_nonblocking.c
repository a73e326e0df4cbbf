/* SPDX-License-Identifier: MIT
 *
 * Listings 7-1 and 7-2: three URLs at once with non-blocking sockets and poll(2) by hand, and an
 * HTTP parser (http_wire.h, in h11's place). No thread, no loop of the library's.
 *
 * Watch: the one call that blocks is poll(), for whichever socket has something next; and what the
 * program pays for it. get_http() of one piece has become two halves that know nothing of each
 * other, with what is between them kept by hand in a struct. Unlike the chapter's 'optimistic'
 * one it copes with an answer that comes in pieces, and with a server that never answers.
 */
#include <conc.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "support/http_wire.h"
#include "support/listing.h"

enum { URIS = 3 };

/* A request that was made: all that the second half has to know. */
struct request {
    char uri[HTTP_URL_MAX];
    int sock; /* -1: none, or no longer */
    struct http_reader reader;
};

static int uri_error(const char *uri, int err)
{
    return conc_raise(err, URL_SHOWN ": %s", uri, conc_strerror(err));
}

/* sock.connect((host, port)): it blocks, as in the chapter. A socket, or an error. */
static int connect_to(const struct http_request *request, const char *uri)
{
    const struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV};
    struct addrinfo *addresses;
    char port[8];
    int sock = -1, err = -EHOSTUNREACH;

    snprintf(port, sizeof port, "%d", request->port);
    if (getaddrinfo(request->host, port, &hints, &addresses) != 0)
        return conc_raise(err, URL_SHOWN ": no such host", uri);
    for (struct addrinfo *a = addresses; a != NULL && sock < 0; a = a->ai_next) {
        sock = socket(a->ai_family, a->ai_socktype | SOCK_CLOEXEC, a->ai_protocol);
        if (sock >= 0 && connect(sock, a->ai_addr, a->ai_addrlen) == 0)
            break;
        err = -errno;
        if (sock >= 0)
            close(sock);
        sock = -1;
    }
    freeaddrinfo(addresses);
    return sock >= 0 ? sock : uri_error(uri, err);
}

/* The first half: make the request, and keep the socket for the answer. */
static int get_http(struct request *r)
{
    struct http_request request;
    int err = http_request_make(&request, r->uri);
    if (err)
        return err;
    int sock = connect_to(&request, r->uri);
    if (sock < 0)
        return sock;
    r->sock = sock;
    http_reader_init(&r->reader, r->uri);
    if (fcntl(sock, F_SETFL, O_NONBLOCK) != 0)
        return uri_error(r->uri, -errno);
    /* A socket without anything in it yet has room for all of it. */
    ssize_t n = send(sock, request.text, request.size, MSG_NOSIGNAL);
    if (n != (ssize_t)request.size)
        return uri_error(r->uri, n < 0 ? -errno : -EIO);
    return 0;
}

static void close_request(struct request *r)
{
    if (r->sock < 0)
        return;
    close(r->sock);
    http_reader_free(&r->reader);
    r->sock = -1;
}

/* The second half: read what is there. 1: the answer is whole, and the socket is closed. */
static int read_from_socket(struct request *r)
{
    char data[16 << 10];
    struct http_response response;
    ssize_t n = recv(r->sock, data, sizeof data, 0);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return 0;
    if (n < 0)
        return uri_error(r->uri, -errno);
    int done = http_reader_feed(&r->reader, data, (size_t)n);
    if (done <= 0)
        return done;
    int err = http_reader_give(&r->reader, &response);
    if (err)
        return err;
    close_request(r);
    err = http_check(r->uri, &response);
    if (!err)
        printf("Got %zu bytes\n", response.size);
    http_response_free(&response);
    return err ? err : 1;
}

/* select.select(sockets, [], []); -ETIMEDOUT: none of them has had anything to say. */
static int wait_for_any(const struct request *requests, struct pollfd *fds, conc_deadline deadline)
{
    const char *waiting = "";
    for (int i = 0; i < URIS; i++) { /* poll() passes over a descriptor of -1 */
        fds[i] = (struct pollfd){.fd = requests[i].sock, .events = POLLIN};
        if (requests[i].sock >= 0)
            waiting = requests[i].uri;
    }
    for (;;) {
        int64_t left = conc_remaining(deadline);
        if (left == 0)
            return conc_raise(-ETIMEDOUT, URL_SHOWN ": no answer in time", waiting);
        int ready = poll(fds, URIS, (int)((left + CONC_MS(1) - 1) / CONC_MS(1)));
        if (ready > 0)
            return ready;
        if (ready < 0 && errno != EINTR)
            return conc_raise(-errno, "poll: %s", conc_strerror(errno));
    }
}

static int show_responses(struct request *requests, conc_deadline deadline)
{
    struct pollfd fds[URIS];
    for (int i = 0; i < URIS; i++) {
        printf("Making request to %s\n", requests[i].uri);
        int err = get_http(&requests[i]);
        if (err)
            return err;
    }
    for (int left = URIS; left > 0;) {
        int ready = wait_for_any(requests, fds, deadline);
        if (ready < 0)
            return ready;
        printf("%d socket(s) ready\n", ready);
        for (int i = 0; i < URIS; i++) {
            if (fds[i].revents == 0)
                continue;
            printf("Reading from socket\n");
            int done = read_from_socket(&requests[i]);
            if (done < 0)
                return done;
            left -= done;
        }
    }
    return 0;
}

int main(int argc, char **argv)
{
    static const int users[URIS] = {1, 5, 8};
    static struct request requests[URIS];
    const char *server = default_server();
    int64_t timeout = CONC_S(10);
    const struct option_spec options[] = {
        OPTION_ROW_SERVER(&server),
        OPTION_ROW_TIMEOUT(&timeout),
        {.name = NULL},
    };
    parse_options(argc, argv, "Listing 7-1: three URLs at once by poll(2).", options);
    int err = 0;
    for (int i = 0; i < URIS; i++) {
        size_t size = sizeof requests[i].uri;
        requests[i].sock = -1;
        if (snprintf(requests[i].uri, size, "%s/posts?userId=%d", server, users[i]) >= (int)size)
            err = conc_raise(-EINVAL, "too long an address: " URL_SHOWN "...", server);
    }
    if (!err)
        err = show_responses(requests, conc_in(timeout));
    int status = exit_status(err);
    for (int i = 0; i < URIS; i++)
        close_request(&requests[i]);
    return status;
}
