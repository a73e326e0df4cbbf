/* SPDX-License-Identifier: MIT
 *
 * test_imap.c: conc_imap on every executor, processes included: results, order, and the window.
 */
#include "imaps.h"

#include <stdio.h>
#include <string.h>

/* ---- Results ---- */

static void test_imap_gives_all_results(void **state)
{
    const struct executor_case *c = *state;
    static const size_t lengths[] = {0, 1, 2, 7, N};
    static const size_t windows[] = {0, 1, 2, 3, N - 1, N, SIZE_MAX};
    int in[N];
    fill(in, N);
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++)
        for (size_t w = 0; w < sizeof windows / sizeof *windows; w++) {
            const size_t n = lengths[i];
            conc_imap_options options = {.ahead = windows[w]};
            FOR_BOTH_ORDERS(&options)
            {
                expect_squares(imap_of(c, job_square, in, n, sizeof *in, &options), n,
                               options.unordered);
                if (windows[w] == SIZE_MAX)
                    continue;
                struct source source = {.last = (int)n};
                expect_squares(imap_from(c, job_square, &source, options), n, options.unordered);
                assert_int_equal(source.asked, n + 1);
            }
        }
}

static void test_imap_without_options_is_in_order(void **state)
{
    const struct executor_case *c = *state;
    int in[N];
    fill(in, N);
    expect_squares(imap_of(c, job_square, in, N, sizeof *in, NULL), N, false);
}

static int job_nothing(void *arg, void *result) { return arg || result ? -EINVAL : 0; }

static int next_nothing(void *item, void *arg) { return !item && (*(int *)arg)-- > 0; }

static void test_imap_without_arguments_or_results(void **state)
{
    const struct executor_case *c = *state;
    int left = N, out = 99;
    conc_imap_options options = {.ahead = 3};
    FOR_BOTH_ORDERS(&options)
    {
        conc_imap *imap;
        assert_int_equal(conc_imap_new(&imap, c->executor, job_nothing, NULL, N, 0, 0, &options),
                         0);
        for (int i = 0; i < N; i++)
            assert_int_equal(conc_imap_next(imap, &out, NULL, CONC_FOREVER), 1);
        expect_end(imap);
    }
    options.next = next_nothing;
    options.arg = &left;
    conc_imap *imap;
    assert_int_equal(conc_imap_new(&imap, c->executor, job_nothing, NULL, 0, 0, 0, &options), 0);
    for (int i = 0; i < N; i++)
        assert_int_equal(conc_imap_next(imap, &out, NULL, CONC_FOREVER), 1);
    assert_int_equal(out, 99);
    expect_end(imap);
}

/* Its words lie in one buffer, which it uses again. */
static int next_word(void *item, void *arg)
{
    static char word[8];
    int n = (*(int *)arg)++;
    CHECK(((conc_bytes *)item)->data == NULL);
    memset(word, 'x', sizeof word);
    *(conc_bytes *)item = (conc_bytes){word, (size_t)snprintf(word, sizeof word, "%d", 1230 + n)};
    return n < N;
}

static void expect_word(conc_imap *imap, size_t index)
{
    char expected[8];
    conc_bytes out = {0};
    conc_imap_item item;
    snprintf(expected, sizeof expected, "%d", 1230 + (int)index);
    assert_int_equal(conc_imap_next(imap, &out, &item, CONC_FOREVER), 1);
    assert_int_equal(item.error, 0);
    assert_int_equal(item.index, index);
    assert_int_equal(out.size, 4);
    for (size_t i = 0; i < 4; i++)
        assert_int_equal(((char *)out.data)[i], expected[3 - i]);
    conc_bytes_free(&out);
}

static void test_imap_takes_and_gives_strings_of_bytes(void **state)
{
    const struct executor_case *c = *state;
    char words[N][8];
    conc_bytes in[N];
    int given = 0;
    for (int i = 0; i < N; i++)
        in[i] = (conc_bytes){words[i], (size_t)snprintf(words[i], 8, "%d", 1230 + i)};
    const conc_imap_options options = {.ahead = 3, .next = next_word, .arg = &given};
    for (int from_source = 0; from_source < 2; from_source++) {
        conc_imap *imap;
        assert_int_equal(conc_imap_new(&imap, c->executor, job_turn_round, from_source ? NULL : in,
                                       from_source ? 0 : N, CONC_BYTES, CONC_BYTES,
                                       from_source ? &options : NULL),
                         0);
        for (size_t i = 0; i < N; i++)
            expect_word(imap, i);
        assert_int_equal(conc_imap_next(imap, NULL, NULL, CONC_FOREVER), 0);
        conc_imap_free(imap);
    }
}

