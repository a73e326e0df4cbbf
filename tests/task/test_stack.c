/* SPDX-License-Identifier: MIT
 *
 * test_stack.c: the pool of stacks.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/atomic.h"
#include "base/hooks.h"
#include "support.h"
#include "task/stack.h"

#define KIB ((size_t)1024)
#define SMALLEST (16 * KIB)

static struct stack get(size_t size)
{
    struct stack stack;
    CHECK_EQUAL(conc__stack_alloc(&stack, size), 0);
    return stack;
}

static void fill(const struct stack *stack, int value) { memset(stack->base, value, stack->size); }

static bool is_filled(const struct stack *stack, int value)
{
    for (size_t i = 0; i < stack->size; i += 16)
        if (stack->base[i] != (char)value)
            return false;
    return true;
}

/* ---- One stack ---- */

static void test_alloc_gives_at_least_the_size(void **state)
{
    static const size_t sizes[] = {1, 1000, 16 * KIB, 16 * KIB + 1, 100 * KIB, KIB * KIB};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        struct stack stack = get(sizes[i]);
        assert_true(stack.size >= sizes[i]);
        assert_int_equal((uintptr_t)stack.base % 64, 0);
        fill(&stack, 1);
        conc__stack_free(&stack);
    }
}

static void test_alloc_of_0_gives_the_default(void **state)
{
    struct stack stack = get(0);
    assert_int_equal(stack.size, STACK_DEFAULT_SIZE);
    conc__stack_free(&stack);
}

static void test_alloc_knows_the_largest_size(void **state)
{
    struct stack stack = {.size = 42};
    assert_int_equal(conc__stack_alloc(&stack, KIB * KIB * KIB + 1), -EINVAL);
    assert_int_equal(conc__stack_alloc(&stack, SIZE_MAX), -EINVAL);
    assert_int_equal(stack.size, 42);
    stack = get(KIB * KIB * KIB);
    stack.base[0] = stack.base[stack.size - 1] = 1;
    conc__stack_free(&stack);
}

static void test_alloc_without_memory_is_ENOMEM(void **state)
{
    struct stack stack = {.size = 42};
    conc__hooks.fail_alloc_in = 1;
    assert_int_equal(conc__stack_alloc(&stack, 0), -ENOMEM);
    assert_int_equal(stack.size, 42);
}

static void test_top_is_aligned_and_near_the_end(void **state)
{
    struct stack stacks[30];
    for (size_t i = 0; i < 30; i++) {
        stacks[i] = get(SMALLEST);
        uintptr_t end = (uintptr_t)stacks[i].base + stacks[i].size;
        uintptr_t top = (uintptr_t)stack_top(&stacks[i]);
        assert_int_equal(top % 64, 0);
        assert_in_range(end - top, 0, 4096);
    }
    for (size_t i = 0; i < 30; i++)
        conc__stack_free(&stacks[i]);
}

static int touch_guard(void *arg)
{
    const struct stack *stack = arg;
    ((volatile char *)stack->base)[-1] = 1;
    return 0;
}

static void test_guard_kills(void **state)
{
    struct stack stacks[3]; /* the first and the last of a slab are no different */
    for (size_t i = 0; i < 3; i++)
        stacks[i] = get(SMALLEST);
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(in_child(touch_guard, &stacks[i]), 100 + SIGSEGV);
        assert_true(conc__stack_guards(&stacks[i], stacks[i].base - 1));
        assert_false(conc__stack_guards(&stacks[i], stacks[i].base));
        assert_false(conc__stack_guards(&stacks[i], stacks[i].base - (1 << 20)));
    }
    for (size_t i = 0; i < 3; i++)
        conc__stack_free(&stacks[i]);
}

/* Where memory is locked the kernel refuses the cheap kind of guard. */
static int touch_guard_in_locked_memory(void *arg)
{
    struct stack stack;
    if (mlockall(MCL_FUTURE | MCL_ONFAULT) != 0 || conc__stack_alloc(&stack, 2 * KIB * KIB) != 0)
        return 1;
    fill(&stack, 1);
    return touch_guard(&stack);
}

static void test_guard_kills_also_in_locked_memory(void **state)
{
    assert_int_equal(in_child(touch_guard_in_locked_memory, NULL), 100 + SIGSEGV);
}

/* ---- Many ---- */

static void test_stack_freed_last_is_given_first(void **state)
{
    struct stack a = get(0), b = get(0);
    conc__stack_free(&a);
    conc__stack_free(&b);
    struct stack c = get(0), d = get(0);
    assert_ptr_equal(c.base, b.base);
    assert_ptr_equal(d.base, a.base);
    conc__stack_free(&c);
    conc__stack_free(&d);
}

