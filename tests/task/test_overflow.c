/* SPDX-License-Identifier: MIT
 *
 * test_overflow.c: the report of a stack that has overflowed. Each case is a child process, whose
 * stderr is read.
 */
#include <limits.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <conc/generator.h>

#include "support.h"
#include "task/coroutine.h"
#include "wait/context.h"

#define DIED_OF_IT (100 + SIGSEGV)

/* ---- In the child ---- */

/* The array is used after the call: no compiler makes a loop of it. */
static unsigned dive(unsigned depth)
{
    static volatile unsigned bottom = UINT_MAX; /* never reached */
    if (depth == bottom)
        return 0;
    volatile char frame[512];
    for (size_t i = 0; i < sizeof frame; i++)
        frame[i] = (char)depth;
    return dive(depth + 1) + (unsigned)frame[depth % sizeof frame];
}

static void overflow(void *arg) { dive(0); }

static void write_to_nowhere(void *arg)
{
    volatile char *volatile nowhere =
        (volatile char *)(uintptr_t)64; /* UBSan takes NULL for itself */
    *nowhere = 1;
}

/* Run fn on a stack of that size. */
static int run_on_stack(void (*fn)(void *arg), size_t size)
{
    static struct stack stack;
    struct coroutine c, here;
    if (conc__stack_watch_overflow() != 0 || conc__stack_alloc(&stack, size) != 0)
        return 1;
    conc__coroutine_init(&c, &stack, stack_top(&stack), fn, NULL);
    conc__stack_here = &stack;
    conc__coroutine_switch(&here, &c);
    return 2;
}

static int overflow_a_small_stack(void *arg)
{
    conc_context_set_name("diver");
    return run_on_stack(overflow, 64 * 1024);
}

static int overflow_a_large_stack(void *arg)
{
    conc_context_set_name("large");
    return run_on_stack(overflow, 8 << 20);
}

static int fault_elsewhere(void *arg) { return run_on_stack(write_to_nowhere, 0); }

static int overflow_without_context(void *arg)
{
    conc__self = NULL;
    return run_on_stack(overflow, 64 * 1024);
}

static int generate(conc_generator *g, void *arg)
{
    overflow(NULL);
    return 0;
}

static int overflow_in_generator(void *arg)
{
    conc_generator *g;
    conc_generator_options options = {.stack_size = 32 * 1024};
    conc_context_set_name("consumer");
    if (conc_generator_new(&g, generate, NULL, 0, 0, &options) != 0)
        return 1;
    return conc_generator_next(g, NULL, CONC_FOREVER);
}

static void say(const char *text)
{
    ssize_t n = write(STDERR_FILENO, text, strlen(text));
    (void)n;
}

static void old_handler(int number)
{
    say("the old handler\n");
    signal(SIGSEGV, SIG_DFL);
}

static void old_handler_with_info(int number, siginfo_t *info, void *machine)
{
    say(info->si_code > 0 && machine ? "the old handler with info\n" : "no info\n");
    signal(SIGSEGV, SIG_DFL);
}

static int overflow_with_old_handler(void *arg)
{
    signal(SIGSEGV, old_handler);
    return overflow_a_small_stack(NULL);
}

static int fault_with_old_handler(void *arg)
{
    struct sigaction action = {.sa_sigaction = old_handler_with_info, .sa_flags = SA_SIGINFO};
    sigaction(SIGSEGV, &action, NULL);
    return fault_elsewhere(NULL);
}

static int be_sent_the_signal(void *arg)
{
    if (conc__stack_watch_overflow() != 0)
        return 1;
    raise(SIGSEGV);
    return 2;
}

/* ---- In the parent ---- */

struct child {
    int (*fn)(void *arg);
    int stderr_fd;
};

static int with_stderr(void *arg)
{
    struct child *child = arg;
    dup2(child->stderr_fd, STDERR_FILENO);
    return child->fn(NULL);
}

/* Run fn in a child, which dies of SIGSEGV; what it has printed. (A sanitizer's own stack for
 * signals, and what it says there, are of no concern: handlers are reset in the child.) */
static const char *last_words(int (*fn)(void *arg))
{
    static char text[4096];
    int fds[2];
    assert_int_equal(pipe(fds), 0);
    struct child child = {.fn = fn, .stderr_fd = fds[1]};
    assert_int_equal(in_child(with_stderr, &child), DIED_OF_IT);
    close(fds[1]);
    size_t length = 0;
    ssize_t n;
    while ((n = read(fds[0], text + length, sizeof text - 1 - length)) > 0)
        length += (size_t)n;
    text[length] = '\0';
    close(fds[0]);
    return text;
}

