/* SPDX-License-Identifier: MIT
 *
 * test_tcp_race.c: connecting to several addresses at once, on threads and on tasks. The program
 * has a connect() of its own (the linker's --wrap), which notes what is tried, and fails at once
 * for the addresses 192.0.2.N: with the error N.
 */
#include "ways.h"

#include <fcntl.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <conc/loop.h>
#include <conc/net.h>

#include "io/tcp_race.h"

#define PAST conc_in(0)
#define SOON conc_in(CONC_MS(20))

enum { ADDRESSES_MAX = 32, FILLERS = 4 };

/* ---- The program's own connect() ---- */

/* The addresses in the order in which they were first tried. */
static struct {
    union {
        struct sockaddr any;
        struct sockaddr_in in;
        struct sockaddr_in6 in6;
    } address;
    int64_t when;
} tried[ADDRESSES_MAX];
static size_t n_tried;

static void note_try(const struct sockaddr *addr, socklen_t size)
{
    size_t n = load_relaxed(&n_tried);
    for (size_t i = 0; i < n; i++)
        if (!memcmp(&tried[i].address, addr, size))
            return;
    if (n == ADDRESSES_MAX)
        return;
    memcpy(&tried[n].address, addr, size);
    tried[n].when = real_now();
    store_release(&n_tried, n + 1);
}

int __wrap_connect(int fd, const struct sockaddr *addr, socklen_t size);
int __real_connect(int fd, const struct sockaddr *addr, socklen_t size);

int __wrap_connect(int fd, const struct sockaddr *addr, socklen_t size)
{
    uint32_t host = ntohl(((const struct sockaddr_in *)addr)->sin_addr.s_addr);
    note_try(addr, size);
    if (addr->sa_family == AF_INET && host >> 8 == 0xc00002) {
        errno = (int)(host & 0xff);
        return -1;
    }
    return __real_connect(fd, addr, size);
}

static size_t times_tried(void) { return load_acquire(&n_tried); }

static void forget_tries(void)
{
    memset(tried, 0, sizeof tried);
    store_relaxed(&n_tried, 0);
}

/* ---- Addresses ---- */

struct addresses {
    struct addrinfo info[ADDRESSES_MAX];
    struct sockaddr_storage address[ADDRESSES_MAX];
};

/* The list of these hosts (NULL: the end), with that port, in `a`. */
static const struct addrinfo *list_of(struct addresses *a, uint16_t port, const char *const *hosts)
{
    char service[8];
    const struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICHOST};
    struct addrinfo *found;
    snprintf(service, sizeof service, "%u", (unsigned)port);
    for (size_t i = 0; hosts[i]; i++) {
        CHECK_EQUAL(getaddrinfo(hosts[i], service, &hints, &found), 0);
        a->info[i] = *found;
        memcpy(&a->address[i], found->ai_addr, found->ai_addrlen);
        freeaddrinfo(found);
        a->info[i].ai_addr = (struct sockaddr *)&a->address[i];
        a->info[i].ai_next = hosts[i + 1] ? &a->info[i + 1] : NULL;
    }
    return a->info;
}

/* Connect to one of these hosts, from a clean sheet. */
static int race_to(uint16_t port, const char *const *hosts, conc_deadline deadline)
{
    struct addresses a;
    forget_tries();
    return conc__tcp_race(list_of(&a, port, hosts), deadline);
}

#define HOSTS(...) ((const char *const[]){__VA_ARGS__, NULL})

static void check_is_host(const void *addr, const char *host)
{
    const struct sockaddr *any = addr;
    char name[64];
    socklen_t size =
        any->sa_family == AF_INET ? sizeof(struct sockaddr_in) : sizeof(struct sockaddr_in6);
    CHECK_EQUAL(getnameinfo(any, size, name, sizeof name, NULL, 0, NI_NUMERICHOST), 0);
    CHECK(!strcmp(name, host));
}

/* They were tried, in this order, and no others. */
static void check_tried(const char *const *hosts)
{
    size_t n = 0;
    for (; hosts[n]; n++) {
        CHECK(n < times_tried());
        check_is_host(&tried[n].address, hosts[n]);
    }
    CHECK_EQUAL(times_tried(), n);
}

