/* SPDX-License-Identifier: MIT
 *
 * test_executor.c: what holds for every executor: conc_submit() and conc_call(), the job's argument
 * and result, its errors. Their ends: test_shutdown.c. conc_map(): test_map.c. Cancelling:
 * test_job.c.
 */
#include "executors.h"

#include <stdlib.h>
#include <string.h>

/* ---- Argument and result ---- */

static void test_submit_runs_the_job_and_gives_its_result(void **state)
{
    const struct executor_case *c = *state;
    for (int n = 0; n < 20; n++) {
        int value = -1;
        conc_future *f = conc_submit(c->executor, job_square, &n, sizeof n, sizeof(int));
        assert_int_equal(conc_future_result(f, &value, CONC_FOREVER), 0);
        assert_int_equal(value, n * n);
        assert_int_equal(*(const int *)conc_future_value(f), n * n);
        assert_true(conc_future_is_done(f));
        assert_false(conc_future_is_running(f));
        assert_false(conc_future_is_cancelled(f));
        conc_future_unref(f);
    }
}

/* Waits, so that the submitter can change what it passed. */
struct copied {
    struct gate *gate;
    char text[100];
};

static int job_copied(void *arg, void *result)
{
    struct copied *a = arg;
    int err = a->gate ? job_gate(&a->gate, NULL) : 0;
    memcpy(result, a->text, sizeof a->text);
    memset(a->text, 'j', sizeof a->text); /* the job may change it */
    return err;
}

static void test_the_argument_is_a_private_copy(void **state)
{
    const struct executor_case *c = *state;
    struct gate gate = {0};
    char out[100];
    struct copied *arg = test_malloc(sizeof *arg);
    arg->gate = c->kind == INLINE ? NULL : &gate;
    memset(arg->text, 'a', sizeof arg->text);
    conc_future *f = conc_submit(c->executor, job_copied, arg, sizeof *arg, sizeof out);
    assert_int_equal(arg->text[0], 'a');
    memset(arg->text, 'b', sizeof arg->text);
    test_free(arg);
    conc_event_set(&gate.open);
    assert_int_equal(conc_future_result(f, out, CONC_FOREVER), 0);
    for (size_t i = 0; i < sizeof out; i++)
        assert_int_equal(out[i], 'a');
    conc_future_unref(f);
}

static int job_nothing_given(void *arg, void *result)
{
    return arg == NULL && result == NULL ? 0
                                         : conc_raise(-EINVAL, "arg %p, result %p", arg, result);
}

static void test_without_argument_and_result_the_job_gets_NULL(void **state)
{
    const struct executor_case *c = *state;
    char untouched = 'x';
    conc_future *f = conc_submit(c->executor, job_nothing_given, NULL, 0, 0);
    assert_int_equal(conc_future_result(f, &untouched, CONC_FOREVER), 0);
    assert_null(conc_future_value(f));
    conc_future_unref(f);
    f = conc_submit(c->executor, job_nothing_given, &untouched, 0, 0);
    assert_int_equal(conc_future_result(f, &untouched, CONC_FOREVER), 0);
    assert_int_equal(untouched, 'x');
    conc_future_unref(f);
}

/* Argument: the sizes of argument and result, then bytes of a pattern, which the result gets
 * too. */
struct sizes {
    size_t arg, result;
};

static int job_sizes(void *arg, void *result)
{
    const struct sizes s = *(struct sizes *)arg;
    const unsigned char *in = arg;
    unsigned char *out = result;
    if ((uintptr_t)arg % _Alignof(max_align_t) || (uintptr_t)result % _Alignof(max_align_t))
        return conc_raise(-EFAULT, "arg %p or result %p is not aligned", arg, result);
    for (size_t i = sizeof s; i < s.arg; i++)
        if (in[i] != (unsigned char)(7 * i))
            return conc_raise(-EIO, "byte %zu of the argument", i);
    for (size_t i = 0; i < s.result; i++)
        if (out[i] != 0)
            return conc_raise(-EIO, "byte %zu of the result is not zero", i);
    for (size_t i = 0; i < s.result; i++)
        out[i] = (unsigned char)(3 * i + 1);
    return 0;
}

static void submit_sizes(conc_executor *executor, size_t arg_size, size_t result_size)
{
    unsigned char *arg = test_malloc(arg_size), *out = test_malloc(result_size + 1);
    *(struct sizes *)arg = (struct sizes){arg_size, result_size};
    for (size_t i = sizeof(struct sizes); i < arg_size; i++)
        arg[i] = (unsigned char)(7 * i);
    out[result_size] = 0xaa;
    conc_future *f = conc_submit(executor, job_sizes, arg, arg_size, result_size);
    assert_int_equal(conc_future_result(f, out, CONC_FOREVER), 0);
    for (size_t i = 0; i < result_size; i++)
        assert_int_equal(out[i], (unsigned char)(3 * i + 1));
    assert_int_equal(out[result_size], 0xaa);
    conc_future_unref(f);
    test_free(arg);
    test_free(out);
}

