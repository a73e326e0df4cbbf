/* SPDX-License-Identifier: MIT
 *
 * group.c: structured concurrency: a body, and jobs that end together with it.
 *
 * The states of a group:
 *
 *     open           members are taken
 *     open, ended    no more are taken; members and body are being cancelled, or are about to be
 *     closed         the body has left the group's scope: nothing of the body is cancelled any more
 *
 *     open -> ended    a member fails, the program cancels the group, the body fails or is
 *                      cancelled, or the deadline comes: what comes first, under the lock, is what
 *                      the group ends with (`failed`, or else `error`)
 *     -> closed        in conc_group_exit(), when nothing is active any more
 *
 * How: each member is a job with a callback at its end. A member is active from its submission
 * until its callback is over, so when nothing is active no code of the group's runs any more, and
 * it may be destroyed (the future being done is not enough: its callback may still be running).
 *
 * A job is a member before it is submitted: the submission may wait for room, or run the job
 * itself, and the member can be cancelled meanwhile like any other. Once it has been submitted the
 * group may be gone, so its submitter does not touch the group again.
 *
 * A member that has ended is freed in its callback, unless its future has been lent
 * (conc_group_submit()): then it is kept until the end.
 *
 * Cancelling a member calls back into this file (a pending one ends at once, in the canceller), so
 * it is done with the lock released, member by member, each of which goes from one list to another
 * before. `ended` is set before, and then no more are taken: so none is missed.
 *
 * The body is cancelled through the group's scope, under the lock and while the group is open:
 * conc_group_exit() clears `open` under the lock before it leaves the scope, so the scope and its
 * context are there. A body that returns -ECANCELED after the group has ended is taken to have been
 * told by that.
 *
 * A fork's child has no members, but perhaps a group that waits for them, whose lock a lost thread
 * may hold. So there it takes no lock. `forks` changes only while nothing is active, hence in the
 * body; and if it is another process's, no context of this one changes `active`.
 */
#include <conc/group.h>

#include "base/alloc.h"
#include "base/invariant.h"
#include "executor/submit.h"
#include "future/callbacks.h"
#include "future/future_impl.h"
#include "future/unobserved.h"

struct conc__member {
    struct conc_group *group;
    struct conc__member *next, *prev; /* in one of the group's lists, circular */
    conc_future *future;              /* a reference */
    void *ret;
    bool lent;      /* its future */
    bool cancelled; /* it lies in group->cancelled; by the group */
};

/* ---- Lists of members, with the lock ---- */

static void member_push(struct conc__member **list, struct conc__member *m)
{
    struct conc__member *first = *list ? *list : (*list = m->prev = m);
    m->next = first;
    m->prev = first->prev;
    first->prev->next = m;
    first->prev = m;
}

static void member_remove(struct conc__member **list, struct conc__member *m)
{
    if (*list == m)
        *list = m->next == m ? NULL : m->next;
    m->prev->next = m->next;
    m->next->prev = m->prev;
}

/* Move the first of a list to the end of another, or of the same. Returns its future with a
 * reference; NULL: there is none. */
static conc_future *member_move_first(struct conc__member **from, struct conc__member **to)
{
    struct conc__member *m = *from;
    if (!m)
        return NULL;
    member_remove(from, m);
    member_push(to, m);
    return conc_future_ref(m->future);
}

static void member_free(struct conc__member *m)
{
    conc_future_unref(m->future);
    free_bytes(m);
}

/* ---- Ending ---- */

static conc_future *group_next_to_cancel(conc_group *group)
{
    conc_future *f = NULL;
    conc_with_lock (&group->lock) {
        if (group->running)
            group->running->cancelled = true;
        f = member_move_first(&group->running, &group->cancelled);
    }
    return f;
}

static void group_cancel_members(conc_group *group)
{
    conc_future *f;
    while ((f = group_next_to_cancel(group))) {
        conc_future_cancel(f);
        conc_future_unref(f);
    }
}

/* With the lock: it ends, if it has not yet. Its members are still to be cancelled. */
static void group_set_ended(conc_group *group, int err)
{
    if (group->ended)
        return;
    group->ended = true;
    group->error = err;
}

/* The same, and what its body blocks in ends. */
static void group_end(conc_group *group, int err)
{
    if (group->open && !group->ended)
        conc_scope_cancel(&group->scope);
    group_set_ended(group, err);
}

/* With the lock: that future's error ends the group. What comes after another error is not the
 * group's. */
static void group_set_failed(conc_group *group, conc_future *future)
{
    if (!group->failed && !group->error)
        group->failed = conc_future_ref(future);
    group_end(group, 0);
}