/* It is a socket in good order that is connected to that host. */
static void check_won(int fd, const char *host)
{
    struct sockaddr_storage addr;
    socklen_t size = sizeof addr;
    int no_delay = 0;
    socklen_t option_size = sizeof no_delay;
    CHECK(fd >= 0);
    CHECK_EQUAL(getpeername(fd, (struct sockaddr *)&addr, &size), 0);
    check_is_host(&addr, host);
    CHECK_EQUAL(fcntl(fd, F_GETFL) & O_NONBLOCK, 0);
    CHECK_EQUAL(fcntl(fd, F_GETFD), FD_CLOEXEC);
    CHECK_EQUAL(getsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &no_delay, &option_size), 0);
    CHECK_EQUAL(no_delay, 1);
    CHECK_EQUAL(conc_close(fd), 0);
}

static int listen_on(const char *host, uint16_t port)
{
    int fd = conc_tcp_listen(host, port, 0);
    CHECK(fd >= 0);
    return fd;
}

static uint16_t port_of(int fd)
{
    int port = conc_tcp_port(fd);
    CHECK(port > 0);
    return (uint16_t)port;
}

static bool have_ipv6(void)
{
    int fd = conc_tcp_listen("::1", 0, 0);
    return fd >= 0 && conc_close(fd) == 0;
}

/* ---- Hosts that do not answer ---- */

/* A listener whose backlog is full: connections to it are not answered. */
struct silent {
    int listener;
    int fillers[FILLERS];
};

static struct silent make_silent(const char *host, uint16_t port)
{
    struct silent s = {.listener = conc_tcp_listen(host, port, 1)};
    CHECK(s.listener >= 0);
    for (int i = 0; i < FILLERS; i++)
        s.fillers[i] = conc_tcp_connect(host, port_of(s.listener), SOON);
    forget_tries();
    return s;
}

/* Now it answers, when the system asks again: after a second, or three. */
static void wake_silent(struct silent *s)
{
    int fd;
    while ((fd = conc_accept(s->listener, NULL, NULL, CONC_NOW)) >= 0)
        CHECK_EQUAL(conc_close(fd), 0);
}

static void end_silent(const struct silent *s)
{
    for (int i = 0; i < FILLERS; i++)
        if (s->fillers[i] >= 0)
            CHECK_EQUAL(conc_close(s->fillers[i]), 0);
    CHECK_EQUAL(conc_close(s->listener), 0);
}

/* Three of them, with one port: 127.0.0.1 to 127.0.0.3. */
struct silence {
    struct silent hosts[3];
    uint16_t port;
};

static struct silence make_silence(void)
{
    struct silence s;
    s.hosts[0] = make_silent("127.0.0.1", 0);
    s.port = port_of(s.hosts[0].listener);
    s.hosts[1] = make_silent("127.0.0.2", s.port);
    s.hosts[2] = make_silent("127.0.0.3", s.port);
    return s;
}

static void end_silence(const struct silence *s)
{
    for (int i = 0; i < 3; i++)
        end_silent(&s->hosts[i]);
}

static const char *const silent_hosts[] = {"127.0.0.1", "127.0.0.2", "127.0.0.3", NULL};

/* ---- Order ---- */

static void test_families_are_tried_in_turn(void)
{
    if (!have_ipv6())
        return;
    int holder = listen_on("127.0.0.9", 0);
    uint16_t port = port_of(holder);
    CHECK_EQUAL(race_to(port, HOSTS("127.0.0.1", "127.0.0.2", "127.0.0.3", "::1", "127.0.0.4"),
                        CONC_FOREVER),
                -ECONNREFUSED);
    check_tried(HOSTS("127.0.0.1", "::1", "127.0.0.2", "127.0.0.3", "127.0.0.4"));
    CHECK_EQUAL(race_to(port, HOSTS("::1", "127.0.0.1", "127.0.0.2"), CONC_FOREVER), -ECONNREFUSED);
    check_tried(HOSTS("::1", "127.0.0.1", "127.0.0.2"));
    check_won(race_to(port, HOSTS("::1", "127.0.0.9", "127.0.0.2"), CONC_FOREVER), "127.0.0.9");
    check_tried(HOSTS("::1", "127.0.0.9"));
    CHECK_EQUAL(conc_close(holder), 0);
}

