/* SPDX-License-Identifier: MIT
 *
 * futex.c: see futex.h. The deadline goes to the kernel as an absolute time on CLOCK_MONOTONIC,
 * which is what FUTEX_WAIT_BITSET takes. Errors are not looked at: EAGAIN (the value has changed),
 * EINTR and ETIMEDOUT all mean 'look again', which the caller's loop does.
 *
 * A thread that waits for a word in shared memory must also notice a kick, which changes its own
 * word: futex_waitv(2) (Linux 5.16) sleeps on both. Where that call is missing or refused, the
 * thread sleeps on the shared word only, for such a short time that the kick can wait
 * (WITHOUT_WAITV).
 *
 * ThreadSanitizer delays a signal's handler until the thread makes a call that it knows. A futex is
 * no such call, and a wait goes on after a signal. So under it no wait is long (TSAN_LIMIT), and
 * a call that it knows follows each.
 */
#include "base/futex.h"

#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/atomic.h"
#include "base/checkers.h"
#include "base/clock.h"

/* A wait's length, at most: where no kick can end it, and under ThreadSanitizer. */
#define WITHOUT_WAITV CONC_MS(5)
#define TSAN_LIMIT CONC_MS(50)

/* When a wait must end at the latest; NULL: never. */
static const struct timespec *futex_end_of_wait(conc_deadline deadline, struct timespec *at)
{
#ifdef WITH_TSAN
    deadline = deadline_earlier(deadline, conc_in(TSAN_LIMIT));
#endif
    if (deadline_is_forever(deadline))
        return NULL;
    *at = conc__kernel_time(conc__sleep_limit(deadline));
    return at;
}

/* After a wait, with its result, which it returns. Keeps errno. */
static long futex_let_handlers_run(long result)
{
#ifdef WITH_TSAN
    int error = errno;
    usleep(0);
    errno = error;
#endif
    return result;
}

void conc__futex_wait(uint32_t *word, uint32_t value, conc_deadline deadline)
{
    struct timespec at;
    futex_let_handlers_run(syscall(SYS_futex, word, FUTEX_WAIT_BITSET_PRIVATE, value,
                                   futex_end_of_wait(deadline, &at), NULL, FUTEX_BITSET_MATCH_ANY));
}

void conc__futex_wake(uint32_t *word, int n)
{
    syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, n, NULL, NULL, 0);
}

/* False: this system has no such call. */
static bool futex_wait_both(uint32_t *shared, uint32_t value, uint32_t *own, uint32_t own_value,
                            const struct timespec *until)
{
#if defined(SYS_futex_waitv) && defined(FUTEX_32)
    static uint32_t is_missing;
    struct futex_waitv both[] = {
        {.val = value, .uaddr = (uintptr_t)shared, .flags = FUTEX_32},
        {.val = own_value, .uaddr = (uintptr_t)own, .flags = FUTEX_32 | FUTEX_PRIVATE_FLAG},
    };
    if (load_relaxed(&is_missing)) /* relaxed: only what an earlier call has learned */
        return false;
    if (futex_let_handlers_run(syscall(SYS_futex_waitv, both, 2, 0, until, CLOCK_MONOTONIC)) >= 0)
        return true;
    bool missing = errno == ENOSYS || errno == EPERM;
    if (missing)
        store_relaxed(&is_missing, 1);
    return !missing;
#else
    return false;
#endif
}

void conc__futex_wait_shared(uint32_t *shared, uint32_t value, uint32_t *own, uint32_t own_value,
                             conc_deadline deadline)
{
    struct timespec at;
    if (futex_wait_both(shared, value, own, own_value, futex_end_of_wait(deadline, &at)))
        return;
    at = conc__kernel_time(deadline_earlier(deadline, conc_in(WITHOUT_WAITV)));
    futex_let_handlers_run(
        syscall(SYS_futex, shared, FUTEX_WAIT_BITSET, value, &at, NULL, FUTEX_BITSET_MATCH_ANY));
}

void conc__futex_wake_shared(uint32_t *word, int n)
{
    syscall(SYS_futex, word, FUTEX_WAKE, n, NULL, NULL, 0);
}
