/* SPDX-License-Identifier: MIT
 *
 * test_identity.c: what remembers a context is not deceived by a later one at the same address, nor
 * by one whose id has the same 32 low bits.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include <conc/local.h>
#include <conc/lock.h>
#include <conc/loop.h>
#include <conc/rlock.h>
#include <conc/shared.h>
#include <conc/task.h>
#include <conc/thread.h>

#include "seen.h"
#include "wait/registry.h"
#include "ways.h"

#define ALL_32_BITS ((uint64_t)UINT32_MAX + 1)

/* From here on: so that the next context's id has the low bits of this one. */
static void let_next_be_namesake_of(uint64_t id)
{
    conc__test_set_last_id((conc_context_id(NULL) / ALL_32_BITS + 1) * ALL_32_BITS + (uint32_t)id -
                           1);
}

/* ---- Ids ---- */

static int tell_id(void *arg, void *result)
{
    (void)result;
    **(uint64_t **)arg = conc_context_id(NULL);
    return 0;
}

/* The id of a context that has come and gone. */
static uint64_t id_of_another(void)
{
    uint64_t id = 0, *to = &id;
    CHECK_EQUAL(end_of(start(tell_id, &to, sizeof to)), 0);
    return id;
}

static void test_ids_go_on_beyond_32_bits(void)
{
    uint64_t own = conc_context_id(NULL);
    conc__test_set_last_id(ALL_32_BITS * 3 - 3);
    uint64_t before = id_of_another();
    for (int i = 0; i < 6; i++) {
        uint64_t id = id_of_another();
        CHECK(id > before && id != own);
        before = id;
    }
    CHECK(before > ALL_32_BITS * 3);
    CHECK_EQUAL(conc_context_id(NULL), own);
}

static void test_id_and_generated_name_have_64_bits(void)
{
    conc__test_set_last_id(UINT64_MAX - 1000);
    char expected[CONC_NAME_MAX];
    struct seen seen;
    struct gate gate = {.runs = 0}, *arg = &gate;
    conc_future *other = start(job_gate, &arg, sizeof arg);
    gate_entered(&gate);
    snprintf(expected, sizeof expected, "task-%" PRIu64, UINT64_MAX - 999);
    seen = look_for(on_tasks() ? expected : "job-0");
    CHECK(seen.info.id == UINT64_MAX - 999);
    conc_event_set(&gate.open);
    CHECK_EQUAL(end_of(other), 0);
    conc__test_set_last_id(ALL_32_BITS * 5);
}

/* ---- Locks ---- */

static int take_rlock_and_leave_it(void *arg, void *result)
{
    (void)result;
    conc_rlock_enter(*(conc_rlock **)arg);
    return 0;
}

static int find_rlock_held(void *arg, void *result)
{
    (void)result;
    conc_rlock *rlock = *(conc_rlock **)arg;
    CHECK(!conc_rlock_is_owned(rlock));
    CHECK_EQUAL(conc_rlock_try_acquire(rlock), -EAGAIN);
    CHECK_EQUAL(conc_rlock_release(rlock), -EPERM);
    return 0;
}

static void test_rlock_of_an_ended_context_is_not_the_next_ones(void)
{
    conc_rlock rlock = CONC_RLOCK_INIT, *arg = &rlock;
    CHECK_EQUAL(end_of(start(take_rlock_and_leave_it, &arg, sizeof arg)), 0);
    /* The stack that was freed last is used first: it lies where the other did. */
    CHECK_EQUAL(end_of(start(find_rlock_held, &arg, sizeof arg)), 0);
}

static void test_rlock_of_a_namesake_is_held_by_another(void)
{
    conc_rlock rlock = CONC_RLOCK_INIT, *arg = &rlock;
    conc_rlock_enter(&rlock);
    let_next_be_namesake_of(conc_context_id(NULL));
    CHECK_EQUAL(end_of(start(find_rlock_held, &arg, sizeof arg)), 0);
    CHECK(conc_rlock_is_owned(&rlock));
    CHECK_EQUAL(conc_rlock_release(&rlock), 0);
}

