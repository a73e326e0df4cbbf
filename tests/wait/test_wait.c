/* SPDX-License-Identifier: MIT
 *
 * test_wait.c: the wait room: lists, waking, giving up, and the races between the two, each
 * provoked by holding the guard at the right moment. At random, and with thousands:
 * test_wait_stress.c.
 */
#include <conc/context.h>

#include "base/hooks.h"
#include "room.h"
#include "support.h"
#include "wait/thread.h"

/* ---- Lists ---- */

static size_t list_length(const struct conc__waitlist *list)
{
    size_t n = 0;
    const struct conc__waiter *w = list->head;
    if (w) {
        do {
            assert_ptr_equal(w->list, list);
            assert_ptr_equal(w->next->prev, w);
            assert_ptr_equal(w->prev->next, w);
            w = w->next;
            n++;
        } while (w != list->head);
    }
    return n;
}

static void waiters_init(struct conc__waiter *w, int n)
{
    for (int i = 0; i < n; i++)
        w[i] = waiter_here();
}

static void test_list_all_zero_is_empty(void **state)
{
    struct conc__waitlist list = {0};
    assert_true(waitlist_is_empty(&list));
    assert_null(waitlist_pop(&list));
    assert_null(waitlist_take_all(&list));
}

static void test_list_pop_gives_them_in_order(void **state)
{
    struct conc__waitlist list = {0};
    struct conc__waiter w[3];
    waiters_init(w, 3);
    for (int i = 0; i < 3; i++)
        conc__waitlist_push(&list, &w[i]);
    assert_int_equal(list_length(&list), 3);
    for (int i = 0; i < 3; i++) {
        assert_ptr_equal(waitlist_pop(&list), &w[i]);
        assert_null(w[i].list);
        assert_int_equal(list_length(&list), 2 - i);
    }
}

static void test_list_push_front_overtakes(void **state)
{
    struct conc__waitlist list = {0};
    struct conc__waiter w[3];
    waiters_init(w, 3);
    conc__waitlist_push_front(&list, &w[1]);
    conc__waitlist_push(&list, &w[2]);
    conc__waitlist_push_front(&list, &w[0]);
    assert_int_equal(list_length(&list), 3);
    for (int i = 0; i < 3; i++)
        assert_ptr_equal(waitlist_pop(&list), &w[i]);
}

static void test_list_remove_leaves_the_others_in_order(void **state)
{
    for (int removed = 0; removed < 4; removed++) {
        struct conc__waitlist list = {0};
        struct conc__waiter w[4];
        waiters_init(w, 4);
        for (int i = 0; i < 4; i++)
            conc__waitlist_push(&list, &w[i]);
        conc__waitlist_remove(&list, &w[removed]);
        assert_null(w[removed].list);
        assert_int_equal(list_length(&list), 3);
        for (int i = 0; i < 4; i++)
            if (i != removed)
                assert_ptr_equal(waitlist_pop(&list), &w[i]);
        assert_true(waitlist_is_empty(&list));
    }
}

static void test_list_take_chains_the_first_n(void **state)
{
    static const size_t wanted[] = {0, 1, 2, 3, 4, SIZE_MAX};
    for (size_t i = 0; i < sizeof wanted / sizeof *wanted; i++) {
        struct conc__waitlist list = {0};
        struct conc__waiter w[3];
        waiters_init(w, 3);
        for (int j = 0; j < 3; j++)
            conc__waitlist_push(&list, &w[j]);
        size_t expected = wanted[i] < 3 ? wanted[i] : 3, taken = 99;
        struct conc__waiter *chain = conc__waitlist_take(&list, wanted[i], &taken);
        assert_int_equal(taken, expected);
        for (size_t j = 0; j < expected; j++, chain = chain->next) {
            assert_ptr_equal(chain, &w[j]);
            assert_null(chain->list);
        }
        assert_null(chain);
        assert_int_equal(list_length(&list), 3 - expected);
    }
}

/* ---- A guest waits in a room, in a thread of its own ---- */

struct guest {
    struct test_thread thread;
    struct room *room;
    conc_deadline deadline;
    conc_scope scope; /* entered if `scoped` */
    bool scoped, shielded, firm;
    int result;     /* of the wait */
    int afterwards; /* of conc_check_cancel() after it, still in the scope */
    int exit;       /* of the scope */
};

