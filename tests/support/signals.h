/* SPDX-License-Identifier: MIT
 *
 * signals.h: for tests of conc/signal.h. Signals are raised in the thread that sends them, so that
 * they have arrived when it goes on.
 */
#ifndef CONC_TESTS_SIGNALS_H
#define CONC_TESTS_SIGNALS_H

#include <conc/signal.h>

#include "support.h"

static inline sigset_t set_of(int a, int b)
{
    sigset_t set;
    sigemptyset(&set);
    CHECK_EQUAL(sigaddset(&set, a), 0);
    CHECK_EQUAL(sigaddset(&set, b), 0);
    return set;
}

static inline sigset_t set_of_one(int signo) { return set_of(signo, signo); }

static inline int wait_for(int signo, conc_deadline deadline)
{
    sigset_t set = set_of_one(signo);
    return conc_signal_wait(&set, deadline);
}

static inline void catch_it(int signo)
{
    sigset_t set = set_of_one(signo);
    CHECK_EQUAL(conc_signal_catch(&set), 0);
}

static inline void release(int signo)
{
    sigset_t set = set_of_one(signo);
    CHECK_EQUAL(conc_signal_release(&set), 0);
}

static inline void send_signal(int signo) { CHECK_EQUAL(raise(signo), 0); }

struct waiter {
    struct test_thread thread;
    sigset_t set;
    conc_deadline deadline;
    conc_scope scope;
    int result, why;
};

static inline void wait_in_scope(void *arg)
{
    struct waiter *w = arg;
    conc_scope_enter(&w->scope, CONC_FOREVER);
    w->result = conc_signal_wait(&w->set, w->deadline);
    w->why = conc_scope_exit(&w->scope);
}

static inline void start_waiter(struct waiter *w, const char *name, sigset_t set)
{
    w->set = set;
    if (w->deadline.ns == 0)
        w->deadline = CONC_FOREVER;
    test_thread_start(&w->thread, name, wait_in_scope, w);
    wait_until_blocked(name, "signal");
}

#endif
