/* SPDX-License-Identifier: MIT
 *
 * check_install.c: a user's program, valid as C11 and as C++17; check_install.sh builds it outside
 * the tree.
 */
#include <conc.h>
#include <conc/executor_impl.h>

#include <stdio.h>
#include <string.h>

static conc_lock lock = CONC_LOCK_INIT;
static int calls;

static int square(void *arg, void *result)
{
    int n = *(int *)arg;
    conc_with_lock (&lock) {
        calls++;
    }
    *(int *)result = n * n;
    return 0;
}

int main(void)
{
    int in[10], out[10];
    for (int i = 0; i < 10; i++)
        in[i] = i;

    conc_executor *pool;
    int err = conc_thread_pool_new(&pool, 4, NULL);
    if (err == 0)
        err = conc_map(pool, square, in, 10, sizeof in[0], out, sizeof out[0], NULL,
                       conc_in(CONC_S(20)));
    if (err != 0) {
        fprintf(stderr, "check_install: %s\n", conc_strerror(err));
        return 1;
    }
    conc_executor_free(pool);

    char linked[32];
    snprintf(linked, sizeof linked, "%d.%d.%d", CONC_VERSION_MAJOR, CONC_VERSION_MINOR,
             CONC_VERSION_PATCH);
    if (calls != 10 || out[9] != 81 || strcmp(linked, conc_version()) != 0) {
        fprintf(stderr, "check_install: %d calls, 9 * 9 = %d, headers of %s, library of %s\n",
                calls, out[9], linked, conc_version());
        return 1;
    }
    return 0;
}
