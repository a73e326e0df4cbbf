/* SPDX-License-Identifier: MIT
 *
 * test_uring.c: what only the io_uring backend has: entries that the kernel has or has not taken,
 * slots and their names, cancels that come too late or have to be told to the kernel's workers.
 * What every backend does is tested elsewhere.
 */
#include "ring_rig.h"

#include <stdlib.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "backend/uring/slots.h"
#include "base/alloc.h"

/* ---- Turns ---- */

static void test_an_op_when_what_it_wants_is_there_ends_in_the_next_turn(void **state)
{
    struct rig rig;
    rig_open(&rig, NULL);
    struct ends s = open_sockets(0);
    char buf[8] = "";
    struct call recv = call_move(OP_RECV, s.a, buf, sizeof buf);
    struct call send = call_move(OP_SEND, s.b, "hello", 5);
    call_start(&rig, &recv);
    call_start(&rig, &send);
    assert_int_equal(recv.ended + send.ended, 0);
    rig_turn(&rig, CONC_FOREVER);
    assert_int_equal(call_end(&recv), 5);
    assert_int_equal(call_end(&send), 5);
    assert_string_equal(buf, "hello");
    close_ends(s);
    rig_close(&rig);
}

static void test_a_turn_when_nothing_happens_ends_at_its_deadline(void **state)
{
    struct rig rig;
    rig_open(&rig, NULL);
    int64_t before = real_now();
    rig_turn(&rig, conc_in(CONC_MS(20)));
    assert_true(real_now() - before >= CONC_MS(20));
    rig_turn(&rig, conc_in(-CONC_S(1)));
    rig_turn(&rig, CONC_NOW);
    rig_close(&rig);
}

static void wake(void *arg)
{
    const struct rig *rig = arg;
    CHECK_EQUAL(eventfd_write(rig->driver.wake_fd, 1), 0);
}

static void test_a_turn_that_sleeps_when_woken_ends_each_time(void **state)
{
    struct rig rig;
    rig_open(&rig, NULL);
    for (int i = 0; i < 20; i++) {
        struct test_thread thread;
        test_thread_start(&thread, NULL, wake, &rig);
        rig_turn(&rig, CONC_FOREVER);
        test_thread_join(&thread);
    }
    struct pollfd p = {.fd = rig.driver.wake_fd, .events = POLLIN};
    assert_int_equal(poll(&p, 1, 0), 0); /* it has been read */
    rig_close(&rig);
}

/* ---- Slots and names ---- */

static void test_a_slot_when_used_again_has_another_name(void **state)
{
    struct slots slots = {0};
    struct op one = {.fd = 3}, two = {.fd = 4};
    struct slot *slot = conc__slots_put(&slots, &one, one.fd);
    uint64_t name = slot_name(&slots, slot);
    assert_ptr_equal(slot_named(&slots, name), slot);
    assert_ptr_equal(slot_of(&slots, &one), slot);
    conc__slots_remove(&slots, slot);
    assert_null(slot_named(&slots, name));
    assert_ptr_equal(conc__slots_put(&slots, &two, two.fd), slot);
    assert_null(slot_named(&slots, name));
    assert_ptr_equal(slot_named(&slots, slot_name(&slots, slot)), slot);
    assert_null(slot_named(&slots, NAME_OF_NONE));
    assert_null(slot_named(&slots, NAME_OF_WAKE));
    free_bytes(slots.table);
}

struct late {
    struct call *victim;
    struct call *next;
};

static void cancel_the_other(struct call *call)
{
    call_cancel(((struct late *)call->data)->victim);
}

static void start_the_next(struct call *call)
{
    call_start(call->rig, ((struct late *)call->data)->next);
}

/* Two ops are done by the same turn. The end of the first cancels the second, whose completion is
 * there already; and that one's end puts a third into its slot, before the cancel is submitted. */
