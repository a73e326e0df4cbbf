/* SPDX-License-Identifier: MIT
 *
 * test_sem.c: the semaphore: units, bounds, order of arrival, and its death with the last unit.
 */
#include <sched.h>
#include <stdlib.h>
#include <string.h>

#include <conc/sem.h>

#include "base/hooks.h"
#include "support.h"
#include "sync/words.h"
#include "wait/wait.h"

/* ---- Alone ---- */

static void test_init_checks_value_and_bound(void **state)
{
    static const struct {
        uint32_t value, bound;
        int result;
    } cases[] = {
        {0, 0, 0},
        {5, 0, 0},
        {CONC_SEM_MAX, 0, 0},
        {CONC_SEM_MAX, CONC_SEM_MAX, 0},
        {0, 1, 0},
        {3, 3, 0},
        {4, 3, -EINVAL},
        {CONC_SEM_MAX + 1, 0, -EINVAL},
        {0, CONC_SEM_MAX + 1, -EINVAL},
        {UINT32_MAX, 0, -EINVAL},
        {UINT32_MAX, UINT32_MAX, -EINVAL},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        conc_sem sem;
        memset(&sem, 0xff, sizeof sem);
        assert_int_equal(conc_sem_init(&sem, cases[i].value, cases[i].bound), cases[i].result);
        if (cases[i].result == 0)
            assert_int_equal(conc_sem_value(&sem), cases[i].value);
    }
}

static void test_static_initialisers_have_their_units(void **state)
{
    static conc_sem zero, three = CONC_SEM_INIT(3), two_of_four = CONC_SEM_INIT_BOUND(2, 4);
    assert_int_equal(conc_sem_value(&zero), 0);
    assert_int_equal(conc_sem_value(&three), 3);
    assert_int_equal(conc_sem_release(&three, 1000), 0);
    assert_int_equal(conc_sem_value(&two_of_four), 2);
    assert_int_equal(conc_sem_release(&two_of_four, 3), -EOVERFLOW);
    assert_int_equal(conc_sem_release(&two_of_four, 2), 0);
}

static void test_acquire_takes_one_unit_after_another(void **state)
{
    conc_sem sem = CONC_SEM_INIT(4);
    const conc_deadline deadlines[] = {CONC_FOREVER, CONC_NOW, conc_in(0), conc_in(CONC_S(1))};
    for (uint32_t i = 0; i < 4; i++) {
        assert_int_equal(conc_sem_acquire(&sem, deadlines[i]), 0);
        assert_int_equal(conc_sem_value(&sem), 3 - i);
    }
    assert_int_equal(conc_sem_acquire(&sem, CONC_NOW), -EAGAIN);
    assert_int_equal(conc_sem_acquire(&sem, conc_in(0)), -ETIMEDOUT);
    int64_t before = real_now();
    assert_int_equal(conc_sem_acquire(&sem, conc_in(CONC_MS(10))), -ETIMEDOUT);
    assert_true(real_now() - before >= CONC_MS(10));
    assert_int_equal(sem.word, 0);
}

static void test_release_gives_n_units(void **state)
{
    conc_sem sem = CONC_SEM_INIT(0);
    assert_int_equal(conc_sem_release(&sem, 1), 0);
    assert_int_equal(conc_sem_release(&sem, 6), 0);
    assert_int_equal(conc_sem_value(&sem), 7);
    assert_int_equal(conc_sem_release(&sem, 0), -EINVAL);
    assert_int_equal(conc_sem_value(&sem), 7);
}

