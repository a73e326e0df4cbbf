/* SPDX-License-Identifier: MIT
 *
 * Table 7-2: three ways to lock while two numbers are changed. The first never holds two locks, the
 * second takes them in one order, the third in two orders, and that one deadlocks.
 *
 * In Python the third needs bad luck, and then hangs for ever. Here a barrier lets both threads
 * take their first lock before either asks for its second, so it deadlocks every time; main(),
 * looking at what each thread is blocked on, finds the circle, prints what each of them waits for
 * and which thread holds that, and cancels one of the two. That works because they wait by
 * conc_lock_acquire(), which can be cancelled, and conc_with_lock() gives back the first lock on
 * the way out.
 */
#include <conc.h>
#include <stdio.h>

#include "support/listing.h"

static int num = 0;
static int other = 0;
static conc_lock numlock = CONC_LOCK_INIT;
static conc_lock otherlock = CONC_LOCK_INIT;

/* ---- 1. As little as possible under a lock ---- */

static int increment_1(void *arg, void *result)
{
    conc_with_lock (&numlock)
        num += 1;
    conc_with_lock (&otherlock)
        other += 1;
    return 0;
}

static int decrement_1(void *arg, void *result)
{
    conc_with_lock (&otherlock)
        other -= 1;
    conc_with_lock (&numlock)
        num -= 1;
    return 0;
}

/* ---- 2. Both locks, always in the same order ---- */

static int increment_2(void *arg, void *result)
{
    conc_with_lock (&numlock)
        conc_with_lock (&otherlock) {
            num += 1;
            other += 1;
        }
    return 0;
}

static int decrement_2(void *arg, void *result)
{
    conc_with_lock (&numlock)
        conc_with_lock (&otherlock) {
            other -= 1;
            num -= 1;
        }
    return 0;
}

/* ---- 3. Both locks, in different orders ---- */

static conc_barrier both_hold_one = CONC_BARRIER_INIT(2, NULL, NULL);

/* `with first, second:`, the other thread being in the same place. */
static int change_3(conc_lock *first, conc_lock *second, int change)
{
    conc_with_lock (first) {
        int err = conc_barrier_wait(&both_hold_one, CONC_FOREVER);
        if (err >= 0)
            err = conc_lock_acquire(second, CONC_FOREVER);
        if (err)
            return err;
        num += change;
        other += change;
        conc_lock_release(second);
    }
    return 0;
}

static int increment_3(void *arg, void *result) { return change_3(&numlock, &otherlock, 1); }

static int decrement_3(void *arg, void *result) { return change_3(&otherlock, &numlock, -1); }

/* ---- Finding a deadlock ---- */

struct blocked {
    uint64_t id, holder;
    const void *object;
    int64_t blocked_ns;
    char name[CONC_NAME_MAX];
};

struct picture {
    struct blocked threads[64];
    size_t n;
};

static int look(const conc_context_info *info, void *arg)
{
    struct picture *picture = arg;
    struct blocked *b = &picture->threads[picture->n];
    if (info->blocked_on == NULL ||
        picture->n == sizeof picture->threads / sizeof *picture->threads)
        return 0;
    *b = (struct blocked){info->id, info->holder, info->object, info->blocked_ns, ""};
    snprintf(b->name, sizeof b->name, "%s", info->name);
    picture->n++;
    return 0;
}

/* The context that holds what `b` waits for; NULL: there is none, or it isn't blocked. */
static const struct blocked *holder_of(const struct picture *picture, const struct blocked *b)
{
    for (size_t i = 0; i < picture->n; i++)
        if (picture->threads[i].id == b->holder)
            return &picture->threads[i];
    return NULL;
}

/* Does `start` wait, by way of others, for itself? A picture is not taken in one moment: what
 * counts as blocked must have been blocked since long before it was begun. */
static bool is_deadlocked(const struct picture *picture, const struct blocked *start)
{
    const struct blocked *b = start;
    for (size_t i = 0; i < picture->n && b != NULL && b->blocked_ns >= CONC_MS(20); i++) {
        b = holder_of(picture, b);
        if (b == start)
            return true;
    }
    return false;
}