static int guest_wait(struct guest *g)
{
    if (!g->firm)
        return room_wait(g->room, g->deadline);
    struct conc__waiter w = waiter_here_firmly();
    const struct wait_on on = room_wait_on(g->room);
    room_enter(g->room, &w);
    return conc__waiter_wait_firmly(&w, &on);
}

static void guest_main(void *arg)
{
    struct guest *g = arg;
    conc_scope shield;
    if (g->scoped)
        conc_scope_enter(&g->scope, CONC_FOREVER);
    if (g->shielded)
        conc_shield_enter(&shield);
    g->result = guest_wait(g);
    if (g->shielded)
        CHECK_EQUAL(conc_shield_exit(&shield), 0);
    g->afterwards = conc_check_cancel();
    if (g->scoped)
        g->exit = conc_scope_exit(&g->scope);
}

/* Start a guest, after whom the room holds n. */
static void guest_start(struct guest *g, struct room *room, size_t n)
{
    g->room = room;
    if (g->deadline.ns == 0)
        g->deadline = CONC_FOREVER;
    test_thread_start(&g->thread, "guest", guest_main, g);
    wait_until_n_blocked(room, n);
}

static int guest_end(struct guest *g)
{
    test_thread_join(&g->thread);
    return g->result;
}

/* ---- Waking ---- */

static void test_wake_one_by_one_wakes_in_order_of_arrival(void **state)
{
    struct room room = {0};
    struct guest g[4] = {0};
    for (size_t i = 0; i < 4; i++)
        guest_start(&g[i], &room, i + 1);
    for (int i = 0; i < 4; i++) {
        assert_int_equal(room_let_out(&room, 1, 10 + i), 1);
        assert_int_equal(guest_end(&g[i]), 10 + i);
        wait_until_n_blocked(&room, 3 - i);
    }
    assert_int_equal(room.word, 0);
}

static void test_wake_n_wakes_just_the_first_n(void **state)
{
    struct room room = {0};
    struct guest g[4] = {0};
    for (size_t i = 0; i < 4; i++)
        guest_start(&g[i], &room, i + 1);
    assert_int_equal(room_let_out(&room, 3, 0), 3);
    for (int i = 0; i < 3; i++)
        assert_int_equal(guest_end(&g[i]), i);
    wait_until_n_blocked(&room, 1);
    assert_int_equal(room.word, ROOM_WAITERS);
    assert_int_equal(room_let_out(&room, SIZE_MAX, 3), 1);
    assert_int_equal(guest_end(&g[3]), 3);
}

static void test_wake_all_wakes_all(void **state)
{
    struct room room = {0};
    struct guest g[8] = {0};
    for (size_t i = 0; i < 8; i++)
        guest_start(&g[i], &room, i + 1);
    assert_int_equal(room_let_out(&room, SIZE_MAX, 0), 8);
    for (int i = 0; i < 8; i++)
        assert_int_equal(guest_end(&g[i]), i);
}

static void test_wake_without_waiters_is_not_remembered(void **state)
{
    struct room room = {0};
    assert_int_equal(room_let_out(&room, 1, 0), 0);
    assert_int_equal(room_wait(&room, conc_in(0)), -ETIMEDOUT);
}

static void test_wake_from_before_the_park_is_found_by_it(void **state)
{
    struct room room = {0};
    struct conc__waiter w = waiter_here();
    const struct wait_on on = room_wait_on(&room);
    room_enter(&room, &w);
    assert_int_equal(room_let_out(&room, 1, 5), 1);
    assert_int_equal(conc__waiter_wait(&w, &on, CONC_FOREVER), 5);
}

/* ---- Giving up ---- */

static void test_wait_past_its_deadline_times_out_and_leaves_the_list(void **state)
{
    struct room room = {0};
    assert_int_equal(room_wait(&room, conc_in(-1)), -ETIMEDOUT);
    assert_true(waitlist_is_empty(&room.waiters));
    assert_int_equal(room.word, 0);
    assert_int_equal(room.gave_up, 1);
}

