/* SPDX-License-Identifier: MIT
 *
 * test_map.c: conc_map() on every executor: order, chunks, errors, and leaving early.
 */
#include "executors.h"

#include <sched.h>
#include <stdatomic.h>
#include <string.h>

enum { N = 23 };

static void fill(int *in, size_t n)
{
    for (size_t i = 0; i < n; i++)
        in[i] = (int)i + 1;
}

static void expect_squares(const int *out, size_t n)
{
    for (size_t i = 0; i < n; i++)
        assert_int_equal(out[i], ((int)i + 1) * ((int)i + 1));
}

/* ---- Results ---- */

static void test_map_gives_the_results_in_order(void **state)
{
    const struct executor_case *c = *state;
    int in[N], out[N + 1] = {0};
    fill(in, N);
    for (size_t n = 0; n <= N; n++) {
        memset(out, 0, sizeof out);
        assert_int_equal(conc_map(c->executor, job_square, in, n, sizeof *in, out, sizeof *out,
                                  NULL, CONC_FOREVER),
                         0);
        expect_squares(out, n);
        assert_int_equal(out[n], 0);
    }
}

static void test_map_takes_chunks_of_any_length(void **state)
{
    const struct executor_case *c = *state;
    static const size_t more[] = {N + 1, N + 2, 1000, SIZE_MAX};
    int in[N];
    fill(in, N);
    for (size_t i = 0; i <= N + 4; i++) {
        int out[N + 1] = {0}, errors[N + 1] = {0};
        for (int with_errors = 0; with_errors < 2; with_errors++) {
            const conc_map_options options = {.chunk = i <= N ? i : more[i - N - 1],
                                              .errors = with_errors ? errors : NULL};
            memset(errors, 1, sizeof errors);
            memset(out, 0, sizeof out);
            assert_int_equal(conc_map(c->executor, job_square, in, N, sizeof *in, out, sizeof *out,
                                      &options, CONC_FOREVER),
                             0);
            expect_squares(out, N);
            assert_int_equal(out[N], 0);
            for (int e = 0; with_errors && e < N; e++)
                assert_int_equal(errors[e], 0);
            assert_int_equal(errors[N], 0x01010101);
        }
    }
}

/* Elements of an odd size: each with its own copy, aligned for any type. */
struct triple {
    unsigned char bytes[3];
};

static int job_turn_round(void *arg, void *result)
{
    if ((uintptr_t)arg % _Alignof(max_align_t) || (uintptr_t)result % _Alignof(max_align_t))
        return conc_raise(-EFAULT, "arg %p or result %p is not aligned", arg, result);
    const struct triple *in = arg;
    struct triple *out = result;
    for (int i = 0; i < 3; i++) {
        if (out->bytes[i])
            return conc_raise(-EIO, "the result is not zeroed");
        out->bytes[i] = in->bytes[2 - i];
    }
    memset(arg, 0xee, 3);
    return 0;
}

static void test_map_takes_elements_of_odd_sizes(void **state)
{
    const struct executor_case *c = *state;
    struct triple in[N], out[N];
    for (size_t i = 0; i < N; i++)
        in[i] = (struct triple){{(unsigned char)i, 100, (unsigned char)(200 + i)}};
    for (size_t chunk = 1; chunk <= N + 1; chunk += 5) {
        const conc_map_options options = {.chunk = chunk};
        memset(out, 0, sizeof out);
        assert_int_equal(
            conc_map(c->executor, job_turn_round, in, N, 3, out, 3, &options, CONC_FOREVER), 0);
        for (size_t i = 0; i < N; i++) {
            assert_int_equal(out[i].bytes[0], 200 + i);
            assert_int_equal(out[i].bytes[2], i);
            assert_int_equal(in[i].bytes[0], i); /* the caller's are as they were */
        }
    }
}

static int nothing_calls;

static int job_nothing(void *arg, void *result)
{
    __atomic_add_fetch(&nothing_calls, 1, __ATOMIC_ACQ_REL);
    return arg || result ? conc_raise(-EINVAL, "arg %p, result %p", arg, result) : 0;
}

