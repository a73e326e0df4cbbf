/* SPDX-License-Identifier: MIT
 *
 * task.c: a task as a context: it is set aside while its loop runs the others.
 *
 * The states (here without TASK_):
 *
 *     NEW       made by any thread; counted in loop->live; on its way to its loop through the inbox
 *     READY     in the loop's ready list
 *     RUNNING   on its stack
 *     PARKED    in no list; perhaps its timer is in the heap
 *     ENDED     its job is over, and it has left its stack for good
 *
 *     NEW -> READY            its loop takes it from the inbox, or the loop's own thread makes it
 *     READY -> RUNNING        its turn has come: the loop resumes it, or the task before it does
 *     RUNNING -> READY        yield
 *     RUNNING -> PARKED       park, unless there is a bit in `woken`
 *     PARKED -> READY         it is woken, or its timer fires
 *     RUNNING -> ENDED        at the end of task_main(); then the loop frees it
 *
 * All of these happen in the loop's thread. Waking: in that thread, the bit goes into `woken`, and
 * a parked task becomes ready. From other threads the bit goes into `posted`, and the thread that
 * sets POSTED there posts the task to the loop, which moves the bits to `woken` when it takes the
 * task out. So a task learns of nothing before its loop has taken it from the inbox, and only its
 * own thread ever touches its state: the classic race of waking a context that is just about to
 * sleep cannot happen.
 *
 * A task may end while it is in the inbox: it was kicked when it needed no kick. Then the loop
 * frees it when it takes it out. After its job is over no thread posts it any more: a delivery
 * comes once for each wait, and the wait was over; kicks come through scopes, and the task has left
 * all of them (the job's own scope under its future's guard: future.c).
 *
 * Where it lies: the struct stands at the top of its own stack, so a parked task touches one page.
 * The tops of the stacks are offset against each other (stack_top()), otherwise a thousand tasks
 * would share a few cache lines.
 *
 * Its stack is usually its own; but a task that is in the body of a generator parks on the
 * generator's stack. The task saves where it stands when it parks.
 *
 * A word in shared memory: a task must not block its loop, and the kernel can wake a loop for a
 * word only where io_uring has futexes (Linux 6.7); a thread that sleeps for each waiting task
 * would cost more than the task. So tasks nap between looks: for an eighth of the time that they
 * have waited (NAP_PART), but NAP_MIN at least and NAP_MAX at most. Measured: the first task that
 * waits for long costs its loop 0.6 % of a core, since it wakes the loop each time, and each
 * further task 0.006 %.
 *
 * Order: `posted` is set with release and taken with acquire, so the task sees what its waker did
 * before. In the other direction: the next thread that posts writes to `post`, which the loop has
 * read before it took the bits. The rest belongs to one thread.
 */
#include <conc/local.h>

#include <stdio.h>

#include "base/clock.h"
#include "future/future_impl.h"
#include "loop/task_impl.h"
#include "wait/local.h"

#define TASK_POSTED 0x80000000u

#define NAP_PART 8 /* a nap is this part of the time that was waited before */
#define NAP_MIN CONC_US(20)
#define NAP_MAX CONC_MS(5)

/* ---- Waking ---- */

static void task_make_ready(struct task *t)
{
    if (heap_is_in(&t->timer.node))
        conc__heap_remove(&t->loop->timers, &t->timer.node);
    t->state = TASK_READY;
    loop_push(t->loop, &t->ready);
}

static void task_add_woken(struct task *t, uint32_t bits)
{
    t->woken |= bits;
    if (t->state == TASK_PARKED)
        task_make_ready(t);
}

static void task_wake(struct conc_context *context, uint32_t bit)
{
    struct task *t = task_of_context(context);
    struct conc_loop *loop = t->loop;
    if (loop_is_here(loop))
        task_add_woken(t, bit);
    else if (!(fetch_or_acq_rel(&t->posted, bit | TASK_POSTED) & TASK_POSTED))
        conc__driver_post(&loop->driver, &t->post);
}

static void task_deliver(struct conc_context *context, struct conc__waiter *waiter)
{
    (void)waiter;
    task_wake(context, PARK_DELIVERED);
}

static void task_kick(struct conc_context *context) { task_wake(context, PARK_KICKED); }

static void task_timer_fires(struct conc_loop *loop, struct timer *timer)
{
    (void)loop;
    /* The timer is in the heap only while the task is parked. */
    task_make_ready(list_entry(timer, struct task, timer));
}

/* ---- Suspending ---- */

static void task_resume(struct item *item);

/* From the loop's stack or another task's. */
static struct coroutine *task_enter(struct task *t)
{
    t->state = TASK_RUNNING;
    t->loop->current = t;
    conc__self = &t->context;
    conc__stack_here = t->on;
    return t->resume;
}

