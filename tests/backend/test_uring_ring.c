/* SPDX-License-Identifier: MIT
 *
 * test_uring_ring.c: the ring itself: making it where the kernel is older or refuses, its
 * completion queue running over, its end, and forks.
 */
#include "ring_rig.h"

#include <dirent.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>

#include <conc/loop.h>

#include "backend/uring/slots.h"

/* ---- The set-up ladder ---- */

static void check_moves_and_cancels(struct rig *rig)
{
    struct ends s = open_sockets(0);
    char buf[8] = "";
    struct call recv = call_move(OP_RECV, s.a, buf, sizeof buf), again = recv;
    struct call send = call_move(OP_SEND, s.b, "hello", 5);
    call_start(rig, &recv);
    rig_settle(rig);
    call_start(rig, &send);
    assert_int_equal(call_end(&send), 5);
    assert_int_equal(call_end(&recv), 5);
    assert_string_equal(buf, "hello");
    call_start(rig, &again);
    rig_settle(rig);
    call_cancel(&again);
    assert_int_equal(call_end(&again), -ECANCELED);
    close_ends(s);
}

static void test_each_set_up_that_an_older_kernel_may_have_works(void **state)
{
    for (unsigned rung = 0; rung < RING_RUNGS; rung++) {
        struct ring_shape shape = conc__ring_shape;
        struct rig rig;
        shape.rung = rung;
        rig_open(&rig, &shape);
        for (int i = 0; i < 5; i++)
            check_moves_and_cancels(&rig);
        rig_close(&rig);
    }
}

/* ---- The completion queue runs over ---- */

/* Hundreds are done at once, where there is room for four. */
static void test_completions_when_there_is_no_room_for_them_all_come(void **state)
{
    enum { N = 500 };
    for (unsigned rung = 0; rung < RING_RUNGS; rung++) {
        const struct ring_shape tiny = {.entries = 4, .completions = 4, .rung = rung};
        struct rig rig;
        rig_open(&rig, &tiny);
        struct ends silent = open_pipe(0);
        struct call *calls = rig_polls(&rig, silent.a, N);
        while (rig_ring(&rig)->uring.sq.sqe_tail < N)
            rig_turn(&rig, CONC_NOW); /* until the kernel has all of them */
        rig_settle(&rig);
        assert_int_equal(rig_ring(&rig)->overflows, 0);
        assert_int_equal(write(silent.b, "x", 1), 1);
        while (rig.driver.ops)
            rig_turn(&rig, CONC_NOW); /* sees what has no room, though it has nothing to submit */
        for (int i = 0; i < N; i++)
            assert_int_equal(call_end(&calls[i]), POLLIN);
        assert_true(rig_ring(&rig)->overflows > 0);
        free(calls);
        close_ends(silent);
        rig_close(&rig);
    }
}

/* Each cancel has a completion of its own. */
static void test_cancels_when_the_queue_runs_over_all_end_their_ops(void **state)
{
    enum { N = 500 };
    for (unsigned rung = 0; rung < RING_RUNGS; rung++) {
        const struct ring_shape tiny = {.entries = 4, .completions = 4, .rung = rung};
        struct rig rig;
        rig_open(&rig, &tiny);
        struct ends silent = open_pipe(0);
        struct call *calls = rig_polls(&rig, silent.a, N);
        rig_settle(&rig);
        for (int i = 0; i < N; i++)
            call_cancel(&calls[i]);
        for (int i = 0; i < N; i++)
            assert_int_equal(call_end(&calls[i]), -ECANCELED);
        free(calls);
        close_ends(silent);
        rig_close(&rig);
    }
}

/* ---- Turns ---- */

static void poll_again_at_once(struct call *call)
{
    call->ended = 0;
    call_start(call->rig, call);
}

