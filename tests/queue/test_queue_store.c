/* SPDX-License-Identifier: MIT
 *
 * test_queue_store.c: making a queue; what comes out when: the three orders against a plain model,
 * for elements of many sizes; growing, and memory that runs out.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "queue_calls.h"

#include "base/hooks.h"
#include "queue/store.h"

/* An element with a priority, and which one it is. */
struct ranked {
    int rank, id;
};

static int compare_ranks(const void *a, const void *b, void *arg)
{
    const struct ranked *x = a, *y = b;
    int sign = arg ? *(int *)arg : 1;
    return sign * ((x->rank > y->rank) - (x->rank < y->rank));
}

/* ---- Making one ---- */

static void test_init_with_a_bad_argument_is_refused(void **state)
{
    conc_queue q;
    assert_int_equal(conc_queue_init(&q, 0, 1, CONC_FIFO), -EINVAL);
    assert_int_equal(conc_queue_init(&q, 1, 1, CONC_PRIORITY), -EINVAL);
    assert_int_equal(conc_queue_init(&q, 1, 1, (conc_queue_order)99), -EINVAL);
    assert_int_equal(conc_queue_init_priority(&q, 1, 1, NULL, NULL), -EINVAL);
    assert_int_equal(conc_queue_init_priority(&q, 0, 1, compare_ranks, NULL), -EINVAL);
}

static void test_new_queue_is_empty_and_not_full(void **state)
{
    conc_queue q;
    init_empty(&q, 2);
    assert_int_equal(conc_queue_size(&q), 0);
    assert_true(conc_queue_is_empty(&q));
    assert_false(conc_queue_is_full(&q));
    conc_queue_destroy(&q);
}

static void test_size_when_elements_come_and_go_follows(void **state)
{
    conc_queue q;
    init_empty(&q, 2);
    put_int(&q, 1);
    assert_int_equal(conc_queue_size(&q), 1);
    assert_false(conc_queue_is_empty(&q));
    assert_false(conc_queue_is_full(&q));
    put_int(&q, 2);
    assert_int_equal(conc_queue_size(&q), 2);
    assert_true(conc_queue_is_full(&q));
    get_int(&q);
    assert_int_equal(conc_queue_size(&q), 1);
    conc_queue_destroy(&q);
}

static void test_unbounded_queue_is_never_full(void **state)
{
    conc_queue q;
    init_empty(&q, 0);
    for (int i = 0; i < 1000; i++)
        assert_int_equal(put_int(&q, i), 0);
    assert_false(conc_queue_is_full(&q));
    conc_queue_destroy(&q);
}

/* ---- Order ---- */

static void test_fifo_gives_the_oldest_first(void **state)
{
    conc_queue q;
    init_full(&q, 4);
    ASSERT_HOLDS(&q, 1, 2, 3, 4);
    conc_queue_destroy(&q);
}

static void test_lifo_gives_the_newest_first(void **state)
{
    conc_queue q;
    assert_int_equal(conc_queue_init(&q, sizeof(int), 0, CONC_LIFO), 0);
    for (int i = 1; i <= 4; i++)
        put_int(&q, i);
    ASSERT_HOLDS(&q, 4, 3, 2, 1);
    conc_queue_destroy(&q);
}

static void test_priority_when_equal_gives_the_oldest_first(void **state)
{
    conc_queue q;
    assert_int_equal(conc_queue_init_priority(&q, sizeof(struct ranked), 0, compare_ranks, NULL),
                     0);
    for (int i = 0; i < 300; i++)
        assert_int_equal(conc_queue_put(&q, &(struct ranked){(i * 7) % 3, i}, CONC_NOW), 0);
    struct ranked last = {-1, -1}, item;
    while (conc_queue_get(&q, &item, CONC_NOW) == 0) {
        assert_true(last.rank < item.rank || (last.rank == item.rank && last.id < item.id));
        last = item;
    }
    conc_queue_destroy(&q);
}

static void test_priority_compares_with_the_argument_given(void **state)
{
    int descending = -1;
    conc_queue q;
    struct ranked item;
    assert_int_equal(conc_queue_init_priority(&q, sizeof item, 0, compare_ranks, &descending), 0);
    for (int i = 0; i < 10; i++)
        conc_queue_put(&q, &(struct ranked){i, i}, CONC_NOW);
    for (int i = 9; i >= 0; i--) {
        assert_int_equal(conc_queue_get(&q, &item, CONC_NOW), 0);
        assert_int_equal(item.rank, i);
    }
    conc_queue_destroy(&q);
}