static void group_fail(conc_group *group, conc_future *future)
{
    conc_with_lock (&group->lock)
        group_set_failed(group, future);
    group_cancel_members(group);
}

/* A member was cancelled. If its executor did that, when it was shut down, the group fails: it must
 * not end well without that member; and if its submitter was cancelled as it submitted it, unless
 * the group did that. If the group or the program has cancelled it, all is well. */
static void group_note_cancelled(conc_group *group, const struct conc__member *m)
{
    bool fails = false;
    conc_with_lock (&group->lock) {
        bool dropped = !m->cancelled && future_was_dropped(m->future);
        bool missing = !m->cancelled && future_was_refused(m->future) && !group->ended;
        if (dropped)
            group_set_failed(group, m->future);
        else if (missing)
            group_end(group, -ECANCELED);
        fails = dropped || missing;
    }
    if (fails)
        group_cancel_members(group);
}

void conc_group_cancel(conc_group *group)
{
    conc_with_lock (&group->lock)
        group_end(group, 0);
    group_cancel_members(group);
}

/* With the lock: something that was active is so no more. */
static void group_count_out(conc_group *group)
{
    if (--group->active == 0)
        conc_cond_notify_all(&group->idle);
}

/* ---- Members ---- */

static void member_ended(conc_future *future, void *arg)
{
    struct conc__member *m = arg;
    conc_group *group = m->group;
    const bool lent = m->lent;
    if (!future->error && m->ret && conc__future_copy_value(future, m->ret))
        group_fail(group, conc__future_no_memory());
    if (conc_future_is_cancelled(future))
        group_note_cancelled(group, m);
    else if (conc_future_error(future)) /* this observes it: the group tells the first */
        group_fail(group, future);
    conc_with_lock (&group->lock) {
        member_remove(m->cancelled ? &group->cancelled : &group->running, m);
        if (lent)
            member_push(&group->kept, m);
        group_count_out(group);
    }
    /* If it is not lent only this context knows it. */
    if (!lent)
        member_free(m);
}

/* A member with a job, which is refused unless the group is open; the job's callback ends it. NULL:
 * there is no memory. */
static struct conc__member *member_new(conc_group *group, conc_future *job, void *ret, bool lent)
{
    struct conc__member *m = alloc_one(struct conc__member);
    if (!m || conc__future_add_hook(job, member_ended, m)) {
        free_bytes(m);
        return NULL;
    }
    *m = (struct conc__member){.group = group, .future = job, .ret = ret, .lent = lent};
    return m;
}

/* Make it active. False: the group has ended, and so must it. */
static bool group_add(conc_group *group, struct conc__member *m)
{
    bool taken = false;
    conc_with_lock (&group->lock) {
        if (group->active == 0)
            group->forks = conc__forks();
        taken = !group->ended;
        group->active++;
        member_push(taken ? &group->running : &group->cancelled, m);
        m->cancelled = !taken;
    }
    return taken;
}

/* The job (NULL: there is no memory for it) as a member. Returns its future; *refused: 0, or why it
 * does not run. */
static conc_future *group_submit_job(conc_group *group, conc_executor *executor, conc_future *job,
                                     void *ret, bool lent, int *refused)
{
    struct conc__member *m = job ? member_new(group, job, ret, lent) : NULL;
    if (!m) {
        conc_future_unref(job);
        *refused = -ENOMEM;
        conc_future *failed = conc__future_no_memory();
        group_fail(group, failed);
        return failed; /* it lives for ever */
    }
    conc_future_ref(job);
    *refused = -ECANCELED;
    if (group_add(group, m))
        *refused = conc__executor_submit(executor, job);
    else
        future_cancel_pending(job);
    /* The group may be gone, if this is neither its body nor a member. */
    conc_future_unref(job); /* if it is lent the group has another reference */
    return job;
}

static conc_future *group_submit(conc_group *group, conc_executor *executor, conc_fn *fn,
                                 const void *arg, size_t arg_size, void *ret, size_t result_size,
                                 bool lent, int *refused)
{
    if (!executor)
        executor = context_self()->submits_to;
    const bool valid = executor && fn && !arg_is_missing(arg, arg_size);
    conc_future *job = conc__job_new(fn, arg, valid ? arg_size : 0, result_size);
    if (job)
        job->executor = executor;
    return group_submit_job(group, valid ? executor : NULL, job, ret, lent, refused);
}

conc_future *conc_group_submit(conc_group *group, conc_executor *executor, conc_fn *fn,
                               const void *arg, size_t arg_size, void *ret, size_t result_size)
{
    int refused;
    return group_submit(group, executor, fn, arg, arg_size, ret, result_size, true, &refused);
}

