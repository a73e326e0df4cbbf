/* SPDX-License-Identifier: MIT
 *
 * pipe_header.h: what stands before each message in a pipe. The other end may be another process,
 * built at another time. See pipe.c.
 */
#ifndef CONC_LIB_PROCESS_PIPE_HEADER_H
#define CONC_LIB_PROCESS_PIPE_HEADER_H

#include <stddef.h>
#include <stdint.h>

#define PIPE_MAGIC 0x43504950u /* "PIPC" in memory: a header begins with it */

struct pipe_header {
    uint32_t magic;
    uint32_t n_fds;
    uint64_t size; /* bytes of the message, which follow */
};

_Static_assert(
    sizeof(struct pipe_header) == 16 && offsetof(struct pipe_header, size) == 8,
    "a pipe's header crosses processes: it has no padding, which would be sent as it is");

#endif
