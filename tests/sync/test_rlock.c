/* SPDX-License-Identifier: MIT
 *
 * test_rlock.c: the re-entrant lock.
 */
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include <conc/rlock.h>

#include "base/hooks.h"
#include "support.h"
#include "wait/wait.h"

/* Run fn(arg) in another thread, to its end. */
static void elsewhere(void (*fn)(void *arg), void *arg)
{
    struct test_thread t;
    test_thread_start(&t, NULL, fn, arg);
    test_thread_join(&t);
}

static void expect_free(void *rlock)
{
    CHECK_EQUAL(conc_rlock_try_acquire(rlock), 0);
    CHECK_EQUAL(conc_rlock_release(rlock), 0);
}

static void expect_anothers(void *rlock)
{
    CHECK_EQUAL(conc_rlock_try_acquire(rlock), -EAGAIN);
    CHECK(!conc_rlock_is_owned(rlock));
    CHECK(conc_rlock_is_locked(rlock));
    CHECK_EQUAL(conc_rlock_release(rlock), -EPERM);
    CHECK_EQUAL(conc_rlock_acquire(rlock, CONC_NOW), -EAGAIN);
    CHECK_EQUAL(conc_rlock_acquire(rlock, conc_in(0)), -ETIMEDOUT);
    CHECK_EQUAL(conc_rlock_acquire(rlock, conc_in(CONC_MS(2))), -ETIMEDOUT);
    CHECK(!conc_rlock_is_owned(rlock));
}

static void test_rlock_is_free_at_first(void **state)
{
    static conc_rlock zero;
    conc_rlock initialised = CONC_RLOCK_INIT, made;
    memset(&made, 0xff, sizeof made);
    conc_rlock_init(&made);
    conc_rlock *rlocks[] = {&zero, &initialised, &made};
    for (int i = 0; i < 3; i++) {
        assert_false(conc_rlock_is_locked(rlocks[i]));
        assert_false(conc_rlock_is_owned(rlocks[i]));
        assert_int_equal(conc_rlock_release(rlocks[i]), -EPERM);
        elsewhere(expect_free, rlocks[i]);
    }
}

static void test_owner_may_take_it_again_and_must_release_as_often(void **state)
{
    conc_rlock rlock = CONC_RLOCK_INIT;
    const conc_deadline deadlines[] = {CONC_FOREVER, CONC_NOW, conc_in(0)};
    conc_rlock_enter(&rlock);
    conc_rlock_enter(&rlock);
    assert_int_equal(conc_rlock_try_acquire(&rlock), 0);
    for (int i = 0; i < 3; i++)
        assert_int_equal(conc_rlock_acquire(&rlock, deadlines[i]), 0);
    for (int i = 0; i < 6; i++) {
        assert_true(conc_rlock_is_owned(&rlock));
        assert_true(conc_rlock_is_locked(&rlock));
        elsewhere(expect_anothers, &rlock);
        assert_int_equal(conc_rlock_release(&rlock), 0);
    }
    assert_false(conc_rlock_is_owned(&rlock));
    assert_false(conc_rlock_is_locked(&rlock));
    assert_int_equal(conc_rlock_release(&rlock), -EPERM);
    elsewhere(expect_free, &rlock);
}

static void test_try_and_acquire_take_a_free_one(void **state)
{
    conc_rlock rlock = CONC_RLOCK_INIT;
    const conc_deadline deadlines[] = {CONC_FOREVER, CONC_NOW, conc_in(0)};
    assert_int_equal(conc_rlock_try_acquire(&rlock), 0);
    assert_true(conc_rlock_is_owned(&rlock));
    assert_int_equal(conc_rlock_release(&rlock), 0);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(conc_rlock_acquire(&rlock, deadlines[i]), 0);
        assert_true(conc_rlock_is_owned(&rlock));
        assert_int_equal(conc_rlock_release(&rlock), 0);
    }
}

struct waiter {
    conc_rlock *rlock;
    conc_scope scope;
    int result;
};

static void wait_for_rlock(void *arg)
{
    struct waiter *w = arg;
    conc_scope_enter(&w->scope, CONC_FOREVER);
    w->result = conc_rlock_acquire(w->rlock, CONC_FOREVER);
    CHECK_EQUAL(conc_rlock_is_owned(w->rlock), w->result == 0);
    if (w->result == 0)
        CHECK_EQUAL(conc_rlock_release(w->rlock), 0);
    conc_scope_exit(&w->scope);
}

static void test_only_the_outermost_release_lets_a_waiter_in(void **state)
{
    conc_rlock rlock = CONC_RLOCK_INIT;
    struct waiter w = {.rlock = &rlock};
    struct test_thread t;
    conc_rlock_enter(&rlock);
    conc_rlock_enter(&rlock);
    test_thread_start(&t, NULL, wait_for_rlock, &w);
    wait_until_n_blocked(&rlock.lock, 1);
    assert_int_equal(conc_rlock_release(&rlock), 0);
    conc__test_advance(CONC_S(1)); /* impatient by now */
    wait_until_n_blocked(&rlock.lock, 1);
    assert_int_equal(conc_rlock_release(&rlock), 0);
    test_thread_join(&t);
    assert_int_equal(w.result, 0);
}

