/* SPDX-License-Identifier: MIT
 *
 * test_generator_scope.c: cancellation, deadlines and scopes in a generator and around its
 * consumer.
 */
#include <conc/event.h>
#include <conc/generator.h>

#include "base/atomic.h"
#include "base/hooks.h"
#include "support.h"

/* What a body has seen, for the consumer to look at. */
struct notes {
    int slept, yielded, exited, checked;
    conc_scope scope; /* the body's */
    conc_event event;
};

static conc_generator *make(conc_generator_fn *body, struct notes *notes)
{
    conc_generator *g;
    CHECK_EQUAL(conc_generator_new(&g, body, &notes, sizeof notes, sizeof(int), NULL), 0);
    return g;
}

static struct notes *notes_of(void *arg) { return *(struct notes **)arg; }

static int next_by(conc_generator *g, conc_deadline deadline)
{
    int item;
    return conc_generator_next(g, &item, deadline);
}

static int next(conc_generator *g) { return next_by(g, CONC_FOREVER); }

static int yield(conc_generator *g)
{
    int item = 0;
    return conc_generator_yield(g, &item);
}

/* ---- Deadlines of next() ---- */

static int sleep_long(conc_generator *g, void *arg)
{
    struct notes *n = notes_of(arg);
    n->slept = conc_sleep(CONC_S(1000));
    return n->slept;
}

static void test_deadline_ends_the_bodys_wait(void **state)
{
    struct notes n = {0};
    conc_generator *g = make(sleep_long, &n);
    assert_int_equal(next_by(g, conc_in(CONC_MS(10))), -ETIMEDOUT);
    assert_int_equal(n.slept, -ECANCELED);
    assert_int_equal(next(g), 0); /* with it the body has ended */
    assert_int_equal(conc_generator_free(g), 0);
    assert_int_equal(conc_check_cancel(), 0);
}

static void test_deadline_that_is_past_leaves_the_body_alone(void **state)
{
    struct notes n = {.slept = 1};
    conc_generator *g = make(sleep_long, &n);
    assert_int_equal(next_by(g, conc_in(-1)), -ETIMEDOUT);
    assert_int_equal(n.slept, 1);
    assert_int_equal(conc_generator_free(g), 0);
}

static int yield_despite_the_deadline(conc_generator *g, void *arg)
{
    struct notes *n = notes_of(arg);
    n->slept = conc_sleep(CONC_S(1000));
    int err = yield(g);
    n->checked = conc_check_cancel(); /* the next call has a deadline of its own */
    return err;
}

static void test_item_beats_the_deadline(void **state)
{
    struct notes n = {0};
    conc_generator *g = make(yield_despite_the_deadline, &n);
    n.checked = 1;
    assert_int_equal(next_by(g, conc_in(CONC_MS(10))), 1);
    assert_int_equal(n.slept, -ECANCELED);
    assert_int_equal(next(g), 0);
    assert_int_equal(n.checked, 0);
    assert_int_equal(conc_generator_free(g), 0);
}

static int return_own_timeout(conc_generator *g, void *arg)
{
    conc_event *event = &notes_of(arg)->event;
    return conc_event_wait(event, conc_in(CONC_MS(1)));
}

static void test_bodys_own_timeout_is_its_error(void **state)
{
    struct notes n = {0};
    conc_generator *g = make(return_own_timeout, &n);
    assert_int_equal(next_by(g, conc_in(CONC_S(1000))), -ETIMEDOUT);
    assert_int_equal(conc_generator_free(g), 0);
}

static int yield_twice(conc_generator *g, void *arg)
{
    int err = yield(g);
    return err ? err : yield(g);
}

static void test_CONC_NOW_suits_a_body_that_never_waits(void **state)
{
    struct notes n = {0};
    conc_generator *g = make(yield_twice, &n);
    conc_scope scope;
    conc_scope_enter(&scope, CONC_FOREVER);
    conc_scope_cancel(&scope);
    assert_int_equal(next_by(g, CONC_NOW), 1); /* and is no cancellation point */
    assert_int_equal(next_by(g, CONC_NOW), 1);
    assert_int_equal(next_by(g, CONC_NOW), 0);
    assert_int_equal(conc_scope_exit(&scope), 0);
    assert_int_equal(conc_generator_free(g), 0);
}

