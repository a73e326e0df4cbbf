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
 * only go when no call on what lies in it is under way in this process, and nothing in it is held
 * by it.
 *
 * Waiting: a thread sleeps in the kernel. A task looks again and again, without blocking its loop:
 * it learns of a change late by an eighth of the time that it has waited, and by 5 ms at most.
 * Nobody queues: whoever comes to look first is first.
 *
 * Death: a process that is killed takes nothing with it but what it holds, and leaves every struct
 * whole. A lock's next taker is told (-EOWNERDEAD), a tenth of a second later at most, as is
 * whoever waited for a wake-up that the dead owed.
 *
 * Python: multiprocessing.Value, Array, shared_memory, Lock, RLock, Condition, Event, Semaphore,
 * Barrier
 */
#ifndef CONC_SHARED_H
#define CONC_SHARED_H

#include <pthread.h>

#include <conc/base.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ---- Memory ---------------------------------------------------------------------------------- */

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
 * Called from: any thread or task. Blocks: no. Python: multiprocessing.Value(), Array(),
 * SharedMemory(create=True)
 */
CONC_API CONC_MUST_CHECK int conc_shared_new(void **ret, size_t size);

/**
 * Free this process' view of a block: the mapping and the descriptor. The memory itself goes with
 * the last view, or with the last process that has one; there is nothing to unlink.
 *
 * @param shared  a block, which it takes; NULL: does nothing
 * @return 0; -EINVAL: not the address of a block
 *
 * Called from: any thread or task. Blocks: no. Python: SharedMemory.close(), unlink()
 */
CONC_API int conc_shared_free(void *shared);

/**
 * The descriptor of a block, to be passed to a process that was not forked since
 * (conc_shared_map() there). The block's own: not to be closed.
 *
 * @return the descriptor; -EINVAL: not the address of a block
 *
 * Called from: any thread or task. Blocks: no.
 */
CONC_API int conc_shared_fd(const void *shared);

/**
 * Map a block of which one has the descriptor: one more view, in the same process or another, to be
 * freed with conc_shared_free().
 *
 * @param ret   gives its address
 * @param size  gives its size in bytes, a multiple of a page; may be NULL
 * @param fd    borrowed
 * @return 0; -EINVAL: not a descriptor of a block; -EBADF; -ENOMEM, -EMFILE
 *
 * Called from: any thread or task. Blocks: no. Python: SharedMemory(name)
 */
CONC_API CONC_MUST_CHECK int conc_shared_map(void **ret, size_t *size, int fd);

/* A place where threads of several processes wait. Private. */
struct conc__shared_spot {
    uint32_t seq;     /* counts wake-ups */
    uint32_t waiters; /* how many wait, and how many have died waiting */
};

/* ---- Lock ------------------------------------------------------------------------------------ */

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
 * Called from: anywhere. Blocks: no. Python: multiprocessing.Lock()
 */
CONC_API CONC_MUST_CHECK int conc_shared_lock_init(conc_shared_lock *lock);

/**
 * Take the lock; wait while another holds it.
 *
 * @return 0: the caller holds it. -EOWNERDEAD: the caller holds it, but its last owner died with
 *         it: set right what it guards, then call conc_shared_lock_make_consistent().
 *         -ENOTRECOVERABLE: it was then released without that call; the lock is of no more use.
 *
 * Called from: any thread or task. Blocks: yes. Cancellation point: no. Python: Lock.acquire()
 */
CONC_API CONC_MUST_CHECK int conc_shared_lock_enter(conc_shared_lock *lock);

/**
 * Release the lock, which the caller holds: the other end of conc_shared_lock_enter(). As
 * conc_shared_lock_release().
 *
 * Called from: its holder. Blocks: no. Python: multiprocessing.Lock.__exit__()
 */
CONC_API void conc_shared_lock_exit(conc_shared_lock *lock);

/**
 * Take the lock if it is free: conc_shared_lock_acquire() with CONC_NOW.
 *
 * Called from: any thread or task. Blocks: no. Python: Lock.acquire(block=False)
 */
