/* SPDX-License-Identifier: MIT
 *
 * test_imap_end.c: conc_imap on every executor, processes included: errors, leaving early, and no
 * memory.
 */
#include "imaps.h"

#include <stdio.h>
#include <string.h>

/* ---- Errors ---- */

/* Squares, but 5 and 9 fail, 12 returns a positive number. */
static int job_square_or_fail(void *arg, void *result)
{
    int n = *(int *)arg;
    if (n == 5 || n == 9)
        return conc_raise(-EIO, "%d is bad", n);
    return n == 12 ? 12 : job_square(arg, result);
}

static int expected_error(size_t n) { return n == 5 || n == 9 ? -EIO : n == 12 ? -EINVAL : 0; }

static void test_each_element_has_its_own_error(void **state)
{
    const struct executor_case *c = *state;
    struct unobserved u;
    int in[N];
    fill(in, N);
    unobserved_watch(&u);
    conc_imap_options options = {.ahead = 4};
    FOR_BOTH_ORDERS(&options)
    {
        conc_imap *imap = imap_of(c, job_square_or_fail, in, N, sizeof *in, &options);
        for (size_t i = 0; i < N; i++) {
            conc_imap_item item;
            int out = -1;
            assert_int_equal(conc_imap_next(imap, &out, &item, CONC_FOREVER), 1);
            const size_t n = item.index + 1;
            assert_int_equal(item.error, expected_error(n));
            assert_int_equal(out, item.error ? -1 : (int)(n * n));
            if (item.error == -EIO)
                assert_string_equal(conc_error_message(), n == 5 ? "5 is bad" : "9 is bad");
        }
        expect_end(imap);
    }
    assert_int_equal(u.count, 0);
}

static void test_without_an_item_an_elements_error_is_returned(void **state)
{
    const struct executor_case *c = *state;
    int in[N], out = -1;
    fill(in, N);
    conc_imap *imap = imap_of(c, job_square_or_fail, in, N, sizeof *in, NULL);
    for (int n = 1; n <= N; n++) {
        const int error = expected_error((size_t)n);
        out = -1;
        assert_int_equal(conc_imap_next(imap, &out, NULL, CONC_FOREVER), error ? error : 1);
        assert_int_equal(out, error ? -1 : n * n);
        if (n == 5)
            assert_string_equal(conc_error_message(), "5 is bad");
    }
    expect_end(imap);
}

static void test_the_sources_error_comes_once_after_all_results(void **state)
{
    const struct executor_case *c = *state;
    static const int lasts[] = {0, 1, 9};
    for (int k = 0; k < 6; k++) {
        struct source source = {.last = lasts[k % 3], .end = k < 3 ? -ENOLINK : 2};
        conc_imap_item item = {99, 99};
        char words[64];
        int out;
        conc_imap *imap = imap_from(c, job_square, &source, (conc_imap_options){.ahead = 3});
        for (int i = 0; i < source.last; i++)
            take(imap, &out, CONC_FOREVER);
        assert_int_equal(conc_imap_next(imap, &out, &item, CONC_FOREVER),
                         source.end < 0 ? source.end : -EINVAL);
        snprintf(words, sizeof words,
                 source.end < 0 ? "dry after %d"
                                : "the source returned 2; it must be 1, 0 or a negative error",
                 source.last);
        assert_string_equal(conc_error_message(), words);
        assert_true(item.index == 99 && item.error == 99);
        expect_end(imap);
        imap = imap_from(c, job_square, &(struct source){.end = -EIO}, (conc_imap_options){0});
        conc_imap_free(imap); /* without having asked */
    }
}

/* The caller's message is "stale", for the same error. */
static int next_fails(void *item, void *arg)
{
    if (arg)
        conc_raise(-EPERM, "dealt with");
    return -EIO;
}

static void test_a_sources_error_has_no_message_of_another(void **state)
{
    const struct executor_case *c = *state;
    conc_imap_options options = {.next = next_fails};
    for (int k = 0; k < 2; k++) {
        options.arg = k ? &options : NULL;
        conc_raise(-EIO, "stale");
        conc_imap *imap = imap_of(c, job_square, NULL, 0, sizeof(int), &options);
        assert_string_equal(conc_error_message(), "stale");
        assert_int_equal(conc_imap_next(imap, NULL, NULL, CONC_FOREVER), -EIO);
        assert_string_equal(conc_error_message(), "");
        expect_end(imap);
    }
}