static void test_stacks_do_not_overlap(void **state)
{
    enum { N = 100 };
    struct stack stacks[N];
    for (size_t i = 0; i < N; i++) {
        stacks[i] = get(i % 2 ? SMALLEST : 2 * SMALLEST);
        fill(&stacks[i], (int)i);
    }
    for (size_t i = 0; i < N; i++)
        assert_true(is_filled(&stacks[i], (int)i));
    for (size_t i = 0; i < N; i++)
        conc__stack_free(&stacks[i]);
}

/* Does the page at `p` hold memory? -1: nothing is mapped there. */
static int is_resident(void *p)
{
    unsigned char in_core;
    if (mincore(p, 1, &in_core) != 0)
        return -1;
    return in_core & 1;
}

static struct stack *get_many(size_t n, size_t size)
{
    struct stack *stacks = calloc(n, sizeof *stacks);
    CHECK(stacks);
    for (size_t i = 0; i < n; i++) {
        stacks[i] = get(size);
        stacks[i].base[0] = 1;
    }
    return stacks;
}

static void free_many(struct stack *stacks, size_t n)
{
    for (size_t i = 0; i < n; i++)
        conc__stack_free(&stacks[i]);
}

static void test_free_keeps_few_warm(void **state)
{
    enum { N = WARM_STACKS_MAX + 4 * SLAB_STACKS_MAX };
    struct stack *stacks = get_many(N, 2 * SMALLEST);
    size_t warm = 0;
    for (size_t i = 0; i < N; i++)
        if (i % 100 != 0) /* these stay: then no slab is unmapped */
            conc__stack_free(&stacks[i]);
    for (size_t i = 0; i < N; i++) {
        int resident = is_resident(stacks[i].base);
        assert_true(resident >= 0);
        warm += i % 100 != 0 && resident;
    }
    assert_in_range(warm, 1, WARM_STACKS_MAX);
    for (size_t i = 0; i < N; i += 100)
        conc__stack_free(&stacks[i]);
    free(stacks);
}

static void test_free_unmaps_slabs(void **state)
{
    enum { N = WARM_STACKS_MAX + 4 * SLAB_STACKS_MAX };
    struct stack *stacks = get_many(N, 2 * SMALLEST);
    size_t unmapped = 0;
    free_many(stacks, N);
    for (size_t i = 0; i < N; i++)
        unmapped += is_resident(stacks[i].base) < 0;
    assert_in_range(unmapped, SLAB_STACKS_MAX, N - WARM_STACKS_MAX);
    free(stacks);
    /* and what is left is as good as new */
    stacks = get_many(N, 2 * SMALLEST);
    free_many(stacks, N);
    free(stacks);
}

/* ---- Trimming ---- */

enum { CROWD = 200, CROWD_SIZE = 256 * 1024 }; /* many times what is kept */

static size_t count_resident(const struct stack *stacks, size_t n)
{
    size_t resident = 0;
    for (size_t i = 0; i < n; i++)
        resident += is_resident(stacks[i].base) == 1;
    return resident;
}

/* A crowd that has just been freed, and nothing else that is not kept for good. */
static struct stack *free_crowd(void)
{
    conc__stack_trim_all();
    assert_false(conc__stack_is_crowded());
    struct stack *stacks = get_many(CROWD, CROWD_SIZE);
    free_many(stacks, CROWD);
    assert_true(conc__stack_is_crowded());
    return stacks;
}

static void test_trim_gives_back_what_was_not_needed(void **state)
{
    struct stack *stacks = free_crowd();
    conc_deadline again = CONC_NOW;
    while (again.ns != CONC_FOREVER.ns) {
        if (again.ns != 0)
            conc__test_advance(CONC_S(1));
        again = conc__stack_trim();
    }
    assert_false(conc__stack_is_crowded());
    assert_in_range(count_resident(stacks, CROWD), 1, CROWD / 4);
    free(stacks);
}

static void test_trim_leaves_what_is_needed_now_and_then(void **state)
{
    struct stack *stacks = free_crowd();
    conc__test_advance(CONC_S(1));
    assert_true(conc__stack_trim().ns > 0); /* from now on it is seen what is needed */
    free(stacks);
    stacks = get_many(CROWD, CROWD_SIZE);
    free_many(stacks, CROWD);
    conc__test_advance(CONC_S(1));
    assert_true(conc__stack_trim().ns > 0);
    assert_int_equal(count_resident(stacks, CROWD), CROWD);
    /* and goes in small steps when it is needed no more */
    conc__test_advance(CONC_S(1));
    assert_int_equal(conc__stack_trim().ns, 0);
    assert_in_range(count_resident(stacks, CROWD), CROWD - CROWD / 4, CROWD - 1);
    free(stacks);
}

