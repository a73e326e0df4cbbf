/* SPDX-License-Identifier: MIT
 *
 * options.h: a program's command line as a table.
 *
 *     static double rate = 10;
 *     static const struct option_spec OPTIONS[] = {
 *         {"rate", OPTION_NUMBER, &rate, "N", 0.1, 1000, "requests per second (default: 10)"},
 *         {.name = NULL},
 *     };
 *     const struct program program = {.about = "...", .options = OPTIONS};
 *     int first = options_parse(argc, argv, &program);
 */
#ifndef EXAMPLES_OPTIONS_H
#define EXAMPLES_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>

enum option_kind {
    OPTION_FLAG,    /* bool: true if given; takes no value */
    OPTION_TEXT,    /* const char *: borrowed from argv */
    OPTION_INTEGER, /* int64_t */
    OPTION_NUMBER,  /* double */
    OPTION_SECONDS, /* int64_t nanoseconds, given in seconds ("0.5") */
    OPTION_MILLIS,  /* int64_t nanoseconds, given in milliseconds */
};

struct option_spec {
    const char *name; /* without the dashes; NULL ends the table */
    enum option_kind kind;
    void *value;      /* where it goes, of the kind's type; the default stays if it isn't given */
    const char *meta; /* what the help calls the value: "N" */
    double min, max;  /* the least and the most of a number, as given; both 0: any */
    const char *help;
};

struct program {
    const char *about;    /* one line */
    const char *operands; /* what may follow the options: "[CITY ...]"; NULL: nothing may */
    const struct option_spec *options; /* may be NULL */
    const struct option_spec *more;    /* a second table; may be NULL */
};

/**
 * Read the command line, first thing in main(): it also makes stdout line-buffered. --help prints
 * the help and ends the program with 0; a mistake prints one line on stderr and ends it with
 * EXIT_USAGE.
 *
 * @return the index of the first operand in argv
 */
int options_parse(int argc, char **argv, const struct program *program);

/** The server that clients talk to: the environment's LIBCONC_SERVER, or http://127.0.0.1:8080 */
const char *default_server(void);

/* Rows that many programs share. */
#define OPTION_ROW_SERVER(variable)                                                \
    {                                                                              \
        .name = "server", .kind = OPTION_TEXT, .value = (variable), .meta = "URL", \
        .help = "the server (default: $LIBCONC_SERVER, or http://127.0.0.1:8080)"  \
    }
#define OPTION_ROW_TIMEOUT(variable)                                                               \
    {                                                                                              \
        .name = "timeout", .kind = OPTION_SECONDS, .value = (variable), .meta = "S", .min = 0.001, \
        .max = 3600, .help = "give a request up after S seconds (default: 10)"                     \
    }

#endif
