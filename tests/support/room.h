/* SPDX-License-Identifier: MIT
 *
 * room.h: the plainest primitive that can be built on wait/wait.h, to test that by itself: contexts
 * wait in a room until another lets them out, with a number.
 */
#ifndef CONC_TESTS_ROOM_H
#define CONC_TESTS_ROOM_H

#include "wait/wait.h"

#define ROOM_WAITERS 1u

struct room {
    uint32_t word;
    uint32_t gave_up; /* how often, under the guard */
    struct conc__waitlist waiters;
};

static void room_gave_up(void *object)
{
    struct room *room = object;
    if (load_relaxed(&room->word) & GUARD_HELD)
        room->gave_up++;
}

static inline void room_enter(struct room *room, struct conc__waiter *w)
{
    guard_lock(&room->word);
    conc__waitlist_push(&room->waiters, w);
    guard_unlock_with(&room->word, 0, ROOM_WAITERS);
}

static inline struct wait_on room_wait_on(struct room *room)
{
    return (struct wait_on){.list = &room->waiters,
                            .guard = &room->word,
                            .if_empty = ROOM_WAITERS,
                            .what = "room",
                            .object = room,
                            .gave_up = room_gave_up};
}

static inline int room_wait(struct room *room, conc_deadline deadline)
{
    struct conc__waiter w = waiter_here();
    const struct wait_on on = room_wait_on(room);
    room_enter(room, &w);
    return conc__waiter_wait(&w, &on, deadline);
}

/* Let the first n out, with the numbers first, first + 1 ...; returns how many there were. */
static inline size_t room_let_out(struct room *room, size_t n, int first)
{
    size_t taken;
    guard_lock(&room->word);
    struct conc__waiter *chain = conc__waitlist_take(&room->waiters, n, &taken);
    guard_unlock_with(&room->word, waitlist_is_empty(&room->waiters) ? ROOM_WAITERS : 0, 0);
    while (chain) {
        struct conc__waiter *w = chain;
        chain = w->next;
        conc__waiter_deliver(w, first++);
    }
    return taken;
}

#endif
