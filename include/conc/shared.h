/* SPDX-License-Identifier: MIT
 *
 * conc/shared.h: memory shared between processes, and in it a lock, a re-entrant lock, a condition,
 * an event, a semaphore and a barrier for threads and tasks of several processes. (A queue:
 * conc/shared_queue.h.)
 *
 *     struct tally {
 *         conc_shared_lock lock;
 *         long words;
 *     };
 *
 *     err = conc_shared_new(&block, sizeof(struct tally)); // before the processes are forked
 *     struct tally *tally = block;
 *     err = conc_shared_lock_init(&tally->lock);
 *
 *     err = conc_shared_lock_enter(&tally->lock); // in any of them
 *     if (err == -EOWNERDEAD)
 *         conc_shared_lock_make_consistent(&tally->lock); // having set right what it guards
 *     tally->words += n;
 *     conc_shared_lock_release(&tally->lock);
 *
 * The structs hold no pointers, so the block may lie at another address in each process. They work
 * in any memory that is shared (MAP_SHARED) and writable, between processes of one kernel and one
 * PID namespace that were built alike. They are larger and slower than their private twins
 * (conc/lock.h ...): use those within one process. There is nothing to destroy, but the memory may
 * only go when no call on what lies in it is under way in this process, and this process holds
 * nothing in it.
 *
 * Waiting: a thread sleeps in the kernel. A task looks again and again, without blocking its loop:
 * it learns of a change late by an eighth of the time that it has waited, and by 5 ms at most.
 * There is no order among waiters: the one that looks first is served first.
 *
 * Death: a process that is killed loses only what it holds, and leaves every struct whole. A lock's
 * next taker is told (-EOWNERDEAD), a tenth of a second later at most, and so is a waiter for a
 * wake-up that the dead process owed.
 *
 * Python: multiprocessing.Value, Array, shared_memory, Lock, RLock, Condition, Event, Semaphore,
 * Barrier
 *
 * Signal handlers: none of these calls may be made in one.
 */
#ifndef CONC_SHARED_H
#define CONC_SHARED_H

#include <pthread.h>

#include <conc/base.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ---- Memory ---- */

/**
 * Make a block of memory that processes forked later share, and others can be given as a
 * descriptor. Zeroed; aligned to a page (4096 bytes or more); at most PTRDIFF_MAX bytes, rounded up
 * to whole pages. Pages take memory when they are first written to. Costs one descriptor (closed on
 * exec).
 *
 * @param ret   gives its address; the block is freed with conc_shared_free()
 * @param size  bytes; above 0
 * @return 0; -EINVAL: size; -ENOMEM, -EMFILE, -ENFILE
 *
 * Python: multiprocessing.Value(), Array(), SharedMemory(create=True)
 */
CONC_API CONC_MUST_CHECK int conc_shared_new(void **ret, size_t size);

/**
 * Free this process' view of a block: the mapping and the descriptor. The memory itself goes with
 * the last view, or with the last process that has one; there is nothing to unlink.
 *
 * @param shared  a block, which it takes; NULL: does nothing
 * @return 0; -EINVAL (not the address of a block): refused, nothing is freed
 *
 * Python: SharedMemory.close(), unlink()
 */
CONC_API int conc_shared_free(void *shared);

/**
 * The descriptor of a block, to be passed to a process that was not forked since
 * (conc_shared_map() there). The block's own: not to be closed.
 *
 * @return the descriptor; -EINVAL: not the address of a block
 */
CONC_API int conc_shared_fd(const void *shared);

/**
 * Map a block by its descriptor: one more view, in the same process or another, to be freed with
 * conc_shared_free().
 *
 * @param ret   gives its address
 * @param size  gives its size in bytes, a multiple of a page; may be NULL
 * @param fd    borrowed
 * @return 0; -EINVAL: not a descriptor of a block; -EBADF; -ENOMEM, -EMFILE
 *
 * Python: SharedMemory(name)
 */
CONC_API CONC_MUST_CHECK int conc_shared_map(void **ret, size_t *size, int fd);

/* A place where threads of several processes wait. Private. */
struct conc__shared_spot {
    uint32_t seq;     /* counts wake-ups */
    uint32_t waiters; /* how many wait, and how many have died waiting */
};

/* ---- Lock ---- */

/**
 * A lock, owned by the thread that took it (a task's: its loop's thread, which runs all of its
 * tasks): only that may release it; and if it ends without that, the lock's owner is dead. All
 * fields are private; make one with conc_shared_lock_init().
 */
typedef struct conc_shared_lock {
    pthread_mutex_t mutex;
    struct conc__shared_spot spot;
    uint32_t held;
    uint32_t state;
} conc_shared_lock;