static void test_map_without_arguments_or_results(void **state)
{
    const struct executor_case *c = *state;
    for (size_t chunk = 1; chunk <= N; chunk += 7) {
        int errors[N];
        conc_map_options options = {.chunk = chunk};
        nothing_calls = 0;
        assert_int_equal(
            conc_map(c->executor, job_nothing, NULL, N, 0, NULL, 0, &options, CONC_FOREVER), 0);
        assert_int_equal(nothing_calls, N);
        options.errors = errors;
        assert_int_equal(
            conc_map(c->executor, job_nothing, NULL, N, 0, NULL, 0, &options, CONC_FOREVER), 0);
        assert_int_equal(nothing_calls, 2 * N);
    }
}

static void test_map_of_nothing_is_0_and_runs_nothing(void **state)
{
    const struct executor_case *c = *state;
    assert_int_equal(conc_map(c->executor, job_square, NULL, 0, 4, NULL, 4, NULL, CONC_FOREVER), 0);
    assert_int_equal(conc_map(c->executor, job_square, NULL, 0, 4, NULL, 4, NULL, CONC_NOW), 0);
}

static void test_bad_arguments_are_EINVAL(void **state)
{
    const struct executor_case *c = *state;
    int in[2] = {1, 2}, out[2];
    assert_int_equal(conc_map(NULL, job_square, in, 2, 4, out, 4, NULL, CONC_FOREVER), -EINVAL);
    assert_int_equal(conc_map(c->executor, NULL, in, 2, 4, out, 4, NULL, CONC_FOREVER), -EINVAL);
    assert_int_equal(conc_map(c->executor, job_square, NULL, 2, 4, out, 4, NULL, CONC_FOREVER),
                     -EINVAL);
    assert_int_equal(conc_map(c->executor, job_square, in, 2, 4, NULL, 4, NULL, CONC_FOREVER),
                     -EINVAL);
}

/* ---- Errors ---- */

/* Squares, but 5, 9 and 10 fail, 12 returns a positive number. */
static int job_square_or_fail(void *arg, void *result)
{
    int n = *(int *)arg;
    if (n == 5 || n == 9)
        return conc_raise(-EIO, "%d is bad", n);
    if (n == 10)
        return -EPERM;
    return n == 12 ? 12 : job_square(arg, result);
}

static int expected_error(int n)
{
    return n == 5 || n == 9 ? -EIO : n == 10 ? -EPERM : n == 12 ? -EINVAL : 0;
}

static void test_the_first_error_of_the_array_ends_the_map(void **state)
{
    const struct executor_case *c = *state;
    int in[N], out[N];
    fill(in, N);
    for (size_t chunk = 1; chunk <= N + 1; chunk++) {
        const conc_map_options options = {.chunk = chunk};
        memset(out, 0, sizeof out);
        assert_int_equal(conc_map(c->executor, job_square_or_fail, in, N, sizeof *in, out,
                                  sizeof *out, &options, CONC_FOREVER),
                         -EIO);
        assert_string_equal(conc_error_message(), "5 is bad");
        for (int i = 0; i < N; i++) /* some of the results, and nothing else */
            assert_true(out[i] == 0 || out[i] == in[i] * in[i]);
    }
    assert_int_equal(conc_executor_shutdown(c->executor, CONC_SHUTDOWN_WAIT, CONC_FOREVER), 0);
}

static void test_errors_lets_all_run_and_stores_each(void **state)
{
    const struct executor_case *c = *state;
    int in[N], out[N], errors[N];
    fill(in, N);
    for (size_t chunk = 1; chunk <= N + 1; chunk++) {
        const conc_map_options options = {.chunk = chunk, .errors = errors};
        memset(out, 0, sizeof out);
        assert_int_equal(conc_map(c->executor, job_square_or_fail, in, N, sizeof *in, out,
                                  sizeof *out, &options, CONC_FOREVER),
                         0);
        for (int i = 0; i < N; i++) {
            assert_int_equal(errors[i], expected_error(in[i]));
            assert_int_equal(out[i], errors[i] ? 0 : in[i] * in[i]);
        }
    }
}

static int job_handles_an_error(void *arg, void *result)
{
    int n = *(int *)arg;
    if (n == 1)
        conc_raise(-EIO, "dealt with");
    return n == 2 ? -EIO : 0;
}

static void test_an_element_has_no_message_of_the_one_before(void **state)
{
    const struct executor_case *c = *state;
    int in[2] = {1, 2};
    for (size_t chunk = 1; chunk <= 2; chunk++) {
        const conc_map_options options = {.chunk = chunk};
        assert_int_equal(conc_map(c->executor, job_handles_an_error, in, 2, sizeof *in, NULL, 0,
                                  &options, CONC_FOREVER),
                         -EIO);
        assert_string_equal(conc_error_message(), "");
    }
}

