/* SPDX-License-Identifier: MIT
 *
 * test_task_structured.c: waiting for many from a task: gather, wait, as_completed, wait_for,
 * groups, scopes and maps, with jobs on the same loop, on a pool of threads and on a pool of loops.
 */
#include "loops.h"

#include <conc.h>
#include <string.h>

enum { JOBS = 20 };

/* Where the jobs of a body run; NULL: tasks of its own loop. */
static conc_executor *elsewhere;

static conc_future *spawn(conc_fn *fn, const void *arg, size_t arg_size, size_t result_size)
{
    return elsewhere ? conc_submit(elsewhere, fn, arg, arg_size, result_size)
                     : conc_spawn(fn, arg, arg_size, result_size);
}

/* Run a task's body with its jobs in each place. */
static void in_each_place(conc_fn *body)
{
    elsewhere = NULL;
    CHECK_EQUAL(in_task(body, NULL), 0);
    CHECK_EQUAL(conc_thread_pool_new(&elsewhere, JOBS, NULL), 0); /* all run at once */
    CHECK_EQUAL(in_task(body, NULL), 0);
    CHECK_EQUAL(conc_executor_free(elsewhere), 0);
    CHECK_EQUAL(conc_loop_pool_new(&elsewhere, 2), 0);
    CHECK_EQUAL(in_task(body, NULL), 0);
    CHECK_EQUAL(conc_executor_free(elsewhere), 0);
    elsewhere = NULL;
}

struct turn {
    int number;
    conc_event *go; /* what it waits for */
    int err;        /* what it returns */
};

static int take_turn(void *arg, void *result)
{
    const struct turn *turn = arg;
    int err = conc_event_wait(turn->go, CONC_FOREVER);
    if (err || turn->err)
        return err ? err : conc_raise(turn->err, "turn %d failed", turn->number);
    *(int *)result = turn->number;
    return 0;
}

struct turns {
    conc_event go[JOBS];
    conc_future *futures[JOBS];
};

static void start_turns(struct turns *t, int failing)
{
    memset(t, 0, sizeof *t);
    for (int i = 0; i < JOBS; i++) {
        const struct turn turn = {i, &t->go[i], i == failing ? -EIO : 0};
        t->futures[i] = spawn(take_turn, &turn, sizeof turn, sizeof(int));
    }
}

/* All of them are done when this returns: nothing reads `go` any more. */
static void end_turns(struct turns *t)
{
    for (int i = 0; i < JOBS; i++) {
        conc_event_set(&t->go[i]);
        conc_future_wait(t->futures[i], CONC_FOREVER);
        conc_future_unref(t->futures[i]);
    }
}

/* ---- gather, wait, as_completed, wait_for ---- */

static int gathers(void *arg, void *result)
{
    struct turns t;
    int errors[JOBS];
    start_turns(&t, 7);
    CHECK_EQUAL(conc_gather(t.futures, JOBS, errors, CONC_NOW), -EAGAIN);
    for (int i = JOBS; i-- > 0;)
        conc_event_set(&t.go[i]);
    CHECK_EQUAL(conc_gather(t.futures, JOBS, NULL, CONC_FOREVER), -EIO);
    CHECK(strcmp(conc_error_message(), "turn 7 failed") == 0);
    CHECK_EQUAL(conc_gather(t.futures, JOBS, errors, CONC_FOREVER), 0);
    for (int i = 0; i < JOBS; i++) {
        CHECK_EQUAL(errors[i], i == 7 ? -EIO : 0);
        if (i != 7)
            CHECK_EQUAL(*(const int *)conc_future_value(t.futures[i]), i);
    }
    end_turns(&t);
    return 0;
}

static int waits(void *arg, void *result)
{
    struct turns t;
    start_turns(&t, 3);
    CHECK_EQUAL(conc_wait(t.futures, JOBS, CONC_FIRST_COMPLETED, conc_in(CONC_MS(1))), -ETIMEDOUT);
    conc_event_set(&t.go[5]);
    CHECK(conc_wait(t.futures, JOBS, CONC_FIRST_COMPLETED, CONC_FOREVER) >= 0);
    CHECK(conc_future_is_done(t.futures[5]));
    conc_event_set(&t.go[3]);
    CHECK(conc_wait(t.futures, JOBS, CONC_FIRST_ERROR, CONC_FOREVER) >= 0);
    CHECK_EQUAL(conc_future_error(t.futures[3]), -EIO);
    for (int i = 0; i < JOBS; i++)
        conc_event_set(&t.go[i]);
    CHECK(conc_wait(t.futures, JOBS, CONC_ALL_COMPLETED, CONC_FOREVER) >= 0);
    end_turns(&t);
    return 0;
}

static int takes_as_completed(void *arg, void *result)
{
    struct turns t;
    conc_as_completed *iterator;
    size_t index;
    start_turns(&t, -1);
    CHECK_EQUAL(conc_as_completed_new(&iterator, t.futures, JOBS), 0);
    CHECK_EQUAL(conc_as_completed_next(iterator, NULL, NULL, conc_in(CONC_MS(1))), -ETIMEDOUT);
    for (int i = JOBS; i-- > 0;) {
        conc_event_set(&t.go[i]);
        CHECK_EQUAL(conc_as_completed_next(iterator, NULL, &index, CONC_FOREVER), 1);
        CHECK_EQUAL(index, i);
    }
    CHECK_EQUAL(conc_as_completed_next(iterator, NULL, NULL, CONC_FOREVER), 0);
    conc_as_completed_free(iterator);
    end_turns(&t);
    return 0;
}

