/* SPDX-License-Identifier: MIT
 *
 * test_loop_fork.c: in a forked child the parent's loops are dead: calls say so, everything else
 * works, and the parent goes on unharmed.
 */
#include "loops.h"

#include <poll.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <conc/io.h>
#include <conc/lock.h>
#include <conc/net.h>
#include <conc/queue.h>

#include "loop/loop_impl.h"
#include "seen.h"

static int job_nothing(void *arg, void *result) { return 0; }

static void call_nothing(void *unused) {}

/* ---- What a child finds ---- */

static void loop_is_dead(conc_loop *loop)
{
    conc_handle *handle = NULL;
    conc_future *pending;
    int fd = dup(0);
    CHECK_EQUAL(conc_future_new(&pending, 0), 0);
    CHECK_EQUAL(conc_loop_call_soon(loop, call_nothing, NULL, &handle), -ESHUTDOWN);
    CHECK_EQUAL(conc_loop_call_later(loop, 1, call_nothing, NULL, &handle), -ESHUTDOWN);
    CHECK_EQUAL(conc_loop_call_soon_threadsafe(loop, call_nothing, NULL, &handle), -ESHUTDOWN);
    CHECK(!handle);
    CHECK_EQUAL(conc_loop_add_reader(loop, fd, call_nothing, NULL), -ESHUTDOWN);
    CHECK_EQUAL(conc_loop_add_writer(loop, fd, call_nothing, NULL), -ESHUTDOWN);
    CHECK_EQUAL(conc_loop_add_signal_handler(loop, SIGUSR1, call_nothing, NULL), -ESHUTDOWN);
    CHECK_EQUAL(end_of(conc_task_start(loop, job_nothing, NULL, 0, 0, NULL)), -ESHUTDOWN);
    CHECK_EQUAL(end_of(conc_submit(conc_loop_executor(loop), job_nothing, NULL, 0, 0)), -ESHUTDOWN);
    CHECK_EQUAL(end_of(conc_loop_run_in_executor(loop, NULL, job_nothing, NULL, 0, 0)), -ESHUTDOWN);
    CHECK_EQUAL(conc_loop_run_forever(loop), -ESHUTDOWN);
    CHECK_EQUAL(conc_loop_run_until_complete(loop, pending), -ESHUTDOWN);
    conc_loop_stop(loop); /* to no effect */
    conc_future_unref(pending);
    close(fd);
}

/* gcc 12's ThreadSanitizer gives up if a child's thread has the place in memory that one of the
 * parent's had. */
#if defined(__SANITIZE_THREAD__) && !defined(__clang__)
#define CHILD_MAY_START_THREADS false
#else
#define CHILD_MAY_START_THREADS true
#endif

static bool may_start_threads = true;

static void set_event_in_thread(void *event) { conc_event_set(event); }

/* Locks, events, queues; a socket; a thread. Nothing of it needs a loop. */
static void everything_else_works(void)
{
    conc_lock lock = CONC_LOCK_INIT;
    conc_event event = CONC_EVENT_INIT;
    conc_queue queue;
    struct test_thread other;
    int fds[2], item = 5;
    conc_with_lock (&lock)
        CHECK_EQUAL(conc_lock_try_acquire(&lock), -EAGAIN);
    CHECK_EQUAL(conc_event_wait(&event, conc_in(CONC_MS(2))), -ETIMEDOUT);
    if (may_start_threads) {
        test_thread_start(&other, NULL, set_event_in_thread, &event);
        CHECK_EQUAL(conc_event_wait(&event, CONC_FOREVER), 0);
        test_thread_join(&other);
    }
    CHECK_EQUAL(conc_queue_init(&queue, sizeof(int), 1, CONC_FIFO), 0);
    CHECK_EQUAL(conc_queue_put(&queue, &item, CONC_FOREVER), 0);
    CHECK_EQUAL(conc_queue_put(&queue, &item, conc_in(CONC_MS(1))), -ETIMEDOUT);
    conc_queue_destroy(&queue);
    make_sockets(SOCK_STREAM, fds);
    CHECK_EQUAL(conc_recv(fds[0], &item, sizeof item, 0, conc_in(CONC_MS(1))), -ETIMEDOUT);
    CHECK_EQUAL(conc_send(fds[1], &item, sizeof item, 0, CONC_FOREVER), sizeof item);
    CHECK_EQUAL(conc_recv(fds[0], &item, sizeof item, 0, CONC_FOREVER), sizeof item);
    close_both(fds);
    CHECK_EQUAL(conc_sleep(CONC_MS(1)), 0);
    conc_yield();
}

