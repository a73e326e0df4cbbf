/* SPDX-License-Identifier: MIT
 *
 * test_base.c: the clock and deadlines, errors' names, allocation, futexes and the guard.
 */
#include <limits.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>

#include <conc/event.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/guard.h"
#include "base/hooks.h"
#include "support.h"

/* ---- Time ---- */

static void test_durations_are_nanoseconds(void **state)
{
    assert_int_equal(CONC_NS(7), 7);
    assert_int_equal(CONC_US(7), 7000);
    assert_int_equal(CONC_MS(7), 7000000);
    assert_int_equal(CONC_S(7), 7000000000);
    assert_true(CONC_S(100000) > INT_MAX); /* computed in 64 bits whatever the argument's type */
}

static void test_durations_evaluate_their_argument_once(void **state)
{
    int n = 0;
    (void)CONC_NS(n++), (void)CONC_US(n++), (void)CONC_MS(n++), (void)CONC_S(n++);
    assert_int_equal(n, 4);
}

static void test_now_never_goes_back(void **state)
{
    int64_t last = conc_now();
    assert_true(last > 0);
    for (int i = 0; i < 10000; i++) {
        int64_t now = conc_now();
        assert_true(now >= last);
        last = now;
    }
}

static void test_now_is_clock_monotonic(void **state)
{
    int64_t before = real_now();
    int64_t now = conc_now() - conc__hooks.clock_offset;
    assert_in_range(now, before, real_now());
}

static void test_coarse_now_is_not_ahead_of_now(void **state)
{
    for (int i = 0; i < 1000; i++) {
        int64_t coarse = conc__coarse_now();
        assert_true(coarse <= conc_now());
        assert_true(coarse > 0);
    }
}

static void test_in_counts_from_now(void **state)
{
    int64_t before = conc_now();
    conc_deadline d = conc_in(CONC_S(5));
    assert_in_range(d.ns, before + CONC_S(5), conc_now() + CONC_S(5));
}

static void test_in_nothing_or_less_is_past_but_not_NOW(void **state)
{
    static const int64_t durations[] = {0, -1, -CONC_S(1), -CONC_S(1000000000), INT64_MIN};
    for (size_t i = 0; i < sizeof durations / sizeof *durations; i++) {
        conc_deadline d = conc_in(durations[i]);
        assert_true(d.ns <= conc_now());
        assert_false(deadline_is_now(d));
        assert_true(d.ns > 0);
    }
}

static void test_in_too_far_ahead_is_FOREVER(void **state)
{
    assert_true(deadline_is_forever(conc_in(INT64_MAX)));
    assert_true(deadline_is_forever(conc_in(INT64_MAX - conc_now() + CONC_S(1))));
    assert_false(deadline_is_forever(conc_in(INT64_MAX - conc_now() - CONC_S(1))));
}

