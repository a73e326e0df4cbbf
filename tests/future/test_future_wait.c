/* SPDX-License-Identifier: MIT
 *
 * test_future_wait.c: waiting for one future: its end, time-outs, the caller's cancellation, and
 * the races among them.
 */
#include "jobs.h"

#include <stdio.h>

#include "fibers.h"

static conc_future *pending(void)
{
    conc_future *f = NULL;
    CHECK_EQUAL(conc_future_new(&f, sizeof(int)), 0);
    return f;
}

static void finish(conc_future *f, int value) { CHECK_EQUAL(conc_future_set_result(f, &value), 0); }

/* ---- A thread that waits ---- */

struct waiter {
    struct test_thread thread;
    conc_future *future;
    int (*wait)(conc_future *future, void *ret, conc_deadline deadline);
    conc_deadline deadline;
    conc_scope scope; /* around the wait */
    int value, err;
    char message[CONC_MESSAGE_MAX];
};

static int only_wait(conc_future *future, void *ret, conc_deadline deadline)
{
    return conc_future_wait(future, deadline);
}

static void waiter_main(void *arg)
{
    struct waiter *w = arg;
    conc_scope_enter(&w->scope, CONC_FOREVER);
    w->err = w->wait(w->future, &w->value, w->deadline);
    snprintf(w->message, sizeof w->message, "%s", conc_error_message());
    conc_scope_exit(&w->scope);
}

/* It waits when this returns. */
static void waiter_start(struct waiter *w, const char *name)
{
    if (!w->wait)
        w->wait = conc_future_result;
    if (!w->deadline.ns)
        w->deadline = CONC_FOREVER;
    w->value = -1;
    test_thread_start(&w->thread, name, waiter_main, w);
    wait_until_blocked(name, "future");
}

static int waiter_end(struct waiter *w)
{
    test_thread_join(&w->thread);
    return w->err;
}

/* ---- Done already ---- */

static void test_result_of_a_finished_future_whatever_the_deadline(void **state)
{
    const conc_deadline deadlines[] = {CONC_FOREVER, CONC_NOW, conc_in(0), conc_in(CONC_S(1))};
    conc_future *f = pending();
    finish(f, 42);
    for (int i = 0; i < 4; i++) {
        int value = -1;
        assert_int_equal(conc_future_result(f, &value, deadlines[i]), 0);
        assert_int_equal(value, 42);
        assert_int_equal(conc_future_result(f, NULL, deadlines[i]), 0);
        assert_int_equal(conc_future_wait(f, deadlines[i]), 0);
        assert_int_equal(conc_wait_for(f, &value, deadlines[i]), 0);
    }
    conc_future_unref(f);
}

static void test_result_of_a_failed_future_is_its_error_with_its_message(void **state)
{
    int value = -1;
    conc_future *f = pending();
    assert_int_equal(conc_future_set_error(f, -EIO, "no %s", "disk"), 0);
    assert_int_equal(conc_future_result(f, &value, CONC_FOREVER), -EIO);
    assert_string_equal(conc_error_message(), "no disk");
    assert_int_equal(value, -1); /* untouched */
    assert_int_equal(conc_future_wait(f, CONC_FOREVER), 0);
    conc_future_unref(f);
}

static void test_result_of_a_cancelled_future_is_ECANCELED(void **state)
{
    int value = -1;
    conc_future *f = pending();
    assert_true(conc_future_cancel(f));
    assert_int_equal(conc_future_result(f, &value, CONC_FOREVER), -ECANCELED);
    assert_int_equal(value, -1);
    assert_int_equal(conc_future_wait(f, CONC_FOREVER), 0);
    conc_future_unref(f);
}

/* ---- Not done ---- */

static void test_what_is_not_done_is_EAGAIN_or_ETIMEDOUT(void **state)
{
    int value = -1;
    conc_future *f = pending();
    assert_int_equal(conc_future_result(f, &value, CONC_NOW), -EAGAIN);
    assert_int_equal(conc_future_wait(f, CONC_NOW), -EAGAIN);
    assert_int_equal(conc_future_result(f, &value, conc_in(0)), -ETIMEDOUT);
    assert_int_equal(conc_future_wait(f, conc_in(0)), -ETIMEDOUT);
    int64_t before = real_now();
    assert_int_equal(conc_future_wait(f, conc_in(CONC_MS(10))), -ETIMEDOUT);
    assert_true(real_now() - before >= CONC_MS(10));
    assert_int_equal(value, -1);
    assert_false(conc_future_is_done(f));
    finish(f, 42); /* the waits that were given up have left nothing behind */
    conc_future_unref(f);
}

