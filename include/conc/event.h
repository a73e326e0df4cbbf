/* SPDX-License-Identifier: MIT
 *
 * conc/event.h: a flag that contexts can wait for.
 *
 * It may lie on the stack of the only context that waits for it: conc_event_set() does not touch it
 * any more once a waiter can know that it is set.
 *
 * Signal handlers: none of these calls may be made in one.
 */
#ifndef CONC_EVENT_H
#define CONC_EVENT_H

#include <conc/waitlist.h>

#ifdef __cplusplus
extern "C" {
#endif

/** All fields are private. All-zero: not set. */
typedef struct conc_event {
    uint32_t word;
    struct conc__waitlist waiters;
} conc_event;

#ifdef __cplusplus
#define CONC_EVENT_INIT \
    {                   \
    }
#else
#define CONC_EVENT_INIT \
    {                   \
        0               \
    }
#endif

/**
 * Make an event that is not set. There is nothing to destroy; no context may be waiting when its
 * memory goes.
 *
 * [anywhere | no | no]
 */
CONC_API void conc_event_init(conc_event *event);

/**
 * Set the flag and wake all waiters. What the caller did before is seen by every context that sees
 * the flag.
 *
 * Python: Event.set()
 */
CONC_API void conc_event_set(conc_event *event);

/**
 * Clear the flag. A waiter that was woken before still returns 0.
 *
 * Python: Event.clear()
 */
CONC_API void conc_event_clear(conc_event *event);

/**
 * Is the flag set?
 *
 * Python: Event.is_set()
 */
CONC_API bool conc_event_is_set(const conc_event *event);

/**
 * Wait until the flag is set.
 *
 * @return 0; -ETIMEDOUT, -EAGAIN (not set, and CONC_NOW), -ECANCELED
 *
 * Python: Event.wait()
 * [any | yes | yes]
 */
CONC_API int conc_event_wait(conc_event *event, conc_deadline deadline);

#ifdef __cplusplus
}
#endif
#endif
