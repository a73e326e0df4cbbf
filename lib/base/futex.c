/* SPDX-License-Identifier: MIT
 *
 * futex.c: see futex.h. The deadline goes to the kernel as an absolute time on CLOCK_MONOTONIC,
 * which is what FUTEX_WAIT_BITSET takes. Errors need no look: EAGAIN (the value has changed), EINTR
 * and ETIMEDOUT all mean 'look again', which the caller's loop does.
 */
#include "base/futex.h"

#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/clock.h"

#ifdef CONC_TEST_HOOKS
/* A test may move the clock while we sleep: look again now and then. */
static conc_deadline slice(conc_deadline deadline)
{
    return deadline_earlier(deadline, conc_in(CONC_MS(2)));
}
#else
static conc_deadline slice(conc_deadline deadline) { return deadline; }
#endif

void conc__futex_wait(uint32_t *word, uint32_t value, conc_deadline deadline)
{
    struct timespec at, *until = NULL;
    if (!deadline_is_forever(deadline)) {
        at = conc__kernel_time(slice(deadline));
        until = &at;
    }
    syscall(SYS_futex, word, FUTEX_WAIT_BITSET_PRIVATE, value, until, NULL, FUTEX_BITSET_MATCH_ANY);
}

void conc__futex_wake(uint32_t *word, int n)
{
    syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, n, NULL, NULL, 0);
}
