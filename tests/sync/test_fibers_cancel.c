/* SPDX-License-Identifier: MIT
 *
 * test_fibers_cancel.c: time-outs and cancels of contexts of all kinds, blocked on every primitive,
 * by contexts of all kinds.
 */
#include <string.h>

#include <conc/barrier.h>
#include <conc/bucket.h>
#include <conc/cond.h>
#include <conc/event.h>
#include <conc/lock.h>
#include <conc/queue.h>
#include <conc/rlock.h>
#include <conc/sem.h>

#include "base/atomic.h"
#include "fibers.h"
#include "support.h"

#define FOR_ALL_KINDS(kind) for (enum context_kind kind = 0; kind < CONTEXT_KINDS; kind++)

/* ---- One context blocked on each primitive ---- */

struct objects {
    conc_lock lock, free_lock;
    conc_rlock rlock;
    conc_cond cond;
    conc_event event;
    conc_sem sem;
    conc_barrier barrier;
    conc_bucket bucket;
    conc_queue queue;
};

static int block_on_lock(struct objects *o, conc_deadline d)
{
    return conc_lock_acquire(&o->lock, d);
}

static int block_on_rlock(struct objects *o, conc_deadline d)
{
    return conc_rlock_acquire(&o->rlock, d);
}

static int block_on_cond(struct objects *o, conc_deadline d)
{
    int result = -1;
    conc_with_lock (&o->free_lock)
        result = conc_cond_wait(&o->cond, d);
    return result;
}

static int block_on_event(struct objects *o, conc_deadline d)
{
    return conc_event_wait(&o->event, d);
}

static int block_on_sem(struct objects *o, conc_deadline d) { return conc_sem_acquire(&o->sem, d); }

static int block_on_barrier(struct objects *o, conc_deadline d)
{
    return conc_barrier_wait(&o->barrier, d);
}

static int block_on_bucket(struct objects *o, conc_deadline d)
{
    return conc_bucket_take(&o->bucket, 1, d);
}

static int block_on_get(struct objects *o, conc_deadline d)
{
    int item;
    return conc_queue_get(&o->queue, &item, d);
}

/* A sleep that ends has not failed. */
static int block_in_sleep(struct objects *o, conc_deadline d)
{
    int err = conc_sleep_until(d);
    return err ? err : -ETIMEDOUT;
}

static int (*const block[])(struct objects *o, conc_deadline d) = {
    block_on_lock,    block_on_rlock,  block_on_cond, block_on_event, block_on_sem,
    block_on_barrier, block_on_bucket, block_on_get,  block_in_sleep,
};

#define BLOCKED (sizeof block / sizeof *block)

struct scene {
    struct objects o;
    conc_scope scopes[BLOCKED];
    conc_event over; /* the owner of the locks may end */
    uint32_t ready;  /* the locks are held */
    uint32_t left;
    int results[BLOCKED], exits[BLOCKED];
    conc_deadline deadline;
};

static void scene_init(struct scene *s)
{
    memset(s, 0, sizeof *s);
    conc_cond_init(&s->o.cond, &s->o.free_lock);
    CHECK_EQUAL(conc_barrier_init(&s->o.barrier, 2, NULL, NULL), 0);
    CHECK_EQUAL(conc_bucket_init(&s->o.bucket, 1e-9, 1), 0);
    CHECK_EQUAL(conc_queue_init(&s->o.queue, sizeof(int), 1, CONC_FIFO), 0);
    s->left = BLOCKED;
    s->deadline = CONC_FOREVER;
}

/* A loop whose tasks are all blocked sleeps itself: it does not count. */
static int count_blocked(const conc_context_info *info, void *arg)
{
    *(size_t *)arg += info->blocked_on && strcmp(info->blocked_on, "loop") != 0;
    return 0;
}

/* The last of the contexts: holds the locks, and cancels all the others once they are blocked. */
static void hold_and_cancel(struct scene *s, bool cancel)
{
    conc_lock_enter(&s->o.lock);
    conc_rlock_enter(&s->o.rlock);
    store_release(&s->ready, 1);
    for (size_t n = 0; cancel && n < BLOCKED; conc_yield()) {
        n = 0;
        CHECK_EQUAL(conc_context_foreach(count_blocked, &n), 0);
    }
    for (size_t i = 0; cancel && i < BLOCKED; i++)
        conc_scope_cancel(&s->scopes[i]);
    CHECK_EQUAL(conc_event_wait(&s->over, CONC_FOREVER), 0);
    CHECK_EQUAL(conc_lock_release(&s->o.lock), 0);
    CHECK_EQUAL(conc_rlock_release(&s->o.rlock), 0);
}

static void be_blocked(struct scene *s, size_t i)
{
    while (!load_acquire(&s->ready))
        conc_yield();
    conc_scope_enter(&s->scopes[i], CONC_FOREVER);
    s->results[i] = block[i](&s->o, s->deadline);
    s->exits[i] = conc_scope_exit(&s->scopes[i]);
    if (fetch_sub_acq_rel(&s->left, 1) == 1)
        conc_event_set(&s->over);
}

