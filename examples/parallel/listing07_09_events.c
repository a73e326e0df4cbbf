/* SPDX-License-Identifier: MIT
 *
 * Listing 7-9: an event sets a minimum wait time.
 *
 * Watch: whatever time a thread has slept, it does not resume before the master, which sets the
 * event; one that sleeps longer than the master finds it set and goes straight on.
 */
#include <conc.h>
#include <inttypes.h>
#include <stdio.h>

#include "support/listing.h"

static conc_event event = CONC_EVENT_INIT;

static int wait_random(void *arg, void *result)
{
    bool master = *(bool *)arg;
    uint64_t thread_id = conc_context_id(NULL);
    int to_wait = randint(1, 10);
    printf("Thread %5" PRIu64 ": Waiting %2d seconds (Master: %s)\n", thread_id, to_wait,
           master ? "True" : "False");
    int64_t start_time = conc_now();
    int err = conc_sleep(to_wait * a_second);
    if (err)
        return err;
    double elapsed = seconds_elapsed(start_time);
    if (master) {
        /* Before the set, or the others' lines could come first: in Python they may. */
        printf("Thread %5" PRIu64 ": Resumed after %5.3f seconds\n", thread_id, elapsed);
        conc_event_set(&event);
        return 0;
    }
    err = conc_event_wait(&event, CONC_FOREVER);
    if (!err)
        printf("Thread %5" PRIu64 ": Resumed after %5.3f seconds\n", thread_id,
               seconds_elapsed(start_time));
    return err;
}

int main(int argc, char **argv)
{
    const struct option_spec options[] = {OPTION_ROW_UNIT, OPTION_ROW_SEED, {.name = NULL}};
    parse_options(argc, argv, "Listing 7-9: four threads wait for a master's event.", options);
    conc_executor *pool;
    int err = conc_thread_pool_new(&pool, 0, NULL);
    if (err)
        return exit_status(err);
    conc_with_group (group, &err, CONC_FOREVER) {
        /* Schedule five worker functions. If one fails, or cannot be started, the group ends the
         * others' wait. */
        for (int i = 0; i < 4; i++)
            conc_group_submit(group, pool, wait_random, &(bool){false}, sizeof(bool), NULL, 0);
        conc_group_submit(group, pool, wait_random, &(bool){true}, sizeof(bool), NULL, 0);
    }
    int status = exit_status(err);
    conc_executor_free(pool);
    return status;
}
