/* SPDX-License-Identifier: MIT
 *
 * test_context.c: who is running: names, ids, the registry of all contexts and its report.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <conc/cond.h>
#include <conc/event.h>
#include <conc/lock.h>
#include <conc/rlock.h>
#include <conc/sem.h>

#include "base/hooks.h"
#include "support.h"
#include "wait/context.h"

/* ---- Identity ---- */

static void test_first_thread_is_called_main(void **state)
{
    assert_string_equal(conc_name(conc_current()), "main");
}

static void test_current_and_id_stay_the_same(void **state)
{
    conc_context *self = conc_current();
    uint32_t id = conc_id();
    assert_non_null(self);
    assert_true(id != 0);
    assert_ptr_equal(conc_current(), self);
    assert_int_equal(conc_id(), id);
}

static void check_identity(void *main_context)
{
    char expected[CONC_NAME_MAX];
    CHECK(conc_current() != main_context);
    CHECK(conc_id() != 0 && conc_id() != ((conc_context *)main_context)->id);
    snprintf(expected, sizeof expected, "thread-%u", conc_id());
    CHECK(!strcmp(conc_name(conc_current()), expected));
}

static void test_thread_has_an_identity_and_a_generated_name(void **state)
{
    struct test_thread t;
    test_thread_start(&t, NULL, check_identity, conc_current());
    test_thread_join(&t);
}

struct ids {
    uint32_t ids[64], n;
    pthread_barrier_t all_there;
};

static void note_id(void *arg)
{
    struct ids *ids = arg;
    uint32_t id = conc_id();
    ids->ids[fetch_add_relaxed(&ids->n, 1)] = id;
    pthread_barrier_wait(&ids->all_there); /* unique among the living: so they live */
}

static void test_ids_are_unique_among_the_living(void **state)
{
    struct ids ids = {.n = 0};
    struct test_thread t[64];
    pthread_barrier_init(&ids.all_there, NULL, 64);
    for (int i = 0; i < 64; i++)
        test_thread_start(&t[i], NULL, note_id, &ids);
    for (int i = 0; i < 64; i++)
        test_thread_join(&t[i]);
    pthread_barrier_destroy(&ids.all_there);
    for (int i = 0; i < 64; i++) {
        assert_true(ids.ids[i] != 0 && ids.ids[i] != conc_id());
        for (int j = 0; j < i; j++)
            assert_true(ids.ids[i] != ids.ids[j]);
    }
}

static void name_it(void *arg)
{
    static const char longest[] = "0123456789012345678901234567890123456789";
    char os_name[16];
    conc_set_name("worker");
    CHECK(!strcmp(conc_name(conc_current()), "worker"));
    CHECK_EQUAL(prctl(PR_GET_NAME, os_name), 0);
    CHECK(!strcmp(os_name, "worker"));
    conc_set_name(longest);
    CHECK_EQUAL(strlen(conc_name(conc_current())), CONC_NAME_MAX - 1);
    CHECK(!strncmp(conc_name(conc_current()), longest, CONC_NAME_MAX - 1));
    CHECK_EQUAL(prctl(PR_GET_NAME, os_name), 0);
    CHECK(!strncmp(os_name, longest, 15) && strlen(os_name) == 15);
    conc_set_name("");
    CHECK(!*conc_name(conc_current()));
}

static void test_set_name_names_the_context_and_the_os_thread(void **state)
{
    struct test_thread t;
    test_thread_start(&t, NULL, name_it, NULL);
    test_thread_join(&t);
}

/* ---- The registry ---- */

#define MOST 64

struct seen {
    size_t n;
    uint32_t ids[MOST];
    conc_context_info info; /* of the one that is sought */
    char name[CONC_NAME_MAX], holder_name[CONC_NAME_MAX];
    const char *seek;
};

