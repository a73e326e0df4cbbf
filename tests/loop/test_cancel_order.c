/* SPDX-License-Identifier: MIT
 *
 * test_cancel_order.c: what was cancelled first is not served, what was served first is not
 * cancelled: for everything that can be waited for, in every way. Two contexts wait, A before B.
 */
#include "ways.h"

#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include <conc/barrier.h>
#include <conc/cond.h>
#include <conc/event.h>
#include <conc/executor.h>
#include <conc/lock.h>
#include <conc/queue.h>
#include <conc/rlock.h>
#include <conc/sem.h>
#include <conc/shared.h>
#include <conc/shared_queue.h>
#include <conc/signal.h>

/* What the waiters wait for. */
struct world {
    conc_lock lock, outer;
    conc_rlock rlock;
    conc_cond cond;
    conc_sem sem;
    conc_event event;
    conc_queue queue;
    conc_future *future;
    conc_executor *pool;
    conc_event pool_goes_on;
    conc_shared_sem shared_sem;
    conc_shared_queue *shared_queue;
};

/* A thing to wait for. */
struct kind {
    const char *what; /* as a blocked context shows it */
    void (*begin)(struct world *w);
    int (*wait)(struct world *w); /* 0: served */
    void (*serve)(struct world *w);
    void (*end)(struct world *w); /* all are served; may be NULL */
    enum {
        SERVES_ONE,
        SERVES_ALL,
        SERVES_LATER, /* one or all, but the effect comes after serve() has returned */
    } how;
};

/* ---- The kinds ---- */

static void lock_begin(struct world *w) { conc_lock_enter(&w->lock); }

static int lock_wait(struct world *w)
{
    int err = conc_lock_acquire(&w->lock, CONC_FOREVER);
    if (!err)
        conc_lock_release(&w->lock);
    return err;
}

static void lock_serve(struct world *w) { conc_lock_release(&w->lock); }

/* A first waiter that has waited for so long is handed the lock. */
static void lock_serve_impatient(struct world *w)
{
    conc__test_advance(CONC_S(1));
    conc_lock_release(&w->lock);
}

static void rlock_begin(struct world *w) { conc_rlock_enter(&w->rlock); }

static int rlock_wait(struct world *w)
{
    int err = conc_rlock_acquire(&w->rlock, CONC_FOREVER);
    if (!err)
        conc_rlock_release(&w->rlock);
    return err;
}

static void rlock_serve(struct world *w) { conc_rlock_release(&w->rlock); }

static void cond_begin(struct world *w) { conc_cond_init(&w->cond, &w->outer); }

static int cond_wait(struct world *w)
{
    int err = -1;
    conc_with_lock (&w->outer)
        err = conc_cond_wait(&w->cond, CONC_FOREVER);
    return err;
}

static void cond_serve(struct world *w)
{
    conc_with_lock (&w->outer)
        conc_cond_notify(&w->cond, 1);
}

static void cond_serve_all(struct world *w)
{
    conc_with_lock (&w->outer)
        conc_cond_notify_all(&w->cond);
}

static void sem_begin(struct world *w) { CHECK_EQUAL(conc_sem_init(&w->sem, 0, 0), 0); }
static int sem_wait_(struct world *w) { return conc_sem_acquire(&w->sem, CONC_FOREVER); }
static void sem_serve(struct world *w) { CHECK_EQUAL(conc_sem_release(&w->sem, 1), 0); }

static void event_begin(struct world *w) { conc_event_init(&w->event); }
static int event_wait(struct world *w) { return conc_event_wait(&w->event, CONC_FOREVER); }
static void event_serve(struct world *w) { conc_event_set(&w->event); }

static void queue_begin(struct world *w)
{
    CHECK_EQUAL(conc_queue_init(&w->queue, sizeof(int), 1, CONC_FIFO), 0);
}

static void queue_end(struct world *w) { conc_queue_destroy(&w->queue); }

static int queue_wait_get(struct world *w)
{
    int item;
    return conc_queue_get(&w->queue, &item, CONC_FOREVER);
}

static int queue_wait_get_many(struct world *w)
{
    int items[3];
    ptrdiff_t n = conc_queue_get_many(&w->queue, items, 3, CONC_FOREVER);
    return n > 0 ? 0 : (int)n;
}

static void queue_serve_put(struct world *w)
{
    int item = 1;
    CHECK_EQUAL(conc_queue_put(&w->queue, &item, CONC_NOW), 0);
}

static void queue_begin_full(struct world *w)
{
    queue_begin(w);
    queue_serve_put(w);
}

