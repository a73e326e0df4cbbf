/* SPDX-License-Identifier: MIT
 *
 * test_bucket.c: the token bucket: how many tokens over any span of time, never too many and not
 * too few; and the order in which takers are served.
 */
#include <math.h>
#include <string.h>

#include <conc/bucket.h>

#include "base/hooks.h"
#include "support.h"
#include "wait/wait.h"

#define EPSILON 1e-6 /* tokens: what the rounding of doubles may make of them */

/* ---- Alone ---- */

static void test_init_checks_its_numbers(void **state)
{
    static const struct {
        double per_second, burst;
        int result;
        uint32_t most; /* that can be taken at once */
    } cases[] = {
        {1, 1, 0, 1},
        {0.001, 1, 0, 1},
        {1e12, 7.9, 0, 7},
        {10, 0, 0, 10}, /* one second's worth */
        {0.5, 0, 0, 1}, /* at least 1 */
        {0, 1, -EINVAL, 0},
        {0, 0, -EINVAL, 0},
        {-1, 1, -EINVAL, 0},
        {NAN, 1, -EINVAL, 0},
        {NAN, 0, -EINVAL, 0},
        {INFINITY, 1, -EINVAL, 0},
        {INFINITY, 0, -EINVAL, 0},
        {1, 0.99, -EINVAL, 0},
        {1, -1, -EINVAL, 0},
        {1, NAN, -EINVAL, 0},
        {1, INFINITY, -EINVAL, 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        conc_bucket b;
        memset(&b, 0xff, sizeof b);
        assert_int_equal(conc_bucket_init(&b, cases[i].per_second, cases[i].burst),
                         cases[i].result);
        if (cases[i].result)
            continue;
        assert_int_equal(conc_bucket_take(&b, cases[i].most + 1, CONC_FOREVER), -EINVAL);
        conc__test_advance(CONC_S(1000));
        assert_int_equal(conc_bucket_take(&b, cases[i].most, CONC_NOW), 0);
    }
}

static void test_bucket_starts_empty(void **state)
{
    static conc_bucket fixed = CONC_BUCKET_INIT(0.5, 100);
    conc_bucket made;
    assert_int_equal(conc_bucket_init(&made, 0.5, 100), 0);
    conc__test_advance(CONC_S(50)); /* the static one gathers from its first use on only */
    assert_int_equal(conc_bucket_take(&fixed, 1, CONC_NOW), -EAGAIN);
    assert_true(conc_bucket_tokens(&fixed) < 0.1);
    assert_int_equal(conc_bucket_init(&made, 0.5, 100), 0);
    assert_int_equal(conc_bucket_take(&made, 1, CONC_NOW), -EAGAIN);
    assert_true(conc_bucket_tokens(&made) < 0.1);
}

static void test_tokens_gather_at_the_rate_up_to_the_burst(void **state)
{
    conc_bucket b;
    assert_int_equal(conc_bucket_init(&b, 0.01, 5), 0); /* slow, so that real time adds nothing */
    for (int i = 1; i <= 8; i++) {
        conc__test_advance(CONC_S(100));
        double tokens = conc_bucket_tokens(&b), expected = i < 5 ? i : 5;
        assert_true(tokens >= expected - EPSILON && tokens < expected + 0.1);
    }
    assert_true(conc_bucket_tokens(&b) <= 5);
}

static void test_take_takes_just_n(void **state)
{
    conc_bucket b;
    assert_int_equal(conc_bucket_init(&b, 0.01, 10), 0);
    conc__test_advance(CONC_S(100000));
    assert_int_equal(conc_bucket_take(&b, 0, CONC_NOW), 0);
    assert_int_equal(conc_bucket_take(&b, 3, CONC_NOW), 0);
    assert_int_equal(conc_bucket_take(&b, 2, conc_in(0)), 0); /* there: no deadline matters */
    assert_int_equal(conc_bucket_take(&b, 1, CONC_FOREVER), 0);
    double left = conc_bucket_tokens(&b);
    assert_true(left >= 4 - EPSILON && left < 4.1);
    assert_int_equal(conc_bucket_take(&b, 5, CONC_NOW), -EAGAIN);
    assert_int_equal(conc_bucket_take(&b, 5, conc_in(0)), -ETIMEDOUT);
    assert_int_equal(conc_bucket_take(&b, 5, conc_in(CONC_MS(5))), -ETIMEDOUT);
    assert_true(conc_bucket_tokens(&b) >= left); /* a taker that gave up has taken nothing */
    assert_int_equal(conc_bucket_take(&b, 0, CONC_NOW), 0);
    assert_int_equal(conc_bucket_take(&b, 11, CONC_NOW), -EINVAL);
    assert_int_equal(conc_bucket_take(&b, 4, CONC_NOW), 0);
}

static void test_take_when_cancelled_takes_nothing(void **state)
{
    conc_bucket b;
    conc_scope ended;
    assert_int_equal(conc_bucket_init(&b, 0.01, 10), 0);
    conc__test_advance(CONC_S(100000));
    conc_scope_enter(&ended, conc_in(0));
    assert_int_equal(conc_bucket_take(&b, 1, CONC_FOREVER), -ECANCELED);
    assert_true(conc_bucket_tokens(&b) >= 10 - EPSILON);
    assert_int_equal(conc_bucket_take(&b, 1, CONC_NOW), 0); /* exempt */
    assert_int_equal(conc_scope_exit(&ended), -ETIMEDOUT);
}

static void test_rates_beyond_all_measure_do_no_harm(void **state)
{
    conc_bucket slow, fast;
    assert_int_equal(conc_bucket_init(&slow, 1e-300, 1), 0);
    assert_int_equal(conc_bucket_take(&slow, 1, CONC_NOW), -EAGAIN);
    assert_int_equal(conc_bucket_take(&slow, 1, conc_in(CONC_MS(5))), -ETIMEDOUT);
    assert_int_equal(conc_bucket_init(&fast, 1e300, 1e300), 0);
    assert_int_equal(conc_bucket_take(&fast, UINT32_MAX, conc_in(CONC_S(1000))), 0);
}

/* ---- Over any span of time ---- */

#define TAKES 400

/* Tokens given between two readings of the clock. */
struct take {
    int64_t before, after;
    uint32_t n;
};

/* Take 1 to `most` tokens as often as possible while time passes in random steps of up to
 * `step`. */
static void take_greedily(conc_bucket *b, uint32_t most, int64_t step, struct take *takes)
{
    struct test_random r = test_random_for(most);
    for (int i = 0; i < TAKES;) {
        struct take t = {.n = 1 + (uint32_t)test_random_below(&r, most)};
        t.before = conc_now();
        int err = conc_bucket_take(b, t.n, CONC_NOW);
        t.after = conc_now();
        if (err == 0) {
            takes[i++] = t;
        } else {
            assert_int_equal(err, -EAGAIN);
            conc__test_advance((int64_t)test_random_below(&r, (uint64_t)step));
            if (test_random_below(&r, 4) == 0)
                conc_bucket_tokens(b); /* looking changes nothing */
        }
    }
}

static void check_every_span(const struct take *takes, double rate, double burst)
{
    for (int i = 0; i < TAKES; i++) {
        double given = 0;
        for (int j = i; j < TAKES; j++) {
            given += takes[j].n;
            /* the takes lay at most so far apart: so the bound must hold for this length */
            double seconds = (double)(takes[j].after - takes[i].before) / 1e9;
            assert_true(given <= burst + rate * seconds + EPSILON);
        }
    }
}

static void test_no_span_of_time_sees_more_than_its_tokens(void **state)
{
    static const struct {
        double rate, burst;
        uint32_t most;
    } cases[] = {{0.01, 1, 1}, {0.01, 3, 1}, {0.07, 10, 5}, {0.003, 2.5, 2}, {1, 60, 60}};
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        conc_bucket b;
        struct take takes[TAKES];
        double rate = cases[c].rate, burst = cases[c].burst;
        assert_int_equal(conc_bucket_init(&b, rate, burst), 0);
        int64_t begin = conc_now();
        /* steps from too small for a token up to longer than the bucket holds */
        take_greedily(&b, cases[c].most, CONC_S((int64_t)(1.5 * burst / rate)), takes);
        check_every_span(takes, rate, burst);
        double given = 0;
        for (int i = 0; i < TAKES; i++) {
            given += takes[i].n; /* and it was empty at first */
            assert_true(given <= rate * (double)(takes[i].after - begin) / 1e9 + EPSILON);
        }
    }
}

