/* SPDX-License-Identifier: MIT
 *
 * test_tcp.c: conc_tcp_connect(), conc_tcp_listen() and their Unix twins, on threads and on tasks.
 * The program has a getaddrinfo() of its own (the linker's --wrap), so that a name can have any
 * addresses, and a socket(), so that a client can have any port.
 */
#include "ways.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <conc/net.h>

#define SOON conc_in(CONC_MS(20))

/* ---- The program's own getaddrinfo() ---- */

typedef int lookup_fn(const char *host, const char *service, const struct addrinfo *hints,
                      struct addrinfo **ret);

/* The addresses of the name "many.test", and how often a name was asked for. */
static const char *const *many;
static int asked;

lookup_fn __wrap_getaddrinfo, __real_getaddrinfo;

int __wrap_getaddrinfo(const char *host, const char *service, const struct addrinfo *hints,
                       struct addrinfo **ret)
{
    if (!host || strcmp(host, "many.test") || (hints && (hints->ai_flags & AI_NUMERICHOST)))
        return __real_getaddrinfo(host, service, hints, ret);
    __atomic_add_fetch(&asked, 1, __ATOMIC_ACQ_REL);
    struct addrinfo **end = ret;
    for (const char *const *a = many; *a; a++) {
        if (__real_getaddrinfo(*a, service, hints, end) != 0)
            return EAI_FAIL;
        end = &(*end)->ai_next;
    }
    return 0;
}

/* The port of this machine that all sockets get; 0: none. */
static uint16_t own_port;

int __wrap_socket(int domain, int type, int protocol);
int __real_socket(int domain, int type, int protocol);

