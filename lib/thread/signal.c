/* SPDX-License-Identifier: MIT
 *
 * signal.c: waiting for signals.
 *
 * How: the handler, which may interrupt any code, only notes that the signal has `arrived` and
 * rouses a thread, the *dispatcher*, which does the rest under an ordinary guard: it hands the
 * signal to the waiter that has waited longest for it; if there is none it calls the callbacks; if
 * there are none the signal is kept, and the next call that wants to wait for it finds it. The
 * dispatcher starts with the first call that catches a signal, blocks all signals, and ends when
 * the program exits.
 *
 *     arrived[signo]   0 -> 1   by the handler; 1 already: one pending signal of a number is all
 *                               that is kept, as POSIX has it
 *                      1 -> 0   by the context that takes the signal, under the guard: the
 *                               dispatcher, or a caller that need not wait. It does so before it
 *                               passes the signal on, so that the next one counts anew
 *     roused           0 -> 1   by a context that has work for the dispatcher, and wakes it
 *                      1 -> 0   by the dispatcher, before it looks
 *
 * No signal is lost: `arrived` is set before `roused`, and the dispatcher looks at the first after
 * it has cleared the second. A caller that waits has looked, under the guard, before it pushed its
 * waiter; the dispatcher finds the waiter when a signal comes later.
 *
 * The dispatcher blocks all signals but those that are caught. So a caught signal arrives also if
 * every other thread blocks it. Only the dispatcher can change its own mask: the call that lets go
 * of a signal first has the dispatcher block it (`leaving`), and waits for that (`maskers`), or
 * what the signal did before could be done in the dispatcher. A signal that comes in between waits
 * in the kernel.
 *
 *     mask_due   set, under the guard, by a call that changes what is caught; cleared by the
 *                dispatcher with the new mask
 *
 * The dispatcher sleeps on a futex, which the handler may wake (it is one system call), and not on
 * a pipe: there is no descriptor that a child would share, or a daemon close.
 *
 * Futures (conc_signal_future()) stand in the line of waiters too, as waiters without a context: a
 * struct that the future's memory keeps, and that leaves the line when that goes. The dispatcher
 * claims the future under the guard, so a signal is never given to one that was cancelled before;
 * it holds a reference until it has settled it, which it can only get while there is another.
 *
 * Catching: a signal has up to two holders, the program (conc_signal_catch(), _wait()) and the
 * callbacks. The first holder sets the library's action; when the last one lets go, the former
 * action is restored.
 *
 * Wakeups: a handler of the program's own posts a conc_wakeup with a push on `posted`, a stack from
 * which the dispatcher takes all at once; then it sets their events. Nothing in it waits for
 * another context, so it does not matter what the handler has interrupted.
 *
 *     wakeup->posted   0 -> 1   by the handler that pushes it; 1 already: it is on its way
 *                      1 -> 0   by the dispatcher, before it sets the event. So what a handler does
 *                               before a post that finds 1 is seen by the waiter
 *
 * Callbacks run one by one with the guard released; `running` is the one that runs now. A call that
 * removes it meanwhile waits until it is over, since its memory may be freed after that.
 *
 * Fork: no handler runs in the forking thread from before the fork until the child has forgotten
 * what arrived for its parent (signals are blocked, none is lost). The child has no dispatcher and
 * no waiters; callbacks belong to loops, which are dead there. The guard is held over the fork;
 * `starting`, under which memory is allocated, is not, but is reset in the child.
 *
 * Order: noting a signal releases, taking it acquires: what a thread did before it raised a signal
 * in itself is seen by the context that was waiting for that. Order of the guards: `starting`, then
 * `word`, then a future's.
 */
#include "thread/signal_impl.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "future/future_impl.h"
#include "thread/create.h"

#define DISPATCHER_STACK_SIZE ((size_t)256 * 1024) /* bytes; callbacks only post an item */

#define REALTIME_FIRST 32 /* the first real-time signal of the kernel's */

/* The holders of a signal that is caught. */
#define HOLDER_PROGRAM 1u
#define HOLDER_CALLBACKS 2u

static uint32_t arrived[NSIG]; /* atomic, as the next */
static uint32_t roused;
static conc_wakeup *posted; /* the last one first */

