/* SPDX-License-Identifier: MIT
 *
 * test_loop_locals.c: which local values a loop's callbacks see: those of the thread or task that
 * asked for them; and that what they set stays theirs.
 */
#include "loops.h"
#include "signals.h"

#include <string.h>
#include <unistd.h>

#include <conc/local.h>

static conc_local *key;
static uint32_t destroyed;

static void destroy(void *value) { fetch_add_relaxed(&destroyed, 1); }

/* The thread that deals with signals stays, once it was needed. */
__attribute__((constructor)) static void start_dispatcher(void)
{
    catch_it(SIGUSR1);
    release(SIGUSR1);
}

/* What a callback has seen, and what it sets. */
struct visit {
    const char *seen, *sets;
    int calls;
    conc_event done;
};

static void visit(void *arg)
{
    struct visit *v = arg;
    v->seen = conc_local_get(key);
    v->calls++;
    if (v->sets)
        CHECK_EQUAL(conc_local_set(key, (void *)(uintptr_t)v->sets), 0);
    conc_event_set(&v->done);
}

static void set(const char *value)
{
    CHECK_EQUAL(conc_local_set(key, (void *)(uintptr_t)value), 0);
}

static bool is(const char *value, const char *expected)
{
    return expected ? value && strcmp(value, expected) == 0 : !value;
}

static void await_visit(struct visit *v)
{
    CHECK_EQUAL(conc_event_wait(&v->done, CONC_FOREVER), 0);
    conc_event_clear(&v->done);
}

/* ---- Once ---- */

static int task_ask(void *arg, void *result)
{
    conc_loop *loop = conc_loop_current();
    struct visit none = {0}, a[3] = {{.sets = "callback's"}, {0}, {0}};
    CHECK_EQUAL(conc_loop_call_soon(loop, visit, &none, NULL), 0);
    set("A");
    CHECK_EQUAL(conc_loop_call_soon(loop, visit, &a[0], NULL), 0);
    CHECK_EQUAL(conc_loop_call_later(loop, CONC_MS(1), visit, &a[1], NULL), 0);
    CHECK_EQUAL(conc_loop_call_soon_threadsafe(loop, visit, &a[2], NULL), 0);
    set("A, later");
    await_visit(&none);
    CHECK(is(none.seen, NULL));
    for (int i = 0; i < 3; i++) {
        await_visit(&a[i]);
        CHECK(is(a[i].seen, "A"));
    }
    CHECK(is(conc_local_get(key), "A, later"));
    return 0;
}

static void test_a_callback_sees_its_registrants_values(void)
{
    CHECK_EQUAL(conc_local_new(&key, NULL), 0);
    assert_int_equal(in_task(task_ask, NULL), 0);
    conc_local_free(key);
}

struct asked {
    conc_loop *loop;
    struct visit visit;
};

static void ask_from_thread(void *arg)
{
    struct asked *asked = arg;
    set("the thread's");
    CHECK_EQUAL(conc_loop_call_soon_threadsafe(asked->loop, visit, &asked->visit, NULL), 0);
}

static int task_wait_for_other_thread(void *arg, void *result)
{
    struct asked asked = {.loop = conc_loop_current()};
    struct test_thread other;
    test_thread_start(&other, NULL, ask_from_thread, &asked);
    await_visit(&asked.visit);
    CHECK(is(asked.visit.seen, "the thread's"));
    test_thread_join(&other);
    return 0;
}

static void test_also_those_of_another_thread(void)
{
    CHECK_EQUAL(conc_local_new(&key, NULL), 0);
    assert_int_equal(in_task(task_wait_for_other_thread, NULL), 0);
    conc_local_free(key);
}

static int task_see(void *arg, void *result)
{
    visit(*(struct visit **)arg);
    return 0;
}

static void spawn_it(void *arg)
{
    struct visit *v = arg;
    conc_future_unref(conc_spawn(task_see, &v, sizeof v, 0));
}

static int task_spawn_in_callback(void *arg, void *result)
{
    struct visit v = {0};
    set("A");
    CHECK_EQUAL(conc_loop_call_soon(conc_loop_current(), spawn_it, &v, NULL), 0);
    await_visit(&v);
    CHECK(is(v.seen, "A"));
    return 0;
}

static void test_a_task_that_a_callback_spawns_has_them_too(void)
{
    CHECK_EQUAL(conc_local_new(&key, NULL), 0);
    assert_int_equal(in_task(task_spawn_in_callback, NULL), 0);
    conc_local_free(key);
}

static int task_cancel_handles(void *arg, void *result)
{
    conc_loop *loop = conc_loop_current();
    struct visit v = {0};
    conc_handle *handles[2];
    set("A");
    CHECK_EQUAL(conc_loop_call_soon(loop, visit, &v, &handles[0]), 0);
    CHECK_EQUAL(conc_loop_call_later(loop, CONC_S(1000), visit, &v, &handles[1]), 0);
    set(NULL);
    CHECK_EQUAL(destroyed, 0);
    for (int i = 0; i < 2; i++) {
        CHECK(conc_handle_cancel(handles[i]));
        conc_handle_free(handles[i]);
    }
    YIELD_UNTIL(destroyed == 1);
    CHECK_EQUAL(v.calls, 0);
    return 0;
}

