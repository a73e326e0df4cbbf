/* SPDX-License-Identifier: MIT
 *
 * Listing 7-12: looping over a list of awaitables; prints 5.
 *
 * Watch: numbers() is an ordinary function; what it returns are futures, and the loop in add_all()
 * awaits each when it comes to it.
 */
#include <conc.h>
#include <stdio.h>

#include "support/listing.h"

enum { NUMBERS = 2 };

static int number(void *arg, void *result)
{
    *(int *)result = *(int *)arg;
    return 0;
}

/* [number(2), number(3)] */
static void numbers(conc_future *ret[NUMBERS])
{
    ret[0] = conc_spawn(number, &(int){2}, sizeof(int), sizeof(int));
    ret[1] = conc_spawn(number, &(int){3}, sizeof(int), sizeof(int));
}

static int add_all(conc_future *const *nums, int *ret)
{
    int total = 0;
    for (int i = 0; i < NUMBERS; i++) {
        int num;
        int err = conc_future_result(nums[i], &num, CONC_FOREVER);
        if (err)
            return err;
        total += num;
    }
    *ret = total;
    return 0;
}

static int main_task(void *arg, void *result)
{
    conc_future *to_add[NUMBERS];
    numbers(to_add);
    int err = add_all(to_add, result);
    for (int i = 0; i < NUMBERS; i++)
        conc_future_unref(to_add[i]);
    return err;
}

int main(int argc, char **argv)
{
    parse_options(argc, argv, "Listing 7-12: add up a list of awaitables; prints 5.", NULL);
    int result;
    int err = conc_run(main_task, NULL, 0, &result, sizeof result);
    if (!err)
        printf("%d\n", result);
    return exit_status(err);
}
