/* SPDX-License-Identifier: MIT */
#include <conc.h>
#include <stdio.h>

enum { NUMBERS = 4 };

static int half(void *arg, void *result)
{
    int n = *(int *)arg;
    if (n % 2 != 0)
        return conc_raise(-EINVAL, "%d is odd", n);
    *(int *)result = n / 2;
    return 0;
}

int main(void)
{
    int numbers[NUMBERS] = {4, 7, 10, 13}, answers[NUMBERS];
    conc_executor *pool;
    int err = conc_thread_pool_new(&pool, 4, NULL);
    if (err) {
        fprintf(stderr, "pool_errors: %s\n", conc_describe(err));
        return 1;
    }

    conc_future *futures[NUMBERS];
    for (int i = 0; i < NUMBERS; i++)
        futures[i] = conc_submit(pool, half, &numbers[i], sizeof(int), sizeof(int));
    for (int i = 0; i < NUMBERS; i++) {
        err = conc_future_result(futures[i], &answers[i], CONC_FOREVER);
        if (!err)
            printf("half of %d: %d\n", numbers[i], answers[i]);
        else
            printf("half of %d: %s\n", numbers[i], conc_describe(err));
        conc_future_unref(futures[i]);
    }

    err = conc_map(pool, half, numbers, NUMBERS, sizeof(int), answers, sizeof(int), NULL,
                   CONC_FOREVER);
    if (err)
        printf("map: %s\n", conc_describe(err));
    conc_executor_free(pool);
    return 0;
}
