/* SPDX-License-Identifier: MIT
 *
 * uring.c: the io_uring backend. An op goes into the submission queue when it is started. All of
 * them go to the kernel once a turn, by the same system call that waits for completions. The kernel
 * is entered nowhere else. There is one thread, so no memory order matters but that of the rings,
 * which is liburing's.
 *
 * An op has a slot (slots.h) from its start to its end, and the slot has a phase (here without
 * SLOT_):
 *
 *     WAITING      the op is in `todo`: there was no room for its entry
 *     ENTERED      it has one entry, in the submission queue or in the kernel
 *     CANCEL_DUE   the same, and it is in `todo`: the entry that cancels it is to be made; there
 *                  was no room for it, or the last one has found nothing
 *
 *     start        -> ENTERED, or WAITING
 *     WAITING      -> ENTERED (room), end (cancelled)
 *     ENTERED      -> CANCEL_DUE (cancelled, and no room, or the request has found nothing),
 *                     WAITING (its entry is over, and there is no room for that of the next step),
 *                     end
 *     CANCEL_DUE   -> ENTERED (room), end
 *
 * No completion is lost or doubled: each entry has just one completion, an op has at most one entry
 * at a time, and an op that the kernel knows ends or goes on only by that completion. A request to
 * cancel changes nothing else. So when an op has ended, the kernel has none of its memory in hand.
 * An op that the kernel does not know yet, because its entry has not been submitted, ends
 * immediately: the entry becomes a no-op that belongs to no op.
 *
 * A request to cancel may find nothing (-ENOENT) although the op goes on: the kernel takes some of
 * them up again and again, and between two attempts they are on none of its lists. (Seen with a
 * connect to a Unix socket whose backlog is full, which then would wait for ever.) So it is
 * repeated, once a turn, until the op's own completion is there. Each turn makes the kernel go on
 * with the op, so that ends soon.
 *
 * A cancelled op ends with its result if it had one all the same; else with -ECANCELED, or with
 * -EBADF if it was cancelled because its descriptor is about to be closed. An entry that was not
 * submitted before the close would act on the file that has the descriptor's number then; this is
 * another reason for the no-op.
 *
 * Steps: most ops are one entry (STEP_OWN). -EAGAIN says that the kernel would not wait (a
 * descriptor in non-blocking mode, on some kernels). Then an entry follows that waits until the
 * descriptor is ready (STEP_READY), then an attempt by a system call, and so on; or a thread makes
 * the call, where only one that waits can do it (op->by_thread), and on files. The same if the
 * kernel, or what implements the file, says -ECANCELED without having been asked to cancel: that
 * error is for the caller's own cancellation.
 *
 * There is no limit to the ops in the kernel. An op that had to wait for others to end might wait
 * for ever: thousands of silent connections would keep the next one from being heard. The
 * completion queue needs no limit either: see ring.c. What is limited is a turn.
 *
 * A connect that was cancelled leaves its socket in an unknown state; the socket can only be
 * closed.
 *
 * Waking: a READ of the driver's eventfd is always under way. The eventfd is in blocking mode,
 * since the kernel would not wait for one in non-blocking mode.
 */
#include <unistd.h>

#include "backend/backends.h"
#include "backend/uring/entry.h"
#include "backend/uring/slots.h"
#include "base/alloc.h"
#include "base/clock.h"
#include "base/invariant.h"
#include "op/offload.h"

/* How often a turn enters the kernel at most, while there is more to submit or to post than one
 * system call can. Then the ready list and the timers come next. */
enum { ENTERS_PER_TURN_MAX = 16 };

/* The kernel's own errors for a system call that is to be restarted: ERESTARTSYS to
 * ERESTART_RESTARTBLOCK. No system call returns them; no header of the C library names them. */
enum { KERNEL_RESTART_FIRST = 512, KERNEL_RESTART_LAST = 516 };

struct uring {
    struct ring ring; /* first: for tests */
    struct slots slots;
    struct list todo; /* ops that wait for room in the submission queue; see above */
    int wake_fd;
    bool wake_armed;     /* its entry is in the submission queue or in the kernel */
    uint64_t wake_count; /* the kernel reads the eventfd into it */
};

