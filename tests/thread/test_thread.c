/* SPDX-License-Identifier: MIT
 *
 * test_thread.c: threads of one's own: starting, joining, identity, cancelling, and giving them
 * back at any time.
 */
#include "jobs.h"

#include <stdio.h>
#include <string.h>

#include <conc/thread.h>

static conc_thread *start(conc_fn *fn, const void *arg, size_t arg_size,
                          const conc_thread_options *options)
{
    conc_thread *t = NULL;
    CHECK_EQUAL(conc_thread_start(&t, fn, arg, arg_size, options), 0);
    return t;
}

static conc_thread *start_gate(struct gate *gate, const char *name)
{
    const conc_thread_options options = {.name = name, .result_size = sizeof(int)};
    conc_thread *t = start(job_gate, &gate, sizeof gate, &options);
    gate_entered(gate);
    return t;
}

/* ---- Starting and joining ---- */

static void test_join_gives_the_result(void **state)
{
    const conc_thread_options options = {.result_size = sizeof(int)};
    int n = 12, value = -1;
    conc_thread *t = start(job_square, &n, sizeof n, &options);
    n = 0; /* it has a copy */
    assert_int_equal(conc_thread_join(t, &value, CONC_FOREVER), 0);
    assert_int_equal(value, 144);
    value = -1;
    assert_int_equal(conc_thread_join(t, &value, CONC_NOW), 0); /* again */
    assert_int_equal(value, 144);
    assert_int_equal(conc_thread_join(t, NULL, conc_in(0)), 0);
    conc_thread_free(t);
}

static int job_nothing(void *arg, void *result) { return arg || result ? -EFAULT : 0; }

static void test_without_argument_and_result_the_job_gets_NULL(void **state)
{
    conc_thread *t = start(job_nothing, NULL, 0, NULL);
    assert_int_equal(conc_thread_join(t, NULL, CONC_FOREVER), 0);
    conc_thread_free(t);
}

static void test_join_gives_the_jobs_error_and_message(void **state)
{
    const conc_thread_options options = {.result_size = sizeof(int)};
    int value = 77;
    conc_thread *t = start(job_raise, &(int){-EPROTO}, sizeof(int), &options);
    assert_int_equal(conc_thread_join(t, &value, CONC_FOREVER), -EPROTO);
    assert_string_equal(conc_error_message(), "job failed: -71");
    assert_int_equal(value, 77);
    conc_thread_free(t);
    t = start(job_return, &(int){3}, sizeof(int), NULL);
    assert_int_equal(conc_thread_join(t, NULL, CONC_FOREVER),
                     -EINVAL); /* a positive return is a mistake */
    conc_thread_free(t);
}

static void test_join_gives_up(void **state)
{
    struct gate gate = {0};
    conc_scope scope;
    int value = -1;
    conc_thread *t = start_gate(&gate, NULL);
    assert_int_equal(conc_thread_join(t, &value, CONC_NOW), -EAGAIN);
    assert_int_equal(conc_thread_join(t, &value, conc_in(0)), -ETIMEDOUT);
    assert_int_equal(conc_thread_join(t, &value, conc_in(CONC_MS(2))), -ETIMEDOUT);
    conc_scope_enter(&scope, conc_in(CONC_MS(2)));
    assert_int_equal(conc_thread_join(t, &value, CONC_FOREVER), -ECANCELED);
    assert_int_equal(conc_scope_exit(&scope), -ETIMEDOUT);
    assert_true(conc_thread_is_alive(t));
    conc_event_set(&gate.open);
    assert_int_equal(conc_thread_join(t, &value, CONC_FOREVER), 0);
    assert_int_equal(value, 7);
    conc_thread_free(t);
}

static void test_bad_arguments_are_EINVAL(void **state)
{
    const conc_thread_options impossible = {.stack_size = SIZE_MAX},
                              absurd = {.stack_size = SIZE_MAX / 2 + 1};
    conc_thread *t = NULL;
    assert_int_equal(conc_thread_start(&t, NULL, NULL, 0, NULL), -EINVAL);
    assert_int_equal(conc_thread_start(&t, job_nothing, NULL, 4, NULL), -EINVAL);
    assert_int_equal(conc_thread_start(&t, job_nothing, NULL, 0, &impossible), -EINVAL);
    assert_int_equal(conc_thread_start(&t, job_nothing, NULL, 0, &absurd), -EINVAL);
    assert_null(t); /* untouched */
}

