/* SPDX-License-Identifier: MIT
 *
 * test_wakeup.c: what a signal handler may post; and signals that every thread blocks. The handlers
 * are real ones, which interrupt the library wherever it is.
 */
#include <errno.h>
#include <string.h>
#include <sys/time.h>
#include <unistd.h>

#include <conc/lock.h>
#include <conc/queue.h>

#include "loops.h"
#include "signals.h"

/* The thread that deals with signals stays, once it was needed. */
__attribute__((constructor)) static void start_dispatcher(void)
{
    catch_it(SIGUSR1);
    release(SIGUSR1);
}

static conc_wakeup wakeup;
static uint32_t is_made; /* the handler may post; atomic */
static uint32_t hits;    /* how often the handler ran; atomic */

static void post_from_handler(int signo)
{
    (void)signo;
    CHECK(load_acquire(&is_made)); /* TSan does not know that sigaction() orders */
    fetch_add_relaxed(&hits, 1);   /* relaxed: the post releases */
    conc_wakeup_post(&wakeup);
}

/* For a wakeup that is made. */
static struct sigaction handle(int signo)
{
    store_release(&is_made, 1);
    struct sigaction action = {.sa_handler = post_from_handler,
                               .sa_flags = SA_RESTART | SA_ONSTACK};
    struct sigaction before;
    CHECK_EQUAL(sigaction(signo, &action, &before), 0);
    return before;
}

/* ---- One post ---- */

static int wait_for_wakeup(void *arg, void *result)
{
    (void)arg, (void)result;
    return conc_wakeup_wait(&wakeup, CONC_FOREVER);
}

static void test_post_from_a_handler_ends_the_wait(void)
{
    CHECK_EQUAL(conc_wakeup_init(&wakeup), 0);
    struct sigaction before = handle(SIGUSR2);
    conc_future *waiter = start(wait_for_wakeup, NULL, 0);
    UNTIL(blocked_on("event") == 1);
    send_signal(SIGUSR2);
    CHECK_EQUAL(end_of(waiter), 0);
    CHECK_EQUAL(conc_wakeup_wait(&wakeup, CONC_NOW), -EAGAIN);
    sigaction(SIGUSR2, &before, NULL);
    conc_wakeup_destroy(&wakeup);
}

static void test_posts_before_the_wait_are_one(void)
{
    CHECK_EQUAL(conc_wakeup_init(&wakeup), 0);
    for (int i = 0; i < 3; i++)
        conc_wakeup_post(&wakeup);
    CHECK_EQUAL(conc_wakeup_wait(&wakeup, CONC_FOREVER), 0);
    while (conc_wakeup_wait(&wakeup, conc_in(CONC_MS(1))) == 0)
        continue; /* the second came when the first had been passed on */
    CHECK_EQUAL(conc_wakeup_wait(&wakeup, conc_in(0)), -ETIMEDOUT);
    conc_wakeup_destroy(&wakeup);
}

static void test_wait_that_is_cancelled_takes_nothing(void)
{
    conc_scope scope;
    CHECK_EQUAL(conc_wakeup_init(&wakeup), 0);
    conc_scope_enter(&scope, CONC_NOW);
    conc_wakeup_post(&wakeup);
    CHECK_EQUAL(conc_wakeup_wait(&wakeup, CONC_FOREVER), -ECANCELED);
    CHECK_EQUAL(conc_scope_exit(&scope), -ETIMEDOUT);
    CHECK_EQUAL(conc_wakeup_wait(&wakeup, CONC_FOREVER), 0);
    conc_wakeup_destroy(&wakeup);
}

/* Its memory is used again at once: with what the destroy missed it would go wrong. */
static void test_destroy_waits_for_a_post_under_way(void)
{
    for (int i = 0; i < 2000; i++) {
        conc_wakeup short_lived;
        CHECK_EQUAL(conc_wakeup_init(&short_lived), 0);
        conc_wakeup_post(&short_lived);
        conc_wakeup_destroy(&short_lived);
        memset(&short_lived, 0xa5, sizeof short_lived);
    }
}

