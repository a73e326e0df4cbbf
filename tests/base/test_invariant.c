/* SPDX-License-Identifier: MIT
 *
 * test_invariant.c: what a broken invariant says, and how the program ends.
 */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/invariant.h"
#include "support.h"

#define TEXT "one and one are two"

/* In a child. `arg`: where its standard error is to go. */
static int break_it(void *arg)
{
    volatile int one = 1;
    dup2(*(int *)arg, STDERR_FILENO);
    invariant(one + one == 3, TEXT);
    return 0;
}
enum { LINE_OF_BREAK = __LINE__ - 3 };

static int break_with_long_text(void *arg)
{
    char text[1000];
    memset(text, 'x', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    dup2(*(int *)arg, STDERR_FILENO);
    conc__invariant_broken("file.c", 1, text);
}

/* Run fn in a child. Returns how the child ended; *said: what it wrote to standard error. */
static int run_and_listen(int (*fn)(void *arg), char *said, size_t size)
{
    int ends[2];
    CHECK_EQUAL(pipe2(ends, O_CLOEXEC), 0);
    int end = in_child(fn, &ends[1]);
    close(ends[1]);
    ssize_t n = read(ends[0], said, size - 1);
    CHECK(n >= 0);
    said[n] = '\0';
    close(ends[0]);
    return end;
}

static void test_broken_invariant_says_where_and_what_and_aborts(void **state)
{
    char said[4096], expected[4096];
    snprintf(expected, sizeof expected, "libconc: %s:%d: broken: %s\n", __FILE__, LINE_OF_BREAK,
             TEXT);
    assert_int_equal(run_and_listen(break_it, said, sizeof said), 100 + SIGABRT);
    assert_string_equal(said, expected);
}

static void test_long_text_is_cut_and_the_program_aborts(void **state)
{
    static const char begin[] = "libconc: file.c:1: broken: xxx";
    char said[4096];
    assert_int_equal(run_and_listen(break_with_long_text, said, sizeof said), 100 + SIGABRT);
    assert_memory_equal(said, begin, sizeof begin - 1);
    assert_in_range(strlen(said), 200, 511);
}

static void test_invariant_that_holds_is_looked_at_once_and_says_nothing(void **state)
{
    int looks = 0;
    invariant(++looks > 0, TEXT);
    assert_int_equal(looks, 1);
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_broken_invariant_says_where_and_what_and_aborts),
    cmocka_unit_test(test_long_text_is_cut_and_the_program_aborts),
    cmocka_unit_test(test_invariant_that_holds_is_looked_at_once_and_says_nothing),
};

TEST_MAIN(tests, 50)
