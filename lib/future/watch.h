/* SPDX-License-Identifier: MIT
 *
 * watch.h: waiting for the ends of many futures at once.
 */
#ifndef CONC_LIB_WATCH_H
#define CONC_LIB_WATCH_H

#include "future/future_impl.h"

/* One future that is watched. */
struct watch {
    /* In future->watches, under the future's guard; then in set->ready, under the set's. */
    struct list_node node;
    bool ready; /* under the future's guard */
    conc_future *future;
    struct watch_set *set;
};

/* All-zero is empty. */
struct watch_set {
    uint32_t word; /* the guard of the rest */
    struct conc__waitlist waiters;
    struct list ready; /* done, and not yet given; in the order of their ends */
};

/* Watch n futures, with room for a watch each. After conc__watch_end() no other context touches the
 * set or the watches any more. */
void conc__watch_begin(struct watch_set *set, struct watch *watches, conc_future *const *futures,
                       size_t n);
void conc__watch_end(struct watch *watches, size_t n);

/* Watch one more. */
void conc__watch_add(struct watch_set *set, struct watch *watch, conc_future *future);

/* The next that is done. NULL: *err is -EAGAIN, -ETIMEDOUT, -ECANCELED. */
struct watch *conc__watch_next(struct watch_set *set, conc_deadline deadline, int *err);

#endif
