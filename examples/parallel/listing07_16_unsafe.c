/* SPDX-License-Identifier: MIT
 *
 * Listing 7-16: an unsafe asynchronous program: a hundred tasks add to one number, and 1 is what
 * comes of it.
 *
 * Watch: `num += await offset()` reads num, waits, and then stores. Tasks change places only where
 * they wait, but here each waits between its read and its store: all have read 0 by then, and all
 * store 1. There is no data race in it, only one thread; the update is lost all the same.
 */
#include <conc.h>
#include <stdio.h>

#include "support/listing.h"

enum { TASKS = 100 };

static int num = 0;

static int offset(void)
{
    conc_yield(); /* await asyncio.sleep(0) */
    return 1;
}

static int increment(void *arg, void *result)
{
    int before = num;
    num = before + offset(); /* num += await offset() */
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
    parse_options(argc, argv, "Listing 7-16: tasks add to one number, unsafely; prints 1.", NULL);
    int result;
    int err = conc_run(onehundred, NULL, 0, &result, sizeof result);
    if (!err)
        printf("%d\n", result);
    return exit_status(err);
}
