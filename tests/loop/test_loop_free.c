/* SPDX-License-Identifier: MIT
 *
 * test_loop_free.c: freeing a loop: what becomes of tasks in every state, and of all that they wait
 * for; and a loop's life when memory is short.
 */
#include "loops.h"

#include <poll.h>
#include <sys/socket.h>

#include <conc/io.h>
#include <conc/lock.h>

static int job_nothing(void *arg, void *result) { return 0; }

static void call_nothing(void *arg) {}

/* ---- Tasks that are left ---- */

static void test_tasks_that_have_not_begun_never_do(void)
{
    conc_future *futures[50];
    int count = 0, *counter = &count;
    for (int has_run = 0; has_run < 2; has_run++) {
        conc_loop *loop = new_loop();
        if (has_run)
            assert_int_equal(run_task(loop, job_nothing, NULL, 0), 0);
        for (int i = 0; i < 50; i++)
            futures[i] = conc_task_start(loop, job_count, &counter, sizeof counter, 0, NULL);
        free_loop(loop);
        for (int i = 0; i < 50; i++) {
            assert_true(conc_future_is_cancelled(futures[i]));
            conc_future_unref(futures[i]);
        }
    }
    assert_int_equal(count, 0);
}

/* Tasks in as many states as there are; each writes down how it ended. */
struct left {
    conc_event never, begun[5];
    int sockets[2];
    int ends[5];
    conc_lock cleaned;
    conc_future *refused;
};

static int job_parked(void *arg, void *result)
{
    struct left *left = pointer_in(arg);
    conc_event_set(&left->begun[0]);
    return left->ends[0] = conc_event_wait(&left->never, CONC_FOREVER);
}

static int job_in_op(void *arg, void *result)
{
    struct left *left = pointer_in(arg);
    conc_event_set(&left->begun[1]);
    return left->ends[1] = conc_poll_fd(left->sockets[0], POLLIN, CONC_FOREVER);
}

static int job_ready(void *arg, void *result)
{
    struct left *left = pointer_in(arg);
    conc_event_set(&left->begun[2]);
    while (!conc_is_cancelled())
        conc_yield();
    return left->ends[2] = -ECANCELED;
}

static int job_with_clean_up(void *arg, void *result)
{
    struct left *left = pointer_in(arg);
    conc_scope shield;
    conc_event_set(&left->begun[3]);
    int err = conc_sleep_until(CONC_FOREVER);
    conc_shield_enter(&shield);
    CHECK_EQUAL(conc_sleep(CONC_MS(3)), 0);
    CHECK_EQUAL(conc_lock_acquire(&left->cleaned, CONC_FOREVER), 0);
    CHECK_EQUAL(conc_shield_exit(&shield), 0);
    return left->ends[3] = err;
}

static int job_that_spawns(void *arg, void *result)
{
    struct left *left = pointer_in(arg);
    conc_event_set(&left->begun[4]);
    left->ends[4] = conc_sleep_until(CONC_FOREVER);
    left->refused = conc_spawn(job_nothing, NULL, 0, 0);
    return 0;
}

static int job_all_have_begun(void *arg, void *result)
{
    struct left *left = pointer_in(arg);
    for (int i = 0; i < 5; i++)
        CHECK_EQUAL(conc_event_wait(&left->begun[i], CONC_FOREVER), 0);
    return 0;
}

static void test_tasks_in_every_state_are_cancelled_and_awaited(void)
{
    static conc_fn *const jobs[] = {job_parked, job_in_op, job_ready, job_with_clean_up,
                                    job_that_spawns};
    struct left left = {.never = CONC_EVENT_INIT}, *l = &left;
    conc_future *futures[5];
    conc_loop *loop = new_loop();
    make_sockets(SOCK_STREAM, left.sockets);
    for (int i = 0; i < 5; i++)
        futures[i] = conc_task_start(loop, jobs[i], &l, sizeof l, 0, NULL);
    assert_int_equal(run_task(loop, job_all_have_begun, &l, sizeof l), 0);
    free_loop(loop);
    for (int i = 0; i < 5; i++) {
        assert_int_equal(left.ends[i], -ECANCELED);
        assert_int_equal(conc_future_is_cancelled(futures[i]), i != 4);
        conc_future_unref(futures[i]);
    }
    assert_int_equal(conc_lock_try_acquire(&left.cleaned), -EAGAIN);
    assert_int_equal(conc_future_error(left.refused), -ESHUTDOWN);
    conc_future_unref(left.refused);
    close_both(left.sockets);
}

