/* SPDX-License-Identifier: MIT
 *
 * tcp_race.c: connecting to whichever of several addresses answers first, as RFC 8305 says
 * ("Happy Eyeballs"): a network whose IPv6 is silently dropped costs a quarter of a second, and not
 * a time-out.
 *
 * Order: as getaddrinfo() sorted the addresses, but the two families in turn.
 *
 * How: an attempt begins TCP_RACE_DELAY after the one before it; at once, when one has failed; and
 * sooner, if the deadline is so near that not all would have their turn: the addresses that are
 * left share the time that is left. All sockets that are connecting lie in one epoll, `set`, which
 * the caller polls until something happens to one of them, or the next attempt is due. An epoll can
 * be polled like any descriptor: so a thread and a task, on each backend, wait for many sockets as
 * they wait for one, and no other context takes part. The first that is connected wins; the others
 * are closed, as they all are when the deadline comes or the caller is cancelled.
 *
 *     untried -> connecting -> connected     the race is over
 *     untried -> connecting -> failed        its socket is closed, the next is due at once
 *     untried -> failed                      it could not even begin
 *
 * Invariant: a socket is in `set` just while its attempt is connecting. (It is taken out before it
 * is closed, because a child process may have a copy, with which it would stay there.)
 *
 * Each look at an attempt, the first and all others, is a conc_connect() that does not wait: the
 * system's connect(2) begins it, or tells how it stands (EALREADY), or how it has ended. Out of
 * time (CONC_NOW, or a deadline that has passed) each address gets one.
 *
 * The error, if all have failed, is the one that tells most (race_rank()): that this process has no
 * descriptors or memory left; else what a host has answered; else that there was no answer; else
 * that this machine has no way there, which is true of half of the addresses on many machines. Of
 * two that tell as much it is the later one's.
 *
 * A socket that connects to a port of this machine on which nothing listens can, by chance, connect
 * to itself: when the system gives it that very port as its own (TCP's simultaneous open). Such a
 * connection counts as refused.
 *
 * Unlike in the RFC, the IPv4 and the IPv6 addresses of a name are asked for together (section 3):
 * getaddrinfo() has no other way.
 */
#include "io/tcp_race.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include <conc/net.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/fd.h"
#include "op/op.h"

struct attempt {
    const struct addrinfo *address;
    int fd; /* -1: it is not connecting */
};

struct race {
    int set;      /* an epoll of those that are connecting; data: their index */
    int winner;   /* the connected socket; -1: none yet */
    int error;    /* of those that have failed, the one that tells most; 0: none has */
    size_t n;     /* addresses */
    size_t begun; /* how many have been tried */
    size_t connecting;
    conc_deadline next; /* when the next attempt is due; CONC_NOW: at once */
    struct attempt attempts[];
};

/* ---- The order ---- */

/* The first address from `a` on that is (or is not) of that family; NULL: none. */
static const struct addrinfo *address_seek(const struct addrinfo *a, int family, bool is)
{
    while (a && (a->ai_family == family) != is)
        a = a->ai_next;
    return a;
}

static size_t address_count(const struct addrinfo *a)
{
    size_t n = 0;
    for (; a; a = a->ai_next)
        n++;
    return n;
}

/* The addresses of the first one's family, and the others, in turn. */
static void race_order(struct race *race, const struct addrinfo *first)
{
    int family = first->ai_family;
    const struct addrinfo *own = first, *other = address_seek(first, family, false);
    while (own || other) {
        if (own) {
            race->attempts[race->n++] = (struct attempt){.address = own, .fd = -1};
            own = address_seek(own->ai_next, family, true);
        }
        if (other) {
            race->attempts[race->n++] = (struct attempt){.address = other, .fd = -1};
            other = address_seek(other->ai_next, family, false);
        }
    }
}

/* ---- Errors ---- */

static int race_rank(int err)
{
    switch (err) {
    case 0:
        return 0;
    case -EADDRNOTAVAIL:
    case -EAFNOSUPPORT:
    case -ENETUNREACH:
        return 1;
    case -EHOSTUNREACH:
    case -ETIMEDOUT:
        return 2;
    case -EMFILE:
    case -ENFILE:
    case -ENOBUFS:
    case -ENOMEM:
        return 4;
    default:
        return 3;
    }
}

/* An attempt has failed: the next need not wait. */
static void race_note_failure(struct race *race, int err)
{
    if (race_rank(err) >= race_rank(race->error))
        race->error = err;
    race->next = CONC_NOW;
}

/* ---- One attempt ---- */

static bool tcp_is_connected_to_itself(int fd)
{
    struct sockaddr_storage here, there;
    /* With the padding, because they are compared as a whole. */
    memset(&here, 0, sizeof here);
    memset(&there, 0, sizeof there);
    socklen_t n = sizeof here, m = sizeof there;
    return getsockname(fd, (struct sockaddr *)&here, &n) == 0 &&
           getpeername(fd, (struct sockaddr *)&there, &m) == 0 && n == m &&
           memcmp(&here, &there, n) == 0;
}

