/* SPDX-License-Identifier: MIT
 *
 * test_group.c: groups of jobs: results, errors, the first of which cancels the rest, deadlines,
 * cancellation, refusals; and that no member outlives the wait. In the long and at random:
 * test_group_stress.c.
 */
#include "executors.h"

#include <conc/group.h>

enum { N = 4 };

static ptrdiff_t add(conc_group *group, const struct executor_case *c, conc_fn *fn, int arg,
                     int *ret)
{
    return conc_group_submit(group, c->executor, fn, &arg, sizeof arg, ret, sizeof(int));
}

static ptrdiff_t add_gate(conc_group *group, const struct executor_case *c, struct gate *gate)
{
    return conc_group_submit(group, c->executor, job_gate, &gate, sizeof gate, NULL, 0);
}

/* ---- All goes well ---- */

static void test_wait_stores_the_results(void **state)
{
    const struct executor_case *c = *state;
    conc_group group;
    int results[N] = {0};
    conc_group_init(&group);
    assert_int_equal(conc_group_size(&group), 0);
    for (int i = 0; i < N; i++) {
        assert_int_equal(add(&group, c, job_square, i + 1, &results[i]), i);
        assert_int_equal(conc_group_size(&group), i + 1);
    }
    assert_int_equal(conc_group_wait(&group, CONC_FOREVER), 0);
    for (int i = 0; i < N; i++) {
        const char *message = NULL;
        assert_int_equal(results[i], (i + 1) * (i + 1));
        assert_int_equal(conc_group_error(&group, (size_t)i, &message), 0);
        assert_string_equal(message, "");
    }
    assert_int_equal(conc_group_size(&group), N);
    conc_group_destroy(&group);
}

static void test_an_empty_group_is_waited_for_at_once(void **state)
{
    const conc_deadline deadlines[] = {CONC_FOREVER, CONC_NOW, conc_in(0)};
    for (int i = 0; i < 3; i++) {
        conc_group group;
        conc_group_init(&group);
        assert_int_equal(conc_group_wait(&group, deadlines[i]), 0);
        assert_int_equal(conc_group_error(&group, 0, NULL), -EINVAL);
        conc_group_destroy(&group);
    }
}

static void test_a_group_may_have_many_members_and_unwanted_results(void **state)
{
    enum { MANY = 300 };
    const struct executor_case *c = *state;
    conc_group group;
    int results[MANY];
    conc_group_init(&group);
    for (int i = 0; i < MANY; i++)
        assert_int_equal(add(&group, c, job_square, i, i % 3 ? &results[i] : NULL), i);
    assert_int_equal(conc_group_wait(&group, CONC_FOREVER), 0);
    for (int i = 0; i < MANY; i++)
        if (i % 3)
            assert_int_equal(results[i], i * i);
    conc_group_destroy(&group);
}

static void test_results_are_stored_once(void **state)
{
    const struct executor_case *c = *state;
    conc_group group;
    int first = 0, second = 0;
    conc_group_init(&group);
    assert_int_equal(add(&group, c, job_square, 2, &first), 0);
    assert_int_equal(conc_group_wait(&group, CONC_FOREVER), 0);
    assert_int_equal(first, 4);
    first = 77; /* it was borrowed until the wait only */
    assert_int_equal(add(&group, c, job_square, 3, &second), 1);
    assert_int_equal(conc_group_wait(&group, CONC_FOREVER), 0);
    assert_int_equal(second, 9);
    assert_int_equal(first, 77);
    conc_group_destroy(&group);
}

/* ---- Errors ---- */

static void test_a_members_error_ends_the_group_with_its_message(void **state)
{
    const struct executor_case *c = *state;
    conc_group group;
    const char *message = NULL;
    int result = 0, untouched = 77;
    conc_group_init(&group);
    assert_int_equal(add(&group, c, job_square, 3, &result), 0);
    assert_int_equal(conc_group_wait(&group, CONC_FOREVER), 0);
    assert_int_equal(add(&group, c, job_raise, -EIO, &untouched), 1);
    assert_int_equal(conc_group_wait(&group, CONC_FOREVER), -EIO);
    assert_string_equal(conc_error_message(), "job failed: -5");
    assert_int_equal(result, 9);
    assert_int_equal(untouched, 77);
    assert_int_equal(conc_group_error(&group, 0, &message), 0);
    assert_int_equal(conc_group_error(&group, 1, &message), -EIO);
    assert_string_equal(message, "job failed: -5");
    assert_int_equal(conc_group_error(&group, 1, NULL), -EIO);
    assert_int_equal(conc_group_error(&group, 2, &message), -EINVAL);
    /* It is over for good. */
    assert_int_equal(add(&group, c, job_square, 3, &result), -ECANCELED);
    assert_int_equal(conc_group_size(&group), 2);
    assert_int_equal(conc_group_wait(&group, CONC_FOREVER), -EIO);
    conc_group_destroy(&group);
}

