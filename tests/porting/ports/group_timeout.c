/* SPDX-License-Identifier: MIT */
#include <conc.h>
#include <stdio.h>

struct args {
    char name;
    int64_t ns;
};

static int worker(void *arg, void *result)
{
    struct args *args = arg;
    printf("%c begins\n", args->name);
    int err = conc_sleep(args->ns);
    if (err) {
        printf("%c tidies up\n", args->name);
        return err;
    }
    printf("%c has slept\n", args->name);
    return args->name == 'b' ? conc_raise(-EIO, "b is broken") : 0;
}

/* Submit a worker to the group. Its refusal would be the group's error. */
static void add(conc_group *group, char name, int64_t ns)
{
    struct args args = {name, ns};
    conc_group_submit(group, NULL, worker, &args, sizeof args, NULL, 0);
}

static int main_task(void *arg, void *result)
{
    int err = 0;
    conc_with_group (group, &err, CONC_FOREVER) { /* the first error cancels the rest */
        add(group, 'a', CONC_S(3600));
        add(group, 'b', CONC_MS(10));
    }
    if (err)
        printf("failed: %s\n", conc_describe(err));

    err = 0;
    conc_with_group (group, &err, conc_in(CONC_S(1)))
        add(group, 'c', CONC_S(3600));
    if (err == -ETIMEDOUT) {
        puts("out of time");
        return 0;
    }
    return err;
}

int main(void)
{
    int err = conc_run(main_task, NULL, 0, NULL, 0);
    if (err)
        fprintf(stderr, "group_timeout: %s\n", conc_describe(err));
    return err ? 1 : 0;
}
