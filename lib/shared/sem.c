/* SPDX-License-Identifier: MIT
 *
 * sem.c: a counting semaphore between processes.
 *
 * How: the units are one word, which changes by one swap. So a process that dies has taken or given
 * all of its units, or none. Waiting is done by wait.c; a release wakes as many waiters as it gave
 * units.
 *
 * Order: giving units releases, taking one acquires.
 */
#include <limits.h>

#include "base/atomic.h"
#include "shared/shared_impl.h"

_Static_assert(sizeof(conc_shared_sem) == 16 && offsetof(conc_shared_sem, bound) == 4 &&
                   offsetof(conc_shared_sem, spot) == 8,
               "the layout of a shared semaphore crosses processes");

static uint32_t shared_sem_bound(const conc_shared_sem *sem)
{
    return sem->bound ? sem->bound : CONC_SHARED_SEM_MAX;
}

int conc_shared_sem_init(conc_shared_sem *sem, uint32_t value, uint32_t bound)
{
    if (bound > CONC_SHARED_SEM_MAX || value > (bound ? bound : CONC_SHARED_SEM_MAX))
        return -EINVAL;
    *sem = (conc_shared_sem){.units = value, .bound = bound};
    return 0;
}

static int shared_sem_take(void *arg)
{
    conc_shared_sem *sem = arg;
    uint32_t units = load_relaxed(&sem->units); /* relaxed: the swap acquires */
    while (units)
        if (cas_acquire(&sem->units, &units, units - 1))
            return 0;
    return -EAGAIN;
}

int conc_shared_sem_acquire(conc_shared_sem *sem, conc_deadline deadline)
{
    const struct shared_on on = {&sem->spot, shared_sem_take, sem, "shared sem", sem};
    return conc__shared_call(&on, deadline);
}

int conc_shared_sem_release(conc_shared_sem *sem, uint32_t n)
{
    if (n == 0)
        return -EINVAL;
    uint32_t units = load_relaxed(&sem->units); /* relaxed: the swap releases */
    do {
        if (n > shared_sem_bound(sem) - units)
            return -EOVERFLOW;
    } while (!cas_release(&sem->units, &units, units + n));
    conc__shared_notify(&sem->spot, n < INT_MAX ? (int)n : INT_MAX);
    return 0;
}

uint32_t conc_shared_sem_value(const conc_shared_sem *sem)
{
    return load_relaxed(&sem->units); /* relaxed: true only for the moment */
}
