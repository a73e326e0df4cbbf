/* SPDX-License-Identifier: MIT
 *
 * signal_impl.h: callbacks for signals, from which loops make handlers of their own.
 */
#ifndef CONC_LIB_SIGNAL_IMPL_H
#define CONC_LIB_SIGNAL_IMPL_H

#include <conc/signal.h>

#include "base/list.h"

/* Lies in the memory of the caller that adds it, who sets signo, fn and arg. The rest is private,
 * and zeroed. */
struct signal_callback {
    int signo;
    /* Called by the dispatcher, the thread that deals with signals, with no guard held. It must not
     * block: all signals wait for it. */
    void (*fn)(int signo, void *arg);
    void *arg;
    struct list_node node;
    bool due;
};

/* Call callback->fn whenever the signal comes and no context is in conc_signal_wait() for it; also
 * if it has come already and was kept. All callbacks of a signal are called, in the order in which
 * they were added. 0; -EINVAL, -ENOMEM: as conc_signal_catch(). After a fork the child has none. */
int conc__signal_add(struct signal_callback *callback);

/* Take it back: when this returns, it is not running and will not be called again (in a call from a
 * callback: only the latter). Without callbacks, and if the program doesn't catch it for itself,
 * the signal does what it did before. A callback that was not added is ignored. May block for as
 * long as the callback runs; not a cancellation point. */
void conc__signal_remove(struct signal_callback *callback);

#endif