/**
 * Make a free lock.
 *
 * @return 0; -ENOTSUP: the system has no such locks
 *
 * Python: multiprocessing.Lock()
 * [anywhere | no | no]
 */
CONC_API CONC_MUST_CHECK int conc_shared_lock_init(conc_shared_lock *lock);

/**
 * Take the lock; wait while another holds it.
 *
 * @return 0: the caller holds it. -EOWNERDEAD: the caller holds it, but its last owner died with
 *         it: set right what it guards, then call conc_shared_lock_make_consistent().
 *         -ENOTRECOVERABLE: it was then released without that call; the lock is of no more use.
 *
 * Python: Lock.acquire()
 * [any | yes | no]
 */
CONC_API CONC_MUST_CHECK int conc_shared_lock_enter(conc_shared_lock *lock);

/**
 * Release the lock, which the caller holds: the other end of conc_shared_lock_enter(). As
 * conc_shared_lock_release().
 *
 * Python: multiprocessing.Lock.__exit__()
 * [owner | no | no]
 */
CONC_API void conc_shared_lock_exit(conc_shared_lock *lock);

/**
 * Take the lock if it is free: conc_shared_lock_acquire() with CONC_NOW.
 *
 * @return as conc_shared_lock_acquire()
 *
 * Python: Lock.acquire(block=False)
 */
CONC_API CONC_MUST_CHECK int conc_shared_lock_try_acquire(conc_shared_lock *lock);

/**
 * Take the lock; wait until the deadline at most.
 *
 * @return 0, -EOWNERDEAD, -ENOTRECOVERABLE: as conc_shared_lock_enter(). -ETIMEDOUT, -EAGAIN
 *         (held, and CONC_NOW), -ECANCELED: the caller does not hold it.
 *
 * Python: Lock.acquire(timeout=...)
 * [any | yes | yes]
 */
CONC_API CONC_MUST_CHECK int conc_shared_lock_acquire(conc_shared_lock *lock,
                                                      conc_deadline deadline);

/**
 * After -EOWNERDEAD: what the lock guards is right again.
 *
 * @return 0; -EINVAL: the caller was not told that the owner is dead
 *
 * [owner | no | no]
 */
CONC_API int conc_shared_lock_make_consistent(conc_shared_lock *lock);

/**
 * Release the lock; one waiter is woken to take it.
 *
 * @return 0; -EPERM: the calling thread does not own it
 *
 * Python: Lock.release()
 * [owner (or any task of its thread's loop) | no | no]
 */
CONC_API int conc_shared_lock_release(conc_shared_lock *lock);

/** Is the lock held, by a living owner or a dead one? True only for the moment. */
CONC_API bool conc_shared_lock_is_locked(const conc_shared_lock *lock);

/* ---- Re-entrant lock ---- */

/** A lock that its owner, one thread or task, may take again. All fields are private. */
typedef struct conc_shared_rlock {
    conc_shared_lock lock;
    uint32_t depth; /* the owner's */
    uint64_t owner; /* the id of its context; written by the owner */
} conc_shared_rlock;

/**
 * Make a free lock.
 *
 * @return as conc_shared_lock_init()
 *
 * Python: multiprocessing.RLock()
 * [anywhere | no | no]
 */
CONC_API CONC_MUST_CHECK int conc_shared_rlock_init(conc_shared_rlock *rlock);

/**
 * Take the lock, or take it once more; wait while another owns it.
 *
 * @return as conc_shared_lock_enter(): only the first time can say that the last owner died, and
 *         then the lock is taken once; or -EOVERFLOW: taken 2^32 - 1 times over
 *
 * Python: RLock.acquire()
 * [any | yes | no]
 */
CONC_API CONC_MUST_CHECK int conc_shared_rlock_enter(conc_shared_rlock *rlock);

/**
 * Release the lock, which the caller holds: the other end of conc_shared_rlock_enter(). As
 * conc_shared_rlock_release().
 *
 * Python: multiprocessing.RLock.__exit__()
 * [owner | no | no]
 */
CONC_API void conc_shared_rlock_exit(conc_shared_rlock *rlock);

/**
 * Take the lock if it is free or the caller's own: conc_shared_rlock_acquire() with CONC_NOW.
 *
 * @return as conc_shared_rlock_acquire()
 */
CONC_API CONC_MUST_CHECK int conc_shared_rlock_try_acquire(conc_shared_rlock *rlock);

/**
 * Take the lock, or take it once more; wait until the deadline at most.
 *
 * @return as conc_shared_rlock_enter(); -ETIMEDOUT, -EAGAIN (another's, and CONC_NOW), -ECANCELED
 *
 * [any | yes | yes]
 */