/* Each failure would cost the delay otherwise: more than seven seconds. */
static void test_after_a_failure_the_next_is_tried_at_once(void)
{
    char names[ADDRESSES_MAX][16];
    const char *hosts[ADDRESSES_MAX + 1] = {0};
    for (int i = 0; i < ADDRESSES_MAX; i++) {
        snprintf(names[i], sizeof names[i], "127.0.1.%d", i + 1);
        hosts[i] = names[i];
    }
    int listener = listen_on(hosts[ADDRESSES_MAX - 1], 0);
    int64_t begin = real_now();
    check_won(race_to(port_of(listener), hosts, CONC_FOREVER), hosts[ADDRESSES_MAX - 1]);
    CHECK(real_now() - begin < (ADDRESSES_MAX - 2) * TCP_RACE_DELAY);
    check_tried(hosts);
    CHECK_EQUAL(conc_close(listener), 0);
}

/* ---- Overlap ---- */

static void test_one_that_does_not_answer_delays_the_next_and_no_more(void)
{
    struct silent s = make_silent("127.0.0.1", 0);
    int listener = listen_on("127.0.0.2", port_of(s.listener));
    check_won(race_to(port_of(listener), HOSTS("127.0.0.1", "127.0.0.2"), CONC_FOREVER),
              "127.0.0.2");
    check_tried(HOSTS("127.0.0.1", "127.0.0.2"));
    CHECK(tried[1].when - tried[0].when >= TCP_RACE_DELAY - CONC_MS(10)); /* it was noted later */
    CHECK_EQUAL(conc_close(listener), 0);
    end_silent(&s);
}

static void test_a_failure_while_others_connect_does_not_delay_the_next(void)
{
    struct silent s = make_silent("127.0.0.1", 0);
    int listener = listen_on("127.0.0.3", port_of(s.listener));
    bool was_at_once = false;
    /* A busy machine may keep us from it for as long as we like: not always, though. */
    for (int i = 0; i < 20 && !was_at_once; i++) {
        check_won(
            race_to(port_of(listener), HOSTS("127.0.0.1", "127.0.0.2", "127.0.0.3"), CONC_FOREVER),
            "127.0.0.3");
        check_tried(HOSTS("127.0.0.1", "127.0.0.2", "127.0.0.3"));
        was_at_once = tried[2].when - tried[1].when < TCP_RACE_DELAY;
    }
    CHECK(was_at_once);
    CHECK_EQUAL(conc_close(listener), 0);
    end_silent(&s);
}

struct race_job {
    uint16_t port;
    const char *const *hosts;
    const char *winner; /* NULL: none */
};

static int job_race(void *arg, void *result)
{
    const struct race_job *job = arg;
    int fd = race_to(job->port, job->hosts, CONC_FOREVER);
    if (fd < 0)
        return fd;
    check_won(fd, job->winner);
    return 0;
}

/* The others are closed: the end of the test sees that no descriptor is left. */
static void test_an_early_attempt_goes_on_beside_later_ones(void)
{
    struct silence s = make_silence();
    const struct race_job job = {s.port, silent_hosts, "127.0.0.1"};
    conc_future *f = start(job_race, &job, sizeof job);
    UNTIL(times_tried() == 3);
    wake_silent(&s.hosts[0]);
    CHECK_EQUAL(end_of(f), 0);
    end_silence(&s);
}

static void test_a_later_attempt_may_win(void)
{
    struct silence s = make_silence();
    const struct race_job job = {s.port, silent_hosts, "127.0.0.2"};
    conc_future *f = start(job_race, &job, sizeof job);
    UNTIL(times_tried() == 3);
    wake_silent(&s.hosts[1]);
    CHECK_EQUAL(end_of(f), 0);
    end_silence(&s);
}

/* ---- The end ---- */

static void test_it_can_be_cancelled_at_any_moment(void)
{
    struct silence s = make_silence();
    const struct race_job job = {s.port, silent_hosts, NULL};
    for (size_t n = 1; n <= 3; n++) {
        conc_future *f = start(job_race, &job, sizeof job);
        UNTIL(times_tried() >= n && blocked_on("connect") == 1);
        conc_future_cancel(f);
        CHECK_EQUAL(end_of(f), -ECANCELED);
        forget_tries();
    }
    end_silence(&s);
}

