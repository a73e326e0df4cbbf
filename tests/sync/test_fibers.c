/* SPDX-License-Identifier: MIT
 *
 * test_fibers.c: every primitive between threads, between fibers (tests/support/fibers.h), between
 * tasks, and between them and threads: each scenario runs in all kinds of contexts, and cannot tell
 * in which. Giving up: test_fibers_cancel.c. Queues and futures: test_fibers_values.c.
 */
#include <stdio.h>
#include <string.h>

#include <conc/barrier.h>
#include <conc/bucket.h>
#include <conc/cond.h>
#include <conc/event.h>
#include <conc/lock.h>
#include <conc/rlock.h>
#include <conc/sem.h>

#include "base/atomic.h"
#include "fibers.h"
#include "support.h"

#define CONTEXTS 6
#define ROUNDS 200

#define FOR_ALL_KINDS(kind) for (enum context_kind kind = 0; kind < CONTEXT_KINDS; kind++)

/* ---- Identity ---- */

struct identity {
    uint64_t ids[CONTEXTS];
    conc_context *contexts[CONTEXTS];
    conc_barrier all_there;
};

static void note_identity(size_t i, void *arg)
{
    struct identity *all = arg;
    char message[20], name[20];
    all->ids[i] = conc_context_id(NULL);
    all->contexts[i] = conc_context_current();
    snprintf(message, sizeof message, "message %zu", i);
    snprintf(name, sizeof name, "name %zu", i);
    conc_raise(-EIO, "%s", message);
    conc_context_set_name(name);
    CHECK(conc_barrier_wait(&all->all_there, CONC_FOREVER) >= 0);
    /* the others have raised and named too, meanwhile, and in the same thread perhaps */
    CHECK(!strcmp(conc_error_message(), message));
    CHECK(!strcmp(conc_context_name(conc_context_current()), name));
    CHECK_EQUAL(conc_context_id(NULL), all->ids[i]);
    CHECK(conc_context_current() == all->contexts[i]);
}

static void test_each_context_has_an_identity_of_its_own(void **state)
{
    FOR_ALL_KINDS(kind)
    {
        struct identity all = {.all_there = CONC_BARRIER_INIT(CONTEXTS, NULL, NULL)};
        run_contexts(kind, CONTEXTS, note_identity, &all);
        for (int i = 0; i < CONTEXTS; i++)
            for (int j = 0; j < i; j++) {
                assert_int_not_equal(all.ids[i], all.ids[j]);
                assert_ptr_not_equal(all.contexts[i], all.contexts[j]);
            }
    }
}

struct watched {
    conc_event event;
    uint32_t in_turns, threads; /* fibers or tasks; threads */
};

static int see_kind(const conc_context_info *info, void *arg)
{
    struct watched *w = arg;
    if (info->object == &w->event) {
        CHECK(!strcmp(info->blocked_on, "event"));
        w->in_turns += !strcmp(info->kind, "fiber") || !strcmp(info->kind, "task");
        w->threads += !strcmp(info->kind, "thread");
    }
    return 0;
}

static void watch(size_t i, void *arg)
{
    struct watched *w = arg;
    if (i > 0) {
        CHECK_EQUAL(conc_event_wait(&w->event, CONC_FOREVER), 0);
        return;
    }
    while (w->in_turns + w->threads < CONTEXTS - 1) {
        w->in_turns = w->threads = 0;
        CHECK_EQUAL(conc_context_foreach(see_kind, w), 0);
        conc_yield();
    }
    conc_event_set(&w->event);
}

static void test_registry_shows_contexts_of_all_kinds(void **state)
{
    static const uint32_t in_turns[CONTEXT_KINDS] = {
        [FIBERS] = CONTEXTS - 1,     [TWO_LOOPS] = CONTEXTS - 1,
        [MIXED] = CONTEXTS / 2 - 1,  [TASKS] = CONTEXTS - 1,
        [TASK_LOOPS] = CONTEXTS - 1, [TASKS_AND_THREADS] = CONTEXTS / 2 - 1,
    };
    FOR_ALL_KINDS(kind)
    {
        struct watched w = {.in_turns = 0};
        run_contexts(kind, CONTEXTS, watch, &w);
        assert_int_equal(w.in_turns, in_turns[kind]);
        assert_int_equal(w.threads, CONTEXTS - 1 - in_turns[kind]);
    }
}

