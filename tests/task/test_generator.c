/* SPDX-License-Identifier: MIT
 *
 * test_generator.c: generators: items, ends, errors, the stack, misuse. Cancellation and scopes:
 * test_generator_scope.c.
 */
#include <stdlib.h>
#include <string.h>

#include <conc/event.h>
#include <conc/generator.h>
#include <conc/queue.h>

#include "base/hooks.h"
#include "support.h"

static conc_generator *make(conc_generator_fn *body, int arg)
{
    conc_generator *g;
    CHECK_EQUAL(conc_generator_new(&g, body, &arg, sizeof arg, sizeof(int), NULL), 0);
    return g;
}

static int next(conc_generator *g, int *item) { return conc_generator_next(g, item, CONC_FOREVER); }

/* ---- Items ---- */

static int count_to(conc_generator *g, void *arg)
{
    int end = *(int *)arg;
    for (int i = 1; i <= end; i++)
        if (conc_generator_yield(g, &i) != 0)
            return 0;
    return 0;
}

static void test_next_gives_the_items_in_order_and_then_0(void **state)
{
    conc_generator *g = make(count_to, 3);
    int item = 0;
    for (int i = 1; i <= 3; i++) {
        assert_int_equal(next(g, &item), 1);
        assert_int_equal(item, i);
    }
    item = 42;
    for (int i = 0; i < 3; i++)
        assert_int_equal(next(g, &item), 0);
    assert_int_equal(item, 42);
    assert_int_equal(conc_generator_free(g), 0);
}

static int mark(conc_generator *g, void *arg)
{
    **(int **)arg = 1;
    return 0;
}

static void test_body_begins_with_the_first_next(void **state)
{
    conc_generator *g;
    int began = 0, *p = &began;
    assert_int_equal(conc_generator_new(&g, mark, &p, sizeof p, 0, NULL), 0);
    assert_int_equal(began, 0);
    assert_int_equal(conc_generator_next(g, NULL, CONC_FOREVER), 0);
    assert_int_equal(began, 1);
    assert_int_equal(conc_generator_free(g), 0);
}

static void test_free_of_one_that_never_began_runs_nothing(void **state)
{
    conc_generator *g;
    int began = 0, *p = &began;
    assert_int_equal(conc_generator_new(&g, mark, &p, sizeof p, 0, NULL), 0);
    assert_int_equal(conc_generator_free(g), 0);
    assert_int_equal(began, 0);
    assert_int_equal(conc_generator_free(NULL), 0);
}

static void test_item_may_be_thrown_away(void **state)
{
    conc_generator *g = make(count_to, 3);
    int item = 0;
    assert_int_equal(next(g, NULL), 1);
    assert_int_equal(next(g, &item), 1);
    assert_int_equal(item, 2);
    assert_int_equal(conc_generator_free(g), 0);
}

struct big {
    int numbers[1000];
};

static int yield_big(conc_generator *g, void *arg)
{
    struct big *big = arg;
    for (int i = 0; i < 1000; i++)
        big->numbers[i]++;
    return conc_generator_yield(g, big);
}

static void test_argument_is_a_private_copy(void **state)
{
    static struct big arg, item;
    conc_generator *g;
    for (int i = 0; i < 1000; i++)
        arg.numbers[i] = i;
    assert_int_equal(conc_generator_new(&g, yield_big, &arg, sizeof arg, sizeof item, NULL), 0);
    arg.numbers[7] = 0;
    assert_int_equal(conc_generator_next(g, &item, CONC_FOREVER), 1);
    for (int i = 0; i < 1000; i++)
        assert_int_equal(item.numbers[i], i + 1);
    assert_int_equal(arg.numbers[8], 8);
    assert_int_equal(conc_generator_free(g), 0);
}

static int yield_nothing(conc_generator *g, void *arg)
{
    CHECK(!arg);
    for (int i = 0; i < 3; i++)
        if (conc_generator_yield(g, NULL) != 0)
            return 0;
    return 0;
}

static void test_items_and_argument_may_be_empty(void **state)
{
    conc_generator *g;
    assert_int_equal(conc_generator_new(&g, yield_nothing, NULL, 0, 0, NULL), 0);
    for (int i = 0; i < 3; i++)
        assert_int_equal(conc_generator_next(g, NULL, CONC_FOREVER), 1);
    assert_int_equal(conc_generator_next(g, NULL, CONC_FOREVER), 0);
    assert_int_equal(conc_generator_free(g), 0);
}

/* ---- Generators from generators ---- */

static int squares_of_odd(conc_generator *g, void *arg)
{
    conc_generator *numbers = make(count_to, *(int *)arg);
    int n, err;
    while ((err = next(numbers, &n)) == 1) {
        if (n % 2 == 0)
            continue;
        n *= n;
        if (conc_generator_yield(g, &n) != 0)
            break;
    }
    conc_generator_free(numbers);
    return err < 0 ? err : 0;
}