static void test_after_a_shutdown_all_that_remain_fail(void **state)
{
    const struct executor_case *c = *state;
    int in[N], out;
    fill(in, N);
    conc_imap_options options = {.ahead = 4, .unordered = c->kind % 2};
    conc_imap *imap = imap_of(c, job_square, in, N, sizeof *in, &options);
    take(imap, &out, CONC_FOREVER);
    assert_int_equal(
        conc_executor_shutdown(c->executor, CONC_SHUTDOWN_CANCEL_PENDING, CONC_FOREVER), 0);
    int refused = 0;
    for (size_t i = 1; i < N; i++) {
        conc_imap_item item = {99, 99};
        assert_int_equal(conc_imap_next(imap, &out, &item, CONC_FOREVER), 1);
        assert_true(item.error == 0 || item.error == -ECANCELED || item.error == -ESHUTDOWN);
        refused += item.error == -ESHUTDOWN;
    }
    assert_true(refused >= N - 5); /* all but the first and the window that there was then */
    expect_end(imap);
}

static int init_fails(void *arg) { return -EIO; }

static void test_a_broken_executor_fails_every_element(void **state)
{
    const conc_thread_pool_options broken = {.init = init_fails};
    struct executor_case c = {.name = "broken"};
    int in[N];
    fill(in, N);
    conc_imap_options options = {.ahead = 4};
    FOR_BOTH_ORDERS(&options)
    {
        assert_int_equal(conc_thread_pool_new(&c.executor, 2, &broken), 0);
        conc_imap *imap = imap_of(&c, job_square, in, N, sizeof *in, &options);
        for (int i = 0; i < N; i++)
            assert_int_equal(conc_imap_next(imap, NULL, NULL, CONC_FOREVER), -CONC_EBROKEN);
        expect_end(imap);
        assert_int_equal(conc_executor_free(c.executor), 0);
    }
}

static void test_processes_that_die_fail_what_remains(void **state)
{
    const struct executor_case *c = *state;
    int in[N], out, last = 0;
    fill(in, N);
    conc_imap *imap = imap_of(c, job_square, in, N, sizeof *in, &(conc_imap_options){.ahead = 4});
    take(imap, &out, CONC_FOREVER);
    assert_int_equal(conc_process_pool_kill_workers(c->executor), 0);
    for (size_t i = 1; i < N; i++) {
        conc_imap_item item = {99, 99};
        assert_int_equal(conc_imap_next(imap, &out, &item, CONC_FOREVER), 1);
        assert_true(item.error == 0 || item.error == -CONC_EBROKEN || item.error == -ESHUTDOWN);
        last = item.error;
    }
    assert_int_not_equal(last, 0);
    expect_end(imap);
}

/* ---- Leaving early ---- */

static void test_a_wait_that_gives_up_loses_nothing(void **state)
{
    const struct executor_case *c = *state;
    conc_imap_options options = {.ahead = 3};
    FOR_BOTH_ORDERS(&options)
    {
        struct source source = {.last = N};
        conc_imap_item item = {99, 99};
        conc_scope scope;
        int out = 99;
        conc_event_clear(&all_may_end);
        conc_imap *imap = imap_from(c, job_wait_and_square, &source, options);
        assert_int_equal(conc_imap_next(imap, &out, &item, SOON), -ETIMEDOUT);
        assert_int_equal(conc_imap_next(imap, &out, &item, conc_in(0)), -ETIMEDOUT);
        assert_int_equal(conc_imap_next(imap, &out, &item, CONC_NOW), -EAGAIN);
        conc_scope_enter(&scope, SOON);
        assert_int_equal(conc_imap_next(imap, &out, &item, CONC_FOREVER), -ECANCELED);
        assert_int_equal(conc_imap_next(imap, &out, &item, CONC_NOW), -EAGAIN);
        assert_int_equal(conc_scope_exit(&scope), -ETIMEDOUT);
        assert_true(out == 99 && item.index == 99 && item.error == 99);
        conc_event_set(&all_may_end);
        expect_squares(imap, N, options.unordered);
        assert_int_equal(source.asked, N + 1);
    }
}