static void test_under_steady_demand_the_rate_is_reached(void **state)
{
    conc_bucket b;
    const double rate = 0.01;
    struct take takes[TAKES];
    assert_int_equal(conc_bucket_init(&b, rate, 2), 0);
    int64_t begin = conc_now();
    take_greedily(&b, 1, CONC_S(40), takes); /* less than a token a step: none runs over */
    double seconds = (double)(takes[TAKES - 1].after - begin) / 1e9;
    assert_true(TAKES <= rate * seconds + EPSILON);
    assert_true(TAKES >= rate * seconds - 1);
}

static void test_burst_of_1_is_strict_pacing(void **state)
{
    conc_bucket b;
    const double rate = 0.01;
    struct take takes[TAKES];
    assert_int_equal(conc_bucket_init(&b, rate, 1), 0);
    take_greedily(&b, 1, CONC_S(300), takes);
    for (int i = 1; i < TAKES; i++) {
        double apart = (double)(takes[i].after - takes[i - 1].before) / 1e9;
        assert_true(apart >= 1 / rate - EPSILON);
    }
}

/* ---- With others ---- */

struct taker {
    struct test_thread thread;
    conc_bucket *bucket;
    uint32_t n;
    conc_deadline deadline;
    conc_scope scope;
    uint32_t *last; /* counts the takers that have got some */
    int result, exit;
    uint32_t place;
};

