/* SPDX-License-Identifier: MIT
 *
 * process_shared.c, the chapter's sharedctypes (multiprocessing.Value and Array): a number and an
 * array in memory that the parent shares with a child, which changes them.
 *
 * Watch `other`, an ordinary variable, which the child changes too, and the parent never sees. The
 * block is passed as a descriptor and may lie at another address in the child: nothing in it is a
 * pointer. As Python's Value and Array, it has a lock of its own, for programs in which several
 * processes change it.
 */
#include <conc.h>
#include <stdio.h>

#include "support/listing.h"

enum { LENGTH = 10 };

struct shared {
    conc_shared_lock lock;
    double num;
    int arr[LENGTH];
};

static double other;

/* In the child. */
static int f(void *arg, void *result)
{
    void *block;
    int err = conc_shared_map(&block, NULL, conc_process_fd(0));
    if (err)
        return err;
    struct shared *shared = block;
    err = conc_shared_lock_enter(&shared->lock);
    if (!err) {
        shared->num = other = 3.1415927;
        for (int i = 0; i < LENGTH; i++)
            shared->arr[i] = -shared->arr[i];
        conc_shared_lock_release(&shared->lock);
    }
    conc_shared_free(block);
    return err;
}

/* p = Process(target=f, args=(num, arr)); p.start(); p.join() */
static int run_child(const void *block)
{
    const int fds[] = {conc_shared_fd(block)};
    conc_process *p;
    int err = conc_process_start(&p, f, NULL, 0, &(conc_process_options){.fds = fds, .n_fds = 1});
    if (err)
        return err;
    err = conc_process_join(p, CONC_FOREVER);
    conc_process_free(p);
    return err;
}

static void print(const char *when, const struct shared *shared)
{
    printf("%s\nnum   = %.7f\narr   = [", when, shared->num);
    for (int i = 0; i < LENGTH; i++)
        printf("%s%d", i ? ", " : "", shared->arr[i]);
    printf("]\nother = %.7f\n", other);
}

static int share(void)
{
    void *block;
    int err = conc_shared_new(&block, sizeof(struct shared));
    if (err)
        return err;
    struct shared *shared = block; /* all zero */
    for (int i = 0; i < LENGTH; i++)
        shared->arr[i] = i;
    err = conc_shared_lock_init(&shared->lock);
    if (err)
        goto out;
    print("Before:", shared);
    err = run_child(block);
    if (err)
        goto out;
    print("After:", shared); /* the child has ended: nothing else changes it */
out:
    conc_shared_free(block);
    return err;
}

int main(int argc, char **argv)
{
    parse_options(argc, argv, "A child process changes a number and an array that are shared.",
                  NULL);
    return exit_status(share());
}
