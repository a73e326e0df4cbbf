/* SPDX-License-Identifier: MIT
 *
 * bytes.c: strings of bytes.
 */
#include <conc/bytes.h>

#include <string.h>

#include "base/alloc.h"
#include "base/bytes.h"

const struct bytes_place *conc__bytes_place;

int conc_bytes_new(conc_bytes *ret, size_t n)
{
    void *data = NULL;
    if (n && conc__bytes_place)
        data = conc__bytes_place->alloc(n);
    if (n && !data && !(data = alloc_bytes(n)))
        return -ENOMEM;
    *ret = (conc_bytes){data, n};
    return 0;
}

int conc_bytes_copy(conc_bytes *ret, const void *from, size_t n)
{
    if (n && !from)
        return -EINVAL;
    int err = conc_bytes_new(ret, n);
    if (err)
        return err;
    if (n)
        memcpy(ret->data, from, n);
    return 0;
}

void conc_bytes_free(conc_bytes *bytes)
{
    if (!conc__bytes_place || !conc__bytes_place->free(bytes->data))
        free_bytes(bytes->data);
    *bytes = (conc_bytes){0};
}