static int queue_wait_put(struct world *w)
{
    int item = 2;
    return conc_queue_put(&w->queue, &item, CONC_FOREVER);
}

static void queue_serve_get(struct world *w)
{
    int item;
    CHECK_EQUAL(conc_queue_get(&w->queue, &item, CONC_NOW), 0);
}

static int queue_wait_join(struct world *w) { return conc_queue_join(&w->queue, CONC_FOREVER); }
static void queue_serve_done(struct world *w) { CHECK_EQUAL(conc_queue_task_done(&w->queue), 0); }

static void future_begin(struct world *w) { CHECK_EQUAL(conc_future_new(&w->future, 0), 0); }
static int future_wait_(struct world *w) { return conc_future_wait(w->future, CONC_FOREVER); }
static void future_serve(struct world *w) { conc_future_set_result(w->future, NULL); }
static void future_end(struct world *w) { conc_future_unref(w->future); }

static int futures_wait(struct world *w)
{
    ptrdiff_t n = conc_wait(&w->future, 1, CONC_ALL_COMPLETED, CONC_FOREVER);
    return n > 0 ? 0 : (int)n;
}

static int pool_job(void *arg, void *result)
{
    (void)result;
    return conc_event_wait(&(*(struct world **)arg)->pool_goes_on, CONC_FOREVER);
}

static conc_future *pool_submit(struct world *w)
{
    return conc_submit(w->pool, pool_job, &w, sizeof w, 0);
}

static void pool_begin(struct world *w)
{
    const conc_thread_pool_options options = {.max_queued = 1};
    CHECK_EQUAL(conc_thread_pool_new(&w->pool, 1, &options), 0);
    for (int i = 0; i < 2; i++) /* one runs, one is in the queue */
        conc_future_unref(pool_submit(w));
}

static int pool_wait(struct world *w)
{
    conc_future *f = pool_submit(w);
    int err = conc_future_is_done(f) ? conc_future_error(f) : 0;
    conc_future_unref(f);
    return err;
}

static int pool_wait_shutdown(struct world *w)
{
    return conc_executor_shutdown(w->pool, CONC_SHUTDOWN_WAIT, CONC_FOREVER);
}

static void pool_serve(struct world *w) { conc_event_set(&w->pool_goes_on); }
static void pool_end(struct world *w) { CHECK_EQUAL(conc_executor_free(w->pool), 0); }

static void shared_sem_begin(struct world *w)
{
    CHECK_EQUAL(conc_shared_sem_init(&w->shared_sem, 0, 0), 0);
}

static int shared_sem_wait(struct world *w)
{
    return conc_shared_sem_acquire(&w->shared_sem, CONC_FOREVER);
}

static void shared_sem_serve(struct world *w)
{
    CHECK_EQUAL(conc_shared_sem_release(&w->shared_sem, 1), 0);
}

static void shared_queue_begin(struct world *w)
{
    w->shared_queue = calloc(1, conc_shared_queue_bytes(sizeof(int), 1));
    CHECK(w->shared_queue);
    CHECK_EQUAL(conc_shared_queue_init(w->shared_queue, sizeof(int), 1), 0);
}

static int shared_queue_wait_get(struct world *w)
{
    int item;
    return conc_shared_queue_get(w->shared_queue, &item, CONC_FOREVER);
}

static void shared_queue_serve_put(struct world *w)
{
    int item = 1;
    CHECK_EQUAL(conc_shared_queue_put(w->shared_queue, &item, CONC_NOW), 0);
}

static void shared_queue_end(struct world *w) { free(w->shared_queue); }

static sigset_t signals_waited_for(void)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    return set;
}

static void signal_begin(struct world *w)
{
    (void)w;
    const sigset_t set = signals_waited_for();
    CHECK_EQUAL(conc_signal_catch(&set), 0);
}

static int signal_wait_(struct world *w)
{
    (void)w;
    const sigset_t set = signals_waited_for();
    int signo = conc_signal_wait(&set, CONC_FOREVER);
    return signo == SIGUSR1 ? 0 : signo;
}

static void signal_serve(struct world *w)
{
    (void)w;
    CHECK_EQUAL(kill(getpid(), SIGUSR1), 0);
}

static void signal_end(struct world *w)
{
    (void)w;
    const sigset_t set = signals_waited_for();
    CHECK_EQUAL(conc_signal_release(&set), 0);
}

