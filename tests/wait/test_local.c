/* SPDX-License-Identifier: MIT
 *
 * test_local.c: values that each context has for itself: setting and resetting them; that each is
 * destroyed once, and no memory stays behind. How they are inherited, and end:
 * test_local_inherit.c.
 */
#include <conc/local.h>

#include "fibers.h"
#include "locals.h"

/* ---- One context ---- */

static void use_one_key(void *arg)
{
    struct value v[2] = {{.number = 0}};
    conc_local *key;
    CHECK_EQUAL(conc_local_new(&key, destroy), 0);
    CHECK(!conc_local_get(key) && !conc_local_is_set(key));
    CHECK_EQUAL(conc_local_set(key, &v[0]), 0);
    CHECK(conc_local_get(key) == &v[0] && conc_local_is_set(key));
    CHECK_EQUAL(destroyed(&v[0]), 0);
    CHECK_EQUAL(conc_local_set(key, &v[1]), 0);
    CHECK(conc_local_get(key) == &v[1]);
    CHECK_EQUAL(destroyed(&v[0]), 1);
    CHECK_EQUAL(conc_local_set(key, NULL), 0);
    CHECK(!conc_local_get(key) && conc_local_is_set(key));
    CHECK_EQUAL(destroyed(&v[1]), 1);
    conc_local_free(key);
}

static void test_get_gives_what_was_set_last(void **state)
{
    int32_t before = blocks();
    in_thread(use_one_key, NULL);
    assert_int_equal(blocks(), before);
    conc_local_free(NULL);
}

enum { MANY = 100 };

struct many {
    conc_local *keys[MANY];
    struct value values[MANY];
};

static void use_many_keys(void *arg)
{
    struct many *m = arg;
    for (int i = 0; i < MANY; i++) {
        CHECK_EQUAL(conc_local_set(m->keys[i], &m->values[i]), 0);
        for (int j = 0; j < MANY; j++)
            CHECK(conc_local_get(m->keys[j]) == (j <= i ? &m->values[j] : NULL));
    }
}

static void test_many_keys_each_keep_their_value(void **state)
{
    int32_t before = blocks();
    struct many m = {.keys = {NULL}};
    for (int i = 0; i < MANY; i++)
        assert_int_equal(conc_local_new(&m.keys[i], destroy), 0);
    in_thread(use_many_keys, &m);
    for (int i = 0; i < MANY; i++) {
        assert_int_equal(m.values[i].destroyed, 1);
        conc_local_free(m.keys[i]);
    }
    assert_int_equal(blocks(), before);
}

static void set_it(void *key) { CHECK_EQUAL(conc_local_set(key, key), 0); }

static void test_without_a_destructor_values_are_let_be(void **state)
{
    int32_t before = blocks();
    conc_local *key;
    assert_int_equal(conc_local_new(&key, NULL), 0);
    in_thread(set_it, key);
    conc_local_free(key);
    assert_int_equal(blocks(), before);
}

static void free_key_with_a_value(void *arg)
{
    struct value *v = arg;
    conc_local *key;
    CHECK_EQUAL(conc_local_new(&key, destroy), 0);
    CHECK_EQUAL(conc_local_set(key, v), 0);
    conc_local_free(key);
    CHECK_EQUAL(destroyed(v), 0);
}

static void test_value_of_a_freed_key_is_destroyed_at_the_end(void **state)
{
    int32_t before = blocks();
    struct value v = {.number = 0};
    in_thread(free_key_with_a_value, &v);
    assert_int_equal(v.destroyed, 1);
    assert_int_equal(blocks(), before);
}

static void free_and_make_keys(void *arg)
{
    struct value *v = arg;
    int32_t before = blocks();
    for (int i = 0; i < MANY; i++) {
        conc_local *key;
        CHECK_EQUAL(conc_local_new(&key, destroy), 0);
        CHECK(!conc_local_is_set(key)); /* of no former key that had its address */
        CHECK_EQUAL(conc_local_set(key, &v[i]), 0);
        conc_local_free(key);
        CHECK(blocks() - before < 20); /* values of freed keys don't pile up */
    }
}

static void test_new_key_never_finds_an_old_ones_value(void **state)
{
    int32_t before = blocks();
    struct value v[MANY] = {{.number = 0}};
    in_thread(free_and_make_keys, v);
    for (int i = 0; i < MANY; i++)
        assert_int_equal(v[i].destroyed, 1);
    assert_int_equal(blocks(), before);
}

/* ---- Tokens ---- */