/* ---- Locks ---- */

struct locked {
    conc_lock lock;
    conc_rlock rlock;
    unsigned long count; /* under the lock */
    uint32_t inside;
};

static void count_up(struct locked *l, int round)
{
    CHECK_EQUAL(fetch_add_relaxed(&l->inside, 1), 0);
    l->count++;
    if (round % 3 == 0)
        conc_yield(); /* with the lock held */
    fetch_add_relaxed(&l->inside, -1);
}

static void use_lock(size_t i, void *arg)
{
    struct locked *l = arg;
    for (int round = 0; round < ROUNDS; round++) {
        if (round % 4 == 1) {
            int err;
            while ((err = conc_lock_acquire(&l->lock, conc_in(CONC_US(100)))))
                CHECK_EQUAL(err, -ETIMEDOUT);
        } else if (round % 4 == 2) {
            while (conc_lock_try_acquire(&l->lock) != 0)
                conc_yield();
        } else {
            conc_lock_enter(&l->lock);
        }
        count_up(l, round);
        CHECK_EQUAL(conc_lock_release(&l->lock), 0);
    }
}

static void test_lock_in_all_kinds_lets_one_in_at_a_time(void **state)
{
    FOR_ALL_KINDS(kind)
    {
        struct locked l = {.count = 0};
        run_contexts(kind, CONTEXTS, use_lock, &l);
        assert_int_equal(l.count, CONTEXTS * ROUNDS);
        assert_int_equal(l.lock.word, 0);
    }
}

static void use_rlock(size_t i, void *arg)
{
    struct locked *l = arg;
    for (int round = 0; round < ROUNDS; round++) {
        CHECK(!conc_rlock_is_owned(&l->rlock)); /* another in the same thread may own it */
        CHECK_EQUAL(conc_rlock_release(&l->rlock), -EPERM);
        conc_rlock_enter(&l->rlock);
        CHECK_EQUAL(conc_rlock_try_acquire(&l->rlock), 0);
        CHECK_EQUAL(conc_rlock_acquire(&l->rlock, CONC_NOW), 0);
        count_up(l, round);
        for (int j = 0; j < 3; j++)
            CHECK_EQUAL(conc_rlock_release(&l->rlock), 0);
    }
}

static void test_rlock_in_all_kinds_is_owned_by_its_context(void **state)
{
    FOR_ALL_KINDS(kind)
    {
        struct locked l = {.count = 0};
        run_contexts(kind, CONTEXTS, use_rlock, &l);
        assert_int_equal(l.count, CONTEXTS * ROUNDS);
        assert_false(conc_rlock_is_locked(&l.rlock));
    }
}

/* ---- Condition: a turn that goes round ---- */

struct ring {
    conc_lock lock;
    conc_rlock rlock;
    conc_cond cond;
    bool with_rlock;
    size_t turn; /* under the lock */
    unsigned long moves;
};

static bool lock_ring(struct ring *ring)
{
    if (ring->with_rlock)
        conc_rlock_enter(&ring->rlock);
    else
        conc_lock_enter(&ring->lock);
    return true;
}

static void unlock_ring(struct ring *ring)
{
    if (ring->with_rlock)
        CHECK_EQUAL(conc_rlock_release(&ring->rlock), 0);
    else
        CHECK_EQUAL(conc_lock_release(&ring->lock), 0);
}

static void pass_on(size_t i, void *arg)
{
    struct ring *ring = arg;
    for (int round = 0; round < ROUNDS / 4; round++) {
        lock_ring(ring);
        while (ring->turn != i) {
            /* some give up now and then, and come back */
            conc_deadline deadline = i % 3 == 1 ? conc_in(CONC_US(200)) : CONC_FOREVER;
            int err = conc_cond_wait(&ring->cond, deadline);
            CHECK(err == 0 || (err == -ETIMEDOUT && i % 3 == 1));
        }
        ring->turn = (i + 1) % CONTEXTS;
        ring->moves++;
        CHECK_EQUAL(conc_cond_notify_all(&ring->cond), 0);
        unlock_ring(ring);
    }
}