static const struct kind kinds[] = {
    {"lock", lock_begin, lock_wait, lock_serve, NULL, SERVES_LATER},
    {"lock", lock_begin, lock_wait, lock_serve_impatient, NULL, SERVES_ONE},
    {"lock", rlock_begin, rlock_wait, rlock_serve, NULL, SERVES_LATER},
    {"condition", cond_begin, cond_wait, cond_serve, NULL, SERVES_ONE},
    {"condition", cond_begin, cond_wait, cond_serve_all, NULL, SERVES_ALL},
    {"semaphore", sem_begin, sem_wait_, sem_serve, NULL, SERVES_ONE},
    {"event", event_begin, event_wait, event_serve, NULL, SERVES_ALL},
    {"queue get", queue_begin, queue_wait_get, queue_serve_put, queue_end, SERVES_ONE},
    {"queue get", queue_begin, queue_wait_get_many, queue_serve_put, queue_end, SERVES_ONE},
    {"queue put", queue_begin_full, queue_wait_put, queue_serve_get, queue_end, SERVES_ONE},
    {"queue join", queue_begin_full, queue_wait_join, queue_serve_done, queue_end, SERVES_ALL},
    {"future", future_begin, future_wait_, future_serve, future_end, SERVES_ALL},
    {"futures", future_begin, futures_wait, future_serve, future_end, SERVES_ALL},
    {"executor", pool_begin, pool_wait, pool_serve, pool_end, SERVES_LATER},
    {"shutdown", pool_begin, pool_wait_shutdown, pool_serve, pool_end, SERVES_LATER},
    {"signal", signal_begin, signal_wait_, signal_serve, signal_end, SERVES_LATER},
    {"shared sem", shared_sem_begin, shared_sem_wait, shared_sem_serve, NULL, SERVES_LATER},
    {"shared queue get", shared_queue_begin, shared_queue_wait_get, shared_queue_serve_put,
     shared_queue_end, SERVES_LATER},
};

enum { N_KINDS = sizeof kinds / sizeof *kinds };

/* ---- The waiters ---- */

struct waiter {
    const struct kind *kind;
    struct world *world;
    bool shielded;
    int result;
};

static int waiter_main(void *arg, void *result)
{
    (void)result;
    struct waiter *w = *(struct waiter **)arg;
    conc_scope shield;
    if (w->shielded)
        conc_shield_enter(&shield);
    w->result = w->kind->wait(w->world);
    if (w->shielded)
        conc_shield_exit(&shield);
    return 0;
}

static conc_future *waiter_start(struct waiter *w)
{
    size_t before = blocked_on(w->kind->what);
    conc_future *f = start(waiter_main, &w, sizeof w);
    UNTIL(blocked_on(w->kind->what) == before + 1);
    return f;
}

static void end_all(const struct kind *kind, struct world *w)
{
    if (kind->end)
        kind->end(w);
}

/* ---- The orders ---- */

static void cancel_then_serve(const struct kind *kind)
{
    struct world world = {0};
    struct waiter a = {.kind = kind, .world = &world}, b = a;
    kind->begin(&world);
    conc_future *fa = waiter_start(&a), *fb = waiter_start(&b);
    conc_future_cancel(fa);
    kind->serve(&world);
    end_of(fa);
    CHECK_EQUAL(end_of(fb), 0);
    CHECK_EQUAL(a.result, -ECANCELED);
    CHECK_EQUAL(b.result, 0);
    end_all(kind, &world);
}

static void serve_then_cancel(const struct kind *kind)
{
    struct world world = {0};
    struct waiter a = {.kind = kind, .world = &world}, b = a;
    kind->begin(&world);
    conc_future *fa = waiter_start(&a), *fb = waiter_start(&b);
    kind->serve(&world);
    conc_future_cancel(fa);
    conc_future_cancel(fb);
    end_of(fa);
    end_of(fb);
    CHECK_EQUAL(a.result, 0);
    if (kind->how == SERVES_ALL)
        CHECK_EQUAL(b.result, 0);
    else if (kind->wait != lock_wait) /* there A serves B, perhaps in time */
        CHECK_EQUAL(b.result, -ECANCELED);
    end_all(kind, &world);
}

/* What a shield keeps away is no cancel. */
static void cancel_outside_a_shield(const struct kind *kind)
{
    struct world world = {0};
    struct waiter a = {.kind = kind, .world = &world, .shielded = true};
    kind->begin(&world);
    conc_future *fa = waiter_start(&a);
    conc_future_cancel(fa);
    kind->serve(&world);
    end_of(fa);
    CHECK_EQUAL(a.result, 0);
    end_all(kind, &world);
}

/* In one thread the order is always the same. */
static int repeats(void) { return on_tasks() ? 1 : 20; }

static void test_the_cancelled_is_passed_over(void)
{
    for (int i = 0; i < N_KINDS; i++)
        for (int j = 0; j < repeats(); j++)
            cancel_then_serve(&kinds[i]);
}