CONC_API CONC_MUST_CHECK int conc_shared_rlock_acquire(conc_shared_rlock *rlock,
                                                       conc_deadline deadline);

/**
 * As conc_shared_lock_make_consistent().
 *
 * @return as conc_shared_lock_make_consistent()
 *
 * [owner | no | no]
 */
CONC_API int conc_shared_rlock_make_consistent(conc_shared_rlock *rlock);

/**
 * Release the lock once.
 *
 * @return 0; -EPERM: the caller does not own it
 *
 * Python: RLock.release()
 * [owner | no | no]
 */
CONC_API int conc_shared_rlock_release(conc_shared_rlock *rlock);

/** Does the caller own the lock? */
CONC_API bool conc_shared_rlock_is_owned(const conc_shared_rlock *rlock);

/** Is the lock owned, by a living context or a dead one? True only for the moment. */
CONC_API bool conc_shared_rlock_is_locked(const conc_shared_rlock *rlock);

/* ---- Condition ---- */

/** All fields are private, and guarded by the lock. */
typedef struct conc_shared_cond {
    struct conc__shared_spot spot;
    uint32_t next;    /* the next waiter's number */
    uint32_t limit;   /* notifications are for numbers below this */
    uint32_t waiting; /* waiters, with those that have died waiting */
    uint32_t permits; /* notifications that no waiter has taken yet */
    int64_t lock_at;  /* the lock's distance from the condition, in bytes */
    bool is_rlock;
} conc_shared_cond;

/**
 * Bind a condition to a lock in the same block.
 *
 * [anywhere | no | no]
 */
CONC_API void conc_shared_cond_init(conc_shared_cond *cond, conc_shared_lock *lock);

/**
 * Bind a condition to a re-entrant lock in the same block.
 *
 * [anywhere | no | no]
 */
CONC_API void conc_shared_cond_init_rlock(conc_shared_cond *cond, conc_shared_rlock *rlock);

/**
 * Release the lock (an rlock wholly), wait for a notification, take the lock again. Where processes
 * have died waiting it may return 0 without one: test what you wait for in a loop, or use
 * conc_shared_cond_wait_for().
 *
 * @return 0: notified; -ETIMEDOUT, -ECANCELED, -EAGAIN (CONC_NOW); the caller holds the lock again
 *         in every case. -EOWNERDEAD: it holds it, and is told as by conc_shared_lock_enter();
 *         that may have been a notification. -ENOTRECOVERABLE: it does not hold it. -EPERM:
 *         it did not hold it.
 *
 * Python: Condition.wait()
 * [holder | yes (taking the lock again has no deadline) | yes]
 */
CONC_API int conc_shared_cond_wait(conc_shared_cond *cond, conc_deadline deadline);

/**
 * Wait until fn(arg) is true. It is called with the lock held, first at once.
 *
 * @return 0: the predicate was true; else as conc_shared_cond_wait()
 *
 * Python: Condition.wait_for()
 * [holder | yes (taking the lock again has no deadline) | yes]
 */
CONC_API int conc_shared_cond_wait_for(conc_shared_cond *cond, conc_predicate_fn *fn, void *arg,
                                       conc_deadline deadline);

/**
 * Wake at most n waiters.
 *
 * @return 0; -EPERM: the lock is not held (an rlock: not by the caller)
 *
 * Python: Condition.notify(n)
 * [holder | no | no]
 */
CONC_API int conc_shared_cond_notify(conc_shared_cond *cond, size_t n);

/**
 * Wake all waiters.
 *
 * @return as conc_shared_cond_notify()
 *
 * Python: Condition.notify_all()
 * [holder | no | no]
 */
CONC_API int conc_shared_cond_notify_all(conc_shared_cond *cond);

/* ---- Event ---- */

/** All fields are private. All-zero: not set. */
typedef struct conc_shared_event {
    uint32_t word;
    struct conc__shared_spot spot;
} conc_shared_event;

/**
 * Make an event that is not set.
 *
 * Python: multiprocessing.Event()
 * [anywhere | no | no]
 */
CONC_API void conc_shared_event_init(conc_shared_event *event);

/**
 * Set the flag and wake all waiters. What the caller did before is seen by every context that sees
 * the flag.
 *
 * Python: Event.set()
 */
CONC_API void conc_shared_event_set(conc_shared_event *event);

/** Clear the flag. A waiter that waited while it was set still returns 0. */
CONC_API void conc_shared_event_clear(conc_shared_event *event);

/**
 * Is the flag set?
 *
 * Python: Event.is_set()
 */
CONC_API bool conc_shared_event_is_set(const conc_shared_event *event);