static void test_CONC_NOW_with_a_body_that_waits_is_EAGAIN(void **state)
{
    struct notes n = {0};
    conc_generator *g = make(sleep_long, &n);
    conc_scope scope;
    conc_scope_enter(&scope, CONC_FOREVER);
    conc_scope_cancel(&scope);
    assert_int_equal(next_by(g, CONC_NOW), -EAGAIN);
    assert_int_equal(n.slept, -ECANCELED);
    assert_int_equal(conc_scope_exit(&scope), 0); /* it was told nothing */
    assert_int_equal(conc_generator_free(g), 0);
}

/* ---- The consumer's scopes ---- */

static void test_next_of_a_cancelled_consumer_leaves_the_body_alone(void **state)
{
    struct notes n = {.slept = 1};
    conc_generator *g = make(sleep_long, &n);
    conc_scope scope;
    conc_scope_enter(&scope, CONC_FOREVER);
    conc_scope_cancel(&scope);
    assert_int_equal(next(g), -ECANCELED);
    assert_int_equal(conc_scope_exit(&scope), -ECANCELED);
    assert_int_equal(n.slept, 1);
    assert_int_equal(conc_generator_free(g), 0);
}

static void test_deadline_of_a_scope_around_the_consumer_ends_the_bodys_wait(void **state)
{
    struct notes n = {0};
    conc_generator *g = make(sleep_long, &n);
    conc_scope scope;
    conc_scope_enter(&scope, conc_in(CONC_MS(10)));
    assert_int_equal(next(g), -ECANCELED);
    assert_int_equal(n.slept, -ECANCELED);
    assert_int_equal(conc_scope_exit(&scope), -ETIMEDOUT);
    assert_int_equal(conc_generator_free(g), 0);
}

struct consumer {
    conc_scope scope;
    struct notes notes;
    int result, exited;
};

static void consume_until_cancelled(void *arg)
{
    struct consumer *c = arg;
    conc_generator *g = make(sleep_long, &c->notes);
    conc_scope_enter(&c->scope, CONC_FOREVER);
    c->result = next(g);
    c->exited = conc_scope_exit(&c->scope);
    conc_generator_free(g);
}

static void test_cancelling_the_consumer_ends_the_bodys_wait(void **state)
{
    struct consumer c = {.result = 0};
    struct test_thread t;
    test_thread_start(&t, "consumer", consume_until_cancelled, &c);
    wait_until_blocked("consumer", "sleep");
    conc_scope_cancel(&c.scope);
    test_thread_join(&t);
    assert_int_equal(c.notes.slept, -ECANCELED);
    assert_int_equal(c.result, -ECANCELED);
    assert_int_equal(c.exited, -ECANCELED);
}

static int check_twice(conc_generator *g, void *arg)
{
    struct notes *n = notes_of(arg);
    n->slept = conc_sleep(0);
    int err = yield(g);
    n->checked = conc_sleep(0);
    return err;
}

static void test_scopes_around_each_next_are_those_of_that_moment(void **state)
{
    struct notes n = {0};
    conc_generator *g = make(check_twice, &n);
    conc_scope first, second;
    conc_scope_enter(&first, CONC_FOREVER);
    assert_int_equal(next(g), 1);
    conc_scope_cancel(&first);
    assert_int_equal(conc_scope_exit(&first), 0); /* before the second next(): it isn't concerned */
    conc_scope_enter(&second, CONC_FOREVER);
    assert_int_equal(next(g), 0);
    assert_int_equal(n.slept, 0);
    assert_int_equal(n.checked, 0);
    assert_int_equal(conc_scope_exit(&second), 0);
    assert_int_equal(conc_generator_free(g), 0);
}

/* ---- The body's scopes ---- */

static int yield_in_scope(conc_generator *g, void *arg)
{
    struct notes *n = notes_of(arg);
    conc_scope_enter(&n->scope, conc_in(CONC_S(100)));
    n->yielded = yield(g);
    n->slept = conc_sleep(0);
    n->exited = conc_scope_exit(&n->scope);
    n->checked = conc_check_cancel();
    return 0;
}

