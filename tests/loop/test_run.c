/* SPDX-License-Identifier: MIT
 *
 * test_run.c: conc_run(); what the environment says about loops; reports of what holds a loop.
 */
#include "loops.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* conc_run() makes a loop of the backend that the environment asks for. */
static void choose_backend(void)
{
    assert_int_equal(setenv("CONC_BACKEND", backend == CONC_BACKEND_URING ? "uring" : "epoll", 1),
                     0);
}

/* ---- Results and errors ---- */

static void test_run_gives_the_main_tasks_result(void)
{
    int value = -1;
    choose_backend();
    for (int i = 1; i < 5; i++) {
        assert_int_equal(conc_run(job_square, &i, sizeof i, &value, sizeof value), 0);
        assert_int_equal(value, i * i);
    }
    assert_int_equal(conc_run(job_square, &(int){9}, sizeof(int), NULL, sizeof value), 0);
    assert_int_equal(value, 16);
    assert_null(conc_loop_current());
}

static void test_run_gives_the_main_tasks_error_and_message(void)
{
    int value = -1;
    struct unobserved u;
    choose_backend();
    unobserved_watch(&u);
    assert_int_equal(conc_run(job_raise, &(int){-EIO}, sizeof(int), &value, sizeof value), -EIO);
    assert_string_equal(conc_error_message(), "job failed: -5");
    assert_int_equal(value, -1);
    assert_int_equal(conc_run(job_return, &(int){-EIO}, sizeof(int), NULL, 0), -EIO);
    assert_string_equal(conc_error_message(), "");
    assert_int_equal(conc_run(NULL, NULL, 0, NULL, 0), -EINVAL);
    assert_int_equal(conc_run(job_square, NULL, 1, NULL, 0), -EINVAL);
    assert_int_equal(u.count, 0);
}

/* ---- Tasks that nobody asks about ---- */

static struct unobserved seen;

static int job_detach(void *arg, void *result)
{
    CHECK_EQUAL(conc_spawn_detached(job_raise, arg, sizeof(int)), 0);
    CHECK_EQUAL(conc_spawn_detached(job_return, &(int){0}, sizeof(int)), 0);
    CHECK_EQUAL(conc_spawn_detached(NULL, NULL, 0), -EINVAL);
    YIELD_UNTIL(load_acquire(&seen.count) == 1); /* when it fails, not only at the loop's end */
    return 0;
}

static void test_detached_tasks_error_is_reported(void)
{
    choose_backend();
    unobserved_watch(&seen);
    assert_int_equal(conc_spawn_detached(job_square, &(int){1}, sizeof(int)), -EINVAL);
    assert_int_equal(conc_run(job_detach, &(int){-EIO}, sizeof(int), NULL, 0), 0);
    assert_int_equal(seen.count, 1);
    assert_int_equal(seen.err, -EIO);
    assert_string_equal(seen.message, "job failed: -5");
}

enum { LOST, ASKED, GIVEN_BACK, CANCELLED, KINDS };

static conc_future *kept[KINDS];

static int job_spawn_failing(void *arg, void *result)
{
    for (int i = 0; i < KINDS; i++)
        kept[i] = i == CANCELLED ? conc_spawn(job_until_cancelled, NULL, 0, 0)
                                 : conc_spawn(job_raise, arg, sizeof(int), 0);
    CHECK_EQUAL(conc_future_result(kept[ASKED], NULL, CONC_FOREVER), -EIO);
    conc_yield();
    conc_future_cancel(kept[CANCELLED]);
    YIELD_UNTIL(conc_future_is_done(kept[CANCELLED]) && conc_future_is_done(kept[LOST]));
    CHECK_EQUAL(seen.count, 0);
    conc_future_unref(kept[GIVEN_BACK]);
    CHECK_EQUAL(seen.count, 1); /* there and then */
    return 0;
}

static void test_loop_that_ends_reports_what_nobody_asked_about(void)
{
    choose_backend();
    unobserved_watch(&seen);
    assert_int_equal(conc_run(job_spawn_failing, &(int){-EIO}, sizeof(int), NULL, 0), 0);
    assert_int_equal(seen.count, 2); /* the lost one's, once */
    for (int i = 0; i < KINDS; i++)
        if (i != GIVEN_BACK)
            conc_future_unref(kept[i]);
    assert_int_equal(seen.count, 2);
}

