/* SPDX-License-Identifier: MIT
 *
 * shared_impl.h: how a call on something in shared memory waits and is woken (wait.c), and the
 * mutexes inside the primitives.
 */
#ifndef CONC_LIB_SHARED_SHARED_IMPL_H
#define CONC_LIB_SHARED_SHARED_IMPL_H

#include <stddef.h>

#include <conc/shared.h>

/* An atomic that is not lock-free takes a lock of its own process, which orders nothing between
 * processes. */
_Static_assert(__atomic_always_lock_free(sizeof(uint32_t), NULL), "words work between processes");
_Static_assert(__atomic_always_lock_free(sizeof(uint64_t), NULL), "so do words of 64 bits");

/* What lies in shared memory may be used by programs with several builds of the library: each file
 * asserts the layout of its primitive, and a change to one must be meant. */
_Static_assert(sizeof(struct conc__shared_spot) == 8 &&
                   offsetof(struct conc__shared_spot, waiters) == 4,
               "the layout of a spot crosses processes");

/* What a wait is for. */
struct shared_on {
    struct conc__shared_spot *spot;
    /* -EAGAIN: not possible now, so wait; any other value is what the call returns. It never waits
     * itself. */
    int (*attempt)(void *arg);
    void *arg;
    const char *what; /* for the registry; static */
    void *object;     /* for the registry */
};

/* A call that may wait: a cancellation point, then attempts until one succeeds. Returns what that
 * attempt gave; or -EAGAIN (CONC_NOW), -ETIMEDOUT, -ECANCELED: after a last attempt that gave
 * -EAGAIN. */
int conc__shared_call(const struct shared_on *on, conc_deadline deadline);

/* The same without a deadline; it cannot be cancelled. */
int conc__shared_call_firmly(const struct shared_on *on);

/* conc__shared_call() in two halves, for calls that have something to do between them. The first
 * is no cancellation point at its beginning, and tells no scope of -ECANCELED. The second tells the
 * scopes, if the call really returns that; it returns the error that it is given. */
int conc__shared_wait(const struct shared_on *on, conc_deadline deadline);
int conc__shared_ended(int err);

/* Let at most n of the contexts that wait at the spot attempt again. To be called after the change
 * that they wait for. */
void conc__shared_notify(struct conc__shared_spot *spot, int n);

/* Make a mutex for several processes that survives the death of its holder. 0; -ENOTSUP. */
int conc__shared_mutex_init(pthread_mutex_t *mutex);

/* The id that the system has given to the calling thread. */
uint32_t conc__shared_tid(void);

#endif
