/* SPDX-License-Identifier: MIT
 *
 * test_queue_races.c: puts that give up at the very moment in which something else happens to the
 * queue. The comparison of a priority queue is called under the queue's guard: there these tests
 * stop a get half-way, let the deadline of a waiting put come, and go on once that put has noticed.
 */
#include <string.h>

#include "base/guard.h"
#include "base/hooks.h"
#include "queue_calls.h"

/* How long to wait besides. A context that wants the guard sleeps by then, and wakes too late to
 * come between the next calls; one that wants it but must not is caught in this way. A correct
 * library passes whatever happens in that time. */
#define GRACE CONC_MS(30)

struct pause {
    conc_queue *queue;
    int at_item; /* pause when this one is compared: */
    bool done;   /* (it has) */
    bool comes;  /* the put that gives up must come for the guard */
};

static bool somebody_wants_the_guard(const conc_queue *queue)
{
    return load_relaxed(&queue->word) & GUARD_SLEEPERS;
}

static int compare(const void *a, const void *b, void *arg)
{
    struct pause *pause = arg;
    int x = *(const int *)a, y = *(const int *)b;
    if (!pause->done && (x == pause->at_item || y == pause->at_item)) {
        pause->done = true;
        conc__test_advance(CONC_S(61));
        if (pause->comes)
            WAIT_UNTIL(somebody_wants_the_guard(pause->queue));
        for (int64_t end = real_now() + GRACE; real_now() < end;)
            conc_yield();
    }
    return (x > y) - (x < y);
}

/* A queue that holds n elements: 10, 20 ... and is full. */
static void init_paused(conc_queue *queue, size_t n, struct pause *pause)
{
    pause->queue = queue;
    pause->done = true;
    assert_int_equal(conc_queue_init_priority(queue, sizeof(int), n, compare, pause), 0);
    for (int i = 1; i <= (int)n; i++)
        assert_int_equal(put_int(queue, 10 * i), 0);
    pause->done = false;
}

/* After a put has been let in, the getter of the last element may destroy the queue, though the
 * put's deadline has come. */
static void test_put_let_in_as_it_gives_up_succeeds_and_touches_the_queue_no_more(void **state)
{
    conc_queue q;
    struct pause pause = {.at_item = 30};
    init_paused(&q, 2, &pause);
    struct call put = call_of(&q, PUT, 30, 1, conc_in(CONC_S(60)));
    call_start(&put, "putter");
    static const int in_order[] = {10, 20, 30};
    assert_next(&q, in_order, 3); /* the first lets it in: 30 is compared */
    assert_true(pause.done);
    conc_queue_destroy(&q);
    memset(&q, 0xff, sizeof q); /* a context that takes this guard waits for ever */
    assert_int_equal(call_result(&put), 0);
}

static void test_put_that_has_given_up_is_not_let_in_any_more(void **state)
{
    conc_queue q;
    struct pause pause = {.at_item = 20, .comes = true};
    init_paused(&q, 3, &pause);
    struct call late = call_of(&q, PUT, 5, 1, conc_in(CONC_S(60)));
    struct call next = call_of(&q, PUT, 40, 1, CONC_FOREVER);
    call_start(&late, "late");
    call_start(&next, "next");
    assert_int_equal(get_int(&q), 10); /* 20 and 30 are compared, then somebody is let in */
    assert_int_equal(call_result(&late), -ETIMEDOUT);
    assert_int_equal(call_result(&next), 0);
    ASSERT_HOLDS(&q, 20, 30, 40);
    conc_queue_destroy(&q);
}

static void test_batch_that_gives_up_as_a_part_is_let_in_counts_that_part(void **state)
{
    conc_queue q;
    struct pause pause = {.at_item = 20, .comes = true};
    init_paused(&q, 3, &pause);
    struct call batch = call_of(&q, PUT_MANY, 40, 3, conc_in(CONC_S(60)));
    call_start(&batch, "batch");
    assert_int_equal(get_int(&q), 10);
    size_t in = conc_queue_size(&q) - 2;
    assert_int_equal(call_result(&batch), in > 0 ? (ptrdiff_t)in : -ETIMEDOUT);
    for (size_t i = 0; i < 3 + in; i++)
        assert_int_equal(conc_queue_task_done(&q), 0);
    assert_int_equal(conc_queue_task_done(&q), -EINVAL);
    conc_queue_destroy(&q);
}

/* Times out, and then waits for something that never comes: what was delivered too much would end
 * that. */
static void put_then_wait(void *arg)
{
    struct call *c = arg;
    conc_queue empty;
    int item = UNTOUCHED;
    call_thread(c);
    CHECK_EQUAL(conc_queue_init(&empty, sizeof item, 1, CONC_FIFO), 0);
    CHECK_EQUAL(conc_queue_get(&empty, &item, conc_in(CONC_MS(1))), -ETIMEDOUT);
    conc_queue_destroy(&empty);
}

static void test_put_that_has_given_up_is_not_told_of_a_shutdown(void **state)
{
    conc_queue q;
    struct pause pause = {.at_item = 20, .comes = true};
    init_paused(&q, 3, &pause);
    struct call next = call_of(&q, PUT_MANY, 40, 2, CONC_FOREVER);
    struct call late = call_of(&q, PUT, 50, 1, conc_in(CONC_S(60)));
    call_start(&next, "next");
    test_thread_start(&late.thread, "late", put_then_wait, &late);
    wait_until_blocked("late", "queue put");
    int first = get_int(&q); /* lets half of the next one in; the late one gives up meanwhile */
    conc_queue_shutdown(&q, false);
    assert_int_equal(first, 10);
    assert_int_equal(call_result(&next), 1);
    assert_int_equal(call_result(&late), -ETIMEDOUT);
    ASSERT_HOLDS(&q, 20, 30, 40);
    conc_queue_destroy(&q);
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_put_let_in_as_it_gives_up_succeeds_and_touches_the_queue_no_more),
    cmocka_unit_test(test_put_that_has_given_up_is_not_let_in_any_more),
    cmocka_unit_test(test_batch_that_gives_up_as_a_part_is_let_in_counts_that_part),
    cmocka_unit_test(test_put_that_has_given_up_is_not_told_of_a_shutdown),
};

TEST_MAIN(tests, 50)