/* Elements are aligned for any type of their size: the comparison may look at them in place. */
static int compare_aligned(const void *a, const void *b, void *arg)
{
    size_t align = *(size_t *)arg;
    assert_int_equal((uintptr_t)a % align, 0);
    assert_int_equal((uintptr_t)b % align, 0);
    return memcmp(a, b, 1);
}

static void test_priority_compares_elements_that_are_aligned(void **state)
{
    static const struct {
        size_t size, align;
    } types[] = {{1, 1},   {2, 2},  {4, 4},  {8, 8},   {12, 4},
                 {16, 16}, {24, 8}, {40, 8}, {48, 16}, {80, 16}};
    for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
        conc_queue q;
        _Alignas(16) unsigned char item[80] = {0};
        size_t align = types[i].align;
        assert_int_equal(conc_queue_init_priority(&q, types[i].size, 0, compare_aligned, &align),
                         0);
        for (int k = 0; k < 20; k++) {
            item[0] = (unsigned char)(k * 5);
            assert_int_equal(conc_queue_put(&q, item, CONC_NOW), 0);
        }
        while (conc_queue_get(&q, item, CONC_NOW) == 0)
            continue;
        conc_queue_destroy(&q);
    }
}

/* ---- Against a model ---- */

enum { MODEL_MAX = 600, ITEM_MAX = 100, BATCH_MAX = 24 };

/* The plainest thing that could be right: an array in the order of putting. */
struct model {
    conc_queue_order order;
    size_t elem_size, count;
    unsigned char items[MODEL_MAX][ITEM_MAX];
};

/* The first byte is the rank, 0 to 7, whatever the size; the others say which one it is. */
static int compare_first_bytes(const void *a, const void *b, void *arg)
{
    return (int)*(const unsigned char *)a - (int)*(const unsigned char *)b;
}

static size_t model_next(const struct model *m)
{
    size_t best = m->order == CONC_LIFO ? m->count - 1 : 0;
    for (size_t i = 1; i < m->count && m->order == CONC_PRIORITY; i++)
        if (m->items[i][0] < m->items[best][0])
            best = i;
    return best;
}

static void model_get(struct model *m, unsigned char *item)
{
    size_t i = model_next(m);
    memcpy(item, m->items[i], m->elem_size);
    m->count--;
    memmove(m->items[i], m->items[i + 1], (m->count - i) * sizeof m->items[0]);
}

static void make_items(struct test_random *r, size_t elem_size, size_t n, unsigned char *items)
{
    for (size_t i = 0; i < n; i++, items += elem_size) {
        for (size_t k = 0; k < elem_size; k++)
            items[k] = (unsigned char)test_random_next(r);
        items[0] &= 7;
    }
}

static void put_both(conc_queue *q, struct model *m, struct test_random *r, size_t capacity)
{
    unsigned char items[BATCH_MAX * ITEM_MAX];
    size_t n = test_random_below(r, 3) ? 1 : 1 + test_random_below(r, BATCH_MAX);
    size_t fit = capacity - m->count < n ? capacity - m->count : n;
    make_items(r, m->elem_size, n, items);
    ptrdiff_t expected = fit > 0 ? (ptrdiff_t)fit : -EAGAIN;
    if (n == 1)
        CHECK_EQUAL(conc_queue_put(q, items, CONC_NOW), fit > 0 ? 0 : -EAGAIN);
    else
        CHECK_EQUAL(conc_queue_put_many(q, items, n, CONC_NOW), expected);
    for (size_t i = 0; i < fit; i++)
        memcpy(m->items[m->count++], items + i * m->elem_size, m->elem_size);
}

static void get_both(conc_queue *q, struct model *m, struct test_random *r)
{
    unsigned char items[BATCH_MAX * ITEM_MAX], expected[ITEM_MAX];
    size_t n = test_random_below(r, 3) ? 1 : 1 + test_random_below(r, BATCH_MAX);
    size_t there = m->count < n ? m->count : n;
    if (n == 1)
        CHECK_EQUAL(conc_queue_get(q, items, CONC_NOW), there > 0 ? 0 : -EAGAIN);
    else
        CHECK_EQUAL(conc_queue_get_many(q, items, n, CONC_NOW),
                    there > 0 ? (ptrdiff_t)there : -EAGAIN);
    for (size_t i = 0; i < there; i++) {
        model_get(m, expected);
        CHECK_EQUAL(memcmp(items + i * m->elem_size, expected, m->elem_size), 0);
    }
}

