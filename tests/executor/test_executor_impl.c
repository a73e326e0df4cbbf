/* SPDX-License-Identifier: MIT
 *
 * test_executor_impl.c: what conc/executor_impl.h gives to those who write an executor: one that
 * keeps its jobs until the test takes them in hand. (One that works by itself, in every test of
 * executors: executors.c.)
 */
#include "jobs.h"

#include <string.h>

#include <conc/executor_impl.h>
#include <conc/thread.h>

/* Keeps the jobs, the last one first; or refuses. */
struct keeper {
    struct conc_executor base;
    conc_future *top;
    int refuse;          /* with what; 0: it doesn't */
    const char *message; /* raised with it; NULL: none */
    int shutdown_result; /* what its shutdown returns */
    int shutdowns, frees;
    unsigned flags;
    conc_deadline deadline;
};

static int keeper_submit(conc_executor *executor, conc_future *job)
{
    struct keeper *k = (struct keeper *)executor;
    if (k->refuse && k->message)
        return conc_raise(k->refuse, "%s", k->message);
    if (k->refuse)
        return k->refuse;
    assert_null(*conc_job_link(job)); /* at first */
    *conc_job_link(job) = k->top;
    k->top = job;
    return 0;
}

static int keeper_shutdown(conc_executor *executor, unsigned flags, conc_deadline deadline)
{
    struct keeper *k = (struct keeper *)executor;
    k->shutdowns++;
    k->flags = flags;
    k->deadline = deadline;
    assert_int_equal(k->frees, 0);
    return k->shutdown_result;
}

static void keeper_free(conc_executor *executor) { ((struct keeper *)executor)->frees++; }

static const conc_executor_ops keeper_ops = {
    .submit = keeper_submit, .shutdown = keeper_shutdown, .free = keeper_free};

#define KEEPER                        \
    {                                 \
        .base = {.ops = &keeper_ops } \
    }

static conc_future *take(struct keeper *k)
{
    conc_future *job = k->top;
    assert_non_null(job);
    k->top = *conc_job_link(job);
    return job;
}

static conc_future *submit_square(struct keeper *k, int n)
{
    return conc_submit(&k->base, job_square, &n, sizeof n, sizeof(int));
}

/* ---- Running ---- */

static void test_run_runs_a_pending_job_in_the_caller(void **state)
{
    struct keeper k = KEEPER;
    conc_future *f = submit_square(&k, 9);
    assert_ptr_equal(f, k.top); /* the job is the future */
    assert_false(conc_future_is_running(f));
    assert_true(conc_job_run(take(&k)));
    assert_int_equal(*(const int *)conc_future_value(f), 81);
    conc_future_unref(f);
}

static void test_run_takes_its_reference_whatever_became_of_the_job(void **state)
{
    struct keeper k = KEEPER;
    int count = 0, *counter = &count;
    conc_future *f = conc_submit(&k.base, job_count, &counter, sizeof counter, 0);
    assert_true(conc_future_cancel(f));
    assert_false(conc_job_run(take(&k)));
    assert_int_equal(count, 0);
    assert_true(conc_future_is_cancelled(f));
    conc_future_unref(f);
    conc_future_unref(conc_submit(&k.base, job_count, &counter, sizeof counter,
                                  0)); /* no reference is left: it runs all the same */
    assert_true(conc_job_run(take(&k)));
    assert_int_equal(count, 1);
}

static void test_the_link_chains_jobs(void **state)
{
    enum { N = 5 };
    struct keeper k = KEEPER;
    conc_future *futures[N];
    for (int i = 0; i < N; i++)
        futures[i] = submit_square(&k, i);
    for (int i = N; i-- > 0;) {
        conc_future *job = take(&k);
        assert_ptr_equal(job, futures[i]);
        assert_true(conc_job_run(job));
        assert_int_equal(*(const int *)conc_future_value(futures[i]), i * i);
        conc_future_unref(futures[i]);
    }
}

/* ---- Giving up ---- */

static void test_drop_fails_a_pending_job(void **state)
{
    struct keeper k = KEEPER;
    struct unobserved u;
    unobserved_watch(&u);
    conc_future *f = submit_square(&k, 1);
    conc_raise(-ENOSPC, "no room in the keep");
    conc_job_drop(take(&k), -ENOSPC);
    assert_int_equal(conc_future_error(f), -ENOSPC);
    assert_string_equal(conc_future_message(f), "no room in the keep");
    assert_false(conc_future_is_cancelled(f));
    conc_future_unref(f);
    f = submit_square(&k, 1);
    conc_job_drop(take(&k), -EIO); /* another error than the message's */
    assert_string_equal(conc_future_message(f), "");
    conc_future_unref(f);
    assert_int_equal(u.count, 0);
    conc_future_unref(submit_square(&k, 1));
    conc_job_drop(take(&k), -EIO);
    assert_int_equal(u.count, 1);
}

