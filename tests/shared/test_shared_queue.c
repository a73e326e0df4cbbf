/* SPDX-License-Identifier: MIT
 *
 * Tests of the queue between processes.
 */
#include "sharing.h"

#include <string.h>

#include <conc/shared_queue.h>

static conc_shared_queue *queue;

static void setup_queue(size_t elem_size, size_t capacity)
{
    size_t size = conc_shared_queue_bytes(elem_size, capacity);
    CHECK(size >= sizeof *queue + elem_size * capacity);
    queue = shared_block(size);
    CHECK_EQUAL(conc_shared_queue_init(queue, elem_size, capacity), 0);
}

static void free_queue(void) { CHECK_EQUAL(conc_shared_free(queue), 0); }

static int put(int n, conc_deadline deadline) { return conc_shared_queue_put(queue, &n, deadline); }

static int put_job(void *arg, void *result)
{
    return conc_shared_queue_put(queue, arg, CONC_FOREVER);
}

static int get_job(void *arg, void *result)
{
    int n;
    int err = conc_shared_queue_get(queue, &n, CONC_FOREVER);
    return err ? err : n;
}

static int join_job(void *arg, void *result) { return conc_shared_queue_join(queue, CONC_FOREVER); }

static void test_queue_with_bad_sizes_says_einval(void)
{
    conc_shared_queue q;
    CHECK_EQUAL(conc_shared_queue_bytes(0, 1), 0);
    CHECK_EQUAL(conc_shared_queue_bytes(1, 0), 0);
    CHECK_EQUAL(conc_shared_queue_bytes(SIZE_MAX / 2, 3), 0);
    CHECK_EQUAL(conc_shared_queue_bytes(SIZE_MAX, 1), 0);
    CHECK_EQUAL(conc_shared_queue_init(&q, 0, 1), -EINVAL);
    CHECK_EQUAL(conc_shared_queue_init(&q, 1, 0), -EINVAL);
    CHECK_EQUAL(conc_shared_queue_init(&q, SIZE_MAX / 2, 3), -EINVAL);
}

static void test_queue_gives_in_order_what_was_put(void)
{
    setup_queue(sizeof(int), 3);
    int n = -1;
    CHECK(conc_shared_queue_is_empty(queue));
    CHECK_EQUAL(conc_shared_queue_get(queue, &n, CONC_NOW), -EAGAIN);
    CHECK_EQUAL(conc_shared_queue_get(queue, &n, conc_in(CONC_MS(5))), -ETIMEDOUT);
    CHECK_EQUAL(cancel_when_blocked(get_job, NULL, 0, "shared queue get"), -ECANCELED);
    CHECK_EQUAL(n, -1);
    for (int i = 0; i < 10; i++) {
        CHECK_EQUAL(put(i, CONC_NOW), 0);
        CHECK_EQUAL(put(i + 100, conc_in(-1)), 0);
        CHECK_EQUAL(conc_shared_queue_size(queue), 2);
        CHECK_EQUAL(conc_shared_queue_get(queue, &n, CONC_NOW), 0);
        CHECK_EQUAL(n, i);
        CHECK_EQUAL(conc_shared_queue_get(queue, &n, conc_in(-1)), 0);
        CHECK_EQUAL(n, i + 100);
    }
    free_queue();
}

static void test_queue_when_full_lets_nothing_in(void)
{
    setup_queue(sizeof(int), 2);
    int n = 7;
    CHECK_EQUAL(put(1, CONC_NOW), 0);
    CHECK(!conc_shared_queue_is_full(queue));
    CHECK_EQUAL(put(2, CONC_NOW), 0);
    CHECK(conc_shared_queue_is_full(queue));
    CHECK_EQUAL(put(3, CONC_NOW), -EAGAIN);
    CHECK_EQUAL(put(3, conc_in(CONC_MS(5))), -ETIMEDOUT);
    CHECK_EQUAL(cancel_when_blocked(put_job, &n, sizeof n, "shared queue put"), -ECANCELED);
    conc_future *f = start(put_job, &n, sizeof n);
    UNTIL(blocked_on("shared queue put") == 1);
    CHECK_EQUAL(conc_shared_queue_get(queue, &n, CONC_NOW), 0);
    CHECK_EQUAL(n, 1);
    CHECK_EQUAL(end_of(f), 0);
    CHECK_EQUAL(conc_shared_queue_get(queue, &n, CONC_NOW), 0);
    CHECK_EQUAL(n, 2);
    CHECK_EQUAL(conc_shared_queue_get(queue, &n, CONC_NOW), 0);
    CHECK_EQUAL(n, 7);
    free_queue();
}

