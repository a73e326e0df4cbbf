/* SPDX-License-Identifier: MIT
 *
 * thread.c: a thread as a context: it sleeps in the kernel, on its parking word; or in poll(2),
 * while it waits for a descriptor.
 *
 * The word: others set PARK_DELIVERED and PARK_KICKED, and the park that reports them consumes
 * them. The thread sets THREAD_SLEEPING or THREAD_POLLING before it sleeps, so that others know
 * which system call is due. (Here without THREAD_.)
 *
 *     0          the thread runs, and there is nothing to report
 *     SLEEPING   it sleeps on the word, or is about to
 *     POLLING    it polls, or is about to: a descriptor and its `kick_fd`
 *     PARK_...   there is something to report; stands beside SLEEPING or POLLING until the thread
 *                wakes
 *
 *     park:     if there is no bit, set SLEEPING (swap), and sleep while the word is just that;
 *               then take all bits (exchange, acquire)
 *     poll:     the same with POLLING, and poll until one of the two descriptors is ready
 *     deliver,  set the bit (release; and acquire, to see kick_fd); if SLEEPING was there, wake the
 *     kick:     thread; if POLLING was there, write to kick_fd
 *
 * A bit that is set between the look and the sleep changes the word, so the kernel does not sleep.
 * After the bit is set the thread may return from its wait, and end, before the deliverer wakes the
 * address. This is harmless (futex.h), and the reason why the deliverer touches nothing else
 * afterwards.
 *
 * A thread that polls is only ever kicked: it is on no list from which it could be delivered to. A
 * thread that kicks makes sure that the context lives until the kick is over. So the descriptor
 * cannot be closed, and belong to something else, before the kick is written to it. If the write
 * comes late, the next poll returns for no reason. Each thread makes its kick_fd when it polls for
 * the first time. Where that is impossible it looks at its word now and then (POLL_WITHOUT_KICKS)
 * while it polls. A forked child closes its copy; otherwise it would take the parent's kicks.
 *
 * A word in shared memory: the thread sleeps on two words, that one and its own (SLEEPING), and a
 * kick wakes it from both. The process that should wake it may have died. So it looks again after
 * SLICE_MIN, twice that ... up to SLICE_MAX.
 *
 * Spinning: before it sleeps a thread yields its core a few times and looks again, while that has
 * lately paid (base/backoff.h). On a core that others want too, a yield takes as long as their
 * turns. So the first long one ends the spin: what runs meanwhile is not what the thread waits for,
 * and its own deadline may pass.
 *
 * Every thread gets its context when it first calls libconc. The context is thread-local memory:
 * there is nothing to allocate, and nothing can fail. When the thread ends, thread_ends() takes the
 * context out of the registry: as the destructor of a thread-specific key, which the library makes
 * when it is loaded. If the program has taken all keys by then (1,024), the library's own threads
 * call it at their end (thread/create.c), the main thread needs no end, as its memory stays, and
 * all others have the third of the states below from the beginning.
 *
 * Other destructors may call libconc before thread_ends() and after it, in each of the rounds that
 * POSIX promises (PTHREAD_DESTRUCTOR_ITERATIONS, four). It is still the same thread, with the same
 * id and name, but its context is not in the registry any more: it may be in the last round, whose
 * end nothing tells.
 *
 *     before thread_ends()    the context is in the registry after the first         it is not; it
 *     keeps local values and a message, which the next call of
 *                             thread_ends() frees
 *     after the second        it keeps nothing that would have to be freed (`ends_unseen`)
 *
 * Not covered, as no call can find out in which round it is: a thread that calls libconc for the
 * very first time in its last round stays in the registry; in the last but one, what it then keeps
 * in the last is not freed.
 */
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/futex.h"
#include "base/stay.h"
#include "wait/local.h"
#include "wait/thread.h"

#define PARK_BITS (PARK_DELIVERED | PARK_KICKED)

/* 32 yields take some 10 us. If they take longer than time_max, others want the core, and each
 * yield costs this thread all their turns. One park in 17 spins although the last spins found
 * nothing. */
static const struct spin_limits thread_spin_limits = {
    .yields_max = 32, .skips_max = 16, .time_max = CONC_US(50), .late_ends = true};

/* How often a thread whose poll cannot be woken looks whether it was kicked. */
#define POLL_WITHOUT_KICKS CONC_MS(10)

/* The least and the most that it sleeps on a word in shared memory before it looks again. */
#define SLICE_MIN CONC_MS(1)
#define SLICE_MAX CONC_MS(64)

