/* SPDX-License-Identifier: MIT
 *
 * async_wait.c, the chapter's cooperative waiting: two tasks, foo and bar, wait four times each,
 * for a random time.
 *
 * Watch: they take turns on one thread. While one waits the other goes on, so that the whole takes
 * as long as the slower of the two, not as both together.
 */
#include <conc.h>
#include <stdio.h>

#define A_SECOND_IN_MS 1000
#include "support/listing.h"
#include "support/timer.h"

static int waiter(void *arg, void *result)
{
    const char *name = *(const char **)arg;
    for (int i = 0; i < 4; i++) {
        double time_to_sleep = randint(1, 3) / 4.0;
        int err = conc_sleep(seconds(time_to_sleep));
        if (err)
            return err;
        printf("%s waited %g seconds\n", name, time_to_sleep);
    }
    return 0;
}

static int main_task(void *arg, void *result)
{
    static const char *const names[] = {"foo", "bar"};
    conc_future *tasks[] = {
        conc_spawn(waiter, &names[0], sizeof names[0], 0),
        conc_spawn(waiter, &names[1], sizeof names[1], 0),
    };
    int err = conc_gather(tasks, 2, NULL, CONC_FOREVER);
    conc_future_unref(tasks[0]);
    conc_future_unref(tasks[1]);
    return err;
}

int main(int argc, char **argv)
{
    const struct option_spec options[] = {OPTION_ROW_UNIT, OPTION_ROW_SEED, {.name = NULL}};
    parse_options(argc, argv, "Two tasks wait at random, and take turns.", options);
    int err = 0;
    with_timer ("time elapsed") {
        err = conc_run(main_task, NULL, 0, NULL, 0);
    }
    return exit_status(err);
}