/* A loop of the child's own. */
static int job_use_loop(void *arg, void *result)
{
    CHECK_EQUAL(conc_sleep(CONC_MS(1)), 0);
    if (may_start_threads)
        CHECK_EQUAL(end_of(conc_to_thread(job_return, &(int){-EIO}, sizeof(int), 0)), -EIO);
    everything_else_works();
    return 0;
}

static void a_new_loop_works(void) { CHECK_EQUAL(in_task(job_use_loop, NULL), 0); }

/* ---- Beside a loop ---- */

static int look_from_beside(void *loop)
{
    may_start_threads = CHILD_MAY_START_THREADS;
    loop_is_dead(loop);
    everything_else_works();
    a_new_loop_works();
    CHECK_EQUAL(conc_loop_free(loop), 0);
    CHECK_EQUAL(look_for("main").n, 1);
    return 0;
}

static void test_fork_beside_a_running_loop(void)
{
    struct side_loop side;
    struct gate gate = {0}, *g = &gate;
    side_loop_start(&side);
    conc_future *f = conc_task_start(side.loop, job_gate, &g, sizeof g, 0, NULL);
    gate_entered(&gate);
    for (int i = 0; i < 3; i++)
        assert_int_equal(in_child(look_from_beside, side.loop), 0);
    assert_false(conc_future_is_done(f));
    conc_event_set(&gate.open);
    assert_int_equal(end_of(f), 0);
    f = conc_task_start(side.loop, job_return, &(int){-EIO}, sizeof(int), 0, NULL);
    assert_int_equal(end_of(f), -EIO);
    side_loop_end(&side);
}

static void test_fork_before_a_loop_has_run_and_after(void)
{
    conc_loop *loop = new_loop();
    assert_int_equal(in_child(look_from_beside, loop), 0);
    assert_int_equal(run_task(loop, job_use_loop, NULL, 0), 0);
    assert_int_equal(in_child(look_from_beside, loop), 0);
    assert_int_equal(run_task(loop, job_use_loop, NULL, 0), 0);
    free_loop(loop);
}

/* ---- On a loop ---- */

static int look_from_inside(void *loop)
{
    may_start_threads = CHILD_MAY_START_THREADS;
    struct seen seen = look_for("main");
    CHECK_EQUAL(seen.n, 1);
    CHECK(!strcmp(seen.info.kind, "thread"));
    CHECK_EQUAL(seen.info.id, conc_context_id(NULL));
    loop_is_dead(loop);
    CHECK_EQUAL(end_of(conc_spawn(job_nothing, NULL, 0, 0)), -ESHUTDOWN);
    everything_else_works();
    return 0;
}

struct inside {
    conc_loop *loop;
    int fds[2];
    int got;
};

static int job_receive(void *arg, void *result)
{
    struct inside *inside = pointer_in(arg);
    return conc_recv(inside->fds[0], &inside->got, sizeof(int), 0, CONC_FOREVER) == sizeof(int)
               ? 0
               : -EIO;
}

static int job_fork(void *arg, void *result)
{
    struct inside *inside = pointer_in(arg);
    conc_scope scope;
    conc_scope_enter(&scope, conc_in(CONC_S(100)));
    for (int i = 0; i < 2; i++)
        CHECK_EQUAL(in_child(look_from_inside, inside->loop), 0);
    CHECK_EQUAL(conc_scope_exit(&scope), 0);
    return conc_sleep(CONC_MS(1));
}

static void fork_in_callback(void *arg)
{
    struct inside *inside = arg;
    CHECK_EQUAL(in_child(look_from_inside, inside->loop), 0);
    CHECK_EQUAL(conc_loop_remove_writer(inside->loop, inside->fds[0]), 1);
}

/* An operation is under way all the time; no child may disturb it. */
static void test_fork_in_a_task_and_in_a_callback(void)
{
    struct inside inside = {.loop = new_loop()}, *address = &inside;
    int sent = 12345;
    make_sockets(SOCK_STREAM, inside.fds);
    conc_future *f = conc_task_start(inside.loop, job_receive, &address, sizeof address, 0, NULL);
    assert_int_equal(run_task(inside.loop, job_fork, &address, sizeof address), 0);
    assert_int_equal(conc_loop_add_writer(inside.loop, inside.fds[0], fork_in_callback, &inside),
                     0);
    assert_int_equal(run_task(inside.loop, job_fork, &address, sizeof address), 0);
    assert_false(conc_future_is_done(f));
    assert_int_equal(write(inside.fds[1], &sent, sizeof sent), sizeof sent);
    assert_int_equal(run_until(inside.loop, f), 0);
    assert_int_equal(inside.got, sent);
    close_both(inside.fds);
    free_loop(inside.loop);
}

/* ---- A child that returns to the loop it was forked on ---- */

enum where { IN_TASK, IN_CALLBACK, IN_READER, WHERES };

