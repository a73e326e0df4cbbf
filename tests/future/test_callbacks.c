/* SPDX-License-Identifier: MIT
 *
 * test_callbacks.c: callbacks of futures that complete others: their order, chains of any length;
 * taking them back; what they see of the context in which they run, and it of them.
 */
#include "ways.h"

#include <conc/group.h>
#include <conc/local.h>
#include <conc/loop.h>
#include <conc/task.h>
#include <stdlib.h>
#include <string.h>

static conc_future *pending(void)
{
    conc_future *f = NULL;
    CHECK_EQUAL(conc_future_new(&f, 0), 0);
    return f;
}

static void complete(conc_future *f) { CHECK_EQUAL(conc_future_set_result(f, NULL), 0); }

static void on_done(conc_future *f, conc_done_fn *fn, void *arg)
{
    CHECK_EQUAL(conc_future_add_done_callback(f, fn, arg), 0);
}

/* What has been called, in order, by numbers. */
static struct {
    size_t n;
    char text[32];
} calls;

static void note(char c)
{
    CHECK(calls.n < sizeof calls.text - 1);
    calls.text[calls.n++] = c;
    calls.text[calls.n] = '\0';
}

static void note_call(conc_future *f, void *c) { note((char)(intptr_t)c); }

#define CHAR(c) ((void *)(intptr_t)(c))

static void called(const char *expected)
{
    CHECK(strcmp(calls.text, expected) == 0);
    calls.n = 0;
    calls.text[0] = '\0';
}

/* ---- Chains ---- */

#define CHAIN crowd_of(1000 * 1000)
#define CHAIN_AT_ONCE crowd_of(100 * 1000)
#define CHAIN_OF_JOBS crowd_of(20 * 1000)

/* Each callback makes the next future, registers itself with it, and completes it. */
static void make_next(conc_future *f, void *arg)
{
    size_t *left = arg;
    if (--*left == 0)
        return;
    conc_future *next = pending();
    on_done(next, make_next, left);
    complete(next);
    conc_future_unref(next);
}

static void complete_chain(size_t n)
{
    size_t left = n;
    conc_future *first = pending();
    on_done(first, make_next, &left);
    complete(first);
    CHECK_EQUAL(left, 0); /* all have run when the call that began it returns */
    conc_future_unref(first);
}

static void test_a_chain_of_a_million_futures_needs_no_more_stack(void) { complete_chain(CHAIN); }

static int job_complete_chain(void *arg, void *result)
{
    complete_chain(CHAIN_AT_ONCE);
    return 0;
}

static void test_nor_does_one_in_a_pool_or_an_inline_executor(void)
{
    conc_executor *executors[2];
    CHECK_EQUAL(conc_thread_pool_new(&executors[0], 1, NULL), 0);
    CHECK_EQUAL(conc_inline_new(&executors[1]), 0);
    for (int i = 0; i < 2; i++) {
        CHECK_EQUAL(conc_call(executors[i], job_complete_chain, NULL, 0, NULL, 0, CONC_FOREVER), 0);
        CHECK_EQUAL(conc_executor_free(executors[i]), 0);
    }
}

struct link {
    conc_future *future, *next; /* NULL: it is the last */
    bool by_cancel;
};

static void complete_link(conc_future *f, void *arg)
{
    const struct link *link = arg;
    if (!link->next)
        return;
    if (link->by_cancel)
        CHECK(conc_future_cancel(link->next));
    else
        CHECK_EQUAL(conc_future_set_error(link->next, -EIO, "failed"), 0);
}

static void test_a_chain_of_errors_and_cancellations_that_is_there_before(void)
{
    const size_t n = CHAIN_AT_ONCE;
    struct link *links = calloc(n, sizeof *links);
    CHECK(links);
    for (size_t i = n; i-- > 0;) {
        links[i].future = pending();
        links[i].next = i + 1 < n ? links[i + 1].future : NULL;
        links[i].by_cancel = i % 2;
        on_done(links[i].future, complete_link, &links[i]);
    }
    CHECK(conc_future_cancel(links[0].future));
    for (size_t i = 0; i < n; i++) {
        CHECK_EQUAL(conc_future_error(links[i].future), i % 2 ? -EIO : -ECANCELED);
        conc_future_unref(links[i].future);
    }
    free(links);
}