struct canceller {
    conc_scope scope;
    const char *blocked_on;
};

static void cancel_once_blocked(void *arg)
{
    struct canceller *k = arg;
    wait_until_blocked("main", k->blocked_on);
    conc_scope_cancel(&k->scope);
}

static void test_a_caller_that_waits_can_be_cancelled(void **state)
{
    conc_imap_options options = {0};
    FOR_BOTH_ORDERS(&options)
    {
        struct gated g;
        struct test_thread thread;
        struct canceller k = {.blocked_on = options.unordered ? "futures" : "future"};
        int out;
        gated_begin(&g, *state, options.unordered);
        conc_scope_enter(&k.scope, CONC_FOREVER);
        test_thread_start(&thread, "canceller", cancel_once_blocked, &k);
        assert_int_equal(conc_imap_next(g.imap, &out, NULL, CONC_FOREVER), -ECANCELED);
        test_thread_join(&thread);
        conc_event_set(&g.gates[0].open);
        assert_int_equal(conc_imap_next(g.imap, &out, NULL, CONC_FOREVER), -ECANCELED);
        assert_int_equal(conc_scope_exit(&k.scope), -ECANCELED);
        assert_int_equal(take(g.imap, &out, CONC_FOREVER).index, 0);
        conc_imap_free(g.imap); /* and those that run are cancelled */
        for (size_t i = 0; i < g.n; i++)
            WAIT_UNTIL(i == 0 || load_acquire(&g.gates[i].end) == -ECANCELED);
    }
}

static atomic_int runs[N];

static int job_count_and_square(void *arg, void *result)
{
    runs[*(int *)arg - 1]++;
    return job_square(arg, result);
}

/* Waiting for room in a bounded pool: in the making, and in next; with a job of ours in the queue,
 * and with another's. */
static void test_a_submission_that_waits_for_room_ends_with_its_call(void **state)
{
    const struct executor_case *c = *state;
    for (int k = 0; k < 4; k++) {
        const bool others = k & 1, unordered = k & 2;
        struct busy busy;
        struct source source = {.last = N};
        conc_imap_item item = {99, 99};
        conc_scope scope;
        int out = 99, four = 4;
        memset(runs, 0, sizeof runs);
        keep_busy(c, &busy);
        conc_future *other =
            others ? conc_submit(c->executor, job_square, &four, sizeof four, sizeof four) : NULL;
        conc_scope_enter(&scope, SOON);
        conc_imap *imap = imap_from(c, job_count_and_square, &source,
                                    (conc_imap_options){.unordered = unordered});
        assert_int_equal(conc_scope_exit(&scope), -ETIMEDOUT);
        assert_int_equal(conc_imap_next(imap, &out, &item, SOON), -ETIMEDOUT);
        assert_int_equal(conc_imap_next(imap, &out, &item, CONC_NOW), -EAGAIN);
        conc_scope_enter(&scope, SOON);
        assert_int_equal(conc_imap_next(imap, &out, &item, CONC_FOREVER), -ECANCELED);
        assert_int_equal(conc_scope_exit(&scope), -ETIMEDOUT);
        assert_int_equal(source.asked,
                         others ? 1 : 2); /* the last is kept, and not asked for again */
        let_go(&busy);
        expect_squares(imap, N, unordered);
        for (int i = 0; i < N; i++)
            assert_int_equal(runs[i], 1);
        conc_future_unref(other);
    }
}

struct late_source {
    struct source source;
    conc_event more; /* set: it can give */
    int tries;
};

static int next_late(void *item, void *arg)
{
    struct late_source *s = arg;
    s->tries++;
    int err = conc_event_wait(&s->more, CONC_FOREVER);
    conc_scope left_open;
    conc_scope_enter(&left_open, conc_in(0));
    return err ? err : next_number(item, &s->source);
}