static int find_shared_rlock_held(void *arg, void *result)
{
    (void)result;
    conc_shared_rlock *rlock = *(conc_shared_rlock **)arg;
    CHECK(!conc_shared_rlock_is_owned(rlock));
    CHECK_EQUAL(conc_shared_rlock_try_acquire(rlock), -EAGAIN);
    CHECK_EQUAL(conc_shared_rlock_release(rlock), -EPERM);
    return 0;
}

/* On tasks it is the same thread, too. */
static void test_shared_rlock_of_a_namesake_is_held_by_another(void)
{
    void *block;
    CHECK_EQUAL(conc_shared_new(&block, sizeof(conc_shared_rlock)), 0);
    conc_shared_rlock *rlock = block;
    CHECK_EQUAL(conc_shared_rlock_init(rlock), 0);
    CHECK_EQUAL(conc_shared_rlock_enter(rlock), 0);
    let_next_be_namesake_of(conc_context_id(NULL));
    CHECK_EQUAL(end_of(start(find_shared_rlock_held, &rlock, sizeof rlock)), 0);
    CHECK(conc_shared_rlock_is_owned(rlock));
    CHECK_EQUAL(conc_shared_rlock_enter(rlock), 0);
    CHECK_EQUAL(conc_shared_rlock_release(rlock), 0);
    CHECK_EQUAL(conc_shared_rlock_release(rlock), 0);
    CHECK(!conc_shared_rlock_is_locked(rlock));
    CHECK_EQUAL(conc_shared_free(block), 0);
}

static int wait_for_lock(void *arg, void *result)
{
    (void)result;
    conc_lock *lock = *(conc_lock **)arg;
    conc_context_set_name("waits");
    conc_lock_enter(lock);
    conc_lock_exit(lock);
    return 0;
}

struct held {
    conc_lock lock;
    struct gate gate;
};

static int hold_lock(void *arg, void *result)
{
    struct held *held = *(struct held **)arg;
    struct gate *gate = &held->gate;
    conc_context_set_name("holds");
    conc_lock_enter(&held->lock);
    int err = job_gate(&gate, result);
    conc_lock_exit(&held->lock);
    return err;
}

static bool is_waiting(void) { return blocked_on("lock") == 1; }

static void test_report_names_the_holder_beyond_32_bits(void)
{
    struct held held = {.lock = CONC_LOCK_INIT}, *arg = &held;
    conc_lock *lock = &held.lock;
    conc__test_set_last_id(ALL_32_BITS * 7 + 1);
    conc_future *holder = start(hold_lock, &arg, sizeof arg);
    gate_entered(&held.gate);
    conc_future *waiter = start(wait_for_lock, &lock, sizeof lock);
    UNTIL(is_waiting());
    struct seen seen = look_for("waits");
    CHECK(seen.info.holder == ALL_32_BITS * 7 + 2);
    CHECK_EQUAL(strcmp(seen.holder_name, "holds"), 0);
    conc_event_set(&held.gate.open);
    CHECK_EQUAL(end_of(holder), 0);
    CHECK_EQUAL(end_of(waiter), 0);
}

static void test_report_when_the_holder_has_a_namesake_names_none(void)
{
    struct held held = {.lock = CONC_LOCK_INIT}, *arg = &held;
    conc_lock *lock = &held.lock;
    conc__test_set_last_id(ALL_32_BITS * 9 + 1);
    conc_future *holder = start(hold_lock, &arg, sizeof arg);
    gate_entered(&held.gate);
    conc__test_set_last_id(ALL_32_BITS * 10 + 1);
    conc_future *waiter = start(wait_for_lock, &lock, sizeof lock);
    UNTIL(is_waiting());
    struct seen seen = look_for("waits");
    CHECK(seen.info.id == ALL_32_BITS * 10 + 2);
    CHECK(seen.info.holder == 0);
    CHECK_EQUAL(strcmp(seen.holder_name, ""), 0);
    conc_event_set(&held.gate.open);
    CHECK_EQUAL(end_of(holder), 0);
    CHECK_EQUAL(end_of(waiter), 0);
}

