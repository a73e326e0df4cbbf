/* SPDX-License-Identifier: MIT
 *
 * group.c: structured concurrency: jobs that end together.
 *
 * How: each member is a job with a callback at its end. The callback of the first that fails (or is cancelled, but not by the group)
 * ends the group: it cancels the others. A
 * member is active from its submission until its callback is over, so when none is active nothing of the group's runs any more,
 * and it may be destroyed (the future being done is not enough: its callback may still be running).
 *
 * Cancelling calls back into this file (a pending member ends at once, in the canceller), so it is done with the lock released, member by
 * member. `ended` is set before, under the lock: a submitter that finds it set after it has entered its member's future cancels
 * that one itself; so none is missed.
 */
#include <conc/group.h>

#include "base/alloc.h"
#include "future/future_impl.h"

struct conc__member {
    struct conc_group *group;
    conc_future *future; /* NULL: being submitted. Under the group's lock */
    void *ret;
};

void conc_group_init(conc_group *group)
{
    *group = (conc_group){0};
    conc_cond_init(&group->idle, &group->lock);
}

/* ---- Members ---- */

/* The i-th member's future with a reference; NULL: being submitted, or no such member. */
static conc_future *future_of(conc_group *group, size_t i)
{
    conc_future *f = NULL;
    conc_with_lock (&group->lock)
        if (i < group->count && group->members[i]->future)
            f = conc_future_ref(group->members[i]->future);
    return f;
}

static void cancel_members(conc_group *group)
{
    for (size_t i = 0; i < conc_group_count(group); i++) {
        conc_future *f = future_of(group, i);
        if (f)
            conc_future_cancel(f);
        conc_future_unref(f);
    }
}

/* The future has failed: that ends the group. */
static void fail(conc_group *group, conc_future *future)
{
    bool first = false;
    conc_with_lock (&group->lock) {
        first = !group->ended;
        if (!group->failed && (first || !conc_future_is_cancelled(future)))
            group->failed = conc_future_ref(future);
        group->ended = true;
    }
    if (first)
        cancel_members(group);
}

static void member_ended(conc_future *future, void *arg)
{
    struct conc__member *m = arg;
    conc_group *group = m->group;
    if (conc_future_error(future)) /* the group keeps it, and reports it */
        fail(group, future);
    conc_with_lock (&group->lock)
        if (--group->active == 0)
            conc_cond_notify_all(&group->idle);
}

/* With the lock. */
static int add_member(conc_group *group, struct conc__member *m)
{
    if (group->count == group->room) {
        size_t room = group->room ? 2 * group->room : 8;
        struct conc__member **more = alloc_array(room, sizeof *more);
        if (!more)
            return -ENOMEM;
        for (size_t i = 0; i < group->count; i++)
            more[i] = group->members[i];
        free_bytes(group->members);
        group->members = more;
        group->room = room;
    }
    group->members[group->count++] = m;
    group->active++;
    return 0;
}

ptrdiff_t conc_group_submit(conc_group *group, conc_executor *executor, conc_fn *fn, const void *arg, size_t arg_size,
                            void *ret, size_t result_size)
{
    if (!executor || !fn || (arg_size && !arg))
        return -EINVAL;
    struct conc__member *m = alloc_one(struct conc__member);
    struct future_callback *callback = conc__callback_new(member_ended, m);
    ptrdiff_t index = -ENOMEM;
    if (!m || !callback)
        goto fail;
    *m = (struct conc__member){.group = group, .ret = ret};
    conc_with_lock (&group->lock) {
        index = group->ended ? -ECANCELED : add_member(group, m);
        if (index == 0)
            index = (ptrdiff_t)group->count - 1;
    }
    if (index < 0)
        goto fail;
    conc_future *f = conc_submit(executor, fn, arg, arg_size, result_size);
    bool ended = false;
    conc_with_lock (&group->lock) {
        m->future = f;
        ended = group->ended;
    }
    if (ended)
        conc_future_cancel(f);
    if (future_state(f) & FUTURE_REFUSED)
        index = conc_future_error(f);
    conc__callback_attach(f, callback); /* from here on the group may be gone */
    return index;
fail:
    free_bytes(callback);
    free_bytes(m);
    if (index == -ENOMEM)
        fail(group, conc__future_no_memory());
    return index;
}

/* ---- The end ---- */

void conc_group_cancel(conc_group *group)
{
    conc_with_lock (&group->lock)
        group->ended = true;
    cancel_members(group);
}

static bool is_idle(void *arg) { return ((conc_group *)arg)->active == 0; }

static int wait_idle(conc_group *group, conc_deadline deadline)
{
    int err = 0;
    conc_with_lock (&group->lock)
        err = conc_cond_wait_for(&group->idle, is_idle, group, deadline);
    return err;
}

/* A worker that waits for jobs of its own executor runs those that have not begun. */
static void help_members(conc_group *group, conc_deadline deadline)
{
    for (size_t i = 0; i < conc_group_count(group) && may_help(deadline); i++) {
        conc_future *f = future_of(group, i);
        if (f)
            conc__future_help(f);
        conc_future_unref(f);
    }
}

static void wait_idle_firmly(conc_group *group)
{
    conc_scope shield;
    conc_shield_begin(&shield);
    wait_idle(group, CONC_FOREVER);
    conc_shield_end(&shield);
}

/* All have ended: give the results, or the error that was first. */
static int collect(conc_group *group)
{
    for (size_t i = 0; i < group->count; i++) {
        struct conc__member *m = group->members[i];
        conc_future_result(m->future, m->ret, CONC_NOW);
        m->ret = NULL; /* it was borrowed until now */
    }
    if (group->failed)
        return conc_future_result(group->failed, NULL, CONC_NOW);
    return group->ended ? -ECANCELED : 0;
}

int conc_group_wait(conc_group *group, conc_deadline deadline)
{
    int err = checkpoint(deadline);
    if (!err && (err = wait_idle(group, CONC_NOW))) {
        if (deadline_is_now(deadline))
            return err;
        help_members(group, deadline);
        err = wait_idle(group, deadline);
    }
    if (err) {
        conc_group_cancel(group);
        wait_idle_firmly(group);
    }
    int end = collect(group);
    return group->failed || !err ? end : err;
}

size_t conc_group_count(conc_group *group)
{
    size_t n = 0;
    conc_with_lock (&group->lock)
        n = group->count;
    return n;
}

int conc_group_error(conc_group *group, size_t index, const char **message)
{
    if (index >= conc_group_count(group))
        return -EINVAL;
    conc_future *f = future_of(group, index);
    int err = f ? conc_future_error(f) : -EAGAIN;
    if (message)
        *message = f ? conc_future_message(f) : "";
    conc_future_unref(f);
    return err;
}

void conc_group_destroy(conc_group *group)
{
    if (wait_idle(group, CONC_NOW)) {
        conc_group_cancel(group);
        wait_idle_firmly(group);
    }
    for (size_t i = 0; i < group->count; i++) {
        conc_future_unref(group->members[i]->future);
        free_bytes(group->members[i]);
    }
    free_bytes(group->members);
    conc_future_unref(group->failed);
    conc_group_init(group);
}
