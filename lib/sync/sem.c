/* SPDX-License-Identifier: MIT
 *
 * sem.c: a counting semaphore.
 *
 *     UNITS    the free units, in the word's low bits
 *     WAITERS  the list is not empty (under the guard)
 *
 * How: acquire takes a unit with one swap; at zero it waits on the list. release adds units with
 * one swap if there are no waiters and none is about to come (the guard is free). Otherwise, under
 * the guard, it gives a unit to each of the first waiters and adds what is left. Units that are
 * given never stand in the word, so no other context can take them before the waiter that they are
 * for: first come, first served. Invariant: units > 0 implies that the list is empty. Order: the
 * release in conc_sem_release() pairs with the acquire in sem_take(), or with the delivery's.
 * Destruction: the units appear by the last operation on the word, so that the context that takes
 * the last of them may free the semaphore.
 */
#include <conc/sem.h>

#include "sync/words.h"
#include "wait/wait.h"

#define UNITS CONC_SEM_MAX

int conc_sem_init(conc_sem *sem, uint32_t value, uint32_t bound)
{
    if (value > CONC_SEM_MAX || bound > CONC_SEM_MAX || (bound && value > bound))
        return -EINVAL;
    *sem = (conc_sem)CONC_SEM_INIT_BOUND(value, bound);
    return 0;
}

/* Take a unit if there is one. It may be called while another context holds the guard: meanwhile
 * the units only become fewer. */
static bool sem_take(conc_sem *sem)
{
    uint32_t v = load_relaxed(&sem->word); /* relaxed: the swap acquires */
    while (v & UNITS)
        if (cas_acquire(&sem->word, &v, v - 1))
            return true;
    return false;
}

int conc_sem_acquire(conc_sem *sem, conc_deadline deadline)
{
    int err = wait_checkpoint(deadline);
    if (err || sem_take(sem))
        return err;
    if (deadline_is_now(deadline))
        return -EAGAIN;
    struct conc__waiter w = waiter_here();
    guard_lock(&sem->word);
    if (sem_take(sem)) {
        guard_unlock(&sem->word);
        return 0;
    }
    conc__waitlist_push(&sem->waiters, &w);
    guard_unlock_with(&sem->word, 0, SEM_WAITERS);
    const struct wait_on on = {.list = &sem->waiters,
                               .guard = &sem->word,
                               .if_empty = SEM_WAITERS,
                               .what = "semaphore",
                               .object = sem};
    return conc__waiter_wait(&w, &on, deadline);
}

/* Would n units more, beside those in the word v, keep to the bound? */
static bool sem_has_room_for(const conc_sem *sem, uint32_t v, uint32_t n)
{
    uint32_t bound = sem->bound ? sem->bound : CONC_SEM_MAX;
    return n <= bound - (v & UNITS);
}

static int sem_release_to_waiters(conc_sem *sem, uint32_t n)
{
    guard_lock(&sem->word);
    if (!sem_has_room_for(sem, load_relaxed(&sem->word), n)) { /* relaxed: the guard acquired */
        guard_unlock(&sem->word);
        return -EOVERFLOW;
    }
    size_t served;
    struct conc__waiter *chain = conc__waitlist_take(&sem->waiters, n, &served);
    guard_unlock_add(&sem->word, waitlist_is_empty(&sem->waiters) ? SEM_WAITERS : 0,
                     n - (uint32_t)served);
    conc__waiter_deliver_all(chain, 0);
    return 0;
}

int conc_sem_release(conc_sem *sem, uint32_t n)
{
    if (n == 0)
        return -EINVAL;
    uint32_t v = load_relaxed(&sem->word); /* relaxed: the swap releases */
    while (!(v & (SEM_WAITERS | GUARD_HELD))) {
        if (!sem_has_room_for(sem, v, n))
            return -EOVERFLOW;
        if (cas_release(&sem->word, &v, v + n))
            return 0;
    }
    return sem_release_to_waiters(sem, n);
}

uint32_t conc_sem_value(const conc_sem *sem)
{
    return load_relaxed(&sem->word) & UNITS; /* relaxed: true only for the moment */
}
