/* SPDX-License-Identifier: MIT
 *
 * test_coroutine.c: switching between stacks.
 */
#include <execinfo.h>
#include <fenv.h>
#include <math.h>
#include <string.h>

#include "support.h"
#include "task/coroutine.h"

struct side {
    struct stack stack;
    struct coroutine here, *back;
    void (*fn)(struct side *side);
    void *arg;
    int steps;
};

static void begin(void *arg)
{
    struct side *s = arg;
    s->fn(s);
    conc__coroutine_leave(s->back);
}

static void side_init(struct side *s, void (*fn)(struct side *side), void *arg)
{
    *s = (struct side){.fn = fn, .arg = arg};
    CHECK_EQUAL(conc__stack_alloc(&s->stack, 0), 0);
    conc__coroutine_init(&s->here, &s->stack, stack_top(&s->stack), begin, s);
}

static void side_fini(struct side *s)
{
    conc__coroutine_fini(&s->here);
    conc__stack_free(&s->stack);
}

static bool apart; /* which of the two switches; they can be mixed */

static void change(struct coroutine *from, struct coroutine *to)
{
    if (apart)
        conc__coroutine_switch_apart(from, to);
    else
        conc__coroutine_switch(from, to);
}

/* Run a test with each. */
static void both_ways(void (*test)(void))
{
    test();
    apart = true;
    test();
    apart = false;
}

/* Go on at it until it comes back. */
static void resume(struct side *s)
{
    struct coroutine here;
    s->back = &here;
    change(&here, &s->here);
}

static void come_back(struct side *s) { change(&s->here, s->back); }

/* ---- There and back ---- */

static void count_steps(struct side *s)
{
    for (int i = 0; i < 3; i++) {
        s->steps++;
        come_back(s);
    }
    s->steps = 100;
}

static void switch_goes_on_where_the_other_side_stood(void)
{
    struct side s;
    side_init(&s, count_steps, NULL);
    for (int i = 1; i <= 3; i++) {
        resume(&s);
        assert_int_equal(s.steps, i);
    }
    resume(&s);
    assert_int_equal(s.steps, 100);
    side_fini(&s);
}

static void test_switch_goes_on_where_the_other_side_stood(void **state)
{
    both_ways(switch_goes_on_where_the_other_side_stood);
}

static void test_coroutine_that_never_began_can_be_freed(void **state)
{
    struct side s;
    side_init(&s, count_steps, NULL);
    side_fini(&s);
    assert_int_equal(s.steps, 0);
}

static void look_where_we_are(struct side *s)
{
    int local = 0;
    *(void **)s->arg = __builtin_frame_address(0);
    s->steps = (uintptr_t)&local % _Alignof(int) == 0;
}

static void test_coroutine_runs_on_its_own_stack(void **state)
{
    struct side s;
    void *frame;
    side_init(&s, look_where_we_are, &frame);
    resume(&s);
    assert_in_range((uintptr_t)frame, (uintptr_t)s.stack.base,
                    (uintptr_t)s.stack.base + s.stack.size);
    assert_int_equal((uintptr_t)frame % 16, 0); /* as the calling conventions want it */
    side_fini(&s);
}

enum { RING = 50 };
static struct side ring[RING];
static struct coroutine ring_main;
static int visits[RING];

static void pass_on(struct side *s)
{
    size_t i = (size_t)(s - ring);
    for (int round = 0; round < 3; round++) {
        visits[i]++;
        conc__coroutine_switch(&s->here, i + 1 < RING ? &ring[i + 1].here : &ring_main);
    }
}

static void test_coroutines_may_switch_to_each_other(void **state)
{
    for (size_t i = 0; i < RING; i++)
        side_init(&ring[i], pass_on, NULL);
    for (int round = 1; round <= 3; round++) {
        conc__coroutine_switch(&ring_main, &ring[0].here);
        for (size_t i = 0; i < RING; i++)
            assert_int_equal(visits[i], round);
    }
    for (size_t i = 0; i < RING; i++) {
        resume(&ring[i]); /* to its end */
        side_fini(&ring[i]);
    }
}

/* ---- What is kept ---- */

struct numbers {
    volatile long seed;
    long ok;
};

