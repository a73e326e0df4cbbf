/* SPDX-License-Identifier: MIT
 *
 * buffer.h: bytes that grow at their end.
 */
#ifndef EXAMPLES_BUFFER_H
#define EXAMPLES_BUFFER_H

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

/** All-zero: empty. */
struct buffer {
    char *data;
    size_t size, room;
};

/** Append n bytes. @return 0; -ENOMEM: nothing was appended */
static inline int buffer_append(struct buffer *buffer, const void *data, size_t n)
{
    if (n > buffer->room - buffer->size) {
        size_t room = buffer->room < 512 ? 512 : buffer->room;
        char *grown;

        while (room - buffer->size < n)
            room *= 2;
        grown = realloc(buffer->data, room);
        if (grown == NULL)
            return -ENOMEM;
        buffer->data = grown;
        buffer->room = room;
    }
    if (n > 0)
        memcpy(buffer->data + buffer->size, data, n);
    buffer->size += n;
    return 0;
}

/** Put a zero behind the last byte; the size doesn't count it. @return 0; -ENOMEM */
static inline int buffer_terminate(struct buffer *buffer)
{
    int err = buffer_append(buffer, "", 1);

    if (err == 0)
        buffer->size--;
    return err;
}

/** Give the bytes to the caller, for free(). The buffer is empty afterwards. */
static inline char *buffer_take(struct buffer *buffer)
{
    char *data = buffer->data;

    *buffer = (struct buffer){0};
    return data;
}

static inline void buffer_free(struct buffer *buffer) { free(buffer_take(buffer)); }

#endif