static void test_generator_may_consume_another(void **state)
{
    conc_generator *g = make(squares_of_odd, 1000000);
    int item;
    for (int i = 1; i < 20; i += 2) {
        assert_int_equal(next(g, &item), 1);
        assert_int_equal(item, i * i);
    }
    assert_int_equal(conc_generator_free(g), 0);
}

/* The numbers up to *arg, each by a generator inside the last. */
static int nested(conc_generator *g, void *arg)
{
    int depth = *(int *)arg, item;
    if (depth > 1) {
        conc_generator *inner = make(nested, depth - 1);
        while (next(inner, &item) == 1)
            CHECK_EQUAL(conc_generator_yield(g, &item), 0);
        conc_generator_free(inner);
    }
    return conc_generator_yield(g, &depth);
}

static void test_generators_nest(void **state)
{
    conc_generator *g = make(nested, 20);
    int item;
    for (int i = 1; i <= 20; i++) {
        assert_int_equal(next(g, &item), 1);
        assert_int_equal(item, i);
    }
    assert_int_equal(next(g, &item), 0);
    assert_int_equal(conc_generator_free(g), 0);
}

static void test_many_generators_take_turns(void **state)
{
    size_t n = crowd_of(1000);
    conc_generator **all = calloc(n, sizeof *all);
    assert_non_null(all);
    for (size_t i = 0; i < n; i++)
        all[i] = make(count_to, 5);
    for (int round = 1; round <= 3; round++) {
        for (size_t i = 0; i < n; i++) {
            int item = 0;
            CHECK_EQUAL(next(all[i], &item), 1);
            CHECK_EQUAL(item, round);
        }
    }
    for (size_t i = 0; i < n; i++)
        CHECK_EQUAL(conc_generator_free(all[i]), 0);
    free(all);
}

/* ---- The end ---- */

static int fail_after_one(conc_generator *g, void *arg)
{
    int item = 1;
    int err = conc_generator_yield(g, &item);
    return err ? err : conc_raise(-EIO, "the disk is %s", "full");
}

static void test_error_of_the_body_comes_once_with_its_message(void **state)
{
    conc_generator *g = make(fail_after_one, 0);
    int item;
    assert_int_equal(next(g, &item), 1);
    conc_raise(-EINVAL, "something else");
    assert_int_equal(next(g, &item), -EIO);
    assert_string_equal(conc_error_message(), "the disk is full");
    assert_int_equal(next(g, &item), 0);
    assert_int_equal(conc_generator_free(g), 0);
    assert_string_equal(conc_error_message(), "the disk is full");
}

static int raise_and_go_on(conc_generator *g, void *arg)
{
    int err = conc_raise(-EIO, "of the body");
    int item = 1;
    if (conc_generator_yield(g, &item) != 0)
        return 0;
    CHECK(strcmp(conc_error_message(), "of the body") == 0);
    return *(int *)arg ? err : 0;
}

static void test_message_of_each_side_is_its_own(void **state)
{
    for (int fails = 0; fails < 2; fails++) {
        conc_generator *g = make(raise_and_go_on, fails);
        conc_raise(-EIO, "of the consumer");
        assert_int_equal(next(g, NULL), 1);
        assert_string_equal(conc_error_message(), "of the consumer");
        conc_raise(-EIO, "of the consumer, again");
        assert_int_equal(next(g, NULL), fails ? -EIO : 0);
        assert_string_equal(conc_error_message(), fails ? "of the body" : "of the consumer, again");
        assert_int_equal(conc_generator_free(g), 0);
    }
}

static int return_argument(conc_generator *g, void *arg) { return *(int *)arg; }

static void test_positive_return_becomes_EINVAL(void **state)
{
    conc_generator *g = make(return_argument, 7);
    assert_int_equal(next(g, NULL), -EINVAL);
    assert_int_equal(next(g, NULL), 0);
    assert_int_equal(conc_generator_free(g), 0);
}

static int note_end(conc_generator *g, void *arg)
{
    int **notes = arg, item = 0;
    (*notes)[0] = conc_generator_yield(g, &item);
    (*notes)[1] = conc_generator_yield(g, &item); /* still the same */
    (*notes)[2] = conc_sleep(0);
    conc_scope shield;
    conc_shield_enter(&shield);
    (*notes)[3] = conc_sleep(CONC_MS(1)); /* tidying up may take its time */
    conc_shield_exit(&shield);
    return -EIO;
}

