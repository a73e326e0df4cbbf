/* SPDX-License-Identifier: MIT
 *
 * epoll.c: the backend for systems that have or allow no io_uring: attempts (perform.c), epoll to
 * learn when the next attempt makes sense, and threads for what cannot be attempted (offload.c).
 *
 * The states of an op (op->state; here without STATE_):
 *
 *     NEW         it is being started
 *     LISTED      it is in a list of its descriptor: its last attempt gave -EAGAIN, or others of
 *                 its kind wait already
 *     FINISHED    its result is known; it is about to be completed
 *     OFFLOADED   offload.c has it
 *
 *     NEW -> LISTED, OFFLOADED or completed;  LISTED -> FINISHED -> completed, OFFLOADED
 *     LISTED -> completed        by a cancel
 *     OFFLOADED -> completed     by offload.c
 *
 * A descriptor has three lists of ops: readers and writers, each in the order of arrival, of which
 * only the first is attempted; and pollers, which take nothing from each other. An event leads to
 * attempts, and means nothing by itself: so an event that comes late does no harm. All attempts
 * that an event leads to are made first, and then the ops that have ended are completed, because a
 * completion may start and cancel others.
 *
 * The kernel is asked with EPOLLONESHOT, anew for each wait, though once for each descriptor would
 * save a system call. The reason: if the program closes a descriptor and opens it again, without a
 * word to libconc, it has lost its registration, and only asking again finds that out (-ENOENT),
 * since the kernel knows a number by its file. Then the ops that waited before are for a file that
 * this number does not mean any more: they end with -EBADF. Invariant: all ops that a descriptor
 * lists wait for the file that the kernel was asked about last.
 *
 * An event's attempts must not take what belongs to another file either. So the number is copied,
 * the kernel is asked whether the number still means the file that was entered, and the attempts
 * are made with the copy (op/identity.c says of which kinds of files, and why with a copy). An op
 * whose descriptor was closed so, without a word, ends when its number is used next, or at its
 * deadline; it touches nothing meanwhile.
 *
 * Invariant: when an op is listed, the kernel has been asked since the last attempt of that op; the
 * kernel reports immediately what became ready in between. A cancel leaves the question as it is:
 * the answer then finds no op.
 *
 * An op that only a call that waits can do (op->by_thread) waits for its event like any other, and
 * then a thread makes the call. Where epoll knows no events (-EPERM: /dev/zero) it is left to a
 * thread at once.
 *
 * Everything happens in the driver's thread: no locks, no atomics.
 */
#include <limits.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "backend/backends.h"
#include "base/alloc.h"
#include "base/checkers.h"
#include "base/clock.h"
#include "base/fd.h"
#include "op/identity.h"
#include "op/kind.h"
#include "op/offload.h"

enum { STATE_NEW, STATE_LISTED, STATE_FINISHED, STATE_OFFLOADED };
enum { READERS, WRITERS, POLLERS, KINDS };

/* Events that one turn takes from the kernel; the next turn takes the rest. So few that a socket is
 * still in the processor's cache when its task answers. (With 1,000 connections a message takes 6 %
 * less time than with 256 events.) */
enum { EVENTS_AT_ONCE = 32 };

enum { DESCRIPTORS_MIN = 64 }; /* that the table has room for at first */

struct descriptor {
    struct list waiting[KINDS];
    bool known;  /* the kernel has this descriptor, unless the program has closed it since */
    mode_t mode; /* the file's type, if it is known */
};

struct epoll {
    int fd;
    int wake_fd;
    bool lacks_pwait2;
    struct descriptor *descriptors; /* by descriptor */
    size_t room;
    struct epoll_event events[EVENTS_AT_ONCE];
};

/* ---- Descriptors ---- */

static int op_kind(const struct op *op)
{
    switch (op->code) {
    case OP_POLL:
        return POLLERS;
    case OP_READ:
    case OP_RECV:
    case OP_RECVMSG:
    case OP_ACCEPT:
        return READERS;
    default:
        return WRITERS;
    }
}

static struct op *op_of_node(struct list_node *node) { return list_entry(node, struct op, node); }

/* NULL: no op has waited for this descriptor yet. */
static struct descriptor *epoll_descriptor(const struct epoll *e, int fd)
{
    return fd >= 0 && (size_t)fd < e->room ? &e->descriptors[fd] : NULL;
}

