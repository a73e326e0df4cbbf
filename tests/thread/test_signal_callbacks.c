/* SPDX-License-Identifier: MIT
 *
 * test_signal_callbacks.c: callbacks for signals, and what becomes of the actions that the signals
 * had before.
 */
#include <conc/event.h>

#include "base/atomic.h"
#include "signals.h"
#include "thread/signal_impl.h"

/* ---- Callbacks ---- */

struct calls {
    struct signal_callback callback;
    conc_event called, go_on;
    uint32_t count; /* atomic */
    uint32_t *order;
    uint32_t place; /* among those with the same `order` */
};

static void note_call(int signo, void *arg)
{
    struct calls *c = arg;
    CHECK_EQUAL(signo, c->callback.signo);
    if (c->order)
        c->place = fetch_add_relaxed(c->order, 1);
    fetch_add_relaxed(&c->count, 1);
    conc_event_set(&c->called);
}

static void add(struct calls *c, int signo, void (*fn)(int signo, void *arg))
{
    c->callback.signo = signo;
    c->callback.fn = fn;
    c->callback.arg = c;
    CHECK_EQUAL(conc__signal_add(&c->callback), 0);
}

static void await_call(struct calls *c)
{
    CHECK_EQUAL(conc_event_wait(&c->called, CONC_FOREVER), 0);
    conc_event_clear(&c->called);
}

static void test_all_callbacks_are_called_in_their_order(void **state)
{
    uint32_t order = 0;
    struct calls c[3] = {{.order = &order}, {.order = &order}, {.order = &order}};
    struct calls other = {.count = 0};
    add(&other, SIGUSR2, note_call);
    for (int i = 0; i < 3; i++)
        add(&c[i], SIGUSR1, note_call);
    send_signal(SIGUSR1);
    for (int i = 0; i < 3; i++)
        await_call(&c[i]);
    for (uint32_t i = 0; i < 3; i++) {
        assert_int_equal(c[i].place, i);
        conc__signal_remove(&c[i].callback);
    }
    conc__signal_remove(&other.callback);
    assert_int_equal(other.count, 0);
}

static void test_who_waits_comes_before_callbacks(void **state)
{
    struct calls c = {.count = 0};
    struct waiter w = {.result = 0};
    add(&c, SIGUSR1, note_call);
    start_waiter(&w, "waiter", set_of_one(SIGUSR1));
    send_signal(SIGUSR1);
    test_thread_join(&w.thread);
    assert_int_equal(w.result, SIGUSR1);
    assert_int_equal(load_relaxed(&c.count), 0);
    send_signal(SIGUSR1);
    await_call(&c);
    conc__signal_remove(&c.callback);
    assert_int_equal(c.count, 1);
}

static void test_callback_that_is_added_late_gets_what_was_kept(void **state)
{
    struct calls c = {.count = 0};
    catch_it(SIGUSR1);
    send_signal(SIGUSR1);
    add(&c, SIGUSR1, note_call);
    await_call(&c);
    conc__signal_remove(&c.callback);
    assert_int_equal(c.count, 1);
    assert_int_equal(wait_for(SIGUSR1, CONC_NOW), -EAGAIN);
}

static void test_removed_callback_is_not_called(void **state)
{
    struct calls c[2] = {{.count = 0}};
    add(&c[0], SIGUSR1, note_call);
    add(&c[1], SIGUSR1, note_call);
    conc__signal_remove(&c[0].callback);
    conc__signal_remove(&c[0].callback); /* twice is once */
    send_signal(SIGUSR1);
    await_call(&c[1]);
    conc__signal_remove(&c[1].callback);
    assert_int_equal(c[0].count, 0);
    catch_it(SIGUSR1);
    send_signal(SIGUSR1);
    assert_int_equal(wait_for(SIGUSR1, CONC_FOREVER), SIGUSR1);
}

static void take_time(int signo, void *arg)
{
    struct calls *c = arg;
    conc_event_set(&c->called);
    CHECK_EQUAL(conc_event_wait(&c->go_on, CONC_FOREVER), 0);
    note_call(signo, arg);
}

static void remove_it(void *arg)
{
    struct calls *c = arg;
    conc__signal_remove(&c->callback);
    CHECK_EQUAL(c->count, 1);
}

static void test_remove_waits_until_the_callback_is_over(void **state)
{
    struct calls c = {.count = 0}, after = {.count = 0};
    struct test_thread t[2];
    add(&c, SIGUSR1, take_time);
    add(&after, SIGUSR1, note_call);
    send_signal(SIGUSR1);
    await_call(&c);
    test_thread_start(&t[0], "remover", remove_it, &c);
    test_thread_start(&t[1], "another", remove_it, &c);
    wait_until_blocked("remover", "signal callback");
    wait_until_blocked("another", "signal callback");
    conc__signal_remove(&after.callback); /* not the one that runs: no need to wait */
    conc_event_set(&c.go_on);
    test_thread_join(&t[0]);
    test_thread_join(&t[1]);
    assert_int_equal(after.count, 0);
}