static void test_bodys_scope_does_not_hold_for_the_consumer(void **state)
{
    struct notes n = {.exited = 1};
    conc_generator *g = make(yield_in_scope, &n);
    conc_scope own;
    conc_scope_enter(&own, CONC_FOREVER);
    assert_int_equal(next(g), 1);
    conc__test_advance(CONC_S(200)); /* the body's scope has ended */
    assert_int_equal(conc_sleep(0), 0);
    assert_int_equal(conc_check_cancel(), 0);
    assert_int_equal(conc_scope_exit(&n.scope), -EPERM); /* and is not the consumer's to leave */
    assert_int_equal(conc_scope_exit(&own), 0);
    assert_int_equal(next(g), 0);
    assert_int_equal(n.yielded, 0);
    assert_int_equal(n.slept, -ECANCELED);
    assert_int_equal(n.exited, -ETIMEDOUT);
    assert_int_equal(n.checked, 0);
    assert_int_equal(conc_generator_free(g), 0);
}

static int yield_until_own_scope_ends(conc_generator *g, void *arg)
{
    struct notes *n = notes_of(arg);
    conc_scope_enter(&n->scope, conc_in(CONC_S(100)));
    while (!(n->yielded = yield(g)))
        continue;
    n->exited = conc_scope_exit(&n->scope);
    return 0;
}

static void test_yield_is_a_cancellation_point_of_the_bodys_scopes(void **state)
{
    struct notes n = {0};
    conc_generator *g = make(yield_until_own_scope_ends, &n);
    for (int i = 0; i < 3; i++)
        assert_int_equal(next(g), 1);
    conc__test_advance(CONC_S(200));
    assert_int_equal(next(g), 0);
    assert_int_equal(n.yielded, -ECANCELED);
    assert_int_equal(n.exited, -ETIMEDOUT);
    assert_int_equal(conc_generator_free(g), 0);
}

static conc_scope *consumers_scope;

static int leave_consumers_scope(conc_generator *g, void *arg)
{
    struct notes *n = notes_of(arg);
    n->exited = conc_scope_exit(consumers_scope);
    conc_scope_enter(&n->scope, CONC_FOREVER); /* and forget to leave it */
    return 0;
}

static void test_neither_side_leaves_the_others_scopes(void **state)
{
    struct notes n = {0};
    conc_generator *g = make(leave_consumers_scope, &n);
    conc_scope own;
    consumers_scope = &own;
    conc_scope_enter(&own, CONC_FOREVER);
    assert_int_equal(next(g), 0);
    assert_int_equal(n.exited, -EPERM);
    assert_int_equal(conc_scope_exit(&own), 0);
    assert_int_equal(conc_generator_free(g), 0);
}

/* Told by next()'s deadline inside a scope, it goes on all the same. */
static int swallow_deadline(conc_generator *g, void *arg)
{
    struct notes *n = notes_of(arg);
    conc_scope_enter(&n->scope, CONC_FOREVER);
    n->slept = conc_sleep(CONC_S(1000));
    n->yielded = yield(g);
    n->exited = conc_scope_exit(&n->scope);
    return 0;
}

static void test_scope_does_not_report_an_earlier_nexts_deadline(void **state)
{
    struct notes n = {.exited = 1};
    conc_generator *g = make(swallow_deadline, &n);
    assert_int_equal(next_by(g, conc_in(CONC_MS(1))), 1);
    assert_int_equal(next(g), 0);
    assert_int_equal(n.slept, -ECANCELED);
    assert_int_equal(n.yielded, 0);
    assert_int_equal(n.exited, 0);
    assert_int_equal(conc_generator_free(g), 0);
}

/* The scope ends together with next()'s deadline; inside it, in a shield, an item is yielded. */
static int swallow_both(conc_generator *g, void *arg)
{
    struct notes *n = notes_of(arg);
    conc_scope_enter(&n->scope, CONC_FOREVER);
    conc_scope inner, shield;
    conc_scope_enter(&inner, CONC_FOREVER);
    conc_scope_cancel(&n->scope);
    n->slept = conc_sleep(CONC_S(1000));
    conc_shield_enter(&shield);
    n->yielded = yield(g);
    conc_shield_exit(&shield);
    n->checked = conc_scope_exit(&inner);
    n->exited = conc_scope_exit(&n->scope);
    return 0;
}