static void test_post_keeps_errno(void)
{
    CHECK_EQUAL(conc_wakeup_init(&wakeup), 0);
    errno = EDOM;
    conc_wakeup_post(&wakeup);
    CHECK_EQUAL(errno, EDOM);
    conc_wakeup_destroy(&wakeup);
}

/* ---- A storm ---- */

struct storm {
    conc_queue *queue;
    conc_lock lock;
    uint32_t over; /* atomic */
    uint32_t seen; /* of `hits`, by the context that waits; atomic */
};

static int listen_to_storm(void *arg, void *result)
{
    (void)result;
    struct storm *s = *(struct storm **)arg;
    int err = 0;
    while (!err && !load_acquire(&s->over)) {
        err = conc_wakeup_wait(&wakeup, CONC_FOREVER);
        store_release(&s->seen, load_relaxed(&hits));
    }
    return err;
}

static int work_in_storm(void *arg, void *result)
{
    (void)result;
    struct storm *s = *(struct storm **)arg;
    struct test_random r = test_random_for((unsigned)conc_context_id(NULL));
    int item = 0;
    while (!load_acquire(&s->over)) {
        switch (test_random_below(&r, 5)) {
        case 0:
            (void)!conc_queue_put(s->queue, &item, conc_in(CONC_US(200)));
            break;
        case 1:
            (void)!conc_queue_get(s->queue, &item, conc_in(CONC_US(200)));
            break;
        case 2:
            conc_with_lock (&s->lock)
                item++;
            break;
        case 3:
            end_of(start(job_count, &(int *){&item}, sizeof(int *)));
            break;
        default:
            conc_sleep(CONC_US(10));
        }
    }
    return 0;
}

static void run_storm(struct storm *s, unsigned least)
{
    enum { WORKERS = 3 };
    conc_future *listener = start(listen_to_storm, &s, sizeof s), *workers[WORKERS];
    for (int i = 0; i < WORKERS; i++)
        workers[i] = start(work_in_storm, &s, sizeof s);
    struct itimerval often = {{0, 97}, {0, 97}};
    CHECK_EQUAL(setitimer(ITIMER_REAL, &often, NULL), 0);
    UNTIL(load_relaxed(&hits) >= least);
    CHECK_EQUAL(setitimer(ITIMER_REAL, &(struct itimerval){{0, 0}, {0, 0}}, NULL), 0);
    UNTIL(load_acquire(&s->seen) == load_relaxed(&hits)) /* the last one was not lost */
    ;
    store_release(&s->over, 1);
    conc_wakeup_post(&wakeup);
    CHECK_EQUAL(end_of(listener), 0);
    for (int i = 0; i < WORKERS; i++)
        CHECK_EQUAL(end_of(workers[i]), 0);
}

static void test_storm_of_signals_loses_no_post(void)
{
    conc_queue queue;
    struct storm s = {.queue = &queue};
    store_relaxed(&hits, 0);
    CHECK_EQUAL(conc_queue_init(&queue, sizeof(int), 1, CONC_FIFO), 0);
    CHECK_EQUAL(conc_wakeup_init(&wakeup), 0);
    struct sigaction before = handle(SIGALRM);
    run_storm(&s, (unsigned)crowd_of(3000));
    sigaction(SIGALRM, &before, NULL);
    conc_wakeup_destroy(&wakeup);
    conc_queue_destroy(&queue);
}

/* ---- Signals that every thread blocks ---- */

static void block_everything(void)
{
    sigset_t all;
    sigfillset(&all);
    CHECK_EQUAL(pthread_sigmask(SIG_SETMASK, &all, NULL), 0);
}

static bool is_pending(int signo)
{
    sigset_t pending;
    CHECK_EQUAL(sigpending(&pending), 0);
    return sigismember(&pending, signo) == 1;
}