/* ---- Others that remember ---- */

static int reset_token(void *arg, void *result)
{
    (void)result;
    return conc_local_reset(*(conc_local_token **)arg);
}

static void test_token_of_a_namesake_is_refused(void)
{
    conc_local *key;
    conc_local_token token, *arg = &token;
    CHECK_EQUAL(conc_local_new(&key, NULL), 0);
    CHECK_EQUAL(conc_local_set_token(key, &token, &token), 0);
    let_next_be_namesake_of(conc_context_id(NULL));
    CHECK_EQUAL(end_of(start(reset_token, &arg, sizeof arg)), -EINVAL);
    CHECK_EQUAL(conc_local_reset(&token), 0);
    conc_local_free(key);
}

static void test_join_of_a_namesake_waits(void)
{
    conc_thread *t;
    struct gate gate = {.runs = 0}, *arg = &gate;
    let_next_be_namesake_of(conc_context_id(NULL));
    CHECK_EQUAL(conc_thread_start(&t, job_gate, &arg, sizeof arg, NULL), 0);
    gate_entered(&gate);
    CHECK_EQUAL((uint32_t)conc_thread_id(t), (uint32_t)conc_context_id(NULL));
    CHECK_EQUAL(conc_thread_join(t, NULL, conc_in(CONC_MS(1))), -ETIMEDOUT);
    conc_event_set(&gate.open);
    CHECK_EQUAL(conc_thread_join(t, NULL, CONC_FOREVER), 0);
    conc_thread_free(t);
}

static int do_nothing(void *arg, void *result) { return 0; }

static void run_loop_once(void *arg)
{
    conc_future *f = conc_task_start(arg, do_nothing, NULL, 0, 0, NULL);
    CHECK_EQUAL(conc_loop_run_until_complete(arg, f), 0);
    conc_future_unref(f);
}

static void find_loop_anothers(void *arg)
{
    CHECK_EQUAL(conc_loop_run_forever(arg), -EPERM);
    conc_loop_stop(arg);
}

/* The system gives the second thread the number of the first. */
static void test_loop_of_an_ended_thread_is_not_the_next_ones(void **state)
{
    (void)state;
    conc_loop *loop;
    struct test_thread t;
    assert_int_equal(conc_loop_new(&loop, NULL), 0);
    test_thread_start(&t, NULL, run_loop_once, loop);
    test_thread_join(&t);
    test_thread_start(&t, NULL, find_loop_anothers, loop);
    test_thread_join(&t);
    /* Nobody can free it now: the child's end takes it. */
}

static int loop_of_an_ended_thread(void *arg)
{
    test_loop_of_an_ended_thread_is_not_the_next_ones(arg);
    return 0;
}

static void test_loop_of_an_ended_thread_belongs_to_no_later_one(void **state)
{
    assert_int_equal(in_child(loop_of_an_ended_thread, NULL), 0);
}

static const struct CMUnitTest tests[] = {
    ON_EVERY_WAY(test_ids_go_on_beyond_32_bits),
    ON_EVERY_WAY(test_id_and_generated_name_have_64_bits),
    ON_EVERY_WAY(test_rlock_of_an_ended_context_is_not_the_next_ones),
    ON_EVERY_WAY(test_rlock_of_a_namesake_is_held_by_another),
    ON_EVERY_WAY(test_shared_rlock_of_a_namesake_is_held_by_another),
    ON_EVERY_WAY(test_report_names_the_holder_beyond_32_bits),
    ON_EVERY_WAY(test_report_when_the_holder_has_a_namesake_names_none),
    ON_EVERY_WAY(test_token_of_a_namesake_is_refused),
    ON_EVERY_WAY(test_join_of_a_namesake_waits),
    cmocka_unit_test(test_loop_of_an_ended_thread_belongs_to_no_later_one),
};

TEST_MAIN(tests, 60)
