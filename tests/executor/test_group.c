/* SPDX-License-Identifier: MIT
 *
 * test_group.c: groups: everything that can end one, on every executor; what it ends with, and that
 * no member outlives it. The same with bodies in tasks: tests/loop/test_group_body.c; submissions
 * that take time: test_group_submit.c; at random: test_group_stress.c.
 */
#include "executors.h"

#include <signal.h>

#include <conc/group.h>

enum { N = 4 };

static conc_future *add(conc_group *group, const struct executor_case *c, conc_fn *fn, int arg,
                        int *ret)
{
    return conc_group_submit(group, c->executor, fn, &arg, sizeof arg, ret, sizeof(int));
}

static conc_future *add_gate(conc_group *group, const struct executor_case *c, struct gate *gate)
{
    return conc_group_submit(group, c->executor, job_gate, &gate, sizeof gate, NULL, 0);
}

/* Also in a body whose time may be over before. */
static void entered_firmly(struct gate *gate)
{
    conc_scope shield;
    conc_shield_enter(&shield);
    gate_entered(gate);
    conc_shield_exit(&shield);
}

static void open_now(conc_group *group) { conc_group_enter(group, CONC_FOREVER); }

/* ---- All goes well ---- */

static void test_results_are_stored_and_futures_lent(void **state)
{
    const struct executor_case *c = *state;
    conc_future *futures[N], *longer;
    int results[N] = {0}, err = 0, value = 0;
    conc_with_group (g, &err, CONC_FOREVER) {
        for (int i = 0; i < N; i++)
            futures[i] = add(g, c, job_square, i + 1, &results[i]);
        for (int i = 0; i < N; i++) {
            assert_int_equal(conc_future_result(futures[i], &value, CONC_FOREVER), 0);
            assert_int_equal(value, (i + 1) * (i + 1));
        }
        longer = conc_future_ref(futures[0]);
    }
    assert_int_equal(err, 0);
    for (int i = 0; i < N; i++)
        assert_int_equal(results[i], (i + 1) * (i + 1));
    assert_int_equal(conc_future_result(longer, &value, CONC_NOW), 0);
    assert_int_equal(value, 1);
    conc_future_unref(longer);
}

static void test_an_empty_group_ends_well_whatever_its_deadline(void **state)
{
    const conc_deadline deadlines[] = {CONC_FOREVER, CONC_NOW, conc_in(0)};
    for (int i = 0; i < 3; i++) {
        int err = 0, turns = 0;
        conc_with_group (g, &err, deadlines[i])
            turns++;
        assert_int_equal(err, 0);
        assert_int_equal(turns, 1);
    }
}

static void test_a_group_may_have_many_members_and_unwanted_results(void **state)
{
    enum { MANY = 300 };
    const struct executor_case *c = *state;
    int results[MANY], err = 0;
    conc_with_group (g, &err, CONC_FOREVER)
        for (int i = 0; i < MANY; i++)
            add(g, c, job_square, i, i % 3 ? &results[i] : NULL);
    assert_int_equal(err, 0);
    for (int i = 0; i < MANY; i++)
        if (i % 3)
            assert_int_equal(results[i], i * i);
}

struct family {
    conc_group *group;
    const struct executor_case *c;
    int left;  /* generations */
    int *born; /* atomic */
};

static int job_has_children(void *arg, void *result)
{
    (void)result;
    struct family f = *(struct family *)arg;
    __atomic_add_fetch(f.born, 1, __ATOMIC_RELAXED);
    if (f.left-- == 0)
        return 0;
    conc_group_submit(f.group, f.c->executor, job_has_children, &f, sizeof f, NULL, 0);
    return conc_group_start_soon(f.group, f.c->executor, job_has_children, &f, sizeof f);
}

static void test_members_may_submit_members_while_the_group_is_closed(void **state)
{
    const struct executor_case *c = *state;
    int born = 0, err = 0;
    conc_with_group (g, &err, CONC_FOREVER) {
        struct family f = {g, c, 5, &born};
        assert_int_equal(conc_group_start_soon(g, c->executor, job_has_children, &f, sizeof f), 0);
    }
    assert_int_equal(err, 0);
    assert_int_equal(born, 63);
}