static void test_a_wait_times_out_when_its_time_has_come(void **state)
{
    conc_future *f = pending();
    struct waiter w = {.future = f, .deadline = conc_in(CONC_S(1000))};
    waiter_start(&w, "waiter");
    conc__test_advance(CONC_S(1001));
    assert_int_equal(waiter_end(&w), -ETIMEDOUT);
    assert_false(conc_future_is_done(f));
    conc_future_unref(f);
}

/* ---- Woken ---- */

enum end { RESULT, ERROR, CANCEL };

static void end_it(conc_future *f, enum end end)
{
    if (end == RESULT)
        finish(f, 42);
    else if (end == ERROR)
        CHECK_EQUAL(conc_future_set_error(f, -EIO, "ended"), 0);
    else
        CHECK(conc_future_cancel(f));
}

static void test_the_end_wakes_all_who_wait(void **state)
{
    enum { N = 8 };
    static const int errors[] = {[RESULT] = 0, [ERROR] = -EIO, [CANCEL] = -ECANCELED};
    for (enum end end = RESULT; end <= CANCEL; end++) {
        conc_future *f = pending();
        struct waiter waiters[N] = {0};
        for (int i = 0; i < N; i++) {
            waiters[i].future = f;
            waiters[i].wait = i % 2 ? only_wait : conc_future_result;
            waiter_start(&waiters[i], "waiter");
        }
        wait_until_n_blocked(f, N);
        end_it(f, end);
        for (int i = 0; i < N; i++) {
            assert_int_equal(waiter_end(&waiters[i]), i % 2 ? 0 : errors[end]);
            assert_int_equal(waiters[i].value, i % 2 == 0 && end == RESULT ? 42 : -1);
            assert_string_equal(waiters[i].message, i % 2 == 0 && end == ERROR ? "ended" : "");
        }
        conc_future_unref(f);
    }
}

static void callback_waits_for_waiter(conc_future *future, void *waiter)
{
    CHECK_EQUAL(waiter_end(waiter), 0); /* it was woken before the callbacks, or this would hang */
}

static void test_callbacks_come_after_those_who_wait_are_woken(void **state)
{
    conc_future *f = pending();
    struct waiter w = {.future = f};
    waiter_start(&w, "waiter");
    assert_int_equal(conc_future_add_done_callback(f, callback_waits_for_waiter, &w), 0);
    finish(f, 42);
    assert_int_equal(w.value, 42);
    conc_future_unref(f);
}

static void note_id(conc_future *future, void *id) { *(uint64_t *)id = conc_context_id(NULL); }

static void finisher(void *arg)
{
    conc_future **f = arg;
    finish(*f, 42);
}

static void test_callbacks_run_in_the_context_that_completes_it(void **state)
{
    struct test_thread thread;
    uint64_t id = 0;
    conc_future *f = pending();
    assert_int_equal(conc_future_add_done_callback(f, note_id, &id), 0);
    test_thread_start(&thread, "finisher", finisher, &f);
    test_thread_join(&thread);
    assert_int_not_equal(id, 0);
    assert_int_not_equal(id, conc_context_id(NULL));
    conc_future_unref(f);
}

/* ---- The caller is cancelled ---- */

static void test_a_cancelled_caller_gets_ECANCELED_even_of_a_done_future(void **state)
{
    conc_future *done = pending(), *undone = pending();
    conc_scope scope;
    int value = -1;
    finish(done, 42);
    conc_scope_enter(&scope, CONC_FOREVER);
    conc_scope_cancel(&scope);
    assert_int_equal(conc_future_result(done, &value, CONC_FOREVER), -ECANCELED);
    assert_int_equal(conc_future_wait(done, CONC_FOREVER), -ECANCELED);
    assert_int_equal(conc_wait_for(done, &value, CONC_FOREVER), -ECANCELED);
    assert_int_equal(conc_future_result(undone, &value, CONC_FOREVER), -ECANCELED);
    assert_int_equal(value, -1);
    /* No cancellation point: */
    assert_int_equal(conc_future_result(done, &value, CONC_NOW), 0);
    assert_int_equal(value, 42);
    assert_int_equal(conc_future_wait(undone, CONC_NOW), -EAGAIN);
    assert_int_equal(conc_scope_exit(&scope), -ECANCELED);
    assert_false(conc_future_is_done(undone)); /* the caller was cancelled, not the future */
    conc_future_unref(done);
    conc_future_unref(undone);
}