static void test_a_scope_ends_it(void)
{
    struct silence s = make_silence();
    conc_scope scope;
    conc_scope_enter(&scope, conc_in(CONC_MS(300)));
    CHECK_EQUAL(race_to(s.port, silent_hosts, CONC_FOREVER), -ECANCELED);
    CHECK_EQUAL(conc_scope_exit(&scope), -ETIMEDOUT);
    end_silence(&s);
}

static void test_before_a_near_deadline_each_has_its_turn(void)
{
    struct silence s = make_silence();
    int64_t begin = real_now();
    CHECK_EQUAL(race_to(s.port, silent_hosts, conc_in(CONC_MS(90))), -ETIMEDOUT);
    CHECK(real_now() - begin >= CONC_MS(90));
    check_tried(silent_hosts);
    end_silence(&s);
}

static void test_out_of_time_each_has_one_attempt(void)
{
    struct silence s = make_silence();
    int listener = listen_on("127.0.0.4", s.port);
    CHECK_EQUAL(race_to(s.port, silent_hosts, CONC_NOW), -EAGAIN);
    check_tried(silent_hosts);
    CHECK_EQUAL(race_to(s.port, silent_hosts, PAST), -ETIMEDOUT);
    check_tried(silent_hosts);
    /* One on this machine answers at once. */
    check_won(race_to(s.port, HOSTS("127.0.0.1", "127.0.0.4"), CONC_NOW), "127.0.0.4");
    check_won(race_to(s.port, HOSTS("127.0.0.1", "127.0.0.4"), PAST), "127.0.0.4");
    CHECK_EQUAL(race_to(s.port, HOSTS("127.0.0.5", "127.0.0.6"), CONC_NOW), -ECONNREFUSED);
    CHECK_EQUAL(race_to(s.port, HOSTS("127.0.0.5", "127.0.0.6"), PAST), -ECONNREFUSED);
    CHECK_EQUAL(conc_close(listener), 0);
    end_silence(&s);
}

/* ---- Errors ---- */

static void test_if_all_fail_the_error_is_the_one_that_tells_most(void)
{
    static const struct {
        int first, second, told;
    } cases[] = {
        {ENETUNREACH, ECONNREFUSED, -ECONNREFUSED},
        {ECONNREFUSED, ENETUNREACH, -ECONNREFUSED},
        {EADDRNOTAVAIL, ETIMEDOUT, -ETIMEDOUT},
        {EHOSTUNREACH, ENETUNREACH, -EHOSTUNREACH},
        {ECONNREFUSED, ETIMEDOUT, -ECONNREFUSED},
        {ECONNREFUSED, ECONNRESET, -ECONNRESET},
        {EACCES, ENETUNREACH, -EACCES},
        {ENETUNREACH, EADDRNOTAVAIL, -EADDRNOTAVAIL},
        {ENOBUFS, ECONNREFUSED, -ENOBUFS},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char first[16], second[16];
        snprintf(first, sizeof first, "192.0.2.%d", cases[i].first);
        snprintf(second, sizeof second, "192.0.2.%d", cases[i].second);
        CHECK_EQUAL(race_to(80, HOSTS(first, second), CONC_FOREVER), cases[i].told);
    }
}

static void test_without_descriptors_it_fails_and_leaves_none(void)
{
    struct silence s = make_silence();
    int listener = listen_on("127.0.0.4", s.port);
    for (int n = 0; n < 2; n++) {
        take_descriptors_but(n);
        CHECK_EQUAL(race_to(s.port, HOSTS("127.0.0.4", "127.0.0.5"), CONC_FOREVER), -EMFILE);
        give_descriptors();
    }
    /* There is one for one attempt: the others cannot begin, and it goes on. */
    take_descriptors_but(2);
    CHECK_EQUAL(race_to(s.port, HOSTS("127.0.0.1", "127.0.0.4"), conc_in(CONC_MS(60))), -ETIMEDOUT);
    check_won(race_to(s.port, HOSTS("127.0.0.5", "127.0.0.4"), CONC_FOREVER), "127.0.0.4");
    give_descriptors();
    CHECK_EQUAL(conc_close(listener), 0);
    end_silence(&s);
}