static void test_drop_with_ECANCELED_cancels(void **state)
{
    struct keeper k = KEEPER;
    conc_future *f = submit_square(&k, 1);
    conc_job_drop(take(&k), -ECANCELED);
    assert_true(conc_future_is_cancelled(f));
    assert_int_equal(conc_future_error(f), -ECANCELED);
    conc_future_unref(f);
}

static void test_drop_of_a_done_job_changes_nothing(void **state)
{
    struct keeper k = KEEPER;
    static const int errors[] = {-EIO, -ECANCELED};
    for (int i = 0; i < 2; i++) {
        conc_future *f = submit_square(&k, 1);
        conc_future_cancel(f);
        conc_job_drop(take(&k), errors[i]);
        assert_int_equal(conc_future_error(f), -ECANCELED);
        assert_true(conc_future_is_cancelled(f));
        conc_future_unref(f);
    }
}

/* ---- Refusing ---- */

static void test_a_refusal_is_a_failed_future_with_the_executors_message(void **state)
{
    static const struct {
        int err;
        const char *message;
    } cases[] = {
        {-EIO, "the keep is on fire"}, {-EIO, NULL}, {-ECANCELED, NULL}, {-CONC_EBROKEN, "broken"}};
    for (int i = 0; i < 4; i++) {
        struct keeper k = KEEPER;
        k.refuse = cases[i].err;
        k.message = cases[i].message;
        conc_raise(cases[i].err, "older");
        conc_future *f = submit_square(&k, 1);
        assert_true(conc_future_is_done(f));
        assert_string_equal(conc_error_message(), "older"); /* the caller's stays */
        assert_int_equal(conc_future_is_cancelled(f), cases[i].err == -ECANCELED);
        assert_string_equal(conc_future_message(f), cases[i].message ? cases[i].message : "");
        assert_int_equal(conc_future_result(f, NULL, CONC_FOREVER), cases[i].err);
        conc_future_unref(f);
        assert_int_equal(
            conc_call(&k.base, job_square, &(int){1}, sizeof(int), NULL, sizeof(int), CONC_FOREVER),
            cases[i].err);
    }
}

/* ---- Running it elsewhere ---- */

static void test_what_the_job_is(void **state)
{
    struct keeper k = KEEPER;
    size_t size = 77;
    conc_future *f = conc_submit(&k.base, job_square, "a\0b", 4, 123), *job = take(&k);
    assert_true(conc_job_fn(job) == job_square);
    assert_memory_equal(conc_job_arg(job, &size), "a\0b", 4);
    assert_int_equal(size, 4);
    assert_non_null(conc_job_arg(job, NULL));
    assert_int_equal(conc_job_result_size(job), 123);
    conc_job_drop(job, -ECANCELED);
    conc_future_unref(f);
    f = conc_submit(&k.base, job_square, NULL, 0, 0);
    job = take(&k);
    assert_null(conc_job_arg(job, &size));
    assert_int_equal(size, 0);
    assert_int_equal(conc_job_result_size(job), 0);
    conc_job_drop(job, -ECANCELED);
    conc_future_unref(f);
}

static void test_a_claimed_job_is_running_and_completed_by_its_executor(void **state)
{
    struct keeper k = KEEPER;
    int value = 0;
    conc_future *f = submit_square(&k, 3), *job = take(&k);
    assert_int_equal(conc_future_set_result(f, &value), -EPERM); /* not yet */
    assert_true(conc_job_claim(job));
    assert_false(conc_job_claim(job));
    assert_true(conc_future_is_running(f));
    assert_int_equal(conc_future_set_result(job, &(int){9}), 0);
    conc_future_unref(job);
    assert_int_equal(conc_future_result(f, &value, CONC_NOW), 0);
    assert_int_equal(value, 9);
    conc_future_unref(f);
    f = submit_square(&k, 3);
    job = take(&k);
    assert_true(conc_job_claim(job));
    assert_int_equal(conc_future_set_error(job, -EIO, "worker %d died", 4), 0);
    conc_future_unref(job);
    assert_int_equal(conc_future_error(f), -EIO);
    assert_string_equal(conc_future_message(f), "worker 4 died");
    conc_future_unref(f);
}

static void test_a_cancelled_job_cannot_be_claimed(void **state)
{
    struct keeper k = KEEPER;
    conc_future *f = submit_square(&k, 3), *job = take(&k);
    assert_true(conc_future_cancel(f));
    assert_false(conc_job_claim(job));
    conc_future_unref(job);
    conc_future_unref(f);
}

static void test_a_claimed_job_that_was_cancelled_ends_as_its_executor_says(void **state)
{
    for (int listens = 0; listens < 2; listens++) {
        struct keeper k = KEEPER;
        conc_future *f = submit_square(&k, 3), *job = take(&k);
        assert_true(conc_job_claim(job));
        assert_true(conc_future_cancel(f));
        assert_false(conc_future_is_done(f)); /* it runs until it is told to have ended */
        if (listens)
            assert_int_equal(conc_future_set_error(job, -ECANCELED, NULL), 0);
        else
            assert_int_equal(conc_future_set_result(job, &(int){9}), 0);
        assert_int_equal(conc_future_is_cancelled(f), listens);
        assert_int_equal(conc_future_error(f), listens ? -ECANCELED : 0);
        conc_future_unref(job);
        conc_future_unref(f);
    }
}