static void test_wait_times_out_when_its_deadline_comes_not_before(void **state)
{
    struct room room = {0};
    struct guest g = {.deadline = conc_in(CONC_S(1000))};
    guest_start(&g, &room, 1);
    conc__test_advance(CONC_S(900));
    wait_until_n_blocked(&room, 1);
    conc__test_advance(CONC_S(101));
    assert_int_equal(guest_end(&g), -ETIMEDOUT);
    assert_int_equal(room.gave_up, 1);
}

static void test_wait_by_the_real_clock_times_out_in_time(void **state)
{
    struct room room = {0};
    int64_t before = real_now();
    assert_int_equal(room_wait(&room, conc_in(CONC_MS(30))), -ETIMEDOUT);
    assert_true(real_now() - before >= CONC_MS(30));
}

static void test_giving_up_in_the_middle_keeps_the_others(void **state)
{
    struct room room = {0};
    struct guest g[3] = {[1] = {.scoped = true}};
    for (size_t i = 0; i < 3; i++)
        guest_start(&g[i], &room, i + 1);
    conc_scope_cancel(&g[1].scope);
    assert_int_equal(guest_end(&g[1]), -ECANCELED);
    assert_int_equal(load_relaxed(&room.word), ROOM_WAITERS);
    assert_int_equal(room_let_out(&room, SIZE_MAX, 0), 2);
    assert_int_equal(guest_end(&g[0]), 0);
    assert_int_equal(guest_end(&g[2]), 1);
}

static void test_the_last_who_gives_up_clears_the_bit(void **state)
{
    struct room room = {0};
    struct guest g[2] = {{.scoped = true}, {.scoped = true}};
    for (size_t i = 0; i < 2; i++)
        guest_start(&g[i], &room, i + 1);
    conc_scope_cancel(&g[0].scope);
    assert_int_equal(guest_end(&g[0]), -ECANCELED);
    assert_int_equal(load_relaxed(&room.word), ROOM_WAITERS);
    conc_scope_cancel(&g[1].scope);
    assert_int_equal(guest_end(&g[1]), -ECANCELED);
    assert_int_equal(room.word, 0);
    assert_int_equal(room.gave_up, 2);
}

static void test_cancel_from_before_the_wait_ends_it_at_once(void **state)
{
    struct room room = {0};
    conc_scope scope;
    conc_scope_enter(&scope, CONC_FOREVER);
    conc_scope_cancel(&scope);
    assert_int_equal(room_wait(&room, CONC_FOREVER), -ECANCELED);
    assert_int_equal(room_wait(&room, CONC_FOREVER), -ECANCELED); /* again: it is a level */
    assert_int_equal(conc_scope_exit(&scope), -ECANCELED);
    assert_int_equal(room.word, 0);
}

static void test_cancel_beats_a_deadline_that_is_past_too(void **state)
{
    struct room room = {0};
    conc_scope scope;
    conc_scope_enter(&scope, CONC_FOREVER);
    conc_scope_cancel(&scope);
    assert_int_equal(room_wait(&room, conc_in(0)), -ECANCELED);
    assert_int_equal(conc_scope_exit(&scope), -ECANCELED);
}

static void test_cancel_while_parked_ends_the_wait(void **state)
{
    struct room room = {0};
    struct guest g = {.scoped = true};
    guest_start(&g, &room, 1);
    conc_scope_cancel(&g.scope);
    assert_int_equal(guest_end(&g), -ECANCELED);
    assert_int_equal(g.afterwards, -ECANCELED);
    assert_int_equal(g.exit, -ECANCELED);
}

static void test_scope_deadline_ends_a_wait_without_one(void **state)
{
    struct room room = {0};
    conc_scope scope;
    conc_scope_enter(&scope, conc_in(CONC_MS(20)));
    assert_int_equal(room_wait(&room, CONC_FOREVER), -ECANCELED);
    assert_int_equal(conc_scope_exit(&scope), -ETIMEDOUT);
}

static void test_kick_without_cause_does_not_end_a_wait(void **state)
{
    struct room room = {0};
    struct guest g = {.scoped = true};
    guest_start(&g, &room, 1);
    for (int i = 0; i < 100; i++)
        g.scope.context->ops->kick(g.scope.context);
    WAIT_UNTIL(load_relaxed(&thread_of(g.scope.context)->word) ==
               THREAD_SLEEPING /* the kicks consumed */);
    wait_until_n_blocked(&room, 1);
    assert_int_equal(room_let_out(&room, 1, 7), 1);
    assert_int_equal(guest_end(&g), 7);
}

