/* SPDX-License-Identifier: MIT
 *
 * test_loop_turns.c: a loop that has nothing to do uses no processor; and whatever keeps it busy,
 * everything else gets its turn.
 */
#include "loops.h"

#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <conc/io.h>
#include <conc/net.h>

/* ---- Nothing to do ---- */

static int64_t thread_time(void)
{
    struct timespec t;
    CHECK_EQUAL(clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t), 0);
    return t.tv_sec * CONC_S(1) + t.tv_nsec;
}

static int job_poll(void *arg, void *result)
{
    return conc_poll_fd(*(int *)arg, POLLIN, CONC_FOREVER);
}

static void nothing(void *unused) {}

/* Tasks wait for all there is; a reader and a timer are set; another thread has roused the loop.
 * (The loop looks up now and then, since a test might have moved the clock.) */
static void test_a_loop_whose_tasks_wait_uses_no_processor(void)
{
    conc_loop *loop = conc_loop_current();
    int fds[2];
    make_sockets(SOCK_STREAM, fds);
    conc_future *futures[] = {conc_spawn(job_poll, &fds[0], sizeof(int), 0),
                              conc_spawn(job_until_cancelled, NULL, 0, 0)};
    CHECK_EQUAL(conc_loop_add_reader(loop, fds[0], nothing, NULL), 0);
    CHECK_EQUAL(conc_loop_call_later(loop, CONC_S(1000), nothing, NULL, NULL), 0);
    CHECK_EQUAL(end_of(conc_to_thread(job_return, &(int){0}, sizeof(int), 0)), 0);
    CHECK_EQUAL(conc_sleep(CONC_MS(5)), 0); /* what has just begun has settled */
    int64_t before = thread_time(), begin = real_now();
    CHECK_EQUAL(conc_sleep(CONC_MS(200)), 0);
    int64_t used = thread_time() - before, passed = real_now() - begin;
    printf("# idle: %.2f ms of the processor in %.0f ms\n", (double)used / 1e6,
           (double)passed / 1e6);
    CHECK(used < passed / 3);
    CHECK_EQUAL(conc_loop_remove_reader(loop, fds[0]), 1);
    for (int i = 0; i < 2; i++) {
        CHECK(conc_future_cancel(futures[i]));
        CHECK_EQUAL(end_of(futures[i]), -ECANCELED);
    }
    close_both(fds);
}

/* ---- What keeps a loop busy, until it is told to stop ---- */

struct busy_loop {
    conc_loop *loop;
    uint32_t stop; /* atomic */
    int fds[2];
    struct test_thread thread;
    uint32_t calls; /* that are on their way; atomic */
};

static bool goes_on(struct busy_loop *busy) { return !load_acquire(&busy->stop); }

static int job_yield(void *arg, void *result)
{
    while (goes_on(pointer_in(arg)))
        conc_yield();
    return 0;
}

/* Sends to itself: each operation is over at once. */
static int job_flood(void *arg, void *result)
{
    struct busy_loop *busy = pointer_in(arg);
    char bytes[64] = "";
    while (goes_on(busy)) {
        CHECK_EQUAL(conc_send(busy->fds[1], bytes, sizeof bytes, 0, CONC_FOREVER), sizeof bytes);
        CHECK_EQUAL(conc_recv(busy->fds[0], bytes, sizeof bytes, 0, CONC_FOREVER), sizeof bytes);
    }
    return 0;
}

static int job_nap(void *arg, void *result)
{
    while (goes_on(pointer_in(arg)))
        conc_sleep(1);
    return 0;
}

static int job_spawn(void *arg, void *result)
{
    while (goes_on(pointer_in(arg)))
        CHECK_EQUAL(end_of(conc_spawn(job_return, &(int){0}, sizeof(int), 0)), 0);
    return 0;
}

static void call_again(void *arg)
{
    struct busy_loop *busy = arg;
    if (goes_on(busy))
        CHECK_EQUAL(conc_loop_call_soon(busy->loop, call_again, busy, NULL), 0);
}

static int job_call_again(void *arg, void *result)
{
    call_again(pointer_in(arg));
    return 0;
}

static int job_read_again(void *arg, void *result)
{
    struct busy_loop *busy = pointer_in(arg);
    CHECK_EQUAL(conc_send(busy->fds[1], "", 1, 0, CONC_FOREVER), 1); /* nobody takes it */
    CHECK_EQUAL(conc_loop_add_reader(busy->loop, busy->fds[0], nothing, NULL), 0);
    CHECK_EQUAL(conc_loop_add_writer(busy->loop, busy->fds[0], nothing, NULL), 0);
    while (goes_on(busy))
        conc_sleep(CONC_US(100));
    CHECK_EQUAL(conc_loop_remove_reader(busy->loop, busy->fds[0]), 1);
    CHECK_EQUAL(conc_loop_remove_writer(busy->loop, busy->fds[0]), 1);
    return 0;
}

static void has_come(void *arg)
{
    struct busy_loop *busy = arg;
    fetch_add_relaxed(&busy->calls, -1);
}

/* From outside, so that the inbox is hardly ever empty. */
static void post_all_the_time(void *arg)
{
    struct busy_loop *busy = arg;
    while (goes_on(busy))
        if (load_relaxed(&busy->calls) < 1000) {
            fetch_add_relaxed(&busy->calls, 1);
            CHECK_EQUAL(conc_loop_call_soon_threadsafe(busy->loop, has_come, busy, NULL), 0);
        }
}

static int job_be_posted_to(void *arg, void *result)
{
    struct busy_loop *busy = pointer_in(arg);
    test_thread_start(&busy->thread, NULL, post_all_the_time, busy);
    while (goes_on(busy))
        conc_sleep(CONC_US(100));
    test_thread_join(&busy->thread);
    YIELD_UNTIL(load_relaxed(&busy->calls) == 0);
    return 0;
}