static void test_a_cancel_that_comes_too_late_hits_nobody(void **state)
{
    struct rig rig;
    rig_open(&rig, NULL);
    struct ends s = open_sockets(0), idle = open_sockets(0);
    char a, b, c = 0;
    struct call first = call_move(OP_RECV, s.a, &a, 1);
    struct call second = call_move(OP_RECV, s.a, &b, 1);
    struct call third = call_move(OP_RECV, idle.a, &c, 1);
    struct late late = {&second, &third};
    first.then = cancel_the_other;
    second.then = start_the_next;
    first.data = second.data = &late;
    call_start(&rig, &first);
    call_start(&rig, &second);
    uint32_t slot = second.op.slot;
    assert_int_equal(write(s.b, "xy", 2), 2);
    assert_int_equal(call_end(&first), 1);
    assert_int_equal(call_end(&second), 1); /* not cancelled: it had succeeded */
    assert_int_equal(third.op.slot, slot);
    rig_settle(&rig);
    assert_int_equal(third.ended, 0);
    assert_int_equal(write(idle.b, "z", 1), 1);
    assert_int_equal(call_end(&third), 1);
    assert_int_equal(c, 'z');
    close_ends(s);
    close_ends(idle);
    rig_close(&rig);
}

/* Far more than either queue has room for. */
static void test_an_op_when_thousands_wait_before_it_is_not_held_up(void **state)
{
    struct rig rig;
    rig_open(&rig, NULL);
    size_t n = crowd_of(10000);
    struct ends silent = open_pipe(0), ready = open_pipe(0);
    struct call *calls = rig_polls(&rig, silent.a, n);
    struct call last = call_poll(ready.a, POLLIN);
    call_start(&rig, &last);
    assert_int_equal(write(ready.b, "x", 1), 1);
    assert_int_equal(call_end(&last), POLLIN);
    assert_int_equal(rig.driver.ops, n);
    assert_int_equal(write(silent.b, "x", 1), 1);
    for (size_t i = 0; i < n; i++)
        assert_int_equal(call_end(&calls[i]), POLLIN);
    free(calls);
    close_ends(silent);
    close_ends(ready);
    rig_close(&rig);
}

static void test_thousands_of_ops_when_cancelled_at_once_all_end(void **state)
{
    struct rig rig;
    rig_open(&rig, NULL);
    size_t n = crowd_of(10000);
    struct ends silent = open_pipe(0);
    struct call *calls = rig_polls(&rig, silent.a, n);
    rig_settle(&rig);
    for (size_t i = 0; i < n; i++) {
        call_cancel(&calls[i]);
        call_cancel(&calls[i]); /* again: no harm */
    }
    assert_int_equal(rig.driver.ops, n); /* the kernel has them: it is asked */
    for (size_t i = 0; i < n; i++)
        assert_int_equal(call_end(&calls[i]), -ECANCELED);
    free(calls);
    close_ends(silent);
    rig_close(&rig);
}

/* One has an entry that is not submitted, the others none yet. */
static void test_ops_that_the_kernel_does_not_know_when_cancelled_end_at_once(void **state)
{
    const struct ring_shape small = {.entries = 4, .completions = 8};
    struct rig rig;
    rig_open(&rig, &small);
    struct ends silent = open_pipe(0);
    struct call *calls = rig_polls(&rig, silent.a, 20);
    for (int i = 0; i < 20; i += 2) {
        call_cancel(&calls[i]);
        assert_int_equal(calls[i].ended, 1);
        assert_int_equal(calls[i].op.result, -ECANCELED);
    }
    rig_settle(&rig);
    assert_int_equal(rig.driver.ops, 10);
    assert_int_equal(write(silent.b, "x", 1), 1);
    for (int i = 1; i < 20; i += 2)
        assert_int_equal(call_end(&calls[i]), POLLIN);
    free(calls);
    close_ends(silent);
    rig_close(&rig);
}

