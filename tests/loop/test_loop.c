/* SPDX-License-Identifier: MIT
 *
 * test_loop.c: making, running and stopping a loop; what its tasks see of that. Its
 * callbacks: test_loop_calls.c. conc_run(), and what the environment says: test_run.c.
 */
#include "loops.h"

#include <sys/resource.h>
#include <unistd.h>

/* ---- Making ---- */

static void test_a_loop_that_never_ran_can_be_freed(void)
{
    conc_loop *loop = new_loop();
    assert_false(conc_loop_is_running(loop));
    assert_string_equal(conc_loop_backend(loop), "");
    assert_null(conc_loop_current());
    free_loop(loop);
    free_loop(NULL);
}

static void test_bad_options_are_EINVAL(void)
{
    conc_loop *loop = NULL;
    assert_int_equal(conc_loop_new(&loop, &(conc_loop_options){.backend = 3}), -EINVAL);
    assert_int_equal(conc_loop_new(&loop, &(conc_loop_options){.backend = -1}), -EINVAL);
    assert_null(loop);
}

static void allow_descriptors(int n)
{
    struct rlimit limit;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
    limit.rlim_cur = n < 0 ? limit.rlim_max : (rlim_t)n;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
}

static int job_nothing(void *arg, void *result) { return 0; }

static void test_without_descriptors_it_is_EMFILE_and_then_it_works(void)
{
    conc_loop *loop = NULL;
    int lowest = dup(0);
    close(lowest);
    allow_descriptors(lowest);
    assert_int_equal(conc_loop_new(&loop, NULL), -EMFILE);
    assert_null(loop);
    assert_int_equal(conc_run(job_nothing, NULL, 0, NULL, 0), -EMFILE);
    allow_descriptors(lowest + 1); /* for the eventfd, not for the backend */
    loop = new_loop();
    conc_future *f = conc_task_start(loop, job_nothing, NULL, 0, 0, NULL);
    assert_int_equal(conc_loop_run_until_complete(loop, f), -EMFILE);
    assert_int_equal(conc_loop_run_forever(loop), -EMFILE);
    assert_false(conc_loop_is_running(loop));
    assert_int_equal(conc_run(job_nothing, NULL, 0, NULL, 0), -EMFILE);
    allow_descriptors(-1);
    assert_int_equal(run_until(loop, f), 0);
    free_loop(loop);
}

/* ---- Running until something is done ---- */

static int job_seven(void *arg, void *result)
{
    conc_loop *loop = pointer_in(arg);
    CHECK(conc_loop_current() == loop);
    CHECK(conc_loop_is_running(loop));
    CHECK(*conc_loop_backend(loop) == (backend == CONC_BACKEND_URING ? 'i' : 'e'));
    *(int *)result = 7;
    return 0;
}

static void test_run_until_complete_leaves_the_result_in_the_future(void)
{
    conc_loop *loop = new_loop();
    for (int i = 0; i < 3; i++) {
        int value = 0;
        conc_future *f = conc_task_start(loop, job_seven, &loop, sizeof loop, sizeof value, NULL);
        assert_false(conc_future_is_done(f));
        assert_int_equal(conc_loop_run_until_complete(loop, f), 0);
        assert_false(conc_loop_is_running(loop));
        assert_null(conc_loop_current());
        assert_int_equal(conc_future_result(f, &value, CONC_NOW), 0);
        assert_int_equal(value, 7);
        conc_future_unref(f);
    }
    free_loop(loop);
}

static void test_run_until_complete_takes_any_future(void)
{
    conc_loop *loop = new_loop();
    conc_future *f;
    assert_int_equal(conc_loop_run_until_complete(loop, NULL), -EINVAL);
    assert_int_equal(conc_future_new(&f, 0), 0);
    assert_int_equal(conc_future_set_error(f, -EIO, "failed before"), 0);
    assert_int_equal(run_until(loop, f), -EIO);
    assert_int_equal(conc_future_new(&f, 0), 0);
    assert_true(conc_future_cancel(f));
    assert_int_equal(run_until(loop, f), -ECANCELED);
    assert_int_equal(run_task(loop, job_return, &(int){-EPROTO}, sizeof(int)), -EPROTO);
    free_loop(loop);
}

static void complete_when_loop_sleeps(void *future)
{
    wait_until_blocked("main", "loop");
    CHECK_EQUAL(conc_future_set_result(future, NULL), 0);
}