static void test_queue_join_returns_when_all_is_done(void)
{
    setup_queue(sizeof(int), 4);
    int n;
    CHECK_EQUAL(conc_shared_queue_join(queue, CONC_NOW), 0);
    CHECK_EQUAL(conc_shared_queue_task_done(queue), -EINVAL);
    CHECK_EQUAL(put(1, CONC_NOW), 0);
    CHECK_EQUAL(put(2, CONC_NOW), 0);
    CHECK_EQUAL(conc_shared_queue_join(queue, CONC_NOW), -EAGAIN);
    CHECK_EQUAL(conc_shared_queue_join(queue, conc_in(CONC_MS(5))), -ETIMEDOUT);
    CHECK_EQUAL(cancel_when_blocked(join_job, NULL, 0, "shared queue join"), -ECANCELED);
    conc_future *f = start(join_job, NULL, 0);
    UNTIL(blocked_on("shared queue join") == 1);
    CHECK_EQUAL(conc_shared_queue_get(queue, &n, CONC_NOW), 0);
    CHECK_EQUAL(conc_shared_queue_task_done(queue), 0);
    CHECK_EQUAL(conc_shared_queue_get(queue, &n, CONC_NOW), 0);
    CHECK(!conc_future_is_done(f));
    CHECK_EQUAL(conc_shared_queue_task_done(queue), 0);
    CHECK_EQUAL(conc_shared_queue_task_done(queue), -EINVAL);
    CHECK_EQUAL(end_of(f), 0);
    free_queue();
}

static void test_queue_when_shut_down_gives_what_it_has(void)
{
    setup_queue(sizeof(int), 1);
    int n = 5;
    CHECK_EQUAL(put(1, CONC_NOW), 0);
    conc_future *f = start(put_job, &n, sizeof n);
    UNTIL(blocked_on("shared queue put") == 1);
    conc_shared_queue_shutdown(queue, false);
    CHECK_EQUAL(end_of(f), -ESHUTDOWN);
    CHECK_EQUAL(put(2, CONC_FOREVER), -ESHUTDOWN);
    CHECK_EQUAL(conc_shared_queue_get(queue, &n, CONC_FOREVER), 0);
    CHECK_EQUAL(n, 1);
    CHECK_EQUAL(conc_shared_queue_get(queue, &n, CONC_FOREVER), -ESHUTDOWN);
    CHECK_EQUAL(conc_shared_queue_join(queue, CONC_NOW), -EAGAIN);
    CHECK_EQUAL(conc_shared_queue_task_done(queue), 0);
    CHECK_EQUAL(conc_shared_queue_join(queue, CONC_NOW), 0);
    free_queue();
}

static void test_queue_when_shut_down_at_once_throws_away(void)
{
    setup_queue(sizeof(int), 5);
    int n;
    for (int i = 0; i < 5; i++)
        CHECK_EQUAL(put(i, CONC_NOW), 0);
    CHECK_EQUAL(conc_shared_queue_get(queue, &n, CONC_NOW), 0);
    conc_future *f = start(join_job, NULL, 0);
    UNTIL(blocked_on("shared queue join") == 1);
    conc_shared_queue_shutdown(queue, false);
    conc_shared_queue_shutdown(queue, true);
    conc_shared_queue_shutdown(queue, true);
    CHECK_EQUAL(conc_shared_queue_size(queue), 0);
    CHECK_EQUAL(conc_shared_queue_get(queue, &n, CONC_FOREVER), -ESHUTDOWN);
    CHECK(!conc_future_is_done(f));
    CHECK_EQUAL(conc_shared_queue_task_done(queue), 0);
    CHECK_EQUAL(conc_shared_queue_task_done(queue), -EINVAL);
    CHECK_EQUAL(end_of(f), 0);
    free_queue();
}

static void get_until_shutdown(void *unused)
{
    int n;
    while (!conc_shared_queue_get(queue, &n, CONC_FOREVER))
        CHECK_EQUAL(conc_shared_queue_task_done(queue), 0);
}

static void test_queue_when_shut_down_ends_getters_of_other_processes(void)
{
    setup_queue(sizeof(int), 5);
    pid_t pid = child_start(get_until_shutdown, NULL);
    conc_future *f = start(get_job, NULL, 0);
    UNTIL(load_relaxed(&queue->getters.waiters) == 2);
    conc_shared_queue_shutdown(queue, false);
    CHECK_EQUAL(end_of(f), -ESHUTDOWN);
    CHECK_EQUAL(child_end(pid), SIGKILL);
    free_queue();
}

/* ---- Many ---- */

struct item {
    uint32_t producer, number;
    unsigned char body[120];
};

enum { PRODUCERS = 3, ITEMS = 1500 };