static void test_of_members_that_are_started_soon_nothing_is_kept(void **state)
{
    enum { MANY = 1000 };
    const struct executor_case *c = *state;
    int err = 0, count = 0, *counter = &count;
    int32_t before = load_relaxed(&conc__hooks.allocated);
    conc_with_group (g, &err, CONC_FOREVER) {
        for (int i = 0; i < MANY; i++)
            assert_int_equal(
                conc_group_start_soon(g, c->executor, job_count, &counter, sizeof counter), 0);
        WAIT_UNTIL(load_acquire(&count) == MANY);
        /* The group is open still. Executors keep a few for later. */
        WAIT_UNTIL(load_relaxed(&conc__hooks.allocated) < before + MANY / 4);
    }
    assert_int_equal(err, 0);
}

/* ---- A member fails ---- */

static void test_a_members_error_ends_the_group_with_its_message(void **state)
{
    const struct executor_case *c = *state;
    int result = 0, untouched = 77, err = 0;
    conc_with_group (g, &err, CONC_FOREVER) {
        conc_future *f = add(g, c, job_square, 3, &result);
        assert_int_equal(conc_future_wait(f, CONC_FOREVER), 0);
        f = add(g, c, job_raise, -EIO, &untouched);
        while (!conc_future_is_done(f))
            conc_yield();
        WAIT_UNTIL(conc_is_cancelled()); /* the body is told */
        f = add(g, c, job_square, 3, NULL);
        assert_true(conc_future_is_cancelled(f));
        assert_int_equal(conc_group_start_soon(g, c->executor, job_square, &result, sizeof result),
                         -ECANCELED);
    }
    assert_int_equal(err, -EIO);
    assert_string_equal(conc_error_message(), "job failed: -5");
    assert_int_equal(result, 9);
    assert_int_equal(untouched, 77);
    assert_int_equal(conc_check_cancel(), 0); /* the scope has been left */
}

static int job_fail_soon(void *arg, void *result)
{
    int err = conc_sleep(CONC_MS(1));
    return err ? err : job_raise(arg, result);
}

static void test_what_the_body_blocks_in_is_cancelled_and_the_cause_is_told(void **state)
{
    const struct executor_case *c = *state;
    conc_event never = CONC_EVENT_INIT;
    int err = 0, seen = 0;
    conc_with_group (g, &err, CONC_FOREVER) {
        add(g, c, job_fail_soon, -EIO, NULL);
        seen = err = conc_event_wait(&never, CONC_FOREVER);
    }
    assert_int_equal(seen, -ECANCELED);
    assert_int_equal(err, -EIO);
    assert_string_equal(conc_error_message(), "job failed: -5");
}

static void test_the_first_error_cancels_the_rest(void **state)
{
    const struct executor_case *c = *state;
    struct gate gates[N] = {0};
    conc_future *futures[N];
    int running = c->workers > N ? N : (int)c->workers - 1, err = 0;
    conc_with_group (g, &err, CONC_FOREVER) {
        for (int i = 0; i < running; i++) {
            futures[i] = conc_future_ref(add_gate(g, c, &gates[i]));
            gate_entered(&gates[i]);
        }
        add(g, c, job_raise, -EIO, NULL);
    }
    assert_int_equal(err, -EIO);
    for (int i = 0; i < running; i++) {
        assert_int_equal(gates[i].end, -ECANCELED); /* no member outlives the group */
        assert_true(conc_future_is_cancelled(futures[i]));
        conc_future_unref(futures[i]);
    }
}

