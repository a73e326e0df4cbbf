/* SPDX-License-Identifier: MIT
 *
 * fibers.c: see fibers.h.
 *
 * How: a loop has a mutex for all that another thread may touch: the fibers' parking bits and
 * states, and the list of the ready ones. A thread that delivers to a parked fiber makes it ready.
 * The loop's own thread switches to it, and only after it has switched away from it. The loop finds
 * deadlines by looking at every fiber.
 *
 * fiber_park() now and then returns for no reason, which it is allowed to do.
 */
#include "fibers.h"

#include <stdlib.h>
#include <ucontext.h>

#include <conc/loop.h>
#include <conc/task.h>

#include "base/checkers.h"
#include "base/clock.h"
#include "base/hooks.h"
#include "support.h"
#include "wait/context.h"

#define STACK_SIZE (256 * 1024)
#define FALSE_WAKEUP_EVERY 7
#define NAP_NS 2000000 /* a test may move the clock while the loop sleeps */

/* ---- Telling the sanitizers which stack we are on ---- */

struct side {
    ucontext_t uc;
    const void *stack; /* its lowest address */
    size_t stack_size;
    void *fake_stack;
    void *tsan;
};

static void side_before_switch(struct side *from, const struct side *to, bool for_good)
{
    (void)from, (void)to, (void)for_good;
#ifdef WITH_ASAN
    __sanitizer_start_switch_fiber(for_good ? NULL : &from->fake_stack, to->stack, to->stack_size);
#endif
#ifdef WITH_TSAN
    __tsan_switch_to_fiber(to->tsan, 0);
#endif
}

/* On `self`. ASan reports the stack of the side that we come from, if it is not known yet. */
static void side_after_switch(struct side *self, struct side *from)
{
    (void)self, (void)from;
#ifdef WITH_ASAN
    __sanitizer_finish_switch_fiber(self->fake_stack, &from->stack, &from->stack_size);
#endif
}

/* ---- Fibers ---- */

enum fiber_state { FIBER_READY, FIBER_RUNNING, FIBER_PARKED, FIBER_ENDED };

struct fiber {
    struct conc_context context;
    /* Under the loop's mutex, as all to `next`. */
    uint32_t woken; /* PARK_ bits for the next park */
    enum fiber_state state;
    conc_deadline until;   /* PARKED */
    struct fiber *next;    /* READY: in the loop's list */
    struct fiber *sibling; /* in the loop's list of all */
    struct fiber_loop *loop;
    struct side side;
    unsigned valgrind_id;
    unsigned parks;
    void (*fn)(void *arg);
    void *arg;
};

struct fiber_loop {
    pthread_mutex_t mutex;
    pthread_cond_t roused;
    struct fiber *all, *ready, *last_ready;
    struct side side; /* of the thread that runs it */
};

static struct fiber *fiber_of(struct conc_context *context) { return (struct fiber *)context; }

/* Under the mutex. */
static void fiber_make_ready(struct fiber *f)
{
    struct fiber_loop *loop = f->loop;
    f->state = FIBER_READY;
    f->next = NULL;
    *(loop->ready ? &loop->last_ready->next : &loop->ready) = f;
    loop->last_ready = f;
    pthread_cond_signal(&loop->roused);
}

/* On the fiber: let the loop go on. */
static void fiber_suspend(struct fiber *f, bool for_good)
{
    struct side *loop = &f->loop->side;
    side_before_switch(&f->side, loop, for_good);
    swapcontext(&f->side.uc, &loop->uc);
    side_after_switch(&f->side, loop);
}

static uint32_t fiber_park(struct conc_context *self, conc_deadline until)
{
    struct fiber *f = fiber_of(self);
    pthread_mutex_lock(&f->loop->mutex);
    bool false_wakeup = ++f->parks % FALSE_WAKEUP_EVERY == 0;
    if (f->woken == 0 && !false_wakeup) {
        f->state = FIBER_PARKED;
        f->until = until;
        pthread_mutex_unlock(&f->loop->mutex);
        fiber_suspend(f, false);
        pthread_mutex_lock(&f->loop->mutex);
    }
    uint32_t bits = f->woken;
    f->woken = 0;
    pthread_mutex_unlock(&f->loop->mutex);
    return bits;
}

static void fiber_set_bit(struct conc_context *context, uint32_t bit)
{
    struct fiber *f = fiber_of(context);
    struct fiber_loop *loop = f->loop;
    pthread_mutex_lock(&loop->mutex);
    CHECK(f->state != FIBER_ENDED);
    CHECK(bit != PARK_DELIVERED || !(f->woken & PARK_DELIVERED)); /* never twice */
    f->woken |= bit;
    if (f->state == FIBER_PARKED)
        fiber_make_ready(f);
    pthread_mutex_unlock(&loop->mutex); /* from here on the fiber may be freed; the loop lives */
}

