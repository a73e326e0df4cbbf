/* SPDX-License-Identifier: MIT
 *
 * test_unobserved.c: errors that no context looked at: when and to whom they are reported, and what
 * counts as looking.
 */
#include "jobs.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static conc_future *pending(void)
{
    conc_future *f = NULL;
    assert_int_equal(conc_future_new(&f, sizeof(int)), 0);
    return f;
}

static conc_future *finished(int value)
{
    conc_future *f = pending();
    assert_int_equal(conc_future_set_result(f, &value), 0);
    return f;
}

static conc_future *failed(int err, const char *message)
{
    conc_future *f = pending();
    assert_int_equal(message ? conc_future_set_error(f, err, "%s", message)
                             : conc_future_set_error(f, err, NULL),
                     0);
    return f;
}

static conc_future *cancelled(void)
{
    conc_future *f = pending();
    assert_true(conc_future_cancel(f));
    return f;
}

static void test_an_unobserved_error_is_reported_when_the_future_dies(void **state)
{
    struct unobserved u;
    unobserved_watch(&u);
    conc_future *f = failed(-EIO, "nobody");
    conc_future_ref(f);
    conc_future_unref(f);
    assert_int_equal(u.count, 0);
    conc_future_unref(f);
    assert_int_equal(u.count, 1);
    assert_int_equal(u.err, -EIO);
    assert_string_equal(u.message, "nobody");
    assert_int_equal(u.context, conc_context_id(NULL));
}

static void test_an_unobserved_error_without_a_message(void **state)
{
    struct unobserved u;
    unobserved_watch(&u);
    conc_future_unref(failed(-EPERM, NULL));
    assert_int_equal(u.count, 1);
    assert_int_equal(u.err, -EPERM);
    assert_string_equal(u.message, "");
}

static void look_by_result(conc_future *f)
{
    assert_int_equal(conc_future_result(f, NULL, CONC_NOW), -EIO);
}
static void look_by_error(conc_future *f) { assert_int_equal(conc_future_error(f), -EIO); }
static void look_by_message(conc_future *f) { assert_string_equal(conc_future_message(f), "seen"); }
static void look_by_wait_for(conc_future *f)
{
    assert_int_equal(conc_wait_for(f, NULL, CONC_NOW), -EIO);
}

static void look_by_gather(conc_future *f)
{
    int err;
    assert_int_equal(conc_gather(&f, 1, &err, CONC_NOW), 0);
}

static void look_by_first_gather(conc_future *f)
{
    assert_int_equal(conc_gather(&f, 1, NULL, CONC_NOW), -EIO);
}

static void test_who_asks_for_the_error_observes_it(void **state)
{
    static void (*const looks[])(conc_future *) = {look_by_result,  look_by_error,
                                                   look_by_message, look_by_wait_for,
                                                   look_by_gather,  look_by_first_gather};
    struct unobserved u;
    unobserved_watch(&u);
    for (size_t i = 0; i < sizeof looks / sizeof *looks; i++) {
        conc_future *f = failed(-EIO, "seen");
        looks[i](f);
        conc_future_unref(f);
        assert_int_equal(u.count, 0);
    }
}

static void test_waiting_or_looking_at_the_state_does_not_observe(void **state)
{
    struct unobserved u;
    unobserved_watch(&u);
    conc_future *f = pending();
    assert_int_equal(conc_future_error(f), -EAGAIN); /* too early */
    assert_string_equal(conc_future_message(f), "");
    assert_int_equal(conc_future_set_error(f, -EIO, NULL), 0);
    assert_int_equal(conc_future_wait(f, CONC_FOREVER), 0);
    assert_int_equal(conc_wait(&f, 1, CONC_ALL_COMPLETED, CONC_FOREVER), 1);
    assert_true(conc_future_is_done(f));
    assert_null(conc_future_value(f));
    conc_future_unref(f);
    assert_int_equal(u.count, 1);
}

static void test_cancelled_and_successful_futures_are_not_reported(void **state)
{
    struct unobserved u;
    unobserved_watch(&u);
    conc_future_unref(cancelled());
    conc_future_unref(finished(1));
    conc_future_unref(pending());
    assert_int_equal(u.count, 0);
}

/* Fails a future with stderr in a file; is there a line with all that one needs to know? */
static int default_report(void *arg)
{
    char path[] = "/tmp/conc_test_XXXXXX", line[512] = "";
    int fd = mkstemp(path);
    if (fd < 0 || dup2(fd, 2) < 0)
        return 2;
    unlink(path);
    conc_future *f;
    if (conc_future_new(&f, 0) || conc_future_set_error(f, -EIO, "what was wrong"))
        return 3;
    conc_future_unref(f);
    fflush(stderr);
    ssize_t n = pread(fd, line, sizeof line - 1, 0);
    bool good = n > 0 && line[n - 1] == '\n' && strchr(line, '\n') == line + n - 1 &&
                strstr(line, "result: what was wrong (-5)\n");
    return good ? 0 : 1;
}

static void test_the_default_report_is_a_line_on_stderr(void **state)
{
    assert_int_equal(in_child(default_report, NULL), 0);
}

static void test_hook_NULL_is_the_default(void **state)
{
    struct unobserved u;
    unobserved_watch(&u);
    conc_future_on_unobserved(NULL, NULL);
    assert_int_equal(in_child(default_report, NULL), 0);
    assert_int_equal(u.count, 0);
}

static const struct CMUnitTest tests[] = {
    LEAK_TEST(test_an_unobserved_error_is_reported_when_the_future_dies),
    LEAK_TEST(test_an_unobserved_error_without_a_message),
    LEAK_TEST(test_who_asks_for_the_error_observes_it),
    LEAK_TEST(test_waiting_or_looking_at_the_state_does_not_observe),
    LEAK_TEST(test_cancelled_and_successful_futures_are_not_reported),
    LEAK_TEST(test_the_default_report_is_a_line_on_stderr),
    LEAK_TEST(test_hook_NULL_is_the_default),
};

TEST_MAIN(tests, 30)
