/* SPDX-License-Identifier: MIT
 *
 * test_local_inherit.c: contexts' values when another context starts with them, and when a context
 * ends.
 */
#include <stdlib.h>
#include <string.h>

#include <conc/event.h>

#include "locals.h"
#include "wait/local.h"

/* ---- Inheriting ---- */

struct family {
    conc_local *key, *other;
    struct value parents, childs, late;
    struct locals *inherited;
    conc_event child_has_set, parent_has_set, child_may_end;
};

static void be_a_child(void *arg)
{
    struct family *f = arg;
    conc__locals_adopt(conc_context_current(), f->inherited);
    CHECK(conc_local_get(f->key) == &f->parents);
    CHECK_EQUAL(conc_local_set(f->other, &f->childs), 0);
    conc_event_set(&f->child_has_set);
    CHECK_EQUAL(conc_event_wait(&f->parent_has_set, CONC_FOREVER), 0);
    CHECK(conc_local_get(f->key) == &f->parents);
    CHECK_EQUAL(destroyed(&f->parents), 0); /* the parent has let go of it, we have not */
    CHECK_EQUAL(conc_event_wait(&f->child_may_end, CONC_FOREVER), 0);
}

static void be_a_parent(void *arg)
{
    struct family *f = arg;
    CHECK(!conc__locals_inherit(conc_context_current()));
    CHECK_EQUAL(conc_local_set(f->key, &f->parents), 0);
    int32_t before = blocks();
    f->inherited = conc__locals_inherit(conc_context_current());
    CHECK(f->inherited && blocks() == before); /* nothing is copied */
    struct test_thread child;
    test_thread_start(&child, NULL, be_a_child, f);
    CHECK_EQUAL(conc_event_wait(&f->child_has_set, CONC_FOREVER), 0);
    CHECK(!conc_local_is_set(f->other));
    CHECK_EQUAL(conc_local_set(f->key, &f->late), 0);
    conc_event_set(&f->parent_has_set);
    conc_event_set(&f->child_may_end);
    test_thread_join(&child);
    CHECK_EQUAL(destroyed(&f->parents), 1);
    CHECK_EQUAL(destroyed(&f->childs), 1);
    CHECK_EQUAL(destroyed(&f->late), 0);
    CHECK(conc_local_get(f->key) == &f->late);
}

static void test_child_inherits_and_then_goes_its_own_way(void **state)
{
    int32_t before = blocks();
    struct family f = {.inherited = NULL};
    assert_int_equal(conc_local_new(&f.key, destroy), 0);
    assert_int_equal(conc_local_new(&f.other, destroy), 0);
    in_thread(be_a_parent, &f);
    assert_int_equal(f.late.destroyed, 1);
    conc_local_free(f.key);
    conc_local_free(f.other);
    assert_int_equal(blocks(), before);
}

static void borrow_values(void *arg)
{
    struct family *f = arg;
    CHECK_EQUAL(conc_local_set(f->key, &f->childs), 0);
    struct locals_stay stay;
    conc__locals_enter(&stay, &f->inherited, true);
    CHECK(!f->inherited);
    CHECK(conc_local_get(f->key) == &f->parents);
    CHECK_EQUAL(conc_local_set(f->key, &f->late), 0);
    conc__locals_exit(&stay);
    CHECK(conc_local_get(f->key) == &f->childs);
    conc__locals_enter(&stay, &f->inherited, false);
    CHECK(conc_local_get(f->key) == &f->late); /* kept from the stay before */
    CHECK_EQUAL(destroyed(&f->late), 0);
    conc__locals_exit(&stay);
    CHECK(!f->inherited);
    CHECK_EQUAL(destroyed(&f->late), 1);
    CHECK(conc_local_get(f->key) == &f->childs);
}

static void lend_values(void *arg)
{
    struct family *f = arg;
    CHECK_EQUAL(conc_local_set(f->key, &f->parents), 0);
    f->inherited = conc__locals_inherit(conc_context_current());
    in_thread(borrow_values, f);
    CHECK(conc_local_get(f->key) == &f->parents);
    conc__locals_unref(
        conc__locals_inherit(conc_context_current())); /* for one that was not started */
    conc__locals_unref(NULL);
}

static void test_a_stay_has_values_of_its_own_which_may_be_kept(void **state)
{
    int32_t before = blocks();
    struct family f = {.inherited = NULL};
    assert_int_equal(conc_local_new(&f.key, destroy), 0);
    in_thread(lend_values, &f);
    assert_int_equal(f.parents.destroyed, 1);
    assert_int_equal(f.childs.destroyed, 1);
    conc_local_free(f.key);
    assert_int_equal(blocks(), before);
}

