/* SPDX-License-Identifier: MIT
 *
 * test_task.c: tasks: spawning them, from everywhere; what they are given, and what they give;
 * their names, turns and values of their own. Cancelling: test_task_cancel.c.
 */
#include "loops.h"

#include <fenv.h>
#include <stdlib.h>
#include <string.h>

#include <conc/local.h>
#include <conc/lock.h>

#include "locals.h"
#include "seen.h"

static int job_nothing(void *arg, void *result) { return 0; }

/* ---- Spawning ---- */

static int job_fibonacci(void *arg, void *result)
{
    int n = *(int *)arg, a, b;
    if (n < 2) {
        *(int *)result = n;
        return 0;
    }
    conc_future *f = conc_spawn(job_fibonacci, &(int){n - 1}, sizeof n, sizeof n);
    conc_future *g = conc_spawn(job_fibonacci, &(int){n - 2}, sizeof n, sizeof n);
    CHECK_EQUAL(conc_future_result(g, &b, CONC_FOREVER), 0);
    CHECK_EQUAL(conc_future_result(f, &a, CONC_FOREVER), 0);
    conc_future_unref(f);
    conc_future_unref(g);
    *(int *)result = a + b;
    return 0;
}

static void test_tasks_spawn_tasks_and_get_their_results(void)
{
    int value = 0;
    conc_future *f = conc_spawn(job_fibonacci, &(int){11}, sizeof(int), sizeof(int));
    CHECK_EQUAL(conc_future_result(f, &value, CONC_FOREVER), 0);
    CHECK_EQUAL(value, 89);
    CHECK_EQUAL(*(const int *)conc_future_value(f), 89);
    conc_future_unref(f);
}

static void test_a_task_begins_when_its_spawner_lets_it(void)
{
    int count = 0, *counter = &count;
    conc_future *f = conc_spawn(job_count, &counter, sizeof counter, 0);
    CHECK_EQUAL(conc_future_result(f, NULL, CONC_NOW), -EAGAIN);
    CHECK_EQUAL(count, 0);
    CHECK_EQUAL(conc_future_result(f, NULL, CONC_FOREVER), 0);
    CHECK_EQUAL(count, 1);
    conc_future_unref(f);
}

static int job_take_text(void *arg, void *result)
{
    char *text = arg;
    conc_yield(); /* the spawner changes its own meanwhile */
    CHECK(!strcmp(text, "as it was"));
    CHECK_EQUAL((uintptr_t)arg % _Alignof(max_align_t), 0);
    memcpy(result, "all right", 10);
    text[0] = 'x'; /* it is ours */
    return 0;
}

static void test_the_argument_is_a_private_copy(void)
{
    char text[16] = "as it was", answer[10] = "";
    conc_future *f = conc_spawn(job_take_text, text, sizeof text, sizeof answer);
    memset(text, 'z', sizeof text);
    CHECK_EQUAL(conc_future_result(f, answer, CONC_FOREVER), 0);
    CHECK(!strcmp(answer, "all right"));
    conc_future_unref(f);
}

static void test_errors_come_with_their_messages(void)
{
    conc_raise(-EPERM, "the spawner's own");
    conc_future *f = conc_spawn(job_raise, &(int){-EIO}, sizeof(int), 0);
    CHECK_EQUAL(conc_future_wait(f, CONC_FOREVER), 0);
    CHECK(!strcmp(conc_error_message(), "the spawner's own"));
    CHECK(!strcmp(conc_future_message(f), "job failed: -5"));
    CHECK_EQUAL(conc_future_result(f, NULL, CONC_FOREVER), -EIO);
    CHECK(!strcmp(conc_error_message(), "job failed: -5"));
    CHECK(!conc_future_is_cancelled(f));
    conc_future_unref(f);
}

static void refused(conc_future *f, int err)
{
    CHECK(f);
    CHECK(conc_future_is_done(f));
    CHECK_EQUAL(conc_future_error(f), err);
    CHECK(!strcmp(conc_future_message(f), ""));
    conc_future_unref(f);
}

static void test_bad_arguments_are_EINVAL(void)
{
    conc_loop *loop = conc_loop_current();
    const conc_task_options too_much = {.stack_size = ((size_t)1 << 30) + 1};
    conc_raise(-EINVAL, "older");
    refused(conc_spawn(NULL, NULL, 0, 0), -EINVAL);
    refused(conc_spawn(job_square, NULL, sizeof(int), sizeof(int)), -EINVAL);
    refused(conc_task_start(loop, NULL, NULL, 0, 0, NULL), -EINVAL);
    refused(conc_task_start(loop, job_nothing, NULL, 0, 0, &too_much), -EINVAL);
    refused(conc_task_start(NULL, job_nothing, NULL, 0, 0, &too_much), -EINVAL);
    refused(conc_spawn(job_nothing, NULL, 0, SIZE_MAX / 2), -ENOMEM);
    CHECK(!strcmp(conc_error_message(), "older"));
}

