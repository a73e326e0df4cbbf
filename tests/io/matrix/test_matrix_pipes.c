/* SPDX-License-Identifier: MIT
 *
 * The matrix (matrix.h): pipes, terminals, devices, the kernel's descriptors for events.
 */
#include "kinds.h"

int main(void)
{
    static const struct kind *const kinds[] = {
        &kind_pipe,     &kind_fifo,    &kind_pty_master, &kind_pty_slave, &kind_null,
        &kind_zero,     &kind_full,    &kind_random,     &kind_eventfd,   &kind_timerfd,
        &kind_signalfd, &kind_inotify, &kind_pidfd,      &kind_epoll,
    };
    return matrix_main(kinds, sizeof kinds / sizeof *kinds);
}
