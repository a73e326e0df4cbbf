/* SPDX-License-Identifier: MIT
 *
 * storms.c: see storms.h.
 */
#include "storms.h"

#include <string.h>

#include <conc/loop.h>
#include <conc/task.h>

bool is_all(const unsigned char *p, size_t n, unsigned char value)
{
    return n == 0 || (p[0] == value && !memcmp(p, p + 1, n - 1));
}

/* ---- Where they run ---- */

enum { THREADS, TASKS_URING, TASKS_EPOLL, PLACES };

/* A loop in a thread of its own, until `end` is done. */
struct side {
    conc_loop *loop;
    conc_future *end;
    struct test_thread thread;
};

static conc_executor *places[PLACES];
static struct side sides[PLACES];

static void run_side(void *arg)
{
    struct side *side = arg;
    int err = conc_loop_run_until_complete(side->loop, side->end);
    CHECK(err == 0 || err == -ENOSYS);
    CHECK_EQUAL(conc_loop_free(side->loop), 0);
}

static int do_nothing(void *arg, void *result) { return 0; }

/* Without io_uring its place is epoll's. */
static bool have_uring(void)
{
    const conc_loop_options options = {.backend = CONC_BACKEND_URING};
    conc_loop *loop;
    CHECK_EQUAL(conc_loop_new(&loop, &options), 0);
    conc_future *f = conc_task_start(loop, do_nothing, NULL, 0, 0, NULL);
    int err = conc_loop_run_until_complete(loop, f);
    conc_future_unref(f);
    CHECK_EQUAL(conc_loop_free(loop), 0);
    return err == 0;
}

static void side_start(int place, conc_backend backend)
{
    const conc_loop_options options = {.backend = backend};
    struct side *side = &sides[place];
    CHECK_EQUAL(conc_loop_new(&side->loop, &options), 0);
    CHECK_EQUAL(conc_future_new(&side->end, 0), 0);
    places[place] = conc_loop_executor(side->loop);
    test_thread_start(&side->thread, NULL, run_side, side);
}

static void side_end(int place)
{
    CHECK_EQUAL(conc_future_set_result(sides[place].end, NULL), 0);
    test_thread_join(&sides[place].thread);
    conc_future_unref(sides[place].end);
}

void places_open(void)
{
    CHECK_EQUAL(conc_thread_per_job_new(&places[THREADS]), 0);
    side_start(TASKS_URING, have_uring() ? CONC_BACKEND_URING : CONC_BACKEND_EPOLL);
    side_start(TASKS_EPOLL, CONC_BACKEND_EPOLL);
}

void places_close(void)
{
    CHECK_EQUAL(conc_executor_free(places[THREADS]), 0);
    side_end(TASKS_URING);
    side_end(TASKS_EPOLL);
}

conc_future *run_somewhere(struct test_random *random, conc_fn *fn, const void *arg, size_t size)
{
    return conc_submit(places[test_random_below(random, PLACES)], fn, arg, size, 0);
}

/* ---- Calls that may be cancelled ---- */

#define LONGEST CONC_US(500)

conc_deadline some_deadline(struct test_random *random)
{
    switch (test_random_below(random, 6)) {
    case 0:
        return CONC_NOW;
    case 1:
        return conc_in(0);
    case 2:
        return conc_in((int64_t)test_random_below(random, LONGEST));
    case 3:
        return conc_in((int64_t)test_random_below(random, LONGEST / 10));
    default:
        return CONC_FOREVER;
    }
}

void begin_call(struct caller *c, conc_scope *scope)
{
    bool timed = test_random_below(&c->random, 8) == 0;
    conc_scope_enter(scope, timed ? some_deadline(&c->random) : CONC_FOREVER);
    conc_with_lock (&c->lock) {
        c->scope = scope;
    }
}

bool end_call(struct caller *c, conc_scope *scope, ssize_t result)
{
    conc_with_lock (&c->lock) {
        c->scope = NULL;
    }
    int why = conc_scope_exit(scope);
    CHECK(result != -ECANCELED || why == -ECANCELED || why == -ETIMEDOUT);
    CHECK(result >= 0 || result == -ECANCELED || result == -ETIMEDOUT || result == -EAGAIN);
    if (result == -EAGAIN || result == -ETIMEDOUT)
        conc_yield();
    return result >= 0;
}

void cancel_call(struct caller *c)
{
    conc_with_lock (&c->lock) {
        if (c->scope)
            conc_scope_cancel(c->scope);
    }
}

void storm(unsigned seed, void (*round)(struct test_random *random))
{
    struct stress s = stress_begin();
    struct test_random random = test_random_for(seed);
    places_open();
    do
        round(&random);
    while (stress_goes_on(&s));
    places_close();
}
