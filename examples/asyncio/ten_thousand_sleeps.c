/* SPDX-License-Identifier: MIT
 *
 * ten_thousand_sleeps.c: what a task costs: ten thousand of them sleep for a second, all at once.
 *
 * Watch: the time, about a second; the threads, one; the memory, a few KiB for each task, although
 * each has a stack of its own. The tasks count themselves in plain variables: they take turns on
 * one thread, and a turn ends only where a task waits. The last one to wake stops the loop.
 */
#include <conc.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define A_SECOND_IN_MS 1000
#include "support/listing.h"
#include "support/timer.h"

static int64_t tasks = 10000;
static int64_t asleep, woken;
static long memory_before;

/* A line of /proc/self/status: "Threads:", a tab, "1"; -1: it is not there. */
static long process_status(const char *name)
{
    FILE *file = fopen("/proc/self/status", "r");
    char line[256];
    long value = -1;
    if (file == NULL)
        return -1;
    while (value < 0 && fgets(line, sizeof line, file) != NULL)
        if (strncmp(line, name, strlen(name)) == 0)
            value = strtol(line + strlen(name), NULL, 10);
    fclose(file);
    return value;
}

static void all_are_asleep(void)
{
    long memory = process_status("VmRSS:") - memory_before; /* KiB */
    printf("%" PRId64 " tasks are asleep, on %ld thread%s, in %.1f MiB: %.1f KiB each\n", tasks,
           process_status("Threads:"), process_status("Threads:") == 1 ? "" : "s",
           (double)memory / 1024, (double)memory / (double)tasks);
}

static int sleeper(void *arg, void *result)
{
    if (++asleep == tasks)
        all_are_asleep();
    int err = conc_sleep(a_second);
    if (++woken == tasks)
        conc_loop_stop(conc_loop_current());
    return err;
}

static int sleep_at_once(conc_loop *loop)
{
    memory_before = process_status("VmRSS:");
    for (int64_t i = 0; i < tasks; i++) {
        conc_future *task = conc_task_start(loop, sleeper, NULL, 0, 0, NULL);
        int err = conc_future_error(task); /* -EAGAIN, as expected: it has not ended */
        conc_future_unref(task);           /* the loop keeps its tasks */
        if (err != -EAGAIN)
            return conc_raise(err, "no task: %s", conc_strerror(err));
    }
    return conc_loop_run_forever(loop);
}

int main(int argc, char **argv)
{
    const struct option_spec options[] = {
        {.name = "tasks",
         .kind = OPTION_INTEGER,
         .value = &tasks,
         .meta = "N",
         .min = 1,
         .max = 1e6,
         .help = "how many (default: 10000)"},
        OPTION_ROW_UNIT,
        {.name = NULL},
    };
    parse_options(argc, argv, "Thousands of tasks that sleep for a second at once.", options);
    conc_loop *loop;
    int err = conc_loop_new(&loop, NULL);
    if (err)
        return exit_status(err);
    with_timer ("time elapsed") {
        err = sleep_at_once(loop);
    }
    int status = exit_status(err);
    conc_loop_free(loop);
    return status;
}
