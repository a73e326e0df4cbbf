/* SPDX-License-Identifier: MIT
 *
 * run.c: the main() of a program of the matrix. It runs all batches, each in a process of its own,
 * and then tests one kind after another: is each of its cells right?
 *
 * A batch in which the process died, or the loop stood still, is run once more, for a machine may
 * have been too busy. If it is so again, the batch is run kind by kind, and a kind
 * with which it is so, operation by operation: then it is known which cells are to blame. If it is
 * none of them alone, the batch itself is, if it is so again and again: some calls hinder others.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/checkers.h"
#include "kinds.h"
#include "matrix.h"
#include "mounts.h"
#include "support.h"

struct matrix *matrix;
const struct kind *const *matrix_kinds;
size_t n_matrix_kinds;

static char hindered[N_WAYS][N_CONDITIONS]; /* a batch failed, but none of its cells alone */

int64_t slowness(void)
{
#if defined(WITH_TSAN) || defined(WITH_ASAN)
    return 3;
#else
    return on_valgrind() ? 5 : 1;
#endif
}

bool times_count(void) { return slowness() == 1; }

struct outcome *outcome_of_cell(enum matrix_way w, enum condition c, size_t kind, enum operation op)
{
    return &matrix->cells[w][c][kind][op];
}

/* ---- Batches ---- */

static void batch_run_in_child(const struct batch_range *range)
{
    batch_run(range);
    fflush(stdout);
    exit(0);
}

static bool batch_ends_well(pid_t pid)
{
    int status;
    int64_t end = real_now() + 3 * END_MOST + DEADLINE_NS + CONC_S(10) * slowness();
    for (;;) {
        pid_t ended = waitpid(pid, &status, WNOHANG);
        CHECK(ended >= 0);
        if (ended == pid)
            return WIFEXITED(status) &&
                   (WEXITSTATUS(status) == 0 || WEXITSTATUS(status) == BATCH_IS_STUCK);
        if (real_now() > end)
            kill(pid, SIGKILL);
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    }
}

/* Run it; true: without trouble. (Its results are another matter.) */
static bool batch_try(const struct batch_range *range)
{
    fflush(stdout);
    pid_t pid = fork();
    CHECK(pid >= 0);
    if (pid == 0)
        batch_run_in_child(range);
    bool well = batch_ends_well(pid);
    if (mount_server(SLOW_FUSE) > 0)
        kill(mount_server(SLOW_FUSE), SIGCONT); /* the batch may have died before it could */
    bool stood = times_count() && matrix->stood_ns > PAUSE_MOST;
    return well && !stood;
}

/* Is there a try of several without trouble? What is wrong is so in all, a busy machine is not. */
static bool batch_try_often(const struct batch_range *range, int tries)
{
    for (int i = 0; i < tries; i++)
        if (batch_try(range))
            return true;
    return false;
}

/* A single cell that makes trouble alone is to blame. */
static void cell_blame(const struct batch_range *range)
{
    struct outcome *out =
        outcome_of_cell(range->way, range->condition, range->first_kind, range->first_op);
    if (out->state != HAS_ENDED && out->state != IS_BEGUN)
        return;
    out->stood_ns = times_count() ? matrix->stood_ns : 0;
}

/* Find the cells that make trouble. True: there are some. */
static bool batch_narrow(const struct batch_range *all)
{
    bool found = false;
    for (size_t kind = all->first_kind; kind < all->last_kind; kind++) {
        struct batch_range one = *all;
        one.first_kind = kind;
        one.last_kind = kind + 1;
        if (batch_try(&one))
            continue;
        for (unsigned op = all->first_op; op < all->last_op; op++) {
            one.first_op = op;
            one.last_op = op + 1;
            if (!batch_try(&one)) {
                cell_blame(&one);
                found = true;
            }
        }
    }
    return found;
}

static void condition_run(enum matrix_way w, enum condition c)
{
    const struct batch_range all = {w, c, 0, n_matrix_kinds, 0, N_OPERATIONS};
    int64_t began = real_now();
    bool well = batch_try_often(&all, 2);
    if (!well)
        hindered[w][c] = !batch_narrow(&all) && !batch_try_often(&all, 5);
    if (getenv("CONC_MATRIX_TIMES"))
        printf("# %s, %s: %d ms%s\n", way_names[w], conditions[c].name,
               (int)((real_now() - began) / CONC_MS(1)), well ? "" : ", in parts");
}