static void test_trim_all_gives_back_all_but_a_few_at_once(void **state)
{
    struct stack *stacks = free_crowd();
    conc__stack_trim_all();
    assert_false(conc__stack_is_crowded());
    assert_in_range(count_resident(stacks, CROWD), 1, CROWD / 4);
    /* which are as good as others */
    free(stacks);
    stacks = get_many(CROWD, CROWD_SIZE);
    for (size_t i = 0; i < CROWD; i++)
        fill(&stacks[i], (int)i);
    for (size_t i = 0; i < CROWD; i++)
        assert_true(is_filled(&stacks[i], (int)i));
    free_many(stacks, CROWD);
    free(stacks);
}

static bool is_among(const struct stack *stack, const struct stack *stacks, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (stacks[i].base == stack->base)
            return true;
    return false;
}

static void test_stack_that_was_cold_is_guarded(void **state)
{
    enum { N = WARM_STACKS_MAX + 100, MORE = 4 * SLAB_STACKS_MAX };
    static struct stack again[MORE];
    struct stack *stacks = get_many(N, SMALLEST), *cold = NULL;
    for (size_t i = 0; i < N; i++)
        if (i % 50 != 0) /* these stay: then no slab is unmapped */
            conc__stack_free(&stacks[i]);
    size_t n = 0;
    for (; n < MORE && !cold; n++) {
        again[n] = get(SMALLEST);
        if (!is_resident(again[n].base) && is_among(&again[n], stacks, N))
            cold = &again[n];
    }
    assert_non_null(cold);
    assert_int_equal(in_child(touch_guard, cold), 100 + SIGSEGV);
    free_many(again, n);
    for (size_t i = 0; i < N; i += 50)
        conc__stack_free(&stacks[i]);
    free(stacks);
}

/* ---- Limits ---- */

static size_t lines_of(const char *file)
{
    FILE *f = fopen(file, "r");
    CHECK(f);
    size_t n = 0;
    for (int c; (c = getc(f)) != EOF;)
        n += c == '\n';
    fclose(f);
    return n;
}

/* Does the kernel have guards that are no mappings of their own (MADV_GUARD_INSTALL)? */
static bool has_cheap_guards(void)
{
    const int flags = MAP_PRIVATE | MAP_ANONYMOUS;
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    void *p = mmap(NULL, page, PROT_READ | PROT_WRITE, flags, -1, 0);
    CHECK(p != MAP_FAILED);
    bool has = madvise(p, page, 102) == 0;
    munmap(p, page);
    return has;
}

static void test_many_stacks_are_few_mappings(void **state)
{
    enum { N = 2000 };
    size_t before = lines_of("/proc/self/maps");
    struct stack *stacks = get_many(N, SMALLEST);
    size_t after = lines_of("/proc/self/maps");
    assert_in_range(after, 0, before + (has_cheap_guards() ? 20 : 2 * N + 20));
    free_many(stacks, N);
    free(stacks);
}

static void limit_address_space(size_t more)
{
    unsigned long pages;
    FILE *f = fopen("/proc/self/statm", "r");
    CHECK(f && fscanf(f, "%lu", &pages) == 1);
    fclose(f);
    struct rlimit limit = {.rlim_max = RLIM_INFINITY};
    limit.rlim_cur = pages * (size_t)sysconf(_SC_PAGESIZE) + more;
    CHECK_EQUAL(setrlimit(RLIMIT_AS, &limit), 0);
}

static int run_out_of_address_space(void *arg)
{
    enum { N = 200 };
    static struct stack stacks[N];
    limit_address_space(8 * KIB * KIB); /* not enough for a usual slab of this class */
    size_t n = 0;
    int err = 0;
    while (n < N && !(err = conc__stack_alloc(&stacks[n], 512 * KIB)))
        stacks[n++].base[0] = 1;
    if (err != -ENOMEM || n == 0)
        return 1;
    conc__stack_free(&stacks[--n]);
    if (conc__stack_alloc(&stacks[n], 512 * KIB) != 0) /* that one again */
        return 2;
    free_many(stacks, n + 1);
    return 0;
}

