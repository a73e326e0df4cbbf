/* SPDX-License-Identifier: MIT
 *
 * test_job_exit.c: jobs that leave their thread in the middle, by pthread_exit() or because it is
 * cancelled by pthread_cancel(): their futures fail, and what ran them goes on, or ends, in order.
 */
#include "base/checkers.h"
#include "executors.h"

#include <pthread.h>
#include <string.h>
#include <unistd.h>

#include <conc/generator.h>
#include <conc/group.h>
#include <conc/local.h>
#include <conc/loop.h>
#include <conc/rlock.h>
#include <conc/task.h>
#include <conc/thread.h>

static const char left_in_the_middle[] = "the job has left its thread in the middle";

static void has_left(conc_future *f)
{
    CHECK_EQUAL(conc_future_wait(f, CONC_FOREVER), 0);
    CHECK_EQUAL(conc_future_error(f), -EOWNERDEAD);
    CHECK(strncmp(conc_future_message(f), left_in_the_middle, strlen(left_in_the_middle)) == 0);
    CHECK(!conc_future_is_running(f));
    CHECK(!conc_future_cancel(f));
    conc_future_unref(f);
}

static int job_exits(void *arg, void *result)
{
    conc_raise(-EIO, "another error's message");
    pthread_exit(NULL);
}

/* In scopes of its own, with a result half made, and holding what nobody will release. */
static int job_exits_deep(void *arg, void *result)
{
    conc_scope scope, shield;
    conc_scope_enter(&scope, CONC_FOREVER);
    conc_shield_enter(&shield);
    conc_bytes *bytes = result;
    bytes->size = 1000; /* of no memory */
    pthread_exit(NULL);
}

struct victim {
    pthread_t thread;
    conc_event ready;
    int fd; /* a pipe that nobody writes to */
};

/* AddressSanitizer does not see that a cancellation unwinds a frame, and would keep its shadow. */
__attribute__((no_sanitize_address)) static int job_is_cancelled(void *arg, void *result)
{
    struct victim *v = *(struct victim **)arg;
    char c;
    v->thread = pthread_self();
    conc_event_set(&v->ready);
    while (read(v->fd, &c, 1) >= 0) /* a cancellation point of the system's */
        continue;
    return 0;
}

/* Submit a job whose thread is cancelled while it reads. */
static conc_future *submit_victim(conc_executor *executor)
{
    struct victim victim = {0}, *v = &victim;
    int fds[2];
    assert_int_equal(pipe(fds), 0);
    v->fd = fds[0];
    conc_future *f = conc_submit(executor, job_is_cancelled, &v, sizeof v, 0);
    assert_int_equal(conc_event_wait(&v->ready, CONC_FOREVER), 0);
    assert_int_equal(pthread_cancel(v->thread), 0);
    assert_int_equal(conc_future_wait(f, CONC_FOREVER), 0);
    close(fds[0]);
    close(fds[1]);
    return f;
}

/* ---- Executors ---- */

static void executor_goes_on(conc_executor *executor)
{
    int nine = 0;
    assert_int_equal(
        conc_call(executor, job_square, &(int){3}, sizeof(int), &nine, sizeof nine, CONC_FOREVER),
        0);
    assert_int_equal(nine, 9);
}

static void test_a_job_that_exits_fails_and_the_executor_goes_on(void **state)
{
    const struct executor_case *c = *state;
    enum { JOBS = 10 };
    conc_future *f[2 * JOBS];
    for (int i = 0; i < JOBS; i++) {
        f[2 * i] = conc_submit(c->executor, job_exits, NULL, 0, 0);
        f[2 * i + 1] = conc_submit(c->executor, job_square, &i, sizeof i, sizeof(int));
    }
    for (int i = 0; i < JOBS; i++) {
        int value;
        has_left(f[2 * i]);
        assert_int_equal(conc_future_result(f[2 * i + 1], &value, CONC_FOREVER), 0);
        assert_int_equal(value, i * i);
        conc_future_unref(f[2 * i + 1]);
    }
    has_left(conc_submit(c->executor, job_exits_deep, NULL, 0, CONC_BYTES));
    executor_goes_on(c->executor);
    assert_int_equal(conc_executor_shutdown(c->executor, CONC_SHUTDOWN_WAIT, conc_in(CONC_S(1000))),
                     0);
}