CONC_API CONC_MUST_CHECK int conc_shared_lock_try_acquire(conc_shared_lock *lock);

/**
 * Take the lock; wait until the deadline at most.
 *
 * @return 0, -EOWNERDEAD, -ENOTRECOVERABLE: as conc_shared_lock_enter(). -ETIMEDOUT, -EAGAIN
 *         (held, and CONC_NOW), -ECANCELED: the caller doesn't hold it.
 *
 * Called from: any thread or task. Blocks: yes. Cancellation point: yes. Python:
 * Lock.acquire(timeout=...)
 */
CONC_API CONC_MUST_CHECK int conc_shared_lock_acquire(conc_shared_lock *lock,
                                                      conc_deadline deadline);

/**
 * After -EOWNERDEAD: what the lock guards is right again.
 *
 * @return 0; -EINVAL: the caller was not told that the owner is dead
 *
 * Called from: the thread or task that holds it. Blocks: no.
 */
CONC_API int conc_shared_lock_make_consistent(conc_shared_lock *lock);

/**
 * Release the lock; one of those who wait gets its chance.
 *
 * @return 0; -EPERM: the calling thread does not own it
 *
 * Called from: the thread that took it, or any task of that thread's loop. Blocks: no. Python:
 * Lock.release()
 */
CONC_API int conc_shared_lock_release(conc_shared_lock *lock);

/** Does anybody hold it, alive or dead? For the moment. Called from: any thread or task. */
CONC_API bool conc_shared_lock_is_locked(const conc_shared_lock *lock);

/* ---- Re-entrant lock ------------------------------------------------------------------------- */

/** A lock that its owner, one thread or task, may take again. All fields are private. */
typedef struct conc_shared_rlock {
    conc_shared_lock lock;
    uint32_t depth; /* the owner's */
    uint64_t owner; /* its process and context; written by the owner */
} conc_shared_rlock;

/** As conc_shared_lock_init(). Python: multiprocessing.RLock() */
CONC_API CONC_MUST_CHECK int conc_shared_rlock_init(conc_shared_rlock *rlock);

/**
 * Take the lock, or take it once more; wait while another owns it.
 *
 * @return as conc_shared_lock_enter(): only the first time can say that the last owner died, and
 *         then the lock is taken once; or -EOVERFLOW: taken 2^32 - 1 times over
 *
 * Called from: any thread or task. Blocks: yes. Cancellation point: no. Python: RLock.acquire()
 */
CONC_API CONC_MUST_CHECK int conc_shared_rlock_enter(conc_shared_rlock *rlock);

/**
 * Release the lock, which the caller holds: the other end of conc_shared_rlock_enter(). As
 * conc_shared_rlock_release().
 *
 * Called from: its holder. Blocks: no. Python: multiprocessing.RLock.__exit__()
 */
CONC_API void conc_shared_rlock_exit(conc_shared_rlock *rlock);

/** The same with CONC_NOW. Called from: any thread or task. Blocks: no. */
CONC_API CONC_MUST_CHECK int conc_shared_rlock_try_acquire(conc_shared_rlock *rlock);

/**
 * The same, waiting until the deadline at most.
 *
 * @return as conc_shared_rlock_enter(); -ETIMEDOUT, -EAGAIN (another's, and CONC_NOW), -ECANCELED
 *
 * Called from: any thread or task. Blocks: yes. Cancellation point: yes.
 */
CONC_API CONC_MUST_CHECK int conc_shared_rlock_acquire(conc_shared_rlock *rlock,
                                                       conc_deadline deadline);

/** As conc_shared_lock_make_consistent(). */
CONC_API int conc_shared_rlock_make_consistent(conc_shared_rlock *rlock);

/**
 * Release the lock once.
 *
 * @return 0; -EPERM: the caller does not own it
 *
 * Called from: its owner. Blocks: no. Python: RLock.release()
 */