/* Reset, when a child shares the table: needs a copy. */
static void reset_while_shared(void *arg)
{
    conc_local *key = arg;
    struct value v = {.number = 0};
    conc_local_token token;
    CHECK_EQUAL(conc_local_set_token(key, &v, &token), 0);
    struct locals *childs = conc__locals_inherit(conc_context_current());
    store_relaxed(&conc__hooks.fail_alloc_in, 1);
    CHECK_EQUAL(conc_local_reset(&token), -ENOMEM);
    CHECK(conc_local_get(key) == &v);
    CHECK_EQUAL(conc_local_reset(&token), 0);
    CHECK(!conc_local_is_set(key));
    CHECK_EQUAL(destroyed(&v), 0); /* the child sees it yet */
    conc__locals_unref(childs);
    CHECK_EQUAL(destroyed(&v), 1);
}

static void test_reset_while_a_child_shares_leaves_the_childs_alone(void **state)
{
    int32_t before = blocks();
    conc_local *key;
    assert_int_equal(conc_local_new(&key, destroy), 0);
    in_thread(reset_while_shared, key);
    conc_local_free(key);
    assert_int_equal(blocks(), before);
}

/* ---- The end ---- */

static struct last_words {
    conc_local *key, *other;
    conc_event event;
    uint32_t sets; /* how often a destructor could set a value */
    int refused;   /* what it got at last */
} last;

/* Sets its key again and again, and blocks now and then: it may. */
static void set_again(void *value)
{
    CHECK(!conc_local_get(last.key));
    CHECK_EQUAL(conc_event_wait(&last.event, conc_in(0)), -ETIMEDOUT);
    conc_raise(-EIO, "last words"); /* needs memory of the context */
    int err = conc_local_set(last.key, value);
    if (err)
        last.refused = err;
    else
        last.sets++;
}

static void set_the_other(void *value) { CHECK_EQUAL(conc_local_set(last.other, value), 0); }

static void leave_last_words(void *arg) { CHECK_EQUAL(conc_local_set(last.key, arg), 0); }

static void test_destructor_may_set_its_key_at_the_end_some_times(void **state)
{
    int32_t before = blocks();
    last = (struct last_words){.sets = 0};
    assert_int_equal(conc_local_new(&last.key, set_again), 0);
    in_thread(leave_last_words, &last);
    assert_int_equal(last.sets, CONC_LOCAL_ROUNDS - 1);
    assert_int_equal(last.refused, -ESHUTDOWN);
    conc_local_free(last.key);
    assert_int_equal(blocks(), before);
}

static void test_what_a_destructor_sets_is_destroyed_too(void **state)
{
    int32_t before = blocks();
    struct value v = {.number = 0};
    last = (struct last_words){.sets = 0};
    assert_int_equal(conc_local_new(&last.key, set_the_other), 0);
    assert_int_equal(conc_local_new(&last.other, destroy), 0);
    in_thread(leave_last_words, &v);
    assert_int_equal(v.destroyed, 1);
    conc_local_free(last.key);
    conc_local_free(last.other);
    assert_int_equal(blocks(), before);
}

static void end_before_the_reset(void *arg)
{
    struct value *v = arg;
    conc_local_token left_open;
    CHECK_EQUAL(conc_local_set(last.other, &v[0]), 0);
    CHECK_EQUAL(conc_local_set_token(last.other, &v[1], &left_open), 0);
    conc__locals_drop(conc_context_current());
    CHECK_EQUAL(destroyed(&v[0]), 0);
    CHECK_EQUAL(destroyed(&v[1]), 1);
    CHECK_EQUAL(conc_local_reset(&left_open), -ESHUTDOWN);
    CHECK_EQUAL(conc_local_reset(&left_open), -EINVAL);
    CHECK_EQUAL(conc_local_set(last.other, v), -ESHUTDOWN);
    CHECK(!conc_local_is_set(last.other));
    CHECK(!conc__locals_inherit(conc_context_current()));
}

static void test_reset_after_the_end_lets_the_former_value_go(void **state)
{
    int32_t before = blocks();
    struct value v[2] = {{.number = 0}};
    last = (struct last_words){.sets = 0};
    assert_int_equal(conc_local_new(&last.other, destroy), 0);
    in_thread(end_before_the_reset, v);
    assert_int_equal(v[0].destroyed, 1);
    conc_local_free(last.other);
    assert_int_equal(blocks(), before);
}

