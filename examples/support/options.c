/* SPDX-License-Identifier: MIT
 *
 * options.c: the command line, by getopt_long() from a table of rows.
 *
 * A row's place in the two tables, one after the other, is the value that getopt_long() gives for
 * it; --help comes first.
 */
#include "support/options.h"

#include <conc/base.h>
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "support/report.h"

enum {
    ROWS_MAX = 32,     /* options of a program */
    HELP_COLUMN = 22,  /* where the help's explanations begin */
    VALUE_HELP = 1000, /* getopt_long()'s value of --help; the rows' are below it */
};

/* Beyond it not every whole number is a double's; NaN and infinity are caught by the same
 * comparison. */
static const double NUMBER_MAX = 1e15;

static void print_help(const struct program *program, const struct option_spec *const *rows)
{
    printf("usage: %s [OPTION ...]%s%s\n%s\n\n", program_invocation_short_name,
           program->operands != NULL ? " " : "", program->operands != NULL ? program->operands : "",
           program->about);
    for (; *rows != NULL; rows++) {
        int width = printf("  --%s", (*rows)->name);

        if ((*rows)->kind != OPTION_FLAG)
            width += printf(" %s", (*rows)->meta);
        if (width >= HELP_COLUMN)
            width = printf("\n") - 1;
        printf("%*s%s\n", HELP_COLUMN - width, "", (*rows)->help);
    }
    printf("  --help%*sprint this and end\n", HELP_COLUMN - 8, "");
}

/* A mistake on the command line ends the program: there is nothing better to do about it. */
static void __attribute__((noreturn)) usage_error(const char *what, const char *which)
{
    complain("%s%s (try --help)", what, which);
    exit(EXIT_USAGE);
}

static double parse_number(const struct option_spec *row, const char *text)
{
    char *end;
    double number;

    errno = 0;
    number = strtod(text, &end);
    if (end == text || *end != '\0' || errno != 0 ||
        !(number > -NUMBER_MAX && number < NUMBER_MAX) ||
        (row->kind == OPTION_INTEGER && number != (double)(int64_t)number)) {
        complain("--%s: not a number: '%s' (try --help)", row->name, text);
        exit(EXIT_USAGE);
    }
    if ((row->min != 0 || row->max != 0) && (number < row->min || number > row->max)) {
        complain("--%s: %s is not within %g to %g (try --help)", row->name, text, row->min,
                 row->max);
        exit(EXIT_USAGE);
    }
    return number;
}

static void set_value(const struct option_spec *row, const char *text)
{
    switch (row->kind) {
    case OPTION_FLAG:
        *(bool *)row->value = true;
        break;
    case OPTION_TEXT:
        *(const char **)row->value = text;
        break;
    case OPTION_NUMBER:
        *(double *)row->value = parse_number(row, text);
        break;
    case OPTION_INTEGER:
        *(int64_t *)row->value = (int64_t)parse_number(row, text);
        break;
    case OPTION_SECONDS:
        *(int64_t *)row->value = (int64_t)(parse_number(row, text) * (double)CONC_S(1));
        break;
    case OPTION_MILLIS:
        *(int64_t *)row->value = (int64_t)(parse_number(row, text) * (double)CONC_MS(1));
        break;
    }
}

static size_t add_rows(const struct option_spec *table, const struct option_spec **rows, size_t n)
{
    for (; table != NULL && table->name != NULL && n < ROWS_MAX; table++)
        rows[n++] = table;
    return n;
}

int options_parse(int argc, char **argv, const struct program *program)
{
    const struct option_spec *rows[ROWS_MAX + 1] = {NULL};
    struct option long_options[ROWS_MAX + 2] = {{"help", no_argument, NULL, VALUE_HELP}};
    size_t n = add_rows(program->more, rows, add_rows(program->options, rows, 0));
    int which;

    for (size_t i = 0; i < n; i++)
        long_options[i + 1] = (struct option){
            .name = rows[i]->name,
            .has_arg = rows[i]->kind == OPTION_FLAG ? no_argument : required_argument,
            .val = (int)i,
        };

    setvbuf(stdout, NULL, _IOLBF, 0); /* each line is seen when it is printed, in a pipe too */
    opterr = 0; /* getopt_long()'s own words vary; one line of ours does not */
    while ((which = getopt_long(argc, argv, ":", long_options, NULL)) != -1) {
        if (which == VALUE_HELP) {
            print_help(program, rows);
            exit(EXIT_SUCCESS);
        }
        if (which == ':')
            usage_error("a value is missing after ", argv[optind - 1]);
        if (which == '?' && optopt > ' ' && optopt < VALUE_HELP)
            usage_error("no such option: -", (char[]){(char)optopt, '\0'});
        if (which == '?')
            usage_error("no such option: ", argv[optind - 1]);
        set_value(rows[which], optarg);
    }
    if (program->operands == NULL && optind < argc)
        usage_error("not expected: ", argv[optind]);
    return optind;
}

const char *default_server(void)
{
    const char *server = getenv("LIBCONC_SERVER");

    return server != NULL && *server != '\0' ? server : "http://127.0.0.1:8080";
}
