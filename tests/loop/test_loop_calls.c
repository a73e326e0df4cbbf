/* SPDX-License-Identifier: MIT
 *
 * test_loop_calls.c: callbacks: soon, at a time, from other threads; their order; cancelling them
 * in each state; handles that outlive their loop.
 */
#include "loops.h"

#include <stdlib.h>

/* What has been called, in order. The loop's thread's. */
static struct {
    int n;
    int numbers[64];
} log_;

static void note(void *number)
{
    CHECK(log_.n < 64);
    log_.numbers[log_.n++] = (int)(intptr_t)number;
}

static void *number(int n) { return (void *)(intptr_t)n; }

/* Were just these called, in this order? Begins anew. */
static void assert_called(const int *expected, int n)
{
    assert_int_equal(log_.n, n);
    for (int i = 0; i < n; i++)
        assert_int_equal(log_.numbers[i], expected[i]);
    log_.n = 0;
}

#define ASSERT_CALLED(...)                                               \
    do {                                                                 \
        const int expected_[] = {__VA_ARGS__};                           \
        assert_called(expected_, (int)(sizeof expected_ / sizeof(int))); \
    } while (0)

/* One turn, in which all is called that is due. */
static void one_turn(conc_loop *loop)
{
    conc_loop_stop(loop);
    assert_int_equal(conc_loop_run_forever(loop), 0);
}

/* ---- Order and time ---- */

static void test_soon_calls_in_the_order_of_asking(void)
{
    conc_loop *loop = new_loop();
    for (int has_run = 0; has_run < 2; has_run++) {
        for (int i = 0; i < 4; i++)
            assert_int_equal(conc_loop_call_soon(loop, note, number(i), NULL), 0);
        assert_int_equal(log_.n, 0);
        one_turn(loop);
        ASSERT_CALLED(0, 1, 2, 3);
    }
    free_loop(loop);
}

static void ask_for_more(void *loop)
{
    note(number(1));
    CHECK_EQUAL(conc_loop_call_soon(loop, note, number(3), NULL), 0);
    CHECK_EQUAL(conc_loop_call_later(loop, 0, note, number(4), NULL), 0);
    CHECK_EQUAL(conc_loop_call_soon_threadsafe(loop, note, number(5), NULL), 0);
}

static int job_end(void *arg, void *result) { return 0; }

static void wait_for_tasks(void *loop)
{
    conc_future *f[] = {conc_spawn(job_end, NULL, 0, 0),
                        conc_task_start(loop, job_end, NULL, 0, 0, NULL),
                        conc_submit(conc_loop_executor(loop), job_end, NULL, 0, 0)};
    for (int i = 0; i < 3; i++) {
        CHECK_EQUAL(conc_future_wait(f[i], CONC_FOREVER), -EDEADLK);
        conc_future_unref(f[i]);
    }
    note(number(1));
}

static void test_a_callback_must_not_wait_for_its_loops_tasks(void)
{
    conc_loop *loop = new_loop();
    assert_int_equal(conc_loop_call_soon(loop, wait_for_tasks, loop, NULL), 0);
    one_turn(loop);
    ASSERT_CALLED(1);
    one_turn(loop);
    conc_future *f = conc_task_start(loop, job_end, NULL, 0, 0, NULL);
    assert_int_equal(conc_future_wait(f, CONC_NOW), -EAGAIN);
    assert_int_equal(run_until(loop, f), 0);
    free_loop(loop);
}

static void test_a_callback_may_ask_for_more(void)
{
    conc_loop *loop = new_loop();
    assert_int_equal(conc_loop_call_soon(loop, ask_for_more, loop, NULL), 0);
    assert_int_equal(conc_loop_call_soon(loop, note, number(2), NULL), 0);
    for (int i = 0; i < 4; i++)
        one_turn(loop);
    assert_int_equal(log_.n, 5);
    for (int i = 0; i < 3; i++)
        assert_int_equal(log_.numbers[i], i + 1);
    log_.n = 0;
    free_loop(loop);
}