struct resubmit {
    conc_executor *executor;
    size_t left;
    conc_event done;
};

static int job_nothing(void *arg, void *result) { return 0; }

/* Registered with a future that may be done already. */
static void submit_next(conc_future *f, void *arg)
{
    struct resubmit *r = arg;
    if (--r->left == 0) {
        conc_event_set(&r->done);
        return;
    }
    conc_future *next = conc_submit(r->executor, job_nothing, NULL, 0, 0);
    on_done(next, submit_next, r);
    conc_future_unref(next);
}

static void test_a_chain_of_jobs(void)
{
    conc_executor *executors[3];
    CHECK_EQUAL(conc_inline_new(&executors[0]), 0);
    CHECK_EQUAL(conc_thread_pool_new(&executors[1], 1, NULL), 0);
    CHECK_EQUAL(conc_loop_pool_new(&executors[2], 1), 0);
    for (int i = 0; i < 3; i++) {
        struct resubmit r = {.executor = executors[i], .left = CHAIN_OF_JOBS};
        conc_future *first = conc_submit(r.executor, job_nothing, NULL, 0, 0);
        on_done(first, submit_next, &r);
        conc_future_unref(first);
        CHECK_EQUAL(conc_event_wait(&r.done, CONC_FOREVER), 0);
        CHECK_EQUAL(conc_executor_free(executors[i]), 0);
    }
}

/* ---- Order ---- */

struct two {
    conc_future *other;
    bool ran_inside;
};

static void complete_other(conc_future *f, void *arg)
{
    struct two *two = arg;
    note('1');
    complete(two->other);
    on_done(f, note_call, CHAR('5')); /* it is done already */
    two->ran_inside = calls.n > 1;
}

static void test_what_a_callback_completes_is_called_after_what_was_due(void)
{
    struct two two = {.other = pending()};
    conc_future *f = pending();
    on_done(f, complete_other, &two);
    on_done(f, note_call, CHAR('2'));
    on_done(two.other, note_call, CHAR('3'));
    on_done(two.other, note_call, CHAR('4'));
    complete(f);
    CHECK(!two.ran_inside);
    called("12345");
    conc_future_unref(two.other);
    conc_future_unref(f);
}

static void unref_other(conc_future *f, void *arg)
{
    struct two *two = arg;
    note('1');
    complete(two->other);
    conc_future_unref(two->other); /* the last reference of the program's */
}

static void test_a_future_lives_until_its_callbacks_have_run(void)
{
    struct two two = {.other = pending()};
    conc_future *f = pending();
    on_done(two.other, note_call, CHAR('2'));
    on_done(f, unref_other, &two);
    complete(f);
    called("12");
    conc_future_unref(f);
}

/* ---- What works in a callback ---- */

static void wait_for_group(conc_future *f, void *executor)
{
    int err = 0;
    conc_with_group (g, &err, CONC_FOREVER)
        for (int i = 0; i < 3; i++)
            conc_group_submit(g, executor, job_nothing, NULL, 0, NULL, 0);
    CHECK_EQUAL(err, 0);
    note('1');
}

static void test_a_callback_may_wait_for_a_group(void)
{
    conc_executor *executors[2];
    CHECK_EQUAL(conc_inline_new(&executors[0]), 0);
    CHECK_EQUAL(conc_thread_pool_new(&executors[1], 1, NULL), 0);
    for (int i = 0; i < 2; i++) {
        conc_future *f = pending();
        on_done(f, wait_for_group, executors[i]);
        on_done(f, note_call, CHAR('2'));
        complete(f);
        called("12");
        conc_future_unref(f);
        CHECK_EQUAL(conc_executor_free(executors[i]), 0);
    }
}

/* ---- Taking them back ---- */

