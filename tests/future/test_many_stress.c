/* SPDX-License-Identifier: MIT
 *
 * test_many_stress.c: ends of futures that race the time-outs of contexts that wait for many of
 * them, with the sets that they wait with on their stacks. A touch of a set after its wait's return
 * shows under ASan and TSan, or as a wait that never ends.
 */
#include "fibers.h"
#include "jobs.h"

enum {
    BOARD = 24,
    COMPLETERS = 2,
    WAITERS = 5,
    MOST = 20, /* in one wait: more than are waited for without memory */
};

struct board {
    conc_future *futures[BOARD];
    unsigned round;
    int completed; /* atomic */
};

static int error_of(unsigned i) { return i % 5 == 0 ? -EIO : 0; }

static void complete(struct board *board, struct test_random *random)
{
    for (unsigned tries = 0; load_acquire(&board->completed) < BOARD; tries++) {
        unsigned i = (unsigned)test_random_below(random, BOARD);
        conc_future *f = board->futures[i];
        int done = i % 7 == 3    ? (conc_future_cancel(f) ? 0 : -EINVAL)
                   : error_of(i) ? conc_future_set_error(f, error_of(i), "planned")
                                 : conc_future_set_result(f, &(int){(int)i});
        if (!done)
            __atomic_add_fetch(&board->completed, 1, __ATOMIC_ACQ_REL);
        if (test_random_below(random, 2))
            conc_yield();
    }
}

static conc_deadline soon(struct test_random *random)
{
    switch (test_random_below(random, 3)) {
    case 0:
        return CONC_NOW;
    case 1:
        return conc_in(0);
    default:
        return conc_in((int64_t)test_random_below(random, 100000));
    }
}

static size_t choose(const struct board *board, conc_future **futures, struct test_random *random)
{
    size_t n = 1 + (size_t)test_random_below(random, MOST);
    for (size_t i = 0; i < n; i++)
        futures[i] = board->futures[test_random_below(random, BOARD)]; /* some of them twice */
    return n;
}

static size_t count_done(conc_future *const *futures, size_t n, bool errors_only)
{
    size_t done = 0;
    for (size_t i = 0; i < n; i++)
        done += conc_future_is_done(futures[i]) && (!errors_only || conc_future_error(futures[i]));
    return done;
}

static void wait_once(const struct board *board, struct test_random *random)
{
    conc_future *futures[MOST];
    size_t n = choose(board, futures, random);
    conc_wait_mode mode = (conc_wait_mode)test_random_below(random, 3);
    size_t done_before = count_done(futures, n, false),
           errors_before = count_done(futures, n, true);
    ptrdiff_t result = conc_wait(futures, n, mode, soon(random));
    if (result < 0) {
        CHECK(result == -EAGAIN || result == -ETIMEDOUT);
        CHECK(done_before < n);
        CHECK(mode != CONC_FIRST_COMPLETED || done_before == 0);
        CHECK(mode != CONC_FIRST_ERROR || errors_before == 0);
        return;
    }
    CHECK((size_t)result >= done_before && result > 0);
    CHECK((size_t)result <= count_done(futures, n, false));
    if (mode == CONC_ALL_COMPLETED)
        CHECK_EQUAL(result, n);
    if (mode == CONC_FIRST_ERROR)
        CHECK((size_t)result == n || count_done(futures, n, true) > 0);
}

static void iterate_a_while(const struct board *board, struct test_random *random)
{
    conc_future *futures[MOST];
    bool given[MOST] = {false};
    size_t n = choose(board, futures, random), steps = (size_t)test_random_below(random, 2 * MOST);
    conc_as_completed *it;
    CHECK_EQUAL(conc_as_completed_new(&it, futures, n), 0);
    while (steps-- > 0) {
        conc_future *next = NULL;
        size_t index = MOST;
        int result = conc_as_completed_next(it, &next, &index, soon(random));
        CHECK(result == 0 || result == 1 || result == -EAGAIN || result == -ETIMEDOUT);
        if (result == 0)
            break;
        if (result < 0)
            continue;
        CHECK(index < n && next == futures[index] && conc_future_is_done(next));
        CHECK(!given[index]);
        given[index] = true;
    }
    conc_as_completed_free(it); /* wherever it stands */
}

static void gather_once(const struct board *board, struct test_random *random)
{
    conc_future *futures[MOST];
    int errors[MOST];
    size_t n = choose(board, futures, random);
    bool each = test_random_below(random, 2);
    int result = conc_gather(futures, n, each ? errors : NULL, soon(random));
    if (result == 0)
        CHECK_EQUAL(count_done(futures, n, false), n);
    for (size_t i = 0; each && result == 0 && i < n; i++)
        CHECK_EQUAL(errors[i], conc_future_error(futures[i]));
    if (result == -EIO || result == -ECANCELED)
        CHECK(!each && count_done(futures, n, true) > 0);
}

static void wait_for_all(const struct board *board)
{
    size_t given = 0;
    conc_as_completed *it;
    CHECK_EQUAL(conc_as_completed_new(&it, board->futures, BOARD), 0);
    CHECK_EQUAL(conc_wait(board->futures, BOARD, CONC_ALL_COMPLETED, CONC_FOREVER), BOARD);
    while (conc_as_completed_next(it, NULL, NULL, CONC_FOREVER) == 1)
        given++;
    CHECK_EQUAL(given, BOARD);
    conc_as_completed_free(it);
}

static void player(size_t index, void *arg)
{
    struct board *board = arg;
    struct test_random random = test_random_for(board->round * 100 + (unsigned)index);
    if (index < COMPLETERS) {
        complete(board, &random);
        return;
    }
    if (index == COMPLETERS) {
        wait_for_all(board);
        return;
    }
    while (load_acquire(&board->completed) < BOARD) {
        wait_once(board, &random);
        iterate_a_while(board, &random);
        gather_once(board, &random);
    }
    wait_for_all(board);
}

static void play(enum context_kind kind)
{
    static unsigned round;
    struct board *board = test_calloc(1, sizeof *board);
    board->round = round++;
    for (int i = 0; i < BOARD; i++)
        CHECK_EQUAL(conc_future_new(&board->futures[i], sizeof(int)), 0);
    run_contexts(kind, COMPLETERS + WAITERS, player, board);
    for (int i = 0; i < BOARD; i++) {
        (void)conc_future_error(board->futures[i]);
        conc_future_unref(board->futures[i]);
    }
    test_free(board);
}

static void test_ends_race_time_outs_of_threads(void **state)
{
    for (struct stress s = stress_begin(); stress_goes_on(&s);)
        play(THREADS);
}

static void test_ends_race_time_outs_of_all_kinds_of_contexts(void **state)
{
    for (struct stress s = stress_begin(); stress_goes_on(&s);)
        for (enum context_kind kind = FIBERS; kind < CONTEXT_KINDS; kind++)
            play(kind);
}

static void test_ends_race_time_outs_on_one_core(void **state)
{
    use_one_core();
    for (struct stress s = stress_begin(); stress_goes_on(&s);)
        play(THREADS);
    use_all_cores();
}

static const struct CMUnitTest tests[] = {
    LEAK_TEST(test_ends_race_time_outs_of_threads),
    LEAK_TEST(test_ends_race_time_outs_of_all_kinds_of_contexts),
    LEAK_TEST(test_ends_race_time_outs_on_one_core),
};

TEST_MAIN(tests, 60)