/* ---- What must get its turn all the same ---- */

static void complete(void *future) { CHECK_EQUAL(conc_future_set_result(future, NULL), 0); }

static void write_one(void *fd) { CHECK_EQUAL(write(*(int *)fd, "", 1), 1); }

static void await_a_timer(void) { CHECK_EQUAL(conc_sleep(CONC_US(300)), 0); }

static void await_a_time_out(void)
{
    conc_event never = CONC_EVENT_INIT;
    CHECK_EQUAL(conc_event_wait(&never, conc_in(CONC_US(300))), -ETIMEDOUT);
}

static void await_a_turn(void)
{
    for (int i = 0; i < 20; i++)
        conc_yield();
}

static void await_a_task(void)
{
    CHECK_EQUAL(end_of(conc_spawn(job_return, &(int){-EIO}, sizeof(int), 0)), -EIO);
}

static void await_a_thread(void)
{
    struct test_thread other;
    conc_future *f;
    CHECK_EQUAL(conc_future_new(&f, 0), 0);
    test_thread_start(&other, NULL, complete, f);
    CHECK_EQUAL(end_of(f), 0);
    test_thread_join(&other);
}

static void await_a_socket(void)
{
    struct test_thread other;
    int fds[2];
    char byte;
    make_sockets(SOCK_STREAM, fds);
    test_thread_start(&other, NULL, write_one, &fds[1]);
    CHECK_EQUAL(conc_recv(fds[0], &byte, 1, 0, CONC_FOREVER), 1);
    test_thread_join(&other);
    close_both(fds);
}

static void await_a_callback(void)
{
    conc_event soon = CONC_EVENT_INIT, later = CONC_EVENT_INIT;
    conc_loop *loop = conc_loop_current();
    CHECK_EQUAL(conc_loop_call_later(loop, CONC_US(100), set_event, &later, NULL), 0);
    CHECK_EQUAL(conc_loop_call_soon_threadsafe(loop, set_event, &soon, NULL), 0);
    CHECK_EQUAL(conc_event_wait(&soon, CONC_FOREVER), 0);
    CHECK_EQUAL(conc_event_wait(&later, CONC_FOREVER), 0);
}

static void await_a_file(void)
{
    char path[] = "/tmp/conc_test_XXXXXX", text[4] = "";
    int fd = mkstemp(path);
    unlink(path);
    CHECK_EQUAL(conc_pwrite(fd, "text", 4, 0, CONC_FOREVER), 4);
    CHECK_EQUAL(conc_pread(fd, text, 4, 0, CONC_FOREVER), 4);
    CHECK_EQUAL(text[3], 't');
    CHECK_EQUAL(conc_close(fd), 0);
}

static void everything_gets_its_turn_beside(conc_fn *busy_job, size_t n)
{
    static void (*const await[])(void) = {
        await_a_timer,  await_a_time_out, await_a_turn,     await_a_task,
        await_a_thread, await_a_socket,   await_a_callback, await_a_file,
    };
    struct busy_loop busy = {.loop = conc_loop_current()}, *b = &busy;
    conc_future **futures = calloc(n, sizeof *futures);
    CHECK(futures);
    make_sockets(SOCK_STREAM, busy.fds);
    for (size_t i = 0; i < n; i++)
        futures[i] = conc_spawn(busy_job, &b, sizeof b, 0);
    conc_yield();
    for (int round = 0; round < 3; round++)
        for (size_t i = 0; i < sizeof await / sizeof *await; i++)
            await[i]();
    store_release(&busy.stop, 1);
    for (size_t i = 0; i < n; i++)
        CHECK_EQUAL(end_of(futures[i]), 0);
    CHECK_EQUAL(conc_sleep(CONC_US(10)), 0);
    close_both(busy.fds);
    free(futures);
}

static void test_beside_tasks_that_yield_all_the_time(void)
{
    everything_gets_its_turn_beside(job_yield, 1);
    everything_gets_its_turn_beside(job_yield, 1000); /* more than a turn takes */
}

static void test_beside_operations_that_are_always_over_at_once(void)
{
    everything_gets_its_turn_beside(job_flood, 1);
}

static void test_beside_timers_that_are_always_due(void)
{
    everything_gets_its_turn_beside(job_nap, 20);
}

static void test_beside_tasks_that_are_born_and_die(void)
{
    everything_gets_its_turn_beside(job_spawn, 20);
}

static void test_beside_callbacks_that_ask_for_themselves(void)
{
    everything_gets_its_turn_beside(job_call_again, 3);
}

static void test_beside_descriptors_that_are_always_ready(void)
{
    everything_gets_its_turn_beside(job_read_again, 1);
}

static void test_beside_a_thread_that_posts_all_the_time(void)
{
    everything_gets_its_turn_beside(job_be_posted_to, 1);
}

static const struct CMUnitTest tests[] = {
    ON_EVERY_LOOP(test_a_loop_whose_tasks_wait_uses_no_processor),
    ON_EVERY_LOOP(test_beside_tasks_that_yield_all_the_time),
    ON_EVERY_LOOP(test_beside_operations_that_are_always_over_at_once),
    ON_EVERY_LOOP(test_beside_timers_that_are_always_due),
    ON_EVERY_LOOP(test_beside_tasks_that_are_born_and_die),
    ON_EVERY_LOOP(test_beside_callbacks_that_ask_for_themselves),
    ON_EVERY_LOOP(test_beside_descriptors_that_are_always_ready),
    ON_EVERY_LOOP(test_beside_a_thread_that_posts_all_the_time),
};

TEST_MAIN(tests, 60)
