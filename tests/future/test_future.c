/* SPDX-License-Identifier: MIT
 *
 * test_future.c: a future that the program completes itself: its states, what each function returns
 * in each of them, messages, references, callbacks. Waiting: test_future_wait.c. Errors that nobody
 * looked at: test_unobserved.c. Futures of jobs: test_job.c.
 */
#include "jobs.h"

#include <stdlib.h>
#include <string.h>

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

/* ---- What it is in each state ---- */

static void test_new_is_pending(void **state)
{
    conc_future *f = pending();
    assert_false(conc_future_is_done(f));
    assert_false(conc_future_is_running(f));
    assert_false(conc_future_is_cancelled(f));
    assert_int_equal(conc_future_error(f), -EAGAIN);
    assert_string_equal(conc_future_message(f), "");
    assert_null(conc_future_value(f));
    conc_future_unref(f);
}

static void test_set_result_finishes_it(void **state)
{
    conc_future *f = finished(42);
    assert_true(conc_future_is_done(f));
    assert_false(conc_future_is_running(f));
    assert_false(conc_future_is_cancelled(f));
    assert_int_equal(conc_future_error(f), 0);
    assert_string_equal(conc_future_message(f), "");
    assert_int_equal(*(const int *)conc_future_value(f), 42);
    conc_future_unref(f);
}

static void test_set_error_finishes_it(void **state)
{
    conc_future *f = failed(-EIO, "bad luck");
    assert_true(conc_future_is_done(f));
    assert_false(conc_future_is_running(f));
    assert_false(conc_future_is_cancelled(f));
    assert_int_equal(conc_future_error(f), -EIO);
    assert_string_equal(conc_future_message(f), "bad luck");
    assert_null(conc_future_value(f));
    conc_future_unref(f);
}

static void test_cancel_of_a_pending_one_is_done_at_once(void **state)
{
    conc_future *f = cancelled();
    assert_true(conc_future_is_done(f));
    assert_false(conc_future_is_running(f));
    assert_true(conc_future_is_cancelled(f));
    assert_int_equal(conc_future_error(f), -ECANCELED);
    assert_string_equal(conc_future_message(f), "");
    assert_null(conc_future_value(f));
    conc_future_unref(f);
}

static void test_set_error_ECANCELED_is_an_error_not_a_cancellation(void **state)
{
    conc_future *f = failed(-ECANCELED, NULL);
    assert_int_equal(conc_future_error(f), -ECANCELED);
    assert_false(conc_future_is_cancelled(f));
    conc_future_unref(f);
}

static void test_what_is_done_stays_as_it_is(void **state)
{
    conc_future *const futures[] = {finished(42), failed(-EIO, "first"), cancelled()};
    const int errors[] = {0, -EIO, -ECANCELED};
    for (int i = 0; i < 3; i++) {
        conc_future *f = futures[i];
        assert_int_equal(conc_future_set_result(f, &(int){1}), -EINVAL);
        assert_int_equal(conc_future_set_error(f, -EPERM, "second"), -EINVAL);
        assert_false(conc_future_cancel(f));
        assert_int_equal(conc_future_error(f), errors[i]);
        assert_string_equal(conc_future_message(f), i == 1 ? "first" : "");
        assert_int_equal(conc_future_is_cancelled(f), i == 2);
        if (i == 0)
            assert_int_equal(*(const int *)conc_future_value(f), 42);
        conc_future_unref(f);
    }
}

static void test_set_error_wants_a_negative_error(void **state)
{
    conc_future *f = pending();
    assert_int_equal(conc_future_set_error(f, 0, "none"), -EINVAL);
    assert_int_equal(conc_future_set_error(f, EIO, "none"), -EINVAL);
    assert_false(conc_future_is_done(f));
    conc_future_unref(f);
}

/* ---- Results ---- */

static void test_result_sizes(void **state)
{
    static const size_t sizes[] = {1, 3, 15, 16, 17, 4096, 1000001};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        size_t n = sizes[i];
        unsigned char *in = malloc(n), *out = calloc(1, n);
        memset(in, (int)(i + 1), n);
        conc_future *f;
        assert_int_equal(conc_future_new(&f, n), 0);
        assert_int_equal(conc_future_set_result(f, in), 0);
        assert_int_equal((uintptr_t)conc_future_value(f) % _Alignof(max_align_t), 0);
        assert_int_equal(conc_future_result(f, out, CONC_NOW), 0);
        assert_memory_equal(in, out, n);
        conc_future_unref(f);
        free(in);
        free(out);
    }
}

