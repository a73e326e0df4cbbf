/* SPDX-License-Identifier: MIT
 *
 * callbacks.h: what is called when a future is done; see callbacks.c.
 */
#ifndef CONC_LIB_CALLBACKS_H
#define CONC_LIB_CALLBACKS_H

#include <conc/future.h>

struct future_callback;

/* Call fn(future, arg) when the future is done, for the library itself: in the context that
 * completes it, with the values of that, before the program's callbacks and at once also where
 * those have to wait in line. fn must be short. 0; -ENOMEM. */
int conc__future_add_hook(conc_future *future, conc_done_fn *fn, void *arg);

/* Take all off a future that becomes done, under its guard. NULL: there are none. */
struct future_callback *conc__callbacks_take(conc_future *future);

/* Run those that were taken, with no guard held. The caller has a reference to the future. */
void conc__callbacks_run(conc_future *future, struct future_callback *first);

/* Free those of a future that was never done. */
void conc__callbacks_free(struct future_callback *first);

#endif