static void test_a_source_that_waits_is_asked_again(void **state)
{
    const struct executor_case *c = *state;
    conc_imap_options options = {.next = next_late};
    FOR_BOTH_ORDERS(&options)
    {
        struct late_source s = {.source = {.last = N}};
        conc_scope scope;
        int out;
        options.arg = &s;
        conc_scope_enter(&scope, SOON);
        conc_imap *imap = imap_of(c, job_square, NULL, 0, sizeof(int), &options);
        assert_int_equal(conc_scope_exit(&scope), -ETIMEDOUT);
        assert_int_equal(conc_imap_next(imap, &out, NULL, SOON), -ETIMEDOUT);
        assert_int_equal(conc_imap_next(imap, &out, NULL, CONC_NOW), -EAGAIN);
        assert_int_equal(s.tries, 3);
        conc_event_set(&s.more);
        expect_squares(imap, N, options.unordered);
        assert_int_equal(s.source.asked, N + 1);
    }
}

static int job_block_or_square(void *arg, void *result)
{
    return *(int *)arg == 2 ? conc_sleep_until(CONC_FOREVER) : job_square(arg, result);
}

static void test_inline_a_deadline_ends_the_job_that_blocks(void **state)
{
    const struct executor_case *c = *state;
    int in[3], out = 0;
    conc_imap_item item;
    fill(in, 3);
    conc_imap *imap = imap_of(c, job_block_or_square, in, 3, sizeof *in, NULL);
    assert_int_equal(take(imap, &out, SOON).index, 0); /* it has run the one that blocks */
    assert_int_equal(out, 1);
    assert_int_equal(conc_imap_next(imap, &out, &item, SOON), 1);
    assert_int_equal(item.index, 1);
    assert_int_equal(item.error, -ECANCELED);
    assert_int_equal(take(imap, &out, CONC_NOW).index, 2);
    assert_int_equal(out, 9);
    expect_end(imap);
}

/* Cancelled, it fails: that must not be reported. */
static int job_spoil(void *arg, void *result)
{
    return job_gate(arg, NULL) ? conc_raise(-EIO, "spoilt") : 0;
}

/* Often: what waits might begin when what runs is cancelled, but only if a worker is quick. */
static void test_free_cancels_what_runs_and_what_waits(void **state)
{
    enum { OFTEN = 20 };
    const struct executor_case *c = *state;
    struct gate *gates = test_calloc(OFTEN, sizeof *gates);
    struct unobserved u;
    unobserved_watch(&u);
    for (int k = 0; k < OFTEN; k++) {
        const conc_imap_options options = {.ahead = 3, .unordered = k % 2};
        struct gate **in = test_calloc(N, sizeof(struct gate *));
        for (int i = 0; i < N; i++)
            in[i] = &gates[k];
        conc_imap *imap = imap_of(c, job_spoil, in, N, sizeof(struct gate *), &options);
        gate_entered(&gates[k]);
        conc_imap_free(imap);
        test_free(in); /* nothing reads it any more */
        WAIT_UNTIL(load_acquire(&gates[k].end) == -ECANCELED);
    }
    assert_int_equal(conc_executor_shutdown(c->executor, CONC_SHUTDOWN_WAIT, CONC_FOREVER),
                     0); /* or this would hang */
    for (int k = 0; k < OFTEN; k++) {
        assert_int_equal(gates[k].end, -ECANCELED);
        assert_in_range(gates[k].runs, 1, c->workers < 3 ? c->workers : 3);
    }
    assert_int_equal(u.count, 0);
    test_free(gates);
}

/* ---- Without memory ---- */

/* What could not be submitted has failed with -ENOMEM; the others are as always. */
static int expect_squares_or_ENOMEM(conc_imap *imap, bool unordered)
{
    int count = 0, err;
    for (;; count++) {
        conc_imap_item item;
        int out = 0;
        err = conc_imap_next(imap, &out, &item, CONC_FOREVER);
        if (err != 1)
            return err ? err : count;
        assert_true(item.error == 0 || item.error == -ENOMEM);
        assert_true(unordered || item.index == (size_t)count);
        assert_int_equal(out, item.error ? 0 : (item.index + 1) * (item.index + 1));
    }
}

