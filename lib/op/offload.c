/* SPDX-License-Identifier: MIT
 *
 * offload.c: ops that only a thread that blocks can carry out. (Names have threads of their own,
 * io/names.c: a resolver cannot be interrupted.)
 *
 * How: two pools of threads for the whole process. `files` is for ops that end by themselves:
 * reading from a disk. `waits` is for those that may wait for ever: opening a FIFO, writing to a
 * terminal that nobody reads, a file system that a program implements. So these never keep a file
 * waiting.
 *
 * An op is (op->phase; here without OFFLOAD_):
 *
 *     QUEUED     in the queue of its pool
 *     RUNNING    a worker has it: op->worker
 *     OVER       its result is there; it is on its way to its driver
 *
 *     QUEUED -> RUNNING -> OVER -> completed
 *     QUEUED -> OVER -> completed        by a cancel, or because no thread can be started
 *
 * These change under the guard of the pool. So a worker that is told to stop has the op still, and
 * its thread is there.
 *
 * Interrupting: a call that waits ends with -EINTR when its thread handles a signal. The workers
 * take SIGURG, for which there is a handler that does nothing; by default that signal is ignored,
 * and if the program has a handler of its own nothing is changed. A signal that comes just before
 * the system call is lost. So a *nag*, a thread, repeats it after NAG_MIN, twice that ... up to
 * NAG_MAX, until all ops that were told to end have ended. op->interrupted keeps the worker from
 * repeating the call. What cannot be interrupted (a disk, a FUSE server that does not care) ends
 * when it ends, and then the op has its result. A hurried op is to have its one attempt: while it
 * is in the queue it is only told.
 *
 * Growth: a pool starts a thread for an op that finds none idle, up to OFFLOAD_PROMPT: a disk
 * answers so many requests at once faster than few. If all of them are busy for longer, they may be
 * stuck. So then there is a *reserve*, a thread that looks each RESERVE_LOOKS whether any op has
 * ended. If none has, it becomes a worker, with as many others as the queue wants, up to the double
 * of what there are; and the next reserve follows. So a thousand ops that are stuck delay the next
 * by a few looks, and no number of them stops it; and thousands of short ones share a few threads.
 * A worker that has been idle for WORKER_PATIENCE ends.
 *
 *     idle -> busy (given an op) -> idle;  reserve -> busy;  idle, reserve -> ended
 *
 * Invariant: a worker is idle only while the queue is empty; and while the queue is not empty there
 * are workers, and either fewer than OFFLOAD_PROMPT and one of them is starting, or a reserve,
 * unless the system has refused a thread.
 *
 * Order: the guard, and the inbox of the driver. An op without a driver completes in the worker's
 * thread: op.c says how.
 *
 * fork: a child has none of these threads, and its pools are new. The ops were the parent's.
 */
#include "op/offload.h"

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <time.h>

#include <conc/context.h>

#include "op/driver.h"
#include "op/kind.h"
#include "thread/create.h"
#include "wait/wait.h"

#define RESERVE_LOOKS CONC_MS(10)
#define NAG_MIN CONC_MS(1)
#define NAG_MAX CONC_MS(16)
#define WORKER_PATIENCE CONC_S(10)

/* op->phase */
enum { OFFLOAD_OVER, OFFLOAD_QUEUED, OFFLOAD_RUNNING };

struct offload_pool {
    uint32_t word;              /* the guard of the rest */
    struct conc__waitlist idle; /* workers; slot: the worker */
    struct list queue;          /* ops */
    struct list busy;           /* workers */
    size_t workers;             /* also those that are starting */
    size_t threads;             /* of all sorts, that have begun and have not ended */
    bool has_reserve, has_nag;
    uint64_t ended; /* ops */
    const char *name;
};

struct offload_worker {
    struct list_node node; /* in pool->busy */
    struct offload_pool *pool;
    pthread_t thread;
    struct op *op; /* NULL: it is idle */
};

