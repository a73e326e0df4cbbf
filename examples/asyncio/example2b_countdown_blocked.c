/* SPDX-License-Identifier: MIT
 *
 * Chapter 10, "a note on blocking functions": example 2 with a sleep that blocks the thread.
 *
 * Watch: in spite of the loop and the three tasks it takes 6.9 s, as in example 1. Other tasks run
 * only while a task waits in a call of libconc, and nanosleep() is none. With CONC_DEBUG=100 in the
 * environment the loop says on stderr which task has kept it for more than 100 ms.
 */
#include <conc.h>
#include <stdio.h>

#define A_SECOND_IN_MS 1000
#include "support/listing.h"

enum { TASKS = 3 };

struct countdown {
    char name;
    double delay;
};

static int64_t start;

static int count_down(void *arg, void *result)
{
    const struct countdown *c = arg;
    int indents = c->name - 'A';
    for (int n = 3; n > 0; n--) {
        time_sleep(c->delay); /* instead of conc_sleep() */
        double duration = seconds_elapsed(start);
        printf("----------------------------------------\n"
               "%.4f \t%.*s%c = %d\n",
               duration, indents, "\t\t", c->name, n);
    }
    return 0;
}

static conc_future *create_task(conc_loop *loop, char name, double delay)
{
    struct countdown c = {name, delay};
    return conc_task_start(loop, count_down, &c, sizeof c, 0, NULL);
}

/* asyncio.wait(tasks), which itself is run as a task. */
static int wait_for_tasks(void *arg, void *result)
{
    conc_future **tasks = *(conc_future ***)arg;
    ptrdiff_t done = conc_wait(tasks, TASKS, CONC_ALL_COMPLETED, CONC_FOREVER);
    return done < 0 ? (int)done : 0;
}

static int run_tasks(conc_loop *loop)
{
    conc_future *tasks[TASKS] = {
        create_task(loop, 'A', 1),
        create_task(loop, 'B', 0.8),
        create_task(loop, 'C', 0.5),
    };
    conc_future **list = tasks;
    conc_future *wait = conc_task_start(loop, wait_for_tasks, &list, sizeof list, 0, NULL);

    start = conc_now();
    int err = conc_loop_run_until_complete(loop, wait);
    if (!err)
        err = conc_future_result(wait, NULL, CONC_NOW);
    conc_future_unref(wait);
    for (int i = 0; i < TASKS; i++) {
        int failed = conc_future_result(tasks[i], NULL, CONC_NOW);
        err = err ? err : failed;
        conc_future_unref(tasks[i]);
    }
    return err;
}

int main(int argc, char **argv)
{
    const struct option_spec options[] = {OPTION_ROW_UNIT, {.name = NULL}};
    parse_options(argc, argv, "Example 2 with a sleep that blocks the loop.", options);
    conc_loop *loop;
    int err = conc_loop_new(&loop, NULL); /* asyncio.get_event_loop() */
    if (err)
        return exit_status(err);
    err = run_tasks(loop);
    if (!err)
        printf("----------------------------------------\n"
               "Done.\n");
    int status = exit_status(err);
    conc_loop_free(loop);
    return status;
}
