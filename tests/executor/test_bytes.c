/* SPDX-License-Identifier: MIT
 *
 * test_bytes.c: strings of bytes, and arguments and results that are some (CONC_BYTES), on every
 * executor and in everything else that runs a job. Across processes: test_process_bytes.c.
 */
#include "executors.h"

#include <string.h>

#include <conc/bytes.h>
#include <conc/group.h>
#include <conc/loop.h>
#include <conc/task.h>
#include <conc/thread.h>

/* ---- Strings of bytes ---- */

static void test_new_copy_and_free(void **state)
{
    conc_bytes a, b = {(void *)1, 7};
    assert_int_equal(conc_bytes_new(&a, 100), 0);
    assert_int_equal(a.size, 100);
    assert_int_equal((uintptr_t)a.data % _Alignof(max_align_t), 0);
    memset(a.data, 'x', 100);
    assert_int_equal(conc_bytes_copy(&b, a.data, 100), 0);
    assert_ptr_not_equal(a.data, b.data);
    assert_memory_equal(a.data, b.data, 100);
    conc_bytes_free(&a);
    assert_null(a.data);
    assert_int_equal(a.size, 0);
    conc_bytes_free(&a); /* again: it is empty */
    conc_bytes_free(&b);
    assert_int_equal(conc_bytes_copy(&a, NULL, 0), 0);
    assert_null(a.data);
    assert_int_equal(a.size, 0);
    conc_bytes_free(&a);
}

static void test_without_memory_nothing_is_written(void **state)
{
    conc_bytes a = {(void *)1, 7};
    fail_alloc(1);
    assert_int_equal(conc_bytes_new(&a, 1), -ENOMEM);
    fail_alloc(1);
    assert_int_equal(conc_bytes_copy(&a, "a", 1), -ENOMEM);
    assert_int_equal(conc_bytes_new(&a, SIZE_MAX / 2), -ENOMEM);
    assert_ptr_equal(a.data, (void *)1);
    assert_int_equal(a.size, 7);
}

/* ---- Jobs ---- */

static char nth(size_t i, char seed) { return (char)(seed + i * 7 + i / 251); }

static void fill(conc_bytes *b, char seed)
{
    for (size_t i = 0; i < b->size; i++)
        ((char *)b->data)[i] = nth(i, seed);
}

static bool is_filled(const conc_bytes *b, size_t size, char seed)
{
    if (b->size != size || (size == 0) != (b->data == NULL))
        return false;
    for (size_t i = 0; i < size; i++)
        if (((char *)b->data)[i] != nth(i, seed))
            return false;
    return true;
}

static conc_bytes filled(size_t size, char seed)
{
    conc_bytes b;
    CHECK_EQUAL(conc_bytes_new(&b, size), 0);
    fill(&b, seed);
    return b;
}

/* Each byte and one more; a string that begins with '!' fails, having made its result. */
static int job_next(void *arg, void *result)
{
    conc_bytes *in = arg, *out = result;
    CHECK(out->data == NULL && out->size == 0); /* empty at first */
    int err = conc_bytes_new(out, in->size);
    for (size_t i = 0; !err && i < in->size; i++)
        ((char *)out->data)[i] = (char)(((char *)in->data)[i] + 1);
    if (!err && in->size && *(char *)in->data == '!')
        err = conc_raise(-EIO, "a bad string");
    if (in->size)
        *(char *)in->data = 0; /* it is a private copy */
    return err;
}

/* As many bytes as the argument, an int, says. */
static int job_make(void *arg, void *result)
{
    int n = *(int *)arg, err = conc_bytes_new(result, (size_t)n);
    if (!err)
        fill(result, (char)n);
    return err;
}

static int job_sum(void *arg, void *result)
{
    const conc_bytes *in = arg;
    for (size_t i = 0; i < in->size; i++)
        *(int *)result += ((unsigned char *)in->data)[i];
    return 0;
}

static conc_future *submit_next(conc_executor *executor, const conc_bytes *in)
{
    return conc_submit(executor, job_next, in, CONC_BYTES, CONC_BYTES);
}

static void test_bytes_go_and_come(void **state)
{
    const struct executor_case *c = *state;
    const size_t sizes[] = {0, 1, 15, 16, 17, 1000, 100000};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        conc_bytes in = filled(sizes[i], 5), out, again;
        conc_future *f = submit_next(c->executor, &in);
        assert_int_equal(conc_future_result(f, &out, CONC_FOREVER), 0);
        assert_true(is_filled(&in, sizes[i], 5)); /* the job has changed its own */
        assert_true(is_filled(&out, sizes[i], 6));
        assert_int_equal(conc_future_result(f, &again, CONC_FOREVER), 0);
        const conc_bytes *value = conc_future_value(f);
        assert_true(is_filled(value, sizes[i], 6));
        if (sizes[i]) {
            assert_ptr_not_equal(out.data, again.data);
            assert_ptr_not_equal(out.data, value->data);
            *(char *)out.data = 0;
        }
        conc_future_unref(f);
        assert_true(is_filled(&again, sizes[i], 6));
        conc_bytes_free(&again);
        conc_bytes_free(&out);
        conc_bytes_free(&in);
    }
}

