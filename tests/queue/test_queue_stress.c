/* SPDX-License-Identifier: MIT
 *
 * test_queue_stress.c: many contexts that put and get, in every way that there is, with time-outs,
 * cancels and shutdowns at random moments: nothing is lost, nothing comes twice, nothing comes out
 * of turn.
 */
#include <string.h>

#include "base/atomic.h"
#include "queue_calls.h"

enum { HANDS_MAX = 4, ITEMS_MAX = 400, BATCH_MAX = 5 };

/* An element: which hand put it, and its number among that hand's, from 0. */
struct item {
    uint32_t from, number;
};

enum closing { WHEN_DONE, GRACEFUL, IMMEDIATE };

struct world {
    conc_queue queue;
    conc_queue_order order;
    size_t putters, getters;
    uint32_t to_put;                       /* by each */
    uint32_t put[HANDS_MAX];               /* how many each did put */
    uint8_t arrived[HANDS_MAX][ITEMS_MAX]; /* how often each came out: got, or dropped */
    uint32_t working;                      /* how many still put or get */
    bool closed;
};

/* A context that puts or gets. */
struct hand {
    struct test_thread thread;
    struct world *world;
    uint32_t index;
    struct test_random random;
    pthread_mutex_t mutex; /* of the next */
    conc_scope *scope;     /* what the canceller may cancel; NULL: nothing */
};

/* ---- Calls that may fail for any reason ---- */

static void publish(struct hand *h, conc_scope *scope)
{
    pthread_mutex_lock(&h->mutex);
    h->scope = scope;
    pthread_mutex_unlock(&h->mutex);
}

static conc_deadline some_deadline(struct test_random *r)
{
    switch (test_random_below(r, 5)) {
    case 0:
        return CONC_NOW;
    case 1:
        return conc_at(1);
    case 2:
        return conc_in((int64_t)test_random_below(r, CONC_US(50)));
    default:
        return CONC_FOREVER;
    }
}

static void check_failure(ptrdiff_t err, conc_deadline deadline, bool scoped)
{
    CHECK(err < 0);
    switch (err) {
    case -EAGAIN:
        CHECK_EQUAL(deadline.ns, CONC_NOW.ns);
        break;
    case -ETIMEDOUT:
        CHECK(deadline.ns != CONC_NOW.ns && deadline.ns != CONC_FOREVER.ns);
        break;
    case -ECANCELED:
        CHECK(scoped && deadline.ns != CONC_NOW.ns);
        break;
    default:
        CHECK_EQUAL(err, -ESHUTDOWN);
    }
}

/* Put or get n, one by one call or as a batch. Returns how many, or the error. */
static ptrdiff_t call(struct hand *h, enum call_kind kind, struct item *items, size_t n)
{
    conc_queue *q = &h->world->queue;
    bool scoped = test_random_below(&h->random, 2);
    conc_scope scope;
    if (scoped) {
        conc_scope_enter(&scope, CONC_FOREVER);
        publish(h, &scope);
    }
    conc_deadline deadline = some_deadline(&h->random);
    ptrdiff_t done;
    if (n > 1)
        done = kind == PUT ? conc_queue_put_many(q, items, n, deadline)
                           : conc_queue_get_many(q, items, n, deadline);
    else
        done =
            kind == PUT ? conc_queue_put(q, items, deadline) : conc_queue_get(q, items, deadline);
    if (scoped) {
        publish(h, NULL);
        conc_scope_exit(&scope);
    }
    if (done < 0)
        check_failure(done, deadline, scoped);
    return n == 1 && done == 0 ? 1 : done;
}

static size_t some_number(struct hand *h)
{
    return test_random_below(&h->random, 2) ? 1 : 1 + test_random_below(&h->random, BATCH_MAX);
}

/* ---- The hands: contexts that put and get ---- */

