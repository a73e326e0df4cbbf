/* SPDX-License-Identifier: MIT
 *
 * buffer.c: see buffer.h.
 *
 * Room at the end is made in one of two ways. If the block is large enough, and its free space at
 * the front is at least as large as the content, the content moves to the front of the block.
 * Otherwise it moves to a new block of at least twice the size. So a byte is moved a bounded number
 * of times, however small the pieces are in which the content comes and goes.
 */
#include "io/buffer.h"

#include <errno.h>
#include <stdint.h>
#include <string.h>

#include "base/alloc.h"

/* Bytes: the room of the first block. A page, as much as the first read of a stream asks for. */
#define BUFFER_FIRST_ROOM 4096

/* Move the content to the front of `to`: of a new block, or of its own. */
static void buffer_move(struct buffer *b, char *to)
{
    size_t size = buffer_size(b);
    if (size)
        memmove(to, buffer_front(b), size);
    b->start = 0;
    b->end = size;
}

static size_t buffer_larger(size_t a, size_t b) { return a > b ? a : b; }

/* Move the content to a new block that has room for `size` bytes. 0; -ENOMEM. */
static int buffer_grow(struct buffer *b, size_t size)
{
    size_t room = buffer_larger(buffer_larger(size, BUFFER_FIRST_ROOM),
                                b->room < SIZE_MAX / 2 ? 2 * b->room : 0);
    char *bytes = room < SIZE_MAX ? alloc_bytes(room + 1) : NULL;
    if (!bytes)
        return -ENOMEM;
    buffer_move(b, bytes);
    free_bytes(b->bytes);
    b->bytes = bytes;
    b->room = room;
    return 0;
}

int conc__buffer_reserve(struct buffer *b, size_t n)
{
    size_t size = buffer_size(b);
    if (buffer_tail(b) >= n)
        return 0;
    if (n > SIZE_MAX - size)
        return -ENOMEM;
    if (size + n > b->room || b->start < size)
        return buffer_grow(b, size + n);
    buffer_move(b, b->bytes);
    return 0;
}

int conc__buffer_add(struct buffer *b, const void *bytes, size_t n)
{
    if (n == 0)
        return 0;
    int err = conc__buffer_reserve(b, n);
    if (err)
        return err;
    memcpy(buffer_back(b), bytes, n);
    buffer_added(b, n);
    return 0;
}

void conc__buffer_free(struct buffer *b)
{
    free_bytes(b->bytes);
    *b = (struct buffer){0};
}
