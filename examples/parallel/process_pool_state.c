/* SPDX-License-Identifier: MIT
 *
 * Chapter 7, ProcessPoolExecutors: what a child sees of the parent's state, and that its changes
 * stay its own.
 *
 * The pool has one worker. Watch: its jobs begin with the number as it was when the pool was made,
 * and count on from there, from one job to the next; the parent, which has set it to 100 in the
 * meantime, sees nothing of that, and the jobs see nothing of the 100. Only what a job returns
 * comes over. Then the same two jobs in a thread, which shares everything.
 *
 * (A program that has several threads when it makes its first pool cannot be copied safely: jobs
 * then begin with the number as it was before main(), 1.)
 */
#include <conc.h>
#include <stdio.h>

#include "support/listing.h"

static int number = 1;

/* A job: what did you find, and what have you made of it? */
struct seen {
    int before, after;
};

static int increment(void *arg, void *result)
{
    struct seen *seen = result;
    seen->before = number;
    number += 1;
    seen->after = number;
    return 0;
}

static int run_jobs(conc_executor *pool)
{
    int err = 0;
    number = 100;
    for (int i = 0; i < 2 && !err; i++) {
        struct seen seen;
        err = conc_call(pool, increment, NULL, 0, &seen, sizeof seen, CONC_FOREVER);
        if (!err)
            printf("  a job finds %3d and leaves %3d; the parent has %3d\n", seen.before,
                   seen.after, number);
    }
    conc_executor_free(pool);
    return err;
}

int main(int argc, char **argv)
{
    parse_options(argc, argv, "What a process sees of its parent's state, and what of its own.",
                  NULL);
    conc_executor *pool;
    number = 42;
    int err = conc_process_pool_new(&pool, 1, NULL);
    if (err)
        return exit_status(err);
    printf("A pool of one process:\n");
    err = run_jobs(pool);
    if (err)
        return exit_status(err);
    err = conc_thread_pool_new(&pool, 1, NULL);
    if (err)
        return exit_status(err);
    printf("A pool of one thread:\n");
    return exit_status(run_jobs(pool));
}
