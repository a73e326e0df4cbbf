/* SPDX-License-Identifier: MIT
 *
 * numbers.h: the command line of the programs that look for primes: --help, and numbers, which
 * stand in for the chapter's three.
 */
#ifndef EXAMPLES_NUMBERS_H
#define EXAMPLES_NUMBERS_H

#include <errno.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include "support/options.h"
#include "support/report.h"

enum {
    NUMBERS_MAX = 100, /* of them on a command line */
};

struct numbers {
    size_t count;
    int64_t items[NUMBERS_MAX];
};

/** Read the command line; a mistake ends the program with EXIT_USAGE. */
static inline struct numbers parse_numbers(int argc, char **argv, const char *about)
{
    const struct program program = {.about = about, .operands = "[NUMBER ...]"};
    struct numbers numbers = {.count = 3, .items = {9637529763296797, 427920331, 157}};
    int first = options_parse(argc, argv, &program);
    if (first == argc)
        return numbers;
    if (argc - first > NUMBERS_MAX) {
        complain("more than %d numbers (try --help)", NUMBERS_MAX);
        exit(EXIT_USAGE);
    }
    numbers.count = 0;
    for (int i = first; i < argc; i++) {
        char *end;
        errno = 0;
        numbers.items[numbers.count++] = strtoll(argv[i], &end, 10);
        if (end == argv[i] || *end != '\0' || errno != 0) {
            complain("not a whole number, or too large a one: '%s' (try --help)", argv[i]);
            exit(EXIT_USAGE);
        }
    }
    return numbers;
}

#endif