static void test_a_future_that_another_thread_completes_wakes_the_loop(void)
{
    conc_loop *loop = new_loop();
    for (int i = 0; i < 5; i++) {
        struct test_thread other;
        conc_future *f;
        assert_int_equal(conc_future_new(&f, 0), 0);
        test_thread_start(&other, NULL, complete_when_loop_sleeps, f);
        assert_int_equal(run_until(loop, conc_future_ref(f)), 0);
        test_thread_join(&other);
        conc_future_unref(f);
    }
    free_loop(loop);
}

/* ---- Stopping ---- */

static int job_stop(void *arg, void *result)
{
    conc_loop_stop(conc_loop_current());
    conc_loop_stop(conc_loop_current());
    return conc_sleep(CONC_MS(1));
}

static void test_stop_ends_the_run_and_tasks_go_on_in_the_next(void)
{
    conc_loop *loop = new_loop();
    conc_future *f = conc_task_start(loop, job_stop, NULL, 0, 0, NULL);
    assert_int_equal(conc_loop_run_until_complete(loop, f), -EINTR);
    assert_false(conc_future_is_done(f));
    assert_true(conc_future_is_running(f));
    assert_int_equal(run_until(loop, f), 0);
    free_loop(loop);
}

static void test_stop_before_the_run_ends_it_after_one_turn(void)
{
    conc_loop *loop = new_loop();
    for (int i = 0; i < 2; i++) {
        conc_event first = CONC_EVENT_INIT, second = CONC_EVENT_INIT;
        conc_loop_stop(loop);
        conc_loop_stop(loop);
        assert_int_equal(conc_loop_call_soon(loop, set_event, &first, NULL), 0);
        assert_int_equal(conc_loop_run_forever(loop), 0);
        assert_true(conc_event_is_set(&first)); /* the turn took place */
        assert_int_equal(conc_loop_call_soon(loop, stop_current, NULL, NULL), 0);
        assert_int_equal(conc_loop_call_soon(loop, set_event, &second, NULL), 0);
        assert_int_equal(conc_loop_run_forever(loop), 0);
        assert_true(conc_event_is_set(&second)); /* a turn is ended, not broken off */
    }
    free_loop(loop);
}

static void stop_when_loop_sleeps(void *loop)
{
    wait_until_blocked("main", "loop");
    conc_loop_stop(loop);
}

static void test_stop_from_another_thread_wakes_the_loop(void)
{
    conc_loop *loop = new_loop();
    for (int i = 0; i < 5; i++) {
        struct test_thread other;
        test_thread_start(&other, NULL, stop_when_loop_sleeps, loop);
        assert_int_equal(conc_loop_run_forever(loop), 0);
        test_thread_join(&other);
    }
    free_loop(loop);
}

static int job_stop_and_end(void *arg, void *result)
{
    conc_loop_stop(conc_loop_current());
    return 0;
}

/* The run's own frame is told of the future's end: it must not be left while that is under way. */
static void complete_at_once(void *future) { CHECK_EQUAL(conc_future_set_result(future, NULL), 0); }

static void test_stop_that_races_with_the_end_of_what_is_awaited(void)
{
    conc_loop *loop = new_loop();
    for (int i = 0; i < (int)crowd_of(400); i++) {
        struct test_thread other;
        conc_future *f;
        assert_int_equal(conc_future_new(&f, 0), 0);
        test_thread_start(&other, NULL, complete_at_once, f);
        for (int j = 0; j < i % 7; j++)
            conc_yield();
        conc_loop_stop(loop);
        int err = conc_loop_run_until_complete(loop, f);
        assert_true(err == 0 || err == -EINTR);
        assert_true(err == -EINTR || conc_future_is_done(f));
        test_thread_join(&other);
        assert_int_equal(run_until(loop, f), 0);
    }
    assert_int_equal(run_task(loop, job_stop_and_end, NULL, 0), 0);
    free_loop(loop);
}

/* ---- Where it may not run ---- */

struct two_loops {
    conc_loop *loop, *other;
    conc_future *pending;
};

static void try_to_run_again(void *arg)
{
    struct two_loops *two = arg;
    conc_loop *const loops[] = {two->loop, two->other};
    for (int i = 0; i < 2; i++) {
        CHECK_EQUAL(conc_loop_run_forever(loops[i]), -EBUSY);
        CHECK_EQUAL(conc_loop_run_until_complete(loops[i], two->pending), -EBUSY);
        CHECK_EQUAL(conc_loop_free(loops[i]), -EBUSY);
    }
    CHECK_EQUAL(conc_run(job_nothing, NULL, 0, NULL, 0), -EBUSY);
}

static int job_run_again(void *arg, void *result)
{
    try_to_run_again(pointer_in(arg));
    return 0;
}

