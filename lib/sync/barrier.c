/* SPDX-License-Identifier: MIT
 *
 * barrier.c: parties that wait for each other.
 *
 * How: under the guard each party counts itself. All but the last push themselves on the list. The
 * last takes all of them off it and sets the count to zero, which begins the next round; runs the
 * action; and delivers to them. So a round that is complete can no longer be broken or time out,
 * and a party that comes meanwhile belongs to the next one.
 *
 * A party that has been cancelled, but is still on the list, is not one of them: the last one finds
 * some missing, and the barrier is broken.
 *
 * BROKEN in the word changes under the guard only. A party that gives up sets it, and uncounts
 * itself, in the moment in which it leaves the list (barrier_gave_up), so that no later party can
 * count it; then it sends the others away. Invariant: `waiting` is the length of the list.
 */
#include <conc/barrier.h>

#include <limits.h>

#include "base/invariant.h"
#include "sync/words.h"
#include "wait/wait.h"

/* An index is an int. */
static bool barrier_can_have(uint32_t parties) { return parties > 0 && parties <= INT_MAX; }

int conc_barrier_init(conc_barrier *barrier, uint32_t parties, conc_barrier_fn *action, void *arg)
{
    if (!barrier_can_have(parties))
        return -EINVAL;
    *barrier = (conc_barrier)CONC_BARRIER_INIT(parties, action, arg);
    return 0;
}

/* relaxed: written under the guard; conc_barrier_n_waiting() looks without it */
static void barrier_set_waiting(conc_barrier *barrier, uint32_t n)
{
    store_relaxed(&barrier->waiting, n);
}

/* Send those who wait away; then clear and set these bits. */
static void barrier_send_away(conc_barrier *barrier, uint32_t clear, uint32_t set)
{
    guard_lock(&barrier->word);
    struct conc__waiter *chain = waitlist_take_all(&barrier->waiters);
    barrier_set_waiting(barrier, 0);
    guard_unlock_with(&barrier->word, clear, set);
    conc__waiter_deliver_all(chain, -CONC_EBROKEN);
}

void conc_barrier_reset(conc_barrier *barrier) { barrier_send_away(barrier, BARRIER_BROKEN, 0); }

void conc_barrier_abort(conc_barrier *barrier) { barrier_send_away(barrier, 0, BARRIER_BROKEN); }

bool conc_barrier_is_broken(const conc_barrier *barrier)
{
    return load_relaxed(&barrier->word) & BARRIER_BROKEN; /* relaxed: true only for the moment */
}

uint32_t conc_barrier_parties(const conc_barrier *barrier) { return barrier->parties; }

uint32_t conc_barrier_n_waiting(const conc_barrier *barrier)
{
    return load_relaxed(&barrier->waiting); /* relaxed: true only for the moment */
}

/* The last party: release the guard, run the action, let the others go; unless one of them has been
 * cancelled. */
static int barrier_complete(conc_barrier *barrier, uint32_t index)
{
    size_t others;
    struct conc__waiter *chain = conc__waitlist_take(&barrier->waiters, SIZE_MAX, &others);
    bool complete = others == index;
    barrier_set_waiting(barrier, 0);
    guard_unlock_with(&barrier->word, 0, complete ? 0 : BARRIER_BROKEN);
    int err = complete ? 0 : -CONC_EBROKEN;
    if (complete && barrier->action) {
        /* The next round may be complete before this one's action is done. */
        conc_with_lock (&barrier->acting)
            err = barrier->action(barrier->arg);
    }
    if (err && complete)
        conc_barrier_abort(barrier);
    conc__waiter_deliver_all(chain, err ? -CONC_EBROKEN : 0);
    if (err)
        return err < 0 ? err : -CONC_EBROKEN;
    return (int)index;
}

/* Under the guard: a waiter has given up. */
static void barrier_gave_up(void *object)
{
    conc_barrier *barrier = object;
    invariant(barrier->waiting > 0, "a party that gives up was counted");
    barrier_set_waiting(barrier, barrier->waiting - 1);
    /* The word has the guard's bits too, which may change meanwhile. */
    fetch_or_release(&barrier->word, BARRIER_BROKEN);
}

/* After barrier_gave_up(): the other waiters go too, unless a reset has come since and did that. */
static void barrier_send_others_away(conc_barrier *barrier)
{
    guard_lock(&barrier->word);
    struct conc__waiter *chain = NULL;
    if (conc_barrier_is_broken(barrier)) {
        chain = waitlist_take_all(&barrier->waiters);
        barrier_set_waiting(barrier, 0);
    }
    guard_unlock(&barrier->word);
    conc__waiter_deliver_all(chain, -CONC_EBROKEN);
}

int conc_barrier_wait(conc_barrier *barrier, conc_deadline deadline)
{
    if (!barrier_can_have(barrier->parties)) /* one of CONC_BARRIER_INIT() */
        return -EINVAL;
    int err = wait_checkpoint(deadline);
    if (err) {
        conc_barrier_abort(barrier); /* or the others would wait for ever */
        return err;
    }
    struct conc__waiter w = waiter_here();
    guard_lock(&barrier->word);
    uint32_t index = barrier->waiting;
    if (conc_barrier_is_broken(barrier)) {
        guard_unlock(&barrier->word);
        return -CONC_EBROKEN;
    }
    if (index + 1 == barrier->parties)
        return barrier_complete(barrier, index);
    if (deadline_is_now(deadline)) {
        guard_unlock(&barrier->word);
        return -EAGAIN;
    }
    barrier_set_waiting(barrier, index + 1);
    conc__waitlist_push(&barrier->waiters, &w);
    guard_unlock(&barrier->word);
    const struct wait_on on = {.list = &barrier->waiters,
                               .guard = &barrier->word,
                               .what = "barrier",
                               .object = barrier,
                               .gave_up = barrier_gave_up};
    int end = conc__waiter_wait(&w, &on, deadline);
    if (end == -ETIMEDOUT || end == -ECANCELED)
        barrier_send_others_away(barrier);
    return end < 0 ? end : (int)index;
}