static void test_release_beyond_the_bound_gives_nothing(void **state)
{
    static const struct {
        uint32_t value, bound, n;
        int result;
    } cases[] = {
        {0, 1, 1, 0},
        {1, 1, 1, -EOVERFLOW},
        {0, 1, 2, -EOVERFLOW},
        {3, 10, 7, 0},
        {3, 10, 8, -EOVERFLOW},
        {3, 10, UINT32_MAX, -EOVERFLOW},
        {0, 0, CONC_SEM_MAX, 0},
        {1, 0, CONC_SEM_MAX, -EOVERFLOW},
        {CONC_SEM_MAX, 0, 1, -EOVERFLOW},
        {CONC_SEM_MAX, CONC_SEM_MAX, UINT32_MAX, -EOVERFLOW},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        conc_sem sem;
        assert_int_equal(conc_sem_init(&sem, cases[i].value, cases[i].bound), 0);
        assert_int_equal(conc_sem_release(&sem, cases[i].n), cases[i].result);
        uint32_t expected = cases[i].value + (cases[i].result ? 0 : cases[i].n);
        assert_int_equal(conc_sem_value(&sem), expected);
    }
}

/* ---- With others ---- */

struct waiter {
    struct test_thread thread;
    conc_sem *sem;
    uint32_t *last; /* counts the takers that have got one */
    conc_deadline deadline;
    conc_scope scope;
    int result, exit;
    uint32_t place; /* its place in the order of getting one; 0: got none */
};

static void get_unit(void *arg)
{
    struct waiter *w = arg;
    conc_scope_enter(&w->scope, CONC_FOREVER);
    w->result = conc_sem_acquire(w->sem, w->deadline);
    if (w->result == 0)
        w->place = fetch_add_relaxed(w->last, 1) + 1;
    w->exit = conc_scope_exit(&w->scope);
}

static void start_waiters(conc_sem *sem, uint32_t *last, struct waiter *w, int n)
{
    for (int i = 0; i < n; i++) {
        w[i].sem = sem;
        w[i].last = last;
        if (w[i].deadline.ns == 0)
            w[i].deadline = CONC_FOREVER;
        test_thread_start(&w[i].thread, NULL, get_unit, &w[i]);
        wait_until_n_blocked(sem, (size_t)i + 1);
    }
}

static void end_waiters(struct waiter *w, int n)
{
    for (int i = 0; i < n; i++)
        test_thread_join(&w[i].thread);
}

static void test_units_go_to_waiters_in_order_of_arrival(void **state)
{
    conc_sem sem = CONC_SEM_INIT(0);
    uint32_t last = 0;
    struct waiter w[4] = {0};
    start_waiters(&sem, &last, w, 4);
    for (int i = 0; i < 4; i++) {
        assert_int_equal(conc_sem_release(&sem, 1), 0);
        /* it was given: a taker that comes now cannot be faster */
        assert_int_equal(conc_sem_value(&sem), 0);
        assert_int_equal(conc_sem_acquire(&sem, CONC_NOW), -EAGAIN);
        test_thread_join(&w[i].thread);
        assert_int_equal(w[i].result, 0);
        assert_int_equal(w[i].place, i + 1);
    }
    assert_int_equal(sem.word, 0);
}

static void test_release_n_serves_waiters_and_keeps_the_rest(void **state)
{
    conc_sem sem = CONC_SEM_INIT(0);
    uint32_t last = 0;
    struct waiter w[5] = {0};
    start_waiters(&sem, &last, w, 5);
    assert_int_equal(conc_sem_release(&sem, 3), 0);
    end_waiters(w, 3);
    wait_until_n_blocked(&sem, 2);
    assert_int_equal(sem.word, SEM_WAITERS);
    assert_int_equal(conc_sem_release(&sem, 6), 0);
    end_waiters(w + 3, 2);
    assert_int_equal(sem.word, 4);
}

static void test_bound_counts_the_units_not_the_waiters(void **state)
{
    conc_sem sem = CONC_SEM_INIT_BOUND(0, 2);
    uint32_t last = 0;
    struct waiter w = {.place = 0};
    start_waiters(&sem, &last, &w, 1);
    assert_int_equal(conc_sem_release(&sem, 3), -EOVERFLOW); /* as Python's BoundedSemaphore */
    wait_until_n_blocked(&sem, 1);
    assert_int_equal(conc_sem_release(&sem, 2), 0);
    end_waiters(&w, 1);
    assert_int_equal(conc_sem_value(&sem), 1);
}