static void test_cond_in_all_kinds_passes_the_turn(void **state)
{
    FOR_ALL_KINDS(kind)
    {
        struct ring ring = {.cond = CONC_COND_INIT(&ring.lock)};
        run_contexts(kind, CONTEXTS, pass_on, &ring);
        assert_int_equal(ring.moves, CONTEXTS * (ROUNDS / 4));
        assert_int_equal(ring.lock.word, 0);
    }
}

static void test_cond_in_all_kinds_passes_the_turn_with_an_rlock(void **state)
{
    FOR_ALL_KINDS(kind)
    {
        struct ring ring = {.cond = CONC_COND_INIT_RLOCK(&ring.rlock), .with_rlock = true};
        run_contexts(kind, CONTEXTS, pass_on, &ring);
        assert_int_equal(ring.moves, CONTEXTS * (ROUNDS / 4));
        assert_false(conc_rlock_is_locked(&ring.rlock));
    }
}

/* ---- Event: each waits for the one before ---- */

struct chain {
    conc_event events[CONTEXTS + 1];
    int value; /* plain: the events order it */
};

static void pass_value(size_t i, void *arg)
{
    struct chain *c = arg;
    i = CONTEXTS - 1 - i; /* the first of the chain starts last */
    if (i == 0)
        conc_event_set(&c->events[0]);
    CHECK_EQUAL(conc_event_wait(&c->events[i], CONC_FOREVER), 0);
    CHECK_EQUAL(c->value, i);
    c->value++;
    conc_event_set(&c->events[i + 1]);
}

static void test_event_in_all_kinds_wakes_who_waits(void **state)
{
    FOR_ALL_KINDS(kind)
    {
        struct chain c = {.value = 0};
        run_contexts(kind, CONTEXTS, pass_value, &c);
        assert_int_equal(c.value, CONTEXTS);
        assert_true(conc_event_is_set(&c.events[CONTEXTS]));
    }
}

/* ---- Semaphore ---- */

#define UNITS 2

struct pool {
    conc_sem sem;
    uint32_t inside;
};

static void use_unit(size_t i, void *arg)
{
    struct pool *p = arg;
    for (int round = 0; round < ROUNDS; round++) {
        conc_deadline deadline = round % 2 ? CONC_FOREVER : conc_in(CONC_US(100));
        int err = conc_sem_acquire(&p->sem, deadline);
        if (err) {
            CHECK_EQUAL(err, -ETIMEDOUT);
            continue;
        }
        CHECK(fetch_add_relaxed(&p->inside, 1) < UNITS);
        if (round % 3 == 0)
            conc_yield();
        fetch_add_relaxed(&p->inside, -1);
        CHECK_EQUAL(conc_sem_release(&p->sem, 1), 0);
    }
}

static void test_sem_in_all_kinds_keeps_its_units(void **state)
{
    FOR_ALL_KINDS(kind)
    {
        struct pool p = {.sem = CONC_SEM_INIT_BOUND(UNITS, UNITS)};
        run_contexts(kind, CONTEXTS, use_unit, &p);
        assert_int_equal(p.sem.word, UNITS);
    }
}

/* ---- Barrier ---- */

struct rounds {
    conc_barrier barrier;
    unsigned long step[CONTEXTS]; /* plain: the barrier orders it */
    uint32_t indexes;             /* their sum */
    unsigned long actions;
};

static int look_at_steps(void *arg)
{
    struct rounds *r = arg;
    for (int i = 1; i < CONTEXTS; i++)
        CHECK_EQUAL(r->step[i], r->step[0]);
    r->actions++;
    return 0;
}

