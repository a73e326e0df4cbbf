/* SPDX-License-Identifier: MIT */
#include <conc.h>
#include <stdio.h>

enum { PAGES = 8 };

static conc_sem limit = CONC_SEM_INIT(3);
static int now, most; /* no lock: only tasks of one loop use them, and none waits in between */

static int fetch(void *arg, void *result)
{
    int n = *(int *)arg;
    int err = conc_sem_acquire(&limit, CONC_FOREVER);
    if (err)
        return err;
    now++;
    most = now > most ? now : most;
    err = conc_sleep(CONC_MS(10));
    now--;
    conc_sem_release(&limit, 1); /* what async with does, also after an error */
    if (err)
        return err;
    if (n == 5)
        return conc_raise(-ENOENT, "no page %d", n);
    *(int *)result = n * 100;
    return 0;
}

static int main_task(void *arg, void *result)
{
    conc_future *futures[PAGES];
    int errors[PAGES];
    for (int n = 0; n < PAGES; n++)
        futures[n] = conc_spawn(fetch, &n, sizeof n, sizeof(int));

    int err = conc_gather(futures, PAGES, errors, CONC_FOREVER);
    for (int n = 0; n < PAGES; n++) {
        if (!err && errors[n])
            printf("%d: %s\n", n, conc_future_message(futures[n]));
        else if (!err)
            printf("%d: %d\n", n, *(const int *)conc_future_value(futures[n]));
        conc_future_unref(futures[n]);
    }
    if (!err)
        printf("at most %d at once\n", most);
    return err;
}

int main(void)
{
    int err = conc_run(main_task, NULL, 0, NULL, 0);
    if (err)
        fprintf(stderr, "semaphore_gather: %s\n", conc_describe(err));
    return err ? 1 : 0;
}