static void test_late_kick_does_not_end_the_next_wait(void **state)
{
    struct room room = {0};
    struct conc_context *self = conc_context_current();
    self->ops->kick(self);
    assert_int_equal(room_wait(&room, conc_in(CONC_MS(5))), -ETIMEDOUT);
}

static void test_shield_keeps_a_cancel_from_the_wait(void **state)
{
    struct room room = {0};
    struct guest g = {.scoped = true, .shielded = true};
    guest_start(&g, &room, 1);
    conc_scope_cancel(&g.scope);
    WAIT_UNTIL(load_relaxed(&thread_of(g.scope.context)->word) == THREAD_SLEEPING);
    assert_int_equal(room_let_out(&room, 1, 7), 1);
    assert_int_equal(guest_end(&g), 7);
    assert_int_equal(g.afterwards, -ECANCELED);
}

static void test_firm_wait_is_not_cancelled(void **state)
{
    struct room room = {0};
    struct guest g = {.scoped = true, .firm = true};
    guest_start(&g, &room, 1);
    conc_scope_cancel(&g.scope);
    WAIT_UNTIL(load_relaxed(&thread_of(g.scope.context)->word) == THREAD_SLEEPING);
    assert_int_equal(room_let_out(&room, 1, 7), 1);
    assert_int_equal(guest_end(&g), 7);
    assert_int_equal(g.afterwards, -ECANCELED); /* it was kept for the next call */
}

/* ---- Giving up against being woken ---- */

enum when { DELIVER_BEFORE_IT_LOOKS, DELIVER_AFTER_IT_LOOKED };

/* Make the guest want to give up while we hold the guard; then take it off its list after all. (It
 * is taken before it is cancelled: a cancelled one cannot be.) */
static void take_while_it_gives_up(struct guest *g, bool by_cancel, enum when when)
{
    struct room *room = g->room;
    guard_lock(&room->word);
    struct conc__waiter *w = by_cancel ? waitlist_pop(&room->waiters) : NULL;
    if (by_cancel)
        conc_scope_cancel(&g->scope);
    else
        conc__test_advance(CONC_S(1000));
    /* It sleeps until it gets the guard: it wants to give up, and has not yet. */
    WAIT_UNTIL(load_relaxed(&room->word) & GUARD_SLEEPERS);
    if (!w)
        w = waitlist_pop(&room->waiters);
    struct conc_context *context = w->context;
    if (when == DELIVER_BEFORE_IT_LOOKS)
        conc__waiter_deliver(w, 42);
    guard_unlock_with(&room->word, ROOM_WAITERS, 0);
    if (when == DELIVER_AFTER_IT_LOOKED) {
        WAIT_UNTIL(load_relaxed(&thread_of(context)->word) == THREAD_SLEEPING);
        conc__waiter_deliver(w, 42);
    }
}

static void test_hand_over_that_races_a_time_out_returns_success(void **state)
{
    for (enum when when = 0; when <= DELIVER_AFTER_IT_LOOKED; when++) {
        struct room room = {0};
        struct guest g = {.scoped = true, .deadline = conc_in(CONC_S(900))};
        guest_start(&g, &room, 1);
        take_while_it_gives_up(&g, false, when);
        assert_int_equal(guest_end(&g), 42);
        assert_int_equal(room.gave_up, 0);
        assert_int_equal(g.exit, 0);
    }
}

static void test_hand_over_that_races_a_cancel_returns_success(void **state)
{
    for (enum when when = 0; when <= DELIVER_AFTER_IT_LOOKED; when++) {
        struct room room = {0};
        struct guest g = {.scoped = true};
        guest_start(&g, &room, 1);
        take_while_it_gives_up(&g, true, when);
        assert_int_equal(guest_end(&g), 42);
        assert_int_equal(room.gave_up, 0);
        assert_int_equal(g.afterwards, -ECANCELED); /* not lost: it meets the next call */
        assert_int_equal(g.exit, -ECANCELED);
    }
}