_Static_assert(offsetof(struct uring, ring) == 0, "tests take the backend's state for its ring");

/* ---- Entries ---- */

/* false: no room. */
static bool slot_enter(struct uring *io, struct slot *slot)
{
    struct io_uring_sqe *sqe = ring_entry(&io->ring, &slot->place);
    if (!sqe)
        return false;
    if (slot->step == STEP_OWN)
        conc__entry_prepare(sqe, &io->ring, slot->op);
    else
        conc__entry_prepare_wait(sqe, slot->op);
    slot->quiet = slot->op->code == OP_WRITE && io->ring.no_sigpipe;
    sqe->user_data = slot_name(&io->slots, slot);
    slot->phase = SLOT_ENTERED;
    return true;
}

static bool slot_enter_cancel(struct uring *io, struct slot *slot)
{
    uint32_t place;
    struct io_uring_sqe *sqe = ring_entry(&io->ring, &place);
    if (!sqe)
        return false;
    io_uring_prep_cancel64(sqe, slot_name(&io->slots, slot), 0);
    sqe->user_data = slot_name(&io->slots, slot) | NAME_CANCELS;
    slot->phase = SLOT_ENTERED;
    return true;
}

static bool uring_enter_wake(struct uring *io)
{
    uint32_t place;
    struct io_uring_sqe *sqe = io->wake_armed ? NULL : ring_entry(&io->ring, &place);
    if (sqe) {
        io_uring_prep_read(sqe, io->wake_fd, &io->wake_count, sizeof io->wake_count, 0);
        sqe->user_data = NAME_OF_WAKE;
        io->wake_armed = true;
    }
    return io->wake_armed;
}

/* The next turn enters the request to cancel. */
static void slot_make_cancel_due(struct uring *io, struct slot *slot)
{
    slot->phase = SLOT_CANCEL_DUE;
    list_push(&io->todo, &slot->op->node);
}

/* An op does not overtake those that wait for room. */
static void slot_enter_or_wait(struct uring *io, struct slot *slot)
{
    if (list_is_empty(&io->todo) && slot_enter(io, slot))
        return;
    slot->phase = SLOT_WAITING;
    list_push(&io->todo, &slot->op->node);
}

/* Enter what waits, as far as there is room. True: everything is in the queue. */
static bool uring_enter_todo(struct uring *io)
{
    struct list_node *node;
    if (!uring_enter_wake(io))
        return false;
    while ((node = io->todo.head)) {
        struct slot *slot = slot_of(&io->slots, list_entry(node, struct op, node));
        if (!(slot->phase == SLOT_WAITING ? slot_enter(io, slot) : slot_enter_cancel(io, slot)))
            return false;
        list_remove(&io->todo, node);
    }
    return true;
}

/* ---- An op's end, or its next step ---- */

static void slot_leave_todo(struct uring *io, struct slot *slot)
{
    if (slot->phase != SLOT_ENTERED)
        list_remove(&io->todo, &slot->op->node);
}

/* The op is in no list, and has no entry. A part that was received is a success. */
static void slot_end(struct uring *io, struct slot *slot, ssize_t result)
{
    struct op *op = slot->op;
    conc__slots_remove(&io->slots, slot);
    conc__op_complete(op, result < 0 && op->moved ? op->moved : result);
}

static void slot_end_without_effect(struct uring *io, struct slot *slot)
{
    slot_end(io, slot, slot->closed ? -EBADF : -ECANCELED);
}

static void slot_offload(struct uring *io, struct slot *slot, bool may_wait)
{
    struct op *op = slot->op;
    conc__slots_remove(&io->slots, slot);
    conc__offload_start(op, may_wait);
}

/* Wait until its descriptor is ready. */
static void slot_await(struct uring *io, struct slot *slot)
{
    int err = conc__identity_note(&slot->identity, slot->op->fd);
    slot->step = STEP_READY;
    if (err)
        slot_end(io, slot, err);
    else
        slot_enter_or_wait(io, slot);
}

