/* SPDX-License-Identifier: MIT
 *
 * Chapter10/example6.py: are these three numbers primes? By a pool of three processes, awaited on
 * the event loop.
 *
 * Watch: as in example 4 the small numbers are answered first; but is_prime() is the plain one of
 * example 3, which never yields, and the loop stays free for others. With several large numbers it
 * is also faster: they are tested at the same time.
 */
#include <conc.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>

#include "asyncio/numbers.h"
#include "support/child.h"
#include "support/listing.h"
#include "support/timer.h"

enum { MAX_WORKERS = 3 };

static int is_prime(void *arg, void *result)
{
    int64_t x = *(int64_t *)arg;
    printf("Processing %" PRId64 "...\n", x);
    fflush(stdout); /* before the long work: another process writes there too */

    if (x < 2) {
        printf("%" PRId64 " is not a prime number.\n", x);
    } else if (x == 2) {
        printf("%" PRId64 " is a prime number.\n", x);
    } else if (x % 2 == 0) {
        printf("%" PRId64 " is not a prime number.\n", x);
    } else {
        int64_t limit = (int64_t)sqrt((double)x) + 1;
        for (int64_t i = 3; i < limit; i += 2) {
            if (x % i == 0) {
                printf("%" PRId64 " is not a prime number.\n", x);
                return printed();
            }
        }
        printf("%" PRId64 " is a prime number.\n", x);
    }
    return printed();
}

struct work {
    conc_executor *executor;
    struct numbers numbers;
};

static int main_task(void *arg, void *result)
{
    const struct work *work = arg;
    conc_loop *loop = conc_loop_current();
    conc_future *tasks[NUMBERS_MAX];
    for (size_t i = 0; i < work->numbers.count; i++)
        tasks[i] = conc_loop_run_in_executor(loop, work->executor, is_prime,
                                             &work->numbers.items[i], sizeof(int64_t), 0);

    int err = conc_gather(tasks, work->numbers.count, NULL, CONC_FOREVER);
    for (size_t i = 0; i < work->numbers.count; i++)
        conc_future_unref(tasks[i]);
    return err;
}

int main(int argc, char **argv)
{
    struct work work = {
        .numbers = parse_numbers(argc, argv, "Example 6: primes, by a pool of three processes.")};
    int64_t start = conc_now();

    int err = conc_process_pool_new(&work.executor, MAX_WORKERS, NULL);
    if (err)
        return exit_status(err);
    err = conc_run(main_task, &work, sizeof work, NULL, 0);
    conc_executor_free(work.executor);
    if (err) {
        printf("There was a problem:\n");
        return exit_status(err);
    }
    printf("Took %.2f seconds.\n", seconds_since(start));
    return exit_status(0);
}