static void putter_main(void *arg)
{
    struct hand *h = arg;
    struct world *w = h->world;
    ptrdiff_t done = 0;
    while (w->put[h->index] < w->to_put && done != -ESHUTDOWN) {
        struct item items[BATCH_MAX];
        uint32_t first = w->put[h->index];
        size_t n = some_number(h), left = w->to_put - first;
        n = n < left ? n : left;
        for (size_t i = 0; i < n; i++)
            items[i] = (struct item){h->index, first + (uint32_t)i};
        done = call(h, PUT, items, n);
        w->put[h->index] += done > 0 ? (uint32_t)done : 0;
    }
    fetch_add_relaxed(&w->working, -1);
}

static void arrive(struct world *w, const struct item *item)
{
    CHECK(item->from < w->putters && item->number < w->to_put);
    fetch_add_relaxed(&w->arrived[item->from][item->number], 1);
}

/* What one getter gets from one putter comes in the order in which it was put. */
static void check_turn(const struct world *w, int64_t *last, const struct item *item)
{
    CHECK(w->order != CONC_FIFO || item->number > last[item->from]);
    last[item->from] = item->number;
}

static void getter_main(void *arg)
{
    struct hand *h = arg;
    struct world *w = h->world;
    int64_t last[HANDS_MAX];
    for (size_t i = 0; i < HANDS_MAX; i++)
        last[i] = -1;
    for (ptrdiff_t done = 0; done != -ESHUTDOWN;) {
        struct item items[BATCH_MAX];
        done = call(h, GET, items, some_number(h));
        for (ptrdiff_t i = 0; i < done; i++) {
            check_turn(w, last, &items[i]);
            arrive(w, &items[i]);
            CHECK_EQUAL(conc_queue_task_done(&w->queue), 0);
        }
    }
    fetch_add_relaxed(&w->working, -1);
}

static void joiner_main(void *arg)
{
    struct world *w = arg;
    struct test_random r = test_random_for(101);
    while (!load_relaxed(&w->closed)) {
        conc_deadline deadline = some_deadline(&r);
        int err = conc_queue_join(&w->queue, deadline);
        if (err)
            check_failure(err, deadline, false);
        CHECK(err != -ESHUTDOWN);
    }
    CHECK_EQUAL(conc_queue_join(&w->queue, CONC_FOREVER), 0);
}

struct canceller {
    struct world *world;
    struct hand *hands;
    size_t n;
};

static void canceller_main(void *arg)
{
    struct canceller *c = arg;
    struct test_random r = test_random_for(100);
    while (load_relaxed(&c->world->working) > 0) {
        struct hand *h = &c->hands[test_random_below(&r, c->n)];
        pthread_mutex_lock(&h->mutex);
        if (h->scope)
            conc_scope_cancel(h->scope);
        pthread_mutex_unlock(&h->mutex);
        /* without the guard, but never more than there is room for */
        CHECK(conc_queue_size(&c->world->queue) <= c->world->queue.store.limit);
        conc_yield();
    }
}

/* ---- A world ---- */

static void drop(void *item, void *arg) { arrive(arg, item); }

static int compare_numbers(const void *a, const void *b, void *arg)
{
    const struct item *x = a, *y = b;
    return (x->number % 8 > y->number % 8) - (x->number % 8 < y->number % 8);
}

static void world_init(struct world *w, struct test_random *r)
{
    static const size_t capacities[] = {1, 1, 2, 7, 0};
    memset(w, 0, sizeof *w);
    size_t capacity = capacities[test_random_below(r, 5)];
    w->order = (conc_queue_order)test_random_below(r, 3);
    w->putters = 1 + test_random_below(r, HANDS_MAX);
    w->getters = 1 + test_random_below(r, HANDS_MAX);
    w->to_put = 1 + (uint32_t)test_random_below(r, ITEMS_MAX);
    w->working = (uint32_t)(w->putters + w->getters);
    if (w->order == CONC_PRIORITY)
        CHECK_EQUAL(conc_queue_init_priority(&w->queue, sizeof(struct item), capacity,
                                             compare_numbers, NULL),
                    0);
    else
        CHECK_EQUAL(conc_queue_init(&w->queue, sizeof(struct item), capacity, w->order), 0);
    conc_queue_on_drop(&w->queue, drop, w);
}

