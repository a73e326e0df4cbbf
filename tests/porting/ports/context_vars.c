/* SPDX-License-Identifier: MIT */
#include <conc.h>
#include <stdio.h>

static conc_local *user;

typedef char line[64];
typedef char lines[5 * sizeof(line)];

static void describe(const char *where, char *ret)
{
    const char *name = conc_local_get(user);
    snprintf(ret, sizeof(line), "%s of %s", where, name != NULL ? name : "nobody");
}

static int describe_job(void *arg, void *result)
{
    describe(arg, result);
    return 0;
}

static int child(void *arg, void *result)
{
    describe("child", result);
    return conc_local_set(user, (void *)"somebody else"); /* seen by this task only */
}

static int handler(void *arg, void *result)
{
    line handled, spawned, threaded, again;
    int err = conc_local_set(user, *(char **)arg);
    if (err)
        return err;
    conc_yield(); /* the other handler sets its own */
    describe("handler", handled);
    conc_future *task = conc_spawn(child, NULL, 0, sizeof(line));
    err = conc_future_result(task, spawned, CONC_FOREVER);
    conc_future_unref(task);
    if (err)
        return err;
    conc_future *job = conc_to_thread(describe_job, "thread", sizeof "thread", sizeof(line));
    err = conc_future_result(job, threaded, CONC_FOREVER);
    conc_future_unref(job);
    if (err)
        return err;
    describe("handler", again);
    snprintf(result, sizeof(lines), "%s, %s, %s, %s", handled, spawned, threaded, again);
    return 0;
}

static int main_task(void *arg, void *result)
{
    const char *names[] = {"alice", "bob"};
    conc_future *futures[2];
    for (int i = 0; i < 2; i++)
        futures[i] = conc_spawn(handler, &names[i], sizeof names[i], sizeof(lines));
    int err = conc_gather(futures, 2, NULL, CONC_FOREVER);
    for (int i = 0; i < 2; i++) {
        if (!err)
            puts(conc_future_value(futures[i]));
        conc_future_unref(futures[i]);
    }
    line last;
    describe("main", last);
    puts(last);
    return err;
}

int main(void)
{
    int err = conc_local_new(&user, NULL);
    if (!err)
        err = conc_run(main_task, NULL, 0, NULL, 0);
    if (err)
        fprintf(stderr, "context_vars: %s\n", conc_describe(err));
    conc_local_free(user);
    return err ? 1 : 0;
}