/* In a child: it has just one thread. */
static int wait_blocked(void *arg)
{
    (void)arg;
    block_everything();
    catch_it(SIGUSR1);
    CHECK_EQUAL(kill(getpid(), SIGUSR1), 0);
    CHECK_EQUAL(wait_for(SIGUSR1, CONC_FOREVER), SIGUSR1);
    /* Released, it does nothing in the library's thread either: it would end the program. */
    for (int i = 0; i < 300; i++) {
        catch_it(SIGUSR1);
        release(SIGUSR1);
        CHECK_EQUAL(kill(getpid(), SIGUSR1), 0);
        CHECK(is_pending(SIGUSR1));
        catch_it(SIGUSR1);
        CHECK_EQUAL(wait_for(SIGUSR1, CONC_FOREVER), SIGUSR1);
        release(SIGUSR1);
    }
    return 0;
}

static void test_signal_that_every_thread_blocks_comes(void **state)
{
    (void)state;
    assert_int_equal(in_child(wait_blocked, NULL), 0);
}

static void test_handler_of_a_signal_that_every_thread_blocks_is_called(void)
{
    block_everything();
    conc_loop *loop = new_loop();
    CHECK_EQUAL(conc_loop_add_signal_handler(loop, SIGUSR2, stop_current, NULL), 0);
    CHECK_EQUAL(kill(getpid(), SIGUSR2), 0);
    CHECK_EQUAL(conc_loop_run_forever(loop), 0);
    CHECK_EQUAL(conc_loop_remove_signal_handler(loop, SIGUSR2), 1);
    CHECK_EQUAL(kill(getpid(), SIGUSR2), 0);
    CHECK(is_pending(SIGUSR2));
    free_loop(loop);
}

static void test_numbers_that_are_no_signals_are_refused(void)
{
    const int numbers[] = {-1, 0, 32, 33, SIGKILL, SIGSTOP, SIGSEGV, SIGRTMAX + 1, 1000};
    conc_loop *loop = new_loop();
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        CHECK_EQUAL(conc_loop_add_signal_handler(loop, numbers[i], stop_current, NULL), -EINVAL);
    CHECK_EQUAL(conc_loop_add_signal_handler(loop, SIGRTMIN, stop_current, NULL), 0);
    CHECK_EQUAL(conc_loop_add_signal_handler(loop, SIGRTMAX, stop_current, NULL), 0);
    free_loop(loop);
}

/* ---- Forks ---- */

static int use_wakeup_in_child(void *arg)
{
    (void)arg;
    CHECK_EQUAL(conc_wakeup_wait(&wakeup, conc_in(CONC_MS(5))), -ETIMEDOUT);
    handle(SIGUSR2);
    send_signal(SIGUSR2);
    CHECK_EQUAL(conc_wakeup_wait(&wakeup, CONC_FOREVER), 0);
    conc_wakeup_destroy(&wakeup);
    return 0;
}

static void test_wakeup_works_in_the_child_of_a_fork(void **state)
{
    (void)state;
    assert_int_equal(conc_wakeup_init(&wakeup), 0);
    assert_int_equal(in_child(use_wakeup_in_child, NULL), 0);
    conc_wakeup_destroy(&wakeup);
}

static const struct CMUnitTest tests[] = {
    ON_EVERY_WAY(test_post_from_a_handler_ends_the_wait),
    ON_EVERY_WAY(test_posts_before_the_wait_are_one),
    ON_EVERY_WAY(test_wait_that_is_cancelled_takes_nothing),
    ON_EVERY_WAY(test_destroy_waits_for_a_post_under_way),
    ON_EVERY_WAY(test_post_keeps_errno),
    ON_EVERY_WAY(test_storm_of_signals_loses_no_post),
    cmocka_unit_test(test_signal_that_every_thread_blocks_comes),
    IN_CHILD_ON_EVERY_BACKEND(test_handler_of_a_signal_that_every_thread_blocks_is_called),
    ON_EVERY_BACKEND(test_numbers_that_are_no_signals_are_refused),
    cmocka_unit_test(test_wakeup_works_in_the_child_of_a_fork),
};

TEST_MAIN(tests, 60)