static void produce(void *arg)
{
    struct item item = {.producer = *(uint32_t *)arg};
    for (item.number = 0; item.number < ITEMS; item.number++) {
        fill(item.body, sizeof item.body, item.producer * 1000003 + item.number);
        CHECK_EQUAL(conc_shared_queue_put(queue, &item, CONC_FOREVER), 0);
    }
}

static uint32_t taken; /* atomic */

/* A getter sees each producer's items in order. */
static int consume(void *arg, void *result)
{
    int64_t last[PRODUCERS];
    memset(last, 0xff, sizeof last);
    struct item item;
    int err;
    while (!(err = conc_shared_queue_get(queue, &item, CONC_FOREVER))) {
        CHECK(item.producer < PRODUCERS && item.number > last[item.producer]);
        CHECK(is_filled(item.body, sizeof item.body, item.producer * 1000003 + item.number));
        last[item.producer] = item.number;
        fetch_add_relaxed(&taken, 1);
        CHECK_EQUAL(conc_shared_queue_task_done(queue), 0);
    }
    return err;
}

static void many(size_t capacity)
{
    setup_queue(sizeof(struct item), capacity);
    pid_t pids[PRODUCERS];
    conc_future *jobs[2];
    store_relaxed(&taken, 0);
    for (uint32_t i = 0; i < PRODUCERS; i++)
        pids[i] = child_start(produce, &i);
    for (int i = 0; i < 2; i++)
        jobs[i] = start(consume, NULL, 0);
    for (int i = 0; i < PRODUCERS; i++)
        CHECK_EQUAL(child_end(pids[i]), SIGKILL);
    CHECK_EQUAL(conc_shared_queue_join(queue, CONC_FOREVER), 0);
    conc_shared_queue_shutdown(queue, false);
    for (int i = 0; i < 2; i++)
        CHECK_EQUAL(end_of(jobs[i]), -ESHUTDOWN);
    CHECK_EQUAL(load_relaxed(&taken), PRODUCERS * ITEMS);
    CHECK_EQUAL(queue->getters.waiters + queue->putters.waiters + queue->joiners.waiters, 0);
    free_queue();
}

static void test_queue_of_one_carries_all_from_processes(void) { many(1); }
static void test_queue_of_many_carries_all_from_processes(void) { many(64); }

static void test_queue_in_two_views_is_one(void)
{
    setup_queue(sizeof(int), 3);
    void *at;
    int n;
    CHECK_EQUAL(conc_shared_map(&at, NULL, conc_shared_fd(queue)), 0);
    CHECK_EQUAL(put(4, CONC_NOW), 0);
    CHECK_EQUAL(conc_shared_queue_get(at, &n, CONC_NOW), 0);
    CHECK_EQUAL(n, 4);
    CHECK_EQUAL(conc_shared_free(at), 0);
    free_queue();
}

static void test_a_queue_tells_what_is_unfinished_and_that_it_is_shut_down(void)
{
    int n;
    setup_queue(sizeof(int), 3);
    CHECK(!conc_shared_queue_is_shutdown(queue));
    CHECK_EQUAL(conc_shared_queue_n_unfinished(queue), 0);
    CHECK_EQUAL(put(1, CONC_NOW), 0);
    CHECK_EQUAL(put(2, CONC_NOW), 0);
    CHECK_EQUAL(conc_shared_queue_get(queue, &n, CONC_NOW), 0);
    CHECK_EQUAL(conc_shared_queue_n_unfinished(queue), 2);
    CHECK_EQUAL(conc_shared_queue_task_done(queue), 0);
    CHECK_EQUAL(conc_shared_queue_n_unfinished(queue), 1);
    conc_shared_queue_shutdown(queue, true);
    CHECK(conc_shared_queue_is_shutdown(queue));
    CHECK_EQUAL(conc_shared_queue_n_unfinished(queue), 0);
    free_queue();
}

static const struct CMUnitTest tests[] = {
    ON_EVERY_WAY(test_a_queue_tells_what_is_unfinished_and_that_it_is_shut_down),
    ON_EVERY_WAY(test_queue_with_bad_sizes_says_einval),
    ON_EVERY_WAY(test_queue_gives_in_order_what_was_put),
    ON_EVERY_WAY(test_queue_when_full_lets_nothing_in),
    ON_EVERY_WAY(test_queue_join_returns_when_all_is_done),
    ON_EVERY_WAY(test_queue_when_shut_down_gives_what_it_has),
    ON_EVERY_WAY(test_queue_when_shut_down_at_once_throws_away),
    ON_EVERY_WAY(test_queue_when_shut_down_ends_getters_of_other_processes),
    ON_EVERY_WAY(test_queue_of_one_carries_all_from_processes),
    ON_EVERY_WAY(test_queue_of_many_carries_all_from_processes),
    ON_EVERY_WAY(test_queue_in_two_views_is_one),
};

TEST_MAIN(tests, 60)