static void test_a_job_whose_thread_is_cancelled_fails_too(void **state)
{
    const struct executor_case *c = *state;
    for (int i = 0; i < 3; i++)
        has_left(submit_victim(c->executor));
    executor_goes_on(c->executor);
}

static void count_down(conc_future *f, void *left) { (*(int *)left)--; }

static void test_its_callbacks_and_groups_are_told(void **state)
{
    const struct executor_case *c = *state;
    int left = 1, err = 0;
    conc_future *f = conc_submit(c->executor, job_exits, NULL, 0, 0);
    assert_int_equal(conc_future_add_done_callback(f, count_down, &left), 0);
    conc_with_group (group, &err, CONC_FOREVER) {
        conc_group_submit(group, c->executor, job_exits, NULL, 0, NULL, 0);
        err = conc_sleep_until(CONC_FOREVER);
    }
    assert_int_equal(err, -EOWNERDEAD);
    has_left(f);
    executor_goes_on(c->executor); /* its callbacks are over */
    WAIT_UNTIL(__atomic_load_n(&left, __ATOMIC_ACQUIRE) == 0);
}

/* ---- Pools ---- */

static conc_local *key;
static uint32_t inits, finis, destroyed;

static void destroy(void *value) { fetch_add_relaxed(&destroyed, 1); }

static int init_worker(void *arg)
{
    fetch_add_relaxed(&inits, 1);
    return conc_local_set(key, &inits);
}

static void fini_worker(void *arg) { fetch_add_relaxed(&finis, 1); }

static void test_a_worker_that_was_left_is_finalised_and_replaced(void **state)
{
    enum { EXITS = 20 };
    conc_executor *pool;
    const conc_thread_pool_options options = {.init = init_worker, .fini = fini_worker};
    inits = finis = destroyed = 0;
    assert_int_equal(conc_local_new(&key, destroy), 0);
    assert_int_equal(conc_thread_pool_new(&pool, 2, &options), 0);
    for (int i = 0; i < EXITS; i++)
        has_left(conc_submit(pool, job_exits, NULL, 0, 0));
    executor_goes_on(pool);
    assert_int_equal(conc_executor_free(pool), 0);
    assert_in_range(inits, EXITS, EXITS + 2);
    assert_int_equal(finis, inits);
    assert_int_equal(destroyed, inits);
    conc_local_free(key);
}

static int exit_in_init(void *arg) { pthread_exit(NULL); }

static void test_an_initialiser_that_exits_breaks_the_pool(void **state)
{
    conc_executor *pool;
    const conc_thread_pool_options options = {.init = exit_in_init};
    assert_int_equal(conc_thread_pool_new(&pool, 2, &options), 0);
    for (int i = 0; i < 2; i++)
        assert_int_equal(
            conc_call(pool, job_square, &(int){3}, sizeof(int), NULL, sizeof(int), CONC_FOREVER),
            -CONC_EBROKEN);
    assert_int_equal(conc_executor_free(pool), 0);
}

static void exit_in_fini(void *arg) { pthread_exit(NULL); }

static void test_a_finaliser_may_exit(void **state)
{
    conc_executor *pool;
    const conc_thread_pool_options options = {.fini = exit_in_fini};
    assert_int_equal(conc_thread_pool_new(&pool, 2, &options), 0);
    executor_goes_on(pool);
#ifndef __clang__ /* which calls abort() for an exit in the middle of an exit */
    has_left(conc_submit(pool, job_exits, NULL, 0, 0));
#endif
    assert_int_equal(conc_executor_free(pool), 0);
}

static int job_gate_exits(void *arg, void *result)
{
    job_gate(arg, NULL);
    pthread_exit(NULL);
}