/* Set the caller, whose state is set already, aside. Returns when it is resumed. If the next ready
 * item is a task, switch to it directly instead of by way of the loop's stack: this is half the
 * work, and the processor, which remembers where calls return to, is right more often. */
static void task_switch_away(struct task *t)
{
    struct conc_loop *loop = t->loop;
    struct coroutine here;
    t->resume = &here;
    t->on = conc__stack_here;
    struct item *next = loop_next_item(loop, task_resume);
    struct coroutine *to = next ? task_enter(list_entry(next, struct task, ready)) : &loop->here;
    if (to != &here)
        conc__coroutine_switch(&here, to);
}

static uint32_t task_park(struct conc_context *self, conc_deadline until)
{
    struct task *t = task_of_context(self);
    if (!t->woken) {
        if (!deadline_is_forever(until))
            conc__heap_push(&t->loop->timers, &t->timer.node, until.ns);
        t->state = TASK_PARKED;
        task_switch_away(t);
    }
    uint32_t bits = t->woken;
    t->woken = 0;
    return bits;
}

static void task_yield(struct conc_context *self)
{
    struct task *t = task_of_context(self);
    t->state = TASK_READY;
    loop_push(t->loop, &t->ready);
    task_switch_away(t);
}

static int64_t task_nap_after(int64_t waited)
{
    int64_t ns = waited / NAP_PART;
    if (ns < NAP_MIN)
        return NAP_MIN;
    return ns < NAP_MAX ? ns : NAP_MAX;
}

static void task_wait_word(struct conc_context *self, uint32_t *word, uint32_t value, int64_t since,
                           conc_deadline until)
{
    (void)word, (void)value;
    task_park(self, deadline_earlier(until, conc_in(task_nap_after(conc_now() - since))));
}

static const struct context_ops task_ops = {
    .kind = "task",
    .park = task_park,
    .deliver = task_deliver,
    .kick = task_kick,
    .yield = task_yield,
    .wait_word = task_wait_word,
};

/* ---- Running ---- */

/* No code runs on its stack, and no thread posts it. */
static void task_free(struct task *t)
{
    struct conc_loop *loop = t->loop;
    struct stack stack = t->stack; /* the task lies in it */
    conc__coroutine_fini(&t->start);
    conc__stack_free(&stack);
    conc__loop_leave(loop);
}

static void task_end(struct task *t)
{
    list_remove(&t->loop->tasks, &t->node);
    loop_release_timer(t->loop);
    conc__failed_take(&t->loop->failed, t->job);
    if (!load_acquire(&t->posted)) /* acquire: what the threads that posted it did is over */
        task_free(t);
}

/* Returns when a task, not necessarily this one, has nothing more to do, and the next ready item is
 * no task. */
static void task_resume(struct item *item)
{
    struct task *first = list_entry(item, struct task, ready);
    struct conc_loop *loop = first->loop;
    int64_t since = loop->slow_after ? conc_now() : 0;
    /* A generator's stack, if the body of a generator runs the loop. */
    const struct stack *stood_on = conc__stack_here;
    conc__coroutine_switch(&loop->here, task_enter(first));
    struct task *t = loop->current;
    conc__stack_here = stood_on;
    conc__self = loop->self;
    loop->current = NULL;
    if (loop->slow_after)
        conc__loop_report_slow(loop, since, "task", t->context.name);
    if (t->state == TASK_ENDED)
        task_end(t);
}

/* Leave the task for good, and so never return. Also where its job has left it in the middle
 * (pthread_exit() ...), and the stack is unwound: that ends here, with the task, not with the
 * thread of the loop. */
static void task_leave(struct task **at)
{
    struct task *t = *at;
    conc__context_fini(&t->context); /* here, because the destructors of local values may block */
    t->state = TASK_ENDED;
    conc__coroutine_leave(&t->loop->here);
}

static void task_main(void *arg)
{
    struct task *t __attribute__((cleanup(task_leave))) = arg;
    conc__job_execute(t->job);
}

/* ---- Beginning ---- */

/* In the loop's thread. */
static void task_begin(struct conc_loop *loop, struct task *t)
{
    list_push(&loop->tasks, &t->node);
    t->state = TASK_READY;
    loop_push(loop, &t->ready);
    if (loop->ending)
        conc__future_cancel_job(t->job, true);
}

/* End a task that cannot begin, because there is no room for its timer. */
static void task_refuse(struct task *t)
{
    conc_job_drop(t->job, -ENOMEM);
    conc__context_fini(&t->context);
    task_free(t);
}

static void task_take_posted(struct item *item)
{
    struct task *t = list_entry(item, struct task, post);
    struct conc_loop *loop = t->loop;
    uint32_t bits = exchange_acq_rel(&t->posted, 0) & ~TASK_POSTED;
    if (t->state == TASK_ENDED)
        task_free(t);
    else if (t->state != TASK_NEW)
        task_add_woken(t, bits);
    else if (conc__loop_reserve_timer(loop))
        task_refuse(t);
    else
        task_begin(loop, t);
}