static void test_without_memory_or_threads_start_is_ENOMEM(void **state)
{
    const conc_thread_options large = {.result_size = SIZE_MAX - 1};
    conc_thread *t = NULL;
    assert_int_equal(conc_thread_start(&t, job_nothing, NULL, 0, &large), -ENOMEM);
    fail_thread(1);
    assert_int_equal(conc_thread_start(&t, job_nothing, NULL, 0, NULL), -ENOMEM);
    int n = 0, err;
    do {
        fail_alloc(++n);
        err = conc_thread_start(&t, job_nothing, NULL, 0, NULL);
        fail_alloc(0);
        assert_true(err == 0 || err == -ENOMEM);
        assert_int_equal(t == NULL, err != 0);
    } while (err);
    assert_true(n > 2);
    assert_int_equal(conc_thread_join(t, NULL, CONC_FOREVER), 0);
    conc_thread_free(t);
}

/* ---- Several joiners ---- */

struct joiner {
    conc_thread *thread;
    int value;
};

static int job_join(void *arg, void *result)
{
    struct joiner *j = *(struct joiner **)arg;
    return conc_thread_join(j->thread, &j->value, CONC_FOREVER);
}

static void test_several_may_join(void **state)
{
    enum { N = 6 };
    struct gate gate = {0};
    struct joiner joiners[N];
    conc_thread *t = start_gate(&gate, NULL), *threads[N];
    for (int i = 0; i < N; i++) {
        struct joiner *j = &joiners[i];
        joiners[i] = (struct joiner){.thread = t, .value = -1};
        threads[i] = start(job_join, &j, sizeof j, NULL);
    }
    wait_until_n_blocked(conc_thread_future(t), N);
    conc_event_set(&gate.open);
    for (int i = 0; i < N; i++) {
        assert_int_equal(conc_thread_join(threads[i], NULL, CONC_FOREVER), 0);
        assert_int_equal(joiners[i].value, 7);
        conc_thread_free(threads[i]);
    }
    conc_thread_free(t);
}

static void test_a_thread_may_join_one_that_had_its_stack_before(void **state)
{
    for (int i = 0; i < 10; i++) {
        const conc_thread_options options = {.result_size = sizeof(int)};
        struct joiner joiner = {.value = -1}, *j = &joiner;
        joiner.thread = start(job_square, &i, sizeof i, &options);
        assert_int_equal(conc_thread_join(joiner.thread, NULL, CONC_FOREVER), 0);
        conc_thread *second =
            start(job_join, &j, sizeof j, NULL); /* the system gives it the first's memory */
        assert_int_equal(conc_thread_join(second, NULL, CONC_FOREVER), 0); /* not -EDEADLK */
        assert_int_equal(joiner.value, i * i);
        conc_thread_free(second);
        conc_thread_free(joiner.thread);
    }
}

/* ---- The thread itself ---- */

struct self {
    conc_thread *thread; /* set before `go` */
    conc_event go, done;
    int join, join_in_callback;
    uint64_t id;
    char name[CONC_NAME_MAX];
};

static int job_about_itself(void *arg, void *result)
{
    struct self *s = *(struct self **)arg;
    CHECK_EQUAL(conc_event_wait(&s->go, CONC_FOREVER), 0);
    s->join = conc_thread_join(s->thread, NULL, CONC_FOREVER);
    s->id = conc_context_id(NULL);
    snprintf(s->name, sizeof s->name, "%s", conc_context_name(conc_context_current()));
    CHECK(conc_thread_is_alive(s->thread));
    return 0;
}

static void join_in_callback(conc_future *future, void *arg)
{
    struct self *s = arg;
    s->join_in_callback = conc_thread_join(s->thread, NULL, CONC_FOREVER);
}

