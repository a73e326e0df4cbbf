/* SPDX-License-Identifier: MIT
 *
 * error.c: the names of errors, and the version.
 */
#include <limits.h>
#include <string.h>

#include <conc/base.h>

#define STRING2(x) #x
#define STRING(x) STRING2(x)

const char *conc_version(void)
{
    return STRING(CONC_VERSION_MAJOR) "." STRING(CONC_VERSION_MINOR) "." STRING(CONC_VERSION_PATCH);
}

const char *conc_strerror(int err)
{
    if (err == INT_MIN)
        return "unknown error";
    if (err < 0)
        err = -err;
    switch (err) {
    case 0:
        return "success";
    case ECANCELED:
        return "cancelled";
    case ETIMEDOUT:
        return "timed out";
    case EAGAIN:
        return "would have to wait";
    case ESHUTDOWN:
        return "shut down";
    case CONC_EBROKEN:
        return "broken";
    }
#ifdef __GLIBC__
    /* strerror() is neither static nor thread-safe there. */
    const char *text = strerrordesc_np(err);
    return text ? text : "unknown error";
#else
    return strerror(err);
#endif
}