static void test_without_memory_it_fails(void)
{
    fail_alloc(1);
    CHECK_EQUAL(race_to(80, HOSTS("127.0.0.1", "127.0.0.2"), CONC_FOREVER), -ENOMEM);
}

/* ---- A network of its own ---- */

struct route6 { /* struct in6_rtmsg of linux/ipv6_route.h, which some C libraries do not stand */
    struct in6_addr dst, src, gateway;
    uint32_t type;
    uint16_t dst_len, src_len;
    uint32_t metric;
    unsigned long info;
    uint32_t flags;
    int ifindex;
};

/* In a network where 2001:db8::/32 leads to nowhere: back to this machine, which drops what is not
 * for it. False: this process may not make one. */
static bool enter_black_hole(void)
{
    const struct route6 route = {.dst.s6_addr = {0x20, 0x01, 0x0d, 0xb8},
                                 .dst_len = 32,
                                 .metric = 1,
                                 .flags = 1, /* RTF_UP */
                                 .ifindex = 1};
    struct ifreq up = {.ifr_name = "lo", .ifr_flags = IFF_UP};
    if (unshare(CLONE_NEWUSER | CLONE_NEWNET) != 0)
        return false;
    int fd = socket(AF_INET6, SOCK_DGRAM, 0);
    bool made = fd >= 0 && ioctl(fd, SIOCSIFFLAGS, &up) == 0 && ioctl(fd, SIOCADDRT, &route) == 0;
    close(fd);
    return made;
}

static int job_leave_black_hole(void *arg, void *result)
{
    const char *const *hosts = HOSTS("2001:db8::1", "127.0.0.1");
    int listener = listen_on("127.0.0.1", 0);
    /* Alone it would not answer for two minutes. */
    CHECK_EQUAL(race_to(port_of(listener), HOSTS("2001:db8::1"), conc_in(CONC_MS(50))), -ETIMEDOUT);
    int64_t begin = real_now();
    check_won(race_to(port_of(listener), hosts, CONC_FOREVER), "127.0.0.1");
    CHECK(real_now() - begin < CONC_S(30));
    CHECK_EQUAL(conc_close(listener), 0);
    return 0;
}

static int run_in_black_hole(void *arg)
{
    if (!enter_black_hole())
        return 1;
    return job_leave_black_hole(NULL, NULL) ? 2 : 0;
}

static int run_task_in_black_hole(void *arg)
{
    if (!enter_black_hole())
        return 1;
    return conc_run(job_leave_black_hole, NULL, 0, NULL, 0) ? 2 : 0;
}

static void test_a_network_that_drops_all_packets_costs_a_moment(void **state)
{
    int result = in_child(run_in_black_hole, NULL);
    if (result == 1) {
        printf("# no network of one's own here: left out\n");
        return;
    }
    assert_int_equal(result, 0);
    assert_int_equal(in_child(run_task_in_black_hole, NULL), 0);
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_a_network_that_drops_all_packets_costs_a_moment),
    ON_EVERY_WAY(test_families_are_tried_in_turn),
    ON_EVERY_WAY(test_after_a_failure_the_next_is_tried_at_once),
    ON_EVERY_WAY(test_one_that_does_not_answer_delays_the_next_and_no_more),
    ON_EVERY_WAY(test_a_failure_while_others_connect_does_not_delay_the_next),
    ON_EVERY_WAY(test_an_early_attempt_goes_on_beside_later_ones),
    ON_EVERY_WAY(test_a_later_attempt_may_win),
    ON_EVERY_WAY(test_it_can_be_cancelled_at_any_moment),
    ON_EVERY_WAY(test_a_scope_ends_it),
    ON_EVERY_WAY(test_before_a_near_deadline_each_has_its_turn),
    ON_EVERY_WAY(test_out_of_time_each_has_one_attempt),
    ON_EVERY_WAY(test_if_all_fail_the_error_is_the_one_that_tells_most),
    ON_EVERY_WAY(test_without_descriptors_it_fails_and_leaves_none),
    ON_EVERY_WAY(test_without_memory_it_fails),
};

TEST_MAIN(tests, 60)