static void test_if_no_worker_can_be_started_the_jobs_in_the_queue_fail(void **state)
{
    struct gate gate = {0}, *g = &gate;
    conc_executor *pool;
    conc_future *f[3];
    assert_int_equal(conc_thread_pool_new(&pool, 1, NULL), 0);
    f[0] = conc_submit(pool, job_gate_exits, &g, sizeof g, 0);
    gate_entered(&gate);
    for (int i = 1; i < 3; i++)
        f[i] = conc_submit(pool, job_return, &(int){0}, sizeof(int), 0);
    fail_thread(1);
    conc_event_set(&gate.open);
    has_left(f[0]);
    for (int i = 1; i < 3; i++) {
        assert_int_equal(conc_future_result(f[i], NULL, CONC_FOREVER), -ENOMEM);
        conc_future_unref(f[i]);
    }
    executor_goes_on(pool); /* now one can */
    assert_int_equal(conc_executor_free(pool), 0);
}

static void test_one_who_waits_for_room_gets_it_when_the_worker_is_left(void **state)
{
    struct gate gate = {0}, *g = &gate, late = {0};
    struct other_submitter other;
    conc_executor *pool;
    const conc_thread_pool_options options = {.max_queued = 1};
    assert_int_equal(conc_thread_pool_new(&pool, 1, &options), 0);
    conc_future *first = conc_submit(pool, job_gate_exits, &g, sizeof g, 0);
    gate_entered(&gate);
    conc_future *second = conc_submit(pool, job_return, &(int){0}, sizeof(int), 0);
    submit_elsewhere(&other, "submitter", pool, &late);
    wait_until_blocked("submitter", "executor");
    conc_event_set(&late.open);
    conc_event_set(&gate.open);
    has_left(first);
    conc_future *third = submitted_elsewhere(&other);
    assert_int_equal(conc_future_result(second, NULL, CONC_FOREVER), 0);
    assert_int_equal(conc_future_result(third, NULL, CONC_FOREVER), 0);
    conc_future_unref(second);
    conc_future_unref(third);
    assert_int_equal(conc_executor_free(pool), 0);
}

struct helps {
    conc_executor *pool;
    conc_future *futures[2];
};

static int job_helps_one_that_exits(void *arg, void *result)
{
    struct helps *helps = *(struct helps **)arg;
    for (int i = 0; i < 2; i++)
        helps->futures[i] = conc_submit(helps->pool, job_exits, NULL, 0, 0);
    conc_wait(helps->futures, 2, CONC_ALL_COMPLETED, CONC_FOREVER);
    CHECK(false);
    return 0;
}

static void test_the_job_that_helps_one_that_exits_is_left_too(void **state)
{
    struct helps helps, *h = &helps;
    assert_int_equal(conc_thread_pool_new(&helps.pool, 1, NULL), 0);
    has_left(conc_submit(helps.pool, job_helps_one_that_exits, &h, sizeof h, 0));
    for (int i = 0; i < 2; i++)
        has_left(helps.futures[i]); /* of which no wait is left */
    executor_goes_on(helps.pool);
    assert_int_equal(conc_executor_free(helps.pool), 0);
}

/* If a job had ended before its submitter gave it up, the submitter finds the error. */
static void exit_at_error(int err, const char *message, void *submitter)
{
    if (!pthread_equal(pthread_self(), *(pthread_t *)submitter))
        pthread_exit(NULL);
}

