/* SPDX-License-Identifier: MIT
 *
 * group.c: structured concurrency: jobs that end together.
 *
 * How: each member is a job with a callback at its end. The callback of the first that fails (or is
 * cancelled, but not by the group) ends the group: it cancels the others. A member is active from
 * its submission until its callback is over, so when none is active nothing of the group's runs any
 * more, and it may be destroyed (the future being done is not enough: its callback may still be
 * running).
 *
 * A job is a member before it is submitted: the submission may wait for room, or run the job
 * itself, and the member can be cancelled meanwhile like any other. Once it has been submitted the
 * group may be gone, so its submitter does not touch the group again.
 *
 * Cancelling calls back into this file (a pending member ends at once, in the canceller), so it is
 * done with the lock released, member by member. `ended` is set before, under the lock, and then no
 * more members are taken: so none is missed.
 */
#include <conc/group.h>

#include "base/alloc.h"
#include "executor/submit.h"
#include "future/callbacks.h"
#include "future/future_impl.h"

enum { FIRST_MEMBERS = 8 }; /* a group has room for so many once it has a member */

struct conc__member {
    struct conc_group *group;
    conc_future *future; /* a reference */
    void *ret;
};

void conc_group_init(conc_group *group)
{
    *group = (conc_group){0};
    conc_cond_init(&group->idle, &group->lock);
}

/* ---- Members ---- */

/* To take the lock in a function that changes nothing else. */
static conc_group *group_to_lock(const conc_group *group) { return (conc_group *)(uintptr_t)group; }

/* The i-th member's future with a reference; NULL: no such member. */
static conc_future *group_future(conc_group *group, size_t i)
{
    conc_future *f = NULL;
    conc_with_lock (&group->lock)
        if (i < group->count)
            f = conc_future_ref(group->members[i]->future);
    return f;
}

static void group_cancel_members(conc_group *group)
{
    conc_future *f;
    for (size_t i = 0; (f = group_future(group, i)); i++) {
        conc_future_cancel(f);
        conc_future_unref(f);
    }
}

/* The future has failed, or was cancelled: that ends the group. */
static void group_fail(conc_group *group, conc_future *future)
{
    bool first = false;
    conc_with_lock (&group->lock) {
        if (!group->failed && !conc_future_is_cancelled(future))
            group->failed = conc_future_ref(future);
        first = !group->ended;
        group->ended = true;
    }
    if (first)
        group_cancel_members(group);
}

static void group_member_ended(conc_future *future, void *arg)
{
    struct conc__member *m = arg;
    conc_group *group = m->group;
    if (conc_future_error(future)) /* this observes the error: conc_group_wait() reports it */
        group_fail(group, future);
    conc_with_lock (&group->lock)
        if (--group->active == 0)
            conc_cond_notify_all(&group->idle);
}

/* With the lock. */
static int group_make_room(conc_group *group)
{
    size_t room = group->room ? 2 * group->room : FIRST_MEMBERS;
    struct conc__member **more = alloc_array(room, sizeof *more);
    if (!more)
        return -ENOMEM;
    for (size_t i = 0; i < group->count; i++)
        more[i] = group->members[i];
    free_bytes(group->members);
    group->members = more;
    group->room = room;
    return 0;
}

/* With the lock. Returns the member's index; -ECANCELED: the group has ended; -ENOMEM. */
static ptrdiff_t group_add_member(conc_group *group, struct conc__member *m)
{
    if (group->ended)
        return -ECANCELED;
    if (group->count == group->room && group_make_room(group))
        return -ENOMEM;
    group->members[group->count] = m;
    group->active++;
    return (ptrdiff_t)group->count++;
}

ptrdiff_t conc_group_submit(conc_group *group, conc_executor *executor, conc_fn *fn,
                            const void *arg, size_t arg_size, void *ret, size_t result_size)
{
    if (!executor)
        executor = context_self()->submits_to;
    if (!executor || !fn || (arg_size && !arg))
        return -EINVAL;
    ptrdiff_t index = -ENOMEM;
    conc_future *f = conc__job_new(fn, arg, arg_size, result_size);
    struct conc__member *m = alloc_one(struct conc__member);
    if (!f || !m || conc__future_add_hook(f, group_member_ended, m))
        goto fail;
    f->executor = executor;
    *m = (struct conc__member){.group = group, .future = f, .ret = ret};
    conc_with_lock (&group->lock)
        index = group_add_member(group, m);
    if (index < 0)
        goto fail;
    conc_future_ref(f);
    int refused = conc__executor_submit(executor, f); /* from here on the group may be gone */
    conc_future_unref(f);
    return refused ? refused : index;
fail:
    conc_future_unref(f);
    free_bytes(m);
    if (index == -ENOMEM)
        group_fail(group, conc__future_no_memory());
    return index;
}