static void test_pending_members_of_a_failed_group_never_run(void **state)
{
    const struct executor_case *c = *state;
    struct busy busy;
    int count = 0, *counter = &count, err = 0;
    keep_busy(c, &busy);
    conc_with_group (g, &err, CONC_FOREVER) {
        size_t more = c->queue == 1 ? 1 : 3;
        for (size_t i = 0; i < more; i++)
            conc_group_submit(g, c->executor, job_count, &counter, sizeof counter, NULL, 0);
        err = -EPROTO;
    }
    assert_int_equal(err, -EPROTO); /* it did not wait for the busy workers */
    let_go(&busy);
    assert_int_equal(count, 0);
}

static int job_fail_when_cancelled(void *arg, void *result)
{
    (void)job_gate(arg, NULL);
    return conc_raise(-EPERM, "failed while it was cancelled");
}

static void test_later_errors_are_there_for_those_who_ask(void **state)
{
    const struct executor_case *c = *state;
    struct unobserved u;
    struct gate gates[2] = {0}, *p[2] = {&gates[0], &gates[1]};
    conc_future *asked = NULL;
    int err = 0;
    unobserved_watch(&u);
    conc_with_group (g, &err, CONC_FOREVER) {
        for (int i = 0; i < 2; i++) {
            conc_future *f = conc_group_submit(g, c->executor, job_fail_when_cancelled, &p[i],
                                               sizeof p[i], NULL, 0);
            gate_entered(&gates[i]);
            asked = i == 0 ? conc_future_ref(f) : asked;
        }
        add(g, c, job_raise, -EIO, NULL);
    }
    assert_int_equal(err, -EIO); /* the first in time */
    assert_string_equal(conc_error_message(), "job failed: -5");
    assert_int_equal(conc_future_error(asked), -EPERM);
    assert_string_equal(conc_future_message(asked), "failed while it was cancelled");
    conc_future_unref(asked);
    assert_int_equal(u.count, 0);
}

/* ---- Time, and the caller's cancellation ---- */

static void test_the_deadline_ends_body_and_members(void **state)
{
    const struct executor_case *c = *state;
    for (int in_body = 0; in_body < 2; in_body++) {
        struct gate gate = {0};
        int err = 0, slept = 0;
        conc_with_group (g, &err, conc_in(CONC_MS(5))) {
            add_gate(g, c, &gate);
            entered_firmly(&gate);
            if (in_body)
                slept = err = conc_sleep(CONC_S(1000));
        }
        assert_int_equal(err, -ETIMEDOUT);
        assert_int_equal(slept, in_body ? -ECANCELED : 0);
        assert_int_equal(gate.end, -ECANCELED);
        assert_int_equal(conc_check_cancel(), 0);
    }
}

static void test_what_comes_after_the_deadline_is_not_the_groups_error(void **state)
{
    const struct executor_case *c = *state;
    struct gate gate = {0}, *p = &gate;
    struct unobserved u;
    int err = 0;
    unobserved_watch(&u);
    conc_with_group (g, &err, conc_in(CONC_MS(5))) {
        conc_group_submit(g, c->executor, job_fail_when_cancelled, &p, sizeof p, NULL, 0);
        entered_firmly(&gate);
        err = conc_sleep(CONC_S(1000));
    }
    assert_int_equal(err, -ETIMEDOUT);
    assert_int_equal(u.count, 0);
}

static void open_when_main_waits(void *arg)
{
    struct gate *gate = arg;
    wait_until_blocked("main", "condition");
    conc_event_set(&gate->open);
}

static void test_a_member_that_does_not_listen_delays_the_end(void **state)
{
    const struct executor_case *c = *state;
    struct test_thread opener;
    struct gate gate = {0}, *p = &gate;
    int err = 0;
    conc_with_group (g, &err, CONC_FOREVER) {
        conc_group_submit(g, c->executor, job_gate_shielded, &p, sizeof p, NULL, 0);
        gate_entered(&gate);
        test_thread_start(&opener, "opener", open_when_main_waits, &gate);
        err = -EPROTO;
    }
    assert_int_equal(err, -EPROTO);
    assert_int_equal(gate.end, 0);
    test_thread_join(&opener);
}