static void test_later_calls_in_the_order_of_time(void)
{
    conc_loop *loop = new_loop();
    const conc_deadline same = conc_in(CONC_S(20));
    assert_int_equal(conc_loop_call_later(loop, CONC_S(40), note, number(9), NULL), 0);
    assert_int_equal(conc_loop_call_later(loop, CONC_S(10), note, number(2), NULL), 0);
    for (int i = 3; i < 7; i++) /* for the same time: in the order of asking */
        assert_int_equal(conc_loop_call_at(loop, same, note, number(i), NULL), 0);
    assert_int_equal(conc_loop_call_later(loop, -CONC_S(2), note, number(1), NULL), 0);
    assert_int_equal(conc_loop_call_at(loop, CONC_NOW, note, number(1), NULL), 0);
    one_turn(loop);
    ASSERT_CALLED(1, 1);
    conc__test_advance(CONC_S(30));
    one_turn(loop);
    ASSERT_CALLED(2, 3, 4, 5, 6);
    conc__test_advance(CONC_S(30));
    one_turn(loop);
    ASSERT_CALLED(9);
    free_loop(loop);
}

struct timed {
    conc_deadline when;
    struct progress {
        int left;
        int64_t last; /* the time that the one before was for */
    } * progress;
};

static void check_time(void *arg)
{
    struct timed *t = arg;
    CHECK(conc_now() >= t->when.ns);
    CHECK(t->when.ns >= t->progress->last);
    t->progress->last = t->when.ns;
    if (--t->progress->left == 0)
        stop_current(NULL);
}

static void test_many_are_called_in_time_and_never_before(void)
{
    enum { MANY = 500 };
    conc_loop *loop = new_loop();
    struct test_random r = test_random_for(0);
    struct timed *all = test_calloc(MANY, sizeof *all);
    int64_t begin = conc_now();
    struct progress progress = {.left = MANY};
    for (int i = 0; i < MANY; i++) {
        int64_t delay = (int64_t)test_random_below(&r, CONC_MS(20));
        all[i] = (struct timed){.when = conc_at(begin + delay), .progress = &progress};
        assert_int_equal(conc_loop_call_at(loop, all[i].when, check_time, &all[i], NULL), 0);
    }
    assert_int_equal(conc_loop_run_forever(loop), 0);
    assert_int_equal(progress.left, 0);
    test_free(all);
    free_loop(loop);
}

static void test_far_ahead_is_never(void)
{
    conc_loop *loop = new_loop();
    conc_handle *handle;
    assert_int_equal(conc_loop_call_later(loop, INT64_MAX, note, number(1), NULL), -EINVAL);
    assert_int_equal(conc_loop_call_at(loop, CONC_FOREVER, note, number(1), NULL), -EINVAL);
    assert_int_equal(conc_loop_call_later(loop, CONC_S(1000000000), note, number(1), &handle), 0);
    one_turn(loop);
    assert_true(conc_handle_cancel(handle));
    conc_handle_free(handle);
    assert_int_equal(log_.n, 0);
    free_loop(loop);
}

static void test_without_a_callback_it_is_EINVAL(void)
{
    conc_loop *loop = new_loop();
    conc_handle *handle = NULL;
    assert_int_equal(conc_loop_call_soon(loop, NULL, NULL, &handle), -EINVAL);
    assert_int_equal(conc_loop_call_later(loop, 1, NULL, NULL, &handle), -EINVAL);
    assert_int_equal(conc_loop_call_at(loop, conc_in(1), NULL, NULL, &handle), -EINVAL);
    assert_int_equal(conc_loop_call_soon_threadsafe(loop, NULL, NULL, &handle), -EINVAL);
    assert_null(handle);
    free_loop(loop);
}

/* ---- Cancelling ---- */

static void ask(conc_loop *loop, int how, int n, conc_handle **ret)
{
    int err = how == 0   ? conc_loop_call_soon(loop, note, number(n), ret)
              : how == 1 ? conc_loop_call_later(loop, 1, note, number(n), ret)
                         : conc_loop_call_soon_threadsafe(loop, note, number(n), ret);
    assert_int_equal(err, 0);
}

static void test_a_cancelled_callback_never_runs_whatever_its_state(void)
{
    conc_loop *loop = new_loop();
    for (int how = 0; how < 3; how++) {
        conc_handle *handles[3];
        for (int i = 0; i < 3; i++)
            ask(loop, how, i, &handles[i]);
        assert_true(conc_handle_cancel(handles[1]));
        assert_false(conc_handle_cancel(handles[1])); /* already */
        conc_handle_free(handles[2]);                 /* it runs all the same */
        one_turn(loop);
        one_turn(loop);
        ASSERT_CALLED(0, 2);
        assert_false(conc_handle_cancel(handles[0])); /* too late */
        assert_false(conc_handle_cancel(handles[1]));
        conc_handle_free(handles[0]);
        conc_handle_free(handles[1]);
    }
    conc_handle_free(NULL);
    free_loop(loop);
}

