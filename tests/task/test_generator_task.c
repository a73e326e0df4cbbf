/* SPDX-License-Identifier: MIT
 *
 * test_generator_task.c: generators consumed by tasks.
 */
#include <conc/event.h>
#include <conc/generator.h>
#include <conc/loop.h>
#include <conc/queue.h>
#include <conc/task.h>

#include "base/atomic.h"
#include "support.h"

/* Run `task` as the main task of a loop. */
static int run(conc_fn *task, void *arg) { return conc_run(task, &arg, sizeof arg, NULL, 0); }

static void *shared(void *arg) { return *(void **)arg; }

static conc_generator *make(conc_generator_fn *body, void *arg)
{
    conc_generator *g;
    CHECK_EQUAL(conc_generator_new(&g, body, &arg, sizeof arg, sizeof(int), NULL), 0);
    return g;
}

static int next(conc_generator *g, int *item) { return conc_generator_next(g, item, CONC_FOREVER); }

/* ---- The body blocks, the others run ---- */

static int count_with_pauses(conc_generator *g, void *arg)
{
    for (int i = 1; i <= 20; i++) {
        if (i % 3 == 0)
            conc_yield();
        else if (i % 3 == 1)
            conc_sleep(CONC_US(100));
        int err = conc_generator_yield(g, &i);
        if (err)
            return err;
    }
    return 0;
}

static int count_through(conc_generator *g, void *arg)
{
    conc_generator *inner = make(count_with_pauses, NULL);
    int item, err = 0;
    while (!err && next(inner, &item) == 1) {
        conc_yield();
        err = conc_generator_yield(g, &item);
    }
    conc_generator_free(inner);
    return err;
}

static int consume(void *arg, void *result)
{
    conc_generator *g = make(count_through, NULL);
    int *sum = shared(arg);
    int item, err;
    while ((err = next(g, &item)) == 1) {
        *sum += item;
        conc_yield();
    }
    conc_generator_free(g);
    return err;
}

static int consume_side_by_side(void *arg, void *result)
{
    enum { N = 50 };
    conc_future *tasks[N];
    int *sum = shared(arg);
    for (size_t i = 0; i < N; i++)
        tasks[i] = conc_spawn(consume, &sum, sizeof sum, 0);
    for (size_t i = 0; i < N; i++) {
        CHECK_EQUAL(conc_future_result(tasks[i], NULL, CONC_FOREVER), 0);
        conc_future_unref(tasks[i]);
    }
    CHECK_EQUAL(*sum, N * 210);
    return 0;
}

static void test_tasks_consume_side_by_side(void **state)
{
    int sum = 0;
    assert_int_equal(run(consume_side_by_side, &sum), 0);
    assert_int_equal(sum, 50 * 210);
}

/* ---- Woken from elsewhere ---- */

static int take_from_queue(conc_generator *g, void *arg)
{
    conc_queue *queue = shared(arg);
    int item, err;
    while (!(err = conc_queue_get(queue, &item, CONC_FOREVER)))
        if ((err = conc_generator_yield(g, &item)) != 0)
            return err;
    return err == -ESHUTDOWN ? 0 : err;
}

static int sum_up(void *arg, void *result)
{
    conc_generator *g = make(take_from_queue, shared(arg));
    int item, sum = 0, err;
    while ((err = next(g, &item)) == 1)
        sum += item;
    conc_generator_free(g);
    CHECK_EQUAL(sum, 5050);
    return err;
}

static void put_numbers(void *arg)
{
    conc_queue *queue = arg;
    for (int i = 1; i <= 100; i++)
        CHECK_EQUAL(conc_queue_put(queue, &i, CONC_FOREVER), 0);
    conc_queue_shutdown(queue, false);
}

static void test_thread_feeds_a_body_in_a_task(void **state)
{
    conc_queue queue;
    struct test_thread t;
    assert_int_equal(conc_queue_init(&queue, sizeof(int), 2, CONC_FIFO), 0);
    test_thread_start(&t, NULL, put_numbers, &queue);
    assert_int_equal(run(sum_up, &queue), 0);
    test_thread_join(&t);
    conc_queue_destroy(&queue);
}

/* ---- Cancelled ---- */

