/* SPDX-License-Identifier: MIT
 *
 * test_names_short.c: looking up names while the process has few descriptors left. What stands in a
 * file, what a name server knows and what it does not know are asked for with each number of free
 * descriptors: the answer is the right one or -EMFILE, and never that there is no such name. In
 * namespaces of the program's own, with files and a name server of its own.
 */
#include "ways.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <unistd.h>

#include <conc/loop.h>
#include <conc/net.h>

enum { FREE_MAX = 8, NO_NAMESPACES = 77 };

/* ---- A name server ---- */

enum { QUERY_HEAD = 12, TYPE_A = 1, NO_SUCH_NAME = 3 };

/* The answer to the query of n bytes in `packet`, put there; returns its size. */
static size_t name_server_answer(unsigned char packet[512], size_t n)
{
    static const char known[] = "\5there\7example"; /* and the root's zero */
    static const unsigned char address[] = {0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 192, 0, 2, 7};
    bool is_known = !memcmp(packet + QUERY_HEAD, known, sizeof known);
    bool has_address = is_known && packet[QUERY_HEAD + sizeof known + 1] == TYPE_A;
    packet[2] |= 0x84;
    packet[3] = is_known ? 0x80 : 0x80 | NO_SUCH_NAME;
    packet[7] = has_address;
    packet[11] = 0; /* what a query has added is not answered */
    n = QUERY_HEAD + strlen((char *)packet + QUERY_HEAD) + 1 + 4;
    if (!has_address)
        return n;
    memcpy(packet + n, address, sizeof address);
    return n + sizeof address;
}

static void *name_server_main(void *arg)
{
    unsigned char packet[512];
    int fd = *(int *)arg;
    for (;;) {
        struct sockaddr_storage from;
        socklen_t size = sizeof from;
        ssize_t n = recvfrom(fd, packet, sizeof packet, 0, (struct sockaddr *)&from, &size);
        if (n > QUERY_HEAD)
            sendto(fd, packet, name_server_answer(packet, (size_t)n), 0, (struct sockaddr *)&from,
                   size);
    }
    return NULL;
}

static void start_name_server(void)
{
    static int fd;
    static pthread_t thread;
    const struct sockaddr_in addr = {
        .sin_family = AF_INET, .sin_port = htons(53), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    CHECK_EQUAL(bind(fd, (const struct sockaddr *)&addr, sizeof addr), 0);
    CHECK_EQUAL(pthread_create(&thread, NULL, name_server_main, &fd), 0);
}

/* ---- Files ---- */

/* Have `text` in the place of the file. False: there is no such file here, or it is not allowed. */
static bool replace_file(const char *path, const char *text)
{
    char own[] = "/tmp/test_names_short.XXXXXX";
    int fd = mkstemp(own);
    CHECK(fd >= 0);
    CHECK_EQUAL(write(fd, text, strlen(text)), strlen(text));
    close(fd);
    bool done = mount(own, path, NULL, MS_BIND, NULL) == 0;
    unlink(own);
    return done;
}

static bool enter_namespaces(void)
{
    struct ifreq up = {.ifr_name = "lo", .ifr_flags = IFF_UP};
    if (unshare(CLONE_NEWUSER | CLONE_NEWNET | CLONE_NEWNS) != 0)
        return false;
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    bool is_up = fd >= 0 && ioctl(fd, SIOCSIFFLAGS, &up) == 0;
    close(fd);
    return is_up && mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0 &&
           replace_file("/etc/hosts", "192.0.2.6 file.example\n") &&
           replace_file("/etc/resolv.conf", "nameserver 127.0.0.1\n") &&
           replace_file("/etc/nsswitch.conf", "hosts: files dns\n");
}

/* ---- The matrix ---- */

static const struct {
    const char *host;
    int err;
    const char *address;
} names[] = {
    {"file.example", 0, "192.0.2.6"},
    {"there.example", 0, "192.0.2.7"},
    {"nowhere.example", -ENOENT, NULL},
};

static void check_address(const struct addrinfo *found, const char *address)
{
    char host[64];
    CHECK_EQUAL(
        getnameinfo(found->ai_addr, found->ai_addrlen, host, sizeof host, NULL, 0, NI_NUMERICHOST),
        0);
    CHECK(!strcmp(host, address));
}

static void check_name(size_t i, int n_free)
{
    struct addrinfo *found;
    take_descriptors_but(n_free);
    int err = conc_getaddrinfo(names[i].host, NULL, NULL, &found, CONC_FOREVER);
    give_descriptors();
    CHECK(err == names[i].err || (err == -EMFILE && n_free < FREE_MAX));
    CHECK(err == -EMFILE || n_free > 0);
    if (!err) {
        check_address(found, names[i].address);
        freeaddrinfo(found);
    }
}

static int job_check_names(void *arg, void *result)
{
    /* First with all, last without any: what the C library has read once must not hide it. */
    for (int n_free = FREE_MAX; n_free >= 0; n_free--)
        for (size_t i = 0; i < sizeof names / sizeof *names; i++)
            check_name(i, n_free);
    for (int n_free = 0; n_free <= FREE_MAX; n_free++)
        for (size_t i = 0; i < sizeof names / sizeof *names; i++)
            check_name(i, n_free);
    return 0;
}

static int run_matrix(void *arg)
{
    const char *backend = *(const char **)arg;
    if (!enter_namespaces())
        return NO_NAMESPACES;
    start_name_server();
    if (!backend)
        return job_check_names(NULL, NULL);
    CHECK_EQUAL(setenv("CONC_BACKEND", backend, 1), 0);
    int err = conc_run(job_check_names, NULL, 0, NULL, 0);
    return err && err != -ENOSYS ? 1 : 0;
}

static void check_matrix(const char *backend)
{
    int result = in_child(run_matrix, &backend);
    if (result == NO_NAMESPACES)
        printf("# no namespaces of one's own here: left out\n");
    else
        assert_int_equal(result, 0);
}

static void test_few_descriptors_on_a_thread(void **state) { check_matrix(NULL); }
static void test_few_descriptors_on_io_uring(void **state) { check_matrix("uring"); }
static void test_few_descriptors_on_epoll(void **state) { check_matrix("epoll"); }

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_few_descriptors_on_a_thread),
    cmocka_unit_test(test_few_descriptors_on_io_uring),
    cmocka_unit_test(test_few_descriptors_on_epoll),
};

TEST_MAIN(tests, 60)