static void test_a_future_without_a_result(void **state)
{
    conc_future *f;
    char untouched = 'x';
    assert_int_equal(conc_future_new(&f, 0), 0);
    assert_int_equal(conc_future_set_result(f, NULL), 0);
    assert_null(conc_future_value(f));
    assert_int_equal(conc_future_result(f, &untouched, CONC_NOW), 0);
    assert_int_equal(untouched, 'x');
    conc_future_unref(f);
}

static void test_an_impossible_result_size_is_ENOMEM(void **state)
{
    static const size_t sizes[] = {SIZE_MAX - 1, SIZE_MAX - 15, SIZE_MAX / 2, SIZE_MAX / 4 + 1};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        conc_future *f = NULL;
        assert_int_equal(conc_future_new(&f, sizes[i]), -ENOMEM);
        assert_null(f); /* untouched on failure */
    }
}

static void test_new_without_memory_is_ENOMEM(void **state)
{
    conc_future *f = NULL;
    fail_alloc(1);
    assert_int_equal(conc_future_new(&f, 8), -ENOMEM);
    assert_null(f);
}

/* ---- Messages ---- */

static void test_messages_are_formatted(void **state)
{
    conc_future *f = pending();
    assert_int_equal(conc_future_set_error(f, -EIO, "%s: bad status %d", "http://x", 503), 0);
    assert_string_equal(conc_future_message(f), "http://x: bad status 503");
    conc_future_unref(f);
}

static void test_long_messages_are_cut(void **state)
{
    char text[CONC_MESSAGE_MAX + 44];
    memset(text, 'm', sizeof text);
    for (size_t length = CONC_MESSAGE_MAX - 2; length < CONC_MESSAGE_MAX + 3; length++) {
        text[length] = '\0';
        conc_future *f = failed(-EIO, text);
        size_t kept = length < CONC_MESSAGE_MAX ? length : CONC_MESSAGE_MAX - 1;
        assert_int_equal(strlen(conc_future_message(f)), kept);
        assert_int_equal(conc_future_result(f, NULL, CONC_NOW), -EIO);
        assert_int_equal(strlen(conc_error_message()), kept);
        conc_future_unref(f);
        text[length] = 'm';
    }
}

static void test_no_message_is_the_empty_one(void **state)
{
    const char *const messages[] = {NULL, ""};
    for (int i = 0; i < 2; i++) {
        conc_future *f = failed(-EIO, messages[i]);
        assert_string_equal(conc_future_message(f), "");
        assert_int_equal(conc_future_result(f, NULL, CONC_NOW), -EIO);
        assert_string_equal(conc_error_message(),
                            ""); /* not "stale", which was raised with the same error */
        conc_future_unref(f);
    }
}

static void test_without_memory_the_message_is_lost_not_the_error(void **state)
{
    conc_future *f = pending();
    fail_alloc(1);
    assert_int_equal(conc_future_set_error(f, -EIO, "lost"), 0);
    assert_int_equal(conc_future_error(f), -EIO);
    assert_string_equal(conc_future_message(f), "");
    conc_future_unref(f);
}

/* ---- References ---- */

static void test_ref_gives_the_same_future(void **state)
{
    conc_future *f = finished(42);
    assert_ptr_equal(conc_future_ref(f), f);
    conc_future_unref(f);
    assert_int_equal(*(const int *)conc_future_value(f), 42); /* ASan: it is still there */
    conc_future_unref(f);
}

static void test_unref_ignores_NULL(void **state) { conc_future_unref(NULL); }

static void test_a_pending_future_may_die(void **state) { conc_future_unref(pending()); }

/* ---- Callbacks ---- */

struct log {
    char text[16];
    conc_future *future;
};

static void note(struct log *log, conc_future *future, char c)
{
    size_t n = strlen(log->text);
    log->text[n] = c;
    log->future = future;
}

static void note_a(conc_future *future, void *log) { note(log, future, 'a'); }
static void note_b(conc_future *future, void *log) { note(log, future, 'b'); }
static void note_c(conc_future *future, void *log) { note(log, future, 'c'); }

static conc_future *with_three_callbacks(struct log *log)
{
    conc_future *f = pending();
    assert_int_equal(conc_future_add_done_callback(f, note_b, log), 0);
    assert_int_equal(conc_future_add_done_callback(f, note_a, log), 0);
    assert_int_equal(conc_future_add_done_callback(f, note_c, log), 0);
    assert_string_equal(log->text, "");
    return f;
}