/* More integers and numbers than there are registers to keep across a call, all wanted after it. */
static long mix(long seed, struct side *s, void (*call)(struct side *))
{
    long a = seed + 1, b = seed * 3, c = seed ^ 5, d = seed - 7, e = seed * 11, f = seed + 13;
    long g = seed * 17, h = seed ^ 19, i = seed + 23, j = seed * 29, k = seed - 31;
    double p = (double)seed + 0.5, q = (double)seed * 1.5, r = (double)seed - 2.5;
    double t = (double)seed * 3.5, u = (double)seed + 4.5, v = (double)seed * 5.5;
    double w = (double)seed - 6.5, x = (double)seed * 7.5, y = (double)seed + 8.5;
    call(s);
    long sum = a + 2 * b + 3 * c + 4 * d + 5 * e + 6 * f + 7 * g + 8 * h + 9 * i + 10 * j + 11 * k;
    return sum + (long)(p + 2 * q + 3 * r + 4 * t + 5 * u + 6 * v + 7 * w + 8 * x + 9 * y);
}

static void no_call(struct side *s) { (void)s; }

static void mix_in_coroutine(struct side *s)
{
    struct numbers *n = s->arg;
    for (int i = 0; i < 3; i++)
        n->ok += mix(n->seed + i, s, come_back) == mix(n->seed + i, s, no_call);
}

static void switch_keeps_registers(void)
{
    struct numbers n = {.seed = 12345};
    struct side s;
    side_init(&s, mix_in_coroutine, &n);
    long expected = mix(n.seed * 7, &s, no_call);
    for (int i = 0; i < 4; i++)
        assert_int_equal(mix(n.seed * 7, &s, resume), expected);
    assert_int_equal(n.ok, 3);
    side_fini(&s);
}

static void test_switch_keeps_registers(void **state) { both_ways(switch_keeps_registers); }

/* 2.25 and 2.75 in whole numbers, as digits. */
static int rounded(void)
{
    volatile double less = 2.25, more = 2.75;
    return (int)(10 * lrint(less) + lrint(more));
}

enum { NEAREST = 23, DOWNWARD = 22, UPWARD = 33 };

static void round_upward(struct side *s)
{
    int *seen = s->arg;
    seen[0] = rounded();
    fesetround(FE_UPWARD);
    come_back(s);
    seen[1] = rounded();
}

static void each_side_keeps_its_rounding(void)
{
    int seen[2];
    struct side s;
    side_init(&s, round_upward, seen);
    resume(&s);
    assert_int_equal(rounded(), NEAREST);
    fesetround(FE_DOWNWARD);
    resume(&s);
    assert_int_equal(rounded(), DOWNWARD);
    fesetround(FE_TONEAREST);
    assert_int_equal(seen[0], NEAREST);
    assert_int_equal(seen[1], UPWARD);
    side_fini(&s);
}

static void test_each_side_keeps_its_rounding(void **state)
{
    both_ways(each_side_keeps_its_rounding);
}

static void note_rounding(struct side *s) { *(int *)s->arg = rounded(); }

static void test_coroutine_begins_with_its_makers_rounding(void **state)
{
    int seen;
    struct side s;
    fesetround(FE_UPWARD);
    side_init(&s, note_rounding, &seen);
    fesetround(FE_TONEAREST);
    resume(&s);
    assert_int_equal(seen, UPWARD);
    assert_int_equal(rounded(), NEAREST);
    side_fini(&s);
}

static long double divide(long double a, long double b)
{
    volatile long double x = a, y = b;
    return x / y;
}

static void want_traps(struct side *s)
{
    feenableexcept(FE_DIVBYZERO);
    come_back(s);
    *(long double *)s->arg = divide(8, 2);
    fedisableexcept(FE_DIVBYZERO);
}

static void exception_flagged_on_one_side_does_not_trap_on_the_other(void)
{
    long double result = 0;
    struct side s;
    side_init(&s, want_traps, &result);
    resume(&s);
    assert_true(divide(1, 0) > 0); /* no trap here */
    resume(&s);
    assert_true(result == 4);
    feclearexcept(FE_ALL_EXCEPT);
    side_fini(&s);
}

static void test_exception_flagged_on_one_side_does_not_trap_on_the_other(void **state)
{
    both_ways(exception_flagged_on_one_side_does_not_trap_on_the_other);
}

/* What the C++ runtime would have. */
static __thread struct conc__cxa_globals exceptions;

struct conc__cxa_globals *__cxa_get_globals(void);
struct conc__cxa_globals *__cxa_get_globals(void) { return &exceptions; }

