/* SPDX-License-Identifier: MIT
 *
 * test_context.c: contexts: names, ids, the registry of all of them. What each is blocked on:
 * test_dump.c.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>

#include <conc/event.h>

#include "base/hooks.h"
#include "seen.h"
#include "support.h"
#include "wait/context.h"

/* ---- Identity ---- */

static void test_first_thread_is_called_main(void **state)
{
    assert_string_equal(conc_context_name(conc_context_current()), "main");
}

static void test_current_and_id_stay_the_same(void **state)
{
    conc_context *self = conc_context_current();
    uint64_t id = conc_context_id(NULL);
    assert_non_null(self);
    assert_true(id != 0);
    assert_ptr_equal(conc_context_current(), self);
    assert_int_equal(conc_context_id(NULL), id);
}

static void check_identity(void *main_context)
{
    char expected[CONC_NAME_MAX];
    CHECK(conc_context_current() != main_context);
    CHECK(conc_context_id(NULL) != 0 &&
          conc_context_id(NULL) != ((conc_context *)main_context)->id);
    snprintf(expected, sizeof expected, "thread-%" PRIu64, conc_context_id(NULL));
    CHECK(!strcmp(conc_context_name(conc_context_current()), expected));
}

static void test_thread_has_an_identity_and_a_generated_name(void **state)
{
    struct test_thread t;
    test_thread_start(&t, NULL, check_identity, conc_context_current());
    test_thread_join(&t);
}

struct ids {
    uint64_t ids[64];
    uint32_t n;
    pthread_barrier_t all_there;
};

static void note_id(void *arg)
{
    struct ids *ids = arg;
    uint64_t id = conc_context_id(NULL);
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
        assert_true(ids.ids[i] != 0 && ids.ids[i] != conc_context_id(NULL));
        for (int j = 0; j < i; j++)
            assert_true(ids.ids[i] != ids.ids[j]);
    }
}

static void name_it(void *arg)
{
    static const char longest[] = "0123456789012345678901234567890123456789";
    char os_name[16];
    conc_context_set_name("worker");
    CHECK(!strcmp(conc_context_name(conc_context_current()), "worker"));
    CHECK_EQUAL(prctl(PR_GET_NAME, os_name), 0);
    CHECK(!strcmp(os_name, "worker"));
    conc_context_set_name(longest);
    CHECK_EQUAL(strlen(conc_context_name(conc_context_current())), CONC_NAME_MAX - 1);
    CHECK(!strncmp(conc_context_name(conc_context_current()), longest, CONC_NAME_MAX - 1));
    CHECK_EQUAL(prctl(PR_GET_NAME, os_name), 0);
    CHECK(!strncmp(os_name, longest, 15) && strlen(os_name) == 15);
    conc_context_set_name("");
    CHECK(!*conc_context_name(conc_context_current()));
}

static void test_set_name_names_the_context_and_the_os_thread(void **state)
{
    struct test_thread t;
    test_thread_start(&t, NULL, name_it, NULL);
    test_thread_join(&t);
}

/* ---- The registry ---- */

static void test_foreach_shows_the_caller_running(void **state)
{
    struct seen seen = look_for("main");
    assert_int_equal(seen.n, 1);
    assert_int_equal(seen.info.id, conc_context_id(NULL));
    assert_string_equal(seen.info.kind, "thread");
    assert_null(seen.info.blocked_on);
    assert_null(seen.info.object);
    assert_int_equal(seen.info.holder, 0);
    assert_string_equal(seen.holder_name, "");
    assert_int_equal(seen.info.blocked_ns, 0);
}

struct stay {
    conc_event leave;
    uint64_t id;
};

static void stay(void *arg)
{
    struct stay *s = arg;
    store_relaxed(&s->id, conc_context_id(NULL));
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
    assert_int_equal(seen.ids[0], conc_context_id(NULL));
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
    assert_int_equal(conc_context_foreach(end_with, &calls), -77);
    assert_int_equal(calls, 2);
    for (int i = 0; i < 2; i++) {
        conc_event_set(&s[i].leave);
        test_thread_join(&t[i]);
    }
}

static int call_anything(const conc_context_info *info, void *arg)
{
    FILE *nowhere = arg;
    conc_context_set_name("main");
    CHECK_EQUAL(conc_sleep(1), 0);
    CHECK_EQUAL(conc_dump(nowhere), 0);
    return 0;
}

static void test_foreach_callback_may_call_anything(void **state)
{
    FILE *nowhere = fopen("/dev/null", "w");
    assert_non_null(nowhere);
    assert_int_equal(conc_context_foreach(call_anything, nowhere), 0);
    fclose(nowhere);
}

static void test_foreach_and_dump_without_memory_are_ENOMEM(void **state)
{
    int calls = 0;
    conc__hooks.fail_alloc_in = 1;
    assert_int_equal(conc_context_foreach(end_with, &calls), -ENOMEM);
    assert_int_equal(calls, 0);
    conc__hooks.fail_alloc_in = 1;
    assert_int_equal(conc_dump(stderr), -ENOMEM);
}

static void look_for_main(void *arg)
{
    struct seen seen = {.seek = "main"};
    CHECK_EQUAL(conc_context_foreach(see, &seen), 0);
    CHECK_EQUAL(seen.n, 2); /* the caller, which had no context before, is among them */
}

static void test_foreach_gives_the_caller_a_context(void **state)
{
    struct test_thread t;
    test_thread_start(&t, NULL, look_for_main, NULL);
    test_thread_join(&t);
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
    *(uint64_t *)seen = conc_context_id(NULL);
}

static void have_late_destructor(void *seen)
{
    conc_raise(-EIO, "early");
    pthread_setspecific(late_key, seen);
}

static void test_destructor_that_calls_libconc_leaves_no_context_behind(void **state)
{
    uint64_t id = 0;
    struct test_thread t;
    int32_t before = conc__hooks.allocated;
    conc_context_current(); /* so that the library's key is made first, before the test's */
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
    if (conc_context_foreach(see, &seen) != 0)
        return 1;
    if (seen.n != 1 || seen.info.id != *(uint64_t *)arg)
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
    uint64_t id = conc_context_id(NULL);
    assert_int_equal(in_child(look_in_child, &id), 0);
    assert_int_equal(look_for(NULL).n, 4); /* and the parent still has all */
    conc_event_set(&s.leave);
    for (int i = 0; i < 3; i++)
        test_thread_join(&t[i]);
}

static int look_without_context(void *arg)
{
    struct seen seen = {.seek = "main"};
    return conc_context_foreach(see, &seen) == 0 && seen.n == 1 && seen.info.id ? 0 : 1;
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
    cmocka_unit_test(test_hundreds_of_contexts_are_all_seen),
    cmocka_unit_test(test_destructor_that_calls_libconc_leaves_no_context_behind),
    cmocka_unit_test(test_child_has_the_forking_context_only),
    cmocka_unit_test(test_child_of_a_thread_without_a_context_gets_one),
};

TEST_MAIN(tests, 50)