static struct {
    uint32_t word; /* the guard of all the rest */
    struct {
        unsigned holders;
        struct sigaction former; /* while there are holders */
        unsigned leaving;        /* calls that are about to let go of it */
    } caught[NSIG];
    struct conc__waitlist waiters;   /* slot: the set that each waits for */
    struct conc__waitlist removers;  /* waiting for `running` to return */
    struct conc__waitlist maskers;   /* waiting for the dispatcher's mask */
    bool mask_due;                   /* what is caught has changed */
    struct list callbacks;           /* in the order in which they were added */
    struct signal_callback *running; /* NULL: none */
    conc_wakeup *wakeups;            /* taken from `posted`, the first one first */
    conc_wakeup *waking;             /* whose event is being set; NULL: none */
    uint64_t dispatcher;             /* the id of the dispatcher's context */
    bool stop;                       /* the dispatcher is to end */
    bool gone;                       /* it has ended */
    sigset_t before_fork;            /* the forking thread's mask */
} signals;

static struct {
    uint32_t starting; /* the guard of starting and stopping */
    uint32_t is_there; /* atomic: it has been started, and not stopped */
    pthread_t thread;
} dispatcher;

static void dispatcher_rouse(void)
{
    if (exchange_acq_rel(&roused, 1) == 0)
        conc__futex_wake(&roused, 1);
}

/* The action of all caught signals. */
static void signal_note(int signo)
{
    int err = errno;
    store_release(&arrived[signo], 1);
    dispatcher_rouse();
    errno = err;
}

/* ---- Catching, under the guard ---- */

static bool signal_may_catch(int signo)
{
    static const int never[] = {SIGKILL, SIGSTOP, SIGSEGV, SIGBUS, SIGFPE, SIGILL};
    for (size_t i = 0; i < sizeof never / sizeof *never; i++)
        if (signo == never[i])
            return false;
    /* The C library has those between for itself. */
    return signo > 0 && signo < NSIG && (signo < REALTIME_FIRST || signo >= SIGRTMIN);
}

static int signal_check_set(const sigset_t *set)
{
    int count = 0;
    for (int signo = 1; set && signo < NSIG; signo++) {
        if (sigismember(set, signo) != 1)
            continue;
        if (!signal_may_catch(signo))
            return -EINVAL;
        count++;
    }
    return count ? 0 : -EINVAL;
}

static void signal_hold(int signo, unsigned holder)
{
    if (!signals.caught[signo].holders) {
        struct sigaction action = {.sa_handler = signal_note, .sa_flags = SA_RESTART | SA_ONSTACK};
        sigfillset(&action.sa_mask); /* stacks may be small: one handler at a time on each */
        /* Forget a signal from before it was last released. relaxed: under the guard. */
        store_relaxed(&arrived[signo], 0);
        sigaction(signo, &action, &signals.caught[signo].former); /* a good number: cannot fail */
        signals.mask_due = true;
    }
    signals.caught[signo].holders |= holder;
}

static void signal_let_go(int signo, unsigned holder)
{
    if (!(signals.caught[signo].holders & holder))
        return;
    signals.caught[signo].holders &= ~holder;
    if (signals.caught[signo].holders)
        return;
    struct sigaction now;
    sigaction(signo, NULL, &now);
    if (now.sa_handler == signal_note) /* else the program has set another, which stays */
        sigaction(signo, &signals.caught[signo].former, NULL);
}

/* Release the guard, and have the dispatcher do what is due. */
static void signal_unlock(void)
{
    bool due = signals.mask_due;
    guard_unlock(&signals.word);
    if (due)
        dispatcher_rouse();
}

static void signal_for_each(const sigset_t *set, void (*fn)(int signo, unsigned holder))
{
    for (int signo = 1; signo < NSIG; signo++)
        if (sigismember(set, signo) == 1)
            fn(signo, HOLDER_PROGRAM);
}

/* ---- Taking, under the guard ---- */

static bool signal_has_arrived(int signo)
{
    return load_relaxed(&arrived[signo]); /* relaxed: signal_take() acquires */
}

