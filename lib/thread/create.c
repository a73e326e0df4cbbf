/* SPDX-License-Identifier: MIT
 *
 * create.c: starting an operating-system thread.
 *
 * Where the program has taken all thread-specific keys, the end of a thread is not seen by itself
 * (wait/thread.c). Then the library's own threads begin in a function that tells it, however they
 * end.
 */
#include "thread/create.h"

#include <errno.h>
#include <limits.h>
#include <sched.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/hooks.h"
#include "wait/thread.h"

/* A whole number of pages, and at least what the system needs. */
static size_t thread_stack_size(size_t size)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE), least = (size_t)sysconf(_SC_THREAD_STACK_MIN);
    if (size < least)
        size = least;
    return (size + page - 1) / page * page;
}

/* What a thread that tells its end is to run. */
struct thread_start {
    void *(*main)(void *arg);
    void *arg;
};

static void thread_tell_end(void *unused)
{
    (void)unused;
    conc__thread_end();
}

static void *thread_main_that_tells(void *arg)
{
    struct thread_start start = *(struct thread_start *)arg;
    void *result;
    free_bytes(arg);
    conc__thread_begin();
    pthread_cleanup_push(thread_tell_end, NULL);
    result = start.main(start.arg);
    pthread_cleanup_pop(1);
    return result;
}

static int thread_create_with(pthread_t *thread, const pthread_attr_t *attr, void *(*main)(void *),
                              void *arg)
{
    if (!conc__thread_tells_end())
        return pthread_create(thread, attr, main, arg);
    struct thread_start *start = alloc_one(struct thread_start);
    if (!start)
        return ENOMEM;
    *start = (struct thread_start){main, arg};
    int err = pthread_create(thread, attr, thread_main_that_tells, start);
    if (err)
        free_bytes(start);
    return err;
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
    err = thread_create_with(thread, &attr, main, arg);
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