enum { POOL_FILES, POOL_WAITS, POOLS };

static struct offload_pool pools[POOLS] = {
    [POOL_FILES] = {.name = "files"}, [POOL_WAITS] = {.name = "waits"}};

/* ---- Forks ---- */

static void pools_after_fork_in_child(void)
{
    for (int i = 0; i < POOLS; i++)
        pools[i] = (struct offload_pool){.name = pools[i].name};
}

__attribute__((constructor)) static void pools_watch_forks(void)
{
    /* If there is no memory for this, files in a child wait for threads that it does not have. */
    pthread_atfork(NULL, NULL, pools_after_fork_in_child);
}

/* ---- Ends ---- */

static void offload_complete(struct item *item)
{
    struct op *op = list_entry(item, struct op, item);
    /* The node lies where the item was, and must be zero if the op is started again. */
    op->node = (struct list_node){0};
    conc__op_complete(op, op->result);
}

/* With op->result set. From here on the op is its driver's again, or its caller's. */
static void offload_hand_back(struct op *op)
{
    if (op->driver) {
        op->item.run = offload_complete;
        conc__driver_post(op->driver, &op->item);
    } else {
        op->complete(op);
    }
}

/* ---- Workers ---- */

static void *offload_worker_main(void *arg);
static void *offload_reserve_main(void *arg);

static int offload_start_thread(struct offload_pool *pool, void *(*run)(void *))
{
    pthread_t thread;
    int err = conc__thread_create(&thread, 0, run, pool);
    if (!err)
        pthread_detach(thread);
    return err;
}

/* Under the guard: which thread to start for the queue, counted already; NULL: none. */
static void *(*offload_reinforcement(struct offload_pool *pool))(void *)
{
    if (list_is_empty(&pool->queue) || pool->has_reserve)
        return NULL;
    if (pool->workers < OFFLOAD_PROMPT) {
        pool->workers++;
        return offload_worker_main;
    }
    pool->has_reserve = true;
    return offload_reserve_main;
}

/* The thread could not be started. If nobody is left for the queue its ops are given, to fail. */
static struct list offload_do_without(struct offload_pool *pool, void *(*run)(void *))
{
    struct list lost = {0};
    guard_lock(&pool->word);
    if (run == offload_worker_main)
        pool->workers--;
    else
        pool->has_reserve = false;
    if (pool->workers == 0) {
        lost = pool->queue;
        pool->queue = (struct list){0};
    }
    for (struct list_node *n = lost.head; n; n = list_next(&lost, n))
        list_entry(n, struct op, node)->phase = OFFLOAD_OVER;
    guard_unlock(&pool->word);
    return lost;
}

static void offload_reinforce(struct offload_pool *pool, void *(*run)(void *))
{
    int err = run ? offload_start_thread(pool, run) : 0;
    if (!err)
        return;
    struct list lost = offload_do_without(pool, run);
    struct list_node *node;
    while ((node = list_pop(&lost))) {
        struct op *op = list_entry(node, struct op, node);
        op->result = err;
        offload_hand_back(op);
    }
}

/* Under the guard. */
static void offload_give(struct offload_worker *worker, struct op *op)
{
    op->phase = OFFLOAD_RUNNING;
    op->worker = worker;
    worker->op = op;
    list_push(&worker->pool->busy, &worker->node);
}

static void offload_worker_gave_up(void *object) { ((struct offload_pool *)object)->workers--; }

/* The next op, for which the worker may have to wait; NULL: it is to end. */
static struct op *offload_next(struct offload_worker *worker)
{
    struct offload_pool *pool = worker->pool;
    struct conc__waiter here = waiter_here();
    const struct wait_on on = {.list = &pool->idle,
                               .guard = &pool->word,
                               .what = "work",
                               .object = pool,
                               .gave_up = offload_worker_gave_up};
    here.slot = worker;
    guard_lock(&pool->word);
    struct list_node *node = list_pop(&pool->queue);
    if (node)
        offload_give(worker, list_entry(node, struct op, node));
    else
        conc__waitlist_push_front(&pool->idle, &here);
    void *(*more)(void *) = offload_reinforcement(pool);
    guard_unlock(&pool->word);
    offload_reinforce(pool, more);
    if (node)
        return worker->op;
    return conc__waiter_wait(&here, &on, conc_in(WORKER_PATIENCE)) == 0 ? worker->op : NULL;
}

