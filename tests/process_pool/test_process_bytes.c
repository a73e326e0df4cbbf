/* SPDX-License-Identifier: MIT
 *
 * test_process_bytes.c: results in blocks of shared memory (block.h), and arguments and results of
 * any size across processes, used from threads and from tasks.
 */
#include "ways.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <conc/process.h>
#include <conc/process_pool.h>

#include "process_pool/pool_impl.h"

#define PATIENT conc_in(CONC_S(60))

static conc_executor *make_pool(size_t n)
{
    conc_executor *pool = NULL;
    CHECK_EQUAL(conc_process_pool_new(&pool, n, NULL), 0);
    return pool;
}

/* ---- Jobs ---- */

struct wish {
    size_t size;
    uint32_t seed;
};

static int job_make(void *arg, void *result)
{
    const struct wish *w = arg;
    int err = conc_bytes_new(result, w->size);
    if (!err)
        fill(((conc_bytes *)result)->data, w->size, w->seed);
    return err;
}

enum { BIG = 300 << 10 };

/* A result of a fixed size, which is zeroed before. */
static int job_big(void *arg, void *result)
{
    for (size_t i = 0; i < BIG; i++)
        if (((char *)result)[i])
            return conc_raise(-EIO, "byte %zu is not 0", i);
    fill(result, BIG, *(uint32_t *)arg);
    return 0;
}

/* The argument back. */
static int job_echo(void *arg, void *result)
{
    const conc_bytes *in = arg;
    return conc_bytes_copy(result, in->data, in->size);
}

static int job_fail_with_bytes(void *arg, void *result)
{
    int err = conc_bytes_new(result, *(size_t *)arg);
    return err ? err : conc_raise(-EIO, "no use");
}

static int job_fail_big(void *arg, void *result) { return conc_raise(-EIO, "no use"); }

/* ---- */

static conc_future *submit_make(conc_executor *pool, size_t size, uint32_t seed)
{
    const struct wish w = {size, seed};
    return conc_submit(pool, job_make, &w, sizeof w, CONC_BYTES);
}

static void check_made(conc_future *f, size_t size, uint32_t seed)
{
    conc_bytes b;
    CHECK_EQUAL(conc_future_result(f, &b, PATIENT), 0);
    const conc_bytes *value = conc_future_value(f);
    CHECK_EQUAL(b.size, size);
    CHECK_EQUAL(value->size, size);
    CHECK(is_filled(value->data, size, seed));
    CHECK(is_filled(b.data, size, seed));
    conc_bytes_free(&b);
}

static const size_t sizes[] = {0,
                               1,
                               1000,
                               BLOCK_MIN - 1,
                               BLOCK_MIN,
                               BLOCK_UNIT - sizeof(struct block),
                               BLOCK_UNIT - sizeof(struct block) + 1,
                               RING_SIZE + 1,
                               BLOCK_KEPT - sizeof(struct block),
                               BLOCK_KEPT + 1};
enum { N_SIZES = sizeof sizes / sizeof *sizes };

static void test_results_of_any_size(void)
{
    conc_executor *pool = make_pool(1);
    for (int round = 0; round < 3; round++)
        for (size_t i = 0; i < N_SIZES; i++) {
            conc_future *f = submit_make(pool, sizes[i], (uint32_t)(i + 100 * (size_t)round));
            check_made(f, sizes[i], (uint32_t)(i + 100 * (size_t)round));
            conc_future_unref(f);
        }
    CHECK_EQUAL(conc_executor_free(pool), 0);
}

static void test_arguments_of_any_size(void)
{
    conc_executor *pool = make_pool(2);
    for (size_t i = 0; i < N_SIZES; i++) {
        conc_bytes in, out;
        CHECK_EQUAL(conc_bytes_new(&in, sizes[i]), 0);
        fill(in.data, in.size, 7);
        CHECK_EQUAL(conc_call(pool, job_echo, &in, CONC_BYTES, &out, CONC_BYTES, PATIENT), 0);
        CHECK_EQUAL(out.size, in.size);
        CHECK(is_filled(out.data, out.size, 7));
        conc_bytes_free(&in);
        conc_bytes_free(&out);
    }
    CHECK_EQUAL(conc_executor_free(pool), 0);
}

static void test_large_results_of_a_fixed_size_begin_as_zeros(void)
{
    conc_executor *pool = make_pool(1);
    char *result = malloc(BIG);
    for (uint32_t i = 0; i < 40; i++) {
        CHECK_EQUAL(conc_call(pool, job_big, &i, sizeof i, result, BIG, PATIENT), 0);
        CHECK(is_filled(result, BIG, i));
    }
    free(result);
    CHECK_EQUAL(conc_executor_free(pool), 0);
}