static void test_waiter_is_cancelled(void **state)
{
    conc_rlock rlock = CONC_RLOCK_INIT;
    struct waiter w = {.rlock = &rlock};
    struct test_thread t;
    conc_rlock_enter(&rlock);
    test_thread_start(&t, NULL, wait_for_rlock, &w);
    wait_until_n_blocked(&rlock.lock, 1);
    conc_scope_cancel(&w.scope);
    test_thread_join(&t);
    assert_int_equal(w.result, -ECANCELED);
    assert_true(conc_rlock_is_owned(&rlock));
    assert_int_equal(conc_rlock_release(&rlock), 0);
}

static int leave_by_return(conc_rlock *rlock)
{
    conc_with_rlock (rlock)
        return (int)rlock->depth;
    return -1;
}

static void test_with_rlock_releases_however_it_is_left(void **state)
{
    conc_rlock rlock = CONC_RLOCK_INIT;
    int n = 0;
    conc_with_rlock (&rlock) {
        conc_with_rlock (&rlock) {
            assert_int_equal(rlock.depth, 2);
            n++;
            break;
        }
        assert_int_equal(rlock.depth, 1);
        assert_int_equal(leave_by_return(&rlock), 2);
        conc_with_rlock (&rlock) {
            if (n++)
                continue;
            fail();
        }
        assert_int_equal(rlock.depth, 1);
        conc_with_rlock (&rlock)
            goto out;
    }
    fail();
out:
    assert_int_equal(n, 2);
    assert_false(conc_rlock_is_locked(&rlock));
}

static void test_leave_twice_is_harmless(void **state)
{
    conc_rlock rlock = CONC_RLOCK_INIT;
    conc_rlock_enter(&rlock);
    conc_rlock *held = conc__rlock_entered(&rlock);
    conc__rlock_leave(&held);
    conc__rlock_leave(&held);
    assert_true(conc_rlock_is_owned(&rlock));
    conc_rlock_exit(&rlock);
    assert_false(conc_rlock_is_locked(&rlock));
}

struct too_often {
    conc_rlock rlock;
    int message[2]; /* a pipe */
};

static int take_once_too_often(void *arg)
{
    struct too_often *t = arg;
    dup2(t->message[1], STDERR_FILENO);
    t->rlock.depth = UINT32_MAX;
    conc_rlock_enter(&t->rlock);
    return 0;
}

static void test_taken_too_often_ends_the_program_with_a_message(void **state)
{
    struct too_often t = {{{0}, 0, 0}, {-1, -1}};
    char text[200] = "";
    assert_int_equal(pipe(t.message), 0);
    conc_rlock_enter(&t.rlock);
    assert_int_equal(in_child(take_once_too_often, &t), 100 + SIGABRT);
    close(t.message[1]);
    assert_true(read(t.message[0], text, sizeof text - 1) > 0);
    assert_non_null(strstr(text, "rlock"));
    close(t.message[0]);
    assert_int_equal(conc_rlock_release(&t.rlock), 0);
}

/* ---- Stress ---- */

struct shared {
    conc_rlock rlock;
    unsigned long count; /* under the lock */
    struct stress stress;
    unsigned long taken; /* atomic */
};

static void count_deep(struct shared *s, unsigned depth)
{
    conc_with_rlock (&s->rlock) {
        CHECK(conc_rlock_is_owned(&s->rlock));
        if (depth > 0)
            count_deep(s, depth - 1);
        else
            s->count++;
    }
}

static void count_and_look(void *arg)
{
    struct shared *s = arg;
    struct test_random r = test_random_for(conc_context_id(NULL));
    unsigned long n = 0;
    while (stress_goes_on(&s->stress)) {
        CHECK(!conc_rlock_is_owned(&s->rlock)); /* another context may own it */
        count_deep(s, (unsigned)test_random_below(&r, 4));
        n++;
        if (conc_rlock_acquire(&s->rlock, conc_in(CONC_US(5))) == 0) {
            s->count++;
            n++;
            conc_yield();
            CHECK_EQUAL(conc_rlock_release(&s->rlock), 0);
        }
    }
    fetch_add_relaxed(&s->taken, n);
}

static void test_under_many_threads_lets_one_in_at_a_time(void **state)
{
    struct shared s = {.stress = stress_begin()};
    struct test_thread t[8];
    for (int i = 0; i < 8; i++)
        test_thread_start(&t[i], NULL, count_and_look, &s);
    for (int i = 0; i < 8; i++)
        test_thread_join(&t[i]);
    assert_int_equal(s.count, s.taken);
    assert_false(conc_rlock_is_locked(&s.rlock));
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_rlock_is_free_at_first),
    cmocka_unit_test(test_owner_may_take_it_again_and_must_release_as_often),
    cmocka_unit_test(test_try_and_acquire_take_a_free_one),
    cmocka_unit_test(test_only_the_outermost_release_lets_a_waiter_in),
    cmocka_unit_test(test_waiter_is_cancelled),
    cmocka_unit_test(test_with_rlock_releases_however_it_is_left),
    cmocka_unit_test(test_leave_twice_is_harmless),
    cmocka_unit_test(test_taken_too_often_ends_the_program_with_a_message),
    cmocka_unit_test(test_under_many_threads_lets_one_in_at_a_time),
};

TEST_MAIN(tests, 50)