static void offload_perform(struct offload_worker *worker)
{
    struct offload_pool *pool = worker->pool;
    struct op *op = worker->op;
    if (op->kind == FD_SLOW_FILE)
        conc__kind_learn(op->fd);
    ssize_t result = conc__perform(op, true);
    if (op->code == OP_OPEN && result >= 0)
        conc__kind_learn((int)result);
    guard_lock(&pool->word);
    list_remove(&pool->busy, &worker->node);
    pool->ended++;
    worker->op = NULL;
    op->phase = OFFLOAD_OVER;
    op->result = result == -EINTR ? -ECANCELED : result;
    guard_unlock(&pool->word);
    offload_hand_back(op);
}

static void offload_take_signal(void)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGURG);
    pthread_sigmask(SIG_UNBLOCK, &set, NULL);
}

static void offload_work(struct offload_pool *pool)
{
    struct offload_worker worker = {.pool = pool, .thread = pthread_self()};
    conc_context_set_name(pool->name);
    offload_take_signal();
    while (offload_next(&worker))
        offload_perform(&worker);
}

static void offload_begin(struct offload_pool *pool)
{
    guard_lock(&pool->word);
    pool->threads++;
    guard_unlock(&pool->word);
}

static void offload_end(struct offload_pool *pool)
{
    guard_lock(&pool->word);
    pool->threads--;
    guard_unlock(&pool->word);
}

static void *offload_worker_main(void *arg)
{
    offload_begin(arg);
    offload_work(arg);
    offload_end(arg);
    return NULL;
}

/* Under the guard: how many workers more it takes, at least one, at most as many as there are. */
static size_t offload_lack(const struct offload_pool *pool)
{
    size_t n = 0;
    for (struct list_node *at = pool->queue.head; at && n < pool->workers;
         at = list_next(&pool->queue, at))
        n++;
    return n;
}

/* Until the queue has stood still: how many workers to add. 0: there is no queue. */
static size_t offload_watch(struct offload_pool *pool)
{
    const struct timespec pause = {.tv_nsec = RESERVE_LOOKS};
    uint64_t ended = 0;
    for (;; nanosleep(&pause, NULL)) {
        guard_lock(&pool->word);
        const bool waits = !list_is_empty(&pool->queue);
        const bool stands = waits && ended == pool->ended + 1;
        size_t lack = stands ? offload_lack(pool) : 0;
        ended = pool->ended + 1; /* not 0: the first look is no comparison */
        pool->has_reserve = waits && !stands;
        pool->workers += lack;
        guard_unlock(&pool->word);
        if (!waits || stands)
            return lack;
    }
}

static void *offload_reserve_main(void *arg)
{
    offload_begin(arg);
    size_t lack = offload_watch(arg);
    for (size_t i = 1; i < lack; i++)
        offload_reinforce(arg, offload_worker_main);
    if (lack)
        offload_work(arg);
    offload_end(arg);
    return NULL;
}

/* ---- Starting ---- */

void conc__offload_start(struct op *op, bool may_wait)
{
    struct offload_pool *pool = &pools[may_wait ? POOL_WAITS : POOL_FILES];
    void *(*more)(void *) = NULL;
    op->waits = may_wait;
    op->interrupted = false;
    if (op->driver)
        list_push(&op->driver->offloaded, &op->offloaded);
    guard_lock(&pool->word);
    struct conc__waiter *idle = waitlist_pop(&pool->idle);
    if (idle) {
        offload_give(idle->slot, op);
    } else {
        op->phase = OFFLOAD_QUEUED;
        list_push(&pool->queue, &op->node);
        more = offload_reinforcement(pool);
    }
    guard_unlock(&pool->word);
    if (idle)
        conc__waiter_deliver(idle, 0);
    offload_reinforce(pool, more);
}