static void test_a_failed_job_keeps_no_bytes(void **state)
{
    const struct executor_case *c = *state;
    conc_bytes in = {(void *)(uintptr_t) "!bad", 4}, out = {(void *)1, 7};
    conc_future *f = submit_next(c->executor, &in);
    assert_int_equal(conc_future_result(f, &out, CONC_FOREVER), -EIO);
    assert_string_equal(conc_error_message(), "a bad string");
    assert_ptr_equal(out.data, (void *)1); /* untouched */
    assert_null(conc_future_value(f));
    conc_future_unref(f); /* the teardown finds no leak */
}

static void test_no_room_for_the_copy_is_ENOMEM_and_can_be_asked_again(void **state)
{
    const struct executor_case *c = *state;
    conc_bytes in = filled(10, 1), out;
    conc_future *f = submit_next(c->executor, &in);
    assert_int_equal(conc_future_wait(f, CONC_FOREVER), 0);
    fail_alloc(1);
    assert_int_equal(conc_future_result(f, &out, CONC_NOW), -ENOMEM);
    assert_int_equal(conc_future_result(f, &out, CONC_NOW), 0);
    assert_true(is_filled(&out, 10, 2));
    conc_bytes_free(&out);
    conc_bytes_free(&in);
    conc_future_unref(f);
}

static void test_call_and_its_sizes(void **state)
{
    const struct executor_case *c = *state;
    conc_bytes in = filled(300, 0), out;
    int n = 77, sum, expected = 0;
    for (size_t i = 0; i < in.size; i++)
        expected += ((unsigned char *)in.data)[i];
    assert_int_equal(
        conc_call(c->executor, job_sum, &in, CONC_BYTES, &sum, sizeof sum, CONC_FOREVER), 0);
    assert_int_equal(sum, expected);
    assert_int_equal(conc_call(c->executor, job_make, &n, sizeof n, &out, CONC_BYTES, CONC_FOREVER),
                     0);
    assert_true(is_filled(&out, 77, 77));
    conc_bytes_free(&out);
    conc_bytes_free(&in);
    in = (conc_bytes){(void *)1, SIZE_MAX - 3};
    assert_int_equal(
        conc_call(c->executor, job_sum, &in, CONC_BYTES, &sum, sizeof sum, CONC_FOREVER), -ENOMEM);
    assert_int_equal(
        conc_call(c->executor, job_sum, NULL, CONC_BYTES, &sum, sizeof sum, CONC_FOREVER), -EINVAL);
}

/* ---- Maps ---- */

enum { N = 11 };

static void test_map_of_bytes_in_chunks(void **state)
{
    const struct executor_case *c = *state;
    conc_bytes in[N], out[N];
    int sums[N];
    for (size_t chunk = 1; chunk <= 4; chunk++) {
        const conc_map_options options = {.chunk = chunk};
        for (int i = 0; i < N; i++)
            in[i] = filled((size_t)i * 33, (char)i);
        assert_int_equal(conc_map(c->executor, job_next, in, N, CONC_BYTES, out, CONC_BYTES,
                                  &options, CONC_FOREVER),
                         0);
        assert_int_equal(conc_map(c->executor, job_sum, in, N, CONC_BYTES, sums, sizeof *sums,
                                  &options, CONC_FOREVER),
                         0);
        for (int i = 0; i < N; i++) {
            int expected = 0;
            for (size_t j = 0; j < in[i].size; j++)
                expected += ((unsigned char *)in[i].data)[j];
            assert_int_equal(sums[i], expected);
            assert_true(is_filled(&in[i], (size_t)i * 33, (char)i));
            assert_true(is_filled(&out[i], (size_t)i * 33, (char)(i + 1)));
            conc_bytes_free(&in[i]);
            conc_bytes_free(&out[i]);
        }
        int sizes[N];
        for (int i = 0; i < N; i++)
            sizes[i] = 50 - i;
        assert_int_equal(conc_map(c->executor, job_make, sizes, N, sizeof *sizes, out, CONC_BYTES,
                                  &options, CONC_FOREVER),
                         0);
        for (int i = 0; i < N; i++) {
            assert_true(is_filled(&out[i], (size_t)(50 - i), (char)(50 - i)));
            conc_bytes_free(&out[i]);
        }
    }
}