static int waits_for_one(void *arg, void *result)
{
    struct turns t;
    int value = -1;
    start_turns(&t, -1);
    CHECK_EQUAL(conc_wait_for(t.futures[0], &value, conc_in(CONC_MS(1))), -ETIMEDOUT);
    CHECK_EQUAL(conc_future_result(t.futures[0], NULL, CONC_FOREVER), -ECANCELED);
    CHECK(conc_future_is_cancelled(t.futures[0]));
    conc_event_set(&t.go[1]);
    CHECK_EQUAL(conc_wait_for(t.futures[1], &value, CONC_FOREVER), 0);
    CHECK_EQUAL(value, 1);
    end_turns(&t);
    return 0;
}

/* ---- Groups ---- */

static int groups(void *arg, void *result)
{
    int squares[JOBS], err = 0;
    conc_with_group (g, &err, CONC_FOREVER)
        for (int i = 0; i < JOBS; i++)
            conc_group_submit(g, elsewhere, job_square, &i, sizeof i, &squares[i], sizeof *squares);
    CHECK_EQUAL(err, 0);
    for (int i = 0; i < JOBS; i++)
        CHECK_EQUAL(squares[i], i * i);

    /* The first error cancels those that would wait for ever, and the body. */
    conc_with_group (g, &err, CONC_FOREVER) {
        for (int i = 0; i < 3; i++)
            conc_group_submit(g, elsewhere, job_until_cancelled, NULL, 0, NULL, 0);
        conc_group_submit(g, elsewhere, job_raise, &(int){-EPROTO}, sizeof(int), NULL, 0);
        err = conc_sleep_until(CONC_FOREVER);
        CHECK_EQUAL(err, -ECANCELED);
    }
    CHECK_EQUAL(err, -EPROTO);
    CHECK(strcmp(conc_error_message(), "job failed: -71") == 0);

    err = 0;
    conc_with_group (g, &err, conc_in(CONC_MS(1)))
        for (int i = 0; i < 3; i++)
            conc_group_submit(g, elsewhere, job_until_cancelled, NULL, 0, NULL, 0);
    CHECK_EQUAL(err, -ETIMEDOUT);
    return 0;
}

/* ---- Scopes ---- */

static int scopes(void *arg, void *result)
{
    conc_scope outer, inner;
    conc_future *f = spawn(job_until_cancelled, NULL, 0, 0);
    conc_scope_enter(&outer, CONC_FOREVER);
    conc_scope_enter(&inner, conc_in(CONC_MS(1)));
    CHECK_EQUAL(conc_future_wait(f, CONC_FOREVER), -ECANCELED);
    CHECK_EQUAL(conc_sleep(CONC_S(60)), -ECANCELED);
    CHECK_EQUAL(conc_scope_exit(&inner), -ETIMEDOUT);
    CHECK_EQUAL(conc_future_wait(f, conc_in(CONC_MS(1))), -ETIMEDOUT);
    CHECK_EQUAL(conc_scope_exit(&outer), 0);
    conc_future_cancel(f);
    CHECK_EQUAL(conc_future_result(f, NULL, CONC_FOREVER), -ECANCELED);
    conc_future_unref(f);
    return 0;
}

/* ---- Maps ---- */

static int maps(void *arg, void *result)
{
    int in[JOBS], out[JOBS], answer = -1;
    conc_executor *executor = elsewhere ? elsewhere : conc_loop_executor(conc_loop_current());
    for (int i = 0; i < JOBS; i++)
        in[i] = i;
    CHECK_EQUAL(
        conc_map(executor, job_square, in, JOBS, sizeof *in, out, sizeof *out, NULL, CONC_FOREVER),
        0);
    for (int i = 0; i < JOBS; i++)
        CHECK_EQUAL(out[i], i * i);
    CHECK_EQUAL(
        conc_call(executor, job_square, &in[9], sizeof *in, &answer, sizeof answer, CONC_FOREVER),
        0);
    CHECK_EQUAL(answer, 81);
    CHECK_EQUAL(conc_call(executor, job_until_cancelled, NULL, 0, NULL, 0, conc_in(CONC_MS(1))),
                -ETIMEDOUT);
    return 0;
}

static void test_gather_in_a_task_gives_results_and_errors_in_order(void)
{
    in_each_place(gathers);
}
static void test_wait_in_a_task_returns_when_it_should(void) { in_each_place(waits); }
static void test_as_completed_in_a_task_follows_the_ends(void)
{
    in_each_place(takes_as_completed);
}
static void test_wait_for_in_a_task_cancels_what_is_late(void) { in_each_place(waits_for_one); }
static void test_group_in_a_task_ends_as_one(void) { in_each_place(groups); }
static void test_scope_in_a_task_ends_waits_for_jobs(void) { in_each_place(scopes); }
static void test_map_in_a_task_is_in_order(void) { in_each_place(maps); }

static const struct CMUnitTest tests[] = {
    ON_EVERY_BACKEND(test_gather_in_a_task_gives_results_and_errors_in_order),
    ON_EVERY_BACKEND(test_wait_in_a_task_returns_when_it_should),
    ON_EVERY_BACKEND(test_as_completed_in_a_task_follows_the_ends),
    ON_EVERY_BACKEND(test_wait_for_in_a_task_cancels_what_is_late),
    ON_EVERY_BACKEND(test_group_in_a_task_ends_as_one),
    ON_EVERY_BACKEND(test_scope_in_a_task_ends_waits_for_jobs),
    ON_EVERY_BACKEND(test_map_in_a_task_is_in_order),
};

TEST_MAIN(tests, 30)
