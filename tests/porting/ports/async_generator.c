/* SPDX-License-Identifier: MIT */
#include <conc.h>
#include <stdio.h>

static int pages(conc_generator *generator, void *arg)
{
    int last = *(int *)arg, err = 0;
    for (int n = 1; !err && n <= last; n++) {
        err = conc_sleep(CONC_MS(10)); /* a request */
        if (!err)
            err = conc_generator_yield(generator, &n); /* -ECANCELED: the consumer has gone */
    }
    puts("connection closed");
    return err;
}

/* The pages up to `stop`, of `last`. Works in a thread as well: it is the consumer that sleeps. */
static int read_pages(int last, int stop)
{
    conc_generator *book;
    int n, err = conc_generator_new(&book, pages, &last, sizeof last, sizeof n, NULL);
    if (err)
        return err;
    while ((err = conc_generator_next(book, &n, CONC_FOREVER)) == 1) {
        printf("page %d\n", n);
        if (n == stop)
            break;
    }
    conc_generator_free(book);
    return err < 0 ? err : 0;
}

static int main_task(void *arg, void *result)
{
    int err = read_pages(2, 0);
    return err ? err : read_pages(1000, 3);
}

int main(void)
{
    int err = conc_run(main_task, NULL, 0, NULL, 0);
    if (err)
        fprintf(stderr, "async_generator: %s\n", conc_describe(err));
    return err ? 1 : 0;
}