CONC_API int conc_shared_rlock_release(conc_shared_rlock *rlock);

/** Does the caller own it? Called from: any thread or task. Blocks: no. */
CONC_API bool conc_shared_rlock_is_owned(const conc_shared_rlock *rlock);

/** Does anybody own it, alive or dead? For the moment. Called from: any thread or task. */
CONC_API bool conc_shared_rlock_is_locked(const conc_shared_rlock *rlock);

/* ---- Condition ------------------------------------------------------------------------------- */

/** All fields are private, and guarded by the lock. */
typedef struct conc_shared_cond {
    struct conc__shared_spot spot;
    uint32_t next;    /* the next waiter's number */
    uint32_t limit;   /* notifications are for numbers below this */
    uint32_t waiting; /* who waits, and who has died waiting */
    uint32_t permits; /* notifications that nobody has taken yet */
    int64_t lock_at;  /* the lock's distance from the condition, in bytes */
    bool is_rlock;
} conc_shared_cond;

/** Bind a condition to a lock in the same block, or to a re-entrant one. Called from: anywhere. */
CONC_API void conc_shared_cond_init(conc_shared_cond *cond, conc_shared_lock *lock);
CONC_API void conc_shared_cond_init_rlock(conc_shared_cond *cond, conc_shared_rlock *rlock);

/**
 * Release the lock (an rlock wholly), wait for a notification, take the lock again. Where processes
 * have died waiting it may return 0 without one: test what you wait for in a loop, or use
 * conc_shared_cond_wait_for().
 *
 * @return 0: notified; -ETIMEDOUT, -ECANCELED, -EAGAIN (CONC_NOW); the caller holds the lock again
 *         in every case. -EOWNERDEAD: it holds it, and is told as by conc_shared_lock_enter();
 *         that may have been a notification. -ENOTRECOVERABLE: it doesn't hold it. -EPERM: it
 *         didn't hold it.
 *
 * Called from: any thread or task that holds the lock. Blocks: yes (taking the lock again is no
 * subject to the deadline). Cancellation point: yes. Python: Condition.wait()
 */
CONC_API int conc_shared_cond_wait(conc_shared_cond *cond, conc_deadline deadline);

/**
 * Wait until predicate(arg) is true. It is called with the lock held, first at once.
 *
 * @return 0: the predicate was true; else as conc_shared_cond_wait()
 *
 * Called from, blocks, cancellation point: as conc_shared_cond_wait(). Python: Condition.wait_for()
 */
CONC_API int conc_shared_cond_wait_for(conc_shared_cond *cond, conc_predicate_fn *fn, void *arg,
                                       conc_deadline deadline);

/**
 * Wake at most n of those who wait.
 *
 * @return 0; -EPERM: the lock is not held (an rlock: not by the caller)
 *
 * Called from: any thread or task that holds the lock. Blocks: no. Python: Condition.notify(n)
 */
CONC_API int conc_shared_cond_notify(conc_shared_cond *cond, size_t n);

/** Wake all who wait. Otherwise as conc_shared_cond_notify(). Python: Condition.notify_all() */
CONC_API int conc_shared_cond_notify_all(conc_shared_cond *cond);

/* ---- Event ----------------------------------------------------------------------------------- */

/** All fields are private. All-zero: not set. */
typedef struct conc_shared_event {
    uint32_t word;
    struct conc__shared_spot spot;
} conc_shared_event;

/** Make an event that is not set. Called from: anywhere. Python: multiprocessing.Event() */
CONC_API void conc_shared_event_init(conc_shared_event *event);

/**
 * Set the flag and wake all who wait. What the caller did before is seen by whoever sees the flag.
 *
 * Called from: any thread or task. Blocks: no. Python: Event.set()
 */
CONC_API void conc_shared_event_set(conc_shared_event *event);

/** Clear the flag; who waited while it was set still returns 0. Called from: any thread or task. */
CONC_API void conc_shared_event_clear(conc_shared_event *event);