/* `result`: of an attempt by a system call. */
static void slot_attempted(struct uring *io, struct slot *slot, ssize_t result)
{
    if (result == -EAGAIN && slot->step == STEP_READY && slot->op->by_thread)
        slot_offload(io, slot, true);
    else if (result == -EAGAIN && conc__op_events(slot->op))
        slot_await(io, slot);
    else
        slot_end(io, slot, result);
}

/* The kernel would have had to wait, and does not. */
static void slot_await_ready(struct uring *io, struct slot *slot)
{
    if (slot->op->kind == FD_FILE)
        slot_offload(io, slot, false);
    else
        slot_await(io, slot);
}

static void slot_begin(struct uring *io, struct slot *slot)
{
    if (conc__entry_way(&io->ring, slot->op) == WAY_READY)
        slot_attempted(io, slot, conc__perform(slot->op, false));
    else
        slot_enter_or_wait(io, slot);
}

/* The op's own entry is over. */
static void slot_own_step_over(struct uring *io, struct slot *slot, ssize_t result)
{
    if (slot->quiet && result == -EOPNOTSUPP) { /* an older kernel: again, without the flag */
        io->ring.no_sigpipe = 0;
        result = -EINTR;
    }
    if (slot->op->code == OP_POLL && result > 0)
        result &= (uint16_t)conc__op_events(slot->op); /* it says POLLRDHUP unasked */
    /* -EINVAL: a device that has no readiness has not these events */
    const bool nothing_there = slot->op->code == OP_POLL && (result == 0 || result == -EINVAL);
    bool no_effect = result == -EINTR || result == -EAGAIN || result == -ECANCELED || nothing_there;
    if (slot->cancelled && no_effect)
        slot_end_without_effect(io, slot);
    else if (result == -EINTR)
        slot_begin(io, slot);
    else if (nothing_there)
        slot_offload(io, slot, true); /* an entry would end at once again */
    else if (no_effect)
        slot_await_ready(io, slot);
    else
        slot_end(io, slot, result);
}

/* The entry that waited until the descriptor is ready is over. */
static void slot_ready_step_over(struct uring *io, struct slot *slot, ssize_t result)
{
    if (slot->cancelled)
        slot_end_without_effect(io, slot);
    else if (result < 0 && result != -EINTR && result != -ECANCELED)
        slot_end(io, slot, result);
    else
        slot_attempted(io, slot, conc__identity_perform(&slot->identity, slot->op));
}

/* ---- Turns ---- */

/* A request to cancel the op of that name is over, perhaps after the op. */
static void slot_cancel_over(struct uring *io, uint64_t name, int result)
{
    struct slot *slot = slot_named(&io->slots, name);
    if (result != -ENOENT || !slot || slot->phase != SLOT_ENTERED)
        return;
    slot_make_cancel_due(io, slot);
}

static void slot_entry_over(struct uring *io, uint64_t name, int result)
{
    struct slot *slot = slot_named(&io->slots, name);
    invariant(slot, "a completion belongs to an op that has not ended");
    slot_leave_todo(io, slot);
    /* The kernel's workers have been seen to report what interrupts a system call inside it. */
    if (result <= -KERNEL_RESTART_FIRST && result >= -KERNEL_RESTART_LAST)
        result = -EINTR;
    if (slot->step == STEP_OWN)
        slot_own_step_over(io, slot, result);
    else
        slot_ready_step_over(io, slot, result);
}

static void uring_completed(struct uring *io, uint64_t name, int result)
{
    if (name == NAME_OF_WAKE)
        io->wake_armed = false;
    else if (name == NAME_OF_NONE)
        return;
    else if (name & NAME_CANCELS)
        slot_cancel_over(io, name & ~NAME_CANCELS, result);
    else
        slot_entry_over(io, name, result);
}

/* Take the completions that are there now, and not those that are added meanwhile. */
static void uring_take_completions(struct uring *io)
{
    uint64_t name;
    int result;
    for (unsigned n = io_uring_cq_ready(&io->ring.uring); n; n--)
        if (ring_take(&io->ring, &name, &result))
            uring_completed(io, name, result);
}