static void test_outside_of_a_loop_spawn_is_EINVAL(void)
{
    refused(conc_spawn(job_nothing, NULL, 0, 0), -EINVAL);
    refused(conc_task_start(NULL, job_nothing, NULL, 0, 0, NULL), -EINVAL);
    refused(conc_task_start(NULL, job_nothing, NULL, 0, 0, NULL), -EINVAL);
    refused(conc_to_thread(job_nothing, NULL, 0, 0), -EINVAL);
}

static void test_without_memory_it_is_refused(void)
{
    for (int n = 1;; n++) {
        int value = 0;
        fail_alloc(n);
        conc_future *f = conc_spawn(job_square, &(int){4}, sizeof(int), sizeof(int));
        int err = conc_future_result(f, &value, CONC_FOREVER);
        conc_future_unref(f);
        if (!alloc_has_failed())
            break;
        CHECK(err == -ENOMEM ? value == 0 : !err && value == 16);
        CHECK(n < 20);
    }
}

static void test_a_dropped_tasks_error_is_reported(void)
{
    struct unobserved u;
    int count = 0, *counter = &count;
    unobserved_watch(&u);
    conc_future_unref(conc_spawn(job_count, &counter, sizeof counter, 0));
    conc_future_unref(conc_spawn(job_raise, &(int){-EIO}, sizeof(int), 0));
    YIELD_UNTIL(load_acquire(&u.count) == 1);
    CHECK_EQUAL(count, 1);
    CHECK_EQUAL(u.err, -EIO);
    conc_future_on_unobserved(NULL, NULL);
}

static conc_future *spawned_by_callback;

static void spawn_in_callback(void *unused)
{
    spawned_by_callback = conc_spawn(job_square, &(int){3}, sizeof(int), sizeof(int));
    CHECK(!conc_future_is_done(spawned_by_callback));
}

static int job_await_spawned(void *arg, void *result)
{
    int value = 0;
    YIELD_UNTIL(spawned_by_callback);
    CHECK_EQUAL(conc_future_result(spawned_by_callback, &value, CONC_FOREVER), 0);
    conc_future_unref(spawned_by_callback);
    spawned_by_callback = NULL;
    return value == 9 ? 0 : -EIO;
}

static void test_a_callback_may_spawn(void)
{
    CHECK_EQUAL(conc_loop_call_soon(conc_loop_current(), spawn_in_callback, NULL, NULL), 0);
    CHECK_EQUAL(job_await_spawned(NULL, NULL), 0);
}

/* ---- From other threads ---- */

enum { SPAWNERS = 4 };

struct spawner {
    struct test_thread thread;
    conc_loop *loop;
    int n, wrong;
};

static void spawn_many(void *arg)
{
    struct spawner *s = arg;
    for (int i = 0; i < s->n; i++) {
        int value = -1;
        conc_future *f = conc_task_start(s->loop, job_square, &i, sizeof i, sizeof i, NULL);
        if (i % 3) {
            CHECK_EQUAL(conc_future_result(f, &value, CONC_FOREVER), 0);
            s->wrong += value != i * i;
        }
        conc_future_unref(f);
    }
}

static void test_threads_spawn_on_a_loop_that_sleeps_or_works(void)
{
    struct side_loop side;
    struct spawner spawners[SPAWNERS];
    side_loop_start(&side);
    for (int i = 0; i < SPAWNERS; i++) {
        spawners[i] = (struct spawner){.loop = side.loop, .n = (int)crowd_of(600)};
        test_thread_start(&spawners[i].thread, NULL, spawn_many, &spawners[i]);
    }
    for (int i = 0; i < SPAWNERS; i++) {
        test_thread_join(&spawners[i].thread);
        assert_int_equal(spawners[i].wrong, 0);
    }
    side_loop_end(&side);
}

/* ---- Identity ---- */

static int job_look_at_itself(void *arg, void *result)
{
    const char *name = pointer_in(arg);
    CHECK(!strcmp(conc_context_name(conc_context_current()), name));
    struct seen seen = look_for(name);
    CHECK(!strcmp(seen.info.kind, "task"));
    CHECK_EQUAL(seen.info.id, conc_context_id(NULL));
    CHECK(!seen.info.blocked_on);
    conc_context_set_name("another");
    CHECK(!strcmp(conc_context_name(conc_context_current()), "another"));
    return 0;
}