static void world_check(struct world *w, enum closing closing)
{
    for (size_t from = 0; from < w->putters; from++) {
        CHECK(closing != WHEN_DONE || w->put[from] == w->to_put);
        for (uint32_t i = 0; i < ITEMS_MAX; i++)
            CHECK_EQUAL(w->arrived[from][i], i < w->put[from]);
    }
    CHECK_EQUAL(conc_queue_join(&w->queue, CONC_NOW), 0);
    CHECK_EQUAL(conc_queue_task_done(&w->queue), -EINVAL); /* told just as often as put */
}

static void close_world(struct world *w, enum closing closing, struct hand *hands,
                        struct test_random *r)
{
    if (closing == WHEN_DONE) {
        for (size_t i = 0; i < w->putters; i++)
            test_thread_join(&hands[i].thread);
        conc_queue_shutdown(&w->queue, false);
        return;
    }
    uint64_t after = test_random_below(r, 300);
    for (uint64_t i = 0; i < after; i++)
        conc_yield();
    if (test_random_below(r, 4) == 0)
        conc_queue_shutdown(&w->queue, false); /* and then perhaps again */
    conc_queue_shutdown(&w->queue, closing == IMMEDIATE);
    for (size_t i = 0; i < w->putters; i++)
        test_thread_join(&hands[i].thread);
}

static void run_world(struct test_random *r, enum closing closing)
{
    static struct world w;
    struct hand hands[2 * HANDS_MAX];
    struct test_thread canceller, joiner;
    world_init(&w, r);
    size_t n = w.putters + w.getters;
    bool one_core = test_random_below(r, 4) == 0;
    if (one_core)
        use_one_core();
    for (uint32_t i = 0; i < n; i++) {
        bool puts = i < w.putters;
        hands[i] = (struct hand){.world = &w, .index = i, .random = {.state = test_random_next(r)}};
        pthread_mutex_init(&hands[i].mutex, NULL);
        test_thread_start(&hands[i].thread, puts ? "putter" : "getter",
                          puts ? putter_main : getter_main, &hands[i]);
    }
    struct canceller c = {&w, hands, n};
    test_thread_start(&canceller, "canceller", canceller_main, &c);
    test_thread_start(&joiner, "joiner", joiner_main, &w);
    close_world(&w, closing, hands, r);
    for (size_t i = w.putters; i < n; i++)
        test_thread_join(&hands[i].thread);
    store_relaxed(&w.closed, true);
    test_thread_join(&joiner);
    test_thread_join(&canceller);
    if (one_core)
        use_all_cores();
    world_check(&w, closing);
    conc_queue_destroy(&w.queue);
    for (size_t i = 0; i < n; i++)
        pthread_mutex_destroy(&hands[i].mutex);
}

static void run_worlds(enum closing closing)
{
    struct stress stress = stress_begin();
    struct test_random r = test_random_for((unsigned)closing);
    do
        run_world(&r, closing);
    while (stress_goes_on(&stress));
}

static void test_elements_when_calls_time_out_and_are_cancelled_arrive_once_each(void **state)
{
    run_worlds(WHEN_DONE);
}

static void test_elements_when_shut_down_in_the_middle_arrive_once_each(void **state)
{
    run_worlds(GRACEFUL);
}

static void test_elements_when_thrown_away_in_the_middle_are_got_or_dropped_once_each(void **state)
{
    run_worlds(IMMEDIATE);
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_elements_when_calls_time_out_and_are_cancelled_arrive_once_each),
    cmocka_unit_test(test_elements_when_shut_down_in_the_middle_arrive_once_each),
    cmocka_unit_test(test_elements_when_thrown_away_in_the_middle_are_got_or_dropped_once_each),
};

TEST_MAIN(tests, 110)