static void run_against_model(conc_queue_order order, size_t elem_size, size_t capacity,
                              struct test_random *r)
{
    static struct model m;
    conc_queue q;
    m = (struct model){.order = order, .elem_size = elem_size};
    if (order == CONC_PRIORITY)
        assert_int_equal(
            conc_queue_init_priority(&q, elem_size, capacity, compare_first_bytes, NULL), 0);
    else
        assert_int_equal(conc_queue_init(&q, elem_size, capacity, order), 0);
    size_t most = capacity && capacity < MODEL_MAX ? capacity : MODEL_MAX;
    unsigned bias = 1;
    for (int i = 0; i < 400; i++) {
        if (i % 50 == 0)
            bias = 1 + (unsigned)test_random_below(r, 7); /* fill up for a while, then drain */
        bool full = !capacity && m.count + BATCH_MAX > MODEL_MAX; /* only the model is */
        if (test_random_below(r, 8) < bias && !full)
            put_both(&q, &m, r, most);
        else
            get_both(&q, &m, r);
        CHECK_EQUAL(conc_queue_size(&q), m.count);
        CHECK_EQUAL(conc_queue_is_full(&q), capacity && m.count == capacity);
        CHECK(q.store.room <= q.store.limit);
    }
    conc_queue_destroy(&q);
}

static void test_random_operations_agree_with_a_model(void **state)
{
    static const size_t sizes[] = {1, 3, 4, 8, 12, 16, 24, 100}, capacities[] = {1, 2, 7, 64, 0};
    struct test_random r = test_random_for(0);
    for (int order = CONC_FIFO; order <= CONC_PRIORITY; order++)
        for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++)
            for (size_t c = 0; c < sizeof capacities / sizeof *capacities; c++)
                run_against_model(order, sizes[s], capacities[c], &r);
}

/* ---- Memory ---- */

static void test_small_bounded_queue_has_all_its_memory_at_once(void **state)
{
    conc_queue q;
    assert_int_equal(conc_queue_init(&q, 64, 1024, CONC_FIFO), 0);
    assert_int_equal(q.store.room, 1024);
    unsigned char item[64] = {0};
    conc__hooks.fail_alloc_in = 1;
    for (int i = 0; i < 1024; i++)
        assert_int_equal(conc_queue_put(&q, item, CONC_NOW), 0);
    conc__hooks.fail_alloc_in = 0;
    conc_queue_destroy(&q);
}

static void test_large_bounded_queue_grows_up_to_its_capacity(void **state)
{
    conc_queue q;
    const size_t capacity = 20000;
    init_empty(&q, capacity);
    assert_int_equal(q.store.room, 0);
    for (size_t i = 0; i < capacity; i++)
        assert_int_equal(put_int(&q, (int)i), 0);
    assert_int_equal(q.store.room, capacity);
    assert_int_equal(put_int(&q, 1), -EAGAIN);
    for (size_t i = 0; i < capacity; i++)
        assert_int_equal(get_int(&q), (int)i);
    conc_queue_destroy(&q);
}

static void test_queue_that_grows_allocates_seldom(void **state)
{
    conc_queue q;
    init_empty(&q, 0);
    int growths = 0;
    size_t room = 0;
    for (int i = 0; i < 100000; i++) {
        assert_int_equal(put_int(&q, i), 0);
        growths += q.store.room != room;
        room = q.store.room;
    }
    assert_in_range(growths, 1, 30);
    conc_queue_destroy(&q);
}

static void test_init_without_memory_fails(void **state)
{
    conc_queue q;
    conc__hooks.fail_alloc_in = 1;
    assert_int_equal(conc_queue_init(&q, 8, 8, CONC_FIFO), -ENOMEM);
    conc__hooks.fail_alloc_in = 1;
    assert_int_equal(conc_queue_init_priority(&q, 8, 8, compare_ranks, NULL), -ENOMEM);
}

static void test_sizes_beyond_all_memory_are_refused_not_cut(void **state)
{
    static const size_t sizes[] = {SIZE_MAX,      SIZE_MAX - 7,     SIZE_MAX - 8, SIZE_MAX - 15,
                                   SIZE_MAX - 31, SIZE_MAX / 2 + 1, SIZE_MAX / 2, (size_t)1 << 62};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        for (int priority = 0; priority < 2; priority++) {
            conc_queue q;
            int err = priority ? conc_queue_init_priority(&q, sizes[i], 4, compare_ranks, NULL)
                               : conc_queue_init(&q, sizes[i], 4, CONC_FIFO);
            if (!err) {
                err = conc_queue_put(&q, &q, CONC_NOW);
                conc_queue_destroy(&q);
            }
            assert_int_equal(err, -ENOMEM);
        }
}