static void test_free_cancels_the_body_and_lets_it_tidy_up(void **state)
{
    conc_generator *g;
    int notes[4] = {1, 1, 1, 1}, *p = notes;
    assert_int_equal(conc_generator_new(&g, note_end, &p, sizeof p, sizeof(int), NULL), 0);
    assert_int_equal(next(g, NULL), 1);
    assert_int_equal(conc_generator_free(g), 0);
    assert_int_equal(notes[0], -ECANCELED);
    assert_int_equal(notes[1], -ECANCELED);
    assert_int_equal(notes[2], -ECANCELED);
    assert_int_equal(notes[3], 0);
    assert_int_equal(conc_check_cancel(), 0);
}

/* ---- Blocking ---- */

static int take_from_queue(conc_generator *g, void *arg)
{
    conc_queue *queue = *(conc_queue **)arg;
    int item, err;
    while (!(err = conc_queue_get(queue, &item, CONC_FOREVER)))
        if ((err = conc_generator_yield(g, &item)) != 0)
            return err;
    return err == -ESHUTDOWN ? 0 : err;
}

struct consumer {
    conc_queue queue;
    int sum, end;
};

static void consume(void *arg)
{
    struct consumer *c = arg;
    conc_queue *queue = &c->queue;
    conc_generator *g;
    int item;
    CHECK_EQUAL(conc_generator_new(&g, take_from_queue, &queue, sizeof queue, sizeof item, NULL),
                0);
    while ((c->end = next(g, &item)) == 1)
        c->sum += item;
    conc_generator_free(g);
}

static void test_body_that_blocks_blocks_its_consumer(void **state)
{
    struct consumer c = {.sum = 0};
    struct test_thread t;
    assert_int_equal(conc_queue_init(&c.queue, sizeof(int), 1, CONC_FIFO), 0);
    test_thread_start(&t, "consumer", consume, &c);
    for (int i = 1; i <= 100; i++) {
        if (i % 10 == 0)
            wait_until_blocked("consumer", "queue get");
        assert_int_equal(conc_queue_put(&c.queue, &i, CONC_FOREVER), 0);
    }
    conc_queue_shutdown(&c.queue, false);
    test_thread_join(&t);
    assert_int_equal(c.sum, 5050);
    assert_int_equal(c.end, 0);
    conc_queue_destroy(&c.queue);
}

static int yield_own_id(conc_generator *g, void *arg)
{
    int id, err;
    do
        id = (int)conc_context_id(NULL);
    while (!(err = conc_generator_yield(g, &id)));
    return err;
}

static void take_own_id(void *arg)
{
    int id;
    CHECK_EQUAL(next(arg, &id), 1);
    CHECK_EQUAL(id, conc_context_id(NULL));
}

static void test_body_runs_in_the_context_of_each_consumer(void **state)
{
    conc_generator *g = make(yield_own_id, 0);
    for (int i = 0; i < 4; i++) {
        struct test_thread t;
        take_own_id(g);
        test_thread_start(&t, NULL, take_own_id, g);
        test_thread_join(&t);
    }
    assert_int_equal(conc_generator_free(g), 0);
}

/* ---- Misuse ---- */

static int next_and_free_itself(conc_generator *g, void *arg)
{
    int item = 0;
    CHECK_EQUAL(next(g, &item), -EBUSY);
    CHECK_EQUAL(conc_generator_free(g), -EBUSY);
    return conc_generator_yield(g, &item);
}

static void test_next_and_free_by_the_body_are_EBUSY(void **state)
{
    conc_generator *g = make(next_and_free_itself, 0);
    assert_int_equal(next(g, NULL), 1);
    assert_int_equal(next(g, NULL), 0);
    assert_int_equal(conc_generator_free(g), 0);
}

static int wait_for_event(conc_generator *g, void *arg)
{
    return conc_event_wait(*(conc_event **)arg, CONC_FOREVER);
}

static void run_to_the_end(void *arg) { CHECK_EQUAL(next(arg, NULL), 0); }

static void test_next_and_free_while_another_context_runs_it_are_EBUSY(void **state)
{
    conc_event event = CONC_EVENT_INIT, *p = &event;
    conc_generator *g;
    struct test_thread t;
    assert_int_equal(conc_generator_new(&g, wait_for_event, &p, sizeof p, 0, NULL), 0);
    test_thread_start(&t, "consumer", run_to_the_end, g);
    wait_until_blocked("consumer", "event");
    assert_int_equal(next(g, NULL), -EBUSY);
    assert_int_equal(conc_generator_free(g), -EBUSY);
    conc_event_set(&event);
    test_thread_join(&t);
    assert_int_equal(next(g, NULL), 0);
    assert_int_equal(conc_generator_free(g), 0);
}

