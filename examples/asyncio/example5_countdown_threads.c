/* SPDX-License-Identifier: MIT
 *
 * Chapter10/example5.py: the three countdowns, blocking, in a pool of three threads, awaited on the
 * event loop.
 *
 * Watch: the order and the 3.0 s of example 2. count_down() is once more the one of examples 1 and
 * 2; here conc_sleep() puts a thread of the pool to sleep, while the loop is free for others.
 */
#include <conc.h>
#include <stdio.h>

#define A_SECOND_IN_MS 1000
#include "support/listing.h"

enum { COUNTDOWNS = 3 };

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
        int err = conc_sleep(seconds(c->delay));
        if (err)
            return err;
        double duration = seconds_elapsed(start);
        printf("----------------------------------------\n"
               "%.4f \t%.*s%c = %d\n",
               duration, indents, "\t\t", c->name, n);
    }
    return 0;
}

static int main_task(void *arg, void *result)
{
    static const struct countdown args[COUNTDOWNS] = {{'A', 1}, {'B', 0.8}, {'C', 0.5}};
    conc_executor *executor = *(conc_executor **)arg;
    conc_loop *loop = conc_loop_current();
    conc_future *futures[COUNTDOWNS];
    for (int i = 0; i < COUNTDOWNS; i++)
        futures[i] =
            conc_loop_run_in_executor(loop, executor, count_down, &args[i], sizeof args[i], 0);

    int err = conc_gather(futures, COUNTDOWNS, NULL, CONC_FOREVER);
    for (int i = 0; i < COUNTDOWNS; i++)
        conc_future_unref(futures[i]);
    if (!err)
        printf("----------------------------------------\n"
               "Done.\n");
    return err;
}

int main(int argc, char **argv)
{
    const struct option_spec options[] = {OPTION_ROW_UNIT, {.name = NULL}};
    parse_options(argc, argv, "Example 5: three blocking countdowns, in threads.", options);
    start = conc_now();
    conc_executor *executor;
    int err = conc_thread_pool_new(&executor, 3, NULL);
    if (err)
        return exit_status(err);
    int status = exit_status(conc_run(main_task, &executor, sizeof executor, NULL, 0));
    conc_executor_free(executor);
    return status;
}
