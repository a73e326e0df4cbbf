/* SPDX-License-Identifier: MIT
 *
 * create.c: starting an operating-system thread.
 */
#include "thread/create.h"

#include <errno.h>
#include <limits.h>
#include <sched.h>
#include <unistd.h>

#include "base/hooks.h"

/* A whole number of pages, and at least what the system needs. */
static size_t thread_stack_size(size_t size)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE), least = (size_t)sysconf(_SC_THREAD_STACK_MIN);
    if (size < least)
        size = least;
    return (size + page - 1) / page * page;
}

int conc__thread_create(pthread_t *thread, size_t stack_size, void *(*main)(void *), void *arg)
{
#ifdef CONC_TEST_HOOKS
    if (conc__test_fails(&conc__hooks.fail_thread_in))
        return -ENOMEM;
#endif
    if (!thread_stack_is_possible(stack_size))
        return -EINVAL;
    pthread_attr_t attr;
    if (pthread_attr_init(&attr) != 0)
        return -ENOMEM;
    int err = stack_size ? pthread_attr_setstacksize(&attr, thread_stack_size(stack_size)) : 0;
    if (err)
        goto out;
    err = pthread_create(thread, &attr, main, arg);
out:
    pthread_attr_destroy(&attr);
    return err == EAGAIN ? -ENOMEM : -err; /* EAGAIN: out of memory, or of threads */
}

size_t conc__usable_cpus(void)
{
    cpu_set_t usable;
    long n = sched_getaffinity(0, sizeof usable, &usable) == 0 ? CPU_COUNT(&usable)
                                                               : sysconf(_SC_NPROCESSORS_ONLN);
    return n > 0 ? (size_t)n : 1;
}
