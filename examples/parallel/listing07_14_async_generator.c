/* SPDX-License-Identifier: MIT
 *
 * Listing 7-14: an asynchronous generator; prints 5.
 *
 * Watch: numbers() awaits each number only when add_all() wants the next: they are not all made
 * beforehand. `async for` and `for` are the same loop here: like any function, a generator blocks
 * the task or the thread that consumes it.
 */
#include <conc.h>
#include <stdio.h>

#include "support/listing.h"

static int number(void *arg, void *result)
{
    *(int *)result = *(int *)arg;
    return 0;
}

/* yield await number(num) */
static int yield_number(conc_generator *generator, int num)
{
    conc_future *task = conc_spawn(number, &num, sizeof num, sizeof num);
    int err = conc_future_result(task, &num, CONC_FOREVER);
    conc_future_unref(task);
    return err ? err : conc_generator_yield(generator, &num);
}

static int numbers(conc_generator *generator, void *arg)
{
    int err = yield_number(generator, 2);
    return err ? err : yield_number(generator, 3);
}

static int add_all(conc_generator *nums, int *ret)
{
    int total = 0, num, err;
    while ((err = conc_generator_next(nums, &num, CONC_FOREVER)) == 1) /* async for num in nums */
        total += num;
    if (!err)
        *ret = total;
    return err;
}

static int main_task(void *arg, void *result)
{
    conc_generator *to_add;
    int err = conc_generator_new(&to_add, numbers, NULL, 0, sizeof(int), NULL);
    if (err)
        return err;
    err = add_all(to_add, result);
    conc_generator_free(to_add);
    return err;
}

int main(int argc, char **argv)
{
    parse_options(argc, argv, "Listing 7-14: add up what a generator yields; prints 5.", NULL);
    int result;
    int err = conc_run(main_task, NULL, 0, &result, sizeof result);
    if (!err)
        printf("%d\n", result);
    return exit_status(err);
}
