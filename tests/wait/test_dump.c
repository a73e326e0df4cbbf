/* SPDX-License-Identifier: MIT
 *
 * test_dump.c: what the registry tells of each context that blocks, and its report; also while
 * contexts come and go, block, are renamed, and fork.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <conc/cond.h>
#include <conc/event.h>
#include <conc/lock.h>
#include <conc/rlock.h>
#include <conc/sem.h>

#include "base/hooks.h"
#include "seen.h"
#include "support.h"

/* ---- What each is blocked on ---- */

struct objects {
    conc_lock lock;
    conc_rlock rlock;
    conc_event event;
    conc_sem sem;
    conc_lock cond_lock;
    conc_cond cond;
    conc_scope scope;
};

static void block_on_lock(void *arg)
{
    struct objects *o = arg;
    conc_lock_enter(&o->lock);
    conc_lock_release(&o->lock);
}

static void block_on_lock_until(void *arg)
{
    struct objects *o = arg;
    CHECK_EQUAL(conc_lock_acquire(&o->lock, CONC_FOREVER), 0);
    conc_lock_release(&o->lock);
}

static void block_on_rlock(void *arg)
{
    struct objects *o = arg;
    conc_rlock_enter(&o->rlock);
    conc_rlock_release(&o->rlock);
}

static void block_on_event(void *arg)
{
    CHECK_EQUAL(conc_event_wait(&((struct objects *)arg)->event, CONC_FOREVER), 0);
}

static void block_on_sem(void *arg)
{
    CHECK_EQUAL(conc_sem_acquire(&((struct objects *)arg)->sem, CONC_FOREVER), 0);
}

static void block_on_cond(void *arg)
{
    struct objects *o = arg;
    conc_with_lock (&o->cond_lock)
        CHECK_EQUAL(conc_cond_wait(&o->cond, CONC_FOREVER), 0);
}

static void block_in_sleep(void *arg)
{
    struct objects *o = arg;
    conc_scope_enter(&o->scope, CONC_FOREVER);
    CHECK_EQUAL(conc_sleep_until(CONC_FOREVER), -ECANCELED);
    CHECK_EQUAL(conc_scope_exit(&o->scope), -ECANCELED);
}

static void unblock(struct objects *o, const char *what)
{
    conc_event_set(&o->event);
    conc_sem_release(&o->sem, 1);
    conc_lock_release(&o->lock);
    conc_rlock_release(&o->rlock);
    conc_with_lock (&o->cond_lock)
        conc_cond_notify_all(&o->cond);
    if (!strcmp(what, "sleep"))
        conc_scope_cancel(&o->scope);
}