static conc_thread *start_about_itself(struct self *s, const conc_thread_options *options)
{
    *s = (struct self){0};
    s->thread = start(job_about_itself, &s, sizeof s, options);
    return s->thread;
}

static void test_a_thread_that_joins_itself_is_EDEADLK(void **state)
{
    struct self s;
    conc_thread *t = start_about_itself(&s, NULL);
    assert_int_equal(conc_future_add_done_callback(conc_thread_future(t), join_in_callback, &s), 0);
    conc_event_set(&s.go);
    assert_int_equal(conc_thread_join(t, NULL, CONC_FOREVER), 0);
    assert_int_equal(s.join, -EDEADLK);
    assert_int_equal(s.join_in_callback, -EDEADLK);
    conc_thread_free(t);
}

static void test_names(void **state)
{
    static const char long_name[] = "a thread with a name that is longer than names may be";
    const conc_thread_options given = {.name = "gopher"}, longer = {.name = long_name};
    const conc_thread_options *const options[] = {&given, &longer, NULL};
    for (int i = 0; i < 3; i++) {
        struct self s;
        conc_thread *t = start_about_itself(&s, options[i]);
        const char *name = conc_thread_name(t);
        if (i == 0)
            assert_string_equal(name, "gopher");
        else if (i == 1)
            assert_true(strlen(name) == CONC_NAME_MAX - 1 &&
                        !strncmp(name, long_name, CONC_NAME_MAX - 1));
        else
            assert_true(!strncmp(name, "thread-", 7));
        conc_event_set(&s.go);
        assert_int_equal(conc_thread_join(t, NULL, CONC_FOREVER), 0);
        assert_string_equal(conc_thread_name(t),
                            s.name); /* as the thread itself sees it; also after its end */
        conc_thread_free(t);
    }
}

static void test_the_id_is_the_one_of_its_context(void **state)
{
    struct self s[2];
    conc_thread *t[2];
    for (int i = 0; i < 2; i++) {
        t[i] = start_about_itself(&s[i], NULL);
        assert_int_not_equal(conc_thread_id(t[i]), 0);
        assert_int_not_equal(conc_thread_id(t[i]), conc_context_id(NULL));
    }
    assert_int_not_equal(conc_thread_id(t[0]), conc_thread_id(t[1]));
    for (int i = 0; i < 2; i++) {
        conc_event_set(&s[i].go);
        assert_int_equal(conc_thread_join(t[i], NULL, CONC_FOREVER), 0);
        assert_int_equal(conc_thread_id(t[i]), s[i].id);
        conc_thread_free(t[i]);
    }
}

static void test_name_and_id_may_be_asked_for_at_once_even_by_a_cancelled_caller(void **state)
{
    conc_scope scope;
    conc_scope_enter(&scope, conc_in(0));
    for (int i = 0; i < 30; i++) {
        conc_thread *t = start(job_nothing, NULL, 0, &(conc_thread_options){.name = "quick"});
        assert_int_not_equal(conc_thread_id(t), 0);
        assert_string_equal(conc_thread_name(t), "quick");
        conc_thread_free(t);
    }
    assert_int_equal(conc_scope_exit(&scope), 0); /* no cancellation points */
}

static void test_is_alive_until_its_end(void **state)
{
    struct gate gate = {0};
    conc_thread *t = start_gate(&gate, NULL);
    assert_true(conc_thread_is_alive(t));
    assert_false(conc_future_is_done(conc_thread_future(t)));
    conc_event_set(&gate.open);
    assert_int_equal(conc_thread_join(t, NULL, CONC_FOREVER), 0);
    assert_false(conc_thread_is_alive(t));
    conc_thread_free(t);
}

static void test_stack_sizes(void **state)
{
    static const struct {
        size_t stack, used;
    } cases[] = {{1, 100}, {70001, 10000}, {24 << 20, 12 << 20}};
    for (int i = 0; i < 3; i++) {
        const conc_thread_options options = {.stack_size = cases[i].stack};
        conc_thread *t = start(job_use_stack, &cases[i].used, sizeof(size_t), &options);
        assert_int_equal(conc_thread_join(t, NULL, CONC_FOREVER), 0);
        conc_thread_free(t);
    }
}

