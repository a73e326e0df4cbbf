/* SPDX-License-Identifier: MIT
 *
 * test_structs.c: the sizes of public structs, as a binding asks for them. That none is missing:
 * check_structs.py.
 */
#include <conc.h>
#include <conc/executor_impl.h>

#include "support.h"

struct aligned_lock {
    char byte;
    conc_shared_lock lock;
};

static void test_the_size_is_that_of_the_header(void **state)
{
    size_t align = 0;
    assert_int_equal(conc_struct_size("conc_lock", NULL), sizeof(conc_lock));
    assert_int_equal(conc_struct_size("conc_queue", &align), sizeof(conc_queue));
    assert_int_equal(align, _Alignof(conc_queue));
    assert_int_equal(conc_struct_size("conc_shared_lock", &align), sizeof(conc_shared_lock));
    assert_int_equal(align, offsetof(struct aligned_lock, lock));
    assert_int_equal(conc_struct_size("conc_deadline", &align), 8);
    assert_int_equal(align, _Alignof(int64_t));
    assert_int_equal(conc_struct_size("conc_executor", &align), sizeof(struct conc_executor));
    assert_int_equal(conc_struct_size("conc_run_options", &align), sizeof(conc_run_options));
}

static void test_what_is_no_public_struct_has_no_size(void **state)
{
    static const char *const none[] = {"", "conc_", "conc_lock ", "lock", "conc_future", NULL};
    for (int i = 0; i < 6; i++) {
        size_t align = 77;
        assert_int_equal(conc_struct_size(none[i], &align), 0);
        assert_int_equal(align, 77);
    }
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_the_size_is_that_of_the_header),
    cmocka_unit_test(test_what_is_no_public_struct_has_no_size),
};

TEST_MAIN(tests, 60)