static void test_report_says_what_a_context_is_blocked_on(void **state)
{
    static const struct {
        void (*block)(void *arg);
        const char *what;
        size_t object; /* its offset */
        bool held;
    } cases[] = {
        {block_on_lock, "lock", offsetof(struct objects, lock), true},
        {block_on_lock_until, "lock", offsetof(struct objects, lock), true},
        {block_on_rlock, "lock", offsetof(struct objects, rlock), true},
        {block_on_event, "event", offsetof(struct objects, event), false},
        {block_on_sem, "semaphore", offsetof(struct objects, sem), false},
        {block_on_cond, "condition", offsetof(struct objects, cond), false},
        {block_in_sleep, "sleep", SIZE_MAX, false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct objects o = {.cond = CONC_COND_INIT(&o.cond_lock)};
        struct test_thread t;
        conc_lock_enter(&o.lock);
        conc_rlock_enter(&o.rlock);
        test_thread_start(&t, "victim", cases[i].block, &o);
        wait_until_blocked("victim", cases[i].what);
        conc__test_advance(CONC_S(3));
        struct seen seen = look_for("victim");
        assert_string_equal(seen.info.blocked_on, cases[i].what);
        assert_in_range(seen.info.blocked_ns, CONC_S(3), CONC_S(60));
        const void *object = cases[i].object < SIZE_MAX ? (char *)&o + cases[i].object : NULL;
        assert_ptr_equal(seen.info.object, object);
        assert_int_equal(seen.info.holder, cases[i].held ? conc_context_id(NULL) : 0);
        assert_string_equal(seen.holder_name, cases[i].held ? "main" : "");
        unblock(&o, cases[i].what);
        test_thread_join(&t);
    }
}

static char *dump_text(void)
{
    char *text;
    size_t size;
    FILE *out = open_memstream(&text, &size);
    assert_non_null(out);
    assert_int_equal(conc_dump(out), 0);
    fclose(out);
    return text;
}

/* Is there a line with both? */
static bool has_line(const char *text, const char *a, const char *b)
{
    for (const char *line = text, *end; *line; line = end + 1) {
        end = strchr(line, '\n');
        const char *in_a = strstr(line, a), *in_b = strstr(line, b);
        if (in_a && in_a < end && in_b && in_b < end)
            return true;
    }
    return false;
}

static void test_dump_prints_a_line_for_each_with_the_holder(void **state)
{
    struct objects o = {.cond = CONC_COND_INIT(&o.cond_lock)};
    struct test_thread t[2];
    conc_lock_enter(&o.lock);
    test_thread_start(&t[0], "anna", block_on_lock, &o);
    test_thread_start(&t[1], "bert", block_on_event, &o);
    wait_until_blocked("anna", "lock");
    wait_until_blocked("bert", "event");
    conc__test_advance(CONC_S(7));
    char *text = dump_text();
    assert_true(has_line(text, " main ", "running"));
    assert_true(has_line(text, " anna ", "blocked on lock for 7."));
    assert_true(has_line(text, " anna ", "held by 1 main"));
    assert_true(has_line(text, " bert ", "blocked on event for 7."));
    assert_false(has_line(text, " bert ", "held by"));
    assert_true(has_line(text, " bert ", "thread"));
    int lines = 0;
    for (const char *c = text; *c; c++)
        lines += *c == '\n';
    assert_int_equal(lines, 3);
    free(text);
    conc_lock_release(&o.lock);
    conc_event_set(&o.event);
    test_thread_join(&t[0]);
    test_thread_join(&t[1]);
}

static void test_dump_to_a_full_device_is_EIO(void **state)
{
    for (int buffered = 0; buffered < 2; buffered++) {
        FILE *full = fopen("/dev/full", "w");
        assert_non_null(full);
        if (!buffered)
            setvbuf(full, NULL, _IONBF, 0);
        assert_int_equal(conc_dump(full), -EIO);
        fclose(full);
    }
}

/* ---- Contexts that come and go ---- */

static void take_lock_and_leave(void *arg)
{
    struct objects *o = arg;
    conc_with_lock (&o->lock)
        conc_yield(); /* so that others block */
    CHECK_EQUAL(conc_sem_acquire(&o->sem, conc_in(CONC_US(20))), -ETIMEDOUT);
}

static void start_and_end_threads(void *arg)
{
    struct objects *o = arg;
    struct stress stress = stress_begin();
    while (stress_goes_on(&stress)) {
        struct test_thread t[4];
        for (int i = 0; i < 4; i++)
            test_thread_start(&t[i], NULL, take_lock_and_leave, o);
        for (int i = 0; i < 4; i++)
            test_thread_join(&t[i]);
    }
    conc_event_set(&o->event);
}

static int check_info(const conc_context_info *info, void *arg)
{
    CHECK(info->id != 0);
    CHECK(!strcmp(info->kind, "thread"));
    CHECK(*info->name); /* a context that can be seen has its name */
    CHECK(info->blocked_on ? *info->blocked_on : !info->object && !info->holder);
    CHECK(info->blocked_ns >= 0);
    CHECK(!info->holder || (info->blocked_on && !strcmp(info->blocked_on, "lock")));
    ++*(size_t *)arg;
    return 0;
}

static void test_dumping_while_threads_come_and_go(void **state)
{
    struct objects o = {.cond = CONC_COND_INIT(&o.cond_lock)};
    struct test_thread t;
    FILE *nowhere = fopen("/dev/null", "w");
    assert_non_null(nowhere);
    test_thread_start(&t, NULL, start_and_end_threads, &o);
    while (!conc_event_is_set(&o.event)) {
        size_t n = 0;
        assert_int_equal(conc_context_foreach(check_info, &n), 0);
        assert_true(n >= 1);
        assert_int_equal(conc_dump(nowhere), 0);
    }
    test_thread_join(&t);
    fclose(nowhere);
    assert_int_equal(look_for(NULL).n, 1);
}

static void block_and_unblock(void *arg)
{
    struct objects *o = arg;
    while (!conc_event_is_set(&o->event)) {
        conc_lock lock = CONC_LOCK_INIT; /* dies at once: a report must not look at it later */
        conc_lock_enter(&lock);
        CHECK_EQUAL(conc_lock_acquire(&lock, conc_in(0)), -ETIMEDOUT);
        conc_context_set_name("other");
        CHECK_EQUAL(conc_sem_acquire(&o->sem, conc_in(0)), -ETIMEDOUT);
        conc_context_set_name("one");
    }
}

static void test_dumping_while_threads_block_and_unblock(void **state)
{
    struct objects o = {.cond = CONC_COND_INIT(&o.cond_lock)};
    struct test_thread t[3];
    for (int i = 0; i < 3; i++)
        test_thread_start(&t[i], "one", block_and_unblock, &o);
    struct stress stress = stress_begin();
    while (stress_goes_on(&stress)) {
        size_t n = 0;
        assert_int_equal(conc_context_foreach(check_info, &n), 0);
    }
    conc_event_set(&o.event);
    for (int i = 0; i < 3; i++)
        test_thread_join(&t[i]);
}

static int look_in_child(void *arg)
{
    struct seen seen = {.seek = "main"};
    if (conc_context_foreach(see, &seen) != 0)
        return 1;
    if (seen.n != 1 || seen.info.id != *(uint64_t *)arg)
        return 2;
    return 0;
}

static void fork_while_others_dump(void *arg)
{
    struct objects *o = arg;
    for (int i = 0; i < 20; i++) {
        uint64_t id = conc_context_id(NULL);
        conc_context_set_name("main"); /* as look_in_child() wants */
        CHECK_EQUAL(in_child(look_in_child, &id), 0);
    }
    conc_event_set(&o->event);
}

/* The allocators of gcc 12's and clang 14's sanitizers do not survive a fork while another thread
 * allocates (glibc's does): a child that then allocates may hang. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define ALLOCATOR_SURVIVES_FORK 0
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define ALLOCATOR_SURVIVES_FORK 0
#endif
#endif
#ifndef ALLOCATOR_SURVIVES_FORK
#define ALLOCATOR_SURVIVES_FORK 1
#endif

static void test_forking_while_others_dump_leaves_the_child_unharmed(void **state)
{
    if (!ALLOCATOR_SURVIVES_FORK) {
        puts("# skipped: under a sanitizer the child could not allocate");
        return;
    }
    struct objects o = {.cond = CONC_COND_INIT(&o.cond_lock)};
    struct test_thread t;
    test_thread_start(&t, NULL, fork_while_others_dump, &o);
    while (!conc_event_is_set(&o.event)) {
        size_t n = 0;
        assert_int_equal(conc_context_foreach(check_info, &n), 0);
    }
    test_thread_join(&t);
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_report_says_what_a_context_is_blocked_on),
    cmocka_unit_test(test_dump_prints_a_line_for_each_with_the_holder),
    cmocka_unit_test(test_dump_to_a_full_device_is_EIO),
    cmocka_unit_test(test_dumping_while_threads_come_and_go),
    cmocka_unit_test(test_dumping_while_threads_block_and_unblock),
    cmocka_unit_test(test_forking_while_others_dump_leaves_the_child_unharmed),
};

TEST_MAIN(tests, 50)
