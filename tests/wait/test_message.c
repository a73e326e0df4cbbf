/* SPDX-License-Identifier: MIT
 *
 * test_message.c: conc_raise() and the message that an error carries.
 */
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include <conc/base.h>

#include "base/hooks.h"
#include "support.h"
#include "wait/context.h"

static int forget_message(void **state)
{
    conc_raise(0, "%s", "");
    return 0;
}

static void test_raise_returns_the_error_as_it_is(void **state)
{
    static const int errors[] = {-EIO, -1, -CONC_EBROKEN, 0, 17};
    for (size_t i = 0; i < sizeof errors / sizeof *errors; i++)
        assert_int_equal(conc_raise(errors[i], "error %d", errors[i]), errors[i]);
}

static void test_message_is_empty_before_any_error(void **state)
{
    assert_string_equal(conc_error_message(), "");
}

static void test_raise_formats_the_message(void **state)
{
    conc_raise(-EIO, "%s: bad status %d", "here", 404);
    assert_string_equal(conc_error_message(), "here: bad status 404");
    conc_raise(-ENOENT, "another");
    assert_string_equal(conc_error_message(), "another");
}

static void test_raise_with_the_old_message_as_argument(void **state)
{
    conc_raise(-EIO, "inner");
    conc_raise(-EIO, "outer: %s", conc_error_message());
    assert_string_equal(conc_error_message(), "outer: inner");
}

static void test_raise_with_an_empty_message_has_none(void **state)
{
    conc_raise(-EIO, "some");
    assert_int_equal(conc_raise(-EIO, "%s", ""), -EIO);
    assert_string_equal(conc_error_message(), "");
}

static void test_describe_gives_the_message_of_that_error_and_no_older_one(void **state)
{
    conc_raise(-EIO, "the disk is gone");
    assert_string_equal(conc_describe(-EIO), "the disk is gone");
    assert_string_equal(conc_describe(EIO), "the disk is gone");
    assert_string_equal(conc_describe(-EIO), "the disk is gone"); /* again */
    assert_string_equal(conc_describe(-ENOENT), conc_strerror(-ENOENT));
    assert_string_equal(conc_describe(-CONC_EBROKEN), "broken");
    assert_string_equal(conc_describe(0), "success");
    conc_raise(-ENOENT, "%s", "");
    assert_string_equal(conc_describe(-ENOENT), conc_strerror(-ENOENT));
    assert_string_equal(conc_describe(-EIO), conc_strerror(-EIO)); /* it is over */
    conc_raise(EIO, "as errno has it");
    assert_string_equal(conc_describe(EIO), "as errno has it");
    conc_raise(0, "no error");
    assert_string_equal(conc_describe(0), "success");
    assert_string_equal(conc_describe(INT_MIN), "unknown error");
    assert_string_equal(conc_describe(INT_MAX), "unknown error");
}

static void test_message_is_cut_at_its_longest(void **state)
{
    char text[2 * CONC_MESSAGE_MAX];
    memset(text, 'x', sizeof text);
    for (size_t n = CONC_MESSAGE_MAX - 2; n <= CONC_MESSAGE_MAX + 1; n++) {
        conc_raise(-EIO, "%.*s", (int)n, text);
        size_t expected = n < CONC_MESSAGE_MAX ? n : CONC_MESSAGE_MAX - 1;
        assert_int_equal(strlen(conc_error_message()), expected);
    }
}

static void raise_without_memory(void *arg)
{
    conc__hooks.fail_alloc_in = 1;
    CHECK_EQUAL(conc_raise(-EIO, "lost"), -EIO);
    CHECK_EQUAL(conc__hooks.fail_alloc_in, 0);
    CHECK(!*conc_error_message());
    CHECK_EQUAL(conc_raise(-EIO, "kept"), -EIO);
    CHECK(!strcmp(conc_error_message(), "kept"));
}

static void test_out_of_memory_loses_the_message_never_the_error(void **state)
{
    struct test_thread t;
    test_thread_start(&t, NULL, raise_without_memory, NULL);
    test_thread_join(&t);
}

static void raise_in_thread(void *arg)
{
    CHECK(!*conc_error_message());
    conc_raise(-EIO, "the thread's");
    CHECK(!strcmp(conc_error_message(), "the thread's"));
}

static void test_message_belongs_to_its_context(void **state)
{
    struct test_thread t;
    conc_raise(-EIO, "mine");
    test_thread_start(&t, NULL, raise_in_thread, NULL);
    test_thread_join(&t);
    assert_string_equal(conc_error_message(), "mine");
}

static void test_message_is_freed_with_its_context(void **state)
{
    struct test_thread t;
    int32_t before = conc__hooks.allocated;
    test_thread_start(&t, NULL, raise_in_thread, NULL);
    test_thread_join(&t);
    assert_int_equal(conc__hooks.allocated, before);
}

static void test_message_is_found_for_its_own_error_only(void **state)
{
    struct conc_context *self = conc_context_current();
    conc_raise(-EIO, "mine");
    assert_string_equal(conc__message_for(self, -EIO), "mine");
    assert_null(conc__message_for(self, -ENOENT));
    assert_null(conc__message_for(self, 0));
    conc__set_message(self, -EIO, NULL);
    assert_null(conc__message_for(self, -EIO));
    assert_string_equal(conc_error_message(), "");
}

static void test_message_taken_over_is_copied_and_cut(void **state)
{
    struct conc_context *self = conc_context_current();
    char text[2 * CONC_MESSAGE_MAX];
    memset(text, 'y', sizeof text);
    text[sizeof text - 1] = '\0';
    conc__set_message(self, -EIO, text);
    memset(text, 'z', sizeof text);
    assert_int_equal(strlen(conc_error_message()), CONC_MESSAGE_MAX - 1);
    assert_int_equal(conc_error_message()[0], 'y');
    conc__set_message(self, -ENOENT, conc_error_message() + 10); /* from its own buffer */
    assert_int_equal(strlen(conc_error_message()), CONC_MESSAGE_MAX - 11);
}

#define MESSAGE_TEST(f) cmocka_unit_test_setup(f, forget_message)

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_message_is_empty_before_any_error),
    MESSAGE_TEST(test_raise_returns_the_error_as_it_is),
    MESSAGE_TEST(test_raise_formats_the_message),
    MESSAGE_TEST(test_raise_with_the_old_message_as_argument),
    MESSAGE_TEST(test_raise_with_an_empty_message_has_none),
    MESSAGE_TEST(test_describe_gives_the_message_of_that_error_and_no_older_one),
    MESSAGE_TEST(test_message_is_cut_at_its_longest),
    MESSAGE_TEST(test_out_of_memory_loses_the_message_never_the_error),
    MESSAGE_TEST(test_message_belongs_to_its_context),
    MESSAGE_TEST(test_message_is_freed_with_its_context),
    MESSAGE_TEST(test_message_is_found_for_its_own_error_only),
    MESSAGE_TEST(test_message_taken_over_is_copied_and_cut),
};

TEST_MAIN(tests, 50)
