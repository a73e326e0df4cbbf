/* SPDX-License-Identifier: MIT
 *
 * value.h: arguments and results whose size may be CONC_BYTES.
 *
 * An argument lies in one piece, so that it can be moved or sent as it is: a conc_bytes, and right
 * behind it the bytes. Wherever it comes to lie, the conc_bytes is made to point there.
 */
#ifndef CONC_LIB_VALUE_H
#define CONC_LIB_VALUE_H

#include <conc/bytes.h>
#include <string.h>

#define VALUE_ALIGN _Alignof(max_align_t)

static inline size_t value_align_up(size_t size)
{
    return (size + VALUE_ALIGN - 1) / VALUE_ALIGN * VALUE_ALIGN;
}

/* Bytes begin here, after their conc_bytes. */
#define BYTES_OFFSET value_align_up(sizeof(conc_bytes))

/* Is there no argument where its size says that there is one? */
static inline bool arg_is_missing(const void *arg, size_t size)
{
    if (size != CONC_BYTES)
        return size && !arg;
    const conc_bytes *bytes = arg;
    return !bytes || (bytes->size && !bytes->data);
}

/* The same of an array of n arguments. */
static inline bool args_are_missing(const void *args, size_t n, size_t size)
{
    if (n && size && !args)
        return true;
    const conc_bytes *bytes = args;
    for (size_t i = 0; size == CONC_BYTES && i < n; i++)
        if (arg_is_missing(&bytes[i], size))
            return true;
    return false;
}

/* How much room an argument takes; SIZE_MAX: more memory than there can be. */
static inline size_t arg_room(const void *arg, size_t size)
{
    if (size != CONC_BYTES)
        return size;
    const conc_bytes *bytes = arg;
    return bytes->size > SIZE_MAX / 2 ? SIZE_MAX : BYTES_OFFSET + bytes->size;
}

/* Make the conc_bytes at `at` point to the bytes behind it, wherever it pointed before. */
static inline void arg_repoint(void *at)
{
    conc_bytes *bytes = at;
    bytes->data = bytes->size ? (char *)at + BYTES_OFFSET : NULL;
}

static inline void arg_store(void *to, const void *arg, size_t size)
{
    if (size != CONC_BYTES) {
        memcpy(to, arg, size);
        return;
    }
    const conc_bytes *bytes = arg;
    *(conc_bytes *)to = (conc_bytes){.size = bytes->size};
    arg_repoint(to);
    if (bytes->size)
        memcpy((char *)to + BYTES_OFFSET, bytes->data, bytes->size);
}

#endif