static void fiber_deliver(struct conc_context *context, struct conc__waiter *waiter)
{
    (void)waiter;
    fiber_set_bit(context, PARK_DELIVERED);
}

static void fiber_kick(struct conc_context *context) { fiber_set_bit(context, PARK_KICKED); }

static void fiber_yield(struct conc_context *self)
{
    struct fiber *f = fiber_of(self);
    pthread_mutex_lock(&f->loop->mutex);
    fiber_make_ready(f);
    pthread_mutex_unlock(&f->loop->mutex);
    fiber_suspend(f, false);
}

static const struct context_ops fiber_ops = {
    .kind = "fiber",
    .park = fiber_park,
    .deliver = fiber_deliver,
    .kick = fiber_kick,
    .yield = fiber_yield,
};

static __thread struct fiber *fiber_starting; /* makecontext() can pass no pointer */

static void fiber_main(void)
{
    struct fiber *f = fiber_starting;
    side_after_switch(&(struct side){0}, &f->loop->side);
    f->fn(f->arg);
    pthread_mutex_lock(&f->loop->mutex);
    f->state = FIBER_ENDED;
    pthread_mutex_unlock(&f->loop->mutex);
    fiber_suspend(f, true);
}

static void fiber_free(struct fiber *f)
{
    conc__context_fini(&f->context);
#ifdef WITH_TSAN
    __tsan_destroy_fiber(f->side.tsan);
#endif
    VALGRIND_STACK_DEREGISTER(f->valgrind_id);
    free((void *)f->side.stack);
    free(f);
}

void fiber_loop_add(struct fiber_loop *loop, const char *name, void (*fn)(void *arg), void *arg)
{
    struct fiber *f = calloc(1, sizeof *f);
    CHECK(f);
    char *stack = aligned_alloc(4096, STACK_SIZE);
    CHECK(stack);
    f->side.stack = stack;
    f->side.stack_size = STACK_SIZE;
    f->valgrind_id = VALGRIND_STACK_REGISTER(stack, stack + STACK_SIZE);
    f->loop = loop;
    f->fn = fn;
    f->arg = arg;
#ifdef WITH_TSAN
    f->side.tsan = __tsan_create_fiber(0);
#endif
    CHECK_EQUAL(getcontext(&f->side.uc), 0);
    f->side.uc.uc_stack.ss_sp = stack;
    f->side.uc.uc_stack.ss_size = STACK_SIZE;
    makecontext(&f->side.uc, fiber_main, 0);
    conc__context_init(&f->context, &fiber_ops, name);
    f->sibling = loop->all;
    loop->all = f;
    fiber_make_ready(f);
}

/* ---- The loop ---- */

struct fiber_loop *fiber_loop_new(void)
{
    struct fiber_loop *loop = calloc(1, sizeof *loop);
    CHECK(loop);
    pthread_mutex_init(&loop->mutex, NULL);
    pthread_cond_init(&loop->roused, NULL);
    return loop;
}

void fiber_loop_free(struct fiber_loop *loop)
{
    CHECK(!loop->all);
    pthread_cond_destroy(&loop->roused);
    pthread_mutex_destroy(&loop->mutex);
    free(loop);
}

static void fiber_resume(struct fiber_loop *loop, struct fiber *f)
{
    struct conc_context *own = conc__self;
    conc__self = &f->context;
    fiber_starting = f;
    side_before_switch(&loop->side, &f->side, false);
    swapcontext(&loop->side.uc, &f->side.uc);
    side_after_switch(&loop->side, &f->side);
    conc__self = own;
}

/* Under the mutex: make those ready whose deadline has come; is there a deadline yet to come? */
static bool fiber_loop_fire_deadlines(struct fiber_loop *loop)
{
    bool some = false;
    for (struct fiber *f = loop->all; f; f = f->sibling) {
        if (f->state != FIBER_PARKED || deadline_is_forever(f->until))
            continue;
        if (f->until.ns <= conc_now())
            fiber_make_ready(f);
        else
            some = true;
    }
    return some;
}

/* Under the mutex, with nothing to do. */
static void fiber_loop_nap(struct fiber_loop *loop, bool has_deadlines)
{
    if (!has_deadlines) {
        pthread_cond_wait(&loop->roused, &loop->mutex);
        return;
    }
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    t.tv_nsec += NAP_NS;
    if (t.tv_nsec >= 1000000000) {
        t.tv_nsec -= 1000000000;
        t.tv_sec++;
    }
    pthread_cond_timedwait(&loop->roused, &loop->mutex, &t);
}

static void fiber_loop_forget(struct fiber_loop *loop, struct fiber *f)
{
    struct fiber **p = &loop->all;
    while (*p != f)
        p = &(*p)->sibling;
    *p = f->sibling;
}