static void test_bad_arguments_are_EINVAL(void **state)
{
    const struct executor_case *c = *state;
    conc_executor *ex = c->executor;
    int in[2] = {1, 2};
    struct source source = {0};
    conc_imap *imap = NULL;
    const conc_imap_options from = {.next = next_number, .arg = &source};
    assert_int_equal(conc_imap_new(NULL, ex, job_square, in, 2, 4, 4, NULL), -EINVAL);
    assert_int_equal(conc_imap_new(&imap, NULL, job_square, in, 2, 4, 4, NULL), -EINVAL);
    assert_int_equal(conc_imap_new(&imap, ex, NULL, in, 2, 4, 4, NULL), -EINVAL);
    assert_int_equal(conc_imap_new(&imap, ex, job_square, NULL, 2, 4, 4, NULL), -EINVAL);
    assert_int_equal(conc_imap_new(&imap, ex, job_square, in, 0, 4, 4, &from), -EINVAL);
    assert_int_equal(conc_imap_new(&imap, ex, job_square, NULL, 2, 4, 4, &from), -EINVAL);
    assert_null(imap);
    assert_int_equal(source.asked, 0);
    conc_imap_free(NULL);
}

static void test_impossible_sizes_are_ENOMEM(void **state)
{
    if (on_valgrind())
        skip(); /* it reports the size as an error */
    const struct executor_case *c = *state;
    static const size_t windows[] = {SIZE_MAX, SIZE_MAX / 8, SIZE_MAX / 1024};
    struct source source = {0};
    conc_imap *imap = NULL;
    conc_imap_options options = {.next = next_number, .arg = &source};
    for (int i = 0; i < 3; i++) {
        options.ahead = windows[i];
        assert_int_equal(conc_imap_new(&imap, c->executor, job_square, NULL, 0, 4, 4, &options),
                         -ENOMEM);
    }
    options.ahead = 1;
    assert_int_equal(
        conc_imap_new(&imap, c->executor, job_square, NULL, 0, SIZE_MAX / 2, 4, &options), -ENOMEM);
    assert_null(imap);
    assert_int_equal(source.asked, 0);
}

/* ---- Order, and the window ---- */

static void test_unordered_gives_them_as_they_end(void **state)
{
    struct gated g;
    int out = 0;
    gated_begin(&g, *state, true);
    for (size_t i = g.n; i-- > 0;) {
        assert_int_equal(conc_imap_next(g.imap, &out, NULL, CONC_NOW), -EAGAIN);
        conc_event_set(&g.gates[i].open);
        assert_int_equal(take(g.imap, &out, CONC_FOREVER).index, i);
        assert_int_equal(out, 7);
    }
    expect_end(g.imap);
}

/* On a pool of four, whose idle workers can be counted. */
static void test_unordered_keeps_the_order_of_ends_that_are_past(void **state)
{
    const struct executor_case *c = *state;
    static const size_t order[] = {2, 0, 3, 1};
    struct gated g;
    int out;
    gated_begin(&g, c, true);
    for (size_t i = 0; i < 4; i++) {
        conc_event_set(&g.gates[order[i]].open);
        wait_until_n_blocked(c->executor, i + 1);
    }
    for (size_t i = 0; i < 4; i++)
        assert_int_equal(take(g.imap, &out, CONC_NOW).index, order[i]);
    expect_end(g.imap);
}

static void test_in_order_an_early_end_waits_for_those_before(void **state)
{
    const struct executor_case *c = *state;
    struct gated g;
    int out;
    gated_begin(&g, c, false);
    for (size_t i = 1; i < 4; i++)
        conc_event_set(&g.gates[i].open);
    wait_until_n_blocked(c->executor, 3);
    assert_int_equal(conc_imap_next(g.imap, &out, NULL, CONC_NOW), -EAGAIN);
    conc_event_set(&g.gates[0].open);
    assert_int_equal(take(g.imap, &out, CONC_FOREVER).index, 0);
    for (size_t i = 1; i < 4; i++)
        assert_int_equal(take(g.imap, &out, CONC_NOW).index, i);
    expect_end(g.imap);
}

