/* SPDX-License-Identifier: MIT
 *
 * Chapter09/example1.py and Chapter10/example3.py: are these three numbers primes? One after
 * another, timed.
 *
 * Watch: the two small numbers wait until the large one is done. The time is that of the example's
 * computing; there is nothing in it that waits.
 */
#include <conc.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>

#include "asyncio/numbers.h"
#include "support/listing.h"
#include "support/timer.h"

static void is_prime(int64_t x)
{
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
                return;
            }
        }
        printf("%" PRId64 " is a prime number.\n", x);
    }
}

int main(int argc, char **argv)
{
    struct numbers numbers = parse_numbers(argc, argv, "Example 3: primes, one after another.");
    int64_t start = conc_now();

    for (size_t i = 0; i < numbers.count; i++)
        is_prime(numbers.items[i]);

    printf("Took %.2f seconds.\n", seconds_since(start));
    return exit_status(0);
}