static conc_handle *victim;

static void cancel_victim(void *expected)
{
    note(number(1));
    CHECK_EQUAL(conc_handle_cancel(victim), expected != NULL);
}

static void test_a_callback_may_cancel_another_or_itself(void)
{
    conc_loop *loop = new_loop();
    for (int how = 0; how < 3; how++) {
        assert_int_equal(conc_loop_call_soon(loop, cancel_victim, loop, NULL), 0);
        ask(loop, how, 2, &victim);
        one_turn(loop);
        one_turn(loop);
        ASSERT_CALLED(1);
        conc_handle_free(victim);
    }
    assert_int_equal(conc_loop_call_soon(loop, cancel_victim, NULL, &victim), 0);
    one_turn(loop);
    ASSERT_CALLED(1);
    conc_handle_free(victim);
    free_loop(loop);
}

static void cancel_elsewhere(void *handle) { CHECK(!conc_handle_cancel(handle)); }

static void test_another_thread_cannot_cancel(void)
{
    conc_loop *loop = new_loop();
    conc_handle *handle;
    struct test_thread other;
    one_turn(loop);
    assert_int_equal(conc_loop_call_soon(loop, note, number(1), &handle), 0);
    test_thread_start(&other, NULL, cancel_elsewhere, handle);
    test_thread_join(&other);
    one_turn(loop);
    ASSERT_CALLED(1);
    conc_handle_free(handle);
    free_loop(loop);
}

static void test_freeing_the_loop_drops_what_is_left_and_handles_outlive_it(void)
{
    for (int has_run = 0; has_run < 2; has_run++) {
        conc_loop *loop = new_loop();
        conc_handle *handles[4];
        if (has_run)
            one_turn(loop);
        for (int how = 0; how < 3; how++)
            ask(loop, how, how, &handles[how]);
        assert_int_equal(conc_loop_call_later(loop, CONC_S(9), note, number(3), &handles[3]), 0);
        assert_int_equal(conc_loop_call_later(loop, CONC_S(9), note, number(4), NULL), 0);
        assert_true(conc_handle_cancel(handles[0]));
        free_loop(loop);
        assert_int_equal(log_.n, 0);
        for (int i = 0; i < 4; i++) {
            assert_false(conc_handle_cancel(handles[i]));
            conc_handle_free(handles[i]);
        }
    }
}

/* ---- From other threads ---- */

static void call_when_asleep(void *loop)
{
    wait_until_blocked("main", "loop");
    CHECK_EQUAL(conc_loop_call_soon_threadsafe(loop, note, number(1), NULL), 0);
    CHECK_EQUAL(conc_loop_call_soon_threadsafe(loop, stop_current, NULL, NULL), 0);
}

static void test_threadsafe_wakes_a_loop_that_sleeps(void)
{
    conc_loop *loop = new_loop();
    for (int i = 0; i < 5; i++) {
        struct test_thread other;
        test_thread_start(&other, NULL, call_when_asleep, loop);
        assert_int_equal(conc_loop_run_forever(loop), 0);
        ASSERT_CALLED(1);
        test_thread_join(&other);
    }
    free_loop(loop);
}

enum { CALLERS = 4 };

struct caller {
    struct test_thread thread;
    struct storm *storm;
    int asked, called; /* `called`: the loop's thread's */
};

struct storm {
    struct caller callers[CALLERS];
    conc_loop *loop;
    int each;
    uint32_t done; /* callers */
};

struct numbered {
    struct caller *caller;
    int number;
};

static void called(void *arg)
{
    struct numbered *numbered = arg;
    struct caller *c = numbered->caller;
    CHECK_EQUAL(numbered->number, c->called);
    c->called++;
    free(numbered);
}

static void last_called(void *arg)
{
    struct storm *storm = arg;
    if (fetch_add_relaxed(&storm->done, 1) + 1 == CALLERS)
        conc_loop_stop(storm->loop);
}

static void call_much(void *arg)
{
    struct caller *c = arg;
    struct test_random r = test_random_for((unsigned)(c - c->storm->callers));
    for (; c->asked < c->storm->each; c->asked++) {
        struct numbered *numbered = malloc(sizeof *numbered);
        *numbered = (struct numbered){c, c->asked};
        conc_handle *handle, **ret = test_random_below(&r, 2) ? &handle : NULL;
        CHECK_EQUAL(conc_loop_call_soon_threadsafe(c->storm->loop, called, numbered, ret), 0);
        if (ret)
            conc_handle_free(handle);
        if (test_random_below(&r, 50) == 0)
            conc_loop_stop(c->storm->loop);
        if (test_random_below(&r, 20) == 0)
            conc_sleep(CONC_US(20)); /* the loop goes to sleep too */
    }
    CHECK_EQUAL(conc_loop_call_soon_threadsafe(c->storm->loop, last_called, c->storm, NULL), 0);
}