static void test_the_first_error_cancels_the_rest(void **state)
{
    const struct executor_case *c = *state;
    conc_group group;
    struct gate gates[N] = {0}, failing = {0};
    int running = c->workers > N ? N : (int)c->workers - 1;
    conc_group_init(&group);
    for (int i = 0; i < running; i++) {
        assert_int_equal(add_gate(&group, c, &gates[i]), i);
        gate_entered(&gates[i]);
    }
    assert_int_equal(add(&group, c, job_raise, -EIO, NULL), running);
    assert_int_equal(conc_group_wait(&group, CONC_FOREVER), -EIO);
    for (int i = 0; i < running; i++) {
        assert_int_equal(gates[i].end, -ECANCELED); /* no member outlives the wait */
        assert_int_equal(conc_group_error(&group, (size_t)i, NULL), -ECANCELED);
    }
    assert_int_equal(conc_group_error(&group, (size_t)running, NULL), -EIO);
    assert_int_equal(add_gate(&group, c, &failing), -ECANCELED);
    conc_group_destroy(&group);
}

static void test_pending_members_of_a_failed_group_never_run(void **state)
{
    const struct executor_case *c = *state;
    struct busy busy;
    conc_group group;
    int count = 0, *counter = &count;
    keep_busy(c, &busy);
    conc_group_init(&group);
    assert_int_equal(add(&group, c, job_raise, -EIO, NULL), 0);
    size_t more = c->queue == 1 ? 0 : 3;
    for (size_t i = 0; i < more; i++)
        assert_int_equal(
            conc_group_submit(&group, c->executor, job_count, &counter, sizeof counter, NULL, 0),
            i + 1);
    conc_group_cancel(&group);
    let_go(&busy);
    assert_int_equal(conc_group_wait(&group, CONC_FOREVER), -ECANCELED);
    assert_int_equal(count, 0);
    for (size_t i = 0; i <= more; i++)
        assert_int_equal(conc_group_error(&group, i, NULL), -ECANCELED);
    conc_group_destroy(&group);
}

static int job_fail_when_cancelled(void *arg, void *result)
{
    (void)job_gate(arg, NULL);
    return conc_raise(-EPERM, "failed while it was cancelled");
}

static void test_every_error_is_kept_and_none_is_unobserved(void **state)
{
    const struct executor_case *c = *state;
    struct unobserved u;
    conc_group group;
    struct gate gates[2] = {0}, *g[2] = {&gates[0], &gates[1]};
    const char *message = NULL;
    unobserved_watch(&u);
    conc_group_init(&group);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(conc_group_submit(&group, c->executor, job_fail_when_cancelled, &g[i],
                                           sizeof g[i], NULL, 0),
                         i);
        gate_entered(&gates[i]);
    }
    assert_int_equal(add(&group, c, job_raise, -EIO, NULL), 2);
    assert_int_equal(conc_group_wait(&group, CONC_FOREVER), -EIO); /* the first in time */
    assert_string_equal(conc_error_message(), "job failed: -5");
    for (size_t i = 0; i < 2; i++) {
        assert_int_equal(conc_group_error(&group, i, &message), -EPERM);
        assert_string_equal(message, "failed while it was cancelled");
    }
    conc_group_destroy(&group);
    assert_int_equal(u.count, 0);
}

/* ---- Waiting ---- */

static void test_CONC_NOW_cancels_nothing(void **state)
{
    const struct executor_case *c = *state;
    conc_group group;
    struct gate gate = {0};
    conc_group_init(&group);
    assert_int_equal(add_gate(&group, c, &gate), 0);
    gate_entered(&gate);
    assert_int_equal(conc_group_wait(&group, CONC_NOW), -EAGAIN);
    assert_int_equal(conc_group_error(&group, 0, NULL), -EAGAIN);
    conc_event_set(&gate.open);
    WAIT_UNTIL(conc_group_wait(&group, CONC_NOW) != -EAGAIN);
    assert_int_equal(conc_group_wait(&group, CONC_NOW), 0);
    assert_int_equal(gate.end, 0);
    conc_group_destroy(&group);
}

