/* SPDX-License-Identifier: MIT */
#include <conc.h>
#include <stdio.h>

enum { WORKERS = 3, NUMBERS = 10 };

struct result {
    int n, square;
};

static conc_queue jobs, results;

static int by_number(const void *a, const void *b, void *arg)
{
    return ((const struct result *)a)->n - ((const struct result *)b)->n;
}

static int worker(void *arg, void *result)
{
    int n, err;
    while ((err = conc_queue_get(&jobs, &n, CONC_FOREVER)) == 0) {
        struct result done = {n, n * n};
        conc_queue_put(&results, &done, CONC_FOREVER);
        conc_queue_task_done(&jobs);
    }
    return err == -ESHUTDOWN ? 0 : err;
}

static int square_all(void)
{
    conc_thread *threads[WORKERS] = {NULL};
    int err = 0;
    for (int i = 0; !err && i < WORKERS; i++)
        err = conc_thread_start(&threads[i], worker, NULL, 0, NULL);
    for (int n = 0; !err && n < NUMBERS; n++)
        err = conc_queue_put(&jobs, &n, CONC_FOREVER);
    if (!err)
        err = conc_queue_join(&jobs, CONC_FOREVER);

    conc_queue_shutdown(&jobs, false);
    for (int i = 0; i < WORKERS && threads[i] != NULL; i++) {
        conc_thread_join(threads[i], NULL, CONC_FOREVER);
        conc_thread_free(threads[i]);
    }
    return err;
}

int main(void)
{
    /* A bounded queue of this size has its memory from the start: no put can fail. */
    int err = conc_queue_init(&jobs, sizeof(int), 4, CONC_FIFO);
    if (!err)
        err = conc_queue_init_priority(&results, sizeof(struct result), NUMBERS, by_number, NULL);
    if (!err)
        err = square_all();

    struct result done;
    while (!err && conc_queue_get(&results, &done, CONC_NOW) == 0)
        printf("%d * %d = %d\n", done.n, done.n, done.square);
    if (err)
        fprintf(stderr, "queue_workers: %s\n", conc_describe(err));
    conc_queue_destroy(&results);
    conc_queue_destroy(&jobs);
    return err ? 1 : 0;
}