static void test_scope_that_ended_itself_reports_it_after_a_yield(void **state)
{
    struct notes n = {0};
    conc_generator *g = make(swallow_both, &n);
    conc_scope around;
    conc_scope_enter(&around, CONC_FOREVER);
    assert_int_equal(next_by(g, CONC_NOW), 1);
    assert_int_equal(conc_scope_exit(&around), 0);
    assert_int_equal(next(g), 0);
    assert_int_equal(n.slept, -ECANCELED);
    assert_int_equal(n.yielded, 0);
    assert_int_equal(n.checked, -ECANCELED);
    assert_int_equal(n.exited, -ECANCELED);
    assert_int_equal(conc_generator_free(g), 0);
}

static int wait_in_own_scope(conc_generator *g, void *arg)
{
    struct notes *n = notes_of(arg);
    conc_scope_enter(&n->scope, CONC_FOREVER);
    int err = yield(g);
    n->slept = conc_event_wait(&n->event, CONC_FOREVER);
    n->exited = conc_scope_exit(&n->scope);
    return err;
}

static void consume_last(void *arg) { CHECK_EQUAL(next(arg), 0); }

/* Entered with one consumer, waiting with another: the kick goes to the one that runs the body. */
static void test_cancelling_a_scope_of_the_body_reaches_its_present_consumer(void **state)
{
    struct notes n = {.event = CONC_EVENT_INIT};
    conc_generator *g = make(wait_in_own_scope, &n);
    struct test_thread t;
    assert_int_equal(next(g), 1);
    test_thread_start(&t, "consumer", consume_last, g);
    wait_until_blocked("consumer", "event");
    conc_scope_cancel(&n.scope);
    test_thread_join(&t);
    assert_int_equal(n.slept, -ECANCELED);
    assert_int_equal(n.exited, -ECANCELED);
    assert_int_equal(conc_generator_free(g), 0);
}

/* ---- Freeing ---- */

static void test_free_by_a_cancelled_consumer_tells_its_scopes_nothing(void **state)
{
    struct notes n = {0};
    conc_generator *g = make(yield_in_scope, &n);
    assert_int_equal(next(g), 1);
    conc_scope own;
    conc_scope_enter(&own, CONC_FOREVER);
    conc_scope_cancel(&own);
    assert_int_equal(conc_generator_free(g), 0);
    assert_int_equal(conc_scope_exit(&own), 0);
    assert_int_equal(n.yielded, -ECANCELED);
    assert_int_equal(n.slept, -ECANCELED);
    assert_int_equal(n.exited, -ECANCELED);
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_deadline_ends_the_bodys_wait),
    cmocka_unit_test(test_deadline_that_is_past_leaves_the_body_alone),
    cmocka_unit_test(test_item_beats_the_deadline),
    cmocka_unit_test(test_bodys_own_timeout_is_its_error),
    cmocka_unit_test(test_CONC_NOW_suits_a_body_that_never_waits),
    cmocka_unit_test(test_CONC_NOW_with_a_body_that_waits_is_EAGAIN),
    cmocka_unit_test(test_next_of_a_cancelled_consumer_leaves_the_body_alone),
    cmocka_unit_test(test_deadline_of_a_scope_around_the_consumer_ends_the_bodys_wait),
    cmocka_unit_test(test_cancelling_the_consumer_ends_the_bodys_wait),
    cmocka_unit_test(test_scopes_around_each_next_are_those_of_that_moment),
    cmocka_unit_test(test_bodys_scope_does_not_hold_for_the_consumer),
    cmocka_unit_test(test_yield_is_a_cancellation_point_of_the_bodys_scopes),
    cmocka_unit_test(test_neither_side_leaves_the_others_scopes),
    cmocka_unit_test(test_scope_does_not_report_an_earlier_nexts_deadline),
    cmocka_unit_test(test_scope_that_ended_itself_reports_it_after_a_yield),
    cmocka_unit_test(test_cancelling_a_scope_of_the_body_reaches_its_present_consumer),
    cmocka_unit_test(test_free_by_a_cancelled_consumer_tells_its_scopes_nothing),
};

TEST_MAIN(tests, 60)
