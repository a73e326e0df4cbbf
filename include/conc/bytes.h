/* SPDX-License-Identifier: MIT
 *
 * conc/bytes.h: a string of bytes whose size is known only when it is there: a message, an argument
 * or a result.
 *
 *     conc_bytes text;
 *     int err = conc_bytes_copy(&text, "abc", 3);
 *     ...
 *     conc_bytes_free(&text);
 *
 * A job can take such a string, or give one, on every executor. Where a size is asked for,
 * CONC_BYTES is passed, and where the argument or the result would be, there is a conc_bytes:
 *
 *     static int upper(void *arg, void *result)
 *     {
 *         const conc_bytes *in = arg;
 *         conc_bytes *out = result;
 *         int err = conc_bytes_copy(out, in->data, in->size);
 *         for (size_t i = 0; !err && i < out->size; i++)
 *             ((char *)out->data)[i] = (char)toupper(((char *)out->data)[i]);
 *         return err;
 *     }
 *     ...
 *     conc_bytes in = {(char[]){"some text"}, 9}, out;
 *     conc_future *f = conc_submit(pool, upper, &in, CONC_BYTES, CONC_BYTES);
 *     err = conc_future_result(f, &out, CONC_FOREVER); // a copy, ours
 *     conc_future_unref(f);
 *     if (!err)
 *         conc_bytes_free(&out);
 */
#ifndef CONC_BYTES_H
#define CONC_BYTES_H

#include <conc/base.h>

#ifdef __cplusplus
extern "C" {
#endif

/** Both fields are for reading; what `data` points to may be changed. All-zero: empty. */
typedef struct conc_bytes {
    void *data; /* aligned for any type if it comes from libconc; NULL if size is 0 */
    size_t size;
} conc_bytes;

/**
 * As the size of a job's argument: it is a conc_bytes, borrowed; the job gets a conc_bytes whose
 * bytes are its private copy, and which is not to be freed. One with a size but no data is no
 * argument: -EINVAL.
 *
 * As the size of a job's result: it is a conc_bytes, empty at first, which the job fills by
 * conc_bytes_new() or conc_bytes_copy(). The future owns it: if the job fails it is freed.
 * conc_future_value() borrows it; conc_future_result(), conc_call(), conc_map() ... give a copy,
 * for conc_bytes_free() (or -ENOMEM).
 */
#define CONC_BYTES ((size_t)-1)

/**
 * Make room for n bytes.
 *
 * @param ret  gives bytes of any content, for conc_bytes_free(); untouched on failure
 * @return 0; -ENOMEM
 *
 * Python: bytearray(n)
 * [anywhere | no | no]
 */
CONC_API CONC_MUST_CHECK int conc_bytes_new(conc_bytes *ret, size_t n);

/**
 * Make a copy of n bytes.
 *
 * @param ret   gives bytes, for conc_bytes_free(); untouched on failure
 * @param from  n bytes; borrowed; NULL if n is 0
 * @return 0; -ENOMEM; -EINVAL: no from
 *
 * Python: bytes(from)
 * [anywhere | no | no]
 */
CONC_API CONC_MUST_CHECK int conc_bytes_copy(conc_bytes *ret, const void *from, size_t n);

/**
 * Free them, and make the struct empty.
 *
 * [anywhere | no | no]
 */
CONC_API void conc_bytes_free(conc_bytes *bytes);

#ifdef __cplusplus
}
#endif
#endif
