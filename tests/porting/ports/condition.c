/* SPDX-License-Identifier: MIT */
#include <conc.h>
#include <stdio.h>
#include <string.h>

static conc_lock lock = CONC_LOCK_INIT;
static conc_cond condition = CONC_COND_INIT(&lock);
static const char *turn = "ping"; /* under the lock */

struct args {
    const char *me, *other;
};

static bool is_turn(void *me) { return strcmp(turn, me) == 0; }

static int player(void *arg, void *result)
{
    struct args *args = arg;
    for (int n = 0; n < 3; n++) {
        conc_with_lock (&lock) {
            int err =
                conc_cond_wait_for(&condition, is_turn, (void *)args->me, conc_in(CONC_S(60)));
            if (err) /* the return releases the lock */
                return conc_raise(err, "%s waits in vain", args->me);
            printf("%s %d\n", args->me, n);
            turn = args->other;
            conc_cond_notify_all(&condition);
        }
    }
    return 0;
}

int main(void)
{
    struct args args[] = {{"pong", "ping"}, {"ping", "pong"}};
    conc_thread *threads[2] = {NULL};
    int err = 0;
    for (int i = 0; !err && i < 2; i++)
        err = conc_thread_start(&threads[i], player, &args[i], sizeof args[i], NULL);
    for (int i = 0; i < 2 && threads[i] != NULL; i++) {
        if (err) /* the other has not started */
            conc_thread_cancel(threads[i]);
        int failed = conc_thread_join(threads[i], NULL, CONC_FOREVER);
        if (failed)
            fprintf(stderr, "condition: %s\n", conc_describe(failed));
        err = err ? err : failed;
        conc_thread_free(threads[i]);
    }
    return err ? 1 : 0;
}