int __wrap_socket(int domain, int type, int protocol)
{
    const struct sockaddr_in addr = {.sin_family = AF_INET,
                                     .sin_port = htons(own_port),
                                     .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = __real_socket(domain, type, protocol);
    if (own_port)
        CHECK_EQUAL(bind(fd, (const struct sockaddr *)&addr, sizeof addr), 0);
    return fd;
}

/* ---- Connecting ---- */

static int get_option(int fd, int level, int option)
{
    int value = -1;
    socklen_t size = sizeof value;
    CHECK_EQUAL(getsockopt(fd, level, option, &value, &size), 0);
    return value;
}

static uint16_t port_of(int fd)
{
    int port = conc_tcp_port(fd);
    CHECK(port > 0);
    return (uint16_t)port;
}

/* Connect, say something, hear it. */
static void check_connects(const char *host, int listener)
{
    char buf[8];
    int client = conc_tcp_connect(host, port_of(listener), conc_in(CONC_S(30)));
    CHECK(client >= 0);
    int server = conc_accept(listener, NULL, NULL, CONC_FOREVER);
    CHECK(server >= 0);
    CHECK_EQUAL(conc_sendall(client, "abc", 3, 0, CONC_FOREVER), 0);
    CHECK_EQUAL(conc_recv(server, buf, sizeof buf, 0, CONC_FOREVER), 3);
    CHECK_EQUAL(get_option(client, IPPROTO_TCP, TCP_NODELAY), 1);
    CHECK_EQUAL(get_option(server, IPPROTO_TCP, TCP_NODELAY), 1);
    CHECK_EQUAL(fcntl(client, F_GETFD), FD_CLOEXEC);
    CHECK_EQUAL(fcntl(client, F_GETFL) & O_NONBLOCK, 0);
    CHECK_EQUAL(conc_close(client), 0);
    CHECK_EQUAL(conc_close(server), 0);
}

static bool have_ipv6(void)
{
    int fd = conc_tcp_listen("::1", 0, 0);
    return fd >= 0 && conc_close(fd) == 0;
}

static void test_by_address_and_by_name(void)
{
    int listener = conc_tcp_listen("127.0.0.1", 0, 0);
    CHECK(listener >= 0);
    check_connects("127.0.0.1", listener);
    check_connects("localhost", listener);
    CHECK_EQUAL(conc_close(listener), 0);
    listener = conc_tcp_listen("localhost", 0, 5);
    CHECK(listener >= 0);
    check_connects("localhost", listener);
    CHECK_EQUAL(conc_close(listener), 0);
}

static void test_without_a_host_all_addresses_are_listened_on(void)
{
    int listener = conc_tcp_listen(NULL, 0, 0);
    CHECK(listener >= 0);
    check_connects("127.0.0.1", listener);
    if (have_ipv6())
        check_connects("::1", listener);
    CHECK_EQUAL(conc_close(listener), 0);
}

static void test_a_port_can_be_used_again_at_once(void)
{
    int listener = conc_tcp_listen("127.0.0.1", 0, 0);
    uint16_t port = port_of(listener);
    check_connects("127.0.0.1", listener); /* leaves connections in TIME_WAIT */
    CHECK_EQUAL(conc_close(listener), 0);
    listener = conc_tcp_listen("127.0.0.1", port, 0);
    CHECK_EQUAL(conc_tcp_port(listener), port);
    CHECK_EQUAL(conc_tcp_listen("127.0.0.1", port, 0), -EADDRINUSE);
    CHECK(strstr(conc_error_message(), "127.0.0.1 port "));
    CHECK_EQUAL(conc_tcp_listen(NULL, port, 0), -EADDRINUSE);
    CHECK_EQUAL(conc_close(listener), 0);
}

/* A port on which nobody listens: bound, but no more. */
static int unused(uint16_t *port)
{
    const struct sockaddr_in addr = {.sin_family = AF_INET,
                                     .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = conc_socket(AF_INET, SOCK_STREAM, 0);
    CHECK_EQUAL(conc_bind(fd, (const struct sockaddr *)&addr, sizeof addr), 0);
    *port = port_of(fd);
    return fd;
}

static void test_a_refusal_names_host_and_port(void)
{
    uint16_t port;
    char expected[64];
    int holder = unused(&port);
    CHECK_EQUAL(conc_tcp_connect("127.0.0.1", port, CONC_FOREVER), -ECONNREFUSED);
    snprintf(expected, sizeof expected, "cannot connect to 127.0.0.1 port %d: ", port);
    CHECK(!strncmp(conc_error_message(), expected, strlen(expected)));
    CHECK_EQUAL(conc_close(holder), 0);
}

/* Nobody listens on the port, but the system could give it to the client, by chance. */
static void test_a_client_never_connects_to_itself(void)
{
    uint16_t port;
    int holder = unused(&port);
    CHECK_EQUAL(conc_close(holder), 0);
    own_port = port;
    CHECK_EQUAL(conc_tcp_connect("127.0.0.1", port, CONC_FOREVER), -ECONNREFUSED);
    own_port = 0;
}

static void test_misuse_is_an_error(void)
{
    CHECK_EQUAL(conc_tcp_connect(NULL, 80, CONC_FOREVER), -EINVAL);
    CHECK_EQUAL(conc_tcp_connect("", 80, CONC_FOREVER), -ENOENT);
    CHECK_EQUAL(conc_tcp_listen("127.0.0.1", 0, -1), -EINVAL);
    CHECK_EQUAL(conc_tcp_listen("192.0.2.1", 0, 0), -EADDRNOTAVAIL);
    CHECK_EQUAL(conc_tcp_port(-1), -EBADF);
    int fds[2];
    make_sockets(SOCK_STREAM, fds);
    CHECK_EQUAL(conc_tcp_port(fds[0]), -EINVAL);
    close_both(fds);
    make_pipe(fds);
    CHECK_EQUAL(conc_tcp_port(fds[0]), -ENOTSOCK);
    close_both(fds);
}

/* ---- Several addresses ---- */

/* How the one that got the connection calls itself. */
static void check_connected_to(int fd, const char *address)
{
    struct sockaddr_storage addr;
    socklen_t size = sizeof addr;
    char name[64];
    CHECK_EQUAL(getpeername(fd, (struct sockaddr *)&addr, &size), 0);
    CHECK_EQUAL(
        getnameinfo((struct sockaddr *)&addr, size, name, sizeof name, NULL, 0, NI_NUMERICHOST), 0);
    CHECK(!strcmp(name, address));
    CHECK_EQUAL(conc_close(fd), 0);
}

static void test_addresses_are_tried_in_turn(void)
{
    int before = __atomic_load_n(&asked, __ATOMIC_ACQUIRE);
    int listener = conc_tcp_listen("127.0.0.3", 0, 0);
    many = (const char *const[]){"127.0.0.1", "127.0.0.2", "127.0.0.3", "127.0.0.4", NULL};
    check_connected_to(conc_tcp_connect("many.test", port_of(listener), CONC_FOREVER), "127.0.0.3");
    check_connected_to(conc_tcp_connect("many.test", port_of(listener), conc_in(CONC_S(30))),
                       "127.0.0.3");
    CHECK_EQUAL(__atomic_load_n(&asked, __ATOMIC_ACQUIRE) - before, 2);
    CHECK_EQUAL(conc_close(listener), 0);
}

static void test_families_take_turns(void)
{
    if (!have_ipv6())
        return;
    int listener = conc_tcp_listen(NULL, 0, 0);
    uint16_t port = port_of(listener);
    /* No route, no answer, or an address that no interface has: ::2 fails at once. */
    many = (const char *const[]){"::2", "::1", "127.0.0.1", NULL};
    check_connected_to(conc_tcp_connect("many.test", port, conc_in(CONC_S(30))), "127.0.0.1");
    many = (const char *const[]){"::1", "127.0.0.1", NULL};
    check_connected_to(conc_tcp_connect("many.test", port, conc_in(CONC_S(30))), "::1");
    many = (const char *const[]){"127.0.0.1", "::1", NULL};
    check_connected_to(conc_tcp_connect("many.test", port, conc_in(CONC_S(30))), "127.0.0.1");
    many = (const char *const[]){"::2", "::2", "::2", "::1", NULL};
    check_connected_to(conc_tcp_connect("many.test", port, conc_in(CONC_S(30))), "::1");
    CHECK_EQUAL(conc_close(listener), 0);
}

static void test_if_all_refuse_the_last_error_counts(void)
{
    uint16_t port;
    int holder = unused(&port);
    many = (const char *const[]){"127.0.0.1", "127.0.0.2", NULL};
    CHECK_EQUAL(conc_tcp_connect("many.test", port, CONC_FOREVER), -ECONNREFUSED);
    CHECK(strstr(conc_error_message(), "many.test"));
    CHECK_EQUAL(conc_close(holder), 0);
}

/* A listener whose backlog is full: connections to it are not answered. */
struct silent {
    int listener;
    int fillers[4];
};

static struct silent make_silent(const char *host)
{
    struct silent s = {.listener = conc_tcp_listen(host, 0, 1)};
    for (int i = 0; i < 4; i++)
        s.fillers[i] = conc_tcp_connect(host, port_of(s.listener), SOON);
    return s;
}

static void end_silent(struct silent s)
{
    for (int i = 0; i < 4; i++)
        if (s.fillers[i] >= 0)
            CHECK_EQUAL(conc_close(s.fillers[i]), 0);
    CHECK_EQUAL(conc_close(s.listener), 0);
}

static void test_one_that_does_not_answer_leaves_time_for_the_next(void)
{
    struct silent s = make_silent("127.0.0.1");
    int other = conc_tcp_listen("127.0.0.2", port_of(s.listener), 0);
    CHECK(other >= 0);
    many = (const char *const[]){"127.0.0.1", "127.0.0.2", NULL};
    int64_t begin = real_now();
    check_connected_to(conc_tcp_connect("many.test", port_of(s.listener), conc_in(CONC_MS(400))),
                       "127.0.0.2");
    CHECK(real_now() - begin >= CONC_MS(200) - CONC_MS(20)); /* less what the lookup took */
    CHECK_EQUAL(conc_close(other), 0);
    end_silent(s);
}

struct target {
    const char *host;
    uint16_t port;
};

static int job_tcp_connect(void *arg, void *result)
{
    struct target *t = arg;
    int fd = conc_tcp_connect(t->host, t->port, CONC_FOREVER);
    CHECK(fd < 0);
    return fd;
}

static void test_the_deadline_and_cancelling_end_it(void)
{
    struct silent s = make_silent("127.0.0.1");
    uint16_t port = port_of(s.listener);
    many = (const char *const[]){"127.0.0.1", "127.0.0.1", "127.0.0.1", NULL};
    CHECK_EQUAL(conc_tcp_connect("127.0.0.1", port, CONC_NOW), -EAGAIN);
    CHECK_EQUAL(conc_tcp_connect("many.test", port, CONC_NOW), -EAGAIN);
    CHECK_EQUAL(conc_tcp_connect("127.0.0.1", port, conc_in(0)), -ETIMEDOUT);
    int64_t begin = real_now();
    CHECK_EQUAL(conc_tcp_connect("many.test", port, conc_in(CONC_MS(60))), -ETIMEDOUT);
    CHECK(real_now() - begin >= CONC_MS(60));
    struct target t = {"many.test", port};
    conc_future *f = start(job_tcp_connect, &t, sizeof t);
    UNTIL(blocked_on("connect") == 1);
    conc_future_cancel(f);
    CHECK_EQUAL(end_of(f), -ECANCELED);
    end_silent(s);
}

/* ---- Unix sockets ---- */

static void check_unix(const char *path)
{
    char buf[8];
    int listener = conc_unix_listen(path, 0);
    CHECK(listener >= 0);
    int client = conc_unix_connect(path, CONC_FOREVER);
    CHECK(client >= 0);
    int server = conc_accept(listener, NULL, NULL, CONC_FOREVER);
    CHECK_EQUAL(conc_sendall(server, "abc", 3, 0, CONC_FOREVER), 0);
    CHECK_EQUAL(conc_recv(client, buf, sizeof buf, 0, CONC_FOREVER), 3);
    CHECK_EQUAL(fcntl(client, F_GETFD), FD_CLOEXEC);
    CHECK_EQUAL(fcntl(listener, F_GETFD), FD_CLOEXEC);
    CHECK_EQUAL(conc_unix_listen(path, 0), -EADDRINUSE);
    CHECK(strstr(conc_error_message(), path));
    CHECK_EQUAL(conc_close(client), 0);
    CHECK_EQUAL(conc_close(server), 0);
    CHECK_EQUAL(conc_close(listener), 0);
}

static void test_unix_sockets_by_path_and_by_abstract_name(void)
{
    char folder[] = "/tmp/test_tcp.XXXXXX", path[64];
    CHECK(mkdtemp(folder) != NULL);
    snprintf(path, sizeof path, "%s/socket", folder);
    CHECK_EQUAL(conc_unix_connect(path, CONC_FOREVER), -ENOENT);
    CHECK(strstr(conc_error_message(), path));
    check_unix(path);
    CHECK_EQUAL(conc_unix_connect(path, CONC_FOREVER), -ECONNREFUSED);
    CHECK_EQUAL(unlink(path), 0);
    CHECK_EQUAL(conc_unix_listen(path, -1), -EINVAL);
    CHECK_EQUAL(rmdir(folder), 0); /* empty: it has left no file */

    snprintf(path, sizeof path, "@test_tcp-%d", (int)getpid());
    check_unix(path);
    CHECK_EQUAL(conc_unix_connect(path, CONC_FOREVER), -ECONNREFUSED);
    check_unix(path); /* gone by itself */
}

static void test_unix_names_have_a_length(void)
{
    char path[120];
    memset(path, 'x', sizeof path);
    path[0] = '@';
    path[108] = '\0';
    CHECK_EQUAL(conc_unix_listen(path, 0), -ENAMETOOLONG);
    CHECK_EQUAL(conc_unix_connect(path, CONC_FOREVER), -ENAMETOOLONG);
    path[107] = '\0';
    check_unix(path);
    CHECK_EQUAL(conc_unix_listen(NULL, 0), -EINVAL);
    CHECK_EQUAL(conc_unix_listen("", 0), -EINVAL);
    CHECK_EQUAL(conc_unix_listen("@", 0), -EINVAL);
    CHECK_EQUAL(conc_unix_connect(NULL, CONC_FOREVER), -EINVAL);
}

static const struct CMUnitTest tests[] = {
    ON_EVERY_WAY(test_by_address_and_by_name),
    ON_EVERY_WAY(test_without_a_host_all_addresses_are_listened_on),
    ON_EVERY_WAY(test_a_port_can_be_used_again_at_once),
    ON_EVERY_WAY(test_a_refusal_names_host_and_port),
    ON_EVERY_WAY(test_a_client_never_connects_to_itself),
    ON_EVERY_WAY(test_misuse_is_an_error),
    ON_EVERY_WAY(test_addresses_are_tried_in_turn),
    ON_EVERY_WAY(test_families_take_turns),
    ON_EVERY_WAY(test_if_all_refuse_the_last_error_counts),
    ON_EVERY_WAY(test_one_that_does_not_answer_leaves_time_for_the_next),
    ON_EVERY_WAY(test_the_deadline_and_cancelling_end_it),
    ON_EVERY_WAY(test_unix_sockets_by_path_and_by_abstract_name),
    ON_EVERY_WAY(test_unix_names_have_a_length),
};

TEST_MAIN(tests, 60)