static int see(const conc_context_info *info, void *arg)
{
    struct seen *seen = arg;
    if (seen->n < MOST)
        seen->ids[seen->n] = info->id;
    seen->n++;
    if (seen->seek && !strcmp(info->name, seen->seek)) {
        seen->info = *info;
        strcpy(seen->name, info->name);
        strcpy(seen->holder_name, info->holder_name);
    }
    return 0;
}

static struct seen look_for(const char *name)
{
    struct seen seen = {.seek = name};
    assert_int_equal(conc_contexts_foreach(see, &seen), 0);
    return seen;
}

static void test_foreach_shows_the_caller_running(void **state)
{
    struct seen seen = look_for("main");
    assert_int_equal(seen.n, 1);
    assert_int_equal(seen.info.id, conc_id());
    assert_string_equal(seen.info.kind, "thread");
    assert_null(seen.info.blocked_on);
    assert_null(seen.info.object);
    assert_int_equal(seen.info.holder, 0);
    assert_string_equal(seen.holder_name, "");
    assert_int_equal(seen.info.blocked_ns, 0);
}

struct stay {
    conc_event leave;
    uint32_t id;
};

static void stay(void *arg)
{
    struct stay *s = arg;
    store_relaxed(&s->id, conc_id());
    CHECK_EQUAL(conc_event_wait(&s->leave, CONC_FOREVER), 0);
}

static void test_foreach_goes_by_age_and_forgets_the_ended(void **state)
{
    struct stay s[4] = {0};
    struct test_thread t[4];
    for (int i = 0; i < 4; i++) {
        test_thread_start(&t[i], NULL, stay, &s[i]);
        wait_until_n_blocked(&s[i].leave, 1);
    }
    struct seen seen = look_for(NULL);
    assert_int_equal(seen.n, 5);
    assert_int_equal(seen.ids[0], conc_id());
    for (int i = 0; i < 4; i++)
        assert_int_equal(seen.ids[i + 1], load_relaxed(&s[i].id));
    conc_event_set(&s[1].leave);
    test_thread_join(&t[1]);
    seen = look_for(NULL);
    assert_int_equal(seen.n, 4);
    assert_int_equal(seen.ids[1], load_relaxed(&s[0].id));
    assert_int_equal(seen.ids[2], load_relaxed(&s[2].id));
    for (int i = 0; i < 4; i++)
        conc_event_set(&s[i].leave);
    for (int i = 0; i < 4; i++)
        if (i != 1)
            test_thread_join(&t[i]);
    assert_int_equal(look_for(NULL).n, 1);
}

static int end_with(const conc_context_info *info, void *arg)
{
    int *calls = arg;
    return ++*calls == 1 ? 0 : -77;
}

static void test_foreach_ends_with_the_callbacks_return(void **state)
{
    struct stay s[2] = {0};
    struct test_thread t[2];
    for (int i = 0; i < 2; i++) {
        test_thread_start(&t[i], NULL, stay, &s[i]);
        wait_until_n_blocked(&s[i].leave, 1);
    }
    int calls = 0;
    assert_int_equal(conc_contexts_foreach(end_with, &calls), -77);
    assert_int_equal(calls, 2);
    for (int i = 0; i < 2; i++) {
        conc_event_set(&s[i].leave);
        test_thread_join(&t[i]);
    }
}

static int call_anything(const conc_context_info *info, void *arg)
{
    FILE *nowhere = arg;
    conc_set_name("main");
    CHECK_EQUAL(conc_sleep(1), 0);
    CHECK_EQUAL(conc_dump(nowhere), 0);
    return 0;
}

static void test_foreach_callback_may_call_anything(void **state)
{
    FILE *nowhere = fopen("/dev/null", "w");
    assert_non_null(nowhere);
    assert_int_equal(conc_contexts_foreach(call_anything, nowhere), 0);
    fclose(nowhere);
}