static void test_the_deadline_cancels_the_members_and_waits_for_them(void **state)
{
    const struct executor_case *c = *state;
    const conc_deadline deadlines[] = {conc_in(0), conc_in(CONC_MS(5))};
    for (int i = 0; i < 2; i++) {
        conc_group group;
        struct gate gate = {0};
        conc_group_init(&group);
        assert_int_equal(add_gate(&group, c, &gate), 0);
        gate_entered(&gate);
        assert_int_equal(conc_group_wait(&group, deadlines[i]), -ETIMEDOUT);
        assert_int_equal(gate.end, -ECANCELED);
        assert_int_equal(conc_group_error(&group, 0, NULL), -ECANCELED);
        assert_int_equal(add(&group, c, job_square, 1, NULL), -ECANCELED);
        assert_int_equal(conc_group_wait(&group, CONC_FOREVER),
                         -ECANCELED); /* it has been cancelled */
        conc_group_destroy(&group);
    }
}

static void test_a_members_own_error_comes_before_the_deadlines(void **state)
{
    const struct executor_case *c = *state;
    conc_group group;
    struct gate gate = {0}, *g = &gate;
    conc_group_init(&group);
    assert_int_equal(
        conc_group_submit(&group, c->executor, job_fail_when_cancelled, &g, sizeof g, NULL, 0), 0);
    gate_entered(&gate);
    assert_int_equal(conc_group_wait(&group, conc_in(0)), -EPERM);
    assert_string_equal(conc_error_message(), "failed while it was cancelled");
    conc_group_destroy(&group);
}

static void open_when_main_waits(void *arg)
{
    struct gate *gate = arg;
    wait_until_blocked("main", "condition");
    conc_event_set(&gate->open);
}

static void test_a_member_that_does_not_listen_delays_the_wait(void **state)
{
    const struct executor_case *c = *state;
    conc_group group;
    struct test_thread opener;
    struct gate gate = {0}, *g = &gate;
    conc_group_init(&group);
    assert_int_equal(
        conc_group_submit(&group, c->executor, job_gate_shielded, &g, sizeof g, NULL, 0), 0);
    gate_entered(&gate);
    test_thread_start(&opener, "opener", open_when_main_waits, &gate);
    assert_int_equal(conc_group_wait(&group, conc_in(0)), -ETIMEDOUT);
    assert_int_equal(gate.end, 0);
    test_thread_join(&opener);
    assert_int_equal(conc_group_error(&group, 0, NULL), 0); /* its own end stands */
    conc_group_destroy(&group);
}

static void test_a_cancelled_caller_cancels_the_members(void **state)
{
    const struct executor_case *c = *state;
    for (int before = 0; before < 2; before++) {
        conc_group group;
        conc_scope scope;
        struct gate gate = {0};
        conc_group_init(&group);
        assert_int_equal(add_gate(&group, c, &gate), 0);
        gate_entered(&gate);
        conc_scope_enter(&scope, before ? conc_in(0) : conc_in(CONC_MS(5)));
        assert_int_equal(conc_group_wait(&group, CONC_FOREVER), -ECANCELED);
        assert_int_equal(conc_scope_exit(&scope), -ETIMEDOUT);
        assert_int_equal(gate.end, -ECANCELED);
        conc_group_destroy(&group);
    }
}

static void test_a_cancelled_caller_gets_ECANCELED_even_if_all_have_ended(void **state)
{
    const struct executor_case *c = *state;
    conc_group group;
    conc_scope scope;
    int result = 0;
    conc_group_init(&group);
    assert_int_equal(add(&group, c, job_square, 5, &result), 0);
    WAIT_UNTIL(conc_group_error(&group, 0, NULL) == 0);
    conc_scope_enter(&scope, conc_in(0));
    assert_int_equal(conc_group_wait(&group, CONC_FOREVER), -ECANCELED);
    assert_int_equal(conc_scope_exit(&scope), -ETIMEDOUT);
    conc_group_destroy(&group);
}