static void test_signal_that_a_context_waits_for_is_not_taken_from_it(void **state)
{
    struct calls c = {.count = 0};
    struct waiter w = {.result = 0};
    add(&c, SIGUSR2, take_time);
    start_waiter(&w, "waiter", set_of_one(SIGUSR1));
    send_signal(SIGUSR2);
    await_call(&c);
    send_signal(SIGUSR1); /* the callback holds up its delivery */
    assert_int_equal(wait_for(SIGUSR1, CONC_NOW), -EAGAIN);
    conc_event_set(&c.go_on);
    test_thread_join(&w.thread);
    assert_int_equal(w.result, SIGUSR1);
    conc__signal_remove(&c.callback);
}

static void remove_itself(int signo, void *arg)
{
    struct calls *c = arg;
    conc__signal_remove(&c->callback);
    note_call(signo, arg);
}

static void test_callback_may_remove_itself(void **state)
{
    struct calls c = {.count = 0};
    catch_it(SIGUSR1);
    add(&c, SIGUSR1, remove_itself);
    send_signal(SIGUSR1);
    await_call(&c);
    conc__signal_remove(&c.callback); /* waits, in case that it still runs */
    send_signal(SIGUSR1);
    assert_int_equal(wait_for(SIGUSR1, CONC_FOREVER), SIGUSR1);
    assert_int_equal(c.count, 1);
}

/* ---- What the signal did before ---- */

static volatile sig_atomic_t handled;

static void handle(int signo) { handled = handled + signo; }

static void test_release_restores_the_users_handler(void **state)
{
    struct sigaction action = {.sa_handler = handle}, now;
    release(SIGUSR1); /* what other tests have caught */
    assert_int_equal(sigaction(SIGUSR1, &action, NULL), 0);
    handled = 0;
    catch_it(SIGUSR1);
    catch_it(SIGUSR1);
    send_signal(SIGUSR1);
    assert_int_equal(handled, 0);
    release(SIGUSR1);
    send_signal(SIGUSR1);
    assert_int_equal(handled, SIGUSR1);
    release(SIGUSR1);
    assert_int_equal(wait_for(SIGUSR1, CONC_NOW), -EAGAIN); /* forgotten */
    release(SIGUSR1);
    assert_int_equal(sigaction(SIGUSR1, NULL, &now), 0);
    assert_true(now.sa_handler == handle);
}

static void test_program_and_callbacks_hold_a_signal_each_for_itself(void **state)
{
    struct sigaction action = {.sa_handler = handle};
    struct calls c = {.count = 0};
    release(SIGUSR1);
    assert_int_equal(sigaction(SIGUSR1, &action, NULL), 0);
    handled = 0;
    catch_it(SIGUSR1);
    add(&c, SIGUSR1, note_call);
    release(SIGUSR1); /* but not from the callback */
    send_signal(SIGUSR1);
    await_call(&c);
    assert_int_equal(handled, 0);
    catch_it(SIGUSR1);
    conc__signal_remove(&c.callback); /* but not from the program */
    send_signal(SIGUSR1);
    assert_int_equal(wait_for(SIGUSR1, CONC_FOREVER), SIGUSR1);
    assert_int_equal(handled, 0);
    release(SIGUSR1);
    add(&c, SIGUSR1, note_call);
    conc__signal_remove(&c.callback);
    send_signal(SIGUSR1);
    assert_int_equal(handled, SIGUSR1);
}

static void test_release_leaves_an_action_set_since(void **state)
{
    struct sigaction action = {.sa_handler = handle}, since = {.sa_handler = SIG_IGN}, now;
    release(SIGUSR1);
    assert_int_equal(sigaction(SIGUSR1, &action, NULL), 0);
    catch_it(SIGUSR1);
    assert_int_equal(sigaction(SIGUSR1, &since, NULL), 0);
    release(SIGUSR1);
    assert_int_equal(sigaction(SIGUSR1, NULL, &now), 0);
    assert_true(now.sa_handler == SIG_IGN);
}

static int have_no_callback(void *arg)
{
    struct calls *c = arg;
    handled = 0;
    send_signal(SIGUSR1);
    conc__signal_remove(&c->callback); /* ignored */
    return handled == SIGUSR1 ? 42 : 1;
}

static void test_childs_signals_are_not_given_to_the_parents_callbacks(void **state)
{
    struct sigaction action = {.sa_handler = handle};
    struct calls c = {.count = 0};
    release(SIGUSR1);
    assert_int_equal(sigaction(SIGUSR1, &action, NULL), 0);
    add(&c, SIGUSR1, note_call);
    assert_int_equal(in_child(have_no_callback, &c), 42);
    send_signal(SIGUSR1);
    await_call(&c);
    conc__signal_remove(&c.callback);
    assert_int_equal(c.count, 1);
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_all_callbacks_are_called_in_their_order),
    cmocka_unit_test(test_who_waits_comes_before_callbacks),
    cmocka_unit_test(test_callback_that_is_added_late_gets_what_was_kept),
    cmocka_unit_test(test_removed_callback_is_not_called),
    cmocka_unit_test(test_remove_waits_until_the_callback_is_over),
    cmocka_unit_test(test_signal_that_a_context_waits_for_is_not_taken_from_it),
    cmocka_unit_test(test_callback_may_remove_itself),
    cmocka_unit_test(test_release_restores_the_users_handler),
    cmocka_unit_test(test_program_and_callbacks_hold_a_signal_each_for_itself),
    cmocka_unit_test(test_release_leaves_an_action_set_since),
    cmocka_unit_test(test_childs_signals_are_not_given_to_the_parents_callbacks),
};

TEST_MAIN(tests, 50)