static void test_a_cancelled_caller_cancels_body_and_members(void **state)
{
    const struct executor_case *c = *state;
    for (int in_body = 0; in_body < 2; in_body++) {
        struct gate gate = {0};
        conc_scope scope;
        int err = 0;
        conc_scope_enter(&scope, conc_in(CONC_MS(5)));
        conc_with_group (g, &err, CONC_FOREVER) {
            add_gate(g, c, &gate);
            entered_firmly(&gate);
            if (in_body)
                err = conc_sleep(CONC_S(1000));
        }
        assert_int_equal(err, -ECANCELED);
        assert_int_equal(conc_scope_exit(&scope), -ETIMEDOUT);
        assert_int_equal(gate.end, -ECANCELED);
    }
}

/* ---- The body fails, or leaves ---- */

static void test_the_bodys_error_cancels_the_members(void **state)
{
    const struct executor_case *c = *state;
    struct gate gate = {0};
    int err = 0;
    conc_with_group (g, &err, CONC_FOREVER) {
        add_gate(g, c, &gate);
        gate_entered(&gate);
        err = conc_raise(-EPROTO, "the body's");
    }
    assert_int_equal(err, -EPROTO);
    assert_string_equal(conc_error_message(), "the body's");
    assert_int_equal(gate.end, -ECANCELED);
}

enum leaving { BY_BREAK, BY_RETURN, BY_GOTO, WAYS_OF_LEAVING };

static int leave_early(const struct executor_case *c, struct gate *gate, enum leaving how)
{
    int err = 0;
    conc_with_group (g, &err, CONC_FOREVER) {
        add_gate(g, c, gate);
        gate_entered(gate);
        if (how == BY_BREAK)
            break;
        if (how == BY_RETURN)
            return 7;
        if (how == BY_GOTO)
            goto out;
    }
    return err;
out:
    return 8;
}

static void test_however_the_body_is_left_the_members_are_cancelled_and_waited_for(void **state)
{
    static const int expected[] = {0, 7, 8};
    const struct executor_case *c = *state;
    for (enum leaving how = 0; how < WAYS_OF_LEAVING; how++) {
        struct gate gate = {0};
        assert_int_equal(leave_early(c, &gate, how), expected[how]);
        assert_int_equal(gate.end, -ECANCELED);
        assert_int_equal(conc_check_cancel(), 0);
    }
}

static int leave_with_a_failure(const struct executor_case *c)
{
    int err = 0;
    conc_with_group (g, &err, CONC_FOREVER) {
        conc_future *f = add(g, c, job_raise, -EIO, NULL);
        WAIT_UNTIL(conc_future_is_done(f));
        return 7;
    }
    return err;
}

static void test_a_members_error_that_return_leaves_behind_is_reported(void **state)
{
    const struct executor_case *c = *state;
    struct unobserved u;
    unobserved_watch(&u);
    assert_int_equal(leave_with_a_failure(c), 7);
    assert_int_equal(u.count, 1);
    assert_int_equal(u.err, -EIO);
}

/* ---- Cancelling ---- */

static void test_cancel_ends_all_and_well(void **state)
{
    const struct executor_case *c = *state;
    for (int blocks = 0; blocks < 2; blocks++) {
        struct gate gate = {0};
        int err = 0;
        conc_with_group (g, &err, CONC_FOREVER) {
            add_gate(g, c, &gate);
            gate_entered(&gate);
            conc_group_cancel(g);
            conc_group_cancel(g);
            assert_true(conc_future_is_cancelled(add(g, c, job_square, 1, NULL)));
            if (blocks) {
                err = conc_sleep(CONC_S(1000));
                assert_int_equal(err, -ECANCELED);
            }
        }
        assert_int_equal(err, 0);
        assert_int_equal(gate.end, -ECANCELED);
    }
}

static int job_cancel_group(void *arg, void *result)
{
    (void)result;
    conc_group_cancel(*(conc_group **)arg);
    return 0;
}

