/* SPDX-License-Identifier: MIT
 *
 * test_task_cancel.c: tasks that are cancelled in every state, by tasks, threads and callbacks;
 * scopes, shields and deadlines of tasks that take turns on one thread.
 */
#include "loops.h"

#include <poll.h>
#include <sys/socket.h>

#include <conc/io.h>
#include <conc/lock.h>
#include <conc/sem.h>

static int job_nothing(void *arg, void *result) { return 0; }

/* ---- In every state ---- */

static void test_before_it_begins_it_never_does(void)
{
    int count = 0, *counter = &count;
    conc_future *f = conc_spawn(job_count, &counter, sizeof counter, 0);
    CHECK(conc_future_cancel(f));
    CHECK(conc_future_is_cancelled(f)); /* at once */
    CHECK(!conc_future_cancel(f));
    CHECK_EQUAL(end_of(f), -ECANCELED);
    conc_sleep(CONC_MS(1));
    CHECK_EQUAL(count, 0);
}

static int job_wait_often(void *arg, void *result)
{
    int turns = *(int *)arg, err = 0;
    while (!err && turns-- > 0)
        err = conc_sleep(CONC_S(100));
    for (int i = 0; i < 3; i++) {
        CHECK_EQUAL(conc_sleep(CONC_S(100)), -ECANCELED); /* and so on, as long as it runs */
        CHECK_EQUAL(conc_check_cancel(), -ECANCELED);
        conc_yield();
    }
    return err;
}

static void test_a_parked_one_is_told_by_the_call_it_is_in_and_by_all_later_ones(void)
{
    conc_future *f = conc_spawn(job_wait_often, &(int){1}, sizeof(int), 0);
    UNTIL(blocked_on("sleep") == 1);
    CHECK(conc_future_cancel(f));
    CHECK(!conc_future_is_done(f));
    CHECK_EQUAL(end_of(f), -ECANCELED);
}

static int job_until_told(void *arg, void *result)
{
    int *turns = pointer_in(arg);
    while (!conc_is_cancelled()) {
        ++*turns;
        conc_yield();
    }
    return conc_check_cancel();
}

static void test_a_ready_one_sees_it_in_its_turn(void)
{
    int turns = 0, *t = &turns;
    conc_future *f = conc_spawn(job_until_told, &t, sizeof t, 0);
    while (turns < 10)
        conc_yield();
    CHECK(conc_future_cancel(f));
    int before = turns;
    CHECK_EQUAL(conc_future_wait(f, CONC_FOREVER), 0);
    CHECK(conc_future_is_cancelled(f));
    CHECK_EQUAL(turns, before);
    conc_future_unref(f);
}

static int job_read(void *arg, void *result)
{
    return conc_poll_fd(*(int *)arg, POLLIN, CONC_FOREVER);
}

static void test_one_in_an_operation_is_told_when_that_is_over(void)
{
    int fds[2];
    make_sockets(SOCK_STREAM, fds);
    conc_future *f = conc_spawn(job_read, &fds[0], sizeof(int), 0);
    UNTIL(blocked_on("poll") == 1);
    CHECK(conc_future_cancel(f));
    CHECK_EQUAL(end_of(f), -ECANCELED);
    close_both(fds);
}

static int job_cancel_itself(void *arg, void *result)
{
    conc_future **self = pointer_in(arg);
    CHECK_EQUAL(conc_sleep(0), 0);
    CHECK(conc_future_cancel(*self));
    CHECK_EQUAL(conc_sleep(0), -ECANCELED);
    return conc_check_cancel();
}

static void test_it_may_cancel_itself(void)
{
    conc_future *f, **address = &f;
    f = conc_spawn(job_cancel_itself, &address, sizeof address, 0);
    CHECK_EQUAL(conc_future_result(f, NULL, CONC_FOREVER), -ECANCELED);
    CHECK(conc_future_is_cancelled(f));
    conc_future_unref(f);
}

static int job_ends_well_all_the_same(void *arg, void *result)
{
    conc_sleep_until(CONC_FOREVER);
    *(int *)result = 5;
    return 0;
}

static void test_what_ends_well_all_the_same_has_ended_well(void)
{
    int value = 0;
    conc_future *f = conc_spawn(job_ends_well_all_the_same, NULL, 0, sizeof value);
    conc_yield();
    CHECK(conc_future_cancel(f));
    CHECK_EQUAL(conc_future_result(f, &value, CONC_FOREVER), 0);
    CHECK_EQUAL(value, 5);
    conc_future_unref(f);
}