static void test_a_storm_from_threads_at_a_loop_that_is_stopped_now_and_then(void)
{
    struct storm storm = {.loop = new_loop(), .each = (int)crowd_of(4000)};
    for (int i = 0; i < CALLERS; i++) {
        storm.callers[i].storm = &storm;
        test_thread_start(&storm.callers[i].thread, NULL, call_much, &storm.callers[i]);
    }
    while (load_relaxed(&storm.done) < CALLERS)
        assert_int_equal(conc_loop_run_forever(storm.loop), 0);
    for (int i = 0; i < CALLERS; i++) {
        test_thread_join(&storm.callers[i].thread);
        assert_int_equal(storm.callers[i].called, storm.each);
    }
    free_loop(storm.loop);
}

struct brief {
    conc_loop *loop;
    int asked;
    uint32_t called;
};

static void count_call(void *arg) { fetch_add_relaxed(&((struct brief *)arg)->called, 1); }

static void call_some(void *arg)
{
    struct brief *b = arg;
    for (; b->asked < 20; b->asked++)
        CHECK_EQUAL(conc_loop_call_soon_threadsafe(b->loop, count_call, b, NULL), 0);
    conc_loop_stop(b->loop);
}

/* The thread that posts last may still be on its way out of the loop when the loop is freed. */
static void test_a_loop_may_be_freed_as_soon_as_the_last_call_has_come(void)
{
    for (int i = 0; i < (int)crowd_of(300); i++) {
        struct brief brief = {.loop = new_loop()};
        struct test_thread other;
        test_thread_start(&other, NULL, call_some, &brief);
        assert_int_equal(conc_loop_run_forever(brief.loop), 0);
        free_loop(brief.loop);
        assert_int_equal(load_relaxed(&brief.called), 20);
        test_thread_join(&other);
    }
}

/* ---- Out of memory ---- */

static void test_without_memory_it_is_ENOMEM(void)
{
    conc_loop *loop = new_loop();
    conc_handle *handle = NULL;
    for (int n = 1; n < 3; n++) { /* the place among the timers, the handle */
        fail_alloc(n);
        assert_int_equal(conc_loop_call_later(loop, 1, note, number(1), &handle), -ENOMEM);
    }
    fail_alloc(1);
    assert_int_equal(conc_loop_call_soon(loop, note, number(1), &handle), -ENOMEM);
    fail_alloc(1);
    assert_int_equal(conc_loop_call_soon_threadsafe(loop, note, number(1), &handle), -ENOMEM);
    assert_null(handle);
    one_turn(loop);
    assert_int_equal(log_.n, 0);
    free_loop(loop);
}

static const struct CMUnitTest tests[] = {
    ON_EVERY_BACKEND(test_soon_calls_in_the_order_of_asking),
    ON_EVERY_BACKEND(test_a_callback_may_ask_for_more),
    ON_EVERY_BACKEND(test_a_callback_must_not_wait_for_its_loops_tasks),
    ON_EVERY_BACKEND(test_later_calls_in_the_order_of_time),
    ON_EVERY_BACKEND(test_many_are_called_in_time_and_never_before),
    ON_EVERY_BACKEND(test_far_ahead_is_never),
    ON_EVERY_BACKEND(test_without_a_callback_it_is_EINVAL),
    ON_EVERY_BACKEND(test_a_cancelled_callback_never_runs_whatever_its_state),
    ON_EVERY_BACKEND(test_a_callback_may_cancel_another_or_itself),
    ON_EVERY_BACKEND(test_another_thread_cannot_cancel),
    ON_EVERY_BACKEND(test_freeing_the_loop_drops_what_is_left_and_handles_outlive_it),
    ON_EVERY_BACKEND(test_threadsafe_wakes_a_loop_that_sleeps),
    ON_EVERY_BACKEND(test_a_storm_from_threads_at_a_loop_that_is_stopped_now_and_then),
    ON_EVERY_BACKEND(test_a_loop_may_be_freed_as_soon_as_the_last_call_has_come),
    ON_EVERY_BACKEND(test_without_memory_it_is_ENOMEM),
};

TEST_MAIN(tests, 60)