static void test_a_member_may_cancel_the_group(void **state)
{
    const struct executor_case *c = *state;
    int err = 0;
    conc_with_group (g, &err, CONC_FOREVER) {
        conc_group_submit(g, c->executor, job_cancel_group, &g, sizeof g, NULL, 0);
        err = conc_sleep(CONC_S(1000));
    }
    assert_int_equal(err, 0);
}

static void test_an_own_error_after_a_cancel_counts(void **state)
{
    const struct executor_case *c = *state;
    struct gate gate = {0}, *p = &gate;
    int err = 0;
    conc_with_group (g, &err, CONC_FOREVER) { /* the body's */
        conc_group_cancel(g);
        err = -EPROTO;
    }
    assert_int_equal(err, -EPROTO);
    err = 0;
    conc_with_group (g, &err, CONC_FOREVER) { /* a member's */
        conc_group_submit(g, c->executor, job_fail_when_cancelled, &p, sizeof p, NULL, 0);
        gate_entered(&gate);
        conc_group_cancel(g);
    }
    assert_int_equal(err, -EPERM);
}

static void test_a_member_that_is_cancelled_alone_ends_no_other(void **state)
{
    const struct executor_case *c = *state;
    struct gate gates[2] = {0};
    int err = 0;
    conc_with_group (g, &err, CONC_FOREVER) {
        conc_future *alone = add_gate(g, c, &gates[0]);
        add_gate(g, c, &gates[1]);
        conc_future_cancel(alone);
        assert_int_equal(conc_future_wait(alone, CONC_FOREVER), 0);
        assert_int_equal(conc_future_error(alone), -ECANCELED);
        gate_entered(&gates[1]);
        assert_int_equal(conc_check_cancel(), 0);
        conc_event_set(&gates[1].open);
    }
    assert_int_equal(err, 0);
    assert_int_equal(gates[1].end, 0);
}

/* ---- Refusals ---- */

static void test_a_refusal_ends_the_group_as_a_members_error_does(void **state)
{
    enum { NO_EXECUTOR, NO_FN, NO_ARG, CLOSED, REFUSALS };
    static const int expected[] = {-EINVAL, -EINVAL, -EINVAL, -ESHUTDOWN};
    const struct executor_case *c = *state;
    conc_executor *closed = executor_of(POOL_OF_1);
    assert_int_equal(conc_executor_shutdown(closed, 0, CONC_FOREVER), 0);
    for (int soon = 0; soon < 2; soon++) {
        for (int i = 0; i < REFUSALS; i++) {
            conc_executor *ex = i == NO_EXECUTOR ? NULL : i == CLOSED ? closed : c->executor;
            conc_fn *fn = i == NO_FN ? NULL : job_until_cancelled;
            const void *arg = i == NO_ARG ? NULL : "";
            struct gate gate = {0};
            int err = 0;
            conc_with_group (g, &err, CONC_FOREVER) {
                add_gate(g, c, &gate);
                gate_entered(&gate);
                if (soon)
                    assert_int_equal(conc_group_start_soon(g, ex, fn, arg, 1), expected[i]);
                else
                    assert_int_equal(
                        conc_future_error(conc_group_submit(g, ex, fn, arg, 1, NULL, 0)),
                        expected[i]);
                assert_int_equal(conc_check_cancel(), -ECANCELED);
            }
            assert_int_equal(err, expected[i]);
            assert_int_equal(gate.end, -ECANCELED);
        }
    }
    assert_int_equal(conc_executor_free(closed), 0);
}

static void test_without_memory_a_submit_is_ENOMEM_and_ends_the_group(void **state)
{
    const struct executor_case *c = *state;
    for (int n = 1; n < 30; n++) {
        int results[2] = {0}, err = 0;
        bool failed = false;
        conc_future *f = NULL;
        conc_with_group (g, &err, CONC_FOREVER) {
            assert_int_equal(conc_future_wait(add(g, c, job_square, 2, &results[0]), CONC_FOREVER),
                             0);
            fail_alloc(n);
            f = conc_future_ref(add(g, c, job_square, 3, &results[1]));
            failed = alloc_has_failed();
        }
        int own = conc_future_error(f);
        conc_future_unref(f);
        assert_true(own == 0 || own == -ENOMEM);
        assert_int_equal(err, own);
        assert_int_equal(results[1], own ? 0 : 9);
        if (!failed)
            return;
    }
    fail_msg("it never worked");
}