static int job_clean_up(void *arg, void *result)
{
    struct gate *gate = pointer_in(arg);
    conc_scope shield;
    int err = conc_sleep_until(CONC_FOREVER);
    conc_shield_enter(&shield);
    CHECK_EQUAL(conc_sleep(CONC_US(50)), 0);
    conc_event_set(&gate->entered);
    CHECK_EQUAL(conc_event_wait(&gate->open, CONC_FOREVER), 0);
    CHECK(!conc_is_cancelled());
    CHECK_EQUAL(conc_shield_exit(&shield), 0);
    CHECK(conc_is_cancelled());
    return err;
}

static void test_a_shield_keeps_it_out_even_if_it_comes_twice(void)
{
    struct gate gate = {0}, *g = &gate;
    conc_future *f = conc_spawn(job_clean_up, &g, sizeof g, 0);
    conc_yield();
    CHECK(conc_future_cancel(f));
    gate_entered(&gate);
    CHECK(conc_future_cancel(f));
    CHECK_EQUAL(conc_future_result(f, NULL, conc_in(CONC_MS(1))), -ETIMEDOUT);
    conc_event_set(&gate.open);
    CHECK_EQUAL(end_of(f), -ECANCELED);
}

/* What waits for a task is not cancelled with it, nor the other way round. */
static int job_await(void *arg, void *result)
{
    return conc_future_wait(pointer_in(arg), CONC_FOREVER);
}

static void test_who_waits_and_who_is_waited_for_are_apart(void)
{
    conc_future *inner = conc_spawn(job_until_cancelled, NULL, 0, 0);
    conc_future *outer = conc_spawn(job_await, &inner, sizeof inner, 0);
    UNTIL(blocked_on("future") == 1);
    CHECK(conc_future_cancel(outer));
    CHECK_EQUAL(end_of(outer), -ECANCELED);
    CHECK(conc_future_is_running(inner));
    outer = conc_spawn(job_await, &inner, sizeof inner, 0);
    UNTIL(blocked_on("future") == 1);
    CHECK(conc_future_cancel(inner));
    CHECK_EQUAL(end_of(outer), 0);
    CHECK_EQUAL(end_of(inner), -ECANCELED);
}

/* A unit that was given to a task before it was cancelled is not lost: it has it. */
static int job_acquire(void *arg, void *result)
{
    return conc_sem_acquire(pointer_in(arg), CONC_FOREVER);
}

static void test_what_was_given_before_it_was_cancelled_has_come(void)
{
    conc_sem sem = CONC_SEM_INIT(0), *s = &sem;
    conc_future *f = conc_spawn(job_acquire, &s, sizeof s, 0);
    UNTIL(blocked_on("semaphore") == 1);
    CHECK_EQUAL(conc_sem_release(&sem, 1), 0);
    CHECK(conc_future_cancel(f));
    int err = end_of(f);
    CHECK_EQUAL(conc_sem_value(&sem), err ? 1 : 0);
    CHECK_EQUAL(err, 0);
}

struct last_moment {
    conc_sem sem;
    conc_deadline time;
};

/* Two tasks sleep until the same time. The first gives the second a unit, which is ready already,
 * as its time is up: it has not given up yet, so it has the unit. */
static int job_sleep_and_give(void *arg, void *result)
{
    struct last_moment *last = pointer_in(arg);
    CHECK_EQUAL(conc_sleep_until(last->time), 0);
    return conc_sem_release(&last->sem, 1);
}

static int job_acquire_in_time(void *arg, void *result)
{
    struct last_moment *last = pointer_in(arg);
    return conc_sem_acquire(&last->sem, last->time);
}

static void test_what_is_given_at_the_last_moment_has_come(void)
{
    struct last_moment last = {.sem = CONC_SEM_INIT(0), .time = conc_in(CONC_S(1000))}, *l = &last;
    conc_future *f = conc_spawn(job_sleep_and_give, &l, sizeof l, 0);
    conc_future *g = conc_spawn(job_acquire_in_time, &l, sizeof l, 0);
    YIELD_UNTIL(blocked_on("semaphore") == 1);
    conc__test_advance(CONC_S(2000));
    CHECK_EQUAL(end_of(f), 0);
    CHECK_EQUAL(end_of(g), 0);
    CHECK_EQUAL(conc_sem_value(&last.sem), 0);
}

/* ---- Scopes ---- */

static int job_in_two_scopes(void *arg, void *result)
{
    bool inner_first = *(bool *)arg;
    conc_scope outer, inner;
    conc_scope_enter(&outer, conc_in(inner_first ? CONC_S(100) : CONC_MS(1)));
    conc_scope_enter(&inner, conc_in(inner_first ? CONC_MS(2) : CONC_S(100)));
    CHECK_EQUAL(conc_sleep_until(CONC_FOREVER), -ECANCELED);
    CHECK_EQUAL(conc_scope_exit(&outer), -EPERM);
    CHECK_EQUAL(conc_scope_exit(&inner), inner_first ? -ETIMEDOUT : -ECANCELED);
    CHECK_EQUAL(conc_sleep(0), inner_first ? 0 : -ECANCELED);
    CHECK_EQUAL(conc_scope_exit(&outer), inner_first ? 0 : -ETIMEDOUT);
    CHECK_EQUAL(conc_sleep(CONC_US(1)), 0);
    return 0;
}