/* ---- Cancelling ---- */

static void test_cancel_ends_what_the_thread_blocks_in(void **state)
{
    struct gate gate = {0};
    conc_thread *t = start_gate(&gate, NULL);
    assert_true(conc_thread_cancel(t));
    assert_int_equal(conc_thread_join(t, NULL, CONC_FOREVER), -ECANCELED);
    assert_int_equal(gate.end, -ECANCELED);
    assert_true(conc_future_is_cancelled(conc_thread_future(t)));
    assert_false(conc_thread_cancel(t));
    conc_thread_free(t);
}

static void test_cancel_at_once_is_before_or_after_its_beginning(void **state)
{
    for (int i = 0; i < 50; i++) {
        struct gate gate = {0}, *g = &gate;
        conc_thread *t = start(job_gate, &g, sizeof g, NULL);
        assert_true(conc_thread_cancel(t));
        assert_int_equal(conc_thread_join(t, NULL, CONC_FOREVER), -ECANCELED);
        assert_true(runs_of(&gate) == 0 || gate.end == -ECANCELED);
        assert_int_not_equal(conc_thread_id(t), 0); /* it is known all the same */
        conc_thread_free(t);
    }
}

/* ---- Giving it back ---- */

static void test_free_ignores_NULL(void **state) { conc_thread_free(NULL); }

static void test_a_thread_given_back_runs_on(void **state)
{
    struct unobserved u;
    int count = 0, *counter = &count;
    static struct gate gate;
    unobserved_watch(&u);
    conc_thread_free(start_gate(&gate, NULL));
    conc_thread_free(start(job_count, &counter, sizeof counter, NULL));
    conc_thread_free(start(job_raise, &(int){-EIO}, sizeof(int), NULL));
    WAIT_UNTIL(load_acquire(&count) == 1);
    WAIT_UNTIL(load_acquire(&u.count) == 1); /* its error was not looked at */
    assert_int_equal(u.err, -EIO);
    assert_string_equal(u.message, "job failed: -5");
    conc_event_set(&gate.open);
    wait_until_threads(0);
}

static void test_an_ended_thread_that_nobody_joined_is_given_back(void **state)
{
    conc_thread *t = start(job_nothing, NULL, 0, NULL);
    WAIT_UNTIL(!conc_thread_is_alive(t));
    conc_thread_free(t);
    wait_until_threads(0);
}

static int job_frees_itself(void *arg, void *result)
{
    struct self *s = *(struct self **)arg;
    CHECK_EQUAL(conc_event_wait(&s->go, CONC_FOREVER), 0);
    conc_thread_free(s->thread);
    conc_event_set(&s->done);
    return 0;
}

static void free_in_callback(conc_future *future, void *arg)
{
    struct self *s = arg;
    conc_thread_free(s->thread);
    conc_event_set(&s->done);
}

static void test_a_thread_may_give_itself_back(void **state)
{
    for (int in_callback = 0; in_callback < 2; in_callback++) {
        struct self s = {0}, *p = &s;
        s.thread = start(in_callback ? job_about_itself : job_frees_itself, &p, sizeof p, NULL);
        conc_future *f = conc_future_ref(conc_thread_future(s.thread));
        if (in_callback) /* after the waiter below is woken */
            assert_int_equal(conc_future_add_done_callback(f, free_in_callback, &s), 0);
        conc_event_set(&s.go);
        assert_int_equal(conc_future_result(f, NULL, CONC_FOREVER), 0);
        assert_int_equal(conc_event_wait(&s.done, CONC_FOREVER), 0);
        conc_future_unref(f);
        wait_until_threads(0);
    }
}

/* ---- Many ---- */

static void test_threads_can_be_waited_for_together(void **state)
{
    enum { N = 5 };
    struct gate gates[N] = {0};
    conc_thread *threads[N];
    conc_future *futures[N];
    for (int i = 0; i < N; i++) {
        threads[i] = start_gate(&gates[i], NULL);
        futures[i] = conc_thread_future(threads[i]);
    }
    assert_int_equal(conc_wait(futures, N, CONC_FIRST_COMPLETED, CONC_NOW), -EAGAIN);
    conc_event_set(&gates[2].open);
    assert_int_equal(conc_wait(futures, N, CONC_FIRST_COMPLETED, CONC_FOREVER), 1);
    for (int i = 0; i < N; i++)
        conc_event_set(&gates[i].open);
    assert_int_equal(conc_gather(futures, N, NULL, CONC_FOREVER), 0);
    for (int i = 0; i < N; i++)
        conc_thread_free(threads[i]);
}