static const char *lock_name(const void *object)
{
    return object == &numlock ? "numlock" : object == &otherlock ? "otherlock" : "something else";
}

/* Print the circle if there is one. Returns how many threads are in it. */
static size_t show_deadlock(void)
{
    struct picture picture = {.n = 0};
    size_t found = 0;
    conc_context_foreach(look, &picture); /* out of memory: then we look again soon */
    for (size_t i = 0; i < picture.n; i++) {
        const struct blocked *b = &picture.threads[i];
        if (!is_deadlocked(&picture, b))
            continue;
        if (found++ == 0)
            printf("   DEADLOCK\n");
        const struct blocked *holder = holder_of(&picture, b);
        printf("   thread %s waits for %s, which is held by thread %s\n", b->name,
               lock_name(b->object), holder->name);
    }
    return found;
}

/* ---- Running the three ---- */

static int run_in_pool(conc_fn *increment, conc_fn *decrement)
{
    conc_executor *pool;
    int err = conc_thread_pool_new(&pool, 2, NULL);
    if (err)
        return err;
    conc_with_group (group, &err, CONC_FOREVER) {
        for (int i = 0; i < 100; i++) {
            conc_group_submit(group, pool, increment, NULL, 0, NULL, 0);
            conc_group_submit(group, pool, decrement, NULL, 0, NULL, 0);
        }
    }
    conc_executor_free(pool);
    if (!err)
        printf("   100 increments and 100 decrements: num = %d, other = %d\n", num, other);
    return err;
}

/* With both threads running: wait for the deadlock, end it, and see how each of them ended. */
static int watch(conc_thread *increment, conc_thread *decrement)
{
    int64_t give_up = conc_now() + CONC_S(30); /* it takes 20 ms, but nothing here may hang */
    while (show_deadlock() < 2) {
        int err = conc_now() < give_up ? conc_sleep(CONC_MS(5)) : -ETIMEDOUT;
        if (err)
            return err;
    }
    printf("   All threads, by conc_dump():\n");
    conc_dump(stdout);
    printf("   Cancelling decrement: it gives otherlock back, and increment goes on.\n");
    conc_thread_cancel(decrement);
    int decremented = conc_thread_join(decrement, NULL, CONC_FOREVER);
    int incremented = conc_thread_join(increment, NULL, CONC_FOREVER);
    printf("   increment: %s; decrement: %s; num = %d, other = %d\n",
           incremented ? conc_strerror(incremented) : "done",
           decremented ? conc_strerror(decremented) : "done", num, other);
    return incremented;
}

static int run_third(void)
{
    conc_thread *increment, *decrement = NULL;
    int err = conc_thread_start(&increment, increment_3, NULL, 0,
                                &(conc_thread_options){.name = "increment"});
    if (err)
        return err;
    err = conc_thread_start(&decrement, decrement_3, NULL, 0,
                            &(conc_thread_options){.name = "decrement"});
    if (!err)
        err = watch(increment, decrement);
    /* After a failure they may still be in there. */
    conc_thread_cancel(increment);
    conc_thread_join(increment, NULL, CONC_FOREVER);
    conc_thread_free(increment);
    if (decrement != NULL) {
        conc_thread_cancel(decrement);
        conc_thread_join(decrement, NULL, CONC_FOREVER);
        conc_thread_free(decrement);
    }
    return err;
}

int main(int argc, char **argv)
{
    parse_options(argc, argv, "Table 7-2: two locks taken in three ways; the third deadlocks.",
                  NULL);
    printf("1. As little as possible under a lock\n");
    int err = run_in_pool(increment_1, decrement_1);
    if (err)
        return exit_status(err);
    printf("2. Both locks, in a consistent order\n");
    err = run_in_pool(increment_2, decrement_2);
    if (err)
        return exit_status(err);
    printf("3. Both locks, in an inconsistent order\n");
    return exit_status(run_third());
}