void fiber_loop_run(struct fiber_loop *loop)
{
#ifdef WITH_TSAN
    loop->side.tsan = __tsan_get_current_fiber();
#endif
    pthread_mutex_lock(&loop->mutex);
    while (loop->all) {
        bool has_deadlines = fiber_loop_fire_deadlines(loop);
        struct fiber *f = loop->ready;
        if (!f) {
            fiber_loop_nap(loop, has_deadlines);
            continue;
        }
        loop->ready = f->next;
        f->state = FIBER_RUNNING;
        pthread_mutex_unlock(&loop->mutex);
        fiber_resume(loop, f);
        pthread_mutex_lock(&loop->mutex);
        if (f->state == FIBER_ENDED) {
            fiber_loop_forget(loop, f);
            fiber_free(f);
        }
    }
    pthread_mutex_unlock(&loop->mutex);
}

/* ---- The same thing in all kinds ---- */

const char *const context_kind_names[CONTEXT_KINDS] = {
    "threads", "fibers", "two loops", "mixed", "tasks", "task loops", "tasks and threads",
};

struct call {
    size_t index;
    void (*fn)(size_t index, void *arg);
    void *arg;
};

static void call_run(void *arg)
{
    struct call *call = arg;
    call->fn(call->index, call->arg);
}

/* What runs the contexts that share a thread: fibers, or real tasks. */
struct host {
    struct fiber_loop *fibers; /* NULL: tasks */
    conc_loop *tasks;
    conc_future **futures;
    size_t n;
};

static int call_run_in_task(void *arg, void *result)
{
    call_run(*(struct call **)arg);
    return 0;
}

static void host_init(struct host *host, enum context_kind kind, size_t n, conc_backend backend)
{
    const conc_loop_options options = {.backend = backend};
    *host = (struct host){.fibers = NULL};
    if (kind < TASKS) {
        host->fibers = fiber_loop_new();
        return;
    }
    CHECK_EQUAL(conc_loop_new(&host->tasks, &options), 0);
    host->futures = calloc(n, sizeof(conc_future *));
    CHECK(host->futures);
}

static void host_add(struct host *host, struct call *call)
{
    if (host->fibers)
        fiber_loop_add(host->fibers, NULL, call_run, call);
    else
        host->futures[host->n++] =
            conc_task_start(host->tasks, call_run_in_task, &call, sizeof call, 0, NULL);
}

static void host_run(void *arg)
{
    struct host *host = arg;
    if (host->fibers) {
        fiber_loop_run(host->fibers);
        fiber_loop_free(host->fibers);
        return;
    }
    for (size_t i = 0; i < host->n; i++) {
        CHECK_EQUAL(conc_loop_run_until_complete(host->tasks, host->futures[i]), 0);
        CHECK_EQUAL(conc_future_error(host->futures[i]), 0);
        conc_future_unref(host->futures[i]);
    }
    CHECK_EQUAL(conc_loop_free(host->tasks), 0);
    free(host->futures);
}

/* The host to which the context of that index belongs; 2: to none, as it is a thread. */
static size_t host_of(enum context_kind kind, size_t index)
{
    switch (kind) {
    case FIBERS:
    case TASKS:
        return 0;
    case TWO_LOOPS:
    case TASK_LOOPS:
        return index % 2;
    case MIXED:
    case TASKS_AND_THREADS:
        return index % 2 ? 2 : 0;
    default:
        return 2;
    }
}

void run_contexts(enum context_kind kind, size_t n, void (*fn)(size_t index, void *arg), void *arg)
{
    struct host hosts[2];
    struct call *calls = calloc(n, sizeof *calls);
    struct test_thread *threads = calloc(n, sizeof *threads);
    CHECK(calls && threads);
    store_relaxed(&conc__hooks.sound_sleep, kind >= TASKS); /* a lost wake-up is lost for good */
    host_init(&hosts[0], kind, n, CONC_BACKEND_ANY);
    host_init(&hosts[1], kind, n, CONC_BACKEND_EPOLL);
    for (size_t i = 0; i < n; i++) {
        calls[i] = (struct call){.index = i, .fn = fn, .arg = arg};
        if (host_of(kind, i) < 2)
            host_add(&hosts[host_of(kind, i)], &calls[i]);
    }
    struct test_thread other;
    test_thread_start(&other, NULL, host_run, &hosts[1]);
    for (size_t i = 0; i < n; i++)
        if (host_of(kind, i) == 2)
            test_thread_start(&threads[i], NULL, call_run, &calls[i]);
    host_run(&hosts[0]);
    test_thread_join(&other);
    for (size_t i = 0; i < n; i++)
        if (host_of(kind, i) == 2)
            test_thread_join(&threads[i]);
    store_relaxed(&conc__hooks.sound_sleep, 0);
    free(threads);
    free(calls);
}
