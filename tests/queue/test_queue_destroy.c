/* SPDX-License-Identifier: MIT
 *
 * test_queue_destroy.c: queues that are destroyed the moment they are done with: by the context
 * that got the last element, or was told that all is dealt with, or that the queue is shut down,
 * while the call that brought it about is still on its way out. Their memory is overwritten and
 * freed at once, so that a late touch is seen, above all by the sanitizers.
 */
#include <stdlib.h>
#include <string.h>

#include "base/atomic.h"
#include "queue_calls.h"

enum { PUTTERS = 2, GETTERS = 2, EACH = 3 };

struct round {
    conc_queue *queue; /* allocated: a touch after its end is seen by the sanitizers */
    uint32_t getters_left;
};

struct rounds {
    pthread_barrier_t begin, end;
    struct round round;
    bool over;
};

struct player {
    struct test_thread thread;
    struct rounds *rounds;
    struct test_random random;
};

static void destroy_and_free(conc_queue *q)
{
    conc_queue_destroy(q);
    memset(q, 0xff, sizeof *q); /* a context that takes its guard waits for ever */
    free(q);
}

/* A deadline that comes about when the call is served. */
static conc_deadline tight_deadline(struct test_random *r)
{
    return test_random_below(r, 4) ? conc_in((int64_t)test_random_below(r, CONC_US(20)))
                                   : CONC_FOREVER;
}

static void put_each(struct player *p)
{
    conc_queue *q = p->rounds->round.queue;
    for (int i = 0; i < EACH;) {
        int err = conc_queue_put(q, &i, tight_deadline(&p->random));
        CHECK(!err || err == -ETIMEDOUT);
        i += !err; /* after the last one the queue may be gone */
    }
}

static void get_each(struct player *p)
{
    conc_queue *q = p->rounds->round.queue;
    for (int i = 0; i < EACH;) {
        int item, err = conc_queue_get(q, &item, tight_deadline(&p->random));
        CHECK(!err || err == -ETIMEDOUT);
        i += !err;
    }
    if (fetch_sub_acq_rel(&p->rounds->round.getters_left, 1) == 1)
        destroy_and_free(q);
}

static void play(struct player *p, void (*turn)(struct player *p))
{
    for (;;) {
        pthread_barrier_wait(&p->rounds->begin);
        if (p->rounds->over)
            return;
        turn(p);
        pthread_barrier_wait(&p->rounds->end);
    }
}

static void putter_main(void *arg) { play(arg, put_each); }
static void getter_main(void *arg) { play(arg, get_each); }

static void start_players(struct rounds *rounds, struct player *players, size_t n,
                          void (*fn)(void *arg))
{
    for (size_t i = 0; i < n; i++) {
        players[i] = (struct player){.rounds = rounds, .random = test_random_for((unsigned)i)};
        test_thread_start(&players[i].thread, NULL, fn, &players[i]);
    }
}

static void end_players(struct rounds *rounds, struct player *players, size_t n)
{
    rounds->over = true;
    pthread_barrier_wait(&rounds->begin);
    for (size_t i = 0; i < n; i++)
        test_thread_join(&players[i].thread);
    pthread_barrier_destroy(&rounds->begin);
    pthread_barrier_destroy(&rounds->end);
}

static void begin_rounds(struct rounds *rounds, unsigned players)
{
    *rounds = (struct rounds){.over = false};
    pthread_barrier_init(&rounds->begin, NULL, players + 1);
    pthread_barrier_init(&rounds->end, NULL, players + 1);
}

static void test_queue_destroyed_by_the_getter_of_the_last_is_not_touched_by_putters(void **state)
{
    struct rounds rounds;
    struct player players[PUTTERS + GETTERS];
    begin_rounds(&rounds, PUTTERS + GETTERS);
    start_players(&rounds, players, PUTTERS, putter_main);
    start_players(&rounds, players + PUTTERS, GETTERS, getter_main);
    struct stress stress = stress_begin();
    for (unsigned i = 0; stress_goes_on(&stress); i++) {
        conc_queue *q = malloc(sizeof *q);
        CHECK_EQUAL(conc_queue_init(q, sizeof(int), 1 + i % 2, CONC_FIFO), 0);
        rounds.round = (struct round){q, GETTERS};
        pthread_barrier_wait(&rounds.begin);
        pthread_barrier_wait(&rounds.end);
    }
    end_players(&rounds, players, PUTTERS + GETTERS);
}

