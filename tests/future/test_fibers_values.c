/* SPDX-License-Identifier: MIT
 *
 * test_fibers_values.c: queues and futures between contexts of all kinds.
 */
#include <string.h>

#include <conc/context.h>
#include <conc/event.h>
#include <conc/future.h>
#include <conc/queue.h>

#include "base/atomic.h"
#include "fibers.h"
#include "support.h"

#define CONTEXTS 8
#define ITEMS 300

#define FOR_ALL_KINDS(kind) for (enum context_kind kind = 0; kind < CONTEXT_KINDS; kind++)

/* ---- Queue ---- */

struct market {
    conc_queue queue;
    uint32_t producers_left;
    uint64_t put, got; /* sums; atomic */
};

static void produce(struct market *m, size_t i)
{
    for (int n = 0; n < ITEMS; n++) {
        int item = (int)i * ITEMS + n, err;
        do
            err = conc_queue_put(&m->queue, &item, n % 2 ? CONC_FOREVER : conc_in(CONC_US(50)));
        while (err == -ETIMEDOUT); /* it is not in: once more */
        CHECK_EQUAL(err, 0);
        fetch_add_relaxed(&m->put, (uint64_t)item);
    }
    if (fetch_sub_acq_rel(&m->producers_left, 1) == 1) {
        CHECK_EQUAL(conc_queue_join(&m->queue, CONC_FOREVER), 0);
        conc_queue_shutdown(&m->queue, false);
    }
}

static void consume(struct market *m)
{
    for (int n = 0;; n++) {
        int item = -1;
        int err = conc_queue_get(&m->queue, &item, n % 2 ? CONC_FOREVER : conc_in(CONC_US(50)));
        if (err == -ESHUTDOWN)
            return;
        if (err == -ETIMEDOUT) {
            CHECK_EQUAL(item, -1);
            continue;
        }
        CHECK_EQUAL(err, 0);
        fetch_add_relaxed(&m->got, (uint64_t)item);
        CHECK_EQUAL(conc_queue_task_done(&m->queue), 0);
    }
}

/* Both kinds of contexts do both. */
static void trade(size_t i, void *arg)
{
    if (i % 4 < 2)
        produce(arg, i);
    else
        consume(arg);
}

static void test_queue_in_all_kinds_loses_and_doubles_nothing(void **state)
{
    static const size_t capacities[] = {1, 3, 0};
    FOR_ALL_KINDS(kind)
    {
        for (int c = 0; c < 3; c++) {
            struct market m = {.producers_left = CONTEXTS / 2};
            CHECK_EQUAL(conc_queue_init(&m.queue, sizeof(int), capacities[c], CONC_FIFO), 0);
            run_contexts(kind, CONTEXTS, trade, &m);
            assert_int_equal(m.got, m.put);
            conc_queue_destroy(&m.queue);
        }
    }
}

/* ---- Futures ---- */

struct relay {
    conc_future *futures[CONTEXTS - 1];
    conc_event looked; /* the context that waits for all has found the last one not done */
    int sum, completed;
};

static void pass_value(struct relay *r, size_t i)
{
    int value = 0;
    if (i > 0)
        CHECK_EQUAL(conc_future_result(r->futures[i - 1], &value, CONC_FOREVER), 0);
    CHECK_EQUAL(value, i);
    if (i % 3 == 1)
        CHECK_EQUAL(conc_sleep(CONC_MS(1)), 0);
    if (i == CONTEXTS - 2)
        CHECK_EQUAL(conc_event_wait(&r->looked, CONC_FOREVER), 0);
    value++;
    CHECK_EQUAL(conc_future_set_result(r->futures[i], &value), 0);
}

static void await_all(struct relay *r)
{
    const size_t n = CONTEXTS - 1;
    CHECK_EQUAL(conc_future_result(r->futures[n - 1], NULL, conc_in(0)), -ETIMEDOUT);
    conc_event_set(&r->looked);
    CHECK(conc_wait(r->futures, n, CONC_FIRST_COMPLETED, CONC_FOREVER) >= 1);
    conc_as_completed *iterator;
    conc_future *future;
    size_t index;
    CHECK_EQUAL(conc_as_completed_new(&iterator, r->futures, n), 0);
    while (conc_as_completed_next(iterator, &future, &index, CONC_FOREVER) == 1) {
        CHECK_EQUAL(*(const int *)conc_future_value(future), index + 1);
        r->completed++;
    }
    conc_as_completed_free(iterator);
    CHECK_EQUAL(conc_wait(r->futures, n, CONC_ALL_COMPLETED, CONC_FOREVER), n);
    CHECK_EQUAL(conc_gather(r->futures, n, NULL, CONC_FOREVER), 0);
    for (size_t i = 0; i < n; i++)
        r->sum += *(const int *)conc_future_value(r->futures[i]);
}

static void take_part(size_t i, void *arg)
{
    if (i == 0)
        await_all(arg);
    else
        pass_value(arg, i - 1);
}

static void test_futures_in_all_kinds_reach_who_waits(void **state)
{
    FOR_ALL_KINDS(kind)
    {
        struct relay r = {.sum = 0};
        for (int i = 0; i < CONTEXTS - 1; i++)
            CHECK_EQUAL(conc_future_new(&r.futures[i], sizeof(int)), 0);
        run_contexts(kind, CONTEXTS, take_part, &r);
        assert_int_equal(r.completed, CONTEXTS - 1);
        assert_int_equal(r.sum, (CONTEXTS - 1) * CONTEXTS / 2);
        for (int i = 0; i < CONTEXTS - 1; i++)
            conc_future_unref(r.futures[i]);
    }
}

struct cancelled {
    conc_future *future, *failed;
    uint32_t waiting;
};

static void wait_for_cancelled(size_t i, void *arg)
{
    struct cancelled *c = arg;
    if (i > 0) {
        fetch_add_relaxed(&c->waiting, 1);
        CHECK_EQUAL(conc_future_result(c->future, NULL, CONC_FOREVER), -ECANCELED);
        CHECK(conc_future_is_cancelled(c->future));
        CHECK_EQUAL(conc_check_cancel(), 0); /* the future was, the caller was not */
        CHECK_EQUAL(conc_future_result(c->failed, NULL, CONC_FOREVER), -EIO);
        CHECK(!strcmp(conc_error_message(), "no luck"));
        return;
    }
    while (load_relaxed(&c->waiting) < CONTEXTS - 1)
        conc_yield();
    CHECK(conc_future_cancel(c->future));
    CHECK_EQUAL(conc_future_set_error(c->failed, -EIO, "no %s", "luck"), 0);
}

static void test_cancelled_and_failed_futures_in_all_kinds_reach_who_waits(void **state)
{
    FOR_ALL_KINDS(kind)
    {
        struct cancelled c = {.waiting = 0};
        CHECK_EQUAL(conc_future_new(&c.future, 0), 0);
        CHECK_EQUAL(conc_future_new(&c.failed, 0), 0);
        run_contexts(kind, CONTEXTS, wait_for_cancelled, &c);
        conc_future_unref(c.future);
        conc_future_unref(c.failed);
    }
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_queue_in_all_kinds_loses_and_doubles_nothing),
    cmocka_unit_test(test_futures_in_all_kinds_reach_who_waits),
    cmocka_unit_test(test_cancelled_and_failed_futures_in_all_kinds_reach_who_waits),
};

TEST_MAIN(tests, 50)
