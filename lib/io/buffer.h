/* SPDX-License-Identifier: MIT
 *
 * buffer.h: bytes in a block that grows. They are added at the end and taken from the front.
 *
 *     bytes          start            end            room
 *     |    free      |    content     |    free      |  (and one byte more, for a final zero)
 *
 * Only conc__buffer_reserve() and conc__buffer_add() move the content.
 */
#ifndef CONC_LIB_BUFFER_H
#define CONC_LIB_BUFFER_H

#include <stddef.h>

#include "base/invariant.h"

/* All-zero: empty, without memory. */
struct buffer {
    char *bytes;
    size_t start, end, room;
};

static inline size_t buffer_size(const struct buffer *b) { return b->end - b->start; }

/* Where the content begins; NULL: there is no memory yet. */
static inline char *buffer_front(const struct buffer *b)
{
    return b->bytes ? b->bytes + b->start : NULL;
}

/* Where more is to be written, and how much fits there. buffer_added() follows. */
static inline char *buffer_back(const struct buffer *b) { return b->bytes + b->end; }
static inline size_t buffer_tail(const struct buffer *b) { return b->room - b->end; }
static inline void buffer_added(struct buffer *b, size_t n)
{
    invariant(n <= buffer_tail(b), "what is added to a buffer has room there");
    b->end += n;
}

/* The first n bytes are no longer needed. They stay where they are until the content moves. */
static inline void buffer_taken(struct buffer *b, size_t n)
{
    invariant(n <= buffer_size(b), "what is taken from a buffer is in it");
    b->start += n;
}

/* Make room for n bytes at the end, at least. 0; -ENOMEM: nothing has changed. */
int conc__buffer_reserve(struct buffer *b, size_t n);

/* Add n bytes. 0; -ENOMEM: none is added. */
int conc__buffer_add(struct buffer *b, const void *bytes, size_t n);

/* Empty it, and free its memory. */
void conc__buffer_free(struct buffer *b);

#endif