static void test_scopes_of_tasks_that_take_turns_are_apart(void)
{
    conc_future *futures[6];
    for (int i = 0; i < 6; i++)
        futures[i] = conc_spawn(job_in_two_scopes, &(bool){i % 2}, sizeof(bool), 0);
    for (int i = 0; i < 6; i++)
        CHECK_EQUAL(end_of(futures[i]), 0);
}

struct scoped {
    conc_scope scope;
    conc_event inside, cancelled;
};

static int job_in_scope(void *arg, void *result)
{
    struct scoped *s = pointer_in(arg);
    conc_scope shield;
    conc_scope_enter(&s->scope, CONC_FOREVER);
    conc_event_set(&s->inside);
    CHECK_EQUAL(conc_sleep_until(CONC_FOREVER), -ECANCELED);
    conc_shield_enter(&shield); /* it must be there until the cancelling is over */
    CHECK_EQUAL(conc_event_wait(&s->cancelled, CONC_FOREVER), 0);
    CHECK_EQUAL(conc_shield_exit(&shield), 0);
    CHECK_EQUAL(conc_event_wait(&s->cancelled, CONC_FOREVER), -ECANCELED);
    int why = conc_scope_exit(&s->scope);
    return why == -ECANCELED ? conc_sleep(CONC_US(1)) : -EIO;
}

static void cancel_scope(void *arg)
{
    struct scoped *s = arg;
    CHECK_EQUAL(conc_event_wait(&s->inside, CONC_FOREVER), 0);
    conc_scope_cancel(&s->scope);
    conc_scope_cancel(&s->scope);
    conc_event_set(&s->cancelled);
}

static void test_a_scope_is_cancelled_by_another_task_or_thread(void)
{
    for (int by_thread = 0; by_thread < 2; by_thread++) {
        struct scoped s = {.inside = CONC_EVENT_INIT}, *address = &s;
        struct test_thread other;
        conc_future *f = conc_spawn(job_in_scope, &address, sizeof address, 0);
        if (by_thread)
            test_thread_start(&other, NULL, cancel_scope, &s);
        else
            cancel_scope(&s);
        CHECK_EQUAL(end_of(f), 0);
        if (by_thread)
            test_thread_join(&other);
    }
}

/* Its deadline wakes a task that nothing else would wake. */
static void test_deadlines_of_many_come_in_their_order(void)
{
    conc_event never = CONC_EVENT_INIT;
    for (int i = 1; i < 20; i++) {
        conc_scope scope;
        int64_t begin = conc_now();
        CHECK_EQUAL(conc_event_wait(&never, conc_in(CONC_US(i * 20))), -ETIMEDOUT);
        CHECK(conc_now() - begin >= CONC_US(i * 20));
        conc_scope_enter(&scope, conc_in(CONC_US(i * 20)));
        CHECK_EQUAL(conc_event_wait(&never, conc_in(CONC_S(100))), -ECANCELED);
        CHECK_EQUAL(conc_scope_exit(&scope), -ETIMEDOUT);
    }
}

/* ---- Races ---- */

/* A job that blocks in many ways and ends: each cancel comes at another moment. */
static int job_brief(void *arg, void *result)
{
    conc_sem *sem = pointer_in(arg);
    for (int i = 0; i < 3; i++) {
        int err = conc_sem_acquire(sem, conc_in(CONC_US(30)));
        if (!err)
            CHECK_EQUAL(conc_sem_release(sem, 1), 0);
        if (err == -ECANCELED)
            return err;
        conc_yield();
    }
    return 0;
}

enum { ROUND = 8 };

struct race {
    struct test_thread thread;
    conc_loop *loop;
    conc_sem sem;
    int rounds;
    int cancelled, ended;
    unsigned number;
};