/* ---- Ending early ---- */

static void on_interrupt(int signo) { (void)signo; }

static void interrupts_begin(void)
{
    struct sigaction now;
    const struct sigaction ours = {.sa_handler = on_interrupt}; /* without SA_RESTART */
    if (sigaction(SIGURG, NULL, &now) == 0 &&
        (now.sa_handler == SIG_DFL || now.sa_handler == SIG_IGN))
        sigaction(SIGURG, &ours, NULL);
}

/* Under the guard. True: there are ops that have been told to end, and have not ended. */
static bool offload_interrupt_all(const struct offload_pool *pool)
{
    bool any = false;
    for (struct list_node *n = pool->queue.head; n; n = list_next(&pool->queue, n))
        any |= list_entry(n, struct op, node)->interrupted;
    for (struct list_node *n = pool->busy.head; n; n = list_next(&pool->busy, n)) {
        const struct offload_worker *worker = list_entry(n, struct offload_worker, node);
        if (load_relaxed(&worker->op->interrupted)) { /* relaxed: set under the guard */
            pthread_kill(worker->thread, SIGURG);
            any = true;
        }
    }
    return any;
}

static void *offload_nag_main(void *arg)
{
    struct offload_pool *pool = arg;
    struct timespec pause = {.tv_nsec = NAG_MIN};
    offload_begin(pool);
    for (bool any = true; any;) {
        nanosleep(&pause, NULL);
        pause.tv_nsec = pause.tv_nsec < NAG_MAX ? 2 * pause.tv_nsec : NAG_MAX;
        guard_lock(&pool->word);
        any = pool->has_nag = offload_interrupt_all(pool);
        guard_unlock(&pool->word);
    }
    offload_end(pool);
    return NULL;
}

/* Under the guard: the op runs, or is hurried. True: a nag is to be started. */
static bool offload_interrupt(struct offload_pool *pool, struct op *op)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, interrupts_begin);
    store_relaxed(&op->interrupted, true); /* relaxed: it only ends a repetition */
    if (op->phase == OFFLOAD_RUNNING)
        pthread_kill(op->worker->thread, SIGURG);
    bool start = !pool->has_nag;
    pool->has_nag = true;
    return start;
}

static void offload_start_nag(struct offload_pool *pool)
{
    if (offload_start_thread(pool, offload_nag_main) == 0)
        return;
    guard_lock(&pool->word);
    pool->has_nag = false; /* the next cancel tries again */
    guard_unlock(&pool->word);
}

void conc__offload_cancel(struct op *op)
{
    struct offload_pool *pool = &pools[op->waits ? POOL_WAITS : POOL_FILES];
    guard_lock(&pool->word);
    const bool has_not_begun = op->phase == OFFLOAD_QUEUED && !op->hurried;
    bool start_nag = false;
    if (has_not_begun) {
        list_remove(&pool->queue, &op->node);
        op->phase = OFFLOAD_OVER;
    } else if (op->phase != OFFLOAD_OVER) {
        start_nag = offload_interrupt(pool, op);
    }
    guard_unlock(&pool->word);
    if (start_nag)
        offload_start_nag(pool);
    if (!has_not_begun)
        return;
    op->result = -ECANCELED;
    if (op->driver)
        conc__op_complete(op, op->result);
    else
        op->complete(op);
}

size_t conc__offload_threads(bool *settled)
{
    size_t n = 0;
    *settled = true;
    for (int i = 0; i < POOLS; i++) {
        struct offload_pool *pool = &pools[i];
        guard_lock(&pool->word);
        n += pool->threads;
        *settled &= pool->threads == pool->workers + pool->has_reserve + pool->has_nag;
        guard_unlock(&pool->word);
    }
    return n;
}
