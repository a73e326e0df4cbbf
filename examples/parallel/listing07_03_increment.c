/* SPDX-License-Identifier: MIT
 *
 * Listing 7-3 and the test of switch intervals after it: two threads add to one number, first
 * without a lock, then with one.
 *
 * `num += 1` is four bytecodes in Python (and as good as four instructions in C): an update is lost
 * when the other thread stores between a thread's load and its store. Python's interpreter changes
 * threads after every 'switch interval'. C has none: threads run side by side on their cores all
 * the time, so some updates get lost in any case. Python's switching is modelled here: a bytecode
 * is taken to last 50 ns, and after each one a thread yields with the chance that an interval ends
 * in those 50 ns. In C a plain int would make this undefined behaviour, so num is an atomic that is
 * loaded and stored 'relaxed': each access is whole, the sum of them is not.
 *
 * Watch: without the lock, the shorter the interval, the fewer right results; with it, 100 %
 * whatever the interval.
 */
#include <conc.h>
#include <stdatomic.h>
#include <stdio.h>

#include "support/listing.h"

static atomic_int num = 0;
static conc_lock numlock = CONC_LOCK_INIT;

/* ---- The interpreter's switching ---- */

static const double BYTECODE_SECONDS = 50e-9;
static uint32_t switch_chance; /* out of 2^32 - 1; set while no job runs */

static void setswitchinterval(double seconds)
{
    double chance = BYTECODE_SECONDS / seconds;
    switch_chance = chance < 1 ? (uint32_t)(chance * UINT32_MAX) : UINT32_MAX;
}

/* A bytecode has been executed. */
static void bytecode(void)
{
    static _Thread_local uint32_t x; /* xorshift32, by Marsaglia */
    if (x == 0)
        x = (uint32_t)randint(1, INT32_MAX);
    x ^= x << 13;
    x ^= x >> 17;
    x ^= x << 5;
    if (x <= switch_chance)
        conc_yield();
}

/* ---- The listing ---- */

static int increment(void *arg, void *result)
{
    int value = atomic_load_explicit(&num, memory_order_relaxed);
    bytecode(); /* LOAD_GLOBAL num */
    bytecode(); /* LOAD_CONST 1 */
    value += 1;
    bytecode(); /* INPLACE_ADD */
    atomic_store_explicit(&num, value, memory_order_relaxed);
    bytecode(); /* STORE_GLOBAL num */
    return 0;
}

static int increment_with_lock(void *arg, void *result)
{
    conc_with_lock (&numlock) {
        increment(NULL, NULL);
    }
    return 0;
}

/* ---- The test ---- */

/* A hundred increments in a pool of two threads; how far num got, or an error. */
static int attempt_once(conc_fn *fn)
{
    conc_executor *pool;
    int err = conc_thread_pool_new(&pool, 2, NULL);
    if (err)
        return err;
    conc_with_group (group, &err, CONC_FOREVER) {
        for (int i = 0; i < 100; i++)
            conc_group_submit(group, pool, fn, NULL, 0, NULL, 0);
    }
    conc_executor_free(pool);
    return err ? err : atomic_exchange(&num, 0);
}

static int test_intervals(conc_fn *fn, int64_t attempts)
{
    static const double intervals[] = {0.005, 0.0000005, 0.0000000005};
    for (size_t i = 0; i < sizeof intervals / sizeof *intervals; i++) {
        setswitchinterval(intervals[i]);
        int64_t correct = 0;
        for (int64_t attempt = 0; attempt < attempts; attempt++) {
            int sum = attempt_once(fn);
            if (sum < 0)
                return sum;
            correct += sum == 100;
        }
        double pct = 100 * (double)correct / (double)attempts;
        printf("%5.1f%% correct at sys.setswitchinterval(%.10f)\n", pct, intervals[i]);
    }
    return 0;
}

int main(int argc, char **argv)
{
    int64_t attempts = 100;
    const struct option_spec options[] = {
        {.name = "attempts",
         .kind = OPTION_INTEGER,
         .value = &attempts,
         .meta = "N",
         .min = 1,
         .max = 1e6,
         .help = "how often to add a hundred ones (default: 100)"},
        OPTION_ROW_SEED,
        {.name = NULL},
    };
    parse_options(argc, argv,
                  "Listing 7-3: two threads add to one number, without a lock and with one.",
                  options);
    printf("Without a lock:\n");
    int err = test_intervals(increment, attempts);
    if (err)
        return exit_status(err);
    printf("With numlock:\n");
    return exit_status(test_intervals(increment_with_lock, attempts));
}