static void signal_take(int signo) { exchange_acquire(&arrived[signo], 0); }

/* A future's place in the line of waiters. */
struct signal_future {
    struct value_keeper keeper; /* of the future, which so tells of its end */
    struct conc__waiter waiter; /* without a context; firm: there is none to be asked */
    sigset_t set;
    conc_future *future; /* no reference */
    uint32_t forks;
};

static struct signal_future *signal_future_of(struct conc__waiter *w)
{
    return list_entry(w, struct signal_future, waiter);
}

/* Must it not be given a signal any more? */
static bool signal_waiter_is_over(struct conc__waiter *w)
{
    return w->context ? waiter_is_cancelled(w) : !future_is_pending(signal_future_of(w)->future);
}

/* The waiter that has waited longest for it, of those that have not been cancelled; NULL: there is
 * none. */
static struct conc__waiter *signal_waiter(int signo)
{
    struct conc__waiter *w = signals.waiters.head;
    while (w && (sigismember(w->slot, signo) != 1 || signal_waiter_is_over(w)))
        w = w->next == signals.waiters.head ? NULL : w->next;
    return w;
}

/* Take a signal of the set that has arrived and that no waiter is for; 0: there is none. */
static int signal_take_one(const sigset_t *set)
{
    for (int signo = 1; signo < NSIG; signo++) {
        if (sigismember(set, signo) == 1 && signal_has_arrived(signo) && !signal_waiter(signo)) {
            signal_take(signo);
            return signo;
        }
    }
    return 0;
}

/* Mark all its callbacks as due. False: it has none. */
static bool signal_mark_due(int signo)
{
    bool found = false;
    for (struct list_node *n = signals.callbacks.head; n; n = list_next(&signals.callbacks, n)) {
        struct signal_callback *callback = list_entry(n, struct signal_callback, node);
        if (callback->signo == signo)
            found = callback->due = true;
    }
    return found;
}

static struct signal_callback *signal_next_due(void)
{
    for (struct list_node *n = signals.callbacks.head; n; n = list_next(&signals.callbacks, n)) {
        struct signal_callback *callback = list_entry(n, struct signal_callback, node);
        if (callback->due)
            return callback;
    }
    return NULL;
}

/* ---- The dispatcher ---- */

/* Every signal but those that a fault raises, which must end the program in any thread. */
static void signal_fill(sigset_t *set)
{
    sigfillset(set);
    sigdelset(set, SIGSEGV);
    sigdelset(set, SIGBUS);
    sigdelset(set, SIGFPE);
    sigdelset(set, SIGILL);
}

/* In the dispatcher, under the guard: block all but what is caught, and stays so. Returns the calls
 * that wait for that. */
static struct conc__waiter *dispatcher_set_mask(void)
{
    if (!signals.mask_due)
        return NULL;
    sigset_t set;
    signal_fill(&set);
    for (int signo = 1; signo < NSIG; signo++)
        if (signals.caught[signo].holders && !signals.caught[signo].leaving)
            sigdelset(&set, signo);
    pthread_sigmask(SIG_SETMASK, &set, NULL);
    signals.mask_due = false;
    return waitlist_take_all(&signals.maskers);
}

/* Until the dispatcher has the mask that is due. With the guard held, which it releases
 * meanwhile. */
static void dispatcher_await_mask(void)
{
    struct conc__waiter w = waiter_here_firmly();
    signals.mask_due = true;
    if (w.context->id == signals.dispatcher) {
        /* the caller is a callback, and does it itself */
        struct conc__waiter *others = dispatcher_set_mask();
        guard_unlock(&signals.word);
        conc__waiter_deliver_all(others, 0);
    } else if (load_relaxed(&dispatcher.is_there) && !signals.gone) {
        conc__waitlist_push(&signals.maskers, &w);
        signal_unlock();
        const struct wait_on on = {
            .list = &signals.maskers, .guard = &signals.word, .what = "signal mask"};
        conc__waiter_wait_firmly(&w, &on);
    } else {
        guard_unlock(&signals.word);
    }
    guard_lock(&signals.word);
}