static int epoll_make_room(struct epoll *e, int fd)
{
    size_t room = e->room ? e->room : DESCRIPTORS_MIN;
    while (room <= (size_t)fd)
        room *= 2;
    if (room == e->room)
        return 0;
    struct descriptor *descriptors = alloc_array(room, sizeof *descriptors);
    if (!descriptors)
        return -ENOMEM;
    if (e->room)
        memcpy(descriptors, e->descriptors, e->room * sizeof *descriptors);
    free_bytes(e->descriptors);
    e->descriptors = descriptors;
    e->room = room;
    return 0;
}

static bool descriptor_is_awaited(const struct descriptor *descriptor)
{
    for (int kind = 0; kind < KINDS; kind++)
        if (!list_is_empty(&descriptor->waiting[kind]))
            return true;
    return false;
}

/* EPOLLIN and the others have the values of POLLIN and its like. */
static uint32_t descriptor_events(const struct descriptor *descriptor)
{
    uint32_t events = 0;
    for (int kind = READERS; kind <= WRITERS; kind++)
        if (descriptor->waiting[kind].head)
            events |= (uint16_t)conc__op_events(op_of_node(descriptor->waiting[kind].head));
    const struct list *pollers = &descriptor->waiting[POLLERS];
    for (struct list_node *n = pollers->head; n; n = list_next(pollers, n))
        events |= (uint16_t)conc__op_events(op_of_node(n));
    return events;
}

/* Tell the kernel which events it is to report. The kernel knows files, not numbers: -ENOENT if the
 * number belongs to another file since it was entered. */
static int epoll_tell(const struct epoll *e, int how, int fd, uint32_t events)
{
    struct epoll_event event = {.events = EPOLLONESHOT | events, .data.fd = fd};
    return epoll_ctl(e->fd, how, fd, &event) ? -errno : 0;
}

static int epoll_enter(struct epoll *e, int fd, uint32_t events)
{
    struct descriptor *descriptor = &e->descriptors[fd];
    struct stat st;
    int err = epoll_tell(e, EPOLL_CTL_ADD, fd, events);
    if (err == -EEXIST)
        err = epoll_tell(e, EPOLL_CTL_MOD, fd, events);
    descriptor->known = !err;
    descriptor->mode = !err && fstat(fd, &st) == 0 ? st.st_mode : 0;
    return err;
}

/* Ask the kernel for the events that the listed ops of the descriptor wait for. -ENOENT, -EBADF:
 * the program has closed it since it was entered, and perhaps opened it again. */
static int epoll_ask(struct epoll *e, int fd)
{
    struct descriptor *descriptor = &e->descriptors[fd];
    uint32_t events = descriptor_events(descriptor);
    if (!descriptor->known)
        return epoll_enter(e, fd, events);
    int err = epoll_tell(e, EPOLL_CTL_MOD, fd, events);
    descriptor->known = !err;
    return err;
}

/* ---- The ends of ops ---- */

static void op_finish(struct list *list, struct op *op, ssize_t result, struct list *finished)
{
    list_remove(list, &op->node);
    op->state = STATE_FINISHED;
    op->result = result;
    list_push(finished, &op->node);
}

static void descriptor_finish_all(struct descriptor *descriptor, int err, struct list *finished)
{
    for (int kind = 0; kind < KINDS; kind++)
        while (descriptor->waiting[kind].head) {
            struct op *op = op_of_node(descriptor->waiting[kind].head);
            op_finish(&descriptor->waiting[kind], op, op->moved ? op->moved : err, finished);
        }
}

static void op_offload(struct op *op, bool may_wait)
{
    op->state = STATE_OFFLOADED;
    conc__offload_start(op, may_wait);
}

/* What is ready for a thread goes on there. */
static void ops_complete(struct list *finished)
{
    struct list_node *node;
    while ((node = list_pop(finished))) {
        struct op *op = op_of_node(node);
        if (op->by_thread && op->result == -EAGAIN)
            op_offload(op, true);
        else
            conc__op_complete(op, op->result);
    }
}

/* ---- Starting ---- */

/* List the op with its descriptor, and ask the kernel. On an error it is in no list. Ops that wait
 * for a file that had this number before are finished. */