/* Cancel the first guest, and take one before it knows. */
static void test_guest_that_was_cancelled_before_is_turned_away(void **state)
{
    struct room room = {0};
    struct guest first = {.scoped = true}, second = {.scoped = true};
    guest_start(&first, &room, 1);
    guest_start(&second, &room, 2);
    guard_lock(&room.word);
    conc_scope_cancel(&first.scope);
    struct conc__waiter *w = waitlist_pop(&room.waiters);
    assert_ptr_equal(w->context, second.scope.context);
    assert_true(waitlist_is_empty(&room.waiters));
    guard_unlock_with(&room.word, ROOM_WAITERS, 0);
    conc__waiter_deliver(w, 42);
    assert_int_equal(guest_end(&first), -ECANCELED);
    assert_int_equal(first.exit, -ECANCELED);
    assert_int_equal(guest_end(&second), 42);
    assert_int_equal(second.exit, 0);
    assert_int_equal(room.gave_up, 0); /* the taker knows how many it has turned away */
}

static void test_moved_waiter_waits_on_though_its_deadline_has_come(void **state)
{
    struct room room = {0}, other = {0};
    struct guest g = {.deadline = conc_in(CONC_S(900))};
    guest_start(&g, &room, 1);
    guard_lock(&room.word);
    guard_lock(&other.word);
    struct conc__waiter *w = waitlist_pop(&room.waiters);
    w->firm = true;
    conc__waitlist_push(&other.waiters, w);
    guard_unlock_with(&other.word, 0, ROOM_WAITERS);
    guard_unlock_with(&room.word, ROOM_WAITERS, 0);
    guard_lock(&room.word);
    conc__test_advance(CONC_S(1000));
    WAIT_UNTIL(load_relaxed(&room.word) & GUARD_SLEEPERS);
    guard_unlock(&room.word);
    WAIT_UNTIL(load_relaxed(&thread_of(w->context)->word) == THREAD_SLEEPING);
    assert_int_equal(room_let_out(&other, 1, 42), 1);
    assert_int_equal(guest_end(&g), 42);
    assert_int_equal(room.gave_up, 0);
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_list_all_zero_is_empty),
    cmocka_unit_test(test_list_pop_gives_them_in_order),
    cmocka_unit_test(test_list_push_front_overtakes),
    cmocka_unit_test(test_list_remove_leaves_the_others_in_order),
    cmocka_unit_test(test_list_take_chains_the_first_n),
    cmocka_unit_test(test_wake_one_by_one_wakes_in_order_of_arrival),
    cmocka_unit_test(test_wake_n_wakes_just_the_first_n),
    cmocka_unit_test(test_wake_all_wakes_all),
    cmocka_unit_test(test_wake_without_waiters_is_not_remembered),
    cmocka_unit_test(test_wake_from_before_the_park_is_found_by_it),
    cmocka_unit_test(test_wait_past_its_deadline_times_out_and_leaves_the_list),
    cmocka_unit_test(test_wait_times_out_when_its_deadline_comes_not_before),
    cmocka_unit_test(test_wait_by_the_real_clock_times_out_in_time),
    cmocka_unit_test(test_giving_up_in_the_middle_keeps_the_others),
    cmocka_unit_test(test_the_last_who_gives_up_clears_the_bit),
    cmocka_unit_test(test_cancel_from_before_the_wait_ends_it_at_once),
    cmocka_unit_test(test_cancel_beats_a_deadline_that_is_past_too),
    cmocka_unit_test(test_cancel_while_parked_ends_the_wait),
    cmocka_unit_test(test_scope_deadline_ends_a_wait_without_one),
    cmocka_unit_test(test_kick_without_cause_does_not_end_a_wait),
    cmocka_unit_test(test_late_kick_does_not_end_the_next_wait),
    cmocka_unit_test(test_shield_keeps_a_cancel_from_the_wait),
    cmocka_unit_test(test_firm_wait_is_not_cancelled),
    cmocka_unit_test(test_hand_over_that_races_a_time_out_returns_success),
    cmocka_unit_test(test_hand_over_that_races_a_cancel_returns_success),
    cmocka_unit_test(test_guest_that_was_cancelled_before_is_turned_away),
    cmocka_unit_test(test_moved_waiter_waits_on_though_its_deadline_has_come),
};

TEST_MAIN(tests, 50)