static int yield_for_another(conc_generator *g, void *arg)
{
    int item = 0;
    CHECK_EQUAL(conc_generator_yield(*(conc_generator **)arg, &item), -EPERM);
    return conc_generator_yield(g, &item);
}

static void test_yield_by_others_than_the_body_is_EPERM(void **state)
{
    conc_generator *g = make(count_to, 1), *other;
    int item = 0;
    assert_int_equal(conc_generator_yield(g, &item), -EPERM);
    assert_int_equal(conc_generator_new(&other, yield_for_another, &g, sizeof g, sizeof item, NULL),
                     0);
    assert_int_equal(next(other, NULL), 1);
    assert_int_equal(conc_generator_yield(other, &item), -EPERM); /* suspended */
    assert_int_equal(conc_generator_free(other), 0);
    assert_int_equal(conc_generator_free(g), 0);
}

static void test_new_with_wrong_arguments_is_EINVAL(void **state)
{
    conc_generator *g = NULL;
    conc_generator_options large = {.stack_size = (size_t)2 << 30};
    assert_int_equal(conc_generator_new(&g, NULL, NULL, 0, 0, NULL), -EINVAL);
    assert_int_equal(conc_generator_new(&g, count_to, NULL, 1, 0, NULL), -EINVAL);
    assert_int_equal(conc_generator_new(&g, count_to, NULL, 0, 0, &large), -EINVAL);
    assert_int_equal(conc_generator_new(&g, count_to, &g, SIZE_MAX - 8, 0, NULL), -ENOMEM);
    assert_null(g);
}

static void test_new_without_memory_is_ENOMEM_and_leaks_nothing(void **state)
{
    int32_t before = conc__hooks.allocated;
    conc_generator *g = NULL;
    int fails = 0, err;
    do {
        conc__hooks.fail_alloc_in = ++fails;
        err = conc_generator_new(&g, yield_nothing, NULL, 0, 0, NULL);
        assert_true(err == -ENOMEM || err == 0);
    } while (err);
    conc__hooks.fail_alloc_in = 0;
    assert_int_equal(fails, 3); /* itself, its stack */
    assert_int_equal(conc_generator_free(g), 0);
    assert_int_equal(conc__hooks.allocated, before);
}

/* ---- The stack ---- */

static int use_a_megabyte(conc_generator *g, void *arg)
{
    volatile char much[1000 * 1000];
    for (size_t i = 0; i < sizeof much; i += 1000)
        much[i] = (char)(i / 1000);
    int sum = 0, err = conc_generator_yield(g, &sum);
    for (size_t i = 0; i < sizeof much; i += 1000)
        sum += much[i] == (char)(i / 1000);
    return err ? err : conc_generator_yield(g, &sum);
}

static void test_stack_size_is_as_asked_for(void **state)
{
    conc_generator *g;
    conc_generator_options options = {.stack_size = 1 << 20};
    int item;
    assert_int_equal(conc_generator_new(&g, use_a_megabyte, NULL, 0, sizeof item, &options), 0);
    assert_int_equal(next(g, &item), 1);
    assert_int_equal(next(g, &item), 1);
    assert_int_equal(item, 1000);
    assert_int_equal(conc_generator_free(g), 0);
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_next_gives_the_items_in_order_and_then_0),
    cmocka_unit_test(test_body_begins_with_the_first_next),
    cmocka_unit_test(test_free_of_one_that_never_began_runs_nothing),
    cmocka_unit_test(test_item_may_be_thrown_away),
    cmocka_unit_test(test_argument_is_a_private_copy),
    cmocka_unit_test(test_items_and_argument_may_be_empty),
    cmocka_unit_test(test_generator_may_consume_another),
    cmocka_unit_test(test_generators_nest),
    cmocka_unit_test(test_many_generators_take_turns),
    cmocka_unit_test(test_error_of_the_body_comes_once_with_its_message),
    cmocka_unit_test(test_message_of_each_side_is_its_own),
    cmocka_unit_test(test_positive_return_becomes_EINVAL),
    cmocka_unit_test(test_free_cancels_the_body_and_lets_it_tidy_up),
    cmocka_unit_test(test_body_that_blocks_blocks_its_consumer),
    cmocka_unit_test(test_body_runs_in_the_context_of_each_consumer),
    cmocka_unit_test(test_next_and_free_by_the_body_are_EBUSY),
    cmocka_unit_test(test_next_and_free_while_another_context_runs_it_are_EBUSY),
    cmocka_unit_test(test_yield_by_others_than_the_body_is_EPERM),
    cmocka_unit_test(test_new_with_wrong_arguments_is_EINVAL),
    cmocka_unit_test(test_new_without_memory_is_ENOMEM_and_leaks_nothing),
    cmocka_unit_test(test_stack_size_is_as_asked_for),
};

TEST_MAIN(tests, 60)
