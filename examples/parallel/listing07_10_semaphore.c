/* SPDX-License-Identifier: MIT
 *
 * Listing 7-10: a semaphore lets three wait at a time.
 *
 * Watch: three 'Waiting' lines at once; then a new one only after a 'Resumed' line, until all five
 * have been served.
 */
#include <conc.h>
#include <inttypes.h>
#include <stdio.h>

#include "support/listing.h"

static conc_sem semaphore = CONC_SEM_INIT(3);

static int wait_random(void *arg, void *result)
{
    uint64_t thread_id = conc_context_id(NULL);
    int to_wait = randint(1, 10);
    int err = conc_sem_acquire(&semaphore, CONC_FOREVER);
    if (err)
        return err;
    printf("Thread %5" PRIu64 ": Waiting %2d seconds\n", thread_id, to_wait);
    int64_t start_time = conc_now();
    err = conc_sleep(to_wait * a_second);
    if (!err)
        printf("Thread %5" PRIu64 ": Resumed after %5.3f seconds\n", thread_id,
               seconds_elapsed(start_time));
    conc_sem_release(&semaphore, 1);
    return err;
}

int main(int argc, char **argv)
{
    const struct option_spec options[] = {OPTION_ROW_UNIT, OPTION_ROW_SEED, {.name = NULL}};
    parse_options(argc, argv, "Listing 7-10: five threads, three at a time.", options);
    conc_executor *pool;
    int err = conc_thread_pool_new(&pool, 0, NULL);
    if (err)
        return exit_status(err);
    conc_with_group (group, &err, CONC_FOREVER) {
        /* Schedule five worker functions */
        for (int i = 0; i < 5; i++)
            conc_group_submit(group, pool, wait_random, NULL, 0, NULL, 0);
    }
    int status = exit_status(err);
    conc_executor_free(pool);
    return status;
}