static void handle_exceptions(struct side *s)
{
    struct conc__cxa_globals *seen = s->arg;
    seen[0] = *__cxa_get_globals();
    *__cxa_get_globals() = (struct conc__cxa_globals){.caught = s, .uncaught = 2};
    come_back(s);
    seen[1] = *__cxa_get_globals();
}

static void each_side_keeps_its_exceptions(void)
{
    struct conc__cxa_globals seen[2];
    struct side s;
    exceptions = (struct conc__cxa_globals){.caught = &seen, .uncaught = 1};
    side_init(&s, handle_exceptions, seen);
    for (int i = 0; i < 2; i++) {
        resume(&s);
        assert_ptr_equal(exceptions.caught, &seen);
        assert_int_equal(exceptions.uncaught, 1);
    }
    exceptions = (struct conc__cxa_globals){0};
    assert_null(seen[0].caught);
    assert_int_equal(seen[0].uncaught, 0);
    assert_ptr_equal(seen[1].caught, &s);
    assert_int_equal(seen[1].uncaught, 2);
    side_fini(&s);
}

static void test_each_side_keeps_its_exceptions(void **state)
{
    both_ways(each_side_keeps_its_exceptions);
}

/* ---- Tools ---- */

static void look_back(struct side *s)
{
    void *frames[64];
    s->steps = backtrace(frames, 64);
}

static void test_backtrace_ends_where_the_coroutine_began(void **state)
{
    struct side s;
    side_init(&s, look_back, NULL);
    resume(&s);
    assert_in_range(s.steps, 2, 20); /* look_back, begin, and what is below them */
    side_fini(&s);
}

/* ---- Threads ---- */

static void resume_in_thread(void *arg) { resume(arg); }

static void test_coroutine_may_go_on_in_another_thread(void **state)
{
    struct side s;
    side_init(&s, count_steps, NULL);
    for (int i = 1; i <= 3; i++) {
        struct test_thread t;
        test_thread_start(&t, NULL, resume_in_thread, &s);
        test_thread_join(&t);
        assert_int_equal(s.steps, i);
    }
    resume(&s);
    assert_int_equal(s.steps, 100);
    side_fini(&s);
}

static void use_much(struct side *s)
{
    volatile char much[100 * 1024];
    for (size_t i = 0; i < sizeof much; i += 1024)
        much[i] = (char)(i / 1024);
    come_back(s);
    for (size_t i = 0; i < sizeof much; i += 1024)
        s->steps += much[i] == (char)(i / 1024);
}

static void switch_back_and_forth(void *arg)
{
    enum { N = 20 };
    struct side sides[N];
    for (size_t i = 0; i < N; i++)
        side_init(&sides[i], use_much, NULL);
    for (int twice = 0; twice < 2; twice++)
        for (size_t i = 0; i < N; i++)
            resume(&sides[i]);
    for (size_t i = 0; i < N; i++) {
        CHECK_EQUAL(sides[i].steps, 100);
        side_fini(&sides[i]);
    }
}

static void test_threads_switch_side_by_side(void **state)
{
    enum { N = 4 };
    struct test_thread threads[N];
    for (size_t i = 0; i < N; i++)
        test_thread_start(&threads[i], NULL, switch_back_and_forth, NULL);
    for (size_t i = 0; i < N; i++)
        test_thread_join(&threads[i]);
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_switch_goes_on_where_the_other_side_stood),
    cmocka_unit_test(test_coroutine_that_never_began_can_be_freed),
    cmocka_unit_test(test_coroutine_runs_on_its_own_stack),
    cmocka_unit_test(test_coroutines_may_switch_to_each_other),
    cmocka_unit_test(test_switch_keeps_registers),
    cmocka_unit_test(test_each_side_keeps_its_rounding),
    cmocka_unit_test(test_coroutine_begins_with_its_makers_rounding),
    cmocka_unit_test(test_exception_flagged_on_one_side_does_not_trap_on_the_other),
    cmocka_unit_test(test_each_side_keeps_its_exceptions),
    cmocka_unit_test(test_backtrace_ends_where_the_coroutine_began),
    cmocka_unit_test(test_coroutine_may_go_on_in_another_thread),
    cmocka_unit_test(test_threads_switch_side_by_side),
};

TEST_MAIN(tests, 60)