static void test_a_hook_that_exits_loses_no_job(void **state)
{
    enum { JOBS = 50 };
    conc_future *f[JOBS];
    pthread_t self = pthread_self();
    for (size_t threads = 1; threads <= 4; threads *= 4) {
        struct gate gate = {0}, *g = &gate;
        conc_executor *pool;
        conc_future_on_unobserved(exit_at_error, &self);
        assert_int_equal(conc_thread_pool_new(&pool, threads, NULL), 0);
        conc_future *first = conc_submit(pool, job_gate, &g, sizeof g, 0);
        gate_entered(&gate);
        for (int i = 0; i < JOBS; i++) {
            f[i] = conc_submit(pool, job_return, &(int){i % 2 ? -EIO : 0}, sizeof(int), 0);
            if (i % 2) /* the worker gives the last reference back, and finds the error */
                conc_future_unref(f[i]);
        }
        conc_event_set(&gate.open);
        for (int i = 0; i < JOBS; i += 2) {
            assert_int_equal(conc_future_result(f[i], NULL, CONC_FOREVER), 0);
            conc_future_unref(f[i]);
        }
        assert_int_equal(conc_future_result(first, NULL, CONC_FOREVER), 0);
        conc_future_unref(first);
        assert_int_equal(conc_executor_free(pool), 0);
        conc_future_on_unobserved(NULL, NULL);
    }
}

static void ignore_error(int err, const char *message, void *arg) {}

/* ---- The caller's own thread ---- */

static void submit_inline(void *arg)
{
    conc_executor *ex = *(conc_executor **)arg;
    conc_future_unref(conc_submit(ex, job_exits, NULL, 0, 0));
    CHECK(false); /* the job has taken its caller along */
}

static void call_inline(void *arg)
{
    conc_executor *ex = *(conc_executor **)arg;
    conc_call(ex, job_exits, NULL, 0, NULL, 0, conc_in(CONC_S(1000)));
    CHECK(false);
}

static void test_an_inline_job_that_exits_leaves_its_executor_in_order(void **state)
{
    void (*const ways[])(void *) = {submit_inline, call_inline};
    conc_executor *ex;
    assert_int_equal(conc_inline_new(&ex), 0);
    conc_future_on_unobserved(ignore_error, NULL);
    for (int i = 0; i < 2; i++) {
        struct test_thread t;
        test_thread_start(&t, NULL, ways[i], &ex);
        test_thread_join(&t);
    }
    executor_goes_on(ex);
    assert_int_equal(conc_executor_free(ex), 0); /* it does not wait for them */
}

/* ---- Threads ---- */

static void test_a_thread_whose_job_exits_can_be_joined(void **state)
{
    for (int freed = 0; freed < 2; freed++) {
        conc_thread *t;
        assert_int_equal(conc_thread_start(&t, job_exits, NULL, 0, NULL), 0);
        conc_future *f = conc_future_ref(conc_thread_future(t));
        if (freed) {
            conc_thread_free(t);
        } else {
            assert_int_equal(conc_thread_join(t, NULL, CONC_FOREVER), -EOWNERDEAD);
            assert_false(conc_thread_is_alive(t));
            assert_false(conc_thread_cancel(t));
            conc_thread_free(t);
        }
        has_left(f);
    }
}

/* ---- Tasks ---- */

/* ThreadSanitizer's pthread_exit() wants to be called on the thread's own stack. */
#ifndef WITH_TSAN

static int generate_and_exit(conc_generator *generator, void *arg)
{
    CHECK_EQUAL(conc_generator_yield(generator, &(int){1}), 0);
    pthread_exit(NULL);
}

static int job_uses_generator(void *arg, void *result)
{
    conc_generator *g;
    int item = 0;
    CHECK_EQUAL(conc_generator_new(&g, generate_and_exit, NULL, 0, sizeof item, NULL), 0);
    CHECK_EQUAL(conc_generator_next(g, &item, CONC_FOREVER), 1);
    CHECK_EQUAL(conc_generator_next(g, &item, CONC_FOREVER), -EOWNERDEAD);
    CHECK_EQUAL(conc_generator_next(g, &item, CONC_FOREVER), 0);
    CHECK_EQUAL(conc_generator_free(g), 0);
    return 0;
}

static int job_waits_for_ever(void *arg, void *result) { return conc_sleep_until(CONC_FOREVER); }

