/* SPDX-License-Identifier: MIT
 *
 * test_wait_stress.c: waking, moving, timing out and cancelling at random, with few and with
 * thousands. Every waiter that is taken off a list gets a ticket with a number of its own; in the
 * end each ticket must have arrived, once.
 */
#include <sched.h>
#include <stdlib.h>

#include <conc/context.h>

#include "room.h"
#include "support.h"
#include "wait/thread.h"

#define ROOMS 4
#define NOT_SERVED (-7) /* an outcome that no waker gives */

/* How many tickets, and which: a lost and a doubled one can't make up for each other in all
 * three. */
struct tickets {
    uint64_t count, sum, squares;
};

static void add_ticket(struct tickets *t, uint64_t number)
{
    fetch_add_relaxed(&t->count, 1);
    fetch_add_relaxed(&t->sum, number);
    fetch_add_relaxed(&t->squares, number * number);
}

struct world {
    struct room rooms[ROOMS];
    struct room *lobby; /* NULL, or where the mover sends waiters */
    size_t guests;
    struct guest *guest;
    unsigned rounds; /* that each guest waits; 0: until the time is over */
    struct stress stress;
    int last_ticket;
    uint32_t guests_left;
    struct tickets given, got;
    uint64_t timed_out, cancelled;
};

struct guest {
    struct test_thread thread;
    struct world *world;
    struct test_random random;
    pthread_mutex_t mutex; /* of the next */
    conc_scope *scope;     /* what the canceller may cancel; NULL: nothing */
};

static void set_scope(struct guest *g, conc_scope *scope)
{
    pthread_mutex_lock(&g->mutex);
    g->scope = scope;
    pthread_mutex_unlock(&g->mutex);
}

static conc_deadline some_deadline(struct test_random *r)
{
    switch (test_random_below(r, 4)) {
    case 0:
        return conc_in((int64_t)test_random_below(r, CONC_US(200)));
    case 1:
        return conc_in(0);
    default:
        return CONC_FOREVER;
    }
}

static void wait_once(struct guest *g)
{
    struct world *world = g->world;
    struct room *room = &world->rooms[test_random_below(&g->random, ROOMS)];
    bool scoped = test_random_below(&g->random, 2);
    conc_scope scope;
    if (scoped) {
        conc_scope_enter(&scope, some_deadline(&g->random));
        set_scope(g, &scope);
    }
    conc_deadline deadline = some_deadline(&g->random);
    struct conc__waiter w = waiter_here();
    const struct wait_on on = room_wait_on(room);
    w.outcome = NOT_SERVED;
    room_enter(room, &w);
    int end = conc__waiter_wait(&w, &on, deadline);
    CHECK(!load_relaxed(&w.list));
    if (end > 0)
        add_ticket(&world->got, (uint64_t)end);
    else if (end == -ETIMEDOUT)
        fetch_add_relaxed(&world->timed_out, 1);
    else
        CHECK_EQUAL(end, -ECANCELED);
    CHECK(end != -ETIMEDOUT || !deadline_is_forever(deadline));
    CHECK(end != -ECANCELED || scoped);
    fetch_add_relaxed(&world->cancelled, end == -ECANCELED);
    if (scoped) {
        set_scope(g, NULL);
        int why = conc_scope_exit(&scope);
        CHECK((why != 0) == (end == -ECANCELED));
    }
}

static void guest_main(void *arg)
{
    struct guest *g = arg;
    struct world *world = g->world;
    for (unsigned i = 0; world->rounds ? i < world->rounds : stress_goes_on(&world->stress); i++)
        wait_once(g);
    fetch_add_relaxed(&world->guests_left, -1);
}

static bool some_left(struct world *world) { return load_relaxed(&world->guests_left) > 0; }

static void let_out(struct world *world, struct room *room, size_t n)
{
    size_t taken;
    guard_lock(&room->word);
    struct conc__waiter *chain = conc__waitlist_take(&room->waiters, n, &taken);
    guard_unlock_with(&room->word, waitlist_is_empty(&room->waiters) ? ROOM_WAITERS : 0, 0);
    while (chain) {
        struct conc__waiter *w = chain;
        chain = w->next;
        int number = fetch_add_relaxed(&world->last_ticket, 1) + 1;
        add_ticket(&world->given, (uint64_t)number);
        conc__waiter_deliver(w, number);
    }
}

static void waker_main(void *arg)
{
    struct world *world = arg;
    struct test_random r = test_random_for(1000001);
    while (some_left(world)) {
        static const size_t amounts[] = {1, 1, 2, 7, SIZE_MAX};
        let_out(world, &world->rooms[test_random_below(&r, ROOMS)],
                amounts[test_random_below(&r, 5)]);
        if (world->lobby)
            let_out(world, world->lobby, amounts[test_random_below(&r, 5)]);
        if (test_random_below(&r, 8) == 0)
            sched_yield();
    }
}

static void canceller_main(void *arg)
{
    struct world *world = arg;
    struct test_random r = test_random_for(1000002);
    while (some_left(world)) {
        struct guest *g = &world->guest[test_random_below(&r, world->guests)];
        pthread_mutex_lock(&g->mutex);
        if (g->scope)
            conc_scope_cancel(g->scope);
        pthread_mutex_unlock(&g->mutex);
        if (test_random_below(&r, 8) == 0)
            sched_yield();
    }
}