/* The loop's list of them does not grow with errors that are asked for later. */
static int job_spawn_many_failing(void *arg, void *result)
{
    enum { MANY = 2000, AT_A_TIME = 10 };
    conc_future *f[AT_A_TIME];
    int32_t before = 0;
    for (int i = 0; i < MANY / AT_A_TIME; i++) {
        for (int j = 0; j < AT_A_TIME; j++)
            f[j] = conc_spawn(job_raise, arg, sizeof(int), 0);
        YIELD_UNTIL(conc_future_is_done(f[AT_A_TIME - 1]));
        for (int j = 0; j < AT_A_TIME; j++) {
            CHECK_EQUAL(conc_future_error(f[j]), -EIO);
            conc_future_unref(f[j]);
        }
        if (i == 10)
            before = load_relaxed(&conc__hooks.allocated);
    }
    CHECK(load_relaxed(&conc__hooks.allocated) < before + 200);
    return 0;
}

static void test_errors_that_are_asked_for_are_not_kept(void)
{
    choose_backend();
    unobserved_watch(&seen);
    assert_int_equal(conc_run(job_spawn_many_failing, &(int){-EIO}, sizeof(int), NULL, 0), 0);
    assert_int_equal(seen.count, 0);
}

/* ---- Stopping ---- */

static int job_stop(void *arg, void *result)
{
    conc_loop_stop(conc_loop_current());
    return conc_sleep_until(CONC_FOREVER);
}

static void test_run_that_is_stopped_cancels_its_main_task(void)
{
    choose_backend();
    assert_int_equal(conc_run(job_stop, NULL, 0, NULL, 0), -EINTR);
}

struct family {
    conc_event begun;
    conc_future *child;
    int end;
};

static int job_child(void *arg, void *result)
{
    struct family *family = pointer_in(arg);
    conc_scope shield;
    conc_event_set(&family->begun);
    int err = conc_sleep_until(CONC_FOREVER);
    conc_shield_enter(&shield);
    conc_sleep(CONC_MS(2));
    conc_shield_exit(&shield);
    return family->end = err;
}

static int job_parent(void *arg, void *result)
{
    struct family *family = pointer_in(arg);
    family->child = conc_spawn(job_child, arg, sizeof family, 0);
    return conc_event_wait(&family->begun, CONC_FOREVER);
}

static void test_tasks_that_are_left_are_cancelled_and_awaited(void)
{
    struct family family = {.begun = CONC_EVENT_INIT}, *f = &family;
    choose_backend();
    assert_int_equal(conc_run(job_parent, &f, sizeof f, NULL, 0), 0);
    assert_int_equal(family.end, -ECANCELED);
    assert_true(conc_future_is_cancelled(family.child));
    conc_future_unref(family.child);
}

static void run_nested(void *arg) { *(int *)arg = conc_run(job_return, &(int){0}, 4, NULL, 0); }

static int job_run_in_thread(void *arg, void *result)
{
    struct test_thread thread; /* of its own: there it may */
    int *err = pointer_in(arg);
    run_nested(err);
    CHECK_EQUAL(*err, -EBUSY);
    test_thread_start(&thread, NULL, run_nested, err);
    test_thread_join(&thread);
    return *err;
}

static void test_run_in_a_task_is_EBUSY_but_not_in_another_thread(void)
{
    int err = 0, *e = &err;
    choose_backend();
    assert_int_equal(conc_run(job_run_in_thread, &e, sizeof e, NULL, 0), 0);
}

static void test_without_memory_run_fails_and_nothing_is_lost(void)
{
    int n, value = -1;
    choose_backend();
    for (n = 1; n < 50; n++) {
        fail_alloc(n);
        int err = conc_run(job_square, &(int){5}, sizeof(int), &value, sizeof value);
        if (!alloc_has_failed())
            break;
        assert_true(err == 0 || err == -ENOMEM);
        assert_int_equal(value, err ? -1 : 25);
        value = -1;
    }
    assert_true(n > 4 && n < 50);
    assert_int_equal(value, 25);
}