/* More than a worker has blocks; the first ones are let go of only after the last. */
static void test_more_results_than_blocks_are_held_at_once(void)
{
    enum { HELD = 3 * BLOCKS_MAX };
    conc_executor *pool = make_pool(1);
    conc_future *f[HELD];
    for (int round = 0; round < 2; round++) {
        for (uint32_t i = 0; i < HELD; i++)
            f[i] = submit_make(pool, BLOCK_MIN + 1000 * i, i);
        for (uint32_t i = 0; i < HELD; i++)
            check_made(f[i], BLOCK_MIN + 1000 * i, i);
        for (uint32_t i = 0; i < HELD; i++) {
            check_made(f[i], BLOCK_MIN + 1000 * i, i); /* no other result has overwritten it */
            conc_future_unref(f[i]);
        }
    }
    CHECK_EQUAL(conc_executor_free(pool), 0);
}

static void test_results_outlive_their_worker_and_pool(void)
{
    conc_executor *pool = make_pool(1);
    conc_future *f[4];
    for (uint32_t i = 0; i < 4; i++)
        f[i] = submit_make(pool, BIG, i);
    CHECK_EQUAL(conc_executor_free(pool), 0);
    for (uint32_t i = 0; i < 4; i++) {
        check_made(f[i], BIG, i);
        conc_future_unref(f[i]);
    }
}

static void test_failed_jobs_give_their_blocks_back(void)
{
    conc_executor *pool = make_pool(1);
    const size_t size = BIG;
    uint32_t seed = 3;
    for (int i = 0; i < 3 * BLOCKS_MAX; i++) {
        CHECK_EQUAL(
            conc_call(pool, job_fail_with_bytes, &size, sizeof size, NULL, CONC_BYTES, PATIENT),
            -EIO);
        CHECK_EQUAL(conc_call(pool, job_fail_big, &seed, sizeof seed, NULL, BIG, PATIENT), -EIO);
    }
    conc_future *f = submit_make(pool, BIG, 1);
    check_made(f, BIG, 1);
    CHECK(f->keeper); /* so there was a block for it */
    conc_future_unref(f);
    CHECK_EQUAL(conc_executor_free(pool), 0);
}

/* What the files of all lanes take, in bytes; *length: how long they are. */
static size_t memory_of_lanes(size_t *length)
{
    char path[300], target[64];
    size_t sum = 0;
    *length = 0;
    DIR *dir = opendir("/proc/self/fd");
    CHECK(dir != NULL);
    for (struct dirent *e; (e = readdir(dir));) {
        struct stat st;
        snprintf(path, sizeof path, "/proc/self/fd/%s", e->d_name);
        ssize_t n = readlink(path, target, sizeof target - 1);
        target[n > 0 ? n : 0] = '\0';
        if (strstr(target, "libconc-pool") && stat(path, &st) == 0) {
            sum += (size_t)st.st_blocks * 512;
            *length += (size_t)st.st_size;
        }
    }
    closedir(dir);
    return sum;
}

static void test_blocks_are_used_again_and_large_ones_give_memory_back(void)
{
    conc_executor *pool = make_pool(1);
    size_t length, before;
    for (uint32_t i = 0; i < 200; i++) {
        conc_future *f = submit_make(pool, BIG, i);
        check_made(f, BIG, i);
        conc_future_unref(f);
    }
    before = memory_of_lanes(&length);
    CHECK(length > 0 && length < LANE_SIZE + 4 * BIG);
    CHECK(before <= length);
    for (uint32_t i = 0; i < 10; i++) {
        conc_future *f = submit_make(pool, 2 * BLOCK_KEPT, i);
        check_made(f, 2 * BLOCK_KEPT, i);
        CHECK(memory_of_lanes(&length) >= 2 * BLOCK_KEPT);
        conc_future_unref(f);
    }
    CHECK(memory_of_lanes(&length) < before + BLOCK_KEPT);
    /* Of many different sizes only as many blocks as are remembered keep any memory. */
    for (uint32_t i = 0; i < 3; i++)
        for (size_t size = BLOCK_MIN; size < BLOCK_KEPT; size = size * 3 / 2) {
            conc_future *f = submit_make(pool, size, i);
            check_made(f, size, i);
            conc_future_unref(f);
        }
    CHECK(memory_of_lanes(&length) < before + 3 * BLOCK_KEPT);
    CHECK_EQUAL(conc_executor_free(pool), 0);
    CHECK_EQUAL(memory_of_lanes(&length), 0);
}