/* From the rooms to the lobby, as a condition's notify does: under both guards. */
static void mover_main(void *arg)
{
    struct world *world = arg;
    struct test_random r = test_random_for(1000003);
    while (some_left(world)) {
        struct room *room = &world->rooms[test_random_below(&r, ROOMS)];
        guard_lock(&room->word);
        struct conc__waiter *chain =
            conc__waitlist_take(&room->waiters, test_random_below(&r, 4), NULL);
        guard_lock(&world->lobby->word);
        while (chain) {
            struct conc__waiter *w = chain;
            chain = w->next;
            w->firm = true;
            conc__waitlist_push(&world->lobby->waiters, w);
        }
        guard_unlock_with(&world->lobby->word, 0, ROOM_WAITERS);
        guard_unlock_with(&room->word, waitlist_is_empty(&room->waiters) ? ROOM_WAITERS : 0, 0);
    }
}

static void run(size_t guests, unsigned rounds, struct room *lobby)
{
    struct world world = {.guests = guests, .rounds = rounds, .lobby = lobby};
    world.guests_left = (uint32_t)guests;
    world.guest = calloc(guests, sizeof *world.guest);
    CHECK(world.guest);
    world.stress = stress_begin();
    for (size_t i = 0; i < guests; i++) {
        struct guest *g = &world.guest[i];
        g->world = &world;
        g->random = test_random_for((unsigned)i);
        pthread_mutex_init(&g->mutex, NULL);
    }
    for (size_t i = 0; i < guests; i++)
        test_thread_start(&world.guest[i].thread, NULL, guest_main, &world.guest[i]);
    struct test_thread helpers[3];
    test_thread_start(&helpers[0], "waker", waker_main, &world);
    test_thread_start(&helpers[1], "canceller", canceller_main, &world);
    if (lobby)
        test_thread_start(&helpers[2], "mover", mover_main, &world);
    for (size_t i = 0; i < guests; i++)
        test_thread_join(&world.guest[i].thread);
    for (int i = 0; i < (lobby ? 3 : 2); i++)
        test_thread_join(&helpers[i]);
    assert_int_equal(world.got.count, world.given.count);
    assert_int_equal(world.got.sum, world.given.sum);
    assert_int_equal(world.got.squares, world.given.squares);
    for (size_t i = 0; i < ROOMS; i++)
        assert_true(waitlist_is_empty(&world.rooms[i].waiters));
    /* or the schedule has tested nothing */
    assert_true(world.got.count > 0 && world.timed_out > 0 && world.cancelled > 0);
    free(world.guest);
}

static void test_few_waiters_lose_and_double_no_wakeup(void **state) { run(6, 0, NULL); }

static void test_moved_waiters_lose_and_double_no_wakeup(void **state)
{
    struct room lobby = {0};
    run(6, 0, &lobby);
}

static void test_on_one_core_no_wakeup_is_lost_or_doubled(void **state)
{
    struct room lobby = {0};
    use_one_core();
    run(24, 0, &lobby);
    use_all_cores();
}

static void test_thousands_of_waiters_lose_and_double_no_wakeup(void **state)
{
    run(crowd_of(2000), 5, NULL);
}

static void test_thousands_of_moved_waiters_lose_and_double_no_wakeup(void **state)
{
    struct room lobby = {0};
    run(crowd_of(2000), 5, &lobby);
}

/* ---- A kick against the park ---- */

struct nap {
    struct conc_context *sleeper; /* atomic; NULL: not there yet */
    uint32_t naps;                /* how many are over; atomic */
    uint32_t stop;
};

/* Up to a few hundred nanoseconds: so that each comes at any moment of what the other does. */
static void dawdle(struct test_random *r)
{
    for (volatile unsigned n = (unsigned)test_random_below(r, 200); n > 0;)
        n--;
}

static void take_naps(void *arg)
{
    struct nap *nap = arg;
    struct test_random r = test_random_for(1);
    struct conc_context *self = conc_context_current();
    __atomic_store_n(&nap->sleeper, self, __ATOMIC_RELEASE);
    while (!load_relaxed(&nap->stop)) {
        dawdle(&r);
        thread_of(self)->spinner = (struct spinner){
            .yields = (unsigned)test_random_below(&r, 2)}; /* or it would hardly ever sleep */
        while (!(self->ops->park(self, CONC_FOREVER) & PARK_KICKED))
            continue;
        fetch_add_relaxed(&nap->naps, 1);
    }
}

static void test_kick_racing_the_park_is_never_lost(void **state)
{
    struct nap nap = {.stop = 0};
    struct test_thread t;
    struct conc_context *sleeper;
    struct test_random r = test_random_for(2);
    test_thread_start(&t, "sleeper", take_naps, &nap);
    WAIT_UNTIL((sleeper = __atomic_load_n(&nap.sleeper, __ATOMIC_ACQUIRE)));
    struct stress stress = stress_begin();
    uint32_t naps = 0;
    while (stress_goes_on(&stress)) {
        dawdle(&r);
        sleeper->ops->kick(sleeper);
        naps++;
        for (unsigned i = 1; load_relaxed(&nap.naps) != naps; i++) /* for ever, if it was lost */
            if (i % 1000 == 0)
                sched_yield();
    }
    store_relaxed(&nap.stop, 1);
    sleeper->ops->kick(sleeper);
    test_thread_join(&t);
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_kick_racing_the_park_is_never_lost),
    cmocka_unit_test(test_few_waiters_lose_and_double_no_wakeup),
    cmocka_unit_test(test_moved_waiters_lose_and_double_no_wakeup),
    cmocka_unit_test(test_on_one_core_no_wakeup_is_lost_or_doubled),
    cmocka_unit_test(test_thousands_of_waiters_lose_and_double_no_wakeup),
    cmocka_unit_test(test_thousands_of_moved_waiters_lose_and_double_no_wakeup),
};

TEST_MAIN(tests, 100)
