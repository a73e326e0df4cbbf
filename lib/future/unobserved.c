/* SPDX-License-Identifier: MIT
 *
 * unobserved.c: reports errors that no caller has asked for.
 */
#include "future/unobserved.h"

#include <stdio.h>

#include <conc/future.h>

#include "base/guard.h"

static struct {
    uint32_t word; /* the guard of the two below */
    conc_error_fn *fn;
    void *arg;
} unobserved_hook;

void conc_future_on_unobserved(conc_error_fn *fn, void *arg)
{
    guard_lock(&unobserved_hook.word);
    unobserved_hook.fn = fn;
    unobserved_hook.arg = arg;
    guard_unlock(&unobserved_hook.word);
}

void conc__report_unobserved(int err, const char *message)
{
    guard_lock(&unobserved_hook.word);
    conc_error_fn *fn = unobserved_hook.fn;
    void *arg = unobserved_hook.arg;
    guard_unlock(&unobserved_hook.word);
    if (fn)
        fn(err, message, arg);
    else
        fprintf(stderr, "libconc: a job failed and nobody asked for its result: %s (%d)\n",
                *message ? message : conc_strerror(err), err);
}