static void test_map_with_errors_leaves_what_failed_empty(void **state)
{
    const struct executor_case *c = *state;
    conc_bytes in[N], out[N];
    int errors[N];
    for (size_t chunk = 1; chunk <= 4; chunk++) {
        const conc_map_options options = {.chunk = chunk, .errors = errors};
        for (int i = 0; i < N; i++)
            in[i] = filled(20, i % 3 ? 'a' : '!');
        assert_int_equal(conc_map(c->executor, job_next, in, N, CONC_BYTES, out, CONC_BYTES,
                                  &options, CONC_FOREVER),
                         0);
        for (int i = 0; i < N; i++) {
            assert_int_equal(errors[i], i % 3 ? 0 : -EIO);
            assert_true(i % 3 ? is_filled(&out[i], 20, 'b') : !out[i].data && !out[i].size);
            conc_bytes_free(&in[i]);
            conc_bytes_free(&out[i]);
        }
    }
}

static void test_a_map_that_fails_leaves_all_to_be_freed(void **state)
{
    const struct executor_case *c = *state;
    conc_bytes in[N], out[N];
    for (size_t chunk = 1; chunk <= 4; chunk++) {
        const conc_map_options options = {.chunk = chunk};
        memset(out, 0x55, sizeof out);
        for (int i = 0; i < N; i++)
            in[i] = filled(20, i == 7 ? '!' : 'a');
        assert_int_equal(conc_map(c->executor, job_next, in, N, CONC_BYTES, out, CONC_BYTES,
                                  &options, CONC_FOREVER),
                         -EIO);
        for (int i = 0; i < N; i++) {
            assert_true(!out[i].data || is_filled(&out[i], 20, 'b'));
            conc_bytes_free(&in[i]);
            conc_bytes_free(&out[i]);
        }
        assert_null(out[7].data);
    }
}

static void test_without_memory_a_map_of_bytes_is_ENOMEM(void **state)
{
    const struct executor_case *c = *state;
    conc_bytes in[N], out[N];
    for (int i = 0; i < N; i++)
        in[i] = filled(20, 'a');
    for (size_t chunk = 1; chunk <= 4; chunk += 3) {
        const conc_map_options options = {.chunk = chunk};
        bool through = false;
        for (int n = 1; n < 200 && !through; n++) {
            fail_alloc(n);
            int err = conc_map(c->executor, job_next, in, N, CONC_BYTES, out, CONC_BYTES, &options,
                               CONC_FOREVER);
            through = !alloc_has_failed();
            assert_true(err == 0 || err == -ENOMEM);
            for (int i = 0; i < N; i++) {
                assert_true(err ? !out[i].data || is_filled(&out[i], 20, 'b')
                                : is_filled(&out[i], 20, 'b'));
                conc_bytes_free(&out[i]);
            }
        }
        assert_true(through);
    }
    for (int i = 0; i < N; i++)
        conc_bytes_free(&in[i]);
}

/* ---- Everything else that runs jobs ---- */

static void test_a_future_of_the_programs_own(void **state)
{
    conc_future *f;
    conc_bytes in = filled(30, 3), out;
    assert_int_equal(conc_future_new(&f, CONC_BYTES), 0);
    fail_alloc(1);
    assert_int_equal(conc_future_set_result(f, &in), -ENOMEM);
    assert_false(conc_future_is_done(f));
    assert_int_equal(conc_future_set_result(f, &in), 0);
    assert_int_equal(conc_future_set_result(f, &in), -EINVAL);
    conc_bytes_free(&in);
    assert_int_equal(conc_future_result(f, &out, CONC_NOW), 0);
    assert_true(is_filled(&out, 30, 3));
    conc_bytes_free(&out);
    conc_future_unref(f);
    assert_int_equal(conc_future_new(&f, CONC_BYTES), 0);
    assert_int_equal(conc_future_set_result(f, NULL), 0); /* empty */
    assert_int_equal(conc_future_result(f, &out, CONC_NOW), 0);
    assert_true(is_filled(&out, 0, 0));
    conc_future_unref(f);
    assert_int_equal(conc_future_new(&f, CONC_BYTES), 0);
    conc_future_unref(f); /* never done */
}

static void test_groups(void **state)
{
    const struct executor_case *c = *state;
    conc_bytes in = filled(30, 3), out[2] = {{0}};
    int err = 0;
    conc_with_group (g, &err, CONC_FOREVER)
        for (int i = 0; i < 2; i++)
            conc_group_submit(g, c->executor, job_next, &in, CONC_BYTES, &out[i], CONC_BYTES);
    assert_int_equal(err, 0);
    for (int i = 0; i < 2; i++) {
        assert_true(is_filled(&out[i], 30, 4));
        conc_bytes_free(&out[i]);
    }
    conc_bytes_free(&in);
}