/* Under the guard. */
static bool signal_has_callback(int signo)
{
    for (struct list_node *n = signals.callbacks.head; n; n = list_next(&signals.callbacks, n))
        if (list_entry(n, struct signal_callback, node)->signo == signo)
            return true;
    return false;
}

/* Let go of a signal, unless it has got a callback again. With the guard held, which it may release
 * meanwhile. */
static void signal_end_holding(int signo, unsigned holder)
{
    if (signals.caught[signo].holders == holder) {
        signals.caught[signo].leaving++;
        dispatcher_await_mask();
        signals.caught[signo].leaving--;
        signals.mask_due = true;
    }
    if (holder != HOLDER_CALLBACKS || !signal_has_callback(signo))
        signal_let_go(signo, holder);
}

/* One more reference to a future, unless its last one has gone. */
static bool signal_future_ref(conc_future *future)
{
    uint32_t refs = load_relaxed(&future->refs);
    while (refs > 0)
        if (cas_relaxed(&future->refs, &refs, refs + 1)) /* relaxed: the guard keeps the memory */
            return true;
    return false;
}

/* Claim the future, and hold a reference, for dispatcher_settle(). False: it is over, or no context
 * will ask for it any more. (One that goes is claimed in vain. Its memory stays as long as the
 * guard is held: see signal_future_release().) */
static bool signal_future_claim(struct signal_future *f)
{
    return conc__future_claim(f->future, NULL) && signal_future_ref(f->future);
}

/* Take the waiter that gets this signal off the list; NULL: there is none. */
static struct conc__waiter *dispatcher_take_waiter(int signo)
{
    struct conc__waiter *w;
    while ((w = signal_waiter(signo))) {
        conc__waitlist_remove(&signals.waiters, w);
        if (w->context || signal_future_claim(signal_future_of(w)))
            break;
    }
    return w;
}

/* Give away the signals that have arrived: mark their callbacks, and take the waiters that get one
 * off the list, chained by `next`; waiter->number is the signal. Under the guard. */
static struct conc__waiter *dispatcher_give_away(void)
{
    struct conc__waiter *first = NULL, **end = &first;
    for (int signo = 1; signo < NSIG; signo++) {
        if (!signal_has_arrived(signo))
            continue;
        struct conc__waiter *w = dispatcher_take_waiter(signo);
        if (w) {
            w->number = (size_t)signo;
            *end = w;
            end = &w->next;
        }
        if (w || signal_mark_due(signo))
            signal_take(signo);
    }
    *end = NULL;
    return first;
}

/* Under the guard: have the calls look again that wait for a callback, or a wakeup, to be over. */
static void dispatcher_tell_removers(void)
{
    struct conc__waiter *removers = waitlist_take_all(&signals.removers);
    if (removers) {
        guard_unlock(&signals.word);
        conc__waiter_deliver_all(removers, 0);
        guard_lock(&signals.word);
    }
}

/* With the guard held, which it releases meanwhile. */
static void dispatcher_run_callback(struct signal_callback *callback)
{
    callback->due = false;
    signals.running = callback;
    guard_unlock(&signals.word);
    callback->fn(callback->signo, callback->arg);
    guard_lock(&signals.word);
    signals.running = NULL;
    dispatcher_tell_removers();
}

/* Under the guard: take what was posted. */
static void dispatcher_take_wakeups(void)
{
    conc_wakeup *taken = exchange_acquire(&posted, NULL), *reversed = NULL;
    while (taken) {
        conc_wakeup *next = taken->next;
        taken->next = reversed;
        reversed = taken;
        taken = next;
    }
    conc_wakeup **end = &signals.wakeups;
    while (*end)
        end = &(*end)->next;
    *end = reversed;
}

/* With the guard held, which it releases meanwhile. */
static void dispatcher_wake(conc_wakeup *wakeup)
{
    signals.wakeups = wakeup->next;
    signals.waking = wakeup;
    guard_unlock(&signals.word);
    exchange_acq_rel(&wakeup->posted, 0); /* acquires: also of the posts that have found 1 */
    conc_event_set(&wakeup->event);
    guard_lock(&signals.word);
    signals.waking = NULL;
    dispatcher_tell_removers();
}

