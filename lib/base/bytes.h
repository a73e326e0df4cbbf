/* SPDX-License-Identifier: MIT
 *
 * bytes.h: where strings of bytes lie. That is the heap, unless this process has another place for
 * some of them: a worker of a process pool has one (process_pool/arena.c).
 */
#ifndef CONC_LIB_BYTES_H
#define CONC_LIB_BYTES_H

#include <stdbool.h>
#include <stddef.h>

struct bytes_place {
    void *(*alloc)(size_t n); /* NULL: no room there; take the heap */
    bool (*free)(void *data); /* false: the data does not lie there */
};

/* Set once, while the process has one thread. NULL: none. */
extern const struct bytes_place *conc__bytes_place;

#endif