static void test_a_task_has_the_name_it_is_given(void)
{
    static const char *const names[][2] = {
        {"worker bee", "worker bee"},
        {"a name of more than thirty-one bytes, so it is cut", "a name of more than thirty-one "}};
    const char *mine = conc_context_name(conc_context_current());
    CHECK(!strncmp(mine, "task-", 5));
    CHECK_EQUAL(strtoul(mine + 5, NULL, 10), conc_context_id(NULL));
    for (int i = 0; i < 2; i++) {
        const conc_task_options options = {.name = names[i][0]};
        conc_future *f =
            conc_task_start(NULL, job_look_at_itself, &names[i][1], sizeof(char *), 0, &options);
        CHECK_EQUAL(end_of(f), 0);
        CHECK(!*look_for(names[i][1]).name); /* it is gone */
    }
    CHECK(!strncmp(conc_context_name(conc_context_current()), "task-", 5));
}

struct held {
    conc_lock lock;
    conc_event may_end;
};

static int job_hold(void *arg, void *result)
{
    struct held *held = pointer_in(arg);
    conc_lock_enter(&held->lock);
    conc_event_wait(&held->may_end, CONC_FOREVER);
    return conc_lock_release(&held->lock);
}

static int job_want(void *arg, void *result)
{
    struct held *held = pointer_in(arg);
    conc_lock_enter(&held->lock);
    return conc_lock_release(&held->lock);
}

static void test_a_report_shows_what_tasks_wait_for_and_who_has_it(void)
{
    const conc_task_options holder = {.name = "holder"}, wanter = {.name = "wanter"};
    struct held held = {.lock = CONC_LOCK_INIT}, *h = &held;
    conc_future *f = conc_task_start(NULL, job_hold, &h, sizeof h, 0, &holder);
    conc_future *g = conc_task_start(NULL, job_want, &h, sizeof h, 0, &wanter);
    UNTIL(blocked_on("lock") == 1);
    struct seen seen = look_for("wanter");
    CHECK(!strcmp(seen.info.kind, "task"));
    CHECK(!strcmp(seen.info.blocked_on, "lock"));
    CHECK(seen.info.object == &held.lock);
    CHECK(!strcmp(seen.holder_name, "holder"));
    CHECK(!strcmp(look_for("holder").info.blocked_on, "event"));
    char text[4096] = "";
    FILE *out = fmemopen(text, sizeof text, "w");
    CHECK(out);
    CHECK_EQUAL(conc_dump(out), 0);
    fclose(out);
    CHECK(strstr(text, "task   wanter") && strstr(text, "task   holder"));
    conc_event_set(&held.may_end);
    CHECK_EQUAL(end_of(f), 0);
    CHECK_EQUAL(end_of(g), 0);
}

/* ---- Stacks ---- */

static void test_a_task_has_the_stack_it_asks_for(void)
{
    static const size_t sizes[] = {1, 16 * 1024, 1 << 20, 32 << 20};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        const conc_task_options options = {.stack_size = sizes[i]};
        size_t use = sizes[i] > 1 << 16 ? sizes[i] - (1 << 16) : 1024;
        conc_future *f = conc_task_start(NULL, job_use_stack, &use, sizeof use, 0, &options);
        CHECK_EQUAL(end_of(f), 0);
    }
}

/* ---- Turns ---- */

enum { TURNS = 300, IN_TURN = 3 };

struct turns {
    int order[TURNS * IN_TURN];
    int n;
};

struct turn_taker {
    struct turns *turns;
    int number;
};

static int job_take_turns(void *arg, void *result)
{
    const struct turn_taker *t = arg;
    for (int i = 0; i < TURNS; i++) {
        t->turns->order[t->turns->n++] = t->number;
        conc_yield();
    }
    return 0;
}

static void test_tasks_that_yield_take_turns(void)
{
    static struct turns turns;
    conc_future *futures[IN_TURN];
    turns.n = 0;
    for (int i = 0; i < IN_TURN; i++) {
        struct turn_taker t = {&turns, i};
        futures[i] = conc_spawn(job_take_turns, &t, sizeof t, 0);
    }
    for (int i = 0; i < IN_TURN; i++)
        CHECK_EQUAL(end_of(futures[i]), 0);
    for (int i = 0; i < TURNS * IN_TURN; i++)
        CHECK_EQUAL(turns.order[i], i % IN_TURN);
}

/* What the compiler keeps in registers over a call must be there after a turn of others; and so
 * must the rounding mode be, of which each has its own. */
static int job_calculate(void *arg, void *result)
{
    int mode = *(int *)arg;
    double sum = mode;
    CHECK_EQUAL(fesetround(mode), 0);
    for (int i = 1; i < 200; i++) {
        sum += 1.0 / i;
        conc_yield();
        CHECK_EQUAL(fegetround(), mode);
    }
    *(double *)result = sum - mode;
    return fesetround(FE_TONEAREST);
}

