/* SPDX-License-Identifier: MIT */
#include <conc.h>
#include <stdio.h>

static conc_event gate = CONC_EVENT_INIT;

static int quick(void *arg, void *result)
{
    *(int *)result = *(int *)arg;
    return 0;
}

static int slow(void *arg, void *result)
{
    *(int *)result = *(int *)arg;
    return conc_event_wait(&gate, CONC_FOREVER);
}

static int print_done(conc_future **futures)
{
    conc_as_completed *iterator;
    int err = conc_as_completed_new(&iterator, futures, 3);
    if (err)
        return err;
    bool done[3] = {false};
    size_t i;
    conc_deadline deadline = conc_in(CONC_MS(100)); /* for all of them, as Python's timeout */
    while ((err = conc_as_completed_next(iterator, NULL, &i, deadline)) == 1)
        done[i] = true;
    conc_as_completed_free(iterator);

    if (err == -ETIMEDOUT)
        puts("timed out");
    for (i = 0; i < 3; i++) {
        if (done[i])
            printf("%zu: %d\n", i, *(const int *)conc_future_value(futures[i]));
        else
            printf("%zu: not done\n", i);
    }
    return 0;
}

int main(void)
{
    conc_executor *pool;
    int err = conc_thread_pool_new(&pool, 4, NULL);
    if (err) {
        fprintf(stderr, "as_completed: %s\n", conc_describe(err));
        return 1;
    }
    int n[] = {1, 2, 3}, sum = 0, answer;
    conc_future *futures[] = {
        conc_submit(pool, quick, &n[0], sizeof(int), sizeof(int)),
        conc_submit(pool, slow, &n[1], sizeof(int), sizeof(int)),
        conc_submit(pool, quick, &n[2], sizeof(int), sizeof(int)),
    };
    /* Or a busy machine might be late with these. */
    err = conc_future_result(futures[0], NULL, CONC_FOREVER);
    if (!err)
        err = conc_future_result(futures[2], NULL, CONC_FOREVER);
    if (!err)
        err = print_done(futures);

    conc_event_set(&gate);
    for (int i = 0; i < 3; i++) {
        int failed = conc_future_result(futures[i], &answer, CONC_FOREVER);
        err = err ? err : failed;
        sum += failed ? 0 : answer;
        conc_future_unref(futures[i]);
    }
    if (err)
        fprintf(stderr, "as_completed: %s\n", conc_describe(err));
    else
        printf("sum: %d\n", sum);
    conc_executor_free(pool);
    return err ? 1 : 0;
}
