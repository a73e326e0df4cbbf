/* SPDX-License-Identifier: MIT
 *
 * transfer.h: what the reading and writing calls of file.c and socket.c have in common.
 */
#ifndef CONC_LIB_TRANSFER_H
#define CONC_LIB_TRANSFER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Bytes that one read or write moves at most, as the kernel's own do (MAX_RW_COUNT, with pages of
 * 4 KiB): the length in an entry of io_uring has 32 bits. */
#define TRANSFER_MAX ((size_t)0x7ffff000)

static inline size_t transfer_bounded(size_t n) { return n < TRANSFER_MAX ? n : TRANSFER_MAX; }

/* Is there no memory where n bytes are to be? The kernel may find that only when they have come. */
static inline bool transfer_is_missing(const void *buf, size_t n) { return n && !buf; }

/* The members of a struct op are not const. The op only reads what it writes or sends. */
static inline void *transfer_unconst(const void *p) { return (void *)(uintptr_t)p; }

#endif
