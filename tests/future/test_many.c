/* SPDX-License-Identifier: MIT
 *
 * test_many.c: waiting for many futures: conc_wait in its modes, conc_gather in its two forms. In
 * the order of their ends: test_as_completed.c. In the long and at random: test_many_stress.c.
 * Helping: test_pool_help.c.
 */
#include "jobs.h"

#include <stdio.h>

/* More than waits without asking for memory. */
enum { FEW = 3, MANY = 40 };

static const size_t sizes[] = {1, 2, FEW, 16, 17, MANY};
#define FOR_SIZES(n) \
    for (size_t i_ = 0, n; i_ < sizeof sizes / sizeof *sizes && (n = sizes[i_]); i_++)

static void make(conc_future **futures, size_t n)
{
    for (size_t i = 0; i < n; i++)
        CHECK_EQUAL(conc_future_new(&futures[i], sizeof(int)), 0);
}

static void drop(conc_future **futures, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        (void)conc_future_error(futures[i]);
        conc_future_unref(futures[i]);
    }
}

static void finish(conc_future *f) { CHECK_EQUAL(conc_future_set_result(f, &(int){42}), 0); }
static void spoil(conc_future *f, int err)
{
    CHECK_EQUAL(conc_future_set_error(f, err, "spoilt: %d", err), 0);
}

/* ---- A thread that waits for many ---- */

struct waiter {
    struct test_thread thread;
    char name[32];
    conc_future **futures;
    size_t n;
    conc_wait_mode mode;
    conc_deadline deadline;
    int *errors;
    conc_scope scope;
    ptrdiff_t result;
    bool gather;
    char message[CONC_MESSAGE_MAX];
};

static void waiter_main(void *arg)
{
    struct waiter *w = arg;
    conc_scope_enter(&w->scope, CONC_FOREVER);
    w->result = w->gather ? conc_gather(w->futures, w->n, w->errors, w->deadline)
                          : conc_wait(w->futures, w->n, w->mode, w->deadline);
    snprintf(w->message, sizeof w->message, "%s", conc_error_message());
    conc_scope_exit(&w->scope);
}

static void waiter_blocks(const struct waiter *w) { wait_until_blocked(w->name, "futures"); }

static void waiter_start(struct waiter *w, conc_future **futures, size_t n)
{
    w->futures = futures;
    w->n = n;
    if (!w->deadline.ns)
        w->deadline = CONC_FOREVER;
    static int last;
    snprintf(w->name, sizeof w->name, "waiter-%d", ++last);
    test_thread_start(&w->thread, w->name, waiter_main, w);
    waiter_blocks(w);
}

static ptrdiff_t waiter_end(struct waiter *w)
{
    test_thread_join(&w->thread);
    return w->result;
}

/* ---- conc_wait ---- */

static void test_wait_for_none_is_0(void **state)
{
    for (int mode = CONC_FIRST_COMPLETED; mode <= CONC_ALL_COMPLETED; mode++)
        assert_int_equal(conc_wait(NULL, 0, (conc_wait_mode)mode, CONC_FOREVER), 0);
}

static void test_wait_for_what_is_done_counts_them_all(void **state)
{
    static const conc_wait_mode modes[] = {CONC_FIRST_COMPLETED, CONC_FIRST_ERROR,
                                           CONC_ALL_COMPLETED};
    const conc_deadline deadlines[] = {CONC_FOREVER, CONC_NOW, conc_in(0)};
    conc_future *futures[MANY];
    FOR_SIZES(n)
    {
        make(futures, n);
        for (size_t i = 0; i < n; i++)
            i % 3 == 1 ? spoil(futures[i], -EIO) : finish(futures[i]);
        for (int i = 0; i < 9; i++)
            assert_int_equal(conc_wait(futures, n, modes[i % 3], deadlines[i / 3]), n);
        drop(futures, n);
    }
}

static void test_wait_for_what_is_not_done_gives_up(void **state)
{
    conc_future *futures[MANY];
    FOR_SIZES(n)
    {
        make(futures, n);
        for (int mode = CONC_FIRST_COMPLETED; mode <= CONC_ALL_COMPLETED; mode++) {
            assert_int_equal(conc_wait(futures, n, (conc_wait_mode)mode, CONC_NOW), -EAGAIN);
            assert_int_equal(conc_wait(futures, n, (conc_wait_mode)mode, conc_in(0)), -ETIMEDOUT);
            assert_int_equal(conc_wait(futures, n, (conc_wait_mode)mode, conc_in(CONC_MS(1))),
                             -ETIMEDOUT);
        }
        for (size_t i = 0; i < n; i++)
            finish(futures[i]); /* nothing of the waits is left on them */
        drop(futures, n);
    }
}