static void test_a_member_that_its_executor_drops_fails_the_group(void **state)
{
    const struct executor_case *c = *state;
    struct busy busy;
    int result = 77, err = 0;
    keep_busy(c, &busy);
    conc_with_group (g, &err, CONC_FOREVER) {
        add(g, c, job_square, 3, &result);
        assert_int_equal(
            conc_executor_shutdown(c->executor, CONC_SHUTDOWN_CANCEL_PENDING, CONC_FOREVER), 0);
        err = conc_sleep(CONC_S(1000));
    }
    let_go(&busy);
    assert_int_equal(err, -ESHUTDOWN); /* not 0, nor 'cancelled' */
    assert_int_equal(result, 77);
}

static void test_a_running_member_that_its_executor_cancels_fails_the_group(void **state)
{
    const struct executor_case *c = *state;
    struct gate gate = {0};
    int err = 0;
    conc_with_group (g, &err, CONC_FOREVER) {
        add_gate(g, c, &gate);
        gate_entered(&gate);
        assert_int_equal(
            conc_executor_shutdown(c->executor, CONC_SHUTDOWN_CANCEL_RUNNING, CONC_FOREVER), 0);
    }
    assert_int_equal(err, -ESHUTDOWN);
}

/* ---- Nesting, and misuse ---- */

static void test_an_inner_failure_ends_the_inner_group_alone(void **state)
{
    const struct executor_case *c = *state;
    struct gate gate = {0};
    int err = 0, inner = 0;
    conc_with_group (outer, &err, CONC_FOREVER) {
        add_gate(outer, c, &gate);
        conc_with_group (g, &inner, CONC_FOREVER) {
            add(g, c, job_fail_soon, -EIO, NULL);
            inner = conc_sleep(CONC_S(1000));
        }
        assert_int_equal(inner, -EIO);
        err = conc_sleep(CONC_MS(1));
        conc_event_set(&gate.open);
    }
    assert_int_equal(err, 0);
}

static void test_an_outer_failure_ends_the_inner_group_too(void **state)
{
    const struct executor_case *c = *state;
    struct gate gate = {0};
    int err = 0, inner = 0;
    conc_with_group (outer, &err, CONC_FOREVER) {
        conc_with_group (g, &inner, CONC_FOREVER) {
            add_gate(g, c, &gate);
            add(outer, c, job_fail_soon, -EIO, NULL);
            inner = conc_sleep(CONC_S(1000));
        }
        err = inner;
    }
    assert_int_equal(inner, -ECANCELED);
    assert_int_equal(err, -EIO);
}

static void close_elsewhere(void *arg) { CHECK_EQUAL(conc_group_exit(arg, 0), -EPERM); }

static void test_only_the_opener_closes_and_once(void **state)
{
    struct test_thread other;
    conc_group group;
    open_now(&group);
    test_thread_start(&other, NULL, close_elsewhere, &group);
    test_thread_join(&other);
    assert_int_equal(conc_group_exit(&group, 0), 0);
    assert_int_equal(conc_group_exit(&group, 0), -EPERM);
}

static int job_forget_group(void *arg, void *result)
{
    static conc_group group;
    (void)arg, (void)result;
    open_now(&group);
    return 0;
}

static int leave_group_open(void *arg)
{
    conc_executor *ex = executor_of(INLINE);
    conc_future *f = conc_submit(ex, job_forget_group, NULL, 0, 0);
    return conc_future_error(f);
}

static int close_with_open_scope(void *arg)
{
    conc_group group;
    static conc_scope scope;
    open_now(&group);
    conc_scope_enter(&scope, CONC_FOREVER);
    return conc_group_exit(&group, 0);
}

