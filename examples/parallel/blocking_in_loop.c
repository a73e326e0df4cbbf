/* SPDX-License-Identifier: MIT
 *
 * 'Using synchronous libraries' in chapter 7: three sleeps and a blocking call, gathered.
 *
 * Watch: first 2 seconds, although all are of one: while the blocking call has the loop's thread,
 * no sleeping task can even begin or end. Then the same call by conc_loop_run_in_executor(): 1
 * second, for it blocks a thread of the loop's pool instead.
 */
#include <conc.h>
#include <stdio.h>

#include "support/listing.h"

enum { TASKS = 4 };

static int sleep_a_second(void *arg, void *result) { return conc_sleep(a_second); }

/* As a synchronous library does. */
static int synchronous_call(void *arg, void *result)
{
    time_sleep(1);
    return 0;
}

static int synchronous_task(void *arg, void *result) { return synchronous_call(NULL, NULL); }

static int synchronous_task_in_executor(void *arg, void *result)
{
    conc_loop *loop = conc_loop_current();
    conc_future *call = conc_loop_run_in_executor(loop, NULL, synchronous_call, NULL, 0, 0);
    int err = conc_future_result(call, NULL, CONC_FOREVER);
    conc_future_unref(call);
    return err;
}

static int slow(conc_fn *synchronous)
{
    int64_t start = conc_now();
    conc_future *tasks[TASKS] = {
        conc_spawn(sleep_a_second, NULL, 0, 0),
        conc_spawn(sleep_a_second, NULL, 0, 0),
        conc_spawn(synchronous, NULL, 0, 0),
        conc_spawn(sleep_a_second, NULL, 0, 0),
    };
    int err = conc_gather(tasks, TASKS, NULL, CONC_FOREVER);
    for (int i = 0; i < TASKS; i++)
        conc_future_unref(tasks[i]);
    if (!err)
        printf("%.4f\n", seconds_elapsed(start));
    return err;
}

static int main_task(void *arg, void *result)
{
    printf("A blocking call in the loop:\n");
    int err = slow(synchronous_task);
    if (err)
        return err;
    printf("A blocking call by run_in_executor():\n");
    return slow(synchronous_task_in_executor);
}

int main(int argc, char **argv)
{
    const struct option_spec options[] = {OPTION_ROW_UNIT, {.name = NULL}};
    parse_options(argc, argv, "Three sleeps and a blocking call, in the loop and beside it.",
                  options);
    return exit_status(conc_run(main_task, NULL, 0, NULL, 0));
}