/* TSan loses track of its fibers in a child that was forked on a fiber and then leaves it. */
#if defined(__SANITIZE_THREAD__)
#define FIRST_WHERE IN_CALLBACK
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define FIRST_WHERE IN_CALLBACK
#endif
#endif
#ifndef FIRST_WHERE
#define FIRST_WHERE IN_TASK
#endif

struct returning {
    enum where where;
    pid_t parent, child;
    conc_loop *loop;
    int fds[2];
    int *result; /* shared with the child */
};

static void fork_and_return(void *arg)
{
    struct returning *r = arg;
    fflush(stdout);
    if (r->child == 0)
        r->child = fork();
    CHECK(r->child >= 0);
    if (r->child == 0) {
        may_start_threads = CHILD_MAY_START_THREADS;
        alarm(60);
    }
}

static int job_fork_and_return(void *arg, void *result)
{
    struct returning *r = pointer_in(arg);
    if (r->where == IN_TASK)
        fork_and_return(r);
    else
        YIELD_UNTIL(r->child > 0);
    return 0;
}

/* The child's end: by a signal, as in in_child(). */
static void end_child(struct returning *r, int err, conc_future *f)
{
    CHECK_EQUAL(err, -ESHUTDOWN);
    CHECK_EQUAL(conc_future_is_done(f), r->where == IN_TASK);
    CHECK(!conc_loop_current());
    loop_is_dead(r->loop);
    CHECK_EQUAL(conc_loop_free(r->loop), 0);
    a_new_loop_works();
    *r->result = 7;
    kill(getpid(), SIGKILL);
}