static void take_part_in_cancel(size_t i, void *arg)
{
    if (i == BLOCKED)
        hold_and_cancel(arg, true);
    else
        be_blocked(arg, i);
}

static void take_part_in_timeout(size_t i, void *arg)
{
    if (i == BLOCKED)
        hold_and_cancel(arg, false);
    else
        be_blocked(arg, i);
}

static void test_cancel_ends_every_wait_in_all_kinds(void **state)
{
    FOR_ALL_KINDS(kind)
    {
        struct scene s;
        scene_init(&s);
        run_contexts(kind, BLOCKED + 1, take_part_in_cancel, &s);
        for (size_t i = 0; i < BLOCKED; i++) {
            assert_int_equal(s.results[i], -ECANCELED);
            assert_int_equal(s.exits[i], -ECANCELED);
        }
        conc_queue_destroy(&s.o.queue);
    }
}

static void test_deadline_ends_every_wait_in_all_kinds(void **state)
{
    FOR_ALL_KINDS(kind)
    {
        struct scene s;
        scene_init(&s);
        s.deadline = conc_in(CONC_MS(5));
        run_contexts(kind, BLOCKED + 1, take_part_in_timeout, &s);
        for (size_t i = 0; i < BLOCKED; i++) {
            assert_int_equal(s.results[i], -ETIMEDOUT);
            assert_int_equal(s.exits[i], 0);
        }
        conc_queue_destroy(&s.o.queue);
    }
}

/* ---- Units between contexts that give up ---- */

#define CONTEXTS 7

struct mint {
    conc_sem sem;
    conc_lock lock; /* of the scopes */
    conc_scope *scopes[CONTEXTS];
    unsigned long got, given; /* atomic */
    unsigned long timed_out, cancelled;
    uint32_t left;
    struct stress stress;
};

/* Registered under the lock, so that it is not left while it is being cancelled. */
static void set_scope(struct mint *m, size_t i, conc_scope *scope)
{
    conc_with_lock (&m->lock)
        m->scopes[i] = scope;
}

static void get_units(struct mint *m, size_t i)
{
    struct test_random r = test_random_for((unsigned)i);
    while (stress_goes_on(&m->stress)) {
        conc_scope scope;
        conc_deadline deadline = conc_in((int64_t)test_random_below(&r, CONC_US(300)));
        bool timed = test_random_below(&r, 2);
        conc_scope_enter(&scope, timed ? CONC_FOREVER : deadline);
        set_scope(m, i, &scope);
        int err = conc_sem_acquire(&m->sem, timed ? deadline : CONC_FOREVER);
        set_scope(m, i, NULL);
        int why = conc_scope_exit(&scope);
        CHECK((why != 0) == (err == -ECANCELED));
        CHECK(err == 0 || err == -ECANCELED || (err == -ETIMEDOUT && timed));
        fetch_add_relaxed(&m->got, err == 0);
        fetch_add_relaxed(&m->timed_out, err == -ETIMEDOUT);
        fetch_add_relaxed(&m->cancelled, err == -ECANCELED);
    }
    fetch_add_relaxed(&m->left, -1);
}

static void give_and_cancel(struct mint *m)
{
    struct test_random r = test_random_for(77);
    while (load_relaxed(&m->left) > 0) {
        uint32_t n = 1 + (uint32_t)test_random_below(&r, 2);
        CHECK_EQUAL(conc_sem_release(&m->sem, n), 0);
        fetch_add_relaxed(&m->given, n);
        conc_with_lock (&m->lock) {
            conc_scope *scope = m->scopes[test_random_below(&r, CONTEXTS)];
            if (scope)
                conc_scope_cancel(scope);
        }
        if (test_random_below(&r, 2))
            conc_sleep(CONC_US(100));
        else
            conc_yield();
    }
}

static void take_part_in_mint(size_t i, void *arg)
{
    if (i == CONTEXTS - 1)
        give_and_cancel(arg);
    else
        get_units(arg, i);
}

static void test_no_unit_is_lost_in_all_kinds(void **state)
{
    FOR_ALL_KINDS(kind)
    {
        struct mint m = {.stress = stress_begin(), .left = CONTEXTS - 1};
        run_contexts(kind, CONTEXTS, take_part_in_mint, &m);
        assert_int_equal(m.got + conc_sem_value(&m.sem), m.given);
        assert_true(m.got > 0 && m.timed_out > 0 && m.cancelled > 0);
    }
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_cancel_ends_every_wait_in_all_kinds),
    cmocka_unit_test(test_deadline_ends_every_wait_in_all_kinds),
    cmocka_unit_test(test_no_unit_is_lost_in_all_kinds),
};

TEST_MAIN(tests, 100)