static void test_removed_callbacks_are_not_called(void)
{
    conc_future *f = pending();
    for (const char *c = "12131"; *c; c++)
        on_done(f, note_call, CHAR(*c));
    CHECK_EQUAL(conc_future_remove_done_callback(f, note_call, CHAR('4')), 0);
    CHECK_EQUAL(conc_future_remove_done_callback(f, complete_other, CHAR('1')), 0);
    CHECK_EQUAL(conc_future_remove_done_callback(f, note_call, CHAR('1')), 3);
    CHECK_EQUAL(conc_future_remove_done_callback(f, note_call, CHAR('1')), 0);
    on_done(f, note_call, CHAR('5')); /* the ring is whole */
    complete(f);
    called("235");
    CHECK_EQUAL(conc_future_remove_done_callback(f, note_call, CHAR('2')), 0);
    conc_future_unref(f);
}

static void test_all_callbacks_may_be_removed(void)
{
    conc_future *f = pending();
    on_done(f, note_call, CHAR('1'));
    CHECK_EQUAL(conc_future_remove_done_callback(f, note_call, CHAR('1')), 1);
    on_done(f, note_call, CHAR('2'));
    complete(f);
    called("2");
    conc_future_unref(f);
}

static void test_a_callback_without_a_function_is_EINVAL(void)
{
    conc_future *f = pending();
    CHECK_EQUAL(conc_future_add_done_callback(f, NULL, NULL), -EINVAL);
    conc_future_unref(f);
}

enum { REGISTRARS = 4, ROUNDS = 200 };

struct registrar {
    conc_future *future;
    uint32_t calls;
    int expected;
};

static void count_call(conc_future *f, void *arg) { fetch_add_relaxed((uint32_t *)arg, 1); }

/* Register and take back, while others do the same and the future becomes done. */
static int job_register(void *arg, void *result)
{
    struct registrar *r = *(struct registrar **)arg;
    int registered = 0, removed = 0;
    for (int i = 0; i < ROUNDS; i++) {
        on_done(r->future, count_call, &r->calls);
        registered++;
        if (i % 3 == 0)
            removed += conc_future_remove_done_callback(r->future, count_call, &r->calls);
        if (i % 16 == 0)
            conc_yield();
    }
    r->expected = registered - removed;
    return 0;
}

static void test_registering_and_removing_race_with_the_end(void)
{
    struct registrar registrars[REGISTRARS], *r;
    conc_future *jobs[REGISTRARS], *f = pending();
    for (int i = 0; i < REGISTRARS; i++) {
        r = &registrars[i];
        *r = (struct registrar){.future = f};
        jobs[i] = start(job_register, &r, sizeof r);
    }
    conc_yield();
    complete(f);
    for (int i = 0; i < REGISTRARS; i++) {
        CHECK_EQUAL(end_of(jobs[i]), 0);
        CHECK_EQUAL(registrars[i].calls, registrars[i].expected);
    }
    conc_future_unref(f);
}

/* ---- Local values, messages, scopes ---- */

static conc_local *key;

static void set(const char *value)
{
    CHECK_EQUAL(conc_local_set(key, (void *)(uintptr_t)value), 0);
}

struct seen {
    const char *value;
    int calls;
};

static void see(conc_future *f, void *arg)
{
    struct seen *seen = arg;
    seen->value = conc_local_get(key);
    seen->calls++;
    set("the callback's");
    conc_raise(-EIO, "the callback's message");
}

static int job_complete_as_b(void *arg, void *result)
{
    set("B");
    conc_raise(-EPERM, "B's message");
    complete(*(conc_future **)arg);
    CHECK(strcmp(conc_local_get(key), "B") == 0);
    CHECK(strcmp(conc_error_message(), "B's message") == 0);
    return 0;
}

