/* SPDX-License-Identifier: MIT
 *
 * Chapter10/example1.py: three countdowns, one after another.
 *
 * Watch: nothing overlaps, so it takes as long as all the waiting together, 6.9 s. count_down()
 * already has the shape of a job, and can be called like any function all the same: the next
 * examples run this very function as tasks and in threads.
 */
#include <conc.h>
#include <stdio.h>

#define A_SECOND_IN_MS 1000
#include "support/listing.h"

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

int main(int argc, char **argv)
{
    const struct option_spec options[] = {OPTION_ROW_UNIT, {.name = NULL}};
    parse_options(argc, argv, "Example 1: three countdowns, one after another.", options);
    start = conc_now();
    struct countdown countdowns[] = {{'A', 1}, {'B', 0.8}, {'C', 0.5}};
    for (int i = 0; i < 3; i++) {
        int err = count_down(&countdowns[i], NULL);
        if (err)
            return exit_status(err);
    }
    printf("----------------------------------------\n"
           "Done.\n");
    return exit_status(0);
}
