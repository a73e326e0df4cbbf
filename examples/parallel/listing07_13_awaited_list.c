/* SPDX-License-Identifier: MIT
 *
 * Listing 7-13: awaiting a list of integers; prints 5.
 *
 * Watch: the other way round than listing 7-12. Now numbers() is the task, and its result is the
 * whole list, a value: add_all() awaits once, and loops over plain integers.
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

/* await number(num) */
static int await_number(int num, int *ret)
{
    conc_future *task = conc_spawn(number, &num, sizeof num, sizeof *ret);
    int err = conc_future_result(task, ret, CONC_FOREVER);
    conc_future_unref(task);
    return err;
}

/* [await number(2), await number(3)] */
static int numbers(void *arg, void *result)
{
    struct list *list = result;
    list->count = 2;
    int err = await_number(2, &list->items[0]);
    return err ? err : await_number(3, &list->items[1]);
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
    parse_options(argc, argv, "Listing 7-13: add up an awaited list; prints 5.", NULL);
    int result;
    int err = conc_run(main_task, NULL, 0, &result, sizeof result);
    if (!err)
        printf("%d\n", result);
    return exit_status(err);
}