/* ---- Workers ---- */

static void test_worker_of_remembers_one_executor(void **state)
{
    struct keeper a = KEEPER, b = KEEPER;
    assert_null(conc_context_set_executor(&a.base));
    assert_ptr_equal(conc_context_set_executor(&b.base), &a.base);
    assert_ptr_equal(conc_context_set_executor(NULL), &b.base);
    assert_null(conc_context_set_executor(NULL));
}

static void test_a_worker_helps_its_executor_and_no_other(void **state)
{
    struct keeper mine = KEEPER, other = KEEPER;
    int value = 0;
    conc_context_set_executor(&mine.base);
    conc_future *f = submit_square(&mine, 5), *g = submit_square(&other, 5);
    assert_int_equal(conc_future_result(g, &value, conc_in(CONC_MS(1))), -ETIMEDOUT);
    assert_int_equal(conc_future_result(f, &value, CONC_FOREVER), 0); /* only we can run it */
    assert_int_equal(value, 25);
    conc_context_set_executor(NULL);
    assert_false(conc_job_run(take(&mine))); /* it still lay there */
    conc_job_drop(take(&other), -ECANCELED);
    conc_future_unref(f);
    conc_future_unref(g);
}

static void test_a_worker_must_not_wait_for_its_executor(void **state)
{
    struct keeper k = KEEPER;
    conc_context_set_executor(&k.base);
    assert_int_equal(conc_executor_shutdown(&k.base, CONC_SHUTDOWN_WAIT, CONC_NOW), -EDEADLK);
    assert_int_equal(conc_executor_free(&k.base), -EDEADLK);
    assert_int_equal(k.shutdowns + k.frees, 0);
    assert_int_equal(conc_executor_shutdown(&k.base, CONC_SHUTDOWN_CANCEL_PENDING, CONC_NOW), 0);
    assert_int_equal(k.shutdowns, 1);
    conc_context_set_executor(NULL);
}

/* ---- The end ---- */

static void test_shutdown_and_free_reach_the_executor(void **state)
{
    struct keeper k = KEEPER;
    conc_deadline deadline = conc_in(CONC_S(3));
    k.shutdown_result = -ETIMEDOUT;
    assert_int_equal(conc_executor_shutdown(&k.base, 7, deadline), -ETIMEDOUT);
    assert_int_equal(k.flags, 7);
    assert_int_equal(k.deadline.ns, deadline.ns);
    assert_int_equal(conc_executor_shutdown(&k.base, 8, deadline), -EINVAL);
    assert_int_equal(k.shutdowns, 1);
    k.shutdown_result = 0;
    assert_int_equal(conc_executor_free(&k.base), 0);
    assert_int_equal(k.shutdowns, 2);
    assert_int_equal(k.flags, CONC_SHUTDOWN_WAIT);
    assert_int_equal(k.deadline.ns, CONC_FOREVER.ns);
    assert_int_equal(k.frees, 1);
}

static void test_free_does_not_free_what_could_not_shut_down(void **state)
{
    struct keeper k = KEEPER;
    k.shutdown_result = -EDEADLK;
    assert_int_equal(conc_executor_free(&k.base), -EDEADLK);
    assert_int_equal(k.frees, 0);
}

static const struct CMUnitTest tests[] = {
    LEAK_TEST(test_run_runs_a_pending_job_in_the_caller),
    LEAK_TEST(test_run_takes_its_reference_whatever_became_of_the_job),
    LEAK_TEST(test_the_link_chains_jobs),
    LEAK_TEST(test_drop_fails_a_pending_job),
    LEAK_TEST(test_drop_with_ECANCELED_cancels),
    LEAK_TEST(test_drop_of_a_done_job_changes_nothing),
    LEAK_TEST(test_a_refusal_is_a_failed_future_with_the_executors_message),
    LEAK_TEST(test_what_the_job_is),
    LEAK_TEST(test_a_claimed_job_is_running_and_completed_by_its_executor),
    LEAK_TEST(test_a_cancelled_job_cannot_be_claimed),
    LEAK_TEST(test_a_claimed_job_that_was_cancelled_ends_as_its_executor_says),
    LEAK_TEST(test_worker_of_remembers_one_executor),
    LEAK_TEST(test_a_worker_helps_its_executor_and_no_other),
    LEAK_TEST(test_a_worker_must_not_wait_for_its_executor),
    LEAK_TEST(test_shutdown_and_free_reach_the_executor),
    LEAK_TEST(test_free_does_not_free_what_could_not_shut_down),
};

TEST_MAIN(tests, 30)