static void take_some(void *arg)
{
    struct taker *t = arg;
    conc_scope_enter(&t->scope, CONC_FOREVER);
    t->result = conc_bucket_take(t->bucket, t->n, t->deadline);
    if (t->result == 0)
        t->place = fetch_add_relaxed(t->last, 1) + 1;
    t->exit = conc_scope_exit(&t->scope);
}

/* The first sleeps until its tokens are there, the others wait for their turn. */
static void start_takers(conc_bucket *b, struct taker *t, int n, uint32_t *last)
{
    for (int i = 0; i < n; i++) {
        t[i].bucket = b;
        t[i].last = last;
        if (t[i].deadline.ns == 0)
            t[i].deadline = CONC_FOREVER;
        test_thread_start(&t[i].thread, i ? "later" : "first", take_some, &t[i]);
        if (i == 0)
            wait_until_blocked("first", "sleep");
        else
            wait_until_n_blocked(&b->turn, (size_t)i);
    }
}

static void test_take_sleeps_just_until_its_tokens_are_there(void **state)
{
    conc_bucket b;
    uint32_t last = 0;
    struct taker t = {.n = 5};
    assert_int_equal(conc_bucket_init(&b, 0.01, 5), 0);
    start_takers(&b, &t, 1, &last);
    conc__test_advance(CONC_S(490));
    wait_until_blocked("first", "sleep");
    assert_int_equal(load_relaxed(&last), 0);
    assert_int_equal(conc_bucket_take(&b, 1, CONC_NOW), -EAGAIN); /* it is another's turn */
    conc__test_advance(CONC_S(10));
    test_thread_join(&t.thread);
    assert_int_equal(t.result, 0);
    assert_true(conc_bucket_tokens(&b) < 0.1);
}

static void test_takers_are_served_in_order_of_arrival(void **state)
{
    conc_bucket b;
    uint32_t last = 0;
    struct taker t[4] = {{.n = 10}, {.n = 1}, {.n = 7}, {.n = 2}};
    assert_int_equal(conc_bucket_init(&b, 0.1, 10), 0);
    start_takers(&b, t, 4, &last);
    for (int i = 0; i < 4; i++) {
        assert_int_equal(load_relaxed(&last), i);
        conc__test_advance(CONC_S(10 * t[i].n) + CONC_S(1));
        test_thread_join(&t[i].thread);
        assert_int_equal(t[i].result, 0);
        assert_int_equal(t[i].place, i + 1);
    }
}

static void test_who_gives_up_lets_the_next_one_through(void **state)
{
    conc_bucket b;
    uint32_t last = 0;
    struct taker t[4] = {{.n = 10}, {.n = 4, .deadline = conc_in(CONC_S(500))}, {.n = 8}, {.n = 5}};
    assert_int_equal(conc_bucket_init(&b, 0.01, 10), 0);
    start_takers(&b, t, 4, &last);
    conc__test_advance(CONC_S(499));
    conc_scope_cancel(&t[2].scope); /* while it waits for its turn */
    test_thread_join(&t[2].thread);
    assert_int_equal(load_relaxed(&last), 0);
    conc__test_advance(CONC_S(2)); /* too late for the second one, while it waits for its turn */
    test_thread_join(&t[1].thread);
    conc_scope_cancel(&t[0].scope); /* while it sleeps */
    test_thread_join(&t[0].thread);
    test_thread_join(&t[3].thread);
    static const int results[] = {-ECANCELED, -ETIMEDOUT, -ECANCELED, 0};
    for (int i = 0; i < 4; i++)
        assert_int_equal(t[i].result, results[i]);
    assert_int_equal(t[0].exit, -ECANCELED);
    assert_int_equal(t[3].place, 1);
    assert_true(conc_bucket_tokens(&b) < 0.1);
    assert_int_equal(conc_sem_value(&b.turn), 1);
}