static void test_without_memory_an_element_is_ENOMEM(void **state)
{
    const struct executor_case *c = *state;
    for (int k = 0; k < 4; k++) {
        const conc_imap_options array = {.ahead = 2, .unordered = k & 1};
        int in[4];
        bool through = false;
        fill(in, 4);
        for (int n = 1; n < 100 && !through; n++) {
            struct source source = {.last = 4};
            conc_imap_options options = array;
            if (k & 2) {
                options.next = next_number;
                options.arg = &source;
            }
            conc_imap *imap = NULL;
            fail_alloc(n);
            int err = conc_imap_new(&imap, c->executor, job_square, k & 2 ? NULL : in,
                                    k & 2 ? 0 : 4, sizeof *in, sizeof(int), &options);
            assert_true(err == 0 || err == -ENOMEM);
            if (!err)
                assert_int_equal(expect_squares_or_ENOMEM(imap, k & 1), 4);
            through = !alloc_has_failed();
            conc_imap_free(imap);
        }
        assert_true(through);
    }
}

/* Inline: the result is there when the iterator is, so the only allocation is that of its copy. */
static void test_without_memory_for_the_copy_the_result_stays(void **state)
{
    const struct executor_case *c = *state;
    char ab[] = "ab";
    conc_bytes in = {ab, 2}, out = {0};
    conc_imap_options options = {0};
    FOR_BOTH_ORDERS(&options)
    {
        conc_imap *imap;
        conc_imap_item item = {99, 99};
        for (int again = 0; again < 2; again++) {
            assert_int_equal(conc_imap_new(&imap, c->executor, job_turn_round, &in, 1, CONC_BYTES,
                                           CONC_BYTES, &options),
                             0);
            fail_alloc(1);
            assert_int_equal(conc_imap_next(imap, &out, &item, CONC_FOREVER), -ENOMEM);
            assert_true(alloc_has_failed());
            assert_true(item.index == 99 && item.error == 99);
            if (again) {
                assert_int_equal(conc_imap_next(imap, &out, &item, CONC_NOW), 1);
                assert_memory_equal(out.data, "ba", 2);
                conc_bytes_free(&out);
                assert_int_equal(conc_imap_next(imap, NULL, NULL, CONC_NOW), 0);
            }
            conc_imap_free(imap);
        }
    }
}

static const struct CMUnitTest tests[] = {
    ON_EVERY_EXECUTOR(test_each_element_has_its_own_error),
    ON_PROCESSES(test_each_element_has_its_own_error),
    ON_EVERY_EXECUTOR(test_without_an_item_an_elements_error_is_returned),
    ON_EVERY_EXECUTOR(test_the_sources_error_comes_once_after_all_results),
    ON_EVERY_EXECUTOR(test_a_sources_error_has_no_message_of_another),
    ON_EVERY_EXECUTOR(test_after_a_shutdown_all_that_remain_fail),
    ON_PROCESSES(test_after_a_shutdown_all_that_remain_fail),
    LEAK_TEST(test_a_broken_executor_fails_every_element),
    ON_PROCESSES(test_processes_that_die_fail_what_remains),
    ON_EXECUTORS_BESIDE(test_a_wait_that_gives_up_loses_nothing),
    ON_CONCURRENT_EXECUTORS(test_a_caller_that_waits_can_be_cancelled),
    ON_EXECUTOR(test_a_submission_that_waits_for_room_ends_with_its_call, BOUNDED_POOL,
                "bounded_pool"),
    ON_EVERY_EXECUTOR(test_a_source_that_waits_is_asked_again),
    ON_PROCESSES(test_a_source_that_waits_is_asked_again),
    ON_EXECUTOR(test_inline_a_deadline_ends_the_job_that_blocks, INLINE, "inline"),
    ON_EXECUTORS_BESIDE(test_free_cancels_what_runs_and_what_waits),
    ON_EVERY_EXECUTOR(test_without_memory_an_element_is_ENOMEM),
    ON_PROCESSES(test_without_memory_an_element_is_ENOMEM),
    ON_EXECUTOR(test_without_memory_for_the_copy_the_result_stays, INLINE, "inline"),
};

IMAP_TEST_MAIN(tests, 60)
