/* SPDX-License-Identifier: MIT
 *
 * test_nested.c: a context on the stack of another, which waits for it: whatever the other is, a
 * thread or a task, this one blocks, and is woken, cancelled and listed as any.
 */
#include "ways.h"

#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <conc/context.h>
#include <conc/event.h>
#include <conc/io.h>
#include <conc/lock.h>
#include <conc/rlock.h>
#include <conc/shared.h>

#include "wait/nested.h"

static void run_nested(void (*body)(void *arg), void *arg)
{
    struct nested_context nested;
    const uint64_t before = conc_context_id(NULL);
    conc__nested_enter(&nested, "nested", arg);
    CHECK(conc_context_id(NULL) != before);
    const pid_t pid = getpid();
    body(arg);
    const bool forked = getpid() != pid && on_tasks(); /* then only the thread is left */
    CHECK(forked || conc_context_current() == &nested.context);
    conc__nested_leave(&nested);
    CHECK(forked || conc_context_id(NULL) == before);
}

/* ---- Blocking ---- */

struct partner {
    conc_event event, ready;
    conc_lock lock;
    int fds[2];
    conc_scope scope;
    uint32_t in_scope;
};

static int job_sets_event(void *arg, void *result)
{
    struct partner *p = *(struct partner **)arg;
    UNTIL(blocked_on("event") == 1);
    return conc_event_set(&p->event), 0;
}

static void block_in_many_ways(void *arg)
{
    struct partner *p = arg;
    char c;
    conc_future *f = start(job_sets_event, &p, sizeof p);
    CHECK_EQUAL(conc_event_wait(&p->event, CONC_FOREVER), 0);
    CHECK_EQUAL(end_of(f), 0);
    CHECK_EQUAL(conc_sleep(CONC_US(100)), 0);
    CHECK_EQUAL(conc_event_wait(&p->ready, conc_in(CONC_US(100))), -ETIMEDOUT);
    conc_yield();
    CHECK_EQUAL(conc_read(p->fds[0], &c, 1, conc_in(CONC_US(100))), -ETIMEDOUT);
    CHECK_EQUAL(conc_write(p->fds[1], "x", 1, CONC_FOREVER), 1);
    CHECK_EQUAL(conc_read(p->fds[0], &c, 1, CONC_FOREVER), 1);
}

static void nest_once_more(void *arg) { run_nested(block_in_many_ways, arg); }

static void test_it_blocks_as_any_context_does(void)
{
    for (int depth = 1; depth <= 2; depth++) {
        struct partner p = {0};
        make_pipe(p.fds);
        run_nested(depth == 1 ? block_in_many_ways : nest_once_more, &p);
        CHECK_EQUAL(conc_event_wait(&p.event, CONC_NOW), 0);
        close_both(p.fds);
    }
}

static int job_cancels_scope(void *arg, void *result)
{
    struct partner *p = *(struct partner **)arg;
    UNTIL(blocked_on("event") == 1 || blocked_on("read") == 1);
    conc_scope_cancel(&p->scope);
    return 0;
}

static void be_cancelled(void *arg)
{
    struct partner *p = arg;
    for (int i = 0; i < 2; i++) {
        char c;
        conc_scope_enter(&p->scope, CONC_FOREVER);
        conc_future *f = start(job_cancels_scope, &p, sizeof p);
        CHECK_EQUAL(i ? conc_read(p->fds[0], &c, 1, CONC_FOREVER)
                      : conc_event_wait(&p->event, CONC_FOREVER),
                    -ECANCELED);
        CHECK_EQUAL(conc_scope_exit(&p->scope), -ECANCELED);
        CHECK_EQUAL(end_of(f), 0);
    }
}

static void test_its_own_scopes_can_be_cancelled(void)
{
    struct partner p = {0};
    make_pipe(p.fds);
    run_nested(be_cancelled, &p);
    close_both(p.fds);
}

static void ignore_outer_scopes(void *arg)
{
    struct partner *p = arg;
    conc_scope_cancel(&p->scope);
    CHECK_EQUAL(conc_check_cancel(), 0);
    CHECK_EQUAL(conc_sleep(CONC_US(100)), 0);
    CHECK_EQUAL(conc_event_wait(&p->event, conc_in(CONC_US(100))), -ETIMEDOUT);
}