/* At the top of its stack, on a cache line of its own. */
static struct task *task_place(const struct stack *stack)
{
    const uintptr_t line = 64; /* bytes */
    uintptr_t top = (uintptr_t)stack_top(stack);
    return (struct task *)((top - sizeof(struct task)) & ~(line - 1));
}

static int task_new(struct task **ret, struct conc_loop *loop, conc_future *job,
                    const conc_task_options *options)
{
    struct stack stack;
    int err = conc__stack_alloc(&stack, options ? options->stack_size : 0);
    if (err)
        return err;
    struct task *t = task_place(&stack);
    *t = (struct task){.loop = loop, .job = job, .stack = stack};
    t->ready.run = task_resume;
    t->post.run = task_take_posted;
    t->timer.fire = task_timer_fires;
    t->on = &t->stack;
    t->resume = &t->start;
    conc__coroutine_init(&t->start, &t->stack, t, task_main, t);
    t->context.submits_to = &loop->executor;
    t->context.driver = &loop->driver;
    conc__context_init(&t->context, &task_ops, options ? options->name : NULL);
    conc__locals_adopt(&t->context, conc__locals_inherit(context_self()));
    *ret = t;
    return 0;
}

/* In the loop's thread. */
static int task_begin_here(struct conc_loop *loop, conc_future *job,
                           const conc_task_options *options)
{
    int err = conc__loop_reserve_timer(loop);
    if (err)
        return err;
    struct task *t;
    err = task_new(&t, loop, job, options);
    if (err) {
        loop_release_timer(loop);
        return err;
    }
    task_begin(loop, t);
    return 0;
}

/* From another thread: it begins when the loop takes it out of the inbox. */
static int task_begin_there(struct conc_loop *loop, conc_future *job,
                            const conc_task_options *options)
{
    struct task *t;
    int err = task_new(&t, loop, job, options);
    if (err)
        return err;
    store_relaxed(&t->posted, TASK_POSTED); /* relaxed: the post releases */
    conc__driver_post(&loop->driver, &t->post);
    return 0;
}

int conc__task_submit(struct conc_loop *loop, conc_future *job, const conc_task_options *options)
{
    if (!conc__loop_enter(loop))
        return -ESHUTDOWN;
    int err = loop_is_here(loop) ? task_begin_here(loop, job, options)
                                 : task_begin_there(loop, job, options);
    if (err)
        conc__loop_leave(loop);
    return err;
}

static conc_future *task_spawn(struct conc_loop *loop, conc_fn *fn, const void *arg,
                               size_t arg_size, size_t result_size,
                               const conc_task_options *options)
{
    bool valid = loop && fn && !arg_is_missing(arg, arg_size);
    conc_future *job = conc__job_new(fn, arg, valid ? arg_size : 0, result_size);
    if (!job)
        return conc__future_no_memory();
    job->executor = loop ? &loop->executor : NULL;
    /* A refusal must not take the message of an error before. */
    struct message before = message_put_aside(context_self());
    conc_future_ref(job); /* the task's */
    int err = valid ? conc__task_submit(loop, job, options) : -EINVAL;
    if (err)
        conc_job_drop(job, err);
    message_put_back(context_self(), before);
    return job;
}

conc_future *conc_spawn(conc_fn *fn, const void *arg, size_t arg_size, size_t result_size)
{
    return task_spawn(loop_here(), fn, arg, arg_size, result_size, NULL);
}

int conc_spawn_detached(conc_fn *fn, const void *arg, size_t arg_size)
{
    conc_future *job = conc_spawn(fn, arg, arg_size, 0);
    int refused = conc_future_is_done(job) ? conc_future_error(job) : 0;
    conc_future_unref(job);
    return refused;
}

conc_future *conc_task_start(conc_loop *loop, conc_fn *fn, const void *arg, size_t arg_size,
                             size_t result_size, const conc_task_options *options)
{
    return task_spawn(loop ? loop : loop_here(), fn, arg, arg_size, result_size, options);
}

/* ---- Cancelling ---- */

void conc__loop_cancel_tasks(struct conc_loop *loop, unsigned flags)
{
    if (flags & CONC_SHUTDOWN_CANCEL_PENDING)
        loop->ending = true; /* those that are still in the inbox have not begun */
    /* Cancelling wakes tasks but runs none, so the list stays as it is. */
    for (struct list_node *n = loop->tasks.head; n; n = list_next(&loop->tasks, n)) {
        conc_future *job = list_entry(n, struct task, node)->job;
        if (flags &
            (future_is_pending(job) ? CONC_SHUTDOWN_CANCEL_PENDING : CONC_SHUTDOWN_CANCEL_RUNNING))
            conc__future_cancel_job(job, true);
    }
}
