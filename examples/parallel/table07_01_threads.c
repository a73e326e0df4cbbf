/* SPDX-License-Identifier: MIT
 *
 * Table 7-1: two ways to say what a thread does.
 *
 * Left, a function. Right, what Python does by a subclass of Thread: a struct that begins with its
 * 'base class' and fills in `run`; its other fields can carry a result out, as attributes of a
 * Python thread object. Watch: both threads have names (--verbose shows them), which conc_dump()
 * and a debugger print too; always give one.
 */
#include <conc.h>
#include <stdio.h>

#include "support/listing.h"

static bool verbose;

static void say_hello(void)
{
    if (verbose)
        printf("Hello world! (in the thread %s)\n", conc_context_name(conc_context_current()));
    else
        printf("Hello world!\n");
}

/* ---- A function ---- */

static int helloworld(void *arg, void *result)
{
    say_hello();
    return 0;
}

static int function_way(void)
{
    conc_thread *thread;
    int err = conc_thread_start(&thread, helloworld, NULL, 0,
                                &(conc_thread_options){.name = "helloworld"});
    if (err)
        return err;
    err = conc_thread_join(thread, NULL, CONC_FOREVER);
    conc_thread_free(thread);
    return err;
}

/* ---- A 'subclass' ---- */

/* The base: threading.Thread. */
struct thread {
    const char *name;
    int (*run)(struct thread *self);
    conc_thread *started;
};

static int thread_main(void *arg, void *result)
{
    struct thread *self = *(struct thread **)arg;
    return self->run(self);
}

/* The job's argument is copied: what is copied here is the pointer, so the thread sees the object
 * itself. */
static int thread_start(struct thread *self)
{
    return conc_thread_start(&self->started, thread_main, &self, sizeof self,
                             &(conc_thread_options){.name = self->name});
}

static int thread_join(struct thread *self)
{
    int err = conc_thread_join(self->started, NULL, CONC_FOREVER);
    conc_thread_free(self->started);
    return err;
}

struct hello_world_thread {
    struct thread base; /* first, so that a pointer to it is a pointer to the whole */
    bool success;       /* an attribute that run() sets; join() makes it safe to read */
};

static int hello_world_run(struct thread *base)
{
    struct hello_world_thread *self = (struct hello_world_thread *)base;
    say_hello();
    self->success = true;
    return 0;
}

static int subclass_way(void)
{
    struct hello_world_thread thread = {.base = {.name = "helloworld", .run = hello_world_run}};
    int err = thread_start(&thread.base);
    if (err)
        return err;
    err = thread_join(&thread.base);
    if (err)
        return err;
    return thread.success ? 0 : -EIO;
}

int main(int argc, char **argv)
{
    const struct option_spec options[] = {
        {.name = "verbose",
         .kind = OPTION_FLAG,
         .value = &verbose,
         .help = "print the threads' names"},
        {.name = NULL},
    };
    parse_options(argc, argv, "Table 7-1: two ways to start a thread.", options);
    int err = function_way();
    if (err)
        return exit_status(err);
    return exit_status(subclass_way());
}
