/* SPDX-License-Identifier: MIT
 *
 * async_print.c, the chapter's first steps with an event loop: ten tasks, each of which prints its
 * number.
 *
 * Watch: they run one after another, in the order in which they were made, since none has anything
 * to wait for. (The chapter's print in a random order, because asyncio.wait() makes a set of them.)
 */
#include <conc.h>
#include <stdio.h>

#include "support/listing.h"

enum { TASKS = 10 };

static int print_number(void *arg, void *result)
{
    printf("%d\n", *(int *)arg);
    return 0;
}

/* asyncio.wait([print_number(number) for number in range(10)]) */
static int print_all(void *arg, void *result)
{
    conc_future *tasks[TASKS];
    for (int number = 0; number < TASKS; number++)
        tasks[number] = conc_spawn(print_number, &number, sizeof number, 0);

    ptrdiff_t done = conc_wait(tasks, TASKS, CONC_ALL_COMPLETED, CONC_FOREVER);
    int err = done < 0 ? (int)done : 0;
    for (int i = 0; i < TASKS; i++) {
        int failed = conc_future_result(tasks[i], NULL, CONC_NOW);
        err = err ? err : failed;
        conc_future_unref(tasks[i]);
    }
    return err;
}

int main(int argc, char **argv)
{
    parse_options(argc, argv, "Ten tasks print their numbers.", NULL);
    conc_loop *loop;
    int err = conc_loop_new(&loop, NULL); /* asyncio.get_event_loop() */
    if (err)
        return exit_status(err);
    conc_future *task = conc_task_start(loop, print_all, NULL, 0, 0, NULL);
    err = conc_loop_run_until_complete(loop, task);
    if (!err)
        err = conc_future_result(task, NULL, CONC_NOW);
    int status = exit_status(err);
    conc_future_unref(task);
    conc_loop_free(loop);
    return status;
}