static void test_a_take_that_cannot_be_met_fails_at_once(void **state)
{
    conc_bucket b;
    int64_t begin = conc_now();
    assert_int_equal(conc_bucket_init(&b, 0.01, 10), 0);
    assert_int_equal(conc_bucket_take(&b, 11, conc_in(CONC_S(5000))), -EINVAL);
    assert_int_equal(conc_bucket_take(&b, 9, conc_in(CONC_S(500))), -ETIMEDOUT);
    conc_scope scope; /* what is cancelled is told that, and nothing else */
    conc_scope_enter(&scope, CONC_FOREVER);
    conc_scope_cancel(&scope);
    assert_int_equal(conc_bucket_take(&b, 9, conc_in(CONC_S(500))), -ECANCELED);
    assert_int_equal(conc_scope_exit(&scope), -ECANCELED);
    assert_true(conc_now() - begin < CONC_S(400));
    assert_int_equal(conc_sem_value(&b.turn), 1);
}

static void test_a_taker_that_comes_too_late_to_its_turn_holds_up_nobody(void **state)
{
    conc_bucket b;
    uint32_t last = 0;
    struct taker t[3] = {{.n = 10}, {.n = 5, .deadline = conc_in(CONC_S(1400))}, {.n = 1}};
    assert_int_equal(conc_bucket_init(&b, 0.01, 10), 0);
    start_takers(&b, t, 3, &last);
    conc__test_advance(CONC_S(1001));
    test_thread_join(&t[0].thread);
    test_thread_join(&t[1].thread); /* its tokens would be there after 500 seconds more */
    assert_int_equal(t[1].result, -ETIMEDOUT);
    conc__test_advance(CONC_S(101)); /* before that deadline */
    test_thread_join(&t[2].thread);
    assert_int_equal(t[2].result, 0);
}

static void test_a_static_bucket_with_numbers_that_are_none_is_EINVAL(void **state)
{
    conc_bucket made[] = {CONC_BUCKET_INIT(0, 1),   CONC_BUCKET_INIT(-1, 1),
                          CONC_BUCKET_INIT(NAN, 1), CONC_BUCKET_INIT(1, 0),
                          CONC_BUCKET_INIT(1, -1),  CONC_BUCKET_INIT(1, NAN)};
    for (size_t i = 0; i < sizeof made / sizeof *made; i++)
        assert_int_equal(conc_bucket_take(&made[i], 1, CONC_FOREVER), -EINVAL);
}

/* ---- By the real clock ---- */

#define RATE 2000.0
#define BURST 400.0

struct shared {
    conc_bucket bucket;
    conc_deadline end;
    uint32_t given;
};

static void take_until_the_end(void *arg)
{
    struct shared *s = arg;
    struct test_random r = test_random_for(conc_context_id(NULL));
    uint32_t n;
    int err;
    do {
        n = 1 + (uint32_t)test_random_below(&r, 4);
        err = conc_bucket_take(&s->bucket, n, s->end);
        if (!err)
            fetch_add_relaxed(&s->given, n);
    } while (!err);
    CHECK_EQUAL(err, -ETIMEDOUT);
}

static void test_many_takers_reach_the_rate_and_no_more(void **state)
{
    struct shared s = {.given = 0};
    struct test_thread t[6];
    assert_int_equal(conc_bucket_init(&s.bucket, RATE, BURST), 0);
    int64_t begin = conc_now();
    s.end = conc_in(CONC_MS(800));
    for (int i = 0; i < 6; i++)
        test_thread_start(&t[i], NULL, take_until_the_end, &s);
    for (int i = 0; i < 6; i++)
        test_thread_join(&t[i]);
    double seconds = (double)(conc_now() - begin) / 1e9;
    assert_true(s.given <= RATE * seconds + EPSILON);
    assert_true(s.given >= 0.7 * RATE * 0.8); /* less only if the machine stood still */
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_init_checks_its_numbers),
    cmocka_unit_test(test_bucket_starts_empty),
    cmocka_unit_test(test_tokens_gather_at_the_rate_up_to_the_burst),
    cmocka_unit_test(test_take_takes_just_n),
    cmocka_unit_test(test_take_when_cancelled_takes_nothing),
    cmocka_unit_test(test_rates_beyond_all_measure_do_no_harm),
    cmocka_unit_test(test_no_span_of_time_sees_more_than_its_tokens),
    cmocka_unit_test(test_under_steady_demand_the_rate_is_reached),
    cmocka_unit_test(test_burst_of_1_is_strict_pacing),
    cmocka_unit_test(test_take_sleeps_just_until_its_tokens_are_there),
    cmocka_unit_test(test_takers_are_served_in_order_of_arrival),
    cmocka_unit_test(test_who_gives_up_lets_the_next_one_through),
    cmocka_unit_test(test_a_take_that_cannot_be_met_fails_at_once),
    cmocka_unit_test(test_a_taker_that_comes_too_late_to_its_turn_holds_up_nobody),
    cmocka_unit_test(test_a_static_bucket_with_numbers_that_are_none_is_EINVAL),
    cmocka_unit_test(test_many_takers_reach_the_rate_and_no_more),
};

TEST_MAIN(tests, 50)