/* ---- Cancelling ---- */

static void test_cancel_ends_all_members_and_those_to_come(void **state)
{
    const struct executor_case *c = *state;
    conc_group group;
    struct gate gate = {0};
    conc_group_init(&group);
    assert_int_equal(add_gate(&group, c, &gate), 0);
    gate_entered(&gate);
    conc_group_cancel(&group);
    conc_group_cancel(&group);
    assert_int_equal(add(&group, c, job_square, 1, NULL), -ECANCELED);
    assert_int_equal(conc_group_wait(&group, CONC_FOREVER), -ECANCELED);
    assert_int_equal(gate.end, -ECANCELED);
    conc_group_destroy(&group);
}

static void test_destroy_without_wait_cancels_and_waits(void **state)
{
    const struct executor_case *c = *state;
    conc_group group;
    conc_scope scope;
    struct gate gate = {0};
    conc_group_init(&group);
    assert_int_equal(add_gate(&group, c, &gate), 0);
    gate_entered(&gate);
    conc_scope_enter(&scope, CONC_FOREVER);
    conc_scope_cancel(&scope);
    conc_group_destroy(&group); /* no cancellation point */
    assert_int_equal(conc_scope_exit(&scope), 0);
    assert_int_equal(gate.end, -ECANCELED);
    assert_int_equal(conc_group_size(&group), 0); /* as new */
    assert_int_equal(conc_group_wait(&group, CONC_FOREVER), 0);
    conc_group_destroy(&group);
}

/* ---- Refusals ---- */

static void test_bad_arguments_are_EINVAL_and_no_members(void **state)
{
    const struct executor_case *c = *state;
    conc_group group;
    conc_group_init(&group);
    assert_int_equal(conc_group_submit(&group, NULL, job_square, "", 1, NULL, 0), -EINVAL);
    assert_int_equal(conc_group_submit(&group, c->executor, NULL, NULL, 0, NULL, 0), -EINVAL);
    assert_int_equal(conc_group_submit(&group, c->executor, job_square, NULL, 4, NULL, 0), -EINVAL);
    assert_int_equal(conc_group_size(&group), 0);
    assert_int_equal(add(&group, c, job_square, 1, NULL), 0); /* it goes on */
    assert_int_equal(conc_group_wait(&group, CONC_FOREVER), 0);
    conc_group_destroy(&group);
}

static void test_a_refusal_ends_the_group_as_a_members_error_does(void **state)
{
    const struct executor_case *c = *state;
    conc_executor *closed = executor_of(POOL_OF_1);
    conc_group group;
    struct gate gate = {0};
    conc_group_init(&group);
    assert_int_equal(conc_executor_shutdown(closed, 0, CONC_FOREVER), 0);
    assert_int_equal(add_gate(&group, c, &gate), 0);
    gate_entered(&gate);
    assert_int_equal(conc_group_submit(&group, closed, job_square, "", 1, NULL, 0), -ESHUTDOWN);
    assert_int_equal(add(&group, c, job_square, 1, NULL), -ECANCELED);
    assert_int_equal(conc_group_wait(&group, CONC_FOREVER), -ESHUTDOWN);
    assert_int_equal(gate.end, -ECANCELED);
    conc_group_destroy(&group);
    assert_int_equal(conc_executor_free(closed), 0);
}

static void test_without_memory_submit_is_ENOMEM_and_ends_the_group(void **state)
{
    const struct executor_case *c = *state;
    for (int n = 1; n < 30; n++) {
        conc_group group;
        int results[2] = {0};
        conc_group_init(&group);
        assert_int_equal(add(&group, c, job_square, 2, &results[0]), 0);
        assert_int_equal(conc_group_wait(&group, CONC_FOREVER), 0);
        fail_alloc(n);
        ptrdiff_t index = add(&group, c, job_square, 3, &results[1]);
        bool failed = alloc_has_failed();
        assert_true(index == 1 || index == -ENOMEM);
        assert_int_equal(conc_group_wait(&group, CONC_FOREVER), index < 0 ? -ENOMEM : 0);
        assert_int_equal(results[1], index < 0 ? 0 : 9);
        if (index < 0)
            assert_int_equal(add(&group, c, job_square, 3, NULL), -ECANCELED);
        conc_group_destroy(&group);
        if (!failed)
            return;
    }
    fail_msg("it never worked");
}