static void test_cancelling_the_caller_ends_its_wait(void **state)
{
    conc_future *f = pending();
    struct waiter w[2] = {{.future = f}, {.future = f}};
    waiter_start(&w[0], "cancelled");
    waiter_start(&w[1], "other");
    conc_scope_cancel(&w[0].scope);
    assert_int_equal(waiter_end(&w[0]), -ECANCELED);
    wait_until_n_blocked(f, 1);
    finish(f, 42);
    assert_int_equal(waiter_end(&w[1]), 0);
    conc_future_unref(f);
}

/* ---- conc_wait_for ---- */

static void test_wait_for_gives_result_or_error(void **state)
{
    int value = -1;
    conc_future *good = pending(), *bad = pending();
    finish(good, 42);
    assert_int_equal(conc_future_set_error(bad, -ETIMEDOUT, "its own"), 0);
    assert_int_equal(conc_wait_for(good, &value, CONC_FOREVER), 0);
    assert_int_equal(value, 42);
    value = -1;
    assert_int_equal(conc_wait_for(bad, &value, conc_in(0)), -ETIMEDOUT);
    assert_string_equal(conc_error_message(), "its own");
    assert_int_equal(value, -1);
    conc_future_unref(good);
    conc_future_unref(bad);
}

static void test_wait_for_cancels_what_is_late(void **state)
{
    const struct {
        conc_deadline deadline;
        int err;
    } cases[] = {{CONC_NOW, -EAGAIN}, {conc_in(0), -ETIMEDOUT}, {conc_in(CONC_MS(5)), -ETIMEDOUT}};
    for (int i = 0; i < 3; i++) {
        conc_future *f = pending();
        assert_int_equal(conc_wait_for(f, NULL, cases[i].deadline), cases[i].err);
        assert_true(conc_future_is_cancelled(f));
        conc_future_unref(f);
    }
}

static void test_wait_for_cancels_the_future_of_a_cancelled_caller(void **state)
{
    conc_future *f = pending();
    struct waiter w = {.future = f, .wait = conc_wait_for};
    waiter_start(&w, "waiter");
    conc_scope_cancel(&w.scope);
    assert_int_equal(waiter_end(&w), -ECANCELED);
    assert_true(conc_future_is_cancelled(f));
    conc_future_unref(f);
}

/* ---- Races ---- */

/* A thread that ends one future after the other, as they come. */
struct ender {
    conc_event ready;
    conc_future *future;
    unsigned spins;
    bool stop;
    conc_event done;
};

static void ender_main(void *arg)
{
    struct ender *e = arg;
    for (;;) {
        conc_event_wait(&e->ready, CONC_FOREVER);
        conc_event_clear(&e->ready);
        if (e->stop)
            return;
        for (unsigned i = 0; i < e->spins; i++)
            cpu_relax();
        conc_future_set_result(e->future, &(int){42});
        conc_event_set(&e->done);
    }
}

static void end_soon(struct ender *e, conc_future *f, unsigned spins)
{
    e->future = f;
    e->spins = spins;
    conc_event_clear(&e->done);
    conc_event_set(&e->ready);
}

static void test_wait_for_either_gives_the_result_or_has_cancelled(void **state)
{
    struct ender e = {0};
    struct test_thread thread;
    struct test_random random = test_random_for(1);
    unsigned spins = 1000;
    test_thread_start(&thread, "ender", ender_main, &e);
    for (struct stress s = stress_begin(); stress_goes_on(&s);) {
        conc_future *f = pending();
        int value = -1;
        end_soon(&e, f, spins + (unsigned)test_random_below(&random, 100));
        int err = conc_wait_for(f, &value, conc_in(CONC_US(5)));
        spins =
            err ? spins - (spins > 10 ? 10 : 0) : spins + 10; /* so that either has its chance */
        assert_true(conc_future_is_done(f));
        assert_int_equal(err, conc_future_is_cancelled(f) ? -ETIMEDOUT : 0);
        assert_int_equal(value, err ? -1 : 42);
        conc_event_wait(&e.done, CONC_FOREVER);
        conc_future_unref(f);
    }
    e.stop = true;
    conc_event_set(&e.ready);
    test_thread_join(&thread);
}

