/* SPDX-License-Identifier: MIT
 *
 * gdb_target.c: a program that stops with three tasks, for test_gdb.sh to look at.
 */
#include <conc.h>
#include <signal.h>

static conc_event never;

__attribute__((noinline)) static int wait_in_vain(void)
{
    int err = conc_event_wait(&never, CONC_FOREVER);
    return err ? err : -EINVAL; /* work after the call: so it is a call, not a jump */
}

static int waiter(void *arg, void *result)
{
    conc_context_set_name("the waiter");
    int err = wait_in_vain();
    return err == -ECANCELED ? 0 : err;
}

static int sleeper(void *arg, void *result)
{
    int err = conc_sleep(CONC_S(60));
    return err == -ECANCELED ? 0 : err;
}

static int main_task(void *arg, void *result)
{
    conc_future *waiting = conc_spawn(waiter, NULL, 0, 0);
    conc_future *sleeping = conc_spawn(sleeper, NULL, 0, 0);
    conc_yield();
    conc_yield();
    raise(SIGTRAP); /* here gdb looks */
    conc_future_unref(waiting);
    conc_future_unref(sleeping);
    return 0;
}

int main(void) { return conc_run(main_task, NULL, 0, NULL, 0) ? 1 : 0; }