static void work_each(struct player *p)
{
    conc_queue *q = p->rounds->round.queue;
    for (int i = 0; i < EACH; i++) {
        int item;
        CHECK_EQUAL(conc_queue_get(q, &item, CONC_FOREVER), 0);
        CHECK_EQUAL(conc_queue_task_done(q), 0); /* after the last one the queue may be gone */
    }
}

static void worker_main(void *arg) { play(arg, work_each); }

static void test_queue_destroyed_after_the_join_is_not_touched_by_workers(void **state)
{
    struct rounds rounds;
    struct player workers[GETTERS];
    const int items[EACH * GETTERS] = {0};
    begin_rounds(&rounds, GETTERS);
    start_players(&rounds, workers, GETTERS, worker_main);
    struct stress stress = stress_begin();
    while (stress_goes_on(&stress)) {
        conc_queue *q = malloc(sizeof *q);
        CHECK_EQUAL(conc_queue_init(q, sizeof(int), 0, CONC_FIFO), 0);
        CHECK_EQUAL(conc_queue_put_many(q, items, EACH * GETTERS, CONC_NOW), EACH * GETTERS);
        rounds.round = (struct round){.queue = q};
        pthread_barrier_wait(&rounds.begin);
        CHECK_EQUAL(conc_queue_join(q, CONC_FOREVER), 0);
        destroy_and_free(q);
        pthread_barrier_wait(&rounds.end);
    }
    end_players(&rounds, workers, GETTERS);
}

/* Told that the queue is shut down, it destroys it; the other one is told nothing, for it shuts it
 * down. */
static void shut_or_get(struct player *p)
{
    conc_queue *q = p->rounds->round.queue;
    int item;
    if (fetch_sub_acq_rel(&p->rounds->round.getters_left, 1) == 1) {
        while (conc_queue_get(q, &item, tight_deadline(&p->random)) != -ESHUTDOWN)
            continue;
        destroy_and_free(q);
    } else {
        for (uint64_t n = test_random_below(&p->random, 40); n > 0; n--)
            conc_yield(); /* now and then the other one sleeps by then */
        conc_queue_shutdown(q, test_random_below(&p->random, 2));
    }
}

static void shutter_main(void *arg) { play(arg, shut_or_get); }

static void drop_nothing(void *item, void *arg) { CHECK_EQUAL(*(int *)item, *(int *)arg); }

static void test_queue_destroyed_by_who_was_told_of_its_shutdown_is_not_touched_by_the_shutdown(
    void **state)
{
    struct rounds rounds;
    struct player players[2];
    int item = 5;
    begin_rounds(&rounds, 2);
    start_players(&rounds, players, 2, shutter_main);
    struct stress stress = stress_begin();
    for (int i = 0; stress_goes_on(&stress); i++) {
        conc_queue *q = malloc(sizeof *q);
        CHECK_EQUAL(conc_queue_init(q, sizeof(int), 4, CONC_LIFO), 0);
        conc_queue_on_drop(q, drop_nothing, &item);
        for (int k = 0; k < i % 3; k++)
            CHECK_EQUAL(conc_queue_put(q, &item, CONC_NOW), 0);
        rounds.round = (struct round){q, 2};
        pthread_barrier_wait(&rounds.begin);
        pthread_barrier_wait(&rounds.end);
    }
    end_players(&rounds, players, 2);
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_queue_destroyed_by_the_getter_of_the_last_is_not_touched_by_putters),
    cmocka_unit_test(test_queue_destroyed_after_the_join_is_not_touched_by_workers),
    cmocka_unit_test(
        test_queue_destroyed_by_who_was_told_of_its_shutdown_is_not_touched_by_the_shutdown),
};

TEST_MAIN(tests, 110)
