/* SPDX-License-Identifier: MIT
 *
 * The matrix (matrix.h): sockets, connected and listening.
 */
#include "kinds.h"

int main(void)
{
    static const struct kind *const kinds[] = {
        &kind_socketpair,
        &kind_tcp,
        &kind_udp,
        &kind_unix_stream,
        &kind_unix_datagram,
        &kind_unix_seqpacket,
        &kind_tcp_listener,
        &kind_tcp_listener_blocking,
        &kind_tcp_listener_shared,
        &kind_unix_listener,
        &kind_unix_listener_blocking,
    };
    return matrix_main(kinds, sizeof kinds / sizeof *kinds);
}
