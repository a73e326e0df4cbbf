/* SPDX-License-Identifier: MIT
 *
 * test_event.c: the event; and events that die on their waiter's stack while they are being set.
 */
#include <sched.h>
#include <stdlib.h>
#include <string.h>

#include <conc/event.h>

#include "base/hooks.h"
#include "support.h"
#include "sync/words.h"
#include "wait/wait.h"

static void test_event_is_not_set_at_first(void **state)
{
    static conc_event zero;
    conc_event initialised = CONC_EVENT_INIT, made;
    memset(&made, 0xff, sizeof made);
    conc_event_init(&made);
    conc_event *events[] = {&zero, &initialised, &made};
    for (int i = 0; i < 3; i++) {
        assert_false(conc_event_is_set(events[i]));
        assert_int_equal(conc_event_wait(events[i], CONC_NOW), -EAGAIN);
    }
}

static void test_set_stays_until_clear(void **state)
{
    conc_event event = CONC_EVENT_INIT;
    for (int round = 0; round < 2; round++) {
        conc_event_set(&event);
        conc_event_set(&event); /* twice is once */
        assert_true(conc_event_is_set(&event));
        assert_int_equal(conc_event_wait(&event, CONC_FOREVER), 0);
        assert_int_equal(conc_event_wait(&event, CONC_NOW), 0);
        assert_int_equal(conc_event_wait(&event, conc_in(0)), 0);
        conc_event_clear(&event);
        conc_event_clear(&event);
        assert_false(conc_event_is_set(&event));
        assert_int_equal(conc_event_wait(&event, CONC_NOW), -EAGAIN);
    }
}

static void test_wait_gives_up_on_its_deadline(void **state)
{
    conc_event event = CONC_EVENT_INIT;
    assert_int_equal(conc_event_wait(&event, conc_in(0)), -ETIMEDOUT);
    int64_t before = real_now();
    assert_int_equal(conc_event_wait(&event, conc_in(CONC_MS(10))), -ETIMEDOUT);
    assert_true(real_now() - before >= CONC_MS(10));
    assert_int_equal(event.word, 0);
}

/* ---- With others ---- */

struct waiter {
    struct test_thread thread;
    conc_event *event;
    conc_deadline deadline;
    conc_scope scope;
    int result, exit;
};

static void wait_for_it(void *arg)
{
    struct waiter *w = arg;
    conc_scope_enter(&w->scope, CONC_FOREVER);
    w->result = conc_event_wait(w->event, w->deadline);
    w->exit = conc_scope_exit(&w->scope);
}

static void start_waiters(conc_event *event, struct waiter *w, int n)
{
    for (int i = 0; i < n; i++) {
        w[i].event = event;
        if (w[i].deadline.ns == 0)
            w[i].deadline = CONC_FOREVER;
        test_thread_start(&w[i].thread, NULL, wait_for_it, &w[i]);
    }
    wait_until_n_blocked(event, (size_t)n);
}

static void end_waiters(struct waiter *w, int n)
{
    for (int i = 0; i < n; i++)
        test_thread_join(&w[i].thread);
}

static void test_set_wakes_all(void **state)
{
    conc_event event = CONC_EVENT_INIT;
    struct waiter w[8] = {0};
    start_waiters(&event, w, 8);
    conc_event_set(&event);
    end_waiters(w, 8);
    for (int i = 0; i < 8; i++)
        assert_int_equal(w[i].result, 0);
    assert_int_equal(event.word, EVENT_SET);
}

static void test_who_was_woken_returns_0_though_it_was_cleared(void **state)
{
    for (int i = 0; i < 100; i++) {
        conc_event event = CONC_EVENT_INIT;
        struct waiter w[4] = {0};
        start_waiters(&event, w, 4);
        conc_event_set(&event);
        conc_event_clear(&event); /* most likely before any of them runs */
        end_waiters(w, 4);
        for (int j = 0; j < 4; j++)
            assert_int_equal(w[j].result, 0);
        assert_false(conc_event_is_set(&event));
    }
}

static void test_cancel_and_deadline_end_their_own_waits_only(void **state)
{
    conc_event event = CONC_EVENT_INIT;
    struct waiter w[3] = {[1] = {.deadline = conc_in(CONC_S(900))}};
    start_waiters(&event, w, 3);
    conc_scope_cancel(&w[0].scope);
    conc__test_advance(CONC_S(1000));
    wait_until_n_blocked(&event, 1);
    conc_event_set(&event);
    end_waiters(w, 3);
    static const int results[] = {-ECANCELED, -ETIMEDOUT, 0};
    for (int i = 0; i < 3; i++)
        assert_int_equal(w[i].result, results[i]);
    assert_int_equal(w[0].exit, -ECANCELED);
}

static void test_set_that_races_a_time_out_is_success(void **state)
{
    conc_event event = CONC_EVENT_INIT;
    struct waiter w = {.deadline = conc_in(CONC_S(900))};
    start_waiters(&event, &w, 1);
    guard_lock(&event.word); /* as set() does */
    conc__test_advance(CONC_S(1000));
    WAIT_UNTIL(load_relaxed(&event.word) & GUARD_SLEEPERS); /* it is giving up */
    struct conc__waiter *chain = waitlist_take_all(&event.waiters);
    guard_unlock_with(&event.word, EVENT_WAITERS, EVENT_SET);
    conc__waiter_deliver_all(chain, 0);
    end_waiters(&w, 1);
    assert_int_equal(w.result, 0);
}

