/* SPDX-License-Identifier: MIT
 *
 * say.c: say('hello world', 1), the smallest program with an event loop.
 *
 * Watch: nothing for a second, while say() waits and the loop would run others; then the line.
 */
#include <conc.h>
#include <stdio.h>

#define A_SECOND_IN_MS 1000
#include "support/listing.h"

struct saying {
    const char *what;
    double when;
};

static int say(void *arg, void *result)
{
    const struct saying *s = arg;
    int err = conc_sleep(seconds(s->when));
    if (err)
        return err;
    printf("%s\n", s->what);
    return 0;
}

int main(int argc, char **argv)
{
    const struct option_spec options[] = {OPTION_ROW_UNIT, {.name = NULL}};
    parse_options(argc, argv, "say('hello world', 1) on an event loop.", options);
    conc_loop *loop;
    int err = conc_loop_new(&loop, NULL); /* asyncio.get_event_loop() */
    if (err)
        return exit_status(err);
    struct saying hello = {"hello world", 1};
    conc_future *task = conc_task_start(loop, say, &hello, sizeof hello, 0, NULL);
    err = conc_loop_run_until_complete(loop, task);
    if (!err)
        err = conc_future_result(task, NULL, CONC_NOW);
    int status = exit_status(err);
    conc_future_unref(task);
    conc_loop_free(loop);
    return status;
}
