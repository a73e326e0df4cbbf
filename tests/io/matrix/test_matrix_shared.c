/* SPDX-License-Identifier: MIT
 *
 * An open file that another process shares, and reads from with blocking calls, while tasks of a
 * loop read from it: what was there when the descriptor was said to be ready may be gone when it is
 * read. The loop must go on all the same, and nothing is lost or doubled.
 *
 * Each round ends with nothing there, so a loop that waits in a read stands still for good: it is
 * not the time that is looked at, but whether the heart beats again.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <conc/context.h>
#include <conc/event.h>
#include <conc/future.h>
#include <conc/loop.h>
#include <conc/task.h>

#include "kinds.h"
#include "support.h"

enum { READERS = 2, ROUNDS = 12, PIECES = 12, NO_LOOP = 77 };

struct shared {
    atomic_uint taken; /* bytes, or connections, by all */
    atomic_uint beats;
    atomic_bool over;
};

static struct shared *shared;
static struct rig rig;
static enum operation operation;
static conc_event over;

static const struct kind *const kinds[] = {
    &kind_pipe,          &kind_fifo,       &kind_pty_master,
    &kind_pty_slave,     &kind_socketpair, &kind_udp,
    &kind_unix_datagram, &kind_eventfd,    &kind_tcp_listener_blocking,
};

enum { N_KINDS = sizeof kinds / sizeof *kinds };

/* How much a call has taken; below 0: it has failed. */
static int call_taken(const struct call *call)
{
    if (operation == DO_ACCEPT)
        return strcmp(call->outcome, "a connection") == 0 ? 1 : -1;
    return call->outcome[0] == '-' ? -1 : atoi(call->outcome);
}

static void share_with_thief(void)
{
    rig.process = fork();
    CHECK(rig.process >= 0);
    if (rig.process)
        return;
    struct call call = {.rig = &rig, .op = operation};
    for (;;) {
        call_plainly(&call);
        int taken = call_taken(&call);
        if (taken < 0)
            _exit(1);
        atomic_fetch_add(&shared->taken, (unsigned)taken);
    }
}

/* ---- The loop ---- */

static int read_always(void *unused, void *result)
{
    struct call call = {.rig = &rig, .op = operation, .deadline = CONC_FOREVER};
    (void)unused;
    (void)result;
    for (;;) {
        call_libconc(&call);
        int taken = call_taken(&call);
        if (taken < 0)
            return strcmp(call.outcome, "-ECANCELED") == 0 ? -ECANCELED : -EIO;
        atomic_fetch_add(&shared->taken, (unsigned)taken);
    }
}

static int beat_always(void *unused, void *result)
{
    int err;
    (void)unused;
    (void)result;
    while (!(err = conc_sleep(CONC_MS(1))))
        atomic_fetch_add(&shared->beats, 1);
    return err;
}

/* The other end: gives a little, and then waits until the loop's heart has beaten. */
static void *give_in_rounds(void *unused)
{
    unsigned given = 0;
    (void)unused;
    for (unsigned round = 0; round < ROUNDS; round++) {
        for (unsigned i = 0; i < PIECES; i++) {
            rig_unblock(&rig);
            rig.supplied = 0; /* the same letter again */
            given += operation == DO_ACCEPT ? 1 : (unsigned)record_of(rig.kind);
            if (i % 3 == 0)
                nanosleep(&(struct timespec){.tv_nsec = 50000}, NULL);
        }
        WAIT_UNTIL(atomic_load(&shared->taken) == given);
        unsigned beats = atomic_load(&shared->beats);
        WAIT_UNTIL(atomic_load(&shared->beats) > beats + 2);
    }
    conc_event_set(&over);
    return NULL;
}

static int loop_main(void *unused, void *result)
{
    conc_future *readers[READERS], *heart = conc_spawn(beat_always, NULL, 0, 0);
    pthread_t giver;
    (void)unused;
    (void)result;
    for (unsigned i = 0; i < READERS; i++)
        readers[i] = conc_spawn(read_always, NULL, 0, 0);
    CHECK_EQUAL(pthread_create(&giver, NULL, give_in_rounds, NULL), 0);
    CHECK_EQUAL(conc_event_wait(&over, CONC_FOREVER), 0);
    CHECK_EQUAL(pthread_join(giver, NULL), 0);
    conc_future_cancel(heart);
    conc_future_wait(heart, CONC_FOREVER);
    conc_future_unref(heart);
    for (unsigned i = 0; i < READERS; i++) {
        conc_future_cancel(readers[i]);
        CHECK_EQUAL(conc_future_wait(readers[i], CONC_FOREVER), 0);
        CHECK_EQUAL(conc_future_error(readers[i]), -ECANCELED);
        conc_future_unref(readers[i]);
    }
    return 0;
}

static int run_on_loop(conc_backend backend)
{
    const conc_loop_options options = {.backend = backend};
    conc_loop *loop;
    conc_event_init(&over);
    CHECK_EQUAL(conc_loop_new(&loop, &options), 0);
    conc_future *f = conc_task_start(loop, loop_main, NULL, 0, 0, NULL);
    int err = conc_loop_run_until_complete(loop, f);
    if (err == -ENOSYS)
        conc_future_cancel(f);
    conc_future_unref(f);
    CHECK_EQUAL(conc_loop_free(loop), 0);
    CHECK(!err || err == -ENOSYS);
    return err ? NO_LOOP : 0;
}

/* ---- Tests ---- */

struct shared_case {
    const struct kind *kind;
    conc_backend backend;
};

/* In a process of its own, which may have to be killed. */
static int run_case(void *arg)
{
    const struct shared_case *c = arg;
    operation = c->kind == &kind_tcp_listener_blocking ? DO_ACCEPT : DO_READ;
    struct setup setup = rig_prepare(&rig, c->kind, TO_READ, IS_WAITING, false, 1);
    if (setup.none || setup.not_tried)
        return NO_LOOP;
    share_with_thief();
    int result = run_on_loop(c->backend);
    rig_release(&rig);
    rig_folder_remove();
    return result;
}

static void test_shared(void **state)
{
    memset(shared, 0, sizeof *shared);
    int result = in_child(run_case, *state);
    if (result == NO_LOOP)
        printf("# no io_uring here: left out\n");
    else
        assert_int_equal(result, 0);
}

int main(void)
{
    static struct shared_case cases[2 * N_KINDS];
    static char names[2 * N_KINDS][64];
    struct CMUnitTest tests[2 * N_KINDS];
    shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    CHECK(shared != MAP_FAILED);
    for (size_t i = 0; i < 2 * N_KINDS; i++) {
        bool uring = i % 2 == 0;
        cases[i].kind = kinds[i / 2];
        cases[i].backend = uring ? CONC_BACKEND_URING : CONC_BACKEND_EPOLL;
        snprintf(names[i], sizeof names[i], "%s__%s", kinds[i / 2]->name,
                 uring ? "io_uring" : "epoll");
        tests[i] = (struct CMUnitTest){
            .name = names[i], .test_func = test_shared, .initial_state = &cases[i]};
    }
    return _cmocka_run_group_tests("shared", tests, 2 * N_KINDS, NULL, NULL);
}
