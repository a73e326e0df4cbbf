/* SPDX-License-Identifier: MIT
 *
 * test_group_submit.c: members whose submission takes time, because it waits for room in a bounded
 * queue or runs the job itself: they are members already, to be cancelled and helped like any
 * other.
 */
#include "executors.h"

#include <conc/group.h>

/* A thread that submits a member which blocks. */
struct submitter {
    struct test_thread thread;
    conc_group *group;
    conc_executor *executor;
    struct gate gate;
    int result;
};

static void submit_gate_member(void *arg)
{
    struct submitter *s = arg;
    struct gate *gate = &s->gate;
    s->result = conc_group_start_soon(s->group, s->executor, job_gate, &gate, sizeof gate);
}

static void submitter_start(struct submitter *s, conc_group *group, conc_executor *executor)
{
    *s = (struct submitter){.group = group, .executor = executor, .result = 1};
    test_thread_start(&s->thread, "submitter", submit_gate_member, s);
}

/* How the group ends while one of its members is being submitted. */
enum ending { CANCEL, ERROR, BODY, ENDINGS };

static void end_group(conc_group *group, enum ending ending)
{
    static const int expected[] = {0, -EIO, -EPROTO};
    conc_executor *inner = executor_of(INLINE);
    int err = -EIO;
    if (ending == CANCEL)
        conc_group_cancel(group);
    if (ending == ERROR)
        conc_group_submit(group, inner, job_raise, &err, sizeof err, NULL, 0);
    assert_int_equal(conc_group_exit(group, ending == BODY ? -EPROTO : 0), expected[ending]);
    assert_int_equal(conc_executor_free(inner), 0);
}

static void test_a_member_that_its_submitter_runs_ends_with_the_group(void **state)
{
    for (enum ending ending = 0; ending < ENDINGS; ending++) {
        conc_group group;
        struct submitter s;
        conc_executor *executor = executor_of(INLINE);
        conc_group_enter(&group, CONC_FOREVER);
        submitter_start(&s, &group, executor);
        gate_entered(&s.gate);
        end_group(&group, ending);
        test_thread_join(&s.thread);
        assert_int_equal(s.gate.end, -ECANCELED);
        assert_int_equal(s.result, 0);
        assert_int_equal(conc_executor_free(executor), 0);
    }
}

static conc_executor *full_pool(struct gate *running, conc_future **futures)
{
    const conc_thread_pool_options options = {.max_queued = 1};
    conc_executor *pool = NULL;
    assert_int_equal(conc_thread_pool_new(&pool, 1, &options), 0);
    futures[0] = submit_gate(pool, running);
    gate_entered(running);
    futures[1] = conc_submit(pool, job_return, &(int){0}, sizeof(int), 0);
    return pool;
}

static void test_a_member_that_waits_for_room_ends_with_the_group(void **state)
{
    for (enum ending ending = 0; ending < ENDINGS; ending++) {
        conc_group *group = test_malloc(sizeof *group);
        struct gate running = {0};
        struct submitter s;
        conc_future *futures[2];
        conc_executor *pool = full_pool(&running, futures);
        conc_group_enter(group, CONC_FOREVER);
        submitter_start(&s, group, pool);
        wait_until_blocked("submitter", "executor");
        end_group(group, ending); /* does not wait for the room */
        test_free(group);         /* nor needs the submitter the group, when it gets it */
        conc_event_set(&running.open);
        test_thread_join(&s.thread);
        assert_int_equal(conc_executor_free(pool), 0);
        assert_int_equal(runs_of(&s.gate), 0);
        for (int i = 0; i < 2; i++) {
            assert_int_equal(conc_future_error(futures[i]), 0);
            conc_future_unref(futures[i]);
        }
    }
}

/* ---- A worker waits for a group on its own pool, for which another context has no room to submit
 * ---- */

struct scene {
    conc_executor *pool;
    conc_group group;
    conc_event begun, go_on;
};

static int job_waits_for_group(void *arg, void *result)
{
    struct scene *scene = *(struct scene **)arg;
    conc_group_enter(&scene->group, CONC_FOREVER);
    conc_event_set(&scene->begun);
    return conc_group_exit(&scene->group, conc_event_wait(&scene->go_on, CONC_FOREVER));
}

static void test_a_waiting_worker_helps_a_member_that_waits_for_room(void **state)
{
    const conc_thread_pool_options options = {.max_queued = 1};
    struct scene scene = {.pool = NULL}, *p = &scene;
    struct submitter s;
    assert_int_equal(conc_thread_pool_new(&scene.pool, 1, &options), 0);
    conc_future *waiter = conc_submit(scene.pool, job_waits_for_group, &p, sizeof p, 0);
    assert_int_equal(conc_event_wait(&scene.begun, CONC_FOREVER), 0);
    conc_future *queued =
        conc_submit(scene.pool, job_return, &(int){0}, sizeof(int), 0); /* fills the queue */
    submitter_start(&s, &scene.group, scene.pool);
    wait_until_blocked("submitter", "executor");
    conc_event_set(&s.gate.open);
    conc_event_set(&scene.go_on);
    assert_int_equal(conc_future_result(waiter, NULL, CONC_FOREVER), 0);
    assert_int_equal(runs_of(&s.gate), 1);
    test_thread_join(&s.thread);
    assert_int_equal(s.result, 0);
    assert_int_equal(conc_executor_free(scene.pool), 0);
    assert_int_equal(runs_of(&s.gate), 1); /* not again from the queue */
    conc_future_unref(waiter);
    conc_future_unref(queued);
}

/* ---- A submitter that is cancelled as it waits ---- */

struct cancelled {
    struct test_thread thread;
    conc_group *group;
    conc_executor *pool;
    conc_scope scope;
    int result;
};

static void submit_in_scope(void *arg)
{
    struct cancelled *c = arg;
    conc_scope_enter(&c->scope, CONC_FOREVER);
    c->result = conc_group_start_soon(c->group, c->pool, job_return, &(int){0}, sizeof(int));
    conc_scope_exit(&c->scope);
}

static void test_a_submission_that_is_cancelled_is_a_refusal(void **state)
{
    conc_group group;
    struct gate running = {0};
    conc_future *futures[2];
    conc_executor *pool = full_pool(&running, futures);
    struct cancelled c = {.group = &group, .pool = pool};
    conc_group_enter(&group, CONC_FOREVER);
    test_thread_start(&c.thread, "submitter", submit_in_scope, &c);
    wait_until_blocked("submitter", "executor");
    conc_scope_cancel(&c.scope);
    test_thread_join(&c.thread);
    assert_int_equal(c.result, -ECANCELED);
    assert_int_equal(conc_group_exit(&group, 0), -ECANCELED); /* not 'all succeeded' */
    conc_event_set(&running.open);
    assert_int_equal(conc_executor_free(pool), 0);
    for (int i = 0; i < 2; i++)
        conc_future_unref(futures[i]);
}

static const struct CMUnitTest tests[] = {
    LEAK_TEST(test_a_member_that_its_submitter_runs_ends_with_the_group),
    LEAK_TEST(test_a_member_that_waits_for_room_ends_with_the_group),
    LEAK_TEST(test_a_waiting_worker_helps_a_member_that_waits_for_room),
    LEAK_TEST(test_a_submission_that_is_cancelled_is_a_refusal),
};

TEST_MAIN(tests, 30)