/* Three: a bounded pool of two has room for one more. */
static void test_the_window_is_filled_and_never_exceeded(void **state)
{
    enum { AHEAD = 3 };
    const struct executor_case *c = *state;
    conc_imap_options options = {.ahead = AHEAD};
    FOR_BOTH_ORDERS(&options)
    {
        struct source source = {.last = N};
        int out;
        begun = 0;
        conc_event_clear(&all_may_end);
        conc_imap *imap = imap_from(c, job_wait_and_square, &source, options);
        assert_int_equal(source.asked, AHEAD);
        assert_int_equal(conc_imap_next(imap, &out, NULL, CONC_NOW), -EAGAIN);
        assert_int_equal(source.asked, AHEAD);
        assert_true(begun <= AHEAD);
        conc_event_set(&all_may_end);
        for (int i = 0; i < N; i++) {
            take(imap, &out, CONC_FOREVER);
            assert_true(begun <= i + AHEAD);
            assert_true(source.given <= i + AHEAD);
            /* One in the place of each that was taken: it does not shrink. */
            assert_true(source.given == N || source.given >= i + AHEAD);
        }
        assert_int_equal(source.asked, N + 1);
        expect_end(imap);
    }
}

static void test_inline_runs_one_ahead_at_most(void **state)
{
    const struct executor_case *c = *state;
    conc_imap_options options = {0};
    FOR_BOTH_ORDERS(&options)
    {
        struct source source = {.last = N};
        int out;
        conc_imap *imap = imap_from(c, job_square, &source, options);
        assert_int_equal(source.asked, 1);
        for (int i = 0; i < N; i++) {
            assert_int_equal(take(imap, &out, CONC_NOW).index, i);
            assert_int_equal(source.asked, i + 2);
        }
        expect_end(imap);
    }
}

/* The consumer is a job of the executor that it gives its elements to: a task of the same loop, a
 * worker that all workers wait for. */
struct within {
    const struct executor_case *c;
    bool unordered;
};

static int job_consume(void *arg, void *result)
{
    const struct within *w = arg;
    const conc_imap_options options = {.ahead = 5, .unordered = w->unordered};
    int in[N], out, err, *sum = result;
    fill(in, N);
    conc_imap *imap = imap_of(w->c, job_square, in, N, sizeof *in, &options);
    while ((err = conc_imap_next(imap, &out, NULL, conc_in(CONC_S(50)))) == 1)
        *sum += out;
    conc_imap_free(imap);
    return err;
}

static void test_a_job_can_consume_what_its_own_executor_makes(void **state)
{
    for (int unordered = 0; unordered < 2; unordered++) {
        const struct within w = {*state, unordered};
        conc_future *consumers[4];
        for (size_t i = 0; i < 4; i++)
            consumers[i] = conc_submit(w.c->executor, job_consume, &w, sizeof w, sizeof(int));
        for (size_t i = 0; i < 4; i++) {
            int sum = 0;
            assert_int_equal(conc_future_result(consumers[i], &sum, CONC_FOREVER), 0);
            assert_int_equal(sum, N * (N + 1) * (2 * N + 1) / 6);
            conc_future_unref(consumers[i]);
        }
    }
}

static const struct CMUnitTest tests[] = {
    ON_EVERY_EXECUTOR(test_imap_gives_all_results),
    ON_PROCESSES(test_imap_gives_all_results),
    ON_EVERY_EXECUTOR(test_imap_without_options_is_in_order),
    ON_EVERY_EXECUTOR(test_imap_without_arguments_or_results),
    ON_PROCESSES(test_imap_without_arguments_or_results),
    ON_EVERY_EXECUTOR(test_imap_takes_and_gives_strings_of_bytes),
    ON_PROCESSES(test_imap_takes_and_gives_strings_of_bytes),
    ON_EXECUTOR(test_bad_arguments_are_EINVAL, INLINE, "inline"),
    ON_EXECUTOR(test_impossible_sizes_are_ENOMEM, INLINE, "inline"),
    ON_CONCURRENT_EXECUTORS(test_unordered_gives_them_as_they_end),
    ON_EXECUTOR(test_unordered_keeps_the_order_of_ends_that_are_past, POOL_OF_4, "pool_of_4"),
    ON_EXECUTOR(test_in_order_an_early_end_waits_for_those_before, POOL_OF_4, "pool_of_4"),
    ON_EXECUTORS_BESIDE(test_the_window_is_filled_and_never_exceeded),
    ON_EXECUTOR(test_inline_runs_one_ahead_at_most, INLINE, "inline"),
    ON_EVERY_EXECUTOR(test_a_job_can_consume_what_its_own_executor_makes),
};

IMAP_TEST_MAIN(tests, 60)
