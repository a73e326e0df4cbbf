/* SPDX-License-Identifier: MIT
 *
 * test_cond_stress.c: no notification is lost, whichever waiter gives up; and many pass the lock
 * round.
 */
#include <stdlib.h>

#include <conc/cond.h>

#include "base/atomic.h"
#include "support.h"

/* ---- No notification is lost ---- */

/* A few items are put, with one notification for each. Patient consumers wait for ever. Impatient
 * ones leave with an error, and then don't look whether there is an item: if one of them swallowed
 * a notification an item would stay, and with it the producer, which waits until there is none. */

struct market {
    conc_lock lock;
    conc_rlock rlock;
    conc_cond cond, sold_out;
    bool with_rlock;
    unsigned long items, put, got; /* under the lock */
    unsigned long timed_out, cancelled;
    bool closed;
    struct stress stress;
};

struct consumer {
    struct test_thread thread;
    struct market *market;
    struct test_random random;
    bool patient;
    pthread_mutex_t mutex; /* of the next */
    conc_scope *scope;     /* that the canceller may cancel */
};

static void enter(struct market *m)
{
    if (m->with_rlock)
        conc_rlock_enter(&m->rlock);
    else
        conc_lock_enter(&m->lock);
}

static void leave(struct market *m)
{
    CHECK_EQUAL(m->with_rlock ? conc_rlock_release(&m->rlock) : conc_lock_release(&m->lock), 0);
}

/* Under the lock. */
static int wait_for_item(struct market *m, conc_deadline deadline)
{
    int err = 0;
    while (m->items == 0 && !m->closed && !err)
        err = conc_cond_wait(&m->cond, deadline);
    if (!err && m->items > 0) {
        m->got++;
        if (--m->items == 0)
            CHECK_EQUAL(conc_cond_notify_all(&m->sold_out), 0);
    }
    return err;
}

static void set_scope(struct consumer *c, conc_scope *scope)
{
    pthread_mutex_lock(&c->mutex);
    c->scope = scope;
    pthread_mutex_unlock(&c->mutex);
}

static void try_to_get(struct consumer *c)
{
    struct market *m = c->market;
    conc_scope scope;
    bool timed = test_random_below(&c->random, 2);
    conc_deadline deadline = CONC_FOREVER;
    if (timed)
        deadline = conc_in((int64_t)test_random_below(&c->random, CONC_US(100)));
    conc_scope_enter(&scope, CONC_FOREVER);
    set_scope(c, &scope);
    enter(m);
    int err = wait_for_item(m, deadline);
    CHECK(err == 0 || err == -ECANCELED || (err == -ETIMEDOUT && timed));
    m->timed_out += err == -ETIMEDOUT;
    m->cancelled += err == -ECANCELED;
    leave(m);
    set_scope(c, NULL);
    int why = conc_scope_exit(&scope);
    CHECK((why != 0) == (err == -ECANCELED));
}

static bool is_closed(struct market *m)
{
    enter(m);
    bool closed = m->closed;
    leave(m);
    return closed;
}

static void consume(void *arg)
{
    struct consumer *c = arg;
    while (!is_closed(c->market)) {
        if (c->patient) {
            enter(c->market);
            CHECK_EQUAL(wait_for_item(c->market, CONC_FOREVER), 0);
            leave(c->market);
        } else {
            try_to_get(c);
        }
    }
}

#define CONSUMERS 8

static void cancel_some(struct consumer *c, struct test_random *r)
{
    c = &c[test_random_below(r, CONSUMERS)];
    pthread_mutex_lock(&c->mutex);
    if (c->scope)
        conc_scope_cancel(c->scope);
    pthread_mutex_unlock(&c->mutex);
}