/* ---- What was done before is seen ---- */

struct message {
    conc_event ready, read;
    int value; /* plain: the events order it */
    struct stress stress;
    bool over;
};

static void read_messages(void *arg)
{
    struct message *m = arg;
    for (int expected = 1;; expected++) {
        if (expected % 2)
            CHECK_EQUAL(conc_event_wait(&m->ready, CONC_FOREVER), 0);
        else
            while (!conc_event_is_set(&m->ready))
                conc_yield();
        conc_event_clear(&m->ready);
        if (m->over)
            return;
        CHECK_EQUAL(m->value, expected);
        conc_event_set(&m->read);
    }
}

static void test_what_was_done_before_the_set_is_seen(void **state)
{
    struct message m = {.stress = stress_begin()};
    struct test_thread t;
    test_thread_start(&t, NULL, read_messages, &m);
    for (int i = 1; !m.over; i++) {
        m.value = i;
        m.over = !stress_goes_on(&m.stress);
        conc_event_set(&m.ready);
        if (!m.over)
            assert_int_equal(conc_event_wait(&m.read, CONC_FOREVER), 0);
        conc_event_clear(&m.read);
    }
    test_thread_join(&t);
}

/* ---- An event that dies when its waiter returns ---- */

struct desk {
    conc_event *event; /* NULL: none wants to be set. Atomic */
    uint32_t stop;
};

/* Up to a few hundred nanoseconds: so that each comes at any moment of what the other does. */
static void dawdle(struct test_random *r)
{
    for (volatile unsigned n = (unsigned)test_random_below(r, 200); n > 0;)
        n--;
}

static void set_what_comes(void *arg)
{
    struct desk *desk = arg;
    struct test_random r = test_random_for(conc_context_id(NULL));
    for (unsigned i = 1; !load_relaxed(&desk->stop); i++) {
        if (i % 1000 == 0)
            sched_yield(); /* or two threads on one core would only take turns */
        conc_event *event = __atomic_exchange_n(&desk->event, NULL, __ATOMIC_ACQ_REL);
        if (event) {
            dawdle(&r);
            conc_event_set(event); /* its waiter may be gone before this returns */
        }
    }
}

/* On the stack, below frames that the next calls overwrite. */
static void __attribute__((noinline)) wait_on_stack(struct desk *desk, struct test_random *r)
{
    conc_event event = CONC_EVENT_INIT;
    unsigned how = (unsigned)test_random_below(r, 3);
    __atomic_store_n(&desk->event, &event, __ATOMIC_RELEASE);
    dawdle(r);
    if (how == 0)
        while (!conc_event_is_set(&event))
            conc_yield();
    else
        CHECK_EQUAL(conc_event_wait(&event, CONC_FOREVER), 0);
    memset(&event, 0xff, sizeof event);
}

/* On the heap, so that ASan knows when it is gone. */
static void wait_on_heap(struct desk *desk, struct test_random *r)
{
    conc_event *event = malloc(sizeof *event);
    unsigned how = (unsigned)test_random_below(r, 3);
    CHECK(event);
    conc_event_init(event);
    __atomic_store_n(&desk->event, event, __ATOMIC_RELEASE);
    dawdle(r);
    if (how == 0)
        while (!conc_event_is_set(event))
            conc_yield();
    else
        CHECK_EQUAL(conc_event_wait(event, CONC_FOREVER), 0);
    free(event);
}

static void run_desk(void (*wait)(struct desk *desk, struct test_random *r))
{
    struct desk desk = {.event = NULL};
    struct test_thread t;
    struct test_random r = test_random_for(0);
    test_thread_start(&t, NULL, set_what_comes, &desk);
    struct stress stress = stress_begin();
    while (stress_goes_on(&stress))
        wait(&desk, &r);
    store_relaxed(&desk.stop, 1);
    test_thread_join(&t);
}

static void test_event_may_die_on_its_waiters_stack(void **state) { run_desk(wait_on_stack); }
static void test_event_may_be_freed_by_its_waiter(void **state) { run_desk(wait_on_heap); }

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_event_is_not_set_at_first),
    cmocka_unit_test(test_set_stays_until_clear),
    cmocka_unit_test(test_wait_gives_up_on_its_deadline),
    cmocka_unit_test(test_set_wakes_all),
    cmocka_unit_test(test_who_was_woken_returns_0_though_it_was_cleared),
    cmocka_unit_test(test_cancel_and_deadline_end_their_own_waits_only),
    cmocka_unit_test(test_set_that_races_a_time_out_is_success),
    cmocka_unit_test(test_what_was_done_before_the_set_is_seen),
    cmocka_unit_test(test_event_may_die_on_its_waiters_stack),
    cmocka_unit_test(test_event_may_be_freed_by_its_waiter),
};

TEST_MAIN(tests, 50)
