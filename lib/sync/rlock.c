/* SPDX-License-Identifier: MIT
 *
 * rlock.c: a re-entrant lock: a lock, its owner, and how often the owner has taken it.
 *
 * Invariant: `owner` is the id of a context only while that context holds `lock`, and only that
 * context writes it. So a context that reads its own id there owns the lock, and one that reads
 * anything else does not. An id, and not an address: a context that ends and leaves the lock held
 * must not make an owner of the next one that lies where it lay. `depth` is touched by the owner
 * only. Order: relaxed is enough for `owner`: a context always sees its own writes, and the lock
 * orders everything else.
 */
#include <conc/rlock.h>

#include "base/invariant.h"
#include "wait/wait.h"

static bool rlock_is_owned_by(const conc_rlock *rlock, const struct conc_context *self)
{
    return load_relaxed(&rlock->owner) == self->id;
}

/* Its owner takes it once more. */
static void rlock_deepen(conc_rlock *rlock)
{
    if (rlock->depth == UINT32_MAX) /* four thousand million times taken and not released */
        conc__misuse("an rlock was taken more often than can be counted");
    rlock->depth++;
}

static void rlock_become_owner(conc_rlock *rlock, struct conc_context *self)
{
    store_relaxed(&rlock->owner, self->id);
    rlock->depth = 1;
    self->rlocks++;
}

void conc_rlock_init(conc_rlock *rlock) { *rlock = (conc_rlock)CONC_RLOCK_INIT; }

void conc_rlock_enter(conc_rlock *rlock)
{
    struct conc_context *self = context_self();
    if (rlock_is_owned_by(rlock, self)) {
        rlock_deepen(rlock);
    } else {
        conc_lock_enter(&rlock->lock);
        rlock_become_owner(rlock, self);
    }
}

int conc_rlock_try_acquire(conc_rlock *rlock)
{
    struct conc_context *self = context_self();
    if (rlock_is_owned_by(rlock, self))
        rlock_deepen(rlock);
    else if (conc_lock_try_acquire(&rlock->lock) == 0)
        rlock_become_owner(rlock, self);
    else
        return -EAGAIN;
    return 0;
}

int conc_rlock_acquire(conc_rlock *rlock, conc_deadline deadline)
{
    struct conc_context *self = context_self();
    bool again = rlock_is_owned_by(rlock, self);
    int err = again ? wait_checkpoint(deadline) : conc_lock_acquire(&rlock->lock, deadline);
    if (err)
        return err;
    if (again)
        rlock_deepen(rlock);
    else
        rlock_become_owner(rlock, self);
    return 0;
}

int conc_rlock_release(conc_rlock *rlock)
{
    struct conc_context *self = context_self();
    if (!rlock_is_owned_by(rlock, self))
        return -EPERM;
    if (--rlock->depth > 0)
        return 0;
    self->rlocks--;
    store_relaxed(&rlock->owner, 0);
    return conc_lock_release(&rlock->lock);
}

bool conc_rlock_is_owned(const conc_rlock *rlock)
{
    return rlock_is_owned_by(rlock, context_self());
}

bool conc_rlock_is_locked(const conc_rlock *rlock) { return conc_lock_is_locked(&rlock->lock); }

void conc_rlock_exit(conc_rlock *rlock) { conc_rlock_release(rlock); }
