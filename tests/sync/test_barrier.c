/* SPDX-License-Identifier: MIT
 *
 * test_barrier.c: the barrier: indexes, its action, and all the ways in which it breaks. At random:
 * test_barrier_stress.c.
 */
#include <limits.h>
#include <sched.h>
#include <string.h>

#include <conc/barrier.h>
#include <conc/event.h>

#include "base/hooks.h"
#include "support.h"
#include "sync/words.h"
#include "wait/thread.h"
#include "wait/wait.h"

/* ---- Alone ---- */

static void test_init_checks_the_parties(void **state)
{
    conc_barrier b;
    memset(&b, 0xff, sizeof b);
    assert_int_equal(conc_barrier_init(&b, 0, NULL, NULL), -EINVAL);
    assert_int_equal(conc_barrier_init(&b, (uint32_t)INT_MAX + 1, NULL, NULL), -EINVAL);
    assert_int_equal(conc_barrier_init(&b, INT_MAX, NULL, NULL), 0);
    assert_int_equal(conc_barrier_parties(&b), INT_MAX);
    assert_int_equal(conc_barrier_init(&b, 3, NULL, NULL), 0);
    assert_int_equal(conc_barrier_parties(&b), 3);
    assert_int_equal(conc_barrier_n_waiting(&b), 0);
    assert_false(conc_barrier_is_broken(&b));
}

static int count_call(void *arg)
{
    fetch_add_relaxed((int *)arg, 1);
    return 0;
}

static void test_barrier_of_one_never_waits(void **state)
{
    int calls = 0;
    conc_barrier b = CONC_BARRIER_INIT(1, count_call, &calls);
    const conc_deadline deadlines[] = {CONC_FOREVER, CONC_NOW, conc_in(0)};
    for (int i = 0; i < 3; i++)
        assert_int_equal(conc_barrier_wait(&b, deadlines[i]), 0);
    assert_int_equal(calls, 3);
}

static void test_wait_with_NOW_is_EAGAIN_and_changes_nothing(void **state)
{
    conc_barrier b = CONC_BARRIER_INIT(2, NULL, NULL);
    conc_scope ended;
    conc_scope_enter(&ended, conc_in(0));
    assert_int_equal(conc_barrier_wait(&b, CONC_NOW), -EAGAIN); /* cancelled or not */
    assert_int_equal(conc_scope_exit(&ended), 0);
    assert_int_equal(conc_barrier_n_waiting(&b), 0);
    assert_false(conc_barrier_is_broken(&b));
}

static void test_wait_that_times_out_breaks_it(void **state)
{
    conc_barrier b = CONC_BARRIER_INIT(2, NULL, NULL);
    int64_t before = real_now();
    assert_int_equal(conc_barrier_wait(&b, conc_in(CONC_MS(10))), -ETIMEDOUT);
    assert_true(real_now() - before >= CONC_MS(10));
    assert_true(conc_barrier_is_broken(&b));
    assert_int_equal(conc_barrier_n_waiting(&b), 0);
    assert_int_equal(conc_barrier_wait(&b, CONC_FOREVER), -CONC_EBROKEN);
    assert_int_equal(conc_barrier_wait(&b, CONC_NOW), -CONC_EBROKEN);
    conc_barrier_reset(&b);
    assert_false(conc_barrier_is_broken(&b));
    assert_int_equal(conc_barrier_wait(&b, conc_in(0)), -ETIMEDOUT);
    assert_true(conc_barrier_is_broken(&b));
}

static void test_wait_when_cancelled_already_breaks_it(void **state)
{
    conc_barrier b = CONC_BARRIER_INIT(1, NULL, NULL);
    conc_scope ended;
    conc_scope_enter(&ended, conc_in(0));
    assert_int_equal(conc_barrier_wait(&b, CONC_FOREVER), -ECANCELED);
    assert_int_equal(conc_barrier_wait(&b, CONC_FOREVER), -ECANCELED);
    assert_int_equal(conc_scope_exit(&ended), -ETIMEDOUT);
    assert_true(conc_barrier_is_broken(&b));
    assert_int_equal(conc_barrier_wait(&b, CONC_FOREVER), -CONC_EBROKEN);
}

static void test_abort_and_reset_twice_are_harmless(void **state)
{
    conc_barrier b = CONC_BARRIER_INIT(1, NULL, NULL);
    conc_barrier_abort(&b);
    conc_barrier_abort(&b);
    assert_true(conc_barrier_is_broken(&b));
    conc_barrier_reset(&b);
    conc_barrier_reset(&b);
    assert_false(conc_barrier_is_broken(&b));
    assert_int_equal(conc_barrier_wait(&b, CONC_FOREVER), 0);
}