static void test_at_keeps_the_time_but_clamps_it_above_NOW(void **state)
{
    static const struct {
        int64_t at, expected;
    } cases[] = {
        {1, 1}, {CONC_S(77), CONC_S(77)}, {INT64_MAX, INT64_MAX}, {0, 1}, {-1, 1}, {INT64_MIN, 1},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        assert_int_equal(conc_at(cases[i].at).ns, cases[i].expected);
}

static void test_remaining_is_what_is_left_of_the_time(void **state)
{
    assert_int_equal(conc_remaining(CONC_FOREVER), INT64_MAX);
    assert_int_equal(conc_remaining(CONC_NOW), 0);
    assert_int_equal(conc_remaining(conc_in(0)), 0);
    assert_int_equal(conc_remaining(conc_at(0)), 0);
    int64_t left = conc_remaining(conc_in(CONC_S(100)));
    assert_in_range(left, CONC_S(90), CONC_S(100));
    conc_deadline d = conc_in(CONC_S(100));
    conc__test_advance(CONC_S(60));
    assert_in_range(conc_remaining(d), CONC_S(30), CONC_S(40));
    conc__test_advance(CONC_S(60));
    assert_int_equal(conc_remaining(d), 0);
}

static void test_the_past_times_out_and_NOW_would_wait(void **state)
{
    conc_event never = CONC_EVENT_INIT;
    assert_int_equal(conc_event_wait(&never, conc_in(0)), -ETIMEDOUT);
    assert_int_equal(conc_event_wait(&never, conc_at(0)), -ETIMEDOUT);
    assert_int_equal(conc_event_wait(&never, CONC_NOW), -EAGAIN);
}

static void test_advance_moves_the_clock(void **state)
{
    int64_t before = conc_now();
    conc__test_advance(CONC_S(3600));
    assert_in_range(conc_now(), before + CONC_S(3600), before + CONC_S(3660));
}

static void test_kernel_time_takes_back_what_the_clock_was_moved(void **state)
{
    conc__test_advance(CONC_S(10));
    struct timespec t = conc__kernel_time(conc_at(conc__hooks.clock_offset + CONC_S(3) + 4));
    assert_int_equal(t.tv_sec, 3);
    assert_int_equal(t.tv_nsec, 4);
    t = conc__kernel_time(conc_at(1)); /* before the kernel's clock began */
    assert_int_equal(t.tv_sec, 0);
    assert_int_equal(t.tv_nsec, 0);
}

/* ---- Errors ---- */

static void test_version_is_that_of_the_header(void **state)
{
    char expected[32];
    snprintf(expected, sizeof expected, "%d.%d.%d", CONC_VERSION_MAJOR, CONC_VERSION_MINOR,
             CONC_VERSION_PATCH);
    assert_string_equal(conc_version(), expected);
}

static void test_strerror_names_errors_of_either_sign(void **state)
{
    static const struct {
        int err;
        const char *text;
    } cases[] = {
        {0, "success"},
        {ECANCELED, "cancelled"},
        {ETIMEDOUT, "timed out"},
        {EAGAIN, "would have to wait"},
        {ESHUTDOWN, "shut down"},
        {CONC_EBROKEN, "broken"},
        {EINVAL, "Invalid argument"},
        {ENOMEM, "Cannot allocate memory"},
        {EPERM, "Operation not permitted"},
        {EOVERFLOW, "Value too large for defined data type"},
        {EDEADLK, "Resource deadlock avoided"},
        {1 << 30, "unknown error"},
        {CONC_EBROKEN + 1, "unknown error"},
        {INT_MAX, "unknown error"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_string_equal(conc_strerror(cases[i].err), cases[i].text);
        assert_string_equal(conc_strerror(-cases[i].err), cases[i].text);
    }
    assert_string_equal(conc_strerror(INT_MIN), "unknown error");
}

static void test_strerror_has_a_text_for_every_number(void **state)
{
    for (int err = -6000; err <= 6000; err++)
        assert_true(strlen(conc_strerror(err)) > 0);
}

static void test_own_errors_lie_outside_errno(void **state)
{
    assert_null(strerrordesc_np(CONC_EBROKEN));
}

/* ---- Allocation ---- */

/* The sanitizers are to return NULL, as malloc() does, for what cannot be allocated. */
const char *__asan_default_options(void);
const char *__asan_default_options(void) { return "allocator_may_return_null=1"; }
const char *__tsan_default_options(void);
const char *__tsan_default_options(void) { return "allocator_may_return_null=1"; }

static void test_allocation_too_large_fails_and_counts_nothing(void **state)
{
    int32_t before = conc__hooks.allocated;
    /* volatile: or the compiler warns of what is meant, or leaves out what it can foresee */
    volatile size_t half = SIZE_MAX / 2 + 1;
    void *volatile p = alloc_array(half, 2);
    assert_null(p);
    p = alloc_array(half, 3);
    assert_null(p);
    assert_int_equal(conc__hooks.allocated, before);
}

static void test_allocated_counts_blocks(void **state)
{
    int32_t before = conc__hooks.allocated;
    void *a = alloc_bytes(10);
    long *b = alloc_one(long);
    assert_non_null(a);
    assert_int_equal(*b, 0);
    assert_int_equal(conc__hooks.allocated, before + 2);
    free_bytes(a);
    free_bytes(b);
    free_bytes(NULL);
    assert_int_equal(conc__hooks.allocated, before);
}

static void test_the_nth_allocation_fails_once(void **state)
{
    void *blocks[5];
    conc__hooks.fail_alloc_in = 3;
    for (int i = 0; i < 5; i++)
        blocks[i] = i % 2 ? alloc_bytes(1) : alloc_array(1, 1);
    for (int i = 0; i < 5; i++) {
        assert_true(i == 2 ? !blocks[i] : !!blocks[i]);
        free_bytes(blocks[i]);
    }
}

/* ---- Futex ---- */

static void test_futex_wait_returns_if_the_value_has_changed(void **state)
{
    uint32_t word = 1;
    conc__futex_wait(&word, 2, CONC_FOREVER);
}

static void test_futex_wait_returns_at_the_deadline(void **state)
{
    uint32_t word = 1;
    conc_deadline d = conc_in(CONC_MS(20));
    while (conc_now() < d.ns)
        conc__futex_wait(&word, 1, d);
    conc__futex_wait(&word, 1, conc_in(0));
}

static void wait_while_1(void *word)
{
    while (load_acquire((uint32_t *)word) == 1)
        conc__futex_wait(word, 1, CONC_FOREVER);
}

static void test_futex_wake_wakes(void **state)
{
    uint32_t word = 1;
    struct test_thread t[2];
    for (int i = 0; i < 2; i++)
        test_thread_start(&t[i], NULL, wait_while_1, &word);
    store_release(&word, 2);
    conc__futex_wake(&word, 2);
    for (int i = 0; i < 2; i++)
        test_thread_join(&t[i]);
}

/* ---- The guard ---- */

#define FLAG 1u
#define OTHER 2u

static void test_guard_unlock_changes_only_the_bits_named(void **state)
{
    uint32_t word = FLAG | 0x100;
    guard_lock(&word);
    assert_int_equal(word, GUARD_HELD | FLAG | 0x100);
    guard_unlock_with(&word, FLAG, OTHER);
    assert_int_equal(word, OTHER | 0x100);
    guard_lock(&word);
    guard_unlock_add(&word, OTHER, 3);
    assert_int_equal(word, 0x103);
    guard_lock(&word);
    guard_unlock(&word);
    assert_int_equal(word, 0x103);
}

static void test_guard_lock_if_wants_all_the_bits(void **state)
{
    static const struct {
        uint32_t word, require;
        bool expected;
    } cases[] = {
        {0, 0, true},
        {0, FLAG, false},
        {FLAG, FLAG, true},
        {FLAG | OTHER, FLAG, true},
        {FLAG, FLAG | OTHER, false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        uint32_t word = cases[i].word;
        assert_true(guard_lock_if(&word, cases[i].require) == cases[i].expected);
        assert_int_equal(word, cases[i].word | (cases[i].expected ? GUARD_HELD : 0));
    }
}

static void test_guard_lock_if_fails_though_it_is_held(void **state)
{
    uint32_t word = GUARD_HELD;
    assert_false(guard_lock_if(&word, FLAG));
    assert_int_equal(word, GUARD_HELD);
}

struct guarded {
    uint32_t word;
    uint32_t inside;
    unsigned long count; /* not atomic: the guard guards it */
    struct stress stress;
    unsigned long total; /* atomic */
};

static void enter(struct guarded *g)
{
    CHECK_EQUAL(fetch_add_relaxed(&g->inside, 1), 0);
    g->count++;
}

static void leave(struct guarded *g) { fetch_add_relaxed(&g->inside, -1); }

static void use_guard(void *arg)
{
    struct guarded *g = arg;
    unsigned long n = 0;
    while (stress_goes_on(&g->stress)) {
        guard_lock(&g->word);
        enter(g);
        if (n % 64 == 0)
            sched_yield(); /* as if preempted inside: now others go to sleep */
        leave(g);
        if (n % 2)
            guard_unlock(&g->word);
        else
            guard_unlock_with(&g->word, FLAG, OTHER);
        n++;
        fetch_add_relaxed(&g->word, 4); /* as a primitive's fast path does, at any time */
    }
    fetch_add_relaxed(&g->total, n);
}

static void run_guard_stress(size_t threads)
{
    struct guarded g = {.stress = stress_begin()};
    struct test_thread t[64];
    for (size_t i = 0; i < threads; i++)
        test_thread_start(&t[i], NULL, use_guard, &g);
    for (size_t i = 0; i < threads; i++)
        test_thread_join(&t[i]);
    assert_int_equal(g.count, g.total);
    assert_int_equal(g.word & GUARD_BITS, 0);
    assert_int_equal(g.word & ~GUARD_BITS & ~OTHER, (uint32_t)(4 * g.total) & ~GUARD_BITS);
}

static void test_guard_under_many_threads_lets_one_in_at_a_time(void **state)
{
    run_guard_stress(64);
}

static void test_guard_on_one_core_lets_one_in_at_a_time(void **state)
{
    use_one_core();
    run_guard_stress(16);
    use_all_cores();
}

#define ROUNDS 300
#define CROWD 8

struct crowd {
    uint32_t word;
    uint32_t turned_away, let_in;
    pthread_barrier_t begin, end;
};

static void want_guard(void *arg)
{
    struct crowd *c = arg;
    for (int i = 0; i < ROUNDS; i++) {
        pthread_barrier_wait(&c->begin);
        if (guard_lock_if(&c->word, FLAG)) {
            fetch_add_relaxed(&c->let_in, 1);
            guard_unlock(&c->word);
        } else {
            fetch_add_relaxed(&c->turned_away, 1);
        }
        pthread_barrier_wait(&c->end);
    }
}

static void want_guard_plainly(void *arg)
{
    struct crowd *c = arg;
    for (int i = 0; i < ROUNDS; i++) {
        pthread_barrier_wait(&c->begin);
        guard_lock(&c->word);
        guard_unlock(&c->word);
        pthread_barrier_wait(&c->end);
    }
}

/* The guard is released with `clear` once some of the crowd sleep: a wake-up that reaches a thread
 * which is turned away must reach the next one too. */
static void run_crowd(uint32_t clear, bool add, struct crowd *c)
{
    *c = (struct crowd){0};
    pthread_barrier_init(&c->begin, NULL, 2 * CROWD + 1);
    pthread_barrier_init(&c->end, NULL, 2 * CROWD + 1);
    struct test_thread t[2 * CROWD];
    for (size_t i = 0; i < 2 * CROWD; i++)
        test_thread_start(&t[i], NULL, i % 2 ? want_guard : want_guard_plainly, c);
    for (int i = 0; i < ROUNDS; i++) {
        store_relaxed(&c->word, GUARD_HELD | FLAG);
        pthread_barrier_wait(&c->begin);
        WAIT_UNTIL(load_relaxed(&c->word) & GUARD_SLEEPERS);
        if (add)
            guard_unlock_add(&c->word, clear, 4);
        else
            guard_unlock_with(&c->word, clear, 0);
        pthread_barrier_wait(&c->end);
    }
    for (size_t i = 0; i < 2 * CROWD; i++)
        test_thread_join(&t[i]);
    pthread_barrier_destroy(&c->begin);
    pthread_barrier_destroy(&c->end);
    assert_int_equal(c->let_in + c->turned_away, CROWD * ROUNDS);
}

static void test_guard_wakes_all_who_sleep(void **state)
{
    struct crowd c;
    run_crowd(0, false, &c);
    assert_int_equal(c.turned_away, 0);
    run_crowd(0, true, &c);
    assert_int_equal(c.turned_away, 0);
}

static void test_guard_wakes_all_who_sleep_when_the_bit_goes(void **state)
{
    struct crowd c;
    run_crowd(FLAG, false, &c);
    assert_int_equal(c.let_in, 0);
    run_crowd(FLAG, true, &c);
    assert_int_equal(c.let_in, 0);
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_durations_are_nanoseconds),
    cmocka_unit_test(test_durations_evaluate_their_argument_once),
    cmocka_unit_test(test_now_never_goes_back),
    cmocka_unit_test(test_now_is_clock_monotonic),
    cmocka_unit_test(test_coarse_now_is_not_ahead_of_now),
    cmocka_unit_test(test_in_counts_from_now),
    cmocka_unit_test(test_in_nothing_or_less_is_past_but_not_NOW),
    cmocka_unit_test(test_in_too_far_ahead_is_FOREVER),
    cmocka_unit_test(test_at_keeps_the_time_but_clamps_it_above_NOW),
    cmocka_unit_test(test_remaining_is_what_is_left_of_the_time),
    cmocka_unit_test(test_the_past_times_out_and_NOW_would_wait),
    cmocka_unit_test(test_advance_moves_the_clock),
    cmocka_unit_test(test_kernel_time_takes_back_what_the_clock_was_moved),
    cmocka_unit_test(test_version_is_that_of_the_header),
    cmocka_unit_test(test_strerror_names_errors_of_either_sign),
    cmocka_unit_test(test_strerror_has_a_text_for_every_number),
    cmocka_unit_test(test_own_errors_lie_outside_errno),
    cmocka_unit_test(test_allocation_too_large_fails_and_counts_nothing),
    cmocka_unit_test(test_allocated_counts_blocks),
    cmocka_unit_test(test_the_nth_allocation_fails_once),
    cmocka_unit_test(test_futex_wait_returns_if_the_value_has_changed),
    cmocka_unit_test(test_futex_wait_returns_at_the_deadline),
    cmocka_unit_test(test_futex_wake_wakes),
    cmocka_unit_test(test_guard_unlock_changes_only_the_bits_named),
    cmocka_unit_test(test_guard_lock_if_wants_all_the_bits),
    cmocka_unit_test(test_guard_lock_if_fails_though_it_is_held),
    cmocka_unit_test(test_guard_under_many_threads_lets_one_in_at_a_time),
    cmocka_unit_test(test_guard_on_one_core_lets_one_in_at_a_time),
    cmocka_unit_test(test_guard_wakes_all_who_sleep),
    cmocka_unit_test(test_guard_wakes_all_who_sleep_when_the_bit_goes),
};

TEST_MAIN(tests, 50)
