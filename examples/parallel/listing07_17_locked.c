/* SPDX-License-Identifier: MIT
 *
 * Listing 7-17: listing 7-16 with a lock; prints 100.
 *
 * Watch: the lock is the one that threads use, and it may be global, which the chapter forbids to
 * Python's asyncio.Lock: a task that waits for it is suspended, a thread sleeps.
 */
#include <conc.h>
#include <stdio.h>

#include "support/listing.h"

enum { TASKS = 100 };

static int num = 0;
static conc_lock numlock = CONC_LOCK_INIT;

static int offset(void)
{
    conc_yield(); /* await asyncio.sleep(0) */
    return 1;
}

static int increment(void *arg, void *result)
{
    conc_with_lock (&numlock) {
        int before = num;
        num = before + offset(); /* num += await offset() */
    }
    return 0;
}

static int onehundred(void *arg, void *result)
{
    conc_future *tasks[TASKS];
    for (int i = 0; i < TASKS; i++)
        tasks[i] = conc_spawn(increment, NULL, 0, 0);
    int err = conc_gather(tasks, TASKS, NULL, CONC_FOREVER);
    for (int i = 0; i < TASKS; i++)
        conc_future_unref(tasks[i]);
    *(int *)result = num;
    return err;
}

int main(int argc, char **argv)
{
    parse_options(argc, argv, "Listing 7-17: tasks add to one number under a lock; prints 100.",
                  NULL);
    int result;
    int err = conc_run(onehundred, NULL, 0, &result, sizeof result);
    if (!err)
        printf("%d\n", result);
    return exit_status(err);
}
