/* SPDX-License-Identifier: MIT
 *
 * conc/group.h: structured concurrency: no job of a group outlives conc_group_wait(); the first
 * error cancels the rest, and every error is kept.
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
    conc_lock lock;                /* of all the rest */
    conc_cond idle;                /* no member is active any more */
    struct conc__member **members; /* in the order of submission */
    size_t count, room;
    size_t active; /* members that have not ended */
    bool ended;    /* cancelled, or a member failed: the rest is cancelled, and no more are taken */
    conc_future *failed; /* the member's that failed first; a reference */
} conc_group;

/**
 * Make an empty group.
 *
 * Python: TaskGroup()
 * [anywhere | no | no]
 */
CONC_API void conc_group_init(conc_group *group);

/**
 * Submit a job to an executor as a member of the group.
 *
 * @param executor     the executor; NULL: the loop of the calling task or callback (elsewhere:
 *                     -EINVAL)
 * @param ret          where conc_group_wait() stores the result, if the job succeeds; NULL: not
 *                     wanted. Borrowed until then.
 * @param result_size  bytes of the result
 * @return the member's index, counted from 0; -ECANCELED: the group has been cancelled, or a member
 *         has failed; -EINVAL; -ENOMEM and other refusals of conc_submit(), which end the group as
 *         a member's error does
 *
 * Python: TaskGroup.create_task()
 * [any (members too) | as conc_submit() | as conc_submit()]
 */
CONC_API ssize_t conc_group_submit(conc_group *group, conc_executor *executor, conc_fn *fn,
                                   const void *arg, size_t arg_size, void *ret, size_t result_size);

/**
 * Wait until all members have ended. When the deadline comes, or the caller is cancelled, the
 * members are cancelled, and the call still waits until they have ended. So a member that does not
 * block in libconc, and does not ask conc_is_cancelled(), can delay it.
 *
 * @return 0: all succeeded, and the results are stored; the error of the member that failed first
 *         (its message in conc_error_message()); -ETIMEDOUT, -ECANCELED: the wait was ended and the
 *         members with it, or conc_group_cancel() was called. CONC_NOW: -EAGAIN if not all have
 *         ended, and nothing is cancelled.
 *
 * Python: async with TaskGroup()
 * [one (not a member) | yes | yes]
 */
CONC_API int conc_group_wait(conc_group *group, conc_deadline deadline);

/** Cancel all members, and those to come. */
CONC_API void conc_group_cancel(conc_group *group);

/** How many jobs have been submitted. */
CONC_API size_t conc_group_size(const conc_group *group);

/**
 * How a member ended, after conc_group_wait().
 *
 * @param index    as conc_group_submit() gave it
 * @param message  gives its message, "" if none, valid until conc_group_destroy(); may be NULL
 * @return 0, its error, -ECANCELED; -EAGAIN: not ended; -EINVAL: no such member
 *
 * Python: ExceptionGroup.exceptions
 */
CONC_API int conc_group_error(const conc_group *group, size_t index, const char **message);

/**
 * Free what the group holds; members that have not ended are cancelled and waited for.
 *
 * [one (not a member) | yes (if it was not waited for) | no]
 */
CONC_API void conc_group_destroy(conc_group *group);

#ifdef __cplusplus
}
#endif
#endif
