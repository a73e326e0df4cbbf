/* SPDX-License-Identifier: MIT
 *
 * test_net_connect.c: listening, connecting and accepting, and crowds, on threads and on tasks.
 */
#include "ways.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/un.h>
#include <unistd.h>

#include <conc/net.h>
#include <conc/sem.h>

#define PAST conc_in(0)
#define SOON conc_in(CONC_MS(20))

static struct sockaddr_in loopback(int port)
{
    return (struct sockaddr_in){.sin_family = AF_INET,
                                .sin_port = htons((uint16_t)port),
                                .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
}

static int connect_to(int fd, int port, conc_deadline deadline)
{
    struct sockaddr_in addr = loopback(port);
    return conc_connect(fd, (struct sockaddr *)&addr, sizeof addr, deadline);
}

static int tcp_socket(void)
{
    int fd = conc_socket(AF_INET, SOCK_STREAM, 0);
    CHECK(fd >= 0);
    return fd;
}

static int bound(int port)
{
    int fd = tcp_socket();
    struct sockaddr_in addr = loopback(port);
    CHECK_EQUAL(conc_bind(fd, (struct sockaddr *)&addr, sizeof addr), 0);
    return fd;
}

static int listening(int backlog)
{
    int fd = bound(0);
    CHECK_EQUAL(conc_listen(fd, backlog), 0);
    return fd;
}

/* ---- Making sockets ---- */

static void test_sockets_are_closed_on_exec(void)
{
    int fd = tcp_socket();
    CHECK_EQUAL(fcntl(fd, F_GETFD), FD_CLOEXEC);
    CHECK_EQUAL(fcntl(fd, F_GETFL) & O_NONBLOCK, 0);
    CHECK_EQUAL(conc_listen(fd, 0), 0);
    CHECK_EQUAL(fcntl(fd, F_GETFL) & O_NONBLOCK, O_NONBLOCK);
    CHECK_EQUAL(conc_close(fd), 0);
}

static void test_what_the_system_refuses_is_told(void)
{
    struct sockaddr_in addr;
    int fd = listening(1), other = tcp_socket();
    CHECK_EQUAL(conc_socket(12345, SOCK_STREAM, 0), -EAFNOSUPPORT);
    CHECK_EQUAL(conc_listen(fd, -1), -EINVAL);
    CHECK_EQUAL(conc_listen(-1, 0), -EBADF);
    CHECK_EQUAL(conc_bind(fd, NULL, 0), -EINVAL);
    CHECK_EQUAL(conc_connect(fd, NULL, 0, CONC_FOREVER), -EINVAL);
    CHECK_EQUAL(conc_accept(fd, (struct sockaddr *)&addr, NULL, CONC_FOREVER), -EINVAL);
    CHECK_EQUAL(conc_accept(-1, NULL, NULL, CONC_FOREVER), -EBADF);
    CHECK_EQUAL(conc_accept(other, NULL, NULL, CONC_FOREVER), -EINVAL); /* does not listen */
    addr = loopback(conc_tcp_port(fd));
    CHECK_EQUAL(conc_bind(other, (struct sockaddr *)&addr, sizeof addr), -EADDRINUSE);
    CHECK_EQUAL(conc_close(fd), 0);
    CHECK_EQUAL(conc_close(other), 0);
}

/* ---- Connecting ---- */

static void test_connect_and_accept_find_each_other(void)
{
    int listener = listening(0), client = tcp_socket();
    CHECK_EQUAL(connect_to(client, conc_tcp_port(listener), CONC_FOREVER), 0);
    struct sockaddr_in addr;
    socklen_t size = sizeof addr;
    int server = conc_accept(listener, (struct sockaddr *)&addr, &size, CONC_FOREVER);
    CHECK(server >= 0);
    CHECK_EQUAL(size, sizeof addr);
    CHECK_EQUAL(ntohs(addr.sin_port), conc_tcp_port(client));
    CHECK_EQUAL(fcntl(server, F_GETFD), FD_CLOEXEC);
    CHECK_EQUAL(fcntl(server, F_GETFL) & O_NONBLOCK, 0);
    CHECK_EQUAL(conc_close(server), 0);
    CHECK_EQUAL(conc_close(client), 0);
    CHECK_EQUAL(conc_close(listener), 0);
}

static void test_a_connection_that_is_refused_is_an_error(void)
{
    int holder = bound(0); /* so that no other socket gets the port; it does not listen */
    int fd = tcp_socket();
    CHECK_EQUAL(connect_to(fd, conc_tcp_port(holder), CONC_FOREVER), -ECONNREFUSED);
    CHECK_EQUAL(conc_close(fd), 0);
    CHECK_EQUAL(conc_close(holder), 0);
}

static int job_connect(void *arg, void *result)
{
    int fd = tcp_socket();
    int err = connect_to(fd, *(int *)arg, CONC_FOREVER);
    CHECK_EQUAL(conc_close(fd), 0);
    return err;
}

/* A listener whose backlog is full does not answer at all: connections to it take their time. */
static void test_a_connection_that_takes_long_has_a_deadline(void)
{
    enum { FILLERS = 4 };
    int listener = listening(1), fillers[FILLERS];
    int port = conc_tcp_port(listener);
    for (int i = 0; i < FILLERS; i++) {
        fillers[i] = tcp_socket();
        int err = connect_to(fillers[i], port, SOON);
        CHECK(err == 0 || err == -ETIMEDOUT);
    }
    int fd = tcp_socket();
    CHECK_EQUAL(connect_to(fd, port, SOON), -ETIMEDOUT);
    CHECK_EQUAL(conc_close(fd), 0);
    fd = tcp_socket();
    CHECK_EQUAL(connect_to(fd, port, CONC_NOW), -EAGAIN);
    CHECK_EQUAL(conc_close(fd), 0);
    fd = tcp_socket();
    CHECK_EQUAL(connect_to(fd, port, PAST), -ETIMEDOUT);
    CHECK_EQUAL(conc_close(fd), 0);
    conc_future *f = start(job_connect, &port, sizeof port);
    UNTIL(blocked_on("connect") == 1);
    conc_future_cancel(f);
    CHECK_EQUAL(end_of(f), -ECANCELED);
    for (int i = 0; i < FILLERS; i++)
        CHECK_EQUAL(conc_close(fillers[i]), 0);
    CHECK_EQUAL(conc_close(listener), 0);
}

/* ---- Accepting ---- */

static int job_accept(void *arg, void *result)
{
    int fd = conc_accept(*(int *)arg, NULL, NULL, CONC_FOREVER);
    return fd < 0 ? fd : conc_close(fd);
}

static void test_accept_waits_until_somebody_comes(void)
{
    int listener = listening(0), port = conc_tcp_port(listener);
    struct sockaddr_in addr;
    memset(&addr, 0x55, sizeof addr);
    socklen_t size = sizeof addr;
    CHECK_EQUAL(conc_accept(listener, (struct sockaddr *)&addr, &size, CONC_NOW), -EAGAIN);
    CHECK_EQUAL(conc_accept(listener, (struct sockaddr *)&addr, &size, PAST), -ETIMEDOUT);
    CHECK_EQUAL(conc_accept(listener, (struct sockaddr *)&addr, &size, SOON), -ETIMEDOUT);
    CHECK_EQUAL(size, sizeof addr);
    CHECK_EQUAL(addr.sin_port, 0x5555);
    conc_future *f = start(job_accept, &listener, sizeof listener);
    UNTIL(blocked_on("accept") == 1);
    CHECK_EQUAL(job_connect(&port, NULL), 0);
    CHECK_EQUAL(end_of(f), 0);
    CHECK_EQUAL(conc_close(listener), 0);
}

static void test_a_cancelled_accept_takes_no_connection(void)
{
    int listener = listening(0), port = conc_tcp_port(listener);
    for (int i = 0; i < 20; i++) {
        conc_future *f = start(job_accept, &listener, sizeof listener);
        if (i % 2)
            UNTIL(blocked_on("accept") == 1);
        conc_future_cancel(f);
        CHECK_EQUAL(end_of(f), -ECANCELED);
        CHECK_EQUAL(job_connect(&port, NULL), 0);
        CHECK_EQUAL(job_accept(&listener, NULL), 0);
    }
    CHECK_EQUAL(conc_close(listener), 0);
}

static void test_shutting_a_listener_down_ends_its_accepts(void)
{
    int listener = listening(0);
    conc_future *f = start(job_accept, &listener, sizeof listener);
    UNTIL(blocked_on("accept") == 1);
    CHECK_EQUAL(conc_shutdown(listener, SHUT_RDWR), 0);
    CHECK_EQUAL(end_of(f), -EINVAL);
    CHECK_EQUAL(conc_close(listener), 0);
}

static void test_closing_a_listener_ends_its_accepts(void)
{
    int listener = listening(0);
    conc_future *f = start(job_accept, &listener, sizeof listener);
    UNTIL(blocked_on("accept") == 1);
    CHECK_EQUAL(conc_close(listener), 0);
    CHECK_EQUAL(end_of(f), -EBADF);
}

/* A listener of somebody else's that is in blocking mode must not block the loop. */
static void test_a_blocking_listener_waits_too(void)
{
    int listener = listening(0), port = conc_tcp_port(listener);
    CHECK_EQUAL(fcntl(listener, F_SETFL, 0), 0);
    CHECK_EQUAL(conc_accept(listener, NULL, NULL, CONC_NOW), -EAGAIN);
    CHECK_EQUAL(conc_accept(listener, NULL, NULL, SOON), -ETIMEDOUT);
    conc_future *f = start(job_accept, &listener, sizeof listener);
    UNTIL(blocked_on("accept") == 1);
    CHECK_EQUAL(job_connect(&port, NULL), 0);
    CHECK_EQUAL(end_of(f), 0);
    CHECK_EQUAL(conc_close(listener), 0);
}

static void test_many_accepts_share_what_comes(void)
{
    enum { N = 20 };
    int listener = listening(0), port = conc_tcp_port(listener);
    conc_future *f[N];
    for (int i = 0; i < N; i++)
        f[i] = start(job_accept, &listener, sizeof listener);
    UNTIL(blocked_on("accept") == N);
    for (int i = 0; i < N; i++)
        CHECK_EQUAL(job_connect(&port, NULL), 0);
    for (int i = 0; i < N; i++)
        CHECK_EQUAL(end_of(f[i]), 0);
    CHECK_EQUAL(conc_close(listener), 0);
}

/* The connection stays where it is, for when there are descriptors again. (Not under valgrind,
 * which has a limit of its own: it lets the system accept, and closes what came.) */
static void test_accepting_without_descriptors_is_an_error(void)
{
    if (on_valgrind())
        return;
    int listener = listening(0), clients[2];
    char buf[8];
    for (int i = 0; i < 2; i++) {
        clients[i] = tcp_socket();
        CHECK_EQUAL(connect_to(clients[i], conc_tcp_port(listener), CONC_FOREVER), 0);
    }
    int server = conc_accept(listener, NULL, NULL, CONC_FOREVER);
    CHECK(server >= 0);
    limit_descriptors(server + 1);
    CHECK_EQUAL(conc_accept(listener, NULL, NULL, CONC_FOREVER), -EMFILE);
    CHECK_EQUAL(conc_accept(listener, NULL, NULL, CONC_NOW), -EMFILE);
    CHECK_EQUAL(conc_socket(AF_INET, SOCK_STREAM, 0), -EMFILE);
    CHECK_EQUAL(conc_close(server), 0);
    server = conc_accept(listener, NULL, NULL, CONC_FOREVER);
    CHECK(server >= 0);
    limit_descriptors(0);
    CHECK_EQUAL(conc_send(clients[1], "x", 1, 0, CONC_FOREVER), 1);
    CHECK_EQUAL(conc_recv(server, buf, sizeof buf, 0, CONC_FOREVER), 1);
    close_both(clients);
    CHECK_EQUAL(conc_close(server), 0);
    CHECK_EQUAL(conc_close(listener), 0);
}

/* ---- Unix sockets ---- */

static struct sockaddr_un abstract(void)
{
    static int n;
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    snprintf(addr.sun_path + 1, sizeof addr.sun_path - 1, "test_net_connect-%d-%d", (int)getpid(),
             n++);
    return addr;
}

static int job_connect_unix(void *arg, void *result)
{
    int fd = conc_socket(AF_UNIX, SOCK_STREAM, 0);
    CHECK(fd >= 0);
    int err = conc_connect(fd, arg, sizeof(struct sockaddr_un), CONC_FOREVER);
    if (!err)
        CHECK_EQUAL(conc_sendall(fd, "abc", 3, 0, CONC_FOREVER), 0);
    CHECK_EQUAL(conc_close(fd), 0);
    return err;
}

static int job_serve_unix(void *arg, void *result)
{
    char buf[8];
    int fd = conc_accept(*(int *)arg, NULL, NULL, CONC_FOREVER);
    CHECK(fd >= 0);
    CHECK_EQUAL(conc_recv(fd, buf, sizeof buf, 0, CONC_FOREVER), 3);
    CHECK_EQUAL(conc_close(fd), 0);
    return 0;
}

/* With a full backlog there is nothing to wait for: a connect sleeps a little, and tries again. */
static size_t trying(void) { return blocked_on("connect") + blocked_on("sleep"); }

static void test_a_full_unix_backlog_is_waited_for(void)
{
    enum { N = 10 };
    struct sockaddr_un addr = abstract();
    int listener = conc_socket(AF_UNIX, SOCK_STREAM, 0);
    CHECK_EQUAL(conc_bind(listener, (struct sockaddr *)&addr, sizeof addr), 0);
    CHECK_EQUAL(conc_listen(listener, 1), 0);
    conc_future *f[N], *late;
    for (int i = 0; i < N; i++)
        f[i] = start(job_connect_unix, &addr, sizeof addr);
    UNTIL(trying() == N - 2); /* one more than the backlog is let in */
    int fd = conc_socket(AF_UNIX, SOCK_STREAM, 0);
    CHECK_EQUAL(conc_connect(fd, (struct sockaddr *)&addr, sizeof addr, CONC_NOW), -EAGAIN);
    CHECK_EQUAL(conc_connect(fd, (struct sockaddr *)&addr, sizeof addr, SOON), -ETIMEDOUT);
    CHECK_EQUAL(conc_close(fd), 0);
    late = start(job_connect_unix, &addr, sizeof addr);
    UNTIL(trying() == N - 1);
    conc_future_cancel(late);
    CHECK_EQUAL(end_of(late), -ECANCELED);
    for (int i = 0; i < N; i++)
        CHECK_EQUAL(job_serve_unix(&listener, NULL), 0);
    for (int i = 0; i < N; i++)
        CHECK_EQUAL(end_of(f[i]), 0);
    CHECK_EQUAL(conc_accept(listener, NULL, NULL, CONC_NOW), -EAGAIN);
    CHECK_EQUAL(conc_close(listener), 0);
    CHECK_EQUAL(job_connect_unix(&addr, NULL), -ECONNREFUSED);
}

/* The kernel attempts such a connect many times over. A cancel may come between any two of them. */
static void test_a_connect_to_a_full_unix_backlog_is_cancelled_at_any_moment(void)
{
    enum { N = 400, YIELDS = 8, MICROSECONDS = 200 };
    struct sockaddr_un addr = abstract();
    int listener = conc_socket(AF_UNIX, SOCK_STREAM, 0), in[2];
    CHECK_EQUAL(conc_bind(listener, (struct sockaddr *)&addr, sizeof addr), 0);
    CHECK_EQUAL(conc_listen(listener, 1), 0);
    for (int i = 0; i < 2; i++) {
        in[i] = conc_socket(AF_UNIX, SOCK_STREAM, 0);
        CHECK_EQUAL(conc_connect(in[i], (struct sockaddr *)&addr, sizeof addr, CONC_FOREVER), 0);
    }
    for (int i = 0; i < N; i++) {
        conc_future *f = start(job_connect_unix, &addr, sizeof addr);
        for (int n = i % YIELDS; n > 0; n--)
            conc_yield();
        if (i % 2)
            CHECK_EQUAL(conc_sleep(CONC_US(i * 7 % MICROSECONDS)), 0);
        conc_future_cancel(f);
        CHECK_EQUAL(end_of(f), -ECANCELED);
    }
    close_both(in);
    CHECK_EQUAL(conc_close(listener), 0);
}

/* ---- A crowd ---- */

/* So many connections, each of two descriptors, as there may be. */
static size_t crowd(void)
{
    struct rlimit limit;
    CHECK_EQUAL(getrlimit(RLIMIT_NOFILE, &limit), 0);
    size_t most = (limit.rlim_cur - 100) / 2, n = crowd_of(10000);
    return n < most ? n : most;
}

struct hall {
    int listener;
    size_t n;
    conc_sem knocking; /* so many may connect at once: more than that the system drops */
    size_t inside;     /* connections that are there; the loop's thread only */
    conc_event all_in;
};

static int job_guest(void *arg, void *result)
{
    struct hall *hall = *(struct hall **)arg;
    char c = 'x';
    int fd = tcp_socket();
    CHECK_EQUAL(conc_sem_acquire(&hall->knocking, CONC_FOREVER), 0);
    CHECK_EQUAL(connect_to(fd, conc_tcp_port(hall->listener), CONC_FOREVER), 0);
    CHECK_EQUAL(conc_sem_release(&hall->knocking, 1), 0);
    CHECK_EQUAL(conc_recv(fd, &c, 1, 0, CONC_FOREVER), 1); /* once all are there */
    CHECK_EQUAL(c, '!');
    CHECK_EQUAL(conc_send(fd, "?", 1, 0, CONC_FOREVER), 1);
    CHECK_EQUAL(conc_recv(fd, &c, 1, 0, CONC_FOREVER), 0);
    CHECK_EQUAL(conc_close(fd), 0);
    return 0;
}

struct host {
    struct hall *hall;
    int fd;
};

static int job_host(void *arg, void *result)
{
    struct host *host = arg;
    struct hall *hall = host->hall;
    char c;
    if (++hall->inside == hall->n)
        conc_event_set(&hall->all_in);
    CHECK_EQUAL(conc_event_wait(&hall->all_in, CONC_FOREVER), 0);
    CHECK_EQUAL(conc_send(host->fd, "!", 1, 0, CONC_FOREVER), 1);
    CHECK_EQUAL(conc_recv(host->fd, &c, 1, 0, CONC_FOREVER), 1);
    CHECK_EQUAL(conc_close(host->fd), 0);
    return 0;
}

static void test_ten_thousand_connections_at_once(void)
{
    struct hall hall = {.listener = listening(0), .n = crowd(), .knocking = CONC_SEM_INIT(500)};
    struct hall *shared = &hall;
    conc_future **f = calloc(2 * hall.n, sizeof *f);
    for (size_t i = 0; i < hall.n; i++)
        f[i] = start(job_guest, &shared, sizeof shared);
    for (size_t i = 0; i < hall.n; i++) {
        struct host host = {&hall, conc_accept(hall.listener, NULL, NULL, CONC_FOREVER)};
        CHECK(host.fd >= 0);
        f[hall.n + i] = start(job_host, &host, sizeof host);
    }
    for (size_t i = 0; i < 2 * hall.n; i++)
        CHECK_EQUAL(end_of(f[i]), 0);
    free(f);
    CHECK_EQUAL(conc_close(hall.listener), 0);
}

static const struct CMUnitTest tests[] = {
    ON_EVERY_WAY(test_sockets_are_closed_on_exec),
    ON_EVERY_WAY(test_what_the_system_refuses_is_told),
    ON_EVERY_WAY(test_connect_and_accept_find_each_other),
    ON_EVERY_WAY(test_a_connection_that_is_refused_is_an_error),
    ON_EVERY_WAY(test_a_connection_that_takes_long_has_a_deadline),
    ON_EVERY_WAY(test_accept_waits_until_somebody_comes),
    ON_EVERY_WAY(test_a_cancelled_accept_takes_no_connection),
    ON_EVERY_WAY(test_shutting_a_listener_down_ends_its_accepts),
    ON_EVERY_LOOP(test_closing_a_listener_ends_its_accepts),
    ON_EVERY_WAY(test_a_blocking_listener_waits_too),
    ON_EVERY_WAY(test_many_accepts_share_what_comes),
    ON_EVERY_WAY(test_accepting_without_descriptors_is_an_error),
    ON_EVERY_WAY(test_a_full_unix_backlog_is_waited_for),
    ON_EVERY_WAY(test_a_connect_to_a_full_unix_backlog_is_cancelled_at_any_moment),
    ON_EVERY_LOOP(test_ten_thousand_connections_at_once),
};

TEST_MAIN(tests, 60)