/* Or tasks and timers would never have theirs. */
static void test_a_turn_when_there_is_always_more_to_complete_ends(void **state)
{
    enum { N = 1000 };
    const struct ring_shape small = {.entries = 8, .completions = 8};
    struct rig rig;
    rig_open(&rig, &small);
    struct ends ready = open_pipe(0);
    assert_int_equal(write(ready.b, "x", 1), 1);
    struct call *calls = rig_polls(&rig, ready.a, N);
    for (int i = 0; i < N; i++)
        calls[i].then = poll_again_at_once;
    for (int i = 0; i < 100; i++)
        rig_turn(&rig, CONC_FOREVER);
    for (int i = 0; i < N; i++) {
        calls[i].then = NULL;
        calls[i].ended = 0;
        call_cancel(&calls[i]);
    }
    for (int i = 0; i < N; i++)
        call_end(&calls[i]);
    free(calls);
    close_ends(ready);
    rig_close(&rig);
}

/* ---- Refused ---- */

static int init_here(void)
{
    int wake_fd = eventfd(0, EFD_CLOEXEC);
    void *io;
    int err = conc__uring.init(&io, wake_fd);
    if (!err)
        conc__uring.fini(io);
    close(wake_fd);
    return err;
}

struct refusal {
    unsigned call, err;
};

/* From now on a system call fails in this process. */
static void refuse(struct refusal refusal)
{
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, refusal.call, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | refusal.err),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {.len = sizeof code / sizeof *code, .filter = code};
    CHECK_EQUAL(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
    CHECK_EQUAL(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program), 0);
}

static int job_check_epoll(void *arg, void *result)
{
    CHECK(!strcmp(conc_loop_backend(conc_loop_current()), "epoll"));
    return 0;
}

static int without_io_uring(void *arg)
{
    unsetenv("CONC_BACKEND");
    refuse(*(struct refusal *)arg);
    CHECK_EQUAL(init_here(), -ENOSYS);
    return conc_run(job_check_epoll, NULL, 0, NULL, 0);
}

static void test_where_a_filter_refuses_io_uring_the_loop_takes_epoll(void **state)
{
    static const unsigned calls[] = {__NR_io_uring_setup, __NR_io_uring_enter,
                                     __NR_io_uring_register};
    static const unsigned errs[] = {EPERM, ENOSYS, EACCES, EINVAL, ENOMEM};
    for (int call = 0; call < 3; call++)
        for (int err = 0; err < 5; err++) {
            struct refusal refusal = {calls[call], errs[err]};
            assert_int_equal(in_child(without_io_uring, &refusal), 0);
        }
}

static int without_descriptors(void *arg)
{
    void *io;
    const struct rlimit none = {0, 0};
    CHECK_EQUAL(setrlimit(RLIMIT_NOFILE, &none), 0);
    CHECK_EQUAL(conc__uring.init(&io, -1), -EMFILE);
    return 0;
}

static void test_init_when_descriptors_have_run_out_says_so(void **state)
{
    assert_int_equal(in_child(without_descriptors, NULL), 0);
}

static void test_init_when_memory_has_run_out_says_so(void **state)
{
    int32_t before = conc__hooks.allocated;
    conc__hooks.fail_alloc_in = 1;
    assert_int_equal(init_here(), -ENOMEM);
    assert_int_equal(conc__hooks.allocated, before);
}

/* ---- The end, and forks ---- */

static size_t count_descriptors(void)
{
    size_t n = 0;
    DIR *dir = opendir("/proc/self/fd");
    CHECK(dir);
    while (readdir(dir))
        n++;
    closedir(dir);
    return n;
}

static void test_a_ring_whether_it_has_turned_or_not_leaves_nothing_behind(void **state)
{
    size_t before = count_descriptors();
    for (int turns = 0; turns < 3; turns++) {
        struct rig rig;
        rig_open(&rig, NULL);
        for (int i = 0; i < turns; i++)
            rig_turn(&rig, CONC_NOW);
        rig_close(&rig);
    }
    assert_int_equal(count_descriptors(), before);
}