static int job_leaves_a_scope_open(void *arg, void *result)
{
    int err = conc_check_cancel();
    conc_scope scope;
    conc_scope_enter(&scope, conc_in(0));
    return err;
}

static void test_a_scope_left_open_by_an_element_ends_with_it(void **state)
{
    const struct executor_case *c = *state;
    for (size_t chunk = 1; chunk <= 8; chunk++) {
        const conc_map_options options = {.chunk = chunk};
        assert_int_equal(conc_map(c->executor, job_leaves_a_scope_open, NULL, 8, 0, NULL, 0,
                                  &options, CONC_FOREVER),
                         0);
    }
}

static void test_the_errors_of_a_map_are_observed(void **state)
{
    const struct executor_case *c = *state;
    struct unobserved u;
    int in[N], out[N], errors[N];
    const conc_map_options options = {.errors = errors};
    fill(in, N);
    unobserved_watch(&u);
    assert_int_equal(conc_map(c->executor, job_square_or_fail, in, N, sizeof *in, out, sizeof *out,
                              NULL, CONC_FOREVER),
                     -EIO);
    assert_int_equal(conc_map(c->executor, job_square_or_fail, in, N, sizeof *in, out, sizeof *out,
                              &options, CONC_FOREVER),
                     0);
    assert_int_equal(conc_executor_shutdown(c->executor, CONC_SHUTDOWN_WAIT, CONC_FOREVER), 0);
    assert_int_equal(u.count, 0);
}

/* ---- Leaving early ---- */

static int job_square_or_wait(void *arg, void *result)
{
    int n = *(int *)arg;
    return n < 4 ? job_square(arg, result) : conc_sleep_until(CONC_FOREVER);
}

static void test_a_map_that_is_late_gives_up_and_cancels_what_remains(void **state)
{
    const struct executor_case *c = *state;
    int in[6], *out = test_calloc(6, sizeof *out);
    fill(in, 6);
    assert_int_equal(conc_map(c->executor, job_square_or_wait, in, 6, sizeof *in, out, sizeof *out,
                              NULL, conc_in(CONC_MS(50))),
                     -ETIMEDOUT);
    test_free(out); /* nothing is written to it after the return */
    assert_int_equal(conc_executor_shutdown(c->executor, CONC_SHUTDOWN_WAIT, CONC_FOREVER),
                     0); /* or this would hang */
}

static void test_a_map_with_CONC_NOW_does_not_wait(void **state)
{
    const struct executor_case *c = *state;
    int in[6], out[6] = {0};
    fill(in, 6);
    assert_int_equal(conc_map(c->executor, job_square_or_wait, in, 6, sizeof *in, out, sizeof *out,
                              NULL, CONC_NOW),
                     -EAGAIN);
    assert_int_equal(conc_executor_shutdown(c->executor, CONC_SHUTDOWN_WAIT, CONC_FOREVER), 0);
}

static void test_a_map_of_a_cancelled_caller_gives_up(void **state)
{
    const struct executor_case *c = *state;
    conc_scope scope;
    int in[6], out[6] = {0};
    fill(in, 6);
    conc_scope_enter(&scope, conc_in(CONC_MS(20)));
    assert_int_equal(conc_map(c->executor, job_square_or_wait, in, 6, sizeof *in, out, sizeof *out,
                              NULL, CONC_FOREVER),
                     -ECANCELED);
    assert_int_equal(conc_scope_exit(&scope), -ETIMEDOUT);
    assert_int_equal(conc_executor_shutdown(c->executor, CONC_SHUTDOWN_WAIT, CONC_FOREVER), 0);
}

static atomic_int squared;

static int job_wait_or_square(void *arg, void *result)
{
    int n = *(int *)arg;
    if (n == 1)
        return conc_sleep_until(CONC_FOREVER);
    job_square(arg, result);
    squared++;
    return 0;
}

/* An idle thread may have been woken and not run yet; once all three have been squared, idle ones
 * are through. */
static void advance_when_three_are_done(void *pool)
{
    while (squared < 3)
        sched_yield();
    wait_until_n_blocked(pool, 3);
    wait_until_blocked("main", "future");
    conc__test_advance(CONC_S(500));
}