static void test_argument_and_result_have_any_size_and_are_aligned(void **state)
{
    const struct executor_case *c = *state;
    static const size_t sizes[] = {0, 1, 3, 7, 8, 15, 16, 17, 255, 4096, 300001};
    for (size_t a = 0; a < sizeof sizes / sizeof *sizes; a++)
        for (size_t r = 0; r < sizeof sizes / sizeof *sizes; r++)
            if (sizes[a] + sizes[r] < 301000)
                submit_sizes(c->executor, sizeof(struct sizes) + sizes[a], sizes[r]);
}

/* ---- Errors ---- */

static void test_the_jobs_error_comes_with_its_message(void **state)
{
    const struct executor_case *c = *state;
    conc_future *f = conc_submit(c->executor, job_raise, &(int){-EPROTO}, sizeof(int), sizeof(int));
    int value = 77;
    assert_int_equal(conc_future_result(f, &value, CONC_FOREVER), -EPROTO);
    assert_string_equal(conc_error_message(), "job failed: -71");
    assert_string_equal(conc_future_message(f), "job failed: -71");
    assert_int_equal(conc_future_error(f), -EPROTO);
    assert_null(conc_future_value(f));
    assert_int_equal(value, 77);
    assert_false(conc_future_is_cancelled(f));
    conc_future_unref(f);
}

static int job_raise_other(void *arg, void *result)
{
    conc_raise(-EPERM, "of another error");
    return -EIO;
}

static void test_an_error_has_no_message_but_its_own(void **state)
{
    const struct executor_case *c = *state;
    static const struct {
        conc_fn *fn;
        const char *what;
    } cases[] = {{job_return, "the submitter's, or an earlier job's"},
                 {job_raise_other, "another error's"}};
    conc_future *f = conc_submit(c->executor, job_raise, &(int){-EIO}, sizeof(int), 0);
    assert_int_equal(conc_future_wait(f, CONC_FOREVER), 0);
    assert_int_equal(conc_future_error(f), -EIO);
    conc_future_unref(f);
    for (int i = 0; i < 2; i++) {
        f = conc_submit(c->executor, cases[i].fn, &(int){-EIO}, sizeof(int), 0);
        assert_int_equal(conc_future_result(f, NULL, CONC_FOREVER), -EIO);
        if (*conc_future_message(f))
            fail_msg("it has %s message: %s", cases[i].what, conc_future_message(f));
        conc_future_unref(f);
    }
}

static void test_submitting_keeps_the_callers_message(void **state)
{
    const struct executor_case *c = *state;
    conc_future *f = conc_submit(c->executor, job_raise, &(int){-EPERM}, sizeof(int), 0);
    conc_future *refused = conc_submit(c->executor, NULL, NULL, 0, 0);
    assert_int_equal(conc_future_wait(f, CONC_FOREVER), 0);
    assert_string_equal(conc_error_message(), "stale");
    assert_int_equal(conc_future_error(f), -EPERM);
    assert_int_equal(conc_future_error(refused), -EINVAL);
    conc_future_unref(f);
    conc_future_unref(refused);
}

static void test_a_positive_return_is_EINVAL_with_a_message(void **state)
{
    const struct executor_case *c = *state;
    conc_future *f = conc_submit(c->executor, job_return, &(int){5}, sizeof(int), 0);
    assert_int_equal(conc_future_result(f, NULL, CONC_FOREVER), -EINVAL);
    assert_non_null(strstr(conc_error_message(), "5"));
    conc_future_unref(f);
}

static void test_a_job_that_returns_ECANCELED_uncancelled_has_failed(void **state)
{
    const struct executor_case *c = *state;
    conc_future *f = conc_submit(c->executor, job_return, &(int){-ECANCELED}, sizeof(int), 0);
    assert_int_equal(conc_future_result(f, NULL, CONC_FOREVER), -ECANCELED);
    assert_false(conc_future_is_cancelled(f));
    conc_future_unref(f);
}

static void test_a_dropped_future_runs_all_the_same_and_its_error_is_reported(void **state)
{
    const struct executor_case *c = *state;
    struct unobserved u;
    int count = 0, *counter = &count;
    unobserved_watch(&u);
    conc_future_unref(conc_submit(c->executor, job_count, &counter, sizeof counter, 0));
    conc_future_unref(conc_submit(c->executor, job_raise, &(int){-EIO}, sizeof(int), 0));
    WAIT_UNTIL(load_acquire(&count) == 1);
    WAIT_UNTIL(load_acquire(&u.count) == 1);
    assert_int_equal(u.err, -EIO);
    assert_string_equal(u.message, "job failed: -5");
}