static void test_address_space_that_runs_out_is_ENOMEM(void **state)
{
    if (!on_valgrind()) /* which needs some itself */
        assert_int_equal(in_child(run_out_of_address_space, NULL), 0);
}

/* ---- Threads and forks ---- */

static void get_and_free_at_random(void *arg)
{
    enum { N = 40, ROUNDS = 3000 };
    struct test_random r = test_random_for((unsigned)(uintptr_t)arg);
    struct stack stacks[N] = {0};
    for (int i = 0; i < ROUNDS; i++) {
        size_t k = test_random_below(&r, N);
        char mark = (char)((uintptr_t)arg * N + k);
        if (!stacks[k].base) {
            stacks[k] = get(k % 3 ? SMALLEST : 4 * SMALLEST);
            stacks[k].base[0] = stacks[k].base[stacks[k].size - 1] = mark;
        } else {
            CHECK_EQUAL(stacks[k].base[0], mark);
            CHECK_EQUAL(stacks[k].base[stacks[k].size - 1], mark);
            conc__stack_free(&stacks[k]);
            stacks[k].base = NULL;
        }
    }
    for (size_t k = 0; k < N; k++)
        if (stacks[k].base)
            conc__stack_free(&stacks[k]);
}

static void test_threads_share_the_pool(void **state)
{
    enum { N = 4 };
    struct test_thread threads[N];
    for (size_t i = 0; i < N; i++)
        test_thread_start(&threads[i], NULL, get_and_free_at_random, (void *)(uintptr_t)i);
    for (size_t i = 0; i < N; i++)
        test_thread_join(&threads[i]);
}

static uint32_t stop;

static void get_and_free_until_stopped(void *arg)
{
    while (!load_acquire(&stop)) {
        struct stack stack = get(SMALLEST);
        conc__stack_free(&stack);
    }
}

static int get_and_free_once(void *arg)
{
    struct stack stack = get(SMALLEST), other = get(SMALLEST);
    fill(&stack, 1);
    conc__stack_free(&stack);
    conc__stack_free(&other);
    return 0;
}

static void test_pool_is_whole_in_a_child(void **state)
{
    struct test_thread threads[2];
    store_release(&stop, 0);
    for (size_t i = 0; i < 2; i++)
        test_thread_start(&threads[i], NULL, get_and_free_until_stopped, NULL);
    for (int i = 0; i < 20; i++)
        assert_int_equal(in_child(get_and_free_once, NULL), 0);
    store_release(&stop, 1);
    for (size_t i = 0; i < 2; i++)
        test_thread_join(&threads[i]);
}

static int keep_what_is_on_it(void *arg)
{
    const struct stack *stack = arg;
    if (!is_filled(stack, 7))
        return 1;
    conc__stack_free(stack);
    return get_and_free_once(NULL);
}

static void test_child_has_the_parents_stacks(void **state)
{
    struct stack stack = get(SMALLEST);
    fill(&stack, 7);
    assert_int_equal(in_child(keep_what_is_on_it, &stack), 0);
    assert_true(is_filled(&stack, 7));
    assert_int_equal(in_child(touch_guard, &stack), 100 + SIGSEGV);
    conc__stack_free(&stack);
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_alloc_gives_at_least_the_size),
    cmocka_unit_test(test_alloc_of_0_gives_the_default),
    cmocka_unit_test(test_alloc_knows_the_largest_size),
    cmocka_unit_test(test_alloc_without_memory_is_ENOMEM),
    cmocka_unit_test(test_top_is_aligned_and_near_the_end),
    cmocka_unit_test(test_guard_kills),
    cmocka_unit_test(test_guard_kills_also_in_locked_memory),
    cmocka_unit_test(test_stack_freed_last_is_given_first),
    cmocka_unit_test(test_stacks_do_not_overlap),
    cmocka_unit_test(test_free_keeps_few_warm),
    cmocka_unit_test(test_free_unmaps_slabs),
    cmocka_unit_test(test_trim_gives_back_what_was_not_needed),
    cmocka_unit_test(test_trim_leaves_what_is_needed_now_and_then),
    cmocka_unit_test(test_trim_all_gives_back_all_but_a_few_at_once),
    cmocka_unit_test(test_stack_that_was_cold_is_guarded),
    cmocka_unit_test(test_many_stacks_are_few_mappings),
    cmocka_unit_test(test_address_space_that_runs_out_is_ENOMEM),
    cmocka_unit_test(test_threads_share_the_pool),
    cmocka_unit_test(test_pool_is_whole_in_a_child),
    cmocka_unit_test(test_child_has_the_parents_stacks),
};

TEST_MAIN(tests, 60)