static void test_a_group_without_memory_for_a_result_says_so(void **state)
{
    const struct executor_case *c = *state;
    conc_bytes in = filled(30, 3);
    for (int n = 1; n < 30; n++) {
        conc_bytes out = {0};
        int err = 0;
        bool failed = false;
        conc_with_group (g, &err, CONC_FOREVER) {
            fail_alloc(n);
            conc_future *f =
                conc_group_submit(g, c->executor, job_next, &in, CONC_BYTES, &out, CONC_BYTES);
            (void)conc_future_wait(f, CONC_FOREVER); /* or it is cancelled by the failure */
            failed = alloc_has_failed();
        }
        assert_int_equal(err, failed ? -ENOMEM : 0);
        assert_int_equal(out.data != NULL, err == 0);
        conc_bytes_free(&out);
        if (!failed) {
            conc_bytes_free(&in);
            return;
        }
    }
    fail_msg("it never worked");
}

static void test_threads(void **state)
{
    conc_thread *thread;
    conc_bytes in = filled(30, 3), out;
    const conc_thread_options options = {.result_size = CONC_BYTES};
    assert_int_equal(conc_thread_start(&thread, job_next, &in, CONC_BYTES, &options), 0);
    conc_bytes_free(&in);
    assert_int_equal(conc_thread_join(thread, &out, CONC_FOREVER), 0);
    assert_true(is_filled(&out, 30, 4));
    conc_bytes_free(&out);
    conc_thread_free(thread);
}

/* In a task: in another task, and in a thread, both ways. Its own argument and result are bytes. */
static int job_all_ways(void *arg, void *result)
{
    conc_bytes *in = arg, a, b, c;
    conc_future *f[3] = {
        conc_spawn(job_next, in, CONC_BYTES, CONC_BYTES),
        conc_to_thread(job_next, in, CONC_BYTES, CONC_BYTES),
        conc_loop_run_in_executor(conc_loop_current(), NULL, job_next, in, CONC_BYTES, CONC_BYTES)};
    CHECK_EQUAL(conc_future_result(f[0], &a, CONC_FOREVER), 0);
    CHECK_EQUAL(conc_future_result(f[1], &b, CONC_FOREVER), 0);
    CHECK_EQUAL(conc_future_result(f[2], &c, CONC_FOREVER), 0);
    CHECK(is_filled(&a, in->size, 4) && is_filled(&b, in->size, 4) && is_filled(&c, in->size, 4));
    for (int i = 0; i < 3; i++)
        conc_future_unref(f[i]);
    conc_bytes_free(&b);
    conc_bytes_free(&c);
    *(conc_bytes *)result = a; /* what conc_bytes_new() gave may be handed on */
    return 0;
}

static void test_tasks(void **state)
{
    conc_bytes in = filled(3000, 3), out;
    assert_int_equal(conc_run(job_all_ways, &in, CONC_BYTES, &out, CONC_BYTES), 0);
    assert_true(is_filled(&out, 3000, 4));
    conc_bytes_free(&out);
    in.size = 0;
    void *data = in.data;
    in.data = NULL;
    assert_int_equal(conc_run(job_all_ways, &in, CONC_BYTES, &out, CONC_BYTES), 0);
    assert_true(is_filled(&out, 0, 4));
    conc_bytes rest = {data, 1};
    conc_bytes_free(&rest);
}

#define LEAVES_NOTHING(test) cmocka_unit_test_setup_teardown(test, leaks_setup, leaks_teardown)

static const struct CMUnitTest tests[] = {
    LEAVES_NOTHING(test_new_copy_and_free),
    LEAVES_NOTHING(test_without_memory_nothing_is_written),
    ON_EVERY_EXECUTOR(test_bytes_go_and_come),
    ON_EVERY_EXECUTOR(test_a_failed_job_keeps_no_bytes),
    ON_EVERY_EXECUTOR(test_no_room_for_the_copy_is_ENOMEM_and_can_be_asked_again),
    ON_EVERY_EXECUTOR(test_call_and_its_sizes),
    ON_EVERY_EXECUTOR(test_map_of_bytes_in_chunks),
    ON_EVERY_EXECUTOR(test_map_with_errors_leaves_what_failed_empty),
    ON_EVERY_EXECUTOR(test_a_map_that_fails_leaves_all_to_be_freed),
    ON_EVERY_EXECUTOR(test_without_memory_a_map_of_bytes_is_ENOMEM),
    LEAVES_NOTHING(test_a_future_of_the_programs_own),
    ON_EVERY_EXECUTOR(test_groups),
    ON_EXECUTOR(test_a_group_without_memory_for_a_result_says_so, POOL_OF_1, "pool_of_1"),
    LEAVES_NOTHING(test_threads),
    LEAVES_NOTHING(test_tasks),
};

TEST_MAIN(tests, 60)