static void uring_turn(void *state, conc_deadline until)
{
    struct uring *io = state;
    bool more = true;
    for (int i = 0; i < ENTERS_PER_TURN_MAX && more; i++) {
        bool all_in = uring_enter_todo(io);
        conc__ring_enter(&io->ring, all_in && i == 0 ? until : CONC_NOW);
        uring_take_completions(io);
        more = !all_in || ring_owes(&io->ring);
    }
}

/* ---- The rest of the table ---- */

static void uring_put(struct uring *io, struct op *op)
{
    struct slot *slot = conc__slots_put(&io->slots, op, op->fd);
    if (slot)
        slot_begin(io, slot);
    else
        conc__op_complete(op, -ENOMEM);
}

static void uring_start(void *state, struct op *op)
{
    struct uring *io = state;
    int err = conc__op_ask(op);
    op->slot = 0;
    if (err) {
        conc__op_complete(op, err);
        return;
    }
    enum op_way way = conc__entry_way(&io->ring, op);
    if (way == WAY_CALL)
        conc__op_complete(op, conc__perform(op, true));
    else if (way == WAY_ENTRY || way == WAY_READY)
        uring_put(io, op);
    else
        conc__offload_start(op, way == WAY_WAITS);
}

static void slot_cancel(struct uring *io, struct slot *slot)
{
    if (slot->cancelled)
        return;
    slot->cancelled = true;
    struct io_uring_sqe *unsent = NULL;
    if (slot->phase == SLOT_ENTERED)
        unsent = ring_unsent(&io->ring, slot->place, slot_name(&io->slots, slot));
    if (unsent) {
        io_uring_prep_nop(unsent);
        unsent->user_data = NAME_OF_NONE;
        slot_end_without_effect(io, slot);
    } else if (slot->phase == SLOT_WAITING) {
        slot_leave_todo(io, slot);
        slot_end_without_effect(io, slot);
    } else if (!list_is_empty(&io->todo) || !slot_enter_cancel(io, slot)) {
        slot_make_cancel_due(io, slot);
    }
}

static void uring_cancel(void *state, struct op *op)
{
    struct uring *io = state;
    if (op->slot)
        slot_cancel(io, slot_of(&io->slots, op));
    else
        conc__offload_cancel(op);
}

static void uring_closing(void *state, int fd)
{
    struct uring *io = state;
    uint32_t used = io->slots.used;
    /* By index: a completion may start another op, and then the table may move. */
    for (uint32_t i = 0; i < used && slots_may_use(&io->slots, fd); i++) {
        struct slot *slot = &io->slots.table[i];
        if (slot->op && slot->fd == fd) {
            slot->closed = true;
            slot_cancel(io, slot);
        }
    }
}

static int uring_init(void **state, int wake_fd)
{
    struct uring *io = alloc_one(struct uring);
    if (!io)
        return -ENOMEM;
    int err = conc__ring_init(&io->ring);
    if (err) {
        free_bytes(io);
        return err;
    }
    io->wake_fd = wake_fd;
    *state = io;
    return 0;
}

static void uring_fini(void *state)
{
    struct uring *io = state;
    const uint64_t one = 1;
    /* The kernel must not write to io->wake_count any more. */
    if (io->wake_armed && write(io->wake_fd, &one, sizeof one) == sizeof one)
        while (io->wake_armed) {
            conc__ring_enter(&io->ring, CONC_FOREVER);
            uring_take_completions(io);
        }
    conc__ring_fini(&io->ring);
    free_bytes(io->slots.table);
    free_bytes(io);
}

static void uring_forget(void *state)
{
    struct uring *io = state;
    conc__ring_forget(&io->ring);
}

const struct backend conc__uring = {
    .name = "io_uring",
    .init = uring_init,
    .fini = uring_fini,
    .forget = uring_forget,
    .start = uring_start,
    .cancel = uring_cancel,
    .closing = uring_closing,
    .turn = uring_turn,
};
