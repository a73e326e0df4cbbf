/* SPDX-License-Identifier: MIT
 *
 * Listing 7-8: a barrier of five.
 *
 * Watch: each thread sleeps for a time of its own, but all five resume together, when the slowest
 * has come; the position says in which order they came.
 */
#include <conc.h>
#include <inttypes.h>
#include <stdio.h>

#include "support/listing.h"

static conc_barrier barrier = CONC_BARRIER_INIT(5, NULL, NULL);

static int wait_random(void *arg, void *result)
{
    uint64_t thread_id = conc_context_id(NULL);
    int to_wait = randint(1, 10);
    printf("Thread %5" PRIu64 ": Waiting %2d seconds\n", thread_id, to_wait);
    int64_t start_time = conc_now();
    int err = conc_sleep(to_wait * a_second);
    int i = err ? err : conc_barrier_wait(&barrier, CONC_FOREVER);
    if (i < 0)
        return i;
    double elapsed = seconds_elapsed(start_time);

    printf("Thread %5" PRIu64 ": Resumed in position %d after %5.3f seconds\n", thread_id, i,
           elapsed);
    return 0;
}

int main(int argc, char **argv)
{
    const struct option_spec options[] = {OPTION_ROW_UNIT, OPTION_ROW_SEED, {.name = NULL}};
    parse_options(argc, argv, "Listing 7-8: five threads meet at a barrier.", options);
    conc_executor *pool;
    int err = conc_thread_pool_new(&pool, 0, NULL);
    if (err)
        return exit_status(err);
    conc_with_group (group, &err, CONC_FOREVER) {
        /* Schedule five worker functions. If one fails, or cannot be started, the group ends the
         * others' wait. */
        for (int i = 0; i < 5; i++)
            conc_group_submit(group, pool, wait_random, NULL, 0, NULL, 0);
    }
    int status = exit_status(err);
    conc_executor_free(pool);
    return status;
}