static void test_who_gives_up_takes_none_and_leaves_the_order(void **state)
{
    conc_sem sem = CONC_SEM_INIT(0);
    uint32_t last = 0;
    struct waiter w[4] = {[1] = {.deadline = conc_in(CONC_S(900))}};
    start_waiters(&sem, &last, w, 4);
    conc_scope_cancel(&w[0].scope);
    conc__test_advance(CONC_S(1000));
    wait_until_n_blocked(&sem, 2);
    assert_int_equal(conc_sem_release(&sem, 1), 0);
    test_thread_join(&w[2].thread);
    assert_int_equal(conc_sem_release(&sem, 1), 0);
    test_thread_join(&w[3].thread);
    end_waiters(w, 2);
    static const int results[] = {-ECANCELED, -ETIMEDOUT, 0, 0};
    static const uint32_t places[] = {0, 0, 1, 2};
    for (int i = 0; i < 4; i++) {
        assert_int_equal(w[i].result, results[i]);
        assert_int_equal(w[i].place, places[i]);
    }
    assert_int_equal(w[0].exit, -ECANCELED);
    assert_int_equal(sem.word, 0);
}

static void test_unit_that_races_a_time_out_is_taken(void **state)
{
    conc_sem sem = CONC_SEM_INIT(0);
    uint32_t last = 0;
    struct waiter w = {.deadline = conc_in(CONC_S(900))};
    start_waiters(&sem, &last, &w, 1);
    guard_lock(&sem.word); /* as release() does */
    conc__test_advance(CONC_S(1000));
    WAIT_UNTIL(load_relaxed(&sem.word) & GUARD_SLEEPERS); /* it is giving up */
    struct conc__waiter *chain = conc__waitlist_take(&sem.waiters, 1, NULL);
    guard_unlock_with(&sem.word, SEM_WAITERS, 0);
    conc__waiter_deliver_all(chain, 0);
    end_waiters(&w, 1);
    assert_int_equal(w.result, 0);
}

/* ---- Stress ---- */

#define THREADS 8
#define UNITS 3

struct pool {
    conc_sem sem;
    uint32_t inside;
    struct stress stress;
    unsigned long timed_out, cancelled; /* atomic */
};

struct user {
    struct test_thread thread;
    struct pool *pool;
    struct test_random random;
};

static int acquire_somehow(struct user *u)
{
    struct pool *p = u->pool;
    conc_scope scope;
    conc_deadline soon = conc_in((int64_t)test_random_below(&u->random, CONC_US(50)));
    int err, why;
    switch (test_random_below(&u->random, 4)) {
    case 0:
        err = conc_sem_acquire(&p->sem, CONC_NOW);
        CHECK(err == 0 || err == -EAGAIN);
        return err;
    case 1:
        err = conc_sem_acquire(&p->sem, soon);
        CHECK(err == 0 || err == -ETIMEDOUT);
        fetch_add_relaxed(&p->timed_out, err != 0);
        return err;
    case 2:
        conc_scope_enter(&scope, soon);
        err = conc_sem_acquire(&p->sem, CONC_FOREVER);
        why = conc_scope_exit(&scope);
        CHECK(err == 0 ? why == 0 : err == -ECANCELED && why == -ETIMEDOUT);
        fetch_add_relaxed(&p->cancelled, err != 0);
        return err;
    default:
        CHECK_EQUAL(conc_sem_acquire(&p->sem, CONC_FOREVER), 0);
        return 0;
    }
}

