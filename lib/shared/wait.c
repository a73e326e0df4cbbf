/* SPDX-License-Identifier: MIT
 *
 * wait.c: waiting and waking between processes.
 *
 * The lists of the wait room hold pointers into the stacks of those that wait. In another process
 * these are of no use, and a process that dies would leave them there for ever. So nothing is
 * handed over here: a waiting context attempts, sleeps until something has changed, and attempts
 * again.
 *
 * A spot is an event count. A context that waits counts itself in (`waiters`), notes `seq`,
 * attempts, and sleeps while `seq` is what it noted. A context that has changed something looks at
 * `waiters`; if there are any, it counts `seq` up and wakes as many sleepers as can now succeed.
 *
 * No wake-up is lost among the living:
 * - Both sides go through a read-modify-write of `waiters`, and these stand in one order. If the
 *   waiter counts itself in first, the waker sees it. If the waker looks first, the waiter's own
 *   increment acquires what the waker released, so that its attempt sees the change.
 * - A change between the attempt and the sleep counts `seq` up, and the kernel does not sleep.
 * - A woken context attempts before it gives up, or, if it has been cancelled, wakes another
 *   instead. So a wake-up is wasted only if another context has taken what there was; and that one,
 *   too, wakes another when it gives it back.
 *
 * The dead: a process may die between its change and the wake-up, or between being woken and its
 * attempt. Therefore no context sleeps for ever: each kind looks again now and then, as its
 * wait_word() says (a thread after 64 ms at the most: wait/thread.c; a task, which only naps, after
 * 5 ms: loop/task.c). So whatever the dead have left undone costs the living a short time, never
 * more; and this is how the death of a lock's holder is noticed. A process that dies while it waits
 * stays counted in `waiters`: this costs each later change a system call for nothing.
 *
 * A kick ends a sleep too, so a wait can be cancelled. A context that has been cancelled attempts
 * no more: what has come since is for others. But what it has been counted for counts, also if that
 * came later: a round of a barrier that is complete, a permit of a condition.
 *
 * Fairness: none beyond the kernel's, whose sleepers wake in order of arrival. A running context is
 * faster than they are.
 */
#include <unistd.h>

#include "base/backoff.h"
#include "base/clock.h"
#include "base/futex.h"
#include "shared/shared_impl.h"
#include "wait/wait.h"

static int shared_attempt(const struct shared_on *on) { return on->attempt(on->arg); }

/* Attempts before the sleep (backoff.h). Not in a thread that others share, as the rests yield
 * it. */
static int shared_attempt_resting(const struct shared_on *on)
{
    int result = -EAGAIN;
    for (int turn = 0; turn < BACKOFF_TURNS && result == -EAGAIN; turn++) {
        backoff_rest(turn);
        result = shared_attempt(on);
    }
    return result;
}

static int shared_sleep_and_attempt(const struct shared_on *on, conc_deadline deadline, bool firm)
{
    struct conc_context *self = context_self();
    const int64_t since = conc_now();
    int result;
    conc__blocked_begin(self, on->what, on->object, NULL);
    fetch_add_acq_rel(&on->spot->waiters, 1);
    for (;;) {
        uint32_t seq = load_acquire(&on->spot->seq);
        conc_deadline until = CONC_FOREVER;
        if (!firm && conc__scopes_cancelled(self)) {
            result = -ECANCELED; /* what has come since the cancel is for others */
            break;
        }
        result = shared_attempt(on);
        if (result != -EAGAIN || (!firm && (result = conc__must_end(self, deadline, &until))))
            break;
        self->ops->wait_word(self, &on->spot->seq, seq, since, until);
    }
    fetch_sub_release(&on->spot->waiters, 1);
    conc__blocked_end(self);
    if (result == -ECANCELED)
        conc__shared_notify(on->spot, 1); /* it may have been woken in another's place */
    return result;
}

static int shared_wait_for(const struct shared_on *on, conc_deadline deadline, bool firm)
{
    int result = shared_attempt(on);
    if (result == -EAGAIN && !deadline_is_now(deadline) && context_self()->ops->owns_thread)
        result = shared_attempt_resting(on);
    if (result != -EAGAIN || deadline_is_now(deadline))
        return result;
    return shared_sleep_and_attempt(on, deadline, firm);
}

int conc__shared_wait(const struct shared_on *on, conc_deadline deadline)
{
    return shared_wait_for(on, deadline, false);
}

int conc__shared_ended(int err)
{
    if (err == -ECANCELED)
        conc__scopes_check(context_self());
    return err;
}

int conc__shared_call(const struct shared_on *on, conc_deadline deadline)
{
    int err = wait_checkpoint(deadline);
    return err ? err : conc__shared_ended(conc__shared_wait(on, deadline));
}

int conc__shared_call_firmly(const struct shared_on *on)
{
    return shared_wait_for(on, CONC_FOREVER, true);
}

void conc__shared_notify(struct conc__shared_spot *spot, int n)
{
    if (!fetch_or_acq_rel(&spot->waiters, 0))
        return;
    fetch_add_release(&spot->seq, 1);
    conc__futex_wake_shared(&spot->seq, n);
}

/* ---- What the locks need ---- */

int conc__shared_mutex_init(pthread_mutex_t *mutex)
{
    pthread_mutexattr_t attr;
    int err = pthread_mutexattr_init(&attr);
    if (err)
        return -err;
    err = pthread_mutexattr_setpshared(&attr, PTHREAD_PROCESS_SHARED);
    if (err)
        goto out;
    err = pthread_mutexattr_setrobust(&attr, PTHREAD_MUTEX_ROBUST);
    if (err)
        goto out;
    err = pthread_mutex_init(mutex, &attr);
out:
    pthread_mutexattr_destroy(&attr);
    return -err;
}

static __thread uint32_t tid; /* 0: not known */

static void tid_after_fork_in_child(void) { tid = 0; }

/* If there is no memory, a child must not use libconc. */
static void tid_watch_forks(void) { pthread_atfork(NULL, NULL, tid_after_fork_in_child); }

uint32_t conc__shared_tid(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    if (!tid) {
        pthread_once(&once, tid_watch_forks);
        tid = (uint32_t)gettid();
    }
    return tid;
}