static void test_one_done_is_enough_for_first_completed_alone(void **state)
{
    conc_future *f[FEW];
    make(f, FEW);
    finish(f[1]);
    assert_int_equal(conc_wait(f, FEW, CONC_FIRST_COMPLETED, CONC_NOW), 1);
    assert_int_equal(conc_wait(f, FEW, CONC_FIRST_ERROR, CONC_NOW), -EAGAIN);
    assert_int_equal(conc_wait(f, FEW, CONC_ALL_COMPLETED, CONC_NOW), -EAGAIN);
    drop(f, FEW);
}

static void test_one_error_or_cancellation_is_enough_for_first_error(void **state)
{
    for (int cancel = 0; cancel < 2; cancel++) {
        conc_future *f[FEW];
        make(f, FEW);
        finish(f[0]);
        cancel ? (void)conc_future_cancel(f[2]) : spoil(f[2], -EIO);
        assert_int_equal(conc_wait(f, FEW, CONC_FIRST_ERROR, CONC_NOW), 2);
        assert_int_equal(conc_wait(f, FEW, CONC_ALL_COMPLETED, CONC_NOW), -EAGAIN);
        drop(f, FEW);
    }
}

static void test_first_completed_wakes_at_the_first_end(void **state)
{
    conc_future *f[MANY];
    FOR_SIZES(n)
    {
        struct waiter w = {.mode = CONC_FIRST_COMPLETED};
        make(f, n);
        waiter_start(&w, f, n);
        finish(f[n / 2]);
        assert_int_equal(waiter_end(&w), 1);
        drop(f, n);
    }
}

static void test_first_error_sleeps_through_successes(void **state)
{
    conc_future *f[FEW];
    struct waiter w = {.mode = CONC_FIRST_ERROR};
    make(f, FEW);
    waiter_start(&w, f, FEW);
    finish(f[1]);
    waiter_blocks(&w);
    spoil(f[0], -EIO);
    assert_int_equal(waiter_end(&w), 2);
    drop(f, FEW);
}

static void test_first_error_without_errors_waits_for_all(void **state)
{
    conc_future *f[FEW];
    struct waiter w = {.mode = CONC_FIRST_ERROR};
    make(f, FEW);
    waiter_start(&w, f, FEW);
    for (int i = 0; i < FEW; i++)
        finish(f[i]);
    assert_int_equal(waiter_end(&w), FEW);
    drop(f, FEW);
}

static void test_all_completed_waits_for_all_errors_included(void **state)
{
    conc_future *f[MANY];
    FOR_SIZES(n)
    {
        struct waiter w = {.mode = CONC_ALL_COMPLETED};
        make(f, n);
        waiter_start(&w, f, n);
        for (size_t i = n; i-- > 0;) {
            waiter_blocks(&w);
            i % 2 ? spoil(f[i], -EIO) : finish(f[i]);
        }
        assert_int_equal(waiter_end(&w), n);
        drop(f, n);
    }
}

static void test_the_same_future_may_stand_there_twice(void **state)
{
    conc_future *f[4];
    make(f, 2);
    f[2] = f[3] = f[0];
    struct waiter all = {.mode = CONC_ALL_COMPLETED};
    waiter_start(&all, f, 4);
    assert_int_equal(conc_wait(f, 4, CONC_FIRST_COMPLETED, CONC_NOW), -EAGAIN);
    finish(f[0]);
    assert_int_equal(conc_wait(f, 4, CONC_FIRST_COMPLETED, CONC_NOW), 3); /* it counts each time */
    waiter_blocks(&all);
    finish(f[1]);
    assert_int_equal(waiter_end(&all), 4);
    drop(f, 2);
}

