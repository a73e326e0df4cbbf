/* SPDX-License-Identifier: MIT
 *
 * conc/group.h: structured concurrency: a block of code and the jobs that it starts, which end
 * together.
 *
 *     int err = 0, item;
 *     conc_with_group (g, &err, conc_in(CONC_S(30))) {
 *         conc_group_submit(g, pool, produce, &queue, sizeof queue, NULL, 0);
 *         while ((err = conc_queue_get(&queue, &item, CONC_FOREVER)) == 0)
 *             sum += item;
 *     }
 *     // no job of the group runs any more; err is the first error of the body or of a job
 *
 * The block is the group's body, and lies in a scope of the group's own. When a member (a job of
 * the group) fails, the other members are cancelled, and the body too: what it blocks in returns
 * -ECANCELED. When the body fails, the members are cancelled. At the block's end all members are
 * waited for.
 *
 * Signal handlers: none of these calls may be made in one.
 */
#ifndef CONC_GROUP_H
#define CONC_GROUP_H

#include <conc/cond.h>
#include <conc/executor.h>

#ifdef __cplusplus
extern "C" {
#endif

struct conc__member;

/** All fields are private. */
typedef struct conc_group {
    conc_lock lock;                 /* of all that follows, but the scope */
    conc_cond idle;                 /* nothing is active any more */
    conc_scope scope;               /* of the body; cancelled with the lock, while it is open */
    struct conc__member *running;   /* members that have not ended, and are not cancelled */
    struct conc__member *cancelled; /* nor have these, but they are */
    struct conc__member *kept;      /* members that have ended, and whose futures are lent */
    size_t active;                  /* members that have not ended */
    uint32_t forks;                 /* of the process in which they are */
    conc_future *failed;            /* a member's, whose error is the group's; a reference */
    int error;                      /* the group's, if `failed` is NULL */
    bool open;
    bool ended;     /* cancelled, or a member or the body has failed: no more are taken */
    bool abandoned; /* nobody asks what it ends with */
} conc_group;

/**
 * Begin a group: what the caller does until conc_group_exit() is its body. For every day there is
 * conc_with_group(), which closes it by itself.
 *
 * @param group     uninitialised memory, borrowed until conc_group_exit(). A job that returns, or
 *                  leaves its thread (conc_fn), before it has closed a group that it opened ends
 *                  the program with a message: the members may still use that memory.
 * @param deadline  of body and members: when it comes the group ends with -ETIMEDOUT
 *
 * Python: TaskGroup.__aenter__()
 */
CONC_API void conc_group_enter(conc_group *group, conc_deadline deadline);

/**
 * End the body, wait until all members have ended, and leave the group. Members that may still
 * submit others are waited for with these. A member that does not block in libconc, and does not
 * ask conc_is_cancelled(), can delay it. A worker runs members that its own executor has not begun.
 *
 * @param err  the body's own error; other than 0: the members are cancelled
 * @return what came first: 0: all has gone well, or conc_group_cancel() was called; a member's
 *         error (then conc_describe() is its message); `err`, or, if that is -ECANCELED only
 *         because the group has ended, why it has; -ETIMEDOUT: the group's deadline; -ECANCELED:
 *         the caller was cancelled; -ESHUTDOWN: the executor of a member was shut down, and has
 *         cancelled it, or a fork has lost members. -EPERM: not a group that the caller has opened;
 *         nothing is done.
 *
 * Errors of members that come later are not told: mostly they are of the same cause. Each member's
 * future (conc_group_submit()) has its own.
 *
 * Python: TaskGroup.__aexit__()
 * [owner | yes | no (it ends at once, and cancels the members)]
 */
CONC_API int conc_group_exit(conc_group *group, int err);

/**
 * Submit a job to an executor as a member of the group. If that is refused the group ends, as if a
 * member had failed.
 *
 * @param executor     the executor; NULL: the loop of the calling task or callback (elsewhere it is
 *                     refused: -EINVAL)
 * @param ret          where the result is stored when the job has succeeded; NULL: not wanted.
 *                     Borrowed until the group is closed.
 * @param result_size  bytes of the result
 * @return the member's future, never NULL; borrowed until the group is closed (conc_future_ref()
 *         keeps it longer): to wait for the member, to ask how it has ended, to cancel it alone,
 *         which does not end the others. If the group has ended the future is cancelled; if the job
 *         was refused it has failed with what conc_submit() tells.
 *
 * Python: TaskGroup.create_task()
 * [any (opener, members) | as conc_submit() | as conc_submit()]
 */
CONC_API conc_future *conc_group_submit(conc_group *group, conc_executor *executor, conc_fn *fn,
                                        const void *arg, size_t arg_size, void *ret,
                                        size_t result_size);

/**
 * The same for a member for which nobody is going to ask: nothing of it is kept once it has ended.
 * So a group may start any number of them, as a server does.
 *
 * @return 0; -ECANCELED: the group has ended; the error with which the job was refused, and with
 *         which the group has ended
 *
 * Python: Nursery.start_soon() of trio
 * [any (opener, members) | as conc_submit() | as conc_submit()]
 */
CONC_API int conc_group_start_soon(conc_group *group, conc_executor *executor, conc_fn *fn,
                                   const void *arg, size_t arg_size);

/**
 * End the group early, and well: the members and the body are cancelled, and the group's result is
 * 0 unless a member has failed.
 *
 * Python: CancelScope.cancel() of a trio nursery
 * [any (opener, members) | no (callbacks of pending members run in it) | no]
 */
CONC_API void conc_group_cancel(conc_group *group);

/* ---- conc_with_group ---- */

struct conc__group_block {
    conc_group group;
    int *err;
    bool open;
    bool whole; /* the body has come to its end */
};

static inline struct conc__group_block *conc__group_begin(struct conc__group_block *block, int *err,
                                                          conc_deadline deadline)
{
    conc_group_enter(&block->group, deadline);
    block->err = err;
    block->open = true;
    block->whole = false;
    return block;
}

/* After the body, or a `break` out of it. */
static inline void conc__group_end(struct conc__group_block *block)
{
    if (!block->whole)
        conc_group_cancel(&block->group);
    block->open = false;
    *block->err = conc_group_exit(&block->group, *block->err);
}

/* The body was left by `return` or `goto`, or by an exception. */
static inline void conc__group_leave(struct conc__group_block *block)
{
    if (!block->open)
        return;
    conc_group_cancel(&block->group);
    block->group.abandoned = true;
    conc_group_exit(&block->group, 0);
}

/**
 * `conc_with_group (g, &err, deadline) { ... }`: a group `g` (a conc_group *) whose body is the
 * block. `err` is an int, 0 at first; what the body leaves in it is the body's own error, and after
 * the block it is what conc_group_exit() has returned. `break` out of the block ends the group as
 * conc_group_cancel() does, and then as always; so do `return` and `goto`, but `err` stays what it
 * is.
 */
#define conc_with_group(g, err, deadline) \
    CONC__WITH_GROUP(g, err, deadline, CONC__CONCAT(conc__group_, __COUNTER__))
#define CONC__WITH_GROUP(g, err, deadline, block)                                                \
    for (struct conc__group_block block __attribute__((cleanup(conc__group_leave))),             \
         *CONC__CONCAT(block, _once) = conc__group_begin(&block, (err), (deadline));             \
         CONC__CONCAT(block, _once); conc__group_end(&block), CONC__CONCAT(block, _once) = NULL) \
        for (conc_group *g = &block.group; g; block.whole = true, g = NULL)

#ifdef __cplusplus
}
#endif
#endif