static int epoll_list(struct epoll *e, struct op *op, struct list *finished)
{
    int err = epoll_make_room(e, op->fd);
    if (err)
        return err;
    struct descriptor *descriptor = &e->descriptors[op->fd];
    struct list *list = &descriptor->waiting[op_kind(op)];
    list_push(list, &op->node);
    err = epoll_ask(e, op->fd);
    if (err == -ENOENT || err == -EBADF) {
        list_remove(list, &op->node);
        descriptor_finish_all(descriptor, -EBADF, finished);
        list_push(list, &op->node);
        err = epoll_ask(e, op->fd);
    }
    if (err)
        list_remove(list, &op->node);
    else
        op->state = STATE_LISTED;
    return err;
}

/* Let the op wait until the kernel reports an event. */
static void epoll_wait_for_event(struct epoll *e, struct op *op)
{
    struct list finished = {0};
    int err = epoll_list(e, op, &finished);
    if (err == -EPERM)
        op_offload(op, true);
    else if (err)
        conc__op_complete(op, err);
    ops_complete(&finished);
}

static bool epoll_others_wait(const struct epoll *e, const struct op *op)
{
    int kind = op_kind(op);
    const struct descriptor *descriptor = epoll_descriptor(e, op->fd);
    return descriptor && kind != POLLERS && !list_is_empty(&descriptor->waiting[kind]);
}

static void epoll_attempt_or_wait(struct epoll *e, struct op *op)
{
    ssize_t result = epoll_others_wait(e, op) ? -EAGAIN : conc__perform(op, false);
    if (result == -EAGAIN && conc__op_events(op))
        epoll_wait_for_event(e, op);
    else
        conc__op_complete(op, result);
}

static void epoll_read_memory_or_offload(struct op *op)
{
    ssize_t result = op->code == OP_PREAD ? conc__perform(op, false) : -EAGAIN;
    if (result == -EAGAIN)
        op_offload(op, false);
    else
        conc__op_complete(op, result);
}

static void epoll_start(void *state, struct op *op)
{
    int err = conc__op_ask(op);
    op->state = STATE_NEW;
    if (err) {
        conc__op_complete(op, err);
        return;
    }
    switch (conc__op_way(op, BY_EPOLL)) {
    case WAY_CALL:
        conc__op_complete(op, conc__perform(op, true));
        break;
    case WAY_READY:
        epoll_attempt_or_wait(state, op);
        break;
    case WAY_FILES:
        epoll_read_memory_or_offload(op);
        break;
    default:
        op_offload(op, true);
    }
}

static void epoll_cancel(void *state, struct op *op)
{
    struct epoll *e = state;
    if (op->state == STATE_OFFLOADED) {
        conc__offload_cancel(op);
    } else if (op->state == STATE_LISTED) {
        list_remove(&e->descriptors[op->fd].waiting[op_kind(op)], &op->node);
        conc__op_complete(op, op->moved ? op->moved : -ECANCELED);
    }
}

static void epoll_closing(void *state, int fd)
{
    struct epoll *e = state;
    struct descriptor *descriptor = epoll_descriptor(e, fd);
    struct list finished = {0};
    if (!descriptor)
        return;
    descriptor_finish_all(descriptor, -EBADF, &finished);
    /* Otherwise it would stay registered as long as a copy of the descriptor is open. */
    if (descriptor->known)
        epoll_ctl(e->fd, EPOLL_CTL_DEL, fd, NULL);
    descriptor->known = false;
    ops_complete(&finished);
}

/* ---- Turns ---- */

/* True: the op has ended, or is a thread's, and is off its list. */
static bool op_attempt(struct list *list, struct op *op, int copy, struct list *finished)
{
    ssize_t result = conc__identity_perform_copy(op, copy);
    const bool for_thread = op->by_thread && conc__op_is_ready(op);
    if (result == -EAGAIN && conc__op_events(op) && !for_thread)
        return false;
    op_finish(list, op, result, finished);
    return true;
}

static void ops_attempt_in_order(struct list *list, int copy, struct list *finished)
{
    while (list->head && op_attempt(list, op_of_node(list->head), copy, finished))
        continue;
}

static void ops_attempt_each(struct list *list, int copy, struct list *finished)
{
    struct list_node *next, *node = list->head;
    for (; node; node = next) {
        next = list_next(list, node);
        op_attempt(list, op_of_node(node), copy, finished);
    }
}

static void descriptor_attempt_all(struct descriptor *descriptor, uint32_t events, int copy,
                                   struct list *finished)
{
    const uint32_t reading = EPOLLIN | EPOLLPRI | EPOLLRDHUP;
    if (events & ~(uint32_t)EPOLLOUT) /* errors are for all */
        ops_attempt_in_order(&descriptor->waiting[READERS], copy, finished);
    if (events & ~reading)
        ops_attempt_in_order(&descriptor->waiting[WRITERS], copy, finished);
    ops_attempt_each(&descriptor->waiting[POLLERS], copy, finished);
}