static void test_many_threads_at_once(void **state)
{
    size_t n = crowd_of(500);
    const conc_thread_options options = {.stack_size = 1};
    static struct gate gate, *g = &gate;
    conc_thread **threads = test_calloc(n, sizeof *threads);
    for (size_t i = 0; i < n; i++)
        threads[i] = start(job_gate, &g, sizeof g, &options);
    WAIT_UNTIL(runs_of(&gate) == (int)n);
    wait_until_threads((int)n);
    conc_event_set(&gate.open);
    for (size_t i = 0; i < n; i++) {
        if (i % 3)
            assert_int_equal(conc_thread_join(threads[i], NULL, CONC_FOREVER), 0);
        conc_thread_free(threads[i]);
    }
    test_free(threads);
    wait_until_threads(0);
}

/* Join, cancel and free meet the thread's end at every point of it. */
static void test_join_cancel_and_free_race_the_end(void **state)
{
    struct test_random random = test_random_for(7);
    for (struct stress s = stress_begin(); stress_goes_on(&s);) {
        int count = 0, *counter = &count;
        conc_thread *t = start(job_count, &counter, sizeof counter, NULL);
        conc_future *f = conc_future_ref(conc_thread_future(t));
        for (uint64_t n = test_random_below(&random, 20000); n > 0; n--)
            cpu_relax();
        bool cancelled = test_random_below(&random, 3) == 0 && conc_thread_cancel(t);
        if (test_random_below(&random, 2)) {
            int err =
                conc_thread_join(t, NULL, conc_in((int64_t)test_random_below(&random, 50000)));
            assert_true(err == 0 || err == -ETIMEDOUT || (err == -ECANCELED && cancelled));
        }
        conc_thread_free(t);
        assert_int_equal(conc_future_wait(f, CONC_FOREVER), 0);
        assert_int_equal(load_acquire(&count), conc_future_is_cancelled(f) ? 0 : 1);
        conc_future_unref(f);
    }
}

static const struct CMUnitTest tests[] = {
    LEAK_TEST(test_join_gives_the_result),
    LEAK_TEST(test_without_argument_and_result_the_job_gets_NULL),
    LEAK_TEST(test_join_gives_the_jobs_error_and_message),
    LEAK_TEST(test_join_gives_up),
    LEAK_TEST(test_bad_arguments_are_EINVAL),
    LEAK_TEST(test_without_memory_or_threads_start_is_ENOMEM),
    LEAK_TEST(test_several_may_join),
    LEAK_TEST(test_a_thread_may_join_one_that_had_its_stack_before),
    LEAK_TEST(test_a_thread_that_joins_itself_is_EDEADLK),
    LEAK_TEST(test_names),
    LEAK_TEST(test_the_id_is_the_one_of_its_context),
    LEAK_TEST(test_name_and_id_may_be_asked_for_at_once_even_by_a_cancelled_caller),
    LEAK_TEST(test_is_alive_until_its_end),
    LEAK_TEST(test_stack_sizes),
    LEAK_TEST(test_cancel_ends_what_the_thread_blocks_in),
    LEAK_TEST(test_cancel_at_once_is_before_or_after_its_beginning),
    LEAK_TEST(test_free_ignores_NULL),
    LEAK_TEST(test_a_thread_given_back_runs_on),
    LEAK_TEST(test_an_ended_thread_that_nobody_joined_is_given_back),
    LEAK_TEST(test_a_thread_may_give_itself_back),
    LEAK_TEST(test_threads_can_be_waited_for_together),
    LEAK_TEST(test_many_threads_at_once),
    LEAK_TEST(test_join_cancel_and_free_race_the_end),
};

TEST_MAIN(tests, 60)
