/* SPDX-License-Identifier: MIT */
#include <conc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int collatz(void *arg, void *result)
{
    int *steps = result;
    for (long n = *(long *)arg; n != 1; n = n % 2 != 0 ? 3 * n + 1 : n / 2)
        ++*steps;
    return 0;
}

/* A string is of no fixed size: its job takes and gives conc_bytes. */
static int twice(void *arg, void *result)
{
    const conc_bytes *in = arg;
    conc_bytes *out = result;
    int err = conc_bytes_new(out, 2 * in->size);
    if (!err) {
        memcpy(out->data, in->data, in->size);
        memcpy((char *)out->data + in->size, in->data, in->size);
    }
    return err;
}

static void print_numbers(const int *numbers, size_t n)
{
    for (size_t i = 0; i < n; i++)
        printf("%d%s", numbers[i], i + 1 < n ? " " : "\n");
}

static int compare_ints(const void *a, const void *b) { return *(const int *)a - *(const int *)b; }

static int print_unordered(conc_executor *pool)
{
    long numbers[10];
    for (int i = 0; i < 10; i++)
        numbers[i] = i + 1;
    conc_imap_options options = {.unordered = true};
    conc_imap *imap;
    int err = conc_imap_new(&imap, pool, collatz, numbers, 10, sizeof(long), sizeof(int), &options);
    if (err)
        return err;
    int steps[10];
    size_t n = 0;
    while ((err = conc_imap_next(imap, &steps[n], NULL, CONC_FOREVER)) == 1)
        n++;
    conc_imap_free(imap);
    qsort(steps, n, sizeof *steps, compare_ints);
    print_numbers(steps, n);
    return err;
}

static int print_words(conc_executor *pool)
{
    conc_bytes words[] = {{(void *)"bon", 3}, {(void *)"tar", 3}, {(void *)"so", 2}}, word;
    conc_imap *imap;
    int err = conc_imap_new(&imap, pool, twice, words, 3, CONC_BYTES, CONC_BYTES, NULL);
    if (err)
        return err;
    while ((err = conc_imap_next(imap, &word, NULL, CONC_FOREVER)) == 1) {
        printf("%.*s\n", (int)word.size, (char *)word.data);
        conc_bytes_free(&word);
    }
    conc_imap_free(imap);
    return err;
}

int main(void)
{
    conc_executor *pool;
    int err = conc_process_pool_new(&pool, 2, NULL);
    if (err) {
        fprintf(stderr, "process_pool: %s\n", conc_describe(err));
        return 1;
    }
    long numbers[] = {7, 27, 97, 871};
    int steps[4];
    err = conc_map(pool, collatz, numbers, 4, sizeof(long), steps, sizeof(int), NULL, CONC_FOREVER);
    if (!err)
        print_numbers(steps, 4);
    if (!err)
        err = print_unordered(pool);
    if (!err)
        err = print_words(pool);
    if (err)
        fprintf(stderr, "process_pool: %s\n", conc_describe(err));
    conc_executor_free(pool);
    return err ? 1 : 0;
}