/* As many as a size_t can count is as good as no bound. */
static void test_largest_capacity_works(void **state)
{
    conc_queue q;
    init_empty(&q, SIZE_MAX);
    for (int i = 0; i < 100; i++)
        assert_int_equal(put_int(&q, i), 0);
    assert_false(conc_queue_is_full(&q));
    conc_queue_destroy(&q);
}

static void test_put_without_memory_leaves_all_as_it_was(void **state)
{
    for (int priority = 0; priority < 2; priority++) {
        conc_queue q;
        if (priority)
            assert_int_equal(
                conc_queue_init_priority(&q, sizeof(struct ranked), 0, compare_ranks, NULL), 0);
        else
            assert_int_equal(conc_queue_init(&q, sizeof(struct ranked), 0, CONC_FIFO), 0);
        struct ranked item = {1, 0};
        while (conc__store_spare(&q.store) > 0 || item.id == 0) {
            assert_int_equal(conc_queue_put(&q, &item, CONC_NOW), 0);
            item.id++;
        }
        conc__hooks.fail_alloc_in = 1;
        assert_int_equal(conc_queue_put(&q, &item, CONC_FOREVER), -ENOMEM);
        assert_int_equal(conc_queue_size(&q), item.id);
        assert_int_equal(conc_queue_put(&q, &item, CONC_NOW), 0); /* memory is there again */
        for (int i = 0; i <= item.id; i++) {
            struct ranked got;
            assert_int_equal(conc_queue_get(&q, &got, CONC_NOW), 0);
            assert_int_equal(got.id, i);
            conc_queue_task_done(&q);
        }
        assert_int_equal(conc_queue_task_done(&q), -EINVAL); /* the one refused doesn't count */
        conc_queue_destroy(&q);
    }
}

static void test_put_many_without_memory_puts_what_there_is_room_for(void **state)
{
    static int items[1000];
    conc_queue q;
    init_empty(&q, 0);
    conc__hooks.fail_alloc_in = 1;
    assert_int_equal(conc_queue_put_many(&q, items, 1000, CONC_FOREVER), -ENOMEM);
    assert_int_equal(conc_queue_size(&q), 0);
    put_int(&q, 1);
    size_t spare = conc__store_spare(&q.store);
    conc__hooks.fail_alloc_in = 1;
    assert_int_equal(conc_queue_put_many(&q, items, 1000, CONC_FOREVER), spare);
    assert_int_equal(conc_queue_size(&q), 1 + spare);
    conc_queue_destroy(&q);
}

static void test_hand_over_needs_no_memory(void **state)
{
    conc_queue q;
    init_empty(&q, 0);
    struct call c = call_of(&q, GET, 0, 1, CONC_FOREVER);
    call_start(&c, "getter");
    conc__hooks.fail_alloc_in = 1;
    assert_int_equal(put_int(&q, 5), 0);
    conc__hooks.fail_alloc_in = 0;
    assert_int_equal(call_result(&c), 0);
    assert_int_equal(c.items[0], 5);
    conc_queue_destroy(&q);
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_init_with_a_bad_argument_is_refused),
    cmocka_unit_test(test_new_queue_is_empty_and_not_full),
    cmocka_unit_test(test_size_when_elements_come_and_go_follows),
    cmocka_unit_test(test_unbounded_queue_is_never_full),
    cmocka_unit_test(test_fifo_gives_the_oldest_first),
    cmocka_unit_test(test_lifo_gives_the_newest_first),
    cmocka_unit_test(test_priority_when_equal_gives_the_oldest_first),
    cmocka_unit_test(test_priority_compares_with_the_argument_given),
    cmocka_unit_test(test_priority_compares_elements_that_are_aligned),
    cmocka_unit_test(test_random_operations_agree_with_a_model),
    cmocka_unit_test(test_small_bounded_queue_has_all_its_memory_at_once),
    cmocka_unit_test(test_large_bounded_queue_grows_up_to_its_capacity),
    cmocka_unit_test(test_queue_that_grows_allocates_seldom),
    cmocka_unit_test(test_init_without_memory_fails),
    cmocka_unit_test(test_sizes_beyond_all_memory_are_refused_not_cut),
    cmocka_unit_test(test_largest_capacity_works),
    cmocka_unit_test(test_put_without_memory_leaves_all_as_it_was),
    cmocka_unit_test(test_put_many_without_memory_puts_what_there_is_room_for),
    cmocka_unit_test(test_hand_over_needs_no_memory),
};

TEST_MAIN(tests, 50)