static void test_without_memory_for_a_longer_list_submit_is_ENOMEM(void **state)
{
    const struct executor_case *c = *state;
    for (int n = 1; n <= 3; n++) { /* member, callback, list */
        conc_group group;
        struct gate gate = {0};
        conc_group_init(&group);
        assert_int_equal(add_gate(&group, c, &gate), 0);
        gate_entered(&gate);
        int i = 1;
        while (i < 8)
            assert_int_equal(add(&group, c, job_square, 3, NULL), i++);
        fail_alloc(n);
        assert_int_equal(add(&group, c, job_square, 3, NULL), -ENOMEM);
        assert_true(alloc_has_failed());
        assert_int_equal(conc_group_wait(&group, CONC_FOREVER), -ENOMEM);
        assert_int_equal(gate.end, -ECANCELED);
        conc_group_destroy(&group);
    }
}

static void test_a_member_cancelled_by_its_executor_fails_the_group(void **state)
{
    const struct executor_case *c = *state;
    struct busy busy;
    conc_group group;
    int result = 77;
    keep_busy(c, &busy);
    conc_group_init(&group);
    assert_int_equal(add(&group, c, job_square, 3, &result), 0);
    assert_int_equal(
        conc_executor_shutdown(c->executor, CONC_SHUTDOWN_CANCEL_PENDING, CONC_FOREVER), 0);
    let_go(&busy);
    assert_int_equal(conc_group_wait(&group, CONC_FOREVER), -ECANCELED); /* not 'all succeeded' */
    assert_int_equal(result, 77);
    conc_group_destroy(&group);
}

#define ON_EXECUTORS_WITH_THREADS(test) \
    ON_EXECUTOR(test, THREAD_PER_JOB, "thread_per_job"), ON_QUEUEING_EXECUTORS(test)

/* Where several jobs run at once. */
#define ON_PARALLEL_EXECUTORS(test) \
    ON_EXECUTOR(test, THREAD_PER_JOB, "thread_per_job"), ON_EXECUTOR(test, POOL_OF_4, "pool_of_4")

static const struct CMUnitTest tests[] = {
    ON_EVERY_EXECUTOR(test_wait_stores_the_results),
    LEAK_TEST(test_an_empty_group_is_waited_for_at_once),
    ON_EVERY_EXECUTOR(test_a_group_may_have_many_members_and_unwanted_results),
    ON_EVERY_EXECUTOR(test_results_are_stored_once),
    ON_EVERY_EXECUTOR(test_a_members_error_ends_the_group_with_its_message),
    ON_PARALLEL_EXECUTORS(test_the_first_error_cancels_the_rest),
    ON_QUEUEING_EXECUTORS(test_pending_members_of_a_failed_group_never_run),
    ON_PARALLEL_EXECUTORS(test_every_error_is_kept_and_none_is_unobserved),
    ON_EXECUTORS_WITH_THREADS(test_CONC_NOW_cancels_nothing),
    ON_EXECUTORS_WITH_THREADS(test_the_deadline_cancels_the_members_and_waits_for_them),
    ON_EXECUTORS_WITH_THREADS(test_a_members_own_error_comes_before_the_deadlines),
    ON_EXECUTORS_WITH_THREADS(test_a_member_that_does_not_listen_delays_the_wait),
    ON_EXECUTORS_WITH_THREADS(test_a_cancelled_caller_cancels_the_members),
    ON_EVERY_EXECUTOR(test_a_cancelled_caller_gets_ECANCELED_even_if_all_have_ended),
    ON_EXECUTORS_WITH_THREADS(test_cancel_ends_all_members_and_those_to_come),
    ON_EXECUTORS_WITH_THREADS(test_destroy_without_wait_cancels_and_waits),
    ON_EVERY_EXECUTOR(test_bad_arguments_are_EINVAL_and_no_members),
    ON_EXECUTORS_WITH_THREADS(test_a_refusal_ends_the_group_as_a_members_error_does),
    ON_EVERY_EXECUTOR(test_without_memory_submit_is_ENOMEM_and_ends_the_group),
    ON_PARALLEL_EXECUTORS(test_without_memory_for_a_longer_list_submit_is_ENOMEM),
    ON_QUEUEING_EXECUTORS(test_a_member_cancelled_by_its_executor_fails_the_group),
};

TEST_MAIN(tests, 60)