static void test_the_values_of_a_cancelled_callback_are_released(void)
{
    destroyed = 0;
    CHECK_EQUAL(conc_local_new(&key, destroy), 0);
    assert_int_equal(in_task(task_cancel_handles, NULL), 0);
    assert_int_equal(destroyed, 1);
    conc_local_free(key);
}

/* ---- Again and again ---- */

static int task_watch_pipe(void *arg, void *result)
{
    conc_loop *loop = conc_loop_current();
    int fds[2];
    make_pipe(fds);
    struct visit v[2] = {{.sets = "reader's"}, {.sets = "writer's"}};
    set("A");
    CHECK_EQUAL(conc_loop_add_writer(loop, fds[1], visit, &v[1]), 0);
    CHECK_EQUAL(write(fds[1], "x", 1), 1);
    CHECK_EQUAL(conc_loop_add_reader(loop, fds[0], visit, &v[0]), 0);
    for (int i = 0; i < 2; i++) {
        await_visit(&v[i]);
        CHECK(v[i].calls > 1 || is(v[i].seen, "A"));
        YIELD_UNTIL(v[i].calls > 1);
        CHECK(is(v[i].seen, v[i].sets)); /* its own, of the time before */
    }
    CHECK(is(conc_local_get(key), "A"));
    CHECK_EQUAL(conc_loop_remove_reader(loop, fds[0]), 1);
    CHECK_EQUAL(conc_loop_remove_writer(loop, fds[1]), 1);
    YIELD_UNTIL(destroyed >= 2 * 2 - 1);
    close_both(fds);
    return 0;
}

static void test_a_reader_keeps_what_it_sets(void)
{
    destroyed = 0;
    CHECK_EQUAL(conc_local_new(&key, destroy), 0);
    assert_int_equal(in_task(task_watch_pipe, NULL), 0);
    conc_local_free(key);
}

static void raise_usr1(void *unused) { send_signal(SIGUSR1); }

static void remove_itself(void *arg)
{
    visit(arg);
    CHECK_EQUAL(conc_loop_remove_signal_handler(conc_loop_current(), SIGUSR1), 1);
    CHECK(is(conc_local_get(key), "A"));
}

static int task_wait_for_signals(void *arg, void *result)
{
    conc_loop *loop = conc_loop_current();
    struct test_thread other;
    struct visit v = {.sets = "handler's"}, last = {0};
    set("A");
    CHECK_EQUAL(conc_loop_add_signal_handler(loop, SIGUSR1, visit, &v), 0);
    for (int i = 0; i < 2; i++) {
        test_thread_start(&other, NULL, raise_usr1, NULL);
        await_visit(&v);
        CHECK(is(v.seen, i ? "handler's" : "A"));
        test_thread_join(&other);
    }
    CHECK_EQUAL(conc_loop_add_signal_handler(loop, SIGUSR1, remove_itself, &last), 0);
    test_thread_start(&other, NULL, raise_usr1, NULL);
    await_visit(&last);
    CHECK(is(last.seen, "A"));
    test_thread_join(&other);
    CHECK(is(conc_local_get(key), "A"));
    return 0;
}

static void test_so_does_a_signals_handler_which_may_remove_itself(void)
{
    CHECK_EQUAL(conc_local_new(&key, NULL), 0);
    assert_int_equal(in_task(task_wait_for_signals, NULL), 0);
    conc_local_free(key);
}

/* ---- Before the first run ---- */

static void ask_before_run(void *loop)
{
    struct visit v = {.sets = "callback's"};
    set("thread's");
    CHECK_EQUAL(conc_loop_call_soon(loop, visit, &v, NULL), 0);
    CHECK_EQUAL(conc_loop_call_soon(loop, stop_current, NULL, NULL), 0);
    CHECK_EQUAL(conc_loop_run_forever(loop), 0);
    CHECK(is(v.seen, "thread's"));
    CHECK(is(conc_local_get(key), "thread's"));
    free_loop(loop);
}

static void test_callbacks_asked_for_before_the_run_have_the_threads_values(void)
{
    struct test_thread runner;
    CHECK_EQUAL(conc_local_new(&key, NULL), 0);
    test_thread_start(&runner, NULL, ask_before_run, new_loop());
    test_thread_join(&runner);
    conc_local_free(key);
}

static const struct CMUnitTest tests[] = {
    ON_EVERY_BACKEND(test_a_callback_sees_its_registrants_values),
    ON_EVERY_BACKEND(test_also_those_of_another_thread),
    ON_EVERY_BACKEND(test_a_task_that_a_callback_spawns_has_them_too),
    ON_EVERY_BACKEND(test_the_values_of_a_cancelled_callback_are_released),
    ON_EVERY_BACKEND(test_a_reader_keeps_what_it_sets),
    ON_EVERY_BACKEND(test_so_does_a_signals_handler_which_may_remove_itself),
    ON_EVERY_BACKEND(test_callbacks_asked_for_before_the_run_have_the_threads_values),
};

TEST_MAIN(tests, 60)