static void test_an_op_when_there_is_no_memory_for_its_slot_fails(void **state)
{
    struct rig rig;
    rig_open(&rig, NULL);
    struct ends silent = open_pipe(0);
    struct call one = call_poll(silent.a, POLLIN), two = one;
    conc__hooks.fail_alloc_in = 1;
    call_start(&rig, &one);
    assert_int_equal(call_end(&one), -ENOMEM);
    call_start(&rig, &two);
    call_cancel(&two);
    assert_int_equal(call_end(&two), -ECANCELED);
    close_ends(silent);
    rig_close(&rig);
}

/* ---- Cancels that the kernel's workers have to be told ---- */

static void test_an_open_that_waits_when_cancelled_ends(void **state)
{
    char dir[] = "/tmp/conc-uring-XXXXXX", path[64];
    struct rig rig;
    rig_open(&rig, NULL);
    assert_non_null(mkdtemp(dir));
    snprintf(path, sizeof path, "%s/fifo", dir);
    assert_int_equal(mkfifo(path, 0600), 0);
    struct call call = {.op = {.code = OP_OPEN, .path = path, .flags = O_RDONLY | O_CLOEXEC}};
    call_start(&rig, &call);
    rig_settle(&rig);
    assert_int_equal(call.ended, 0); /* nobody writes */
    call_cancel(&call);
    assert_int_equal(call_end(&call), -ECANCELED);
    unlink(path);
    rmdir(dir);
    rig_close(&rig);
}

static struct sockaddr_un unix_name(socklen_t *size)
{
    struct sockaddr_un name = {.sun_family = AF_UNIX};
    int n = snprintf(name.sun_path + 1, sizeof name.sun_path - 1, "conc-uring-%d", (int)getpid());
    *size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + (size_t)n);
    return name;
}

static void test_a_connect_that_waits_for_room_when_cancelled_ends(void **state)
{
    struct rig rig;
    rig_open(&rig, NULL);
    socklen_t size;
    struct sockaddr_un name = unix_name(&size);
    int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(listener, (struct sockaddr *)&name, size), 0);
    assert_int_equal(listen(listener, 0), 0);
    struct call calls[3];
    for (int i = 0; i < 3; i++) {
        calls[i] = (struct call){.op = {.code = OP_CONNECT, .size = size}};
        calls[i].op.addr = (struct sockaddr *)&name;
        calls[i].op.fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        call_start(&rig, &calls[i]);
        rig_settle(&rig);
    }
    assert_int_equal(call_end(&calls[0]), 0);
    assert_int_equal(calls[2].ended, 0); /* no room */
    call_cancel(&calls[2]);
    assert_int_equal(call_end(&calls[2]), -ECANCELED);
    close(listener);
    call_end(&calls[1]);
    for (int i = 0; i < 3; i++)
        close(calls[i].op.fd);
    rig_close(&rig);
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_an_op_when_what_it_wants_is_there_ends_in_the_next_turn),
    cmocka_unit_test(test_a_turn_when_nothing_happens_ends_at_its_deadline),
    cmocka_unit_test(test_a_turn_that_sleeps_when_woken_ends_each_time),
    cmocka_unit_test(test_a_slot_when_used_again_has_another_name),
    cmocka_unit_test(test_a_cancel_that_comes_too_late_hits_nobody),
    cmocka_unit_test(test_an_op_when_thousands_wait_before_it_is_not_held_up),
    cmocka_unit_test(test_thousands_of_ops_when_cancelled_at_once_all_end),
    cmocka_unit_test(test_ops_that_the_kernel_does_not_know_when_cancelled_end_at_once),
    cmocka_unit_test(test_an_op_when_there_is_no_memory_for_its_slot_fails),
    cmocka_unit_test(test_an_open_that_waits_when_cancelled_ends),
    cmocka_unit_test(test_a_connect_that_waits_for_room_when_cancelled_ends),
};

static void test_where_io_uring_is_refused_the_backend_says_so(void **state)
{
    void *io;
    assert_int_equal(conc__uring.init(&io, -1), -ENOSYS);
}

static const struct CMUnitTest tests_if_refused[] = {
    cmocka_unit_test(test_where_io_uring_is_refused_the_backend_says_so),
};

RING_TEST_MAIN(tests, tests_if_refused, 60)