static int wait_and_tidy_up(conc_generator *g, void *arg)
{
    int *tidied = shared(arg), item = 0;
    int err = conc_generator_yield(g, &item);
    if (!err)
        err = conc_sleep_until(CONC_FOREVER);
    conc_scope shield;
    conc_shield_enter(&shield);
    *tidied = conc_sleep(CONC_MS(1)) == 0;
    conc_shield_exit(&shield);
    return err;
}

static int wait_in_body(void *arg, void *result)
{
    conc_generator *g = make(wait_and_tidy_up, shared(arg));
    int err = conc_generator_next(g, NULL, CONC_FOREVER);
    if (err == 1)
        err = conc_generator_next(g, NULL, CONC_FOREVER);
    conc_generator_free(g);
    return err;
}

static int cancel_one_that_waits(void *arg, void *result)
{
    conc_future *f = conc_spawn(wait_in_body, arg, sizeof(void *), 0);
    conc_sleep(CONC_MS(1));
    conc_future_cancel(f);
    int err = conc_future_result(f, NULL, CONC_FOREVER);
    conc_future_unref(f);
    return err;
}

static void test_cancelling_the_task_cancels_the_body(void **state)
{
    int tidied = 0;
    assert_int_equal(run(cancel_one_that_waits, &tidied), -ECANCELED);
    assert_true(tidied);
}

static int free_while_cancelled(void *arg, void *result)
{
    conc_generator *g = make(wait_and_tidy_up, shared(arg));
    conc_scope scope;
    CHECK_EQUAL(conc_generator_next(g, NULL, CONC_FOREVER), 1);
    conc_scope_enter(&scope, CONC_FOREVER);
    conc_scope_cancel(&scope);
    conc_generator_free(g);
    return conc_scope_exit(&scope);
}

static void test_free_by_a_cancelled_task_lets_the_body_tidy_up(void **state)
{
    int tidied = 0;
    assert_int_equal(run(free_while_cancelled, &tidied), 0);
    assert_true(tidied);
}

/* ---- From hand to hand ---- */

static int take_one(void *arg, void *result)
{
    int item;
    int err = next(shared(arg), &item);
    *(int *)result = item;
    return err == 1 ? 0 : err;
}

static int take_one_each(void *arg, void *result)
{
    for (int i = 1; i <= 10; i++) {
        int item = 0;
        conc_future *f = conc_spawn(take_one, arg, sizeof(void *), sizeof item);
        CHECK_EQUAL(conc_future_result(f, &item, CONC_FOREVER), 0);
        CHECK_EQUAL(item, *(int *)result + i);
        conc_future_unref(f);
    }
    *(int *)result += 10;
    return 0;
}

static void test_generator_may_pass_between_tasks_and_threads(void **state)
{
    conc_generator *g = make(count_with_pauses, NULL);
    int taken = 0, item;
    assert_int_equal(conc_run(take_one_each, &g, sizeof g, &taken, sizeof taken), 0);
    for (int i = 11; i <= 20; i++) {
        assert_int_equal(next(g, &item), 1);
        assert_int_equal(item, i);
    }
    assert_int_equal(next(g, &item), 0);
    assert_int_equal(conc_generator_free(g), 0);
}

static int run_a_loop(conc_generator *g, void *arg)
{
    int sum = 0;
    for (int i = 0; i < 3; i++) {
        int err = run(consume_side_by_side, &(int){0});
        if (!err)
            err = conc_generator_yield(g, &sum);
        if (err)
            return err;
    }
    return 0;
}

static void test_body_may_run_a_loop(void **state)
{
    conc_generator *g = make(run_a_loop, NULL);
    int item;
    for (int i = 0; i < 3; i++)
        assert_int_equal(next(g, &item), 1);
    assert_int_equal(next(g, &item), 0);
    assert_int_equal(conc_generator_free(g), 0);
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_tasks_consume_side_by_side),
    cmocka_unit_test(test_thread_feeds_a_body_in_a_task),
    cmocka_unit_test(test_cancelling_the_task_cancels_the_body),
    cmocka_unit_test(test_free_by_a_cancelled_task_lets_the_body_tidy_up),
    cmocka_unit_test(test_generator_may_pass_between_tasks_and_threads),
    cmocka_unit_test(test_body_may_run_a_loop),
};

TEST_MAIN(tests, 60)