/* The future was claimed: it is done now. Gives the reference back. */
static void dispatcher_settle(struct signal_future *f, int signo)
{
    conc_future *future = f->future;
    *(int *)future->value = signo;
    conc__future_settle(future, 0, NULL);
    conc_future_unref(future);
}

/* Do what there is to do; false: the dispatcher is to end. */
static bool dispatcher_serve(void)
{
    guard_lock(&signals.word);
    struct conc__waiter *maskers = dispatcher_set_mask();
    struct conc__waiter *chain = dispatcher_give_away();
    dispatcher_take_wakeups();
    guard_unlock(&signals.word);
    conc__waiter_deliver_all(maskers, 0);
    while (chain) {
        struct conc__waiter *w = chain;
        chain = w->next; /* before it is delivered to: then its memory may be gone */
        if (w->context)
            conc__waiter_deliver(w, (int)w->number);
        else
            dispatcher_settle(signal_future_of(w), (int)w->number);
    }
    struct signal_callback *callback;
    guard_lock(&signals.word);
    while (!signals.stop && signals.wakeups)
        dispatcher_wake(signals.wakeups);
    while (!signals.stop && (callback = signal_next_due()))
        dispatcher_run_callback(callback);
    bool goes_on = !signals.stop;
    guard_unlock(&signals.word);
    return goes_on;
}

/* No call may wait for the dispatcher any more. */
static void dispatcher_say_goodbye(void)
{
    guard_lock(&signals.word);
    signals.gone = true;
    signals.dispatcher = 0;
    struct conc__waiter *maskers = waitlist_take_all(&signals.maskers);
    dispatcher_tell_removers();
    guard_unlock(&signals.word);
    conc__waiter_deliver_all(maskers, 0);
}

static void *dispatcher_main(void *arg)
{
    struct conc_context *self = context_self();
    conc_context_set_name("signals");
    guard_lock(&signals.word);
    signals.dispatcher = self->id;
    signals.gone = false;
    guard_unlock(&signals.word);
    while (dispatcher_serve()) {
        conc__blocked_begin(self, "signals", NULL, NULL);
        while (!exchange_acquire(&roused, 0))
            conc__futex_wait(&roused, 0, CONC_FOREVER);
        conc__blocked_end(self);
    }
    dispatcher_say_goodbye();
    return arg;
}

/* Under the guard `starting`. */
static void dispatcher_end(void)
{
    guard_lock(&signals.word);
    signals.stop = true;
    /* A callback that runs may take long, or be the caller: then the thread is left alone. */
    bool busy = signals.running;
    guard_unlock(&signals.word);
    dispatcher_rouse();
    if (busy) {
        pthread_detach(dispatcher.thread);
        return;
    }
    pthread_join(dispatcher.thread, NULL);
    signals.stop = false;
    store_release(&dispatcher.is_there, 0);
}

/* Run at exit, or a leak of the dispatcher's memory would be reported. */
static void dispatcher_stop(void)
{
    guard_lock(&dispatcher.starting);
    if (load_relaxed(&dispatcher.is_there)) /* relaxed: under the guard */
        dispatcher_end();
    guard_unlock(&dispatcher.starting);
}

static void signal_block_all(sigset_t *before)
{
    sigset_t set;
    signal_fill(&set);
    pthread_sigmask(SIG_SETMASK, &set, before);
}

/* Under the guard `starting`. */
static int dispatcher_begin(void)
{
    sigset_t before;
    signal_block_all(&before);
    int err = conc__thread_create(&dispatcher.thread, DISPATCHER_STACK_SIZE, dispatcher_main, NULL);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (err)
        return err;
    atexit(dispatcher_stop);
    store_release(&dispatcher.is_there, 1);
    return 0;
}

static int dispatcher_start(void)
{
    int err = 0;
    if (load_acquire(&dispatcher.is_there))
        return 0;
    guard_lock(&dispatcher.starting);
    if (!load_relaxed(&dispatcher.is_there)) /* relaxed: under the guard */
        err = dispatcher_begin();
    guard_unlock(&dispatcher.starting);
    return err;
}

/* ---- Forks ---- */

