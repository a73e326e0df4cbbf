/* SPDX-License-Identifier: MIT
 *
 * test_accept_storm.c: threads and tasks connect to each other, with deadlines and cancellations at
 * any moment: each connection that came about is taken once, and no descriptor is lost.
 */
#include "storms.h"

#include <conc/net.h>

enum { CLIENTS = 4, HOSTS = 4, KNOCKS = 60 };

struct house {
    int listener;
    uint16_t port;
    struct caller callers[CLIENTS + HOSTS];
    int connected, accepted; /* connections; atomic */
    int clients;             /* that go on; atomic */
};

struct visitor {
    struct house *house;
    struct caller *caller;
};

static int job_knock(void *arg, void *result)
{
    struct house *house = ((struct visitor *)arg)->house;
    struct caller *c = ((struct visitor *)arg)->caller;
    for (int i = 0; i < KNOCKS; i++) {
        conc_scope scope;
        begin_call(c, &scope);
        int fd = conc_tcp_connect(own_host(), house->port, some_deadline(&c->random));
        end_call(c, &scope, fd);
        if (fd < 0)
            continue;
        __atomic_add_fetch(&house->connected, 1, __ATOMIC_ACQ_REL);
        CHECK_EQUAL(conc_send(fd, "x", 1, 0, CONC_FOREVER), 1);
        CHECK_EQUAL(conc_close(fd), 0);
    }
    __atomic_sub_fetch(&house->clients, 1, __ATOMIC_ACQ_REL);
    return 0;
}

static void let_in(struct house *house, int fd)
{
    char c;
    ssize_t n = conc_recv(fd, &c, 1, 0, CONC_FOREVER); /* 0, a reset: one that was cancelled */
    CHECK(n == 1 || n == 0 || n == -ECONNRESET);
    __atomic_add_fetch(&house->accepted, n == 1, __ATOMIC_ACQ_REL);
    CHECK_EQUAL(conc_close(fd), 0);
}

static bool all_are_in(struct house *house)
{
    return __atomic_load_n(&house->clients, __ATOMIC_ACQUIRE) == 0 &&
           __atomic_load_n(&house->accepted, __ATOMIC_ACQUIRE) ==
               __atomic_load_n(&house->connected, __ATOMIC_ACQUIRE);
}

/* A host that waits without a deadline is cancelled sooner or later, and looks again. */
static int job_host(void *arg, void *result)
{
    struct house *house = ((struct visitor *)arg)->house;
    struct caller *c = ((struct visitor *)arg)->caller;
    while (!all_are_in(house)) {
        conc_scope scope;
        begin_call(c, &scope);
        int fd = conc_accept(house->listener, NULL, NULL, some_deadline(&c->random));
        if (end_call(c, &scope, fd))
            let_in(house, fd);
    }
    return 0;
}

/* Until all have ended. */
static void disturb(struct house *house, struct test_random *random, conc_future *const *hosts)
{
    for (bool done = false; !done;) {
        cancel_call(&house->callers[test_random_below(random, CLIENTS + HOSTS)]);
        conc_sleep((int64_t)test_random_below(random, CONC_US(50)));
        done = true;
        for (int i = 0; i < HOSTS; i++)
            done &= conc_future_is_done(hosts[i]);
    }
}

static void knock_round(struct test_random *random)
{
    struct house house = {.listener = conc_tcp_listen(own_host(), 0, 0), .clients = CLIENTS};
    conc_future *f[HOSTS + CLIENTS];
    house.port = (uint16_t)conc_tcp_port(house.listener);
    for (int i = 0; i < HOSTS + CLIENTS; i++) {
        struct visitor v = {&house, &house.callers[i]};
        v.caller->random.state = test_random_next(random);
        f[i] = run_somewhere(random, i < HOSTS ? job_host : job_knock, &v, sizeof v);
    }
    disturb(&house, random, f);
    for (int i = 0; i < HOSTS + CLIENTS; i++)
        CHECK_EQUAL(end_of(f[i]), 0);
    CHECK_EQUAL(house.connected, house.accepted);
    CHECK_EQUAL(conc_close(house.listener), 0);
}

static void test_every_connection_is_taken_once(void) { storm(1, knock_round); }

/* Where the body itself runs; the storm is everywhere. */
static const struct CMUnitTest tests[] = {
    ON_WAY(test_every_connection_is_taken_once, ON_THREADS, "all"),
};

TEST_MAIN(tests, 90)
