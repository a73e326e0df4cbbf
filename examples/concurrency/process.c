/* SPDX-License-Identifier: MIT
 *
 * process.c, the chapter's process.py: five processes, each of which says its number and its pid.
 *
 * Watch: conc_process_start() and _join() are used as those of a thread are, with a copy of the
 * argument for each; but every pid is another, and none is the parent's. The order is the
 * kernel's.
 */
#include <conc.h>
#include <stdio.h>
#include <unistd.h>

#include "support/child.h"
#include "support/listing.h"

enum { PROCESSES = 5 };

static int work(void *arg, void *result)
{
    printf("Hey, I am the process %d, pid: %d\n", *(int *)arg, (int)getpid());
    return printed();
}

int main(int argc, char **argv)
{
    struct failures failures = {0};
    conc_process *processes[PROCESSES];
    int started = 0, err = 0;

    parse_options(argc, argv, "Five processes say their numbers and pids.", NULL);
    for (int number = 0; number < PROCESSES && !err; number++) {
        err = conc_process_start(&processes[number], work, &number, sizeof number, NULL);
        failures_add(&failures, err);
        started += !err;
    }
    while (started > 0) {
        failures_add(&failures, conc_process_join(processes[--started], CONC_FOREVER));
        conc_process_free(processes[started]);
    }
    return failures_report(&failures);
}
