/* SPDX-License-Identifier: MIT
 *
 * signal_impl.h: callbacks for signals, from which loops make handlers of their own.
 */
#ifndef CONC_LIB_SIGNAL_IMPL_H
#define CONC_LIB_SIGNAL_IMPL_H

#include <conc/signal.h>

#include "base/list.h"

/* Lies in the memory of whoever adds it. signo, fn and arg are set by it, the rest is private, and
 * zeroed. */
struct signal_callback {
    int signo;
    void (*fn)(int signo, void *arg); /* called by the thread that deals with signals, no guard
                                         held. It must not block: all signals wait for it */
    void *arg;
    struct list_node node;
    bool due;
};

/* Call callback->fn whenever the signal comes and nobody is in conc_signal_wait() for it; also if
 * it has come already and was kept. All callbacks of a signal are called, in the order in which
 * they were added. 0; -EINVAL, -ENOMEM: as conc_signal_catch(). After a fork the child has none. */
int conc__signal_add(struct signal_callback *callback);

/* Take it back: when this returns, it is not running and will not be called again (called from a
 * callback: only the latter). Without callbacks, and if the program doesn't catch it for itself,
 * the signal does what it did before. One that was not added is ignored. May block for as long as
 * the callback runs; not to be cancelled. */
void conc__signal_remove(struct signal_callback *callback);

#endif