/* ---- The end ---- */

void conc_group_cancel(conc_group *group)
{
    conc_with_lock (&group->lock)
        group->ended = true;
    group_cancel_members(group);
}

static bool group_is_idle(void *arg) { return ((conc_group *)arg)->active == 0; }

static int group_wait_idle(conc_group *group, conc_deadline deadline)
{
    int err = 0;
    conc_with_lock (&group->lock)
        err = conc_cond_wait_for(&group->idle, group_is_idle, group, deadline);
    return err;
}

/* A worker that waits for jobs of its own executor runs those that have not begun. */
static void group_help_members(conc_group *group, conc_deadline deadline)
{
    conc_future *f;
    for (size_t i = 0; future_may_help(deadline) && (f = group_future(group, i)); i++) {
        conc__future_help(f, deadline, false);
        conc_future_unref(f);
    }
}

static void group_wait_idle_firmly(conc_group *group)
{
    conc_scope shield;
    conc_shield_enter(&shield);
    group_wait_idle(group, CONC_FOREVER);
    conc_shield_exit(&shield);
}

/* Store a member's result where its submitter wanted it. -ENOMEM: for the copy of a conc_bytes. */
static int group_store_result(struct conc__member *m)
{
    int err = conc_future_result(m->future, m->ret, CONC_NOW);
    m->ret = NULL; /* it was borrowed until now */
    return conc_future_error(m->future) ? 0 : err;
}

/* Store the results of the members that have ended, once. 0, or the first error in doing so. With
 * the lock. */
static int group_store_results(conc_group *group)
{
    int first = 0;
    for (size_t i = 0; i < group->count; i++) {
        struct conc__member *m = group->members[i];
        int err = conc_future_is_done(m->future) ? group_store_result(m) : 0;
        if (!first)
            first = err;
    }
    return first;
}

/* The error of the whole group, whose wait has ended with `err`. With the lock. */
static int group_outcome(conc_group *group, int err)
{
    int lost = group_store_results(group);
    if (group->failed)
        return conc_future_result(group->failed, NULL, CONC_NOW);
    if (err)
        return err;
    if (lost)
        return lost;
    return group->ended ? -ECANCELED : 0;
}

/* It takes the lock, since others may still be submitting. */
static int group_collect(conc_group *group, int err)
{
    int outcome = err;
    conc_with_lock (&group->lock)
        outcome = group_outcome(group, err);
    return outcome;
}

/* Does it have jobs that a fork has lost? Not under the lock: its holder may be lost too. */
static bool group_is_lost(const conc_group *group)
{
    for (size_t i = 0; i < group->count; i++)
        if (future_is_lost(group->members[i]->future))
            return true;
    return false;
}

/* Wait until no member is active; -ESHUTDOWN: that never comes, since a fork has lost some. */
static int group_wait_members(conc_group *group, conc_deadline deadline)
{
    int err = wait_checkpoint(deadline);
    if (err)
        return err;
    if (conc__forks() && group_is_lost(group))
        return -ESHUTDOWN;
    err = group_wait_idle(group, CONC_NOW);
    if (!err || deadline_is_now(deadline))
        return err;
    group_help_members(group, deadline);
    return group_wait_idle(group, deadline);
}

int conc_group_wait(conc_group *group, conc_deadline deadline)
{
    int err = group_wait_members(group, deadline);
    if (err == -ESHUTDOWN || (err && deadline_is_now(deadline)))
        return err;
    if (err) {
        conc_group_cancel(group);
        group_wait_idle_firmly(group);
    }
    return group_collect(group, err);
}

size_t conc_group_size(const conc_group *group)
{
    size_t n = 0;
    conc_with_lock (&group_to_lock(group)->lock)
        n = group->count;
    return n;
}

int conc_group_error(const conc_group *group, size_t index, const char **message)
{
    conc_future *f = group_future(group_to_lock(group), index);
    if (!f)
        return -EINVAL;
    int err = conc_future_error(f);
    if (message)
        *message = conc_future_message(f);
    conc_future_unref(f); /* the group has one */
    return err;
}

void conc_group_destroy(conc_group *group)
{
    const bool lost = conc__forks() && group_is_lost(group);
    if (!lost && group_wait_idle(group, CONC_NOW)) {
        conc_group_cancel(group);
        group_wait_idle_firmly(group);
    }
    for (size_t i = 0; i < group->count; i++) {
        conc_future_unref(group->members[i]->future);
        free_bytes(group->members[i]);
    }
    free_bytes(group->members);
    conc_future_unref(group->failed);
    conc_group_init(group);
}
