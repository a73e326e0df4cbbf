/* SPDX-License-Identifier: MIT
 *
 * Exercise 7-1: a wrapper that puts what any function returns into a queue, so that the function
 * runs in a thread as it is.
 *
 * Here `sensors`, plain functions that return a data point (and know nothing of threads or queues),
 * are asked all at once, each in a thread of its own; main() finds their values in the queue.
 * Watch: the order is that of arrival; and a function that fails puts nothing into the queue, its
 * error comes from the join, so it is not lost as it would be in Python's threads.
 */
#include <conc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <sys/sysinfo.h>

#include "support/listing.h"

struct data_point {
    char sensor_name[64];
    double data;
};

/* ---- The wrapper ---- */

struct wrap {
    conc_queue *queue; /* of elements as large as the function's result */
    conc_fn *function;
    const char *arg; /* the function's argument; must live until it returns */
    size_t result_size;
};

/* What runs in the thread: the function, and its result into the queue. */
static int return_via_queue(void *arg, void *result)
{
    struct wrap *wrap = arg;
    void *value = calloc(1, wrap->result_size);
    if (value == NULL)
        return -ENOMEM;
    int err = wrap->function(&wrap->arg, value);
    if (!err)
        err = conc_queue_put(wrap->queue, value, CONC_FOREVER);
    free(value);
    return err;
}

/* ---- The functions: int f(argument, result), as any job ---- */

static int load_average(void *arg, void *result)
{
    struct data_point *point = result;
    strcpy(point->sensor_name, "Load average of the last minute");
    return getloadavg(&point->data, 1) == 1 ? 0 : conc_raise(-EIO, "no load average to be had");
}

static int ram_available(void *arg, void *result)
{
    struct data_point *point = result;
    struct sysinfo info;
    strcpy(point->sensor_name, "Free memory in MiB");
    if (sysinfo(&info) != 0)
        return conc_raise(-errno, "sysinfo: %s", strerror(errno));
    point->data = (double)info.freeram * info.mem_unit / (1 << 20);
    return 0;
}

static int disk_available(void *arg, void *result)
{
    const char *path = *(const char **)arg;
    struct data_point *point = result;
    struct statvfs info;
    snprintf(point->sensor_name, sizeof point->sensor_name, "Free space of %s in MiB", path);
    if (statvfs(path, &info) != 0)
        return conc_raise(-errno, "%s: %s", path, strerror(errno));
    point->data = (double)info.f_bavail * (double)info.f_frsize / (1 << 20);
    return 0;
}

/* ---- All of them at once ---- */

static int add_data_from_sensors(const char *const *paths, size_t path_count)
{
    static conc_fn *const others[] = {load_average, ram_available};
    enum { OTHERS = sizeof others / sizeof *others };
    size_t n = OTHERS + path_count, started = 0;
    struct failures failures = {0};
    conc_queue q;
    int err = conc_queue_init(&q, sizeof(struct data_point), 0, CONC_FIFO);
    if (err)
        return exit_status(err);
    conc_thread **threads = calloc(n, sizeof(conc_thread *));
    if (threads == NULL) {
        conc_queue_destroy(&q);
        return exit_status(-ENOMEM);
    }
    /* Start all threads */
    while (started < n) {
        struct wrap wrap = {&q, disk_available, NULL, sizeof(struct data_point)};
        if (started < OTHERS)
            wrap.function = others[started];
        else
            wrap.arg = paths[started - OTHERS];
        err = conc_thread_start(&threads[started], return_via_queue, &wrap, sizeof wrap,
                                &(conc_thread_options){.name = "sensor"});
        if (err) {
            failures_add(&failures, err);
            break;
        }
        started++;
    }
    /* Wait for all threads to finish */
    for (size_t i = 0; i < started; i++) {
        failures_add(&failures, conc_thread_join(threads[i], NULL, CONC_FOREVER));
        conc_thread_free(threads[i]);
    }
    free(threads);
    /* So long as there's a return value in the queue, process one thread's result */
    struct data_point found;
    while (conc_queue_get(&q, &found, CONC_NOW) == 0)
        printf("%s: %.2f\n", found.sensor_name, found.data);
    conc_queue_destroy(&q);
    return failures_report(&failures);
}

int main(int argc, char **argv)
{
    const struct program program = {
        .about = "Exercise 7-1: ask sensors in threads; their values come back through a queue.",
        .operands = "[PATH ...]",
    };
    int first = options_parse(argc, argv, &program);
    static const char *const here[] = {"/"};
    if (argv[first] == NULL)
        return add_data_from_sensors(here, 1);
    return add_data_from_sensors((const char *const *)argv + first, (size_t)(argc - first));
}