/* ---- With others ---- */

struct party {
    struct test_thread thread;
    conc_barrier *barrier;
    conc_deadline deadline;
    conc_scope scope;
    int result, exit;
};

static void join_in(void *arg)
{
    struct party *p = arg;
    conc_scope_enter(&p->scope, CONC_FOREVER);
    p->result = conc_barrier_wait(p->barrier, p->deadline);
    p->exit = conc_scope_exit(&p->scope);
}

/* n parties wait in order. */
static void start_parties(conc_barrier *b, struct party *p, int n)
{
    for (int i = 0; i < n; i++) {
        p[i].barrier = b;
        if (p[i].deadline.ns == 0)
            p[i].deadline = CONC_FOREVER;
        test_thread_start(&p[i].thread, NULL, join_in, &p[i]);
        wait_until_n_blocked(b, (size_t)i + 1);
        assert_int_equal(conc_barrier_n_waiting(b), i + 1);
    }
}

/* End them; all are to have the result. */
static void end_parties(struct party *p, int n, int result)
{
    for (int i = 0; i < n; i++) {
        test_thread_join(&p[i].thread);
        assert_int_equal(p[i].result, result);
    }
}

static void test_each_party_gets_its_own_index_in_order_of_arrival(void **state)
{
    conc_barrier b = CONC_BARRIER_INIT(4, NULL, NULL);
    for (int round = 0; round < 3; round++) {
        struct party p[3] = {0};
        start_parties(&b, p, 3);
        /* the last need not wait */
        assert_int_equal(conc_barrier_wait(&b, round == 1 ? CONC_NOW : CONC_FOREVER), 3);
        for (int i = 0; i < 3; i++) {
            test_thread_join(&p[i].thread);
            assert_int_equal(p[i].result, i);
        }
        assert_int_equal(conc_barrier_n_waiting(&b), 0);
        assert_int_equal(b.word, 0);
    }
}

static void test_one_that_times_out_sends_the_others_away(void **state)
{
    conc_barrier b = CONC_BARRIER_INIT(5, NULL, NULL);
    struct party p[4] = {[2] = {.deadline = conc_in(CONC_S(900))}};
    start_parties(&b, p, 4);
    conc__test_advance(CONC_S(1000));
    end_parties(p, 2, -CONC_EBROKEN);
    end_parties(p + 2, 1, -ETIMEDOUT);
    end_parties(p + 3, 1, -CONC_EBROKEN);
    assert_true(conc_barrier_is_broken(&b));
    assert_int_equal(conc_barrier_n_waiting(&b), 0);
}

static void test_one_that_is_cancelled_sends_the_others_away(void **state)
{
    conc_barrier b = CONC_BARRIER_INIT(3, NULL, NULL);
    struct party p[2] = {0};
    start_parties(&b, p, 2);
    conc_scope_cancel(&p[0].scope);
    end_parties(p, 1, -ECANCELED);
    end_parties(p + 1, 1, -CONC_EBROKEN);
    assert_int_equal(p[0].exit, -ECANCELED);
    assert_int_equal(p[1].exit, 0);
    assert_true(conc_barrier_is_broken(&b));
}

static void test_one_that_was_cancelled_before_sends_the_others_away(void **state)
{
    conc_barrier b = CONC_BARRIER_INIT(3, NULL, NULL);
    struct party p[2] = {0};
    conc_scope ended;
    start_parties(&b, p, 2);
    conc_scope_enter(&ended, conc_in(0));
    assert_int_equal(conc_barrier_wait(&b, CONC_FOREVER), -ECANCELED);
    assert_int_equal(conc_scope_exit(&ended), -ETIMEDOUT);
    end_parties(p, 2, -CONC_EBROKEN);
}

static void test_abort_sends_all_away_until_reset(void **state)
{
    conc_barrier b = CONC_BARRIER_INIT(4, NULL, NULL);
    struct party p[3] = {0};
    start_parties(&b, p, 3);
    conc_barrier_abort(&b);
    end_parties(p, 3, -CONC_EBROKEN);
    assert_int_equal(conc_barrier_n_waiting(&b), 0);
    assert_int_equal(conc_barrier_wait(&b, CONC_FOREVER), -CONC_EBROKEN);
    conc_barrier_reset(&b);
    struct party q[3] = {0};
    start_parties(&b, q, 3);
    assert_int_equal(conc_barrier_wait(&b, CONC_FOREVER), 3);
    for (int i = 0; i < 3; i++)
        end_parties(q + i, 1, i);
}