static void test_the_served_succeeds_though_it_is_cancelled(void)
{
    for (int i = 0; i < N_KINDS; i++)
        for (int j = 0; j < repeats() && kinds[i].how != SERVES_LATER; j++)
            serve_then_cancel(&kinds[i]);
}

static void test_a_cancel_outside_a_shield_passes_nobody_over(void)
{
    for (int i = 0; i < N_KINDS; i++)
        for (int j = 0; j < repeats(); j++)
            cancel_outside_a_shield(&kinds[i]);
}

/* ---- Special cases ---- */

static int job_enter_lock(void *arg, void *result)
{
    (void)result;
    struct waiter *w = *(struct waiter **)arg;
    conc_lock_enter(&w->world->lock);
    w->result = 7;
    conc_lock_release(&w->world->lock);
    return 0;
}

static void test_a_firm_waiter_is_served_though_it_was_cancelled(void)
{
    static const struct kind kind = {"lock", lock_begin, lock_wait, lock_serve_impatient, NULL, 0};
    struct world world = {0};
    struct waiter a = {.kind = &kind, .world = &world}, *pa = &a, b = a;
    lock_begin(&world);
    conc_future *fa = start(job_enter_lock, &pa, sizeof pa);
    UNTIL(blocked_on("lock") == 1);
    conc_future *fb = waiter_start(&b);
    conc_future_cancel(fa);
    lock_serve_impatient(&world);
    end_of(fa);
    end_of(fb);
    CHECK_EQUAL(a.result, 7);
    CHECK_EQUAL(b.result, 0);
}

static int wait_at_barrier(void *arg, void *result)
{
    (void)result;
    return conc_barrier_wait(*(conc_barrier **)arg, CONC_FOREVER);
}

static void test_a_barrier_does_not_count_the_cancelled(void)
{
    for (int i = 0; i < repeats(); i++) {
        conc_barrier barrier, *at = &barrier;
        CHECK_EQUAL(conc_barrier_init(&barrier, 3, NULL, NULL), 0);
        conc_future *fa = start(wait_at_barrier, &at, sizeof at);
        UNTIL(blocked_on("barrier") == 1);
        conc_future *fb = start(wait_at_barrier, &at, sizeof at);
        UNTIL(blocked_on("barrier") == 2);
        conc_future_cancel(fa);
        CHECK_EQUAL(conc_barrier_wait(&barrier, CONC_FOREVER), -CONC_EBROKEN);
        CHECK_EQUAL(end_of(fa), -ECANCELED);
        CHECK_EQUAL(end_of(fb), -CONC_EBROKEN);
        conc_barrier_reset(&barrier);
        CHECK_EQUAL(conc_barrier_n_waiting(&barrier), 0);
        CHECK_EQUAL(conc_barrier_wait(&barrier, CONC_NOW), -EAGAIN);
    }
}

static int put_three(void *arg, void *result)
{
    (void)result;
    struct waiter *w = *(struct waiter **)arg;
    static const int items[] = {1, 2, 3};
    w->result = (int)conc_queue_put_many(&w->world->queue, items, 3, CONC_FOREVER);
    return 0;
}

static void test_of_a_cancelled_batch_no_more_is_let_in(void)
{
    for (int i = 0; i < repeats(); i++) {
        struct world world = {0};
        struct waiter a = {.world = &world}, *pa = &a;
        queue_begin(&world);
        conc_future *fa = start(put_three, &pa, sizeof pa);
        UNTIL(blocked_on("queue put") == 1);
        conc_future_cancel(fa);
        queue_serve_get(&world);
        CHECK_EQUAL(conc_queue_size(&world.queue), 0);
        end_of(fa);
        CHECK_EQUAL(a.result, 1);
        queue_end(&world);
    }
}

/* The thread that dispatches signals stays: it is none that a test leaves behind. */
static void test_signals_have_their_thread(void **state)
{
    signal_begin(NULL);
    signal_end(NULL);
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_signals_have_their_thread),
    ON_EVERY_WAY(test_the_cancelled_is_passed_over),
    ON_EVERY_WAY(test_the_served_succeeds_though_it_is_cancelled),
    ON_EVERY_WAY(test_a_cancel_outside_a_shield_passes_nobody_over),
    ON_EVERY_WAY(test_a_firm_waiter_is_served_though_it_was_cancelled),
    ON_EVERY_WAY(test_a_barrier_does_not_count_the_cancelled),
    ON_EVERY_WAY(test_of_a_cancelled_batch_no_more_is_let_in),
};

TEST_MAIN(tests, 50)
