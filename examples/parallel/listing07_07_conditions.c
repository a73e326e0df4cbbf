/* SPDX-License-Identifier: MIT
 *
 * Listing 7-7: two conditions. Workers wait for data on one; main() waits for finished work on the
 * other.
 *
 * Watch: a worker keeps data_available while it sleeps, so one item is done per second whatever the
 * number of workers; main() goes on when five results are there, and each worker finishes the item
 * that it is about to take: seven in all.
 */
#include <conc.h>
#include <stdatomic.h>
#include <stdio.h>

#include "support/listing.h"

enum { ITEMS = 200 };

static int data[ITEMS];
static size_t data_len = 0; /* under data_available */
static int results[ITEMS];
static size_t results_len = 0; /* under work_complete */
static atomic_bool running = true;

/* A Python condition brings a lock of its own, a re-entrant one; here it is bound to one. */
static conc_rlock data_lock = CONC_RLOCK_INIT, work_lock = CONC_RLOCK_INIT;
static conc_cond data_available = CONC_COND_INIT_RLOCK(&data_lock);
static conc_cond work_complete = CONC_COND_INIT_RLOCK(&work_lock);

/* Is something in the data list? */
static bool has_data(void *arg) { return data_len > 0; }

/* Has the results list the length given? (In Python a function that returns a function; here the
 * length is the argument.) */
static bool num_complete(void *n) { return results_len >= *(size_t *)n; }

static int calculate(void *arg, void *result)
{
    while (running) {
        int i = 0;
        conc_with_rlock (&data_lock) {
            /* Hold the data_available lock and wait for has_data */
            printf("Waiting for data\n");
            int err = conc_cond_wait_for(&data_available, has_data, NULL, CONC_FOREVER);
            if (!err)
                err = conc_sleep(a_second);
            if (err)
                return err;
            i = data[--data_len];
        }
        conc_with_rlock (&work_lock) {
            if (i % 2)
                results[results_len++] = 1;
            else
                results[results_len++] = 0;
            /* Holding the work_complete lock, wake listeners */
            conc_cond_notify_all(&work_complete);
        }
    }
    return 0;
}

/* What main() does while the workers run. */
static int give_work(void)
{
    /* One `with` around all: libconc's lock is fair enough to give it to a worker now and then, and
     * a worker sleeps with it. */
    conc_with_rlock (&data_lock) {
        for (int i = 0; i < ITEMS; i++) {
            data[data_len++] = i;
            /* After adding each piece of data wake the data_available lock */
            conc_cond_notify(&data_available, 1);
        }
    }
    printf("%d items submitted\n", ITEMS);

    int err = 0;
    conc_with_rlock (&work_lock) {
        /* Wait for at least 5 items to be complete through the work_complete lock */
        err = conc_cond_wait_for(&work_complete, num_complete, &(size_t){5}, CONC_FOREVER);
    }
    /* Set a shared variable causing the threads to end their work */
    running = false;
    printf("Stopping workers\n");
    return err;
}

int main(int argc, char **argv)
{
    const struct option_spec options[] = {OPTION_ROW_UNIT, {.name = NULL}};
    parse_options(argc, argv, "Listing 7-7: two workers, two conditions.", options);
    conc_executor *pool;
    int err = conc_thread_pool_new(&pool, 0, NULL);
    if (err)
        return exit_status(err);
    conc_with_group (workers, &err, CONC_FOREVER) {
        /* Schedule two worker functions */
        for (int i = 0; i < 2; i++)
            conc_group_submit(workers, pool, calculate, NULL, 0, NULL, 0);
        err = give_work(); /* it is cancelled if a worker fails, or cannot be started */
    }
    printf("%zu items processed\n", results_len);
    int status = exit_status(err);
    conc_executor_free(pool);
    return status;
}