static void signal_before_fork(void)
{
    sigset_t before;
    signal_block_all(&before);
    guard_lock(&signals.word);
    signals.before_fork = before;
}

static void signal_after_fork_in_parent(void)
{
    sigset_t before = signals.before_fork;
    guard_unlock(&signals.word);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
}

/* What was posted in the parent is the parent's. */
static void signal_forget_wakeups(void)
{
    dispatcher_take_wakeups();
    for (conc_wakeup *w = signals.wakeups; w; w = w->next)
        w->posted = 0;
    signals.wakeups = signals.waking = NULL;
}

static void signal_after_fork_in_child(void)
{
    struct list_node *node;
    while ((node = list_pop(&signals.callbacks)))
        signal_let_go(list_entry(node, struct signal_callback, node)->signo, HOLDER_CALLBACKS);
    signals.waiters.head = signals.removers.head = signals.maskers.head = NULL;
    signals.running = NULL;
    signals.stop = signals.gone = false;
    signals.dispatcher = 0;
    for (int signo = 1; signo < NSIG; signo++)
        signals.caught[signo].leaving = 0;
    signals.mask_due = true; /* for a dispatcher that this process may start */
    signal_forget_wakeups();
    for (int signo = 1; signo < NSIG; signo++)
        store_relaxed(&arrived[signo], 0); /* relaxed: the child has one thread */
    dispatcher.starting = dispatcher.is_there = 0;
    signal_after_fork_in_parent();
}

__attribute__((constructor)) static void signal_watch_forks(void)
{
    /* If there is no memory this early, a child's conc_signal_wait() may wait in vain. */
    pthread_atfork(signal_before_fork, signal_after_fork_in_parent, signal_after_fork_in_child);
}

/* ---- Waiting ---- */

int conc_signal_wait(const sigset_t *set, conc_deadline deadline)
{
    int err = signal_check_set(set);
    if (err)
        return err;
    err = wait_checkpoint(deadline);
    if (err)
        return err;
    err = dispatcher_start();
    if (err)
        return err;
    struct conc__waiter w = waiter_here();
    w.slot = (void *)(uintptr_t)set;
    guard_lock(&signals.word);
    signal_for_each(set, signal_hold);
    int signo = signal_take_one(set);
    if (signo || deadline_is_now(deadline)) {
        signal_unlock();
        return signo ? signo : -EAGAIN;
    }
    conc__waitlist_push(&signals.waiters, &w);
    signal_unlock();
    const struct wait_on on = {.list = &signals.waiters, .guard = &signals.word, .what = "signal"};
    return conc__waiter_wait(&w, &on, deadline);
}

/* The future's memory goes. */
static void signal_future_release(struct value_keeper *keeper)
{
    struct signal_future *f = list_entry(keeper, struct signal_future, keeper);
    guard_lock(&signals.word);
    if (f->waiter.list && f->forks == conc__forks()) /* else the list is the parent's */
        conc__waitlist_remove(&signals.waiters, &f->waiter);
    guard_unlock(&signals.word);
    free_bytes(f);
}

/* Its job never runs: it stands for what the library is to do, and no one else. */
static int signal_future_job(void *arg, void *result) { return arg || result ? -EPERM : 0; }

/* Take a signal that has arrived, or stand in line for one. Returns the signal; 0: it stands. */
static int signal_future_enter(struct signal_future *f)
{
    guard_lock(&signals.word);
    signal_for_each(&f->set, signal_hold);
    int signo = signal_take_one(&f->set);
    if (!signo)
        conc__waitlist_push(&signals.waiters, &f->waiter);
    signal_unlock();
    return signo;
}

/* Make the future wait. 0, or an error. */
static int signal_future_begin(conc_future *future, const sigset_t *set)
{
    int err = signal_check_set(set);
    if (err)
        return err;
    err = dispatcher_start();
    if (err)
        return err;
    struct signal_future *f = alloc_one(struct signal_future);
    if (!f)
        return -ENOMEM;
    f->keeper.release = signal_future_release;
    f->set = *set;
    f->waiter.slot = &f->set;
    f->waiter.firm = true;
    f->future = future;
    f->forks = conc__forks();
    future->keeper = &f->keeper;
    int signo = signal_future_enter(f);
    if (signo && conc__future_claim(future, NULL)) {
        *(int *)future->value = signo;
        conc__future_settle(future, 0, NULL);
    }
    return 0;
}