static void test_many_waits_on_the_same_futures(void **state)
{
    enum { N = 6 };
    conc_future *f[MANY];
    struct waiter w[N] = {{.mode = CONC_ALL_COMPLETED},
                          {.mode = CONC_FIRST_COMPLETED},
                          {.mode = CONC_ALL_COMPLETED},
                          {.mode = CONC_FIRST_ERROR},
                          {.gather = true},
                          {.mode = CONC_ALL_COMPLETED}};
    make(f, MANY);
    for (int i = 0; i < N; i++)
        waiter_start(&w[i], f, MANY);
    for (int i = 0; i < MANY; i++)
        finish(f[i]);
    for (int i = 0; i < N; i++) {
        ptrdiff_t result = waiter_end(&w[i]);
        if (w[i].gather)
            assert_int_equal(result, 0);
        else if (w[i].mode == CONC_FIRST_COMPLETED)
            assert_in_range(result, 1, MANY);
        else
            assert_int_equal(result, MANY);
    }
    drop(f, MANY);
}

static void test_wait_times_out_when_its_time_has_come(void **state)
{
    conc_future *f[FEW];
    struct waiter w = {.mode = CONC_ALL_COMPLETED, .deadline = conc_in(CONC_S(1000))};
    make(f, FEW);
    waiter_start(&w, f, FEW);
    finish(f[0]);
    conc__test_advance(CONC_S(1001));
    assert_int_equal(waiter_end(&w), -ETIMEDOUT);
    drop(f, FEW);
}

static void test_cancelling_the_caller_ends_the_wait(void **state)
{
    conc_future *f[MANY];
    FOR_SIZES(n)
    {
        struct waiter w = {.mode = CONC_ALL_COMPLETED}, g = {.gather = true};
        make(f, n);
        waiter_start(&w, f, n);
        waiter_start(&g, f, n);
        conc_scope_cancel(&w.scope);
        conc_scope_cancel(&g.scope);
        assert_int_equal(waiter_end(&w), -ECANCELED);
        assert_int_equal(waiter_end(&g), -ECANCELED);
        drop(f, n);
    }
}

static void test_a_cancelled_caller_gets_ECANCELED_even_of_done_futures(void **state)
{
    conc_future *f[FEW];
    conc_scope scope;
    make(f, FEW);
    for (int i = 0; i < FEW; i++)
        finish(f[i]);
    conc_scope_enter(&scope, CONC_FOREVER);
    conc_scope_cancel(&scope);
    assert_int_equal(conc_wait(f, FEW, CONC_ALL_COMPLETED, CONC_FOREVER), -ECANCELED);
    assert_int_equal(conc_gather(f, FEW, NULL, CONC_FOREVER), -ECANCELED);
    assert_int_equal(conc_wait(f, FEW, CONC_ALL_COMPLETED, CONC_NOW), FEW);
    assert_int_equal(conc_gather(f, FEW, NULL, CONC_NOW), 0);
    assert_int_equal(conc_scope_exit(&scope), -ECANCELED);
    drop(f, FEW);
}

static void test_without_memory_many_are_ENOMEM_and_few_need_none(void **state)
{
    conc_future *f[MANY];
    int errors[MANY];
    make(f, MANY);
    for (int i = 0; i < MANY; i++)
        finish(f[i]);
    fail_alloc(1);
    assert_int_equal(conc_wait(f, MANY, CONC_ALL_COMPLETED, CONC_FOREVER), -ENOMEM);
    fail_alloc(1);
    assert_int_equal(conc_gather(f, MANY, errors, CONC_FOREVER), -ENOMEM);
    fail_alloc(1);
    assert_int_equal(conc_wait(f, FEW, CONC_ALL_COMPLETED, CONC_FOREVER), FEW);
    fail_alloc(0);
    drop(f, MANY);
}

static void test_impossibly_many_are_ENOMEM(void **state)
{
    if (on_valgrind())
        skip(); /* it reports the size as an error */
    conc_future *f;
    make(&f, 1);
    assert_int_equal(conc_wait(&f, SIZE_MAX / 16, CONC_ALL_COMPLETED, CONC_FOREVER), -ENOMEM);
    drop(&f, 1);
}

/* ---- conc_gather ---- */

static void test_gather_of_none_is_0(void **state)
{
    int errors = 7;
    assert_int_equal(conc_gather(NULL, 0, NULL, CONC_FOREVER), 0);
    assert_int_equal(conc_gather(NULL, 0, &errors, CONC_FOREVER), 0);
    assert_int_equal(errors, 7);
}

