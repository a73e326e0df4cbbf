/* SPDX-License-Identifier: MIT
 *
 * Listing 7-4: no shared number at all. The tasks return what they want to change, and main() adds
 * it up.
 *
 * Watch: no lock anywhere, and 0 every time, however the hundred increments and the hundred
 * decrements are interleaved.
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

static int onehundred(int *ret)
{
    enum { TASKS = 200 };
    conc_future *tasks[TASKS];
    conc_executor *pool;
    int err = conc_thread_pool_new(&pool, 0, NULL);
    if (err)
        return err;
    for (int i = 0; i < TASKS; i += 2) {
        tasks[i] = conc_submit(pool, increment, NULL, 0, sizeof(int));
        tasks[i + 1] = conc_submit(pool, decrement, NULL, 0, sizeof(int));
    }
    conc_executor_free(pool); /* the end of `with`: all tasks are done */

    int number = 0;
    for (int i = 0; i < TASKS; i++) {
        int change = 0;
        int failed = conc_future_result(tasks[i], &change, CONC_NOW);
        number += change;
        err = err ? err : failed;
        conc_future_unref(tasks[i]);
    }
    *ret = number;
    return err;
}

int main(int argc, char **argv)
{
    parse_options(argc, argv, "Listing 7-4: add up what tasks return; prints 0.", NULL);
    int number;
    int err = onehundred(&number);
    if (!err)
        printf("%d\n", number);
    return exit_status(err);
}
