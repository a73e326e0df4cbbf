/* SPDX-License-Identifier: MIT
 *
 * loops.c: see loops.h.
 */
#include "loops.h"

#include <stdio.h>

conc_backend backend;

/* ---- Running a test ---- */

static bool is_here(void)
{
    conc_loop *loop = new_loop();
    conc_loop_stop(loop);
    int err = conc_loop_run_forever(loop);
    free_loop(loop);
    CHECK(!err || err == -ENOSYS);
    return !err;
}

static int run_here(void *arg)
{
    store_relaxed(&conc__hooks.sound_sleep, 1);
    ((const struct backend_case *)arg)->body();
    store_relaxed(&conc__hooks.sound_sleep, 0);
    return 0;
}

void run_on_backend(void **state)
{
    struct backend_case *c = *state;
    backend = c->backend;
    if (!is_here())
        printf("# no io_uring here: left out\n");
    else if (c->in_child)
        CHECK_EQUAL(in_child(run_here, c), 0);
    else
        run_here(c);
}

/* ---- In a body ---- */

conc_loop *new_loop(void)
{
    const conc_loop_options options = {.backend = backend};
    conc_loop *loop;
    CHECK_EQUAL(conc_loop_new(&loop, &options), 0);
    return loop;
}

void free_loop(conc_loop *loop) { CHECK_EQUAL(conc_loop_free(loop), 0); }

int run_until(conc_loop *loop, conc_future *future)
{
    CHECK_EQUAL(conc_loop_run_until_complete(loop, future), 0);
    int err = conc_future_error(future);
    conc_future_unref(future);
    return err;
}

int run_task(conc_loop *loop, conc_fn *fn, const void *arg, size_t arg_size)
{
    return run_until(loop, conc_task_start(loop, fn, arg, arg_size, 0, NULL));
}

int in_task(conc_fn *fn, void *arg)
{
    conc_loop *loop = new_loop();
    int err = run_task(loop, fn, &arg, sizeof arg);
    free_loop(loop);
    return err;
}

void yield_again(int64_t give_up_at, const char *what, const char *file, int line)
{
    if (real_now() > give_up_at)
        check_failed(what, file, line);
    conc_yield();
}

void set_event(void *event) { conc_event_set(event); }

void stop_current(void *unused) { conc_loop_stop(conc_loop_current()); }

/* ---- In a thread of its own ---- */

static void run_side_loop(void *arg)
{
    conc_loop *loop = arg;
    CHECK_EQUAL(conc_loop_run_forever(loop), 0);
    free_loop(loop);
}

void side_loop_start(struct side_loop *side)
{
    side->loop = new_loop();
    test_thread_start(&side->thread, "side", run_side_loop, side->loop);
}

void side_loop_end(struct side_loop *side)
{
    conc_loop_stop(side->loop);
    test_thread_join(&side->thread);
}