static void test_what_waits_in_vain_does_not_hold_up_the_end(void)
{
    for (int has_task = 0; has_task < 2; has_task++) {
        struct left left = {.never = CONC_EVENT_INIT}, *l = &left;
        conc_loop *loop = new_loop();
        make_sockets(SOCK_STREAM, left.sockets);
        assert_int_equal(conc_loop_add_reader(loop, left.sockets[0], call_nothing, NULL), 0);
        assert_int_equal(conc_loop_call_later(loop, CONC_S(1000), call_nothing, NULL, NULL), 0);
        if (has_task)
            conc_future_unref(conc_task_start(loop, job_parked, &l, sizeof l, 0, NULL));
        for (int i = 0; i < 3; i++) {
            conc_loop_stop(loop);
            assert_int_equal(conc_loop_run_forever(loop), 0);
        }
        free_loop(loop);
        close_both(left.sockets);
    }
}

/* ---- Out of memory ---- */

static int job_sleep(void *arg, void *result) { return conc_sleep(CONC_US(10)); }

/* A bit of everything: 0, or what failed. */
static int live_a_life(const int sockets[2])
{
    const conc_loop_options options = {.backend = backend};
    conc_loop *loop;
    int err = conc_loop_new(&loop, &options);
    if (err)
        return err;
    conc_future *early = conc_task_start(loop, job_sleep, NULL, 0, 0, NULL);
    int errors[] = {
        conc_loop_call_soon(loop, call_nothing, NULL, NULL),
        conc_loop_call_later(loop, CONC_US(20), call_nothing, NULL, NULL),
        conc_loop_call_soon_threadsafe(loop, call_nothing, NULL, NULL),
        conc_loop_add_reader(loop, sockets[0], call_nothing, NULL),
        conc_loop_add_writer(loop, sockets[0], call_nothing, NULL),
        conc_loop_run_until_complete(loop, early),
        conc_future_is_done(early) ? conc_future_error(early) : -ENOMEM,
    };
    conc_future *late = conc_loop_run_in_executor(loop, NULL, job_nothing, NULL, 0, 0);
    free_loop(loop);
    for (size_t i = 0; i < sizeof errors / sizeof *errors && !err; i++)
        err = errors[i];
    if (!err)
        err = conc_future_error(late);
    conc_future_cancel(early);
    conc_future_error(early);
    conc_future_error(late);
    conc_future_unref(early);
    conc_future_unref(late);
    return err;
}

static void test_without_memory_it_fails_and_nothing_is_lost(void)
{
    int sockets[2], failures = 0;
    make_sockets(SOCK_STREAM, sockets);
    for (int n = 1; n < 100; n++) {
        fail_alloc(n);
        int err = live_a_life(sockets);
        if (!alloc_has_failed()) {
            assert_int_equal(err, 0);
            break;
        }
        /* what an overflow of the stack would have told is gone, or the ring took what it could */
        assert_true(err == -ENOMEM || err == 0);
        failures += err != 0;
    }
    assert_true(failures > 8);
    close_both(sockets);
}

static const struct CMUnitTest tests[] = {
    ON_EVERY_BACKEND(test_tasks_that_have_not_begun_never_do),
    ON_EVERY_BACKEND(test_tasks_in_every_state_are_cancelled_and_awaited),
    ON_EVERY_BACKEND(test_what_waits_in_vain_does_not_hold_up_the_end),
    ON_EVERY_BACKEND(test_without_memory_it_fails_and_nothing_is_lost),
};

TEST_MAIN(tests, 60)