static void test_a_callback_runs_with_its_registrants_values(void)
{
    struct seen seen[3] = {0};
    CHECK_EQUAL(conc_local_new(&key, NULL), 0);
    conc_future *f = pending();
    on_done(f, see, &seen[0]); /* without values */
    set("A");
    on_done(f, see, &seen[1]);
    on_done(f, see, &seen[2]);
    set("A, later");
    CHECK_EQUAL(end_of(start(job_complete_as_b, &f, sizeof f)), 0);
    CHECK(!seen[0].value);
    CHECK(strcmp(seen[1].value, "A") == 0);
    CHECK(strcmp(seen[2].value, "A") == 0);
    CHECK(strcmp(conc_local_get(key), "A, later") == 0);
    on_done(f, see, &seen[0]); /* at once, and alike */
    CHECK(strcmp(seen[0].value, "A, later") == 0);
    CHECK(strcmp(conc_local_get(key), "A, later") == 0);
    conc_future_unref(f);
    set(NULL);
    conc_local_free(key);
}

static uint32_t destroyed;

static void destroy(void *value) { fetch_add_relaxed(&destroyed, 1); }

static void set_value(conc_future *f, void *value) { set(value); }

static void test_values_of_callbacks_are_destroyed_once(void)
{
    static const char first[] = "first", second[] = "second";
    destroyed = 0;
    CHECK_EQUAL(conc_local_new(&key, destroy), 0);
    conc_future *f = pending(), *never = pending();
    set(first);
    on_done(f, set_value, (void *)(uintptr_t)second);
    on_done(f, note_call, CHAR('1'));
    on_done(never, note_call, CHAR('2'));
    CHECK_EQUAL(conc_future_remove_done_callback(f, note_call, CHAR('1')), 1);
    set(NULL);
    CHECK_EQUAL(destroyed, 0); /* the callbacks have it */
    complete(f);
    CHECK_EQUAL(destroyed, 1); /* what the callback has set */
    conc_future_unref(never);
    CHECK_EQUAL(destroyed, 2);
    conc_future_unref(f);
    conc_local_free(key);
    called("");
}

static void leave_scope_open(conc_future *f, void *arg)
{
    conc_scope *scope = arg;
    conc_scope_enter(scope, CONC_NOW);
}

static void test_a_scope_that_a_callback_leaves_open_is_left(void)
{
    conc_scope scope, outer;
    conc_future *f = pending();
    on_done(f, leave_scope_open, &scope);
    conc_scope_enter(&outer, CONC_FOREVER);
    complete(f);
    CHECK_EQUAL(conc_check_cancel(), 0);
    CHECK_EQUAL(conc_scope_exit(&outer), 0);
    conc_future_unref(f);
}

/* ---- Many ---- */

#define MANY crowd_of(100 * 1000)

static void test_many_callbacks_of_one_future_all_run(void)
{
    uint32_t n = 0;
    const size_t many = MANY;
    conc_future *f = pending();
    for (size_t i = 0; i < many; i++) /* half a minute, if each one cost as many steps */
        on_done(f, count_call, &n);
    complete(f);
    CHECK_EQUAL(n, many);
    conc_future_unref(f);
}

static const struct CMUnitTest tests[] = {
    ON_EVERY_WAY(test_a_chain_of_a_million_futures_needs_no_more_stack),
    ON_EVERY_WAY(test_nor_does_one_in_a_pool_or_an_inline_executor),
    ON_EVERY_WAY(test_a_chain_of_errors_and_cancellations_that_is_there_before),
    ON_EVERY_WAY(test_a_chain_of_jobs),
    ON_EVERY_WAY(test_what_a_callback_completes_is_called_after_what_was_due),
    ON_EVERY_WAY(test_a_future_lives_until_its_callbacks_have_run),
    ON_EVERY_WAY(test_a_callback_may_wait_for_a_group),
    ON_EVERY_WAY(test_removed_callbacks_are_not_called),
    ON_EVERY_WAY(test_all_callbacks_may_be_removed),
    ON_EVERY_WAY(test_a_callback_without_a_function_is_EINVAL),
    ON_EVERY_WAY(test_registering_and_removing_race_with_the_end),
    ON_EVERY_WAY(test_a_callback_runs_with_its_registrants_values),
    ON_EVERY_WAY(test_values_of_callbacks_are_destroyed_once),
    ON_EVERY_WAY(test_a_scope_that_a_callback_leaves_open_is_left),
    ON_EVERY_WAY(test_many_callbacks_of_one_future_all_run),
};

TEST_MAIN(tests, 120)