/* ---- Refusals ---- */

static void refused(conc_future *f, int err)
{
    assert_non_null(f);
    assert_true(conc_future_is_done(f));
    assert_int_equal(conc_future_result(f, NULL, CONC_FOREVER), err);
    assert_string_equal(conc_error_message(), "");
    assert_int_equal(conc_future_is_cancelled(f), err == -ECANCELED);
    conc_future_unref(f);
}

static void test_bad_arguments_are_refused_with_EINVAL(void **state)
{
    const struct executor_case *c = *state;
    conc_raise(-EINVAL, "older");
    refused(conc_submit(c->executor, NULL, NULL, 0, 0), -EINVAL);
    refused(conc_submit(c->executor, job_square, NULL, 4, 4), -EINVAL);
    refused(conc_submit(NULL, job_square, "", 1, 0), -EINVAL);
    assert_int_equal(conc_call(c->executor, NULL, NULL, 0, NULL, 0, CONC_FOREVER), -EINVAL);
    assert_int_equal(conc_call(c->executor, job_square, NULL, 4, NULL, 4, CONC_FOREVER), -EINVAL);
}

static void test_impossible_sizes_are_refused_with_ENOMEM(void **state)
{
    const struct executor_case *c = *state;
    static const size_t sizes[] = {SIZE_MAX - 1, SIZE_MAX - 15, SIZE_MAX / 2, SIZE_MAX / 4 + 1};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        refused(conc_submit(c->executor, job_square, NULL, 0, sizes[i]), -ENOMEM);
    refused(conc_submit(c->executor, job_square, "", SIZE_MAX - 1, 0), -ENOMEM);
    refused(conc_submit(c->executor, job_square, "", SIZE_MAX - 200, 0), -ENOMEM);
}

/* Run it again and again, with the next allocation failing each time, until all goes well. */
static void test_without_memory_submit_is_refused_and_call_fails(void **state)
{
    const struct executor_case *c = *state;
    for (int n = 1; n < 50; n++) {
        int value = -1;
        fail_alloc(n);
        conc_future *f = conc_submit(c->executor, job_square, &(int){6}, sizeof(int), sizeof(int));
        int err = conc_future_result(f, &value, CONC_FOREVER);
        fail_alloc(0);
        assert_true(err == 0 || err == -ENOMEM);
        assert_int_equal(value, err ? -1 : 36);
        conc_future_unref(f);
        fail_alloc(n);
        err = conc_call(c->executor, job_square, &(int){6}, sizeof(int), &value, sizeof(int),
                        CONC_FOREVER);
        assert_true(err == 0 || err == -ENOMEM);
        if (!err && !alloc_has_failed())
            return;
    }
    fail_msg("it never worked");
}

static void test_refused_futures_can_be_used_like_others(void **state)
{
    const struct executor_case *c = *state;
    fail_alloc(1);
    conc_future *futures[2] = {
        conc_submit(c->executor, job_square, &(int){1}, sizeof(int), sizeof(int))};
    futures[1] = conc_submit(c->executor, NULL, NULL, 0, 0);
    static const int expected[] = {-ENOMEM, -EINVAL};
    for (int i = 0; i < 2; i++) {
        int errors[1];
        conc_future *f = conc_future_ref(futures[i]);
        assert_false(conc_future_cancel(f));
        assert_int_equal(conc_future_set_result(f, &(int){1}), -EINVAL);
        assert_int_equal(conc_future_error(f), expected[i]);
        assert_string_equal(conc_future_message(f), "");
        assert_null(conc_future_value(f));
        assert_int_equal(conc_wait(&f, 1, CONC_ALL_COMPLETED, CONC_FOREVER), 1);
        assert_int_equal(conc_gather(&f, 1, errors, CONC_FOREVER), 0);
        assert_int_equal(errors[0], expected[i]);
        conc_future_unref(f);
        conc_future_unref(futures[i]);
    }
}

/* ---- conc_call ---- */

static void test_call_gives_result_or_error(void **state)
{
    const struct executor_case *c = *state;
    int value = -1;
    assert_int_equal(conc_call(c->executor, job_square, &(int){7}, sizeof(int), &value,
                               sizeof value, CONC_FOREVER),
                     0);
    assert_int_equal(value, 49);
    assert_int_equal(conc_call(c->executor, job_square, &(int){7}, sizeof(int), NULL, sizeof value,
                               CONC_FOREVER),
                     0);
    assert_int_equal(conc_call(c->executor, job_nothing_given, NULL, 0, NULL, 0, CONC_FOREVER), 0);
    assert_int_equal(conc_call(c->executor, job_raise, &(int){-EIO}, sizeof(int), &value,
                               sizeof value, CONC_FOREVER),
                     -EIO);
    assert_string_equal(conc_error_message(), "job failed: -5");
    assert_int_equal(value, 49); /* untouched */
}

