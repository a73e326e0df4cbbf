/* SPDX-License-Identifier: MIT
 *
 * conc/event.h: a flag that contexts can wait for.
 *
 * It may lie on the stack of the only one who waits for it: conc_event_set() does not touch it any
 * more once a waiter can know that it is set.
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
 * Make an event that is not set. There is nothing to destroy; nobody may be waiting when its memory
 * goes.
 */
CONC_API void conc_event_init(conc_event *event);

/**
 * Set the flag and wake all who wait. What the caller did before is seen by whoever sees the flag.
 *
 * Called from: any thread or task. Blocks: no. Python: Event.set()
 */
CONC_API void conc_event_set(conc_event *event);

/**
 * Clear the flag. Who was woken before still returns 0.
 *
 * Called from: any thread or task. Blocks: no. Python: Event.clear()
 */
CONC_API void conc_event_clear(conc_event *event);

/**
 * Is the flag set?
 *
 * Called from: any thread or task. Blocks: no. Python: Event.is_set()
 */
CONC_API bool conc_event_is_set(const conc_event *event);

/**
 * Wait until the flag is set.
 *
 * @return 0; -ETIMEDOUT, -EAGAIN (not set, and CONC_NOW), -ECANCELED
 *
 * Called from: any thread or task. Blocks: yes. Cancellation point: yes. Python: Event.wait()
 */
CONC_API int conc_event_wait(conc_event *event, conc_deadline deadline);

#ifdef __cplusplus
}
#endif
#endif
