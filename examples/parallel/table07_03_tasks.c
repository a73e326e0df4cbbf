/* SPDX-License-Identifier: MIT
 *
 * Table 7-3, and the `gather` after it: three sleeps of a second, in three ways.
 *
 * Watch: awaited in turn they take three seconds, and the loop has nothing else to do meanwhile.
 * Spawned first and awaited afterwards, they take one: a task runs from the moment when it is
 * spawned, not from the moment when another waits for it. conc_gather() is the same in one call.
 */
#include <conc.h>
#include <stdio.h>

#include "support/listing.h"

static int sleep_a_second(void *arg, void *result) { return conc_sleep(a_second); }

/* Left: await asyncio.sleep(1), three times. To await a coroutine at once is just to call it. */
static int awaited_in_turn(void)
{
    int err = sleep_a_second(NULL, NULL);
    if (err)
        return err;
    err = sleep_a_second(NULL, NULL);
    if (err)
        return err;
    return sleep_a_second(NULL, NULL);
}

static int await_and_unref(conc_future *task)
{
    int err = conc_future_result(task, NULL, CONC_FOREVER);
    conc_future_unref(task);
    return err;
}

/* Right: asyncio.create_task(asyncio.sleep(1)), three times; then await each. */
static int spawned_first(void)
{
    conc_future *first = conc_spawn(sleep_a_second, NULL, 0, 0);
    conc_future *second = conc_spawn(sleep_a_second, NULL, 0, 0);
    conc_future *third = conc_spawn(sleep_a_second, NULL, 0, 0);
    int err1 = await_and_unref(first);
    int err2 = await_and_unref(second);
    int err3 = await_and_unref(third);
    return err1 ? err1 : err2 ? err2 : err3;
}

/* await asyncio.gather(asyncio.sleep(1), asyncio.sleep(1), asyncio.sleep(1)) */
static int gathered(void)
{
    conc_future *tasks[3];
    for (int i = 0; i < 3; i++)
        tasks[i] = conc_spawn(sleep_a_second, NULL, 0, 0);
    int err = conc_gather(tasks, 3, NULL, CONC_FOREVER);
    for (int i = 0; i < 3; i++)
        conc_future_unref(tasks[i]);
    return err;
}

static int slow(void *arg, void *result)
{
    static const struct {
        const char *how;
        int (*sleep)(void);
    } ways[] = {
        {"awaited in turn", awaited_in_turn},
        {"spawned first", spawned_first},
        {"gathered", gathered},
    };
    for (size_t i = 0; i < sizeof ways / sizeof *ways; i++) {
        int64_t start = conc_now();
        int err = ways[i].sleep();
        if (err)
            return err;
        printf("%-15s  %.4f\n", ways[i].how, seconds_elapsed(start));
    }
    return 0;
}

int main(int argc, char **argv)
{
    const struct option_spec options[] = {OPTION_ROW_UNIT, {.name = NULL}};
    parse_options(argc, argv, "Table 7-3: three sleeps, in turn and at once.", options);
    return exit_status(conc_run(slow, NULL, 0, NULL, 0));
}