static __thread struct thread_context thread_context = {.kick_fd = -1};
static pthread_key_t at_exit; /* its destructor takes a thread's context out of the registry */
static bool has_key;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static bool thread_has_bits(const void *word)
{
    return load_relaxed((const uint32_t *)word) & PARK_BITS; /* relaxed: park acquires them */
}

static uint32_t thread_park(struct conc_context *context, conc_deadline until)
{
    struct thread_context *self = thread_of(context);
    if (!thread_has_bits(&self->word) &&
        !spinner_wait(&self->spinner, &thread_spin_limits, thread_has_bits, &self->word)) {
        uint32_t v = 0;
        if (cas_relaxed(&self->word, &v, THREAD_SLEEPING)) /* relaxed: only a request to be woken */
            conc__futex_wait(&self->word, THREAD_SLEEPING, until);
    }
    return exchange_acquire(&self->word, 0) & PARK_BITS;
}

/* Cannot fail: the counter would have to be full. */
static void thread_kick_poll(const struct thread_context *thread)
{
    if (eventfd_write(thread->kick_fd, 1))
        return;
}

static void thread_set_bit(struct conc_context *context, uint32_t bit)
{
    struct thread_context *thread = thread_of(context);
    uint32_t *word = &thread->word;
    uint32_t before = fetch_or_acq_rel(word, bit);
    if (before & THREAD_SLEEPING)
        conc__futex_wake(word, 1);
    else if (before & THREAD_POLLING)
        thread_kick_poll(thread);
}

static void thread_deliver(struct conc_context *context, struct conc__waiter *waiter)
{
    (void)waiter;
    thread_set_bit(context, PARK_DELIVERED);
}

static void thread_kick(struct conc_context *context) { thread_set_bit(context, PARK_KICKED); }