static void test_foreach_and_dump_without_memory_are_ENOMEM(void **state)
{
    int calls = 0;
    conc__hooks.fail_alloc_in = 1;
    assert_int_equal(conc_contexts_foreach(end_with, &calls), -ENOMEM);
    assert_int_equal(calls, 0);
    conc__hooks.fail_alloc_in = 1;
    assert_int_equal(conc_dump(stderr), -ENOMEM);
}

static void look_for_main(void *arg)
{
    struct seen seen = {.seek = "main"};
    CHECK_EQUAL(conc_contexts_foreach(see, &seen), 0);
    CHECK_EQUAL(seen.n, 2); /* the caller, which had no context before, is among them */
}

static void test_foreach_gives_the_caller_a_context(void **state)
{
    struct test_thread t;
    test_thread_start(&t, NULL, look_for_main, NULL);
    test_thread_join(&t);
}

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
    conc_lock_acquire(&o->lock);
    conc_lock_release(&o->lock);
}

static void block_on_lock_until(void *arg)
{
    struct objects *o = arg;
    CHECK_EQUAL(conc_lock_acquire_until(&o->lock, CONC_FOREVER), 0);
    conc_lock_release(&o->lock);
}

static void block_on_rlock(void *arg)
{
    struct objects *o = arg;
    conc_rlock_acquire(&o->rlock);
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
        conc_lock_acquire(&o.lock);
        conc_rlock_acquire(&o.rlock);
        test_thread_start(&t, "victim", cases[i].block, &o);
        wait_until_blocked("victim", cases[i].what);
        conc__test_advance(CONC_S(3));
        struct seen seen = look_for("victim");
        assert_string_equal(seen.info.blocked_on, cases[i].what);
        assert_in_range(seen.info.blocked_ns, CONC_S(3), CONC_S(60));
        const void *object = cases[i].object < SIZE_MAX ? (char *)&o + cases[i].object : NULL;
        assert_ptr_equal(seen.info.object, object);
        assert_int_equal(seen.info.holder, cases[i].held ? conc_id() : 0);
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
    conc_lock_acquire(&o.lock);
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
    CHECK(*info->name); /* a context that anybody can see has its name */
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
        assert_int_equal(conc_contexts_foreach(check_info, &n), 0);
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
        conc_lock_acquire(&lock);
        CHECK_EQUAL(conc_lock_acquire_until(&lock, conc_in(0)), -ETIMEDOUT);
        conc_set_name("other");
        CHECK_EQUAL(conc_sem_acquire(&o->sem, conc_in(0)), -ETIMEDOUT);
        conc_set_name("one");
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
        assert_int_equal(conc_contexts_foreach(check_info, &n), 0);
    }
    conc_event_set(&o.event);
    for (int i = 0; i < 3; i++)
        test_thread_join(&t[i]);
}

static void test_hundreds_of_contexts_are_all_seen(void **state)
{
    enum { MANY = 300 };
    static struct test_thread t[MANY];
    struct stay s = {.id = 0};
    size_t n = crowd_of(MANY);
    for (size_t i = 0; i < n; i++)
        test_thread_start(&t[i], NULL, stay, &s);
    wait_until_n_blocked(&s.leave, n);
    assert_int_equal(look_for(NULL).n, n + 1);
    conc_event_set(&s.leave);
    for (size_t i = 0; i < n; i++)
        test_thread_join(&t[i]);
}

/* ---- The end of a thread ---- */

static pthread_key_t late_key;

static void call_libconc_late(void *seen)
{
    /* The library's own destructor may have run already: then this is a new context. */
    conc_raise(-EIO, "late");
    *(uint32_t *)seen = conc_id();
}

static void have_late_destructor(void *seen)
{
    conc_raise(-EIO, "early");
    pthread_setspecific(late_key, seen);
}

