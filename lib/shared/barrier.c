/* SPDX-License-Identifier: MIT
 *
 * barrier.c: parties of several processes that wait for each other.
 *
 * How: everything is one word of 64 bits. So each step is one swap, and a process that dies has
 * made it, or not:
 *
 *     count     the parties that have come in this round
 *     BROKEN
 *     history   how the last 16 rounds have ended, the last one in the lowest bit; 1: by a reset
 *     round     counts the rounds
 *
 *     arrive     count + 1; the last one: count 0, round + 1, history: 0
 *     give up    if the round is still the party's, and not broken: BROKEN, count 0
 *     abort      BROKEN, count 0
 *     reset      count 0, BROKEN cleared, round + 1, history: 1
 *
 * A party waits until the round is another or the barrier is broken, and learns from the history
 * how its round has ended, whatever has happened since. (Only a party that sleeps while 16
 * rounds go by without it, because others come in its place, can be wrong: it is told that its
 * round went well.)
 *
 * Order: every swap releases and acquires, so what a party did before it came is seen by all others
 * after their wait.
 */
#include <limits.h>

#include "base/atomic.h"
#include "shared/shared_impl.h"
#include "wait/wait.h"

#define SHARED_BARRIER_COUNT ((uint64_t)CONC_SHARED_BARRIER_MAX) /* 20 bits */
#define SHARED_BARRIER_BROKEN ((uint64_t)1 << 20)
#define SHARED_BARRIER_HISTORY_SHIFT 21
#define SHARED_BARRIER_HISTORY_ROUNDS 16 /* a bit each */
#define SHARED_BARRIER_HISTORY 0xffffu
#define SHARED_BARRIER_ROUND_SHIFT 37
#define SHARED_BARRIER_ROUNDS ((uint64_t)1 << (64 - SHARED_BARRIER_ROUND_SHIFT))

_Static_assert(sizeof(conc_shared_barrier) == 24 && offsetof(conc_shared_barrier, spot) == 8 &&
                   offsetof(conc_shared_barrier, parties) == 16,
               "the layout of a shared barrier crosses processes");

static uint32_t shared_barrier_round(uint64_t s)
{
    return (uint32_t)(s >> SHARED_BARRIER_ROUND_SHIFT);
}

static uint64_t shared_barrier_next_round(uint64_t s, bool by_reset)
{
    uint64_t history = (s >> SHARED_BARRIER_HISTORY_SHIFT << 1 | by_reset) & SHARED_BARRIER_HISTORY;
    return (shared_barrier_round(s) + UINT64_C(1)) << SHARED_BARRIER_ROUND_SHIFT |
           history << SHARED_BARRIER_HISTORY_SHIFT;
}

int conc_shared_barrier_init(conc_shared_barrier *barrier, uint32_t parties)
{
    if (parties == 0 || parties > CONC_SHARED_BARRIER_MAX)
        return -EINVAL;
    *barrier = (conc_shared_barrier){.parties = parties};
    return 0;
}

void conc_shared_barrier_reset(conc_shared_barrier *barrier)
{
    uint64_t s = load_acquire(&barrier->state);
    while (!cas64_acq_rel(&barrier->state, &s, shared_barrier_next_round(s, true)))
        continue;
    conc__shared_notify(&barrier->spot, INT_MAX);
}

void conc_shared_barrier_abort(conc_shared_barrier *barrier)
{
    uint64_t s = load_acquire(&barrier->state);
    while (!cas64_acq_rel(&barrier->state, &s, (s & ~SHARED_BARRIER_COUNT) | SHARED_BARRIER_BROKEN))
        continue;
    conc__shared_notify(&barrier->spot, INT_MAX);
}

bool conc_shared_barrier_is_broken(const conc_shared_barrier *barrier)
{
    return load_acquire(&barrier->state) & SHARED_BARRIER_BROKEN;
}

uint32_t conc_shared_barrier_parties(const conc_shared_barrier *barrier)
{
    return barrier->parties;
}

uint32_t conc_shared_barrier_n_waiting(const conc_shared_barrier *barrier)
{
    return (uint32_t)(load_acquire(&barrier->state) & SHARED_BARRIER_COUNT);
}

struct shared_party {
    conc_shared_barrier *barrier;
    uint32_t round;
};

/* How the party's round has ended: 0, or -CONC_EBROKEN; -EAGAIN: it has not. */
static int shared_party_look(const struct shared_party *p, uint64_t s)
{
    uint64_t later = (shared_barrier_round(s) - (uint64_t)p->round) % SHARED_BARRIER_ROUNDS;
    if (later == 0)
        return s & SHARED_BARRIER_BROKEN ? -CONC_EBROKEN : -EAGAIN;
    uint64_t history = s >> SHARED_BARRIER_HISTORY_SHIFT & SHARED_BARRIER_HISTORY;
    return later <= SHARED_BARRIER_HISTORY_ROUNDS && history >> (later - 1) & 1 ? -CONC_EBROKEN : 0;
}

static int shared_party_has_ended(void *arg)
{
    const struct shared_party *p = arg;
    return shared_party_look(p, load_acquire(&p->barrier->state));
}

/* Break the barrier, because the party does not wait any longer. Returns `why`; or how the round
 * has ended meanwhile. */
static int shared_party_give_up(const struct shared_party *p, int why)
{
    uint64_t s = load_acquire(&p->barrier->state);
    do {
        int end = shared_party_look(p, s);
        if (end != -EAGAIN)
            return end;
    } while (!cas64_acq_rel(&p->barrier->state, &s,
                            (s & ~SHARED_BARRIER_COUNT) | SHARED_BARRIER_BROKEN));
    conc__shared_notify(&p->barrier->spot, INT_MAX);
    return conc__shared_ended(why);
}

/* Count the party in. Returns its index; or an error, and it is not counted. */
static int shared_party_arrive(struct shared_party *p, conc_deadline deadline)
{
    conc_shared_barrier *barrier = p->barrier;
    uint64_t s = load_acquire(&barrier->state), next;
    uint32_t index;
    do {
        if (s & SHARED_BARRIER_BROKEN)
            return -CONC_EBROKEN;
        index = (uint32_t)(s & SHARED_BARRIER_COUNT);
        bool last = index + 1 == barrier->parties;
        if (!last && deadline_is_now(deadline))
            return -EAGAIN;
        next = last ? shared_barrier_next_round(s, false) : s + 1;
    } while (!cas64_acq_rel(&barrier->state, &s, next));
    p->round = shared_barrier_round(s);
    return (int)index;
}

int conc_shared_barrier_wait(conc_shared_barrier *barrier, conc_deadline deadline)
{
    int err = wait_checkpoint(deadline);
    if (err) {
        conc_shared_barrier_abort(barrier); /* or others would wait for the caller */
        return err;
    }
    struct shared_party party = {.barrier = barrier};
    int index = shared_party_arrive(&party, deadline);
    if (index < 0)
        return index;
    if (index + 1 == (int)barrier->parties) {
        conc__shared_notify(&barrier->spot, INT_MAX);
        return index;
    }
    const struct shared_on on = {&barrier->spot, shared_party_has_ended, &party, "shared barrier",
                                 barrier};
    int end = conc__shared_wait(&on, deadline);
    if (end == -ETIMEDOUT || end == -ECANCELED)
        end = shared_party_give_up(&party, end);
    return end < 0 ? end : index;
}