/* Put a few items, and wait until they are gone. */
static void sell(struct market *m, struct consumer *c, struct test_random *r)
{
    size_t n = 1 + test_random_below(r, 3);
    enter(m);
    m->items += n;
    m->put += n;
    if (test_random_below(r, 2)) {
        CHECK_EQUAL(conc_cond_notify(&m->cond, n), 0);
    } else {
        for (size_t i = 0; i < n; i++)
            CHECK_EQUAL(conc_cond_notify(&m->cond, 1), 0);
    }
    leave(m);
    cancel_some(c, r);
    enter(m);
    while (m->items > 0)
        CHECK_EQUAL(conc_cond_wait(&m->sold_out, CONC_FOREVER), 0);
    leave(m);
}

static void run_market(bool with_rlock)
{
    struct market m = {.with_rlock = with_rlock, .stress = stress_begin()};
    struct consumer c[CONSUMERS] = {0};
    struct test_random r = test_random_for(99);
    if (with_rlock) {
        conc_cond_init_rlock(&m.cond, &m.rlock);
        conc_cond_init_rlock(&m.sold_out, &m.rlock);
    } else {
        conc_cond_init(&m.cond, &m.lock);
        conc_cond_init(&m.sold_out, &m.lock);
    }
    for (unsigned i = 0; i < CONSUMERS; i++) {
        pthread_mutex_init(&c[i].mutex, NULL);
        c[i].market = &m;
        c[i].patient = i < 2;
        c[i].random = test_random_for(i);
        test_thread_start(&c[i].thread, i < 2 ? "patient" : "impatient", consume, &c[i]);
    }
    while (stress_goes_on(&m.stress))
        sell(&m, c, &r);
    enter(&m);
    m.closed = true;
    CHECK_EQUAL(conc_cond_notify_all(&m.cond), 0);
    leave(&m);
    for (int i = 0; i < CONSUMERS; i++)
        test_thread_join(&c[i].thread);
    assert_int_equal(m.got, m.put);
    assert_int_equal(m.items, 0);
    assert_true(m.put > 0 && m.timed_out > 0 && m.cancelled > 0);
}

static void test_no_notification_is_lost_whoever_gives_up(void **state) { run_market(false); }

static void test_no_notification_is_lost_with_an_rlock(void **state) { run_market(true); }

static void test_no_notification_is_lost_on_one_core(void **state)
{
    use_one_core();
    run_market(false);
    use_all_cores();
}

/* ---- Round and round ---- */

struct ring {
    conc_lock lock;
    conc_cond cond;
    unsigned turn, players; /* under the lock */
    unsigned long rounds;
    struct stress stress;
    bool over;
};

struct player {
    struct test_thread thread;
    struct ring *ring;
    unsigned index;
};

static void play(void *arg)
{
    struct player *p = arg;
    struct ring *ring = p->ring;
    conc_lock_enter(&ring->lock);
    for (;;) {
        while (!ring->over && ring->turn != p->index)
            CHECK_EQUAL(conc_cond_wait(&ring->cond, CONC_FOREVER), 0);
        if (ring->over)
            break;
        ring->turn = (ring->turn + 1) % ring->players;
        ring->rounds++;
        ring->over = !stress_goes_on(&ring->stress);
        CHECK_EQUAL(conc_cond_notify_all(&ring->cond), 0);
    }
    CHECK_EQUAL(conc_lock_release(&ring->lock), 0);
}

static void test_many_pass_the_turn_round(void **state)
{
    struct ring ring = {.cond = CONC_COND_INIT(&ring.lock), .players = 16};
    struct player p[16];
    ring.stress = stress_begin();
    for (unsigned i = 0; i < 16; i++) {
        p[i] = (struct player){.ring = &ring, .index = i};
        test_thread_start(&p[i].thread, NULL, play, &p[i]);
    }
    for (unsigned i = 0; i < 16; i++)
        test_thread_join(&p[i].thread);
    assert_true(ring.rounds > 16);
    assert_int_equal(ring.lock.word, 0);
    assert_int_equal(ring.cond.word, 0);
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_no_notification_is_lost_whoever_gives_up),
    cmocka_unit_test(test_no_notification_is_lost_with_an_rlock),
    cmocka_unit_test(test_no_notification_is_lost_on_one_core),
    cmocka_unit_test(test_many_pass_the_turn_round),
};

TEST_MAIN(tests, 100)