static int tcp_socket(const struct addrinfo *a)
{
    int fd = conc_socket(a->ai_family, a->ai_socktype, a->ai_protocol);
    if (fd < 0)
        return fd;
    int err = tcp_set_option(fd, IPPROTO_TCP, TCP_NODELAY, 1);
    if (!err)
        return fd;
    conc_close(fd);
    return err;
}

/* Begin to connect, or see how far it is. */
static int tcp_try(int fd, const struct addrinfo *a, conc_deadline deadline)
{
    int err = conc_connect(fd, a->ai_addr, a->ai_addrlen, deadline);
    return !err && tcp_is_connected_to_itself(fd) ? -ECONNREFUSED : err;
}

static int tcp_connect_to(const struct addrinfo *a, conc_deadline deadline)
{
    int fd = tcp_socket(a);
    if (fd < 0)
        return fd;
    int err = tcp_try(fd, a, deadline);
    if (!err)
        return fd;
    conc_close(fd);
    return err;
}

/* ---- The race ---- */

/* How long the next attempt waits for those that have begun. Of no length if the time is over. */
static int64_t race_delay(const struct race *race, conc_deadline deadline)
{
    int64_t share = conc_remaining(deadline) / (int64_t)(race->n - race->begun + 1);
    return share < TCP_RACE_DELAY ? share : TCP_RACE_DELAY;
}

static void race_begin(struct race *race, conc_deadline deadline)
{
    struct epoll_event event = {.events = EPOLLOUT, .data.u64 = race->begun};
    struct attempt *a = &race->attempts[race->begun++];
    race->next = conc_in(race_delay(race, deadline));
    int fd = tcp_socket(a->address);
    if (fd < 0) {
        race_note_failure(race, fd);
        return;
    }
    int err = tcp_try(fd, a->address, CONC_NOW);
    if (!err) {
        race->winner = fd;
        return;
    }
    if (err == -EAGAIN && epoll_ctl(race->set, EPOLL_CTL_ADD, fd, &event) == 0) {
        a->fd = fd;
        race->connecting++;
        return;
    }
    race_note_failure(race, err == -EAGAIN ? -errno : err);
    conc_close(fd);
}

/* Something has happened to an attempt. */
static void race_look_at(struct race *race, struct attempt *a)
{
    int err = tcp_try(a->fd, a->address, CONC_NOW);
    if (err == -EAGAIN)
        return;
    epoll_ctl(race->set, EPOLL_CTL_DEL, a->fd, NULL);
    race->connecting--;
    if (err) {
        race_note_failure(race, err);
        conc_close(a->fd);
    } else {
        race->winner = a->fd;
    }
    a->fd = -1;
}

static bool race_next_is_due(const struct race *race)
{
    return race->begun < race->n && conc_remaining(race->next) == 0;
}

/* Wait until something happens to an attempt, or the next one is due. 0, or why the race ends. */
static int race_wait(struct race *race, conc_deadline deadline)
{
    const bool more = race->begun < race->n;
    struct op op = {.code = OP_POLL, .fd = race->set, .flags = POLLIN};
    struct epoll_event event;
    /* The next attempt is always due before the deadline. */
    ssize_t result = conc__op_run(&op, "connect", more ? race->next : deadline);
    if (result < 0)
        return more && result == -ETIMEDOUT ? 0 : (int)result;
    if (epoll_wait(race->set, &event, 1, 0) == 1)
        race_look_at(race, &race->attempts[event.data.u64]);
    return 0;
}

static int race_run(struct race *race, conc_deadline deadline)
{
    int err = 0;
    while (!err && race->winner < 0) {
        if (race_next_is_due(race))
            race_begin(race, deadline);
        else
            err = race->connecting ? race_wait(race, deadline) : race->error;
    }
    for (size_t i = 0; i < race->begun; i++)
        if (race->attempts[i].fd >= 0)
            conc_close(race->attempts[i].fd);
    return err ? err : race->winner;
}

int conc__tcp_race(const struct addrinfo *first, conc_deadline deadline)
{
    if (!first->ai_next)
        return tcp_connect_to(first, deadline);
    struct race *race = alloc_bytes(sizeof *race + address_count(first) * sizeof race->attempts[0]);
    if (!race)
        return -ENOMEM;
    *race = (struct race){.winner = -1, .next = CONC_NOW};
    race_order(race, first);
    race->set = conc__fd_own(epoll_create1(EPOLL_CLOEXEC));
    int fd = race->set < 0 ? race->set : race_run(race, deadline);
    if (race->set >= 0)
        conc_close(race->set);
    free_bytes(race);
    return fd;
}
