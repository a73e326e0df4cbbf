/* SPDX-License-Identifier: MIT
 *
 * Listing 7-11: a hundred increments and a hundred decrements as tasks, each awaited for its
 * result.
 *
 * Watch: `await f()` is to start a task and ask for its result. asyncio.run() is conc_run(), which
 * makes a loop, runs the main task on it, and frees it.
 */
#include <conc.h>
#include <stdio.h>

#include "support/listing.h"

static int increment(void *arg, void *result)
{
    *(int *)result = 1;
    return 0;
}

static int decrement(void *arg, void *result)
{
    *(int *)result = -1;
    return 0;
}

/* await fn() */
static int await(conc_fn *fn, int *ret)
{
    conc_future *task = conc_spawn(fn, NULL, 0, sizeof(int));
    int err = conc_future_result(task, ret, CONC_FOREVER);
    conc_future_unref(task);
    return err;
}

static int onehundred(void *arg, void *result)
{
    int num = 0;
    for (int i = 0; i < 100; i++) {
        int change;
        int err = await(increment, &change);
        if (err)
            return err;
        num += change;
        err = await(decrement, &change);
        if (err)
            return err;
        num += change;
    }
    *(int *)result = num;
    return 0;
}

int main(int argc, char **argv)
{
    parse_options(argc, argv, "Listing 7-11: add up what tasks return; prints 0.", NULL);
    int num;
    int err = conc_run(onehundred, NULL, 0, &num, sizeof num);
    if (!err)
        printf("%d\n", num);
    return exit_status(err);
}