static void test_reset_sends_away_who_waits_and_starts_anew(void **state)
{
    conc_barrier b = CONC_BARRIER_INIT(2, NULL, NULL);
    struct party p = {.result = 0}, q = {.result = 0};
    start_parties(&b, &p, 1);
    conc_barrier_reset(&b);
    end_parties(&p, 1, -CONC_EBROKEN);
    assert_false(conc_barrier_is_broken(&b));
    start_parties(&b, &q, 1);
    assert_int_equal(conc_barrier_wait(&b, CONC_FOREVER), 1);
    end_parties(&q, 1, 0);
}

/* ---- Races ---- */

static void test_round_that_completes_as_one_times_out_is_complete(void **state)
{
    conc_barrier b = CONC_BARRIER_INIT(2, NULL, NULL);
    struct party p = {.deadline = conc_in(CONC_S(900))};
    start_parties(&b, &p, 1);
    guard_lock(&b.word); /* as the last party does */
    conc__test_advance(CONC_S(1000));
    WAIT_UNTIL(load_relaxed(&b.word) & GUARD_SLEEPERS); /* it is giving up */
    struct conc__waiter *chain = waitlist_take_all(&b.waiters);
    store_relaxed(&b.waiting, 0);
    guard_unlock(&b.word);
    conc__waiter_deliver_all(chain, 0);
    end_parties(&p, 1, 0);
    assert_false(conc_barrier_is_broken(&b));
}

/* Take the guard between the moment in which a party has given up and the one in which it sends the
 * others away; false: it was faster. */
static bool cut_in(conc_barrier *b)
{
    for (unsigned i = 1;; i++) {
        uint32_t v = load_relaxed(&b->word);
        if ((v & BARRIER_BROKEN) && !(v & GUARD_HELD) && cas_acquire(&b->word, &v, v | GUARD_HELD))
            break;
        if (i % 10000 == 0)
            sched_yield();
    }
    if (!waitlist_is_empty(&b->waiters))
        return true;
    guard_unlock(&b->word);
    return false;
}

/* One has given up. Now, the guard held, comes a reset, and the first party of the next round. */
static void reset_meanwhile(conc_barrier *b, struct party *p, struct conc__waiter *newcomer)
{
    assert_int_equal(conc_barrier_n_waiting(b), 1); /* it has uncounted itself */
    struct conc__waiter *chain = waitlist_take_all(&b->waiters);
    conc__waitlist_push(&b->waiters, newcomer);
    guard_unlock_with(&b->word, BARRIER_BROKEN, 0);
    conc__waiter_deliver_all(chain, -CONC_EBROKEN);
    end_parties(p, 1, -ETIMEDOUT);
    end_parties(p + 1, 1, -CONC_EBROKEN);
    assert_ptr_equal(newcomer->list, &b->waiters); /* it was not sent away with the others */
    assert_false(conc_barrier_is_broken(b));
}

static void test_reset_just_after_one_gave_up_leaves_the_next_round_alone(void **state)
{
    int hits = 0;
    size_t tries = crowd_of(1000); /* on one core it may never be hit */
    for (size_t i = 0; i < tries && hits < 5; i++) {
        conc_barrier b = CONC_BARRIER_INIT(3, NULL, NULL);
        struct party p[2] = {{.deadline = conc_in(CONC_S(900))}};
        struct conc__waiter newcomer = waiter_here();
        start_parties(&b, p, 2);
        guard_lock(&b.word);
        conc__test_advance(CONC_S(1000));
        WAIT_UNTIL(load_relaxed(&b.word) & GUARD_SLEEPERS); /* it is giving up */
        guard_unlock(&b.word);
        if (cut_in(&b)) {
            reset_meanwhile(&b, p, &newcomer);
            hits++;
        } else {
            end_parties(p, 1, -ETIMEDOUT);
            end_parties(p + 1, 1, -CONC_EBROKEN);
        }
    }
    print_message("# hit %d times\n", hits);
}

/* ---- The action ---- */

struct action {
    conc_barrier barrier;
    int calls, result;
    uint32_t id; /* of the context that ran it */
    conc_event begun, may_end;
};

static int act(void *arg)
{
    struct action *a = arg;
    a->calls++;
    a->id = conc_context_id(NULL);
    return a->result;
}