static void end_in_another_destructor(void *arg)
{
    /* The library's context may be gone by now; then there is a new one, that ends too. */
    CHECK_EQUAL(conc_local_set(last.other, arg), 0);
}

static pthread_key_t late_key;

static void set_a_late_key(void *arg) { pthread_setspecific(late_key, arg); }

static void set_both(void *arg)
{
    conc_context_current();
    set_a_late_key(arg);
}

static void test_value_set_after_the_contexts_end_is_destroyed(void **state)
{
    int32_t before = blocks();
    void (*const orders[])(void *) = {set_a_late_key, set_both};
    last = (struct last_words){.sets = 0};
    assert_int_equal(conc_local_new(&last.other, destroy), 0);
    assert_int_equal(pthread_key_create(&late_key, end_in_another_destructor), 0);
    for (int i = 0; i < 2; i++) {
        struct value v = {.number = 0};
        in_thread(orders[i], &v);
        assert_int_equal(v.destroyed, 1);
    }
    pthread_key_delete(late_key);
    conc_local_free(last.other);
    assert_int_equal(blocks(), before);
}

/* ---- Many at once ---- */

struct tree {
    conc_local *keys[3];
    struct value *values;
    uint32_t made; /* of values; atomic */
    size_t room;
};

struct branch {
    struct tree *tree;
    struct locals *inherited;
    unsigned depth, index;
};

/* The destructor writes without atomics: all contexts that released the value before must be
 * done. */
static void destroy_in_tree(void *arg)
{
    struct value *value = arg;
    value->number = 0;
    destroy(value);
}

static void set_some(struct tree *tree, struct test_random *r, int n)
{
    for (int i = 0; i < n; i++) {
        conc_local *key = tree->keys[test_random_below(r, 3)];
        const struct value *seen = conc_local_get(key);
        CHECK(!seen || seen->number == 1); /* what one sees is not destroyed */
        uint32_t made = fetch_add_relaxed(&tree->made, 1);
        CHECK(made < tree->room);
        tree->values[made].number = 1;
        CHECK_EQUAL(conc_local_set(key, &tree->values[made]), 0);
    }
}

static void grow(void *arg)
{
    struct branch *b = arg;
    struct tree *tree = b->tree;
    struct test_random r = test_random_for(b->index);
    if (b->inherited)
        conc__locals_adopt(conc_context_current(), b->inherited);
    set_some(tree, &r, 1);
    struct branch branches[3];
    struct test_thread threads[3];
    for (unsigned i = 0; b->depth > 0 && i < 3; i++) {
        branches[i] = (struct branch){.tree = tree,
                                      .inherited = conc__locals_inherit(conc_context_current()),
                                      .depth = b->depth - 1,
                                      .index = b->index * 3 + i + 1};
        test_thread_start(&threads[i], NULL, grow, &branches[i]);
        set_some(tree, &r, (int)test_random_below(&r, 4));
    }
    for (unsigned i = 0; b->depth > 0 && i < 3; i++)
        test_thread_join(&threads[i]);
}

static void test_trees_of_contexts_destroy_each_value_once(void **state)
{
    int32_t before = blocks();
    struct tree tree = {.room = 2000};
    tree.values = calloc(tree.room, sizeof *tree.values);
    assert_non_null(tree.values);
    for (int i = 0; i < 3; i++)
        assert_int_equal(conc_local_new(&tree.keys[i], destroy_in_tree), 0);
    for (unsigned round = 0; round < 10; round++) {
        struct branch root = {.tree = &tree, .depth = 3, .index = round * 100};
        memset(tree.values, 0, tree.room * sizeof *tree.values);
        tree.made = 0;
        in_thread(grow, &root);
        for (uint32_t i = 0; i < tree.made; i++)
            assert_int_equal(tree.values[i].destroyed, 1);
    }
    for (int i = 0; i < 3; i++)
        conc_local_free(tree.keys[i]);
    free(tree.values);
    assert_int_equal(blocks(), before);
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_child_inherits_and_then_goes_its_own_way),
    cmocka_unit_test(test_a_stay_has_values_of_its_own_which_may_be_kept),
    cmocka_unit_test(test_reset_while_a_child_shares_leaves_the_childs_alone),
    cmocka_unit_test(test_destructor_may_set_its_key_at_the_end_some_times),
    cmocka_unit_test(test_what_a_destructor_sets_is_destroyed_too),
    cmocka_unit_test(test_reset_after_the_end_lets_the_former_value_go),
    cmocka_unit_test(test_value_set_after_the_contexts_end_is_destroyed),
    cmocka_unit_test(test_trees_of_contexts_destroy_each_value_once),
};

TEST_MAIN(tests, 50)