static int matrix_run_all(void **state)
{
    (void)state;
    for (int w = 0; w < N_WAYS; w++)
        for (int c = 0; c < (w == WITH_CALL ? N_ASKED : N_CONDITIONS); c++)
            if (w != WITH_URING || !matrix->no_uring)
                condition_run(w, c);
    if (matrix->no_uring)
        printf("# no io_uring here: left out\n");
    page_print();
    return 0;
}

/* ---- Tests ---- */

static void cell_print(const char *verdict, enum matrix_way w, enum condition c, size_t kind,
                       enum operation op, const char *expected)
{
    const struct outcome *out = outcome_of_cell(w, c, kind, op);
    const char *end = out->state == IS_BEGUN ? " (its process died)" : "";
    printf("# %s: %s, %s, %s, %s: %s%s%s%s%s; expected: %s\n", verdict, matrix_kinds[kind]->name,
           operation_name(op), conditions[c].name, way_names[w], out->text,
           out->stuck ? " (stuck)" : end, out->after[0] ? " [then: " : "", out->after,
           out->after[0] ? "]" : "", expected);
}

static void test_kind(void **state)
{
    size_t kind = (size_t)(uintptr_t)*state, n[HAS_ENDED + 1] = {0}, wrong = 0;
    const char *why = NULL;
    char expected[2 * TEXT_MOST];
    for (int w = WITH_URING; w < N_WAYS; w++)
        for (int c = 0; c < N_CONDITIONS; c++)
            for (int op = 0; op < N_OPERATIONS; op++) {
                const struct outcome *out = outcome_of_cell(w, c, kind, op);
                n[out->state]++;
                if (out->state == IS_LEFT)
                    why = out->text;
                if (!cell_is_right(w, c, kind, op, expected)) {
                    cell_print("wrong", w, c, kind, op, expected);
                    wrong++;
                } else if (getenv("CONC_MATRIX_ALL") && out->state == HAS_ENDED) {
                    cell_print("right", w, c, kind, op, expected);
                }
            }
    printf("# %s: %zu cells are tried, %zu not%s%s%s; %zu are none\n", matrix_kinds[kind]->name,
           n[HAS_ENDED] + n[IS_BEGUN], n[IS_LEFT], why ? " (" : "", why ? why : "", why ? ")" : "",
           n[IS_NONE]);
    if (!n[HAS_ENDED] && !n[IS_BEGUN])
        return;
    bool page = getenv("CONC_MATRIX_PAGE") || page_is_right(kind);
    assert_int_equal(wrong, 0);
    assert_true(page);
}

static void test_calls_do_not_hinder_each_other(void **state)
{
    int n = 0;
    (void)state;
    for (int w = 0; w < N_WAYS; w++)
        for (int c = 0; c < N_CONDITIONS; c++)
            if (hindered[w][c]) {
                printf("# %s, %s: fails together, but none alone\n", way_names[w],
                       conditions[c].name);
                n++;
            }
    assert_int_equal(n, 0);
}

static void raise_limits(void)
{
    struct rlimit limit;
    CHECK_EQUAL(getrlimit(RLIMIT_NOFILE, &limit), 0);
    limit.rlim_cur = limit.rlim_max < 65536 ? limit.rlim_max : 65536;
    CHECK_EQUAL(setrlimit(RLIMIT_NOFILE, &limit), 0);
}

/* CONC_MATRIX_KIND: only those with that in their name. */
static const struct kind *const *kinds_choose(const struct kind *const *kinds, size_t *n)
{
    static const struct kind *chosen[MOST_KINDS];
    const char *name = getenv("CONC_MATRIX_KIND");
    size_t all = *n;
    *n = 0;
    for (size_t i = 0; i < all; i++)
        if (!name || strstr(kinds[i]->name, name))
            chosen[(*n)++] = kinds[i];
    return chosen;
}

int matrix_main(const struct kind *const *kinds, size_t n)
{
    struct CMUnitTest tests[MOST_KINDS + 1];
    CHECK(n <= MOST_KINDS);
    matrix_kinds = kinds = kinds_choose(kinds, &n);
    n_matrix_kinds = n;
    matrix = mmap(NULL, sizeof *matrix, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    CHECK(matrix != MAP_FAILED);
    raise_limits();
    mounts_make();
    for (size_t i = 0; i < n; i++)
        tests[i] = (struct CMUnitTest){
            .name = kinds[i]->name, .test_func = test_kind, .initial_state = (void *)(uintptr_t)i};
    tests[n] = (struct CMUnitTest)cmocka_unit_test(test_calls_do_not_hinder_each_other);
    int failed = _cmocka_run_group_tests("matrix", tests, n + 1, matrix_run_all, NULL);
    mounts_end();
    rig_folder_remove();
    return failed;
}
