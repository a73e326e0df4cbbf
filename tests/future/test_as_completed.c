/* SPDX-License-Identifier: MIT
 *
 * test_as_completed.c: futures in the order of their ends.
 */
#include "jobs.h"

/* More than conc_wait() takes without asking for memory. */
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

static void test_as_completed_gives_them_in_the_order_of_their_ends(void **state)
{
    conc_future *f[MANY], *next;
    FOR_SIZES(n)
    {
        conc_as_completed *it;
        size_t index = 99;
        make(f, n);
        finish(f[n / 2]);
        assert_int_equal(conc_as_completed_new(&it, f, n), 0);
        for (size_t i = n; i-- > 0;)
            if (i != n / 2)
                i % 2 ? spoil(f[i], -EIO) : finish(f[i]);
        assert_int_equal(conc_as_completed_next(it, &next, &index, CONC_FOREVER), 1);
        assert_int_equal(index, n / 2); /* those done before: first */
        assert_ptr_equal(next, f[index]);
        for (size_t i = n; i-- > 0;) {
            if (i == n / 2)
                continue;
            assert_int_equal(conc_as_completed_next(it, &next, &index, CONC_NOW), 1);
            assert_int_equal(index, i);
            assert_ptr_equal(next, f[i]);
        }
        assert_int_equal(conc_as_completed_next(it, &next, &index, CONC_FOREVER), 0);
        assert_int_equal(conc_as_completed_next(it, NULL, NULL, CONC_NOW), 0);
        conc_as_completed_free(it);
        drop(f, n);
    }
}

static void test_as_completed_gives_up_and_goes_on(void **state)
{
    conc_future *f[FEW];
    conc_as_completed *it;
    size_t index = 99;
    make(f, FEW);
    assert_int_equal(conc_as_completed_new(&it, f, FEW), 0);
    assert_int_equal(conc_as_completed_next(it, NULL, &index, CONC_NOW), -EAGAIN);
    assert_int_equal(conc_as_completed_next(it, NULL, &index, conc_in(0)), -ETIMEDOUT);
    assert_int_equal(index, 99);
    finish(f[2]);
    assert_int_equal(conc_as_completed_next(it, NULL, &index, conc_in(0)), 1);
    assert_int_equal(index, 2);
    assert_int_equal(conc_as_completed_next(it, NULL, NULL, conc_in(CONC_MS(1))), -ETIMEDOUT);
    conc_as_completed_free(it); /* with two still to come */
    finish(f[0]);
    drop(f, FEW);
}

static void test_as_completed_of_none_is_over_at_once(void **state)
{
    conc_as_completed *it;
    assert_int_equal(conc_as_completed_new(&it, NULL, 0), 0);
    assert_int_equal(conc_as_completed_next(it, NULL, NULL, CONC_FOREVER), 0);
    conc_as_completed_free(it);
    conc_as_completed_free(NULL);
}

static void test_as_completed_gives_a_future_once_however_often_it_stands_there(void **state)
{
    conc_future *f[2], *next;
    conc_as_completed *it;
    make(f, 2);
    conc_future *const twice[] = {f[0], f[1], f[0], f[0], f[1]};
    assert_int_equal(conc_as_completed_new(&it, twice, 5), 0);
    for (int i = 1; i >= 0; i--) {
        size_t index = 99;
        assert_int_equal(conc_as_completed_next(it, NULL, NULL, CONC_NOW), -EAGAIN);
        finish(f[i]);
        assert_int_equal(conc_as_completed_next(it, &next, &index, CONC_FOREVER), 1);
        assert_ptr_equal(next, f[i]);
        assert_int_equal(index, i);
    }
    assert_int_equal(conc_as_completed_next(it, NULL, NULL, CONC_FOREVER), 0);
    conc_as_completed_free(it);
    drop(f, 2);
}

enum { DISTINCT = 1000, TIMES = 3 };

