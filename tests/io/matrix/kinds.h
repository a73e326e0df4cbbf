/* SPDX-License-Identifier: MIT
 *
 * kinds.h: the kinds of descriptors that the programs of the matrix try.
 */
#ifndef CONC_TESTS_KINDS_H
#define CONC_TESTS_KINDS_H

#include "matrix.h"

extern const struct kind kind_pipe, kind_fifo, kind_pty_master, kind_pty_slave;

extern const struct kind kind_socketpair, kind_tcp, kind_udp, kind_unix_stream, kind_unix_datagram,
    kind_unix_seqpacket;
extern const struct kind kind_tcp_listener, kind_tcp_listener_blocking, kind_tcp_listener_shared,
    kind_unix_listener, kind_unix_listener_blocking;

extern const struct kind kind_null, kind_zero, kind_full, kind_random, kind_eventfd, kind_timerfd,
    kind_signalfd, kind_inotify, kind_pidfd, kind_epoll;

extern const struct kind kind_directory, kind_memfd, kind_procfs, kind_sysctl, kind_pressure,
    kind_sysfs, kind_slow_fuse;

/* Regular files: of a file system each, opened in one of three ways. */
enum { N_FILE_KINDS = 18 };
extern const struct kind file_kinds[N_FILE_KINDS];

#endif