static void test_a_child_that_returns_to_the_loop_leaves_its_run(void)
{
    for (enum where where = FIRST_WHERE; where < WHERES; where++) {
        struct returning ret = {.where = where, .parent = getpid(), .loop = new_loop()}, *r = &ret;
        int status;
        ret.result =
            mmap(NULL, sizeof(int), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
        assert_true(ret.result != MAP_FAILED);
        make_sockets(SOCK_STREAM, ret.fds);
        assert_int_equal(write(ret.fds[1], "", 1), 1);
        if (where == IN_CALLBACK)
            assert_int_equal(conc_loop_call_soon(ret.loop, fork_and_return, r, NULL), 0);
        if (where == IN_READER)
            assert_int_equal(conc_loop_add_reader(ret.loop, ret.fds[0], fork_and_return, r), 0);
        conc_future *f = conc_task_start(ret.loop, job_fork_and_return, &r, sizeof r, 0, NULL);
        int err = conc_loop_run_until_complete(ret.loop, f);
        if (getpid() != ret.parent)
            end_child(r, err, f);
        assert_int_equal(err, 0);
        assert_int_equal(run_task(ret.loop, job_use_loop, NULL, 0), 0);
        assert_int_equal(waitpid(ret.child, &status, 0), ret.child);
        assert_true(WIFSIGNALED(status));
        assert_int_equal(WTERMSIG(status), SIGKILL);
        assert_int_equal(*ret.result, 7);
        conc_future_unref(f);
        free_loop(ret.loop);
        close_both(ret.fds);
        munmap(ret.result, sizeof(int));
    }
}

/* ---- Descriptors ---- */

struct dying {
    int sockets[2]; /* [1] is the one whose end the other is to see */
    int alive[2];   /* a pipe: the grandchild lives until its end is closed */
};

static int job_receive_for_ever(void *arg, void *result)
{
    const struct dying *d = pointer_in(arg);
    char byte;
    return (int)conc_recv(d->sockets[1], &byte, 1, 0, CONC_FOREVER);
}

static int job_leave_a_grandchild(void *arg, void *result)
{
    const struct dying *d = pointer_in(arg);
    char byte;
    YIELD_UNTIL(blocked_on("recv") == 1);
    conc_sleep(CONC_MS(1)); /* the kernel has it now */
    if (fork() == 0) {
        close(d->sockets[0]);
        close(d->sockets[1]);
        close(d->alive[1]);
        alarm(60);
        while (read(d->alive[0], &byte, 1) > 0)
            continue;
        kill(getpid(), SIGKILL);
    }
    return 0;
}

static int die_with_an_operation(void *arg)
{
    conc_loop *loop = new_loop();
    CHECK(conc_task_start(loop, job_receive_for_ever, &arg, sizeof arg, 0, NULL));
    CHECK_EQUAL(run_task(loop, job_leave_a_grandchild, &arg, sizeof arg), 0);
    return 0; /* the loop is not freed: in_child() kills us */
}

static void test_a_child_keeps_no_operation_of_a_parent_that_dies(void)
{
    struct dying d;
    char byte;
    make_sockets(SOCK_STREAM, d.sockets);
    make_pipe(d.alive);
    assert_int_equal(in_child(die_with_an_operation, &d), 0);
    assert_int_equal(close(d.sockets[1]), 0);
    struct pollfd end = {.fd = d.sockets[0], .events = POLLIN};
    assert_int_equal(poll(&end, 1, 30000), 1);
    assert_int_equal(read(d.sockets[0], &byte, 1), 0);
    close(d.sockets[0]);
    close_both(d.alive);
}

/* ---- Many forks ---- */

struct crowd {
    struct test_thread thread;
    conc_loop *loop;
    uint32_t stop;
};

static void keep_loop_busy(void *arg)
{
    struct crowd *crowd = arg;
    while (!load_acquire(&crowd->stop)) {
        CHECK_EQUAL(conc_loop_call_soon_threadsafe(crowd->loop, call_nothing, NULL, NULL), 0);
        CHECK_EQUAL(end_of(conc_task_start(crowd->loop, job_nothing, NULL, 0, 0, NULL)), 0);
    }
}

static int look_briefly(void *arg)
{
    conc_loop *loop = arg;
    CHECK_EQUAL(conc_loop_call_soon_threadsafe(loop, call_nothing, NULL, NULL), -ESHUTDOWN);
    CHECK_EQUAL(end_of(conc_task_start(loop, job_nothing, NULL, 0, 0, NULL)), -ESHUTDOWN);
    CHECK_EQUAL(conc_executor_shutdown(conc_loop_executor(loop), 0, CONC_NOW), 0);
    CHECK_EQUAL(conc_loop_free(loop), 0);
    CHECK_EQUAL(in_task(job_nothing, NULL), 0);
    return 0;
}

static void test_fork_while_a_thread_is_inside_the_loops_guard(void)
{
    conc_loop *loop = new_loop();
    guard_lock(&loop->word);
    int result = in_child(look_briefly, loop);
    guard_unlock(&loop->word);
    assert_int_equal(result, 0);
    free_loop(loop);
}

/* What tasks of the parent wait for is there in the child too. */
struct haunted {
    struct side_loop side;
    struct gate gate;
};

static int wake_the_dead(void *arg)
{
    struct haunted *haunted = arg;
    conc_event_set(&haunted->gate.open);
    CHECK_EQUAL(conc_loop_free(haunted->side.loop), 0);
    return 0;
}

static int wake_the_forgotten(void *arg)
{
    struct haunted *haunted = arg;
    CHECK_EQUAL(conc_loop_free(haunted->side.loop), 0);
    conc_event_set(&haunted->gate.open);
    return 0;
}

static void test_a_child_may_set_what_the_parents_tasks_wait_for(void)
{
    struct haunted haunted = {.gate = {.runs = 0}};
    struct gate *gate = &haunted.gate;
    side_loop_start(&haunted.side);
    conc_future *f = conc_task_start(haunted.side.loop, job_gate, &gate, sizeof gate, 0, NULL);
    wait_until_n_blocked(&gate->open, 1);
    assert_int_equal(in_child(wake_the_dead, &haunted), 0);
    assert_int_equal(in_child(wake_the_forgotten, &haunted), 0);
    assert_false(conc_future_is_done(f));
    conc_event_set(&gate->open);
    assert_int_equal(end_of(f), 0);
    side_loop_end(&haunted.side);
}

/* Whatever the threads do at the moment of the fork. */
static void test_forks_while_threads_use_the_loop(void)
{
    struct side_loop side;
    struct crowd crowd[2];
    side_loop_start(&side);
    for (int i = 0; i < 2; i++) {
        crowd[i] = (struct crowd){.loop = side.loop};
        test_thread_start(&crowd[i].thread, NULL, keep_loop_busy, &crowd[i]);
    }
    for (int i = 0; i < (int)crowd_of(80); i++)
        assert_int_equal(in_child(look_briefly, side.loop), 0);
    for (int i = 0; i < 2; i++) {
        store_release(&crowd[i].stop, 1);
        test_thread_join(&crowd[i].thread);
    }
    side_loop_end(&side);
}

static const struct CMUnitTest tests[] = {
    ON_EVERY_BACKEND(test_fork_beside_a_running_loop),
    ON_EVERY_BACKEND(test_fork_before_a_loop_has_run_and_after),
    ON_EVERY_BACKEND(test_fork_in_a_task_and_in_a_callback),
    ON_EVERY_BACKEND(test_a_child_that_returns_to_the_loop_leaves_its_run),
    ON_EVERY_BACKEND(test_a_child_keeps_no_operation_of_a_parent_that_dies),
    ON_EVERY_BACKEND(test_fork_while_a_thread_is_inside_the_loops_guard),
    ON_EVERY_BACKEND(test_a_child_may_set_what_the_parents_tasks_wait_for),
    ON_EVERY_BACKEND(test_forks_while_threads_use_the_loop),
};

TEST_MAIN(tests, 60)