static void test_as_completed_of_many_of_which_each_stands_there_three_times(void **state)
{
    conc_future *f[DISTINCT], *all[DISTINCT * TIMES];
    conc_as_completed *it;
    bool seen[DISTINCT] = {false};
    make(f, DISTINCT);
    for (size_t i = 0; i < DISTINCT * TIMES; i++)
        all[i] = f[i % DISTINCT];
    assert_int_equal(conc_as_completed_new(&it, all, DISTINCT * TIMES), 0);
    for (int i = 0; i < DISTINCT; i++)
        finish(f[i]);
    for (int i = 0; i < DISTINCT; i++) {
        size_t index = 0;
        assert_int_equal(conc_as_completed_next(it, NULL, &index, CONC_NOW), 1);
        assert_in_range(index, 0, DISTINCT - 1);
        assert_false(seen[index]);
        seen[index] = true;
    }
    assert_int_equal(conc_as_completed_next(it, NULL, NULL, CONC_FOREVER), 0);
    conc_as_completed_free(it);
    drop(f, DISTINCT);
}

static void test_as_completed_shares_the_futures_not_the_array(void **state)
{
    conc_future *f[FEW], *next;
    conc_as_completed *it;
    make(f, FEW);
    conc_future *last = conc_future_ref(f[2]);
    assert_int_equal(conc_as_completed_new(&it, f, FEW), 0);
    for (int i = 0; i < FEW; i++) {
        conc_future_unref(f[i]);
        f[i] = NULL;
    }
    finish(last);
    conc_future_unref(last);
    assert_int_equal(conc_as_completed_next(it, &next, NULL, CONC_FOREVER), 1);
    assert_int_equal(*(const int *)conc_future_value(next), 42); /* ASan: it is still there */
    conc_as_completed_free(it);
}

static void finish_later(void *arg)
{
    wait_until_blocked("main", "futures");
    finish(arg);
}

static void test_as_completed_wakes_at_an_end(void **state)
{
    struct test_thread thread;
    conc_future *f[FEW], *next = NULL;
    conc_as_completed *it;
    make(f, FEW);
    assert_int_equal(conc_as_completed_new(&it, f, FEW), 0);
    test_thread_start(&thread, "finisher", finish_later, f[1]);
    assert_int_equal(conc_as_completed_next(it, &next, NULL, CONC_FOREVER), 1);
    assert_ptr_equal(next, f[1]);
    test_thread_join(&thread);
    conc_as_completed_free(it);
    drop(f, FEW);
}

static void test_as_completed_of_a_cancelled_caller_is_ECANCELED(void **state)
{
    conc_future *f[FEW];
    conc_as_completed *it;
    conc_scope scope;
    make(f, FEW);
    finish(f[0]);
    assert_int_equal(conc_as_completed_new(&it, f, FEW), 0);
    conc_scope_enter(&scope, CONC_FOREVER);
    conc_scope_cancel(&scope);
    assert_int_equal(conc_as_completed_next(it, NULL, NULL, CONC_FOREVER), -ECANCELED);
    assert_int_equal(conc_as_completed_next(it, NULL, NULL, CONC_NOW), 1);
    assert_int_equal(conc_scope_exit(&scope), -ECANCELED);
    conc_as_completed_free(it);
    drop(f, FEW);
}

static void test_as_completed_without_memory_is_ENOMEM(void **state)
{
    conc_future *f[FEW];
    conc_as_completed *it = NULL;
    make(f, FEW);
    fail_alloc(1);
    assert_int_equal(conc_as_completed_new(&it, f, FEW), -ENOMEM);
    assert_int_equal(conc_as_completed_new(&it, f, SIZE_MAX), -ENOMEM);
    assert_int_equal(conc_as_completed_new(&it, f, SIZE_MAX / 16), -ENOMEM);
    assert_null(it);
    drop(f, FEW);
}

static const struct CMUnitTest tests[] = {
    LEAK_TEST(test_as_completed_gives_them_in_the_order_of_their_ends),
    LEAK_TEST(test_as_completed_gives_up_and_goes_on),
    LEAK_TEST(test_as_completed_of_none_is_over_at_once),
    LEAK_TEST(test_as_completed_gives_a_future_once_however_often_it_stands_there),
    LEAK_TEST(test_as_completed_of_many_of_which_each_stands_there_three_times),
    LEAK_TEST(test_as_completed_shares_the_futures_not_the_array),
    LEAK_TEST(test_as_completed_wakes_at_an_end),
    LEAK_TEST(test_as_completed_of_a_cancelled_caller_is_ECANCELED),
    LEAK_TEST(test_as_completed_without_memory_is_ENOMEM),
};

TEST_MAIN(tests, 30)