int conc_group_start_soon(conc_group *group, conc_executor *executor, conc_fn *fn, const void *arg,
                          size_t arg_size)
{
    int refused;
    group_submit(group, executor, fn, arg, arg_size, NULL, 0, false, &refused);
    return refused;
}

/* ---- Opening and closing ---- */

void conc_group_enter(conc_group *group, conc_deadline deadline)
{
    *group = (conc_group){.open = true, .forks = conc__forks()};
    conc_cond_init(&group->idle, &group->lock);
    conc_scope_enter(&group->scope, deadline);
    group->scope.context->open_groups++;
}

static bool group_is_idle(void *arg) { return ((conc_group *)arg)->active == 0; }

/* Not if it is idle already: then it has come to a good end, even if its time is over. */
static int group_wait_idle(conc_group *group)
{
    int err = 0;
    conc_with_lock (&group->lock)
        if (!group_is_idle(group))
            err = conc_cond_wait_for(&group->idle, group_is_idle, group, CONC_FOREVER);
    return err;
}

static void group_wait_idle_firmly(conc_group *group)
{
    conc_scope shield;
    conc_shield_enter(&shield);
    group_wait_idle(group);
    conc_shield_exit(&shield);
}

/* A worker that waits for jobs of its own executor runs those that have not begun. */
static void group_help_members(conc_group *group)
{
    size_t n = 0;
    conc_with_lock (&group->lock)
        n = group->active;
    while (n-- > 0 && future_may_help(CONC_FOREVER)) {
        conc_future *f = NULL;
        conc_with_lock (&group->lock)
            f = member_move_first(&group->running, &group->running);
        if (!f)
            return;
        conc__future_help(f, CONC_FOREVER, false);
        conc_future_unref(f);
    }
}

/* The body has ended with `err`. Returns whether the members are to be cancelled. */
static bool group_note_body(conc_group *group, int err)
{
    bool ended = false;
    conc_with_lock (&group->lock) {
        if (err)
            group_set_ended(group, err);
        /* After conc_group_cancel() an error of the body's own counts, too. */
        if (err != -ECANCELED && !group->failed && !group->error)
            group->error = err;
        ended = group->ended;
    }
    return ended;
}

static bool group_wait_members(conc_group *group)
{
    if (context_self()->works_for)
        group_help_members(group);
    return group_note_body(group, group_wait_idle(group));
}

static bool group_is_late(const conc_group *group)
{
    const conc_deadline deadline = group->scope.deadline;
    return !deadline_is_forever(deadline) && conc__deadline_is_past(deadline);
}

/* What the group ends with; its scope has been left. */
static int group_outcome(const conc_group *group, int body_err)
{
    conc_future *failed = group->failed;
    if (failed && future_was_dropped(failed))
        return conc_raise(-ESHUTDOWN, "the executor of a member was shut down");
    if (failed)
        return conc_future_result(failed, NULL, CONC_NOW);
    if (!group->error && body_err == -ECANCELED) /* by the program's conc_group_cancel()? */
        return conc_check_cancel();
    if (group->error == -ECANCELED && !conc_check_cancel() && group_is_late(group))
        return -ETIMEDOUT;
    return group->error;
}

static void group_leave_scope(conc_group *group, struct conc_context *self)
{
    self->open_groups--;
    conc_scope_exit(&group->scope);
}

static void group_free(conc_group *group)
{
    struct conc__member *m;
    while ((m = group->kept)) {
        member_remove(&group->kept, m);
        member_free(m);
    }
    conc_future_unref(group->failed);
}

int conc_group_exit(conc_group *group, int err)
{
    struct conc_context *self = context_self();
    if (!group->open || group->scope.context != self)
        return -EPERM;
    if (self->scope != &group->scope)
        conc__misuse("a group is closed before a scope or group that was entered in it");
    if (group->forks != conc__forks() && group->active) {
        group_leave_scope(group, self);
        return -ESHUTDOWN;
    }
    if (group_note_body(group, err) || group_wait_members(group)) {
        group_cancel_members(group);
        group_wait_idle_firmly(group);
    }
    conc_with_lock (&group->lock)
        group->open = false;
    group_leave_scope(group, self);
    int outcome = group_outcome(group, err);
    if (group->abandoned && outcome) { /* nobody learns of it otherwise */
        const char *message = conc__message_for(self, outcome);
        conc__report_unobserved(outcome, message ? message : "");
    }
    group_free(group);
    return outcome;
}