static void test_scopes_of_the_context_below_do_not_act_on_it(void)
{
    struct partner p = {0};
    conc_scope_enter(&p.scope, CONC_FOREVER);
    run_nested(ignore_outer_scopes, &p);
    CHECK_EQUAL(conc_event_wait(&p.event, CONC_FOREVER), -ECANCELED);
    CHECK_EQUAL(conc_scope_exit(&p.scope), -ECANCELED);
}

static void try_locks(void *arg)
{
    conc_rlock *rlock = arg;
    CHECK(!conc_rlock_is_owned(rlock));
    CHECK_EQUAL(conc_rlock_try_acquire(rlock), -EAGAIN);
    CHECK_EQUAL(conc_rlock_release(rlock), -EPERM);
    CHECK_EQUAL(conc_rlock_acquire(rlock, conc_in(CONC_US(100))), -ETIMEDOUT);
}

static void test_it_is_not_the_owner_of_what_the_other_holds(void)
{
    conc_rlock rlock = CONC_RLOCK_INIT;
    conc_rlock_enter(&rlock);
    run_nested(try_locks, &rlock);
    CHECK(conc_rlock_is_owned(&rlock));
    CHECK_EQUAL(conc_rlock_release(&rlock), 0);
}

/* ---- Identity ---- */

static int count_it(const conc_context_info *info, void *arg)
{
    int *n = arg;
    if (info->blocked_on && strcmp(info->blocked_on, "nested") == 0)
        n[0]++; /* the one below */
    if (info->id == conc_context_id(NULL) && !info->blocked_on)
        n[1]++;
    return 0;
}

static void be_listed(void *arg)
{
    int n[2] = {0};
    CHECK_EQUAL(conc_context_foreach(count_it, n), 0);
    CHECK_EQUAL(n[0], 1);
    CHECK_EQUAL(n[1], 1);
}

static void test_both_are_listed(void)
{
    int n[2] = {0};
    run_nested(be_listed, NULL);
    CHECK_EQUAL(conc_context_foreach(count_it, n), 0);
    CHECK_EQUAL(n[0], 0);
}

static void system_name(char *name) { CHECK_EQUAL(prctl(PR_GET_NAME, name), 0); }

static void rename_itself(void *arg)
{
    char name[16];
    conc_context_set_name("inner");
    system_name(name);
    CHECK(on_tasks() || strcmp(name, "inner") == 0);
}

static void test_its_name_is_gone_with_it(void)
{
    char before[16], after[16];
    conc_context_set_name("outer");
    system_name(before);
    run_nested(rename_itself, NULL);
    system_name(after);
    CHECK(strcmp(before, after) == 0);
    CHECK(strcmp(conc_context_name(NULL), "outer") == 0);
}

/* ---- Forks ---- */

static void fork_inside(void *child) { *(pid_t *)child = fork(); }

static void test_a_child_that_was_forked_inside_goes_on_outside(void)
{
    pid_t child;
    int status, n[2] = {0};
    run_nested(fork_inside, &child);
    if (child == 0) {
        conc_context_foreach(count_it, n);
        _exit(n[1] == 1 ? 7 : 1);
    }
    CHECK(child > 0);
    CHECK_EQUAL(waitpid(child, &status, 0), child);
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 7);
}

static const struct CMUnitTest tests[] = {
    ON_EVERY_WAY(test_it_blocks_as_any_context_does),
    ON_EVERY_WAY(test_its_own_scopes_can_be_cancelled),
    ON_EVERY_WAY(test_scopes_of_the_context_below_do_not_act_on_it),
    ON_EVERY_WAY(test_it_is_not_the_owner_of_what_the_other_holds),
    ON_EVERY_WAY(test_both_are_listed),
    ON_EVERY_WAY(test_its_name_is_gone_with_it),
    ON_EVERY_WAY(test_a_child_that_was_forked_inside_goes_on_outside),
};

TEST_MAIN(tests, 60)