static void test_action_runs_once_a_round_in_the_last_party(void **state)
{
    struct action a = {.barrier = CONC_BARRIER_INIT(3, act, &a)};
    for (int round = 1; round <= 3; round++) {
        struct party p[2] = {0};
        start_parties(&a.barrier, p, 2);
        assert_int_equal(a.calls, round - 1);
        assert_int_equal(conc_barrier_wait(&a.barrier, CONC_FOREVER), 2);
        assert_int_equal(a.calls, round);
        assert_int_equal(a.id, conc_context_id(NULL));
        end_parties(p, 1, 0);
        end_parties(p + 1, 1, 1);
    }
}

static void test_action_that_fails_breaks_the_barrier(void **state)
{
    static const struct {
        int action, result;
    } cases[] = {{-EIO, -EIO}, {-ETIMEDOUT, -ETIMEDOUT}, {5, -CONC_EBROKEN}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct action a = {.barrier = CONC_BARRIER_INIT(3, act, &a), .result = cases[i].action};
        struct party p[2] = {0};
        start_parties(&a.barrier, p, 2);
        assert_int_equal(conc_barrier_wait(&a.barrier, CONC_FOREVER), cases[i].result);
        end_parties(p, 2, -CONC_EBROKEN);
        assert_true(conc_barrier_is_broken(&a.barrier));
        assert_int_equal(conc_barrier_wait(&a.barrier, CONC_FOREVER), -CONC_EBROKEN);
    }
}

static int act_slowly(void *arg)
{
    struct action *a = arg;
    conc_event_set(&a->begun);
    CHECK_EQUAL(conc_event_wait(&a->may_end, CONC_FOREVER), 0);
    a->calls++;
    return 0;
}

static void test_nobody_goes_on_before_the_action_is_done(void **state)
{
    struct action a = {.barrier = CONC_BARRIER_INIT(2, act_slowly, &a)};
    struct party p[2] = {{.deadline = conc_in(CONC_S(900))}};
    start_parties(&a.barrier, p, 1);
    p[1].barrier = &a.barrier;
    p[1].deadline = CONC_FOREVER;
    test_thread_start(&p[1].thread, NULL, join_in, &p[1]);
    assert_int_equal(conc_event_wait(&a.begun, CONC_FOREVER), 0);
    assert_int_equal(conc_barrier_n_waiting(&a.barrier), 0);
    /* a complete round can no more be timed out, cancelled, broken or reset */
    conc__test_advance(CONC_S(1000));
    conc_scope_cancel(&p[0].scope);
    conc_barrier_abort(&a.barrier);
    conc_barrier_reset(&a.barrier);
    /* it notices, and sleeps again */
    WAIT_UNTIL(load_relaxed(&thread_of(p[0].scope.context)->word) == THREAD_SLEEPING);
    wait_until_n_blocked(&a.barrier, 1);
    conc_event_set(&a.may_end);
    end_parties(p, 1, 0);
    end_parties(p + 1, 1, 1);
    assert_int_equal(a.calls, 1);
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_init_checks_the_parties),
    cmocka_unit_test(test_barrier_of_one_never_waits),
    cmocka_unit_test(test_wait_with_NOW_is_EAGAIN_and_changes_nothing),
    cmocka_unit_test(test_wait_that_times_out_breaks_it),
    cmocka_unit_test(test_wait_when_cancelled_already_breaks_it),
    cmocka_unit_test(test_abort_and_reset_twice_are_harmless),
    cmocka_unit_test(test_each_party_gets_its_own_index_in_order_of_arrival),
    cmocka_unit_test(test_one_that_times_out_sends_the_others_away),
    cmocka_unit_test(test_one_that_is_cancelled_sends_the_others_away),
    cmocka_unit_test(test_one_that_was_cancelled_before_sends_the_others_away),
    cmocka_unit_test(test_abort_sends_all_away_until_reset),
    cmocka_unit_test(test_reset_sends_away_who_waits_and_starts_anew),
    cmocka_unit_test(test_round_that_completes_as_one_times_out_is_complete),
    cmocka_unit_test(test_reset_just_after_one_gave_up_leaves_the_next_round_alone),
    cmocka_unit_test(test_action_runs_once_a_round_in_the_last_party),
    cmocka_unit_test(test_action_that_fails_breaks_the_barrier),
    cmocka_unit_test(test_nobody_goes_on_before_the_action_is_done),
};

TEST_MAIN(tests, 50)