static void epoll_descriptor_has(struct epoll *e, int fd, uint32_t events)
{
    struct descriptor *descriptor = &e->descriptors[fd];
    struct list finished = {0};
    if (!descriptor_is_awaited(descriptor))
        return;
    int copy = conc__identity_copy(fd, descriptor->mode);
    int err = epoll_tell(e, EPOLL_CTL_MOD, fd, 0); /* is it the file that was entered? */
    if (!err)
        descriptor_attempt_all(descriptor, events, copy, &finished);
    if (copy >= 0)
        close(copy);
    if (!err && descriptor_is_awaited(descriptor))
        err = epoll_ask(e, fd);
    if (err) {
        descriptor->known = false;
        descriptor_finish_all(descriptor, err == -ENOENT ? -EBADF : err, &finished);
    }
    ops_complete(&finished);
}

static int epoll_milliseconds(conc_deadline until)
{
    int64_t left = conc_remaining(until);
    if (deadline_is_forever(until))
        return -1;
    return left > CONC_MS(INT_MAX) ? INT_MAX : (int)((left + CONC_MS(1) - 1) / CONC_MS(1));
}

/* Returns the number of events; 0 or less: there is none, or a signal has ended the sleep. */
static int epoll_sleep(struct epoll *e, conc_deadline until)
{
#ifdef SYS_epoll_pwait2
    if (!e->lacks_pwait2) {
        const struct timespec left = clock_timespec(conc_remaining(until));
        int64_t timeout[] = {left.tv_sec, left.tv_nsec};
        long n = syscall(SYS_epoll_pwait2, e->fd, e->events, EVENTS_AT_ONCE,
                         deadline_is_forever(until) ? NULL : timeout, NULL, 0);
        if (n >= 0 || errno == EINTR)
            return (int)n;
        e->lacks_pwait2 = true; /* before Linux 5.11, or refused */
    }
#endif
    return epoll_wait(e->fd, e->events, EVENTS_AT_ONCE, epoll_milliseconds(until));
}

static void epoll_drain_wake(int wake_fd)
{
    uint64_t count;
    if (read(wake_fd, &count, sizeof count) < 0) /* interrupted: the next turn reads it */
        return;
}

static void epoll_turn(void *state, conc_deadline until)
{
    struct epoll *e = state;
    int n = epoll_sleep(e, until);
    for (int i = 0; i < n; i++) {
        if (e->events[i].data.fd == e->wake_fd)
            epoll_drain_wake(e->wake_fd);
        else
            epoll_descriptor_has(e, e->events[i].data.fd, e->events[i].events);
    }
}

/* ---- Making and freeing ---- */

/* An epoll that knows the eventfd. */
static int epoll_open(int wake_fd, int *ret)
{
    struct epoll_event event = {.events = EPOLLIN, .data.fd = wake_fd};
    int fd = conc__fd_own(epoll_create1(EPOLL_CLOEXEC));
    if (fd < 0)
        return fd;
    if (epoll_ctl(fd, EPOLL_CTL_ADD, wake_fd, &event) != 0) {
        int err = -errno;
        close(fd);
        return err;
    }
    *ret = fd;
    return 0;
}

static int epoll_init(void **state, int wake_fd)
{
    struct epoll *e = alloc_one(struct epoll);
    if (!e)
        return -ENOMEM;
    int err = epoll_open(wake_fd, &e->fd);
    if (err) {
        free_bytes(e);
        return err;
    }
    e->wake_fd = wake_fd;
    e->lacks_pwait2 = RUNNING_ON_VALGRIND; /* 3.19 complains of it */
    *state = e;
    return 0;
}

static void epoll_fini(void *state)
{
    struct epoll *e = state;
    close(e->fd);
    free_bytes(e->descriptors);
    free_bytes(e);
}

/* The parent has the same epoll, so the child only closes its descriptor. */
static void epoll_forget(void *state)
{
    struct epoll *e = state;
    close(e->fd);
}

const struct backend conc__epoll = {
    .name = "epoll",
    .init = epoll_init,
    .fini = epoll_fini,
    .forget = epoll_forget,
    .start = epoll_start,
    .cancel = epoll_cancel,
    .closing = epoll_closing,
    .turn = epoll_turn,
};