static void set_and_reset(void *arg)
{
    conc_local *key = arg;
    struct value v[3] = {{.number = 0}};
    conc_local_token outer, inner, used;
    CHECK_EQUAL(conc_local_set_token(key, &v[0], &outer), 0);
    CHECK_EQUAL(conc_local_set_token(key, &v[1], &inner), 0);
    CHECK_EQUAL(conc_local_set(key, &v[2]), 0);
    CHECK_EQUAL(destroyed(&v[1]), 1);
    used = inner;
    CHECK_EQUAL(conc_local_reset(&inner), 0);
    CHECK(conc_local_get(key) == &v[0]);
    CHECK_EQUAL(destroyed(&v[0]), 0);
    CHECK_EQUAL(destroyed(&v[2]), 1);
    CHECK_EQUAL(conc_local_reset(&inner), -EINVAL);
    used.context++; /* as if another context had made it */
    CHECK_EQUAL(conc_local_reset(&used), -EINVAL);
    CHECK_EQUAL(conc_local_reset(&outer), 0);
    CHECK(!conc_local_get(key) && !conc_local_is_set(key));
    CHECK_EQUAL(destroyed(&v[0]), 1);
}

static void test_reset_restores_what_was_before(void **state)
{
    int32_t before = blocks();
    conc_local *key;
    assert_int_equal(conc_local_new(&key, destroy), 0);
    in_thread(set_and_reset, key);
    conc_local_free(key);
    assert_int_equal(blocks(), before);
}

/* ---- Contexts don't see each other's ---- */

struct crowd {
    conc_local *key;
    struct value values[8];
    uint32_t set; /* how many have; atomic */
};

static void keep_a_value(size_t i, void *arg)
{
    struct crowd *c = arg;
    CHECK(!conc_local_is_set(c->key));
    CHECK_EQUAL(conc_local_set(c->key, &c->values[i]), 0);
    fetch_add_relaxed(&c->set, 1);
    while (load_relaxed(&c->set) < 8)
        conc_yield();
    CHECK(conc_local_get(c->key) == &c->values[i]);
    CHECK_EQUAL(destroyed(&c->values[i]), 0);
}

static void test_contexts_of_all_kinds_have_values_of_their_own(void **state)
{
    for (enum context_kind kind = 0; kind < CONTEXT_KINDS; kind++) {
        int32_t before = blocks();
        struct crowd c = {.set = 0};
        assert_int_equal(conc_local_new(&c.key, destroy), 0);
        run_contexts(kind, 8, keep_a_value, &c);
        for (int i = 0; i < 8; i++)
            assert_int_equal(c.values[i].destroyed, 1);
        conc_local_free(c.key);
        assert_int_equal(blocks(), before);
    }
}

/* ---- Out of memory ---- */

/* Set with and without a token, the n-th allocation failing; returns whether one failed. */
static bool set_with_failure(conc_local **keys, struct value *v, int32_t n)
{
    conc_local_token token = {.key = NULL};
    store_relaxed(&conc__hooks.fail_alloc_in, n);
    int err = conc_local_set_token(keys[0], &v[0], &token);
    if (!err)
        err = conc_local_set(keys[1], &v[1]);
    store_relaxed(&conc__hooks.fail_alloc_in, 0);
    CHECK(!err || err == -ENOMEM);
    if (err) {
        CHECK(!conc_local_is_set(keys[1]));
        CHECK(conc_local_get(keys[0]) == (token.key ? &v[0] : NULL));
        CHECK_EQUAL(destroyed(&v[0]) + destroyed(&v[1]), 0);
    }
    if (token.key)
        CHECK_EQUAL(conc_local_reset(&token), 0);
    return err;
}

struct scarce {
    conc_local *keys[2];
    struct value values[2];
    int32_t n;
    bool failed;
};

static void set_with_little_memory(void *arg)
{
    struct scarce *s = arg;
    conc_context_current(); /* its context needs no memory, its key's slot may */
    s->failed = set_with_failure(s->keys, s->values, s->n);
}

static void test_out_of_memory_leaves_the_value_the_callers(void **state)
{
    int32_t before = blocks();
    struct scarce s = {.n = 1};
    store_relaxed(&conc__hooks.fail_alloc_in, 1);
    assert_int_equal(conc_local_new(&s.keys[0], destroy), -ENOMEM);
    for (int i = 0; i < 2; i++)
        assert_int_equal(conc_local_new(&s.keys[i], destroy), 0);
    for (s.failed = true; s.failed; s.n++) {
        s.values[0] = s.values[1] = (struct value){.number = 0};
        in_thread(set_with_little_memory, &s);
    }
    assert_true(s.n > 4);
    assert_int_equal(s.values[0].destroyed, 1);
    assert_int_equal(s.values[1].destroyed, 1);
    for (int i = 0; i < 2; i++)
        conc_local_free(s.keys[i]);
    assert_int_equal(blocks(), before);
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_get_gives_what_was_set_last),
    cmocka_unit_test(test_many_keys_each_keep_their_value),
    cmocka_unit_test(test_without_a_destructor_values_are_let_be),
    cmocka_unit_test(test_value_of_a_freed_key_is_destroyed_at_the_end),
    cmocka_unit_test(test_new_key_never_finds_an_old_ones_value),
    cmocka_unit_test(test_reset_restores_what_was_before),
    cmocka_unit_test(test_contexts_of_all_kinds_have_values_of_their_own),
    cmocka_unit_test(test_out_of_memory_leaves_the_value_the_callers),
};

TEST_MAIN(tests, 50)