static int init_text(void *arg, void *result)
{
    const conc_bytes *text = arg;
    return text->size == 70000 && is_filled(text->data, 70000, 9) ? 0 : -EINVAL;
}

static void test_initialisers_and_processes_take_bytes(void)
{
    conc_bytes text;
    CHECK_EQUAL(conc_bytes_new(&text, 70000), 0);
    fill(text.data, text.size, 9);
    conc_executor *pool;
    const conc_process_pool_options options = {
        .init = init_text, .arg = &text, .arg_size = CONC_BYTES};
    CHECK_EQUAL(conc_process_pool_new(&pool, 2, &options), 0);
    conc_future *f = submit_make(pool, 10, 1);
    check_made(f, 10, 1);
    conc_future_unref(f);
    CHECK_EQUAL(conc_executor_free(pool), 0);
    conc_process *process;
    CHECK_EQUAL(conc_process_start(&process, init_text, &text, CONC_BYTES, NULL), 0);
    CHECK_EQUAL(conc_process_join(process, PATIENT), 0);
    conc_process_free(process);
    conc_bytes_free(&text);
}

/* A thread of the job's allocates too; a fork of it must leave its blocks alone. */
static int job_with_fork(void *arg, void *result)
{
    conc_bytes mine;
    int err = conc_bytes_new(&mine, BIG);
    if (err)
        return err;
    fill(mine.data, BIG, 4);
    pid_t pid = fork();
    if (pid == 0) {
        conc_bytes other;
        bool good = conc_bytes_new(&other, BIG) == 0;
        if (good)
            memset(other.data, 1, BIG);
        conc_bytes_free(&other);
        conc_bytes_free(&mine);
        _exit(good ? 0 : 1);
    }
    int status;
    if (pid < 0 || waitpid(pid, &status, 0) != pid || status)
        return -EIO;
    *(conc_bytes *)result = mine;
    return 0;
}

static void test_a_fork_in_a_job_leaves_its_blocks_alone(void)
{
    conc_executor *pool = make_pool(1);
    for (int i = 0; i < 2 * BLOCKS_MAX; i++) {
        conc_future *f = conc_submit(pool, job_with_fork, NULL, 0, CONC_BYTES);
        check_made(f, BIG, 4);
        CHECK(f->keeper);
        conc_future_unref(f);
    }
    CHECK_EQUAL(conc_executor_free(pool), 0);
}

/* The worker may not make its file longer. */
static int job_limit_files(void *arg, void *result)
{
    const struct rlimit limit = {.rlim_cur = 1000, .rlim_max = 1000};
    return setrlimit(RLIMIT_FSIZE, &limit);
}

static void test_without_room_for_blocks_results_go_through_the_ring(void)
{
    conc_executor *pool = make_pool(1);
    CHECK_EQUAL(conc_call(pool, job_limit_files, NULL, 0, NULL, 0, PATIENT), 0);
    for (uint32_t i = 0; i < 3; i++) {
        conc_future *f = submit_make(pool, BLOCK_KEPT, i);
        check_made(f, BLOCK_KEPT, i);
        CHECK(!f->keeper);
        conc_future_unref(f);
    }
    CHECK_EQUAL(conc_executor_free(pool), 0);
}

static void test_without_memory_a_large_result_is_lost_but_nothing_else(void)
{
    conc_executor *pool = make_pool(1);
    bool lost = false, through = false;
    for (int n = 1; !through; n++) {
        for (size_t size = 20000; size <= BIG; size += BIG - 20000) {
            conc_future *f = submit_make(pool, size, 1);
            fail_alloc(n);
            CHECK_EQUAL(conc_future_wait(f, PATIENT), 0);
            through = !alloc_has_failed();
            fail_alloc(0);
            int err = conc_future_error(f);
            CHECK(err == 0 || err == -ENOMEM);
            lost |= err == -ENOMEM;
            if (!err)
                check_made(f, size, 1);
            conc_future_unref(f);
        }
    }
    CHECK(lost);
    CHECK_EQUAL(conc_executor_free(pool), 0);
}