static void test_gather_returns_the_first_error_as_soon_as_there_is_one(void **state)
{
    conc_future *f[FEW];
    struct waiter w = {.gather = true};
    make(f, FEW);
    waiter_start(&w, f, FEW);
    finish(f[0]);
    waiter_blocks(&w);
    spoil(f[1], -EIO);
    assert_int_equal(waiter_end(&w), -EIO);
    assert_string_equal(w.message, "spoilt: -5");
    assert_false(conc_future_is_done(f[2])); /* the others go on */
    drop(f, FEW);
}

static void test_gather_of_several_errors_takes_the_first_of_the_array(void **state)
{
    conc_future *f[FEW];
    make(f, FEW);
    spoil(f[2], -EPERM);
    spoil(f[1], -EIO);
    assert_int_equal(conc_gather(f, FEW, NULL, CONC_NOW), -EIO);
    assert_string_equal(conc_error_message(), "spoilt: -5");
    drop(f, FEW);
}

static void test_gather_with_errors_waits_for_all_and_stores_each(void **state)
{
    conc_future *f[4];
    int errors[4] = {7, 7, 7, 7};
    struct waiter w = {.gather = true, .errors = errors};
    make(f, 4);
    waiter_start(&w, f, 4);
    spoil(f[1], -EIO);
    conc_future_cancel(f[2]);
    finish(f[3]);
    waiter_blocks(&w);
    finish(f[0]);
    assert_int_equal(waiter_end(&w), 0);
    static const int expected[] = {0, -EIO, -ECANCELED, 0};
    assert_memory_equal(errors, expected, sizeof errors);
    drop(f, 4);
}

static void test_gather_gives_up(void **state)
{
    conc_future *f[FEW];
    int errors[FEW] = {7, 7, 7};
    make(f, FEW);
    finish(f[0]);
    assert_int_equal(conc_gather(f, FEW, NULL, CONC_NOW), -EAGAIN);
    assert_int_equal(conc_gather(f, FEW, errors, CONC_NOW), -EAGAIN);
    assert_int_equal(conc_gather(f, FEW, NULL, conc_in(0)), -ETIMEDOUT);
    assert_int_equal(conc_gather(f, FEW, errors, conc_in(CONC_MS(1))), -ETIMEDOUT);
    assert_int_equal(errors[0], 7);
    drop(f, FEW);
}

static void test_gather_observes_the_later_errors_too(void **state)
{
    struct unobserved u;
    conc_future *f[FEW];
    unobserved_watch(&u);
    make(f, FEW);
    spoil(f[0], -EIO);
    assert_int_equal(conc_gather(f, FEW, NULL, CONC_NOW), -EIO);
    spoil(f[1], -EIO); /* done after it */
    for (int i = 0; i < FEW; i++)
        conc_future_unref(f[i]);
    assert_int_equal(u.count, 0);
}

static const struct CMUnitTest tests[] = {
    LEAK_TEST(test_wait_for_none_is_0),
    LEAK_TEST(test_wait_for_what_is_done_counts_them_all),
    LEAK_TEST(test_wait_for_what_is_not_done_gives_up),
    LEAK_TEST(test_one_done_is_enough_for_first_completed_alone),
    LEAK_TEST(test_one_error_or_cancellation_is_enough_for_first_error),
    LEAK_TEST(test_first_completed_wakes_at_the_first_end),
    LEAK_TEST(test_first_error_sleeps_through_successes),
    LEAK_TEST(test_first_error_without_errors_waits_for_all),
    LEAK_TEST(test_all_completed_waits_for_all_errors_included),
    LEAK_TEST(test_the_same_future_may_stand_there_twice),
    LEAK_TEST(test_many_waits_on_the_same_futures),
    LEAK_TEST(test_wait_times_out_when_its_time_has_come),
    LEAK_TEST(test_cancelling_the_caller_ends_the_wait),
    LEAK_TEST(test_a_cancelled_caller_gets_ECANCELED_even_of_done_futures),
    LEAK_TEST(test_without_memory_many_are_ENOMEM_and_few_need_none),
    LEAK_TEST(test_impossibly_many_are_ENOMEM),
    LEAK_TEST(test_gather_of_none_is_0),
    LEAK_TEST(test_gather_returns_the_first_error_as_soon_as_there_is_one),
    LEAK_TEST(test_gather_of_several_errors_takes_the_first_of_the_array),
    LEAK_TEST(test_gather_with_errors_waits_for_all_and_stores_each),
    LEAK_TEST(test_gather_gives_up),
    LEAK_TEST(test_gather_observes_the_later_errors_too),
};

TEST_MAIN(tests, 30)