conc_future *conc_signal_future(const sigset_t *set)
{
    conc_future *future = conc__job_new(signal_future_job, NULL, 0, sizeof(int));
    if (!future)
        return conc__future_no_memory();
    int err = signal_future_begin(future, set);
    if (err)
        conc__future_settle(future, err, NULL);
    return future;
}

int conc_signal_catch(const sigset_t *set)
{
    int err = signal_check_set(set);
    if (err)
        return err;
    err = dispatcher_start();
    if (err)
        return err;
    guard_lock(&signals.word);
    signal_for_each(set, signal_hold);
    signal_unlock();
    return 0;
}

int conc_signal_release(const sigset_t *set)
{
    int err = signal_check_set(set);
    if (err)
        return err;
    guard_lock(&signals.word);
    signal_for_each(set, signal_end_holding);
    signal_unlock();
    return 0;
}

/* ---- Callbacks ---- */

int conc__signal_add(struct signal_callback *callback)
{
    if (!signal_may_catch(callback->signo))
        return -EINVAL;
    int err = dispatcher_start();
    if (err)
        return err;
    guard_lock(&signals.word);
    callback->due = false;
    list_push(&signals.callbacks, &callback->node);
    signal_hold(callback->signo, HOLDER_CALLBACKS);
    guard_unlock(&signals.word);
    dispatcher_rouse(); /* the signal may have come already, and been kept */
    return 0;
}

void conc__signal_remove(struct signal_callback *callback)
{
    struct conc__waiter w = waiter_here_firmly();
    guard_lock(&signals.word);
    if (list_is_on(&callback->node)) {
        list_remove(&signals.callbacks, &callback->node);
        if (!signal_has_callback(callback->signo))
            signal_end_holding(callback->signo, HOLDER_CALLBACKS);
    }
    bool wait = signals.running == callback && w.context->id != signals.dispatcher;
    if (wait)
        conc__waitlist_push(&signals.removers, &w);
    signal_unlock();
    const struct wait_on on = {
        .list = &signals.removers, .guard = &signals.word, .what = "signal callback"};
    if (wait)
        conc__waiter_wait_firmly(&w, &on);
}

/* ---- Wakeups ---- */

int conc_wakeup_init(conc_wakeup *wakeup)
{
    *wakeup = (conc_wakeup){.posted = 0};
    return dispatcher_start();
}

void conc_wakeup_post(conc_wakeup *wakeup)
{
    if (exchange_acq_rel(&wakeup->posted, 1))
        return;
    int err = errno;
    wakeup->next = load_relaxed(&posted); /* relaxed: only the swap's success counts */
    while (!cas_pointer_release(&posted, &wakeup->next, wakeup))
        continue;
    dispatcher_rouse();
    errno = err;
}

int conc_wakeup_wait(conc_wakeup *wakeup, conc_deadline deadline)
{
    int err = dispatcher_start(); /* the child of a fork has none yet */
    if (!err)
        err = conc_event_wait(&wakeup->event, deadline);
    if (!err)
        conc_event_clear(&wakeup->event);
    return err;
}

/* Is it on its way to its event? If so, the waiter is on the list of those that are told when one
 * has come there. */
static bool wakeup_is_under_way(const conc_wakeup *wakeup, struct conc__waiter *w)
{
    guard_lock(&signals.word);
    bool under_way = !signals.gone && load_relaxed(&dispatcher.is_there) &&
                     (load_acquire(&wakeup->posted) || signals.waking == wakeup);
    if (under_way)
        conc__waitlist_push(&signals.removers, w);
    guard_unlock(&signals.word);
    return under_way;
}

void conc_wakeup_destroy(conc_wakeup *wakeup)
{
    struct conc__waiter w = waiter_here_firmly();
    const struct wait_on on = {.list = &signals.removers, .guard = &signals.word, .what = "wakeup"};
    while (wakeup_is_under_way(wakeup, &w))
        conc__waiter_wait_firmly(&w, &on);
}