/* -1: there is no descriptor left, or nothing would close it when the thread ends. */
static int thread_kick_fd(struct thread_context *self)
{
    if (self->kick_fd < 0 && !self->context.ends_unseen)
        self->kick_fd = conc__fd_own(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
    return self->kick_fd;
}

static void thread_close_kick_fd(struct thread_context *self)
{
    if (self->kick_fd >= 0)
        close(self->kick_fd);
    self->kick_fd = -1;
}

/* True: kick_fd is ready. Errors need no look: the caller finds out by trying again. */
static bool thread_poll_both(int fd, short events, int kick_fd, conc_deadline until)
{
    struct pollfd both[] = {{.fd = fd, .events = events}, {.fd = kick_fd, .events = POLLIN}};
    const struct timespec left = clock_timespec(conc_remaining(conc__sleep_limit(until)));
    return ppoll(both, 2, deadline_is_forever(until) ? NULL : &left, NULL) > 0 && both[1].revents;
}

static void thread_poll(struct conc_context *context, int fd, short events, conc_deadline until)
{
    struct thread_context *self = thread_of(context);
    uint32_t v = 0;
    int kick_fd = thread_kick_fd(self);
    /* relaxed: as in thread_park(). release: a thread that sees POLLING sees kick_fd. */
    bool go =
        kick_fd < 0 ? !load_relaxed(&self->word) : cas_release(&self->word, &v, THREAD_POLLING);
    if (kick_fd < 0)
        until = deadline_earlier(until, conc_in(POLL_WITHOUT_KICKS));
    if (go && thread_poll_both(fd, events, kick_fd, until)) {
        eventfd_t count;
        eventfd_read(kick_fd, &count); /* if it fails it was read before */
    }
    exchange_acquire(&self->word, 0);
}

/* As long as the thread has waited already, so the slices double. */
static int64_t thread_slice_after(int64_t waited)
{
    if (waited < SLICE_MIN)
        return SLICE_MIN;
    return waited < SLICE_MAX ? waited : SLICE_MAX;
}

static void thread_wait_word(struct conc_context *context, uint32_t *word, uint32_t value,
                             int64_t since, conc_deadline until)
{
    struct thread_context *self = thread_of(context);
    conc_deadline end = deadline_earlier(until, conc_in(thread_slice_after(conc_now() - since)));
    uint32_t v = 0;
    if (cas_relaxed(&self->word, &v, THREAD_SLEEPING)) /* relaxed: as in thread_park() */
        conc__futex_wait_shared(word, value, &self->word, THREAD_SLEEPING, end);
    exchange_acquire(&self->word, 0);
}

static void thread_yield(struct conc_context *self)
{
    (void)self;
    sched_yield();
}

static void thread_find_stack(struct thread_context *self)
{
    pthread_attr_t attr;
    void *low;
    size_t size;
    self->stack_middle = self->stack_top = UINTPTR_MAX;
    if (pthread_getattr_np(pthread_self(), &attr) != 0)
        return;
    if (pthread_attr_getstack(&attr, &low, &size) == 0) {
        self->stack_middle = (uintptr_t)low + size / 2;
        self->stack_top = (uintptr_t)low + size;
    }
    pthread_attr_destroy(&attr);
}

/* Not on a generator's stack, of which the thread knows nothing. */
static bool thread_has_stack(struct conc_context *context)
{
    struct thread_context *self = thread_of(context);
    const uintptr_t here = (uintptr_t)__builtin_frame_address(0);
    if (!self->stack_top)
        thread_find_stack(self);
    return here >= self->stack_middle && here < self->stack_top;
}

/* Debuggers and ps see the name too. */
static void thread_renamed(struct conc_context *self)
{
    prctl(PR_SET_NAME, self->name); /* cuts at 15 bytes; cannot fail */
}

static const struct context_ops thread_ops = {
    .kind = "thread",
    .owns_thread = true,
    .renamed = thread_renamed,
    .park = thread_park,
    .deliver = thread_deliver,
    .kick = thread_kick,
    .yield = thread_yield,
    .poll = thread_poll,
    .wait_word = thread_wait_word,
    .has_stack = thread_has_stack,
};

static void thread_ends(void *thread)
{
    struct thread_context *self = thread;
    conc__self = &self->context; /* not if the thread ends in a task */
    conc__context_fini(&self->context);
    thread_close_kick_fd(self);
    if (self->at_end)
        self->at_end(self->at_end_arg);
    self->at_end = NULL;
    self->ends++;
    /* Another destructor may call libconc: then it gets a new context. */
    conc__self = NULL;
}

bool conc__thread_at_end(thread_end_fn *fn, void *arg)
{
    context_self(); /* a task's thread has one, too */
    struct thread_context *self = &thread_context;
    if (self->context.ends_unseen)
        return false;
    self->at_end = fn;
    self->at_end_arg = arg;
    return true;
}

static void thread_after_fork_in_child(void) { thread_close_kick_fd(&thread_context); }

static void thread_make_key(void)
{
    has_key = pthread_key_create(&at_exit, thread_ends) == 0;
    /* If there is no memory, a child must not use libconc. */
    pthread_atfork(NULL, NULL, thread_after_fork_in_child);
}

/* Early: before the program has taken all keys. The first few need no memory in each thread. */
__attribute__((constructor)) static void thread_make_key_early(void)
{
    conc__stay_loaded();
    pthread_once(&once, thread_make_key);
}

static bool thread_is_main(void) { return getpid() == gettid(); }

/* Will thread_ends() be called when the calling thread ends, or need not be? */
static bool thread_watch_end(struct thread_context *thread)
{
    if (has_key)
        return pthread_setspecific(at_exit, thread) == 0;
    return thread->end_is_told || thread_is_main();
}

bool conc__thread_tells_end(void)
{
    pthread_once(&once, thread_make_key);
    return !has_key;
}

void conc__thread_begin(void) { thread_context.end_is_told = true; }

void conc__thread_end(void)
{
    if (conc__self)
        thread_ends(&thread_context);
}

/* The first of the thread's contexts; or the only one, in the child of a task that has forked. */
static void thread_adopt_first(struct thread_context *thread)
{
    struct conc_context *self = &thread->context;
    /* The thread may have one already, if it forked in a task. */
    *self = (struct conc_context){.id = self->id, .message = self->message};
    thread->word = 0;
    pthread_once(&once, thread_make_key);
    conc__context_init(self, &thread_ops, thread_is_main() ? "main" : NULL);
    if (!thread_watch_end(thread)) {
        conc__context_fini(self);
        self->ends_unseen = true;
    }
}

/* One that follows, after thread_ends(). Whoever remembers the thread has its id. */
static void thread_adopt_again(struct thread_context *thread)
{
    struct conc_context *self = &thread->context, before = *self;
    *self = (struct conc_context){.ops = before.ops, .id = before.id, .scopes_end = CONC_FOREVER};
    memcpy(self->name, before.name, sizeof self->name);
    if (thread->ends > 1 || !has_key || !thread_watch_end(thread)) {
        self->ends_unseen = true;
        conc__locals_drop(self);
    }
}

struct conc_context *conc__adopt_thread(void)
{
    struct thread_context *thread = &thread_context;
    struct conc_context *self = &thread->context;
    if (thread->ends)
        thread_adopt_again(thread);
    else
        thread_adopt_first(thread);
    conc__self = self;
    return self;
}
