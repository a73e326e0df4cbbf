/* SPDX-License-Identifier: MIT
 *
 * Listing 7-6: nested locking with a re-entrant lock.
 *
 * Watch: increment() holds numlock and calls fiddle_with_num(), which takes it again. With a plain
 * lock the first call would wait for itself for ever. Prints -46: four increments, the jump to -50,
 * four increments more.
 */
#include <conc.h>
#include <stdio.h>

#include "support/listing.h"

static int num = 0;

static conc_rlock numlock = CONC_RLOCK_INIT;

static void fiddle_with_num(void)
{
    conc_with_rlock (&numlock) {
        if (num == 4)
            num = -50;
    }
}

static int increment(void *arg, void *result)
{
    conc_with_rlock (&numlock) {
        num += 1;
        fiddle_with_num();
    }
    return 0;
}

int main(int argc, char **argv)
{
    parse_options(argc, argv, "Listing 7-6: a re-entrant lock; prints -46.", NULL);
    conc_executor *pool;
    int err = conc_thread_pool_new(&pool, 0, NULL);
    if (err)
        return exit_status(err);
    conc_with_group (group, &err, CONC_FOREVER) {
        for (int i = 0; i < 8; i++)
            conc_group_submit(group, pool, increment, NULL, 0, NULL, 0);
    }
    if (!err)
        printf("%d\n", num);
    int status = exit_status(err);
    conc_executor_free(pool);
    return status;
}