static void test_a_group_that_is_left_open_ends_the_program(void **state)
{
    assert_int_equal(in_child(leave_group_open, NULL), 100 + SIGABRT);
    assert_int_equal(in_child(close_with_open_scope, NULL), 100 + SIGABRT);
}

#define ON_EXECUTORS_WITH_THREADS(test) \
    ON_EXECUTOR(test, THREAD_PER_JOB, "thread_per_job"), ON_QUEUEING_EXECUTORS(test)

/* Where several jobs run at once. */
#define ON_PARALLEL_EXECUTORS(test)                      \
    ON_EXECUTOR(test, THREAD_PER_JOB, "thread_per_job"), \
        ON_EXECUTOR(test, POOL_OF_4, "pool_of_4"), ON_EXECUTOR(test, LOOP_POOL, "loop_pool")

static const struct CMUnitTest tests[] = {
    ON_EVERY_EXECUTOR(test_results_are_stored_and_futures_lent),
    LEAK_TEST(test_an_empty_group_ends_well_whatever_its_deadline),
    ON_EVERY_EXECUTOR(test_a_group_may_have_many_members_and_unwanted_results),
    ON_EVERY_EXECUTOR(test_members_may_submit_members_while_the_group_is_closed),
    ON_EVERY_EXECUTOR(test_of_members_that_are_started_soon_nothing_is_kept),
    ON_EVERY_EXECUTOR(test_a_members_error_ends_the_group_with_its_message),
    ON_EXECUTORS_WITH_THREADS(test_what_the_body_blocks_in_is_cancelled_and_the_cause_is_told),
    ON_PARALLEL_EXECUTORS(test_the_first_error_cancels_the_rest),
    ON_QUEUEING_EXECUTORS(test_pending_members_of_a_failed_group_never_run),
    ON_PARALLEL_EXECUTORS(test_later_errors_are_there_for_those_who_ask),
    ON_EXECUTORS_WITH_THREADS(test_the_deadline_ends_body_and_members),
    ON_EXECUTORS_WITH_THREADS(test_what_comes_after_the_deadline_is_not_the_groups_error),
    ON_EXECUTORS_WITH_THREADS(test_a_member_that_does_not_listen_delays_the_end),
    ON_EXECUTORS_WITH_THREADS(test_a_cancelled_caller_cancels_body_and_members),
    ON_EXECUTORS_WITH_THREADS(test_the_bodys_error_cancels_the_members),
    ON_EXECUTORS_WITH_THREADS(
        test_however_the_body_is_left_the_members_are_cancelled_and_waited_for),
    ON_EVERY_EXECUTOR(test_a_members_error_that_return_leaves_behind_is_reported),
    ON_EXECUTORS_WITH_THREADS(test_cancel_ends_all_and_well),
    ON_EXECUTORS_WITH_THREADS(test_a_member_may_cancel_the_group),
    ON_EXECUTORS_WITH_THREADS(test_an_own_error_after_a_cancel_counts),
    ON_PARALLEL_EXECUTORS(test_a_member_that_is_cancelled_alone_ends_no_other),
    ON_EXECUTORS_WITH_THREADS(test_a_refusal_ends_the_group_as_a_members_error_does),
    ON_EVERY_EXECUTOR(test_without_memory_a_submit_is_ENOMEM_and_ends_the_group),
    ON_QUEUEING_EXECUTORS(test_a_member_that_its_executor_drops_fails_the_group),
    ON_PARALLEL_EXECUTORS(test_a_running_member_that_its_executor_cancels_fails_the_group),
    ON_PARALLEL_EXECUTORS(test_an_inner_failure_ends_the_inner_group_alone),
    ON_PARALLEL_EXECUTORS(test_an_outer_failure_ends_the_inner_group_too),
    LEAK_TEST(test_only_the_opener_closes_and_once),
    LEAK_TEST(test_a_group_that_is_left_open_ends_the_program),
};

TEST_MAIN(tests, 60)