static int main_task(void *arg, void *result)
{
    conc_local *local = *(conc_local **)arg;
    conc_future *other = conc_spawn(job_waits_for_ever, NULL, 0, 0);
    CHECK_EQUAL(conc_local_set(local, local), 0);
    for (int i = 0; i < 10; i++) {
        has_left(conc_spawn(job_exits, NULL, 0, 0));
        has_left(conc_spawn(job_exits_deep, NULL, 0, CONC_BYTES));
        CHECK_EQUAL(job_uses_generator(NULL, NULL), 0);
    }
    CHECK(conc_future_is_running(other));
    CHECK(conc_future_cancel(other));
    CHECK_EQUAL(conc_future_wait(other, CONC_FOREVER), 0);
    conc_future_unref(other);
    pthread_exit(NULL);
}

static void test_a_task_that_exits_ends_alone(void **state)
{
    conc_local *local;
    destroyed = 0;
    assert_int_equal(conc_local_new(&local, destroy), 0);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(conc_run(main_task, &local, sizeof local, NULL, 0), -EOWNERDEAD);
        assert_int_equal(destroyed, i + 1);
    }
    conc_local_free(local);
}

static void test_a_generators_body_that_exits_ends_alone(void **state)
{
    assert_int_equal(job_uses_generator(NULL, NULL), 0);
}

#endif

static const struct CMUnitTest tests[] = {
    ON_EXECUTOR(test_a_job_that_exits_fails_and_the_executor_goes_on, THREAD_PER_JOB, "per_job"),
    ON_EXECUTOR(test_a_job_that_exits_fails_and_the_executor_goes_on, POOL_OF_1, "pool_of_1"),
    ON_EXECUTOR(test_a_job_that_exits_fails_and_the_executor_goes_on, POOL_OF_4, "pool_of_4"),
    ON_EXECUTOR(test_a_job_that_exits_fails_and_the_executor_goes_on, BOUNDED_POOL, "bounded"),
    ON_EXECUTOR(test_a_job_whose_thread_is_cancelled_fails_too, THREAD_PER_JOB, "per_job"),
    ON_EXECUTOR(test_a_job_whose_thread_is_cancelled_fails_too, POOL_OF_1, "pool_of_1"),
    ON_EXECUTOR(test_a_job_whose_thread_is_cancelled_fails_too, POOL_OF_4, "pool_of_4"),
    ON_EXECUTOR(test_its_callbacks_and_groups_are_told, THREAD_PER_JOB, "per_job"),
    ON_EXECUTOR(test_its_callbacks_and_groups_are_told, POOL_OF_1, "pool_of_1"),
    ON_EXECUTOR(test_its_callbacks_and_groups_are_told, POOL_OF_4, "pool_of_4"),
    LEAK_TEST(test_a_worker_that_was_left_is_finalised_and_replaced),
    LEAK_TEST(test_an_initialiser_that_exits_breaks_the_pool),
    LEAK_TEST(test_a_finaliser_may_exit),
    LEAK_TEST(test_if_no_worker_can_be_started_the_jobs_in_the_queue_fail),
    LEAK_TEST(test_one_who_waits_for_room_gets_it_when_the_worker_is_left),
    LEAK_TEST(test_the_job_that_helps_one_that_exits_is_left_too),
    LEAK_TEST(test_a_hook_that_exits_loses_no_job),
    LEAK_TEST(test_an_inline_job_that_exits_leaves_its_executor_in_order),
    LEAK_TEST(test_a_thread_whose_job_exits_can_be_joined),
#ifndef WITH_TSAN
    ON_EXECUTOR(test_a_job_that_exits_fails_and_the_executor_goes_on, LOOP, "loop"),
    ON_EXECUTOR(test_a_job_that_exits_fails_and_the_executor_goes_on, LOOP_POOL, "loop_pool"),
    ON_EXECUTOR(test_its_callbacks_and_groups_are_told, LOOP, "loop"),
    LEAK_TEST(test_a_task_that_exits_ends_alone),
    LEAK_TEST(test_a_generators_body_that_exits_ends_alone),
#endif
};

TEST_MAIN(tests, 60)