static void test_call_that_is_late_cancels_the_job(void **state)
{
    const struct executor_case *c = *state;
    const struct {
        conc_deadline deadline;
        int err;
    } cases[] = {{CONC_NOW, -EAGAIN}, {conc_in(0), -ETIMEDOUT}, {conc_in(CONC_MS(20)), -ETIMEDOUT}};
    struct gate gates[3] = {0};
    for (int i = 0; i < 3; i++) {
        struct gate *g = &gates[i];
        int value = -1;
        int err =
            conc_call(c->executor, job_gate, &g, sizeof g, &value, sizeof value, cases[i].deadline);
        assert_int_equal(err, cases[i].err);
        assert_int_equal(value, -1);
    }
    assert_int_equal(conc_executor_shutdown(c->executor, CONC_SHUTDOWN_WAIT, CONC_FOREVER), 0);
    for (int i = 0; i < 3; i++)
        assert_true(runs_of(&gates[i]) == 0 || gates[i].end == -ECANCELED);
}

static void test_call_by_a_cancelled_caller_cancels_the_job(void **state)
{
    const struct executor_case *c = *state;
    struct gate gate = {0}, *g = &gate;
    conc_scope scope;
    int value = -1;
    conc_scope_enter(&scope, conc_in(CONC_MS(10)));
    assert_int_equal(
        conc_call(c->executor, job_gate, &g, sizeof g, &value, sizeof value, CONC_FOREVER),
        -ECANCELED);
    assert_int_equal(
        conc_call(c->executor, job_gate, &g, sizeof g, &value, sizeof value, conc_in(CONC_S(9))),
        -ECANCELED);
    assert_int_equal(conc_scope_exit(&scope), -ETIMEDOUT);
    assert_int_equal(value, -1);
    assert_int_equal(conc_executor_shutdown(c->executor, CONC_SHUTDOWN_WAIT, CONC_FOREVER), 0);
}

static void test_the_errors_of_a_call_are_observed(void **state)
{
    const struct executor_case *c = *state;
    struct unobserved u;
    unobserved_watch(&u);
    assert_int_equal(
        conc_call(c->executor, job_raise, &(int){-EIO}, sizeof(int), NULL, 0, CONC_FOREVER), -EIO);
    (void)conc_call(c->executor, job_until_cancelled, NULL, 0, NULL, 0, conc_in(CONC_MS(1)));
    assert_int_equal(conc_executor_shutdown(c->executor, CONC_SHUTDOWN_WAIT, CONC_FOREVER), 0);
    assert_int_equal(u.count, 0);
}

static const struct CMUnitTest tests[] = {
    ON_EVERY_EXECUTOR(test_submit_runs_the_job_and_gives_its_result),
    ON_EVERY_EXECUTOR(test_the_argument_is_a_private_copy),
    ON_EVERY_EXECUTOR(test_without_argument_and_result_the_job_gets_NULL),
    ON_EVERY_EXECUTOR(test_argument_and_result_have_any_size_and_are_aligned),
    ON_EVERY_EXECUTOR(test_the_jobs_error_comes_with_its_message),
    ON_EVERY_EXECUTOR(test_an_error_has_no_message_but_its_own),
    ON_EVERY_EXECUTOR(test_submitting_keeps_the_callers_message),
    ON_EVERY_EXECUTOR(test_a_positive_return_is_EINVAL_with_a_message),
    ON_EVERY_EXECUTOR(test_a_job_that_returns_ECANCELED_uncancelled_has_failed),
    ON_EVERY_EXECUTOR(test_a_dropped_future_runs_all_the_same_and_its_error_is_reported),
    ON_EVERY_EXECUTOR(test_bad_arguments_are_refused_with_EINVAL),
    ON_EVERY_EXECUTOR(test_impossible_sizes_are_refused_with_ENOMEM),
    ON_EVERY_EXECUTOR(test_without_memory_submit_is_refused_and_call_fails),
    ON_EVERY_EXECUTOR(test_refused_futures_can_be_used_like_others),
    ON_EVERY_EXECUTOR(test_call_gives_result_or_error),
    ON_EVERY_EXECUTOR(test_call_that_is_late_cancels_the_job),
    ON_EVERY_EXECUTOR(test_call_by_a_cancelled_caller_cancels_the_job),
    ON_EVERY_EXECUTOR(test_the_errors_of_a_call_are_observed),
};

TEST_MAIN(tests, 60)
