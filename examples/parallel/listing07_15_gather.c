/* SPDX-License-Identifier: MIT
 *
 * Listing 7-15: gather to process tasks in parallel; prints 5.
 *
 * Watch: as listing 7-13, but number(2) and number(3) run at the same time. conc_gather() keeps the
 * order of the futures, whichever ends first.
 */
#include <conc.h>
#include <stdio.h>

#include "support/listing.h"

struct list {
    int count;
    int items[2];
};

static int number(void *arg, void *result)
{
    *(int *)result = *(int *)arg;
    return 0;
}

/* await asyncio.gather(number(2), number(3)) */
static int numbers(void *arg, void *result)
{
    struct list *list = result;
    conc_future *tasks[] = {
        conc_spawn(number, &(int){2}, sizeof(int), sizeof(int)),
        conc_spawn(number, &(int){3}, sizeof(int), sizeof(int)),
    };
    int err = conc_gather(tasks, 2, NULL, CONC_FOREVER);
    list->count = 2;
    for (int i = 0; i < 2; i++) {
        if (!err)
            err = conc_future_result(tasks[i], &list->items[i], CONC_NOW);
        conc_future_unref(tasks[i]);
    }
    return err;
}

static int add_all(conc_future *nums, int *ret)
{
    struct list list;
    int err = conc_future_result(nums, &list, CONC_FOREVER);
    if (err)
        return err;
    int total = 0;
    for (int i = 0; i < list.count; i++)
        total += list.items[i];
    *ret = total;
    return 0;
}

static int main_task(void *arg, void *result)
{
    conc_future *to_add = conc_spawn(numbers, NULL, 0, sizeof(struct list));
    int err = add_all(to_add, result);
    conc_future_unref(to_add);
    return err;
}

int main(int argc, char **argv)
{
    parse_options(argc, argv, "Listing 7-15: add up a gathered list; prints 5.", NULL);
    int result;
    int err = conc_run(main_task, NULL, 0, &result, sizeof result);
    if (!err)
        printf("%d\n", result);
    return exit_status(err);
}