static void spawn_and_cancel(void *arg)
{
    struct race *race = arg;
    struct test_random r = test_random_for(race->number);
    conc_sem *sem = &race->sem;
    for (int i = 0; i < race->rounds; i++) {
        conc_future *futures[ROUND];
        for (int j = 0; j < ROUND; j++)
            futures[j] = conc_task_start(race->loop, job_brief, &sem, sizeof sem, 0, NULL);
        for (int j = 0; j < ROUND; j++) {
            for (uint64_t n = test_random_below(&r, 30); n; n--)
                cpu_relax();
            for (uint64_t n = test_random_below(&r, 3); n; n--) /* kicks for nothing */
                conc_future_cancel(futures[j]);
        }
        for (int j = 0; j < ROUND; j++) {
            int err = conc_future_result(futures[j], NULL, CONC_FOREVER);
            CHECK_EQUAL(conc_future_is_cancelled(futures[j]), err == -ECANCELED);
            CHECK(!err || err == -ECANCELED);
            race->cancelled += err != 0;
            race->ended += !err;
            conc_future_unref(futures[j]);
        }
    }
}

static void test_cancels_from_threads_race_with_tasks_that_end(void)
{
    struct side_loop side;
    struct race races[2];
    side_loop_start(&side);
    for (unsigned i = 0; i < 2; i++) {
        races[i] = (struct race){.loop = side.loop, .number = i, .rounds = (int)crowd_of(500)};
        races[i].sem = (conc_sem)CONC_SEM_INIT(i);
        test_thread_start(&races[i].thread, NULL, spawn_and_cancel, &races[i]);
    }
    for (int i = 0; i < 2; i++) {
        test_thread_join(&races[i].thread);
        assert_int_equal(races[i].cancelled + races[i].ended, races[i].rounds * ROUND);
        assert_int_equal(conc_sem_value(&races[i].sem), i);
    }
    assert_true(races[0].cancelled > 0 && races[0].ended > 0);
    side_loop_end(&side);
}

/* The loop is freed while threads still cancel what runs there. */
static void cancel_on(void *arg)
{
    conc_future **futures = arg;
    for (int i = 0; i < ROUND; i++)
        conc_future_cancel(futures[i]);
}

static void test_cancels_from_threads_race_with_the_loops_end(void)
{
    for (int i = 0; i < (int)crowd_of(200); i++) {
        conc_loop *loop = new_loop();
        conc_sem sem = CONC_SEM_INIT(0), *s = &sem;
        conc_future *futures[ROUND];
        struct test_thread other;
        for (int j = 0; j < ROUND; j++)
            futures[j] = conc_task_start(loop, job_brief, &s, sizeof s, 0, NULL);
        conc_loop_stop(loop);
        assert_int_equal(conc_loop_run_forever(loop), 0);
        test_thread_start(&other, NULL, cancel_on, futures);
        free_loop(loop);
        test_thread_join(&other);
        for (int j = 0; j < ROUND; j++) {
            assert_true(conc_future_is_done(futures[j]));
            conc_future_unref(futures[j]);
        }
    }
}

static void test_conc_wait_for_cancels_a_task_that_is_late(void)
{
    conc_future *f = conc_spawn(job_until_cancelled, NULL, 0, 0);
    CHECK_EQUAL(conc_wait_for(f, NULL, conc_in(CONC_MS(1))), -ETIMEDOUT);
    CHECK_EQUAL(end_of(f), -ECANCELED);
    f = conc_spawn(job_nothing, NULL, 0, 0);
    CHECK_EQUAL(conc_wait_for(f, NULL, conc_in(CONC_S(100))), 0);
    conc_future_unref(f);
}

static const struct CMUnitTest tests[] = {
    ON_EVERY_LOOP(test_before_it_begins_it_never_does),
    ON_EVERY_LOOP(test_a_parked_one_is_told_by_the_call_it_is_in_and_by_all_later_ones),
    ON_EVERY_LOOP(test_a_ready_one_sees_it_in_its_turn),
    ON_EVERY_LOOP(test_one_in_an_operation_is_told_when_that_is_over),
    ON_EVERY_LOOP(test_it_may_cancel_itself),
    ON_EVERY_LOOP(test_what_ends_well_all_the_same_has_ended_well),
    ON_EVERY_LOOP(test_a_shield_keeps_it_out_even_if_it_comes_twice),
    ON_EVERY_LOOP(test_who_waits_and_who_is_waited_for_are_apart),
    ON_EVERY_LOOP(test_what_was_given_before_it_was_cancelled_has_come),
    ON_EVERY_LOOP(test_what_is_given_at_the_last_moment_has_come),
    ON_EVERY_LOOP(test_scopes_of_tasks_that_take_turns_are_apart),
    ON_EVERY_LOOP(test_a_scope_is_cancelled_by_another_task_or_thread),
    ON_EVERY_LOOP(test_deadlines_of_many_come_in_their_order),
    ON_EVERY_BACKEND(test_cancels_from_threads_race_with_tasks_that_end),
    ON_EVERY_BACKEND(test_cancels_from_threads_race_with_the_loops_end),
    ON_EVERY_LOOP(test_conc_wait_for_cancels_a_task_that_is_late),
};

TEST_MAIN(tests, 60)