/** Is the flag set? Called from: any thread or task. Blocks: no. Python: Event.is_set() */
CONC_API bool conc_shared_event_is_set(const conc_shared_event *event);

/**
 * Wait until the flag is set.
 *
 * @return 0; -ETIMEDOUT, -EAGAIN (not set, and CONC_NOW), -ECANCELED
 *
 * Called from: any thread or task. Blocks: yes. Cancellation point: yes. Python: Event.wait()
 */
CONC_API int conc_shared_event_wait(conc_shared_event *event, conc_deadline deadline);

/* ---- Semaphore ------------------------------------------------------------------------------- */

/** The most units that a shared semaphore can hold. */
#define CONC_SHARED_SEM_MAX 0x7fffffffu

/** All fields are private. All-zero: no units, no bound. */
typedef struct conc_shared_sem {
    uint32_t units;
    uint32_t bound; /* 0: CONC_SHARED_SEM_MAX */
    struct conc__shared_spot spot;
} conc_shared_sem;

/**
 * Make a semaphore. Units that a dead process has taken are gone: what must come back is a lock.
 *
 * @param value  its units at the start
 * @param bound  the most it may ever hold; 0: no bound but CONC_SHARED_SEM_MAX
 * @return 0; -EINVAL: value or bound above CONC_SHARED_SEM_MAX, or value above the bound
 *
 * Called from: anywhere. Blocks: no. Python: Semaphore(value), BoundedSemaphore(value)
 */
CONC_API CONC_MUST_CHECK int conc_shared_sem_init(conc_shared_sem *sem, uint32_t value,
                                                  uint32_t bound);

/**
 * Take a unit; wait while there is none.
 *
 * @return 0; -ETIMEDOUT, -EAGAIN (none, and CONC_NOW), -ECANCELED: none was taken
 *
 * Called from: any thread or task. Blocks: yes. Cancellation point: yes. Python:
 * Semaphore.acquire()
 */
CONC_API CONC_MUST_CHECK int conc_shared_sem_acquire(conc_shared_sem *sem, conc_deadline deadline);

/**
 * Give n units; as many of those who wait go on.
 *
 * @return 0; -EOVERFLOW: there would be more than the bound; nothing was given. -EINVAL: n is 0
 *
 * Called from: any thread or task. Blocks: no. Python: Semaphore.release()
 */
CONC_API int conc_shared_sem_release(conc_shared_sem *sem, uint32_t n);

/** How many units there are at the moment. Called from: any thread or task. Blocks: no. */
CONC_API uint32_t conc_shared_sem_value(const conc_shared_sem *sem);

/* ---- Barrier --------------------------------------------------------------------------------- */

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
 * Called from: anywhere. Blocks: no. Python: multiprocessing.Barrier(parties)
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
 * Called from: any thread or task. Blocks: yes. Cancellation point: yes. Python: Barrier.wait()
 */
CONC_API int conc_shared_barrier_wait(conc_shared_barrier *barrier, conc_deadline deadline);

/** Back to the empty, unbroken state; who waits gets -CONC_EBROKEN. Called from: any context. */
CONC_API void conc_shared_barrier_reset(conc_shared_barrier *barrier);

/** Break it: who waits, and who comes before a reset, gets -CONC_EBROKEN. Called from: as reset. */
CONC_API void conc_shared_barrier_abort(conc_shared_barrier *barrier);

/** Is it broken? Called from: any thread or task. Blocks: no. Python: Barrier.broken */
CONC_API bool conc_shared_barrier_is_broken(const conc_shared_barrier *barrier);
/** How many parties it takes. Called from: any thread or task. Blocks: no. */
CONC_API uint32_t conc_shared_barrier_parties(const conc_shared_barrier *barrier);
/** How many are waiting now. Called from: any thread or task. Blocks: no. */
CONC_API uint32_t conc_shared_barrier_n_waiting(const conc_shared_barrier *barrier);

#ifdef __cplusplus
}
#endif
#endif