/* Many contexts share a future: some complete it, some cancel it, some wait with and without
 * deadlines, some give up. */
enum { CROWD = 8, ROUNDS = 60 };

struct crowd {
    conc_future *futures[ROUNDS];
    int completed[ROUNDS], callbacks[ROUNDS]; /* atomic */
};

static void count_callback(conc_future *future, void *count)
{
    __atomic_add_fetch((int *)count, 1, __ATOMIC_RELAXED);
}

static void crowd_wait(conc_future *f, struct test_random *random)
{
    int value = -1;
    int err = test_random_below(random, 2) ? conc_future_result(f, &value, CONC_FOREVER)
                                           : conc_future_result(f, &value, conc_in(CONC_US(20)));
    CHECK(err == 0 || err == -EIO || err == -ECANCELED || err == -ETIMEDOUT);
    CHECK_EQUAL(value, err ? -1 : 42);
    if (err != -ETIMEDOUT)
        CHECK_EQUAL(conc_future_error(f), err);
}

static void crowd_member(size_t index, void *arg)
{
    struct crowd *crowd = arg;
    struct test_random random = test_random_for(100 + (unsigned)index);
    for (int i = 0; i < ROUNDS; i++) {
        conc_future *f = crowd->futures[i];
        int won = 0;
        if (test_random_below(&random, 4) == 0)
            CHECK_EQUAL(conc_future_add_done_callback(f, count_callback, &crowd->callbacks[i]), 0);
        else if (test_random_below(&random, 4) == 0)
            won = conc_future_cancel(f);
        else if (index > 0 && test_random_below(&random, 2))
            crowd_wait(f, &random);
        else
            won = test_random_below(&random, 2) ? !conc_future_set_result(f, &(int){42})
                                                : !conc_future_set_error(f, -EIO, "x");
        if (test_random_below(&random, 3) == 0)
            conc_yield();
        if (index == 0 && !won) /* so that every wait without a deadline comes to an end */
            won = conc_future_set_result(f, &(int){42}) == 0;
        __atomic_add_fetch(&crowd->completed[i], won, __ATOMIC_RELAXED);
        conc_future_unref(f);
    }
}

static void run_crowd(enum context_kind kind)
{
    struct crowd *crowd = test_calloc(1, sizeof *crowd);
    for (int i = 0; i < ROUNDS; i++) {
        crowd->futures[i] = pending();
        for (int j = 0; j < CROWD; j++)
            conc_future_ref(crowd->futures[i]);
    }
    run_contexts(kind, CROWD, crowd_member, crowd);
    for (int i = 0; i < ROUNDS; i++) {
        CHECK_EQUAL(crowd->completed[i], 1);
        (void)conc_future_error(crowd->futures[i]);
        conc_future_unref(crowd->futures[i]);
    }
    test_free(crowd);
}

static void test_just_one_completes_it_whoever_waits(void **state)
{
    for (struct stress s = stress_begin(); stress_goes_on(&s);)
        for (enum context_kind kind = THREADS; kind < CONTEXT_KINDS; kind++)
            run_crowd(kind);
}

static const struct CMUnitTest tests[] = {
    LEAK_TEST(test_result_of_a_finished_future_whatever_the_deadline),
    LEAK_TEST(test_result_of_a_failed_future_is_its_error_with_its_message),
    LEAK_TEST(test_result_of_a_cancelled_future_is_ECANCELED),
    LEAK_TEST(test_what_is_not_done_is_EAGAIN_or_ETIMEDOUT),
    LEAK_TEST(test_a_wait_times_out_when_its_time_has_come),
    LEAK_TEST(test_the_end_wakes_all_who_wait),
    LEAK_TEST(test_callbacks_come_after_those_who_wait_are_woken),
    LEAK_TEST(test_callbacks_run_in_the_context_that_completes_it),
    LEAK_TEST(test_a_cancelled_caller_gets_ECANCELED_even_of_a_done_future),
    LEAK_TEST(test_cancelling_the_caller_ends_its_wait),
    LEAK_TEST(test_wait_for_gives_result_or_error),
    LEAK_TEST(test_wait_for_cancels_what_is_late),
    LEAK_TEST(test_wait_for_cancels_the_future_of_a_cancelled_caller),
    LEAK_TEST(test_wait_for_either_gives_the_result_or_has_cancelled),
    LEAK_TEST(test_just_one_completes_it_whoever_waits),
};

TEST_MAIN(tests, 60)
