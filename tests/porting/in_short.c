/* SPDX-License-Identifier: MIT
 *
 * in_short.c: the C of the porting guide's first table, compiled. scripts/check-porting looks for
 * each cell of it here.
 */
#include <conc.h>
#include <stdio.h>

static conc_lock lock = CONC_LOCK_INIT;
static conc_queue q;

static int f(void *arg, void *result)
{
    *(int *)result = *(int *)arg;
    return 0;
}

static int g(int n) { return conc_raise(-EINVAL, "bad %d", n); }

static int in_a_thread(conc_executor *pool, int item, const int *in, int *out, size_t count)
{
    int n = item, answer, err;
    conc_future *future;
    conc_with_lock (&lock) {}
    err = conc_queue_get(&q, &item, conc_in(CONC_S(5)));
    if (!err)
        err = conc_queue_put(&q, &item, CONC_NOW);
    future = conc_submit(pool, f, &n, sizeof n, sizeof(int));
    err = conc_future_result(future, &answer, CONC_FOREVER);
    conc_future_unref(future);
    if (!err)
        err = conc_map(pool, f, in, count, sizeof *in, out, sizeof *out, NULL, CONC_FOREVER);
    if (err == -EINVAL)
        puts(conc_describe(err));
    return err ? err : g(answer);
}

static int h(void) { return conc_check_cancel(); }

static int main_task(void *arg_, void *result)
{
    int arg = 1, err;
    size_t result_size = sizeof(int);
    conc_future *future;
    conc_scope scope;
    future = conc_spawn(f, &arg, sizeof arg, result_size);
    conc_future_unref(future);
    conc_scope_enter(&scope, conc_in(CONC_S(5)));
    err = h();
    if (!err)
        err = conc_sleep(CONC_MS(100));
    int why = conc_scope_exit(&scope);
    return why ? why : err;
}

int in_short(conc_executor *pool, int item, const int *in, int *out, size_t count);
int in_short(conc_executor *pool, int item, const int *in, int *out, size_t count)
{
    int err;
    err = conc_run(main_task, NULL, 0, NULL, 0);
    return err ? err : in_a_thread(pool, item, in, out, count);
}