/* ---- The environment ---- */

static int job_backend(void *arg, void *result)
{
    snprintf(result, 10, "%s", conc_loop_backend(conc_loop_current()));
    return 0;
}

static void test_the_environment_chooses_the_backend(void)
{
    char name[10] = "";
    const char *expected = backend == CONC_BACKEND_URING ? "io_uring" : "epoll";
    choose_backend();
    assert_int_equal(conc_run(job_backend, NULL, 0, name, sizeof name), 0);
    assert_string_equal(name, expected);
    /* the options say otherwise */
    const conc_loop_options options = {.backend = CONC_BACKEND_EPOLL};
    conc_loop *loop;
    assert_int_equal(conc_loop_new(&loop, &options), 0);
    conc_future *f = conc_task_start(loop, job_backend, NULL, 0, sizeof name, NULL);
    assert_int_equal(conc_loop_run_until_complete(loop, f), 0);
    assert_string_equal(conc_future_value(f), "epoll");
    conc_future_unref(f);
    free_loop(loop);
    assert_int_equal(setenv("CONC_BACKEND", "kqueue", 1), 0);
    assert_int_equal(conc_run(job_backend, NULL, 0, name, sizeof name), -EINVAL);
    assert_string_equal(conc_error_message(),
                        "CONC_BACKEND is \"kqueue\"; it must be uring or epoll");
}

/* ---- What holds the loop ---- */

/* The library's clock is moved, so that something takes long. */
static void take_long(void *unused) { conc__test_advance(CONC_S(3)); }

static void take_no_time(void *unused) {}

static int job_take_long(void *arg, void *result)
{
    conc_sleep(CONC_US(1));
    take_long(NULL);
    conc_sleep(CONC_US(1)); /* what it has to wait does not count */
    return 0;
}

static void name_me(void *unused) { conc_context_set_name("renamed"); }

static int stderr_before;

static void catch_stderr(void)
{
    char path[] = "/tmp/conc_test_XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    unlink(path);
    stderr_before = dup(2);
    assert_int_equal(dup2(fd, 2), 2);
    close(fd);
}

/* What has been written to it, into `text`; how many lines? It is the old one again. */
static int caught_lines(char text[512])
{
    fflush(stderr);
    ssize_t n = pread(2, text, 511, 0);
    int lines = 0;
    text[n > 0 ? n : 0] = '\0';
    for (const char *c = text; *c; c++)
        lines += *c == '\n';
    assert_int_equal(dup2(stderr_before, 2), 2);
    close(stderr_before);
    return lines;
}

static void run_named(conc_loop *loop, conc_fn *fn)
{
    const conc_task_options options = {.name = "sluggish"};
    assert_int_equal(run_until(loop, conc_task_start(loop, fn, NULL, 0, 0, &options)), 0);
}

static int job_nothing(void *arg, void *result) { return 0; }

static void test_what_holds_the_loop_is_reported(void)
{
    char text[512];
    conc_loop *loop = new_loop();
    int fds[2];
    make_sockets(SOCK_STREAM, fds);
    catch_stderr();
    assert_int_equal(conc_loop_set_debug(loop, CONC_S(2)), 0);
    run_named(loop, job_take_long);
    assert_int_equal(caught_lines(text), 1);
    assert_non_null(strstr(text, "task sluggish"));
    assert_non_null(strstr(text, "3.0"));
    catch_stderr();
    assert_int_equal(conc_loop_call_soon(loop, take_long, NULL, NULL), 0);
    assert_int_equal(conc_loop_call_later(loop, 1, take_long, NULL, NULL), 0);
    assert_int_equal(conc_loop_add_writer(loop, fds[0], take_long, NULL), 0);
    run_named(loop, job_take_long);
    assert_true(caught_lines(text) >= 3);
    assert_non_null(strstr(text, "callback"));
    assert_int_equal(conc_loop_remove_writer(loop, fds[0]), 1);
    close_both(fds);
    free_loop(loop);
}