static void test_what_a_wild_worker_says_is_not_believed(void)
{
    struct lane lane;
    struct pool_worker w = {.lane = &lane, .lane_fd = memfd_create("test", MFD_CLOEXEC)};
    const uint64_t at = LANE_SIZE, end = LANE_SIZE + 4 * BLOCK_UNIT;
    CHECK(w.lane_fd >= 0 && ftruncate(w.lane_fd, (off_t)end) == 0);
    const struct {
        struct result r;
        bool good;
    } cases[] = {
        {{.block = 0, .size = 5}, true},
        {{.block = 1, .size = 5, .at = at, .capacity = BLOCK_UNIT}, true},
        {{.block = BLOCKS_MAX, .size = BLOCK_UNIT, .at = at, .capacity = 4 * BLOCK_UNIT}, true},
        {{.block = BLOCKS_MAX + 1, .size = 5, .at = at, .capacity = BLOCK_UNIT}, false},
        {{.block = 1, .size = 5, .at = 0, .capacity = BLOCK_UNIT}, false},
        {{.block = 1, .size = 5, .at = at + 4096, .capacity = BLOCK_UNIT}, false},
        {{.block = 1, .size = 5, .at = at, .capacity = 0}, false},
        {{.block = 1, .size = 5, .at = at, .capacity = BLOCK_UNIT + 1}, false},
        {{.block = 1, .size = BLOCK_UNIT, .at = at, .capacity = BLOCK_UNIT}, false},
        {{.block = 1, .size = 0, .at = at, .capacity = BLOCK_UNIT}, false},
        {{.block = 1, .size = SIZE_MAX - 3, .at = at, .capacity = BLOCK_UNIT}, false},
        {{.block = 1, .size = 5, .at = at, .capacity = 5 * BLOCK_UNIT}, false},
        {{.block = 1, .size = 5, .at = end, .capacity = BLOCK_UNIT}, false},
        {{.block = 1, .size = 5, .at = -(uint64_t)BLOCK_UNIT, .capacity = 2 * BLOCK_UNIT}, false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        w.result = cases[i].r;
        CHECK_EQUAL(conc__pool_block_makes_sense(&w), cases[i].good);
    }
    close(w.lane_fd);
}

/* Jobs of random sizes, whose results are held for a random time. */
static void test_random_sizes_and_lives(void)
{
    enum { HELD = 24, JOBS = 1500 };
    struct held {
        conc_future *f;
        size_t size;
        uint32_t seed;
    } held[HELD] = {{0}};
    struct test_random r = test_random_for(0);
    conc_executor *pool = make_pool(2);
    for (uint32_t i = 0; i < JOBS; i++) {
        struct held *h = &held[test_random_below(&r, HELD)];
        if (h->f) {
            check_made(h->f, h->size, h->seed);
            conc_future_unref(h->f);
        }
        size_t most = test_random_below(&r, 50) == 0 ? 6 << 20 : 200 << 10;
        *h = (struct held){.size = test_random_below(&r, most), .seed = i};
        h->f = submit_make(pool, h->size, h->seed);
    }
    CHECK_EQUAL(conc_executor_free(pool), 0);
    for (int i = 0; i < HELD; i++)
        if (held[i].f) {
            check_made(held[i].f, held[i].size, held[i].seed);
            conc_future_unref(held[i].f);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        ON_EVERY_WAY(test_results_of_any_size),
        ON_EVERY_WAY(test_arguments_of_any_size),
        ON_EVERY_WAY(test_large_results_of_a_fixed_size_begin_as_zeros),
        ON_EVERY_WAY(test_more_results_than_blocks_are_held_at_once),
        ON_EVERY_WAY(test_results_outlive_their_worker_and_pool),
        ON_EVERY_WAY(test_failed_jobs_give_their_blocks_back),
        ON_WAY(test_blocks_are_used_again_and_large_ones_give_memory_back, ON_THREADS, "threads"),
        ON_EVERY_WAY(test_initialisers_and_processes_take_bytes),
        ON_WAY(test_a_fork_in_a_job_leaves_its_blocks_alone, ON_THREADS, "threads"),
        ON_WAY(test_without_room_for_blocks_results_go_through_the_ring, ON_THREADS, "threads"),
        ON_WAY(test_without_memory_a_large_result_is_lost_but_nothing_else, ON_THREADS, "threads"),
        ON_WAY(test_what_a_wild_worker_says_is_not_believed, ON_THREADS, "threads"),
        ON_EVERY_WAY(test_random_sizes_and_lives),
    };
    watchdog_start(100);
    int failed = conc_process_prepare(); /* its descriptor stays, so before the first test counts */
    if (!failed)
        failed = cmocka_run_group_tests(tests, NULL, NULL);
    watchdog_stop();
    return failed;
}
