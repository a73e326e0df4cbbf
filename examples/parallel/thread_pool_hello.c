/* SPDX-License-Identifier: MIT
 *
 * The two ThreadPoolExecutor snippets of chapter 7, and the caution after them.
 *
 * Hello world from a pool; then 2**16, computed in a pool, through a future. Watch the last part:
 * an error that no code asks for is lost in Python ("this can make debugging difficult"); here it
 * is reported on stderr when the last reference to its future is given back.
 */
#include <conc.h>
#include <stdio.h>

#include "support/listing.h"

static int helloworld(void *arg, void *result)
{
    printf("Hello world!\n");
    return 0;
}

static int calculate(void *arg, void *result)
{
    int value = 1;
    for (int i = 0; i < 16; i++)
        value *= 2;
    *(int *)result = value;
    return 0;
}

static int broken(void *arg, void *result)
{
    return conc_raise(-EDOM, "a calculation failed, and nobody asked for its result");
}

static int hello_snippet(void)
{
    conc_executor *pool;
    int err = conc_thread_pool_new(&pool, 0, NULL);
    if (err)
        return err;
    conc_future *task = conc_submit(pool, helloworld, NULL, 0, 0);
    conc_executor_free(pool); /* the end of `with`: waits for all tasks */
    err = conc_future_result(task, NULL, CONC_NOW);
    conc_future_unref(task);
    return err;
}

static int future_snippet(void)
{
    conc_executor *pool;
    int err = conc_thread_pool_new(&pool, 0, NULL);
    if (err)
        return err;
    conc_future *task = conc_submit(pool, calculate, NULL, 0, sizeof(int));
    conc_executor_free(pool);

    int value;
    err = conc_future_result(task, &value, CONC_NOW); /* done already: it cannot block */
    if (!err)
        printf("%d\n", value);
    conc_future_unref(task);
    return err;
}

static int error_nobody_asks_for(void)
{
    conc_executor *pool;
    int err = conc_thread_pool_new(&pool, 0, NULL);
    if (err)
        return err;
    conc_future_unref(conc_submit(pool, broken, NULL, 0, 0));
    conc_executor_free(pool);
    return 0;
}

int main(int argc, char **argv)
{
    parse_options(argc, argv,
                  "Hello world and 2**16 from a thread pool, and an error that nobody asks for.",
                  NULL);
    int err = hello_snippet();
    if (err)
        return exit_status(err);
    err = future_snippet();
    if (err)
        return exit_status(err);
    return exit_status(error_nobody_asks_for());
}