static void test_overflow_is_reported_with_name_and_size(void **state)
{
    assert_string_equal(last_words(overflow_a_small_stack),
                        "libconc: thread 'diver' has overflowed its stack of 64 KiB; "
                        "give it a larger stack_size\n");
    assert_string_equal(last_words(overflow_a_large_stack),
                        "libconc: thread 'large' has overflowed its stack of 8192 KiB; "
                        "give it a larger stack_size\n");
}

static void test_overflow_of_a_generator_is_its_consumers(void **state)
{
    assert_string_equal(last_words(overflow_in_generator),
                        "libconc: thread 'consumer' has overflowed its stack of 32 KiB; "
                        "give it a larger stack_size\n");
}

static void test_overflow_in_a_thread_that_has_only_watched_is_reported(void **state)
{
    assert_string_equal(last_words(overflow_without_context),
                        "libconc: thread 'main' has overflowed its stack of 64 KiB; "
                        "give it a larger stack_size\n");
}

static void test_fault_elsewhere_is_not_reported(void **state)
{
    assert_string_equal(last_words(fault_elsewhere), "");
}

static void test_old_handler_is_called_after_the_report(void **state)
{
    assert_string_equal(last_words(overflow_with_old_handler),
                        "libconc: thread 'diver' has overflowed its stack of 64 KiB; "
                        "give it a larger stack_size\nthe old handler\n");
}

static void test_fault_elsewhere_goes_to_the_old_handler(void **state)
{
    assert_string_equal(last_words(fault_with_old_handler), "the old handler with info\n");
}

static void test_signal_that_was_sent_still_kills(void **state)
{
    assert_string_equal(last_words(be_sent_the_signal), "");
}

/* ---- The handler's stack ---- */

static void look_at_handler_stack(void *arg)
{
    stack_t *stack = arg;
    CHECK_EQUAL(sigaltstack(NULL, stack), 0);
    bool had_one = !(stack->ss_flags & SS_DISABLE);
    void *before = stack->ss_sp;
    CHECK_EQUAL(conc__stack_watch_overflow(), 0);
    CHECK_EQUAL(conc__stack_watch_overflow(), 0);
    CHECK_EQUAL(sigaltstack(NULL, stack), 0);
    CHECK(!(stack->ss_flags & SS_DISABLE));
    CHECK(!had_one || stack->ss_sp == before);
}

static void test_handlers_stack_goes_with_its_thread(void **state)
{
    stack_t stack;
    struct test_thread t;
    unsigned char in_core;
    test_thread_start(&t, NULL, look_at_handler_stack, &stack);
    test_thread_join(&t);
    assert_int_equal(mincore(stack.ss_sp, 1, &in_core), -1); /* it is no longer mapped */
}

static void keep_own_handler_stack(void *arg)
{
    static char memory[64 * 1024];
    stack_t before, after;
    CHECK_EQUAL(sigaltstack(NULL, &before), 0);
    CHECK_EQUAL(sigaltstack(&(stack_t){.ss_sp = memory, .ss_size = sizeof memory}, NULL), 0);
    CHECK_EQUAL(conc__stack_watch_overflow(), 0);
    CHECK_EQUAL(sigaltstack(NULL, &after), 0);
    CHECK(after.ss_sp == memory);
    CHECK_EQUAL(sigaltstack(&before, NULL), 0);
}

static void test_threads_own_handler_stack_is_left_alone(void **state)
{
    struct test_thread t;
    test_thread_start(&t, NULL, keep_own_handler_stack, NULL);
    test_thread_join(&t);
}

/* The last two install the handler in this process: then its children inherit it, and would not
 * install it again. */
static const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_overflow_is_reported_with_name_and_size),
    cmocka_unit_test(test_overflow_of_a_generator_is_its_consumers),
    cmocka_unit_test(test_overflow_in_a_thread_that_has_only_watched_is_reported),
    cmocka_unit_test(test_fault_elsewhere_is_not_reported),
    cmocka_unit_test(test_old_handler_is_called_after_the_report),
    cmocka_unit_test(test_fault_elsewhere_goes_to_the_old_handler),
    cmocka_unit_test(test_signal_that_was_sent_still_kills),
    cmocka_unit_test(test_handlers_stack_goes_with_its_thread),
    cmocka_unit_test(test_threads_own_handler_stack_is_left_alone),
};

TEST_MAIN(tests, 60)
