/* SPDX-License-Identifier: MIT
 *
 * sharing.h: for the tests of what processes share: children that are forked, end and are killed.
 * They run one thread, and use of libconc only what they were given.
 */
#ifndef CONC_TESTS_SHARING_H
#define CONC_TESTS_SHARING_H

#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include <conc/shared.h>

#include "ways.h"

/* Fork a child that runs fn(arg); it must not return before it is done. */
static inline pid_t child_start(void (*fn)(void *arg), void *arg)
{
    static const int caught_by_cmocka[] = {SIGABRT, SIGBUS, SIGFPE, SIGILL, SIGSEGV, SIGSYS};
    fflush(stdout);
    pid_t pid = fork();
    CHECK(pid >= 0);
    if (pid)
        return pid;
    for (size_t i = 0; i < sizeof caught_by_cmocka / sizeof *caught_by_cmocka; i++)
        signal(caught_by_cmocka[i], SIG_DFL);
    alarm(60); /* the watchdog stays with the parent */
    fn(arg);
    kill(getpid(), SIGKILL); /* leaves without what is done at exit, which is the parent's */
    _exit(1);
}

/* Wait until it has ended, letting others run. The signal: SIGKILL if all went well. */
static inline int child_end(pid_t pid)
{
    int status;
    pid_t ended;
    UNTIL((ended = waitpid(pid, &status, WNOHANG)) != 0);
    CHECK_EQUAL(ended, pid);
    return WIFSIGNALED(status) ? WTERMSIG(status) : -WEXITSTATUS(status);
}

static inline void child_kill(pid_t pid)
{
    CHECK_EQUAL(kill(pid, SIGKILL), 0);
    CHECK_EQUAL(child_end(pid), SIGKILL);
}

/* A block, zeroed. */
static inline void *shared_block(size_t size)
{
    void *block;
    CHECK_EQUAL(conc_shared_new(&block, size), 0);
    return block;
}

/* Begin a job beside the caller and cancel it once it is blocked on `what`. Its error. */
static inline int cancel_when_blocked(conc_fn *fn, const void *arg, size_t arg_size,
                                      const char *what)
{
    conc_future *f = start(fn, arg, arg_size);
    UNTIL(blocked_on(what) == 1);
    conc_future_cancel(f);
    return end_of(f);
}

#endif
