/* SPDX-License-Identifier: MIT
 *
 * Chapter09/example2.py and Chapter10/example4.py: the same as tasks, which yield every 100,000
 * steps.
 *
 * Watch: the small numbers are answered first, although the large one began first; but the whole is
 * no faster than example 3: one thread computes, and nothing waits. main() is the chapter's
 * `asyncio.run(main())` of Python 3.7.
 */
#include <conc.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>

#include "asyncio/numbers.h"
#include "support/listing.h"
#include "support/timer.h"

static int is_prime(void *arg, void *result)
{
    int64_t x = *(int64_t *)arg;
    printf("Processing %" PRId64 "...\n", x);

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
                return 0;
            }
            if (i % 100000 == 1)
                conc_yield(); /* await asyncio.sleep(0) */
        }
        printf("%" PRId64 " is a prime number.\n", x);
    }
    return 0;
}

static int main_task(void *arg, void *result)
{
    const struct numbers *numbers = arg;
    conc_future *tasks[NUMBERS_MAX];
    for (size_t i = 0; i < numbers->count; i++)
        tasks[i] = conc_spawn(is_prime, &numbers->items[i], sizeof *numbers->items, 0);

    ptrdiff_t done = conc_wait(tasks, numbers->count, CONC_ALL_COMPLETED, CONC_FOREVER);
    int err = done < 0 ? (int)done : 0;
    for (size_t i = 0; i < numbers->count; i++) {
        int failed = conc_future_result(tasks[i], NULL, CONC_NOW);
        err = err ? err : failed;
        conc_future_unref(tasks[i]);
    }
    return err;
}

int main(int argc, char **argv)
{
    struct numbers numbers = parse_numbers(argc, argv, "Example 4: primes, as tasks that yield.");
    int64_t start = conc_now();

    int err = conc_run(main_task, &numbers, sizeof numbers, NULL, 0);
    if (err) {
        printf("There was a problem:\n");
        return exit_status(err);
    }
    printf("Took %.2f seconds.\n", seconds_since(start));
    return exit_status(0);
}