static void use_pool(void *arg)
{
    struct user *u = arg;
    struct pool *p = u->pool;
    while (stress_goes_on(&p->stress)) {
        if (acquire_somehow(u))
            continue;
        CHECK(fetch_add_relaxed(&p->inside, 1) < UNITS);
        if (test_random_below(&u->random, 4) == 0)
            conc_yield();
        fetch_add_relaxed(&p->inside, -1);
        CHECK_EQUAL(conc_sem_release(&p->sem, 1), 0);
    }
}

static void test_units_are_neither_lost_nor_made(void **state)
{
    struct pool p = {.sem = CONC_SEM_INIT_BOUND(UNITS, UNITS), .stress = stress_begin()};
    struct user u[THREADS];
    for (unsigned i = 0; i < THREADS; i++) {
        u[i] = (struct user){.pool = &p, .random = test_random_for(i)};
        test_thread_start(&u[i].thread, NULL, use_pool, &u[i]);
    }
    for (int i = 0; i < THREADS; i++)
        test_thread_join(&u[i].thread);
    assert_int_equal(p.sem.word, UNITS);
    assert_true(p.timed_out > 0 && p.cancelled > 0);
}

/* ---- Freed by the taker of the last unit ---- */

struct desk {
    conc_sem *sem; /* NULL: none to be released. Atomic */
    uint32_t stop;
};

/* Up to a few hundred nanoseconds: so that each comes at any moment of what the other does. */
static void dawdle(struct test_random *r)
{
    for (volatile unsigned n = (unsigned)test_random_below(r, 200); n > 0;)
        n--;
}

static void release_what_comes(void *arg)
{
    struct desk *desk = arg;
    struct test_random r = test_random_for(conc_context_id(NULL));
    for (unsigned i = 1; !load_relaxed(&desk->stop); i++) {
        if (i % 1000 == 0)
            sched_yield(); /* or two threads on one core would only take turns */
        conc_sem *sem = __atomic_exchange_n(&desk->sem, NULL, __ATOMIC_ACQ_REL);
        if (sem) {
            dawdle(&r);
            CHECK_EQUAL(conc_sem_release(sem, 2), 0); /* may be gone before this returns */
        }
    }
}

static void test_sem_may_be_freed_by_who_gets_its_last_unit(void **state)
{
    struct desk desk = {.sem = NULL};
    struct test_thread t;
    struct test_random r = test_random_for(0);
    test_thread_start(&t, NULL, release_what_comes, &desk);
    struct stress stress = stress_begin();
    for (unsigned how = 0; stress_goes_on(&stress); how++) {
        conc_sem *sem = calloc(1, sizeof *sem);
        assert_non_null(sem);
        __atomic_store_n(&desk.sem, sem, __ATOMIC_RELEASE);
        dawdle(&r);
        for (unsigned i = 0; i < 2; i++)
            if ((how + i) % 3)
                assert_int_equal(conc_sem_acquire(sem, CONC_FOREVER), 0);
            else
                while (conc_sem_acquire(sem, CONC_NOW) == -EAGAIN)
                    conc_yield();
        free(sem);
    }
    store_relaxed(&desk.stop, 1);
    test_thread_join(&t);
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_init_checks_value_and_bound),
    cmocka_unit_test(test_static_initialisers_have_their_units),
    cmocka_unit_test(test_acquire_takes_one_unit_after_another),
    cmocka_unit_test(test_release_gives_n_units),
    cmocka_unit_test(test_release_beyond_the_bound_gives_nothing),
    cmocka_unit_test(test_units_go_to_waiters_in_order_of_arrival),
    cmocka_unit_test(test_release_n_serves_waiters_and_keeps_the_rest),
    cmocka_unit_test(test_bound_counts_the_units_not_the_waiters),
    cmocka_unit_test(test_who_gives_up_takes_none_and_leaves_the_order),
    cmocka_unit_test(test_unit_that_races_a_time_out_is_taken),
    cmocka_unit_test(test_units_are_neither_lost_nor_made),
    cmocka_unit_test(test_sem_may_be_freed_by_who_gets_its_last_unit),
};

TEST_MAIN(tests, 50)