/* On four threads: the first element is late, the others are done long before. */
static void test_a_late_map_with_errors_keeps_what_is_done(void **state)
{
    const struct executor_case *c = *state;
    struct test_thread clock;
    int in[4], out[4] = {0}, errors[4];
    const conc_map_options options = {.errors = errors};
    fill(in, 4);
    struct busy busy;
    keep_busy(c, &busy);
    let_go(&busy);
    wait_until_n_blocked(c->executor, 4); /* all idle */
    squared = 0;
    test_thread_start(&clock, "clock", advance_when_three_are_done, c->executor);
    assert_int_equal(conc_map(c->executor, job_wait_or_square, in, 4, sizeof *in, out, sizeof *out,
                              &options, conc_in(CONC_S(400))),
                     -ETIMEDOUT);
    test_thread_join(&clock);
    assert_int_equal(errors[0], -ECANCELED);
    assert_int_equal(out[0], 0);
    for (int i = 1; i < 4; i++) {
        assert_int_equal(errors[i], 0);
        assert_int_equal(out[i], in[i] * in[i]);
    }
}

static void test_without_memory_a_map_is_ENOMEM(void **state)
{
    const struct executor_case *c = *state;
    int in[4], out[4];
    fill(in, 4);
    for (size_t chunk = 1; chunk <= 3; chunk += 2) {
        const conc_map_options options = {.chunk = chunk};
        bool through = false;
        for (int n = 1; n < 100 && !through; n++) {
            fail_alloc(n);
            int err = conc_map(c->executor, job_square, in, 4, sizeof *in, out, sizeof *out,
                               &options, CONC_FOREVER);
            through = !alloc_has_failed();
            assert_true(err == 0 || err == -ENOMEM);
            if (!err)
                expect_squares(out, 4);
        }
        assert_true(through);
    }
}

static void test_impossible_sizes_are_ENOMEM(void **state)
{
    if (on_valgrind())
        skip(); /* it reports the size as an error */
    const struct executor_case *c = *state;
    int in = 1, out = 0;
    const conc_map_options chunks = {.chunk = 8};
    assert_int_equal(conc_map(c->executor, job_square, &in, SIZE_MAX / 4, sizeof in, &out,
                              sizeof out, NULL, CONC_FOREVER),
                     -ENOMEM);
    assert_int_equal(
        conc_map(c->executor, job_square, &in, 8, SIZE_MAX / 4, &out, 4, &chunks, CONC_FOREVER),
        -ENOMEM);
    assert_int_equal(
        conc_map(c->executor, job_square, &in, 8, 4, &out, SIZE_MAX / 8, &chunks, CONC_FOREVER),
        -ENOMEM);
}

static const struct CMUnitTest tests[] = {
    ON_EVERY_EXECUTOR(test_map_gives_the_results_in_order),
    ON_EVERY_EXECUTOR(test_map_takes_chunks_of_any_length),
    ON_EVERY_EXECUTOR(test_map_takes_elements_of_odd_sizes),
    ON_EVERY_EXECUTOR(test_map_without_arguments_or_results),
    ON_EVERY_EXECUTOR(test_map_of_nothing_is_0_and_runs_nothing),
    ON_EVERY_EXECUTOR(test_bad_arguments_are_EINVAL),
    ON_EVERY_EXECUTOR(test_the_first_error_of_the_array_ends_the_map),
    ON_EVERY_EXECUTOR(test_errors_lets_all_run_and_stores_each),
    ON_EVERY_EXECUTOR(test_an_element_has_no_message_of_the_one_before),
    ON_EVERY_EXECUTOR(test_a_scope_left_open_by_an_element_ends_with_it),
    ON_EVERY_EXECUTOR(test_the_errors_of_a_map_are_observed),
    ON_EVERY_EXECUTOR(test_a_map_that_is_late_gives_up_and_cancels_what_remains),
    ON_EVERY_EXECUTOR(test_a_map_with_CONC_NOW_does_not_wait),
    ON_EVERY_EXECUTOR(test_a_map_of_a_cancelled_caller_gives_up),
    ON_EXECUTOR(test_a_late_map_with_errors_keeps_what_is_done, POOL_OF_4, "pool_of_4"),
    ON_EVERY_EXECUTOR(test_without_memory_a_map_is_ENOMEM),
    ON_EVERY_EXECUTOR(test_impossible_sizes_are_ENOMEM),
};

TEST_MAIN(tests, 60)
