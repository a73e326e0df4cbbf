/* SPDX-License-Identifier: MIT
 *
 * test_barrier_stress.c: rounds upon rounds; more threads than parties; and parties that give up,
 * while others abort and reset.
 */
#include <conc/barrier.h>
#include <conc/context.h>

#include "base/atomic.h"
#include "support.h"

#define THREADS 7

/* ---- All come before any goes on ---- */

struct lockstep {
    conc_barrier barrier;
    unsigned long step[THREADS]; /* plain: the barrier orders it */
    unsigned long indexes;       /* of the round, as bits; atomic */
    struct stress stress;
    bool over;
};

struct walker {
    struct test_thread thread;
    struct lockstep *all;
    unsigned index;
};

/* The last to come looks at all, while none goes on. */
static int look_at_steps(void *arg)
{
    struct lockstep *l = arg;
    for (int i = 1; i < THREADS; i++)
        CHECK_EQUAL(l->step[i], l->step[0]);
    l->over = !stress_goes_on(&l->stress);
    return 0;
}

static void walk(void *arg)
{
    struct walker *w = arg;
    struct lockstep *l = w->all;
    while (!l->over) {
        l->step[w->index]++;
        int index = conc_barrier_wait(&l->barrier, CONC_FOREVER);
        CHECK(index >= 0 && index < THREADS);
        fetch_add_relaxed(&l->indexes, 1ul << (8 * index));
        for (int i = 0; i < THREADS; i++)
            CHECK_EQUAL(l->step[i], l->step[w->index]);
        /* a second round, so that nobody steps on while others look */
        CHECK(conc_barrier_wait(&l->barrier, CONC_FOREVER) >= 0);
        if (index == 0) {
            CHECK_EQUAL(l->indexes, 0x01010101010101ul); /* each index, once */
            l->indexes = 0;
        }
        CHECK(conc_barrier_wait(&l->barrier, CONC_FOREVER) >= 0);
    }
}

static void test_all_come_before_anybody_goes_on(void **state)
{
    struct lockstep l = {.stress = stress_begin()};
    struct walker w[THREADS];
    assert_int_equal(conc_barrier_init(&l.barrier, THREADS, look_at_steps, &l), 0);
    for (unsigned i = 0; i < THREADS; i++) {
        w[i] = (struct walker){.all = &l, .index = i};
        test_thread_start(&w[i].thread, NULL, walk, &w[i]);
    }
    for (int i = 0; i < THREADS; i++)
        test_thread_join(&w[i].thread);
    assert_true(l.step[0] > 1);
}

/* ---- Whatever happens, a round is complete or it is not ---- */

#define PARTIES 3

struct crowd {
    conc_barrier barrier;
    bool with_trouble;
    unsigned long rounds;              /* counted by the action */
    unsigned long with_index[PARTIES]; /* how often a wait gave that index; atomic */
    unsigned long broken, timed_out, cancelled;
    struct stress stress;
};

struct member {
    struct test_thread thread;
    struct crowd *crowd;
    struct test_random random;
};

static int count_round(void *arg)
{
    struct crowd *c = arg;
    c->rounds++; /* plain: only one action runs at a time */
    if (c->rounds % 8 == 0)
        conc_yield();
    return 0;
}

static int wait_somehow(struct member *m)
{
    struct crowd *c = m->crowd;
    conc_deadline soon = conc_in((int64_t)test_random_below(&m->random, CONC_US(300)));
    switch (c->with_trouble ? test_random_below(&m->random, 8) : 8) {
    case 0:
        return conc_barrier_wait(&c->barrier, CONC_NOW);
    case 1:
        return conc_barrier_wait(&c->barrier, soon);
    case 2: {
        conc_scope scope;
        conc_scope_enter(&scope, soon);
        int result = conc_barrier_wait(&c->barrier, CONC_FOREVER);
        int why = conc_scope_exit(&scope);
        CHECK((result == -ECANCELED) == (why == -ETIMEDOUT));
        return result;
    }
    case 3:
        conc_barrier_abort(&c->barrier);
        return -EAGAIN;
    default:
        return conc_barrier_wait(&c->barrier, CONC_FOREVER);
    }
}

static void come_and_go(void *arg)
{
    struct member *m = arg;
    struct crowd *c = m->crowd;
    while (stress_goes_on(&c->stress)) {
        int result = wait_somehow(m);
        CHECK(result < PARTIES);
        if (result >= 0)
            fetch_add_relaxed(&c->with_index[result], 1);
        else if (result == -CONC_EBROKEN)
            fetch_add_relaxed(&c->broken, 1);
        else if (result == -ETIMEDOUT)
            fetch_add_relaxed(&c->timed_out, 1);
        else if (result == -ECANCELED)
            fetch_add_relaxed(&c->cancelled, 1);
        else
            CHECK_EQUAL(result, -EAGAIN);
        if (result < 0 && test_random_below(&m->random, 2) && stress_goes_on(&c->stress))
            conc_barrier_reset(&c->barrier);
    }
}

/* When the time is over the members that are left are too few: send them away, until none is
 * left. */
static void end_members(struct crowd *c, struct member *m)
{
    while (stress_goes_on(&c->stress))
        conc_sleep(CONC_MS(1));
    for (int i = 0; i < THREADS; i++) {
        while (pthread_tryjoin_np(m[i].thread.id, NULL) != 0) {
            conc_barrier_abort(&c->barrier);
            conc_yield();
        }
    }
}

static void run_crowd(bool with_trouble)
{
    struct crowd c = {.with_trouble = with_trouble, .stress = stress_begin()};
    struct member m[THREADS];
    assert_int_equal(conc_barrier_init(&c.barrier, PARTIES, count_round, &c), 0);
    for (unsigned i = 0; i < THREADS; i++) {
        m[i] = (struct member){.crowd = &c, .random = test_random_for(i)};
        test_thread_start(&m[i].thread, NULL, come_and_go, &m[i]);
    }
    end_members(&c, m);
    assert_true(c.rounds > 0);
    for (int i = 0; i < PARTIES; i++)
        assert_int_equal(c.with_index[i], c.rounds);
    assert_int_equal(conc_barrier_n_waiting(&c.barrier), 0);
    if (with_trouble)
        assert_true(c.broken > 0 && c.timed_out > 0 && c.cancelled > 0);
}

static void test_more_threads_than_parties_make_whole_rounds(void **state) { run_crowd(false); }

static void test_in_trouble_a_round_is_complete_for_all_or_for_none(void **state)
{
    run_crowd(true);
}

static void test_on_one_core_a_round_is_complete_for_all_or_for_none(void **state)
{
    use_one_core();
    run_crowd(true);
    use_all_cores();
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_all_come_before_anybody_goes_on),
    cmocka_unit_test(test_more_threads_than_parties_make_whole_rounds),
    cmocka_unit_test(test_in_trouble_a_round_is_complete_for_all_or_for_none),
    cmocka_unit_test(test_on_one_core_a_round_is_complete_for_all_or_for_none),
};

TEST_MAIN(tests, 100)