static void test_tasks_keep_their_registers_and_their_rounding(void)
{
    static const int modes[] = {FE_TONEAREST, FE_UPWARD, FE_DOWNWARD};
    conc_future *futures[3];
    for (int i = 0; i < 3; i++)
        futures[i] = conc_spawn(job_calculate, &modes[i], sizeof(int), sizeof(double));
    for (int i = 0; i < 3; i++) {
        double sum = 0;
        CHECK_EQUAL(conc_future_result(futures[i], &sum, CONC_FOREVER), 0);
        CHECK(sum > 5.87 && sum < 5.89);
        conc_future_unref(futures[i]);
    }
    CHECK_EQUAL(fegetround(), FE_TONEAREST);
}

/* ---- Values of its own ---- */

struct heritage {
    conc_local *key;
    struct value inherited, own;
};

static int job_inherit(void *arg, void *result)
{
    struct heritage *h = pointer_in(arg);
    CHECK(conc_local_get(h->key) == &h->inherited);
    CHECK_EQUAL(conc_local_set(h->key, &h->own), 0);
    conc_yield();
    CHECK(conc_local_get(h->key) == &h->own);
    return 0;
}

/* The end of a value may block: the task has not ended before. */
static void destroy_slowly(void *value)
{
    conc_scope shield;
    conc_shield_enter(&shield);
    CHECK_EQUAL(conc_sleep(CONC_US(100)), 0);
    conc_shield_exit(&shield);
    destroy(value);
}

static void test_a_task_inherits_values_and_its_own_end_with_it(void)
{
    struct heritage h = {.key = NULL}, *address = &h;
    CHECK_EQUAL(conc_local_new(&h.key, destroy_slowly), 0);
    CHECK_EQUAL(conc_local_set(h.key, &h.inherited), 0);
    conc_future *f = conc_spawn(job_inherit, &address, sizeof address, 0);
    conc_future *g = conc_spawn(job_inherit, &address, sizeof address, 0);
    conc_yield();
    CHECK(conc_local_get(h.key) == &h.inherited);
    CHECK_EQUAL(end_of(f), 0);
    CHECK_EQUAL(end_of(g), 0);
    YIELD_UNTIL(destroyed(&h.own) == 2);
    CHECK_EQUAL(destroyed(&h.inherited), 0);
    CHECK_EQUAL(conc_local_set(h.key, NULL), 0);
    YIELD_UNTIL(destroyed(&h.inherited) == 1);
    conc_local_free(h.key);
}

/* ---- In the wrong place ---- */

/* A callback stands on the loop's own stack: what blocks there holds up the thread, but works. */
static void block_in_callback(void *event)
{
    CHECK_EQUAL(conc_sleep(CONC_MS(2)), 0);
    CHECK_EQUAL(conc_sleep(-1), 0);
    conc_event never = CONC_EVENT_INIT;
    CHECK_EQUAL(conc_event_wait(&never, conc_in(CONC_MS(1))), -ETIMEDOUT);
    conc_yield();
    conc_event_set(event);
}

static void test_blocking_in_a_callback_holds_up_the_loop_but_works(void)
{
    conc_event done = CONC_EVENT_INIT;
    int64_t begin = conc_now();
    CHECK_EQUAL(conc_loop_call_soon(conc_loop_current(), block_in_callback, &done, NULL), 0);
    conc_yield();
    CHECK(conc_event_is_set(&done));
    CHECK(conc_now() - begin >= CONC_MS(3));
}

static const struct CMUnitTest tests[] = {
    ON_EVERY_LOOP(test_tasks_spawn_tasks_and_get_their_results),
    ON_EVERY_LOOP(test_a_task_begins_when_its_spawner_lets_it),
    ON_EVERY_LOOP(test_the_argument_is_a_private_copy),
    ON_EVERY_LOOP(test_errors_come_with_their_messages),
    ON_EVERY_LOOP(test_bad_arguments_are_EINVAL),
    ON_EVERY_BACKEND(test_outside_of_a_loop_spawn_is_EINVAL),
    ON_EVERY_LOOP(test_without_memory_it_is_refused),
    ON_EVERY_LOOP(test_a_dropped_tasks_error_is_reported),
    ON_EVERY_LOOP(test_a_callback_may_spawn),
    ON_EVERY_BACKEND(test_threads_spawn_on_a_loop_that_sleeps_or_works),
    ON_EVERY_LOOP(test_a_task_has_the_name_it_is_given),
    ON_EVERY_LOOP(test_a_report_shows_what_tasks_wait_for_and_who_has_it),
    ON_EVERY_LOOP(test_a_task_has_the_stack_it_asks_for),
    ON_EVERY_LOOP(test_tasks_that_yield_take_turns),
    ON_EVERY_LOOP(test_tasks_keep_their_registers_and_their_rounding),
    ON_EVERY_LOOP(test_a_task_inherits_values_and_its_own_end_with_it),
    ON_EVERY_LOOP(test_blocking_in_a_callback_holds_up_the_loop_but_works),
};

TEST_MAIN(tests, 60)