static void test_a_run_inside_a_run_is_EBUSY(void)
{
    struct two_loops two = {.loop = new_loop(), .other = new_loop()}, *t = &two;
    assert_int_equal(conc_future_new(&two.pending, 0), 0);
    assert_int_equal(conc_loop_call_soon(two.loop, try_to_run_again, &two, NULL), 0);
    assert_int_equal(run_task(two.loop, job_run_again, &t, sizeof t), 0);
    assert_int_equal(run_task(two.other, job_nothing, NULL, 0), 0);
    conc_future_unref(two.pending);
    free_loop(two.loop);
    free_loop(two.other);
}

static void call_nothing(void *arg) {}

static void use_elsewhere(void *arg)
{
    conc_loop *loop = arg;
    conc_future *f;
    CHECK_EQUAL(conc_future_new(&f, 0), 0);
    CHECK_EQUAL(conc_loop_run_forever(loop), -EPERM);
    CHECK_EQUAL(conc_loop_run_until_complete(loop, f), -EPERM);
    CHECK_EQUAL(conc_loop_free(loop), -EPERM);
    CHECK_EQUAL(conc_loop_call_soon(loop, call_nothing, NULL, NULL), -EPERM);
    CHECK_EQUAL(conc_loop_call_later(loop, 0, call_nothing, NULL, NULL), -EPERM);
    CHECK_EQUAL(conc_loop_call_at(loop, conc_in(9), call_nothing, NULL, NULL), -EPERM);
    CHECK_EQUAL(conc_loop_add_reader(loop, 0, call_nothing, NULL), -EPERM);
    CHECK_EQUAL(conc_loop_add_writer(loop, 0, call_nothing, NULL), -EPERM);
    CHECK_EQUAL(conc_loop_remove_reader(loop, 0), -EPERM);
    CHECK_EQUAL(conc_loop_remove_writer(loop, 0), -EPERM);
    CHECK_EQUAL(conc_loop_add_signal_handler(loop, 10, call_nothing, NULL), -EPERM);
    CHECK_EQUAL(conc_loop_remove_signal_handler(loop, 10), -EPERM);
    CHECK_EQUAL(conc_loop_set_debug(loop, 1), -EPERM);
    CHECK_EQUAL(conc_loop_set_default_executor(loop, NULL), -EPERM);
    conc_future_unref(f);
    f = conc_loop_run_in_executor(loop, NULL, job_nothing, NULL, 0, 0);
    CHECK_EQUAL(conc_future_error(f), -EPERM);
    conc_future_unref(f);
}

static void use_in_another_thread(conc_loop *loop)
{
    struct test_thread other;
    test_thread_start(&other, NULL, use_elsewhere, loop);
    test_thread_join(&other);
}

static void use_in_another_thread_from_callback(void *loop) { use_in_another_thread(loop); }

static void test_another_thread_than_its_own_gets_EPERM(void)
{
    conc_loop *loop = new_loop();
    conc_loop_stop(loop);
    assert_int_equal(conc_loop_run_forever(loop), 0);
    use_in_another_thread(loop);
    assert_int_equal(conc_loop_call_soon(loop, use_in_another_thread_from_callback, loop, NULL), 0);
    assert_int_equal(conc_loop_call_soon(loop, stop_current, NULL, NULL), 0);
    assert_int_equal(conc_loop_run_forever(loop), 0);
    free_loop(loop);
}

static const struct CMUnitTest tests[] = {
    ON_EVERY_BACKEND(test_a_loop_that_never_ran_can_be_freed),
    ON_EVERY_BACKEND(test_bad_options_are_EINVAL),
    IN_CHILD_ON_EVERY_BACKEND(test_without_descriptors_it_is_EMFILE_and_then_it_works),
    ON_EVERY_BACKEND(test_run_until_complete_leaves_the_result_in_the_future),
    ON_EVERY_BACKEND(test_run_until_complete_takes_any_future),
    ON_EVERY_BACKEND(test_a_future_that_another_thread_completes_wakes_the_loop),
    ON_EVERY_BACKEND(test_stop_ends_the_run_and_tasks_go_on_in_the_next),
    ON_EVERY_BACKEND(test_stop_before_the_run_ends_it_after_one_turn),
    ON_EVERY_BACKEND(test_stop_from_another_thread_wakes_the_loop),
    ON_EVERY_BACKEND(test_stop_that_races_with_the_end_of_what_is_awaited),
    ON_EVERY_BACKEND(test_a_run_inside_a_run_is_EBUSY),
    ON_EVERY_BACKEND(test_another_thread_than_its_own_gets_EPERM),
};

TEST_MAIN(tests, 60)