static void test_callbacks_run_in_the_order_of_their_registration(void **state)
{
    for (int end = 0; end < 3; end++) {
        struct log log = {0};
        conc_future *f = with_three_callbacks(&log);
        if (end == 0)
            assert_int_equal(conc_future_set_result(f, &end), 0);
        else if (end == 1)
            assert_int_equal(conc_future_set_error(f, -EIO, NULL), 0);
        else
            assert_true(conc_future_cancel(f));
        assert_string_equal(log.text, "bac");
        assert_ptr_equal(log.future, f);
        (void)conc_future_error(f);
        conc_future_unref(f);
        assert_string_equal(log.text, "bac"); /* once */
    }
}

static void test_a_callback_of_a_done_future_runs_at_once(void **state)
{
    struct log log = {0};
    conc_future *f = finished(1);
    assert_int_equal(conc_future_add_done_callback(f, note_a, &log), 0);
    assert_string_equal(log.text, "a");
    assert_ptr_equal(log.future, f);
    conc_future_unref(f);
}

static void see_it_done(conc_future *future, void *arg)
{
    assert_true(conc_future_is_done(future));
    assert_int_equal(*(const int *)conc_future_value(future), 42);
    note(arg, future, 's');
    assert_int_equal(conc_future_add_done_callback(future, note_a, arg), 0); /* in a callback too */
}

static void test_a_callback_sees_the_end_and_may_register_another(void **state)
{
    struct log log = {0};
    conc_future *f = pending();
    assert_int_equal(conc_future_add_done_callback(f, see_it_done, &log), 0);
    assert_int_equal(conc_future_set_result(f, &(int){42}), 0);
    assert_string_equal(log.text, "sa");
    conc_future_unref(f);
}

static void test_a_callback_without_memory_is_ENOMEM_and_not_registered(void **state)
{
    struct log log = {0};
    conc_future *f = pending();
    fail_alloc(1);
    assert_int_equal(conc_future_add_done_callback(f, note_a, &log), -ENOMEM);
    assert_int_equal(conc_future_set_result(f, &(int){1}), 0);
    assert_string_equal(log.text, "");
    conc_future_unref(f);
}

static void test_callbacks_of_a_future_that_dies_pending_never_run(void **state)
{
    struct log log = {0};
    conc_future_unref(with_three_callbacks(&log));
    assert_string_equal(log.text, "");
}

static void drop(conc_future *future, void *arg) { conc_future_unref(future); }

static void test_a_callback_may_give_back_the_last_but_one_reference(void **state)
{
    conc_future *f = pending();
    conc_future_ref(f);
    assert_int_equal(conc_future_add_done_callback(f, drop, NULL), 0);
    assert_int_equal(conc_future_set_result(f, &(int){1}), 0);
    conc_future_unref(f);
}

static const struct CMUnitTest tests[] = {
    LEAK_TEST(test_new_is_pending),
    LEAK_TEST(test_set_result_finishes_it),
    LEAK_TEST(test_set_error_finishes_it),
    LEAK_TEST(test_cancel_of_a_pending_one_is_done_at_once),
    LEAK_TEST(test_set_error_ECANCELED_is_an_error_not_a_cancellation),
    LEAK_TEST(test_what_is_done_stays_as_it_is),
    LEAK_TEST(test_set_error_wants_a_negative_error),
    LEAK_TEST(test_result_sizes),
    LEAK_TEST(test_a_future_without_a_result),
    LEAK_TEST(test_an_impossible_result_size_is_ENOMEM),
    LEAK_TEST(test_new_without_memory_is_ENOMEM),
    LEAK_TEST(test_messages_are_formatted),
    LEAK_TEST(test_long_messages_are_cut),
    LEAK_TEST(test_no_message_is_the_empty_one),
    LEAK_TEST(test_without_memory_the_message_is_lost_not_the_error),
    LEAK_TEST(test_ref_gives_the_same_future),
    LEAK_TEST(test_unref_ignores_NULL),
    LEAK_TEST(test_a_pending_future_may_die),
    LEAK_TEST(test_callbacks_run_in_the_order_of_their_registration),
    LEAK_TEST(test_a_callback_of_a_done_future_runs_at_once),
    LEAK_TEST(test_a_callback_sees_the_end_and_may_register_another),
    LEAK_TEST(test_a_callback_without_memory_is_ENOMEM_and_not_registered),
    LEAK_TEST(test_callbacks_of_a_future_that_dies_pending_never_run),
    LEAK_TEST(test_a_callback_may_give_back_the_last_but_one_reference),
};

TEST_MAIN(tests, 30)