/* The child's end of the fork leaves the parent's entries alone, and keeps nothing open. */
static int forget_it(void *arg)
{
    struct rig *rig = arg;
    int fd = rig_ring(rig)->uring.ring_fd;
    conc__uring.forget(rig->io);
    return fcntl(fd, F_GETFD) == -1 && errno == EBADF ? 0 : 1;
}

static void test_a_ring_when_a_child_is_forked_goes_on_in_the_parent(void **state)
{
    struct rig rig;
    rig_open(&rig, NULL);
    struct ends s = open_sockets(0), unsent = open_sockets(0);
    char a = 0, b = 0;
    struct call one = call_move(OP_RECV, s.a, &a, 1), two = call_move(OP_RECV, unsent.a, &b, 1);
    call_start(&rig, &one);
    rig_settle(&rig);
    call_start(&rig, &two); /* an entry that is not submitted */
    assert_int_equal(in_child(forget_it, &rig), 0);
    assert_int_equal(write(s.b, "x", 1), 1);
    assert_int_equal(write(unsent.b, "y", 1), 1);
    assert_int_equal(call_end(&one), 1);
    assert_int_equal(call_end(&two), 1);
    assert_int_equal(a, 'x');
    assert_int_equal(b, 'y');
    close_ends(s);
    close_ends(unsent);
    rig_close(&rig);
}

/* ---- A cancel that nobody has asked for ---- */

/* The kernel ends all that it has for the descriptor, as it may when a thread has ended. */
static void make_kernel_cancel(struct rig *rig, int fd)
{
    struct io_uring_sqe *sqe = io_uring_get_sqe(&rig_ring(rig)->uring);
    CHECK(sqe);
    io_uring_prep_cancel_fd(sqe, fd, IORING_ASYNC_CANCEL_ALL);
    sqe->user_data = NAME_OF_NONE;
    rig_settle(rig);
}

static void test_an_op_that_only_the_kernel_cancels_goes_on(void **state)
{
    struct rig rig;
    rig_open(&rig, NULL);
    struct ends s = open_sockets(0);
    char buf[8] = "";
    struct call calls[] = {call_move(OP_RECV, s.a, buf, sizeof buf), call_poll(s.a, POLLIN)};
    for (int i = 0; i < 2; i++) {
        calls[i].ended = 0;
        call_start(&rig, &calls[i]);
        rig_settle(&rig);
        for (int times = 0; times < 3; times++) {
            make_kernel_cancel(&rig, s.a);
            assert_int_equal(calls[i].ended, 0);
        }
        assert_int_equal(write(s.b, "hello", 5), 5);
        assert_int_equal(call_end(&calls[i]), i == 0 ? 5 : POLLIN);
    }
    close_ends(s);
    rig_close(&rig);
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_each_set_up_that_an_older_kernel_may_have_works),
    cmocka_unit_test(test_completions_when_there_is_no_room_for_them_all_come),
    cmocka_unit_test(test_cancels_when_the_queue_runs_over_all_end_their_ops),
    cmocka_unit_test(test_a_turn_when_there_is_always_more_to_complete_ends),
    cmocka_unit_test(test_where_a_filter_refuses_io_uring_the_loop_takes_epoll),
    cmocka_unit_test(test_init_when_descriptors_have_run_out_says_so),
    cmocka_unit_test(test_init_when_memory_has_run_out_says_so),
    cmocka_unit_test(test_a_ring_whether_it_has_turned_or_not_leaves_nothing_behind),
    cmocka_unit_test(test_a_ring_when_a_child_is_forked_goes_on_in_the_parent),
    cmocka_unit_test(test_an_op_that_only_the_kernel_cancels_goes_on),
};

static const struct CMUnitTest tests_if_refused[] = {
    cmocka_unit_test(test_where_a_filter_refuses_io_uring_the_loop_takes_epoll),
    cmocka_unit_test(test_init_when_memory_has_run_out_says_so),
};

RING_TEST_MAIN(tests, tests_if_refused, 60)