/**
 * Wait until the flag is set.
 *
 * @return 0; -ETIMEDOUT, -EAGAIN (not set, and CONC_NOW), -ECANCELED
 *
 * Python: Event.wait()
 * [any | yes | yes]
 */
CONC_API int conc_shared_event_wait(conc_shared_event *event, conc_deadline deadline);

/* ---- Semaphore ---- */

/** The most units that a shared semaphore can hold. */
#define CONC_SHARED_SEM_MAX 0x7fffffffu

/** All fields are private. All-zero: no units, no bound. */
typedef struct conc_shared_sem {
    uint32_t units;
    uint32_t bound; /* 0: CONC_SHARED_SEM_MAX */
    struct conc__shared_spot spot;
} conc_shared_sem;

/**
 * Make a semaphore. Units that a dead process has taken are lost: where they must come back, use a
 * lock.
 *
 * @param value  its units at the start
 * @param bound  the most it may ever hold; 0: no bound but CONC_SHARED_SEM_MAX
 * @return 0; -EINVAL: value or bound above CONC_SHARED_SEM_MAX, or value above the bound
 *
 * Python: Semaphore(value), BoundedSemaphore(value)
 * [anywhere | no | no]
 */
CONC_API CONC_MUST_CHECK int conc_shared_sem_init(conc_shared_sem *sem, uint32_t value,
                                                  uint32_t bound);

/**
 * Take a unit; wait while there is none.
 *
 * @return 0; -ETIMEDOUT, -EAGAIN (none, and CONC_NOW), -ECANCELED: none was taken
 *
 * Python: Semaphore.acquire()
 * [any | yes | yes]
 */
CONC_API CONC_MUST_CHECK int conc_shared_sem_acquire(conc_shared_sem *sem, conc_deadline deadline);

/**
 * Give n units; as many waiters go on.
 *
 * @return 0; -EOVERFLOW: there would be more than the bound; nothing was given. -EINVAL: n is 0
 *
 * Python: Semaphore.release()
 */
CONC_API int conc_shared_sem_release(conc_shared_sem *sem, uint32_t n);

/** How many units there are at the moment. */
CONC_API uint32_t conc_shared_sem_value(const conc_shared_sem *sem);

/* ---- Barrier ---- */

/** The most parties that a shared barrier can have. */
#define CONC_SHARED_BARRIER_MAX 0xfffffu

/** All fields are private. */
typedef struct conc_shared_barrier {
    uint64_t state;
    struct conc__shared_spot spot;
    uint32_t parties;
} conc_shared_barrier;

/**
 * Make a barrier. It has no action (a function of one process is none of another's): let the party
 * whose index is `parties - 1` act, then all wait once more.
 *
 * @param parties  how many must come before all go on
 * @return 0; -EINVAL: parties is 0 or above CONC_SHARED_BARRIER_MAX
 *
 * Python: multiprocessing.Barrier(parties)
 * [anywhere | no | no]
 */
CONC_API CONC_MUST_CHECK int conc_shared_barrier_init(conc_shared_barrier *barrier,
                                                      uint32_t parties);

/**
 * Wait until all parties have come. A party that is killed while it waits has come; one that is
 * killed before never will: wait with a deadline.
 *
 * @return the caller's own index, 0 to parties - 1, in order of arrival; -ETIMEDOUT, -EAGAIN
 *         (CONC_NOW, and not the last), -ECANCELED: the caller gave up, and the barrier is broken
 *         now (CONC_NOW leaves it as it was); -CONC_EBROKEN: it was broken, or was broken or reset
 *         while the caller waited
 *
 * Python: Barrier.wait()
 * [any | yes | yes]
 */
CONC_API int conc_shared_barrier_wait(conc_shared_barrier *barrier, conc_deadline deadline);

/**
 * Put the barrier back into the empty, unbroken state. Parties that wait get -CONC_EBROKEN.
 */
CONC_API void conc_shared_barrier_reset(conc_shared_barrier *barrier);

/**
 * Break the barrier: parties that wait, and those that come before a reset, get -CONC_EBROKEN.
 */
CONC_API void conc_shared_barrier_abort(conc_shared_barrier *barrier);

/**
 * Is it broken?
 *
 * Python: Barrier.broken
 */
CONC_API bool conc_shared_barrier_is_broken(const conc_shared_barrier *barrier);

/** How many parties it takes. */
CONC_API uint32_t conc_shared_barrier_parties(const conc_shared_barrier *barrier);

/** How many are waiting now. */
CONC_API uint32_t conc_shared_barrier_n_waiting(const conc_shared_barrier *barrier);

#ifdef __cplusplus
}
#endif
#endif
