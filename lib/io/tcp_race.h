/* SPDX-License-Identifier: MIT
 *
 * tcp_race.h: connecting to whichever of several addresses answers first.
 */
#ifndef CONC_LIB_IO_TCP_RACE_H
#define CONC_LIB_IO_TCP_RACE_H

#include <errno.h>
#include <netdb.h>
#include <sys/socket.h>

#include <conc/base.h>

/* Between the beginnings of two attempts at most, while the first has not failed. */
#define TCP_RACE_DELAY CONC_MS(250)

static inline int tcp_set_option(int fd, int level, int option, int value)
{
    return setsockopt(fd, level, option, &value, sizeof value) == 0 ? 0 : -errno;
}

/* Connect to one of the addresses (there is one at least). Returns a socket; or an error, as
 * conc_tcp_connect(), without a message. */
int conc__tcp_race(const struct addrinfo *first, conc_deadline deadline);

#endif