static void test_destructor_that_calls_libconc_leaves_no_context_behind(void **state)
{
    uint32_t id = 0;
    struct test_thread t;
    int32_t before = conc__hooks.allocated;
    conc_current(); /* so that the library's key exists, and is the elder */
    assert_int_equal(pthread_key_create(&late_key, call_libconc_late), 0);
    test_thread_start(&t, NULL, have_late_destructor, &id);
    test_thread_join(&t);
    assert_true(id != 0);
    assert_int_equal(look_for(NULL).n, 1);
    assert_int_equal(conc__hooks.allocated, before);
    pthread_key_delete(late_key);
}

/* ---- Fork ---- */

static int look_in_child(void *arg)
{
    struct seen seen = {.seek = "main"};
    if (conc_contexts_foreach(see, &seen) != 0)
        return 1;
    if (seen.n != 1 || seen.info.id != *(uint32_t *)arg)
        return 2;
    if (conc_sleep(CONC_MS(1)) != 0)
        return 3;
    return 0;
}

static void test_child_has_the_forking_context_only(void **state)
{
    struct stay s = {.id = 0};
    struct test_thread t[3];
    for (int i = 0; i < 3; i++)
        test_thread_start(&t[i], NULL, stay, &s);
    wait_until_n_blocked(&s.leave, 3);
    uint32_t id = conc_id();
    assert_int_equal(in_child(look_in_child, &id), 0);
    assert_int_equal(look_for(NULL).n, 4); /* and the parent still has all */
    conc_event_set(&s.leave);
    for (int i = 0; i < 3; i++)
        test_thread_join(&t[i]);
}

static void fork_while_others_dump(void *arg)
{
    struct objects *o = arg;
    for (int i = 0; i < 20; i++) {
        uint32_t id = conc_id();
        conc_set_name("main"); /* as look_in_child() wants */
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
        assert_int_equal(conc_contexts_foreach(check_info, &n), 0);
    }
    test_thread_join(&t);
}

static int look_without_context(void *arg)
{
    struct seen seen = {.seek = "main"};
    return conc_contexts_foreach(see, &seen) == 0 && seen.n == 1 && seen.info.id ? 0 : 1;
}

static void fork_without_context(void *arg) { *(int *)arg = in_child(look_without_context, NULL); }

static void test_child_of_a_thread_without_a_context_gets_one(void **state)
{
    int result = 99;
    struct test_thread t;
    test_thread_start(&t, NULL, fork_without_context, &result);
    test_thread_join(&t);
    assert_int_equal(result, 0);
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_first_thread_is_called_main),
    cmocka_unit_test(test_current_and_id_stay_the_same),
    cmocka_unit_test(test_thread_has_an_identity_and_a_generated_name),
    cmocka_unit_test(test_ids_are_unique_among_the_living),
    cmocka_unit_test(test_set_name_names_the_context_and_the_os_thread),
    cmocka_unit_test(test_foreach_shows_the_caller_running),
    cmocka_unit_test(test_foreach_goes_by_age_and_forgets_the_ended),
    cmocka_unit_test(test_foreach_ends_with_the_callbacks_return),
    cmocka_unit_test(test_foreach_callback_may_call_anything),
    cmocka_unit_test(test_foreach_and_dump_without_memory_are_ENOMEM),
    cmocka_unit_test(test_foreach_gives_the_caller_a_context),
    cmocka_unit_test(test_report_says_what_a_context_is_blocked_on),
    cmocka_unit_test(test_dump_prints_a_line_for_each_with_the_holder),
    cmocka_unit_test(test_dump_to_a_full_device_is_EIO),
    cmocka_unit_test(test_dumping_while_threads_come_and_go),
    cmocka_unit_test(test_dumping_while_threads_block_and_unblock),
    cmocka_unit_test(test_hundreds_of_contexts_are_all_seen),
    cmocka_unit_test(test_destructor_that_calls_libconc_leaves_no_context_behind),
    cmocka_unit_test(test_child_has_the_forking_context_only),
    cmocka_unit_test(test_forking_while_others_dump_leaves_the_child_unharmed),
    cmocka_unit_test(test_child_of_a_thread_without_a_context_gets_one),
};

TEST_MAIN(tests, 50)