static void test_what_is_brief_is_not_reported(void)
{
    char text[512];
    conc_loop *loop = new_loop();
    catch_stderr();
    run_named(loop, job_take_long); /* reports were not asked for */
    assert_int_equal(conc_loop_set_debug(loop, CONC_S(20)), 0);
    assert_int_equal(conc_loop_call_soon(loop, take_no_time, NULL, NULL), 0);
    run_named(loop, job_take_long);
    assert_int_equal(conc_loop_set_debug(loop, 0), 0);
    run_named(loop, job_take_long);
    assert_int_equal(caught_lines(text), 0);
    free_loop(loop);
}

static void set_debug(void *loop) { CHECK_EQUAL(conc_loop_set_debug(loop, CONC_S(2)), 0); }

static int job_set_debug(void *arg, void *result)
{
    set_debug(pointer_in(arg));
    conc_yield();
    return 0;
}

/* The callback that asks for reports began before the clock was watched: it gets no report
 * itself. */
static void test_debug_when_set_in_a_callback_does_not_report_it(void)
{
    char text[512];
    conc_loop *loop = new_loop();
    catch_stderr();
    assert_int_equal(run_task(loop, job_set_debug, &loop, sizeof loop), 0);
    assert_int_equal(conc_loop_set_debug(loop, 0), 0);
    assert_int_equal(conc_loop_call_soon(loop, set_debug, loop, NULL), 0);
    assert_int_equal(run_task(loop, job_nothing, NULL, 0), 0);
    assert_int_equal(caught_lines(text), 0);
    free_loop(loop);
}

/* How many reports does a loop give of something that takes three seconds? */
static int reports(const char *variable, int64_t option)
{
    char text[512];
    const conc_loop_options options = {.backend = backend, .slow_after_ns = option};
    conc_loop *loop;
    assert_int_equal(setenv("CONC_DEBUG", variable, 1), 0);
    assert_int_equal(conc_loop_new(&loop, &options), 0);
    catch_stderr();
    run_named(loop, job_take_long);
    free_loop(loop);
    return caught_lines(text);
}

static void test_the_environment_asks_for_reports(void)
{
    assert_int_equal(reports("2500", 0), 1);
    assert_int_equal(reports("3500.5", 0), 0);
    assert_int_equal(reports("0", 0), 0);
    assert_int_equal(reports("", 0), 0);
    assert_int_equal(reports("3500.5", CONC_S(1)), 1);
    assert_int_equal(reports("2500", CONC_S(10)), 0);
}

/* The names of threads and tasks are apart: a callback has the thread's. */
static void test_a_callback_runs_in_the_threads_context(void)
{
    conc_loop *loop = new_loop();
    assert_int_equal(conc_loop_call_soon(loop, name_me, NULL, NULL), 0);
    run_named(loop, job_nothing);
    assert_string_equal(conc_context_name(conc_context_current()), "renamed");
    conc_context_set_name("main");
    free_loop(loop);
}

static const struct CMUnitTest tests[] = {
    ON_EVERY_BACKEND(test_run_gives_the_main_tasks_result),
    ON_EVERY_BACKEND(test_run_gives_the_main_tasks_error_and_message),
    ON_EVERY_BACKEND(test_detached_tasks_error_is_reported),
    ON_EVERY_BACKEND(test_loop_that_ends_reports_what_nobody_asked_about),
    ON_EVERY_BACKEND(test_errors_that_are_asked_for_are_not_kept),
    ON_EVERY_BACKEND(test_run_that_is_stopped_cancels_its_main_task),
    ON_EVERY_BACKEND(test_tasks_that_are_left_are_cancelled_and_awaited),
    ON_EVERY_BACKEND(test_run_in_a_task_is_EBUSY_but_not_in_another_thread),
    ON_EVERY_BACKEND(test_without_memory_run_fails_and_nothing_is_lost),
    ON_EVERY_BACKEND(test_the_environment_chooses_the_backend),
    ON_EVERY_BACKEND(test_what_holds_the_loop_is_reported),
    ON_EVERY_BACKEND(test_what_is_brief_is_not_reported),
    ON_EVERY_BACKEND(test_debug_when_set_in_a_callback_does_not_report_it),
    IN_CHILD_ON_EVERY_BACKEND(test_the_environment_asks_for_reports),
    ON_EVERY_BACKEND(test_a_callback_runs_in_the_threads_context),
};

TEST_MAIN(tests, 60)
