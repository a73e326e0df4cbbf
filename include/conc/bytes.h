/* SPDX-License-Identifier: MIT
 *
 * conc/bytes.h: a string of bytes whose size is known only when it is there: a message, a result.
 *
 *     conc_bytes text;
 *     int err = conc_bytes_copy(&text, "abc", 3);
 *     ...
 *     conc_bytes_free(&text);
 */
#ifndef CONC_BYTES_H
#define CONC_BYTES_H

#include <conc/base.h>

#ifdef __cplusplus
extern "C" {
#endif

/** Both fields are for reading; what `data` points to may be changed. All-zero: empty. */
typedef struct conc_bytes {
    void *data; /* aligned for any type; NULL if size is 0 */
    size_t size;
} conc_bytes;

/**
 * Make room for n bytes.
 *
 * @param ret  gives bytes of any content, for conc_bytes_free(); untouched on failure
 * @return 0; -ENOMEM
 *
 * Called from: anywhere. Blocks: no. Python: bytearray(n)
 */
CONC_API int conc_bytes_new(conc_bytes *ret, size_t n);

/**
 * Make a copy of n bytes.
 *
 * @param ret   gives bytes, for conc_bytes_free(); untouched on failure
 * @param from  n bytes; borrowed; NULL if n is 0
 * @return 0; -ENOMEM
 *
 * Called from: anywhere. Blocks: no. Python: bytes(from)
 */
CONC_API int conc_bytes_copy(conc_bytes *ret, const void *from, size_t n);

/** Free them, and make the struct empty. Called from: anywhere. Blocks: no. */
CONC_API void conc_bytes_free(conc_bytes *bytes);

#ifdef __cplusplus
}
#endif
#endif