static void walk(size_t i, void *arg)
{
    struct rounds *r = arg;
    for (int round = 0; round < ROUNDS / 2; round++) {
        r->step[i]++;
        int index = conc_barrier_wait(&r->barrier, CONC_FOREVER);
        CHECK(index >= 0);
        fetch_add_relaxed(&r->indexes, (uint32_t)index);
        /* the action has seen the step: the next one may be taken when all have gone on */
        CHECK(conc_barrier_wait(&r->barrier, CONC_FOREVER) >= 0);
    }
}

static void test_barrier_in_all_kinds_gathers_all(void **state)
{
    FOR_ALL_KINDS(kind)
    {
        struct rounds r = {.barrier = CONC_BARRIER_INIT(CONTEXTS, look_at_steps, &r)};
        run_contexts(kind, CONTEXTS, walk, &r);
        assert_int_equal(r.actions, ROUNDS);
        assert_int_equal(r.indexes, ROUNDS / 2 * (CONTEXTS * (CONTEXTS - 1) / 2));
    }
}

static void break_it(size_t i, void *arg)
{
    struct rounds *r = arg;
    int result = conc_barrier_wait(&r->barrier, i == 0 ? conc_in(CONC_MS(5)) : CONC_FOREVER);
    CHECK(i == 0 ? result == -ETIMEDOUT || result == -CONC_EBROKEN : result == -CONC_EBROKEN);
}

static void test_barrier_in_all_kinds_breaks_when_one_gives_up(void **state)
{
    FOR_ALL_KINDS(kind)
    {
        struct rounds r = {.barrier = CONC_BARRIER_INIT(CONTEXTS + 1, NULL, NULL)};
        run_contexts(kind, CONTEXTS, break_it, &r);
        assert_true(conc_barrier_is_broken(&r.barrier));
    }
}

/* ---- Bucket, sleep ---- */

static void take_tokens(size_t i, void *arg)
{
    for (uint32_t n = 0; n < 20; n++)
        CHECK_EQUAL(conc_bucket_take(arg, 1 + n % 3, CONC_FOREVER), 0);
}

static void test_bucket_in_all_kinds_keeps_its_rate(void **state)
{
    FOR_ALL_KINDS(kind)
    {
        conc_bucket b;
        assert_int_equal(conc_bucket_init(&b, 10000, 50), 0);
        int64_t begin = conc_now();
        run_contexts(kind, CONTEXTS, take_tokens, &b);
        double given = CONTEXTS * (7 * 1 + 7 * 2 + 6 * 3);
        assert_true(given <= 10000 * (double)(conc_now() - begin) / 1e9 + 1e-6);
    }
}

static void sleep_a_little(size_t i, void *arg)
{
    for (int j = 0; j < 3; j++) {
        int64_t begin = conc_now();
        CHECK_EQUAL(conc_sleep(CONC_MS(2)), 0);
        CHECK(conc_now() - begin >= CONC_MS(2));
    }
}

static void test_sleep_in_all_kinds_lasts_long_enough(void **state)
{
    FOR_ALL_KINDS(kind)
    run_contexts(kind, CONTEXTS, sleep_a_little, NULL);
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_each_context_has_an_identity_of_its_own),
    cmocka_unit_test(test_registry_shows_contexts_of_all_kinds),
    cmocka_unit_test(test_lock_in_all_kinds_lets_one_in_at_a_time),
    cmocka_unit_test(test_rlock_in_all_kinds_is_owned_by_its_context),
    cmocka_unit_test(test_cond_in_all_kinds_passes_the_turn),
    cmocka_unit_test(test_cond_in_all_kinds_passes_the_turn_with_an_rlock),
    cmocka_unit_test(test_event_in_all_kinds_wakes_who_waits),
    cmocka_unit_test(test_sem_in_all_kinds_keeps_its_units),
    cmocka_unit_test(test_barrier_in_all_kinds_gathers_all),
    cmocka_unit_test(test_barrier_in_all_kinds_breaks_when_one_gives_up),
    cmocka_unit_test(test_bucket_in_all_kinds_keeps_its_rate),
    cmocka_unit_test(test_sleep_in_all_kinds_lasts_long_enough),
};

TEST_MAIN(tests, 50)
